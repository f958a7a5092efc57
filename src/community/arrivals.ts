/**
 * How a community comes here from another home: `waiting → late → opened | lapsed`.
 *
 *   waiting   keys were made and a statement that names them handed out; the DID's log doesn't name them yet
 *   late      nobody put them there in a week: they aren't handed out any more, but kept, since a directory may show an old state
 *   opened    an end: the operation in force names exactly what the statement says, and the community is here
 *   lapsed    an end: a log that was read another week later doesn't name them, or somebody else's came into the log; the keys are destroyed
 *
 * Only the verified log opens anything: whoever can have these keys put into the document of a DID holds a key of that DID, and nobody
 * else has to be asked. The former home is neither asked nor believed. Every step may be taken again after a crash, by any process.
 */
import { appendChained } from '../audit/store.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import { type PlcOperation, rotationKeysOf } from '../identity/plc-operation.ts'
import { activateArrivedKeys, destroyArrivalKeys } from '../keys/store.ts'
import type * as defs from '../lexicons/community/reeve/defs.ts'
import { raiseRevisions } from '../membership/store.ts'
import type { Did, DidKey } from '../names.ts'
import { msOf } from '../platform/clock.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { requestHashOf } from '../platform/idempotency.ts'
import { errorName } from '../platform/log.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Unavailable } from '../refusals.ts'
import {
  type Arrival,
  endArrivals,
  listWaiting,
  lockWaiting,
  putOffArrivals,
  takeDueArrivals,
} from './arrival-store.ts'
import { startRoll } from './mint-walk.ts'
import { readPresentLog } from './pinned-log.ts'
import { advancePin } from './plc-watch-store.ts'
import { inAWhile, type WatchCtx } from './plc-watcher.ts'
import { insertArrived } from './store.ts'

/** For so long the keys are kept, and what was said stays true. */
export const ARRIVAL_MS = 7 * 24 * 60 * 60 * 1000
/** And for so long after that, in case a directory showed an old state of a document that names them. */
export const LATE_MS = 7 * 24 * 60 * 60 * 1000

const MINUTE_MS = 60_000
/** How soon a DID is looked at again: whoever waits for the next minute is likely to be at it. */
const LOOK_SOON_MS = [MINUTE_MS, 2 * MINUTE_MS] as const
const LOOK_LATE_MS = [10 * MINUTE_MS, 15 * MINUTE_MS] as const
const SOON_FOR_MS = 60 * MINUTE_MS
/** DIDs looked at in one turn, and at once. */
const TURN_MAX = 20
const AT_ONCE = 4
const TAKEN_MS = 2 * MINUTE_MS
/** When the log of a community that has just come is read again. */
const FIRST_READ_MS = [5 * MINUTE_MS, 9.5 * MINUTE_MS] as const

export interface ArrivalCtx extends Pick<WatchCtx, 'db' | 'clock' | 'random' | 'log'> {
  readonly directory: Pick<PlcDirectory, 'readLog'>
}

/** Looks at what is due, a few DIDs at once. A directory that doesn't answer in time ends the turn. Answers how many were seen. */
export async function watchArrivals(ctx: ArrivalCtx, signal?: AbortSignal): Promise<number> {
  let seen = 0
  while (!signal?.aborted && seen < TURN_MAX) {
    const nowMs = ctx.clock.nowMs()
    const some = await takeDueArrivals(ctx.db, { nowMs, untilMs: nowMs + TAKEN_MS, most: AT_ONCE })
    const ends = await Promise.all(some.map((did) => watchArrival(ctx, did)))
    seen += some.length
    if (some.length === 0 || ends.includes('silent')) return seen
  }
  return seen
}

async function watchArrival(ctx: ArrivalCtx, did: Did): Promise<'seen' | 'silent'> {
  try {
    await walkArrivals(ctx, did)
    return 'seen'
  } catch (error) {
    ctx.log.warn('arrival.waits', { did, error: errorName(error) })
    return error instanceof Unavailable && error.code === 'UpstreamTimeout' ? 'silent' : 'seen'
  }
}

