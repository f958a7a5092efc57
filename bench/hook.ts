/**
 * The fourth part of `npm run bench`: what it costs to answer the PDS of an account whether somebody may come into one of its spaces.
 *
 * The unit is the same process reading and verifying as many service JWTs, in the same round; a decision alone is held against the
 * cryptography of an exchange. Every question brings a token of its own, as a PDS sends it, but where it says otherwise. Each answer has to
 * be yes, or nothing is measured. The contenders take turns, round for round.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Did, SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type AskingHost, atRate, openAskingHost, type Prepared, pathOf, tokenFor } from '../test/kit/asking-often.ts'
import { callAs, makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { freePort } from '../test/kit/ports.ts'
import { FORUM } from '../test/kit/roll.ts'
import { quantile } from './load.ts'
import { lineOfShares, type Shares } from './profile.ts'
import { personOf } from './roll-world.ts'
import type { Order, Report } from './served.ts'
import { prepare } from './tokens.ts'

const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5)
const PER_ROUND = Number(process.env['BENCH_REQUESTS'] ?? 1500) * 2
const VERIFIED = 2_000
/** People on the roster, of the space where most is measured and of the large one; and of how many of them is asked. */
const [FEW, MANY] = [1_000, 100_000]
const ASKED_ABOUT = 1_000
/** What a question costs is asked of so many at once. */
const IN_FLIGHT = 64
const STEADY = { perSec: 1_000, seconds: 20, most: 200 } as const
const CHANGE_REST_MS = 40
const BARE = 'an answer of bare HTTP'
const TARGETS = { efficiency: 0.6, ambition: 0.75, policy: 0.02 } as const

export interface HookFigure {
  readonly what: string
  readonly inFlight: number
  /** Answers per second of the process's processor time, over verified tokens. */
  readonly share: number
  readonly perCpuSec: number
  readonly verifiesPerCpuSec: number
  /** Processor time of the database server for each answer; none where it is in the process. */
  readonly databaseUs: number
  readonly perWallSec: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly rssMiB: number
}

export interface HookReport {
  readonly engine: string
  readonly load: readonly [number, number]
  readonly figures: readonly HookFigure[]
  /** The processor time of a write question over that of a read question, and of a read among very many people over one among few. */
  readonly writeOverRead: number
  readonly growth: number
  /** What the share would be if there were nothing but the token to verify and the bare server's answer. */
  readonly ceiling: number
  /** Where the process spends its time on reads. */
  readonly profile: Shares
  /** Microseconds of a verdict, of an exchange's cryptography, and of one verification. */
  readonly decisionUs: number
  readonly mintUs: number
  readonly verifyUs: number
  readonly steady: Steady
}

/** Asked at a fixed rate while people come and go. */
interface Steady {
  readonly perSec: number
  readonly yes: number
  readonly undecided: number
  readonly changes: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly longestMs: number
  /** Of the process, while it is asked so many a second. */
  readonly processorShare: number
}

type Engine = 'postgres' | 'embedded'
type CreateDatabase = (what: string) => Promise<{ url: string; drop(): Promise<void> }>

