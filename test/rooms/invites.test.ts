/** Invites on real databases: who may make one, what it gives when it is taken, and what is kept of its word. */
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberAcceptInvite } from '../../src/membership/memberAcceptInvite.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberCreateInvite } from '../../src/membership/memberCreateInvite.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { roleDelete } from '../../src/membership/roleDelete.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import { lockRevisions } from '../../src/membership/store.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { sha256, toBase64Url } from '../../src/platform/bytes.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { openLog } from '../../src/platform/log.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { accept, entryOf, everyRow, invite, invitesOf, inviteWord, lastDone, nestBy, revoke } from '../kit/joining.ts'
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
  remove,
  rollOn,
  wordsOf,
} from '../kit/roll.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'
import { openWorld } from '../kit/world.ts'

const DAY_MS = 24 * 60 * 60 * 1000

describeOnEachEngine('invites', (open, engine) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let owner: Did
  const [admin, moderator, member] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeAll(async () => {
    db = (await open()).db
  })

  /** A fresh community with a forum, and somebody in each role. */
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
  const usesOf = async (token: string) => {
    const row = await db
      .selectFrom('invite')
      .select('uses_left')
      .where('token_hash', '=', sha256(token))
      .executeTakeFirst()
    return row?.uses_left
  }
  const inDays = (days: number) => isoOf(roll.clock.nowMs() + days * DAY_MS)

  describe('that somebody takes', () => {
    beforeAll(start)

    it('put them on the roster with the role and the term that were said', async () => {
      const until = inDays(30)
      const token = await inviteWord(roll, moderator, forum, 'member', { until })
      const bob = freshDid()
      expect(await accept(roll, bob, token)).toMatchObject({ space: forum, joined: true })
      expect([await may(bob, 'write'), await may(bob, 'members.add')]).toEqual([true, false])
      roll.clock.moveMs(30 * DAY_MS)
      expect(await may(bob, 'write')).toBe(false)
    })

    it('are written down as their maker’s entry, taken by the person', async () => {
      const { token = '', invite: id } = await invite(roll, moderator, forum, 'reader')
      const bob = freshDid()
      const { revision } = await accept(roll, bob, token)
      expect(await entryOf(db, forum, bob)).toMatchObject({ role: 'reader', added_by: moderator })
      const done = await lastDone(db, community.did)
      expect(done).toMatchObject({ actor: bob, subject: bob, target: forum, action: 'member.acceptInvite' })
      expect(done.because).toMatchObject({ revision, invite: id, maker: moderator, role: 'reader' })
      expect(done.because.reasons[0]).toEqual({ rule: 'invite', into: forum, from: moderator, role: 'reader' })
    })

    it('are good for as many as were said, and for one when nothing was', async () => {
      const [single, triple] = [
        await inviteWord(roll, moderator, forum, 'member'),
        await inviteWord(roll, moderator, forum, 'member', { uses: 3 }),
      ]
      await accept(roll, freshDid(), single)
      expect(await refusalOf(() => accept(roll, freshDid(), single))).toBe('InviteNotValid')
      for (let i = 0; i < 3; i++) expect((await accept(roll, freshDid(), triple)).joined).toBe(true)
      expect(await refusalOf(() => accept(roll, freshDid(), triple))).toBe('InviteNotValid')
    })

    it('leave those alone who are there: nobody is raised or lowered, and no use is spent', async () => {
      await start()
      const [low, high] = [
        await inviteWord(roll, owner, forum, 'reader'),
        await inviteWord(roll, owner, forum, 'moderator'),
      ]
      const { revision } = await accept(roll, moderator, low)
      expect(await accept(roll, member, high)).toEqual({ space: forum, joined: false, revision })
      expect(await entryOf(db, forum, moderator)).toMatchObject({ role: 'moderator' })
      expect(await entryOf(db, forum, member)).toMatchObject({ role: 'member' })
      expect([await usesOf(low), await usesOf(high)]).toEqual([1, 1])
    })

    it('bring somebody in again whose own entry has ended', async () => {
      const bob = freshDid()
      await put(roll, owner, forum, bob, 'reader', { until: inDays(1) })
      roll.clock.moveMs(DAY_MS)
      expect((await accept(roll, bob, await inviteWord(roll, moderator, forum, 'member'))).joined).toBe(true)
      expect(await may(bob, 'write')).toBe(true)
    })

    it('bring somebody back who had left', async () => {
      const bob = freshDid()
      await put(roll, owner, forum, bob, 'member')
      await memberLeave(roll, bob, { space: forum }, once())
      await accept(roll, bob, await inviteWord(roll, moderator, forum, 'member'))
      expect(await may(bob, 'read')).toBe(true)
      expect(await db.selectFrom('departure').select('did').where('did', '=', bob).execute()).toEqual([])
    })

    it('show in a dry run what would come of it, and spend nothing', async () => {
      const token = await inviteWord(roll, moderator, forum, 'reader')
      const bob = freshDid()
      const { preview } = await accept(roll, bob, token, { dryRun: true })
      expect(preview?.changes).toEqual([{ did: bob, space: forum, gains: ['read'], loses: [] }])
      expect([await may(bob, 'read'), await usesOf(token)]).toEqual([false, 1])
    })

    it('are answered alike when the answer was lost on the way', async () => {
      const token = await inviteWord(roll, moderator, forum, 'reader', { uses: 2 })
      const bob = freshDid()
      const call = () => memberAcceptInvite(roll, bob, { token }, keyed(bob, 'accept', 'k', { token }))
      expect(await call()).toEqual(await call())
      expect(await usesOf(token)).toBe(1)
    })

    it('at the same moment let in as many as they are good for', async () => {
      const token = await inviteWord(roll, moderator, forum, 'member')
      const people = Array.from({ length: 6 }, freshDid)
      const words = await Promise.all(people.map((did) => wordsOf(() => accept(rollOn(db), did, token))))
      expect(words.toSorted()).toEqual(['accepted', ...Array(5).fill('InviteNotValid: the invite was used up')].sort())
      const entries = await Promise.all(people.map((did) => entryOf(db, forum, did)))
      expect(entries.filter((entry) => entry !== null)).toHaveLength(1)
    })
  })

  describe('are made', () => {
    beforeAll(start)

    it('by those who may invite there, and by nobody else', async () => {
      expect(await refusalOf(() => invite(roll, freshDid(), forum, 'member'))).toBe('NotFound')
      expect(await refusalOf(() => invite(roll, member, forum, 'member'))).toBe('Forbidden')
      expect(await refusalOf(() => invite(roll, moderator, `${forum}-not` as SpaceUri, 'member'))).toBe('NotFound')
      await invite(roll, moderator, forum, 'member')
    })

    it('with a role that carries power by those only who may assign roles, and have that power', async () => {
      expect(await refusalOf(() => invite(roll, moderator, forum, 'moderator'))).toBe('Forbidden')
      await invite(roll, admin, forum, 'moderator')
      await rolePut(roll, owner, { community: community.did, name: 'keykeeper', actions: ['keys.ceremony'] }, once())
      expect(await refusalOf(() => invite(roll, admin, forum, 'keykeeper'))).toBe('EscalationDenied')
    })

    it('with no role that there isn’t, and never for an owner', async () => {
      expect(await refusalOf(() => invite(roll, admin, forum, 'nothing'))).toBe('UnknownRole')
      expect(await refusalOf(() => invite(roll, owner, community.roster, 'owner'))).toBe('InvalidRequest')
    })

    it.each([
      ['an end in the past', () => ({ expiresAt: inDays(-1) })],
      ['an end after ninety days', () => ({ expiresAt: inDays(91) })],
      ['an end that is no day', () => ({ expiresAt: '2027-02-30T00:00:00.000Z' })],
      ['a term that is over', () => ({ until: inDays(-1) })],
      ['a note that does not show', () => ({ note: '\u200b' })],
    ])('but not with %s', async (_name, more) => {
      expect(await refusalOf(() => invite(roll, moderator, forum, 'member', more()))).toBe('InvalidRequest')
    })

    it('for seven days when nothing is said, and for ninety at most', async () => {
      expect((await invite(roll, moderator, forum, 'member')).expiresAt).toBe(inDays(7))
      expect((await invite(roll, moderator, forum, 'member', { expiresAt: inDays(90) })).expiresAt).toBe(inDays(90))
    })

    it('for no longer than their maker has what they give', async () => {
      const lent = freshDid()
      await put(roll, owner, forum, lent, 'admin', { until: inDays(10) })
      expect(await refusalOf(() => invite(roll, lent, forum, 'moderator'))).toBe('EscalationDenied')
      expect(await refusalOf(() => invite(roll, lent, forum, 'moderator', { until: inDays(11) }))).toBe(
        'EscalationDenied',
      )
      await invite(roll, lent, forum, 'moderator', { until: inDays(10) })
    })

    it('1,000 at the most; those that ended make room', async () => {
      await start()
      const row = (at: number) => ({
        ...{ id: `x${at}`, token_hash: sha256(`${community.did} ${at}`), space: forum, community: community.did },
        ...{ role: 'member', uses_left: 1, uses_max: 1, expires_at_ms: roll.clock.nowMs() + DAY_MS },
        ...{ made_by: owner, made_at_ms: 0 },
      })
      const rows = Array.from({ length: 999 }, (_, at) => row(at))
      await db.insertInto('invite').values(rows).execute()
      await invite(roll, moderator, forum, 'member')
      expect(await refusalOf(() => invite(roll, moderator, forum, 'member'))).toBe('LimitExceeded')
      await revoke(roll, moderator, forum, 'x7')
      await invite(roll, moderator, forum, 'member')
    })

    it('in a dry run not at all, and without a word', async () => {
      await start()
      const answer = await invite(roll, moderator, forum, 'member', { dryRun: true })
      expect(Object.keys(answer).toSorted()).toEqual(['expiresAt', 'preview', 'revision'])
      expect((await invitesOf(roll, moderator, forum)).invites).toEqual([])
    })
  })

  describe('give nobody power that their maker lacks:', () => {
    let crew: SpaceUri
    beforeAll(async () => {
      await start()
      crew = await makeRoleSpace(roll, community, 'crew')
    })

    /** Somebody who may invite into the crew, and isn't one of those whom its entry elsewhere lets through. */
    const greeter = async () => {
      const did = freshDid()
      await rolePut(roll, owner, { community: community.did, name: 'greeter', actions: ['read', 'invite'] }, once())
      await put(roll, owner, crew, did, 'greeter')
      return did
    }

    it('an invite into a space that feeds another is refused to who lacks the power there', async () => {
      await nestBy(roll, owner, forum, crew, 'moderator', { holding: 'write' })
      const stranger = await greeter()
      expect(await refusalOf(() => invite(roll, stranger, crew, 'member'))).toBe('EscalationDenied')
      // By reading alone nobody comes through to the forum.
      await invite(roll, stranger, crew, 'reader')
      const known = await greeter()
      await put(roll, owner, forum, known, 'moderator')
      const bob = freshDid()
      await accept(roll, bob, await inviteWord(roll, known, crew, 'member'))
      expect(await may(bob, 'members.ban')).toBe(true)
    })

    it('an invite made before its space was nested gives nothing when its maker lacks the new power', async () => {
      await start()
      crew = await makeRoleSpace(roll, community, 'crew')
      const [theirs, owners] = [
        await inviteWord(roll, await greeter(), crew, 'member'),
        await inviteWord(roll, owner, crew, 'member'),
      ]
      await nestBy(roll, owner, forum, crew, 'moderator', { holding: 'write' })
      const bob = freshDid()
      expect(await refusalOf(() => accept(roll, bob, theirs))).toBe('InviteNotValid')
      await accept(roll, bob, owners)
      expect(await may(bob, 'members.ban')).toBe(true)
    })

    it('an invite of a maker who fell is good for nothing, and again when they stand again', async () => {
      const maker = freshDid()
      await put(roll, owner, forum, maker, 'moderator')
      const token = await inviteWord(roll, maker, forum, 'member', { uses: 3 })
      await put(roll, owner, forum, maker, 'member')
      expect(await refusalOf(() => accept(roll, freshDid(), token))).toBe('InviteNotValid')
      await remove(roll, owner, forum, maker)
      expect(await refusalOf(() => accept(roll, freshDid(), token))).toBe('InviteNotValid')
      await put(roll, owner, forum, maker, 'moderator')
      await accept(roll, freshDid(), token)
      await memberBan(roll, owner, { community: community.did, did: maker }, once())
      expect(await refusalOf(() => accept(roll, freshDid(), token))).toBe('InviteNotValid')
    })

    it('a role that gains power takes it to nobody by an invite of somebody who lacks it', async () => {
      await rolePut(roll, owner, { community: community.did, name: 'helper', actions: ['read'] }, once())
      const token = await inviteWord(roll, moderator, forum, 'helper')
      await rolePut(roll, owner, { community: community.did, name: 'helper', actions: ['read', 'space.nest'] }, once())
      expect(await refusalOf(() => accept(roll, freshDid(), token))).toBe('InviteNotValid')
    })

    it('a moderator’s invite doesn’t bring somebody back into a power that they had left', async () => {
      const wardens = await makeRoleSpace(roll, community, 'wardens')
      await nestBy(roll, owner, forum, wardens, 'admin')
      const bob = freshDid()
      await put(roll, owner, wardens, bob, 'member')
      await memberLeave(roll, bob, { space: forum }, once())
      const [theirs, owners] = [
        await inviteWord(roll, moderator, forum, 'member'),
        await inviteWord(roll, owner, forum, 'member'),
      ]
      expect(await refusalOf(() => accept(roll, bob, theirs))).toBe('InviteNotValid')
      await accept(roll, bob, owners)
      expect(await may(bob, 'space.nest')).toBe(true)
    })
  })

  describe('keep nobody in who is kept out:', () => {
    beforeAll(start)

    it.each(['space', 'community'] as const)(
      'somebody banned from the %s is told so, and no use is spent',
      async (scope) => {
        const bob = freshDid()
        const token = await inviteWord(roll, moderator, forum, 'member')
        const banned = { ...(scope === 'space' ? { space: forum } : { community: community.did }), did: bob }
        await memberBan(roll, moderator, banned, once())
        expect(await refusalOf(() => accept(roll, bob, token))).toBe('UserNotAuthorized')
        expect(await usesOf(token)).toBe(1)
        await memberUnban(roll, moderator, banned, once())
        expect((await accept(roll, bob, token)).joined).toBe(true)
      },
    )

    it('a community does not come onto its own roster', async () => {
      const token = await inviteWord(roll, moderator, forum, 'member')
      expect(await refusalOf(() => accept(roll, community.did, token))).toBe('InvalidRequest')
    })
  })

  describe('end', () => {
    beforeAll(start)
    const saysOf = (token: string) => wordsOf(() => accept(roll, freshDid(), token))

    it('on their day', async () => {
      const token = await inviteWord(roll, moderator, forum, 'member', { expiresAt: inDays(2), uses: 2 })
      roll.clock.moveMs(2 * DAY_MS - 1)
      expect(await saysOf(token)).toBe('accepted')
      roll.clock.moveMs(1)
      expect(await saysOf(token)).toBe('InviteNotValid: the invite has expired')
    })

    it('with the term that they give', async () => {
      const token = await inviteWord(roll, moderator, forum, 'member', { until: inDays(1) })
      roll.clock.moveMs(DAY_MS)
      expect(await saysOf(token)).toBe('InviteNotValid: the invite has expired')
    })

    it('when they are revoked, by anybody who may invite there, and once is enough', async () => {
      const { token = '', invite: id = '' } = await invite(roll, admin, forum, 'member')
      expect(await refusalOf(() => revoke(roll, freshDid(), forum, id))).toBe('NotFound')
      expect(await refusalOf(() => revoke(roll, member, forum, id))).toBe('Forbidden')
      expect(await refusalOf(() => revoke(roll, moderator, forum, 'another'))).toBe('NotFound')
      const { revision } = await revoke(roll, moderator, forum, id)
      expect((await revoke(roll, admin, forum, id)).revision).toBe(revision)
      expect(await saysOf(token)).toBe('InviteNotValid: the invite was revoked')
      expect((await lastDone(db, community.did)).because).toMatchObject({ invite: id, usesLeft: 1 })
    })

    it('but not by an id that is of another space', async () => {
      const other = await makeForum(roll, community, 'other')
      const { invite: id = '' } = await invite(roll, owner, other, 'member')
      expect(await refusalOf(() => revoke(roll, moderator, forum, id))).toBe('NotFound')
    })

    it('with their space', async () => {
      const doomed = await makeForum(roll, community, 'doomed')
      const token = await inviteWord(roll, owner, doomed, 'member')
      await spaceDelete(roll, owner, { space: doomed }, once())
      expect(await saysOf(token)).toBe('InviteNotValid: there is no such invite any more')
      expect(await refusalOf(() => invitesOf(roll, owner, doomed))).toBe('NotFound')
      expect(await refusalOf(() => invite(roll, owner, doomed, 'member'))).toBe('NotFound')
      expect(await refusalOf(() => revoke(roll, owner, doomed, 'any'))).toBe('NotFound')
    })

    it('with their role, which stays while somebody may come in by it', async () => {
      const of = { community: community.did, name: 'passing' }
      await rolePut(roll, owner, { ...of, actions: ['read'] }, once())
      const token = await inviteWord(roll, moderator, forum, 'passing')
      expect(await refusalOf(() => roleDelete(roll, owner, of, once()))).toBe('RoleInUse')
      await db.deleteFrom('role').where('community', '=', community.did).execute()
      await sql`update community_revision set graph_revision = graph_revision + 1`.execute(db)
      expect(await saysOf(token)).toBe('InviteNotValid: there is no such invite any more')
    })

    it.each(['', 'reeve-invite-', `reeve-invite-${'A'.repeat(43)}`, `reeve-invite-${'A'.repeat(44)}`, 'A'.repeat(43)])(
      'never, where there was none: “%s”',
      async (token) => {
        expect(await refusalOf(() => accept(roll, freshDid(), token))).toBe('InviteNotValid')
      },
    )
  })

  describe('are listed', () => {
    beforeAll(start)

    it('for those who may invite there, with what has become of each', async () => {
      const note = 'For the summer fair'
      const used = await inviteWord(roll, moderator, forum, 'reader', { note })
      const first = roll.clock.nowMs()
      await accept(roll, freshDid(), used)
      roll.clock.moveMs(1)
      const { invite: revoked = '' } = await invite(roll, admin, forum, 'member', { uses: 4 })
      await revoke(roll, moderator, forum, revoked)
      roll.clock.moveMs(1)
      await invite(roll, moderator, forum, 'member', { expiresAt: inDays(1), until: inDays(1) })
      roll.clock.moveMs(DAY_MS)
      await invite(roll, moderator, forum, 'member')
      const { invites, revision } = await invitesOf(roll, moderator, forum)
      const at = (ms: number) => isoOf(first + ms)
      const of = { role: 'member', uses: 1, usesLeft: 1, madeBy: moderator }
      expect(invites.map(({ invite: _id, ...one }) => one)).toEqual([
        { ...of, role: 'reader', note, state: 'usedUp', usesLeft: 0, madeAt: at(0), expiresAt: at(7 * DAY_MS) },
        {
          ...{
            ...of,
            state: 'revoked',
            uses: 4,
            usesLeft: 4,
            madeBy: admin,
            madeAt: at(1),
            expiresAt: at(7 * DAY_MS + 1),
          },
          ...{ revokedBy: moderator, revokedAt: at(1) },
        },
        { ...of, state: 'expired', madeAt: at(2), until: at(DAY_MS + 2), expiresAt: at(DAY_MS + 2) },
        { ...of, state: 'open', madeAt: at(DAY_MS + 2), expiresAt: at(8 * DAY_MS + 2) },
      ])
      expect(invites[1]?.invite).toBe(revoked)
      expect(revision).toBeGreaterThan(0)
    })

    it('page by page', async () => {
      const all = (await invitesOf(roll, moderator, forum)).invites.map((one) => one.invite)
      const paged: string[] = []
      let cursor: string | undefined
      do {
        const page = await invitesOf(roll, moderator, forum, { limit: 3, ...(cursor === undefined ? {} : { cursor }) })
        paged.push(...page.invites.map((one) => one.invite))
        cursor = page.cursor
      } while (cursor !== undefined)
      expect(paged).toEqual(all)
    })

    it('for nobody else', async () => {
      expect(await refusalOf(() => invitesOf(roll, freshDid(), forum))).toBe('NotFound')
      expect(await refusalOf(() => invitesOf(roll, member, forum))).toBe('Forbidden')
    })
  })

  describe('have a word', () => {
    beforeAll(start)

    it('that is shown once, and is nowhere in the database, however it came and went', async () => {
      const body = { space: forum, role: 'member', uses: 2 } as const
      const create = () => memberCreateInvite(roll, moderator, body, keyed(moderator, 'createInvite', 'k', body))
      const first = await create()
      const token = first.token ?? ''
      expect(token).toMatch(/^reeve-invite-[\w-]{43}$/)
      const bob = freshDid()
      await memberAcceptInvite(roll, bob, { token }, keyed(bob, 'acceptInvite', 'k', { token }))
      const refused = () => memberAcceptInvite(roll, freshDid(), { token, ifRevision: 1 }, once())
      expect(await wordsOf(refused)).toMatch(/^StaleRevision/)

      const { token: _word, ...rest } = first
      expect(await create()).toEqual(rest)
      const secret = Buffer.from(token.slice('reeve-invite-'.length), 'base64url')
      const rows = await everyRow(db)
      expect(where({ word: spellingsOf(secret), text: { text: Buffer.from(token) } }, rows)).toEqual([])
      // The search finds what is there.
      expect(where({ hash: spellingsOf(sha256(token)) }, rows)).toContain('hash as hex in invite')
    })

    it('that is another one for every invite, and twice the same is another invite', async () => {
      const words = await Promise.all(Array.from({ length: 5 }, () => inviteWord(roll, moderator, forum, 'member')))
      expect(new Set(words).size).toBe(5)
      const swapped = words[0]?.replace(/.$/, (last) => (last === 'A' ? 'Q' : 'A')) ?? ''
      expect(await refusalOf(() => accept(roll, freshDid(), swapped))).toBe('InviteNotValid')
    })
  })

  if (engine === 'postgres') {
    it('that are guessed keep nobody waiting: the community isn’t held for them', async () => {
      await start()
      const guess = `reeve-invite-${toBase64Url(sha256('guess'))}`
      const gate = Promise.withResolvers<void>()
      const guessed = gate.promise.then(() => wordsOf(() => accept(rollOn(db), freshDid(), guess)))
      await withTransaction(db, async (tx) => {
        await lockRevisions(tx, community.did)
        gate.resolve()
        expect(await guessed).toBe('InviteNotValid: there is no such invite any more')
      })
    })
  }
})

