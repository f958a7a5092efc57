/**
 * The verdicts on credentials that are about already. Taking one back takes nothing that its holder can't ask for again while they
 * are let in, so there is no bound on it beyond the action itself.
 */
import { type Did, rosterOf, type SpaceUri } from '../names.ts'
import { type StandingFacts, standingIn, standingOf } from './standing.ts'
import { type Decision, judgeAct, type Permit } from './verdict.ts'

/**
 * May the actor take back credentials for a space, or for the whole community (`scope` is its DID)? `credentials.revoke` there, or in
 * the roster for the whole community. Whoever may do so may see them.
 */
export function decideRevoke(
  facts: StandingFacts,
  actor: Did,
  scope: SpaceUri | Did,
): Decision<Permit<'credentials.revoke'>> {
  const isWhole = scope === facts.graph.community
  const space = isWhole ? rosterOf(facts.graph.community).uri : (scope as SpaceUri)
  return judgeAct(isWhole ? standingOf(facts) : standingIn(facts, space), actor, 'credentials.revoke', space)
}
