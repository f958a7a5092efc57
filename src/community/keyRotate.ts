/** `community.reeve.key.rotate`: keys that this service keeps for a community are replaced by new ones. */
import type { FoundedPurpose } from '../keys/envelope.ts'
import type * as lexicon from '../lexicons/community/reeve/key/rotate.ts'
import { $nsid } from '../lexicons/community/reeve/key/rotate.ts'
import { type Changed, changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { requireStepUp } from '../membership/step-up.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { type ProcedureCall, recall } from '../platform/idempotency.ts'
import { errorName } from '../platform/log.ts'
import { decideAct } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { requireNoCombine } from './combine-guard.ts'
import { isOver, loadRotation, type Rotation } from './key-rotation-store.ts'
import { readPinnedLog } from './pinned-log.ts'
import { requireOwnKey } from './quorum-guards.ts'
import { loadActiveQuorum, loadComingQuorum } from './quorum-store.ts'
import { beginRotation, rotationUnderWay, shownRotation } from './rotation-begin.ts'
import { type RotationCtx, requireNamed, walkRotation } from './rotation-walk.ts'
import { loadCommunity } from './store.ts'

type RotateCtx = GovernanceCtx & RotationCtx

interface Wish {
  readonly community: Did
  readonly purposes: readonly FoundedPurpose[]
  readonly reason: 'scheduled' | 'leak'
}

/** The order in which purposes are kept and compared. */
const PURPOSES: readonly FoundedPurpose[] = ['rotation', 'atproto', 'space']

/**
 * Order of checks: the input (InvalidRequest); an answer under the same idempotencyKey (IdempotencyConflict); the caller stands in the
 * roster (NotFound), at ifRevision (StaleRevision), may do so (Forbidden); the keys are here (UnsupportedCustody); nothing else is being
 * replaced (RotationUnderWay; the same is gone on with); where there is a key in shares, the step up (KeeperSignatureRequired, InvalidRequest
 * for keys that don't count yet). What the walk then meets is told as PlcRank, PlcRejected or PlcConflict.
 * @throws Refusal; Unavailable when nothing was begun
 */
export async function keyRotate(
  ctx: RotateCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const wish = requireWish(input)
  const { community } = wish
  const call = {
    ...{ community, actor, action: 'key.rotate', target: community, subject: null },
    ifRevision: input.ifRevision,
    idempotency,
  }
  const earlier = idempotency && (await recall(ctx.db, idempotency, ctx.clock.nowMs()))
  if (earlier) {
    // Whoever was put out since hears nothing more of it.
    await changeCommunity(ctx, { ...call, idempotency: null, ifRevision: undefined }, (_tx, facts) =>
      allowed(facts, wish),
    )
    return answerOf(ctx, wish, earlier.answer as { revision: number })
  }

  const judged = await changeCommunity(ctx, { ...call, idempotency: null }, (tx, facts, nowMs) =>
    judge(tx, facts, wish, nowMs),
  )
  if (input.dryRun) return { revision: judged.revision }
  if (judged.isUnderWay) return answerOf(ctx, wish, judged)
  if (wish.reason === 'scheduled') await requireOurs(ctx, wish)
  const freshDek = wish.reason === 'leak'
  const { rows } = await ctx.vault.prepareSuccessors(community, wish.purposes, ctx.clock.nowMs(), { freshDek })
  const begun = await changeCommunity(ctx, call, async (tx, facts, nowMs): Promise<Changed<object>> => {
    const { isUnderWay } = (await judge(tx, facts, wish, nowMs)).answer
    const decision = decideAct(facts, facts.did, 'keys.ceremony', rosterUri(community))
    const permit = required(decision)
    const { because } = decision
    // It moves the head under an operation that keepers are signing, and puts off a key of theirs: a session alone must not do that again and again.
    if ((await loadActiveQuorum(tx, community)) || (await loadComingQuorum(tx, community))) {
      const act = { service: ctx.serviceDid, community, caller: actor, act: $nsid, input }
      await requireStepUp(tx, act, input.stepUp, nowMs)
    }
    if (isUnderWay) return { answer: {}, changed: 'nothing', because }
    await beginRotation(ctx, tx, permit, { ...wish, askedBy: actor, successors: rows, nowMs })
    const details = { status: 'begun', purposes: wish.purposes.join(' '), reason: wish.reason }
    return { answer: {}, changed: 'roster', because, details }
  })
  return answerOf(ctx, wish, begun)
}

/** @throws Refusal('InvalidRequest') for a key named twice, and for two that would have to sign for each other */
function requireWish(input: lexicon.$InputBody): Wish {
  const community = requireDid(input.community, 'community')
  const purposes = PURPOSES.filter((purpose) => input.purposes.includes(purpose))
  const { reason = 'scheduled' } = input
  if (purposes.length !== input.purposes.length) throw new Refusal('InvalidRequest', 'name each purpose once')
  if (reason === 'scheduled' && purposes.includes('space') && purposes.includes('atproto')) {
    throw new Refusal('InvalidRequest', 'space and atproto one after the other: each signs for the other meanwhile')
  }
  return { community, purposes, reason }
}

/** Whether the actor may. Changes nothing. */
async function allowed(facts: Facts, { community }: Wish): Promise<Changed<object>> {
  const decision = decideAct(facts, facts.did, 'keys.ceremony', rosterUri(community))
  required(decision)
  return { answer: {}, changed: 'nothing', because: decision.because }
}

/** Whether the actor may, and nothing stands in the way. Changes nothing. */
async function judge(tx: Tx, facts: Facts, wish: Wish, nowMs: number): Promise<Changed<{ isUnderWay: boolean }>> {
  const { because } = await allowed(facts, wish)
  if ((await loadCommunity(tx, wish.community))?.custody === 'external') {
    throw new Refusal('UnsupportedCustody', 'the keys of an account are not here')
  }
  await requireOwnKey(tx, wish.community)
  if (wish.reason === 'scheduled') await requireNoCombine(tx, wish.community, nowMs)
  const rotation = await loadRotation(tx, wish.community)
  const isUnderWay = rotation !== null && !isOver(rotation)
  const isJoined = isUnderWay && isSame(rotation, wish)
  // A leak doesn't wait for what is scheduled: whether that can be given up is seen when it begins.
  if (isUnderWay && !isJoined && wish.reason !== 'leak') throw rotationUnderWay()
  return { answer: { isUnderWay: isJoined }, changed: 'nothing', because }
}

const isSame = ({ purposes, reason }: Rotation, wish: Wish): boolean =>
  reason === wish.reason && purposes.join() === wish.purposes.join()

/**
 * That what is to be replaced is ours in the document, and what signs beside it meanwhile: else credentials would be signed by a key that nobody
 * can verify. After a leak nobody waits for this, and nothing signs beside. @throws Refusal('PlcRank'); Unavailable
 */
async function requireOurs(ctx: RotateCtx, { community, purposes }: Wish): Promise<void> {
  const { head } = await readPinnedLog(ctx, community)
  const held = await ctx.vault.publicKeys(community)
  const beside: readonly FoundedPurpose[] = purposes.includes('space') ? ['atproto'] : []
  requireNamed(
    head,
    [...purposes, ...beside],
    (purpose) => held.find((key) => key.purpose === purpose && key.state === 'active')?.didKey,
  )
}

/** Goes as far as it can be gone now, and says where that is. @throws Refusal when it came to nothing */
async function answerOf(ctx: RotateCtx, wish: Wish, { revision }: { revision: number }): Promise<lexicon.$OutputBody> {
  const rotation = await walkFurther(ctx, wish.community)
  if (!rotation) return { revision }
  if (rotation.fault && isSame(rotation, wish)) {
    throw new Refusal(rotation.fault, 'the keys could not be replaced; they are what they were')
  }
  return { rotation: shownRotation(rotation), revision }
}

async function walkFurther(ctx: RotateCtx, community: Did): Promise<Rotation | null> {
  try {
    return await walkRotation(ctx, community)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('rotation.waits', { did: community, error: errorName(error) })
    return loadRotation(ctx.db, community)
  }
}
