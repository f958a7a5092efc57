/** `community.reeve.space.describe`: what an app has to know before it asks for a credential, or to join. Anybody may ask. */
import type * as lexicon from '../lexicons/community/reeve/space/describe.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Hosted } from '../membership/hosted.ts'
import { requireSpace } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { loadSpaceState } from '../membership/store.ts'
import { judgeApp } from '../policy/apps.ts'
import { Refusal } from '../refusals.ts'
import { isRecordless, renderAppAccess, renderPolicy } from './settings.ts'
import { loadSpace } from './store.ts'

interface DescribeCtx extends GovernanceCtx {
  readonly hosted: Pick<Hosted, 'hasLeft'>
}

/**
 * Says what the exchange would say anyway, how the space is joined, and nothing about people, nor which apps are on a list. Rosters
 * and role spaces hold no records, and are not described, nor are spaces that are at a PDS, or of a community that has left. @throws Refusal('SpaceNotFound'), Refusal('SpaceDeleted')
 */
export async function spaceDescribe(ctx: DescribeCtx, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const name = requireSpace(params.space)
  const isElsewhere = isRecordless(name) || ctx.hosted.hasLeft(name.authority)
  const state = isElsewhere ? null : await loadSpaceState(ctx.db, name.uri)
  if (state === 'deleted') throw new Refusal('SpaceDeleted', 'the space was deleted')
  const space = state ? await loadSpace(ctx.db, name.uri) : null
  // Of one that is elsewhere its host tells, which alone gives credentials for it.
  if (space?.isBound) throw new Refusal('SpaceNotFound', 'no such space here')
  // What is said about apps is kept with the community's graph. Nobody's standing is asked for.
  const facts = space && (await loadStandingFacts(ctx, ctx.db, name.authority, name.authority))
  if (!space || !facts) throw new Refusal('SpaceNotFound', 'no such space here')
  const { apps } = facts.graph
  return {
    uri: space.uri,
    spaceType: space.spaceType,
    readPolicy: renderPolicy(space.readPolicy),
    writePolicy: renderPolicy(space.writePolicy),
    appAccess: renderAppAccess(apps, name, false),
    mustAttest: !judgeApp(apps, name.authority, name.uri, null).ok,
    joining: space.joining,
  }
}
