/**
 * What may still happen to a did:plc: where an operation of a key may stand, who could undo it, and until when. Pure.
 *
 * Two things about did:plc are easy to get wrong on the one day on which they count. The 72 hours run from the first operation that is
 * undone, not from the last. And who may undo is measured against the signer of that first operation alone: a key that was taken out
 * comes back over a harmless operation of a lesser key, and takes its own removal with it, even one signed by the mightiest. So whoever takes a
 * key out lets the change stand before every such operation, or waits.
 */
import type { DidKey } from '../names.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { PLC_RECOVERY_WINDOW_MS, type PlcLogEntry, type PlcLogFault, type VerifiedPlcLog } from './plc-log.ts'
import { rotationKeysOf } from './plc-operation.ts'

/**
 * Why an operation of a key can't stand somewhere, as the verifier would name it: `after-tombstone` nothing follows the end of a DID,
 * `time-order` this clock is behind the log, `bad-signature` the key isn't in the list there, `recovery-rank` it isn't above whoever signed
 * the first operation that would be undone, `recovery-late` that one is older than 72 hours.
 */
export type PlaceRefusal = Extract<
  PlcLogFault,
  'after-tombstone' | 'time-order' | 'bad-signature' | 'recovery-rank' | 'recovery-late'
>

/** A place for one more operation: behind `prev`, which undoes whatever stands there until now. */
export interface PlcPlace {
  readonly prev: PlcLogEntry
  /** In the order of the log; empty behind the head. */
  readonly undoes: readonly PlcLogEntry[]
  /** The last millisecond in which an operation may be put here; null where none is undone, and for ever. */
  readonly untilMs: number | null
  readonly refusal: PlaceRefusal | null
}

/** The operations in force, from the first to the head. */
export const inForceOf = ({ ops }: VerifiedPlcLog): readonly PlcLogEntry[] => ops.filter(({ nullified }) => !nullified)

/** Every place where an operation of `key` might stand at `nowMs`, from behind the head down to behind the first operation. */
export function placesOf(log: VerifiedPlcLog, key: DidKey, nowMs: number): readonly PlcPlace[] {
  const chain = inForceOf(log)
  return chain.map((prev, at) => placeBehind(chain, at, prev, key, nowMs)).reverse()
}

function placeBehind(
  chain: readonly PlcLogEntry[],
  at: number,
  prev: PlcLogEntry,
  key: DidKey,
  nowMs: number,
): PlcPlace {
  const undoes = chain.slice(at + 1)
  const [first] = undoes
  const untilMs = first ? first.createdAtMs + PLC_RECOVERY_WINDOW_MS : null
  return { prev, undoes, untilMs, refusal: refusalAt(prev, first, (undoes.at(-1) ?? prev).createdAtMs) }

  /** In the order in which the verifier asks. */
  function refusalAt(base: PlcLogEntry, undone: PlcLogEntry | undefined, headAtMs: number): PlaceRefusal | null {
    if (base.operation.type === 'plc_tombstone') return 'after-tombstone'
    if (undone ? nowMs <= headAtMs : nowMs < headAtMs) return 'time-order'
    const rank = rankIn(base, key)
    if (rank < 0) return 'bad-signature'
    if (!undone) return null
    if (rank >= rankIn(base, undone.signer)) return 'recovery-rank'
    return nowMs - undone.createdAtMs > PLC_RECOVERY_WINDOW_MS ? 'recovery-late' : null
  }
}

/** A key's place in the list behind an operation, 0 the mightiest; −1 when it isn't there, or behind a key that nobody can read. */
export function rankIn(entry: Pick<PlcLogEntry, 'operation'>, key: string): number {
  const keys = rotationKeysOf(entry.operation)
  const rank = keys.indexOf(key)
  // The directory gives up at a key it can't read, so those behind one can't sign.
  return keys.slice(0, rank + 1).every((one) => parseDidKey(one)) ? rank : -1
}

/** Somebody who could undo the last operation of a chain. */
export interface Undoer {
  readonly key: string
  /** Behind which operation they would put theirs. */
  readonly prev: string
  /** The first operation they would undo; null: the proposed one itself. */
  readonly first: string | null
  readonly untilMs: number
}

/** An operation that isn't in the log yet: where it is to stand, and who signs it. */
export interface ProposedOperation {
  readonly place: PlcPlace
  readonly signer: DidKey
}

/**
 * Who could still undo the operation in force at `nowMs`; or, with a proposed one, who could undo that if it came into the log now. For
 * each key and each of its places, longest first. Whoever has no entry here can't undo it, whatever else they sign.
 */
