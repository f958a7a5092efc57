/** Every door, and every kind of caller before it: only who carries the right thing gets in, and nobody else changes anything. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DOORS } from '../../src/doors/xrpc.ts'
import { type AppServer, startAppServer } from '../kit/app-server.ts'
import { makeAppKey, makeAttestation } from '../kit/attestations.ts'
import {
  base64Url,
  freshJti,
  makeDelegation,
  makeDpopProof,
  makeJws,
  makeKey,
  makeServiceJwt,
  makeSpaceSignature,
  type TestKey,
} from '../kit/tokens.ts'
import { type Answer, EXCHANGE_PATH, exchangeRequest, type Person, spaceOf } from '../kit/world.ts'
import { type Doomed, goodInputs, type Lobby, makeDoomed, openLobby } from './good-inputs.ts'
import { holdings, openStage, type Stage } from './stage.ts'

let stage: Stage
/** Credentials that Reeve issued to bob, of both generations. */
let credential: string
let olderCredential: string
beforeAll(async () => {
  stage = await openStage()
  const answer = await stage.bob.exchange(stage.forum)
  credential = answer.body.credential
  const older = await stage.bob.exchange(stage.forum, 'august')
  olderCredential = older.body.credential
  doomed = await makeDoomed(stage)
  lobby = await openLobby(stage)
})
afterAll(() => stage.close())

let doomed: Doomed = {
  ...{ spaces: [], proposals: [], accounts: [], kept: [], looked: [], keys: null, keepers: [], files: [] },
  ceremonies: {},
}
let lobby: Lobby
const GOOD = goodInputs(
  () => stage,
  () => doomed,
  () => lobby,
)

/** Doors that nobody knocks at here, and rows for doors that are not there. */
const unmatched = (doors: readonly { readonly method: { readonly nsid: string } }[]): readonly string[] => {
  const names = doors.map((door) => door.method.nsid)
  return [...names.filter((nsid) => !GOOD[nsid]), ...Object.keys(GOOD).filter((nsid) => !names.includes(nsid))]
}

it('has a row for every door, and no row for a door that is gone', () => {
  expect(unmatched(DOORS)).toEqual([])
})

it('would miss a row for a door that somebody adds, and see one that is left over', () => {
  const added = { method: { nsid: 'community.reeve.garden.plant' } }
  expect(unmatched([...DOORS, added])).toEqual(['community.reeve.garden.plant'])
  expect(unmatched(DOORS.filter((door) => !door.method.nsid.endsWith('.mint')))).toEqual([
    'community.reeve.community.mint',
  ])
})

type HeaderLine = readonly [string, string]

/** One knock at a door with a good input and the given header lines. */
function knock(nsid: string, lines: readonly HeaderLine[]): Promise<Answer> {
  const input = GOOD[nsid]?.() ?? {}
  if (DOORS.find((door) => door.method.nsid === nsid)?.method.type === 'query') {
    const query = new URLSearchParams(input as Record<string, string>)
    return stage.world.send({ path: `/xrpc/${nsid}?${query}`, headers: lines })
  }
  const headers: HeaderLine[] = [...lines, ['content-type', 'application/json']]
  return stage.world.send({ method: 'POST', path: `/xrpc/${nsid}`, headers, body: JSON.stringify(input) })
}

const bearer = (token: string): readonly HeaderLine[] => [['authorization', `Bearer ${token}`]]
const verdictOf = ({ status, body }: Answer): string => (status === 200 ? 'in' : `${status} ${body.error}`)

interface Change {
  readonly header?: object
  readonly payload?: object
  readonly key?: TestKey
  readonly s?: 'high'
  readonly jti?: string
}

/** Alice's service auth for a method, with something about it changed. */
function serviceAuth(nsid: string, change: Change = {}): string {
  const { world, alice } = stage
  const aud = `${world.config.serviceDid}#reeve`
  const base = { key: alice.key, iss: alice.did, aud, lxm: nsid, nowSec: world.clock.nowSec() }
  return makeServiceJwt({ ...base, ...change } as Parameters<typeof makeServiceJwt>[0])
}

const nowSec = (): number => stage.world.clock.nowSec()
const ourDid = (): string => stage.world.config.serviceDid

