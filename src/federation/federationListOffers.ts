/** `community.reeve.federation.listOffers`: what a community offers to others, and what others offer to it. */
import type * as lexicon from '../lexicons/community/reeve/federation/listOffers.ts'
import { type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { listOffersOf } from '../membership/offer-store.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { decideAct } from '../policy/decide.ts'

/**
 * For those who may nest spaces in the roster, owners and admins. Pages in the order of space and receiver; the cursor is the last
 * of both. @throws Refusal NotFound for strangers; Forbidden
 */
export async function federationListOffers(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const facts = await loadStandingFacts(ctx, ctx.db, community, caller)
  if (!facts) throw notFound()
  required(decideAct(facts, caller, 'space.nest', rosterUri(community)))

  const limit = params.limit ?? 100
  const [space = '', to = ''] = (params.cursor ?? '').split(' ')
  const page = await listOffersOf(ctx.db, community, { space, to }, limit)
  const offers = page.map((offer) => ({
    space: offer.space,
    to: offer.to,
    from: offer.community,
    // Who signs for the other community is its own affair.
    ...(offer.community === community ? { offeredBy: offer.offeredBy } : {}),
    offeredAt: isoOf(offer.offeredAtMs),
  }))
  const last = page.at(-1)
  const cursor = page.length === limit && last ? { cursor: `${last.space} ${last.to}` } : {}
  return { offers, ...cursor, revision: facts.revision }
}
