/**
 * The order in which the exchange judges, shown by requests with two faults: the earlier one is told, whatever the later one is.
 * It is the order of security: what is cheap before what is dear, and nothing fetched or spent for what is refused anyway.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type AppServer, startAppServer } from '../kit/app-server.ts'
import { type AppKey, makeAppKey, makeAttestation } from '../kit/attestations.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { BINDINGS, exchange, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { freshJti, makeKey, type TestKey } from '../kit/tokens.ts'
import { type Binding, spaceOf } from '../kit/world.ts'

/** A request under construction. */
interface Draft {
  key: TestKey
  did: Scene['bob']['did']
  space: string
  bodySpace: string | null
  bodyMore: Record<string, unknown>
  bodyText: string | null
  header: Record<string, unknown>
  payload: Record<string, unknown>
  authorization: Parts['authorization'] | null
  isProofBad: boolean
  appKey: AppKey
  appPath: string
}

interface Fault {
  readonly says: string
  readonly error: string | { october: string; august: string }
  readonly spoil: (draft: Draft, scene: Scene) => void
}

/** Where an app stands that is turned away. */
const DENIED = '/denied.json'

const FOREIGN = 'at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main'

/** Every check, in its place. */
const ORDER: readonly Fault[] = [
  { says: 'the body is no JSON', error: 'InvalidRequest', spoil: (draft) => Object.assign(draft, { bodyText: '{' }) },
  { says: 'there is no token', error: 'MissingJwt', spoil: (draft) => Object.assign(draft, { authorization: [] }) },
  { says: 'typ is another', error: 'BadJwtType', spoil: ({ header }) => Object.assign(header, { typ: 'JWT' }) },
  { says: 'alg is none', error: 'BadJwt', spoil: ({ header }) => Object.assign(header, { alg: 'none' }) },
  { says: 'iss is missing', error: 'BadJwtIss', spoil: ({ payload }) => Object.assign(payload, { iss: undefined }) },
  { says: 'sub is missing', error: 'BadJwtSub', spoil: ({ payload }) => Object.assign(payload, { sub: undefined }) },
  { says: 'exp is text', error: 'BadJwt', spoil: ({ payload }) => Object.assign(payload, { exp: 'soon' }) },
  { says: 'aud is a list', error: 'BadJwtAudience', spoil: ({ payload }) => Object.assign(payload, { aud: ['x'] }) },
  { says: 'jti is empty', error: 'BadJwt', spoil: ({ payload }) => Object.assign(payload, { jti: '' }) },
  {
    says: 'exp is over',
    error: 'JwtExpired',
    spoil: ({ payload }, { world }) => {
      const nowSec = world.clock.nowSec()
      Object.assign(payload, { iat: nowSec - 100, exp: nowSec - 40 })
    },
  },
  { says: 'kid is another', error: 'BadJwt', spoil: ({ header }) => Object.assign(header, { kid: '#other' }) },
  { says: 'sub is no space', error: 'BadJwtSub', spoil: ({ payload }) => Object.assign(payload, { sub: 'at://x' }) },
  { says: 'aud is another', error: 'BadJwtAudience', spoil: ({ payload }) => Object.assign(payload, { aud: 'x' }) },
  { says: 'iss is no DID', error: 'BadJwtIss', spoil: ({ payload }) => Object.assign(payload, { iss: 'bob.test' }) },
  {
    says: 'the body names another space',
    error: 'InvalidDelegationToken',
    spoil: (draft) => Object.assign(draft, { bodySpace: FOREIGN.replace('main', 'other') }),
  },
  {
    says: 'the attestation is no token',
    error: 'InvalidClientAttestation',
    spoil: ({ bodyMore }) => Object.assign(bodyMore, { clientAttestation: 'a.b.c' }),
  },
  {
    says: 'the authority is not ours',
    error: 'SpaceNotFound',
    spoil: (draft) => Object.assign(draft, { space: FOREIGN }),
  },
  {
    says: 'the proof is bad',
    error: { october: 'BadSpaceSignature', august: 'BadDpopProof' },
    spoil: (draft) => Object.assign(draft, { isProofBad: true }),
  },
  {
    says: 'the signature is by somebody else',
    error: 'BadJwtSignature',
    spoil: (draft) => Object.assign(draft, { key: makeKey('k256') }),
  },
  {
    says: 'the attestation is by a key that the app does not publish',
    error: 'InvalidClientAttestation',
    spoil: (draft) => Object.assign(draft, { appKey: makeAppKey('ES256') }),
  },
  {
    says: 'the space never was',
    error: 'SpaceNotFound',
    spoil: (draft, { community }) =>
      Object.assign(draft, { space: `at://${community}/space/com.atmoboards.forum/never` }),
  },
  {
    says: 'the app is denied',
    error: 'AppNotAuthorized',
    spoil: (draft) => Object.assign(draft, { appPath: DENIED }),
  },
  {
    says: 'the person is a stranger',
    error: 'UserNotAuthorized',
    spoil: (draft, { carol, bob }) =>
      Object.assign(draft, { did: carol.did, key: draft.key === bob.key ? carol.key : draft.key }),
  },
]

