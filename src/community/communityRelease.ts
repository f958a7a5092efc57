/** `community.reeve.community.release`: an account takes back its consent to have its spaces decided about here. */
import type * as lexicon from '../lexicons/community/reeve/community/release.ts'
import { $nsid } from '../lexicons/community/reeve/community/release.ts'
import { loadKind, loadReleasedAt, saveReleasedAt } from '../membership/account-store.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from '../membership/governance.ts'
import { confirmIfGuarded } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { consentOf } from '../policy/hook.ts'

/**
 * From the next question on the answer is no, whoever it is about. The roll stays as it is, with those who govern it: it is theirs, and
 * not the account's. Called again, it changes nothing.
 * Order of checks: the caller is a community that was adopted here (NotFound); where it has enrolled keys, it confirms by them
 * (KeeperSignatureRequired, InvalidRequest for keys that don't count yet). @throws Refusal
 */
export async function communityRelease(
  ctx: GovernanceCtx & { readonly serviceDid: Did },
  account: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const about = { community: account, actor: account, action: 'community.release', target: account, subject: null }
  const call = { ...about, ifRevision: undefined, idempotency, isFor: 'anybody' } as const
  return changeCommunity(ctx, call, async (tx, _actor, nowMs) => {
    const decision = consentOf(account, account)
    const permit = required(decision)
    if ((await loadKind(tx, account)) !== 'account') throw notFound()
    const isNew = (await loadReleasedAt(tx, account)) === null
    if (isNew) {
      const act = { service: ctx.serviceDid, community: account, caller: account, act: $nsid, input }
      await confirmIfGuarded(tx, act, input.stepUp, nowMs)
      await saveReleasedAt(tx, permit, account, nowMs)
    }
    return { answer: {}, changed: isNew ? 'roster' : 'nothing', because: decision.because }
  })
}
