/**
 * The edges between spaces, as far as one community says them, arranged for walking in both directions.
 *
 * It belongs to one graph revision and never changes; what it answers more than once it keeps. Persons are not in it: a
 * community of a million people has a graph of some thousand edges.
 */
import { authorityOf, type Did, isSpaceUri, type SpaceUri } from '../names.ts'
import type { AppRules } from './apps.ts'
import { type Action, type Roles, SHIPPED_ROLES } from './roles.ts'
import { NumberedEdges, noteForeign, type Ways } from './ways.ts'

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

/** Spaces and edges kept in the memory of ways, over all answers of one graph; some bytes each, and a hundred where people come by. */
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
  readonly #numbered: NumberedEdges
  /** By name, arranged when they are first asked for so: whoever asks about one space walks its ways. */
  #from: ReadonlyMap<Did | SpaceUri, readonly Edge[]> | null = null
  #into: ReadonlyMap<SpaceUri, readonly Edge[]> | null = null
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
    this.#numbered = new NumberedEdges(edges, this.#prefix)
    this.#offers = new Set(offers.map(({ space, to }) => offerKey(space, to)))
    this.offered = offers
    this.#ended = new Set(ended)
    this.#frozen = new Set(frozen)
    this.#isAllFrozen = isAllFrozen
    const foreign = this.#numbered.fromOutside.filter(({ from }) => isSpaceUri(from))
    this.foreign = Map.groupBy(foreign, (edge) => authorityOf(edge.from as SpaceUri))
    this.feeders = [...this.foreign.keys()].sort()
  }

  /** The edges by which the people of a space go on, to spaces of this community. */
  edgesFrom(space: SpaceUri): readonly Edge[] {
    this.#from ??= Map.groupBy(this.edges, (edge) => edge.from)
    return this.#from.get(space) ?? []
  }

  /** The spaces on a roster of this community. */
  edgesInto(space: SpaceUri): readonly Edge[] {
    this.#into ??= Map.groupBy(this.edges, (edge) => edge.into)
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
    const ways = this.#numbered.waysInto(space)
    this.#waysKept += ways.size + ways.edgeCount
    if (this.#waysKept > WAYS_KEPT_MAX) {
      this.#ways.clear()
      this.#waysKept = ways.size + ways.edgeCount
    }
    this.#ways.set(space, ways)
    return ways
  }

  /** The same of several spaces together, by one walk, and without the edges: nothing of it is kept. */
  sourcesOf(spaces: Iterable<SpaceUri>): { readonly local: ReadonlySet<SpaceUri>; readonly foreign: Ways['foreign'] } {
    const local = new Set<SpaceUri>(spaces)
    const foreign = new Map<Did, Set<SpaceUri>>()
    for (const at of local) {
      for (const edge of this.edgesInto(at)) {
        if (edge.from.startsWith(this.#prefix)) local.add(edge.from as SpaceUri)
        else noteForeign(foreign, edge)
      }
    }
    return { local, foreign }
  }
}

/** A space URI holds no blank. */
const offerKey = (space: SpaceUri, to: Did): string => `${space} ${to}`
