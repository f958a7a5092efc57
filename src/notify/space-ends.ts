/**
 * Follows the ends of spaces: everybody who asked to hear of one is put down to be told, and who wrote in it is forgotten, before
 * anything else of it is cleared away.
 */
import { type EndsCtx, goRoundEnds } from '../membership/end-rounds.ts'
import { holdSpaceEnd, markSpaceEndTold } from '../membership/space-end-store.ts'
import type { SpaceUri } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import type { Dispatcher } from './dispatcher.ts'
import { areHostsAskedFor, clearWriters, endRegistrations } from './ended-space-store.ts'

export interface SpaceEndsCtx extends EndsCtx {
  readonly dispatcher: Pick<Dispatcher, 'rouse'>
}

/** Writers of one step. */
const WRITERS_AT_ONCE = 5_000

/**
 * Goes on until no end is left that isn't told, or until it is told to end. Answers how many steps it took. Each step is a transaction
 * of its own that holds the note: what a process that dies was doing is undone, and done by the next one.
 */
export const followSpaceEnds = (ctx: SpaceEndsCtx, signal?: AbortSignal): Promise<number> =>
  goRoundEnds(ctx, false, (space) => followNext(ctx, space), signal)

async function followNext(ctx: SpaceEndsCtx, space: SpaceUri): Promise<boolean> {
  const done = await withTransaction(ctx.db, async (tx) => {
    const end = await holdSpaceEnd(tx, space, false)
    if (!end) return { toTell: 0, isAny: false }
    const toTell = await endRegistrations(tx, end)
    if (await areHostsAskedFor(tx, space, ctx.clock.nowSec())) return { toTell, isAny: toTell > 0 }
    // No write is let in after the end; yet whatever got in has to go before the note says that there is nothing left.
    const gone = await clearWriters(tx, space, WRITERS_AT_ONCE)
    if (gone < WRITERS_AT_ONCE) await markSpaceEndTold(tx, end)
    return { toTell, isAny: true }
  })
  if (done.toTell > 0) ctx.dispatcher.rouse()
  return done.isAny
}
