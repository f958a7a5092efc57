/** The work on identities that goes on by itself: what is done in each turn, and how long it rests between two. */
import { forgetArrivals } from './arrival-store.ts'
import { watchArrivals } from './arrivals.ts'
import type { Fence } from './fence.ts'
import { beginWatching, type WatchCtx, watchLogs } from './plc-watcher.ts'

export interface WatchTurn {
  readonly name: string
  readonly work: (signal: AbortSignal) => Promise<unknown>
  readonly pauseMs: number
}

/** Whose document, or log, is due is found in these turns, and that another process found a community gone. */
const LOOK_PAUSE_MS = 1_000
/** Communities that were just opened begin to be watched then, and those that may have come are found. */
const BEGIN_PAUSE_MS = 15_000
const FORGET_PAUSE_MS = 60 * 60_000
/** How long it is known that somebody wanted to bring a community here and didn't. */
const ARRIVALS_KEPT_MS = 30 * 24 * 60 * 60_000
const FORGET_MAX = 5_000

const forgetOldArrivals = ({ db, clock }: WatchCtx): Promise<number> =>
  forgetArrivals(db, clock.nowMs() - ARRIVALS_KEPT_MS, FORGET_MAX)

/** Each goes on by itself: who is slow keeps none of the others waiting. */
export const watchTurns = (ctx: WatchCtx & { readonly fence: Fence }): readonly WatchTurn[] => [
  { name: 'watch-begin', work: () => beginWatching(ctx), pauseMs: BEGIN_PAUSE_MS },
  { name: 'watch-logs', work: (signal) => watchLogs(ctx, signal), pauseMs: LOOK_PAUSE_MS },
  { name: 'watch-documents', work: (signal) => ctx.fence.watch(signal), pauseMs: LOOK_PAUSE_MS },
  { name: 'watch-arrivals', work: (signal) => watchArrivals(ctx, signal), pauseMs: BEGIN_PAUSE_MS },
  { name: 'forget-arrivals', work: () => forgetOldArrivals(ctx), pauseMs: FORGET_PAUSE_MS },
  { name: 'watch-left', work: () => ctx.fence.follow(), pauseMs: LOOK_PAUSE_MS },
]
