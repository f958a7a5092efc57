import { describe, expect, it } from 'vitest'
import { SteadyTime } from '../../src/platform/steady-time.ts'

const SETTLES_MS = 400_000
const MINUTE_MS = 60_000

/** A clock on the wall that anybody may set, and time, which goes on. */
function clockOfTheWall() {
  const at = { wallMs: 1_790_000_000_000, monotonicMs: 5_000 }
  const steady = new SteadyTime({ nowMs: () => at.wallMs, monotonicMs: () => at.monotonicMs }, SETTLES_MS)
  return {
    look: () => steady.look(),
    goes(ms: number, wallMs = ms) {
      at.monotonicMs += ms
      at.wallMs += wallMs
    },
    /** A look each minute, as a sweep has one. */
    minutes(count: number, slewMs = 0) {
      return Array.from({ length: count }, () => {
        this.goes(MINUTE_MS, MINUTE_MS + slewMs)
        return steady.look().is
      })
    },
  }
}

describe('the clock', () => {
  it('is relied on when it has gone evenly for as long as something lives', () => {
    const clock = clockOfTheWall()
    expect(clock.look()).toEqual({ is: 'settling' })
    clock.goes(SETTLES_MS - 1)
    expect(clock.look()).toEqual({ is: 'settling' })
    clock.goes(1)
    expect(clock.look()).toEqual({ is: 'steady' })
  })

  it.each([
    ['an hour ahead', 3_600_000],
    ['an hour back', -3_600_000],
    ['as little as counts, ahead', 5_000],
    ['as little as counts, back', -5_000],
  ])('that steps %s isn’t relied on until it has settled, which is told once', (_, byMs) => {
    const clock = clockOfTheWall()
    clock.goes(SETTLES_MS)
    clock.goes(MINUTE_MS, MINUTE_MS + byMs)
    expect(clock.look()).toEqual({ is: 'stepped', byMs })
    expect(clock.minutes(7)).toEqual([...Array(6).fill('settling'), 'steady'])
  })

  it('that is set right again settles anew, so that what is forgotten ended by true time as well', () => {
    const clock = clockOfTheWall()
    clock.goes(SETTLES_MS)
    clock.goes(0, 3_600_000)
    expect(clock.look().is).toBe('stepped')
    expect(clock.minutes(3)).toEqual(Array(3).fill('settling'))
    clock.goes(0, -3_600_000)
    expect(clock.look()).toEqual({ is: 'stepped', byMs: -3_600_000 })
    expect(clock.minutes(7)).toEqual([...Array(6).fill('settling'), 'steady'])
  })

  it('that is slewed is relied on, until what it was slewed by comes to a step', () => {
    const clock = clockOfTheWall()
    clock.goes(SETTLES_MS)
    expect(clock.minutes(166, 30)).toEqual(Array(166).fill('steady'))
    expect(clock.minutes(1, 30)).toEqual(['stepped'])
    expect(clock.minutes(1)).toEqual(['settling'])
  })

  it('that steps by less than counts is relied on', () => {
    for (const byMs of [4_999, -4_999]) {
      const clock = clockOfTheWall()
      clock.goes(SETTLES_MS, SETTLES_MS + byMs)
      expect(clock.look()).toEqual({ is: 'steady' })
    }
  })
})
