/**
 * The two proofs of possession, spoilt at every level and often truly signed again: DPoP beside `jose`, HTTP signatures beside a
 * reader of their own that knows nothing of structured fields but commas, quotes and brackets.
 */
import { createPublicKey, verify as opensslVerify } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { verifyDpopProof } from '../../src/credential/dpop.ts'
import { hasSpaceSignature, type SignedHeaders, verifyExchangeSignature } from '../../src/credential/http-signature.ts'
import { answerOrRefusal, CANARY, type Dice, fuzz, mutateJws, mutateText, SEED } from '../kit/mutate.ts'
import { base64Url, keyOfScalar, signBytes, type TestKey } from '../kit/tokens.ts'
import { requireListed } from './divergences.ts'

const NOW = 1_800_000_000
const URL_OF_MINT = 'https://reeve.example.com/xrpc/com.atproto.space.getSpaceCredential'
const P = keyOfScalar('p256', new Uint8Array(32).fill(3))
const OTHER = keyOfScalar('p256', new Uint8Array(32).fill(4))
const K = keyOfScalar('k256', new Uint8Array(32).fill(5))

describe('a spoilt DPoP proof', () => {
  const parts = {
    header: { alg: 'ES256', typ: 'dpop+jwt', jwk: P.jwk },
    payload: { jti: `${CANARY}-0123456789`, htm: 'POST', htu: URL_OF_MINT, iat: NOW },
  }
  const POOL = {
    names: 'jti htm htu iat ath exp nbf alg typ kid jwk crit b64 kty crv x y d use key_ops ext x5c nonce'.split(' '),
    values: [
      ...[
        NOW,
        NOW + 5,
        NOW + 6,
        NOW - 65,
        NOW - 66,
        'POST',
        'GET',
        'sig',
        'enc',
        ['verify'],
        ['verify', 'sign'],
        ['verify', 'verify'],
      ],
      ...[URL_OF_MINT, `${URL_OF_MINT}?x=1`, `${URL_OF_MINT}#x`, `${URL_OF_MINT}/`, URL_OF_MINT.toUpperCase()],
      ...[
        URL_OF_MINT.replace('.com', '.com:443'),
        URL_OF_MINT.replace('https', 'HTTPS'),
        URL_OF_MINT.replace('/xrpc', '/a/../xrpc'),
      ],
      ...[
        URL_OF_MINT.replace('//', '//user@'),
        URL_OF_MINT.replace('.com/', '.com\\'),
        'dpop+jwt',
        'application/dpop+jwt',
        'DPOP+JWT',
      ],
      ...['ES256', 'ES256K', 'none', 'P-256', P.jwk, OTHER.jwk, K.jwk, P.jwk.x, OTHER.jwk.y, `${P.jwk.x}=`],
    ],
  }
  const REASONS: Readonly<Record<string, string>> = {
    'DPoP: the proof is not a well-formed compact JWT': 'base64url, JSON',
    'DPoP: typ must be dpop+jwt': 'DPoP `typ`',
    'DPoP: the header has members that are not taken': 'header members `jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`',
    'DPoP: jwk must be a public P-256 key': 'base64url, JSON',
    'DPoP: iat must be whole seconds': 'numbers in tokens',
    'DPoP: exp and nbf must be whole seconds': 'numbers in tokens',
    'DPoP: jti must be 1 to 256 characters, without control characters': '`jti` of any token',
    'DPoP: htm must be POST': 'protocol',
    'DPoP: htu must be the public address of this method': 'protocol',
    'DPoP: ath must be absent when a credential is asked for': 'protocol',
    'DPoP: a proof has at most 2048 characters': 'DPoP proof',
  }
  const joseTakes = (proof: string) =>
    jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      algorithms: ['ES256'],
      maxTokenAge: 60,
      clockTolerance: 5,
      currentDate: new Date(NOW * 1000),
    }).catch(() => null)

  const judged = (proof: string) =>
    verifyDpopProof({ proofs: [proof], method: 'POST', url: URL_OF_MINT, nowSec: NOW, ath: 'absent' })

  it(`is taken only where jose takes it, and refused alone only for a listed reason (seed ${SEED})`, async () => {
    const words = await fuzz(
      'DPoP proof',
      4_000,
      (dice) => mutateJws(dice, parts, (input) => signBytes(dice.oneIn(20) ? OTHER : P, input, 'asMade'), POOL),
      async (proof, ours) => {
        const { answer, refusal } = answerOrRefusal(
          () => ours(() => judged(proof)),
          /^(MissingDpopProof|BadDpopProof|BadDpopProofSignature|DpopProofExpired)$/,
        )
        const theirs = await joseTakes(proof)
        if (refusal) return theirs ? `stricter: ${requireListed(REASONS, refusal.says)}` : 'refused by both'
        expect(theirs, 'taken by Reeve alone').not.toBeNull()
        const { jwk = {} } = theirs?.protectedHeader ?? {}
        expect(answer.jkt).toBe(await calculateJwkThumbprint(jwk, 'sha256'))
        const { htu, ...claims } = theirs?.payload ?? {}
        expect(claims).toMatchObject({ htm: 'POST', jti: answer.jti, iat: answer.iatSec })
        const { origin, pathname } = new URL(String(htu))
        expect(origin + pathname).toBe(URL_OF_MINT)
        return 'taken by both'
      },
    )
    expect(words.get('taken by both')).toBeGreaterThan(20)
    expect(words.get('refused by both')).toBeGreaterThan(500)
    expect(words.get('stricter: protocol')).toBeGreaterThan(20)
  })
})

