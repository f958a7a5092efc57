/**
 * An operation of a community's DID that changes its names alone, judged once more before it is signed.
 *
 * The rotation key can give a DID away for good. So it isn't lent for operations, but for this one kind: whatever else the operation in
 * force says has to be said again, byte for byte.
 */
import { encode } from '@ipld/dag-cbor'
import type { Did, DidKey } from '../names.ts'
import { Refusal } from '../refusals.ts'

/** What is looked at in an operation that follows another one. */
export interface LaterOperation {
  readonly type: string
  readonly rotationKeys: readonly string[]
  readonly alsoKnownAs: readonly string[]
  readonly prev: string | null
}

/** A purpose that the vault signs for. */
export interface RenamingUse<Op extends LaterOperation> {
  readonly kind: 'renaming'
  readonly community: Did
  /** The operation in force, as the directory's verified log has it, without its signature. */
  readonly inForce: Op
  readonly operation: Op
}

/** @throws Refusal('PlcRank') for an operation that changes more than names, or in which our key isn't the last, and there once */
export function assertRenaming<Op extends LaterOperation>({ inForce, operation }: RenamingUse<Op>, ours: DidKey): void {
  const { rotationKeys, type, prev } = operation
  if (type !== 'plc_operation' || prev === null) throw new Refusal('PlcRank', 'no operation that follows another one')
  if (rotationKeys.length === 0 || rotationKeys.indexOf(ours) !== rotationKeys.length - 1)
    throw new Refusal('PlcRank', 'the key of this service must be the last rotation key, and stand there once')
  const allElse = (one: Op): Uint8Array => encode({ ...one, alsoKnownAs: [], prev: null })
  if (!Buffer.from(allElse(inForce)).equals(allElse(operation)))
    throw new Refusal('PlcRank', 'the operation would change more than the names of the identity')
}
