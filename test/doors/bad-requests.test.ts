/**
 * Bad requests, one row each: what is sent, what is answered, and that nothing came of it: no credential, no token used up, nobody
 * asked elsewhere, nothing written.
 */
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DOORS } from '../../src/doors/xrpc.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { type Held, presentationOf } from '../kit/presentation.ts'
import { makeDelegation, makeDpopProof, makeKey, makeServiceJwt } from '../kit/tokens.ts'
import { openWire, statusOf } from '../kit/wire.ts'
import { type Answer, EXCHANGE_PATH, exchangeRequest, type Person, type RawRequest, spaceOf } from '../kit/world.ts'
import { writeOf } from '../kit/writers.ts'
import { type Doomed, goodInputs, type Lobby, makeDoomed, openLobby } from './good-inputs.ts'
import { countIssued, holdings, openStage, type Stage } from './stage.ts'

let plc: FakePlc
let stage: Stage
beforeAll(async () => {
  plc = await startFakePlc()
  stage = await openStage({ plcUrl: plc.url })
  doomed = await makeDoomed(stage)
  lobby = await openLobby(stage)
  held = await heldBy(stage.eve, stage.elsewhereForum)
})
afterAll(async () => {
  await stage.close()
  await plc.close()
})

type HeaderLine = readonly [string, string]
const verdictOf = ({ status, body }: Answer): string => (status === 200 ? 'in' : `${status} ${body.error}`)

const PUT = '/xrpc/community.reeve.member.put'
const CREATE = '/xrpc/community.reeve.space.create'

/** Service auth by `person` for the method at `path`. */
function authorization(path: string, person: Person = stage.alice): HeaderLine {
  const lxm = path.replace('/xrpc/', '').replace(/\?.*/, '')
  const aud = `${stage.world.config.serviceDid}#reeve`
  const nowSec = stage.world.clock.nowSec()
  return ['authorization', `Bearer ${makeServiceJwt({ key: person.key, iss: person.did, aud, lxm, nowSec })}`]
}

const JSON_TYPE: HeaderLine = ['content-type', 'application/json']

/** A procedure called by alice with exactly this body. */
const post = (path: string, body: string | Uint8Array, type: HeaderLine = JSON_TYPE): RawRequest => ({
  method: 'POST',
  path,
  headers: [authorization(path), type],
  body,
})

const get = (path: string): RawRequest => ({ path, headers: [authorization(path)] })

/** Sends what must be refused, and looks at what must not have moved. */
async function refused(raw: RawRequest, expected: string): Promise<Answer> {
  const before = await holdings(stage.world.database.db)
  const answer = await stage.world.send(raw)
  expect(verdictOf(answer)).toBe(expected)
  expect(await holdings(stage.world.database.db)).toEqual(before)
  return answer
}

