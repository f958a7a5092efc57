/** Shares put together here: by k good ones the very thing is signed; a bad one is named, and nothing else comes out. */
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { hexOf, isConcludedBy } from '../../src/keys/ceremony-statements.ts'
import {
  type Combined,
  combineGiven,
  type GivenShare,
  makeCeremonyKey,
  openCeremonyKey,
  openGiven,
  signWithShares,
} from '../../src/keys/combining.ts'
import { makeKeyPair } from '../../src/keys/private-keys.ts'
import { sealToOf } from '../../src/keys/share-seal.ts'
import { SHARE_BYTES } from '../../src/keys/shares.ts'
import type { Did } from '../../src/names.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { ceremonyOf, type Dealing, type DealtCeremony, dealt } from '../kit/dealt-keys.ts'
import { kept, unwiped } from '../kit/kept-off-heap.ts'
import { base64Url, makeKey } from '../kit/tokens.ts'
import { withBitFlipped } from '../kit/verdicts.ts'

vi.mock('../../src/keys/secret-bytes.ts', async (original) => {
  const { watchedBytes } = await import('../kit/kept-off-heap.ts')
  return watchedBytes(original)
})

const pair = makeKeyPair('p256')
const sealTo = sealToOf(pair)
let key: Dealing
let ceremony: DealtCeremony

beforeAll(async () => {
  key = await dealt(3, 5)
  ceremony = ceremonyOf(key, sealTo)
})

const giveAll = (places: readonly number[], by = ceremony): Promise<GivenShare[]> =>
  Promise.all(places.map((at) => by.give(at)))
const didAt = (at: number): Did => ceremony.statement.seats[at]?.did ?? ('did:web:nobody' as Did)
const shareAt = (at: number) => key.shares[at] ?? { x: 0, y: new Uint8Array(0) }
const signatureOf = (combined: Combined): string => (combined.kind === 'signed' ? combined.signature : combined.kind)

describe('k shares', () => {
  it.each(['drill', 'combine', 'ownership'] as const)('sign what a %s is for, and nothing else', async (kind) => {
    const one = ceremonyOf(key, sealTo, kind)
    for (const places of [
      [0, 1, 2],
      [4, 3, 2],
      [1, 4, 0],
    ]) {
      const combined = await combineGiven(pair, one, await giveAll(places, one))
      expect(combined.kind).toBe('signed')
      const signature = signatureOf(combined)
      expect(isConcludedBy(one.statement, hexOf(one.statementHash), signature)).toBe(true)
      const other = ceremonyOf(key, sealTo, kind, kind === 'drill' ? {} : { createdAt: '2026-11-29T10:00:00.001Z' })
      const isSameOperation = kind === 'combine'
      expect(isConcludedBy(other.statement, hexOf(other.statementHash), signature)).toBe(isSameOperation)
    }
  })

  it('are looked at one by one, before any are put together', async () => {
    for (const at of [0, 1, 2, 3, 4]) {
      const opened = await openGiven(pair, ceremony, await ceremony.give(at))
      expect(opened).toEqual({ x: shareAt(at).x, y: Uint8Array.from(shareAt(at).y) })
    }
  })

  it('are enough: those beyond aren’t opened', async () => {
    const rubbish = { did: didAt(3), sealed: 'rubbish' }
    const combined = await combineGiven(pair, ceremony, [...(await giveAll([0, 1, 2])), rubbish])
    expect(combined.kind).toBe('signed')
    const first = await combineGiven(pair, ceremony, [rubbish, ...(await giveAll([0, 1, 2]))])
    expect(first).toEqual({ kind: 'bad', dids: [didAt(3)] })
  })

  it('are needed: with fewer the caller is wrong, and so it is where nothing is signed', async () => {
    for (const places of [[], [0], [0, 1]]) {
      await expect(combineGiven(pair, ceremony, await giveAll(places))).rejects.toThrow('nothing to combine')
    }
    const { statement } = ceremony
    const keyless = { ...ceremony, statement: { ...statement, quorum: { ...statement.quorum, pub: null } } }
    await expect(combineGiven(pair, keyless, await giveAll([0, 1, 2]))).rejects.toThrow('nothing to combine')
    const split = { ...ceremony, statement: { ...statement, kind: 'split' as const } }
    await expect(combineGiven(pair, split, await giveAll([0, 1, 2]))).rejects.toThrow('nothing to combine')
  })
})

