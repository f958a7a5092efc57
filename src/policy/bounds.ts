/**
 * How far a change of a roster may go: nobody gives what they don't hold, and nobody takes from those above them.
 *
 * Judged by effect, over every space to which the change leads, and over all that its edges can give from now on: an entry that
 * opens tomorrow, or a ban that is lifted, must not turn out to have given what its maker never had.
 */
import { type Did, isSpaceUri, type SpaceUri } from '../names.ts'
import { type Action, isManaging, OWNER, type Roles } from './roles.ts'
import type { Edge, RosterGraph } from './roster-graph.ts'
import {
  asIfOpen,
  asLastingUntil,
  closesByLeaving,
  groundedStanding,
  holds,
  type Look,
  lastsUntil,
  type PersonIn,
  type Standing,
  type StandingFacts,
} from './standing.ts'

/** One managing action in one space. */
export interface Power {
  readonly space: SpaceUri
  readonly action: Action
}

/**
 * The first managing action by which a change goes beyond its actor.
 *
 * What the entry gives, the actor must hold in the same space now and for as long as the entry gives it: else somebody whose
 * time runs out could stay through a puppet, and take the community from those who lent it to them. What the person has by
 * other entries excuses nothing, because this one would outlive them.
 *
 * Where the entry is what gave somebody something, whoever takes it must be their equal there: every managing action that the
 * person has in that space, now or later and by whatever way, the actor must hold there now. Else those who are trusted with
 * less could put out those who are trusted with more. Of themself everybody may take.
 */
export function firstExcess(
  { actor, person }: { readonly actor: StandingFacts; readonly person: PersonIn },
  standing: Standing,
  { before, after }: { readonly before: Edge | null; readonly after: Edge | null },
  isSelf: boolean,
): Power | null {
  const given = firstGivenBeyond(actor, person, after, before)
  if (given) return given
  if (isSelf || before === null) return null
  const taken = new Set([...givenBeyond(person, actor.nowMs, before, after)].map((power) => power.space))
  return firstAbove(standing, person, actor.nowMs, taken)
}

/** The first managing action that `after` gives beyond `before`, and the actor doesn't hold for as long. */
export function firstGivenBeyond(
  actor: StandingFacts,
  person: PersonIn,
  after: Edge | null,
  before: Edge | null,
): Power | null {
  if (after === null || leadsToNoPower(person, after)) return null
  for (const power of givenBeyond(person, actor.nowMs, after, before)) {
    if (!isManaging(power.action)) continue
    if (!holds(standingUntil(actor, after.untilMs), power.space, power.action)) return power
  }
  return null
}

/**
 * Whether an entry gives no managing action anywhere, which is so for most: its role has none, and nor has any nested space a role
 * with one that is not asked for another. Whoever begins without one then never comes to have one, however far the entry leads.
 */
function leadsToNoPower({ graph, roles }: PersonIn, entry: Edge): boolean {
  const hasPower = (role: string): boolean => [...(roles.get(role) ?? [])].some(isManaging)
  if (roles !== graph.roles || hasPower(entry.role)) return false
  const known = powerless.get(graph)
  if (known !== undefined) return known
  const powerful = new Set([...roles.keys()].filter(hasPower))
  const isPowerless = graph.edges.every(
    ({ role, holding }) => !powerful.has(role) || (holding !== null && isManaging(holding)),
  )
  powerless.set(graph, isPowerless)
  return isPowerless
}

const powerless = new WeakMap<RosterGraph, boolean>()

/** Facts never change, and of one actor's many changes each asks for what they go on holding. */
const lasting = new WeakMap<StandingFacts, Map<number | null, Standing>>()

function standingUntil(actor: StandingFacts, untilMs: number | null): Standing {
  const known = lasting.get(actor) ?? new Map<number | null, Standing>()
  lasting.set(actor, known)
  const standing = known.get(untilMs) ?? groundedStanding(actor, asLastingUntil(actor.nowMs, untilMs))
  known.set(untilMs, standing)
  return standing
}

/** The first managing action that a person has in one of the spaces, now or later, and the actor doesn't hold there now. */
export function firstAbove(
  standing: Standing,
  person: PersonIn,
  nowMs: number,
  spaces: Iterable<SpaceUri>,
): Power | null {
  const held = groundedStanding(person, asIfOpen(nowMs))
  for (const space of spaces) {
    for (const action of held.get(space)?.actions ?? []) {
      if (isManaging(action) && !holds(standing, space, action)) return { space, action }
    }
  }
  return null
}

/**
 * What an entry gives, at any time from now on and in any space it leads to, that the other entry in its place doesn't give
 * all that time.
 *
 * Every edge opens on one premise: standing in its space at all, or one action there. So what an entry gives is the union of
 * what its premises lead to, one by one, and it can be judged alone, however many others the person has. The premises that the
 * two entries share lead to the same at every instant, whichever edges come and go on the way; what remains is followed through
 * every edge that hasn't ended, as if all of them were open and nobody banned, for one of them may open later, and bans are lifted.
 */
