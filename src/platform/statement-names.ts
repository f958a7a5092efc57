/**
 * Names under which PostgreSQL keeps a statement once it has read and planned it, so that each connection does so once.
 *
 * A name says which text it stands for, in every process: behind a pooler that mixes up whose connection is whose, a name may be
 * missing or taken, but it never runs another statement. The number of names is bounded for good, since the server keeps every one
 * per connection; a text beyond the bound, perhaps built from what somebody sent, is read anew each time.
 */
import { sha256 } from './bytes.ts'
import { databaseCodeOf } from './database-trouble.ts'

/** A kept statement answers with other columns than it did: a newer process changed the schema under us. */
const isOutdated = (error: unknown): boolean =>
  // The code alone means anything that the server can't do; the place in the server's source is not translated.
  databaseCodeOf(error) === '0A000' &&
  error instanceof Error &&
  'routine' in error &&
  error.routine === 'RevalidateCachedQuery'

/** The name is not there, or was given by somebody else: a pooler in front hands out connections and doesn't follow names. */
const isMixedUp = (error: unknown): boolean => ['26000', '42P05'].includes(databaseCodeOf(error) ?? '')

/** A transaction that failed through no fault of its own, and is tried again like one that lost against another. */
export class NameFailed extends Error {
  override readonly name = 'NameFailed'
  readonly code = '40001'
}

/** Tells one text from all others and nothing of what is in it: sixteen characters, which its name ends with. */
export const markOf = (text: string): string => Buffer.from(sha256(text)).toString('hex', 0, 8)

/** Texts that are given a name in one process: every hot one, and those that are built anew for each call only up to here. */
export const NAMES_MAX = 150

export class StatementNames {
  readonly #names = new Map<string, string>()
  readonly #most: number
  readonly #onMixedUp: () => void
  #given = 0

  /** `onMixedUp` is called once, when it shows that names don't hold here; from then on none are given. */
  constructor(most: number, onMixedUp: () => void) {
    this.#most = most
    this.#onMixedUp = onMixedUp
  }

  /** The name of a text, the same each time; none beyond the bound. */
  nameOf(text: string): string | undefined {
    const known = this.#names.get(text)
    if (known !== undefined || this.#given >= this.#most) return known
    this.#given += 1
    const name = `reeve_${this.#given}_${markOf(text)}`
    this.#names.set(text, name)
    return name
  }

  /**
   * Judges a failure of a named statement: true when it is the name's fault, the statement was not carried out, and without that
   * name it would be. A forgotten text gets another name next time; the old one still counts.
   */
  isToBlame(text: string, error: unknown): boolean {
    if (isOutdated(error)) {
      this.#names.delete(text)
      return true
    }
    if (!isMixedUp(error)) return false
    this.#names.clear()
    if (this.#given !== Number.POSITIVE_INFINITY) this.#onMixedUp()
    this.#given = Number.POSITIVE_INFINITY
    return true
  }
}
