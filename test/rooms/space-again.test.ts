/** A space of the name of one that ended: it is free only when the old one is cleared away, and nothing of the old one is in it. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { memberCheck } from '../../src/access/memberCheck.ts'
import { appList } from '../../src/apps/appList.ts'
import { appPutRule } from '../../src/apps/appPutRule.ts'
import { communityFreeze } from '../../src/community/communityFreeze.ts'
import { proposalApprove } from '../../src/community/proposalApprove.ts'
import { proposalList } from '../../src/community/proposalList.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { memberAcceptInvite } from '../../src/membership/memberAcceptInvite.ts'
import { memberApplyImport } from '../../src/membership/memberApplyImport.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberCreateInvite } from '../../src/membership/memberCreateInvite.ts'
import { memberImport } from '../../src/membership/memberImport.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberList } from '../../src/membership/memberList.ts'
import { memberListBans } from '../../src/membership/memberListBans.ts'
import { memberListRequests } from '../../src/membership/memberListRequests.ts'
import { memberRequestJoin } from '../../src/membership/memberRequestJoin.ts'
import { authorityOf, type Did, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { Refusal } from '../../src/refusals.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceGet } from '../../src/space/spaceGet.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { endsOn, lanesOf, register } from '../kit/ended-spaces.ts'
import { BINDINGS, exchange, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { manyRows } from '../kit/many-rows.ts'
import { type Held, jtiOf, obtain, present, revocations } from '../kit/presentation.ts'
import {
  type Community,
  FORUM,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  nest,
  once,
  openCommunity,
  put,
  type Roll,
  rollOn,
} from '../kit/roll.ts'
import { tracelessRefusalOf, verdictOf } from '../kit/verdicts.ts'
import { eventually } from '../kit/waiting.ts'
import type { Answer } from '../kit/world.ts'

const PUBLIC = { $type: 'com.atproto.simplespace.defs#publicPolicy' } as const
const DAY_MS = 86_400_000
type In<T extends (...given: never[]) => unknown> = Parameters<T>[2]

describeOnEachEngine('a space made anew', (open) => {
  let db: Db
  let roll: Roll
  let community: Community
  let owner: Did
  let forum: SpaceUri
  const bob = freshDid()

  beforeEach(async () => {
    db ??= (await open()).db
    roll = rollOn(db)
    community = await openCommunity(roll)
    owner = community.founder
    forum = await makeForum(roll, community, 'main')
    await put(roll, owner, forum, bob, 'member')
  })

  const end = (space = forum) => spaceDelete(roll, owner, { space }, once())
  const clearAway = () => endsOn(roll).finish()
  const again = (more: object = {}, by = owner) =>
    spaceCreate(
      roll,
      by,
      { community: community.did, spaceType: FORUM, skey: 'main', ...more } as In<typeof spaceCreate>,
      once(),
    )
  /** False as well where there is no such space to be asked about. */
  const may = async (did: Did, action = 'read', space = forum, on = roll): Promise<boolean> => {
    let isAllowed = false
    const verdict = await verdictOf(async () => {
      isAllowed = (await memberCheck(on, did, { space, did, action })).allowed
    })
    expect(['accepted', 'NotFound']).toContain(verdict)
    return isAllowed
  }
  const refusalOf = (change: () => Promise<unknown>) => tracelessRefusalOf(db, change)

  it('is refused, with a word about why, until the old one is cleared away', async () => {
    await end()
    const refused = (says: string) => expect(again()).rejects.toEqual(new Refusal('SpaceAlreadyExists', says))
    const waits = 'a space of that name has ended and is still being cleared away; try again in a moment'
    await refused(waits)
    await endsOn(roll).follow()
    await refused(waits)
    expect(await refusalOf(() => again({ dryRun: true }))).toBe('SpaceAlreadyExists')
    await endsOn(roll).clear()
    expect(await again()).toMatchObject({ uri: forum })
    await refused('the community has a space of that name')
  })

  it('is set as it is asked for, and nothing stays of what the old one was set to', async () => {
    const settings = { name: 'Allotments', description: 'For the beds.', readPolicy: PUBLIC, joining: 'byRequest' }
    await spaceUpdate(roll, owner, { space: forum, ...settings } as In<typeof spaceUpdate>, once())
    await communityFreeze(roll, owner, { space: forum, isFrozen: true }, once())
    const before = await spaceGet(roll, owner, { space: forum })
    expect(before).toMatchObject({ ...settings, isFrozen: true })
    await end()
    await clearAway()
    roll.clock.moveMs(DAY_MS)
    const admin = freshDid()
    await put(roll, owner, community.roster, admin, 'admin')
    await again({ name: 'Beds' }, admin)
    const after = await spaceGet(roll, owner, { space: forum })
    expect(after).toMatchObject({ name: 'Beds', joining: 'closed' })
    expect(after).not.toHaveProperty('description')
    expect(after.isFrozen ?? false).toBe(false)
    expect(after.readPolicy).not.toEqual(PUBLIC)
    const row = await db.selectFrom('space').selectAll().where('uri', '=', forum).executeTakeFirstOrThrow()
    expect(row).toMatchObject({ created_by: admin, created_at_ms: roll.clock.nowMs(), joining_role: null })
  })

  it('has its owners from the first moment, and nobody of those who were in the old one', async () => {
    const [left, banned] = [freshDid(), freshDid()]
    await put(roll, owner, forum, left, 'member')
    await memberLeave(roll, left, { space: forum }, once())
    await memberBan(roll, owner, { space: forum, did: banned }, once())
    // Another process, which knows the old one.
    const other = rollOn(db)
    expect([await may(owner, 'read', forum, other), await may(bob, 'read', forum, other)]).toEqual([true, true])
    await end()
    expect([await may(owner), await may(owner, 'read', forum, other)]).toEqual([false, false])
    await clearAway()
    await again()
    for (const process of [roll, other]) {
      expect(await may(owner, 'members.remove', forum, process)).toBe(true)
      for (const did of [bob, left, banned]) expect(await may(did, 'read', forum, process)).toBe(false)
    }
    expect((await memberList(roll, owner, { space: forum, limit: 50 })).members).toEqual([])
    expect((await memberListBans(roll, owner, { space: forum, limit: 50 } as never)).bans).toEqual([])
    for (const did of [bob, left, banned]) await put(roll, owner, forum, did, 'member')
    expect([await may(bob), await may(left), await may(banned)]).toEqual([true, true, true])
  })

  it('says of apps what it is made with', async () => {
    const rule = { space: forum, clientId: 'https://old.atmoboards.com/client.json', verdict: 'deny' }
    await appPutRule(roll as never, owner, rule as never, once())
    const apps = async () => (await appList(roll as never, owner, { space: forum, limit: 50 } as never)) as never
    expect(JSON.stringify(await apps())).toContain('old.atmoboards.com')
    await end()
    await clearAway()
    const allowed = ['https://new.atmoboards.com/client.json']
    await again({ appAccess: { $type: 'com.atproto.simplespace.defs#allowList', allowed } })
    expect(JSON.stringify(await apps())).not.toContain('old.atmoboards.com')
    expect(JSON.stringify(await apps())).toContain('new.atmoboards.com')
  })

  it('can’t be joined by an invite, a request or an import of the old one', async () => {
    const carol = freshDid()
    const { token } = await memberCreateInvite(roll, owner, { space: forum, role: 'member' }, once())
    await spaceUpdate(roll, owner, { space: forum, joining: 'byRequest' } as In<typeof spaceUpdate>, once())
    await memberRequestJoin(roll as never, carol, { space: forum } as never, once())
    const lines = `${JSON.stringify({ did: carol, role: 'member' })}\n`
    const started = (await memberImport(roll, owner, { space: forum, lines }, once())) as { import: string }
    expect(typeof started.import).toBe('string')
    await end()
    await clearAway()
    await again({})
    expect(await refusalOf(() => memberAcceptInvite(roll, carol, { token: token ?? '' }, once()))).toBe(
      'InviteNotValid',
    )
    const requests = await memberListRequests(roll, owner, { space: forum, limit: 50 } as never)
    expect(requests.requests).toEqual([])
    const apply = () => memberApplyImport(roll, owner, { import: started.import } as never, once())
    expect(await refusalOf(apply)).toBe('NotFound')
    expect(await may(carol)).toBe(false)
  })

  it('is not what a proposal about the old one was made for', async () => {
    const olga = freshDid()
    await put(roll, owner, community.roster, olga, 'owner')
    roll.clock.moveMs(3 * DAY_MS)
    const { proposal: opening } = await spaceUpdate(
      roll,
      owner,
      { space: forum, readPolicy: PUBLIC } as In<typeof spaceUpdate>,
      once(),
    )
    const { proposal: ending } = await end()
    await proposalApprove(roll, olga, { proposal: ending?.id ?? '' }, once())
    const approve = () => proposalApprove(roll, olga, { proposal: opening?.id ?? '' }, once())
    expect(await refusalOf(approve)).toBe('NotFound')
    await clearAway()
    await again()
    expect(await refusalOf(approve)).toBe('ProposalNotOpen')
    expect(await may(freshDid())).toBe(false)
    const { proposals } = await proposalList(roll, owner, { community: community.did, limit: 50 })
    expect(proposals.find(({ id }) => id === opening?.id)).toMatchObject({ state: 'cancelled', endedBy: community.did })
    expect(proposals.find(({ id }) => id === ending?.id)).toMatchObject({ state: 'done', endedBy: olga })
    // What is proposed about the new one is another matter.
    const { proposal } = await spaceUpdate(
      roll,
      owner,
      { space: forum, readPolicy: PUBLIC } as In<typeof spaceUpdate>,
      once(),
    )
    await proposalApprove(roll, olga, { proposal: proposal?.id ?? '' }, once())
    expect(await may(freshDid())).toBe(true)
  })

  it('gives nothing to those on whose rosters the old one stood, unless it is offered to them anew', async () => {
    const carol = freshDid()
    const hosts = await openCommunity(roll)
    const harbour = await makeForum(roll, hosts, 'harbour')
    const crew = await makeRoleSpace(roll, community, 'crew')
    await put(roll, owner, crew, carol, 'member')
    await nest(roll, community.did, { into: forum, from: crew, role: 'writer' })
    const offer = () => federationOffer(roll, owner, { space: crew, to: hosts.did }, once())
    await offer()
    await nest(roll, hosts.did, { into: harbour, from: crew, role: 'reader' })
    expect([await may(carol, 'read', harbour), await may(carol, 'write')]).toEqual([true, true])
    await end(crew)
    expect(await may(carol, 'read', harbour)).toBe(false)
    await clearAway()
    await again({ spaceType: 'community.reeve.role', skey: 'crew' })
    await put(roll, owner, crew, carol, 'member')
    expect(await may(carol, 'read', harbour)).toBe(false)
    // In its own community its entries went with it.
    expect(await may(carol, 'write')).toBe(false)
    await offer()
    expect(await may(carol, 'read', harbour)).toBe(true)
  })

  it('counts once among the spaces of its community', async () => {
    await end()
    await clearAway()
    const { did } = community
    await manyRows(db, (tx) =>
      sql`insert into space (uri, community, space_type, skey, state, created_by, created_at_ms)
        select 'at://' || ${did}::text || '/space/' || ${FORUM}::text || '/n' || at, ${did}, ${FORUM}, 'n' || at, 'deleted', ${owner}, 0
        from generate_series(1, 9998) at`.execute(tx),
    )
    expect(await refusalOf(() => again({ skey: 'one-more' }))).toBe('LimitExceeded')
    expect(await verdictOf(() => again())).toBe('accepted')
    expect(await refusalOf(() => again({ skey: 'one-more' }))).toBe('LimitExceeded')
    await manyRows(db, (tx) => sql`delete from space where uri like ${`at://${did}/space/${FORUM}/n%`}`.execute(tx))
  })

  it('is not made by an old call that is sent again, nor taken for what that call made', async () => {
    const body = { community: community.did, spaceType: FORUM, skey: 'again' }
    const create = (key: string) =>
      spaceCreate(roll, owner, body as In<typeof spaceCreate>, keyed(owner, 'community.reeve.space.create', key, body))
    const first = await create('first')
    await end(first.uri as SpaceUri)
    await clearAway()
    expect(await create('first')).toEqual(first)
    expect(await may(owner, 'read', first.uri as SpaceUri)).toBe(false)
    const second = await create('second')
    expect(second).toMatchObject({ uri: first.uri })
    expect(second.revision).toBeGreaterThan(first.revision)
    expect(await create('first')).toEqual(first)
  })

  it('is tried out without being made', async () => {
    await end()
    await clearAway()
    expect((await again({ dryRun: true })).preview).toBeDefined()
    expect(await may(owner)).toBe(false)
    expect(await verdictOf(() => again())).toBe('accepted')
  })

  it('is made once where two make it at once', async () => {
    await end()
    await clearAway()
    const verdicts = await Promise.all([verdictOf(() => again()), verdictOf(() => again())])
    expect(verdicts.sort()).toEqual(['SpaceAlreadyExists', 'accepted'])
  })

  it('ends and is made again like any other, and what is still to be told of the old ones stays', async () => {
    for (let life = 1; life <= 3; life++) {
      await register(roll, forum, { service: `did:web:syncer${life}.example#sync` })
      await end()
      await clearAway()
      await again()
      expect(await lanesOf(db, forum)).toHaveLength(life)
    }
    expect((await lanesOf(db, forum)).every(({ ended_at_ms }) => ended_at_ms !== null)).toBe(true)
    expect(authorityOf(forum)).toBe(community.did)
    expect(await may(owner)).toBe(true)
  })
})

