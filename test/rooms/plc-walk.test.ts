/**
 * The walk of an operation on a DID that exists, with a process that breaks at every step of it, a directory that does everything a
 * directory could, and a community that writes to its DID itself: never two operations for one change, never a handle that is shown
 * before the log has it, and never one that is kept for nobody.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { carryOutDue } from '../../src/community/acts.ts'
import { type PlcWalkCtx, walkPlcWork } from '../../src/community/plc-walk.ts'
import { resumePlcWork } from '../../src/community/resume-plc-work.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve } from '../../src/reeve.ts'
import { Crash, crashAt } from '../kit/crashing.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase } from '../kit/databases.ts'
import { honestLog, json, type Misbehaviour, stallAt } from '../kit/fake-plc.ts'
import { changeBehindOurBack, type HandleWorld, handleRows, inForce, openHandleWorld } from '../kit/handles.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'
import { type Answer, memberHeld } from '../kit/world.ts'

/** A context that breaks at its `at`th touch of database, directory, documents or domains. */
function contextThatBreaks(ctx: PlcWalkCtx, at: number, when: 'before' | 'after') {
  const { wrap, isBroken } = crashAt(at, when)
  const broken: PlcWalkCtx = {
    ...ctx,
    log: silentLog,
    db: wrap<Db>(ctx.db, ['selectFrom', 'updateTable', 'transaction']),
    directory: wrap(ctx.directory, ['submit', 'readLog']),
    documents: wrap(ctx.documents, ['resolve']),
    handleProofs: wrap(ctx.handleProofs, ['ask']),
  }
  return { ctx: broken, isBroken }
}

/** The stored operation reaches the directory, and nobody here hears of it. */
async function postHonestly({ database, plc }: HandleWorld, did: Did): Promise<void> {
  const { rows } = await sql<{
    operation: object
  }>`select operation from plc_work where community = ${did}`.execute(database.db)
  await submitOperation(plc.honestUrl, did, rows[0]?.operation ?? {})
}

