/** A delegation token, a DPoP proof and an attestation work once: at once, one after the other, at two processes, after a crash. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { silentLog } from '../../src/platform/log.ts'
import { openReeve, type Reeve } from '../../src/reeve.ts'
import { startAppServer } from '../kit/app-server.ts'
import { makeAppKey, makeAttestation } from '../kit/attestations.ts'
import {
  createOnServer,
  describeOnEachEngine,
  engines,
  hasPostgres,
  openTestDatabase,
  type TestDatabase,
} from '../kit/databases.ts'
import { auditRows, BINDINGS, exchange, exchangeOf, issuances, openScene, type Scene } from '../kit/exchange.ts'
import { callAs, makeSomebody } from '../kit/people.ts'
import { startPlcServer } from '../kit/plc.ts'
import { freePort } from '../kit/ports.ts'
import { reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshJti, makeDpopProof, makeKey } from '../kit/tokens.ts'
import { type Answer, EXCHANGE_PATH, sendRaw } from '../kit/world.ts'

const AT_ONCE = 50

/** How often each answer came: `200`, or the name of the refusal. */
function tally(answers: readonly Answer[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status, body } of answers) {
    const name = status === 200 ? '200' : String(body.error)
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

const times = <T>(count: number, work: (at: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_none, at) => work(at)))

describeOnEachEngine('single use', (open) => {
  let database: TestDatabase
  let scene: Scene

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
  })
  afterAll(() => scene.close())

  const newRows = async (work: () => Promise<void>): Promise<{ issuances: number; audit: number }> => {
    const before = [(await issuances(database)).length, (await auditRows(database, 'credential.issue')).length] as const
    await work()
    const after = [(await issuances(database)).length, (await auditRows(database, 'credential.issue')).length] as const
    return { issuances: after[0] - before[0], audit: after[1] - before[1] }
  }
  const proof = (more: { jti?: string; key?: ReturnType<typeof makeKey> } = {}) =>
    makeDpopProof({
      key: makeKey('p256'),
      method: 'POST',
      url: scene.world.url + EXCHANGE_PATH,
      nowSec: scene.world.clock.nowSec(),
      ...more,
    })

  describe.each(BINDINGS)('%s', (binding) => {
    it(`one token shown ${AT_ONCE} times at once, each time with a key and a proof of its own, is one credential (row 65)`, async () => {
      const jti = freshJti()
      const rows = await newRows(async () => {
        const answers = await times(AT_ONCE, () => exchange(scene, { binding, jti }))
        expect(tally(answers)).toEqual({ 200: 1, JwtReplayed: AT_ONCE - 1 })
      })
      expect(rows).toEqual({ issuances: 1, audit: 1 })
    })

    it(`one request sent ${AT_ONCE} times at once, byte for byte, is one credential`, async () => {
      const request = exchangeOf(scene, { binding })
      const rows = await newRows(async () => {
        const counts = tally(await times(AT_ONCE, () => scene.world.send(request)))
        expect(counts['200']).toBe(1)
        expect((counts['JwtReplayed'] ?? 0) + (counts['BadDpopProof'] ?? 0)).toBe(AT_ONCE - 1)
      })
      expect(rows).toEqual({ issuances: 1, audit: 1 })
    })

    it('fifty tokens at once are fifty credentials', async () => {
      const rows = await newRows(async () => {
        expect(tally(await times(AT_ONCE, () => exchange(scene, { binding })))).toEqual({ 200: AT_ONCE })
      })
      expect(rows).toEqual({ issuances: AT_ONCE, audit: AT_ONCE })
    })

    it('a refused token is spent once as well: one verdict is told and kept', async () => {
      const jti = freshJti()
      const space = await scene.world.makeSpace(scene.alice, scene.community)
      const before = (await auditRows(database, 'credential.refuse')).length
      const answers = await times(AT_ONCE, () => exchange(scene, { binding, jti, space }))
      expect(tally(answers)).toEqual({ UserNotAuthorized: 1, JwtReplayed: AT_ONCE - 1 })
      expect((await auditRows(database, 'credential.refuse')).length - before).toBe(1)
    })
  })

  it('one token shown in both generations at once is one credential', async () => {
    const jti = freshJti()
    const rows = await newRows(async () => {
      const answers = await times(AT_ONCE, (at) => exchange(scene, { binding: at % 2 ? 'october' : 'august', jti }))
      expect(tally(answers)).toEqual({ 200: 1, JwtReplayed: AT_ONCE - 1 })
    })
    expect(rows).toEqual({ issuances: 1, audit: 1 })
  })

  it('a jti is used up for its issuer and its kind of token only (row 68)', async () => {
    const jti = freshJti()
    expect(await exchange(scene, { jti })).toMatchObject({ status: 200 })
    expect(await exchange(scene, { jti, person: scene.alice })).toMatchObject({ status: 200 })
    expect(await exchange(scene, { binding: 'august', proof: { jti } })).toMatchObject({ status: 200 })
  })

  describe('a DPoP proof', () => {
    it('serves one token; the second token is still good with a proof of its own', async () => {
      const line = ['dpop', proof()] as const
      const jti = freshJti()
      expect(await exchange(scene, { proofLines: [line] })).toMatchObject({ status: 200 })
      expect(await exchange(scene, { jti, proofLines: [line] })).toMatchObject({
        status: 401,
        body: { error: 'BadDpopProof' },
      })
      expect(await exchange(scene, { jti, binding: 'august' })).toMatchObject({ status: 200 })
    })

    it('that was used costs nobody their token, also where the verdict would be no', async () => {
      const line = ['dpop', proof()] as const
      const jti = freshJti()
      expect(await exchange(scene, { proofLines: [line] })).toMatchObject({ status: 200 })
      const stranger = { jti, person: scene.carol }
      expect(await exchange(scene, { ...stranger, proofLines: [line] })).toMatchObject({
        status: 401,
        body: { error: 'BadDpopProof' },
      })
      expect(await exchange(scene, stranger)).toMatchObject({ status: 400, body: { error: 'UserNotAuthorized' } })
    })

    it('is used up by a refusal too', async () => {
      const line = ['dpop', proof()] as const
      expect(await exchange(scene, { person: scene.carol, proofLines: [line] })).toMatchObject({
        body: { error: 'UserNotAuthorized' },
      })
      expect(await exchange(scene, { proofLines: [line] })).toMatchObject({ body: { error: 'BadDpopProof' } })
    })

    it('shown with twenty tokens at once serves one of them', async () => {
      const line = ['dpop', proof()] as const
      const answers = await times(20, () => exchange(scene, { proofLines: [line] }))
      expect(tally(answers)).toEqual({ 200: 1, BadDpopProof: 19 })
    })

    it('of another key may have the same jti (row 92)', async () => {
      const jti = freshJti()
      for (const _ of [1, 2]) {
        expect(await exchange(scene, { proofLines: [['dpop', proof({ jti })]] })).toMatchObject({ status: 200 })
      }
    })
  })
})

