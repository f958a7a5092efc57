/** Answers that are lost, owners who are quick, and processes that are slow, where spaces are kept at a PDS. */
import { beforeAll, beforeEach, expect, it } from 'vitest'
import { type Did, managingAppOf, parseSpaceUri, type SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { listDueSpaces } from '../../src/steering/keeping-store.ts'
import type { Pds } from '../../src/steering/pds.ts'
import { planAll } from '../../src/steering/plan.ts'
import { endTurn, takeTurn } from '../../src/steering/turn-store.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { type PlayedSimplespaces, SETTINGS } from '../kit/played-simplespaces.ts'
import { type Community, once, wordsOf } from '../kit/roll.ts'
import {
  bindForum,
  changePast,
  openAccount,
  people,
  playedOf,
  playedPds,
  QUICK,
  type Steered,
  settle,
  steer,
  steeringOn,
} from '../kit/steered.ts'

const DAY_MS = 24 * 60 * 60 * 1000

describeOnEachEngine('a space that is kept at a PDS', (open) => {
  let db: Db
  let played: PlayedSimplespaces
  let ctx: Steered
  let community: Community
  let owner: Did
  let space: SpaceUri
  /** What happens before a call comes to the PDS. */
  let before: (nsid: string) => Promise<void>

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    await db.deleteFrom('steered_space').execute()
    played = playedOf('october')
    before = async () => {}
    const plain = playedPds(played)
    const pds: Pds = {
      call: async (did, call) => {
        await before(call.nsid.slice('com.atproto.simplespace.'.length))
        return plain.call(did, call)
      },
    }
    ctx = steeringOn(db, pds)
    community = await openAccount(ctx)
    owner = community.founder
  })
  const ours = () => SETTINGS.managedBy(managingAppOf(ctx.serviceDid))
  const ban = (did: Did) =>
    changePast(ctx, community.did, (tx) =>
      tx
        .insertInto('ban')
        .values({
          ...{ community: community.did, scope: space, did, until_ms: null, reason: null },
          ...{ banned_by: owner, banned_at_ms: 0 },
        } as never)
        .execute(),
    )
  const enter = (some: readonly Did[]) =>
    changePast(ctx, community.did, (tx) =>
      tx
        .insertInto('person_edge')
        .values(
          some.map((did) => ({
            ...{ into_space: space, did, community: community.did, role: 'member' },
            ...{ since_ms: null, until_ms: null, added_by: owner, added_at_ms: 0 },
          })),
        )
        .execute(),
    )
  const unban = (did: Did) =>
    changePast(ctx, community.did, (tx) => tx.deleteFrom('ban').where('did', '=', did).execute())
  const later = (ms: number) => ctx.clock.moveMs(ms)

  it('asks us again when the answer to being opened was lost and somebody is banned anew', async () => {
    space = await bindForum(ctx, community, 'main', { readPolicy: SETTINGS.public, writePolicy: SETTINGS.public })
    await steer(ctx, owner, space, 'projection')
    const [bob] = people(1) as [Did]
    await ban(bob)
    await settle(ctx)
    expect(played.config(space).readPolicy).toEqual(ours())
    played.trouble({ how: 'cut', isDone: true, nsid: 'com.atproto.simplespace.updateSpace' })
    await unban(bob)
    await settle(ctx, QUICK, 1)
    expect(played.config(space).readPolicy).toEqual(SETTINGS.public)
    await ban(bob)
    later(60_000)
    await settle(ctx)
    expect(played.config(space).readPolicy).toEqual(ours())
  })

  it('is bound anew only when the earlier one of its name is deleted there', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    await spaceDelete(ctx, owner, { space }, once())
    await db.deleteFrom('space_end').where('space', '=', space).execute()
    later(1_000)
    expect(await wordsOf(() => bindForum(ctx, community))).toMatch(/^SpaceAlreadyExists/)
    await settle(ctx)
    expect(played.has(space)).toBe(false)
    await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    const { state } = await db.selectFrom('steered_space').select('state').executeTakeFirstOrThrow()
    expect(state).toBe('kept')
  })

  it('is not deleted there when another one of its name lives here', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    await changePast(ctx, community.did, (tx) =>
      tx
        .updateTable('space')
        .set((one) => ({ bound_at_ms: one('bound_at_ms', '+', 1) }))
        .where('uri', '=', space)
        .execute(),
    )
    await settle(ctx)
    expect(played.has(space)).toBe(true)
    expect(await db.selectFrom('steered_space').select('space').execute()).toEqual([])
  })

  it('is deleted there however long something else was wrong with it before', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    const since = ctx.clock.nowMs() - 30 * DAY_MS
    await db.updateTable('steered_space').set({ fault: 'UnsupportedAppAccess', fault_since_ms: since }).execute()
    await spaceDelete(ctx, owner, { space }, once())
    await settle(ctx)
    expect(played.has(space)).toBe(false)
  })

  it('has nobody put back by a process that wakes after its turn', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    const folk = people(20)
    await enter(folk)
    let slept = 0
    before = async (nsid) => {
      if (nsid !== 'putMember' || slept++ > 0) return
      // It sleeps for longer than its turn lasts.
      later(20_000)
    }
    await settle(ctx, QUICK, 1)
    // Those that were under way are through; nothing was begun after them.
    expect(played.count('putMember')).toBeLessThanOrEqual(1 + QUICK.atOnce)
    later(60_000)
    await settle(ctx)
    expect(played.members(space).size).toBe(21)
  })

  it('goes on in the way that an owner chose in the middle of a call', async () => {
    space = await bindForum(ctx, community, 'main', { readPolicy: SETTINGS.public, writePolicy: SETTINGS.public })
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    await enter(people(5))
    const [bob] = people(1) as [Did]
    await ban(bob)
    let isChosen = false
    before = async (nsid) => {
      if (nsid !== 'updateSpace' || isChosen) return
      isChosen = true
      await steer(ctx, owner, space, 'hook')
    }
    const puts = played.count('putMember')
    await settle(ctx)
    expect(isChosen).toBe(true)
    expect(played.count('putMember')).toBe(puts)
    expect(await db.selectFrom('steered_member').select('did').where('space', '=', space).execute()).toEqual([])
    expect(played.config(space).readPolicy).toEqual(ours())
  })

  it('is left by a plan that was under way with nobody of whom something would be due for ever', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    await enter(people(5))
    before = async (nsid) => {
      if (nsid !== 'putMember') return
      before = async () => {}
      await steer(ctx, owner, space, 'hook')
      // As a page of the plan that was on its way.
      await db
        .insertInto('steered_member')
        .values({ space, did: owner, wants: 3, has: null, plan: 0, is_held: false, refused: null })
        .execute()
    }
    await settle(ctx)
    expect(await db.selectFrom('steered_member').select('did').where('space', '=', space).execute()).toEqual([])
  })

  it('is looked after when a clock that was wrong is right again', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    const far = ctx.clock.nowMs() + 365 * DAY_MS
    await db.updateTable('steered_space').set({ again_at_ms: far, plan_after_ms: far, reconcile_due_ms: far }).execute()
    await db
      .insertInto('held_turn')
      .values({ name: `steering ${community.did}`, holder: 'gone', until_ms: far })
      .execute()
    const [bob] = people(1) as [Did]
    await enter([bob])
    const looks = played.count('listMembers')
    await settle(ctx)
    expect(played.members(space).has(bob)).toBe(true)
    expect(played.count('listMembers')).toBeGreaterThan(looks)
  })

  it('has its turn before those that had theirs since', async () => {
    space = await bindForum(ctx, community, 'z')
    const first = await bindForum(ctx, community, 'a')
    for (const uri of [space, first]) await steer(ctx, owner, uri, 'hook')
    await settle(ctx)
    later(1_000)
    await db.updateTable('steered_space').set({ settings_due: true }).where('space', '=', first).execute()
    await settle(ctx, QUICK, 1)
    const due = ctx.clock.nowMs() + 1
    await db.updateTable('steered_space').set({ settings_due: true }).execute()
    expect(await listDueSpaces(db, community.did, due, 1)).toEqual([space])
  })

  it('has somebody tried again within the hour who was not taken off', async () => {
    space = await bindForum(ctx, community)
    const [bob] = people(1) as [Did]
    await enter([bob])
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    const how = { status: 400, body: { error: 'InvalidRequest' } }
    played.trouble({ how, nsid: 'com.atproto.simplespace.removeMember' })
    await ban(bob)
    await settle(ctx)
    expect(played.members(space).has(bob)).toBe(true)
    later(61 * 60_000)
    await settle(ctx)
    expect(played.members(space).has(bob)).toBe(false)
  })

  it('goes by no list of before that nobody went by, until it is as it should be', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    const [stranger] = people(1) as [Did]
    played.byHand.putMember(space, stranger)
    played.byHand.change(space, {
      readPolicy: { $type: 'com.example.defs#odd' },
      writePolicy: { $type: 'com.example.defs#odd' },
    })
    await db.deleteFrom('steered_space').execute()
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    expect(played.members(space).has(stranger)).toBe(true)
    expect(played.config(space).readPolicy).toEqual(ours())
  })

  it('takes nobody off a list for having been frozen while the roster was gone through', async () => {
    space = await bindForum(ctx, community)
    await steer(ctx, owner, space, 'projection')
    const some = people(3)
    await enter(some)
    await settle(ctx)
    const wanted = () => db.selectFrom('steered_member').select(['did', 'wants', 'has']).orderBy('did').execute()
    const before = await wanted()
    expect(before).toHaveLength(4)
    await changePast(ctx, community.did, (tx) =>
      tx.updateTable('space').set({ frozen_at_ms: 1 }).where('uri', '=', space).execute(),
    )
    const name = parseSpaceUri(space)
    if (!name) throw new Error('no space')
    const lease = { name: `steering ${community.did}`, holder: 'somebody' }
    await takeTurn(db, { ...lease, untilMs: ctx.clock.nowMs() + DAY_MS, nowMs: ctx.clock.nowMs() + DAY_MS })
    const planning = { lease, space: name, speaks: 'october', revision: Number.MAX_SAFE_INTEGER, dueMs: null } as const
    await expect(planAll(ctx, planning)).rejects.toThrow('halted')
    expect(await wanted()).toEqual(before)
    await endTurn(db, lease.name, lease.holder)
  })
})
