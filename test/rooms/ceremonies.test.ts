/**
 * Ceremonies, from their beginning to their end, on real databases and with a real directory: a key is made in shares, comes into the identity, and
 * does there what k of its keepers signed; who may begin, go on and end each, and that nobody else does.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endCeremonies } from '../../src/community/end-ceremonies.ts'
import { isStatementBy } from '../../src/keys/ceremony-statements.ts'
import { rosterOf } from '../../src/names.ts'
import { fromBase64Url } from '../../src/platform/bytes.ts'
import {
  acknowledge,
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
  operationIn,
  PROPOSE,
  propose,
  proposed,
  proposeSplit,
  provenBy,
  type Shown,
  say,
  signatureOf,
  splitDone,
  statementOf,
  submit,
} from '../kit/ceremonies.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog } from '../kit/fake-plc.ts'
import { changeBehindOurBack, inForce } from '../kit/handles.ts'
import { ENROL, enrolmentOf, makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { DAY_SEC, type Owner } from '../kit/key-exports.ts'
import type { Answer } from '../kit/world.ts'

const refused = (status: number, error: string) => ({ status, body: { error } })
const END = 'community.reeve.key.endKeeper'

describeOnEachEngine('a ceremony', (open) => {
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
  /** That a call is refused, and nothing of any ceremony is another. */
  const expectNo = async (circle: Circle, work: () => Promise<Answer>, expected: object) => {
    const before = await ceremonyRows(circle)
    expect(await work()).toMatchObject(expected)
    const { audit: _, ...after } = await ceremonyRows(circle)
    const { audit: __, ...rest } = before
    expect(after).toEqual(rest)
  }
  const stateOf = async (circle: Circle, ceremony: Shown) => (await must(look(circle, circle, ceremony))).state

  describe('that makes a key in shares', () => {
    it('250: with one of them, more than there are, seventeen, one twice, or one without keys, is none', async () => {
      const circle = await hers.circle(3)
      const [a, b, c] = didsOf(circle.keepers)
      const many = Array.from({ length: 17 }, (_, at) => `did:web:keeper${at}.example.com`)
      const stranger = (await hers.world.person()).did
      for (const [keepers, threshold] of [
        [[a, b, c], 1],
        [[a, b, c], 4],
        [many, 2],
        [[a, b, a], 2],
        [[a, b, stranger], 2],
        [[a], 1],
        [[a, b], undefined],
      ]) {
        const wish = { kind: 'split', keepers, ...(threshold === undefined ? {} : { threshold }) }
        await expectNo(circle, () => propose(circle, circle, wish), refused(400, 'InvalidRequest'))
      }
      const { body } = await propose(circle, circle, { kind: 'split', keepers: [a, stranger], threshold: 2 })
      expect(body.message).toContain(stranger)
    })

    it('says what it is for in a statement that the community’s own key signed', async () => {
      const circle = await hers.circle(3)
      const split = await proposeSplit(circle, { k: 2, strict: true })
      const { verificationMethods } = await inForce(hers.plc, circle.did)
      const bytes = fromBase64Url(split.statement) ?? new Uint8Array(0)
      expect(isStatementBy(bytes, verificationMethods['atproto_space'] ?? '', split.sig)).toBe(true)
      const said = statementOf(split)
      expect(said).toMatchObject({
        ...{ kind: 'split', ceremony: split.ceremony, community: circle.did, service: hers.world.config.serviceDid },
        ...{ strict: true, replaces: null, combiner: circle.person.did, createdBy: circle.person.did, sealTo: null },
        quorum: { pub: null, generation: 1, n: 3, k: 2, dealtBy: null },
      })
      expect(said.seats.map(({ did, sealKey, signKey }) => ({ did, sealKey, signKey }))).toEqual(
        circle.keepers.map(({ person, keys }) => ({
          ...{ did: person.did, sealKey: keys.sealKey, signKey: keys.signKey.didKey },
        })),
      )
      expect(Date.parse(said.expiresAt) - Date.parse(said.createdAt)).toBe(72 * 3_600_000)
      expect(split).toMatchObject({ state: 'approved', missing: 1, deeds: [] })
    })

    it('251: is one at a time; the second is refused, and the first goes on', async () => {
      const circle = await hers.circle(2)
      const first = await proposeSplit(circle)
      await expectNo(
        circle,
        () => propose(circle, circle, { kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }),
        refused(409, 'CeremonyInProgress'),
      )
      await must(giveDeal(circle, circle, first, await dealFor(first)))
      for (const keeper of circle.keepers) await must(acknowledge(circle, keeper, first))
      expect(await stateOf(circle, first)).toBe('done')
    })

    it('is done when each has opened their packet and said so, and their packets are gone one by one', async () => {
      const circle = await hers.circle(3)
      const split = await proposeSplit(circle)
      const { transcript, proof } = await (async () => {
        const dealing = await dealFor(split)
        await must(giveDeal(circle, circle, split, dealing))
        return dealing
      })()
      expect((await ceremonyRows(circle)).keys).toEqual(['dealt'])
      for (const [at, keeper] of circle.keepers.entries()) {
        const { packets } = await ceremonyRows(circle)
        expect(packets).toHaveLength(3 - at)
        const shown = await must(look(circle, keeper, split))
        expect(shown).toMatchObject({
          transcript,
          proof,
          state: 'collecting',
          missing: 3 - at,
          packet: expect.any(String),
        })
        const answer = await must(acknowledge(circle, keeper, split))
        expect(answer.packet).toBeUndefined()
        expect((await must(look(circle, keeper, split))).packet).toBeUndefined()
      }
      const { ceremonies, keys, packets, audit } = await ceremonyRows(circle)
      expect(ceremonies).toMatchObject([{ kind: 'split', state: 'done' }])
      expect({ keys, packets }).toEqual({ keys: ['acknowledged'], packets: [] })
      expect(audit.slice(-5)).toEqual([
        'key.propose',
        'key.deal',
        ...Array.from({ length: 3 }, () => 'key.acknowledge'),
      ])
    })

    it('waits for another owner, where there is one: seasoned, by their own keys, and not by who began it', async () => {
      const circle = await hers.circle(2)
      const olga = await hers.keeper(circle, 'owner')
      hers.world.clock.moveSec(DAY_SEC)
      const split = await proposeSplit(circle)
      expect(split).toMatchObject({ state: 'proposed', missing: 1 })
      const dealing = await dealFor(split)
      await expectNo(circle, () => giveDeal(circle, circle, split, dealing), refused(400, 'BadCeremony'))
      await expectNo(circle, () => say(circle, circle, split, 'approve'), refused(403, 'Forbidden'))
      await expectNo(circle, () => say(circle, nth(circle, 1), split, 'approve'), refused(403, 'Forbidden'))
      await expectNo(circle, () => say(circle, olga, split, 'approve'), refused(403, 'Forbidden'))
      hers.world.clock.moveSec(1.9 * DAY_SEC)
      const thief = { ...olga, keys: await makeKeeperKeys() }
      await expectNo(circle, () => say(circle, thief, split, 'approve'), refused(403, 'KeeperSignatureRequired'))
      hers.world.clock.moveSec(0.11 * DAY_SEC)
      expect(await must(say(circle, olga, split, 'approve'))).toMatchObject({ state: 'approved' })
      expect(await must(giveDeal(circle, circle, split, dealing))).toMatchObject({ state: 'collecting', missing: 2 })
    })

    it('waits three days when the only one who could say no was just put out', async () => {
      const circle = await hers.circle(2)
      const olga = await hers.keeper(circle, 'owner')
      const space = rosterOf(circle.did).uri
      await circle.person.call('community.reeve.member.remove', { space, did: olga.person.did })
      const wish = { kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }
      await expectNo(circle, () => propose(circle, circle, wish), refused(409, 'CoolingDown'))
      hers.world.clock.moveSec(3 * DAY_SEC)
      expect(await propose(circle, circle, wish)).toMatchObject({ status: 200 })
    })

    it('takes no deal that is not one: of another ceremony, unproven, of a known key, or with the wrong packets', async () => {
      const circle = await hers.circle(2)
      const split = await proposeSplit(circle)
      const good = await dealFor(split)
      const changed = (more: object) => {
        const transcript = { ...good.transcript, ...more }
        return { ...good, transcript, proof: provenBy(good.pair, transcript) }
      }
      const [x = 1] = good.transcript.xs
      const [commitment = ''] = good.transcript.commitments
      const [packet = ''] = good.transcript.packets
      for (const [what, code] of [
        [changed({ dealtBy: '0'.repeat(64) }), 'BadCeremony'],
        [changed({ xs: [x] }), 'BadCeremony'],
        [{ ...good, proof: provenBy(good.pair, { ...good.transcript, xs: [9, 8] }) }, 'BadCeremony'],
        [changed({ xs: [x, x] }), 'InvalidRequest'],
        [changed({ xs: [0, 1] }), 'InvalidRequest'],
        [changed({ commitments: [commitment, commitment] }), 'InvalidRequest'],
        [changed({ packets: [packet, packet] }), 'InvalidRequest'],
        [changed({ pub: circle.keys.signKey.didKey }), 'InvalidRequest'],
        [changed({ pub: circle.recovery.didKey }), 'BadCeremony'],
      ] as const) {
        await expectNo(circle, () => giveDeal(circle, circle, split, what), refused(400, code))
      }
      await expectNo(circle, () => giveDeal(circle, nth(circle, 1), split, good), refused(403, 'Forbidden'))
      await must(giveDeal(circle, circle, split, good))
      // Lost answers are asked for again, and another deal is none.
      expect(await must(giveDeal(circle, circle, split, good))).toMatchObject({ state: 'collecting' })
      await expectNo(
        circle,
        async () => giveDeal(circle, circle, split, await dealFor(split)),
        refused(400, 'BadCeremony'),
      )
    })

    it('takes no key that was dealt before, and none when a keeper’s enrolment has ended meanwhile', async () => {
      const circle = await hers.circle(3)
      const first = await proposeSplit(circle)
      const dealing = await dealFor(first)
      await must(giveDeal(circle, circle, first, dealing))
      await must(say(circle, circle, first, 'cancel'))
      expect((await ceremonyRows(circle)).keys).toEqual(['dropped'])
      hers.world.clock.moveSec(3_600)
      const second = await proposeSplit(circle)
      const transcript = { ...dealing.transcript, dealtBy: second.statementHash }
      const again = { ...dealing, transcript, proof: provenBy(dealing.pair, transcript) }
      await expectNo(circle, () => giveDeal(circle, circle, second, again), refused(400, 'BadCeremony'))
      const { person } = nth(circle, 2)
      await must(person.call(END, { community: circle.did, did: person.did }))
      const fresh = await dealFor(second)
      const answer = await giveDeal(circle, circle, second, fresh)
      expect(answer).toMatchObject(refused(400, 'BadCeremony'))
      expect(answer.body.message).toContain(person.did)
    })
  })

  describe('of keepers', () => {
    it('drills, and the key comes into the identity above ours', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const { keys, ceremonies, given } = await ceremonyRows(circle)
      expect(keys).toEqual(['active'])
      expect(ceremonies).toMatchObject([
        { kind: 'split', state: 'done' },
        { kind: 'drill', state: 'done' },
      ])
      expect(given).toEqual([])
      const { rotationKeys } = await inForce(hers.plc, circle.did)
      expect(rotationKeys).toHaveLength(3)
      expect(rotationKeys[0]).toBe(circle.recovery.didKey)
    })

    it('signs an operation that each of them saw, byte for byte, and it is in force', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const tool = makeTool()
      const combine = await proposed(circle, circle, { kind: 'combine', wish: 'dissolve', sealTo: tool.sealTo })
      expect(combine).toMatchObject({ state: 'proposed', missing: 2 })
      const { rotationKeys } = operationIn(combine) as { rotationKeys: string[] }
      expect(rotationKeys).toHaveLength(2)
      const [a, b] = [nth(circle, 1), nth(circle, 2)]
      await must(say(circle, a, combine, 'approve'))
      expect(await must(say(circle, b, combine, 'approve'))).toMatchObject({ state: 'collecting', missing: 2 })
      await must(submit(circle, a, combine))
      expect(await must(submit(circle, b, combine))).toMatchObject({ state: 'ready', missing: 1 })
      expect(await must(concludeBy(circle, circle, combine, tool))).toMatchObject({ state: 'done' })
      expect((await inForce(hers.plc, circle.did)).rotationKeys).toEqual(rotationKeys)
      expect((await ceremonyRows(circle)).keys).toEqual(['retired'])
      expect((await ceremonyRows(circle)).given).toEqual([])
    })

    it('names owners, when k of them said yes and gave their share', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 1), nth(circle, 2)]
      const tool = makeTool()
      // By a keeper who owns nothing.
      const wish = { kind: 'ownership', owners: [a.person.did], sealTo: tool.sealTo }
      const owned = await proposed(circle, a, wish)
      for (const keeper of [a, b]) await must(say(circle, keeper, owned, 'approve'))
      for (const keeper of [a, b]) await must(submit(circle, keeper, owned))
      expect(await must(concludeBy(circle, a, owned, tool))).toMatchObject({ state: 'done' })
      const { rows } = await sql<{ owners: string[] }>`select owners from ownership_claim
        where community = ${circle.did}`.execute(hers.database.db)
      expect(rows).toEqual([{ owners: [a.person.did] }])
    })

    it('is put together here where that was said, and the key is marked for ever', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 1), nth(circle, 2)]
      const combine = await proposed(circle, circle, { kind: 'combine', wish: 'strict', combineHere: true })
      expect(statementOf(combine).combiner).toBeNull()
      expect((await ceremonyRows(circle)).ceremonies.at(-1)).toMatchObject({ has_sealing: true })
      for (const keeper of [a, b]) await must(say(circle, keeper, combine, 'approve'))
      await must(submit(circle, a, combine))
      expect(await must(submit(circle, b, combine))).toMatchObject({ state: 'done', signed: expect.any(String) })
      const { ceremonies, given, alarms, audit } = await ceremonyRows(circle)
      expect(ceremonies.at(-1)).toMatchObject({ state: 'done', has_sealing: false, has_signed: true })
      expect(given).toEqual([])
      expect(alarms).toContain('keyCombinedHere')
      expect(audit).toContain('key.combine')
      expect((await inForce(hers.plc, circle.did)).rotationKeys).toHaveLength(2)
    })

    it('says no when so many don’t want it that the others are too few', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const wish = { kind: 'combine', wish: 'dissolve', sealTo: makeTool().sealTo }
      const combine = await proposed(circle, circle, wish)
      const [a, b, c] = [nth(circle, 0), nth(circle, 1), nth(circle, 2)]
      expect(await must(say(circle, a, combine, 'reject'))).toMatchObject({ state: 'proposed' })
      await expectNo(circle, () => say(circle, a, combine, 'approve'), refused(400, 'BadCeremony'))
      await must(say(circle, b, combine, 'approve'))
      expect(await must(say(circle, c, combine, 'reject'))).toMatchObject({ state: 'cancelled' })
      await expectNo(circle, () => submit(circle, b, combine), refused(409, 'CeremonyCancelled'))
    })

    it('263: finds the identity gone another way, and has to begin again; nothing else is sent', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const tool = makeTool()
      const combine = await proposed(circle, circle, { kind: 'combine', wish: 'strict', sealTo: tool.sealTo })
      for (const keeper of circle.keepers.slice(0, 2)) await must(say(circle, keeper, combine, 'approve'))
      for (const keeper of circle.keepers.slice(0, 2)) await must(submit(circle, keeper, combine))
      await changeBehindOurBack(hers.plc, circle.did, circle.recovery, { alsoKnownAs: ['at://elsewhere.example'] })
      const before = (await honestLog(hers.plc, circle.did))?.length
      expect(await must(concludeBy(circle, circle, combine, tool))).toMatchObject({
        state: 'failed',
        fault: 'PlcConflict',
      })
      expect((await honestLog(hers.plc, circle.did))?.length).toBe(before)
    })
  })

  describe('is nobody else’s', () => {
    it('252: to be begun: not by a session alone, a member, a stranger, nor without enrolled keys', async () => {
      const circle = await hers.circle(3)
      const wish = { kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }
      const alone = () => circle.person.call(PROPOSE, { community: circle.did, ...wish })
      await expectNo(circle, alone, refused(403, 'KeeperSignatureRequired'))
      await expectNo(circle, () => propose(circle, nth(circle, 1), wish), refused(403, 'Forbidden'))
      const eve = { person: await hers.world.person(), keys: await makeKeeperKeys() }
      await expectNo(circle, () => propose(circle, eve, wish), refused(404, 'NotFound'))
      const thief = { ...circle, keys: await makeKeeperKeys() }
      await expectNo(circle, () => propose(circle, thief, wish), refused(403, 'KeeperSignatureRequired'))
    })

    it('252: to be acted in: a stranger and a member learn nothing, an owner without a seat gives no share', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: makeTool().sealTo })
      const member = await hers.keeper(circle)
      const eve: Keeper = { person: await hers.world.person(), keys: await makeKeeperKeys(), share: null }
      const { share } = nth(circle, 1)
      for (const who of [member, eve]) {
        const theirs = { ...who, share }
        await expectNo(circle, () => submit(circle, theirs, drill), refused(404, 'NotFound'))
        await expectNo(circle, () => say(circle, who, drill, 'cancel'), refused(404, 'NotFound'))
        await expectNo(circle, () => look(circle, who, drill), refused(404, 'NotFound'))
      }
      const olga = { ...(await hers.keeper(circle, 'owner')), share }
      hers.world.clock.moveSec(DAY_SEC)
      await expectNo(circle, () => submit(circle, olga, drill), refused(403, 'Forbidden'))
      expect(await look(circle, olga, drill)).toMatchObject({ status: 200 })
    })

    it('but a keeper gives their share wherever else they stand, to one who stands in the roster', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [, b, c] = circle.keepers
      if (!b || !c) throw new Error('nobody')
      const space = rosterOf(circle.did).uri
      for (const { person } of [b, c])
        await must(circle.person.call('community.reeve.member.remove', { space, did: person.did }))
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      for (const keeper of [b, c]) await must(submit(circle, keeper, drill))
      expect(await must(concludeBy(circle, circle, drill, tool))).toMatchObject({ state: 'done' })
    })

    it('253: nor for whoever saw another statement; and no answer says which is right', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: makeTool().sealTo })
      const wrong = { ...drill, statementHash: 'ab'.repeat(32) }
      const b = nth(circle, 1)
      const answers: Answer[] = []
      const asked = async (work: Promise<Answer>) => {
        const answer = await work
        answers.push(answer)
        return answer
      }
      await expectNo(circle, () => asked(say(circle, b, wrong, 'cancel')), refused(400, 'BadCeremony'))
      const sealedText = 'A'.repeat(151)
      await expectNo(circle, () => asked(submit(circle, b, wrong, { sealed: sealedText })), refused(400, 'BadCeremony'))
      const { nonce } = statementOf(drill)
      for (const { body } of answers) {
        const text = JSON.stringify(body)
        expect(text).not.toContain(drill.statementHash)
        expect(text).not.toContain(Buffer.from(nonce).toString('base64url'))
        expect(text).not.toContain(Buffer.from(nonce).toString('hex'))
      }
    })

    it('an act is good once, for one ceremony, one act and what is given with it, and not from before', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const b = nth(circle, 1)
      const wish = { kind: 'combine', wish: 'dissolve', sealTo: makeTool().sealTo }
      const first = await proposed(circle, circle, wish)
      await must(say(circle, circle, first, 'cancel'))
      hers.world.clock.moveSec(3_600)
      const second = await proposed(circle, circle, wish)
      const { createdAt } = statementOf(second)
      const old = new Date(Date.parse(createdAt) - 1_800_000).toISOString()
      const late = new Date(Date.parse(createdAt) + 3_600_000).toISOString()
      for (const changed of [
        { statementHash: first.statementHash },
        { act: 'submit' },
        { act: 'reject' },
        { subject: '0'.repeat(64) },
        { at: old },
        { at: late },
        { at: createdAt.replace('Z', '+00:00') },
        { key: nth(circle, 2).keys.signKey },
      ]) {
        const approve = () => say(circle, b, second, 'approve', changed)
        await expectNo(circle, approve, refused(403, 'KeeperSignatureRequired'))
      }
      await must(say(circle, b, second, 'approve'))
      // Again is not twice.
      expect(await must(say(circle, b, second, 'approve'))).toMatchObject({ state: 'proposed', missing: 1 })
    })

    it('262: a signature over other bytes than the keepers signed is none', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      for (const keeper of circle.keepers.slice(0, 2)) await must(submit(circle, keeper, drill))
      const good = await signatureOf(circle, circle, drill, tool)
      await expectNo(circle, () => giveSignature(circle, nth(circle, 1), drill, good), refused(403, 'Forbidden'))
      const swapped = Buffer.from(good, 'base64url')
      swapped[5] = (swapped[5] ?? 0) ^ 1
      const bad = swapped.toString('base64url')
      expect(bad).not.toBe(good)
      await expectNo(circle, () => giveSignature(circle, circle, drill, bad), refused(400, 'BadCeremony'))
      expect(await must(giveSignature(circle, circle, drill, good))).toMatchObject({ state: 'done' })
    })
  })

  describe('ends', () => {
    it('254: when its time has passed, and what was given is gone', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const drill = await proposed(circle, circle, { kind: 'drill', combineHere: true })
      await must(submit(circle, nth(circle, 0), drill))
      expect((await ceremonyRows(circle)).given).toHaveLength(1)
      hers.world.clock.moveSec(3 * DAY_SEC)
      expect(await submit(circle, nth(circle, 1), drill)).toMatchObject(refused(409, 'CeremonyExpired'))
      const told = await say(circle, circle, drill, 'cancel')
      expect(told).toMatchObject(refused(409, 'CeremonyExpired'))
      const { ceremonies, given, audit } = await ceremonyRows(circle)
      expect(ceremonies.at(-1)).toMatchObject({ state: 'expired', has_sealing: false })
      expect(given).toEqual([])
      expect(audit.at(-1)).toBe('key.ceremonyExpire')
    })

    it('254: when nobody comes any more, by the worker, with packets and the key that was dealt', async () => {
      const circle = await hers.circle(2)
      const split = await proposeSplit(circle)
      await must(giveDeal(circle, circle, split, await dealFor(split)))
      hers.world.clock.moveSec(3 * DAY_SEC)
      await endCeremonies(hers.ctx)
      const { ceremonies, packets, keys } = await ceremonyRows(circle)
      expect(ceremonies).toMatchObject([{ state: 'expired' }])
      expect({ packets, keys }).toEqual({ packets: [], keys: ['dropped'] })
      hers.world.clock.moveSec(3_600)
      expect(await proposeSplit(circle)).toMatchObject({ state: 'approved' })
    })

    it('266: by who began it, not by one keeper, and by more than half of the owners', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const b = nth(circle, 1)
      const olga = await hers.keeper(circle, 'owner')
      const oskar = await hers.keeper(circle, 'owner')
      hers.world.clock.moveSec(DAY_SEC)
      const first = await proposed(circle, circle, { kind: 'drill', sealTo: makeTool().sealTo })
      await expectNo(circle, () => say(circle, b, first, 'cancel'), refused(403, 'Forbidden'))
      expect(await must(say(circle, circle, first, 'cancel'))).toMatchObject({ state: 'cancelled' })
      hers.world.clock.moveSec(3_600)
      const second = await proposed(circle, circle, { kind: 'drill', sealTo: makeTool().sealTo })
      expect(await must(say(circle, olga, second, 'cancel'))).toMatchObject({ state: 'collecting' })
      expect(await must(say(circle, olga, second, 'cancel'))).toMatchObject({ state: 'collecting' })
      expect(await must(say(circle, oskar, second, 'cancel'))).toMatchObject({ state: 'cancelled' })
      await expectNo(circle, () => submit(circle, b, second), refused(409, 'CeremonyCancelled'))
    })

    it('by any one owner, where a keeper who owns nothing began a drill, and not where they name owners', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const b = nth(circle, 1)
      const olga = await hers.keeper(circle, 'owner')
      hers.world.clock.moveSec(DAY_SEC)
      const { sealTo } = makeTool()
      const drill = await proposed(circle, b, { kind: 'drill', sealTo })
      const owned = await proposed(circle, b, { kind: 'ownership', owners: [b.person.did], sealTo })
      expect(await must(say(circle, olga, drill, 'cancel'))).toMatchObject({ state: 'cancelled' })
      await expectNo(circle, () => say(circle, olga, owned, 'cancel'), refused(403, 'Forbidden'))
    })

    it('259: for a keeper whose keys were ended, or enrolled anew, and for nobody else', async () => {
      const circle = await hers.placed({ n: 4, k: 2 })
      const [, b, c, d] = circle.keepers
      if (!b || !c || !d) throw new Error('nobody')
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      const end = { community: circle.did, did: b.person.did }
      const ending = stepUpOf(hers.world, { person: circle.person, key: circle.keys.signKey, act: END, input: end })
      await must(circle.person.call(END, { ...end, stepUp: ending }))
      const keys = await makeKeeperKeys()
      const anew = enrolmentOf(hers.world, { community: circle.did, caller: c.person.did, keys })
      const stepUp = stepUpOf(hers.world, { person: c.person, key: c.keys.signKey, act: ENROL, input: anew })
      await must(c.person.call(ENROL, { ...anew, stepUp }))
      hers.world.clock.moveSec(3_600)
      for (const keeper of [b, c]) {
        await expectNo(circle, () => submit(circle, keeper, drill), refused(403, 'KeeperRevoked'))
        const begin = () => propose(circle, keeper, { kind: 'ownership', owners: [b.person.did], sealTo: tool.sealTo })
        await expectNo(circle, begin, refused(403, 'KeeperRevoked'))
      }
      await must(submit(circle, circle.keepers[0] ?? d, drill))
      expect(await must(submit(circle, d, drill))).toMatchObject({ state: 'ready' })
    })
  })

  it('is begun once under one name, and answered alike', async () => {
    const circle = await hers.circle(2)
    const input = { community: circle.did, kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }
    const about = { person: circle.person, key: circle.keys.signKey, act: PROPOSE, input }
    const call = { ...input, stepUp: stepUpOf(hers.world, about), idempotencyKey: 'once' }
    const first = await must(circle.person.call(PROPOSE, call))
    expect(await must(circle.person.call(PROPOSE, call))).toMatchObject({ ceremony: first.ceremony, sig: first.sig })
    const other: Owner = nth(circle, 1)
    expect(await other.person.call(PROPOSE, call)).toMatchObject(refused(403, 'Forbidden'))
  })

  it('a new key, dealt to those who stay, takes the place of the one in force', async () => {
    const circle = await hers.placed({ n: 3, k: 2 })
    hers.world.clock.moveSec(4 * DAY_SEC)
    const stay = { ...circle, keepers: circle.keepers.slice(0, 2).map((keeper) => ({ ...keeper })) }
    const { pair } = await splitDone(stay, { k: 2 })
    const tool = makeTool()
    const drill = await proposed(stay, stay, { kind: 'drill', sealTo: tool.sealTo })
    expect(statementOf(drill).quorum).toMatchObject({ pub: pair.didKey, generation: 2 })
    for (const keeper of stay.keepers) await must(submit(stay, keeper, drill))
    await must(concludeBy(stay, stay, drill, tool))
    expect((await ceremonyRows(circle)).keys).toEqual(['active', 'drilled'])
    const rekey = await proposed(circle, circle, { kind: 'combine', wish: 'rekey', sealTo: tool.sealTo })
    const wish = { kind: 'split', keepers: didsOf(circle.keepers), threshold: 2 }
    await expectNo(circle, () => propose(circle, circle, wish), refused(409, 'CeremonyInProgress'))
    for (const keeper of circle.keepers.slice(1)) await must(say(circle, keeper, rekey, 'approve'))
    for (const keeper of circle.keepers.slice(1)) await must(submit(circle, keeper, rekey))
    expect(await must(concludeBy(circle, circle, rekey, tool))).toMatchObject({ state: 'done' })
    expect((await inForce(hers.plc, circle.did)).rotationKeys).toContain(pair.didKey)
    expect((await ceremonyRows(circle)).keys).toEqual(['retired', 'active'])
  })
})
