/**
 * One look after one space, within the turn of its community: what can be done about it now, in this order.
 *
 * 1. An account that took its consent back is left alone; a space that ended here is deleted there.
 * 2. It is made, or adopted, where the PDS wasn't seen to have it.
 * 3. Its settings, as far as nobody is let in by them who shouldn't be, or locked out who should be in.
 * 4. The plan of its list: those whom changes name at once, everybody in their time.
 * 5. What is on the list already, the first time; and what somebody asked to be shown.
 * 6. A slice of calls; when none is left, the rest of the settings, and the look that is due once a day.
 */
import { parseSpaceUri, type SpaceUri } from '../names.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import type { Calls } from './calls.ts'
import { backOffMs, Halt, isUnreachable } from './halt.ts'
import {
  type AtWork,
  endThere,
  type Judged,
  judgeSpace,
  knownThere,
  learnThere,
  makeThere,
  sendSettings,
  UNCONNECTED_PAUSE_MS,
} from './keep-settings.ts'
import { isLookDue, isOver, type Lease, REST_LONGEST_MS, type Rest, saveKept, saveRest } from './keeping-store.ts'
import { loadNewestLook } from './look-store.ts'
import { sendSlice } from './outbox.ts'
import { isListReady } from './outbox-store.ts'
import { type Planning, planAll, planNamed } from './plan.ts'
import { loadBasis, savePlanned } from './plan-store.ts'
import { type Looking, makeLook, reconcile } from './reconcile.ts'
import type { There } from './settings-there.ts'
import { forgetList, loadConnectionState, loadSteered, type Steered } from './steered-store.ts'
import { factFor, type SteeringCtx } from './steering-ctx.ts'

export interface Turn {
  readonly lease: Lease
  readonly calls: Calls
  readonly slice: number
  readonly signal?: AbortSignal | undefined
}

/** `more`: there is more to be done at once. `waits`: it is tried again later. `stop`: the whole PDS wants to be left alone. */
export type Outcome = 'done' | 'more' | { readonly is: 'waits' | 'stop'; readonly untilMs: number }

const RELEASED_PAUSE_MS = 60_000

export async function steerSpace(ctx: SteeringCtx, turn: Turn, uri: SpaceUri): Promise<Outcome> {
  const steered = await loadSteered(ctx.db, uri)
  const space = parseSpaceUri(uri)
  if (!steered || !space) return 'done'
  try {
    const { fault, isMore } = await steer(ctx, turn, { lease: turn.lease, space, steered })
    // Those that have not had their turn for the longest come first: a ban in one of them doesn't wait for others that always have more to do.
    await rest(ctx, turn, steered, { fault, failures: 0, againAtMs: ctx.clock.nowMs() })
    return isMore ? 'more' : 'done'
  } catch (error) {
    return halted(ctx, turn, steered, error)
  }
}

/** Nothing is begun at the PDS when the turn is another's by now, or we are told to end. @throws Halt */
function requireTurn({ signal }: Turn): void {
  if (signal?.aborted) throw new Halt(null)
}

/** Notes why work on a space stopped, and until when. */
async function halted(ctx: SteeringCtx, turn: Turn, steered: Steered, error: unknown): Promise<Outcome> {
  const { space } = steered
  if (turn.signal?.aborted) return 'done'
  const halt = error instanceof Halt ? error : new Halt(null)
  if (!(error instanceof Halt)) ctx.log.warn('steering.failed', { space, error: errorName(error) })
  const failures = steered.failures + 1
  const [chance = 0] = ctx.random.bytes(1)
  const untilMs = ctx.clock.nowMs() + (halt.pauseMs ?? backOffMs(failures, chance / 255))
  const fault = halt.fault ?? (isUnreachable(failures) ? 'PdsUnreachable' : steered.fault)
  ctx.log.debug('steering.waits', { space, fault, failures })
  const isGone = fault === 'GoneAtPds' && halt.fault === fault && steered.state === 'kept'
  if (isGone) await saveKept(ctx.db, turn.lease, space, { state: 'missing' })
  await rest(ctx, turn, steered, { fault, failures, againAtMs: untilMs })
  return { is: halt.isWholePds ? 'stop' : 'waits', untilMs }
}

