/** `member.remove` on real databases: who may put whom out, and that everybody may go but the last owner. */
import { beforeAll, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  everythingIn,
  freshDid,
  makeForum,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { type Verdict, verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('member.remove', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  const people = { admin: freshDid(), moderator: freshDid(), member: freshDid(), writer: freshDid() }

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    for (const [role, did] of Object.entries(people)) await put(roll, community.founder, forum, did, role)
  })

  const isThere = async (did: Did, space = forum): Promise<boolean> =>
    (await db
      .selectFrom('person_edge')
      .select('did')
      .where('into_space', '=', space)
      .where('did', '=', did)
      .executeTakeFirst()) !== undefined

  async function newcomer(role: string, more: object = {}, space = forum): Promise<Did> {
    const did = freshDid()
    await put(roll, community.founder, space, did, role, more)
    return did
  }

  const rows: { by: keyof typeof people | 'owner' | 'stranger'; role: string; verdict: Verdict }[] = [
    { by: 'owner', role: 'admin', verdict: 'accepted' },
    { by: 'admin', role: 'admin', verdict: 'accepted' },
    { by: 'moderator', role: 'moderator', verdict: 'accepted' },
    { by: 'moderator', role: 'reader', verdict: 'accepted' },
    { by: 'moderator', role: 'admin', verdict: 'EscalationDenied' },
    { by: 'member', role: 'reader', verdict: 'Forbidden' },
    { by: 'writer', role: 'reader', verdict: 'Forbidden' },
    { by: 'stranger', role: 'reader', verdict: 'NotFound' },
  ]
  it.each(rows)('lets the $by put out a person who is there as $role: $verdict', async ({ by, role, verdict }) => {
    const did = await newcomer(role)
    const actor = by === 'owner' ? community.founder : by === 'stranger' ? freshDid() : people[by]
    expect(await verdictOf(() => remove(roll, actor, forum, did))).toBe(verdict)
    expect(await isThere(did)).toBe(verdict !== 'accepted')
  })

  it('leaves in the audit how many entries with power they had made, and leaves those as they are', async () => {
    const admin = await newcomer('admin')
    const [moderator, member] = [freshDid(), freshDid()]
    await put(roll, admin, forum, moderator, 'moderator')
    await put(roll, admin, forum, member, 'member')
    await remove(roll, community.founder, forum, admin)
    const { because } = await db
      .selectFrom('audit_entry')
      .select('because')
      .where('action', '=', 'member.remove')
      .where('subject', '=', admin)
      .executeTakeFirstOrThrow()
    expect(because).toMatchObject({ roleBefore: 'admin', entriesTheyMade: 1 })
    expect([await isThere(moderator), await isThere(member)]).toEqual([true, true])
  })

  it('answers those who may not remove alike, whether the person is there or not', async () => {
    for (const did of [people.writer, freshDid(), community.did]) {
      expect(await verdictOf(() => remove(roll, people.member, forum, did))).toBe('Forbidden')
      expect(await verdictOf(() => remove(roll, freshDid(), forum, did))).toBe('NotFound')
    }
  })

  it('lets everybody go by themself, also out of a space they stand in no more or not yet', async () => {
    const { roster } = community
    for (const role of ['reader', 'writer', 'member', 'moderator', 'admin']) {
      const did = await newcomer(role)
      expect(await verdictOf(() => remove(roll, did, forum, did))).toBe('accepted')
      expect(await isThere(did)).toBe(false)
    }
    for (const time of [{ until: '2001-01-01T00:00:00Z' }, { since: '2999-01-01T00:00:00Z' }]) {
      const did = await newcomer('reader', time)
      await put(roll, community.founder, roster, did, 'reader')
      expect(await verdictOf(() => remove(roll, did, forum, did))).toBe('accepted')
      expect(await isThere(did)).toBe(false)
    }
  })

  it('does not let the last owner go, nor be put out', async () => {
    const { founder, roster } = community
    expect(await verdictOf(() => remove(roll, founder, roster, founder))).toBe('LastOwner')
    const admin = await newcomer('admin', {}, roster)
    expect(await verdictOf(() => remove(roll, admin, roster, founder))).toBe('EscalationDenied')
    const second = await newcomer('owner', {}, roster)
    expect(await verdictOf(() => remove(roll, admin, roster, second))).toBe('EscalationDenied')
    expect(await verdictOf(() => remove(roll, second, roster, second))).toBe('accepted')
    expect(await verdictOf(() => remove(roll, second, roster, founder))).toBe('NotFound')
    expect(await verdictOf(() => remove(roll, founder, roster, founder))).toBe('LastOwner')
  })

  it('lets an owner put out another, and the one left is the last', async () => {
    const other = await openCommunity(roll)
    const second = freshDid()
    await put(roll, other.founder, other.roster, second, 'owner')
    expect(await verdictOf(() => remove(roll, second, other.roster, other.founder))).toBe('accepted')
    expect(await verdictOf(() => remove(roll, second, other.roster, second))).toBe('LastOwner')
    expect(await verdictOf(() => remove(roll, other.founder, other.roster, second))).toBe('NotFound')
  })

  it('does not count an owner who would have had a term', async () => {
    const other = await openCommunity(roll)
    const row = { into_space: other.roster, did: freshDid(), community: other.did, role: 'owner' }
    await db
      .insertInto('person_edge')
      .values({ ...row, since_ms: null, until_ms: roll.clock.nowMs() + 1000, added_by: other.founder, added_at_ms: 0 })
      .execute()
    expect(await verdictOf(() => remove(roll, other.founder, other.roster, other.founder))).toBe('LastOwner')
  })

  it('leaves the other ways of a person open', async () => {
    const did = await newcomer('reader')
    const second = await makeForum(roll, community, 'second')
    await put(roll, community.founder, second, did, 'reader')
    await remove(roll, community.founder, forum, did)
    expect(await isThere(did, second)).toBe(true)
  })

  it('is refused for other spellings of a person or a space, and reaches no other community', async () => {
    const before = await everythingIn(db)
    const other = forum.replace(community.did, freshDid())
    expect(await verdictOf(() => remove(roll, community.founder, forum, people.writer.toUpperCase()))).toBe(
      'InvalidRequest',
    )
    expect(await verdictOf(() => remove(roll, community.founder, `${forum}/`, people.writer))).toBe('InvalidRequest')
    expect(await verdictOf(() => remove(roll, community.founder, other, people.writer))).toBe('NotFound')
    expect(await everythingIn(db)).toEqual(before)
  })
})
