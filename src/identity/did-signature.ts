/**
 * Whether a JWT is signed by the DID it names, asking for that DID's key at most twice.
 *
 * A key may have been rotated since its document was cached, so a signature that does not fit is tried once more with a
 * fresh document, also when the key moved to the other curve. Never more than once: bad signatures must not let strangers
 * make us knock at other people's servers. What an absent key is called is the caller's business.
 */
import type { Did } from '../names.ts'
import type { CompactJws } from '../platform/compact-jws.ts'
import { JWS_ALG, type PublicKey, verify } from '../platform/ecdsa.ts'

/** Gives the `#atproto` key of a DID, or null when there is none. `fresh` asks past the cache, as far as its floor allows. */
export type KeyOf = (did: Did, ask: { fresh: boolean }) => Promise<PublicKey | null>

/** A parsed token whose `iss` is a DID. */
export interface SignedByDid {
  readonly iss: Did
  readonly alg: string
  readonly jws: CompactJws
}

export type SignatureVerdict = 'holds' | 'noKey' | 'doesNotHold'

const SIGNATURE_BYTES = 64

/** Whether the token is signed by `key`: `alg` is that of the key's curve, 64 bytes r‖s, low S. */
export function signatureHolds(signed: Pick<SignedByDid, 'alg' | 'jws'>, key: PublicKey): boolean {
  return signed.alg === JWS_ALG[key.curve] && verify(key, signed.jws.signingInput, signed.jws.signature, { lowS: true })
}

/**
 * Judges the signature by the key of `iss`, with one forced refresh when the key at hand does not fit. A token that no key
 * could have signed (another algorithm, another length) is judged without asking for a key. Errors of `keyOf` pass through.
 */
export async function judgeDidSignature(signed: SignedByDid, keyOf: KeyOf): Promise<SignatureVerdict> {
  if (!couldHold(signed)) return 'doesNotHold'
  const key = await keyOf(signed.iss, { fresh: false })
  if (!key) return 'noKey'
  if (signatureHolds(signed, key)) return 'holds'
  const freshKey = await keyOf(signed.iss, { fresh: true })
  if (!freshKey) return 'noKey'
  return !isSameKey(key, freshKey) && signatureHolds(signed, freshKey) ? 'holds' : 'doesNotHold'
}

const couldHold = ({ alg, jws }: SignedByDid): boolean =>
  (alg === JWS_ALG.p256 || alg === JWS_ALG.k256) && jws.signature.length === SIGNATURE_BYTES

const isSameKey = (one: PublicKey, other: PublicKey): boolean =>
  one.curve === other.curve && Buffer.from(one.compressed).equals(other.compressed)
