/** Acts that can't be taken back, on real databases: who has to agree, for how long one may wait, and who can stop it. */
import { beforeEach, describe, expect, it } from 'vitest'
import { carryOutDue } from '../../src/community/acts.ts'
import { auditList } from '../../src/community/auditList.ts'
import { proposalApprove } from '../../src/community/proposalApprove.ts'
import { proposalCancel } from '../../src/community/proposalCancel.ts'
import { proposalList } from '../../src/community/proposalList.ts'
import { memberAcceptOwnership } from '../../src/membership/memberAcceptOwnership.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberList } from '../../src/membership/memberList.ts'
import { memberTransferOwnership } from '../../src/membership/memberTransferOwnership.ts'
import { loadSpaceState } from '../../src/membership/store.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { renderPolicy } from '../../src/space/settings.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { loadSpace } from '../../src/space/store.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import {
  type Community,
  freshDid,
  makeForum,
  once,
  openCommunity,
  put,
  type Roll,
  remove,
  rollOn,
} from '../kit/roll.ts'
import { serviceNamed } from '../kit/rule-stage.ts'
import { tracelessRefusalOf } from '../kit/verdicts.ts'

const PUBLIC = { $type: 'com.atproto.simplespace.defs#publicPolicy' } as const
const DAY_MS = 86_400_000

