/** `community.reeve.key.submitShare`: a keeper gives their share to a ceremony. */
import { givenHashOf } from '../keys/ceremony-statements.ts'
import { openCeremonyKey, openGiven } from '../keys/combining.ts'
import { isSealedShare } from '../keys/share-seal.ts'
import type * as lexicon from '../lexicons/community/reeve/key/submitShare.ts'
import { noteBadShare } from '../membership/keeper-store.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { requireKeyOf, requirePlaceable } from './ceremony-basis.ts'
import { sharesIn, stateAfter, whoDid } from './ceremony-course.ts'
import { endShareAlarm, moveOn, raiseShareAlarm } from './ceremony-end.ts'
import { mayCombine } from './ceremony-seats.ts'
import { type Ceremony, loadSealing } from './ceremony-store.ts'
import { shownCeremony } from './ceremony-view.ts'
import { type CombineCtx, combineHere, requireAttempt } from './combine-here.ts'
import { type Acted, type Acting, actIn, bad, keepDeed, lookAtAct } from './keeper-acts.ts'
import { hasPlcWorkUnderWay } from './plc-work-store.ts'
import { settleKeepers } from './quorum-alarms.ts'
import { markCombinedHere } from './quorum-store.ts'

/**
 * Sealed to whoever combines, and to this ceremony alone. Where that is somebody's own tool, this service can't look at it: they do, and a keeper
 * whose share was damaged gives another. Where it is this service, the share is opened outside of the transaction and looked at before it counts:
 * one that isn't right is told to the owners, with whose it was, and the others stay. With the last one that is needed the key is put together.
 *
 * Order of checks: those of every act (`keeper-acts.ts`); the key is in force, they didn't say no, and whoever combines is a keeper
 * still (BadCeremony); they, or somebody else, gave
 * the same, or theirs was found right (DuplicateShare); it has the form of a share, and is theirs for this ceremony (BadShare); of the last one, that nothing else is changing
 * the identity (PlcConflict, RotationUnderWay, CoolingDown), and that the key wasn't put together here too often (LimitExceeded). Then what combining finds:
 * KeyMismatch. @throws Refusal; Unavailable when the vault can't be asked
 */
export async function keySubmitShare(
  ctx: CombineCtx,
  caller: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const subjectOf = () => givenHashOf(input.sealed)
  const call = { caller, action: 'key.submitShare', act: 'submit', input, subjectOf } as const
  const look = await lookAtAct(ctx, call)
  requireFresh(look, input.sealed)
  const isRight = isSealedShare(input.sealed) ? await isTheirs(ctx, look.ceremony, caller, input.sealed) : false
  let isLast = false
  const answer = await actIn(ctx, call, async (tx, acting) => {
    const { ceremony, deeds, nowMs } = acting
    const key = await requireKeyOf(tx, ceremony)
    if (whoDid(deeds, 'reject').includes(caller)) throw bad('you said no to this ceremony')
    await requireCombiner(ctx, tx, ceremony)
    requireFresh(acting, input.sealed)
    if (isRight === false) return noteBad(tx, acting)
    const state = stateAfter(ceremony, await keepDeed(tx, acting, input.sealed))
    if (isRight && key) {
      await endShareAlarm(tx, ceremony.community, caller, nowMs)
      isLast = state === 'ready'
      if (isLast) await requireCombinable(tx, ceremony, nowMs)
      if (isLast) await markCombinedHere(tx, key.id)
    }
    await moveOn(tx, ceremony, state, nowMs)
    return { details: { state } }
  })
  if (!isLast) return answer
  await combineHere(ctx, input.ceremony, caller)
  return shownCeremony(ctx, ctx.db, input.ceremony, caller)
}

/** Whether a share is the one that belongs to its keeper in this ceremony; null where this service can't tell. It is looked at and wiped. */
async function isTheirs(ctx: CombineCtx, ceremony: Ceremony, did: Did, sealed: string): Promise<boolean | null> {
  const { id, statement, statementHash } = ceremony
  if (!isSealedShare(sealed)) return false
  if (statement.combiner !== null) return null
  const sealing = await loadSealing(ctx.db, id)
  // Somebody was quicker, and the ceremony is over: what is waited for is judged in the transaction.
  if (!sealing) return null
  const pair = await openCeremonyKey(ctx.vault, statement, sealing)
  const open = { statement, statementHash: new Uint8Array(Buffer.from(statementHash, 'hex')) }
  const share = await openGiven(pair, open, { did, sealed })
  share?.y.fill(0)
  return share !== null
}

/** @throws Refusal('DuplicateShare') */
function requireFresh({ ceremony, deeds, deed }: Acting, sealed: string): void {
  const shares = sharesIn(deeds)
  if (shares.some(({ given }) => given === sealed)) throw duplicate('the same was given already')
  const own = shares.find(({ did }) => did === deed.did)
  if (!own) return
  if (ceremony.statement.combiner === null) throw duplicate('you gave your share, and it is right')
  // Whoever caught an older one must not put it in the place of a later one.
  if (deed.at <= own.at) throw duplicate('you gave a share later than this one was signed')
}

const duplicate = (says: string): Refusal => new Refusal('DuplicateShare', says)

/** What is wrong is written down, and who gave it; nothing of what they gave. The third time they are suspended. */
async function noteBad(tx: Tx, { ceremony, keeper, deed, nowMs }: Acting): Promise<Acted> {
  const { community } = ceremony
  const noted = await noteBadShare(tx, { id: keeper.id, given: deed.subject ?? '' }, nowMs)
  // Whoever caught it sends it again and again, in their name.
  if (!noted) throw wrong()
  const { count, isSuspended } = noted
  await raiseShareAlarm(tx, community, keeper.did, nowMs)
  if (isSuspended) await settleKeepers(tx, community, nowMs)
  return { recordedAs: 'key.badShare', details: { keeper: keeper.id, count }, refused: wrong() }
}

const wrong = (): Refusal => new Refusal('BadShare', 'the share is not the one that belongs to you, for this ceremony')

/** Nobody's share goes to somebody who is a keeper no more. @throws Refusal('BadCeremony') */
async function requireCombiner(ctx: CombineCtx, tx: Tx, ceremony: Ceremony): Promise<void> {
  if (await mayCombine(ctx, tx, ceremony)) return
  throw bad('whoever combines is a keeper no more: give them nothing, and begin another')
}

/** That what the key will have signed can be kept: it is put together once, and not for nothing. */
async function requireCombinable(tx: Tx, ceremony: Ceremony, nowMs: number): Promise<void> {
  const { community, kind } = ceremony
  if (kind === 'combine' && (await hasPlcWorkUnderWay(tx, community))) {
    throw new Refusal('PlcConflict', 'another change of the identity is under way; try again when it has ended')
  }
  if (kind === 'drill') await requirePlaceable(tx, community)
  await requireAttempt(tx, ceremony, nowMs)
}
