/**
 * Which communities live here, and of which kind: whether their spaces are here, or at the PDS of the account that they are. Asked of
 * every token before anything dear is done, so the kind, once known, stays known: a community never becomes one of the other kind.
 *
 * A community may leave, and come back: whose document names another home is not answered for here, or two homes would give out credentials
 * for one community. Who has left is told to each process again and again, and forgotten in the moment in which they are back.
 */

import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import type { Sizes } from '../platform/sizes.ts'
import { loadKind } from './account-store.ts'

/** Communities remembered, at some hundred bytes each. What isn't hosted is not remembered: strangers can name any number. */
const REMEMBERED_MAX = 100_000

export class Hosted {
  readonly #known = new Map<Did, 'here' | 'account'>()
  #left: ReadonlySet<Did> = new Set()

  constructor(sizes?: Sizes) {
    sizes?.kept('communities known', REMEMBERED_MAX, () => this.#known.size)
  }

  /** Whether the spaces under this DID are here: credentials for them are ours to issue. */
  async has(db: Db, authority: Did): Promise<boolean> {
    return !this.#left.has(authority) && (await this.#kindOf(db, authority)) === 'here'
  }

  /** Whether it is an account whose PDS may ask here. */
  async isAccount(db: Db, authority: Did): Promise<boolean> {
    return (await this.#kindOf(db, authority)) === 'account'
  }

  /** Whether its document names another home. */
  hasLeft(authority: Did): boolean {
    return this.#left.has(authority)
  }

  /** Those whose documents name another home. */
  left(): readonly Did[] {
    return [...this.#left]
  }

  /** Takes down who has left, all of them. Answers who is new among them, and who is back. */
  setLeft(left: readonly Did[]): { readonly gone: readonly Did[]; readonly back: readonly Did[] } {
    const before = this.#left
    this.#left = new Set(left)
    return { gone: left.filter((did) => !before.has(did)), back: [...before].filter((did) => !this.#left.has(did)) }
  }

  async #kindOf(db: Db, authority: Did): Promise<'here' | 'account' | null> {
    const known = this.#known.get(authority)
    if (known) return known
    const kind = await loadKind(db, authority)
    if (kind && this.#known.size < REMEMBERED_MAX) this.#known.set(authority, kind)
    return kind
  }
}
