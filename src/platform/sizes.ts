/**
 * How big is what this process keeps in memory: everything that has a bound says here what it is called, what the bound is and where it stands.
 *
 * Whoever opens something bounded has it counted by one list of the house, so that an operator sees it, and a run for hours finds what has none.
 */

/** `kept`: entries that stay until others push them out. `waiting`: somebody behind each; when nobody asks any more, there are none. */
export type SizeKind = 'kept' | 'waiting'

export interface Size {
  readonly name: string
  readonly kind: SizeKind
  readonly size: number
  readonly most: number
}

/** Takes down the bound of one thing, and how to read where it stands. */
export type Counted = (most: number, now: () => number) => void

export class Sizes {
  readonly #watched = new Map<string, { readonly kind: SizeKind; readonly most: number; readonly now: () => number }>()

  /** Something that is kept, of which there may be `most`. Of two that are called the same, the later one is counted. */
  kept(name: string, most: number, now: () => number): void {
    this.#watched.set(name, { kind: 'kept', most, now })
  }

  keptAs(name: string): Counted {
    return (most, now) => this.kept(name, most, now)
  }

  /** A line, or a number of things under way, as whoever opens it takes it down. */
  line(name: string): Counted {
    return (most, now) => void this.#watched.set(name, { kind: 'waiting', most, now })
  }

  /** All of it in this moment, in the order in which it was opened. */
  list(): readonly Size[] {
    return [...this.#watched].map(([name, { kind, most, now }]) => ({ name, kind, most, size: now() }))
  }
}
