/** `community.reeve.steering.look`: what the PDS has of a space is read, and set against what is declared. Nothing is changed there by it. */
import type * as lexicon from '../lexicons/community/reeve/steering/look.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import type { Random } from '../platform/random.ts'
import { Refusal } from '../refusals.ts'
import { insertLook, loadNewestLook } from './look-store.ts'
import { lookName } from './reconcile.ts'
import { requireConfigurer, requireConnected, requireSteered } from './steered-desk.ts'
import { holdSteered } from './steered-store.ts'

/**
 * It is put down and answered with its name; a worker makes it.
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); they configure it (Forbidden); it is
 * kept (NotSteered); its account has given a grant (NotConnected); nobody is looking already (LookWaits). @throws Refusal
 */
export async function steeringLook(
  ctx: GovernanceCtx & { readonly random: Random },
  caller: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  await requireConfigurer(ctx, caller, space)
  const look = lookName(ctx.random)
  await withTransaction(ctx.db, async (tx) => {
    await requireSteered(tx, space.uri)
    await requireConnected(tx, space.authority)
    await holdSteered(tx, space.uri)
    if (await loadNewestLook(tx, space.uri, true)) {
      throw new Refusal('LookWaits', 'somebody is looking already; wait for that')
    }
    await insertLook(tx, { id: look, space: space.uri, askedBy: caller, nowMs: ctx.clock.nowMs() })
  })
  return { look }
}
