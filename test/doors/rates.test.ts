/** Who is charged for a request: the socket's address, or what a proxy that we were told to trust says, and nobody else. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressReader, RATES, RateBuckets } from '../../src/doors/rate-buckets.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { Refusal } from '../../src/refusals.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { makeServiceJwt } from '../kit/tokens.ts'
import { everyRate, movableClock, openWorld, type World } from '../kit/world.ts'
import { openStage, type Stage } from './stage.ts'

describe('the address that is charged', () => {
  const trusting = addressReader(['10.0.0.0/8', '127.0.0.1/32', 'fd00::/8'])
  const trustingNobody = addressReader([])

  it.each([
    ['203.0.113.9', '1.2.3.4', '203.0.113.9', 'a stranger may say what they like'],
    ['10.0.0.1', '1.2.3.4', '1.2.3.4', 'a proxy is believed'],
    ['::ffff:10.0.0.1', '1.2.3.4', '1.2.3.4', 'also when it comes mapped into IPv6'],
    ['fd00::1', '1.2.3.4', '1.2.3.4', 'also by IPv6'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4', '1.2.3.4', 'only for whom it saw itself'],
    ['10.0.0.1', '6.6.6.6, 1.2.3.4, 10.0.0.2', '1.2.3.4', 'through a second proxy'],
    ['10.0.0.1', '6.6.6.6,1.2.3.4', '1.2.3.4', 'without a space'],
    ['10.0.0.1', undefined, '10.0.0.1', 'and is charged itself when it says nothing'],
    ['10.0.0.1', '', '10.0.0.1', 'or nothing of use'],
    ['10.0.0.1', 'garbage', '10.0.0.1', 'or no address'],
    ['10.0.0.1', '1.2.3.4, unknown', '10.0.0.1', 'or an unknown caller'],
    ['10.0.0.1', '1.2.3.4, <script>', '10.0.0.1', 'or a page'],
    ['10.0.0.1', Array(50).fill('10.0.0.3').join(','), '10.0.0.3', 'however many hops it tells of'],
    ['10.0.0.1', ['1.2.3.4', ...Array(50).fill('10.0.0.3')].join(','), '10.0.0.3', 'but not endlessly many'],
    ['::ffff:203.0.113.9', undefined, '203.0.113.9', 'a mapped address is the address'],
    ['fe80::1%eth0', undefined, 'fe80:0:0:0', 'a zone is no part of it'],
    [undefined, '1.2.3.4', 'unknown', 'a socket that is gone has none'],
  ])('from %s with %s is %s: %s', (socket, forwarded, expected, _why) => {
    expect(trusting(socket, forwarded)).toBe(expected)
  })

  it.each(['1.2.3.4', '10.0.0.1', '127.0.0.1'])(
    'is the socket’s where no proxy is trusted, whatever %s is said',
    (said) => {
      expect(trustingNobody('203.0.113.9', said)).toBe('203.0.113.9')
      expect(trustingNobody('127.0.0.1', said)).toBe('127.0.0.1')
    },
  )

  it('is one for all of a /64, and another for the next', () => {
    const ends = ['::1', '::2', ':ffff:ffff:ffff:ffff', ':0:1:2:3'].map((end) => `2001:db8:1:2${end}`)
    expect(new Set(ends.map((address) => trusting(address, undefined)))).toEqual(new Set(['2001:db8:1:2']))
    expect(trusting('2001:db8:1:3::1', undefined)).toBe('2001:db8:1:3')
    expect(trusting('10.0.0.1', '2001:db8:1:2::9')).toBe('2001:db8:1:2')
  })
})

describe('a bucket', () => {
  const verdict = (work: () => void): string => {
    try {
      work()
      return 'in'
    } catch (error) {
      return error instanceof Refusal ? error.code : 'fault'
    }
  }

  it('gives its burst, then a drop as one comes back', () => {
    const clock = movableClock()
    stopClock(clock)
    const buckets = new RateBuckets(clock, { ...RATES, founding: { burst: 2, perSec: 0.5 } })
    const take = () => verdict(() => buckets.take('founding', 'a'))
    expect([take(), take(), take()]).toEqual(['in', 'in', 'RateLimitExceeded'])
    clock.moveSec(2)
    expect([take(), take()]).toEqual(['in', 'RateLimitExceeded'])
    clock.moveSec(3_600)
    expect([take(), take(), take()]).toEqual(['in', 'in', 'RateLimitExceeded'])
  })

  it('is of one address and of one kind', () => {
    const none = { burst: 1, perSec: 0 }
    const buckets = new RateBuckets(movableClock(), everyRate(none))
    expect(verdict(() => buckets.take('public', 'a'))).toBe('in')
    expect(verdict(() => buckets.take('public', 'a'))).toBe('RateLimitExceeded')
    expect(verdict(() => buckets.take('public', 'b'))).toBe('in')
    expect(verdict(() => buckets.take('exchange', 'a'))).toBe('in')
  })
})

const SCARCE = { burst: 3, perSec: 0.001 }
const scarce = everyRate(SCARCE)
const DESCRIBE = '/xrpc/community.reeve.service.describe'
const from = (address: string) => [['x-forwarded-for', address]] as const

describe('behind no proxy', () => {
  let world: World
  beforeAll(async () => {
    world = await openWorld({ rates: scarce })
  })
  afterAll(() => world.close())

  it('whoever asks too much is told so, whatever address they claim, and other ways in stay open', async () => {
    const statuses: number[] = []
    for (let at = 0; at < 5; at++)
      statuses.push((await world.send({ path: DESCRIBE, headers: from(`1.2.3.${at}`) })).status)
    expect(statuses).toEqual([200, 200, 200, 429, 429])
    expect((await world.send({ path: DESCRIBE })).body).toEqual({
      error: 'RateLimitExceeded',
      message: 'too many requests from your address; try again in a moment',
    })
    expect((await world.send({ path: '/.well-known/did.json' })).status).toBe(429)
    expect((await world.send({ path: '/xrpc/community.reeve.community.list' })).status).toBe(401)
    expect((await world.send({ path: '/xrpc/_health' })).status).toBe(200)
  })
})

describe('behind a proxy that is trusted', () => {
  let stage: Stage
  beforeAll(async () => {
    const plenty = { burst: 1_000, perSec: 1 }
    const rates = { ...everyRate(plenty), public: SCARCE }
    stage = await openStage({ rates, environment: { REEVE_TRUSTED_PROXIES: '127.0.0.1/32' } })
  })
  afterAll(() => stage.close())

  const ask = async (...addresses: string[]): Promise<number> =>
    (await stage.world.send({ path: DESCRIBE, headers: addresses.flatMap((address) => from(address)) })).status

  it('each caller has a bucket of their own', async () => {
    expect([await ask('1.1.1.1'), await ask('1.1.1.1'), await ask('1.1.1.1'), await ask('1.1.1.1')]).toEqual([
      200, 200, 200, 429,
    ])
    expect(await ask('2.2.2.2')).toBe(200)
    expect(await ask('2.2.2.2, 1.1.1.1')).toBe(429)
    expect(await ask('2.2.2.2', '1.1.1.1')).toBe(429)
    expect([
      await ask('2001:db8::1'),
      await ask('2001:db8::2'),
      await ask('2001:db8::3'),
      await ask('2001:db8::4'),
    ]).toEqual([200, 200, 200, 429])
    expect(await ask('2001:db8:0:1::1')).toBe(200)
  })

  it('a person’s bucket can’t be emptied by forged tokens from elsewhere', async () => {
    const { world, alice } = stage
    const nsid = 'community.reeve.community.list'
    const forged = () => {
      const nowSec = world.clock.nowSec()
      const aud = world.config.serviceDid
      const token = makeServiceJwt({ key: stage.eve.key, iss: alice.did, aud, lxm: nsid, nowSec })
      return [['authorization', `Bearer ${token}`], ...from('6.6.6.6')] as const
    }
    for (let at = 0; at < 20; at++) {
      expect((await world.send({ path: `/xrpc/${nsid}`, headers: forged() })).body.error).toBe('BadJwtSignature')
    }
    expect((await alice.ask(nsid)).status).toBe(200)
  })
})

it('has a bucket at every door, and the rare acts have the smallest', () => {
  for (const door of DOORS) expect(RATES[door.bucket].burst).toBeGreaterThan(0)
  expect(DOORS.filter((door) => door.bucket === 'founding').map((door) => door.method.nsid)).toEqual([
    'community.reeve.community.mint',
    'community.reeve.community.takeIn',
    'community.reeve.community.adopt',
    'community.reeve.key.claimOwnership',
  ])
  expect(Math.min(...Object.values(RATES).map((rate) => rate.burst))).toBe(RATES.founding.burst)
})
