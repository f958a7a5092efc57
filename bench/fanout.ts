/**
 * How quickly those who asked hear of a write, what that costs, and whether receivers that fail cost anybody else anything. All of it
 * over real sockets, with the durable outbox, in one run: the unit is a bare signed POST of the same client in the same process.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/platform/clock.ts'
import { callAs, makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { freePort } from '../test/kit/ports.ts'
import { sendRaw } from '../test/kit/raw-request.ts'
import { makeDelegation, makeKey, makeSpaceSignature } from '../test/kit/tokens.ts'
import { spaceOf } from '../test/kit/world.ts'
import { freshRev, writeOf } from '../test/kit/writers.ts'
import { quantile } from './load.ts'
import { lineOfShares, type Shares } from './profile.ts'
import type { Arrival, Manner, ReceiverOrder, ReceiverReport } from './receivers.ts'
import type { Order, Report } from './served.ts'

const MANY = 1_000
const FEW = 50
/** Each person may register so many services in one space. */
const PER_PERSON = 3
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3) * 3
const BAD: readonly (readonly [Manner, number])[] = [
  ['never', 5],
  ['drop by drop', 5],
  ['500', 5],
  ['redirect', 1],
]
const WAIT_MS = 60_000

export interface FanoutReport {
  readonly engine: string
  /** One write to a thousand: from sending it to the last and to the p99 of its arrivals. */
  readonly lastMs: number
  readonly p99Ms: number
  readonly p50Ms: number
  /** As many bare POSTs with a token signed for each, all at once, from the first to the last answer. */
  readonly signedMs: number
  /** The same while one receiver doesn't answer: the p99 of the others, and over that of the others while it does. */
  readonly besideDeadP99Ms: number
  readonly besideDead: number
  /** Deliveries per processor second of the process, of bare POSTs with a token signed for each, and with one that stays; and the shares. */
  readonly perCpuSec: number
  readonly signedPerCpuSec: number
  readonly barePerCpuSec: number
  readonly shareOfSigned: number
  readonly shareOfBare: number
  /** Processor time for one delivery besides a bare signed POST: of the process, and of the database server. */
  readonly usOfProcess: number
  readonly usOfDatabase: number
  /** Where the process spends its time on deliveries. */
  readonly profile: Shares
  /** Ten writes of one repo while everybody is busy: deliveries for each of those who asked; and lanes that waited, of how many. */
  readonly collapse: number
  readonly waiting: number
  readonly registrations: number
  /** Fifty write to fifty, all well, and with sixteen that fail: p99 of those that are well in both. */
  readonly wellP99Ms: number
  readonly besideBadP99Ms: number
  readonly besideBad: number
  /** A hundred writes in ten seconds by one repo: requests and bytes out for each that came in, and for each receiver. */
  readonly requestsOut: number
  readonly bytesOut: number
  /** What the writer waits for an answer meanwhile. */
  readonly intakeP50Ms: number
  readonly intakeP99Ms: number
}

interface Stage {
  readonly url: string
  readonly child: ChildProcess
  readonly receivers: ChildProcess
  readonly space: string
  readonly few: string
  readonly people: readonly Somebody[]
}

