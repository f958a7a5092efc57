import { createHash, createHmac } from 'node:crypto'
import fc from 'fast-check'
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { type DpopQuestion, verifyDpopProof } from '../../src/credential/dpop.ts'
import { DPOP_PROOF, proofKeepUntilSec } from '../../src/credential/token-classes.ts'
import { SPENT_MARGIN_SEC } from '../../src/platform/limits.ts'
import {
  base64Url,
  type Changes,
  keyOfScalar,
  makeDpopProof,
  makeJws,
  makeKey,
  type Part,
  signBytes,
  thumbprintOf,
} from '../kit/tokens.ts'
import { spoilt, type Verdict, verdictOf, withBitFlipped } from '../kit/verdicts.ts'

const NOW = 1_800_000_000
const SEED = 20_261_122
const URL_OF_MINT = 'https://reeve.example/xrpc/com.atproto.space.getSpaceCredential'
const URL_OF_LIST = 'https://reeve.example/xrpc/com.atproto.space.listRepos'
const CREDENTIAL = 'aaa.bbb.ccc'
const key = makeKey('p256')

const proof = (changes: Changes & { credential?: string; url?: string; method?: string } = {}): string =>
  makeDpopProof({ key, method: 'POST', url: URL_OF_MINT, nowSec: NOW, ...changes })

const mint = (proofs: string | string[], more: Partial<DpopQuestion> = {}): DpopQuestion => ({
  proofs: typeof proofs === 'string' ? [proofs] : proofs,
  method: 'POST',
  url: URL_OF_MINT,
  nowSec: NOW,
  ath: 'absent',
  ...more,
})
const present = (text: string): DpopQuestion =>
  mint(text, { method: 'GET', url: URL_OF_LIST, ath: { credential: CREDENTIAL } })

const judge = (question: DpopQuestion): Promise<Verdict> => verdictOf(() => verifyDpopProof(question))

describe('a good DPoP proof', () => {
  it('gives the thumbprint of its key, its jti and its time (reference 21, 22)', async () => {
    const taken = verifyDpopProof(mint(proof({ payload: { jti: 'once' } })))
    expect(taken).toEqual({ jkt: await calculateJwkThumbprint(key.jwk, 'sha256'), jti: 'once', iatSec: NOW })
    expect(thumbprintOf(key)).toBe(taken.jkt)
  })

  it('has the thumbprint that the worked example of the protocol gives', () => {
    const worked = keyOfScalar('p256', createHash('sha256').update('arbiter worked example key').digest())
    const text = makeDpopProof({ key: worked, method: 'POST', url: URL_OF_MINT, nowSec: NOW })
    expect(verifyDpopProof(mint(text)).jkt).toBe('37WMdRmY93sCdcKcJa-zESkYZ7NZfALn3kqq3CFRXxc')
  })

  it('is taken with ath beside the credential it was made for (reference 21)', async () => {
    const text = proof({ method: 'GET', url: URL_OF_LIST, credential: CREDENTIAL })
    expect(await judge(present(text))).toBe('accepted')
  })

  it('may have a high S or a low S, as browsers make them', async () => {
    expect(await judge(mint(proof({ s: 'high' })))).toBe('accepted')
    expect(await judge(mint(proof({ s: 'low' })))).toBe('accepted')
  })

  it('differs from the next one in its jti (reference 23; row 92)', () => {
    const jtis = [proof(), proof()].map((text) => verifyDpopProof(mint(text)).jti)
    expect(new Set(jtis).size).toBe(2)
  })

  const addresses: { says: string; htu: string }[] = [
    { says: 'a query and a fragment (row 88; reference 24)', htu: `${URL_OF_MINT}?a=b#c` },
    { says: 'an empty query', htu: `${URL_OF_MINT}?` },
    { says: 'an address inside its query', htu: `${URL_OF_MINT}?https://evil.example/#?` },
    { says: 'scheme and host in capitals', htu: URL_OF_MINT.replace('https://reeve', 'HTTPS://Reeve') },
    { says: 'the port of its own scheme', htu: URL_OF_MINT.replace('.example', '.example:443') },
  ]
  it.each(addresses)('may have an htu with $says', async ({ htu }) => {
    expect(await judge(mint(proof({ url: htu })))).toBe('accepted')
  })

  it('is held against the configured address, query cut there too', async () => {
    expect(await judge(mint(proof(), { url: `${URL_OF_MINT}?x=1` }))).toBe('accepted')
    const local = 'http://localhost:3400/xrpc/com.atproto.space.getSpaceCredential'
    expect(await judge(mint(proof({ url: local }), { url: local }))).toBe('accepted')
    expect(await judge(mint(proof({ url: local.replace(':3400', '') }), { url: local }))).toBe('BadDpopProof')
  })

  it('is taken from 5 s before its iat until 65 s after it (row 89; reference 26, 27)', async () => {
    const text = proof()
    for (const at of [-5, 0, 60, 65]) expect(await judge(mint(text, { nowSec: NOW + at })), `${at}`).toBe('accepted')
    for (const at of [66, 70, 86_400]) {
      expect(await judge(mint(text, { nowSec: NOW + at })), `${at}`).toBe('DpopProofExpired')
    }
    for (const at of [-6, -30, -86_400]) {
      expect(await judge(mint(text, { nowSec: NOW + at })), `${at}`).toBe('BadDpopProofSignature')
    }
  })

  it('is remembered for longer than it could be taken', () => {
    const lastAcceptedSec = NOW + DPOP_PROOF.ageMaxSec + DPOP_PROOF.skewSec
    expect(proofKeepUntilSec(NOW)).toBe(lastAcceptedSec + SPENT_MARGIN_SEC)
  })

  const jwks: { says: string; more: Record<string, unknown> }[] = [
    { says: 'use sig', more: { use: 'sig' } },
    { says: 'the members a browser exports', more: { ext: true, key_ops: ['verify'], alg: 'ES256' } },
    { says: 'a kid and members nobody knows', more: { kid: 'k', colour: 'green' } },
  ]
  it.each(jwks)('may have a jwk with $says', async ({ more }) => {
    expect(await judge(mint(proof({ header: { jwk: { ...key.jwk, ...more } } })))).toBe('accepted')
  })
})

