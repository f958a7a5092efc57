/** `community.reeve.community.delete`: the end of a community is announced. Until its day, any owner can stop it. */
import type * as lexicon from '../lexicons/community/reeve/community/delete.ts'
import { $nsid } from '../lexicons/community/reeve/community/delete.ts'
import { changeCommunity } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { type ActCtx, carryOutOrPropose } from '../membership/proposals.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { DELETION } from './irreversible.ts'

/**
 * An owner's act. Where there is another owner, one of them has to approve it; then a week has to pass.
 * Order of checks: the input (InvalidRequest); NotFound; Forbidden; then as `carryOutOrPropose` has it.
 */
export async function communityDelete(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const call = {
    community,
    actor,
    action: DELETION.name,
    target: community,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    carryOutOrPropose(ctx, tx, DELETION, {
      ...{ actor: actorFacts, target: community, nowMs, isDryRun: input.dryRun },
      input: { community },
      confirmable: { act: $nsid, input },
    }),
  )
}
