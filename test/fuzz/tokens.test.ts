/**
 * Tokens that somebody signs for one errand, spoilt at every level and often truly signed again: beside `jose` for ES256 and
 * `@atproto/crypto` for ES256K.
 *
 * What Reeve takes they take, with the same claims. What Reeve alone refuses stands on the list of divergences.
 */
import { verifySignature } from '@atproto/crypto'
import { errors, type JWTPayload, jwtVerify } from 'jose'
import { describe, expect, it } from 'vitest'
import { type Delegation, delegationSignatureHolds, parseDelegation } from '../../src/credential/delegation.ts'
import { signatureHolds } from '../../src/identity/did-signature.ts'
import { parseServiceAuth, type ServiceAuth } from '../../src/identity/service-auth.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import { answerOrRefusal, CANARY, fuzz, mutateJws, SEED } from '../kit/mutate.ts'
import { base64Url, keyOfScalar, signBytes, type TestKey } from '../kit/tokens.ts'
import { requireListed } from './divergences.ts'

const NOW = 1_800_000_000
const P = keyOfScalar('p256', new Uint8Array(32).fill(3))
const K = keyOfScalar('k256', new Uint8Array(32).fill(5))
const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Did
const COMMUNITY = 'did:plc:cccccccccccccccccccccccc' as Did
const space = spaceUriOf(COMMUNITY, 'com.example.forum' as Nsid, 'self')
const HOST = `${COMMUNITY}#atproto_space_host`
const JTI = `${CANARY}-0123456789`

const POOL = {
  names: 'iss sub aud exp iat nbf jti lxm alg kid typ crit b64 jwk jku x5u x5c x5t cnf client_id'.split(' '),
  values: [
    ...[NOW, NOW + 60, NOW + 300, NOW + 301, NOW + 31, NOW - 4, NOW - 5, NOW + 60.5],
    ...[
      ALICE,
      COMMUNITY,
      HOST,
      space.uri,
      `${space.uri}/`,
      'did:web:example.com',
      'did:web:EXAMPLE.com',
      `${ALICE}#atproto`,
    ],
    ...['#atproto', 'atproto', '#atproto_space', 'ES256', 'ES256K', 'none', 'HS256', 'JWT', 'at+jwt'],
    ...['atproto-space-delegation+jwt', 'application/atproto-space-delegation+jwt', `${CANARY} `, P.jwk, ['b64']],
  ],
}

const delegation = (key: TestKey) => ({
  header: { alg: key.alg, typ: 'atproto-space-delegation+jwt', kid: '#atproto' },
  payload: { iss: ALICE, sub: space.uri, aud: HOST, iat: NOW, exp: NOW + 60, jti: JTI },
})
const serviceJwt = (key: TestKey) => ({
  header: { typ: 'JWT', alg: key.alg },
  payload: { iat: NOW, iss: ALICE, aud: COMMUNITY, exp: NOW + 60, lxm: 'com.example.doSomething', jti: JTI },
})

/** What refusals say about rules of the tokens themselves, which a JWT library can't know, and about lines of the list. */
const REASONS: Readonly<Record<string, string>> = {
  'exp, iat and nbf must be whole seconds, and exp must be there': 'numbers in tokens',
  'the header has members that are not taken': 'header members `jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`',
  'jti must be 1 to 256 characters, without control characters': '`jti` of any token',
  'aud must be one text': 'protocol',
}
const OF_DELEGATION: Readonly<Record<string, string>> = {
  ...REASONS,
  'the delegation token is not a well-formed compact JWT': 'base64url, JSON',
  'typ must be atproto-space-delegation+jwt': 'protocol',
  'iss is missing': 'protocol',
  'sub is missing': 'protocol',
  'sub must be a space URI': 'protocol',
  'aud must be the space host of the authority in sub': 'protocol',
  'kid must be #atproto': 'delegation token, `kid`',
  'the token lives longer than 300 s, or begins in the future': 'delegation token, lifetime',
  'iss must be a DID in its canonical spelling': 'DIDs',
}
const OF_SERVICE: Readonly<Record<string, string>> = {
  ...REASONS,
  'the token is not a well-formed compact JWT': 'base64url, JSON',
  'typ must be JWT or absent': 'service auth',
  'iss must be a DID without a fragment, in its canonical spelling': 'DIDs',
  'kid must be absent or #atproto': 'service auth',
  'aud is missing': 'protocol',
  'lxm must name the method that is called': 'protocol',
  'the token lives longer than 300 s, or begins in the future': 'service auth',
}

