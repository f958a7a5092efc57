/**
 * DPoP (RFC 9449), the older of the two proofs of possession: a small JWT, signed for this one request by the holder's key.
 *
 * The key comes inside the proof, so a good proof says only that the sender holds *some* key; its thumbprint is what counts.
 * Nothing of the request's own address enters: `htu` is held against the configured public origin, because a `Host` header
 * says whatever its sender likes. That a proof is used once is for the caller, keyed by thumbprint and `jti`.
 */
import { fromBase64Url, sha256, toBase64Url } from '../platform/bytes.ts'
import { type CompactJws, parseCompactJws } from '../platform/compact-jws.ts'
import { type PublicKey, publicKeyFromPoint, verify } from '../platform/ecdsa.ts'
import { changesMeaning, parseJti, parseSeconds } from '../platform/jwt-claims.ts'
import { DPOP_PROOF_MAX_CHARS } from '../platform/limits.ts'
import { Refusal } from '../refusals.ts'
import { DPOP_PROOF } from './token-classes.ts'

/** A verified proof. `jkt` is the RFC 7638 SHA-256 thumbprint of the holder's key, base64url. */
export interface DpopProof {
  readonly jkt: string
  readonly jti: string
  readonly iatSec: number
}

/** What the proof must have been made for. */
export interface DpopQuestion {
  /** Every DPoP line of the raw request. */
  readonly proofs: readonly string[]
  readonly method: 'POST' | 'GET'
  /** Configured public origin and path of the method; never taken from the request. */
  readonly url: string
  readonly nowSec: number
  /** `absent` on the exchange, where there is no credential yet; else the credential that is shown beside the proof. */
  readonly ath: 'absent' | { readonly credential: string }
}

/**
 * Verifies a proof, everything that is cheap before the signature.
 *
 * In this order: a proof is there (`MissingDpopProof`), once and within its size (`BadDpopProof`); form, `typ`, `alg`, `jwk`
 * (`BadDpopProofSignature`); `iat` is there and not ahead (`BadDpopProofSignature`), not older than 60 s (`DpopProofExpired`),
 * 5 s of skew either way; `jti`, `htm`, `htu`, `ath` (`BadDpopProof`); the signature by the embedded key, high S allowed
 * (`BadDpopProofSignature`).
 *
 * @throws Refusal with one of those codes, nothing else.
 */
export function verifyDpopProof(question: DpopQuestion): DpopProof {
  const jws = requireProof(question.proofs)
  const { key, jkt } = requireHeader(jws.header)
  const iatSec = requireYoung(jws.payload, question.nowSec)
  const jti = requireMadeFor(question, jws.payload)
  if (!verify(key, jws.signingInput, jws.signature, { lowS: false })) throw unsigned('the signature is not by its jwk')
  return { jkt, jti, iatSec }
}

const unsigned = (says: string): Refusal => new Refusal('BadDpopProofSignature', `DPoP: ${says}`)
const unfit = (says: string): Refusal => new Refusal('BadDpopProof', `DPoP: ${says}`)

function requireProof(proofs: readonly string[]): CompactJws {
  const [proof, ...others] = proofs
  if (others.length > 0) throw unfit('send one proof')
  if (!proof) throw new Refusal('MissingDpopProof', 'send a DPoP proof')
  if (proof.length > DPOP_PROOF_MAX_CHARS) throw unfit(`a proof has at most ${DPOP_PROOF_MAX_CHARS} characters`)
  const jws = parseCompactJws(proof, DPOP_PROOF_MAX_CHARS)
  if (!jws) throw unsigned('the proof is not a well-formed compact JWT')
  return jws
}

function requireHeader(header: CompactJws['header']): { key: PublicKey; jkt: string } {
  if (header.typ !== DPOP_PROOF.typ) throw unsigned(`typ must be ${DPOP_PROOF.typ}`)
  if (header.alg !== 'ES256') throw unsigned('alg must be ES256')
  if (changesMeaning(header)) throw unsigned('the header has members that are not taken')
  const holder = parseP256Jwk(header.jwk)
  if (!holder) throw unsigned('jwk must be a public P-256 key')
  return holder
}

