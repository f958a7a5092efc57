/**
 * The operations by which a key in shares comes into an identity, is replaced there, and does what only it may do. The service builds them, or
 * looks at one that somebody brought; keepers decode the same bytes with their own tools, and sign those or none.
 *
 * Where our key stands in the list it stands last, and no operation that our key signs takes one of theirs out. Which operation theirs follows is
 * chosen so that no key that leaves can undo it (`plc-course.ts`).
 */
import { decode } from '@ipld/dag-cbor'
import { plcBudget } from '../identity/plc-budget.ts'
import { placesOf } from '../identity/plc-course.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import {
  cidOf,
  encodeOperation,
  PLC_OPERATION_READ_MAX_BYTES,
  type PlcOperation,
  parseUnsignedOperation,
  type UnsignedPlcOperation,
} from '../identity/plc-operation.ts'
import { type CeremonyStatement, hexOf } from '../keys/ceremony-statements.ts'
import { listKeys } from '../keys/store.ts'
import { dropSuccessors, type SuccessorRows, saveSuccessors } from '../keys/successor-store.ts'
import type { Vault } from '../keys/vault.ts'
import type { Did, DidKey } from '../names.ts'
import { sha256 } from '../platform/bytes.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Secret } from '../platform/secret.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { insertRotation, isOver, loadRotation } from './key-rotation-store.ts'
import { loadOpenClaim } from './ownership-claim-store.ts'
import { type PinnedCtx, readPinnedLog } from './pinned-log.ts'
import { assertPlcLimits, assertPlcRank, requireLiving } from './plc-builder.ts'
import { type PlannedChange, planChange } from './plc-departure.ts'
import { hasPlcWorkUnderWay, insertPlcWork, listNamed, noteNamed } from './plc-work-store.ts'
import { listQuorumKeys, loadActiveQuorum, loadComingQuorum, type QuorumKey } from './quorum-store.ts'
import { rotationUnderWay } from './rotation-begin.ts'

export type QuorumCtx = PinnedCtx & { readonly vault: Vault }

/**
 * What keepers may have done by a name.
 *
 *   rekey     the key that was drilled takes the place of the one in force
 *   strict    this service's key leaves: from then on every change of the identity is theirs
 *   shared    this service has a key again, below theirs
 *   dissolve  the key in shares leaves, beside a member's own key
 */
export type Wish = 'rekey' | 'strict' | 'shared' | 'dissolve'

/** An operation for keepers to look at: its bytes without a signature, and what was in force when it was made. */
export interface Composed {
  readonly bytes: Uint8Array
  readonly head: string
  readonly wish: Wish | null
  /** A key of ours that it names and that was made for it. */
  readonly successors: Secret<SuccessorRows> | null
}

/**
 * Composes what is wished for, or judges an operation that somebody brought. Order of checks: a key in shares is in force, and in the log
 * (UnsupportedCustody); the operation is one (InvalidRequest); its keys stand as they must (PlcRank); it has a place (PlcConflict); no key
 * that leaves could undo it (PlcQuiet); its size (PlcLimit); the directory takes it (PlcBudget). Not to be called inside a transaction.
 * @throws Refusal; Unavailable when the directory or the vault can't be asked
 */
export async function composeOperation(
  ctx: QuorumCtx,
  community: Did,
  asked: { readonly wish: Wish } | { readonly bytes: Uint8Array },
): Promise<Composed> {
  const active = await loadActiveQuorum(ctx.db, community)
  if (!active) throw new Refusal('UnsupportedCustody', 'no key in shares is in force')
  const log = await readPinnedLog(ctx, community)
  const { rotationKeys } = requireLiving(log.head)
  if (!rotationKeys.includes(active.didKey))
    throw new Refusal('UnsupportedCustody', 'the key in shares is not in the identity any more')
  const nowMs = ctx.clock.nowMs()
  const made = 'wish' in asked ? await wished(ctx, log, active, asked.wish) : brought(ctx, log, active, asked.bytes)
  if (plcBudget(log, nowMs).left === 0) throw new Refusal('PlcBudget', 'the directory takes no more operations for now')
  const { operation, successors } = await made
  const wish = 'wish' in asked ? asked.wish : null
  return { bytes: encodeOperation(operation), head: log.head.cid, wish, successors }
}

interface Made {
  readonly operation: UnsignedPlcOperation
  readonly successors: Secret<SuccessorRows> | null
}

