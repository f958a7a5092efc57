/**
 * The walk by which the keys of a community are replaced: each step recorded before the next, to be taken again after a crash by any process.
 *
 *   aside    the space key has stepped aside: the `atproto` key signs credentials, until nothing that the space key signed lives any more
 *   swap     one operation names the new keys (`plc_work`); confirmed when log and document show it
 *   after    the `atproto` key signs on, so that no verifier with the document of before is shown a key that it doesn't know
 *   settle   the new space key signs; what the other one signed meanwhile comes to its end
 *   done     an end
 *   refused  an end: the operation can't be; nothing of the keys changed
 *
 * The first, third and fourth are for a space key alone. Verifiers keep a document for hours, and not every one of them looks again
 * before it says no (0016 §Verification); but each knows the `atproto` key, which stays. When somebody may have the keys, nobody waits.
 */
import { plcBudget } from '../identity/plc-budget.ts'
import type { PlcDirectory } from '../identity/plc-directory.ts'
import type { PlcLogEntry, VerifiedPlcLog } from '../identity/plc-log.ts'
import { cidOf, rotationKeysOf } from '../identity/plc-operation.ts'
import type { FoundedPurpose } from '../keys/envelope.ts'
import { NAME_OF, type Successors } from '../keys/rekeying.ts'
import { listKeys } from '../keys/store.ts'
import { standAside } from '../keys/successor-store.ts'
import type { Vault } from '../keys/vault.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did, DidKey } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { decideBegun } from '../policy/decide.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { giveUpRotation, outliveMs } from './key-change.ts'
import { isOver, loadRotation, moveRotation, type Rotation, type RotationFault } from './key-rotation-store.ts'
import { readPinnedLog, whenOpen } from './pinned-log.ts'
import { rekeyingOperation } from './plc-builder.ts'
import { type PlcWalkCtx, walkPlcWork } from './plc-walk.ts'
import { loadPin } from './plc-watch-store.ts'
import { hasPlcWorkUnderWay, insertPlcWork, loadPlcWork, type PlcWork } from './plc-work-store.ts'
import { loadActiveQuorum } from './quorum-store.ts'
import { hasCommunityEnded, loadFounding } from './store.ts'

export type RotationCtx = PlcWalkCtx & { readonly vault: Vault; readonly serviceDid: Did }

/** How many operations a directory must still take, for others to be left to whoever needs them more: a leak, and the operator after one. */
const RESERVED = { scheduled: 3, leak: 1, operator: 0 } as const
/** How long one waits that found the reserve only. */
const RESERVE_PAUSE_MS = 10 * 60 * 1000

/** Walks under way in this process, per directory: the caller, their repetitions and the worker share one. */
const underWay = new WeakMap<PlcDirectory, Map<Did, Promise<Rotation>>>()

/**
 * Walks a replacement as far as it goes now, and answers where it stands. @throws Unavailable when the directory can't be asked: it stays
 * where it is and is taken up again later.
 */
export function walkRotation(ctx: RotationCtx, community: Did): Promise<Rotation> {
  const walks = underWay.get(ctx.directory) ?? new Map<Did, Promise<Rotation>>()
  underWay.set(ctx.directory, walks)
  const walk = walks.get(community) ?? walkAlone(ctx, community).finally(() => walks.delete(community))
  walks.set(community, walk)
  return walk
}

async function walkAlone(ctx: RotationCtx, community: Did): Promise<Rotation> {
  for (;;) {
    const rotation = await loadRotation(ctx.db, community)
    if (!rotation) throw new Error('no such rotation')
    if (isOver(rotation) || rotation.stepDueAtMs > ctx.clock.nowMs()) return rotation
    await takeStep(ctx, rotation)
  }
}

/** Takes the next step. Safe to repeat, and safe beside another process that takes the same step. */
async function takeStep(ctx: RotationCtx, rotation: Rotation): Promise<void> {
  const nowMs = ctx.clock.nowMs()
  if (rotation.step === 'aside') await moveRotation(ctx.db, rotation, 'aside', { step: 'swap', dueAtMs: nowMs })
  else if (rotation.step === 'swap') await swap(ctx, rotation)
  else if (rotation.step === 'after') await takeTurnAgain(ctx, rotation)
  else await moveRotation(ctx.db, rotation, 'settle', { step: 'done', dueAtMs: nowMs })
}

