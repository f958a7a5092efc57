/** `community.reeve.member.unban`: a ban is lifted. What the person's entries give, they give again. */
import type * as lexicon from '../lexicons/community/reeve/member/unban.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideUnban } from '../policy/decide.ts'
import { deleteBan } from './ban-store.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from './governance.ts'
import { requireDid, requireScope } from './input.ts'
import { loadGroundedFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/**
 * Lifting a ban that isn't there changes nothing. Order of checks: the input (InvalidRequest); the space is there and the caller
 * stands in it (NotFound); Forbidden; EscalationDenied for whom the ban keeps from power that the caller lacks. An owner lifts any.
 */
export async function memberUnban(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(input)
  const person = requireDid(input.did, 'did')
  const call = {
    community,
    actor,
    action: 'member.unban',
    target: scope,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts) => {
    // Whoever was banned there stands nowhere in it; as an owner they may still lift it, so standing is the verdict's business.
    if (scope !== community && (await loadSpaceState(tx, scope as SpaceUri)) !== 'live') throw notFound()
    const personFacts = await loadGroundedFacts(ctx, tx, community, person)
    if (!personFacts) throw notFound()
    const decision = decideUnban({ actor: actorFacts, person: personFacts }, actor, scope)
    const isLifted = await deleteBan(tx, required(decision), scope, person)
    const touches = { people: [person] }
    return { answer: {}, changed: isLifted ? 'roster' : 'nothing', because: decision.because, touches }
  })
}
