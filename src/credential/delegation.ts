/**
 * The delegation token: a user's word, signed by the user's own key, that the bearer may read one space on their behalf.
 *
 * `parseDelegation` needs neither network nor database, so that every cheap no is said before anything dear is done. What it
 * returns is only a claim until `verifyDelegationSignature` has passed. Spending the `jti` is a later step (0016 §Delegation
 * token): a token must not be used up by a request that was never proven.
 */
import { judgeDidSignature, type KeyOf, type SignedByDid, signatureHolds } from '../identity/did-signature.ts'
import { parseDid, parseSpaceUri, type SpaceName } from '../names.ts'
import { type CompactJws, parseCompactJws } from '../platform/compact-jws.ts'
import type { PublicKey } from '../platform/ecdsa.ts'
import { bringsOwnKey, changesMeaning, judgeTimes, parseAlg, parseJti, parseTimes } from '../platform/jwt-claims.ts'
import { TOKEN_MAX_CHARS } from '../platform/limits.ts'
import { Refusal } from '../refusals.ts'
import { DELEGATION } from './token-classes.ts'

/** A delegation token whose claims are sound. `iss` is the user. */
export interface Delegation extends SignedByDid {
  readonly space: SpaceName
  readonly jti: string
  readonly expSec: number
  readonly iatSec: number | null
}

/** Schemes that belong to a way in which tokens are shown to us; anything else is a header we can't read. */
const KNOWN_SCHEMES = new Set(['bearer', 'dpop', 'atproto-space'])

/**
 * The token of `Authorization: Bearer <token>`, from every Authorization line of the raw request.
 *
 * The scheme compares without regard to case (RFC 9110 §11.1), followed by exactly one space. Two lines are refused whatever
 * they say: somebody in front of us might have read the other one.
 *
 * @throws Refusal `MissingJwt` (no line, or a known scheme that is not Bearer), `InvalidToken` (two lines, another form).
 */
export function parseBearer(authorization: readonly string[]): string {
  const [line, ...others] = authorization
  if (others.length > 0) throw new Refusal('InvalidToken', 'send one Authorization header')
  if (!line) throw new Refusal('MissingJwt', 'send the token as Authorization: Bearer')
  const [scheme = '', token, ...rest] = line.split(' ')
  if (!token || rest.length > 0 || !KNOWN_SCHEMES.has(scheme.toLowerCase())) {
    throw new Refusal('InvalidToken', 'Authorization must be: Bearer, one space, token')
  }
  if (scheme.toLowerCase() !== 'bearer') throw new Refusal('MissingJwt', 'the token is sent as Bearer')
  return token
}

/**
 * A delegation token taken apart and its claims judged, without a key.
 *
 * In this order: form and size (`BadJwt`), `typ` (`BadJwtType`), `alg` and header members that are never taken (`BadJwt`),
 * `iss` and `sub` are there (`BadJwtIss`, `BadJwtSub`), `exp` and its neighbours are whole seconds (`BadJwt`), `aud` is one
 * text (`BadJwtAudience`), `jti` (`BadJwt`), not expired (`JwtExpired`), lifetime and beginning in bounds, `kid` is `#atproto`
 * (`BadJwt`), `sub` is a space URI (`BadJwtSub`), `aud` is the host of its authority (`BadJwtAudience`), `iss` is a canonical
 * DID (`BadJwtIss`).
 *
 * A loopback DID passes here: that only development resolves it is for whoever looks up the key.
 *
 * @throws Refusal with one of those codes, nothing else.
 */
export function parseDelegation(token: string, nowSec: number): Delegation {
  const jws = parseCompactJws(token, TOKEN_MAX_CHARS)
  if (!jws) throw new Refusal('BadJwt', 'the delegation token is not a well-formed compact JWT')
  const { header, payload } = jws
  if (header.typ !== DELEGATION.typ) throw new Refusal('BadJwtType', `typ must be ${DELEGATION.typ}`)
  const alg = parseAlg(header.alg)
  if (!alg) throw new Refusal('BadJwt', 'alg must name an algorithm')
  if (bringsOwnKey(header) || changesMeaning(header))
    throw new Refusal('BadJwt', 'the header has members that are not taken')
  if (!isText(payload.iss)) throw new Refusal('BadJwtIss', 'iss is missing')
  if (!isText(payload.sub)) throw new Refusal('BadJwtSub', 'sub is missing')
  const times = parseTimes(payload)
  if (!times) throw new Refusal('BadJwt', 'exp, iat and nbf must be whole seconds, and exp must be there')
  if (!isText(payload.aud)) throw new Refusal('BadJwtAudience', 'aud must be one text')
  const jti = parseJti(payload.jti)
  if (!jti) throw new Refusal('BadJwt', 'jti must be 1 to 256 characters, without control characters')
  const verdict = judgeTimes(times, nowSec, DELEGATION)
  if (verdict === 'late') throw new Refusal('JwtExpired', 'the delegation token has expired')
  if (verdict === 'unsound') throw new Refusal('BadJwt', 'the token lives longer than 300 s, or begins in the future')
  // Only the user's account key speaks for the user: a token by their space key would make whoever holds that key the user.
  if (header.kid !== '#atproto' && header.kid !== 'atproto') throw new Refusal('BadJwt', 'kid must be #atproto')
  return { ...requireNames(jws), jti, expSec: times.expSec, iatSec: times.iatSec, alg, jws }
}

function requireNames({ payload }: CompactJws): Pick<Delegation, 'iss' | 'space'> {
  const space = parseSpaceUri(payload.sub)
  if (!space) throw new Refusal('BadJwtSub', 'sub must be a space URI')
  if (payload.aud !== `${space.authority}#atproto_space_host`) {
    throw new Refusal('BadJwtAudience', 'aud must be the space host of the authority in sub')
  }
  const iss = parseDid(payload.iss)
  if (!iss) throw new Refusal('BadJwtIss', 'iss must be a DID in its canonical spelling')
  return { iss, space }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/** Whether the token is signed by `key`: `alg` fits the curve, 64 bytes r‖s, low S. Never throws. */
export const delegationSignatureHolds = (delegation: Delegation, key: PublicKey): boolean =>
  signatureHolds(delegation, key)

/**
 * Requires the user's signature, asking `keyOf` for the key once, and once more past the cache when the signature or its
 * algorithm does not fit. A token no atproto key could have signed is refused without asking.
 *
 * @throws Refusal `BadJwtIss` (no key), `BadJwtSignature`. What `keyOf` throws passes through.
 */
export async function verifyDelegationSignature(delegation: Delegation, keyOf: KeyOf): Promise<void> {
  const verdict = await judgeDidSignature(delegation, keyOf)
  if (verdict === 'noKey') throw new Refusal('BadJwtIss', 'iss publishes no usable #atproto key')
  if (verdict === 'doesNotHold') throw new Refusal('BadJwtSignature', 'the signature is not by the key of iss')
}
