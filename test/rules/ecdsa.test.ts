import { createPublicKey } from 'node:crypto'
import { P256Keypair, Secp256k1Keypair, verifySignature } from '@atproto/crypto'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { utf8 } from '../../src/platform/bytes.ts'
import {
  type Curve,
  compactLowS,
  compressedPointOf,
  type Es256k,
  es256kBackend,
  JWS_ALG,
  OPENSSL_ES256K,
  openNativeEs256k,
  type PublicKey,
  publicKeyFromPoint,
  verify as verifyAsChosen,
  verifyBy,
} from '../../src/platform/ecdsa.ts'
import { parseDidKey } from '../../src/platform/multikey.ts'
import { isHighS, makeKey, signBytes, twinOf } from '../kit/tokens.ts'

/** Every library that may verify here. Where there is no native build, `verify` is OpenSSL's, and is tried as what it is. */
const native = openNativeEs256k()
const BACK_ENDS: [curve: Curve, by: string, es256k: Es256k][] = [
  ['p256', 'OpenSSL', OPENSSL_ES256K],
  ['k256', 'OpenSSL', OPENSSL_ES256K],
  ...(native ? [['k256', 'libsecp256k1', native] as [Curve, string, Es256k]] : []),
]
const NOBLE = { p256, k256: secp256k1 }
const message = utf8('what was said')

const withR = (signature: Uint8Array, r: Uint8Array) => Uint8Array.of(...r, ...signature.subarray(32))
const withS = (signature: Uint8Array, s: Uint8Array) => Uint8Array.of(...signature.subarray(0, 32), ...s)
const orderOf = (curve: Curve) => Buffer.from(NOBLE[curve].Point.Fn.ORDER.toString(16).padStart(64, '0'), 'hex')

it('uses the native library wherever there is a build for it', () => {
  const hasBuild = ['linux-x64', 'darwin-arm64', 'win32-x64'].includes(`${process.platform}-${process.arch}`)
  expect(native === null).toBe(!hasBuild)
  expect(es256kBackend()).toBe(hasBuild ? 'native' : 'openssl')
})

