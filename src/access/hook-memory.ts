/**
 * What a process remembers of the questions that PDSes ask: which decisions are on record, about how many strangers was asked, and how
 * many questions are being answered. Nothing that is decided rests on it. Of one process: another may keep a row more.
 */

import { LRUCache } from 'lru-cache'
import type { Did } from '../names.ts'
import { hashName } from '../platform/bytes.ts'
import type { Counted, Sizes } from '../platform/sizes.ts'
import { Unavailable } from '../refusals.ts'

const HOUR_MS = 60 * 60 * 1000
/** Decisions that are known to be on record, at some hundred bytes each. Of those forgotten, a row more is written. */
const KEPT_MAX = 50_000

interface Kept {
  readonly atMs: number
  /** While it is being written. */
  written: Promise<void> | null
}

/** Which decisions were put on record within the last hour. A PDS asks about each write, and each would be a row that says the same. */
export class KeptDecisions {
  readonly #kept = new LRUCache<string, Kept>({ max: KEPT_MAX })

  constructor(sizes?: Sizes) {
    sizes?.kept('decisions on record', KEPT_MAX, () => this.#kept.size)
  }

  /**
   * Has `write` keep a decision unless it was kept within the hour; whoever comes while it is being written waits for that.
   * `about` is all that tells one decision from another; `nowMs` of a clock that never steps back. Rejects as `write` does.
   */
  async keep(about: readonly string[], nowMs: number, write: () => Promise<void>): Promise<void> {
    const name = hashName(JSON.stringify(about))
    const known = this.#kept.get(name)
    if (known && nowMs - known.atMs < HOUR_MS) return known.written ?? undefined
    const kept: Kept = { atMs: nowMs, written: write() }
    this.#kept.set(name, kept)
    try {
      await kept.written
      kept.written = null
    } catch (error) {
      if (this.#kept.get(name) === kept) this.#kept.delete(name)
      throw error
    }
  }
}

/** Apps by which one person's questions are put on record one by one in an hour. Which one it was only the host says. */
const APPS_MAX = 16
const APPS_OF_MAX = 10_000

/** Which apps were named in questions about somebody: a few each hour, or whoever asks could fill the log with names. */
export class FewApps {
  readonly #of = new LRUCache<string, { readonly sinceMs: number; readonly apps: Set<string> }>({ max: APPS_OF_MAX })

  constructor(sizes?: Sizes) {
    sizes?.kept('people by whose apps was asked', APPS_OF_MAX, () => this.#of.size)
  }

  /** Whether this app is among the first few of the hour. `nowMs` of a clock that never steps back. */
  has(about: readonly string[], clientId: string, nowMs: number): boolean {
    const name = hashName(JSON.stringify(about))
    const known = this.#of.get(name)
    const { sinceMs, apps } =
      known && nowMs - known.sinceMs < HOUR_MS ? known : { sinceMs: nowMs, apps: new Set<string>() }
    const app = hashName(clientId)
    if (!apps.has(app) && apps.size >= APPS_MAX) return false
    this.#of.set(name, { sinceMs, apps: apps.add(app) })
    return true
  }
}

/** What is noted once in a while for each name. */
export class Pauses {
  readonly #atMs: LRUCache<string, number>
  readonly #pauseMs: number

  constructor(pauseMs: number, most = 10_000, counted?: Counted) {
    this.#pauseMs = pauseMs
    this.#atMs = new LRUCache({ max: most })
    counted?.(most, () => this.#atMs.size)
  }

  /** Does `work` when it is time again. What failed is due at once. Rejects as `work` does. */
  async whenOver(name: string, nowMs: number, work: () => Promise<void>): Promise<void> {
    if (!this.isOver(name, nowMs)) return
    try {
      await work()
    } catch (error) {
      this.#atMs.delete(name)
      throw error
    }
  }

  /** Whether it is time again; from now on it isn't, for as long as the pause. */
  isOver(name: string, nowMs: number): boolean {
    const atMs = this.#atMs.get(name)
    if (atMs !== undefined && nowMs - atMs < this.#pauseMs) return false
    this.#atMs.set(name, nowMs)
    return true
  }
}

/** People whom nothing lets in and who are on no roster, that one authority may ask about in an hour. */
export const STRANGERS_MAX = 10_000
const STRANGERS_SEEN_MAX = 50_000
const AUTHORITIES_MAX = 10_000

/**
 * About how many strangers each authority asked. Whoever holds an account could have its PDS ask about everybody there is, and so read
 * the roll off the answers; and a crowd that wants to get in makes a PDS ask as much. So it is counted where the answer is no: people who
 * are let in never wait for it.
 */
export class Strangers {
  readonly #seen: Pauses
  readonly #levels = new LRUCache<Did, { readonly drops: number; readonly atMs: number }>({ max: AUTHORITIES_MAX })
  readonly #most: number

  constructor(most = STRANGERS_MAX, sizes?: Sizes) {
    this.#most = most
    this.#seen = new Pauses(HOUR_MS, STRANGERS_SEEN_MAX, sizes?.keptAs('strangers asked about'))
    sizes?.kept('authorities that asked about strangers', AUTHORITIES_MAX, () => this.#levels.size)
  }

  /** Counts one, the same one once an hour. False: there were too many. */
  take(authority: Did, did: Did, nowMs: number): boolean {
    const { drops: before, atMs } = this.#levels.get(authority) ?? { drops: this.#most, atMs: nowMs }
    const drops = Math.min(this.#most, before + ((nowMs - atMs) / HOUR_MS) * this.#most)
    if (drops < 1) return false
    if (!this.#seen.isOver(`${authority} ${did}`, nowMs)) return true
    this.#levels.set(authority, { drops: drops - 1, atMs: nowMs })
    return true
  }
}

/** Questions being answered at once, by one process and for one authority. More would only wait for each other until nobody listens. */
const AT_ONCE_MAX = 512
const OF_AUTHORITY_MAX = 256

/** How many questions are being answered. Whoever is one too many is told so at once: a PDS has somebody waiting behind each. */
export class HookTurns {
  #all = 0
  readonly #of = new Map<Did, number>()

  constructor(sizes?: Sizes) {
    sizes?.line('questions of PDSes')(AT_ONCE_MAX, () => this.#all)
  }

  /** @throws Unavailable('NotEnoughResources') when there are too many */
  async inTurn<T>(authority: Did, work: () => Promise<T>): Promise<T> {
    const own = this.#of.get(authority) ?? 0
    if (this.#all >= AT_ONCE_MAX || own >= OF_AUTHORITY_MAX) throw new Unavailable('NotEnoughResources', 'queue')
    this.#all += 1
    this.#of.set(authority, own + 1)
    try {
      return await work()
    } finally {
      this.#all -= 1
      const left = (this.#of.get(authority) ?? 1) - 1
      if (left === 0) this.#of.delete(authority)
      else this.#of.set(authority, left)
    }
  }
}
