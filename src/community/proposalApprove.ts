/** `community.reeve.proposal.approve`: a second person says yes to what can't be taken back. */
import type * as lexicon from '../lexicons/community/reeve/proposal/approve.ts'
import { $nsid } from '../lexicons/community/reeve/proposal/approve.ts'
import { changeCommunity, notFound } from '../membership/governance.ts'
import { loadProposal } from '../membership/proposal-store.ts'
import { type ActCtx, approve } from '../membership/proposals.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { actNamed } from './acts.ts'

/**
 * Whoever might do it themself may approve it, but for who proposed it. Order of checks: there is such a proposal, in a community
 * where the caller stands (NotFound); then as `approve` has it.
 */
export async function proposalApprove(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const proposal = await loadProposal(ctx.db, input.proposal)
  const act = proposal && actNamed(proposal.act)
  if (!proposal || !act) throw notFound()
  const call = {
    community: proposal.community,
    actor,
    action: 'proposal.approve',
    target: proposal.target,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    approve(ctx, tx, act, {
      ...{ actor: actorFacts, id: proposal.id, nowMs, isDryRun: input.dryRun },
      confirmable: { act: $nsid, input },
    }),
  )
}
