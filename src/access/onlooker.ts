/** Whoever asks how somebody stands: how much of it is for them to know. */
import { rosterUri } from '../membership/governance.ts'
import type { Facts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { type AccessFacts, decideListBans } from '../policy/decide.ts'
import type { Onlooker } from '../policy/explain.ts'
import { holds, standingIn, standingOf } from '../policy/standing.ts'

/** What the caller may see where this person is concerned. */
export function onlookerOf(caller: Facts, person: Did): Onlooker {
  const standing = standingOf(caller)
  return {
    isSelf: person === caller.did,
    seesAll: holds(standing, rosterUri(caller.graph.community), 'audit.read'),
    standsIn: (space) => standing.has(space),
    seesRoster: (space) => holds(standing, space, 'members.read'),
    seesBans: (scope) => decideListBans(caller, caller.did, scope).ok,
  }
}

/** Whether the person who asks about themself judges apps there. */
export const seesAppsIn = (facts: AccessFacts): boolean =>
  holds(standingIn(facts, facts.space.uri), facts.space.uri, 'apps.review')
