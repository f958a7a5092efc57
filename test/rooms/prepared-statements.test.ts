/** Statements that PostgreSQL keeps under names: few of them, and nobody notices when one is of no use any more. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, type OpenDatabase, openDatabase, withTransaction } from '../../src/platform/database.ts'
import { openLog } from '../../src/platform/log.ts'
import { hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'

describe('on the embedded database', () => {
  let database: TestDatabase

  beforeAll(async () => {
    database = await openTestDatabase('embedded', { isMigrated: false })
    await sql`create table thing (id int primary key, what text, big bigint, raw bytea, list text[])`.execute(
      database.db,
    )
    return () => database.close()
  })

  const kept = async () =>
    (await sql<{ name: string }>`select name from pg_prepared_statements where name like 'reeve%'`.execute(database.db))
      .rows
  const things = async (db: Db, id: number) => (await sql`select * from thing where id = ${id}`.execute(db)).rows
  const put = (db: Db, id: number, what: string | null) =>
    sql`insert into thing values (${id}, ${what}, ${2 ** 40}, ${new Uint8Array([0, 255])}, ${['a', 'b "c"']}::text[])
      on conflict (id) do update set what = excluded.what`.execute(db)

  it('values go in and come out as they do without a name, nothing among them', async () => {
    const row = { big: 2 ** 40, raw: new Uint8Array([0, 255]), list: ['a', 'b "c"'] }
    for (const [id, what] of [
      [1, 'one'],
      [2, null],
      [3, "it's $1\n"],
    ] as const) {
      expect((await put(database.db, id, what)).numAffectedRows).toBe(1n)
      expect(await things(database.db, id)).toEqual([{ id, what, ...row }])
    }
    expect(await things(database.db, 4)).toEqual([])
    const gone = await sql`delete from thing where id > ${1}`.execute(database.db)
    expect(gone.numAffectedRows).toBe(2n)
  })

  it('many calls of one statement are one name, and a text beyond the bound works as well', async () => {
    const before = (await kept()).length
    for (let i = 0; i < 20; i++) await things(database.db, i)
    expect((await kept()).length).toBeLessThanOrEqual(before + 1)
    for (let i = 0; i < 200; i++) {
      const { rows } = await sql`select ${i}::int as ${sql.ref(`n${i}`)}`.execute(database.db)
      expect(rows).toEqual([{ [`n${i}`]: i }])
    }
    expect(await kept()).toHaveLength(150)
    expect(await things(database.db, 1)).toHaveLength(1)
  })

  it('a refused statement spoils nothing, alone or in a transaction', async () => {
    const twice = () => sql`insert into thing (id) values (${1})`.execute(database.db)
    for (let i = 0; i < 2; i++) await expect(twice()).rejects.toMatchObject({ code: '23505' })
    const inOne = withTransaction(database.db, async (tx) => {
      await put(tx, 9, 'nine')
      await sql`insert into thing (id) values (${1})`.execute(tx)
    })
    await expect(inOne).rejects.toMatchObject({ code: '23505' })
    expect(await things(database.db, 9)).toEqual([])
    expect(await things(database.db, 1)).toHaveLength(1)
  })

  it('a table that gets a column is answered for with it, in a transaction too', async () => {
    await things(database.db, 1)
    await sql`alter table thing add column more int default 7`.execute(database.db)
    expect(await things(database.db, 1)).toMatchObject([{ id: 1, more: 7 }])
    await sql`alter table thing drop column more`.execute(database.db)
    const seen = await withTransaction(database.db, async (tx) => {
      await put(tx, 8, 'eight')
      return things(tx, 8)
    })
    expect(seen).toMatchObject([{ id: 8, what: 'eight' }])
    expect(seen[0]).not.toHaveProperty('more')
  })
})

describe.runIf(hasPostgres)('on PostgreSQL', () => {
  let database: TestDatabase
  let fresh: OpenDatabase
  let lines: string[]

  beforeAll(async () => {
    database = await openTestDatabase('postgres', { isMigrated: false })
    await sql`create table thing (id int primary key, what text)`.execute(database.db)
    await sql`insert into thing select n, 'thing ' || n from generate_series(1, 9) n`.execute(database.db)
  })
  afterAll(() => database.close())
  beforeEach(async () => {
    lines = []
    const log = openLog('info', { write: (line) => lines.push(line) })
    fresh = await openDatabase({ url: database.url, dataDir: '', allowUnsafe: true, log, clock: systemClock })
    return () => fresh.close()
  })

  /** One connection at a time is used, so this shows what all of them were told. */
  const kept = async (db: Db): Promise<string[]> =>
    (await sql<{ name: string }>`select name from pg_prepared_statements order by name`.execute(db)).rows.map(
      ({ name }) => name,
    )
  const things = async (db: Db, id: number) => (await sql`select * from thing where id = ${id}`.execute(db)).rows
  const change = (text: string) => sql.raw(text).execute(database.db)

  it('many calls of one statement are one name, and statements without values have none', async () => {
    for (let i = 0; i < 50; i++) expect(await things(fresh.db, (i % 9) + 1)).toHaveLength(1)
    const [name, ...others] = await kept(fresh.db)
    expect(name).toMatch(/^reeve_\d+_/)
    expect(others).toEqual([])
  })

  it('texts beyond the bound work as well as those within', async () => {
    for (let i = 0; i < 200; i++) {
      const { rows } = await sql`select ${i}::int as ${sql.ref(`n${i}`)}`.execute(fresh.db)
      expect(rows).toEqual([{ [`n${i}`]: i }])
    }
    expect(await kept(fresh.db)).toHaveLength(150)
    expect(await things(fresh.db, 1)).toEqual([{ id: 1, what: 'thing 1' }])
    expect(await kept(fresh.db)).toHaveLength(150)
  })

  it('a table that gets a column is answered for with it, on every connection', async () => {
    await Promise.all(Array.from({ length: 40 }, () => things(fresh.db, 1)))
    await change('alter table thing add column more int default 7')
    const answers = await Promise.all(Array.from({ length: 40 }, () => things(fresh.db, 1)))
    for (const rows of answers) expect(rows).toEqual([{ id: 1, what: 'thing 1', more: 7 }])
    await change('alter table thing drop column more')
    expect(await things(fresh.db, 1)).toEqual([{ id: 1, what: 'thing 1' }])
    expect(lines).toEqual([])
  })

  it('a transaction that meets such a table is carried out once, from its beginning', async () => {
    const move = (id: number) =>
      withTransaction(fresh.db, async (tx) => {
        tries += 1
        await sql`insert into thing (id, what) values (${id}, 'new')`.execute(tx)
        return things(tx, 1)
      })
    let tries = 0
    await Promise.all([11, 12, 13, 14, 15, 16].map(move))
    await change('alter table thing add column less int')
    tries = 0
    expect(await move(20)).toEqual([{ id: 1, what: 'thing 1', less: null }])
    expect(tries).toBe(2)
    expect(await things(fresh.db, 20)).toHaveLength(1)
    const answers = await Promise.all([21, 22, 23, 24, 25, 26].map(move))
    for (const rows of answers) expect(rows).toEqual([{ id: 1, what: 'thing 1', less: null }])
    await change('alter table thing drop column less')
  })

  it('names that somebody took away are done without, and it is told once', async () => {
    expect(await things(fresh.db, 1)).toHaveLength(1)
    await sql`deallocate all`.execute(fresh.db)
    expect(await things(fresh.db, 2)).toEqual([{ id: 2, what: 'thing 2' }])
    expect(await things(fresh.db, 3)).toEqual([{ id: 3, what: 'thing 3' }])
    expect(await kept(fresh.db)).toEqual([])
    expect(lines.filter((line) => line.includes('database-statements-not-kept'))).toHaveLength(1)
  })

  it('names that somebody took away cost a transaction a second try, and no more', async () => {
    expect(await things(fresh.db, 1)).toHaveLength(1)
    await sql`deallocate all`.execute(fresh.db)
    let tries = 0
    const found = await withTransaction(fresh.db, async (tx) => {
      tries += 1
      return things(tx, 1)
    })
    expect([found, tries]).toEqual([[{ id: 1, what: 'thing 1' }], 2])
  })

  it('an error of a statement is its own, with a name as without', async () => {
    for (let i = 0; i < 3; i++) {
      const broken = sql`insert into thing (id, what) values (${1}, 'twice')`.execute(fresh.db)
      await expect(broken).rejects.toMatchObject({ code: '23505' })
    }
    expect(await things(fresh.db, 1)).toHaveLength(1)
  })
})