const rest = (ctx: SteeringCtx, turn: Turn, steered: Steered, how: Rest): Promise<void> =>
  withTransaction(ctx.db, (tx) =>
    saveRest(tx, turn.lease, steered.space, how, {
      nowMs: ctx.clock.nowMs(),
      factOf: (fault, before) =>
        fault === null
          ? factFor(ctx, steered, 'steering.faultOver', { fault: before })
          : factFor(ctx, steered, 'steering.fault', { fault }),
    }),
  )

/** How a look that came to its end leaves a space. */
interface Left {
  readonly fault: string | null
  readonly isMore: boolean
}
const WELL: Left = { fault: null, isMore: false }

async function steer(ctx: SteeringCtx, turn: Turn, at: AtWork): Promise<Left> {
  const { steered, space } = at
  const isConnected = (await loadConnectionState(ctx.db, steered.community)) === 'connected'
  if (steered.isEnded || steered.state === 'ending') {
    await endThere(ctx, at, isConnected)
    return WELL
  }
  if (steered.isReleased) throw new Halt('Released', { pauseMs: RELEASED_PAUSE_MS })
  if (!isConnected) throw new Halt('NotConnected', { pauseMs: UNCONNECTED_PAUSE_MS })
  const judged = await judgeSpace(ctx, space, steered.mode)
  if (steered.state === 'missing') {
    // Nothing is done about it before an owner says so; but whoever asks is told whether it is there again.
    const look = await loadNewestLook(ctx.db, space.uri, true)
    if (look)
      await makeLook(
        ctx,
        { ...at, calls: turn.calls, signal: turn.signal, declared: judged.declared, isFirst: false },
        look,
      )
    return { ...WELL, fault: steered.fault }
  }
  const there = steered.state === 'making' ? await makeThere(ctx, at, judged.declared) : await knownThere(ctx, at)
  // What the PDS doesn't take of the settings keeps nobody on a list who should be off it.
  const early = await tryOut(() => sendSettings(ctx, at, { there, declared: judged.declared, isListReady: false }))
  if (early.fault && !early.fault.isRefusal) throw early.fault
  const fresh = await afresh(ctx, at)
  // Whoever changed how it is kept did so after what we judged it by, so it is due for that: nothing of the other way is written over it.
  if (fresh.steered.mode !== steered.mode || fresh.steered.isEnded) return { ...WELL, isMore: true }
  const now = { at: fresh, judged, there: early.value?.there ?? there }
  const outcome = steered.mode === 'hook' ? await keepAsking(ctx, turn, now) : await keepListed(ctx, turn, now)
  if (early.fault === null) return outcome
  if (!outcome.isMore) throw early.fault
  return { ...outcome, fault: early.fault.fault }
}

interface Now {
  readonly at: AtWork
  readonly judged: Judged
  readonly there: There
}

/** What this turn has written of a space, for the rest of it. */
async function afresh(ctx: SteeringCtx, at: AtWork): Promise<AtWork> {
  const steered = await loadSteered(ctx.db, at.space.uri)
  if (!steered) throw new Halt(null)
  return { ...at, steered }
}

async function tryOut<T>(work: () => Promise<T>): Promise<{ readonly value: T | null; readonly fault: Halt | null }> {
  try {
    return { value: await work(), fault: null }
  } catch (error) {
    if (error instanceof Halt) return { value: null, fault: error }
    throw error
  }
}

/** The PDS asks us: there is no list to keep, and only settings to look at. */
async function keepAsking(ctx: SteeringCtx, turn: Turn, now: Now): Promise<Left> {
  const { at, judged } = now
  // A plan that was under way when an owner chose this way has left its people behind; nobody would ever carry out what is to be done of them.
  await forgetList(ctx.db, at.space.uri)
  await notePlanned(ctx, at, judged)
  await lookIfAsked(ctx, lookingOf(turn, now, false))
  if (isReconcileDue(ctx, at.steered)) await reconcile(ctx, lookingOf(turn, now, false))
  return WELL
}

async function notePlanned(ctx: SteeringCtx, { lease, space }: AtWork, { revision }: Judged): Promise<void> {
  const basis = [{ community: space.authority, revision }]
  const nowMs = ctx.clock.nowMs()
  await withTransaction(ctx.db, (tx) => savePlanned(tx, lease, space.uri, { basis, nowMs, afterMs: 0, dueMs: null }))
}

