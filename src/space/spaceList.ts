/** `community.reeve.space.list`: the spaces of a community in which the caller stands. */
import type * as lexicon from '../lexicons/community/reeve/space/list.ts'
import { type GovernanceCtx, notFound } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { standingOf } from '../policy/standing.ts'
import { listSpaces } from './store.ts'

/** Pages in the order of URIs; the cursor is the last URI. @throws Refusal('NotFound') for a caller who stands nowhere in it */
export async function spaceList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  const reached = facts ? [...standingOf(facts).keys()] : []
  if (!facts || reached.length === 0) throw notFound()
  const limit = params.limit ?? 50
  const page = await listSpaces(ctx.db, reached, params.cursor ?? '', limit)
  const spaces = page.map(({ uri, spaceType, skey, name }) => ({
    uri,
    spaceType,
    skey,
    ...(name === null ? {} : { name }),
  }))
  const last = page.at(-1)
  return { spaces, ...(page.length === limit && last ? { cursor: last.uri } : {}), revision: facts.revision }
}
