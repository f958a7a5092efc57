/** `community.reeve.key.export`: an owner asks for the key by which this service changes the community's identity. */
import type * as lexicon from '../lexicons/community/reeve/key/export.ts'
import { $nsid } from '../lexicons/community/reeve/key/export.ts'
import { changeCommunity, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { requireOwnersKeeper } from '../membership/keepers.ts'
import { type ActCtx, carryOutOrPropose } from '../membership/proposals.ts'
import { requireStepUp } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { hasExportUnderWay, type Recipient } from './key-export-store.ts'
import { EXPORTING, type ExportWish, loadExportable } from './key-exports.ts'
import { requireOwnKey } from './quorum-guards.ts'
import { loadCommunity } from './store.ts'

/**
 * Proposes it, and nothing more: the answer is the proposal, which waits for another owner or for its day. Only the active rotation
 * key can be exported; the others change nothing about who the community is.
 *
 * Order of checks: the input (InvalidRequest); an answer under the same idempotencyKey (IdempotencyConflict); the caller stands here
 * (NotFound), at ifRevision (StaleRevision), may touch its keys (Forbidden); a key of it is here (UnsupportedCustody); the step up
 * (KeeperSignatureRequired, InvalidRequest for keys enrolled today); no file is under way (CeremonyInProgress); each recipient is an
 * owner with keys enrolled a day ago (InvalidRequest); nothing else is proposed (ProposalWaits). @throws Refusal
 */
export async function keyExport(
  ctx: ActCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const dids = (input.recipients ?? [caller]).map((did) => requireDid(did, 'recipients'))
  if (new Set(dids).size !== dids.length) throw new Refusal('InvalidRequest', 'recipients names somebody twice')
  const call = { community, actor: caller, action: EXPORTING.name, target: community, subject: null, idempotency }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    required(decideAct(actor, caller, 'keys.ceremony', rosterUri(community)))
    if ((await loadCommunity(tx, community))?.custody === 'external') {
      throw new Refusal('UnsupportedCustody', 'the keys of an account are not here; its PDS has them')
    }
    const act = { service: ctx.serviceDid, community, caller, act: $nsid, input }
    await requireStepUp(tx, act, input.stepUp, nowMs)
    if (await hasExportUnderWay(tx, community, nowMs)) {
      throw new Refusal('CeremonyInProgress', 'a file is there or being made; have it taken, or wait until it is over')
    }
    await requireOwnKey(tx, community)
    const key = await loadExportable(tx, community)
    if (!key) throw new Unavailable('KeyUnavailable', 'vault')
    const recipients = await recipientsOf(ctx, tx, community, dids, nowMs)
    const reason = input.reason === undefined ? {} : { reason: input.reason }
    const wish: ExportWish = { community, key: key.didKey, recipients, ...reason }
    const asked = { actor, target: community, input: wish, nowMs, isDryRun: undefined, confirmable: null }
    return carryOutOrPropose(ctx, tx, EXPORTING, asked)
  })
}

/** In one order, so that the same people asked for again are the same proposal. */
async function recipientsOf(ctx: ActCtx, tx: Tx, community: Did, dids: readonly Did[], nowMs: number) {
  const recipients: Recipient[] = []
  for (const did of dids.toSorted()) {
    const { id: keeper, fingerprint } = await requireOwnersKeeper(ctx, tx, community, did, nowMs)
    recipients.push({ did, keeper, fingerprint })
  }
  return recipients
}
