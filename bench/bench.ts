/**
 * `npm run bench`: how close the exchange comes to what its cryptography alone costs, in one run on this machine.
 *
 * The unit is the crypto-only loop of the same process: every figure is a share of it, with the absolute beside it. Only the
 * processor time of the measured process counts, so a busy neighbour blurs latencies and not shares. One more round of each
 * figure, which doesn't count, is profiled and says where the time goes. Writes `bench/last.json`.
 *
 * `BENCH_ROUNDS` and `BENCH_REQUESTS` say how much is measured, `BENCH_ENGINES` (`postgres,embedded`) on which databases, and
 * `BENCH_PARTS` (`exchange,roll,fanout,hook`) whether it is this, the roll (`roll.ts`), who hears of writes (`fanout.ts`), or what the
 * PDS of an account asks (`hook.ts`).
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock } from '../src/platform/clock.ts'
import { callAs, makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { freePort } from '../test/kit/ports.ts'
import { type FanoutReport, measureFanout } from './fanout.ts'
import { type HookReport, measureHook } from './hook.ts'
import { load, quantile } from './load.ts'
import { lineOfShares, type Shares } from './profile.ts'
import { measureRoll, type RollReport } from './roll.ts'
import type { Order, Report } from './served.ts'
import { type Generation, prepare } from './tokens.ts'

const POSTGRES = process.env['REEVE_TEST_POSTGRES'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const METHOD = 'com.atproto.space.getSpaceCredential'
const PEOPLE = 100
const ENGINES = ['postgres', 'embedded'] as const
const CHOSEN = (process.env['BENCH_ENGINES'] ?? ENGINES.join()).split(',')
const PARTS = (process.env['BENCH_PARTS'] ?? 'exchange,roll,fanout,hook').split(',')
const IN_FLIGHT = [1, 8, 64] as const
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const PER_ROUND = Number(process.env['BENCH_REQUESTS'] ?? 1500)

interface Figure {
  readonly engine: string
  readonly generation: Generation
  readonly inFlight: number
  /** Exchanges per second of processor time, over those of the crypto-only loop in the same process. */
  readonly share: number
  readonly perCpuSec: number
  readonly cryptoPerCpuSec: number
  readonly perWallSec: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rssMiB: number
  /** Where the processor time went, in a round of its own. */
  readonly profile: Shares
}

