/**
 * The verdicts on spaces themselves: which of them stands on whose roster, how it is set, whether it rests, and its end.
 */
import { authorityOf, type Did, rosterOf, type SpaceUri } from '../names.ts'
import { firstGivenBeyond, firstGivenBy, firstTaken, firstWithoutLeave } from './bounds.ts'
import { isManaging, OWNER, OWNER_MARK } from './roles.ts'
import { type Edge, isForeign } from './roster-graph.ts'
import { holds, type StandingFacts, standingOf } from './standing.ts'
import { beyond, type Decision, judgeAct, openToAnybody, type Permit, permitFor } from './verdict.ts'

/**
 * May the actor let the public into a space, or whom another service lets in, or put them out? `space.configure` there; and as that
 * concerns people whom no roster knows, an owner's standing.
 */
export function decideOpening(facts: StandingFacts, actor: Did, space: SpaceUri): Decision<Permit<'space.configure'>> {
  const roster = rosterOf(facts.graph.community).uri
  const standing = standingOf(facts)
  const ordinary = judgeAct(standing, actor, 'space.configure', space)
  if (!ordinary.ok || holds(standing, roster, OWNER_MARK)) return ordinary
  return { ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: roster, action: OWNER_MARK }] }
}

/**
 * May the actor put a space on another one's roster, new or in place of the entry there?
 *
 * Order of checks: space.nest; an entry that carries power is an owner's to make; then the bound on what it gives and takes, in
 * every space to which it leads; and that no power comes to whoever asks, where a space takes everybody. People of other
 * communities get no power by any entry, so theirs gives none to be bounded.
 */
export function decideNest(
  actor: StandingFacts,
  did: Did,
  { before, after }: { readonly before: Edge | null; readonly after: Edge },
): Decision<Permit<'space.nest'>> {
  const standing = standingOf(actor)
  const ordinary = judgeAct(standing, did, 'space.nest', after.into)
  if (!ordinary.ok) return ordinary
  const community = authorityOf(after.into)
  const power = [...(actor.roles.get(after.role) ?? [])].find(isManaging)
  if (power !== undefined && !holds(standing, rosterOf(community).uri, OWNER_MARK)) {
    return beyond({ space: after.into, action: power })
  }
  if (!isForeign(after)) {
    const over = firstGivenBeyond(actor, actor, after, before) ?? firstTaken(standing, actor, before, after)
    if (over) return beyond(over)
    const free = firstWithoutLeave(actor, { edge: after })
    if (free) return openToAnybody(free)
  }
  return ordinary
}

/** May the actor take a space off another one's roster? `space.nest`, and every power that goes with the entry, in every space. */
export function decideUnnest(actor: StandingFacts, did: Did, before: Edge): Decision<Permit<'space.nest'>> {
  const standing = standingOf(actor)
  const ordinary = judgeAct(standing, did, 'space.nest', before.into)
  if (!ordinary.ok) return ordinary
  const over = isForeign(before) ? null : firstTaken(standing, actor, before, null)
  return over ? beyond(over) : ordinary
}

/** May the actor end a space? `space.delete` there, and every power that its people have elsewhere by being in it. */
export function decideDelete(actor: StandingFacts, did: Did, space: SpaceUri): Decision<Permit<'space.delete'>> {
  const standing = standingOf(actor)
  const ordinary = judgeAct(standing, did, 'space.delete', space)
  if (!ordinary.ok) return ordinary
  const over = firstGivenBy(standing, actor, actor.graph.edgesFrom(space))
  return over ? beyond(over) : ordinary
}

/**
 * May the actor have a space rest, or wake it? `space.configure` there, and every power that its people have elsewhere by being in
 * it: while it rests, nobody comes through.
 */
export function decideFreeze(actor: StandingFacts, did: Did, space: SpaceUri): Decision<Permit<'space.configure'>> {
  const standing = standingOf(actor)
  const ordinary = judgeAct(standing, did, 'space.configure', space)
  if (!ordinary.ok) return ordinary
  const over = firstGivenBy(standing, actor, actor.graph.edgesFrom(space))
  return over ? beyond(over) : ordinary
}

/**
 * What the operator does to a community whose database was put back to an older state: it rests, and nobody is let in, until somebody who governs
 * it has looked at who is in it. It is in the name of the service, and takes nothing else from anybody.
 */
export const decideOperatorsFreeze = (service: Did): Permit<'community.configure'> =>
  permitFor('community.configure', service, [{ rule: 'operator' }])

/** The edge by which the owners of a community stand in one of its spaces. Made by the system with every space, and not removable. */
export const ownersEdge = (roster: SpaceUri, space: SpaceUri): Edge => ({
  into: space,
  from: roster,
  role: OWNER,
  holding: OWNER_MARK,
  sinceMs: null,
  untilMs: null,
})
