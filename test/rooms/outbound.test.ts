/** The door out of the house, against servers that redirect, stall, pack, break and never end, and names that lie. */
import { createHook } from 'node:async_hooks'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/platform/clock.ts'
import { openHostLookup } from '../../src/platform/host-lookup.ts'
import {
  type HostLookup,
  type Outbound,
  type OutboundAsk,
  OutboundFailure,
  openOutbound,
} from '../../src/platform/outbound.ts'
import { certificateFor } from '../kit/certificates.ts'
import { eventually } from '../kit/waiting.ts'

/** Every TCP connection that this process begins, as Node's own hooks see it: `address:port`. */
const dialled: { address?: string; port?: number }[] = []
const hook = createHook({
  init(_id, type, _trigger, resource) {
    if (type === 'TCPCONNECTWRAP') dialled.push(resource)
  },
})
beforeAll(() => void hook.enable())
afterAll(() => void hook.disable())
beforeEach(() => void dialled.splice(0))
const targets = () => dialled.map(({ address, port }) => `${address}:${port}`)

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

function door(options: Partial<Parameters<typeof openOutbound>[0]> = {}): Outbound {
  const outbound = openOutbound({
    allowLoopback: true,
    ownHosts: [],
    trustedOrigins: [],
    clock: systemClock,
    lookup: async () => [],
    ...options,
  })
  closers.push(() => outbound.close())
  return outbound
}

/** Listens on a free port of 127.0.0.1 and closes, with every connection, after the test. */
async function listen<S extends Server>(server: S): Promise<number> {
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

/** A web server and the paths that it was asked for. */
async function web(listener: RequestListener): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url}`)
    listener(request, response)
  })
  return { url: `http://localhost:${await listen(server)}`, seen }
}

const get = (url: string, more: Partial<OutboundAsk> = {}): OutboundAsk => ({
  method: 'GET',
  url,
  maxBytes: 1_000,
  timeoutMs: 20_000,
  contentTypes: ['application/json'],
  ...more,
})

const json: RequestListener = (_request, response) =>
  response.setHeader('content-type', 'application/json').end('{"a":1}')