async function wished(ctx: QuorumCtx, log: VerifiedPlcLog, active: QuorumKey, wish: Wish): Promise<Made> {
  const { community } = active
  const { sig: _, type: __, prev: ___, ...inForce } = requireLiving(log.head)
  const held = await listKeys(ctx.db, community)
  const isOurs = (key: string) => held.some(({ purpose, didKey }) => purpose === 'rotation' && didKey === key)
  const ours = inForce.rotationKeys.find(isOurs) ?? null
  const keys = await (async (): Promise<{
    readonly all: readonly string[]
    readonly successors: Made['successors']
  }> => {
    if (wish === 'rekey') return { all: await rekeyed(ctx, active, inForce.rotationKeys, ours), successors: null }
    if (wish === 'strict') {
      if (!ours) throw new Refusal('UnsupportedCustody', 'no key of this service stands in the identity')
      return { all: inForce.rotationKeys.filter((key) => !isOurs(key)), successors: null }
    }
    if (wish === 'dissolve') {
      // Nobody here could change anything any more, and what waits for that would wait for ever.
      if (!ours) throw new Refusal('UnsupportedCustody', 'let this service have a key first (wish shared)')
      const all = inForce.rotationKeys.filter((key) => key !== active.didKey)
      if (all.every(isOurs)) throw new Refusal('PlcRank', 'no key of the community would be left above this service’s')
      return { all, successors: null }
    }
    if (ours) throw new Refusal('UnsupportedCustody', 'a key of this service stands in the identity already')
    const made = await ctx.vault.prepareSuccessors(community, ['rotation'], ctx.clock.nowMs(), { freshDek: false })
    const { rotation } = made.keys
    return { all: [...inForce.rotationKeys, ...(rotation ? [rotation] : [])], successors: made.rows }
  })()
  const last = keys.all.at(-1) as DidKey
  const homeKey = keys.successors !== null || (last !== undefined && isOurs(last)) ? last : null
  const plan = planned(ctx, log, active, { ...inForce, rotationKeys: [...keys.all] }, homeKey)
  return { operation: plan.operation, successors: keys.successors }
}

/** The key that was drilled in the place of the one in force; ours leaves with it where it was dealt for that. */
async function rekeyed(
  { db }: QuorumCtx,
  active: QuorumKey,
  rotationKeys: readonly string[],
  ours: string | null,
): Promise<readonly string[]> {
  const coming = await loadComingQuorum(db, active.community)
  if (coming?.state !== 'drilled')
    throw new Refusal('UnsupportedCustody', 'there is no other key in shares that was drilled')
  const all = rotationKeys.map((key) => (key === active.didKey ? coming.didKey : key))
  return coming.wantsStrict ? all.filter((key) => key !== ours) : all
}

/** @throws Refusal PlcRank, PlcLimit, PlcConflict, PlcQuiet */
function planned(
  { clock }: QuorumCtx,
  log: VerifiedPlcLog,
  { didKey: signer }: QuorumKey,
  next: Omit<UnsignedPlcOperation, 'prev' | 'type'>,
  homeKey: DidKey | null,
): PlannedChange {
  const plan = planChange(log, next, { signer, lastGood: log.head, nowMs: clock.nowMs(), homeKey })
  if (plan.course.ok) return plan
  const { safeAtMs } = plan.course
  const until = safeAtMs === null ? 'as long as it stands above' : `until ${isoOf(safeAtMs)}`
  throw new Refusal('PlcQuiet', `a key that leaves could undo it, ${until}`)
}

/** An operation as somebody brought it. */
function brought(ctx: QuorumCtx, log: VerifiedPlcLog, active: QuorumKey, bytes: Uint8Array): Made {
  const operation = unsignedOf(bytes)
  if (!operation) throw new Refusal('InvalidRequest', 'the operation is not an unsigned one in DAG-CBOR')
  const places = placesOf(log, active.didKey, ctx.clock.nowMs())
  const place = places.find(({ prev }) => prev.cid === operation.prev)
  if (place?.refusal !== null)
    throw new Refusal('PlcConflict', 'the key may not sign behind that operation; begin from the one in force')
  assertPlcRank(operation, { ours: null, communityAbove: false })
  assertPlcLimits(operation, PLC_OPERATION_READ_MAX_BYTES)
  return { operation, successors: null }
}

function unsignedOf(bytes: Uint8Array): UnsignedPlcOperation | null {
  try {
    const operation = parseUnsignedOperation(decode(bytes))
    return operation && Buffer.from(encodeOperation(operation)).equals(bytes) ? operation : null
  } catch {
    return null
  }
}

/**
 * Keeps what an operation needs here, in the transaction that keeps its ceremony. Keepers may sign it without this service and send it
 * themselves: a key of ours that it names is noted as named, and not thrown away while it may come into force. One that was made for an earlier
 * operation and isn't in force makes way. @throws Refusal StaleRevision, RotationUnderWay
 */
