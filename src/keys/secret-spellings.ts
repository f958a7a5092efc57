/**
 * Secrets between bytes and the bytes of their spellings, without ever being a string: what is a string can't be wiped.
 *
 * Callers give the place that is written to, and wipe it. Every decoder takes one spelling, fills the whole place, or says false.
 */

const BASE64 = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
const BASE58 = new TextEncoder().encode('123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz')
const PADDING = 0x3d

/** Base64 with padding, of which `into` is as long as it takes. */
export function encodeBase64(bytes: Uint8Array, into: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3)
    const place = (at / 3) * 4
    const left = bytes.length - at
    into[place] = BASE64[a >> 2] ?? 0
    into[place + 1] = BASE64[((a & 3) << 4) | (b >> 4)] ?? 0
    into[place + 2] = left > 1 ? (BASE64[((b & 15) << 2) | (c >> 6)] ?? 0) : PADDING
    into[place + 3] = left > 2 ? (BASE64[c & 63] ?? 0) : PADDING
  }
}

const HEX = new TextEncoder().encode('0123456789abcdef')

/** Hexadecimal in small letters, of which `into` is as long as it takes. */
export function encodeHex(bytes: Uint8Array, into: Uint8Array): void {
  bytes.forEach((byte, at) => {
    into[at * 2] = HEX[byte >> 4] ?? 0
    into[at * 2 + 1] = HEX[byte & 15] ?? 0
  })
}

/** Hexadecimal of exactly the bytes of `into`, in small or capital letters. */
export function decodeHex(text: Uint8Array, into: Uint8Array): boolean {
  if (text.length !== 2 * into.length) return false
  for (let at = 0; at < into.length; at += 1) {
    const high = hexValue(text[2 * at] ?? 0)
    const low = hexValue(text[2 * at + 1] ?? 0)
    if (high < 0 || low < 0) return false
    into[at] = (high << 4) | low
  }
  return true
}

function hexValue(char: number): number {
  if (char >= 0x30 && char <= 0x39) return char - 0x30
  const letter = char | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1
}

/** Base58 (the Bitcoin alphabet) of a number that just fits into `into` and has no leading zero byte there. */
export function decodeBase58(text: Uint8Array, into: Uint8Array): boolean {
  into.fill(0)
  for (const char of text) {
    let carry = BASE58.indexOf(char)
    if (carry < 0) return false
    for (let at = into.length - 1; at >= 0; at -= 1) {
      carry += 58 * (into[at] ?? 0)
      into[at] = carry & 0xff
      carry >>= 8
    }
    if (carry !== 0) return false
  }
  return into[0] !== 0
}
