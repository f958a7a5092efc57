/**
 * How many changes of one community may be under way at once in this process. Changes of one community follow each other anyway;
 * those that wait would only hold connections that other communities need. So a few go in, some wait here, where it costs
 * nothing, and the rest are told to come again.
 */

import { LRUCache } from 'lru-cache'
import type { Did } from '../names.ts'
import { patience } from '../platform/clock.ts'
import type { Counted, Sizes } from '../platform/sizes.ts'
import { openTurns, type Turns } from '../platform/turns.ts'
import { Unavailable } from '../refusals.ts'

const COMMUNITIES_MAX = 10_000
/** As long as a change may wait for those before it. */
const PATIENCE_MS = 5_000

export class Pace {
  readonly #lanes: LRUCache<Did, Turns>
  readonly #limits: { readonly atOnce: number; readonly waitingMax: number }

  constructor(limits: { readonly atOnce: number; readonly waitingMax: number }, counted?: Counted) {
    this.#limits = limits
    this.#lanes = new LRUCache({ max: COMMUNITIES_MAX })
    counted?.(COMMUNITIES_MAX, () => this.#lanes.size)
  }

  /** Does the work when it is its turn. @throws Unavailable('NotEnoughResources') when too many wait, or for too long */
  async inTurn<T>(community: Did, work: () => Promise<T>): Promise<T> {
    const lane = this.#lanes.get(community) ?? openTurns(this.#limits)
    this.#lanes.set(community, lane)
    const end = await lane.take(patience(PATIENCE_MS)).catch((cause: unknown) => {
      throw new Unavailable('NotEnoughResources', 'community', { cause })
    })
    try {
      return await work()
    } finally {
      end()
    }
  }
}

/** Both lanes of a process: changes, and previews, which take the processor and not the database. */
export interface Paces {
  readonly changes: Pace
  readonly previews: Pace
}

export const openPaces = (sizes?: Sizes): Paces => ({
  changes: new Pace({ atOnce: 2, waitingMax: 50 }, sizes?.keptAs('lanes of changes')),
  previews: new Pace({ atOnce: 1, waitingMax: 4 }, sizes?.keptAs('lanes of previews')),
})
