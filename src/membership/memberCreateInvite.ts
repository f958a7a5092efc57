/** `community.reeve.member.createInvite`: a word that whoever has it may join a space by. */
import type * as lexicon from '../lexicons/community/reeve/member/createInvite.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import type { Random } from '../platform/random.ts'
import { decideInvite } from '../policy/decide-joining.ts'
import { OWNER } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required } from './governance.ts'
import { parseInstant, requireExpiry, requireReason, requireSpace } from './input.ts'
import { freshInvite, hashOfToken } from './invite.ts'
import { insertInvite, type NewInvite } from './invite-store.ts'
import { requireRoomForInvite } from './limits.ts'
import type { Facts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/**
 * The word is in the answer to the call that made the invite, and nowhere else: an answer that is given again comes without it,
 * since what is remembered for that lies in the database.
 *
 * Order of checks: the input, of which owner is no role for an invite (InvalidRequest); the space is there (NotFound); the verdict
 * (NotFound, Forbidden, EscalationDenied); the role exists (UnknownRole); there is room (LimitExceeded).
 */
export async function memberCreateInvite(
  ctx: GovernanceCtx & { readonly random: Random },
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const { role, uses = 1 } = input
  if (role === OWNER)
    throw new Refusal('InvalidRequest', 'nobody becomes an owner by an invite; offer them the ownership')
  const untilMs = parseInstant(input.until, 'until')
  const note = input.note === undefined ? null : requireReason(input.note, 'note')
  const { id, token } = freshInvite(ctx.clock.nowMs(), ctx.random)
  const tokenHash = hashOfToken(token)
  if (!tokenHash) throw new TypeError('a word of ours that is none')
  const call = {
    community: space.authority,
    actor,
    action: 'member.createInvite',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  const { invite, ...answer } = await changeCommunity(ctx, call, (tx, actorFacts, nowMs) => {
    const expiresAtMs = requireExpiry(input.expiresAt, nowMs)
    if (untilMs !== null && untilMs <= nowMs) throw new Refusal('InvalidRequest', 'until is in the past')
    const of = { id, tokenHash, space: space.uri, community: space.authority, madeAtMs: nowMs }
    return inviteOnce(tx, actorFacts, { ...of, role, untilMs, note, usesMax: uses, expiresAtMs })
  })
  if (input.dryRun) return answer
  return invite === id ? { invite, token, ...answer } : { invite, ...answer }
}

async function inviteOnce(
  tx: Tx,
  actor: Facts,
  invite: NewInvite,
): Promise<Changed<{ invite: string; expiresAt: lexicon.$OutputBody['expiresAt'] }>> {
  const { id, space, community, role, untilMs, usesMax, expiresAtMs, madeAtMs } = invite
  if ((await loadSpaceState(tx, space)) !== 'live') throw notFound()
  const entry = { into: space, from: community, role, holding: null, sinceMs: null, untilMs }
  const decision = decideInvite(actor, actor.did, entry)
  const permit = required(decision)
  if (!actor.roles.has(role)) throw new Refusal('UnknownRole', 'the community has no such role')
  await requireRoomForInvite(tx, community, madeAtMs)
  await insertInvite(tx, permit, invite)
  const details = { invite: id, role, untilMs, uses: usesMax, expiresAtMs }
  return {
    answer: { invite: id, expiresAt: isoOf(expiresAtMs) },
    changed: 'roster',
    because: decision.because,
    details,
  }
}
