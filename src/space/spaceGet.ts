/** `community.reeve.space.get`: one space and its settings, for somebody who stands in it. */
import type * as lexicon from '../lexicons/community/reeve/space/get.ts'
import { type GovernanceCtx, notFound } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { standingIn } from '../policy/standing.ts'
import { hostOf } from './host.ts'
import { renderAppAccess, renderPolicy } from './settings.ts'
import { loadSpace } from './store.ts'

/** @throws Refusal('NotFound') for a space that isn't there, and for a caller without any standing in it */
export async function spaceGet(
  ctx: GovernanceCtx & { readonly serviceDid: Did },
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const name = requireSpace(params.space)
  const facts = await loadStandingFacts(ctx, ctx.db, name.authority, caller)
  const space = facts && standingIn(facts, name.uri).has(name.uri) ? await loadSpace(ctx.db, name.uri) : null
  if (!facts || !space) throw notFound()
  const { graph } = facts
  const { readPolicy, writePolicy } = space
  const about = { serviceDid: ctx.serviceDid, readPolicy, writePolicy, apps: graph.apps, nowMs: ctx.clock.nowMs() }
  const host = space.isBound ? await hostOf(ctx.db, name, about) : null
  return {
    uri: space.uri,
    community: space.authority,
    spaceType: space.spaceType,
    skey: space.skey,
    ...(space.name === null ? {} : { name: space.name }),
    ...(space.description === null ? {} : { description: space.description }),
    readPolicy: renderPolicy(readPolicy),
    writePolicy: renderPolicy(writePolicy),
    appAccess: renderAppAccess(graph.apps, name, true),
    ...(host ? { host } : {}),
    ...(graph.isFrozen(space.uri) ? { isFrozen: true } : {}),
    joining: space.joining,
    ...(space.joiningRole === null ? {} : { joiningRole: space.joiningRole }),
    revision: facts.revision,
  }
}