describeOnEachEngine('the walk of a change of handle', (open) => {
  let hers: HandleWorld
  let ctx: PlcWalkCtx

  beforeAll(async () => {
    const database = await open()
    hers = await openHandleWorld(database)
    ctx = { ...hers.world.reeve.house, db: database.db }
  })
  afterEach(async () => {
    hers.plc.misbehave(null)
    // What a test leaves unfinished is nobody's business afterwards.
    await sql`delete from plc_work where step in ('prepared', 'submitted')`.execute(hers.database.db)
  })
  afterAll(() => hers.close())

  interface Begun {
    readonly did: Did
    readonly key: TestKey
    readonly first: string
    readonly handle: string
    again(): Promise<Answer>
  }

  /** A change that is known to be as far as `step`, with nothing of it at the directory. */
  async function begun({ step = 'submitted', isOwn = false } = {}): Promise<Begun> {
    const key = makeKey('k256')
    const first = hers.served()
    const did = await hers.world.found(hers.alice, { handle: first, custody: memberHeld(hers.world, hers.alice, key) })
    const handle = isOwn ? hers.own() : hers.served()
    if (isOwn) hers.say(handle, { txt: [`did=${did}`] })
    hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
    const again = () => hers.set(did, { handle })
    expect(await again()).toMatchObject({ status: 200, body: { status: 'submitted', handle, revision: 2 } })
    hers.plc.misbehave(null)
    hers.plc.forget()
    await sql`update plc_work set step = ${step} where community = ${did}`.execute(hers.database.db)
    return { did, key, first, handle, again }
  }

  async function expectUnderWay({ did, first, handle }: Begun, step = 'submitted') {
    const rows = await handleRows(hers.database, did)
    expect(rows).toMatchObject({ community: [{ handle: first }], work: [{ step, fault: null }] })
    expect(rows.revision).toEqual([{ revision: 2 }])
    expect(rows.audit).toHaveLength(1)
    expect(await hers.whoIs(first)).toMatchObject({ body: did })
    if (handle.endsWith('.example')) expect(await hers.whoIs(handle)).toMatchObject({ body: did })
  }

  async function expectDone({ did, handle }: Begun, operations = 2) {
    const rows = await handleRows(hers.database, did)
    expect(rows).toMatchObject({ community: [{ handle }], work: [{ step: 'confirmed', fault: null }] })
    expect(rows.served).toEqual(handle.endsWith('.example') ? [{ handle }] : [])
    expect(rows.revision).toEqual([{ revision: 3 }])
    expect(rows.audit).toMatchObject([{ because: { status: 'prepared' } }, { because: { status: 'confirmed' } }])
    expect(await honestLog(hers.plc, did)).toHaveLength(operations)
    expect((await inForce(hers.plc, did)).alsoKnownAs).toEqual([`at://${handle}`])
  }

  async function expectGivenUp({ did, first, handle }: Begun, fault: string) {
    const rows = await handleRows(hers.database, did)
    expect(rows).toMatchObject({ community: [{ handle: first }], work: [{ step: 'refused', fault }] })
    expect(rows.served).toEqual([{ handle: first }])
    expect(rows.audit).toMatchObject([{ because: { status: 'prepared' } }, { because: { refused: fault } }])
    expect(await hers.whoIs(handle)).toMatchObject({ status: 404 })
    expect(await hers.whoIs(first)).toMatchObject({ body: did })
  }

  describe.each([
    ['before', false],
    ['after', false],
    ['before', true],
    ['after', true],
  ] as const)('in a process that breaks %s a touch (a domain of its own: %s)', (when, isOwn) => {
    it('of database, directory, documents or domains, at every one of them, goes on from there', async () => {
      let at = 1
      for (; ; at++) {
        const change = await begun({ step: 'prepared', isOwn })
        const broken = contextThatBreaks(ctx, at, when)
        await walkPlcWork(broken.ctx, change.did).catch((error: unknown) => expect(error).toBeInstanceOf(Crash))
        if (!broken.isBroken()) {
          await expectDone(change)
          break
        }
        const { work, audit, community } = await handleRows(hers.database, change.did)
        const isDone = work[0]?.['step'] === 'confirmed'
        expect(audit).toHaveLength(isDone ? 2 : 1)
        expect(community).toEqual([{ handle: isDone ? change.handle : change.first }])
        expect((await walkPlcWork(ctx, change.did)).step).toBe('confirmed')
        await expectDone(change)
      }
      // Load, note, load, read the log, post, read it again, read the document, ask who says so, write all, load: none was left out.
      expect(at).toBeGreaterThanOrEqual(10)
    })
  })

  it.each(['community', 'served_handle', 'community_revision', 'audit_entry', 'plc_work'])(
    'is done all or not at all: a fault at table %s undoes the rest',
    async (table) => {
      const change = await begun()
      await sql
        .raw(
          `create function fault() returns trigger language plpgsql as $$ begin raise exception 'disk full'; end $$;
           create trigger fault before insert or update or delete on ${table} for each row execute function fault()`,
        )
        .execute(hers.database.db)
      await expect(walkPlcWork(ctx, change.did)).rejects.toThrow('disk full')
      await sql.raw(`drop trigger fault on ${table}; drop function fault()`).execute(hers.database.db)
      await expectUnderWay(change)
      expect((await walkPlcWork(ctx, change.did)).step).toBe('confirmed')
      await expectDone(change)
    },
  )

  describe('with a directory whose answer to the POST', () => {
    const answered =
      (answer: 'cut' | ReturnType<typeof json>, isKept: boolean): Misbehaviour =>
      async ({ kind }, forward) => {
        if (kind !== 'post') return undefined
        if (isKept) await forward()
        return answer
      }

    it.each([
      ['is lost, the operation kept', true],
      ['never comes, the operation lost', false],
    ] as const)('%s: the log tells, and one operation is there in the end', async (_says, isKept) => {
      const change = await begun({ step: 'prepared' })
      hers.plc.misbehave(answered('cut', isKept))
      await expect(walkPlcWork(ctx, change.did)).rejects.toThrow('UpstreamFailure')
      await expectUnderWay(change)
      hers.plc.misbehave(null)
      hers.plc.forget()
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
      expect(hers.plc.count('post')).toBe(isKept ? 0 : 1)
      await expectDone(change)
    })

    it.each([500, 429, 408, 301, 404])('is %i, though it kept the operation: it goes on by the log', async (status) => {
      const change = await begun()
      hers.plc.misbehave(answered(json(status), true))
      expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
      hers.plc.misbehave(null)
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
      await expectDone(change)
    })

    it.each([400, 409])('is %i, though it kept the operation and shows it: the change is done', async (status) => {
      const change = await begun({ step: 'prepared' })
      hers.plc.misbehave(answered(json(status), true))
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
      await expectDone(change)
    })

    it('is 429, time and again, holds the change up and gives nothing up', async () => {
      const change = await begun()
      hers.plc.misbehave(answered(json(429), false))
      hers.world.clock.moveSec(11 * 60)
      for (let i = 0; i < 3; i++) expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
      await expectUnderWay(change)
    })

    it('is 200, and it never shows the operation: submitted, and never confirmed', async () => {
      const change = await begun()
      hers.plc.misbehave(answered(json(200), false))
      for (let i = 0; i < 3; i++) expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
      await expectUnderWay(change)
    })

    it.each([
      [400, 502, 'PlcRejected'],
      [409, 409, 'PlcConflict'],
    ])(
      'is %i, believed once the directory had time to show it: the handle stays what it was (%i %s)',
      async (answer, status, fault) => {
        const change = await begun()
        hers.plc.misbehave(answered(json(answer), false))
        expect(await change.again()).toMatchObject({ status: 200, body: { status: 'submitted' } })
        await expectUnderWay(change)
        hers.world.clock.moveSec(11 * 60)
        expect(await change.again()).toMatchObject({ status, body: { error: fault } })
        await expectGivenUp(change, fault)
        hers.plc.misbehave(null)
        // What was given up is over: the next call begins anew.
        expect(await change.again()).toMatchObject({ status: 200, body: { status: 'confirmed', revision: 4 } })
        expect(await honestLog(hers.plc, change.did)).toHaveLength(2)
      },
    )
  })

  describe('with a directory whose log', () => {
    const withLog =
      (change: (rows: Record<string, unknown>[]) => unknown): Misbehaviour =>
      async ({ kind }, forward) =>
        kind === 'log' ? json(200, change(JSON.parse((await forward()).body))) : undefined

    it.each<[string, (rows: Record<string, unknown>[]) => unknown]>([
      ['is empty', () => []],
      ['is no log', () => ({ log: 'yes' })],
      ['calls another CID its own', (rows) => rows.map((row) => ({ ...row, cid: 'bafyreib' }))],
      ['says that the operation was undone', (rows) => rows.map((row, at) => ({ ...row, nullified: at > 0 }))],
    ])('%s is not believed: submitted, until it is mended', async (_says, spoil) => {
      const change = await begun()
      hers.plc.misbehave(async (ask, forward) => {
        if (ask.kind === 'post') return undefined
        return withLog(spoil)(ask, forward)
      })
      expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
      await expectUnderWay(change)
      hers.plc.misbehave(null)
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
      await expectDone(change)
    })

    it('doesn’t reach as far as what is known to be in force: nothing is sent and nothing given up', async () => {
      const key = makeKey('k256')
      const did = await hers.world.found(hers.alice, { custody: memberHeld(hers.world, hers.alice, key) })
      const first = hers.served()
      await hers.set(did, { handle: first })
      const handle = hers.served()
      hers.plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
      await hers.set(did, { handle })
      hers.plc.forget()
      hers.plc.misbehave(withLog((rows) => rows.slice(0, 1)))
      hers.world.clock.moveSec(11 * 60)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'submitted' } })
      expect(hers.plc.count('post')).toBe(0)
      hers.plc.misbehave(null)
      expect(await hers.set(did, { handle })).toMatchObject({ body: { status: 'confirmed' } })
      expect(await honestLog(hers.plc, did)).toHaveLength(3)
    })

    it('is gone: nothing is sent and nothing given up', async () => {
      const change = await begun()
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(404, { message: 'not registered' }) : undefined))
      expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
      expect(hers.plc.count('post')).toBe(0)
      await expectUnderWay(change)
    })
  })

  it.each<[string, (document: Record<string, unknown>) => unknown]>([
    ['has another name', (document) => ({ ...document, alsoKnownAs: ['at://somebody.org'] })],
    ['has the name from before', (document) => ({ ...document, alsoKnownAs: [] })],
    ['has a name before it', (document) => ({ ...document, alsoKnownAs: ['at://a.org', ...names(document)] })],
    ['is of another DID', (document) => ({ ...document, id: 'did:plc:ewvi7nxzyoun6zhxrhs64oiz' })],
    ['is no document', () => []],
  ])('with a directory whose document %s is not done, until it is mended', async (_says, spoil) => {
    const change = await begun()
    hers.plc.misbehave(async ({ kind, did }, forward) => {
      if (kind !== 'document' || did !== change.did) return undefined
      return json(200, spoil(JSON.parse((await forward()).body)))
    })
    expect(await change.again()).toMatchObject({ body: { status: 'submitted' } })
    await expectUnderWay(change)
    hers.plc.misbehave(null)
    expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
    await expectDone(change)
  })
  const names = (document: Record<string, unknown>) => document['alsoKnownAs'] as string[]

  describe('beside the community’s own key', () => {
    /** What the community's key signs on the operation that stands at `place` in the log, counted from the end. */
    async function sign({ did, key }: Begun, place: number, change: object): Promise<void> {
      const base = (await honestLog(hers.plc, did))?.at(place)
      const { sig: _sig, ...rest } = base?.operation ?? { sig: '' }
      await submitOperation(hers.plc.honestUrl, did, signed(key, { ...rest, ...change, prev: base?.cid }))
    }

    it('that came first ends as PlcConflict, and the next change follows what is in force', async () => {
      const change = await begun()
      await changeBehindOurBack(hers.plc, change.did, change.key, { alsoKnownAs: ['https://gardeners.org'] })
      expect(await change.again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
      expect(hers.plc.count('post')).toBe(0)
      await expectGivenUp(change, 'PlcConflict')
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed' } })
      const names = [`at://${change.handle}`, 'https://gardeners.org']
      expect((await inForce(hers.plc, change.did)).alsoKnownAs).toEqual(names)
    })

    it('that ended the DID meanwhile ends as PlcConflict', async () => {
      const change = await begun()
      const prev = await headOf(hers.plc.honestUrl, change.did)
      await submitOperation(hers.plc.honestUrl, change.did, signed(change.key, { type: 'plc_tombstone', prev }))
      expect(await change.again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
      await expectGivenUp(change, 'PlcConflict')
    })

    it('that undid the operation before we saw it ends as PlcConflict', async () => {
      const change = await begun()
      await postHonestly(hers, change.did)
      await sign(change, -2, { alsoKnownAs: ['https://gardeners.org'] })
      expect((await honestLog(hers.plc, change.did))?.map((row) => 'nullified' in row && row.nullified)).toContain(true)
      expect(await change.again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
      await expectGivenUp(change, 'PlcConflict')
    })

    it('that undid the operation and named the handle itself ends as PlcConflict, and the next call finds it there', async () => {
      const change = await begun()
      await postHonestly(hers, change.did)
      await sign(change, -2, { alsoKnownAs: [`at://${change.handle}`] })
      expect(await change.again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
      await expectGivenUp(change, 'PlcConflict')
      expect(await change.again()).toMatchObject({ body: { status: 'confirmed', handle: change.handle, revision: 3 } })
      expect(await hers.shownHandle(change.did)).toBe(change.handle)
      expect(await hers.whoIs(change.first)).toMatchObject({ status: 404 })
      expect(await honestLog(hers.plc, change.did)).toHaveLength(3)
    })

    it('that wrote other names over it ends as PlcConflict, and one that kept the names does it no harm', async () => {
      const over = await begun()
      await postHonestly(hers, over.did)
      await sign(over, -1, { alsoKnownAs: [] })
      expect(await over.again()).toMatchObject({ status: 409, body: { error: 'PlcConflict' } })
      await expectGivenUp(over, 'PlcConflict')

      const beside = await begun()
      await postHonestly(hers, beside.did)
      await sign(beside, -1, { services: {} })
      expect(await beside.again()).toMatchObject({ body: { status: 'confirmed' } })
      await expectDone(beside, 3)
    })
  })

  describe('in one process', () => {
    it('is one walk for all who ask for it at once', async () => {
      const change = await begun()
      const walked = await Promise.all(Array.from({ length: 10 }, () => walkPlcWork(ctx, change.did)))
      expect(new Set(walked.map(({ step }) => step))).toEqual(new Set(['confirmed']))
      expect([hers.plc.count('post'), hers.plc.count('document')]).toEqual([1, 1])
      await expectDone(change)
    })

    it('that failed for all of them can be walked again', async () => {
      const change = await begun()
      hers.plc.misbehave(() => 'cut')
      const failed = await Promise.allSettled(Array.from({ length: 5 }, () => walkPlcWork(ctx, change.did)))
      expect(new Set(failed.map(({ status }) => status))).toEqual(new Set(['rejected']))
      hers.plc.misbehave(null)
      expect((await walkPlcWork(ctx, change.did)).step).toBe('confirmed')
    })
  })

  describe('of a community that came to its end meanwhile', () => {
    const end = async ({ did }: Begun) => {
      await hers.alice.call('community.reeve.community.delete', { community: did })
      hers.world.clock.moveSec(7 * 86_400 + 1)
      expect(await carryOutDue({ ...hers.world.reeve.house, db: hers.database.db })).toBe(1)
      return endedRows(did)
    }
    const endedRows = async (did: Did) => {
      const { work: _, audit: _audit, ...rows } = await handleRows(hers.database, did)
      return rows
    }
    const expectEnded = async ({ did, first, handle }: Begun, before: object) => {
      expect(await endedRows(did)).toEqual(before)
      expect(before).toMatchObject({ community: [{ handle: null }], served: [] })
      for (const host of [first, handle]) expect(await hers.whoIs(host)).toMatchObject({ status: 404 })
      expect(await resumePlcWork(ctx)).toBe(0)
    }

    it('is given up by the end when it was not sent, which the audit tells, and is never sent', async () => {
      const change = await begun({ step: 'prepared' })
      const before = await end(change)
      const [work] = (await handleRows(hers.database, change.did)).work
      expect(work).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
      const { rows } = await sql`select because from audit_entry
        where community = ${change.did} and action = 'community.delete' order by id desc limit 1`.execute(
        hers.database.db,
      )
      expect(rows).toMatchObject([{ because: { calledOff: expect.stringMatching(/^bafy/) } }])
      expect((await walkPlcWork(ctx, change.did)).step).toBe('refused')
      expect(hers.plc.count('post')).toBe(0)
      await expectEnded(change, before)
    })

    it('is not sent either when the end knew nothing of it', async () => {
      const change = await begun({ step: 'prepared' })
      const before = await end(change)
      await sql`update plc_work set step = 'prepared', fault = null where community = ${change.did}`.execute(
        hers.database.db,
      )
      expect(await walkPlcWork(ctx, change.did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
      expect(hers.plc.count('post')).toBe(0)
      await expectEnded(change, before)
    })

    it('is not sent again when it was on its way, and given up once the directory had time to show it', async () => {
      const change = await begun()
      const before = await end(change)
      await sql`update plc_work set created_at_ms = ${hers.world.clock.nowMs()} where community = ${change.did}`.execute(
        hers.database.db,
      )
      await expect(walkPlcWork(ctx, change.did)).rejects.toThrow('UpstreamFailure')
      hers.world.clock.moveSec(11 * 60)
      expect(await walkPlcWork(ctx, change.did)).toMatchObject({ step: 'refused', fault: 'PlcConflict' })
      expect(hers.plc.count('post')).toBe(0)
      expect(await honestLog(hers.plc, change.did)).toHaveLength(1)
      await expectEnded(change, before)
    })

    it.each([false, true])(
      'ends with what the directory has, and gives nobody a handle (a domain of its own: %s)',
      async (isOwn) => {
        const change = await begun({ isOwn })
        await postHonestly(hers, change.did)
        const before = await end(change)
        expect(await walkPlcWork(ctx, change.did)).toMatchObject({ step: 'confirmed', about: { isVerified: false } })
        const { audit } = await handleRows(hers.database, change.did)
        expect(audit.at(-1)).toMatchObject({ because: { status: 'communityEnded' } })
        await expectEnded(change, before)
      },
    )

    it('gives nobody a handle, and raises nothing, when the end comes while the document is read', async () => {
      const change = await begun()
      let before = {}
      hers.plc.misbehave(async ({ kind, did }, forward) => {
        if (kind !== 'document' || did !== change.did) return undefined
        const answer = await forward()
        before = await end(change)
        return answer
      })
      expect(await walkPlcWork(ctx, change.did)).toMatchObject({ step: 'confirmed', about: { isVerified: false } })
      await expectEnded(change, before)
    })
  })

  describe('taken up by the worker', () => {
    it('is finished without whoever asked for it', async () => {
      const change = await begun({ step: 'prepared' })
      expect(await resumePlcWork(hers.world.reeve.house)).toBe(0)
      await expectUnderWay(change, 'prepared')
      expect(await resumePlcWork(ctx)).toBe(1)
      await expectDone(change)
      expect(await resumePlcWork(ctx)).toBe(0)
    })

    it('is not kept waiting by others that can’t go on', async () => {
      const stuck = [await begun(), await begun()]
      const good = await begun()
      hers.plc.misbehave(({ did }) => (stuck.some((change) => change.did === did) ? json(500) : undefined))
      expect(await resumePlcWork({ ...ctx, log: silentLog })).toBe(1)
      await expectDone(good)
    })

    it('makes the others wait no longer than for one answer when the directory says nothing', async () => {
      await begun()
      await begun()
      const stall = stallAt(() => true)
      hers.plc.misbehave(stall.how)
      hers.plc.forget()
      expect(await resumePlcWork({ ...ctx, log: silentLog })).toBe(0)
      expect(hers.plc.asked).toHaveLength(1)
      stall.letGo()
    })
  })
})

describe.runIf(hasPostgres)('the walk of a change of handle at two processes', () => {
  it('is walked by both at once to one end', async () => {
    const database = await openTestDatabase('postgres')
    const hers = await openHandleWorld(database)
    const { world, plc } = hers
    const second = await openReeve(
      { ...world.config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock: world.clock, log: silentLog },
    )
    try {
      for (let round = 0; round < 10; round++) {
        const did = await world.found(hers.alice)
        plc.misbehave(({ kind }) => (kind === 'post' ? 'cut' : undefined))
        await hers.set(did, { handle: hers.served() })
        plc.misbehave(null)
        const walked = await Promise.all([walkPlcWork(world.reeve.house, did), walkPlcWork(second.house, did)])
        expect(walked.map(({ step }) => step)).toEqual(['confirmed', 'confirmed'])
        const rows = await handleRows(database, did)
        expect([rows.audit.length, rows.revision]).toEqual([2, [{ revision: 3 }]])
        expect(await honestLog(plc, did)).toHaveLength(2)
      }
    } finally {
      await second.close()
      await hers.close()
      await database.close()
    }
  })
})
