/** `community.reeve.steering.get`: the grant of a community's account, and the spaces that are kept at its PDS. */
import type * as lexicon from '../lexicons/community/reeve/steering/get.ts'
import { type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { type Did, parseSpaceUri, type SpaceUri } from '../names.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { loadAlarms } from './alarms.ts'
import { loadConnection } from './connection-store.ts'
import { renderConnection } from './connection-view.ts'
import { listSteered } from './steered-view.ts'

/**
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound); they configure it (Forbidden). Of a
 * community that was founded here there is nothing to show. @throws Refusal
 */
export async function steeringGet(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const after = params.cursor === undefined ? '' : placeOf(params.cursor)
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  required(decideAct(facts, caller, 'community.configure', rosterUri(community)))
  const limit = params.limit ?? 50
  const connection = await loadConnection(ctx.db, community)
  const spaces = await listSteered(ctx.db, community, { limit, after, graph: facts.graph })
  const last = spaces.at(-1)
  return {
    ...(connection ? { connection: renderConnection(connection) } : {}),
    ...{ alarms: [...(await loadAlarms(ctx, community))], spaces: [...spaces] },
    ...(spaces.length === limit && last ? { cursor: last.space } : {}),
    revision: facts.revision,
  }
}

/** @throws Refusal('InvalidRequest') */
function placeOf(cursor: string): SpaceUri {
  const space = parseSpaceUri(cursor)
  if (!space) throw new Refusal('InvalidRequest', 'cursor is not one that a page ended with')
  return space.uri
}
