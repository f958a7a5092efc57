/**
 * What a person may do in a space, through all edges: the least fixed point over the roster graph.
 *
 * Start from nobody standing anywhere and let edges act until nothing changes. So order never matters, cycles end by
 * themselves, one more edge never takes away, and removing one never adds. What an edge gives is what the edge says, not what
 * the person has in the space it comes from: moderators need no power over their role space to moderate the forum. And every
 * edge opens on one premise alone, so the standing of several entries is the union of what each of them gives by itself.
 */
import type { Did, SpaceUri } from '../names.ts'
import type { Action, Roles } from './roles.ts'

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

/** Everything the fixed point is computed from: dated facts of one snapshot. */
export interface StandingFacts {
  /** The edges from the person's own DID. */
  readonly own: readonly Edge[]
  /** Every edge from a space into a space of the community. */
  readonly nested: readonly Edge[]
  readonly roles: Roles
  readonly nowMs: number
}

/** Space → the actions a person has there, and the edges that brought them. A space without standing is absent. */
export type Standing = ReadonlyMap<
  SpaceUri,
  { readonly actions: ReadonlySet<Action>; readonly through: readonly Edge[] }
>

/** Whether an edge counts at an instant. */
const isOpen = (edge: Edge, nowMs: number): boolean =>
  (edge.sinceMs === null || edge.sinceMs <= nowMs) && !hasEnded(edge, nowMs)

const hasEnded = (edge: Edge, nowMs: number): boolean => edge.untilMs !== null && edge.untilMs <= nowMs

/** The facts with every edge that hasn't ended open for ever: their standing holds all that the edges can give from now on. */
export function asIfOpen(facts: StandingFacts): StandingFacts {
  const open = (edges: readonly Edge[]): readonly Edge[] =>
    edges.filter((edge) => !hasEnded(edge, facts.nowMs)).map((edge) => ({ ...edge, sinceMs: null, untilMs: null }))
  return { ...facts, own: open(facts.own), nested: open(facts.nested) }
}

/** The standing of one person in every space that any edge reaches. An edge whose role is unknown gives nothing. */
export function standingOf(facts: StandingFacts): Standing {
  const standing = new Map<SpaceUri, { actions: Set<Action>; through: Edge[] }>()
  const outgoing = Map.groupBy(facts.nested, (edge) => edge.from)
  const moved: SpaceUri[] = []
  const passed = new Set<Edge>()

  const pass = (edge: Edge): void => {
    const given = facts.roles.get(edge.role)
    if (!given || passed.has(edge) || !isOpen(edge, facts.nowMs)) return
    passed.add(edge)
    const here = standing.get(edge.into) ?? { actions: new Set(), through: [] }
    here.through.push(edge)
    const before = here.actions.size
    for (const action of given) here.actions.add(action)
    const isNew = !standing.has(edge.into)
    standing.set(edge.into, here)
    if (isNew || here.actions.size > before) moved.push(edge.into)
  }

  for (const edge of facts.own) pass(edge)
  for (let space = moved.pop(); space !== undefined; space = moved.pop()) {
    const here = standing.get(space)
    for (const edge of outgoing.get(space) ?? []) {
      if (here && (edge.holding === null || here.actions.has(edge.holding))) pass(edge)
    }
  }
  return standing
}

/** Whether a person has an action in a space. */
export const holds = (standing: Standing, space: SpaceUri, action: Action): boolean =>
  standing.get(space)?.actions.has(action) ?? false

/**
 * Edges that together show why a person has `action` in `space`, nearest first: one edge that gives it, and for a nested
 * one the edges by which the person stands where it comes from. Empty when they don't have it.
 *
 * Always the first edge that gave what is needed: it was let through by edges before it, so the path comes to its end at the
 * person, even where it passes a space twice. `standing` must be as `standingOf` made it.
 */
export function pathTo(standing: Standing, roles: Roles, space: SpaceUri, action: Action | null): readonly Edge[] {
  const path = new Set<Edge>()
  let at: SpaceUri | null = space
  let needed = action
  while (at !== null) {
    const wanted: Action | null = needed
    const edge: Edge | undefined = standing
      .get(at)
      ?.through.find((candidate) => wanted === null || roles.get(candidate.role)?.has(wanted))
    if (!edge || path.has(edge)) break
    path.add(edge)
    at = edge.from.startsWith('at://') ? (edge.from as SpaceUri) : null
    needed = edge.holding
  }
  return [...path]
}
