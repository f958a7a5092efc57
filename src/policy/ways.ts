/**
 * The ways into a space, walked back over numbers in place of names: a graph is made anew with each change of an edge, and whoever asks
 * first about a space waits for its ways, so both cost a few numbers for each edge and nothing besides.
 */
import { authorityOf, type Did, isSpaceUri, type SpaceUri } from '../names.ts'
import type { Action } from './roles.ts'
import type { Edge } from './roster-graph.ts'

/**
 * Edges from one space that ask for the same there, and then those that ask for something else, so that somebody who has not that
 * passes them by at once: from the roster an edge for owners goes to every space. Nearest to the end of the way first.
 */
export interface Onward {
  readonly holding: Action | null
  readonly edges: readonly Edge[]
  readonly next: Onward | null
}

/** Some spaces, of which one asks whether another is among them. */
export type Spaces = Pick<ReadonlySet<SpaceUri>, 'has' | 'size' | 'keys'>

/** Where an edge comes from no space of the community. */
const OUTSIDE = -1
const NOT_MET = -1

/** The edges of one community by the numbers of its spaces. */
export class NumberedEdges {
  readonly edges: readonly Edge[]
  /** Those that come from no space of the community. */
  readonly fromOutside: readonly Edge[]
  readonly spaces: readonly SpaceUri[]
  readonly #numbers = new Map<SpaceUri, number>()
  /** By edge, the space that it comes from. */
  readonly from: Int32Array
  /** The edges one after the other, by the space that they go into; and by space, where its own begin. */
  readonly #into: Int32Array
  readonly #beginsAt: Int32Array
  /** By space, its place in what is being walked. Nothing stays in it. */
  readonly #places: Int32Array

  /** `prefix`: what the URIs of the community's own spaces begin with. */
  constructor(edges: readonly Edge[], prefix: string) {
    const spaces: SpaceUri[] = []
    const numberOf = (space: SpaceUri): number => {
      const known = this.#numbers.get(space)
      if (known !== undefined) return known
      this.#numbers.set(space, spaces.length)
      return spaces.push(space) - 1
    }
    this.edges = edges
    this.spaces = spaces
    this.from = new Int32Array(edges.length)
    const into = new Int32Array(edges.length)
    const fromOutside: Edge[] = []
    let at = 0
    for (const edge of edges) {
      into[at] = numberOf(edge.into)
      const isInside = edge.from.startsWith(prefix)
      this.from[at] = isInside ? numberOf(edge.from as SpaceUri) : OUTSIDE
      if (!isInside) fromOutside.push(edge)
      at += 1
    }
    this.fromOutside = fromOutside
    const { sorted, beginsAt } = sortedBy(into, spaces.length)
    this.#into = sorted
    this.#beginsAt = beginsAt
    this.#places = new Int32Array(spaces.length).fill(NOT_MET)
  }

  numberOf(space: SpaceUri): number | undefined {
    return this.#numbers.get(space)
  }

  /** The spaces of the community that are on the roster of `space`, by the role that they have there. */
  sourcesByRole(space: SpaceUri): ReadonlyMap<string, readonly SpaceUri[]> {
    const sources = new Map<string, SpaceUri[]>()
    const at = this.#numbers.get(space)
    if (at === undefined) return sources
    const end = this.#beginsAt[at + 1] ?? 0
    for (let i = this.#beginsAt[at] ?? 0; i < end; i++) {
      const number = this.#into[i] ?? 0
      const edge = this.edges[number]
      if (!edge || this.from[number] === OUTSIDE) continue
      const alike = sources.get(edge.role)
      if (alike) alike.push(edge.from as SpaceUri)
      else sources.set(edge.role, [edge.from as SpaceUri])
    }
    return sources
  }

  /** Every space from which an edge, or several one after the other, lead into `space`; itself among them. */
  waysInto(space: SpaceUri): Ways {
    const goal = this.#numbers.get(space)
    const met = goal === undefined ? [] : [goal]
    const passed: number[] = []
    const foreign = new Map<Did, Set<SpaceUri>>()
    const { from: fromOf } = this
    const places = this.#places
    if (goal !== undefined) places[goal] = 0
    // What is added while it is walked through is walked through as well.
    for (const at of met) {
      const end = this.#beginsAt[at + 1] ?? 0
      for (let i = this.#beginsAt[at] ?? 0; i < end; i++) {
        const edge = this.#into[i] ?? 0
        const from = fromOf[edge] ?? OUTSIDE
        if (from === OUTSIDE) {
          noteForeign(foreign, this.edges[edge])
          continue
        }
        passed.push(edge)
        if (places[from] !== NOT_MET) continue
        places[from] = 0
        met.push(from)
      }
    }
    const local = new Int32Array(met).sort()
    for (let place = 0; place < local.length; place++) places[local[place] ?? 0] = place
    const froms = new Int32Array(passed.length)
    for (let at = 0; at < froms.length; at++) froms[at] = places[fromOf[passed[at] ?? 0] ?? 0] ?? 0
    const { sorted, beginsAt } = sortedBy(froms, local.length)
    for (let at = 0; at < sorted.length; at++) sorted[at] = passed[sorted[at] ?? 0] ?? 0
    for (const number of met) places[number] = NOT_MET
    return new Ways(this, space, { local, onward: sorted, beginsAt, foreign })
  }
}

