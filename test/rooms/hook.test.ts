/**
 * What a PDS asks about the spaces of an account, over real sockets and in both generations: who may ask, what about, whom the roll lets
 * in, what is kept of it, and that nothing is left of a no.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { STRANGERS_MAX, Strangers } from '../../src/access/hook-memory.ts'
import { type Did, ROLE_SPACE_TYPE, rosterOf } from '../../src/names.ts'
import {
  type Adopted,
  accepted,
  adopt,
  bind,
  FORUM_TYPE,
  keptIn,
  openAdopted,
  PUBLIC,
  putIn,
  R,
  stateOf,
  takeOut,
} from '../kit/adopted.ts'
import {
  type Asked,
  CHECK_USER_ACCESS,
  GENERATIONS,
  type HostedAccount,
  letsIn,
  type Question,
  saidOf,
} from '../kit/asking-host.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { makeDelegation, makeDpopProof, makeKey } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { askedBesides } from '../kit/watched.ts'
import { type Answer, type Person, type RawRequest, spaceOf } from '../kit/world.ts'

const NOBODY = `did:plc:${'q'.repeat(24)}` as Did
const APP = 'https://app.example.com/client.json'
const BAD_APP = 'https://bad.example.com/client.json'
const HOUR_SEC = 3_600

/** What differs of a good question by the account about bob. */
type Spoil = (scene: Adopted) => Partial<Asked>

const payload =
  (claims: (scene: Adopted) => object): Spoil =>
  (scene) => ({ changes: { payload: { ...claims(scene) } } })
const header =
  (members: object): Spoil =>
  () => ({ changes: { header: { ...members } } })
const nowSec = ({ world }: Adopted): number => world.clock.nowSec()
const queryOf = (pairs: readonly (readonly [string, string])[]): string =>
  String(new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, value])))
const typed = (typ: unknown): Spoil => header({ typ })

interface Refused {
  /** Its number in the list of known bad inputs, where it is there. */
  readonly row?: number
  readonly says: string
  readonly answers: string
  readonly with: Spoil
}

