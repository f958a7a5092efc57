/**
 * The edges between spaces, kept in memory per community and graph revision.
 *
 * There is nothing to invalidate by hand on any number of replicas: every statement that reads a person's edges reads the graph
 * revision in the same snapshot, and a graph of another revision is loaded anew and the question asked again. Where spaces of
 * other communities are on a roster, theirs are read in the same statement and held to the same.
 */
import { LRUCache } from 'lru-cache'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { RosterGraph } from '../policy/roster-graph.ts'
import { Unavailable } from '../refusals.ts'
import { loadGraph } from './facts-store.ts'
import type { Revisions } from './store.ts'

interface Kept {
  readonly graphRevision: number
  readonly graph: RosterGraph
}

/** Edges kept over all communities; an edge takes some hundred bytes. */
const EDGES_MAX = 500_000
/** Graphs that move on at every look are being rebuilt under us; the caller is told to come again. */
const LOOKS_MAX = 6

/** A graph of those that are known already, perhaps of an older revision. */
export type KnownGraphs = (community: Did) => RosterGraph | undefined

export interface AtOneRevision<R> {
  /** What was read, of the community itself and of each whose spaces are on its rosters. */
  readonly rows: ReadonlyMap<Did, R>
  readonly graphs: ReadonlyMap<Did, RosterGraph>
}

export class Graphs {
  readonly #kept = new LRUCache<Did, Kept>({ maxSize: EDGES_MAX, sizeCalculation: ({ graph }) => graph.size + 1 })

  /**
   * Asks `read` for facts about a community and those that feed it until facts and graphs are of one revision each. `read` leaves
   * out communities that are unknown, and may choose what to read by the graphs that are known; it is asked again when they were
   * not the right ones. Null: the community itself is unknown.
   *
   * `isSettled`: nothing that is read can be rolled back any more. What is read inside a transaction is used and forgotten unless
   * the caller knows that it holds the community and has written nothing yet: another one may give the same number to other edges.
   *
   * @throws Unavailable('NotEnoughResources') when they never meet.
   */
  async atOneRevision<R extends Revisions>(
    db: Db | Tx,
    community: Did,
    read: (communities: readonly Did[], known: KnownGraphs) => Promise<ReadonlyMap<Did, R>>,
    isSettled = !db.isTransaction,
  ): Promise<AtOneRevision<R> | null> {
    const fresh = new Map<Did, Kept>()
    const newest = (did: Did): Kept | undefined => fresh.get(did) ?? this.#kept.get(did)
    for (let look = 0; look < LOOKS_MAX; look++) {
      const rows = await read([community, ...(newest(community)?.graph.feeders ?? [])], (did) => newest(did)?.graph)
      if (!rows.has(community)) return null
      let isMet = true
      for (const [did, { graphRevision }] of rows) {
        if (newest(did)?.graphRevision === graphRevision) continue
        isMet = false
        const loaded = await loadGraph(db, did)
        if (!loaded) return null
        fresh.set(did, loaded)
        const kept = this.#kept.get(did)
        if (isSettled && (!kept || kept.graphRevision < loaded.graphRevision)) this.#kept.set(did, loaded)
      }
      if (isMet) return { rows, graphs: graphsOf(rows, newest) }
    }
    throw new Unavailable('NotEnoughResources', 'graph')
  }
}

function graphsOf<R>(rows: ReadonlyMap<Did, R>, newest: (did: Did) => Kept | undefined): Map<Did, RosterGraph> {
  const graphs = new Map<Did, RosterGraph>()
  for (const did of rows.keys()) {
    const kept = newest(did)
    if (kept) graphs.set(did, kept.graph)
  }
  return graphs
}