async function takeTurnAgain(ctx: RotationCtx, rotation: Rotation): Promise<void> {
  const { community } = rotation
  await withTransaction(ctx.db, async (tx) => {
    const dueAtMs = ctx.clock.nowMs() + outliveMs(ctx)
    if (await moveRotation(tx, rotation, 'after', { step: 'settle', dueAtMs })) await standAside(tx, community, false)
  })
  ctx.vault.letGo(community)
}

/** Whether the work is this rotation's own. */
const belongsTo = (work: PlcWork | null, { beganAtMs }: Rotation): boolean =>
  work?.kind === 'keys' && work.about.rotationBeganAtMs === beganAtMs

async function swap(ctx: RotationCtx, rotation: Rotation): Promise<void> {
  const { db, clock } = ctx
  const { community } = rotation
  const work = await loadPlcWork(db, community)
  const isUnderWay = work !== null && work.step !== 'confirmed' && work.step !== 'refused'
  if (isUnderWay) {
    // Its own, or another change of the identity that came first.
    await walkPlcWork(ctx, community)
    return
  }
  const hasLeft = ((await loadPin(db, community))?.leftAtMs ?? null) !== null
  if (hasLeft || (await hasCommunityEnded(db, community))) return giveUp(ctx, rotation, 'PlcConflict', null)
  // Confirmed by another process while this one looked: the rotation was moved with it.
  if (work?.step === 'confirmed' && belongsTo(work, rotation)) return
  const log = await readPinnedLog(ctx, community)
  try {
    const made = await compose(ctx, rotation, log)
    if (made.atMs !== null) {
      await moveRotation(db, rotation, 'swap', { step: 'swap', dueAtMs: made.atMs })
      return
    }
    await withTransaction(db, async (tx) => {
      await lockRevisions(tx, community)
      if (!(await isStillOurs(tx, rotation, made.work.about.successors))) return
      await insertPlcWork(tx, decideBegun(rotation.askedBy), { ...made.work, createdAtMs: clock.nowMs() })
    })
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    await giveUp(ctx, rotation, error.code === 'PlcRejected' ? 'PlcRejected' : 'PlcRank', log)
  }
}

/** Whether what was composed outside is still what is wanted: the same rotation waits for it, with the same keys, and nothing is on its way. */
async function isStillOurs(tx: Tx, { community, beganAtMs }: Rotation, successors: Successors): Promise<boolean> {
  const now = await loadRotation(tx, community)
  if (now?.step !== 'swap' || now.beganAtMs !== beganAtMs || (await hasPlcWorkUnderWay(tx, community))) return false
  const pending = (await listKeys(tx, community)).filter(({ state }) => state === 'pending')
  return Object.values(successors).every((key) => pending.some(({ didKey }) => didKey === key))
}

/**
 * Gives it up, if it is still to be: another process may have sent its operation while this one read the log, and then what was read here
 * is no reason. @throws Unavailable when the log names keys that were to take over: then it is that other process's to write that down
 */
async function giveUp(
  ctx: RotationCtx,
  rotation: Rotation,
  fault: RotationFault,
  log: VerifiedPlcLog | null,
): Promise<void> {
  const { community, beganAtMs } = rotation
  await withTransaction(ctx.db, async (tx) => {
    await lockRevisions(tx, community)
    const now = await loadRotation(tx, community)
    if (now?.step !== 'swap' || now.beganAtMs !== beganAtMs || (await hasPlcWorkUnderWay(tx, community))) return
    const pending = (await listKeys(tx, community)).filter(({ state }) => state === 'pending')
    const named = log ? keysNamed(log.head) : new Set<string>()
    if (pending.some(({ didKey }) => named.has(didKey))) throw new Unavailable('UpstreamFailure', 'plc-directory')
    await giveUpRotation(ctx, tx, now, fault)
  })
}

/**
 * The signed operation on top of the one in force, or the instant before which none may be sent. Whoever may have our keys doesn't keep a
 * quiet window, and so an urgent one doesn't wait for it.
 */