/** One Reeve with an account, a space of its PDS, and people on its roster. */
interface Stage {
  readonly child: ChildProcess
  readonly at: { readonly url: string; readonly serviceDid: string }
  readonly account: Somebody
  readonly owner: Somebody
  readonly space: SpaceUri
  readonly people: number
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Measures one engine and prints its table. `createDatabase` makes an empty database on the server. */
export async function measureHook(engine: Engine, createDatabase: CreateDatabase): Promise<HookReport> {
  const before = loadavg()[0] ?? Number.NaN
  const plc = await startPlcServer()
  const closing: (() => Promise<unknown>)[] = [() => plc.close()]
  try {
    const open = (what: string, people: number) => openStage({ engine, createDatabase, plcUrl: plc.url, what, people })
    const few = await open('hook_few', FEW)
    closing.unshift(few.close)
    const many = await open('hook_many', MANY)
    closing.unshift(many.close)
    const report = await measureAll(engine, few.stage, many.stage, before)
    print(report)
    return report
  } finally {
    for (const close of closing) await close()
  }
}

async function openStage(about: {
  engine: Engine
  createDatabase: CreateDatabase
  plcUrl: string
  what: string
  people: number
}): Promise<{ stage: Stage; close: () => Promise<void> }> {
  const { engine, createDatabase, plcUrl, what, people } = about
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  const database = engine === 'postgres' ? await createDatabase(what) : null
  const port = await freePort()
  const url = `http://localhost:${port}`
  const child = fork(new URL('served.ts', import.meta.url), {
    env: {
      PATH: process.env['PATH'],
      REEVE_PUBLIC_URL: url,
      REEVE_PORT: String(port),
      REEVE_DATA_DIR: folder,
      REEVE_PLC_URL: plcUrl,
      REEVE_ALLOW_LOOPBACK: '1',
      ...(database ? { DATABASE_URL: database.url } : {}),
    },
  })
  const close = async () => {
    if (child.exitCode === null) {
      child.send({ kind: 'end' } satisfies Order)
      await once(child, 'exit')
    }
    await database?.drop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await once(child, 'message')
    const [account, owner] = [await makeSomebody(plcUrl), await makeSomebody(plcUrl)]
    const at = { url, serviceDid: `did:web:localhost%3A${port}` }
    await call(at, account, 'community.adopt', { name: 'Bench', owner: owner.did })
    const input = { community: account.did, spaceType: FORUM, skey: 'main', host: 'pds' }
    const { uri: space } = await call(at, owner, 'space.create', input)
    const stage: Stage = { child, at, account, owner, space, people }
    await ask(stage, { kind: 'fill', space, people: [1, people] })
    return { stage, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function call(at: Stage['at'], by: Somebody, method: string, input: object) {
  const answer = await callAs(by, { ...at, nowSec: systemClock.nowSec() }, `community.reeve.${method}`, input)
  if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

async function ask<K extends Report['kind']>(
  { child }: Stage,
  order: Order,
  kind?: K,
): Promise<Extract<Report, { kind: K }>> {
  const answered = once(child, 'message')
  child.send(order)
  const [report] = await answered
  if (kind !== undefined && report.kind !== kind) throw new Error('another report')
  return report
}

/** Somebody on the roster. Neighbours in number don't stand beside each other. */
const memberOf = ({ people }: Stage, at: number): Did => personOf(1 + ((at * 104_729) % people))

/** How a question is asked: what for, and with a token of its own or always the same. */
interface Manner {
  readonly access: 'read' | 'write'
  readonly isReused?: boolean
  /** From which person on; by itself always of the same thousand. */
  readonly from?: number
}

function questions(stage: Stage, count: number, { access, isReused = false, from }: Manner): Prepared[] {
  const { account, at, space } = stage
  const token = () => `Bearer ${tokenFor(account, at.serviceDid, systemClock.nowSec())}`
  const always = token()
  return Array.from({ length: count }, (_, nth) => {
    const user = memberOf(stage, from === undefined ? nth % ASKED_ABOUT : from + nth)
    return { path: pathOf({ space, user, access }), authorization: isReused ? always : token() }
  })
}

/** Of the questions of a round, so many may be left undecided, on a machine on which other work is running. */
const UNDECIDED_MAX = 0.01

/** Asks everything, so many at a time. @throws Error when an answer is no, or very many are none */
async function askAll(host: AskingHost, all: readonly Prepared[], inFlight: number) {
  const latenciesMs: number[] = []
  let next = 0
  let undecided = 0
  const worker = async () => {
    for (let at = next++; at < all.length; at = next++) {
      const begun = performance.now()
      const question = all[at]
      const answer = question && (await host.ask(question))
      if (answer === 'undecided') undecided += 1
      else if (answer !== 'yes') throw new Error(`a member was told ${answer}`)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  if (undecided > all.length * UNDECIDED_MAX) throw new Error(`${undecided} of ${all.length} were left undecided`)
  return { wallSec: (performance.now() - begun) / 1_000, latenciesMs: latenciesMs.toSorted((a, b) => a - b) }
}

interface Contender extends Manner {
  readonly what: string
  readonly stage: Stage
  readonly inFlight: number
  /** Another server of the same process, in place of Reeve. */
  readonly url?: string
  /** Nobody is ever asked about twice. */
  readonly isFirst?: boolean
}

/** Every contender once without counting, and then in turns. Medians of the rounds. */
async function inTurns(contenders: readonly Contender[]): Promise<HookFigure[]> {
  const rounds = contenders.map((): HookFigure[] => [])
  let asked = ASKED_ABOUT
  for (let round = -1; round < ROUNDS; round++) {
    for (const [nth, contender] of contenders.entries()) {
      const from = contender.isFirst ? asked : undefined
      if (contender.isFirst) asked += PER_ROUND
      const figure = await roundOf({ ...contender, ...(from === undefined ? {} : { from }) })
      if (round >= 0) rounds[nth]?.push(figure)
    }
  }
  return contenders.map(({ what, inFlight }, nth) => {
    const of = (name: Exclude<keyof HookFigure, 'what' | 'inFlight'>) =>
      median((rounds[nth] ?? []).map((figure) => figure[name]))
    return {
      ...{ what, inFlight, share: of('share'), perCpuSec: of('perCpuSec') },
      ...{ verifiesPerCpuSec: of('verifiesPerCpuSec'), databaseUs: of('databaseUs'), perWallSec: of('perWallSec') },
      ...{ p50Ms: of('p50Ms'), p99Ms: of('p99Ms'), rssMiB: of('rssMiB') },
    }
  })
}

async function roundOf({ what, stage, inFlight, url = stage.at.url, ...manner }: Contender): Promise<HookFigure> {
  const host = openAskingHost(url, inFlight, (says) => console.error(says))
  const all = questions(stage, PER_ROUND, manner)
  const tokens = questions(stage, VERIFIED, { access: 'read' }).map(({ authorization }) => authorization.slice(7))
  const order = { kind: 'verifies', tokens, didKey: stage.account.key.didKey } as const
  const verified = await ask(stage, order, 'crypto')
  const before = await ask(stage, { kind: 'cpu' }, 'cpu')
  const { wallSec, latenciesMs } = await askAll(host, all, inFlight)
  const after = await ask(stage, { kind: 'cpu' }, 'cpu')
  await host.close()
  const perCpuSec = all.length / (after.cpuSec - before.cpuSec)
  const verifiesPerCpuSec = verified.count / verified.cpuSec
  return {
    ...{ what, inFlight, share: perCpuSec / verifiesPerCpuSec, perCpuSec, verifiesPerCpuSec },
    databaseUs: ((after.databaseSec - before.databaseSec) / all.length) * 1e6,
    perWallSec: all.length / wallSec,
    ...{ p50Ms: quantile(latenciesMs, 0.5), p99Ms: quantile(latenciesMs, 0.99), rssMiB: after.rssMiB },
  }
}

async function measureAll(engine: Engine, few: Stage, many: Stage, before: number): Promise<HookReport> {
  const read = { access: 'read', stage: few } as const
  const { port } = await ask(few, { kind: 'bare' }, 'bare')
  const figures = await inTurns([
    { ...read, what: 'read', inFlight: 1 },
    { ...read, what: 'read', inFlight: 8 },
    { ...read, what: 'read', inFlight: IN_FLIGHT },
    { ...read, access: 'write', what: 'write', inFlight: IN_FLIGHT },
    { ...read, isReused: true, what: 'read, one token', inFlight: IN_FLIGHT },
    { ...read, stage: many, what: `read, among ${MANY}`, inFlight: IN_FLIGHT },
    { ...read, stage: many, isFirst: true, what: 'read, asked for the first time', inFlight: IN_FLIGHT },
    { ...read, what: BARE, url: `http://localhost:${port}`, inFlight: IN_FLIGHT },
  ])
  const costOf = (what: string) =>
    1 / (figures.find((one) => one.what === what && one.inFlight === IN_FLIGHT)?.perCpuSec ?? 0)
  const allOf = (what: string) => {
    const found = figures.find((one) => one.what === what && one.inFlight === IN_FLIGHT)
    return costOf(what) * 1e6 + (found?.databaseUs ?? Number.NaN)
  }
  return {
    engine,
    figures,
    ceiling: 1 / (1 + costOf(BARE) * (figures.find(({ what }) => what === BARE)?.verifiesPerCpuSec ?? Number.NaN)),
    writeOverRead: costOf('write') / costOf('read'),
    growth: allOf(`read, among ${MANY}`) / allOf('read'),
    profile: await profileOf(few),
    ...(await alone(few)),
    steady: await steadily(few),
    load: [before, loadavg()[0] ?? Number.NaN],
  }
}

async function profileOf(stage: Stage): Promise<Shares> {
  const all = questions(stage, 2 * PER_ROUND, { access: 'read' })
  const host = openAskingHost(stage.at.url, IN_FLIGHT)
  await ask(stage, { kind: 'profile' })
  await askAll(host, all, IN_FLIGHT)
  const { shares } = await ask(stage, { kind: 'profiled' }, 'profiled')
  await host.close()
  return shares
}

/** What the parts cost by themselves, in the same process. */
async function alone(stage: Stage): Promise<Pick<HookReport, 'decisionUs' | 'mintUs' | 'verifyUs'>> {
  const { account, at, space } = stage
  const dids = Array.from({ length: 200 }, (_, nth) => memberOf(stage, nth))
  const url = `${at.url}/xrpc/com.atproto.space.getSpaceCredential`
  const rounds: { decisionUs: number; mintUs: number; verifyUs: number }[] = []
  const usOf = async (order: Order) => {
    const { cpuSec, count } = await ask(stage, order, 'crypto')
    return (cpuSec / count) * 1e6
  }
  for (let round = -1; round < ROUNDS; round++) {
    const tokens = questions(stage, VERIFIED, { access: 'read' }).map(({ authorization }) => authorization.slice(7))
    const mints = prepare([account], { space, url, generation: 'october', count: 300, nowSec: systemClock.nowSec() })
    const one = {
      decisionUs: await usOf({ kind: 'decisions', space, dids, rounds: 100 }),
      mintUs: await usOf({ kind: 'crypto', requests: mints, url }),
      verifyUs: await usOf({ kind: 'verifies', tokens, didKey: account.key.didKey }),
    }
    if (round >= 0) rounds.push(one)
  }
  const of = (name: 'decisionUs' | 'mintUs' | 'verifyUs') => median(rounds.map((one) => one[name]))
  return { decisionUs: of('decisionUs'), mintUs: of('mintUs'), verifyUs: of('verifyUs') }
}

/** At a fixed rate, while an owner puts people on the roster and takes them off again: others than those who are asked about. */
async function steadily(stage: Stage): Promise<Steady> {
  const { at, owner, account, space } = stage
  const host = openAskingHost(at.url, STEADY.most, (says) => console.error(says))
  const counts = { yes: 0, no: 0, undecided: 0, lost: 0 }
  const latenciesMs: number[] = []
  let isOver = false
  let changes = 0
  const changing = async () => {
    for (; !isOver; changes++) {
      const did = personOf(`guest-${changes >> 1}`)
      if (changes % 2 === 0) await call(at, owner, 'member.put', { space, did, role: 'member' })
      else await call(at, owner, 'member.remove', { space, did })
      await sleep(CHANGE_REST_MS)
    }
  }
  const before = await ask(stage, { kind: 'cpu' }, 'cpu')
  const changed = changing()
  const { wallSec } = await atRate(STEADY, async (nth) => {
    const authorization = `Bearer ${tokenFor(account, at.serviceDid, systemClock.nowSec())}`
    const user = memberOf(stage, nth % ASKED_ABOUT)
    const begun = performance.now()
    counts[await host.ask({ path: pathOf({ space, user, access: nth % 2 === 0 ? 'read' : 'write' }), authorization })]++
    latenciesMs.push(performance.now() - begun)
  })
  isOver = true
  await changed
  const after = await ask(stage, { kind: 'cpu' }, 'cpu')
  await host.close()
  if (counts.no > 0 || counts.lost > 0) throw new Error(`told a member ${JSON.stringify(counts)}`)
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return {
    perSec: sorted.length / wallSec,
    ...{ yes: counts.yes, undecided: counts.undecided, changes },
    ...{ p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99), longestMs: sorted.at(-1) ?? Number.NaN },
    processorShare: (after.cpuSec - before.cpuSec) / wallSec,
  }
}

const percent = (share: number): string => `${(share * 100).toFixed(0)} %`
const verdict = (isMet: boolean): string => (isMet ? 'ok' : 'MISSED')

function print(report: HookReport): void {
  const { engine, figures, steady, load, decisionUs, mintUs, verifyUs } = report
  console.log(
    `${engine}: questions of a PDS; medians of ${ROUNDS} rounds of ${PER_ROUND}; load ${load.map((one) => one.toFixed(1)).join(' → ')}`,
  )
  for (const { what, inFlight, share, ...rest } of figures) {
    const numbers = Object.entries(rest).map(([name, value]) => `${name} ${value.toFixed(value < 10 ? 2 : 0)}`)
    console.log(
      `         ${what}, ${inFlight} in flight: ${percent(share)} of verifying the token alone  ${numbers.join('  ')}`,
    )
  }
  const efficiency =
    figures.find(({ what, inFlight }) => what === 'read' && inFlight === IN_FLIGHT)?.share ?? Number.NaN
  const { efficiency: least, ambition, policy: most } = TARGETS
  const isMeant = engine === 'postgres'
  console.log(
    `   4     answers / verified tokens, ${IN_FLIGHT} in flight: ${efficiency.toFixed(2)}${isMeant ? `  [≥ ${least}, better ${ambition}]  ${verdict(efficiency >= least)}` : ''}`,
  )
  console.log(
    `         of nothing but a verified token and an answer of bare HTTP it would be ${report.ceiling.toFixed(2)}`,
  )
  const policy = decisionUs / mintUs
  console.log(
    `  15     a decision / the cryptography of an exchange: ${policy.toFixed(4)} (${decisionUs.toFixed(1)} / ${mintUs.toFixed(0)} µs)  [≤ ${most}]  ${verdict(policy <= most)}; / one verification: ${(decisionUs / verifyUs).toFixed(3)} (${verifyUs.toFixed(0)} µs)`,
  )
  console.log(
    `         a write / a read: ${report.writeOverRead.toFixed(2)}; among ${MANY} people / among ${FEW}, process and database: ${report.growth.toFixed(2)}`,
  )
  console.log(
    `         ${steady.perSec.toFixed(0)} a second during ${steady.changes} changes: p50 ${steady.p50Ms.toFixed(1)} ms, p99 ${steady.p99Ms.toFixed(0)} ms, longest ${steady.longestMs.toFixed(0)} ms; undecided ${steady.undecided}; ${percent(steady.processorShare)} of a processor`,
  )
  console.log(`         % of its time on reads: ${lineOfShares(report.profile)}`)
}
