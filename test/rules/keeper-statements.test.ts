/** What owners sign with keys of their own: each statement is worth something for one person, place and act only. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  fingerprintOf,
  inputHashOf,
  type KeeperClaim,
  keeperProofHolds,
  type StepUpClaim,
  stepUpHolds,
} from '../../src/keys/keeper-statements.ts'
import type { Did } from '../../src/names.ts'
import { base64Url, makeKey, signBytes, twinOf } from '../kit/tokens.ts'
import { spoilt } from '../kit/verdicts.ts'

const community = 'did:web:gardeners.example.com' as Did
const caller = 'did:web:alice.example.com' as Did
const service = 'did:web:reeve.example.com'
const at = '2026-11-29T10:00:00.000Z'

describe.each(['p256', 'k256'] as const)('a key over %s', (curve) => {
  const key = makeKey(curve)
  const keeper: KeeperClaim = {
    ...{ community, caller, service, sealKey: 'age1x', signKey: key.didKey },
  }
  const stepUp: StepUpClaim = {
    ...{ service, community, caller, act: 'a.b.c', inputHash: 'ab', at },
  }
  const words = {
    keeper: ['reeve-keeper-v1', community, caller, service, 'age1x', key.didKey].join('\n'),
    stepUp: ['reeve-step-up-v1', service, community, caller, 'a.b.c', 'ab', at].join('\n'),
  }

  it('claims itself, and confirms an act, by words that anybody can write down', () => {
    expect(keeperProofHolds(keeper, base64Url(signBytes(key, words.keeper)))).toBe(true)
    expect(stepUpHolds(stepUp, key.didKey, base64Url(signBytes(key, words.stepUp)))).toBe(true)
  })

  it('does neither for the other', () => {
    expect(keeperProofHolds(keeper, base64Url(signBytes(key, words.stepUp)))).toBe(false)
    expect(stepUpHolds(stepUp, key.didKey, base64Url(signBytes(key, words.keeper)))).toBe(false)
  })

  it('says nothing about any other person, place, act, input or instant, nor for another key', () => {
    const [proof, sig] = [base64Url(signBytes(key, words.keeper)), base64Url(signBytes(key, words.stepUp))]
    for (const name of Object.keys(keeper) as (keyof KeeperClaim)[]) {
      const other = name === 'signKey' ? makeKey(curve).didKey : `${keeper[name]}x`
      expect(keeperProofHolds({ ...keeper, [name]: other } as KeeperClaim, proof)).toBe(false)
    }
    for (const name of Object.keys(stepUp) as (keyof StepUpClaim)[]) {
      expect(stepUpHolds({ ...stepUp, [name]: `${stepUp[name]}x` } as StepUpClaim, key.didKey, sig)).toBe(false)
    }
    expect(stepUpHolds(stepUp, makeKey(curve).didKey, sig)).toBe(false)
  })

  it('has one spelling of each signature', () => {
    const signature = signBytes(key, words.stepUp)
    const sig = base64Url(signature)
    expect(stepUpHolds(stepUp, key.didKey, base64Url(twinOf(curve, signature)))).toBe(false)
    fc.assert(
      fc.property(spoilt(sig), (text) => {
        expect(stepUpHolds(stepUp, key.didKey, text)).toBe(text === sig)
      }),
    )
  })
})

describe('a fingerprint', () => {
  it('is short, the same for the same keys, and another for any other', () => {
    const keys = { sealKey: 'age1x', signKey: makeKey('p256').didKey }
    expect(fingerprintOf(keys)).toMatch(/^[0-9a-f]{4}( [0-9a-f]{4}){4}$/)
    expect(fingerprintOf({ ...keys })).toBe(fingerprintOf(keys))
    expect(fingerprintOf({ ...keys, sealKey: 'age1y' })).not.toBe(fingerprintOf(keys))
    expect(fingerprintOf({ ...keys, signKey: makeKey('p256').didKey })).not.toBe(fingerprintOf(keys))
  })
})

describe('the hash of an input', () => {
  it('is another for each other input, and the same in any order', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.boolean())), (given) => {
        const { stepUp: _s, idempotencyKey: _k, ifRevision: _r, ...body } = given
        const backwards = Object.fromEntries(Object.entries(body).toReversed())
        expect(inputHashOf(backwards)).toBe(inputHashOf(body))
        expect(inputHashOf({ ...body, stepUp: {}, ifRevision: 1 })).toBe(inputHashOf(body))
        expect(inputHashOf({ ...body, more: 'x y z w' })).not.toBe(inputHashOf({ ...body, more: 'x y z v' }))
      }),
    )
  })
})
