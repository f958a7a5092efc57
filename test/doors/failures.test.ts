/** When something fails behind a door: what the caller is told, what the log is told, and what neither must ever hear. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Door } from '../../src/doors/door.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { xrpcApp } from '../../src/doors/xrpc-app.ts'
import { openLog } from '../../src/platform/log.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { hasPostgres, onServer, openTestDatabase } from '../kit/databases.ts'
import { makeDelegation, makeDpopProof, makeKey, makeServiceJwt, makeSpaceSignature } from '../kit/tokens.ts'
import { OPENS_A_WORLD } from '../kit/waiting.ts'
import { type Answer, EXCHANGE_PATH, openWorld, type Person, type RawRequest, sendRaw, spaceOf } from '../kit/world.ts'
import { openStage, type Stage } from './stage.ts'

const CANARY = 'c4n4ry'

describe('behind a door', () => {
  let stage: Stage
  const logged: string[] = []
  beforeAll(async () => {
    stage = await openStage({ log: openLog('debug', { write: (line) => void logged.push(line) }) })
  })
  afterAll(() => stage.close())

  /** Asks a door whose action throws `fault`, over a socket, and gives the answer with the lines that were logged. */
  async function askFailing(fault: unknown): Promise<Answer & { lines: string[] }> {
    const [describeDoor] = DOORS.filter((door) => door.knock === 'anybody')
    if (!describeDoor) throw new Error('no door for anybody')
    const failing: Door = { ...describeDoor, enter: () => Promise.reject(fault) }
    const server = createAdaptorServer({ fetch: xrpcApp(stage.world.reeve.house, [failing]).fetch })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    logged.length = 0
    const { port } = server.address() as AddressInfo
    const answer = await sendRaw(`http://127.0.0.1:${port}`, { path: `/xrpc/${failing.method.nsid}` })
    server.close()
    return { ...answer, lines: [...logged] }
  }

  const FAULTS: Readonly<Record<string, unknown>> = {
    'an error of ours': new Error(`no row for ${CANARY}`),
    'an error with lines that look like a stack': new TypeError(`${CANARY}\n    at ${CANARY} (${CANARY}:1:1)`),
    'an error whose cause tells more': new Error('outer', { cause: new Error(CANARY) }),
    'an error with a name of its own': Object.assign(new Error(CANARY), { detail: CANARY, query: CANARY }),
    'a text': CANARY,
    'an object': { message: CANARY, toString: () => CANARY },
    nothing: undefined,
    'a refusal that the lexicon doesn’t name': new Refusal('LastOwner', CANARY, CANARY),
  }

  it.each(Object.keys(FAULTS))('%s is told to nobody: 500, and an id that finds it in the log', async (name) => {
    const { status, body, headers, lines } = await askFailing(FAULTS[name])
    const id = headers['x-request-id']
    expect({ status, body }).toEqual({
      status: 500,
      body: { error: 'InternalServerError', message: `something went wrong here; tell us ${id}` },
    })
    expect(lines.map((line) => JSON.parse(line).event)).toEqual(['failed', 'answered'])
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 50, event: 'failed', requestId: id })
    expect(lines.join('')).not.toContain(CANARY)
  })

  it('the log says where an error of ours happened', async () => {
    const { lines } = await askFailing(new Error(`${CANARY}\n    at ${CANARY}`))
    expect(JSON.parse(lines[0] ?? '').stack).toMatch(/^ ?at .*failures\.test\.ts/)
  })

  it.each([
    [new Unavailable('NotEnoughResources', 'database', { cause: new Error(CANARY) }), 503, 'NotEnoughResources'],
    [new Unavailable('KeyUnavailable', 'vault'), 503, 'KeyUnavailable'],
    [new Unavailable('KekUnavailable', 'vault'), 503, 'KekUnavailable'],
    [new Unavailable('UpstreamTimeout', 'plc-directory'), 504, 'UpstreamTimeout'],
    [new Unavailable('UpstreamFailure', 'plc-directory'), 502, 'UpstreamFailure'],
    [Object.assign(new Error(CANARY), { code: '57P01' }), 503, 'NotEnoughResources'],
    [new Error('Connection terminated unexpectedly'), 503, 'NotEnoughResources'],
  ])('%s is trouble: %i, and no word about whose', async (fault, status, error) => {
    const answer = await askFailing(fault)
    expect(answer).toMatchObject({ status, body: { error, message: 'not possible at the moment; try again' } })
    expect(answer.lines.join('')).not.toContain(CANARY)
    expect(JSON.parse(answer.lines[0] ?? '')).toMatchObject({ level: 40, event: 'unavailable', code: error })
  })

  it('a database from the past is trouble that doesn’t pass by itself: 503, and whose it is', async () => {
    const { status, body, lines } = await askFailing(new Unavailable('RestoredFromPast', 'restored database'))
    expect({ status, body }).toEqual({
      status: 503,
      body: { error: 'RestoredFromPast', message: expect.stringContaining('until its operator has seen to it') },
    })
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 40, event: 'unavailable', code: 'RestoredFromPast' })
  })

  it('what a lexicon doesn’t allow to come back doesn’t go out', async () => {
    const [door] = DOORS.filter(({ knock }) => knock === 'anybody')
    const answering = { ...(door as Door), enter: async () => ({ did: CANARY, secret: CANARY }) }
    const app = xrpcApp(stage.world.reeve.house, [answering])
    const server = createAdaptorServer({ fetch: app.fetch })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    logged.length = 0
    const { port } = server.address() as AddressInfo
    const answer = await sendRaw(`http://127.0.0.1:${port}`, { path: `/xrpc/${answering.method.nsid}` })
    server.close()
    expect(answer.status).toBe(500)
    expect(JSON.stringify(answer) + logged.join('')).not.toContain(CANARY)
  })
})

