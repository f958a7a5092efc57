/** `space.get` and `space.list` on real databases: each sees the spaces they stand in, whole and in order. */
import { sql } from 'kysely'
import { beforeAll, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db, Tx } from '../../src/platform/database.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { spaceList } from '../../src/space/spaceList.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { manyRows } from '../kit/many-rows.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  nest,
  openCommunity,
  openToPublic,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('the spaces of a community', (open) => {
  let db: Db
  let roll: Roll
  let community: Community

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
  })

  const listed = async (caller: Did, more: object = {}): Promise<string[]> =>
    (await spaceList(roll, caller, { community: community.did, limit: 50, ...more })).spaces.map(({ uri }) => uri)

  async function pagesOf(
    caller: Did,
    limit: number,
    between: () => Promise<unknown> = async () => {},
  ): Promise<string[]> {
    const seen: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await spaceList(roll, caller, { community: community.did, limit, ...(cursor ? { cursor } : {}) })
      expect(page.spaces.length).toBeLessThanOrEqual(limit)
      seen.push(...page.spaces.map(({ uri }) => uri))
      cursor = page.cursor
      if (cursor === undefined) return seen
      await between()
    }
  }

  it('are listed to those who stand in them, and to nobody else', async () => {
    const [garden, shed] = [await makeForum(roll, community, 'garden'), await makeForum(roll, community, 'shed')]
    const [bob, carol] = [freshDid(), freshDid()]
    await put(roll, community.founder, garden, bob, 'reader')
    await put(roll, community.founder, community.roster, carol, 'member')
    expect(await listed(bob)).toEqual([garden])
    expect(await listed(carol)).toEqual([community.roster])
    expect(await listed(community.founder)).toEqual([garden, shed, community.roster])
    expect(await verdictOf(() => listed(freshDid()))).toBe('NotFound')
    expect(await verdictOf(() => listed(community.did))).toBe('NotFound')
    expect(await verdictOf(() => spaceGet(roll, bob, { space: shed }))).toBe('NotFound')
    expect(await spaceGet(roll, bob, { space: garden })).toMatchObject({ uri: garden, community: community.did })
  })

  it('are listed also to those who come through another space', async () => {
    const [crew, yard] = [await makeRoleSpace(roll, community, 'crew'), await makeForum(roll, community, 'yard')]
    await nest(roll, community.did, { into: yard, from: crew, role: 'reader' })
    const bob = freshDid()
    await put(roll, community.founder, crew, bob, 'reader')
    expect(await listed(bob)).toEqual([yard, crew].sort())
    expect(await spaceGet(roll, bob, { space: yard })).toMatchObject({ uri: yard })
  })

  it('vanish when the time of a person is over, and are not there before it begins', async () => {
    const den = await makeForum(roll, community, 'den')
    const bob = freshDid()
    const nowMs = roll.clock.nowMs()
    const [since, until] = [1000, 2000].map((later) => new Date(nowMs + later).toISOString())
    await put(roll, community.founder, den, bob, 'reader', { since, until })
    const seen: string[] = []
    for (const step of [999, 1, 999, 1]) {
      roll.clock.moveMs(step)
      seen.push(await verdictOf(() => spaceGet(roll, bob, { space: den })))
      expect(await verdictOf(() => listed(bob))).toBe(seen.at(-1))
    }
    expect(seen).toEqual(['NotFound', 'accepted', 'accepted', 'NotFound'])
  })

  it('that are public are still no more than a stranger is let into: their settings are for those who stand there', async () => {
    const fair = await makeForum(roll, community, 'fair')
    await openToPublic(roll, fair, 'read_policy')
    expect(await verdictOf(() => spaceGet(roll, freshDid(), { space: fair }))).toBe('NotFound')
  })

  it('come in pages of any size, complete, each once, in one order, while others come and go', async () => {
    const bob = freshDid()
    const mine: SpaceUri[] = []
    for (let at = 0; at < 9; at++) {
      const space = await makeForum(roll, community, `page-${String(at).padStart(2, '0')}`)
      await put(roll, community.founder, space, bob, 'reader')
      mine.push(space)
    }
    mine.sort()
    for (const limit of [1, 2, 3, 4, 9, 10, 100]) expect(await pagesOf(bob, limit)).toEqual(mine)

    const passing = await makeForum(roll, community, 'page-03-passing')
    let isIn = false
    const pages = await pagesOf(bob, 2, async () => {
      isIn = !isIn
      await (isIn
        ? put(roll, community.founder, passing, bob, 'reader')
        : remove(roll, community.founder, passing, bob))
    })
    expect(pages.filter((uri) => uri !== passing)).toEqual(mine)
    expect(pages.filter((uri) => uri === passing).length).toBeLessThanOrEqual(1)
  })

  it('are found by no cursor that was made up', async () => {
    const bob = freshDid()
    const nook = await makeForum(roll, community, 'nook')
    await put(roll, community.founder, nook, bob, 'reader')
    for (const cursor of ['zzz', 'at://~', 'b', '\u{10ffff}']) expect(await listed(bob, { cursor })).toEqual([])
    for (const cursor of ['a', '%', "'; drop table space; --"]) expect(await listed(bob, { cursor })).toEqual([nook])
  })

  it('may be very many', async () => {
    const crowd = await openCommunity(roll)
    const count = 10_000
    const fill = async (tx: Tx) => {
      await sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
        select ${`at://${crowd.did}/space/com.example.many/`} || lpad(n::text, 6, '0'), ${crowd.did}, 'com.example.many',
          lpad(n::text, 6, '0'), 'live', ${crowd.founder}, 0 from generate_series(1, ${count}::int) n`.execute(tx)
      await sql`insert into space_settings (uri, read_policy, write_policy)
        select uri, 'memberList', 'memberList' from space where space_type = 'com.example.many'`.execute(tx)
      await sql`insert into space_edge (into_space, from_space, role, community, holding, is_system, added_by, added_at_ms)
        select uri, ${crowd.roster}, 'owner', community, 'community.transfer', true, created_by, 0
        from space where space_type = 'com.example.many'`.execute(tx)
      await sql`update community_revision set graph_revision = graph_revision + 1 where community = ${crowd.did}`.execute(
        tx,
      )
    }
    await manyRows(db, fill)
    const page = await spaceList(roll, crowd.founder, { community: crowd.did, limit: 2 })
    expect(page.spaces.map(({ skey }) => skey)).toEqual(['000001', '000002'])
  })
})
