/**
 * Honest people beside a flood: Reeve in a process of its own, twenty exchanges a second that should succeed and five hundred
 * that must not, over real sockets from several addresses. How long the honest ones waited is printed and not judged: that says
 * as much about the machine as about Reeve.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { Agent, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { RATES } from '../../src/doors/rate-buckets.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { createOnServer, hasPostgres } from '../kit/databases.ts'
import { exchangeOf, type Parts } from '../kit/exchange.ts'
import { type FakePlc, startFakePlc } from '../kit/fake-plc.ts'
import { describeOnLinux } from '../kit/linux.ts'
import { callAs, makeSomebody, type Somebody } from '../kit/people.ts'
import { type ReeveProcess, reevePlace, startReeve } from '../kit/reeve-process.ts'
import { makeKey } from '../kit/tokens.ts'
import { eventually } from '../kit/waiting.ts'
import type { RawRequest } from '../kit/world.ts'

const FLOOD_SEC = 10
const TICKS_PER_SEC = 10
const HONEST_PER_TICK = 2
/** Of each kind of forgery. There are five. */
const FORGED_PER_TICK = 10
const HONEST_PEOPLE = 10
const GROWTH_MAX_BYTES = 256 * 1024 * 1024

interface Outcome {
  /** The status, or 0 when the connection was cut. */
  readonly status: number
  /** The name of a refusal, or how the connection was cut. */
  readonly error: string
  readonly tookMs: number
}

