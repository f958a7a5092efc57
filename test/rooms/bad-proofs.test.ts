/**
 * Bad proofs of possession at the real door, one row each, in both generations: the status, the name, and that neither the token
 * beside them nor anybody's time was used up.
 */
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../kit/databases.ts'
import { type DialRecorder, recordDials } from '../kit/dialled.ts'
import { exchange, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { heldBytes, LEFT_MAX_BYTES } from '../kit/held-bytes.ts'
import { otherSpellings } from '../kit/plc.ts'
import { type BadExchange, expectRefused, type Good, goodToken, verdictOf } from '../kit/refusals.ts'
import {
  base64Url,
  type Changes,
  makeDpopProof,
  makeKey,
  makeSpaceSignature,
  signBytes,
  type TestKey,
} from '../kit/tokens.ts'
import { EXCHANGE_PATH } from '../kit/world.ts'

type Proof = Changes & { readonly url?: string }
const UNFIT = '401 BadDpopProof'
const UNSIGNED = '401 BadDpopProofSignature'
const UNPROVEN = '401 BadSpaceSignature'

const row = (number: number, says: string, answers: string, make: BadExchange['with']): BadExchange => ({
  ...{ row: number, says, answers, asks: 0, with: make },
})
const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, 90)

/* August: DPoP. */

const proof = (number: number, says: string, answers: string, make: (scene: Scene) => Proof): BadExchange =>
  row(number, says, answers, (scene, { token }) => ({ token, proof: make(scene) }))
const inHeader = (number: number, name: string, answers: string, values: readonly unknown[]): BadExchange[] =>
  values.map((value) => proof(number, `${name} ${shown(value)}`, answers, () => ({ header: { [name]: value } })))
const inPayload = (number: number, name: string, answers: string, values: readonly unknown[]): BadExchange[] =>
  values.map((value) => proof(number, `${name} ${shown(value)}`, answers, () => ({ payload: { [name]: value } })))
const aged = (number: number, says: string, answers: string, iat: (nowSec: number) => unknown): BadExchange =>
  proof(number, says, answers, ({ world }) => ({ payload: { iat: iat(world.clock.nowSec()) } }))
/** A proof for another address than the method's own. */
const elsewhere = (says: string, change: (url: string) => unknown): BadExchange =>
  proof(87, `htu with ${says}`, UNFIT, ({ world }) => ({ payload: { htu: change(world.url + EXCHANGE_PATH) } }))
const lines = (number: number, says: string, answers: string, make: (proof: string) => readonly string[]) =>
  row(number, says, answers, (scene, { token }) => ({
    token,
    proofLines: make(fresh(scene)).map((line) => ['dpop', line] as const),
  }))
const fresh = ({ world }: Scene): string =>
  makeDpopProof({
    ...{ key: makeKey('p256'), method: 'POST', url: world.url + EXCHANGE_PATH },
    nowSec: world.clock.nowSec(),
  })

const holder = makeKey('p256')
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey.export({ format: 'jwk' })
const privateJwk = holder.privateKey.export({ format: 'jwk' })
const hmacOf = (input: string): string =>
  createHmac('sha256', JSON.stringify(holder.jwk)).update(input).digest('base64url')

