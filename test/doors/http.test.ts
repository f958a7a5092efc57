/** What HTTP itself asks of us: verbs, headers, browsers' questions, and the documents without a lexicon. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DOORS } from '../../src/doors/xrpc.ts'
import { HEADERS_MAX_COUNT } from '../../src/platform/limits.ts'
import { openStage, type Stage } from './stage.ts'

const DESCRIBE = '/xrpc/community.reeve.service.describe'
const HANDLE_DOMAIN = 'communities.example'

let stage: Stage
beforeAll(async () => {
  stage = await openStage({ environment: { REEVE_HANDLE_DOMAINS: HANDLE_DOMAIN } })
})
afterAll(() => stage.close())

const WAYS = [
  DESCRIBE,
  '/xrpc/community.reeve.member.put',
  '/xrpc/no.such.method',
  '/nowhere',
  '/xrpc/_health',
  '/.well-known/did.json',
  '/.well-known/atproto-did',
]

it.each(WAYS)('%s answers with the headers that every answer has', async (path) => {
  const { headers } = await stage.world.send({ path })
  expect(headers).toMatchObject({
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'x-request-id, retry-after',
    vary: 'Authorization',
  })
  expect(headers['x-request-id']).toMatch(/^[0-9a-f]{16}$/)
  expect(headers['access-control-allow-credentials']).toBeUndefined()
  expect(Object.keys(headers).filter((name) => /powered|server|cookie/.test(name))).toEqual([])
})

it('gives every request an id of its own', async () => {
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => (await stage.world.send({ path: DESCRIBE })).headers['x-request-id']),
  )
  expect(new Set(ids).size).toBe(20)
})

it('answers JSON as JSON', async () => {
  for (const path of [DESCRIBE, '/xrpc/no.such.method', '/.well-known/did.json']) {
    expect((await stage.world.send({ path })).headers['content-type']).toBe('application/json')
  }
})

describe('a browser', () => {
  it('is told before it asks which verb and which headers each method takes', async () => {
    for (const { method } of DOORS) {
      const answer = await stage.world.send({
        method: 'OPTIONS',
        path: `/xrpc/${method.nsid}`,
        headers: [
          ['origin', 'https://app.example'],
          ['access-control-request-method', 'POST'],
        ],
      })
      expect(answer).toMatchObject({ status: 204, body: '' })
      expect(answer.headers['access-control-allow-methods']).toBe(method.type === 'query' ? 'GET' : 'POST')
      expect(answer.headers['access-control-allow-origin']).toBe('*')
      const allowed = String(answer.headers['access-control-allow-headers']).split(', ')
      expect(allowed).toEqual(
        expect.arrayContaining(['authorization', 'content-type', 'dpop', 'signature', 'signature-input']),
      )
      expect(allowed).not.toContain('*')
    }
  })

  it('may not be told that something is here which isn’t', async () => {
    expect(await stage.world.send({ method: 'OPTIONS', path: '/xrpc/no.such.method' })).toMatchObject({ status: 501 })
    expect(await stage.world.send({ method: 'OPTIONS', path: '*' })).toMatchObject({ status: 400 })
  })
})

describe('HEAD', () => {
  it('is answered like GET, without a body', async () => {
    for (const path of [DESCRIBE, '/xrpc/_health', '/.well-known/did.json']) {
      expect(await stage.world.send({ method: 'HEAD', path })).toMatchObject({ status: 200, body: '' })
    }
  })

  it('is judged like GET', async () => {
    const path = '/xrpc/community.reeve.community.list'
    expect(await stage.world.send({ method: 'HEAD', path })).toMatchObject({ status: 401, body: '' })
  })

  it('doesn’t carry out a procedure', async () => {
    const path = '/xrpc/community.reeve.member.put'
    expect(await stage.world.send({ method: 'HEAD', path })).toMatchObject({ status: 400, body: '' })
  })
})

describe('header lines', () => {
  const lines = (count: number): [string, string][] => Array.from({ length: count }, (_, at) => [`x-${at}`, 'a'])

  it('are refused when there are so many that some could be dropped unseen', async () => {
    // `host` and `connection` are sent as well.
    expect((await stage.world.send({ path: DESCRIBE, headers: lines(HEADERS_MAX_COUNT - 3) })).status).toBe(200)
    expect(await stage.world.send({ path: DESCRIBE, headers: lines(HEADERS_MAX_COUNT - 2) })).toMatchObject({
      status: 400,
      body: { error: 'InvalidRequest', message: 'too many header lines' },
    })
    for (const count of [HEADERS_MAX_COUNT - 1, 2 * HEADERS_MAX_COUNT, 5 * HEADERS_MAX_COUNT]) {
      const { status } = await stage.world.send({ path: DESCRIBE, headers: lines(count) })
      expect([400, 431]).toContain(status)
    }
  })

  it('are refused when they are larger than all of them may be', async () => {
    const answer = await stage.world.send({ path: DESCRIBE, headers: [['x-large', 'a'.repeat(16 * 1024)]] })
    expect(answer.status).toBe(431)
  })

  it('that make no host are refused', async () => {
    for (const host of ['ev il.example', 'a/b', 'a?b', 'user@host']) {
      expect((await stage.world.send({ path: DESCRIBE, headers: [['host', host]] })).status).toBe(400)
    }
  })
})

describe('documents', () => {
  it('health says the version and no more', async () => {
    const { version } = stage.world.reeve.house
    expect(await stage.world.send({ path: '/xrpc/_health' })).toMatchObject({ status: 200, body: { version } })
  })

  it('health is answered however many ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => stage.world.send({ path: '/xrpc/_health' })))
    expect(answers.map((answer) => answer.status)).toEqual(Array(100).fill(200))
  })

  it('did.json names the service, at its public address, whatever the Host line says', async () => {
    const { serviceDid, publicUrl } = stage.world.config
    const answer = await stage.world.send({ path: '/.well-known/did.json', headers: [['host', 'evil.example']] })
    expect(answer).toMatchObject({ status: 200 })
    expect(answer.body).toEqual({
      '@context': ['https://www.w3.org/ns/did/v1'],
      id: serviceDid,
      service: [{ id: '#reeve', type: 'ReeveSpaceAuthority', serviceEndpoint: publicUrl }],
    })
  })

  it('atproto-did answers the community whose handle was asked, and nobody else’s', async () => {
    const handle = `garden.${HANDLE_DOMAIN}`
    const did = await stage.world.found(stage.alice, { handle })
    const ask = (...hosts: string[]) =>
      stage.world.send({ path: '/.well-known/atproto-did', headers: hosts.map((host) => ['host', host] as const) })
    for (const host of [handle, `${handle}:443`, handle.toUpperCase()]) {
      expect(await ask(host)).toMatchObject({ status: 200, body: did })
    }
    expect((await ask(handle)).headers['content-type']).toBe('text/plain; charset=utf-8')
    for (const host of [`other.${HANDLE_DOMAIN}`, HANDLE_DOMAIN, 'garden.elsewhere.example', 'localhost', '[::1]:80']) {
      expect(await ask(host)).toMatchObject({ status: 404, body: 'no such handle' })
    }
    expect((await ask('other.example', handle)).status).not.toBe(200)
    expect((await ask(handle, 'other.example')).status).not.toBe(200)
  })

  it('take GET only', async () => {
    for (const path of ['/xrpc/_health', '/.well-known/did.json', '/.well-known/atproto-did']) {
      expect(await stage.world.send({ method: 'POST', path })).toMatchObject({
        status: 400,
        body: { error: 'InvalidRequest' },
      })
    }
  })
})
