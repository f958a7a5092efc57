/** How a check answered, as one word; and texts that were tampered with. */
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Db } from '../../src/platform/database.ts'
import { Refusal, type RefusalCode } from '../../src/refusals.ts'
import { everythingIn } from './roll.ts'

export type Verdict = 'accepted' | RefusalCode

/** `accepted`, or the code of the refusal. Anything else that is thrown is a fault of ours, and is thrown on. */
export async function verdictOf(work: () => unknown): Promise<Verdict> {
  try {
    await work()
    return 'accepted'
  } catch (error) {
    if (error instanceof Refusal) return error.code
    throw error
  }
}

/** How a change was answered that must leave nothing behind but an entry in the log. */
export async function tracelessRefusalOf(db: Db, change: () => Promise<unknown>): Promise<Verdict> {
  const { audit_entry: _before, ...before } = await everythingIn(db)
  const verdict = await verdictOf(change)
  const { audit_entry: _after, ...after } = await everythingIn(db)
  expect(after).toEqual(before)
  return verdict
}

const CHARS = [...'ABCabc019-_.=+/ "\n\0\u00e9']

/** `text` with one to three characters changed, dropped, doubled or put in; sometimes by chance still the same text. */
export const spoilt = (text: string): fc.Arbitrary<string> => {
  const place = fc.nat({ max: text.length - 1 })
  const edit = fc.tuple(fc.constantFrom('change', 'drop', 'double', 'insert'), place, fc.constantFrom(...CHARS))
  return fc.array(edit, { minLength: 1, maxLength: 3 }).map((edits) =>
    edits.reduce((now, [kind, at, char]) => {
      const [before, here, after] = [now.slice(0, at), now.slice(at, at + 1), now.slice(at + 1)]
      if (kind === 'change') return before + char + after
      if (kind === 'drop') return before + after
      return kind === 'double' ? before + here + here + after : before + char + here + after
    }, text),
  )
}

/** `bytes` with one bit turned over. */
export function withBitFlipped(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(bytes)
  flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return flipped
}
