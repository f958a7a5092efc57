/** What a repo host tells the host of a space, over real sockets and in both generations: what is taken, and each way in which it isn't. */
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Did, ROLE_SPACE_TYPE, rosterOf } from '../../src/names.ts'
import { microsOf, tidOf } from '../../src/platform/tid.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { auditRows, BINDINGS, deleteSpace, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { freshJti, makeDelegation, makeKey } from '../kit/tokens.ts'
import { OPENS_A_WORLD } from '../kit/waiting.ts'
import { askedBesides } from '../kit/watched.ts'
import { type Binding, everyRate, openWorld, type RawRequest, spaceOf, UNLIMITED } from '../kit/world.ts'
import { bytesJson, freshRev, hashOf, type Write, write, writeOf } from '../kit/writers.ts'

const ELSEWHERE = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
const MINUTE_MS = 60_000

interface Row {
  readonly repo: string
  readonly repo_rev: string
  readonly hash: string | null
  readonly space_rev: number
  readonly host: string | null
}

const rowsOf = async (database: TestDatabase, space: string): Promise<Row[]> =>
  (
    await sql<Row>`select repo, repo_rev, encode(hash, 'hex') as hash, space_rev, host from writer
      where space = ${space} order by space_rev`.execute(database.db)
  ).rows

/** Everything that a write may change: the writer sets, and which tokens are spent. */
const stateOf = async (database: TestDatabase): Promise<string> =>
  JSON.stringify(
    (
      await sql`select (select json_agg(w order by space, repo) from writer w) as writers,
        (select json_agg(s order by space) from writer_set s) as sets, (select count(*) from spent)::int as spent`.execute(
        database.db,
      )
    ).rows,
  )

/** The same without the tokens. */
const writersOf = async (database: TestDatabase): Promise<string> =>
  JSON.stringify(
    (
      await sql`select (select json_agg(w order by space, repo) from writer w) as writers,
        (select json_agg(s order by space) from writer_set s) as sets`.execute(database.db)
    ).rows,
  )

interface Refused {
  readonly says: string
  readonly answers: string
  readonly with: (given: Given) => Partial<Write>
}

interface Given {
  readonly scene: Scene
  /** A space that was deleted. */
  readonly gone: string
  readonly elsewhere: { readonly community: Did; readonly forum: string }
}

const payload = (claims: (given: Given) => object): Refused['with'] => {
  return (given) => ({ changes: { payload: { ...claims(given) } } })
}
const header =
  (members: object): Refused['with'] =>
  () => ({ changes: { header: { ...members } } })
const body =
  (fields: (given: Given) => Record<string, unknown>): Refused['with'] =>
  (given) => ({ body: fields(given) })
const nowSec = ({ scene }: Given): number => scene.world.clock.nowSec()
/** A revision some minutes from now. */
const ahead = ({ scene }: { scene: Scene }, minutes: number): string =>
  tidOf((scene.world.clock.nowMs() + minutes * MINUTE_MS) * 1000)

