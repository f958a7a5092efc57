/** `community.reeve.key.approve`: somebody says yes or no to a ceremony. */
import type * as lexicon from '../lexicons/community/reeve/key/approve.ts'
import { type GovernanceCtx, rosterUri } from '../membership/governance.ts'
import { requireSeasonedOwner } from '../membership/proposals.ts'
import { listOwners } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { requireKeyOf } from './ceremony-basis.ts'
import { isRefusedByOwners, stateAfter, whoDid } from './ceremony-course.ts'
import { moveOn } from './ceremony-end.ts'
import { actIn, bad, keepDeed } from './keeper-acts.ts'

/**
 * To a split another owner says yes, who has been one for three days; to an operation or to other owners each keeper does, before they give a
 * share, and to a drill they can say no. A no is told to everybody, and ends a ceremony only when too few are left.
 *
 * Order of checks: those of every act (`keeper-acts.ts`); the key is in force still, and they didn't say the contrary before (BadCeremony); whoever
 * approves a split has been an owner for three days (Forbidden). @throws Refusal
 */
export function keyApprove(ctx: GovernanceCtx, caller: Did, input: lexicon.$InputBody): Promise<lexicon.$OutputBody> {
  const act = input.reject === true ? 'reject' : 'approve'
  return actIn(ctx, { caller, action: `key.${act}`, act, input }, async (tx, acting) => {
    const { ceremony, deeds, nowMs } = acting
    await requireKeyOf(tx, ceremony)
    const isContrary = whoDid(deeds, act === 'approve' ? 'reject' : 'approve').includes(caller)
    if (isContrary) throw bad('you said the contrary before')
    if (ceremony.kind === 'split' && act === 'approve') {
      await requireSeasonedOwner(tx, ceremony.community, caller, nowMs)
    }
    const now = await keepDeed(tx, acting)
    const owners = await listOwners(tx, rosterUri(ceremony.community), nowMs)
    const state = isRefusedByOwners(ceremony, now, owners) ? 'cancelled' : stateAfter(ceremony, now)
    await moveOn(tx, ceremony, state, nowMs)
    return { details: { state } }
  })
}
