/** Public keys as text: `did:key:z…` and the same without its prefix, as `Multikey` entries of DID documents write it. */
import { base58btc } from 'multiformats/bases/base58'
import type { DidKey } from '../names.ts'
import { type Curve, type PublicKey, publicKeyFromPoint } from './ecdsa.ts'

/** The multicodec prefixes of the two curves (varints of 0x1200 and 0xe7). */
const CODEC: Record<Curve, readonly [number, number]> = { p256: [0x80, 0x24], k256: [0xe7, 0x01] }

/** `did:key` text of a compressed point. */
export const didKeyOf = (curve: Curve, compressed: Uint8Array): DidKey =>
  `did:key:${multikeyOf(curve, compressed)}` as DidKey

/** Multibase text of a compressed point: what follows `did:key:`. */
export const multikeyOf = (curve: Curve, compressed: Uint8Array): string =>
  base58btc.encode(Uint8Array.of(...CODEC[curve], ...compressed))

/** The key of a canonical `did:key` over P-256 or secp256k1, or null. */
export function parseDidKey(text: unknown): { didKey: DidKey; key: PublicKey } | null {
  if (typeof text !== 'string' || !text.startsWith('did:key:')) return null
  const key = parseMultikey(text.slice('did:key:'.length))
  return key && { didKey: text as DidKey, key }
}

/** The key of a `publicKeyMultibase` of type `Multikey`, or null when it isn't canonical or not of our two curves. */
export function parseMultikey(text: string): PublicKey | null {
  const bytes = fromMultibase(text)
  if (bytes?.length !== 35) return null
  for (const curve of ['p256', 'k256'] as const) {
    if (bytes[0] === CODEC[curve][0] && bytes[1] === CODEC[curve][1])
      return publicKeyFromPoint(curve, bytes.subarray(2))
  }
  return null
}

/** Bytes of canonical base58btc multibase text of at most 128 characters, or null. Longer text would be slow to decode. */
export function fromMultibase(text: string): Uint8Array | null {
  if (text.length > 128 || !text.startsWith('z')) return null
  try {
    const bytes = base58btc.decode(text)
    return base58btc.encode(bytes) === text ? bytes : null
  } catch {
    return null
  }
}
