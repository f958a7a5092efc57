/**
 * Reads the PLC log of every community whose keys are here, every ten minutes, and sees to it that owners are told of what they have 72
 * hours to undo.
 *
 * The directory may be slow, behind, broken or a liar. What it has shown once it can't take back; a log that can't be true changes nothing
 * but that it is told; silence is no news. Any number of processes read beside each other, and no two the same log.
 */
import { appendChained } from '../audit/store.ts'
import type { DidDocuments } from '../identity/did-documents.ts'
import { type PlcDirectory, UntrustedPlcLog } from '../identity/plc-directory.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { PlcOperation } from '../identity/plc-operation.ts'
import { listKeys } from '../keys/store.ts'
import { followOperation } from '../keys/successor-store.ts'
import type { Vault } from '../keys/vault.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Random } from '../platform/random.ts'
import { Unavailable, type UnavailableCode } from '../refusals.ts'
import { saveRecoveryKey } from './custody-store.ts'
import { type IdentityAlarm, type IdentityAlarmName, listAlarms } from './identity-alarm-store.ts'
import { type AlarmTurn, settleAlarms, tellTurns } from './identity-alarms.ts'
import { homeOf, judgeNews, type Ours, recoveryBy, type Standing } from './identity-news.ts'
import { isOver, loadRotation } from './key-rotation-store.ts'
import { budgetStanding, keyStanding } from './key-standing.ts'
import { loadOurs } from './ours.ts'
import { readPresentLog, WATCH_EVERY_MS } from './pinned-log.ts'
import {
  advancePin,
  hastenDocument,
  holdsPin,
  insertWatch,
  listUnwatched,
  loadPin,
  type PlcPin,
  putOffLog,
  saveLeft,
  saveQuiet,
  takeDueLooks,
} from './plc-watch-store.ts'
import { hasPlcWorkUnderWay } from './plc-work-store.ts'
import { keepersStanding, OF_KEEPERS } from './quorum-alarms.ts'
import { followQuorum, isQuorumBehind } from './quorum-follow.ts'

export interface WatchCtx {
  readonly db: Db
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly directory: Pick<PlcDirectory, 'readLog'>
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly publicUrl: string
  readonly vault: Pick<Vault, 'letGo'>
}

const MINUTE_MS = 60_000
/** Between two readings of one log. With the pause of the worker and the answer's time, an alarm comes within ten minutes. */
const READ_EVERY_MS = [8 * MINUTE_MS, 9.5 * MINUTE_MS] as const
/** After a directory that was silent, or was not believed. */
const READ_AGAIN_MS = [MINUTE_MS, 2 * MINUTE_MS] as const
/** When a community is looked at first: what it began with was read a moment ago. */
const FIRST_READ_MS = [5 * MINUTE_MS, 9.5 * MINUTE_MS] as const
const FIRST_DOCUMENT_MS = [30_000, 55_000] as const
/** Logs that one process reads at once: a directory serves others too, and each log may be a megabyte. */
export const READ_AT_ONCE = 4
/** How long a log is a process's that says nothing. */
const TAKEN_MS = 2 * MINUTE_MS
/** What the clocks of two processes may differ by. */
const CLOCKS_DIFFER_MS = MINUTE_MS
/** Communities that begin to be watched in one turn. */
const BEGIN_MAX = 500

/** An instant in a span from now, by chance: what began together must not go on together. */
export function inAWhile({ clock, random }: Pick<WatchCtx, 'clock' | 'random'>, [from, to]: readonly [number, number]) {
  const [high = 0, low = 0] = random.bytes(2)
  return clock.nowMs() + Math.round(from + ((to - from) * ((high << 8) | low)) / 0xffff)
}

/** Begins to watch communities that nobody watches: those that were just opened, and those that were here before anybody watched. */
export async function beginWatching(ctx: WatchCtx): Promise<number> {
  const unwatched = await listUnwatched(ctx.db, BEGIN_MAX)
  for (const one of unwatched) {
    await insertWatch(ctx.db, one, {
      nowMs: ctx.clock.nowMs(),
      dueAtMs: inAWhile(ctx, FIRST_READ_MS),
      documentDueAtMs: inAWhile(ctx, FIRST_DOCUMENT_MS),
    })
  }
  return unwatched.length
}

/**
 * Reads what is due, a few logs at once, until nothing is due any more. A directory that doesn't answer in time ends the turn: each of the
 * others would wait for it as long. Answers how many were read.
 */
export async function watchLogs(ctx: WatchCtx, signal?: AbortSignal): Promise<number> {
  let read = 0
  while (!signal?.aborted) {
    const nowMs = ctx.clock.nowMs()
    const bounds = { untilMs: nowMs + TAKEN_MS, latestMs: nowMs + WATCH_EVERY_MS + CLOCKS_DIFFER_MS }
    const some = await takeDueLooks(ctx.db, 'log', { nowMs, ...bounds, most: READ_AT_ONCE })
    const ends = await Promise.all(some.map((community) => watchLog(ctx, community)))
    read += ends.filter((end) => end === 'read').length
    if (some.length < READ_AT_ONCE || ends.includes('UpstreamTimeout')) return read
  }
  return read
}

