/**
 * The edges between spaces, kept in memory per community and graph revision.
 *
 * There is nothing to invalidate by hand on any number of replicas: every statement that reads a person's edges reads the graph
 * revision in the same snapshot, and a graph of another revision is loaded anew and the question asked again.
 */
import { LRUCache } from 'lru-cache'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Edge } from '../policy/standing.ts'
import { Unavailable } from '../refusals.ts'
import { loadGraph } from './store.ts'

interface Graph {
  readonly graphRevision: number
  readonly edges: readonly Edge[]
}

/** Edges kept over all communities; an edge takes some hundred bytes. */
const EDGES_MAX = 500_000
/** A graph that moves on at every look is being rebuilt under us; the caller is told to come again. */
const LOOKS_MAX = 5

export class Graphs {
  readonly #kept = new LRUCache<Did, Graph>({ maxSize: EDGES_MAX, sizeCalculation: (graph) => graph.edges.length + 1 })

  /**
   * Asks `read` for facts until they and the kept graph are of one graph revision. `read` answers null when the community is
   * unknown. @throws Unavailable('NotEnoughResources') when they never meet.
   */
  async atOneRevision<F extends { readonly graphRevision: number }>(
    db: Db | Tx,
    community: Did,
    read: () => Promise<F | null>,
  ): Promise<{ facts: F; nested: readonly Edge[] } | null> {
    for (let look = 0; look < LOOKS_MAX; look++) {
      const facts = await read()
      if (!facts) return null
      const kept = this.#kept.get(community)
      if (kept?.graphRevision === facts.graphRevision) return { facts, nested: kept.edges }
      const graph = await loadGraph(db, community)
      if (!graph) return null
      // A transaction may still be rolled back, and another one then gives the same number to other edges: what is read inside
      // one is used and forgotten.
      const isSettled = !db.isTransaction
      if (isSettled && (!kept || graph.graphRevision > kept.graphRevision)) this.#kept.set(community, graph)
      if (graph.graphRevision === facts.graphRevision) return { facts, nested: graph.edges }
    }
    throw new Unavailable('NotEnoughResources', 'graph')
  }
}
