/** `community.reeve.steering.getSpace`: how a space is kept at its PDS, and what the newest look found. */
import type * as lexicon from '../lexicons/community/reeve/steering/getSpace.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { loadNewestLook } from './look-store.ts'
import { requireConfigurer, requireSteered } from './steered-desk.ts'
import { renderLook, renderSteered } from './steered-view.ts'

/**
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); they configure it (Forbidden); it is
 * kept (NotSteered). @throws Refusal
 */
export async function steeringGetSpace(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const { graph, revision } = await requireConfigurer(ctx, caller, space)
  const steered = await requireSteered(ctx.db, space.uri)
  const look = await loadNewestLook(ctx.db, space.uri)
  const shown = await renderSteered(ctx.db, steered, { graph })
  return { steered: shown, ...(look ? { look: renderLook(look) } : {}), revision }
}
