/**
 * Which communities live here, and of which kind: whether their spaces are here, or at the PDS of the account that they are. Asked of
 * every token before anything dear is done, so what is known stays known: a community that was opened here is never unopened, and never
 * becomes one of the other kind.
 */
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { loadKind } from './account-store.ts'

/** Communities remembered, at some hundred bytes each. What isn't hosted is not remembered: strangers can name any number. */
const REMEMBERED_MAX = 100_000

export class Hosted {
  readonly #known = new Map<Did, 'here' | 'account'>()

  /** Whether the spaces under this DID are here: credentials for them are ours to issue. */
  async has(db: Db, authority: Did): Promise<boolean> {
    return (await this.#kindOf(db, authority)) === 'here'
  }

  /** Whether it is an account whose PDS may ask here. */
  async isAccount(db: Db, authority: Did): Promise<boolean> {
    return (await this.#kindOf(db, authority)) === 'account'
  }

  async #kindOf(db: Db, authority: Did): Promise<'here' | 'account' | null> {
    const known = this.#known.get(authority)
    if (known) return known
    const kind = await loadKind(db, authority)
    if (kind && this.#known.size < REMEMBERED_MAX) this.#known.set(authority, kind)
    return kind
  }
}