async function compose(ctx: RotationCtx, rotation: Rotation, log: VerifiedPlcLog) {
  const { community, purposes, askedBy, beganAtMs } = rotation
  const atMs = await notBefore(ctx, rotation, log)
  if (atMs !== null) return { atMs, work: null }
  const held = await listKeys(ctx.db, community)
  const active = (purpose: FoundedPurpose) =>
    held.find((key) => key.purpose === purpose && key.state === 'active')?.didKey
  const successors: Successors = {}
  for (const purpose of purposes) {
    const next = held.find((key) => key.purpose === purpose && key.state === 'pending')
    if (!next) throw new Unavailable('KeyUnavailable', 'vault')
    successors[purpose] = next.didKey
  }
  const ours = active('rotation')
  if (!ours) throw new Refusal('PlcRank', 'no key of this service can change the identity any more')
  requireNamed(log.head, purposes, active)
  const recovery = rotation.recovery && { ...rotation.recovery, before: ownFirst(log.head, ours) }
  const { quorum } = rotation
  const keepers = await loadActiveQuorum(ctx.db, community)
  // Whoever stands above the keepers can take the community from them: that isn't for a key below them to decide.
  if (keepers && recovery)
    throw new Refusal('PlcRank', "only the keepers may put another key above the community's own")
  const isMembers =
    recovery !== null ||
    quorum !== null ||
    keepers !== null ||
    (await loadFounding(ctx.db, community))?.custody !== 'custodial'
  const rank = { ours: quorum?.isStrict ? null : (successors.rotation ?? ours), communityAbove: isMembers }
  const change = { successors, recovery, quorum }
  const { inForce, operation } = rekeyingOperation(log.head, change, rank)
  const signed = await ctx.vault.signRekeying({ kind: 'rekeying', community, inForce, operation, ...change })
  const about = { successors, recovery, quorum, rotationBeganAtMs: beganAtMs }
  const work = { community, kind: 'keys' as const, operation: signed, operationCid: cidOf(signed), about, askedBy }
  return { atMs: null, work }
}

/** The instant before which none is sent; null: it may be now. */
async function notBefore(ctx: RotationCtx, rotation: Rotation, log: VerifiedPlcLog): Promise<number | null> {
  const wait = await whenOpen(ctx, log)
  if (wait && !(rotation.isUrgent && wait.code === 'PlcQuiet')) return wait.atMs
  const isOperators = rotation.askedBy === ctx.serviceDid
  const reserved = isOperators ? RESERVED.operator : rotation.isUrgent ? RESERVED.leak : RESERVED.scheduled
  const nowMs = ctx.clock.nowMs()
  return plcBudget(log, nowMs).left > reserved ? null : nowMs + RESERVE_PAUSE_MS
}

/** The community's own key by the operation in force; null: ours stands alone. */
function ownFirst({ operation }: PlcLogEntry, ours: DidKey): DidKey | null {
  const first = parseDidKey(rotationKeysOf(operation)[0])?.didKey ?? null
  return first === ours ? null : first
}

/** Nobody's key is replaced but ours: an owner may have put one of their own there. @throws Refusal('PlcRank') */
export function requireNamed(
  { operation }: PlcLogEntry,
  purposes: readonly FoundedPurpose[],
  active: (purpose: FoundedPurpose) => DidKey | undefined,
): void {
  const methods: Readonly<Record<string, string>> =
    operation.type === 'plc_operation' ? operation.verificationMethods : {}
  const isOurs = (purpose: 'space' | 'atproto') => methods[NAME_OF[purpose]] === active(purpose)
  for (const purpose of ['space', 'atproto'] as const) {
    if (!purposes.includes(purpose) || isOurs(purpose)) continue
    throw new Refusal('PlcRank', `the identity names another ${purpose} key than this service's`)
  }
}

/** Every key that an operation names. */
export const keysNamed = ({ operation }: PlcLogEntry): ReadonlySet<string> =>
  new Set([
    ...rotationKeysOf(operation),
    ...(operation.type === 'plc_operation' ? Object.values(operation.verificationMethods) : []),
  ])
