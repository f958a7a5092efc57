import { createHmac } from 'node:crypto'
import { verifySignature } from '@atproto/crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import fc from 'fast-check'
import { jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import {
  delegationSignatureHolds,
  parseBearer,
  parseDelegation,
  verifyDelegationSignature,
} from '../../src/credential/delegation.ts'
import { DELEGATION, keepUntilSec } from '../../src/credential/token-classes.ts'
import type { KeyOf } from '../../src/identity/did-signature.ts'
import { type Did, type Nsid, parseDid, parseNsid, spaceUriOf } from '../../src/names.ts'
import { SPENT_MARGIN_SEC } from '../../src/platform/limits.ts'
import { Unavailable } from '../../src/refusals.ts'
import {
  base64Url,
  type Changes,
  makeDelegation,
  makeJws,
  makeKey,
  type Part,
  type TestKey,
  twinOf,
} from '../kit/tokens.ts'
import { spoilt, type Verdict, verdictOf, withBitFlipped } from '../kit/verdicts.ts'

const NOW = 1_800_000_000
const SEED = 20_261_121
const ALICE = parseDid('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa') as Did
const COMMUNITY = parseDid('did:plc:cccccccccccccccccccccccc') as Did
const OTHERS = parseDid('did:plc:dddddddddddddddddddddddd') as Did
const FORUM = parseNsid('com.atmoboards.forum') as Nsid
const space = spaceUriOf(COMMUNITY, FORUM, 'garden')
const K = makeKey('k256')
const P = makeKey('p256')

const token = (changes: Changes = {}, key: TestKey = K): string =>
  makeDelegation({ key, iss: ALICE, space, nowSec: NOW, ...changes })

/** Answers each question for a key with the next of `keys` (the last one again and again), and counts. */
function keysInTurn(...keys: (TestKey | null)[]): { keyOf: KeyOf; asked: { did: Did; fresh: boolean }[] } {
  const asked: { did: Did; fresh: boolean }[] = []
  const keyOf: KeyOf = async (did, { fresh }) => {
    const key = keys[Math.min(asked.length, keys.length - 1)]
    asked.push({ did, fresh })
    return key?.publicKey ?? null
  }
  return { keyOf, asked }
}

/** The whole way of a token, as the exchange walks it. */
async function judge(text: string, nowSec = NOW, keyOf: KeyOf = keysInTurn(K).keyOf): Promise<Verdict> {
  return verdictOf(() => verifyDelegationSignature(parseDelegation(text, nowSec), keyOf))
}

describe('the Authorization header of an exchange', () => {
  const rows: { row: number; says: string; lines: string[]; code: Verdict }[] = [
    { row: 1, says: 'no header', lines: [], code: 'MissingJwt' },
    { row: 1, says: 'an empty header', lines: [''], code: 'MissingJwt' },
    { row: 2, says: 'Bearer with nothing after it', lines: ['Bearer'], code: 'InvalidToken' },
    { row: 2, says: 'Bearer and a space', lines: ['Bearer '], code: 'InvalidToken' },
    { row: 3, says: 'two lines', lines: ['Bearer a.b.c', 'Bearer a.b.c'], code: 'InvalidToken' },
    { row: 3, says: 'two lines joined by a server', lines: ['Bearer a.b.c, Bearer d.e.f'], code: 'InvalidToken' },
    { row: 4, says: 'Basic', lines: ['Basic YTpi'], code: 'InvalidToken' },
    { row: 4, says: 'DPoP', lines: ['DPoP a.b.c'], code: 'MissingJwt' },
    { row: 4, says: 'Atproto-Space', lines: ['Atproto-Space a.b.c'], code: 'MissingJwt' },
    { row: 4, says: 'two spaces', lines: ['Bearer  a.b.c'], code: 'InvalidToken' },
    { row: 4, says: 'a tab', lines: ['Bearer\ta.b.c'], code: 'InvalidToken' },
    { row: 4, says: 'a token alone', lines: ['a.b.c'], code: 'InvalidToken' },
    { row: 4, says: 'a space in front', lines: [' Bearer a.b.c'], code: 'InvalidToken' },
    {
      row: 4,
      says: 'a scheme named like a member of every object',
      lines: ['constructor a.b.c'],
      code: 'InvalidToken',
    },
  ]
  it.each(rows)('row $row: with $says is $code', async ({ lines, code }) => {
    expect(await verdictOf(() => parseBearer(lines))).toBe(code)
  })

  it('gives the token, whatever the case of the scheme', () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) expect(parseBearer([`${scheme} a.b.c`])).toBe('a.b.c')
  })
})