/** The crypto-only loop against the same by `@atproto/crypto`, in the same process. */
interface Choice {
  readonly engine: string
  readonly es256k: string
  readonly perCpuSec: number
  readonly atprotoPerCpuSec: number
  readonly times: number
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const figures: Figure[] = []
const choices: Choice[] = []
const unknown = CHOSEN.filter((name) => !ENGINES.some((engine) => engine === name))
if (unknown.length > 0) throw new Error(`BENCH_ENGINES: there is no ${unknown.join()}`)
const engines = ENGINES.filter((name) => CHOSEN.includes(name))
if (PARTS.includes('exchange')) for (const engine of engines) await measure(engine)
const rolls: RollReport[] = []
if (PARTS.includes('roll')) for (const engine of engines) rolls.push(await measureRoll(engine, createDatabase))
const fanouts: FanoutReport[] = []
if (PARTS.includes('fanout')) for (const engine of engines) fanouts.push(await measureFanout(engine, createDatabase))
const hooks: HookReport[] = []
if (PARTS.includes('hook')) for (const engine of engines) hooks.push(await measureHook(engine, createDatabase))
const machine = `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}`
writeFileSync(
  new URL('last.json', import.meta.url),
  `${JSON.stringify({ machine, ROUNDS, PER_ROUND, choices, figures, rolls, fanouts, hooks }, null, 2)}\n`,
)
console.log(machine)
if (PARTS.includes('exchange')) {
  console.log(
    `the exchange: medians of ${ROUNDS} rounds of ${PER_ROUND}; fresh tokens, fresh holder keys, warm DIDs of ${PEOPLE} people`,
  )
}

function linesOf({ engine, generation, inFlight, share, profile, ...rest }: Figure): string {
  const numbers = Object.entries(rest).map(([name, value]) => `${name} ${value.toFixed(value < 10 ? 2 : 0)}`)
  return `${engine.padEnd(8)} ${generation} ${String(inFlight).padStart(2)} in flight: ${(share * 100).toFixed(0)} % of crypto-only  ${numbers.join('  ')}
         % of its time: ${lineOfShares(profile)}`
}

/** Everything about one engine, on a network of its own. */
async function measure(engine: (typeof ENGINES)[number]): Promise<void> {
  const plc = await startPlcServer()
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  const database = engine === 'postgres' ? await createDatabase() : null
  const port = await freePort()
  const url = `http://localhost:${port}`
  const child = fork(new URL('served.ts', import.meta.url), {
    env: {
      PATH: process.env['PATH'],
      REEVE_PUBLIC_URL: url,
      REEVE_PORT: String(port),
      REEVE_DATA_DIR: folder,
      REEVE_PLC_URL: plc.url,
      REEVE_ALLOW_LOOPBACK: '1',
      ...(database ? { DATABASE_URL: database.url } : {}),
    },
  })
  try {
    const ready = await next(child)
    if (ready.kind !== 'ready') throw new Error('another report')
    const people = await Promise.all(Array.from({ length: PEOPLE }, () => makeSomebody(plc.url)))
    const space = await furnish(url, port, people)
    const choice = { engine, es256k: ready.es256k, ...(await choiceOf(child, url, space, people)) }
    choices.push(choice)
    console.log(
      `${engine}: ES256K by ${choice.es256k}; crypto-only ${choice.perCpuSec.toFixed(0)}/s, by @atproto/crypto ${choice.atprotoPerCpuSec.toFixed(0)}/s: ${choice.times.toFixed(1)} times`,
    )
    for (const generation of ['october', 'august'] as const) {
      for (const inFlight of IN_FLIGHT) {
        const figure = await figureOf({ child, url, space, people, generation, inFlight, engine })
        figures.push(figure)
        console.log(linesOf(figure))
      }
    }
  } finally {
    order(child, { kind: 'end' })
    await once(child, 'exit')
    await plc.close()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A community with a forum in which everybody is a member. */
async function furnish(url: string, port: number, people: readonly Somebody[]): Promise<string> {
  const [founder, ...others] = people
  if (!founder) throw new Error('nobody')
  const serviceDid = `did:web:localhost%3A${port}`
  const call = async (method: string, input: object) => {
    const answer = await callAs(founder, { url, serviceDid, nowSec: systemClock.nowSec() }, method, input)
    if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const { did } = await call('community.reeve.community.mint', { name: 'Bench', custody })
  const { uri } = await call('community.reeve.space.create', { community: did, spaceType: 'com.atmoboards.forum' })
  for (const other of others) await call('community.reeve.member.put', { space: uri, did: other.did, role: 'member' })
  return uri
}

/** Round for round one after the other, so that a busy machine slows both. */
async function choiceOf(child: ChildProcess, base: string, space: string, people: readonly Somebody[]) {
  const url = `${base}/xrpc/${METHOD}`
  const prepared = (count: number) =>
    prepare(people, { space, url, generation: 'august', count, nowSec: systemClock.nowSec() })
  const perCpuSec = async (message: Order) => {
    const report = await ask(child, message)
    if (report.kind !== 'crypto') throw new Error('another report')
    return report.count / report.cpuSec
  }
  await perCpuSec({ kind: 'crypto', requests: prepared(300), url })
  await perCpuSec({ kind: 'atproto', requests: prepared(20) })
  const rounds: Pick<Choice, 'perCpuSec' | 'atprotoPerCpuSec' | 'times'>[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const ours = await perCpuSec({ kind: 'crypto', requests: prepared(600), url })
    const theirs = await perCpuSec({ kind: 'atproto', requests: prepared(60) })
    rounds.push({ perCpuSec: ours, atprotoPerCpuSec: theirs, times: ours / theirs })
  }
  const of = (name: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[name]))
  return { perCpuSec: of('perCpuSec'), atprotoPerCpuSec: of('atprotoPerCpuSec'), times: of('times') }
}

async function figureOf(about: {
  child: ChildProcess
  url: string
  space: string
  people: readonly Somebody[]
  generation: Generation
  inFlight: number
  engine: string
}): Promise<Figure> {
  const { child, space, people, generation, inFlight, engine } = about
  const url = `${about.url}/xrpc/${METHOD}`
  const prepared = (count: number) => prepare(people, { space, url, generation, count, nowSec: systemClock.nowSec() })
  await load(url, space, prepared(300), inFlight)
  const rounds: Omit<Figure, 'engine' | 'generation' | 'inFlight' | 'profile'>[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const crypto = await ask(child, { kind: 'crypto', requests: prepared(600), url })
    if (crypto.kind !== 'crypto') throw new Error('another report')
    const requests = prepared(PER_ROUND)
    const before = await ask(child, { kind: 'cpu' })
    const { wallSec, latenciesMs } = await load(url, space, requests, inFlight)
    const after = await ask(child, { kind: 'cpu' })
    if (before.kind !== 'cpu' || after.kind !== 'cpu') throw new Error('another report')
    const perCpuSec = requests.length / (after.cpuSec - before.cpuSec)
    const cryptoPerCpuSec = crypto.count / crypto.cpuSec
    rounds.push({
      share: perCpuSec / cryptoPerCpuSec,
      perCpuSec,
      cryptoPerCpuSec,
      perWallSec: requests.length / wallSec,
      p50Ms: quantile(latenciesMs, 0.5),
      p99Ms: quantile(latenciesMs, 0.99),
      rssMiB: after.rssMiB,
    })
  }
  const toProfile = prepared(PER_ROUND)
  await ask(child, { kind: 'profile' })
  await load(url, space, toProfile, inFlight)
  const profiled = await ask(child, { kind: 'profiled' })
  if (profiled.kind !== 'profiled') throw new Error('another report')
  const of = (name: keyof (typeof rounds)[number]) => median(rounds.map((round) => round[name]))
  return {
    engine,
    generation,
    inFlight,
    share: of('share'),
    perCpuSec: of('perCpuSec'),
    cryptoPerCpuSec: of('cryptoPerCpuSec'),
    perWallSec: of('perWallSec'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    rssMiB: of('rssMiB'),
    profile: profiled.shares,
  }
}

function order(child: ChildProcess, message: Order): void {
  child.send(message)
}

async function ask(child: ChildProcess, message: Order): Promise<Report> {
  const answered = next(child)
  order(child, message)
  return answered
}

async function next(child: ChildProcess): Promise<Report> {
  const [report] = await once(child, 'message')
  return report
}

async function createDatabase(what = 'exchange'): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `reeve_bench_${process.pid}_${what}`
  const onServer = async (text: string) => {
    const client = new pg.Client({ connectionString: POSTGRES })
    await client.connect()
    await client.query(text)
    await client.end()
  }
  await onServer(`create database ${name} template template0 encoding 'UTF8'`)
  const url = new URL(POSTGRES)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => onServer(`drop database ${name} with (force)`) }
}
