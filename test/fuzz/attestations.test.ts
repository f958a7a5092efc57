/**
 * Attestations and what apps publish about themselves, spoilt at every level: beside `jose`, which takes whatever Reeve takes. What
 * Reeve alone refuses stands on the list of divergences. Nothing makes anything but a refusal.
 */
import { createLocalJWKSet, importJWK, type JWTPayload, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { type AttestedApp, parseAttestation, verifyAttestation } from '../../src/apps/attestation.ts'
import { keySourceOf, keysOfSet } from '../../src/identity/app-document.ts'
import { type ClientId, type Did, parseClientId } from '../../src/names.ts'
import { parseStrictJson } from '../../src/platform/strict-json.ts'
import type { Refusal } from '../../src/refusals.ts'
import { ALGS, CLIENT_ID, makeAppKey, published } from '../kit/attestations.ts'
import {
  answerOrRefusal,
  CANARY,
  type Dice,
  fuzz,
  mutateJson,
  mutateJws,
  requireRefusal,
  respellJson,
  SEED,
} from '../kit/mutate.ts'
import { base64Url } from '../kit/tokens.ts'
import { requireListed } from './divergences.ts'

const NOW = 1_800_000_000
const COMMUNITY = 'did:plc:cccccccccccccccccccccccc' as Did
const HOST = `${COMMUNITY}#atproto_space_host`
const JKT = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'
const JTI = `${CANARY}-0123456789`
const CODES = /^InvalidClientAttestation$/

const KEYS = ALGS.map((alg) => makeAppKey(alg))
const PUBLISHED = KEYS.map((key) => published(key))
const theirKeys = createLocalJWKSet({ keys: KEYS.map(({ jwk }) => ({ ...jwk, use: 'sig' })) as never })

const POOL = {
  names: 'iss sub aud exp iat nbf jti alg kid typ crit b64 jwk jku x5u x5c x5t cnf client_id jkt'.split(' '),
  values: [
    ...[NOW, NOW + 60, NOW + 300, NOW + 301, NOW + 31, NOW - 4, NOW - 5, NOW + 60.5],
    ...[CLIENT_ID, `${CLIENT_ID}?`, 'https://APP.example.com/', 'http://localhost:3000/a', HOST, [HOST], COMMUNITY],
    ...[...ALGS, 'none', 'HS256', 'ES256K', 'ES512', 'PS512', ...KEYS.map(({ jwk }) => jwk.kid)],
    ...[{ jkt: JKT }, { kid: JKT }, { jkt: `${JKT} ` }, KEYS[0]?.jwk, ['b64'], 'JWT', `${CANARY} `],
    'application/atproto-client-attestation+jwt',
  ],
}

const REASONS: Readonly<Record<string, string>> = {
  'the attestation is not a well-formed compact JWT': 'base64url, JSON',
  'alg must be ES256, ES384, EdDSA, PS256 or RS256': 'client attestation, `alg`',
  'the header has members that are not taken': 'header members `jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`',
  'kid must be 1 to 256 characters': 'protocol',
  'iss must be a client id in its canonical spelling': 'client id',
  'aud must be one text, the space host of the space’s authority': 'client attestation, `aud`',
  'exp and iat must be there, and with nbf be whole seconds': 'client attestation, lifetime',
  'the attestation lives longer than 300 s, or begins in the future': 'client attestation, lifetime',
  'jti must be 1 to 256 characters, without control characters': '`jti` of any token',
  'cnf must name one key, by jkt or by kid': 'client attestation, `cnf`',
  'cnf is not the key that was proven': 'client attestation, `cnf`',
  'typ must be atproto-client-attestation+jwt': 'protocol',
  'sub must be the same client id as iss': 'protocol',
}

async function ours(token: string): Promise<{ app: AttestedApp; refusal: null } | { app: null; refusal: Refusal }> {
  try {
    const attestation = parseAttestation(token, { authority: COMMUNITY, nowSec: NOW })
    const about = { holder: { jkt: JKT }, keysOf: async () => PUBLISHED, nowSec: NOW }
    return { app: await verifyAttestation(attestation, about), refusal: null }
  } catch (error) {
    return { app: null, refusal: requireRefusal(error, CODES) }
  }
}

/** The claims that `jose` takes, with what it can check of an attestation; null when it takes none. */
async function joseTakes(token: string): Promise<JWTPayload | null> {
  const options = { algorithms: [...ALGS], audience: HOST, typ: 'atproto-client-attestation+jwt', clockTolerance: 30 }
  const { payload } = await jwtVerify(token, theirKeys, {
    ...{ ...options, currentDate: new Date(NOW * 1000), requiredClaims: ['exp', 'jti', 'iss', 'sub'] },
  }).catch(() => ({ payload: null }))
  return payload
}

describe('a spoilt attestation', () => {
  it(`is taken only where jose takes it, and refused alone only for a listed reason (seed ${SEED})`, async () => {
    const words = await fuzz(
      'attestation',
      3_000,
      (dice) => {
        const key = dice.pick(KEYS)
        const payload = { iss: CLIENT_ID, sub: CLIENT_ID, aud: HOST, iat: NOW, exp: NOW + 60, jti: JTI }
        const header = { alg: key.alg, typ: 'atproto-client-attestation+jwt', kid: key.jwk.kid }
        const parts = { header, payload: dice.oneIn(3) ? { ...payload, cnf: { jkt: JKT } } : payload }
        return mutateJws(dice, parts, key.sign, POOL)
      },
      async (token, timed) => {
        timed(() => answerOrRefusal(() => parseAttestation(token, { authority: COMMUNITY, nowSec: NOW }), CODES))
        const { app, refusal } = await ours(token)
        const theirs = await joseTakes(token)
        if (refusal) {
          if (!theirs || isLate(theirs)) return 'refused by both'
          return `stricter: ${requireListed(REASONS, refusal.says)}`
        }
        expect(theirs).not.toBeNull()
        const parts = token.split('.')
        const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()))
        expect(parts.every((part) => base64Url(Buffer.from(part, 'base64url')) === part)).toBe(true)
        expect([claims.iss, claims.sub, claims.aud]).toEqual([app.clientId, app.clientId, HOST])
        expect(parseClientId(claims.iss)).toBe(app.clientId)
        expect(claims.exp > NOW - 5 && claims.exp - claims.iat <= 300 && claims.iat <= NOW + 30).toBe(true)
        expect([undefined, JKT]).toContain(claims.cnf?.jkt)
        expect(Object.keys(header).filter((name) => /^(jwk|jku|x5.*|crit|b64)$/.test(name))).toEqual([])
        return 'taken by both'
      },
    )
    expect(words.get('taken by both')).toBeGreaterThan(20)
    expect(words.get('refused by both')).toBeGreaterThan(500)
    expect(words.get('stricter: base64url, JSON')).toBeGreaterThan(5)
    expect(words.get('stricter: client attestation, lifetime')).toBeGreaterThan(5)
  })
})

