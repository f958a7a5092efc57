/**
 * Shares that are given to a ceremony: which count, which are refused and told of, that the others stay, and that nothing is put together before there
 * are enough, nor more often than it may. Where this service combines it looks at each; where somebody's own tool does, it can't, and stores them.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endCeremonies } from '../../src/community/end-ceremonies.ts'
import { listAlarms } from '../../src/community/identity-alarm-store.ts'
import { sealedCeremonies } from '../../src/community/sealed-ceremonies.ts'
import { dealKey, type Share } from '../../src/keys/shares.ts'
import {
  acknowledge,
  type CeremonyWorld,
  type Circle,
  ceremonyRows,
  concludeBy,
  dealFor,
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
  statementOf,
  submit,
} from '../kit/ceremonies.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { stepUpOf } from '../kit/keepers.ts'
import { base64Url } from '../kit/tokens.ts'
import type { Answer } from '../kit/world.ts'

const refused = (status: number, error: string) => ({ status, body: { error } })
const LIFT = 'community.reeve.key.liftSuspension'

describeOnEachEngine('a share', (open) => {
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
  const shareOf = (keeper: Keeper): Share => {
    if (!keeper.share) throw new Error('no share')
    return keeper.share
  }
  const drillHere = (circle: Circle): Promise<Shown> => proposed(circle, circle, { kind: 'drill', combineHere: true })
  /** As many keepers as one wants, whose key is in force. */
  const badLeft = async (circle: Circle, by: Keeper) => {
    const lift = { community: circle.did, did: by.person.did }
    const stepUp = stepUpOf(hers.world, { person: circle.person, key: circle.keys.signKey, act: LIFT, input: lift })
    return circle.person.call(LIFT, { ...lift, stepUp })
  }
  const stateOf = async (circle: Circle, ceremony: Shown) => (await must(look(circle, circle, ceremony))).state

  describe('that this service opens', () => {
    /** A drill in which one keeper gave theirs, and what another may try. */
    async function tried(circle: Circle, drill: Shown, by: Keeper, share: Partial<Share>): Promise<Answer> {
      return submit(circle, by, drill, { share: { ...shareOf(by), ...share } })
    }

    it('255, 256: is refused and told of when it is not theirs, whatever is wrong with it; the others stay', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b, c] = [nth(circle, 0), nth(circle, 1), nth(circle, 2)]
      const drill = await drillHere(circle)
      await must(submit(circle, a, drill))
      const flipped = Uint8Array.from(shareOf(b).y)
      flipped[7] = (flipped[7] ?? 0) ^ 1
      const otherKey = (await dealKey({ n: 3, k: 2 }, (below) => randomInt(below))).shares[0]
      if (!otherKey) throw new Error('nothing dealt')
      const before = await ceremonyRows(circle)
      for (const share of [
        { x: 0 },
        { x: (shareOf(b).x % 255) + 1 },
        { x: shareOf(c).x },
        { y: shareOf(c).y },
        { x: shareOf(c).x, y: shareOf(c).y },
        { y: flipped },
        { y: new Uint8Array(32) },
        { y: flipped.subarray(0, 31) },
        { y: new Uint8Array(33) },
        { y: otherKey.y },
      ]) {
        const answer = await tried(circle, drill, b, share)
        expect(answer).toMatchObject(refused(400, 'BadShare'))
        expect(JSON.stringify(answer.body)).not.toContain(Buffer.from(shareOf(b).y).toString('hex'))
        const { ceremonies, given } = await ceremonyRows(circle)
        expect({ ceremonies, given }).toEqual({ ceremonies: before.ceremonies, given: before.given })
        // Three suspend: they are let act again, as often as it takes.
        await badLeft(circle, b)
      }
      expect(await must(submit(circle, b, drill))).toMatchObject({ state: 'done' })
    })

    it('is named to the owners, in the audit and in red, until it is right', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const b = nth(circle, 1)
      const drill = await drillHere(circle)
      expect(await tried(circle, drill, b, { y: new Uint8Array(32) })).toMatchObject(refused(400, 'BadShare'))
      const alarms = await listAlarms(hers.database.db, circle.did)
      expect(alarms.find(({ name }) => name === 'badShare')?.about).toMatchObject({
        keepers: b.person.did,
      })
      const { entries } = (await circle.person.ask('community.reeve.audit.list', { community: circle.did, limit: '2' }))
        .body
      expect(entries).toMatchObject(
        [{ action: 'identity.alarm' }, { action: 'key.badShare', actor: b.person.did }].reverse(),
      )
      await must(submit(circle, b, drill))
      expect((await ceremonyRows(circle)).alarms).not.toContain('badShare')
    })

    it('256: of the key before is refused', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      hers.world.clock.moveSec(4 * 86_400)
      const before = circle.keepers.map(shareOf)
      await splitDone(circle, { k: 2 })
      const drill = await drillHere(circle)
      const [old] = before
      if (!old) throw new Error('no share')
      expect(await tried(circle, drill, nth(circle, 0), old)).toMatchObject(refused(400, 'BadShare'))
      await must(submit(circle, nth(circle, 0), drill))
      expect(await must(submit(circle, nth(circle, 1), drill))).toMatchObject({ state: 'done' })
    })

    it('257: given twice, or by two people, counts once', async () => {
      const circle = await hers.placed({ n: 4, k: 3 })
      const [a, b] = [nth(circle, 0), nth(circle, 1)]
      const drill = await drillHere(circle)
      const text = await sealed(a, drill)
      await must(submit(circle, a, drill, { sealed: text }))
      const before = await ceremonyRows(circle)
      expect(await submit(circle, a, drill, { sealed: text })).toMatchObject(refused(409, 'DuplicateShare'))
      expect(await submit(circle, a, drill)).toMatchObject(refused(409, 'DuplicateShare'))
      expect(await submit(circle, b, drill, { sealed: text })).toMatchObject(refused(409, 'DuplicateShare'))
      expect(await ceremonyRows(circle)).toEqual(before)
    })

    it('258: sealed for another ceremony, to another key, or to nobody, is refused', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const b = nth(circle, 1)
      const first = await drillHere(circle)
      const caught = await sealed(b, first)
      await must(say(circle, circle, first, 'cancel'))
      hers.world.clock.moveSec(3_600)
      const second = await drillHere(circle)
      for (const sealing of [
        { sealed: caught },
        { sealed: await sealed(b, second, { as: first }) },
        { sealed: base64Url(randomBytes(113)) },
      ]) {
        expect(await submit(circle, b, second, sealing)).toMatchObject(refused(400, 'BadShare'))
      }
      expect((await ceremonyRows(circle)).given).toEqual([])
    })

    it('267: three wrong ones suspend who gave them; the others go on, and an owner lifts it', async () => {
      const circle = await hers.placed({ n: 4, k: 2 })
      const [a, b, c] = [nth(circle, 0), nth(circle, 1), nth(circle, 2)]
      const drill = await drillHere(circle)
      for (const _ of [1, 2, 3]) {
        expect(await tried(circle, drill, b, { y: new Uint8Array(32) })).toMatchObject(refused(400, 'BadShare'))
      }
      expect(await submit(circle, b, drill)).toMatchObject(refused(403, 'KeeperSuspended'))
      const begin = { kind: 'ownership', owners: [b.person.did], combineHere: true }
      expect(await propose(circle, b, begin)).toMatchObject(refused(403, 'KeeperSuspended'))
      await must(submit(circle, a, drill))
      expect(await must(submit(circle, c, drill))).toMatchObject({ state: 'done' })

      const lift = { community: circle.did, did: b.person.did }
      expect(await circle.person.call(LIFT, lift)).toMatchObject(refused(403, 'KeeperSignatureRequired'))
      const own = stepUpOf(hers.world, { person: b.person, key: b.keys.signKey, act: LIFT, input: lift })
      expect(await b.person.call(LIFT, { ...lift, stepUp: own })).toMatchObject(refused(403, 'Forbidden'))
      expect(await badLeft(circle, b)).toMatchObject({ status: 200 })
      hers.world.clock.moveSec(1)
      expect(await badLeft(circle, b)).toMatchObject(refused(404, 'NotFound'))
      const next = await drillHere(circle)
      expect(await submit(circle, b, next)).toMatchObject({ status: 200 })
    })

    it('261: that is as it was dealt, of a dealer who cheated, makes no key: nothing is signed, and it is over', async () => {
      const circle = await hers.circle(3)
      const split = await proposeSplit(circle)
      const { shares } = await dealKey({ n: 3, k: 2 }, (below) => randomInt(below))
      await must(giveDeal(circle, circle, split, await dealFor(split, shares)))
      for (const keeper of circle.keepers) await must(acknowledge(circle, keeper, split))
      const drill = await drillHere(circle)
      await must(submit(circle, nth(circle, 0), drill))
      expect(await submit(circle, nth(circle, 1), drill)).toMatchObject(refused(500, 'KeyMismatch'))
      const { ceremonies, given, keys, alarms } = await ceremonyRows(circle)
      expect(ceremonies.at(-1)).toEqual({
        ...{ kind: 'drill', state: 'failed', fault: 'KeyMismatch', has_sealing: false, has_signed: false },
      })
      expect(given).toEqual([])
      expect(keys).toEqual(['acknowledged'])
      expect(alarms).toContain('keyMismatch')
      expect(await submit(circle, nth(circle, 2), drill)).toMatchObject(refused(400, 'BadCeremony'))
    })

    it('makes the key five times an hour, and not a sixth', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 0), nth(circle, 1)]
      const once = async () => {
        const drill = await drillHere(circle)
        await must(submit(circle, a, drill))
        return { drill, answer: await submit(circle, b, drill) }
      }
      for (const _ of [1, 2, 3, 4, 5]) expect((await once()).answer).toMatchObject({ status: 200 })
      const { drill, answer } = await once()
      expect(answer).toMatchObject(refused(400, 'LimitExceeded'))
      expect(await stateOf(circle, drill)).toBe('collecting')
      hers.world.clock.moveSec(3_600)
      expect(await must(submit(circle, b, drill))).toMatchObject({ state: 'done' })
    })

    it('opens by a key that lies sealed as long as the ceremony is open, for whoever changes the key-encryption key', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const drill = await drillHere(circle)
      const ofThis = async () => {
        const found = []
        for await (const one of sealedCeremonies(hers.database.db))
          if (one.place.name === drill.ceremony) found.push(one)
        return found
      }
      const [thing, ...others] = await ofThis()
      if (!thing) throw new Error('nothing sealed')
      expect(others).toEqual([])
      expect(thing.place).toEqual({ community: circle.did, purpose: 'ceremony', name: drill.ceremony })
      expect(await hers.world.reeve.house.vault.openBlob(thing.place, thing.blob)).toHaveLength(32)
      await must(submit(circle, nth(circle, 0), drill))
      await must(submit(circle, nth(circle, 1), drill))
      expect(await ofThis()).toEqual([])
    })

    it('265: that a process died over is taken up by another, and what comes out is signed once', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 0), nth(circle, 1)]
      const drill = await drillHere(circle)
      await must(submit(circle, a, drill))
      const { vault } = hers.world.reeve.house
      const openBlob = vault.openBlob.bind(vault)
      let opened = 0
      // The second opening is that of the combining: there the process is gone.
      vault.openBlob = (...all) => {
        opened += 1
        return opened === 2 ? Promise.reject(new Error('gone')) : openBlob(...all)
      }
      expect(await submit(circle, b, drill)).toMatchObject({ status: 500 })
      vault.openBlob = openBlob
      expect(await stateOf(circle, drill)).toBe('ready')
      expect((await ceremonyRows(circle)).given).toHaveLength(2)
      await endCeremonies(hers.ctx)
      expect(await stateOf(circle, drill)).toBe('ready')
      hers.world.clock.moveSec(61)
      await endCeremonies(hers.ctx)
      const shown = await must(look(circle, circle, drill))
      expect(shown).toMatchObject({ state: 'done', signed: expect.any(String) })
      await endCeremonies(hers.ctx)
      expect(await must(look(circle, circle, drill))).toEqual(shown)
    })
  })

  describe('that somebody’s own tool opens', () => {
    it('260: is not enough with one too few, and nothing comes of it', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      await must(submit(circle, nth(circle, 0), drill))
      const signature = base64Url(randomBytes(64))
      const answer = await giveSignature(circle, circle, drill, signature)
      expect(answer).toMatchObject(refused(409, 'QuorumNotMet'))
      expect((await ceremonyRows(circle)).ceremonies.at(-1)).toMatchObject({ state: 'collecting', has_signed: false })
    })

    it('is shown to whoever combines, to nobody else, and to them no longer than that', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 0), nth(circle, 1)]
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      const text = await sealed(b, drill)
      await must(submit(circle, b, drill, { sealed: text }))
      expect(JSON.stringify(await must(look(circle, circle, drill)))).toContain(text)
      for (const other of [b, nth(circle, 2)]) {
        expect(JSON.stringify(await must(look(circle, other, drill)))).not.toContain(text)
      }
      await must(submit(circle, a, drill))
      await must(concludeBy(circle, circle, drill, tool))
      expect(JSON.stringify(await must(look(circle, circle, drill)))).not.toContain(text)
      const { entries } = (await circle.person.ask('community.reeve.audit.list', { community: circle.did })).body
      expect(JSON.stringify(entries)).not.toContain(text)
    })

    it('that was damaged is given again, and an older one doesn’t take the place of a later', async () => {
      const circle = await hers.placed({ n: 3, k: 2 })
      const [a, b] = [nth(circle, 0), nth(circle, 1)]
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      const { createdAt } = statementOf(drill)
      const damaged = await sealed(b, drill, { share: { ...shareOf(b), y: new Uint8Array(32) } })
      await must(submit(circle, b, drill, { sealed: damaged }, { at: createdAt }))
      expect(await submit(circle, b, drill, { sealed: damaged })).toMatchObject(refused(409, 'DuplicateShare'))
      await must(submit(circle, a, drill))
      await expect(concludeBy(circle, circle, drill, tool)).rejects.toThrow('do not make the key')
      hers.world.clock.moveSec(1)
      expect(await must(submit(circle, b, drill))).toMatchObject({ state: 'ready' })
      const older = submit(circle, b, drill, { sealed: damaged }, { at: createdAt })
      expect(await older).toMatchObject(refused(409, 'DuplicateShare'))
      expect(await must(concludeBy(circle, circle, drill, tool))).toMatchObject({ state: 'done' })
    })
  })
})