function* givenBeyond(facts: PersonIn, nowMs: number, entry: Edge | null, other: Edge | null): Generator<Power> {
  if (entry === null) return
  const shared = other !== null && covers(other, entry, nowMs) ? facts.roles.get(other.role) : undefined
  const isShared = ({ from, holding }: Edge): boolean =>
    shared !== undefined && from === entry.into && (holding === null || shared.has(holding))
  const open = asIfOpen(nowMs)
  const look: Look = { ...open, opens: (edge) => open.opens(edge) && !isShared(edge) }
  for (const [space, { actions }] of groundedStanding({ ...facts, own: [entry] }, look)) {
    for (const action of actions) if (space !== entry.into || !shared?.has(action)) yield { space, action }
  }
}

/** Whether, from now on, one entry counts whenever the other does, and for everybody whom the other lets through. */
function covers(one: Edge, other: Edge, nowMs: number): boolean {
  if (one.holding !== null && one.holding !== other.holding) return false
  const beginsInTime = (one.sinceMs ?? nowMs) <= Math.max(other.sinceMs ?? nowMs, nowMs)
  return beginsInTime && lastsUntil(one, other.untilMs)
}

/** The first managing action that `before` gives beyond `after`, and the actor doesn't hold where it is given. */
export function firstTaken(
  standing: Standing,
  actor: StandingFacts,
  before: Edge | null,
  after: Edge | null,
): Power | null {
  for (const power of givenBeyond(actor, actor.nowMs, before, after)) {
    if (isManaging(power.action) && !holds(standing, power.space, power.action)) return power
  }
  return null
}

/** The spaces in which a person loses something when some edges are closed to them. */
function* lostWithout(person: PersonIn, nowMs: number, isClosed: (edge: Edge) => boolean): Generator<SpaceUri> {
  const look = asIfOpen(nowMs)
  const without = groundedStanding(person, { ...look, opens: (edge) => !isClosed(edge) && look.opens(edge) })
  for (const [space, { actions }] of groundedStanding(person, look)) {
    if ((without.get(space)?.actions.size ?? -1) < actions.size) yield space
  }
}

/** A community is owned without a term: by somebody whose time runs out it would be left without an owner. */
export const isOwnership = (edge: Edge | null): boolean =>
  edge !== null && edge.role === OWNER && edge.sinceMs === null && edge.untilMs === null

/** Whether a person is an owner: directly on the roster, and without a term. */
export const isOwnerIn = (person: PersonIn, roster: SpaceUri): boolean =>
  person.own.some((edge) => edge.into === roster && isOwnership(edge))

/** The spaces in which a person loses something by a ban from `scope` (a space, or the whole community), or gets it back. */
export const spacesBehind = (person: PersonIn, nowMs: number, scope: SpaceUri | Did): Iterable<SpaceUri> =>
  scope === person.graph.community
    ? groundedStanding(person, asIfOpen(nowMs)).keys()
    : lostWithout(person, nowMs, (edge) => edge.into === scope)

/**
 * The first power above the actor that comes back with somebody who had left, once they are put there again: for then the other
 * spaces bring them in as well. What that gives them somebody gave them once, and they let go of it: it is not for somebody with
 * less to give it back.
 */
export function firstBroughtBack(
  { actor, person }: { readonly actor: StandingFacts; readonly person: PersonIn },
  standing: Standing,
  { space, after }: { readonly space: SpaceUri; readonly after: Edge | null },
): Power | null {
  if (after === null || !person.left.includes(space)) return null
  const back = lostWithout(person, actor.nowMs, (edge) => closesByLeaving(space, edge))
  return firstAbove(standing, person, actor.nowMs, back)
}

/** The first managing action that some entries give together, anywhere and at any time from now on, and the actor doesn't hold there. */
export function firstGivenBy(standing: Standing, actor: StandingFacts, entries: readonly Edge[]): Power | null {
  for (const [space, { actions }] of groundedStanding({ ...actor, own: entries }, asIfOpen(actor.nowMs))) {
    for (const action of actions) if (isManaging(action) && !holds(standing, space, action)) return { space, action }
  }
  return null
}

/**
 * The first power that whoever asks would get, where a space takes everybody: by its entry for them alone, by what `edge` adds, or
 * by what roles shall allow from now on. Nobody may have one without somebody's leave, not even an owner's once and for all.
 */
export function firstWithoutLeave(
  facts: PersonIn & { readonly nowMs: number },
  { edge, roles = facts.roles, openings = facts.graph.openings }: Change,
): Power | null {
  if (openings.length === 0) return null
  const open = asIfOpen(facts.nowMs)
  const newcomers = groundedStanding({ ...facts, roles, own: openings }, open)
  const first = firstManaging(newcomers)
  if (first || !edge || !isSpaceUri(edge.from)) return first
  const premise = newcomers.get(edge.from)
  if (!premise || (edge.holding !== null && !premise.actions.has(edge.holding))) return null
  return firstManaging(groundedStanding({ ...facts, roles, own: [edge] }, open))
}

/** What shall be otherwise: an entry more, other roles, other spaces that take everybody. */
interface Change {
  readonly edge?: Edge
  readonly roles?: Roles
  readonly openings?: readonly Edge[]
}

function firstManaging(standing: Standing): Power | null {
  for (const [space, { actions }] of standing) {
    for (const action of actions) if (isManaging(action)) return { space, action }
  }
  return null
}