const isCanonical = (token: string): boolean =>
  token.split('.').every((part) => base64Url(Buffer.from(part, 'base64url')) === part)

/** `jose` on ES256: the claims, or null. `typ` is ours to judge, and so is an `nbf` up to 30 s ahead, which they count as their 5. */
async function joseTakes(token: string): Promise<JWTPayload | null> {
  const options = { algorithms: ['ES256'], currentDate: new Date(NOW * 1000), clockTolerance: 5 }
  try {
    return (await jwtVerify(token, P.publicKey.keyObject, options)).payload
  } catch (error) {
    // They look at the claims only when the signature holds, and at `nbf` before `exp`.
    if (!(error instanceof errors.JWTClaimValidationFailed) || error.claim !== 'nbf') return null
    const { exp, nbf } = error.payload
    return typeof nbf === 'number' && nbf <= NOW + 30 && typeof exp === 'number' && exp > NOW - 5 ? error.payload : null
  }
}

type Reading = ReturnType<typeof answerOrRefusal<Delegation | ServiceAuth>>
const CODES = /^(BadJwt(Type|Iss|Sub|Audience|LexiconMethod)?|JwtExpired)$/

/** What every token that is taken must be, whoever else takes it. */
function requireSound(token: string, taken: Delegation | ServiceAuth): void {
  expect(isCanonical(token)).toBe(true)
  const [header, payload] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString())
  expect(JSON.parse(header ?? '')).toEqual(taken.jws.header)
  expect(JSON.parse(payload ?? '')).toEqual(taken.jws.payload)
  const { exp, iat = exp, nbf = NOW, jti, iss } = taken.jws.payload as Record<string, unknown>
  expect([taken.expSec, taken.jti, taken.iss]).toEqual([exp, jti, iss])
  expect(Number.isInteger(exp) && Number(exp) > NOW - 5 && Number(exp) <= NOW + 305).toBe(true)
  expect(Number(exp) - Number(iat) <= 300 && Number(iat) <= NOW + 305 && Number(nbf) <= NOW + 30).toBe(true)
  expect(Object.keys(taken.jws.header).filter((name) => /^(jwk|jku|x5.*|crit|b64)$/.test(name))).toEqual([])
}

function requireDelegation({ jws: { header, payload }, space: named }: Delegation): void {
  expect(header.typ).toBe('atproto-space-delegation+jwt')
  expect(['#atproto', 'atproto']).toContain(header.kid)
  expect([payload.sub, payload.aud]).toEqual([named.uri, `${named.authority}#atproto_space_host`])
}

/** Judges one ES256 token here and there. The word is where a refusal was listed, or what came of it. */
async function besideJose(
  token: string,
  parse: () => Reading,
  reasons: Readonly<Record<string, string>>,
): Promise<string> {
  const { answer, refusal } = parse()
  const theirs = await joseTakes(token)
  if (refusal) {
    if (!theirs) return 'refused by both'
    return `stricter: ${requireListed(reasons, refusal.says)}`
  }
  const holds = signatureHolds(answer, P.publicKey)
  if (!holds && theirs) {
    // Two values of S fit every signature, and atproto takes the lower one.
    const [, , signature = ''] = token.split('.')
    expect(BigInt(`0x${Buffer.from(signature, 'base64url').subarray(32).toString('hex')}`) >> 255n).toBe(1n)
    return 'high S'
  }
  expect(theirs !== null).toBe(holds)
  if (!holds) return 'signature refused by both'
  requireSound(token, answer)
  expect(theirs).toEqual(answer.jws.payload)
  return 'taken by both'
}

