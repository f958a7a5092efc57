/** Apps at the exchange, over real sockets: what they prove, by whose rules they are judged, and what a failed proof costs. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { ClientId } from '../../src/names.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve } from '../../src/reeve.ts'
import { type AppServer, startAppServer } from '../kit/app-server.ts'
import { type AppKey, type AttestationInput, makeAppKey, makeAttestation } from '../kit/attestations.ts'
import { describeOnEachEngine, hasPostgres, openTestDatabase, type TestDatabase } from '../kit/databases.ts'
import {
  auditRows,
  BINDINGS,
  exchange,
  exchangeOf,
  issuances,
  letIn,
  openScene,
  type Parts,
  type Scene,
} from '../kit/exchange.ts'
import { freePort } from '../kit/ports.ts'
import { freshJti } from '../kit/tokens.ts'
import { type Answer, sendRaw } from '../kit/world.ts'

const APP = 'community.reeve.app'
const DEFS = 'com.atproto.simplespace.defs'
const refused = (error: string) => ({ status: 400, body: { error } })
const MINTED = { status: 200 }

describeOnEachEngine('apps at the exchange', (open) => {
  let database: TestDatabase
  /** The world of every test; the community in it is each test's own. */
  let first: Scene
  let scene: Scene
  let server: AppServer
  let other: AppServer
  const key = makeAppKey('ES256')

  beforeAll(async () => {
    database = await open()
    first = await openScene(database)
    server = await startAppServer(key)
    other = await startAppServer(key)
  })
  afterAll(async () => {
    await server.close()
    await other.close()
    await first.close()
  })
  beforeEach(async () => {
    const community = await first.world.found(first.alice)
    const forum = await first.world.makeSpace(first.alice, community, { skey: 'main' })
    await letIn(first.alice, forum, first.bob.did)
    scene = { ...first, community, forum }
  })
  afterEach(() => {
    server.publish(key)
    server.misbehave(null)
  })

  const attestation = (more: Partial<AttestationInput> = {}) =>
    makeAttestation({
      ...{ key, authority: scene.community, nowSec: scene.world.clock.nowSec(), clientId: server.clientId() },
      ...more,
    })
  /** An exchange with an attestation, and with all else as it should be. */
  const bring = (word: string, parts: Parts = {}): Promise<Answer> => {
    const space = typeof parts.space === 'string' ? parts.space : scene.forum
    return exchange(scene, { ...parts, space, body: { space, clientAttestation: word } })
  }
  const act = async (method: string, input: object) => {
    const answer = await scene.alice.call(method, input)
    if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const set = (input: object) => act(`${APP}.setAccess`, { community: scene.community, ...input })
  const rule = (input: object) => act(`${APP}.putRule`, { community: scene.community, ...input })
  const pending = async () =>
    (await scene.alice.ask(`${APP}.list`, { community: scene.community, state: 'pending' })).body.apps
  const rowsHere = async () => (await issuances(database)).filter(({ space }) => space === scene.forum)

  describe.each(BINDINGS)('%s', (binding) => {
    it('an app that proves which it is gets a credential, and the row names it', async () => {
      expect(await bring(attestation(), { binding })).toMatchObject(MINTED)
      expect(await exchange(scene, { binding })).toMatchObject(MINTED)
      expect((await rowsHere()).map(({ client_id: clientId }) => clientId).sort()).toEqual([server.clientId(), null])
    })

    it('a list asks those that prove nothing for an attestation, and lets in who is on it', async () => {
      await set({ mode: 'allowList' })
      await rule({ clientId: server.clientId(), verdict: 'allow' })
      const answer = await exchange(scene, { binding })
      expect(answer).toMatchObject(refused('AppNotAuthorized'))
      expect(answer.body.message).toContain('clientAttestation')
      expect(await bring(attestation(), { binding })).toMatchObject(MINTED)
      expect(await rowsHere()).toMatchObject([{ client_id: server.clientId() }])
    })

    it('an attestation works once, and a token that came with a used one still does', async () => {
      const word = attestation()
      expect(await bring(word, { binding })).toMatchObject(MINTED)
      const jti = freshJti()
      expect(await bring(word, { binding, jti })).toMatchObject(refused('InvalidClientAttestation'))
      expect(await bring(attestation(), { binding, jti })).toMatchObject(MINTED)
    })

    it('an attestation shown twenty times at once is one credential', async () => {
      const word = attestation()
      const answers = await Promise.all(Array.from({ length: 20 }, () => bring(word, { binding })))
      expect(answers.map(({ body }) => body.error ?? 'minted').sort()).toEqual([
        ...Array.from({ length: 19 }, () => 'InvalidClientAttestation'),
        'minted',
      ])
      expect(await rowsHere()).toHaveLength(1)
    })
  })

  describe('where there is a list', () => {
    beforeEach(async () => {
      await set({ mode: 'allowList' })
      await rule({ clientId: server.clientId(), verdict: 'allow' })
    })

    it('another app is turned away, and waits for whoever judges apps, with who brought it', async () => {
      const word = () => attestation({ clientId: other.clientId() })
      const answer = await bring(word())
      expect(answer).toMatchObject(refused('AppNotAuthorized'))
      expect(answer.body.message).not.toContain('clientAttestation')
      await bring(word())
      expect(await pending()).toMatchObject([
        {
          ...{ clientId: other.clientId(), state: 'pending' },
          seen: { times: 2, lastBy: scene.bob.did, lastSpace: scene.forum },
        },
      ])
      expect((await auditRows(database, 'credential.refuse')).at(-1)).toMatchObject({
        ...{ actor: scene.bob.did, target: scene.forum },
        because: { refused: 'AppNotAuthorized', reasons: [{ rule: 'appUnlisted', from: scene.community }] },
      })
      await rule({ clientId: other.clientId(), verdict: 'allow' })
      expect(await pending()).toEqual([])
      expect(await bring(word())).toMatchObject(MINTED)
    })

    it('nothing is kept of an app that a stranger brings', async () => {
      const word = attestation({ clientId: other.clientId() })
      expect(await bring(word, { person: scene.carol })).toMatchObject(refused('AppNotAuthorized'))
      expect(await pending()).toEqual([])
    })

    it('another app of the same host is another app', async () => {
      const word = attestation({ clientId: server.clientId('/another.json') })
      expect(await bring(word)).toMatchObject(refused('AppNotAuthorized'))
    })

    it('the app is judged before the person: each is told for what they are', async () => {
      const { alice, bob, forum } = scene
      const unlisted = () => attestation({ clientId: other.clientId() })
      expect(await bring(unlisted())).toMatchObject(refused('AppNotAuthorized'))
      expect(await bring(attestation(), { person: scene.carol })).toMatchObject(refused('UserNotAuthorized'))
      await alice.call('community.reeve.member.ban', { space: forum, did: bob.did })
      expect(await bring(attestation())).toMatchObject(refused('UserNotAuthorized'))
      expect(await bring(unlisted())).toMatchObject(refused('AppNotAuthorized'))
      expect(await exchange(scene)).toMatchObject(refused('AppNotAuthorized'))
    })

    it('a silent community tells neither from the other', async () => {
      await set({ mode: 'allowList', isSilent: true })
      await scene.alice.call('community.reeve.member.ban', { space: scene.forum, did: scene.bob.did })
      const forApp = await bring(attestation({ clientId: other.clientId() }), { person: scene.alice })
      const forPerson = await bring(attestation())
      const forProof = await exchange(scene, { person: scene.alice })
      expect(forApp).toMatchObject(refused('NotAuthorized'))
      for (const answer of [forPerson, forProof]) {
        expect({ status: answer.status, body: answer.body }).toEqual({ status: forApp.status, body: forApp.body })
      }
      const kept = (await auditRows(database, 'credential.refuse')).slice(-3)
      expect(kept.map(({ because }) => because['refused'])).toEqual([
        ...['AppNotAuthorized', 'UserNotAuthorized', 'AppNotAuthorized'],
      ])
      expect(await bring(attestation(), { person: scene.alice })).toMatchObject(MINTED)
    })

    it('a public space takes any person, and no other app', async () => {
      const policy = { readPolicy: { $type: `${DEFS}#publicPolicy` } }
      const space = await scene.world.makeSpace(scene.alice, scene.community, policy)
      const { carol: person } = scene
      expect(await bring(attestation(), { space, person })).toMatchObject(MINTED)
      const word = attestation({ clientId: other.clientId() })
      expect(await bring(word, { space, person })).toMatchObject(refused('AppNotAuthorized'))
      expect(await exchange(scene, { space, person })).toMatchObject(refused('AppNotAuthorized'))
    })

    it('a space takes fewer apps than its community, and never more', async () => {
      const appAccess = { $type: `${DEFS}#allowList`, allowed: [other.clientId()] }
      const space = await scene.world.makeSpace(scene.alice, scene.community, { appAccess })
      await letIn(scene.alice, space, scene.bob.did)
      for (const clientId of [server.clientId(), other.clientId()]) {
        expect(await bring(attestation({ clientId }), { space })).toMatchObject(refused('AppNotAuthorized'))
      }
      await rule({ clientId: other.clientId(), verdict: 'allow' })
      expect(await bring(attestation({ clientId: other.clientId() }), { space })).toMatchObject(MINTED)
    })

    it('one app can be pinned', async () => {
      await set({ mode: 'pinned' })
      expect(await bring(attestation())).toMatchObject(MINTED)
      expect(await bring(attestation({ clientId: other.clientId() }))).toMatchObject(refused('AppNotAuthorized'))
    })
  })

  describe('where somebody is denied', () => {
    it('the app is turned away, others are not, and those that prove nothing are asked to', async () => {
      await rule({ clientId: server.clientId(), verdict: 'deny' })
      expect(await bring(attestation())).toMatchObject(refused('AppNotAuthorized'))
      expect(await bring(attestation({ clientId: other.clientId() }))).toMatchObject(MINTED)
      const answer = await exchange(scene)
      expect(answer).toMatchObject(refused('AppNotAuthorized'))
      expect(answer.body.message).toContain('clientAttestation')
      // It was judged, and waits for nobody.
      expect(await pending()).toEqual([])
    })

    it('those that prove nothing come in where that is allowed', async () => {
      await rule({ clientId: server.clientId(), verdict: 'deny' })
      await set({ mode: 'open', unattested: 'allow' })
      expect(await exchange(scene)).toMatchObject(MINTED)
      expect(await bring(attestation())).toMatchObject(refused('AppNotAuthorized'))
    })

    it('no path of a denied host comes in', async () => {
      await rule({ host: server.host, verdict: 'deny' })
      for (const path of ['/client-metadata.json', '/another.json', '/deep/er?x=1']) {
        const word = attestation({ clientId: server.clientId(path) })
        expect(await bring(word)).toMatchObject(refused('AppNotAuthorized'))
      }
      expect(await bring(attestation({ clientId: other.clientId() }))).toMatchObject(MINTED)
    })

    it.each([
      'https://app.example.com:443/client-metadata.json',
      'https://App.example.com/client-metadata.json',
      'https://app.example.com./client-metadata.json',
      'https://app.example.com/a/../client-metadata.json',
      'HTTPS://app.example.com/client-metadata.json',
      'http://app.example.com/client-metadata.json',
    ])('no other spelling is an app: %s', async (clientId) => {
      await rule({ host: 'app.example.com', verdict: 'deny' })
      const jti = freshJti()
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject(refused('InvalidClientAttestation'))
      expect(await bring(attestation(), { jti })).toMatchObject(MINTED)
    })
  })

  describe('an attestation', () => {
    it('for another authority, by another key, or out of time is none, and costs no token', async () => {
      const nowSec = scene.world.clock.nowSec()
      const jti = freshJti()
      const words = [
        attestation({ authority: first.community }),
        attestation({ key: makeAppKey('ES256') }),
        attestation({ payload: { iat: nowSec - 100, exp: nowSec - 40 } }),
        attestation({ payload: { sub: other.clientId() } }),
        attestation({ payload: { cnf: { jkt: 'of another key' } } }),
        'a.b.c',
      ]
      for (const word of words) expect(await bring(word, { jti })).toMatchObject(refused('InvalidClientAttestation'))
      expect(await bring(attestation(), { jti })).toMatchObject(MINTED)
    })

    it('of an app whose host is down is nobody’s fault: 502, and the token is unspent', async () => {
      const jti = freshJti()
      const clientId = server.clientId('/down.json')
      server.misbehave((response) => response.destroy())
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject({
        ...{ status: 502, body: { error: 'UpstreamFailure' } },
      })
      server.misbehave(null)
      scene.world.clock.moveSec(6)
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject(MINTED)
    })

    it('of an app whose host says nothing: 504, and the token is unspent', async () => {
      const jti = freshJti()
      const clientId = server.clientId('/silent.json')
      server.misbehave(() => {})
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject({
        ...{ status: 504, body: { error: 'UpstreamTimeout' } },
      })
      server.misbehave(null)
      scene.world.clock.moveSec(6)
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject(MINTED)
    })

    it('of an app whose metadata is another’s is none, and the token is unspent', async () => {
      const jti = freshJti()
      const clientId = server.clientId('/wrong.json')
      server.misbehave((response) => {
        response.setHeader('content-type', 'application/json')
        response.end(JSON.stringify({ client_id: server.clientId(), jwks: { keys: [key.jwk] } }))
      })
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject(refused('InvalidClientAttestation'))
      server.misbehave(null)
      scene.world.clock.moveSec(31)
      expect(await bring(attestation({ clientId }), { jti })).toMatchObject(MINTED)
    })

    it('has nobody asked for a person who is nobody, or a space that isn’t ours', async () => {
      const clientId = server.clientId('/unasked.json')
      const before = server.asked()
      const forged = { did: scene.bob.did, key: scene.carol.key }
      expect(await bring(attestation({ clientId }), { person: forged })).toMatchObject({
        ...{ status: 401, body: { error: 'BadJwtSignature' } },
      })
      const foreign = 'at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main'
      const authority = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz' as Scene['community']
      expect(await bring(attestation({ clientId, authority }), { space: foreign })).toMatchObject(
        refused('SpaceNotFound'),
      )
      expect(server.asked()).toBe(before)
    })
  })

  it('the whole way of an app: denied, allowed, with a new key and not by the old one, and denied again', async () => {
    const clientId = server.clientId('/the-whole-way.json') as ClientId
    const word = (by: AppKey) => attestation({ clientId, key: by })
    await rule({ clientId, verdict: 'deny' })
    expect(await bring(word(key))).toMatchObject(refused('AppNotAuthorized'))
    await rule({ clientId, verdict: 'allow' })
    await set({ mode: 'allowList' })
    expect(await bring(word(key))).toMatchObject(MINTED)
    const next = makeAppKey('EdDSA', 'next')
    server.publish(next)
    scene.world.clock.moveSec(61)
    expect(await bring(word(next))).toMatchObject(MINTED)
    expect(await bring(word(key))).toMatchObject(refused('InvalidClientAttestation'))
    await rule({ clientId, verdict: 'deny' })
    expect(await bring(word(next))).toMatchObject(refused('AppNotAuthorized'))
    expect((await rowsHere()).map(({ client_id: client }) => client)).toEqual([clientId, clientId])
  })
})

describe.runIf(hasPostgres)('an attestation shown at two processes on one database', () => {
  it('at once is one credential', async () => {
    const database = await openTestDatabase('postgres')
    const scene = await openScene(database)
    const key = makeAppKey('ES256')
    const server = await startAppServer(key)
    const { config, clock, url } = scene.world
    const second = await openReeve(
      { ...config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock, log: silentLog },
    )
    try {
      const urls = [url, `http://localhost:${second.port}`] as const
      for (let round = 0; round < 5; round++) {
        const clientAttestation = makeAttestation({
          ...{ key, authority: scene.community, nowSec: clock.nowSec(), clientId: server.clientId() },
        })
        const body = { space: scene.forum, clientAttestation }
        const before = (await issuances(database)).length
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_none, at) => sendRaw(urls[at % 2 === 0 ? 0 : 1], exchangeOf(scene, { body }))),
        )
        const errors = answers.map(({ body: said }) => said.error ?? 'minted')
        expect(errors.filter((error) => error !== 'InvalidClientAttestation')).toEqual(['minted'])
        expect((await issuances(database)).length - before).toBe(1)
      }
    } finally {
      await second.close()
      await server.close()
      await scene.close()
    }
  })
})
