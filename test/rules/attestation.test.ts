import fc from 'fast-check'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { ATTESTATION, type HolderKey, parseAttestation, verifyAttestation } from '../../src/apps/attestation.ts'
import type { AppKeysOf } from '../../src/identity/app-metadata.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import type { PublicJwk } from '../../src/platform/jwk.ts'
import { SPENT_MARGIN_SEC } from '../../src/platform/limits.ts'
import { claimId } from '../../src/platform/once.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { ALGS, type AttestationInput, CLIENT_ID, makeAppKey, makeAttestation, published } from '../kit/attestations.ts'
import {
  base64Url,
  isHighS,
  makeDelegation,
  makeDpopProof,
  makeKey,
  makeServiceJwt,
  thumbprintOf,
  twinOf,
} from '../kit/tokens.ts'
import { spoilt, type Verdict, verdictOf } from '../kit/verdicts.ts'

const NOW = 1_800_000_000
const SEED = 20_261_123
const AUTHORITY = 'did:plc:cccccccccccccccccccccccc' as Did
const OTHER = 'did:plc:dddddddddddddddddddddddd' as Did
const HOST = `${AUTHORITY}#atproto_space_host`
const KEYS = ALGS.map((alg) => makeAppKey(alg))
const [es256 = makeAppKey('ES256')] = KEYS
const holderKey = makeKey('p256')
const HOLDER: HolderKey = { jkt: thumbprintOf(holderKey) }

const attestation = (changes: Partial<AttestationInput> = {}): string =>
  makeAttestation({ key: es256, authority: AUTHORITY, nowSec: NOW, ...changes })

/** Lists of keys, one for each time that they are asked for; the last one stays. */
function keysInTurn(...lists: (readonly PublicJwk[])[]): { keysOf: AppKeysOf; asked: boolean[] } {
  const asked: boolean[] = []
  const keysOf: AppKeysOf = async (_clientId, { fresh }) => {
    asked.push(fresh)
    return lists[Math.min(asked.length, lists.length) - 1] ?? []
  }
  return { keysOf, asked }
}
const PUBLISHED = KEYS.map((key) => published(key))

interface Asking {
  readonly keysOf?: AppKeysOf
  readonly holder?: HolderKey
  readonly nowSec?: number
  readonly authority?: Did
}

const attest = (token: string, asking: Asking = {}) => {
  const { keysOf = keysInTurn(PUBLISHED).keysOf, holder = HOLDER, nowSec = NOW, authority = AUTHORITY } = asking
  return verifyAttestation(parseAttestation(token, { authority, nowSec }), { holder, keysOf, nowSec })
}
const judge = (token: string, asking?: Asking): Promise<Verdict> => verdictOf(async () => attest(token, asking))
const BAD: Verdict = 'InvalidClientAttestation'

