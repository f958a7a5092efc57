/**
 * Public keys as JWK (RFC 7517) and signatures by them, for whoever may choose among algorithms, as apps do.
 *
 * OpenSSL through `node:crypto`, and no JOSE library: what is read here is five kinds of key and one signature, and only the
 * members that make the key ever reach OpenSSL, in one spelling, within bounds. Either S is taken on both curves: libraries for
 * browsers, by which apps sign, don't make it low. Who may call `verifyByJwk` is a rule of the house, kept by a test.
 */
import { constants, createPublicKey, type JsonWebKey, type KeyObject, verify as opensslVerify } from 'node:crypto'
import { fromBase64Url } from './bytes.ts'
import { parseSeconds } from './jwt-claims.ts'

export type JwkAlg = 'ES256' | 'ES384' | 'EdDSA' | 'PS256' | 'RS256'

/** A key that can verify. */
export interface PublicJwk {
  readonly kid: string | null
  readonly algs: readonly JwkAlg[]
  /** Seconds since 1970 between which its owner says that it is good: from the first, and before the second. */
  readonly fromSec: number
  readonly untilSec: number
  readonly keyObject: KeyObject
}

type Members = Readonly<Record<string, unknown>>

const KID_MAX_CHARS = 256
/** Bounds of an RSA modulus: shorter is broken too soon, longer takes too long. */
const RSA_BITS = { min: 2_048, max: 8_192 }
const RSA_EXPONENT_MAX = 2n ** 32n
/** The longest modulus fits, and nothing that is longer by a bit. */
const RSA_MEMBER_MAX_CHARS = Math.ceil(RSA_BITS.max / 6)

/** How long a signature of each algorithm can be, in bytes. */
const SIGNATURE_BYTES: Record<JwkAlg, { min: number; max: number }> = {
  ES256: { min: 64, max: 64 },
  ES384: { min: 96, max: 96 },
  EdDSA: { min: 64, max: 64 },
  PS256: { min: RSA_BITS.min / 8, max: RSA_BITS.max / 8 },
  RS256: { min: RSA_BITS.min / 8, max: RSA_BITS.max / 8 },
}

/** The algorithm of that name, or null when it isn't one of the five. */
export const parseJwkAlg = (value: unknown): JwkAlg | null =>
  typeof value === 'string' && Object.hasOwn(SIGNATURE_BYTES, value) ? (value as JwkAlg) : null

/** Whether a signature could be one by its length alone. */
export const isSignatureLength = (alg: JwkAlg, bytes: number): boolean =>
  bytes >= SIGNATURE_BYTES[alg].min && bytes <= SIGNATURE_BYTES[alg].max

/** A `kid` of 1 to 256 characters, or null. It is compared and nothing else. */
export const parseKid = (value: unknown): string | null =>
  typeof value === 'string' && value !== '' && value.length <= KID_MAX_CHARS ? value : null

const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']

/** Whether a JWK has, or can only have, a part that nobody but its owner may know. */
export const isSecretJwk = (jwk: Members): boolean =>
  jwk.kty === 'oct' || SECRET_MEMBERS.some((name) => Object.hasOwn(jwk, name))

/**
 * The key of a JWK, or null when it can't verify by one of the five algorithms: another kind of key, one for another use, one that
 * its owner revoked (`revoked`, as atproto's own library writes it), one that is spelt loosely, or no key at all.
 */
export function importJwk(jwk: Members): PublicJwk | null {
  const kind = isSecretJwk(jwk) || !isForVerifying(jwk) ? null : kindOf(jwk)
  const algs = kind && algsOf(jwk, kind.algs)
  const fromSec = Object.hasOwn(jwk, 'nbf') ? parseSeconds(jwk.nbf) : 0
  const untilSec = Object.hasOwn(jwk, 'exp') ? parseSeconds(jwk.exp) : Number.POSITIVE_INFINITY
  if (!kind || !algs || fromSec === null || untilSec === null) return null
  const kid = parseKid(jwk.kid)
  if (Object.hasOwn(jwk, 'kid') && kid === null) return null
  const keyObject = keyObjectOf(kind.members)
  return keyObject && { kid, algs, fromSec, untilSec, keyObject }
}

function isForVerifying(jwk: Members): boolean {
  const { use, key_ops: operations, ext } = jwk
  if (Object.hasOwn(jwk, 'use') && use !== 'sig') return false
  if (Object.hasOwn(jwk, 'key_ops') && !isListWithVerify(operations)) return false
  if (Object.hasOwn(jwk, 'ext') && typeof ext !== 'boolean') return false
  return !Object.hasOwn(jwk, 'revoked')
}

