/** `community.reeve.steering.apply`: what a look showed is put right, however many people are taken off the list by it. */
import type * as lexicon from '../lexicons/community/reeve/steering/apply.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { applyLook, loadLook } from './look-store.ts'
import { requireSteered } from './steered-desk.ts'
import { wakeSteered } from './steered-store.ts'

/**
 * Only whom that look showed is touched, and of them nobody is taken off who is declared by the time that their call is made.
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound) and owns it (Forbidden); the space is kept
 * (NotSteered); the look is finished and wasn't carried out yet (LookNotOpen). @throws Refusal
 */
export async function steeringApply(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { uri, authority: community } = requireSpace(input.space)
  const { ifRevision } = input
  const call = { community, actor, action: 'steering.apply', target: uri, subject: null, ifRevision, idempotency }
  return changeCommunity(ctx, call, async (tx, facts) => {
    const decision = decideAct(facts, actor, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    await requireSteered(tx, uri)
    const look = await loadLook(tx, uri, input.look)
    if (look?.state !== 'shown')
      throw new Refusal('LookNotOpen', 'that look is not there, not finished, or carried out already')
    const { removals, others } = await applyLook(tx, permit, look)
    await wakeSteered(tx, permit, uri)
    const details = { look: look.id, removals, others }
    return { answer: {}, changed: 'roster', because: decision.because, touches: { people: [] }, details }
  })
}