const DPOP: readonly BadExchange[] = [
  lines(80, 'an empty line', '401 MissingDpopProof', () => ['']),
  lines(81, 'two proofs on two lines', UNFIT, (one) => [one, one]),
  lines(81, 'two proofs on one line', UNSIGNED, (one) => [`${one}, ${one}`.slice(0, 2_048)]),
  ...inHeader(82, 'alg', UNSIGNED, ['ES256K', 'ES384', 'HS256', 'none', '', undefined, ['ES256'], 'es256']),
  lines(82, 'HS256 with the public key as its secret', UNSIGNED, (one) => {
    const [header = '', payload] = one.split('.')
    const changed = base64Url(Buffer.from(header, 'base64url').toString().replace('"ES256"', '"HS256"'))
    return [`${changed}.${payload}.${hmacOf(`${changed}.${payload}`)}`]
  }),
  lines(82, 'secp256k1 all the way', UNSIGNED, () => {
    const key = makeKey('k256')
    return [makeDpopProof({ key, method: 'POST', url: 'http://localhost/', nowSec: 1, header: { alg: 'ES256K' } })]
  }),
  ...[
    ['none', undefined],
    ['null', null],
    ['a list', [holder.jwk]],
    ['a private one', privateJwk],
    ['one with an empty d', { ...holder.jwk, d: '' }],
    ['a secret', { kty: 'oct', k: 'AAAA' }],
    ['one that says oct', { ...holder.jwk, kty: 'oct' }],
    ['a point off the curve', { ...holder.jwk, y: holder.jwk.x }],
    ['the point at infinity', { ...holder.jwk, x: base64Url(new Uint8Array(32)), y: base64Url(new Uint8Array(32)) }],
    ['a coordinate with padding', { ...holder.jwk, x: `${holder.jwk.x}=` }],
    ['a short coordinate', { ...holder.jwk, x: holder.jwk.x.slice(4) }],
    ['one for encryption', { ...holder.jwk, use: 'enc' }],
    ['one for signing only', { ...holder.jwk, key_ops: ['sign'] }],
    ['P-384', p384],
    ['a point of P-256 called P-384', { ...holder.jwk, crv: 'P-384' }],
    ['secp256k1', makeKey('k256').jwk],
  ].map(([says, jwk]) => proof(83, `jwk: ${says}`, UNSIGNED, () => ({ header: { jwk } }))),
  ...inHeader(84, 'typ', UNSIGNED, [undefined, 'JWT', 'dpop+jwt;x', ['dpop+jwt']]),
  ...inHeader(85, 'typ', UNSIGNED, ['DPOP+JWT', 'application/dpop+jwt']),
  ...inHeader(85, 'crit', UNSIGNED, [['b64'], []]),
  ...inPayload(86, 'htm', UNFIT, ['post', 'GET', undefined, ['POST'], 'POST ']),
  elsewhere('another host', (url) => url.replace('localhost', 'evil.example')),
  elsewhere('another scheme', (url) => url.replace('http:', 'https:')),
  elsewhere('another method', (url) => url.replace('getSpaceCredential', 'listRepos')),
  elsewhere('another port', (url) => url.replace(/:\d+\//, ':444/')),
  elsewhere('no port', (url) => url.replace(/:\d+\//, '/')),
  elsewhere('user info', (url) => url.replace('//', '//user@')),
  elsewhere('a dot behind the host', (url) => url.replace('localhost', 'localhost.')),
  elsewhere('dot segments', (url) => url.replace('/xrpc', '/x/../xrpc')),
  elsewhere('an escape', (url) => url.replace('/xrpc', '/%78rpc')),
  elsewhere('the address of this machine', (url) => url.replace('localhost', '127.0.0.1')),
  elsewhere('the path alone', () => EXCHANGE_PATH),
  elsewhere('nothing in it', () => undefined),
  aged(89, 'iat 70 s ago', '401 DpopProofExpired', (nowSec) => nowSec - 70),
  aged(89, 'iat 10 s ahead', UNSIGNED, (nowSec) => nowSec + 10),
  aged(89, 'iat as text', UNSIGNED, String),
  aged(89, 'iat in milliseconds', UNSIGNED, (nowSec) => nowSec * 1_000),
  aged(89, 'no iat', UNSIGNED, () => undefined),
  ...['-1e999', '1e999'].map((iat) =>
    lines(89, `iat ${iat}`, UNSIGNED, (one) => {
      const [header = '', payload = ''] = one.split('.')
      const text = Buffer.from(payload, 'base64url')
        .toString()
        .replace(/"iat":\d+/, `"iat":${iat}`)
      const input = `${header}.${base64Url(text)}`
      return [`${input}.${base64Url(signBytes(holder, input))}`]
    }),
  ),
  ...inPayload(90, 'jti', UNFIT, [undefined, '', 'j'.repeat(257), 7, 'a\u0000b']),
  ...inPayload(93, 'ath', UNFIT, ['fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo', '', null]),
  proof(96, 'a jwk with a thousand members', UNFIT, () => ({
    header: { jwk: { ...holder.jwk, ...Object.fromEntries(Array.from({ length: 1_000 }, (_, at) => [`m${at}`, 1])) } },
  })),
  proof(96, 'a proof of 2,049 characters', UNFIT, () => ({ payload: { padding: 'x'.repeat(2_049) } })),
  proof(96, 'a signature by somebody else', UNSIGNED, () => ({ signature: signBytes(makeKey('p256'), 'x') })),
  proof(96, 'a signature of 63 bytes', UNSIGNED, () => ({ signature: new Uint8Array(63).fill(1) })),
  lines(96, 'no form at all', UNSIGNED, () => ['proof']),
]

/* October: HTTP message signatures. */

interface Lines {
  readonly input: readonly string[]
  readonly value: readonly string[]
}

/** The header lines of a good signature over the good token, changed as text. */
const spelled = (number: number, says: string, change: (lines: { input: string; value: string }) => Partial<Lines>) =>
  row(number, says, UNPROVEN, (_scene, good) => {
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization: `Bearer ${good.token}` })
    const changed = change({ input: signatureInput, value: signature })
    return withLines(good, { input: [signatureInput], value: [signature], ...changed })
  })
/** A true signature by `key` over this inner list, whatever it says; `covered` are the lines of its fields. */
const truly = (
  number: number,
  list: string,
  { key = holder, covered, says = list }: { key?: TestKey; covered?: (line: string) => string; says?: string } = {},
) =>
  row(number, `a true signature over ${says.slice(0, 100)}`, UNPROVEN, (_scene, good) => {
    const line = `"authorization": Bearer ${good.token}\n`
    const base = `${covered ? covered(line) : line}"@signature-params": ${list}`
    const value = Buffer.from(signBytes(key, base)).toString('base64')
    return withLines(good, { input: [`atproto-space=${list}`], value: [`atproto-space=:${value}:`] })
  })
/** A true signature with other parameters, made at the time of the call. */
const timed = (number: number, says: string, params: (nowSec: number) => string) =>
  row(number, says, UNPROVEN, ({ world }, good) => {
    const { signatureInput, signature } = makeSpaceSignature({
      ...{ key: holder, authorization: `Bearer ${good.token}` },
      params: `${KEYID}${params(world.clock.nowSec())}`,
    })
    return withLines(good, { input: [signatureInput], value: [signature] })
  })
const withLines = ({ token }: Good, { input, value }: Lines): Parts => ({
  token,
  proofLines: [
    ...input.map((line) => ['signature-input', line] as const),
    ...value.map((line) => ['signature', line] as const),
  ],
})
/** A signature over one spelling of the Authorization line, with another one sent. */
const sentAs = (
  says: string,
  answers: string,
  sent: (token: string) => string,
  signedOver = (token: string) => `Bearer ${token}`,
) =>
  row(105, says, answers, (_scene, good) => {
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization: signedOver(good.token) })
    return {
      ...withLines(good, { input: [signatureInput], value: [signature] }),
      authorization: [['authorization', sent(good.token)]],
    }
  })