describe('an attestation', () => {
  it.each(KEYS)('by a key for $alg says which app asks, and what it uses up', async (key) => {
    const token = attestation({ key, jti: 'once' })
    expect(await attest(token)).toEqual({
      clientId: CLIENT_ID,
      claim: {
        kind: 'attestation',
        id: claimId('attestation', CLIENT_ID, 'once'),
        keepUntilSec: NOW + 65 + SPENT_MARGIN_SEC,
      },
    })
    // Another library agrees that it is a good one.
    const set = createLocalJWKSet({ keys: KEYS.map(({ jwk }) => jwk) as never })
    const options = { audience: HOST, issuer: CLIENT_ID, subject: CLIENT_ID, typ: ATTESTATION.typ }
    const { payload } = await jwtVerify(token, set, { ...options, currentDate: new Date(NOW * 1000) })
    expect(payload.jti).toBe('once')
  })

  it('that is used twice has one claim to spend', async () => {
    const token = attestation()
    const [one, other] = await Promise.all([attest(token), attest(token)])
    expect(one.claim.id).toEqual(other.claim.id)
    // The signature can be another one: it is the jti that is used up.
    const again = await attest(attestation({ jti: parseAttestation(token, { authority: AUTHORITY, nowSec: NOW }).jti }))
    expect(again.claim.id).toEqual(one.claim.id)
    expect((await attest(attestation())).claim.id).not.toEqual(one.claim.id)
  })

  const fine: { says: string; changes: Partial<AttestationInput>; asking?: Asking }[] = [
    { says: 'a life of 300 s', changes: { payload: { exp: NOW + 300 } } },
    { says: 'an iat 30 s ahead', changes: { payload: { iat: NOW + 30, exp: NOW + 90 } } },
    { says: 'an nbf', changes: { payload: { nbf: NOW } } },
    { says: 'members that nobody knows', changes: { payload: { note: [1, { a: null }] }, header: { note: 1 } } },
    { says: 'the thumbprint of the proven key', changes: { payload: { cnf: HOLDER } } },
    {
      says: 'the did:key of the proven key',
      changes: { payload: { cnf: { kid: holderKey.didKey } } },
      asking: { holder: { kid: holderKey.didKey } },
    },
    { says: 'no binding, for whoever signs', changes: {}, asking: { holder: { kid: holderKey.didKey } } },
    { says: 'the longest jti', changes: { payload: { jti: 'j'.repeat(256) } } },
  ]
  it.each(fine)('may have $says', async ({ changes, asking }) => {
    expect(await judge(attestation(changes), asking)).toBe('accepted')
  })

  it('may name no key where only one could have signed it', async () => {
    const token = attestation({ header: { kid: undefined } })
    expect(await judge(token)).toBe('accepted')
    // Keys of other algorithms, for other uses or of other days aren't meant.
    const others = [published(makeAppKey('ES256', 'old'), { exp: NOW }), published(makeAppKey('ES384'))]
    expect(await judge(token, { keysOf: keysInTurn([...others, published(es256)]).keysOf })).toBe('accepted')
  })

  it('may be signed with either S on P-256, as browsers make them', async () => {
    const input = attestation().split('.').slice(0, 2).join('.')
    const signature = es256.sign(input)
    const twins = [signature, twinOf('p256', signature)]
    expect(new Set(twins.map((twin) => isHighS('p256', twin))).size).toBe(2)
    for (const twin of twins) expect(await judge(`${input}.${base64Url(twin)}`)).toBe('accepted')
  })

  it('is taken until exp + 4, and from exp + 5 on it is not', async () => {
    const token = attestation()
    for (const late of [0, 4]) expect(await judge(token, { nowSec: NOW + 60 + late })).toBe('accepted')
    for (const late of [5, 6, 1_000_000]) expect(await judge(token, { nowSec: NOW + 60 + late })).toBe(BAD)
  })
})

type Row = readonly [row: string, says: string, token: string, asking?: Asking]
const payload = (row: number, says: string, change: AttestationInput['payload']): Row => [
  String(row),
  says,
  attestation({ payload: change ?? {} }),
]
const header = (row: number | string, says: string, change: AttestationInput['header']): Row => [
  String(row),
  says,
  attestation({ header: change ?? {} }),
]
const GOOD = { iss: CLIENT_ID, sub: CLIENT_ID, aud: HOST, iat: NOW, exp: NOW + 60, jti: 'j' }
/** The good payload as text, with one piece of it replaced. */
const text = (piece: string, by: string): string => {
  const whole = JSON.stringify(GOOD)
  expect(whole).toContain(piece)
  return whole.replace(piece, by)
}

const NOT_CLIENTS: readonly unknown[] = [
  'http://app.example.com/client-metadata.json',
  'https://u@app.example.com/a',
  'https://u:p@app.example.com/a',
  'https://app.example.com:8443/a',
  'https://app.example.com:443/a',
  'https://app.example.com/a#',
  'https://app.example.com/a#b',
  'https://8.8.8.8/a',
  'https://127.0.0.1/a',
  'https://[::1]/a',
  'https://localhost/a',
  'http://localhost',
  'http://localhost/',
  'http://localhost/?redirect_uri=http%3A%2F%2F127.0.0.1%2F',
  'https://app.local/a',
  'https://printer/a',
  `https://app.example.com/${'a'.repeat(2_049 - 'https://app.example.com/'.length)}`,
  'https://APP.example.com/a',
  'https://app.example.com/a/../b',
  'https://app.example.com/%2e/b',
  'https://app.example.com/a%2eb',
  'https://app.example.com/a?',
  'https://app.example.com',
  AUTHORITY,
  '',
  7,
  null,
  [CLIENT_ID],
  undefined,
]

