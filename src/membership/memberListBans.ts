/** `community.reeve.member.listBans`: who is kept out of a space or of the whole community, for those who may ban there. */
import type * as lexicon from '../lexicons/community/reeve/member/listBans.ts'
import type { Did, SpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideListBans } from '../policy/decide.ts'
import { listBansOf } from './ban-store.ts'
import { type GovernanceCtx, notFound, required } from './governance.ts'
import { requireScope } from './input.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/** Pages in the order of DIDs; the cursor is the last DID. @throws Refusal NotFound for strangers; Forbidden */
export async function memberListBans(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(params)
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  if (scope !== community && (await loadSpaceState(ctx.db, scope as SpaceUri)) !== 'live') throw notFound()
  required(decideListBans(facts, caller, scope))

  const limit = params.limit ?? 100
  const page = await listBansOf(ctx.db, scope, params.cursor ?? '', limit)
  const bans = page.map((ban) => ({
    did: ban.did,
    ...(ban.reason === null ? {} : { reason: ban.reason }),
    ...(ban.untilMs === null ? {} : { until: isoOf(ban.untilMs) }),
    bannedBy: ban.bannedBy,
    bannedAt: isoOf(ban.bannedAtMs),
  }))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: last.did } : {}
  return { bans, ...cursor, revision: facts.revision }
}
