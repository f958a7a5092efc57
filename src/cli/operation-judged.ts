/**
 * An operation that keepers are asked to sign, decoded from its exact bytes and held against the log that was read by oneself: where it would
 * stand, what it changes, and what in it would hurt. Pure. A server's summary of it is nowhere looked at.
 */
import { decode, encode } from '@ipld/dag-cbor'
import { homeKeysOf } from '../community/former-homes.ts'
import { type PlcPlace, placesOf, undoersOf } from '../identity/plc-course.ts'
import { PLC_RECOVERY_WINDOW_MS, type VerifiedPlcLog } from '../identity/plc-log.ts'
import {
  type AnyPlcOperation,
  type PlcTombstone,
  parsePlcOperation,
  rotationKeysOf,
  type UnsignedPlcOperation,
} from '../identity/plc-operation.ts'
import type { DidKey } from '../names.ts'
import { rowWarnings } from './operation-rows.ts'
import {
  differenceOf,
  type KeyNames,
  lengthOf,
  named,
  operationLines,
  operationsOf,
  placeLines,
  undoerLines,
} from './plc-words.ts'

/** What may be signed: an operation, or the end of the identity. */
export type UnsignedOperation = UnsignedPlcOperation | Omit<PlcTombstone, 'sig'>

/** An operation, and the place at which the key may put it. */
export interface Judged {
  readonly operation: UnsignedOperation
  readonly place: PlcPlace
}

/** The operation of these exact bytes, without a signature. Null for anything else, also for another spelling of one. */
export function operationIn(bytes: Uint8Array): UnsignedOperation | null {
  try {
    const value: unknown = decode(bytes)
    if (typeof value !== 'object' || value === null || 'sig' in value) return null
    const found = parsePlcOperation({ ...value, sig: '' })
    if (!found || found.type === 'create') return null
    const { sig: _, ...unsigned } = found
    return Buffer.from(encode(unsigned)).equals(bytes) ? unsigned : null
  } catch {
    return null
  }
}

/**
 * Whether the key may sign this here and now. Order of checks: the bytes are an operation; what it follows is in force; no directory would
 * refuse it there. @throws Error in words
 */
export function judgedOperation(bytes: Uint8Array, log: VerifiedPlcLog, signer: DidKey, nowMs: number): Judged {
  const operation = operationIn(bytes)
  if (!operation) throw new Error('STOP: what is to be signed is no operation of did:plc. Sign nothing of this')
  const place = placesOf(log, signer, nowMs).find(({ prev }) => prev.cid === operation.prev)
  if (!place)
    throw new Error('STOP: the operation follows something that is not in force in this identity: nothing was signed')
  if (place.refusal !== null)
    throw new Error(
      `no directory would take the operation (${placeLines([place], nowMs).join('').trim()}): nothing was signed`,
    )
  return { operation, place }
}

/** What keys are called: the key in shares, and those that came into the log as a home's. */
export function keyNamesIn(log: VerifiedPlcLog, pub: DidKey): KeyNames {
  const names = new Map<string, string>()
  for (const key of homeKeysOf(log, pub)) names.set(key, "a home's key")
  return names.set(pub, 'the key in shares')
}

/** What the operation does to the identity: old against new, what it undoes, who could undo it, and what should make one stop. */
export function judgedLines(
  { operation, place }: Judged,
  log: VerifiedPlcLog,
  { pub, head, nowMs }: { readonly pub: DidKey; readonly head: string; readonly nowMs: number },
): readonly string[] {
  const names = keyNamesIn(log, pub)
  const after: AnyPlcOperation = { ...operation, sig: '' }
  const warnings = [
    ...(head === log.head.cid
      ? []
      : ['the identity has gone on since this was asked for: it was made for another state of it']),
    ...undoWarnings(place, nowMs),
    ...(operation.type === 'plc_tombstone' ? [END] : changeWarnings(log, operation, pub, names)),
  ]
  return [
    'What is to be signed, decoded by this tool from its bytes, against the log that it read itself (- goes, + comes):',
    ...differenceOf(log.head.operation, after, names),
    ...(place.undoes.length === 0 ? [] : [`It undoes ${operationsOf(place.undoes.length)}, for good:`]),
    ...place.undoes.flatMap((entry, at) => operationLines(entry, place.undoes[at - 1] ?? place.prev, names)),
    'Who could undo this, once it is in the log:',
    ...undoerLines(undoersOf(log, nowMs, { place, signer: pub }), names, nowMs),
    ...(warnings.length === 0 ? ['Nothing in it is unusual: it says of the identity what it says now.'] : []),
    ...warnings.map((warning) => `WARNING: ${warning}`),
  ]
}

