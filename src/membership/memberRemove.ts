/** `community.reeve.member.remove`: a person goes off a roster. From the next decision on, this way is closed to them. */
import type * as lexicon from '../lexicons/community/reeve/member/remove.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct, decideRemove } from '../policy/decide.ts'
import { standingOf } from '../policy/standing.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { requireDid, requireSpace } from './input.ts'
import { type Facts, loadStandingFacts } from './standing-facts.ts'
import { countOwners, deletePersonEdge, loadSpaceState } from './store.ts'

/**
 * Removing somebody who isn't there is no error and changes nothing, for a caller who may remove; others are refused alike,
 * whether the person is there or not. Order of checks: NotFound; Forbidden; EscalationDenied; LastOwner. Of two owners who put
 * each other out at once, the second stands outside when their turn comes, and is told what any stranger is told.
 */
export async function memberRemove(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const person = requireDid(input.did, 'did')
  const call = {
    community: space.authority,
    actor,
    action: 'member.remove',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts) => removeOnce(ctx, tx, { space, actor, person, actorFacts }))
}

interface Removal {
  readonly space: SpaceName
  readonly actor: Did
  readonly person: Did
  readonly actorFacts: Facts
}

async function removeOnce(ctx: GovernanceCtx, tx: Tx, removal: Removal): Promise<Changed<object>> {
  const { space, actor, person, actorFacts } = removal
  const state = await loadSpaceState(tx, space.uri)
  const personFacts = await loadStandingFacts(ctx, tx, space.authority, person)
  const before = personFacts?.own.find((edge) => edge.into === space.uri) ?? null
  const isSelf = person === actor && before !== null
  if (state !== 'live' || !personFacts || (!standingOf(actorFacts).has(space.uri) && !isSelf)) throw notFound()
  if (!before) {
    const because = required(decideAct(actorFacts, actor, 'members.remove', space.uri)).because
    return { answer: {}, changed: 'nothing', because }
  }
  const roster = rosterUri(space.authority)
  const facts = { actor: actorFacts, person: personFacts, roster, owners: await countOwners(tx, roster) }
  const decision = decideRemove(facts, actor, { space: space.uri, person, before, after: null })
  await deletePersonEdge(tx, required(decision), space.uri, person)
  return { answer: {}, changed: 'roster', because: decision.because, details: { roleBefore: before.role } }
}
