/** `community.reeve.key.propose`: a ceremony begins. */
import {
  type CeremonyStatement,
  encodeStatement,
  hexOf,
  isSignedBy,
  openerWords,
  parseStatement,
  statementHashOf,
} from '../keys/ceremony-statements.ts'
import { makeCeremonyKey } from '../keys/combining.ts'
import type { SealedBlob } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/key/propose.ts'
import { $nsid } from '../lexicons/community/reeve/key/propose.ts'
import {
  type ChangeCall,
  type Changed,
  changeCommunity,
  keepingRefusals,
  required,
  rosterUri,
} from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { loadKeeper } from '../membership/keeper-store.ts'
import { listOwnersGone } from '../membership/proposal-store.ts'
import { type ActCtx, SEASON_MS } from '../membership/proposals.ts'
import { loadGroundedFacts } from '../membership/standing-facts.ts'
import { requireStepUp } from '../membership/step-up.ts'
import { countOtherOwners } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { type Tx, undone } from '../platform/database.ts'
import { type ProcedureCall, recall } from '../platform/idempotency.ts'
import { freshTid } from '../platform/random.ts'
import { decideAct, decideKeeper } from '../policy/decide.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import {
  type Basis,
  basisOf,
  inProgress,
  loadKeyFor,
  requireNoClaim,
  requireNoRekey,
  requireNoRotation,
} from './ceremony-basis.ts'
import { OPEN_MS } from './ceremony-course.ts'
import {
  type Ceremony,
  type CeremonyState,
  endCeremony,
  insertCeremony,
  isOverdue,
  loadLapsedMs,
  loadOpenIn,
} from './ceremony-store.ts'
import { shownCeremony } from './ceremony-view.ts'
import { type CeremonyWish, requireWish } from './ceremony-wish.ts'
import { expire } from './keeper-acts.ts'
import { keyGet } from './keyGet.ts'
import { type Composed, composeOperation, type QuorumCtx, saveComposed } from './quorum-operations.ts'
import { isOfSeat } from './quorum-standing.ts'
import { loadActiveQuorum, loadQuorumKey } from './quorum-store.ts'
import { loadCommunity } from './store.ts'

/** How long whoever began a ceremony that came to nothing waits before they begin another in its place. */
const AGAIN_AFTER_MS = 60 * 60 * 1000

export type ProposeCtx = ActCtx & QuorumCtx

/** One call. */
interface Asked {
  readonly community: Did
  readonly caller: Did
  readonly wish: CeremonyWish
  readonly input: lexicon.$InputBody
  /** Whether the caller keeps a share of the key that it is about: they may begin a drill or an ownership wherever else they stand. */
  readonly isKeeper: boolean
}

/** What somebody may begin, and on what. */
interface Judged {
  readonly basis: Basis
  readonly permit: Permit<'keys.ceremony'>
}

/** What is made outside of the transaction: the vault is asked, and the directory. */
interface Made {
  readonly statement: CeremonyStatement
  readonly statementHash: string
  readonly sig: string
  readonly sealing: SealedBlob | null
  readonly composed: Composed | null
  readonly atMs: number
}

/**
 * The statement is made and signed outside, on what is so then, and kept when that is so still.
 *
 * Order of checks: the input (InvalidRequest); an answer under the same idempotencyKey (IdempotencyConflict); the caller stands here (NotFound), at
 * ifRevision (StaleRevision), may touch its keys or keeps a share (Forbidden, KeeperRevoked, KeeperSuspended); its keys are here
 * (UnsupportedCustody); the step up (KeeperSignatureRequired, InvalidRequest for keys that don't count yet); of a split, that nobody who could
 * say no was just put out (CoolingDown), nothing is being replaced (RotationUnderWay), and no owners were named (CoolingDown, also of a first
 * drill); there is such a key (UnsupportedCustody) and each keeper
 * has enrolled (InvalidRequest, naming whom); whoever deals or combines keeps a share (InvalidRequest), and vouches for their opener
 * (KeeperSignatureRequired); no other is open about it (CeremonyInProgress; a drill gives way to an operation), and the caller began none in the last
 * hour that came to nothing (CoolingDown); the operation (see `composeOperation`).
 * @throws Refusal; Unavailable when nothing was begun
 */
