/**
 * ECDSA over P-256 and secp256k1 with SHA-256: public keys and verification, by OpenSSL through `node:crypto`.
 *
 * Signatures travel as 64 bytes r‖s. OpenSSL is given DER, because its r‖s route costs a third more per P-256 operation
 * (Node 24, OpenSSL 3.5). OpenSSL neither makes nor demands low-S signatures; both are done here.
 * Who may call `verify` is a rule of the house, kept by a test: only rooms that verify tokens, documents and proofs.
 */
import { createPublicKey, type KeyObject, verify as opensslVerify } from 'node:crypto'

export type Curve = 'p256' | 'k256'

/** A public key on its curve. `compressed` is the SEC1 point, 33 bytes. */
export interface PublicKey {
  readonly curve: Curve
  readonly compressed: Uint8Array
  readonly keyObject: KeyObject
}

const ORDER: Record<Curve, bigint> = {
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}
const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))
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
 * `lowS: true` refuses the high-S twin, as atproto does for every signature by a DID's key; `false` is for DPoP proofs,
 * client attestations and HTTP signatures, which browsers make high-S half of the time.
 * Never throws: whatever is not a good signature is false.
 */
export function verify(key: PublicKey, message: Uint8Array, signature: Uint8Array, rule: { lowS: boolean }): boolean {
  const der = derOf(key.curve, signature, rule)
  if (!der) return false
  try {
    return opensslVerify('sha256', message, key.keyObject, der)
  } catch {
    return false
  }
}

/** DER of a 64-byte signature, or null when r or s is out of range, or s is high and must not be. */
function derOf(curve: Curve, signature: Uint8Array, rule: { lowS: boolean }): Uint8Array | null {
  if (signature.length !== 64) return null
  const r = toBigInt(signature.subarray(0, 32))
  const s = toBigInt(signature.subarray(32))
  const order = ORDER[curve]
  if (r === 0n || s === 0n || r >= order || s >= order) return null
  if (rule.lowS && s > order >> 1n) return null
  const body = [...derInteger(signature.subarray(0, 32)), ...derInteger(signature.subarray(32))]
  return Uint8Array.of(0x30, body.length, ...body)
}

/** r‖s with a low S, from the DER that OpenSSL makes. */
export function compactLowS(curve: Curve, der: Uint8Array): Uint8Array {
  const rLength = der[3] ?? 0
  const r = toBigInt(der.subarray(4, 4 + rLength))
  const s = toBigInt(der.subarray(6 + rLength))
  const order = ORDER[curve]
  const signature = new Uint8Array(64)
  signature.set(to32Bytes(r), 0)
  signature.set(to32Bytes(s > order >> 1n ? order - s : s), 32)
  return signature
}

function derInteger(bytes: Uint8Array): number[] {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const trimmed = Array.from(bytes.subarray(start))
  if ((trimmed[0] ?? 0) >= 0x80) trimmed.unshift(0)
  return [0x02, trimmed.length, ...trimmed]
}

const toBigInt = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const to32Bytes = (value: bigint): Uint8Array => hex(value.toString(16).padStart(64, '0'))
