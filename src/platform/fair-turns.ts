/**
 * A bounded number of things at once, shared by many so that none of them takes more than it leaves: whoever comes next finds a place, however
 * many others hold theirs for as long as they may. And a bounded line of those who wait. Whoever gives up leaves it.
 */
import type { Counted } from './sizes.ts'

export interface FairTurns {
  /**
   * Resolves when it is this one's turn, to the function that ends the turn; calling it twice is as good as once.
   * Rejects when `signal` aborts first, or at once when their line is full.
   */
  take(who: string, signal: AbortSignal): Promise<() => void>
}

export interface FairLimits {
  readonly atOnce: number
  /** At once, and in the line, of one of them. */
  readonly ofOne: number
  readonly waitingOfOne: number
  readonly waitingMax: number
}

interface Waiting {
  readonly who: string
  readonly start: () => void
}

export function openFairTurns({ atOnce, ofOne, waitingOfOne, waitingMax }: FairLimits, counted?: Counted): FairTurns {
  let running = 0
  const runningOf = new Map<string, number>()
  const waitingOf = new Map<string, number>()
  /** In order of arrival. A set, so that leaving the middle of a long line is cheap. */
  const line = new Set<Waiting>()
  counted?.(atOnce + waitingMax, () => running + line.size)

  const may = (who: string): boolean => {
    const own = runningOf.get(who) ?? 0
    return own < ofOne && own < atOnce - running
  }

  function begin(who: string): () => void {
    running += 1
    count(runningOf, who, 1)
    let hasEnded = false
    return () => {
      if (hasEnded) return
      hasEnded = true
      running -= 1
      count(runningOf, who, -1)
      for (const one of line) if (may(one.who)) one.start()
    }
  }

  return {
    take(who, signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        // Nobody is in the line who may go, so nobody is passed.
        if (may(who)) return resolve(begin(who))
        if (line.size >= waitingMax || (waitingOf.get(who) ?? 0) >= waitingOfOne) {
          return reject(new Error('too many in the line'))
        }
        const leave = () => {
          line.delete(waiting)
          count(waitingOf, who, -1)
          signal.removeEventListener('abort', giveUp)
        }
        const giveUp = () => {
          leave()
          reject(signal.reason)
        }
        const start = () => {
          leave()
          resolve(begin(who))
        }
        const waiting = { who, start }
        line.add(waiting)
        count(waitingOf, who, 1)
        signal.addEventListener('abort', giveUp, { once: true })
      })
    },
  }
}

/** Names that count nothing are forgotten: strangers can make up any number. */
function count(of: Map<string, number>, who: string, by: 1 | -1): void {
  const now = (of.get(who) ?? 0) + by
  if (now === 0) of.delete(who)
  else of.set(who, now)
}
