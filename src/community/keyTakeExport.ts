/** `community.reeve.key.takeExport`: whoever asked for an export takes its file, once. */
import type * as lexicon from '../lexicons/community/reeve/key/takeExport.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadProposal, type Proposal } from '../membership/proposal-store.ts'
import { isExpired } from '../membership/proposals.ts'
import type { Did } from '../names.ts'
import { sha256 } from '../platform/bytes.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { endAlarmAbout } from './identity-alarm-store.ts'
import { loadExport, takeSealed } from './key-export-store.ts'
import { KEY_EXPORT } from './key-exports.ts'

/**
 * The file is gone with the transaction that gives it out. An answer that is lost on its way is lost with it, unless the call had an
 * idempotencyKey: then the sealed file stays with that answer for a day, for the same caller under the same key. It opens for its
 * recipients alone.
 *
 * Order of checks: the input; the caller stands here (NotFound), may touch its keys (Forbidden); the export is theirs (NotFound); it
 * was approved (QuorumNotMet) and not stopped (CeremonyCancelled), its day has come and its file is made (CoolingDown), and is there
 * still (NotFound). @throws Refusal
 */
export async function keyTakeExport(
  ctx: GovernanceCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const call = { community, actor: caller, action: 'key.takeExport', target: community, subject: null, idempotency }
  return changeCommunity(ctx, { ...call, ifRevision: input.ifRevision }, async (tx, actor, nowMs) => {
    const permit = required(decideAct(actor, caller, 'keys.ceremony', rosterUri(community)))
    const proposal = await loadProposal(tx, input.export)
    const isTheirs = proposal?.community === community && proposal.act === KEY_EXPORT && proposal.proposedBy === caller
    if (!isTheirs) throw notFound()
    await requireDone(tx, proposal, nowMs)
    const sealed = await takeSealed(tx, permit, proposal.id, nowMs)
    if (!sealed) throw notFound()
    await endAlarmAbout(tx, proposal, 'keyExport')
    const answer = {
      file: Buffer.from(sealed).toString('base64'),
      sha256: Buffer.from(sha256(sealed)).toString('hex'),
    }
    const details = { proposal: proposal.id, sha256: answer.sha256 }
    return { answer, changed: 'roster', because: permit.because, details }
  })
}

/** @throws Refusal while it waits, and where it never came to a file */
async function requireDone(tx: Tx, proposal: Proposal, nowMs: number): Promise<void> {
  if (proposal.state === 'cancelled' || isExpired(proposal, nowMs)) throw cancelled()
  if (proposal.state === 'open') throw new Refusal('QuorumNotMet', 'another owner has to approve it first')
  const made = await loadExport(tx, proposal.id)
  if (!made) throw new Refusal('CoolingDown', 'its day has not come')
  if (made.state === 'due') throw new Refusal('CoolingDown', 'the file is just being made')
  if (made.state === 'lapsed' && made.expiresAtMs === null) throw cancelled()
}

const cancelled = (): Refusal =>
  new Refusal(
    'CeremonyCancelled',
    'it was cancelled, has expired, or its people are not owners with the same keys any more',
  )
