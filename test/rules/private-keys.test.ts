/** Private keys: what goes in comes out, every signature is in the one form that PLC and atproto take, and nothing prints. */
import { inspect } from 'node:util'
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { importPrivateKey, makeKeyPair, signCompact, signOnce, withScalar } from '../../src/keys/private-keys.ts'
import { utf8 } from '../../src/platform/bytes.ts'
import { type Curve, verify } from '../../src/platform/ecdsa.ts'
import { parseDidKey } from '../../src/platform/multikey.ts'

const NOBLE = { p256, k256: secp256k1 }
const CURVES: Curve[] = ['p256', 'k256']

const publicKeyOf = (didKey: string) => {
  const parsed = parseDidKey(didKey)
  if (!parsed) throw new Error('no did:key')
  return parsed.key
}

describe.each(CURVES)('a private key on %s', (curve) => {
  it('is named by the same point that an independent library computes from its scalar', () => {
    for (let i = 0; i < 50; i++) {
      const pair = makeKeyPair(curve)
      const point = withScalar(pair, (scalar) => NOBLE[curve].getPublicKey(Uint8Array.from(scalar), true))
      expect(Buffer.from(publicKeyOf(pair.didKey).compressed).equals(Buffer.from(point))).toBe(true)
    }
  })

  it('goes through its scalar and back as the same key', () => {
    const pair = makeKeyPair(curve)
    const again = withScalar(pair, (scalar) => importPrivateKey(curve, scalar))
    expect(again?.didKey).toBe(pair.didKey)
    const message = utf8('a message')
    const signature = again && signCompact(again, message)
    expect(signature && verify(publicKeyOf(pair.didKey), message, signature, { lowS: true })).toBe(true)
  })

  it('takes the smallest and the largest scalar', () => {
    const one = new Uint8Array(32)
    one[31] = 1
    const last = Buffer.from((NOBLE[curve].Point.CURVE().n - 1n).toString(16), 'hex')
    expect(importPrivateKey(curve, one)?.didKey).toMatch(/^did:key:z/)
    expect(importPrivateKey(curve, last)?.didKey).toMatch(/^did:key:z/)
  })

  it('refuses zero, the order and what lies past it, and any other length', () => {
    const order = Buffer.from(NOBLE[curve].Point.CURVE().n.toString(16), 'hex')
    for (const bytes of [new Uint8Array(32), order, Buffer.alloc(32, 0xff), Buffer.alloc(31, 1), Buffer.alloc(33, 1)])
      expect([importPrivateKey(curve, bytes), signOnce(curve, bytes, utf8('a message'))]).toEqual([null, null])
  })

  it('signs 200 times out of 200 with a low S', () => {
    const pair = makeKeyPair(curve)
    const key = publicKeyOf(pair.didKey)
    let good = 0
    for (let i = 0; i < 200; i++) {
      const message = utf8(`message ${i}`)
      if (verify(key, message, signCompact(pair, message), { lowS: true })) good++
    }
    expect(good).toBe(200)
  })

  it('signs the same way 200 times out of 200 when it is to be gone at once', () => {
    const pair = makeKeyPair(curve)
    const key = publicKeyOf(pair.didKey)
    const scalar = withScalar(pair, (bytes) => Uint8Array.from(bytes))
    for (let i = 0; i < 200; i++) {
      const message = utf8(`message ${i}`)
      const signature = signOnce(curve, scalar, message)
      expect(signature && verify(key, message, signature, { lowS: true })).toBe(true)
    }
    expect(withScalar(pair, (bytes) => Uint8Array.from(bytes))).toEqual(scalar)
  })

  it('wipes the scalar that it lent, also when the borrower fails', () => {
    const pair = makeKeyPair(curve)
    const lent = withScalar(pair, (scalar) => scalar)
    expect(lent.every((byte) => byte === 0)).toBe(true)
    let kept: Uint8Array | undefined
    expect(() =>
      withScalar(pair, (scalar) => {
        kept = scalar
        throw new Error('borrower')
      }),
    ).toThrow('borrower')
    expect(kept?.every((byte) => byte === 0)).toBe(true)
  })

  it('shows nothing of itself when it is printed', () => {
    const pair = makeKeyPair(curve)
    const secret = withScalar(pair, (scalar) => Buffer.from(scalar).toString('hex'))
    for (const text of [inspect(pair, { depth: 9, showHidden: true }), JSON.stringify(pair), String(pair.privateKey)])
      expect(text).not.toContain(secret.slice(0, 16))
  })
})
