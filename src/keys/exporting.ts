/**
 * A private key on its way out to the people whose community it is: the one document in which it ever stands in usable form, sealed
 * to their own keys before it is handed on.
 *
 * Everything secret is written as bytes into memory off the heap, which is wiped when the file is sealed; no secret is ever a
 * string here. What the sealing library copies can't be wiped by anybody (see `sealTo`).
 */
import type { Did } from '../names.ts'
import { utf8 } from '../platform/bytes.ts'
import type { Curve } from '../platform/ecdsa.ts'
import { type KeyPair, withScalar } from './private-keys.ts'
import { secretBytes } from './secret-bytes.ts'
import { encodeBase64, encodeHex } from './secret-spellings.ts'

/** What stands around the key. Neither part is secret. */
export interface ExportDocument {
  readonly head: string
  readonly tail: string
}

/** A purpose for which the vault opens a key: never at anybody's call, only for what its owners have waited for. */
export interface KeyExportUse {
  readonly kind: 'key-export'
  readonly community: Did
  /** The active rotation key: no other is let out. */
  readonly keyId: string
  /** age recipients, each of whom can open the file alone. */
  readonly recipients: readonly string[]
  readonly document: ExportDocument
}

/** The multicodec prefixes of private keys (varints of 0x1306 and 0x1301), as `did:key` tools write them. */
const PRIVATE_CODEC: Record<Curve, readonly [number, number]> = { p256: [0x86, 0x26], k256: [0x81, 0x26] }
const BASE58 = utf8('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz')
const LINE_FEED = 0x0a
const PEM_LINE_CHARS = 64

/**
 * The whole document as UTF-8: head; the key as 64 hexadecimal characters, as multibase and as PKCS#8 in PEM, each under a line that
 * says which; tail. Synchronous; off the heap; the caller wipes it.
 */
export function exportText(pair: KeyPair, { head, tail }: ExportDocument): Uint8Array {
  const der = pair.privateKey.export({ format: 'der', type: 'pkcs8' })
  try {
    return withScalar(pair, (scalar) => {
      const prefixed = secretBytes(2 + scalar.length)
      prefixed.set(PRIVATE_CODEC[pair.curve])
      prefixed.set(scalar, 2)
      const secrets = [hexOf(scalar), base58Of(prefixed), pemLinesOf(der)]
      const [hex, multibase, pem] = secrets
      try {
        return joined([
          ...[utf8(`${head}\n\nThe private key as 64 hexadecimal characters:\n\n`), hex],
          ...[utf8('\n\nThe same as multibase:\n\nz'), multibase],
          ...[utf8('\n\nThe same as PKCS#8:\n\n-----BEGIN PRIVATE KEY-----\n'), pem],
          utf8(`-----END PRIVATE KEY-----\n\n${tail}`),
        ])
      } finally {
        for (const secret of [prefixed, ...secrets]) secret.fill(0)
      }
    })
  } finally {
    der.fill(0)
  }
}

function joined(parts: readonly (Uint8Array | undefined)[]): Uint8Array {
  const whole = secretBytes(parts.reduce((length, part) => length + (part?.length ?? 0), 0))
  let at = 0
  for (const part of parts) {
    if (!part) continue
    whole.set(part, at)
    at += part.length
  }
  return whole
}

function hexOf(bytes: Uint8Array): Uint8Array {
  const text = secretBytes(bytes.length * 2)
  encodeHex(bytes, text)
  return text
}

/** base58btc, digit by digit, so that no secret becomes a bigint or a string. The first byte isn't zero. */
function base58Of(bytes: Uint8Array): Uint8Array {
  const digits = secretBytes(Math.ceil(bytes.length * 1.4))
  let count = 0
  for (const byte of bytes) {
    let carry = byte
    for (let at = 0; at < count || carry > 0; at += 1) {
      carry += (digits[at] ?? 0) * 256
      digits[at] = carry % 58
      carry = Math.floor(carry / 58)
      count = Math.max(count, at + 1)
    }
  }
  const text = secretBytes(count)
  for (let at = 0; at < count; at += 1) text[at] = BASE58[digits[count - 1 - at] ?? 0] ?? 0
  digits.fill(0)
  return text
}

/** base64 in lines of 64 characters, each ended. */
function pemLinesOf(bytes: Uint8Array): Uint8Array {
  const flat = secretBytes(4 * Math.ceil(bytes.length / 3))
  encodeBase64(bytes, flat)
  const text = secretBytes(flat.length + Math.ceil(flat.length / PEM_LINE_CHARS))
  for (let from = 0, to = 0; from < flat.length; from += PEM_LINE_CHARS) {
    const line = flat.subarray(from, from + PEM_LINE_CHARS)
    text.set(line, to)
    to += line.length
    text[to++] = LINE_FEED
  }
  flat.fill(0)
  return text
}
