/** Bytes and their spellings. Each decoder accepts exactly one spelling of a value, so that no two texts mean the same bytes. */
import { createHash } from 'node:crypto'

const BASE64URL = /^[A-Za-z0-9_-]*$/

/** Bytes of canonical, unpadded base64url, or null: no padding, no other alphabet, no white space, no stray trailing bits. */
export function fromBase64Url(text: string): Uint8Array | null {
  if (!BASE64URL.test(text) || text.length % 4 === 1) return null
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : null
}

export const toBase64Url = (bytes: Uint8Array | string): string =>
  Buffer.from(bytes as Uint8Array).toString('base64url')

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Text of UTF-8 bytes, or null when they are not UTF-8. A byte order mark is kept, so that it can't hide. */
export function fromUtf8(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

export const sha256 = (...parts: (Uint8Array | string)[]): Uint8Array => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return new Uint8Array(hash.digest())
}

/** A short name for a text of any length, by which it is remembered. */
export const hashName = (text: string): string => createHash('sha256').update(text).digest('base64')

/** Joins parts so that no two lists of parts give the same bytes: each part behind its length in two bytes. */
export function lengthPrefixed(...parts: (Uint8Array | string)[]): Uint8Array {
  const chunks: Uint8Array[] = []
  for (const part of parts) {
    const bytes = typeof part === 'string' ? utf8(part) : part
    if (bytes.length > 0xffff) throw new RangeError('part longer than 65535 bytes')
    chunks.push(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes)
  }
  return new Uint8Array(Buffer.concat(chunks))
}