/** Every space from which one can come into a space: those of its own community, and those of others by whom they are there. */
export class Ways {
  readonly goal: SpaceUri
  readonly foreign: ReadonlyMap<Did, ReadonlySet<SpaceUri>>
  /** How many edges there are between the spaces of the community. */
  readonly edgeCount: number
  readonly #graph: NumberedEdges
  /** The numbers of the spaces, ascending. */
  readonly #local: Int32Array
  /** The edges by the places in `#local` of where they come from, nearest to the goal first; and by place, where its own begin. */
  readonly #onward: Int32Array
  readonly #beginsAt: Int32Array
  readonly #asked = new Map<SpaceUri, Onward | null>()
  #entrances: ReadonlyMap<string, readonly SpaceUri[]> | null = null

  constructor(
    graph: NumberedEdges,
    goal: SpaceUri,
    found: { local: Int32Array; onward: Int32Array; beginsAt: Int32Array; foreign: Ways['foreign'] },
  ) {
    this.#graph = graph
    this.goal = goal
    this.foreign = found.foreign
    this.edgeCount = found.onward.length
    this.#local = found.local
    this.#onward = found.onward
    this.#beginsAt = found.beginsAt
  }

  /** How many spaces of the community there are, the goal among them. */
  get size(): number {
    return Math.max(1, this.#local.length)
  }

  has(space: SpaceUri): boolean {
    return space === this.goal || this.#placeOf(space) >= 0
  }

  /** The spaces of the community, the goal before all others. */
  *keys(): Generator<SpaceUri> {
    yield this.goal
    for (const number of this.#local) {
      const space = this.#graph.spaces[number]
      if (space !== undefined && space !== this.goal) yield space
    }
  }

  /** By role, the spaces of the community that are on the roster of the goal itself. */
  get entrances(): ReadonlyMap<string, readonly SpaceUri[]> {
    this.#entrances ??= this.#graph.sourcesByRole(this.goal)
    return this.#entrances
  }

  /** The edges by which one goes on from a space to another one of these; null where the way ends. */
  onwardFrom(space: SpaceUri): Onward | null {
    const known = this.#asked.get(space)
    if (known !== undefined) return known
    let first: MutableOnward | null = null
    const place = this.#placeOf(space)
    for (let i = this.#beginsAt[place] ?? 0, end = this.#beginsAt[place + 1] ?? 0; i < end; i++) {
      const edge = this.#graph.edges[this.#onward[i] ?? 0]
      if (!edge) continue
      if (first) addTo(first, edge)
      else first = onwardBy(edge)
    }
    this.#asked.set(space, first)
    return first
  }

  /** Negative: it is none of these. */
  #placeOf(space: SpaceUri): number {
    const number = this.#graph.numberOf(space)
    if (number === undefined) return -1
    let [low, high] = [0, this.#local.length - 1]
    while (low <= high) {
      const middle = (low + high) >> 1
      const there = this.#local[middle] ?? 0
      if (there === number) return middle
      if (there < number) low = middle + 1
      else high = middle - 1
    }
    return -1
  }
}

/** While it is made. */
interface MutableOnward extends Onward {
  readonly edges: Edge[]
  next: MutableOnward | null
}

const onwardBy = (edge: Edge): MutableOnward => ({ holding: edge.holding, edges: [edge], next: null })

function addTo(first: MutableOnward, edge: Edge): void {
  let one = first
  while (one.holding !== edge.holding && one.next !== null) one = one.next
  if (one.holding === edge.holding) one.edges.push(edge)
  else one.next = onwardBy(edge)
}

/** A person's own entry is from no community's space. */
export function noteForeign(foreign: Map<Did, Set<SpaceUri>>, edge: Edge | undefined): void {
  if (!edge || !isSpaceUri(edge.from)) return
  const community = authorityOf(edge.from)
  foreign.set(community, (foreign.get(community) ?? new Set()).add(edge.from))
}

/** Where each of some things was, by its key and then as they came; and where each key begins, with one end more. */
function sortedBy(keys: Int32Array, keyCount: number): { sorted: Int32Array; beginsAt: Int32Array } {
  const beginsAt = new Int32Array(keyCount + 1)
  for (const key of keys) beginsAt[key + 1] = (beginsAt[key + 1] ?? 0) + 1
  for (let key = 0; key < keyCount; key++) beginsAt[key + 1] = (beginsAt[key + 1] ?? 0) + (beginsAt[key] ?? 0)
  const next = beginsAt.slice()
  const sorted = new Int32Array(keys.length)
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] ?? 0
    const place = next[key] ?? 0
    sorted[place] = at
    next[key] = place + 1
  }
  return { sorted, beginsAt }
}