const REFUSED: readonly Refused[] = [
  // the token
  { says: 'no lxm', answers: '401 BadJwtLexiconMethod', with: payload(() => ({ lxm: undefined })) },
  {
    says: 'the lxm of another method',
    answers: '401 BadJwtLexiconMethod',
    with: payload(() => ({ lxm: 'com.atproto.space.registerNotify' })),
  },
  { says: 'no aud', answers: '401 BadJwt', with: payload(() => ({ aud: undefined })) },
  {
    says: 'an iss with a fragment',
    answers: '401 BadJwtIss',
    with: payload(({ scene }) => ({ iss: `${scene.bob.did}#atproto` })),
  },
  { says: 'the kid of a labeler', answers: '401 BadJwt', with: header({ kid: '#atproto_labeler' }) },
  { says: 'a life of 301 seconds', answers: '401 BadJwt', with: payload((given) => ({ exp: nowSec(given) + 301 })) },
  { says: 'no jti', answers: '401 BadJwt', with: payload(() => ({ jti: undefined })) },
  {
    says: 'an end a minute ago',
    answers: '401 JwtExpired',
    with: payload((given) => ({ iat: nowSec(given) - 120, exp: nowSec(given) - 60 })),
  },
  { says: 'the typ of a delegation token', answers: '401 BadJwtType', with: header({ typ: 'space-delegation+jwt' }) },
  {
    says: 'a signature by somebody else',
    answers: '401 BadJwtSignature',
    with: ({ scene }) => ({ writer: { did: scene.bob.did, key: makeKey('k256') } }),
  },
  {
    says: 'a writer whose DID is nobody’s',
    answers: '401 BadJwtIss',
    with: () => ({ writer: { did: `did:plc:${'q'.repeat(24)}` as Did, key: makeKey('k256') } }),
  },
  // the body
  {
    says: 'a space that is none',
    answers: '400 InvalidRequest',
    with: body(({ scene }) => ({ space: `${scene.forum}/` })),
  },
  { says: 'no space', answers: '400 InvalidRequest', with: body(() => ({ space: undefined })) },
  { says: 'no repo', answers: '400 InvalidRequest', with: body(() => ({ repo: undefined })) },
  { says: 'no revision', answers: '400 InvalidRequest', with: body(() => ({ repoRev: undefined, rev: undefined })) },
  { says: 'a revision that is no TID', answers: '400 InvalidRequest', with: () => ({ rev: 'zzzzzzzzzzzzz' }) },
  { says: 'a hash of 31 bytes', answers: '400 InvalidRequest', with: () => ({ hash: bytesJson(Buffer.alloc(31)) }) },
  { says: 'a hash of 33 bytes', answers: '400 InvalidRequest', with: () => ({ hash: bytesJson(Buffer.alloc(33)) }) },
  { says: 'a hash that is text', answers: '400 InvalidRequest', with: () => ({ hash: 'abcd' }) },
  {
    says: 'a hash of 10,000 bytes',
    answers: '400 InvalidRequest',
    with: () => ({ hash: bytesJson(Buffer.alloc(10_000)) }),
  },
  {
    says: 'a hash of a million bytes',
    answers: '413 PayloadTooLarge',
    with: () => ({ hash: bytesJson(Buffer.alloc(1_000_000)) }),
  },
  // what the two have to do with each other
  {
    says: 'the repo of somebody else',
    answers: '403 Forbidden',
    with: body(({ scene }) => ({ repo: scene.alice.did })),
  },
  {
    says: 'our service as aud',
    answers: '403 Forbidden',
    with: ({ scene }) => ({ aud: scene.world.config.serviceDid }),
  },
  {
    says: 'another authority as aud',
    answers: '403 Forbidden',
    with: ({ elsewhere }) => ({ aud: elsewhere.community }),
  },
  {
    says: 'another service of the authority as aud',
    answers: '403 Forbidden',
    with: ({ scene }) => ({ aud: `${scene.community}#atproto_pds` }),
  },
  {
    says: 'a space of another community than aud',
    answers: '403 Forbidden',
    with: ({ scene, elsewhere }) => ({ space: elsewhere.forum, aud: scene.community }),
  },
  // the space
  {
    says: 'an authority that is not here',
    answers: '400 SpaceNotFound',
    with: () => ({ space: `at://${ELSEWHERE}/space/com.atmoboards.forum/main` }),
  },
  {
    says: 'a space that there isn’t',
    answers: '400 SpaceNotFound',
    with: ({ scene }) => ({ space: `${scene.forum}other` }),
  },
  { says: 'a space that was deleted', answers: '400 SpaceNotFound', with: ({ gone }) => ({ space: gone }) },
  { says: 'a roster', answers: '400 SpaceNotFound', with: ({ scene }) => ({ space: rosterOf(scene.community).uri }) },
  {
    says: 'a role space',
    answers: '400 SpaceNotFound',
    with: ({ scene }) => ({ space: `at://${scene.community}/space/${ROLE_SPACE_TYPE}/crew` }),
  },
  // the revision
  { says: 'a revision of six minutes ahead', answers: '400 FutureRev', with: (given) => ({ rev: ahead(given, 6) }) },
  { says: 'a revision of ten minutes ahead', answers: '400 FutureRev', with: (given) => ({ rev: ahead(given, 10) }) },
  { says: 'the last revision that there can be', answers: '400 FutureRev', with: () => ({ rev: 'bzzzzzzzzzzzz' }) },
  // the writer
  { says: 'a stranger', answers: '403 Forbidden', with: ({ scene }) => ({ writer: scene.carol }) },
  {
    says: 'a member of another community’s space',
    answers: '403 Forbidden',
    with: ({ scene, elsewhere }) => ({ writer: scene.bob, space: elsewhere.forum }),
  },
]

