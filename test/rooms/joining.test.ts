/** Joining on real databases: spaces that take everybody, and those that take whoever asks; and that no power comes by it. */
import { beforeAll, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberRequestJoin } from '../../src/membership/memberRequestJoin.ts'
import { roleDelete } from '../../src/membership/roleDelete.ts'
import { roleList } from '../../src/membership/roleList.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceDescribe } from '../../src/space/spaceDescribe.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { accept, ask, decide, entryOf, inviteWord, lastDone, nestBy, setJoining, waiting } from '../kit/joining.ts'
import {
  type Community,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  nest,
  once,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'

const DAY_MS = 24 * 60 * 60 * 1000
const NOT_FOUND = 'NotFound: it does not exist, or not for you to know of'

describeOnEachEngine('joining', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let owner: Did
  const [admin, moderator, member] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
  })

  const start = async () => {
    roll = rollOn(db)
    community = await openCommunity(roll)
    owner = community.founder
    forum = await makeForum(roll, community, 'main')
    for (const [role, did] of Object.entries({ admin, moderator, member })) {
      await put(roll, owner, forum, did, role)
      await put(roll, owner, community.roster, did, role)
    }
  }
  const may = async (did: Did, action: string, space = forum) =>
    (await memberCheck(roll, did, { space, did, action })).allowed
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)
  const numbers = () =>
    db
      .selectFrom('community_revision')
      .select(['revision', 'graph_revision'])
      .where('community', '=', community.did)
      .executeTakeFirstOrThrow()
  const inDays = (days: number) => isoOf(roll.clock.nowMs() + days * DAY_MS)
  const who = async (space = forum) => (await waiting(roll, owner, space)).requests.map(({ did }) => did)

  describe('is set', () => {
    beforeAll(start)

    it('by those who configure the space, and is seen from within and, of a space for content, from outside', async () => {
      expect(await spaceGet(roll, member, { space: forum })).toMatchObject({ joining: 'closed' })
      const before = await numbers()
      await setJoining(roll, admin, forum, 'open', 'reader')
      const after = await numbers()
      expect(after).toEqual({ revision: before.revision + 1, graph_revision: before.graph_revision + 1 })
      expect(await spaceGet(roll, member, { space: forum })).toMatchObject({ joining: 'open', joiningRole: 'reader' })
      expect(await spaceDescribe(roll, { space: forum })).toMatchObject({ joining: 'open' })
      expect((await lastDone(db, community.did)).because).toMatchObject({
        ...{ joining: 'open', joiningRole: 'reader', joiningBefore: 'closed', joiningRoleBefore: null },
      })
      await setJoining(roll, admin, forum, 'byRequest')
      expect(await spaceDescribe(roll, { space: forum })).toMatchObject({ joining: 'byRequest' })
      expect(await spaceGet(roll, member, { space: forum })).not.toHaveProperty('joiningRole')
    })

    it('and stays as it is when nothing is said of it, or the same', async () => {
      await setJoining(roll, admin, forum, 'open', 'reader')
      const before = await numbers()
      expect((await setJoining(roll, admin, forum, 'open')).revision).toBe(before.revision)
      await spaceUpdate(roll, admin, { space: forum, name: 'Forum' }, once())
      expect(await numbers()).toEqual({ ...before, revision: before.revision + 1 })
      expect(await spaceGet(roll, member, { space: forum })).toMatchObject({ joining: 'open', joiningRole: 'reader' })
      await spaceUpdate(roll, admin, { space: forum, joiningRole: 'writer' }, once())
      expect(await spaceGet(roll, member, { space: forum })).toMatchObject({ joining: 'open', joiningRole: 'writer' })
    })

    it('of the roster and of role spaces too', async () => {
      const crew = await makeRoleSpace(roll, community, 'crew')
      await setJoining(roll, owner, community.roster, 'open', 'member')
      await setJoining(roll, owner, crew, 'open', 'member')
      const bob = freshDid()
      await ask(roll, bob, community.roster)
      await ask(roll, bob, crew)
      expect((await roleList(roll, bob, { community: community.did, limit: 100 })).roles).not.toEqual([])
    })

    it('by nobody else', async () => {
      expect(await refusalOf(() => setJoining(roll, freshDid(), forum, 'open', 'reader'))).toBe('NotFound')
      expect(await refusalOf(() => setJoining(roll, moderator, forum, 'closed'))).toBe('Forbidden')
    })

    it('with a role that there is, and no other', async () => {
      await setJoining(roll, admin, forum, 'closed')
      expect(await refusalOf(() => setJoining(roll, admin, forum, 'open'))).toBe('InvalidRequest')
      expect(await refusalOf(() => setJoining(roll, admin, forum, 'open', 'nothing'))).toBe('UnknownRole')
      expect(await refusalOf(() => setJoining(roll, owner, community.roster, 'open', 'owner'))).toBe('InvalidRequest')
      expect(await refusalOf(() => setJoining(roll, admin, forum, 'byRequest', 'reader'))).toBe('InvalidRequest')
    })

    it('and its role stays while anybody may come in by it', async () => {
      const of = { community: community.did, name: 'visitor' }
      await rolePut(roll, owner, { ...of, actions: ['read'] }, once())
      await setJoining(roll, admin, forum, 'open', 'visitor')
      expect(await refusalOf(() => roleDelete(roll, owner, of, once()))).toBe('RoleInUse')
      await setJoining(roll, admin, forum, 'closed')
      await roleDelete(roll, owner, of, once())
    })
  })

  describe('a space that takes everybody', () => {
    beforeAll(async () => {
      await start()
      await setJoining(roll, owner, forum, 'open', 'reader')
    })

    it('lets a stranger in at once, by their own hand, and the log says why', async () => {
      const bob = freshDid()
      const { state, revision } = await ask(roll, bob, forum)
      expect(state).toBe('member')
      expect(await entryOf(db, forum, bob)).toEqual({ role: 'reader', until_ms: null, added_by: bob })
      expect([await may(bob, 'read'), await may(bob, 'write')]).toEqual([true, false])
      expect(await lastDone(db, community.did)).toMatchObject({
        ...{ actor: bob, subject: bob, target: forum, action: 'member.requestJoin' },
        because: {
          revision,
          role: 'reader',
          reasons: [{ rule: 'openJoining', into: forum, from: bob, role: 'reader' }],
        },
      })
    })

    it('at another process as well, from the next call on', async () => {
      const elsewhere = rollOn(db)
      const square = await makeForum(roll, community, 'square')
      expect(await wordsOf(() => ask(elsewhere, freshDid(), square))).toBe(NOT_FOUND)
      await setJoining(roll, owner, square, 'open', 'reader')
      expect(await wordsOf(() => ask(elsewhere, freshDid(), square))).toBe('accepted')
    })

    it('leaves those alone who are there', async () => {
      const { revision } = await numbers()
      expect(await ask(roll, moderator, forum)).toEqual({ state: 'member', revision })
      expect(await entryOf(db, forum, moderator)).toMatchObject({ role: 'moderator', added_by: owner })
    })

    it('takes somebody in again whose entry has ended, or who had left', async () => {
      const [bob, carol] = [freshDid(), freshDid()]
      await put(roll, owner, forum, bob, 'member', { until: inDays(1) })
      roll.clock.moveMs(DAY_MS)
      await ask(roll, bob, forum)
      expect(await entryOf(db, forum, bob)).toMatchObject({ role: 'reader', until_ms: null })
      await ask(roll, carol, forum)
      await memberLeave(roll, carol, { space: forum }, once())
      expect(await may(carol, 'read')).toBe(false)
      await ask(roll, carol, forum)
      expect(await may(carol, 'read')).toBe(true)
    })

    it.each(['space', 'community'] as const)('keeps those out who are banned from the %s', async (scope) => {
      const [bob, carol] = [freshDid(), freshDid()]
      await ask(roll, carol, forum)
      for (const did of [bob, carol]) {
        await memberBan(
          roll,
          owner,
          { ...(scope === 'space' ? { space: forum } : { community: community.did, limit: 100 }), did },
          once(),
        )
        expect(await refusalOf(() => ask(roll, did, forum))).toBe('UserNotAuthorized')
      }
    })

    it('shows in a dry run what would come of it', async () => {
      const bob = freshDid()
      const { preview } = await ask(roll, bob, forum, { dryRun: true })
      expect(preview?.changes).toEqual([{ did: bob, space: forum, gains: ['read'], loses: [] }])
      expect(await entryOf(db, forum, bob)).toBeNull()
    })

    it('does not take its own community', async () => {
      expect(await refusalOf(() => ask(roll, community.did, forum))).toBe('InvalidRequest')
    })

    it('is closed again when somebody closes it, and with its end', async () => {
      const bob = freshDid()
      await setJoining(roll, owner, forum, 'closed')
      expect(await refusalOf(() => ask(roll, bob, forum))).toBe('NotFound')
      const doomed = await makeForum(roll, community, 'doomed')
      await setJoining(roll, owner, doomed, 'open', 'reader')
      await spaceDelete(roll, owner, { space: doomed }, once())
      expect(await wordsOf(() => ask(roll, bob, doomed))).toBe(NOT_FOUND)
      const row = await db
        .selectFrom('space')
        .select(['joining', 'joining_role'])
        .where('uri', '=', doomed)
        .executeTakeFirst()
      expect(row).toEqual({ joining: 'closed', joining_role: null })
    })
  })

  describe('gives nobody power without somebody’s leave:', () => {
    let crew: SpaceUri
    beforeAll(async () => {
      await start()
      crew = await makeRoleSpace(roll, community, 'crew')
    })

    it('a space doesn’t take everybody with a role that carries power, not even for an owner', async () => {
      expect(await refusalOf(() => setJoining(roll, owner, forum, 'open', 'moderator'))).toBe('OpenToAnybody')
    })

    it('a space that feeds a managing edge can’t be opened', async () => {
      await nestBy(roll, owner, forum, crew, 'moderator')
      expect(await refusalOf(() => setJoining(roll, owner, crew, 'open', 'reader'))).toBe('OpenToAnybody')
      await setJoining(roll, owner, crew, 'byRequest')
    })

    it('nor one that feeds it through another space, or from tomorrow on', async () => {
      const [outer, later] = [
        await makeRoleSpace(roll, community, 'outer'),
        await makeRoleSpace(roll, community, 'later'),
      ]
      await nestBy(roll, owner, crew, outer, 'reader')
      await nestBy(roll, owner, forum, later, 'moderator', { since: inDays(1) })
      expect(await refusalOf(() => setJoining(roll, owner, outer, 'open', 'reader'))).toBe('OpenToAnybody')
      expect(await refusalOf(() => setJoining(roll, owner, later, 'open', 'reader'))).toBe('OpenToAnybody')
    })

    it('but one whose newcomers don’t pass on may be', async () => {
      const lounge = await makeRoleSpace(roll, community, 'lounge')
      await nestBy(roll, owner, forum, lounge, 'moderator', { holding: 'write' })
      expect(await refusalOf(() => setJoining(roll, owner, lounge, 'open', 'writer'))).toBe('OpenToAnybody')
      await setJoining(roll, owner, lounge, 'open', 'reader')
      const bob = freshDid()
      await ask(roll, bob, lounge)
      expect(await may(bob, 'members.ban')).toBe(false)
    })

    it('an open space can’t feed a managing edge afterwards', async () => {
      const square = await makeRoleSpace(roll, community, 'square')
      await setJoining(roll, owner, square, 'open', 'member')
      expect(await refusalOf(() => nestBy(roll, owner, forum, square, 'moderator'))).toBe('OpenToAnybody')
      expect(await refusalOf(() => nestBy(roll, owner, crew, square, 'reader'))).toBe('OpenToAnybody')
      await nestBy(roll, owner, forum, square, 'reader')
      await setJoining(roll, owner, square, 'closed')
      await nestBy(roll, owner, crew, square, 'reader')
      expect(await refusalOf(() => setJoining(roll, owner, square, 'open', 'member'))).toBe('OpenToAnybody')
    })

    it('a role that anybody gets doesn’t gain power, nor lead to any by what it gains', async () => {
      const of = { community: community.did, name: 'visitor' }
      await rolePut(roll, owner, { ...of, actions: ['read'] }, once())
      const porch = await makeRoleSpace(roll, community, 'porch')
      await setJoining(roll, owner, porch, 'open', 'visitor')
      await nestBy(roll, owner, forum, porch, 'moderator', { holding: 'write' })
      const gain = (action: string) => rolePut(roll, owner, { ...of, actions: ['read', action] }, once())
      expect(await refusalOf(() => gain('members.ban'))).toBe('OpenToAnybody')
      expect(await refusalOf(() => gain('write'))).toBe('OpenToAnybody')
      await gain('members.read')
    })

    it('and where power came to an open space all the same, nobody joins it', async () => {
      const gap = await makeRoleSpace(roll, community, 'gap')
      await setJoining(roll, owner, gap, 'open', 'reader')
      await nest(roll, community.did, { into: forum, from: gap, role: 'moderator' })
      expect(await refusalOf(() => ask(roll, freshDid(), gap))).toBe('OpenToAnybody')
      await put(roll, owner, gap, member, 'reader')
      expect((await ask(roll, member, gap)).state).toBe('member')
    })

    it('somebody who had left doesn’t come back by themself into what others gave them', async () => {
      await start()
      crew = await makeRoleSpace(roll, community, 'crew')
      await nestBy(roll, owner, forum, crew, 'moderator')
      const bob = freshDid()
      await put(roll, owner, crew, bob, 'member')
      await memberLeave(roll, bob, { space: forum }, once())
      await setJoining(roll, owner, forum, 'open', 'reader')
      expect(await refusalOf(() => ask(roll, bob, forum))).toBe('EscalationDenied')
      await remove(roll, owner, crew, bob)
      await ask(roll, bob, forum)
      expect(await may(bob, 'read')).toBe(true)
    })
  })

  describe('a space that takes people by request', () => {
    beforeAll(async () => {
      await start()
      await setJoining(roll, owner, forum, 'byRequest')
    })

    it('hears who asks, once, and nothing else changes', async () => {
      const before = await numbers()
      const bob = freshDid()
      expect(await ask(roll, bob, forum, { message: 'I grow beans.' })).toEqual({
        ...{ state: 'requested', revision: before.revision },
      })
      const askedAt = inDays(0)
      roll.clock.moveMs(1)
      expect((await ask(roll, bob, forum, { message: 'And peas.' })).state).toBe('requested')
      expect((await waiting(roll, moderator, forum)).requests).toEqual([
        { did: bob, message: 'I grow beans.', askedAt },
      ])
      expect(await numbers()).toEqual(before)
      expect(await may(bob, 'read')).toBe(false)
    })

    it('shows those who wait to whom may add people there, the longest first, page by page', async () => {
      await start()
      await setJoining(roll, owner, forum, 'byRequest')
      const people = Array.from({ length: 5 }, freshDid)
      for (const did of people) {
        roll.clock.moveMs(1)
        await ask(roll, did, forum)
      }
      const first = await waiting(roll, moderator, forum, { limit: 3 })
      const rest = await waiting(roll, moderator, forum, { limit: 3, cursor: first.cursor })
      expect([...first.requests, ...rest.requests].map(({ did }) => did)).toEqual(people)
      expect(rest.cursor).toBeUndefined()
      expect(await refusalOf(() => waiting(roll, member, forum))).toBe('Forbidden')
      expect(await refusalOf(() => waiting(roll, freshDid(), forum))).toBe('NotFound')
      expect(await refusalOf(() => waiting(roll, moderator, forum, { cursor: 'yesterday' }))).toBe('InvalidRequest')
    })

    it('is closed to those who are banned, and nothing is asked by those who are there', async () => {
      const bob = freshDid()
      await memberBan(roll, owner, { space: forum, did: bob }, once())
      expect(await refusalOf(() => ask(roll, bob, forum))).toBe('UserNotAuthorized')
      expect((await ask(roll, member, forum)).state).toBe('member')
      expect(await who()).not.toContain(member)
    })

    it('answers alike to the same call, and writes nothing in a dry run', async () => {
      const bob = freshDid()
      expect((await ask(roll, bob, forum, { dryRun: true })).state).toBe('requested')
      expect(await who()).not.toContain(bob)
      const call = () => memberRequestJoin(roll, bob, { space: forum }, keyed(bob, 'ask', 'k', { space: forum }))
      expect(await call()).toEqual(await call())
    })

    it('forgets what is taken back, also when it was closed meanwhile', async () => {
      const bob = freshDid()
      await ask(roll, bob, forum)
      expect((await ask(roll, bob, forum, { withdraw: true })).state).toBe('none')
      expect(await who()).not.toContain(bob)
      expect((await ask(roll, bob, forum, { withdraw: true })).state).toBe('none')
      expect((await ask(roll, member, forum, { withdraw: true })).state).toBe('member')
      await ask(roll, bob, forum)
      await setJoining(roll, owner, forum, 'closed')
      expect((await ask(roll, bob, forum, { withdraw: true })).state).toBe('none')
      expect(await wordsOf(() => ask(roll, bob, forum, { withdraw: true }))).toBe(NOT_FOUND)
      await setJoining(roll, owner, forum, 'byRequest')
    })

    it('says no to what doesn’t fit together, or doesn’t show', async () => {
      const bob = freshDid()
      expect(await refusalOf(() => ask(roll, bob, forum, { withdraw: true, message: 'x' }))).toBe('InvalidRequest')
      expect(await refusalOf(() => ask(roll, bob, forum, { message: '\u202e' }))).toBe('InvalidRequest')
    })

    it('is, where it is closed, as if it weren’t there', async () => {
      const closed = await makeForum(roll, community, 'closed')
      const unknown = `at://${freshDid()}/space/com.atmoboards.forum/main` as SpaceUri
      for (const space of [closed, `${closed}-not` as SpaceUri, unknown]) {
        expect(await wordsOf(() => ask(roll, freshDid(), space))).toBe(NOT_FOUND)
        expect(await wordsOf(() => ask(roll, freshDid(), space, { withdraw: true }))).toBe(NOT_FOUND)
      }
      expect(await wordsOf(() => ask(roll, member, closed))).toBe(NOT_FOUND)
    })

    it('has 10,000 waiting at the most, and one person fifty of them anywhere', async () => {
      await start()
      await setJoining(roll, owner, forum, 'byRequest')
      const row = (space: SpaceUri, did: Did) => ({
        ...{ space, did, community: community.did, message: null, state: 'open' as const },
        ...{ asked_at_ms: 1, decided_by: null, decided_at_ms: null, reason: null },
      })
      const bob = freshDid()
      const spaces: SpaceUri[] = []
      for (let at = 0; at < 50; at++) spaces.push(await makeForum(roll, community, `s${at}`))
      await db
        .insertInto('join_request')
        .values(spaces.map((space) => row(space, bob)))
        .execute()
      expect(await refusalOf(() => ask(roll, bob, forum))).toBe('LimitExceeded')
      const others = Array.from({ length: 9_950 }, freshDid)
      for (let at = 0; at < others.length; at += 1_000) {
        const some = others.slice(at, at + 1_000).map((did) => row(forum, did))
        await db.insertInto('join_request').values(some).execute()
      }
      expect(await refusalOf(() => ask(roll, freshDid(), forum))).toBe('LimitExceeded')
      await decide(roll, owner, forum, others[0] as Did, 'decline')
      await ask(roll, freshDid(), forum)
    })
  })

  describe('a request', () => {
    beforeAll(async () => {
      await start()
      await setJoining(roll, owner, forum, 'byRequest')
    })
    const stillWaiting = async (...dids: Did[]) => {
      const waits = await who()
      return dids.filter((did) => waits.includes(did))
    }
    const asked = async () => {
      const did = freshDid()
      await ask(roll, did, forum)
      return did
    }

    it('that is approved puts the person there as whoever approves may put them', async () => {
      const [bob, carol, dora] = [await asked(), await asked(), await asked()]
      await decide(roll, moderator, forum, bob, 'approve')
      expect(await entryOf(db, forum, bob)).toMatchObject({ role: 'member', added_by: moderator })
      const done = await lastDone(db, community.did)
      expect(done).toMatchObject({ actor: moderator, subject: bob, action: 'member.decideRequest' })
      expect(done.because).toMatchObject({ verdict: 'approve', role: 'member', roleBefore: null })
      await decide(roll, moderator, forum, carol, 'approve', { role: 'reader', until: inDays(1) })
      expect(await entryOf(db, forum, carol)).toMatchObject({ role: 'reader', until_ms: roll.clock.nowMs() + DAY_MS })
      expect(await refusalOf(() => decide(roll, moderator, forum, dora, 'approve', { role: 'moderator' }))).toBe(
        'Forbidden',
      )
      await rolePut(
        roll,
        owner,
        { community: community.did, name: 'keykeeper', actions: ['keys.view', 'keys.ceremony'] },
        once(),
      )
      expect(await refusalOf(() => decide(roll, admin, forum, dora, 'approve', { role: 'keykeeper' }))).toBe(
        'EscalationDenied',
      )
      expect(await refusalOf(() => decide(roll, admin, forum, dora, 'approve', { role: 'nothing' }))).toBe(
        'UnknownRole',
      )
      expect(await refusalOf(() => decide(roll, owner, forum, dora, 'approve', { role: 'owner' }))).toBe(
        'InvalidRequest',
      )
      await decide(roll, admin, forum, dora, 'approve', { role: 'moderator' })
      expect(await who()).toEqual([])
    })

    it('into a space that feeds another is approved by those only who have the power there', async () => {
      const crew = await makeRoleSpace(roll, community, 'crew')
      const adder = freshDid()
      await rolePut(roll, owner, { community: community.did, name: 'adder', actions: ['read', 'members.add'] }, once())
      await put(roll, owner, crew, adder, 'adder')
      await setJoining(roll, owner, crew, 'byRequest')
      await nestBy(roll, owner, forum, crew, 'moderator', { holding: 'write' })
      const bob = freshDid()
      await ask(roll, bob, crew)
      expect(await refusalOf(() => decide(roll, adder, crew, bob, 'approve'))).toBe('EscalationDenied')
      await decide(roll, owner, crew, bob, 'approve')
      expect(await may(bob, 'members.ban')).toBe(true)
    })

    it('is decided by those who may add people there, and by nobody else', async () => {
      const bob = await asked()
      for (const verdict of ['approve', 'decline'] as const) {
        expect(await refusalOf(() => decide(roll, freshDid(), forum, bob, verdict))).toBe('NotFound')
        expect(await refusalOf(() => decide(roll, member, forum, bob, verdict))).toBe('Forbidden')
        expect(await refusalOf(() => decide(roll, moderator, forum, freshDid(), verdict))).toBe('NotFound')
        expect(await refusalOf(() => decide(roll, moderator, `${forum}-not` as SpaceUri, bob, verdict))).toBe(
          'NotFound',
        )
      }
      expect(await refusalOf(() => decide(roll, moderator, forum, bob, 'approve', { reason: 'nice' }))).toBe(
        'InvalidRequest',
      )
      expect(await refusalOf(() => decide(roll, moderator, forum, bob, 'decline', { role: 'member' }))).toBe(
        'InvalidRequest',
      )
      expect(await refusalOf(() => decide(roll, moderator, forum, bob, 'decline', { reason: ' ' }))).toBe(
        'InvalidRequest',
      )
    })

    it('that is declined is told, with the reason, when the person asks again within a week, and may be made after it', async () => {
      const bob = await asked()
      await decide(roll, moderator, forum, bob, 'decline', { reason: 'we are full' })
      const again = inDays(7)
      expect(await wordsOf(() => ask(roll, bob, forum))).toBe(
        `RateLimitExceeded: you were declined here (we are full); ask again after ${again}`,
      )
      expect((await ask(roll, bob, forum, { withdraw: true })).state).toBe('none')
      roll.clock.moveMs(7 * DAY_MS - 1)
      expect(await refusalOf(() => ask(roll, bob, forum))).toBe('RateLimitExceeded')
      roll.clock.moveMs(1)
      expect((await ask(roll, bob, forum)).state).toBe('requested')
      expect((await lastDone(db, community.did)).because).toMatchObject({ verdict: 'decline' })
      expect(JSON.stringify(await lastDone(db, community.did))).not.toContain('we are full')
    })

    it('that was decided is decided: the same once more changes nothing, and the other is refused', async () => {
      const [bob, carol] = [await asked(), await asked()]
      const approved = await decide(roll, moderator, forum, bob, 'approve')
      expect(await decide(roll, admin, forum, bob, 'approve')).toEqual(approved)
      expect(await refusalOf(() => decide(roll, admin, forum, bob, 'decline'))).toBe('NotFound')
      const declined = await decide(roll, moderator, forum, carol, 'decline')
      expect(await decide(roll, admin, forum, carol, 'decline')).toEqual(declined)
      expect(await refusalOf(() => decide(roll, admin, forum, carol, 'approve'))).toBe('NotFound')
      await remove(roll, moderator, forum, bob)
      expect(await refusalOf(() => decide(roll, admin, forum, bob, 'approve'))).toBe('NotFound')
    })

    it('ends when the person comes in by another way, and approving it then changes no entry', async () => {
      const [bob, carol, dora] = [await asked(), await asked(), await asked()]
      await put(roll, moderator, forum, bob, 'reader')
      await accept(roll, carol, await inviteWord(roll, moderator, forum, 'reader'))
      expect(await stillWaiting(bob, carol, dora)).toEqual([dora])
      await setJoining(roll, owner, forum, 'open', 'reader')
      await ask(roll, dora, forum)
      await setJoining(roll, owner, forum, 'byRequest')
      expect(await stillWaiting(bob, carol, dora)).toEqual([])
      await decide(roll, moderator, forum, bob, 'approve')
      expect(await entryOf(db, forum, bob)).toMatchObject({ role: 'reader' })
    })

    it('that waits beside an entry which hasn’t begun is settled by approving, and the entry stays', async () => {
      const bob = await asked()
      const edge = { into_space: forum, did: bob, community: community.did, role: 'reader', added_by: owner }
      await db
        .insertInto('person_edge')
        .values({ ...edge, added_at_ms: 1 })
        .execute()
      await decide(roll, moderator, forum, bob, 'approve')
      expect(await entryOf(db, forum, bob)).toMatchObject({ role: 'reader' })
      expect(await stillWaiting(bob)).toEqual([])
    })

    it('in a dry run shows what approving would give', async () => {
      const bob = await asked()
      const { preview } = await decide(roll, moderator, forum, bob, 'approve', { dryRun: true, role: 'reader' })
      expect(preview?.changes).toEqual([{ did: bob, space: forum, gains: ['read'], loses: [] }])
      expect(await stillWaiting(bob)).toEqual([bob])
    })

    it('that two decide in the same moment is decided once', async () => {
      for (let round = 0; round < 5; round++) {
        const bob = await asked()
        const words = await Promise.all([
          wordsOf(() => decide(rollOn(db), moderator, forum, bob, 'approve')),
          wordsOf(() => decide(rollOn(db), admin, forum, bob, 'decline')),
        ])
        expect(words.toSorted()).toEqual(['NotFound: this person does not wait for a decision here', 'accepted'])
        const isIn = (await entryOf(db, forum, bob)) !== null
        expect(isIn).toBe(words[0] === 'accepted')
      }
    })

    it('goes with its space', async () => {
      const doomed = await makeForum(roll, community, 'doomed')
      await setJoining(roll, owner, doomed, 'byRequest')
      const bob = freshDid()
      await ask(roll, bob, doomed)
      await spaceDelete(roll, owner, { space: doomed }, once())
      expect(await wordsOf(() => ask(roll, bob, doomed, { withdraw: true }))).toBe(NOT_FOUND)
      expect(await db.selectFrom('join_request').select('did').where('space', '=', doomed).execute()).toEqual([])
      expect(await refusalOf(() => waiting(roll, owner, doomed))).toBe('NotFound')
    })
  })

  it('in no way while the space rests: neither freely, nor by asking, nor by an invite', async () => {
    await start()
    const [open, asking] = [await makeForum(roll, community, 'open'), await makeForum(roll, community, 'asking')]
    await setJoining(roll, owner, open, 'open', 'reader')
    await setJoining(roll, owner, asking, 'byRequest')
    const token = await inviteWord(roll, owner, open, 'reader')
    await communityFreeze(roll, owner, { community: community.did, isFrozen: true } as never, once())
    const bob = freshDid()
    expect(await refusalOf(() => ask(roll, bob, open))).toBe('UserNotAuthorized')
    expect(await refusalOf(() => ask(roll, bob, asking))).toBe('UserNotAuthorized')
    expect(await refusalOf(() => accept(roll, bob, token))).toBe('UserNotAuthorized')
    await communityFreeze(roll, owner, { community: community.did, isFrozen: false } as never, once())
    await accept(roll, bob, token)
    expect(await entryOf(db, open, bob)).toMatchObject({ role: 'reader' })
  })

  it('at the same moment as the nesting that would carry power ends with one of them refused', async () => {
    await start()
    for (let round = 0; round < 5; round++) {
      const square = await makeRoleSpace(roll, community, `square${round}`)
      const words = await Promise.all([
        wordsOf(() => setJoining(rollOn(db), owner, square, 'open', 'reader')),
        wordsOf(() => nestBy(rollOn(db), owner, forum, square, 'moderator')),
      ])
      expect(words.map((word) => word.split(':')[0]).toSorted()).toEqual(['OpenToAnybody', 'accepted'])
    }
  })
})