describe('at the exchange', () => {
  type Spoil = (good: RawRequest, lines: Record<string, string>) => Promise<RawRequest> | RawRequest
  const withHeaders = (good: RawRequest, headers: readonly HeaderLine[]): RawRequest => ({ ...good, headers })
  const without = (good: RawRequest, ...names: string[]) =>
    (good.headers ?? []).filter(([name]) => !names.includes(name))

  const ROWS: readonly (readonly [number, string, 'october' | 'august', Spoil, string])[] = [
    [
      1,
      'no Authorization line',
      'october',
      (good) => withHeaders(good, without(good, 'authorization')),
      '401 MissingJwt',
    ],
    [
      2,
      'Bearer with nothing after it',
      'october',
      (good) => withHeaders(good, [...without(good, 'authorization'), ['authorization', 'Bearer ']]),
      '400 InvalidToken',
    ],
    [
      3,
      'two Authorization lines, with a DPoP proof',
      'august',
      (good, { authorization: line = '' }) => withHeaders(good, [...(good.headers ?? []), ['authorization', line]]),
      '400 InvalidToken',
    ],
    [
      3,
      'two Authorization lines, with an HTTP signature',
      'october',
      (good, { authorization: line = '' }) => withHeaders(good, [...(good.headers ?? []), ['authorization', line]]),
      '401 BadSpaceSignature',
    ],
    [
      4,
      'the scheme Basic',
      'october',
      (good) => withHeaders(good, [...without(good, 'authorization'), ['authorization', 'Basic YTpi']]),
      '400 InvalidToken',
    ],
    [
      4,
      'the scheme DPoP',
      'august',
      (good, { authorization: line = '' }) =>
        withHeaders(good, [...without(good, 'authorization'), ['authorization', line.replace('Bearer', 'DPoP')]]),
      '401 MissingJwt',
    ],
    [
      5,
      'a token of 8193 characters',
      'october',
      (good, { authorization: line = '' }) =>
        withHeaders(good, [...without(good, 'authorization'), ['authorization', line.padEnd(7 + 8_193, 'A')]]),
      '401 BadJwt',
    ],
    [7, 'no body', 'october', (good) => ({ ...good, body: '' }), '400 InvalidRequest'],
    [
      11,
      'half a character in the body',
      'october',
      (good) => ({ ...good, body: Buffer.from([0x7b, 0xff, 0x7d]) }),
      '400 InvalidRequest',
    ],
    [
      12,
      'another media type',
      'october',
      (good) => withHeaders(good, [...without(good, 'content-type'), ['content-type', 'text/plain']]),
      '400 InvalidRequest',
    ],
    [
      18,
      'a Host line and a proof for somebody else',
      'august',
      (good) => {
        const proof = makeDpopProof({
          ...{ key: makeKey('p256'), method: 'POST', url: `http://evil.example${EXCHANGE_PATH}` },
          nowSec: stage.world.clock.nowSec(),
        })
        return withHeaders(good, [...without(good, 'dpop'), ['host', 'evil.example'], ['dpop', proof]])
      },
      '401 BadDpopProof',
    ],
    [
      19,
      'an absolute target elsewhere',
      'august',
      (good) => ({ ...good, path: `http://evil.example${EXCHANGE_PATH}` }),
      '404 XRPCNotSupported',
    ],
    [
      20,
      'an escaped letter in the path',
      'october',
      (good) => ({ ...good, path: good.path.replace('com', '%63om') }),
      '404 XRPCNotSupported',
    ],
    [21, 'another verb', 'october', (good) => ({ ...good, method: 'PUT' }), '400 InvalidRequest'],
  ]

  it.each(ROWS)('%i: refuses %s (%s), and the token is still good', async (_row, _name, binding, spoil, expected) => {
    const { world, forum, community } = stage
    const person = await world.person()
    await stage.alice.call('community.reeve.member.put', { space: forum, did: person.did, role: 'member' })
    const nowSec = world.clock.nowSec()
    const token = makeDelegation({ key: person.key, iss: person.did, space: spaceOf(forum), nowSec })
    const request = () => exchangeRequest(world, { ...person, space: forum, binding, token })
    const good = request()
    const issued = await countIssued(world.database.db)
    plc.forget()

    const answer = await refused(await spoil(good, Object.fromEntries(good.headers ?? [])), expected)
    expect(JSON.stringify(answer)).not.toContain(token.slice(0, 24))
    expect(JSON.stringify(answer)).not.toContain('evil.example')
    // Workers may be reading the documents of services meanwhile; of this person nobody knows anything before a token is believed.
    expect(plc.count('document', person.did), 'nobody else was asked').toBe(0)
    expect(await countIssued(world.database.db)).toBe(issued)

    expect(verdictOf(await world.send(request()))).toBe('in')
    expect(plc.count('document', person.did) + plc.count('document', community)).toBeGreaterThan(0)
  })

  it('18: goes by its public address whatever the Host line says', async () => {
    const good = exchangeRequest(stage.world, { ...stage.bob, space: stage.forum, binding: 'august' })
    const answer = await stage.world.send({ ...good, headers: [['host', 'evil.example'], ...(good.headers ?? [])] })
    expect(verdictOf(answer)).toBe('in')
  })
})

const procedures = DOORS.filter((door) => door.method.type === 'procedure')
/** What a credential is shown for, is tried with credentials, and what a PDS asks, with its own tokens. */
const queries = DOORS.filter(
  ({ method, knock }) => method.type === 'query' && !['credential', 'authority'].includes(knock),
)

let doomed: Doomed = {
  ...{ spaces: [], proposals: [], accounts: [], kept: [], looked: [], keys: null, keepers: [], files: [] },
  ceremonies: {},
}
let lobby: Lobby
const GOOD = goodInputs(
  () => stage,
  () => doomed,
  () => lobby,
)
/** A body that passes the lexicon at a procedure, so that only what a row does to it can be refused. */
const bodyOf = (nsid: string): Record<string, unknown> => GOOD[nsid]?.() ?? {}

/** A credential, and the key that it is bound to. Its proof may be sent as often as one likes. */
async function heldBy(person: Person, space: string): Promise<Held> {
  const about = { binding: 'october', holder: makeKey('p256'), space } as const
  const answer = await stage.world.send(exchangeRequest(stage.world, { ...person, ...about }))
  return { ...about, credential: String(answer.body.credential) }
}
let held: Held

