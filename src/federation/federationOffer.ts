/** `community.reeve.federation.offer`: another community may put one of this community's spaces on its rosters. */
import type * as lexicon from '../lexicons/community/reeve/federation/offer.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { requireDid, requireSpace } from '../membership/input.ts'
import { requireRoomForOffer } from '../membership/limits.ts'
import { saveOffer } from '../membership/offer-store.ts'
import { hasCommunity, loadSpaceState } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

/**
 * With it, those who run the other community see who stands in the space, and by `holding` who may do what there. The space's own side
 * changes nothing: each side says yes, and either ends it alone.
 *
 * Order of checks: the input, and that the other community is another one (InvalidRequest); the space is there and the caller
 * stands in it (NotFound); Forbidden; the other community is here (UnknownCommunity); there is room (LimitExceeded).
 */
export async function federationOffer(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const to = requireDid(input.to, 'to')
  if (to === space.authority) throw new Refusal('InvalidRequest', 'a community needs no offer of its own spaces')
  const call = {
    community: space.authority,
    actor,
    action: 'federation.offer',
    target: space.uri,
    subject: to,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    if ((await loadSpaceState(tx, space.uri)) !== 'live') throw notFound()
    const decision = decideAct(actorFacts, actor, 'space.nest', space.uri)
    const permit = required(decision)
    if (!(await hasCommunity(tx, to))) throw new Refusal('UnknownCommunity', 'no such community here')
    await requireRoomForOffer(tx, space.authority)
    const isNew = await saveOffer(tx, permit, { community: space.authority, space: space.uri, to, nowMs })
    return { answer: {}, changed: isNew ? 'graph' : 'nothing', because: decision.because }
  })
}
