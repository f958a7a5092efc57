/** Roles of a community's own, on real databases: who may name them, what a change reaches, and what it may not. */
import { beforeAll, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { roleDelete } from '../../src/membership/roleDelete.ts'
import { roleList } from '../../src/membership/roleList.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import { type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
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
import { tracelessRefusalOf } from '../kit/verdicts.ts'

describeOnEachEngine('roles of a community’s own', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  const [admin, bob, carol] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
  })

  /** A fresh community with a forum and an admin of everything. */
  const start = async () => {
    roll = rollOn(db)
    community = await openCommunity(roll)
    forum = await makeForum(roll, community, 'main')
    await put(roll, community.founder, rosterOf(community.did).uri, admin, 'admin')
    await put(roll, community.founder, forum, admin, 'admin')
  }
  const name = (actor: Did, role: string, actions: string[], more: object = {}) =>
    rolePut(roll, actor, { community: community.did, name: role, actions, ...more }, once())
  const drop = (actor: Did, role: string, more: object = {}) =>
    roleDelete(roll, actor, { community: community.did, name: role, ...more }, once())
  const may = async (did: Did, action: string, space = forum) =>
    (await memberCheck(roll, did, { space, did: did as never, action })).allowed
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  describe('are named', () => {
    beforeAll(start)

    it('and allow what they say, where somebody has them', async () => {
      await name(admin, 'greeter', ['read', 'invite', 'members.add'], { description: 'Welcomes people.' })
      await put(roll, admin, forum, bob, 'greeter')
      expect([await may(bob, 'members.add'), await may(bob, 'write')]).toEqual([true, false])
    })

    it('and are listed with those that every community has', async () => {
      const { roles } = await roleList(roll, bob, { community: community.did, limit: 100 })
      expect(roles.map(({ name: one, origin }) => `${one} ${origin}`)).toEqual([
        ...['admin shipped', 'greeter own', 'member shipped', 'moderator shipped', 'owner shipped'],
        ...['reader shipped', 'writer shipped'],
      ])
      const page = await roleList(roll, bob, { community: community.did, limit: 3, cursor: 'greeter' })
      expect([page.roles.map((role) => role.name), page.cursor]).toEqual([['member', 'moderator', 'owner'], 'owner'])
      expect(roles[1]).toMatchObject({
        ...{ actions: ['read', 'members.add', 'invite'], description: 'Welcomes people.', changedBy: admin },
      })
    })

    it('but not by those who may not, nor seen by strangers', async () => {
      expect(await refusalOf(() => name(bob, 'greeter', ['read']))).toBe('NotFound')
      await put(roll, admin, rosterOf(community.did).uri, carol, 'member')
      expect(await refusalOf(() => name(carol, 'mine', ['read']))).toBe('Forbidden')
      expect(await refusalOf(() => name(freshDid(), 'mine', ['read']))).toBe('NotFound')
      expect(await refusalOf(() => roleList(roll, freshDid(), { community: community.did, limit: 100 }))).toBe(
        'NotFound',
      )
    })

    it.each(['Owner', 'owner', 'a b', '-a', 'a-', 'ärzte', 'a--b', '1st'])('but never “%s”', async (text) => {
      expect(await refusalOf(() => name(community.founder, text, ['read']))).toBe('InvalidRequest')
    })

    it('but never with what makes an owner, nor with a word that is no action', async () => {
      expect(await refusalOf(() => name(community.founder, 'heir', ['community.transfer']))).toBe('InvalidRequest')
      expect(await refusalOf(() => name(community.founder, 'heir', ['members.addd']))).toBe('InvalidRequest')
    })

    it('and putting one again as it is changes nothing', async () => {
      const { revision } = await name(admin, 'quiet', ['read'])
      expect((await name(admin, 'quiet', ['read', 'read'])).revision).toBe(revision)
    })
  })

  describe('that gain an action', () => {
    beforeAll(start)

    it('are not given one that the actor lacks in a space where somebody has the role', async () => {
      await name(admin, 'helper', ['read'])
      await put(roll, community.founder, forum, bob, 'helper')
      const other = await makeForum(roll, community, 'other')
      await put(roll, community.founder, other, carol, 'helper')
      expect(await refusalOf(() => name(admin, 'helper', ['read', 'members.ban']))).toBe('EscalationDenied')
      await name(community.founder, 'helper', ['read', 'members.ban'])
      expect([await may(bob, 'members.ban'), await may(carol, 'members.ban', other)]).toEqual([true, true])
    })

    it('are not given one that opens a way to more elsewhere', async () => {
      const elders = await makeRoleSpace(roll, community, 'elders')
      await name(community.founder, 'novice', ['read'])
      await put(roll, community.founder, elders, bob, 'novice')
      const vault = await makeForum(roll, community, 'vault')
      const edge = { space: vault, memberSpace: elders, role: 'moderator', holding: 'write' }
      await memberPut(roll, community.founder, edge, once())
      expect(await refusalOf(() => name(admin, 'novice', ['read', 'write']))).toBe('EscalationDenied')
      expect(await may(bob, 'members.ban', vault)).toBe(false)
    })
  })

  describe('that nobody has yet', () => {
    beforeAll(start)

    it('are not filled with what their maker lacks, for somebody with more to give them in good faith', async () => {
      expect(await refusalOf(() => name(admin, 'reader', ['read', 'keys.ceremony']))).toBe('EscalationDenied')
      expect(await refusalOf(() => name(admin, 'trap', ['community.export']))).toBe('EscalationDenied')
      await name(community.founder, 'keykeeper', ['keys.ceremony'])
    })
  })

  describe('that somebody had in a space that has ended', () => {
    beforeAll(start)

    it('are changed and dropped as if nobody had them', async () => {
      await name(admin, 'helper', ['read', 'members.ban'])
      await put(roll, community.founder, forum, bob, 'helper')
      await spaceDelete(roll, community.founder, { space: forum }, once())
      await name(admin, 'helper', ['read'])
      await name(admin, 'helper', ['read', 'invite'])
      await drop(admin, 'helper')
    })
  })

  describe('that lose an action', () => {
    beforeAll(start)

    it('are kept whole by whoever lacks a power of those who have them', async () => {
      await name(community.founder, 'keykeeper', ['read', 'write', 'keys.ceremony'])
      await put(roll, community.founder, forum, bob, 'keykeeper')
      expect(await refusalOf(() => name(admin, 'keykeeper', ['read']))).toBe('EscalationDenied')
      await name(admin, 'member', ['read', 'write'])
      await put(roll, community.founder, forum, carol, 'member')
      expect(await refusalOf(() => name(admin, 'member', []))).toBe('EscalationDenied')
    })
  })

  describe('go', () => {
    beforeAll(start)

    it('when nobody has them, and a shipped one comes back', async () => {
      await name(admin, 'passing', ['read'])
      await drop(admin, 'passing')
      expect(await refusalOf(() => put(roll, admin, forum, bob, 'passing'))).toBe('UnknownRole')
      await put(roll, admin, forum, bob, 'member')
      await name(admin, 'member', ['read'])
      expect(await may(bob, 'write')).toBe(false)
      await drop(admin, 'member')
      expect(await may(bob, 'write')).toBe(true)
    })

    it('but not while somebody has them, and not what isn’t there', async () => {
      await name(admin, 'staying', ['read'])
      await put(roll, admin, forum, carol, 'staying')
      expect(await refusalOf(() => drop(admin, 'staying'))).toBe('RoleInUse')
      expect(await refusalOf(() => drop(admin, 'nothing'))).toBe('UnknownRole')
      expect(await refusalOf(() => drop(carol, 'nothing'))).toBe('NotFound')
    })
  })

  it('are 256 at the most', async () => {
    await start()
    const rows = Array.from({ length: 256 }, (_, at) => ({
      ...{ community: community.did, name: `r${at}`, actions: ['read'], description: null },
      ...{ put_by: community.founder, put_at_ms: 1 },
    }))
    await db.insertInto('role').values(rows).execute()
    expect(await refusalOf(() => name(community.founder, 'one-more', ['read']))).toBe('LimitExceeded')
    await name(community.founder, 'r7', ['read', 'write'])
  })

  describe('in a dry run', () => {
    beforeAll(start)

    it('show who would gain and who would lose, and change nothing', async () => {
      await name(admin, 'helper', ['read'])
      await put(roll, admin, forum, bob, 'helper')
      await put(roll, admin, forum, carol, 'helper')
      const { revision } = await roleList(roll, admin, { community: community.did, limit: 100 })
      const answer = await name(admin, 'helper', ['write'], { dryRun: true })
      expect(answer).toEqual({
        revision,
        preview: {
          ...{ examined: 4, isComplete: true, gaining: 2, losing: 2 },
          changes: [bob, carol].sort().map((did) => ({ did, space: forum, gains: ['write'], loses: ['read'] })),
        },
      })
      expect(await may(bob, 'read')).toBe(true)
      expect((await roleList(roll, admin, { community: community.did, limit: 100 })).revision).toBe(revision)
    })

    it('are refused as the change would be', async () => {
      expect(await refusalOf(() => name(bob, 'helper', ['write'], { dryRun: true }))).toBe('NotFound')
      await put(roll, community.founder, forum, bob, 'helper')
      const other = await makeForum(roll, community, 'other')
      await put(roll, community.founder, other, carol, 'helper')
      expect(await refusalOf(() => name(admin, 'helper', ['members.ban'], { dryRun: true }))).toBe('EscalationDenied')
    })
  })
})
