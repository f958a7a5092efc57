import { createHash } from 'node:crypto'
import { p256 } from '@noble/curves/nist.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  hasSpaceSignature,
  type SignedHeaders,
  signatureBase,
  verifyExchangeSignature,
  verifyPresentationSignature,
} from '../../src/credential/http-signature.ts'
import type { DidKey } from '../../src/names.ts'
import { keyOfScalar, makeKey, makeSpaceSignature, signBytes, type TestKey } from '../kit/tokens.ts'
import { spoilt, type Verdict, verdictOf } from '../kit/verdicts.ts'

const NOW = 1_800_000_000
const SEED = 20_261_124
const AUDIENCE = 'did:plc:cccccccccccccccccccccccc'
const BEARER = 'Bearer aaa.bbb.ccc'
const SHOWN = 'Atproto-Space ddd.eee.fff'
const key = makeKey('p256')

type Exchange = SignedHeaders & { nowSec: number }
type Presentation = Exchange & { audience: string[]; holder: DidKey }

/** The headers of an exchange; `params` replaces what follows the covered fields. */
function exchange(how: { params?: string; signer?: TestKey; s?: 'high' | 'low' } = {}): Exchange {
  const { signer = key, ...rest } = how
  const made = makeSpaceSignature({ key: signer, authorization: BEARER, ...rest })
  return headersOf(BEARER, made)
}

function presentation(how: { params?: string; signer?: TestKey; s?: 'high' | 'low' } = {}): Presentation {
  const { signer = key, ...rest } = how
  const made = makeSpaceSignature({ key: signer, authorization: SHOWN, audience: AUDIENCE, ...rest })
  return { ...headersOf(SHOWN, made), audience: [AUDIENCE], holder: key.didKey }
}

function headersOf(authorization: string, made: { signatureInput: string; signature: string }): Exchange {
  const { signatureInput, signature } = made
  return { authorization: [authorization], signatureInput: [signatureInput], signature: [signature], nowSec: NOW }
}

/** An exchange whose whole inner list is `list`, truly signed with that text as its parameters. */
function exchangeOver(list: string, lines = `"authorization": ${BEARER}\n`): Exchange {
  const signature = Buffer.from(signBytes(key, `${lines}"@signature-params": ${list}`)).toString('base64')
  return headersOf(BEARER, { signatureInput: `atproto-space=${list}`, signature: `atproto-space=:${signature}:` })
}

const judgeExchange = (input: Exchange): Promise<Verdict> => verdictOf(() => verifyExchangeSignature(input))
const judgePresentation = (input: Presentation): Promise<Verdict> => verdictOf(() => verifyPresentationSignature(input))
const KEYID = `;keyid="${key.didKey}"`

describe('the worked examples of the protocol', () => {
  const worked = keyOfScalar('p256', createHash('sha256').update('arbiter worked example key').digest())
  const holder = 'did:key:zDnaecYxSf35fQJygfCvCRVXRFugxNhDscNRvTsnSzGvacKyW'
  const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')

  it('have the key that they say', () => {
    expect(worked.didKey).toBe(holder)
    expect(worked.jwk.x).toBe('tBagfwVz6DBnt-J35REZrEi_dSBe3d8f4E29TLuJHT0')
    expect(worked.jwk.y).toBe('k4t3WXdw1cMLw80L6FN-WuKF1iP2wnFdBtYYtbra7Dw')
    expect(Buffer.from(worked.publicKey.compressed).toString('hex')).toBe(
      '02b416a07f0573e83067b7e277e51119ac48bf75205edddf1fe04dbd4cbb891d3d',
    )
  })

  it('exchange: 140 bytes, their hash, and their signature verifies (reference 29, 30)', () => {
    const base = signatureBase([['authorization', BEARER]], `("authorization");keyid="${holder}"`)
    expect(base).toBe(`"authorization": Bearer aaa.bbb.ccc\n"@signature-params": ("authorization");keyid="${holder}"`)
    expect(Buffer.byteLength(base)).toBe(140)
    expect(hashOf(base)).toBe('4114b9e7340d137fbaa0b19f4c519209b95fad909f77df0dd48b2338fdbb050b')
    const signature =
      'atproto-space=:N9HthKX/h8wy1MShwHny+FwFoNdhOQdzeTIHzOJd6Bos28iu5DRVurEL+y/prl5dV4kP462exd7tqMwVMDpPZg==:'
    const signatureInput = `atproto-space=("authorization");keyid="${holder}"`
    expect(verifyExchangeSignature(headersOf(BEARER, { signatureInput, signature }))).toEqual({ holder })
  })

  it('presentation: 165 bytes, their hash, and their signature verifies', () => {
    const audience = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
    const params = '("authorization" "atproto-space-audience")'
    const base = signatureBase(
      [
        ['authorization', SHOWN],
        ['atproto-space-audience', audience],
      ],
      params,
    )
    expect(Buffer.byteLength(base)).toBe(165)
    expect(hashOf(base)).toBe('13eb7e64138869283ff3772c0a24fcc94233bec6578c5bbc5ff2cfe1ca59c0bf')
    const signature =
      'atproto-space=:XkXqAXxivTTWX3ErxNJ0nIbf8H788ibzUuIpnVluoiMA2GJjhyzcdwtGGcZN8uITiYvvo0IOEmyuoYp0jfhu5Q==:'
    const headers = headersOf(SHOWN, { signatureInput: `atproto-space=${params}`, signature })
    const taken = verifyPresentationSignature({ ...headers, audience: [audience], holder: worked.didKey })
    expect(taken).toEqual({ audience })
  })
})