describe('a good delegation token', () => {
  it('is taken with its claims as given (reference 1)', async () => {
    const delegation = parseDelegation(token({ payload: { jti: 'abc' } }), NOW)
    expect(delegation).toMatchObject({ iss: ALICE, space, jti: 'abc', iatSec: NOW, expSec: NOW + 60, alg: 'ES256K' })
    expect(await judge(token())).toBe('accepted')
    expect(await judge(token({}, P), NOW, keysInTurn(P).keyOf)).toBe('accepted')
  })

  const accepted: { says: string; changes: Changes }[] = [
    { says: 'kid without #', changes: { header: { kid: 'atproto' } } },
    { says: 'no iat', changes: { payload: { iat: undefined } } },
    { says: 'no iat and exp = now + 305', changes: { payload: { iat: undefined, exp: NOW + 305 } } },
    { says: 'a life of 300 s', changes: { payload: { exp: NOW + 300 } } },
    { says: 'iat 30 s ahead', changes: { payload: { iat: NOW + 30 } } },
    { says: 'nbf 30 s ahead', changes: { payload: { nbf: NOW + 30 } } },
    { says: 'a jti of 256 characters', changes: { payload: { jti: 'j'.repeat(256) } } },
    { says: 'claims it does not know', changes: { payload: { lxm: 'x', extra: { deep: [1] } } } },
  ]
  it.each(accepted)('may have $says', async ({ changes }) => {
    expect(await judge(token(changes))).toBe('accepted')
  })

  it('is taken until exp + 4, refused from exp + 5 on (reference 15, 16; rows 36, 37)', async () => {
    const text = token()
    for (const late of [0, 1, 4]) expect(await judge(text, NOW + 60 + late)).toBe('accepted')
    for (const late of [5, 6, 10_000]) expect(await judge(text, NOW + 60 + late)).toBe('JwtExpired')
  })

  it('is remembered as spent for longer than it could be taken', () => {
    const { expSec } = parseDelegation(token(), NOW)
    const lastAcceptedSec = expSec + DELEGATION.skewSec - 1
    expect(keepUntilSec(expSec, DELEGATION)).toBe(lastAcceptedSec + 1 + SPENT_MARGIN_SEC)
  })
})

type Row = { row: number; says: string; text: string; code: Verdict; nowSec?: number }
const payloadText = (expText: string, more = ''): Part =>
  `{"iss":"${ALICE}","sub":"${space.uri}","aud":"${COMMUNITY}#atproto_space_host","iat":${NOW},"exp":${expText},"jti":"j"${more}}`
const withPayload = (row: number, says: string, payload: Part, code: Verdict): Row => ({
  row,
  says,
  text: token({ payload }),
  code,
})
const withHeader = (row: number, says: string, header: Part, code: Verdict): Row => ({
  row,
  says,
  text: token({ header }),
  code,
})
const [goodHeader = '', goodPayload = '', goodSignature = ''] = token().split('.')
const compactOfGood = new Uint8Array(Buffer.from(goodSignature, 'base64url'))
const publicKeyAsSecret = K.publicKey.keyObject.export({ format: 'pem', type: 'spki' })
const inputForHmac = `${base64Url(JSON.stringify({ alg: 'HS256', typ: DELEGATION.typ, kid: '#atproto' }))}.${goodPayload}`
const aSignatureOf = (bytes: Iterable<number>): string =>
  `${goodHeader}.${goodPayload}.${base64Url(Uint8Array.from(bytes))}`

