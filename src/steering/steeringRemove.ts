/** `community.reeve.steering.remove`: a space is kept at its PDS no longer, and stays there as it is. */
import type * as lexicon from '../lexicons/community/reeve/steering/remove.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { requireSteered } from './steered-desk.ts'
import { deleteSteered } from './steered-store.ts'

/**
 * A space that ended here is left there by it too, when it wasn't deleted yet. A call that is under way is finished.
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound) and owns it (Forbidden); the space is kept
 * (NotSteered). @throws Refusal
 */
export async function steeringRemove(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { uri, authority: community } = requireSpace(input.space)
  const { ifRevision } = input
  const call = { community, actor, action: 'steering.remove', target: uri, subject: null, ifRevision, idempotency }
  return changeCommunity(ctx, call, async (tx, facts) => {
    const decision = decideAct(facts, actor, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    const { mode } = await requireSteered(tx, uri)
    await deleteSteered(tx, permit, uri)
    return { answer: {}, changed: 'roster', because: decision.because, touches: { people: [] }, details: { mode } }
  })
}