/** Measures one engine on a network of its own, and prints a line for each figure. */
export async function measureFanout(
  engine: 'postgres' | 'embedded',
  createDatabase: (what: string) => Promise<{ url: string; drop(): Promise<void> }>,
): Promise<FanoutReport> {
  const plc = await startPlcServer()
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  const database = engine === 'postgres' ? await createDatabase('fanout') : null
  const port = await freePort()
  const url = `http://localhost:${port}`
  const receivers = fork(new URL('receivers.ts', import.meta.url), [String(MANY)])
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
    const [{ ports }] = await Promise.all([readyReceivers(receivers), nextReport(child)])
    const people = await Promise.all(
      Array.from({ length: Math.ceil(MANY / PER_PERSON) + 1 }, () => makeSomebody(plc.url)),
    )
    const [space, few] = await furnish({ url, port, people })
    const stage: Stage = { url, child, receivers, space, few, people }
    await registerAll(stage, space, ports)
    await registerAll(stage, few, ports.slice(0, FEW))
    return await figures(engine, stage, ports)
  } finally {
    child.send({ kind: 'end' } satisfies Order)
    receivers.send({ kind: 'end' } satisfies ReceiverOrder)
    await Promise.all([once(child, 'exit'), once(receivers, 'exit')])
    await plc.close()
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function figures(engine: string, stage: Stage, ports: readonly number[]): Promise<FanoutReport> {
  const one = await oneToMany(stage, ports)
  console.log(
    `${engine.padEnd(8)} one write to ${MANY}: p50 ${ms(one.p50Ms)}, p99 ${ms(one.p99Ms)}, last ${ms(one.lastMs)}; as many bare signed POSTs ${ms(one.signedMs)}`,
  )
  console.log(
    `         one that doesn't answer: p99 of the others ${ms(one.besideDeadP99Ms)} (× ${one.besideDead.toFixed(2)})`,
  )
  console.log(
    `         ${one.perCpuSec.toFixed(0)} deliveries per CPU second: ${percent(one.shareOfSigned)} of a bare signed POST (${one.signedPerCpuSec.toFixed(0)}), ${percent(one.shareOfBare)} of one unsigned (${one.barePerCpuSec.toFixed(0)})`,
  )
  console.log(
    `         besides the signed POST ${(one.usOfProcess + one.usOfDatabase).toFixed(0)} µs each: process ${one.usOfProcess.toFixed(0)}, database ${one.usOfDatabase.toFixed(0)}`,
  )
  console.log(`         % of its time: ${lineOfShares(one.profile)}`)
  const collapsed = await burst(stage)
  console.log(
    `         ten writes while all are busy: ${collapsed.collapse.toFixed(2)} deliveries for each receiver; ${collapsed.waiting} of ${collapsed.registrations} lanes waited`,
  )
  const flood = await amplification(stage)
  console.log(
    `         100 writes of one repo in 10 s, to ${FEW}: ${flood.requestsOut.toFixed(2)} requests and ${flood.bytesOut.toFixed(2)} bytes out for one in, for each receiver`,
  )
  const few = await besideBad(stage)
  console.log(
    `         ${FEW} write to ${FEW}: p99 ${ms(few.wellP99Ms)}; with 16 that fail, of the other 34: p99 ${ms(few.besideBadP99Ms)} (× ${few.besideBad.toFixed(2)})`,
  )
  console.log(`         the writer waits p50 ${ms(few.intakeP50Ms)}, p99 ${ms(few.intakeP99Ms)}`)
  return { engine, ...one, ...collapsed, ...few, ...flood }
}

const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`

/** A community with two spaces, in which everybody is a member. */
async function furnish({ url, port, people }: { url: string; port: number; people: readonly Somebody[] }) {
  const [founder, ...others] = people
  if (!founder) throw new Error('nobody')
  const call = async (method: string, input: object) => {
    const at = { url, serviceDid: `did:web:localhost%3A${port}`, nowSec: systemClock.nowSec() }
    const answer = await callAs(founder, at, method, input)
    if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const { did } = await call('community.reeve.community.mint', { name: 'Bench', custody })
  const spaces: string[] = []
  for (const skey of ['many', 'few']) {
    const made = await call('community.reeve.space.create', { community: did, spaceType: 'com.atmoboards.forum', skey })
    for (const other of others)
      await call('community.reeve.member.put', { space: made.uri, did: other.did, role: 'member' })
    spaces.push(made.uri)
  }
  return spaces as [string, string]
}

/** Every receiver is registered by somebody, with a credential of theirs. */
async function registerAll({ url, people }: Stage, space: string, ports: readonly number[]): Promise<void> {
  for (let at = 0; at < ports.length; at += PER_PERSON) {
    const person = people[at / PER_PERSON + 1]
    if (!person) throw new Error('too few people')
    const holder = makeKey('p256')
    const nowSec = systemClock.nowSec()
    const name = spaceOf(space)
    const bearer = `Bearer ${makeDelegation({ key: person.key, iss: person.did, space: name, nowSec })}`
    const proof = makeSpaceSignature({ key: holder, authorization: bearer })
    const { credential } = await post(url, 'com.atproto.space.getSpaceCredential', { space }, [
      ['authorization', bearer],
      ['signature-input', proof.signatureInput],
      ['signature', proof.signature],
    ])
    const authorization = `Atproto-Space ${credential}`
    const shown = makeSpaceSignature({ key: holder, authorization, audience: name.authority })
    for (const port of ports.slice(at, at + PER_PERSON)) {
      const service = `did:web:localhost%3A${port}#sync`
      await post(url, 'com.atproto.space.registerNotify', { space, service }, [
        ['authorization', authorization],
        ['atproto-space-audience', name.authority],
        ['signature-input', shown.signatureInput],
        ['signature', shown.signature],
      ])
    }
  }
}