type Row = { row: number; says: string; question: DpopQuestion; code: Verdict }
const withHeader = (row: number, says: string, header: Part, code: Verdict): Row => ({
  row,
  says,
  question: mint(proof({ header })),
  code,
})
const withPayload = (row: number, says: string, payload: Part, code: Verdict): Row => ({
  row,
  says,
  question: mint(proof({ payload })),
  code,
})
const privateJwk = key.privateKey.export({ format: 'jwk' })
const k256 = makeKey('k256')
const hs256Input = `${base64Url(JSON.stringify({ alg: 'HS256', typ: 'dpop+jwt', jwk: key.jwk }))}.${proof().split('.')[1]}`
const athOf = (credential: string, encoding: 'hex' | 'base64url' | 'base64') =>
  createHash('sha256').update(credential).digest(encoding)

describe('a bad DPoP proof', () => {
  const rows: Row[] = [
    { row: 80, says: 'no header', question: mint([]), code: 'MissingDpopProof' },
    { row: 80, says: 'an empty header', question: mint(['']), code: 'MissingDpopProof' },
    { row: 81, says: 'two headers', question: mint([proof(), proof()]), code: 'BadDpopProof' },
    { row: 81, says: 'the same header twice', question: mint(Array(2).fill(proof())), code: 'BadDpopProof' },
    { row: 81, says: 'two proofs joined', question: mint(`${proof()}, ${proof()}`), code: 'BadDpopProofSignature' },
    {
      row: 82,
      says: 'ES256K by a secp256k1 key (reference 28)',
      question: mint(
        makeDpopProof({ key: k256, method: 'POST', url: URL_OF_MINT, nowSec: NOW, header: { alg: 'ES256K' } }),
      ),
      code: 'BadDpopProofSignature',
    },
    {
      row: 82,
      says: 'HS256 with the public key as secret',
      question: mint(
        `${hs256Input}.${createHmac('sha256', JSON.stringify(key.jwk)).update(hs256Input).digest('base64url')}`,
      ),
      code: 'BadDpopProofSignature',
    },
    ...['ES384', 'none', 'None', '', 'es256', undefined, ['ES256']].map((alg) =>
      withHeader(82, `alg ${JSON.stringify(alg)}`, { alg }, 'BadDpopProofSignature'),
    ),
    ...[
      undefined,
      null,
      'jwk',
      [key.jwk],
      {},
      privateJwk,
      { ...key.jwk, d: '' },
      { ...key.jwk, kty: 'oct', k: 'AAAA' },
      { ...key.jwk, kty: 'OKP' },
      { ...key.jwk, y: key.jwk.x },
      { ...key.jwk, x: `${key.jwk.x}=` },
      { ...key.jwk, x: `AA${key.jwk.x}` },
      { ...key.jwk, x: key.jwk.x.slice(4) },
      { ...key.jwk, x: base64Url(new Uint8Array(32).fill(255)) },
      { ...key.jwk, x: base64Url(new Uint8Array(32)), y: base64Url(new Uint8Array(32)) },
      { ...key.jwk, crv: 'P-384' },
      { ...k256.jwk },
      { ...k256.jwk, crv: 'P-256' },
      { ...key.jwk, use: 'enc' },
      { ...key.jwk, key_ops: ['sign'] },
      { ...key.jwk, key_ops: 'verify' },
      { ...key.jwk, key_ops: ['verify', 'verify'] },
      { ...key.jwk, key_ops: ['verify', 'sign'] },
      { ...key.jwk, key_ops: [] },
      { ...key.jwk, ext: 'true' },
      { ...key.jwk, ext: null },
      { ...key.jwk, priv: '' },
      { ...key.jwk, alg: 'ES384' },
    ].map((jwk) =>
      withHeader(83, `jwk ${JSON.stringify(withoutSecret(jwk))?.slice(0, 140)}`, { jwk }, 'BadDpopProofSignature'),
    ),
    ...[undefined, 'JWT', 'dpop+jwt;x', null, ['dpop+jwt']].map((typ) =>
      withHeader(84, `typ ${JSON.stringify(typ)}`, { typ }, 'BadDpopProofSignature'),
    ),
    ...['DPOP+JWT', 'application/dpop+jwt'].map((typ) =>
      withHeader(85, `typ ${typ}`, { typ }, 'BadDpopProofSignature'),
    ),
    withHeader(85, 'crit', { crit: ['b64'], b64: true }, 'BadDpopProofSignature'),
    ...['post', 'GET', undefined, ['POST'], 'POST '].map((htm) =>
      withPayload(86, `htm ${JSON.stringify(htm)}`, { htm }, 'BadDpopProof'),
    ),
    ...[
      URL_OF_MINT.replace('reeve', 'evil'),
      URL_OF_MINT.replace('https', 'http'),
      URL_OF_LIST,
      'https://reeve.example/',
      'https://reeve.example',
      `${URL_OF_MINT}/`,
      URL_OF_MINT.replace('.example', '.example:444'),
      URL_OF_MINT.replace('.example', '.example:80'),
      URL_OF_MINT.replace('.example', '.example:'),
      URL_OF_MINT.replace('https://', 'https://user@'),
      URL_OF_MINT.replace('https://', 'https://reeve.example@'),
      URL_OF_MINT.replace('.example', '.example.'),
      URL_OF_MINT.replace('/xrpc', '/x/../xrpc'),
      URL_OF_MINT.replace('/xrpc', '//xrpc'),
      URL_OF_MINT.replace('/xrpc', '/%78rpc'),
      URL_OF_MINT.replace('/xrpc', '\\xrpc'),
      URL_OF_MINT.replace('https://', 'https:/'),
      URL_OF_MINT.replace('reeve', 're\teve'),
      URL_OF_MINT.replace('reeve', 'ｒeeve'),
      URL_OF_MINT.replace('getSpaceCredential', 'GETSPACECREDENTIAL'),
      ` ${URL_OF_MINT}`,
      '/xrpc/com.atproto.space.getSpaceCredential',
      '',
      undefined,
      [URL_OF_MINT],
    ].map((htu) => withPayload(87, `htu ${JSON.stringify(htu)}`, { htu }, 'BadDpopProof')),
    ...[undefined, null, `${NOW}`, NOW + 0.5, NOW * 1000].map((iat) =>
      withPayload(89, `iat ${JSON.stringify(iat)}`, { iat }, 'BadDpopProofSignature'),
    ),
    withPayload(89, 'iat -1e999', payloadText('-1e999'), 'BadDpopProofSignature'),
    withPayload(89, 'iat 1e999', payloadText('1e999'), 'BadDpopProofSignature'),
    withPayload(89, 'iat 66 s old', { iat: NOW - 66 }, 'DpopProofExpired'),
    withPayload(89, 'iat 6 s ahead', { iat: NOW + 6 }, 'BadDpopProofSignature'),
    withPayload(89, 'an exp that has passed', { exp: NOW - 5 }, 'DpopProofExpired'),
    withPayload(89, 'an exp that is text', { exp: 'x' }, 'BadDpopProofSignature'),
    withPayload(89, 'an nbf ahead', { nbf: NOW + 6 }, 'BadDpopProofSignature'),
    ...[undefined, '', 'j'.repeat(257), 7, 'a\0b'].map((jti) =>
      withPayload(90, `jti ${JSON.stringify(jti)?.slice(0, 20)}`, { jti }, 'BadDpopProof'),
    ),
    withPayload(93, 'ath where there is no credential yet', { ath: athOf('', 'base64url') }, 'BadDpopProof'),
    withPayload(93, 'an ath of null where there is no credential yet', { ath: null }, 'BadDpopProof'),
    ...[
      { says: 'no ath', ath: undefined },
      { says: 'the ath of another credential', ath: athOf('ddd.eee.fff', 'base64url') },
      { says: 'an ath in hexadecimal', ath: athOf(CREDENTIAL, 'hex') },
      { says: 'an ath with padding', ath: athOf(CREDENTIAL, 'base64') },
      { says: 'the credential itself as ath', ath: CREDENTIAL },
    ].map(({ says, ath }) => ({
      row: 94,
      says,
      question: present(proof({ method: 'GET', url: URL_OF_LIST, payload: { ath } })),
      code: 'BadDpopProof' as const,
    })),
    withHeader(
      96,
      'a jwk of 1,000 unknown members',
      { jwk: { ...key.jwk, ...Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`m${i}`, 1])) } },
      'BadDpopProof',
    ),
    { row: 96, says: 'no form at all', question: mint('proof'), code: 'BadDpopProofSignature' },
    withPayload(51, 'htm twice', `{"htm":"GET",${payloadText(`${NOW}`).slice(1)}`, 'BadDpopProofSignature'),
  ]
  it.each(rows)('row $row: with $says is $code', async ({ question, code }) => {
    expect(await judge(question)).toBe(code)
  })

  it('row 87: is refused when its host only looks like ours in lower case', async () => {
    const url = URL_OF_MINT.replace('reeve', 'kind')
    expect(await judge(mint(proof({ url }), { url }))).toBe('accepted')
    const kelvin = url.replace('kind', '\u212aind')
    expect(await judge(mint(proof({ url: kelvin }), { url }))).toBe('BadDpopProof')
  })

  it('is refused where the configured address is no web address, rather than compared with nothing', async () => {
    expect(await judge(mint(proof({ url: 'nowhere' }), { url: 'nowhere' }))).toBe('BadDpopProof')
  })

  it('is refused when somebody else signed it (reference 25)', async () => {
    const stranger = makeKey('p256')
    const signingInput = proof().split('.').slice(0, 2).join('.')
    const forged = `${signingInput}.${base64Url(signBytes(stranger, signingInput))}`
    expect(await judge(mint(forged))).toBe('BadDpopProofSignature')
  })

  it('is refused with a signature of another length', async () => {
    for (const bytes of [0, 63, 65, 72]) {
      const text = proof({ signature: new Uint8Array(bytes).fill(1) })
      expect(await judge(mint(text))).toBe('BadDpopProofSignature')
    }
  })

  it('is refused for another request than its own (reference 25)', async () => {
    const text = proof({ method: 'GET', url: URL_OF_LIST, credential: CREDENTIAL })
    expect(await judge(mint(text))).toBe('BadDpopProof')
    expect(await judge({ ...present(text), url: URL_OF_LIST.replace('reeve', 'other') })).toBe('BadDpopProof')
    expect(await judge({ ...present(text), method: 'POST' })).toBe('BadDpopProof')
    expect(await judge({ ...present(text), ath: { credential: 'x' } })).toBe('BadDpopProof')
  })

  it('is refused when a JWT of another kind is sent in its place (reference 28)', async () => {
    for (const typ of ['JWT', 'at+jwt', 'atproto-space-delegation+jwt', 'atproto-space-credential+jwt']) {
      const text = makeJws({ header: { typ, alg: 'ES256', kid: '#atproto' }, payload: { iss: 'x' }, key })
      expect(await judge(mint(text))).toBe('BadDpopProofSignature')
    }
  })

  it('is refused with any one bit of its signature or payload turned over', async () => {
    const parts = proof().split('.')
    for (const index of [1, 2]) {
      const bytes = new Uint8Array(Buffer.from(parts[index] ?? '', 'base64url'))
      for (let bit = 0; bit < bytes.length * 8; bit += 3) {
        const text = parts.map((same, at) => (at === index ? base64Url(withBitFlipped(bytes, bit)) : same)).join('.')
        expect(await judge(mint(text)), `bit ${bit} of part ${index}`).not.toBe('accepted')
      }
    }
  })

  it(`spoilt at random is refused, or is the very proof it was (seed ${SEED})`, async () => {
    const good = proof()
    await fc.assert(
      fc.asyncProperty(spoilt(good), async (text) => {
        expect((await judge(mint(text))) === 'accepted').toBe(text === good)
      }),
      { seed: SEED, numRuns: 500 },
    )
  })
})

