/**
 * Whether the clock has gone evenly of late: what is forgotten because its time is over must not be forgotten because somebody set the clock.
 *
 * A used token that is forgotten while the clock is ahead works a second time when the clock is right again, and whoever stole it has only to
 * wait for that. So nothing is forgotten for some time after the clock stepped, and after a start, of which nobody knows how right its clock was.
 */
import type { Clock } from './clock.ts'

/** More than a clock is slewed by between two looks, and less than the margin by which everything is kept longer than it need be. */
const STEP_MIN_MS = 5_000

export type Steadiness =
  | { readonly is: 'steady' | 'settling' }
  /** By so much it is ahead of where it should be (or, below zero, behind), which is told once. */
  | { readonly is: 'stepped'; readonly byMs: number }

export class SteadyTime {
  readonly #clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
  readonly #settlesMs: number
  #offsetMs: number
  #steadyFromMs: number

  /** `settlesMs`: for so long after a step or a start the clock isn't relied on; longer than anything lives that must not be forgotten too soon. */
  constructor(clock: Pick<Clock, 'nowMs' | 'monotonicMs'>, settlesMs: number) {
    this.#clock = clock
    this.#settlesMs = settlesMs
    this.#offsetMs = clock.nowMs() - clock.monotonicMs()
    this.#steadyFromMs = clock.monotonicMs() + settlesMs
  }

  look(): Steadiness {
    const monotonicMs = this.#clock.monotonicMs()
    const offsetMs = this.#clock.nowMs() - monotonicMs
    const byMs = offsetMs - this.#offsetMs
    if (Math.abs(byMs) >= STEP_MIN_MS) {
      this.#offsetMs = offsetMs
      this.#steadyFromMs = monotonicMs + this.#settlesMs
      return { is: 'stepped', byMs }
    }
    return { is: monotonicMs >= this.#steadyFromMs ? 'steady' : 'settling' }
  }
}
