/** `community.reeve.key.conclude`: whoever combined the shares gives what they made. */
import { givenHashOf, isConcludedBy } from '../keys/ceremony-statements.ts'
import type * as lexicon from '../lexicons/community/reeve/key/conclude.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { Refusal } from '../refusals.ts'
import { missingIn } from './ceremony-course.ts'
import { conclude, type EndCtx } from './ceremony-end.ts'
import { shownCeremony } from './ceremony-view.ts'
import { sendConcluded } from './combine-here.ts'
import { actIn, bad, keepDeed } from './keeper-acts.ts'
import type { PlcWalkCtx } from './plc-walk.ts'

type ConcludeCtx = GovernanceCtx & PlcWalkCtx & EndCtx

/**
 * The shares are put together at their tool, and this service sees none. What they give is worth nothing but for this ceremony: it is the key's
 * signature over exactly the bytes that every keeper signed.
 *
 * Order of checks: those of every act (`keeper-acts.ts`); enough keepers gave their share (QuorumNotMet); the signature is the key's over what the
 * ceremony is for, and the key is in force still (BadCeremony); nothing else changes the identity now (PlcConflict, RotationUnderWay: try again).
 * @throws Refusal
 */
export async function keyConclude(
  ctx: ConcludeCtx,
  caller: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const subjectOf = () => givenHashOf(input.signature)
  const call = { caller, action: 'key.conclude', act: 'conclude', input, subjectOf } as const
  const answer = await actIn(ctx, call, async (tx, acting) => {
    const { ceremony, deeds, permit, nowMs } = acting
    const { statement, statementHash } = ceremony
    if (ceremony.state !== 'ready') {
      // Also where enough did, and some of them are keepers no more.
      throw new Refusal('QuorumNotMet', `${missingIn(ceremony, deeds)} more keepers have to act`)
    }
    if (!isConcludedBy(statement, statementHash, input.signature)) {
      throw bad('the signature is not by the key of this ceremony, or not over what it is for')
    }
    await keepDeed(tx, acting)
    return { details: await conclude(ctx, tx, permit, ceremony, input.signature, { askedBy: caller, nowMs }) }
  })
  if (answer.kind !== 'combine' || answer.state !== 'ready') return answer
  await sendConcluded(ctx, requireDid(input.community, 'community'))
  return shownCeremony(ctx, ctx.db, input.ceremony, caller)
}
