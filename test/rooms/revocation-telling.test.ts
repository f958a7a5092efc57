/**
 * What was taken back, at hosts elsewhere: a played host keeps what it is told and refuses reads by it, as a PDS would. Over real sockets,
 * with Reeve's own workers.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { letIn, openScene, type Scene } from '../kit/exchange.ts'
import { movePds } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { type Held, jtiOf, obtain } from '../kit/presentation.ts'
import { type RepoHost, startRepoHost } from '../kit/repo-host.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { addTaken, noticesOf, wroteFrom } from '../kit/taken.ts'
import { eventually } from '../kit/waiting.ts'
import type { Person } from '../kit/world.ts'

const R = 'community.reeve'
const LIST = `${R}.credential.list`
const REVOKE = `${R}.credential.revoke`

const done = async (answer: Promise<{ status: number; body: unknown }>): Promise<void> => {
  const { status, body } = await answer
  if (status !== 200) throw new Error(JSON.stringify(body))
}

/** One way of taking back what bob reads by. */
const LOSSES: readonly (readonly [string, (scene: Scene, space: string, bob: Person) => Promise<void>])[] = [
  ['a removal', ({ alice }, space, bob) => done(alice.call(`${R}.member.remove`, { space, did: bob.did }))],
  ['a ban from the space', ({ alice }, space, bob) => done(alice.call(`${R}.member.ban`, { space, did: bob.did }))],
  [
    'a ban from the community',
    ({ alice, community }, _space, bob) => done(alice.call(`${R}.member.ban`, { community, did: bob.did })),
  ],
  ['leaving', (_scene, space, bob) => done(bob.call(`${R}.member.leave`, { space }))],
  [
    'the denial of an app',
    ({ alice }, space) => done(alice.call(`${R}.app.putRule`, { space, host: 'apps.example.com', verdict: 'deny' })),
  ],
  [
    'a list of apps on which theirs is not',
    ({ alice }, space) => done(alice.call(`${R}.app.setAccess`, { space, mode: 'allowList' })),
  ],
  ['a wish', ({ alice }, space) => done(alice.call(REVOKE, { space }))],
  ['the end of the space', ({ alice }, space) => done(alice.call(`${R}.space.delete`, { space }))],
]

