/** `community.reeve.notify.resume`: a registration that was paused, or is failing, is told again from where it stood. */
import type * as lexicon from '../lexicons/community/reeve/notify/resume.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { atDesk } from './desk.ts'
import { countWaiting, resumeRegistration } from './registration-store.ts'

/**
 * At once, and as if it had never failed: a pause is not a failure, and must not be what ends it. Where it was neither paused nor failing,
 * nothing is changed or recorded. Checks and errors are those of `atDesk`.
 */
export async function notifyResume(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const call = { actor, action: 'notify.resume', input, idempotency } as const
  return atDesk(ctx, call, async (tx, permit, { id }) => {
    const isChanged = await resumeRegistration(tx, permit, id)
    return { answer: { waiting: await countWaiting(tx, id) }, isChanged }
  })
}
