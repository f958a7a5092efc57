/** How big a roll may grow: refused by name where it is written, one too many and no sooner; what is there goes on working. */
import { sql } from 'kysely'
import { beforeAll, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import type * as putLexicon from '../../src/lexicons/community/reeve/member/put.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db, Tx } from '../../src/platform/database.ts'
import { Refusal } from '../../src/refusals.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { manyRows } from '../kit/many-rows.ts'
import {
  type Community,
  freshDid,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'

describeOnEachEngine('limits of a roll', (open) => {
  let db: Db
  let roll: Roll

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
  })

  const spaces = (tx: Tx, { did, founder }: Community, count: number) =>
    sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
      select ${`at://${did}/space/com.example.many/`} || n, ${did}, 'com.example.many', n::text, 'live', ${founder}, 0
      from generate_series(1, ${count}::int) n`.execute(tx)

  const entries = (tx: Tx, { did, founder }: Community, into: SpaceUri, count: number) =>
    sql`insert into space_edge (into_space, from_space, role, community, is_system, added_by, added_at_ms)
      select ${into}, ${`at://${did}/space/com.example.many/`} || (1 + n / 100), 'role' || n % 100, ${did}, false, ${founder}, 0
      from generate_series(0, ${count - 1}::int) n`.execute(tx)

  async function saysOf(work: () => Promise<unknown>): Promise<string> {
    const error = await work().then(
      () => null,
      (thrown: unknown) => thrown,
    )
    if (error === null) return 'accepted'
    if (!(error instanceof Refusal)) throw error
    return `${error.code}: ${error.says}`
  }

  const nest = (actor: Did, space: SpaceUri, memberSpace: SpaceUri) =>
    memberPut(roll, actor, { space, memberSpace, role: 'reader' } as putLexicon.$InputBody, once())

  it('a community has 10,000 spaces, and not one more', async () => {
    const community = await openCommunity(roll)
    await manyRows(db, (tx) => spaces(tx, community, 9_998))
    expect(await saysOf(() => makeForum(roll, community, 'the-last'))).toBe('accepted')
    expect(await saysOf(() => makeForum(roll, community, 'one-more'))).toBe(
      'LimitExceeded: a community has 10000 spaces at most, deleted ones included',
    )
  })

  it('its rosters hold 30,000 spaces, and not one more; an entry that is there may still be changed', async () => {
    const community = await openCommunity(roll)
    const [forum, crew] = [await makeForum(roll, community, 'main'), await makeRoleSpace(roll, community, 'crew')]
    const other = await makeRoleSpace(roll, community, 'other')
    await manyRows(db, async (tx) => {
      await spaces(tx, community, 300)
      // Three entries of the system came with the spaces that were made.
      await entries(tx, community, forum, 29_996)
    })
    expect(await saysOf(() => nest(community.founder, forum, crew))).toBe('accepted')
    const refused = 'LimitExceeded: the rosters of a community hold 30000 spaces at most'
    expect(await saysOf(() => nest(community.founder, forum, other))).toBe(refused)
    expect(await saysOf(() => makeForum(roll, community, 'new'))).toBe(refused)
    const again = { space: forum, memberSpace: crew, role: 'reader', holding: 'write' } as putLexicon.$InputBody
    expect(await saysOf(() => memberPut(roll, community.founder, again, once()))).toBe('accepted')
    const { founder } = community
    expect((await memberCheck(roll, founder, { space: forum, did: founder, action: 'read' })).allowed).toBe(true)
  })

  it('it takes in spaces of 64 others, and more of those same ones', async () => {
    const community = await openCommunity(roll)
    const forum = await makeForum(roll, community, 'main')
    const guests: { owner: Did; spaces: SpaceUri[] }[] = []
    for (let at = 0; at < 65; at++) {
      const guest = await openCommunity(roll)
      const made = [await makeRoleSpace(roll, guest, 'a'), await makeRoleSpace(roll, guest, 'b')]
      for (const space of made) await federationOffer(roll, guest.founder, { space, to: community.did }, once())
      guests.push({ owner: guest.founder, spaces: made })
    }
    for (const { spaces: made } of guests.slice(0, 64)) {
      expect(await saysOf(() => nest(community.founder, forum, made[0] as SpaceUri))).toBe('accepted')
    }
    const [first, last] = [guests[0], guests[64]]
    if (!first || !last) throw new Error('no guests')
    expect(await saysOf(() => nest(community.founder, forum, last.spaces[0] as SpaceUri))).toBe(
      "LimitExceeded: spaces of 64 other communities at most may be on a community's rosters",
    )
    expect(await saysOf(() => nest(community.founder, forum, first.spaces[1] as SpaceUri))).toBe('accepted')
    for (const { owner } of [first, guests[63] ?? last]) {
      expect((await memberCheck(roll, owner, { space: forum, did: owner, action: 'read' })).allowed).toBe(true)
    }
    const { owner } = last
    expect((await memberCheck(roll, owner, { space: forum, did: owner, action: 'read' })).allowed).toBe(false)
  })

  it('it has 32 owners, and any of them may be put as an owner again', async () => {
    const community = await openCommunity(roll)
    const owners = Array.from({ length: 31 }, freshDid)
    for (const did of owners) await put(roll, community.founder, community.roster, did, 'owner')
    const one = () => put(roll, community.founder, community.roster, freshDid(), 'owner')
    expect(await saysOf(one)).toBe('LimitExceeded: a community has 32 owners at most')
    expect(await saysOf(() => put(roll, community.founder, community.roster, owners[0] ?? '', 'owner'))).toBe(
      'accepted',
    )
    await put(roll, community.founder, community.roster, owners[0] ?? '', 'member')
    expect(await saysOf(one)).toBe('accepted')
  })

  it('it makes 10,000 offers, and not one more', async () => {
    const [community, receiver] = [await openCommunity(roll), await openCommunity(roll)]
    await manyRows(db, async (tx) => {
      await spaces(tx, community, 10_002)
      await sql`insert into offer (space, to_community, community, offered_by, offered_at_ms)
        select uri, ${receiver.did}, ${community.did}, ${community.founder}, 0 from space
        where community = ${community.did} and space_type = 'com.example.many' order by skey limit 9999`.execute(tx)
    })
    const [one, two] = [await makeRoleSpace(roll, community, 'one'), await makeRoleSpace(roll, community, 'two')]
    const offer = (space: SpaceUri) => federationOffer(roll, community.founder, { space, to: receiver.did }, once())
    expect(await saysOf(() => offer(one))).toBe('accepted')
    expect(await saysOf(() => offer(two))).toBe('LimitExceeded: a community has 10000 offers standing at most')
  })
})
