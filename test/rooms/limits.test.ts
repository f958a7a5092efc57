/**
 * What one caller can make Reeve do, counted: verifications, statements, requests that leave the house. Every limit is shown from
 * both sides: it stops whoever goes over it, and it costs nobody else anything.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import type { KyselyPlugin } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { type BucketName, RATES, type Rate, RateBuckets } from '../../src/doors/rate-buckets.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { xrpcApp } from '../../src/doors/xrpc-app.ts'
import { openDidDocuments } from '../../src/identity/did-documents.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { RATE_BUCKETS_MAX, RETRY_AFTER_MAX_SEC } from '../../src/platform/limits.ts'
import { silentLog } from '../../src/platform/log.ts'
import { type Outbound, openOutbound } from '../../src/platform/outbound.ts'
import { openTestDatabase } from '../kit/databases.ts'
import { BINDINGS, exchangeOf, openScene, type Parts, type Scene } from '../kit/exchange.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { makeKey, makeServiceJwt, type TestKey } from '../kit/tokens.ts'
import { type Answer, everyRate, type RawRequest, sendRaw, UNLIMITED } from '../kit/world.ts'

/** The real thing, with a count beside it. */
const verified = vi.hoisted(() => ({ count: 0 }))
vi.mock('../../src/platform/ecdsa.ts', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/platform/ecdsa.ts')>()
  const verify = (...args: Parameters<typeof original.verify>) => {
    verified.count += 1
    return original.verify(...args)
  }
  return { ...original, verify }
})

interface Front {
  readonly url: string
  readonly buckets: RateBuckets
  /** Verifications, statements and fetches of documents since the last look. */
  costs(): { verifications: number; statements: number; fetches: number }
  /** Sends as if from `address`, which a trusted proxy says. */
  send(request: RawRequest, address?: string): Promise<Answer>
}

type Person = Scene['bob']

const LIST = 'community.reeve.community.list'
const MINT = 'community.reeve.community.mint'
const PUT = 'community.reeve.member.put'

/** A DID that no directory knows. */
let strangers = 0
function unknownDid(): Did {
  const letters = 'abcdefghijklmnopqrstuvwxyz'
  const tail = [...String(strangers++)].map((digit) => letters[Number(digit)]).join('')
  return `did:plc:${tail.padStart(24, 'z')}` as Did
}

