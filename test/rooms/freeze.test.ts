/** Spaces and communities that rest, on real databases: nobody reads, nobody comes through, and those who govern go on. */
import { beforeEach, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
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
} from '../kit/roll.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'

describeOnEachEngine('what rests', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let elders: SpaceUri
  let alice: Did
  const [admin, member, elder] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeEach(async () => {
    db ??= (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    alice = community.founder
    forum = await makeForum(roll, community, 'main')
    elders = await makeRoleSpace(roll, community, 'elders')
    await put(roll, alice, community.roster, admin, 'admin')
    await put(roll, alice, forum, admin, 'admin')
    await put(roll, alice, forum, member, 'member')
    await put(roll, alice, elders, elder, 'member')
    await memberPut(roll, alice, { space: forum, memberSpace: elders, role: 'moderator' }, once())
  })

  const freeze = (actor: Did, input: object, isFrozen = true) =>
    communityFreeze(roll, actor, { ...input, isFrozen } as never, once())
  const may = async (did: Did, action: string) =>
    (await memberCheck(roll, did, { space: forum, did: did as never, action })).allowed
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('is read by nobody, an owner included, and governed as before', async () => {
    await freeze(admin, { community: community.did })
    expect([await may(member, 'read'), await may(member, 'write'), await may(alice, 'read')]).toEqual([
      false,
      false,
      false,
    ])
    expect([await may(admin, 'members.add'), await may(elder, 'members.ban')]).toEqual([true, true])
    await put(roll, admin, forum, freshDid(), 'member')
    await freeze(admin, { community: community.did }, false)
    expect([await may(member, 'read'), await may(alice, 'read')]).toEqual([true, true])
  })

  it('is no more open to the public either', async () => {
    await openToPublic(roll, forum, 'read_policy')
    const stranger = freshDid()
    expect(await may(stranger, 'read')).toBe(true)
    await freeze(alice, { space: forum })
    const { allowed, because } = await memberCheck(roll, stranger, {
      space: forum,
      did: stranger as never,
      action: 'read',
    })
    expect({ allowed, because }).toEqual({
      allowed: false,
      because: [{ rule: 'openToApps' }, { rule: 'frozen', into: forum, action: 'read' }],
    })
  })

  it('lets nobody through to other spaces, until it wakes', async () => {
    await freeze(alice, { space: elders })
    expect(await may(elder, 'members.ban')).toBe(false)
    await freeze(alice, { space: elders }, false)
    expect(await may(elder, 'members.ban')).toBe(true)
  })

  it('is shown as resting, and resting twice changes nothing', async () => {
    const { revision } = await freeze(alice, { space: forum })
    expect(await spaceGet(roll, member, { space: forum })).toMatchObject({ isFrozen: true })
    expect((await freeze(alice, { space: forum })).revision).toBe(revision)
    await freeze(alice, { space: forum }, false)
    expect(await spaceGet(roll, member, { space: forum })).not.toHaveProperty('isFrozen')
  })

  it('in a dry run shows who would lose reading and writing', async () => {
    const { preview } = await freeze(alice, { space: forum, dryRun: true })
    expect(preview).toMatchObject({ losing: 4, gaining: 0 })
    expect(preview?.changes).toContainEqual({ did: member, space: forum, gains: [], loses: ['read', 'write'] })
    expect(await may(member, 'read')).toBe(true)
  })

  it('is chosen by those only who may configure it and hold what its people have elsewhere', async () => {
    expect(await refusalOf(() => freeze(member, { space: forum }))).toBe('Forbidden')
    expect(await refusalOf(() => freeze(member, { community: community.did }))).toBe('NotFound')
    expect(await refusalOf(() => freeze(freshDid(), { space: forum }))).toBe('NotFound')
    const warden = freshDid()
    await put(roll, alice, elders, warden, 'admin')
    // Their place among the elders makes them a moderator of the forum as well, so what the elders have there they hold.
    await freeze(warden, { space: elders })
    await freeze(alice, { space: elders }, false)
    const other = await makeForum(roll, community, 'other')
    await memberPut(roll, alice, { space: other, memberSpace: elders, role: 'admin', holding: 'keys.ceremony' }, once())
    expect(await refusalOf(() => freeze(warden, { space: elders }))).toBe('EscalationDenied')
  })

  it('is never the roster alone, nor both at once, nor what is gone', async () => {
    expect(await refusalOf(() => freeze(alice, { space: community.roster }))).toBe('InvalidRequest')
    expect(await refusalOf(() => freeze(alice, { space: forum, community: community.did }))).toBe('InvalidRequest')
    expect(await refusalOf(() => freeze(alice, { space: forum.replace('main', 'gone') }))).toBe('NotFound')
  })
})