export async function keyPropose(
  ctx: ProposeCtx,
  caller: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const wish = requireWish(input)
  const asked: Asked = { community, caller, wish, input, isKeeper: await isKeeperFor(ctx, community, wish, caller) }
  const earlier = idempotency && (await recall(ctx.db, idempotency, ctx.clock.nowMs()))
  if (earlier) return keyGet(ctx, caller, { community, ceremony: (earlier.answer as lexicon.$OutputBody).ceremony })
  const call = { community, actor: caller, action: 'key.propose', target: community, subject: null }
  const begin = { ...call, ifRevision: input.ifRevision, idempotency }

  const { basis } = await changeFor(ctx, asked, { ...begin, idempotency: null }, async (tx, { nowMs }) => {
    const look = await undone(tx, () => judge(ctx, tx, asked, nowMs))
    return { answer: { basis: look.basis }, changed: 'nothing', because: look.permit.because }
  })
  const made = await prepare(ctx, asked, basis)
  const { revision: _, ...answer } = await changeFor(ctx, asked, begin, (tx, at) => keep(ctx, tx, asked, made, at))
  return answer
}

/** Whether the caller has a seat in what they ask for; nothing is concluded from that but by whose edges they are judged. */
async function isKeeperFor(ctx: ProposeCtx, community: Did, { kind }: CeremonyWish, caller: Did): Promise<boolean> {
  if (kind !== 'drill' && kind !== 'ownership') return false
  const key = await loadKeyFor(ctx.db, community, kind)
  return key?.seats.some(({ did }) => did === caller) ?? false
}

/** The community's revision, and the time. */
interface At {
  readonly revision: number
  readonly nowMs: number
}

/** A change by an owner, or by a keeper who may stand nowhere; what is refused to either is kept. */
function changeFor<T extends object>(
  ctx: ProposeCtx,
  { isKeeper }: Asked,
  call: ChangeCall,
  work: (tx: Tx, at: At) => Promise<Changed<T>>,
): Promise<T & { readonly revision: number }> {
  const change = (isFor: Pick<ChangeCall, 'isFor'>) =>
    changeCommunity(ctx, { ...call, ...isFor }, (tx, { revision }, nowMs) => work(tx, { revision, nowMs }))
  return isKeeper ? keepingRefusals(ctx, call, () => change({ isFor: 'anybody' })) : change({})
}

/** Everything that can be said against it but by the directory. Spends the step up. */
async function judge(ctx: ProposeCtx, tx: Tx, asked: Asked, nowMs: number): Promise<Judged> {
  const { community, caller, wish, input } = asked
  const permit = await permitOf(ctx, tx, asked)
  if ((await loadCommunity(tx, community))?.custody === 'external') {
    throw new Refusal('UnsupportedCustody', 'the keys of an account are not here; its PDS has them')
  }
  const act = { service: ctx.serviceDid, community, caller, act: $nsid, input }
  await requireStepUp(tx, act, input.stepUp, nowMs)
  if (wish.kind === 'split') {
    await requireHeard(tx, community, caller, nowMs)
    await requireNoRotation(tx, community)
    await requireNoRekey(tx, community, nowMs)
    await requireNoClaim(tx, community)
  }
  const basis = await basisOf(tx, community, wish)
  requireCombiner(asked, basis)
  const drilled = wish.kind === 'drill' && (await loadQuorumKey(tx, basis.quorum.key))
  if (drilled && drilled.state === 'acknowledged' && !(await loadActiveQuorum(tx, community)))
    await requireNoClaim(tx, community)
  const open = await loadOpenIn(tx, community, basis.slot)
  if (open && !isOverdue(open, nowMs) && !givesWay(open, wish)) throw inProgress()
  await requireTurn(tx, community, { slot: basis.slot, caller, nowMs })
  return { basis, permit }
}

/** Nothing follows from a drill, and nobody who begins one is to keep others from what has to be signed. */
const givesWay = ({ kind, signed }: Ceremony, wish: CeremonyWish): boolean =>
  kind === 'drill' && wish.kind === 'combine' && signed === null

