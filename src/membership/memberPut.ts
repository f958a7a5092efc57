/** `community.reeve.member.put`: a person or a space comes onto a roster, or gets another role there. */
import type * as lexicon from '../lexicons/community/reeve/member/put.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decidePut } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import { type Edge, sameEntry } from '../policy/roster-graph.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { deleteDeparture } from './ban-store.ts'
import { powersGivenBy } from './fallen-makers.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { parseHolding, parseInstant, requireDid, requireSpace } from './input.ts'
import { requireRoomForOwner } from './limits.ts'
import { nest } from './nesting.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { countOtherOwners, loadSpaceState, savePersonEdge } from './store.ts'

/**
 * Order of checks: the input, of which `did` and `memberSpace` name one between them (InvalidRequest); then, for a person, the
 * space is there and the caller stands in it (NotFound); the role exists (UnknownRole) and may be held there (InvalidRequest);
 * the verdict (Forbidden, EscalationDenied, LastOwner); there is room for an owner more (LimitExceeded). For a space, as `nest`
 * has it.
 */
export async function memberPut(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const entry = {
    into: space.uri,
    role: input.role,
    holding: parseHolding(input.holding),
    sinceMs: parseInstant(input.since, 'since'),
    untilMs: parseInstant(input.until, 'until'),
  }
  const { person, memberSpace } = requireOneMember(input)
  const call = {
    community: space.authority,
    actor,
    action: 'member.put',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) => {
    if (memberSpace !== null) return nest(tx, actorFacts, { ...entry, from: memberSpace }, nowMs)
    if (entry.holding !== null) throw new Refusal('InvalidRequest', 'holding is for entries of spaces')
    return putPerson(ctx, tx, actorFacts, { ...entry, from: person }, nowMs)
  })
}

/** Who a call is about: one person, or one space. @throws Refusal('InvalidRequest') */
export function requireOneMember(input: {
  readonly did?: string | undefined
  readonly memberSpace?: string | undefined
}): { person: Did; memberSpace: null } | { person: null; memberSpace: SpaceUri } {
  const { did, memberSpace } = input
  if (did !== undefined && memberSpace === undefined) return { person: requireDid(did, 'did'), memberSpace: null }
  if (did === undefined && memberSpace !== undefined) {
    return { person: null, memberSpace: requireSpace(memberSpace, 'memberSpace').uri }
  }
  throw new Refusal('InvalidRequest', 'send either did or memberSpace')
}

async function putPerson(
  ctx: GovernanceCtx,
  tx: Tx,
  actor: Facts,
  after: Edge & { readonly from: Did },
  nowMs: number,
): Promise<Changed<object>> {
  const community = actor.graph.community
  const { into: space, from: person } = after
  const isLive = (await loadSpaceState(tx, space)) === 'live'
  if (!isLive || !standingIn(actor, space).has(space)) throw notFound()
  if (!actor.roles.has(after.role)) throw new Refusal('UnknownRole', 'the community has no such role')
  requireHoldable(after, community)
  const roster = rosterUri(community)

  const personFacts = await loadGroundedFacts(ctx, tx, community, person)
  if (!personFacts) throw notFound()
  const before = personFacts.own.find((edge) => edge.into === space) ?? null
  const otherOwners = await countOtherOwners(tx, roster, person, nowMs)
  const facts = { actor, person: personFacts, roster, otherOwners }
  const decision = decidePut(facts, actor.did, { space, person, before, after })
  const permit = required(decision)
  if (after.role === OWNER && before?.role !== OWNER) requireRoomForOwner(otherOwners)

  const hadLeft = personFacts.left.includes(space)
  const isSame = before !== null && sameEntry(before, after) && !hadLeft
  if (!isSame) await savePersonEdge(tx, permit, community, after, nowMs)
  if (hadLeft) await deleteDeparture(tx, permit, space, person)
  const { role, sinceMs, untilMs } = after
  const made = before === null ? {} : await powersGivenBy(tx, personFacts)
  const details = { role, roleBefore: before?.role ?? null, sinceMs, untilMs, ...made }
  const touches = { people: [person], fromMs: sinceMs }
  return { answer: {}, changed: isSame ? 'nothing' : 'roster', because: decision.because, touches, details }
}

/** Owners are direct, untimed entries of the roster space: nobody may own a community for a while, or by way of a forum. */
function requireHoldable(edge: Edge, community: Did): void {
  // Its own spaces are open to it anyway, and nobody could ever act as it: a community that owned itself would have lost its owners.
  if (edge.from === community) throw new Refusal('InvalidRequest', 'a community does not stand on its own rosters')
  if (edge.sinceMs !== null && edge.untilMs !== null && edge.sinceMs >= edge.untilMs) {
    throw new Refusal('InvalidRequest', 'since is not before until')
  }
  if (edge.role !== OWNER) return
  if (edge.into !== rosterUri(community))
    throw new Refusal('InvalidRequest', 'owners stand in the roster; their role reaches every space')
  if (edge.sinceMs !== null || edge.untilMs !== null) throw new Refusal('InvalidRequest', 'an owner is not timed')
}
