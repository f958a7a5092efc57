/**
 * ECDSA over P-256 and secp256k1 with SHA-256: public keys and verification, by OpenSSL through `node:crypto`, and for
 * secp256k1 by libsecp256k1 where that is installed and proves itself.
 *
 * Signatures travel as 64 bytes r‖s. OpenSSL is given DER, because its r‖s route costs half as much again per P-256 operation
 * (Node 24, OpenSSL 3.5). OpenSSL neither makes nor demands low-S signatures; both are done here. Ranges are judged here too,
 * before either library is asked, so that which of them is in use changes no verdict.
 * Who may call `verify` is a rule of the house, kept by a test: only rooms that verify tokens, documents and proofs.
 */
import { createPublicKey, type KeyObject, verify as opensslVerify } from 'node:crypto'
import { nativeEs256k } from './native-es256k.ts'

export type Curve = 'p256' | 'k256'

/** A public key on its curve. `compressed` is the SEC1 point, 33 bytes. */
export interface PublicKey {
  readonly curve: Curve
  readonly compressed: Uint8Array
  readonly keyObject: KeyObject
}

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
/** The order n of the group, and the first S that is high: half of n, rounded down, and one more. */
const ORDER: Record<Curve, { n: Uint8Array; highS: Uint8Array }> = {
  p256: {
    n: hex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'),
    highS: hex('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9'),
  },
  k256: {
    n: hex('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'),
    highS: hex('7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a1'),
  },
}
/** DER in front of a SubjectPublicKeyInfo's point, for a compressed and for an uncompressed point. */
const SPKI_PREFIX: Record<Curve, { compressed: Uint8Array; uncompressed: Uint8Array }> = {
  p256: {
    compressed: hex('3039301306072a8648ce3d020106082a8648ce3d030107032200'),
    uncompressed: hex('3059301306072a8648ce3d020106082a8648ce3d030107034200'),
  },
  k256: {
    compressed: hex('3036301006072a8648ce3d020106052b8104000a032200'),
    uncompressed: hex('3056301006072a8648ce3d020106052b8104000a034200'),
  },
}

/** The algorithm name that JOSE gives a curve. */
export const JWS_ALG: Record<Curve, 'ES256' | 'ES256K'> = { p256: 'ES256', k256: 'ES256K' }

/** A public key from a SEC1 point of 33 or 65 bytes, or null when the bytes are no point of the curve. */
export function publicKeyFromPoint(curve: Curve, point: Uint8Array): PublicKey | null {
  const first = point[0]
  const isCompressed = point.length === 33 && (first === 2 || first === 3)
  const isUncompressed = point.length === 65 && first === 4
  if (!isCompressed && !isUncompressed) return null
  const prefix = SPKI_PREFIX[curve][isCompressed ? 'compressed' : 'uncompressed']
  try {
    const keyObject = createPublicKey({ key: Buffer.concat([prefix, point]), format: 'der', type: 'spki' })
    return { curve, compressed: isCompressed ? Uint8Array.from(point) : compress(point), keyObject }
  } catch {
    return null
  }
}

/** The compressed form of an uncompressed point (65 bytes). */
export function compress(point: Uint8Array): Uint8Array {
  const parity = (point[64] ?? 0) & 1
  return Uint8Array.of(2 + parity, ...point.subarray(1, 33))
}

/** The SEC1 compressed point of a public `KeyObject` on one of our curves. */
export function compressedPointOf(keyObject: KeyObject): Uint8Array {
  const spki = new Uint8Array(keyObject.export({ format: 'der', type: 'spki' }))
  // OpenSSL writes a key in the form in which it read it: the compressed one is recognised by its length.
  return spki.length < 65 ? spki.slice(-33) : compress(spki.subarray(-65))
}

/**
 * Whether `signature` (64 bytes r‖s) over `message` is by `key`.
 * `lowS: true` refuses the high-S twin, as atproto does for every signature by a DID's key; `false` is for DPoP proofs and
 * HTTP signatures, which browsers make high-S half of the time.
 * Never throws: whatever is not a good signature is false.
 */
export const verify = (key: PublicKey, message: Uint8Array, signature: Uint8Array, rule: { lowS: boolean }): boolean =>
  verifyBy(es256kInUse(), key, message, signature, rule)

