/**
 * Private keys, alive: made, taken in, used for one signature, handed to the envelope as bytes for a moment.
 *
 * A private key lives as a `KeyObject`, in OpenSSL's memory and not in JavaScript's. Bytes of one exist only inside
 * `withScalar`, `importPrivateKey` and `signOnce`, off the heap, and are wiped before those return. Never text: neither hexadecimal nor
 * base64 nor JSON of a secret can be wiped again.
 */
import {
  createPrivateKey,
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  sign as opensslSign,
} from 'node:crypto'
import type { DidKey } from '../names.ts'
import { type Curve, compactLowS, compressedPointOf } from '../platform/ecdsa.ts'
import { didKeyOf } from '../platform/multikey.ts'
import { secretBytes } from './secret-bytes.ts'

/** A live private key and the name of its public half. */
export interface KeyPair {
  readonly curve: Curve
  readonly didKey: DidKey
  readonly privateKey: KeyObject
}

const SCALAR_BYTES = 32
const NAMED_CURVE: Record<Curve, string> = { p256: 'prime256v1', k256: 'secp256k1' }
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

/** An ECPrivateKey (RFC 5915 §3) up to its scalar, as we write it: without the public half, which OpenSSL computes. */
const SEC1: Record<Curve, { head: Uint8Array; tail: Uint8Array }> = {
  p256: { head: hex('30310201010420'), tail: hex('a00a06082a8648ce3d030107') },
  k256: { head: hex('302e0201010420'), tail: hex('a00706052b8104000a') },
}
/** Where the scalar stands in the ECPrivateKey that OpenSSL writes: behind a length, the version 1 and its own tag. */
const SCALAR_AT = 7
const SCALAR_MARK = hex('0201010420')

/** Scalars run from 1 up to just below the order of the group. Compared as bytes, so that no secret becomes a bigint. */
const ORDER: Record<Curve, Uint8Array> = {
  p256: hex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'),
  k256: hex('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'),
}

/** A new key pair, by OpenSSL's own source of chance. */
export function makeKeyPair(curve: Curve): KeyPair {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: NAMED_CURVE[curve] })
  return pairOf(curve, privateKey)
}

/**
 * The key pair of a 32-byte big-endian scalar, or null when the bytes are no private key of the curve. The public half is
 * computed, never taken from anybody's word. The caller wipes `scalar`.
 */
export function importPrivateKey(curve: Curve, scalar: Uint8Array): KeyPair | null {
  return lendSec1(curve, scalar, (der) => pairOf(curve, createPrivateKey(der)))
}

/**
 * As `signCompact`, by a scalar that is to be gone at once. A key object keeps its key until it is collected, and so does what Node makes for
 * its one-shot `sign`; this way of signing lets go of it when it returns.
 * Null when the bytes are no private key of the curve. Whoever calls looks whose signature it is. The caller wipes `scalar`.
 */
export function signOnce(curve: Curve, scalar: Uint8Array, message: Uint8Array): Uint8Array | null {
  return lendSec1(curve, scalar, (der) => compactLowS(curve, createSign('sha256').update(message).sign(der)))
}

/** What OpenSSL reads of a private key. */
interface Sec1 {
  readonly key: Buffer
  readonly format: 'der'
  readonly type: 'sec1'
}

/** Lends the ECPrivateKey of a scalar to `use`, which must not keep it. Null when there is none, or `use` throws over it. */
function lendSec1<T>(curve: Curve, scalar: Uint8Array, use: (der: Sec1) => T): T | null {
  if (!isScalarOf(curve, scalar)) return null
  const { head, tail } = SEC1[curve]
  const der = secretBytes(head.length + SCALAR_BYTES + tail.length)
  try {
    der.set(head)
    der.set(scalar, head.length)
    der.set(tail, head.length + SCALAR_BYTES)
    return use({ key: Buffer.from(der.buffer, der.byteOffset, der.length), format: 'der', type: 'sec1' })
  } catch {
    return null
  } finally {
    der.fill(0)
  }
}

/** Lends the key's 32-byte scalar to `use`, which must neither keep nor await it: it is wiped when `use` returns. */
export function withScalar<T>(pair: KeyPair, use: (scalar: Uint8Array) => T): T {
  const der = pair.privateKey.export({ format: 'der', type: 'sec1' })
  const scalar = secretBytes(SCALAR_BYTES)
  try {
    if (SCALAR_MARK.some((byte, at) => der[at + 2] !== byte))
      throw new Error('OpenSSL wrote a private key in another form')
    scalar.set(der.subarray(SCALAR_AT, SCALAR_AT + SCALAR_BYTES))
    return use(scalar)
  } finally {
    der.fill(0)
    scalar.fill(0)
  }
}

/** ECDSA with SHA-256 over `message`: 64 bytes r‖s with a low S, the only form that PLC and atproto tokens take. */
export const signCompact = (pair: KeyPair, message: Uint8Array): Uint8Array =>
  compactLowS(pair.curve, opensslSign('sha256', message, pair.privateKey))

/** The public half as an uncompressed SEC1 point, 65 bytes. */
export const uncompressedPointOf = ({ privateKey }: KeyPair): Uint8Array =>
  new Uint8Array(createPublicKey(privateKey).export({ format: 'der', type: 'spki' })).slice(-65)

const pairOf = (curve: Curve, privateKey: KeyObject): KeyPair => ({
  curve,
  didKey: didKeyOf(curve, compressedPointOf(createPublicKey(privateKey))),
  privateKey,
})

/** OpenSSL takes zero and numbers past the order without a word, and answers with a public key that is none. */
function isScalarOf(curve: Curve, scalar: Uint8Array): boolean {
  return scalar.length === SCALAR_BYTES && scalar.some((byte) => byte !== 0) && Buffer.compare(scalar, ORDER[curve]) < 0
}
