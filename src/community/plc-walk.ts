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
import {
  confirmHandle,
  type HandleCtx,
  headNames,
  isStillSaid,
  refuseHandle,
  requireDocument,
} from './handle-change.ts'
import { DIRECTORY_LAG_MAX_MS } from './mint-walk.ts'
import { loadPlcWork, movePlcWork, type PlcFault, type PlcWork } from './plc-work-store.ts'
import { hasCommunityEnded } from './store.ts'

export interface PlcWalkCtx extends HandleCtx {
  readonly directory: PlcDirectory
}

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
  let log = await readLog(ctx, work)
  let fault: PlcFault | null = null
  if (fateOf(work, log) === 'open') {
    // It may be on its way to the directory already, where it can't be called back; it isn't sent again.
    if (await hasCommunityEnded(ctx.db, work.community)) return giveUpInTime(ctx, work, 'PlcConflict')
    const answer = await ctx.directory.submit(work.community, work.operation)
    if (answer !== 'accepted') fault = answer.refused === 'conflict' ? 'PlcConflict' : 'PlcRejected'
    log = await readLog(ctx, work)
  }
  const fate = fateOf(work, log)
  if (fate === 'lost') {
    await refuse(ctx, work, 'PlcConflict')
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

/** The log of a DID that we founded: that there is none is no answer of a directory that can be believed. */
async function readLog(ctx: PlcWalkCtx, { community }: PlcWork): Promise<VerifiedPlcLog> {
  const log = await ctx.directory.readLog(community)
  if (!log) throw new Unavailable('UpstreamFailure', 'plc-directory')
  return log
}

/**
 * What the verified log says of the operation we signed.
 *
 *   inForce  it is there, and nothing undid it; others may have followed
 *   lost     something else stands in its place, or undid it: our key is the last, so ours can't come into force any more
 *   open     the operation that it follows is the head
 *   behind   the log doesn't reach as far as the operation that it follows: an old state, of which nothing can be concluded
 */
function fateOf(work: PlcWork, { head, ops }: VerifiedPlcLog): 'inForce' | 'lost' | 'open' | 'behind' {
  const ours = ops.find(({ cid }) => cid === work.operationCid)
  if (ours) return ours.nullified ? 'lost' : 'inForce'
  if (head.cid === work.operation.prev) return 'open'
  return ops.some(({ cid }) => cid === work.operation.prev) ? 'lost' : 'behind'
}

async function confirm(ctx: PlcWalkCtx, work: PlcWork, log: VerifiedPlcLog): Promise<void> {
  // Nothing here follows from it any more, so nobody has to say that it is so.
  if (await hasCommunityEnded(ctx.db, work.community)) {
    return withTransaction(ctx.db, (tx) => confirmHandle(ctx, tx, work, false))
  }
  // A mightier key may have written over it since.
  if (!headNames(log.head, work.about.handle)) return refuse(ctx, work, 'PlcConflict')
  await requireDocument(ctx, work.community, log.head)
  const isVerified = await isStillSaid(ctx, work)
  await withTransaction(ctx.db, (tx) => confirmHandle(ctx, tx, work, isVerified))
}

async function refuse(ctx: PlcWalkCtx, work: PlcWork, fault: PlcFault): Promise<void> {
  const { community, kind } = work
  ctx.log.warn('plcWork.refused', { did: community, kind, fault })
  await withTransaction(ctx.db, (tx) => refuseHandle(ctx, tx, work, fault))
}
