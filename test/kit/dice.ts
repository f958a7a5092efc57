/** Chance for tests: the same again for the same seed. */

/** Numbers that look like chance and are the same for the same seed. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  below(limit: number): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((this.#state / 2 ** 32) * limit)
  }

  pick<T>(all: readonly T[]): T {
    const one = all[this.below(all.length)]
    if (one === undefined) throw new Error('nothing to choose from')
    return one
  }

  /** One of the values, as often as its weight says. */
  weighed<T>(table: readonly (readonly [weight: number, value: T])[]): T {
    return this.pick(table.flatMap(([weight, value]) => Array<T>(weight).fill(value)))
  }
}
