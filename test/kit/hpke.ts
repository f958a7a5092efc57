/**
 * HPKE (RFC 9180), base mode, DHKEM(P-256, HKDF-SHA256) and HKDF-SHA256, one message: written from the RFC with `node:crypto` alone, as
 * anybody's own tool would do it.
 */
import { createCipheriv, createDecipheriv, createECDH, createHmac } from 'node:crypto'

/** AES-GCM by its key's length: 1 is AES-128-GCM, 2 is AES-256-GCM. */
export type Aead = 1 | 2
const KEY_BYTES = { 1: 16, 2: 32 } as const

const i2osp = (number: number, length: number): Buffer =>
  Buffer.from(number.toString(16).padStart(2 * length, '0'), 'hex')
const hmac = (key: Uint8Array, ...parts: Uint8Array[]): Buffer =>
  createHmac('sha256', key).update(Buffer.concat(parts)).digest()

const KEM = Buffer.concat([Buffer.from('KEM'), i2osp(0x0010, 2)])
const suiteOf = (aead: Aead): Buffer =>
  Buffer.concat([Buffer.from('HPKE'), i2osp(0x0010, 2), i2osp(1, 2), i2osp(aead, 2)])

const extract = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Buffer =>
  hmac(salt, Buffer.from('HPKE-v1'), suite, Buffer.from(label), ikm)

/** Of at most 32 bytes: one round of HKDF's expansion. */
const expand = (suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, length: number): Buffer =>
  hmac(prk, i2osp(length, 2), Buffer.from('HPKE-v1'), suite, Buffer.from(label), info, Uint8Array.of(1)).subarray(
    0,
    length,
  )

function keysOf(aead: Aead, shared: Uint8Array, info: Uint8Array): { readonly key: Buffer; readonly nonce: Buffer } {
  const suite = suiteOf(aead)
  const none = new Uint8Array(0)
  const pskIdHash = extract(suite, none, 'psk_id_hash', none)
  const context = Buffer.concat([Uint8Array.of(0), pskIdHash, extract(suite, none, 'info_hash', info)])
  const secret = extract(suite, shared, 'secret', none)
  return {
    key: expand(suite, secret, 'key', context, KEY_BYTES[aead]),
    nonce: expand(suite, secret, 'base_nonce', context, 12),
  }
}

/** What both sides share: of one's scalar, the other's point, and both points in the order sender, recipient. */
function sharedOf(scalar: Uint8Array, other: Uint8Array, points: readonly Uint8Array[]): Buffer {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(scalar)
  const prk = extract(KEM, new Uint8Array(0), 'eae_prk', ecdh.computeSecret(other))
  return expand(KEM, prk, 'shared_secret', Buffer.concat(points), 32)
}

const pointOf = (scalar: Uint8Array): Buffer => {
  const ecdh = createECDH('prime256v1')
  ecdh.setPrivateKey(scalar)
  return ecdh.getPublicKey()
}

interface About {
  readonly info: Uint8Array
  readonly aad?: Uint8Array
  readonly aead?: Aead
}

const cipherOf = (aead: Aead) => (aead === 1 ? 'aes-128-gcm' : 'aes-256-gcm')

/** The sender's point, the ciphertext and its tag. `sender`: the scalar of the sender's one-time key. */
export function hpkeSeal(recipient: Uint8Array, plaintext: Uint8Array, sender: Uint8Array, about: About): Buffer {
  const { info, aad = new Uint8Array(0), aead = 2 } = about
  const enc = pointOf(sender)
  const { key, nonce } = keysOf(aead, sharedOf(sender, recipient, [enc, recipient]), info)
  const cipher = createCipheriv(cipherOf(aead), key, nonce).setAAD(aad)
  return Buffer.concat([enc, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** What was sealed to the key of a scalar. @throws Error for anything else */
export function hpkeOpen(scalar: Uint8Array, sealed: Uint8Array, about: About): Buffer {
  const { info, aad = new Uint8Array(0), aead = 2 } = about
  const [enc, ct, tag] = [sealed.subarray(0, 65), sealed.subarray(65, -16), sealed.subarray(-16)]
  const { key, nonce } = keysOf(aead, sharedOf(scalar, enc, [enc, pointOf(scalar)]), info)
  const decipher = createDecipheriv(cipherOf(aead), key, nonce).setAAD(aad).setAuthTag(tag)
  return Buffer.concat([decipher.update(ct), decipher.final()])
}
