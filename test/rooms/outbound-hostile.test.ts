/**
 * Names that lie and servers that mean harm, met by the door out of the house and by a whole house at the exchange: no connection to
 * a place that isn't public, no more memory than was allowed, nobody else kept waiting.
 */
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Did, parseDid } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openHostLookup } from '../../src/platform/host-lookup.ts'
import { didKeyOf } from '../../src/platform/multikey.ts'
import { type OutboundAsk, OutboundFailure, openOutbound } from '../../src/platform/outbound.ts'
import { openTestDatabase } from '../kit/databases.ts'
import { besides, type DialRecorder, recordDials } from '../kit/dialled.ts'
import { exchange, issuances, letIn, openScene, type Scene } from '../kit/exchange.ts'
import { heldBytes, LEFT_MAX_BYTES } from '../kit/held-bytes.ts'
import { type NameServer, startNameServer, type Told } from '../kit/name-server.ts'
import { verdictOf } from '../kit/refusals.ts'
import { freshJti, makeKey, type TestKey } from '../kit/tokens.ts'

let dials: DialRecorder
beforeAll(() => {
  dials = recordDials()
})
beforeEach(() => dials.forget())
afterAll(() => dials.stop())

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

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

describe('a name at a hostile name server', () => {
  /** A door whose every question goes to that server, and the server. */
  async function doorBy(answer: (host: string, nth: number) => Told | null) {
    const server: NameServer = await startNameServer(answer)
    const lookup = openHostLookup([server.address])
    const door = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock, lookup })
    closers.push(
      () => server.close(),
      () => door.close(),
    )
    return { door, server }
  }
  const get = (host: string, timeoutMs = 20_000): OutboundAsk => ({
    ...{ method: 'GET', url: `https://${host}/`, maxBytes: 1_000, timeoutMs, contentTypes: null },
  })
  async function failureOf(call: Promise<unknown>): Promise<string> {
    const error = await call.then(
      (value) => new Error(`it answered ${JSON.stringify(value)}`),
      (thrown: unknown) => thrown,
    )
    if (!(error instanceof OutboundFailure)) throw error
    return `${error.kind} ${error.because}`
  }
  // 2d00::/12 belongs to nobody: what is sent there arrives nowhere.
  const NOBODYS = '2d00:0:0:0:0:0:0:1'
  const LOOPBACK = '0:0:0:0:0:0:0:1'

  it.each([
    ['127.0.0.1', { ipv4: ['127.0.0.1'] }],
    ['10.0.0.1', { ipv4: ['10.0.0.1'] }],
    ['the metadata service of a cloud', { ipv4: ['169.254.169.254'] }],
    ['0.0.0.0', { ipv4: ['0.0.0.0'] }],
    ['a carrier’s own network', { ipv4: ['100.64.0.1'] }],
    ['::1', { ipv6: [LOOPBACK] }],
    ['::127.0.0.1, which some checks let pass', { ipv6: ['0:0:0:0:0:0:7f00:1'] }],
    ['a mapped address', { ipv6: ['0:0:0:0:0:ffff:7f00:1'] }],
    ['NAT64 of this machine', { ipv6: ['64:ff9b:0:0:0:0:7f00:1'] }],
    ['6to4 of this machine', { ipv6: ['2002:7f00:1:0:0:0:0:0'] }],
    ['a private network', { ipv6: ['fd00:ec2:0:0:0:0:0:254'] }],
    ['a public address and a private one', { ipv4: ['1.2.3.4', '192.168.0.1'] }],
    ['a public address in one family and a private one in the other', { ipv4: ['1.2.3.4'], ipv6: [LOOPBACK] }],
  ] as const)('that points to %s opens no connection', async (_says, told) => {
    const { door, server } = await doorBy(() => told)
    expect(await failureOf(door.request(get('forum.org')))).toBe('refused address')
    expect(dials.targets()).toEqual([])
    expect([...server.asked].sort()).toEqual(['A forum.org', 'AAAA forum.org'])
  })

  it('that is public when it is checked and private a moment later is dialled where it was checked', async () => {
    const { door, server } = await doorBy((_host, nth) => (nth % 2 ? { ipv6: [LOOPBACK] } : { ipv6: [NOBODYS] }))
    const verdicts: string[] = []
    for (let time = 0; time < 4; time++) verdicts.push(await failureOf(door.request(get('forum.org', 4_000))))
    for (const [at, verdict] of verdicts.entries()) {
      if (at % 2) expect(verdict).toBe('refused address')
      else expect(verdict).toMatch(/^(?:timeout|failed) /)
    }
    // Each request asked once, and went to what it was told then.
    expect(server.asked).toHaveLength(8)
    expect(dials.targets()).toEqual(['2d00::1:443', '2d00::1:443'])
  })

  it('that says something else to each of a crowd never leads anybody inside', async () => {
    const { door } = await doorBy((_host, nth) => (nth % 3 ? { ipv4: ['127.0.0.1'] } : { ipv6: [NOBODYS] }))
    await Promise.all(Array.from({ length: 30 }, () => failureOf(door.request(get('forum.org', 500)))))
    expect(dials.targets().filter((target) => target !== '2d00::1:443')).toEqual([])
  })

  it.each([33, 100])('with %i addresses is refused', async (count) => {
    const ipv4 = Array.from({ length: count }, (_none, at) => `1.2.3.${at}`)
    const { door } = await doorBy(() => ({ ipv4 }))
    expect(await failureOf(door.request(get('forum.org')))).toBe('refused addresses')
    expect(dials.targets()).toEqual([])
  })

  it.each([
    ['points to itself', () => ({ cname: 'forum.org' })],
    ['points to another that points back', (host: string) => ({ cname: host === 'a.org' ? 'b.org' : 'a.org' })],
    ['points to this machine by another name', () => ({ cname: 'localhost' })],
  ] as const)('that %s has no address, and is not followed for ever', async (_says, answer) => {
    const { door, server } = await doorBy(answer)
    expect(await failureOf(door.request(get('a.org')))).toMatch(/^failed /)
    expect(dials.targets()).toEqual([])
    expect(server.asked.length).toBeLessThanOrEqual(4)
  })

  it.each([
    ['SERVFAIL', 2],
    ['no such name', 3],
    ['refused', 5],
  ])('that is answered with %s fails', async (_says, rcode) => {
    const { door } = await doorBy(() => ({ rcode }))
    expect(await failureOf(door.request(get('forum.org')))).toMatch(/^failed E/)
    expect(dials.targets()).toEqual([])
  })

  it('that is answered after ten seconds, or never, is given up long before its caller’s own limit', async () => {
    const { door } = await doorBy((host) => (host.startsWith('late') ? { ipv4: ['1.2.3.4'], delayMs: 10_000 } : null))
    const limitMs = 60_000
    const verdicts = await Promise.all(
      ['late.forum.org', 'never.forum.org'].map((host) => failureOf(door.request(get(host, limitMs)))),
    )
    for (const verdict of verdicts) expect(verdict).toMatch(/^timeout (?:ETIMEOUT|ECANCELLED)$/)
  })

  it('that says nothing holds up no other name, and leaves nothing behind', async () => {
    const { door } = await doorBy((host) => (host.startsWith('silent') ? null : { ipv4: ['127.0.0.1'] }))
    const before = await heldBytes()
    const silent = Array.from({ length: 10 }, (_none, at) => failureOf(door.request(get(`silent${at}.org`))))
    // One that is answered is told its no while the others still wait.
    const first = await Promise.race([failureOf(door.request(get('forum.org'))), ...silent])
    expect(first).toBe('refused address')
    await Promise.all(silent)
    expect((await heldBytes()) - before).toBeLessThan(LEFT_MAX_BYTES)
    expect(dials.targets()).toEqual([])
  })
})

