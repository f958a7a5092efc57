/**
 * PostgreSQL as an engine: a small pool, limits on every wait, and a refusal to start on a server that forgets.
 *
 * The address holds a password. It is never printed, and neither are the messages of a connection that failed.
 */
import pg from 'pg'
import { Unavailable } from '../refusals.ts'
import { asUnavailable, databaseCodeOf, isTransient } from './database-trouble.ts'
import { STATEMENT_TIMEOUT_MS } from './limits.ts'
import { errorName, type Log } from './log.ts'
import type { Secret } from './secret.ts'
import { answerOf, type Engine, type Session } from './sql-driver.ts'
import { ARRAY_ITEMS, type ColumnParser, scalarParser } from './sql-types.ts'
import { NAMES_MAX, NameFailed, StatementNames } from './statement-names.ts'
import { enterConnection, isPatientScope } from './transaction-scope.ts'

const CONNECTIONS_MAX = 8
const CONNECT_TIMEOUT_MS = 3_000
/** When the server itself does not keep to the statement timeout, because it or the network is gone. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 2_000
/** A transaction that a bug left open would hold its rows for ever. */
const IDLE_TRANSACTION_TIMEOUT_MS = 30_000
/** SQLSTATE of a write where only reading is allowed. */
const READ_ONLY = '25006'
/** Where in the server the wait for a standby is, as its messages say in every language. */
const STANDBY_WAIT = 'SyncRepWaitForLSN'

/** The server follows another one, and shows what was: whoever was removed a moment ago would be let in by it. */
class ServerFollows extends Error {
  override readonly name = 'ServerFollows'
}

/** A commit stands at one server alone that was to be kept at two: if that one is lost now, so is the commit. */
class KeptAlone extends Error {
  override readonly name = 'KeptAlone'
}

/**
 * Connects and makes sure that the server keeps what it acknowledges.
 *
 * @throws Error with one clear line: the address is malformed, or the server is not durable and `allowUnsafe` is false.
 * @throws Unavailable('NotEnoughResources', 'database') when it cannot be reached.
 */
