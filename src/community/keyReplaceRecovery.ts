/** `community.reeve.key.replaceRecovery`: another key in the place of the community's own, or who holds the one that it has. */
import { recoveryProofHolds } from '../keys/recovery-proof.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/key/replaceRecovery.ts'
import { $nsid } from '../lexicons/community/reeve/key/replaceRecovery.ts'
import { type Changed, changeCommunity, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { type ActCtx, carryOutOrPropose, type Proposed } from '../membership/proposals.ts'
import type { Did, DidKey } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { saveRecoveryKey } from './custody-store.ts'
import { isOver, loadRotation } from './key-rotation-store.ts'
import { requireNoKeepers } from './quorum-guards.ts'
import { RECOVERY_CHANGE, type RecoveryWish } from './recovery-change.ts'
import { rotationUnderWay } from './rotation-begin.ts'
import { loadCommunity } from './store.ts'

interface ReplaceCtx extends ActCtx {
  readonly vault: Pick<Vault, 'publicKeys'>
}

/**
 * Order of checks: the input (InvalidRequest), the proof (BadRecoveryProof); the caller stands in the roster (NotFound), at ifRevision
 * (StaleRevision), may do so (Forbidden); the keys are here, and no keepers (UnsupportedCustody); the key is none of ours (PlcRank). The key in force is
 * noted as the caller's, at once: whoever signs with that one can do more anyhow. For another one, no other keys are being replaced
 * (RotationUnderWay); then as `carryOutOrPropose` has it.
 */
export async function keyReplaceRecovery(
  ctx: ReplaceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const recoveryKey = requireProven(ctx, actor, input)
  const ours = await ctx.vault.publicKeys(community)
  const call = {
    ...{ community, actor, action: RECOVERY_CHANGE.name, target: community, subject: null },
    ...{ ifRevision: input.ifRevision, isDryRun: input.dryRun, idempotency },
  }
  return changeCommunity(ctx, call, async (tx, facts, nowMs): Promise<Changed<Proposed>> => {
    const decision = decideAct(facts, actor, 'keys.ceremony', rosterUri(community))
    required(decision)
    const known = await loadCommunity(tx, community)
    if (!known || known.custody === 'external') {
      throw new Refusal('UnsupportedCustody', 'the keys of an account are not here')
    }
    await requireNoKeepers(tx, community)
    if (ours.some(({ didKey }) => didKey === recoveryKey)) {
      throw new Refusal('PlcRank', 'this is a key of the service; the key has to be your own')
    }
    if (recoveryKey === known.recoveryKey) {
      await saveRecoveryKey(tx, community, { after: recoveryKey, holder: actor })
      return { answer: {}, changed: 'roster', because: decision.because, details: { recoveryKey, holder: actor } }
    }
    const rotation = await loadRotation(tx, community)
    if (rotation && !isOver(rotation)) throw rotationUnderWay()
    const wish: RecoveryWish = { recoveryKey, holder: actor }
    return carryOutOrPropose(ctx, tx, RECOVERY_CHANGE, {
      ...{ actor: facts, target: community, input: wish, nowMs, isDryRun: input.dryRun },
      confirmable: { act: $nsid, input },
    })
  })
}

/** The key, which its holder has just shown to have. @throws Refusal InvalidRequest, BadRecoveryProof */
function requireProven(ctx: ReplaceCtx, caller: Did, { recoveryKey, proof }: lexicon.$InputBody): DidKey {
  const key = parseDidKey(recoveryKey)
  if (!key) throw new Refusal('InvalidRequest', 'recoveryKey is not a did:key over P-256 or secp256k1')
  if (!recoveryProofHolds({ recoveryKey: key.didKey, caller, service: ctx.serviceDid, proof })) {
    throw new Refusal('BadRecoveryProof', 'the proof is not by the recovery key, or not over the right words')
  }
  return key.didKey
}