describe('a bad delegation token', () => {
  const form: Row[] = [
    { row: 5, says: '8,193 characters', text: `${goodHeader}.${'A'.repeat(8_193)}`.slice(0, 8_193), code: 'BadJwt' },
    { row: 26, says: 'two parts', text: `${goodHeader}.${goodPayload}`, code: 'BadJwt' },
    { row: 26, says: 'four parts', text: `${token()}.x`, code: 'BadJwt' },
    { row: 26, says: 'five parts', text: `${token()}.x.y`, code: 'BadJwt' },
    { row: 26, says: 'empty parts', text: '..', code: 'BadJwt' },
    { row: 26, says: 'an empty payload', text: `${goodHeader}..${goodSignature}`, code: 'BadJwt' },
    withHeader(27, 'a header that is no JSON', 'alg=ES256K', 'BadJwt'),
    withPayload(27, 'a payload that is an array', '[]', 'BadJwt'),
    withPayload(27, 'a payload that is text', '"x"', 'BadJwt'),
    withPayload(27, 'bytes behind the payload', `${payloadText(`${NOW + 60}`)}x`, 'BadJwt'),
    withPayload(51, 'exp twice', payloadText('1', `,"exp":${NOW + 60}`), 'BadJwt'),
    withPayload(51, 'sub twice', payloadText(`${NOW + 60}`, `,"sub":"${space.uri}"`), 'BadJwt'),
    withHeader(51, 'alg twice', `{"alg":"none","alg":"ES256K","typ":"${DELEGATION.typ}","kid":"#atproto"}`, 'BadJwt'),
    { row: 52, says: 'padding', text: `${token()}==`, code: 'BadJwt' },
    { row: 52, says: 'the other alphabet', text: `${goodHeader}.${goodPayload}.${'+/'.repeat(43)}`, code: 'BadJwt' },
    { row: 52, says: 'a space', text: `${goodHeader} .${goodPayload}.${goodSignature}`, code: 'BadJwt' },
    { row: 52, says: 'a line break at the end', text: `${token()}\n`, code: 'BadJwt' },
    {
      row: 52,
      says: 'bits to spare in the last character',
      text: `${goodHeader}.${goodPayload}.${goodSignature.slice(0, -1)}${nextChar(goodSignature.at(-1) ?? '')}`,
      code: 'BadJwt',
    },
    {
      row: 69,
      says: 'padding in a part, re-encoded',
      text: `${goodHeader}=.${goodPayload}.${goodSignature}`,
      code: 'BadJwt',
    },
    {
      row: 69,
      says: 'other white space in its JSON',
      text: `${goodHeader}.${base64Url(` ${Buffer.from(goodPayload, 'base64url')}`)}.${goodSignature}`,
      code: 'BadJwtSignature',
    },
  ]

  const names: Row[] = [
    ...['did:web:EVIL.com', 'did:web:evil.com.', 'did:web:evil.com%09'].map((iss) =>
      withPayload(28, `iss ${iss}`, { iss }, 'BadJwtIss'),
    ),
    ...['did:web:127.0.0.1', 'did:web:2130706433', 'did:web:%5B%3A%3A1%5D'].map((iss) =>
      withPayload(29, `iss ${iss}`, { iss }, 'BadJwtIss'),
    ),
    withPayload(30, 'iss with a port', { iss: 'did:web:host%3A8443' }, 'BadJwtIss'),
    ...['did:web:host%2Fadmin%3Fx%3D1', 'did:web:user%40host', 'did:web:host:path'].map((iss) =>
      withPayload(31, `iss ${iss}`, { iss }, 'BadJwtIss'),
    ),
    ...[
      `did:plc:${'a'.repeat(23)}`,
      `did:plc:${'a'.repeat(25)}`,
      'did:plc:AAAAAAAAAAAAAAAAAAAAAAAA',
      'did:plc:0aaaaaaaaaaaaaaaaaaaaaaa',
      'did:plc:1aaaaaaaaaaaaaaaaaaaaaaa',
      K.didKey,
      'alice.example',
      `${ALICE}#atproto`,
      ` ${ALICE}`,
      '',
      7,
      { did: ALICE },
      [ALICE],
      null,
      undefined,
    ].map((iss) => withPayload(32, `iss ${JSON.stringify(iss)}`, { iss }, 'BadJwtIss')),
    ...[
      `${space.uri}/`,
      `${space.uri}?x=1`,
      `${space.uri}#x`,
      'at://alice.example/space/com.atmoboards.forum/garden',
      'at://did:plc:CCCCCCCCCCCCCCCCCCCCCCCC/space/com.atmoboards.forum/garden',
      `${space.uri}/${ALICE}/com.atmoboards.post/1`,
      `at://${COMMUNITY}/space/com.atmoboards.forum/..`,
      `at://${COMMUNITY}/space/com.atmoboards.forum/${'s'.repeat(513)}`,
      `at://${COMMUNITY}/space/forum/garden`,
      `at://${COMMUNITY}/space/com.atmoboards.forum/gar%64en`,
      `ats://${COMMUNITY}/space/com.atmoboards.forum/garden`,
      '',
      7,
      [space.uri],
      undefined,
    ].map((sub) => withPayload(60, `sub ${JSON.stringify(sub)?.slice(0, 90)}`, { sub }, 'BadJwtSub')),
    ...[
      undefined,
      '',
      COMMUNITY,
      `${COMMUNITY}#atproto_pds`,
      `${OTHERS}#atproto_space_host`,
      [`${COMMUNITY}#atproto_space_host`],
      `${COMMUNITY}#atproto_space_host `,
      `${COMMUNITY}#atproto_space_host#`,
      null,
    ].map((aud) => withPayload(61, `aud ${JSON.stringify(aud)}`, { aud }, 'BadJwtAudience')),
    withPayload(
      62,
      'sub and aud of two authorities',
      { sub: spaceUriOf(OTHERS, FORUM, 'garden').uri },
      'BadJwtAudience',
    ),
  ]

  const times: Row[] = [
    ...[undefined, null, `${NOW + 60}`, true].map((exp) =>
      withPayload(33, `exp ${JSON.stringify(exp)}`, { exp }, 'BadJwt'),
    ),
    withPayload(34, 'exp 1e999', payloadText('1e999'), 'BadJwt'),
    ...[`${NOW + 60}.5`, '-1', '9007199254740993', '-1e999'].map((exp) =>
      withPayload(35, `exp ${exp}`, payloadText(exp), 'BadJwt'),
    ),
    withPayload(36, 'exp 6 s ago', { iat: NOW - 66, exp: NOW - 6 }, 'JwtExpired'),
    withPayload(38, 'exp − iat = 301', { exp: NOW + 301 }, 'BadJwt'),
    withPayload(38, 'no iat and exp = now + 306', { iat: undefined, exp: NOW + 306 }, 'BadJwt'),
    withPayload(38, 'an old iat and a life of ten years', { iat: NOW - 315_360_000 }, 'BadJwt'),
    withPayload(39, 'iat 31 s ahead', { iat: NOW + 31 }, 'BadJwt'),
    withPayload(39, 'nbf 31 s ahead', { nbf: NOW + 31 }, 'BadJwt'),
    withPayload(40, 'iat after exp', { iat: NOW + 20, exp: NOW + 10 }, 'BadJwt'),
    ...[null, '1', 1.5, -1, {}].map((iat) => withPayload(39, `iat ${JSON.stringify(iat)}`, { iat }, 'BadJwt')),
    ...[null, '1', 1.5, -1, {}].map((nbf) => withPayload(39, `nbf ${JSON.stringify(nbf)}`, { nbf }, 'BadJwt')),
    ...[undefined, '', 7, 'j'.repeat(257), 'a\0b', 'a\nb', 'a\u0085b', ['j']].map((jti) =>
      withPayload(63, `jti ${JSON.stringify(jti)?.slice(0, 20)}`, { jti }, 'BadJwt'),
    ),
  ]

  const headers: Row[] = [
    ...[undefined, '', 7, ['#atproto'], null].map((kid) =>
      withHeader(41, `kid ${JSON.stringify(kid)}`, { kid }, 'BadJwt'),
    ),
    withHeader(42, 'kid #atproto_space', { kid: '#atproto_space' }, 'BadJwt'),
    ...[
      `${ALICE}#atproto`,
      '#atproto_labeler',
      '#ATPROTO',
      '../../key',
      "' or 1=1--",
      'k'.repeat(300),
      '##atproto',
    ].map((kid) => withHeader(43, `kid ${kid.slice(0, 40)}`, { kid }, 'BadJwt')),
    ...['jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256'].map((name) =>
      withHeader(44, `a header ${name}`, { [name]: name === 'jwk' ? K.jwk : 'https://evil.example' }, 'BadJwt'),
    ),
    withHeader(45, 'crit b64', { crit: ['b64'], b64: false }, 'BadJwt'),
    withHeader(45, 'b64 alone', { b64: false }, 'BadJwt'),
    withHeader(45, 'an unknown crit', { crit: ['mine'], mine: 1 }, 'BadJwt'),
    withHeader(45, 'an empty crit', { crit: [] }, 'BadJwt'),
    ...['none', 'None', '', undefined, ['ES256K'], null].map((alg) =>
      withHeader(46, `alg ${JSON.stringify(alg)}`, { alg }, 'BadJwt'),
    ),
    {
      row: 47,
      says: 'alg HS256, the public key as its secret',
      text: `${inputForHmac}.${createHmac('sha256', publicKeyAsSecret).update(inputForHmac).digest('base64url')}`,
      code: 'BadJwtSignature',
    },
    withHeader(48, 'alg ES256, a secp256k1 key', { alg: 'ES256' }, 'BadJwtSignature'),
    ...['EdDSA', 'RS256', 'ES384', 'es256k'].map((alg) => withHeader(49, `alg ${alg}`, { alg }, 'BadJwtSignature')),
    ...[
      undefined,
      'JWT',
      'at+jwt',
      'dpop+jwt',
      'atproto-client-attestation+jwt',
      'atproto-space-credential+jwt',
      'ATPROTO-SPACE-DELEGATION+JWT',
      'application/atproto-space-delegation+jwt',
      `${DELEGATION.typ} `,
      [DELEGATION.typ],
      null,
    ].map((typ) => withHeader(50, `typ ${JSON.stringify(typ)}`, { typ }, 'BadJwtType')),
    withHeader(79, 'the header of a service JWT', `{"typ":"JWT","alg":"ES256K"}`, 'BadJwtType'),
    withHeader(79, 'the header of an OAuth access token', `{"typ":"at+jwt","alg":"ES256K","kid":"1"}`, 'BadJwtType'),
  ]

  const zero = new Uint8Array(32)
  const signatures: Row[] = [
    { row: 54, says: 'DER', text: aSignatureOf(derOf(compactOfGood)), code: 'BadJwtSignature' },
    { row: 54, says: '63 bytes', text: aSignatureOf(compactOfGood.subarray(1)), code: 'BadJwtSignature' },
    { row: 54, says: '65 bytes', text: aSignatureOf([...compactOfGood, 0]), code: 'BadJwtSignature' },
    { row: 54, says: '0 bytes', text: aSignatureOf([]), code: 'BadJwtSignature' },
    { row: 54, says: 'r = 0', text: aSignatureOf([...zero, ...compactOfGood.subarray(32)]), code: 'BadJwtSignature' },
    {
      row: 54,
      says: 's = 0',
      text: aSignatureOf([...compactOfGood.subarray(0, 32), ...zero]),
      code: 'BadJwtSignature',
    },
    {
      row: 54,
      says: 's ≥ n',
      text: aSignatureOf([...compactOfGood.subarray(0, 32), ...zero.fill(255)]),
      code: 'BadJwtSignature',
    },
    { row: 55, says: 'the high-S twin', text: aSignatureOf(twinOf('k256', compactOfGood)), code: 'BadJwtSignature' },
    { row: 55, says: 'a high S as made', text: token({ s: 'high' }), code: 'BadJwtSignature' },
    {
      row: 56,
      says: 'a good signature over another payload',
      text: `${goodHeader}.${token().split('.')[1]}.${goodSignature}`,
      code: 'BadJwtSignature',
    },
    {
      row: 57,
      says: 'the signature of another key (reference 5)',
      text: token({}, makeKey('k256')),
      code: 'BadJwtSignature',
    },
  ]

  it.each([...form, ...names, ...times, ...headers, ...signatures])('row $row: with $says is $code', async (row) => {
    expect(await judge(row.text, row.nowSec)).toBe(row.code)
  })

  it('row 30: of a loopback DID is refused by whoever has no key for it', async () => {
    const text = token({ payload: { iss: 'did:web:localhost%3A3000' } })
    expect(await judge(text, NOW, keysInTurn(null).keyOf)).toBe('BadJwtIss')
  })

  it('row 48: ES256K named over a P-256 key', async () => {
    expect(await judge(token({ header: { alg: 'ES256K' } }, P), NOW, keysInTurn(P).keyOf)).toBe('BadJwtSignature')
  })

  it('row 53: with any one bit turned over is refused', async () => {
    const parts = [goodHeader, goodPayload, goodSignature]
    const { keyOf } = keysInTurn(K)
    for (const [index, part] of parts.entries()) {
      const bytes = new Uint8Array(Buffer.from(part, 'base64url'))
      for (let bit = index; bit < bytes.length * 8; bit += 5) {
        const text = parts.map((same, at) => (at === index ? base64Url(withBitFlipped(bytes, bit)) : same)).join('.')
        expect(await judge(text, NOW, keyOf), `bit ${bit} of part ${index}`).not.toBe('accepted')
      }
    }
  })

  it('row 61 (reference 3): for another authority is refused there', async () => {
    const theirs = spaceUriOf(OTHERS, FORUM, 'garden')
    const text = token({ payload: { sub: theirs.uri, aud: `${COMMUNITY}#atproto_space_host` } })
    expect(await judge(text)).toBe('BadJwtAudience')
  })

  it('is judged in the order of the protocol when several things are wrong', async () => {
    const all = { iss: 7, sub: 7, aud: 7, exp: 'x', jti: '' }
    expect(await judge(token({ header: { typ: 'JWT', alg: '' }, payload: all }))).toBe('BadJwtType')
    expect(await judge(token({ payload: all }))).toBe('BadJwtIss')
    expect(await judge(token({ payload: { ...all, iss: 'nobody' } }))).toBe('BadJwtSub')
    expect(await judge(token({ payload: { ...all, iss: 'nobody', sub: 'nothing' } }))).toBe('BadJwt')
    expect(await judge(token({ payload: { iss: 'nobody', sub: 'x', aud: 7, jti: '' } }))).toBe('BadJwtAudience')
    expect(await judge(token({ header: { kid: 'x' }, payload: { exp: NOW - 60, iat: NOW - 120 } }))).toBe('JwtExpired')
    expect(await judge(token({ payload: { iss: 'nobody', aud: 'x' } }))).toBe('BadJwtAudience')
  })
})

