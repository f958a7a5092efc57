/** Applies what imports have left, batch by batch, and takes up those that a crash left in the middle. */
import { sleep } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { Refusal } from '../refusals.ts'
import { changeIn, type GovernanceCtx, keepingRefusals } from './governance.ts'
import { applyBatch } from './import-batch.ts'
import { claimRunning, listRunning, loadImport, stopRunning } from './import-store.ts'
import { callOf } from './memberApplyImport.ts'

/** Imports that have their turn one after the other. */
const TURN_MAX = 20
/** After each batch the community is let go of for as long as it was held, and this long at the least: others want it too. */
const REST_MIN_MS = 10

interface ImportsCtx extends GovernanceCtx {
  readonly log: Log
}

/** Goes on until nothing is left to apply, or until it is told to end. Answers how many batches it applied. */
export async function resumeImports(ctx: ImportsCtx, signal?: AbortSignal): Promise<number> {
  let applied = 0
  for (let before = -1; before < applied; ) {
    before = applied
    for (const id of await listRunning(ctx.db, TURN_MAX)) {
      if (signal?.aborted) return applied
      const beganMs = ctx.clock.monotonicMs()
      if (await appliedNext(ctx, id)) applied += 1
      await sleep(Math.max(REST_MIN_MS, ctx.clock.monotonicMs() - beganMs), signal)
    }
  }
  return applied
}

/** One that fails doesn't stop the others. */
async function appliedNext(ctx: ImportsCtx, id: string): Promise<boolean> {
  try {
    return await applyNext(ctx, id)
  } catch (error) {
    ctx.log.warn('import.waits', { id, error: errorName(error) })
    return false
  }
}

/**
 * One batch of an import, judged anew. Who began it and may no longer put anybody there stops it: nobody is put any more. False:
 * there was nothing to do, or another process is doing it.
 */
export async function applyNext(ctx: GovernanceCtx, id: string): Promise<boolean> {
  const one = await loadImport(ctx.db, id)
  if (!one) return false
  const call = callOf(one, one.begunBy)
  try {
    return await keepingRefusals(ctx, call, () =>
      withTransaction(ctx.db, async (tx) => {
        const held = await claimRunning(tx, id)
        if (!held) return false
        await changeIn(ctx, tx, call, (_tx, facts, nowMs) => applyBatch(ctx, tx, facts, held, nowMs))
        return true
      }),
    )
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return stopRunning(ctx.db, id, error.code, ctx.clock.nowMs())
  }
}
