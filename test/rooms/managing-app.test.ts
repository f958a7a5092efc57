/** Another service that says who comes in, over real sockets: when it is asked and how, what it may answer, and what becomes of its word. */
import type { ServerResponse } from 'node:http'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { House } from '../../src/doors/house.ts'
import { type Log, type LogFields, silentLog } from '../../src/platform/log.ts'
import type { Outbound } from '../../src/platform/outbound.ts'
import { type AppServer, startAppServer } from '../kit/app-server.ts'
import { makeAppKey, makeAttestation } from '../kit/attestations.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { besides, recordDials } from '../kit/dialled.ts'
import { auditRows, BINDINGS, exchange, exchangeOf, letIn, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { lateness } from '../kit/lateness.ts'
import {
  type Asked,
  BECAUSE,
  CHECK,
  json,
  type ManagingApp,
  NO_ANSWER,
  SOUND_YES,
  startManagingApp,
} from '../kit/managing-app.ts'
import { jtiOf, obtain, present, revocations } from '../kit/presentation.ts'
import { forgetRegistrations, register, registrations } from '../kit/registering.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { type Syncer, startSyncer } from '../kit/syncer.ts'
import { freshJti, makeKey } from '../kit/tokens.ts'
import { eventually, OPENS_A_WORLD } from '../kit/waiting.ts'
import { type Answer, type Person, personOf } from '../kit/world.ts'
import { write, writeOf } from '../kit/writers.ts'

const R = 'community.reeve'
const DEFS = 'com.atproto.simplespace.defs'
const MINTED = { status: 200 }
const REFUSED = { status: 400, body: { error: 'UserNotAuthorized' } }
const told = ({ status, body }: Answer): string => (status === 200 ? '200' : `${status} ${body.error}`)
const managedBy = (managingApp: string) => ({ $type: `${DEFS}#managingAppPolicy`, managingApp })

/** An app is waited for so many times as long here, where that isn't what a test is about: a slow machine needs more than two seconds now and then. */
const PATIENCE = 15

describeOnEachEngine('a managing app', (open) => {
  let database: TestDatabase
  let scene: Scene
  let app: ManagingApp
  let second: ManagingApp
  /** A space of its own for each test, which names `app` for reading and for writing. */
  let space: string
  /** Somebody whom no roster knows. */
  let guest: Person
  let patience = PATIENCE
  /** What the operator was told of apps that fail. */
  const failures: LogFields[] = []
  const log: Log = {
    ...silentLog,
    warn(event, fields = {}) {
      if (event === 'managingApp.failed') failures.push(fields)
    },
  }

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database, {}, { log })
    // How long it is until something is looked at again is for each test to say.
    stopClock(scene.world.clock)
    const { inquiries } = scene.world.reeve.house as House & { inquiries: Outbound }
    const { request } = inquiries
    inquiries.request = (ask) => request({ ...ask, timeoutMs: ask.timeoutMs * patience })
    const { timeout } = AbortSignal
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms * patience))
    const given = { plcUrl: scene.plc.honestUrl, clock: scene.world.clock }
    app = await startManagingApp(given)
    second = await startManagingApp({ ...given, fragment: 'second' })
    // What is done for the first time takes its time, and is none of how long an app is waited for.
    space = await spaceOfApp(app.service)
    guest = await scene.world.person()
    app.lets.add(guest.did)
    expect(await mint()).toMatchObject(MINTED)
    app.asked.splice(0)
  }, OPENS_A_WORLD.timeout)
  afterAll(async () => {
    vi.restoreAllMocks()
    await scene.close()
    await app.close()
    await second.close()
  })
  beforeEach(async () => {
    // The log says the same of an app once a minute.
    scene.world.clock.moveSec(61)
    failures.splice(0)
    space = await spaceOfApp(app.service)
    guest = await scene.world.person()
    app.lets.add(guest.did)
  })
  afterEach(() => {
    patience = PATIENCE
    for (const one of [app, second]) {
      one.misbehave(null)
      one.publish(null)
      one.lets.clear()
      one.asked.splice(0)
    }
  })

  const spaceOfApp = (service: string): Promise<string> => {
    const [readPolicy, writePolicy] = [managedBy(service), managedBy(service)]
    return scene.world.makeSpace(scene.alice, scene.community, { skey: freshJti(), readPolicy, writePolicy })
  }
  const done = async (answer: Promise<Answer>): Promise<void> => {
    const { status, body } = await answer
    if (status !== 200) throw new Error(JSON.stringify(body))
  }
  const update = (more: object) => done(scene.alice.call(`${R}.space.update`, { space, ...more }))
  const ban = (did: string) => done(scene.alice.call(`${R}.member.ban`, { space, did }))
  const mint = (parts: Parts = {}): Promise<Answer> => exchange(scene, { person: guest, space, ...parts })
  const spentCount = async (): Promise<number> =>
    (await sql<{ count: number }>`select count(*)::int as count from spent`.execute(database.db)).rows[0]?.count ?? 0
  /** The operator was told once, and why. */
  const requireNamed = (because: string, service: string = app.service) =>
    expect(failures.splice(0)).toEqual([{ community: scene.community, app: service, because }])
  const rowsHere = async () =>
    (
      await sql<{ did: string; managed_by: string | null }>`select did, managed_by from issuance
        where space = ${space} order by issued_at_sec, jti`.execute(database.db)
    ).rows
  const reasonsHere = async (action: string) =>
    (await auditRows(database, action))
      .filter(({ target }) => target === space)
      .map(({ because }) => because['reasons'])
  /** Has an app be waited for as long as it is outside of tests, and no longer than the machine makes of that. */
  const waitsTwoSeconds = async (answer: () => Promise<Answer>): Promise<Answer> => {
    patience = 1
    const late = lateness()
    const beganMs = performance.now()
    const said = await answer()
    const tookMs = performance.now() - beganMs
    const lateMs = late.end()
    patience = PATIENCE
    expect(tookMs).toBeGreaterThan(1_900)
    expect(tookMs).toBeLessThan(4_000 + 2 * lateMs)
    return said
  }
  /** What happens while it is being asked, before it answers as it would. */
  const meanwhile = (work: () => Promise<unknown>, says?: boolean) =>
    app.misbehave(async (outgoing, { user }) => {
      await work()
      json(outgoing, 200, { authorized: says ?? app.lets.has(user) })
    })

  describe.each(BINDINGS)('at the mint, %s', (binding) => {
    it('lets somebody in, by a credential that says so in the ledger and in the log', async () => {
      expect(await mint({ binding })).toMatchObject(MINTED)
      expect(app.asked).toHaveLength(1)
      expect(await rowsHere()).toEqual([{ did: guest.did, managed_by: app.service }])
      expect(await reasonsHere('credential.issue')).toEqual([
        [{ rule: 'openToApps' }, { rule: 'managingApp', from: app.did }],
      ])
    })

    it('keeps somebody out, which spends the token, and is kept where they are on the roll', async () => {
      app.lets.clear()
      const request = exchangeOf(scene, { person: guest, space, binding })
      expect(await scene.world.send(request)).toMatchObject(REFUSED)
      expect(told(await scene.world.send(request))).not.toBe('200')
      expect(await mint({ person: scene.bob, binding })).toMatchObject(REFUSED)
      expect(app.asked.map(({ user }) => user)).toEqual([guest.did, guest.did, scene.bob.did])
      expect(await rowsHere()).toEqual([])
      expect(await reasonsHere('credential.refuse')).toEqual([
        [{ rule: 'openToApps' }, { rule: 'managingAppRefused', from: app.did, into: space, action: 'read' }],
      ])
    })

    it.each(Object.keys(NO_ANSWER))('lets nobody in by %s, and spends nothing', async (how) => {
      app.misbehave(NO_ANSWER[how] ?? null)
      const request = exchangeOf(scene, { person: guest, space, binding })
      const before = await spentCount()
      expect(told(await scene.world.send(request))).toBe('502 UpstreamFailure')
      expect(app.asked).toHaveLength(1)
      expect(await spentCount()).toBe(before)
      expect(await rowsHere()).toEqual([])
      requireNamed(BECAUSE[how] ?? '')
      app.misbehave(null)
      expect(told(await scene.world.send(request))).toBe('200')
      expect(failures).toEqual([])
    })

    it.each(Object.keys(SOUND_YES))('is understood with %s', async (how) => {
      app.misbehave(SOUND_YES[how] ?? null)
      expect(told(await mint({ binding }))).toBe('200')
    })

    it('is waited for two seconds, and no longer', async () => {
      app.misbehave(() => {})
      const request = exchangeOf(scene, { person: guest, space, binding })
      expect(told(await waitsTwoSeconds(() => scene.world.send(request)))).toBe('504 UpstreamTimeout')
      requireNamed('time limit')
      app.misbehave(null)
      expect(told(await scene.world.send(request))).toBe('200')
    })
  })

  it('that answers byte by byte is waited for no longer', async () => {
    app.misbehave((outgoing) => {
      outgoing.writeHead(200, { 'content-type': 'application/json' })
      const timer = setInterval(() => outgoing.write(' '), 100)
      outgoing.on('close', () => clearInterval(timer))
    })
    expect(told(await waitsTwoSeconds(() => mint()))).toBe('504 UpstreamTimeout')
    requireNamed('time limit')
  })

  describe('the question', () => {
    const only = (): Asked => {
      const [asked, ...others] = app.asked
      if (!asked || others.length > 0) throw new Error(`asked ${app.asked.length} times`)
      return asked
    }
    const params = (user: string, access: string) =>
      `space=${encodeURIComponent(space)}&user=${encodeURIComponent(user)}&access=${access}`

    it('is one GET, with a token of the community for this method and this receiver alone', async () => {
      const nowSec = scene.world.clock.nowSec()
      expect(await mint()).toMatchObject(MINTED)
      const { url, method, headers, jwt, isSound } = only()
      expect([method, url]).toEqual(['GET', `/xrpc/${CHECK}?${params(guest.did, 'read')}`])
      expect(Object.keys(headers).sort()).toEqual(
        ['accept', 'accept-encoding', 'authorization', 'connection', 'host', 'user-agent'].sort(),
      )
      expect(headers).toMatchObject({
        accept: 'application/json',
        'accept-encoding': 'identity',
        'user-agent': 'reeve',
      })
      expect(isSound).toBe(true)
      expect(jwt.header).toEqual({ typ: 'JWT', alg: 'ES256' })
      const { iat, exp, jti, ...claims } = jwt.claims
      expect(claims).toEqual({ iss: scene.community, aud: app.service, lxm: CHECK })
      expect(jti).toMatch(/^[0-9a-f]{32}$/)
      expect(Number(iat)).toBeGreaterThanOrEqual(nowSec)
      expect(Number(exp) - Number(iat)).toBe(60)
    })

    it('has a token of its own each time', async () => {
      expect([told(await mint()), told(await mint())]).toEqual(['200', '200'])
      expect(new Set(app.asked.map(({ jwt }) => jwt.claims['jti'])).size).toBe(2)
    })

    it('of a DID without a name behind it goes to its PDS entry, and the token says the DID alone', async () => {
      space = await spaceOfApp(app.bare)
      expect(await mint()).toMatchObject(MINTED)
      expect(only()).toMatchObject({ isSound: true, jwt: { claims: { aud: app.did } } })
    })

    it('of a write says so', async () => {
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('200')
      const { url, isSound } = only()
      expect(url).toBe(`/xrpc/${CHECK}?${params(guest.did, 'write')}`)
      expect(isSound).toBe(true)
    })

    it('that several put at once is asked once, and all have its answer', async () => {
      let letGo = () => {}
      const held = new Promise<void>((resolve) => {
        letGo = resolve
      })
      meanwhile(() => held)
      const ask = vi.spyOn(scene.world.reeve.house.managingApps, 'ask')
      const asking = Array.from({ length: 5 }, () => mint())
      await eventually('the question of all', async () => ask.mock.calls.length === 5 && app.asked.length === 1)
      ask.mockRestore()
      letGo()
      expect((await Promise.all(asking)).map(told)).toEqual(Array(5).fill('200'))
      expect(app.asked).toHaveLength(1)
      expect(await rowsHere()).toHaveLength(5)
      // Nothing of it is kept.
      app.misbehave(null)
      app.lets.clear()
      expect(await mint()).toMatchObject(REFUSED)
      expect(app.asked).toHaveLength(2)
    })
  })

  describe('with an app', () => {
    const key = makeAppKey('ES256')
    let client: AppServer
    beforeAll(async () => {
      client = await startAppServer(key)
    })
    afterAll(() => client.close())
    const bring = (parts: Parts = {}) => {
      const about = { key, authority: scene.community, nowSec: scene.world.clock.nowSec(), clientId: client.clientId() }
      return mint({ ...parts, body: { space, clientAttestation: makeAttestation(about) } })
    }
    const deny = (verdict: string) =>
      done(scene.alice.call(`${R}.app.putRule`, { space, clientId: client.clientId(), verdict }))

    it('is told which one it is, where that was proven', async () => {
      expect(told(await bring())).toBe('200')
      expect(told(await mint())).toBe('200')
      expect(app.asked.map(({ clientId }) => clientId)).toEqual([client.clientId(), null])
      expect(app.asked[0]?.params).toEqual(['space', 'user', 'access', 'clientId'])
    })

    it('that the space refuses hears nothing of anybody, nor does it when none was proven', async () => {
      await deny('deny')
      expect(told(await bring())).toBe('400 AppNotAuthorized')
      expect(told(await mint())).toBe('400 AppNotAuthorized')
      expect(app.asked).toEqual([])
    })

    it('leaves an attestation unspent when it does not answer', async () => {
      const about = { key, authority: scene.community, nowSec: scene.world.clock.nowSec(), clientId: client.clientId() }
      const body = { space, clientAttestation: makeAttestation(about) }
      app.misbehave(NO_ANSWER['a 503'] ?? null)
      const request = exchangeOf(scene, { person: guest, space, body })
      expect(told(await scene.world.send(request))).toBe('502 UpstreamFailure')
      app.misbehave(null)
      expect(told(await scene.world.send(request))).toBe('200')
      expect(told(await mint({ body }))).toBe('400 InvalidClientAttestation')
    })

    it('gives no credential that a rule about apps made since would refuse', async () => {
      const held = await obtain(scene, { binding: 'october', person: guest, space })
      expect(told(await present(scene, held))).toBe('200')
      await deny('deny')
      expect(told(await present(scene, held))).toBe('401 CredentialRevoked')
    })
  })

  it('is not asked about members, or about whom something keeps out', async () => {
    await letIn(scene.alice, space, scene.bob.did)
    expect(told(await mint({ person: scene.bob }))).toBe('200')
    expect(told(await write(scene.world, { writer: scene.bob, space }))).toBe('200')
    expect(await rowsHere()).toEqual([{ did: scene.bob.did, managed_by: null }])
    await ban(guest.did)
    expect(await mint()).toMatchObject(REFUSED)
    expect(told(await write(scene.world, { writer: guest, space }))).toBe('403 Forbidden')
    await done(scene.alice.call(`${R}.member.unban`, { space, did: guest.did }))
    await done(scene.alice.call(`${R}.community.freeze`, { space, isFrozen: true }))
    expect(await mint()).toMatchObject(REFUSED)
    expect(told(await write(scene.world, { writer: guest, space }))).toBe('403 Forbidden')
    expect(app.asked).toEqual([])
    expect(await spentCount()).toBeGreaterThan(0)
  })

  it('is not asked about the community itself, which reads and writes by what it is', async () => {
    const other = await scene.world.found(scene.alice)
    const policy = managedBy(app.service)
    space = await scene.world.makeSpace(scene.alice, other, { readPolicy: policy, writePolicy: policy })
    // Its own key never leaves the vault, so the directory says another one of it.
    const key = makeKey('k256')
    const { documents } = scene.world.reeve.house
    scene.plc.misbehave(async ({ kind, did }, forward) => {
      if (kind !== 'document' || did !== other) return undefined
      const { body, ...answer } = await forward()
      const document = JSON.parse(body)
      const method = { id: `${other}#atproto`, type: 'Multikey', controller: other }
      const methods = document.verificationMethod.filter(({ id }: { id: string }) => !id.endsWith('#atproto'))
      const own = { ...method, publicKeyMultibase: key.didKey.slice('did:key:'.length) }
      return { ...answer, body: JSON.stringify({ ...document, verificationMethod: [...methods, own] }) }
    })
    documents.expire(other)
    try {
      const itself = personOf(scene.world, other, key)
      expect(told(await mint({ person: itself }))).toBe('200')
      expect(told(await write(scene.world, { writer: itself, space }))).toBe('200')
      expect(await rowsHere()).toEqual([{ did: other, managed_by: null }])
      expect(await reasonsHere('credential.issue')).toEqual([[{ rule: 'openToApps' }, { rule: 'authority' }]])
      expect(app.asked).toEqual([])
      expect(told(await mint()), 'of others it is').toBe('200')
      expect(app.asked).toHaveLength(1)
    } finally {
      scene.plc.misbehave(null)
      documents.expire(other)
    }
  })

  it('is not asked by whoever only wants to know beforehand, who is told that it would be', async () => {
    const asked = { space, did: guest.did, action: 'read' }
    const about = { rule: 'managingAppUnasked', from: app.did, into: space, action: 'read' }
    expect(await guest.ask(`${R}.member.check`, asked)).toMatchObject({
      status: 200,
      body: { allowed: false, because: [{ rule: 'openToApps' }, about] },
    })
    expect(await scene.alice.ask(`${R}.member.explain`, asked)).toMatchObject({
      body: { allowed: false, missing: [{ kind: 'managingApp', from: app.service, away: 0 }, { kind: 'entry' }] },
    })
    const preview = await scene.alice.ask(`${R}.member.preview`, { community: scene.community, did: guest.did })
    const seen = preview.body.spaces.find(({ uri }: { uri: string }) => uri === space)
    expect(seen).toEqual({ uri: space, actions: [], reads: false, writes: false, asks: ['read', 'write'] })
    await scene.alice.ask(`${R}.member.resolve`, { space })
    await scene.alice.ask(`${R}.member.reach`, { community: scene.community, did: guest.did })
    expect(app.asked).toEqual([])
  })

  it('is shown wherever the settings of the space are', async () => {
    const policy = managedBy(app.service)
    const shown = { readPolicy: policy, writePolicy: policy }
    expect((await scene.alice.ask(`${R}.space.get`, { space })).body).toMatchObject(shown)
    const described = await scene.world.send({ path: `/xrpc/${R}.space.describe?${new URLSearchParams({ space })}` })
    expect(described.body).toMatchObject(shown)
    for (const binding of BINDINGS) {
      const held = await obtain(scene, { binding, person: guest, space })
      expect((await present(scene, held)).body).toMatchObject({ ...shown, policy })
    }
  })

  it('in a community that is silent about its reasons keeps out like everything else', async () => {
    const other = await scene.world.found(scene.alice)
    await done(scene.alice.call(`${R}.app.setAccess`, { community: other, mode: 'open', isSilent: true }))
    space = await scene.world.makeSpace(scene.alice, other, { readPolicy: managedBy(app.service) })
    app.lets.clear()
    expect(told(await mint())).toBe('400 NotAuthorized')
    expect(app.asked).toHaveLength(1)
  })

  describe('that can’t be called', () => {
    const expectNobodyLetIn = async (service: string, because: string) => {
      space = await spaceOfApp(service)
      const request = exchangeOf(scene, { person: guest, space })
      expect(told(await scene.world.send(request)), service).toBe('502 UpstreamFailure')
      expect(told(await write(scene.world, { writer: guest, space })), service).toBe('503 NotEnoughResources')
      requireNamed(because, service)
      expect(app.asked).toEqual([])
    }

    it('lets nobody in: no such service, no such DID, nobody there', async () => {
      await expectNobodyLetIn(`${app.did}#another`, 'no such service')
      await expectNobodyLetIn(`did:plc:${'q'.repeat(24)}#bouncer`, 'no such DID')
      await expectNobodyLetIn('did:web:localhost%3A1#bouncer', 'did-document')
    })

    it('lets nobody in from where strangers may not send us, and nothing is sent there', async () => {
      const dials = recordDials()
      try {
        for (const endpoint of [
          ...['https://10.0.0.1', 'https://127.0.0.2', 'https://169.254.169.254', 'https://[::1]', 'https://8.8.8.8'],
          ...['https://metadata.google.internal', 'https://printer', 'ftp://example.com', scene.world.url, 7],
          ...[`${app.url}/path`, `${app.url}?x=1`, `${app.url}/#x`],
        ]) {
          const one = await startManagingApp({ plcUrl: scene.plc.honestUrl, clock: scene.world.clock })
          one.publish(endpoint)
          space = await spaceOfApp(one.service)
          dials.forget()
          expect(told(await mint()), String(endpoint)).toBe('502 UpstreamFailure')
          const [{ because } = {}, ...others] = failures.splice(0)
          expect([String(because), others], String(endpoint)).toEqual([
            expect.stringMatching(/^(?:url|no such service)$/),
            [],
          ])
          const own = [scene.plc.url, scene.plc.honestUrl, scene.world.url, one.url].map((url) =>
            Number(new URL(url).port),
          )
          const database = 5432
          expect(besides(dials.targets(), ...own, database), String(endpoint)).toEqual([])
          expect(one.asked).toEqual([])
          await one.close()
        }
        expect(app.asked).toEqual([])
      } finally {
        dials.stop()
      }
    })

    it('is not followed to where it sends us, whatever is said there', async () => {
      second.misbehave((outgoing) => json(outgoing, 200, { authorized: true }))
      for (const status of [301, 302, 303, 307, 308]) {
        app.misbehave((outgoing, { url }) => json(outgoing, status, {}, { location: second.url + url }))
        expect(told(await mint())).toBe('502 UpstreamFailure')
        requireNamed('redirect')
        scene.world.clock.moveSec(61)
      }
      expect(second.asked).toEqual([])
    })
  })

  describe('while it is asked', () => {
    it('the community may move, and it isn’t asked again', async () => {
      meanwhile(async () => letIn(scene.alice, scene.forum, (await scene.world.person()).did))
      expect(told(await mint())).toBe('200')
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('200')
      expect(app.asked.map(({ access }) => access)).toEqual(['read', 'write'])
    })

    it('a ban that was answered counts, whatever it says then', async () => {
      meanwhile(() => ban(guest.did))
      expect(await mint()).toMatchObject(REFUSED)
      expect(await rowsHere()).toEqual([])
    })

    it('and before its no, whoever comes onto the roster is in', async () => {
      meanwhile(() => letIn(scene.alice, space, guest.did), false)
      expect(told(await mint())).toBe('200')
      expect(await rowsHere()).toEqual([{ did: guest.did, managed_by: null }])
      await done(scene.alice.call(`${R}.member.remove`, { space, did: guest.did }))
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('200')
    })

    it('the space may name another one, whose word it isn’t; then whoever asked comes again', async () => {
      second.lets.add(guest.did)
      const next = managedBy(second.service)
      meanwhile(() => update({ readPolicy: next, writePolicy: next }))
      const request = exchangeOf(scene, { person: guest, space })
      expect(told(await scene.world.send(request))).toBe('503 NotEnoughResources')
      expect([app.asked.length, second.asked.length]).toEqual([1, 0])
      expect(told(await scene.world.send(request))).toBe('200')
      expect([app.asked.length, second.asked.length]).toEqual([1, 1])
      expect(await rowsHere()).toEqual([{ did: guest.did, managed_by: second.service }])
    })

    it('the space may come to its end', async () => {
      meanwhile(() => done(scene.alice.call(`${R}.space.delete`, { space })))
      expect(told(await mint())).toBe('400 SpaceDeleted')
    })
  })

  describe('and writing', () => {
    it('lets a write in that it lets in, and only its no is one', async () => {
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('200')
      app.lets.clear()
      const request = writeOf(scene.world, { writer: guest, space })
      expect(told(await scene.world.send(request))).toBe('403 Forbidden')
      expect(app.asked.map(({ access }) => access)).toEqual(['write', 'write'])
      expect(app.asked.every(({ params }) => params.join() === 'space,user,access')).toBe(true)
    })

    it.each(Object.keys(NO_ANSWER))('has a sender come again after %s', async (how) => {
      app.misbehave(NO_ANSWER[how] ?? null)
      const request = writeOf(scene.world, { writer: guest, space })
      const before = await spentCount()
      expect(told(await scene.world.send(request))).toBe('503 NotEnoughResources')
      expect(await spentCount()).toBe(before)
      requireNamed(BECAUSE[how] ?? '')
      app.misbehave(null)
      expect(told(await scene.world.send(request))).toBe('200')
      const { rows } = await sql`select repo from writer where space = ${space}`.execute(database.db)
      expect(rows).toEqual([{ repo: guest.did }])
    })

    it('has a sender come again when it hangs (row 160)', async () => {
      app.misbehave(() => {})
      const request = writeOf(scene.world, { writer: guest, space })
      expect(told(await waitsTwoSeconds(() => scene.world.send(request)))).toBe('503 NotEnoughResources')
      requireNamed('time limit')
      const { rows } = await sql`select repo from writer where space = ${space}`.execute(database.db)
      expect(rows).toEqual([])
      app.misbehave(null)
      expect(told(await scene.world.send(request))).toBe('200')
    })

    it('asks the one that is named for it, and a space may name one for reading alone', async () => {
      second.lets.add(guest.did)
      await update({ writePolicy: managedBy(second.service) })
      app.lets.clear()
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('200')
      expect(await mint()).toMatchObject(REFUSED)
      await update({ writePolicy: { $type: `${DEFS}#memberListPolicy` } })
      expect(told(await write(scene.world, { writer: guest, space }))).toBe('403 Forbidden')
      expect([app.asked.length, second.asked.length]).toEqual([1, 1])
    })
  })

  describe('a credential by its word', () => {
    const held = () => obtain(scene, { binding: 'october', person: guest, space })
    const isTakenBack = async (credential: Awaited<ReturnType<typeof held>>, because: string) => {
      await eventually(
        'the taking back',
        async () => (await revocations(database)).get(jtiOf(credential))?.because === because,
      )
      return true
    }

    it('is good while it lives, whatever the app would say by then, and nobody asks', async () => {
      const credential = await held()
      app.lets.clear()
      app.asked.splice(0)
      expect(told(await present(scene, credential))).toBe('200')
      await done(scene.alice.call(`${R}.space.update`, { space, name: 'Another name' }))
      await letIn(scene.alice, space, scene.bob.did)
      expect(told(await present(scene, credential))).toBe('200')
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      expect((await revocations(database)).get(jtiOf(credential))).toBe(null)
      expect(app.asked).toEqual([])
    })

    it.each([
      ['the space naming another one', () => update({ readPolicy: managedBy(second.service) })],
      ['the space naming the same service by another name', () => update({ readPolicy: managedBy(app.bare) })],
      ['the space being closed', () => update({ readPolicy: { $type: `${DEFS}#memberListPolicy` } })],
      ['a ban', () => ban(guest.did)],
      ['the space being frozen', () => done(scene.alice.call(`${R}.community.freeze`, { space, isFrozen: true }))],
    ] as const)('ends with %s', async (_how, change) => {
      const credential = await held()
      expect(told(await present(scene, credential))).toBe('200')
      await change()
      expect(told(await present(scene, credential))).toBe('401 CredentialRevoked')
      expect(await isTakenBack(credential, 'UserNotAuthorized')).toBe(true)
    })

    it('stays when everybody is let in, or its holder comes onto the roster', async () => {
      const credential = await held()
      await update({ readPolicy: { $type: `${DEFS}#publicPolicy` } })
      expect(told(await present(scene, credential))).toBe('200')
      await letIn(scene.alice, space, guest.did)
      await update({ readPolicy: { $type: `${DEFS}#memberListPolicy` } })
      expect(told(await present(scene, credential))).toBe('200')
    })

    it('is told apart from one that somebody has by the roster', async () => {
      const byWord = await held()
      await letIn(scene.alice, space, guest.did)
      const byRoster = await held()
      expect((await rowsHere()).map(({ managed_by: by }) => by).sort()).toEqual([app.service, null].sort())
      await done(scene.alice.call(`${R}.member.remove`, { space, did: guest.did }))
      expect(told(await present(scene, byWord))).toBe('200')
      expect(told(await present(scene, byRoster))).toBe('401 CredentialRevoked')
      expect(await isTakenBack(byRoster, 'UserNotAuthorized')).toBe(true)
      expect((await revocations(database)).get(jtiOf(byWord))).toBe(null)
    })
  })

  describe('and those who listen by its word', () => {
    let syncer: Syncer
    beforeEach(async () => {
      syncer = await startSyncer()
      await letIn(scene.alice, space, scene.bob.did)
    })
    afterEach(async () => {
      await syncer.close()
      // About those who would hear on, the app would be asked in the next test.
      await forgetRegistrations(database)
    })

    const listen = async () => {
      const held = await obtain(scene, { binding: 'october', person: guest, space })
      await done(register(scene, held, syncer.service))
      app.asked.splice(0)
    }
    const writes = async () => {
      await done(write(scene.world, { writer: scene.bob, space }))
      // The same repo is told of once a second.
      scene.world.clock.moveSec(1)
    }
    const isTold = (count: number) => eventually('the telling', async () => syncer.told.length === count)
    const isListening = async () =>
      (await registrations(database)).some(({ space: where, service }) => where === space && service === syncer.service)

    it('is asked again about them before the first delivery, and once a minute', async () => {
      await listen()
      await writes()
      await isTold(1)
      await writes()
      await isTold(2)
      expect(app.asked).toMatchObject([{ user: guest.did, access: 'read', clientId: null, isSound: true }])
      scene.world.clock.moveSec(61)
      await writes()
      await isTold(3)
      expect(app.asked).toHaveLength(2)
      expect(await reasonsHere('notify.register')).toEqual([
        [{ rule: 'openToApps' }, { rule: 'managingApp', from: app.did }],
      ])
    })

    it('ends it by its no, before anything more is told', async () => {
      await listen()
      app.lets.clear()
      await writes()
      await eventually('the end', async () => !(await isListening()))
      expect(syncer.told).toEqual([])
      const ended = (await auditRows(database, 'notify.end')).filter(({ target }) => target === space)
      expect(ended).toMatchObject([{ because: { reason: 'SponsorsGone', service: syncer.service } }])
    })

    it('let somebody register again whom it lets in again, within the minute of its no', async () => {
      await listen()
      app.lets.clear()
      await writes()
      await eventually('the end', async () => !(await isListening()))
      app.lets.add(guest.did)
      await listen()
      await writes()
      await isTold(1)
      expect(app.asked).toMatchObject([{ user: guest.did, access: 'read' }])
      expect(await isListening()).toBe(true)
    })

    it('keep nobody waiting for it who listens by the roster', async () => {
      const other = await startSyncer()
      const hanging: ServerResponse[] = []
      try {
        const byRoster = await obtain(scene, { binding: 'october', person: scene.bob, space })
        await done(register(scene, byRoster, other.service))
        await listen()
        await writes()
        await isTold(1)
        await eventually('the other telling', async () => other.told.length === 1)
        // Its next word is due.
        scene.world.clock.moveSec(61)
        app.asked.splice(0)
        app.misbehave((outgoing) => {
          hanging.push(outgoing)
        })
        await writes()
        await eventually('the telling by the roster', async () => other.told.length === 2)
        await eventually('the question', async () => app.asked.length === 1)
        expect(hanging.map(({ closed }) => closed)).toEqual([false])
        expect(syncer.told).toHaveLength(1)
      } finally {
        for (const outgoing of hanging) outgoing.destroy()
        await other.close()
      }
    })

    it('has it rest by its silence: nothing is told, and nothing ends', async () => {
      await listen()
      app.misbehave(NO_ANSWER['a 503'] ?? null)
      await writes()
      await eventually('the question', async () => app.asked.length > 0)
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      scene.world.clock.moveSec(6)
      await new Promise((resolve) => setTimeout(resolve, 1_500))
      expect(app.asked).toHaveLength(1)
      expect([syncer.told.length, await isListening()]).toEqual([0, true])
      app.misbehave(null)
      scene.world.clock.moveSec(16)
      await isTold(1)
    })

    it('need nobody to be asked where one of them is on the roster', async () => {
      await listen()
      const held = await obtain(scene, { binding: 'october', person: scene.bob, space })
      await done(register(scene, held, syncer.service))
      app.lets.clear()
      await writes()
      await isTold(1)
      expect(app.asked).toEqual([])
    })

    it('is one whom the new one is asked about, where another one is named', async () => {
      await listen()
      await update({ readPolicy: managedBy(second.service) })
      second.lets.add(guest.did)
      await writes()
      await isTold(1)
      expect([app.asked.length, second.asked.length]).toEqual([0, 1])
    })
  })
})