/** Members of a header by commas that stand in no quotes, brackets or bytes: all that the oracle knows of structured fields. */
function membersOf(text: string): string[] {
  const members = ['']
  let [isQuoted, depth] = [false, 0]
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    if (isQuoted && char === '\\') {
      members.push(`${members.pop()}${char}${text.charAt(++at)}`)
      continue
    }
    if (char === '"') isQuoted = !isQuoted
    if (!isQuoted && (char === '(' || char === ')')) depth += char === '(' ? 1 : -1
    if (char === ',' && !isQuoted && depth === 0) members.push('')
    else members.push(`${members.pop()}${char}`)
  }
  return members.map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ''))
}

/** The one member of our label, or undefined when there is none or more than one. */
function ourMember(text: string): string | undefined {
  const ours = membersOf(text).filter((member) => /^atproto-space([=;]|$)/.test(member))
  return ours.length === 1 ? ours[0]?.slice('atproto-space='.length) : undefined
}

/** Whether the headers carry a signature by the key that they name, over the text that stands there. */
function isTrulySigned({ authorization, signatureInput, signature }: SignedHeaders, holder: string): boolean {
  const params = ourMember(signatureInput.join(', ')) ?? ''
  const [, bytes = ''] = /^:([A-Za-z0-9+/=]*):$/.exec(ourMember(signature.join(', ')) ?? '') ?? []
  const key = [P, OTHER].find(({ didKey }) => didKey === holder)
  if (!key || !params.startsWith('("authorization")') || !params.includes(`;keyid="${holder}"`)) return false
  const base = `"authorization": ${authorization[0]?.trim()}\n"@signature-params": ${params}`
  const publicKey = createPublicKey({ key: key.jwk, format: 'jwk' })
  return opensslVerify(
    'sha256',
    Buffer.from(base),
    { key: publicKey, dsaEncoding: 'ieee-p1363' },
    Buffer.from(bytes, 'base64'),
  )
}

