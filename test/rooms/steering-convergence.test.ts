/**
 * The same story through the hook and through a list: rosters that change at random, with spaces in spaces, bans and entries for a time, and after
 * each change everybody is let in by the PDS, by its own policies and list, who would be by the hook, and nobody else.
 */
import { beforeAll, beforeEach, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import { openSteering } from '../../src/steering/projector.ts'
import { GENERATIONS } from '../kit/asking-host.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { Dice } from '../kit/dice.ts'
import { type PlayedSimplespaces, SETTINGS, type UnknownMethod } from '../kit/played-simplespaces.ts'
import { type Community, freshDid, makeForum, makeRoleSpace, openCommunity, put } from '../kit/roll.ts'
import {
  bindForum,
  changePast,
  openAccount,
  otherwise,
  people,
  playedOf,
  playedPds,
  QUICK,
  type Steered,
  settle,
  steer,
  steeringOn,
} from '../kit/steered.ts'

const SEED = 20_261_129
const CHANGES = 40
const MINUTE_MS = 60_000

type Tx = Parameters<Parameters<typeof changePast>[2]>[0]

describeOnEachEngine('a list and the hook', (open) => {
  let db: Db
  let ctx: Steered
  let played: PlayedSimplespaces
  let community: Community

  beforeAll(async () => {
    db = (await open()).db
  })
  beforeEach(async () => {
    await db.deleteFrom('steered_space').execute()
  })
  const begin = async (given: PlayedSimplespaces) => {
    played = given
    ctx = steeringOn(db, playedPds(played))
    community = await openAccount(ctx)
  }

  it.each(GENERATIONS)(
    `of a PDS of %s let in the same people through ${CHANGES} changes`,
    { timeout: 120_000 },
    async (generation) => {
      await begin(playedOf(generation))
      const dice = new Dice(SEED)
      const forum = await bindForum(ctx, community)
      const rooms: SpaceUri[] = [forum]
      for (const name of ['team', 'guests', 'inner']) rooms.push(await makeRoleSpace(ctx, community, name))
      const others = await openCommunity(ctx)
      const theirs = await makeForum(ctx, others, 'theirs')
      const folk = people(14)
      const everybody = [community.did, community.founder, others.founder, freshDid(), ...folk]
      await steer(ctx, community.founder, forum, 'projection')
      const instant = () =>
        dice.weighed([
          [3, null],
          [1, ctx.clock.nowMs() + dice.below(4) * MINUTE_MS + 1],
        ])
      const roles = ['member', 'reader', 'moderator', 'writer']
      const enter = (tx: Tx, space: SpaceUri, did: Did, of: Community) =>
        tx
          .insertInto('person_edge')
          .values({
            ...{
              into_space: space,
              did,
              community: of.did,
              role: dice.pick(roles),
              added_by: of.founder,
              added_at_ms: 0,
            },
            ...{ since_ms: instant(), until_ms: null },
          })
          .onConflict((conflict) =>
            conflict
              .columns(['into_space', 'did'])
              .doUpdateSet({ role: dice.pick(roles), since_ms: null, until_ms: instant() }),
          )
          .execute()
      const nesting = (tx: Tx, from: SpaceUri, into: SpaceUri) =>
        tx
          .insertInto('space_edge')
          .values({
            ...{ into_space: into, from_space: from, role: dice.pick(['member', 'reader']), community: community.did },
            ...{
              holding: dice.weighed([
                [2, null],
                [1, 'write'],
              ]),
              since_ms: null,
              until_ms: instant(),
            },
            ...{ is_system: false, added_by: community.founder, added_at_ms: 0 },
          })
          .onConflict((conflict) => conflict.doNothing())
          .execute()
      const changes: (readonly [number, (tx: Tx) => Promise<unknown>])[] = [
        [5, (tx) => enter(tx, dice.pick(rooms), dice.pick(folk), community)],
        [
          3,
          (tx) =>
            tx
              .deleteFrom('person_edge')
              .where('into_space', '=', dice.pick(rooms))
              .where('did', '=', dice.pick(folk))
              .execute(),
        ],
        [2, (tx) => nesting(tx, dice.pick([...rooms.slice(2), theirs]), dice.pick(rooms.slice(0, 2)))],
        [1, (tx) => nesting(tx, rooms[1] as SpaceUri, dice.pick([forum, ...rooms.slice(2)]))],
        [
          1,
          (tx) =>
            tx
              .deleteFrom('space_edge')
              .where('from_space', '=', dice.pick(rooms))
              .where('is_system', '=', false)
              .execute(),
        ],
        [2, (tx) => ban(tx, dice.pick([forum, community.did, rooms[1] as string]), dice.pick(folk))],
        [
          1,
          (tx) =>
            tx.deleteFrom('ban').where('did', '=', dice.pick(folk)).where('community', '=', community.did).execute(),
        ],
        [1, (tx) => left(tx, dice.pick(rooms), dice.pick(folk))],
      ]
      const ban = (tx: Tx, scope: string, did: Did) =>
        tx
          .insertInto('ban')
          .values({
            ...{ scope, did, community: community.did, reason: null, until_ms: instant() },
            ...{ banned_by: community.founder, banned_at_ms: 0 },
          })
          .onConflict((conflict) => conflict.columns(['scope', 'did']).doUpdateSet({ until_ms: null }))
          .execute()
      const left = (tx: Tx, space: SpaceUri, did: Did) =>
        tx
          .insertInto('departure')
          .values({ space, did, community: community.did, left_at_ms: 0 })
          .onConflict((conflict) => conflict.doNothing())
          .execute()

      await changePast(ctx, others.did, async (tx) => {
        await enter(tx, theirs, folk[0] as Did, others)
        await tx
          .insertInto('offer')
          .values({
            ...{ space: theirs, to_community: community.did, community: others.did },
            ...{ offered_by: others.founder, offered_at_ms: 0 },
          })
          .execute()
      })
      const met = { in: 0, out: 0 }
      for (let change = 0; change < CHANGES; change++) {
        for (let times = dice.below(3) + 1; times > 0; times--)
          await changePast(ctx, community.did, dice.weighed(changes))
        if (dice.below(3) === 0) await changePast(ctx, others.did, (tx) => enter(tx, theirs, dice.pick(folk), others))
        if (dice.below(3) === 0) ctx.clock.moveMs(dice.below(3) * MINUTE_MS)
        await settle(ctx, QUICK, 4)
        expect(await otherwise(ctx, played, forum, everybody), `change ${change} of seed ${SEED}`).toEqual([])
        met.in += played.members(forum).size
        met.out += everybody.length - played.members(forum).size
      }
      expect(Math.min(met.in, met.out)).toBeGreaterThan(CHANGES)
    },
  )

  it.each<UnknownMethod>([404, 501, 'app view', 'no app view'])(
    'stay alike when the PDS becomes one of October, which says %s to what it doesn’t know',
    async (unknownMethod) => {
      await begin(playedOf('august', { unknownMethod }))
      const forum = await bindForum(ctx, community)
      const folk = people(12)
      for (const did of folk) await put(ctx, community.founder, forum, did, 'reader')
      await steer(ctx, community.founder, forum, 'projection')
      await settle(ctx)
      expect(played.members(forum).size).toBe(13)
      played.generation = 'october'
      const more = people(6)
      for (const did of more) await put(ctx, community.founder, forum, did, 'member')
      await settle(ctx)
      ctx.clock.moveMs(3_600_000)
      await settle(ctx)
      expect(await otherwise(ctx, played, forum, [...folk, ...more, community.founder])).toEqual([])
    },
  )

  it('let nobody in who was left on a list, when the PDS asks us no more', async () => {
    await begin(playedOf('october'))
    const forum = await bindForum(ctx, community)
    const [bob, ...folk] = people(20) as [Did, ...Did[]]
    for (const did of folk) await put(ctx, community.founder, forum, did, 'member')
    await steer(ctx, community.founder, forum, 'hook')
    await settle(ctx)
    played.byHand.putMember(forum, bob)
    await steer(ctx, community.founder, forum, 'projection')
    await settle(ctx)
    expect(await otherwise(ctx, played, forum, [bob, ...folk])).toEqual([])
    expect(played.config(forum).readPolicy).toMatchObject({ managingApp: `${ctx.serviceDid}#reeve` })
    await put(ctx, community.founder, forum, bob, 'reader')
    await settle(ctx)
    expect(played.config(forum).readPolicy).toEqual(SETTINGS.memberList)
    expect(await otherwise(ctx, played, forum, [bob, ...folk])).toEqual([])
    const puts = played.calls.findIndex(({ name }) => name === 'putMember')
    const opened = played.calls.findLastIndex(({ name }) => name === 'updateSpace')
    expect(opened).toBeGreaterThan(puts + folk.length)
  })

  it('are kept by several processes, none of which does what another does', async () => {
    await begin(playedOf('october'))
    const forums = await Promise.all(['a', 'b', 'c'].map((skey) => bindForum(ctx, community, skey)))
    const second = await openAccount(ctx)
    const elsewhere = await bindForum(ctx, second)
    const folk = people(400)
    for (const [space, of] of [...forums.map((one) => [one, community] as const), [elsewhere, second] as const]) {
      await changePast(ctx, of.did, (tx) =>
        tx
          .insertInto('person_edge')
          .values(
            folk.map((did) => ({
              ...{ into_space: space, did, community: of.did, role: 'member', added_by: of.founder },
              ...{ since_ms: null, until_ms: null, added_at_ms: 0 },
            })),
          )
          .execute(),
      )
      await steer(ctx, of.founder, space, 'projection')
    }
    let most = 0
    const underWay = new Map<string, number>()
    const plain = playedPds(played)
    const counted: Steered['pds'] = {
      async call(did, call) {
        underWay.set(did, (underWay.get(did) ?? 0) + 1)
        most = Math.max(most, underWay.get(did) ?? 0)
        try {
          return await plain.call(did, call)
        } finally {
          underWay.set(did, (underWay.get(did) ?? 1) - 1)
        }
      },
    }
    const processes = Array.from({ length: 3 }, () => openSteering(steeringOn(db, counted), QUICK))
    for (let round = 0; round < 8; round++) {
      await Promise.all(processes.map((one) => one.turn()))
      await Promise.all(processes.map((one) => one.settled()))
    }
    for (const space of [...forums, elsewhere]) expect(played.members(space).size).toBe(401)
    expect(played.count('putMember')).toBe(4 * 401)
    expect(most).toBeLessThanOrEqual(QUICK.atOnce)
  })
})
