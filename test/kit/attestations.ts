/**
 * Apps' keys of every kind that may sign an attestation, and attestations by them, made with `node:crypto` as an app's server would.
 * They are made bad as willingly as good.
 */
import { constants, generateKeyPairSync, type JsonWebKey, type KeyObject, sign } from 'node:crypto'
import type { Did } from '../../src/names.ts'
import { importJwk, type JwkAlg, type PublicJwk } from '../../src/platform/jwk.ts'
import { base64Url, type Changes, freshJti, type Part } from './tokens.ts'

export const CLIENT_ID = 'https://app.example.com/client-metadata.json'

export interface AppKey {
  readonly alg: JwkAlg
  /** The public JWK, with its kid. */
  readonly jwk: JsonWebKey & { readonly kid: string }
  readonly privateJwk: JsonWebKey
  readonly sign: (message: Uint8Array | string) => Uint8Array
}

const PAIRS: Record<JwkAlg, (bits: number) => { privateKey: KeyObject; publicKey: KeyObject }> = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
  PS256: (modulusLength) => generateKeyPairSync('rsa', { modulusLength }),
  RS256: (modulusLength) => generateKeyPairSync('rsa', { modulusLength }),
}

export const ALGS = Object.keys(PAIRS) as JwkAlg[]

/** A key never seen before. `bits` are those of an RSA modulus. */
export function makeAppKey(alg: JwkAlg, kid = `${alg}-1`, bits = 2_048): AppKey {
  const { privateKey, publicKey } = PAIRS[alg](bits)
  return {
    alg,
    jwk: { ...publicKey.export({ format: 'jwk' }), kid },
    privateJwk: privateKey.export({ format: 'jwk' }),
    sign: (message) => signBy(privateKey, alg, typeof message === 'string' ? Buffer.from(message) : message),
  }
}

function signBy(key: KeyObject, alg: JwkAlg, message: Uint8Array): Uint8Array {
  const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants
  if (alg === 'EdDSA') return sign(null, message, key)
  if (alg === 'PS256') return sign('sha256', message, { key, padding, saltLength })
  if (alg === 'RS256') return sign('sha256', message, key)
  return sign(alg === 'ES256' ? 'sha256' : 'sha384', message, { key, dsaEncoding: 'ieee-p1363' })
}

/** The key as the service reads it from the app's key set. */
export function published(key: AppKey, more: Readonly<Record<string, unknown>> = {}): PublicJwk {
  const read = importJwk({ ...key.jwk, ...more })
  if (!read) throw new Error('the key is of no use')
  return read
}

export interface AttestationInput extends Changes {
  readonly key: AppKey
  readonly authority: Did
  readonly nowSec: number
  readonly clientId?: string
  readonly jti?: string
}

/** An attestation as the reference mints it: 60 s from now. */
export function makeAttestation(input: AttestationInput): string {
  const { key, authority, nowSec, clientId = CLIENT_ID, jti = freshJti(), header, payload, signature } = input
  const aud = `${authority}#atproto_space_host`
  const parts = {
    header: textOf({ typ: 'atproto-client-attestation+jwt', alg: key.alg, kid: key.jwk.kid }, header),
    payload: textOf({ iss: clientId, sub: clientId, aud, iat: nowSec, exp: nowSec + 60, jti }, payload),
  }
  const signingInput = `${base64Url(parts.header)}.${base64Url(parts.payload)}`
  return `${signingInput}.${base64Url(signature ?? key.sign(signingInput))}`
}

const textOf = (part: Readonly<Record<string, unknown>>, change: Part = {}): string =>
  typeof change === 'string' ? change : JSON.stringify({ ...part, ...change })