describe.each(procedures.map((door) => [door.method.nsid, door.bodyMaxBytes, door.knock] as const))(
  'a body for %s',
  (nsid, maxBytes, how) => {
    const path = `/xrpc/${nsid}`
    const send = (body: string | Uint8Array, more: readonly HeaderLine[] = [], type = JSON_TYPE): RawRequest => {
      if (how === 'serviceAuth') return { ...post(path, body, type), headers: [authorization(path), type, ...more] }
      const good =
        how === 'credential'
          ? presentationOf(stage.world, held, { procedure: { nsid, body: '' } })
          : how === 'announcement'
            ? writeOf(stage.world, { writer: stage.bob, space: stage.forum })
            : exchangeRequest(stage.world, { ...stage.bob, space: stage.forum, binding: 'october' })
      const headers = [...(good.headers ?? []).filter(([name]) => name !== 'content-type'), type, ...more]
      return { ...good, headers, body }
    }
    const good = () => JSON.stringify(bodyOf(nsid))

    it('6: may have its size to the byte, and not one more', async () => {
      await refused(send(good().padEnd(maxBytes + 1)), '413 PayloadTooLarge')
      expect(verdictOf(await stage.world.send(send(good().padEnd(maxBytes))))).toBe('in')
    })

    it('6: is counted when its size isn’t announced', async () => {
      const before = await holdings(stage.world.database.db)
      const raw = send('')
      const wire = await openWire(stage.world.url)
      const lines = (raw.headers ?? []).map(([name, value]) => `${name}: ${value}\r\n`).join('')
      wire.write(`POST ${path} HTTP/1.1\r\nhost: localhost\r\n${lines}transfer-encoding: chunked\r\n\r\n`)
      const chunk = `1000\r\n${'{'.padEnd(0x1000)}\r\n`
      // More than may be, but of megabytes not eight times as many: what is too much is let go by for a moment only.
      const toSend = Math.min(8 * maxBytes, maxBytes + 0x40000)
      for (let sent = 0; sent <= toSend; sent += 0x1000) wire.write(chunk)
      const text = await wire.until(/PayloadTooLarge/)
      expect(statusOf(text)).toBe(413)
      wire.write('0\r\n\r\nGET /xrpc/_health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
      expect(await wire.closed()).toContain('"version"')
      expect(await holdings(stage.world.database.db)).toEqual(before)
    })

    it.each([
      [7, 'no JSON', 'name=x'],
      [7, 'nothing', ''],
      [7, 'null', 'null'],
      [7, 'a list', '[]'],
      [7, 'a text', '"x"'],
      [7, 'two values', '{}{}'],
      [7, 'a byte order mark', '\ufeff{}'],
      [8, 'objects 33 deep', `${'{"a":'.repeat(33)}1${'}'.repeat(33)}`],
      [8, 'lists ten thousand deep, cut to what fits', '{"a":'.padEnd(10_000, '[')],
      [10, '__proto__', '{"__proto__":{"role":"owner"}}'],
      [10, '__proto__ in escapes', '{"\\u005f_proto__":{"role":"owner"}}'],
      [11, 'a lone surrogate', '{"space":"\\ud800"}'],
      [23, 'a control character', '{"space":"a\\u0000b"}'],
      [23, 'a mark that turns text around', '{"space":"a\\u202eb"}'],
    ])('%i: is not %s', async (_row, _name, body) => {
      await refused(send(body), '400 InvalidRequest')
    })

    it('7: doesn’t say a thing twice', async () => {
      const [first = ''] = Object.keys(bodyOf(nsid))
      await refused(send(good().replace('{', `{"${first}":"x",`)), '400 InvalidRequest')
    })

    it('8: nested ten thousand deep is refused, and the next caller is served', async () => {
      await refused(send(`${'['.repeat(5_000)}${']'.repeat(5_000)}`), '400 InvalidRequest')
      expect((await stage.world.send({ path: '/xrpc/_health' })).status).toBe(200)
    })

    it('11: is UTF-8', async () => {
      await refused(
        send(Buffer.concat([Buffer.from('{"space":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')])),
        '400 InvalidRequest',
      )
    })

    it('12: is called what it is, once', async () => {
      for (const type of ['text/plain', 'application/json5', 'application/x-www-form-urlencoded', '']) {
        await refused(send(good(), [], ['content-type', type]), '400 InvalidRequest')
      }
      await refused(send(good(), [['content-type', 'text/plain']]), '400 InvalidRequest')
      const withCharset = await stage.world.send(send(good(), [], ['content-type', 'Application/JSON; charset=utf-8']))
      expect(verdictOf(withCharset)).toBe('in')
    })

    it('13: is not packed', async () => {
      for (const encoding of ['gzip', 'br', 'deflate', 'identity, gzip']) {
        await refused(send(gzipSync(good()), [['content-encoding', encoding]]), '415 UnsupportedMediaType')
      }
    })
  },
)

describe('fields', () => {
  it('9: many and long ones are refused', async () => {
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, at) => [`k${at}`, 1])))
    await refused(post(CREATE, many), '400 InvalidRequest')
    const long = { ...bodyOf('community.reeve.space.create'), name: 'x'.repeat(60_000) }
    await refused(post(CREATE, JSON.stringify(long)), '400 InvalidRequest')
  })

  it('10: that reach for prototypes are unknown, and leave nothing behind', async () => {
    const body = { ...bodyOf('community.reeve.member.put'), constructor: { prototype: { role: 'owner' } } }
    const answer = await refused(post(PUT, JSON.stringify(body)), '400 InvalidRequest')
    expect(answer.body.message).toBe('/constructor is not a field of this method')
    expect(Object.keys(Object.prototype)).toEqual([])
    expect(({} as { role?: string }).role).toBeUndefined()
  })

  it('that our own methods don’t know are refused: a misspelt end must not make a role last for ever', async () => {
    const untill = '2030-01-01T00:00:00Z'
    const answer = await refused(
      post(PUT, JSON.stringify({ ...bodyOf('community.reeve.member.put'), untill })),
      '400 InvalidRequest',
    )
    expect(answer.body.message).toBe('/untill is not a field of this method')
  })

  it('that our own methods don’t know are refused inside others too', async () => {
    const custody = { $type: 'community.reeve.community.mint#custodial', untill: 1 }
    const mint = '/xrpc/community.reeve.community.mint'
    const answer = await refused(post(mint, JSON.stringify({ name: 'Beekeepers', custody })), '400 InvalidRequest')
    expect(answer.body.message).toBe('/custody/untill is not a field of this method')
    const readPolicy = { $type: 'com.atproto.simplespace.defs#memberListPolicy', untill: 1 }
    await refused(
      post(CREATE, JSON.stringify({ ...bodyOf('community.reeve.space.create'), readPolicy })),
      '400 InvalidRequest',
    )
  })

  it('that the protocol’s methods don’t know are ignored, so that two generations can speak', async () => {
    const body = { space: stage.forum, fromTheFuture: { a: 1 } }
    const raw = exchangeRequest(stage.world, { ...stage.bob, space: stage.forum, binding: 'october', body })
    expect(verdictOf(await stage.world.send(raw))).toBe('in')
  })

  it('in the query of a procedure of ours are refused like in its body', async () => {
    const raw = post(PUT, JSON.stringify(bodyOf('community.reeve.member.put')))
    await refused({ ...raw, path: `${PUT}?until=2030-01-01T00:00:00Z` }, '400 InvalidRequest')
  })
})

