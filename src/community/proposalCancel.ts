/** `community.reeve.proposal.cancel`: what was proposed is not done; or what was begun with it, and isn't over, comes to nothing. */
import type * as lexicon from '../lexicons/community/reeve/proposal/cancel.ts'
import { changeCommunity, type GovernanceCtx, notFound, rosterUri } from '../membership/governance.ts'
import { listOwnersGone, loadProposal } from '../membership/proposal-store.ts'
import { callOff, isExpired, notOpen, SEASON_MS, takeBack } from '../membership/proposals.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { holds, standingOf } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { actNamed } from './acts.ts'

/**
 * Who proposed it may stop it, and every owner: to stop something takes one. So may those from whom ownership was taken in the last
 * days: perhaps it was taken for this. Order of checks: there is such a proposal, in a
 * community where the caller stands (NotFound); Forbidden; it waits still, or what its day
 * began can be taken back (ProposalNotOpen): a key on its way out, until its file was taken.
 */
export async function proposalCancel(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const proposal = await loadProposal(ctx.db, input.proposal)
  if (!proposal) throw notFound()
  const { id, community, target } = proposal
  const call = {
    community,
    actor,
    action: 'proposal.cancel',
    target,
    subject: proposal.proposedBy,
    ifRevision: input.ifRevision,
    idempotency,
    isFor: 'anybody' as const,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    const standing = standingOf(actorFacts)
    const isOwner = holds(standing, rosterUri(community), OWNER_MARK)
    const isGone = (await listOwnersGone(tx, community, nowMs - SEASON_MS)).includes(actor)
    if (!isOwner && !isGone && standing.size === 0) throw notFound()
    if (!isOwner && !isGone && proposal.proposedBy !== actor) {
      throw new Refusal('Forbidden', 'it is not yours to stop')
    }
    const now = await loadProposal(tx, id)
    if (!now || isExpired(now, nowMs)) throw notOpen()
    const act = actNamed(now.act)
    const isWaiting = now.state === 'open' || now.state === 'approved'
    if (isWaiting) await callOff(tx, act, now, { by: actor, nowMs })
    else if (!(await takeBack(tx, act, now, { by: actor, nowMs }))) throw notOpen()
    const details = { proposal: id, act: now.act, state: now.state }
    return { answer: {}, changed: 'roster', because: [{ rule: 'self', from: actor }], details }
  })
}