const KEYID = `;keyid="${holder.didKey}"`
const bytesOf = (value: string): Buffer => Buffer.from(value.split(':')[1] ?? '', 'base64')
const inColons = (bytes: Uint8Array): string => `atproto-space=:${Buffer.from(bytes).toString('base64')}:`
/** What another spelling of a signature's two numbers would be, as it goes into the header. */
const respelled = (name: string, value: string): string => {
  const spelling = otherSpellings('p256', bytesOf(value).toString('base64url'))[name]
  return inColons(Buffer.from(spelling ?? '', 'base64url'))
}

const SIGNATURE: readonly BadExchange[] = [
  spelled(97, 'no Signature', () => ({ value: [] })),
  spelled(97, 'no Signature-Input', () => ({ input: [] })),
  spelled(97, 'neither', () => ({ input: [], value: [] })),
  spelled(97, 'another label', ({ input, value }) => ({
    input: [input.replace('atproto-space', 'sig1')],
    value: [value.replace('atproto-space', 'sig1')],
  })),
  spelled(97, 'another label in Signature', ({ value }) => ({ value: [value.replace('atproto-space', 'sig1')] })),
  spelled(97, 'a second label that is broken', ({ input }) => ({ input: [`x=(, ${input}`] })),
  spelled(98, 'our label twice in one line, another key first', ({ input }) => ({
    input: [`atproto-space=("authorization");keyid="${makeKey('p256').didKey}", ${input}`],
  })),
  spelled(98, 'our label twice in one line, another key last', ({ input }) => ({
    input: [`${input}, atproto-space=("authorization");keyid="${makeKey('p256').didKey}"`],
  })),
  spelled(98, 'our label on two lines', ({ input }) => ({ input: [input, input] })),
  spelled(98, 'two signatures under our label', ({ value }) => ({ value: [`atproto-space=:AAAA:, ${value}`] })),
  truly(98, `("authorization");keyid="${makeKey('p256').didKey}"${KEYID}`, { says: 'keyid twice' }),
  truly(99, `()${KEYID}`, { covered: () => '' }),
  truly(99, `("authorization" "@method")${KEYID}`, { covered: (line) => `${line}"@method": POST\n` }),
  truly(99, `("@method" "authorization")${KEYID}`, { covered: (line) => `"@method": POST\n${line}` }),
  truly(99, `("@method")${KEYID}`, { covered: () => '"@method": POST\n' }),
  truly(99, `("authorization" "authorization")${KEYID}`, { covered: (line) => line + line }),
  truly(99, `("Authorization")${KEYID}`),
  ...['sf', 'bs', 'req', 'tr'].map((param) => truly(99, `("authorization";${param})${KEYID}`)),
  truly(99, `(authorization)${KEYID}`),
  truly(99, `"authorization"${KEYID}`),
  truly(99, `("authorization" "atproto-space-audience")${KEYID}`, {
    covered: (line) => `${line}"atproto-space-audience": did:plc:${'c'.repeat(24)}\n`,
  }),
  truly(100, '("authorization")', { says: 'no keyid' }),
  truly(100, '("authorization");keyid="key-1"'),
  truly(100, `("authorization");keyid="${holder.didKey}#${holder.didKey.slice(8)}"`, {
    says: 'a keyid with a fragment',
  }),
  truly(100, `("authorization");keyid=${holder.didKey}`, { says: 'a keyid without quotes' }),
  ...[makeKey('k256')].map((key) => truly(100, `("authorization");keyid="${key.didKey}"`, { key, says: 'secp256k1' })),
  truly(100, '("authorization");keyid="did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"'),
  truly(100, `("authorization");keyid="did:key:z${'D'.repeat(6_000)}"`),
  truly(100, `("authorization");keyid="did:key:z${'D'.repeat(10_000)}"`, { says: 'a keyid of 10 KB' }),
  ...['hmac-sha256', 'rsa-pss-sha512', 'ed25519', 'ecdsa-p384-sha384', ''].map((alg) =>
    truly(101, `("authorization")${KEYID};alg="${alg}"`, { says: `alg "${alg}"` }),
  ),
  spelled(102, 'DER', ({ value }) => ({ value: [respelled('DER', value)] })),
  spelled(102, '63 bytes', ({ value }) => ({ value: [respelled('a byte short', value)] })),
  spelled(102, '65 bytes', ({ value }) => ({ value: [respelled('a byte long', value)] })),
  spelled(102, '64 zero bytes', ({ value }) => ({ value: [respelled('all zero', value)] })),
  spelled(102, 'no bytes', () => ({ value: ['atproto-space=::'] })),
  spelled(102, 'the alphabet of URLs', () => ({ value: [`atproto-space=:${'-_'.repeat(42)}AA==:`] })),
  spelled(102, 'no colons', ({ value }) => ({ value: [value.replaceAll(':', '')] })),
  spelled(102, 'a parameter', ({ value }) => ({ value: [`${value};x=1`] })),
  timed(104, 'expires now', (nowSec) => `;expires=${nowSec}`),
  timed(104, 'expires a minute ago', (nowSec) => `;expires=${nowSec - 60}`),
  timed(104, 'created five minutes ahead', (nowSec) => `;created=${nowSec + 300}`),
  timed(104, 'created as text', () => ';created="now"'),
  sentAs('a scheme in another case than was signed', UNPROVEN, (token) => `bearer ${token}`),
  sentAs('two spaces where one was signed', '400 InvalidToken', (token) => `Bearer  ${token}`),
  sentAs(
    'two spaces, truly signed',
    '400 InvalidToken',
    (token) => `Bearer  ${token}`,
    (token) => `Bearer  ${token}`,
  ),
  sentAs(
    'a signature over another token',
    UNPROVEN,
    (token) => `Bearer ${token}`,
    () => 'Bearer aaa.bbb.ccc',
  ),
  spelled(106, '9 KB of other labels', ({ input }) => ({ input: [`${'a=(), '.repeat(1_500)}${input}`] })),
  spelled(106, '8 KB of other labels on six lines', ({ input }) => ({
    input: [...Array.from({ length: 6 }, (_, at) => `${`b${at}=(), `.repeat(200)}c${at}=()`), input],
  })),
  spelled(106, 'a list of 2,000 fields', () => ({ input: [`atproto-space=(${'"a" '.repeat(2_000)})`] })),
  spelled(106, '9 KB of other signatures', ({ value }) => ({ value: [`${'a=:AAAA:, '.repeat(900)}${value}`] })),
]