export async function openPostgres(url: Secret<string>, allowUnsafe: boolean, log: Log): Promise<Engine> {
  const connectionString = url.reveal()
  requireAddress(connectionString)
  const follows = { isTold: false, tell: () => log.warn('database-follows') }
  const pool = new pg.Pool({
    connectionString,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    application_name: 'reeve',
    types: { getTypeParser },
    // A server can't begin to follow while somebody is connected, so it is enough to look once.
    onConnect: (client) => requireLeader(client, follows),
  })
  const lost = (error: Error) => log.warn('database-connection-lost', { error: errorName(error) })
  // An 'error' event without a listener ends the process. The pool listens while a connection is idle; this listens while
  // somebody holds it, whose own statement then fails and tells.
  pool.on('error', lost)
  pool.on('connect', (client) => client.on('error', () => {}))
  const keptAlone = new WeakSet<pg.PoolClient>()
  pool.on('connect', (client) =>
    client.on('notice', ({ routine }) => {
      if (routine === STANDBY_WAIT) keptAlone.add(client)
    }),
  )

  const names = new StatementNames(NAMES_MAX, () => log.warn('database-statements-not-kept'))
  let closing: Promise<void> | null = null
  const close = () => {
    closing ??= pool.end()
    return closing
  }
  const engine: Engine = {
    name: 'postgres',
    connectionsMax: CONNECTIONS_MAX,
    acquire: () => acquire(pool, names, keptAlone),
    close,
  }
  try {
    await requireDurable(engine, allowUnsafe, log)
    return engine
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** @throws Error that says nothing of the address but that it is wrong. */
function requireAddress(address: string): void {
  try {
    if (!/^postgres(?:ql)?:\/\//.test(address)) throw new TypeError('another scheme')
    new pg.Client({ connectionString: address })
  } catch {
    throw new Error('DATABASE_URL is not an address of the form postgres://user:password@host:port/database')
  }
}

/** @throws Unavailable where a standby answers, which an address may lead to while servers change their parts. */
async function requireLeader(client: pg.ClientBase, follows: { isTold: boolean; tell(): void }): Promise<void> {
  const asked = { text: 'select pg_is_in_recovery() as follows', ...{ query_timeout: CONNECT_TIMEOUT_MS } }
  const { rows } = await client.query<{ follows: boolean }>(asked)
  const isFollowing = rows[0]?.follows !== false
  if (isFollowing && !follows.isTold) follows.tell()
  follows.isTold = isFollowing
  if (isFollowing) throw new Unavailable('NotEnoughResources', 'database', { cause: new ServerFollows() })
}

async function acquire(pool: pg.Pool, names: StatementNames, keptAlone: WeakSet<pg.PoolClient>): Promise<Session> {
  const leave = enterConnection(pool)
  const client = await pool.connect().catch((error: unknown) => {
    leave()
    throw error
  })
  let isLost = false

  async function ask(text: string, values: readonly unknown[], name?: string) {
    const limit = isPatientScope() ? {} : { query_timeout: ANSWER_TIMEOUT_MS }
    const named = name === undefined ? {} : { name }
    try {
      const result: pg.QueryResult<object> | pg.QueryResult<object>[] = await client.query({
        text,
        values: [...values],
        ...named,
        ...limit,
      })
      // Somebody ended its wait for the standby (`pg_cancel_backend`). It is kept here, and may yet be lost: nobody is told yes.
      if (keptAlone.delete(client)) throw new Unavailable('NotEnoughResources', 'database', { cause: new KeptAlone() })
      const last = Array.isArray(result) ? result.at(-1) : result
      return answerOf(last?.command ?? '', last?.rows ?? [], last?.rowCount)
    } catch (error) {
      // An error of the statement leaves the connection whole. After any other trouble it is about to end, or (after the
      // timeout on this side) still busy, and whoever had it next would fail or wait for it. One that may only read is of no
      // use any more either: another may lead to the server that has taken over.
      const isReadOnly = databaseCodeOf(error) === READ_ONLY
      const isOfStatement = error instanceof pg.DatabaseError && error.severity === 'ERROR' && !isReadOnly
      if (isTransient(error) && !isOfStatement) isLost = true
      throw error
    }
  }

  return {
    async query(text, values) {
      const name = values.length > 0 ? names.nameOf(text) : undefined
      if (name === undefined) return ask(text, values)
      const isAlone = client.getTransactionStatus() === 'I'
      try {
        return await ask(text, values, name)
      } catch (error) {
        if (!names.isToBlame(text, error)) throw error
        // By itself it is undone and can be asked again. In a transaction everything before it is undone with it.
        if (isAlone) return ask(text, values)
        throw new NameFailed('a kept statement was of no use any more', { cause: error })
      }
    },
    release(isDoubtful) {
      leave()
      client.release(isDoubtful || isLost)
    },
  }
}

function getTypeParser(oid: number): ColumnParser {
  const item = ARRAY_ITEMS[oid]
  if (item === undefined) return scalarParser(oid)
  const parse = scalarParser(item)
  // `create` is what the library calls; its type declarations say otherwise.
  const { arrayParser }: { arrayParser: unknown } = pg.types
  if (!isArrayParser(arrayParser)) throw new TypeError('pg has no array parser any more')
  return (text) => arrayParser.create(text, parse).parse()
}

interface ArrayParser {
  create(text: string, parse: ColumnParser): { parse(): unknown[] }
}

const isArrayParser = (value: unknown): value is ArrayParser =>
  value !== null && (typeof value === 'object' || typeof value === 'function') && 'create' in value

/** Settings of a server that decide whether a commit outlives a crash, as `pg_settings` shows them. */
export type ServerSettings = Readonly<Record<string, string>>

/** What is wrong with a server that we would trust with commits, each in one clear line; empty when nothing is. */
export function durabilityFaults(settings: ServerSettings): string[] {
  const faults: string[] = []
  for (const name of ['fsync', 'full_page_writes']) {
    if (settings[name] !== 'on') faults.push(`${name} is ${settings[name] ?? 'unknown'}, must be on`)
  }
  const commit = settings.synchronous_commit ?? 'unknown'
  if (!['on', 'remote_write', 'remote_apply'].includes(commit)) {
    faults.push(`synchronous_commit is ${commit}, must be on, remote_write or remote_apply`)
  }
  if (!(Number(settings.server_version_num) >= 150_000)) {
    faults.push(`server_version_num is ${settings.server_version_num ?? 'unknown'}, must be 150000 (15.0) or newer`)
  }
  if (settings.server_encoding !== 'UTF8') {
    faults.push(`server_encoding is ${settings.server_encoding ?? 'unknown'}, must be UTF8`)
  }
  return faults
}

async function requireDurable(engine: Engine, allowUnsafe: boolean, log: Log): Promise<void> {
  const settings = await loadSettings(engine).catch((error: unknown) => {
    const trouble = asUnavailable(error)
    const cause = trouble instanceof Unavailable ? trouble.cause : error
    log.error('database-unreachable', { error: errorName(cause) })
    // Its message may name parts of an address that was taken apart wrongly, a piece of a password among them.
    throw trouble instanceof Unavailable
      ? new Unavailable('NotEnoughResources', 'database')
      : new Error(`PostgreSQL refused the connection (${errorName(error)})`)
  })
  const faults = durabilityFaults(settings)
  if (faults.length === 0) return
  if (!allowUnsafe) throw new Error(`this PostgreSQL could lose what it acknowledged: ${faults.join('; ')}`)
  log.warn('database-unsafe', { faults: faults.join('; ') })
}

async function loadSettings(engine: Engine): Promise<ServerSettings> {
  const session = await engine.acquire()
  try {
    const { rows } = await session.query(
      `select name, setting from pg_settings where name in
       ('fsync', 'full_page_writes', 'synchronous_commit', 'server_version_num', 'server_encoding')`,
      [],
    )
    return Object.fromEntries(
      rows.flatMap((row) => ('name' in row && 'setting' in row ? [[row.name, row.setting]] : [])),
    )
  } finally {
    session.release(false)
  }
}
