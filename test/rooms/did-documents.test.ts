/** DID documents over real sockets: what is fetched, how often, and how long it is believed. The clock is the test's own. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DidDocuments, keyLookup, openDidDocuments } from '../../src/identity/did-documents.ts'
import { type Did, parseDid } from '../../src/names.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import {
  DID_CACHE_MAX_BYTES,
  DID_DOCUMENT_MAX_BYTES,
  DID_FORCED_REFRESH_FLOOR_SEC,
  DID_FRESH_SEC,
  DID_HARD_SEC,
  DID_NEGATIVE_SEC,
} from '../../src/platform/limits.ts'
import { silentLog } from '../../src/platform/log.ts'
import { type HostLookup, type Outbound, openOutbound } from '../../src/platform/outbound.ts'
import { Unavailable } from '../../src/refusals.ts'

function didOf(text: string): Did {
  const did = parseDid(text)
  if (!did) throw new Error(`not a DID: ${text}`)
  return did
}

const alice = didOf('did:plc:ewvi7nxzyoun6zhxrhs64oiz')
const bob = didOf('did:plc:mz2vmuwgcm6mp7s4haxyojqj')
/** A P-256 key and a secp256k1 key, as W3C's and Bluesky's own documentation show them. */
const P256 = 'zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv'
const K256 = 'zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme'

const documentOf = (did: string, key = P256) => ({
  id: did,
  alsoKnownAs: ['at://alice.forum.org'],
  verificationMethod: [{ id: '#atproto', type: 'Multikey', controller: did, publicKeyMultibase: key }],
})

/** What the source answers, by path. Each test sets its own; the default is a document for every DID that is asked for. */
type Answer = (did: string, response: ServerResponse) => void
const serve =
  (document: (did: string) => unknown, type = 'application/did+ld+json; charset=utf-8'): Answer =>
  (did, response) =>
    void response.writeHead(200, { 'content-type': type }).end(JSON.stringify(document(did)))
const status =
  (code: number, type = 'application/json'): Answer =>
  (_did, response) =>
    void response.writeHead(code, { 'content-type': type }).end('{}')

let answer: Answer
let seen: string[]
let url: string
let nowMs: number
let outbound: Outbound
let documents: DidDocuments
let closeServer: () => Promise<unknown>

const clock: Clock = { nowMs: () => nowMs, nowSec: () => Math.floor(nowMs / 1000), monotonicMs: () => nowMs }
const pass = (sec: number) => {
  nowMs += sec * 1000
}
const open = (options: { allowLoopback: boolean } = { allowLoopback: true }) =>
  openDidDocuments({ outbound, plcUrl: url, clock, log: silentLog, ...options })
const webDid = () => didOf(`did:web:localhost%3A${new URL(url).port}`)

beforeEach(async () => {
  nowMs = Date.UTC(2026, 10, 20)
  seen = []
  answer = serve((did) => documentOf(did))
  const sockets = new Set<Socket>()
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.accept}`)
    const isWeb = request.url === '/.well-known/did.json'
    answer(isWeb ? webDid() : decodeURIComponent(request.url?.slice(1) ?? ''), response)
  })
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://localhost:${(server.address() as AddressInfo).port}`
  // The door measures real time limits; what is remembered, and how long, goes by the test's clock.
  outbound = openOutbound({
    allowLoopback: true,
    ownHosts: [],
    trustedOrigins: [url],
    clock: systemClock,
    lookup: async () => [],
  })
  documents = open()
  closeServer = () => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  }
})
afterEach(async () => {
  await outbound.close()
  await closeServer()
})

