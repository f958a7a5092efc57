/** TIDs: thirteen characters whose order as text is their order in time. */
import { isValidTid } from '@atproto/syntax'

const ALPHABET = '234567abcdefghijklmnopqrstuvwxyz'
const CHARS = 13
const CLOCK_BITS = 10n

/** The TID of an instant in microseconds since 1970, and of a clock's number (0 to 1,023). */
export function tidOf(micros: number | bigint, clock = 0): string {
  let value = (BigInt(micros) << CLOCK_BITS) | BigInt(clock)
  let text = ''
  for (let at = 0; at < CHARS; at++) {
    text = ALPHABET.charAt(Number(value & 31n)) + text
    value >>= 5n
  }
  return text
}

/** The microseconds since 1970 that a TID says, or null when it is none. They fit a number without loss. */
export function microsOf(tid: string): number | null {
  if (!isValidTid(tid)) return null
  let value = 0n
  for (const char of tid) value = (value << 5n) | BigInt(ALPHABET.indexOf(char))
  return Number(value >> CLOCK_BITS)
}
