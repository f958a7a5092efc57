/** `community.reeve.space.delete`: a space comes to its end. Its name is free again once everything of it is cleared away. */
import type * as lexicon from '../lexicons/community/reeve/space/delete.ts'
import { $nsid } from '../lexicons/community/reeve/space/delete.ts'
import { changeCommunity } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { type ActCtx, carryOutOrPropose } from '../membership/proposals.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { ENDING } from './irreversible.ts'

/**
 * From the next decision on nobody stands there, and nobody comes through it anywhere else. Credentials that were issued before
 * are taken back; whoever asked to hear of its writes is told. Where the community has another owner, it waits until somebody else approves it.
 * Order of checks: the space is there and the caller stands in it (NotFound); it isn't the roster (InvalidRequest); the verdict
 * (Forbidden, EscalationDenied); then as `carryOutOrPropose` has it.
 */
export async function spaceDelete(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const call = {
    community: space.authority,
    actor,
    action: ENDING.name,
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    carryOutOrPropose(ctx, tx, ENDING, {
      ...{ actor: actorFacts, target: space.uri, nowMs, isDryRun: input.dryRun },
      input: { space: space.uri },
      confirmable: { act: $nsid, input },
    }),
  )
}
