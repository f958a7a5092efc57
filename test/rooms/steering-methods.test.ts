/** What owners are told who have spaces kept at their PDS, what is on record of it, and what can't be done. */
import { beforeAll, beforeEach, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { RosterGraph } from '../../src/policy/roster-graph.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { listSteered } from '../../src/steering/steered-view.ts'
import { steeringApply } from '../../src/steering/steeringApply.ts'
import { steeringGetSpace } from '../../src/steering/steeringGetSpace.ts'
import { steeringLook } from '../../src/steering/steeringLook.ts'
import { steeringPut } from '../../src/steering/steeringPut.ts'
import { steeringRemove } from '../../src/steering/steeringRemove.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import type { PlayedSimplespaces } from '../kit/played-simplespaces.ts'
import {
  type Community,
  freshDid,
  keyed,
  makeForum,
  makeRoleSpace,
  once,
  openCommunity,
  put,
  wordsOf,
} from '../kit/roll.ts'
import {
  bindForum,
  openAccount,
  people,
  playedOf,
  playedPds,
  type Steered,
  settle,
  steer,
  steeringOn,
} from '../kit/steered.ts'

describeOnEachEngine('having spaces kept', (open) => {
  let db: Db
  let played: PlayedSimplespaces
  let ctx: Steered
  let community: Community
  let owner: Did
  let space: SpaceUri

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    await db.deleteFrom('steered_space').execute()
    played = playedOf('october')
    ctx = steeringOn(db, playedPds(played))
    community = await openAccount(ctx)
    owner = community.founder
    space = await bindForum(ctx, community)
  })
  const entries = async (like: string) => {
    const rows = await db
      .selectFrom('audit_entry')
      .select(['action', 'actor', 'because'])
      .where('community', '=', community.did)
      .where('action', 'like', like)
      .orderBy('id')
      .execute()
    return rows.map(({ action, actor, because }) => ({ action, actor, ...(because as object) }))
  }

  it('is for owners, of bound spaces, with a grant', async () => {
    const [bob] = people(1) as [Did]
    await put(ctx, owner, community.roster, bob, 'admin')
    expect(await wordsOf(() => steer(ctx, bob, space, 'hook'))).toMatch(/^Forbidden/)
    expect(await wordsOf(() => steer(ctx, freshDid(), space, 'hook'))).toMatch(/^NotFound/)
    const role = await makeRoleSpace(ctx, community, 'team')
    expect(await wordsOf(() => steer(ctx, owner, role, 'hook'))).toMatch(/^UnsupportedHost/)
    const here = await openCommunity(ctx)
    const forum = await makeForum(ctx, here, 'main')
    expect(await wordsOf(() => steer(ctx, here.founder, forum, 'hook'))).toMatch(/^UnsupportedHost/)
    expect(await wordsOf(() => steer(ctx, owner, space, 'both' as 'hook'))).toMatch(/^InvalidRequest/)
    const gone = space.replace('/main', '/none') as SpaceUri
    expect(await wordsOf(() => steer(ctx, owner, gone, 'hook'))).toMatch(/^NotFound/)
    await db.deleteFrom('pds_connection').where('community', '=', community.did).execute()
    expect(await wordsOf(() => steer(ctx, owner, space, 'hook'))).toMatch(/^NotConnected/)
    expect(await wordsOf(() => steeringGetSpace(ctx, owner, { space }))).toMatch(/^NotSteered/)
    expect(await wordsOf(() => steeringLook(ctx, owner, { space }))).toMatch(/^NotSteered/)
    expect(await wordsOf(() => steeringRemove(ctx, owner, { space }, once()))).toMatch(/^NotSteered/)
    expect(await wordsOf(() => steeringApply(ctx, owner, { space, look: 'x' }, once()))).toMatch(/^NotSteered/)
    expect(await db.selectFrom('steered_space').select('space').execute()).toEqual([])
  })

  it('is answered alike when it is asked again, and refused at another revision', async () => {
    const input = { space, mode: 'projection', idempotencyKey: 'a' } as const
    const call = keyed(owner, 'community.reeve.steering.put', 'a', input)
    const first = await steeringPut(ctx, owner, input, call)
    expect(await steeringPut(ctx, owner, input, call)).toEqual(first)
    const stale = { space, mode: 'hook', ifRevision: first.revision - 1 }
    expect(await wordsOf(() => steeringPut(ctx, owner, stale, once()))).toMatch(/^StaleRevision/)
  })

  it('waits for the end of an earlier space of that name', async () => {
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    played.trouble({ how: 'cut', times: 100, nsid: 'com.atproto.simplespace.deleteSpace' })
    await spaceDelete(ctx, owner, { space }, once())
    await db.deleteFrom('space_end').where('space', '=', space).execute()
    ctx.clock.moveMs(1_000)
    await settle(ctx)
    expect(await wordsOf(() => bindForum(ctx, community))).toMatch(/^SpaceAlreadyExists/)
    expect(played.has(space)).toBe(true)
    played.calm()
    ctx.clock.moveMs(600_000)
    await settle(ctx)
    expect(played.has(space)).toBe(false)
    await bindForum(ctx, community)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    expect(played.has(space)).toBe(true)
  })

  it('has a bound', async () => {
    const uris = Array.from({ length: 1_000 }, (_, nth) => `${space}${nth}`)
    const of = { community: community.did, bound_at_ms: 1 }
    const born = {
      space_type: 'com.atmoboards.forum',
      state: 'live',
      created_by: owner,
      created_at_ms: 0,
      frozen_at_ms: null,
    } as const
    await db
      .insertInto('space')
      .values(uris.map((uri, nth) => ({ ...of, ...born, uri, skey: `main${nth}`, joining_role: null })))
      .execute()
    const kept = { mode: 'hook', state: 'missing', begun_by: owner, begun_at_ms: 0, reconcile_due_ms: 0 } as const
    const blank = { again_at_ms: 0, failures: 0, plan_no: 0, plan_after_ms: 0, settings_due: false } as const
    const none = {
      speaks: null,
      fault: null,
      fault_since_ms: null,
      planned_at_ms: null,
      plan_due_ms: null,
      there: null,
      reconciled_at_ms: null,
    }
    await db
      .insertInto('steered_space')
      .values(uris.map((uri) => ({ ...of, ...kept, ...blank, ...none, space: uri as SpaceUri })))
      .execute()
    expect(await wordsOf(() => steer(ctx, owner, space, 'hook'))).toMatch(/^LimitExceeded/)
  })

  it('is on record, by counts and by names of what is wrong, and not by people', async () => {
    for (const did of people(3)) await put(ctx, owner, space, did, 'member')
    await steer(ctx, owner, space, 'projection')
    await settle(ctx)
    expect(await entries('steering.%')).toMatchObject([
      { action: 'steering.put', actor: owner, mode: 'projection' },
      { action: 'steering.made', actor: ctx.serviceDid, how: 'made', speaks: 'october' },
      { action: 'steering.projected', actor: ctx.serviceDid, put: 4, removed: 0, refused: 0 },
    ])
    played.byHand.deleteSpace(space)
    await put(ctx, owner, space, freshDid(), 'member')
    await settle(ctx)
    await steer(ctx, owner, space, 'hook')
    await settle(ctx)
    expect((await entries('steering.%')).slice(3)).toMatchObject([
      { action: 'steering.fault', fault: 'GoneAtPds' },
      { action: 'steering.put', mode: 'hook', modeBefore: 'projection' },
      { action: 'steering.made', how: 'made' },
    ])
    const knowing = { graph: new RosterGraph(community.did, []) }
    expect(await listSteered(db, community.did, { ...knowing, limit: 10, after: '' })).toMatchObject([
      { space, mode: 'hook', state: 'kept' },
    ])
  })
})
