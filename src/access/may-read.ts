/**
 * May this person, using this app, read this space, now? Loads the facts, asks `policy/`, and says on which revision the
 * answer rests, so that whoever acts on it can make sure that nothing moved meanwhile.
 */
import type { Graphs } from '../membership/graph.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import {
  type AccessFacts,
  type Asker,
  type Decision,
  decideRead,
  type Grant,
  type ReadFacts,
} from '../policy/decide.ts'
import { SHIPPED_ROLES } from '../policy/roles.ts'
import { loadSpaceFacts } from './store.ts'

export interface AccessCtx {
  readonly db: Db
  readonly clock: Clock
  readonly graphs: Graphs
}

export type Read =
  | { readonly space: 'live'; readonly facts: AccessFacts; readonly revision: number }
  | { readonly space: 'deleted' }
  | { readonly space: 'unknown' }

/** The dated facts about one person and one space. */
export async function loadReadFacts(ctx: AccessCtx, space: SpaceName, did: Did): Promise<Read> {
  const found = await ctx.graphs.atOneRevision(ctx.db, space.authority, () => loadSpaceFacts(ctx.db, space, did))
  if (!found?.facts.space) return { space: 'unknown' }
  if (found.facts.space.state === 'deleted') return { space: 'deleted' }
  const { own, revision, space: settings } = found.facts
  const nowMs = ctx.clock.nowMs()
  const { readPolicy, writePolicy } = settings
  const facts = { own, nested: found.nested, roles: SHIPPED_ROLES, nowMs, space, readPolicy, writePolicy }
  return { space: 'live', facts, revision }
}

/** The verdict on facts that were just loaded. */
export const mayRead = (facts: ReadFacts, asker: Asker): Decision<Grant> => decideRead(facts, asker)
