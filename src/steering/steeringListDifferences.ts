/** `community.reeve.steering.listDifferences`: whom a look found otherwise at the PDS than declared. */
import type * as lexicon from '../lexicons/community/reeve/steering/listDifferences.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { type Did, parseDid } from '../names.ts'
import { Refusal } from '../refusals.ts'
import { listDiffering, loadLook } from './look-store.ts'
import { requireConfigurer, requireSteered } from './steered-desk.ts'
import { wordsOfFlags } from './steered-view.ts'

/**
 * As they were when it looked, in the order of DIDs.
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); they configure it (Forbidden); it is
 * kept (NotSteered); the look is finished (LookNotOpen). @throws Refusal
 */
export async function steeringListDifferences(
  ctx: GovernanceCtx,
  caller: Did,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const after = params.cursor === undefined ? '' : parseDid(params.cursor)
  if (after === null) throw new Refusal('InvalidRequest', 'cursor is not one that a page ended with')
  const { revision } = await requireConfigurer(ctx, caller, space)
  await requireSteered(ctx.db, space.uri)
  const look = await loadLook(ctx.db, space.uri, params.look)
  if (look?.state !== 'shown' && look?.state !== 'applied') {
    throw new Refusal('LookNotOpen', 'that look is not there, or not finished')
  }
  const limit = params.limit ?? 100
  const page = await listDiffering(ctx.db, look, after, limit)
  const differences = page.map(({ did, declared, actual }) => ({
    did,
    declared: wordsOfFlags(declared),
    actual: wordsOfFlags(actual),
  }))
  const last = page.length === limit ? page.at(-1) : undefined
  return { differences, ...(last ? { cursor: last.did } : {}), revision }
}
