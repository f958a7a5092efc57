/** Loads what a person's standing in a community is computed from. The verdicts are made in `policy/`. */
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { SHIPPED_ROLES } from '../policy/roles.ts'
import type { StandingFacts } from '../policy/standing.ts'
import type { Graphs } from './graph.ts'
import { loadOwnEdges } from './store.ts'

export interface Facts extends StandingFacts {
  readonly revision: number
  readonly graphRevision: number
}

/** The standing facts of one person in one community, or null when the community is unknown. */
export async function loadStandingFacts(
  ctx: { graphs: Graphs; clock: Clock },
  db: Db | Tx,
  community: Did,
  did: Did,
): Promise<Facts | null> {
  const found = await ctx.graphs.atOneRevision(db, community, () => loadOwnEdges(db, community, did))
  if (!found) return null
  const { own, revision, graphRevision } = found.facts
  return { own, nested: found.nested, roles: SHIPPED_ROLES, nowMs: ctx.clock.nowMs(), revision, graphRevision }
}
