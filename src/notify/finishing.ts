/**
 * Writes down what came of turns, many together: nobody waits for it but the lane's own next turn, and each statement costs the database as
 * much as the rows of some dozens do. Who dies before it is written repeats those calls, as their receivers are told they may.
 */
import { sleep } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import type { Counted } from '../platform/sizes.ts'
import { type Finished, type FinishedAs, finishLanes } from './lane-store.ts'

export interface Finishing {
  /** Rejects with the error of its own lane: what fails together is written one by one. */
  ask(one: Finished): Promise<FinishedAs>
}

interface Waiting {
  readonly one: Finished
  readonly resolve: (as: FinishedAs) => void
  readonly reject: (error: unknown) => void
}

/** How long the first waits for others to go with it. */
const PAUSE_MS = 40
/** Written in one statement. */
const TOGETHER_MAX = 512

/** `closing`: from then on nobody waits for others. Those who wait are lanes in their turn, of which there are at most `most`. */
export function openFinishing(db: Db, closing: AbortSignal, most: number, counted?: Counted): Finishing {
  let waiting: Waiting[] = []
  counted?.(most, () => waiting.length)
  let isUnderWay = false

  async function write(): Promise<void> {
    isUnderWay = true
    while (waiting.length > 0) {
      if (waiting.length < TOGETHER_MAX) await sleep(PAUSE_MS, closing)
      const some = waiting.slice(0, TOGETHER_MAX)
      waiting = waiting.slice(TOGETHER_MAX)
      await together(some)
    }
    isUnderWay = false
  }

  async function together(some: readonly Waiting[]): Promise<void> {
    try {
      const as = await finishLanes(
        db,
        some.map(({ one }) => one),
      )
      for (const [at, { resolve }] of some.entries()) resolve(as[at] ?? 'lost')
    } catch {
      for (const each of some) await alone(each)
    }
  }

  const alone = ({ one, resolve, reject }: Waiting): Promise<void> =>
    finishLanes(db, [one]).then(([as = 'lost']) => resolve(as), reject)

  return {
    ask: (one) =>
      new Promise((resolve, reject) => {
        waiting.push({ one, resolve, reject })
        if (!isUnderWay) void write()
      }),
  }
}
