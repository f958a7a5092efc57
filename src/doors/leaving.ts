/**
 * A process that was told to end: each answer says that its connection ends with it, `_health` has balancers take this process out, and whoever
 * can't be answered in time is told so in place of being cut off.
 */
import { Unavailable } from '../refusals.ts'

/** By then another process has taken over, or this one has been started anew. */
const AGAIN_AFTER_SEC = 5

/** There is no time left. What was begun may have been carried out: the same `idempotencyKey` tells. */
export class Stopping extends Unavailable {
  readonly retryAfterSec = AGAIN_AFTER_SEC

  constructor() {
    super('NotEnoughResources', 'stopping')
  }
}

export class Leaving {
  readonly #waiting = new Set<(reason: Stopping) => void>()
  #hasBegun = false
  #isOver = false

  /** Whether this process takes part for a moment only. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  begin(): void {
    this.#hasBegun = true
  }

  /** From here on nobody waits any more: all who do are told, and so is whoever still comes. */
  end(): void {
    this.#hasBegun = true
    this.#isOver = true
    for (const tell of this.#waiting) tell(new Stopping())
  }

  /** What `work` comes to. It goes on where its end is not waited for. @throws Stopping when there is no time left for it */
  async inTime<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isOver) throw new Stopping()
    let tell: (reason: Stopping) => void = () => {}
    // Each has one of its own: what waits at a promise that lives as long as the process is kept as long.
    const late = new Promise<never>((_, reject) => {
      tell = reject
    })
    this.#waiting.add(tell)
    try {
      return await Promise.race([work(), late])
    } finally {
      this.#waiting.delete(tell)
    }
  }
}
