/** `member.check` on real databases: it answers as the real thing would, with the way there, and only to those who may ask. */
import { beforeAll, expect, it } from 'vitest'
import { loadReadFacts, mayRead } from '../../src/access/may-read.ts'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { wordOf } from '../../src/membership/basis.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { type Did, parseSpaceUri, type SpaceName, type SpaceUri } from '../../src/names.ts'
import { ACTIONS, SHIPPED_ROLES } from '../../src/policy/roles.ts'
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
  wordsOf,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

const nameOf = (uri: SpaceUri): SpaceName => parseSpaceUri(uri) as SpaceName

describeOnEachEngine('member.check', (open) => {
  let roll: Roll
  let community: Community
  let forum: SpaceUri

  beforeAll(async () => {
    roll = rollOn((await open()).db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
  })

  const check = (caller: Did, did: Did, action: string, space: string = forum, more: object = {}) =>
    memberCheck(roll, caller, { space, did, action, ...more })
  const isAllowed = async (caller: Did, did: Did, action: string, space: string = forum) =>
    (await check(caller, did, action, space)).allowed

  it('says of every role and action what the table of roles says', async () => {
    for (const [role, actions] of SHIPPED_ROLES) {
      if (role === 'owner') continue
      const bob = freshDid()
      await put(roll, community.founder, forum, bob, role)
      for (const action of ACTIONS) {
        expect(await isAllowed(bob, bob, action)).toBe(actions.has(action))
        expect(await isAllowed(community.founder, bob, action)).toBe(actions.has(action))
      }
    }
    for (const action of ACTIONS) expect(await isAllowed(community.founder, community.founder, action)).toBe(true)
  })

  it('shows the way, nearest first, and the app before the person', async () => {
    const crew = await makeRoleSpace(roll, community, 'crew')
    await nest(roll, community.did, { into: forum, from: crew, role: 'moderator', holding: 'write' })
    const bob = freshDid()
    const { revision } = await put(roll, community.founder, crew, bob, 'writer')
    const way = [
      { rule: 'edge', into: forum, from: crew, role: 'moderator' },
      { rule: 'edge', into: crew, from: bob, role: 'writer' },
    ]
    const at = wordOf(roll, [{ community: community.did, revision }])
    expect(await check(bob, bob, 'read')).toEqual({
      ...{ allowed: true, revision, at },
      because: [{ rule: 'openToApps' }, ...way],
    })
    expect(await check(bob, bob, 'members.ban')).toEqual({ allowed: true, revision, at, because: way })
    expect(await check(bob, bob, 'space.delete')).toEqual({
      ...{ allowed: false, revision, at },
      because: [{ rule: 'noPath', into: forum, action: 'space.delete' }],
    })
  })

  it('answers those who may see the roster about others, also about somebody who is not there', async () => {
    const [member, reader] = [freshDid(), freshDid()]
    await put(roll, community.founder, forum, member, 'member')
    await put(roll, community.founder, forum, reader, 'reader')
    expect(await isAllowed(member, reader, 'read')).toBe(true)
    expect(await isAllowed(member, freshDid(), 'read')).toBe(false)
    expect(await verdictOf(() => check(reader, member, 'read'))).toBe('Forbidden')
    expect(await verdictOf(() => check(freshDid(), member, 'read'))).toBe('NotFound')
  })

  it('says of a ban to those who may see bans, and to who is banned; to others as if the person had no entry', async () => {
    const [member, moderator, bob] = [freshDid(), freshDid(), freshDid()]
    await put(roll, community.founder, forum, member, 'member')
    await put(roll, community.founder, forum, moderator, 'moderator')
    await put(roll, community.founder, forum, bob, 'member')
    await memberBan(roll, community.founder, { space: forum, did: bob } as never, once())
    const about = { into: forum, action: 'write' }
    for (const caller of [moderator, community.founder, bob]) {
      expect((await check(caller, bob, 'write')).because).toEqual([{ rule: 'ban', ...about }])
    }
    expect((await check(member, bob, 'write')).because).toEqual([{ rule: 'noPath', ...about }])
  })

  it('answers strangers about others as if the space were not there', async () => {
    const stranger = freshDid()
    const none = forum.replace('/main', '/none')
    const elsewhere = forum.replace(community.did, freshDid())
    const words = await Promise.all(
      [forum, none, elsewhere].flatMap((space) =>
        [community.founder, community.did].map((did) => wordsOf(() => check(stranger, did, 'read', space))),
      ),
    )
    expect(new Set(words).size).toBe(1)
    expect(words[0]).toContain('NotFound')
  })

  it('answers strangers about themself, as the exchange would, where there is a space', async () => {
    const stranger = freshDid()
    expect(await check(stranger, stranger, 'read')).toMatchObject({ allowed: false, because: [{}, { rule: 'noPath' }] })
    expect(await verdictOf(() => check(stranger, stranger, 'read', forum.replace('/main', '/none')))).toBe('NotFound')
  })

  it('shows of others only how they stand in this space, not by way of which', async () => {
    const member = freshDid()
    await put(roll, community.founder, forum, member, 'member')
    const about = await check(member, community.founder, 'read')
    expect(about.allowed).toBe(true)
    expect(about.because.filter(({ rule }) => rule === 'edge').map(({ into }) => into)).toEqual([forum])
    const own = await check(community.founder, community.founder, 'read')
    expect(own.because.filter(({ rule }) => rule === 'edge').map(({ into }) => into)).toEqual([forum, community.roster])
  })

  it('answers everybody about themself in a space that is open to everybody', async () => {
    const [fair, wall] = [await makeForum(roll, community, 'fair'), await makeForum(roll, community, 'wall')]
    await openToPublic(roll, fair, 'read_policy')
    await openToPublic(roll, wall, 'write_policy')
    const stranger = freshDid()
    expect(await check(stranger, stranger, 'read', fair)).toMatchObject({
      ...{ allowed: true, because: [{ rule: 'openToApps' }, { rule: 'publicPolicy' }] },
    })
    expect(await isAllowed(stranger, stranger, 'write', fair)).toBe(false)
    expect(await isAllowed(stranger, stranger, 'members.add', fair)).toBe(false)
    expect(await verdictOf(() => check(stranger, community.founder, 'read', fair))).toBe('NotFound')
    expect(await isAllowed(stranger, stranger, 'write', wall)).toBe(true)
    expect(await isAllowed(stranger, stranger, 'read', wall)).toBe(false)
  })

  it("lets the authority's own DID read and write, and do nothing else", async () => {
    for (const action of ACTIONS) {
      const isOpen = action === 'read' || action === 'write'
      expect(await isAllowed(community.founder, community.did, action)).toBe(isOpen)
    }
  })

  it('says what the mint would say, now and as time goes by', async () => {
    const bob = freshDid()
    const [since, until] = [1000, 2000].map((later) => new Date(roll.clock.nowMs() + later).toISOString())
    await put(roll, community.founder, forum, bob, 'reader', { since, until })
    const seen: boolean[] = []
    for (const step of [0, 999, 1, 999, 1]) {
      roll.clock.moveMs(step)
      const read = await loadReadFacts(roll, nameOf(forum), bob)
      const isMinted = read.space === 'live' && mayRead(read.facts, { did: bob, clientId: null }).ok
      expect(await isAllowed(community.founder, bob, 'read')).toBe(isMinted)
      seen.push(isMinted)
    }
    expect(seen).toEqual([false, false, true, true, false])
  })

  it('knows at once that somebody was put out', async () => {
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'member')
    expect(await isAllowed(community.founder, bob, 'read')).toBe(true)
    const { revision } = await remove(roll, community.founder, forum, bob)
    expect(await check(community.founder, bob, 'read')).toMatchObject({ allowed: false, revision })
    expect(await check(bob, bob, 'read')).toMatchObject({ allowed: false, revision })
  })

  it('refuses what is no action, no DID and no space', async () => {
    for (const action of ['', 'Read', 'read ', '__proto__', 'constructor', 'all', '*']) {
      expect(await verdictOf(() => check(community.founder, community.founder, action))).toBe('InvalidRequest')
    }
    expect(await verdictOf(() => check(community.founder, 'did:plc:short' as Did, 'read'))).toBe('InvalidRequest')
    expect(await verdictOf(() => check(community.founder, community.founder, 'read', `${forum}/`))).toBe(
      'InvalidRequest',
    )
  })

  it('of a space that was deleted is not found, for owners too', async () => {
    const gone = await makeForum(roll, community, 'gone')
    await roll.db.updateTable('space').set({ state: 'deleted' }).where('uri', '=', gone).execute()
    expect(await verdictOf(() => check(community.founder, community.founder, 'read', gone))).toBe('NotFound')
    expect(await loadReadFacts(roll, nameOf(gone), community.founder)).toEqual({ space: 'deleted' })
  })

  it('gives nothing by an edge whose holding or role this Reeve does not know', async () => {
    const [vault, crew] = [await makeForum(roll, community, 'vault'), await makeRoleSpace(roll, community, 'keepers')]
    const bob = freshDid()
    await put(roll, community.founder, crew, bob, 'admin')
    await nest(roll, community.did, { into: vault, from: crew, role: 'ghost' })
    await nest(roll, community.did, { into: vault, from: crew, role: 'member' })
    expect(await isAllowed(community.founder, bob, 'read', vault)).toBe(true)
    await roll.db
      .updateTable('space_edge')
      .set({ holding: 'vaults.open' })
      .where('into_space', '=', vault)
      .where('role', '=', 'member')
      .execute()
    await nest(roll, community.did, { into: crew, from: vault, role: 'ghost' })
    expect(await isAllowed(community.founder, bob, 'read', vault)).toBe(false)
  })
})
