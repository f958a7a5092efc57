/** Migrations: in order, once, and never against a database that knows better. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { sql } from 'kysely'
import { afterAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { loadMigrations, migrate } from '../../src/platform/migrations.ts'
import { engines, openTestDatabase } from '../kit/databases.ts'
import { dumpSchema } from '../kit/golden.ts'

const root = mkdtempSync(join(tmpdir(), 'reeve-migrations-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let made = 0
function folderOf(files: Record<string, string>): URL {
  const folder = join(root, String(made++))
  mkdirSync(folder)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return pathToFileURL(`${folder}/`)
}

const FIRST = { '0001-first.sql': '-- why\ncreate table one (value integer);\ninsert into one values (1);\n' }
const SECOND = { '0002-second.sql': '-- why\ncreate table two (value integer);\ninsert into one values (2);\n' }
const clock = { ...systemClock, nowMs: () => 1_700_000_000_123 }

describe.each(engines())('migrations (%s)', (engine) => {
  const withEmpty = async (work: (db: Db) => Promise<void>) => {
    const { db, close } = await openTestDatabase(engine, { isMigrated: false })
    await work(db).finally(close)
  }
  const apply = (db: Db, files: Record<string, string>) => migrate(db, clock, loadMigrations(folderOf(files)))

  it('are applied in order and noted, and the second time there is nothing to do', () =>
    withEmpty(async (db) => {
      expect(await apply(db, { ...SECOND, ...FIRST })).toEqual([1, 2])
      expect((await sql`select value from one order by value`.execute(db)).rows).toEqual([{ value: 1 }, { value: 2 }])
      const noted = await db
        .selectFrom('migration')
        .select(['number', 'name', 'applied_at_ms'])
        .orderBy('number')
        .execute()
      expect(noted).toEqual([
        { number: 1, name: 'first', applied_at_ms: 1_700_000_000_123 },
        { number: 2, name: 'second', applied_at_ms: 1_700_000_000_123 },
      ])
      expect(await apply(db, { ...FIRST, ...SECOND })).toEqual([])
    }))

  it('that are new are applied to a database that has the others', () =>
    withEmpty(async (db) => {
      expect(await apply(db, FIRST)).toEqual([1])
      expect(await apply(db, { ...FIRST, ...SECOND })).toEqual([2])
    }))

  it('are the same file with other line ends', () =>
    withEmpty(async (db) => {
      await apply(db, FIRST)
      expect(await apply(db, { '0001-first.sql': FIRST['0001-first.sql'].replaceAll('\n', '\r\n') })).toEqual([])
    }))

  it('that fail leave nothing of themselves', () =>
    withEmpty(async (db) => {
      const failing = { '0002-second.sql': 'create table two (value integer); insert into nowhere values (1);' }
      await expect(apply(db, { ...FIRST, ...failing })).rejects.toThrow(/nowhere/)
      expect((await sql`select to_regclass('two') as found`.execute(db)).rows).toEqual([{ found: null }])
      expect(await db.selectFrom('migration').select('number').execute()).toEqual([{ number: 1 }])
      expect(await apply(db, { ...FIRST, ...SECOND })).toEqual([2])
    }))

  it('refuse a database of a newer schema, and write nothing', () =>
    withEmpty(async (db) => {
      await apply(db, { ...FIRST, ...SECOND })
      const before = await dumpSchema(db)
      await expect(apply(db, FIRST)).rejects.toThrow(/newer schema \(it has 0002-second\)/)
      await expect(apply(db, { ...FIRST, '0003-third.sql': 'drop table one;' })).rejects.toThrow(/newer schema/)
      expect(await dumpSchema(db)).toBe(before)
    }))

  it('refuse a file that was changed after it had been applied, and write nothing', () =>
    withEmpty(async (db) => {
      await apply(db, FIRST)
      const changed = { '0001-first.sql': `${FIRST['0001-first.sql']}drop table one;` }
      await expect(apply(db, { ...changed, ...SECOND })).rejects.toThrow(/0001-first\.sql was changed/)
      expect((await sql`select to_regclass('two') as found`.execute(db)).rows).toEqual([{ found: null }])
    }))

  it('refuse a new file that comes before one that was applied', () =>
    withEmpty(async (db) => {
      const third = { '0003-third.sql': 'create table three (value integer)' }
      await apply(db, { ...FIRST, ...third })
      await expect(apply(db, { ...FIRST, ...SECOND, ...third })).rejects.toThrow(/migration 2 comes before 0003-third/)
    }))

  it('are applied once when several processes start at one moment', async () => {
    const database = await openTestDatabase(engine, { isMigrated: false })
    const { url } = database
    const more = url
      ? await Promise.all(
          [1, 2, 3].map(() =>
            openDatabase({ url, dataDir: '', allowUnsafe: true, log: silentLog, clock: systemClock }),
          ),
        )
      : []
    const done = await Promise.all([database, ...more].map(({ db }) => apply(db, { ...FIRST, ...SECOND })))
    expect(done.flat().sort()).toEqual([1, 2])
    expect((await sql`select count(*) as rows from one`.execute(database.db)).rows).toEqual([{ rows: 2 }])
    await Promise.all(more.map((each) => each.close()))
    await database.close()
  })
})

describe('files of migrations', () => {
  it('have a number and a name', () => {
    expect(() => loadMigrations(folderOf({ 'first.sql': '' }))).toThrow(/first\.sql is not named/)
    expect(() => loadMigrations(folderOf({ '0001-One.sql': '' }))).toThrow(/is not named/)
  })

  it('have each a number of their own', () => {
    expect(() => loadMigrations(folderOf({ '0001-a.sql': '', '0001-b.sql': '' }))).toThrow(
      /two migrations have the number 1/,
    )
  })

  it('of ours say in their first line why they are there', () => {
    const ours = loadMigrations()
    expect(ours[0]?.name).toBe('ground')
    for (const { sql: text } of ours) expect(text).toMatch(/^-- \S/)
  })
})
