/** The PLC log of every community is read again and again, at a directory that does whatever a directory could. */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { openFence } from '../../src/community/fence.ts'
import { beginWatching, READ_AT_ONCE, type WatchCtx, watchLogs } from '../../src/community/plc-watcher.ts'
import { cidOf } from '../../src/identity/plc-operation.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import type { Did } from '../../src/names.ts'
import { silentLog } from '../../src/platform/log.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { Unavailable } from '../../src/refusals.ts'
import { describeOnEachEngine, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { honestLog, json, type Misbehaviour } from '../kit/fake-plc.ts'
import { changeBehindOurBack, GET, type HandleWorld, inForce, openHandleWorld } from '../kit/handles.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'
import { alarmsInAudit, type Watching, watchingOf, watchRow } from '../kit/watched.ts'
import { memberHeld, movableClock } from '../kit/world.ts'

const MINUTE_SEC = 60
const HOUR_MS = 60 * 60 * 1000

describeOnEachEngine('the log of a community', (open) => {
  let database: TestDatabase
  let hers: HandleWorld
  let watching: Watching

  beforeAll(async () => {
    database = await open()
    hers = await openHandleWorld(database)
    watching = watchingOf(hers.world, database)
  })
  afterEach(() => hers.plc.misbehave(null))
  afterAll(() => hers.close())

  /** A community whose own key stands above ours, watched, and read once. */
  async function watched(): Promise<{ did: Did; key: TestKey }> {
    const key = makeKey('k256')
    const did = await hers.world.found(hers.alice, { custody: memberHeld(hers.world, hers.alice, key) })
    await watching.watch(did)
    await readAgain(did)
    return { did, key }
  }

  const readAgain = async (did: Did, ctx: WatchCtx = watching.ctx) => {
    await watching.due(did)
    // The world's own worker, which finds nothing, may hold the row in this moment.
    for (let isDue = true; isDue; isDue = (await watchRow(database, did)).due_at_ms === 0) await watchLogs(ctx)
  }
  const logs = (did: Did, how: (rows: object[]) => unknown): Misbehaviour => {
    return async ({ kind, did: asked }, forward) =>
      kind === 'log' && asked === did ? json(200, how(JSON.parse((await forward()).body))) : undefined
  }

  it('is read within ten minutes of being here, and then every ten minutes', async () => {
    onTestFinished(stopClock(hers.world.clock))
    const did = await hers.world.found(hers.alice)
    await watching.watch(did)
    const first = await watchRow(database, did)
    expect(first).toMatchObject({ operations: 1, left_at_ms: null, quiet_until_ms: null })
    hers.plc.forget()
    await readAgain(did)
    expect(hers.plc.count('log', did)).toBe(1)
    const { read_at_ms: readAtMs, due_at_ms: dueAtMs, head_cid: head } = await watchRow(database, did)
    expect(head).toBe(await headOf(hers.plc.honestUrl, did))
    expect(dueAtMs - readAtMs).toBeGreaterThanOrEqual(8 * MINUTE_SEC * 1000)
    expect(dueAtMs - readAtMs).toBeLessThanOrEqual(9.5 * MINUTE_SEC * 1000)
    await watchLogs(watching.ctx)
    expect(hers.plc.count('log', did)).toBe(1)
    expect(await watching.alarms(did)).toEqual([])
  })

  it('with operations of ours is no news', async () => {
    const { did } = await watched()
    const handle = hers.served()
    expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
    await readAgain(did)
    expect(await watching.names(did)).toEqual([])
    expect(await watchRow(database, did)).toMatchObject({ operations: 2 })
  })

  it('is read at its time, however often somebody else reads it, and what is new is told (7)', async () => {
    const { did, key } = await watched()
    const { due_at_ms: dueAtMs } = await watchRow(database, did)
    const other = makeKey('k256')
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, other.didKey, ours] })
    await changeBehindOurBack(hers.plc, did, other, { alsoKnownAs: ['https://taken.org'] })
    expect(await hers.alice.ask('community.reeve.key.list', { community: did })).toMatchObject({ status: 200 })
    expect(await watchRow(database, did)).toMatchObject({ operations: 3, judged: 1, due_at_ms: dueAtMs })
    // Nobody looked for three days, but somebody read: it is told still, and that it is too late.
    const nowMs = () => hers.world.clock.nowMs() + 73 * HOUR_MS
    const late = { ...watching.ctx, clock: { ...hers.world.clock, nowMs } }
    await readAgain(did, late)
    expect(await watching.alarms(did)).toMatchObject([
      { name: 'foreignOperation', about: { isHostile: 1, isFinal: 1 } },
    ])
    const [shown] = (await hers.alice.ask(GET, { community: did })).body.alarms
    expect(shown.says).toContain('It can’t be undone any more')
    // And it stands for days, in whichever process reads next.
    await readAgain(did, late)
    expect(await watching.names(did)).toEqual(['foreignOperation'])
    const week = { ...late, clock: { ...late.clock, nowMs: () => nowMs() + 7 * 24 * HOUR_MS + 60_000 } }
    await readAgain(did, week)
    expect(await watching.names(did)).toEqual([])
  })

  it('that is dated later than now is not believed, and keeps nobody waiting for that day (9)', async () => {
    const { did, key } = await watched()
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, makeKey('k256').didKey, ours] })
    hers.plc.misbehave(logs(did, (rows) => [rows[0], { ...rows[1], createdAt: '2126-01-01T00:00:00.000Z' }]))
    await readAgain(did)
    expect(await watching.alarms(did)).toMatchObject([{ name: 'plcUntrusted', about: { fault: 'time-future', at: 1 } }])
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ status: 502 })
    hers.plc.misbehave(null)
    for (let at = 0; at < 2; at++) await readAgain(did)
    const { quiet_until_ms: quietMs } = await watchRow(database, did)
    expect(quietMs ?? Infinity).toBeLessThanOrEqual(hers.world.clock.nowMs() + 72 * HOUR_MS)
    // By each log anew: what was noted once doesn't outlast what the log says.
    await sql`update plc_watch set quiet_until_ms = ${Date.parse('2126-01-01')} where community = ${did}`.execute(
      database.db,
    )
    await readAgain(did)
    expect(await watchRow(database, did)).toMatchObject({ quiet_until_ms: quietMs })
  })

  it('keeps us from signing as soon as it says so, also when the watcher has not seen it (10)', async () => {
    const { did, key } = await watched()
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [makeKey('k256').didKey, ours] })
    expect(await watchRow(database, did)).toMatchObject({ quiet_until_ms: null })
    expect(await hers.set(did, { handle: hers.served() })).toMatchObject({ body: { error: 'PlcQuiet' } })
  })

  it('that is due in a month, since a clock stepped, is read now (14)', async () => {
    const { did } = await watched()
    const farMs = hers.world.clock.nowMs() + 30 * 24 * HOUR_MS
    await sql`update plc_watch set due_at_ms = ${farMs} where community = ${did}`.execute(database.db)
    for (let isFar = true; isFar; isFar = (await watchRow(database, did)).due_at_ms === farMs) {
      await watchLogs(watching.ctx)
    }
    const { due_at_ms: dueAtMs } = await watchRow(database, did)
    expect(dueAtMs - hers.world.clock.nowMs()).toBeLessThanOrEqual(10 * MINUTE_SEC * 1000)
  })

  it('that flaps is one alarm, until it held twice (26)', async () => {
    const { did, key } = await watched()
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: [] })
    await readAgain(did)
    for (let at = 0; at < 3; at++) {
      hers.plc.misbehave(logs(did, (rows) => rows.slice(0, 1)))
      await readAgain(did)
      hers.plc.misbehave(null)
      await readAgain(did)
      expect(await watching.names(did)).toContain('plcRollback')
    }
    await readAgain(did)
    expect(await watching.names(did)).not.toContain('plcRollback')
    const told = (await alarmsInAudit(database, did)).filter((says) => says.endsWith('plcRollback'))
    expect(told).toEqual(['identity.alarm plcRollback', 'identity.alarmEnd plcRollback'])
  })

  it('of a community whose key in force was seen by somebody says so, at every look, until it isn’t in force (15)', async () => {
    const { did } = await watched()
    await sql`update key set flags = '{suspect,exported}' where community = ${did} and purpose = 'rotation'`.execute(
      database.db,
    )
    await readAgain(did)
    await readAgain(did)
    expect(await watching.alarms(did)).toMatchObject([
      { name: 'keyExported', about: { purposes: 'rotation' } },
      { name: 'keySuspect', about: { purposes: 'rotation' } },
    ])
    await sql`update key set flags = '{}' where community = ${did}`.execute(database.db)
    await readAgain(did)
    expect(await watching.alarms(did)).toEqual([])
    const ofKeys = (await alarmsInAudit(database, did)).filter((says) => says.includes('key'))
    expect(ofKeys.sort()).toEqual([
      'identity.alarm keyExported',
      'identity.alarm keySuspect',
      'identity.alarmEnd keyExported',
      'identity.alarmEnd keySuspect',
    ])
  })

  it('that shows less than it did, or another past, is an alarm, and what was seen stands (row 279)', async () => {
    const { did, key } = await watched()
    const { head_cid: pinned } = await watchRow(database, did)
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: ['https://gardeners.org'] })
    await readAgain(did)
    const seen = await watchRow(database, did)
    expect(seen.head_cid).not.toBe(pinned)
    hers.plc.misbehave(logs(did, (rows) => rows.slice(0, 1)))
    await readAgain(did)
    expect(await watching.names(did)).toContain('plcRollback')
    expect(await watchRow(database, did)).toMatchObject({ head_cid: seen.head_cid, operations: 2 })
    hers.plc.misbehave(({ kind, did: asked }) => (kind === 'log' && asked === did ? json(404) : undefined))
    await readAgain(did)
    expect(await watching.names(did)).toContain('plcRollback')
    hers.plc.misbehave(null)
    await readAgain(did)
    expect(await watching.names(did)).toContain('plcRollback')
    await readAgain(did)
    expect(await watching.names(did)).not.toContain('plcRollback')
    expect(await alarmsInAudit(database, did)).toEqual([
      'identity.alarm foreignOperation',
      'identity.alarm plcRollback',
      'identity.alarmEnd plcRollback',
    ])
  })

  it('of another past that is as long as the one that was seen is an alarm (row 279)', async () => {
    const { did, key } = await watched()
    const before = (await honestLog(hers.plc, did)) ?? []
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: ['https://one.org'] })
    await readAgain(did)
    const { sig: _, ...rest } = await inForce(hers.plc, did)
    const fork = signed(key, { ...rest, alsoKnownAs: ['https://other.org'], prev: before[0]?.cid ?? '' })
    const entry = { did, operation: fork, cid: cidOf(fork as never), nullified: false }
    hers.plc.misbehave(logs(did, (rows) => [rows[0], { ...rows[1], ...entry }]))
    const seen = await watchRow(database, did)
    await readAgain(did)
    expect(await watching.names(did)).toContain('plcRollback')
    expect(await watchRow(database, did)).toMatchObject({ head_cid: seen.head_cid, operations: 2 })
  })

  it('that can’t be true is an alarm of its own, and what was seen stands (row 277)', async () => {
    const { did } = await watched()
    const seen = await watchRow(database, did)
    hers.plc.misbehave(
      logs(did, (rows) => rows.map((row) => ({ ...row, createdAt: '2020-01-01T00:00:00.000Z', cid: 'x' }))),
    )
    await readAgain(did)
    expect(await watching.alarms(did)).toMatchObject([{ name: 'plcUntrusted', about: { fault: 'cid-mismatch' } }])
    expect(await watchRow(database, did)).toMatchObject({ head_cid: seen.head_cid, operations: 1 })
    hers.plc.misbehave(null)
    for (let at = 0; at < 2; at++) await readAgain(did)
    expect(await watching.alarms(did)).toEqual([])
  })

  it('that nobody shows costs a later try, and is no news', async () => {
    const { did } = await watched()
    hers.plc.misbehave(() => 'cut')
    await readAgain(did)
    const { due_at_ms: dueAtMs } = await watchRow(database, did)
    const inMs = dueAtMs - hers.world.clock.nowMs()
    expect(inMs).toBeGreaterThan(30_000)
    expect(inMs).toBeLessThanOrEqual(2 * MINUTE_SEC * 1000)
    expect(await watching.alarms(did)).toEqual([])
  })

  it('to which the community’s own key wrote is told in words to those who configure it, for 72 hours', async () => {
    const { did, key } = await watched()
    const roster = `at://${did}/space/community.reeve.roster/self`
    await hers.alice.call('community.reeve.member.put', { space: roster, did: hers.bob.did, role: 'member' })
    await changeBehindOurBack(hers.plc, did, key, { alsoKnownAs: ['https://gardeners.org'] })
    await readAgain(did)
    const shown = (await hers.alice.ask(GET, { community: did })).body.alarms
    expect(shown).toMatchObject([{ name: 'foreignOperation', says: expect.stringContaining('its names') }])
    expect(shown[0].says).toContain('The community’s own key')
    expect((await hers.bob.ask(GET, { community: did })).body).not.toHaveProperty('alarms')
    const moved = {
      ...watching.ctx,
      clock: { ...hers.world.clock, nowMs: () => hers.world.clock.nowMs() + 73 * HOUR_MS },
    }
    await readAgain(did, moved)
    expect(await watching.names(did)).toEqual([])
    expect(await alarmsInAudit(database, did)).toEqual([
      'identity.alarm foreignOperation',
      'identity.alarmEnd foreignOperation',
    ])
  })

  it('to which an unknown key wrote is hostile, with who may undo it until when (row 280)', async () => {
    const { did, key } = await watched()
    const other = makeKey('k256')
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, other.didKey, ours] })
    await changeBehindOurBack(hers.plc, did, other, { alsoKnownAs: ['https://taken.org'] })
    await readAgain(did)
    const [alarm] = await watching.alarms(did)
    expect(alarm).toMatchObject({
      name: 'foreignOperation',
      about: { isHostile: 1, by: other.didKey, mayUndo: key.didKey },
    })
    const last = (await honestLog(hers.plc, did))?.at(-1) as unknown as { createdAt: string }
    expect(alarm?.about['untilMs']).toBe(Date.parse(last.createdAt) + 72 * HOUR_MS)
    const { quiet_until_ms: quietMs } = await watchRow(database, did)
    expect((quietMs ?? 0) - hers.world.clock.nowMs()).toBeGreaterThan(71 * HOUR_MS)
  })

  it('in which a key that was taken out came back is told with the operation that counters it (row 281)', async () => {
    const { did, key: cold } = await watched()
    const quorum = makeKey('k256')
    const [fresh, lesser] = [makeKey('k256'), makeKey('k256')]
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, cold, { rotationKeys: [cold.didKey, quorum.didKey, lesser.didKey, ours] })
    const base = await headOf(hers.plc.honestUrl, did)
    await changeBehindOurBack(hers.plc, did, lesser, { alsoKnownAs: ['https://gardeners.org'] })
    await changeBehindOurBack(hers.plc, did, cold, { rotationKeys: [cold.didKey, fresh.didKey, ours] })
    await readAgain(did)
    const { sig: _, ...rest } = await inForce(hers.plc, did)
    const fork = signed(quorum, { ...rest, rotationKeys: [quorum.didKey, ours], prev: base })
    await submitOperation(hers.plc.honestUrl, did, fork)
    await readAgain(did)
    const alarms = await watching.alarms(did)
    const alarm = alarms.find(({ name }) => name === 'removedKeyForked')
    expect(alarm).toMatchObject({ about: { by: quorum.didKey, mayUndo: cold.didKey } })
    // Signed by the mightier key and sent, it is taken, and the alarm is over.
    const counter = JSON.parse(String(alarm?.about['counter']))
    await submitOperation(hers.plc.honestUrl, did, signed(cold, counter))
    expect((await inForce(hers.plc, did)).rotationKeys).toEqual([cold.didKey, fresh.didKey, ours])
    await readAgain(did)
    expect(await watching.names(did)).not.toContain('removedKeyForked')
  })

  it('that ends is told', async () => {
    const { did, key } = await watched()
    const prev = await headOf(hers.plc.honestUrl, did)
    await submitOperation(hers.plc.honestUrl, did, signed(key, { type: 'plc_tombstone', prev }))
    await readAgain(did)
    expect(await watching.names(did)).toContain('ended')
  })

  it('in which our key is not the last is told until it is', async () => {
    const { did, key } = await watched()
    const ours = (await inForce(hers.plc, did)).rotationKeys.at(-1) ?? ''
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [ours, key.didKey] })
    await readAgain(did)
    expect(await watching.names(did)).toContain('oursNotLast')
    await changeBehindOurBack(hers.plc, did, key, { rotationKeys: [key.didKey, ours] })
    await readAgain(did)
    expect(await watching.names(did)).not.toContain('oursNotLast')
  })

  it('is read by one of several processes, and by no two', async () => {
    const dids: Did[] = []
    for (let at = 0; at < 9; at++) dids.push((await watched()).did)
    for (const did of dids) await watching.due(did)
    hers.plc.forget()
    const isAnyDue = async () =>
      (await Promise.all(dids.map((did) => watchRow(database, did)))).some((row) => row.due_at_ms === 0)
    do await Promise.all([1, 2, 3].map(() => watchLogs(watching.ctx)))
    while (await isAnyDue())
    expect(dids.map((did) => hers.plc.count('log', did))).toEqual(dids.map(() => 1))
  })

  it('is not read any more when the community has ended', async () => {
    const { did } = await watched()
    await sql`update community set step = 'deleted' where did = ${did}`.execute(database.db)
    hers.plc.forget()
    await expect(readAgain(did)).rejects.toThrow('nobody watches')
    expect(hers.plc.count('log', did)).toBe(0)
  })
})

