/**
 * What a receiver makes of all that it was told, in the order in which it came: how far it got with each repo, and whether anything is
 * missing, by nothing but what the messages say.
 */
import type { Told } from './syncer.ts'

export interface ToldHistory {
  /** The newest revision of each repo, and the space revision with it. */
  readonly newest: ReadonlyMap<string, { readonly repoRev: string; readonly spaceRev: string }>
  /** Messages that say that something came before them which never came. */
  readonly gaps: number
  /** Messages that begin before what was heard already: the sender had forgotten that it told that. */
  readonly repeats: number
  /** Messages that came twice. */
  readonly doubles: number
  /** Messages about a repo older than what was heard about it before. */
  readonly falls: number
}

const NOTHING = ''

/** The history of one space as one receiver saw it. What it did not take is not to be among `told`. TIDs stand in the order of time as text. */
export function historyOf(told: readonly Pick<Told, 'method' | 'body'>[], space: string): ToldHistory {
  const newest = new Map<string, { repoRev: string; spaceRev: string }>()
  const seen = new Set<string>()
  const counts = { gaps: 0, repeats: 0, doubles: 0, falls: 0 }
  let last = NOTHING
  for (const { method, body } of told) {
    if (method !== 'com.atproto.space.notifyWrite' || body.space !== space) continue
    const { repo, repoRev, spaceRev, prevSpaceRev = NOTHING } = body
    if (seen.has(spaceRev)) {
      counts.doubles += 1
      continue
    }
    seen.add(spaceRev)
    if (prevSpaceRev > last) counts.gaps += 1
    if (prevSpaceRev < last) counts.repeats += 1
    const before = newest.get(repo)
    if (before && (before.spaceRev > spaceRev || before.repoRev > repoRev)) counts.falls += 1
    else newest.set(repo, { repoRev, spaceRev })
    if (spaceRev > last) last = spaceRev
  }
  return { newest, ...counts }
}

/** Nothing missing, nothing twice, nothing out of order. */
export const WITHOUT_FAULT = { gaps: 0, repeats: 0, doubles: 0, falls: 0 }
