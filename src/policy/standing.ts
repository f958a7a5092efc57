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
import type { Edge, RosterGraph } from './roster-graph.ts'
import type { Ways } from './ways.ts'

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
export type Standing = Pick<ReadonlyMap<SpaceUri, Stand>, 'get' | 'has' | 'size' | 'keys'> &
  Iterable<readonly [SpaceUri, Stand]>

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
  const standing = new StandingEverywhere(facts)
  standings.set(facts, standing)
  return standing
}

/** Whether somebody stands anywhere at all: for most that is said by the first of their entries that is open. */
export function standsSomewhere(facts: StandingFacts): boolean {
  const walk = new Walk(facts, asNow(facts.nowMs), null)
  return facts.own.some((edge) => walk.pass(edge, null)) || standingOf(facts).size > 0
}

/** So many spaces are looked up one by one before it costs less to walk everywhere. */
const ASKED_MAX = 8

/**
 * Walks everywhere when somebody wants to see all of it. A change asks about the space that it is made in and seldom another, and what
 * a person has there comes by the ways that lead there alone, in the same order.
 */
class StandingEverywhere implements Standing {
  readonly #facts: StandingFacts
  readonly #asked = new Map<SpaceUri, Stand | undefined>()
  #whole: Standing | null = null

  constructor(facts: StandingFacts) {
    this.#facts = facts
  }