const END = 'IT ENDS THE IDENTITY. After 72 hours nobody can bring it back, and the community is gone under this DID'

function undoWarnings({ undoes, untilMs }: PlcPlace, nowMs: number): readonly string[] {
  if (undoes.length === 0) return []
  const left =
    untilMs === null ? '' : `, for which ${lengthOf(untilMs - nowMs)} of ${lengthOf(PLC_RECOVERY_WINDOW_MS)} are left`
  return [`it does not follow the last operation, but undoes ${operationsOf(undoes.length)}${left}`]
}

function changeWarnings(
  log: VerifiedPlcLog,
  next: UnsignedPlcOperation,
  pub: DidKey,
  names: KeyNames,
): readonly string[] {
  const { operation: before } = log.head
  return [
    ...rankWarnings(rotationKeysOf(before), next.rotationKeys, { pub, homes: homeKeysOf(log, pub), names }),
    ...rowWarnings(before, next, names),
  ]
}

interface Ranks {
  readonly pub: DidKey
  readonly homes: ReadonlySet<string>
  readonly names: KeyNames
}

function rankWarnings(
  old: readonly string[],
  next: readonly string[],
  { pub, homes, names }: Ranks,
): readonly string[] {
  const rankIn = (keys: readonly string[], key: string): number =>
    keys.includes(key) ? keys.indexOf(key) : keys.length
  const communitys = old.filter((key) => !homes.has(key))
  const overtaken = (key: string) =>
    communitys.filter((one) => rankIn(old, one) < rankIn(old, key) && rankIn(next, one) > rankIn(next, key))
  return [
    ...next
      .filter((key) => homes.has(key) && old.includes(key) && overtaken(key).length > 0)
      .map(
        (key) => `A HOME'S KEY MOVES UP, above keys of the community: ${named(key, names)}. It could undo what they do`,
      ),
    ...next
      .filter((key) => !old.includes(key))
      .map((key) =>
        next.indexOf(key) < rankIn(next, pub)
          ? `A NEW KEY STANDS ABOVE THE KEY IN SHARES: ${named(key, names)}. Whoever has it can undo what the keepers do`
          : `a new key comes in: ${named(key, names)}`,
      ),
    ...old.filter((key) => !next.includes(key)).map((key) => leavingWarning(key, { pub, homes, names })),
    ...orderWarnings(old, next),
  ]
}

/** Of those that stay, whether each still stands above the same. */
function orderWarnings(old: readonly string[], next: readonly string[]): readonly string[] {
  const staying = old.filter((key) => next.includes(key))
  const then = next.filter((key) => old.includes(key))
  return staying.every((key, at) => key === then[at])
    ? []
    : [
        'the rotation keys that stay are in another order: whichever stands higher can undo what is done with the others',
      ]
}

function leavingWarning(key: string, { pub, homes, names }: Ranks): string {
  if (key === pub) return 'THE KEY IN SHARES LEAVES: after this its keepers can do nothing any more'
  return homes.has(key)
    ? `a home's key leaves: ${named(key, names)}. That home can change nothing in the identity any more`
    : `A KEY OF THE COMMUNITY LEAVES: ${named(key, names)}. Whoever keeps it can do nothing any more`
}
