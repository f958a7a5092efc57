/**
 * A share on its way to whoever combines: sealed to one ceremony (HPKE, RFC 9180: base mode, P-256, HKDF-SHA256, AES-256-GCM), so that it
 * opens for that ceremony's key and under that ceremony's statement, and for nothing else. The one place that knows the library.
 *
 * `info` is the hash of the statement and the share's x: a share that was caught in one ceremony is worth nothing in another, nor in the place
 * of somebody else's. One context seals one message.
 */
import { Aes256Gcm, CipherSuite, DhkemP256HkdfSha256, HkdfSha256 } from '@hpke/core'
import { fromBase64Url, toBase64Url } from '../platform/bytes.ts'
import { publicKeyFromPoint } from '../platform/ecdsa.ts'
import { type KeyPair, uncompressedPointOf } from './private-keys.ts'
import { secretBytes } from './secret-bytes.ts'
import { SHARE_BYTES, type Share } from './shares.ts'

/** An uncompressed point on P-256: 65 bytes. */
const POINT_BYTES = 65
const TAG_BYTES = 16
/** What a sealed share measures: the sender's point, and the share with its tag. */
const SEALED_BYTES = POINT_BYTES + SHARE_BYTES + TAG_BYTES

/** Whether this has the form of a sealed share. Whether it is one, only the ceremony's key tells. */
export const isSealedShare = (text: string): boolean => fromBase64Url(text)?.length === SEALED_BYTES

const suite = (): CipherSuite =>
  new CipherSuite({ kem: new DhkemP256HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() })

/** Whether this names a key to which a share can be sealed: a point of P-256, uncompressed, in unpadded base64url. */
export const isSealTo = (text: string): boolean => pointOf(text) !== null

function pointOf(text: string): Uint8Array | null {
  const point = fromBase64Url(text)
  const isPoint = point?.length === POINT_BYTES && publicKeyFromPoint('p256', point) !== null
  return isPoint ? point : null
}

const infoOf = (statementHash: Uint8Array, x: number): Uint8Array<ArrayBuffer> => new Uint8Array([...statementHash, x])

/** As one byte says it, without a rest. */
const isX = (x: number): boolean => Number.isInteger(x) && x >= 1 && x <= 255

/**
 * Seals a share for the ceremony of a statement: 113 bytes in unpadded base64url. The caller wipes the share.
 * @throws Error for a `sealTo` that is none, and for what is no share
 */
export async function sealShare(sealTo: string, share: Share, statementHash: Uint8Array): Promise<string> {
  const point = pointOf(sealTo)
  if (!point) throw new Error('no key to seal to')
  if (!isX(share.x) || share.y.length !== SHARE_BYTES) throw new Error('no share to seal')
  const hpke = suite()
  // The library copies what is a part of something longer.
  const y = new Uint8Array(new ArrayBuffer(SHARE_BYTES))
  try {
    y.set(share.y)
    const recipientPublicKey = await hpke.kem.deserializePublicKey(point)
    const { enc, ct } = await hpke.seal({ recipientPublicKey, info: infoOf(statementHash, share.x) }, y.buffer)
    return toBase64Url(new Uint8Array([...new Uint8Array(enc), ...new Uint8Array(ct)]))
  } finally {
    y.fill(0)
  }
}

/** A ceremony's P-256 key as its statement names it. */
export const sealToOf = (pair: KeyPair): string => toBase64Url(uncompressedPointOf(pair))

/**
 * The share that was sealed for this ceremony's key, under this statement and for this x; null for anything else. Off the heap; the caller
 * wipes it.
 */
export async function openShare(
  pair: KeyPair,
  sealed: string,
  { statementHash, x }: { readonly statementHash: Uint8Array; readonly x: number },
): Promise<Share | null> {
  const bytes = fromBase64Url(sealed)
  if (bytes?.length !== SEALED_BYTES || !isX(x)) return null
  const hpke = suite()
  const recipientKey = {
    // The key object itself: from bytes, or without the public half beside it, the library would leave copies of the scalar, one as text.
    privateKey: pair.privateKey.toCryptoKey({ name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits']),
    publicKey: await hpke.kem.deserializePublicKey(uncompressedPointOf(pair)),
  }
  const [enc, ct] = [bytes.slice(0, POINT_BYTES), bytes.slice(POINT_BYTES)]
  try {
    const opened = new Uint8Array(await hpke.open({ recipientKey, enc, info: infoOf(statementHash, x) }, ct))
    const y = secretBytes(SHARE_BYTES)
    y.set(opened)
    opened.fill(0)
    return { x, y }
  } catch {
    return null
  }
}
