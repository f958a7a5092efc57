/** Loads what the standing of people in a community is computed from. The verdicts are made in `policy/`. */
import type { Did, SpaceUri } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { SHIPPED_ROLES } from '../policy/roles.ts'
import type { RosterGraph } from '../policy/roster-graph.ts'
import type { PersonIn, StandingFacts } from '../policy/standing.ts'
import { type Basis, basisOf } from './basis.ts'
import { loadPeople, NO_ENTRIES, type PeopleIn } from './facts-store.ts'
import type { AtOneRevision, Graphs, KnownGraphs } from './graph.ts'

export interface FactsCtx {
  readonly graphs: Graphs
  readonly clock: Clock
}

export interface Facts extends StandingFacts {
  readonly did: Did
  readonly revision: number
  readonly graphRevision: number
  readonly basis: Basis
}

/**
 * The standing facts of one person in one community, or null when the community is unknown. `isSettled` as in `Graphs`.
 */
export async function loadStandingFacts(
  ctx: FactsCtx,
  db: Db | Tx,
  community: Did,
  did: Did,
  isSettled?: boolean,
): Promise<Facts | null> {
  const found = await ctx.graphs.atOneRevision(
    db,
    community,
    (communities) => loadPeople(db, communities, [did], null),
    isSettled,
  )
  return found && factsAbout(ctx, community, did, found)
}

/** The facts about one person, out of what was read about several at one revision. */
export function factsAbout(ctx: FactsCtx, community: Did, did: Did, found: AtOneRevision<PeopleIn>): Facts {
  const numbers = found.rows.get(community)
  if (!numbers) throw new TypeError('facts of a community that was not read')
  return {
    ...personIn(found, community, did),
    did,
    feeding: [...found.rows.keys()].filter((other) => other !== community).map((other) => personIn(found, other, did)),
    nowMs: ctx.clock.nowMs(),
    revision: numbers.revision,
    graphRevision: numbers.graphRevision,
    basis: basisOf(found.rows),
  }
}

function personIn({ rows, graphs }: AtOneRevision<PeopleIn>, community: Did, did: Did): PersonIn {
  const graph = graphs.get(community)
  if (!graph) throw new TypeError('facts without a graph')
  const { own, bans, left } = rows.get(community)?.people.get(did) ?? NO_ENTRIES
  return { own, bans, left, graph, roles: SHIPPED_ROLES }
}

/** Every space by whose entries somebody may come to stand in `space`, over all communities, as far as their graphs are known. */
export function spacesThatLeadTo(community: Did, space: SpaceUri, known: KnownGraphs): readonly SpaceUri[] {
  const ways = known(community)?.waysInto(space)
  if (!ways) return [space]
  const spaces = new Set(ways.local)
  for (const [feeder, sources] of ways.foreign) {
    const graph = known(feeder)
    for (const source of graph ? sources : []) for (const one of graph?.waysInto(source).local ?? []) spaces.add(one)
  }
  return [...spaces]
}

/** Spaces beyond which it is cheaper to read all of a person's entries than to name those that matter. */
const NAMED_SPACES_MAX = 256

/**
 * The spaces whose entries matter for standing in `space`, over all communities: the target first, and then what leads to it. Null:
 * they are too many to name, or not all graphs are known yet, so that every entry has to be read.
 */
export function spacesThatMatter(community: Did, space: SpaceUri, known: KnownGraphs): readonly SpaceUri[] | null {
  const ways = known(community)?.waysInto(space)
  if (!ways || ways.local.size > NAMED_SPACES_MAX) return null
  const spaces = new Set(ways.local)
  for (const [feeder, sources] of ways.foreign) {
    const graph: RosterGraph | undefined = known(feeder)
    if (!graph) return null
    for (const source of sources) {
      const { local } = graph.waysInto(source)
      if (spaces.size + local.size > NAMED_SPACES_MAX) return null
      for (const one of local) spaces.add(one)
    }
  }
  return [...spaces]
}
