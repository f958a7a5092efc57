/** `community.reeve.proposal.list`: what is proposed in a community, and what became of it. */
import type * as lexicon from '../lexicons/community/reeve/proposal/list.ts'
import { type GovernanceCtx, notFound, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { listOwnersGone, listProposals } from '../membership/proposal-store.ts'
import { SEASON_MS, shownProposal } from '../membership/proposals.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { holds, standingOf } from '../policy/standing.ts'

/**
 * Those who may read the audit see all, and so do those from whom ownership was taken in the last days; others see what they
 * proposed themselves. The newest first; the cursor is the last one's id.
 * @throws Refusal('NotFound') for a caller who stands nowhere in the community
 */
export async function proposalList(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  const gone = await listOwnersGone(ctx.db, community, ctx.clock.nowMs() - SEASON_MS)
  const isGone = gone.includes(caller)
  if (standingOf(facts).size === 0 && !isGone) throw notFound()
  const isAuditor = isGone || holds(standingOf(facts), rosterUri(community), 'audit.read')
  const limit = params.limit ?? 50
  const about = { by: isAuditor ? null : caller, before: params.cursor ?? null, limit }
  const page = await listProposals(ctx.db, community, about)
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: last.id } : {}
  return { proposals: page.map(shownProposal), ...cursor, revision: facts.revision }
}