async function watchLog(ctx: WatchCtx, community: Did): Promise<'read' | UnavailableCode> {
  try {
    const end = await lookAtLog(ctx, community, 'nothing')
    if (end !== 'settled') await putOffLog(ctx.db, community, inAWhile(ctx, READ_AGAIN_MS))
    return end === 'settled' || end === 'doubted' ? 'read' : end
  } catch (error) {
    ctx.log.warn('plcWatch.waits', { did: community, error: errorName(error) })
    return 'UpstreamFailure'
  }
}

/** What the document said a moment ago: whether it names us. `nothing`: it wasn't asked. */
export type DocumentSays = 'us' | 'others' | 'nothing'

/**
 * Reads a log and settles what follows from it: the alarms, until when nothing is signed, and, where the document says the same, that the
 * community left or is back. `doubted`: there was a log, or none, that can't be the whole truth; of that nothing follows but an alarm.
 * A code: the directory gave no answer, and nothing follows.
 */
export async function lookAtLog(
  ctx: WatchCtx,
  community: Did,
  says: DocumentSays,
): Promise<'settled' | 'doubted' | UnavailableCode> {
  // From before the question: what others note meanwhile may be newer than the answer.
  const pin = await loadPin(ctx.db, community)
  const log = await readLog(ctx, community)
  if (typeof log === 'string') return log
  if ('doubt' in log) return doubt(ctx, community, log.doubt)
  if (!holdsPin(pin, log)) {
    const about = { operations: log.ops.length, had: pin?.operations ?? null, cid: pin?.headCid ?? null }
    return doubt(ctx, community, { name: 'plcRollback', about })
  }
  // Keys are stored before the operation that names them leaves the house: read after the log, none of its keys is missing.
  const ours = await followHead(ctx, community, log)
  if (!ours) return 'settled'
  const turns = await withTransaction(ctx.db, (tx) => settle(ctx, tx, { log, ours, says }))
  tellTurns(ctx.log, community, turns)
  return 'settled'
}

interface Look {
  readonly log: VerifiedPlcLog
  readonly ours: Ours
  readonly says: DocumentSays
}

/** Writes what follows from a log that holds, unless somebody has seen a newer one meanwhile. */
async function settle(ctx: WatchCtx, tx: Tx, { log, ours, says }: Look): Promise<readonly AlarmTurn[]> {
  const { did: community } = log
  const now = await loadPin(tx, community)
  if (!holdsPin(now, log)) return []
  const nowMs = ctx.clock.nowMs()
  const home = homeOf(log.head, ours)
  const leftAtMs = leftAfter(now, { home, says, nowMs })
  const judge = async () => {
    const alarms = await listAlarms(tx, community)
    const news = judgeNews(log, ours, nowMs, { judged: now?.judged ?? 0, alarms })
    const ofKeys = keyStanding(await listKeys(tx, community), alarms)
    const ofKeepers = await keepersStanding(tx, community, nowMs)
    const others = [
      ...movedAway(log, home, leftAtMs),
      ...budgetStanding(log, nowMs),
      ...ofKeys,
      ...ofKeepers,
      ...heldOnce(alarms, nowMs),
    ]
    const stood = alarms.some(({ name }) => OF_LOG.includes(name))
    return { standing: [...news.alarms, ...others], quietUntilMs: news.quietUntilMs, stood }
  }
  const first = await judge()
  // Where nothing stands and nothing stood, the community isn't held: nobody waits for it.
  const isAny = first.stood || first.standing.length > 0
  if (isAny) await lockRevisions(tx, community)
  const turns = isAny ? await settleAlarms(tx, community, OF_LOG, (await judge()).standing, nowMs) : []
  await advancePin(tx, log, { nowMs, dueAtMs: inAWhile(ctx, READ_EVERY_MS) })
  const quietMs = first.quietUntilMs !== null && first.quietUntilMs > nowMs ? first.quietUntilMs : null
  if (quietMs !== (now?.quietUntilMs ?? null)) await saveQuiet(tx, community, quietMs)
  if (leftAtMs !== (now?.leftAtMs ?? null)) await saveLeft(tx, community, leftAtMs)
  if (says === 'nothing' && (home === 'here') !== (leftAtMs === null)) await hastenDocument(tx, community, nowMs)
  return turns
}

/** Doubts that stand when a log holds for the first time since: they are over when it holds again, so that one that flaps is one alarm. */
const heldOnce = (alarms: readonly IdentityAlarm[], nowMs: number): readonly Standing[] =>
  alarms
    .filter(({ name, about }) => DOUBTS.includes(name) && about['heldAtMs'] === undefined)
    .map(({ name, about }) => ({ name, about: { ...about, heldAtMs: nowMs } }))

/**
 * Lets what is known here follow the operation in force: a key of ours that was replaced and is named again signs again, and the community's
 * own key is the one that the log says. Only by a log that is the newest that anybody has seen, and never while a change of ours is on its
 * way: what that comes to is written by whoever walks it. Answers what is ours then; null when its keys aren't here.
 */