describe('limits', () => {
  let scene: Scene
  let outbound: Outbound
  const servers: Server[] = []

  beforeAll(async () => {
    scene = await openScene(await openTestDatabase('embedded'))
    // What a bucket gets back while many are sent would depend on how long that takes.
    stopClock(scene.world.clock)
    outbound = openOutbound({
      allowLoopback: true,
      ownHosts: [],
      trustedOrigins: [scene.plc.url],
      clock: systemClock,
    })
  })
  afterEach(() => {
    for (const server of servers.splice(0)) server.close()
  })
  afterAll(async () => {
    await outbound.close()
    await scene.close()
  })

  /** The same house behind other doors: rates and a memory of documents of its own, and a count of its statements. */
  async function openFront(rates: Readonly<Record<BucketName, Rate>>): Promise<Front> {
    const { house } = scene.world.reeve
    const { clock } = scene.world
    let statements = 0
    const counting: KyselyPlugin = {
      transformQuery({ node }) {
        statements++
        return node
      },
      transformResult: async ({ result }) => result,
    }
    const buckets = new RateBuckets(clock, rates)
    const documents = openDidDocuments({
      ...{ outbound, clock, log: silentLog, plcUrl: scene.plc.url, allowLoopback: true },
    })
    const db = house.db.withPlugin(counting)
    const ownHouse = { ...house, db, documents, buckets, trustedProxies: ['127.0.0.1/32', '::1/128'] }
    const server = createAdaptorServer({ fetch: xrpcApp(ownHouse, DOORS).fetch }) as Server
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    servers.push(server)
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    scene.plc.forget()
    verified.count = 0
    return {
      url,
      buckets,
      costs() {
        // The house looks at its own community's document by itself, once a minute; that is nobody's cost here.
        const fetches = scene.plc.count('document') - scene.plc.count('document', scene.community)
        const costs = { verifications: verified.count, statements, fetches }
        verified.count = 0
        statements = 0
        scene.plc.forget()
        return costs
      },
      send: ({ headers = [], ...request }, address = '1.1.1.1') =>
        sendRaw(url, { ...request, headers: [...headers, ['x-forwarded-for', address]] }),
    }
  }

  // Keys are dear to make, and whoever floods doesn't make one for every request.
  const holder = makeKey('p256')
  const forger = makeKey('k256')
  const exchanging = (parts: Parts = {}): RawRequest => exchangeOf(scene, { holder, ...parts })
  const somebody = (): { did: Did; key: TestKey } => ({ did: unknownDid(), key: forger })
  /** A call by service auth, signed by whoever. */
  function calling(person: Pick<Person, 'did' | 'key'>, method: string, body?: object): RawRequest {
    const { config, clock } = scene.world
    const aud = `${config.serviceDid}#reeve`
    const token = makeServiceJwt({ key: person.key, iss: person.did, aud, lxm: method, nowSec: clock.nowSec() })
    const authorization = ['authorization', `Bearer ${token}`] as const
    const path = `/xrpc/${method}`
    return body === undefined
      ? { path, headers: [authorization] }
      : {
          method: 'POST',
          path,
          headers: [authorization, ['content-type', 'application/json']],
          body: JSON.stringify(body),
        }
  }
  const codeOf = ({ status, body }: Answer): string | number => body.error ?? status
  const tally = (answers: readonly Answer[]): Record<string, number> => {
    const counts: Record<string, number> = {}
    for (const answer of answers) counts[codeOf(answer)] = (counts[codeOf(answer)] ?? 0) + 1
    return counts
  }
  /** Sends many, some at a time, each made when its turn comes. */
  async function sendMany(front: Front, count: number, make: () => RawRequest, address?: string): Promise<Answer[]> {
    const answers: Answer[] = []
    for (let sent = 0; sent < count; sent += 20) {
      const batch = Array.from({ length: Math.min(20, count - sent) }, () => front.send(make(), address))
      answers.push(...(await Promise.all(batch)))
    }
    return answers
  }
  const forged = (): RawRequest => exchanging({ person: { did: scene.bob.did, key: forger } })

  describe('an address with an empty bucket', () => {
    const KNOCKS: readonly { says: string; make: () => RawRequest }[] = [
      ...BINDINGS.map((binding) => ({
        ...{ says: `the exchange (${binding})`, make: () => exchanging({ binding }) },
      })),
      { says: 'the exchange, forged', make: forged },
      { says: 'a question', make: () => calling(scene.alice, LIST) },
      {
        says: 'a change',
        make: () => calling(scene.alice, PUT, { space: scene.forum, did: scene.bob.did, role: 'member' }),
      },
      { says: 'a founding', make: () => calling(scene.alice, MINT, {}) },
    ]

    it.each(KNOCKS)('costs no verification, no statement, no fetch: $says', async ({ make }) => {
      const front = await openFront({ ...everyRate({ burst: 1, perSec: 0 }), resolution: UNLIMITED.resolution })
      const first = await front.send(make())
      expect(first.status).not.toBe(429)
      // What is counted is really what it costs to get in.
      const { verifications, fetches } = front.costs()
      expect(verifications).toBeGreaterThan(0)
      expect(fetches).toBeGreaterThan(0)
      for (let at = 0; at < 10; at++) expect(codeOf(await front.send(make()))).toBe('RateLimitExceeded')
      expect(front.costs()).toEqual({ verifications: 0, statements: 0, fetches: 0 })
    })

    it('is told when to come back, and is let in then', async () => {
      const front = await openFront({ ...UNLIMITED, governance: { burst: 1, perSec: 0.1 } })
      const ask = () => front.send(calling(scene.alice, LIST))
      expect((await ask()).status).toBe(200)
      const refused = await ask()
      expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '10' } })
      scene.world.clock.moveSec(9)
      expect(await ask()).toMatchObject({ status: 429, headers: { 'retry-after': '1' } })
      scene.world.clock.moveSec(1)
      expect((await ask()).status).toBe(200)
    })
  })

  describe('DIDs that aren’t remembered', () => {
    const five = { ...UNLIMITED, resolution: { burst: 5, perSec: 0.1 } }

    it.each([
      ['the exchange', () => exchanging({ person: somebody() })],
      ['a question', () => calling(somebody(), LIST)],
      ['a change', () => calling(somebody(), PUT, { space: scene.forum, did: scene.bob.did, role: 'member' })],
      ['a founding', () => calling(somebody(), MINT, {})],
    ])('are fetched for an address until its bucket is empty: %s', async (_says, make) => {
      const front = await openFront(five)
      const answers = await sendMany(front, 60, make)
      expect(tally(answers)).toEqual({ BadJwtIss: 5, RateLimitExceeded: 55 })
      expect(front.costs().fetches).toBe(5)
      scene.world.clock.moveSec(20)
      expect(tally(await sendMany(front, 10, make))).toEqual({ BadJwtIss: 2, RateLimitExceeded: 8 })
      expect(front.costs().fetches).toBe(2)
    })

    it('are fetched no oftener when they name hosts of their own', async () => {
      const front = await openFront(five)
      let port = 1
      const make = () => exchanging({ person: { did: `did:web:localhost%3A${++port}` as Did, key: forger } })
      const counts = tally(await sendMany(front, 60, make))
      expect(counts).toEqual({ UpstreamFailure: 5, RateLimitExceeded: 55 })
    })

    it('are limited for the address that names them, while whoever is remembered goes on from there', async () => {
      const front = await openFront(five)
      expect((await front.send(exchanging())).status).toBe(200)
      await sendMany(front, 40, () => exchanging({ person: somebody() }))
      front.costs()
      expect(tally(await sendMany(front, 40, () => exchanging()))).toEqual({ 200: 40 })
      expect(front.costs().fetches).toBe(0)
      expect(codeOf(await front.send(exchanging({ person: scene.carol })))).toBe('RateLimitExceeded')
      expect(codeOf(await front.send(exchanging({ person: scene.carol }), '2.2.2.2'))).toBe('UserNotAuthorized')
    })

    it('leave the token as it was when they are too many: it passes a moment later', async () => {
      const front = await openFront({ ...UNLIMITED, resolution: { burst: 1, perSec: 0.1 } })
      await front.send(exchanging({ person: somebody() }))
      const request = exchanging()
      expect(codeOf(await front.send(request))).toBe('RateLimitExceeded')
      scene.world.clock.moveSec(10)
      expect((await front.send(request)).status).toBe(200)
    })

    it('cost one drop and one fetch, however many wait for the same one', async () => {
      const front = await openFront({ ...UNLIMITED, resolution: { burst: 1, perSec: 0 } })
      expect(tally(await Promise.all(Array.from({ length: 20 }, () => front.send(exchanging()))))).toEqual({ 200: 20 })
      expect(front.costs().fetches).toBe(1)
    })

    it('cost nothing while their absence is remembered', async () => {
      const front = await openFront({ ...UNLIMITED, resolution: { burst: 1, perSec: 0 } })
      const nobody = somebody()
      expect(tally(await sendMany(front, 40, () => exchanging({ person: nobody })))).toEqual({ BadJwtIss: 40 })
      expect(front.costs().fetches).toBe(1)
    })

    it('by the thousand make no more fetches than the shipped bucket holds and gets back', async () => {
      const front = await openFront({ ...RATES, exchange: UNLIMITED.exchange })
      const { burst, perSec } = RATES.resolution
      for (const [count, fetches] of [
        [1_600, burst],
        [400, 3 * perSec],
      ] as const) {
        const answers = await sendMany(front, count, () => exchanging({ person: somebody() }))
        expect(front.costs().fetches).toBe(fetches)
        expect(tally(answers)).toEqual({ BadJwtIss: fetches, RateLimitExceeded: count - fetches })
        scene.world.clock.moveSec(3)
      }
    })
  })

  describe('a person', () => {
    it('has an allowance of exchanges, over all addresses, and others have theirs', async () => {
      const front = await openFront({ ...UNLIMITED, exchangePerson: { burst: 3, perSec: 0.1 } })
      const codes = []
      for (let at = 0; at < 5; at++) codes.push(codeOf(await front.send(exchanging(), `1.1.1.${at}`)))
      expect(codes).toEqual([200, 200, 200, 'RateLimitExceeded', 'RateLimitExceeded'])
      expect((await front.send(exchanging({ person: scene.alice }))).status).toBe(200)
    })

    it('who went over it keeps the token for later, and nothing is written', async () => {
      const front = await openFront({ ...UNLIMITED, exchangePerson: { burst: 1, perSec: 0.1 } })
      expect((await front.send(exchanging())).status).toBe(200)
      front.costs()
      const request = exchanging()
      expect(await front.send(request)).toMatchObject({ status: 429, headers: { 'retry-after': '10' } })
      expect(front.costs().statements).toBe(0)
      scene.world.clock.moveSec(10)
      expect((await front.send(request)).status).toBe(200)
    })

    it.each([
      ['exchanges', 'exchangePerson', () => exchanging(), forged],
      [
        'questions',
        'governancePerson',
        () => calling(scene.bob, LIST),
        () => calling({ ...scene.bob, key: forger }, LIST),
      ],
    ] as const)('loses none of it to forged tokens: %s', async (_says, bucket, make, forge) => {
      const front = await openFront({ ...UNLIMITED, [bucket]: { burst: 3, perSec: 0 } })
      expect(tally(await sendMany(front, 60, forge))).toEqual({ BadJwtSignature: 60 })
      expect(front.buckets.remembered(bucket)).toBe(0)
      expect(tally(await sendMany(front, 5, make))).toEqual({ 200: 3, RateLimitExceeded: 2 })
    })

    it('has an allowance of questions and changes, and a changing token that came too soon is not used up', async () => {
      const front = await openFront({ ...UNLIMITED, governancePerson: { burst: 2, perSec: 0.1 } })
      const change = () => calling(scene.alice, PUT, { space: scene.forum, did: scene.bob.did, role: 'member' })
      expect((await front.send(change())).status).toBe(200)
      expect((await front.send(calling(scene.alice, LIST), '2.2.2.2')).status).toBe(200)
      const request = change()
      expect(codeOf(await front.send(request, '3.3.3.3'))).toBe('RateLimitExceeded')
      expect((await front.send(calling(scene.bob, LIST))).status).toBe(200)
      scene.world.clock.moveSec(10)
      expect((await front.send(request)).status).toBe(200)
      expect(codeOf(await front.send(request))).toBe('RateLimitExceeded')
    })

    it('may ask for twenty foundings a day', async () => {
      const front = await openFront({ ...RATES, founding: UNLIMITED.founding })
      const found = () => front.send(calling(scene.carol, MINT, {}))
      const codes = []
      for (let at = 0; at < 21; at++) codes.push(codeOf(await found()))
      expect(new Set(codes.slice(0, 20))).toEqual(new Set(['InvalidRequest']))
      expect(codes[20]).toBe('RateLimitExceeded')
      scene.world.clock.moveSec(24 * 60 * 60)
      expect(codeOf(await found())).toBe('InvalidRequest')
    })

    it('may exchange three hundred times an hour', () => {
      expect(RATES.exchangePerson.perSec * 3600).toBeCloseTo(1200)
      expect(RATES.exchangePerson.burst).toBeLessThanOrEqual(600)
    })
  })

  it('a thousand bad signatures for one DID make two fetches at most, then the address waits, and the DID’s own tokens pass', async () => {
    const { resolution, ...rates } = RATES
    const stopped = { burst: rates.exchange.burst, perSec: 0 }
    const front = await openFront({ ...rates, resolution, exchange: stopped })
    expect(tally(await sendMany(front, 1_000, forged, '6.6.6.6'))).toEqual({
      BadJwtSignature: stopped.burst,
      RateLimitExceeded: 1_000 - stopped.burst,
    })
    expect((await front.send(exchanging(), '2.2.2.2')).status).toBe(200)
    expect(codeOf(await front.send(exchanging(), '6.6.6.6'))).toBe('RateLimitExceeded')
    expect(front.costs().fetches).toBeLessThanOrEqual(2)
  })

  it('a thousand bad service tokens for one DID neither', async () => {
    const front = await openFront({ ...RATES, governance: UNLIMITED.governance })
    const forge = () => calling({ ...scene.alice, key: forger }, LIST)
    expect(tally(await sendMany(front, 1_000, forge, '6.6.6.6'))).toEqual({ BadJwtSignature: 1_000 })
    expect((await front.send(calling(scene.alice, LIST), '6.6.6.6')).status).toBe(200)
    expect(front.costs().fetches).toBeLessThanOrEqual(2)
  })
})

describe('the tables of buckets', () => {
  it.each(Object.keys(RATES) as BucketName[])('hold a bounded number of callers: %s', (name) => {
    const buckets = new RateBuckets(systemClock)
    for (let at = 0; at < RATE_BUCKETS_MAX * 1.5; at++) buckets.take(name, `caller ${at}`)
    expect(buckets.remembered(name)).toBe(RATE_BUCKETS_MAX)
  })

  it('don’t crowd each other out: whoever is over a limit isn’t forgotten because of strangers elsewhere', () => {
    const buckets = new RateBuckets(systemClock, everyRate({ burst: 1, perSec: 0 }))
    buckets.take('exchangePerson', 'did:plc:bob')
    for (let at = 0; at < RATE_BUCKETS_MAX * 2; at++) buckets.take('public', `address ${at}`)
    expect(() => buckets.take('exchangePerson', 'did:plc:bob')).toThrow('RateLimitExceeded')
  })

  it('never send anybody away for longer than the longest wait', () => {
    const buckets = new RateBuckets(systemClock, everyRate({ burst: 0, perSec: 0 }))
    expect(() => buckets.take('public', 'a')).toThrow(expect.objectContaining({ retryAfterSec: RETRY_AFTER_MAX_SEC }))
  })
})
