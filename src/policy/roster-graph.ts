/**
 * The edges between spaces, as far as one community says them, arranged for walking in both directions.
 *
 * It belongs to one graph revision and never changes; what it answers more than once it keeps. Persons are not in it: a
 * community of a million people has a graph of some thousand edges.
 */
import { authorityOf, type Did, isSpaceUri, type SpaceUri } from '../names.ts'
import type { AppRules } from './apps.ts'
import { type Action, type Roles, SHIPPED_ROLES } from './roles.ts'

/** One entry in the roster of `into`: a person, or a space whose people come through when they have `holding` there. */
export interface Edge {
  readonly into: SpaceUri
  readonly from: Did | SpaceUri
  readonly role: string
  /** For an edge from a space: what a person must have there to pass. Null: any standing at all. */
  readonly holding: Action | null
  /** Milliseconds since 1970; null is open. An edge counts from `sinceMs` on and until just before `untilMs`. */
  readonly sinceMs: number | null
  readonly untilMs: number | null
}

/** Whether two entries in one place on one roster say the same. */
export const sameEntry = (a: Edge, b: Edge): boolean =>
  a.role === b.role && a.holding === b.holding && a.sinceMs === b.sinceMs && a.untilMs === b.untilMs

/** Whether a space comes from another community than the one whose roster it is on. */
export const isForeign = ({ into, from }: Edge): boolean => isSpaceUri(from) && authorityOf(from) !== authorityOf(into)

/** Leave for another community to nest one of this community's spaces. */
export interface Offer {
  readonly space: SpaceUri
  readonly to: Did
}

/** Every space from which one can come into a space: those of its own community, and those of others by whom they are there. */
export interface Ways {
  readonly local: ReadonlySet<SpaceUri>
  readonly foreign: ReadonlyMap<Did, ReadonlySet<SpaceUri>>
  /**
   * The edges between the local ones, by the space they come from and then by what they ask for there, so that somebody who has
   * not that passes them by at once: from the roster an edge for owners goes to every space. Nearest to the end of the way first.
   */
  readonly edges: ReadonlyMap<SpaceUri, ReadonlyMap<Action | null, readonly Edge[]>>
}

/** What a community says of its spaces besides the edges between them. */
export interface SpaceStates {
  /** Those that nobody stands in any more. */
  readonly ended?: readonly SpaceUri[]
  /** Those that rest: nobody reads or writes there, and nobody comes through. */
  readonly frozen?: readonly SpaceUri[]
  /** Whether all of the community's spaces rest. */
  readonly isAllFrozen?: boolean
  /** The entry that anybody gets who asks, one for each space that takes everybody; `from` is the community. */
  readonly openings?: readonly Edge[]
  /** What is said about apps. */
  readonly apps?: AppRules
  /** Whether nobody is told if it was the app or the person that was turned away. */
  readonly isSilent?: boolean
}

/** Spaces and edges kept in the memory of ways, over all answers of one graph; at some hundred bytes each. */
const WAYS_KEPT_MAX = 400_000

export class RosterGraph {
  readonly community: Did
  /** The other communities whose spaces are on rosters here, in the order of their DIDs. */
  readonly feeders: readonly Did[]
  /** By community, the edges from its spaces into spaces here. */
  readonly foreign: ReadonlyMap<Did, readonly Edge[]>
  readonly edges: readonly Edge[]
  /** How many edges there are. */
  readonly size: number
  /** What each role allows, as the community understands it. */
  readonly roles: Roles
  /** The entry that anybody gets who asks, one for each space that takes everybody. */
  readonly openings: readonly Edge[]
  /** What is said about apps, by the community and by its spaces. */
  readonly apps: AppRules
  /** Whether nobody is told if it was the app or the person that was turned away. */
  readonly isSilent: boolean
  /** Which spaces are offered to whom: what moves here may be felt there. */
  readonly offered: readonly Offer[]
  /** What the URIs of the community's own spaces begin with. */
  readonly #prefix: string
  readonly #from: ReadonlyMap<Did | SpaceUri, readonly Edge[]>
  readonly #into: ReadonlyMap<SpaceUri, readonly Edge[]>
  readonly #offers: ReadonlySet<string>
  readonly #ended: ReadonlySet<SpaceUri>
  readonly #frozen: ReadonlySet<SpaceUri>
  readonly #isAllFrozen: boolean
  readonly #ways = new Map<SpaceUri, Ways>()
  #waysKept = 0

