/**
 * The data-encryption keys (DEKs) of communities, and of the service itself: made when there is none, unwrapped for one use, wiped.
 */
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Random } from '../platform/random.ts'
import { Unavailable } from '../refusals.ts'
import { FIRST_DEK_VERSION, freshDek } from './founding.ts'
import type { Kek } from './kek.ts'
import { loadDek, saveDek, type WrappedDek } from './store.ts'

export interface DekDeps {
  readonly db: Db
  /** Wraps every new DEK, and opens those that it wrapped. */
  readonly kek: Kek
  /** KEKs from before: they open what they wrapped, and wrap nothing any more. */
  readonly previousKeks?: readonly Kek[]
  /** The random name of this database. */
  readonly instanceId: string
  readonly random: Random
  readonly log: Pick<Log, 'error'>
}

export class Deks {
  readonly #deps: DekDeps
  readonly #keks: ReadonlyMap<string, Kek>

  constructor(deps: DekDeps) {
    this.#deps = deps
    this.#keks = new Map([...(deps.previousKeks ?? []), deps.kek].map((kek) => [kek.id, kek]))
  }

  /** The DEK to seal under. Two processes that both find none make one each, and the one that was kept first counts for both. */
  async newest(community: Did, nowMs: number): Promise<WrappedDek> {
    const held = await loadDek(this.#deps.db, community, null)
    if (held) return held
    return this.#make(community, FIRST_DEK_VERSION, nowMs)
  }

  /**
   * A DEK that didn't exist a moment ago, to seal under from now on: for when somebody may have had the ones before. What was sealed stays
   * under those. Of two processes that make one at once, the one that was kept first counts for both. Made only where the newest one can be
   * opened: what can't be signed for isn't worth a beginning.
   */
  async fresh(community: Did, nowMs: number): Promise<WrappedDek> {
    const held = await loadDek(this.#deps.db, community, null)
    if (held) await this.lend(community, held, (dek) => dek.fill(0))
    return this.#make(community, held ? held.dekVersion + 1 : FIRST_DEK_VERSION, nowMs)
  }

  async #make(community: Did, dekVersion: number, nowMs: number): Promise<WrappedDek> {
    const { db, kek, instanceId, random } = this.#deps
    const dek = freshDek(random)
    let wrapped: Uint8Array
    try {
      wrapped = await wiping(dek, () => kek.wrap(dek, { instanceId, community, dekVersion }))
    } catch {
      throw new Unavailable('KekUnavailable', 'vault')
    }
    await saveDek(db, community, { dekVersion, wrapped, kekId: kek.id }, nowMs)
    const kept = await loadDek(db, community, dekVersion)
    if (!kept) throw new Unavailable('KeyUnavailable', 'vault')
    return kept
  }

  /** Lends the DEK of a row to `use`, which wipes it, and awaits nothing in between. */
  async lend<T>(community: Did, row: WrappedDek, use: (dek: Uint8Array) => T): Promise<T> {
    const { instanceId, log } = this.#deps
    const { dekVersion, kekId } = row
    const kek = this.#keks.get(kekId)
    if (!kek) {
      log.error('kek.unknown', { community, kekId })
      throw new Unavailable('KekUnavailable', 'vault')
    }
    let dek: Uint8Array | null = null
    let fault = 'refused'
    try {
      dek = await kek.unwrap(row.wrapped, { instanceId, community, dekVersion })
    } catch (error) {
      fault = errorName(error)
    }
    if (dek) return use(dek)
    log.error('kek.unwrapFailed', { community, kekId, dekVersion, fault })
    throw new Unavailable('KekUnavailable', 'vault')
  }
}

/** What `use` comes to. The DEK is wiped when it returns: whatever it still awaits has taken in what it needs. */
export function wiping<T>(dek: Uint8Array, use: () => T): T {
  try {
    return use()
  } finally {
    dek.fill(0)
  }
}