describe('the server of a user’s DID', () => {
  let scene: Scene
  beforeAll(async () => {
    scene = await openScene(await openTestDatabase('embedded'))
  })
  afterAll(() => scene.close())

  const JSON_TYPE = { 'content-type': 'application/json' }
  const MB = 1024 * 1024
  /** A document of a hundred megabytes in a few kilobytes. */
  const whole = Buffer.alloc(100 * MB, ' ')
  const brotli = brotliCompressSync(whole, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })
  const gzip = gzipSync(whole)
  const packed =
    (encoding: string, bytes: Buffer): RequestListener =>
    (_request, response) =>
      response.writeHead(200, { ...JSON_TYPE, 'content-encoding': encoding }).end(bytes)
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

  type Hostile = Server | RequestListener
  const ROWS: readonly (readonly [says: string, server: () => Hostile, verdict: string])[] = [
    [
      'says ten gigabytes',
      () => (_request, response) => {
        response.writeHead(200, { ...JSON_TYPE, 'content-length': 10_000_000_000 })
        response.write('{')
      },
      '401 BadJwtIss',
    ],
    ['sends pieces without end', () => pouring, '401 BadJwtIss'],
    ['sends a bomb packed by gzip', () => packed('gzip', gzip), '401 BadJwtIss'],
    ['sends a bomb packed by brotli', () => packed('br', brotli), '401 BadJwtIss'],
    [
      'sends 65 KB',
      () => (_request, response) => response.writeHead(200, JSON_TYPE).end(' '.repeat(65 * 1024 + 1)),
      '401 BadJwtIss',
    ],
    [
      'sends a page',
      () => (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<p>'),
      '401 BadJwtIss',
    ],
    ['sends bytes without a type', () => (_request, response) => response.writeHead(200).end('{}'), '401 BadJwtIss'],
    [
      'sends JSON nested ten thousand deep',
      () => (_request, response) => response.writeHead(200, JSON_TYPE).end('['.repeat(10_000)),
      '401 BadJwtIss',
    ],
    [
      'sends the document of somebody else',
      () => (_request, response) => response.writeHead(200, JSON_TYPE).end(JSON.stringify({ id: scene.bob.did })),
      '401 BadJwtIss',
    ],
    [
      'redirects to a private place',
      () => (_request, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
      '502 UpstreamFailure',
    ],
    [
      'redirects to itself',
      () => (request, response) => response.writeHead(307, { location: request.url ?? '' }).end(),
      '502 UpstreamFailure',
    ],
    [
      'redirects to a host without a scheme',
      () => (_request, response) => response.writeHead(301, { location: '//10.0.0.1/' }).end(),
      '502 UpstreamFailure',
    ],
    ['fails', () => (_request, response) => response.writeHead(500).end(), '502 UpstreamFailure'],
    ['cuts the line', () => (_request, response) => response.destroy(), '502 UpstreamFailure'],
    [
      'speaks another protocol',
      () => createTcpServer((socket) => socket.end('220 smtp.forum.org ESMTP\r\n')),
      '502 UpstreamFailure',
    ],
    [
      'sends headers without end',
      () =>
        createTcpServer((socket) => {
          socket.write('HTTP/1.1 200 OK\r\n')
          const pour = () => {
            while (!socket.destroyed && socket.write(`x: ${'y'.repeat(4_096)}\r\n`));
          }
          socket.on('drain', pour)
          pour()
        }),
      '502 UpstreamFailure',
    ],
    ['says nothing', () => createTcpServer(() => {}), '504 UpstreamTimeout'],
    [
      'drips a byte at a time',
      () => (_request, response) => {
        response.writeHead(200, JSON_TYPE)
        const drip = setInterval(() => response.write(' '), 50)
        response.on('close', () => clearInterval(drip))
      },
      '504 UpstreamTimeout',
    ],
    [
      'drips its headers',
      () =>
        createTcpServer((socket) => {
          socket.write('HTTP/1.1 200 OK\r\nx: ')
          const drip = setInterval(() => socket.write('y'), 50)
          socket.on('close', () => clearInterval(drip))
        }),
      '504 UpstreamTimeout',
    ],
  ]

  /** A port on which that server waits, as a DID. Requests that came there are counted. */
  async function hostileDid(hostile: Hostile): Promise<{ did: Did; port: number; count: () => number }> {
    let requests = 0
    const server = typeof hostile === 'function' ? createServer(hostile) : hostile
    server.on('request', () => requests++)
    const port = await listen(server)
    const did = parseDid(`did:web:localhost%3A${port}`)
    if (!did) throw new Error('no DID')
    return { did, port, count: () => requests }
  }

  it.each(ROWS)('that %s: the caller is told %3$s, and is the only one who notices', async (_says, make, verdict) => {
    const { did, port, count } = await hostileDid(make())
    await letIn(scene.alice, scene.forum, did)
    const ports = [port, Number(new URL(scene.world.url).port), Number(new URL(scene.plc.url).port)]
    const person = { did, key: makeKey('k256') }
    const jti = freshJti()
    const issued = (await issuances(scene.world.database)).length
    const before = await heldBytes()
    dials.forget()

    const attack = Promise.all(Array.from({ length: 5 }, () => exchange(scene, { person, jti })))
    // Others are served meanwhile.
    expect(verdictOf(await exchange(scene))).toBe('in')
    for (const answer of await attack) {
      expect(verdictOf(answer)).toBe(verdict)
      expect(JSON.stringify(answer.body)).not.toMatch(/localhost|169\.254|127\.0|10\.0\.0/)
    }
    expect(count()).toBeLessThanOrEqual(1)
    expect(besides(dials.targets(), ...ports)).toEqual([])
    expect(dials.lookups()).toBe(0)
    expect((await issuances(scene.world.database)).length - issued).toBe(1)
    expect((await heldBytes()) - before).toBeLessThan(LEFT_MAX_BYTES)
  })

  /** An x beyond the field of the curve: no key begins like this. */
  const NO_POINT = didKeyOf('k256', Uint8Array.of(2, ...new Uint8Array(32).fill(255))).slice('did:key:'.length)
  const multibase = (key: TestKey) => key.didKey.slice('did:key:'.length)
  const good = (did: Did, key: TestKey) => ({
    ...{ id: '#atproto', type: 'Multikey', controller: did as string, publicKeyMultibase: multibase(key) },
  })
  const DOCUMENTS: readonly (readonly [string, (did: Did, key: TestKey) => object])[] = [
    ['has another id', (did, key) => ({ id: scene.bob.did, verificationMethod: [good(did, key)] })],
    ['has its id in another spelling', (did, key) => ({ id: `${did}#`, verificationMethod: [good(did, key)] })],
    [
      'has 51 keys',
      (did, key) => ({
        id: did,
        verificationMethod: [good(did, key), ...Array.from({ length: 50 }, (_none, at) => ({ id: `#k${at}` }))],
      }),
    ],
    [
      'has two keys of that name',
      (did, key) => ({
        id: did,
        verificationMethod: [good(did, key), good(did, makeKey('k256'))],
      }),
    ],
    [
      'has a key of an unknown type',
      (did, key) => ({
        id: did,
        verificationMethod: [{ ...good(did, key), type: 'JsonWebKey2020' }],
      }),
    ],
    [
      'has a key that is no point',
      (did, key) => ({
        id: did,
        verificationMethod: [{ ...good(did, key), publicKeyMultibase: NO_POINT }],
      }),
    ],
    [
      'has a key that somebody else controls',
      (did, key) => ({
        id: did,
        verificationMethod: [{ ...good(did, key), controller: scene.bob.did }],
      }),
    ],
    [
      'has the key under another name',
      (did, key) => ({
        id: did,
        verificationMethod: [{ ...good(did, key), id: '#atproto_space' }],
      }),
    ],
    ['has keys that are no list', (did, key) => ({ id: did, verificationMethod: { 0: good(did, key) } })],
    ['is a list', (did, key) => [{ id: did, verificationMethod: [good(did, key)] }]],
  ]

  it.each(DOCUMENTS)('whose document %s gives nobody a key, until it is mended', async (_says, document) => {
    const key = makeKey('k256')
    let isBad = true
    const { did } = await hostileDid((_request, response) => {
      const whole = { id: did, verificationMethod: [good(did, key)] }
      response.writeHead(200, JSON_TYPE).end(JSON.stringify(isBad ? document(did, key) : whole))
    })
    await letIn(scene.alice, scene.forum, did)
    const jti = freshJti()
    expect(verdictOf(await exchange(scene, { person: { did, key }, jti }))).toBe('401 BadJwtIss')
    isBad = false
    // A document that was read is believed for five minutes, whatever is wrong with a key in it.
    scene.world.clock.moveSec(301)
    expect(verdictOf(await exchange(scene, { person: { did, key }, jti }))).toBe('in')
  })

  it('that says a thing twice in its document gives nobody a key', async () => {
    const key = makeKey('k256')
    const { did } = await hostileDid((_request, response) => {
      const whole = JSON.stringify({ id: did, verificationMethod: [good(did, key)] })
      response.writeHead(200, JSON_TYPE).end(whole.replace('{', `{"id":"${scene.bob.did}",`))
    })
    await letIn(scene.alice, scene.forum, did)
    expect(verdictOf(await exchange(scene, { person: { did, key } }))).toBe('401 BadJwtIss')
  })

  it('that is our own house is not called: nobody makes us ask ourselves', async () => {
    const { serviceDid, port } = scene.world.config
    const did = parseDid(serviceDid)
    if (!did) throw new Error('no DID')
    await letIn(scene.alice, scene.forum, did)
    dials.forget()
    const person = { did, key: makeKey('k256') }
    expect(verdictOf(await exchange(scene, { person }))).toBe('502 UpstreamFailure')
    // The one connection is the one that asked.
    expect(dials.targets().filter((target) => target.endsWith(`:${port}`))).toHaveLength(1)
  })

  it('that never ends its TLS is left, and sent nothing after its greeting', async () => {
    let received = 0
    const port = await listen(createTcpServer((socket) => socket.on('data', () => received++)))
    const door = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock })
    closers.push(() => door.close())
    // Until the greeting was sent before the time was over, which on a slow machine may need more of it.
    for (let timeoutMs = 300; received === 0; timeoutMs *= 2) {
      const call = door.request({
        ...{ method: 'GET', url: `https://localhost:${port}/`, maxBytes: 1_000, timeoutMs, contentTypes: null },
      })
      await expect(call).rejects.toMatchObject({ kind: 'timeout' })
    }
    expect(received).toBe(1)
  })

  it('that recovers is asked again: its user’s token was not used up', async () => {
    const key = makeKey('k256')
    let isBroken = true
    const { did } = await hostileDid((_request, response) => {
      if (isBroken) return void response.destroy()
      response.writeHead(200, JSON_TYPE).end(JSON.stringify({ id: did, verificationMethod: [good(did, key)] }))
    })
    await letIn(scene.alice, scene.forum, did)
    const jti = freshJti()
    expect(verdictOf(await exchange(scene, { person: { did, key }, jti }))).toBe('502 UpstreamFailure')
    isBroken = false
    scene.world.clock.moveSec(6)
    expect(verdictOf(await exchange(scene, { person: { did, key }, jti }))).toBe('in')
  })
})