/** Their tolerance is one for all times, and ours is 5 s for the end. */
const isLate = ({ exp = 0 }: JWTPayload): boolean => exp <= NOW - 5

describe('what an app publishes, spoilt,', () => {
  const good = {
    client_id: CLIENT_ID,
    redirect_uris: ['https://app.example.com/back'],
    jwks: { keys: KEYS.map(({ jwk }, at) => (at % 2 ? { ...jwk, use: 'sig' } : { ...jwk, key_ops: ['verify'] })) },
  }
  const pool = {
    names: 'client_id jwks jwks_uri keys kty crv kid use key_ops alg x y n e d p q k oth priv revoked nbf exp'.split(
      ' ',
    ),
    values: [
      ...[CLIENT_ID, 'EC', 'OKP', 'RSA', 'oct', 'P-256', 'P-384', 'Ed25519', 'secp256k1', 'AQAB', 'AQ', 'AA', 'sig'],
      ...['enc', ['verify'], ['encrypt'], ...ALGS, ...KEYS.map(({ jwk }) => jwk), { keys: [] }, 1_900_000_000],
      ...['https://app.example.com/keys', 'http://127.0.0.1/', KEYS[0]?.privateJwk],
    ],
  }
  /** Everything that a key set is, once it was taken. */
  async function requireSound(set: { keys: Record<string, unknown>[] }): Promise<void> {
    const keys = keysOfSet(set)
    expect(set.keys.length).toBeLessThanOrEqual(20)
    expect(set.keys.flatMap(Object.keys).filter((name) => /^(d|p|q|dp|dq|qi|oth|k|priv)$/.test(name))).toEqual([])
    const kids = keys.map(({ kid }) => kid).filter((kid) => kid !== null)
    expect(new Set(kids).size).toBe(kids.length)
    for (const { kid, algs, keyObject } of keys) {
      expect(keyObject.type).toBe('public')
      const jwk = keyObject.export({ format: 'jwk' })
      expect(set.keys.some((one) => one['kid'] === (kid ?? undefined) && isSame(one, jwk))).toBe(true)
      // Without the other members: theirs reads all that any kind of key could have.
      for (const alg of algs) await importJWK(jwk as never, alg)
    }
  }
  const isSame = (one: Record<string, unknown>, other: object): boolean =>
    Object.entries(other).every(([name, value]) => one[name] === value)

  const textOf = (dice: Dice): string => {
    const text = JSON.stringify(mutateJson(dice, good, pool)) ?? ''
    return dice.oneIn(3) ? respellJson(dice, text) : text
  }

  it(`is read as public keys that jose can use, or refused (seed ${SEED})`, async () => {
    const words = await fuzz('client metadata', 4_000, textOf, async (text, timed) => {
      const reading = timed(() => {
        const json = parseStrictJson(text, { maxDepth: 32 })
        if (!json) return null
        return answerOrRefusal(() => {
          const source = keySourceOf(CLIENT_ID as ClientId, json)
          return 'inline' in source ? { source, keys: keysOfSet(source.inline) } : { source, keys: null }
        }, CODES)
      })
      if (reading === null) return 'no JSON'
      if (reading.refusal) return 'refused'
      expect(JSON.parse(text).client_id).toBe(CLIENT_ID)
      if (reading.answer.keys === null) return 'keys elsewhere'
      await requireSound(JSON.parse(text).jwks)
      return reading.answer.keys.length === KEYS.length ? 'all keys' : 'some keys'
    })
    for (const word of ['no JSON', 'refused', 'all keys', 'some keys']) {
      expect(words.get(word), word).toBeGreaterThan(100)
    }
  })
})
