/**
 * A database on which Reeve's own worker finds nothing to go on with, so that a test can take the worker's turns itself and
 * nothing happens behind its back. Everything else is as on the database itself.
 */
import type { KyselyPlugin } from 'kysely'
import type { TestDatabase } from './databases.ts'

export function holdWorker(database: TestDatabase): TestDatabase {
  const held = new WeakSet<object>()
  const plugin: KyselyPlugin = {
    transformQuery({ node, queryId }) {
      // The queries that pick at random are the worker's.
      if (node.kind === 'SelectQueryNode' && JSON.stringify(node.orderBy ?? '').includes('random()')) held.add(queryId)
      return node
    },
    transformResult: async ({ result, queryId }) => (held.has(queryId) ? { ...result, rows: [] } : result),
  }
  return { ...database, db: database.db.withPlugin(plugin) }
}