/** Bad by what they say: the app isn't asked for its keys. */
const BY_THEMSELVES: readonly Row[] = [
  // form
  ['115', 'no token at all', ''],
  ['115', 'three letters', 'a.b.c'],
  ['115', 'two parts', attestation().split('.').slice(0, 2).join('.')],
  ['115', 'four parts', `${attestation()}.`],
  ['115', 'a padded part', `${attestation()}=`],
  ['115', '8,193 characters', 'A'.repeat(8_193)],
  header(115, 'a header that is a list', '[]'),
  payload(115, 'a payload that is a text', '"x"'),
  payload(115, 'a claim twice', text('{', `{"iss":"https://evil.example.com/a",`)),
  ['115', 'no signature', `${attestation().split('.').slice(0, 2).join('.')}.`],
  // typ
  ...['JWT', 'at+jwt', 'dpop+jwt', 'ATPROTO-CLIENT-ATTESTATION+JWT', 'application/atproto-client-attestation+jwt'].map(
    (typ) => header(135, `typ ${typ}`, { typ }),
  ),
  ...['atproto-space-delegation+jwt', 'atproto-space-credential+jwt', 7, null, undefined].map((typ) =>
    header(135, `typ ${typ}`, { typ }),
  ),
  // alg
  ...['none', 'None', '', 'HS256', 'ES256K', 'ES512', 'RS384', 'RS512', 'PS384', 'PS512', 'RS1', 'Ed25519'].map((alg) =>
    header(126, `alg ${alg}`, { alg }),
  ),
  ...['es256', 'toString', '__proto__', 7, null, ['ES256'], undefined].map((alg) =>
    header(126, `alg ${JSON.stringify(alg)}`, { alg }),
  ),
  header(126, 'alg of a longer signature', { alg: 'ES384' }),
  // what no header may bring
  header('T-7', 'jwk', { jwk: es256.jwk }),
  header('T-7', 'jku', { jku: 'https://app.example.com/jwks.json' }),
  header('T-7', 'x5u', { x5u: 'https://app.example.com/x5u' }),
  header('T-7', 'x5c', { x5c: [] }),
  header('T-7', 'x5t', { x5t: 'x' }),
  header('T-7', 'crit', { crit: ['exp'] }),
  header('T-7', 'b64', { b64: true }),
  // iss and sub
  payload(116, 'another sub', { sub: 'https://app.example.com/other.json' }),
  payload(116, 'no sub', { sub: undefined }),
  payload(116, 'sub as a list', { sub: [CLIENT_ID] }),
  ...NOT_CLIENTS.map((iss) => payload(117, `iss ${JSON.stringify(iss)?.slice(0, 60)}`, { iss, sub: iss })),
  payload(118, 'sub in another spelling', { sub: CLIENT_ID.replace('app', 'APP') }),
  // aud
  ...[`${OTHER}#atproto_space_host`, AUTHORITY, `${AUTHORITY}#atproto_pds`, `${HOST}/`, HOST.toUpperCase(), ''].map(
    (aud) => payload(128, `aud ${aud}`, { aud }),
  ),
  ...[[HOST], [HOST, AUTHORITY], { host: HOST }, 7, null, undefined].map((aud) =>
    payload(128, `aud ${JSON.stringify(aud)}`, { aud }),
  ),
  // times and jti
  payload(129, 'expired', { iat: NOW - 65, exp: NOW - 5 }),
  payload(129, 'a life of 301 s', { exp: NOW + 301 }),
  payload(129, 'a life of a day', { exp: NOW + 86_400 }),
  payload(129, 'exp before iat', { iat: NOW + 10, exp: NOW + 10 }),
  payload(129, 'iat 31 s ahead', { iat: NOW + 31, exp: NOW + 90 }),
  payload(129, 'nbf 31 s ahead', { nbf: NOW + 31 }),
  payload(129, 'no iat', { iat: undefined }),
  payload(129, 'no exp', { exp: undefined }),
  payload(129, 'exp 1e999', text(`${NOW + 60}`, '1e999')),
  payload(129, 'exp as text', { exp: String(NOW + 60) }),
  payload(129, 'half a second', { exp: NOW + 60.5 }),
  ...[undefined, '', 7, null, 'j'.repeat(257), 'a\u0000b', 'a\n'].map((jti) =>
    payload(129, `jti ${JSON.stringify(jti)?.slice(0, 20)}`, { jti }),
  ),
  // cnf
  payload(130, 'another key’s thumbprint', { cnf: { jkt: thumbprintOf(makeKey('p256')) } }),
  payload(130, 'another did:key', { cnf: { kid: makeKey('p256').didKey } }),
  payload(130, 'the did:key, where a thumbprint was proven', { cnf: { kid: holderKey.didKey } }),
  [
    '130',
    'the thumbprint, where a did:key was proven',
    attestation({ payload: { cnf: HOLDER } }),
    { holder: { kid: holderKey.didKey } },
  ],
  payload(130, 'the thumbprint as if it were a did:key', { cnf: { kid: thumbprintOf(holderKey) } }),
  payload(130, 'both', { cnf: { ...HOLDER, kid: holderKey.didKey } }),
  payload(130, 'another way to name a key', { cnf: { jwk: holderKey.jwk } }),
  payload(130, 'another way beside a good one', { cnf: { ...HOLDER, 'x5t#S256': 'x' } }),
  ...[{}, null, 'x', [], 7, { jkt: 7 }, { jkt: null }, { jkt: '' }].map((cnf) =>
    payload(130, `cnf ${JSON.stringify(cnf)}`, { cnf }),
  ),
  ...['', 7, null, 'k'.repeat(257), ['ES256-1']].map((kid) =>
    header(124, `kid ${JSON.stringify(kid)?.slice(0, 20)}`, { kid }),
  ),
  ['126', 'a signature in DER', attestation({ signature: new Uint8Array(70).fill(0x30) })],
  ['126', 'a signature of 63 bytes', attestation({ signature: new Uint8Array(63).fill(1) })],
  ['126', 'a signature by an RSA key of 1,024 bits', attestation({ key: makeAppKey('RS256', 'RS256-1', 1_024) })],
  ['128', 'another authority asked', attestation(), { authority: OTHER }],
]

