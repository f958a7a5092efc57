/** `community.reeve.notify.pause`: a registration is told nothing until it is resumed. */
import type * as lexicon from '../lexicons/community/reeve/notify/pause.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { atDesk } from './desk.ts'
import { pauseRegistration } from './registration-store.ts'

/**
 * What is written meanwhile waits for it; its time goes on, and so does that of its sponsors. Where it was paused before, nothing is changed
 * or recorded. Checks and errors are those of `atDesk`.
 */
export async function notifyPause(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const call = { actor, action: 'notify.pause', input, idempotency } as const
  return atDesk(ctx, call, async (tx, permit, { id }, nowMs) => ({
    answer: {},
    isChanged: await pauseRegistration(tx, permit, id, nowMs),
  }))
}
