/**
 * The operation by which a community leaves: out of its identity goes everything of the old home, in comes what the community says. Pure.
 *
 * It is made by the owner of the recovery key, offline, perhaps against the old home's will. So nothing is taken over but the name, the
 * community's key stands first and the new home's last, and which operations go with it is decided before anything is signed.
 */
import { courseOf, inForceOf, type PlcCourse, placesOf } from '../identity/plc-course.ts'
import { PLC_RECOVERY_WINDOW_MS, type PlcLogEntry, type VerifiedPlcLog } from '../identity/plc-log.ts'
import { PLC_OPERATION_READ_MAX_BYTES, rotationKeysOf, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import type { DidKey } from '../names.ts'
import { Refusal } from '../refusals.ts'
import { assertPlcLimits, assertPlcRank, signedBytesOf } from './plc-builder.ts'

/** What the identity is to say from now on; its names are added. */
export interface Destination {
  /** Mightiest first. */
  readonly rotationKeys: readonly DidKey[]
  /** The new home's rotation key, which must be the last; null when the community goes nowhere and keeps all keys itself. */
  readonly homeKey: DidKey | null
  readonly verificationMethods: Readonly<Record<string, string>>
  readonly services: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>
}

/** What is to be undone: nothing that can stay, all from one operation on, or what the person hasn't said yet. */
export type Undoing = { readonly from: string } | 'keep' | 'unsaid'

/** How far the log is good, or the operations about which the person has to decide. */
export type Judgement =
  | { readonly kind: 'good-until'; readonly lastGood: PlcLogEntry; readonly undone: readonly PlcLogEntry[] }
  | { readonly kind: 'undecided'; readonly doubtful: readonly PlcLogEntry[] }
  /** The key can stand nowhere. */
  | { readonly kind: 'no-place' }

export interface Judging {
  readonly signer: DidKey
  readonly nowMs: number
  readonly undoing: Undoing
  /** CIDs that the person knew of before, from a copy of the log of their own. */
  readonly known: ReadonlySet<string>
}

/**
 * Up to where the log is good. What leaves the signer no place behind it (the end of the DID, keys without theirs) is undone in any case. Of
 * what others signed, isn't known to the person and can be undone, they have to say whether it stays.
 * @throws Refusal('InvalidRequest') when `undoing.from` isn't in force, or is the first operation
 */
export function judgeLog(log: VerifiedPlcLog, { signer, nowMs, undoing, known }: Judging): Judgement {
  const chain = inForceOf(log)
  const open = placesOf(log, signer, nowMs).filter(({ refusal }) => refusal === null)
  const [latest] = open
  if (!latest) return { kind: 'no-place' }
  const stays = chain.slice(0, chain.indexOf(latest.prev) + 1)
  if (typeof undoing === 'object') {
    return goodUntil(chain, Math.min(undoableAt(chain, undoing.from), stays.length))
  }
  const doubtful = stays.filter(
    (entry) => entry.signer !== signer && !known.has(entry.cid) && open.some(({ undoes }) => undoes.includes(entry)),
  )
  if (doubtful.length > 0 && undoing === 'unsaid') return { kind: 'undecided', doubtful }
  return goodUntil(chain, stays.length)
}

/** @throws Refusal('InvalidRequest') */
function undoableAt(chain: readonly PlcLogEntry[], cid: string): number {
  const at = chain.findIndex((entry) => entry.cid === cid)
  if (at < 1) throw new Refusal('InvalidRequest', 'only an operation in force, and not the first, can be undone')
  return at
}

/**
 * The log as if an operation, and what stands behind it, were young enough to be undone: for somebody who knows better than this directory
 * when it came. Nobody signs the dates. Their text stays as it was told. @throws Refusal('InvalidRequest') as `judgeLog`
 */
export function asIfYoung(log: VerifiedPlcLog, from: string, nowMs: number): VerifiedPlcLog {
  const chain = inForceOf(log)
  const late = new Set(chain.slice(undoableAt(chain, from)))
  const ops = log.ops.map((entry) =>
    late.has(entry) ? { ...entry, createdAtMs: Math.max(entry.createdAtMs, nowMs - PLC_RECOVERY_WINDOW_MS) } : entry,
  )
  return { ...log, ops, head: ops.find(({ cid }) => cid === log.head.cid) ?? log.head }
}

function goodUntil(chain: readonly PlcLogEntry[], count: number): Judgement {
  const lastGood = chain[count - 1]
  if (!lastGood) return { kind: 'no-place' }
  return { kind: 'good-until', lastGood, undone: chain.slice(count) }
}

/** A change of the identity's keys, ready to be shown and signed; or why not, in the words of the course. */
export interface PlannedChange {
  readonly operation: UnsignedPlcOperation
  readonly course: Exclude<PlcCourse, { readonly because: 'no-place' }>
  readonly leaving: readonly string[]
  /** How much it measures, signed: more than `PLC_OPERATION_MAX_BYTES` is more than some directories take. */
  readonly signedBytes: number
}

/**
 * Puts what the identity is to say in its place: the latest one, not behind `lastGood`, at which no key that leaves could undo it.
 * Throws `Refusal`: `PlcRank`, `PlcLimit` and `InvalidRequest` as the builder's rules have it, `PlcConflict` when there is no place.
 */
export function planChange(
  log: VerifiedPlcLog,
  next: Omit<UnsignedPlcOperation, 'prev' | 'type'>,
  at: {
    readonly signer: DidKey
    readonly lastGood: PlcLogEntry
    readonly nowMs: number
    readonly homeKey: DidKey | null
  },
): PlannedChange {
  const leaving = [...new Set(inForceOf(log).flatMap(({ operation }) => rotationKeysOf(operation)))].filter(
    (key) => !next.rotationKeys.includes(key),
  )
  const { signer, nowMs, homeKey } = at
  const course = courseOf(log, { signer, leaving, lastGood: at.lastGood.cid, nowMs })
  if (!course.ok && course.because === 'no-place')
    throw new Refusal('PlcConflict', 'the key may not sign at any place of this log')
  const operation: UnsignedPlcOperation = { type: 'plc_operation', ...next, prev: course.place.prev.cid }
  assertPlcRank(operation, { ours: homeKey, communityAbove: homeKey !== null })
  // Held to what is read anywhere: a name that a home made long must keep nobody from leaving it.
  assertPlcLimits(operation, PLC_OPERATION_READ_MAX_BYTES)
  return { operation, course, leaving, signedBytes: signedBytesOf(operation) }
}

/**
 * The community's own keys in the order in which they rank from now on. Those that were there keep their order, so that nobody puts somebody
 * else's key below theirs in passing; `first` stands where the signer stood; what is new stands behind.
 */
export function rankedKeys(
  before: readonly string[],
  { signer, first, more }: { readonly signer: DidKey; readonly first: DidKey; readonly more: readonly DidKey[] },
): readonly DidKey[] {
  const placeOf = (key: DidKey): number => {
    const places = (key === first ? [signer, key] : [key]).map((one) => before.indexOf(one)).filter((at) => at >= 0)
    return Math.min(before.length, ...places)
  }
  return [first, ...more].toSorted((a, b) => placeOf(a) - placeOf(b))
}

/** What a destination says, with names. */
export const departureOf = (
  { rotationKeys, verificationMethods, services }: Destination,
  names: readonly string[],
): Omit<UnsignedPlcOperation, 'prev' | 'type'> => ({
  rotationKeys: [...rotationKeys],
  verificationMethods: { ...verificationMethods },
  alsoKnownAs: [...names],
  services: { ...services },
})

/**
 * What the operation in force says, with one rotation key in the place of another and nothing else changed.
 * @throws Refusal PlcRank when the one isn't in the list, or the other is; PlcConflict for a DID that has ended, or of the old form
 */
export function withKeyReplaced(
  { operation }: PlcLogEntry,
  from: DidKey,
  to: DidKey,
): Omit<UnsignedPlcOperation, 'prev' | 'type'> {
  if (operation.type !== 'plc_operation')
    throw new Refusal('PlcConflict', 'the identity was ended, or is of the oldest form')
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = operation
  if (!rotationKeys.includes(from))
    throw new Refusal('PlcRank', 'your key is not in the list of rotation keys any more')
  if (rotationKeys.includes(to)) throw new Refusal('PlcRank', 'the new key stands in the list already')
  return {
    rotationKeys: rotationKeys.map((key) => (key === from ? to : key)),
    verificationMethods,
    alsoKnownAs,
    services,
  }
}
