/**
 * Ends ceremonies whose time has passed, with everything that was given to them, and goes on with those in which a process that had enough shares
 * died before it was done with them.
 */
import { lockRevisions } from '../membership/store.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { type Ceremony, isOverdue, listOverdue, listUncombined, loadCeremony } from './ceremony-store.ts'
import { type CombineCtx, combineHere, requireAttempt } from './combine-here.ts'
import { expire } from './keeper-acts.ts'

/** Ceremonies looked at in one turn, of each kind. */
const TURN_MAX = 50
/** A process that has enough shares is done with them sooner than this, or isn't there any more. */
const LEFT_AFTER_MS = 60_000

/** One turn. One that fails doesn't stop the others, and is tried again. Answers how many came to an end. */
export async function endCeremonies(ctx: CombineCtx): Promise<number> {
  const nowMs = ctx.clock.nowMs()
  let ended = 0
  for (const overdue of await listOverdue(ctx.db, nowMs, TURN_MAX)) {
    if (await tried(ctx, overdue, () => expireOne(ctx, overdue))) ended += 1
  }
  for (const left of await listUncombined(ctx.db, nowMs - LEFT_AFTER_MS, TURN_MAX)) {
    if (await tried(ctx, left, () => combineOne(ctx, left))) ended += 1
  }
  return ended
}

async function tried(ctx: CombineCtx, { id, community }: Ceremony, work: () => Promise<void>): Promise<boolean> {
  try {
    await work()
    return true
  } catch (error) {
    ctx.log.warn('ceremony.waits', { did: community, ceremony: id, error: errorName(error) })
    return false
  }
}

const expireOne = (ctx: CombineCtx, { id, community }: Ceremony): Promise<void> =>
  withTransaction(ctx.db, async (tx) => {
    const numbers = await lockRevisions(tx, community)
    const ceremony = await loadCeremony(tx, id)
    const nowMs = ctx.clock.nowMs()
    if (ceremony && isOverdue(ceremony, nowMs)) {
      await expire(tx, ceremony, { revision: numbers?.revision ?? 0, nowMs })
    }
  })

async function combineOne(ctx: CombineCtx, ceremony: Ceremony): Promise<void> {
  await withTransaction(ctx.db, (tx) => requireAttempt(tx, ceremony, ctx.clock.nowMs()))
  await combineHere(ctx, ceremony.id, ceremony.createdBy)
}
