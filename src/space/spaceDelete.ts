/** `community.reeve.space.delete`: a space comes to its end. Its name stays taken, so that no other is ever taken for it. */
import type * as lexicon from '../lexicons/community/reeve/space/delete.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireSpace } from '../membership/input.ts'
import { endSpace, loadSpaceState } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideDelete } from '../policy/decide-spaces.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'

/**
 * From the next decision on nobody stands there, and nobody comes through it anywhere else. Credentials that were issued before
 * run out by themselves. Order of checks: the space is there and the caller stands in it (NotFound); it isn't the roster
 * (InvalidRequest); the verdict (Forbidden, EscalationDenied).
 */
export async function spaceDelete(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const call = {
    community: space.authority,
    actor,
    action: 'space.delete',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts) => {
    const isLive = (await loadSpaceState(tx, space.uri)) === 'live'
    if (!isLive || !standingIn(actorFacts, space.uri).has(space.uri)) throw notFound()
    if (space.uri === rosterUri(space.authority)) {
      throw new Refusal('InvalidRequest', 'the roster lasts as long as its community')
    }
    const decision = decideDelete(actorFacts, actor, space.uri)
    await endSpace(tx, required(decision), space)
    return { answer: {}, changed: 'graph', because: decision.because, touches: { spaces: [space.uri] } }
  })
}
