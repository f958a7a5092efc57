/**
 * Puts shares together at this service, where a community chose that: once, as soon as there are enough, and what is written afterwards is what came
 * out. A process that dies meanwhile leaves the sealed shares and nothing else, and another one begins anew: the first result never left the house.
 */
import { appendChained } from '../audit/store.ts'
import { combineGiven, openCeremonyKey } from '../keys/combining.ts'
import type { Vault } from '../keys/vault.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { decideKeeper } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { sharesIn } from './ceremony-course.ts'
import { conclude, type EndCtx, raiseMismatch } from './ceremony-end.ts'
import { listCounted, moveBack, stateBy } from './ceremony-seats.ts'
import { type Ceremony, endCeremony, loadCeremony, loadSealing } from './ceremony-store.ts'
import { type PlcWalkCtx, walkPlcWork } from './plc-walk.ts'
import { countAttempt } from './quorum-store.ts'

export type CombineCtx = GovernanceCtx & PlcWalkCtx & EndCtx & { readonly vault: Vault }

const HOUR_MS = 60 * 60 * 1000
/** How often a key may be put together here within an hour: whoever measures this machine learns a little each time. */
const ATTEMPTS_PER_HOUR = 5

/** @throws Refusal('LimitExceeded') for the sixth attempt in an hour */
export async function requireAttempt(tx: Tx, { quorumKey }: Ceremony, nowMs: number): Promise<void> {
  if (quorumKey === null) throw new Error('a ceremony without a key')
  if ((await countAttempt(tx, quorumKey, nowMs, nowMs - HOUR_MS)) <= ATTEMPTS_PER_HOUR) return
  throw new Refusal('LimitExceeded', 'the key was put together here five times in an hour; try again later')
}

/**
 * Combines what was given to a ceremony that has enough, signs what it is for and sees to what follows. Does nothing where that was done. The
 * attempt was counted. @throws Refusal KeyMismatch, PlcConflict, RotationUnderWay; Unavailable when the vault can't be asked
 */
export async function combineHere(ctx: CombineCtx, id: string, askedBy: Did): Promise<void> {
  const ceremony = await loadCeremony(ctx.db, id)
  const sealing = await loadSealing(ctx.db, id)
  if (ceremony?.state !== 'ready' || ceremony.signed !== null || !sealing) return
  const counted = await listCounted(ctx.db, ceremony, ctx.clock.nowMs())
  if (stateBy(ceremony, counted) !== 'ready')
    return void (await withTransaction(ctx.db, (tx) => waitAgain(ctx, tx, id)))
  const given = sharesIn(counted).map(({ did, given: sealed }) => ({ did, sealed }))
  const pair = await openCeremonyKey(ctx.vault, ceremony.statement, sealing)
  const statementHash = new Uint8Array(Buffer.from(ceremony.statementHash, 'hex'))
  const combined = await combineGiven(pair, { statement: ceremony.statement, statementHash }, given)
  if (combined.kind === 'bad') throw new Error('a share that was looked at is another one now')
  const signature = combined.kind === 'signed' ? combined.signature : null
  const isKept = await withTransaction(ctx.db, (tx) => keep(ctx, tx, ceremony, { signature, askedBy }))
  if (isKept && signature === null) {
    ctx.log.error('ceremony.keyMismatch', { did: ceremony.community, ceremony: id })
    throw new Refusal('KeyMismatch', 'each share is as it was dealt, and together they do not make the key')
  }
  if (isKept && ceremony.kind === 'combine') await sendConcluded(ctx, ceremony.community)
}

/** Somebody who gave a share is a keeper no more, and the others are too few: it waits for one of those who are left. */
async function waitAgain(ctx: CombineCtx, tx: Tx, id: string): Promise<void> {
  const open = await loadCeremony(tx, id)
  if (!open || !(await lockRevisions(tx, open.community))) return
  const ceremony = await loadCeremony(tx, id)
  if (ceremony) await moveBack(tx, ceremony, stateBy(ceremony, await listCounted(tx, ceremony, ctx.clock.nowMs())))
}

/** Writes what came out, unless another process was quicker. */
async function keep(
  ctx: CombineCtx,
  tx: Tx,
  { id, community }: Ceremony,
  { signature, askedBy }: { readonly signature: string | null; readonly askedBy: Did },
): Promise<boolean> {
  const numbers = await lockRevisions(tx, community)
  const ceremony = await loadCeremony(tx, id)
  if (!numbers || ceremony?.state !== 'ready' || ceremony.signed !== null) return false
  const nowMs = ctx.clock.nowMs()
  // Somebody was put out while it was put together: what came out is thrown away.
  const state = stateBy(ceremony, await listCounted(tx, ceremony, nowMs))
  await moveBack(tx, ceremony, state)
  if (state !== 'ready') return false
  const permit = decideKeeper(askedBy)
  const fact = { community, atMs: nowMs, actor: askedBy, target: community, subject: null }
  const because = { reasons: permit.because, revision: numbers.revision, ceremony: id }
  if (signature === null) {
    const key = ceremony.statement.quorum.pub ?? ''
    await endCeremony(tx, id, { state: 'failed', fault: 'KeyMismatch' }, nowMs)
    await raiseMismatch(tx, community, { key, ceremony: id }, nowMs)
    await appendChained(tx, { ...fact, action: 'key.combine', because: { ...because, refused: 'KeyMismatch' } })
    return true
  }
  const details = await conclude(ctx, tx, permit, ceremony, signature, { askedBy, nowMs })
  await appendChained(tx, { ...fact, action: 'key.combine', because: { ...because, ...details } })
  return true
}

/** Sends an operation that keepers signed, as far as that goes now: else it goes on by itself. */
export async function sendConcluded(ctx: PlcWalkCtx & { readonly log: Log }, community: Did): Promise<void> {
  try {
    await walkPlcWork(ctx, community)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('ceremony.waits', { did: community, error: errorName(error) })
  }
}
