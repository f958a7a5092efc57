/**
 * One did:plc operation: its shapes, its bytes, its CID, the DID a first one makes, and whose signature it carries.
 *
 * Whoever can spell an operation in a second way can give it a second CID, and whoever hangs on the first then waits for
 * something that never comes. So nothing here repairs, defaults or drops a member: what isn't one of the shapes is none.
 * Nothing here signs, and nothing here is ever sent.
 */
import { code as DAG_CBOR, encode } from '@ipld/dag-cbor'
import { base32 } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { z } from 'zod'
import { type Did, type DidKey, parseDid } from '../names.ts'
import { fromBase64Url, sha256 } from '../platform/bytes.ts'
import { verify } from '../platform/ecdsa.ts'
import { parseDidKey } from '../platform/multikey.ts'

/** Longest signed operation that is read, as DAG-CBOR (did:plc v0.3 §Operation Serialization). What we build is held to less. */
export const PLC_OPERATION_READ_MAX_BYTES = 7_500
/** Most rotation keys that are read: what the directory takes. Each may cost one signature check, so the number is a budget. */
export const PLC_ROTATION_KEYS_READ_MAX = 10

const SHA2_256 = 0x12

/** Lone surrogates have no UTF-8: two texts that differ only there would share their bytes, and so their CID. */
const text = z
  .string()
  .max(PLC_OPERATION_READ_MAX_BYTES)
  .refine((value) => value.isWellFormed())
const service = z.strictObject({ type: text, endpoint: text })

const unsignedOperation = z.strictObject({
  type: z.literal('plc_operation'),
  rotationKeys: z.array(text).max(PLC_ROTATION_KEYS_READ_MAX),
  verificationMethods: z.record(text, text),
  alsoKnownAs: z.array(text),
  services: z.record(text, service),
  prev: text.nullable(),
})
const operation = unsignedOperation.extend({ sig: text })
const tombstone = z.strictObject({ type: z.literal('plc_tombstone'), prev: text, sig: text })
const legacyCreate = z.strictObject({
  type: z.literal('create'),
  signingKey: text,
  recoveryKey: text,
  handle: text,
  service: text,
  prev: z.null(),
  sig: text,
})
const anyOperation = z.discriminatedUnion('type', [operation, tombstone, legacyCreate])

/** An operation of today's form before its signature. */
export type UnsignedPlcOperation = Readonly<z.infer<typeof unsignedOperation>>
/** A signed operation of today's form: the only one Reeve writes. */
export type PlcOperation = Readonly<z.infer<typeof operation>>
/** The end of a DID. Read only: nothing in the service builds or submits one. */
export type PlcTombstone = Readonly<z.infer<typeof tombstone>>
/** The first operation of DIDs from 2022 and early 2023. Read only: their DIDs are hashes of it for ever. */
export type LegacyPlcCreate = Readonly<z.infer<typeof legacyCreate>>
/** Whatever may stand in a log. */
export type AnyPlcOperation = PlcOperation | PlcTombstone | LegacyPlcCreate

/** The signed operation that a value is exactly, or null. Its keys and its signature are not looked at yet. */
export function parsePlcOperation(value: unknown): AnyPlcOperation | null {
  const operation = anyOperation.safeParse(value).data
  return operation && !hasHiddenMember(value) ? operation : null
}

/**
 * Whether a member is named `__proto__`, which the schema library passes over in silence: an operation with it would be read, and
 * hashed, as the one without. Asked only of what fits the schema, so it isn't nested deeply.
 */
function hasHiddenMember(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.hasOwn(value, '__proto__') || Object.values(value).some(hasHiddenMember)
}

/** An operation without a signature, as it is shown to whoever is to sign it; null for anything else. */
export const parseUnsignedOperation = (value: unknown): UnsignedPlcOperation | null =>
  unsignedOperation.safeParse(value).data ?? null

/** Canonical DAG-CBOR of an operation. Without a `sig` these are the bytes to sign, with one the bytes to hash. */
export const encodeOperation = (op: AnyPlcOperation | UnsignedPlcOperation): Uint8Array => encode(op)

/** The CID of a signed operation: version 1, dag-cbor, SHA-256, in base32, as the next operation's `prev` writes it. */
export const cidOf = (signed: AnyPlcOperation): string =>
  CID.createV1(DAG_CBOR, createDigest(SHA2_256, sha256(encodeOperation(signed)))).toString()

/** The DID that a signed first operation makes: 24 characters of base32 over its hash. */
export function didOf(signedGenesis: PlcOperation | LegacyPlcCreate): Did {
  // Behind multibase's own letter for base32.
  const hash = base32.encode(sha256(encodeOperation(signedGenesis))).slice(1)
  const did = parseDid(`did:plc:${hash.slice(0, 24)}`)
  if (!did) throw new TypeError('a hash in base32 always makes a did:plc')
  return did
}

/** The keys that may sign the next operation, mightiest first. A tombstone leaves none. */
export function rotationKeysOf(op: AnyPlcOperation): readonly string[] {
  if (op.type === 'plc_operation') return op.rotationKeys
  return op.type === 'create' ? [op.recoveryKey, op.signingKey] : []
}

/**
 * The first of `didKeys` that signed the operation, or null.
 *
 * Only the canonical spelling counts (did:plc v0.3 §Operation Serialization): 64 bytes r‖s with a low s, base64url without
 * padding, stray bits or white space. A key that can't be read ends the search, as it does in the directory: to step over it
 * would let this Reeve believe operations that everybody else refuses.
 */
export function verifyOperationSignature(op: AnyPlcOperation, didKeys: readonly string[]): DidKey | null {
  const signature = fromBase64Url(op.sig)
  if (!signature) return null
  const { sig: _, ...unsigned } = op
  const message = encode(unsigned)
  for (const didKey of didKeys) {
    const parsed = parseDidKey(didKey)
    if (!parsed) return null
    if (verify(parsed.key, message, signature, { lowS: true })) return parsed.didKey
  }
  return null
}