describe('paths and verbs', () => {
  const DESCRIBE = '/xrpc/community.reeve.service.describe'

  it.each([
    ['//xrpc/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc//community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc/%63ommunity.reeve.service.describe', '404 XRPCNotSupported'],
    ['/%78rpc/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc/community.reeve.service.describe/', '404 XRPCNotSupported'],
    ['/xrpc/community.reeve.service.describe;a=b', '404 XRPCNotSupported'],
    ['/xrpc/community.reeve.service.describe%00', '404 XRPCNotSupported'],
    ['/xrpc/..;/admin', '404 XRPCNotSupported'],
    ['/xrpc/%2e%2e/xrpc/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc/../xrpc/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/XRPC/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc/Community.Reeve.service.describe', '404 XRPCNotSupported'],
    ['/xrpc/community.reeve.service.Describe', '501 MethodNotImplemented'],
    ['/xrpc/com.atproto.repo.createRecord', '501 MethodNotImplemented'],
    ['/xrpc/_health/', '404 XRPCNotSupported'],
    ['/xrpc/%5fhealth', '404 XRPCNotSupported'],
    ['/.well-known/%64id.json', '404 XRPCNotSupported'],
    ['/xrpc/', '404 XRPCNotSupported'],
    ['/xrpc', '404 XRPCNotSupported'],
    ['/', '404 XRPCNotSupported'],
    ['/admin', '404 XRPCNotSupported'],
    ['http://evil.example/xrpc/community.reeve.service.describe', '404 XRPCNotSupported'],
    ['http://evil.example/.well-known/did.json', '404 XRPCNotSupported'],
  ])('20: have one spelling: %s is %s', async (path, expected) => {
    for (const method of ['GET', 'POST']) {
      const answer = await refused({ method, path }, expected)
      expect(JSON.stringify(answer)).not.toContain('evil.example')
      expect(answer.headers['access-control-allow-origin']).toBe('*')
    }
  })

  it('20: with a backslash are no paths', async () => {
    const answer = await stage.world.send({ path: '/xrpc\\community.reeve.service.describe' })
    expect([400, 404]).toContain(answer.status)
  })

  it('21: each method has its verb', async () => {
    for (const { method } of DOORS) {
      const verbs = ['PUT', 'DELETE', 'PATCH', 'TRACE', method.type === 'query' ? 'POST' : 'GET']
      const before = await holdings(stage.world.database.db)
      for (const verb of verbs) {
        const answer = await stage.world.send({ method: verb, path: `/xrpc/${method.nsid}` })
        expect(verdictOf(answer)).toBe('400 InvalidRequest')
        expect(answer.body.message).toBe(`${method.nsid} is called by ${method.type === 'query' ? 'GET' : 'POST'}`)
      }
      expect(await holdings(stage.world.database.db)).toEqual(before)
    }
    expect((await stage.world.send({ path: DESCRIBE })).status).toBe(200)
  })
})

