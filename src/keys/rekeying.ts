/**
 * The replacement of a community's keys: the ones that take over are made here, and the operation that names them is judged once more
 * before it is signed.
 *
 * The rotation key can give a DID away for good. So it isn't lent for operations, but for this kind: the operation in force said again
 * byte for byte, with nothing put in but keys that were just made here, and the community's own key where its owners asked for that.
 */
import { encode } from '@ipld/dag-cbor'
import type { Did, DidKey } from '../names.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { Refusal } from '../refusals.ts'
import { type FoundedPurpose, type Place, seal } from './envelope.ts'
import { makeKeyPair, withScalar } from './private-keys.ts'
import type { LaterOperation } from './renaming.ts'
import type { SuccessorRows } from './successor-store.ts'

/** A key always takes over from one of the same curve: a verifier that knows the old one would refuse another, and never look again. */
export const CURVE_OF_FOUNDED = { rotation: 'k256', atproto: 'p256', space: 'p256' } as const

/** The public halves of the keys that take over, each under its purpose; a purpose that isn't there keeps its key. */
export type Successors = Partial<Record<FoundedPurpose, DidKey>>

/** What is looked at in an operation that replaces keys. */
export interface KeyedOperation extends LaterOperation {
  readonly verificationMethods: Readonly<Record<string, string>>
}

/** A purpose that the vault signs for. */
export interface RekeyingUse<Op extends KeyedOperation> {
  readonly kind: 'rekeying'
  readonly community: Did
  /** The operation in force, as the directory's verified log has it, without its signature. */
  readonly inForce: Op
  readonly operation: Op
  /** They have to be held here, and to wait for just this. */
  readonly successors: Successors
  /** The community's own key, where it is to be another; it takes the place of `before`, or stands above all where there was none. */
  readonly recovery: { readonly before: DidKey | null; readonly after: DidKey } | null
  /** A key in shares that comes in above ours, or in its place where it is to be strict; then nothing else changes. */
  readonly quorum: { readonly pub: DidKey; readonly isStrict: boolean } | null
}

/** Names under which the keys of a community stand in its operations. */
export const NAME_OF = { atproto: 'atproto', space: 'atproto_space' } as const

/** The operation in force with other keys, and everything else as it is. `prev` is for the caller. */
export function withOtherKeys<Op extends KeyedOperation>(
  inForce: Op,
  { successors, recovery, quorum }: Pick<RekeyingUse<Op>, 'successors' | 'recovery' | 'quorum'>,
): Op {
  if (quorum) return { ...inForce, rotationKeys: withQuorum(inForce.rotationKeys, quorum) }
  const { rotation } = successors
  const ours = rotation ? [...inForce.rotationKeys.slice(0, -1), rotation] : inForce.rotationKeys
  const verificationMethods = { ...inForce.verificationMethods }
  for (const purpose of ['atproto', 'space'] as const) {
    const key = successors[purpose]
    if (key) verificationMethods[NAME_OF[purpose]] = key
  }
  return { ...inForce, rotationKeys: recovery ? raised(ours, recovery) : ours, verificationMethods }
}

const withQuorum = (keys: readonly string[], { pub, isStrict }: { pub: DidKey; isStrict: boolean }) => [
  ...keys.slice(0, -1),
  pub,
  ...(isStrict ? [] : keys.slice(-1)),
]

const raised = (keys: readonly string[], { before, after }: { before: DidKey | null; after: DidKey }) =>
  before === null ? [after, ...keys] : keys.map((key) => (key === before ? after : key))

/** @throws Refusal('PlcRank') for an operation that isn't exactly this replacement, or in whose predecessor our key isn't the last */
export function assertRekeying<Op extends KeyedOperation>(use: RekeyingUse<Op>, ours: DidKey): void {
  const { inForce, operation, successors, recovery, quorum } = use
  if (operation.type !== 'plc_operation' || operation.prev === null)
    throw new Refusal('PlcRank', 'no operation that follows another one')
  if (inForce.rotationKeys.indexOf(ours) !== inForce.rotationKeys.length - 1)
    throw new Refusal('PlcRank', 'the key of this service must be the last rotation key, and stand there once')
  if (recovery?.before && inForce.rotationKeys[0] !== recovery.before)
    throw new Refusal('PlcRank', "the community's own key is not the first rotation key any more")
  if (quorum && (recovery || Object.keys(successors).length > 0 || quorum.pub === ours))
    throw new Refusal('PlcRank', 'a key in shares comes in by itself')
  const { rotationKeys } = operation
  const last = quorum?.isStrict ? quorum.pub : (successors.rotation ?? ours)
  if (new Set(rotationKeys).size !== rotationKeys.length || rotationKeys.at(-1) !== last)
    throw new Refusal('PlcRank', 'the key of this service must be the last rotation key, and no key stand there twice')
  const expected = { ...withOtherKeys(inForce, { successors, recovery, quorum }), prev: operation.prev }
  if (!Buffer.from(encode(expected)).equals(encode(operation)))
    throw new Refusal('PlcRank', 'the operation would change more than the keys that are replaced')
}

/** A pair for each purpose, its private half sealed at its place under the community's DEK. The caller wipes `dek`. */
export function makeSuccessors(
  dek: Uint8Array,
  purposes: readonly FoundedPurpose[],
  about: Pick<Place, 'instanceId' | 'community' | 'dekVersion'>,
  random: Random,
): SuccessorRows {
  const keys = purposes.map((purpose) => {
    const pair = makeKeyPair(CURVE_OF_FOUNDED[purpose])
    const id = `key-${randomHex(random, 16)}`
    const place = { ...about, purpose, keyId: id, publicKey: pair.didKey }
    return { id, purpose, didKey: pair.didKey, sealed: withScalar(pair, (scalar) => seal(dek, scalar, place, random)) }
  })
  return { community: about.community, dekVersion: about.dekVersion, keys }
}
