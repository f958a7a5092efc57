/** Contenders that take turns, round for round, so that a busy machine slows all of them. */
import { type Figure, figureOf, median } from './rows.ts'
import { IS_QUICK, ROUNDS } from './settings.ts'

/**
 * What each contender measured in each round. A first round, in which code and caches become warm, doesn't count; a quick run is spared it,
 * and says of itself that its figures mean little.
 */
export async function inTurns<R>(
  contenders: readonly (() => Promise<R>)[],
  rounds = ROUNDS,
): Promise<readonly (readonly R[])[]> {
  const measured = contenders.map((): R[] => [])
  for (let round = IS_QUICK ? 0 : -1; round < rounds; round++) {
    for (const [at, contend] of contenders.entries()) {
      const one = await contend()
      if (round >= 0) measured[at]?.push(one)
    }
  }
  return measured
}

/** A figure whose value is `value` of each round, and whose absolutes are the medians of all the other numbers. */
export const figureOfRounds = <R extends Readonly<Record<string, number>>>(
  about: Parameters<typeof figureOf>[0],
  rounds: readonly R[],
  value: (round: R) => number,
  more: Figure['absolutes'] = {},
): Figure => figureOf(about, rounds.map(value), { ...more, ...mediansOf(rounds) })

/** Of each number by itself. */
export function mediansOf<R extends Readonly<Record<string, number>>>(rounds: readonly R[]): Record<string, number> {
  const names = Object.keys(rounds[0] ?? {})
  return Object.fromEntries(names.map((name) => [name, median(rounds.map((round) => round[name] ?? Number.NaN))]))
}
