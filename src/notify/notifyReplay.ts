/** `community.reeve.notify.replay`: a registration is told again of what was written after some point. */
import type * as lexicon from '../lexicons/community/reeve/notify/replay.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { microsOf } from '../platform/tid.ts'
import { Refusal } from '../refusals.ts'
import { atDesk } from './desk.ts'
import { countWaiting, replayRegistration } from './registration-store.ts'

/**
 * Of each repo it hears the newest revision only, as always. A point beyond where it stands sets it nowhere: nothing is ever skipped by
 * this. One that is paused stays so. Checks and errors are those of `atDesk`; a `from` that is no TID is InvalidRequest.
 */
export async function notifyReplay(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const fromRev = input.from === undefined ? 0 : microsOf(input.from)
  if (fromRev === null) throw new Refusal('InvalidRequest', 'from is not a spaceRev')
  const details = { from: input.from ?? null }
  const call = { actor, action: 'notify.replay', input, idempotency, details } as const
  return atDesk(ctx, call, async (tx, permit, { id }) => {
    await replayRegistration(tx, permit, id, fromRev)
    return { answer: { waiting: await countWaiting(tx, id) }, isChanged: true }
  })
}
