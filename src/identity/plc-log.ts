/**
 * The audit log of a did:plc, judged from its first operation to its last. Pure.
 *
 * The directory orders operations and dates them; it can't sign them. So everything it could have changed is computed again
 * here: the DID, each CID, each signature, who was allowed to sign, and which operations a recovery undid. What it alone can
 * say, the time, is only held to run forwards. Nothing here is believed because the directory marked it so.
 */
import { z } from 'zod'
import type { Did, DidKey } from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import {
  type AnyPlcOperation,
  cidOf,
  didOf,
  encodeOperation,
  PLC_OPERATION_READ_MAX_BYTES,
  parsePlcOperation,
  rotationKeysOf,
  verifyOperationSignature,
} from './plc-operation.ts'

/** How long a mightier key may undo what a lesser one did, counted from the first operation undone; the last instant counts. */
export const PLC_RECOVERY_WINDOW_MS = 72 * 60 * 60 * 1000
/** Most entries that a service judges, which has others to serve. Longer logs can be true: the directory takes a hundred operations a week. */
export const PLC_LOG_MAX_ENTRIES = 1_000
/**
 * Signature checks between two rests. A log within all limits may ask for ten thousand of them, seconds of work in one piece,
 * and whoever else is served by the process would wait for its end.
 */
export const PLC_CHECKS_BETWEEN_RESTS = 16

/** What is wrong with a log. `at` beside it is the index of the entry that shows it. */
export type PlcLogFault =
  | 'not-a-log'
  | 'empty-log'
  | 'too-many-entries'
  | 'entry-shape'
  | 'operation-too-large'
  | 'time-format'
  | 'time-order'
  | 'time-future'
  | 'other-did'
  | 'cid-mismatch'
  | 'not-a-genesis'
  | 'did-mismatch'
  | 'unknown-prev'
  | 'after-tombstone'
  | 'bad-signature'
  | 'recovery-rank'
  | 'recovery-late'
  | 'nullified-flag'

/** One operation of a verified log. */
export interface PlcLogEntry {
  readonly cid: string
  readonly operation: AnyPlcOperation
  /** ISO 8601, as the directory dated it: its word alone. */
  readonly createdAt: string
  readonly createdAtMs: number
  readonly signer: DidKey
  /** Whether a later recovery undid it. */
  readonly nullified: boolean
}

/** A log that holds from its first operation on. */
export interface VerifiedPlcLog {
  readonly did: Did
  /** The operation in force. It may be a tombstone: then the DID is dead (or may still be recovered for 72 hours). */
  readonly head: PlcLogEntry
  /** All operations in the directory's order, also those undone. */
  readonly ops: readonly PlcLogEntry[]
}

export type PlcLogVerdict =
  | ({ readonly ok: true } & VerifiedPlcLog)
  | { readonly ok: false; readonly fault: PlcLogFault; readonly at?: number }

/**
 * The index of the first entry that is dated later than `latestMs`; null: none is. Only whoever has a clock can ask this, and no signature
 * covers a date: whoever waits for a day that the directory alone named would wait for as long as it likes.
 */
export function datedAfter({ ops }: Pick<VerifiedPlcLog, 'ops'>, latestMs: number): number | null {
  const at = ops.findIndex(({ createdAtMs }) => createdAtMs > latestMs)
  return at < 0 ? null : at
}

/** Members beyond these are the directory's remarks (a sequence number, say); no signature covers them and none is read. */
const entryShape = z.looseObject({
  did: z.string(),
  operation: z.unknown(),
  cid: z.string(),
  nullified: z.boolean(),
  createdAt: z.string(),
})

interface Claim {
  readonly cid: string
  readonly operation: AnyPlcOperation
  readonly createdAt: string
  readonly createdAtMs: number
  readonly nullified: boolean
}

/** An operation that stands at this point of the log. `rank` is its signer's place among the keys it had to be signed by. */
interface Standing {
  readonly claim: Claim
  readonly signer: DidKey
  readonly rank: number
}

/**
 * Judges the JSON of `GET /<did>/log/audit`: an array of `{did, operation, cid, nullified, createdAt}`, oldest first.
 *
 * Per entry, cheap before dear: shape, size, DID, time, CID; then for the first its hash and signature, for each other its
 * `prev`, the time, and a signature by a key in force there. An operation on an older `prev` is a recovery: only a key strictly
 * above the signer of the first operation it undoes may sign it, within 72 hours of that one. Flags are compared at the end.
 */
export function verifyPlcLog(did: Did, entries: unknown, maxEntries = PLC_LOG_MAX_ENTRIES): PlcLogVerdict {
  const judging = judge(did, entries, maxEntries)
  for (;;) {
    const step = judging.next()
    if (step.done) return step.value
  }
}

