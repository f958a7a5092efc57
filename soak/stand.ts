/**
 * Whether somebody is in, as whoever changes it knows: certain between the answer to one change and the beginning of the next. What was asked
 * and answered within such a time has one right answer; what overlaps a change has none.
 */

export type Side = 'in' | 'out'

export interface Look {
  readonly side: Side | 'moving'
  readonly turn: number
}

export class Stand {
  #side: Side | 'moving'
  #turn = 0

  constructor(side: Side) {
    this.#side = side
  }

  /** A change is asked for. */
  begin(): void {
    this.#side = 'moving'
    this.#turn += 1
  }

  /** It was answered. Without an answer nobody knows, and they go on moving. */
  end(side: Side): void {
    this.#side = side
  }

  /** To be taken before a question, and given to `judge` with its answer. */
  look(): Look {
    return { side: this.#side, turn: this.#turn }
  }

  /** The side on which they certainly were from the look until now, or that they were moving. */
  certain(before: Look): Side | 'moving' {
    return before.turn === this.#turn ? before.side : 'moving'
  }
}

/** What an answer breaks, or null: nobody is let in who had been put out before they asked, nobody is turned away who was in all the time. */
export function faultOf(certain: Side | 'moving', answer: Side): string | null {
  if (certain === 'out' && answer === 'in') return 'let in after they had been put out'
  if (certain === 'in' && answer === 'out') return 'turned away though they were in'
  return null
}
