/**
 * Which refused writes were kept in the audit lately. A repo host announces each commit of a person, and each would be a row: one an
 * hour tells as much. Of one process: another may keep one more.
 */

import { LRUCache } from 'lru-cache'
import type { Did, SpaceUri } from '../names.ts'
import type { Sizes } from '../platform/sizes.ts'

/** A writer of a space is forgotten when so many others were refused since. */
const REMEMBERED_MAX = 10_000
const PAUSE_MS = 60 * 60 * 1000

export class RefusedWrites {
  readonly #keptAtMs = new LRUCache<string, number>({ max: REMEMBERED_MAX })

  constructor(sizes?: Sizes) {
    sizes?.kept('refused writes', REMEMBERED_MAX, () => this.#keptAtMs.size)
  }

  /**
   * Whether nothing was kept of this repo in this space for an hour; from now on something is, so that of many at once one is kept.
   * `nowMs`: of a clock that never steps back.
   */
  take(space: SpaceUri, repo: Did, nowMs: number): boolean {
    const place = `${space} ${repo}`
    const keptAtMs = this.#keptAtMs.get(place)
    if (keptAtMs !== undefined && nowMs - keptAtMs < PAUSE_MS) return false
    this.#keptAtMs.set(place, nowMs)
    return true
  }

  /** It could not be kept. */
  giveBack(space: SpaceUri, repo: Did): void {
    this.#keptAtMs.delete(`${space} ${repo}`)
  }
}
