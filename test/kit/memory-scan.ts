/**
 * Looks for secrets in the memory of a process (Linux): in this one's own, or in that of one which this one started. A needle comes masked
 * and is never unmasked as a whole, so that the search doesn't find itself.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

export const MASK = 0xa5
const CHUNK_BYTES = 1024 * 1024
/** Longer than any needle: what starts at the end of one chunk is found with the help of the next one's beginning. */
const OVERLAP_BYTES = 256
/** Most memory is pages of nothing, which are told at once. */
const NOTHING = new Uint8Array(4096)

/** Names of needles and what is looked for, each byte masked, in hexadecimal. */
export type Needles = Readonly<Record<string, string>>

export const masked = (bytes: Uint8Array): string => Buffer.from(bytes.map((byte) => byte ^ MASK)).toString('hex')

export interface Counted {
  readonly counts: Record<string, number>
  readonly bytesRead: number
}

/**
 * How often each needle stands in the readable memory of this process. What it reads passes through a buffer that is part of
 * that memory: a number above zero may be one too high, and zero is zero.
 */
export const countInOwnMemory = (needles: Needles): Counted => countInMemoryOf('self', needles)

/** How often each needle stands in the readable memory of a process that this one started. It should have nothing to do meanwhile. */
export function countInMemoryOf(pid: number | 'self', needles: Needles): Counted {
  const wanted = Object.entries(needles).map(([name, hex]) => ({ name, bytes: Buffer.from(hex, 'hex') }))
  const byStart = new Map<number, typeof wanted>()
  for (const needle of wanted) {
    const start = startOf(needle.bytes[0] ?? 0, needle.bytes[1] ?? 0) ^ startOf(MASK, MASK)
    byStart.set(start, [...(byStart.get(start) ?? []), needle])
  }
  const starts = new Uint8Array(0x10000)
  for (const start of byStart.keys()) starts[start] = 1
  const counts = Object.fromEntries(wanted.map(({ name }) => [name, 0]))
  const chunk = new Uint8Array(CHUNK_BYTES + OVERLAP_BYTES)

  // A needle that begins with a zero could begin in a page of nothing.
  const skipsNothing = wanted.every(({ bytes }) => bytes[0] !== MASK)

  /** Counts what starts in the first `length` bytes of the chunk, page by page. */
  function count(length: number, filled: number): void {
    for (let page = 0; page < length; page += NOTHING.length) {
      const end = Math.min(page + NOTHING.length, length)
      const isNothing = Buffer.compare(chunk.subarray(page, end), NOTHING.subarray(0, end - page)) === 0
      if (!isNothing || !skipsNothing) countPage(page, end, filled)
    }
  }

  function countPage(from: number, end: number, filled: number): void {
    for (let at = from; at < end; at++) {
      const start = startOf(chunk[at] ?? 0, chunk[at + 1] ?? 0)
      if (starts[start] === 0) continue
      for (const { name, bytes } of byStart.get(start) ?? []) {
        let same = 0
        while (same < bytes.length && at + same < filled && chunk[at + same] === ((bytes[same] ?? 0) ^ MASK)) same++
        if (same === bytes.length) counts[name] = (counts[name] ?? 0) + 1
      }
    }
  }

  let bytesRead = 0
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const { from, to } of readableRegions(pid)) {
      for (let at = from; at < to; at += CHUNK_BYTES) {
        const filled = readUpTo(memory, chunk, at, Math.min(chunk.length, to - at))
        if (filled === 0) break
        count(Math.min(filled, CHUNK_BYTES), filled)
        chunk.fill(0)
        bytesRead += Math.min(filled, CHUNK_BYTES)
      }
    }
  } finally {
    closeSync(memory)
  }
  return { counts, bytesRead }
}

const startOf = (first: number, second: number): number => (first << 8) | second

function readUpTo(memory: number, into: Uint8Array, at: number, length: number): number {
  try {
    return readSync(memory, into, 0, length, at)
  } catch {
    // Some regions say that they can be read and can't: the kernel's own pages.
    return 0
  }
}

function readableRegions(pid: number | 'self'): { from: number; to: number }[] {
  return readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line) ?? []
      return from && !line.includes('[v') ? [{ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) }] : []
    })
}
