/** A person comes onto a roster: put there by somebody, by an invite, or by themself where a space takes everybody. */
import type { SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { OWNER } from '../policy/roles.ts'
import { type PersonIn, standingIn } from '../policy/standing.ts'
import type { Permit } from '../policy/verdict.ts'
import { deleteDeparture } from './ban-store.ts'
import { powersGivenBy } from './fallen-makers.ts'
import { type Changed, notFound, rosterUri } from './governance.ts'
import { settleRequest } from './joining-store.ts'
import { requireRoomForOwner } from './limits.ts'
import { noteOwnerGone } from './proposal-store.ts'
import { entryIn, judgePut, type PersonEdge, putDetails, requirePuttable } from './put-verdict.ts'
import { type Facts, type FactsCtx, loadGroundedFacts } from './standing-facts.ts'
import { countOtherOwners, loadSpaceState, savePersonEdge } from './store.ts'

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
  requirePuttable(actor, after)

  const personFacts = await loadGroundedFacts(ctx, tx, community, person)
  if (!personFacts) throw notFound()
  const otherOwners = await countOtherOwners(tx, rosterUri(community), person, nowMs)
  const { permit, because, before, isSame } = judgePut(actor, personFacts, after, otherOwners)
  if (after.role === OWNER && before?.role !== OWNER) requireRoomForOwner(otherOwners)

  if (!isSame) await enter(tx, permit, personFacts, after, nowMs)
  if (before?.role === OWNER && after.role !== OWNER && person !== actor.did) {
    await noteOwnerGone(tx, permit, community, person, nowMs)
  }
  const made = before === null ? {} : await powersGivenBy(tx, personFacts)
  const details = { ...putDetails(before, after), ...made }
  const touches = { people: [person], fromMs: after.sinceMs }
  return { answer: {}, changed: isSame ? 'nothing' : 'roster', because, touches, details }
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

/** Whether a person has an entry of their own on a roster, and it hasn't ended. One that will begin is one. */
export function isOnRoster(person: PersonIn, space: SpaceUri, nowMs: number): boolean {
  const entry = entryIn(person, space)
  return entry !== null && (entry.untilMs === null || nowMs < entry.untilMs)
}
