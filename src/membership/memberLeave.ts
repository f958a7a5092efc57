/** `community.reeve.member.leave`: a person goes, by their own will, and no space brings them back in behind it. */
import type * as lexicon from '../lexicons/community/reeve/member/leave.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideLeave } from '../policy/decide.ts'
import { saveDeparture } from './ban-store.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { requireSpace } from './input.ts'
import { countOtherOwners, deletePersonEdge, loadSpaceState } from './store.ts'

/**
 * Takes the person's own entry and closes the ways in through other spaces until somebody puts them there again. An owner stays
 * in every space while they are one. Order of checks: the person stands there (NotFound); LastOwner.
 */
export async function memberLeave(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const call = {
    community: space.authority,
    actor,
    action: 'member.leave',
    target: space.uri,
    subject: actor,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
    isFor: 'guests' as const,
  }
  return changeCommunity(ctx, call, async (tx, person, nowMs) => {
    if ((await loadSpaceState(tx, space.uri)) !== 'live') throw notFound()
    const roster = rosterUri(space.authority)
    const otherOwners = await countOtherOwners(tx, roster, actor, nowMs)
    const decision = decideLeave({ person, roster, otherOwners }, actor, space.uri)
    const permit = required(decision)
    await deletePersonEdge(tx, permit, space.uri, actor)
    await saveDeparture(tx, permit, { community: space.authority, space: space.uri, did: actor, nowMs })
    return { answer: {}, changed: 'roster', because: decision.because, touches: { people: [actor] } }
  })
}
