/** A credential that is shown to us, over real sockets and in both generations: what makes it good, and each way in which it isn't. */
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { rosterOf } from '../../src/names.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { BINDINGS, letIn, openScene, type Scene } from '../kit/exchange.ts'
import {
  addOlderKey,
  forge,
  GET_SPACE,
  type Held,
  jtiOf,
  obtain,
  present,
  presentationOf,
  resign,
  type Shown,
} from '../kit/presentation.ts'
import { freshJti, makeDelegation, makeJws, makeKey, makeServiceJwt, type TestKey } from '../kit/tokens.ts'
import type { Binding, RawRequest } from '../kit/world.ts'
import { spaceOf } from '../kit/world.ts'

const ELSEWHERE = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
const FOREIGN = `at://${ELSEWHERE}/space/com.atmoboards.forum/main`

interface Given {
  readonly scene: Scene
  /** A good one of bob's. */
  readonly held: Held
  /** A key of the community that was replaced and still counts. */
  readonly older: TestKey
  readonly binding: Binding
}

interface Row {
  readonly says: string
  readonly answers: string
  readonly in?: Binding
  readonly with: (given: Given) => { readonly held?: Held; readonly shown?: Shown }
}

const claims =
  (payload: (given: Given) => object): Row['with'] =>
  (given) => ({ held: resign(given.held, given.older, { payload: payload(given) }) })
const header =
  (members: object): Row['with'] =>
  ({ held, older }) => ({ held: resign(held, older, { header: members }) })
const shown =
  (how: Shown | ((given: Given) => Shown)): Row['with'] =>
  (given) => ({ shown: typeof how === 'function' ? how(given) : how })
const nowSec = ({ scene }: Given): number => scene.world.clock.nowSec()

