/**
 * The walk of an operation on a DID that exists: `prepared → submitted → confirmed`, each step recorded before the next.
 *
 *   prepared    signed and stored; nothing has left the house
 *   submitted   the operation may have reached the directory; only its log tells
 *   confirmed   an end: the log has it, and what follows from it here is written
 *   refused     an end: the directory answered no for good, the DID went another way, or the community ended before it was sent
 *
 * Every step may be taken again after a crash, by any process. As at a founding, what became of the operation is never guessed from
 * the answer to a POST. It differs from a founding in that others may write to the same DID: whoever holds a mightier key.
 */
import type { PlcDirectory } from '../identity/plc-directory.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { Did } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { Unavailable } from '../refusals.ts'
import { confirmCeremony, refuseCeremony } from './ceremony-change.ts'
import { confirmHandle, type HandleCtx, headNames, isStillSaid, refuseHandle } from './handle-change.ts'
import { confirmKeys, type KeyChangeCtx, refuseKeys } from './key-change.ts'
import { DIRECTORY_LAG_MAX_MS } from './mint-walk.ts'
import { type PinnedCtx, readPinnedLog } from './pinned-log.ts'
import { loadPlcWork, movePlcWork, type PlcFault, type PlcWork } from './plc-work-store.ts'
import { requireShown } from './shown-document.ts'
import { hasCommunityEnded } from './store.ts'

export type PlcWalkCtx = HandleCtx & PinnedCtx & KeyChangeCtx

/** Walks under way in this process, per directory: the caller, their repetitions and the worker share one. */
const underWay = new WeakMap<PlcDirectory, Map<Did, Promise<PlcWork>>>()

/**
 * Walks a community's work as far as it goes now, and answers where it stands. @throws Unavailable when the directory can't be asked,
 * or contradicts itself: the work stays where it is and is taken up again later.
 */
export function walkPlcWork(ctx: PlcWalkCtx, community: Did): Promise<PlcWork> {
  const walks = underWay.get(ctx.directory) ?? new Map<Did, Promise<PlcWork>>()
  underWay.set(ctx.directory, walks)
  const walk = walks.get(community) ?? walkAlone(ctx, community).finally(() => walks.delete(community))
  walks.set(community, walk)
  return walk
}

async function walkAlone(ctx: PlcWalkCtx, community: Did): Promise<PlcWork> {
  for (;;) {
    const work = await loadPlcWork(ctx.db, community)
    if (!work) throw new Error('no such work')
    if (work.step === 'confirmed' || work.step === 'refused') return work
    if (work.step === 'prepared') await send(ctx, work)
    else await submit(ctx, work)
  }
}

/** The end of a community gives up what is prepared, so that what is read here can't be older than the step that is taken on it. */
async function send(ctx: PlcWalkCtx, work: PlcWork): Promise<void> {
  const to = (await hasCommunityEnded(ctx.db, work.community))
    ? ({ step: 'refused', fault: 'PlcConflict' } as const)
    : ({ step: 'submitted' } as const)
  await movePlcWork(ctx.db, work, 'prepared', to)
}

async function submit(ctx: PlcWalkCtx, work: PlcWork): Promise<void> {
  let log = await readPinnedLog(ctx, work.community)
  let fault: PlcFault | null = null
  if (fateOf(work, log) === 'open') {
    // It may be on its way to the directory already, where it can't be called back; it isn't sent again.
    if (await hasCommunityEnded(ctx.db, work.community)) return giveUpInTime(ctx, work, 'PlcConflict')
    const answer = await ctx.directory.submit(work.community, work.operation)
    if (answer !== 'accepted') fault = answer.refused === 'conflict' ? 'PlcConflict' : 'PlcRejected'
    log = await readPinnedLog(ctx, work.community)
  }
  const fate = fateOf(work, log)
  if (fate === 'lost' || fate === 'undone') {
    await refuse(ctx, work, 'PlcConflict', fate === 'undone')
  } else if (fate === 'inForce') {
    await confirm(ctx, work, log)
  } else if (fate === 'open' && fault) {
    await giveUpInTime(ctx, work, fault)
  } else {
    throw new Unavailable('UpstreamFailure', 'plc-directory')
  }
}

/** Gives work up when the directory had time to show it. @throws Unavailable before that */
async function giveUpInTime(ctx: PlcWalkCtx, work: PlcWork, fault: PlcFault): Promise<void> {
  if (ctx.clock.nowMs() - work.createdAtMs <= DIRECTORY_LAG_MAX_MS) {
    throw new Unavailable('UpstreamFailure', 'plc-directory')
  }
  await refuse(ctx, work, fault)
}

/**
 * What the verified log says of the operation we signed.
 *
 *   inForce  it is there, and nothing undid it; others may have followed
 *   undone   it was there, and a mightier key undid it
 *   lost     something else stands in its place: our key is the last, so ours can't come into force any more; nor does what keepers were shown
 *            on top of another head
 *   open     the operation that it follows is the head
 *   behind   the log doesn't reach as far as the operation that it follows: an old state, of which nothing can be concluded
 */
function fateOf(work: PlcWork, { head, ops }: VerifiedPlcLog): 'inForce' | 'undone' | 'lost' | 'open' | 'behind' {
  const ours = ops.find(({ cid }) => cid === work.operationCid)
  if (ours) return ours.nullified ? 'undone' : 'inForce'
  const upon = work.kind === 'ceremony' ? work.about.head : work.operation.prev
  if (head.cid === upon) return 'open'
  return ops.some(({ cid }) => cid === upon) ? 'lost' : 'behind'
}

async function confirm(ctx: PlcWalkCtx, work: PlcWork, { head }: VerifiedPlcLog): Promise<void> {
  const hasEnded = await hasCommunityEnded(ctx.db, work.community)
  if (!hasEnded) {
    // A mightier key may have written over it since. Of keys that is seen when they are written.
    if (work.kind === 'handle' && !headNames(head, work.about.handle)) return refuse(ctx, work, 'PlcConflict')
    if (head.operation.type === 'plc_operation') await requireShown(ctx, work.community, head.operation)
  }
  if (work.kind === 'handle') {
    // After the end nothing here follows from it any more, so nobody has to say that it is so.
    const isVerified = !hasEnded && (await isStillSaid(ctx, work))
    await withTransaction(ctx.db, (tx) => confirmHandle(ctx, tx, work, isVerified))
    return
  }
  await withTransaction(ctx.db, (tx) =>
    work.kind === 'keys' ? confirmKeys(ctx, tx, work, head) : confirmCeremony(ctx, tx, work, head),
  )
  ctx.vault.letGo(work.community)
}

async function refuse(ctx: PlcWalkCtx, work: PlcWork, fault: PlcFault, isUndone = false): Promise<void> {
  const { community, kind } = work
  ctx.log.warn('plcWork.refused', { did: community, kind, fault })
  await withTransaction(ctx.db, (tx) => {
    if (work.kind === 'handle') return refuseHandle(ctx, tx, work, fault)
    return work.kind === 'keys' ? refuseKeys(ctx, tx, work, { fault, isUndone }) : refuseCeremony(ctx, tx, work, fault)
  })
}
