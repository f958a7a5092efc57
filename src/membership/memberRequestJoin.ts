/** `community.reeve.member.requestJoin`: somebody comes into a space that takes everybody, or asks to be let into one. */
import type * as lexicon from '../lexicons/community/reeve/member/requestJoin.ts'
import type { Did, SpaceUri } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAsking, decideJoin, decideWithdrawal } from '../policy/decide-joining.ts'
import { Refusal } from '../refusals.ts'
import { openingOf } from './facts-store.ts'
import { type Changed, changeCommunity, type GovernanceCtx, notFound, required } from './governance.ts'
import { requireReason, requireSpace } from './input.ts'
import { deleteRequest, type JoinRequest, loadJoining, loadRequest, saveRequest } from './joining-store.ts'
import { requireRoomForRequest } from './limits.ts'
import { enter, isOnRoster } from './person-entry.ts'
import { entryIn, requireNotItself } from './put-verdict.ts'
import type { Facts } from './standing-facts.ts'

/** How long whoever was declined waits before they ask again. */
const DECLINED_DAYS = 7
const DAY_MS = 24 * 60 * 60 * 1000

/**
 * Asking is no change of governance: nobody gains by it, so the revision stays and the audit keeps the decision alone, or
 * strangers could move the one and fill the other. Who has an entry of their own there that hasn't ended keeps it; who asked and
 * waits goes on waiting.
 *
 * Order of checks: the input (InvalidRequest); the space is there and can be joined (NotFound, alike); the person isn't kept out
 * (UserNotAuthorized). Where everybody may join: no power comes with it (EscalationDenied, OpenToAnybody). Where one asks: they
 * weren't declined within a week (RateLimitExceeded); there is room (LimitExceeded). What was asked for can be taken back always.
 */
export async function memberRequestJoin(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const message = input.message === undefined ? null : requireReason(input.message, 'message')
  if (input.withdraw && message !== null)
    throw new Refusal('InvalidRequest', 'message is for asking, not for taking back')
  requireNotItself(actor, space.authority)
  const call = {
    community: space.authority,
    actor,
    action: 'member.requestJoin',
    target: space.uri,
    subject: actor,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
    isFor: 'anybody' as const,
  }
  return changeCommunity(ctx, call, async (tx, person, nowMs) => {
    const rule = await loadJoining(tx, space.uri)
    const request = rule && (await loadRequest(tx, space.uri, actor))
    const isWaiting = request?.state === 'open'
    if (!rule || (rule.joining === 'closed' && !(input.withdraw && isWaiting))) throw notFound()
    const of = { person, space: space.uri, request, nowMs }
    if (input.withdraw) return withdraw(tx, of)
    // A space has a role for newcomers when it takes everybody, and only then.
    return rule.joiningRole === null ? ask(tx, of, message) : join(tx, of, rule.joiningRole)
  })
}

interface Asked {
  readonly person: Facts
  readonly space: SpaceUri
  readonly request: JoinRequest | null
  readonly nowMs: number
}

type State = Changed<{ state: 'member' | 'requested' | 'none' }>

async function join(tx: Tx, { person, space, nowMs }: Asked, role: string): Promise<State> {
  const opening = openingOf(space, person.graph.community, role)
  const decision = decideJoin(person, person.did, opening)
  if (isOnRoster(person, space, nowMs) && (decision.ok || decision.code !== 'UserNotAuthorized')) {
    return { answer: { state: 'member' }, changed: 'nothing', because: decision.because }
  }
  const permit = required(decision)
  const before = entryIn(person, space)
  await enter(tx, permit, person, { ...opening, from: person.did }, nowMs)
  const details = { role, roleBefore: before?.role ?? null }
  const touches = { people: [person.did] }
  return { answer: { state: 'member' }, changed: 'roster', because: decision.because, touches, details }
}

async function ask(tx: Tx, { person, space, request, nowMs }: Asked, message: string | null): Promise<State> {
  const decision = decideAsking(person, person.did, space)
  const asking = required(decision)
  const { because } = decision
  if (isOnRoster(person, space, nowMs)) return { answer: { state: 'member' }, changed: 'nothing', because }
  if (request?.state !== 'open') {
    requireNotJustDeclined(request, nowMs)
    const { community } = person.graph
    await requireRoomForRequest(tx, community, person.did)
    await saveRequest(tx, asking, { community, message, nowMs })
  }
  return { answer: { state: 'requested' }, changed: 'nothing', because }
}

async function withdraw(tx: Tx, { person, space, nowMs }: Asked): Promise<State> {
  const decision = decideWithdrawal(person.did, space)
  await deleteRequest(tx, required(decision))
  const state = isOnRoster(person, space, nowMs) ? 'member' : 'none'
  return { answer: { state }, changed: 'nothing', because: decision.because }
}

/** @throws Refusal('RateLimitExceeded') */
function requireNotJustDeclined(request: JoinRequest | null, nowMs: number): void {
  if (request?.state !== 'declined' || request.decidedAtMs === null) return
  const againAtMs = request.decidedAtMs + DECLINED_DAYS * DAY_MS
  if (nowMs >= againAtMs) return
  const why = request.reason === null ? '' : ` (${request.reason})`
  throw new Refusal('RateLimitExceeded', `you were declined here${why}; ask again after ${isoOf(againAtMs)}`)
}