describe('which generation a request speaks', () => {
  it('is the newer one when Signature-Input has our label, sound or not (row 108)', () => {
    for (const lines of [
      exchange().signatureInput,
      ['sig1=("@method"), atproto-space=("authorization")'],
      ['sig1=("@method")', 'atproto-space=("authorization")'],
      ['sig1=("@method"),\tatproto-space;x'],
      ['atproto-space=(((('],
      ['atproto-space'],
      ['  atproto-space=1'],
    ]) {
      expect(hasSpaceSignature(lines), lines.join(' | ')).toBe(true)
    }
  })

  it('is not the newer one without our label', () => {
    for (const lines of [
      [],
      [''],
      ['sig1=("authorization")'],
      ['atproto-space-2=("authorization")'],
      ['atproto-spaceship=("authorization")'],
      ['xatproto-space=("authorization")'],
      ['sig1=("authorization");tag="atproto-space"'],
      ['ATPROTO-SPACE=("authorization")'],
    ]) {
      expect(hasSpaceSignature(lines), lines.join(' | ')).toBe(false)
    }
  })
})

describe('a good HTTP signature', () => {
  it('gives the key of an exchange, and the audience of a presentation', () => {
    expect(verifyExchangeSignature(exchange())).toEqual({ holder: key.didKey })
    expect(verifyPresentationSignature(presentation())).toEqual({ audience: AUDIENCE })
  })

  it('row 103 (reference 31): may have a high S or a low S', async () => {
    for (const s of ['high', 'low'] as const) {
      expect(await judgeExchange(exchange({ s }))).toBe('accepted')
      expect(await judgePresentation(presentation({ s }))).toBe('accepted')
    }
  })

  const parameters = [
    ';alg="ecdsa-p256-sha256"',
    `;created=${NOW}`,
    `;created=${NOW + 30}`,
    ';created=1',
    `;expires=${NOW + 1}`,
    `;created=${NOW - 10};expires=${NOW + 300};nonce="b3k2pp5k7z-50gnwp.yemd"`,
    ';tag="app"',
    ';nonce="with \\" and \\\\ and , and ; and ("',
    ';flag;off=?0;n=-7;d=1.5;t=a/b:c*;bytes=:AQID:;name=%"f%c3%bc"',
  ]
  it.each(parameters)('may have the parameters %s, before and behind keyid (reference 32, 33)', async (params) => {
    expect(await judgeExchange(exchange({ params: KEYID + params }))).toBe('accepted')
    expect(await judgeExchange(exchange({ params: params + KEYID }))).toBe('accepted')
    expect(await judgePresentation(presentation({ params }))).toBe('accepted')
  })

  it('may name its key on presentation (5.2)', async () => {
    expect(await judgePresentation(presentation({ params: KEYID }))).toBe('accepted')
  })

  it('may sit among other labels, in one line or several (reference 33, 51)', async () => {
    const { signatureInput, signature, ...rest } = exchange()
    const other = 'sig1=("@method" "@path";req);created=1;tag="a, b"'
    const otherSignature = 'sig1=:AAAA:;x=1'
    for (const [inputs, signatures] of [
      [
        [other, ...signatureInput],
        [otherSignature, ...signature],
      ],
      [
        [...signatureInput, other],
        [...signature, otherSignature],
      ],
      [[`${other},\t ${signatureInput[0]} , sig2;y`], [`sig2=?1, ${signature[0]},${otherSignature}`]],
    ] as const) {
      expect(await judgeExchange({ ...rest, signatureInput: inputs, signature: signatures })).toBe('accepted')
    }
  })

  it('does not mind white space around the field, which servers cut', async () => {
    expect(await judgeExchange({ ...exchange(), authorization: [` ${BEARER}\t `] })).toBe('accepted')
    expect(await judgePresentation({ ...presentation(), audience: [` ${AUDIENCE}`] })).toBe('accepted')
  })

  it('may be used twice, and verifies at another implementation', async () => {
    for (let i = 0; i < 50; i++) {
      const input = exchange()
      expect(await judgeExchange(input)).toBe('accepted')
      expect(await judgeExchange(input)).toBe('accepted')
      const base = signatureBase([['authorization', BEARER]], `("authorization")${KEYID}`)
      const bytes = Buffer.from(input.signature[0]?.split(':')[1] ?? '', 'base64')
      expect(p256.verify(bytes, Buffer.from(base), key.publicKey.compressed, { lowS: false })).toBe(true)
    }
  })
})

