/** `member.preview` on real databases: a community as somebody else would see it, and as a newcomer would. */
import { beforeAll, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberPreview } from '../../src/access/memberPreview.ts'
import type * as banLexicon from '../../src/lexicons/community/reeve/member/ban.ts'
import type * as lexicon from '../../src/lexicons/community/reeve/member/preview.ts'
import type * as putLexicon from '../../src/lexicons/community/reeve/member/put.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { lockRevisions, raiseRevisions } from '../../src/membership/store.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { type Action, SHIPPED_ROLES } from '../../src/policy/roles.ts'
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
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('member.preview', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let lounge: SpaceUri
  let fair: SpaceUri
  let wall: SpaceUri
  let crew: SpaceUri
  const [admin, member, writer] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    lounge = await makeForum(roll, community, 'lounge')
    fair = await makeForum(roll, community, 'fair')
    wall = await makeForum(roll, community, 'wall')
    await openToPublic(roll, fair, 'read_policy')
    await openToPublic(roll, wall, 'write_policy')
    crew = await makeRoleSpace(roll, community, 'crew')
    const nesting = { space: forum, memberSpace: crew, role: 'moderator', holding: 'write' }
    await memberPut(roll, community.founder, nesting as putLexicon.$InputBody, once())
    await put(roll, community.founder, lounge, admin, 'admin')
    await put(roll, community.founder, forum, member, 'member')
    await put(roll, community.founder, lounge, member, 'reader')
    await put(roll, community.founder, forum, writer, 'writer')
  })

  const preview = (caller: Did, params: object) =>
    memberPreview(roll, caller, { community: community.did, limit: 100, ...params } as lexicon.$Params)
  const seen = async (caller: Did, params: object) =>
    new Map((await preview(caller, params)).spaces.map(({ uri, ...one }) => [uri as SpaceUri, one]))
  const of = (role: string): Action[] => [...(SHIPPED_ROLES.get(role) ?? [])]
  const everywhere = () => [forum, lounge, fair, wall, crew, community.roster].toSorted()

  it('shows an owner every space where a person would stand or be let in, with what they may there', async () => {
    expect(await seen(community.founder, { did: member })).toEqual(
      new Map([
        [fair, { actions: [], reads: true, writes: false }],
        [lounge, { actions: ['read'], reads: true, writes: false }],
        [forum, { actions: of('member'), reads: true, writes: true }],
        [wall, { actions: [], reads: false, writes: true }],
      ]),
    )
    expect([...(await seen(community.founder, { did: community.founder })).keys()]).toEqual(everywhere())
    expect([...(await seen(community.founder, { did: freshDid() })).keys()]).toEqual([fair, wall].toSorted())
  })

  it('says of every person and space what member.check says', async () => {
    for (const did of [community.founder, admin, member, writer, community.did, freshDid()]) {
      const spaces = await seen(community.founder, { did, clientId: 'https://app.example.com/client.json' })
      for (const space of everywhere()) {
        const may = async (action: string) =>
          (await memberCheck(roll, community.founder, { space, did, action })).allowed
        expect(spaces.get(space)?.reads ?? false).toBe(await may('read'))
        expect(spaces.get(space)?.writes ?? false).toBe(await may('write'))
      }
    }
  })

  it('shows others only the spaces whose rosters they may see', async () => {
    expect([...(await seen(member, { did: community.founder })).keys()]).toEqual([forum])
    expect([...(await seen(admin, { did: member })).keys()]).toEqual([lounge])
    expect((await seen(writer, { did: member })).size).toBe(0)
  })

  it('shows everybody themself where they stand, and not where only the policy lets them in', async () => {
    expect([...(await seen(writer, { did: writer })).keys()]).toEqual([forum])
    expect([...(await seen(member, { did: member })).keys()]).toEqual([lounge, forum].toSorted())
  })

  it('shows of a newcomer what becomes true when somebody is put there', async () => {
    for (const [space, role] of [
      [forum, 'reader'],
      [crew, 'writer'],
      [crew, 'reader'],
      [community.roster, 'member'],
      [community.roster, 'owner'],
    ] as const) {
      const before = await preview(community.founder, { space, role })
      const bob = freshDid()
      await put(roll, community.founder, space, bob, role)
      expect((await preview(community.founder, { did: bob })).spaces).toEqual(before.spaces)
      expect(before.spaces.map(({ uri }) => uri)).toContain(space)
    }
    const byCrew = await seen(community.founder, { space: crew, role: 'writer' })
    expect(byCrew.get(forum)).toEqual({ actions: of('moderator'), reads: true, writes: true })
  })

  it('takes nothing of the caller for the newcomer’s', async () => {
    const spaces = await seen(community.founder, { space: lounge, role: 'reader' })
    expect([...spaces.keys()]).toEqual([fair, lounge, wall].toSorted())
    expect(spaces.get(lounge)).toEqual({ actions: ['read'], reads: true, writes: false })
  })

  it('of a newcomer is for those who may add people there or assign roles', async () => {
    expect([...(await seen(admin, { space: lounge, role: 'moderator' })).keys()]).toEqual([lounge])
    expect(await verdictOf(() => preview(member, { space: forum, role: 'reader' }))).toBe('Forbidden')
    expect(await verdictOf(() => preview(admin, { space: forum, role: 'reader' }))).toBe('NotFound')
    expect(await verdictOf(() => preview(freshDid(), { space: forum, role: 'reader' }))).toBe('NotFound')
  })

  it('of a role that there isn’t, or can’t be held there, is refused', async () => {
    expect(await verdictOf(() => preview(admin, { space: lounge, role: 'ghost' }))).toBe('UnknownRole')
    expect(await verdictOf(() => preview(admin, { space: lounge, role: 'owner' }))).toBe('InvalidRequest')
  })

  it('takes a person, or a space of the community with a role, and nothing else', async () => {
    const other = await openCommunity(roll)
    for (const params of [
      {},
      { did: member, space: forum, role: 'reader' },
      { did: member, role: 'reader' },
      { space: forum },
      { role: 'reader' },
      { space: other.roster, role: 'reader' },
      { space: `${forum}/`, role: 'reader' },
      { did: 'did:plc:short' },
      { did: member, cursor: 'no word of ours' },
    ]) {
      expect(await verdictOf(() => preview(community.founder, params)), JSON.stringify(params)).toBe('InvalidRequest')
    }
  })

  it('tells strangers nothing, of themself either, as if the community were not there', async () => {
    const stranger = freshDid()
    const nowhere = freshDid()
    const words = await Promise.all(
      [community.did, nowhere].flatMap((did) =>
        [member, stranger].map((person) => wordsOf(() => preview(stranger, { community: did, did: person }))),
      ),
    )
    expect(new Set(words).size).toBe(1)
    expect(words[0]).toContain('NotFound')
  })

  it('knows of bans and of spaces that rest or have ended', async () => {
    const bob = freshDid()
    await put(roll, community.founder, forum, bob, 'member')
    await put(roll, community.founder, lounge, bob, 'member')
    const input = { space: forum, did: bob } as banLexicon.$InputBody
    await memberBan(roll, community.founder, input, once())
    expect((await seen(community.founder, { did: bob })).has(forum)).toBe(false)

    await rest(lounge, roll.clock.nowMs())
    expect((await seen(community.founder, { did: bob })).get(lounge)).toEqual({
      ...{ actions: of('member'), reads: false, writes: false },
    })
    await rest(lounge, null)
    expect((await seen(community.founder, { did: bob })).get(lounge)).toMatchObject({ reads: true, writes: true })

    await memberBan(roll, community.founder, { community: community.did, did: bob } as banLexicon.$InputBody, once())
    expect((await seen(community.founder, { did: bob })).size).toBe(0)
  })

  /** Has a space rest, or wake, past the verdicts. */
  const rest = (space: SpaceUri, atMs: number | null) =>
    withTransaction(db, async (tx) => {
      await lockRevisions(tx, community.did)
      await tx
        .updateTable('space')
        .set({ frozen_at_ms: atMs } as object)
        .where('uri', '=', space)
        .execute()
      await raiseRevisions(tx, community.did, { graph: true })
    })

  it('pages in the order of URIs, each space once, with cursors that name none and are good for one list only', async () => {
    const found: string[] = []
    let cursor: string | undefined
    do {
      const page = await preview(community.founder, { did: community.founder, limit: 2, ...(cursor ? { cursor } : {}) })
      expect(page.spaces.length).toBeLessThanOrEqual(2)
      found.push(...page.spaces.map(({ uri }) => uri))
      cursor = page.cursor
      if (cursor) expect(cursor).not.toContain(community.did)
    } while (cursor !== undefined)
    expect(found).toEqual(everywhere())

    const other = await openCommunity(roll)
    const first = await preview(community.founder, { did: community.founder, limit: 2 })
    const elsewhere = { community: other.did, did: other.founder, cursor: first.cursor }
    expect(await verdictOf(() => preview(other.founder, elsewhere))).toBe('InvalidRequest')
  })

  it('of a community with more spaces than are looked at in one call goes on with a page that may be short', async () => {
    const large = await openCommunity(roll)
    const uris = Array.from({ length: 1_100 }, (_, nth) => `at://${large.did}/space/com.atmoboards.forum/n${nth}`)
    const made = { community: large.did, space_type: 'com.atmoboards.forum', state: 'live' as const }
    const settings = {
      name: null,
      description: null,
      read_policy: 'public' as const,
      write_policy: 'memberList' as const,
    }
    await withTransaction(db, async (tx) => {
      await lockRevisions(tx, large.did)
      const rows = uris.map((uri, nth) => ({
        ...made,
        uri,
        skey: `n${nth}`,
        created_by: large.founder,
        created_at_ms: 0,
      }))
      await tx.insertInto('space').values(rows).execute()
      await tx
        .insertInto('space_settings')
        .values(uris.map((uri) => ({ uri, ...settings })))
        .execute()
      await raiseRevisions(tx, large.did, { graph: true })
    })
    const ask = (more: object) => preview(large.founder, { community: large.did, did: large.founder, ...more })
    const first = await ask({})
    expect(first.spaces).toEqual([])
    const rest = await ask({ cursor: first.cursor })
    expect(rest.spaces.map(({ uri }) => uri)).toEqual([large.roster])
    expect(rest.cursor).toBeUndefined()
  })
})