/** Bad by the keys that the app publishes. */
const BY_THEIR_KEYS: readonly Row[] = [
  header(124, 'a kid that nobody publishes', { kid: 'other' }),
  header(126, 'the kid of a key of another algorithm', { kid: 'EdDSA-1' }),
  header(126, 'the alg of another kind of key', { alg: 'EdDSA' }),
  [
    '124',
    'no kid, and two keys that could be meant',
    attestation({ header: { kid: undefined } }),
    { keysOf: keysInTurn([...PUBLISHED, published(makeAppKey('ES256', 'second'))]).keysOf },
  ],
  ['126', 'the signature of a stranger', attestation({ key: makeAppKey('ES256') })],
  ['126', 'a signature of r and s as zero', attestation({ signature: new Uint8Array(64) })],
  ['126', 'no key at all', attestation(), { keysOf: keysInTurn([]).keysOf }],
  [
    '127',
    'a key whose time has not come',
    attestation(),
    { keysOf: keysInTurn([published(es256, { nbf: NOW + 1 })]).keysOf },
  ],
  ['127', 'a key whose time is over', attestation(), { keysOf: keysInTurn([published(es256, { exp: NOW })]).keysOf }],
]

const asCases = (rows: readonly Row[]) => rows.map(([row, says, token, asking = {}]) => ({ row, says, token, asking }))

