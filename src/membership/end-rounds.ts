/** Going round the spaces that ended, a bounded step for each in its turn, so that a large one holds up no small one. */
import type { SpaceUri } from '../names.ts'
import { type Clock, sleep } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { listSpaceEnds } from './space-end-store.ts'

export interface EndsCtx {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
}

/** Ends looked at together. */
const PAGE_MAX = 100
/** After each step others have the database for this part of the time that it took, and so many milliseconds at the least. */
const REST_PART = 0.5
const REST_MIN_MS = 2

/** One step for one end. False: there was nothing to do now, or another process is at it. */
type Step = (space: SpaceUri) => Promise<boolean>

/**
 * Goes round the ends that are told, or not told yet, until a whole round has done nothing, or until it is told to end. Answers how
 * many steps did something. A step that fails is told, and tried again when somebody next goes round.
 */
export async function goRoundEnds(ctx: EndsCtx, told: boolean, step: Step, signal?: AbortSignal): Promise<number> {
  let done = 0
  for (let before = -1; before < done; ) {
    before = done
    for (let page = await listSpaceEnds(ctx.db, told, '', PAGE_MAX); page.length > 0; ) {
      for (const space of page) {
        if (signal?.aborted) return done
        const beganMs = ctx.clock.monotonicMs()
        if (await isDone(ctx, step, space)) done += 1
        await sleep(Math.max(REST_MIN_MS, REST_PART * (ctx.clock.monotonicMs() - beganMs)), signal)
      }
      page = await listSpaceEnds(ctx.db, told, page.at(-1) ?? '', PAGE_MAX)
    }
  }
  return done
}

async function isDone(ctx: EndsCtx, step: Step, space: SpaceUri): Promise<boolean> {
  try {
    return await step(space)
  } catch (error) {
    ctx.log.warn('spaceEnd.waits', { space, error: errorName(error) })
    return false
  }
}
