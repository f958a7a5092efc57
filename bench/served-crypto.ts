/** What the cryptography and the JSON of requests cost by themselves, one after the other, in the measured process. */
import { type Delegation, parseDelegation } from '../src/credential/delegation.ts'
import { verifyDpopProof } from '../src/credential/dpop.ts'
import { verifyExchangeSignature } from '../src/credential/http-signature.ts'
import { signatureHolds } from '../src/identity/did-signature.ts'
import { parseServiceAuth } from '../src/identity/service-auth.ts'
import { makeKeyPair, signCompact } from '../src/keys/private-keys.ts'
import { toBase64Url, utf8 } from '../src/platform/bytes.ts'
import { systemClock } from '../src/platform/clock.ts'
import { OPENSSL_ES256K, type PublicKey, verifyBy } from '../src/platform/ecdsa.ts'
import { parseDidKey } from '../src/platform/multikey.ts'
import { cpuSec, type Order, type Report } from './served-orders.ts'
import type { Prepared } from './tokens.ts'

type Counted = Extract<Report, { kind: 'crypto' }>

export async function atprotoOnly(requests: readonly Prepared[]): Promise<Counted> {
  // Only here: a process that is asked how much memory it takes doesn't carry it.
  const { byAtprotoCrypto } = await import('./atproto-crypto.ts')
  const exchange = await byAtprotoCrypto()
  const before = cpuSec()
  for (const request of requests) await exchange(request)
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: requests.length }
}

/** Everything of a question by service auth that is cryptography or JSON, with the key at hand. */
export function verifiesOnly({ tokens, didKey }: Extract<Order, { kind: 'verifies' }>): Counted {
  const key = parseDidKey(didKey)?.key
  const nowSec = systemClock.nowSec()
  const before = cpuSec()
  for (const token of tokens) {
    if (!key || !signatureHolds(parseServiceAuth(token, nowSec), key)) throw new Error('a token does not hold')
  }
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: tokens.length }
}

type Holds = (delegation: Delegation, key: PublicKey) => boolean

/** As `signatureHolds`, by OpenSSL whatever this process uses. */
const holdsByOpenssl: Holds = ({ jws }, key) =>
  verifyBy(OPENSSL_ES256K, key, jws.signingInput, jws.signature, { lowS: true })

/** Everything of an exchange that is cryptography or JSON; of one that is `refused`, as far as the token's signature, which doesn't hold. */
export function cryptoOnly(order: Extract<Order, { kind: 'crypto' }>): Counted {
  const { requests, url, isRefused = false } = order
  const holds: Holds = order.es256k === 'openssl' ? holdsByOpenssl : signatureHolds
  const signer = makeKeyPair('p256')
  const nowSec = systemClock.nowSec()
  const keys = new Map<string, PublicKey>()
  for (const { didKey } of requests) {
    const key = keys.get(didKey) ?? parseDidKey(didKey)?.key
    if (key) keys.set(didKey, key)
  }
  const before = cpuSec()
  for (const request of requests) {
    const key = keys.get(request.didKey)
    const delegation = parseDelegation(request.token, nowSec)
    const cnf = holderOf(request, url, nowSec)
    if (!key || holds(delegation, key) === isRefused) throw new Error('a signature that was meant otherwise')
    if (isRefused) continue
    const header = { typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' }
    const payload = {
      ...{ iss: delegation.space.authority, sub: delegation.space.uri, cnf },
      ...{ iat: nowSec, exp: nowSec + 600, jti: delegation.jti },
    }
    const input = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
    signCompact(signer, utf8(input))
  }
  return { kind: 'crypto', cpuSec: cpuSec() - before, count: requests.length }
}

function holderOf({ token, dpop, signatureInput, signature }: Prepared, url: string, nowSec: number) {
  if (dpop) return { jkt: verifyDpopProof({ proofs: [dpop], method: 'POST', url, nowSec, ath: 'absent' }).jkt }
  const authorization = [`Bearer ${token}`]
  const proof = { authorization, signatureInput: [signatureInput], signature: [signature], nowSec }
  return { kid: verifyExchangeSignature(proof).holder }
}
