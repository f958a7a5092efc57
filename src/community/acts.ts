/** Every act that can't be taken back, and the carrying out of those whose day has come. */
import { changeCommunity } from '../membership/governance.ts'
import { TRANSFER } from '../membership/ownership.ts'
import { endProposal, listDueProposals, loadProposal, type Proposal } from '../membership/proposal-store.ts'
import type { Act, ActCtx } from '../membership/proposals.ts'
import { endUnattended, requireStillDue } from '../membership/proposals.ts'
import { errorName, type Log } from '../platform/log.ts'
import { Refusal } from '../refusals.ts'
import { ENDING, OPENING } from '../space/irreversible.ts'
import { DELETION } from './irreversible.ts'
import { EXPORTING } from './key-exports.ts'
import { RECOVERY_CHANGE } from './recovery-change.ts'

const ACTS: readonly Act[] = [ENDING, OPENING, TRANSFER, DELETION, RECOVERY_CHANGE, EXPORTING]

/** The act of that name, or null for one that this version doesn't know. */
export const actNamed = (name: string): Act | null => ACTS.find((act) => act.name === name) ?? null

/** Proposals looked at in one turn. */
const TURN_MAX = 20

/**
 * Carries out what is approved and due, in the name of whoever proposed it; when they may no longer, nobody does it. One that fails
 * doesn't stop the others, and is tried again. Answers how many came to their end.
 */
export async function carryOutDue(ctx: ActCtx & { readonly log: Log }): Promise<number> {
  let ended = 0
  for (const proposal of await listDueProposals(ctx.db, ctx.clock.nowMs(), TURN_MAX)) {
    try {
      await carryOutOne(ctx, proposal)
      ended += 1
    } catch (error) {
      ctx.log.warn('proposal.waits', { id: proposal.id, error: errorName(error) })
    }
  }
  return ended
}

async function carryOutOne(ctx: ActCtx, proposal: Proposal): Promise<void> {
  const act = actNamed(proposal.act)
  if (!act) throw new Error('an act of another version')
  const { id, community, target, proposedBy, input } = proposal
  const call = { community, actor: proposedBy, action: act.name, target, subject: null, ifRevision: undefined }
  try {
    await changeCommunity(ctx, { ...call, idempotency: null }, async (tx, _proposer, nowMs) => {
      const now = await loadProposal(tx, id)
      // Another process was quicker, or an owner stopped it in the last moment.
      if (now?.state !== 'approved') return { answer: {}, changed: 'nothing', because: [] }
      const proposer = await requireStillDue(ctx, tx, act, now, nowMs)
      const done = await act.carryOut(ctx, tx, proposer, input, nowMs, id)
      await endProposal(tx, id, 'done', { by: proposedBy, nowMs })
      const { approvedBy } = now
      return { ...done, details: { ...done.details, proposal: id, approvedBy } }
    })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await endUnattended(ctx, act, proposal)
  }
}