it('the word of an invite is in no line of the log and in no refusal, when it comes in over HTTP', async () => {
  const lines: string[] = []
  const world = await openWorld({ log: openLog('debug', { write: (line) => void lines.push(line) }) })
  try {
    const [alice, bob, eve] = [await world.person(), await world.person(), await world.person()]
    const space = await world.makeSpace(alice, await world.found(alice))
    const made = await alice.call('community.reeve.member.createInvite', { space, role: 'member' })
    const { token } = made.body
    expect(made.status).toBe(200)
    expect((await bob.call('community.reeve.member.acceptInvite', { token })).body).toMatchObject({
      space,
      joined: true,
    })
    const used = await eve.call('community.reeve.member.acceptInvite', { token })
    expect(used).toMatchObject({ status: 400, body: { error: 'InviteNotValid', message: 'the invite was used up' } })
    const odd = await eve.call('community.reeve.member.acceptInvite', { token, tokenn: token })
    expect(odd).toMatchObject({ status: 400, body: { error: 'InvalidRequest' } })
    const { entries } = (await alice.ask('community.reeve.audit.list', { community: space.split('/')[2] ?? '' })).body
    const said = Buffer.from(JSON.stringify([lines, used.body, odd.body, entries]))
    expect(said.toString()).toContain('InviteNotValid')
    expect(said.toString()).toContain(made.body.invite)
    const secret = Buffer.from(token.slice('reeve-invite-'.length), 'base64url')
    expect(where({ word: spellingsOf(secret) }, { said })).toEqual([])
  } finally {
    await world.close()
  }
})
