import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { importJWK, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { importJwk, isSecretJwk, isSignatureLength, parseJwkAlg, verifyByJwk } from '../../src/platform/jwk.ts'
import { ALGS, makeAppKey, published } from '../kit/attestations.ts'
import { base64Url, makeKey, twinOf } from '../kit/tokens.ts'
import { withBitFlipped } from '../kit/verdicts.ts'

const KEYS = ALGS.map((alg) => makeAppKey(alg))
const [es256 = makeAppKey('ES256'), es384 = makeAppKey('ES384'), eddsa = makeAppKey('EdDSA')] = KEYS
const rsa = makeAppKey('PS256')
const MESSAGE = Buffer.from('what was said')
const number = (value: bigint): string => {
  const hex = value.toString(16)
  return base64Url(Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex'))
}

describe('a key as JWK', () => {
  it.each(KEYS)('for $alg verifies what it signed, and nothing else', async (key) => {
    const read = published(key)
    const signature = key.sign(MESSAGE)
    expect(verifyByJwk(read, key.alg, MESSAGE, signature)).toBe(true)
    expect(verifyByJwk(read, key.alg, Buffer.from('what was not said'), signature)).toBe(false)
    for (let bit = 0; bit < signature.length * 8; bit += 61) {
      expect(verifyByJwk(read, key.alg, MESSAGE, withBitFlipped(signature, bit)), `bit ${bit}`).toBe(false)
    }
    for (const other of ALGS.filter((alg) => alg !== key.alg)) {
      expect(verifyByJwk(read, other, MESSAGE, signature), other).toBe(false)
    }
    for (const other of KEYS.filter(({ alg }) => alg !== key.alg)) {
      expect(verifyByJwk(published(other), key.alg, MESSAGE, signature), other.alg).toBe(false)
    }
    for (const length of [0, 1, signature.length - 1, signature.length + 1]) {
      const cut = Buffer.alloc(length, signature)
      expect(verifyByJwk(read, key.alg, MESSAGE, cut), `${length} bytes`).toBe(false)
    }
    // Another library takes the same key and the same signature.
    const input = `${base64Url(JSON.stringify({ alg: key.alg }))}.${base64Url('{}')}`
    await jwtVerify(`${input}.${base64Url(key.sign(input))}`, await importJWK({ ...key.jwk } as never, key.alg))
  })

  it('on P-256 verifies either S, and no number out of range', () => {
    const read = published(es256)
    const signature = es256.sign(MESSAGE)
    expect(verifyByJwk(read, 'ES256', MESSAGE, twinOf('p256', signature))).toBe(true)
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
    const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
    const zero = new Uint8Array(32)
    const ones = new Uint8Array(32).fill(255)
    for (const pair of [
      [zero, zero],
      [zero, s],
      [r, zero],
      [order, s],
      [r, order],
      [ones, s],
      [r, ones],
      [s, r],
    ] as const) {
      expect(verifyByJwk(read, 'ES256', MESSAGE, Buffer.concat(pair))).toBe(false)
    }
  })

  it('can say what it is for, and for how long', () => {
    for (const more of [{ use: 'sig' }, { key_ops: ['verify'] }, { key_ops: ['verify', 'encrypt', 'wrapKey'] }]) {
      expect(importJwk({ ...es256.jwk, ...more })).not.toBeNull()
    }
    expect(importJwk({ ...rsa.jwk })?.algs).toEqual(['PS256', 'RS256'])
    expect(importJwk({ ...rsa.jwk, alg: 'RS256' })?.algs).toEqual(['RS256'])
    expect(importJwk({ ...es256.jwk, nbf: 5, exp: 7 })).toMatchObject({ fromSec: 5, untilSec: 7 })
    expect(importJwk({ ...es256.jwk })).toMatchObject({ fromSec: 0, untilSec: Number.POSITIVE_INFINITY })
  })

  it('for one algorithm verifies nothing by another, though it could', () => {
    const key = makeAppKey('PS256')
    const signature = key.sign(MESSAGE)
    expect(verifyByJwk(published(key), 'PS256', MESSAGE, signature)).toBe(true)
    expect(verifyByJwk(published(key, { alg: 'RS256' }), 'PS256', MESSAGE, signature)).toBe(false)
  })

  it('may have no kid, and members that nobody knows', () => {
    const { kid: _kid, ...jwk } = es256.jwk
    expect(importJwk({ ...jwk, x5c: ['x'], note: {} })?.kid).toBeNull()
  })

  const { x = '', y = '' } = es256.jwk
  const beside = base64Url(withBitFlipped(Buffer.from(y, 'base64url'), 9))
  const { n = '', e = '' } = rsa.jwk
  const rsaOf = (bits: number): string => makeAppKey('RS256', 'k', bits).jwk.n ?? ''
  const WRONG: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['is for encrypting', { ...es256.jwk, use: 'enc' }],
    ['is for something unknown', { ...es256.jwk, use: 7 }],
    ['may only encrypt', { ...es256.jwk, key_ops: ['encrypt'] }],
    ['may only sign, which a public key can’t', { ...es256.jwk, key_ops: ['sign'] }],
    ['may do nothing', { ...es256.jwk, key_ops: [] }],
    ['has an operation twice', { ...es256.jwk, key_ops: ['verify', 'verify'] }],
    ['has an operation that is no text', { ...es256.jwk, key_ops: ['verify', 7] }],
    ['is extractable in words', { ...es256.jwk, ext: 'true' }],
    ['has operations that are no list', { ...es256.jwk, key_ops: 'verify' }],
    ['was revoked', { ...es256.jwk, revoked: { revoked_at: 1 } }],
    ['has an end that is no instant', { ...es256.jwk, exp: 1.5 }],
    ['has a beginning that is no instant', { ...es256.jwk, nbf: 'now' }],
    ['names the algorithm of another curve', { ...es256.jwk, alg: 'ES384' }],
    ['names an algorithm that isn’t taken', { ...es256.jwk, alg: 'ECDH-ES' }],
    ['names an algorithm that is no text', { ...es256.jwk, alg: null }],
    ['has an empty kid', { ...es256.jwk, kid: '' }],
    ['has a kid that is no text', { ...es256.jwk, kid: 7 }],
    ['has a kid of 257 characters', { ...es256.jwk, kid: 'k'.repeat(257) }],
    ['is of no kind', { x, y }],
    ['is of another kind', { ...es256.jwk, kty: 'AKP' }],
    ['is on secp256k1', makeKey('k256').jwk],
    ['is on P-521', generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey.export({ format: 'jwk' })],
    ['is for agreeing on keys', generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' })],
    ['is on Ed448', generateKeyPairSync('ed448').publicKey.export({ format: 'jwk' })],
    ['is no point', { ...es256.jwk, y: beside }],
    ['is the point at infinity', { ...es256.jwk, x: base64Url(new Uint8Array(32)), y: base64Url(new Uint8Array(32)) }],
    ['is on a curve of another length', { ...es256.jwk, crv: 'P-384' }],
    ['has a short x', { ...es256.jwk, x: base64Url(Buffer.from(x, 'base64url').subarray(1)) }],
    ['has a padded x', { ...es256.jwk, x: `${x}=` }],
    ['has x in the other base64', { ...es256.jwk, x: `${x.slice(0, -2)}+/` }],
    ['has x with a line break', { ...es256.jwk, x: `${x}\n` }],
    ['has no y', { ...es256.jwk, y: undefined }],
    ['has a y that is no text', { ...es256.jwk, y: [y] }],
    ['has a short Ed25519 point', { ...eddsa.jwk, x: 'AAAA' }],
    ['is RSA of 2,047 bits or less', { kty: 'RSA', n: number(2n ** 2_047n - 1n), e }],
    ['is RSA of 1,024 bits', { kty: 'RSA', n: rsaOf(1_024), e }],
    ['is RSA of 8,193 bits', { kty: 'RSA', n: number(2n ** 8_192n + 1n), e }],
    ['is RSA of a million bits', { kty: 'RSA', n: base64Url(randomBytes(125_000)), e }],
    ['has the RSA exponent 1, by which everything is signed', { kty: 'RSA', n, e: 'AQ' }],
    ['has an even RSA exponent', { kty: 'RSA', n, e: number(65_536n) }],
    ['has a long RSA exponent', { kty: 'RSA', n, e: number(2n ** 32n + 1n) }],
    ['has no RSA exponent', { kty: 'RSA', n, e: '' }],
    [
      'has a modulus with a zero before it',
      { kty: 'RSA', n: base64Url(Buffer.from([0, ...Buffer.from(n, 'base64url')])), e },
    ],
    ['is a private key', es256.privateJwk],
    ['is a private RSA key', rsa.privateJwk],
    ['is a symmetric key', { kty: 'oct', k: 'AAAA' }],
  ]
  it.each(WRONG)('that %s is of no use', (_says, jwk) => {
    expect(importJwk(jwk)).toBeNull()
  })

  it('of 2,048 and of 8,192 bits is read', () => {
    for (const bits of [2_048n, 8_192n]) {
      expect(importJwk({ kty: 'RSA', n: number(2n ** bits - 1n), e })?.algs).toEqual(['PS256', 'RS256'])
    }
  })
})

describe('a secret', () => {
  it('is seen in a key by any of its members', () => {
    for (const { privateJwk } of [...KEYS, rsa]) expect(isSecretJwk({ ...privateJwk })).toBe(true)
    for (const name of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']) {
      expect(isSecretJwk({ ...es384.jwk, [name]: null }), name).toBe(true)
    }
    expect(isSecretJwk({ kty: 'oct' })).toBe(true)
    for (const { jwk } of KEYS) expect(isSecretJwk({ ...jwk })).toBe(false)
  })
})

it('an algorithm is one of five, by its exact name, and makes signatures of certain lengths', () => {
  expect(ALGS.map(parseJwkAlg)).toEqual(ALGS)
  for (const name of ['none', 'HS256', 'ES256K', 'es256', 'constructor', '', null, 7, ['ES256']]) {
    expect(parseJwkAlg(name)).toBeNull()
  }
  const lengths = {
    ES256: [64, 64],
    ES384: [96, 96],
    EdDSA: [64, 64],
    PS256: [256, 1_024],
    RS256: [256, 1_024],
  } as const
  for (const alg of ALGS) {
    const [min, max] = lengths[alg]
    expect([min - 1, min, max, max + 1].map((length) => isSignatureLength(alg, length))).toEqual([
      false,
      true,
      true,
      false,
    ])
  }
})
