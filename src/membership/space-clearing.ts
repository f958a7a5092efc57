/**
 * Clears away what was in a space, once everybody who asked to hear of its end is put down to be told. Until that is done nobody makes a
 * new space of its name: a ban, an entry or a proposal of the old one would else count in the new one.
 */
import type { SpaceUri } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { type EndsCtx, goRoundEnds } from './end-rounds.ts'
import { cancelProposalsAbout } from './proposal-store.ts'
import { clearSpace } from './space-clearing-store.ts'
import { forgetSpaceEnd, holdSpaceEnd } from './space-end-store.ts'

export interface ClearingCtx extends EndsCtx {
  /**
   * Whether a credential for the space is neither over nor taken back. None is issued any more, so once there is none there will
   * be none.
   */
  readonly isStillHeld: (space: SpaceUri) => Promise<boolean>
}

/** Rows of one step. */
const ROWS_AT_ONCE = 5_000

/**
 * Goes on until nothing is left to clear away now, or until it is told to end. Answers how many steps it took. Each step is a
 * transaction of its own that holds the note, so a process that dies leaves a smaller rest, and two never do the same.
 */
export const clearEndedSpaces = (ctx: ClearingCtx, signal?: AbortSignal): Promise<number> =>
  goRoundEnds(ctx, true, (space) => clearNext(ctx, space), signal)

async function clearNext(ctx: ClearingCtx, space: SpaceUri): Promise<boolean> {
  // A credential of the old space must not be judged by the roster of a new one: it is taken back first, or over.
  const isHeld = await ctx.isStillHeld(space)
  return withTransaction(ctx.db, async (tx) => {
    const end = await holdSpaceEnd(tx, space, true)
    if (!end) return false
    const gone = await clearSpace(tx, space, ROWS_AT_ONCE)
    const cancelled = await cancelProposalsAbout(tx, end.community, space, ctx.clock.nowMs())
    if (gone >= ROWS_AT_ONCE) return true
    if (!isHeld) await forgetSpaceEnd(tx, end)
    return !isHeld || gone + cancelled > 0
  })
}
