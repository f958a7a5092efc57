/**
 * The ways by which a person comes into a space: every edge that was passed on one of them, what it rests on, and the ways
 * themselves, shortest first.
 *
 * All of it is read out of what the resolver passed. No edge is judged here a second time.
 */
import { isSpaceUri, type SpaceUri } from '../names.ts'
import type { Action } from './roles.ts'
import { type Edge, isForeign } from './roster-graph.ts'
import { FOR_FOREIGNERS, type Passed, type Stand, type Standing, type StandingFacts, standingInto } from './standing.ts'

/** An edge that was passed, what it gave, and where in the list the edges are on any one of which it rests. */
export interface ListedEdge {
  readonly edge: Edge
  readonly gives: ReadonlySet<Action>
  /** Empty for the person's own entries. Spaces that are on each other's rosters rest on each other as well. */
  readonly restsOn: readonly number[]
}

/** Edges beyond which an answer would say less by being longer; those on the ways that are shown come in any case. */
const EDGES_MAX = 200
export const PATHS_MAX = 25
/** Steps of the search for ways, where many lead in circles. */
const STEPS_MAX = 5_000

/** A way as it is found, from the space back to the person. */
interface Way {
  readonly passed: Passed
  /** What it had to give. */
  readonly need: Action | null
  readonly onward: Way | null
  readonly length: number
}

/** Edges by which a way can go on, the nearest to the person first, and how many of them were tried. */
interface Branch {
  readonly onward: Way | null
  readonly need: Action | null
  readonly isGrounded: boolean
  readonly candidates: readonly Passed[]
  readonly tried: number
}

/** A space in which the person stands. */
interface Place {
  readonly stand: Stand
  /** The edges that were passed from there, by what they ask for. */
  readonly onward: Map<Action | null, Passed[]>
  /** What the person has there, as one of the community's own and as a guest. */
  readonly reached: Readonly<Record<'own' | 'guest', Set<Action | null>>>
}

/**
 * Everything that was passed on any way into one space.
 *
 * What a way gives depends on whether it comes through another community: then it is reading and writing at most, from there on.
 * So every distance is kept twice, and a way that shall give more is looked for among the edges of the community alone.
 */
export class PassedWays {
  readonly #places = new Map<SpaceUri, Place>()
  /** How many edges the shortest way to the person has that ends with this one: by the community's own edges, and by any. */
  readonly #grounded = new Map<Passed, number>()
  readonly #any = new Map<Passed, number>()
  readonly #sorted = new Map<string, readonly Passed[]>()
  readonly #space: SpaceUri

  constructor(facts: StandingFacts, space: SpaceUri) {
    this.#space = space
    const stands = new Map(standingInto(facts, space))
    // A map gives what is added while it is walked through: where somebody stands in another community is known by premises alone.
    for (const [uri, stand] of stands) {
      this.#places.set(uri, { stand, onward: new Map(), reached: { own: new Set(), guest: new Set() } })
      for (const { edge, premise } of stand.through) {
        if (premise && isSpaceUri(edge.from) && !stands.has(edge.from)) stands.set(edge.from, premise)
      }
    }
    this.#measure()
  }

  /** Whether the person has what is needed in a space on the way (null: that they stand there at all). */
  has(space: SpaceUri, need: Action | null, isGrounded: boolean): boolean {
    const reached = this.#places.get(space)?.reached
    return reached !== undefined && (reached.own.has(need) || (!isGrounded && reached.guest.has(need)))
  }

  /** From the person on, edge by edge: each is met first on the shortest way to it. */
  #measure(): void {
    let now: [Passed, boolean][] = []
    for (const { stand } of this.#places.values()) {
      for (const passed of stand.through) {
        const { edge, premise } = passed
        const onward = isSpaceUri(edge.from) ? this.#places.get(edge.from)?.onward : undefined
        if (premise === null) now.push([passed, false])
        else if (onward) pushTo(onward, edge.holding, passed)
      }
    }
    for (let length = 1; now.length > 0; length++) {
      const next: [Passed, boolean][] = []
      for (const [passed, isGuest] of now) {
        if (this.#isMeasured(passed, isGuest)) continue
        if (!isGuest) this.#grounded.set(passed, length)
        if (!this.#any.has(passed)) this.#any.set(passed, length)
        const place = this.#places.get(passed.edge.into)
        if (!place) continue
        const reached = place.reached[isGuest ? 'guest' : 'own']
        const gives = isGuest ? passed.gives.intersection(FOR_FOREIGNERS) : passed.gives
        for (const need of [null, ...gives]) {
          if (reached.has(need)) continue
          reached.add(need)
          for (const onward of place.onward.get(need) ?? []) next.push([onward, isGuest || isForeign(onward.edge)])
        }
      }
      now = next
    }
  }

  #isMeasured(passed: Passed, isGuest: boolean): boolean {
    return isGuest ? this.#any.has(passed) : this.#grounded.has(passed)
  }

  #distance(passed: Passed, isGrounded: boolean): number | undefined {
    return (isGrounded ? this.#grounded : this.#any).get(passed)
  }