/** Others may stand beside it: atproto's own library writes what the curve could do besides. */
const isListWithVerify = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.includes('verify') &&
  value.every((one) => typeof one === 'string') &&
  new Set(value).size === value.length

interface Kind {
  readonly algs: readonly JwkAlg[]
  readonly members: JsonWebKey
}

function kindOf({ kty, crv, x, y, n, e }: Members): Kind | null {
  if (kty === 'EC' && crv === 'P-256' && isBytes(x, 32) && isBytes(y, 32)) {
    return { algs: ['ES256'], members: { kty, crv, x, y } }
  }
  if (kty === 'EC' && crv === 'P-384' && isBytes(x, 48) && isBytes(y, 48)) {
    return { algs: ['ES384'], members: { kty, crv, x, y } }
  }
  if (kty === 'OKP' && crv === 'Ed25519' && isBytes(x, 32)) return { algs: ['EdDSA'], members: { kty, crv, x } }
  if (kty === 'RSA' && isNumber(n) && isNumber(e)) return { algs: ['PS256', 'RS256'], members: { kty, n, e } }
  return null
}

const isBytes = (value: unknown, length: number): value is string =>
  typeof value === 'string' && fromBase64Url(value)?.length === length

/** A positive number in as few bytes as it takes (RFC 7518 §2, Base64urlUInt). */
const isNumber = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= RSA_MEMBER_MAX_CHARS && (fromBase64Url(value)?.[0] ?? 0) !== 0

/** What the key may be used with: all that its kind can do, or the one thing that it names. */
function algsOf(jwk: Members, algs: readonly JwkAlg[]): readonly JwkAlg[] | null {
  if (!Object.hasOwn(jwk, 'alg')) return algs
  const alg = parseJwkAlg(jwk.alg)
  return alg && algs.includes(alg) ? [alg] : null
}

function keyObjectOf(members: JsonWebKey): KeyObject | null {
  try {
    const keyObject = createPublicKey({ key: members, format: 'jwk' })
    const { modulusLength: bits, publicExponent = 0n } = keyObject.asymmetricKeyDetails ?? {}
    if (bits === undefined) return keyObject
    const isSound = publicExponent > 2n && publicExponent < RSA_EXPONENT_MAX && publicExponent % 2n === 1n
    return isSound && bits >= RSA_BITS.min ? keyObject : null
  } catch {
    // A point beside its curve.
    return null
  }
}

/** Whether `signature` over `message` is by `key` with `alg`, which must be one of the key's. Never throws. */
export function verifyByJwk(key: PublicJwk, alg: JwkAlg, message: Uint8Array, signature: Uint8Array): boolean {
  if (!key.algs.includes(alg) || !isSignatureLength(alg, signature.length)) return false
  try {
    return HOLDS[alg](key.keyObject, message, signature)
  } catch {
    return false
  }
}

type Holds = (key: KeyObject, message: Uint8Array, signature: Uint8Array) => boolean

/** r‖s as JWS has it (RFC 7518 §3.4), either S; OpenSSL refuses numbers out of range. */
const ecdsa =
  (hash: 'sha256' | 'sha384'): Holds =>
  (key, message, signature) =>
    opensslVerify(hash, message, { key, dsaEncoding: 'ieee-p1363' }, signature)

const HOLDS: Record<JwkAlg, Holds> = {
  ES256: ecdsa('sha256'),
  ES384: ecdsa('sha384'),
  EdDSA: (key, message, signature) => opensslVerify(null, message, key, signature),
  PS256: (key, message, signature) => {
    const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants
    return opensslVerify('sha256', message, { key, padding, saltLength }, signature)
  },
  RS256: (key, message, signature) =>
    opensslVerify('sha256', message, { key, padding: constants.RSA_PKCS1_PADDING }, signature),
}

/** The members that make a key of P-256 a JWK (RFC 7518 §6.2.1). */
export function p256Members(keyObject: KeyObject): { kty: 'EC'; crv: 'P-256'; x: string; y: string } {
  const { kty, crv, x, y } = keyObject.export({ format: 'jwk' })
  if (kty !== 'EC' || crv !== 'P-256' || !x || !y) throw new TypeError('not a public key of P-256')
  return { kty, crv, x, y }
}
