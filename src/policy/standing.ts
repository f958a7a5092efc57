/**
 * What a person may do in a space, through all edges: the least fixed point over the roster graph.
 *
 * Start from nobody standing anywhere and let edges act until nothing changes. So order never matters, cycles end by
 * themselves, one more edge never takes away, and removing one never adds. What an edge gives is what the edge says, not what
 * the person has in the space it comes from: moderators need no power over their role space to moderate the forum. And every
 * edge opens on one premise alone, so the standing of several entries is the union of what each of them gives by itself.
 *
 * What closes is little and always wins: a ban, an end of the space, and the person's own leaving, which closes the ways in by
 * other spaces until somebody puts them on the roster again. A space that is frozen keeps its people, and nobody comes through it.
 *
 * People of other communities come in second: by what they hold in their own community through its own edges alone, so that two
 * communities that nest each other keep no ghost alive, and with reading and writing at most, wherever it leads them.
 */
import { type Did, isSpaceUri, type SpaceUri } from '../names.ts'
import { ACTIONS, type Action, OWNER, type Roles } from './roles.ts'
import type { Edge, RosterGraph, Ways } from './roster-graph.ts'

/** A person kept out of a space, or of a whole community, until `untilMs` (null: until it is lifted). */
export interface Ban {
  readonly scope: SpaceUri | Did
  readonly untilMs: number | null
}

/** What is known of one person in one community, and of its spaces. */
export interface PersonIn {
  /** The edges from the person's own DID. */
  readonly own: readonly Edge[]
  readonly bans: readonly Ban[]
  /** Spaces that the person left, and was not put into again. */
  readonly left: readonly SpaceUri[]
  readonly graph: RosterGraph
  readonly roles: Roles
}

/** Everything the fixed point is computed from: dated facts of one snapshot. */
export interface StandingFacts extends PersonIn {
  /** The same person in each of the communities whose spaces are on rosters here. */
  readonly feeding: readonly PersonIn[]
  readonly nowMs: number
}

/** An edge that was passed, with what it gave, and the standing by which it was passed; null for the person's own edges. */
export interface Passed {
  readonly edge: Edge
  readonly gives: ReadonlySet<Action>
  readonly premise: Stand | null
}

/** What a person has in one space, and by which edges, in the order in which they were passed. */
export interface Stand {
  readonly actions: ReadonlySet<Action>
  readonly through: readonly Passed[]
}

/** Space → what a person has there. A space without standing is absent. */
export type Standing = ReadonlyMap<SpaceUri, Stand>

/** How the facts are looked at: now, or as they may become. */
export interface Look {
  readonly nowMs: number
  /** Whether an edge counts. */
  readonly opens: (edge: Edge) => boolean
  /** Bans and leavings are of today: whoever asks what edges can ever give looks past them. */
  readonly isPastClosings: boolean
}

/** The facts as they are in this instant. */
const asNow = (nowMs: number): Look => ({
  nowMs,
  opens: (edge) => hasBegun(edge, nowMs) && !hasEnded(edge, nowMs),
  isPastClosings: false,
})

/** Every edge that hasn't ended is open, and nobody is kept out: all that the edges can give from now on. */
export const asIfOpen = (nowMs: number): Look => ({
  nowMs,
  opens: (edge) => !hasEnded(edge, nowMs),
  isPastClosings: true,
})

/** What stands now and goes on standing until then (null: for ever). */
export function asLastingUntil(nowMs: number, untilMs: number | null): Look {
  const { opens } = asNow(nowMs)
  return { nowMs, opens: (edge) => opens(edge) && lastsUntil(edge, untilMs), isPastClosings: false }
}

/** Whether an edge doesn't count any more. */
export const hasEnded = (edge: Edge, nowMs: number): boolean => edge.untilMs !== null && edge.untilMs <= nowMs

/** Whether the time has come from which an edge counts. */
export const hasBegun = (edge: Edge, nowMs: number): boolean => edge.sinceMs === null || edge.sinceMs <= nowMs

/** Whether leaving a space closes an edge: one of another space's into it, but for that by which owners come. */
export const closesByLeaving = (left: SpaceUri, { into, from, role }: Edge): boolean =>
  // Owners answer for every space; the one who left could not come back by anybody's hand where they are alone.
  into === left && isSpaceUri(from) && role !== OWNER

