/** Owners whom keepers name together, and what becomes of ceremonies when those who began them own nothing any more. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applyClaims } from '../../src/community/apply-claims.ts'
import { endCeremonies } from '../../src/community/end-ceremonies.ts'
import type { Did } from '../../src/names.ts'
import {
  type CeremonyWorld,
  type Circle,
  ceremonyRows,
  concludeBy,
  dealFor,
  giveDeal,
  type Keeper,
  look,
  makeTool,
  must,
  openCeremonyWorld,
  propose,
  proposed,
  proposeSplit,
  say,
  splitDone,
  submit,
} from '../kit/ceremonies.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { stepUpOf } from '../kit/keepers.ts'
import { CLAIM, claimOf, OBJECT } from '../kit/ownership.ts'
import type { Person } from '../kit/world.ts'

const DAY_SEC = 86_400

describeOnEachEngine('lost owners and keepers', (open) => {
  let hers: CeremonyWorld
  let carol: Person
  beforeAll(async () => {
    hers = await openCeremonyWorld(await open())
    carol = await hers.world.person()
  })
  afterAll(() => hers.close())

  const claimsOf = async ({ did }: Circle) =>
    hers.database.db
      .selectFrom('ownership_claim')
      .select(['state', 'signed_by', 'owners', 'fault'])
      .where('community', '=', did)
      .orderBy('made_at_ms')
      .execute()
  const ownersOf = async ({ did }: Circle) =>
    (
      await hers.database.db
        .selectFrom('person_edge')
        .select('did')
        .where('community', '=', did)
        .where('role', '=', 'owner')
        .orderBy('did')
        .execute()
    ).map((row) => row.did)
  const threeDays = async () => {
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    await applyClaims(hers.ctx)
  }
  const byRecovery = ({ did, recovery }: Circle) =>
    must(carol.call(CLAIM, claimOf(hers.world, { community: did, owners: [carol.did], key: recovery })))

  /** Two who keep a share name owners: one begins it and puts the shares together. */
  async function named(circle: Circle, owners: readonly Did[], between: () => Promise<void> = async () => {}) {
    const [first, second] = circle.keepers.slice(1) as [Keeper, Keeper]
    const tool = makeTool()
    const ceremony = await proposed(circle, first, { kind: 'ownership', owners, sealTo: tool.sealTo })
    for (const keeper of [first, second]) await must(say(circle, keeper, ceremony, 'approve'))
    for (const keeper of [first, second]) await must(submit(circle, keeper, ceremony))
    await between()
    return concludeBy(circle, first, ceremony, tool)
  }

  const objected = async (circle: Circle) => {
    const { did: community, person, keys } = circle
    const stepUp = stepUpOf(hers.world, { person, key: keys.signKey, act: OBJECT, input: { community } })
    await must(person.call(OBJECT, { community, stepUp }))
  }

  it('who keep shares of the key name owners without any of those that there are, who can object', async () => {
    const circle = await hers.placed()
    expect(await named(circle, [carol.did])).toMatchObject({ status: 200 })
    const [claim] = await claimsOf(circle)
    expect(claim).toMatchObject({ state: 'waiting', owners: [carol.did] })
    expect((await hers.ctx.directory.readLog(circle.did))?.head.operation).toMatchObject({
      rotationKeys: [circle.recovery.didKey, claim?.signed_by, expect.any(String)],
    })
    const { body } = await circle.person.ask('community.reeve.community.get', { community: circle.did })
    expect(body.alarms).toContainEqual({ name: 'ownershipClaimed', says: expect.stringContaining(carol.did) })
    await threeDays()
    expect(await ownersOf(circle)).toEqual([carol.did])
  })

  it('what keepers began before an objection is no answer to it; what they begin after it is', async () => {
    const circle = await hers.placed()
    await must(named(circle, [carol.did]))
    hers.world.clock.moveSec(60)
    const late = await named(circle, [carol.did], async () => {
      hers.world.clock.moveSec(60)
      await objected(circle)
    })
    expect(late).toMatchObject({ status: 409, body: { error: 'CoolingDown' } })
    expect(await claimsOf(circle)).toMatchObject([{ state: 'objected' }])
    hers.world.clock.moveSec(DAY_SEC)
    await endCeremonies(hers.ctx)
    hers.world.clock.moveSec(3_600)
    expect(await named(circle, [carol.did])).toMatchObject({ status: 200 })
    expect(await claimsOf(circle)).toMatchObject([{ state: 'waiting' }])
    await threeDays()
    expect(await ownersOf(circle)).toEqual([carol.did])
  })

  describe('when others own the community,', () => {
    it('a split that a former owner began is over, and they deal no key', async () => {
      const circle = await hers.circle()
      hers.world.clock.moveSec(DAY_SEC)
      const split = await proposeSplit(circle)
      const dealing = await dealFor(split)
      await byRecovery(circle)
      // Longer than a split is open, so the worker that ends those must not have come by.
      hers.world.clock.moveSec(3 * DAY_SEC + 1)
      await applyClaims(hers.ctx)
      expect(await ownersOf(circle)).toEqual([carol.did])
      expect((await ceremonyRows(circle)).ceremonies).toMatchObject([{ kind: 'split', state: 'cancelled' }])
      expect(await giveDeal(circle, circle, split, dealing)).toMatchObject({
        status: 403,
        body: { error: 'Forbidden' },
      })
      expect((await ceremonyRows(circle)).keys).toEqual([])
    })

    it('a key that a former owner dealt, and had all of, never comes into the identity', async () => {
      const circle = await hers.circle()
      await splitDone(circle)
      await byRecovery(circle)
      expect((await ceremonyRows(circle)).keys).toEqual(['acknowledged'])
      await threeDays()
      expect((await ceremonyRows(circle)).keys).toEqual(['dropped'])
      const drill = await propose(circle, circle.keepers[1] as Keeper, { kind: 'drill', sealTo: makeTool().sealTo })
      expect(drill).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
    })

    it('a key in the identity stays there, with its keepers', async () => {
      const circle = await hers.placed()
      await byRecovery(circle)
      await threeDays()
      expect((await ceremonyRows(circle)).keys).toEqual(['active'])
      const drill = await proposed(circle, circle.keepers[1] as Keeper, { kind: 'drill', sealTo: makeTool().sealTo })
      expect(await look(circle, circle.keepers[2] as Keeper, drill)).toMatchObject({ status: 200 })
    })
  })
})
