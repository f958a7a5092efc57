/**
 * The database: PostgreSQL, or PGlite in a directory of our own, behind one type.
 *
 * Each room declares its own tables here (`declare module '…/platform/database.ts' { interface Tables { … } }`) and is the
 * only one that writes them. Times are numbers given by the caller, never the database's own clock.
 */
import { type IsolationLevel, Kysely, sql, type Transaction } from 'kysely'
import { type Clock, sleep } from './clock.ts'
import { isConflict } from './database-trouble.ts'
import type { Log } from './log.ts'
import type { Secret } from './secret.ts'
import { type ConnectionCounts, type Connections, dialectOf, type Engine } from './sql-driver.ts'
import { NO_TRACES, type Traces } from './traces.ts'
import { inTransactionScope } from './transaction-scope.ts'

export { isTransient } from './database-trouble.ts'

/** Every table, by name. Rooms add theirs by declaration merging. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by the rooms.
export interface Tables {}

export type Db = Kysely<Tables>
/** A transaction. It is also a `Db`; a function that takes a `Tx` wants to be one of several steps. */
export type Tx = Transaction<Tables>

export interface OpenDatabase {
  readonly db: Db
  readonly engine: Engine['name']
  /** How its connections are used in this moment. */
  connections(): Connections
  /** Waits for what is running, then closes; the embedded directory is given back. */
  close(): Promise<void>
}

/**
 * Opens PostgreSQL at `url`, or without one the embedded database under `dataDir`.
 *
 * @throws Error with one clear line: malformed address, a server that is not durable (unless `allowUnsafe`, which warns),
 * a directory that another process holds (`DirectoryHeld`) or that cannot be opened.
 * @throws Unavailable('NotEnoughResources', 'database') when the server can't be reached.
 */
export async function openDatabase(options: {
  url: Secret<string> | null
  dataDir: string
  allowUnsafe: boolean
  log: Log
  clock: Clock
  traces?: Traces
}): Promise<OpenDatabase> {
  const { url, dataDir, allowUnsafe, log, traces } = options
  // Imported when needed: whoever runs PostgreSQL need not load a second database into memory, nor the other way round.
  if (url) {
    const { openPostgres } = await import('./postgres.ts')
    return databaseOf(await openPostgres(url, allowUnsafe, log), traces)
  }
  const { openEmbedded } = await import('./embedded.ts')
  return databaseOf(await openEmbedded({ dataDir, log }), traces)
}

export function databaseOf(engine: Engine, traces: Traces = NO_TRACES): OpenDatabase {
  const counts: ConnectionCounts = { most: engine.connectionsMax, inUse: 0, waiting: 0 }
  const db: Db = new Kysely<Tables>({ dialect: dialectOf(engine, counts, traces) })
  let closing: Promise<void> | null = null
  return {
    db,
    engine: engine.name,
    connections: () => ({ ...counts }),
    close() {
      // Straight to the engine: Kysely closes nothing that it has not used yet.
      closing ??= engine.close()
      return closing
    },
  }
}

/** Pauses before the second, third and fourth try of a transaction that lost against another. */
const RETRY_PAUSES_MS = [5, 25, 75] as const

/**
 * Runs `work` in a transaction: all of it is kept, or nothing. One that loses against another (serialisation failure,
 * deadlock) is tried again up to three times, so `work` must leave no trace but through `tx`, and must ask nothing of `db`.
 *
 * @throws Unavailable('NotEnoughResources', 'database') for trouble with the connection or the fourth loss in a row. When it
 * comes from the commit itself, the outcome is unknown: an idempotency key tells the truth on the next try.
 */
export async function withTransaction<T>(
  db: Db,
  work: (tx: Tx) => Promise<T>,
  options: { isolation?: IsolationLevel; isPatient?: boolean } = {},
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      const builder = options.isolation ? db.transaction().setIsolationLevel(options.isolation) : db.transaction()
      return await inTransactionScope(options.isPatient ?? false, () => builder.execute(work))
    } catch (error) {
      const pauseMs = RETRY_PAUSES_MS[attempt]
      if (!isConflict(error) || pauseMs === undefined) throw error
      await sleep(pauseMs)
    }
  }
}

/** Does something inside a transaction, answers what was found, and undoes it. When it fails, the whole transaction does. */
export async function undone<T>(tx: Tx, work: () => Promise<T>): Promise<T> {
  await sql`savepoint trial`.execute(tx)
  const found = await work()
  await sql`rollback to savepoint trial`.execute(tx)
  await sql`release savepoint trial`.execute(tx)
  return found
}

/** Whether the database answers now. For a health check: false whatever the trouble is. */
export async function databaseAnswers(db: Db): Promise<boolean> {
  try {
    await sql`select 1`.execute(db)
    return true
  } catch {
    return false
  }
}

/**
 * Gives the room of deleted rows back. A server does this by itself; the embedded database has nobody in the background, and
 * tables whose rows come and go would grow for ever. Table by table, so that each stop is short. Does nothing on PostgreSQL.
 */
export async function tidyTables({ db, engine }: OpenDatabase): Promise<void> {
  if (engine !== 'embedded') return
  const { rows } = await sql<{
    name: string
  }>`select tablename as name from pg_tables where schemaname = current_schema()`.execute(db)
  for (const { name } of rows) await sql`vacuum (analyze) ${sql.table(name)}`.execute(db)
}
