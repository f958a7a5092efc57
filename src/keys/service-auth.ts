/**
 * Service auth that Reeve signs in the name of a community: what it may say, and to whom.
 *
 * A token is good for one method at one receiver for a minute. The methods are a closed list, because whoever holds a token that names
 * another one could act as the community there: it is signed by the key that stands for the community itself.
 */
import type { Did } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'

/** The methods that a community calls at other people's hosts. */
export const CALLED_METHODS = [
  'com.atproto.space.notifyWrite',
  'com.atproto.space.notifySpaceDeleted',
  'com.atproto.space.notifyCredentialRevoked',
  'com.atproto.simplespace.checkUserAccess',
] as const

/** A purpose that the vault signs for (0014 §Service auth). */
export interface ServiceAuthUse {
  readonly kind: 'service-auth'
  /** Who calls. */
  readonly community: Did
  /** Who is called: a service identifier, exactly as whoever reads the token knows itself. */
  readonly aud: string
  readonly lxm: (typeof CALLED_METHODS)[number]
  readonly iatSec: number
  /** 32 lower-case hexadecimal characters. */
  readonly jti: string
}

/** Receivers take no longer, and one call needs no longer. */
const LIFETIME_SEC = 60
const JTI = /^[0-9a-f]{32}$/
const AUDIENCE = /^did:[!-~]{1,512}$/

/** What is signed. @throws Error when it is nothing that we may ever sign, which is our own mistake */
export function serviceAuthInput({ community, aud, lxm, iatSec, jti }: ServiceAuthUse, alg: string): string {
  if (!(CALLED_METHODS as readonly string[]).includes(lxm))
    throw new Error('service auth for a method that nobody calls')
  if (!Number.isSafeInteger(iatSec)) throw new Error('service auth in broken seconds')
  if (!AUDIENCE.test(aud)) throw new Error('service auth for a receiver that is none')
  if (!JTI.test(jti)) throw new Error('service auth whose jti is not 32 hexadecimal characters')
  const header = { typ: 'JWT', alg }
  const payload = { iat: iatSec, iss: community, aud, exp: iatSec + LIFETIME_SEC, lxm, jti }
  return `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
}
