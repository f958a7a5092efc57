/** `community.reeve.member.applyImport`: the people of an import come onto the roster, or are shown beforehand. */
import type * as lexicon from '../lexicons/community/reeve/member/applyImport.ts'
import type { Did } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { type ChangeCall, changeIn, type GovernanceCtx, keepingRefusals, notFound } from './governance.ts'
import { requireBegunBy, requireSeen, requireState } from './import-access.ts'
import { applyBatch } from './import-batch.ts'
import { tryImport } from './import-preview.ts'
import { type Import, loadImport, lockImport } from './import-store.ts'

/**
 * The first rows are applied with this call, the others by a worker of any process. A dry run changes nothing and may be asked
 * for again and again.
 *
 * Order of checks: the caller may see the import (NotFound, Forbidden) and began it (Forbidden); StaleRevision; it is open
 * (ImportNotOpen); they may still put people there (NotFound, Forbidden).
 */
export async function memberApplyImport(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const one = await loadImport(ctx.db, input.import)
  if (!one) throw notFound()
  const call = { ...callOf(one, actor), ifRevision: input.ifRevision, idempotency }
  return keepingRefusals(ctx, call, async () => {
    await requireSeen(ctx, ctx.db, actor, one)
    requireBegunBy(one, actor)
    if (input.dryRun) return tryImport(ctx, call, one)
    return withTransaction(ctx.db, async (tx) => {
      const held = await lockImport(tx, one.id)
      if (!held) throw notFound()
      return changeIn(ctx, tx, call, async (_tx, facts, nowMs) => {
        requireState(held, 'open')
        return applyBatch(ctx, tx, facts, held, nowMs)
      })
    })
  })
}

/** The call by which rows of an import are applied, now or by a worker. */
export const callOf = (one: Import, actor: Did): ChangeCall => ({
  community: one.community,
  actor,
  action: 'member.applyImport',
  target: one.space,
  subject: null,
  ifRevision: undefined,
  idempotency: null,
})
