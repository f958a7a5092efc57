/** `community.reeve.credential.revoke`: credentials are taken back before they end, because somebody wishes it. */
import type * as lexicon from '../lexicons/community/reeve/credential/revoke.ts'
import { loadKind } from '../membership/account-store.ts'
import { changeCommunity, notFound, required } from '../membership/governance.ts'
import { requireClientId, requireDid, requireScope } from '../membership/input.ts'
import { loadSpaceState } from '../membership/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideRevoke } from '../policy/decide-credentials.ts'
import { type ForeignCtx, revokeForeign } from './foreign-credentials.ts'
import { countLive, type LiveInSpace, revokeIssued } from './ledger-store.ts'
import { foreseen } from './revocation-foresight.ts'
import { countUnheard } from './revocation-store.ts'

/**
 * They are refused here from the end of this call on. Nobody loses what they may do: who is let in may ask for another one at once,
 * so there is no bound on whose may be taken back.
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound); the space, if one is named, is there
 * (NotFound); the verdict (NotFound, Forbidden). Where nothing was left to take back, nothing is changed or recorded.
 * Of a community whose spaces are at its account's PDS, which issues their credentials: one is said, by its space and its jti
 * (InvalidRequest), and the account lends its signature (NotConnected).
 * @throws Refusal
 */
export async function credentialRevoke(
  ctx: ForeignCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(input)
  if ((await loadKind(ctx.db, community)) === 'account') return revokeForeign(ctx, actor, input, idempotency)
  const did = input.did === undefined ? null : requireDid(input.did, 'did')
  const clientId = input.clientId === undefined ? null : requireClientId(input.clientId)
  const call = {
    community,
    actor,
    action: 'credential.revoke',
    target: scope,
    subject: did,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    const space = scope === community ? null : (scope as SpaceUri)
    if (space !== null && (await loadSpaceState(tx, space)) !== 'live') throw notFound()
    const decision = decideRevoke(actorFacts, actor, scope)
    const permit = required(decision)
    const which = { community, space, did, clientId, jti: input.jti }
    const nowSec = Math.floor(nowMs / 1000)
    const live = await countLive(tx, which, nowSec)
    const pending = await countUnheard(tx, which, nowSec)
    const plan = live.length === 0 ? {} : { plan: await foreseen(tx, { live, caps: ctx.hostCaps, nowMs }) }
    // A dry run only counts: what it wrote would stand in the way of the worker that goes through the same rows.
    const revoked = input.dryRun ? sum(live) : await revokeIssued(tx, permit, which, nowSec)
    return {
      answer: { revoked, pending, ...plan },
      changed: revoked > 0 ? 'roster' : 'nothing',
      because: decision.because,
      touches: { people: [] },
      details: { revoked, clientId, jti: input.jti ?? null },
    }
  })
}

const sum = (live: readonly LiveInSpace[]): number => live.reduce((all, { count }) => all + count, 0)
