/**
 * Which communities live here. Asked of every token before anything dear is done, so what is known stays known: a community
 * that was opened here is never unopened.
 */
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { hasCommunity } from './store.ts'

/** Communities remembered, at some hundred bytes each. What isn't hosted is not remembered: strangers can name any number. */
const REMEMBERED_MAX = 100_000

export class Hosted {
  readonly #known = new Set<Did>()

  /** Whether the spaces under this DID are ours to answer for. */
  async has(db: Db, authority: Did): Promise<boolean> {
    if (this.#known.has(authority)) return true
    const isHosted = await hasCommunity(db, authority)
    if (isHosted && this.#known.size < REMEMBERED_MAX) this.#known.add(authority)
    return isHosted
  }
}