/** Whether an edge doesn't end before then (null: ever). */
export const lastsUntil = (edge: Edge, untilMs: number | null): boolean =>
  edge.untilMs === null || (untilMs !== null && edge.untilMs >= untilMs)

/** What those who come from other communities may have. */
export const FOR_FOREIGNERS: ReadonlySet<Action> = new Set(['read', 'write'])

/** Facts never change, and one change asks for its actor's standing several times. */
const standings = new WeakMap<StandingFacts, Standing>()

/** The standing of one person in every space that any edge reaches. An edge whose role is unknown gives nothing. */
export function standingOf(facts: StandingFacts): Standing {
  const known = standings.get(facts)
  if (known) return known
  const standing = standingWithin(facts, null)
  standings.set(facts, standing)
  return standing
}

/**
 * What one person has in `space`, with the standings by which they have it. What stands there of other spaces is only what was
 * met on the ways to it: it ends as soon as nothing can be added to what they have in `space`.
 */
export const standingIn = (facts: StandingFacts, space: SpaceUri): Standing =>
  standingWithin(facts, { ways: facts.graph.waysInto(space), goal: space })

/** The same, walked to its end: with every edge that is open to the person on any way into the space. */
export const standingInto = (facts: StandingFacts, space: SpaceUri): Standing =>
  standingWithin(facts, { ways: facts.graph.waysInto(space), goal: null })

function standingWithin(facts: StandingFacts, towards: Towards | null): Standing {
  const look = asNow(facts.nowMs)
  const ways = towards?.ways ?? null
  const walk = new Walk(facts, look, null, towards)
  for (const edge of facts.own) if (ways === null || ways.local.has(edge.into)) walk.pass(edge, null)
  walk.goOn()
  walk.admitForeigners(FOR_FOREIGNERS)
  for (const there of facts.feeding) {
    const sources = ways ? ways.foreign.get(there.graph.community) : null
    if (sources === undefined) continue
    const grounded = groundedStanding(there, look, sources && within(there.graph, sources))
    for (const edge of facts.graph.foreign.get(there.graph.community) ?? []) {
      const source = edge.from as SpaceUri // an edge is foreign by the authority of the space it comes from
      const premise = grounded.get(source)
      if (!premise || !there.graph.isOffered(source, facts.graph.community)) continue
      if (there.graph.isClosedToPassage(source)) continue
      if (ways === null || ways.local.has(edge.into)) walk.passFrom(premise, edge)
    }
  }
  walk.goOn()
  return walk.standing
}

/** The standing by a community's own edges alone, in those of its spaces that `within` lets through. */
export function groundedStanding(
  facts: PersonIn,
  look: Look,
  isWithin: ((space: SpaceUri) => boolean) | null = null,
): Standing {
  const walk = new Walk(facts, look, isWithin)
  for (const edge of facts.own) walk.pass(edge, null)
  walk.goOn()
  return walk.standing
}

function within(graph: RosterGraph, sources: ReadonlySet<SpaceUri>): (space: SpaceUri) => boolean {
  const ways = [...sources].map((source) => graph.waysInto(source).local)
  return (space) => ways.some((local) => local.has(space))
}

/** The only edges that a walk needs, and where it may end as soon as nothing can be added; null: nowhere. */
interface Towards {
  readonly ways: Ways
  readonly goal: SpaceUri | null
}

/** One person's walk over the edges of one community, from where they stand to where that leads. */
class Walk {
  readonly standing = new Map<SpaceUri, { actions: ReadonlySet<Action>; through: Passed[] }>()
  readonly #facts: PersonIn
  readonly #look: Look
  readonly #isWithin: ((space: SpaceUri) => boolean) | null
  readonly #towards: Towards | null
  readonly #isOut: boolean
  readonly #banned: ReadonlySet<SpaceUri | Did>
  readonly #left: ReadonlySet<SpaceUri>
  readonly #passed = new Set<Edge>()
  /** Spaces in which something was gained since their edges were last followed, each once. */
  readonly #moved = new Set<SpaceUri>()
  #most: ReadonlySet<Action> | null = null
  /** Nothing can be added any more to what is asked for. */
  #hasArrived = false

