/**
 * Makers of everything that knocks: keys, delegation tokens, service JWTs, DPoP proofs and HTTP signatures, made with
 * `node:crypto` as a PDS or an app would make them. They make bad ones as willingly as good ones.
 *
 * Nothing of `src/` that verifies is used to make: a shared mistake would agree with itself.
 */
import {
  createECDH,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import type { Did, DidKey, SpaceName } from '../../src/names.ts'
import { type Curve, compress, type PublicKey, publicKeyFromPoint } from '../../src/platform/ecdsa.ts'
import { didKeyOf } from '../../src/platform/multikey.ts'

export interface TestKey {
  readonly curve: Curve
  readonly alg: 'ES256' | 'ES256K'
  readonly privateKey: KeyObject
  readonly publicKey: PublicKey
  readonly didKey: DidKey
  /** The public JWK. */
  readonly jwk: { kty: 'EC'; crv: string; x: string; y: string }
}

/** Which of the two equally valid values of S a signature has. `asMade`: what OpenSSL happened to make, as a browser would. */
export type S = 'low' | 'high' | 'asMade'

/** An object, or the exact JSON text (for what `JSON.stringify` can't say: `1e999`, a key twice). `undefined` drops a member. */
export type Part = Readonly<Record<string, unknown>> | string

const CURVE_NAME = { p256: 'prime256v1', k256: 'secp256k1' } as const
const JWK_CRV = { p256: 'P-256', k256: 'secp256k1' } as const
const ORDER = {
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}

export const base64Url = (bytes: Uint8Array | string): string => Buffer.from(bytes as Uint8Array).toString('base64url')
export const freshJti = (): string => randomBytes(16).toString('hex')

/** A key never seen before. */
export function makeKey(curve: Curve): TestKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: CURVE_NAME[curve] })
  const { d = '' } = privateKey.export({ format: 'jwk' })
  return keyOfScalar(curve, Buffer.from(d, 'base64url'))
}

/** The key of a known private scalar of 32 bytes. */
export function keyOfScalar(curve: Curve, scalar: Uint8Array): TestKey {
  const ecdh = createECDH(CURVE_NAME[curve])
  ecdh.setPrivateKey(scalar)
  const point = new Uint8Array(ecdh.getPublicKey())
  const publicKey = publicKeyFromPoint(curve, point)
  if (!publicKey) throw new Error('the scalar makes no point')
  const crv = JWK_CRV[curve]
  const jwk = { kty: 'EC', crv, x: base64Url(point.subarray(1, 33)), y: base64Url(point.subarray(33)) } as const
  const privateKey = createPrivateKey({ key: { ...jwk, d: base64Url(scalar) }, format: 'jwk' })
  const alg = curve === 'p256' ? 'ES256' : 'ES256K'
  return { curve, alg, privateKey, publicKey, didKey: didKeyOf(curve, compress(point)), jwk }
}

/** 64 bytes r‖s over the SHA-256 of `message`. */
export function signBytes(key: TestKey, message: Uint8Array | string, s: S = 'low'): Uint8Array {
  const bytes = typeof message === 'string' ? Buffer.from(message) : message
  const signature = new Uint8Array(sign('sha256', bytes, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }))
  if (s === 'asMade' || isHighS(key.curve, signature) === (s === 'high')) return signature
  return twinOf(key.curve, signature)
}

const sOf = (signature: Uint8Array): bigint => BigInt(`0x${Buffer.from(signature.subarray(32)).toString('hex')}`)

export const isHighS = (curve: Curve, signature: Uint8Array): boolean => sOf(signature) > ORDER[curve] / 2n

/** The other valid signature with the same r: n − s in place of s. */
export function twinOf(curve: Curve, signature: Uint8Array): Uint8Array {
  const twin = (ORDER[curve] - sOf(signature)).toString(16).padStart(64, '0')
  return Uint8Array.from([...signature.subarray(0, 32), ...Buffer.from(twin, 'hex')])
}

const jsonOf = (part: Part): string => (typeof part === 'string' ? part : JSON.stringify(part))

