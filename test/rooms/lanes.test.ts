/** How those who asked are told of writes: over real sockets, by the house's own dispatcher, with receivers that fail in every way there is. */
import { verifySignature } from '@atproto/crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openDispatcher } from '../../src/notify/dispatcher.ts'
import { openOutbound } from '../../src/platform/outbound.ts'
import { tidOf } from '../../src/platform/tid.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows, openScene, type Scene } from '../kit/exchange.ts'
import { addRegistration, noteWrite, type Registering, type RegistrationRow, registrationRow } from '../kit/lanes.ts'
import { freshDid } from '../kit/roll.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { MISBEHAVIOURS, type Syncer, startSyncer } from '../kit/syncer.ts'
import { freshJti } from '../kit/tokens.ts'
import { historyOf, WITHOUT_FAULT } from '../kit/told-history.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { hashOf } from '../kit/writers.ts'

const WRITE = 'com.atproto.space.notifyWrite'
const R = 'community.reeve'
const MINUTE = 60
const HOUR = 60 * MINUTE

const done = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
  const { status, body } = await answer
  if (status !== 200) throw new Error(JSON.stringify(body))
}

describeOnEachEngine('lanes', (open) => {
  let database: TestDatabase
  let scene: Scene
  /** Has the clock go on by itself. */
  let run: () => void
  const syncers: Syncer[] = []

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    // A lane that waits is looked at when the test says that its time has come, however long everything else takes.
    run = stopClock(scene.world.clock)
  })
  afterAll(async () => {
    await scene.close()
    await Promise.all(syncers.map((syncer) => syncer.close()))
  })

  const at = () => ({ db: database.db, nowMs: scene.world.clock.nowMs() })
  const later = (sec: number): void => scene.world.clock.moveSec(sec)
  const newSpace = async (): Promise<string> => {
    const space = await scene.world.makeSpace(scene.alice, scene.community, { skey: freshJti() })
    await done(scene.alice.call(`${R}.member.put`, { space, did: scene.bob.did, role: 'member' }))
    return space
  }
  const newSyncer = async (): Promise<Syncer> => {
    const syncer = await startSyncer()
    syncers.push(syncer)
    return syncer
  }
  const wrote = (space: string, repo: string = freshDid()) => noteWrite(at(), space, repo)
  const register = (asked: Omit<Registering, 'sponsors'> & Partial<Registering>) =>
    addRegistration(at(), { sponsors: [{ did: scene.bob.did }], ...asked })
  const row = (id: number) => registrationRow(database.db, id)
  /** A space with one receiver who answered before. */
  const proved = async (more: Partial<Registering> = {}) => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    const id = await register({ space, syncer, isProved: true, ...more })
    return { space, syncer, id }
  }
  const hears = (syncer: Syncer, count: number) =>
    eventually(`${count} messages`, async () => syncer.told.length >= count && syncer.told)
  /** Waits until the lane's turn is over and written down, so that what it says is final. */
  const settled = (id: number, what: (found: RegistrationRow) => boolean) =>
    eventually('the lane says so', async () => {
      const found = await row(id)
      return found && what(found) && found
    })
  /** Lets time go on for as long as a lane rests, again and again: a turn that is just being taken notes its rest only when it ends. */
  const restingUntil = (what: string, isSo: () => Promise<boolean>) =>
    eventually(what, async () => {
      later(6)
      return isSo()
    })
  const isTriedAgain = (id: number, after: number) =>
    restingUntil('it is tried again', async () => ((await row(id))?.turn ?? 0) > after)
  const ended = (id: number) => eventually('the registration ends', async () => (await row(id)) === null)
  /** Somebody else in the same space hears of something that was written now: whoever is due has been looked at by then. */
  const passing = async (space: string): Promise<void> => {
    const witness = await newSyncer()
    await register({ space, syncer: witness, isProved: true, sponsors: [{ did: scene.alice.did }] })
    await wrote(space)
    await hears(witness, 1)
  }

  it('tell what was written, in order, each with what came before it', async () => {
    const { space, syncer, id } = await proved()
    const [one, two] = [freshDid(), freshDid()]
    const first = await wrote(space, one)
    await hears(syncer, 1)
    const second = await wrote(space, two)
    const third = await wrote(space)
    const told = await hears(syncer, 3)
    expect(told.map(({ method }) => method)).toEqual([WRITE, WRITE, WRITE])
    expect(told[0]?.body).toEqual({
      space,
      repo: one,
      repoRev: first.repoRev,
      rev: first.repoRev,
      hash: { $bytes: hashOf(first.repoRev).toString('base64').replace(/=+$/, '') },
      spaceRev: tidOf(first.spaceRev),
    })
    expect(told[1]?.body).toMatchObject({
      repo: two,
      repoRev: second.repoRev,
      spaceRev: tidOf(second.spaceRev),
      prevSpaceRev: tidOf(first.spaceRev),
    })
    expect(told[2]?.body.prevSpaceRev).toBe(tidOf(second.spaceRev))
    const left = await settled(id, (found) => found.delivered_rev === third.spaceRev)
    expect(left).toMatchObject({ gaps: 0, failures: 0, last_error: null, last_rev: third.spaceRev })
    expect(historyOf(told, space)).toMatchObject(WITHOUT_FAULT)
  })

  it('begin where somebody registered: what was written before is not told', async () => {
    const space = await newSpace()
    const before = await wrote(space)
    const syncer = await newSyncer()
    await register({ space, syncer })
    await wrote(space)
    const [first] = await hears(syncer, 1)
    expect(first?.body.prevSpaceRev).toBe(tidOf(before.spaceRev))
  })

  it('tell the newest revision alone of what was written again and again meanwhile, and leave no gap', async () => {
    const { space, syncer, id } = await proved()
    const repo = freshDid()
    const before = await wrote(space, repo)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    later(2)
    syncer.misbehave(MISBEHAVIOURS.fails)
    await wrote(space, repo)
    await settled(id, ({ failures }) => failures > 0)
    let newest = before
    for (let count = 0; count < 10; count++) newest = await wrote(space, repo)
    const heard = syncer.told.length
    syncer.misbehave(null)
    later(MINUTE)
    await settled(id, ({ delivered_rev }) => delivered_rev === newest.spaceRev)
    expect(syncer.told).toHaveLength(heard + 1)
    expect(syncer.told.at(-1)?.body).toMatchObject({
      repoRev: newest.repoRev,
      spaceRev: tidOf(newest.spaceRev),
      prevSpaceRev: tidOf(before.spaceRev),
    })
  })

  it('tell by a token that the community signs for this one receiver, method and minute', async () => {
    const { space, syncer } = await proved()
    for (let count = 0; count < 3; count++) await wrote(space)
    const told = await hears(syncer, 3)
    const published = await (await fetch(`${scene.plc.honestUrl}/${scene.community}/data`)).json()
    const { verificationMethods } = published as { verificationMethods: { atproto: string } }
    for (const { token, claims, headers } of told) {
      const [header = '', payload = '', signature = ''] = token.split('.')
      const signed = Buffer.from(`${header}.${payload}`)
      expect(await verifySignature(verificationMethods.atproto, signed, Buffer.from(signature, 'base64url'))).toBe(true)
      expect(claims).toEqual({
        iss: scene.community,
        aud: syncer.service,
        lxm: WRITE,
        iat: expect.any(Number),
        exp: Number(claims['iat']) + 60,
        jti: expect.stringMatching(/^[0-9a-f]{32}$/),
      })
      expect(Math.abs(Number(claims['iat']) - scene.world.clock.nowSec())).toBeLessThan(30)
      expect(headers['content-type']).toBe('application/json')
    }
    expect(new Set(told.map(({ claims }) => claims['jti'])).size).toBe(3)
  })

  it('name a receiver without a fragment as it named itself, and call its PDS', async () => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    await register({ space, syncer, service: syncer.did })
    await wrote(space)
    const [first] = await hears(syncer, 1)
    expect(first?.claims['aud']).toBe(syncer.did)
  })

  it('show a gap to whoever refused one, and go on with the next', async () => {
    const { space, syncer, id } = await proved()
    await wrote(space)
    await hears(syncer, 1)
    syncer.misbehave(MISBEHAVIOURS.refuses)
    const refused = await wrote(space)
    await hears(syncer, 2)
    expect(await settled(id, ({ gaps }) => gaps === 1)).toMatchObject({
      delivered_rev: refused.spaceRev,
      failures: 1,
      last_error: 'status 400',
    })
    syncer.misbehave(null)
    await wrote(space)
    later(2)
    const told = await hears(syncer, 3)
    expect(told[2]?.body.prevSpaceRev).toBe(tidOf(refused.spaceRev))
    expect(
      historyOf(
        [0, 2].flatMap((index) => told[index] ?? []),
        space,
      ),
    ).toMatchObject({ ...WITHOUT_FAULT, gaps: 1 })
    expect(await settled(id, ({ failures }) => failures === 0)).toMatchObject({ gaps: 1, last_error: null })
  })

  it('try again with whoever does not hear, in whatever way, and hold up nobody else', async () => {
    const { space, syncer: well } = await proved()
    const first = await wrote(space)
    const ways = [
      ['hangs', 'timeout'],
      ['drips', 'timeout'],
      ['fails', 'status 500'],
      ['redirects', 'failed'],
      ['resets', 'failed'],
    ] as const
    const ill: { syncer: Syncer; id: number; error: string }[] = []
    for (const [way, error] of ways) {
      const syncer = await newSyncer()
      syncer.misbehave(MISBEHAVIOURS[way])
      ill.push({ syncer, error, id: await register({ space, syncer, isProved: true, after: 0 }) })
    }
    const second = await wrote(space)
    await hears(well, 2)
    // Those that say nothing are still waited for.
    expect(await row(ill[0]?.id ?? 0)).toMatchObject({ failures: 0 })
    for (const { id, error } of ill) {
      expect(await settled(id, ({ failures }) => failures > 0)).toMatchObject({
        delivered_rev: 0,
        gaps: 0,
        last_error: error,
      })
    }
    for (const { syncer } of ill) syncer.misbehave(null)
    later(HOUR)
    for (const { syncer, id } of ill) {
      expect(await settled(id, (found) => found.delivered_rev === second.spaceRev)).toMatchObject({
        failures: 0,
        failing_since_ms: null,
        last_error: null,
      })
      const taken = syncer.told.slice(-2)
      expect(taken.map(({ body }) => body.spaceRev)).toEqual([first.spaceRev, second.spaceRev].map((rev) => tidOf(rev)))
      expect(historyOf(taken, space)).toMatchObject(WITHOUT_FAULT)
    }
    expect(well.told).toHaveLength(2)
  })

  it('wait longer each time somebody does not hear', async () => {
    const { space, syncer, id } = await proved()
    syncer.misbehave(MISBEHAVIOURS.fails)
    await wrote(space)
    for (const failures of [1, 2, 3, 4]) {
      const left = await settled(id, (found) => found.failures === failures)
      const longestMs = 1000 * 2 ** (failures - 1)
      // When it failed lies between its turn and now, so the wait that is left says no more than this.
      expect(left.look_at_ms).toBeLessThanOrEqual(at().nowMs + longestMs)
      expect(left.failing_since_ms).not.toBeNull()
      later(longestMs / 1000)
    }
  })

  it('let one lane at a time try a host that failed too often, for all of its lanes', async () => {
    const { space, syncer, id } = await proved()
    const other = await newSpace()
    const second = await register({ space: other, syncer, isProved: true })
    syncer.misbehave(MISBEHAVIOURS.fails)
    await wrote(space)
    for (let failures = 1; failures <= 11; failures++) {
      await settled(id, (found) => found.failures >= failures)
      if (failures < 11) later(15 * MINUTE)
    }
    const before = syncer.told.length
    const waiting = await wrote(other)
    await passing(other)
    expect(syncer.told).toHaveLength(before)
    expect(await row(second)).toMatchObject({ failures: 0, turn: 0 })
    syncer.misbehave(null)
    later(15 * MINUTE)
    await settled(second, ({ delivered_rev }) => delivered_rev >= waiting.spaceRev)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
  })

  it('end a registration whose receiver never answered, after three calls', async () => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    syncer.misbehave(MISBEHAVIOURS.fails)
    const id = await register({ space, syncer })
    await wrote(space)
    for (const calls of [1, 2]) {
      await settled(id, ({ failures }) => failures === calls)
      later(2)
    }
    await ended(id)
    expect(syncer.told).toHaveLength(3)
    expect((await auditRows(database, 'notify.end')).at(-1)).toEqual({
      actor: scene.community,
      target: space,
      because: { reason: 'NeverAnswered', service: syncer.service },
    })
    await wrote(space)
    await passing(space)
    expect(syncer.told).toHaveLength(3)
  })

  it('end one whose receiver answered before and heard nothing for a day', async () => {
    const { space, syncer, id } = await proved({ expiresInSec: 48 * HOUR })
    syncer.misbehave(MISBEHAVIOURS.resets)
    await wrote(space)
    await settled(id, ({ failures }) => failures === 1)
    later(23 * HOUR)
    await settled(id, ({ failures }) => failures === 2)
    later(HOUR)
    await ended(id)
    expect((await auditRows(database, 'notify.end')).at(-1)?.because).toMatchObject({ reason: 'Unreachable' })
  })

  it('call a host that never answered once at a time, however many ask for it', async () => {
    const [syncer, space] = [await newSyncer(), await newSpace()]
    let [open, most] = [0, 0]
    syncer.misbehave((outgoing) => {
      open += 1
      most = Math.max(most, open)
      setTimeout(() => {
        open -= 1
        outgoing.writeHead(503).end()
      }, 50)
    })
    const spaces = [space, ...(await Promise.all([1, 2, 3, 4].map(newSpace)))]
    for (const one of spaces) await register({ space: one, syncer })
    for (const one of spaces) await wrote(one)
    await eventually('all are looked at', async () => {
      const { rows } = await sql<{ left: number }>`select count(*)::int as left from registration
        where service = ${syncer.service} and failures = 0`.execute(database.db)
      return rows[0]?.left === 0
    })
    expect(most).toBe(1)
  })

  it('hang on sixteen hosts at once in one community that never answered, and tell everybody else meanwhile', async () => {
    const { space, syncer: well } = await proved()
    const silent = await Promise.all(Array.from({ length: 20 }, newSyncer))
    /** Calls before the first of them was given up. */
    let called = 0
    let isGivenUp = false
    for (const syncer of silent) {
      syncer.misbehave((outgoing) => {
        if (!isGivenUp) called += 1
        outgoing.on('close', () => {
          isGivenUp = true
        })
      })
      await register({ space, syncer })
    }
    await wrote(space)
    await eventually('they are called', async () => called >= 16)
    for (const count of [2, 3, 4]) {
      await wrote(space)
      await hears(well, count)
    }
    await eventually('each has had its turn', async () => silent.every(({ told }) => told.length > 0))
    expect(called).toBe(16)
    for (const syncer of silent) syncer.misbehave(null)
  })

  it('tell nothing to whose registration has expired', async () => {
    const { space, syncer, id } = await proved({ expiresInSec: HOUR })
    await wrote(space)
    await hears(syncer, 1)
    later(HOUR)
    await wrote(space)
    await passing(space)
    expect(syncer.told).toHaveLength(1)
    expect(await row(id)).not.toBeNull()
  })

  it('tell nothing to whoever is paused, and go on afterwards where they stood', async () => {
    const { space, syncer, id } = await proved()
    const pause = (ms: number | null) =>
      sql`update registration set paused_at_ms = ${ms} where id = ${id}`.execute(database.db)
    const first = await wrote(space)
    await settled(id, ({ delivered_rev }) => delivered_rev === first.spaceRev)
    await pause(at().nowMs)
    await wrote(space)
    await passing(space)
    expect(syncer.told).toHaveLength(1)
    await pause(null)
    await hears(syncer, 3)
    expect(historyOf(syncer.told, space)).toMatchObject(WITHOUT_FAULT)
  })

  it('end with the last of those by whose access they live', async () => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    const { alice, bob, carol } = scene
    await done(alice.call(`${R}.member.put`, { space, did: carol.did, role: 'member' }))
    const id = await register({ space, syncer, sponsors: [{ did: bob.did }, { did: carol.did }] })
    await wrote(space)
    await hears(syncer, 1)
    await done(alice.call(`${R}.member.remove`, { space, did: bob.did }))
    await wrote(space)
    await hears(syncer, 2)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    await done(alice.call(`${R}.member.remove`, { space, did: carol.did }))
    await wrote(space)
    await ended(id)
    expect(syncer.told).toHaveLength(2)
    expect((await auditRows(database, 'notify.end')).at(-1)).toEqual({
      actor: scene.community,
      target: space,
      because: { reason: 'SponsorsGone', service: syncer.service },
    })
  })

  it('end when nobody may read by the app that was used for it', async () => {
    const [space, syncer, other] = [await newSpace(), await newSyncer(), await newSyncer()]
    const [denied, welcome] = ['https://gone.example.com/client.json', 'https://fine.example.com/client.json']
    const sponsor = (clientId: string) => [{ did: scene.bob.did, clientId }]
    const [one, two] = [
      await register({ space, syncer, sponsors: sponsor(denied) }),
      await register({ space, syncer: other, sponsors: sponsor(welcome) }),
    ]
    await wrote(space)
    await Promise.all([hears(syncer, 1), hears(other, 1)])
    await done(scene.alice.call(`${R}.app.putRule`, { space, clientId: denied, verdict: 'deny' }))
    await wrote(space)
    await hears(other, 2)
    await ended(one)
    expect(syncer.told).toHaveLength(1)
    expect(await row(two)).not.toBeNull()
  })

  it('notice within a minute when what they rest on comes to its time', async () => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    const until = new Date(at().nowMs + HOUR * 1000).toISOString()
    const did = scene.carol.did
    await done(scene.alice.call(`${R}.member.put`, { space, did, role: 'member', until }))
    const id = await register({ space, syncer, sponsors: [{ did }] })
    await wrote(space)
    await hears(syncer, 1)
    later(HOUR + 1)
    await wrote(space)
    await ended(id)
    expect(syncer.told).toHaveLength(1)
  })

  it('rest while a space is frozen, and wake when it isn’t any more', async () => {
    const { space, syncer, id } = await proved()
    await wrote(space)
    await hears(syncer, 1)
    const freeze = (isFrozen: boolean) => done(scene.alice.call(`${R}.community.freeze`, { space, isFrozen }))
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    await freeze(true)
    const { turn } = (await row(id)) ?? { turn: 0 }
    await wrote(space)
    await settled(id, (found) => found.turn > turn && found.failures === 0 && found.last_rev > found.delivered_rev)
    expect(syncer.told).toHaveLength(1)
    await freeze(false)
    await restingUntil('it is told', async () => syncer.told.length === 2)
    expect(historyOf(syncer.told, space)).toMatchObject(WITHOUT_FAULT)
  })

  it('follow a receiver to where its document says that it is now, as somebody who has not answered yet', async () => {
    const { space, syncer, id } = await proved()
    await wrote(space)
    await hears(syncer, 1)
    const next = await newSyncer()
    syncer.publish(next.url)
    next.misbehave(MISBEHAVIOURS.fails)
    later(6 * MINUTE)
    await wrote(space)
    await hears(next, 1)
    const left = await settled(id, ({ failures }) => failures === 1)
    expect(left).toMatchObject({ host: next.url, proved_at_ms: null })
    expect(next.told[0]?.claims['aud']).toBe(syncer.service)
    next.misbehave(null)
    later(2)
    await hears(next, 2)
    expect((await settled(id, ({ failures }) => failures === 0)).proved_at_ms).not.toBeNull()
    expect(syncer.told).toHaveLength(1)
  })

  it.each([
    ['a private address', 'https://10.0.0.1'],
    ['a name of this network', 'https://printer.local'],
    ['more than an origin', 'https://sync.example.com/path'],
    ['nothing that is an address', ['https://sync.example.com']],
  ])('call nobody who publishes %s', async (_, endpoint) => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    syncer.publish(endpoint)
    const id = await register({ space, syncer })
    await wrote(space)
    expect(await settled(id, ({ failures }) => failures === 1)).toMatchObject({
      last_error: 'unresolvable',
      host: syncer.url,
      delivered_rev: 0,
    })
    expect(syncer.told).toEqual([])
  })

  it('tell of the same repo once a second, and of its newest revision then', async () => {
    const { space, syncer, id } = await proved()
    const repo = freshDid()
    await wrote(space, repo)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    let newest = await wrote(space, repo)
    for (let count = 0; count < 5; count++) newest = await wrote(space, repo)
    await passing(space)
    scene.world.clock.moveSec(0.999)
    await passing(space)
    expect(syncer.told.filter(({ body }) => body.repo === repo)).toHaveLength(1)
    scene.world.clock.moveSec(0.001)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    const told = syncer.told.filter(({ body }) => body.repo === repo)
    expect(told).toHaveLength(2)
    expect(told[1]?.body.spaceRev).toBe(tidOf(newest.spaceRev))
    expect(historyOf(syncer.told, space)).toMatchObject(WITHOUT_FAULT)
  })

  it('bring somebody who is far behind to where the others are, and tell them all', async () => {
    const { space, syncer } = await proved()
    const behind = await newSyncer()
    const first = await wrote(space)
    await hears(syncer, 1)
    const repos = Array.from({ length: 230 }, freshDid)
    for (const repo of repos) await wrote(space, repo)
    const id = await register({ space, syncer: behind, isProved: true, after: first.spaceRev - 1 })
    const last = await wrote(space)
    await settled(id, ({ delivered_rev }) => delivered_rev === last.spaceRev)
    await hears(syncer, 232)
    for (const { told } of [behind, syncer]) {
      const { newest, ...faults } = historyOf(told, space)
      expect(newest.size).toBe(232)
      expect(faults).toMatchObject({ falls: 0, doubles: 0, repeats: 0 })
    }
    expect(historyOf(syncer.told, space).gaps).toBe(0)
  })

  it('say that a space has ended, once, to everybody who asked and has not heard it', async () => {
    const { space, syncer, id } = await proved()
    const [failing, refusing, lapsed] = [await newSyncer(), await newSyncer(), await newSyncer()]
    failing.misbehave(MISBEHAVIOURS.fails)
    refusing.misbehave(MISBEHAVIOURS.refuses)
    const others = {
      failing: await register({ space, syncer: failing, isProved: true }),
      refusing: await register({ space, syncer: refusing }),
      // Whose own time passed after the end: they were registered when it came.
      lapsed: await register({ space, syncer: lapsed, expiresInSec: 0 }),
    }
    await sql`update registration set ended_at_ms = ${at().nowMs}, look_at_ms = 0 where space = ${space}`.execute(
      database.db,
    )
    await ended(id)
    await ended(others.refusing)
    expect(syncer.told).toHaveLength(1)
    expect(refusing.told).toHaveLength(1)
    const [end] = syncer.told
    expect(end?.method).toBe('com.atproto.space.notifySpaceDeleted')
    expect(end?.body).toEqual({ space })
    expect(end?.claims).toMatchObject({ iss: scene.community, aud: syncer.service, lxm: end?.method })
    expect(await settled(others.failing, ({ failures }) => failures === 1)).toMatchObject({ last_error: 'status 500' })
    failing.misbehave(null)
    later(2)
    await ended(others.failing)
    expect(failing.told).toHaveLength(2)
    await ended(others.lapsed)
    expect(lapsed.told).toHaveLength(1)
    expect(await auditRows(database, 'notify.end')).not.toContainEqual(expect.objectContaining({ target: space }))
  })

  it('give up after a day on saying that a space has ended', async () => {
    const { space, syncer, id } = await proved({ expiresInSec: 48 * HOUR })
    syncer.misbehave(MISBEHAVIOURS.resets)
    await sql`update registration set ended_at_ms = ${at().nowMs}, look_at_ms = 0 where space = ${space}`.execute(
      database.db,
    )
    await settled(id, ({ failures }) => failures === 1)
    later(24 * HOUR)
    await ended(id)
    expect(syncer.told).toHaveLength(1)
  })

  it('rest while our own key can’t be opened, which is nobody’s failure', async () => {
    const { space, syncer, id } = await proved()
    const { turn } = (await row(id)) ?? { turn: 0 }
    // Not by its state, which the watcher of identities sets right whenever it reads the log.
    const spoil = (name: ReturnType<typeof sql>) =>
      sql`update key set did_key = ${name} where community = ${scene.community} and purpose = 'atproto'`.execute(
        database.db,
      )
    await spoil(sql`did_key || 'x'`)
    scene.world.reeve.house.vault.drop()
    await wrote(space)
    await settled(id, (found) => found.turn > turn)
    await isTriedAgain(id, turn + 1)
    expect(await row(id)).toMatchObject({ failures: 0, last_error: null, delivered_rev: 0 })
    await spoil(sql`left(did_key, -1)`)
    await restingUntil('it is told', async () => syncer.told.length === 1)
  })

  it('rest while the directory of a receiver’s DID doesn’t answer', async () => {
    const [space, syncer] = [await newSpace(), await newSyncer()]
    const id = await register({ space, syncer, service: `${freshDid()}#sync` })
    scene.plc.misbehave(({ kind }) => (kind === 'document' ? 'cut' : undefined))
    await wrote(space)
    await settled(id, ({ turn }) => turn > 0)
    await isTriedAgain(id, 1)
    expect(await row(id)).toMatchObject({ failures: 0, last_error: null })
    scene.plc.misbehave(null)
    await restingUntil('it is its own failure', async () => ((await row(id))?.failures ?? 0) > 0)
    expect(await row(id)).toMatchObject({ last_error: 'unresolvable' })
  })

  it('are left to whoever has them until their time is over, and then taken up by another', async () => {
    const { space, syncer, id } = await proved()
    const first = await wrote(space)
    await settled(id, ({ delivered_rev }) => delivered_rev === first.spaceRev)
    // As a process leaves it that took the lane and died.
    await sql`update registration set turn = turn + 1, taken_until_ms = ${at().nowMs + 15_000} where id = ${id}`.execute(
      database.db,
    )
    await wrote(space)
    await passing(space)
    expect(syncer.told).toHaveLength(1)
    later(16)
    const told = await hears(syncer, 3)
    expect(historyOf(told, space)).toMatchObject(WITHOUT_FAULT)
  })

  it('are written down only by whoever still has them', async () => {
    const { space, syncer, id } = await proved()
    let isOver = false
    syncer.misbehave((outgoing) => {
      void sql`update registration set turn = turn + 1, taken_until_ms = ${at().nowMs + 60_000} where id = ${id}`
        .execute(database.db)
        .then(() => {
          outgoing.on('finish', () => {
            isOver = true
          })
          outgoing.writeHead(200).end()
        })
    })
    await wrote(space)
    await eventually('it is told', async () => isOver)
    await passing(space)
    expect(await row(id)).toMatchObject({ delivered_rev: 0, delivered_at_ms: null })
    syncer.misbehave(null)
    later(MINUTE + 1)
    await settled(id, ({ delivered_rev, last_rev }) => delivered_rev === last_rev)
    expect(historyOf(syncer.told, space)).toMatchObject({ gaps: 0, falls: 0, doubles: 1 })
  })

  it('are shared by two dispatchers on one database: each row is told once, and none is lost', async () => {
    const { clock } = scene.world
    run()
    const deliveries = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock })
    const other = openDispatcher({ ...scene.world.reeve.house, deliveries })
    const poll = setInterval(() => other.rouse(), 20)
    try {
      const spaces = [await newSpace(), await newSpace()]
      const receivers = await Promise.all([1, 2, 3, 4, 5, 6].map(newSyncer))
      for (const syncer of receivers) for (const space of spaces) await register({ space, syncer, isProved: true })
      const repos = Array.from({ length: 8 }, freshDid)
      const newest = new Map<string, string>()
      for (let count = 0; count < 60; count++) {
        const [space = '', repo = ''] = [spaces[count % 2], repos[(count * 3) % 8]]
        const { repoRev } = await wrote(space, repo)
        newest.set(`${space} ${repo}`, repoRev)
        scene.world.reeve.house.dispatcher.rouse()
      }
      await eventually('all are told of all', async () => {
        const { rows } = await sql<{ left: number }>`select count(*)::int as left from registration
          where space = any(${spaces}::text[]) and delivered_rev < (select last_rev from writer_set where space = registration.space)`.execute(
          database.db,
        )
        return rows[0]?.left === 0
      })
      for (const { told } of receivers) {
        for (const space of spaces) {
          const history = historyOf(told, space)
          expect(history).toMatchObject(WITHOUT_FAULT)
          for (const [repo, { repoRev }] of history.newest) expect(repoRev).toBe(newest.get(`${space} ${repo}`))
          expect([...newest.keys()].filter((key) => key.startsWith(space))).toHaveLength(history.newest.size)
        }
      }
    } finally {
      clearInterval(poll)
      await other.stop()
      run = stopClock(clock)
    }
  })

  it('end their turns when the house closes, and say nothing against whom it left waiting', OPENS_A_WORLD, async () => {
    const own = await openScene(await open())
    try {
      const space = own.forum
      const { db, dispatcher } = own.world.reeve.house
      const here = () => ({ db, nowMs: own.world.clock.nowMs() })
      const [slow, silent] = [await newSyncer(), await newSyncer()]
      let answer = () => {}
      slow.misbehave((outgoing) => {
        answer = () => void outgoing.writeHead(200).end()
      })
      silent.misbehave(MISBEHAVIOURS.hangs)
      const sponsors = [{ did: own.bob.did }]
      const [one, two] = [
        await addRegistration(here(), { space, syncer: slow, sponsors, isProved: true }),
        await addRegistration(here(), { space, syncer: silent, sponsors, isProved: true }),
      ]
      const first = await noteWrite(here(), space, freshDid())
      await noteWrite(here(), space, freshDid())
      await Promise.all([hears(slow, 1), hears(silent, 1)])
      const stopped = dispatcher.stop()
      answer()
      await stopped
      // What was under way is heard and written down, and the next is not begun.
      expect(slow.told).toHaveLength(1)
      expect(await registrationRow(db, one)).toMatchObject({ delivered_rev: first.spaceRev, failures: 0 })
      const left = await registrationRow(db, two)
      expect(left).toMatchObject({ delivered_rev: 0, gaps: 0 })
      expect(left?.look_at_ms ?? 0).toBeLessThan(here().nowMs + 3_000)
      expect(left?.taken_until_ms).toBe(0)
    } finally {
      await own.close()
    }
  })
})