/** The failure of a call, as `kind because`. */
async function failureOf(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    (value) => new Error(`it answered ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof OutboundFailure)) throw error
  return `${error.kind} ${error.because}`
}

describe('a plain request', () => {
  it('brings back status, type and bytes', async () => {
    const { url, seen } = await web(json)
    const answer = await door().request(get(`${url}/a?b=c`))
    expect(answer).toEqual({ status: 200, contentType: 'application/json', body: new TextEncoder().encode('{"a":1}') })
    expect(seen).toEqual(['GET /a?b=c'])
  })

  it('sends a body and headers, and asks for nothing packed, whatever the caller wrote', async () => {
    const { url } = await web(async (request, response) => {
      const chunks: Buffer[] = []
      for await (const chunk of request) chunks.push(chunk)
      const { 'content-type': type, 'accept-encoding': encoding } = request.headers
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ type, encoding, body: Buffer.concat(chunks).toString() }))
    })
    const headers = { 'content-type': 'text/plain', 'accept-encoding': 'gzip' }
    const { body } = await door().request(get(url, { method: 'POST', headers, body: 'hello' }))
    expect(JSON.parse(Buffer.from(body).toString())).toEqual({
      type: 'text/plain',
      encoding: 'identity',
      body: 'hello',
    })
  })

  it('uses its connections again', async () => {
    const { url } = await web(json)
    const outbound = door()
    for (let i = 0; i < 20; i++) await outbound.request(get(url))
    // Not always one: a connection that has just brought its last byte may not be ready for the next request yet.
    expect(dialled.length).toBeLessThanOrEqual(2)
  })

  it('reads an answer of exactly the limit', async () => {
    const { url } = await web(json)
    expect((await door().request(get(url, { maxBytes: 7 }))).body).toHaveLength(7)
  })

  it('takes any type where the caller names none', async () => {
    const { url } = await web((_request, response) => response.end('plain'))
    expect(await door().request(get(url, { contentTypes: null }))).toMatchObject({ status: 200, contentType: '' })
  })

  it('ignores the proxies of the environment', async () => {
    const proxy = await web(json)
    const { url, seen } = await web(json)
    const names = ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'ALL_PROXY', 'NODE_USE_ENV_PROXY']
    const before = names.map((name) => [name, process.env[name]] as const)
    for (const name of names) process.env[name] = name === 'NODE_USE_ENV_PROXY' ? '1' : proxy.url
    try {
      await door().request(get(url))
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
    expect(seen).toHaveLength(1)
    expect(proxy.seen).toEqual([])
  })
})

describe('an answer that is refused', () => {
  it.each([
    [301, 'http://169.254.169.254/'],
    [302, '/elsewhere'],
    [303, '//10.0.0.1/'],
    [307, 'https://other.org/'],
    [308, ''],
  ])('a redirect (%i to %j) is a failure after one request', async (status, location) => {
    const { url, seen } = await web((_request, response) => response.writeHead(status, { location }).end())
    const call = door().request(get(`${url}/a`, { method: 'POST', body: 'once' }))
    expect(await failureOf(call)).toBe('failed redirect')
    expect(seen).toEqual(['POST /a'])
    expect(dialled).toHaveLength(1)
  })

  it.each(['text/html', 'application/octet-stream', 'application/jsonp', 'text/html, application/json', ''])(
    'another content type: %j',
    async (type) => {
      const { url } = await web((_request, response) => response.writeHead(200, { 'content-type': type }).end('{}'))
      expect(await failureOf(door().request(get(url)))).toBe('wrong-type type')
    },
  )

  it('a type with parameters and capitals is the same type', async () => {
    const type = 'Application/JSON; charset=utf-8'
    const { url } = await web((_request, response) => response.writeHead(200, { 'content-type': type }).end('{}'))
    expect((await door().request(get(url))).contentType).toBe('application/json')
  })

  it.each(['gzip', 'br', 'deflate', 'zstd', 'identity, gzip'])(
    'a packed body (%s) is never unpacked',
    async (encoding) => {
      const bomb = gzipSync(Buffer.alloc(5_000_000))
      const { url } = await web((_request, response) =>
        response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': encoding }).end(bomb),
      )
      expect(await failureOf(door().request(get(url, { maxBytes: 10_000_000 })))).toBe('wrong-type encoded')
    },
  )

  it('a length beyond the limit is believed', async () => {
    const { url } = await web((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': 10_000_000_000 })
      response.write('{')
    })
    expect(await failureOf(door().request(get(url)))).toBe('too-large length')
  })

  it('endless chunks end at the limit, and their connection with them', async () => {
    const gone = Promise.withResolvers<void>()
    const { url } = await web((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const pour = () => void (response.destroyed || response.write('x'.repeat(500), pour))
      response.on('close', gone.resolve)
      pour()
    })
    expect(await failureOf(door().request(get(url)))).toBe('too-large bytes')
    await gone.promise
  })

  it('a body shorter than announced is no answer', async () => {
    const port = await listen(
      createTcpServer((socket) =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{}'),
      ),
    )
    expect(await failureOf(door().request(get(`http://localhost:${port}`)))).toMatch(/^failed /)
  })

  it('something that is not HTTP is no answer', async () => {
    const port = await listen(createTcpServer((socket) => socket.end('220 smtp.forum.org ESMTP\r\n')))
    expect(await failureOf(door().request(get(`http://localhost:${port}`)))).toMatch(/^failed /)
  })

  it('outside 2xx the status counts, and a body of another type, packed or too long is left unread', async () => {
    const { url } = await web((request, response) => {
      if (request.url === '/html') return response.writeHead(404, { 'content-type': 'text/html' }).end('<p>')
      if (request.url === '/long')
        return response.writeHead(500, { 'content-type': 'application/json' }).end('x'.repeat(2_000))
      if (request.url === '/gzip')
        return response.writeHead(503, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end('x')
      return response.writeHead(400, { 'content-type': 'application/json' }).end('{}')
    })
    const outbound = door()
    const ask = async (path: string) => {
      const { status, body } = await outbound.request(get(url + path))
      return [status, body.length]
    }
    expect(await ask('/html')).toEqual([404, 0])
    expect(await ask('/long')).toEqual([500, 0])
    expect(await ask('/gzip')).toEqual([503, 0])
    expect(await ask('/')).toEqual([400, 2])
  })
})