  constructor(
    facts: PersonIn,
    look: Look,
    isWithin: ((space: SpaceUri) => boolean) | null,
    towards: Towards | null = null,
  ) {
    const { isPastClosings, nowMs } = look
    this.#facts = facts
    this.#look = look
    this.#isWithin = isWithin
    this.#towards = towards
    this.#banned = new Set(isPastClosings ? [] : bansInForce(facts.bans, nowMs).map(({ scope }) => scope))
    this.#left = new Set(isPastClosings ? [] : facts.left)
    this.#isOut = this.#banned.has(facts.graph.community)
  }

  /** From now on, no edge gives more than this. */
  admitForeigners(most: ReadonlySet<Action>): void {
    this.#most = most
  }

  /** Passes an edge, if it is open to the person. */
  pass(edge: Edge, premise: Stand | null): void {
    const role = this.#facts.roles.get(edge.role)
    if (!role || this.#passed.has(edge) || !this.#look.opens(edge) || this.#isClosed(edge)) return
    this.#passed.add(edge)
    const gives = this.#most === null ? role : role.intersection(this.#most)
    const here = this.standing.get(edge.into)
    const passed = { edge, gives, premise }
    if (here && gives.isSubsetOf(here.actions)) {
      here.through.push(passed)
      return
    }
    // Never added to in place: at first it is the set of the role itself.
    const actions = here ? here.actions.union(gives) : gives
    if (here) {
      here.through.push(passed)
      here.actions = actions
    } else this.standing.set(edge.into, { actions, through: [passed] })
    this.#moved.add(edge.into)
    if (actions.size === ACTIONS.length && edge.into === this.#towards?.goal) this.#hasArrived = true
  }

  /** Passes an edge from a space, if the person has there what it asks for. */
  passFrom(premise: Stand, edge: Edge): void {
    if (edge.holding === null || premise.actions.has(edge.holding)) this.pass(edge, premise)
  }

  /** Follows the edges on until nothing changes any more. */
  goOn(): void {
    for (const space of this.#moved) {
      this.#moved.delete(space)
      if (this.#hasArrived) return
      const premise = this.standing.get(space)
      if (!premise) continue
      if (!this.#look.isPastClosings && this.#facts.graph.isClosedToPassage(space)) continue
      if (this.#towards) this.#goOnTowards(premise, this.#towards.ways.edges.get(space))
      else for (const edge of this.#facts.graph.edgesFrom(space)) this.passFrom(premise, edge)
    }
  }

  #goOnTowards(premise: Stand, onward: ReadonlyMap<Action | null, readonly Edge[]> | undefined): void {
    for (const [holding, edges] of onward ?? []) {
      if (holding !== null && !premise.actions.has(holding)) continue
      for (const edge of edges) {
        this.pass(edge, premise)
        if (this.#hasArrived) return
      }
    }
  }

  #isClosed(edge: Edge): boolean {
    const { into } = edge
    if (this.#isOut || this.#banned.has(into) || this.#facts.graph.isEnded(into)) return true
    if (this.#isWithin && !this.#isWithin(into)) return true
    return this.#left.has(into) && closesByLeaving(into, edge)
  }
}

/** Those of the bans that hold at an instant. */
export const bansInForce = (bans: readonly Ban[], nowMs: number): readonly Ban[] =>
  bans.filter(({ untilMs }) => untilMs === null || nowMs < untilMs)

/** Whether a person has an action in a space. */
export const holds = (standing: Standing, space: SpaceUri, action: Action): boolean =>
  standing.get(space)?.actions.has(action) ?? false

/**
 * Edges that together show why a person has `action` in `space`, nearest first: one edge that gives it, and for a nested
 * one the edges by which the person stands where it comes from, in another community too. Empty when they don't have it.
 *
 * Always the first edge that gave what is needed: it was let through by edges before it, so the path comes to its end at the
 * person, even where it passes a space twice. `standing` must be as this file made it.
 */
export function pathTo(standing: Standing, space: SpaceUri, action: Action | null): readonly Edge[] {
  const path = new Set<Edge>()
  let at: Stand | null = standing.get(space) ?? null
  let needed = action
  while (at !== null) {
    const wanted: Action | null = needed
    const passed: Passed | undefined = at.through.find(({ gives }) => wanted === null || gives.has(wanted))
    if (!passed || path.has(passed.edge)) break
    path.add(passed.edge)
    at = passed.premise
    needed = passed.edge.holding
  }
  return [...path]
}
