/**
 * What managing apps said lately of those by whose access registrations live. They are asked about each at most once a minute, however often
 * something is written, and when they said nothing a few times a minute. Of one process: another asks for itself.
 */

import { LRUCache } from 'lru-cache'
import { type ManagingApps, nameOf, type Question } from '../access/managing-apps.ts'
import type { Clock } from '../platform/clock.ts'
import type { Sizes } from '../platform/sizes.ts'
import type { Word } from '../policy/decide.ts'
import { Unavailable } from '../refusals.ts'

/** A word, and when it was asked for. */
export interface Told {
  readonly word: Word
  readonly atMs: number
}

export interface SponsorWords {
  /**
   * What was said in the last minute, or is said now, where it may be asked now. Null: nothing. A no from before `registeredAtMs` is over:
   * whoever registered since may have come with a yes.
   */
  of(question: Question, about: { readonly mayAsk: boolean; readonly registeredAtMs: number }): Promise<Told | null>
}

/** For so long a word is good, and nobody asks again. */
export const WORD_GOOD_MS = 60_000
/** For so long nobody asks again whoever said nothing: what they are to hear of waits meanwhile. */
export const SILENCE_MS = 15_000
/** People of spaces and apps. Who is forgotten is asked about again. */
const REMEMBERED_MAX = 10_000

interface Memory {
  readonly word: Word | null
  readonly atMs: number
}

/** Opens the memory, empty. */
export function openSponsorWords(managingApps: ManagingApps, clock: Pick<Clock, 'nowMs'>, sizes?: Sizes): SponsorWords {
  const remembered = new LRUCache<string, Memory>({ max: REMEMBERED_MAX })
  sizes?.kept('words about sponsors', REMEMBERED_MAX, () => remembered.size)

  async function ask(question: Question): Promise<Word | null> {
    try {
      return await managingApps.ask(question)
    } catch (error) {
      if (error instanceof Unavailable) return null
      throw error
    }
  }

  return {
    async of(question, { mayAsk, registeredAtMs }) {
      const name = nameOf(question)
      const known = remembered.get(name)
      if (known && isGood(known, clock.nowMs()) && !isOver(known, registeredAtMs)) return toldBy(known)
      if (!mayAsk) return null
      // Its age counts from the question: what happened since, it may not have known.
      const atMs = clock.nowMs()
      const fresh = { word: await ask(question), atMs }
      remembered.set(name, fresh)
      return toldBy(fresh)
    },
  }
}

const toldBy = ({ word, atMs }: Memory): Told | null => word && { word, atMs }

const isOver = ({ word, atMs }: Memory, registeredAtMs: number): boolean =>
  word?.authorized === false && atMs <= registeredAtMs

/** Not what is from the future: the clock was set back, and nobody knows how old it is. */
function isGood({ word, atMs }: Memory, nowMs: number): boolean {
  const ageMs = nowMs - atMs
  return ageMs >= 0 && ageMs <= (word ? WORD_GOOD_MS : SILENCE_MS)
}