/** A good query for a door that is one, as name and value. */
const paramsOf = (nsid: string) => bodyOf(nsid) as Record<string, string>

/** The keys of a community are a handful, and told all at once. */
const KEY_LIST = 'community.reeve.key.list'
const isPaged = (nsid: string): boolean => nsid.endsWith('.list') && nsid !== KEY_LIST

describe.each(queries.map((door) => door.method.nsid))('the query of %s', (nsid) => {
  const path = (params: Record<string, string> | string): string =>
    `/xrpc/${nsid}?${typeof params === 'string' ? params : new URLSearchParams(params)}`
  const good = () => new URLSearchParams(paramsOf(nsid)).toString()

  it('is good as it stands', async () => {
    expect(verdictOf(await stage.world.send(get(path(good()))))).toBe('in')
  })

  it('22: says each thing once', async () => {
    for (const [name, value] of Object.entries(paramsOf(nsid))) {
      const twice = `${good()}&${new URLSearchParams({ [name]: value })}`
      await refused(get(path(twice)), '400 InvalidRequest')
    }
  })

  it('22: has only parameters that the method knows', async () => {
    for (const name of ['untill', '__proto__', 'constructor', 'a.b', 'Space']) {
      await refused(get(path(`${good()}&${name}=x`)), '400 InvalidRequest')
    }
  })

  it('23: holds only text that shows', async () => {
    for (const name of ['cursor', ...Object.keys(paramsOf(nsid))]) {
      for (const hidden of ['%0d%0aset-cookie:x', '%0a', '%00', '%E2%80%AE', '%7f', '%C2%85', '%ff', '%', '%zz']) {
        await refused(get(path(`${name}=a${hidden}`)), '400 InvalidRequest')
      }
    }
  })

  it('24: asks for a number of things that there can be', async () => {
    if (!isPaged(nsid)) return expect(nsid === KEY_LIST || !/list$/.test(nsid)).toBe(true)
    for (const limit of ['0', '-1', '1e9', '1000000000', '1001', 'abc', '1.5', 'NaN', ' 5', '9007199254740993']) {
      await refused(get(path(`${good()}&${new URLSearchParams({ limit })}`)), '400 InvalidRequest')
    }
    // An empty value is none, as in every XRPC service.
    expect(verdictOf(await stage.world.send(get(path(`${good()}&limit=`))))).toBe('in')
  })

  it('25: goes on from where a page ended, and from nowhere else', async () => {
    if (!isPaged(nsid)) return expect(nsid === KEY_LIST || !/list$/.test(nsid)).toBe(true)
    await refused(get(path({ ...paramsOf(nsid), cursor: 'x'.repeat(10_240) })), '400 InvalidRequest')
    const foreign = /(?:audit|credential)\.list$/.test(nsid) ? '400 InvalidRequest' : 'in'
    for (const cursor of [`did:plc:${'7'.repeat(24)}`, "' or 1=1 --"]) {
      const answer = await stage.world.send(get(path({ ...paramsOf(nsid), cursor })))
      expect(verdictOf(answer)).toBe(foreign)
    }
  })
})