/** By its own words: nobody is asked for a key, and nothing is looked up. */
const REFUSED: readonly Refused[] = [
  // whom it is for
  {
    ...{ row: 169, says: 'our bare DID as aud', answers: '401 BadJwtAudience' },
    with: ({ world }) => ({ aud: world.config.serviceDid }),
  },
  ...['#bouncer', '#atproto_pds', '#atproto_space_host', '#REEVE', '#reeve#reeve', '#', '#reeve '].map((fragment) => ({
    ...{ row: 169, says: `“${fragment}” of ours as aud`, answers: '401 BadJwtAudience' },
    with: ({ world }: Adopted) => ({ aud: `${world.config.serviceDid}${fragment}` }),
  })),
  {
    ...{ says: 'the same fragment of another service as aud', answers: '401 BadJwtAudience' },
    with: () => ({ aud: 'did:web:reeve.example.org#reeve' }),
  },
  {
    ...{ says: 'the authority as aud', answers: '401 BadJwtAudience' },
    with: ({ account }) => ({ aud: account.did }),
  },
  {
    ...{ says: 'a list as aud', answers: '401 BadJwtAudience' },
    with: (scene) => payload(({ hosts }) => ({ aud: [hosts.october.managingApp] }))(scene),
  },
  { says: 'no aud', answers: '401 BadJwt', with: payload(() => ({ aud: undefined })) },
  { says: 'no lxm', answers: '401 BadJwtLexiconMethod', with: payload(() => ({ lxm: undefined })) },
  ...['com.atproto.space.notifyWrite', 'community.reeve.member.check', `${CHECK_USER_ACCESS}s`, '*'].map((lxm) => ({
    ...{ says: `${lxm} as lxm`, answers: '401 BadJwtLexiconMethod' },
    with: () => ({ lxm }),
  })),
  // what it is
  ...[
    ...['space-delegation+jwt', 'atproto-space-delegation+jwt', 'at+jwt', 'refresh+jwt', 'dpop+jwt'],
    ...['atproto-space-credential+jwt', 'atproto-client-attestation+jwt', 'jwt', '', null],
  ].map((typ) => ({
    ...{ row: 174, says: `the typ ${JSON.stringify(typ)}`, answers: '401 BadJwtType', with: typed(typ) },
  })),
  {
    ...{ row: 174, says: 'a delegation token', answers: '401 BadJwtType' },
    with: (scene) => {
      const { account, forum } = scene
      return {
        token: makeDelegation({ key: account.key, iss: account.did, space: spaceOf(forum), nowSec: nowSec(scene) }),
      }
    },
  },
  {
    ...{ row: 174, says: 'a proof of possession', answers: '401 BadJwtType' },
    with: (scene) => ({
      token: makeDpopProof({ key: makeKey('p256'), method: 'GET', url: scene.world.url, nowSec: nowSec(scene) }),
    }),
  },
  { says: 'words in place of a token', answers: '401 BadJwt', with: () => ({ token: 'let.me.in' }) },
  { says: 'another kid', answers: '401 BadJwt', with: header({ kid: '#atproto_labeler' }) },
  { says: 'a key of its own', answers: '401 BadJwt', with: header({ jwk: makeKey('p256').jwk }) },
  {
    ...{ says: 'an iss with a fragment', answers: '401 BadJwtIss' },
    with: payload(({ account }) => ({ iss: `${account.did}#atproto` })),
  },
  { says: 'no iss', answers: '401 BadJwtIss', with: payload(() => ({ iss: undefined })) },
  { says: 'no jti', answers: '401 BadJwt', with: payload(() => ({ jti: undefined })) },
  { says: 'no exp', answers: '401 BadJwt', with: payload(() => ({ exp: undefined })) },
  {
    ...{ says: 'a life of 301 seconds', answers: '401 BadJwt' },
    with: payload((scene) => ({ exp: nowSec(scene) + 301 })),
  },
  {
    ...{ says: 'an end a minute ago', answers: '401 JwtExpired' },
    with: payload((scene) => ({ iat: nowSec(scene) - 120, exp: nowSec(scene) - 60 })),
  },
  {
    ...{ says: 'a beginning in a minute', answers: '401 BadJwt' },
    with: payload((scene) => ({ iat: nowSec(scene) + 60, exp: nowSec(scene) + 120 })),
  },
  // about whom
  ...(
    [
      ['alice.example.com', 'a handle'],
      ['did:plc:short', 'a short DID'],
      ['did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ', 'a DID in large letters'],
      ['did:web:Example.com', 'a host in large letters'],
      ['did:web:example.com.', 'a host with a dot behind it'],
      ['did:web:example.com%3A443', 'a host with its port'],
      ['did:web:example.com:users:bob', 'a host with a path'],
      ['did:key:zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv', 'a key'],
      ['at://did:plc:ewvi7nxzyoun6zhxrhs64oiz', 'an address'],
    ] as const
  ).map(([user, says]) => ({
    ...{ row: 170, says: `${says} as user`, answers: '400 InvalidRequest', with: () => ({ user }) },
  })),
  {
    ...{ row: 170, says: 'a key of bob as user', answers: '400 InvalidRequest' },
    with: ({ bob }) => ({ user: `${bob.did}#atproto` }),
  },
  {
    ...{ row: 170, says: 'no user', answers: '400 InvalidRequest' },
    with: ({ forum }) => ({ query: queryOf([['space', forum]]) }),
  },
  {
    ...{ says: 'two users', answers: '400 InvalidRequest' },
    with: ({ forum, bob, carol }) => ({
      query: queryOf([
        ['space', forum],
        ['user', bob.did],
        ['user', carol.did],
      ]),
    }),
  },
  // what for
  ...['admin', 'READ', 'read ', 'read,write', 'create', 'true'].map((access) => ({
    ...{ row: 171, says: `access=${access}`, answers: '400 InvalidRequest', with: () => ({ access }) },
  })),
  {
    ...{ says: 'reading and writing in one', answers: '400 InvalidRequest' },
    with: ({ forum, bob }) => ({
      query: queryOf([
        ['space', forum],
        ['user', bob.did],
        ['access', 'read'],
        ['access', 'write'],
      ]),
    }),
  },
  // where
  ...(
    [
      [({ forum }) => `${forum}/`, 'a slash at its end'],
      [({ forum }) => `${forum}?a=b`, 'a query'],
      [({ forum }) => `${forum}#main`, 'a fragment'],
      [({ forum }) => forum.replace('/main', ''), 'no key'],
      [({ account }) => `at://${account.did}/com.atproto.space/main`, 'the form of a record'],
      [({ forum, account }) => forum.replace(account.did, 'allotments.example.com'), 'a handle for its authority'],
      [({ forum }) => forum.replace('at://', 'https://'), 'another scheme'],
      [() => '', 'nothing in it'],
    ] as readonly (readonly [(scene: Adopted) => string, string])[]
  ).map(([space, says]) => ({
    ...{ says: `a space with ${says}`, answers: '400 InvalidRequest' },
    with: (scene: Adopted) => ({ space: space(scene) }),
  })),
  {
    ...{ says: 'two spaces', answers: '400 InvalidRequest' },
    with: ({ forum, bob }) => ({
      query: queryOf([
        ['space', forum],
        ['space', forum],
        ['user', bob.did],
      ]),
    }),
  },
  // how it is written
  ...['%0d%0aset-cookie:x', '%00', '%E2%80%AE', '%ff', '%zz', '%'].map((hidden) => ({
    ...{ says: `${hidden} in its query`, answers: '400 InvalidRequest' },
    with: ({ forum, bob }: Adopted) => ({
      query: `space=${encodeURIComponent(forum)}&user=${bob.did}&note=a${hidden}`,
    }),
  })),
  {
    ...{ says: '__proto__ in its query', answers: '400 InvalidRequest' },
    with: ({ forum, bob }) => ({ query: `space=${encodeURIComponent(forum)}&user=${bob.did}&__proto__=x` }),
  },
  // with which app
  ...(
    [
      ['app.example.com', 'a host'],
      ['http://app.example.com/client.json', 'no https'],
      ['https://APP.example.com/client.json', 'large letters'],
      ['https://app.example.com/client.json#a', 'a fragment'],
      ['http://localhost', 'the name of every app that is just being written'],
    ] as const
  ).map(([clientId, says]) => ({
    ...{ says: `an app with ${says}`, answers: '400 InvalidRequest', with: () => ({ clientId }) },
  })),
]

/** By the key of the account. */
const UNSIGNED: readonly Refused[] = [
  {
    ...{ says: 'somebody else', answers: '401 BadJwtSignature' },
    with: ({ account }) => ({ by: { did: account.did, key: makeKey('k256') } }),
  },
  {
    ...{ says: 'a key of the other curve', answers: '401 BadJwtSignature' },
    with: ({ account }) => ({ by: { did: account.did, key: makeKey('p256') } }),
  },
  {
    ...{ says: 'the owner', answers: '401 BadJwtSignature' },
    with: ({ account, alice }) => ({ by: { did: account.did, key: alice.key } }),
  },
  { says: 'the account, with a high S', answers: '401 BadJwtSignature', with: () => ({ changes: { s: 'high' } }) },
  {
    ...{ says: 'nobody', answers: '401 BadJwtSignature' },
    with: () => ({ changes: { signature: new Uint8Array(64) } }),
  },
  {
    ...{ says: 'the account, under another algorithm', answers: '401 BadJwtSignature' },
    with: header({ alg: 'ES256' }),
  },
]

