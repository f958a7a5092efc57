/** Takes up work at the PLC directory that a crash, or a directory that was away, left unfinished. */
import { errorName } from '../platform/log.ts'
import { Unavailable } from '../refusals.ts'
import { type PlcWalkCtx, walkPlcWork } from './plc-walk.ts'
import { listUnfinishedPlcWork } from './plc-work-store.ts'

/** Pieces of work looked at in one turn. */
const TURN_MAX = 20

/**
 * One turn over the unfinished work. A piece that fails doesn't stop the others, but a directory that doesn't answer at all ends the
 * turn: each of the others would wait for it as long. Answers how many came to their end.
 */
export async function resumePlcWork(ctx: PlcWalkCtx): Promise<number> {
  let ended = 0
  for (const community of await listUnfinishedPlcWork(ctx.db, TURN_MAX)) {
    try {
      await walkPlcWork(ctx, community)
      ended += 1
    } catch (error) {
      ctx.log.warn('plcWork.waits', { did: community, error: errorName(error) })
      if (error instanceof Unavailable && error.code === 'UpstreamTimeout') break
    }
  }
  return ended
}