async function post(url: string, method: string, body: object, headers: [string, string][]) {
  const answer = await sendRaw(url, {
    method: 'POST',
    path: `/xrpc/${method}`,
    headers: [...headers, ['content-type', 'application/json']],
    body: JSON.stringify(body),
  })
  if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** What the receivers count of a request, too: its body, and by whom it is. */
const bytesOf = ({ headers, body }: ReturnType<typeof writeOf>): number =>
  (body?.length ?? 0) + (headers?.find(([name]) => name === 'authorization')?.[1].length ?? 0)

/** One write; when it was sent, and how long its answer took. */
async function writeOnce({ url, people }: Stage, space: string, who: number) {
  const writer = people[who % people.length]
  if (!writer) throw new Error('nobody')
  const rev = freshRev(systemClock.nowMs())
  const request = writeOf({ clock: systemClock }, { writer, space, rev })
  const sentMs = performance.timeOrigin + performance.now()
  const answer = await sendRaw(url, request)
  if (answer.status !== 200) throw new Error(`notifyWrite: ${JSON.stringify(answer.body)}`)
  return {
    rev,
    repo: writer.did,
    sentMs,
    waitedMs: performance.timeOrigin + performance.now() - sentMs,
    bytes: bytesOf(request),
  }
}

/** What came, once `enough` says so. */
async function arrivals({ receivers }: Stage, enough: (some: readonly Arrival[]) => boolean) {
  const all: Arrival[] = []
  let bytes = 0
  const endMs = performance.now() + WAIT_MS
  for (;;) {
    const report = await askReceivers(receivers, { kind: 'collect' })
    if (report.kind !== 'collected') throw new Error('another report')
    all.push(...report.arrivals)
    bytes += report.bytes
    if (enough(all)) return { all, bytes }
    if (performance.now() > endMs) throw new Error(`${all.length} arrivals, and no more`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

type Round = Pick<
  FanoutReport,
  | 'lastMs'
  | 'p50Ms'
  | 'p99Ms'
  | 'besideDeadP99Ms'
  | 'besideDead'
  | 'perCpuSec'
  | 'signedPerCpuSec'
  | 'barePerCpuSec'
  | 'signedMs'
  | 'usOfProcess'
  | 'usOfDatabase'
>

async function oneToMany(stage: Stage, ports: readonly number[]) {
  // The first goes over new connections, to receivers that nobody knows yet.
  for (let warm = 0; warm < 3; warm++) await tellAll(stage, warm)
  const rounds: Round[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await roundOf(stage, ports, 10 + 2 * round))
  await askServed(stage.child, { kind: 'profile' })
  for (let more = 0; more < 10; more++) await tellAll(stage, 100 + more)
  const profiled = await askServed(stage.child, { kind: 'profiled' })
  if (profiled.kind !== 'profiled') throw new Error('another report')
  const of = (name: keyof Round) => median(rounds.map((round) => round[name]))
  return {
    lastMs: of('lastMs'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    besideDeadP99Ms: of('besideDeadP99Ms'),
    besideDead: of('besideDead'),
    perCpuSec: of('perCpuSec'),
    signedPerCpuSec: of('signedPerCpuSec'),
    barePerCpuSec: of('barePerCpuSec'),
    signedMs: of('signedMs'),
    shareOfSigned: median(rounds.map(({ perCpuSec, signedPerCpuSec }) => perCpuSec / signedPerCpuSec)),
    shareOfBare: median(rounds.map(({ perCpuSec, barePerCpuSec }) => perCpuSec / barePerCpuSec)),
    usOfProcess: of('usOfProcess'),
    usOfDatabase: of('usOfDatabase'),
    profile: profiled.shares,
  }
}

/** The bare POST, a write that all hear of, and one that all but one hear of: one after the other, so that a busy machine slows all. */
async function roundOf(stage: Stage, ports: readonly number[], who: number): Promise<Round> {
  const signed = await barePosts(stage, ports, true)
  const bare = await barePosts(stage, ports, false)
  await arrivals(stage, () => true)
  const before = await cpuOf(stage)
  const latencies = await tellAll(stage, who)
  await untilNothingWaits(stage)
  const after = await cpuOf(stage)
  const process = (after.process - before.process) / MANY
  const p99Ms = quantile(latencies, 0.99)
  await askReceivers(stage.receivers, { kind: 'manner', of: [0], manner: 'held' })
  const beside = await tellAll(stage, who + 1, ([receiver]) => receiver !== 0)
  await askReceivers(stage.receivers, { kind: 'manner', of: [0], manner: 'well' })
  await askReceivers(stage.receivers, { kind: 'release' })
  await untilNothingWaits(stage)
  return {
    lastMs: latencies.at(-1) ?? Number.NaN,
    p50Ms: quantile(latencies, 0.5),
    p99Ms,
    besideDeadP99Ms: quantile(beside, 0.99),
    besideDead: quantile(beside, 0.99) / p99Ms,
    perCpuSec: 1 / process,
    signedPerCpuSec: signed.perCpuSec,
    barePerCpuSec: bare.perCpuSec,
    signedMs: signed.allMs,
    usOfProcess: (process - 1 / signed.perCpuSec) * 1e6,
    usOfDatabase: ((after.database - before.database) / MANY) * 1e6,
  }
}

/** What was heard has been written down as well, which belongs to its cost. */
async function untilNothingWaits({ child }: Stage): Promise<void> {
  for (;;) {
    const report = await askServed(child, { kind: 'waiting' })
    if (report.kind !== 'waiting') throw new Error('another report')
    if (report.lanes === 0) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

async function barePosts({ child }: Stage, ports: readonly number[], isSigned: boolean) {
  const urls = ports.map((port) => `http://localhost:${port}`)
  const report = await askServed(child, { kind: 'posts', urls, rounds: 2, isSigned })
  if (report.kind !== 'posts') throw new Error('another report')
  return { perCpuSec: report.count / report.cpuSec, allMs: (report.wallSec / report.count) * 1_000 * ports.length }
}

/** One write, and how long it took to each of those who count, sorted. */
async function tellAll(stage: Stage, who: number, counts: (arrival: Arrival) => boolean = () => true) {
  const { rev, sentMs } = await writeOnce(stage, stage.space, who)
  const isOfIt = (arrival: Arrival) => arrival[2] === rev && counts(arrival)
  const most = everyReceiver.filter((receiver) => counts([receiver, '', rev, 0])).length
  const { all } = await arrivals(stage, (some) => some.filter(isOfIt).length >= most)
  return all
    .filter(isOfIt)
    .map(([, , , atMs]) => atMs - sentMs)
    .toSorted((a, b) => a - b)
}

const everyReceiver = Array.from({ length: MANY }, (_, at) => at)

/** All receivers keep their answer to one repo's write while another repo writes ten times. */
async function burst(stage: Stage) {
  await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'held' })
  await writeOnce(stage, stage.space, 200)
  await arrivals(stage, (some) => some.length >= MANY / 4)
  let last = ''
  for (let at = 0; at < 10; at++) last = (await writeOnce(stage, stage.space, 201)).rev
  const waiting = await askServed(stage.child, { kind: 'waiting' })
  if (waiting.kind !== 'waiting') throw new Error('another report')
  await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'well' })
  await askReceivers(stage.receivers, { kind: 'release' })
  const who = stage.people[201]?.did
  const { all } = await arrivals(stage, (some) => some.filter(([, , rev]) => rev === last).length >= MANY)
  const collapse = all.filter(([, repo]) => repo === who).length / MANY
  return { collapse, waiting: waiting.lanes, registrations: waiting.registrations }
}

async function besideBad(stage: Stage) {
  const bad = BAD.reduce((sum, [, count]) => sum + count, 0)
  const well = await fewToFew(stage, bad)
  let from = 0
  for (const [manner, count] of BAD) {
    await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver.slice(from, from + count), manner })
    from += count
  }
  const beside = await fewToFew(stage, bad)
  await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'well' })
  const waited = [...well.waitedMs, ...beside.waitedMs].toSorted((a, b) => a - b)
  return {
    wellP99Ms: well.p99Ms,
    besideBadP99Ms: beside.p99Ms,
    besideBad: beside.p99Ms / well.p99Ms,
    intakeP50Ms: quantile(waited, 0.5),
    intakeP99Ms: quantile(waited, 0.99),
  }
}

