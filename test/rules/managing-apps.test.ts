/** Whoever is slow to answer keeps nobody waiting but those who ask it, and is told of in the log once a minute. No sockets: apps are played. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type ManagingAppsCtx, openManagingApps, type Question, wordKept } from '../../src/access/managing-apps.ts'
import type { Did, Nsid } from '../../src/names.ts'
import { spaceUriOf } from '../../src/names.ts'
import { openSponsorWords, SILENCE_MS, WORD_GOOD_MS } from '../../src/notify/sponsor-words.ts'
import { type OutboundAsk, OutboundFailure } from '../../src/platform/outbound.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { Unavailable } from '../../src/refusals.ts'
import { freshDid } from '../kit/roll.ts'
import { serviceNamed } from '../kit/rule-stage.ts'

const APP = serviceNamed('did:web:members.example.com#bouncer')
const yes = { status: 200, contentType: 'application/json', body: new TextEncoder().encode('{"authorized":true}') }

type Reply = (ask: OutboundAsk) => Promise<typeof yes>
const never: Reply = () => new Promise(() => {})
const fails = (kind: OutboundFailure['kind'], because: string): Reply => {
  return async () => {
    throw new OutboundFailure(kind, because)
  }
}

/** Managing apps on a clock that stands still; `reply` is what the network does. */
function played(reply: Reply) {
  let nowMs = 1_800_000_000_000
  let atOnce = 0
  const calls: OutboundAsk[] = []
  const warned: object[] = []
  const state = { reply, most: 0 }
  const ctx: ManagingAppsCtx = {
    clock: { nowMs: () => nowMs, nowSec: () => Math.floor(nowMs / 1000), monotonicMs: () => nowMs },
    random: systemRandom,
    log: { warn: (what: string, about: object) => void warned.push({ what, ...about }) } as never,
    vault: { signServiceAuth: async () => 'a token' },
    documents: {
      resolve: async () =>
        ({ service: () => ({ type: 'AtprotoPersonalDataServer', endpoint: 'https://members.example.com' }) }) as never,
    },
    outbound: {
      async request(ask) {
        calls.push(ask)
        atOnce += 1
        state.most = Math.max(state.most, atOnce)
        return state.reply(ask).finally(() => {
          atOnce -= 1
        })
      },
    },
  }
  const move = (ms: number) => {
    nowMs += ms
  }
  /** Time goes by, for timers too. */
  const pass = (ms: number) => {
    move(ms)
    return vi.advanceTimersByTimeAsync(ms)
  }
  return { ctx, apps: openManagingApps(ctx), calls, warned, state, move, pass }
}

const spaceIn = (community: Did) => spaceUriOf(community, 'com.atmoboards.forum' as Nsid, 'main')
const about = (community: Did, more: Partial<Question> = {}): Question => ({
  ...{ app: APP, space: spaceIn(community), did: freshDid(), access: 'read', clientId: null },
  ...more,
})
const endOf = (asking: Promise<unknown>): Promise<string> =>
  asking.then(
    () => 'answered',
    (error: unknown) => (error instanceof Unavailable ? error.code : String(error)),
  )
const settle = () => vi.advanceTimersByTimeAsync(0)

