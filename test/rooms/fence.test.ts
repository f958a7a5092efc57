/** A community whose document names another home is not answered for here, and one odd answer of a directory shuts nobody out. */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { openFence } from '../../src/community/fence.ts'
import { watchLogs } from '../../src/community/plc-watcher.ts'
import { Hosted } from '../../src/membership/hosted.ts'
import type { Did } from '../../src/names.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { json, type Misbehaviour, stallAt } from '../kit/fake-plc.ts'
import { GET, type HandleWorld, inForce, openHandleWorld } from '../kit/handles.ts'
import { elsewhere, moveTo, putBack } from '../kit/moving.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { type Held, presentationOf } from '../kit/presentation.ts'
import { REGISTER } from '../kit/registering.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { makeKey, type TestKey } from '../kit/tokens.ts'
import { alarmsInAudit, type Watching, watchingOf, watchRow } from '../kit/watched.ts'
import { exchangeRequest, memberHeld } from '../kit/world.ts'
import { writeOf } from '../kit/writers.ts'

const NOT_FOUND = { status: 400, body: { error: 'SpaceNotFound' } }

describeOnEachEngine('a community that leaves', (open) => {
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

  interface Community {
    readonly did: Did
    readonly key: TestKey
    readonly forum: string
  }

  async function community(): Promise<Community> {
    const key = makeKey('k256')
    const did = await hers.world.found(hers.alice, { custody: memberHeld(hers.world, hers.alice, key) })
    const forum = await hers.world.makeSpace(hers.alice, did, { skey: 'main' })
    await watching.watch(did)
    return { did, key, forum }
  }

  /** One look at the document of a community, half a minute after the last. */
  async function look(did: Did): Promise<void> {
    hers.world.clock.moveSec(31)
    await watching.due(did, 'document')
    // The world's own worker, which finds nothing, may hold the row in this moment.
    for (let isDue = true; isDue; isDue = (await watchRow(database, did)).document_due_at_ms === 0) {
      await watching.fence.watch()
    }
  }

  const isServed = async ({ forum }: Community): Promise<boolean> => {
    const { status, body } = await hers.alice.exchange(forum)
    expect([200, 400]).toContain(status)
    if (status === 400) expect(body.error).toBe('SpaceNotFound')
    return status === 200
  }
  const hasLeft = async (did: Did) => (await watchRow(database, did)).left_at_ms !== null

  async function obtain(forum: string): Promise<Held> {
    const holder = makeKey('p256')
    const { did, key } = hers.alice
    const asked = { did, key, space: forum, binding: 'october' as const, holder }
    const answer = await hers.world.send(exchangeRequest(hers.world, asked))
    return { credential: String(answer.body.credential), holder, binding: 'october', space: forum }
  }

  it('is looked at now when it would be in a month, since a clock stepped (14)', async () => {
    const { did } = await community()
    await look(did)
    const farMs = hers.world.clock.nowMs() + 30 * 24 * 60 * 60 * 1000
    await sql`update plc_watch set document_due_at_ms = ${farMs} where community = ${did}`.execute(database.db)
    for (let isFar = true; isFar; isFar = (await watchRow(database, did)).document_due_at_ms === farMs) {
      await watching.fence.watch()
    }
    expect((await watchRow(database, did)).document_due_at_ms).toBeLessThan(hers.world.clock.nowMs() + 60_000)
  })

  it('is answered for by nobody from the next look on, at no way in (row 288)', async () => {
    const one = await community()
    const held = await obtain(one.forum)
    const asks = () =>
      Promise.all([
        hers.alice.exchange(one.forum),
        hers.alice.exchange(one.forum, 'august'),
        hers.world.send(presentationOf(hers.world, held)),
        hers.world.send(
          presentationOf(hers.world, held, {
            procedure: { nsid: REGISTER, body: { space: one.forum, service: hers.alice.did } },
          }),
        ),
        hers.world.send({
          ...presentationOf(hers.world, held),
          path: `/xrpc/com.atproto.space.listRepos?${new URLSearchParams({ space: one.forum })}`,
        }),
        hers.world.send({
          path: `/xrpc/community.reeve.space.describe?${new URLSearchParams({ space: one.forum })}`,
        }),
        hers.world.send(writeOf(hers.world, { writer: hers.alice, space: one.forum })),
        hers.world.send({
          path: `/xrpc/community.reeve.space.describe?${new URLSearchParams({ space: one.forum })}`,
        }),
      ])
    expect((await asks()).map(({ body }) => body?.error)).not.toContain('SpaceNotFound')
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await look(one.did)
    for (const answer of await asks()) expect(answer).toMatchObject(NOT_FOUND)
    expect(await watching.names(one.did)).toContain('movedAway')
    expect(await alarmsInAudit(database, one.did)).toContain('identity.alarm movedAway')
  })

  it('is looked at again within a minute', async () => {
    onTestFinished(stopClock(hers.world.clock))
    const { did } = await community()
    await look(did)
    const { document_at_ms: seenAtMs, document_due_at_ms: dueAtMs } = await watchRow(database, did)
    expect(dueAtMs - (seenAtMs ?? 0)).toBeGreaterThanOrEqual(44_000)
    expect(dueAtMs - (seenAtMs ?? 0)).toBeLessThanOrEqual(60_000)
  })

  it('has its keys forgotten: nothing is signed in its name any more', async () => {
    const one = await community()
    const { vault } = hers.world.reeve.house
    const use = {
      kind: 'service-auth',
      community: one.did,
      aud: hers.bob.did,
      iatSec: hers.world.clock.nowSec(),
      lxm: 'com.atproto.space.notifyCredentialRevoked',
      jti: 'a'.repeat(32),
    } as const
    expect(await vault.signServiceAuth(use)).toMatch(/^ey/)
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await look(one.did)
    await expect(vault.signServiceAuth(use)).rejects.toMatchObject({ code: 'KeyUnavailable' })
    await expect(vault.ready(one.did)).rejects.toMatchObject({ code: 'KeyUnavailable' })
  })

  it('is still there for its people, who may take their roll away', async () => {
    const one = await community()
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await look(one.did)
    const shown = await hers.alice.ask(GET, { community: one.did })
    expect(shown).toMatchObject({
      status: 200,
      body: { alarms: expect.arrayContaining([{ name: 'movedAway', says: expect.any(String) }]) },
    })
    expect(await hers.alice.ask('community.reeve.community.exportRoll', { community: one.did })).toMatchObject({
      status: 200,
    })
  })

  it('is back by itself when its document names us again', async () => {
    const one = await community()
    const before = await inForce(hers.plc, one.did)
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await look(one.did)
    expect(await isServed(one)).toBe(false)
    await putBack(hers.plc, one.did, one.key, before)
    await look(one.did)
    expect(await isServed(one)).toBe(true)
    expect(await watching.names(one.did)).not.toContain('movedAway')
    expect(await alarmsInAudit(database, one.did)).toContain('identity.alarmEnd movedAway')
  })

  it('by its end is not answered for either', async () => {
    const one = await community()
    const prev = await headOf(hers.plc.honestUrl, one.did)
    await submitOperation(hers.plc.honestUrl, one.did, signed(one.key, { type: 'plc_tombstone', prev }))
    await look(one.did)
    expect(await isServed(one)).toBe(false)
    expect(await watching.names(one.did)).toContain('ended')
    expect(await watching.names(one.did)).not.toContain('movedAway')
  })

  it('is found by the next reading of its log as well, which has the document looked at', async () => {
    const one = await community()
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await watching.due(one.did)
    do await watchLogs(watching.ctx)
    while ((await watchRow(database, one.did)).due_at_ms === 0)
    expect(await hasLeft(one.did)).toBe(false)
    expect((await watchRow(database, one.did)).document_due_at_ms).toBeLessThanOrEqual(hers.world.clock.nowMs())
    await look(one.did)
    expect(await hasLeft(one.did)).toBe(true)
  })

  it('is known to another process by what the first one found', async () => {
    const one = await community()
    const hosted = new Hosted()
    const told: string[] = []
    const vault = {
      forget: (did: Did) => void told.push(`forget ${did}`),
      recall: (did: Did) => void told.push(`recall ${did}`),
      letGo: () => {},
    }
    const other = openFence({ ...watching.ctx, hosted, vault })
    await other.follow()
    expect(await hosted.has(database.db, one.did)).toBe(true)
    const before = await inForce(hers.plc, one.did)
    await moveTo(hers.plc, one.did, one.key, elsewhere())
    await look(one.did)
    await other.follow()
    expect(await hosted.has(database.db, one.did)).toBe(false)
    await putBack(hers.plc, one.did, one.key, before)
    await look(one.did)
    await other.follow()
    expect(await hosted.has(database.db, one.did)).toBe(true)
    expect(told.filter((line) => line.endsWith(one.did))).toEqual([`forget ${one.did}`, `recall ${one.did}`])
  })

  describe('is not believed to', () => {
    const documents = (did: Did, answer: (said: object) => unknown): Misbehaviour => {
      return async ({ kind, did: asked }, forward) =>
        kind === 'document' && asked === did ? json(200, answer(JSON.parse((await forward()).body))) : undefined
    }

    it.each<[string, (did: Did) => Misbehaviour]>([
      ['says nothing', () => () => 'cut'],
      ['answers 500', () => () => json(500)],
      ['knows no such DID', (did) => (ask) => (ask.did === did ? json(404, { message: 'no' }) : undefined)],
      ['shows a document without keys', (did) => documents(did, (said) => ({ ...said, verificationMethod: [] }))],
      ['shows a document with another home', (did) => documents(did, (said) => ({ ...said, service: [] }))],
    ])('by a directory that %s', async (_says, how) => {
      const one = await community()
      hers.plc.misbehave(how(one.did))
      await look(one.did)
      expect(await hasLeft(one.did)).toBe(false)
      hers.plc.misbehave(null)
      expect(await isServed(one)).toBe(true)
    })

    it('while its document names a key that is not in use yet', async () => {
      const one = await community()
      const [next, other] = [makeKey('p256'), makeKey('p256')]
      await sql`insert into key (id, community, purpose, did_key, state, dek_version, sealed, created_at_ms, state_since_ms)
        select id || 'next', community, purpose, ${next.didKey}, 'pending', dek_version, sealed, 0, 0 from key
        where community = ${one.did} and purpose = 'space'`.execute(database.db)
      const { services } = await inForce(hers.plc, one.did)
      const home = {
        ...elsewhere(),
        services,
        verificationMethods: { atproto: other.didKey, atproto_space: next.didKey },
      }
      await moveTo(hers.plc, one.did, one.key, home)
      await look(one.did)
      expect(await hasLeft(one.did)).toBe(false)
    })

    it('nor back, by a document alone', async () => {
      const one = await community()
      const honest = await (await fetch(`${hers.plc.honestUrl}/${one.did}`)).json()
      await moveTo(hers.plc, one.did, one.key, elsewhere())
      await look(one.did)
      hers.plc.misbehave(documents(one.did, () => honest))
      await look(one.did)
      expect(await hasLeft(one.did)).toBe(true)
    })
  })

  describe('before a credential is given', () => {
    it('is looked at when the last look is five minutes old, once for all who ask', async () => {
      const one = await community()
      await look(one.did)
      await isServed(one)
      await moveTo(hers.plc, one.did, one.key, elsewhere())
      hers.world.clock.moveSec(240)
      expect(await isServed(one)).toBe(true)
      hers.world.clock.moveSec(61)
      hers.plc.forget()
      const answers = await Promise.all([1, 2, 3].map(() => hers.alice.exchange(one.forum)))
      for (const answer of answers) expect(answer).toMatchObject(NOT_FOUND)
      expect(hers.plc.count('document', one.did)).toBe(1)
    })

    it('is served on when the directory doesn’t say anything', async () => {
      const one = await community()
      await isServed(one)
      hers.world.clock.moveSec(301)
      const stall = stallAt(({ kind, did }) => kind === 'document' && did === one.did)
      hers.plc.misbehave(stall.how)
      expect(await isServed(one)).toBe(true)
      stall.letGo()
    })
  })
})