describe('the key of a delegation token', () => {
  it('is asked for once, by iss, when it fits (reference 11)', async () => {
    const { keyOf, asked } = keysInTurn(K)
    expect(await judge(token(), NOW, keyOf)).toBe('accepted')
    expect(asked).toEqual([{ did: ALICE, fresh: false }])
  })

  it('row 58 (reference 13): is asked for afresh once after a rotation', async () => {
    const { keyOf, asked } = keysInTurn(makeKey('k256'), K)
    expect(await judge(token(), NOW, keyOf)).toBe('accepted')
    expect(asked.map(({ fresh }) => fresh)).toEqual([false, true])
  })

  it('row 59: is asked for afresh once after a rotation to the other curve', async () => {
    const { keyOf, asked } = keysInTurn(P, K)
    expect(await judge(token(), NOW, keyOf)).toBe('accepted')
    expect(asked).toHaveLength(2)
  })

  it('rows 48, 57: is never asked for a third time', async () => {
    for (const wrong of [P, makeKey('k256')]) {
      const { keyOf, asked } = keysInTurn(wrong, makeKey('k256'), K)
      expect(await judge(token(), NOW, keyOf)).toBe('BadJwtSignature')
      expect(asked).toHaveLength(2)
    }
  })

  it('is not asked for at all when no key could have made the signature', async () => {
    const { keyOf, asked } = keysInTurn(K)
    expect(await judge(token({ header: { alg: 'RS256' } }), NOW, keyOf)).toBe('BadJwtSignature')
    expect(await judge(aSignatureOf([1, 2, 3]), NOW, keyOf)).toBe('BadJwtSignature')
    expect(asked).toEqual([])
  })

  it('row 76: missing at first, or after the refresh, is BadJwtIss', async () => {
    expect(await judge(token(), NOW, keysInTurn(null).keyOf)).toBe('BadJwtIss')
    expect(await judge(token(), NOW, keysInTurn(makeKey('k256'), null).keyOf)).toBe('BadJwtIss')
  })

  it('row 77: unreachable is our trouble or the world’s, and no refusal', async () => {
    const keyOf: KeyOf = async () => {
      throw new Unavailable('UpstreamTimeout', 'plc directory')
    }
    await expect(judge(token(), NOW, keyOf)).rejects.toBeInstanceOf(Unavailable)
  })
})

