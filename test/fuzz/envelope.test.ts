/** Sealed keys and wrapped data keys, spoilt: nothing opens but what was sealed, where it was sealed, as it was sealed. */
import { createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type DekPlace, open, type Place, type Purpose, seal, unwrapDek, wrapDek } from '../../src/keys/envelope.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { type Dice, fuzz, mutateBytes, mutateText, SEED } from '../kit/mutate.ts'

const dek = new Uint8Array(32).fill(7)
const kek = createSecretKey(new Uint8Array(32).fill(9))
const did = (letter: string): Did => `did:plc:${letter.repeat(24)}` as Did
const PURPOSES: readonly Purpose[] = ['rotation', 'space', 'atproto', 'client', 'oauth']

/** Places whose parts differ little, or would run together if they were only joined. */
const placeOf = (dice: Dice): Place => ({
  instanceId: dice.pick(['i', 'i1', '', 'i\0', mutateText(dice, 'instance').toWellFormed()]),
  community: did(dice.pick(['a', 'b'])),
  purpose: dice.pick(PURPOSES),
  keyId: dice.pick(['1', '11', '', 'k', mutateText(dice, 'key-1').toWellFormed()]),
  dekVersion: dice.pick([0, 1, 2, 256, 0xffffffff]),
  publicKey: dice.pick([null, '-', '', 'did:key:zOne', 'did:key:zTwo']) as DidKey | null,
})

/** What a place is bound to. A secret without a public half and one whose public half is named `-` would share it; no key is named so. */
const nameOf = (place: Place): string => JSON.stringify({ ...place, publicKey: place.publicKey ?? '-' })

/** Bytes of two envelopes mixed at their seams, or one of them edited. */
function spoiltOf(dice: Dice, one: Uint8Array, other: Uint8Array): Uint8Array {
  if (dice.oneIn(6)) return one
  if (!dice.oneIn(3)) return mutateBytes(dice, one)
  const seams = [0, 4, 5, 9, 21, one.length - 16, one.length]
  const [from, to] = [dice.pick(seams), dice.pick(seams)]
  return Uint8Array.from([...one.subarray(0, from), ...other.subarray(from, to), ...one.subarray(Math.max(from, to))])
}

const isSame = (one: Uint8Array, other: Uint8Array): boolean => Buffer.from(one).equals(other)

describe('a spoilt envelope', () => {
  it(`opens only as it was sealed and where it was sealed (seed ${SEED})`, async () => {
    const words = await fuzz(
      'sealed key',
      8_000,
      (dice) => {
        const place = placeOf(dice)
        const at = dice.oneIn(3) ? placeOf(dice) : place
        const secret = systemRandom.bytes(dice.pick([32, 32, 0, 1, 64]))
        const sealed = seal(dek, secret, place, systemRandom)
        const second = seal(dek, systemRandom.bytes(secret.length), place, systemRandom)
        return { place, at, secret, sealed, spoilt: spoiltOf(dice, sealed, second), second }
      },
      ({ place, at, secret, sealed, spoilt, second }, ours) => {
        const before = Uint8Array.from(spoilt)
        const opened = ours(() => open(dek, spoilt, at))
        expect(isSame(spoilt, before)).toBe(true)
        // A mixture may be the other envelope as a whole, which is a good one too.
        const isWhole = isSame(spoilt, sealed) || isSame(spoilt, second)
        expect(opened !== null).toBe(isWhole && nameOf(at) === nameOf(place))
        if (opened && isSame(spoilt, sealed)) expect(isSame(opened, secret)).toBe(true)
        return opened ? 'opened' : 'stayed closed'
      },
    )
    expect(words.get('opened')).toBeGreaterThan(100)
    expect(words.get('stayed closed')).toBeGreaterThan(1_000)
  })

  it(`around a data key unwraps only as it was wrapped and where it was wrapped (seed ${SEED})`, async () => {
    const dekPlaceOf = (dice: Dice): DekPlace & { kekId: string } => {
      const { instanceId, community, dekVersion } = placeOf(dice)
      return { instanceId, community, dekVersion, kekId: dice.pick(['kek-1', 'kek-2', '', 'kek']) }
    }
    const words = await fuzz(
      'wrapped data key',
      4_000,
      (dice) => {
        const place = dekPlaceOf(dice)
        const at = dice.oneIn(3) ? dekPlaceOf(dice) : place
        const wrapped = wrapDek(kek, place.kekId, dek, place, systemRandom)
        const second = wrapDek(kek, place.kekId, dek, place, systemRandom)
        return { place, at, wrapped, second, spoilt: spoiltOf(dice, wrapped, second) }
      },
      ({ place, at, wrapped, second, spoilt }, ours) => {
        const unwrapped = ours(() => unwrapDek(kek, at.kekId, spoilt, at))
        const isWhole = isSame(spoilt, wrapped) || isSame(spoilt, second)
        expect(unwrapped !== null).toBe(isWhole && JSON.stringify(at) === JSON.stringify(place))
        if (unwrapped) expect(isSame(unwrapped, dek)).toBe(true)
        return unwrapped ? 'opened' : 'stayed closed'
      },
    )
    expect(words.get('opened')).toBeGreaterThan(50)
  })
})
