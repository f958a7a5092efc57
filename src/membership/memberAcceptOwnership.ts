/** `community.reeve.member.acceptOwnership`: somebody takes the community that its owner offers to them. */
import type * as lexicon from '../lexicons/community/reeve/member/acceptOwnership.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { isOwnerIn } from '../policy/bounds.ts'
import { decideTakingOver } from '../policy/decide-joining.ts'
import { OWNER } from '../policy/roles.ts'
import type { Permit, Reason } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { requireDid } from './input.ts'
import { deleteOwnershipOffer, loadOwnershipOffers, type OwnershipOffer } from './ownership-store.ts'
import { enter } from './person-entry.ts'
import { entryIn } from './put-verdict.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { deletePersonEdge, savePersonEdge } from './store.ts'

/**
 * One becomes an owner and the other steps down in one change, so that the community has an owner at every moment. The offer is
 * judged by what holds now. An owner to whom nothing is offered has what they ask for, and nothing changes.
 *
 * Order of checks: something is offered to the person, by the owner named where one is (NotFound); it hasn't expired
 * (ProposalNotOpen); the person isn't kept out (UserNotAuthorized); whoever offers it is still an owner (ProposalNotOpen), and
 * the only one (InvalidRequest); the role that they want afterwards exists (ProposalNotOpen).
 */
export async function memberAcceptOwnership(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const from = input.from === undefined ? null : requireDid(input.from, 'from')
  const call = {
    community,
    actor,
    action: 'member.acceptOwnership',
    target: community,
    subject: actor,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
    isFor: 'anybody' as const,
  }
  return changeCommunity(ctx, call, async (tx, person, nowMs) => {
    const offers = await loadOwnershipOffers(tx, community, actor)
    const meant = offers.filter(({ offeredBy }) => from === null || offeredBy === from)
    if (meant.length > 0) return takeOver(tx, person, await theOneOf(ctx, tx, person, meant, nowMs), nowMs)
    if (!isOwnerIn(person, rosterUri(community))) throw notFound()
    return { answer: {}, changed: 'nothing', because: [] }
  })
}

const notOpen = (says: string): Refusal => new Refusal('ProposalNotOpen', says)

/** An offer that stands now, and why. */
interface Standing extends OwnershipOffer {
  readonly permit: Permit<'community.transfer'>
  readonly because: readonly Reason[]
}

/** The offer that is meant, judged. One of somebody who is an owner no more stands in nobody's way. */
async function theOneOf(
  ctx: GovernanceCtx,
  tx: Tx,
  person: Facts,
  offers: readonly OwnershipOffer[],
  nowMs: number,
): Promise<Standing> {
  const unexpired = offers.filter(({ expiresAtMs }) => nowMs < expiresAtMs)
  if (unexpired.length === 0) throw notOpen('the offer has expired')
  const standing: Standing[] = []
  for (const offer of unexpired) {
    const owner = await loadGroundedFacts(ctx, tx, person.graph.community, offer.offeredBy)
    if (!owner) throw notFound()
    const decision = decideTakingOver({ owner, person }, offer.offeredBy)
    if (decision.ok) standing.push({ ...offer, permit: decision.value, because: decision.because })
    else if (decision.code === 'UserNotAuthorized') required(decision)
  }
  const [first, ...others] = standing
  if (!first) throw notOpen('whoever offered it may no longer do it')
  if (others.length > 0) throw new Refusal('InvalidRequest', 'several owners offer it to you; name one of them in from')
  return first
}

async function takeOver(tx: Tx, person: Facts, offer: Standing, nowMs: number): Promise<Changed<object>> {
  const { offeredBy, roleAfter, permit, because } = offer
  const { community } = person.graph
  const roster = rosterUri(community)
  if (roleAfter !== null && !person.roles.has(roleAfter)) {
    throw notOpen('the role that the owner asked for afterwards is gone')
  }
  const untimed = { into: roster, holding: null, sinceMs: null, untilMs: null }
  await enter(tx, permit, person, { ...untimed, from: person.did, role: OWNER }, nowMs)
  if (roleAfter === null) await deletePersonEdge(tx, permit, roster, offeredBy)
  else await savePersonEdge(tx, permit, community, { ...untimed, from: offeredBy, role: roleAfter }, nowMs)
  await deleteOwnershipOffer(tx, permit, community)
  const details = { from: offeredBy, roleAfter, roleBefore: entryIn(person, roster)?.role ?? null }
  const touches = { people: [person.did, offeredBy] }
  return { answer: {}, changed: 'roster', because, touches, details }
}
