/** `community.reeve.community.setHandle`: a community gets another handle, or gives its handle up. */
import { type DomainWord, dnsNameOf, dnsValueOf, wellKnownUrlOf } from '../identity/handle-proofs.ts'
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { cidOf, type PlcOperation, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/community/setHandle.ts'
import {
  type ChangeCall,
  type Changed,
  changeCommunity,
  type GovernanceCtx,
  required,
  rosterUri,
} from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import type { Facts } from '../membership/standing-facts.ts'
import type { Did, Handle } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { type ProcedureCall, recall } from '../platform/idempotency.ts'
import { errorName } from '../platform/log.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { requireNoCombine } from './combine-guard.ts'
import { missingProof } from './handle-change.ts'
import { giveUpServedHandles, loadHolderOfHandle, takeServedHandle } from './handle-store.ts'
import { requireHandle } from './handles.ts'
import { readPinnedLog, requireOpenLog } from './pinned-log.ts'
import { handleOperation, requireLiving } from './plc-builder.ts'
import { type PlcWalkCtx, walkPlcWork } from './plc-walk.ts'
import { insertPlcWork, loadPlcWork, type PlcStep, type PlcWork } from './plc-work-store.ts'
import { requireOwnKey } from './quorum-guards.ts'
import { requireShown } from './shown-document.ts'
import { loadCommunity, loadFounding, saveHandle } from './store.ts'

export interface SetHandleCtx extends GovernanceCtx, PlcWalkCtx {
  readonly vault: Vault
  readonly publicUrl: string
}

/** What is asked for. No handle at all is served by us as well: nobody has to prove it. */
interface Wish {
  readonly community: Did
  readonly handle: Handle | null
  readonly isServed: boolean
}

/** What a call comes to: the operation that it is carried out by, if it takes one, and where the community stands. */
interface Begun {
  readonly operationCid: string | null
  readonly revision: number
}

/**
 * While a change is under way, a call for the same handle goes on with it, and one for another handle is refused (PlcConflict).
 *
 * Order of checks: the input (InvalidRequest, HandleNotAvailable); an answer under the same idempotencyKey (IdempotencyConflict); the
 * caller stands in the roster (NotFound), at ifRevision (StaleRevision), may configure the community (Forbidden); its keys are here
 * (UnsupportedCustody); no other change is under way (PlcConflict); a served handle is free, a domain of one's own names no other DID (HandleNotAvailable), and this one, else
 * the answer is what to write there; the operation in force and our place in it (PlcConflict, PlcRank, PlcLimit). What the directory
 * then refuses is told as PlcRejected or PlcConflict. @throws Refusal; Unavailable when nothing was begun
 */
export async function communitySetHandle(
  ctx: SetHandleCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const wish = requireWish(ctx, input)
  const call: ChangeCall = {
    community: wish.community,
    actor,
    action: 'community.setHandle',
    target: wish.community,
    subject: null,
    ifRevision: input.ifRevision,
    idempotency,
  }
  const earlier = idempotency && (await recall(ctx.db, idempotency, ctx.clock.nowMs()))
  if (earlier) return answerOf(ctx, wish, earlier.answer as Begun)

  const judged = await changeCommunity(ctx, { ...call, idempotency: null }, (tx, facts, nowMs) =>
    judge(tx, facts, wish, nowMs),
  )
  const missing = judged.underWay || wish.isServed ? null : await proofMissing(ctx, wish)
  if (missing) return { status: 'waitsForDomain', ...shown(wish), ...missing, revision: judged.revision }
  const next = judged.underWay ? null : await composed(ctx, wish)
  if (input.dryRun) return rehearsed(wish, next, judged)
  const operation = next?.operation ? await sign(ctx, wish, next.operation, next.head) : null
  const begun = await changeCommunity(ctx, call, (tx, facts, nowMs) =>
    begin(tx, facts, wish, { judged, operation }, nowMs),
  )
  return answerOf(ctx, wish, begun)
}

/** @throws Refusal InvalidRequest unless one thing is asked for, HandleNotAvailable */
function requireWish(ctx: SetHandleCtx, input: lexicon.$InputBody): Wish {
  const community = requireDid(input.community, 'community')
  if ((input.handle === undefined) === (input.remove !== true)) {
    throw new Refusal('InvalidRequest', 'send either handle, or remove: true')
  }
  if (input.handle === undefined) return { community, handle: null, isServed: true }
  const asked = requireHandle(input.handle, ctx.handleDomains, new URL(ctx.publicUrl).hostname)
  return { community, ...asked }
}

const shown = ({ handle }: Wish): { handle?: Handle } => (handle === null ? {} : { handle })

/** What was found before anybody else was asked. */
interface Judged {
  /** The CID of the community's last operation by us, under way or not. */
  readonly last: string | null
  /** How far it is, when it is under way and for this very handle. */
  readonly underWay: PlcStep | null
}

/** Whether the actor may, and nothing stands in the way here. Changes nothing. */
async function judge(tx: Tx, facts: Facts, wish: Wish, nowMs: number): Promise<Changed<Judged>> {
  const decision = decideAct(facts, facts.did, 'community.configure', rosterUri(wish.community))
  required(decision)
  if ((await loadCommunity(tx, wish.community))?.custody === 'external') {
    throw new Refusal('UnsupportedCustody', 'the handle of an account is changed at its PDS')
  }
  await requireOwnKey(tx, wish.community)
  const last = await loadPlcWork(tx, wish.community)
  const underWay = last && stepFor(last, wish)
  if (!underWay) await requireNoCombine(tx, wish.community, nowMs)
  if (wish.handle !== null && wish.isServed) {
    const holder = await loadHolderOfHandle(tx, wish.handle, nowMs)
    if (holder && holder !== wish.community) throw taken()
  }
  const answer = { last: last?.operationCid ?? null, underWay }
  return { answer, changed: 'nothing', because: decision.because }
}

/** How far the last work is when it is under way, or null at its end. @throws Refusal('PlcConflict') when it is other work under way */
function stepFor(work: PlcWork, wish: Wish): PlcStep | null {
  if (work.step === 'confirmed' || work.step === 'refused') return null
  if (work.kind === 'handle' && work.about.handle === wish.handle) return work.step
  throw new Refusal('PlcConflict', 'another change of the identity is under way; let it come to its end')
}

const taken = (): Refusal =>
  new Refusal('HandleNotAvailable', 'the handle is taken, or held for the community that had it')

/** What the owner of a domain has to write, and where, as long as it isn't there. */
async function proofMissing(ctx: SetHandleCtx, { community, handle }: Wish) {
  const word = handle && (await missingProof(ctx, community, handle))
  if (!word) return null
  return {
    dns: { name: dnsNameOf(handle), value: dnsValueOf(community), found: foundOf(word.dns) },
    wellKnown: { url: wellKnownUrlOf(handle), value: community, found: foundOf(word.wellKnown) },
  }
}

const foundOf = (said: DomainWord['dns']): string => ('found' in said ? said.found : 'did')

interface Next {
  readonly head: PlcLogEntry
  /** Null: the operation in force says it already. */
  readonly operation: UnsignedPlcOperation | null
}

/** What follows the operation in force. The log is verified from its first operation; nothing else tells what is in force. */
async function composed(ctx: SetHandleCtx, { community, handle }: Wish): Promise<Next> {
  const log = await readPinnedLog(ctx, community)
  await requireOpenLog(ctx, log)
  const keys = await ctx.vault.publicKeys(community)
  const ours = keys.find(({ purpose, state }) => purpose === 'rotation' && state === 'active')?.didKey
  if (!ours) throw new Unavailable('KeyUnavailable', 'vault')
  const founded = await loadFounding(ctx.db, community)
  const rank = { ours, communityAbove: founded?.custody !== 'custodial' }
  const operation = handleOperation(log.head, handle, rank)
  if (!operation) await requireShown(ctx, community, requireLiving(log.head))
  return { head: log.head, operation }
}

function rehearsed(wish: Wish, next: Next | null, judged: Judged & { revision: number }): lexicon.$OutputBody {
  const names = next && (next.operation ?? requireLiving(next.head)).alsoKnownAs
  const status = judged.underWay ?? 'ready'
  return { status, ...shown(wish), ...(names ? { alsoKnownAs: names } : {}), revision: judged.revision }
}

async function sign(
  ctx: SetHandleCtx,
  { community }: Wish,
  operation: UnsignedPlcOperation,
  head: PlcLogEntry,
): Promise<PlcOperation> {
  const { sig: _, ...inForce } = requireLiving(head)
  return ctx.vault.signRenaming<UnsignedPlcOperation>({ kind: 'renaming', community, inForce, operation })
}

/**
 * Keeps the signed operation and the handle, before anything leaves the house; goes on with what is under way for this handle; or,
 * without an operation, notes what the document and the domain say already.
 */
async function begin(
  tx: Tx,
  facts: Facts,
  wish: Wish,
  { judged, operation }: { readonly judged: Judged; readonly operation: PlcOperation | null },
  nowMs: number,
): Promise<Changed<{ operationCid: string | null }>> {
  const { community, handle } = wish
  const decision = decideAct(facts, facts.did, 'community.configure', rosterUri(community))
  const permit = required(decision)
  const { because } = decision
  const last = await loadPlcWork(tx, community)
  // What was under way a moment ago may have come to its end meanwhile; it is this call's all the same.
  const joined = judged.underWay ? judged.last : last && stepFor(last, wish) && last.operationCid
  if (joined) return { answer: { operationCid: joined }, changed: 'nothing', because }
  if ((last?.operationCid ?? null) !== judged.last) {
    throw new Refusal('PlcConflict', 'another change of the identity came first')
  }
  if (handle !== null && wish.isServed && !(await takeServedHandle(tx, handle, community, nowMs))) throw taken()
  const before = (await loadFounding(tx, community))?.handle ?? null
  const details = { handle, before }
  if (!operation) {
    await giveUpServedHandles(tx, community, handle, nowMs)
    if (before !== handle) await saveHandle(tx, community, handle)
    const changed = before === handle ? 'nothing' : 'roster'
    return { answer: { operationCid: null }, changed, because, details: { ...details, status: 'confirmed' } }
  }
  const operationCid = cidOf(operation)
  const about = { handle, before, revision: facts.revision + 1, isVerified: null }
  const next = {
    community,
    kind: 'handle',
    operation,
    operationCid,
    about,
    askedBy: facts.did,
    createdAtMs: nowMs,
  } as const
  if (!(await insertPlcWork(tx, permit, next))) throw new Error('work under way that was not seen')
  return {
    answer: { operationCid },
    changed: 'roster',
    because,
    details: { ...details, status: 'prepared', operationCid },
  }
}

/** Goes as far as it can be gone now with what a call began, and says where that is. @throws Refusal when it came to nothing */
async function answerOf(
  ctx: SetHandleCtx,
  wish: Wish,
  { operationCid, revision }: Begun,
): Promise<lexicon.$OutputBody> {
  if (operationCid === null) return { status: 'confirmed', ...shown(wish), revision }
  const work = await walkFurther(ctx, wish.community)
  const mine = { ...shown(wish), operationCid }
  if (work?.kind !== 'handle' || work.operationCid !== operationCid) return { status: 'replaced', ...mine, revision }
  if (work.step === 'refused') {
    throw new Refusal(work.fault ?? 'PlcRejected', 'the directory did not take the change; the handle is what it was')
  }
  const isLost = work.step === 'confirmed' && !work.about.isVerified
  return { status: isLost ? 'domainNoLongerSays' : work.step, ...mine, revision: work.about.revision }
}

async function walkFurther(ctx: SetHandleCtx, community: Did): Promise<PlcWork | null> {
  try {
    return await walkPlcWork(ctx, community)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('plcWork.waits', { did: community, error: errorName(error) })
    return loadPlcWork(ctx.db, community)
  }
}
