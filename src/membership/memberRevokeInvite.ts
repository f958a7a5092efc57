/** `community.reeve.member.revokeInvite`: nobody joins by an invite any more. Those who did stay. */
import type * as lexicon from '../lexicons/community/reeve/member/revokeInvite.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { changeCommunity, type GovernanceCtx, notFound, required } from './governance.ts'
import { requireSpace } from './input.ts'
import { stateOf } from './invite.ts'
import { endInvite, loadInvite } from './invite-store.ts'
import { loadSpaceState } from './store.ts'

/**
 * Whoever may invite there ends any invite, whoever made it. One that nobody could join by anyway stays as it is; one that there
 * isn't is refused, or a wrong id would leave the right one open. Order of checks: the space is there and the caller stands in it
 * (NotFound); Forbidden; the invite is there (NotFound).
 */
export async function memberRevokeInvite(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const call = {
    community: space.authority,
    actor,
    action: 'member.revokeInvite',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    if ((await loadSpaceState(tx, space.uri)) !== 'live') throw notFound()
    const decision = decideAct(actorFacts, actor, 'invite', space.uri)
    const permit = required(decision)
    const invite = await loadInvite(tx, space.uri, input.invite)
    if (!invite) throw notFound()
    const isOpen = stateOf(invite, nowMs) === 'open'
    if (isOpen) await endInvite(tx, permit, invite.id, nowMs)
    const details = { invite: invite.id, usesLeft: invite.usesLeft }
    return { answer: {}, changed: isOpen ? 'roster' : 'nothing', because: decision.because, details }
  })
}
