/**
 * Keys and signatures that are the same again: a simulated process draws its keys from the seed, and a signature's nonce follows from the key and what is
 * signed (as in RFC 6979, more simply). OpenSSL draws a nonce for each signature, and a community's DID is the hash of a signed operation: with
 * it no two runs would have the same names.
 */

import type { SignKeyObjectInput } from 'node:crypto'
import { createECDH, createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import type { Random } from '../src/platform/random.ts'

/** The order of each group, and an ECPrivateKey (RFC 5915 §3) around its scalar. */
const CURVES = {
  prime256v1: {
    order: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
    sec1: ['30310201010420', 'a00a06082a8648ce3d030107'],
  },
  secp256k1: {
    order: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
    sec1: ['302e0201010420', 'a00706052b8104000a'],
  },
} as const
type CurveName = keyof typeof CURVES

export const isCurve = (name: unknown): name is CurveName => typeof name === 'string' && Object.hasOwn(CURVES, name)

const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const bytesOf = (number: bigint): Buffer => Buffer.from(number.toString(16).padStart(64, '0'), 'hex')
const isScalar = (number: bigint, order: bigint): boolean => number > 0n && number < order

export function drawPair(curve: CurveName, random: Random): { publicKey: KeyObject; privateKey: KeyObject } {
  const { order, sec1 } = CURVES[curve]
  let scalar = random.bytes(32)
  while (!isScalar(numberOf(scalar), order)) scalar = random.bytes(32)
  const key = Buffer.concat([Buffer.from(sec1[0], 'hex'), scalar, Buffer.from(sec1[1], 'hex')])
  const privateKey = createPrivateKey({ key, format: 'der', type: 'sec1' })
  return { privateKey, publicKey: createPublicKey(privateKey) }
}

const scalars = new WeakMap<KeyObject, Uint8Array>()

/** ECDSA with SHA-256, or null for keys and algorithms that are none of ours. */
export function signSame(algorithm: unknown, data: Uint8Array, by: KeyObject | SignKeyObjectInput): Buffer | null {
  const key = 'key' in by ? by.key : by
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (algorithm !== 'sha256' || !isCurve(curve)) return null
  let scalar = scalars.get(key)
  if (!scalar) {
    scalar = new Uint8Array(Buffer.from(String(key.export({ format: 'jwk' }).d), 'base64url'))
    scalars.set(key, scalar)
  }
  const [r, s] = numbersOf(curve, scalar, createHash('sha256').update(data).digest())
  const isPlain = 'key' in by && by.dsaEncoding === 'ieee-p1363'
  return isPlain ? Buffer.concat([bytesOf(r), bytesOf(s)]) : derOf(r, s)
}

function numbersOf(curve: CurveName, scalar: Uint8Array, digest: Uint8Array): readonly [r: bigint, s: bigint] {
  const { order } = CURVES[curve]
  for (let nth = 0; ; nth++) {
    const nonce = numberOf(createHmac('sha256', scalar).update(digest).update(String(nth)).digest())
    if (!isScalar(nonce, order)) continue
    const point = createECDH(curve)
    point.setPrivateKey(bytesOf(nonce))
    const r = numberOf(point.getPublicKey().subarray(1, 33)) % order
    const s = (inverseOf(nonce, order) * (numberOf(digest) + r * numberOf(scalar))) % order
    if (r !== 0n && s !== 0n) return [r, s]
  }
}

function inverseOf(number: bigint, order: bigint): bigint {
  let [low, high, inverse, other] = [number % order, order, 1n, 0n]
  while (low > 1n) {
    const quotient = high / low
    ;[high, low] = [low, high % low]
    ;[other, inverse] = [inverse, other - inverse * quotient]
  }
  return ((inverse % order) + order) % order
}

function derOf(r: bigint, s: bigint): Buffer {
  const integers = [r, s].map((number) => {
    const bytes = bytesOf(number)
    const short = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
    const body = (short[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), short]) : short
    return Buffer.concat([Buffer.of(2, body.length), body])
  })
  const body = Buffer.concat(integers)
  return Buffer.concat([Buffer.of(0x30, body.length), body])
}