describe('questions', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    // The signal of the platform runs on timers that can't be played.
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
      const ending = new AbortController()
      setTimeout(() => ending.abort(), ms)
      return ending.signal
    })
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })

  it('of one community are sixteen at once, and another one’s don’t wait for them', async () => {
    const [slow, quick] = [freshDid(), freshDid()]
    const { apps, calls, state, pass } = played((ask) =>
      ask.url.includes(encodeURIComponent(slow)) ? never(ask) : Promise.resolve(yes),
    )
    const waiting = Array.from({ length: 40 }, () => endOf(apps.ask(about(slow))))
    await settle()
    expect(calls).toHaveLength(16)
    expect(await apps.ask(about(quick))).toEqual({ by: APP, authorized: true })
    expect(state.most).toBe(17)
    await pass(2_000)
    // Who waited for a turn has waited two seconds as well, and asks nothing any more.
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['UpstreamTimeout']))
    expect(calls).toHaveLength(17)
    expect(await Promise.race([endOf(apps.ask(about(slow))), settle().then(() => 'asked')])).toBe('asked')
  })

  it('are 128 at once at most, none has more than it leaves, and no more wait than can be answered', async () => {
    const { apps, calls, pass } = played(never)
    const crowd = freshDid()
    const many = Array.from({ length: 16 + 256 + 1 }, () => endOf(apps.ask(about(crowd))))
    const others = Array.from({ length: 9 }, freshDid).flatMap((community) =>
      Array.from({ length: 16 }, () => endOf(apps.ask(about(community)))),
    )
    await settle()
    // Seven with sixteen each, then half of what is left, and again.
    expect(calls).toHaveLength(7 * 16 + 8 + 4 + 2)
    const late = endOf(apps.ask(about(freshDid())))
    await settle()
    expect(calls, 'whoever comes after all of them finds a place').toHaveLength(127)
    expect(await Promise.race(many)).toBe('NotEnoughResources')
    await pass(2_000)
    expect(await late).toBe('UpstreamTimeout')
    expect((await Promise.all([...many, ...others])).filter((end) => end !== 'UpstreamTimeout')).toHaveLength(1)
  })

  it('that are the same share one call while it is under way, and others don’t', async () => {
    const { apps, calls } = played(async () => yes)
    const community = freshDid()
    const one = about(community)
    const others: Partial<Question>[] = [
      ...[{ did: freshDid() }, { access: 'write' as const }, { clientId: 'https://app.example/c' as never }],
      ...[{ app: serviceNamed('did:web:members.example.com') }, { space: spaceIn(freshDid()) }],
    ]
    await Promise.all([apps.ask(one), apps.ask({ ...one }), ...others.map((more) => apps.ask({ ...one, ...more }))])
    expect(calls).toHaveLength(1 + others.length)
    await apps.ask(one)
    expect(calls).toHaveLength(2 + others.length)
  })

  it('that fail are told by what failed, once a minute for each app of each community, without an address', async () => {
    const { apps, warned, state, move } = played(fails('failed', 'ECONNREFUSED'))
    const [one, other] = [freshDid(), freshDid()]
    expect(await endOf(apps.ask(about(one)))).toBe('UpstreamFailure')
    state.reply = fails('timeout', 'time limit')
    expect(await endOf(apps.ask(about(one)))).toBe('UpstreamTimeout')
    expect(await endOf(apps.ask(about(other)))).toBe('UpstreamTimeout')
    expect(await endOf(apps.ask(about(one, { app: serviceNamed('did:web:two.example.com') })))).toBe('UpstreamTimeout')
    const what = 'managingApp.failed'
    expect(warned).toEqual([
      { what, community: one, app: APP, because: 'ECONNREFUSED' },
      { what, community: other, app: APP, because: 'time limit' },
      { what, community: one, app: 'did:web:two.example.com', because: 'time limit' },
    ])
    move(59_999)
    await endOf(apps.ask(about(one)))
    expect(warned).toHaveLength(3)
    move(1)
    await endOf(apps.ask(about(one)))
    expect(warned).toHaveLength(4)
  })

  it('that can’t be signed are our own trouble, and nobody’s failure', async () => {
    const { ctx, warned, calls } = played(async () => yes)
    const vault = {
      signServiceAuth: async () => {
        throw new Unavailable('KeyUnavailable', 'vault')
      },
    }
    expect(await endOf(openManagingApps({ ...ctx, vault }).ask(about(freshDid())))).toBe('KeyUnavailable')
    expect([warned, calls]).toEqual([[], []])
  })

  it('whose DID can’t be looked up in time are given up in time', async () => {
    const { ctx, calls, pass } = played(async () => yes)
    const documents = { resolve: () => new Promise<never>(() => {}) }
    const asking = endOf(openManagingApps({ ...ctx, documents }).ask(about(freshDid())))
    await pass(2_000)
    expect(await asking).toBe('UpstreamTimeout')
    expect(calls).toEqual([])
  })

  it('take from the time for the answer what the look for the address took', async () => {
    const { ctx, calls, move } = played(async () => yes)
    const documents = {
      async resolve() {
        move(1_500)
        return {
          service: () => ({ type: 'AtprotoPersonalDataServer', endpoint: 'https://members.example.com' }),
        } as never
      },
    }
    await openManagingApps({ ...ctx, documents }).ask(about(freshDid()))
    expect(calls).toMatchObject([{ timeoutMs: 500, maxBytes: 4_096, contentTypes: ['application/json'] }])
  })
})

describe('a word about those by whose access a registration lives', () => {
  it('is asked for once a minute, and again sooner when there was none', async () => {
    const { apps, calls, state, move, ctx } = played(async () => yes)
    const words = openSponsorWords(apps, ctx.clock)
    const question = about(freshDid())
    const ask = (mayAsk = true) => words.of(question, { mayAsk, registeredAtMs: 0 })
    expect(await ask(false)).toBe(null)
    const first = await ask()
    expect(first).toMatchObject({ word: { by: APP, authorized: true } })
    move(WORD_GOOD_MS)
    expect(await ask()).toEqual(first)
    expect(await ask(false)).toEqual(first)
    move(1)
    expect(await ask(false)).toBe(null)
    expect(calls).toHaveLength(1)
    state.reply = fails('failed', 'reset')
    expect(await ask()).toBe(null)
    state.reply = async () => yes
    move(SILENCE_MS)
    expect(await ask()).toBe(null)
    expect(calls).toHaveLength(2)
    move(1)
    expect((await ask())?.atMs).toBe(ctx.clock.nowMs())
    move(-1)
    await ask()
    expect(calls).toHaveLength(4)
  })

  it('that was a no from before they registered is asked for again, and one that was a yes is not', async () => {
    const no = { ...yes, body: new TextEncoder().encode('{"authorized":false}') }
    const { apps, calls, state, move, ctx } = played(async () => no)
    const words = openSponsorWords(apps, ctx.clock)
    const question = about(freshDid())
    const ask = (registeredAtMs: number) => words.of(question, { mayAsk: true, registeredAtMs })
    const saidAtMs = ctx.clock.nowMs()
    move(10)
    expect((await ask(saidAtMs))?.word.authorized).toBe(false)
    expect((await ask(saidAtMs))?.word.authorized).toBe(false)
    expect(calls).toHaveLength(1)
    state.reply = async () => yes
    expect((await ask(ctx.clock.nowMs()))?.word.authorized).toBe(true)
    move(10)
    expect((await ask(ctx.clock.nowMs()))?.word.authorized).toBe(true)
    expect(calls).toHaveLength(2)
  })

  it('that was given with a credential is a yes of that app, and without one is none', () => {
    expect(wordKept(APP)).toEqual({ by: APP, authorized: true })
    expect(wordKept(null)).toBe(null)
  })
})
