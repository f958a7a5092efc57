/**
 * Gathers what many ask for at once into few calls: while one is under way, those who come wait, and go together in the next.
 *
 * No timer and nobody waits without need: where few ask, each goes alone and at once. A failure is never shared: what failed
 * together is asked again one by one, so that each gets an answer or an error of its own.
 */
import { Unavailable } from '../refusals.ts'
import type { Counted } from './sizes.ts'

/** How the work is done. Each function may reject; what it rejects with is handed on as it is. */
export interface Work<Item, Outcome> {
  /** What an item is about. Items that share a key never go together, and go in the order in which they came. */
  readonly keysOf: (item: Item) => readonly string[]
  readonly alone: (item: Item) => Promise<Outcome>
  /** One outcome for each, in their order. */
  readonly together: (items: readonly Item[]) => Promise<readonly Outcome[]>
  /** One item of a call that failed, which may have been carried out all the same. */
  readonly again: (item: Item) => Promise<Outcome>
}

export interface Gather<Item, Outcome> {
  /** Does the work for one item, with others or alone. Rejects with the item's own error, or `Unavailable` when too many wait. */
  ask(item: Item): Promise<Outcome>
}

interface Waiting<Item, Outcome> {
  readonly item: Item
  readonly keys: readonly string[]
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: unknown) => void
}

/** More than this are turned away: whoever would wait for seconds is better told so at once. */
const WAITING_MAX = 1_000
/** Fewer than this go alone: together they would cost more than they save. */
const FEW = 4
const TOGETHER_MAX = 64

/** At most one call for several is under way at a time, and beside it those that went alone: fewer than `few` of them. */
export function openGather<Item, Outcome>(
  work: Work<Item, Outcome>,
  { few = FEW, togetherMax = TOGETHER_MAX, waitingMax = WAITING_MAX } = {},
  counted?: Counted,
): Gather<Item, Outcome> {
  let waiting: Waiting<Item, Outcome>[] = []
  let alone = 0
  let isTogether = false
  counted?.(waitingMax, () => waiting.length)

  /** Sends on whoever may go now. Called when somebody comes and when something has ended. */
  function move(): void {
    while (!isTogether && waiting.length > 0) {
      if (waiting.length >= few) void goTogether(takeApart())
      else if (alone < few - 1) for (const one of waiting.splice(0, 1)) void goAlone(one, work.alone)
      else return
    }
  }

  /** Takes from the line those who may go together. Whoever shares a key with somebody before them stays, taken or not. */
  function takeApart(): readonly Waiting<Item, Outcome>[] {
    const taken: Waiting<Item, Outcome>[] = []
    const staying: Waiting<Item, Outcome>[] = []
    const seen = new Set<string>()
    for (const one of waiting) {
      if (taken.length === togetherMax) {
        staying.push(one)
        continue
      }
      if (one.keys.some((key) => seen.has(key))) staying.push(one)
      else taken.push(one)
      for (const key of one.keys) seen.add(key)
    }
    waiting = staying
    return taken
  }

  async function goAlone(one: Waiting<Item, Outcome>, how: (item: Item) => Promise<Outcome>): Promise<void> {
    alone += 1
    try {
      one.resolve(await how(one.item))
    } catch (error) {
      one.reject(error)
    } finally {
      alone -= 1
      move()
    }
  }

  async function goTogether(some: readonly Waiting<Item, Outcome>[]): Promise<void> {
    isTogether = true
    try {
      const outcomes = await work.together(some.map(({ item }) => item))
      if (outcomes.length !== some.length) throw new TypeError('not one outcome for each')
      for (const [at, outcome] of outcomes.entries()) some[at]?.resolve(outcome)
    } catch {
      // The error is of the call; each item's own is what comes of it alone.
      for (const one of some) void goAlone(one, work.again)
    } finally {
      isTogether = false
      move()
    }
  }

  return {
    ask(item) {
      if (waiting.length >= waitingMax) return Promise.reject(new Unavailable('NotEnoughResources', 'queue'))
      return new Promise((resolve, reject) => {
        waiting.push({ item, keys: work.keysOf(item), resolve, reject })
        move()
      })
    },
  }
}
