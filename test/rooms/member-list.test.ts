/** `member.list` on real databases: the roster as it is written, in pages, for those who may see it. */
import { beforeAll, expect, it } from 'vitest'
import { memberList } from '../../src/membership/memberList.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
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
  remove,
  rollOn,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('member.list', (open) => {
  let roll: Roll
  let community: Community

  beforeAll(async () => {
    roll = rollOn((await open()).db)
    community = await openCommunity(roll)
  })

  const list = (caller: Did, space: string, more: object = {}) =>
    memberList(roll, caller, { space, limit: 100, ...more })
  const didsOf = async (caller: Did, space: string, more: object = {}) =>
    (await list(caller, space, more)).members.map(({ did }) => did)

  it('shows who is there, as what, for how long, and who put them there when', async () => {
    const forum = await makeForum(roll, community, 'shown')
    const [admin, bob] = [freshDid(), freshDid()]
    await put(roll, community.founder, forum, admin, 'admin')
    const { revision } = await put(roll, admin, forum, bob, 'reader', {
      ...{ since: '2030-01-01T00:00:00Z', until: '2031-01-01T12:00:00+02:00' },
    })
    const addedAt = new Date(roll.clock.nowMs()).toISOString()
    const entries = [
      { did: admin, role: 'admin', addedBy: community.founder, addedAt },
      {
        ...{ did: bob, role: 'reader', addedBy: admin, addedAt },
        ...{ since: '2030-01-01T00:00:00.000Z', until: '2031-01-01T10:00:00.000Z' },
      },
    ]
    entries.sort((a, b) => (a.did < b.did ? -1 : 1))
    expect(await list(community.founder, forum)).toEqual({ members: entries, revision })
  })

  it('shows entries that have ended or not begun, for they are still on the roster', async () => {
    const forum = await makeForum(roll, community, 'timed')
    const [past, future] = [freshDid(), freshDid()]
    await put(roll, community.founder, forum, past, 'reader', { until: '2001-01-01T00:00:00Z' })
    await put(roll, community.founder, forum, future, 'reader', { since: '2999-01-01T00:00:00Z' })
    expect(await didsOf(community.founder, forum)).toEqual([past, future].sort())
  })

  it('shows direct entries only: who comes through another space is on that roster', async () => {
    const [forum, crew] = [await makeForum(roll, community, 'nested'), await makeRoleSpace(roll, community, 'crew')]
    await nest(roll, community.did, { into: forum, from: crew, role: 'member' })
    const bob = freshDid()
    await put(roll, community.founder, crew, bob, 'reader')
    const { members } = await list(bob, forum)
    expect(members).toEqual([expect.objectContaining({ memberSpace: crew, role: 'member' })])
    expect(members[0]).not.toHaveProperty('did')
    expect(await verdictOf(() => list(bob, crew))).toBe('Forbidden')
  })

  it('is for those who have members.read there', async () => {
    const forum = await makeForum(roll, community, 'seen')
    const verdicts: Record<string, string> = {}
    for (const role of ['admin', 'moderator', 'member', 'writer', 'reader']) {
      const did = freshDid()
      await put(roll, community.founder, forum, did, role)
      verdicts[role] = await verdictOf(() => list(did, forum))
    }
    const may = { admin: 'accepted', moderator: 'accepted', member: 'accepted' }
    expect(verdicts).toEqual({ ...may, writer: 'Forbidden', reader: 'Forbidden' })
    expect(await verdictOf(() => list(freshDid(), forum))).toBe('NotFound')
    expect(await verdictOf(() => list(community.did, forum))).toBe('NotFound')
    expect(await verdictOf(() => list(community.founder, forum.replace('/seen', '/unseen')))).toBe('NotFound')
    expect(await verdictOf(() => list(community.founder, `${forum}/`))).toBe('InvalidRequest')
  })

  it('shows spaces before people, each entry of a space by itself, and pages over both', async () => {
    const forum = await makeForum(roll, community, 'mixed')
    const crews = [await makeRoleSpace(roll, community, 'a'), await makeRoleSpace(roll, community, 'b')]
    for (const from of crews) {
      await nest(roll, community.did, { into: forum, from, role: 'writer', holding: 'write' })
      await nest(roll, community.did, { into: forum, from, role: 'reader' })
    }
    const people = [freshDid(), freshDid()].sort()
    for (const did of people) await put(roll, community.founder, forum, did, 'member')
    const [a, b] = crews.toSorted()
    const whole = [`${a} reader`, `${a} writer`, `${b} reader`, `${b} writer`, ...people.map((did) => `${did} member`)]
    for (const limit of [1, 2, 3, 4, 6, 100]) {
      const seen: string[] = []
      for (let cursor: string | undefined, pages = 0; pages < 20; pages++) {
        const page = await list(community.founder, forum, { limit, ...(cursor ? { cursor } : {}) })
        seen.push(...page.members.map(({ did, memberSpace, role }) => `${did ?? memberSpace} ${role}`))
        cursor = page.cursor
        if (cursor === undefined) break
      }
      expect(seen).toEqual(whole)
    }
    const writers = (await list(community.founder, forum)).members.filter(({ role }) => role === 'writer')
    expect(writers.map(({ holding }) => holding)).toEqual(['write', 'write'])
  })

  it('comes in pages of any size, complete, each once, in one order, while others come and go', async () => {
    const forum = await makeForum(roll, community, 'paged')
    const people = Array.from({ length: 12 }, freshDid).sort()
    for (const did of people) await put(roll, community.founder, forum, did, 'reader')
    const pagesOf = async (limit: number, between: () => Promise<unknown> = async () => {}) => {
      const seen: string[] = []
      for (let cursor: string | undefined; ; ) {
        const page = await list(community.founder, forum, { limit, ...(cursor ? { cursor } : {}) })
        expect(page.members.length).toBeLessThanOrEqual(limit)
        seen.push(...page.members.flatMap(({ did }) => did ?? []))
        cursor = page.cursor
        if (cursor === undefined) return seen
        await between()
      }
    }
    for (const limit of [1, 2, 5, 6, 12, 13, 1000]) expect(await pagesOf(limit)).toEqual(people)

    const passing: Did[] = []
    const pages = await pagesOf(3, async () => {
      const [came, gone] = [freshDid(), passing.at(-1)]
      passing.push(came)
      await put(roll, community.founder, forum, came, 'reader')
      if (gone) await remove(roll, community.founder, forum, gone)
    })
    expect(pages.filter((did) => people.includes(did as Did))).toEqual(people)
    expect(new Set(pages).size).toBe(pages.length)
  })

  it('finds nobody by a cursor that was made up', async () => {
    const forum = await makeForum(roll, community, 'cursor')
    await put(roll, community.founder, forum, freshDid(), 'reader')
    for (const cursor of ['zzz', "did:z' or '1'='1", '~', '\u{10ffff}']) {
      expect(await didsOf(community.founder, forum, { cursor })).toEqual([])
    }
  })

  it('of a space that was deleted is not found', async () => {
    const forum: SpaceUri = await makeForum(roll, community, 'deleted')
    await roll.db.updateTable('space').set({ state: 'deleted' }).where('uri', '=', forum).execute()
    expect(await verdictOf(() => list(community.founder, forum))).toBe('NotFound')
    expect(await verdictOf(() => put(roll, community.founder, forum, freshDid(), 'reader'))).toBe('NotFound')
    expect(await verdictOf(() => remove(roll, community.founder, forum, freshDid()))).toBe('NotFound')
  })
})
