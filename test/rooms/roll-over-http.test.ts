/** The roll as outsiders meet it: over HTTP, with every trick that a body or a query allows. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { everythingIn, freshDid } from '../kit/roll.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const REEVE = 'community.reeve'
const PUT = `${REEVE}.member.put`
const REMOVE = `${REEVE}.member.remove`
const CREATE = `${REEVE}.space.create`
const LIST = `${REEVE}.member.list`
const DEFS = 'com.atproto.simplespace.defs'

describeOnEachEngine('the roll over HTTP', (open) => {
  let database: TestDatabase
  let world: World
  let alice: Person
  let admin: Person
  let member: Person
  let stranger: Person
  let other: Person
  let community: Did
  let foreign: Did
  let roster: string
  let forum: string
  let hidden: string

  beforeAll(async () => {
    database = await open()
    world = await openWorld({ database })
    ;[alice, admin, member, stranger, other] = (await Promise.all([1, 2, 3, 4, 5].map(() => world.person()))) as [
      Person,
      Person,
      Person,
      Person,
      Person,
    ]
    community = await world.found(alice)
    foreign = await world.found(other)
    roster = `at://${community}/space/community.reeve.roster/self`
    forum = await world.makeSpace(alice, community, { skey: 'main' })
    hidden = await world.makeSpace(alice, community, { skey: 'hidden' })
    await alice.call(PUT, { space: forum, did: admin.did, role: 'admin' })
    await alice.call(PUT, { space: roster, did: admin.did, role: 'admin' })
    await alice.call(PUT, { space: forum, did: member.did, role: 'member' })
  })
  afterAll(() => world.close())

  const told = ({ status, body }: Answer) => `${status} ${body.error ?? 'ok'}`

  /** What governance holds, without the log of refusals and without the spent tokens. */
  const kept = async () => {
    const { audit_entry: _rows, audit_head: _heads, ...tables } = await everythingIn(database.db)
    return tables
  }

  it('gives every refusal its status', async () => {
    const bob = freshDid()
    const rows: [Promise<Answer>, string][] = [
      [member.call(PUT, { space: forum, did: bob, role: 'reader' }), '403 Forbidden'],
      [stranger.call(PUT, { space: forum, did: bob, role: 'reader' }), '404 NotFound'],
      [alice.call(PUT, { space: forum, did: bob, role: 'chief' }), '400 UnknownRole'],
      [admin.call(PUT, { space: roster, did: bob, role: 'owner' }), '403 EscalationDenied'],
      [alice.call(PUT, { space: roster, did: alice.did, role: 'admin' }), '409 LastOwner'],
      [alice.call(REMOVE, { space: roster, did: alice.did }), '409 LastOwner'],
      [admin.call(REMOVE, { space: roster, did: alice.did }), '403 EscalationDenied'],
      [alice.call(PUT, { space: forum, did: bob, role: 'reader', ifRevision: 0 }), '409 StaleRevision'],
      [alice.call(CREATE, { community, spaceType: 'com.atmoboards.forum', skey: 'main' }), '400 SpaceAlreadyExists'],
      [
        admin.call(CREATE, {
          community,
          spaceType: 'com.atmoboards.forum',
          readPolicy: { $type: `${DEFS}#publicPolicy` },
        }),
        '403 Forbidden',
      ],
      [member.ask(`${REEVE}.audit.list`, { community }), '404 NotFound'],
      [alice.call(REMOVE, { space: forum, did: bob }), '200 ok'],
    ]
    for (const [answer, expected] of rows) expect(told(await answer)).toBe(expected)
  })

  it('lets nobody whose time runs out stay beyond it, neither by themself nor through a puppet', async () => {
    const [yard, helper, puppet] = [await world.makeSpace(alice, community), await world.person(), freshDid()]
    const inAnHour = (more = 0) => new Date((world.clock.nowSec() + 3600 + more) * 1000).toISOString()
    const [until, since] = [inAnHour(), inAnHour()]
    await alice.call(PUT, { space: yard, did: helper.did, role: 'admin', until })
    const before = await kept()
    for (const did of [helper.did, puppet, alice.did]) {
      for (const time of [{}, { until: inAnHour(60) }, { since }, { since, until: inAnHour(60) }]) {
        for (const role of ['admin', 'moderator']) {
          const answer = await helper.call(PUT, { space: yard, did, role, ...time })
          expect(told(answer), JSON.stringify({ did, role, time })).toBe('403 EscalationDenied')
        }
      }
    }
    expect(await kept()).toEqual(before)
    // For as long as they are there themself they may appoint others, and whoever has no power stays.
    expect(told(await helper.call(PUT, { space: yard, did: puppet, role: 'admin', until }))).toBe('200 ok')
    expect(told(await helper.call(PUT, { space: yard, did: freshDid(), role: 'member' }))).toBe('200 ok')
    expect(told(await helper.call(PUT, { space: yard, did: helper.did, role: 'moderator', until }))).toBe('200 ok')
  })

  it('shows strangers of a community what it shows of none, to the last byte', async () => {
    const nobody = freshDid()
    const bob = freshDid()
    const asks = (space: string, did: Did) => (person: Person) => [
      person.call(PUT, { space, did: bob, role: 'reader' }),
      person.call(PUT, { space, did: bob, role: 'owner', ifRevision: 1 }),
      person.call(REMOVE, { space, did: alice.did }),
      person.call(REMOVE, { space, did: person.did }),
      person.call(CREATE, { community: did, spaceType: 'com.atmoboards.forum', skey: 'main' }),
      person.ask(LIST, { space }),
      person.ask(`${REEVE}.member.check`, { space, did: alice.did, action: 'read' }),
      person.ask(`${REEVE}.space.get`, { space }),
      person.ask(`${REEVE}.space.list`, { community: did }),
      person.ask(`${REEVE}.community.get`, { community: did }),
      person.ask(`${REEVE}.audit.list`, { community: did }),
    ]
    const before = await kept()
    const real = await Promise.all(asks(hidden, community)(stranger))
    const unreal = await Promise.all(asks(hidden.replace(community, nobody), nobody)(stranger))
    expect(real.map(told)).toEqual(Array(real.length).fill('404 NotFound'))
    expect(unreal.map(({ body }) => body)).toEqual(real.map(({ body }) => body))
    expect(await kept()).toEqual(before)

    // To a member, a space they don't stand in is like one that isn't there.
    const ofSpace = (space: string) => (person: Person) =>
      asks(space, community)(person).filter((_, at) => at !== 4 && at < 8)
    const shut = await Promise.all(ofSpace(hidden)(member))
    const none = await Promise.all(ofSpace(hidden.replace('/hidden', '/none'))(member))
    expect(shut.map(told)).toEqual(shut.map((_, at) => (at === 1 ? '409 StaleRevision' : '404 NotFound')))
    expect(none.map(({ body }) => body)).toEqual(shut.map(({ body }) => body))
  })

  it('lets an owner of one community do nothing in another one', async () => {
    const before = await kept()
    const foreignRoster = `at://${foreign}/space/community.reeve.roster/self`
    for (const call of [
      alice.call(PUT, { space: foreignRoster, did: alice.did, role: 'owner' }),
      alice.call(REMOVE, { space: foreignRoster, did: other.did }),
      alice.call(CREATE, { community: foreign, spaceType: 'com.atmoboards.forum' }),
      alice.call(PUT, { space: forum.replace(community, foreign), did: alice.did, role: 'reader' }),
    ]) {
      expect(told(await call)).toBe('404 NotFound')
    }
    expect(await kept()).toEqual(before)
  })

  it('takes a body as its lexicon has it, and nothing that only looks like it', async () => {
    const before = await kept()
    const fine = { space: forum, did: freshDid(), role: 'reader' }
    const bodies: object[] = [
      { ...fine, untill: '2030-01-01T00:00:00Z' },
      { ...fine, isOwner: true },
      { ...fine, role: ['reader'] },
      { ...fine, role: { toString: 'reader' } },
      { ...fine, role: null },
      { ...fine, role: '' },
      { ...fine, role: 'r'.repeat(65) },
      { ...fine, role: 'reader\u0000' },
      { ...fine, role: '\u202ereader' },
      { ...fine, did: fine.did.toUpperCase() },
      { ...fine, did: `${fine.did} ` },
      { ...fine, did: 'did:web:EVIL.example.com' },
      { ...fine, did: community },
      { ...fine, space: `${forum}/` },
      { ...fine, space: forum.replace('/main', '/..') },
      { ...fine, since: 'yesterday' },
      { ...fine, until: '2030-02-31T00:00:00Z' },
      { ...fine, until: '2030-02-29T23:59:59+01:00' },
      { ...fine, until: '2030-01-01' },
      { ...fine, until: '2030-01-01T00:00:00' },
      { ...fine, until: 1_900_000_000_000 },
      { ...fine, until: '+275760-09-13T00:00:00.000Z' },
      { ...fine, until: '9999-12-31T23:59:59-23:59' },
      { ...fine, since: '0000-01-01T00:00:00+23:59' },
      { ...fine, since: '2031-01-01T00:00:00Z', until: '2030-01-01T00:00:00Z' },
      { ...fine, since: '2030-01-01T00:00:00Z', until: '2030-01-01T00:00:00Z' },
      { ...fine, ifRevision: -1 },
      { ...fine, ifRevision: 1.5 },
      { ...fine, ifRevision: '3' },
      { ...fine, ifRevision: 2 ** 60 },
      { ...fine, idempotencyKey: '' },
      { ...fine, idempotencyKey: 'k'.repeat(129) },
      { space: forum, did: fine.did },
    ]
    for (const body of bodies)
      expect(told(await alice.call(PUT, body)), JSON.stringify(body)).toBe('400 InvalidRequest')
    expect(await kept()).toEqual(before)
  })

  it('has no role, policy or action of the names that every object answers to', async () => {
    const before = await kept()
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
      expect(told(await alice.call(PUT, { space: forum, did: freshDid(), role: name }))).toBe('400 UnknownRole')
      const check = { space: forum, did: alice.did, action: name }
      expect(told(await alice.ask(`${REEVE}.member.check`, check))).toBe('400 InvalidRequest')
      const space = { community, spaceType: 'com.atmoboards.forum' }
      for (const part of ['readPolicy', 'writePolicy', 'appAccess']) {
        expect((await alice.call(CREATE, { ...space, [part]: { $type: name } })).status).toBe(400)
      }
    }
    expect(await kept()).toEqual(before)
  })

  it('refuses policies and app access that are not kept here, by their own names', async () => {
    const space = { community, spaceType: 'com.atmoboards.forum' }
    const managed = { $type: `${DEFS}#managingAppPolicy`, managingApp: 'https://app.example.com#bouncer' }
    const ourselves = { ...managed, managingApp: world.config.serviceDid }
    const rows: [object, string][] = [
      [{ readPolicy: managed }, '400 UnsupportedPolicy'],
      [{ writePolicy: managed }, '400 UnsupportedPolicy'],
      [{ writePolicy: ourselves }, '400 UnsupportedPolicy'],
      [{ readPolicy: { $type: `${DEFS}#managingAppPolicy` } }, '400 InvalidRequest'],
      [{ readPolicy: { $type: 'com.example.defs#whoever' } }, '400 UnsupportedPolicy'],
      [{ appAccess: { $type: `${DEFS}#allowList`, allowed: ['http://app.example.com/c'] } }, '400 InvalidRequest'],
      [{ appAccess: { $type: `${DEFS}#allowList` } }, '400 InvalidRequest'],
      [{ appAccess: { $type: 'com.example.defs#some' } }, '400 UnsupportedAppAccess'],
      [{ readPolicy: {} }, '400 InvalidRequest'],
      [{ readPolicy: 'public' }, '400 InvalidRequest'],
      [{ readPolicy: { $type: `${DEFS}#publicPolicy`, more: 1 } }, '400 InvalidRequest'],
      [{ skey: '..' }, '400 InvalidRequest'],
      [{ skey: 'a/b' }, '400 InvalidRequest'],
      [{ spaceType: 'community.reeve.roster', skey: 'self' }, '400 InvalidRequest'],
      [{ name: '\u3164' }, '400 InvalidRequest'],
      [{ name: 'x'.repeat(65) }, '400 InvalidRequest'],
    ]
    for (const [more, expected] of rows)
      expect(told(await alice.call(CREATE, { ...space, ...more })), JSON.stringify(more)).toBe(expected)
  })

  it('shows pages of the sizes it offers, whatever is asked', async () => {
    for (const limit of ['0', '-1', '1001', '1.5', 'all', '0x10', '9007199254740993', 'NaN', '1; drop table space']) {
      expect(told(await alice.ask(LIST, { space: forum, limit })), limit).toBe('400 InvalidRequest')
    }
    for (const cursor of ["' or 1=1 --", '\u{1f431}', '%00', 'x'.repeat(512)]) {
      expect((await alice.ask(LIST, { space: forum, cursor })).status, cursor).toBe(200)
    }
    for (const cursor of ['\u0000', '\u202e', 'x'.repeat(1601)]) {
      expect(told(await alice.ask(LIST, { space: forum, cursor })), cursor).toBe('400 InvalidRequest')
    }
    for (const cursor of ['-1', '0', '1e9', '9'.repeat(40), '٣']) {
      expect(told(await alice.ask(`${REEVE}.audit.list`, { community, cursor })), cursor).toBe('400 InvalidRequest')
    }
    expect(told(await alice.ask(LIST, { space: forum, limits: '1' }))).toBe('400 InvalidRequest')
  })

  it('lists a roster also with the longest and the oldest times on it', async () => {
    const yard = await world.makeSpace(alice, community, { skey: 'yard' })
    const time = { since: '0000-01-01T00:00:00Z', until: '9999-12-31T23:59:59.999999Z' }
    expect((await alice.call(PUT, { space: yard, did: member.did, role: 'reader', ...time })).status).toBe(200)
    expect((await alice.ask(LIST, { space: yard })).body.members).toMatchObject([
      { did: member.did, since: '0000-01-01T00:00:00.000Z', until: '9999-12-31T23:59:59.999Z' },
    ])
  })

  it('answers a repeated call under its key alike, and another one under it by a conflict', async () => {
    const body = { space: forum, did: freshDid(), role: 'reader', idempotencyKey: 'http-1' }
    const first = await alice.call(PUT, body)
    expect(first.status).toBe(200)
    await alice.call(PUT, { space: forum, did: freshDid(), role: 'reader' })
    expect((await alice.call(PUT, body)).body).toEqual(first.body)
    expect(told(await alice.call(PUT, { ...body, role: 'member' }))).toBe('409 IdempotencyConflict')
    const { did, space, role, idempotencyKey } = body
    expect((await alice.call(PUT, { idempotencyKey, role, did, space })).body).toEqual(first.body)
  })

  it('leaves one owner when two put each other out at once', async () => {
    for (let round = 0; round < 3; round++) {
      const shared = await world.found(alice)
      const space = `at://${shared}/space/community.reeve.roster/self`
      await alice.call(PUT, { space, did: other.did, role: 'owner' })
      const answers = await Promise.all([
        alice.call(REMOVE, { space, did: other.did }),
        other.call(REMOVE, { space, did: alice.did }),
      ])
      const [won, lost] = answers.map(told).sort()
      expect(won).toBe('200 ok')
      // Whoever comes while the other is at it is told of the last owner; whoever comes after it is a stranger by then.
      expect(lost).toBe('404 NotFound')
      const owner = answers[0]?.status === 200 ? alice : other
      expect((await owner.ask(LIST, { space })).body.members).toMatchObject([{ did: owner.did, role: 'owner' }])
    }
  })

  it('says that it is our trouble when the log cannot be written, and changes nothing', async () => {
    const refuseWith = (state: string) =>
      sql`create or replace function refuse_the_log() returns trigger language plpgsql as ${sql.lit(
        `begin raise exception 'the log of ${admin.did} is full' using errcode = '${state}'; end`,
      )}`.execute(database.db)
    await refuseWith('53100')
    await sql`create trigger refuse_the_log before insert on audit_entry for each row execute function refuse_the_log()`.execute(
      database.db,
    )
    try {
      const before = await kept()
      const bob = freshDid()
      const attempts = () => [
        alice.call(PUT, { space: forum, did: bob, role: 'reader', idempotencyKey: 'log-full' }),
        alice.call(REMOVE, { space: forum, did: member.did }),
        alice.call(CREATE, { community, spaceType: 'com.atmoboards.forum', skey: 'unlogged' }),
      ]
      for (const answer of await Promise.all(attempts())) expect(told(answer)).toBe('503 NotEnoughResources')
      await refuseWith('P0001')
      for (const answer of await Promise.all(attempts())) {
        expect(told(answer)).toBe('500 InternalServerError')
        expect(JSON.stringify(answer.body)).not.toContain('log of')
      }
      expect(await kept()).toEqual(before)
    } finally {
      await sql`drop trigger refuse_the_log on audit_entry`.execute(database.db)
    }
    const body = { space: forum, did: freshDid(), role: 'reader', idempotencyKey: 'log-full' }
    expect((await alice.call(PUT, body)).status).toBe(200)
  })

  it('takes several lines where an import has them, and nowhere else, and nothing else that does not show', async () => {
    const bring = (lines: string, more: object = {}) =>
      alice.call(`${REEVE}.member.import`, { space: forum, lines, ...more })
    const row = () => JSON.stringify({ did: freshDid(), role: 'member' })
    const answer = await bring(`${row()}\r\n\t${row()}\n`)
    expect(answer.body).toMatchObject({ given: 2, refused: 0 })
    const before = await kept()
    for (const hidden of ['\u0000', '\u0007', '\u001b', '\u202e', '\u2028']) {
      expect(told(await bring(`${row()}${hidden}\n`))).toBe('400 InvalidRequest')
    }
    expect(told(await bring(row(), { idempotencyKey: 'a\nb' }))).toBe('400 InvalidRequest')
    expect(told(await alice.call(PUT, { space: forum, did: freshDid(), role: 'member\n' }))).toBe('400 InvalidRequest')
    expect(told(await bring('x'.repeat(1_000_001)))).toBe('400 InvalidRequest')
    expect(told(await bring('x'.repeat(3_000_000)))).toBe('413 PayloadTooLarge')
    expect(await kept()).toEqual(before)
  })

  it('applies an import to its end by itself', async () => {
    const rows = Array.from({ length: 700 }, () => ({ did: freshDid(), role: 'member' }))
    const lines = rows.map((row) => JSON.stringify(row)).join('\n')
    const { import: id } = (await admin.call(`${REEVE}.member.import`, { space: forum, lines })).body
    expect((await admin.call(`${REEVE}.member.applyImport`, { import: id })).body).toMatchObject({ state: 'running' })
    const seen = await eventually('it is done', async () => {
      const { body } = await admin.ask(`${REEVE}.member.getImport`, { import: id })
      return body.state === 'done' && body
    })
    expect(seen).toMatchObject({ given: 700, put: 700, same: 0, refused: 0, left: 0, begunBy: admin.did, space: forum })
  })

  it('hands the whole roll out, line by line', async () => {
    const { body } = await alice.ask(`${REEVE}.community.exportRoll`, { community, limit: '2' })
    expect(body.lines.split('\n').map((line: string) => line && JSON.parse(line).kind)).toEqual(['roll', 'space', ''])
    const next = await alice.ask(`${REEVE}.community.exportRoll`, { community, limit: '2', cursor: body.cursor })
    expect(next.body.lines).toContain('"kind":"space"')
    expect(told(await admin.ask(`${REEVE}.community.exportRoll`, { community }))).toBe('403 Forbidden')
  })
})
