/** `community.reeve.member.acceptInvite`: somebody comes onto a roster by the word that they were given. */
import type * as lexicon from '../lexicons/community/reeve/member/acceptInvite.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAccept } from '../policy/decide-joining.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required } from './governance.ts'
import { hashOfToken, type InviteState, stateOf } from './invite.ts'
import { findInvite, type Invite, spendInvite } from './invite-store.ts'
import { enter, isOnRoster } from './person-entry.ts'
import { entryIn, requireNotItself } from './put-verdict.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/**
 * The word is looked for before the community is held, so that guessing keeps nobody waiting. The invite is judged by what its
 * maker may do now, as if they put this person there themself, and the entry counts as theirs. Somebody who has an entry of
 * their own there that hasn't ended keeps it, whatever role the invite gives, and no use is spent.
 *
 * Order of checks: there is such an invite (InviteNotValid), and whoever brings it isn't the community itself (InvalidRequest);
 * the space is there (InviteNotValid); the person isn't kept out (UserNotAuthorized); the invite holds, its role exists, and its
 * maker may still do it (InviteNotValid).
 */
export async function memberAcceptInvite(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const tokenHash = hashOfToken(input.token)
  const found = tokenHash && (await findInvite(ctx.db, tokenHash))
  if (!found) throw notValid()
  const { community, space } = found
  requireNotItself(actor, community)
  const call = {
    community,
    actor,
    action: 'member.acceptInvite',
    target: space,
    subject: actor,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
    isFor: 'anybody' as const,
  }
  return changeCommunity(ctx, call, async (tx, person, nowMs) => {
    // What it says of itself may have changed since it was found.
    const invite = await findInvite(tx, tokenHash)
    if (!invite || (await loadSpaceState(tx, space)) !== 'live') throw notValid()
    return acceptOnce(ctx, tx, person, invite, nowMs)
  })
}

async function acceptOnce(
  ctx: GovernanceCtx,
  tx: Tx,
  person: Facts,
  invite: Invite,
  nowMs: number,
): Promise<Changed<{ space: string; joined: boolean }>> {
  const { id, space, community, role, untilMs, madeBy } = invite
  const maker = await loadGroundedFacts(ctx, tx, community, madeBy)
  if (!maker) throw notValid()
  const before = entryIn(person, space)
  const after = { into: space, from: person.did, role, holding: null, sinceMs: null, untilMs }
  const decision = decideAccept({ maker, person }, madeBy, { before, after })
  if (!decision.ok && decision.code === 'UserNotAuthorized') required(decision)
  if (isOnRoster(person, space, nowMs)) {
    return { answer: { space, joined: false }, changed: 'nothing', because: decision.because }
  }
  const state = stateOf(invite, nowMs)
  if (state !== 'open') throw notValid(SAYS[state])
  if (!decision.ok || !person.roles.has(role)) throw notValid()
  if (!(await spendInvite(tx, decision.value, id))) throw notValid(SAYS.usedUp)
  await enter(tx, decision.value, person, after, nowMs)
  const details = { invite: id, maker: madeBy, role, roleBefore: before?.role ?? null, untilMs }
  const touches = { people: [person.did] }
  return { answer: { space, joined: true }, changed: 'roster', because: decision.because, touches, details }
}

/** For whoever has the word these are no secrets; what its maker may and what has become of a role are. */
const SAYS: Readonly<Record<Exclude<InviteState, 'open'>, string>> = {
  usedUp: 'the invite was used up',
  expired: 'the invite has expired',
  revoked: 'the invite was revoked',
}

const notValid = (says = 'there is no such invite any more'): Refusal => new Refusal('InviteNotValid', says)
