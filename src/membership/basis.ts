/**
 * On which revisions an answer rests: that of the space's community, and of each by whose spaces people come into it.
 *
 * To callers it is one sealed word, `at`: which communities are nested here is not theirs to know. Whoever sends it back as
 * `atLeast` is never answered from before it, on whatever process; after a restore of an old copy of the database they are told
 * so instead of being shown the past.
 */
import { type Did, parseDid } from '../names.ts'
import type { SealedWords } from '../platform/sealed-words.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import type { Revisions } from './store.ts'

/** A community and the revision at which it stood. The first is the community that was asked about. */
export type Basis = readonly { readonly community: Did; readonly revision: number }[]

export const basisOf = (rows: ReadonlyMap<Did, Revisions>): Basis =>
  [...rows].map(([community, { revision }]) => ({ community, revision }))

const USE = 'at'

/** The basis as one word. */
export const wordOf = ({ words }: { readonly words: SealedWords }, basis: Basis): string =>
  words.seal(USE, basis.map(({ community, revision }) => `${community} ${revision}`).join('\n'))

/** What a word says. @throws Refusal('InvalidRequest') for one that was never an answer of ours */
export function basisOfWord({ words }: { readonly words: SealedWords }, word: string): Basis {
  const text = words.open(USE, word)
  if (text === null) throw new Refusal('InvalidRequest', 'atLeast is not a word that was answered as at')
  return text.split('\n').map((pair) => {
    const [didText, number] = pair.split(' ')
    const community = parseDid(didText)
    if (!community) throw new TypeError('a word that we did not make')
    return { community, revision: Number(number) }
  })
}

/**
 * Makes sure that an answer is no older than what the caller has seen. A community that no longer matters to the answer says
 * nothing about it.
 * @throws Refusal('InvalidRequest') for a malformed word
 * @throws Unavailable('NotEnoughResources', 'revision') when the database has not got that far
 */
export function requireAtLeast(
  { words }: { readonly words: SealedWords },
  word: string | undefined,
  basis: Basis,
): void {
  if (word === undefined) return
  for (const { community, revision } of basisOfWord({ words }, word)) {
    const now = basis.find((one) => one.community === community)
    if (now && now.revision < revision) throw new Unavailable('NotEnoughResources', 'revision')
  }
}
