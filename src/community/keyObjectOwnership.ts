/** `community.reeve.key.objectOwnership`: an owner of now objects to the owners that a key of the community named. */
import type * as lexicon from '../lexicons/community/reeve/key/objectOwnership.ts'
import { $nsid } from '../lexicons/community/reeve/key/objectOwnership.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { confirmIfGuarded } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { isConfirmed, loadOpenClaim, noteObjection } from './ownership-claim-store.ts'
import { tellOwners } from './ownership-claims.ts'

type ObjectCtx = GovernanceCtx & { readonly serviceDid: Did }

/**
 * One owner is enough, whatever the others say: what they lose by it is time, if the key is the right people's. Objecting again changes
 * nothing. Who has enrolled keys objects by them, or whoever stole their session could keep the right people out.
 *
 * Order of checks: the input (InvalidRequest); the caller stands here (NotFound), at ifRevision (StaleRevision), and is an owner (Forbidden);
 * owners were named (NotFound), and not a second time after an objection (Forbidden); a caller who has enrolled keys confirms by them
 * (KeeperSignatureRequired, InvalidRequest for keys that don't count yet). @throws Refusal
 */
export async function keyObjectOwnership(
  ctx: ObjectCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const call = {
    community,
    actor: caller,
    action: 'key.objectOwnership',
    target: community,
    subject: null,
    idempotency,
  }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    const permit = required(decideAct(actor, caller, OWNER_MARK, rosterUri(community)))
    const claim = await loadOpenClaim(tx, community)
    if (!claim) throw new Refusal('NotFound', 'nobody was named as owner by a key of the community')
    if (isConfirmed(claim)) {
      throw new Refusal('Forbidden', 'it was signed a second time after an objection: nobody can object any more')
    }
    if (claim.state === 'objected') return { answer: {}, changed: 'nothing', because: permit.because }
    const about = { service: ctx.serviceDid, community, caller, act: $nsid, input }
    await confirmIfGuarded(tx, about, input.stepUp, nowMs)
    await noteObjection(tx, permit, claim.id, nowMs)
    await tellOwners(tx, { ...claim, state: 'objected', objectedBy: caller, objectedAtMs: nowMs }, nowMs)
    const details = { claim: claim.id, signedBy: claim.signedBy, owners: claim.owners.join(' ') }
    return { answer: {}, changed: 'roster', because: permit.because, details }
  })
}
