/** Loads what the standing of people in a community is computed from. The verdicts are made in `policy/`. */
import type { Did, SpaceUri } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { SealedWords } from '../platform/sealed-words.ts'
import type { RosterGraph } from '../policy/roster-graph.ts'
import type { PersonIn, StandingFacts } from '../policy/standing.ts'
import type { Spaces } from '../policy/ways.ts'
import { type Basis, basisOf } from './basis.ts'
import { loadPeople, NO_ENTRIES, type PeopleIn } from './facts-store.ts'
import type { AtOneRevision, Graphs, KnownGraphs, LookOptions } from './graph.ts'

export interface FactsCtx {
  readonly graphs: Graphs
  readonly words: SealedWords
  readonly clock: Clock
}

export interface Facts extends StandingFacts {
  readonly did: Did
  readonly revision: number
  readonly graphRevision: number
  readonly basis: Basis
}

/** The standing facts of one person in one community, or null when the community is unknown. */
export async function loadStandingFacts(
  ctx: FactsCtx,
  db: Db | Tx,
  community: Did,
  did: Did,
  options: LookOptions = {},
): Promise<Facts | null> {
  const read = (communities: readonly Did[]) => loadPeople(db, communities, [did], null)
  const found = await ctx.graphs.atOneRevision(db, community, read, options)
  return found && factsAbout(ctx, community, did, found)
}

/**
 * The same by the community's own edges alone. Whoever changes something is judged by these: nobody governs by another
 * community's space, and no other community can stand in the way of a change by moving all the time.
 */
export const loadGroundedFacts = (
  ctx: FactsCtx,
  tx: Tx,
  community: Did,
  did: Did,
  { isSettled }: Pick<LookOptions, 'isSettled'> = {},
): Promise<Facts | null> => loadStandingFacts(ctx, tx, community, did, { feedersOf: () => [], isSettled })

/** The communities by whose spaces somebody may come to stand in one space. */
export const feedersInto =
  (space: SpaceUri) =>
  (graph: RosterGraph): readonly Did[] => [...graph.waysInto(space).foreign.keys()]

/** The facts about one person, out of what was read about several at one revision. */
export const factsAbout = (ctx: FactsCtx, community: Did, did: Did, found: AtOneRevision<PeopleIn>): Facts =>
  factsOn(ctx, community, found)(did)

/** The same about each of many. */
export function factsOn(ctx: FactsCtx, community: Did, found: AtOneRevision<PeopleIn>): (did: Did) => Facts {
  const numbers = found.rows.get(community)
  if (!numbers) throw new TypeError('facts of a community that was not read')
  const feeders = [...found.rows.keys()].filter((other) => other !== community)
  const { revision, graphRevision } = numbers
  const basis = basisOf(found.rows)
  return (did) => ({
    ...personIn(found, community, did),
    did,
    feeding: feeders.map((feeder) => personIn(found, feeder, did)),
    nowMs: ctx.clock.nowMs(),
    ...{ revision, graphRevision, basis },
  })
}

function personIn({ rows, graphs }: AtOneRevision<PeopleIn>, community: Did, did: Did): PersonIn {
  const graph = graphs.get(community)
  if (!graph) throw new TypeError('facts without a graph')
  const { own, bans, left } = rows.get(community)?.people.get(did) ?? NO_ENTRIES
  return { own, bans, left, graph, roles: graph.roles }
}

/** Every space by whose entries somebody may come to stand in `space`, over all communities, as far as their graphs are known. */
export function spacesThatLeadTo(community: Did, space: SpaceUri, known: KnownGraphs): Spaces {
  const ways = known(community)?.waysInto(space)
  if (!ways) return new Set([space])
  if (ways.foreign.size === 0) return ways
  const spaces = new Set(ways.keys())
  for (const [feeder, sources] of ways.foreign) {
    const graph = known(feeder)
    for (const source of graph ? sources : []) for (const one of graph?.waysInto(source).keys() ?? []) spaces.add(one)
  }
  return spaces
}

/** The same of several spaces together. */
export function spacesThatLeadToAny(
  community: Did,
  spaces: readonly SpaceUri[],
  known: KnownGraphs,
): ReadonlySet<SpaceUri> {
  const ways = known(community)?.sourcesOf(spaces)
  if (!ways) return new Set(spaces)
  const all = new Set(ways.local)
  for (const [feeder, sources] of ways.foreign) {
    for (const one of known(feeder)?.sourcesOf(sources).local ?? []) all.add(one)
  }
  return all
}

/** Spaces beyond which it is cheaper to read all of a person's entries than to name those that matter. */
const NAMED_SPACES_MAX = 256

/**
 * The spaces whose entries matter for standing in `space`, over all communities: the target first, and then what leads to it. Null:
 * they are too many to name, or not all graphs are known yet, so that every entry has to be read.
 */
export function spacesThatMatter(community: Did, space: SpaceUri, known: KnownGraphs): readonly SpaceUri[] | null {
  const ways = known(community)?.waysInto(space)
  if (!ways || ways.size > NAMED_SPACES_MAX) return null
  const spaces = new Set(ways.keys())
  for (const [feeder, sources] of ways.foreign) {
    const graph: RosterGraph | undefined = known(feeder)
    if (!graph) return null
    for (const source of sources) {
      const there = graph.waysInto(source)
      if (spaces.size + there.size > NAMED_SPACES_MAX) return null
      for (const one of there.keys()) spaces.add(one)
    }
  }
  return [...spaces]
}