describe('secrets in requests', () => {
  let stage: Stage
  const logged: string[] = []
  beforeAll(async () => {
    stage = await openStage({ log: openLog('debug', { write: (line) => void logged.push(line) }) })
  })
  afterAll(() => stage.close())

  const nowSec = () => stage.world.clock.nowSec()
  const delegation = ({ key, did }: Person, more: object = {}) =>
    makeDelegation({ key, iss: did, space: spaceOf(stage.forum), nowSec: nowSec(), ...more })
  const proof = (more: object = {}) =>
    makeDpopProof({
      ...{ key: makeKey('p256'), method: 'POST', url: stage.world.url + EXCHANGE_PATH, nowSec: nowSec() },
      ...more,
    })

  function exchange(token: string, dpop: string, body: unknown): RawRequest {
    const headers: [string, string][] = [
      ['authorization', `Bearer ${token}`],
      ['dpop', dpop],
      ['content-type', 'application/json'],
    ]
    return { method: 'POST', path: EXCHANGE_PATH, headers, body: JSON.stringify(body) }
  }

  it('come back in no answer and stand in no line of the log, whatever is wrong with the request', async () => {
    const { bob, eve, forum, world } = stage
    const attestation = `${CANARY}.attestation.${CANARY}`
    const jti = `${CANARY}-jti`
    const space = forum
    const october = (() => {
      const authorization = `Bearer ${delegation(bob, { jti })}`
      const { signatureInput, signature } = makeSpaceSignature({ key: makeKey('p256'), authorization })
      return { authorization, signatureInput, signature: signature.replace(/:.{20}/, `:${CANARY}AAAAAAAAAAAAAA`) }
    })()
    const service = (change: object) =>
      makeServiceJwt({
        ...{ key: bob.key, iss: bob.did, aud: world.config.serviceDid, lxm: 'community.reeve.member.list' },
        ...{ nowSec: nowSec(), jti, ...change },
      })
    const list = (token: string, query: string): RawRequest => ({
      path: `/xrpc/community.reeve.member.list?${query}`,
      headers: [['authorization', `Bearer ${token}`]],
    })
    const requests: RawRequest[] = [
      exchange(delegation(bob, { jti }), proof({ jti }), { space }),
      exchange(delegation(eve, { jti }), proof({ jti }), { space }),
      exchange(delegation(bob, { jti, header: { typ: CANARY } }), proof(), { space }),
      exchange(delegation(bob, { jti, header: { alg: CANARY, kid: CANARY } }), proof(), { space }),
      exchange(delegation(bob, { jti, payload: { aud: CANARY } }), proof(), { space }),
      exchange(delegation(bob, { jti, payload: { sub: CANARY } }), proof(), { space }),
      exchange(delegation(bob, { jti, payload: { iss: CANARY } }), proof(), { space }),
      exchange(delegation(bob, { jti }), proof({ payload: { htu: `https://${CANARY}.example` } }), { space }),
      exchange(delegation(bob, { jti }), proof({ header: { typ: CANARY } }), { space }),
      exchange(delegation(bob, { jti }), CANARY, { space }),
      exchange(CANARY, proof(), { space }),
      exchange(delegation(bob, { jti }), proof(), { space, clientAttestation: attestation }),
      exchange(delegation(bob, { jti }), proof(), { space, clientAttestation: { token: attestation } }),
      exchange(delegation(bob, { jti }), proof(), { space, clientAttestation: [attestation] }),
      exchange(delegation(bob, { jti }), proof(), { space, clientAttestation: CANARY.repeat(1_500) }),
      exchange(delegation(bob, { jti }), proof(), { space: [CANARY] }),
      exchange(delegation(bob, { jti }), proof(), [CANARY]),
      {
        ...exchange('', '', { space }),
        headers: [
          ['authorization', october.authorization],
          ['content-type', 'application/json'],
          ['signature-input', october.signatureInput],
          ['signature', october.signature],
        ],
      },
      list(service({}), `space=${encodeURIComponent(forum)}&cursor=${'x'.repeat(600)}${CANARY}`),
      list(service({}), `space=${encodeURIComponent(forum)}&limit=${CANARY}`),
      list(service({}), `space=${CANARY}`),
      list(service({}), `space=${encodeURIComponent(forum)}&access_token=${CANARY}`),
      list(service({}), `space=${encodeURIComponent(forum)}&${CANARY}%3D%3D=1`),
      list(service({ payload: { lxm: CANARY } }), ''),
      list(service({ payload: { aud: CANARY } }), ''),
      list(service({ header: { kid: CANARY } }), ''),
      list(CANARY, ''),
      { path: `/xrpc/${CANARY}`, headers: [['authorization', `Bearer ${CANARY}`]] },
      { path: `/${CANARY}` },
      { path: `/xrpc/community.reeve.${CANARY}` },
    ]
    logged.length = 0
    const answers: Answer[] = []
    for (const request of requests) answers.push(await world.send(request))

    const statuses = Map.groupBy(answers, ({ status }) => Math.floor(status / 100))
    expect([...statuses.keys()].sort(), 'some got in, the others were refused').toEqual([2, 4, 5])
    expect(answers.filter(({ status }) => status >= 500).map(({ status }) => status)).toEqual([501])
    const refused = answers.filter(({ status }) => status >= 400)
    expect(JSON.stringify(refused.map(({ body, headers }) => ({ body, headers })))).not.toContain(CANARY)
    expect(logged.length).toBeGreaterThan(requests.length / 2)
    expect(logged.join('')).not.toContain(CANARY)

    // Nor a piece of a good token, nor of the credential that was answered to one.
    const parts = requests.flatMap(({ headers = [] }) =>
      headers
        .filter(([name]) => name === 'authorization' || name === 'dpop' || name.startsWith('signature'))
        .flatMap(([, value]) => value.split(/[ .:]/)),
    )
    const credentials = answers.flatMap(({ body }) => (body.credential ? body.credential.split('.') : []))
    expect(credentials).toHaveLength(3)
    const everything = logged.join('') + JSON.stringify(refused)
    for (const part of [...parts, ...credentials].filter((text) => text.length > 30))
      expect(everything).not.toContain(part)
  })
})

