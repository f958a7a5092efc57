/** The database behind its one type: two engines that must not be told apart, and trouble that must not pass for an answer. */

import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { sql } from 'kysely'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { isTransient, openDatabase, tidyTables, withTransaction } from '../../src/platform/database.ts'
import { databaseCodeOf } from '../../src/platform/database-trouble.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { openLog, silentLog } from '../../src/platform/log.ts'
import { durabilityFaults } from '../../src/platform/postgres.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { Secret } from '../../src/platform/secret.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { createOnServer, describeOnEachEngine, hasPostgres, onServer, openTestDatabase } from '../kit/databases.ts'

const open = (url: string, allowUnsafe = false, log = silentLog) =>
  openDatabase({ url: new Secret(url), dataDir: '', allowUnsafe, log, clock: systemClock })

/** A moment that somebody else decides. */
function gate(): { opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: () => resolve() }
}

describeOnEachEngine('values', (openOne) => {
  it('come back as the same JavaScript types', async () => {
    const { db } = await openOne()
    const { rows } = await sql<Record<string, unknown>>`select
      9007199254740991::bigint as big, (-3)::int as int, 4::smallint as small, 0.5::float8 as float, true as yes,
      null::bigint as none, 'Grüße'::text as text, '\\x00ff10'::bytea as bytes, 12.30::numeric as exact,
      '{"b": [1, null], "a": "x"}'::jsonb as json, count(*) as count,
      timestamptz '2026-01-02 03:04:05+00' at time zone 'UTC' as moment, date '2026-01-02' as day,
      array[1, 2]::bigint[] as bigs, array['a,"b"\\', null, '']::text[] as texts, array['\\x01'::bytea, '\\xff'::bytea] as byteses,
      array[true, false] as answers`.execute(db)
    expect(rows).toEqual([
      {
        big: 9007199254740991,
        int: -3,
        small: 4,
        float: 0.5,
        yes: true,
        none: null,
        text: 'Grüße',
        bytes: Uint8Array.of(0, 255, 16),
        exact: '12.30',
        json: { a: 'x', b: [1, null] },
        count: 1,
        moment: '2026-01-02 03:04:05',
        day: '2026-01-02',
        bigs: [1, 2],
        texts: ['a,"b"\\', null, ''],
        byteses: [Uint8Array.of(1), Uint8Array.of(255)],
        answers: [true, false],
      },
    ])
    expect(Object.getPrototypeOf(rows[0]?.bytes)).toBe(Uint8Array.prototype)
  })

  it('go in alike as parameters', async () => {
    const { db } = await openOne()
    const bytes = Uint8Array.of(0, 92, 255)
    const { rows } = await sql<Record<string, unknown>>`select
      ${bytes}::bytea as bytes, ${[bytes, bytes]}::bytea[] as byteses, ${42}::bigint as big, ${[1, 2n]}::bigint[] as bigs,
      ${['x', 'a,"b"\\{}', 'NULL']}::text[] as texts, ${JSON.stringify([1, { a: 2 }])}::jsonb as json, ${null}::text as none,
      ${false}::boolean as no`.execute(db)
    expect(rows).toEqual([
      {
        bytes,
        byteses: [bytes, bytes],
        big: 42,
        bigs: [1, 2],
        texts: ['x', 'a,"b"\\{}', 'NULL'],
        json: [1, { a: 2 }],
        none: null,
        no: false,
      },
    ])
  })

  it('that a number cannot hold exactly are an error, not a rounded number', async () => {
    const { db } = await openOne()
    await expect(sql`select 9007199254740993::bigint as big`.execute(db)).rejects.toThrow(RangeError)
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
  })

  it('of changed rows are counted alike', async () => {
    const { db } = await openOne()
    const spent = (first: number) => ({ id: new Uint8Array(32).fill(first), keep_until_sec: first })
    const inserted = await db
      .insertInto('spent')
      .values([spent(1), spent(2)])
      .executeTakeFirstOrThrow()
    const updated = await db.updateTable('spent').set({ keep_until_sec: 9 }).executeTakeFirstOrThrow()
    const deleted = await db.deleteFrom('spent').where('keep_until_sec', '=', 1).executeTakeFirstOrThrow()
    expect([inserted.numInsertedOrUpdatedRows, updated.numUpdatedRows, deleted.numDeletedRows]).toEqual([2n, 2n, 0n])
  })
})

