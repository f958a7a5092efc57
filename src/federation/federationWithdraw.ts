/** `community.reeve.federation.withdraw`: an offer is taken back. From the next decision on nobody comes in by it. */
import type * as lexicon from '../lexicons/community/reeve/federation/withdraw.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireDid, requireSpace } from '../membership/input.ts'
import { deleteOffer } from '../membership/offer-store.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'

/**
 * The other community's entry stays where it is and gives nothing; it counts again when the space is offered again. Taking back
 * what was never offered changes nothing. Order of checks: the space is there and the caller stands in it (NotFound); Forbidden.
 */
export async function federationWithdraw(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const to = requireDid(input.to, 'to')
  const call = {
    community: space.authority,
    actor,
    action: 'federation.withdraw',
    target: space.uri,
    subject: to,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts) => {
    if ((await loadSpaceState(tx, space.uri)) !== 'live') throw notFound()
    const decision = decideAct(actorFacts, actor, 'space.nest', space.uri)
    const isTaken = await deleteOffer(tx, required(decision), space.uri, to)
    return { answer: {}, changed: isTaken ? 'graph' : 'nothing', because: decision.because }
  })
}