  /** `edges` go into spaces of `community`. */
  constructor(
    community: Did,
    edges: readonly Edge[],
    offers: readonly Offer[] = [],
    {
      ended = [],
      frozen = [],
      isAllFrozen = false,
      openings = [],
      apps = new Map(),
      isSilent = false,
    }: SpaceStates = {},
    roles: Roles = SHIPPED_ROLES,
  ) {
    this.community = community
    this.roles = roles
    this.openings = openings
    this.apps = apps
    this.isSilent = isSilent
    this.#prefix = `at://${community}/`
    this.edges = edges
    this.size = edges.length
    this.#from = Map.groupBy(edges, (edge) => edge.from)
    this.#into = Map.groupBy(edges, (edge) => edge.into)
    this.#offers = new Set(offers.map(({ space, to }) => offerKey(space, to)))
    this.offered = offers
    this.#ended = new Set(ended)
    this.#frozen = new Set(frozen)
    this.#isAllFrozen = isAllFrozen
    const foreign = edges.filter(({ from }) => isSpaceUri(from) && !from.startsWith(this.#prefix))
    this.foreign = Map.groupBy(foreign, (edge) => authorityOf(edge.from as SpaceUri))
    this.feeders = [...this.foreign.keys()].sort()
  }

  /** The edges by which the people of a space go on, to spaces of this community. */
  edgesFrom(space: SpaceUri): readonly Edge[] {
    return this.#from.get(space) ?? []
  }

  /** The spaces on a roster of this community. */
  edgesInto(space: SpaceUri): readonly Edge[] {
    return this.#into.get(space) ?? []
  }

  /** Whether this community lets another one nest a space of its own. */
  isOffered(space: SpaceUri, to: Did): boolean {
    return this.#offers.has(offerKey(space, to))
  }

  /** Whether a space has come to its end. */
  isEnded(space: SpaceUri): boolean {
    return this.#ended.has(space)
  }

  /** Whether nobody comes through a space for now. Where the whole community rests, its people stand where they stood. */
  isClosedToPassage(space: SpaceUri): boolean {
    return this.#frozen.has(space)
  }

  /** Whether nobody reads or writes in a space for now. */
  isFrozen(space: SpaceUri): boolean {
    return this.#isAllFrozen || this.#frozen.has(space)
  }

  /** Every space from which an edge, or several one after the other, lead into `space`; itself among them. */
  waysInto(space: SpaceUri): Ways {
    const kept = this.#ways.get(space)
    if (kept) return kept
    const local = new Set<SpaceUri>([space])
    const foreign = new Map<Did, Set<SpaceUri>>()
    const edges = new Map<SpaceUri, Map<Action | null, Edge[]>>()
    // A set gives what is added while it is walked through.
    for (const at of local) {
      for (const edge of this.edgesInto(at)) {
        const { from } = edge
        if (!isSpaceUri(from)) continue
        if (!from.startsWith(this.#prefix)) {
          const authority = authorityOf(from)
          foreign.set(authority, (foreign.get(authority) ?? new Set()).add(from))
          continue
        }
        local.add(from)
        const onward = edges.get(from) ?? new Map<Action | null, Edge[]>()
        edges.set(from, onward)
        const others = onward.get(edge.holding)
        if (others) others.push(edge)
        else onward.set(edge.holding, [edge])
      }
    }
    return this.#keep(space, { local, foreign, edges })
  }

  /** The same of several spaces together, by one walk, and without the edges: nothing of it is kept. */
  sourcesOf(spaces: Iterable<SpaceUri>): Pick<Ways, 'local' | 'foreign'> {
    const local = new Set<SpaceUri>(spaces)
    const foreign = new Map<Did, Set<SpaceUri>>()
    for (const at of local) {
      for (const { from } of this.edgesInto(at)) {
        if (!isSpaceUri(from)) continue
        if (from.startsWith(this.#prefix)) local.add(from)
        else foreign.set(authorityOf(from), (foreign.get(authorityOf(from)) ?? new Set()).add(from))
      }
    }
    return { local, foreign }
  }

  #keep(space: SpaceUri, ways: Ways): Ways {
    let kept = ways.local.size
    for (const onward of ways.edges.values()) for (const edges of onward.values()) kept += edges.length
    this.#waysKept += kept
    if (this.#waysKept > WAYS_KEPT_MAX) {
      this.#ways.clear()
      this.#waysKept = kept
    }
    this.#ways.set(space, ways)
    return ways
  }
}

/** A space URI holds no blank. */
const offerKey = (space: SpaceUri, to: Did): string => `${space} ${to}`