describe('time', () => {
  it('runs out when nobody answers', async () => {
    const { url } = await web(() => {})
    expect(await failureOf(door().request(get(url, { timeoutMs: 100 })))).toBe('timeout time limit')
  })

  it('counts to the last byte: a server that drips is cut off', async () => {
    const gone = Promise.withResolvers<void>()
    const { url } = await web((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      const drip = setInterval(() => response.write('x'), 10)
      response.on('close', () => {
        clearInterval(drip)
        gone.resolve()
      })
    })
    expect(await failureOf(door().request(get(url, { timeoutMs: 200 })))).toBe('timeout time limit')
    await gone.promise
  })

  it('runs out while a handshake never ends, before a longer limit does and before anything is sent', async () => {
    let received = 0
    const silent = createTcpServer((socket) => socket.on('data', () => received++))
    const stalled = await web(() => {})
    const outbound = door()
    const ended: string[] = []
    // Long enough that the greeting has left by then, also on a machine that stands still for a while.
    const short = failureOf(outbound.request(get(`https://localhost:${await listen(silent)}`, { timeoutMs: 3_000 })))
    const long = failureOf(outbound.request(get(stalled.url, { timeoutMs: 6_000 })))
    await Promise.all([
      short.then((why) => ended.push(`short: ${why}`)),
      long.then((why) => ended.push(`long: ${why}`)),
    ])
    expect(ended).toEqual(['short: timeout time limit', 'long: timeout time limit'])
    // The greeting of TLS, and no request after it.
    expect(received).toBe(1)
  })

  it('a server that stalls many callers keeps nobody from another', async () => {
    const slow = await web(() => {})
    const quick = await web(json)
    const outbound = door()
    const stalled = Array.from({ length: 100 }, () => failureOf(outbound.request(get(slow.url, { timeoutMs: 400 }))))
    expect((await outbound.request(get(quick.url))).status).toBe(200)
    expect(new Set(await Promise.all(stalled))).toEqual(new Set(['timeout time limit']))
  })
})

describe('a target that may not be called', () => {
  it.each([
    'http://forum.org/',
    'https://127.0.0.1/',
    'https://169.254.169.254/',
    'https://metadata.google.internal/',
    'https://forum.org:8443/',
    'https://localhost/',
    'http://localhost:2583/',
    'https://reeve.forum.org/',
  ])('costs neither a lookup nor a connection: %s', async (url) => {
    let lookups = 0
    const lookup: HostLookup = async () => {
      lookups++
      return ['127.0.0.1']
    }
    const outbound = door({ allowLoopback: false, ownHosts: ['reeve.forum.org'], lookup })
    expect(await failureOf(outbound.request(get(url)))).toBe('refused url')
    expect([lookups, targets()]).toEqual([0, []])
  })

  it.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.254.169.254',
    '::1',
    '::127.0.0.1',
    '::ffff:127.0.0.1',
    'fd00:ec2::254',
    'nonsense',
  ])('a public name that points to %s opens no socket', async (address) => {
    const outbound = door({ lookup: async () => [address] })
    expect(await failureOf(outbound.request(get('https://forum.org/')))).toBe('refused address')
    expect(targets()).toEqual([])
  })

  it('one private address among public ones refuses them all', async () => {
    for (const addresses of [
      ['2d00::1', '10.0.0.1'],
      ['::1', '2d00::1'],
    ]) {
      const outbound = door({ lookup: async () => addresses })
      expect(await failureOf(outbound.request(get('https://forum.org/')))).toBe('refused address')
    }
    expect(targets()).toEqual([])
  })

  it('the address that was checked is the one that is dialled, though the name changes its mind', async () => {
    // 2d00::/12 belongs to nobody, so the packet that this sends arrives nowhere.
    const answers = [['2d00::1'], ['127.0.0.1']]
    let lookups = 0
    const outbound = door({ lookup: async () => answers[lookups++] ?? [] })
    expect(await failureOf(outbound.request(get('https://forum.org/', { timeoutMs: 4_000 })))).toMatch(
      /^(failed|timeout) /,
    )
    expect(targets()).toEqual(['2d00::1:443'])
    expect(lookups).toBe(1)
    expect(await failureOf(outbound.request(get('https://forum.org/')))).toBe('refused address')
    expect(targets()).toEqual(['2d00::1:443'])
  })

  it('a name with a hundred addresses is refused', async () => {
    const outbound = door({ lookup: async () => Array.from({ length: 100 }, (_, i) => `2d00::${i}`) })
    expect(await failureOf(outbound.request(get('https://forum.org/')))).toBe('refused addresses')
    expect(targets()).toEqual([])
  })

  it('says no address in its error, however it failed', async () => {
    const free = createTcpServer()
    free.listen(0, '127.0.0.1')
    await once(free, 'listening')
    const { port } = free.address() as AddressInfo
    await new Promise((resolve) => free.close(resolve))
    const calls = [
      () => door().request(get(`http://127.0.0.1:${port}/`)),
      () => door({ lookup: async () => ['10.11.12.13'] }).request(get('https://forum.org/')),
      () => door().request(get('https://10.11.12.13/')),
    ]
    for (const call of calls) {
      const error = await call().catch((thrown: unknown) => thrown)
      if (!(error instanceof OutboundFailure)) throw error
      expect(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`).not.toMatch(
        /127\.0\.0\.1|10\.11\.12\.13|forum\.org/,
      )
    }
  })
})

describe('names whose servers say nothing', () => {
  it('hold sixteen lookups at once and no more, and give up their places', async () => {
    let open = 0
    let most = 0
    const held = Promise.withResolvers<void>()
    const lookup: HostLookup = async () => {
      most = Math.max(most, ++open)
      await held.promise
      open--
      throw Object.assign(new Error('no answer'), { code: 'ETIMEOUT' })
    }
    const outbound = door({ lookup })
    const calls = Array.from({ length: 100 }, (_, i) => failureOf(outbound.request(get(`https://a${i}.forum.org/`))))
    await eventually('as many are looked up as may be', async () => open === 64)
    held.resolve()
    // On a machine that stood still meanwhile, those who were next have waited for their turn for too long.
    for (const failure of await Promise.all(calls)) expect(failure).toMatch(/^timeout (?:ETIMEOUT|lookup)$/)
    expect(most).toBe(64)
  })

  it('keep nobody from a configured origin', async () => {
    const { url } = await web(json)
    const outbound = door({ allowLoopback: false, trustedOrigins: [url], lookup: () => new Promise(() => {}) })
    const stuck = Array.from({ length: 300 }, (_, i) =>
      failureOf(outbound.request(get(`https://a${i}.forum.org/`, { timeoutMs: 300 }))),
    )
    expect((await outbound.request(get(url, { isOperators: true }))).status).toBe(200)
    expect(new Set(await Promise.all(stuck))).toEqual(new Set(['timeout time limit']))
  })
})

