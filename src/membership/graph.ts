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
import type { Sizes } from '../platform/sizes.ts'
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
  readonly #loading = new Map<Did, Promise<Kept | null>>()

  constructor(sizes?: Sizes) {
    sizes?.kept('edges of graphs', EDGES_MAX, () => this.#kept.calculatedSize)
  }

  /**
   * Asks `read` for facts about a community and those that feed it until facts and graphs are of one revision each. `read` leaves
   * out communities that are unknown, and may choose what to read by the graphs that are known; it is asked again when they were
   * not the right ones. Null: the community itself is unknown.
   *
   * `feedersOf` says which other communities matter, of those whose spaces are on rosters here.
   * `isSettled`: nothing that is read can be rolled back any more. What is read inside a transaction is used and forgotten unless
   * the caller knows that it holds the community and has written nothing yet: another one may give the same number to other edges.
   *
   * @throws Unavailable('NotEnoughResources') when they never meet.
   */
  async atOneRevision<R extends Revisions>(
    db: Db | Tx,
    community: Did,
    read: (communities: readonly Did[], known: KnownGraphs) => Promise<ReadonlyMap<Did, R>>,
    { feedersOf = allFeeders, isSettled = !db.isTransaction, isTried = false }: LookOptions = {},
  ): Promise<AtOneRevision<R> | null> {
    const fresh = new Map<Did, Kept>()
    const newest = (did: Did): Kept | undefined =>
      fresh.get(did) ?? (isTried && did === community ? undefined : this.#kept.get(did))
    for (let look = 0; look < LOOKS_MAX; look++) {
      // What is known is fixed for this look: somebody else may keep a newer graph before the facts are read, and facts that
      // were chosen by the older one would pass for facts of the newer.
      const known = new Map<Did, Kept | undefined>()
      const knownOf = (did: Did): Kept | undefined => {
        if (!known.has(did)) known.set(did, newest(did))
        return known.get(did)
      }
      const graph = knownOf(community)?.graph
      const asked = [community, ...(graph ? feedersOf(graph) : [])]
      for (const did of asked) knownOf(did)
      const rows = await read(asked, (did) => knownOf(did)?.graph)
      if (!rows.has(community)) return null
      let isMet = true
      for (const [did, { graphRevision }] of rows) {
        if (knownOf(did)?.graphRevision === graphRevision) continue
        isMet = false
        if (newest(did)?.graphRevision === graphRevision) continue
        const loaded = db.isTransaction ? await loadGraph(db, did) : await this.#loadOnce(db, did)
        if (!loaded) return null
        fresh.set(did, loaded)
        if (isSettled) this.#keep(did, loaded)
      }
      if (isMet) return { rows, graphs: graphsOf(rows, knownOf) }
    }
    throw new Unavailable('NotEnoughResources', 'graph')
  }

  /** Loads for everybody who asks meanwhile: a graph that moved is asked for by all who come, and costs once. */
  #loadOnce(db: Db | Tx, did: Did): Promise<Kept | null> {
    const underWay = this.#loading.get(did)
    if (underWay) return underWay
    const loading = loadGraph(db, did).finally(() => this.#loading.delete(did))
    this.#loading.set(did, loading)
    return loading
  }

  #keep(did: Did, loaded: Kept): void {
    const kept = this.#kept.get(did)
    if (!kept || kept.graphRevision < loaded.graphRevision) this.#kept.set(did, loaded)
  }
}

/** Which other communities a question is about, and whether what is read can still be rolled back. */
export interface LookOptions {
  readonly feedersOf?: ((graph: RosterGraph) => readonly Did[]) | undefined
  readonly isSettled?: boolean | undefined
  /** The community's edges were changed in this transaction under their old number, and the change will be undone. */
  readonly isTried?: boolean | undefined
}

const allFeeders = (graph: RosterGraph): readonly Did[] => graph.feeders

function graphsOf<R>(rows: ReadonlyMap<Did, R>, knownOf: (did: Did) => Kept | undefined): Map<Did, RosterGraph> {
  const graphs = new Map<Did, RosterGraph>()
  for (const did of rows.keys()) {
    const kept = knownOf(did)
    if (kept) graphs.set(did, kept.graph)
  }
  return graphs
}