const said = ({ status, body }: Answer): string => `${status} ${body?.error ?? ''}`.trim()

describeOnEachEngine('a credential for a space whose name lives again', (open) => {
  let scene: Scene
  beforeAll(async () => {
    scene = await openScene(await open())
  })
  afterAll(() => scene.close())

  const R = 'community.reeve'
  const make = () =>
    scene.alice.call(`${R}.space.create`, {
      ...{ community: scene.community, spaceType: 'com.atmoboards.forum', skey: 'phoenix' },
    })

  describe.each(BINDINGS)('of the generation of %s', (binding) => {
    let old: Held
    let space: string

    it('is for no space while there is none, and the exchange says that it was deleted', async () => {
      space = await eventually('the name is free', async () => (await make()).body.uri)
      await letIn(scene.alice, space, scene.bob.did)
      old = await obtain(scene, { binding, space })
      expect(said(await present(scene, old))).toBe('200')
      expect(said(await scene.alice.call(`${R}.space.delete`, { space }))).toBe('200')
      expect(said(await present(scene, old))).toBe('400 SpaceNotFound')
      expect(said(await exchange(scene, { binding, space }))).toBe('400 SpaceDeleted')
    })

    it('is taken back before the name is free, and stays so for whoever is let in again', async () => {
      const made = await eventually('it is made anew', async () => {
        const answer = await make()
        if (answer.status === 200) return answer
        expect(said(answer)).toBe('400 SpaceAlreadyExists')
        return null
      })
      expect(made.body.uri).toBe(space)
      expect((await revocations(scene.world.database)).get(jtiOf(old))).toMatchObject({ because: 'SpaceDeleted' })
      expect(said(await present(scene, old))).toBe('401 CredentialRevoked')
      expect(said(await exchange(scene, { binding, space }))).toBe('400 UserNotAuthorized')
      await letIn(scene.alice, space, scene.bob.did)
      expect(said(await present(scene, old))).toBe('401 CredentialRevoked')
    })

    it('is good when it is a new one, until that space ends as well', async () => {
      const held = await obtain(scene, { binding, space })
      expect(said(await present(scene, held))).toBe('200')
      expect(said(await scene.alice.call(`${R}.space.delete`, { space }))).toBe('200')
      expect(said(await present(scene, held))).toBe('400 SpaceNotFound')
    })
  })
})
