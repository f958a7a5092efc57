/** A person comes onto a roster: put there by somebody, by an invite, or by themself where a space takes everybody. */
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { decidePut } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import { type Edge, sameEntry } from '../policy/roster-graph.ts'
import { type PersonIn, standingIn } from '../policy/standing.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { deleteDeparture } from './ban-store.ts'
import { powersGivenBy } from './fallen-makers.ts'
import { type Changed, notFound, required, rosterUri } from './governance.ts'
import { settleRequest } from './joining-store.ts'
import { requireRoomForOwner } from './limits.ts'
import { type Facts, type FactsCtx, loadGroundedFacts } from './standing-facts.ts'
import { countOtherOwners, loadSpaceState, savePersonEdge } from './store.ts'

/** An entry of a person. */
export type PersonEdge = Edge & { readonly from: Did }

/**
 * Puts a person on a roster by the hand of somebody who may. Order of checks: the space is there and the actor stands in it
 * (NotFound); the role exists (UnknownRole) and may be held there (InvalidRequest); the verdict (Forbidden, EscalationDenied,
 * LastOwner); there is room for an owner more (LimitExceeded).
 */
export async function putPerson(
  ctx: FactsCtx,
  tx: Tx,
  actor: Facts,
  after: PersonEdge,
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
  const before = entryIn(personFacts, space)
  const otherOwners = await countOtherOwners(tx, roster, person, nowMs)
  const facts = { actor, person: personFacts, roster, otherOwners }
  const decision = decidePut(facts, actor.did, { space, person, before, after })
  const permit = required(decision)
  if (after.role === OWNER && before?.role !== OWNER) requireRoomForOwner(otherOwners)

  const isSame = before !== null && sameEntry(before, after) && !personFacts.left.includes(space)
  if (!isSame) await enter(tx, permit, personFacts, after, nowMs)
  const { role, sinceMs, untilMs } = after
  const made = before === null ? {} : await powersGivenBy(tx, personFacts)
  const details = { role, roleBefore: before?.role ?? null, sinceMs, untilMs, ...made }
  const touches = { people: [person], fromMs: sinceMs }
  return { answer: {}, changed: isSame ? 'nothing' : 'roster', because: decision.because, touches, details }
}

/** Writes the entry, lets go of an earlier leaving, and answers with it what the person may have asked for. */
export async function enter(
  tx: Tx,
  permit: Permit<'members.add'> | Permit<'community.transfer'>,
  person: PersonIn,
  entry: PersonEdge,
  nowMs: number,
): Promise<void> {
  const { into: space, from: did } = entry
  await savePersonEdge(tx, permit, person.graph.community, entry, nowMs)
  if (person.left.includes(space)) await deleteDeparture(tx, permit, space, did)
  await settleRequest(tx, permit, { space, did }, { state: 'approved', reason: null, nowMs })
}

/** A person's own entry on a roster, whether it counts or not. */
export const entryIn = (person: PersonIn, space: SpaceUri): Edge | null =>
  person.own.find((edge) => edge.into === space) ?? null

/** Whether a person has an entry of their own on a roster, and it hasn't ended. One that will begin is one. */
export function isOnRoster(person: PersonIn, space: SpaceUri, nowMs: number): boolean {
  const entry = entryIn(person, space)
  return entry !== null && (entry.untilMs === null || nowMs < entry.untilMs)
}

/** Owners are direct, untimed entries of the roster space: nobody may own a community for a while, or by way of a forum. */
function requireHoldable(edge: PersonEdge, community: Did): void {
  requireNotItself(edge.from, community)
  if (edge.sinceMs !== null && edge.untilMs !== null && edge.sinceMs >= edge.untilMs) {
    throw new Refusal('InvalidRequest', 'since is not before until')
  }
  if (edge.role !== OWNER) return
  if (edge.into !== rosterUri(community))
    throw new Refusal('InvalidRequest', 'owners stand in the roster; their role reaches every space')
  if (edge.sinceMs !== null || edge.untilMs !== null) throw new Refusal('InvalidRequest', 'an owner is not timed')
}

/**
 * Its own spaces are open to a community anyway, and nobody could ever act as it: one that owned itself would have lost its owners.
 * @throws Refusal('InvalidRequest')
 */
export function requireNotItself(did: Did, community: Did): void {
  if (did === community) throw new Refusal('InvalidRequest', 'a community does not stand on its own rosters')
}
