/** Counts the statements that requests cause, between the house and the drivers of both databases. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { Server } from 'node:http'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'
import { type Any, before } from './counting.ts'

/**
 * Counts statements at the drivers, those alone that are sent on account of a request: what the house does by itself meanwhile is
 * nobody's. To be called before the server listens. It costs time; whoever counts measures nothing else.
 */
export function countStatements(): () => number {
  let count = 0
  const requests = new AsyncLocalStorage<true>()
  const emit: Any = Server.prototype.emit
  Server.prototype.emit = function emitting(this: Server, ...given: Any[]) {
    if (given[0] !== 'request') return emit.apply(this, given)
    return requests.run(true, () => emit.apply(this, given))
  }
  const touch = () => {
    if (requests.getStore()) count += 1
  }
  before(pg.Client.prototype, 'query', touch)
  before(PGlite.prototype, 'execProtocolRawSync', touch)
  return () => count
}
