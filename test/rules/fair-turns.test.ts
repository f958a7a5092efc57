/** Turns that many share: who has one, who waits, and who is told that it is no use. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openFairTurns } from '../../src/platform/fair-turns.ts'

const never = new AbortController().signal
const LIMITS = { atOnce: 8, ofOne: 3, waitingOfOne: 4, waitingMax: 6 }
const tick = () => new Promise((resolve) => setImmediate(resolve))

describe('a turn', () => {
  it('is had at once by whoever has fewer than are free, and three at most', async () => {
    const { take } = openFairTurns(LIMITS)
    const had: string[] = []
    for (const who of ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'c', 'c', 'd'])
      void take(who, never).then(() => had.push(who))
    await tick()
    // Of the two that b leaves, c takes the one that leaves one, and d that.
    expect(had).toEqual(['a', 'a', 'a', 'b', 'b', 'b', 'c', 'd'])
  })

  it('that ends goes to the first in the line who may have it', async () => {
    const { take } = openFairTurns(LIMITS)
    const ends = await Promise.all(['a', 'a', 'a'].map((who) => take(who, never)))
    const had: string[] = []
    for (const who of ['a', 'a', 'b']) void take(who, never).then(() => had.push(who))
    await tick()
    expect(had, 'b passes nobody who could have gone').toEqual(['b'])
    ends[0]?.()
    ends[0]?.()
    await tick()
    expect(had, 'one turn, however often it is ended').toEqual(['b', 'a'])
  })

  it('is refused at once where the line is full, of one and of all', async () => {
    const { take } = openFairTurns(LIMITS)
    for (const who of ['a', 'a', 'a', ...'aaaa']) void take(who, never)
    await expect(take('a', never)).rejects.toThrow('too many in the line')
    for (const who of [...'bbb', ...'cd', ...'bb']) void take(who, never)
    await expect(take('b', never)).rejects.toThrow('too many in the line')
  })

  it('isn’t kept for whoever gave up', async () => {
    const { take } = openFairTurns(LIMITS)
    const ends = await Promise.all(['a', 'a', 'a'].map((who) => take(who, never)))
    const ending = new AbortController()
    const gone = take('a', ending.signal)
    const had: string[] = []
    void take('a', never).then(() => had.push('the next'))
    ending.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    await expect(take('a', ending.signal)).rejects.toThrow('enough')
    ends[0]?.()
    await tick()
    expect(had).toEqual(['the next'])
  })
})

it('in any order of taking, ending and giving up, bounds hold, newcomers have a place, and the line moves', async () => {
  const step = fc.record({
    does: fc.constantFrom('take', 'take', 'end', 'give up'),
    who: fc.nat({ max: 6 }),
    which: fc.nat(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { take } = openFairTurns({ ...LIMITS, waitingMax: 100, waitingOfOne: 100 })
      const running: { who: string; end: () => void }[] = []
      const waiting = new Map<AbortController, string>()
      const of = (who: string) => running.filter((one) => one.who === who).length
      for (const { does, who, which } of steps) {
        if (does === 'take') {
          const giving = new AbortController()
          const name = `p${who}`
          waiting.set(giving, name)
          take(name, giving.signal).then(
            (end) => {
              waiting.delete(giving)
              running.push({ who: name, end })
            },
            () => waiting.delete(giving),
          )
        } else if (does === 'end' && running.length > 0) {
          running.splice(which % running.length, 1)[0]?.end()
        } else if (does === 'give up' && waiting.size > 0) {
          ;[...waiting.keys()][which % waiting.size]?.abort(new Error('enough'))
        }
        await tick()
        expect(running.length).toBeLessThanOrEqual(LIMITS.atOnce)
        const free = LIMITS.atOnce - running.length
        for (const name of waiting.values()) {
          expect(of(name) >= LIMITS.ofOne || of(name) >= free, 'nobody waits who could go').toBe(true)
        }
        for (const { who: name } of running) expect(of(name)).toBeLessThanOrEqual(LIMITS.ofOne)
      }
    }),
    { numRuns: 150 },
  )
})
