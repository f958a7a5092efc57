/** `community.reeve.member.getImport`: how far an import is, and what became of the lines that brought nobody in. */
import type * as lexicon from '../lexicons/community/reeve/member/getImport.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { Refusal } from '../refusals.ts'
import type { GovernanceCtx } from './governance.ts'
import { requireSeen } from './import-access.ts'
import { countsOf } from './import-counts.ts'
import { type Import, listFaults, loadImport } from './import-store.ts'
import { renderFault } from './memberImport.ts'

const CURSOR = /^[1-9][0-9]{0,8}$/

/** Pages in the order of lines; the cursor is the last line's number. @throws Refusal InvalidRequest, NotFound, Forbidden */
export async function memberGetImport(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const { cursor } = params
  if (cursor !== undefined && !CURSOR.test(cursor)) throw new Refusal('InvalidRequest', 'no such cursor')
  const one = await requireSeen(ctx, ctx.db, caller, await loadImport(ctx.db, params.import))
  const limit = params.limit ?? 100
  const page = await listFaults(ctx.db, one, stoppedOf(one), { after: Number(cursor ?? 0), limit })
  const last = page.at(-1)
  return {
    import: one.id,
    space: one.space,
    ...countsOf(one),
    ...(one.stoppedBy === null ? {} : { stoppedBy: one.stoppedBy }),
    begunBy: one.begunBy,
    begunAt: isoOf(one.begunAtMs),
    faults: page.map(renderFault),
    ...(page.length === limit && last ? { cursor: String(last.line) } : {}),
  }
}

const stoppedOf = ({ stoppedBy }: Import) =>
  stoppedBy && { code: stoppedBy, says: 'who began the import could no longer put people there' }