describe('an attestation is refused with', () => {
  it.each(asCases(BY_THEMSELVES))('$row: $says, and nobody is asked', async ({ token, asking }) => {
    const { keysOf, asked } = keysInTurn(PUBLISHED)
    expect(await judge(token, { ...asking, keysOf })).toBe(BAD)
    expect(asked).toEqual([])
  })

  it.each(asCases(BY_THEIR_KEYS))('$row: $says', async ({ token, asking }) => {
    expect(await judge(token, asking)).toBe(BAD)
  })

  it('PS256 by a key that is for RS256, and the other way round', async () => {
    for (const [by, called] of [
      ['PS256', 'RS256'],
      ['RS256', 'PS256'],
    ] as const) {
      const key = makeAppKey(by)
      const keysOf = keysInTurn([published(key, { alg: by })]).keysOf
      expect(await judge(attestation({ key }), { keysOf })).toBe('accepted')
      expect(await judge(attestation({ key, header: { alg: called } }), { keysOf })).toBe(BAD)
      // A key that names no algorithm can do both, but a signature is of one kind.
      const either = keysInTurn([published(key)]).keysOf
      expect(await judge(attestation({ key, header: { alg: called } }), { keysOf: either })).toBe(BAD)
    }
  })

  it('another kind of token in its place, however good', async () => {
    const key = makeKey('p256')
    const iss = OTHER
    const space = spaceUriOf(AUTHORITY, 'com.example.forum' as Nsid, 'self')
    const tokens: readonly string[] = [
      makeDelegation({ key, iss, space, nowSec: NOW }),
      makeServiceJwt({ key, iss, aud: AUTHORITY, lxm: 'com.atproto.space.getSpaceCredential', nowSec: NOW }),
      makeDpopProof({ key, method: 'POST', url: 'https://reeve.example.com/', nowSec: NOW }),
    ]
    for (const token of tokens) expect(await judge(token)).toBe(BAD)
  })

  it(`any spoilt text, and never an error of another kind (seed ${SEED})`, async () => {
    const good = attestation()
    await fc.assert(
      fc.asyncProperty(spoilt(good), async (token) => {
        expect(await judge(token)).toBe(token === good ? 'accepted' : BAD)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('the keys of an app', () => {
  it('are asked for once when the signature holds', async () => {
    const { keysOf, asked } = keysInTurn(PUBLISHED)
    await attest(attestation(), { keysOf })
    expect(asked).toEqual([false])
  })

  it.each([
    ['a kid that isn’t there yet', [published(makeAppKey('ES256', 'old'))]],
    ['another key under the same kid', [published(makeAppKey('ES256'))]],
    ['a key of another algorithm under the same kid', [{ ...published(makeAppKey('ES384')), kid: 'ES256-1' }]],
  ])('are asked for once more past what is remembered: %s', async (_says, before) => {
    const { keysOf, asked } = keysInTurn(before, PUBLISHED)
    expect(await judge(attestation(), { keysOf })).toBe('accepted')
    expect(asked).toEqual([false, true])
    const { keysOf: same, asked: askedAgain } = keysInTurn(before)
    expect(await judge(attestation(), { keysOf: same })).toBe(BAD)
    expect(askedAgain).toEqual([false, true])
  })

  it('are asked for once more when two could be meant, and one of them may be gone', async () => {
    const both = [...PUBLISHED, published(makeAppKey('ES256', 'second'))]
    const token = attestation({ header: { kid: undefined } })
    expect(await judge(token, { keysOf: keysInTurn(both, PUBLISHED).keysOf })).toBe('accepted')
  })

  it('that can’t be had say nothing about the attestation', async () => {
    const keysOf: AppKeysOf = async () => {
      throw new Unavailable('UpstreamTimeout', 'client-metadata')
    }
    await expect(attest(attestation(), { keysOf })).rejects.toBeInstanceOf(Unavailable)
    const unpaid: AppKeysOf = async () => {
      throw new Refusal('RateLimitExceeded', 'too many')
    }
    expect(await judge(attestation(), { keysOf: unpaid })).toBe('RateLimitExceeded')
  })
})

it('a refusal says what is wrong, and repeats nothing', () => {
  const says = BY_THEMSELVES.flatMap(([, , token, asking]) => {
    try {
      parseAttestation(token, { authority: asking?.authority ?? AUTHORITY, nowSec: NOW })
      return []
    } catch (error) {
      return error instanceof Refusal ? [error.says] : ['an error']
    }
  })
  expect(new Set(says).size).toBeGreaterThan(10)
  expect(says.join('\n')).not.toMatch(/did:|https:|eyJ|an error/)
})