export function undoersOf(log: VerifiedPlcLog, nowMs: number, proposed?: ProposedOperation): readonly Undoer[] {
  const chain = inForceOf(log)
  const kept = proposed ? chain.slice(0, chain.indexOf(proposed.place.prev) + 1) : chain
  const links = kept.map(({ cid, signer, createdAtMs }) => ({ cid, signer, createdAtMs }))
  if (proposed) links.push({ cid: '', signer: proposed.signer, createdAtMs: nowMs })
  return kept
    .flatMap((base, at) => {
      const first = links[at + 1]
      if (!first) return []
      const untilMs = first.createdAtMs + PLC_RECOVERY_WINDOW_MS
      if (untilMs < nowMs) return []
      const above = rotationKeysOf(base.operation).slice(0, Math.max(0, rankIn(base, first.signer)))
      return [...new Set(above)].map((key) => ({ key, prev: base.cid, first: first.cid || null, untilMs }))
    })
    .sort((a, b) => b.untilMs - a.untilMs)
}

/** Where a change that takes keys out may stand so that none of them can come back. */
export type PlcCourse =
  | { readonly ok: true; readonly place: PlcPlace; readonly undoers: readonly Undoer[] }
  /** The key may sign at none of the places. Each says why. */
  | { readonly ok: false; readonly because: 'no-place'; readonly places: readonly PlcPlace[] }
  /**
   * It may sign, but keys that leave could undo it for a while. `place` is where that is shortest; `safeAtMs` is when there will be a place
   * where they can't any more, if nothing is signed until then; null: waiting doesn't help, because they stand above the signer.
   */
  | {
      readonly ok: false
      readonly because: 'leaving-keys-may-undo'
      readonly place: PlcPlace
      readonly undoers: readonly Undoer[]
      readonly safeAtMs: number | null
    }

export interface Change {
  readonly signer: DidKey
  /** Keys that must not come back. Those that stay are not judged here: they are listed among the undoers. */
  readonly leaving: readonly string[]
  /** The last operation that must not be undone by intention (`cid`, in force); those behind it go in any case. Left out: the head. */
  readonly lastGood?: string
  readonly nowMs: number
}

/**
 * The place for a change of keys: the latest at or before the last good operation at which none of the leaving keys could undo it. What is
 * undone on the way and should stay has to be said again by the change itself. @throws TypeError for a `lastGood` that isn't in force
 */
export function courseOf(log: VerifiedPlcLog, { signer, leaving, lastGood = log.head.cid, nowMs }: Change): PlcCourse {
  const all = placesOf(log, signer, nowMs)
  const from = all.findIndex(({ prev }) => prev.cid === lastGood)
  if (from < 0) throw new TypeError('the last good operation must be one in force')
  const places = all.slice(from)
  const open = places.filter(({ refusal }) => refusal === null)
  const judged = open.map((place) => {
    const undoers = undoersOf(log, nowMs, { place, signer })
    return { place, undoers, returning: undoers.filter(({ key }) => leaving.includes(key)) }
  })
  const safe = judged.find(({ returning }) => returning.length === 0)
  if (safe) return { ok: true, place: safe.place, undoers: safe.undoers }
  const dangerMs = ({ returning }: (typeof judged)[number]): number => returning[0]?.untilMs ?? 0
  const best = judged.toSorted((a, b) => dangerMs(a) - dangerMs(b))[0]
  if (!best) return { ok: false, because: 'no-place', places }
  const hours = judged
    // Above the signer itself: they may undo it from whenever it is signed.
    .filter(({ returning }) => returning.every(({ first }) => first !== null))
    .map((one) => ({ place: one.place, safeAtMs: dangerMs(one) + 1 }))
    .filter(({ place, safeAtMs }) => place.untilMs === null || safeAtMs <= place.untilMs)
    .map(({ safeAtMs }) => safeAtMs)
  return {
    ok: false,
    because: 'leaving-keys-may-undo',
    place: best.place,
    undoers: best.undoers,
    safeAtMs: hours.length === 0 ? null : Math.min(...hours),
  }
}

/** How a log stands to one that was seen before: it goes on from it, it shows less, or it tells another past. */
export function comparedWith(seen: VerifiedPlcLog, { did, ops }: VerifiedPlcLog): 'goes-on' | 'shorter' | 'other-past' {
  if (did !== seen.did) return 'other-past'
  const isSame = seen.ops.every((op, at) => {
    const now = ops[at]
    return now === undefined || (now.cid === op.cid && now.createdAt === op.createdAt)
  })
  if (!isSame) return 'other-past'
  return ops.length < seen.ops.length ? 'shorter' : 'goes-on'
}