/**
 * Reads the log of a DID that somebody wants to bring here, and opens the community or ends what is over. Answers the log; null: the directory
 * knows no such DID. @throws Unavailable: nothing follows, and nothing lapses either, since the keys may stand in the document by now
 */
export async function walkArrivals(ctx: ArrivalCtx, did: Did): Promise<VerifiedPlcLog | null> {
  const log = await readPresentLog(ctx, did)
  const waiting = await listWaiting(ctx.db, did)
  const named = log && waiting.find(({ statement }) => differencesOf(log, statement).length === 0)
  if (log && named) await withTransaction(ctx.db, (tx) => open(ctx, tx, named, log))
  const nowMs = ctx.clock.nowMs()
  if (log) await outlive(ctx, log, waiting, nowMs)
  const isSoon = waiting.some(({ createdAtMs }) => nowMs - createdAtMs < SOON_FOR_MS)
  if (waiting.length > 0) await putOffArrivals(ctx.db, did, inAWhile(ctx, isSoon ? LOOK_SOON_MS : LOOK_LATE_MS))
  return log
}

/** What is too old, and of which no key is named, is late, or is over. A directory that knows no such DID says nothing of the kind. */
async function outlive(
  { db }: ArrivalCtx,
  log: VerifiedPlcLog,
  waiting: readonly Arrival[],
  nowMs: number,
): Promise<void> {
  const unnamed = waiting.filter(({ statement }) => !isMentioned(log, statement))
  const since =
    (forMs: number) =>
    ({ statement }: Arrival) =>
      (msOf(statement.expiresAt) ?? 0) + forMs <= nowMs
  // Late first, and for whole days: one reading alone throws no key away.
  const over = unnamed.filter((one) => one.state === 'late' && since(LATE_MS)(one))
  const late = unnamed.filter((one) => one.state === 'waiting' && since(0)(one))
  if (over.length > 0) await withTransaction(db, (tx) => lapse(tx, over))
  if (late.length > 0) await withTransaction(db, (tx) => end(tx, late, 'late'))
}

/** Whether a key of a statement stands in the operation in force. It isn't thrown away then, however late it is. */
function isMentioned(log: VerifiedPlcLog, { rotationKey, verificationMethods }: Arrival['statement']): boolean {
  if (log.head.operation.type !== 'plc_operation') return false
  const { operation } = log.head
  const named = new Set<string>([...operation.rotationKeys, ...Object.values(operation.verificationMethods)])
  return [rotationKey, ...Object.values(verificationMethods)].some((key) => named.has(key))
}

/** In what the operation in force differs from what was handed out. Empty: in nothing, and a key of the community stands above ours. */
export function differencesOf(log: VerifiedPlcLog, statement: Arrival['statement']): readonly defs.Caveat[] {
  const { operation } = log.head
  if (operation.type !== 'plc_operation') return [{ name: 'ended', says: 'The identity was ended.' }]
  const { rotationKeys, verificationMethods, services } = operation
  const { rotationKey, verificationMethods: keys, services: wanted } = statement
  const isAt = (name: keyof typeof wanted): boolean =>
    services[name]?.type === wanted[name].type && services[name].endpoint === wanted[name].endpoint
  const faults: readonly (readonly [boolean, string, string])[] = [
    [verificationMethods['atproto'] !== keys.atproto, 'atproto', 'The key #atproto is not the one made here.'],
    [
      verificationMethods['atproto_space'] !== keys.atproto_space,
      'atproto_space',
      'The key #atproto_space is not the one made here.',
    ],
    [!isAt('atproto_space_host'), 'atproto_space_host', 'The service #atproto_space_host is not this one.'],
    [!isAt('atproto_pds'), 'atproto_pds', 'The service #atproto_pds is not this one.'],
    [rotationKeys.at(-1) !== rotationKey, 'rotationKey', 'The last rotation key is not the one made here.'],
    [
      rotationKeys.indexOf(rotationKey) !== rotationKeys.length - 1 || !parseDidKey(rotationKeys[0]),
      'rotationKeys',
      'The key made here must stand in the list once.',
    ],
    [
      rotationKeys[0] === rotationKey || rotationKeys.length === 0,
      'communityKey',
      'No key of the community stands above the one made here.',
    ],
    [
      keepsFormer(log, rotationKeys, rotationKey),
      'formerKey',
      'A key that stood last before stands above the one made here still: whoever served the community then could undo what is done here.',
    ],
  ]
  return faults.filter(([isSo]) => isSo).map(([, name, says]) => ({ name, says }))
}