/** Whoever began one that came to nothing lets others begin first, or could keep them out for ever. @throws Refusal('CoolingDown') */
async function requireTurn(
  tx: Tx,
  community: Did,
  { slot, caller, nowMs }: { readonly slot: string; readonly caller: Did; readonly nowMs: number },
): Promise<void> {
  const endedMs = await loadLapsedMs(tx, community, slot, caller)
  if (endedMs === null || nowMs >= endedMs + AGAIN_AFTER_MS) return
  const from = isoOf(endedMs + AGAIN_AFTER_MS)
  throw new Refusal(
    'CoolingDown',
    `what you began here came to nothing; others may begin now, and you again from ${from} on`,
  )
}

async function permitOf(ctx: ProposeCtx, tx: Tx, asked: Asked) {
  const { community, caller, wish, isKeeper } = asked
  const facts = await loadGroundedFacts(ctx, tx, community, caller, { isSettled: true })
  if (!facts) throw new Refusal('NotFound', 'it does not exist, or not for you to know of')
  const decision = decideAct(facts, caller, 'keys.ceremony', rosterUri(community))
  if (!isKeeper) return notOfOwners(wish, required(decision))
  if (decision.ok && wish.kind !== 'ownership') return decision.value
  const seat = (await loadKeyFor(tx, community, wish.kind))?.seats.find(({ did }) => did === caller)
  const keeper = await loadKeeper(tx, community, caller)
  if (!seat || !keeper || !isOfSeat(seat, keeper)) {
    throw new Refusal('KeeperRevoked', 'the keys by which you keep a share are enrolled no more')
  }
  if (keeper.suspendedAtMs === null) return decideKeeper(caller)
  throw new Refusal('KeeperSuspended', 'you gave wrong shares three times; an owner has to lift that')
}

/**
 * Whoever deals or combines has the whole key for a moment: one of those who keep it, and whom the others know by the key of their seat. Only
 * that key says to which opener the shares may go; this service could name its own.
 */
function requireCombiner({ community, caller, wish }: Asked, { seats }: Basis): void {
  if (wish.kind !== 'split' && wish.opener === null) return
  const opener = wish.kind === 'split' ? null : wish.opener
  const seat = seats.find(({ did }) => did === (opener?.combiner ?? caller))
  if (!seat) throw new Refusal('InvalidRequest', 'whoever deals or combines has to keep a share themself')
  if (opener === null) return
  if (isSignedBy(seat.signKey, openerWords({ community, sealTo: opener.sealTo }), opener.voucher)) return
  throw new Refusal('KeeperSignatureRequired', 'voucher is not by the key of whoever combines, or not over this sealTo')
}

/** Who owns a community now has no say about who is to: they could keep the keepers' own place for ever. @throws Refusal('Forbidden') */
function notOfOwners<T>({ kind }: CeremonyWish, permit: T): T {
  if (kind === 'ownership') throw new Refusal('Forbidden', 'its keepers alone name other owners')
  return permit
}

/** A stolen session, and the keys with it, must not be enough to put out whoever could say no, and go on the same day. */
async function requireHeard(tx: Tx, community: Did, caller: Did, nowMs: number): Promise<void> {
  if ((await countOtherOwners(tx, rosterUri(community), caller, nowMs)) > 0) return
  const gone = await listOwnersGone(tx, community, nowMs - SEASON_MS)
  if (gone.some((did) => did !== caller)) {
    throw new Refusal('CoolingDown', 'an owner was put out in the last three days, and nobody else is there to say yes')
  }
}

