/** A bounded number of things at once, and a bounded line of those who wait. Whoever gives up leaves the line. */
import type { Counted } from './sizes.ts'

export interface Turns {
  /**
   * Resolves when it is the caller's turn, to the function that ends the turn; calling it twice is as good as once.
   * Rejects when `signal` aborts first, or at once when the line is full.
   */
  take(signal: AbortSignal): Promise<() => void>
}

export function openTurns(limits: { atOnce: number; waitingMax: number }, counted?: Counted): Turns {
  let running = 0
  /** In order of arrival. A set, so that leaving the middle of a long line is cheap. */
  const waiting = new Set<() => void>()
  counted?.(limits.atOnce + limits.waitingMax, () => running + waiting.size)

  const begin = () => {
    running++
    let ended = false
    return () => {
      if (ended) return
      ended = true
      running--
      const [next] = waiting
      next?.()
    }
  }

  return {
    take(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        if (running < limits.atOnce) return resolve(begin())
        if (waiting.size >= limits.waitingMax) return reject(new Error('too many in the line'))
        const leave = () => {
          waiting.delete(start)
          reject(signal.reason)
        }
        const start = () => {
          waiting.delete(start)
          signal.removeEventListener('abort', leave)
          resolve(begin())
        }
        waiting.add(start)
        signal.addEventListener('abort', leave, { once: true })
      })
    },
  }
}