describeOnEachEngine('a transaction', (openOne, engine) => {
  it('keeps all of it, or nothing', async () => {
    const { db } = await openOne()
    const row = (first: number) => ({ id: new Uint8Array(32).fill(first), keep_until_sec: first })
    await withTransaction(db, (tx) => tx.insertInto('spent').values(row(1)).execute())
    const failing = withTransaction(db, async (tx) => {
      await tx.insertInto('spent').values(row(2)).execute()
      throw new Refusal('LastOwner', 'no')
    })
    await expect(failing).rejects.toMatchObject({ code: 'LastOwner' })
    expect(await db.selectFrom('spent').select('keep_until_sec').execute()).toEqual([{ keep_until_sec: 1 }])
  })

  it('is not joined by a statement that comes from elsewhere meanwhile', async () => {
    const { db } = await openOne()
    const row = (first: number) => ({ id: new Uint8Array(32).fill(first), keep_until_sec: first })
    const begun = gate()
    const end = gate()
    const undone = withTransaction(db, async (tx) => {
      await tx.insertInto('spent').values(row(1)).execute()
      begun.open()
      await end.opened
      throw new Refusal('LastOwner', 'undo')
    })
    await begun.opened
    const beside = db.insertInto('spent').values(row(2)).execute()
    const seen = db.selectFrom('spent').select('keep_until_sec').execute()
    // On PostgreSQL both are done by now; the embedded engine has them wait their turn.
    if (engine === 'postgres') await Promise.all([beside, seen])
    end.open()
    await expect(undone).rejects.toBeInstanceOf(Refusal)
    await beside
    for (const { keep_until_sec } of await seen) expect(keep_until_sec).not.toBe(1)
    expect(await db.selectFrom('spent').select('keep_until_sec').execute()).toEqual([{ keep_until_sec: 2 }])
  })

  it('runs whole beside many others', async () => {
    const { db } = await openOne()
    await db
      .insertInto('spent')
      .values({ id: new Uint8Array(32), keep_until_sec: 0 })
      .execute()
    const raise = () =>
      withTransaction(db, async (tx) => {
        const { keep_until_sec } = await tx
          .selectFrom('spent')
          .select('keep_until_sec')
          .forUpdate()
          .executeTakeFirstOrThrow()
        await tx
          .updateTable('spent')
          .set({ keep_until_sec: keep_until_sec + 1 })
          .execute()
      })
    await Promise.all(Array.from({ length: 30 }, raise))
    expect(await db.selectFrom('spent').select('keep_until_sec').execute()).toEqual([{ keep_until_sec: 30 }])
  })

  it('is refused a statement beside itself, at once instead of waiting for ever', async () => {
    const { db } = await openOne()
    const beside = withTransaction(db, () => db.selectFrom('spent').select('id').execute())
    await expect(beside).rejects.toThrow(/beside the open transaction/)
    const nested = withTransaction(db, () => withTransaction(db, async () => 'inner'))
    await expect(nested).rejects.toThrow(/beside the open transaction/)
    expect(await db.selectFrom('spent').select('id').execute()).toEqual([])
  })

  it('leaves what it started and did not wait for free to use the database afterwards', async () => {
    const { db } = await openOne()
    const over = gate()
    let later: Promise<unknown> = Promise.resolve()
    await withTransaction(db, async () => {
      later = over.opened.then(() => Promise.all([1, 2, 3].map(() => db.selectFrom('spent').select('id').execute())))
    })
    over.open()
    expect(await later).toEqual([[], [], []])
  })

  it('does not pass for kept when a statement in it had failed', async () => {
    const { db } = await openOne()
    const swallowing = withTransaction(db, async (tx) => {
      await tx
        .insertInto('spent')
        .values({ id: new Uint8Array(32), keep_until_sec: 1 })
        .execute()
      await sql`select 1 / 0`.execute(tx).catch(() => {})
      return 'kept'
    })
    await expect(swallowing).rejects.toThrow(/rolled back/)
    expect(await db.selectFrom('spent').select('id').execute()).toEqual([])
  })

  it('that lost against another is tried again, three times and no more', async () => {
    const { db } = await openOne()
    let tries = 0
    const loseUntil = (winning: number) =>
      withTransaction(db, async (tx) => {
        await tx
          .insertInto('spent')
          .values({ id: new Uint8Array(32).fill(winning), keep_until_sec: ++tries })
          .execute()
        if (tries < winning) await sql`do $$ begin raise exception 'lost' using errcode = '40001'; end $$`.execute(tx)
        return tries
      })
    expect(await loseUntil(4)).toBe(4)
    expect(await db.selectFrom('spent').select('keep_until_sec').execute()).toEqual([{ keep_until_sec: 4 }])
    tries = 0
    await expect(loseUntil(5)).rejects.toMatchObject({ code: 'NotEnoughResources', what: 'database' })
    expect(tries).toBe(4)
  })

  it('can be asked for in another isolation', async () => {
    const { db } = await openOne()
    const show = sql<{ transaction_isolation: string }>`show transaction_isolation`
    const { rows } = await withTransaction(db, (tx) => show.execute(tx), { isolation: 'repeatable read' })
    expect(rows).toEqual([{ transaction_isolation: 'repeatable read' }])
    expect((await withTransaction(db, (tx) => show.execute(tx))).rows).toEqual([
      { transaction_isolation: 'read committed' },
    ])
  })

  it('answers with Unavailable once the database was closed', async () => {
    const { db, close } = await openOne()
    await close()
    await close()
    await expect(db.selectFrom('spent').select('id').execute()).rejects.toBeInstanceOf(Unavailable)
    await expect(withTransaction(db, async () => 1)).rejects.toBeInstanceOf(Unavailable)
  })
})