describeOnLinux('honest exchanges beside a flood', () => {
  let plc: FakePlc
  let dataDir: string
  let dropDatabase: () => Promise<void> = async () => {}
  let reeve: ReeveProcess
  let forum: string
  let victim: Somebody
  const honest: Somebody[] = []
  const agents: Agent[] = []

  beforeAll(async () => {
    plc = await startFakePlc()
    dataDir = await mkdtemp(join(tmpdir(), 'reeve-flood-'))
    const onServer = hasPostgres ? await createOnServer() : null
    if (onServer) dropDatabase = () => onServer.drop()
    const more = onServer ? { databaseUrl: onServer.url.reveal() } : {}
    const environment = { REEVE_LOG_LEVEL: 'info' }
    reeve = await startReeve(await reevePlace({ plcUrl: plc.url, dataDir, environment, ...more }))

    const alice = await makeSomebody(plc.honestUrl)
    const call = async (method: string, input: object) => {
      const nowSec = systemClock.nowSec()
      const { status, body } = await callAs(alice, { ...reeve, nowSec }, `community.reeve.${method}`, input)
      if (status !== 200) throw new Error(`${method}: ${JSON.stringify(body)}`)
      return body
    }
    const custody = { $type: 'community.reeve.community.mint#custodial' }
    const { did: community } = await call('community.mint', { name: 'Gardeners', custody })
    forum = (await call('space.create', { community, spaceType: 'com.atmoboards.forum' })).uri
    for (let at = 0; at < HONEST_PEOPLE; at++) {
      const person = await makeSomebody(plc.honestUrl)
      await call('member.put', { space: forum, did: person.did, role: 'member' })
      honest.push(person)
    }
    victim = honest[0] ?? alice
  })
  afterAll(async () => {
    for (const agent of agents) agent.destroy()
    await reeve.kill()
    await dropDatabase()
    await plc.close()
    await rm(dataDir, { recursive: true, force: true })
  })

  const world = () => ({ url: reeve.url, clock: { ...systemClock, moveSec() {} } })
  /** With a token that outlives the flood, however slow the machine is. */
  function prepare({ changes, ...parts }: Parts): RawRequest {
    const payload = {
      exp: systemClock.nowSec() + 300,
      ...(typeof changes?.payload === 'object' ? changes.payload : {}),
    }
    return exchangeOf({ world: world(), forum, bob: victim }, { ...parts, changes: { ...changes, payload } })
  }

  /**
   * Sends from one loopback address of its own, over connections that are kept. A kept connection that the server had given up
   * as idle in the same moment is no answer: every client of HTTP sends such a request once more, on a new one.
   */
  function senderFrom(localAddress: string, maxSockets: number): (raw: RawRequest) => Promise<Outcome> {
    const agent = new Agent({ keepAlive: true, maxSockets })
    agents.push(agent)
    const port = Number(new URL(reeve.url).port)
    return ({ method, path, headers = [], body = '' }) =>
      new Promise((resolve) => {
        const startMs = performance.now()
        const done = (status: number, error: string) => resolve({ status, error, tookMs: performance.now() - startMs })
        const lines = [
          'host',
          `localhost:${port}`,
          ...headers.flat(),
          'content-length',
          String(Buffer.byteLength(body)),
        ]
        const send = () => {
          const outgoing = httpRequest(
            { host: '127.0.0.1', port, path, method, agent, localAddress, headers: lines },
            (incoming) => {
              let text = ''
              incoming.setEncoding('utf8')
              incoming.on('data', (chunk: string) => (text += chunk))
              incoming.on('close', () => done(incoming.statusCode ?? 0, /"error":"(\w+)"/.exec(text)?.[1] ?? ''))
            },
          )
          outgoing.on('error', ({ code }: NodeJS.ErrnoException) => {
            if (outgoing.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')) send()
            else done(0, `cut: ${code}`)
          })
          outgoing.end(body)
        }
        send()
      })
  }

  /** A DID of the directory's form that it doesn't know. */
  const nobody = (at: number): Did =>
    `did:plc:${[...String(at)]
      .map((digit) => 'abcdefghij'[Number(digit)])
      .join('')
      .padStart(24, 'z')}` as Did

  /** Each kind of forgery with its own address. Signatures are made beforehand, so that the flood costs little to send. */
  function forgeries(): readonly { says: string; address: string; make: (at: number) => RawRequest }[] {
    const [holder, forger] = [makeKey('p256'), makeKey('k256')]
    const cycle = (count: number, of: (at: number) => RawRequest) => {
      const made = Array.from({ length: count }, (_, at) => of(at))
      return (at: number) => made[at % count] ?? of(at)
    }
    const count = FLOOD_SEC * TICKS_PER_SEC * FORGED_PER_TICK
    const signature = Buffer.alloc(64, 0x11)
    return [
      {
        says: 'bad signatures for one DID',
        address: '127.0.0.2',
        make: cycle(100, () => prepare({ holder, person: { did: victim.did, key: forger } })),
      },
      {
        says: 'DIDs that nobody has',
        address: '127.0.0.3',
        make: cycle(count, (at) => prepare({ holder, changes: { payload: { iss: nobody(at) }, signature } })),
      },
      {
        says: 'malformed tokens',
        address: '127.0.0.4',
        make: cycle(10, (at) => prepare({ holder, token: `eyJ${'x'.repeat(at * 200)}.e30.AAAA` })),
      },
      {
        says: 'oversized bodies',
        address: '127.0.0.5',
        make: cycle(1, () => prepare({ holder, body: `{"space":"${'x'.repeat(70_000)}"}` })),
      },
      {
        says: 'proofs that don’t hold',
        address: '127.0.0.6',
        make: cycle(100, () => prepare({ binding: 'august', holder, proof: { signature } })),
      },
    ]
  }

  async function rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${reeve.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
  }

  it('all succeed, nothing forged does, and what the flood cost is bounded', async () => {
    const sendHonest = senderFrom('127.0.0.1', 100)
    const warm = await Promise.all(honest.map((person) => sendHonest(prepare({ person }))))
    expect(warm.map(({ status }) => status)).toEqual(honest.map(() => 200))

    const flood = forgeries().map((forgery) => ({ ...forgery, send: senderFrom(forgery.address, 50) }))
    const holder = makeKey('p256')
    // Made when they are sent: a proof is young or it is nothing.
    const prepareHonest = (at: number) =>
      prepare({ person: honest[at % honest.length] ?? victim, holder, binding: at % 2 === 0 ? 'october' : 'august' })
    plc.forget()
    const beforeBytes = await rssBytes()
    let peakBytes = beforeBytes
    const startMs = performance.now()
    const sentHonest: Promise<Outcome>[] = []
    const sentForged = new Map<string, Promise<Outcome>[]>(flood.map(({ says }) => [says, []]))
    for (let tick = 0; tick < FLOOD_SEC * TICKS_PER_SEC; tick++) {
      for (const { says, make, send } of flood) {
        for (let at = 0; at < FORGED_PER_TICK; at++) sentForged.get(says)?.push(send(make(tick * FORGED_PER_TICK + at)))
      }
      for (let at = 0; at < HONEST_PER_TICK; at++)
        sentHonest.push(sendHonest(prepareHonest(tick * HONEST_PER_TICK + at)))
      peakBytes = Math.max(peakBytes, await rssBytes())
      const dueMs = startMs + ((tick + 1) * 1000) / TICKS_PER_SEC
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - performance.now())))
    }
    const outcomes = await Promise.all(sentHonest)
    const forged: Record<string, Record<string, number>> = {}
    for (const [says, sent] of sentForged) forged[says] = tally(await Promise.all(sent))
    const tookSec = (performance.now() - startMs) / 1000

    const times = outcomes.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
    const at = (share: number) => Math.round(times[Math.floor(share * (times.length - 1))] ?? 0)
    const failed = outcomes.filter(({ status }) => status !== 200)
    const mib = (bytes: number) => Math.round(bytes / 2 ** 20)
    process.stdout.write(
      `honest: ${outcomes.length}, failed ${failed.length}, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms; ` +
        `forged: ${JSON.stringify(forged)} in ${tookSec.toFixed(1)} s; ` +
        `RSS ${mib(beforeBytes)} MiB before, ${mib(peakBytes)} at most; fetches ${plc.count('document')}\n`,
    )

    expect(failed).toEqual([])
    const perKind = FLOOD_SEC * TICKS_PER_SEC * FORGED_PER_TICK
    for (const [says, counts] of Object.entries(forged)) {
      expect([says, counts['200']]).toEqual([says, undefined])
      expect(Object.values(counts).reduce((sum, n) => sum + n, 0)).toBe(perKind)
    }
    expect(Object.keys(forged['bad signatures for one DID'] ?? {}).sort()).toEqual(['BadJwtSignature'])
    expect(forged['DIDs that nobody has']).toMatchObject({
      BadJwtIss: expect.any(Number),
      RateLimitExceeded: expect.any(Number),
    })

    // One forced look at the victim's document, and what its bucket gave to the address that named strangers.
    expect(plc.count('document', victim.did)).toBeLessThanOrEqual(1 + Math.ceil(tookSec / 30))
    const strangers = plc.asked.filter(({ did }) => did.startsWith('did:plc:zzz')).length
    expect(strangers).toBeGreaterThanOrEqual(RATES.resolution.burst)
    expect(strangers).toBeLessThanOrEqual(RATES.resolution.burst + RATES.resolution.perSec * tookSec)
    await eventually('memory falls back', async () => (await rssBytes()) < beforeBytes + GROWTH_MAX_BYTES)
    expect(reeve.output()).not.toMatch(/"event":"(failed|worker.failed)"/)
  })

  function tally(outcomes: readonly Outcome[]): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { status, error } of outcomes) {
      const key = error || String(status)
      counts[key] = (counts[key] ?? 0) + 1
    }
    return counts
  }
})
