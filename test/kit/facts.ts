/** Facts about people, as the tests of verdicts need them. */
import type { Did } from '../../src/names.ts'
import { SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { RosterGraph } from '../../src/policy/roster-graph.ts'
import type { StandingFacts } from '../../src/policy/standing.ts'

/** Somebody without any entry, in a community whose spaces have nothing to do with each other. */
export const nobodyIn = (community: Did, nowMs: number): StandingFacts => ({
  own: [],
  bans: [],
  left: [],
  graph: new RosterGraph(community, []),
  roles: SHIPPED_ROLES,
  feeding: [],
  nowMs,
})
