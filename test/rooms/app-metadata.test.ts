/** The keys of apps over real sockets: what is fetched, from where never, how often, and how long it is believed. */
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type AppMetadata, appKeyLookup, openAppMetadata } from '../../src/identity/app-metadata.ts'
import { type ClientId, parseClientId } from '../../src/names.ts'
import { type Clock, systemClock } from '../../src/platform/clock.ts'
import { openHostLookup } from '../../src/platform/host-lookup.ts'
import {
  APP_CACHE_MAX_BYTES,
  APP_FRESH_SEC,
  APP_HARD_SEC,
  APP_KEYS_MAX_BYTES,
  APP_METADATA_MAX_BYTES,
  APP_NEGATIVE_SEC,
  APP_REFRESH_FLOOR_SEC,
} from '../../src/platform/limits.ts'
import { silentLog } from '../../src/platform/log.ts'
import { type HostLookup, type Outbound, openOutbound } from '../../src/platform/outbound.ts'
import { Refusal, Unavailable } from '../../src/refusals.ts'
import { makeAppKey } from '../kit/attestations.ts'
import { besides, type DialRecorder, recordDials } from '../kit/dialled.ts'
import { heldBytes, LEFT_MAX_BYTES } from '../kit/held-bytes.ts'
import { startNameServer, type Told } from '../kit/name-server.ts'

const KEY = makeAppKey('ES256', 'first')
const OTHER_KEY = makeAppKey('ES256', 'second')
const setOf = (...keys: readonly { jwk: object }[]) => ({ keys: keys.map(({ jwk }) => jwk) })
const JSON_TYPE = { 'content-type': 'application/json' }

function clientOf(text: string): ClientId {
  const clientId = parseClientId(text)
  if (!clientId) throw new Error(`not a client id: ${text}`)
  return clientId
}

/** What the app's host answers, by path. Each test sets its own; the default is metadata with an inline key for every path. */
type Answer = (path: string, response: ServerResponse) => void
const json =
  (value: unknown, type = 'application/json; charset=utf-8'): Answer =>
  (_path, response) =>
    void response.writeHead(200, { 'content-type': type }).end(JSON.stringify(value))
/** Metadata that names its own address, with `more` in it. */
const metadata =
  (more: object = { jwks: setOf(KEY) }, type?: string): Answer =>
  (path, response) =>
    json({ client_id: `${url}${path}`, client_name: 'An app', ...more }, type)(path, response)
/** Metadata without keys, and the key set under /keys by another answer. */
const byUri =
  (keys: Answer, uri = `${url}/keys`): Answer =>
  (path, response) =>
    (path === '/keys' ? keys : metadata({ jwks_uri: uri }))(path, response)
const status =
  (code: number, headers: Record<string, string> = JSON_TYPE): Answer =>
  (_path, response) =>
    void response.writeHead(code, headers).end('{}')
const bytes =
  (body: string | Uint8Array): Answer =>
  (_path, response) =>
    void response.writeHead(200, JSON_TYPE).end(body)

let answer: Answer
let seen: string[]
let url: string
let port: number
let nowMs: number
let outbound: Outbound
let apps: AppMetadata
let client: ClientId
let dials: DialRecorder

const clock: Clock = { nowMs: () => nowMs, nowSec: () => Math.floor(nowMs / 1000), monotonicMs: () => nowMs }
const pass = (sec: number) => {
  nowMs += sec * 1000
}
const closers: (() => Promise<unknown>)[] = []

