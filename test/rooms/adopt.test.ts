/**
 * An account on a PDS has its spaces decided about here, over real sockets: who may have it so, who governs it then, what it means to take
 * that back, and where a space of it is.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { carryOutDue } from '../../src/community/acts.ts'
import { clearEndedRolls } from '../../src/membership/roll-end-store.ts'
import { ROLE_SPACE_TYPE, rosterOf } from '../../src/names.ts'
import {
  type Adopted,
  accepted,
  adopt,
  bind,
  FORUM_TYPE,
  hostsOf,
  openAdopted,
  PUBLIC,
  putIn,
  R,
  stateOf,
} from '../kit/adopted.ts'
import { describeOnEachEngine, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import { BINDINGS } from '../kit/exchange.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { makeSomebody } from '../kit/people.ts'
import { freshJti, makeJws, makeKey } from '../kit/tokens.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { type Answer, openWorld, type Person, personOf, type World } from '../kit/world.ts'
import { write } from '../kit/writers.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const WEEK_SEC = 7 * 86_400

/** Of what everybody is warned who has spaces decided about here, each by what it is for. */
const ALWAYS_WARNED = [
  { name: 'remembers', says: expect.stringMatching(/documents for up to 24 hours.*lets nobody in/) },
  { name: 'downIsNo', says: expect.stringMatching(/does not answer.*nobody in anew.*list of writers/) },
  { name: 'ownWord', says: expect.stringMatching(/Whoever holds the account.*another managing app/) },
]
const namesOf = (list: readonly { readonly name: string }[]): readonly string[] => list.map(({ name }) => name)

const said = ({ status, body }: Answer): string => (status === 200 ? 'taken' : `${status} ${body.error}`)

interface LogRow {
  readonly actor: string
  readonly target: string
  readonly subject: string | null
  readonly because: { readonly reasons: readonly object[]; readonly revision: number; readonly refused?: string }
}

const logOf = async (database: TestDatabase, community: string, action: string): Promise<LogRow[]> =>
  (
    await sql<LogRow>`select actor, target, subject, because from audit_entry
      where community = ${community} and action = ${action} order by id`.execute(database.db)
  ).rows