describeOnEachEngine('a write that is told of', (open) => {
  let database: TestDatabase
  let scene: Scene
  let given: Given
  /** Called by the intake alone: the work that goes on by itself rouses as well, and would move what is compared here. */
  const rouse = vi.fn()

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    const { world, alice, carol, community } = scene
    const other = await world.found(carol)
    const gone = await world.makeSpace(alice, community, { skey: 'gone' })
    await deleteSpace(database, gone)
    given = { scene, gone, elsewhere: { community: other, forum: await world.makeSpace(carol, other) } }
    vi.spyOn(world.reeve.house.dispatcher, 'rouse').mockImplementation(() => {
      if (new Error().stack?.includes('notifyWrite.ts')) rouse()
    })
  })
  afterAll(() => scene.close())
  beforeEach(() => rouse.mockClear())

  const tell = (about: Partial<Write> = {}) => write(scene.world, { writer: scene.bob, space: scene.forum, ...about })
  const rowOf = async (repo: string, space = scene.forum) =>
    (await rowsOf(database, space)).find((row) => row.repo === repo)

  describe.each(BINDINGS)('in the words of %s', (generation: Binding) => {
    const say = (about: Partial<Write> = {}) => tell({ generation, ...about })

    it('is answered with 200 and nothing, and stands in the writer set with its hash and the writer’s host', async () => {
      const rev = freshRev(scene.world.clock.nowMs())
      const answer = await say({ rev })
      expect([answer.status, answer.body, answer.headers['content-type']]).toEqual([200, '', undefined])
      expect(await rowOf(scene.bob.did)).toMatchObject({
        repo_rev: rev,
        hash: hashOf(rev).toString('hex'),
        host: 'https://pds.example.com',
      })
      expect(rouse).toHaveBeenCalledTimes(1)
    })

    it.each(['', '#atproto_space_host'])('may be meant for the authority as “%s”', async (fragment) => {
      const rev = freshRev(scene.world.clock.nowMs())
      expect((await say({ rev, aud: `${scene.community}${fragment}` })).status).toBe(200)
      expect((await rowOf(scene.bob.did))?.repo_rev).toBe(rev)
    })

    it('without a hash has none, also where there was one', async () => {
      await say()
      expect((await rowOf(scene.bob.did))?.hash).not.toBeNull()
      expect((await say({ body: { hash: undefined } })).status).toBe(200)
      expect((await rowOf(scene.bob.did))?.hash).toBeNull()
    })

    it('may have a padded hash', async () => {
      const hash = hashOf('padded')
      expect((await say({ hash: { $bytes: hash.toString('base64') } })).status).toBe(200)
      expect((await rowOf(scene.bob.did))?.hash).toBe(hash.toString('hex'))
    })

    it('says nothing of the order in the space, whatever a host sends', async () => {
      const far = ahead(given, 1_000_000)
      const before = (await rowOf(scene.bob.did))?.space_rev ?? 0
      expect((await say({ body: { spaceRev: far, prevSpaceRev: far, unknown: { a: 1 } } })).status).toBe(200)
      const after = (await rowOf(scene.bob.did))?.space_rev ?? 0
      expect(after).toBeGreaterThan(before)
      expect(after).toBeLessThan(microsOf(far) ?? 0)
    })

    it('by the same token a second time is answered with 200 and has no effect, also when it says something else', async () => {
      const jti = freshJti()
      expect((await say({ jti })).status).toBe(200)
      const before = await stateOf(database)
      rouse.mockClear()
      expect((await say({ jti })).status).toBe(200)
      expect(await stateOf(database)).toBe(before)
      expect(rouse).not.toHaveBeenCalled()
    })

    it('of an older or an equal revision is answered with 200 and leaves revision, hash and order alone', async () => {
      const older = freshRev(scene.world.clock.nowMs())
      const rev = freshRev(scene.world.clock.nowMs())
      await say({ rev })
      const before = await writersOf(database)
      rouse.mockClear()
      for (const again of [older, rev]) {
        const answer = await say({ rev: again, hash: bytesJson(hashOf('another')) })
        expect([answer.status, answer.body]).toEqual([200, ''])
      }
      expect(await writersOf(database)).toBe(before)
      expect(rouse).not.toHaveBeenCalled()
    })

    it('of a minute ahead is taken', async () => {
      const dave = await scene.world.person()
      await letIn(scene.alice, scene.forum, dave.did)
      const rev = ahead(given, 1)
      expect((await say({ writer: dave, rev })).status).toBe(200)
      expect((await rowOf(dave.did))?.repo_rev).toBe(rev)
    })

    it.each(REFUSED.map((row) => [row.says, row.answers, row] as const))(
      'with %s is answered with %s, and changes nothing',
      async (_says, answers, row) => {
        const before = await stateOf(database)
        const answer = await say(row.with(given))
        expect(`${answer.status} ${answer.body.error}`).toBe(answers)
        expect(await stateOf(database)).toBe(before)
        expect(rouse).not.toHaveBeenCalled()
      },
    )

    it('by a delegation token, or by none, is not taken', async () => {
      const { world, bob, forum } = scene
      const good = writeOf(world, { writer: bob, space: forum, generation })
      const token = makeDelegation({ key: bob.key, iss: bob.did, space: spaceOf(forum), nowSec: world.clock.nowSec() })
      const lines = (authorization: readonly string[]): RawRequest => ({
        ...good,
        headers: [
          ...authorization.map((line) => ['authorization', line] as const),
          ['content-type', 'application/json'],
        ],
      })
      const before = await stateOf(database)
      expect((await world.send(lines([`Bearer ${token}`]))).body.error).toBe('BadJwtType')
      expect((await world.send(lines([]))).body.error).toBe('MissingJwt')
      expect((await world.send(lines(['Bearer a', 'Bearer b']))).status).toBeLessThan(500)
      expect(await stateOf(database)).toBe(before)
    })
  })

  it('that is refused by its own words has nobody looked up for it', async () => {
    const { world, plc, forum, community } = scene
    const nobody = { did: `did:plc:${'7'.repeat(24)}` as Did, key: makeKey('k256') }
    const faults: readonly Partial<Write>[] = [
      { body: { hash: 'x' } },
      { body: { repo: scene.bob.did } },
      { aud: ELSEWHERE },
      { space: `at://${ELSEWHERE}/space/com.atmoboards.forum/main` },
      { space: rosterOf(community).uri },
      { rev: ahead(given, 6) },
    ]
    plc.forget()
    for (const fault of faults) {
      const { status } = await write(world, { writer: nobody, space: forum, ...fault })
      expect([400, 403]).toContain(status)
    }
    expect(await askedBesides(plc, database)).toEqual([])
    expect((await write(world, { writer: nobody, space: forum })).status).toBe(401)
    expect(plc.count('document', nobody.did)).toBe(1)
  })

  it('in words of both generations goes by the newer one’s', async () => {
    const [older, newer] = [freshRev(scene.world.clock.nowMs()), freshRev(scene.world.clock.nowMs())]
    expect((await tell({ body: { repoRev: older, rev: newer } })).status).toBe(200)
    expect((await rowOf(scene.bob.did))?.repo_rev).toBe(older)
  })

  it('is taken as the reference sends it, to the byte', async () => {
    const { world, bob, forum, community } = scene
    const raw = writeOf(world, { writer: bob, space: forum, aud: community })
    const rev = freshRev(world.clock.nowMs())
    const hash = 'TaN7H+Ah4jPG8DRLYzuKEytYakhtu0mZaRvF+4Zxejw'
    const text = `{"space":"${forum}","repo":"${bob.did}","rev":"${rev}","hash":{"$bytes":"${hash}"}}`
    const more: (readonly [string, string])[] = [
      ...[['accept', '*/*'] as const, ['accept-language', '*'] as const, ['sec-fetch-mode', 'cors'] as const],
      ...[['user-agent', 'node'] as const, ['accept-encoding', 'gzip, deflate'] as const],
    ]
    const answer = await world.send({ ...raw, headers: [...(raw.headers ?? []), ...more], body: text })
    expect([answer.status, answer.body]).toEqual([200, ''])
    expect(await rowOf(bob.did)).toMatchObject({ repo_rev: rev, hash: Buffer.from(hash, 'base64').toString('hex') })
  })

  it('of a community’s own repo is taken, which no roster has', async () => {
    const key = makeKey('p256')
    const { house } = scene.world.reeve
    const resolve = vi.spyOn(house.documents, 'resolve').mockResolvedValue({
      did: scene.community,
      fetchedAtMs: 0,
      key: () => key.publicKey,
      service: () => 'absent',
    } as never)
    try {
      const answer = await tell({ writer: { did: scene.community, key } })
      expect([answer.status, answer.body]).toEqual([200, ''])
    } finally {
      resolve.mockRestore()
    }
    expect(await rowOf(scene.community)).toMatchObject({ host: null })
  })

  it('is taken from anybody where the public may write, who is a writer then and no member', async () => {
    const { world, alice, carol, community } = scene
    const writePolicy = { $type: 'com.atproto.simplespace.defs#publicPolicy' }
    const space = await world.makeSpace(alice, community, { skey: 'open', writePolicy })
    expect((await tell({ writer: carol, space })).status).toBe(200)
    expect((await rowsOf(database, space)).map(({ repo }) => repo)).toEqual([carol.did])
    const members = await alice.ask('community.reeve.member.list', { space })
    expect(JSON.stringify(members.body)).not.toContain(carol.did)
  })

  it('is taken where only some apps may read, since nobody can tell by which one it was written', async () => {
    const { world, alice, bob, community } = scene
    const appAccess = { $type: 'com.atproto.simplespace.defs#allowList', allowed: ['https://app.example.com/c'] }
    const space = await world.makeSpace(alice, community, { skey: 'listed', appAccess })
    await letIn(alice, space, bob.did)
    expect((await tell({ space })).status).toBe(200)
    expect(await rowOf(bob.did, space)).toBeDefined()
  })

  it('of somebody who only reads there is refused', async () => {
    const { world, alice, forum } = scene
    const reader = await world.person()
    await alice.call('community.reeve.member.put', { space: forum, did: reader.did, role: 'reader' })
    expect(await tell({ writer: reader })).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
    expect(await rowOf(reader.did)).toBeUndefined()
  })

  it('into a frozen space is refused, and its writers stay', async () => {
    const { world, alice, bob, community } = scene
    const space = await world.makeSpace(alice, community, { skey: 'resting' })
    await letIn(alice, space, bob.did)
    await tell({ space })
    await alice.call('community.reeve.community.freeze', { space, isFrozen: true })
    const before = await rowsOf(database, space)
    expect(await tell({ space })).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
    expect(await rowsOf(database, space)).toEqual(before)
    expect(before).toHaveLength(1)
  })

  it('keeps the first one of each repo in the audit, with its reasons, and no other', async () => {
    const { world, alice, community } = scene
    const space = await world.makeSpace(alice, community, { skey: 'first' })
    const dave = await world.person()
    await letIn(alice, space, dave.did)
    for (let nth = 0; nth < 3; nth++) await tell({ writer: dave, space })
    const kept = (await auditRows(database, 'write.admit')).filter(({ target }) => target === space)
    expect(kept).toEqual([
      {
        actor: dave.did,
        target: space,
        because: {
          reasons: [{ rule: 'edge', into: space, from: dave.did, role: 'member' }],
          revision: expect.any(Number),
        },
      },
    ])
  })

  it('that is refused is kept once an hour for those on the roll, and never for strangers', OPENS_A_WORLD, async () => {
    const own = await open()
    const other = await openScene(own)
    const { world, alice, bob, carol, community } = other
    try {
      const space = await world.makeSpace(alice, community, { skey: 'closed' })
      const refuse = async (writer: Scene['bob']) => {
        const rev = tidOf(world.clock.nowMs() * 1000)
        expect(await write(world, { writer, space, rev })).toMatchObject({ status: 403, body: { error: 'Forbidden' } })
      }
      const actors = async () => (await auditRows(own, 'write.refuse')).map(({ actor }) => actor)
      await Promise.all([bob, carol, bob, bob, carol, bob, bob, bob].map(refuse))
      for (const writer of [bob, carol]) await refuse(writer)
      expect(await actors()).toEqual([bob.did])
      world.clock.moveSec(3_601)
      for (const writer of [bob, carol, bob]) await refuse(writer)
      expect(await actors()).toEqual([bob.did, bob.did])
    } finally {
      await other.close()
    }
  })

  it('gets a place after the one before, also when the clock was set back', async () => {
    const { world, bob, forum } = scene
    await tell()
    const before = await rowOf(bob.did)
    const back = world.clock.nowMs() - 200_000
    const clock = vi.spyOn(world.clock, 'nowMs').mockReturnValue(back)
    try {
      expect((await tell({ rev: tidOf((microsOf(before?.repo_rev ?? '') ?? 0) + 1) })).status).toBe(200)
    } finally {
      clock.mockRestore()
    }
    const after = (await rowsOf(database, forum)).at(-1)
    expect(after).toMatchObject({ repo: bob.did, space_rev: (before?.space_rev ?? 0) + 1 })
  })

  it('while the database is away is answered with 503, and taken afterwards, by the same token', async () => {
    const about = { writer: scene.bob, space: scene.forum, jti: freshJti(), rev: freshRev(scene.world.clock.nowMs()) }
    const request = writeOf(scene.world, about)
    const before = await stateOf(database)
    const away = Object.assign(new Error('terminating connection'), { code: '57P01' })
    const run = vi.spyOn(database.db, 'executeQuery').mockRejectedValue(away)
    try {
      expect(await scene.world.send(request)).toMatchObject({ status: 503, body: { error: 'NotEnoughResources' } })
    } finally {
      run.mockRestore()
    }
    expect(await stateOf(database)).toBe(before)
    expect(rouse).not.toHaveBeenCalled()
    expect((await scene.world.send(request)).status).toBe(200)
    expect((await rowOf(scene.bob.did))?.repo_rev).toBe(about.rev)
    expect(rouse).toHaveBeenCalledTimes(1)
  })

  it('of somebody whose directory doesn’t answer is answered with 502, and taken afterwards', async () => {
    const { world, plc, alice, forum } = scene
    const dave = await world.person()
    await letIn(alice, forum, dave.did)
    const request = writeOf(world, { writer: dave, space: forum })
    plc.misbehave((ask) => (ask.did === dave.did ? 'cut' : undefined))
    expect(await world.send(request)).toMatchObject({ status: 502, body: { error: 'UpstreamFailure' } })
    plc.misbehave(null)
    world.clock.moveSec(6)
    expect((await world.send(request)).status).toBe(200)
  })
})

