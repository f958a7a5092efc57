/** The clock and the timers. Everybody else is handed a clock, so that a test can stand at exactly `exp`. */

import type { DatetimeString } from '@atproto/syntax'

export interface Clock {
  /** Whole seconds since 1970, UTC: what tokens speak. */
  nowSec(): number
  /** Milliseconds since 1970, UTC: what people and logs read. */
  nowMs(): number
  /** Milliseconds on a clock that never steps back, for measuring how long something took. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  nowSec: () => Math.floor(Date.now() / 1000),
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** How long this thread has worked, in milliseconds. While others have the processor it stands still: for what somebody's work cost. */
export function threadBusyMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** An ISO 8601 instant in UTC with milliseconds. */
export const isoOf = (ms: number): DatetimeString => new Date(ms).toISOString() as DatetimeString

/** Milliseconds since 1970 of an ISO 8601 instant, or null. */
export function msOf(iso: string): number | null {
  const ms = Date.parse(iso)
  return Number.isFinite(ms) ? ms : null
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
    if (signal?.aborted) done()
  })
}

/** What `work` comes to, or `late` when that takes longer than `ms`; it goes on then, and nobody hears of it. */
export function withinMs<T>(ms: number, work: Promise<T>): Promise<T | 'late'> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve('late'), ms)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Lets everything else have its turn, for long work in between. */
export const giveWay = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Calls `work` again and again with `pauseMs` between the end of one turn and the start of the next, until stopped. */
export function repeat(work: (signal: AbortSignal) => Promise<void>, pauseMs: number): { stop(): Promise<void> } {
  const ending = new AbortController()
  const turns = (async () => {
    while (!ending.signal.aborted) {
      await work(ending.signal)
      await sleep(pauseMs, ending.signal)
    }
  })()
  return {
    async stop() {
      ending.abort()
      await turns
    },
  }
}

/** A signal that aborts when somebody has waited for so long. */
export const patience = (ms: number): AbortSignal => AbortSignal.timeout(ms)

/** The work's own end, or a rejection as soon as the signal aborts. The work goes on then, and nobody hears how it ends. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    if (signal.aborted) reject(signal.reason)
    work.then(resolve, reject)
  })
}
