/**
 * An app as atproto's own library makes one, its metadata on this machine and its keys behind TLS: its attestation says which app it
 * is, once, on every engine.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Keyset } from '@atproto/jwk'
import { JoseKey } from '@atproto/jwk-jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type HolderKey, parseAttestation, verifyAttestation } from '../../src/apps/attestation.ts'
import { type AppMetadata, appKeyLookup, openAppMetadata } from '../../src/identity/app-metadata.ts'
import type { Did } from '../../src/names.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import { APP_FRESH_SEC, APP_NEGATIVE_SEC, APP_REFRESH_FLOOR_SEC } from '../../src/platform/limits.ts'
import { silentLog } from '../../src/platform/log.ts'
import { claimOnce } from '../../src/platform/once.ts'
import { openOutbound } from '../../src/platform/outbound.ts'
import { certificateFor } from '../kit/certificates.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { freshJti, makeKey, thumbprintOf } from '../kit/tokens.ts'
import { verdictOf } from '../kit/verdicts.ts'

const AUTHORITY = 'did:plc:cccccccccccccccccccccccc' as Did
const HOLDER: HolderKey = { jkt: thumbprintOf(makeKey('p256')) }
const ELLIPTIC = ['ES256', 'ES384', 'EdDSA'] as const
const RSA = ['PS256', 'RS256'] as const
/** Each key says what it is for: their set can't find an Ed25519 key that doesn't. */
async function makeKeyset(algs: readonly string[]): Promise<Keyset> {
  const made = await Promise.all(algs.map((alg) => JoseKey.generate([alg], `key-${alg}`)))
  return new Keyset(
    await Promise.all(made.map(({ privateJwk }, at) => JoseKey.fromJWK({ ...privateJwk, alg: algs[at] }))),
  )
}

const certificate = certificateFor('localhost', { from: '20', to: '49' })
const authorities = getCACertificates('default')
beforeAll(() => setDefaultCACertificates([certificate.cert]))
afterAll(() => setDefaultCACertificates(authorities))

let keyset: Keyset
let publishedKeys: object
let clientId: string
let apps: AppMetadata
let asked: string[]
let nowMs: number
const clock: Clock = { nowMs: () => nowMs, nowSec: () => Math.floor(nowMs / 1000), monotonicMs: () => nowMs }
const pass = (sec: number) => {
  nowMs += sec * 1000
}

const closers: (() => Promise<unknown>)[] = []
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => new Promise((resolve) => server.close(resolve)))
  return (server.address() as AddressInfo).port
}

beforeEach(async () => {
  nowMs = Date.UTC(2026, 10, 20)
  asked = []
  // With a key that is of no use here.
  keyset = await makeKeyset([...ELLIPTIC, 'ES256K'])
  publishedKeys = keyset.publicJwks
  const type = { 'content-type': 'application/json' }
  const keys = await listen(
    createTlsServer({ ...certificate }, (request, response) => {
      asked.push(`keys ${request.url}`)
      response.writeHead(200, type).end(JSON.stringify(publishedKeys))
    }),
  )
  const metadata = await listen(
    createServer((request, response) => {
      asked.push(`metadata ${request.url}`)
      const whole = {
        client_id: clientId,
        client_name: 'A forum',
        client_uri: 'https://forum.example.org',
        redirect_uris: ['https://forum.example.org/callback'],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        scope: 'atproto',
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        dpop_bound_access_tokens: true,
        application_type: 'web',
        jwks_uri: `https://localhost:${keys}/jwks.json`,
      }
      response.writeHead(200, type).end(JSON.stringify(whole))
    }),
  )
  clientId = `http://localhost:${metadata}/client-metadata.json`
  const outbound = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock })
  closers.push(() => outbound.close())
  apps = openAppMetadata({ outbound, allowLoopback: true, clock, log: silentLog })
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** As the app's server makes it: by the library's own set of keys, which says which one it took. */
const attestationBy = (set: Keyset, alg: string, jti = freshJti()): Promise<string> =>
  set.createJwt(
    { alg, typ: 'atproto-client-attestation+jwt' },
    {
      ...{ iss: clientId, sub: clientId, aud: `${AUTHORITY}#atproto_space_host`, jti },
      ...{ iat: clock.nowSec(), exp: clock.nowSec() + 60 },
    },
  )

