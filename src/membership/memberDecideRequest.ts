/** `community.reeve.member.decideRequest`: somebody who asked is put on the roster, or isn't. */
import type * as lexicon from '../lexicons/community/reeve/member/decideRequest.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required } from './governance.ts'
import { parseInstant, requireDid, requireReason, requireSpace } from './input.ts'
import { loadRequest, settleRequest } from './joining-store.ts'
import { isOnRoster, putPerson } from './person-entry.ts'
import type { PersonEdge } from './put-verdict.ts'
import { type Facts, loadGroundedFacts } from './standing-facts.ts'
import { loadSpaceState } from './store.ts'

/** What somebody gets who asked, when nothing else is said. Every community has it. */
const ROLE = 'member'

/**
 * Approving is putting them there, by the same code and with the same bounds. Somebody who came in meanwhile by another way keeps
 * the entry they have. The same decision once more changes nothing.
 *
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); may add people there
 * (Forbidden); the person waits for a decision (NotFound); when approved, as `putPerson` has it.
 */
export async function memberDecideRequest(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const person = requireDid(input.did, 'did')
  const isApproved = input.verdict === 'approve'
  const reason = input.reason === undefined ? null : requireReason(input.reason)
  const untilMs = parseInstant(input.until, 'until')
  if (isApproved && reason !== null) throw new Refusal('InvalidRequest', 'reason is for declining')
  if (!isApproved && (input.role !== undefined || untilMs !== null)) {
    throw new Refusal('InvalidRequest', 'role and until are for approving')
  }
  const call = {
    community: space.authority,
    actor,
    action: 'member.decideRequest',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  const { role = ROLE } = input
  const entry = { into: space.uri, from: person, role, holding: null, sinceMs: null, untilMs }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) =>
    isApproved
      ? approve(ctx, tx, actorFacts, entry, nowMs)
      : decline(tx, actorFacts, { space: space.uri, did: person, reason, nowMs }),
  )
}

const nobodyWaits = (): Refusal => new Refusal('NotFound', 'this person does not wait for a decision here')

const mayDecide = async (tx: Tx, actor: Facts, space: SpaceUri) => {
  if ((await loadSpaceState(tx, space)) !== 'live') throw notFound()
  const decision = decideAct(actor, actor.did, 'members.add', space)
  return { permit: required(decision), because: decision.because }
}

async function approve(
  ctx: GovernanceCtx,
  tx: Tx,
  actor: Facts,
  entry: PersonEdge,
  nowMs: number,
): Promise<Changed<object>> {
  const { into: space, from: did } = entry
  const { permit, because } = await mayDecide(tx, actor, space)
  const request = await loadRequest(tx, space, did)
  const person = await loadGroundedFacts(ctx, tx, actor.graph.community, did)
  const isThere = person !== null && isOnRoster(person, space, nowMs)
  if (request?.state === 'approved' && isThere) return { answer: {}, changed: 'nothing', because }
  if (request?.state !== 'open') throw nobodyWaits()
  const details = { verdict: 'approve', askedAtMs: request.askedAtMs }
  if (isThere) {
    await settleRequest(tx, permit, { space, did }, { state: 'approved', reason: null, nowMs })
    return { answer: {}, changed: 'roster', because, details }
  }
  const put = await putPerson(ctx, tx, actor, entry, nowMs)
  return { ...put, details: { ...put.details, ...details } }
}

async function decline(
  tx: Tx,
  actor: Facts,
  { space, did, reason, nowMs }: { space: SpaceUri; did: Did; reason: string | null; nowMs: number },
): Promise<Changed<object>> {
  const { permit, because } = await mayDecide(tx, actor, space)
  const request = await loadRequest(tx, space, did)
  if (request?.state === 'declined') return { answer: {}, changed: 'nothing', because }
  if (request?.state !== 'open') throw nobodyWaits()
  await settleRequest(tx, permit, { space, did }, { state: 'declined', reason, nowMs })
  const details = { verdict: 'decline', askedAtMs: request.askedAtMs }
  return { answer: {}, changed: 'roster', because, details }
}
