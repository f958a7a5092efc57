/**
 * Keeps the spaces at PDSes as they are declared here: several communities at once, one process for each of them, over all processes.
 *
 * A process has the turn of a community for a few seconds and goes on having it while it works; one that dies lets go of it by that.
 * Everything that has to be known afterwards is in the database before a call is made and after it is answered, and no call is made within
 * a transaction.
 */
import type { Did } from '../names.ts'
import { repeat } from '../platform/clock.ts'
import { errorName } from '../platform/log.ts'
import { randomHex } from '../platform/random.ts'
import { Calls } from './calls.ts'
import {
  keepLease,
  type Lease,
  leaseName,
  listDueCommunities,
  listDueSpaces,
  putOff,
  TURN_LONGEST_MS,
} from './keeping-store.ts'
import type { Pds } from './pds.ts'
import { type Outcome, steerSpace } from './steer-space.ts'
import { PACE, type SteeringCtx, type SteeringPace } from './steering-ctx.ts'
import { endTurn, takeTurn } from './turn-store.ts'

/** Communities that one process works for at once. */
const COMMUNITIES_AT_ONCE = 16
/** Spaces of one community that have a turn each before it is looked again which are due. */
const SPACES_MAX = 200
/** How long a process that says nothing keeps a community. */
const TAKEN_MS = 15_000
const KEEP_EVERY_MS = 4_000
/** After so long others have their turn: a large community that is told of for hours, or a PDS that takes its time, keeps nobody's ban waiting. */
const AT_A_TIME_MS = 30_000
/** So many spaces in a row that failed, and it is their PDS. */
const FAILED_MAX = 3

export interface Steering {
  /** Begins with the communities that are due, without waiting for what is begun. */
  turn(signal?: AbortSignal): Promise<void>
  /** Until nothing is under way any more. */
  settled(): Promise<void>
}

export function openSteering(ctx: SteeringCtx, pace: SteeringPace = PACE): Steering {
  const underWay = new Map<Did, Promise<void>>()
  const begin = async (community: Did, signal?: AbortSignal) => {
    const lease = { name: leaseName(community), holder: randomHex(ctx.random, 12) }
    const nowMs = ctx.clock.nowMs()
    if (!(await takeTurn(ctx.db, { ...lease, nowMs, untilMs: nowMs + TAKEN_MS, longestMs: TURN_LONGEST_MS }))) return
    const going = keepAll(ctx, pace, { community, lease, signal })
      .catch((error: unknown) => ctx.log.warn('steering.failed', { community, error: errorName(error) }))
      .finally(() => underWay.delete(community))
    underWay.set(community, going)
  }
  return {
    async turn(signal) {
      for (const community of await listDueCommunities(ctx.db, ctx.clock.nowMs(), COMMUNITIES_AT_ONCE)) {
        if (signal?.aborted || underWay.size >= COMMUNITIES_AT_ONCE) return
        if (!underWay.has(community)) await begin(community, signal)
      }
    },
    async settled() {
      while (underWay.size > 0) await Promise.allSettled(underWay.values())
    },
  }
}

interface Work {
  readonly community: Did
  readonly lease: Lease
  readonly signal: AbortSignal | undefined
}

/** Round after round over the spaces of a community that are due, until none has more to do. */
async function keepAll(ctx: SteeringCtx, pace: SteeringPace, { community, lease, signal }: Work): Promise<void> {
  const ending = new AbortController()
  const onAbort = () => ending.abort()
  signal?.addEventListener('abort', onAbort)
  if (signal?.aborted) onAbort()
  let oursUntilMs = ctx.clock.monotonicMs() + TAKEN_MS
  const keeping = repeat(async () => {
    const askedMs = ctx.clock.monotonicMs()
    // Somebody else has it by now, or nobody can say: whatever we went on with, they would do as well.
    const isKept = await keepLease(ctx.db, lease, ctx.clock.nowMs() + TAKEN_MS).catch(() => false)
    if (isKept) oursUntilMs = askedMs + TAKEN_MS
    else ending.abort()
  }, KEEP_EVERY_MS)
  const own = {
    ...ctx,
    pds: callingWhile(ctx.pds, () => !ending.signal.aborted && ctx.clock.monotonicMs() < oursUntilMs),
  }
  try {
    const turn = { lease, calls: new Calls(ctx.clock, pace), slice: pace.slice, signal: ending.signal }
    const endMs = ctx.clock.monotonicMs() + AT_A_TIME_MS
    while (!ending.signal.aborted && (await goRound(own, community, turn)) === 'more') {
      if (ctx.clock.monotonicMs() > endMs) break
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    await keeping.stop()
    await endTurn(ctx.db, lease.name, lease.holder)
  }
}

/**
 * Makes calls only while the turn is ours by our own reckoning. A process that slept through the end of its turn, and wakes in the middle of
 * a batch, would else put somebody on the list whom another has taken off it meanwhile.
 */
const callingWhile = (pds: Pds, isOurs: () => boolean): Pds => ({
  call: async (community, call) =>
    isOurs() ? pds.call(community, call) : { is: 'failed', because: 'turn', pauseMs: null },
})

async function goRound(
  ctx: SteeringCtx,
  community: Did,
  turn: Parameters<typeof steerSpace>[1],
): Promise<'more' | 'done'> {
  let isMore = false
  let failed = 0
  for (const space of await listDueSpaces(ctx.db, community, ctx.clock.nowMs(), SPACES_MAX)) {
    if (turn.signal?.aborted) return 'done'
    const outcome: Outcome = await steerSpace(ctx, turn, space)
    isMore ||= outcome === 'more'
    failed = typeof outcome === 'string' ? 0 : failed + 1
    if (typeof outcome === 'string' || (outcome.is === 'waits' && failed < FAILED_MAX)) continue
    await putOff(ctx.db, community, outcome.untilMs)
    return 'done'
  }
  return isMore ? 'more' : 'done'
}
