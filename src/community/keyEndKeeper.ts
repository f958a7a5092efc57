/** `community.reeve.key.endKeeper`: somebody's enrolled keys count no more. */
import type * as lexicon from '../lexicons/community/reeve/key/endKeeper.ts'
import { $nsid } from '../lexicons/community/reeve/key/endKeeper.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { endKeeperOf, loadKeeper } from '../membership/keeper-store.ts'
import { confirmIfGuarded, requireStepUp } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import type { Reason } from '../policy/verdict.ts'
import { endCeremoniesWith, hasLivingSeat } from './ceremony-seats.ts'
import { settleKeepers } from './quorum-alarms.ts'

/**
 * One's own, which everybody may end who stands in the community, and any, by an owner. Order of checks: the input (InvalidRequest); the
 * caller stands here (NotFound), and may (Forbidden); there is such an enrolment (NotFound); for somebody else's that counts, an owner who has
 * enrolled keys confirms by them (KeeperSignatureRequired, InvalidRequest for keys that don't count yet), or a thief of their session would put
 * out everybody who can say no; for one by which somebody keeps a share every owner does, so that nobody with a session alone, and no keys, takes
 * a community its keepers. One that doesn't count yet and keeps nothing may be a thief's, and any owner ends it at once. Whoever kept a share by
 * it does nothing more in ceremonies, and those that they began, or combine, are over; the share counts outside until the key was replaced, and
 * owners are told so. @throws Refusal
 */
export async function keyEndKeeper(
  ctx: GovernanceCtx & { readonly serviceDid: Did },
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const did = requireDid(input.did, 'did')
  const call = { community, actor: caller, action: 'key.endKeeper', target: community, subject: did, idempotency }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    const own: readonly Reason[] = [{ rule: 'self', from: caller }]
    const because = did === caller ? own : required(decideAct(actor, caller, OWNER_MARK, rosterUri(community))).because
    const keeper = await loadKeeper(tx, community, did)
    if (!keeper) throw notFound()
    if (did !== caller) {
      const act = { service: ctx.serviceDid, community, caller, act: $nsid, input }
      if (await hasLivingSeat(tx, community, keeper)) await requireStepUp(tx, act, input.stepUp, nowMs)
      else if (keeper.countsFromMs <= nowMs) await confirmIfGuarded(tx, act, input.stepUp, nowMs)
    }
    await endKeeperOf(tx, community, did, nowMs)
    const ceremoniesEnded = await endCeremoniesWith(tx, community, did, nowMs)
    await settleKeepers(tx, community, nowMs)
    return { answer: {}, changed: 'roster', because, details: { ceremoniesEnded } }
  })
}
