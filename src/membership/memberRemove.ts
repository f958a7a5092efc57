/** `community.reeve.member.remove`: a person or a space goes off a roster. From the next decision on, this way is closed. */
import type * as lexicon from '../lexicons/community/reeve/member/remove.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { isOwnership } from '../policy/bounds.ts'
import { decideAct, decideRemove } from '../policy/decide.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { powersGivenBy } from './fallen-makers.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { requireSpace } from './input.ts'
import { requireOneMember } from './memberPut.ts'
import { unnest } from './nesting.ts'
import { noteOwnerGone } from './proposal-store.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { countOtherOwners, deletePersonEdge, loadSpaceState } from './store.ts'

/**
 * Removing what isn't there is no error and changes nothing, for a caller who may remove; others are refused alike, whether it
 * is there or not. Order of checks: the input (InvalidRequest); NotFound; Forbidden; EscalationDenied; LastOwner. Of two owners
 * who put each other out at once, the second stands outside when their turn comes, and is told what any stranger is told.
 */
export async function memberRemove(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const { person, memberSpace } = requireOneMember(input)
  if (person !== null && input.role !== undefined) {
    throw new Refusal('InvalidRequest', 'role is for entries of spaces; a person has one entry')
  }
  const call = {
    community: space.authority,
    actor,
    action: 'member.remove',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    memberSpace !== null
      ? unnest(tx, actorFacts, { into: space, from: memberSpace, role: input.role ?? null })
      : removePerson(ctx, tx, { space, person, actorFacts, nowMs }),
  )
}

interface Removal {
  readonly space: SpaceName
  readonly person: Did
  readonly actorFacts: Facts
  readonly nowMs: number
}

async function removePerson(ctx: GovernanceCtx, tx: Tx, removal: Removal): Promise<Changed<object>> {
  const { space, person, actorFacts, nowMs } = removal
  const actor = actorFacts.did
  const state = await loadSpaceState(tx, space.uri)
  const personFacts = await loadGroundedFacts(ctx, tx, space.authority, person)
  const before = personFacts?.own.find((edge) => edge.into === space.uri) ?? null
  const isSelf = person === actor && before !== null
  if (state !== 'live' || !personFacts || (!standingIn(actorFacts, space.uri).has(space.uri) && !isSelf))
    throw notFound()
  if (!before) {
    const because = required(decideAct(actorFacts, actor, 'members.remove', space.uri)).because
    return { answer: {}, changed: 'nothing', because }
  }
  const roster = rosterUri(space.authority)
  const otherOwners = await countOtherOwners(tx, roster, person, nowMs)
  const facts = { actor: actorFacts, person: personFacts, roster, otherOwners }
  const decision = decideRemove(facts, actor, { space: space.uri, person, before, after: null })
  const permit = required(decision)
  await deletePersonEdge(tx, permit, space.uri, person)
  if (space.uri === roster && isOwnership(before) && person !== actor) {
    await noteOwnerGone(tx, permit, space.authority, person, nowMs)
  }
  const details = { roleBefore: before.role, ...(await powersGivenBy(tx, personFacts)) }
  return { answer: {}, changed: 'roster', because: decision.because, touches: { people: [person] }, details }
}
