/**
 * Kysely over an engine of ours: the one place where statements, transactions and savepoints become SQL, for both engines.
 *
 * Whatever goes wrong with the world comes out as `Unavailable`; a connection in doubt never goes back to be used again.
 */
import {
  AbortedTransactionError,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import { Unavailable } from '../refusals.ts'
import { asUnavailable, databaseCodeOf } from './database-trouble.ts'
import { markOf } from './statement-names.ts'
import type { Step, Traces } from './traces.ts'

/** What a statement came to. `changed` counts the rows of an insert, update, delete or merge; else it is null. */
export interface Answer {
  readonly command: string
  readonly rows: readonly object[]
  readonly changed: number | null
}

/** One connection, held by one caller at a time. Statements without values may be several, divided by semicolons. */
export interface Session {
  query(text: string, values: readonly unknown[]): Promise<Answer>
  /** Gives the connection back, or ends it when its state is in doubt. */
  release(isDoubtful: boolean): void
}

/** How the connections of this process are used at the moment. */
export interface Connections {
  readonly most: number
  readonly inUse: number
  /** Who waits for one. */
  readonly waiting: number
}

export interface Engine {
  readonly name: 'postgres' | 'embedded'
  readonly connectionsMax: number
  acquire(): Promise<Session>
  /** Waits for what is running, then closes. */
  close(): Promise<void>
}

const CHANGING: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE'])

export const answerOf = (command: string, rows: readonly object[], rowCount: number | null | undefined): Answer => ({
  command,
  rows,
  changed: CHANGING.has(command) ? (rowCount ?? 0) : null,
})

/** Counts of connections, as the driver moves them. */
export type ConnectionCounts = { -readonly [Name in keyof Connections]: number }

/** The dialect that speaks to `engine`, counts its connections, and has its statements followed. */
export const dialectOf = (engine: Engine, counts: ConnectionCounts, traces: Traces): Dialect => ({
  createAdapter: () => new PostgresAdapter(),
  createDriver: () => driverOf(engine, counts, traces),
  createIntrospector: (db) => new PostgresIntrospector(db),
  createQueryCompiler: () => new PostgresQueryCompiler(),
})

class SessionConnection implements DatabaseConnection {
  readonly session: Session
  readonly #traces: Traces
  isDoubtful = false

  constructor(session: Session, traces: Traces) {
    this.session = session
    this.#traces = traces
  }

  async run(text: string, values: readonly unknown[] = []): Promise<Answer> {
    try {
      return await this.#traces.step(
        () => statement(text),
        () => this.session.query(text, values),
      )
    } catch (error) {
      throw asUnavailable(error)
    }
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changed } = await this.run(query.sql, query.parameters)
    const found = { rows: rows as R[] } // the row type is what the statement says; the schema's golden file keeps it honest
    return changed === null ? found : { ...found, numAffectedRows: BigInt(changed) }
  }

  // biome-ignore lint/correctness/useYield: nothing here streams, and Kysely asks for the method.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('statements are not streamed here')
  }
}

/** What a statement begins with, out of those that there are, and a mark of its text: never the text, and never a value. */
function statement(text: string): Step {
  const [first = ''] = /^[a-z]+/i.exec(text.trimStart()) ?? []
  const name = first.toLowerCase()
  return { kind: 'statement', name: VERBS.has(name) ? name : 'statement', mark: markOf(text) }
}

const VERBS = new Set(
  'select insert update delete merge with begin start commit rollback savepoint release set vacuum create alter'.split(
    ' ',
  ),
)

function driverOf(engine: Engine, counts: ConnectionCounts, traces: Traces): Driver {
  const ours = (connection: DatabaseConnection): SessionConnection => {
    if (!(connection instanceof SessionConnection)) throw new TypeError('a connection of another driver')
    return connection
  }
  return {
    async init() {},
    async acquireConnection() {
      counts.waiting += 1
      try {
        const session = await traces.step(
          () => ({ kind: 'statement', name: 'connection' }),
          () => engine.acquire(),
        )
        counts.inUse += 1
        return new SessionConnection(session, traces)
      } catch (error) {
        // A server that turns us away (the database dropped, the password changed) is as far as one that is silent.
        const isTurnedAway = !(error instanceof Unavailable) && databaseCodeOf(error) !== null
        throw isTurnedAway ? new Unavailable('NotEnoughResources', 'database', { cause: error }) : asUnavailable(error)
      } finally {
        counts.waiting -= 1
      }
    },
    async beginTransaction(connection, settings) {
      await ours(connection).run(beginOf(settings))
    },
    async commitTransaction(connection) {
      const { command } = await ours(connection).run('commit')
      // PostgreSQL answers a COMMIT of a failed transaction with ROLLBACK, and no error: nobody may take that for a yes.
      if (command === 'ROLLBACK') throw new AbortedTransactionError()
    },
    async rollbackTransaction(connection) {
      try {
        await ours(connection).run('rollback')
      } catch {
        // The connection ends instead, which rolls back as well; the failure that led here is the one to tell.
        ours(connection).isDoubtful = true
      }
    },
    async savepoint(connection, name) {
      await ours(connection).run(`savepoint ${quoted(name)}`)
    },
    async rollbackToSavepoint(connection, name) {
      await ours(connection).run(`rollback to savepoint ${quoted(name)}`)
    },
    async releaseSavepoint(connection, name) {
      await ours(connection).run(`release savepoint ${quoted(name)}`)
    },
    async releaseConnection(connection) {
      const { session, isDoubtful } = ours(connection)
      counts.inUse -= 1
      session.release(isDoubtful)
    },
    destroy: () => engine.close(),
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

function beginOf({ isolationLevel, accessMode }: TransactionSettings): string {
  const modes = [isolationLevel && `isolation level ${isolationLevel}`, accessMode].filter((mode) => mode !== undefined)
  return modes.length > 0 ? `start transaction ${modes.join(' ')}` : 'begin'
}