async function prepare(ctx: ProposeCtx, { community, caller, wish }: Asked, basis: Basis): Promise<Made> {
  const composed = wish.kind === 'combine' ? await composeOperation(ctx, community, wish.asked) : null
  const atMs = ctx.clock.nowMs()
  const ceremony = freshTid(atMs, ctx.random)
  const opener = wish.kind === 'split' ? null : wish.opener
  const isHere = wish.kind !== 'split' && opener === null
  const own = isHere ? await makeCeremonyKey(ctx.vault, { community, ceremony, nowMs: atMs }) : null
  const quorum = wish.kind === 'split' ? { ...basis.quorum, key: freshTid(atMs, ctx.random) } : basis.quorum
  const statement: CeremonyStatement = {
    ...{ v: 1, ceremony, kind: wish.kind, community, service: ctx.serviceDid, quorum, seats: [...basis.seats] },
    ...{ strict: wish.kind === 'split' && wish.strict, replaces: basis.replaces },
    operation: composed && { bytes: composed.bytes, head: composed.head },
    owners: wish.kind === 'ownership' ? [...wish.owners] : null,
    ...{
      combiner: isHere ? null : (opener?.combiner ?? caller),
      sealTo: own?.sealTo ?? opener?.sealTo ?? null,
      voucher: opener?.voucher ?? null,
      nonce: ctx.random.bytes(32),
      createdBy: caller,
    },
    ...{ createdAt: isoOf(atMs), expiresAt: isoOf(atMs + OPEN_MS[wish.kind]) },
  }
  const bytes = encodeStatement(statement)
  if (!parseStatement(bytes)) throw new Refusal('InvalidRequest', 'that is more than a statement holds')
  const sig = await ctx.vault.signCeremony(statement)
  return { statement, statementHash: hexOf(statementHashOf(bytes)), sig, sealing: own?.blob ?? null, composed, atMs }
}

async function keep(ctx: ProposeCtx, tx: Tx, asked: Asked, made: Made, at: At): Promise<Changed<lexicon.$OutputBody>> {
  const { community, caller } = asked
  const { statement, statementHash, sig, sealing, composed, atMs } = made
  const { ceremony: id, kind, expiresAt } = statement
  const { basis, permit } = await judge(ctx, tx, asked, at.nowMs)
  if (!isStillSo(basis, statement)) {
    throw new Refusal('StaleRevision', 'the keepers or the key changed in this very moment; ask again')
  }
  const before = await loadOpenIn(tx, community, basis.slot)
  const gaveWay = before && !isOverdue(before, at.nowMs) ? before.id : null
  if (gaveWay !== null) await endCeremony(tx, gaveWay, { state: 'cancelled' }, at.nowMs)
  else if (before) await expire(tx, before, at)
  const state = await firstState(tx, asked, at.nowMs)
  const begun = {
    ...{ id, community, slot: basis.slot, kind, quorumKey: kind === 'split' ? null : basis.quorum.key, state },
    ...{ statement, statementHash, sig, wish: composed?.wish ?? null, createdBy: caller },
    ...{ createdAtMs: atMs, expiresAtMs: atMs + OPEN_MS[kind] },
  }
  if (!(await insertCeremony(tx, permit, begun, sealing))) throw inProgress()
  if (composed) await saveComposed(tx, permit, composed, { community, nowMs: at.nowMs })
  const { n, k, key } = statement.quorum
  const details = { ceremony: id, kind, statementHash, key, n, k, wish: begun.wish, state, expiresAt }
  const combiner = statement.combiner ?? 'service'
  const answer = await shownCeremony(ctx, tx, id, caller)
  return { answer, changed: 'roster', because: permit.because, details: { ...details, combiner, gaveWay } }
}

/** Whether what a statement was made on is so still: the same key, the same keepers with the same keys. */
function isStillSo(basis: Basis, { kind, quorum, seats, replaces }: CeremonyStatement): boolean {
  const said = kind === 'split' ? { ...quorum, key: '' } : quorum
  const textOf = (about: Omit<Basis, 'slot'>): string => JSON.stringify([about.quorum, about.seats, about.replaces])
  return textOf(basis) === textOf({ quorum: said, seats, replaces })
}

/** A new key is made when another owner has said yes, where there is one; keepers drill at once, and say yes before anything follows from it. */
async function firstState(tx: Tx, { community, caller, wish }: Asked, nowMs: number): Promise<CeremonyState> {
  if (wish.kind === 'drill') return 'collecting'
  if (wish.kind !== 'split') return 'proposed'
  return (await countOtherOwners(tx, rosterUri(community), caller, nowMs)) > 0 ? 'proposed' : 'approved'
}
