/**
 * Service auth: the short JWT by which a PDS, an app or an admin says who is calling and which one method they mean.
 *
 * Stricter than the common library, which accepts any `typ` but three, any lifetime, no `jti`, and high-S signatures: here a
 * token of another kind is no service auth, and one token means one call. Spending the `jti` is the caller's part.
 */
import { type Did, parseDid } from '../names.ts'
import { type CompactJws, parseCompactJws } from '../platform/compact-jws.ts'
import {
  bringsOwnKey,
  changesMeaning,
  ERRAND_TIMES,
  judgeTimes,
  keepUntilSec,
  parseAlg,
  parseJti,
  parseTimes,
} from '../platform/jwt-claims.ts'
import { TOKEN_MAX_CHARS } from '../platform/limits.ts'
import { Refusal } from '../refusals.ts'
import { judgeDidSignature, type KeyOf } from './did-signature.ts'

/** A service JWT whose claims are sound. Its signature is not verified by `parseServiceAuth`. */
export interface ServiceAuth {
  readonly iss: Did
  /** Any non-empty text; whether it means us is judged by `verifyServiceAuth`, or by a door that answers 403 instead. */
  readonly aud: string
  readonly lxm: string
  readonly jti: string
  readonly expSec: number
  readonly alg: string
  readonly jws: CompactJws
}

/**
 * A service JWT taken apart and its claims judged, without a key.
 *
 * In this order: form and size (`BadJwt`), `typ` is `JWT` or absent (`BadJwtType`), `alg`, `kid` and the rest of the header
 * (`BadJwt`), `exp` and its neighbours are whole seconds (`BadJwt`), `iss` is a bare canonical DID (`BadJwtIss`), `aud` is
 * there (`BadJwt`) and one text (`BadJwtAudience`), `lxm` is one text (`BadJwtLexiconMethod`), `jti` (`BadJwt`), not expired
 * with 5 s of skew (`JwtExpired`), lifetime and beginning in bounds (`BadJwt`).
 *
 * @throws Refusal with one of those codes, nothing else.
 */
export function parseServiceAuth(token: string, nowSec: number): ServiceAuth {
  const jws = parseCompactJws(token, TOKEN_MAX_CHARS)
  if (!jws) throw new Refusal('BadJwt', 'the token is not a well-formed compact JWT')
  const { payload } = jws
  const alg = requireHeader(jws.header)
  const times = parseTimes(payload)
  if (!times) throw new Refusal('BadJwt', 'exp, iat and nbf must be whole seconds, and exp must be there')
  const iss = parseDid(payload.iss)
  if (!iss) throw new Refusal('BadJwtIss', 'iss must be a DID without a fragment, in its canonical spelling')
  if (!Object.hasOwn(payload, 'aud')) throw new Refusal('BadJwt', 'aud is missing')
  const aud = requireText(payload.aud, 'BadJwtAudience', 'aud must be one text')
  const lxm = requireText(payload.lxm, 'BadJwtLexiconMethod', 'lxm must name the method that is called')
  const jti = parseJti(payload.jti)
  if (!jti) throw new Refusal('BadJwt', 'jti must be 1 to 256 characters, without control characters')
  const verdict = judgeTimes(times, nowSec, ERRAND_TIMES)
  if (verdict === 'late') throw new Refusal('JwtExpired', 'the token has expired')
  if (verdict === 'unsound') throw new Refusal('BadJwt', 'the token lives longer than 300 s, or begins in the future')
  return { iss, aud, lxm, jti, expSec: times.expSec, alg, jws }
}

function requireHeader(header: CompactJws['header']): string {
  if (Object.hasOwn(header, 'typ') && header.typ !== 'JWT') {
    throw new Refusal('BadJwtType', 'typ must be JWT or absent')
  }
  const alg = parseAlg(header.alg)
  if (!alg) throw new Refusal('BadJwt', 'alg must name an algorithm')
  if (bringsOwnKey(header) || changesMeaning(header))
    throw new Refusal('BadJwt', 'the header has members that are not taken')
  if (Object.hasOwn(header, 'kid') && header.kid !== '#atproto' && header.kid !== 'atproto') {
    throw new Refusal('BadJwt', 'kid must be absent or #atproto')
  }
  return alg
}

function requireText(value: unknown, code: 'BadJwtAudience' | 'BadJwtLexiconMethod', says: string): string {
  if (typeof value !== 'string' || value === '') throw new Refusal(code, says)
  return value
}

/**
 * A service JWT fully verified: claims as in `parseServiceAuth`, then `aud` is one of `audiences` (exact text; a bare DID and
 * its service identifiers are different audiences), `lxm` is exactly the method, and the signature is by the issuer's key.
 *
 * @throws Refusal as `parseServiceAuth`, then `BadJwtAudience`, `BadJwtLexiconMethod`, `BadJwtIss`, `BadJwtSignature`.
 */
export async function verifyServiceAuth(input: {
  token: string
  nowSec: number
  audiences: readonly string[]
  lxm: string
  keyOf: KeyOf
}): Promise<ServiceAuth> {
  const auth = parseServiceAuth(input.token, input.nowSec)
  if (!input.audiences.includes(auth.aud)) throw new Refusal('BadJwtAudience', 'aud names somebody else')
  if (auth.lxm !== input.lxm) throw new Refusal('BadJwtLexiconMethod', 'lxm names another method')
  await verifyServiceAuthSignature(auth, input.keyOf)
  return auth
}

/** The last check alone, for a door that judges the audience by the body. @throws Refusal `BadJwtIss` (no key), `BadJwtSignature` */
export async function verifyServiceAuthSignature(auth: ServiceAuth, keyOf: KeyOf): Promise<void> {
  const verdict = await judgeDidSignature(auth, keyOf)
  if (verdict === 'noKey') throw new Refusal('BadJwtIss', 'iss publishes no usable #atproto key')
  if (verdict === 'doesNotHold') throw new Refusal('BadJwtSignature', 'the signature is not by the key of iss')
}

/** Until when the use of a service JWT must be remembered. */
export const serviceAuthKeepUntilSec = (auth: Pick<ServiceAuth, 'expSec'>): number =>
  keepUntilSec(auth.expSec, ERRAND_TIMES)