describe('a share that is none', () => {
  const cases: readonly [string, () => Promise<GivenShare>][] = [
    ['with a bit turned', () => ceremony.give(1, { share: { ...shareAt(1), y: withBitFlipped(shareAt(1).y, 200) } })],
    ['of zeros', () => ceremony.give(1, { share: { ...shareAt(1), y: new Uint8Array(SHARE_BYTES) } })],
    ['of chance', () => ceremony.give(1, { share: { ...shareAt(1), y: systemRandom.bytes(SHARE_BYTES) } })],
    ['of another keeper', () => ceremony.give(1, { share: shareAt(2) })],
    ['of another keeper, at their own place', () => ceremony.give(1, { share: { ...shareAt(2), x: shareAt(1).x } })],
    ['of their own, at another’s place', () => ceremony.give(1, { share: { ...shareAt(1), x: shareAt(2).x } })],
    [
      'of another key',
      async () => ceremony.give(1, { share: { ...((await dealt(3, 5)).shares[1] ?? shareAt(0)), x: shareAt(1).x } }),
    ],
    ['sealed to another key', () => ceremony.give(1, { sealTo: sealToOf(makeKeyPair('p256')) })],
    ['sealed for another ceremony', () => ceremonyOf(key, sealTo).give(1)],
    ['sealed for no ceremony', () => ceremony.give(1, { statementHash: new Uint8Array(32) })],
    ['that another gave', async () => ({ ...(await ceremony.give(2)), did: didAt(1) })],
    ['cut off', async () => ({ did: didAt(1), sealed: (await ceremony.give(1)).sealed.slice(0, -2) })],
    ['of nothing', async () => ({ did: didAt(1), sealed: '' })],
    ['of rubbish', async () => ({ did: didAt(1), sealed: base64Url(systemRandom.bytes(113)) })],
  ]

  it.each(cases)('is named, and the others stay: one %s', async (_, give) => {
    const [bad, [first, third]] = [await give(), await giveAll([0, 2])]
    if (!first || !third) throw new Error('nothing was given')
    expect(await openGiven(pair, ceremony, bad)).toBeNull()
    expect(await combineGiven(pair, ceremony, [first, bad, third])).toEqual({ kind: 'bad', dids: [didAt(1)] })
    // Whoever was named gives another, or somebody else gives theirs: what the others gave is as good as before.
    for (const at of [1, 4]) {
      const combined = await combineGiven(pair, ceremony, [first, await ceremony.give(at), third])
      expect(isConcludedBy(ceremony.statement, hexOf(ceremony.statementHash), signatureOf(combined))).toBe(true)
    }
  })

  it('is named with every other that is none', async () => {
    const bad = [0, 2].map((at) => ({ did: didAt(at), sealed: 'rubbish' }))
    const combined = await combineGiven(pair, ceremony, [...bad, await ceremony.give(1)])
    expect(combined).toEqual({ kind: 'bad', dids: [didAt(0), didAt(2)] })
  })

  it('is whatever somebody gives who keeps none', async () => {
    const given = { ...(await ceremony.give(1)), did: 'did:web:dora.example.com' as Did }
    expect(await openGiven(pair, ceremony, given)).toBeNull()
  })

  it('is one from the dealing before, although the seats are the same', async () => {
    const before = ceremonyOf({ ...key, dealtBy: systemRandom.bytes(32) }, sealTo)
    const { statement } = ceremony
    // The commitments of now under the hash of then.
    const mixed = { ...statement, quorum: { ...statement.quorum, dealtBy: before.statement.quorum.dealtBy } }
    expect(await openGiven(pair, { ...ceremony, statement: mixed }, await ceremony.give(1))).toBeNull()
  })

  it('is any in a statement that says not where shares stand', async () => {
    const { statement } = ceremony
    const given = await ceremony.give(1)
    const unseated = [{ x: null }, { commitment: null }].map((change) => ({
      ...statement,
      seats: statement.seats.map((seat) => ({ ...seat, ...change })),
    }))
    const undealt = { ...statement, quorum: { ...statement.quorum, dealtBy: null } }
    for (const said of [...unseated, undealt]) {
      expect(await openGiven(pair, { ...ceremony, statement: said }, given)).toBeNull()
    }
  })
})

