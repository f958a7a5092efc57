/**
 * May this person, using this app, read this space, now? Loads the facts, asks `policy/`, and says on which revisions the
 * answer rests, so that whoever acts on it can make sure that nothing moved meanwhile.
 */

import type { Basis } from '../membership/basis.ts'
import type { KnownGraphs } from '../membership/graph.ts'
import { type FactsCtx, factsAbout, feedersInto, spacesThatMatter } from '../membership/standing-facts.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { type Gather, openGather } from '../platform/gather.ts'
import type { Sizes } from '../platform/sizes.ts'
import { type AccessFacts, type Asker, decideRead, type Grant, type ReadFacts, type Word } from '../policy/decide.ts'
import type { Decision } from '../policy/verdict.ts'
import { type FactsAsk, loadPeopleAtSpace, loadSpaceFacts, type SpaceFacts } from './store.ts'

export interface AccessCtx extends FactsCtx {
  readonly db: Db
}

export type Read =
  | {
      readonly space: 'live'
      readonly facts: AccessFacts
      /** The revision of the space's community, and all that the answer rests on. */
      readonly revision: number
      readonly basis: Basis
      /** Whether the person has an entry on any roster of the community. */
      readonly isOnRoll: boolean
      /** Of a space whose records are at a PDS: since when it is decided about here, and whether its account still consents. */
      readonly binding: { readonly boundAtMs: number; readonly isReleased: boolean } | null
    }
  | { readonly space: 'deleted' }
  | { readonly space: 'unknown' }

type Facts = ReadonlyMap<Did, SpaceFacts>

/** Where decisions in flight meet on their way to the facts: those about people of whom little is read, and the others. */
interface Looks {
  readonly few: Gather<FactsAsk, Facts>
  readonly many: Gather<FactsAsk, Facts>
}

/** One for each database. */
const looks = new WeakMap<Db, Looks>()

const looksOn = (db: Db): Looks => looks.get(db) ?? openLooks(db)

/** Opens them before the first decision, so that their lines are counted. */
export function openLooks(db: Db, sizes?: Sizes): Looks {
  const alone = async (ask: FactsAsk): Promise<Facts> => (await loadSpaceFacts(db, [ask]))[0] ?? new Map()
  // Two that ask the same read the same: nobody has to wait for another.
  const work = {
    keysOf: () => [],
    alone,
    together: (asks: readonly FactsAsk[]) => loadSpaceFacts(db, asks),
    again: alone,
  }
  // Thousands of entries of one person take as long as hundreds of others: two such looks at a time, and nobody goes along.
  const opened = {
    few: openGather(work, {}, sizes?.line('looks at facts')),
    many: openGather(work, { few: 2, togetherMax: 1 }, sizes?.line('looks at many facts')),
  }
  looks.set(db, opened)
  return opened
}

/** What the names of spaces may come to that go along with a question. Longer ones are named by nobody who means well. */
const NAMES_MAX_CHARS = 32 * 1024

/** The spaces whose entries matter; null: all of them have to be read. */
function waysOf({ authority, uri }: SpaceName, known: KnownGraphs): FactsAsk['within'] {
  // Without a graph this look finds out its revision and no more: what is read with it is read again.
  if (!known(authority)) return []
  const ways = spacesThatMatter(authority, uri, known)
  const chars = ways?.reduce((sum, { length }) => sum + length, 0) ?? 0
  return chars > NAMES_MAX_CHARS ? null : ways
}

/** One look. Where too many spaces matter, those with few entries, who are nearly all, are still looked up with everybody else. */
async function look(db: Db, ask: FactsAsk): Promise<Facts> {
  if (ask.within !== null) return looksOn(db).few.ask(ask)
  const few = await looksOn(db).few.ask({ ...ask, within: [] })
  const isAll = [...few.values()].every(({ hasMany }) => !hasMany)
  return isAll ? few : looksOn(db).many.ask(ask)
}

/** The dated facts about one person and one space: of their entries, those by which they may come to stand there. */
export async function loadReadFacts(ctx: AccessCtx, space: SpaceName, did: Did): Promise<Read> {
  const { authority } = space
  const read = (communities: readonly Did[], known: KnownGraphs) =>
    look(ctx.db, { space, did, communities, within: waysOf(space, known) })
  const found = await ctx.graphs.atOneRevision(ctx.db, authority, read, { feedersOf: feedersInto(space.uri) })
  const here = found?.rows.get(authority)
  if (!found || !here?.space) return { space: 'unknown' }
  if (here.space.state === 'deleted') return { space: 'deleted' }
  const { readPolicy, writePolicy, boundAtMs } = here.space
  const standing = factsAbout(ctx, authority, did, found)
  const facts = { ...standing, space, readPolicy, writePolicy, isAtPds: boundAtMs !== null }
  const binding = boundAtMs === null ? null : { boundAtMs, isReleased: here.isReleased }
  return { space: 'live', facts, revision: standing.revision, basis: standing.basis, isOnRoll: here.isOnRoll, binding }
}

/** What `loadReadFacts` finds, of several people at one revision. */
export type Readers =
  | {
      readonly space: 'live'
      /** The facts about one of those who were asked for. */
      readonly factsOf: (did: Did) => AccessFacts
      readonly revision: number
      /** Whether nobody reads there for now, whoever they are. */
      readonly isFrozen: boolean
    }
  | { readonly space: 'deleted' }
  | { readonly space: 'unknown' }

/** The dated facts about several people and one space, in one look. */
export async function loadReadersFacts(ctx: AccessCtx, space: SpaceName, dids: readonly Did[]): Promise<Readers> {
  const { authority, uri } = space
  const read = (communities: readonly Did[], known: KnownGraphs) =>
    loadPeopleAtSpace(ctx.db, space, { communities, dids, within: spacesThatMatter(authority, uri, known) })
  const found = await ctx.graphs.atOneRevision(ctx.db, authority, read, { feedersOf: feedersInto(uri) })
  const here = found?.rows.get(authority)
  const graph = found?.graphs.get(authority)
  if (!found || !graph || !here?.space) return { space: 'unknown' }
  if (here.space.state === 'deleted') return { space: 'deleted' }
  const { readPolicy, writePolicy, boundAtMs } = here.space
  const ofSpace = { space, readPolicy, writePolicy, isAtPds: boundAtMs !== null }
  const factsOf = (did: Did) => ({ ...factsAbout(ctx, authority, did, found), ...ofSpace })
  return { space: 'live', factsOf, revision: here.revision, isFrozen: graph.isFrozen(uri) }
}

/** The verdict on facts that were just loaded, and on what a managing app said of it. */
export const mayRead = (facts: ReadFacts, asker: Asker, word: Word | null = null): Decision<Grant> =>
  decideRead(facts, asker, word)
