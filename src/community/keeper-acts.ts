/**
 * The way in for whoever acts in a ceremony: keepers, wherever else they stand, and owners.
 *
 * In one transaction: hold the community's numbers, find who acts in what, have their own signature over this very ceremony and act, let the act
 * be done, append it to the chain. A session alone does nothing here. Nobody's standing moves by it, so neither does the revision.
 *
 * Order of checks: the community is here, the ceremony is one of its, and the caller owns the community or keeps a share in it (NotFound); the
 * statement is the one that they saw (BadCeremony); the act is theirs (Forbidden); their keys: enrolled (KeeperRevoked, KeeperSignatureRequired),
 * not suspended (KeeperSuspended), old enough to count (InvalidRequest), and by them signed, in time (KeeperSignatureRequired); what they did
 * before is answered as it stands; the ceremony is not over (CeremonyExpired, CeremonyCancelled, BadCeremony), and waits for this (BadCeremony).
 */
import { appendChained } from '../audit/store.ts'
import { type CeremonyAct, isActBy, type Seat, seatOf } from '../keys/ceremony-statements.ts'
import type * as lexicon from '../lexicons/community/reeve/key/defs.ts'
import { type GovernanceCtx, keepingRefusals, notFound, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { type Keeper, loadKeeper } from '../membership/keeper-store.ts'
import { requireSeasoned } from '../membership/keepers.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { decideAct, decideKeeper } from '../policy/decide.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { type Deed, saveDeed } from './ceremony-act-store.ts'
import { type By, byWhose, isAwaited } from './ceremony-course.ts'
import { listCounted, moveBack, stateBy } from './ceremony-seats.ts'
import { type Ceremony, endCeremony, isOverdue, loadCeremony } from './ceremony-store.ts'
import { shownCeremony } from './ceremony-view.ts'
import { isOfSeat } from './quorum-standing.ts'

/** What every call of an act has. */
interface ActInput {
  readonly community: string
  readonly ceremony: string
  readonly statementHash: string
  readonly act: { readonly at: string; readonly sig: string }
}

/** One call. `action` is how the audit names it; `subject` what is given with it, by its hash. */
export interface ActCall {
  readonly caller: Did
  readonly action: string
  readonly act: CeremonyAct
  readonly input: ActInput
  /** For what can be told only by what was done before. */
  readonly subjectOf?: (ceremony: Ceremony) => string | null
}

/** Somebody who acts, as they proved. */
export interface Acting {
  /** As far as it is by what counts. */
  readonly ceremony: Ceremony
  /** What was done before, by those whose seats stand. */
  readonly deeds: readonly Deed[]
  readonly deed: Deed
  readonly seat: Seat | null
  readonly keeper: Keeper
  readonly permit: Permit<'keys.ceremony'>
  readonly nowMs: number
  /** The community's, which stays. */
  readonly revision: number
}

/** What became of an act. `refused`: what was written stays, and the caller is told no all the same. */
export interface Acted {
  readonly details?: Readonly<Record<string, string | number | null>>
  readonly recordedAs?: string
  readonly refused?: Refusal
}

/** How far a clock of theirs may be ahead of ours, or behind. */
const SKEW_MAX_MS = 30_000

/** Does an act, and answers the ceremony as it is then. @throws Refusal */
export async function actIn(
  ctx: GovernanceCtx,
  call: ActCall,
  work: (tx: Tx, acting: Acting) => Promise<Acted>,
): Promise<lexicon.Ceremony> {
  const community = requireDid(call.input.community, 'community')
  const fact = factOf(community, call)
  return ctx.paces.changes.inTurn(community, async () => {
    const { shown, refused } = await keepingRefusals(ctx, fact, () =>
      withTransaction(ctx.db, (tx) => actWithin(ctx, tx, community, call, work)),
    )
    // What was written says so already.
    if (refused) throw refused
    return shown
  })
}

/** Whether an act would be let through, before anything dear is done for it. Changes nothing. @throws Refusal */
export function lookAtAct(ctx: GovernanceCtx, call: ActCall): Promise<Acting> {
  const community = requireDid(call.input.community, 'community')
  const look = (tx: Tx) => judge(ctx, tx, community, call, 0)
  return keepingRefusals(ctx, factOf(community, call), async () => {
    const { acting, isRepeated } = await withTransaction(ctx.db, look)
    if (isOverdue(acting.ceremony, acting.nowMs)) throw expired()
    if (!isRepeated) requireAwaited(call.act, acting.ceremony)
    return acting
  })
}

async function actWithin(
  ctx: GovernanceCtx,
  tx: Tx,
  community: Did,
  call: ActCall,
  work: (tx: Tx, acting: Acting) => Promise<Acted>,
): Promise<{ readonly shown: lexicon.Ceremony; readonly refused?: Refusal }> {
  const numbers = await lockRevisions(tx, community)
  if (!numbers) throw notFound()
  const { written, acting, isRepeated } = await judge(ctx, tx, community, call, numbers.revision)
  const { ceremony, nowMs } = acting
  const show = () => shownCeremony(ctx, tx, ceremony.id, call.caller)
  if (isOverdue(ceremony, nowMs)) {
    await expire(tx, ceremony, { revision: numbers.revision, nowMs })
    return { shown: await show(), refused: expired() }
  }
  if (isRepeated) return { shown: await show() }
  requireAwaited(call.act, ceremony)
  await moveBack(tx, written, ceremony.state)
  const { details, recordedAs, refused } = await work(tx, acting)
  await appendChained(tx, {
    ...{ ...factOf(community, call), action: recordedAs ?? call.action, atMs: nowMs },
    because: { reasons: acting.permit.because, revision: numbers.revision, ceremony: ceremony.id, ...details },
  })
  return { shown: await show(), ...(refused ? { refused } : {}) }
}

const factOf = (community: Did, { caller, action }: ActCall) => ({
  ...{ community, actor: caller, action, target: community, subject: null },
})

/** Keeps what was done, in its place among what was done before. */
export async function keepDeed(
  tx: Tx,
  { ceremony, deeds, deed, permit }: Acting,
  given?: string,
): Promise<readonly Deed[]> {
  const kept = { ...deed, given: given ?? null }
  await saveDeed(tx, permit, ceremony.id, kept)
  return [...deeds.filter(({ did, act }) => did !== deed.did || act !== deed.act), kept]
}

/** Ends a ceremony whose time has passed; in the name of the community. The caller holds it. */
export async function expire(
  tx: Tx,
  { id, community, createdBy }: Ceremony,
  { revision, nowMs }: { readonly revision: number; readonly nowMs: number },
): Promise<void> {
  if (!(await endCeremony(tx, id, { state: 'expired' }, nowMs))) return
  const fact = { community, atMs: nowMs, actor: community, action: 'key.ceremonyExpire', target: community }
  await appendChained(tx, { ...fact, subject: createdBy, because: { reasons: [], revision, ceremony: id } })
}

async function judge(
  ctx: GovernanceCtx,
  tx: Tx,
  community: Did,
  call: ActCall,
  revision: number,
): Promise<{ readonly written: Ceremony; readonly acting: Acting; readonly isRepeated: boolean }> {
  const { caller, act, input } = call
  const nowMs = ctx.clock.nowMs()
  const { ceremony: written, owner } = await findFor(ctx, tx, { community, id: input.ceremony, caller })
  if (input.statementHash !== written.statementHash) throw bad('the statement of this ceremony is another one')
  const seat = seatOf(written.statement, caller)
  const by = byWhose(act, written, { did: caller, isOwner: owner !== null, hasSeat: seat !== null })
  if (!by) throw new Refusal('Forbidden', 'that is for others to do in this ceremony')
  const keeper = await requireKeys(tx, { ceremony: written, by, caller, act, seat, nowMs })
  const subject = call.subjectOf?.(written) ?? null
  const deed: Deed = { did: caller, act, subject, ...input.act, given: null, madeAtMs: nowMs }
  requireSigned(written, deed, keeper, nowMs)
  const deeds = await listCounted(tx, written, nowMs)
  const ceremony = { ...written, state: stateBy(written, deeds) }
  const isRepeated = isDoneBefore(ceremony, deeds, deed)
  if (!isRepeated) requireOpen(ceremony)
  // Where they act as an owner, an owner's permit; a keeper's share is theirs.
  const permit = by === 'seat' || !owner ? decideKeeper(caller) : owner
  return { written, acting: { ceremony, deeds, deed, seat, keeper, permit, nowMs, revision }, isRepeated }
}

/** The ceremony, for an owner of the community or a keeper in it. @throws Refusal('NotFound') for anybody else */
export async function findFor(
  ctx: GovernanceCtx,
  db: Db | Tx,
  { community, id, caller }: { readonly community: Did; readonly id: string; readonly caller: Did },
): Promise<{ readonly ceremony: Ceremony; readonly owner: Permit<'keys.ceremony'> | null }> {
  // By the community's own edges alone, as whoever changes something is judged.
  const facts = await loadStandingFacts(ctx, db, community, caller, { feedersOf: () => [] })
  const decision = facts && decideAct(facts, caller, 'keys.ceremony', rosterUri(community))
  const owner = decision?.ok ? decision.value : null
  const ceremony = facts && (await loadCeremony(db, id))
  if (!ceremony || ceremony.community !== community || !(owner || seatOf(ceremony.statement, caller))) throw notFound()
  return { ceremony, owner }
}

interface Keyed {
  readonly ceremony: Ceremony
  readonly by: By
  readonly caller: Did
  readonly act: CeremonyAct
  readonly seat: Seat | null
  readonly nowMs: number
}

/** The enrolment by which somebody acts. A first share can be taken the day one enrols, and given out by drills; nothing else follows so soon. */
async function requireKeys(tx: Tx, { ceremony, by, caller, act, seat, nowMs }: Keyed): Promise<Keeper> {
  const keeper = await loadKeeper(tx, ceremony.community, caller)
  const isBySeatsKeys = by === 'seat' || act === 'conclude'
  if (isBySeatsKeys && !(seat && keeper && isOfSeat(seat, keeper))) {
    throw new Refusal('KeeperRevoked', 'the keys by which you keep a share are enrolled no more')
  }
  if (!keeper) throw new Refusal('KeeperSignatureRequired', 'enrol keys of your own first, and sign with them')
  if (keeper.suspendedAtMs !== null && act !== 'cancel') {
    throw new Refusal('KeeperSuspended', 'you gave wrong shares three times; an owner has to lift that')
  }
  if (by === 'enrolment' || ceremony.kind === 'combine' || ceremony.kind === 'ownership') requireSeasoned(keeper, nowMs)
  return keeper
}

function requireSigned(ceremony: Ceremony, deed: Deed, { signKey }: Keeper, nowMs: number): void {
  const { act, subject, at, sig } = deed
  const atMs = msOf(at)
  const isInTime =
    atMs !== null && isoOf(atMs) === at && atMs >= ceremony.createdAtMs - SKEW_MAX_MS && atMs <= nowMs + SKEW_MAX_MS
  if (!isInTime) throw unsigned('act.at is no instant between the beginning of the ceremony and now')
  if (!isActBy({ statementHash: ceremony.statementHash, act, subject, at }, signKey, sig)) {
    throw unsigned('act.sig is not by the key that you enrolled, or not over this act')
  }
}

const unsigned = (says: string): Refusal => new Refusal('KeeperSignatureRequired', says)

/** Whether somebody did the same before, and it stands: whoever lost the answer asks again. A share is judged by whoever opens it. */
const isDoneBefore = ({ state }: Ceremony, deeds: readonly Deed[], deed: Deed): boolean =>
  deed.act !== 'submit' &&
  (deed.act === 'cancel' ? state !== 'expired' : !['cancelled', 'expired', 'failed'].includes(state)) &&
  deeds.some(({ did, act, subject }) => did === deed.did && act === deed.act && subject === deed.subject)

function requireOpen({ state }: Ceremony): void {
  if (state === 'expired') throw expired()
  if (state === 'cancelled') throw new Refusal('CeremonyCancelled', 'the ceremony was cancelled')
  if (state === 'done' || state === 'failed') throw bad('the ceremony is over')
}

function requireAwaited(act: CeremonyAct, ceremony: Ceremony): void {
  if (!isAwaited(act, ceremony)) throw bad('this is not what the ceremony is waiting for')
}

/** Never with what would be right: that is for those to know who have the statement. */
export const bad = (says: string): Refusal => new Refusal('BadCeremony', says)

const expired = (): Refusal => new Refusal('CeremonyExpired', 'the time of this ceremony has passed; begin another')