function partsOf(draft: Draft, binding: Binding, { server, nowSec }: { server: AppServer; nowSec: number }): Parts {
  const { authority } = spaceOf(draft.space)
  const clientId = server.clientId(draft.appPath)
  const clientAttestation = makeAttestation({ key: draft.appKey, authority, clientId, nowSec })
  const bad: Partial<Parts> =
    binding === 'august'
      ? { proof: { payload: { htm: 'GET' } } }
      : {
          proofLines: [
            ['signature-input', `atproto-space=("authorization");keyid="${makeKey('p256').didKey}"`],
            ['signature', `atproto-space=:${Buffer.alloc(64, 1).toString('base64')}:`],
          ],
        }
  return {
    binding,
    jti: freshJti(),
    person: { did: draft.did, key: draft.key },
    space: draft.space,
    changes: { header: draft.header, payload: draft.payload },
    body: draft.bodyText ?? { space: draft.bodySpace ?? draft.space, clientAttestation, ...draft.bodyMore },
    ...(draft.authorization ? { authorization: draft.authorization } : {}),
    ...(draft.isProofBad ? bad : {}),
  }
}

describeOnEachEngine('the order at the exchange', (open) => {
  let scene: Scene
  let server: AppServer
  const appKey = makeAppKey('ES256')

  beforeAll(async () => {
    scene = await openScene(await open())
    server = await startAppServer(appKey)
    const { alice, community } = scene
    const denial = { community, clientId: server.clientId(DENIED), verdict: 'deny' }
    const denied = await alice.call('community.reeve.app.putRule', denial)
    if (denied.status !== 200) throw new Error(`not denied: ${JSON.stringify(denied.body)}`)
    // The rows without an attestation are about people.
    await alice.call('community.reeve.app.setAccess', { community, mode: 'open', unattested: 'allow' })
  })
  afterAll(async () => {
    await server.close()
    await scene.close()
  })

  const errorOf = async (faults: readonly Fault[], binding: Binding): Promise<string | undefined> => {
    const { bob, forum } = scene
    const draft: Draft = {
      key: bob.key,
      did: bob.did,
      space: forum,
      bodySpace: null,
      bodyMore: {},
      bodyText: null,
      header: {},
      payload: {},
      authorization: null,
      isProofBad: false,
      appKey,
      appPath: '/client-metadata.json',
    }
    for (const fault of faults) fault.spoil(draft, scene)
    return (await exchange(scene, partsOf(draft, binding, { server, nowSec: scene.world.clock.nowSec() }))).body.error
  }
  const named = ({ error }: Fault, binding: Binding) => (typeof error === 'string' ? error : error[binding])

  describe.each(BINDINGS)('%s', (binding) => {
    it('finds no fault with a request that has none', async () => {
      expect(await errorOf([], binding)).toBeUndefined()
    })

    it.each(ORDER.map((fault, at) => ({ ...fault, fault, at })))(
      '$says: before all that follows',
      async ({ fault, at }) => {
        expect(await errorOf([fault], binding)).toBe(named(fault, binding))
        for (const later of ORDER.slice(at + 1)) {
          // The earlier fault is made last, so that it stands where both spoil the same part.
          expect([later.says, await errorOf([later, fault], binding)]).toEqual([later.says, named(fault, binding)])
        }
      },
    )

    it('a token that was used is told before the verdict, and a space that is not there before either', async () => {
      const jti = freshJti()
      const { carol, community } = scene
      const once = await exchange(scene, { binding, jti, person: carol })
      expect(once).toMatchObject({ status: 400, body: { error: 'UserNotAuthorized' } })
      expect(await exchange(scene, { binding, jti, person: carol })).toMatchObject({ body: { error: 'JwtReplayed' } })
      const never = `at://${community}/space/com.atmoboards.forum/never`
      expect(await exchange(scene, { binding, jti, person: carol, space: never })).toMatchObject({
        body: { error: 'SpaceNotFound' },
      })
    })
  })
})
