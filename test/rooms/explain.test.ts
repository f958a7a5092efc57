/** `member.explain` on real databases: the ways with their authors, what is missing, and to whom which of it is told. */
import { beforeAll, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberExplain } from '../../src/access/memberExplain.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import type * as banLexicon from '../../src/lexicons/community/reeve/member/ban.ts'
import type * as lexicon from '../../src/lexicons/community/reeve/member/explain.ts'
import type * as putLexicon from '../../src/lexicons/community/reeve/member/put.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { SealedWords } from '../../src/platform/sealed-words.ts'
import { ACTIONS } from '../../src/policy/roles.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  openToPublic,
  put,
  type Roll,
  remove,
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('member.explain', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let crew: SpaceUri
  let inner: SpaceUri
  const [admin, moderator, member, carol] = Array.from({ length: 4 }, freshDid) as [Did, Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    crew = await makeRoleSpace(roll, community, 'crew')
    inner = await makeRoleSpace(roll, community, 'inner')
    await put(roll, community.founder, community.roster, admin, 'admin')
    await put(roll, community.founder, forum, admin, 'admin')
    await put(roll, community.founder, forum, moderator, 'moderator')
    await put(roll, community.founder, forum, member, 'member')
    await nest(inner, crew, 'writer', { holding: 'write' })
    await nest(crew, forum, 'moderator', { holding: 'write' })
    await put(roll, community.founder, inner, carol, 'writer')
  })

  const nest = (memberSpace: SpaceUri, space: SpaceUri, role: string, more: object = {}, by = community.founder) =>
    memberPut(roll, by, { space, memberSpace, role, ...more } as putLexicon.$InputBody, once())
  const ban = (scope: object, did: Did, more: object = {}) =>
    memberBan(roll, community.founder, { ...scope, did, ...more } as banLexicon.$InputBody, once())
  const explain = (caller: Did, did: Did, action: string | null, space: string = forum, more: object = {}) =>
    memberExplain(roll, caller, { space, did, ...(action === null ? {} : { action }), ...more } as lexicon.$Params)
  const shortly = ({ edges }: { edges: readonly lexicon.Edge[] }) =>
    edges.map(({ hidden, into, from, restsOn }) => (hidden ? null : [into, from, restsOn]))
  const missing = async (caller: Did, did: Did, action: string | null, space: string = forum) =>
    (await explain(caller, did, action, space)).missing
  const kinds = async (caller: Did, did: Did, action: string | null, space: string = forum) =>
    (await missing(caller, did, action, space)).map(({ kind }) => kind)

  it('shows every edge of the way with what it gave, on what it rests, who made it and when', async () => {
    const { edges, paths, ...rest } = await explain(carol, carol, 'members.ban')
    const made = { hidden: false, addedBy: community.founder, addedAt: isoOf(roll.clock.nowMs()), bySystem: false }
    const gives = ['read', 'write', 'members.read', 'members.add', 'members.remove', 'members.ban', 'invite']
    expect(edges).toEqual([
      {
        ...{ ...made, into: forum, from: crew, role: 'moderator', holding: 'write', restsOn: [1] },
        gives: [...gives, 'credentials.revoke'],
      },
      { ...made, into: crew, from: inner, role: 'writer', holding: 'write', gives: ['read', 'write'], restsOn: [2] },
      { ...made, into: inner, from: carol, role: 'writer', gives: ['read', 'write'], restsOn: [] },
    ])
    expect(paths).toEqual([{ edges: [0, 1, 2] }])
    expect(rest).toMatchObject({ allowed: true, edgesAreAll: true, pathsAreAll: true, missing: [] })
  })

  it('shows who made an entry, whoever it was, and the entry of owners as made by the system', async () => {
    const bob = freshDid()
    roll.clock.moveMs(1000)
    await put(roll, moderator, forum, bob, 'reader')
    const { edges } = await explain(bob, bob, 'read')
    expect(edges).toMatchObject([
      { from: bob, addedBy: moderator, addedAt: isoOf(roll.clock.nowMs()), bySystem: false },
    ])
    const owners = await explain(community.founder, community.founder, 'community.transfer')
    expect(owners.paths).toHaveLength(1)
    expect(owners.paths[0]?.edges.map((at) => owners.edges[at])).toMatchObject([
      { into: forum, from: community.roster, role: 'owner', bySystem: true },
      { into: community.roster, from: community.founder, bySystem: false },
    ])
  })

  it('shows all ways, shortest first, and without an action those by which somebody stands there at all', async () => {
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'reader')
    await put(roll, community.founder, inner, bob, 'writer')
    const lengths = async (action: string | null) =>
      (await explain(bob, bob, action)).paths.map(({ edges }) => edges.length)
    expect(await lengths('read')).toEqual([1, 3])
    expect(await lengths('write')).toEqual([3])
    expect(await lengths(null)).toEqual([1, 3])
    expect((await explain(bob, bob, 'space.delete')).edges).toHaveLength(4)
  })

  it('answers as member.check does, for every action, about everybody', async () => {
    for (const action of ACTIONS) {
      for (const did of [admin, moderator, member, carol, freshDid(), community.did, community.founder]) {
        const asked = { space: forum, did, action }
        const { allowed, because, revision, at } = await memberCheck(roll, community.founder, asked)
        const own = { allowed, revision, at }
        const why = await explain(community.founder, did, action)
        expect(why).toMatchObject(own)
        // The owner sees all of the way, of which member.check shows what is in the space.
        expect(why.because.filter(({ into }) => into === undefined || into === forum)).toEqual(
          because.filter(({ into }) => into === undefined || into === forum),
        )
      }
    }
  })

  it('names the rule when no way is needed', async () => {
    const fair = await makeForum(roll, community, 'fair')
    await openToPublic(roll, fair, 'read_policy')
    const stranger = freshDid()
    expect(await explain(stranger, stranger, 'read', fair)).toMatchObject({
      ...{ allowed: true, edges: [], paths: [], missing: [] },
      because: [{ rule: 'openToApps' }, { rule: 'publicPolicy' }],
    })
    expect(await explain(stranger, stranger, null, fair)).toMatchObject({
      allowed: false,
      because: [{ rule: 'noPath' }],
    })
  })

  it('refuses whoever member.check refuses, in the same words', async () => {
    const stranger = freshDid()
    const none = forum.replace('/main', '/none')
    const reader = freshDid()
    await put(roll, community.founder, forum, reader, 'reader')
    for (const [caller, did, space] of [
      [stranger, member, forum],
      [stranger, member, none],
      [stranger, stranger, none],
      [stranger, stranger, forum.replace(community.did, freshDid())],
      [community.founder, member, none],
      [reader, member, forum],
      [admin, 'did:plc:short' as Did, forum],
      [admin, member, `${forum}/`],
    ] as const) {
      const asked = { space, did, action: 'read' }
      const words = await wordsOf(() => memberCheck(roll, caller, asked))
      expect(words).not.toBe('accepted')
      expect(await wordsOf(() => explain(caller, did, 'read', space))).toBe(words)
    }
    expect(await verdictOf(() => explain(admin, member, 'reed'))).toBe('InvalidRequest')
    const word = new SealedWords('of nobody').seal('at', 'x')
    expect(await verdictOf(() => explain(admin, member, 'read', forum, { atLeast: word }))).toBe('InvalidRequest')
  })

  describe('about others', () => {
    it('hides what is in a space whose roster the caller may not see, and how much of it there is', async () => {
      expect(shortly(await explain(member, carol, 'read'))).toEqual([[forum, crew, [1]], null])
      const { edges, paths, because } = await explain(member, carol, 'read')
      expect(edges[1]).toEqual({ hidden: true })
      expect(paths).toEqual([{ edges: [0, 1] }])
      expect(because.map(({ into }) => into)).toEqual([undefined, forum])
    })

    it('shows as much as the rosters that the caller may see, in order', async () => {
      const watcher = freshDid()
      await put(roll, community.founder, forum, watcher, 'member')
      await put(roll, community.founder, inner, watcher, 'member')
      expect(shortly(await explain(watcher, carol, 'read'))).toEqual([[forum, crew, [1]], null])
      await put(roll, community.founder, crew, watcher, 'member')
      expect(shortly(await explain(watcher, carol, 'read'))).toHaveLength(3)
    })

    it('shows all to whoever may read the audit of the community', async () => {
      expect(shortly(await explain(admin, carol, 'read'))).toEqual([
        [forum, crew, [1]],
        [crew, inner, [2]],
        [inner, carol, []],
      ])
      expect((await explain(admin, carol, 'read')).because).toHaveLength(4)
    })

    it('tells what is missing as far as the caller sees the rosters, and all of it to whoever reads the audit', async () => {
      const stranger = freshDid()
      const all = await missing(admin, stranger, 'write')
      expect(all).toContainEqual({ kind: 'entry', away: 0, space: forum, role: 'writer' })
      expect(all).toContainEqual({ kind: 'entry', away: 2, space: inner, role: 'writer' })
      expect(all).toContainEqual({
        ...{ kind: 'notThere', away: 0, space: forum, from: crew, role: 'moderator', holding: 'write' },
      })
      expect(await missing(member, stranger, 'write')).toEqual([
        { kind: 'entry', away: 0, space: forum, role: 'writer' },
      ])
    })

    it('each entry that is named turns the no into a yes', async () => {
      const spaces = (await missing(admin, freshDid(), 'write')).filter(({ kind }) => kind === 'entry')
      expect(spaces.map(({ space }) => space)).toEqual([forum, crew, inner])
      for (const { space, role } of spaces) {
        const bob = freshDid()
        await put(roll, community.founder, String(space), bob, String(role))
        expect(await explain(admin, bob, 'write')).toMatchObject({ allowed: true, missing: [] })
      }
    })

    it('tells of bans to those who may see them, with the reason, and of a departure to nobody but admins', async () => {
      const bob = freshDid()
      await put(roll, community.founder, forum, bob, 'writer')
      const until = isoOf(roll.clock.nowMs() + 60_000)
      await ban({ space: forum }, bob, { reason: 'spam', until })
      const about = { kind: 'ban', away: 0, scope: forum, until }
      expect(await missing(moderator, bob, 'read')).toEqual([{ ...about, reason: 'spam' }])
      expect(await missing(admin, bob, 'read')).toEqual([{ ...about, reason: 'spam' }])
      expect((await explain(moderator, bob, 'read')).because.at(-1)).toMatchObject({ rule: 'ban' })
      expect(await missing(bob, bob, 'read')).toEqual([about])
      expect((await explain(bob, bob, 'read')).because.at(-1)).toMatchObject({ rule: 'ban' })

      const gone = freshDid()
      await put(roll, community.founder, inner, gone, 'writer')
      await memberLeave(roll, gone, { space: forum }, once())
      expect(await kinds(moderator, gone, 'read')).toEqual(['entry'])
      expect(await kinds(admin, gone, 'read')).toEqual(['left', 'entry'])
      expect(await kinds(gone, gone, 'read')).toEqual(['left'])
    })

    describe('who is banned tells those who may not see bans there the same as of somebody without any entry', () => {
      const expectAlike = async (caller: Did, banned: Did) => {
        for (const action of ACTIONS) {
          const never = freshDid()
          const other = await explain(caller, never, action)
          expect(other.allowed).toBe(false)
          expect(await explain(caller, banned, action)).toEqual(other)
          const asked = { space: forum, action }
          expect(await memberCheck(roll, caller, { ...asked, did: banned })).toEqual(
            await memberCheck(roll, caller, { ...asked, did: never }),
          )
        }
        expect(await explain(caller, banned, null)).toEqual(await explain(caller, freshDid(), null))
      }
      const watcher = freshDid()

      beforeAll(async () => {
        const role = { community: community.did, name: 'watcher', actions: ['read', 'members.read'] }
        await rolePut(roll, community.founder, role as never, once())
        for (const space of [forum, crew, inner]) await put(roll, community.founder, space, watcher, 'watcher')
      })

      it.each([
        ['from the space', () => ({ space: forum }), () => [forum]],
        ['from the community', () => ({ community: community.did }), () => [forum, inner]],
        ['from a space on the way', () => ({ space: crew }), () => [crew]],
      ])('%s, with entries or without, also while the space rests', async (_says, scope, spaces) => {
        const [banned, never] = [freshDid(), freshDid()]
        for (const space of spaces()) await put(roll, community.founder, space, banned, 'reader')
        const rest = (isFrozen: boolean) =>
          communityFreeze(roll, community.founder, { space: forum, isFrozen } as never, once())
        for (const one of [banned, never]) await ban(scope(), one, { reason: 'spam' })
        for (const isFrozen of [false, true]) {
          await rest(isFrozen)
          for (const caller of [member, watcher]) for (const one of [banned, never]) await expectAlike(caller, one)
        }
        await rest(false)
      })

      it('and is told as a ban to those who may see one of two', async () => {
        const banned = freshDid()
        await ban({ community: community.did }, banned)
        const read = { space: forum, did: banned, action: 'read' }
        const rule = async (caller: Did) => [
          (await explain(caller, banned, 'read')).because.at(-1)?.rule,
          (await memberCheck(roll, caller, read)).because.at(-1)?.rule,
        ]
        expect(await rule(moderator)).toEqual(['noPath', 'noPath'])
        await ban({ space: forum }, banned)
        expect(await rule(moderator)).toEqual(['ban', 'ban'])
        for (const caller of [admin, community.founder]) expect(await rule(caller)).toEqual(['ban', 'ban'])
        expect(await rule(member)).toEqual(['noPath', 'noPath'])
        expect(await rule(banned)).toEqual(['ban', 'ban'])
      })
    })

    it('tells an admin without leave to ban of the ban, and not why', async () => {
      const bob = freshDid()
      const auditor = freshDid()
      await put(roll, community.founder, forum, auditor, 'member')
      await put(roll, community.founder, community.roster, auditor, 'admin')
      await ban({ space: forum }, bob, { reason: 'spam' })
      expect(await missing(auditor, bob, 'read')).toEqual([{ kind: 'ban', away: 0, scope: forum }])
    })
  })

  describe('about oneself', () => {
    it('shows the whole way, also through spaces whose rosters one may not see', async () => {
      expect(shortly(await explain(carol, carol, 'read'))).toHaveLength(3)
    })

    it('names no space in which one doesn’t stand, and no role to a stranger', async () => {
      const stranger = freshDid()
      const why = await explain(stranger, stranger, 'read')
      expect(why).toMatchObject({ allowed: false, edges: [], paths: [], missing: [] })
      expect(why.because).toEqual([{ rule: 'openToApps' }, { rule: 'noPath', into: forum, action: 'read' }])
      for (const one of [crew, inner]) expect(JSON.stringify(why)).not.toContain(one)

      const bob = freshDid()
      await put(roll, community.founder, inner, bob, 'reader')
      expect(await missing(bob, bob, 'read')).toEqual([
        { kind: 'lacks', away: 2, space: inner, from: bob, role: 'reader', action: 'write' },
        { kind: 'entry', away: 2, space: inner, role: 'writer' },
      ])
      await put(roll, community.founder, crew, bob, 'reader')
      await put(roll, community.founder, forum, bob, 'reader')
      expect(await kinds(bob, bob, 'members.ban')).toEqual([
        'lacks',
        'entry',
        'holding',
        'lacks',
        'entry',
        'holding',
        'lacks',
        'entry',
      ])
    })

    it('tells of an entry of one’s own that has ended or not begun', async () => {
      const [soon, late] = [1000, 2000].map((later) => isoOf(roll.clock.nowMs() + later)) as [string, string]
      const bob = freshDid()
      await put(roll, community.founder, forum, bob, 'reader', { since: soon, until: late })
      const entry = { away: 0, space: forum, from: bob, role: 'reader', since: soon, until: late }
      expect(await missing(bob, bob, 'read')).toEqual([{ kind: 'notBegun', ...entry }])
      roll.clock.moveMs(1000)
      expect(await explain(bob, bob, 'read')).toMatchObject({ allowed: true, edges: [{ since: soon, until: late }] })
      roll.clock.moveMs(1000)
      expect(await missing(bob, bob, 'read')).toEqual([{ kind: 'ended', ...entry }])
      expect(await kinds(member, bob, 'read')).toEqual(['ended', 'entry'])
    })

    it('tells what closes everywhere: a ban from the community', async () => {
      const bob = freshDid()
      await put(roll, community.founder, inner, bob, 'writer')
      await ban({ community: community.did }, bob)
      expect(await missing(bob, bob, 'read')).toEqual([{ kind: 'ban', away: 0, scope: community.did }])
    })
  })

  describe('of a space of another community', () => {
    let others: Community
    let guests: SpaceUri
    let hall: SpaceUri
    const guest = freshDid()

    beforeAll(async () => {
      others = await openCommunity(roll)
      const core = await makeRoleSpace(roll, others, 'core')
      guests = await makeRoleSpace(roll, others, 'guests')
      hall = await makeForum(roll, community, 'hall')
      await nest(core, guests, 'reader', {}, others.founder)
      await put(roll, others.founder, core, guest, 'member')
      await federationOffer(roll, others.founder, { space: guests, to: community.did }, once())
      await nest(guests, hall, 'writer')
    })

    it('tells everybody, the person too, only that it lets them in', async () => {
      for (const caller of [guest, admin, community.founder]) {
        if (caller === admin) await put(roll, community.founder, hall, admin, 'member')
        const { allowed, edges, paths } = await explain(caller, guest, 'read', hall)
        expect(allowed).toBe(true)
        expect(edges).toMatchObject([{ into: hall, from: guests, gives: ['read', 'write'], restsOn: [] }])
        expect(paths).toEqual([{ edges: [0] }])
      }
    })

    it('tells those who see the roster here that it doesn’t, and nothing of who is in it', async () => {
      const stranger = freshDid()
      const all = await missing(community.founder, stranger, 'read', hall)
      expect(all).toContainEqual({ kind: 'notThere', away: 0, space: hall, from: guests, role: 'writer' })
      expect(JSON.stringify(all)).not.toContain('core')
      expect(await missing(stranger, stranger, 'read', hall)).toEqual([])
      await put(roll, community.founder, hall, stranger, 'reader')
      expect(await kinds(stranger, stranger, 'write', hall)).toEqual(['lacks', 'entry'])
    })
  })

  it('forgets an entry at once that was taken away', async () => {
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'writer')
    expect((await explain(bob, bob, 'write')).allowed).toBe(true)
    await remove(roll, community.founder, forum, bob)
    expect(await explain(bob, bob, 'write')).toMatchObject({ allowed: false, edges: [], paths: [] })
  })
})