describe('writes beyond what is allowed', () => {
  const MANY = 10
  const SLOW = { burst: 3, perSec: 0.001 }

  it.each([
    ['of one writer', { ...UNLIMITED, writer: SLOW }],
    ['in one space', { ...UNLIMITED, spaceWrites: SLOW }],
    ['from one address', { ...UNLIMITED, notify: SLOW }],
  ] as const)('%s are told to wait, and the others stand', OPENS_A_WORLD, async (_what, rates) => {
    const world = await openWorld({ rates: { ...everyRate({ burst: 1e9, perSec: 1e9 }), ...rates } })
    try {
      const [alice, bob] = [await world.person(), await world.person()]
      const space = await world.makeSpace(alice, await world.found(alice))
      await letIn(alice, space, bob.did)
      const answers = []
      for (let nth = 0; nth < MANY; nth++) answers.push(await write(world, { writer: bob, space }))
      expect(answers.slice(0, 3).map(({ status }) => status)).toEqual([200, 200, 200])
      for (const answer of answers.slice(3)) {
        expect(answer).toMatchObject({ status: 429, body: { error: 'RateLimitExceeded' } })
        expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0)
      }
      const [row] = await rowsOf(world.database, space)
      expect(row?.repo).toBe(bob.did)
    } finally {
      await world.close()
    }
  })

  it('by forged tokens in somebody’s name leave their allowance to them', OPENS_A_WORLD, async () => {
    const world = await openWorld({ rates: { ...UNLIMITED, writer: SLOW } })
    try {
      const [alice, bob] = [await world.person(), await world.person()]
      const space = await world.makeSpace(alice, await world.found(alice))
      await letIn(alice, space, bob.did)
      const forger = { did: bob.did, key: makeKey('k256') }
      for (let nth = 0; nth < MANY; nth++) {
        expect((await write(world, { writer: forger, space })).body.error).toBe('BadJwtSignature')
      }
      expect((await write(world, { writer: bob, space })).status).toBe(200)
    } finally {
      await world.close()
    }
  })

  it('by strangers leave the allowance of the space alone', OPENS_A_WORLD, async () => {
    const world = await openWorld({ rates: { ...UNLIMITED, spaceWrites: SLOW } })
    try {
      const [alice, bob, eve] = [await world.person(), await world.person(), await world.person()]
      const space = await world.makeSpace(alice, await world.found(alice))
      await letIn(alice, space, bob.did)
      for (let nth = 0; nth < MANY; nth++) expect((await write(world, { writer: eve, space })).status).toBe(403)
      expect((await write(world, { writer: bob, space })).status).toBe(200)
    } finally {
      await world.close()
    }
  })
})
