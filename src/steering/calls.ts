/** The calls to one PDS, as many at once and as fast as it may be called; and what it says of how many more it takes is kept to. */
import { type Clock, sleep } from '../platform/clock.ts'
import { Halt } from './halt.ts'
import type { Answered } from './simplespace.ts'
import type { SteeringPace } from './steering-ctx.ts'

export class Calls {
  readonly #clock: Clock
  readonly #pace: SteeringPace
  #freeAtMs = 0

  constructor(clock: Clock, pace: SteeringPace) {
    this.#clock = clock
    this.#pace = pace
  }

  get atOnce(): number {
    return this.#pace.atOnce
  }

  /** Makes a call when it is its turn. */
  async make<T>(call: () => Promise<Answered<T>>): Promise<Answered<T>> {
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#freeAtMs)
    this.#freeAtMs = startMs + 1000 / this.#pace.perSec
    if (startMs > nowMs) await sleep(startMs - nowMs)
    return call()
  }
}

/** Whether so little room is left that those under way at once might be too many; then how long to wait. */
export function pauseAfter(answer: Answered<unknown>, atOnce: number): Halt | null {
  if (answer.is !== 'answered' || answer.room === null || answer.room.callsLeft >= atOnce) return null
  return new Halt(null, { pauseMs: Math.max(0, answer.room.resetsInMs), isWholePds: true })
}
