/**
 * Registering to hear of writes: which services are taken and where they may be, who may have how many, who may withdraw what, and
 * that limits hold whoever asks at once.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { forgetExpired } from '../../src/notify/registration-store.ts'
import type { Tx } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { besides, recordDials } from '../kit/dialled.ts'
import { auditRows, BINDINGS, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { freePort } from '../kit/ports.ts'
import { type Held, jtiOf, obtain, presentationOf } from '../kit/presentation.ts'
import {
  forgetRegistrations,
  putRegistrations,
  putWriters,
  REGISTER,
  register,
  registrations,
  saidOf,
  unregister,
} from '../kit/registering.ts'
import { MISBEHAVIOURS, type Syncer, startSyncer } from '../kit/syncer.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { type Person, sendRaw, UNLIMITED } from '../kit/world.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const APP = 'https://boards.example.com/client.json'
const FOREIGN = 'at://did:plc:cccccccccccccccccccccccc/space/com.atmoboards.forum/main'
const bindings = BINDINGS.map((binding) => [binding] as const)

const syncers: Syncer[] = []
async function newSyncer(endpoint?: unknown): Promise<Syncer> {
  const syncer = await startSyncer()
  if (endpoint !== undefined) syncer.publish(endpoint)
  syncers.push(syncer)
  return syncer
}
const newSyncers = (count: number) => Promise.all(Array.from({ length: count }, () => newSyncer()))
afterAll(() => Promise.all(syncers.map((syncer) => syncer.close())))

/** Somebody in the forum, and a credential of theirs. */
async function newReader(scene: Scene): Promise<{ person: Person; held: Held }> {
  const person = await scene.world.person()
  await letIn(scene.alice, scene.forum, person.did)
  return { person, held: await obtain(scene, { binding: 'october', person }) }
}

/** As if the credential had been asked for by an app that proved which one it is. */
const askedForBy = (database: TestDatabase, held: Held, clientId: string) =>
  sql`update issuance set client_id = ${clientId} where jti = ${jtiOf(held)}`.execute(database.db)

