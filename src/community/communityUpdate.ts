/** `community.reeve.community.update`: what people call a community. */
import type * as lexicon from '../lexicons/community/reeve/community/update.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid, requireShownName } from '../membership/input.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { loadCommunity, renameCommunity } from './store.ts'

/** Order of checks: the input (InvalidRequest); NotFound; Forbidden without community.configure in the roster. */
export async function communityUpdate(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const name = requireShownName(input.name)
  const call = {
    community,
    actor,
    action: 'community.update',
    target: community,
    subject: null,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts) => {
    const decision = decideAct(actorFacts, actor, 'community.configure', rosterUri(community))
    const permit = required(decision)
    const before = await loadCommunity(tx, community)
    if (!before) throw notFound()
    if (before.name !== name) await renameCommunity(tx, permit, community, name)
    return { answer: {}, changed: before.name === name ? 'nothing' : 'roster', because: decision.because }
  })
}