describe.runIf(hasPostgres)('single use at two processes on one database', () => {
  let database: TestDatabase
  let scene: Scene
  let second: Reeve

  beforeAll(async () => {
    database = await openTestDatabase('postgres')
    scene = await openScene(database)
    const { config, clock } = scene.world
    second = await openReeve(
      { ...config, port: await freePort(), databaseUrl: database.url, allowUnsafeDatabase: true },
      { clock, log: silentLog },
    )
  })
  afterAll(async () => {
    await second.close()
    await scene.close()
  })

  it.each(BINDINGS)('one token shown at both at once is one credential (%s)', async (binding) => {
    const urls = [scene.world.url, `http://localhost:${second.port}`] as const
    for (let round = 0; round < 10; round++) {
      const jti = freshJti()
      const before = (await issuances(database)).length
      const answers = await times(AT_ONCE, (at) =>
        sendRaw(urls[at % 2 === 0 ? 0 : 1], exchangeOf(scene, { binding, jti })),
      )
      expect(tally(answers)).toEqual({ 200: 1, JwtReplayed: AT_ONCE - 1 })
      expect((await issuances(database)).length - before).toBe(1)
    }
  })
})

describe.each(engines())('single use across the end of a process (%s)', (engine) => {
  it('remembers what was spent after SIGKILL and after an orderly end (row 66)', async () => {
    const plc = await startPlcServer()
    const dataDir = await mkdtemp(join(tmpdir(), 'reeve-once-'))
    const onServer = engine === 'postgres' ? await createOnServer() : null
    const place = await reevePlace({
      plcUrl: plc.url,
      dataDir,
      ...(onServer ? { databaseUrl: onServer.url.reveal() } : {}),
    })
    let reeve = await startReeve(place)
    const key = makeAppKey('ES256')
    const app = await startAppServer(key)
    try {
      const alice = await makeSomebody(plc.url)
      const at = () => ({ ...reeve, nowSec: systemClock.nowSec() })
      const custody = { $type: 'community.reeve.community.mint#custodial' }
      const minted = await callAs(alice, at(), 'community.reeve.community.mint', { name: 'Gardeners', custody })
      expect(minted).toMatchObject({ status: 200, body: { status: 'active' } })
      const made = await callAs(alice, at(), 'community.reeve.space.create', {
        community: minted.body.did,
        spaceType: 'com.atmoboards.forum',
      })
      const forum: string = made.body.uri
      const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
      const requests = BINDINGS.map((binding) => {
        const jti = freshJti()
        return () => sendRaw(reeve.url, exchangeOf({ world, forum, bob: alice }, { binding, jti }))
      })
      const nowSec = systemClock.nowSec()
      const clientAttestation = makeAttestation({
        ...{ key, authority: minted.body.did, clientId: app.clientId(), nowSec },
        payload: { exp: nowSec + 300 },
      })
      /** With a token of its own each time, so that only the attestation comes again. */
      const bring = () =>
        sendRaw(reeve.url, exchangeOf({ world, forum, bob: alice }, { body: { space: forum, clientAttestation } }))
      for (const ask of [...requests, bring]) expect(await ask()).toMatchObject({ status: 200 })
      const areSpent = async () => {
        for (const ask of requests) {
          expect(await ask()).toMatchObject({ status: 401, body: { error: 'JwtReplayed' } })
        }
        expect((await bring()).body).toEqual({
          error: 'InvalidClientAttestation',
          message: 'the attestation was used before',
        })
      }
      await reeve.kill()
      reeve = await startReeve(place)
      await areSpent()
      expect(await reeve.stop()).toBe(0)
      reeve = await startReeve(place)
      await areSpent()
    } finally {
      await reeve.kill()
      await app.close()
      await onServer?.drop()
      await plc.close()
      await rm(dataDir, { recursive: true, force: true })
    }
  })
})