describe('delegation tokens against other implementations', () => {
  it('ours to take are theirs to take, 50 of each curve', async () => {
    for (let i = 0; i < 50; i++) {
      const es256 = token({}, P)
      expect(delegationSignatureHolds(parseDelegation(es256, NOW), P.publicKey)).toBe(true)
      const { payload } = await jwtVerify(es256, P.publicKey.keyObject, {
        algorithms: ['ES256'],
        typ: DELEGATION.typ,
        currentDate: new Date(NOW * 1000),
      })
      expect(payload.sub).toBe(space.uri)

      const { jws, ...es256k } = parseDelegation(token(), NOW)
      expect(delegationSignatureHolds({ jws, ...es256k }, K.publicKey)).toBe(true)
      expect(await verifySignature(K.didKey, jws.signingInput, jws.signature, { jwtAlg: 'ES256K' })).toBe(true)
    }
  })

  it(`a spoilt token is refused, or is the very token it was (seed ${SEED})`, async () => {
    for (const key of [K, P]) {
      const good = token({}, key)
      const { keyOf } = keysInTurn(key)
      await fc.assert(
        fc.asyncProperty(spoilt(good), async (text) => {
          expect((await judge(text, NOW, keyOf)) === 'accepted').toBe(text === good)
        }),
        { seed: SEED, numRuns: 500 },
      )
    }
  })

  it(`whatever JSON is signed, the answer is a refusal or a good token (seed ${SEED})`, async () => {
    const { keyOf } = keysInTurn(K)
    const claim = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constantFrom(NOW, NOW + 60, ALICE, space.uri, '#atproto'))
    const names = fc.constantFrom('iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti', 'alg', 'kid', 'typ', 'crit', 'jwk')
    await fc.assert(
      fc.asyncProperty(fc.dictionary(names, claim), fc.boolean(), async (change, inHeader) => {
        const verdict = await judge(token(inHeader ? { header: change } : { payload: change }), NOW, keyOf)
        expect(verdict).toMatch(/^(accepted|BadJwt\w*|JwtExpired)$/)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

function nextChar(char: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return alphabet.charAt((alphabet.indexOf(char) + 1) % 64)
}

function derOf(compact: Uint8Array): Uint8Array {
  return secp256k1.Signature.fromBytes(compact, 'compact').toBytes('der')
}

describe('a token of another kind', () => {
  it.each(['JWT', 'at+jwt', 'dpop+jwt', 'atproto-client-attestation+jwt', 'atproto-space-credential+jwt'])(
    'row 79 (reference 6): typ %s, well signed and with all the claims, is no delegation token',
    async (typ) => {
      expect(await judge(token({ header: { typ } }))).toBe('BadJwtType')
      const bare = makeJws({ header: { typ, alg: 'ES256K' }, payload: { iss: ALICE }, key: K })
      expect(await judge(bare)).toBe('BadJwtType')
    },
  )
})
