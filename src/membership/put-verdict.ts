/** The verdict on putting a person on a roster: the same for one who is named by hand and for one of many in an import. */
import type { Did, SpaceUri } from '../names.ts'
import { decidePut } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import { type Edge, sameEntry } from '../policy/roster-graph.ts'
import type { PersonIn } from '../policy/standing.ts'
import type { Permit, Reason } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { required, rosterUri } from './governance.ts'
import type { Facts } from './standing-facts.ts'

/** The entry of a person. */
export type PersonEdge = Edge & { readonly from: Did }

/** A put that is allowed: by what, and what it changes. */
export interface AllowedPut {
  readonly permit: Permit<'members.add'>
  readonly because: readonly Reason[]
  readonly before: Edge | null
  readonly after: PersonEdge
  /** They had left, and come back by it. */
  readonly hadLeft: boolean
  /** Nothing changes by it. */
  readonly isSame: boolean
}

/**
 * Order of checks: UnknownRole; the entry may be held there (InvalidRequest); the verdict. `otherOwners` counts only for an owner
 * who would no longer be one. @throws Refusal
 */
export function judgePut(actor: Facts, person: Facts, after: PersonEdge, otherOwners: number): AllowedPut {
  requirePuttable(actor, after)
  const space = after.into
  const before = entryIn(person, space)
  const facts = { actor, person, roster: rosterUri(actor.graph.community), otherOwners }
  const decision = decidePut(facts, actor.did, { space, person: after.from, before, after })
  const permit = required(decision)
  const hadLeft = person.left.includes(space)
  const isSame = before !== null && sameEntry(before, after) && !hadLeft
  return { permit, because: decision.because, before, after, hadLeft, isSame }
}

/** That there is such a role, and that a person may hold it there, whoever puts them. @throws Refusal UnknownRole, InvalidRequest */
export function requirePuttable(actor: Facts, edge: PersonEdge): void {
  if (!actor.roles.has(edge.role)) throw new Refusal('UnknownRole', 'the community has no such role')
  requireHoldable(edge, actor.graph.community)
}

/** Particulars of a put, for the audit. */
export const putDetails = (before: Edge | null, { role, sinceMs, untilMs }: Edge) => ({
  ...{ role, roleBefore: before?.role ?? null, sinceMs, untilMs },
})

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

/** A person's own entry on a roster, whether it counts or not. */
export const entryIn = (person: PersonIn, space: SpaceUri): Edge | null =>
  person.own.find((edge) => edge.into === space) ?? null