/** A compact JWS of any header and payload, signed by `key`, or with exactly the signature given. */
export function makeJws(input: { header: Part; payload: Part; key: TestKey; s?: S; signature?: Uint8Array }): string {
  const signingInput = `${base64Url(jsonOf(input.header))}.${base64Url(jsonOf(input.payload))}`
  return `${signingInput}.${base64Url(input.signature ?? signBytes(input.key, signingInput, input.s))}`
}

/** What a maker of a JWT lets a test change: members to add, replace or (with `undefined`) leave out, or a whole part as text. */
export interface Changes {
  readonly header?: Part
  readonly payload?: Part
  readonly s?: S
  readonly signature?: Uint8Array
}

const changed = (part: Readonly<Record<string, unknown>>, change: Part = {}): Part =>
  typeof change === 'string' ? change : { ...part, ...change }

function makeChanged(
  key: TestKey,
  parts: { header: Readonly<Record<string, unknown>>; payload: Readonly<Record<string, unknown>> },
  { header, payload, ...how }: Changes,
): string {
  return makeJws({ header: changed(parts.header, header), payload: changed(parts.payload, payload), key, ...how })
}

/** A delegation token as the user's PDS mints it: 60 s from now. */
export function makeDelegation(
  input: { key: TestKey; iss: Did; space: SpaceName; nowSec: number; jti?: string } & Changes,
): string {
  const { key, iss, space, nowSec, jti = freshJti(), ...changes } = input
  const header = { alg: key.alg, typ: 'atproto-space-delegation+jwt', kid: '#atproto' }
  const aud = `${space.authority}#atproto_space_host`
  const payload = { iss, sub: space.uri, aud, iat: nowSec, exp: nowSec + 60, jti }
  return makeChanged(key, { header, payload }, changes)
}

/** A service JWT as the common library mints it: 60 s from now, no `kid`. */
export function makeServiceJwt(
  input: { key: TestKey; iss: Did; aud: string; lxm: string; nowSec: number; jti?: string } & Changes,
): string {
  const { key, iss, aud, lxm, nowSec, jti = freshJti(), ...changes } = input
  const header = { typ: 'JWT', alg: key.alg }
  const payload = { iat: nowSec, iss, aud, exp: nowSec + 60, lxm, jti }
  return makeChanged(key, { header, payload }, changes)
}

/** A DPoP proof of a P-256 key. `credential` adds its `ath`. High S half of the time, as browsers make them. */
export function makeDpopProof(
  input: { key: TestKey; method: string; url: string; nowSec: number; jti?: string; credential?: string } & Changes,
): string {
  const { key, method, url, nowSec, jti = freshJti(), credential, ...changes } = input
  const header = { alg: 'ES256', typ: 'dpop+jwt', jwk: key.jwk }
  const ath = credential === undefined ? undefined : createHash('sha256').update(credential).digest('base64url')
  const payload = { jti, htm: method, htu: url, iat: nowSec, ath }
  return makeChanged(key, { header, payload }, { s: 'asMade', ...changes })
}

/** RFC 7638 thumbprint of the public key. */
export function thumbprintOf(key: TestKey): string {
  const { crv, kty, x, y } = key.jwk
  return createHash('sha256').update(`{"crv":"${crv}","kty":"${kty}","x":"${x}","y":"${y}"}`).digest('base64url')
}

/**
 * The two headers of an HTTP signature: over `authorization` with the key named in `keyid` (the exchange), or, when there is
 * an `audience`, over both and without a `keyid` (the presentation). `params` replaces what follows the list of fields.
 */
export function makeSpaceSignature(input: {
  key: TestKey
  authorization: string
  audience?: string
  params?: string
  s?: S
}): { signatureInput: string; signature: string } {
  const { key, authorization, audience, s = 'asMade' } = input
  const fields = audience === undefined ? '("authorization")' : '("authorization" "atproto-space-audience")'
  const params = fields + (input.params ?? (audience === undefined ? `;keyid="${key.didKey}"` : ''))
  const audienceLine = audience === undefined ? '' : `"atproto-space-audience": ${audience}\n`
  const base = `"authorization": ${authorization}\n${audienceLine}"@signature-params": ${params}`
  const value = Buffer.from(signBytes(key, base, s)).toString('base64')
  return { signatureInput: `atproto-space=${params}`, signature: `atproto-space=:${value}:` }
}
