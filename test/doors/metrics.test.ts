/** The page of numbers, and the line that each request leaves in the log: what is counted, by which names, and what is in neither. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from '../../src/doors/refusal-to-http.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { openLog } from '../../src/platform/log.ts'
import { engines, openTestDatabase } from '../kit/databases.ts'
import { freePort } from '../kit/ports.ts'
import { makeKek } from '../kit/sealed-house.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { openWorld, type Person, sendRaw, type World } from '../kit/world.ts'

/** One number of a page; null where it isn't there. Labels as they stand on the page. */
function numberOf(page: string, series: string): number | null {
  const line = page.split('\n').find((one) => one.startsWith(`${series} `))
  return line === undefined ? null : Number(line.slice(series.length + 1))
}

describe.each(engines())('the page of numbers (%s)', (engine) => {
  let world: World
  let url: string
  let alice: Person
  let bob: Person
  let community: string
  let forum: string
  const logged: string[] = []
  const read = async (): Promise<string> => String((await sendRaw(url, { path: '/metrics' })).body)
  /** The page once what was found last is too old to be shown. */
  const readAnew = (): Promise<string> => {
    world.clock.moveSec(16)
    return read()
  }

  beforeAll(async () => {
    const port = await freePort()
    url = `http://127.0.0.1:${port}`
    world = await openWorld({
      engine,
      environment: { REEVE_METRICS_PORT: String(port) },
      log: openLog('debug', { write: (line) => void logged.push(line) }),
    })
    ;[alice, bob] = await Promise.all([world.person(), world.person()])
    community = await world.found(alice)
    forum = await world.makeSpace(alice, community as Person['did'])
    await alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'member' })
  })
  afterAll(() => world.close())

  it('counts answers by way in and outcome, and how long they took', async () => {
    const before = await read()
    const mint = 'com.atproto.space.getSpaceCredential'
    expect((await bob.exchange(forum)).status).toBe(200)
    expect((await bob.exchange(forum)).status).toBe(200)
    expect((await (await world.person()).exchange(forum)).body.error).toBe('UserNotAuthorized')
    await world.send({ path: '/xrpc/community.reeve.not.there' })
    await world.send({ path: `/${'x'.repeat(40)}` })
    await world.send({ method: 'OPTIONS', path: `/xrpc/${mint}` })
    await world.send({ path: '/.well-known/atproto-did' })
    const after = await read()
    const grown = (series: string) => (numberOf(after, series) ?? 0) - (numberOf(before, series) ?? 0)
    expect(grown(`reeve_answers_total{method="${mint}",outcome="200"}`)).toBe(2)
    expect(grown(`reeve_answers_total{method="${mint}",outcome="UserNotAuthorized"}`)).toBe(1)
    expect(grown(`reeve_answers_total{method="${mint}",outcome="204"}`)).toBe(1)
    expect(grown('reeve_answers_total{method="none",outcome="MethodNotImplemented"}')).toBe(1)
    expect(grown('reeve_answers_total{method="none",outcome="XRPCNotSupported"}')).toBe(1)
    expect(grown('reeve_answers_total{method="/.well-known/atproto-did",outcome="404"}')).toBe(1)
    expect(grown(`reeve_answer_seconds_count{method="${mint}"}`)).toBe(4)
    expect(grown(`reeve_answer_seconds_sum{method="${mint}"}`)).toBeGreaterThan(0)
  })

  it('says which Reeve it is, how its database does, and how full everything is', async () => {
    const page = await readAnew()
    expect(numberOf(page, `reeve_build_info{version="${world.reeve.house.version}",database="${engine}"}`)).toBe(1)
    expect(numberOf(page, 'reeve_database_up')).toBe(1)
    expect(numberOf(page, 'reeve_database_connections_most')).toBe(engine === 'postgres' ? 8 : 1)
    expect(numberOf(page, 'reeve_database_connections{state="waiting"}')).toBe(0)
    for (const { name, kind, most } of world.reeve.house.sizes.list()) {
      expect(numberOf(page, `reeve_size_most{name="${name}",kind="${kind}"}`), name).toBe(most)
      expect(numberOf(page, `reeve_size{name="${name}",kind="${kind}"}`), name).not.toBeNull()
    }
    expect(numberOf(page, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(numberOf(page, 'process_start_time_seconds')).toBeGreaterThan(1e9)
    expect(page).toMatch(/^nodejs_eventloop_lag_p99_seconds /m)
  })

  it('sees connections that are held, and who waits for one', async () => {
    const { db } = world.database
    const most = world.database.connections().most
    const given = Promise.withResolvers<void>()
    const held = Array.from({ length: most }, () =>
      db.transaction().execute(async (tx) => {
        await sql`select 1`.execute(tx)
        await given.promise
      }),
    )
    try {
      await eventually('all are held', async () => world.database.connections().inUse === most)
      const waits = sql`select 1`.execute(db)
      await eventually('somebody waits', async () => world.database.connections().waiting > 0)
      given.resolve()
      await waits
    } finally {
      given.resolve()
      await Promise.all(held)
    }
    await eventually('all are given back', async () => {
      const { inUse, waiting } = world.database.connections()
      return inUse === 0 && waiting === 0
    })
  })

  it('counts what waits, and for how long', async () => {
    const { db } = world.database
    const agoMs = world.clock.nowMs() - 3_600_000
    const work = { kind: 'handle', operation: '{}', operation_cid: 'b', about: '{}', asked_by: alice.did }
    await db
      .insertInto('plc_work')
      .values({ ...work, community, step: 'submitted', fault: null, created_at_ms: agoMs } as never)
      .execute()
    await db
      .insertInto('identity_alarm')
      .values({ community, name: 'plcRollback', since_ms: 1, about: '{}' } as never)
      .execute()
    const stranger = makeKek().kek.id
    await sql`insert into dek (community, version, wrapped, kek_id, created_at_ms) values ('did:web:gone.example', 1, decode('00', 'hex'), ${stranger}, 1)`.execute(
      db,
    )
    const page = await readAnew()
    expect(numberOf(page, 'reeve_plc_work')).toBe(1)
    expect(numberOf(page, 'reeve_plc_work_oldest_seconds')).toBeGreaterThan(3_600)
    expect(numberOf(page, 'reeve_alarms{alarm="plcRollback"}')).toBe(1)
    expect(numberOf(page, 'reeve_locked_data_keys')).toBe(1)
    expect(numberOf(page, 'reeve_foundings')).toBe(0)
    expect(numberOf(page, 'reeve_foundings_oldest_seconds')).toBe(0)
    expect(numberOf(page, 'reeve_lanes_due')).toBe(0)
    expect(numberOf(page, 'reeve_spaces_to_tell')).toBe(0)
    expect(numberOf(page, 'reeve_audit_unsealed')).not.toBeNull()
    for (const table of ['plc_work', 'identity_alarm'] as const) await db.deleteFrom(table).execute()
    await sql`delete from dek where kek_id = ${stranger}`.execute(db)
    const after = await readAnew()
    expect(numberOf(after, 'reeve_alarms{alarm="plcRollback"}')).toBeNull()
    expect(numberOf(after, 'reeve_locked_data_keys')).toBe(0)
  })

  it('asks the database once in a while, however often it is read', async () => {
    const { db } = world.database
    await readAnew()
    await db
      .insertInto('identity_alarm')
      .values({ community, name: 'ended', since_ms: 1, about: '{}' } as never)
      .execute()
    for (let nth = 0; nth < 20; nth++) expect(numberOf(await read(), 'reeve_alarms{alarm="ended"}')).toBeNull()
    expect(numberOf(await readAnew(), 'reeve_alarms{alarm="ended"}')).toBe(1)
    await db.deleteFrom('identity_alarm').execute()
  })

  it('leaves out what can’t be read, and says so', async () => {
    const { db } = world.database
    await sql`alter table plc_work rename to plc_work_elsewhere`.execute(db)
    const page = await readAnew()
    await sql`alter table plc_work_elsewhere rename to plc_work`.execute(db)
    expect(numberOf(page, 'reeve_plc_work')).toBeNull()
    expect(numberOf(page, 'reeve_plc_work_oldest_seconds')).toBeNull()
    expect(numberOf(page, 'reeve_foundings')).toBe(0)
    expect(numberOf(page, 'reeve_database_up')).toBe(1)
    expect(logged.join('')).toMatch(/"name":"plcWork",.*"event":"metrics.unread"/)
    expect(numberOf(await readAnew(), 'reeve_plc_work')).toBe(0)
  })

  it('counts events of the log, from nought on', async () => {
    const page = await read()
    expect(numberOf(page, 'reeve_log_events_total{level="error",event="credential.neverIssued"}')).toBe(0)
    expect(numberOf(page, 'reeve_log_events_total{level="info",event="listening"}')).toBe(1)
    expect(page).not.toMatch(/event="(?:answered|refused)"/)
  })

  it('is all that is there', async () => {
    for (const [method, path] of [
      ['POST', '/metrics'],
      ['DELETE', '/metrics'],
      ['GET', '/'],
      ['GET', '/metrics/'],
      ['GET', '/xrpc/_health'],
      ['GET', '/xrpc/community.reeve.service.describe'],
    ] as const) {
      expect((await sendRaw(url, { method, path })).status, `${method} ${path}`).toBe(404)
    }
    expect((await sendRaw(world.url, { path: '/metrics' })).status).toBe(404)
    const { headers } = await sendRaw(url, { path: '/metrics' })
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
    expect(headers['access-control-allow-origin']).toBeUndefined()
  })

  it('has no label but names of our own', async () => {
    const strange = await world.send({ path: `/xrpc/${'a.'.repeat(20)}b`, headers: [['host', 'evil.example']] })
    expect(strange.status).toBeGreaterThan(399)
    const page = await readAnew()
    for (const secret of [alice.did, bob.did, community, forum, 'did:', 'at://', 'evil.example', 'a.a.a'])
      expect(page).not.toContain(secret)
    const known = [...Object.keys(STATUS_OF_REFUSAL), ...Object.keys(STATUS_OF_UNAVAILABLE), 'InternalServerError']
    const methods = [...DOORS.map(({ method }) => method.nsid), 'none']
    for (const [, method = '', outcome = ''] of page.matchAll(
      /^reeve_answers_total\{method="([^"]*)",outcome="([^"]*)"\}/gm,
    )) {
      expect(methods.includes(method) || method.startsWith('/'), method).toBe(true)
      expect(known.includes(outcome) || /^[2-5]\d\d$/.test(outcome), outcome).toBe(true)
    }
  })

  it('each request leaves a line with its way in, its outcome and its time, and nothing of the caller', async () => {
    logged.length = 0
    const answer = await bob.exchange(forum)
    const refused = await (await world.person()).exchange(forum)
    const failed = await world.send({ path: '/xrpc/community.reeve.not.there?token=c4n4ry' })
    const lines = logged.map((line) => JSON.parse(line)).filter(({ event }) => event === 'answered')
    for (const [{ headers }, method, outcome] of [
      [answer, 'com.atproto.space.getSpaceCredential', '200'],
      [refused, 'com.atproto.space.getSpaceCredential', 'UserNotAuthorized'],
      [failed, 'none', 'MethodNotImplemented'],
    ] as const) {
      const requestId = headers['x-request-id']
      const found = lines.filter((line) => line.requestId === requestId)
      expect(found).toEqual([
        { level: 20, time: expect.any(String), event: 'answered', method, requestId, outcome, ms: expect.any(Number) },
      ])
    }
    const text = logged.filter((line) => line.includes('"answered"')).join('')
    for (const secret of [answer.body.credential, bob.did, forum, 'c4n4ry']) expect(text).not.toContain(secret)
  })
})