describeOnEachEngine('a service', (open) => {
  let database: TestDatabase
  let scene: Scene
  let held: Held
  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    // What is registered is looked at here, and told nothing.
    await scene.world.reeve.house.dispatcher.stop()
  })
  afterAll(() => scene.close())
  beforeEach(async () => {
    await forgetRegistrations(database)
    held = await obtain(scene, { binding: 'october' })
  })

  const services = async () => (await registrations(database)).map(({ service }) => service)

  it.each(bindings)('is registered for a day, and again for a day from then (%s)', async (binding) => {
    const { clock } = scene.world
    const syncer = await newSyncer()
    held = await obtain(scene, { binding })
    const before = clock.nowMs()
    const first = await register(scene, held, syncer.service)
    expect(saidOf(first)).toBe('200')
    expect(Object.keys(first.body)).toEqual(['expiresAt'])
    expect(Date.parse(first.body.expiresAt)).toBeGreaterThanOrEqual(before + DAY_MS)
    expect(Date.parse(first.body.expiresAt)).toBeLessThanOrEqual(clock.nowMs() + DAY_MS)
    const [row] = await registrations(database)
    expect(row).toMatchObject({
      ...{ space: scene.forum, service: syncer.service, host: `http://localhost:${syncer.port}`, proved_at_ms: null },
      ...{ expires_at_ms: Date.parse(first.body.expiresAt), delivered_rev: 0 },
      sponsors: [`${scene.bob.did} `],
    })
    expect(row?.checked_revision).toBeGreaterThan(0)

    clock.moveSec(60)
    const second = await register(scene, held, syncer.service)
    expect(Date.parse(second.body.expiresAt)).toBeGreaterThanOrEqual(Date.parse(first.body.expiresAt) + 60_000)
    const after = await registrations(database)
    expect(after).toEqual([{ ...row, expires_at_ms: Date.parse(second.body.expiresAt) }])
    expect(syncer.told, 'nobody is called by registering').toEqual([])
  })

  it('hears of what is written from now on, and not of what was before', async () => {
    const space = await scene.world.makeSpace(scene.alice, scene.community)
    const firstRev = scene.world.clock.nowMs() * 1000
    await putWriters(database, space, { count: 3, firstRev })
    const syncer = await newSyncer()
    await register(scene, await obtain(scene, { binding: 'october', space, person: scene.alice }), syncer.service)
    expect(await registrations(database)).toMatchObject([{ delivered_rev: firstRev + 2 }])
  })

  it('is put on record with why its sponsor may read; renewing it says nothing more', async () => {
    const syncer = await newSyncer()
    const recorded = async () =>
      (await auditRows(database, 'notify.register')).filter(({ because }) => because['service'] === syncer.service)
    await register(scene, held, syncer.service)
    await register(scene, held, syncer.service)
    expect(await recorded()).toMatchObject([
      {
        ...{ actor: scene.bob.did, target: scene.forum },
        because: { done: 'registered', reasons: [{ rule: 'openToApps' }, { rule: 'edge' }], clientId: null },
      },
    ])
    const alices = await obtain(scene, { binding: 'august', person: scene.alice })
    await register(scene, alices, syncer.service)
    expect((await recorded()).map(({ because }) => because['done'])).toEqual(['registered', 'sponsored'])
  })

  it('is a PDS where only its DID is named', async () => {
    const syncer = await newSyncer()
    expect(saidOf(await register(scene, held, syncer.did))).toBe('200')
    expect(await services()).toEqual([syncer.did])
  })

  it('is refused by its name alone, and nobody is asked', async () => {
    const dials = recordDials()
    try {
      const [port] = [Number(new URL(scene.world.url).port)]
      const sync = 'did:web:sync.example.com'
      for (const service of [
        ...['sync.example.com', 'https://sync.example.com', '', '#sync', `${sync}#`, `${sync}#a#b`, `${sync}#sy nc`],
        ...[
          `${sync}#s\u0435ync`,
          'did:web:Sync.example.com#sync',
          'did:web:localhost%3a80#sync',
          'did:web:a.example:b#c',
        ],
        ...['did:web:10.0.0.1#sync', 'did:web:169.254.169.254', 'did:key:z6Mk#sync', ` ${sync}`, `${sync} `],
      ]) {
        const expected = service === '' ? '400 InvalidRequest' : '400 ServiceNotResolvable'
        expect(saidOf(await register(scene, held, service)), service).toBe(expected)
      }
      const storage = database.url ? Number(new URL(database.url.reveal()).port) : port
      expect(besides(dials.targets(), port, storage)).toEqual([])
      expect(dials.lookups()).toBe(0)
    } finally {
      dials.stop()
    }
    expect(await registrations(database)).toEqual([])
  })

  it('has a name of 512 characters, and not one more', async () => {
    const did = 'did:web:localhost%3A1#'
    expect(saidOf(await register(scene, held, did.padEnd(513, 'x')))).toBe('400 InvalidRequest')
    const long = await newSyncer()
    expect(saidOf(await register(scene, held, `${long.did}#`.padEnd(512, 'x')))).toBe('400 ServiceNotResolvable')
    expect(long.fetched()).toBe(1)
    for (const service of [1, null, {}, ['did:web:sync.example.com'], undefined]) {
      expect(saidOf(await register(scene, held, service))).toBe('400 InvalidRequest')
    }
  })

  it.each([
    ['a path', 'https://sync.example.com/xrpc'],
    ['a path at this machine', 'http://localhost:1/x'],
    ['a query', 'https://sync.example.com?a=b'],
    ['a question mark', 'https://sync.example.com?'],
    ['a fragment', 'https://sync.example.com#x'],
    ['user info', 'https://a:b@sync.example.com'],
    ['http', 'http://sync.example.com'],
    ['another port', 'https://sync.example.com:8443'],
    ['another scheme', 'ws://sync.example.com'],
    ['a private address', 'https://10.0.0.1'],
    ['a link-local address', 'http://169.254.169.254'],
    ['an IPv6 loopback', 'http://[::1]:80'],
    ['a number for an address', 'https://167772161'],
    ['a private name', 'https://sync.internal'],
    ['a name without a dot', 'https://sync'],
    ['a list', ['https://sync.example.com']],
    ['an object', { uri: 'https://sync.example.com' }],
    ['nothing', null],
    ['a number', 1],
  ])('at %s is not called, and not registered', async (_what, endpoint) => {
    const syncer = await newSyncer(endpoint ?? '')
    const dials = recordDials()
    try {
      expect(saidOf(await register(scene, held, syncer.service))).toBe('400 ServiceNotResolvable')
      const ports = [syncer.port, Number(new URL(scene.world.url).port)]
      const storage = database.url ? Number(new URL(database.url.reveal()).port) : syncer.port
      expect(besides(dials.targets(), ...ports, storage)).toEqual([])
      expect(dials.lookups()).toBe(0)
    } finally {
      dials.stop()
    }
    expect(await registrations(database)).toEqual([])
    expect(syncer.told).toEqual([])
  })

  it('at our own address is not registered, by whatever name', async () => {
    const own = new URL(scene.world.url)
    const aside = own.href.replace('localhost', '127.0.0.1').replace(/\/$/, '')
    for (const endpoint of [own.origin, aside]) {
      const syncer = await newSyncer(endpoint)
      expect(saidOf(await register(scene, held, syncer.service))).toBe('400 ServiceNotResolvable')
    }
    // Both of its services are at our address.
    for (const service of [scene.community, `${scene.community}#atproto_space_host`]) {
      expect(saidOf(await register(scene, held, service)), service).toBe('400 ServiceNotResolvable')
    }
    expect(await registrations(database)).toEqual([])
  })

  it('that its document doesn’t have, or of a DID that there isn’t, is not registered', async () => {
    const syncer = await newSyncer()
    for (const service of [`${syncer.did}#other`, `did:plc:${'z'.repeat(24)}#sync`, `${scene.bob.did}#sync`]) {
      expect(saidOf(await register(scene, held, service))).toBe('400 ServiceNotResolvable')
    }
    expect(await registrations(database)).toEqual([])
  })

  it('whose DID can’t be asked for is somebody else’s trouble, and no verdict', async () => {
    const gone = await startSyncer()
    await gone.close()
    expect(saidOf(await register(scene, held, gone.service))).toBe('502 UpstreamFailure')
    expect(await registrations(database)).toEqual([])
  })

  it('is resolved before the space is looked at, and the space comes next', async () => {
    const syncer = await newSyncer()
    expect(saidOf(await register(scene, held, 'nothing', { asked: FOREIGN }))).toBe('400 ServiceNotResolvable')
    expect(saidOf(await register(scene, held, syncer.service, { asked: FOREIGN }))).toBe('400 InvalidCredential')
    expect(saidOf(await unregister(scene, held, syncer.service, { asked: FOREIGN }))).toBe('400 InvalidCredential')
    expect(await registrations(database)).toEqual([])
  })

  it.each(bindings)('is registered with a proof for just that (%s)', async (binding) => {
    const syncer = await newSyncer()
    held = await obtain(scene, { binding })
    const refused =
      binding === 'august'
        ? [
            ['401 MissingDpopProof', { proofLines: [] }],
            ['401 BadDpopProof', { proof: { method: 'GET' } }],
            ['401 BadDpopProof', { proof: { url: `${scene.world.url}/xrpc/com.atproto.simplespace.getSpace` } }],
          ]
        : [
            ['401 BadSpaceSignature', { proofLines: [] }],
            ['401 BadSpaceAudience', { audience: scene.bob.did }],
          ]
    for (const [expected, how] of refused as [string, object][]) {
      expect(saidOf(await register(scene, held, syncer.service, how))).toBe(expected)
      expect(saidOf(await unregister(scene, held, syncer.service, how)).slice(0, 3)).toBe('401')
    }
    expect(await registrations(database)).toEqual([])
  })

  it('is not registered by anybody who may not read any more', async () => {
    const { person, held: theirs } = await newReader(scene)
    const syncer = await newSyncer()
    await scene.alice.call('community.reeve.member.remove', { space: scene.forum, did: person.did })
    expect(saidOf(await register(scene, theirs, syncer.service))).toBe('401 CredentialRevoked')
    expect(saidOf(await unregister(scene, theirs, syncer.service))).toBe('401 CredentialRevoked')
    expect(await registrations(database)).toEqual([])
    expect(syncer.fetched()).toBe(0)
  })

  it('is withdrawn with an empty answer, whether it was there or not', async () => {
    const syncer = await newSyncer()
    await register(scene, held, syncer.service)
    const fetched = syncer.fetched()
    for (const service of [syncer.service, syncer.service, 'did:web:sync.example.com#nobody', 'nothing']) {
      const answer = await unregister(scene, held, service)
      expect([answer.status, answer.body]).toEqual([200, ''])
    }
    expect(await registrations(database)).toEqual([])
    expect(syncer.fetched(), 'it is not resolved again').toBe(fetched)
    const entries = (await auditRows(database, 'notify.unregister')).filter(
      ({ because }) => because['service'] === syncer.service,
    )
    expect(entries.map(({ actor, because }) => [actor, because['done']])).toEqual([[scene.bob.did, 'ended']])
  })

  it('is withdrawn for themself by each of several sponsors, and ends with the last', async () => {
    const syncer = await newSyncer()
    const other = await newReader(scene)
    await register(scene, held, syncer.service)
    await register(scene, other.held, syncer.service)
    await unregister(scene, held, syncer.service)
    expect(await registrations(database)).toMatchObject([{ sponsors: [`${other.person.did} `] }])
    await unregister(scene, held, syncer.service)
    expect(await services()).toEqual([syncer.service])
    await unregister(scene, other.held, syncer.service)
    expect(await registrations(database)).toEqual([])
  })

  it('stays when somebody else would withdraw it, which is on record for those who stand here', async () => {
    const syncer = await newSyncer()
    const other = await newReader(scene)
    await register(scene, held, syncer.service)
    const before = await registrations(database)
    expect((await unregister(scene, other.held, syncer.service)).status).toBe(200)
    expect(await registrations(database)).toEqual(before)
    const entries = (await auditRows(database, 'notify.unregister')).filter(({ actor }) => actor === other.person.did)
    expect(entries).toMatchObject([{ because: { done: 'nothing', service: syncer.service } }])

    // A stranger to the community, whom the space is open to, leaves no trace.
    const space = await scene.world.makeSpace(scene.alice, scene.community, {
      readPolicy: { $type: 'com.atproto.simplespace.defs#publicPolicy' },
    })
    const bobs = await obtain(scene, { binding: 'october', space, person: scene.bob })
    await register(scene, bobs, syncer.service)
    const strangers = await obtain(scene, { binding: 'october', space, person: scene.carol })
    expect((await unregister(scene, strangers, syncer.service)).status).toBe(200)
    expect((await services()).filter((service) => service === syncer.service)).toHaveLength(2)
    const kept = await auditRows(database, 'notify.unregister')
    expect(kept.filter(({ actor }) => actor === scene.carol.did)).toEqual([])
  })

  it('is ended by the app that registered it, for whomever it asks, and by no other app', async () => {
    const syncer = await newSyncer()
    const [second, third] = [await newReader(scene), await newReader(scene)]
    await askedForBy(database, held, APP)
    await askedForBy(database, second.held, APP)
    await askedForBy(database, third.held, APP)
    await register(scene, held, syncer.service)
    await register(scene, second.held, syncer.service)
    expect((await registrations(database))[0]?.sponsors).toHaveLength(2)
    // The same person with an app that proves nothing is another sponsor, and none of these.
    const plain = await obtain(scene, { binding: 'october' })
    await unregister(scene, plain, syncer.service)
    expect((await registrations(database))[0]?.sponsors).toHaveLength(2)
    await unregister(scene, third.held, syncer.service)
    expect(await registrations(database)).toEqual([])
  })

  it('is not ended for others by an app that came to sponsor it: that takes back what it said itself', async () => {
    const syncer = await newSyncer()
    const [other, third] = [await newReader(scene), await newReader(scene)]
    await askedForBy(database, other.held, APP)
    await askedForBy(database, third.held, APP)
    await register(scene, held, syncer.service)
    await register(scene, other.held, syncer.service)
    await register(scene, third.held, syncer.service)
    await unregister(scene, other.held, syncer.service)
    expect(await registrations(database)).toMatchObject([
      { service: syncer.service, ended_at_ms: null, sponsors: [`${scene.bob.did} `] },
    ])
    const entries = (await auditRows(database, 'notify.unregister')).filter(({ actor }) => actor === other.person.did)
    expect(entries.map(({ because }) => because['done'])).toEqual(['withdrawn'])
  })

  it('that is renewed after its time begins anew', async () => {
    const syncer = await newSyncer()
    await register(scene, held, syncer.service)
    const nowMs = scene.world.clock.nowMs()
    await sql`update registration set expires_at_ms = ${nowMs - 1}, gaps = 5, failures = 3`.execute(database.db)
    const [old] = await registrations(database)
    const alices = await obtain(scene, { binding: 'october', person: scene.alice })
    expect(saidOf(await register(scene, alices, syncer.service))).toBe('200')
    const rows = await registrations(database)
    expect(rows).toMatchObject([{ sponsors: [`${scene.alice.did} `], failures: 0 }])
    expect(rows[0]?.id).not.toBe(old?.id)
  })

  it('whose time is over is forgotten, a few at a time, and one that waits for word of the end a day later', async () => {
    const { db } = database
    const nowMs = scene.world.clock.nowMs()
    const at = (service: string, expiresAtMs: number, endedAtMs: number | null = null) => ({
      ...{ space: scene.forum, service, expiresAtMs, endedAtMs },
    })
    await putRegistrations(database, [
      { ...at('over 1', nowMs - 2), sponsors: [scene.bob.did] },
      at('over 2', nowMs),
      at('lives', nowMs + 1),
      at('hears of the end', nowMs - 1, nowMs - DAY_MS + 1),
      at('heard nothing', nowMs - 1, nowMs - DAY_MS),
    ])
    expect(await forgetExpired(db, nowMs, 1)).toBe(1)
    expect(await forgetExpired(db, nowMs, 10)).toBe(2)
    expect(await forgetExpired(db, nowMs, 10)).toBe(0)
    expect(await services()).toEqual(['lives', 'hears of the end'])
    const left = await sql`select * from registration_sponsor`.execute(db)
    expect(left.rows).toEqual([])
  })

  describe('of a space that has ended', () => {
    it('is not registered any more, and may be withdrawn from hearing of the end', async () => {
      const { alice, world, community } = scene
      const space = await world.makeSpace(alice, community)
      await letIn(alice, space, scene.bob.did)
      const theirs = await obtain(scene, { binding: 'october', space })
      const [first, second] = await newSyncers(2)
      await register(scene, theirs, first?.service)
      expect((await alice.call('community.reeve.space.delete', { space })).status).toBe(200)
      expect(saidOf(await register(scene, theirs, second?.service))).toBe('400 SpaceNotFound')
      expect(saidOf(await register(scene, theirs, 'nothing'))).toBe('400 ServiceNotResolvable')
      await sql`update registration set ended_at_ms = ${world.clock.nowMs()}`.execute(database.db)
      expect(saidOf(await unregister(scene, theirs, first?.service))).toBe('200')
      expect(await services()).toEqual([])
    })

    it('and was made again under its name, is registered in the new one and hears no more of the old', async () => {
      const syncer = await newSyncer()
      const nowMs = scene.world.clock.nowMs()
      const old = { space: scene.forum, service: syncer.service, expiresAtMs: nowMs + DAY_MS, endedAtMs: nowMs }
      await putRegistrations(database, [{ ...old, sponsors: [scene.alice.did] }])
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      expect(await registrations(database)).toMatchObject([{ ended_at_ms: null, sponsors: [`${scene.bob.did} `] }])
    })
  })

  describe('among many', () => {
    const soon = () => scene.world.clock.nowMs() + DAY_MS
    const others = (count: number, more: object = {}) =>
      Array.from({ length: count }, (_, nth) => ({
        ...{ space: scene.forum, service: `did:web:s${nth}.example.com#sync`, host: `https://s${nth}.example.com` },
        ...{ expiresAtMs: soon(), ...more },
      }))

    it('is the thousandth of a space, and no other after it', async () => {
      await putRegistrations(database, others(999))
      const [first, second] = await newSyncers(2)
      expect(saidOf(await register(scene, held, first?.service))).toBe('200')
      const before = await registrations(database)
      expect(saidOf(await register(scene, held, second?.service))).toBe('429 RateLimitExceeded')
      expect(await registrations(database)).toEqual(before)
      expect(saidOf(await register(scene, held, first?.service)), 'renewing takes no room').toBe('200')
      await sql`update registration set expires_at_ms = 1 where service = 'did:web:s0.example.com#sync'`.execute(
        database.db,
      )
      expect(saidOf(await register(scene, held, second?.service)), 'in place of one whose time is over').toBe('200')
    })

    it('of a stranger takes no room that is kept for those on the roll', async () => {
      const space = await scene.world.makeSpace(scene.alice, scene.community, {
        readPolicy: { $type: 'com.atproto.simplespace.defs#publicPolicy' },
      })
      await putRegistrations(database, others(749, { space }))
      const [first, second, third] = await newSyncers(3)
      const strangers = await obtain(scene, { binding: 'october', space, person: scene.carol })
      const members = await obtain(scene, { binding: 'october', space, person: scene.bob })
      expect(saidOf(await register(scene, strangers, first?.service))).toBe('200')
      expect(saidOf(await register(scene, strangers, second?.service))).toBe('429 RateLimitExceeded')
      expect(saidOf(await register(scene, strangers, first?.service)), 'renewing takes no room').toBe('200')
      expect(saidOf(await register(scene, members, third?.service))).toBe('200')
      expect(saidOf(await register(scene, strangers, third?.service)), 'nor does sponsoring').toBe('200')
    })

    it('is one of three that a person has in a space, whoever registered it first', async () => {
      const some = await newSyncers(4)
      const [first, , , fourth] = some
      const alices = await obtain(scene, { binding: 'october', person: scene.alice })
      for (const { service } of some.slice(0, 3)) expect(saidOf(await register(scene, held, service))).toBe('200')
      expect(saidOf(await register(scene, held, fourth?.service))).toBe('429 RateLimitExceeded')
      expect(saidOf(await register(scene, alices, fourth?.service))).toBe('200')
      expect(saidOf(await register(scene, held, fourth?.service)), 'to sponsor it is to have it').toBe(
        '429 RateLimitExceeded',
      )
      // With another app it is the same person.
      const more = await obtain(scene, { binding: 'october' })
      await askedForBy(database, more, APP)
      expect(saidOf(await register(scene, more, fourth?.service))).toBe('429 RateLimitExceeded')
      expect(saidOf(await register(scene, more, first?.service)), 'one that they have').toBe('200')
      expect(saidOf(await register(scene, held, first?.service))).toBe('200')
      const space = await scene.world.makeSpace(scene.alice, scene.community)
      await letIn(scene.alice, space, scene.bob.did)
      const there = await obtain(scene, { binding: 'october', space })
      expect(saidOf(await register(scene, there, fourth?.service)), 'in another space').toBe('200')
      await unregister(scene, held, some[1]?.service)
      expect(saidOf(await register(scene, held, fourth?.service))).toBe('200')
    })

    it('is one of eight at a host that never answered, over all spaces; once it answered there is no such limit', async () => {
      const receiver = await newSyncer()
      const syncer = await newSyncer(receiver.url)
      const host = `http://localhost:${receiver.port}`
      const elsewhere = await scene.world.found(scene.alice, { name: 'Fishers' })
      const space = await scene.world.makeSpace(scene.alice, elsewhere)
      const there = { space, service: `${syncer.did}#there`, host, expiresAtMs: soon() }
      const over = { space, service: `${syncer.did}#over`, host, expiresAtMs: 1 }
      await putRegistrations(database, [...others(6, { host }), there, over])
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      const before = await registrations(database)
      expect(saidOf(await register(scene, held, syncer.did))).toBe('429 RateLimitExceeded')
      expect(await registrations(database)).toEqual(before)
      expect(saidOf(await register(scene, held, syncer.service)), 'renewing takes no room').toBe('200')
      await sql`update registration set proved_at_ms = 7 where service = ${there.service}`.execute(database.db)
      expect(saidOf(await register(scene, held, syncer.did))).toBe('200')
      expect((await registrations(database)).at(-1)).toMatchObject({ service: syncer.did, proved_at_ms: 7 })
    })

    it('that its own host names is one of eight in a community, whatever others have called there', async () => {
      const syncer = await newSyncer()
      const host = `http://localhost:${syncer.port}`
      const elsewhere = await scene.world.found(scene.alice, { name: 'Squatters' })
      const space = await scene.world.makeSpace(scene.alice, elsewhere)
      const own = (within: string, count: number) =>
        others(count).map((one, nth) => ({ ...one, host, space: within, service: `${syncer.did}#quiet${nth}` }))
      // Nothing is ever written there, so none of them is ever found to answer, or not to.
      await putRegistrations(database, [...others(8, { host }), ...own(space, 8), ...own(scene.forum, 7)])
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      expect(saidOf(await register(scene, held, syncer.did))).toBe('429 RateLimitExceeded')
    })

    it('that moves to another host needs room there', async () => {
      const [syncer, crowded] = await newSyncers(2)
      if (!syncer || !crowded) throw new Error('no syncers')
      await register(scene, held, syncer.service)
      await sql`update registration set proved_at_ms = 7`.execute(database.db)
      await putRegistrations(database, others(8, { host: `http://localhost:${crowded.port}` }))
      syncer.publish(crowded.url)
      scene.world.reeve.house.documents.expire(syncer.did as Person['did'])
      expect(saidOf(await register(scene, held, syncer.service))).toBe('429 RateLimitExceeded')
      await sql`delete from registration where service = 'did:web:s0.example.com#sync'`.execute(database.db)
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      expect((await registrations(database))[0]).toMatchObject({
        ...{ service: syncer.service, host: `http://localhost:${crowded.port}`, proved_at_ms: null },
      })
    })

    /** A registration with some sponsors whom the community doesn't know. */
    async function sponsored(syncer: Syncer, who: string, count: number): Promise<readonly string[]> {
      const sponsors = Array.from({ length: count }, (_, nth) => `did:web:${who}${nth}.example.com`)
      const host = `http://localhost:${syncer.port}`
      const expiresAtMs = scene.world.clock.nowMs() + 60_000
      await putRegistrations(database, [{ space: scene.forum, service: syncer.service, host, expiresAtMs, sponsors }])
      return sponsors
    }

    it('has sixteen sponsors, and who comes after them renews it only', async () => {
      const syncer = await newSyncer()
      for (const did of await sponsored(syncer, 'member', 15))
        await letIn(scene.alice, scene.forum, did as Person['did'])
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      const [full] = await registrations(database)
      expect(full?.sponsors).toHaveLength(16)
      const later = await newReader(scene)
      scene.world.clock.moveSec(5)
      expect(saidOf(await register(scene, later.held, syncer.service))).toBe('200')
      const [after] = await registrations(database)
      expect(after?.sponsors).toEqual(full?.sponsors)
      expect(after?.expires_at_ms).toBeGreaterThan(full?.expires_at_ms ?? Infinity)
      await scene.alice.call('community.reeve.member.remove', { space: scene.forum, did: later.person.did })
    })

    it('has room for the word of somebody on the roll, also where sixteen strangers gave theirs before', async () => {
      const syncer = await newSyncer()
      const strangers = await sponsored(syncer, 'stranger', 16)
      await sql`update registration_sponsor set since_ms = 0 where did = ${strangers[7]}`.execute(database.db)
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      const left = [scene.bob.did, ...strangers.toSpliced(7, 1)].map((did) => `${did} `)
      expect((await registrations(database))[0]?.sponsors.toSorted()).toEqual(left.toSorted())
    })
  })
})