const attest = (token: string) =>
  verifyAttestation(parseAttestation(token, { authority: AUTHORITY, nowSec: clock.nowSec() }), {
    ...{ holder: HOLDER, keysOf: appKeyLookup(apps), nowSec: clock.nowSec() },
  })

describe('an app', () => {
  it('proves which one it is with every key of its set, and its host is asked once', async () => {
    for (const alg of ELLIPTIC) expect((await attest(await attestationBy(keyset, alg))).clientId, alg).toBe(clientId)
    expect(asked).toEqual(['metadata /client-metadata.json', 'keys /jwks.json'])
  })

  it('does so with RSA keys, but never with a set in which their primes stand, as this library publishes them', async () => {
    const set = await makeKeyset(RSA)
    const { keys } = JSON.parse(JSON.stringify(set.publicJwks))
    expect(Object.keys(keys[0])).toEqual(expect.arrayContaining(['p', 'q']))
    publishedKeys = { keys }
    expect(await verdictOf(async () => attest(await attestationBy(set, 'RS256')))).toBe('InvalidClientAttestation')
    publishedKeys = { keys: keys.map(({ kty, kid, n, e }: Record<string, string>) => ({ kty, kid, n, e })) }
    pass(APP_NEGATIVE_SEC)
    for (const alg of RSA) expect((await attest(await attestationBy(set, alg))).clientId, alg).toBe(clientId)
  })

  it('does not with a key on secp256k1, which is no app’s here', async () => {
    const token = await attestationBy(keyset, 'ES256K')
    expect(await verdictOf(() => attest(token))).toBe('InvalidClientAttestation')
  })

  it('that changes its keys is believed as soon as the floor allows, and its old ones no more', async () => {
    await attest(await attestationBy(keyset, 'ES256'))
    const next = new Keyset([await JoseKey.generate(['ES256'], 'next')])
    publishedKeys = next.publicJwks
    expect(await verdictOf(async () => attest(await attestationBy(next, 'ES256')))).toBe('InvalidClientAttestation')
    pass(APP_REFRESH_FLOOR_SEC)
    expect(await verdictOf(async () => attest(await attestationBy(next, 'ES256')))).toBe('accepted')
    expect(await verdictOf(async () => attest(await attestationBy(keyset, 'ES256')))).toBe('InvalidClientAttestation')
  })

  it('that took a key back without using another is safe from it ten minutes later (row 127)', async () => {
    await attest(await attestationBy(keyset, 'ES256'))
    publishedKeys = { keys: keyset.publicJwks.keys.filter(({ kid }) => kid !== 'key-ES256') }
    pass(APP_FRESH_SEC)
    expect(APP_FRESH_SEC).toBeLessThanOrEqual(600)
    expect(await verdictOf(async () => attest(await attestationBy(keyset, 'ES256')))).toBe('InvalidClientAttestation')
  })

  it('has a stranger’s attestation refused, with one look at its host in a minute', async () => {
    await attest(await attestationBy(keyset, 'ES256'))
    pass(APP_REFRESH_FLOOR_SEC)
    const stranger = new Keyset([await JoseKey.generate(['ES256'], 'key-ES256')])
    for (let time = 0; time < 20; time++) {
      const token = await attestationBy(stranger, 'ES256')
      expect(await verdictOf(() => attest(token))).toBe('InvalidClientAttestation')
    }
    expect(asked).toHaveLength(4)
  })
})

describeOnEachEngine('an attestation', (open) => {
  it('has one claim, which one of two who come at once gets', async () => {
    const { db } = await open()
    const token = await attestationBy(keyset, 'ES256')
    const both = await Promise.all([attest(token), attest(token)])
    const first = await Promise.all(both.map(({ claim }) => claimOnce(db, [claim])))
    expect(first.flat().toSorted()).toEqual([false, true])
  })
})