/** Tokens of every other kind, each good in its own place, by the person named. */
const OTHERS: Readonly<Record<string, (person: Person) => string>> = {
  'a delegation token': ({ key, did }) =>
    makeDelegation({ key, iss: did, space: spaceOf(stage.forum), nowSec: nowSec() }),
  'a DPoP proof': () =>
    makeDpopProof({ key: makeKey('p256'), method: 'POST', url: stage.world.url + EXCHANGE_PATH, nowSec: nowSec() }),
  'a credential of ours': () => credential,
  'a credential of the older generation': () => olderCredential,
  'an OAuth access token': ({ key, did }) =>
    makeJws({
      key,
      header: { typ: 'at+jwt', alg: key.alg },
      payload: {
        iss: did,
        sub: did,
        aud: ourDid(),
        scope: 'atproto',
        exp: nowSec() + 60,
        iat: nowSec(),
        jti: freshJti(),
      },
    }),
  'a client attestation': ({ key, did }) =>
    makeJws({
      key,
      header: { typ: 'atproto-client-attestation+jwt', alg: key.alg, kid: '#atproto' },
      payload: { iss: did, sub: did, aud: ourDid(), exp: nowSec() + 60, iat: nowSec(), jti: freshJti() },
    }),
}

function signatureOver(authorization: string): readonly HeaderLine[] {
  const { signatureInput, signature } = makeSpaceSignature({ key: makeKey('p256'), authorization })
  return [
    ['signature-input', signatureInput],
    ['signature', signature],
  ]
}

