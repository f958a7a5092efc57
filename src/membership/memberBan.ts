/** `community.reeve.member.ban`: a person is kept out of a space or of a whole community, whatever lets them in. */
import type * as lexicon from '../lexicons/community/reeve/member/ban.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { isOwnerIn } from '../policy/bounds.ts'
import { decideBan } from '../policy/decide.ts'
import { standingIn, standingOf } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { saveBan } from './ban-store.ts'
import { powersGivenBy } from './fallen-makers.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { parseInstant, requireDid, requireReason, requireScope } from './input.ts'
import { noteOwnerGone } from './proposal-store.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { countOtherOwners, loadSpaceState } from './store.ts'

/**
 * Their entries stay as they are and give nothing while the ban holds. A ban in place of another one replaces it. Somebody who
 * was never here can be banned as well.
 *
 * Order of checks: the input, and that it is no ban of oneself or of the community's own DID (InvalidRequest); the caller stands
 * there (NotFound); the verdict (Forbidden, EscalationDenied, LastOwner); it is no ban of an owner from a part of the community
 * (InvalidRequest), which only those are told who could ban anybody else.
 */
export async function memberBan(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(input)
  const person = requireDid(input.did, 'did')
  const reason = input.reason === undefined ? null : requireReason(input.reason)
  const untilMs = parseInstant(input.until, 'until')
  const call = {
    community,
    actor,
    action: 'member.ban',
    target: scope,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    if (untilMs !== null && untilMs <= nowMs) throw new Refusal('InvalidRequest', 'until is in the past')
    return banOnce(ctx, tx, actorFacts, { community, scope, did: person, reason, untilMs, nowMs })
  })
}

type NewBan = Parameters<typeof saveBan>[2]

async function banOnce(ctx: GovernanceCtx, tx: Tx, actor: Facts, ban: NewBan): Promise<Changed<object>> {
  const { community, scope, did: person, untilMs, nowMs } = ban
  requireBannable(actor, ban)
  await requireStandingIn(tx, actor, scope)
  const roster = rosterUri(community)
  const personFacts = await loadGroundedFacts(ctx, tx, community, person)
  if (!personFacts) throw notFound()
  const otherOwners = await countOtherOwners(tx, roster, person, nowMs)
  const decision = decideBan({ actor, person: personFacts, roster, otherOwners }, actor.did, scope)
  const permit = required(decision)
  if (scope !== community && isOwnerIn(personFacts, roster)) {
    throw new Refusal('InvalidRequest', 'an owner is banned from the whole community, or from no part of it')
  }
  await saveBan(tx, permit, ban)
  if (isOwnerIn(personFacts, roster)) await noteOwnerGone(tx, permit, community, person, nowMs)
  const touches = { people: [person] }
  const details = { untilMs, ...(await powersGivenBy(tx, personFacts)) }
  return { answer: {}, changed: 'roster', because: decision.because, touches, details }
}

/** That somebody has a standing in what they want to govern. @throws Refusal('NotFound') */
async function requireStandingIn(tx: Tx, actor: Facts, scope: SpaceUri | Did): Promise<void> {
  if (scope === actor.graph.community) {
    if (standingOf(actor).size === 0) throw notFound()
    return
  }
  const space = scope as SpaceUri // a scope is the community's DID or one of its spaces
  if ((await loadSpaceState(tx, space)) !== 'live' || !standingIn(actor, space).has(space)) throw notFound()
}

/** @throws Refusal('InvalidRequest') for a ban that would make no sense, whoever asks */
function requireBannable(actor: Facts, { community, scope, did: person }: NewBan): void {
  if (person === actor.did) throw new Refusal('InvalidRequest', 'nobody bans themself; leave instead')
  if (person === community) throw new Refusal('InvalidRequest', 'a community is not banned from itself')
  if (scope === rosterUri(community)) {
    throw new Refusal('InvalidRequest', 'whoever is banned from the roster is banned from the community: name that')
  }
}
