/**
 * The keys of a community that wants to come here from another home: made, used once to sign what its owner puts into its document, sealed,
 * forgotten. Nothing of the former home's is taken in: whatever it had may be in other hands.
 */
import { encode } from '@ipld/dag-cbor'
import type { Did, DidKey } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { Secret } from '../platform/secret.ts'
import { seal } from './envelope.ts'
import type { PublicHalves } from './founding.ts'
import { makeKeyPair, signCompact, withScalar } from './private-keys.ts'
import type { ArrivalRows } from './store.ts'

/** What is looked at in a statement before it is signed. Whatever else it holds is signed as it is. */
export interface ArrivalStatement {
  readonly format: 'reeve-new-home'
  readonly version: 1
  readonly did: Did
  readonly rotationKey: DidKey
  readonly verificationMethods: { readonly atproto: DidKey; readonly atproto_space: DidKey }
}

/** A signed statement, and what must be kept before anybody is shown it. */
export interface ArrivalKeys<S> {
  readonly statement: S & { readonly sig: string }
  /** For `saveArrivalKeys`. */
  readonly rows: Secret<ArrivalRows>
}

/** What its first member makes of the bytes: nothing else that a rotation key signs begins so, no operation above all. */
const PURPOSE = 'reeve-new-home-v1'

/** Where the keys are sealed, and under which DEK. */
export interface ArrivalPlace {
  readonly instanceId: string
  readonly community: Did
  readonly dekVersion: number
}

/**
 * Makes three keys, has the statement composed around their public halves, signs it with the rotation key and seals them all under `dek`,
 * which is wiped. Synchronous, so that nothing runs between making and sealing.
 * @throws Error when the statement is about another DID, or other keys, which is our own mistake
 */
export function makeArrival<S extends ArrivalStatement>(
  dek: Uint8Array,
  place: ArrivalPlace,
  compose: (keys: PublicHalves) => S,
  random: Random,
): ArrivalKeys<S> {
  try {
    const pairs = { rotation: makeKeyPair('k256'), atproto: makeKeyPair('p256'), space: makeKeyPair('p256') }
    const keys = { rotation: pairs.rotation.didKey, atproto: pairs.atproto.didKey, space: pairs.space.didKey }
    const said = compose(keys)
    assertArrival(said, place.community, keys)
    const sig = toBase64Url(signCompact(pairs.rotation, encode({ purpose: PURPOSE, ...said })))
    const sealed = (['rotation', 'atproto', 'space'] as const).map((purpose) => {
      const { didKey } = pairs[purpose]
      const id = `key-${randomHex(random, 16)}`
      const at = { ...place, purpose, keyId: id, publicKey: didKey }
      return { id, purpose, didKey, sealed: withScalar(pairs[purpose], (scalar) => seal(dek, scalar, at, random)) }
    })
    const { community, dekVersion } = place
    return { statement: { ...said, sig }, rows: new Secret({ community, dekVersion, keys: sealed }) }
  } finally {
    dek.fill(0)
  }
}

function assertArrival(said: ArrivalStatement, community: Did, keys: PublicHalves): void {
  const { atproto, atproto_space } = said.verificationMethods
  if (said.format !== 'reeve-new-home' || said.version !== 1) throw new Error('a statement of another kind')
  if (said.did !== community) throw new Error('a statement about another DID')
  if (said.rotationKey !== keys.rotation || atproto !== keys.atproto || atproto_space !== keys.space)
    throw new Error('a statement that names other keys than those made for it')
}
