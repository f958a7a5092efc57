/**
 * Which transaction the running code is in, so that it can't reach past it by accident.
 *
 * A statement sent beside one's own open transaction reads what the transaction does not protect. On the embedded engine,
 * which has one connection, it would wait for the transaction that waits for it, for ever. Here both become an error at once.
 */
import { AsyncLocalStorage } from 'node:async_hooks'

interface Scope {
  readonly outer: Scope | undefined
  /** No limit on how long a statement may take: migrations. */
  readonly isPatient: boolean
  state: 'new' | 'open' | 'over'
  engine: object | null
}

const scopes = new AsyncLocalStorage<Scope>()

/** Runs `work`, whose first connection is the one of its transaction and must stay the only one of that engine. */
export const inTransactionScope = <T>(isPatient: boolean, work: () => Promise<T>): Promise<T> =>
  scopes.run({ outer: scopes.getStore(), isPatient, state: 'new', engine: null }, work)

export const isPatientScope = (): boolean => scopes.getStore()?.isPatient === true

/**
 * Notes that a connection of `engine` is being taken; the function it returns notes that it was given back.
 * @throws Error when the running code is inside an open transaction of this very engine: our own mistake.
 */
export function enterConnection(engine: object): () => void {
  const scope = scopes.getStore()
  for (let each = scope; each; each = each.outer) {
    if (each.state === 'open' && each.engine === engine) {
      throw new Error('a statement beside the open transaction: hand on the transaction, not the database')
    }
  }
  if (scope?.state !== 'new') return () => {}
  scope.state = 'open'
  scope.engine = engine
  return () => {
    scope.state = 'over'
  }
}
