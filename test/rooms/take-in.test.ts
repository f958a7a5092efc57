/** A community comes to a second Reeve with keys that were made there, and the first one lets go of it. */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { ARRIVAL_MS, LATE_MS, walkArrivals, watchArrivals } from '../../src/community/arrivals.ts'
import { communityTakeIn, WAITING_OF_CALLER_MAX } from '../../src/community/communityTakeIn.ts'
import { fingerprintOfNewHome, parseNewHome, readNewHome } from '../../src/identity/new-home.ts'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Crash, crashAt } from '../kit/crashing.ts'
import { describeOnEachEngine, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { json } from '../kit/fake-plc.ts'
import { foundingRows } from '../kit/foundings.ts'
import { GET, type HandleWorld, inForce, openHandleWorld, SET } from '../kit/handles.ts'
import { holdWorker } from '../kit/held-worker.ts'
import { moveTo, type NewHome } from '../kit/moving.ts'
import { endDid, headOf, makeSomebody, signed, submitOperation } from '../kit/people.ts'
import { freshJti, makeKey, type TestKey } from '../kit/tokens.ts'
import { type Watching, watchingOf, watchRow } from '../kit/watched.ts'
import { memberHeld, openWorld, type Person, personOf, type World } from '../kit/world.ts'

const TAKE_IN = 'community.reeve.community.takeIn'
const refused = (status: number, error: string) => ({ status, body: { error } })

describeOnEachEngine('a community that comes from another Reeve', (open, engine) => {
  /** The home that it leaves. */
  let old: HandleWorld
  let oldDatabase: TestDatabase
  let watching: Watching
  /** The one that it comes to, on the same directory. */
  let world: World
  let database: TestDatabase
  let ada: Person
  let eve: Person

  beforeAll(async () => {
    oldDatabase = await open()
    old = await openHandleWorld(oldDatabase)
    watching = watchingOf(old.world, oldDatabase)
    database = await openTestDatabase(engine)
    world = await openWorld({ database: holdWorker(database), plcUrl: old.plc.url })
    ;[ada, eve] = await Promise.all([world.person(), world.person()])
  })
  afterEach(async () => {
    old.plc.misbehave(null)
    await sql`update arrival set state = 'lapsed' where state in ('waiting', 'late')`.execute(database.db)
    await sql`delete from key where arrival is not null`.execute(database.db)
  })
  afterAll(async () => {
    await world.close()
    await database.close()
    await old.close()
  })

  const ctx = () => ({ ...world.reeve.house, db: database.db, log: silentLog })
  const takeIn = (did: Did, by: Person = ada, more: object = {}) =>
    by.call(TAKE_IN, { did, name: 'Gardeners', ...more })

  /** A community at the old home, whose own key somebody has. */
  async function leaving(): Promise<{ did: Did; key: TestKey; forum: string }> {
    const key = makeKey('k256')
    const did = await old.world.found(old.alice, { custody: memberHeld(old.world, old.alice, key) })
    const forum = await old.world.makeSpace(old.alice, did, { skey: 'main' })
    await watching.watch(did)
    return { did, key, forum }
  }

  async function waiting(did: Did, by: Person = ada, more: object = {}): Promise<NewHome> {
    const answer = await takeIn(did, by, more)
    expect(answer).toMatchObject({ status: 200, body: { did, status: 'waiting', revision: 0 } })
    return answer.body.statement
  }

  const keysOf = async (did: Did) =>
    (
      await sql<{ state: string; arrival: string | null; purpose: string }>`select purpose, state, arrival from key
        where community = ${did} order by purpose`.execute(database.db)
    ).rows
  const arrivalsOf = async (did: Did) =>
    (
      await sql<{ caller: string; state: string }>`select caller, state from arrival where did = ${did}
        order by created_at_ms`.execute(database.db)
    ).rows

  async function expectOpened(did: Did, owner: Person = ada, holder: Did | null = owner.did) {
    const rows = await foundingRows(database, did)
    expect(rows.community).toMatchObject([{ step: 'opened', custody: 'memberHeld', founder: owner.did }])
    expect(rows.community[0]).toMatchObject({ recovery_holder: holder, handle: null })
    expect(rows.keys.map((row) => row['state'])).toEqual(['active', 'active', 'active'])
    expect(rows.owners).toMatchObject([{ did: owner.did, role: 'owner' }])
    expect(rows.revision).toMatchObject([{ revision: 1 }])
    expect(rows.audit).toMatchObject([{ action: 'community.takeIn', actor: owner.did }])
  }

  it('is asked for, moved by its own key, and is here; the old home lets go, and never are two acceptable', async () => {
    const { did, key, forum } = await leaving()
    /** Whose credentials somebody takes who reads the document now: those signed by the key that it names. */
    const acceptable = async (): Promise<string[]> => {
      const named = (await inForce(old.plc, did)).verificationMethods['atproto_space']
      const signers = await Promise.all(
        [old.world, world].map(async (one) =>
          (await one.reeve.house.vault.publicKeys(did)).filter(
            ({ purpose, state, didKey }) => purpose === 'space' && state === 'active' && didKey === named,
          ).length > 0
            ? one.url
            : null,
        ),
      )
      return signers.flatMap((url) => url ?? [])
    }
    expect(await old.alice.exchange(forum)).toMatchObject({ status: 200 })
    expect(await acceptable()).toEqual([old.world.url])
    const rollSha256 = 'ab'.repeat(32)
    const statement = await waiting(did, ada, { rollSha256 })
    expect(readNewHome(statement)).toMatchObject({ did, for: ada.did, service: world.config.serviceDid, rollSha256 })
    expect(await acceptable()).toEqual([old.world.url])
    await moveTo(old.plc, did, key, statement)
    // Between the directory and the new home's look nobody has a key that is named and in use.
    expect(await acceptable()).toEqual([])
    expect(await takeIn(did)).toMatchObject({ status: 200, body: { did, status: 'active', revision: 1 } })
    expect(await acceptable()).toEqual([world.url])
    await expectOpened(did)
    const rows = await foundingRows(database, did)
    expect(rows.audit).toMatchObject([{ because: { rollSha256, recoveryKey: key.didKey, custody: 'memberHeld' } }])
    expect(await watchRow(database, did)).toMatchObject({ operations: 2, left_at_ms: null })
    // The old home finds out within a minute, and doesn't come back.
    old.world.clock.moveSec(60)
    for (let at = 0; at < 2; at++) {
      await watching.due(did, 'document')
      do await watching.fence.watch()
      while ((await watchRow(oldDatabase, did)).document_due_at_ms === 0)
      expect(await old.alice.exchange(forum)).toMatchObject(refused(400, 'SpaceNotFound'))
      old.world.clock.moveSec(60)
    }
    // What is made here is given here, by whoever owns it here.
    const garden = await world.makeSpace(ada, did, { skey: 'main' })
    expect(await ada.exchange(garden)).toMatchObject({ status: 200 })
    expect(await takeIn(did)).toMatchObject({ body: { status: 'active' } })
  })

  it('is a community like any other then: it may be given a handle, and come to its end', async () => {
    const { did, key } = await leaving()
    await moveTo(old.plc, did, key, await waiting(did), { alsoKnownAs: [] })
    await takeIn(did)
    expect(await ada.call(SET, { community: did, remove: true })).toMatchObject({
      status: 200,
      body: { status: 'confirmed' },
    })
    expect(await ada.call('community.reeve.community.delete', { community: did, dryRun: true })).toMatchObject({
      status: 200,
    })
    expect(await ada.ask(GET, { community: did })).toMatchObject({
      body: { custody: 'memberHeld', recoveryKey: key.didKey },
    })
  })

  it('is found by the worker, without anybody asking again', async () => {
    const { did, key } = await leaving()
    await moveTo(old.plc, did, key, await waiting(did))
    await sql`update arrival set due_at_ms = 0 where did = ${did}`.execute(database.db)
    do await watchArrivals(ctx())
    while ((await arrivalsOf(did))[0]?.state === 'waiting')
    await expectOpened(did)
  })

  it('is answered alike however often it is asked for, also at once', async () => {
    const { did } = await leaving()
    const first = await waiting(did)
    const again = await Promise.all([1, 2, 3, 4].map(() => waiting(did)))
    for (const statement of again) expect(statement).toEqual(first)
    const { did: other } = await leaving()
    const together = await Promise.all([1, 2, 3, 4].map(() => waiting(other)))
    expect(new Set(together.map(({ rotationKey }) => rotationKey)).size).toBe(1)
    expect(await keysOf(other)).toHaveLength(3)
  })

  it('is told in words in what its document differs still', async () => {
    const { did, key } = await leaving()
    const differs = async () => {
      const { body } = await takeIn(did)
      return body.differences.map(({ name }: { name: string }) => name)
    }
    const home = await waiting(did)
    expect(await differs()).toEqual([
      'atproto',
      'atproto_space',
      'atproto_space_host',
      'atproto_pds',
      'rotationKey',
      'rotationKeys',
    ])
    const former = (await inForce(old.plc, did)).rotationKeys.at(-1) ?? ''
    await moveTo(old.plc, did, key, home, { rotationKeys: [key.didKey, former, home.rotationKey] })
    expect(await differs()).toEqual(['formerKey'])
    await moveTo(old.plc, did, key, home, { rotationKeys: [key.didKey, former, home.rotationKey], alsoKnownAs: [] })
    expect(await differs()).toEqual(['formerKey'])
    await moveTo(old.plc, did, key, home, { rotationKeys: [key.didKey, home.rotationKey, former] })
    expect(await differs()).toEqual(['rotationKey', 'rotationKeys'])
    await moveTo(old.plc, did, key, home, { services: {} })
    expect(await differs()).toEqual(['atproto_space_host', 'atproto_pds'])
    await moveTo(old.plc, did, key, home)
    expect(await takeIn(did)).toMatchObject({ body: { status: 'active' } })
  })

  it('hears with its statement the fingerprint of it, and another person hears another', async () => {
    const { did } = await leaving()
    const heard = new Set<string>()
    for (const by of [ada, eve, ada]) {
      const { body } = await takeIn(did, by)
      const statement = parseNewHome(body.statement)
      expect(body.fingerprint).toMatch(/^([0-9a-f]{4} ){4}[0-9a-f]{4}$/)
      expect(statement && fingerprintOfNewHome(statement)).toBe(body.fingerprint)
      heard.add(body.fingerprint)
    }
    expect(heard.size).toBe(2)
  })

  it('without a key of its own above ours does not come', async () => {
    const { did, key } = await leaving()
    const home = await waiting(did)
    await moveTo(old.plc, did, key, home, { rotationKeys: [home.rotationKey] })
    expect(await takeIn(did)).toMatchObject({ body: { status: 'waiting', differences: [{ name: 'communityKey' }] } })
  })

  it('belongs to the one whose keys it names, whoever asked first; the others’ are destroyed', async () => {
    const { did, key } = await leaving()
    await waiting(did, eve)
    const home = await waiting(did, ada)
    expect(await keysOf(did)).toHaveLength(6)
    await moveTo(old.plc, did, key, home)
    expect(await takeIn(did, eve)).toMatchObject(refused(403, 'Forbidden'))
    await expectOpened(did)
    expect((await keysOf(did)).map(({ arrival }) => arrival)).toEqual([null, null, null])
    expect(await arrivalsOf(did)).toMatchObject([
      { caller: eve.did, state: 'lapsed' },
      { caller: ada.did, state: 'opened' },
    ])
  })

  it('that nobody moves in a week is late, and lapses a week later, and its keys are gone; not while nobody knows, or it names one of them', async () => {
    const { did } = await leaving()
    const { did: half, key } = await leaving()
    const first = await waiting(did)
    const home = await waiting(half)
    await moveTo(old.plc, half, key, home, { services: {} })
    const after = (ms: number) => ({
      ...ctx(),
      clock: { ...world.clock, nowMs: () => world.clock.nowMs() + ms + 1_000 },
    })
    const late = after(ARRIVAL_MS)
    old.plc.misbehave(() => 'cut')
    await expect(walkArrivals(late, did)).rejects.toMatchObject({ code: 'UpstreamFailure' })
    old.plc.misbehave(({ kind }) => (kind === 'log' ? json(404) : undefined))
    await walkArrivals(late, did)
    expect(await keysOf(did)).toHaveLength(3)
    old.plc.misbehave(null)
    await walkArrivals(late, half)
    expect(await keysOf(half)).toHaveLength(3)
    await walkArrivals(late, did)
    expect(await keysOf(did)).toHaveLength(3)
    expect(await arrivalsOf(did)).toMatchObject([{ state: 'late' }])
    // Whoever asks now is given other keys.
    expect(await waiting(did)).not.toEqual(first)
    await walkArrivals(after(ARRIVAL_MS + LATE_MS - 2_000), did)
    expect((await arrivalsOf(did)).map(({ state }) => state).sort()).toEqual(['late', 'late'])
    await walkArrivals(after(ARRIVAL_MS + LATE_MS), did)
    expect((await arrivalsOf(did)).map(({ state }) => state)).toEqual(['lapsed', 'lapsed'])
    expect(await keysOf(did)).toEqual([])
  })

  it('whose document an old state of the directory hid for a week comes all the same (22)', async () => {
    const { did, key } = await leaving()
    const home = await waiting(did)
    const stale = await world.reeve.house.directory.readLog(did)
    await moveTo(old.plc, did, key, home)
    const nowMs = () => world.clock.nowMs() + ARRIVAL_MS + 1_000
    const behind = { ...ctx(), clock: { ...world.clock, nowMs }, directory: { readLog: async () => stale } }
    for (let at = 0; at < 3; at++) await walkArrivals(behind, did)
    expect(await arrivalsOf(did)).toMatchObject([{ state: 'late' }])
    await walkArrivals(ctx(), did)
    await expectOpened(did)
    expect(await takeIn(did)).toMatchObject({ body: { status: 'active' } })
  })

  describe('in a process that breaks', () => {
    it.each(['before', 'after'] as const)('%s a touch, at every one of them, goes on from there', async (when) => {
      let at = 1
      for (; ; at++) {
        await sql`update arrival set state = 'lapsed' where state = 'waiting'`.execute(database.db)
        const { did, key } = await leaving()
        const { wrap, isBroken } = crashAt(at, when)
        const house = ctx()
        const broken = {
          ...house,
          db: wrap<Db>(house.db, ['selectFrom', 'updateTable', 'insertInto', 'transaction']),
          directory: wrap(house.directory, ['readLog']),
          vault: wrap(house.vault, ['prepareArrival']),
        }
        const ask = () =>
          communityTakeIn(broken, ada.did, { did, name: 'Gardeners' } as never, {
            requestHash: new Uint8Array(32),
            idempotency: null,
          }).catch((error: unknown) => expect(error).toBeInstanceOf(Crash))
        await ask()
        // What was shown before is what is kept: nobody can have put other keys into a document.
        const home = await waiting(did)
        await moveTo(old.plc, did, key, home)
        await ask()
        expect(await takeIn(did)).toMatchObject({ body: { status: 'active' } })
        await expectOpened(did)
        expect(await keysOf(did)).toHaveLength(3)
        if (!isBroken()) break
      }
      expect(at).toBeGreaterThanOrEqual(12)
    })
  })

  describe('is refused by name', () => {
    it('(Forbidden) to whoever may not found here', async () => {
      const { did } = await leaving()
      const house = { ...ctx(), founders: new Set([eve.did]) }
      const call = { requestHash: new Uint8Array(32), idempotency: null }
      await expect(communityTakeIn(house, ada.did, { did, name: 'x' } as never, call)).rejects.toMatchObject({
        code: 'Forbidden',
      })
    })

    it('(InvalidRequest) for the caller themself, another kind of DID, one that isn’t there, or a hash that is none', async () => {
      const { did } = await leaving()
      expect(await takeIn(ada.did)).toMatchObject(refused(400, 'InvalidRequest'))
      expect(await takeIn('did:web:example.com' as Did)).toMatchObject(refused(400, 'InvalidRequest'))
      expect(await takeIn(`did:plc:${'q'.repeat(24)}` as Did)).toMatchObject(refused(400, 'InvalidRequest'))
      expect(await takeIn(did, ada, { rollSha256: 'X'.repeat(64) })).toMatchObject(refused(400, 'InvalidRequest'))
    })

    it('(PlcConflict) for one that has ended', async () => {
      const somebody = await makeSomebody(old.plc.honestUrl)
      await endDid(old.plc.honestUrl, somebody)
      expect(await takeIn(somebody.did)).toMatchObject(refused(409, 'PlcConflict'))
    })

    it('(502, nothing begun) while the directory says nothing that can be believed', async () => {
      const { did } = await leaving()
      for (const answer of ['cut', json(200, [])] as const) {
        old.plc.misbehave((ask) => (ask.kind === 'log' && ask.did === did ? answer : undefined))
        expect(await takeIn(did)).toMatchObject({ status: 502 })
      }
      expect(await keysOf(did)).toEqual([])
    })

    it('(Forbidden) when it is a community here, or was and has left', async () => {
      const key = makeKey('k256')
      const did = await world.found(ada, { custody: memberHeld(world, ada, key) })
      expect(await takeIn(did)).toMatchObject(refused(403, 'Forbidden'))
      await sql`insert into plc_watch (community, head_cid, operations, read_at_ms, due_at_ms, document_due_at_ms, left_at_ms)
        values (${did}, 'x', 1, 0, 9e15, 9e15, 1)`.execute(database.db)
      const answer = await takeIn(did)
      expect(answer).toMatchObject(refused(403, 'Forbidden'))
      expect(answer.body.message).toContain('has left')
    })

    it('(RateLimitExceeded) beyond some of one person at once; another person is not kept from any of them', async () => {
      const dids = []
      for (let at = 0; at <= WAITING_OF_CALLER_MAX; at++) dids.push((await makeSomebody(old.plc.honestUrl)).did)
      for (const did of dids.slice(0, WAITING_OF_CALLER_MAX)) await waiting(did, eve)
      const last = dids.at(-1) ?? ada.did
      expect(await takeIn(last, eve)).toMatchObject(refused(429, 'RateLimitExceeded'))
      await waiting(last, ada)
    })

    it('(IdempotencyConflict) under a key that was used for another call', async () => {
      const { did } = await leaving()
      const { did: other } = await leaving()
      const idempotencyKey = freshJti()
      const first = await waiting(did, ada, { idempotencyKey })
      expect(await waiting(did, ada, { idempotencyKey })).toEqual(first)
      expect(await takeIn(other, ada, { idempotencyKey })).toMatchObject(refused(409, 'IdempotencyConflict'))
    })
  })

  it('comes from anywhere: a DID of somebody’s own tools, by the one key that it had', async () => {
    const somebody = await makeSomebody(old.plc.honestUrl)
    const home = await waiting(somebody.did)
    const operation = {
      type: 'plc_operation',
      rotationKeys: [somebody.key.didKey, home.rotationKey],
      verificationMethods: home.verificationMethods,
      alsoKnownAs: [],
      services: home.services,
      prev: await headOf(old.plc.honestUrl, somebody.did),
    }
    await submitOperation(old.plc.honestUrl, somebody.did, signed(somebody.key, operation))
    expect(await takeIn(somebody.did)).toMatchObject({ body: { status: 'active' } })
    // It stood alone before: it may have been a former service's. Somebody has to say who holds it.
    await expectOpened(somebody.did, ada, null)
    const { tasks } = (await ada.ask('community.reeve.key.list', { community: somebody.did })).body
    expect(tasks).toMatchObject([{ name: 'recoveryHolderUnknown' }])
    expect(personOf(world, somebody.did, somebody.key).did).toBe(somebody.did)
  })
})