/** The PDS has a list of its own. */
async function keepListed(ctx: SteeringCtx, turn: Turn, now: Now): Promise<Left> {
  const { at, judged, there } = now
  const { steered, space, lease } = at
  const { speaks } = there
  const about = { lease, space, speaks, revision: judged.revision, dueMs: judged.dueMs }
  const { plan, isCurrent } = judged.declaring.isFrozen
    ? await planLater(ctx, at, judged)
    : await planIfDue(ctx, at, about)
  const left = { fault: faultAfter(plan, steered), isMore: true }
  requireTurn(turn)
  if (steered.reconciledAtMs === null) {
    if (plan !== 'named') await reconcile(ctx, lookingOf(turn, now, true))
    return left
  }
  await lookIfAsked(ctx, lookingOf(turn, now, false))
  const sent = await sendOrRelearn(ctx, turn, now)
  if (sent === 'more' || plan === 'named') return left
  const isReady = isCurrent && (await isListReady(ctx.db, space.uri))
  requireTurn(turn)
  const settings = await sendSettings(ctx, at, { there, declared: judged.declared, isListReady: isReady })
  // Whoever is held, an owner has to agree first; what is carried out then has it looked at again.
  if (!settings.isAll) await saveKept(ctx.db, lease, space.uri, { settings_due: false })
  if (!isReconcileDue(ctx, steered)) return { ...left, isMore: false }
  await reconcile(ctx, lookingOf(turn, now, false))
  return left
}

type Plan = 'planned' | 'empty' | 'named' | 'none'

/**
 * While a space rests the PDS asks us, and whoever is to be on its list stays so: what changes until it is woken is planned then, before it
 * goes by its list again.
 */
async function planLater(
  ctx: SteeringCtx,
  at: AtWork,
  judged: Judged,
): Promise<{ readonly plan: Plan; readonly isCurrent: boolean }> {
  await notePlanned(ctx, at, judged)
  return { plan: 'none', isCurrent: false }
}

/** `isCurrent`: nothing that the plan rests on has moved since. */
async function planIfDue(
  ctx: SteeringCtx,
  { steered }: AtWork,
  about: Planning,
): Promise<{ readonly plan: Plan; readonly isCurrent: boolean }> {
  const own = about.space.authority
  const basis = (await loadBasis(ctx.db, about.space.uri)).map((one) =>
    one.community === own ? { ...one, now: Math.min(one.now, about.revision) } : one,
  )
  const moved = basis.filter(({ now, looked }) => now > looked)
  if (moved.length > 0) {
    await planNamed(ctx, about, moved)
    return { plan: 'named', isCurrent: false }
  }
  const nowMs = ctx.clock.nowMs()
  const isMoved = basis.length === 0 || basis.some(({ now, revision }) => now > revision)
  const isTime = steered.planDueMs !== null && steered.planDueMs <= nowMs
  const isDue = basis.length === 0 || (isMoved && isOver(steered.planAfterMs, nowMs, REST_LONGEST_MS)) || isTime
  return isDue ? { plan: await planAll(ctx, about), isCurrent: true } : { plan: 'none', isCurrent: !isMoved }
}

/** That nobody was met is told until somebody is. */
const faultAfter = (plan: Plan, { fault }: Steered): string | null => {
  if (plan === 'empty') return 'EmptyRoster'
  return plan !== 'planned' && fault === 'EmptyRoster' ? fault : null
}

/** A PDS that became another generation meanwhile refuses the old method, or has it taken for something that isn't granted. */
async function sendOrRelearn(ctx: SteeringCtx, turn: Turn, { at, there }: Now): Promise<'all' | 'more'> {
  const { lease, space } = at
  const { calls, slice, signal } = turn
  try {
    return await sendSlice(ctx, { lease, space, speaks: there.speaks, calls, slice, signal })
  } catch (error) {
    if (!(error instanceof Halt) || !error.isRelearning) throw error
    const learnt = await learnThere(ctx, at)
    if (learnt.speaks === there.speaks) throw error
    return 'more'
  }
}

const lookingOf = ({ calls, signal }: Turn, { at, judged }: Now, isFirst: boolean): Looking => ({
  ...at,
  ...{ calls, signal, isFirst, declared: judged.declared },
})

async function lookIfAsked(ctx: SteeringCtx, looking: Looking): Promise<void> {
  const look = await loadNewestLook(ctx.db, looking.space.uri, true)
  if (look) await makeLook(ctx, looking, look)
}

const isReconcileDue = ({ clock }: SteeringCtx, { reconcileDueMs }: Steered): boolean =>
  isLookDue(reconcileDueMs, clock.nowMs())
