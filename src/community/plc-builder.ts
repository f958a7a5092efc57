/**
 * The operations that a community's DID is made of, before anybody signs them. Pure.
 *
 * A key in the wrong place here can't be put right later: whoever stands above may undo for 72 hours what those below did. So
 * the community's key is always above ours, ours is always the last, and an operation that breaks this never leaves this
 * file. Nor does one that a directory would refuse, since that shows itself at the worst moment. No tombstone can be built here.
 */
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { encodeOperation, type PlcOperation, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import { type RekeyingUse, withOtherKeys } from '../keys/rekeying.ts'
import type { DidKey, Handle } from '../names.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'

/** Of the specification's limits and the directory's own, the smaller of each: neither may turn an operation away. */
export const PLC_OPERATION_MAX_BYTES = 4_000
export const PLC_ROTATION_KEYS_MAX = 5
export const PLC_SERVICES_MAX = 10
export const PLC_VERIFICATION_METHODS_MAX = 10
export const PLC_ALSO_KNOWN_AS_MAX = 10
/** `at://` and the longest host name. */
export const PLC_ALSO_KNOWN_AS_MAX_CHARS = 258
export const PLC_SERVICE_ENDPOINT_MAX_CHARS = 512
export const PLC_SERVICE_TYPE_MAX_CHARS = 256
export const PLC_ID_MAX_CHARS = 32

/** 64 bytes of signature in base64url: what every signature of an operation measures. */
const SIGNATURE_CHARS = 86

/** Who has to stand where in `rotationKeys`. */
export interface PlcRank {
  /** Our own rotation key, or null where we hold none (strict quorum). */
  readonly ours: DidKey | null
  /** Whether a key of the community has to stand above ours: every way of custody but the custodial one. */
  readonly communityAbove: boolean
}

export interface GenesisInput {
  /** The community's own key, held by a member. Null only where custody is ours alone, or until a quorum's key is made. */
  readonly recoveryKey: DidKey | null
  readonly rotationKey: DidKey
  readonly atprotoKey: DidKey
  readonly spaceKey: DidKey
  readonly handle: Handle | null
  /** Where this service answers; both services of the DID are there. */
  readonly publicUrl: string
}

/** The services of a DID that is at home at an address. Hosts of August look for an account's PDS to find a space's host. */
export const servicesAt = (publicUrl: string) => ({
  atproto_space_host: { type: 'AtprotoSpaceHost' as const, endpoint: publicUrl },
  atproto_pds: { type: 'AtprotoPersonalDataServer' as const, endpoint: publicUrl },
})

/**
 * The first operation of a community's DID, unsigned, within every limit.
 * Throws `Refusal`: `PlcRank` when both rotation keys are the same, `PlcLimit` when the address or the whole is too long.
 */
export function genesisOperation(input: GenesisInput): UnsignedPlcOperation {
  const { recoveryKey, rotationKey, handle, publicUrl } = input
  const operation: UnsignedPlcOperation = {
    type: 'plc_operation',
    rotationKeys: recoveryKey ? [recoveryKey, rotationKey] : [rotationKey],
    verificationMethods: { atproto: input.atprotoKey, atproto_space: input.spaceKey },
    alsoKnownAs: handle ? [`at://${handle}`] : [],
    services: servicesAt(publicUrl),
    prev: null,
  }
  assertPlcRank(operation, { ours: rotationKey, communityAbove: recoveryKey !== null })
  assertPlcLimits(operation)
  return operation
}

/** The operation in force, when another one may follow it. @throws Refusal('PlcConflict') for a DID that has ended */
export function requireLiving({ operation }: PlcLogEntry): PlcOperation {
  if (operation.type === 'plc_operation') return operation
  // Nothing else makes sense: a DID of ours never began with an operation of the old form.
  throw new Refusal('PlcConflict', 'the identity was ended at the directory')
}

const HANDLE_MARK = 'at://'
const isHandleName = (name: string): boolean => name.startsWith(HANDLE_MARK)

/** Whether a list of names says that this is the handle: its first name of that kind, or none of that kind for null. */
export function namesHandle(alsoKnownAs: readonly string[], handle: Handle | null): boolean {
  const first = alsoKnownAs.find(isHandleName)
  return first === (handle === null ? undefined : `${HANDLE_MARK}${handle}`)
}

/**
 * The operation that gives a DID another handle and changes nothing else, unsigned; null when the one in force names it already.
 * The handle stands first, in place of the one before; whoever gives it up keeps no name of that kind, or the next would be theirs.
 * Throws `Refusal`: `PlcConflict` for a DID that has ended, `PlcRank` when the keys don't stand as they must, `PlcLimit`.
 */
export function handleOperation(head: PlcLogEntry, handle: Handle | null, rank: PlcRank): UnsignedPlcOperation | null {
  const { sig: _, ...inForce } = requireLiving(head)
  if (namesHandle(inForce.alsoKnownAs, handle)) return null
  const operation = { ...inForce, alsoKnownAs: namesWith(inForce.alsoKnownAs, handle), prev: head.cid }
  assertPlcRank(operation, rank)
  assertPlcLimits(operation)
  return operation
}

/**
 * The operation that puts keys in the place of others and changes nothing else, unsigned, and the one in force.
 * Throws `Refusal`: `PlcConflict` for a DID that has ended, `PlcRank` when the keys wouldn't stand as they must, `PlcLimit`.
 */
export function rekeyingOperation(
  head: PlcLogEntry,
  change: Pick<RekeyingUse<UnsignedPlcOperation>, 'successors' | 'recovery' | 'quorum'>,
  rank: PlcRank,
): { readonly inForce: UnsignedPlcOperation; readonly operation: UnsignedPlcOperation } {
  const { sig: _, ...inForce } = requireLiving(head)
  const operation = { ...withOtherKeys(inForce, change), prev: head.cid }
  assertPlcRank(operation, rank)
  assertPlcLimits(operation)
  return { inForce, operation }
}

function namesWith(names: readonly string[], handle: Handle | null): string[] {
  if (handle === null) return names.filter((name) => !isHandleName(name))
  const before = names.find(isHandleName)
  const name = `${HANDLE_MARK}${handle}`
  return [name, ...names.filter((other) => other !== before && other !== name)]
}

/**
 * Refuses an operation that would give the wrong party the last word, or nobody any.
 * Throws `Refusal('InvalidRequest')` for a rotation key that no directory takes, `Refusal('PlcRank')` for all else, in the
 * order: no key at all, the same key twice, ours missing or not the last, no key of the community above it.
 */
export function assertPlcRank(operation: UnsignedPlcOperation, rank: PlcRank): void {
  const { rotationKeys } = operation
  if (rotationKeys.length === 0) throw new Refusal('PlcRank', 'a DID without rotation keys can never be changed again')
  if (!rotationKeys.every((key) => parseDidKey(key)))
    throw new Refusal('InvalidRequest', 'a rotation key must be a did:key over P-256 or secp256k1')
  if (new Set(rotationKeys).size !== rotationKeys.length)
    throw new Refusal('PlcRank', 'the same rotation key stands in the list twice')
  if (rank.ours !== null && rotationKeys.at(-1) !== rank.ours)
    throw new Refusal('PlcRank', 'the key of this service must be the last rotation key')
  if (rank.communityAbove && rotationKeys.every((key) => key === rank.ours))
    throw new Refusal('PlcRank', 'a key of the community must stand above the key of this service')
}

/** What an operation measures in DAG-CBOR once it is signed. */
export const signedBytesOf = (operation: UnsignedPlcOperation): number =>
  encodeOperation({ ...operation, sig: 'A'.repeat(SIGNATURE_CHARS) }).length

/** Refuses, as `Refusal('PlcLimit')`, an operation that some directory would find too large; or one beyond another size, signed. */
export function assertPlcLimits(operation: UnsignedPlcOperation, maxBytes = PLC_OPERATION_MAX_BYTES): void {
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = operation
  const ids = [...Object.keys(verificationMethods), ...Object.keys(services)]
  atMost(PLC_ROTATION_KEYS_MAX, rotationKeys.length, 'rotation keys')
  atMost(PLC_VERIFICATION_METHODS_MAX, Object.keys(verificationMethods).length, 'verification methods')
  atMost(PLC_ALSO_KNOWN_AS_MAX, alsoKnownAs.length, 'other names')
  atMost(PLC_SERVICES_MAX, Object.keys(services).length, 'services')
  for (const id of ids) atMost(PLC_ID_MAX_CHARS, id.length, 'characters in an identifier')
  for (const name of alsoKnownAs) atMost(PLC_ALSO_KNOWN_AS_MAX_CHARS, name.length, 'characters in another name')
  for (const { type, endpoint } of Object.values(services)) {
    atMost(PLC_SERVICE_TYPE_MAX_CHARS, type.length, 'characters in the type of a service')
    atMost(PLC_SERVICE_ENDPOINT_MAX_CHARS, endpoint.length, 'characters in the address of a service')
  }
  atMost(maxBytes, signedBytesOf(operation), 'bytes in the signed operation')
}

function atMost(limit: number, count: number, what: string): void {
  if (count > limit) throw new Refusal('PlcLimit', `${count} ${what}, at most ${limit}`)
}
