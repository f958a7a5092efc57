/** `member.put` on real databases: who may put whom where, and under which names. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  nest,
  openCommunity,
  put,
  type Roll,
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { tracelessRefusalOf, type Verdict, verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('member.put', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let other: Community
  let forum: SpaceUri
  let hidden: SpaceUri
  const [admin, moderator, member, reader, stranger] = Array.from({ length: 5 }, freshDid) as [Did, Did, Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    other = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    hidden = await makeForum(roll, community, 'hidden')
    for (const [did, role] of [
      [admin, 'admin'],
      [moderator, 'moderator'],
      [member, 'member'],
      [reader, 'reader'],
    ] as const) {
      await put(roll, community.founder, forum, did, role)
    }
  })

  const entryOf = (space: SpaceUri, did: string) =>
    db.selectFrom('person_edge').selectAll().where('into_space', '=', space).where('did', '=', did).executeTakeFirst()

  /** The verdict, having made sure that a refusal changed nothing but, perhaps, the list of refusals. */
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('writes down who was put where, by whom and for how long', async () => {
    const bob = freshDid()
    await put(roll, admin, forum, bob, 'reader', { since: '2030-01-01T00:00:00Z', until: '2031-01-01T01:00:00+01:00' })
    expect(await entryOf(forum, bob)).toMatchObject({
      ...{ role: 'reader', community: community.did, added_by: admin, added_at_ms: roll.clock.nowMs() },
      ...{ since_ms: Date.UTC(2030, 0, 1), until_ms: Date.UTC(2031, 0, 1) },
    })
    await put(roll, community.founder, forum, bob, 'member')
    expect(await entryOf(forum, bob)).toMatchObject({
      ...{ role: 'member', added_by: community.founder, since_ms: null, until_ms: null },
    })
  })

  const rows: { actor: string; did: () => Did; role: string; verdict: Verdict }[] = [
    { actor: 'a moderator', did: () => moderator, role: 'reader', verdict: 'accepted' },
    { actor: 'a moderator', did: () => moderator, role: 'member', verdict: 'accepted' },
    { actor: 'a moderator', did: () => moderator, role: 'moderator', verdict: 'Forbidden' },
    { actor: 'an admin', did: () => admin, role: 'moderator', verdict: 'accepted' },
    { actor: 'an admin', did: () => admin, role: 'admin', verdict: 'accepted' },
    { actor: 'a member', did: () => member, role: 'reader', verdict: 'Forbidden' },
    { actor: 'a reader', did: () => reader, role: 'reader', verdict: 'Forbidden' },
    { actor: 'a stranger', did: () => stranger, role: 'reader', verdict: 'NotFound' },
    { actor: 'the community itself', did: () => community.did, role: 'reader', verdict: 'NotFound' },
    { actor: 'the owner of another community', did: () => other.founder, role: 'reader', verdict: 'NotFound' },
    { actor: 'an owner', did: () => community.founder, role: 'admin', verdict: 'accepted' },
  ]
  it.each(rows)('lets $actor put somebody as $role: $verdict', async ({ did, role, verdict }) => {
    const change = () => put(roll, did(), forum, freshDid(), role)
    expect(verdict === 'accepted' ? await verdictOf(change) : await refusalOf(change)).toBe(verdict)
  })

  it('lets nobody rise by themself, or by a friend of the same height', async () => {
    expect(await refusalOf(() => put(roll, moderator, forum, moderator, 'admin'))).toBe('Forbidden')
    await put(roll, community.founder, community.roster, admin, 'admin')
    expect(await refusalOf(() => put(roll, admin, community.roster, admin, 'owner'))).toBe('EscalationDenied')
    expect(await refusalOf(() => put(roll, admin, community.roster, freshDid(), 'owner'))).toBe('EscalationDenied')
  })

  it('lets nobody demote a person who holds what they lack', async () => {
    expect(await refusalOf(() => put(roll, admin, community.roster, community.founder, 'member'))).toBe(
      'EscalationDenied',
    )
  })

  it('lets the last owner neither demote themself nor be on a term', async () => {
    const { founder, roster } = community
    expect(await refusalOf(() => put(roll, founder, roster, founder, 'admin'))).toBe('LastOwner')
    const until = '2999-01-01T00:00:00Z'
    expect(await refusalOf(() => put(roll, founder, roster, founder, 'owner', { until }))).toBe('InvalidRequest')
    expect(await refusalOf(() => put(roll, founder, roster, founder, 'admin', { until }))).toBe('LastOwner')
  })

  it('has owners in the roster only, and without a term', async () => {
    const { founder, roster } = community
    expect(await refusalOf(() => put(roll, founder, forum, freshDid(), 'owner'))).toBe('InvalidRequest')
    for (const time of [{ since: '2999-01-01T00:00:00Z' }, { until: '2999-01-01T00:00:00Z' }]) {
      expect(await refusalOf(() => put(roll, founder, roster, freshDid(), 'owner', time))).toBe('InvalidRequest')
    }
  })

  it("has no room on a community's rosters for the community itself: nobody can act for it", async () => {
    const { founder, roster, did } = community
    expect(await refusalOf(() => put(roll, founder, roster, did, 'owner'))).toBe('InvalidRequest')
    expect(await refusalOf(() => put(roll, founder, forum, did, 'reader'))).toBe('InvalidRequest')
    expect(await verdictOf(() => put(roll, founder, forum, other.did, 'reader'))).toBe('accepted')
  })

  it('judges where a role space leads, not only where the person is put', async () => {
    const crew = await makeRoleSpace(roll, community, 'crew')
    await nest(roll, community.did, { into: hidden, from: crew, role: 'moderator', holding: 'read' })
    const keeper = freshDid()
    await put(roll, community.founder, crew, keeper, 'moderator')
    // The keeper comes through themself, and so holds in the hidden space what they pass on.
    expect(await verdictOf(() => put(roll, keeper, crew, freshDid(), 'reader'))).toBe('accepted')
    await nest(roll, community.did, { into: forum, from: hidden, role: 'admin', holding: 'space.delete' })
    expect(await verdictOf(() => put(roll, keeper, crew, freshDid(), 'reader'))).toBe('accepted')
    // Whoever reads in the crew from now on runs the forum, which the keeper doesn't until then.
    const sinceMs = roll.clock.nowMs() + 60_000
    await nest(roll, community.did, { into: forum, from: crew, role: 'admin', holding: 'read', sinceMs })
    expect(await refusalOf(() => put(roll, keeper, crew, freshDid(), 'reader'))).toBe('EscalationDenied')
  })

  it('knows the roles of the list and no other', async () => {
    const names = ['chief', 'Owner', 'member ', 'mеmber', '__proto__', 'constructor', 'toString', 'valueOf', 'ghost']
    for (const role of names) {
      expect(await refusalOf(() => put(roll, community.founder, forum, freshDid(), role))).toBe('UnknownRole')
      expect(await refusalOf(() => put(roll, stranger, forum, freshDid(), role))).toBe('NotFound')
    }
  })

  it('knows a person by one spelling', async () => {
    const bob = freshDid()
    const spellings = [
      bob.toUpperCase(),
      bob.replace('did:plc:', 'did:PLC:'),
      bob.replace('did:', 'DID:'),
      ` ${bob}`,
      `${bob}\n`,
      `${bob}#atproto`,
      `${bob}/`,
      `${bob}a`,
      bob.slice(0, -1),
      `at://${bob}`,
      'did:web:EVIL.example.com',
      'did:web:evil.example.com.',
      'did:web:evil.example.com:users:bob',
      'did:web:evil.example.com%3A8443',
      'did:web:xn--',
      'did:web:bücher.example.com',
      'did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169',
      'did:example:bob',
      'bob.example.com',
      '',
    ]
    for (const spelling of spellings) {
      expect(await refusalOf(() => put(roll, community.founder, forum, spelling, 'reader'))).toBe('InvalidRequest')
    }
    expect(await verdictOf(() => put(roll, community.founder, forum, bob, 'reader'))).toBe('accepted')
  })

  it('knows a space by one spelling', async () => {
    const spellings = [
      `${forum}/`,
      `${forum}?x=1`,
      `${forum}#main`,
      forum.replace('at://', 'AT://'),
      forum.replace('/space/', '/Space/'),
      forum.replace(community.did, community.did.toUpperCase()),
      forum.replace('com.atmoboards', 'COM.atmoboards'),
      forum.replace('/main', '/m%61in'),
      forum.replace('/main', '/..'),
      forum.replace('/main', '/'),
      `${forum}/x`,
      ` ${forum}`,
      '',
    ]
    for (const spelling of spellings) {
      expect(await refusalOf(() => put(roll, community.founder, spelling, freshDid(), 'reader'))).toBe('InvalidRequest')
    }
  })

  it('refuses a time that ends before it begins', async () => {
    const [early, late] = ['2030-01-01T00:00:00Z', '2031-01-01T00:00:00Z']
    for (const time of [
      { since: late, until: early },
      { since: early, until: early },
      { since: early, until: '2030-01-01T01:00:00+01:00' },
    ]) {
      expect(await refusalOf(() => put(roll, community.founder, forum, freshDid(), 'reader', time))).toBe(
        'InvalidRequest',
      )
    }
  })

  it('says no in the same words for a space that is not there, one that is hidden, and one of nobody', async () => {
    const unknown = [
      hidden,
      forum.replace('/main', '/none'),
      community.roster.replace('/self', '/other'),
      forum.replace(community.did, freshDid()),
    ]
    const refusals = await Promise.all(
      [member, stranger].flatMap((actor) =>
        unknown.map((space) => wordsOf(() => put(roll, actor, space, freshDid(), 'reader'))),
      ),
    )
    for (const role of ['ghost', 'owner']) {
      refusals.push(
        ...(await Promise.all(unknown.map((space) => wordsOf(() => put(roll, member, space, member, role))))),
      )
    }
    expect(new Set(refusals).size).toBe(1)
    expect(refusals[0]).toContain('NotFound')
  })

  it('never reaches a roster of another community', async () => {
    for (const space of [other.roster, forum.replace(community.did, other.did)]) {
      expect(await refusalOf(() => put(roll, community.founder, space, freshDid(), 'reader'))).toBe('NotFound')
    }
    const shared = freshDid()
    await put(roll, other.founder, other.roster, shared, 'admin')
    expect(await refusalOf(() => put(roll, shared, community.roster, freshDid(), 'reader'))).toBe('NotFound')
    await put(roll, community.founder, community.roster, shared, 'reader')
    expect(await refusalOf(() => put(roll, shared, community.roster, freshDid(), 'reader'))).toBe('Forbidden')
    expect(await refusalOf(() => put(roll, shared, forum, freshDid(), 'reader'))).toBe('NotFound')
  })

  describe('by somebody whose own time runs out', () => {
    it('ends with it', async () => {
      const helper = freshDid()
      const until = new Date(roll.clock.nowMs() + 1000).toISOString()
      await put(roll, community.founder, forum, helper, 'moderator', { until })
      roll.clock.moveMs(999)
      expect(await verdictOf(() => put(roll, helper, forum, freshDid(), 'reader'))).toBe('accepted')
      roll.clock.moveMs(1)
      expect(await refusalOf(() => put(roll, helper, forum, freshDid(), 'reader'))).toBe('NotFound')
    })

    it('gives no power that outlives it, by whatever role space and to whomever', async () => {
      const crew = await makeRoleSpace(roll, community, 'night-crew')
      await nest(roll, community.did, { into: hidden, from: crew, role: 'moderator', holding: 'read' })
      const [helper, puppet] = [freshDid(), freshDid()]
      const until = new Date(roll.clock.nowMs() + 1000).toISOString()
      await put(roll, community.founder, crew, helper, 'admin', { until })
      for (const did of [helper, puppet, community.founder]) {
        expect(await refusalOf(() => put(roll, helper, crew, did, 'reader', { since: until }))).toBe('EscalationDenied')
        expect(await refusalOf(() => put(roll, helper, crew, did, 'admin'))).toBe('EscalationDenied')
      }
      expect(await verdictOf(() => put(roll, helper, crew, puppet, 'reader', { until }))).toBe('accepted')
      expect(await verdictOf(() => put(roll, community.founder, crew, puppet, 'reader'))).toBe('accepted')
    })

    it('has not begun before it begins', async () => {
      const helper = freshDid()
      const since = new Date(roll.clock.nowMs() + 1000).toISOString()
      await put(roll, community.founder, forum, helper, 'moderator', { since })
      expect(await refusalOf(() => put(roll, helper, forum, freshDid(), 'reader'))).toBe('NotFound')
      roll.clock.moveMs(1000)
      expect(await verdictOf(() => put(roll, helper, forum, freshDid(), 'reader'))).toBe('accepted')
    })
  })
})
