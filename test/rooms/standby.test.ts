/** Servers change their parts: a connection that leads to one that follows is of no use, and a commit that one server alone has is no yes. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { databaseAnswers, type OpenDatabase, openDatabase, withTransaction } from '../../src/platform/database.ts'
import { openLog } from '../../src/platform/log.ts'
import { migrate } from '../../src/platform/migrations.ts'
import { Unavailable } from '../../src/refusals.ts'
import { hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { hasOwnPostgres, type OwnPostgres, startOwnPostgres } from '../kit/own-postgres.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'

const AWAY = { name: 'Unavailable', code: 'NotEnoughResources', what: 'database' }
const failureOf = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (reason: unknown) => reason,
  )
const spend = (db: OpenDatabase['db'], nth: number) =>
  db
    .insertInto('spent')
    .values({ id: new Uint8Array(32).fill(nth), keep_until_sec: nth })
    .execute()
const spentIn = async (db: OpenDatabase['db']) =>
  (await db.selectFrom('spent').select('keep_until_sec').orderBy('keep_until_sec').execute()).map(
    ({ keep_until_sec }) => keep_until_sec,
  )

describe.runIf(hasPostgres)('a connection that may only read', () => {
  let opened: OpenDatabase
  beforeAll(async () => {
    opened = await openTestDatabase('postgres')
  })
  afterAll(() => opened?.close())

  it('refuses one change by name, and the next has another connection', async () => {
    const { db } = opened
    await sql`set session characteristics as transaction read only`.execute(db)
    expect(await failureOf(spend(db, 1))).toMatchObject(AWAY)
    await spend(db, 2)
    expect(await spentIn(db)).toEqual([2])
  })

  it('is given up after a transaction as well', async () => {
    const { db } = opened
    await sql`set session characteristics as transaction read only`.execute(db)
    expect(await failureOf(withTransaction(db, (tx) => spend(tx, 3)))).toMatchObject(AWAY)
    await withTransaction(db, (tx) => spend(tx, 4))
    expect(await spentIn(db)).toEqual([2, 4])
  })
})

describe.runIf(hasOwnPostgres)('a server that changes its part', () => {
  let server: OwnPostgres
  let ours: OpenDatabase
  let other: OpenDatabase
  const lines: string[] = []
  const log = openLog('info', { write: (line) => lines.push(line) })
  const open = () => openDatabase({ url: server.url, dataDir: '', allowUnsafe: true, log, clock: systemClock })
  beforeAll(async () => {
    server = await startOwnPostgres()
    ours = await open()
    other = await open()
    await migrate(ours.db, systemClock)
  }, OPENS_A_WORLD.timeout)
  afterAll(async () => {
    await ours?.close()
    await other?.close()
    await server?.drop()
  })

  it('and follows another shows nothing, until it leads', OPENS_A_WORLD, async () => {
    const { db } = ours
    await spend(db, 1)
    await server.follow()
    // What was removed since, at the one that leads now, would still be in here.
    await eventually('it is up again', async () => {
      const failure = await failureOf(spentIn(db))
      expect(failure).toMatchObject(AWAY)
      return failure instanceof Unavailable && String(failure.cause).includes('ServerFollows')
    })
    expect(await databaseAnswers(db)).toBe(false)
    expect(await failureOf(spend(db, 2))).toMatchObject(AWAY)
    expect(await failureOf(open())).toMatchObject(AWAY)
    const told = lines.filter((line) => line.includes('"event":"database-follows"'))
    expect(told.length, 'once by each who opened it, however often they try').toBe(2)
    await server.promote()
    await eventually('it leads', () => databaseAnswers(db))
    await spend(db, 3)
    expect(await spentIn(db)).toEqual([1, 3])
  })

  it('and is left alone with a commit doesn’t pass for one that keeps it', OPENS_A_WORLD, async () => {
    const { db } = ours
    const before = await spentIn(db)
    await sql`alter system set synchronous_standby_names = 'nobody'`.execute(other.db)
    await sql`select pg_reload_conf()`.execute(other.db)
    const waiting = sql<{ pid: number }>`select pid from pg_stat_activity where wait_event = 'SyncRep'`
    const alone = { ...AWAY, cause: { name: 'KeptAlone' } }
    // The second has a limit on this side, which a slow machine may meet first.
    const patiently = () => withTransaction(db, (tx) => spend(tx, 7), { isPatient: true })
    for (const [keep, failure] of [[patiently, alone] as const, [() => spend(db, 8), AWAY] as const]) {
      const outcome = failureOf(keep())
      const pid = await eventually('it waits', async () => (await waiting.execute(other.db)).rows[0]?.pid)
      await sql`select pg_cancel_backend(${pid})`.execute(other.db)
      expect(await outcome).toMatchObject(failure)
    }
    await sql`alter system reset synchronous_standby_names`.execute(other.db)
    await sql`select pg_reload_conf()`.execute(other.db)
    // It is in doubt, not undone: whoever asks again under the same key is told so.
    expect(await spentIn(db)).toEqual([...before, 7, 8])
    await spend(db, 9)
    expect(await spentIn(db)).toEqual([...before, 7, 8, 9])
  })
})
