/** `member.ban`, `unban`, `listBans` and `leave` on real databases. */
import { beforeAll, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import type * as banLexicon from '../../src/lexicons/community/reeve/member/ban.ts'
import type * as listLexicon from '../../src/lexicons/community/reeve/member/listBans.ts'
import type * as unbanLexicon from '../../src/lexicons/community/reeve/member/unban.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberListBans } from '../../src/membership/memberListBans.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  nest,
  once,
  openCommunity,
  openToPublic,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf, type Verdict, verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('keeping people out, and going', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  const people = { admin: freshDid(), moderator: freshDid(), member: freshDid() }
  const stranger = freshDid()
  const secondOwner = freshDid()

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    await put(roll, community.founder, community.roster, secondOwner, 'owner')
    for (const [role, did] of Object.entries(people)) {
      await put(roll, community.founder, forum, did, role)
      await put(roll, community.founder, community.roster, did, role)
    }
  })

  const ban = (actor: Did, input: object) => memberBan(roll, actor, input as banLexicon.$InputBody, once())
  const unban = (actor: Did, input: object) => memberUnban(roll, actor, input as unbanLexicon.$InputBody, once())
  const leave = (actor: Did, space: string) => memberLeave(roll, actor, { space }, once())
  const bans = async (actor: Did, params: object) =>
    (await memberListBans(roll, actor, { limit: 100, ...params } as listLexicon.$Params)).bans
  const mayRead = async (did: Did, space: SpaceUri = forum) =>
    (await memberCheck(roll, did, { space, did, action: 'read' })).allowed

  async function newcomer(role = 'member', space = forum): Promise<Did> {
    const did = freshDid()
    await put(roll, community.founder, space, did, role)
    return did
  }

  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('a ban shuts the door at once, also where everybody may come in, and its end opens it again', async () => {
    const square = await makeForum(roll, community, 'square')
    await openToPublic(roll, square, 'read_policy')
    const bob = await newcomer()
    await ban(people.moderator, { space: forum, did: bob, reason: 'shouting' })
    expect(await mayRead(bob)).toBe(false)
    expect(await mayRead(bob, square)).toBe(true)
    await ban(people.moderator, { community: community.did, did: bob })
    expect(await mayRead(bob, square)).toBe(false)
    const { because } = await memberCheck(roll, bob, { space: square, did: bob, action: 'read' })
    expect(because).toContainEqual({ rule: 'ban', into: square, action: 'read' })
    await unban(people.moderator, { community: community.did, did: bob })
    expect(await mayRead(bob, square)).toBe(true)
    await unban(people.moderator, { space: forum, did: bob })
    expect(await mayRead(bob)).toBe(true)
  })

  it('a ban with an end ends by itself, in that millisecond', async () => {
    const bob = await newcomer()
    await ban(people.admin, { space: forum, did: bob, until: isoOf(roll.clock.nowMs() + 60_000) })
    roll.clock.moveMs(59_999)
    expect(await mayRead(bob)).toBe(false)
    roll.clock.moveMs(1)
    expect(await mayRead(bob)).toBe(true)
  })

  it('a ban stands however often the person is put back, and bans of people who were never here do too', async () => {
    const bob = freshDid()
    await ban(people.admin, { space: forum, did: bob })
    await put(roll, people.admin, forum, bob, 'member')
    const crew = await makeRoleSpace(roll, community, 'crew')
    await nest(roll, community.did, { into: forum, from: crew, role: 'member' })
    await put(roll, community.founder, crew, bob, 'member')
    expect(await mayRead(bob)).toBe(false)
    await remove(roll, people.admin, forum, bob)
    expect(await mayRead(bob)).toBe(false)
    await unban(people.admin, { space: forum, did: bob })
    expect(await mayRead(bob)).toBe(true)
  })

  it('bans are listed for those who may ban, with reason, end and author, the newest in place of the one before', async () => {
    const hall = await makeForum(roll, community, 'hall')
    await put(roll, community.founder, hall, people.moderator, 'moderator')
    const [a, b] = [freshDid(), freshDid()].sort() as [Did, Did]
    const until = isoOf(roll.clock.nowMs() + 86_400_000)
    await ban(community.founder, { space: hall, did: a, reason: 'first' })
    await ban(people.moderator, { space: hall, did: a, reason: 'second', until })
    await ban(people.moderator, { space: hall, did: b })
    const bannedAt = isoOf(roll.clock.nowMs())
    expect(await bans(people.moderator, { space: hall })).toEqual([
      { did: a, reason: 'second', until, bannedBy: people.moderator, bannedAt },
      { did: b, bannedBy: people.moderator, bannedAt },
    ])
    const page = await memberListBans(roll, people.moderator, { space: hall, limit: 1 })
    expect([page.bans.map(({ did }) => did), page.cursor]).toEqual([[a], a])
    expect((await bans(people.moderator, { space: hall, cursor: a })).map(({ did }) => did)).toEqual([b])
    expect(await verdictOf(() => bans(people.member, { community: community.did }))).toBe('Forbidden')
    expect(await verdictOf(() => bans(stranger, { space: hall }))).toBe('NotFound')
    expect(await verdictOf(() => bans(stranger, { community: community.did }))).toBe('NotFound')
    expect(await verdictOf(() => bans(people.moderator, {}))).toBe('InvalidRequest')
  })

  const rows: { says: string; by: () => Did; input: () => object; verdict: Verdict }[] = [
    {
      says: 'by a member',
      by: () => people.member,
      input: () => ({ space: forum, did: stranger }),
      verdict: 'Forbidden',
    },
    {
      says: 'by a stranger',
      by: () => stranger,
      input: () => ({ space: forum, did: people.member }),
      verdict: 'NotFound',
    },
    {
      says: 'of an admin by a moderator',
      by: () => people.moderator,
      input: () => ({ space: forum, did: people.admin }),
      verdict: 'EscalationDenied',
    },
    {
      says: 'of an admin by a moderator, from everything',
      by: () => people.moderator,
      input: () => ({ community: community.did, did: people.admin }),
      verdict: 'EscalationDenied',
    },
    {
      says: 'of the last owner by an admin',
      by: () => people.admin,
      input: () => ({ community: community.did, did: community.founder }),
      verdict: 'EscalationDenied',
    },
    {
      says: 'of an owner from one space',
      by: () => secondOwner,
      input: () => ({ space: forum, did: community.founder }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'of oneself',
      by: () => people.admin,
      input: () => ({ space: forum, did: people.admin }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'of the community',
      by: () => people.admin,
      input: () => ({ space: forum, did: community.did }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'from the roster alone',
      by: () => people.admin,
      input: () => ({ space: community.roster, did: stranger }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'that has ended already',
      by: () => people.admin,
      input: () => ({ space: forum, did: stranger, until: isoOf(roll.clock.nowMs()) }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'for a reason that does not show',
      by: () => people.admin,
      input: () => ({ space: forum, did: stranger, reason: '\u200b' }),
      verdict: 'InvalidRequest',
    },
    { says: 'from nothing', by: () => people.admin, input: () => ({ did: stranger }), verdict: 'InvalidRequest' },
    {
      says: 'from a space and a community at once',
      by: () => people.admin,
      input: () => ({ space: forum, community: community.did, did: stranger }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'from a space that never was',
      by: () => people.admin,
      input: () => ({ space: `${forum}-not`, did: stranger }),
      verdict: 'NotFound',
    },
  ]
  it.each(rows)('a ban $says is refused: $verdict', async ({ by, input, verdict }) => {
    expect(await refusalOf(() => ban(by(), input()))).toBe(verdict)
  })

  it('of two owners one may ban the other, who then counts no more', async () => {
    const other = await openCommunity(roll)
    const second = freshDid()
    await put(roll, other.founder, other.roster, second, 'owner')
    await ban(other.founder, { community: other.did, did: second })
    expect(await verdictOf(() => leave(other.founder, other.roster))).toBe('LastOwner')
    expect(await verdictOf(() => remove(roll, other.founder, other.roster, other.founder))).toBe('LastOwner')
    expect(await verdictOf(() => remove(roll, other.founder, other.roster, second))).toBe('accepted')
  })

  it('of two owners who ban each other at once, one stays', async () => {
    const other = await openCommunity(roll)
    const second = freshDid()
    await put(roll, other.founder, other.roster, second, 'owner')
    const verdicts = await Promise.all([
      verdictOf(() => ban(other.founder, { community: other.did, did: second })),
      verdictOf(() => ban(second, { community: other.did, did: other.founder })),
    ])
    expect(verdicts.toSorted()).toEqual(['NotFound', 'accepted'])
  })

  it('who became an owner while banned from a space lifts that ban themself', async () => {
    const other = await openCommunity(roll)
    const hut = await makeForum(roll, other, 'hut')
    const second = freshDid()
    await ban(other.founder, { space: hut, did: second })
    await put(roll, other.founder, other.roster, second, 'owner')
    expect(await mayRead(second, hut)).toBe(false)
    await unban(second, { space: hut, did: second })
    expect(await mayRead(second, hut)).toBe(true)
  })

  it('whoever leaves is out by every way, until somebody puts them there again', async () => {
    const guild = await makeRoleSpace(roll, community, 'guild')
    await nest(roll, community.did, { into: forum, from: guild, role: 'member' })
    const bob = await newcomer('member', guild)
    await put(roll, community.founder, forum, bob, 'writer')
    await leave(bob, forum)
    expect(await mayRead(bob)).toBe(false)
    expect(await verdictOf(() => leave(bob, forum))).toBe('NotFound')
    expect(await mayRead(bob, guild)).toBe(true)
    await put(roll, people.moderator, forum, bob, 'reader')
    await remove(roll, people.moderator, forum, bob)
    expect(await mayRead(bob)).toBe(true)
  })

  it('owners may leave a space, and stand in it all the same; the last one does not leave the roster', async () => {
    const other = await openCommunity(roll)
    const hut = await makeForum(roll, other, 'hut')
    await leave(other.founder, hut)
    expect(await mayRead(other.founder, hut)).toBe(true)
    expect(await refusalOf(() => leave(other.founder, other.roster))).toBe('LastOwner')
    const second = freshDid()
    await put(roll, other.founder, other.roster, second, 'owner')
    await leave(other.founder, other.roster)
    expect(await mayRead(other.founder, hut)).toBe(false)
  })

  it('nobody leaves where they do not stand', async () => {
    expect(await refusalOf(() => leave(stranger, forum))).toBe('NotFound')
    expect(await refusalOf(() => leave(people.member, `${forum}-not`))).toBe('NotFound')
  })
})
