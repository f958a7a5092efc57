/** `community.reeve.community.mint`: a community comes into being, with the caller as its first owner. */
import { cidOf, didOf, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import type { PublicHalves } from '../keys/founding.ts'
import { saveFoundedKeys } from '../keys/store.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/community/mint.ts'
import { requireShownName } from '../membership/input.ts'
import type { Did, Handle } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { errorName } from '../platform/log.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { statusOf } from './communityGet.ts'
import { type Custody, requireCustody } from './custody.ts'
import { loadHolderOfHandle } from './handle-store.ts'
import { requireServedHandle } from './handles.ts'
import { type MintCtx, walkMint } from './mint-walk.ts'
import { genesisOperation } from './plc-builder.ts'
import { countUnfinishedOf, type Founding, insertFounding, loadFounding, loadFoundingByKey } from './store.ts'

export interface FoundingCtx extends MintCtx {
  readonly vault: Vault
  /** Who may found communities here; null: everybody. */
  readonly founders: ReadonlySet<string> | null
  readonly serviceDid: Did
  readonly publicUrl: string
  readonly handleDomains: readonly string[]
}

/**
 * Foundings of one person under way at once. While the directory is away each of them holds its keys, its turn at the directory
 * and its handle; nobody needs more, and somebody could take every good handle with them.
 */
const UNFINISHED_PER_FOUNDER_MAX = 5

/**
 * Order of checks: the caller may found (Forbidden); an earlier call of the same idempotencyKey is gone on with, or contradicted
 * (IdempotencyConflict); name, custody and its proof, handle, foundings under way (RateLimitExceeded). When the directory can't
 * be reached the answer says how far the founding is, and it goes on by itself. @throws Refusal; Unavailable when nothing was begun
 */
export async function communityMint(
  ctx: FoundingCtx,
  founder: Did,
  input: lexicon.$InputBody,
  call: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  if (ctx.founders && !ctx.founders.has(founder)) throw new Refusal('Forbidden', 'you may not found communities here')
  const idempotencyKey = input.idempotencyKey ?? null
  const begun = (await findBegun(ctx, founder, idempotencyKey, call)) ?? (await begin(ctx, founder, input, call))
  const reached = await walkFurther(ctx, begun)
  if (reached.step === 'refused') {
    throw new Refusal(
      reached.fault ?? 'PlcRejected',
      'the directory refused the identity; found again under another key',
    )
  }
  return { did: reached.did, status: statusOf(reached), revision: reached.step === 'opened' ? 1 : 0 }
}

async function findBegun(
  ctx: FoundingCtx,
  founder: Did,
  key: string | null,
  call: ProcedureCall,
): Promise<Founding | null> {
  const begun = key === null ? null : await loadFoundingByKey(ctx.db, founder, key)
  if (begun && !Buffer.from(begun.requestHash).equals(call.requestHash)) {
    throw new Refusal('IdempotencyConflict', 'the idempotencyKey was used for a call with another body')
  }
  return begun
}

/** Begins a founding, or finds the one that the same call began a moment ago. */
async function begin(
  ctx: FoundingCtx,
  founder: Did,
  input: lexicon.$InputBody,
  call: ProcedureCall,
): Promise<Founding> {
  const name = requireShownName(input.name)
  const custody = requireCustody(input.custody, founder, ctx.serviceDid)
  const ownHost = new URL(ctx.publicUrl).hostname
  const handle = input.handle === undefined ? null : requireServedHandle(input.handle, ctx.handleDomains, ownHost)
  const hindrance = await hindranceTo(ctx, founder, handle)
  const idempotencyKey = input.idempotencyKey ?? null
  const about = { name, handle, founder, requestHash: call.requestHash, idempotencyKey }
  const founding = hindrance ? null : await prepare(ctx, custody, about)
  // Perhaps what stands in the way is this very call, at another process or a moment ago.
  const begun = founding ?? (await findBegun(ctx, founder, idempotencyKey, call))
  if (!begun) throw hindrance ?? handleTaken()
  return begun
}

const handleTaken = (): Refusal =>
  new Refusal('HandleNotAvailable', 'the handle is taken, or held for the community that had it')

async function hindranceTo(ctx: FoundingCtx, founder: Did, handle: Handle | null): Promise<Refusal | null> {
  if (handle && (await loadHolderOfHandle(ctx.db, handle, ctx.clock.nowMs()))) return handleTaken()
  const isFull = (await countUnfinishedOf(ctx.db, founder)) >= UNFINISHED_PER_FOUNDER_MAX
  return isFull ? new Refusal('RateLimitExceeded', 'let your other foundings come to their end first') : null
}

/**
 * Makes the keys and the signed genesis, and stores all of it before anything leaves the house. Null when somebody was faster:
 * the same call at another process, or another founder with the same handle.
 */
async function prepare(
  ctx: FoundingCtx,
  custody: Custody,
  about: Pick<Founding, 'name' | 'handle' | 'founder' | 'requestHash' | 'idempotencyKey'>,
): Promise<Founding | null> {
  const keys = await ctx.vault.prepareFounding<UnsignedPlcOperation>(
    (made) => compose(ctx, custody, about.handle, made),
    didOf,
  )
  const founding: Founding = {
    ...about,
    did: keys.did,
    custody: custody.kind,
    recoveryKey: custody.recoveryKey,
    recoveryHolder: custody.recoveryKey === null ? null : about.founder,
    formerRecoveryKeys: [],
    wantedCustody: custody.wanted,
    step: 'prepared',
    fault: null,
    createdAtMs: ctx.clock.nowMs(),
    operation: keys.operation,
    operationCid: cidOf(keys.operation),
  }
  const isKept = await withTransaction(ctx.db, async (tx) => {
    const isNew = await insertFounding(tx, founding)
    if (isNew) await saveFoundedKeys(tx, keys.rows, founding.createdAtMs)
    return isNew
  })
  return isKept ? founding : null
}

const compose = (ctx: FoundingCtx, custody: Custody, handle: Handle | null, made: PublicHalves): UnsignedPlcOperation =>
  genesisOperation({
    recoveryKey: custody.recoveryKey,
    rotationKey: made.rotation,
    atprotoKey: made.atproto,
    spaceKey: made.space,
    handle,
    publicUrl: ctx.publicUrl,
  })

async function walkFurther(ctx: FoundingCtx, begun: Founding): Promise<Founding> {
  try {
    return await walkMint(ctx, begun.did)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('mint.waits', { did: begun.did, error: errorName(error) })
    return (await loadFounding(ctx.db, begun.did)) ?? begun
  }
}