describeOnEachEngine('an instance', (openOne) => {
  it('has one random id, whoever asks first', async () => {
    const { db } = await openOne()
    const ids = await Promise.all([1, 2, 3].map(() => loadInstanceId(db, systemRandom, systemClock)))
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/)
    expect(new Set(ids).size).toBe(1)
    const other = await openOne()
    expect(await loadInstanceId(other.db, systemRandom, systemClock)).not.toBe(ids[0])
  })

  it('can have its tables tidied without losing a row', async () => {
    const database = await openOne()
    const id = await loadInstanceId(database.db, systemRandom, systemClock)
    await tidyTables(database)
    expect(await loadInstanceId(database.db, systemRandom, systemClock)).toBe(id)
  })
})

describe('an address', () => {
  it.each([
    'postgres://reeve:hunter2@db.example:port/reeve',
    'postgres://reeve:hunter2/secret@db.example/reeve',
    'postgres://reeve:hunter2@db.example:99999999/reeve',
    'postgres://reeve:hunter2%ff@db.example/reeve',
    'reeve:hunter2@db.example/reeve',
    'mysql://reeve:hunter2@db.example/reeve',
    'hunter2',
  ])('that is malformed stops the start, and its password is in no part of the error (%#)', async (address) => {
    const error = await open(address).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Error)
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter2')
    expect(error).toMatchObject({ message: expect.stringContaining('DATABASE_URL') })
  })

  it('where nobody answers is Unavailable, and says neither address nor password', async () => {
    const lines: string[] = []
    const log = openLog('info', { write: (line) => lines.push(line) })
    const error = await open('postgres://reeve:hunter2@127.0.0.1:1/reeve', false, log).catch(
      (reason: unknown) => reason,
    )
    expect(error).toMatchObject({ name: 'Unavailable', code: 'NotEnoughResources', what: 'database' })
    expect(inspect(error, { depth: 9, showHidden: true }) + lines.join()).not.toMatch(/hunter2|127\.0\.0\.1/)
    expect(lines.join()).toContain('ECONNREFUSED')
  })

  it('where somebody listens and never speaks is Unavailable too', async () => {
    const server = createServer(() => {}).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    await expect(open(`postgres://reeve@127.0.0.1:${port}/reeve`)).rejects.toBeInstanceOf(Unavailable)
    server.close()
  })
})