/** Callers of a door that takes service auth, and how each is answered. */
const CALLERS: readonly (readonly [string, (nsid: string) => readonly HeaderLine[], string])[] = [
  ['service auth for #reeve', (nsid) => bearer(serviceAuth(nsid)), 'in'],
  ['service auth for the bare DID', (nsid) => bearer(serviceAuth(nsid, { payload: { aud: ourDid() } })), 'in'],
  ['service auth with a kid', (nsid) => bearer(serviceAuth(nsid, { header: { kid: '#atproto' } })), 'in'],
  ['the scheme in capitals', (nsid) => [['authorization', `BEARER ${serviceAuth(nsid)}`]], 'in'],

  ['nobody', () => [], '401 MissingJwt'],
  ['an empty header', () => [['authorization', '']], '401 MissingJwt'],
  ['Bearer with nothing after it', () => [['authorization', 'Bearer']], '400 InvalidToken'],
  ['Bearer with two words after it', () => [['authorization', 'Bearer a b']], '400 InvalidToken'],
  ['Basic', () => [['authorization', 'Basic YTpi']], '400 InvalidToken'],
  ['a good token as DPoP', (nsid) => [['authorization', `DPoP ${serviceAuth(nsid)}`]], '401 MissingJwt'],
  [
    'two good tokens on two lines',
    (nsid) => [...bearer(serviceAuth(nsid)), ...bearer(serviceAuth(nsid))],
    '400 InvalidToken',
  ],
  ['a credential as it is shown', () => [['authorization', `Atproto-Space ${credential}`]], '401 MissingJwt'],
  [
    'a DPoP proof in its own header, alone',
    () => [['dpop', OTHERS['a DPoP proof']?.(stage.alice) ?? '']],
    '401 MissingJwt',
  ],
  ['an HTTP signature, alone', () => signatureOver('Bearer x'), '401 MissingJwt'],
  [
    'a delegation token under an HTTP signature',
    () => {
      const [line] = bearer(OTHERS['a delegation token']?.(stage.alice) ?? '')
      return line ? [line, ...signatureOver(line[1])] : []
    },
    '401 BadJwtType',
  ],
  ['garbage', () => bearer('garbage'), '401 BadJwt'],
  ['three parts of garbage', () => bearer('e30.e30.e30x='), '401 BadJwt'],
  ['a token of 8193 characters', () => bearer('a'.repeat(8_193)), '401 BadJwt'],

  [
    'another service',
    (nsid) => bearer(serviceAuth(nsid, { payload: { aud: 'did:web:other.example' } })),
    '401 BadJwtAudience',
  ],
  [
    'another service of ours',
    (nsid) => bearer(serviceAuth(nsid, { payload: { aud: `${ourDid()}#atproto_space_host` } })),
    '401 BadJwtAudience',
  ],
  [
    'an empty fragment',
    (nsid) => bearer(serviceAuth(nsid, { payload: { aud: `${ourDid()}#` } })),
    '401 BadJwtAudience',
  ],
  ['a list with us in it', (nsid) => bearer(serviceAuth(nsid, { payload: { aud: [ourDid()] } })), '401 BadJwtAudience'],
  ['no audience', (nsid) => bearer(serviceAuth(nsid, { payload: { aud: undefined } })), '401 BadJwt'],
  ['an empty audience', (nsid) => bearer(serviceAuth(nsid, { payload: { aud: '' } })), '401 BadJwtAudience'],

  [
    'a token for another method',
    (nsid) => bearer(serviceAuth(nsid, { payload: { lxm: 'community.reeve.other.thing' } })),
    '401 BadJwtLexiconMethod',
  ],
  [
    'a token for no method',
    (nsid) => bearer(serviceAuth(nsid, { payload: { lxm: undefined } })),
    '401 BadJwtLexiconMethod',
  ],
  ['a token for any method', (nsid) => bearer(serviceAuth(nsid, { payload: { lxm: '*' } })), '401 BadJwtLexiconMethod'],

  [
    'a token that has expired',
    (nsid) => bearer(serviceAuth(nsid, { payload: { iat: nowSec() - 120, exp: nowSec() - 60 } })),
    '401 JwtExpired',
  ],
  [
    'a token that lives for 301 s',
    (nsid) => bearer(serviceAuth(nsid, { payload: { iat: nowSec() - 10, exp: nowSec() + 291 } })),
    '401 BadJwt',
  ],
  [
    'a token from tomorrow',
    (nsid) => bearer(serviceAuth(nsid, { payload: { iat: nowSec() + 40, exp: nowSec() + 90 } })),
    '401 BadJwt',
  ],
  ['a token without an end', (nsid) => bearer(serviceAuth(nsid, { payload: { exp: undefined } })), '401 BadJwt'],
  ['a token without a jti', (nsid) => bearer(serviceAuth(nsid, { payload: { jti: undefined } })), '401 BadJwt'],

  ['a token that nobody signed', (nsid) => bearer(serviceAuth(nsid, { header: { alg: 'none' } })), '401 BadJwt'],
  ['a token by somebody else', (nsid) => bearer(serviceAuth(nsid, { key: makeKey('k256') })), '401 BadJwtSignature'],
  ['a token signed with high S', (nsid) => bearer(serviceAuth(nsid, { s: 'high' })), '401 BadJwtSignature'],
  [
    'a token that names another curve',
    (nsid) => bearer(serviceAuth(nsid, { header: { alg: 'ES256' } })),
    '401 BadJwtSignature',
  ],
  ['a token with an altered body', (nsid) => bearer(altered(serviceAuth(nsid))), '401 BadJwtSignature'],
  [
    'somebody whom no directory knows',
    (nsid) => bearer(serviceAuth(nsid, { payload: { iss: `did:plc:${'z'.repeat(24)}` } })),
    '401 BadJwtIss',
  ],
  [
    'an issuer with a fragment',
    (nsid) => bearer(serviceAuth(nsid, { payload: { iss: `${stage.alice.did}#atproto` } })),
    '401 BadJwtIss',
  ],
  ...Object.entries(OTHERS).map(([name, make]) => [name, () => bearer(make(stage.alice)), '401 BadJwtType'] as const),
]

/** The token with another jti in its payload and the signature as it was. */
function altered(token: string): string {
  const [header, payload = '', signature] = token.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  return `${header}.${base64Url(JSON.stringify({ ...claims, jti: freshJti() }))}.${signature}`
}

