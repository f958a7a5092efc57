/**
 * Ceremonies under attack, by people who stand in them: keepers who were put out, owners without keys or with a session alone, and whoever only
 * wants that nothing comes of it.
 */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { applyClaims } from '../../src/community/apply-claims.ts'
import { listAlarms } from '../../src/community/identity-alarm-store.ts'
import { loadRotation } from '../../src/community/key-rotation-store.ts'
import { walkRotation } from '../../src/community/rotation-walk.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import {
  type CeremonyWorld,
  type Circle,
  ceremonyRows,
  concludeBy,
  dealFor,
  didsOf,
  giveDeal,
  giveSignature,
  type Keeper,
  look,
  makeTool,
  must,
  openCeremonyWorld,
  propose,
  proposed,
  proposeSplit,
  type Shown,
  say,
  sealed,
  splitDone,
  submit,
} from '../kit/ceremonies.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { inForce } from '../kit/handles.ts'
import { ENROL, enrolmentOf, makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { DAY_SEC, type Owner } from '../kit/key-exports.ts'
import { CLAIM, claimOf } from '../kit/ownership.ts'
import { base64Url } from '../kit/tokens.ts'
import type { Answer } from '../kit/world.ts'

const END = 'community.reeve.key.endKeeper'
const LIFT = 'community.reeve.key.liftSuspension'
const refused = (status: number, error: string) => ({ status, body: { error } })
const HOUR_SEC = 3_600

describeOnEachEngine('a ceremony under attack', (open) => {
  let hers: CeremonyWorld
  beforeAll(async () => {
    hers = await openCeremonyWorld(await open())
  })
  afterAll(() => hers.close())

  const nth = ({ keepers }: Circle, at: number): Keeper => {
    const keeper = keepers[at]
    if (!keeper) throw new Error('no such keeper')
    return keeper
  }
  const confirmed = (circle: Circle, by: Owner, act: string, did: Did): Promise<Answer> => {
    const input = { community: circle.did, did }
    const stepUp = stepUpOf(hers.world, { person: by.person, key: by.keys.signKey, act, input })
    return by.person.call(act, { ...input, stepUp })
  }
  const endKeeper = (circle: Circle, { person }: Owner) => must(confirmed(circle, circle, END, person.did))
  const enrolAgain = async (circle: Circle, { person, keys }: Owner) =>
    must(person.call(ENROL, enrolmentOf(hers.world, { community: circle.did, caller: person.did, keys })))
  const sealedIn = ({ deeds }: Shown): number => deeds.filter((deed: { sealed?: string }) => deed.sealed).length
  /** A `no` that leaves everything as it was but the log of the community. */
  const expectNo = async (circle: Circle, work: () => Promise<Answer>, expected: ReturnType<typeof refused>) => {
    const { audit: _, ...before } = await ceremonyRows(circle)
    expect(await work()).toMatchObject(expected)
    const { audit: __, ...after } = await ceremonyRows(circle)
    expect(after).toEqual(before)
  }
  const drillFor = async (circle: Circle, by: Owner = circle) => {
    const tool = makeTool()
    return { tool, drill: await proposed(circle, by, { kind: 'drill', sealTo: tool.sealTo }) }
  }
  const drilled = async (circle: Circle) => {
    const { tool, drill } = await drillFor(circle)
    for (const keeper of circle.keepers.slice(0, 2)) await must(submit(circle, keeper, drill))
    return concludeBy(circle, circle, drill, tool)
  }
  const combineWith = async (circle: Circle, input: object) => {
    const tool = makeTool()
    const combine = await proposed(circle, circle, { kind: 'combine', sealTo: tool.sealTo, ...input })
    return { tool, combine }
  }
  const bad = (keeper: Keeper, fill: number) => ({
    share: { x: keeper.share?.x ?? 1, y: new Uint8Array(32).fill(fill) },
  })
  const claimFor = async (circle: Circle) => {
    const heir = await hers.world.person()
    const claim = claimOf(hers.world, { community: circle.did, owners: [heir.did], key: circle.recovery })
    await must(heir.call(CLAIM, claim))
    return heir
  }

  it('gives nobody’s share to a keeper who was put out, and what they began is over', async () => {
    const circle = await hers.placed({ n: 4, k: 3 })
    const rogue = nth(circle, 3)
    const { drill } = await drillFor(circle, rogue)
    await must(submit(circle, nth(circle, 0), drill))
    expect(sealedIn(await must(look(circle, rogue, drill)))).toBe(1)
    await endKeeper(circle, rogue)
    await expectNo(circle, () => submit(circle, nth(circle, 1), drill), refused(409, 'CeremonyCancelled'))
    expect(sealedIn(await must(look(circle, rogue, drill)))).toBe(0)
    expect((await ceremonyRows(circle)).given).toEqual([])
  })

  it('gives nobody’s share to a keeper who enrolled other keys, or who left the roster', async () => {
    const circle = await hers.placed({ n: 4, k: 3 })
    const [b, c] = [nth(circle, 1), nth(circle, 2)]
    const { drill } = await drillFor(circle, b)
    await must(submit(circle, nth(circle, 0), drill))
    await enrolAgain(circle, { ...b, keys: await makeKeeperKeys() })
    await expectNo(circle, () => submit(circle, c, drill), refused(400, 'BadCeremony'))
    expect(sealedIn(await must(look(circle, b, drill)))).toBe(0)
    await must(say(circle, circle, drill, 'cancel'))
    const { drill: second } = await drillFor(circle, c)
    await must(submit(circle, nth(circle, 0), second))
    const gone = { space: rosterOf(circle.did).uri, did: c.person.did }
    await must(circle.person.call('community.reeve.member.remove', gone))
    await expectNo(circle, () => submit(circle, nth(circle, 3), second), refused(400, 'BadCeremony'))
    expect(sealedIn(await must(look(circle, c, second)))).toBe(0)
  })

  it('has its keepers, whatever an owner without keys wants; and the same keys are the same seat', async () => {
    const circle = await hers.placed()
    const other = await hers.world.person()
    const put = { space: rosterOf(circle.did).uri, did: other.did, role: 'owner' }
    await must(circle.person.call('community.reeve.member.put', put))
    const b = nth(circle, 1)
    const end = () => other.call(END, { community: circle.did, did: b.person.did })
    await expectNo(circle, end, refused(403, 'KeeperSignatureRequired'))
    await endKeeper(circle, b)
    await enrolAgain(circle, b)
    const { tool, combine } = await combineWith(circle, { wish: 'strict' })
    // Not before they count.
    await expectNo(circle, () => say(circle, b, combine, 'approve'), refused(400, 'InvalidRequest'))
    await must(say(circle, circle, combine, 'cancel'))
    hers.world.clock.moveSec(3 * DAY_SEC)
    const again = await proposed(circle, circle, { kind: 'combine', sealTo: tool.sealTo, wish: 'strict' })
    for (const keeper of circle.keepers.slice(0, 2)) await must(say(circle, keeper, again, 'approve'))
    for (const keeper of circle.keepers.slice(0, 2)) await must(submit(circle, keeper, again))
    expect(await must(concludeBy(circle, circle, again, tool))).toMatchObject({ state: 'done' })
  })

  it('lets any owner end at once what keeps no share and doesn’t count yet', async () => {
    const circle = await hers.placed()
    const other = await hers.world.person()
    const put = { space: rosterOf(circle.did).uri, did: other.did, role: 'owner' }
    await must(circle.person.call('community.reeve.member.put', put))
    const b = nth(circle, 1)
    await enrolAgain(circle, { ...b, keys: await makeKeeperKeys() })
    expect(await other.call(END, { community: circle.did, did: b.person.did })).toMatchObject({ status: 200 })
  })

  it('counts nothing of whoever was put out: neither what they said, nor what they gave, until others did', async () => {
    const circle = await hers.placed({ n: 4, k: 2 })
    const [a, b, c] = [nth(circle, 0), nth(circle, 1), nth(circle, 2)]
    const { tool, combine } = await combineWith(circle, { wish: 'strict' })
    for (const keeper of [a, b]) await must(say(circle, keeper, combine, 'approve'))
    for (const keeper of [a, b]) await must(submit(circle, keeper, combine))
    await endKeeper(circle, b)
    const shown = await must(look(circle, circle, combine))
    expect({ ...shown, sealed: sealedIn(shown) }).toMatchObject({ state: 'proposed', missing: 1, sealed: 1 })
    // Whatever they bring: it isn't even looked at.
    const early = () => giveSignature(circle, circle, combine, base64Url(Buffer.alloc(64, 1)))
    await expectNo(circle, early, refused(409, 'QuorumNotMet'))
    await must(say(circle, c, combine, 'approve'))
    expect(await must(submit(circle, c, combine))).toMatchObject({ state: 'ready' })
    expect(await must(concludeBy(circle, circle, combine, tool))).toMatchObject({ state: 'done' })
  })

  it('counts no share at this service of whoever was put out, or is suspended', async () => {
    const circle = await hers.placed({ n: 4, k: 2 })
    const [b, c, d] = [nth(circle, 1), nth(circle, 2), nth(circle, 3)]
    const drill = await proposed(circle, circle, { kind: 'drill', combineHere: true })
    await must(submit(circle, b, drill))
    await endKeeper(circle, b)
    expect(await must(submit(circle, c, drill))).toMatchObject({ state: 'collecting', missing: 1 })
    expect(await must(submit(circle, d, drill))).toMatchObject({ state: 'done' })
  })

  it('isn’t stood in the way of by a drill: it gives way to what has to be signed', async () => {
    const circle = await hers.placed()
    const { drill } = await drillFor(circle, nth(circle, 2))
    await must(submit(circle, nth(circle, 1), drill))
    const { combine } = await combineWith(circle, { wish: 'strict' })
    expect(combine).toMatchObject({ state: 'proposed' })
    const { ceremonies, given } = await ceremonyRows(circle)
    expect(ceremonies.map(({ state }) => state).slice(-2)).toEqual(['cancelled', 'proposed'])
    expect(given).toEqual([])
    const again = () => propose(circle, nth(circle, 2), { kind: 'drill', sealTo: makeTool().sealTo })
    await expectNo(circle, again, refused(409, 'CeremonyInProgress'))
  })

  it('ends by the no of more keepers than can be missed, and whoever began it lets others begin first', async () => {
    const circle = await hers.placed()
    const rogue = nth(circle, 2)
    const { drill } = await drillFor(circle, rogue)
    expect(await must(say(circle, nth(circle, 0), drill, 'reject'))).toMatchObject({ state: 'collecting' })
    await expectNo(circle, () => submit(circle, nth(circle, 0), drill), refused(400, 'BadCeremony'))
    await expectNo(circle, () => say(circle, nth(circle, 1), drill, 'approve'), refused(400, 'BadCeremony'))
    expect(await must(say(circle, nth(circle, 1), drill, 'reject'))).toMatchObject({ state: 'cancelled' })
    const begin = () => propose(circle, rogue, { kind: 'drill', sealTo: makeTool().sealTo })
    await expectNo(circle, begin, refused(409, 'CoolingDown'))
    hers.world.clock.moveSec(HOUR_SEC - 1)
    await expectNo(circle, begin, refused(409, 'CoolingDown'))
    hers.world.clock.moveSec(1)
    expect(await begin()).toMatchObject({ status: 200 })
  })

  it('leaves the turn to others while whoever began the last one waits', async () => {
    const circle = await hers.placed()
    const { drill } = await drillFor(circle, nth(circle, 2))
    await must(say(circle, nth(circle, 2), drill, 'cancel'))
    expect((await drillFor(circle, nth(circle, 1))).drill).toMatchObject({ state: 'collecting' })
  })

  it('that makes a new key ends by the no of every other owner', async () => {
    const circle = await hers.circle()
    const second = await hers.secondOwner(circle)
    const keepers = [...didsOf(circle.keepers), second.person.did]
    const split = await proposed(circle, second, { kind: 'split', keepers, threshold: 2 })
    expect(await must(say(circle, circle, split, 'reject'))).toMatchObject({ state: 'cancelled' })
    expect(await proposeSplit(circle)).toMatchObject({ state: 'proposed' })
  })

  it('about the owners is begun and ended by keepers alone', async () => {
    const circle = await hers.placed()
    const second = await hers.secondOwner(circle)
    const [b, c] = [nth(circle, 1), nth(circle, 2)]
    const { sealTo } = makeTool()
    const wish = { kind: 'ownership', owners: [b.person.did], sealTo }
    await expectNo(
      circle,
      () => propose(circle, second, { ...wish, combiner: b.person.did }),
      refused(403, 'Forbidden'),
    )
    const owned = await proposed(circle, b, wish)
    for (const owner of [circle, second]) {
      await expectNo(circle, () => say(circle, owner, owned, 'cancel'), refused(403, 'Forbidden'))
    }
    expect(await must(say(circle, nth(circle, 0), owned, 'reject'))).toMatchObject({ state: 'proposed' })
    expect(await must(say(circle, c, owned, 'reject'))).toMatchObject({ state: 'cancelled' })
    const third = await proposed(circle, c, wish)
    expect(await must(say(circle, c, third, 'cancel'))).toMatchObject({ state: 'cancelled' })
  })

  it('isn’t begun, nor gone on with, that would put keepers in while other owners are named', async () => {
    const circle = await hers.circle()
    const split = await proposeSplit(circle)
    await claimFor(circle)
    const dealing = await dealFor(split)
    await expectNo(circle, () => giveDeal(circle, circle, split, dealing), refused(409, 'CoolingDown'))
    await must(say(circle, circle, split, 'cancel'))
    hers.world.clock.moveSec(HOUR_SEC)
    const again = { kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }
    await expectNo(circle, () => propose(circle, circle, again), refused(409, 'CoolingDown'))

    const dealt = await hers.circle()
    await splitDone(dealt)
    const { tool, drill } = await drillFor(dealt)
    for (const keeper of dealt.keepers.slice(0, 2)) await must(submit(dealt, keeper, drill))
    await claimFor(dealt)
    await expectNo(dealt, () => concludeBy(dealt, dealt, drill, tool), refused(409, 'CoolingDown'))
    const other = () => propose(dealt, nth(dealt, 1), { kind: 'drill', sealTo: tool.sealTo })
    await must(say(dealt, dealt, drill, 'cancel'))
    await expectNo(dealt, other, refused(409, 'CoolingDown'))
  })

  it('brings no key in that those dealt who own the community no more', async () => {
    const circle = await hers.circle()
    await splitDone(circle, { strict: true })
    expect(await must(drilled(circle))).toMatchObject({ state: 'done' })
    expect((await ceremonyRows(circle)).keys).toEqual(['drilled'])
    // Nobody walks: the directory is away until the day has come.
    await claimFor(circle)
    hers.world.clock.moveSec(3 * DAY_SEC + 1)
    await applyClaims(hers.ctx)
    expect((await ceremonyRows(circle)).keys).toEqual(['dropped'])
    expect(await loadRotation(hers.database.db, circle.did)).toMatchObject({ step: 'refused' })
    const { rotationKeys } = await inForce(hers.plc, circle.did)
    await walkRotation(hers.ctx, circle.did)
    expect((await inForce(hers.plc, circle.did)).rotationKeys).toEqual(rotationKeys)
    expect(rotationKeys).toHaveLength(2)
  })

  it('is gone on with by nobody who lifts their own suspension; one or two wrong shares are forgiven', async () => {
    const circle = await hers.placed()
    const second = await hers.secondOwner(circle)
    const drill = await proposed(circle, circle, { kind: 'drill', combineHere: true })
    const a = nth(circle, 0)
    const lift = (by: Owner) => confirmed(circle, by, LIFT, circle.person.did)
    await expectNo(circle, () => lift(second), refused(404, 'NotFound'))
    for (const fill of [7, 8])
      expect(await submit(circle, a, drill, bad(a, fill))).toMatchObject(refused(400, 'BadShare'))
    expect(await lift(second)).toMatchObject({ status: 200 })
    expect((await ceremonyRows(circle)).alarms).not.toContain('badShare')
    for (const fill of [7, 8, 9]) {
      expect(await submit(circle, a, drill, bad(a, fill))).toMatchObject(refused(400, 'BadShare'))
    }
    await expectNo(circle, () => submit(circle, a, drill), refused(403, 'KeeperSuspended'))
    await expectNo(circle, () => lift(circle), refused(403, 'Forbidden'))
    expect(await lift(second)).toMatchObject({ status: 200 })
    expect(await must(submit(circle, a, drill))).toMatchObject({ state: 'collecting' })
  })

  it('counts the same wrong share once, however often it comes', async () => {
    const circle = await hers.placed()
    const b = nth(circle, 1)
    const drill = await proposed(circle, circle, { kind: 'drill', combineHere: true })
    const text = await sealed(b, drill, bad(b, 7))
    for (let times = 0; times < 4; times += 1) {
      expect(await submit(circle, b, drill, { sealed: text })).toMatchObject(refused(400, 'BadShare'))
    }
    const { audit } = await ceremonyRows(circle)
    expect(audit.filter((action) => action === 'key.badShare')).toHaveLength(1)
    expect(await must(submit(circle, b, drill))).toMatchObject({ state: 'collecting' })
  })

  it('tells of each keeper who gave a wrong share, until theirs was among those that made the key', async () => {
    const circle = await hers.placed()
    const [b, c] = [nth(circle, 1), nth(circle, 2)]
    const here = await proposed(circle, circle, { kind: 'drill', combineHere: true })
    for (const keeper of [b, c]) await submit(circle, keeper, here, bad(keeper, 7))
    const about = async () =>
      (await listAlarms(hers.database.db, circle.did)).find(({ name }) => name === 'badShare')?.about
    expect(await about()).toEqual({ keepers: `${b.person.did} ${c.person.did}` })
    await must(say(circle, circle, here, 'cancel'))
    hers.world.clock.moveSec(HOUR_SEC)
    expect(await must(drilled(circle))).toMatchObject({ state: 'done' })
    expect(await about()).toEqual({ keepers: c.person.did })
  })

  it('keeps nothing that has not the form of a sealed share', async () => {
    const circle = await hers.placed()
    const b = nth(circle, 1)
    const { drill } = await drillFor(circle)
    const good = await sealed(b, drill)
    for (const text of ['A'.repeat(150), 'A'.repeat(152), `${good}A`, `${good.slice(0, 20)}+${good.slice(21)}`]) {
      expect(await submit(circle, b, drill, { sealed: text })).toMatchObject({ status: 400 })
      expect((await ceremonyRows(circle)).given).toEqual([])
      await confirmed(circle, circle, LIFT, b.person.did)
    }
    expect(await must(submit(circle, b, drill))).toMatchObject({ state: 'collecting', missing: 1 })
  })

  it('leaves in the log of the community what its own people were refused', async () => {
    const circle = await hers.placed()
    const b = nth(circle, 1)
    const { drill } = await drillFor(circle)
    const { drill: _, ...wrong } = { drill, ...drill, statementHash: '0'.repeat(64) }
    await submit(circle, b, wrong, { sealed: await sealed(b, drill) })
    await endKeeper(circle, b)
    await submit(circle, b, drill)
    const { entries } = await must(
      circle.person.ask('community.reeve.audit.list', { community: circle.did, limit: '9' }),
    )
    const no = entries.filter(({ actor }: { actor: string }) => actor === b.person.did)
    const codes = no.map(({ because }: { because: { refused?: string } }) => because.refused)
    expect(codes).toEqual(expect.arrayContaining(['BadCeremony', 'KeeperRevoked']))
  })
})
