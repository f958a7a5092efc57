/**
 * What a space credential says, before it is signed: whom it was granted to is in the grant, which nobody but the decision can make.
 */
import { toBase64Url } from '../platform/bytes.ts'
import type { Grant } from '../policy/decide.ts'

/** No holder of the October generation takes a credential that lives longer (0016 §Space credential). */
export const CREDENTIAL_LIFETIME_MAX_SEC = 3600
const JTI = /^[0-9a-f]{32}$/

/** What of a credential isn't already said by the grant. */
export interface CredentialClaims {
  /** The holder's key: the thumbprint of a DPoP key, or the did:key that signs its requests. */
  readonly cnf: { readonly jkt: string } | { readonly kid: string }
  readonly iatSec: number
  readonly expSec: number
  /** 32 lower-case hexadecimal characters. */
  readonly jti: string
}

/** A purpose that the vault signs for. */
export interface SpaceCredentialUse {
  readonly kind: 'space-credential'
  readonly grant: Grant
  readonly claims: CredentialClaims
}

/** Header and payload of a credential, joined, as they are signed (0016 §Space credential). The claims were judged by `assertClaims`. */
export function credentialInput(
  { grant, claims }: SpaceCredentialUse,
  { alg, kid }: { readonly alg: string; readonly kid: '#atproto_space' | '#atproto' },
): string {
  const header = { typ: 'atproto-space-credential+jwt', alg, kid }
  const payload = {
    iss: grant.space.authority,
    sub: grant.space.uri,
    cnf: 'jkt' in claims.cnf ? { jkt: claims.cnf.jkt } : { kid: claims.cnf.kid },
    iat: claims.iatSec,
    exp: claims.expSec,
    jti: claims.jti,
  }
  return `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
}

/** Whoever gets here with other claims has a bug: the caller sets them, no stranger does. */
export function assertClaims(claims: CredentialClaims): void {
  const { iatSec, expSec, jti } = claims
  if (!Number.isSafeInteger(iatSec) || !Number.isSafeInteger(expSec)) throw new Error('a credential in broken seconds')
  const lifetimeSec = expSec - iatSec
  if (lifetimeSec <= 0 || lifetimeSec > CREDENTIAL_LIFETIME_MAX_SEC)
    throw new Error(`a credential of ${lifetimeSec} seconds`)
  if (!JTI.test(jti)) throw new Error('a credential whose jti is not 32 hexadecimal characters')
}