describe('a configured origin', () => {
  it('may be on this machine over plain http, where strangers may not', async () => {
    const { url } = await web(json)
    const other = await web(json)
    const outbound = door({ allowLoopback: false, trustedOrigins: [`${url}/`] })
    expect((await outbound.request(get(`${url}/a`, { isOperators: true }))).status).toBe(200)
    expect(await failureOf(outbound.request(get(`${other.url}/a`, { isOperators: true })))).toBe('refused url')
    expect(other.seen).toEqual([])
  })

  it('is a stranger like any other when a stranger may have named it', async () => {
    const { url, seen } = await web(json)
    const outbound = door({ allowLoopback: false, trustedOrigins: [url] })
    expect(await failureOf(outbound.request(get(`${url}/a`)))).toBe('refused url')
    expect(seen).toEqual([])
  })

  it('may not redirect, stall or swell either', async () => {
    const { url, seen } = await web((request, response) => {
      if (request.url === '/redirect') response.writeHead(302, { location: '/' }).end()
      if (request.url === '/big') response.setHeader('content-type', 'application/json').end('x'.repeat(1_001))
    })
    const outbound = door({ allowLoopback: false, trustedOrigins: [url] })
    expect(await failureOf(outbound.request(get(`${url}/redirect`, { isOperators: true })))).toBe('failed redirect')
    expect(await failureOf(outbound.request(get(`${url}/big`, { isOperators: true })))).toBe('too-large length')
    expect(await failureOf(outbound.request(get(`${url}/stall`, { timeoutMs: 100, isOperators: true })))).toBe(
      'timeout time limit',
    )
    expect(seen).toHaveLength(3)
  })
})

describe('a closed door', () => {
  it('ends the request under way, takes no other, and waits for nobody who never answers', async () => {
    const arrived = Promise.withResolvers<void>()
    const { url } = await web(() => arrived.resolve())
    const outbound = door()
    const under = failureOf(outbound.request(get(url, { timeoutMs: 3_600_000 })))
    await arrived.promise
    const closed = outbound.close()
    expect(await failureOf(outbound.request(get(url)))).toBe('failed closed')
    expect(await under).toBe('timeout time limit')
    await closed
  })
})

