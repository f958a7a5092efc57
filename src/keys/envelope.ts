/**
 * The envelope: how a secret lies at rest. AES-256-GCM, bound to its place by everything that names the place.
 *
 *     "RVE1" | suite 0x01 | u32 DEK version | 12-byte nonce | ciphertext | 16-byte tag
 *
 * Each ciphertext says what it is for in its additional data, so a row moved to another key, community, purpose, version or
 * database does not open. The data-encryption key (DEK) of a community is itself sealed the same way under the
 * key-encryption key (KEK), whose id stands in that wrap's data only: changing the KEK means wrapping again, not sealing again.
 *
 * `seal` and `open` are twins, as are `wrapDek` and `unwrapDek`. Opening answers null whatever was wrong, never says what it
 * was, and never gives out a byte that the tag has not vouched for.
 */
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import type { Did, DidKey } from '../names.ts'
import { lengthPrefixed, utf8 } from '../platform/bytes.ts'
import type { Random } from '../platform/random.ts'
import { secretBytes } from './secret-bytes.ts'

/** What a key is for: three are a community's own; by `client` this service proves to a PDS which app it is. */
export type KeyPurpose = 'rotation' | 'space' | 'atproto' | 'client'
/** The keys that come into the world with a community. */
export type FoundedPurpose = Exclude<KeyPurpose, 'client'>
/**
 * What a sealed secret is for: a key; what somebody else gave us to keep (`oauth`: the grants of communities' accounts); or the key that opens
 * the shares of one ceremony (`ceremony`), until that is over.
 */
export type Purpose = KeyPurpose | 'oauth' | 'ceremony'

/** The place of a sealed secret: it opens there and nowhere else. */
export interface Place {
  /** The random name of this database, so that a row of another instance does not open here. */
  readonly instanceId: string
  readonly community: Did
  readonly purpose: Purpose
  /** The name of the row: of a key its id. */
  readonly keyId: string
  readonly dekVersion: number
  /** The public half, or null for a secret that has none. */
  readonly publicKey: DidKey | null
}

/** The place of a wrapped DEK. */
export interface DekPlace {
  readonly instanceId: string
  readonly community: Did
  readonly dekVersion: number
}

/** A DEK or a KEK: 32 bytes. */
export const SYMMETRIC_KEY_BYTES = 32
const MAGIC = utf8('RVE1')
const SUITE_AES_256_GCM = 0x01
const NONCE_AT = MAGIC.length + 1 + 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const OVERHEAD_BYTES = NONCE_AT + NONCE_BYTES + TAG_BYTES

/** Seals `plaintext` for its place under the community's DEK (32 bytes). The caller wipes both. */
export const seal = (dek: Uint8Array, plaintext: Uint8Array, place: Place, random: Random): Uint8Array =>
  encrypt(dek, plaintext, place.dekVersion, placeData(place), random)

/** The secret that was sealed for this place under this DEK, or null. It is off the heap, and the caller wipes it. */
export const open = (dek: Uint8Array, sealed: Uint8Array, place: Place): Uint8Array | null =>
  decrypt(dek, sealed, place.dekVersion, () => placeData(place))

/** Wraps a community's DEK under the KEK that `kekId` names. The caller wipes `dek`. */
export const wrapDek = (kek: KeyObject, kekId: string, dek: Uint8Array, place: DekPlace, random: Random): Uint8Array =>
  encrypt(kek, dek, place.dekVersion, dekData(kekId, place), random)

/** The DEK that was wrapped for this place under this KEK, or null. It is off the heap, and the caller wipes it. */
export function unwrapDek(kek: KeyObject, kekId: string, wrapped: Uint8Array, place: DekPlace): Uint8Array | null {
  if (wrapped.length !== OVERHEAD_BYTES + SYMMETRIC_KEY_BYTES) return null
  return decrypt(kek, wrapped, place.dekVersion, () => dekData(kekId, place))
}

const placeData = (place: Place): Uint8Array =>
  lengthPrefixed(
    'reeve-envelope-v1',
    place.instanceId,
    place.community,
    place.purpose,
    place.keyId,
    u32(place.dekVersion),
    place.publicKey ?? '-',
  )

const dekData = (kekId: string, place: DekPlace): Uint8Array =>
  lengthPrefixed('reeve-dek-v1', place.instanceId, place.community, u32(place.dekVersion), kekId)

function encrypt(
  key: Uint8Array | KeyObject,
  plaintext: Uint8Array,
  version: number,
  data: Uint8Array,
  random: Random,
): Uint8Array {
  const nonce = random.bytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(data)
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return new Uint8Array(Buffer.concat([headerOf(version), nonce, ciphertext, cipher.getAuthTag()]))
}

/**
 * `authTagLength` is not decoration: without it Node takes a tag of four bytes, which a forger can guess. And what `update`
 * returns is unvouched-for until `final` has passed, so it is copied out only then and wiped either way.
 */
function decrypt(
  key: Uint8Array | KeyObject,
  sealed: Uint8Array,
  version: number,
  data: () => Uint8Array,
): Uint8Array | null {
  let unproven: Buffer | undefined
  try {
    if (sealed.length < OVERHEAD_BYTES || !startsWith(sealed, headerOf(version))) return null
    const nonce = sealed.subarray(NONCE_AT, NONCE_AT + NONCE_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(data())
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    unproven = decipher.update(sealed.subarray(NONCE_AT + NONCE_BYTES, sealed.length - TAG_BYTES))
    decipher.final()
    const plaintext = secretBytes(unproven.length)
    plaintext.set(unproven)
    return plaintext
  } catch {
    return null
  } finally {
    unproven?.fill(0)
  }
}

const headerOf = (version: number): Uint8Array => Uint8Array.of(...MAGIC, SUITE_AES_256_GCM, ...u32(version))
const startsWith = (bytes: Uint8Array, start: Uint8Array): boolean => start.every((byte, at) => bytes[at] === byte)

function u32(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw new RangeError('not a 32-bit number')
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}