/** Fifty people write at once, again and again; how long it took to those receivers that are always well. */
async function fewToFew(stage: Stage, bad: number) {
  const p99sMs: number[] = []
  const waitedMs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const writes = await Promise.all(Array.from({ length: FEW }, (_, at) => writeOnce(stage, stage.few, 30 + at)))
    const sent = new Map(writes.map(({ rev, sentMs }) => [rev, sentMs]))
    for (const write of writes) waitedMs.push(write.waitedMs)
    const isOfWell = ([at, , rev]: Arrival) => at >= bad && sent.has(rev)
    const { all } = await arrivals(stage, (some) => some.filter(isOfWell).length >= FEW * (FEW - bad))
    const latencies = all.filter(isOfWell).map((arrival) => arrival[3] - (sent.get(arrival[2]) ?? Number.NaN))
    p99sMs.push(
      quantile(
        latencies.toSorted((a, b) => a - b),
        0.99,
      ),
    )
    // The same repos write again: a second must have passed, or they would wait for it to pass.
    await new Promise((resolve) => setTimeout(resolve, 1_200))
  }
  return { p99Ms: median(p99sMs), waitedMs }
}

async function amplification(stage: Stage) {
  await untilNothingWaits(stage)
  await arrivals(stage, () => true)
  let bytesIn = 0
  let last = ''
  const writes = 100
  for (let at = 0; at < writes; at++) {
    const write = await writeOnce(stage, stage.few, 200)
    bytesIn += write.bytes
    last = write.rev
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const { all, bytes } = await arrivals(stage, (some) => some.filter(([, , rev]) => rev === last).length >= FEW)
  return { requestsOut: all.length / writes / FEW, bytesOut: bytes / bytesIn / FEW }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

async function cpuOf({ child }: Stage): Promise<{ process: number; database: number }> {
  const report = await askServed(child, { kind: 'cpu' })
  if (report.kind !== 'cpu') throw new Error('another report')
  return { process: report.cpuSec, database: report.databaseSec }
}

async function askServed(child: ChildProcess, order: Order): Promise<Report> {
  const answered = nextReport(child)
  child.send(order)
  return answered
}

async function askReceivers(child: ChildProcess, order: ReceiverOrder): Promise<ReceiverReport> {
  const answered = once(child, 'message')
  child.send(order)
  const [report] = await answered
  return report
}

async function nextReport(child: ChildProcess): Promise<Report> {
  const [report] = await once(child, 'message')
  return report
}

async function readyReceivers(child: ChildProcess) {
  const [report] = (await once(child, 'message')) as [ReceiverReport]
  if (report.kind !== 'ready') throw new Error('another report')
  return report
}