/** Whether a former service's key stands between the community's and ours. The mightiest is the community's own, whatever it was before. */
function keepsFormer({ ops }: VerifiedPlcLog, rotationKeys: readonly string[], ours: string): boolean {
  const former = new Set(ops.map(({ operation }) => rotationKeysOf(operation).at(-1)))
  return rotationKeys.slice(1, -1).some((key) => key !== ours && former.has(key))
}

/**
 * Whether a key stood last, or alone, before: it may be the key of whoever served the community then. That the caller could have an operation
 * made doesn't prove that they hold it, and as long as nobody does the task to say who does stands.
 */
const wasLast = ({ head, ops }: VerifiedPlcLog, key: string): boolean =>
  ops.some(({ cid, operation }) => cid !== head.cid && rotationKeysOf(operation).at(-1) === key)

/** Everything that makes a DID from elsewhere a community here, in one transaction. Whoever else waited for it waits in vain. */
async function open(ctx: ArrivalCtx, tx: Tx, { id }: Arrival, log: VerifiedPlcLog): Promise<void> {
  const arrival = await lockWaiting(tx, id)
  if (!arrival) return
  const { did, caller, name, statement } = arrival
  const others = (await listWaiting(tx, did)).filter((one) => one.id !== id)
  const nowMs = ctx.clock.nowMs()
  const { operation, cid: operationCid } = livingHead(log.head)
  const recoveryKey = operation.rotationKeys[0] as DidKey
  const requestHash = requestHashOf({ statement })
  const recoveryHolder = wasLast(log, recoveryKey) ? null : caller
  const about = { did, name, founder: caller, recoveryKey, recoveryHolder, createdAtMs: nowMs }
  const arrived = { ...about, operation, operationCid, requestHash }
  if (!(await insertArrived(tx, arrived))) return lapse(tx, [arrival, ...others])
  const reasons = await startRoll(tx, did, caller, nowMs)
  if ((await activateArrivedKeys(tx, id, nowMs)) !== 3) throw new Error('an arrival without its keys')
  await advancePin(tx, log, { nowMs, dueAtMs: inAWhile(ctx, FIRST_READ_MS) })
  const revision = await raiseRevisions(tx, did, { graph: true })
  const fact = { community: did, atMs: nowMs, actor: caller, action: 'community.takeIn', target: did, subject: caller }
  const rollSha256 = statement.rollSha256 ?? null
  const details = { custody: 'memberHeld', operationCid, recoveryKey, holder: recoveryHolder, rollSha256 }
  await appendChained(tx, { ...fact, because: { reasons, revision, ...details } })
  await endArrivals(tx, [id], 'opened')
  await lapse(tx, others)
}

function livingHead({ operation, cid }: PlcLogEntry): { readonly operation: PlcOperation; readonly cid: string } {
  if (operation.type !== 'plc_operation') throw new Error('a DID that names nobody')
  return { operation, cid }
}

async function lapse(tx: Tx, arrivals: readonly Arrival[]): Promise<void> {
  await destroyArrivalKeys(tx, await end(tx, arrivals, 'lapsed'))
}

/** Answers the ids of those that stood. */
async function end(tx: Tx, arrivals: readonly Arrival[], state: 'late' | 'lapsed'): Promise<readonly string[]> {
  const held: string[] = []
  for (const { id } of arrivals) if (await lockWaiting(tx, id)) held.push(id)
  await endArrivals(tx, held, state)
  return held
}