describeOnEachEngine('an account', (open) => {
  let database: TestDatabase
  let plc: FakePlc
  let world: World
  let alice: Person
  let bob: Person
  let account: Person

  beforeAll(async () => {
    database = await open()
    plc = await startFakePlc()
    world = await openWorld({ database, plcUrl: plc.url })
    ;[alice, bob] = await Promise.all([world.person(), world.person()])
  })
  afterAll(async () => {
    await world.close()
    await plc.close()
  })

  const start = async (owner = alice) => {
    account = await world.person()
    return accepted(await adopt(account, owner))
  }
  /** How a call was answered that must leave nothing behind; as refusals of changes are kept, the log may grow. */
  const traceless = async (call: () => Promise<Answer>): Promise<string> => {
    const plain = (state: string) => state.replace(/\nlog .*/, '')
    const before = plain(await stateOf(database))
    const answer = await call()
    expect(plain(await stateOf(database))).toBe(before)
    return said(answer)
  }

  it('is a community then, with the owner that it names and no key of it here', async () => {
    plc.forget()
    const answer = await start()
    expect(answer).toEqual({
      ...{ did: account.did, status: 'active', revision: 1, managingApp: `${world.config.serviceDid}#reeve` },
      warnings: expect.any(Array),
    })
    expect(answer.warnings).toEqual(ALWAYS_WARNED)
    expect(await alice.ask(`${R}.community.get`, { community: account.did })).toMatchObject({
      status: 200,
      body: {
        ...{ did: account.did, name: 'Allotments', status: 'active', custody: 'external' },
        roster: rosterOf(account.did).uri,
      },
    })
    const { members } = accepted(await alice.ask(`${R}.member.list`, { space: rosterOf(account.did).uri }))
    expect(members).toMatchObject([{ did: alice.did, role: 'owner' }])
    expect(members).toHaveLength(1)
    for (const table of ['dek', 'key', 'plc_work', 'served_handle']) {
      const { rows } = await sql`select from ${sql.table(table)} where community = ${account.did}`.execute(database.db)
      expect(rows, table).toEqual([])
    }
    expect(plc.count('post', account.did), 'the document stays as it is').toBe(1)
    expect(await logOf(database, account.did, 'community.adopt')).toMatchObject([
      { actor: account.did, target: account.did, subject: alice.did, because: { custody: 'external', revision: 1 } },
    ])
  })

  it('has no power there by itself, and learns nothing of who is', async () => {
    await start()
    const roster = rosterOf(account.did).uri
    const forum = await bind(alice, account, 'main')
    await putIn(alice, forum, bob.did)
    const calls: readonly (readonly [string, object])[] = [
      ['space.create', { community: account.did, spaceType: FORUM_TYPE, skey: 'mine', host: 'pds' }],
      ['space.update', { space: forum, name: 'Mine' }],
      ['space.delete', { space: forum }],
      ['member.put', { space: roster, did: account.did, role: 'owner' }],
      ['member.remove', { space: forum, did: bob.did }],
      ['member.ban', { community: account.did, did: bob.did }],
      ['community.update', { community: account.did, name: 'Mine' }],
      ['community.freeze', { community: account.did, isFrozen: true }],
      ['community.delete', { community: account.did }],
      ['app.setAccess', { community: account.did, mode: 'open' }],
    ]
    for (const [method, input] of calls) {
      expect([method, await traceless(() => account.call(`${R}.${method}`, input))]).toEqual([method, '404 NotFound'])
    }
    const asks: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
      ['community.get', { community: account.did }],
      ['space.get', { space: forum }],
      ['member.list', { space: forum }],
      ['member.resolve', { space: forum }],
      ['member.check', { space: forum, did: bob.did, action: 'read' }],
      ['member.explain', { space: forum, did: bob.did, action: 'read' }],
      ['member.reach', { community: account.did, did: bob.did }],
      ['audit.list', { community: account.did }],
    ]
    for (const [method, params] of asks) {
      expect([method, said(await account.ask(`${R}.${method}`, params))]).toEqual([method, '404 NotFound'])
    }
  })

  it('that calls again with an owner of it changes nothing; with anybody else it is refused', async () => {
    await start()
    await putIn(alice, rosterOf(account.did).uri, bob.did, 'owner')
    const carol = await world.person()
    await putIn(alice, rosterOf(account.did).uri, carol.did, 'admin')
    const { revision } = accepted(await alice.ask(`${R}.community.get`, { community: account.did }))
    for (const owner of [alice, bob]) {
      let answer: Answer | null = null
      const call = async () => {
        answer = await adopt(account, owner, { name: 'Another name' })
        return answer
      }
      expect(await traceless(call)).toBe('taken')
      expect(answer).toMatchObject({ body: { did: account.did, status: 'active', revision } })
    }
    for (const owner of [carol, await world.person()]) {
      expect(await traceless(() => adopt(account, owner))).toBe('403 Forbidden')
    }
    accepted(await alice.call(`${R}.member.remove`, { space: rosterOf(account.did).uri, did: bob.did }))
    expect(await traceless(() => adopt(account, bob))).toBe('403 Forbidden')
    expect((await alice.ask(`${R}.community.get`, { community: account.did })).body.name).toBe('Allotments')
  })

  it('that calls twice under one key is answered alike; with another body it is refused', async () => {
    account = await world.person()
    const idempotencyKey = freshJti()
    const first = accepted(await adopt(account, alice, { idempotencyKey }))
    await bind(alice, account, 'main')
    expect(accepted(await adopt(account, alice, { idempotencyKey }))).toEqual(first)
    expect(said(await adopt(account, alice, { idempotencyKey, name: 'Others' }))).toBe('409 IdempotencyConflict')
    expect(await logOf(database, account.did, 'community.adopt')).toHaveLength(1)
  })

  it('that calls many times at once is one community, owned by the one whom it named last', async () => {
    account = await world.person()
    const owners = [alice, alice, alice, bob, bob, bob]
    const answers = await Promise.all(owners.map((owner) => adopt(account, owner)))
    const { rows } = await sql<{ did: string }>`select did from person_edge
      where into_space = ${rosterOf(account.did).uri}`.execute(database.db)
    expect(rows).toHaveLength(1)
    for (const answer of answers) expect(said(answer)).toBe('taken')
    const made = await logOf(database, account.did, 'community.adopt')
    expect(made.map(({ because }) => because.revision).toSorted()).toEqual(made.map((_one, at) => at + 1))
    const last = made.toSorted((one, other) => Number(one.because.revision) - Number(other.because.revision)).at(-1)
    expect(last?.subject).toBe(rows[0]?.did)
  })

  it.each([
    ['itself as owner', () => ({ owner: account.did }), '400 InvalidRequest'],
    ['no owner', () => ({ owner: undefined }), '400 InvalidRequest'],
    ['an owner who is no DID', () => ({ owner: 'alice.example.com' }), '400 InvalidRequest'],
    ['an owner in another spelling', () => ({ owner: 'did:web:Example.com' }), '400 InvalidRequest'],
    ['an owner and a key of theirs', () => ({ owner: `${alice.did}#atproto` }), '400 InvalidRequest'],
    ['no name', () => ({ name: undefined }), '400 InvalidRequest'],
    ['an empty name', () => ({ name: '' }), '400 InvalidRequest'],
    ['a name of 65 letters', () => ({ name: 'x'.repeat(65) }), '400 InvalidRequest'],
    ['a name that doesn’t show', () => ({ name: 'a\u202eb' }), '400 InvalidRequest'],
    ['a field that nobody knows', () => ({ owners: [] }), '400 InvalidRequest'],
  ] as const)('that names %s is not taken', async (_what, more, expected) => {
    account = await world.person()
    expect(await traceless(() => adopt(account, alice, more()))).toBe(expected)
    expect(await traceless(() => account.call(`${R}.community.release`))).toBe('404 NotFound')
  })

  it('that was founded here stays what it is', async () => {
    const community = await world.found(alice)
    const key = makeKey('p256')
    const { house } = world.reeve
    const honest = house.documents.resolve.bind(house.documents)
    const resolve = vi.spyOn(house.documents, 'resolve')
    resolve.mockImplementation(async (did, ask) =>
      did === community
        ? ({ did, fetchedAtMs: 0, key: () => key.publicKey, service: () => 'absent' } as never)
        : honest(did, ask),
    )
    try {
      const itself = personOf(world, community, key)
      expect(await traceless(() => adopt(itself, alice))).toBe('403 Forbidden')
      expect(await traceless(() => itself.call(`${R}.community.release`))).toBe('404 NotFound')
    } finally {
      resolve.mockRestore()
    }
    const { body } = await alice.ask(`${R}.community.get`, { community })
    expect(body).toMatchObject({ custody: 'custodial', status: 'active' })
    expect(body.isReleased).toBeUndefined()
  })

  describe('takes its consent back', () => {
    it('and nobody is let in from the next question on, while roll and owners stay', async () => {
      await start()
      const forum = await bind(alice, account, 'main')
      await putIn(alice, forum, bob.did)
      const { august, october } = hostsOf(world)
      const asked = async () => [
        ...[await august.mint(account, forum, bob.did), await august.write(account, forum, bob.did)],
        ...[await october.mint(account, forum, bob.did), await october.write(account, forum, bob.did)],
        await october.mint(account, forum, alice.did),
      ]
      const token = (await october.request({ by: account, space: forum, user: bob.did, access: 'read' })).headers?.find(
        ([name]) => name === 'authorization',
      )?.[1]
      const again = () =>
        october.ask({ by: account, space: forum, user: bob.did, access: 'read', token: token?.slice(7) ?? '' })
      expect(await asked()).toEqual([true, true, true, true, true])
      expect((await again()).body).toEqual({ authorized: true })
      const rollOf = async () => [
        (await alice.ask(`${R}.member.list`, { space: forum })).body.members,
        (await alice.ask(`${R}.member.list`, { space: rosterOf(account.did).uri })).body.members,
      ]
      const roll = await rollOf()
      const before = accepted(await alice.ask(`${R}.community.get`, { community: account.did }))
      expect(before.isReleased).toBeUndefined()

      expect(accepted(await account.call(`${R}.community.release`))).toEqual({ revision: before.revision + 1 })
      expect(await asked()).toEqual([false, false, false, false, false])
      expect(await again()).toMatchObject({ status: 200, body: { authorized: false } })
      expect(await rollOf()).toEqual(roll)
      const get = async () => (await alice.ask(`${R}.community.get`, { community: account.did })).body
      expect(await get()).toMatchObject({ isReleased: true, revision: before.revision + 1 })
      expect((await alice.ask(`${R}.space.get`, { space: forum })).body.host).toMatchObject({ isReleased: true })
      expect(await logOf(database, account.did, 'community.release')).toMatchObject([
        { actor: account.did, target: account.did, because: { reasons: [{ rule: 'authority' }] } },
      ])
      // Its owners govern it as before.
      await putIn(alice, forum, (await world.person()).did)
      const { revision } = await get()
      expect(await traceless(() => account.call(`${R}.community.release`))).toBe('taken')
      expect((await get()).revision).toBe(revision)

      expect(await traceless(() => adopt(account, bob)), 'bob owns nothing').toBe('403 Forbidden')
      expect(await asked()).toEqual([false, false, false, false, false])
      expect(accepted(await adopt(account, alice)).revision).toBe(revision + 1)
      expect(await asked()).toEqual([true, true, true, true, true])
      expect((await get()).isReleased).toBeUndefined()
      expect((await alice.ask(`${R}.space.get`, { space: forum })).body.host.isReleased).toBeUndefined()
    })

    it('and nobody else can do it, whatever they are there', async () => {
      await start()
      await putIn(alice, rosterOf(account.did).uri, bob.did, 'admin')
      for (const who of [alice, bob, await world.person()]) {
        expect(await traceless(() => who.call(`${R}.community.release`))).toBe('404 NotFound')
      }
      expect((await alice.ask(`${R}.community.get`, { community: account.did })).body.isReleased).toBeUndefined()
    })
  })

  it('has no handle that could be set here', async () => {
    await start()
    for (const input of [{ handle: 'allotments.example.com' }, { remove: true }]) {
      const call = () => alice.call(`${R}.community.setHandle`, { community: account.did, ...input })
      expect(await traceless(call)).toBe('400 UnsupportedCustody')
    }
    expect(plc.count('post', account.did)).toBe(1)
  })

  it('whose community was deleted is never one again', async () => {
    await start()
    const forum = await bind(alice, account, 'main')
    accepted(await alice.call(`${R}.community.delete`, { community: account.did }))
    expect(await hostsOf(world).october.mint(account, forum, alice.did), 'it is only announced').toBe(true)
    world.clock.moveSec(WEEK_SEC + 1)
    await eventually('it has ended', async () => {
      await carryOutDue(world.reeve.house)
      return (await alice.ask(`${R}.community.get`, { community: account.did })).status === 404
    })
    expect(await hostsOf(world).october.mint(account, forum, alice.did)).toBe(false)
    await eventually('all of it is gone', async () => {
      while ((await clearEndedRolls(database.db, 1)) > 0);
      const { rows } = await sql`select space from space_end where community = ${account.did}
        union all select into_space from person_edge where community = ${account.did}`.execute(database.db)
      return rows.length === 0
    })
    expect(await traceless(() => adopt(account, alice))).toBe('403 Forbidden')
    expect(await traceless(() => adopt(account, bob))).toBe('403 Forbidden')
    expect(await hostsOf(world).october.mint(account, forum, alice.did)).toBe(false)
  })
})