describe('DPoP proofs against another implementation', () => {
  it('ours to take are theirs to take, with the same thumbprint', async () => {
    for (let i = 0; i < 50; i++) {
      const holder = makeKey('p256')
      const text = makeDpopProof({ key: holder, method: 'POST', url: URL_OF_MINT, nowSec: NOW })
      const { jkt, jti } = verifyDpopProof(mint(text))
      const { payload, protectedHeader } = await jwtVerify(text, EmbeddedJWK, {
        typ: 'dpop+jwt',
        algorithms: ['ES256'],
        maxTokenAge: 60,
        clockTolerance: 5,
        currentDate: new Date(NOW * 1000),
      })
      expect(payload.jti).toBe(jti)
      expect(await calculateJwkThumbprint(protectedHeader.jwk ?? {}, 'sha256')).toBe(jkt)
    }
  })

  it(`whatever is signed, what we take they take (seed ${SEED})`, async () => {
    const claim = fc.oneof(fc.jsonValue({ maxDepth: 1 }), fc.constantFrom(NOW, NOW - 65, URL_OF_MINT, 'POST'))
    const change = fc.dictionary(fc.constantFrom('jti', 'htm', 'htu', 'iat', 'ath', 'exp', 'nbf', 'x'), claim)
    let takenCount = 0
    await fc.assert(
      fc.asyncProperty(change, async (payload) => {
        const text = proof({ payload })
        if ((await judge(mint(text))) !== 'accepted') return
        takenCount++
        const options = { typ: 'dpop+jwt', maxTokenAge: 60, clockTolerance: 5, currentDate: new Date(NOW * 1000) }
        await jwtVerify(text, EmbeddedJWK, { ...options, algorithms: ['ES256'] })
      }),
      { seed: SEED, numRuns: 500 },
    )
    expect(takenCount).toBeGreaterThan(10)
  })
})

function payloadText(iatText: string): string {
  return `{"jti":"j","htm":"POST","htu":"${URL_OF_MINT}","iat":${iatText}}`
}

/** A private key is a secret even when a test made it: it is named, never printed. */
function withoutSecret(jwk: unknown): unknown {
  return jwk !== null && typeof jwk === 'object' && 'd' in jwk && jwk.d ? { ...jwk, d: '(private)' } : jwk
}
