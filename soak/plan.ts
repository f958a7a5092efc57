/** When what happens in a soak of so many minutes: floods, silences of the directory, replacements of the key. */
import type { Plan, Stretch } from './words.ts'

const STALL = { everySec: 300, fromSec: 120, lengthSec: 60 }
const BURST = { everySec: 120, fromSec: 60, lengthSec: 10 }
const ROTATED_EVERY_SEC = 3_600
/** Nothing is replaced while the directory is silent, nor just before. */
const CLEAR_SEC = 10

const NAMES = ['MINUTES', 'EXCHANGES', 'QUESTIONS', 'WRITES', 'CHANGES', 'PAGES', 'HOSTILE', 'BURST'] as const
const DEFAULTS: Readonly<Record<(typeof NAMES)[number], number>> = {
  ...{ MINUTES: 20, EXCHANGES: 20, QUESTIONS: 20, WRITES: 10, CHANGES: 2, PAGES: 2, HOSTILE: 2, BURST: 500 },
}

/** By the variables `SOAK_…`. @throws Error for one that is no number above zero */
export function planOf(environment: Readonly<Record<string, string | undefined>>): Plan {
  const numberOf = (name: (typeof NAMES)[number]): number => {
    const value = Number(environment[`SOAK_${name}`] ?? DEFAULTS[name])
    if (!(value > 0)) throw new Error(`SOAK_${name} is no number above zero`)
    return value
  }
  const minutes = numberOf('MINUTES')
  const seconds = minutes * 60
  const stalls = stretchesOf(STALL, seconds)
  return {
    minutes,
    ...{ exchangesPerSec: numberOf('EXCHANGES'), questionsPerSec: numberOf('QUESTIONS') },
    ...{ writesPerSec: numberOf('WRITES'), changesPerSec: numberOf('CHANGES'), pagesPerSec: numberOf('PAGES') },
    ...{ hostilePerSec: numberOf('HOSTILE'), burstPerSec: numberOf('BURST') },
    stalls,
    bursts: stretchesOf(BURST, seconds),
    rotationsAtSec: rotationsOf(seconds, stalls),
  }
}

function stretchesOf(about: typeof STALL, seconds: number): readonly Stretch[] {
  const stretches: Stretch[] = []
  for (let at = about.fromSec; at < seconds; at += about.everySec) {
    stretches.push({ fromSec: at, toSec: at + about.lengthSec })
  }
  // The last of a run is whole, or it is left out: what it does shows only afterwards.
  return stretches.filter(({ toSec }) => toSec <= seconds)
}

/** In the middle, and each hour of a longer run. */
function rotationsOf(seconds: number, stalls: readonly Stretch[]): readonly number[] {
  const times = seconds < 2 * ROTATED_EVERY_SEC ? [seconds / 2] : []
  if (times.length === 0) for (let at = ROTATED_EVERY_SEC; at < seconds; at += ROTATED_EVERY_SEC) times.push(at)
  return times.map((at) => {
    const within = stalls.find(({ fromSec, toSec }) => at >= fromSec - CLEAR_SEC && at <= toSec)
    return within ? within.toSec + CLEAR_SEC : at
  })
}
