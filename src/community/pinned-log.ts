/**
 * The PLC log of a community of ours, held against what was seen of it before, and what still has to be waited for before anything is
 * written to it.
 *
 * A directory can't forge an operation, but it can show an old state: one in which a key that was taken out is still in, or our own
 * operation never happened. Whoever builds on such a state signs what a thief is waiting for. So a log that has become shorter stops all
 * writing here until it is whole again.
 */
import { plcBudget } from '../identity/plc-budget.ts'
import { type PlcDirectory, UntrustedPlcLog } from '../identity/plc-directory.ts'
import { datedAfter, type VerifiedPlcLog } from '../identity/plc-log.ts'
import type { Did } from '../names.ts'
import { type Clock, isoOf } from '../platform/clock.ts'
import { type Db, withTransaction } from '../platform/database.ts'
import type { Log } from '../platform/log.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { listAlarms } from './identity-alarm-store.ts'
import { settleAlarms, tellTurns } from './identity-alarms.ts'
import { hasYoungTurn, quietBy } from './identity-news.ts'
import { budgetStanding } from './key-standing.ts'
import { loadOurs } from './ours.ts'
import { holdsPin, loadPin, notePin } from './plc-watch-store.ts'

export interface PinnedCtx {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly directory: PlcDirectory
}

/** A log is looked at by the watcher again within this. */
export const WATCH_EVERY_MS = 10 * 60 * 1000

/** By how much the directory's clock may be ahead of ours. */
const AHEAD_MAX_MS = 5 * 60 * 1000

/**
 * A log that holds, and of which nothing is dated later than now. Who waits until a day that the directory named would wait a hundred years.
 * @throws UntrustedPlcLog, Unavailable
 */
export async function readPresentLog(
  { directory, clock }: { readonly directory: Pick<PlcDirectory, 'readLog'>; readonly clock: Clock },
  did: Did,
): Promise<VerifiedPlcLog | null> {
  const log = await directory.readLog(did)
  const at = log && datedAfter(log, clock.nowMs() + AHEAD_MAX_MS)
  if (at !== null) throw new UntrustedPlcLog('time-future', at)
  return log
}

/**
 * The verified log, no shorter than it was. @throws Unavailable when the directory doesn't answer, knows no such DID, or shows less than it did
 */
export async function readPinnedLog(ctx: PinnedCtx, community: Did): Promise<VerifiedPlcLog> {
  const { db, clock, log: journal } = ctx
  const log = await readPresentLog(ctx, community)
  // It was founded, or was seen: a directory that doesn't know it is ill, or another one.
  if (!log) throw new Unavailable('UpstreamFailure', 'plc-directory')
  const pin = await loadPin(db, community)
  const nowMs = clock.nowMs()
  if (!holdsPin(pin, log)) {
    // Whether it lags or lies, the watcher finds out, and tells the owners.
    journal.warn('plc.rollback', { did: community, seen: pin?.operations ?? 0, shown: log.ops.length })
    throw new Unavailable('UpstreamFailure', 'plc-rollback')
  }
  // Nothing is judged here: whoever reads often must not keep the watcher from telling what is new.
  await notePin(db, log, { nowMs, dueAtMs: nowMs + WATCH_EVERY_MS })
  await noteBudget(ctx, log, nowMs)
  return log
}

async function noteBudget({ db, log: journal }: PinnedCtx, log: VerifiedPlcLog, nowMs: number): Promise<void> {
  const standing = budgetStanding(log, nowMs)
  const stood = (await listAlarms(db, log.did)).find(({ name }) => name === 'budgetHalfSpent')
  if (standing[0]?.about['left'] === stood?.about['left']) return
  const turns = await withTransaction(db, (tx) => settleAlarms(tx, log.did, ['budgetHalfSpent'], standing, nowMs))
  tellTurns(journal, log.did, turns)
}

/**
 * When an ordinary operation of ours may be sent: now (null), or not before an instant, and why. The log in hand is asked itself, since the
 * watcher may not have seen it.
 */
export async function whenOpen(
  { db, clock }: Pick<PinnedCtx, 'db' | 'clock'>,
  log: VerifiedPlcLog,
): Promise<{ readonly code: 'PlcQuiet' | 'PlcBudget'; readonly atMs: number } | null> {
  const nowMs = clock.nowMs()
  const { quietUntilMs = null } = (await loadPin(db, log.did)) ?? {}
  // Where we answer is no part of this question.
  const ours = hasYoungTurn(log, nowMs) ? await loadOurs({ db, publicUrl: '' }, log.did) : null
  const quietMs = Math.max(quietUntilMs ?? 0, (ours && quietBy(log, ours, nowMs)) ?? 0)
  if (quietMs > nowMs) return { code: 'PlcQuiet', atMs: quietMs }
  const budget = plcBudget(log, nowMs)
  return budget.left > 0 ? null : { code: 'PlcBudget', atMs: budget.opensAtMs }
}

/** Refuses to write now. @throws Refusal PlcQuiet, PlcBudget, with the instant from which it is possible */
export async function requireOpenLog(ctx: Pick<PinnedCtx, 'db' | 'clock'>, log: VerifiedPlcLog): Promise<void> {
  const wait = await whenOpen(ctx, log)
  if (!wait) return
  const from = isoOf(wait.atMs)
  throw wait.code === 'PlcQuiet'
    ? new Refusal('PlcQuiet', `the keys of the community were changed; this service signs nothing for it until ${from}`)
    : new Refusal('PlcBudget', `the directory takes no more operations for this identity until ${from}`)
}
