/**
 * The keys of a community that doesn't exist yet: made, used once to sign its first PLC operation, sealed, forgotten.
 *
 * The DID is a hash of that operation, so keys and name come into the world together. Our rotation key may only ever stand last
 * in the list: whoever stands above can undo for 72 hours what those below did, and the community must be able to leave us.
 */
import { encode } from '@ipld/dag-cbor'
import type { Did, DidKey } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { Secret } from '../platform/secret.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { type FoundedPurpose, SYMMETRIC_KEY_BYTES, seal } from './envelope.ts'
import type { Kek } from './kek.ts'
import { type KeyPair, makeKeyPair, signCompact, withScalar } from './private-keys.ts'
import { secretBytes } from './secret-bytes.ts'
import type { FoundedRows } from './store.ts'

/** The public halves of a new community's keys. */
export interface PublicHalves {
  readonly rotation: DidKey
  readonly atproto: DidKey
  readonly space: DidKey
}

/** What is looked at in a first operation before it is signed. Whatever else it holds is signed as it is. */
export interface GenesisOperation {
  readonly rotationKeys: readonly string[]
  readonly verificationMethods: { readonly atproto?: string; readonly atproto_space?: string }
  readonly prev: string | null
}

/** A signed first operation, the DID it makes, and what must be kept before it leaves the house. */
export interface FoundedKeys<Op> {
  readonly did: Did
  readonly operation: Op & { readonly sig: string }
  /** For `saveFoundedKeys`. */
  readonly rows: Secret<FoundedRows>
}

export interface FoundingDeps {
  readonly kek: Kek
  readonly instanceId: string
  readonly random: Random
}

export const FIRST_DEK_VERSION = 1

/** See `Vault.prepareFounding`. */
export async function foundKeys<Op extends GenesisOperation>(
  deps: FoundingDeps,
  compose: (keys: PublicHalves) => Op,
  nameOf: (signed: Op & { readonly sig: string }) => Did,
): Promise<FoundedKeys<Op>> {
  const pairs = { rotation: makeKeyPair('k256'), atproto: makeKeyPair('p256'), space: makeKeyPair('p256') }
  const keys = { rotation: pairs.rotation.didKey, atproto: pairs.atproto.didKey, space: pairs.space.didKey }
  const unsigned = compose(keys)
  assertGenesis(unsigned, keys)
  const operation = { ...unsigned, sig: toBase64Url(signCompact(pairs.rotation, encode(unsigned))) }
  const did = nameOf(operation)
  return { did, operation, rows: new Secret(await sealAll(deps, did, pairs)) }
}

/** A second look behind the builder of the operation: what is wrong here can't be put right once the DID exists. */
function assertGenesis(unsigned: GenesisOperation, keys: PublicHalves): void {
  const { rotationKeys, verificationMethods, prev } = unsigned
  if (prev !== null) throw new Refusal('PlcRank', 'a first operation follows no other')
  if (rotationKeys.indexOf(keys.rotation) !== rotationKeys.length - 1 || rotationKeys.length === 0)
    throw new Refusal('PlcRank', 'the key of this service must be the last rotation key, and stand there once')
  if (verificationMethods.atproto !== keys.atproto || verificationMethods.atproto_space !== keys.space)
    throw new Refusal('PlcRank', 'the operation must name the signing keys that this service made for it')
}

/** Seals every key under a fresh DEK. The DEK is wiped before anything is awaited: a KEK takes it in before it answers. */
async function sealAll(
  deps: FoundingDeps,
  community: Did,
  pairs: Record<FoundedPurpose, KeyPair>,
): Promise<FoundedRows> {
  const { kek, instanceId, random } = deps
  const dekVersion = FIRST_DEK_VERSION
  const dek = freshDek(random)
  let wrapping: Promise<Uint8Array>
  let keys: FoundedRows['keys']
  try {
    keys = (['rotation', 'atproto', 'space'] as const).map((purpose) => {
      const pair = pairs[purpose]
      const id = `key-${randomHex(random, 16)}`
      const place = { instanceId, community, purpose, keyId: id, dekVersion, publicKey: pair.didKey }
      const sealed = withScalar(pair, (scalar) => seal(dek, scalar, place, random))
      return { id, purpose, didKey: pair.didKey, sealed }
    })
    wrapping = kek.wrap(dek, { instanceId, community, dekVersion })
  } finally {
    dek.fill(0)
  }
  try {
    return { community, dek: { version: dekVersion, wrapped: await wrapping, kekId: kek.id }, keys }
  } catch {
    throw new Unavailable('KekUnavailable', 'vault')
  }
}

/** A new DEK. Random bytes come from the heap's side of the fence; they are carried over and wiped there. */
export function freshDek(random: Random): Uint8Array {
  const drawn = random.bytes(SYMMETRIC_KEY_BYTES)
  const dek = secretBytes(SYMMETRIC_KEY_BYTES)
  dek.set(drawn)
  drawn.fill(0)
  return dek
}