/** Listens on a free port of 127.0.0.1 and closes, with every connection, after the test. */
async function listen(server: Server): Promise<number> {
  const open = new Set<Socket>()
  server.on('connection', (socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of open) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}

/** The door measures real time limits; what is remembered, and how long, goes by the test's clock. */
function doorWith(options: Partial<Parameters<typeof openOutbound>[0]> = {}): Outbound {
  const rules = { allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock, lookup: async () => [] }
  const door = openOutbound({ ...rules, ...options })
  closers.push(() => door.close())
  return door
}
const open = (door: Outbound, allowLoopback = true) =>
  openAppMetadata({ outbound: door, allowLoopback, clock, log: silentLog })

beforeAll(() => {
  dials = recordDials()
})
afterAll(() => dials.stop())
beforeEach(async () => {
  nowMs = Date.UTC(2026, 10, 20)
  seen = []
  answer = metadata()
  port = await listen(
    createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.accept}`)
      answer(request.url ?? '', response)
    }),
  )
  url = `http://localhost:${port}`
  client = clientOf(`${url}/client-metadata.json`)
  outbound = doorWith()
  apps = open(outbound)
  dials.forget()
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** The kids that came, or how it was refused. */
async function outcomeOf(call: Promise<readonly { kid: string | null }[]>): Promise<string> {
  try {
    return (await call).map(({ kid }) => kid).join(' ')
  } catch (error) {
    if (error instanceof Unavailable) return `${error.code} ${error.what}`
    if (error instanceof Refusal) return error.code
    throw error
  }
}
const keysOf = (clientId: ClientId = client, fresh = false) => outcomeOf(apps.keysOf(clientId, { fresh }))
const BAD = 'InvalidClientAttestation'
const DOWN = 'UpstreamFailure client-metadata'
const LATE = 'UpstreamTimeout client-metadata'

describe('an app', () => {
  it('is asked for its metadata, and keys in it are enough', async () => {
    expect(await keysOf()).toBe('first')
    expect(seen).toEqual(['GET /client-metadata.json application/json'])
  })

  it.each(['application/json', 'application/jwk-set+json'])('is asked for a key set elsewhere, as %s', async (type) => {
    answer = byUri(json(setOf(KEY, OTHER_KEY), type))
    expect(await keysOf()).toBe('first second')
    expect(seen).toEqual([
      'GET /client-metadata.json application/json',
      'GET /keys application/json, application/jwk-set+json',
    ])
  })

  it('may have a query in its name, which is part of it', async () => {
    expect(await keysOf(clientOf(`${url}/app?id=1`))).toBe('first')
    expect(seen).toEqual(['GET /app?id=1 application/json'])
  })

  it('of this machine is none where that isn’t allowed, and nobody is asked', async () => {
    expect(await outcomeOf(open(outbound, false).keysOf(client))).toBe(BAD)
    expect(dials.targets()).toEqual([])
  })
})

describe('a host that serves no such app', () => {
  const long = 'x'.repeat(APP_METADATA_MAX_BYTES)
  const ROWS: readonly (readonly [string, () => Answer])[] = [
    ['says 404', () => status(404)],
    ['says 410', () => status(410)],
    ['says 401', () => status(401)],
    ['says 204', () => status(204)],
    ['redirects', () => status(302, { location: '/other.json' })],
    ['redirects to a private place', () => status(307, { location: 'http://169.254.169.254/' })],
    ['redirects to a host without a scheme', () => status(301, { location: '//10.0.0.1/' })],
    ['serves a page', () => metadata(undefined, 'text/html')],
    ['serves bytes of any kind', () => metadata(undefined, 'application/octet-stream')],
    ['serves bytes without a kind', () => (_path, response) => void response.writeHead(200).end('{}')],
    ['serves JSON of another kind', () => metadata(undefined, 'application/ld+json')],
    ['serves 33 KB', () => metadata({ jwks: setOf(KEY), pad: long })],
    ['serves broken JSON', () => bytes('{"client_id":')],
    ['serves a list', () => bytes('[]')],
    ['serves bytes that are no text', () => bytes(Uint8Array.of(0x7b, 0xff, 0x7d))],
    ['serves nothing', () => bytes('')],
    ['serves JSON nested ten thousand deep', () => bytes('['.repeat(10_000))],
    ['says who it is twice', () => bytes(`{"client_id":"https://evil.org/a","client_id":"${client}"}`)],
    ['serves another app', () => json({ client_id: `${client}2`, jwks: setOf(KEY) })],
    ['serves no client_id', () => json({ jwks: setOf(KEY) })],
    ['serves no keys', () => metadata({})],
    ['serves keys and an address for them', () => metadata({ jwks: setOf(KEY), jwks_uri: `${url}/keys` })],
    ['serves a private key', () => metadata({ jwks: { keys: [KEY.jwk, OTHER_KEY.privateJwk] } })],
    ['serves an empty set', () => metadata({ jwks: { keys: [] } })],
    ['has no key set where it says', () => byUri(status(404))],
    ['redirects from its key set', () => byUri(status(302, { location: '/keys2' }))],
    ['serves a page for its key set', () => byUri(json(setOf(KEY), 'text/html'))],
    ['serves 65 KB of keys', () => byUri(json({ ...setOf(KEY), pad: 'x'.repeat(APP_KEYS_MAX_BYTES) }))],
    ['serves a key set that says something twice', () => byUri(bytes('{"keys":[],"keys":[]}'))],
    ['has a private key in its key set', () => byUri(json({ keys: [KEY.privateJwk] }))],
  ]
  it.each(ROWS)('because it %s, is told so, and left alone for a while', async (_says, make) => {
    answer = make()
    expect(await keysOf()).toBe(BAD)
    const asked = seen.length
    expect(asked).toBeLessThanOrEqual(2)
    pass(APP_NEGATIVE_SEC - 1)
    expect(await keysOf()).toBe(BAD)
    expect(seen).toHaveLength(asked)
    answer = metadata()
    pass(1)
    expect(await keysOf()).toBe('first')
    expect(besides(dials.targets(), port)).toEqual([])
    expect(dials.lookups()).toBe(0)
  })

  it('with 32 KB of metadata, or 64 KB of keys, is still read', async () => {
    const padded = (value: object, size: number) => {
      const text = JSON.stringify({ ...value, pad: '' })
      return text.replace(/""}$/, `"${'x'.repeat(size - text.length)}"}`)
    }
    const inline = { client_id: client, jwks: setOf(KEY) }
    answer = bytes(padded(inline, APP_METADATA_MAX_BYTES))
    expect(await keysOf()).toBe('first')
    answer = byUri(bytes(padded(setOf(KEY), APP_KEYS_MAX_BYTES)))
    expect(await keysOf(clientOf(`${url}/b`))).toBe('first')
    answer = bytes(padded({ ...inline, client_id: `${url}/c` }, APP_METADATA_MAX_BYTES + 1))
    expect(await keysOf(clientOf(`${url}/c`))).toBe(BAD)
  })
})

describe('a host that fails', () => {
  const broken: Answer = (_path, response) => void response.destroy()
  it.each([
    ['500', () => status(500)],
    ['503', () => status(503)],
    ['429', () => status(429)],
    ['a broken connection', () => broken],
    ['500 for its key set', () => byUri(status(500))],
    ['a broken connection for its key set', () => byUri(broken)],
    ['a key set on a port where nobody is', () => metadata({ jwks_uri: 'http://localhost:1/keys' })],
  ] as const)('by %s says nothing about the app', async (_says, make) => {
    answer = make()
    expect(await keysOf()).toBe(DOWN)
  })

  it('by silence is told as late, and so is one that drips', async () => {
    answer = () => {}
    const silent = keysOf()
    const drips = clientOf(`${url}/drips`)
    const wait = Promise.withResolvers<void>()
    answer = (_path, response) => {
      response.writeHead(200, JSON_TYPE)
      const drip = setInterval(() => response.write(' '), 50)
      response.on('close', () => clearInterval(drip))
      wait.resolve()
    }
    const dripping = keysOf(drips)
    await wait.promise
    answer = byUri(() => {})
    const late = keysOf(clientOf(`${url}/late-keys`))
    expect(await Promise.all([silent, dripping, late])).toEqual([LATE, LATE, LATE])
  })

  it('is left alone for a moment, then asked again', async () => {
    answer = status(503)
    await keysOf()
    pass(4)
    expect([await keysOf(), await keysOf(client, true)]).toEqual([DOWN, DOWN])
    expect(seen).toHaveLength(1)
    pass(1)
    answer = metadata()
    expect(await keysOf()).toBe('first')
  })

  it('does not speak for another app', async () => {
    answer = (path, response) => (path === '/other' ? metadata() : status(500))(path, response)
    expect([await keysOf(), await keysOf(clientOf(`${url}/other`))]).toEqual([DOWN, 'first'])
  })
})

describe('what is remembered', () => {
  it('is fetched once for twenty callers at once, good or bad', async () => {
    const twenty = (clientId: ClientId) => Promise.all(Array.from({ length: 20 }, () => keysOf(clientId)))
    expect(new Set(await twenty(client))).toEqual(new Set(['first']))
    answer = status(500)
    expect(new Set(await twenty(clientOf(`${url}/down`)))).toEqual(new Set([DOWN]))
    answer = status(404)
    expect(new Set(await twenty(clientOf(`${url}/none`)))).toEqual(new Set([BAD]))
    expect(seen).toHaveLength(3)
  })

  it('is believed while it is fresh, and not a second longer', async () => {
    await keysOf()
    answer = metadata({ jwks: setOf(OTHER_KEY) })
    pass(APP_FRESH_SEC - 1)
    expect(await keysOf()).toBe('first')
    expect(seen).toHaveLength(1)
    pass(1)
    expect(await keysOf()).toBe('second')
  })

  it('serves while the host is down, up to the hard limit', async () => {
    await keysOf()
    answer = status(500)
    pass(APP_HARD_SEC - 1)
    expect(await keysOf()).toBe('first')
    pass(1)
    expect(await keysOf()).toBe(DOWN)
  })

  it('does not outlive the word of a host that is up', async () => {
    await keysOf()
    answer = status(404)
    pass(APP_FRESH_SEC)
    expect(await keysOf()).toBe(BAD)
    answer = status(500)
    pass(APP_NEGATIVE_SEC)
    expect(await keysOf()).toBe(DOWN)
  })

  it('is of unknown age when the clock is set back', async () => {
    await keysOf()
    pass(-3_600)
    expect(await keysOf()).toBe('first')
    expect(seen).toHaveLength(2)
  })

  it('of one app is never the answer for another', async () => {
    answer = (path, response) => metadata({ jwks: setOf(path === '/a' ? KEY : OTHER_KEY) })(path, response)
    for (const [path, kid] of [
      ['/a', 'first'],
      ['/A', 'second'],
      ['/a/', 'second'],
      ['/a?x', 'second'],
      ['/a', 'first'],
    ] as const) {
      expect(await keysOf(clientOf(`${url}${path}`)), path).toBe(kid)
    }
  })

  it('is bounded in bytes: what nobody asked for lately makes room', async () => {
    const twenty = Array.from({ length: 20 }, (_none, at) => ({ jwk: { ...KEY.jwk, kid: `k${at}` } }))
    answer = metadata({ jwks: setOf(...twenty) })
    const count = Math.ceil(APP_CACHE_MAX_BYTES / (20 * 2_048))
    const clientAt = (at: number) => clientOf(`${url}/${at}`)
    for (let at = 0; at < count; at++) await apps.keysOf(clientAt(at))
    expect(seen).toHaveLength(count)
    await apps.keysOf(clientAt(count - 1))
    expect(seen).toHaveLength(count)
    await apps.keysOf(clientAt(0))
    expect(seen).toHaveLength(count + 1)
  })
})

describe('a refresh', () => {
  it('finds keys that were changed, once until the floor has passed', async () => {
    await keysOf()
    pass(APP_REFRESH_FLOOR_SEC)
    answer = metadata({ jwks: setOf(OTHER_KEY) })
    expect([await keysOf(), await keysOf(client, true)]).toEqual(['first', 'second'])
    answer = metadata()
    pass(APP_REFRESH_FLOOR_SEC - 1)
    expect(await keysOf(client, true)).toBe('second')
    pass(1)
    expect(await keysOf(client, true)).toBe('first')
    expect(seen).toHaveLength(3)
  })

  it('asks for nothing that was asked for a moment ago, and gives the very same list', async () => {
    const keys = await apps.keysOf(client)
    pass(APP_REFRESH_FLOOR_SEC - 1)
    expect(await apps.keysOf(client, { fresh: true })).toBe(keys)
    expect(seen).toHaveLength(1)
  })

  it('is one fetch for twenty callers, and for a hundred bad signatures in a row', async () => {
    await keysOf()
    pass(APP_REFRESH_FLOOR_SEC)
    await Promise.all(Array.from({ length: 20 }, () => keysOf(client, true)))
    for (let time = 0; time < 100; time++) await keysOf(client, true)
    expect(seen).toHaveLength(2)
  })

  it('has its floor also while the host is down, and leaves the keys usable', async () => {
    await keysOf()
    pass(APP_REFRESH_FLOOR_SEC)
    answer = status(500)
    for (let time = 0; time < 10; time++) {
      expect(await keysOf(client, true)).toBe('first')
      pass(5)
    }
    expect(seen).toHaveLength(2)
  })

  it('hears that a key was taken back', async () => {
    await keysOf()
    answer = metadata({ jwks: { keys: [{ ...KEY.jwk, revoked: { revoked_at: 1 } }] } })
    pass(APP_REFRESH_FLOOR_SEC)
    expect(await keysOf(client, true)).toBe(BAD)
  })
})

describe('whoever makes us ask', () => {
  const charging = () => {
    let drops = 0
    const keysFor = appKeyLookup(apps, () => {
      drops += 1
      if (drops > 3) throw new Refusal('RateLimitExceeded', 'too many')
    })
    return { drops: () => drops, keysFor }
  }

  it('pays for a fetch, and for nothing that is remembered or under way', async () => {
    const { drops, keysFor } = charging()
    await Promise.all(Array.from({ length: 5 }, () => keysFor(client, { fresh: false })))
    await keysFor(client, { fresh: true })
    expect(drops()).toBe(1)
    pass(APP_REFRESH_FLOOR_SEC)
    await keysFor(client, { fresh: true })
    expect(drops()).toBe(2)
  })

  it('pays also where nothing good comes of it, and asks no host once they can’t pay', async () => {
    const { keysFor } = charging()
    answer = status(404)
    const outcomes: string[] = []
    for (let at = 0; at < 6; at++) outcomes.push(await outcomeOf(keysFor(clientOf(`${url}/${at}`), { fresh: false })))
    expect(outcomes).toEqual([BAD, BAD, BAD, ...Array(3).fill('RateLimitExceeded')])
    expect(seen).toHaveLength(3)
    // Somebody else's drop brings it all the same.
    answer = metadata()
    expect(await keysOf(clientOf(`${url}/5`))).toBe('first')
  })
})

describe('an address for keys', () => {
  /** The door of a public house with a directory of its own beside it; only the metadata itself comes from this machine. */
  function strict(): Outbound {
    const trusting = { ownHosts: ['reeve.example.org'], trustedOrigins: ['https://10.0.0.1'] }
    const door = doorWith({ ...trusting, allowLoopback: false })
    return { ...door, request: (ask) => (ask.url === client ? outbound : door).request(ask) }
  }
  const literals = [
    ...['127.0.0.1', '127.1', '0x7f.1', '2130706433', '017700000001', '\uff11\uff12\uff17.0.0.1', '8.8.8.8'],
    ...['10.0.0.1', '172.16.0.1', '192.168.0.1', '100.64.0.1', '169.254.169.254', '0.0.0.0', '192.0.0.1'],
    ...['198.18.0.1', '224.0.0.1', '240.0.0.1', '255.255.255.255', '[::1]', '[::]', '[::ffff:127.0.0.1]'],
    ...['[::127.0.0.1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[2001:0:1::1]', '[fe80::1]', '[fec0::1]'],
    ...['[fc00::1]', '[fd00:ec2::254]', '[ff02::1]', '[2001:db8::1]', '[100::1]', '[3fff::1]', '[5f00::1]'],
    ...['[2606:4700::1111]', 'localhost.', 'foo.localhost', 'printer', 'a.local', 'x.test', 'x.invalid'],
    ...['metadata.google.internal', 'reeve.example.org', 'app.org:22', 'app.org:8443', 'app.org:443', 'u@app.org'],
    ...['u:p@app.org', 'APP.org', 'app.org.', 'a_b.org'],
  ]
  const odd = [
    ...['http://app.org/keys', 'ftp://app.org/keys', 'file:///etc/passwd', 'data:application/json,{}'],
    ...[
      'blob:https://app.org/keys',
      'javascript:0',
      'https://app.org/a/../keys',
      'https://app.org/keys#a',
      '/keys',
      '',
    ],
    ...['https://localhost/keys', 'http://localhost:3000/keys', 'http://127.0.0.1:3000/keys'],
    ...['//app.org/keys', 'https:app.org/keys', 'https://app.org\\keys', ' https://app.org/keys', 'http://127.1/keys'],
  ]

  it.each([...literals.map((host) => `https://${host}/keys`), ...odd])('%j opens no connection', async (uri) => {
    answer = metadata({ jwks_uri: uri })
    expect(await outcomeOf(open(strict()).keysOf(client))).toBe(BAD)
    expect(besides(dials.targets(), port)).toEqual([])
    expect(dials.lookups()).toBe(0)
    expect(seen).toHaveLength(1)
  })

  it.each([
    ['a private address', ['10.0.0.1']],
    ['this machine', ['127.0.0.1']],
    ['a public address and a private one', ['93.184.215.14', '192.168.0.1']],
    ['nobody', []],
  ])('that is a name for %s is told like a host that is down', async (_says, addresses) => {
    const asked: string[] = []
    const lookup: HostLookup = async (host) => {
      asked.push(host)
      return addresses
    }
    answer = metadata({ jwks_uri: 'https://keys.app.org/keys' })
    expect(await outcomeOf(open(doorWith({ lookup })).keysOf(client))).toBe(DOWN)
    expect(await outcomeOf(open(doorWith({ lookup })).keysOf(clientOf('https://app.org/a')))).toBe(DOWN)
    expect(asked).toEqual(['keys.app.org', 'app.org'])
    expect(besides(dials.targets(), port)).toEqual([])
  })
})

describe('the name of an app', () => {
  /** What becomes of a public client id whose name server answers like this. */
  async function nameAt(answers: (host: string, nth: number) => Told | null) {
    const server = await startNameServer(answers)
    closers.push(() => server.close())
    const door = doorWith({ lookup: openHostLookup([server.address]) })
    return { server, named: open(door) }
  }
  // 2d00::/12 belongs to nobody: what is sent there arrives nowhere.
  const NOBODYS = '2d00:0:0:0:0:0:0:1'

  it('that is public in every other answer is dialled only where it was public', async () => {
    const { named } = await nameAt((_host, nth) => (nth % 2 ? { ipv4: ['127.0.0.1'] } : { ipv6: [NOBODYS] }))
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_none, at) => outcomeOf(named.keysOf(clientOf(`https://app.org/${at}`)))),
    )
    for (const outcome of outcomes) expect([DOWN, LATE]).toContain(outcome)
    expect(dials.targets().filter((target) => target !== '2d00::1:443')).toEqual([])
  })

  it.each([
    ['has no such name', { rcode: 3 }],
    ['fails', { rcode: 2 }],
    ['sends it in a circle', { cname: 'app.org' }],
    ['has a hundred addresses', { ipv4: Array.from({ length: 100 }, (_none, at) => `1.2.3.${at}`) }],
    ['leads to this machine', { ipv6: ['0:0:0:0:0:0:7f00:1'] }],
  ] as const)('whose name server %s leads nowhere', async (_says, told) => {
    const { named } = await nameAt(() => told)
    expect(await outcomeOf(named.keysOf(clientOf('https://app.org/a')))).toBe(DOWN)
    expect(dials.targets()).toEqual([])
  })

  it('whose name server is silent is told as late', async () => {
    const { named } = await nameAt(() => null)
    expect(await outcomeOf(named.keysOf(clientOf('https://app.org/a')))).toBe(LATE)
    expect(dials.targets()).toEqual([])
  })

  it('that is our own is not called: nobody makes us ask ourselves', async () => {
    const door = doorWith({ ownHosts: ['reeve.example.org', `localhost:${port}`] })
    expect(await outcomeOf(open(door).keysOf(clientOf('https://reeve.example.org/a')))).toBe(BAD)
    expect(await outcomeOf(open(door).keysOf(client))).toBe(BAD)
    expect([dials.targets(), dials.lookups(), seen]).toEqual([[], 0, []])
  })
})