/** What a call threw, as callers see it. */
async function unavailableOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    (value) => new Error(`it answered ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof Unavailable)) throw error
  return `${error.code} ${error.what}`
}

describe('a DID', () => {
  it('of the directory is asked for by its encoded name', async () => {
    const document = await documents.resolve(alice)
    expect(document).toMatchObject({ did: alice, alsoKnownAs: ['at://alice.forum.org'], fetchedAtMs: nowMs })
    expect(document?.key('atproto')?.curve).toBe('p256')
    expect(seen).toEqual([`GET /did%3Aplc%3A${alice.slice(8)} application/json, application/did+ld+json`])
  })

  it('of a directory below a path, with a slash at its end, is asked for there', async () => {
    const below = openDidDocuments({ outbound, plcUrl: `${url}/plc/`, allowLoopback: true, clock, log: silentLog })
    answer = serve(() => documentOf(alice))
    expect((await below.resolve(alice))?.did).toBe(alice)
    expect(seen[0]).toMatch(/^GET \/plc\/did%3Aplc%3A/)
  })

  it('of this machine is asked for over plain http, where that is allowed', async () => {
    expect((await documents.resolve(webDid()))?.did).toBe(webDid())
    expect(seen).toHaveLength(1)
  })

  it('of this machine does not exist where it is not, and nobody is asked', async () => {
    expect(await open({ allowLoopback: false }).resolve(webDid())).toBeNull()
    expect(seen).toEqual([])
  })

  it('of the web is looked up by its host, and a private place is told like one that is down', async () => {
    const asked: string[] = []
    const lookup: HostLookup = async (host) => {
      asked.push(host)
      return ['10.0.0.1']
    }
    const door = openOutbound({ allowLoopback: false, ownHosts: [], trustedOrigins: [], clock: systemClock, lookup })
    const strict = openDidDocuments({ outbound: door, plcUrl: url, allowLoopback: false, clock, log: silentLog })
    expect(await unavailableOf(strict.resolve(didOf('did:web:forum.org')))).toBe('UpstreamFailure did-document')
    expect(await unavailableOf(strict.resolve(didOf('did:web:forum.test')))).toBe('UpstreamFailure did-document')
    expect(asked).toEqual(['forum.org'])
    await door.close()
  })
})

describe('a source that has no usable document', () => {
  const bytes =
    (text: string | Uint8Array): Answer =>
    (_did, response) =>
      void response.writeHead(200, { 'content-type': 'application/json' }).end(text)

  it.each([
    ['says 404', status(404)],
    ['says 410', status(410)],
    ['serves another DID', serve(() => documentOf(bob))],
    ['serves what is no document', serve(() => ({}))],
    ['serves 51 keys', serve((did) => ({ id: did, verificationMethod: Array(51).fill({}) }))],
    ['serves broken JSON', bytes('{"id":')],
    ['serves an id twice', bytes(`{"id":"${bob}","id":"${alice}"}`)],
    ['serves bytes that are no text', bytes(Uint8Array.of(0x7b, 0xff, 0x7d))],
    ['serves nothing', bytes('')],
  ])('and %s: there is no such DID', async (_what, told) => {
    answer = told
    expect(await documents.resolve(alice)).toBeNull()
  })

  const long = (did: string) => ({ ...documentOf(did), pad: 'x'.repeat(DID_DOCUMENT_MAX_BYTES) })
  it.each([
    ['a page', serve((did) => documentOf(did), 'text/html')],
    ['a page that says 404', status(404, 'text/html')],
    ['a document beyond the limit', serve(long)],
  ])('but %s: the web has no such DID, and the directory is out of order', async (_what, told) => {
    answer = told
    expect(await documents.resolve(webDid())).toBeNull()
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamFailure did-document')
  })
})

describe('a source that fails', () => {
  it.each([
    ['500', status(500)],
    ['429', status(429)],
    ['403', status(403)],
    ['204', status(204)],
    ['a redirect', ((_did, response) => void response.writeHead(302, { location: '/a' }).end()) satisfies Answer],
    ['a broken connection', ((_did, response) => void response.destroy()) satisfies Answer],
  ])('by %s says nothing about the DID', async (_what, told) => {
    answer = told
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamFailure did-document')
    expect(await unavailableOf(documents.resolve(webDid()))).toBe('UpstreamFailure did-document')
  })

  it('by silence is told as a timeout', async () => {
    answer = () => {}
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamTimeout did-document')
  })

  it('is left alone for a moment, then asked again', async () => {
    answer = status(503)
    await unavailableOf(documents.resolve(alice))
    pass(4)
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamFailure did-document')
    expect(seen).toHaveLength(1)
    pass(1)
    answer = serve((did) => documentOf(did))
    expect((await documents.resolve(alice))?.did).toBe(alice)
    expect(seen).toHaveLength(2)
  })

  it('of one DID does not speak for another', async () => {
    answer = (did, response) => (did === alice ? status(503) : serve((asked) => documentOf(asked)))(did, response)
    await unavailableOf(documents.resolve(alice))
    expect((await documents.resolve(bob))?.did).toBe(bob)
  })
})

describe('what is remembered', () => {
  it('is fetched once for twenty callers at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => documents.resolve(alice)))
    expect(new Set(all.map((document) => document?.did))).toEqual(new Set([alice]))
    expect(seen).toHaveLength(1)
  })

  it('fails once for twenty callers at once', async () => {
    answer = status(500)
    const all = Array.from({ length: 20 }, () => unavailableOf(documents.resolve(alice)))
    expect(new Set(await Promise.all(all))).toEqual(new Set(['UpstreamFailure did-document']))
    expect(seen).toHaveLength(1)
  })

  it('is believed while it is fresh, and not a second longer', async () => {
    await documents.resolve(alice)
    answer = serve((did) => documentOf(did, K256))
    pass(DID_FRESH_SEC - 1)
    expect((await documents.resolve(alice))?.key('atproto')?.curve).toBe('p256')
    expect(seen).toHaveLength(1)
    pass(1)
    expect((await documents.resolve(alice))?.key('atproto')?.curve).toBe('k256')
    expect(seen).toHaveLength(2)
  })

  it('serves while the source is down, up to the hard limit', async () => {
    const askedAtMs = nowMs
    await documents.resolve(alice)
    answer = status(500)
    pass(DID_HARD_SEC - 1)
    expect((await documents.resolve(alice))?.fetchedAtMs).toBe(askedAtMs)
    pass(1)
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamFailure did-document')
  })

  it('does not outlive the word of a source that is up', async () => {
    await documents.resolve(alice)
    answer = status(410)
    pass(DID_FRESH_SEC)
    expect(await documents.resolve(alice)).toBeNull()
  })

  it('is not kept for callers to wait on while the source is down', async () => {
    await documents.resolve(alice)
    answer = status(500)
    pass(DID_FRESH_SEC)
    for (let i = 0; i < 10; i++) expect((await documents.resolve(alice))?.did).toBe(alice)
    expect(seen).toHaveLength(2)
  })

  it('of a DID that does not exist is short', async () => {
    answer = status(404)
    expect(await documents.resolve(alice)).toBeNull()
    answer = serve((did) => documentOf(did))
    pass(DID_NEGATIVE_SEC - 1)
    expect(await documents.resolve(alice)).toBeNull()
    expect(seen).toHaveLength(1)
    pass(1)
    expect((await documents.resolve(alice))?.did).toBe(alice)
  })

  it('of a DID that did not exist is no answer once the source is down', async () => {
    answer = status(404)
    await documents.resolve(alice)
    answer = status(500)
    pass(DID_NEGATIVE_SEC)
    expect(await unavailableOf(documents.resolve(alice))).toBe('UpstreamFailure did-document')
  })

  it('is of unknown age when the clock is set back', async () => {
    await documents.resolve(alice)
    pass(-3600)
    expect((await documents.resolve(alice))?.fetchedAtMs).toBe(nowMs)
    expect(seen).toHaveLength(2)
  })

  it('is bounded in bytes: what nobody asked for lately makes room', async () => {
    answer = serve((did) => ({ ...documentOf(did), pad: 'x'.repeat(60_000) }))
    const count = Math.ceil(DID_CACHE_MAX_BYTES / 60_000)
    const didAt = (i: number) =>
      didOf(`did:plc:${i.toString(2).padStart(24, '0').replaceAll('0', 'a').replaceAll('1', 'b')}`)
    for (let i = 0; i < count; i++) await documents.resolve(didAt(i))
    expect(seen).toHaveLength(count)
    await documents.resolve(didAt(count - 1))
    expect(seen).toHaveLength(count)
    await documents.resolve(didAt(0))
    expect(seen).toHaveLength(count + 1)
  })

  it('can be forgotten, and a fetch under way then keeps its answer to itself', async () => {
    await documents.resolve(alice)
    documents.expire(alice)
    const asked = Promise.withResolvers<() => void>()
    answer = (did, response) => asked.resolve(() => serve((other) => documentOf(other))(did, response))
    const old = documents.resolve(alice)
    const letGo = await asked.promise
    documents.expire(alice)
    answer = serve((did) => documentOf(did, K256))
    expect((await documents.resolve(alice))?.key('atproto')?.curve).toBe('k256')
    letGo()
    expect((await old)?.key('atproto')?.curve).toBe('p256')
    expect((await documents.resolve(alice))?.key('atproto')?.curve).toBe('k256')
    expect(seen).toHaveLength(3)
  })
})

describe('a forced refresh', () => {
  it('asks again at once, but only once until the floor has passed', async () => {
    await documents.resolve(alice)
    answer = serve((did) => documentOf(did, K256))
    expect((await documents.resolve(alice, { fresh: true }))?.key('atproto')?.curve).toBe('k256')
    const forcedAtMs = nowMs
    answer = serve((did) => documentOf(did, P256))
    pass(DID_FORCED_REFRESH_FLOOR_SEC - 1)
    const within = await documents.resolve(alice, { fresh: true })
    expect([within?.key('atproto')?.curve, within?.fetchedAtMs]).toEqual(['k256', forcedAtMs])
    expect(seen).toHaveLength(2)
    pass(1)
    expect((await documents.resolve(alice, { fresh: true }))?.key('atproto')?.curve).toBe('p256')
    expect(seen).toHaveLength(3)
  })

  it('is one fetch for twenty callers, and for a hundred bad signatures in a row', async () => {
    await documents.resolve(alice)
    await Promise.all(Array.from({ length: 20 }, () => documents.resolve(alice, { fresh: true })))
    for (let i = 0; i < 100; i++) await documents.resolve(alice, { fresh: true })
    expect(seen).toHaveLength(2)
  })

  it('has its floor for each DID alone', async () => {
    await documents.resolve(alice, { fresh: true })
    await documents.resolve(bob, { fresh: true })
    expect(seen).toHaveLength(2)
  })

  it('has its floor also while the source is down, and leaves the document usable', async () => {
    await documents.resolve(alice)
    answer = status(500)
    for (let i = 0; i < 5; i++) expect((await documents.resolve(alice, { fresh: true }))?.did).toBe(alice)
    expect(seen).toHaveLength(2)
  })

  it('finds a DID that did not exist a moment ago', async () => {
    answer = status(404)
    expect(await documents.resolve(alice)).toBeNull()
    answer = serve((did) => documentOf(did))
    expect((await documents.resolve(alice, { fresh: true }))?.did).toBe(alice)
  })
})

describe('a key by its DID', () => {
  it('is the named one, and follows a rotation when asked afresh', async () => {
    const keyOf = keyLookup(documents, 'atproto')
    expect((await keyOf(alice, { fresh: false }))?.curve).toBe('p256')
    answer = serve((did) => documentOf(did, K256))
    expect((await keyOf(alice, { fresh: false }))?.curve).toBe('p256')
    expect((await keyOf(alice, { fresh: true }))?.curve).toBe('k256')
  })

  it('is null without a document and without such a key', async () => {
    expect(await keyLookup(documents, 'atproto_space')(alice, { fresh: false })).toBeNull()
    answer = status(404)
    expect(await keyLookup(documents, 'atproto')(bob, { fresh: false })).toBeNull()
  })
})