export async function saveComposed(
  tx: Tx,
  permit: Permit<'keys.ceremony'>,
  { successors, bytes }: Composed,
  { community, nowMs }: { readonly community: Did; readonly nowMs: number },
): Promise<void> {
  const operation = unsignedOf(bytes)
  if (!operation) throw new Error('no operation was composed')
  await requireNamedStand(tx, community, operation)
  if (!successors) return
  const rotation = await loadRotation(tx, community)
  if (rotation && !isOver(rotation)) throw rotationUnderWay()
  await dropSuccessors(tx, community, { nowMs, named: await listNamed(tx, community) })
  await saveSuccessors(tx, permit, successors, nowMs)
  const names = [...operation.rotationKeys, ...Object.values(operation.verificationMethods)]
  await noteNamed(tx, community, { name: hexOf(sha256(bytes)), prev: operation.prev ?? '', names })
}

/**
 * That every key in shares which an operation names has been drilled, and wasn't dropped for another: with any other in force nobody might be able
 * to act. @throws Refusal('StaleRevision')
 */
async function requireNamedStand(tx: Tx, community: Did, { rotationKeys }: UnsignedPlcOperation): Promise<void> {
  const keys = await listQuorumKeys(tx, community)
  const stands = ({ state }: QuorumKey): boolean => state === 'drilled' || state === 'active' || state === 'retired'
  if (keys.every((key) => stands(key) || !rotationKeys.includes(key.didKey))) return
  throw new Refusal('StaleRevision', 'the operation names a key in shares that was dropped, or that nobody has drilled')
}

/** Whether an operation brings a key in shares into the identity that isn't there. */
export async function bringsKey(db: Db | Tx, community: Did, bytes: Uint8Array): Promise<boolean> {
  const coming = await loadComingQuorum(db, community)
  return coming !== null && unsignedOf(bytes)?.rotationKeys.includes(coming.didKey) === true
}

/**
 * Begins to bring a key in shares that was just drilled into the identity, by this service's own key: where none is in force yet. Where one is,
 * its keepers have to put the new one in its place themselves; and while owners are named by a key of the community, it waits. @throws Refusal('RotationUnderWay')
 */
export async function beginPlacement(
  tx: Tx,
  permit: Permit<'keys.ceremony'>,
  key: QuorumKey,
  { askedBy, nowMs }: { readonly askedBy: Did; readonly nowMs: number },
): Promise<void> {
  const { community } = key
  if (await loadActiveQuorum(tx, community)) return
  // Those who own the community now may be put out tomorrow, by a key that this one would stand beside: not before that is decided.
  if (await loadOpenClaim(tx, community)) return
  const begun = await insertRotation(tx, permit, {
    ...{ community, purposes: [], recovery: null, reason: 'quorum', isUrgent: false, askedBy, beganAtMs: nowMs },
    quorum: { key: key.id, pub: key.didKey, isStrict: key.wantsStrict },
    ...{ step: 'swap', stepDueAtMs: nowMs },
  })
  if (!begun) throw rotationUnderWay()
}

export interface Concluded {
  readonly ceremony: string
  readonly statement: CeremonyStatement
  /** By the key in shares, over the statement's operation: 64 bytes in unpadded base64url. */
  readonly signature: string
  readonly askedBy: Did
  readonly nowMs: number
}

/**
 * Keeps the operation that keepers signed, to be sent: walk it with `walkPlcWork`, as any process does. Answers its CID.
 * @throws Refusal PlcConflict while another operation is on its way: the same can be given again when that has come to its end; StaleRevision
 * when it names a key that was dropped since
 */
export async function keepConcluded(tx: Tx, permit: Permit<'keys.ceremony'>, concluded: Concluded): Promise<string> {
  const { ceremony, statement, signature, askedBy, nowMs } = concluded
  const { community, operation: shown } = statement
  const unsigned = shown && unsignedOf(shown.bytes)
  if (!shown || !unsigned) throw new Error('a ceremony without an operation')
  const operation: PlcOperation = { ...unsigned, sig: signature }
  const operationCid = cidOf(operation)
  await requireNamedStand(tx, community, unsigned)
  const about = { ceremony, head: shown.head }
  const work = { community, kind: 'ceremony' as const, operation, operationCid, about, askedBy, createdAtMs: nowMs }
  if ((await hasPlcWorkUnderWay(tx, community)) || !(await insertPlcWork(tx, permit, work)))
    throw new Refusal('PlcConflict', 'another change of the identity is under way; try again when it has ended')
  return operationCid
}