describe('who may be a community here', () => {
  it('is an account that the operator names; its owner’s name doesn’t help', OPENS_A_WORLD, async () => {
    const plc = await startFakePlc()
    const [named, other, owner] = await Promise.all(Array.from({ length: 3 }, () => makeSomebody(plc.honestUrl)))
    if (!named || !other || !owner) throw new Error('nobody came')
    const database = await openTestDatabase('embedded')
    const environment = { REEVE_FOUNDERS: `${named.did},${owner.did}` }
    const world = await openWorld({ database, plcUrl: plc.url, environment })
    try {
      const at = ({ did, key }: typeof named) => personOf(world, did, key)
      const call = () => adopt(at(other), owner)
      expect(said(await call())).toBe('403 Forbidden')
      const { rows } = await sql`select from community`.execute(database.db)
      expect(rows).toEqual([])
      expect(said(await adopt(at(named), other))).toBe('taken')
      expect(said(await call())).toBe('403 Forbidden')
    } finally {
      await world.close()
      await plc.close()
    }
  })
})

describeOnEachEngine('a space at a PDS', (open) => {
  let database: TestDatabase
  let scene: Adopted
  let admin: Person
  let founded: string

  beforeAll(async () => {
    database = await open()
    scene = await openAdopted(database)
    const { world, alice, account } = scene
    admin = await world.person()
    await putIn(alice, rosterOf(account.did).uri, admin.did, 'admin')
    founded = await world.found(alice)
  })
  afterAll(() => scene.close())

  const create = (who: Person, more: object = {}) =>
    who.call(`${R}.space.create`, { community: scene.account.did, spaceType: FORUM_TYPE, host: 'pds', ...more })
  const spaces = async () => (await sql`select * from space order by uri`.execute(database.db)).rows
  const refused = async (call: () => Promise<Answer>): Promise<string> => {
    const before = await spaces()
    const answer = await call()
    expect(await spaces()).toEqual(before)
    return said(answer)
  }

  it('is bound by an owner, and says where its records are', async () => {
    const { world, alice, account } = scene
    const before = world.clock.nowMs()
    const answer = accepted(await create(alice, { skey: 'bound', name: 'Beds' }))
    const uri = `at://${account.did}/space/${FORUM_TYPE}/bound`
    expect(answer).toMatchObject({
      uri,
      host: { at: 'pds', managingApp: `${world.config.serviceDid}#reeve`, speaks: 'unknown' },
    })
    const boundAt = Date.parse(answer.host.boundAt)
    expect(boundAt).toBeGreaterThanOrEqual(before)
    expect(boundAt).toBeLessThanOrEqual(world.clock.nowMs())
    expect(Date.parse(answer.host.settlesAt)).toBe(boundAt + DAY_MS)
    expect(answer.host.notEnforced).toEqual([
      { name: 'takingBack', says: expect.stringMatching(/reads on until the credential/) },
      { name: 'writing', says: expect.stringMatching(/August 2026 asks about reading and writing in the same words/) },
    ])
    expect(answer.host.warnings).toEqual([
      ...ALWAYS_WARNED,
      { name: 'settling', says: expect.stringMatching(/until settlesAt.*advice/) },
      { name: 'neverAsked', says: expect.stringMatching(/has not asked/) },
    ])
    for (const absent of ['askedAt', 'strangersAt', 'isReleased']) expect(answer.host).not.toHaveProperty(absent)
    const got = accepted(await alice.ask(`${R}.space.get`, { space: uri }))
    expect(got).toMatchObject({ uri, name: 'Beds', host: answer.host })
    expect(await logOf(database, account.did, 'space.create')).toContainEqual(
      expect.objectContaining({ actor: alice.did, target: uri, because: expect.objectContaining({ host: 'pds' }) }),
    )
  })

  it.each([
    ['an admin', () => create(admin, { skey: 'no' }), '403 Forbidden'],
    ['somebody who stands in one of its spaces alone', () => create(scene.bob, { skey: 'no' }), '404 NotFound'],
    ['a stranger', () => create(scene.carol, { skey: 'no' }), '404 NotFound'],
    ['the account itself', () => create(scene.account, { skey: 'no' }), '404 NotFound'],
    ['an owner without an skey', () => create(scene.alice), '400 InvalidRequest'],
    ['an owner, a second time', () => create(scene.alice, { skey: 'main' }), '400 SpaceAlreadyExists'],
    ['a host that nobody knows', () => create(scene.alice, { skey: 'no', host: 'moon' }), '400 UnsupportedHost'],
    ['no host', () => create(scene.alice, { skey: 'no', host: undefined }), '400 UnsupportedHost'],
    ['the host that this is', () => create(scene.alice, { skey: 'no', host: 'here' }), '400 UnsupportedHost'],
    [
      'a community that was founded here',
      () => create(scene.alice, { community: founded, skey: 'no' }),
      '400 UnsupportedHost',
    ],
    [
      'the type of a role',
      () => create(scene.alice, { spaceType: ROLE_SPACE_TYPE, skey: 'no' }),
      '400 UnsupportedHost',
    ],
    [
      'the type of a roster',
      () => create(scene.alice, { spaceType: 'community.reeve.roster', skey: 'self' }),
      '400 InvalidRequest',
    ],
    ...(['readPolicy', 'writePolicy'] as const).map(
      (policy) =>
        [
          `another managing app as its ${policy}`,
          () =>
            create(scene.alice, {
              skey: 'no',
              [policy]: {
                $type: 'com.atproto.simplespace.defs#managingAppPolicy',
                managingApp: 'did:web:app.example.com#bouncer',
              },
            }),
          '400 UnsupportedPolicy',
        ] as const,
    ),
  ] as const)('is not bound by %s', async (_who, call, expected) => {
    expect(await refused(call)).toBe(expected)
  })

  it('may be looked at before it is bound, which makes nothing', async () => {
    expect(await refused(() => create(scene.alice, { skey: 'perhaps', dryRun: true }))).toBe('taken')
    expect(await refused(() => create(admin, { skey: 'perhaps', dryRun: true }))).toBe('403 Forbidden')
    const uri = `at://${scene.account.did}/space/${FORUM_TYPE}/perhaps`
    expect(await scene.hosts.october.mint(scene.account, uri, scene.alice.did)).toBe(false)
  })

  it('stands beside roles, which are made there as everywhere', async () => {
    const { alice, account, forum, hosts, carol } = scene
    const input = { community: account.did, spaceType: ROLE_SPACE_TYPE, skey: 'crew' }
    const crew = accepted(await alice.call(`${R}.space.create`, input))
    expect(crew.host).toBeUndefined()
    expect((await alice.ask(`${R}.space.get`, { space: crew.uri })).body.host).toBeUndefined()
    await putIn(alice, crew.uri, carol.did, 'member')
    expect(await hosts.october.mint(account, forum, carol.did)).toBe(false)
    const nested = { space: forum, memberSpace: crew.uri, role: 'writer' }
    accepted(await alice.call(`${R}.member.put`, nested))
    expect(await hosts.october.mint(account, forum, carol.did)).toBe(true)
    expect(await hosts.october.write(account, forum, carol.did)).toBe(true)
    accepted(await alice.call(`${R}.member.remove`, { space: forum, memberSpace: crew.uri }))
    expect(await hosts.october.mint(account, forum, carol.did)).toBe(false)
  })

  it('says of its PDS when it asked and in which words, and by them what isn’t enforced there', async () => {
    const { world, alice, bob, account, hosts } = scene
    const space = await bind(alice, account, 'heard', { readPolicy: PUBLIC })
    const hostNow = async () => accepted(await alice.ask(`${R}.space.get`, { space })).host
    const names = namesOf
    expect(names((await hostNow()).notEnforced)).toEqual(['takingBack', 'writing'])
    expect(names((await hostNow()).warnings)).toContain('neverAsked')

    const before = world.clock.nowMs()
    expect(await hosts.august.mint(account, space, bob.did)).toBe(true)
    const heard = await hostNow()
    expect(heard.speaks).toBe('august')
    expect(Date.parse(heard.askedAt)).toBeGreaterThanOrEqual(before)
    expect(Date.parse(heard.askedAt)).toBeLessThanOrEqual(world.clock.nowMs())
    expect(names(heard.warnings)).not.toContain('neverAsked')
    expect(names(heard.notEnforced)).toEqual(['takingBack', 'writing'])

    // Whoever names no app isn't asked about one in August, so a list of apps that turns the unproven away says so.
    accepted(await alice.call(`${R}.app.setAccess`, { space, mode: 'allowList', unattested: 'refuse' }))
    const ofApps = ['unprovenApps', 'writingApps']
    expect(names((await hostNow()).notEnforced)).toEqual(['takingBack', 'writing', ...ofApps])

    expect(await hosts.october.write(account, space, alice.did)).toBe(true)
    expect((await hostNow()).speaks).toBe('october')
    expect(names((await hostNow()).notEnforced), 'no app is named on writes').toEqual(['takingBack', 'writingApps'])
    // Once heard, it stays so.
    world.clock.moveSec(90)
    expect(await hosts.august.mint(account, space, bob.did)).toBe(true)
    const later = await hostNow()
    expect(later.speaks).toBe('october')
    expect(Date.parse(later.askedAt)).toBeGreaterThan(Date.parse(heard.askedAt) + 60_000)
  })

  it('is said to settle for a day, which nothing waits for', async () => {
    const { world, alice, bob, account, hosts } = scene
    const space = await bind(alice, account, 'settles')
    await putIn(alice, space, bob.did)
    const warned = async () => namesOf(accepted(await alice.ask(`${R}.space.get`, { space })).host.warnings)
    expect(await hosts.october.mint(account, space, bob.did)).toBe(true)
    expect(await warned()).toEqual(['remembers', 'downIsNo', 'ownWord', 'settling'])
    world.clock.moveSec(DAY_MS / 1_000 - 60)
    expect(await warned()).toContain('settling')
    world.clock.moveSec(61)
    expect(await warned()).toEqual(['remembers', 'downIsNo', 'ownWord'])
  })

  it('made with a list of apps says at once what of it doesn’t hold there', async () => {
    const { alice } = scene
    const appAccess = {
      $type: 'com.atproto.simplespace.defs#allowList',
      allowed: ['https://app.example.com/client.json'],
    }
    const { host, uri } = accepted(await create(alice, { skey: 'listed', appAccess }))
    expect(namesOf(host.notEnforced)).toEqual(['takingBack', 'writing', 'unprovenApps', 'writingApps'])
    expect(accepted(await alice.ask(`${R}.space.get`, { space: uri })).host.notEnforced).toEqual(host.notEnforced)
  })

  it('ends by an owner’s hand, and one of its name begins anew', async () => {
    const { world, alice, bob, account, hosts } = scene
    const space = await bind(alice, account, 'ends')
    await putIn(alice, space, bob.did)
    expect(await hosts.october.mint(account, space, bob.did)).toBe(true)
    accepted(await alice.call(`${R}.space.delete`, { space }))
    for (const { did } of [bob, alice]) expect(await hosts.october.mint(account, space, did)).toBe(false)
    expect((await alice.ask(`${R}.space.get`, { space })).status).toBe(404)
    world.clock.moveSec(5)
    await eventually('its name is free', () => bind(alice, account, 'ends').catch(() => null))
    const { host } = accepted(await alice.ask(`${R}.space.get`, { space }))
    expect(host.speaks).toBe('unknown')
    expect(host.askedAt).toBeUndefined()
    expect(await hosts.october.mint(account, space, bob.did)).toBe(false)
    expect(await hosts.october.mint(account, space, alice.did)).toBe(true)
  })

  describe('is no space of ours', () => {
    it.each(BINDINGS)('to the exchange (%s)', async (binding) => {
      const answer = await scene.bob.exchange(scene.forum, binding)
      expect(said(answer)).toBe('400 SpaceNotFound')
      const { rows } = await sql`select from issuance where space = ${scene.forum}`.execute(database.db)
      expect(rows).toEqual([])
    })

    it.each(BINDINGS)('to whoever tells of a write (%s)', async (generation) => {
      const { world, bob, forum } = scene
      expect(said(await write(world, { writer: bob, space: forum, generation }))).toBe('400 SpaceNotFound')
      const { rows } = await sql`select from writer where space = ${forum}`.execute(database.db)
      expect(rows).toEqual([])
    })

    it('to anybody who asks what it is', async () => {
      const query = new URLSearchParams({ space: scene.forum })
      const answer = await scene.world.send({ path: `/xrpc/${R}.space.describe?${query}` })
      expect(said(answer)).toBe('400 SpaceNotFound')
    })

    it.each(['listRepos', 'registerNotify', 'unregisterNotify'])(
      'to whoever shows a credential to %s',
      async (name) => {
        const { world, account, forum } = scene
        const nowSec = world.clock.nowSec()
        const key = makeKey('p256')
        const payload = {
          ...{ iss: account.did, sub: forum, iat: nowSec, exp: nowSec + 600, jti: freshJti() },
          cnf: { kid: makeKey('p256').didKey },
        }
        const header = { typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' }
        const authorization = ['authorization', `Atproto-Space ${makeJws({ header, payload, key })}`] as const
        const path = `/xrpc/com.atproto.space.${name}`
        const input = { space: forum, service: account.did }
        const answer =
          name === 'listRepos'
            ? await world.send({ path: `${path}?${new URLSearchParams({ space: forum })}`, headers: [authorization] })
            : await world.send({
                ...{ method: 'POST', path, body: JSON.stringify(input) },
                headers: [authorization, ['content-type', 'application/json']],
              })
        expect(said(answer)).toBe('400 SpaceNotFound')
      },
    )
  })
})
