/**
 * May this person, using this app, read this space, now? Loads the facts, asks `policy/`, and says on which revisions the
 * answer rests, so that whoever acts on it can make sure that nothing moved meanwhile.
 */
import type { Basis } from '../membership/basis.ts'
import type { KnownGraphs } from '../membership/graph.ts'
import { type FactsCtx, factsAbout, feedersInto, spacesThatMatter } from '../membership/standing-facts.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Db } from '../platform/database.ts'
import { type AccessFacts, type Asker, decideRead, type Grant, type ReadFacts } from '../policy/decide.ts'
import type { Decision } from '../policy/verdict.ts'
import { loadPeopleAtSpace, loadSpaceFacts } from './store.ts'

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
    }
  | { readonly space: 'deleted' }
  | { readonly space: 'unknown' }

/** The dated facts about one person and one space: of their entries, those by which they may come to stand there. */
export async function loadReadFacts(ctx: AccessCtx, space: SpaceName, did: Did): Promise<Read> {
  const { authority } = space
  const read = (communities: readonly Did[], known: KnownGraphs) =>
    loadSpaceFacts(ctx.db, space, { communities, did, within: spacesThatMatter(authority, space.uri, known) })
  const found = await ctx.graphs.atOneRevision(ctx.db, authority, read, { feedersOf: feedersInto(space.uri) })
  const here = found?.rows.get(authority)
  if (!found || !here?.space) return { space: 'unknown' }
  if (here.space.state === 'deleted') return { space: 'deleted' }
  const { readPolicy, writePolicy } = here.space
  const standing = factsAbout(ctx, authority, did, found)
  const facts = { ...standing, space, readPolicy, writePolicy }
  return { space: 'live', facts, revision: standing.revision, basis: standing.basis, isOnRoll: here.isOnRoll }
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
  const { readPolicy, writePolicy } = here.space
  const factsOf = (did: Did) => ({ ...factsAbout(ctx, authority, did, found), space, readPolicy, writePolicy })
  return { space: 'live', factsOf, revision: here.revision, isFrozen: graph.isFrozen(uri) }
}

/** The verdict on facts that were just loaded. */
export const mayRead = (facts: ReadFacts, asker: Asker): Decision<Grant> => decideRead(facts, asker)