describe.each(BACK_ENDS)('ECDSA over %s by %s', (curve, _by, es256k) => {
  const verify = (key: PublicKey, message: Uint8Array, signature: Uint8Array, rule: { lowS: boolean }) =>
    verifyBy(es256k, key, message, signature, rule)
  const key = makeKey(curve)
  const low = signBytes(key, message, 'low')
  const high = signBytes(key, message, 'high')

  it('takes a low-S signature under both rules', () => {
    expect(verify(key.publicKey, message, low, { lowS: true })).toBe(true)
    expect(verify(key.publicKey, message, low, { lowS: false })).toBe(true)
  })

  it('takes the high-S twin only where the rule allows it', () => {
    expect(verify(key.publicKey, message, high, { lowS: false })).toBe(true)
    expect(verify(key.publicKey, message, high, { lowS: true })).toBe(false)
    expect(verify(key.publicKey, message, twinOf(curve, high), { lowS: true })).toBe(true)
  })

  const zero = new Uint8Array(32)
  const order = orderOf(curve)
  const bad: [says: string, signature: Uint8Array][] = [
    ['0 bytes', new Uint8Array(0)],
    ['63 bytes', low.subarray(0, 63)],
    ['65 bytes', Uint8Array.of(...low, 0)],
    ['r = 0', withR(low, zero)],
    ['s = 0', withS(low, zero)],
    ['r = n', withR(low, order)],
    ['s = n', withS(low, order)],
    ['s all ones', withS(low, new Uint8Array(32).fill(255))],
    ['64 zero bytes', new Uint8Array(64)],
    ['DER', NOBLE[curve].Signature.fromBytes(low, 'compact').toBytes('der')],
  ]
  it.each(bad)('says no to a signature of %s, and does not throw', (_says, signature) => {
    expect(verify(key.publicKey, message, signature, { lowS: false })).toBe(false)
    expect(verify(key.publicKey, message, signature, { lowS: true })).toBe(false)
  })

  it('says no to another message, another key, and a key of the other curve', () => {
    const other = makeKey(curve)
    const elsewhere = makeKey(curve === 'p256' ? 'k256' : 'p256')
    expect(verify(key.publicKey, utf8('what was not said'), low, { lowS: false })).toBe(false)
    expect(verify(other.publicKey, message, low, { lowS: false })).toBe(false)
    expect(verify(elsewhere.publicKey, message, low, { lowS: false })).toBe(false)
  })

  it('agrees with another implementation on 200 signatures, good and spoilt', () => {
    for (let i = 0; i < 200; i++) {
      const text = utf8(`message ${i}`)
      const signature = signBytes(key, text, 'asMade')
      if (i % 3 === 0) signature[i % 64] = (signature[i % 64] ?? 0) ^ (1 << (i % 8))
      for (const lowS of [true, false]) {
        let theirs: boolean
        try {
          theirs = NOBLE[curve].verify(signature, text, key.publicKey.compressed, { lowS })
        } catch {
          theirs = false
        }
        expect(verify(key.publicKey, text, signature, { lowS })).toBe(theirs)
      }
    }
  })

  it('takes what atproto’s own library signs, and its library takes ours', async () => {
    const pair = await (curve === 'p256' ? P256Keypair : Secp256k1Keypair).create()
    const theirs = parseDidKey(pair.did())
    expect(theirs?.key.curve).toBe(curve)
    const signature = await pair.sign(message)
    expect(theirs && verify(theirs.key, message, signature, { lowS: true })).toBe(true)
    expect(await verifySignature(key.didKey, message, low, { jwtAlg: JWS_ALG[curve] })).toBe(true)
  })

  it('makes low-S r‖s of DER, also where DER drops leading zeros', () => {
    for (let i = 0; i < 300; i++) {
      const text = utf8(`message ${i}`)
      const made = signBytes(key, text, 'asMade')
      const compact = compactLowS(curve, NOBLE[curve].Signature.fromBytes(made, 'compact').toBytes('der'))
      expect(isHighS(curve, compact)).toBe(false)
      expect(verify(key.publicKey, text, compact, { lowS: true })).toBe(true)
    }
  })

  it('is what `verify` says', () => {
    for (const signature of [low, high, withR(low, order)]) {
      for (const lowS of [true, false]) {
        const says = verifyAsChosen(key.publicKey, message, signature, { lowS })
        expect(says).toBe(verify(key.publicKey, message, signature, { lowS }))
      }
    }
  })

  it('reads a point in both forms, and gives back the compressed one', () => {
    const { compressed, keyObject } = key.publicKey
    const long = NOBLE[curve].Point.fromBytes(compressed).toBytes(false)
    expect(publicKeyFromPoint(curve, long)?.compressed).toEqual(compressed)
    expect(compressedPointOf(keyObject)).toEqual(compressed)
    const compressedKey = publicKeyFromPoint(curve, compressed)
    expect(compressedKey && compressedPointOf(compressedKey.keyObject)).toEqual(compressed)
    expect(compressedPointOf(createPublicKey(key.privateKey))).toEqual(compressed)
  })

  it('refuses what is no point of the curve', () => {
    const long = NOBLE[curve].Point.fromBytes(key.publicKey.compressed).toBytes(false)
    const moved = Uint8Array.from(long)
    moved[64] = (moved[64] ?? 0) ^ 1
    const tooBig = Uint8Array.of(2, ...new Uint8Array(32).fill(255))
    for (const bytes of [moved, tooBig, long.subarray(1), Uint8Array.of(0), new Uint8Array(0), new Uint8Array(33)]) {
      expect(publicKeyFromPoint(curve, bytes)).toBeNull()
    }
    expect(publicKeyFromPoint(curve, Uint8Array.of(6, ...long.subarray(1)))).toBeNull()
  })
})