  get(space: SpaceUri): Stand | undefined {
    if (this.#whole) return this.#whole.get(space)
    if (this.#asked.has(space)) return this.#asked.get(space)
    if (this.#asked.size === ASKED_MAX) return this.#everywhere().get(space)
    const ways = this.#facts.graph.waysInto(space)
    const stand = standingWithin(this.#facts, { ways, goal: null, isInOrder: true }).get(space)
    this.#asked.set(space, stand)
    return stand
  }

  has(space: SpaceUri): boolean {
    return this.get(space) !== undefined
  }

  get size(): number {
    return this.#everywhere().size
  }

  keys(): MapIterator<SpaceUri> {
    return this.#everywhere().keys()
  }

  [Symbol.iterator](): Iterator<readonly [SpaceUri, Stand]> {
    return this.#everywhere()[Symbol.iterator]()
  }

  #everywhere(): Standing {
    this.#whole ??= standingWithin(this.#facts, null)
    return this.#whole
  }
}

/**
 * What one person has in `space`, with the standings by which they have it. What stands there of other spaces is only what was
 * met on the ways to it: it ends as soon as nothing can be added to what they have in `space`.
 */
export const standingIn = (facts: StandingFacts, space: SpaceUri): Standing =>
  standingWithin(facts, { ways: facts.graph.waysInto(space), goal: space, isInOrder: false })

/** The same, walked to its end: with every edge that is open to the person on any way into the space. */
export const standingInto = (facts: StandingFacts, space: SpaceUri): Standing =>
  standingWithin(facts, { ways: facts.graph.waysInto(space), goal: null, isInOrder: false })

function standingWithin(facts: StandingFacts, towards: Towards | null): Standing {
  const look = asNow(facts.nowMs)
  const ways = towards?.ways ?? null
  const walk = new Walk(facts, look, null, towards)
  for (const edge of facts.own) if (ways === null || ways.has(edge.into)) walk.pass(edge, null)
  walk.goOn()
  if (walk.hasArrived) return walk.standing
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
      if (ways === null || ways.has(edge.into)) walk.passFrom(premise, edge)
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
  const ways = [...sources].map((source) => graph.waysInto(source))
  return (space) => ways.some((one) => one.has(space))
}

/** The only edges that a walk needs, and where it may end as soon as nothing can be added; null: nowhere. */
interface Towards {
  readonly ways: Ways
  readonly goal: SpaceUri | null
  /** Whether edges are followed in the order of the graph, as by a walk everywhere, instead of the nearest to the end first. */
  readonly isInOrder: boolean
}

/** A stand on a walk. */
interface Gained extends Stand {
  readonly space: SpaceUri
  /** Never added to in place: at first it is the set of a role itself. */
  actions: ReadonlySet<Action>
  readonly through: Passed[]
  /** What the person had there when the edges that lead on were last followed; null: they were not yet. */
  followedWith: ReadonlySet<Action> | null
  /** Whether they are to be followed, since something was gained. */
  isWaiting: boolean
}

/** Entries of a person, and spaces next to the goal, beyond which it costs less to walk on than to find out whether one may stop. */
const FEW = 8

/** One person's walk over the edges of one community, from where they stand to where that leads. */
class Walk {
  readonly #gained = new Map<SpaceUri, Gained>()
  readonly #facts: PersonIn
  readonly #look: Look
  readonly #isWithin: ((space: SpaceUri) => boolean) | null
  readonly #towards: Towards | null
  readonly #isOut: boolean
  readonly #banned: ReadonlySet<SpaceUri | Did>
  readonly #left: ReadonlySet<SpaceUri>
  #waiting: Gained[] = []
  #most: ReadonlySet<Action> | null = null
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
    const bans = isPastClosings ? [] : bansInForce(facts.bans, nowMs)
    this.#banned = bans.length === 0 ? NOWHERE : new Set(bans.map(({ scope }) => scope))
    this.#left = isPastClosings || facts.left.length === 0 ? NOWHERE : new Set(facts.left)
    this.#isOut = this.#banned.has(facts.graph.community)
  }

  get standing(): Standing {
    return this.#gained
  }

  /** Nothing can be added any more to what is asked for. */
  get hasArrived(): boolean {
    return this.#hasArrived
  }

  /** From now on, no edge gives more than this. */
  admitForeigners(most: ReadonlySet<Action>): void {
    this.#most = most
  }

  /** Passes an edge, if it is open to the person, and says whether it was. No edge is passed twice. */
  pass(edge: Edge, premise: Stand | null): boolean {
    const role = this.#facts.roles.get(edge.role)
    if (!role || !this.#look.opens(edge) || this.#isClosed(edge)) return false
    const gives = this.#most === null ? role : role.intersection(this.#most)
    const passed = { edge, gives, premise }
    const here = this.#gained.get(edge.into)
    if (!here) {
      const stand = { space: edge.into, actions: gives, through: [passed], followedWith: null, isWaiting: false }
      this.#gained.set(edge.into, stand)
      this.#gain(stand)
      return true
    }
    here.through.push(passed)
    if (gives === here.actions || gives.isSubsetOf(here.actions)) return true
    here.actions = here.actions.union(gives)
    this.#gain(here)
    return true
  }

  #gain(stand: Gained): void {
    if (stand.space === this.#towards?.goal && this.#isAll(stand.actions, this.#towards.ways)) this.#hasArrived = true
    if (stand.isWaiting) return
    stand.isWaiting = true
    this.#waiting.push(stand)
  }

  /** Passes an edge from a space, if the person has there what it asks for. */
  passFrom(premise: Stand, edge: Edge): void {
    if (edge.holding === null || premise.actions.has(edge.holding)) this.pass(edge, premise)
  }

  /** Follows the edges on until nothing changes any more. */
  goOn(): void {
    // What is added while it is walked through is walked through as well.
    for (const stand of this.#waiting) {
      if (this.#hasArrived) return
      stand.isWaiting = false
      if (!this.#look.isPastClosings && this.#facts.graph.isClosedToPassage(stand.space)) continue
      this.#follow(stand)
    }
    this.#waiting = []
  }

  /** Those that ask for what the person had before were passed before. */
  #follow(stand: Gained): void {
    const { actions, followedWith: before, space } = stand
    stand.followedWith = actions
    const isNew = (holding: Action | null): boolean =>
      holding === null ? before === null : actions.has(holding) && !before?.has(holding)
    const { ways = null, isInOrder = true } = this.#towards ?? {}
    if (ways === null || isInOrder) {
      for (const edge of this.#facts.graph.edgesFrom(space)) {
        if (isNew(edge.holding) && (ways === null || ways.has(edge.into))) this.pass(edge, stand)
      }
      return
    }
    for (let onward = ways.onwardFrom(space); onward !== null; onward = onward.next) {
      if (!isNew(onward.holding)) continue
      for (const edge of onward.edges) {
        this.pass(edge, stand)
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

  /**
   * Whether these are all the actions that any way can give in the goal: the edges into it that give others come from where none of
   * the person's entries leads to. False as well where finding that out would cost more than the rest of the way.
   */
  #isAll(actions: ReadonlySet<Action>, { foreign, entrances }: Ways): boolean {
    if (actions.size === ACTIONS.length) return true
    const mayMoreCome = foreign.size > 0 && !FOR_FOREIGNERS.isSubsetOf(actions)
    if (mayMoreCome || this.#most !== null) return !mayMoreCome
    const { own, graph, roles } = this.#facts
    if (own.length > FEW) return false
    for (const [role, sources] of entrances) {
      if (roles.get(role)?.isSubsetOf(actions) ?? true) continue
      if (sources.length > FEW) return false
      if (sources.some((source) => own.some(({ into }) => graph.waysInto(source).has(into)))) return false
    }
    return true
  }
}

const NOWHERE: ReadonlySet<never> = new Set<never>()

/** Those of the bans that hold at an instant. */
export const bansInForce = (bans: readonly Ban[], nowMs: number): readonly Ban[] =>
  bans.filter(({ untilMs }) => untilMs === null || nowMs < untilMs)

/** Whether a person has an action in a space. */
export const holds = (standing: Standing, space: SpaceUri, action: Action): boolean =>
  standing.get(space)?.actions.has(action) ?? false