/** The same verdict, with a rest after every few signatures: for a process that has others to serve meanwhile. */
export async function verifyPlcLogWithRests(
  did: Did,
  entries: unknown,
  rest: () => Promise<void>,
  maxEntries = PLC_LOG_MAX_ENTRIES,
): Promise<PlcLogVerdict> {
  const judging = judge(did, entries, maxEntries)
  let checks = 0
  for (;;) {
    const step = judging.next()
    if (step.done) return step.value
    checks += step.value
    if (checks < PLC_CHECKS_BETWEEN_RESTS) continue
    checks = 0
    await rest()
  }
}

/** Judges one entry after the other, and says after each how many signature checks it took. */
function* judge(did: Did, entries: unknown, maxEntries: number): Generator<number, PlcLogVerdict, void> {
  if (!Array.isArray(entries)) return { ok: false, fault: 'not-a-log' }
  if (entries.length > maxEntries) return { ok: false, fault: 'too-many-entries' }

  const judged: Standing[] = []
  let chain: readonly Standing[] = []
  for (const [at, entry] of entries.entries()) {
    const claim = claimOf(did, entry)
    if (typeof claim === 'string') return { ok: false, fault: claim, at }
    const standing = at === 0 ? begin(did, claim) : extend(chain, claim)
    if (typeof standing === 'string') return { ok: false, fault: standing, at }
    // Whatever stood on the same `prev` until now is undone, with all that was built on it.
    chain = [...chain.slice(0, placeOfPrev(chain, claim) + 1), standing]
    judged.push(standing)
    // Keys are tried from the mightiest down to the one that signed.
    yield standing.rank + 1
  }

  const inForce = new Set(chain)
  const wrongFlag = judged.findIndex((standing) => standing.claim.nullified === inForce.has(standing))
  if (wrongFlag >= 0) return { ok: false, fault: 'nullified-flag', at: wrongFlag }
  const ops = judged.map(({ claim, signer }) => ({ ...claim, signer }))
  const head = ops.findLast(({ nullified }) => !nullified)
  return head ? { ok: true, did, head, ops } : { ok: false, fault: 'empty-log' }
}

/** What an entry says, once its own parts agree with each other. */
function claimOf(did: Did, entry: unknown): Claim | PlcLogFault {
  const shape = entryShape.safeParse(entry).data
  const operation = shape && parsePlcOperation(shape.operation)
  if (!operation) return 'entry-shape'
  if (encodeOperation(operation).length > PLC_OPERATION_READ_MAX_BYTES) return 'operation-too-large'
  if (shape.did !== did) return 'other-did'
  const { createdAt, nullified } = shape
  const createdAtMs = msOf(createdAt)
  if (createdAtMs === null || isoOf(createdAtMs) !== createdAt) return 'time-format'
  const cid = cidOf(operation)
  if (shape.cid !== cid) return 'cid-mismatch'
  return { cid, operation, createdAt, createdAtMs, nullified }
}

/** Where in the chain the operation's `prev` stands, or -1. */
const placeOfPrev = (chain: readonly Standing[], { operation }: Claim): number =>
  chain.findIndex(({ claim }) => claim.cid === operation.prev)

/** The first operation: it names no earlier one, its hash is the DID, and one of its own keys signed it. */
function begin(did: Did, claim: Claim): Standing | PlcLogFault {
  const { operation } = claim
  if (operation.type === 'plc_tombstone' || operation.prev !== null) return 'not-a-genesis'
  if (didOf(operation) !== did) return 'did-mismatch'
  const keys = rotationKeysOf(operation)
  const signer = verifyOperationSignature(operation, keys)
  return signer ? { claim, signer, rank: keys.indexOf(signer) } : 'bad-signature'
}

/** Any other operation, on top of the chain or, as a recovery, further down. An operation undone is no longer in the chain. */
function extend(chain: readonly Standing[], claim: Claim): Standing | PlcLogFault {
  const { operation } = claim
  const place = placeOfPrev(chain, claim)
  const base = chain[place]
  const head = chain.at(-1)
  if (!base || !head) return 'unknown-prev'
  if (base.claim.operation.type === 'plc_tombstone') return 'after-tombstone'
  const undone = chain[place + 1]
  const sinceHeadMs = claim.createdAtMs - head.claim.createdAtMs
  // Two ordinary operations may share a millisecond; a recovery must be later than all it undoes, or the order could be turned.
  if (undone ? sinceHeadMs <= 0 : sinceHeadMs < 0) return 'time-order'

  const keys = rotationKeysOf(base.claim.operation)
  const signer = verifyOperationSignature(operation, undone ? keys.slice(0, undone.rank) : keys)
  if (!signer) return undone && verifyOperationSignature(operation, keys) ? 'recovery-rank' : 'bad-signature'
  if (undone && claim.createdAtMs - undone.claim.createdAtMs > PLC_RECOVERY_WINDOW_MS) return 'recovery-late'
  return { claim, signer, rank: keys.indexOf(signer) }
}
