/**
 * The key of this service as an OAuth client, and the one thing that is signed with it: that it is us who ask an authorization server.
 *
 * An assertion is good at one server for a minute. Whoever had another one could trade the refresh tokens of every community that
 * connected its account, so it says nothing that this file didn't look at.
 */
import type { Did, DidKey } from '../names.ts'
import { toBase64Url } from '../platform/bytes.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { seal } from './envelope.ts'
import { makeKeyPair, withScalar } from './private-keys.ts'

/** A purpose that the vault signs for (RFC 7523 §3). */
export interface ClientAssertionUse {
  readonly kind: 'client-assertion'
  /** Whose key: this service. */
  readonly service: Did
  /** The key's id, by which the server finds its public half. */
  readonly keyId: string
  readonly clientId: string
  /** The issuer that is asked. */
  readonly aud: string
  readonly iatSec: number
  readonly expSec: number
  readonly jti: string
}

/** Servers take no longer, and one call needs no longer. */
const LIFETIME_MAX_SEC = 60
const JTI = /^[\w-]{16,64}$/
const CLIENT_ID = /^https:\/\/[^/?#\s]+\/[^#\s]+$/
/** An issuer is an origin (RFC 8414, as atproto has it); by http only on this machine, for development. */
const ISSUER = /^(?:https:\/\/[a-z0-9.-]+(?::\d{1,5})?|http:\/\/(?:localhost|127\.0\.0\.1)(?::\d{1,5})?)\/?$/

/** What is signed. @throws Error when it is nothing that we may ever sign, which is our own mistake */
export function assertionInput(use: ClientAssertionUse, alg: string): string {
  const { clientId, keyId, aud, iatSec, expSec, jti } = use
  if (!CLIENT_ID.test(clientId)) throw new Error('an assertion by a client that has no public address')
  if (!ISSUER.test(aud)) throw new Error('an assertion for a server that is no issuer')
  if (!Number.isSafeInteger(iatSec) || !Number.isSafeInteger(expSec)) throw new Error('an assertion in broken seconds')
  if (expSec <= iatSec || expSec - iatSec > LIFETIME_MAX_SEC) throw new Error('an assertion that lives too long')
  if (!JTI.test(jti)) throw new Error('an assertion whose jti is no word of chance')
  const header = { typ: 'JWT', alg, kid: keyId }
  const payload = { iss: clientId, sub: clientId, aud, jti, iat: iatSec, exp: expSec }
  return `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
}

/** A new client key, sealed under `dek`, which is wiped. Synchronous, so that nothing runs between making and sealing. */
export function sealClientKey(
  dek: Uint8Array,
  about: { readonly instanceId: string; readonly community: Did; readonly dekVersion: number },
  random: Random,
): { id: string; purpose: 'client'; didKey: DidKey; sealed: Uint8Array } {
  try {
    const pair = makeKeyPair('p256')
    const id = `key-${randomHex(random, 16)}`
    const place = { ...about, purpose: 'client', keyId: id, publicKey: pair.didKey } as const
    return {
      ...{ id, purpose: 'client', didKey: pair.didKey },
      sealed: withScalar(pair, (scalar) => seal(dek, scalar, place, random)),
    }
  } finally {
    dek.fill(0)
  }
}
