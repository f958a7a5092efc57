/** Keys that owners enrol as their own: by which proof, what every owner sees of them, how one enrolment takes the place of another. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { listKeepers } from '../../src/membership/keeper-store.ts'
import { rosterOf } from '../../src/names.ts'
import { msOf } from '../../src/platform/clock.ts'
import { holdings } from '../doors/stage.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { holdWorker } from '../kit/held-worker.ts'
import { ENROL, enrol, enrolmentOf, makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { base64Url, makeKey, signBytes } from '../kit/tokens.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const LIST = 'community.reeve.key.list'
const END = 'community.reeve.key.endKeeper'
const refused = (status: number, error: string) => ({ status, body: { error } })

describeOnEachEngine('keys that owners enrol', (open) => {
  let database: TestDatabase
  let world: World

  beforeAll(async () => {
    database = await open()
    world = await openWorld({ database: holdWorker(database) })
  })
  afterAll(() => world.close())

  async function founded() {
    const alice = await world.person()
    return { alice, did: await world.found(alice) }
  }
  const put = async (by: Person, community: string, role: string) => {
    const person = await world.person()
    const space = rosterOf(community as Person['did']).uri
    await by.call('community.reeve.member.put', { space, did: person.did, role })
    return person
  }
  const expectTraceless = async (work: () => Promise<Answer>, expected: object) => {
    const before = await holdings(database.db)
    expect(await work()).toMatchObject(expected)
    expect(await holdings(database.db)).toEqual(before)
  }

  it('are shown to every owner: whose, since when, with a fingerprint, and are in the audit', async () => {
    const { alice, did } = await founded()
    const keys = await makeKeeperKeys()
    const answer = await alice.call(ENROL, enrolmentOf(world, { community: did, caller: alice.did, keys }))
    expect(answer).toMatchObject({ status: 200, body: { fingerprint: expect.any(String), revision: 2 } })
    const { fingerprint, countsFrom } = answer.body
    expect(fingerprint).toMatch(/^[0-9a-f]{4}( [0-9a-f]{4}){4}$/)
    const [keeper, ...others] = await listKeepers(database.db, did)
    expect(others).toEqual([])
    const { enrolledAtMs = 0 } = keeper ?? {}
    expect(keeper).toEqual({
      ...{ id: expect.any(String), did: alice.did, fingerprint, enrolledAtMs, countsFromMs: enrolledAtMs + 86_400_000 },
      ...{ sealKey: keys.sealKey, signKey: keys.signKey.didKey, suspendedAtMs: null },
    })
    expect(msOf(countsFrom)).toBe(enrolledAtMs + 86_400_000)
    const { entries } = (await alice.ask('community.reeve.audit.list', { community: did, limit: '1' })).body
    expect(entries[0]).toMatchObject({ action: 'key.enrolKeeper', actor: alice.did, subject: alice.did })
    expect(JSON.stringify(entries[0])).toContain(fingerprint)
  })

  it('over secp256k1 count as well', async () => {
    const { alice, did } = await founded()
    const keys = await makeKeeperKeys('k256')
    const enrolment = enrolmentOf(world, { community: did, caller: alice.did, keys })
    expect(await alice.call(ENROL, enrolment)).toMatchObject({ status: 200 })
  })

  it('have other fingerprints when either of the two is another', async () => {
    const { alice, did } = await founded()
    const [one, other] = [await makeKeeperKeys(), await makeKeeperKeys()]
    const seen = new Set<string>()
    for (const keys of [one, other, { ...one, sealKey: other.sealKey }, { ...one, signKey: other.signKey }]) {
      const answer = await alice.call(ENROL, enrolmentOf(world, { community: did, caller: alice.did, keys }))
      seen.add(answer.body.fingerprint)
    }
    expect(seen.size).toBe(4)
  })

  it('are one pair for each person: another enrolment takes the place, and the time begins anew', async () => {
    const { alice, did } = await founded()
    await enrol(world, alice, did)
    const [first] = await listKeepers(database.db, did)
    world.clock.moveSec(86_400)
    const keys = await enrol(world, alice, did)
    const [second, ...others] = await listKeepers(database.db, did)
    expect(others).toEqual([])
    expect(second).toMatchObject({ sealKey: keys.sealKey, signKey: keys.signKey.didKey })
    expect(second?.id).not.toBe(first?.id)
    expect((second?.enrolledAtMs ?? 0) - (first?.enrolledAtMs ?? 0)).toBeGreaterThanOrEqual(86_400_000)
  })

  describe('count', () => {
    const DAY_MS = 86_400_000
    const lasts = async (alice: Person, did: Person['did'], work: () => Promise<Answer>) => {
      const { status, body } = await work()
      expect(status).toBe(200)
      const { keepers } = (await alice.ask(LIST, { community: did })).body
      expect(keepers[0]).toMatchObject({ did: alice.did, countsFrom: body.countsFrom })
      return Date.parse(body.countsFrom) - Date.parse(keepers[0].enrolledAt)
    }
    async function enrolled() {
      const { alice, did } = await founded()
      const before = await enrol(world, alice, did)
      world.clock.moveSec(86_400)
      const input = enrolmentOf(world, { community: did, caller: alice.did, keys: await makeKeeperKeys() })
      return { alice, did, before, input }
    }

    it('a day later when they are the first', async () => {
      const { alice, did } = await founded()
      const input = enrolmentOf(world, { community: did, caller: alice.did, keys: await makeKeeperKeys() })
      expect(await lasts(alice, did, () => alice.call(ENROL, input))).toBe(DAY_MS)
    })

    it('three days later in the place of others: a stolen session is enough for that', async () => {
      const { alice, did, input } = await enrolled()
      expect(await lasts(alice, did, () => alice.call(ENROL, input))).toBe(3 * DAY_MS)
    })

    it('a day later when those before confirm them', async () => {
      const { alice, did, before, input } = await enrolled()
      const stepUp = stepUpOf(world, { person: alice, key: before.signKey, act: ENROL, input })
      expect(await lasts(alice, did, () => alice.call(ENROL, { ...input, stepUp }))).toBe(DAY_MS)
    })

    it('three days later also when those before were ended first, until that is three days ago', async () => {
      const { alice, did, input } = await enrolled()
      const end = () => alice.call(END, { community: did, did: alice.did })
      await end()
      world.clock.moveSec(2 * 86_400)
      expect(await lasts(alice, did, () => alice.call(ENROL, input))).toBe(3 * DAY_MS)
      await end()
      world.clock.moveSec(3 * 86_400)
      expect(await lasts(alice, did, () => alice.call(ENROL, input))).toBe(DAY_MS)
    })

    it('not at all when the confirmation is by the new ones, over other keys, or by some that don’t count themselves', async () => {
      const { alice, did, before, input } = await enrolled()
      const thief = await makeKeeperKeys()
      const theirs = enrolmentOf(world, { community: did, caller: alice.did, keys: thief })
      for (const stepUp of [
        stepUpOf(world, { person: alice, key: thief.signKey, act: ENROL, input: theirs }),
        stepUpOf(world, { person: alice, key: before.signKey, act: ENROL, input }),
      ]) {
        await expectTraceless(() => alice.call(ENROL, { ...theirs, stepUp }), refused(403, 'KeeperSignatureRequired'))
      }
      await alice.call(ENROL, theirs)
      const stepUp = stepUpOf(world, { person: alice, key: thief.signKey, act: ENROL, input })
      await expectTraceless(() => alice.call(ENROL, { ...input, stepUp }), refused(400, 'InvalidRequest'))
    })

    it('and are a red task for every owner until then: whose they are, which, from when, and what to do', async () => {
      const { alice, did, input } = await enrolled()
      const olga = await put(alice, did, 'owner')
      const { fingerprint, countsFrom } = (await alice.call(ENROL, input)).body
      for (const [name, from] of [
        ['community.reeve.community.get', 'alarms'],
        [LIST, 'tasks'],
      ] as const) {
        const [red] = (await olga.ask(name, { community: did })).body[from]
        expect(red.name).toBe('keeperEnrolled')
        for (const part of [alice.did, fingerprint, countsFrom, 'key.endKeeper']) expect(red.says).toContain(part)
      }
      world.clock.moveSec(3 * 86_400)
      const { tasks } = (await olga.ask(LIST, { community: did })).body
      expect(tasks.map(({ name }: { name: string }) => name)).not.toContain('keeperEnrolled')
    })
  })

  it('enrolled at once by one person leave one', async () => {
    const { alice, did } = await founded()
    await Promise.all(Array.from({ length: 4 }, () => enrol(world, alice, did)))
    expect(await listKeepers(database.db, did)).toHaveLength(1)
  })

  describe('are not enrolled', () => {
    it('with a proof for another community, person, service or recipient, or by another key, and nothing changes', async () => {
      const { alice, did } = await founded()
      const keys = await makeKeeperKeys()
      const of = (signed: object) => enrolmentOf(world, { community: did, caller: alice.did, keys, signed })
      const other = { community: did.replace(/.$/, (last) => (last === 'x' ? 'y' : 'x')) }
      const spoilt = [
        ...[of(other), of({ caller: 'did:web:eve.example.com' }), of({ service: 'did:web:elsewhere.example.com' })],
        ...[of({ sealKey: (await makeKeeperKeys()).sealKey }), { ...of({}), signKey: makeKey('p256').didKey }],
        ...[
          { ...of({}), proof: of({}).proof.slice(0, -1) },
          { ...of({}), proof: '' },
        ],
        { ...of({}), proof: base64Url(signBytes(keys.signKey, 'reeve-keeper-v1', 'high')) },
      ]
      for (const enrolment of spoilt) {
        await expectTraceless(() => alice.call(ENROL, enrolment), refused(403, 'KeeperSignatureRequired'))
      }
      expect(await alice.call(ENROL, of({}))).toMatchObject({ status: 200 })
    })

    it('with a high S, which is a second spelling of the same proof', async () => {
      const { alice, did } = await founded()
      const keys = await makeKeeperKeys()
      const words = ['reeve-keeper-v1', did, alice.did, world.config.serviceDid, keys.sealKey, keys.signKey.didKey]
      const proof = base64Url(signBytes(keys.signKey, words.join('\n'), 'high'))
      const enrolment = { community: did, sealKey: keys.sealKey, signKey: keys.signKey.didKey, proof }
      expect(await alice.call(ENROL, enrolment)).toMatchObject(refused(403, 'KeeperSignatureRequired'))
    })

    it('when they are none: another kind of recipient, a wrong checksum, capitals, a point of no use; another curve', async () => {
      const { alice, did } = await founded()
      const keys = await makeKeeperKeys()
      const { sealKey } = keys
      const last = sealKey.endsWith('q') ? 'p' : 'q'
      const none = [
        ...['', 'age1', sealKey.toUpperCase(), sealKey.slice(0, -1), sealKey.slice(0, -1) + last, keys.identity],
        // The neutral element: whatever is sealed to it, anybody opens, and the library refuses to.
        'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z',
        `age1tag1${sealKey.slice(4)}`,
      ]
      for (const text of none) {
        const enrolment = enrolmentOf(world, { community: did, caller: alice.did, keys: { ...keys, sealKey: text } })
        await expectTraceless(() => alice.call(ENROL, enrolment), refused(400, 'InvalidRequest'))
      }
      const ed25519 = { signKey: 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK' }
      const enrolment = enrolmentOf(world, { community: did, caller: alice.did, keys })
      await expectTraceless(() => alice.call(ENROL, { ...enrolment, ...ed25519 }), refused(400, 'InvalidRequest'))
    })

    it('by strangers, who learn nothing, nor by somebody who stands in a space alone', async () => {
      const { alice, did } = await founded()
      const keys = await makeKeeperKeys()
      const by = (person: Person) =>
        person.call(ENROL, enrolmentOf(world, { community: did, caller: person.did, keys }))
      const [eve, bob] = [await world.person(), await world.person()]
      await expectTraceless(() => by(eve), refused(404, 'NotFound'))
      const space = await world.makeSpace(alice, did)
      await alice.call('community.reeve.member.put', { space, did: bob.did, role: 'member' })
      await expectTraceless(() => by(bob), refused(403, 'Forbidden'))
    })
  })

  it('are enrolled by admins and members as well: everybody in the roster may be asked to keep a share', async () => {
    const { alice, did } = await founded()
    for (const role of ['member', 'admin']) {
      const person = await put(alice, did, role)
      const keys = await enrol(world, person, did)
      const enrolled = (await listKeepers(database.db, did)).find((keeper) => keeper.did === person.did)
      expect(enrolled).toMatchObject({ signKey: keys.signKey.didKey, suspendedAtMs: null })
    }
  })

  describe('end', () => {
    it('by who enrolled them, also when they are no owner any more', async () => {
      const { alice, did } = await founded()
      const olga = await put(alice, did, 'owner')
      await enrol(world, olga, did)
      await alice.call('community.reeve.member.put', { space: rosterOf(did).uri, did: olga.did, role: 'member' })
      expect(await olga.call(END, { community: did, did: olga.did })).toMatchObject({ status: 200 })
      expect(await listKeepers(database.db, did)).toEqual([])
    })

    it('by another owner, and by nobody else', async () => {
      const { alice, did } = await founded()
      const [olga, admin] = [await put(alice, did, 'owner'), await put(alice, did, 'admin')]
      await enrol(world, alice, did)
      const end = (by: Person) => by.call(END, { community: did, did: alice.did })
      await expectTraceless(() => end(admin), refused(403, 'Forbidden'))
      const eve = await world.person()
      await expectTraceless(() => end(eve), refused(404, 'NotFound'))
      expect(await end(olga)).toMatchObject({ status: 200 })
      expect(await listKeepers(database.db, did)).toEqual([])
      await expectTraceless(() => end(olga), refused(404, 'NotFound'))
      const { entries } = (await alice.ask('community.reeve.audit.list', { community: did, limit: '2' })).body
      expect(entries).toContainEqual(
        expect.objectContaining({ action: 'key.endKeeper', actor: olga.did, subject: alice.did }),
      )
    })
  })
})
