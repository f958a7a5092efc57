/**
 * Databases for tests: each its own, made for the purpose and gone afterwards, on both engines.
 *
 * PGlite runs always, in memory. PostgreSQL runs when it answers at `REEVE_TEST_POSTGRES`; where it must answer (`CI=true` or
 * `REEVE_REQUIRE_POSTGRES=1`) its absence is a failure, and elsewhere it is said aloud. Half of a suite never goes missing quietly.
 */
import pg from 'pg'
import { afterAll, describe } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { databaseOf, type OpenDatabase, openDatabase } from '../../src/platform/database.ts'
import { openInMemory } from '../../src/platform/embedded.ts'
import { silentLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { Secret } from '../../src/platform/secret.ts'
import { emptyDump } from './empty-dump.ts'

export type EngineName = OpenDatabase['engine']

export interface TestDatabase extends OpenDatabase {
  /** Where to open it a second time; null in memory, where there is no second time. */
  readonly url: Secret<string> | null
}

const SERVER_URL = process.env.REEVE_TEST_POSTGRES ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const MUST_HAVE_POSTGRES = process.env.CI === 'true' || process.env.REEVE_REQUIRE_POSTGRES === '1'

const postgresFault = await onServer('select 1').then(
  () => null,
  (error: unknown) => (error instanceof Error && 'code' in error ? String(error.code) : 'no answer'),
)
if (postgresFault !== null) {
  const fault = `PostgreSQL does not answer at REEVE_TEST_POSTGRES (${postgresFault})`
  if (MUST_HAVE_POSTGRES) throw new Error(fault)
  process.stderr.write(`${fault}: the half of these tests that runs on PostgreSQL is left out.\n`)
}

/** Whether the tests that only PostgreSQL can answer may be declared. */
export const hasPostgres = postgresFault === null

/** The engines to run on here. */
export const engines = (): readonly EngineName[] => (hasPostgres ? ['embedded', 'postgres'] : ['embedded'])

/** Declares a suite once per engine. `open` gives a new, migrated database; those left open are closed after the suite. */
export function describeOnEachEngine(
  name: string,
  body: (open: () => Promise<TestDatabase>, engine: EngineName) => void,
) {
  for (const engine of engines()) {
    describe(`${name} (${engine})`, () => {
      const opened: TestDatabase[] = []
      afterAll(async () => {
        await Promise.all(opened.map((database) => database.close()))
      })
      body(async () => {
        const database = await openTestDatabase(engine)
        opened.push(database)
        return database
      }, engine)
    })
  }
}

/** A new database with the whole schema, or without any. `close` may be called twice. */
export async function openTestDatabase(engine: EngineName, { isMigrated = true } = {}): Promise<TestDatabase> {
  const database = engine === 'postgres' ? await openOnServer() : { ...(await openFromDump()), url: null }
  try {
    if (isMigrated) await migrate(database.db, systemClock)
    return database
  } catch (error) {
    await database.close()
    throw error
  }
}

/** Makes an empty database on the server; `drop` ends whoever is connected to it. `options` follow `create database …`. */
export async function createOnServer(
  options = `template template0 encoding 'UTF8'`,
): Promise<{ name: string; url: Secret<string>; drop(): Promise<void> }> {
  const name = `reeve_test_${process.pid}_${randomHex(systemRandom, 6)}`
  await onServer(`create database ${name} ${options}`)
  const url = new URL(SERVER_URL)
  url.pathname = `/${name}`
  return { name, url: new Secret(url.href), drop: () => onServer(`drop database if exists ${name} with (force)`) }
}

/** One statement on the server's own database, over a connection of its own. */
export async function onServer(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: SERVER_URL, connectionTimeoutMillis: 20_000 })
  try {
    await client.connect()
    await client.query(text)
  } finally {
    await client.end().catch(() => {})
  }
}

async function openOnServer(): Promise<TestDatabase> {
  const { url, drop } = await createOnServer()
  const database = await openDatabase({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock })
  let closing: Promise<void> | null = null
  const close = async () => {
    await database.close()
    await drop()
  }
  return {
    ...database,
    url,
    close() {
      closing ??= close()
      return closing
    },
  }
}

const openFromDump = async (): Promise<OpenDatabase> => databaseOf(await openInMemory(silentLog, await emptyDump()))