describe('shares that are right, one by one, and don’t make the key', () => {
  it('sign nothing: the key that is expected is another', async () => {
    const { statement } = ceremony
    const pub = makeKey('k256').didKey
    const forced = ceremonyOf(key, sealTo, 'combine', { quorum: { ...statement.quorum, pub } })
    expect(await combineGiven(pair, forced, await giveAll([0, 1, 2], forced))).toEqual({ kind: 'mismatch' })
  })

  it('sign nothing: fewer are said to be enough than are', async () => {
    const { statement } = ceremony
    const forced = ceremonyOf(key, sealTo, 'combine', { quorum: { ...statement.quorum, k: 2 } })
    expect(await combineGiven(pair, forced, await giveAll([0, 1], forced))).toEqual({ kind: 'mismatch' })
  })

  it('sign nothing by a key over another curve', async () => {
    const { statement } = ceremony
    const forced = ceremonyOf(key, sealTo, 'combine', { quorum: { ...statement.quorum, pub: makeKey('p256').didKey } })
    expect(await combineGiven(pair, forced, await giveAll([0, 1, 2], forced))).toEqual({ kind: 'mismatch' })
    const about = { k: 3, didKey: key.pair.didKey }
    expect(await signWithShares(key.shares.slice(0, 2), about, Buffer.from('words'))).toBeNull()
    expect(await signWithShares(key.shares.slice(0, 3), about, Buffer.from('words'))).toMatch(/^[\w-]{86}$/)
  })
})

describe('of what was secret nothing stays', () => {
  it.each([
    ['was signed', (good: GivenShare[]) => good],
    ['is another key', (good: GivenShare[]) => good],
    ['is one bad share', ([one, two]: GivenShare[]) => [one, two, { did: didAt(2), sealed: 'rubbish' }]],
    ['is a share of another place', ([one, two]: GivenShare[]) => [one, two, { did: didAt(2), sealed: one?.sealed }]],
  ])('when it %s', async (what, change) => {
    const { statement } = ceremony
    const quorum = what === 'is another key' ? { ...statement.quorum, pub: makeKey('k256').didKey } : statement.quorum
    const one = ceremonyOf(key, sealTo, 'combine', { quorum })
    const given = change(await giveAll([0, 1, 2], one)) as GivenShare[]
    kept.bytes = []
    await combineGiven(pair, one, given)
    expect(kept.bytes.length).toBeGreaterThanOrEqual(2)
    expect(unwiped()).toEqual([])
  })

  it('of a share that opens, and belongs at another seat', async () => {
    const given = await ceremony.give(1, { share: { ...shareAt(1), y: systemRandom.bytes(SHARE_BYTES) } })
    kept.bytes = []
    expect(await openGiven(pair, ceremony, given)).toBeNull()
    expect(kept.bytes).toHaveLength(1)
    expect(unwiped()).toEqual([])
  })

  it('of the key of a ceremony, which the vault keeps under the name of the ceremony', async () => {
    const { statement } = ceremony
    const { community, ceremony: name } = statement
    const sealed: { about: object; scalar: Buffer; nowMs: number }[] = []
    const blob = { sealed: new Uint8Array(1), dekVersion: 1 }
    const vault = {
      sealBlob: async (about: object, scalar: Uint8Array, nowMs: number) => {
        sealed.push({ about, scalar: Buffer.from(scalar), nowMs })
        return blob
      },
      openBlob: async (about: object, given: object) => {
        expect([about, given]).toEqual([{ community, purpose: 'ceremony', name }, blob])
        return scalarOff()
      },
    }
    /** As the vault gives it out: off the heap, to be wiped by whoever asked. */
    const scalarOff = (): Uint8Array => {
      const bytes = new Uint8Array(new ArrayBuffer(4096), 0, 32)
      bytes.set(sealed[0]?.scalar ?? [])
      kept.bytes.push(bytes)
      return bytes
    }
    kept.bytes = []
    const made = await makeCeremonyKey(vault as never, { community, ceremony: name, nowMs: 7 })
    expect(sealed).toMatchObject([{ about: { community, purpose: 'ceremony', name }, nowMs: 7 }])
    expect(sealed[0]?.scalar.some((byte) => byte !== 0)).toBe(true)
    expect(made.blob).toBe(blob)
    expect(unwiped()).toEqual([])
    const opened = await openCeremonyKey(vault as never, statement, made.blob)
    expect(sealToOf(opened)).toBe(made.sealTo)
    expect(unwiped()).toEqual([])
    sealed[0]?.scalar.fill(0)
    await expect(openCeremonyKey(vault as never, statement, made.blob)).rejects.toMatchObject({
      code: 'KeyUnavailable',
    })
  })
})