const ROWS: readonly Row[] = [
  // how it is brought
  { says: 'no Authorization', answers: '401 MissingJwt', with: shown({ authorization: [] }) },
  { says: 'as Bearer', answers: '401 MissingJwt', with: shown({ scheme: 'Bearer' }) },
  { says: 'as Basic', answers: '401 MissingJwt', with: shown({ scheme: 'Basic' }) },
  { says: 'a scheme alone', answers: '401 MissingJwt', with: shown({ authorization: [['authorization', 'DPoP']] }) },
  {
    says: 'two of them',
    in: 'october',
    answers: '401 BadSpaceSignature',
    with: ({ held }) => ({ shown: { more: [['authorization', `Atproto-Space ${held.credential}`]] } }),
  },
  {
    says: 'two of them',
    in: 'august',
    answers: '400 InvalidToken',
    with: ({ held }) => ({ shown: { more: [['authorization', `DPoP ${held.credential}`]] } }),
  },
  {
    says: 'under the other generation’s scheme',
    in: 'august',
    answers: '401 BadJwtCnf',
    with: shown({ scheme: 'Atproto-Space' }),
  },
  {
    says: 'under the other generation’s scheme',
    in: 'october',
    answers: '401 BadJwtCnf',
    with: shown({ scheme: 'DPoP' }),
  },
  // the credential itself
  { says: 'two parts', answers: '401 BadJwt', with: ({ held }) => ({ held: { ...held, credential: 'e30.e30' } }) },
  {
    says: '8193 characters',
    answers: '401 BadJwt',
    with: claims(() => ({ filler: 'x'.repeat(8193) })),
  },
  { says: 'another typ', answers: '401 BadJwtType', with: header({ typ: 'JWT' }) },
  { says: 'alg none', answers: '401 BadJwt', with: header({ alg: 'none' }) },
  { says: 'a key in its header', answers: '401 BadJwt', with: header({ jwk: makeKey('p256').jwk }) },
  { says: 'crit', answers: '401 BadJwt', with: header({ crit: ['b64'] }) },
  { says: 'no iss', answers: '401 BadJwtIss', with: claims(() => ({ iss: undefined })) },
  { says: 'no sub', answers: '401 BadJwtSub', with: claims(() => ({ sub: undefined })) },
  {
    says: 'a sub that is no space',
    answers: '401 BadJwtSub',
    with: claims(({ scene }) => ({ sub: `${scene.forum}/` })),
  },
  { says: 'no jti', answers: '401 BadJwt', with: claims(() => ({ jti: undefined })) },
  { says: 'no cnf', answers: '401 BadJwtCnf', with: claims(() => ({ cnf: undefined })) },
  { says: 'a cnf that names nothing', answers: '401 BadJwtCnf', with: claims(() => ({ cnf: {} })) },
  { says: 'no iat', answers: '401 BadJwt', with: claims(() => ({ iat: undefined })) },
  { says: 'an endless life', answers: '401 BadJwt', with: claims(() => ({ exp: 1e300 })) },
  {
    says: 'a life of 3,601 seconds, though well signed',
    answers: '401 BadJwt',
    with: claims((given) => ({ iat: nowSec(given), exp: nowSec(given) + 3601 })),
  },
  {
    says: 'a beginning in 20 seconds',
    answers: '401 BadJwt',
    with: claims((given) => ({ iat: nowSec(given) + 20, exp: nowSec(given) + 600 })),
  },
  {
    says: 'an end 6 seconds ago',
    answers: '401 JwtExpired',
    with: claims((given) => ({ iat: nowSec(given) - 600, exp: nowSec(given) - 6 })),
  },
  // whose it is
  {
    says: 'an iss that isn’t the authority of its space',
    answers: '401 BadJwtIss',
    with: ({ scene, binding }) => ({ held: forge(scene, makeKey('p256'), { binding, payload: { iss: ELSEWHERE } }) }),
  },
  {
    says: 'an authority that isn’t here',
    answers: '400 SpaceNotFound',
    with: ({ scene, binding }) => ({ held: forge(scene, makeKey('p256'), { binding, space: FOREIGN }) }),
  },
  { says: 'a kid that is not published', answers: '401 BadJwtIss', with: header({ kid: '#atproto_space2' }) },
  { says: 'no kid', answers: '401 BadJwtIss', with: header({ kid: undefined }) },
  { says: 'the kid of the community’s other key', answers: '401 BadJwtSignature', with: header({ kid: '#atproto' }) },
  {
    says: 'a stranger’s signature',
    answers: '401 BadJwtSignature',
    with: ({ held }) => ({ held: resign(held, makeKey('p256'), {}) }),
  },
  {
    says: 'the holder’s own signature',
    answers: '401 BadJwtSignature',
    with: ({ held }) => ({ held: resign(held, held.holder, {}) }),
  },
  // the proof, August
  { says: 'no proof', in: 'august', answers: '401 MissingDpopProof', with: shown({ proofLines: [] }) },
  {
    says: 'a proof without the credential’s hash',
    in: 'august',
    answers: '401 BadDpopProof',
    with: shown({ proof: { payload: { ath: undefined } } }),
  },
  {
    says: 'a proof over another credential',
    in: 'august',
    answers: '401 BadDpopProof',
    with: shown({ proof: { payload: { ath: 'x' } } }),
  },
  { says: 'a proof for POST', in: 'august', answers: '401 BadDpopProof', with: shown({ proof: { method: 'POST' } }) },
  {
    says: 'a proof for another method',
    in: 'august',
    answers: '401 BadDpopProof',
    with: shown(({ scene }) => ({ proof: { url: `${scene.world.url}/xrpc/com.atproto.space.listRepos` } })),
  },
  {
    says: 'a proof of two minutes ago',
    in: 'august',
    answers: '401 DpopProofExpired',
    with: shown((given) => ({ proof: { payload: { iat: nowSec(given) - 120 } } })),
  },
  {
    says: 'a proof with another signature',
    in: 'august',
    answers: '401 BadDpopProofSignature',
    with: shown({ proof: { signature: new Uint8Array(64).fill(1) } }),
  },
  {
    says: 'somebody else’s proof',
    in: 'august',
    answers: '401 DpopKeyMismatch',
    with: shown(() => ({ prover: makeKey('p256') })),
  },
  // the proof, October
  { says: 'no proof', in: 'october', answers: '401 BadSpaceSignature', with: shown({ proofLines: [] }) },
  {
    says: 'somebody else’s signature',
    in: 'october',
    answers: '401 BadSpaceSignature',
    with: shown(() => ({ prover: makeKey('p256') })),
  },
  {
    says: 'a keyid that isn’t the holder’s',
    in: 'october',
    answers: '401 BadSpaceSignature',
    with: shown(() => ({ params: `;keyid="${makeKey('p256').didKey}"` })),
  },
  {
    says: 'an audience with a fragment',
    in: 'october',
    answers: '401 BadSpaceSignature',
    with: shown(({ scene }) => ({ audience: `${scene.community}#atproto_space_host` })),
  },
  {
    says: 'two audiences',
    in: 'october',
    answers: '401 BadSpaceSignature',
    with: shown(({ scene }) => ({ more: [['atproto-space-audience', scene.community]] })),
  },
  {
    says: 'somebody else as audience',
    in: 'october',
    answers: '401 BadSpaceAudience',
    with: shown(({ scene }) => ({ audience: scene.bob.did })),
  },
  {
    says: 'somebody else as audience, for another space',
    in: 'october',
    answers: '401 BadSpaceAudience',
    with: shown(({ scene }) => ({ audience: scene.bob.did, asked: FOREIGN })),
  },
  // what the ledger says
  {
    says: 'a jti that was never given out, under a stolen key of the community',
    answers: '401 CredentialRevoked',
    with: ({ scene, older, binding }) => ({ held: forge(scene, older, { binding }) }),
  },
  {
    says: 'a jti that was given to another key',
    answers: '401 CredentialRevoked',
    with: ({ scene, held, older, binding }) => ({ held: forge(scene, older, { binding, jti: jtiOf(held) }) }),
  },
  {
    says: 'a jti that was given for another space',
    answers: '401 CredentialRevoked',
    with: ({ scene, held, older, binding }) => {
      const { holder } = held
      const space = rosterOf(scene.community).uri
      return { held: forge(scene, older, { binding, jti: jtiOf(held), holder, space }) }
    },
  },
  // what is asked
  { says: 'another space of another authority', answers: '400 InvalidCredential', with: shown({ asked: FOREIGN }) },
  {
    says: 'another space of the same authority',
    answers: '400 InvalidCredential',
    with: shown(({ scene }) => ({ asked: rosterOf(scene.community).uri })),
  },
  { says: 'something that is no space', answers: '400 InvalidCredential', with: shown({ asked: 'at://' }) },
]