describeOnEachEngine('what a PDS asks', (open) => {
  let database: TestDatabase
  let scene: Adopted
  /** Another account that was adopted, with a space of its own. */
  let other: Person
  let otherForum: string

  beforeAll(async () => {
    database = await open()
    scene = await openAdopted(database)
    other = await scene.world.person()
    accepted(await adopt(other, scene.carol))
    otherForum = await bind(scene.carol, other, 'main')
  })
  afterAll(() => scene.close())

  const ask = (asked: Partial<Asked> = {}): Promise<Answer> =>
    scene.hosts.october.ask({ by: scene.account, space: scene.forum, user: scene.bob.did, ...asked })
  /** Forgets the account's document, so that whoever needs its key has to ask for it. */
  const forget = () => {
    for (const { did } of [scene.account, other]) scene.world.reeve.house.documents.expire(did)
    scene.plc.forget()
  }

  it('is found where its document says, under the one name that is its audience', async () => {
    const { world, hosts } = scene
    const described = accepted(await world.send({ path: `/xrpc/${R}.service.describe` }))
    expect(described.managingApp).toBe(`${world.config.serviceDid}#reeve`)
    const document = accepted(await world.send({ path: '/.well-known/did.json' }))
    const ids = document.service.map(({ id }: { id: string }) => id)
    expect([ids.includes('#reeve') || ids.includes(described.managingApp), described.managingApp]).toEqual([
      true,
      hosts.august.managingApp,
    ])
  })

  describe('is answered as the reference asks it, to the byte', () => {
    /** As it was recorded: its headers in their order, with their values, and its token but for what is fresh in it. */
    const requireRecorded = (raw: RawRequest) => {
      const { world, account, hosts } = scene
      const [head = '', claims = '', signature = ''] = raw.headers?.[2]?.[1]?.replace('Bearer ', '').split('.') ?? []
      expect(raw.headers).toEqual([
        ['host', new URL(world.url).host],
        ['connection', 'keep-alive'],
        ['authorization', `Bearer ${head}.${claims}.${signature}`],
        ['accept', 'application/json'],
        ['accept-language', '*'],
        ['sec-fetch-mode', 'cors'],
        ['user-agent', 'node'],
        ['accept-encoding', 'gzip, deflate'],
      ])
      const text = (part: string) => Buffer.from(part, 'base64url').toString()
      expect(text(head)).toBe('{"typ":"JWT","alg":"ES256K"}')
      const { iat, jti } = JSON.parse(text(claims))
      expect(Number.isSafeInteger(iat)).toBe(true)
      expect(jti).toMatch(/^[0-9a-f]{32}$/)
      const said = { iat, iss: account.did, aud: hosts.august.managingApp, exp: iat + 60 }
      expect(text(claims)).toBe(JSON.stringify({ ...said, lxm: 'com.atproto.simplespace.checkUserAccess', jti }))
    }
    const requireAnswer = (answer: Answer, authorized: boolean) => {
      expect([answer.status, answer.body]).toEqual([200, { authorized }])
      expect(answer.headers['content-type']).toMatch(/^application\/json/)
      expect(letsIn(answer)).toBe(authorized)
    }
    const pathOf = (space: string, user: string) =>
      `/xrpc/com.atproto.simplespace.checkUserAccess?space=${encodeURIComponent(space)}&user=${encodeURIComponent(user)}`

    it('with two parameters, when no app proved itself', async () => {
      const { world, account, bob, forum, hosts } = scene
      const raw = await hosts.august.request({ by: account, space: forum, user: bob.did })
      expect(raw.path).toBe(pathOf(forum, bob.did))
      requireRecorded(raw)
      requireAnswer(await world.send(raw), true)
    })

    it('with a third, of an app on the machine of whoever writes it, when that proved itself', async () => {
      const { world, alice, account, bob, hosts } = scene
      const space = await bind(alice, account, 'bytes')
      await putIn(alice, space, bob.did)
      const clientId = 'http://localhost:4140/client-metadata.json'
      const request = () => hosts.august.request({ by: account, space, user: bob.did, clientId })
      const raw = await request()
      expect(raw.path).toBe(`${pathOf(space, bob.did)}&clientId=http%3A%2F%2Flocalhost%3A4140%2Fclient-metadata.json`)
      requireRecorded(raw)
      requireAnswer(await world.send(raw), true)
      accepted(await alice.call(`${R}.app.putRule`, { space, clientId, verdict: 'deny' }))
      requireAnswer(await world.send(await request()), false)
      expect(await keptIn(database, space)).toMatchObject([
        { action: 'access.allow', subject: bob.did, because: { clientId, access: null } },
        { action: 'access.refuse', subject: bob.did, because: { clientId, refused: 'AppNotAuthorized' } },
      ])
    })
  })

  it('may have parameters that nobody knows yet', async () => {
    const { forum, bob } = scene
    const query = queryOf([
      ['space', forum],
      ['user', bob.did],
      ['fromTheFuture', 'x'],
    ])
    expect((await ask({ query })).body).toEqual({ authorized: true })
  })

  describe('is refused', () => {
    it.each(REFUSED.map((row) => [row.row === undefined ? '' : `${row.row}: `, row.says, row.answers, row] as const))(
      '%swith %s: %s; nobody is asked for a key, and nothing is left',
      async (_row, _says, answers, row) => {
        forget()
        const before = await stateOf(database)
        const answer = await ask(row.with(scene))
        expect(saidOf(answer)).toBe(answers)
        expect(letsIn(answer)).toBe(false)
        expect(await stateOf(database)).toBe(before)
        expect(await askedBesides(scene.plc, database)).toEqual([])
      },
    )

    it.each(UNSIGNED.map((row) => [row.says, row.answers, row] as const))(
      'signed by %s: %s, and nothing is left',
      async (_says, answers, row) => {
        forget()
        const before = await stateOf(database)
        expect(saidOf(await ask(row.with(scene)))).toBe(answers)
        expect(await stateOf(database)).toBe(before)
        const asked = await askedBesides(scene.plc, database)
        expect(asked.every(({ kind, did }) => kind === 'document' && did === scene.account.did)).toBe(true)
        expect(asked.length).toBeLessThanOrEqual(2)
      },
    )

    it('without a token, with two, and by another verb', async () => {
      const { world, hosts, account, forum, bob } = scene
      const good = await hosts.october.request({ by: account, space: forum, user: bob.did })
      const others = (good.headers ?? []).filter(([name]) => name !== 'authorization')
      const own = (good.headers ?? []).filter(([name]) => name === 'authorization')
      const before = await stateOf(database)
      expect(saidOf(await world.send({ ...good, headers: others }))).toBe('401 MissingJwt')
      expect((await world.send({ ...good, headers: [...others, ...own, ...own] })).status).toBeGreaterThan(399)
      expect((await world.send({ ...good, method: 'POST' })).status).toBe(400)
      expect(await stateOf(database)).toBe(before)
    })

    it('for the first thing that is wrong: the token, whom it is for, what it means, then the question', async () => {
      const bad = { user: 'nobody', by: { did: NOBODY, key: makeKey('k256') } }
      const typ = { changes: { header: { typ: 'at+jwt' } } }
      expect(saidOf(await ask({ ...bad, ...typ, aud: 'did:web:x.example.com', lxm: 'a.b.c' }))).toBe('401 BadJwtType')
      expect(saidOf(await ask({ ...bad, aud: 'did:web:x.example.com', lxm: 'a.b.c' }))).toBe('401 BadJwtAudience')
      expect(saidOf(await ask({ ...bad, lxm: 'a.b.c' }))).toBe('401 BadJwtLexiconMethod')
      expect(saidOf(await ask(bad))).toBe('400 InvalidRequest')
      expect(saidOf(await ask({ by: bad.by }))).toBe('out')
    })
  })

  describe('about what isn’t decided here is answered with no', () => {
    const signed = (who: HostedAccount): HostedAccount => ({ did: who.did, key: makeKey('k256') })
    const REFUSED_QUIETLY: readonly (readonly [string, () => Partial<Asked> | Promise<Partial<Asked>>])[] = [
      [
        'an account that was not adopted',
        () => ({ by: scene.bob, space: scene.forum.replace(scene.account.did, scene.bob.did) }),
      ],
      [
        'the same, by a forged token',
        () => ({ by: signed(scene.bob), space: scene.forum.replace(scene.account.did, scene.bob.did) }),
      ],
      [
        'a DID that nobody has',
        () => ({ by: { did: NOBODY, key: makeKey('k256') }, space: scene.forum.replace(scene.account.did, NOBODY) }),
      ],
      [
        'a community that was founded here',
        async () => {
          const community = await scene.world.found(scene.alice)
          const space = await scene.world.makeSpace(scene.alice, community)
          scene.plc.forget()
          return { by: { did: community, key: makeKey('p256') }, space, user: scene.alice.did }
        },
      ],
    ]

    it.each(REFUSED_QUIETLY)('%s: nobody is asked for a key, and nothing is left', async (_says, asked) => {
      const question = await asked()
      forget()
      const before = await stateOf(database)
      const answer = await ask(question)
      expect([answer.status, answer.body]).toEqual([200, { authorized: false }])
      expect(await stateOf(database)).toBe(before)
      expect(await askedBesides(scene.plc, database)).toEqual([])
    })

    const UNBOUND: readonly (readonly [string, () => string | Promise<string>])[] = [
      ['168: that was never bound', () => scene.forum.replace('/main', '/other')],
      ['168: of another type', () => scene.forum.replace(FORUM_TYPE, 'com.example.room')],
      [
        '168: that is there, with people in it, and isn’t bound',
        async () => {
          const space = await bind(scene.alice, scene.account, 'loose')
          await putIn(scene.alice, space, scene.bob.did)
          await database.db.updateTable('space').set({ bound_at_ms: null }).where('uri', '=', space).execute()
          return space
        },
      ],
      ['that is the roster', () => rosterOf(scene.account.did).uri],
      [
        'that is a role',
        async () => {
          const input = { community: scene.account.did, spaceType: ROLE_SPACE_TYPE, skey: 'role' }
          return accepted(await scene.alice.call(`${R}.space.create`, input)).uri
        },
      ],
      [
        'that was deleted',
        async () => {
          const space = await bind(scene.alice, scene.account, 'gone')
          accepted(await scene.alice.call(`${R}.space.delete`, { space }))
          await eventually('it is cleared away', async () => {
            const notes = await database.db.selectFrom('space_end').select('space').execute()
            return notes.length === 0
          })
          return space
        },
      ],
    ]

    it.each(UNBOUND)('a space %s, whoever it is about, and nothing is left', async (_says, spaceGiven) => {
      const space = await spaceGiven()
      forget()
      const before = await stateOf(database)
      for (const user of [scene.alice.did, scene.bob.did, scene.carol.did, scene.account.did]) {
        for (const access of [undefined, 'read', 'write']) {
          const answer = await ask({ space, user, ...(access === undefined ? {} : { access }) })
          expect([answer.status, answer.body]).toEqual([200, { authorized: false }])
        }
      }
      expect(await stateOf(database)).toBe(before)
      const others = (await askedBesides(scene.plc, database)).filter(({ did }) => did !== scene.account.did)
      expect(others).toEqual([])
    })

    it('167: another account asks about this one’s space, which its log says, and nobody is asked for a key', async () => {
      const { world, forum, bob, account } = scene
      const rows = async () => (await keptIn(database)).filter(({ action }) => action === 'hook.foreign')
      const foreign: readonly Partial<Asked>[] = [
        { by: other },
        { by: bob, access: 'read' },
        { by: { did: other.did, key: makeKey('k256') }, user: scene.alice.did },
        { by: { did: NOBODY, key: makeKey('p256') } },
      ]
      forget()
      const before = (await stateOf(database)).replace(/\nlog .*/, '')
      for (const about of foreign) {
        const answer = await ask(about)
        expect([answer.status, answer.body]).toEqual([200, { authorized: false }])
      }
      expect((await stateOf(database)).replace(/\nlog .*/, ''), 'only the log grows').toBe(before)
      expect(await askedBesides(scene.plc, database)).toEqual([])
      expect(await rows()).toMatchObject([
        { community: account.did, actor: world.config.serviceDid, target: forum, subject: null },
      ])
      // Of another community's space it is another community's log, and an hour later it is said again.
      expect((await ask({ by: scene.account, space: otherForum })).body).toEqual({ authorized: false })
      expect((await rows()).map(({ community }) => community)).toEqual([account.did, other.did])
      world.clock.moveSec(HOUR_SEC + 1)
      for (const about of foreign) expect((await ask(about)).body).toEqual({ authorized: false })
      expect((await rows()).map(({ community }) => community)).toEqual([account.did, other.did, account.did])
    })

    it('167: an account learns nothing of another one’s people, whom it lets in itself', async () => {
      const { bob, carol, forum } = scene
      expect(saidOf(await ask({ by: other, space: otherForum, user: carol.did }))).toBe('in')
      expect(saidOf(await ask({ by: other, space: otherForum, user: bob.did }))).toBe('out')
      for (const user of [bob.did, carol.did, scene.alice.did, other.did, scene.account.did, NOBODY]) {
        expect(saidOf(await ask({ by: other, space: forum, user }))).toBe('out')
      }
    })
  })

  describe('about people is answered by the roll', () => {
    let space: string
    let frozen: string
    const people = new Map<string, Did>()
    const ASKS = {
      'no word': {},
      'no word, an app': { clientId: APP },
      read: { access: 'read' },
      'read, an app': { access: 'read', clientId: APP },
      write: { access: 'write' },
      'write, an app': { access: 'write', clientId: APP },
    } as const

    beforeAll(async () => {
      const { world, alice, account, bob, rita, carol } = scene
      space = await bind(alice, account, 'people')
      frozen = await bind(alice, account, 'frozen')
      const roster = rosterOf(account.did).uri
      const newcomer = async (name: string, role = 'member', more: object = {}, where = space) => {
        const person = await world.person()
        await putIn(alice, where, person.did, role, more)
        people.set(name, person.did)
        return person
      }
      for (const [name, { did }] of Object.entries({ alice, carol, account })) people.set(name, did)
      await putIn(alice, space, bob.did)
      people.set('bob', bob.did)
      await putIn(alice, space, rita.did, 'reader')
      people.set('rita', rita.did)
      await newcomer('wes', 'writer')
      await newcomer('mo', 'moderator')
      await newcomer('ada', 'admin')
      await newcomer('someone of the roster', 'member', {}, roster)
      const later = (sec: number) => new Date(world.clock.nowMs() + sec * 1000).toISOString()
      await newcomer('someone whose time is over', 'member', { until: later(60) })
      await newcomer('someone who comes tomorrow', 'member', { since: later(100_000) })
      world.clock.moveSec(120)
      const banned = await newcomer('someone banned there')
      accepted(await alice.call(`${R}.member.ban`, { space, did: banned.did }))
      const shut = await newcomer('someone banned everywhere')
      accepted(await alice.call(`${R}.member.ban`, { community: account.did, did: shut.did }))
      const left = await newcomer('someone who left')
      accepted(await left.call(`${R}.member.leave`, { space }))
      const removed = await newcomer('someone taken off')
      await takeOut(alice, space, removed.did)
      await putIn(alice, frozen, bob.did)
      accepted(await alice.call(`${R}.community.freeze`, { space: frozen, isFrozen: true }))
    })

    const IN = [true, true, true, true, true, true]
    const READS = [true, true, true, true, false, false]
    const OUT = [false, false, false, false, false, false]
    it.each([
      ['alice', IN],
      ['bob', IN],
      ['wes', IN],
      ['mo', IN],
      ['ada', IN],
      ['account', IN],
      ['rita', READS],
      ['carol', OUT],
      ['someone of the roster', OUT],
      ['someone whose time is over', OUT],
      ['someone who comes tomorrow', OUT],
      ['someone banned there', OUT],
      ['someone banned everywhere', OUT],
      ['someone who left', OUT],
      ['someone taken off', OUT],
    ] as const)('%s', async (name, expected) => {
      const user = people.get(name) ?? ''
      const said: boolean[] = []
      for (const what of Object.values(ASKS)) {
        const answer = await ask({ space, user, ...what })
        expect(answer.status).toBe(200)
        expect(answer.body).toEqual({ authorized: letsIn(answer) })
        said.push(letsIn(answer))
      }
      expect(Object.fromEntries(Object.keys(ASKS).map((what, at) => [what, said[at]]))).toEqual(
        Object.fromEntries(Object.keys(ASKS).map((what, at) => [what, expected[at]])),
      )
    })

    it('with nobody in a frozen space but the account that it is', async () => {
      for (const user of [scene.bob.did, scene.alice.did]) {
        for (const what of Object.values(ASKS)) expect(saidOf(await ask({ space: frozen, user, ...what }))).toBe('out')
      }
      accepted(await scene.alice.call(`${R}.community.freeze`, { space: frozen, isFrozen: false }))
      expect(saidOf(await ask({ space: frozen, user: scene.bob.did, access: 'write' }))).toBe('in')
    })

    it('171: without a word as one who reads, so that August takes a reader for a writer, and October doesn’t', async () => {
      const { account, hosts, rita, forum } = scene
      const verdicts = async (generation: (typeof GENERATIONS)[number]) => [
        await hosts[generation].mint(account, forum, rita.did),
        await hosts[generation].write(account, forum, rita.did),
      ]
      expect(await verdicts('august')).toEqual([true, true])
      expect(await verdicts('october')).toEqual([true, false])
      expect(saidOf(await ask({ user: rita.did, access: '' })), 'an empty word is none').toBe('in')
    })

    it('where the public may come, with everybody who isn’t banned', async () => {
      const { alice, account, carol, world } = scene
      const readable = await bind(alice, account, 'readable', { readPolicy: PUBLIC })
      const writable = await bind(alice, account, 'writable', { writePolicy: PUBLIC })
      const banned = await world.person()
      accepted(await alice.call(`${R}.member.ban`, { community: account.did, did: banned.did }))
      const all = async (where: string, user: string) => {
        const said: boolean[] = []
        for (const what of [{}, { access: 'read' }, { access: 'write' }]) {
          said.push(letsIn(await ask({ space: where, user, ...what })))
        }
        return said
      }
      expect(await all(readable, carol.did)).toEqual([true, true, false])
      expect(await all(writable, carol.did)).toEqual([false, false, true])
      expect(await all(readable, NOBODY)).toEqual([true, true, false])
      for (const where of [readable, writable]) expect(await all(where, banned.did)).toEqual([false, false, false])
    })

    it('as they are at that moment: put in, taken off, banned and unbanned between two questions', async () => {
      const { alice, carol, account } = scene
      const said = async () => [
        saidOf(await ask({ space, user: carol.did, access: 'read' })),
        saidOf(await ask({ space, user: carol.did })),
        saidOf(await ask({ space, user: carol.did, access: 'write' })),
      ]
      const out = ['out', 'out', 'out']
      expect(await said()).toEqual(out)
      await putIn(alice, space, carol.did)
      expect(await said()).toEqual(['in', 'in', 'in'])
      accepted(await alice.call(`${R}.member.ban`, { space, did: carol.did }))
      expect(await said()).toEqual(out)
      accepted(await alice.call(`${R}.member.unban`, { space, did: carol.did }))
      expect(await said()).toEqual(['in', 'in', 'in'])
      accepted(await alice.call(`${R}.member.put`, { space, did: carol.did, role: 'reader' }))
      expect(await said()).toEqual(['in', 'in', 'out'])
      await takeOut(alice, space, carol.did)
      expect(await said()).toEqual(out)
      accepted(await alice.call(`${R}.community.freeze`, { community: account.did, isFrozen: true }))
      expect(saidOf(await ask({ space, user: scene.bob.did }))).toBe('out')
      accepted(await alice.call(`${R}.community.freeze`, { community: account.did, isFrozen: false }))
      expect(saidOf(await ask({ space, user: scene.bob.did }))).toBe('in')
    })
  })

  describe('about apps is answered by what is said of them', () => {
    const verdicts = async (space: string, clientId: string | undefined): Promise<string[]> => {
      const app = clientId === undefined ? {} : { clientId }
      const said: string[] = []
      for (const access of [undefined, 'read', 'write']) {
        said.push(saidOf(await ask({ space, ...(access === undefined ? {} : { access }), ...app })))
      }
      return said
    }
    const spaceWith = async (skey: string) => {
      const space = await bind(scene.alice, scene.account, skey)
      await putIn(scene.alice, space, scene.bob.did)
      return space
    }

    it('173: one that is denied is turned away, whatever it is for; who names none may be writing', async () => {
      const space = await spaceWith('denying')
      expect(await verdicts(space, BAD_APP)).toEqual(['in', 'in', 'in'])
      accepted(await scene.alice.call(`${R}.app.putRule`, { space, clientId: BAD_APP, verdict: 'deny' }))
      expect(await verdicts(space, BAD_APP)).toEqual(['out', 'out', 'out'])
      expect(await verdicts(space, APP)).toEqual(['in', 'in', 'in'])
      // Nobody in particular is turned away too where somebody is denied; but only reading is said to be by an app.
      expect(await verdicts(space, undefined)).toEqual(['in', 'out', 'in'])
      accepted(await scene.alice.call(`${R}.app.setAccess`, { space, mode: 'open', unattested: 'allow' }))
      expect(await verdicts(space, undefined)).toEqual(['in', 'in', 'in'])
      expect(await verdicts(space, BAD_APP)).toEqual(['out', 'out', 'out'])
    })

    it('173: so is one whose host is denied, and one that the community denies', async () => {
      const space = await spaceWith('hosts')
      accepted(await scene.alice.call(`${R}.app.putRule`, { space, host: 'bad.example.com', verdict: 'deny' }))
      expect(await verdicts(space, BAD_APP)).toEqual(['out', 'out', 'out'])
      accepted(await scene.alice.call(`${R}.app.removeRule`, { space, host: 'bad.example.com' }))
      expect(await verdicts(space, BAD_APP)).toEqual(['in', 'in', 'in'])
      const rule = { community: other.did, clientId: BAD_APP }
      accepted(await scene.carol.call(`${R}.app.putRule`, { ...rule, verdict: 'deny' }))
      const about = { by: other, space: otherForum, user: scene.carol.did }
      expect(saidOf(await ask({ ...about, access: 'read', clientId: BAD_APP }))).toBe('out')
      expect(saidOf(await ask({ ...about, access: 'read', clientId: APP }))).toBe('in')
      accepted(await scene.carol.call(`${R}.app.removeRule`, rule))
    })

    it('one that isn’t on the list is turned away, and a list never makes a person', async () => {
      const appAccess = { $type: 'com.atproto.simplespace.defs#allowList', allowed: [APP] }
      const space = await bind(scene.alice, scene.account, 'listed', { appAccess })
      await putIn(scene.alice, space, scene.bob.did)
      expect(await verdicts(space, APP)).toEqual(['in', 'in', 'in'])
      expect(await verdicts(space, BAD_APP)).toEqual(['out', 'out', 'out'])
      expect(await verdicts(space, undefined)).toEqual(['in', 'out', 'in'])
      for (const access of ['read', 'write']) {
        expect(saidOf(await ask({ space, user: scene.carol.did, access, clientId: APP }))).toBe('out')
      }
      // The account itself is a person like others where apps are asked about.
      expect(saidOf(await ask({ space, user: scene.account.did, access: 'read', clientId: BAD_APP }))).toBe('out')
    })
  })

  describe('is kept', () => {
    let space: string
    beforeAll(async () => {
      space = await bind(scene.alice, scene.account, 'kept')
      await putIn(scene.alice, space, scene.bob.did)
      await putIn(scene.alice, space, scene.rita.did, 'reader')
    })
    const kept = () => keptIn(database, space)
    const about = (user: Person | HostedAccount, more: Partial<Question> = {}) => ({ space, user: user.did, ...more })

    it('where the answer is yes, with its reasons, before it goes out', async () => {
      const { account, bob, alice } = scene
      expect(saidOf(await ask(about(bob, { access: 'read', clientId: APP })))).toBe('in')
      const { revision } = accepted(await alice.ask(`${R}.community.get`, { community: account.did }))
      expect(await kept()).toMatchObject([
        {
          ...{ community: account.did, actor: account.did, action: 'access.allow', target: space, subject: bob.did },
          because: {
            ...{ revision, access: 'read', clientId: APP },
            reasons: [{ rule: 'openToApps' }, { rule: 'edge', into: space, from: bob.did, role: 'member' }],
          },
        },
      ])
      expect(saidOf(await ask(about(bob, { access: 'write' })))).toBe('in')
      const written = (await kept()).at(-1)
      expect(written).toMatchObject({
        because: { access: 'write', reasons: [{ rule: 'edge', into: space, from: bob.did, role: 'member' }] },
      })
      expect(written?.because['clientId'] ?? null).toBeNull()
      expect(saidOf(await ask(about(account)))).toBe('in')
      expect((await kept()).at(-1)).toMatchObject({
        subject: account.did,
        because: { reasons: [{ rule: 'authority' }] },
      })
      // The admin finds it in the log, whose chain holds.
      const { entries } = accepted(await alice.ask(`${R}.audit.list`, { community: account.did, subject: bob.did }))
      expect(entries.map(({ action }: { action: string }) => action)).toContain('access.allow')
    })

    it('where somebody on the roll is refused, and never where a stranger is', async () => {
      const { rita, carol } = scene
      const before = (await kept()).length
      for (let nth = 0; nth < 3; nth++) {
        expect(saidOf(await ask(about(rita, { access: 'write' })))).toBe('out')
        expect(saidOf(await ask(about(carol, { access: 'read' })))).toBe('out')
        expect(saidOf(await ask(about(carol)))).toBe('out')
      }
      expect((await kept()).slice(before)).toMatchObject([
        {
          ...{ actor: scene.account.did, action: 'access.refuse', subject: rita.did, target: space },
          because: { refused: 'UserNotAuthorized', access: 'write', reasons: [{ rule: 'noPath', into: space }] },
        },
      ])
    })

    it('once an hour for the same person, purpose, app, answer and reasons, and each time that one of them differs', async () => {
      const { world, alice, account } = scene
      const dora = await world.person()
      await putIn(alice, space, dora.did)
      const count = async () => (await kept()).filter(({ subject }) => subject === dora.did).length
      const asks: Partial<Question>[] = [
        {},
        { access: 'read' },
        { access: 'write' },
        { access: 'read', clientId: APP },
        { access: 'read', clientId: BAD_APP },
      ]
      const askAll = async () => {
        for (const one of [...asks, ...asks]) expect(saidOf(await ask(about(dora, one)))).toBe('in')
      }
      await askAll()
      expect(await count()).toBe(5)
      await Promise.all(Array.from({ length: 12 }, () => ask(about(dora, { access: 'read' }))))
      expect(await count()).toBe(5)
      // Another way in is another reason.
      accepted(await alice.call(`${R}.member.put`, { space, did: dora.did, role: 'writer' }))
      await askAll()
      expect(await count()).toBe(10)
      // Other changes of the community are none.
      await putIn(alice, rosterOf(account.did).uri, (await world.person()).did)
      await askAll()
      expect(await count()).toBe(10)
      await takeOut(alice, space, dora.did)
      expect(saidOf(await ask(about(dora, { access: 'read' })))).toBe('out')
      expect(await count(), 'a stranger now').toBe(10)
      accepted(await alice.call(`${R}.member.put`, { space, did: dora.did, role: 'writer' }))
      world.clock.moveSec(HOUR_SEC - 10)
      await askAll()
      expect(await count()).toBe(10)
      world.clock.moveSec(20)
      await askAll()
      expect(await count()).toBe(15)
    })

    it('by both generations, in their own words', async () => {
      const { world, alice, account, hosts } = scene
      const dora = await world.person()
      await putIn(alice, space, dora.did)
      for (const generation of GENERATIONS) {
        expect(await hosts[generation].mint(account, space, dora.did)).toBe(true)
        expect(await hosts[generation].write(account, space, dora.did)).toBe(true)
      }
      const words = (await kept()).filter(({ subject }) => subject === dora.did).map(({ because }) => because['access'])
      expect(words.map((word) => word ?? null)).toEqual([null, 'read', 'write'])
      const before = await stateOf(database)
      expect(await hosts.august.mint(account, space, account.did), 'it never asks about itself').toBe(true)
      expect(await stateOf(database)).toBe(before)
    })
  })

  describe('about people of another community', () => {
    it('is answered by its roll while that is offered and nested', async () => {
      const { world, alice, account, forum, hosts } = scene
      const [olga, peer] = [await world.person(), await world.person()]
      const boaters = await world.found(olga)
      const crew = accepted(
        await olga.call(`${R}.space.create`, { community: boaters, spaceType: ROLE_SPACE_TYPE, skey: 'crew' }),
      ).uri
      await putIn(olga, crew, peer.did, 'moderator')
      const verdicts = async () => [
        await hosts.august.mint(account, forum, peer.did),
        await hosts.october.mint(account, forum, peer.did),
        await hosts.october.write(account, forum, peer.did),
      ]
      const none = [false, false, false]
      const nest = (role: string) => alice.call(`${R}.member.put`, { space: forum, memberSpace: crew, role })
      expect((await nest('writer')).status, 'not offered').toBe(404)
      expect(await verdicts()).toEqual(none)
      accepted(await olga.call(`${R}.federation.offer`, { space: crew, to: account.did }))
      expect(await verdicts()).toEqual(none)
      accepted(await nest('writer'))
      expect(await verdicts()).toEqual([true, true, true])
      expect((await keptIn(database, forum)).findLast(({ subject }) => subject === peer.did)).toMatchObject({
        action: 'access.allow',
        because: { reasons: [{ rule: 'edge', into: forum, from: crew, role: 'writer' }] },
      })
      // Each side takes it away by itself, and it is gone at the next question.
      await takeOut(olga, crew, peer.did)
      expect(await verdicts()).toEqual(none)
      await putIn(olga, crew, peer.did, 'reader')
      expect(await verdicts()).toEqual([true, true, true])
      accepted(await olga.call(`${R}.federation.withdraw`, { space: crew, to: account.did }))
      expect(await verdicts()).toEqual(none)
      accepted(await olga.call(`${R}.federation.offer`, { space: crew, to: account.did }))
      expect(await verdicts()).toEqual([true, true, true])
      accepted(await alice.call(`${R}.member.ban`, { space: forum, did: peer.did }))
      expect(await verdicts()).toEqual(none)
      accepted(await alice.call(`${R}.member.unban`, { space: forum, did: peer.did }))
      accepted(await alice.call(`${R}.member.remove`, { space: forum, memberSpace: crew }))
      expect(await verdicts()).toEqual(none)
    })

    it('is answered the other way round too: a bound space that is offered lets its people in elsewhere', async () => {
      const { world, alice, account, forum, bob } = scene
      const olga = await world.person()
      const boaters = await world.found(olga)
      const harbour = await world.makeSpace(olga, boaters, { skey: 'harbour' })
      accepted(await alice.call(`${R}.federation.offer`, { space: forum, to: boaters }))
      accepted(await olga.call(`${R}.member.put`, { space: harbour, memberSpace: forum, role: 'reader' }))
      expect((await bob.exchange(harbour)).status).toBe(200)
      accepted(await alice.call(`${R}.federation.withdraw`, { space: forum, to: boaters }))
      expect((await bob.exchange(harbour)).status).toBe(400)
      expect(saidOf(await ask({ by: account, user: bob.did }))).toBe('in')
    })
  })

  describe('172: about strangers', () => {
    const strangers = (count: number): Did[] =>
      Array.from({ length: count }, (_, nth) => `did:plc:${String.fromCharCode(97 + nth).repeat(24)}` as Did)

    it('may be asked for so many in an hour; then strangers wait, and nobody else', async () => {
      const { world, alice, account, bob, rita, forum } = scene
      const { hook } = world.reeve.house
      const before = hook.strangers
      const shown = async () => accepted(await alice.ask(`${R}.space.get`, { space: forum })).host.strangersAt
      const rows = async () => (await keptIn(database)).filter(({ action }) => action === 'hook.strangers')
      Object.assign(hook, { strangers: new Strangers(4) })
      try {
        const [first, second, third, fourth, fifth, sixth] = strangers(6)
        const said = async (user: Did | undefined, more: Partial<Asked> = {}) =>
          saidOf(await ask({ user: user ?? '', access: 'read', ...more }))
        for (const user of [first, second, third, first, second, third, first]) expect(await said(user)).toBe('out')
        expect(await shown()).toBeUndefined()
        expect(await said(fourth), 'the same ones count once').toBe('out')
        const state = await stateOf(database)
        expect(await said(fifth)).toBe('429 RateLimitExceeded')
        expect(await said(sixth, { access: 'write' })).toBe('429 RateLimitExceeded')
        expect(await said(sixth)).toBe('429 RateLimitExceeded')
        expect(Date.parse(await shown())).toBeLessThanOrEqual(world.clock.nowMs())
        expect(await rows()).toMatchObject([
          { community: account.did, actor: world.config.serviceDid, target: forum, subject: null },
        ])
        expect((await stateOf(database)) === state, 'the owner is told').toBe(false)
        // Those who are on the roll are answered as before, also when the answer is no.
        expect(await said(bob.did)).toBe('in')
        expect(await said(bob.did, { access: 'write' })).toBe('in')
        expect(await said(rita.did, { access: 'write' })).toBe('out')
        expect(await said(account.did)).toBe('in')
        // Another account has an allowance of its own.
        expect(saidOf(await ask({ by: other, space: otherForum, user: sixth ?? '' }))).toBe('out')
        // Whoever comes onto the roll is let in at once.
        await putIn(alice, forum, fifth ?? '')
        expect(await said(fifth)).toBe('in')
        await takeOut(alice, forum, fifth ?? '')
        world.clock.moveSec(HOUR_SEC + 1)
        for (const user of [fifth, sixth, first, second]) expect(await said(user)).toBe('out')
        expect(await rows()).toHaveLength(1)
        expect(await said(third)).toBe('429 RateLimitExceeded')
        expect(await rows()).toHaveLength(2)
      } finally {
        Object.assign(hook, { strangers: before })
      }
    })

    it('where the public may come, nobody is a stranger', async () => {
      const { world, alice, account } = scene
      const { hook } = world.reeve.house
      const before = hook.strangers
      const readable = await bind(alice, account, 'fair', { readPolicy: PUBLIC })
      Object.assign(hook, { strangers: new Strangers(1) })
      try {
        for (const user of strangers(4)) expect(saidOf(await ask({ space: readable, user, access: 'read' }))).toBe('in')
      } finally {
        Object.assign(hook, { strangers: before })
      }
    })
  })
})

describe('172: strangers', () => {
  const did = (nth: number) => `did:web:s${nth}.example.com` as Did
  const [one, other] = [did(-1), did(-2)]

  it('are ten thousand in an hour, of each account, each counted once', () => {
    expect(STRANGERS_MAX).toBe(10_000)
    const strangers = new Strangers()
    for (let nth = 0; nth < STRANGERS_MAX; nth++) {
      expect(strangers.take(one, did(nth), 0)).toBe(true)
      // Again and again, and it counts nothing.
      if (nth < STRANGERS_MAX - 1) expect(strangers.take(one, did(nth), 0)).toBe(true)
    }
    expect(strangers.take(one, did(STRANGERS_MAX), 0)).toBe(false)
    expect(strangers.take(one, did(STRANGERS_MAX + 1), 0)).toBe(false)
    expect(strangers.take(other, did(STRANGERS_MAX), 0)).toBe(true)
    // An hour later as many again.
    const hourMs = HOUR_SEC * 1000
    let taken = 0
    while (strangers.take(one, did(taken), hourMs)) taken++
    expect(taken).toBe(STRANGERS_MAX)
  })
})
