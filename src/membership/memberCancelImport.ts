/** `community.reeve.member.cancelImport`: what an import has not put yet stays as it is. */
import type * as lexicon from '../lexicons/community/reeve/member/cancelImport.ts'
import type { Did } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { type ProcedureCall, remember, remembered } from '../platform/idempotency.ts'
import { type GovernanceCtx, keepingRefusals, notFound } from './governance.ts'
import { requireSeen, requireState } from './import-access.ts'
import { countsOf } from './import-counts.ts'
import { loadImport, lockImport, saveCancelled } from './import-store.ts'

/**
 * For everybody who may put people into the space: whoever sees it go wrong can stop it. A batch that is being put comes to its
 * end first. Order of checks: NotFound, Forbidden; ImportNotOpen when there is nothing to cancel.
 */
export async function memberCancelImport(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const known = await loadImport(ctx.db, input.import)
  if (!known) throw notFound()
  const { community, space } = known
  const call = { community, actor, action: 'member.cancelImport', target: space, subject: null }
  return keepingRefusals(ctx, call, () =>
    withTransaction(ctx.db, async (tx) => {
      const nowMs = ctx.clock.nowMs()
      const earlier = idempotency && (await remembered(tx, idempotency, nowMs))
      if (earlier) return earlier.answer as lexicon.$OutputBody
      const one = await requireSeen(ctx, tx, actor, await lockImport(tx, known.id))
      requireState(one, 'open', 'running', 'cancelled')
      if (one.state !== 'cancelled') await saveCancelled(tx, one.id, nowMs)
      const answer = countsOf({ ...one, state: 'cancelled' })
      if (idempotency) await remember(tx, idempotency, answer, nowMs)
      return answer
    }),
  )
}
