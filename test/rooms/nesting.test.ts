/** Spaces on rosters by `member.put` and `member.remove`: who may, what is refused by name, and what is left behind. */
import { beforeAll, expect, it } from 'vitest'
import type * as putLexicon from '../../src/lexicons/community/reeve/member/put.ts'
import type * as removeLexicon from '../../src/lexicons/community/reeve/member/remove.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf, type Verdict, verdictOf } from '../kit/verdicts.ts'

describeOnEachEngine('spaces on rosters', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let crew: SpaceUri
  const [admin, moderator] = [freshDid(), freshDid()]

  beforeAll(async () => {
    db = (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    crew = await makeRoleSpace(roll, community, 'crew')
    for (const space of [forum, crew]) {
      await put(roll, community.founder, space, admin, 'admin')
      await put(roll, community.founder, space, moderator, 'moderator')
    }
  })

  const nest = (actor: Did, input: object, call = once()) =>
    memberPut(roll, actor, { space: forum, role: 'reader', ...input } as putLexicon.$InputBody, call)
  const unnest = (actor: Did, input: object) =>
    memberRemove(roll, actor, { space: forum, ...input } as removeLexicon.$InputBody, once())
  const entries = async (space = forum) =>
    (
      await db
        .selectFrom('space_edge')
        .select(['from_space', 'role', 'holding'])
        .where('into_space', '=', space)
        .where('is_system', '=', false)
        .orderBy('role')
        .execute()
    ).map(({ from_space: from, role, holding }) => `${from === crew ? 'crew' : from} ${role} ${holding ?? 'any'}`)

  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('come on, are replaced under the same role, stand beside each other under others, and go one by one or all at once', async () => {
    await nest(admin, { memberSpace: crew })
    await nest(admin, { memberSpace: crew, holding: 'write' })
    await nest(admin, { memberSpace: crew, role: 'writer' })
    expect(await entries()).toEqual(['crew reader write', 'crew writer any'])
    const { revision } = await nest(admin, { memberSpace: crew, role: 'writer' })
    expect((await nest(admin, { memberSpace: crew, role: 'writer' })).revision).toBe(revision)
    expect((await unnest(admin, { memberSpace: crew, role: 'reader' })).revision).toBe(revision + 1)
    expect(await entries()).toEqual(['crew writer any'])
    await nest(admin, { memberSpace: crew })
    expect((await unnest(admin, { memberSpace: crew })).revision).toBe(revision + 3)
    expect(await entries()).toEqual([])
    expect((await unnest(admin, { memberSpace: crew })).revision).toBe(revision + 3)
  })

  it('are put there once under one idempotency key, and by nobody who looked at another revision', async () => {
    const call = keyed(admin, 'community.reeve.member.put', 'nest-once', { space: forum, memberSpace: crew })
    const first = await nest(admin, { memberSpace: crew }, call)
    expect(await nest(admin, { memberSpace: crew }, call)).toEqual(first)
    expect(await refusalOf(() => nest(admin, { memberSpace: crew, role: 'writer', ifRevision: 1 }))).toBe(
      'StaleRevision',
    )
    await unnest(admin, { memberSpace: crew })
  })

  const strangers = freshDid()
  const refused: { says: string; by: () => Did; input: () => object; verdict: Verdict }[] = [
    { says: 'by a stranger', by: () => strangers, input: () => ({ memberSpace: crew }), verdict: 'NotFound' },
    { says: 'by a moderator', by: () => moderator, input: () => ({ memberSpace: crew }), verdict: 'Forbidden' },
    { says: 'that is itself', by: () => admin, input: () => ({ memberSpace: forum }), verdict: 'InvalidRequest' },
    {
      says: 'together with a person',
      by: () => admin,
      input: () => ({ memberSpace: crew, did: strangers }),
      verdict: 'InvalidRequest',
    },
    { says: 'without a name', by: () => admin, input: () => ({}), verdict: 'InvalidRequest' },
    {
      says: 'as owner',
      by: () => community.founder,
      input: () => ({ memberSpace: crew, role: 'owner' }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'in a role that nobody defined',
      by: () => admin,
      input: () => ({ memberSpace: crew, role: 'wizard' }),
      verdict: 'UnknownRole',
    },
    {
      says: 'holding no action',
      by: () => admin,
      input: () => ({ memberSpace: crew, holding: 'magic' }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'until before it begins',
      by: () => admin,
      input: () => ({ memberSpace: crew, since: '2027-02-02T00:00:00Z', until: '2027-02-01T00:00:00Z' }),
      verdict: 'InvalidRequest',
    },
    {
      says: 'that never was',
      by: () => admin,
      input: () => ({ memberSpace: `${crew}-not` }),
      verdict: 'NotFound',
    },
    {
      says: 'with power, by an admin',
      by: () => admin,
      input: () => ({ memberSpace: crew, role: 'moderator' }),
      verdict: 'EscalationDenied',
    },
  ]
  it.each(refused)('are refused $says: $verdict', async ({ by, input, verdict }) => {
    expect(await refusalOf(() => nest(by(), input()))).toBe(verdict)
  })

  it('carry power only by an owner’s hand, and only those who hold that power take it away', async () => {
    await nest(community.founder, { memberSpace: crew, role: 'admin', holding: 'role.assign' })
    expect(await refusalOf(() => unnest(moderator, { memberSpace: crew }))).toBe('Forbidden')
    // An admin of the forum is told apart from an owner by what the entry gives: all of it they hold themselves.
    await unnest(admin, { memberSpace: crew, role: 'admin' })
    expect(await entries()).toEqual([])
  })

  it('that lead on to power elsewhere are no way around: whoever nests must hold it there', async () => {
    const vault = await makeForum(roll, community, 'vault')
    const keepers = await makeRoleSpace(roll, community, 'keepers')
    // From tomorrow on, the keepers moderate the vault; today nobody does by this entry.
    const since = isoOf(roll.clock.nowMs() + 86_400_000)
    const entry = { space: vault, memberSpace: keepers, role: 'moderator', since } as putLexicon.$InputBody
    await memberPut(roll, community.founder, entry, once())
    await put(roll, community.founder, keepers, admin, 'admin')
    const input = { space: keepers, memberSpace: crew, role: 'reader' } as putLexicon.$InputBody
    // In the keepers' space they may nest; but everybody of the crew would come to moderate the vault, where they don't.
    expect(await verdictOf(() => memberPut(roll, admin, input, once()))).toBe('EscalationDenied')
    await put(roll, community.founder, vault, admin, 'admin')
    expect(await verdictOf(() => memberPut(roll, admin, input, once()))).toBe('accepted')
  })

  it('leave the entry alone by which owners stand there', async () => {
    const roster = community.roster
    expect(await refusalOf(() => unnest(community.founder, { memberSpace: roster, role: 'owner' }))).toBe(
      'InvalidRequest',
    )
    await nest(community.founder, { memberSpace: roster, role: 'reader' })
    await unnest(community.founder, { memberSpace: roster })
    const { spaces } = await memberReach(roll, community.founder, {
      ...{ community: community.did, did: community.founder, action: 'space.delete' },
      limit: 1000,
    })
    expect(spaces.map(({ uri }) => uri)).toContain(forum)
  })

  it('are no place for a role when a person is removed', async () => {
    expect(await refusalOf(() => unnest(admin, { did: moderator, role: 'moderator' }))).toBe('InvalidRequest')
  })

  it('tell the audit which space, as what, and by which of its people', async () => {
    await nest(admin, { memberSpace: crew, holding: 'write' })
    const entry = await db
      .selectFrom('audit_entry')
      .select(['actor', 'target', 'because'])
      .where('community', '=', community.did)
      .where('action', '=', 'member.put')
      .orderBy('id', 'desc')
      .executeTakeFirstOrThrow()
    expect(entry).toMatchObject({
      ...{ actor: admin, target: forum },
      because: { memberSpace: crew, role: 'reader', holding: 'write', reasons: [{ rule: 'edge', role: 'admin' }] },
    })
    await unnest(admin, { memberSpace: crew })
  })
})