describe('without the setting', () => {
  it('nothing listens, and with a port that is taken nothing starts', OPENS_A_WORLD, async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const address = holder.address()
    const port = typeof address === 'object' && address ? address.port : 0
    const database = await openTestDatabase('embedded')
    await expect(openWorld({ database, environment: { REEVE_METRICS_PORT: String(port) } })).rejects.toThrow(
      `nothing can listen on 127.0.0.1, port ${port} (REEVE_METRICS_PORT): EADDRINUSE`,
    )
    // What was opened for it is closed again.
    await expect(sql`select 1`.execute(database.db)).rejects.toThrow()
    holder.close()
    await once(holder, 'close')
    const world = await openWorld()
    try {
      await expect(sendRaw(`http://127.0.0.1:${port}`, { path: '/metrics' })).rejects.toThrow(/ECONNREFUSED/)
      expect((await world.send({ path: '/xrpc/_health' })).status).toBe(200)
    } finally {
      await world.close()
    }
  })
})

describe('while the database is away', () => {
  it('the page is there, and says so', OPENS_A_WORLD, async () => {
    const port = await freePort()
    const world = await openWorld({ environment: { REEVE_METRICS_PORT: String(port) } })
    try {
      const url = `http://127.0.0.1:${port}`
      expect(numberOf(String((await sendRaw(url, { path: '/metrics' })).body), 'reeve_database_up')).toBe(1)
      await world.database.close()
      world.clock.moveSec(16)
      const { status, body } = await sendRaw(url, { path: '/metrics' })
      expect(status).toBe(200)
      expect(numberOf(String(body), 'reeve_database_up')).toBe(0)
      expect(numberOf(String(body), 'reeve_foundings')).toBeNull()
      expect(numberOf(String(body), 'process_resident_memory_bytes')).toBeGreaterThan(0)
    } finally {
      await world.close()
    }
  })
})
