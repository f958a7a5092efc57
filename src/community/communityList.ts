/** `community.reeve.community.list`: the communities in which the caller stands, or which they are founding. */
import type * as lexicon from '../lexicons/community/reeve/community/list.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import { statusOf } from './communityGet.ts'
import { listCommunitiesOf } from './store.ts'

/** Pages in the order of DIDs; the cursor is the last DID. */
export async function communityList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const limit = params.limit ?? 50
  const page = await listCommunitiesOf(ctx.db, caller, ctx.clock.nowMs(), params.cursor ?? '', limit)
  const communities = page.map((community) => ({
    did: community.did,
    name: community.name,
    ...(community.handle === null ? {} : { handle: community.handle }),
    status: statusOf(community),
  }))
  const last = page.at(-1)
  return { communities, ...(page.length === limit && last ? { cursor: last.did } : {}) }
}
