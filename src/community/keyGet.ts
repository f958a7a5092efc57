/** `community.reeve.key.get`: a ceremony, for owners and for its keepers. */
import type * as lexicon from '../lexicons/community/reeve/key/get.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { shownWithPacket } from './ceremony-view.ts'
import { findFor } from './keeper-acts.ts'

/** Keepers see it wherever else they stand. Nobody is shown a packet but their own. @throws Refusal NotFound for everybody else */
export async function keyGet(ctx: GovernanceCtx, caller: Did, params: lexicon.$Params): Promise<lexicon.$OutputBody> {
  const community = requireDid(params.community, 'community')
  const { ceremony } = await findFor(ctx, ctx.db, { community, id: params.ceremony, caller })
  return shownWithPacket(ctx, ctx.db, ceremony, caller)
}