describe('a server that could lose what it acknowledged', () => {
  const good = {
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    server_version_num: '150020',
    server_encoding: 'UTF8',
  }

  it('is told by its settings, each named', () => {
    expect(durabilityFaults(good)).toEqual([])
    for (const commit of ['remote_write', 'remote_apply']) {
      expect(durabilityFaults({ ...good, synchronous_commit: commit })).toEqual([])
    }
    const cases: [keyof typeof good, string][] = [
      ['fsync', 'off'],
      ['full_page_writes', 'off'],
      ['synchronous_commit', 'off'],
      ['synchronous_commit', 'local'],
      ['server_version_num', '140011'],
      ['server_encoding', 'SQL_ASCII'],
    ]
    for (const [name, value] of cases) {
      const faults = durabilityFaults({ ...good, [name]: value })
      expect(faults).toHaveLength(1)
      expect(faults[0]).toContain(`${name} is ${value}`)
    }
    expect(durabilityFaults({})).toHaveLength(5)
  })
})

/** What one connection can't show. */
if (hasPostgres) {
  describe('a PostgreSQL server', async () => {
    const { db, url, close } = await openTestDatabase('postgres')
    const address = url?.reveal() ?? ''
    const other = await open(address)
    afterAll(async () => {
      await other.close()
      await close()
    })
    const pidOf = async (database: typeof db) =>
      (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(database)).rows[0]?.pid
    const end = (pid: number | undefined) => sql`select pg_terminate_backend(${pid})`.execute(other.db)

    it('is refused with the setting named when it is not durable, and with a warning when that is allowed', async () => {
      const unsafe = await createOnServer()
      onTestFinished(unsafe.drop)
      await onServer(`alter database ${unsafe.name} set synchronous_commit = off`)
      await expect(open(unsafe.url.reveal())).rejects.toThrow(/synchronous_commit is off, must be on/)
      const lines: string[] = []
      const allowed = await open(unsafe.url.reveal(), true, openLog('info', { write: (line) => lines.push(line) }))
      expect(lines.join()).toMatch(/synchronous_commit is off.*database-unsafe/)
      await allowed.close()
    })

    it('is refused when its text is not UTF-8', async () => {
      const ascii = await createOnServer(`template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'`)
      onTestFinished(ascii.drop)
      await expect(open(ascii.url.reveal())).rejects.toThrow(/server_encoding is SQL_ASCII, must be UTF8/)
    })

    it('that is asked for a database it does not have is told by code only', async () => {
      const error = await open(address.replace(/reeve_test_/, 'hunter2_')).catch((reason: unknown) => reason)
      expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter2')
      expect(error).toMatchObject({ message: expect.stringContaining('3D000') })
    })

    it('that ends an idle connection is not noticed by the next statement', async () => {
      await end(await pidOf(db))
      const answers = await Promise.allSettled([1, 2, 3].map(() => sql`select 1 as one`.execute(db)))
      for (const answer of answers) if (answer.status === 'rejected') expect(answer.reason).toBeInstanceOf(Unavailable)
      expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    })

    it('that ends a connection during a statement gives Unavailable, and the next statement works', async () => {
      const sleeping = sql`select pg_sleep(30), 'a sleeper' as what`.execute(db)
      const outcome = sleeping.catch((reason: unknown) => reason)
      const sleeper = sql<{ pid: number }>`select pid from pg_stat_activity
        where query like '%''a sleeper''%' and state = 'active' and pid <> pg_backend_pid()`
      await expect.poll(async () => (await sleeper.execute(other.db)).rows.length).toBe(1)
      await end((await sleeper.execute(other.db)).rows[0]?.pid)
      const error = await outcome
      expect(error).toMatchObject({ name: 'Unavailable', code: 'NotEnoughResources', what: 'database' })
      expect(isTransient(error)).toBe(true)
      expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    })

    it('that ends a connection between two statements of a transaction undoes it, and nobody crashes', async () => {
      const begun = gate()
      const ended = gate()
      let pid: number | undefined
      const broken = withTransaction(db, async (tx) => {
        await tx
          .insertInto('spent')
          .values({ id: new Uint8Array(32).fill(77), keep_until_sec: 1 })
          .execute()
        pid = await pidOf(tx)
        begun.open()
        await ended.opened
        await tx
          .insertInto('spent')
          .values({ id: new Uint8Array(32).fill(78), keep_until_sec: 1 })
          .execute()
      })
      const outcome = broken.catch((reason: unknown) => reason)
      await begun.opened
      await end(pid)
      const alive = sql`select from pg_stat_activity where pid = ${pid}`
      await expect.poll(async () => (await alive.execute(other.db)).rows.length).toBe(0)
      ended.open()
      expect(await outcome).toBeInstanceOf(Unavailable)
      expect(await db.selectFrom('spent').select('id').execute()).toEqual([])
    })

    it('that ends the connection under a refusal lets the refusal be heard', async () => {
      const refused = withTransaction(db, async (tx) => {
        await end(await pidOf(tx))
        throw new Refusal('LastOwner', 'no')
      })
      await expect(refused).rejects.toMatchObject({ code: 'LastOwner' })
    })

    it('that is too slow is cut off', async () => {
      const slow = await sql`select pg_sleep(60)`.execute(db).catch((reason: unknown) => reason)
      expect(slow).toBeInstanceOf(Unavailable)
      expect(databaseCodeOf(slow)).toBe('57014')
    })

    it('settles a deadlock, and the loser is carried out after the winner', async () => {
      const [one, two] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
      await db
        .insertInto('spent')
        .values([one, two].map((id) => ({ id, keep_until_sec: 0 })))
        .execute()
      const bothHoldOne = gate()
      let holding = 0
      let tries = 0
      const raise = (first: Uint8Array, second: Uint8Array) =>
        withTransaction(db, async (tx) => {
          tries++
          const plusOne = (id: Uint8Array) =>
            tx
              .updateTable('spent')
              .set((column) => ({ keep_until_sec: column('keep_until_sec', '+', 1) }))
              .where('id', '=', id)
          await plusOne(first).execute()
          if (++holding === 2) bothHoldOne.open()
          await bothHoldOne.opened
          await plusOne(second).execute()
        })
      await Promise.all([raise(one, two), raise(two, one)])
      expect(tries).toBeGreaterThan(2)
      expect(await db.selectFrom('spent').select('keep_until_sec').execute()).toEqual([
        { keep_until_sec: 2 },
        { keep_until_sec: 2 },
      ])
    })

    it('tells a serialisation failure apart from a broken rule', async () => {
      const conflict = await sql`do $$ begin raise exception 'x' using errcode = '40P01'; end $$`
        .execute(db)
        .catch((e: unknown) => e)
      expect([isTransient(conflict), databaseCodeOf(conflict)]).toEqual([true, '40P01'])
      const broken = await sql`insert into spent values ('\\x00', 1)`.execute(db).catch((e: unknown) => e)
      expect([isTransient(broken), databaseCodeOf(broken)]).toEqual([false, '23514'])
      expect(isTransient(new Error('something else'))).toBe(false)
    })
  })
}
