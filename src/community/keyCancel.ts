/** `community.reeve.key.cancel`: a ceremony is ended before it has come to its end. */
import type * as lexicon from '../lexicons/community/reeve/key/cancel.ts'
import { type GovernanceCtx, rosterUri } from '../membership/governance.ts'
import { listOwners } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isCancelledBy } from './ceremony-course.ts'
import { moveOn } from './ceremony-end.ts'
import { actIn, keepDeed } from './keeper-acts.ts'

/**
 * Whoever began it alone; else each owner says so, until they are more than half of those who own the community: one person must not keep the
 * others from their key. For a drill that a keeper began who owns nothing, one owner is enough; of one about the
 * owners none is. What came out of it already is on its way, and can't be cancelled.
 *
 * Order of checks: those of every act (`keeper-acts.ts`). @throws Refusal
 */
export function keyCancel(ctx: GovernanceCtx, caller: Did, input: lexicon.$InputBody): Promise<lexicon.$OutputBody> {
  return actIn(ctx, { caller, action: 'key.cancel', act: 'cancel', input }, async (tx, acting) => {
    const { ceremony, nowMs } = acting
    const deeds = await keepDeed(tx, acting)
    const owners = await listOwners(tx, rosterUri(ceremony.community), nowMs)
    const state = isCancelledBy(ceremony, deeds, owners) ? 'cancelled' : ceremony.state
    await moveOn(tx, ceremony, state, nowMs)
    return { details: { state } }
  })
}
