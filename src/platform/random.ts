/** Chance. Everybody else is handed a source, so that a test can know what comes. */
import { randomBytes } from 'node:crypto'
import { tidOf } from './tid.ts'

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

/**
 * The same, drawn much at a time: asking the system costs more than the bytes. For names that are no secret, since what is drawn lies in
 * memory until it is handed out.
 */
export function drawnAhead(random: Random, size = 4096): Random {
  let drawn: Uint8Array = new Uint8Array()
  return {
    bytes(count) {
      if (count > size) return random.bytes(count)
      if (drawn.length < count) drawn = random.bytes(size)
      const bytes = drawn.slice(0, count)
      drawn = drawn.subarray(count)
      return bytes
    },
  }
}

/** `count` random bytes in lower-case hexadecimal. */
export const randomHex = (random: Random, count: number): string => Buffer.from(random.bytes(count)).toString('hex')

/** A fresh TID: the microseconds of now, of which the last three digits are random, and ten random bits. */
export function freshTid(nowMs: number, random: Random): string {
  const [high = 0, low = 0, extra = 0, more = 0] = random.bytes(4)
  return tidOf(nowMs * 1000 + (((high << 8) | low) % 1000), ((extra << 8) | more) & 0x3ff)
}

const WORD = 0x1_0000_0000

/** Draws whole numbers from 0 up to below another one, each as likely as the next: what would make some likelier is drawn again. */
export const belowBy =
  (random: Random) =>
  (below: number): number => {
    for (;;) {
      const drawn = new DataView(random.bytes(4).buffer).getUint32(0)
      if (drawn < WORD - (WORD % below)) return drawn % below
    }
  }
