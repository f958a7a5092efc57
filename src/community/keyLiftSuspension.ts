/** `community.reeve.key.liftSuspension`: a keeper who gave wrong shares may act again. */
import type * as lexicon from '../lexicons/community/reeve/key/liftSuspension.ts'
import { $nsid } from '../lexicons/community/reeve/key/liftSuspension.ts'
import { changeCommunity, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { liftSuspension } from '../membership/keeper-store.ts'
import type { ActCtx } from '../membership/proposals.ts'
import { requireStepUp } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { endShareAlarm } from './ceremony-end.ts'
import { settleKeepers } from './quorum-alarms.ts'

/**
 * Order of checks: the input (InvalidRequest); an answer under the same idempotencyKey (IdempotencyConflict); the caller stands here (NotFound), at
 * ifRevision (StaleRevision), may touch its keys, and it is about somebody else (Forbidden); the step up (KeeperSignatureRequired, InvalidRequest for keys that don't count
 * yet); somebody gave wrong shares there (NotFound): one or two are forgiven by the same
 * call. @throws Refusal
 */
export async function keyLiftSuspension(
  ctx: ActCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const did = requireDid(input.did, 'did')
  const call = { community, actor: caller, action: 'key.liftSuspension', target: community, subject: did, idempotency }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    const permit = required(decideAct(actor, caller, 'keys.ceremony', rosterUri(community)))
    if (did === caller) throw new Refusal('Forbidden', 'somebody else has to ask you, and lift it')
    const act = { service: ctx.serviceDid, community, caller, act: $nsid, input }
    await requireStepUp(tx, act, input.stepUp, nowMs)
    if (!(await liftSuspension(tx, community, did))) throw notFound()
    await endShareAlarm(tx, community, did, nowMs)
    await settleKeepers(tx, community, nowMs)
    return { answer: {}, changed: 'roster', because: permit.because }
  })
}
