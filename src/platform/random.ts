/** Chance. Everybody else is handed a source, so that a test can know what comes. */
import { randomBytes } from 'node:crypto'

export interface Random {
  bytes(count: number): Uint8Array
}

export const systemRandom: Random = {
  bytes: (count) => {
    // A copy out of Node's shared pool: a view of the pool would let one reader of the buffer see its neighbours.
    const bytes = new Uint8Array(count)
    bytes.set(randomBytes(count))
    return bytes
  },
}

/** `count` random bytes in lower-case hexadecimal. */
export const randomHex = (random: Random, count: number): string => Buffer.from(random.bytes(count)).toString('hex')

const TID_ALPHABET = '234567abcdefghijklmnopqrstuvwxyz'

/** A fresh TID: 53 bits of microseconds and 10 random bits, thirteen characters whose string order is time order. */
export function freshTid(nowMs: number, random: Random): string {
  const [high = 0, low = 0, extra = 0, more = 0] = random.bytes(4)
  const micros = BigInt(nowMs) * 1000n + BigInt(((high << 8) | low) % 1000)
  let value = (micros << 10n) | BigInt(((extra << 8) | more) & 0x3ff)
  let text = ''
  for (let i = 0; i < 13; i++) {
    text = TID_ALPHABET.charAt(Number(value & 31n)) + text
    value >>= 5n
  }
  return text
}
