/**
 * Bad delegation tokens at the real door, one row each: the status, the name, and that nothing came of it. What each rule is for is
 * said where tokens are parsed; here it is shown that no layer in front or behind lets one through, or pays for one.
 */
import { createHmac } from 'node:crypto'
import { encode } from '@ipld/dag-cbor'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openTestDatabase } from '../kit/databases.ts'
import { type DialRecorder, recordDials } from '../kit/dialled.ts'
import { BINDINGS, exchange, letIn, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { heldBytes, LEFT_MAX_BYTES } from '../kit/held-bytes.ts'
import { headOf, makeSomebody, submitOperation } from '../kit/people.ts'
import { otherSpellings } from '../kit/plc.ts'
import { type BadExchange, expectRefused, type Good, goodToken, verdictOf } from '../kit/refusals.ts'
import { base64Url, makeDelegation, makeKey, makeServiceJwt, type Part, signBytes, twinOf } from '../kit/tokens.ts'
import { spaceOf } from '../kit/world.ts'

const DELEGATION_TYP = 'atproto-space-delegation+jwt'
const OTHER = 'did:plc:dddddddddddddddddddddddd'

type Asks = BadExchange['asks']
const row = (
  number: number,
  says: string,
  answers: string,
  make: (scene: Scene, good: Good) => Parts | Promise<Parts>,
  asks: Asks = 0,
): BadExchange => ({ row: number, says, answers, asks, with: make })

const shown = (value: unknown): string => String(JSON.stringify(value)).slice(0, 70)

/** One row for each value of a claim, or of a member of the header. */
const claim = (number: number, name: string, answers: string, values: readonly unknown[]): BadExchange[] =>
  values.map((value) =>
    row(number, `${name} ${shown(value)}`, answers, () => ({ changes: { payload: { [name]: value } } })),
  )
const member = (number: number, name: string, answers: string, values: readonly unknown[], asks: Asks = 0) =>
  values.map((value) =>
    row(number, `${name} ${shown(value)}`, answers, () => ({ changes: { header: { [name]: value } } }), asks),
  )
/** Claims that depend on the time of the call. */
const timed = (number: number, says: string, answers: string, claims: (nowSec: number) => object): BadExchange =>
  row(number, says, answers, ({ world }) => ({ changes: { payload: { ...claims(world.clock.nowSec()) } } }))
/** A payload spelled out as text, for what no JSON writer would write. */
const spelled = (number: number, says: string, text: (whole: string) => string): BadExchange =>
  row(number, says, '401 BadJwt', (_scene, { token }) => ({ changes: { payload: text(textOf(token, 1)) } }))
/** The good token, damaged as text. */
const damaged = (number: number, says: string, answers: string, damage: (token: string) => string, asks: Asks = 0) =>
  row(number, says, answers, (_scene, { token }) => ({ token: damage(token) }), asks)
/** The good token with other bytes for its signature. */
const signature = (number: number, says: string, bytes: (good: Uint8Array) => Iterable<number>, asks: Asks) =>
  damaged(number, says, '401 BadJwtSignature', (token) => resigned(token, bytes), asks)

const partsOf = (token: string): [string, string, string] => token.split('.') as [string, string, string]
const textOf = (token: string, part: 0 | 1): string => Buffer.from(partsOf(token)[part], 'base64url').toString('utf8')
const compactOf = (token: string): Uint8Array => new Uint8Array(Buffer.from(partsOf(token)[2], 'base64url'))
function resigned(token: string, bytes: (good: Uint8Array) => Iterable<number>): string {
  const [header, payload] = partsOf(token)
  return `${header}.${payload}.${base64Url(Uint8Array.from(bytes(compactOf(token))))}`
}
/** The token with one bit of one part turned over. */
function flipped(token: string, part: 0 | 1 | 2): string {
  const parts = partsOf(token)
  const bytes = Buffer.from(parts[part], 'base64url')
  // The fourth byte is inside a name in the header and in the payload, and anywhere in the signature.
  bytes.writeUInt8(bytes.readUInt8(3) ^ 1, 3)
  parts[part] = base64Url(bytes)
  return parts.join('.')
}

const zeros = new Uint8Array(32)
const padding: Part = 'x'.repeat(8_193)

const FORM: readonly BadExchange[] = [
  damaged(5, '8,193 characters', '401 BadJwt', (token) => token.padEnd(8_193, 'A')),
  row(5, 'a payload of 8 KB', '401 BadJwt', () => ({ changes: { payload: { padding } } })),
  damaged(26, 'two parts', '401 BadJwt', (token) => partsOf(token).slice(0, 2).join('.')),
  damaged(26, 'four parts', '401 BadJwt', (token) => `${token}.x`),
  damaged(26, 'five parts', '401 BadJwt', (token) => `${token}.x.y`),
  damaged(26, 'empty parts', '401 BadJwt', () => '..'),
  damaged(26, 'an empty header', '401 BadJwt', (token) => token.replace(/^[^.]*/, '')),
  damaged(26, 'an empty payload', '401 BadJwt', (token) => token.replace(/\.[^.]*\./, '..')),
  ...['alg=ES256K', '[]', '"x"', 'null', '{}x', '\u0000{}'].flatMap((text) => [
    row(27, `a header ${shown(text)}`, '401 BadJwt', () => ({ changes: { header: text } })),
    row(27, `a payload ${shown(text)}`, '401 BadJwt', () => ({ changes: { payload: text } })),
  ]),
  spelled(27, 'bytes behind the payload', (whole) => `${whole}x`),
  spelled(51, 'exp twice', (whole) => whole.replace('{', '{"exp":1,')),
  spelled(51, 'sub twice', (whole) => whole.replace('{', `{"sub":"at://${OTHER}/space/a.b.c/x",`)),
  spelled(51, 'jti twice, once in escapes', (whole) => whole.replace('{', '{"\\u006ati":"x",')),
  row(51, 'alg twice', '401 BadJwt', (_scene, { token }) => ({
    changes: { header: textOf(token, 0).replace('{', '{"alg":"none",') },
  })),
  damaged(52, 'padding', '401 BadJwt', (token) => `${token}==`),
  damaged(52, 'padding in a part', '401 BadJwt', (token) => token.replace('.', '=.')),
  damaged(52, 'the other alphabet', '401 BadJwt', (token) => `${token.slice(0, -86)}${'+/'.repeat(43)}`),
  // A space ends the token, as the header is read; it never gets as far as its parts.
  damaged(52, 'a space inside', '400 InvalidToken', (token) => token.replace('.', ' .')),
  damaged(52, 'a tab inside', '401 BadJwt', (token) => token.replace('.', '\t.')),
  damaged(52, 'bits to spare in the last character', '401 BadJwt', (token) => {
    const { 'with stray bits': stray = '' } = otherSpellings('k256', partsOf(token)[2])
    return token.replace(/[^.]*$/, stray)
  }),
  damaged(53, 'a bit of its header turned over', '401 BadJwtType', (token) =>
    // The first of these bits is in the name of `alg`; a damaged `typ` is told by its own name.
    token.replace(
      partsOf(token)[0],
      base64Url(textOf(token, 0).replace('atproto-space-delegation', 'atproto-space-delegatioo')),
    ),
  ),
  damaged(53, 'a bit of the name of alg turned over', '401 BadJwt', (token) => flipped(token, 0)),
  damaged(53, 'a bit of the name of iss turned over', '401 BadJwtIss', (token) => flipped(token, 1)),
  damaged(53, 'a bit of its signature turned over', '401 BadJwtSignature', (token) => flipped(token, 2), 2),
  damaged(
    69,
    'white space in its JSON',
    '401 BadJwtSignature',
    (token) => {
      const [header, , tail] = partsOf(token)
      return `${header}.${base64Url(` ${textOf(token, 1)}`)}.${tail}`
    },
    2,
  ),
]

const NAMES: readonly BadExchange[] = [
  ...claim(28, 'iss', '401 BadJwtIss', ['did:web:EVIL.com', 'did:web:evil.com.', 'did:web:evil.com%09']),
  ...claim(29, 'iss', '401 BadJwtIss', ['did:web:127.0.0.1', 'did:web:2130706433', 'did:web:%5B%3A%3A1%5D']),
  ...claim(29, 'iss', '401 BadJwtIss', ['did:web:0x7f.1', 'did:web:017700000001', 'did:web:169.254.169.254']),
  ...claim(30, 'iss', '401 BadJwtIss', ['did:web:host%3A8443', 'did:web:host.example%3A443', 'did:web:localhost%3A']),
  ...claim(31, 'iss', '401 BadJwtIss', ['did:web:host%2Fadmin%3Fx%3D1', 'did:web:user%40host', 'did:web:host:path']),
  // Names that no stranger may have us call. They are told like a host that doesn't answer, and nobody was asked for them.
  ...[
    'foo.localhost',
    'a.local',
    'x.test',
    'x.invalid',
    'x.internal',
    'metadata.google.internal',
    'x.home.arpa',
    'x.onion',
  ].flatMap((host) => claim(183, 'iss', '502 UpstreamFailure', [`did:web:${host}`])),
  ...claim(183, 'iss', '401 BadJwtIss', ['did:web:printer', 'did:web:localhost.']),
  ...claim(32, 'iss', '401 BadJwtIss', [
    `did:plc:${'a'.repeat(23)}`,
    `did:plc:${'a'.repeat(25)}`,
    `did:plc:${'A'.repeat(24)}`,
    `did:plc:0${'a'.repeat(23)}`,
    `did:plc:1${'a'.repeat(23)}`,
    makeKey('k256').didKey,
    'alice.example',
    `${OTHER}#atproto`,
    ` ${OTHER}`,
    '',
    7,
    { did: OTHER },
    [OTHER],
    null,
    undefined,
  ]),
  ...[
    ['a slash at the end', (uri: string) => `${uri}/`],
    ['a query', (uri: string) => `${uri}?x=1`],
    ['a fragment', (uri: string) => `${uri}#x`],
    ['a handle as authority', (uri: string) => uri.replace(/did:plc:[a-z0-9]+/, 'alice.example')],
    [
      'its DID in capitals',
      (uri: string) => uri.replace(/did:plc:[a-z0-9]+/, (did) => `did:plc:${did.slice(8).toUpperCase()}`),
    ],
    ['the path of a record', (uri: string) => `${uri}/${OTHER}/com.atmoboards.post/1`],
    ['the key ..', (uri: string) => uri.replace(/[^/]+$/, '..')],
    ['a key of 513 characters', (uri: string) => uri.replace(/[^/]+$/, 's'.repeat(513))],
    ['a type that is no NSID', (uri: string) => uri.replace('com.atmoboards.forum', 'forum')],
    ['an escape', (uri: string) => uri.replace('main', 'm%61in')],
  ].map(([says, change]) =>
    row(60, `sub with ${says}`, '401 BadJwtSub', ({ forum }) => {
      const sub = (change as (uri: string) => string)(forum)
      return { changes: { payload: { sub } }, body: { space: sub } }
    }),
  ),
  ...claim(60, 'sub', '401 BadJwtSub', ['', 7, [], undefined]),
  ...[
    ['the bare DID', (did: string) => did],
    ['the PDS of the authority', (did: string) => `${did}#atproto_pds`],
    ['a list with it', (did: string) => [`${did}#atproto_space_host`]],
    ['a space behind it', (did: string) => `${did}#atproto_space_host `],
    ['the host of another authority', () => `${OTHER}#atproto_space_host`],
  ].map(([says, audience]) =>
    row(61, `aud that is ${says}`, '401 BadJwtAudience', ({ community }) => ({
      changes: { payload: { aud: (audience as (did: string) => unknown)(community) } },
    })),
  ),
  ...claim(61, 'aud', '401 BadJwtAudience', [undefined, '', null]),
]

const TIMES: readonly BadExchange[] = [
  ...claim(33, 'exp', '401 BadJwt', [undefined, null, '1700000000', true]),
  ...['1e999', '9007199254740993', '-1', '1800000000.5', '-1e999'].map((text) =>
    spelled(text === '1e999' ? 34 : 35, `exp ${text}`, (whole) => whole.replace(/"exp":\d+/, `"exp":${text}`)),
  ),
  timed(36, 'exp 6 s ago', '401 JwtExpired', (nowSec) => ({ iat: nowSec - 66, exp: nowSec - 6 })),
  timed(38, 'a life of 301 s', '401 BadJwt', (nowSec) => ({ iat: nowSec, exp: nowSec + 301 })),
  timed(38, 'no iat and exp 310 s ahead', '401 BadJwt', (nowSec) => ({ iat: undefined, exp: nowSec + 310 })),
  timed(39, 'iat 35 s ahead', '401 BadJwt', (nowSec) => ({ iat: nowSec + 35 })),
  timed(39, 'nbf 35 s ahead', '401 BadJwt', (nowSec) => ({ nbf: nowSec + 35 })),
  timed(40, 'iat after exp', '401 BadJwt', (nowSec) => ({ iat: nowSec + 20, exp: nowSec + 10 })),
  ...claim(63, 'jti', '401 BadJwt', [undefined, '', 7, 'j'.repeat(257), 'a\u0000b', 'a\nb', 'a\u0085b', ['j']]),
]

const HEADERS: readonly BadExchange[] = [
  ...member(41, 'kid', '401 BadJwt', [undefined, '', 7, ['#atproto']]),
  ...member(42, 'kid', '401 BadJwt', ['#atproto_space']),
  ...member(43, 'kid', '401 BadJwt', [`${OTHER}#atproto`, '#atproto_labeler', '#ATPROTO', '../../key', "' or 1=1--"]),
  ...member(43, 'kid', '401 BadJwt', ['k'.repeat(300)]),
  ...['jwk', 'jku', 'x5u', 'x5c'].flatMap((name) =>
    member(44, name, '401 BadJwt', [name === 'jwk' ? makeKey('p256').jwk : 'https://evil.example/key']),
  ),
  row(45, 'crit and b64', '401 BadJwt', () => ({ changes: { header: { crit: ['b64'], b64: false } } })),
  ...member(45, 'b64', '401 BadJwt', [false]),
  ...member(45, 'crit', '401 BadJwt', [['mine'], []]),
  ...member(46, 'alg', '401 BadJwt', ['none', 'None', '', undefined, ['ES256K']]),
  // No key of a DID can have made these, so nobody is asked for one.
  ...member(49, 'alg', '401 BadJwtSignature', ['EdDSA', 'RS256', 'ES384'], 0),
  ...member(50, 'typ', '401 BadJwtType', [
    undefined,
    'JWT',
    'at+jwt',
    'dpop+jwt',
    'atproto-client-attestation+jwt',
    'atproto-space-credential+jwt',
    DELEGATION_TYP.toUpperCase(),
    `application/${DELEGATION_TYP}`,
  ]),
  row(79, 'service auth in its place', '401 BadJwtType', ({ bob, community, world }, { jti }) => ({
    token: makeServiceJwt({
      ...{ key: bob.key, iss: bob.did, aud: `${community}#atproto_space_host`, jti },
      ...{ lxm: 'com.atproto.space.getSpaceCredential', nowSec: world.clock.nowSec() },
    }),
  })),
]

const SIGNATURES: readonly BadExchange[] = [
  row(47, 'HS256 with the public key as its secret', '401 BadJwtSignature', ({ bob }, { token }) => {
    const secret = bob.key.publicKey.keyObject.export({ format: 'pem', type: 'spki' })
    const header = base64Url(textOf(token, 0).replace('ES256K', 'HS256'))
    const input = `${header}.${partsOf(token)[1]}`
    return { token: `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}` }
  }),
  ...member(48, 'alg', '401 BadJwtSignature', ['ES256'], 2),
  signature(54, 'DER', (good) => Buffer.from(otherSpellings('k256', base64Url(good))['DER'] ?? '', 'base64url'), 0),
  signature(54, '63 bytes', (good) => good.subarray(1), 0),
  signature(54, '65 bytes', (good) => [...good, 0], 0),
  signature(54, 'no bytes', () => [], 0),
  signature(54, 'r = 0', (good) => [...zeros, ...good.subarray(32)], 2),
  signature(54, 's = 0', (good) => [...good.subarray(0, 32), ...zeros], 2),
  signature(54, 's beyond the order', (good) => [...good.subarray(0, 32), ...new Uint8Array(32).fill(255)], 2),
  signature(55, 'the high S', (good) => twinOf('k256', good), 2),
  row(
    56,
    'a good signature over another payload',
    '401 BadJwtSignature',
    (scene, { token }) => {
      const [header, payload] = partsOf(token)
      return { token: `${header}.${payload}.${partsOf(goodToken(scene).token)[2]}` }
    },
    2,
  ),
  row(
    57,
    'the signature of another key',
    '401 BadJwtSignature',
    ({ bob }) => ({
      person: { did: bob.did, key: makeKey('k256') },
    }),
    2,
  ),
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

describe.each([
  ['in its form', FORM],
  ['in its names', NAMES],
  ['in its times', TIMES],
  ['in its header', HEADERS],
  ['in its signature', SIGNATURES],
])('a delegation token that is bad %s', (_where, rows) => {
  it.each(rows)('row $row: $says is $answers, in both generations, and nothing comes of it', async (bad) => {
    for (const binding of BINDINGS) await expectRefused(scene, dials, bad, binding)
  })
})

it('row 30: a user on this machine is nobody where development is not allowed', async () => {
  const elsewhere = await openScene(await openTestDatabase('embedded'), { REEVE_ALLOW_LOOPBACK: '0' })
  try {
    const bad = claim(30, 'iss', '401 BadJwtIss', ['did:web:localhost%3A3000'])
    for (const one of bad) for (const binding of BINDINGS) await expectRefused(elsewhere, dials, one, binding)
  } finally {
    await elsewhere.close()
  }
})

describe('row 42: the key that signs for a user’s spaces', () => {
  it('does not speak for the user, though they publish it and it truly signed', async () => {
    const person = await makeSomebody(scene.plc.honestUrl)
    const spaceKey = makeKey('p256')
    const operation = {
      type: 'plc_operation',
      rotationKeys: [person.key.didKey],
      verificationMethods: { atproto: person.key.didKey, atproto_space: spaceKey.didKey },
      alsoKnownAs: [],
      services: {},
      prev: await headOf(scene.plc.honestUrl, person.did),
    }
    const sig = base64Url(signBytes(person.key, encode(operation)))
    await submitOperation(scene.plc.honestUrl, person.did, { ...operation, sig })
    await letIn(scene.alice, scene.forum, person.did)
    const bySpaceKey = { did: person.did, key: spaceKey }
    for (const kid of ['#atproto_space', 'atproto_space']) {
      const answer = await exchange(scene, { person: bySpaceKey, changes: { header: { kid } } })
      expect(verdictOf(answer)).toBe('401 BadJwt')
    }
    expect(verdictOf(await exchange(scene, { person: bySpaceKey }))).toBe('401 BadJwtSignature')
    expect(verdictOf(await exchange(scene, { person }))).toBe('in')
  })
})

it('row 62: a token for one community of ours can’t be addressed to another', async () => {
  const other = await scene.world.found(scene.bob, { name: 'Beekeepers' })
  const bad = row(62, 'aud of another community of ours', '401 BadJwtAudience', () => ({
    changes: { payload: { aud: `${other}#atproto_space_host` } },
  }))
  for (const binding of BINDINGS) await expectRefused(scene, dials, bad, binding)
})

it('row 43: the full identifier of a key is not its name, though it names the right one', async () => {
  const bad = row(43, 'the full identifier', '401 BadJwt', ({ bob }) => ({
    changes: { header: { kid: `${bob.did}#atproto` } },
  }))
  for (const binding of BINDINGS) await expectRefused(scene, dials, bad, binding)
})

it('rows 5, 26: megabytes of bad tokens leave nothing behind in memory', async () => {
  const big = `${'A'.repeat(4_000)}.${'A'.repeat(4_000)}.AA`
  const send = () => Promise.all(Array.from({ length: 50 }, () => exchange(scene, { token: big })))
  await send()
  const before = await heldBytes()
  for (let batch = 0; batch < 20; batch++) {
    for (const answer of await send()) expect(verdictOf(answer)).toBe('401 BadJwt')
  }
  expect((await heldBytes()) - before).toBeLessThan(LEFT_MAX_BYTES)
})

it('row 73: a space that never was is told like one of an authority that isn’t ours', async () => {
  const { community, forum, world, bob } = scene
  const never = `at://${community}/space/com.atmoboards.forum/never`
  const foreign = forum.replace(community, OTHER)
  const said = async (space: string) => {
    const nowSec = world.clock.nowSec()
    const token = makeDelegation({ key: bob.key, iss: bob.did, space: spaceOf(space), nowSec })
    const { status, body } = await exchange(scene, { space, token })
    return [status, body]
  }
  expect(await said(never)).toEqual(await said(foreign))
})
