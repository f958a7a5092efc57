/** TIDs, held against those of the reference's own library. */
import { TID } from '@atproto/common-web'
import { isValidTid } from '@atproto/syntax'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { microsOf, tidOf } from '../../src/platform/tid.ts'

const micros = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const clock = fc.integer({ min: 0, max: 1_023 })

describe('a TID', () => {
  it('is what the reference’s library makes of the same instant and clock', () => {
    fc.assert(
      // Of earlier instants, before 2005, the library makes something shorter.
      fc.property(fc.integer({ min: 2 ** 50, max: Number.MAX_SAFE_INTEGER }), clock, (at, id) => {
        expect(tidOf(at, id)).toBe(TID.fromTime(at, id).toString())
      }),
    )
  })

  it('is a TID to the reference’s library, and says the instant that it was made of', () => {
    fc.assert(
      fc.property(micros, clock, (at, id) => {
        const tid = tidOf(at, id)
        expect(tid).toHaveLength(13)
        expect(isValidTid(tid)).toBe(true)
        expect(microsOf(tid)).toBe(at)
      }),
    )
  })

  it('is in its place as text: first by the instant, then by the clock', () => {
    fc.assert(
      fc.property(micros, clock, micros, clock, (at, id, otherAt, otherId) => {
        const isBefore = at < otherAt || (at === otherAt && id < otherId)
        expect(tidOf(at, id) < tidOf(otherAt, otherId)).toBe(isBefore)
      }),
    )
  })

  it('of the next microsecond is the next one, up to the last that a number holds', () => {
    for (const at of [0, 1, 31, 32, 1_795_161_872_978_000, Number.MAX_SAFE_INTEGER - 1]) {
      expect(tidOf(at + 1) > tidOf(at, 1_023)).toBe(true)
      expect(microsOf(tidOf(at + 1))).toBe(at + 1)
    }
  })

  it.each(['', '3n2q4swd7dc2', '3n2q4swd7dc2jj', '3N2Q4SWD7DC2J', '3n2q4swd7dc2!', '0n2q4swd7dc2j', 'zzzzzzzzzzzzz'])(
    'is not “%s”',
    (text) => {
      expect(microsOf(text)).toBeNull()
    },
  )

  it('as the reference was seen to send it is of November 2026', () => {
    expect(new Date((microsOf('3n2q4swd7dc2j') ?? 0) / 1000).toISOString()).toMatch(/^2026-11-/)
  })
})
