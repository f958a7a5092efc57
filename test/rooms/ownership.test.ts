/** Handing a community over, on real databases: an offer, and its taking; there is an owner at every moment. */
import { sql } from 'kysely'
import { beforeAll, describe, expect, it } from 'vitest'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberTransferOwnership } from '../../src/membership/memberTransferOwnership.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { rolePut } from '../../src/membership/rolePut.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { agreed } from '../kit/agreed.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { accept, entryOf, inviteWord, lastDone, takeOver, transfer } from '../kit/joining.ts'
import {
  type Community,
  freshDid,
  keyed,
  makeForum,
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
const FALLEN = 'ProposalNotOpen: whoever offered it may no longer do it'

describeOnEachEngine('handing a community over', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let owner: Did
  let roster: SpaceUri
  const [admin, member] = Array.from({ length: 2 }, freshDid) as [Did, Did]

  beforeAll(async () => {
    db = (await open()).db
  })

  const start = async () => {
    roll = rollOn(db)
    community = await openCommunity(roll)
    owner = community.founder
    roster = community.roster
    await put(roll, owner, roster, admin, 'admin')
    await put(roll, owner, roster, member, 'member')
  }
  const offer = async (actor: Did, to: Did, more: object = {}) => {
    // As if nobody had been put out lately.
    await db.deleteFrom('owner_gone').execute()
    return agreed(roll, transfer(roll, actor, community.did, { to, ...more }))
  }
  const take = (actor: Did, more: object = {}) => takeOver(roll, actor, community.did, more)
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)
  const roleOf = async (did: Did) => (await entryOf(db, roster, did))?.role ?? null
  const owners = async () => {
    const rows = db.selectFrom('person_edge').select('did').where('into_space', '=', roster).where('role', '=', 'owner')
    return (await rows.execute()).map(({ did }) => did)
  }
  const inDays = (days: number) => isoOf(roll.clock.nowMs() + days * DAY_MS)

  describe('is offered', () => {
    beforeAll(start)

    it('by an owner, and by nobody else', async () => {
      expect(await refusalOf(() => offer(freshDid(), freshDid()))).toBe('NotFound')
      expect(await refusalOf(() => offer(member, freshDid()))).toBe('Forbidden')
      expect(await refusalOf(() => offer(admin, admin))).toBe('InvalidRequest')
      expect(await refusalOf(() => offer(admin, freshDid()))).toBe('Forbidden')
      const { expiresAt } = await offer(owner, member)
      expect(expiresAt).toBe(inDays(7))
      expect([await roleOf(owner), await roleOf(member)]).toEqual(['owner', 'member'])
      const done = await lastDone(db, community.did)
      expect(done).toMatchObject({ actor: owner, subject: member, action: 'member.transferOwnership' })
      expect(done.because).toMatchObject({ to: member, roleAfter: 'admin' })
    })

    it.each([
      ['to themself', () => ({ to: owner }), 'InvalidRequest'],
      ['to the community', () => ({ to: community.did }), 'InvalidRequest'],
      ['to nobody', () => ({}), 'InvalidRequest'],
      ['and taken back at once', () => ({ to: member, cancel: true }), 'InvalidRequest'],
      ['and taken back with a role', () => ({ cancel: true, roleAfter: 'admin' }), 'InvalidRequest'],
      ['and kept', () => ({ to: member, roleAfter: 'owner' }), 'InvalidRequest'],
      ['for a role that there isn’t', () => ({ to: member, roleAfter: 'nothing' }), 'UnknownRole'],
      ['until yesterday', () => ({ to: member, expiresAt: inDays(-1) }), 'InvalidRequest'],
      ['for longer than ninety days', () => ({ to: member, expiresAt: inDays(91) }), 'InvalidRequest'],
    ])('but not %s', async (_name, input, code) => {
      expect(await refusalOf(() => transfer(roll, owner, community.did, input()))).toBe(code)
    })

    it('and not to an owner, who has it', async () => {
      const second = freshDid()
      await put(roll, owner, roster, second, 'owner')
      expect(await refusalOf(() => offer(owner, second))).toBe('InvalidRequest')
      await remove(roll, owner, roster, second)
    })

    it('once: another offer takes the place of the one that stands', async () => {
      const bob = freshDid()
      await offer(owner, bob)
      await offer(owner, member, { roleAfter: 'reader' })
      expect(await wordsOf(() => take(bob))).toBe(NOT_FOUND)
      await take(member)
      expect([await roleOf(owner), await roleOf(member)]).toEqual(['reader', 'owner'])
    })

    it('and taken back by whoever made it, and what isn’t there changes nothing', async () => {
      await start()
      await offer(owner, member)
      expect(await refusalOf(() => transfer(roll, admin, community.did, { cancel: true }))).toBe('Forbidden')
      const { revision } = await transfer(roll, owner, community.did, { cancel: true })
      expect(await wordsOf(() => take(member))).toBe(NOT_FOUND)
      expect((await transfer(roll, owner, community.did, { cancel: true })).revision).toBe(revision)
    })

    it('in a dry run to nobody, and with one key once', async () => {
      await offer(owner, member, { dryRun: true })
      expect(await wordsOf(() => take(member))).toBe(NOT_FOUND)
      const body = { community: community.did, to: member }
      const call = () => memberTransferOwnership(roll, owner, body, keyed(owner, 'transfer', 'k', body))
      expect(await call()).toEqual(await call())
    })
  })

  describe('is taken', () => {
    beforeAll(start)

    it('by the person alone to whom it is offered, a stranger perhaps, and both change together', async () => {
      const bob = freshDid()
      await offer(owner, bob)
      expect(await wordsOf(() => take(member))).toBe(NOT_FOUND)
      expect(await wordsOf(() => take(freshDid()))).toBe(NOT_FOUND)
      const { preview } = await take(bob, { dryRun: true })
      // What becomes of the other is not for a stranger to see.
      expect(preview).toMatchObject({ gaining: 1, losing: 0 })
      expect(await owners()).toEqual([owner])
      await take(bob)
      expect(await owners()).toEqual([bob])
      expect(await roleOf(owner)).toBe('admin')
      const done = await lastDone(db, community.did)
      expect(done).toMatchObject({ actor: bob, subject: bob, action: 'member.acceptOwnership' })
      expect(done.because).toMatchObject({ from: owner, roleAfter: 'admin', roleBefore: null })
      expect(await refusalOf(() => put(roll, owner, roster, freshDid(), 'owner'))).toBe('EscalationDenied')
    })

    it('so that nothing is left to the one who wanted no place, and an owner’s entry has no term', async () => {
      await start()
      const bob = freshDid()
      await put(roll, owner, roster, bob, 'member', { until: inDays(1) })
      await offer(owner, bob, { roleAfter: 'none' })
      await take(bob)
      expect(await roleOf(owner)).toBeNull()
      expect(await entryOf(db, roster, bob)).toMatchObject({ role: 'owner', until_ms: null, added_by: owner })
    })

    it('by somebody who had left, who is back', async () => {
      await start()
      await memberLeave(roll, member, { space: roster }, once())
      await offer(owner, member)
      await take(member)
      expect(await owners()).toEqual([member])
      expect(await db.selectFrom('departure').select('did').where('did', '=', member).execute()).toEqual([])
    })

    it('once: an owner to whom nothing is offered has it, and nothing changes', async () => {
      const { revision } = await take(member)
      expect((await take(member)).revision).toBe(revision)
      expect(await owners()).toEqual([member])
    })

    it('from the one named, where several offer it', async () => {
      await start()
      const [second, bob] = [freshDid(), freshDid()]
      await put(roll, owner, roster, second, 'owner')
      await offer(owner, bob)
      await offer(second, bob)
      expect(await refusalOf(() => take(bob))).toBe('InvalidRequest')
      expect(await wordsOf(() => take(bob, { from: admin }))).toBe(NOT_FOUND)
      await take(bob, { from: second })
      expect((await owners()).toSorted()).toEqual([owner, bob].sort())
      await take(bob)
      expect(await owners()).toEqual([bob])
    })
  })

  describe('is judged again when it is taken:', () => {
    beforeAll(start)

    it('not after its day', async () => {
      await offer(owner, member, { expiresAt: inDays(2) })
      roll.clock.moveMs(2 * DAY_MS)
      expect(await wordsOf(() => take(member))).toBe('ProposalNotOpen: the offer has expired')
    })

    it('not when whoever offered it is an owner no more, or is kept out', async () => {
      const second = freshDid()
      await put(roll, owner, roster, second, 'owner')
      await offer(second, member)
      await memberBan(roll, owner, { community: community.did, did: second }, once())
      expect(await wordsOf(() => take(member, { from: second }))).toBe(FALLEN)
      await memberUnban(roll, owner, { community: community.did, did: second }, once())
      await put(roll, owner, roster, second, 'admin')
      expect(await wordsOf(() => take(member, { from: second }))).toBe(FALLEN)
      await remove(roll, owner, roster, second)
      expect(await wordsOf(() => take(member, { from: second }))).toBe(FALLEN)
      expect(await owners()).toEqual([owner])
    })

    it('not by somebody who is kept out', async () => {
      await offer(owner, member)
      await memberBan(roll, owner, { community: community.did, did: member }, once())
      expect(await refusalOf(() => take(member))).toBe('UserNotAuthorized')
      expect(await owners()).toEqual([owner])
    })

    it('not when the role for afterwards is gone', async () => {
      await start()
      await rolePut(roll, owner, { community: community.did, name: 'elder', actions: ['read'] }, once())
      await offer(owner, member, { roleAfter: 'elder' })
      await db.deleteFrom('role').where('community', '=', community.did).execute()
      await sql`update community_revision set graph_revision = graph_revision + 1`.execute(db)
      expect(await wordsOf(() => take(member))).toBe(
        'ProposalNotOpen: the role that the owner asked for afterwards is gone',
      )
      expect(await owners()).toEqual([owner])
    })
  })

  it('leaves an owner whoever acts in the same moment: taking, taking back, and another owner’s leaving', async () => {
    for (let round = 0; round < 6; round++) {
      await start()
      const [second, bob] = [freshDid(), freshDid()]
      await put(roll, owner, roster, second, 'owner')
      await offer(owner, bob, { roleAfter: 'none' })
      const words = await Promise.all([
        wordsOf(() => takeOver(rollOn(db), bob, community.did)),
        wordsOf(() => memberLeave(rollOn(db), second, { space: roster }, once())),
        wordsOf(() => memberLeave(rollOn(db), owner, { space: roster }, once())),
        wordsOf(() => transfer(rollOn(db), owner, community.did, { cancel: true })),
      ])
      const left = await owners()
      expect(left.length, words.join(' | ')).toBeGreaterThan(0)
      expect(left.includes(bob), words.join(' | ')).toBe(words[0] === 'accepted')
    }
  })

  it('ends what the former owner’s invites could give beyond what they are now', async () => {
    await start()
    const forum = await makeForum(roll, community, 'main')
    const [intoForum, intoRoster] = [
      await inviteWord(roll, owner, forum, 'admin'),
      await inviteWord(roll, owner, roster, 'moderator'),
    ]
    await offer(owner, member, { roleAfter: 'admin' })
    await take(member)
    expect(await refusalOf(() => accept(roll, freshDid(), intoForum))).toBe('InviteNotValid')
    expect((await accept(roll, freshDid(), intoRoster)).joined).toBe(true)
  })
})
