/**
 * Two Reeves in a world of which the seed says everything: the same seed is the same world to the last statement, some seeds hold, and each thing that could be
 * wrong with a house is found. Many seeds are `npm run test:simulation`.
 */
import { describe, expect, it } from 'vitest'
import { ruleOf } from '../../simulation/judge.ts'
import { PLANTS, type PlantName } from '../../simulation/plants.ts'
import { type Run, simulate } from '../../simulation/run.ts'
import { SEEDS } from '../../simulation/seeds.ts'

const FIRST = 1_000
const SHORT_MS = 3_000
/** In worlds of this length, within so many seeds, each planted fault is found: one that shows only where somebody is to be told needs the time for it. */
const PLANTED_MS = 10_000
const SEEDS_MAX = 5

describe('a seed', () => {
  it('is the same world again, to the last statement and the last answer', async () => {
    const [one, again] = [
      await simulate({ seed: FIRST, lastsMs: SHORT_MS }),
      await simulate({ seed: FIRST, lastsMs: SHORT_MS }),
    ]
    expect(again).toEqual(one)
    expectWell(one)
  })

  it('of its own is another world', async () => {
    const [one, another] = [
      await simulate({ seed: FIRST + 1, lastsMs: 1 }),
      await simulate({ seed: FIRST + 2, lastsMs: 1 }),
    ]
    expect(another.print).not.toBe(one.print)
  })

  it.each(SEEDS.map(({ seed }) => seed))('that found something holds: %d', async (seed) => {
    expect((await simulate({ seed })).faults).toEqual([])
  })
})

/** It holds, and not because nothing happened. */
function expectWell({ faults, looked, done, asked }: Run): void {
  expect(faults).toEqual([])
  for (const rule of ['Durable', 'Fresh', 'Once', 'Chain', 'Named', 'Live'])
    expect(looked[rule], rule).toBeGreaterThan(0)
  expect(Object.keys(done).length).toBeGreaterThan(3)
  expect(asked['exchange: ok'] ?? 0).toBeGreaterThan(0)
}

describe('what is wrong with a house is found', () => {
  it.each([
    ['forgetsTokens', 'Once'],
    ['losesRemovals', 'Durable'],
    ['swallowsWrites', 'Monotone'],
    ['changesLog', 'Chain'],
    ['breaksStatements', 'Named'],
    ['tellsNobody', 'Live'],
  ] satisfies [PlantName, string][])('%s, by %s', async (name, rule) => {
    const found = new Set<string | null>()
    for (let nth = 0; nth < SEEDS_MAX && !found.has(rule); nth++) {
      const { faults } = await simulate({ seed: FIRST + nth, lastsMs: PLANTED_MS, plant: PLANTS[name] })
      for (const fault of faults) found.add(ruleOf(fault))
    }
    expect([...found]).toContain(rule)
  })
})