describe('a certificate', () => {
  const good = certificateFor('localhost', { from: '20', to: '49' })
  const expired = certificateFor('localhost', { from: '20', to: '21' })
  const otherName = certificateFor('forum.org', { from: '20', to: '49' })
  const stranger = certificateFor('localhost', { from: '20', to: '49' })
  const before = getCACertificates('default')
  beforeAll(() => setDefaultCACertificates([good.cert, expired.cert, otherName.cert]))
  afterAll(() => setDefaultCACertificates(before))

  const over = async (identity: { key: string | Buffer; cert: string }) =>
    get(`https://localhost:${await listen(createTlsServer(identity, json))}`)

  it('that is good is enough', async () => {
    expect((await door().request(await over(good))).status).toBe(200)
  })
  it('that has expired is refused', async () => {
    expect(await failureOf(door().request(await over(expired)))).toBe('failed CERT_HAS_EXPIRED')
  })
  it('for another name is refused', async () => {
    expect(await failureOf(door().request(await over(otherName)))).toBe('failed ERR_TLS_CERT_ALTNAME_INVALID')
  })
  it('that nobody vouches for is refused, even where the environment says to take it', async () => {
    const name = 'NODE_TLS_REJECT_UNAUTHORIZED'
    process.env[name] = '0'
    try {
      expect(await failureOf(door().request(await over(stranger)))).toBe('failed DEPTH_ZERO_SELF_SIGNED_CERT')
    } finally {
      delete process.env[name]
    }
  })
})

/** A name server on loopback that answers A and AAAA questions as it is told: addresses, an error code, or silence. */
async function nameServer(answer: (host: string) => { ipv4?: string[]; ipv6?: string[]; rcode?: number } | null) {
  const socket = createSocket('udp4')
  socket.on('message', (query, from) => {
    const labels: string[] = []
    let at = 12
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString())
      at += 1 + length
    }
    const question = query.subarray(12, at + 5)
    const isIpv4 = query.readUInt16BE(at + 1) === 1
    const told = answer(labels.join('.'))
    if (!told) return
    const addresses = (isIpv4 ? told.ipv4 : told.ipv6) ?? []
    const records = addresses.map((address) => {
      const data = isIpv4
        ? Buffer.from(address.split('.').map(Number))
        : Buffer.from(
            address
              .split(':')
              .map((part) => part.padStart(4, '0'))
              .join(''),
            'hex',
          )
      // A pointer to the question's name, the type, class IN, 60 s, the length.
      return Buffer.concat([Buffer.from([0xc0, 12, 0, isIpv4 ? 1 : 28, 0, 1, 0, 0, 0, 60, 0, data.length]), data])
    })
    const header = Buffer.from([0, 0, 0x81, 0x80 | (told.rcode ?? 0), 0, 1, 0, records.length, 0, 0, 0, 0])
    query.copy(header, 0, 0, 2)
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  closers.push(() => new Promise<void>((resolve) => socket.close(() => resolve())))
  return openHostLookup([`127.0.0.1:${socket.address().port}`])
}

describe('a lookup by a real resolver', () => {
  it('finds the addresses of both families', async () => {
    const lookup = await nameServer(() => ({ ipv4: ['1.2.3.4', '10.0.0.1'], ipv6: ['2d00:0:0:0:0:0:0:1'] }))
    expect([...(await lookup('forum.org'))].sort()).toEqual(['1.2.3.4', '10.0.0.1', '2d00::1'])
  })

  it('is content with one family', async () => {
    const lookup = await nameServer(() => ({ ipv4: ['1.2.3.4'] }))
    expect(await lookup('forum.org')).toEqual(['1.2.3.4'])
  })

  it('refuses through the door what a real name server says about a private place', async () => {
    const lookup = await nameServer(() => ({ ipv4: ['1.2.3.4'], ipv6: ['0:0:0:0:0:0:7f00:1'] }))
    expect(await failureOf(door({ lookup }).request(get('https://forum.org/')))).toBe('refused address')
    expect(targets()).toEqual([])
  })

  it.each([
    ['SERVFAIL', 2, 'failed ESERVFAIL'],
    ['no such name', 3, 'failed ENOTFOUND'],
    ['no address', 0, 'failed ENODATA'],
  ])('fails on %s', async (_what, rcode, failure) => {
    const lookup = await nameServer(() => ({ rcode }))
    expect(await failureOf(door({ lookup }).request(get('https://forum.org/')))).toBe(failure)
  })

  it('gives up on a silent name server while other names are found', async () => {
    const lookup = await nameServer((host) => (host.startsWith('silent') ? null : { ipv4: ['1.2.3.4'] }))
    const silent = lookup('silent.forum.org').catch((error: { code?: string }) => error.code)
    expect(await lookup('forum.org')).toEqual(['1.2.3.4'])
    expect(['ETIMEOUT', 'ECANCELLED']).toContain(await silent)
  })
})
