/** Takes up foundings that a crash, or a directory that was away, left unfinished. */
import { errorName } from '../platform/log.ts'
import { Unavailable } from '../refusals.ts'
import { type MintCtx, walkMint } from './mint-walk.ts'
import { listUnfinished } from './store.ts'

/** Foundings looked at in one turn. */
const TURN_MAX = 20

/**
 * One turn over the unfinished foundings. One that fails doesn't stop the others, but a directory that doesn't answer at all ends
 * the turn: each of the others would wait for it as long. Answers how many came to their end.
 */
export async function resumeMints(ctx: MintCtx): Promise<number> {
  let ended = 0
  for (const did of await listUnfinished(ctx.db, TURN_MAX)) {
    try {
      await walkMint(ctx, did)
      ended += 1
    } catch (error) {
      ctx.log.warn('mint.waits', { did, error: errorName(error) })
      if (error instanceof Unavailable && error.code === 'UpstreamTimeout') break
    }
  }
  return ended
}