describeOnEachEngine('a credential of ours', (open) => {
  let database: TestDatabase
  let scene: Scene
  let older: TestKey
  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    older = await addOlderKey(database, scene.community)
  })
  afterAll(() => scene.close())

  const verdictOf = ({ status, body }: { status: number; body: { error?: string } }) =>
    status === 200 ? 'in' : `${status} ${body.error}`
  const bindings = BINDINGS.map((binding) => [binding] as const)

  it.each(bindings)('opens its space to its holder, who sees the settings under both names (%s)', async (binding) => {
    const held = await obtain(scene, { binding })
    const memberList = { $type: 'com.atproto.simplespace.defs#memberListPolicy' }
    expect(await present(scene, held)).toMatchObject({
      status: 200,
      body: {
        uri: scene.forum,
        policy: memberList,
        readPolicy: memberList,
        writePolicy: memberList,
        appAccess: { $type: 'com.atproto.simplespace.defs#open' },
      },
    })
  })

  it.each(bindings)('is taken when signed by a key that was just replaced (%s)', async (binding) => {
    const held = await obtain(scene, { binding })
    expect(verdictOf(await present(scene, resign(held, older, {})))).toBe('in')
  })

  const cases = ROWS.flatMap((row) =>
    BINDINGS.filter((binding) => (row.in ?? binding) === binding).map(
      (binding) => [row.says, binding, row.answers, row] as const,
    ),
  )
  it.each(cases)('is refused with %s (%s): %s', async (_says, binding, answers, row) => {
    const held = await obtain(scene, { binding })
    const given = row.with({ scene, held, older, binding })
    expect(verdictOf(await present(scene, given.held ?? held, given.shown))).toBe(answers)
    expect(verdictOf(await present(scene, held)), 'the good one').toBe('in')
  })

  it('is shown with a fresh proof each time in August, and with the same signature as often as one likes in October', async () => {
    const august = presentationOf(scene.world, await obtain(scene, { binding: 'august' }))
    expect(verdictOf(await scene.world.send(august))).toBe('in')
    expect(verdictOf(await scene.world.send(august))).toBe('401 BadDpopProof')
    const october = presentationOf(scene.world, await obtain(scene, { binding: 'october' }))
    expect(verdictOf(await scene.world.send(october))).toBe('in')
    expect(verdictOf(await scene.world.send(october))).toBe('in')
  })

  it('is not taken from one generation into the other, nor may a scheme’s case matter', async () => {
    const held = await obtain(scene, { binding: 'october' })
    expect(verdictOf(await present(scene, held, { scheme: 'ATPROTO-SPACE' }))).toBe('in')
    expect(verdictOf(await present(scene, held, { params: `;keyid="${held.holder.didKey}"` }))).toBe('in')
  })

  it('signed by a key whose time is over is refused', async () => {
    const { alice, world } = scene
    const community = await world.found(alice)
    const forum = await world.makeSpace(alice, community)
    await letIn(alice, forum, scene.bob.did)
    const held = await obtain(scene, { binding: 'october', space: forum })
    const key = await addOlderKey(database, community)
    const again = resign(held, key, {})
    expect(verdictOf(await present(scene, again))).toBe('in')
    await sql`update key set state = 'retired' where did_key = ${key.didKey}`.execute(database.db)
    expect(verdictOf(await present(scene, again))).toBe('401 BadJwtSignature')
    await sql`update key set state = 'retired' where community = ${community}`.execute(database.db)
    expect(verdictOf(await present(scene, held))).toBe('401 BadJwtIss')
  })

  it('for a space that was deleted is told so, before and after the ledger was gone through', async () => {
    const { alice, world } = scene
    const forum = await world.makeSpace(alice, scene.community)
    await letIn(alice, forum, scene.bob.did)
    const held = await obtain(scene, { binding: 'october', space: forum })
    expect((await alice.call('community.reeve.space.delete', { space: forum })).status).toBe(200)
    expect(verdictOf(await present(scene, held))).toBe('400 SpaceNotFound')
    await sql`update issuance set revoked_at_sec = 1, revoked_because = 'SpaceDeleted' where jti = ${jtiOf(held)}`.execute(
      database.db,
    )
    expect(verdictOf(await present(scene, held))).toBe('400 SpaceNotFound')
    expect(verdictOf(await present(scene, held, { asked: scene.forum }))).toBe('400 InvalidCredential')
  })

  it('is the only thing that opens this door', async () => {
    const { bob, forum, world } = scene
    const at = { key: bob.key, iss: bob.did, nowSec: world.clock.nowSec() }
    const serviceAuth = makeServiceJwt({ ...at, aud: `${world.config.serviceDid}#reeve`, lxm: GET_SPACE.slice(6) })
    const session = makeJws({
      key: bob.key,
      header: { typ: 'at+jwt', alg: bob.key.alg },
      payload: { iss: bob.did, sub: bob.did, aud: world.config.serviceDid, exp: at.nowSec + 60, jti: freshJti() },
    })
    const ask = (authorization: string): RawRequest => ({
      path: `${GET_SPACE}?${new URLSearchParams({ space: forum })}`,
      headers: [['authorization', authorization]],
    })
    expect(verdictOf(await world.send(ask(`Bearer ${serviceAuth}`)))).toBe('401 MissingJwt')
    expect(verdictOf(await world.send(ask(`Bearer ${session}`)))).toBe('401 MissingJwt')
    expect(verdictOf(await world.send(ask(`DPoP ${session}`)))).toBe('401 BadJwtType')
    const delegation = makeDelegation({ ...at, space: spaceOf(forum) })
    expect(verdictOf(await world.send(ask(`Atproto-Space ${delegation}`)))).toBe('401 BadJwtType')
  })

  it('sent on by a host that was shown it uses up nothing of what its owner may ask for', async () => {
    const held = await obtain(scene, { binding: 'october' })
    const take = vi.spyOn(scene.world.reeve.house.buckets, 'take')
    for (let nth = 0; nth < 5; nth++) {
      expect(verdictOf(await present(scene, held, { audience: scene.bob.did }))).toBe('401 BadSpaceAudience')
    }
    expect(take.mock.calls.filter(([name]) => name === 'exchangePerson')).toEqual([])
    await present(scene, held)
    expect(take.mock.calls.filter(([name]) => name === 'exchangePerson')).toHaveLength(1)
    take.mockRestore()
  })

  it('doesn’t make up for a question that names no space, or two', async () => {
    const held = await obtain(scene, { binding: 'october' })
    const good = presentationOf(scene.world, held)
    for (const path of [GET_SPACE, `${good.path}&space=x`, `${good.path}%00`]) {
      expect(verdictOf(await scene.world.send({ ...good, path })), path).toBe('400 InvalidRequest')
    }
  })
})