describe('whoever registers', () => {
  it('pays for the look-up of the service, and a slow host keeps nobody else waiting', OPENS_A_WORLD, async () => {
    const database = await openTestDatabase('embedded')
    const scene = await openScene(database)
    try {
      const taken: string[] = []
      const { buckets } = scene.world.reeve.house
      const take = buckets.take.bind(buckets)
      buckets.take = (name, key) => {
        taken.push(name)
        take(name, key)
      }
      const held = await obtain(scene, { binding: 'october' })
      const syncer = await newSyncer()
      syncer.misbehave(MISBEHAVIOURS.hangs)
      taken.splice(0)
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      expect(taken.toSorted()).toEqual(['exchange', 'exchangePerson', 'resolution'])
      taken.splice(0)
      expect(saidOf(await register(scene, held, syncer.service))).toBe('200')
      expect(taken.toSorted()).toEqual(['exchange', 'exchangePerson'])
    } finally {
      await scene.close()
    }
  })
})

describe.runIf(hasPostgres)('registrations at two processes at once', () => {
  let database: TestDatabase
  let scene: Scene
  let second: Reeve
  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    scene = await openScene(database)
    const { config, clock } = scene.world
    second = await openReeve(
      { ...config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock, log: silentLog, rates: UNLIMITED },
    )
    await scene.world.reeve.house.dispatcher.stop()
    await second.house.dispatcher.stop()
  })
  afterAll(async () => {
    await second.close()
    await scene.close()
  })
  beforeEach(() => forgetRegistrations(database))

  /** Sends them all at once, to one process and the other in turn, and answers how often each answer came. */
  async function atOnce(asked: readonly (readonly [Held, string])[]): Promise<Record<string, number>> {
    const urls = [scene.world.url, `http://localhost:${second.port}`]
    const answers = await Promise.all(
      asked.map(([held, service], at) => {
        const procedure = { nsid: REGISTER, body: { space: held.space, service } }
        return sendRaw(urls[at % 2] ?? '', presentationOf(scene.world, held, { procedure }))
      }),
    )
    const said = Map.groupBy(answers.map(saidOf), (one) => one)
    return Object.fromEntries([...said].map(([one, many]) => [one, many.length]))
  }

  it('are three of a person', async () => {
    const held = await obtain(scene, { binding: 'october' })
    const some = await newSyncers(12)
    const said = await atOnce(some.map(({ service }) => [held, service] as const))
    expect(said).toEqual({ '200': 3, '429 RateLimitExceeded': 9 })
    expect(await registrations(database)).toHaveLength(3)
  })

  it('are a thousand of a space', async () => {
    const expiresAtMs = scene.world.clock.nowMs() + DAY_MS
    await putRegistrations(
      database,
      Array.from({ length: 996 }, (_, nth) => ({
        ...{
          space: scene.forum,
          service: `did:web:s${nth}.example.com#sync`,
          host: `https://s${nth}.example.com`,
          expiresAtMs,
        },
      })),
    )
    const some = await newSyncers(12)
    const readers = await Promise.all(some.map(() => newReader(scene)))
    const said = await atOnce(some.map(({ service }, at) => [readers[at]?.held as Held, service] as const))
    expect(said).toEqual({ '200': 4, '429 RateLimitExceeded': 8 })
    expect(await registrations(database)).toHaveLength(1_000)
  })

  it('are eight at a host, whatever the space', async () => {
    const syncer = await newSyncer()
    const asked: (readonly [Held, string])[] = []
    for (let nth = 0; nth < 12; nth++) {
      const space = await scene.world.makeSpace(scene.alice, scene.community)
      const held = await obtain(scene, { binding: 'october', space, person: scene.alice })
      asked.push([held, syncer.service])
    }
    expect(await atOnce(asked)).toEqual({ '200': 8, '429 RateLimitExceeded': 4 })
    expect(await registrations(database)).toHaveLength(8)
  })

  it('of one service are one, with sixteen sponsors at most', async () => {
    const syncer = await newSyncer()
    const readers = await Promise.all(Array.from({ length: 18 }, () => newReader(scene)))
    expect(await atOnce(readers.map(({ held }) => [held, syncer.service] as const))).toEqual({ '200': 18 })
    const rows = await registrations(database)
    expect(rows).toHaveLength(1)
    expect(rows[0]?.sponsors).toHaveLength(16)
  })

  it('and writes at once: whoever registers starts where the writes stand, or is roused by the next', async () => {
    const { db } = database
    const space = await scene.world.makeSpace(scene.alice, scene.community)
    const held = await obtain(scene, { binding: 'october', space, person: scene.alice })
    await putWriters(database, space, { count: 1, firstRev: 1_000 })
    const syncer = await newSyncer()
    // Somebody is writing: the number is given out, and not seen yet.
    let asking: Promise<object> = Promise.resolve({})
    await db.transaction().execute(async (tx) => {
      await sql`update writer_set set last_rev = 2000 where space = ${space}`.execute(tx)
      asking = atOnce([[held, syncer.service]])
      await eventually('it waits for the write', () => somebodyWaitsFor(tx))
    })
    expect(await asking).toEqual({ '200': 1 })
    expect(await registrations(database)).toMatchObject([{ delivered_rev: 2000 }])
  })

  it('hold up writes in their space until they are there: what comes next rouses them', async () => {
    const { db } = database
    const space = await scene.world.makeSpace(scene.alice, scene.community)
    const held = await obtain(scene, { binding: 'october', space, person: scene.alice })
    await putWriters(database, space, { count: 1, firstRev: 1_000 })
    const syncer = await newSyncer()
    let asking: Promise<object> = Promise.resolve({})
    await db.transaction().execute(async (tx) => {
      // Where the last of its locks is taken, it stands still.
      const last = `reeve registration at ${syncer.url}`
      await sql`select pg_advisory_xact_lock(hashtextextended(${last}, 0))`.execute(tx)
      asking = atOnce([[held, syncer.service]])
      await eventually('it waits for the host', () => somebodyWaitsFor(tx))
      const written = await sql`select from writer_set where space = ${space} for no key update skip locked`.execute(tx)
      expect(written.rows).toEqual([])
    })
    expect(await asking).toEqual({ '200': 1 })
  })

  /** Whether some other statement waits for what this transaction holds. */
  async function somebodyWaitsFor(tx: Tx): Promise<boolean | undefined> {
    const { rows } = await sql<{ waits: boolean }>`select exists (
      select from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid))) as waits`.execute(tx)
    return rows[0]?.waits
  }
})
