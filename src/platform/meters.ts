/** What is counted while the service runs, for whoever watches it by night. Counting costs next to nothing, and where nobody watches, nothing. */
import type { LogLevel } from './log.ts'

/** Something that waits to be done, over all communities: how many there are, and since when the oldest waits. */
export interface Waiting {
  readonly count: number
  /** Milliseconds since 1970; null when nothing waits. */
  readonly oldestAtMs: number | null
}

/**
 * Each name that is handed in comes from a list that stands in the code: ways in, refusals, events, workers. Never anything of a caller's,
 * since every name is kept for as long as the process lives and shown to whoever reads the page.
 */
export interface Meters {
  /** A request was answered: the name of the way in, the status or the name of the refusal, and how long that took. */
  answered(method: string, outcome: string, ms: number): void
  /** Something stands in the log. */
  happened(level: LogLevel, event: string): void
  /** A turn of background work failed. */
  workerFailed(worker: string): void
  /** Spans of traces were sent, or found no room or no collector. */
  traced(outcome: 'sent' | 'lost', spans: number): void
}

/** Of a service that nobody watches. */
export const NO_METERS: Meters = { answered() {}, happened() {}, workerFailed() {}, traced() {} }