describe('when the database is gone', () => {
  it('health and every way in that needs it say 503, the others go on (embedded)', OPENS_A_WORLD, async () => {
    const logged: string[] = []
    const log = openLog('debug', { write: (line) => void logged.push(line) })
    const stage = await openStage({ log, environment: { REEVE_HANDLE_DOMAINS: 'communities.example' } })
    const { world, alice, bob, forum } = stage
    try {
      await alice.ask('community.reeve.community.list')
      await world.database.close()
      expect(await world.send({ path: '/xrpc/_health' })).toMatchObject({
        status: 503,
        body: { error: 'NotEnoughResources' },
      })
      const trouble = {
        status: 503,
        body: { error: 'NotEnoughResources', message: 'not possible at the moment; try again' },
      }
      expect(await alice.ask('community.reeve.community.list')).toMatchObject(trouble)
      expect(
        await alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'reader' }),
      ).toMatchObject(trouble)
      expect(await bob.exchange(forum)).toMatchObject(trouble)
      const headers = [['host', 'garden.communities.example']] as const
      expect(await world.send({ path: '/.well-known/atproto-did', headers })).toMatchObject(trouble)

      expect((await world.send({ path: '/xrpc/community.reeve.service.describe' })).status).toBe(200)
      expect((await world.send({ path: '/.well-known/did.json' })).status).toBe(200)
      expect(logged.filter((line) => JSON.parse(line).level >= 50)).toEqual([])
    } finally {
      await stage.close()
    }
  })

  it.runIf(hasPostgres)(
    'its connections cut, callers are told to try again, and trying again helps (postgres)',
    OPENS_A_WORLD,
    async () => {
      const stage = await openStage({ database: await openTestDatabase('postgres') })
      const { world, alice, bob, forum } = stage
      try {
        const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(world.database.db)
        // Until they are gone: a connection that dies a moment later would fail whoever asks last.
        const cut = () =>
          onServer(`select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '${rows[0]?.name}'`)
        const asks: Promise<Answer>[] = []
        for (let round = 0; round < 5; round++) {
          for (let at = 0; at < 10; at++) {
            asks.push(alice.ask('community.reeve.member.list', { space: forum }), bob.exchange(forum))
            asks.push(alice.call('community.reeve.member.put', { space: forum, did: bob.did, role: 'member' }))
          }
          await cut()
        }
        const answers = await Promise.all(asks)
        const told = [...new Set(answers.map(({ status, body }) => `${status} ${body.error ?? ''}`))].sort()
        expect(['200 ', '503 NotEnoughResources']).toEqual(expect.arrayContaining(told))
        expect((await alice.ask('community.reeve.member.list', { space: forum })).status).toBe(200)
        expect((await bob.exchange(forum)).status).toBe(200)
      } finally {
        await stage.close()
      }
    },
  )

  it.runIf(hasPostgres)('and stays away, every way in that needs it says 503 (postgres)', OPENS_A_WORLD, async () => {
    const world = await openWorld({ database: await openTestDatabase('postgres') })
    try {
      const alice = await world.person()
      await alice.ask('community.reeve.community.list')
      const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(world.database.db)
      await onServer(`drop database ${rows[0]?.name} with (force)`)
      for (let round = 0; round < 3; round++) {
        expect((await world.send({ path: '/xrpc/_health' })).status).toBe(503)
        expect(await alice.ask('community.reeve.community.list')).toMatchObject({
          status: 503,
          body: { error: 'NotEnoughResources' },
        })
      }
    } finally {
      await world.close()
    }
  })
})