interface Row {
  row: number
  says: string
  input: Exchange
}
const good = exchange()
const goodBytes = new Uint8Array(Buffer.from(good.signature[0]?.split(':')[1] ?? '', 'base64'))
const withInput = (row: number, says: string, ...signatureInput: string[]): Row => ({
  row,
  says,
  input: { ...good, signatureInput },
})
const withSignature = (row: number, says: string, ...signature: string[]): Row => ({
  row,
  says,
  input: { ...good, signature },
})
const signed = (row: number, list: string, lines?: string): Row => ({
  row,
  says: `a true signature over ${list.slice(0, 110)}`,
  input: exchangeOver(list, lines),
})
const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')
const ourInput = good.signatureInput[0] ?? ''
const ourSignature = good.signature[0] ?? ''
const covered = `"authorization": ${BEARER}\n`
const audienceLine = `"atproto-space-audience": ${AUDIENCE}\n`
const other = makeKey('p256')
const ed25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'

describe('a bad HTTP signature', () => {
  const rows: Row[] = [
    withInput(97, 'no Signature-Input'),
    withInput(97, 'an empty Signature-Input', ''),
    withSignature(97, 'no Signature'),
    withSignature(97, 'an empty Signature', ''),
    withInput(97, 'another label in Signature-Input', ourInput.replace('atproto-space', 'sig1')),
    withSignature(97, 'another label in Signature', ourSignature.replace('atproto-space', 'sig1')),
    withInput(97, 'our label in capitals', ourInput.replace('atproto-space=', 'Atproto-Space=')),
    { row: 97, says: 'no Authorization', input: { ...good, authorization: [] } },
    { row: 3, says: 'Authorization twice (reference 35)', input: { ...good, authorization: [BEARER, BEARER] } },
    withInput(98, 'our label twice in one line', `${ourInput}, ${ourInput}`),
    withInput(98, 'our label twice in two lines', ourInput, ourInput),
    withInput(98, 'another key first', `atproto-space=("authorization");keyid="${other.didKey}",${ourInput}`),
    withInput(98, 'our label again, bare', `atproto-space, ${ourInput}`),
    withInput(98, 'our label again behind a display string', `a=%"\\", atproto-space=1, ${ourInput}`),
    withSignature(98, 'our label twice in Signature', `atproto-space=:AAAA:, ${ourSignature}`),
    signed(98, `("authorization");keyid="${other.didKey}"${KEYID}`),
    signed(98, `("authorization")${KEYID}${KEYID}`),
    signed(99, `()${KEYID}`, ''),
    signed(99, `()${KEYID}`),
    signed(99, `("authorization" "@method")${KEYID}`, `${covered}"@method": POST\n`),
    signed(99, `("@method" "authorization")${KEYID}`, `"@method": POST\n${covered}`),
    signed(99, `("authorization" "authorization")${KEYID}`, covered + covered),
    signed(99, `("Authorization")${KEYID}`),
    signed(99, `("@method")${KEYID}`, '"@method": POST\n'),
    ...['sf', 'bs', 'req', 'tr', 'key="a"', 'x=?0'].map((param) => signed(99, `("authorization";${param})${KEYID}`)),
    signed(99, `(authorization)${KEYID}`),
    signed(99, `(:YXV0aG9yaXphdGlvbg==:)${KEYID}`),
    signed(99, `"authorization"${KEYID}`),
    {
      row: 99,
      says: 'the shape of a presentation (reference 41)',
      input: exchangeOver(`("authorization" "atproto-space-audience")${KEYID}`, covered + audienceLine),
    },
    signed(100, '("authorization")'),
    ...[
      '',
      'key-1',
      key.didKey.slice('did:key:'.length),
      `${key.didKey}#${key.didKey.slice('did:key:'.length)}`,
      ` ${key.didKey}`,
      makeKey('k256').didKey,
      ed25519,
      `did:key:z${'D'.repeat(6_000)}`,
      `did:key:zDn${'1'.repeat(40)}`,
      'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa',
    ].map((keyid) => signed(100, `("authorization");keyid="${keyid}"`)),
    signed(100, `("authorization");keyid=${key.didKey}`),
    signed(100, '("authorization");keyid'),
    signed(100, `("authorization");keyid=:${base64(key.publicKey.compressed)}:`),
    ...['hmac-sha256', 'rsa-pss-sha512', 'ed25519', 'ecdsa-p384-sha384', 'ECDSA-P256-SHA256', ''].map((alg) =>
      signed(101, `("authorization")${KEYID};alg="${alg}"`),
    ),
    signed(101, `("authorization")${KEYID};alg=ecdsa-p256-sha256`),
    signed(101, `("authorization")${KEYID};alg`),
    withSignature(102, 'DER', `atproto-space=:${base64(p256.Signature.fromBytes(goodBytes).toBytes('der'))}:`),
    withSignature(102, '63 bytes', `atproto-space=:${base64(goodBytes.subarray(1))}:`),
    withSignature(102, '65 bytes', `atproto-space=:${base64(Uint8Array.of(...goodBytes, 0))}:`),
    withSignature(102, '0 bytes', 'atproto-space=::'),
    withSignature(102, '64 zero bytes', `atproto-space=:${base64(new Uint8Array(64))}:`),
    withSignature(102, 'the alphabet of URLs', `atproto-space=:${'-_'.repeat(42)}AA==:`),
    withSignature(102, 'no colons', `atproto-space=${base64(goodBytes)}`),
    withSignature(102, 'one colon', `atproto-space=:${base64(goodBytes)}`),
    withSignature(102, 'text', `atproto-space="${base64(goodBytes)}"`),
    withSignature(102, 'a parameter', `${ourSignature};x=1`),
    withSignature(102, 'a list', `atproto-space=(${ourSignature.slice('atproto-space='.length)})`),
    withSignature(102, 'a bare label', 'atproto-space'),
    withSignature(102, 'the signature of another key (reference 38)', exchange({ signer: other }).signature[0] ?? ''),
    withSignature(102, 'a comma at the end', `${ourSignature},`),
    signed(104, `("authorization")${KEYID};expires=${NOW}`),
    signed(104, `("authorization")${KEYID};expires=${NOW - 1}`),
    signed(104, `("authorization")${KEYID};expires=-1`),
    signed(104, `("authorization")${KEYID};expires="${NOW + 60}"`),
    signed(104, `("authorization")${KEYID};expires=${NOW + 60}.5`),
    signed(104, `("authorization")${KEYID};expires=@${NOW + 60}`),
    signed(104, `("authorization")${KEYID};expires`),
    signed(104, `("authorization")${KEYID};created=${NOW + 31}`),
    signed(104, `("authorization")${KEYID};created=${NOW + 300}`),
    signed(104, `("authorization")${KEYID};created="now"`),
    { row: 105, says: 'a scheme in another case', input: { ...good, authorization: ['bearer aaa.bbb.ccc'] } },
    { row: 105, says: 'two spaces', input: { ...good, authorization: ['Bearer  aaa.bbb.ccc'] } },
    { row: 105, says: 'another token (reference 34, 63)', input: { ...good, authorization: ['Bearer aaa.bbb.ccd'] } },
    { row: 105, says: 'letters beyond ASCII', input: { ...good, authorization: ['Bearer aaa.bbb.cçc'] } },
    { row: 105, says: 'a line break', input: { ...good, authorization: ['Bearer aaa\n.bbb.ccc'] } },
    withInput(106, '64 KB of other labels', ...Array.from({ length: 6_000 }, (_, i) => `sig${i}=()`), ourInput),
    withInput(106, 'a list of 90,000 fields', `atproto-space=(${'"a" '.repeat(90_000)})`),
    withSignature(106, '64 KB of other signatures', `${'a=:AAAA:, '.repeat(6_600)}${ourSignature}`),
    { row: 106, says: '64 KB of Authorization', input: { ...good, authorization: [`Bearer ${'a'.repeat(65_536)}`] } },
    { row: 100, says: 'a secp256k1 key that truly signed', input: exchange({ signer: makeKey('k256') }) },
    {
      row: 105,
      says: 'letters beyond ASCII, truly signed',
      input: headersOf('Bearer aaa.bbb.cçc', makeSpaceSignature({ key, authorization: 'Bearer aaa.bbb.cçc' })),
    },
    withInput(98, 'keyid twice, signed once', `${ourInput}${KEYID}`),
    withInput(42, 'a parameter added after signing', `${ourInput};tag="x"`),
    withInput(42, 'other white space than was signed', ourInput.replace('("', '( "')),
    withInput(42, 'a letter beyond ASCII in another label', `x="é", ${ourInput}`),
    withInput(97, 'another label that is malformed', `x=(, ${ourInput}`),
    withInput(97, 'a comma in front', '', ourInput),
    signed(42, `("authorization"  )${KEYID}`),
    signed(42, `("authorization"); keyid="${key.didKey}"`),
    signed(42, `("authorization")${KEYID};n=1.0`),
    signed(42, `("authorization")${KEYID};x=?1`),
  ]
  it.each(rows)('row $row: with $says is refused', async ({ input }) => {
    expect(await judgeExchange(input)).toBe('BadSpaceSignature')
  })

  it('reference 42: with parameters changed after signing is refused', async () => {
    const { signatureInput, ...rest } = exchange({ params: `${KEYID};created=${NOW};nonce="a"` })
    const changed = signatureInput.map((line) => line.replace('"a"', '"b"'))
    expect(await judgeExchange({ ...rest, signatureInput: changed })).toBe('BadSpaceSignature')
    const reordered = [`atproto-space=("authorization");created=${NOW};nonce="a"${KEYID}`]
    expect(await judgeExchange({ ...rest, signatureInput: reordered })).toBe('BadSpaceSignature')
  })

  it('is judged at the clock: expires and created at every edge', async () => {
    const input = exchange({ params: `${KEYID};created=${NOW};expires=${NOW + 60}` })
    for (const [at, verdict] of [
      [-31, 'BadSpaceSignature'],
      [-30, 'accepted'],
      [59, 'accepted'],
      [60, 'BadSpaceSignature'],
    ] as const) {
      expect(await judgeExchange({ ...input, nowSec: NOW + at }), `${at}`).toBe(verdict)
    }
  })

  it(`spoilt at random is refused, or says what it said (seed ${SEED})`, async () => {
    const fields = ['authorization', 'signatureInput', 'signature'] as const
    for (const field of fields) {
      const text = good[field][0] ?? ''
      await fc.assert(
        fc.asyncProperty(spoilt(text), async (line) => {
          const verdict = await judgeExchange({ ...good, [field]: [line] })
          if (verdict === 'accepted') expect(meaningOf(line)).toBe(meaningOf(text))
          else expect(verdict).toBe('BadSpaceSignature')
        }),
        { seed: SEED, numRuns: 500 },
      )
    }
  })

  it(`of any ASCII is refused and nothing else is thrown (seed ${SEED})`, async () => {
    const scraps = fc.constantFrom(
      'atproto-space',
      '=',
      '("authorization")',
      KEYID,
      ',',
      ';',
      ':',
      '"',
      '%"',
      '?',
      '@',
      '(',
    )
    const texts = fc.array(scraps, { maxLength: 12 }).map((pieces) => pieces.join(''))
    await fc.assert(
      fc.asyncProperty(texts, texts, async (signatureInput, signature) => {
        const input = { ...good, signatureInput: [signatureInput], signature: [signature] }
        expect(await judgeExchange(input)).toBe('BadSpaceSignature')
        hasSpaceSignature([signatureInput])
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})

describe('a bad presentation', () => {
  const shown = presentation()
  const k256 = makeKey('k256')
  const rows: { row: number; says: string; input: Presentation }[] = [
    { row: 109, says: 'no audience', input: { ...shown, audience: [] } },
    { row: 109, says: 'the audience twice (reference 35)', input: { ...shown, audience: [AUDIENCE, AUDIENCE] } },
    ...[`${AUDIENCE}#atproto_space_host`, 'garden.example', '', 'did:web:EVIL.com', `${AUDIENCE}, ${AUDIENCE}`].map(
      (audience) => ({
        row: 109,
        says: `the audience "${audience}", truly signed`,
        input: {
          ...headersOf(SHOWN, makeSpaceSignature({ key, authorization: SHOWN, audience })),
          audience: [audience],
          holder: key.didKey,
        },
      }),
    ),
    {
      row: 34,
      says: 'another audience than was signed',
      input: { ...shown, audience: ['did:plc:dddddddddddddddddddddddd'] },
    },
    { row: 34, says: 'another credential than was signed', input: { ...shown, authorization: [`${SHOWN}g`] } },
    { row: 35, says: 'Authorization twice', input: { ...shown, authorization: [SHOWN, SHOWN] } },
    { row: 36, says: 'no Signature', input: { ...shown, signature: [] } },
    { row: 36, says: 'no Signature-Input', input: { ...shown, signatureInput: [] } },
    {
      row: 37,
      says: 'a signature over Authorization alone',
      input: {
        ...headersOf(SHOWN, makeSpaceSignature({ key, authorization: SHOWN })),
        audience: [AUDIENCE],
        holder: key.didKey,
      },
    },
    { row: 38, says: 'the signature of another key', input: presentation({ signer: other }) },
    { row: 112, says: 'a keyid that is not the holder', input: presentation({ params: `;keyid="${other.didKey}"` }) },
    { row: 112, says: 'a keyid that is a token', input: presentation({ params: `;keyid=${key.didKey}` }) },
    { row: 113, says: 'a holder over another curve', input: { ...shown, holder: makeKey('k256').didKey } },
    {
      row: 113,
      says: 'a holder over another curve that truly signed',
      input: { ...presentation({ signer: k256 }), holder: k256.didKey },
    },
    { row: 104, says: 'expires in the past', input: presentation({ params: `;expires=${NOW - 1}` }) },
    { row: 104, says: 'created 5 min ahead', input: presentation({ params: `;created=${NOW + 300}` }) },
    { row: 101, says: 'another alg', input: presentation({ params: ';alg="ed25519"' }) },
  ]
  it.each(rows)('row $row: with $says is refused', async ({ input }) => {
    expect(await judgePresentation(input)).toBe('BadSpaceSignature')
  })

  it('row 99: with its covered fields in another order, repeated or with parameters is refused', async () => {
    const authorization = `"authorization": ${SHOWN}\n`
    for (const [list, lines] of [
      ['("atproto-space-audience" "authorization")', audienceLine + authorization],
      ['("authorization" "atproto-space-audience" "authorization")', authorization + audienceLine + authorization],
      ['("authorization" "atproto-space-audience";sf)', authorization + audienceLine],
      ['("authorization" "Atproto-Space-Audience")', authorization + audienceLine],
      ['("authorization" "atproto-space-audience" "@method")', `${authorization}${audienceLine}"@method": GET\n`],
      ['("atproto-space-audience")', audienceLine],
    ] as const) {
      const signature = `atproto-space=:${base64(signBytes(key, `${lines}"@signature-params": ${list}`))}:`
      const headers = headersOf(SHOWN, { signatureInput: `atproto-space=${list}`, signature })
      const verdict = await judgePresentation({ ...headers, audience: [AUDIENCE], holder: key.didKey })
      expect(verdict, list).toBe('BadSpaceSignature')
    }
  })
})

/** What may differ without a difference in meaning: white space around, the spelling of base64, other members' presence. */
function meaningOf(line: string): string {
  const value = /^[ \t]*atproto-space=:([A-Za-z0-9+/]*)=*:/.exec(line)?.[1]
  return value === undefined ? line.trim() : Buffer.from(value, 'base64').toString('hex')
}
