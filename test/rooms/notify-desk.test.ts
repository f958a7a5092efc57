/** The desk for those who configure a space: who is told of writes there and how far they got, and what may be done about it. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { rosterOf } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { tidOf } from '../../src/platform/tid.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows, letIn, openScene, type Scene } from '../kit/exchange.ts'
import {
  forgetRegistrations,
  putRegistrations,
  putWriters,
  type RegistrationRow,
  registrations,
  saidOf,
} from '../kit/registering.ts'
import type { Person } from '../kit/world.ts'

const R = 'community.reeve.notify'
const LIST = `${R}.listRegistrations`
const SERVICE = 'did:web:sync.example.com#sync'
const DAY_MS = 24 * 60 * 60 * 1000
const WRITERS = 5

describeOnEachEngine('the desk', (open) => {
  let database: TestDatabase
  let scene: Scene
  /** Configures the forum and sees its members; configures it and doesn't see them. */
  let keeper: Person
  let porter: Person
  let firstRev: number
  let nowMs: number

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    // What is set here is looked at here, and told to nobody.
    await scene.world.reeve.house.dispatcher.stop()
    const { alice, forum, community, world } = scene
    ;[keeper, porter] = [await world.person(), await world.person()]
    for (const [name, actions] of [
      ['keeper', ['read', 'members.read', 'space.configure']],
      ['porter', ['space.configure']],
    ] as const) {
      expect(saidOf(await alice.call('community.reeve.role.put', { community, name, actions }))).toBe('200')
    }
    for (const [person, role] of [
      [keeper, 'keeper'],
      [porter, 'porter'],
    ] as const) {
      const put = await alice.call('community.reeve.member.put', { space: forum, did: person.did, role })
      expect(saidOf(put)).toBe('200')
    }
  })
  afterAll(() => scene.close())

  beforeEach(async () => {
    nowMs = scene.world.clock.nowMs()
    firstRev = (nowMs - 100_000) * 1000
    await forgetRegistrations(database)
    await sql`delete from writer`.execute(database.db)
    await putWriters(database, scene.forum, { count: WRITERS, firstRev })
    await put()
  })

  const lastRev = () => firstRev + WRITERS - 1
  /** A registration that was told of everything. */
  const put = (more: Parameters<typeof putRegistrations>[1][number]['more'] = {}, service = SERVICE) =>
    putRegistrations(database, [
      {
        ...{ space: scene.forum, service, expiresAtMs: nowMs + DAY_MS, provedAtMs: nowMs, sponsors: [scene.bob.did] },
        more: { delivered_rev: lastRev(), ...more },
      },
    ])
  const set = (values: Partial<Omit<RegistrationRow, 'id' | 'sponsors'>> & { last_error?: string; gaps?: number }) =>
    database.db.updateTable('registration').set(values).execute()
  const row = async (): Promise<RegistrationRow> => {
    const [one] = await registrations(database)
    if (!one) throw new Error('no registration')
    return one
  }
  const listed = async (person: Person, more: Record<string, string> = {}) => {
    const answer = await person.ask(LIST, { space: scene.forum, ...more })
    expect(saidOf(answer)).toBe('200')
    return answer.body
  }
  const first = async (person: Person) => (await listed(person)).registrations[0]
  const at = (method: string, person: Person, more: object = {}) =>
    person.call(`${R}.${method}`, { space: scene.forum, service: SERVICE, ...more })

  describe('shows', () => {
    it('who is told, by whose access and until when', async () => {
      const { registrations: some, revision } = await listed(keeper)
      expect(some).toEqual([
        {
          ...{
            service: SERVICE,
            state: 'active',
            sponsors: [{ did: scene.bob.did }],
            waiting: 0,
            gaps: 0,
            failures: 0,
          },
          ...{ registeredAt: isoOf(1), expiresAt: isoOf(nowMs + DAY_MS), delivered: tidOf(lastRev()) },
        },
      ])
      expect(revision).toBeGreaterThan(0)
    })

    it('sponsors and their apps to those only who see the members', async () => {
      await sql`insert into registration_sponsor (registration, did, client_id, since_ms)
        select id, ${scene.alice.did}, 'https://boards.example.com/client.json', 1 from registration`.execute(
        database.db,
      )
      expect((await first(keeper)).sponsors).toEqual(
        expect.arrayContaining([
          { did: scene.bob.did },
          { did: scene.alice.did, clientId: 'https://boards.example.com/client.json' },
        ]),
      )
      expect(await first(porter)).not.toHaveProperty('sponsors')
      expect(await first(porter)).toMatchObject({ service: SERVICE, state: 'active' })
    })

    it('how much one has still to hear of, and for how long the oldest of it has waited', async () => {
      await set({ delivered_rev: firstRev + 1 })
      const one = await first(keeper)
      expect(one).toMatchObject({ waiting: 3, delivered: tidOf(firstRev + 1) })
      expect(one.lag).toBeGreaterThanOrEqual(100)
      expect(one.lag).toBeLessThan(160)
      await set({ delivered_rev: 0 })
      expect(await first(keeper)).toMatchObject({ waiting: 5 })
      expect(await first(keeper)).not.toHaveProperty('delivered')
    })

    it('no more than that a thousand wait', async () => {
      await sql`delete from writer`.execute(database.db)
      await putWriters(database, scene.forum, { count: 1_001, firstRev: lastRev() + 1 })
      expect(await first(keeper)).toMatchObject({ waiting: 1_000 })
      await set({ delivered_rev: lastRev() + 2 })
      expect(await first(keeper)).toMatchObject({ waiting: 999 })
    })

    it('that one is failing, since when, with what, and when it is tried again', async () => {
      const failing = { failures: 3, failing_since_ms: nowMs - 5_000, look_at_ms: nowMs + 60_000 }
      await set({ ...failing, last_error: 'timeout', gaps: 2 })
      expect(await first(keeper)).toMatchObject({
        ...{ state: 'failing', failures: 3, failingSince: isoOf(nowMs - 5_000), nextTryAt: isoOf(nowMs + 60_000) },
        ...{ lastError: 'timeout', gaps: 2 },
      })
      expect((await at('pause', keeper)).status).toBe(200)
      expect(await first(keeper)).toMatchObject({ state: 'paused', pausedBy: keeper.did })
      expect(await first(keeper)).not.toHaveProperty('nextTryAt')
    })

    it('one that is to hear of the end of a former space as ended, and nothing of the new one as its own', async () => {
      await set({ ended_at_ms: nowMs, delivered_rev: 0 })
      const one = await first(keeper)
      expect(one).toMatchObject({ state: 'ended', waiting: 0 })
      expect(one).not.toHaveProperty('lag')
      for (const method of ['pause', 'resume', 'replay']) {
        expect(saidOf(await at(method, keeper))).toBe('404 NotFound')
      }
    })

    it('none whose time is over, and none of another space', async () => {
      const other = await scene.world.makeSpace(scene.alice, scene.community)
      await putRegistrations(database, [{ space: other, service: SERVICE, expiresAtMs: nowMs + DAY_MS }])
      await sql`update registration set expires_at_ms = ${nowMs} where space = ${scene.forum}`.execute(database.db)
      expect((await listed(keeper)).registrations).toEqual([])
      expect(saidOf(await at('pause', keeper))).toBe('404 NotFound')
    })

    it('all of them page by page, each once, in the order in which they were made', async () => {
      for (const nth of [4, 3, 2, 1]) await put({ registered_at_ms: 10 - nth }, `did:web:s${nth}.example.com`)
      await put({ registered_at_ms: 9 }, 'did:web:s0.example.com')
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = await listed(keeper, { limit: '2', ...(cursor === undefined ? {} : { cursor }) })
        expect(page.registrations.length).toBeLessThanOrEqual(2)
        seen.push(...page.registrations.map(({ service }: { service: string }) => service))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(seen).toEqual([SERVICE, ...[4, 3, 2, 0, 1].map((nth) => `did:web:s${nth}.example.com`)])
      for (const wrong of ['x', '1', '1 ', '1 a b', '1e3 a']) {
        expect(saidOf(await keeper.ask(LIST, { space: scene.forum, cursor: wrong }))).toBe('400 InvalidRequest')
      }
      for (const limit of ['0', '101']) {
        expect(saidOf(await keeper.ask(LIST, { space: scene.forum, limit }))).toBe('400 InvalidRequest')
      }
    })
  })

  describe('is for those who configure the space', () => {
    const METHODS = ['pause', 'resume', 'replay'] as const

    it('and for nobody else: who stands there is told so, who doesn’t learns nothing', async () => {
      const { alice, bob, carol, forum, community } = scene
      await set({ failures: 1 })
      const before = await registrations(database)
      expect(saidOf(await bob.ask(LIST, { space: forum }))).toBe('403 Forbidden')
      expect(saidOf(await carol.ask(LIST, { space: forum }))).toBe('404 NotFound')
      expect(saidOf(await alice.ask(LIST, { space: `${forum}x` }))).toBe('404 NotFound')
      expect(saidOf(await alice.ask(LIST, { space: forum }))).toBe('200')
      expect((await alice.ask(LIST, { space: rosterOf(community).uri })).body.registrations).toEqual([])
      for (const method of METHODS) {
        expect(saidOf(await at(method, bob)), method).toBe('403 Forbidden')
        expect(saidOf(await at(method, carol)), method).toBe('404 NotFound')
        expect(saidOf(await at(method, alice, { space: `${forum}x` })), method).toBe('404 NotFound')
        expect(saidOf(await at(method, alice, { service: 'did:web:other.example.com' })), method).toBe('404 NotFound')
        // Who may not look isn't told either what is registered.
        expect(saidOf(await at(method, bob, { service: 'did:web:other.example.com' })), method).toBe('403 Forbidden')
      }
      expect(await registrations(database)).toEqual(before)
    })

    it('in the space itself: an admin of another one is nobody here', async () => {
      const { alice, carol, community, world } = scene
      const other = await world.makeSpace(alice, community)
      const put = await alice.call('community.reeve.member.put', { space: other, did: carol.did, role: 'keeper' })
      expect(saidOf(put)).toBe('200')
      for (const method of METHODS) expect(saidOf(await at(method, carol)), method).toBe('404 NotFound')
      expect(saidOf(await carol.ask(LIST, { space: scene.forum }))).toBe('404 NotFound')
    })

    it('no longer once the space has ended', async () => {
      const { alice, community, world } = scene
      const space = await world.makeSpace(alice, community)
      await putRegistrations(database, [{ space, service: SERVICE, expiresAtMs: nowMs + DAY_MS }])
      expect(saidOf(await alice.ask(LIST, { space }))).toBe('200')
      await alice.call('community.reeve.space.delete', { space })
      expect(saidOf(await alice.ask(LIST, { space }))).toBe('404 NotFound')
      for (const method of METHODS) expect(saidOf(await at(method, alice, { space })), method).toBe('404 NotFound')
    })

    it('goes by revisions and idempotency keys like every change, and takes nobody’s standing up for looking at', async () => {
      const notes = async () =>
        (await sql<{ n: number }>`select count(*)::int as n from standing_moved`.execute(database.db)).rows[0]?.n
      await sql`delete from standing_moved`.execute(database.db)
      const { revision } = await listed(keeper)
      expect(saidOf(await at('pause', keeper, { ifRevision: revision - 1 }))).toBe('409 StaleRevision')
      const call = { ifRevision: revision, idempotencyKey: `pause ${nowMs}` }
      const paused = await at('pause', keeper, call)
      expect(paused).toMatchObject({ status: 200, body: { revision: revision + 1 } })
      expect((await at('pause', keeper, call)).body).toEqual(paused.body)
      expect((await at('pause', keeper)).body, 'it is paused already').toEqual({ revision: revision + 1 })
      const again = await at('replay', keeper, { idempotencyKey: `replay ${nowMs}` })
      expect(again.body).toEqual({ waiting: WRITERS, revision: revision + 2 })
      const other = { idempotencyKey: `replay ${nowMs}`, from: tidOf(firstRev) }
      expect(saidOf(await at('replay', keeper, other))).toBe('409 IdempotencyConflict')
      expect((await at('resume', keeper)).body).toEqual({ waiting: WRITERS, revision: revision + 3 })
      expect((await at('resume', keeper)).body).toEqual({ waiting: WRITERS, revision: revision + 3 })
      expect(await notes()).toBe(0)
    })

    it('and writes down who did what to whom', async () => {
      await at('pause', porter)
      await at('resume', keeper)
      await at('replay', keeper, { from: tidOf(firstRev) })
      for (const [action, actor, more] of [
        ['pause', porter, {}],
        ['resume', keeper, {}],
        ['replay', keeper, { from: tidOf(firstRev) }],
      ] as const) {
        const last = (await auditRows(database, `notify.${action}`)).at(-1)
        expect(last).toMatchObject({ actor: actor.did, target: scene.forum, because: { service: SERVICE, ...more } })
        expect(last?.because['reasons']).toMatchObject([{ rule: 'edge', into: scene.forum, from: actor.did }])
      }
    })
  })

  it('pauses one, which keeps what it has, and what is under way with it', async () => {
    const before = await row()
    expect(saidOf(await at('pause', porter))).toBe('200')
    const after = await row()
    expect(after).toEqual({ ...before, paused_at_ms: after.paused_at_ms, paused_by: porter.did })
    expect(after.paused_at_ms).toBeGreaterThanOrEqual(nowMs)
    await at('pause', keeper)
    expect(await row(), 'by the first who did').toEqual(after)
  })

  it('resumes one at once, and counts no failure against it', async () => {
    await set({ failures: 7, failing_since_ms: nowMs - DAY_MS, look_at_ms: nowMs + 900_000, delivered_rev: firstRev })
    await at('pause', keeper)
    const { turn } = await row()
    expect((await at('resume', keeper)).body).toMatchObject({ waiting: WRITERS - 1 })
    expect(await row()).toMatchObject({
      ...{ paused_at_ms: null, failures: 0, failing_since_ms: null, look_at_ms: 0, turn: turn + 1 },
      ...{ delivered_rev: firstRev },
    })
  })

  it('has one that is failing tried at once, and leaves one alone that is well', async () => {
    await set({ failures: 2, failing_since_ms: nowMs - 1_000, look_at_ms: nowMs + 900_000 })
    expect(saidOf(await at('resume', keeper))).toBe('200')
    expect(await row()).toMatchObject({ failures: 0, failing_since_ms: null, look_at_ms: 0 })
    const before = await row()
    expect(saidOf(await at('resume', keeper))).toBe('200')
    expect(await row()).toEqual(before)
  })

  it.each([
    ['from the beginning', undefined, 0, WRITERS],
    ['after the second', 1, 1, WRITERS - 2],
    ['after what isn’t written yet', WRITERS + 1_000, WRITERS - 1, 0],
  ])('replays %s', async (_how, from, stands, waiting) => {
    await set({ failures: 4, failing_since_ms: nowMs - 5, look_at_ms: nowMs + 900_000 })
    const before = await row()
    const answer = await at('replay', keeper, from === undefined ? {} : { from: tidOf(firstRev + from) })
    expect(answer).toMatchObject({ status: 200, body: { waiting } })
    expect(await row()).toEqual({
      ...{ ...before, delivered_rev: from === undefined ? 0 : firstRev + stands },
      ...{ look_at_ms: 0, turn: before.turn + 1, failures: 0, failing_since_ms: null },
    })
  })

  it('replays up to what was written meanwhile, and what is paused stays so', async () => {
    await set({ delivered_rev: firstRev })
    await at('pause', keeper)
    expect((await at('replay', keeper)).body).toMatchObject({ waiting: WRITERS })
    expect(await row()).toMatchObject({ delivered_rev: 0 })
    expect((await row()).paused_at_ms).not.toBeNull()
  })

  it('replays for a space in which nobody ever wrote', async () => {
    const space = await scene.world.makeSpace(scene.alice, scene.community)
    await letIn(scene.alice, space, scene.bob.did)
    await forgetRegistrations(database)
    await putRegistrations(database, [{ space, service: SERVICE, expiresAtMs: nowMs + DAY_MS }])
    expect((await at('replay', scene.alice, { space })).body).toMatchObject({ waiting: 0 })
    expect(await row()).toMatchObject({ delivered_rev: 0 })
  })

  it('takes a delivery that is under way out of its hands by a replay: what that noted is lost, and told again', async () => {
    const { id, turn } = await row()
    await at('replay', keeper)
    const { numUpdatedRows } = await database.db
      .updateTable('registration')
      .set({ delivered_rev: lastRev() })
      .where('id', '=', id)
      .where('turn', '=', turn)
      .executeTakeFirstOrThrow()
    expect(numUpdatedRows).toBe(0n)
  })

  it.each(['', 'x', '3kaaaaaaaaaa', '3kaaaaaaaaaaaa', 'zzzzzzzzzzzzz', '0000000000000'])(
    'replays from nothing that is no spaceRev: %j',
    async (from) => {
      const before = await registrations(database)
      expect(saidOf(await at('replay', keeper, { from }))).toBe('400 InvalidRequest')
      expect(await registrations(database)).toEqual(before)
    },
  )
})
