/** `community.reeve.key.enrolKeeper`: somebody enrols keys of their own. */
import { isRecipient } from '../keys/age.ts'
import { fingerprintOf, keeperProofHolds } from '../keys/keeper-statements.ts'
import type * as lexicon from '../lexicons/community/reeve/key/enrolKeeper.ts'
import { $nsid } from '../lexicons/community/reeve/key/enrolKeeper.ts'
import { changeCommunity, required } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { saveKeeper } from '../membership/keeper-store.ts'
import { isGuarded, KEEPER_REPLACED_SEASON_MS, KEEPER_SEASON_MS } from '../membership/keepers.ts'
import type { ActCtx } from '../membership/proposals.ts'
import { requireStepUp } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { freshTid } from '../platform/random.ts'
import { decideEnrolment } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'

/**
 * One enrolment for each person in a community: another one ends it, and the time begins anew. That a session is enough to enrol is why
 * nothing follows from it for a day, in which every owner sees it; for three where it takes the place of keys, also of such as ended in
 * the last three days, and those didn't confirm it. Everybody in the roster may, owner or not, since everybody may be asked to keep a share; it
 * gives no power, and whoever names them in a split has compared the fingerprint.
 *
 * Order of checks: the input (InvalidRequest); the proof (KeeperSignatureRequired); the caller stands here (NotFound), and in the roster
 * (Forbidden); a step up that was sent is by the keys before (KeeperSignatureRequired, InvalidRequest while they don't count).
 * @throws Refusal
 */
export async function keyEnrolKeeper(
  ctx: ActCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const signer = parseDidKey(input.signKey)
  if (!signer) throw new Refusal('InvalidRequest', 'signKey is not a did:key over P-256 or secp256k1')
  if (!(await isRecipient(input.sealKey))) throw new Refusal('InvalidRequest', 'sealKey is not an age recipient: age1…')
  const keys = { sealKey: input.sealKey, signKey: signer.didKey }
  if (!keeperProofHolds({ community, caller, service: ctx.serviceDid, ...keys }, input.proof)) {
    throw new Refusal('KeeperSignatureRequired', 'the proof is not by signKey, or not over the right words')
  }
  const call = { community, actor: caller, action: 'key.enrolKeeper', target: community, subject: caller, idempotency }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    const because = required(decideEnrolment(actor, caller))
    const isOver = await isGuarded(tx, community, caller, nowMs)
    const { stepUp } = input
    if (stepUp)
      await requireStepUp(tx, { service: ctx.serviceDid, community, caller, act: $nsid, input }, stepUp, nowMs)
    const countsFromMs = nowMs + (isOver && !stepUp ? KEEPER_REPLACED_SEASON_MS : KEEPER_SEASON_MS)
    const id = freshTid(nowMs, ctx.random)
    await saveKeeper(tx, community, { id, did: caller, ...keys, enrolledAtMs: nowMs, countsFromMs })
    const fingerprint = fingerprintOf(keys)
    const answer = { fingerprint, countsFrom: isoOf(countsFromMs) }
    const details = { keeper: id, ...keys, fingerprint, countsFrom: answer.countsFrom }
    return { answer, changed: 'roster', because, details }
  })
}