let scene: Scene
let dials: DialRecorder
beforeAll(async () => {
  scene = await openScene(await openTestDatabase('embedded'))
  dials = recordDials()
})
afterAll(async () => {
  dials.stop()
  await scene.close()
})

describe('a DPoP proof that is bad', () => {
  it.each(DPOP)('row $row: $says is $answers, and the token is good with another proof', async (bad) => {
    await expectRefused(scene, dials, bad, 'august')
  })

  it('row 80: that isn’t there is told as the missing signature of the newer generation', async () => {
    const bad = row(80, 'no proof', UNPROVEN, (_scene, { token }) => ({ token, proofLines: [] }))
    await expectRefused(scene, dials, bad, 'august')
  })

  it('row 70: costs the token nothing, however often', async () => {
    const { token } = goodToken(scene)
    for (let time = 0; time < 3; time++) {
      const answer = await exchange(scene, { token, binding: 'august', proof: { payload: { htm: 'GET' } } })
      expect(verdictOf(answer)).toBe(UNFIT)
    }
    expect(verdictOf(await exchange(scene, { token, binding: 'august' }))).toBe('in')
    expect(verdictOf(await exchange(scene, { token, binding: 'august' }))).toBe('401 JwtReplayed')
  })

  it('row 88: is not one whose htu has a query or a fragment, which are cut', async () => {
    const url = scene.world.url + EXCHANGE_PATH
    for (const htu of [`${url}?space=x`, `${url}#x`, `${url}?a#b`]) {
      expect(verdictOf(await exchange(scene, { binding: 'august', proof: { payload: { htu } } }))).toBe('in')
    }
  })

  it('row 85: is not one that says more than it must', async () => {
    const jwk = { ...holder.jwk, kid: 'mine', use: 'sig', key_ops: ['verify'], alg: 'ES256' }
    const answer = await exchange(scene, { holder, binding: 'august', proof: { header: { jwk, kid: 'mine' } } })
    expect(verdictOf(answer)).toBe('in')
  })
})

