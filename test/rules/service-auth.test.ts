import { verifySignature } from '@atproto/crypto'
import fc from 'fast-check'
import { jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import type { KeyOf } from '../../src/identity/did-signature.ts'
import { parseServiceAuth, serviceAuthKeepUntilSec, verifyServiceAuth } from '../../src/identity/service-auth.ts'
import { type Did, parseDid } from '../../src/names.ts'
import { SPENT_MARGIN_SEC } from '../../src/platform/limits.ts'
import { Unavailable } from '../../src/refusals.ts'
import { type Changes, makeKey, makeServiceJwt, type Part, type TestKey } from '../kit/tokens.ts'
import { spoilt, type Verdict, verdictOf } from '../kit/verdicts.ts'

const NOW = 1_800_000_000
const SEED = 20_261_123
const ISS = parseDid('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa') as Did
const AUTHORITY = parseDid('did:plc:cccccccccccccccccccccccc') as Did
const AUDIENCES = [AUTHORITY, `${AUTHORITY}#atproto_space_host`]
const LXM = 'com.atproto.space.notifyWrite'
const K = makeKey('k256')
const P = makeKey('p256')

const token = (changes: Changes = {}, key: TestKey = K): string =>
  makeServiceJwt({ key, iss: ISS, aud: AUTHORITY, lxm: LXM, nowSec: NOW, ...changes })

function keysInTurn(...keys: (TestKey | null)[]): { keyOf: KeyOf; asked: boolean[] } {
  const asked: boolean[] = []
  const keyOf: KeyOf = async (did, { fresh }) => {
    expect(did).toBe(ISS)
    const key = keys[Math.min(asked.length, keys.length - 1)]
    asked.push(fresh)
    return key?.publicKey ?? null
  }
  return { keyOf, asked }
}

const judge = (text: string, keyOf: KeyOf = keysInTurn(K).keyOf, nowSec = NOW): Promise<Verdict> =>
  verdictOf(() => verifyServiceAuth({ token: text, nowSec, audiences: AUDIENCES, lxm: LXM, keyOf }))

describe('good service auth', () => {
  it('is taken with its claims as given', async () => {
    const { keyOf } = keysInTurn(P)
    const input = { nowSec: NOW, audiences: AUDIENCES, lxm: LXM, keyOf }
    const auth = await verifyServiceAuth({ ...input, token: token({ payload: { jti: 'once' } }, P) })
    expect(auth).toMatchObject({ iss: ISS, aud: AUTHORITY, lxm: LXM, jti: 'once', expSec: NOW + 60, alg: 'ES256' })
  })

  const accepted: { says: string; changes: Changes }[] = [
    { says: 'no typ', changes: { header: { typ: undefined } } },
    { says: 'kid #atproto', changes: { header: { kid: '#atproto' } } },
    { says: 'kid atproto', changes: { header: { kid: 'atproto' } } },
    { says: 'the service identifier as audience (row 148)', changes: { payload: { aud: AUDIENCES[1] } } },
    { says: 'a life of 300 s', changes: { payload: { exp: NOW + 300 } } },
    { says: 'no iat', changes: { payload: { iat: undefined } } },
    { says: 'iat 30 s ahead', changes: { payload: { iat: NOW + 30 } } },
  ]
  it.each(accepted)('may have $says', async ({ changes }) => {
    expect(await judge(token(changes))).toBe('accepted')
  })

  it('is taken until exp + 4, refused from exp + 5 on, and remembered for longer', async () => {
    const text = token()
    for (const late of [0, 4]) expect(await judge(text, undefined, NOW + 60 + late)).toBe('accepted')
    for (const late of [5, 6, 1000]) expect(await judge(text, undefined, NOW + 60 + late)).toBe('JwtExpired')
    expect(serviceAuthKeepUntilSec(parseServiceAuth(text, NOW))).toBe(NOW + 65 + SPENT_MARGIN_SEC)
  })
})

type Row = { row: number | string; says: string; text: string; code: Verdict }
const withPayload = (row: number | string, says: string, payload: Part, code: Verdict): Row => ({
  row,
  says,
  text: token({ payload }),
  code,
})
const withHeader = (row: number | string, says: string, header: Part, code: Verdict): Row => ({
  row,
  says,
  text: token({ header }),
  code,
})

describe('bad service auth', () => {
  const rows: Row[] = [
    { row: 5, says: '8,193 characters', text: 'A'.repeat(8_193), code: 'BadJwt' },
    { row: 26, says: 'two parts', text: 'a.b', code: 'BadJwt' },
    withPayload(27, 'a payload that is an array', '[]', 'BadJwt'),
    withPayload(51, 'iss twice', `{"iss":"${ISS}","iss":"${AUTHORITY}"}`, 'BadJwt'),
    ...['did:web:EVIL.com', `${ISS}#atproto_labeler`, `${ISS}#atproto`, 'alice.example', '', 7, [ISS], undefined].map(
      (iss) => withPayload(151, `iss ${JSON.stringify(iss)}`, { iss }, 'BadJwtIss'),
    ),
    ...['#atproto_labeler', '#atproto_space', '', 7, null, `${ISS}#atproto`].map((kid) =>
      withHeader(151, `kid ${JSON.stringify(kid)}`, { kid }, 'BadJwt'),
    ),
    withPayload(149, 'no aud', { aud: undefined }, 'BadJwt'),
    ...[ISS, `${AUTHORITY}#atproto_pds`, `${AUTHORITY} `, [AUTHORITY], '', null].map((aud) =>
      withPayload(149, `aud ${JSON.stringify(aud)}`, { aud }, 'BadJwtAudience'),
    ),
    ...[undefined, 'com.atproto.space.registerNotify', `${LXM} `, [LXM], '', '*', null].map((lxm) =>
      withPayload(147, `lxm ${JSON.stringify(lxm)}`, { lxm }, 'BadJwtLexiconMethod'),
    ),
    withPayload(152, 'a life of 301 s', { exp: NOW + 301 }, 'BadJwt'),
    withPayload(152, 'no iat and exp = now + 306', { iat: undefined, exp: NOW + 306 }, 'BadJwt'),
    withPayload(152, 'iat 31 s ahead', { iat: NOW + 31 }, 'BadJwt'),
    withPayload(152, 'iat after exp', { iat: NOW + 20, exp: NOW + 10 }, 'BadJwt'),
    ...[undefined, null, '1', NOW + 0.5].map((exp) =>
      withPayload(152, `exp ${JSON.stringify(exp)}`, { exp }, 'BadJwt'),
    ),
    withPayload(
      34,
      'exp 1e999',
      `{"iss":"${ISS}","aud":"${AUTHORITY}","lxm":"${LXM}","jti":"j","exp":1e999}`,
      'BadJwt',
    ),
    withPayload(36, 'exp 6 s ago', { iat: NOW - 66, exp: NOW - 6 }, 'JwtExpired'),
    ...[undefined, '', 7, 'j'.repeat(257), 'a\nb'].map((jti) =>
      withPayload(152, `jti ${JSON.stringify(jti)?.slice(0, 20)}`, { jti }, 'BadJwt'),
    ),
    ...[
      'at+jwt',
      'refresh+jwt',
      'dpop+jwt',
      'jwt',
      'atproto-space-delegation+jwt',
      'atproto-space-credential+jwt',
      'atproto-client-attestation+jwt',
      '',
      null,
    ].map((typ) => withHeader(174, `typ ${JSON.stringify(typ)}`, { typ }, 'BadJwtType')),
    ...['none', 'None', '', undefined, ['ES256K']].map((alg) =>
      withHeader(46, `alg ${JSON.stringify(alg)}`, { alg }, 'BadJwt'),
    ),
    ...['ES256', 'HS256', 'RS256', 'EdDSA'].map((alg) => withHeader(49, `alg ${alg}`, { alg }, 'BadJwtSignature')),
    ...['jwk', 'jku', 'x5u', 'x5c', 'crit', 'b64'].map((name) =>
      withHeader(44, `a header ${name}`, { [name]: ['x'] }, 'BadJwt'),
    ),
    { row: 55, says: 'a high S', text: token({ s: 'high' }), code: 'BadJwtSignature' },
    { row: 54, says: 'no signature', text: token({ signature: new Uint8Array() }), code: 'BadJwtSignature' },
    { row: 54, says: '65 bytes', text: token({ signature: new Uint8Array(65).fill(1) }), code: 'BadJwtSignature' },
    { row: 54, says: '64 zero bytes', text: token({ signature: new Uint8Array(64) }), code: 'BadJwtSignature' },
    { row: 54, says: 'the signature of a stranger', text: token({}, makeKey('k256')), code: 'BadJwtSignature' },
  ]
  it.each(rows)('row $row: with $says is $code', async ({ text, code }) => {
    expect(await judge(text)).toBe(code)
  })

  it('says wrong audience before wrong method, and both before a key is asked for', async () => {
    const { keyOf, asked } = keysInTurn(K)
    expect(await judge(token({ payload: { aud: ISS, lxm: 'x.y.z' } }), keyOf)).toBe('BadJwtAudience')
    expect(await judge(token({ payload: { lxm: 'x.y.z' } }), keyOf)).toBe('BadJwtLexiconMethod')
    expect(asked).toEqual([])
  })
})

describe('the key of service auth', () => {
  it('is asked for afresh exactly once, also after a change of curve', async () => {
    for (const old of [makeKey('k256'), P]) {
      const { keyOf, asked } = keysInTurn(old, K)
      expect(await judge(token(), keyOf)).toBe('accepted')
      expect(asked).toEqual([false, true])
    }
    const { keyOf, asked } = keysInTurn(makeKey('k256'), P, K)
    expect(await judge(token(), keyOf)).toBe('BadJwtSignature')
    expect(asked).toEqual([false, true])
  })

  it('missing is BadJwtIss; unreachable is no refusal', async () => {
    expect(await judge(token(), keysInTurn(null).keyOf)).toBe('BadJwtIss')
    const keyOf: KeyOf = async () => {
      throw new Unavailable('UpstreamFailure', 'plc directory')
    }
    await expect(judge(token(), keyOf)).rejects.toBeInstanceOf(Unavailable)
  })
})

describe('service auth against other implementations', () => {
  it('ours to take are theirs to take', async () => {
    for (let i = 0; i < 30; i++) {
      const es256 = token({}, P)
      expect(await judge(es256, keysInTurn(P).keyOf)).toBe('accepted')
      await jwtVerify(es256, P.publicKey.keyObject, { audience: AUTHORITY, currentDate: new Date(NOW * 1000) })
      const { jws } = parseServiceAuth(token(), NOW)
      expect(await verifySignature(K.didKey, jws.signingInput, jws.signature, { jwtAlg: 'ES256K' })).toBe(true)
    }
  })

  it(`a spoilt token is refused, or is the very token it was (seed ${SEED})`, async () => {
    const good = token()
    await fc.assert(
      fc.asyncProperty(spoilt(good), async (text) => {
        const keyOf: KeyOf = async () => K.publicKey
        expect((await judge(text, keyOf)) === 'accepted').toBe(text === good)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})
