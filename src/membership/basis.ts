/**
 * On which revisions an answer rests: that of the space's community, and of each whose spaces are on its rosters.
 *
 * To callers it is one opaque word, `at`. Whoever sends it back as `atLeast` is never answered from before it, on whatever
 * process; after a restore of an old copy of the database they are told so instead of being shown the past.
 */
import { type Did, parseDid } from '../names.ts'
import { fromBase64Url, toBase64Url } from '../platform/bytes.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import type { Revisions } from './store.ts'

/** A community and the revision at which it stood. The first is the community that was asked about. */
export type Basis = readonly { readonly community: Did; readonly revision: number }[]

export const basisOf = (rows: ReadonlyMap<Did, Revisions>): Basis =>
  [...rows].map(([community, { revision }]) => ({ community, revision }))

/** `did:revision` pairs, as one word. */
export const wordOf = (basis: Basis): string =>
  toBase64Url(basis.map(({ community, revision }) => `${community} ${revision}`).join('\n'))

/** Communities in one word: as many as may feed one, and itself. */
const PAIRS_MAX = 65

/** @throws Refusal('InvalidRequest') for a word that was never an answer of ours */
function parseWord(word: string): Basis {
  const invalid = () => new Refusal('InvalidRequest', 'atLeast is not a word that was answered as at')
  const text = fromBase64Url(word)
  if (!text) throw invalid()
  const pairs = Buffer.from(text).toString('utf8').split('\n')
  if (pairs.length > PAIRS_MAX) throw invalid()
  return pairs.map((pair) => {
    const [didText, number, ...rest] = pair.split(' ')
    const community = parseDid(didText)
    if (!community || rest.length > 0 || !/^(?:0|[1-9]\d{0,15})$/.test(number ?? '')) throw invalid()
    return { community, revision: Number(number) }
  })
}

/**
 * Makes sure that an answer is no older than what the caller has seen. A community that no longer matters to the answer says
 * nothing about it.
 * @throws Refusal('InvalidRequest') for a malformed word
 * @throws Unavailable('NotEnoughResources', 'revision') when the database has not got that far
 */
export function requireAtLeast(word: string | undefined, basis: Basis): void {
  if (word === undefined) return
  for (const { community, revision } of parseWord(word)) {
    const now = basis.find((one) => one.community === community)
    if (now && now.revision < revision) throw new Unavailable('NotEnoughResources', 'revision')
  }
}