describe('an HTTP signature that is bad', () => {
  it.each(SIGNATURE)('row $row: $says is $answers, and the token is good with another', async (bad) => {
    await expectRefused(scene, dials, bad, 'october')
  })

  it('row 103: is not one with a high S, or with a low one', async () => {
    for (const s of ['high', 'low'] as const) {
      const { token } = goodToken(scene)
      const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization: `Bearer ${token}`, s })
      const answer = await exchange(
        scene,
        withLines({ token, jti: '' }, { input: [signatureInput], value: [signature] }),
      )
      expect(verdictOf(answer)).toBe('in')
    }
  })

  it('row 108: is not made good by a DPoP proof beside it', async () => {
    const bad = row(108, 'both', UNPROVEN, (there, good) => ({
      ...withLines(good, { input: ['atproto-space=("authorization")'], value: ['atproto-space=:AAAA:'] }),
      more: [['dpop', fresh(there)]],
    }))
    await expectRefused(scene, dials, bad, 'october')
  })
})

describe.each([
  ['96', 'august', 'dpop', (): string => 'A'.repeat(12_000)],
  ['106', 'october', 'signature-input', (): string => `atproto-space=(${'"a" '.repeat(3_000)})`],
] as const)('row %s: megabytes of bad proofs (%s)', (_row, binding, name, line) => {
  it('leave nothing behind in memory, and keep nobody from their credential', async () => {
    const proofLines = [[name, line()]] as const
    const send = () => Promise.all(Array.from({ length: 25 }, () => exchange(scene, { binding, proofLines })))
    await send()
    const before = await heldBytes()
    for (let batch = 0; batch < 10; batch++) {
      const [answers, good] = await Promise.all([send(), exchange(scene, { binding })])
      for (const { status } of answers) expect(status).toBe(401)
      expect(verdictOf(good)).toBe('in')
    }
    expect((await heldBytes()) - before).toBeLessThan(LEFT_MAX_BYTES)
  })
})