describeOnEachEngine('an act that can’t be taken back', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let forum: SpaceUri
  let alice: Did
  const [olga, admin, member] = Array.from({ length: 3 }, freshDid) as [Did, Did, Did]

  beforeEach(async () => {
    db ??= (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    alice = community.founder
    forum = await makeForum(roll, community, 'main')
    await put(roll, alice, forum, admin, 'admin')
    await put(roll, alice, forum, member, 'member')
  })

  const secondOwner = async (by = alice, who = olga) => {
    await put(roll, by, community.roster, who, 'owner')
    roll.clock.moveMs(3 * DAY_MS)
  }
  const end = (actor: Did, more: object = {}) => spaceDelete(roll, actor, { space: forum, ...more }, once())
  const letIn = (actor: Did, more: object = {}) =>
    spaceUpdate(roll, actor, { space: forum, readPolicy: PUBLIC, ...more } as never, once())
  const approve = (actor: Did, proposal: string, more: object = {}) =>
    proposalApprove(roll, actor, { proposal, ...more }, once())
  const cancel = (actor: Did, proposal: string) => proposalCancel(roll, actor, { proposal }, once())
  const idOf = ({ proposal }: { proposal?: { id: string } }) => proposal?.id ?? 'done at once'
  const isThere = async () => (await loadSpaceState(db, forum)) === 'live'
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('is done at once where there is nobody else to ask', async () => {
    expect(idOf(await end(alice))).toBe('done at once')
    expect(await isThere()).toBe(false)
  })

  it('waits where there is a second owner, and is done when that one agrees', async () => {
    await secondOwner()
    const answer = await end(alice)
    expect(answer.proposal).toMatchObject({ act: 'space.delete', target: forum, state: 'open', proposedBy: alice })
    expect(await isThere()).toBe(true)
    await approve(olga, idOf(answer))
    expect(await isThere()).toBe(false)
    const [proposal] = (await proposalList(roll, alice, { community: community.did, limit: 50 })).proposals
    expect(proposal).toMatchObject({ state: 'done', proposedBy: alice, endedBy: olga })
  })

  it('leaves in the audit who proposed it and who agreed', async () => {
    await secondOwner()
    await approve(olga, idOf(await end(alice)))
    const { entries } = await auditList(roll, alice, { community: community.did, limit: 2 })
    expect(entries.map(({ actor, action }) => `${actor} ${action}`)).toEqual([
      `${olga} space.delete`,
      `${alice} proposal.make`,
    ])
    expect(JSON.stringify(entries[0]?.because)).toContain(alice)
  })

  it('waits for an owner when an admin asks for it, and another admin is none', async () => {
    const id = idOf(await end(admin))
    const puppet = freshDid()
    await put(roll, admin, forum, puppet, 'admin')
    roll.clock.moveMs(3 * DAY_MS)
    expect(await refusalOf(() => approve(admin, id))).toBe('Forbidden')
    expect(await refusalOf(() => approve(puppet, id))).toBe('Forbidden')
    expect(await isThere()).toBe(true)
    await approve(alice, id)
    expect(await isThere()).toBe(false)
  })

  it('is not for those to approve who might not do it themselves', async () => {
    await secondOwner()
    const id = idOf(await end(alice))
    expect(await refusalOf(() => approve(member, id))).toBe('Forbidden')
    expect(await refusalOf(() => approve(freshDid(), id))).toBe('NotFound')
    expect(await refusalOf(() => approve(alice, id))).toBe('Forbidden')
    expect(await isThere()).toBe(true)
  })

  it('asked for twice is proposed once', async () => {
    await secondOwner()
    const first = await end(alice)
    const second = await end(olga)
    expect(second).toEqual(first)
    expect((await proposalList(roll, alice, { community: community.did, limit: 50 })).proposals).toHaveLength(1)
  })

  it('comes to nothing after seven days, and can be proposed again', async () => {
    await secondOwner()
    const id = idOf(await end(alice))
    roll.clock.moveMs(7 * DAY_MS)
    expect(await refusalOf(() => approve(olga, id))).toBe('ProposalNotOpen')
    const again = idOf(await end(alice))
    expect(again).not.toBe(id)
    await approve(olga, again)
    expect(await isThere()).toBe(false)
  })

  it('is stopped by who proposed it or by any owner, and by nobody else', async () => {
    await secondOwner()
    const id = idOf(await end(admin))
    expect(await refusalOf(() => cancel(member, id))).toBe('Forbidden')
    expect(await refusalOf(() => cancel(freshDid(), id))).toBe('NotFound')
    await cancel(olga, id)
    expect(await refusalOf(() => approve(alice, id))).toBe('ProposalNotOpen')
    expect(await refusalOf(() => cancel(olga, id))).toBe('ProposalNotOpen')
    await cancel(admin, idOf(await end(admin)))
    expect(await isThere()).toBe(true)
  })

  it('is not approved by somebody who was made an owner for it', async () => {
    await secondOwner()
    const puppet = freshDid()
    await put(roll, alice, community.roster, puppet, 'owner')
    const id = idOf(await end(alice))
    roll.clock.moveMs(3 * DAY_MS - 1)
    expect(await refusalOf(() => approve(puppet, id))).toBe('Forbidden')
    expect(await isThere()).toBe(true)
    roll.clock.moveMs(1)
    await approve(puppet, id)
    expect(await isThere()).toBe(false)
  })

  const putOut: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['banned', () => memberBan(roll, alice, { community: community.did, did: olga } as never, once())],
    ['demoted', () => put(roll, alice, community.roster, olga, 'member')],
    ['removed', () => remove(roll, alice, community.roster, olga)],
  ]
  it.each(putOut)('waits for three days where the other owner was just %s, who can stop it', async (_how, out) => {
    await secondOwner()
    await out()
    const { proposal } = await end(alice)
    expect(proposal).toMatchObject({ state: 'approved', dueAt: isoOf(roll.clock.nowMs() + 3 * DAY_MS) })
    expect(await carryOutDue({ ...roll, log: silentLog })).toBe(0)
    const { proposals } = await proposalList(roll, olga, { community: community.did, limit: 50 })
    expect(proposals.map((one) => one.id)).toEqual([proposal?.id])
    await cancel(olga, proposal?.id ?? '')
    roll.clock.moveMs(3 * DAY_MS)
    expect(await carryOutDue({ ...roll, log: silentLog })).toBe(0)
    expect(await isThere()).toBe(true)
    // Somebody who was put out for long is heard no more.
    expect(await refusalOf(() => cancel(olga, idOf({ proposal: { id: 'none' } })))).toBe('NotFound')
    expect(idOf(await end(alice))).toBe('done at once')
  })

  it('is carried out on its day where nobody was left to be asked, and not where somebody is there by then', async () => {
    await secondOwner()
    await remove(roll, alice, community.roster, olga)
    await end(alice)
    await put(roll, alice, community.roster, freshDid(), 'owner')
    roll.clock.moveMs(3 * DAY_MS)
    expect(await carryOutDue({ ...roll, log: silentLog })).toBe(1)
    expect(await isThere()).toBe(true)
  })

  it('is shown with what it would do, and nothing else is approved under its name', async () => {
    await secondOwner()
    const { proposal } = await letIn(alice, { writePolicy: PUBLIC, name: 'Open house' })
    expect(proposal?.input).toMatchObject({ given: { settings: { writePolicy: 'public', name: 'Open house' } } })
    expect(await refusalOf(() => letIn(olga))).toBe('ProposalWaits')
  })

  it('takes the place of a proposal that nobody could carry out any more', async () => {
    await secondOwner()
    const doomed = idOf(await end(admin))
    await remove(roll, alice, forum, admin)
    const id = idOf(await end(alice))
    expect(id).not.toBe(doomed)
    await approve(olga, id)
    expect(await isThere()).toBe(false)
  })

  it('is not done when who proposed it has lost the power to meanwhile', async () => {
    await secondOwner()
    const id = idOf(await end(admin))
    await remove(roll, alice, forum, admin)
    expect(await refusalOf(() => approve(alice, id))).toBe('ProposalNotOpen')
    expect(await isThere()).toBe(true)
  })

  it('is refused by name before anybody is asked', async () => {
    await secondOwner()
    expect(await refusalOf(() => end(member))).toBe('Forbidden')
    expect(await refusalOf(() => letIn(admin))).toBe('Forbidden')
    expect((await proposalList(roll, alice, { community: community.did, limit: 50 })).proposals).toEqual([])
  })

  it('in a dry run says who would lose what, and that somebody has to agree', async () => {
    await secondOwner()
    const answer = await end(alice, { dryRun: true })
    expect(answer).toMatchObject({ needsApproval: true, preview: { losing: 4, gaining: 0, isComplete: true } })
    expect(answer.proposal).toBeUndefined()
    expect(await isThere()).toBe(true)
  })

  it('is letting the public in, and not putting it out again', async () => {
    await secondOwner()
    const id = idOf(await letIn(alice, { name: 'Open house' }))
    expect(await loadSpace(db, forum)).toMatchObject({ readPolicy: 'memberList', name: null })
    await approve(olga, id)
    expect(await loadSpace(db, forum)).toMatchObject({ readPolicy: 'public', name: 'Open house' })
    const closed = { readPolicy: { $type: 'com.atproto.simplespace.defs#memberListPolicy' } }
    expect(idOf(await letIn(alice, closed))).toBe('done at once')
    expect(await loadSpace(db, forum)).toMatchObject({ readPolicy: 'memberList' })
  })

  it('is letting another service say who comes in, each one anew, and not where everybody is in or nobody comes any more', async () => {
    await secondOwner()
    const managed = (app: string) => ({ readPolicy: renderPolicy(serviceNamed(`did:web:${app}.example.com#bouncer`)) })
    const policy = async () => (await loadSpace(db, forum))?.readPolicy
    await approve(olga, idOf(await letIn(alice, managed('one'))))
    expect(await policy()).toBe('did:web:one.example.com#bouncer')
    expect(idOf(await letIn(alice, managed('one')))).toBe('done at once')
    const id = idOf(await letIn(alice, managed('two')))
    expect(await policy()).toBe('did:web:one.example.com#bouncer')
    await approve(olga, id)
    expect(await policy()).toBe('did:web:two.example.com#bouncer')
    await approve(olga, idOf(await letIn(alice)))
    expect(await policy()).toBe('public')
    expect(idOf(await letIn(alice, managed('one')))).toBe('done at once')
    const closed = { readPolicy: renderPolicy('memberList') }
    expect(idOf(await letIn(alice, closed))).toBe('done at once')
    expect(idOf(await letIn(alice, managed('one')))).not.toBe('done at once')
  })

  it('is handing the community over, which stays the proposer’s to hand', async () => {
    await secondOwner()
    const bob = freshDid()
    const offer = { community: community.did, to: bob }
    const id = idOf(await memberTransferOwnership(roll, alice, offer, once()))
    expect(await refusalOf(() => memberAcceptOwnership(roll, bob, { community: community.did }, once()))).toBe(
      'NotFound',
    )
    await approve(olga, id)
    await memberAcceptOwnership(roll, bob, { community: community.did }, once())
    const { members } = await memberList(roll, bob, { space: community.roster, limit: 10 })
    const roleOf = (did: Did) => members.find((entry) => entry.did === did)?.role
    expect([roleOf(alice), roleOf(bob), roleOf(olga)]).toEqual(['admin', 'owner', 'owner'])
  })

  describe('in a list', () => {
    it('is shown to owners, and to others as far as they proposed it', async () => {
      await secondOwner()
      const id = idOf(await end(admin))
      const seenBy = async (did: Did) =>
        (await proposalList(roll, did, { community: community.did, limit: 50 })).proposals.map((one) => one.id)
      expect([await seenBy(olga), await seenBy(admin), await seenBy(member)]).toEqual([[id], [id], []])
      expect(await refusalOf(() => seenBy(freshDid()))).toBe('NotFound')
    })
  })
})
