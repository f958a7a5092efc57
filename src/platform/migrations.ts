/**
 * The schema, from plain SQL files: applied in order, each in one transaction, and never changed afterwards.
 *
 * A database that knows more than this program is left alone: old code would write rows that new code trusts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { sql } from 'kysely'
import { sha256 } from './bytes.ts'
import type { Clock } from './clock.ts'
import { type Db, type Tx, withTransaction } from './database.ts'

declare module './database.ts' {
  interface Tables {
    migration: { number: number; name: string; sha256: Uint8Array; applied_at_ms: number }
  }
}

export interface Migration {
  readonly number: number
  readonly name: string
  readonly sql: string
  /** Of the file with line ends as `\n`, so that a checkout on another system is the same file. */
  readonly sha256: Uint8Array
}

interface Applied {
  readonly number: number
  readonly name: string
  readonly sha256: Uint8Array
}

const FILE_NAME = /^([0-9]{4})-([a-z0-9-]+)\.sql$/
const OUR_FILES = new URL('../../migrations/', import.meta.url)

/** The migrations of a folder in order. @throws Error when a file is misnamed or two have one number. */
export function loadMigrations(folder: URL = OUR_FILES): Migration[] {
  const migrations = readdirSync(folder)
    .filter((file) => file.endsWith('.sql'))
    .sort()
    .map((file) => {
      const [, digits, name] = FILE_NAME.exec(file) ?? []
      if (digits === undefined || name === undefined) throw new Error(`migrations/${file} is not named 0000-a-name.sql`)
      const text = readFileSync(new URL(file, folder), 'utf8').replaceAll('\r\n', '\n')
      return { number: Number(digits), name, sql: text, sha256: sha256(text) }
    })
  const twice = migrations.find((each, index) => each.number === migrations[index - 1]?.number)
  if (twice) throw new Error(`two migrations have the number ${twice.number}`)
  return migrations
}

/**
 * Brings the schema up to date and answers the numbers of what was applied now. Looks before it writes; several processes
 * may start at once, and one of them applies each file.
 *
 * @throws Error with one clear line, before any write: the database is of a newer schema, a file that was applied has changed,
 * or a new file has a number below one that was applied.
 */
export async function migrate(
  db: Db,
  clock: Clock,
  migrations: readonly Migration[] = loadMigrations(),
): Promise<number[]> {
  const { present } = await sql<{ present: boolean }>`select to_regclass('migration') is not null as present`
    .execute(db)
    .then(({ rows: [row] }) => row ?? { present: false })
  const applied = present ? await loadApplied(db) : []
  requireKnown(applied, migrations)
  if (present && applied.length === migrations.length) return []

  const done: number[] = []
  for (const migration of migrations) {
    const isNew = await withTransaction(db, (tx) => applyOnce(tx, clock, migration, migrations), { isPatient: true })
    if (isNew) done.push(migration.number)
  }
  return done
}

async function applyOnce(tx: Tx, clock: Clock, migration: Migration, all: readonly Migration[]): Promise<boolean> {
  // Rebuilding a big table may take minutes, and so may waiting for the process that does; waiting for ever may not.
  await sql`set local statement_timeout = 0`.execute(tx)
  await sql`set local lock_timeout = '10min'`.execute(tx)
  await sql`select pg_advisory_xact_lock(hashtextextended('reeve migrations', 0))`.execute(tx)
  await sql`create table if not exists migration (
    number integer primary key,
    name text not null,
    sha256 bytea not null,
    applied_at_ms bigint not null
  )`.execute(tx)
  const applied = await loadApplied(tx)
  requireKnown(applied, all)
  if (applied.some((each) => each.number === migration.number)) return false
  await sql.raw(migration.sql).execute(tx)
  const { number, name, sha256 } = migration
  await tx.insertInto('migration').values({ number, name, sha256, applied_at_ms: clock.nowMs() }).execute()
  return true
}

const loadApplied = (db: Db): Promise<Applied[]> =>
  db.selectFrom('migration').select(['number', 'name', 'sha256']).orderBy('number').execute()

/** What was applied must be the beginning of what we have, file by file. */
function requireKnown(applied: readonly Applied[], migrations: readonly Migration[]): void {
  for (const [index, row] of applied.entries()) {
    const ours = migrations.find((each) => each.number === row.number)
    const label = `${String(row.number).padStart(4, '0')}-${row.name}`
    if (!ours) throw new Error(`this database is of a newer schema (it has ${label}); start the newer version of Reeve`)
    if (!Buffer.from(ours.sha256).equals(row.sha256)) {
      throw new Error(`migrations/${label}.sql was changed after it had been applied to this database; put it back`)
    }
    const skipped = migrations[index]
    if (skipped !== ours) {
      throw new Error(
        `migration ${skipped?.number} comes before ${label}, which this database already has; renumber it`,
      )
    }
  }
}