describe('the host of an app', () => {
  const MB = 1024 * 1024
  const whole = Buffer.alloc(100 * MB, ' ')
  const packed =
    (encoding: string, body: Buffer): RequestListener =>
    (_request, response) =>
      response.writeHead(200, { ...JSON_TYPE, 'content-encoding': encoding }).end(body)
  /** Sends pieces for as long as anybody takes them. */
  const pouring: RequestListener = (_request, response) => {
    response.writeHead(200, JSON_TYPE)
    const piece = Buffer.alloc(64 * 1024, ' ')
    const pour = () => {
      while (!response.destroyed && response.write(piece));
    }
    response.on('drain', pour)
    pour()
  }
  const tenGigabytes: RequestListener = (_request, response) => {
    response.writeHead(200, { ...JSON_TYPE, 'content-length': 10_000_000_000 })
    response.write('{')
  }
  const headersWithoutEnd = () =>
    createTcpServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      const pour = () => {
        while (!socket.destroyed && socket.write(`x: ${'y'.repeat(4_096)}\r\n`));
      }
      socket.on('drain', pour)
      pour()
    })
  const brotli = () => brotliCompressSync(whole, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })

  const ROWS: readonly (readonly [string, () => Server | RequestListener, string])[] = [
    ['says ten gigabytes', () => tenGigabytes, BAD],
    ['sends pieces without end', () => pouring, BAD],
    ['sends a bomb packed by gzip', () => packed('gzip', gzipSync(whole)), BAD],
    ['sends a bomb packed by brotli', () => packed('br', brotli()), BAD],
    ['sends headers without end', headersWithoutEnd, DOWN],
    ['speaks another protocol', () => createTcpServer((socket) => socket.end('220 smtp.app.org ESMTP\r\n')), DOWN],
    ['says nothing', () => createTcpServer(() => {}), LATE],
  ]
  it.each(ROWS)(
    'that %s is told as %3$s, for its metadata and for its keys, and leaves nothing behind',
    async (_says, make, told) => {
      const hostile = make()
      const hostilePort = await listen(typeof hostile === 'function' ? createServer(hostile) : hostile)
      const before = await heldBytes()
      answer = metadata({ jwks_uri: `http://localhost:${hostilePort}/keys` })
      const outcomes = await Promise.all([keysOf(clientOf(`http://localhost:${hostilePort}/a`)), keysOf()])
      expect(outcomes).toEqual([told, told])
      expect(besides(dials.targets(), port, hostilePort)).toEqual([])
      expect((await heldBytes()) - before).toBeLessThan(LEFT_MAX_BYTES)
    },
  )
})