describe('a spoilt HTTP signature', () => {
  const AUTHORIZATION = `Bearer ${CANARY}.${base64Url('x'.repeat(60))}.abc`
  const PARAMS = [
    ...[
      `;created=${NOW}`,
      `;created=${NOW + 31}`,
      ';created=1.0',
      ';created=-0',
      ';created=@1',
      ';created="1"',
      ';created',
    ],
    ...[
      `;expires=${NOW + 1}`,
      `;expires=${NOW}`,
      ';expires=999999999999999',
      ';nonce="a, atproto-space=b"',
      ';nonce="\\""',
    ],
    ...[
      ';tag="x"',
      ';tag=?1',
      ';tag=%"%c3%a9"',
      ';tag=:AA==:',
      ';tag=:AAB:',
      ';alg="ecdsa-p256-sha256"',
      ';alg="hmac-sha256"',
    ],
    ...[
      ' ;tag=a',
      '; tag=a',
      ';a=1;a=2',
      ';*a=0.10',
      ';a=@99999999999',
      `;keyid="${OTHER.didKey}"`,
      `;keyid="${K.didKey}"`,
      ';é=1',
    ],
  ]
  const LISTS = [
    ...Array<string>(8).fill('("authorization")'),
    ...[
      '("authorization")',
      '("authorization")',
      '("authorization")',
      '( "authorization")',
      '("authorization" )',
      '("Authorization")',
    ],
    ...[
      '("authorization";bs)',
      '("authorization" "authorization")',
      '("authorization" "@method")',
      '()',
      '"authorization"',
      '(authorization)',
    ],
  ]
  const STRANGERS = [
    ...['a;b', 'atproto-space-2=()', 'sig1=("date");x', 'c=:AAAA:', 'd=1', 'e=?0', 'f=a/b', 'g="1, 2"', 'h=()'],
    ...[
      'sig1=("date")',
      'a',
      'a;b',
      'atproto-space-2=()',
      'a="x, atproto-space=y"',
      'a="',
      'a=(',
      'atproto-space=()',
      'ATPROTO-SPACE=1',
    ],
    ...['a=1,', ',', 'atproto-space', 'a=%"%ff"', 'a=@9999999999999', 'xatproto-space=1', 'a=:AAAA:', 'a=:A:'],
  ]

  const writeHeaders = (dice: Dice, key: TestKey): SignedHeaders => {
    const keyid = `;keyid="${dice.oneIn(20) ? OTHER.didKey : key.didKey}"`
    const params = [keyid, ...Array.from({ length: dice.below(4) }, () => dice.pick(PARAMS))]
    if (dice.oneIn(3)) params.reverse()
    const list = dice.pick(LISTS) + params.join('')
    const base = `"authorization": ${AUTHORIZATION}\n"@signature-params": ${list}`
    const value = Buffer.from(signBytes(key, base, 'asMade')).toString('base64')
    const among = (member: string): string => {
      const others = Array.from({ length: dice.below(3) }, () => dice.pick(STRANGERS))
      return (dice.oneIn(2) ? [...others, member] : [member, ...others]).join(dice.pick([', ', ',', ' ,\t']))
    }
    const spoilt = {
      authorization: AUTHORIZATION,
      signatureInput: among(`atproto-space=${list}`),
      signature: among(`atproto-space=:${value}:`),
    }
    const field = dice.pick(['none', 'none', 'none', 'signatureInput', 'signature', 'authorization'] as const)
    if (field !== 'none') spoilt[field] = mutateText(dice, spoilt[field], [...PARAMS, ...STRANGERS, ...LISTS])
    const lines = (text: string) => (dice.oneIn(10) ? text.split(', ') : [text])
    return {
      authorization: [spoilt.authorization],
      signatureInput: lines(spoilt.signatureInput),
      signature: lines(spoilt.signature),
    }
  }

  it(`is refused, or truly signed over the very text that a plainer reader finds (seed ${SEED})`, async () => {
    const words = await fuzz(
      'HTTP signature',
      8_000,
      (dice) => writeHeaders(dice, P),
      (headers, ours) => {
        const before = JSON.stringify(headers)
        const { answer } = answerOrRefusal(
          () => ours(() => verifyExchangeSignature({ ...headers, nowSec: NOW })),
          /^BadSpaceSignature$/,
        )
        expect(JSON.stringify(headers)).toBe(before)
        const speaks = hasSpaceSignature(headers.signatureInput)
        // Never less than there is: a request that has our member must not be judged by an older proof instead.
        if (ourMember(headers.signatureInput.join(', ')) !== undefined) expect(speaks).toBe(true)
        if (!answer) return 'refused'
        expect(speaks).toBe(true)
        expect(isTrulySigned(headers, answer.holder)).toBe(true)
        const params = ourMember(headers.signatureInput.join(', ')) ?? ''
        expect(params).not.toMatch(
          /;created=(?!\d+(;|$))|;expires=(?!\d+(;|$))|;alg="(?!ecdsa)| ;|; |,\s*atproto-space\s*=(?!b")/,
        )
        return 'taken'
      },
    )
    expect(words.get('taken')).toBeGreaterThan(300)
    expect(words.get('refused')).toBeGreaterThan(1_000)
  })
})