/** Judges one ES256K signature here and there: both answers must be one. */
async function besideAtproto(parse: () => Reading): Promise<string> {
  const { answer, refusal } = parse()
  if (refusal) return 'refused'
  const holds = signatureHolds(answer, K.publicKey)
  if (answer.alg !== 'ES256K') {
    expect(holds).toBe(false)
    return 'another algorithm'
  }
  const { signingInput, signature } = answer.jws
  // Their verifier throws on some lengths and numbers; either is a no.
  const theirs = await verifySignature(K.didKey, signingInput, signature, { jwtAlg: 'ES256K' }).catch(() => false)
  expect(theirs).toBe(holds)
  return holds ? 'taken' : 'signature refused'
}

const kinds = [
  { kind: 'delegation token', parts: delegation, parse: parseDelegation, reasons: OF_DELEGATION },
  { kind: 'service JWT', parts: serviceJwt, parse: parseServiceAuth, reasons: OF_SERVICE },
] as const

describe.each(kinds)('a spoilt $kind', ({ kind, parts, parse, reasons }) => {
  it(`on P-256 is taken only where jose takes it, and refused alone only for a listed reason (seed ${SEED})`, async () => {
    const words = await fuzz(
      `${kind}, ES256`,
      3_000,
      (dice) => mutateJws(dice, parts(P), (input) => signBytes(P, input, dice.oneIn(20) ? 'high' : 'low'), POOL),
      async (token, ours) => {
        const reading = () => answerOrRefusal(() => ours(() => parse(token, NOW)), CODES)
        const word = await besideJose(token, reading, reasons)
        if (word === 'taken by both' && kind === 'delegation token') {
          const taken = parseDelegation(token, NOW)
          requireDelegation(taken)
          expect(delegationSignatureHolds(taken, P.publicKey)).toBe(true)
        }
        return word
      },
    )
    expect(words.get('taken by both')).toBeGreaterThan(20)
    expect(words.get('signature refused by both')).toBeGreaterThan(20)
    expect(words.get('stricter: base64url, JSON')).toBeGreaterThan(5)
    expect(words.get('stricter: numbers in tokens')).toBeGreaterThan(0)
  })

  it(`on secp256k1 is taken exactly where @atproto/crypto takes its signature (seed ${SEED})`, async () => {
    const words = await fuzz(
      `${kind}, ES256K`,
      800,
      (dice) => mutateJws(dice, parts(K), (input) => signBytes(K, input, dice.oneIn(20) ? 'high' : 'low'), POOL),
      (token, ours) => besideAtproto(() => answerOrRefusal(() => ours(() => parse(token, NOW)), CODES)),
    )
    expect(words.get('taken')).toBeGreaterThan(20)
    expect(words.get('signature refused')).toBeGreaterThan(20)
  })

  it('of the largest size is read, and one character more is not', () => {
    const parsed = (note: string) => {
      const { header, payload } = parts(P)
      const input = `${base64Url(JSON.stringify(header))}.${base64Url(JSON.stringify({ ...payload, note }))}`
      const token = `${input}.${base64Url(signBytes(P, input))}`
      const { refusal } = answerOrRefusal<unknown>(() => parse(token, NOW), CODES)
      return { length: token.length, isRead: refusal === null }
    }
    const notes = Array.from({ length: 400 }, (_, at) => parsed('n'.repeat(5_650 + at)))
    expect(
      notes
        .filter(({ isRead }) => isRead)
        .map(({ length }) => length)
        .at(-1),
    ).toBeLessThanOrEqual(8_192)
    expect(notes.every(({ length, isRead }) => isRead === length <= 8_192)).toBe(true)
    expect(new Set(notes.map(({ isRead }) => isRead)).size).toBe(2)
  })
})