/** What verifies on secp256k1. It is given signatures in range, with either S, and never throws. */
export interface Es256k {
  readonly backend: 'native' | 'openssl'
  verify(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean
}

export const OPENSSL_ES256K: Es256k = { backend: 'openssl', verify: opensslHolds }

/** libsecp256k1, or null where it isn't installed or did not prove itself. Proving takes one or two tenths of a second. */
export function openNativeEs256k(): Es256k | null {
  const holds = nativeEs256k((point, message, signature) => {
    const key = publicKeyFromPoint('k256', point)
    return key !== null && isInRange('k256', signature) && opensslHolds(key, message, signature)
  })
  return holds && { backend: 'native', verify: (key, ...signed) => holds(key.compressed, ...signed) }
}

let inUse: Es256k | undefined

/** Chosen when it is first asked for, and the same from then on. */
function es256kInUse(): Es256k {
  inUse ??= openNativeEs256k() ?? OPENSSL_ES256K
  return inUse
}

/** Which back end `verify` uses on secp256k1. The first call chooses it, and takes as long as proving does. */
export const es256kBackend = (): Es256k['backend'] => es256kInUse().backend

/** `verify` with a given back end for secp256k1. */
export function verifyBy(
  es256k: Es256k,
  key: PublicKey,
  message: Uint8Array,
  signature: Uint8Array,
  rule: { lowS: boolean },
): boolean {
  if (!isInRange(key.curve, signature)) return false
  if (rule.lowS && isHighS(key.curve, signature)) return false
  return key.curve === 'k256' ? es256k.verify(key, message, signature) : opensslHolds(key, message, signature)
}

function opensslHolds(key: PublicKey, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return opensslVerify('sha256', message, key.keyObject, derOf(signature))
  } catch {
    return false
  }
}

/** Whether these are 64 bytes, and r and s both from 1 to n − 1. */
function isInRange(curve: Curve, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false
  const { n } = ORDER[curve]
  return !isZero(signature, R) && !isZero(signature, S) && isLess(signature, R, n) && isLess(signature, S, n)
}

const isHighS = (curve: Curve, signature: Uint8Array): boolean => !isLess(signature, S, ORDER[curve].highS)

/** Where r and s stand in a signature: 32 bytes each, big-endian. They are public, and may be compared byte by byte. */
const R = 0
const S = 32

function isZero(signature: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 32; i++) if (signature[i] !== 0) return false
  return true
}

function isLess(signature: Uint8Array, at: number, limit: Uint8Array): boolean {
  for (let i = 0; i < 32; i++) {
    const difference = (signature[at + i] ?? 0) - (limit[i] ?? 0)
    if (difference !== 0) return difference < 0
  }
  return false
}

/** DER of 64 bytes r‖s, neither of them zero. */
function derOf(signature: Uint8Array): Uint8Array {
  const [r, s] = [derIntegerAt(signature, R), derIntegerAt(signature, S)]
  const der = new Uint8Array(6 + r.length + s.length)
  der[0] = 0x30
  der[1] = der.length - 2
  writeInteger(der, 2, signature, r)
  writeInteger(der, 4 + r.length, signature, s)
  return der
}

interface DerInteger {
  /** From its first byte that isn't zero up to its end. */
  readonly from: number
  readonly to: number
  /** One more than the bytes, where the first would be read as a minus. */
  readonly length: number
}

function derIntegerAt(signature: Uint8Array, at: number): DerInteger {
  const to = at + 32
  let from = at
  while (from < to - 1 && signature[from] === 0) from++
  return { from, to, length: to - from + ((signature[from] ?? 0) >> 7) }
}

function writeInteger(der: Uint8Array, at: number, signature: Uint8Array, { from, to, length }: DerInteger): void {
  der[at] = 0x02
  der[at + 1] = length
  der.set(signature.subarray(from, to), at + 2 + length - (to - from))
}

/** r‖s with a low S, from the DER that OpenSSL makes. */
export function compactLowS(curve: Curve, der: Uint8Array): Uint8Array {
  const rLength = der[3] ?? 0
  const signature = new Uint8Array(64)
  alignRight(signature, S, der.subarray(4, 4 + rLength))
  alignRight(signature, signature.length, der.subarray(6 + rLength))
  if (isHighS(curve, signature)) negateS(signature, ORDER[curve].n)
  return signature
}

/** Writes an integer of DER so that it ends at `end`, without the zero that DER puts before a high first bit. */
function alignRight(signature: Uint8Array, end: number, integer: Uint8Array): void {
  const bytes = integer.length > 32 ? integer.subarray(-32) : integer
  signature.set(bytes, end - bytes.length)
}

/** Puts n − s in place of s. */
function negateS(signature: Uint8Array, n: Uint8Array): void {
  let borrow = 0
  for (let i = 31; i >= 0; i--) {
    const difference = (n[i] ?? 0) - (signature[S + i] ?? 0) - borrow
    signature[S + i] = difference
    borrow = difference < 0 ? 1 : 0
  }
}