async function followHead(ctx: WatchCtx, community: Did, log: VerifiedPlcLog): Promise<Ours | null> {
  const { operation } = log.head
  const ours = await loadOurs(ctx, community)
  if (!ours || operation.type !== 'plc_operation') return ours
  const isTakenBack = (await listKeys(ctx.db, community)).some(
    ({ didKey, state }) =>
      (state === 'retiring' || state === 'retired' || state === 'pending') &&
      [operation.rotationKeys.at(-1), ...Object.values(operation.verificationMethods)].includes(didKey),
  )
  const isBehind = await isQuorumBehind(ctx.db, community, operation)
  if (recoveryBy(log, ours).recoveryKey === ours.recoveryKey && !isTakenBack && !isBehind) return ours
  const hasChanged = await withTransaction(ctx.db, (tx) => follow(ctx, tx, log, operation))
  if (!hasChanged) return ours
  ctx.vault.letGo(community)
  return loadOurs(ctx, community)
}

/** Answers whether anything changed. */
async function follow(ctx: WatchCtx, tx: Tx, log: VerifiedPlcLog, operation: PlcOperation): Promise<boolean> {
  const { did: community, head } = log
  const numbers = await lockRevisions(tx, community)
  if (!numbers || !holdsPin(await loadPin(tx, community), log)) return false
  const rotation = await loadRotation(tx, community)
  if ((rotation && !isOver(rotation)) || (await hasPlcWorkUnderWay(tx, community))) return false
  const ours = await loadOurs({ ...ctx, db: tx }, community)
  if (!ours) return false
  const nowMs = ctx.clock.nowMs()
  // Nothing is being replaced: one that waits to take over was made for an operation that keepers have sent themselves.
  const back = await followOperation(tx, community, operation, nowMs)
  const isQuorums = await followQuorum(tx, community, operation, nowMs)
  const { recoveryKey, formerRecoveryKeys: former = [] } = recoveryBy(log, ours)
  const isAnother = recoveryKey !== ours.recoveryKey
  if (isAnother) await saveRecoveryKey(tx, community, { after: recoveryKey, holder: null, former })
  if (!isAnother && !isQuorums && back.length === 0) return false
  const fact = { community, atMs: nowMs, actor: community, target: community, subject: null }
  const because = { reasons: [], revision: numbers.revision, cid: head.cid, purposes: back.join(' ') }
  const recovery = isAnother ? { recoveryKey } : {}
  await appendChained(tx, { ...fact, action: 'key.follow', because: { ...because, ...recovery } })
  return true
}

async function readLog(
  ctx: WatchCtx,
  community: Did,
): Promise<VerifiedPlcLog | { readonly doubt: Standing } | UnavailableCode> {
  try {
    const log = await readPresentLog(ctx, community)
    // It was there when the community came to be here.
    return log ?? { doubt: { name: 'plcRollback', about: { operations: 0 } } }
  } catch (error) {
    if (error instanceof UntrustedPlcLog) {
      return { doubt: { name: 'plcUntrusted', about: { fault: error.fault, at: error.at ?? null } } }
    }
    if (error instanceof Unavailable) return error.code
    throw error
  }
}

async function doubt(ctx: WatchCtx, community: Did, standing: Standing): Promise<'doubted'> {
  const nowMs = ctx.clock.nowMs()
  const turns = await withTransaction(ctx.db, (tx) => settleAlarms(tx, community, [], [standing], nowMs))
  tellTurns(ctx.log, community, turns)
  return 'doubted'
}

/**
 * Since when a community is gone; null: it is here. Two have to say so, each in its own way: the document, by which everybody else goes, and
 * the log, which can't be made up. So one odd answer shuts no community down, and none lets it out again.
 */
function leftAfter(
  pin: PlcPin | null,
  {
    home,
    says,
    nowMs,
  }: { readonly home: ReturnType<typeof homeOf>; readonly says: DocumentSays; readonly nowMs: number },
): number | null {
  const leftAtMs = pin?.leftAtMs ?? null
  if (leftAtMs === null) return home !== 'here' && says === 'others' ? nowMs : null
  return home === 'here' && says === 'us' ? null : leftAtMs
}

const movedAway = (
  { head }: VerifiedPlcLog,
  home: ReturnType<typeof homeOf>,
  leftAtMs: number | null,
): readonly Standing[] =>
  leftAtMs === null || home === 'ended' ? [] : [{ name: 'movedAway', about: { cid: head.cid, atMs: leftAtMs } }]

/** What a directory is in doubt for. */
const DOUBTS: readonly IdentityAlarmName[] = ['plcRollback', 'plcUntrusted']

/** Those that a log decides on, and the keys in force. */
const OF_LOG: readonly IdentityAlarmName[] = [
  ...DOUBTS,
  'foreignOperation',
  'removedKeyForked',
  'movedAway',
  'ended',
  'oursNotLast',
  'budgetHalfSpent',
  'keySuspect',
  'keyExported',
  ...OF_KEEPERS,
]
