/** Traces as a collector gets them from a Reeve in a process of its own: what is in them, what isn't, and that nothing hangs on the collector. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { DOORS } from '../../src/doors/xrpc.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openTraces } from '../../src/platform/open-telemetry.ts'
import { openOutbound } from '../../src/platform/outbound.ts'
import { type Traces, tracedOutbound } from '../../src/platform/traces.ts'
import { Refusal } from '../../src/refusals.ts'
import { type CollectedSpan, type Collector, startCollector } from '../kit/collector.ts'
import { createOnServer, engines } from '../kit/databases.ts'
import { exchangeOf } from '../kit/exchange.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { freePort } from '../kit/ports.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { freshJti } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import { sendRaw } from '../kit/world.ts'

const MINT = 'com.atproto.space.getSpaceCredential'
const R = 'community.reeve'
/** As somebody sends it who says that they are being followed. */
const STRANGERS = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }
const traceparent: [string, string] = ['traceparent', `00-${STRANGERS.traceId}-${STRANGERS.spanId}-01`]
const CANARY = 'canary5e0f1d'

const kindOf = (span: CollectedSpan) => span.attributes['reeve.kind']
const outcomeOf = (span: CollectedSpan) => span.attributes['reeve.outcome']

describe.each(engines())('traces of a service (%s)', (engine) => {
  let plc: FakePlc
  let collector: Collector
  let folder: string
  let reeve: ReeveProcess
  let drop: () => Promise<void> = async () => {}
  let metricsPort: number
  let people: { alice: Somebody; bob: Somebody; carol: Somebody }
  let community: string
  let forum: string
  const sent: string[] = []

  const call = async (person: Somebody, method: string, input: object) => {
    const at = { url: reeve.url, serviceDid: reeve.serviceDid, nowSec: systemClock.nowSec() }
    const answer = await callAs(person, at, `${R}.${method}`, input)
    expect(answer, method).toMatchObject({ status: 200 })
    return answer.body
  }
  const exchange = async (person: Somebody) => {
    const world = { url: reeve.url, clock: { ...systemClock, moveSec() {} } }
    const request = exchangeOf(
      { world, forum, bob: person },
      { jti: freshJti(), more: [traceparent, ['baggage', CANARY]] },
    )
    for (const [, value] of request.headers ?? []) sent.push(value)
    const answer = await sendRaw(reeve.url, request)
    if (answer.body.credential) sent.push(String(answer.body.credential))
    return answer
  }
  const requests = (name: string, outcome?: string) =>
    collector.spans.filter(
      (span) =>
        kindOf(span) === 'request' && span.name === name && (outcome === undefined || outcomeOf(span) === outcome),
    )
  const stepsOf = ({ traceId }: CollectedSpan, kind: string) =>
    collector.spans.filter((span) => span.traceId === traceId && kindOf(span) === kind)

  beforeAll(async () => {
    plc = await startFakePlc()
    collector = await startCollector()
    folder = await mkdtemp(join(tmpdir(), 'reeve-traces-'))
    metricsPort = await freePort()
    const onServer = engine === 'postgres' ? await createOnServer() : null
    if (onServer) drop = onServer.drop
    const environment = {
      ...{ REEVE_TRACES_URL: collector.url, REEVE_TRACES_SHARE: '1', REEVE_METRICS_PORT: String(metricsPort) },
    }
    const more = onServer ? { databaseUrl: onServer.url.reveal() } : {}
    reeve = await startReeve(await reevePlace({ plcUrl: plc.url, dataDir: folder, environment, ...more }))
    const [alice, bob, carol] = await Promise.all([1, 2, 3].map(() => makeSomebody(plc.honestUrl)))
    if (!alice || !bob || !carol) throw new Error('nobody came')
    people = { alice, bob, carol }
    const custody = { $type: `${R}.community.mint#custodial` }
    community = (await call(alice, 'community.mint', { name: `Gardeners ${CANARY}`, custody })).did
    forum = (await call(alice, 'space.create', { community, spaceType: 'com.atmoboards.forum' })).uri
    await call(alice, 'member.put', { space: forum, did: bob.did, role: 'member' })
    expect(await exchange(bob)).toMatchObject({ status: 200 })
    expect(await exchange(carol)).toMatchObject({ body: { error: 'UserNotAuthorized' } })
    await sendRaw(reeve.url, { path: `/xrpc/${MINT}?token=${CANARY}` })
    await sendRaw(reeve.url, { path: `/${CANARY}`, headers: [traceparent] })
    await sendRaw(reeve.url, { path: `/xrpc/com.example.${CANARY}` })
    await eventually('everything has come', async () => requests('none').length >= 2 && requests(MINT).length >= 3)
    await eventually('and a turn of work', async () => collector.spans.some((span) => kindOf(span) === 'turn'))
  })
  afterAll(async () => {
    await reeve?.kill()
    await drop()
    await collector?.close()
    await plc?.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('have a span for each request: its way in, and what came of it', () => {
    expect(requests(`${R}.community.mint`, '200')).toHaveLength(1)
    expect(requests(MINT, '200')).toHaveLength(1)
    expect(requests(MINT, 'UserNotAuthorized')).toHaveLength(1)
    expect(requests(MINT, 'InvalidRequest')).toHaveLength(1)
    expect(requests('none').map(outcomeOf).toSorted()).toEqual(['MethodNotImplemented', 'XRPCNotSupported'])
    for (const span of requests(MINT)) {
      expect(span.parentSpanId ?? '').toBe('')
      expect(BigInt(span.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(span.startTimeUnixNano))
    }
  })

  it('have beneath it what was asked of the database, by the kind of statement and the mark under which it is kept', () => {
    const [minted] = requests(MINT, '200')
    if (!minted) throw new Error('no span')
    const statements = stepsOf(minted, 'statement')
    expect(statements.length).toBeGreaterThan(2)
    for (const { name, attributes, parentSpanId } of statements) {
      expect(['connection', 'select', 'with', 'insert', 'update', 'delete', 'begin', 'commit']).toContain(name)
      if (name !== 'connection') expect(attributes['reeve.mark']).toMatch(/^[0-9a-f]{16}$/)
      expect(parentSpanId).toBe(minted.spanId)
    }
  })

  it('have beneath it what was fetched, by the name of the way out and the status', () => {
    const [founded] = requests(`${R}.community.mint`)
    if (!founded) throw new Error('no span')
    const fetches = stepsOf(founded, 'fetch')
    expect(fetches.length).toBeGreaterThan(0)
    for (const { name } of fetches) expect(name).toBe('fetches')
    expect(fetches.map(outcomeOf)).toContain('200')
  })

  it('have the turns of work that goes on by itself, each by its name', () => {
    const names = new Set(collector.spans.filter((span) => kindOf(span) === 'turn').map(({ name }) => name))
    expect([...names]).toContain('seal')
    expect([...names].filter((name) => !/^[a-z-]+$/.test(name))).toEqual([])
  })

  it('hold nothing of anybody: no DID, address, token, path, or word of a caller', () => {
    const known = new Set([...DOORS.map(({ method }) => method.nsid), 'none', '/xrpc/_health'])
    for (const { name } of collector.spans.filter((span) => kindOf(span) === 'request'))
      expect([...known]).toContain(name)
    const keys = new Set(collector.spans.flatMap(({ attributes }) => Object.keys(attributes)))
    expect([...keys].toSorted()).toEqual(['reeve.kind', 'reeve.mark', 'reeve.outcome'])
    expect(collector.resource()).toEqual({
      'service.name': 'reeve',
      'service.version': expect.stringMatching(/^\d+\.\d+\.\d+$/),
    })
    const all = collector.heard.filter((_text, at) => at % 2 === 1).join('\n')
    expect(all.length).toBeGreaterThan(10_000)
    expect(all).not.toMatch(/did:|at:\/\/|eyJ|localhost|127\.0\.0\.1|https?:/)
    const words = [CANARY, forum, community, people.alice.did, people.bob.did, people.carol.did, ...sent]
    expect(words.length).toBeGreaterThan(10)
    expect(words.filter((word) => all.includes(word))).toEqual([])
    // And the search would find it.
    expect(`${all}${words[1]}`).toMatch(/at:\/\//)
  })

  it('don’t believe a stranger who says that they are followed', () => {
    const ids = collector.spans.flatMap(({ traceId, spanId, parentSpanId }) => [traceId, spanId, parentSpanId])
    expect(ids).not.toContain(STRANGERS.traceId)
    expect(ids).not.toContain(STRANGERS.spanId)
    expect(new Set(requests(MINT).map(({ traceId }) => traceId)).size).toBe(requests(MINT).length)
  })

  it('cost nobody an answer when the collector is silent, fails or is gone; what is lost is counted', async () => {
    const page = async () => String((await sendRaw(`http://127.0.0.1:${metricsPort}`, { path: '/metrics' })).body)
    const lost = async () => Number(/^reeve_trace_spans_total\{outcome="lost"\} (\d+)$/m.exec(await page())?.[1] ?? 0)
    expect(await page()).toMatch(/^reeve_trace_spans_total\{outcome="sent"\} [1-9]/m)
    expect(await page()).toMatch(/^reeve_size_most\{name="spans of traces to be sent",kind="kept"\} 2048$/m)
    for (const how of ['silent', 'fails', 'gone'] as const) {
      const before = await lost()
      if (how === 'silent') collector.misbehave(() => {})
      if (how === 'fails') collector.misbehave((response) => void response.writeHead(500).end())
      if (how === 'gone') await collector.close()
      expect(await exchange(people.bob), how).toMatchObject({ status: 200 })
      await eventually(`spans are lost while it is ${how}`, async () => (await lost()) > before)
      expect(await exchange(people.bob), how).toMatchObject({ status: 200 })
    }
    const output = reeve.output()
    expect(output.match(/"event":"traces\.lost"/g)).toHaveLength(1)
    expect(output).not.toMatch(/"event":"(?:failed|worker\.failed)"/)
    collector = await startCollector(Number(new URL(collector.url).port))
    await eventually('it is back', async () => reeve.output().includes('"event":"traces.taken"'))
    expect(await reeve.stop()).toBe(0)
  })
})

describe('what is followed', () => {
  let collector: Collector
  let traces: Traces
  let length: () => number
  const counts = { sent: 0, lost: 0 }
  const open = (share: number): Traces =>
    openTraces({
      ...{ url: collector.url, share, version: '1.2.3', clock: systemClock, log: { warn() {}, info() {} } },
      meters: {
        traced(outcome, spans) {
          counts[outcome] += spans
        },
      },
      counted: (_most, now) => {
        length = now
      },
    })
  const statement = { kind: 'statement', name: 'select' } as const

  beforeEach(async () => {
    collector = await startCollector()
    Object.assign(counts, { sent: 0, lost: 0 })
    traces = open(1)
  })
  afterEach(async () => {
    await traces.close()
    await collector.close()
  })

  it('gives its answer and its failure on, and of a failure shows the name alone', async () => {
    expect(
      await traces.begun('turn', 'seal', () =>
        traces.step(
          () => statement,
          async () => 7,
        ),
      ),
    ).toBe(7)
    const failing = () =>
      traces.step(
        () => statement,
        async () => {
          throw new Refusal('Forbidden', CANARY, CANARY)
        },
      )
    await expect(traces.begun('turn', 'sweep', failing)).rejects.toThrow(CANARY)
    await traces.close()
    const failed = collector.spans.filter(({ status }) => status.code === 2)
    expect(failed.map(({ name }) => name).toSorted()).toEqual(['select', 'sweep'])
    for (const span of failed) expect(outcomeOf(span)).toBe('Refusal:Forbidden')
    expect(collector.heard.join('')).not.toContain(CANARY)
  })

  it('is nothing that goes on after its request was answered, or by itself', async () => {
    const given = Promise.withResolvers<void>()
    let later: Promise<unknown> = Promise.resolve()
    await traces.begun('request', 'none', async () => {
      later = given.promise.then(() =>
        traces.step(
          () => statement,
          async () => 1,
        ),
      )
    })
    given.resolve()
    await later
    await traces.step(
      () => {
        throw new Error('nobody asks')
      },
      async () => 1,
    )
    await traces.close()
    expect(collector.spans.map(({ name }) => name)).toEqual(['none'])
  })

  it('is nothing where the share is nought, and then nobody asks what a step is called', async () => {
    await traces.close()
    traces = open(0)
    const asked = () => {
      throw new Error('nobody asks')
    }
    for (let count = 0; count < 100; count++) {
      expect(await traces.begun('request', 'none', () => traces.step(asked, async () => 3))).toBe(3)
    }
    await traces.close()
    expect(collector.asked()).toBe(0)
  })

  it('tells nobody who is called that they are part of it', async () => {
    const called = await startCollector()
    const { origin, host } = new URL(called.url)
    const door = openOutbound({ allowLoopback: true, ownHosts: [], trustedOrigins: [], clock: systemClock })
    try {
      const outbound = tracedOutbound(traces, 'fetches', door)
      const ask = { method: 'GET', url: `${origin}/`, maxBytes: 10, timeoutMs: 60_000, contentTypes: null } as const
      const { status } = await traces.begun('request', 'none', () => outbound.request(ask))
      expect(status).toBe(404)
      expect(called.heard[0]?.toLowerCase()).not.toMatch(/trace|baggage|b3/)
      await traces.close()
      const fetched = collector.spans.find((span) => kindOf(span) === 'fetch')
      expect(fetched).toMatchObject({ name: 'fetches', attributes: { 'reeve.outcome': '404' } })
      expect(collector.heard.filter((_text, at) => at % 2 === 1).join('')).not.toContain(host)
    } finally {
      await door.close()
      await called.close()
    }
  })

  it('has a bound while the collector hangs, is counted beyond it, and keeps nobody who closes', async () => {
    collector.misbehave(() => {})
    const count = 5_000
    for (let at = 0; at < count; at++) await traces.begun('turn', 'seal', async () => at)
    expect(length()).toBeLessThanOrEqual(2_048)
    expect(counts.lost).toBeGreaterThanOrEqual(count - 2_048)
    await traces.close()
    await eventually('each is counted once', async () => counts.lost === count)
    expect([counts.sent, length()]).toEqual([0, 0])
  })

  it('goes to the collector alone: its door leads nowhere else, and follows nobody', async () => {
    const elsewhere = await startCollector()
    try {
      collector.misbehave((response) => void response.writeHead(307, { location: elsewhere.url }).end())
      await traces.begun('turn', 'seal', async () => 1)
      await traces.close()
      await eventually('it is lost', async () => counts.lost === 1)
      expect(elsewhere.asked()).toBe(0)
    } finally {
      await elsewhere.close()
    }
  })
})