/** A public P-256 key and its thumbprint (RFC 7638 §3.2: required members only, in order), or null. */
function parseP256Jwk(jwk: unknown): { key: PublicKey; jkt: string } | null {
  if (!isObject(jwk)) return null
  const { kty, crv, x, y } = jwk
  if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string') return null
  // A private key that travels is no longer its holder's alone.
  if (Object.hasOwn(jwk, 'd') || Object.hasOwn(jwk, 'priv') || !isForSignatures(jwk)) return null
  const [xBytes, yBytes] = [fromBase64Url(x), fromBase64Url(y)]
  if (xBytes?.length !== 32 || yBytes?.length !== 32) return null
  const key = publicKeyFromPoint('p256', Uint8Array.of(4, ...xBytes, ...yBytes))
  return key && { key, jkt: toBase64Url(sha256(JSON.stringify({ crv, kty, x, y }))) }
}

/**
 * Whether the optional members that restrict a key (RFC 7517 §4.2–4.4) allow it to verify ES256, and are spelled soundly. A public
 * key can do nothing but verify, so a list with anything else in it, or with that twice, is no key to other readers.
 */
function isForSignatures(jwk: Readonly<Record<string, unknown>>): boolean {
  const { use, key_ops: operations, alg, ext } = jwk
  if (Object.hasOwn(jwk, 'use') && use !== 'sig') return false
  if (Object.hasOwn(jwk, 'alg') && alg !== 'ES256') return false
  if (Object.hasOwn(jwk, 'ext') && typeof ext !== 'boolean') return false
  if (!Object.hasOwn(jwk, 'key_ops')) return true
  return Array.isArray(operations) && operations.length === 1 && operations[0] === 'verify'
}

/** `iat` within its window. `exp` and `nbf`, which a proof doesn't need, are honoured when they are there. */
function requireYoung(payload: CompactJws['payload'], nowSec: number): number {
  const iatSec = parseSeconds(payload.iat)
  if (iatSec === null) throw unsigned('iat must be whole seconds')
  if (iatSec > nowSec + DPOP_PROOF.skewSec) throw unsigned('iat is in the future')
  const expSec = Object.hasOwn(payload, 'exp') ? parseSeconds(payload.exp) : Number.POSITIVE_INFINITY
  const nbfSec = Object.hasOwn(payload, 'nbf') ? parseSeconds(payload.nbf) : 0
  if (expSec === null || nbfSec === null) throw unsigned('exp and nbf must be whole seconds')
  if (nbfSec > nowSec + DPOP_PROOF.skewSec) throw unsigned('nbf is in the future')
  const isOld = nowSec - iatSec > DPOP_PROOF.ageMaxSec + DPOP_PROOF.skewSec
  if (isOld || nowSec - DPOP_PROOF.skewSec >= expSec) throw new Refusal('DpopProofExpired', 'the DPoP proof is too old')
  return iatSec
}

function requireMadeFor(question: DpopQuestion, payload: CompactJws['payload']): string {
  const jti = parseJti(payload.jti)
  if (!jti) throw unfit('jti must be 1 to 256 characters, without control characters')
  if (payload.htm !== question.method) throw unfit(`htm must be ${question.method}`)
  const target = typeof payload.htu === 'string' ? targetOf(payload.htu) : null
  if (target === null || target !== targetOf(question.url)) throw unfit('htu must be the public address of this method')
  if (question.ath === 'absent') {
    if (Object.hasOwn(payload, 'ath')) throw unfit('ath must be absent when a credential is asked for')
  } else if (payload.ath !== toBase64Url(sha256(question.ath.credential))) {
    throw unfit('ath must be the hash of the credential')
  }
  return jti
}

/**
 * What two addresses must share, or null: scheme and host in lower case, without the scheme's own port, and the exact path;
 * query and fragment cut (RFC 9449 §4.3). No URL parser: those fold backslashes, tabs, dot segments and foreign letters into
 * something that looks right, so that a proof made for elsewhere could pass for one made for us.
 */
function targetOf(url: string): string | null {
  const parts = /^(https?):\/\/([a-z0-9.:[\]-]+)(\/[^?#]*)(?:[?#]|$)/i.exec(url)
  if (!parts) return null
  const [, scheme = '', host = '', path = ''] = parts
  const ownPort = scheme.toLowerCase() === 'https' ? /:443$/ : /:80$/
  return `${scheme.toLowerCase()}://${host.toLowerCase().replace(ownPort, '')}${path}`
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