describeOnEachEngine('a host elsewhere', (open) => {
  let database: TestDatabase
  let scene: Scene
  let tight: number
  const hosts: RepoHost[] = []
  beforeAll(async () => {
    database = await open()
    tight = await freePort()
    scene = await openScene(database, { REEVE_HOST_CAPS: `localhost:${tight}=20/2, localhost=1/1` })
  })
  afterEach(async () => {
    await Promise.all(hosts.splice(0).map((host) => host.close()))
  })
  afterAll(() => scene.close())

  const host = async (port?: number): Promise<RepoHost> => {
    const started = await startRepoHost({
      plcUrl: scene.plc.url,
      clock: scene.world.clock,
      ...(port === undefined ? {} : { port }),
    })
    hosts.push(started)
    return started
  }
  const forum = () => scene.world.makeSpace(scene.alice, scene.community)
  /** Somebody whose repo is at a host, and who wrote in a space. */
  const writerAt = async (at: RepoHost, space: string): Promise<Person> => {
    const person = await scene.world.person({ pds: at.url })
    at.accounts.add(person.did)
    await wroteFrom(database, { space, repo: person.did, host: at.url })
    return person
  }
  const credentialOf = (person: Person, space: string): Promise<Held> =>
    obtain(scene, { binding: 'october', person, space })
  const heard = (at: RepoHost, space: string, jti: string) =>
    eventually('it is heard', async () => at.read(space, jti) === 'CredentialRevoked')
  const listed = async (space: string) => (await scene.alice.ask(LIST, { space })).body.credentials
  const stateOf = async (space: string, jti: string): Promise<string | undefined> =>
    (await listed(space)).find((one: { jti: string }) => one.jti === jti)?.hosts
  const comesTo = (space: string, jti: string, state: string) =>
    eventually(`${state}`, async () => (await stateOf(space, jti)) === state)

  it.each(LOSSES)('hears of what was taken back by %s, and refuses it', async (_says, lose) => {
    const at = await host()
    const space = await forum()
    const bob = await writerAt(at, space)
    await letIn(scene.alice, space, bob.did)
    const held = await credentialOf(bob, space)
    expect(at.read(space, jtiOf(held))).toBe('served')
    await lose(scene, space, bob)
    await heard(at, space, jtiOf(held))
    expect(at.calls).toEqual([{ iss: scene.community, aud: bob.did, space, credentials: [jtiOf(held)], status: 200 }])
    expect(at.read(scene.forum, jtiOf(held)), 'a name of another space').toBe('served')
  })

  it('serves a fresh credential of whose old one was taken back', async () => {
    const at = await host()
    const space = await forum()
    const bob = await writerAt(at, space)
    await letIn(scene.alice, space, bob.did)
    const old = await credentialOf(bob, space)
    await done(scene.alice.call(REVOKE, { space, did: bob.did }))
    await heard(at, space, jtiOf(old))
    const fresh = await credentialOf(bob, space)
    expect(at.read(space, jtiOf(fresh))).toBe('served')
    expect(await stateOf(space, jtiOf(old))).toBe('told')
    expect(await stateOf(space, jtiOf(fresh))).toBeUndefined()
  })

  it('is called once, however many wrote from there, and no host where nobody did', async () => {
    const [one, other, third] = [await host(), await host(), await host()]
    const space = await forum()
    for (const at of [one, one, one, one, other, other]) await writerAt(at, space)
    await writerAt(third, await forum())
    const [jti = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await comesTo(space, jti, 'told')
    expect([one, other, third].map(({ calls }) => calls.length)).toEqual([1, 1, 0])
  })

  it('is told a hundred at a time, one call after another', async () => {
    const at = await host()
    const space = await forum()
    await writerAt(at, space)
    const jtis = await addTaken(database, { space, count: 250, nowSec: scene.world.clock.nowSec() })
    await eventually('all are heard', async () => at.taken().length >= jtis.length)
    expect(at.calls.map(({ credentials }) => credentials.length)).toEqual([100, 100, 50])
    expect([...at.taken()].sort()).toEqual([...jtis].sort())
    expect(at.mostAtOnce()).toBe(1)
  })

  it('that is busy, or silent, or cuts the line, hears it later', async () => {
    const [busy, cutting] = [await host(), await host()]
    const space = await forum()
    for (const at of [busy, cutting]) await writerAt(at, space)
    busy.behave({ answers: 503 })
    cutting.behave('forgets')
    const [jti = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await eventually('both were tried', async () => busy.calls.length > 1 && cutting.calls.length > 1)
    expect(await stateOf(space, jti)).toBe('telling')
    busy.behave(null)
    cutting.behave(null)
    await comesTo(space, jti, 'told')
    expect(busy.kept(space)).toBe(1)
    expect(cutting.kept(space), 'twice the same is once').toBe(1)
  })

  it('that hangs keeps no other waiting, and is asked once at a time', async () => {
    const [slow, quick] = [await host(), await host()]
    const space = await forum()
    await writerAt(slow, space)
    slow.behave('hangs')
    await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await eventually('it hangs', async () => slow.calls.length === 1)
    const another = await forum()
    for (const at of [slow, quick]) await writerAt(at, another)
    const [jti = ''] = await addTaken(database, { space: another, count: 1, nowSec: scene.world.clock.nowSec() })
    await heard(quick, another, jti)
    expect(slow.calls).toHaveLength(1)
    expect(await stateOf(another, jti)).toBe('telling')
  })

  it.each([404, 501, 400])('that answers %d is not asked again for an hour, and that is said', async (status) => {
    const at = await host()
    const space = await forum()
    await writerAt(at, space)
    at.behave({ answers: status })
    const [first = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await comesTo(space, first, 'cannotBeTold')
    at.behave(null)
    const [second = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await comesTo(space, second, 'cannotBeTold')
    expect(at.calls).toHaveLength(1)
    const answer = await scene.alice.call(REVOKE, { space })
    expect(answer.body).toMatchObject({ revoked: 0, pending: 2 })
  })

  it('that refuses one account is called by another, and where it takes none that is said', async () => {
    const at = await host()
    const space = await forum()
    const writers = await Promise.all([1, 2, 3].map(() => writerAt(at, space)))
    const [, , last] = writers.map(({ did }) => did).sort()
    at.accounts.clear()
    at.accounts.add(last ?? '')
    const [first = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await heard(at, space, first)
    expect(at.calls.filter(({ status }) => status === 200)).toMatchObject([{ aud: last }])
    at.accounts.clear()
    const [second = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await comesTo(space, second, 'cannotBeTold')
    expect(at.calls.filter(({ status }) => status === 403).length).toBeGreaterThanOrEqual(3)
  })

  it('to which somebody moved hears it in place of the one that they left', async () => {
    const [before, after] = [await host(), await host()]
    const space = await forum()
    const bob = await writerAt(before, space)
    await movePds(scene.plc.url, bob, after.url)
    after.accounts.add(bob.did)
    const [jti = ''] = await addTaken(database, { space, count: 1, nowSec: scene.world.clock.nowSec() })
    await heard(after, space, jti)
    expect(before.calls).toEqual([])
    await comesTo(space, jti, 'told')
  })

  it('is nobody’s where nobody wrote, and waited out where nobody knows whose it is', async () => {
    const nobody = await forum()
    const [alone = ''] = await addTaken(database, { space: nobody, count: 1, nowSec: scene.world.clock.nowSec() })
    const unknown = await forum()
    await wroteFrom(database, { space: unknown, repo: scene.bob.did, host: null })
    const [jti = ''] = await addTaken(database, { space: unknown, count: 1, nowSec: scene.world.clock.nowSec() })
    await comesTo(unknown, jti, 'waitsOut')
    expect(await stateOf(nobody, alone)).toBeUndefined()
    expect((await scene.alice.call(REVOKE, { space: nobody })).body).toMatchObject({ revoked: 0, pending: 0 })
    expect((await scene.alice.call(REVOKE, { space: unknown })).body).toMatchObject({ revoked: 0, pending: 1 })
  })

  it('is spared what ends within seconds', async () => {
    const at = await host()
    const space = await forum()
    await writerAt(at, space)
    // On a slow machine it would have ended before anybody came to it.
    onTestFinished(stopClock(scene.world.clock))
    const nowSec = scene.world.clock.nowSec()
    const [jti = ''] = await addTaken(database, { space, count: 1, nowSec, livesSec: 4 })
    await eventually('it is decided', async () => (await noticesOf(database, space)).plans.get(jti) === 'wait')
    expect((await noticesOf(database, space)).notices).toEqual([])
    expect(at.calls).toEqual([])
  })

  describe('of which it is set how much it takes', () => {
    it('is not filled by many at once, and still hears of a single ban', async () => {
      const at = await host(tight)
      const space = await forum()
      const bob = await writerAt(at, space)
      await letIn(scene.alice, space, bob.did)
      const held = await credentialOf(bob, space)
      const many = await addTaken(database, {
        space,
        count: 11,
        nowSec: scene.world.clock.nowSec(),
        isTakenBack: false,
      })
      const dry = await scene.alice.call(REVOKE, { space, dryRun: true })
      const { latestEnd, ...plan } = dry.body.plan
      expect(dry.body).toMatchObject({ revoked: 12, pending: 12 })
      expect(plan).toEqual({ hosts: 'wait', hostCount: 1, toldCount: 0 })
      expect(Date.parse(latestEnd) / 1000 - scene.world.clock.nowSec()).toBeGreaterThan(500)
      await sql`update issuance set revoked_at_sec = 1, revoked_because = 'Wished' where jti = any(${many}::text[])`.execute(
        database.db,
      )
      await comesTo(space, many[0] ?? '', 'waitsOut')
      expect(at.calls).toEqual([])
      const one = await scene.alice.call(REVOKE, { space, did: bob.did, dryRun: true })
      expect(one.body.plan).toMatchObject({ hosts: 'tell', hostCount: 1, toldCount: 1 })
      await done(scene.alice.call(`${R}.member.ban`, { space, did: bob.did }))
      await heard(at, space, jtiOf(held))
      expect(at.taken()).toEqual([jtiOf(held)])
    })

    it('is called no oftener over all spaces, and again when a call is free', async () => {
      const at = await host(tight)
      await sql`delete from revocation_call`.execute(database.db)
      const jtis: [string, string][] = []
      for (let call = 0; call < 3; call++) {
        const space = await forum()
        await writerAt(at, space)
        const nowSec = scene.world.clock.nowSec()
        const [jti = ''] = await addTaken(database, { space, count: 1, nowSec, livesSec: 3_000 })
        jtis.push([space, jti])
        if (call < 2) await heard(at, space, jti)
      }
      const [space = '', jti = ''] = jtis[2] ?? []
      await eventually('it rests', async () => {
        const { rows } = await sql<{
          rests: boolean
        }>`select look_at_ms > ${scene.world.clock.nowMs() + 60_000}::bigint as rests
          from revocation_host where host = ${at.name}`.execute(database.db)
        return rows[0]?.rests
      })
      expect(at.calls).toHaveLength(2)
      expect(await stateOf(space, jti)).toBe('telling')
      scene.world.clock.moveSec(620)
      await heard(at, space, jti)
      expect(at.calls).toHaveLength(3)
    })
  })
})