describe('a thousand communities', () => {
  it('cost a directory a thousand documents a minute and a log each in eight, a few at once', async () => {
    const database = await openTestDatabase('embedded')
    const clock = movableClock()
    stopClock(clock)
    const count = { log: 0, document: 0, logsNow: 0, documentsNow: 0, logsMost: 0, documentsMost: 0 }
    const asking = async (what: 'log' | 'document'): Promise<never> => {
      count[what] += 1
      count[`${what}sNow`] += 1
      count[`${what}sMost`] = Math.max(count[`${what}sMost`], count[`${what}sNow`])
      await new Promise((resolve) => setImmediate(resolve))
      count[`${what}sNow`] -= 1
      throw new Unavailable('UpstreamFailure', 'plc-directory')
    }
    const ctx: WatchCtx = {
      ...{ db: database.db, clock, random: systemRandom, log: silentLog, publicUrl: 'https://reeve.example' },
      vault: { letGo: () => {} },
      directory: { readLog: () => asking('log') },
      documents: { resolve: () => asking('document') },
    }
    const fence = openFence({
      ...ctx,
      hosted: new Hosted(),
      vault: { forget: () => {}, recall: () => {}, letGo: () => {} },
    })
    await sql`insert into community (did, name, custody, founder, step, operation, operation_cid, request_hash, created_at_ms)
      select 'did:plc:' || lpad(n::text, 24, 'a'), 'Some', 'custodial', 'did:plc:someone', 'opened', '{}', 'cid' || n, ''::bytea, 0
      from generate_series(1, 1000) n`.execute(database.db)
    while ((await beginWatching(ctx)) > 0);
    const perMinute: { log: number; document: number }[] = []
    for (let minute = 0; minute < 5; minute++) {
      count.log = 0
      count.document = 0
      for (let sec = 0; sec < 60; sec += 5) {
        clock.moveSec(5)
        await watchLogs(ctx)
        await fence.watch()
      }
      perMinute.push({ log: count.log, document: count.document })
    }
    // Each document is asked for once or twice in a minute; nobody waits for a log before its time.
    for (const { document } of perMinute) expect(document).toBeLessThanOrEqual(1_400)
    expect(Math.max(...perMinute.map(({ log }) => log))).toBeLessThanOrEqual(1_000)
    expect(perMinute[0]?.log).toBe(0)
    expect(perMinute.every(({ document }) => document > 0)).toBe(true)
    expect(count.documentsMost).toBeLessThanOrEqual(16)
    expect(count.logsMost).toBeLessThanOrEqual(READ_AT_ONCE)
    await database.close()
  })
})