  /** The edges into a space that give what is needed, the nearest to the person first. */
  #candidates(space: SpaceUri, need: Action | null, isGrounded: boolean): readonly Passed[] {
    const key = `${isGrounded} ${space} ${need ?? ''}`
    const known = this.#sorted.get(key)
    if (known) return known
    const distance = (passed: Passed) => this.#distance(passed, isGrounded) ?? Infinity
    const found = (this.#places.get(space)?.stand.through ?? [])
      .filter((passed) => gives(passed, need) && distance(passed) < Infinity)
      .sort((a, b) => distance(a) - distance(b))
    this.#sorted.set(key, found)
    return found
  }

  /**
   * The ways that give `action` in the space (null: that lead there), shortest first. A way goes straight on: where it passes a
   * space twice, the first time didn't give what the second one does.
   *
   * Every edge knows how far the person is, so each step of the search is one of a way that leads to its end, but for those in
   * circles. `areAll` is false when there are more, or the search was given up.
   */
  paths(action: Action | null): { readonly paths: readonly (readonly Passed[])[]; readonly areAll: boolean } {
    const paths: Passed[][] = []
    const waiting: Branch[][] = []
    const wait = (branch: Branch): void => {
      const candidate = branch.candidates[branch.tried]
      if (!candidate) return
      const length = (branch.onward?.length ?? 0) + (this.#distance(candidate, branch.isGrounded) ?? 0)
      const list = waiting[length] ?? []
      list.push(branch)
      waiting[length] = list
    }
    wait(this.#branch(null, this.#space, action, false))
    let steps = 0
    for (let length = 0; length < waiting.length; length++) {
      for (let branch = waiting[length]?.pop(); branch; branch = waiting[length]?.pop()) {
        if (paths.length === PATHS_MAX || steps++ === STEPS_MAX) return { paths, areAll: false }
        const { onward, need, isGrounded, candidates, tried } = branch
        wait({ ...branch, tried: tried + 1 })
        const passed = candidates[tried]
        if (!passed || isDetour(passed, onward)) continue
        const way = { passed, need, onward, length: (onward?.length ?? 0) + 1 }
        const { edge } = passed
        if (isSpaceUri(edge.from)) {
          wait(this.#branch(way, edge.from, edge.holding, !isForeign(edge) && isGrounded))
        } else paths.push(edgesOf(way))
      }
    }
    return { paths, areAll: true }
  }

  #branch(onward: Way | null, space: SpaceUri, need: Action | null, mustBeGrounded: boolean): Branch {
    const isGrounded = mustBeGrounded || isBeyondGuests(need)
    return { onward, need, isGrounded, candidates: this.#candidates(space, need, isGrounded), tried: 0 }
  }

  /** The edges into the space and those that they rest on, nearest to the space first, with all of some ways among them. */
  edges(shown: readonly (readonly Passed[])[]): { readonly edges: readonly ListedEdge[]; readonly areAll: boolean } {
    const premises = ({ edge, premise }: Passed): readonly Passed[] =>
      premise ? premise.through.filter((passed) => gives(passed, edge.holding)) : []
    const met = new Set(this.#places.get(this.#space)?.stand.through ?? [])
    // A set gives what is added while it is walked through.
    for (const passed of met) {
      if (met.size > EDGES_MAX) break
      for (const premise of premises(passed)) met.add(premise)
    }
    const listed = [...new Set([...[...met].slice(0, EDGES_MAX), ...shown.flat()])]
    const places = new Map(listed.map((passed, at) => [passed, at]))
    const edges = listed.map((passed) => ({
      edge: passed.edge,
      gives: passed.gives,
      restsOn: premises(passed).flatMap((premise) => places.get(premise) ?? []),
    }))
    return { edges, areAll: listed.length === met.size }
  }
}

/** Whether what is needed in a space can't be had by those who come from other communities. */
export const isBeyondGuests = (need: Action | null): boolean => need !== null && !FOR_FOREIGNERS.has(need)

const gives = (passed: Passed, need: Action | null): boolean => need === null || passed.gives.has(need)

/** Whether a way could have gone on from this edge sooner. */
function isDetour(passed: Passed, onward: Way | null): boolean {
  for (let way = onward; way !== null; way = way.onward) {
    if (way.passed.edge.into === passed.edge.into && gives(passed, way.need)) return true
  }
  return false
}

function edgesOf(last: Way): Passed[] {
  const edges: Passed[] = []
  for (let way: Way | null = last; way !== null; way = way.onward) edges.push(way.passed)
  return edges.reverse()
}

function pushTo<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key)
  if (list) list.push(value)
  else lists.set(key, [value])
}

/**
 * Edges that together show why a person has `action` in `space`, nearest first: one edge that gives it, and for a nested
 * one the edges by which the person stands where it comes from, in another community too. Empty when they don't have it.
 *
 * Always the first edge that gave what is needed: it was let through by edges before it, so the path comes to its end at the
 * person, even where it passes a space twice. `standing` must be as the resolver made it.
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