for (const door of DOORS.filter(({ knock: how }) => how === 'serviceAuth')) {
  const { nsid, type } = door.method
  describe(nsid, () => {
    it('lets in only service auth for itself, and the others leave no trace', async () => {
      const answers: Record<string, string> = {}
      for (const [name, lines, expected] of CALLERS) {
        const before = expected === 'in' ? null : await holdings(stage.world.database.db)
        answers[name] = verdictOf(await knock(nsid, lines(nsid)))
        if (before) expect(await holdings(stage.world.database.db), name).toEqual(before)
      }
      expect(answers).toEqual(Object.fromEntries(CALLERS.map(([name, , expected]) => [name, expected])))
    })

    it(type === 'procedure' ? 'takes a token once' : 'takes a token as often as it is good', async () => {
      const token = bearer(serviceAuth(nsid))
      expect(verdictOf(await knock(nsid, token))).toBe('in')
      expect(verdictOf(await knock(nsid, token))).toBe(type === 'procedure' ? '401 JwtReplayed' : 'in')
    })
  })
}

describe('the door for what people write', () => {
  const nsid = 'com.atproto.space.notifyWrite'
  const meant = (aud: string, person: Person = stage.bob) =>
    bearer(makeServiceJwt({ key: person.key, iss: person.did, aud, lxm: nsid, nowSec: nowSec() }))

  it('lets in nobody who comes as to the other doors, and they leave no trace', async () => {
    const before = await holdings(stage.world.database.db)
    for (const [name, lines, expected] of CALLERS) {
      const verdict = verdictOf(await knock(nsid, lines(nsid)))
      expect(verdict, name).toMatch(/^40[0-3] /)
      // What is right for the others is meant for us, and not for the authority of a space.
      if (expected === 'in') expect(verdict, name).toBe('403 Forbidden')
    }
    expect(await holdings(stage.world.database.db)).toEqual(before)
  })

  it('lets in the writer whose token is meant for the authority, and nobody in their name', async () => {
    expect(verdictOf(await knock(nsid, meant(stage.community, { ...stage.eve, did: stage.bob.did })))).toBe(
      '401 BadJwtSignature',
    )
    expect(verdictOf(await knock(nsid, meant(stage.community, stage.eve)))).toBe('403 Forbidden')
    for (const fragment of ['', '#atproto_space_host']) {
      expect(verdictOf(await knock(nsid, meant(`${stage.community}${fragment}`)))).toBe('in')
    }
  })
})

describe('the door for what a PDS asks', () => {
  const nsid = 'com.atproto.simplespace.checkUserAccess'

  it('lets in who comes as to the other doors under our full name, and the others leave no trace', async () => {
    const others: Readonly<Record<string, string>> = {
      'service auth for the bare DID': '401 BadJwtAudience',
      // It is no authority of that space, and is told so without a look at its key.
      'somebody whom no directory knows': 'in',
    }
    for (const [name, lines, usual] of CALLERS) {
      const expected = others[name] ?? usual
      const before = expected === 'in' ? null : await holdings(stage.world.database.db)
      const answer = await knock(nsid, lines(nsid))
      expect(verdictOf(answer), name).toBe(expected)
      if (name in others) expect(answer.body.authorized ?? false, name).toBe(false)
      if (before) expect(await holdings(stage.world.database.db), name).toEqual(before)
    }
  })

  it('takes a token as often as it is good', async () => {
    const token = bearer(serviceAuth(nsid))
    for (let nth = 0; nth < 3; nth++) expect(verdictOf(await knock(nsid, token))).toBe('in')
  })
})

describe('doors for anybody', () => {
  const open = DOORS.filter((door) => door.knock === 'anybody').map((door) => door.method.nsid)

  it('don’t look at what a caller carries', async () => {
    expect(open).toEqual(['community.reeve.space.describe', 'community.reeve.service.describe'])
    for (const nsid of open) {
      for (const [, lines] of CALLERS) expect(verdictOf(await knock(nsid, lines(nsid)))).toBe('in')
    }
  })
})

