/** `community.reeve.member.transferOwnership`: an owner offers the community to somebody, or takes the offer back. */
import type * as lexicon from '../lexicons/community/reeve/member/transferOwnership.ts'
import { $nsid } from '../lexicons/community/reeve/member/transferOwnership.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, required, rosterUri } from './governance.ts'
import { requireDid } from './input.ts'
import { TRANSFER } from './ownership.ts'
import { deleteOwnershipOffer } from './ownership-store.ts'
import { type ActCtx, carryOutOrPropose } from './proposals.ts'
import type { Facts } from './standing-facts.ts'

/**
 * Where the community has another owner, it waits until one of them approves it. Taking back what was never offered changes nothing. Order of checks: the input says to whom, or that it is taken back
 * (InvalidRequest); the caller stands in the community (NotFound); then, for an offer, as `TRANSFER` and `carryOutOrPropose`
 * have it, and for taking it back, that the caller is an owner (NotFound, Forbidden).
 */
export async function memberTransferOwnership(
  ctx: ActCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const { to, roleAfter, expiresAt } = input
  const isCancelled = input.cancel === true
  if (isCancelled === (to !== undefined)) throw new Refusal('InvalidRequest', 'send either to or cancel')
  if (isCancelled && (roleAfter !== undefined || expiresAt !== undefined)) {
    throw new Refusal('InvalidRequest', 'roleAfter and expiresAt are for an offer')
  }
  const call = {
    community,
    actor,
    action: 'member.transferOwnership',
    target: community,
    subject: to === undefined ? null : requireDid(to, 'to'),
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs): Promise<Changed<object>> => {
    if (to === undefined) return cancel(tx, actorFacts)
    const wish = {
      to,
      ...(roleAfter === undefined ? {} : { roleAfter }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    }
    return carryOutOrPropose(ctx, tx, TRANSFER, {
      ...{ actor: actorFacts, target: requireDid(to, 'to'), nowMs, isDryRun: input.dryRun },
      input: wish,
      confirmable: { act: $nsid, input },
    })
  })
}

async function cancel(tx: Tx, actor: Facts): Promise<Changed<object>> {
  const { community } = actor.graph
  const decision = decideAct(actor, actor.did, 'community.transfer', rosterUri(community))
  const isTaken = await deleteOwnershipOffer(tx, required(decision), community)
  const details = { isCancelled: 1 }
  return { answer: {}, changed: isTaken ? 'roster' : 'nothing', because: decision.because, details }
}