describe('tokens offered in each other’s places', () => {
  const nsid = 'com.atproto.space.getSpaceCredential'
  const kinds = (): Readonly<Record<string, string>> => ({
    'service auth': makeServiceJwt({
      ...{ key: stage.bob.key, iss: stage.bob.did, aud: `${stage.community}#atproto_space_host` },
      ...{ lxm: nsid, nowSec: nowSec() },
    }),
    ...Object.fromEntries(Object.entries(OTHERS).map(([name, make]) => [name, make(stage.bob)])),
    'an attestation by a key that an app publishes': makeAttestation({
      ...{ key: appKey, authority: stage.community, clientId: app.clientId(), nowSec: nowSec() },
    }),
    garbage: 'garbage',
  })

  const appKey = makeAppKey('ES256')
  let app: AppServer
  beforeAll(async () => {
    app = await startAppServer(appKey)
  })
  afterAll(() => app.close())

  /** Where a token can stand in an exchange. Everything else about the request is good. */
  const PLACES: Readonly<Record<string, (token: string) => Promise<Answer>>> = {
    'as the delegation, beside a signature over it': (token) => {
      const authorization = `Bearer ${token}`
      const { signatureInput, signature } = makeSpaceSignature({ key: makeKey('p256'), authorization })
      return knock(nsid, [...bearer(token), ['signature-input', signatureInput], ['signature', signature]])
    },
    'as the delegation, beside a DPoP proof': (token) => {
      const proof = OTHERS['a DPoP proof']?.(stage.bob) ?? ''
      return knock(nsid, [...bearer(token), ['dpop', proof]])
    },
    'as the DPoP proof, beside a delegation': (token) => {
      const delegation = OTHERS['a delegation token']?.(stage.bob) ?? ''
      return knock(nsid, [...bearer(delegation), ['dpop', token]])
    },
    'as the attestation, beside both': (token) =>
      stage.world.send(
        exchangeRequest(stage.world, {
          ...{ did: stage.bob.did, key: stage.bob.key, space: stage.forum, binding: 'october' },
          body: { space: stage.forum, clientAttestation: token },
        }),
      ),
  }

  it('pass only where they belong', async () => {
    const grid: Record<string, Record<string, string>> = {}
    for (const [place, offer] of Object.entries(PLACES)) {
      grid[place] = {}
      for (const [kind, token] of Object.entries(kinds())) {
        const before = await holdings(stage.world.database.db)
        const verdict = verdictOf(await offer(token))
        grid[place][kind] = verdict
        if (verdict !== 'in') expect(await holdings(stage.world.database.db), `${place}: ${kind}`).toEqual(before)
      }
    }
    const wrongType = {
      'service auth': '401 BadJwtType',
      'a delegation token': '401 BadJwtType',
      'a DPoP proof': '401 BadJwtType',
      'a credential of ours': '401 BadJwtType',
      'a credential of the older generation': '401 BadJwtType',
      'an OAuth access token': '401 BadJwtType',
      'a client attestation': '401 BadJwtType',
      'an attestation by a key that an app publishes': '401 BadJwtType',
      garbage: '401 BadJwt',
    }
    const all = (verdict: string) => Object.fromEntries(Object.keys(wrongType).map((kind) => [kind, verdict]))
    expect(grid).toEqual({
      'as the delegation, beside a signature over it': { ...wrongType, 'a delegation token': 'in' },
      'as the delegation, beside a DPoP proof': { ...wrongType, 'a delegation token': 'in' },
      'as the DPoP proof, beside a delegation': { ...all('401 BadDpopProofSignature'), 'a DPoP proof': 'in' },
      'as the attestation, beside both': {
        ...all('400 InvalidClientAttestation'),
        'an attestation by a key that an app publishes': 'in',
      },
    })
  })

  it('are spent where they belong: the same delegation and the same proof pass once', async () => {
    const delegation = OTHERS['a delegation token']?.(stage.bob) ?? ''
    const proof = OTHERS['a DPoP proof']?.(stage.bob) ?? ''
    const first: HeaderLine[] = [...bearer(delegation), ['dpop', proof]]
    expect(verdictOf(await knock(nsid, first))).toBe('in')
    expect(
      verdictOf(await knock(nsid, [...bearer(delegation), ['dpop', OTHERS['a DPoP proof']?.(stage.bob) ?? '']])),
    ).toBe('401 JwtReplayed')
    const fresh = OTHERS['a delegation token']?.(stage.bob) ?? ''
    expect(verdictOf(await knock(nsid, [...bearer(fresh), ['dpop', proof]]))).toBe('401 BadDpopProof')
    expect(verdictOf(await stage.eve.exchange(stage.forum))).toBe('400 UserNotAuthorized')
  })
})
