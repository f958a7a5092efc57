/**
 * How quickly those who asked hear of a write, what that costs, and whether receivers that fail cost anybody else anything. All of it
 * over real sockets, with the durable outbox, in one run: the unit is a bare signed POST of the same client in the same process.
 */
import {
  arrivals,
  askReceivers,
  askServed,
  barePosts,
  type CreateDatabase,
  cpuOf,
  onStage,
  type Stage,
  tellAll,
  untilNothingWaits,
  writeOnce,
} from './fanout-stage.ts'
import { quantile } from './load.ts'
import { lineOfShares } from './profile.ts'
import type { Arrival, Manner } from './receivers.ts'
import { type Figure, figureOf, median } from './rows.ts'

const MANY = 1_000
const FEW = 50
const COUNTS = [10, 100, MANY] as const
/** Writes in one round, so that few receivers are measured as long as many. */
const WRITES: Readonly<Record<number, number>> = { 10: 10, 100: 3, [MANY]: 1 }
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3) * 2 + 1
const BURSTS = 3
const BAD: readonly (readonly [Manner, number])[] = [
  ['never', 5],
  ['drop by drop', 5],
  ['500', 5],
  ['redirect', 1],
]
const FAILING = BAD.reduce((sum, [, count]) => sum + count, 0)
const everyReceiver = Array.from({ length: MANY }, (_, at) => at)

/** What the part reports. */

/** Makes a figure of this engine. */
type Figuring = (
  about: Partial<Pick<Figure, 'row' | 'aim'>> & Pick<Figure, 'what' | 'unit'>,
  values: readonly number[],
  absolutes?: Figure['absolutes'],
) => Figure

/** Measures one engine on a network of its own, and prints a line for each figure. */
export const measureFanout = (
  engine: 'postgres' | 'embedded',
  createDatabase: CreateDatabase,
): Promise<readonly Figure[]> =>
  onStage(engine, createDatabase, [FEW, ...COUNTS], async (stage) => {
    const figure: Figuring = (about, values, absolutes) =>
      figureOf({ row: null, aim: null, engine, ...about }, values, absolutes)
    const figures: Figure[] = []
    for (const part of [oneToMany, growth, whereItGoes, burst, amplification, besideBad]) {
      for (const one of await part(stage, figure)) {
        figures.push(one)
        console.log(lineOf(one))
      }
    }
    return figures
  })

function lineOf({ engine, row, what, value, unit, spread, absolutes }: Figure): string {
  const more = Object.entries(absolutes).map(([name, each]) => `${name} ${short(each)}`)
  return `${engine.padEnd(8)} ${row ?? '  '} ${what}: ${short(value)} ${unit} (${spread.map(short).join(' to ')}) ${more.join(', ')}`
}

const short = (value: number): string => value.toFixed(value < 10 ? 2 : 0)

interface Round {
  readonly lastMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly besideDeadP99Ms: number
  readonly perCpuSec: number
  readonly signedPerCpuSec: number
  readonly barePerCpuSec: number
  /** As many bare POSTs with a token signed for each, all at once, from the first to the last answer. */
  readonly signedMs: number
  /** Processor time of a delivery besides a bare signed POST: of the process, and of the database server. */
  readonly usOfProcess: number
  readonly usOfDatabase: number
}

async function oneToMany(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  // The first goes over new connections, to receivers that nobody knows yet.
  for (let warm = 0; warm < 3; warm++) await tellAll(stage, stage.toldOf(MANY), warm)
  const rounds: Round[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await roundOf(stage, 10 + 2 * round))
  const each = (value: (round: Round) => number) => rounds.map(value)
  const middle = (name: keyof Round) => median(each((round) => round[name]))
  const perCpuSec = middle('perCpuSec')
  return [
    figure(
      {
        ...{ row: 16, unit: 'times', aim: { atLeast: 0.3, better: 0.45 } },
        what: 'deliveries per CPU second / bare POSTs, a token signed for each',
      },
      each((round) => round.perCpuSec / round.signedPerCpuSec),
      { 'deliveries per CPU second': perCpuSec, 'signed POSTs per CPU second': middle('signedPerCpuSec') },
    ),
    figure(
      {
        ...{ row: 16, unit: 'times', aim: { atLeast: 0.85, better: 0.95 } },
        what: 'deliveries per CPU second, a token signed for each, / bare POSTs that reuse one',
      },
      each((round) => round.perCpuSec / round.barePerCpuSec),
      { 'deliveries per CPU second': perCpuSec, 'POSTs per CPU second': middle('barePerCpuSec') },
    ),
    figure(
      {
        row: 17,
        unit: 'ms',
        aim: { atMost: 250, better: 120 },
        what: `one write to ${MANY} receivers: the last hears`,
      },
      each((round) => round.lastMs),
      { 'p50 ms': middle('p50Ms'), 'p99 ms': middle('p99Ms'), 'as many bare signed POSTs ms': middle('signedMs') },
    ),
    figure(
      {
        ...{ row: 17, unit: 'times', aim: { atMost: 1.05, better: null } },
        what: 'p99 of the others beside one that does not answer / without it',
      },
      each((round) => round.besideDeadP99Ms / round.p99Ms),
      { 'beside it ms': middle('besideDeadP99Ms'), 'without ms': middle('p99Ms') },
    ),
    figure(
      {
        ...{ row: 18, unit: 'µs', aim: { atMost: 30, better: 20 } },
        what: 'processor time of a delivery besides the signed POST, process and database',
      },
      each((round) => round.usOfProcess + round.usOfDatabase),
      { 'process µs': middle('usOfProcess'), 'database µs': middle('usOfDatabase') },
    ),
  ]
}

/** The bare POST, a write that all hear of, and one that all but one hear of: one after the other, so that a busy machine slows all. */
async function roundOf(stage: Stage, who: number): Promise<Round> {
  const many = stage.toldOf(MANY)
  const signed = await barePosts(stage, true)
  const bare = await barePosts(stage, false)
  await arrivals(stage, () => true)
  const before = await cpuOf(stage)
  const latencies = await tellAll(stage, many, who)
  await untilNothingWaits(stage)
  const after = await cpuOf(stage)
  const process = (after.process - before.process) / MANY
  await askReceivers(stage.receivers, { kind: 'manner', of: [0], manner: 'held' })
  const beside = await tellAll(stage, many, who + 1, (receiver) => receiver !== 0)
  await askReceivers(stage.receivers, { kind: 'manner', of: [0], manner: 'well' })
  await askReceivers(stage.receivers, { kind: 'release' })
  await untilNothingWaits(stage)
  return {
    lastMs: latencies.at(-1) ?? Number.NaN,
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    besideDeadP99Ms: quantile(beside, 0.99),
    perCpuSec: 1 / process,
    signedPerCpuSec: signed.perCpuSec,
    barePerCpuSec: bare.perCpuSec,
    signedMs: signed.allMs,
    usOfProcess: (process - 1 / signed.perCpuSec) * 1e6,
    usOfDatabase: ((after.database - before.database) / MANY) * 1e6,
  }
}

/** One write to ever more receivers: when the last hears, and what each delivery costs, the intake of the write with it. */
async function growth(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const receivers of COUNTS) {
    const told = stage.toldOf(receivers)
    const writes = WRITES[receivers] ?? 1
    const lastsMs: number[] = []
    const costsUs: number[] = []
    for (let round = 0; round <= ROUNDS; round++) {
      const before = await cpuOf(stage)
      const some: number[] = []
      for (let at = 0; at < writes; at++)
        some.push((await tellAll(stage, told, round * writes + at)).at(-1) ?? Number.NaN)
      await untilNothingWaits(stage)
      const after = await cpuOf(stage)
      // The first goes over connections that may have been closed meanwhile.
      if (round === 0) continue
      lastsMs.push(median(some))
      const spent = after.process - before.process + after.database - before.database
      costsUs.push((spent / writes / receivers) * 1e6)
    }
    const x = { 'x receivers': receivers }
    figures.push(
      figure({ unit: 'ms', what: `growth: one write to ${receivers} receivers: the last hears` }, lastsMs, x),
      figure(
        { unit: 'µs', what: `growth: one write to ${receivers} receivers: processor time of a delivery` },
        costsUs,
        { ...x, 'all deliveries µs': median(costsUs) * receivers },
      ),
    )
  }
  return figures
}

/** Where the process spends its time on deliveries. */
async function whereItGoes(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  await askServed(stage.child, { kind: 'profile' })
  const before = await cpuOf(stage)
  for (let more = 0; more < 5; more++) await tellAll(stage, stage.toldOf(MANY), 40 + more)
  const after = await cpuOf(stage)
  const profiled = await askServed(stage.child, { kind: 'profiled' })
  if (profiled.kind !== 'profiled') throw new Error('another report')
  const perDeliveryUs = ((after.process - before.process) / 5 / MANY) * 1e6
  const stages = Object.entries(profiled.shares.stages).map(([name, share]) => [`${name} µs`, share * perDeliveryUs])
  console.log(`         % of its time: ${lineOfShares(profiled.shares)}`)
  const what = 'processor time of a delivery in the process, by what it goes into, under the profiler'
  return [figure({ unit: 'µs', what }, [perDeliveryUs], Object.fromEntries(stages))]
}

/** All receivers keep their answer to one repo's write while another repo writes ten times. */
async function burst(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  const { space } = stage.toldOf(MANY)
  const collapses: number[] = []
  const lanes: number[] = []
  let registrations = 0
  for (let round = 0; round < BURSTS; round++) {
    await untilNothingWaits(stage)
    await arrivals(stage, () => true)
    await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'held' })
    await writeOnce(stage, space, 50 + 2 * round)
    await arrivals(stage, (some) => some.length >= MANY / 4)
    let last = { rev: '', repo: '' }
    for (let at = 0; at < 10; at++) last = await writeOnce(stage, space, 51 + 2 * round)
    const waiting = await askServed(stage.child, { kind: 'waiting' })
    if (waiting.kind !== 'waiting') throw new Error('another report')
    await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'well' })
    await askReceivers(stage.receivers, { kind: 'release' })
    const { all } = await arrivals(stage, (some) => some.filter(([, , rev]) => rev === last.rev).length >= MANY)
    collapses.push(all.filter(([, repo]) => repo === last.repo).length / MANY)
    lanes.push(waiting.lanes)
    registrations = waiting.registrations
  }
  const what = 'deliveries for each receiver of ten writes while all are busy'
  return [
    figure({ row: 19, unit: 'times', aim: { atMost: 1.2, better: 1 }, what }, collapses, { 'x receivers': MANY }),
    figure({ unit: 'count', what: 'lanes that wait then' }, lanes, { 'registrations count': registrations }),
  ]
}

/** One repo writes ten times a second: requests and bytes out for each that came in, and for each receiver. */
async function amplification(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  await untilNothingWaits(stage)
  await arrivals(stage, () => true)
  let bytesIn = 0
  let last = ''
  const writes = 100
  for (let at = 0; at < writes; at++) {
    const write = await writeOnce(stage, stage.toldOf(FEW).space, 90)
    bytesIn += write.bytes
    last = write.rev
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const { all, bytes } = await arrivals(stage, (some) => some.filter(([, , rev]) => rev === last).length >= FEW)
  const how = `for one in, for each of ${FEW} receivers, while one repo writes ten times a second`
  return [
    figure({ unit: 'times', what: `requests out ${how}` }, [all.length / writes / FEW]),
    figure({ unit: 'times', what: `bytes out ${how}` }, [bytes / bytesIn / FEW]),
  ]
}

/** Fifty write to fifty, all well, and with sixteen that fail: the p99 of those that are well in both. */
async function besideBad(stage: Stage, figure: Figuring): Promise<readonly Figure[]> {
  const well = await fewToFew(stage)
  let from = 0
  for (const [manner, count] of BAD) {
    await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver.slice(from, from + count), manner })
    from += count
  }
  const beside = await fewToFew(stage)
  await askReceivers(stage.receivers, { kind: 'manner', of: everyReceiver, manner: 'well' })
  const waited = [...well.waitedMs, ...beside.waitedMs].toSorted((a, b) => a - b)
  const shares = beside.p99sMs.map((p99Ms) => p99Ms / median(well.p99sMs))
  return [
    figure(
      {
        unit: 'times',
        what: `${FEW} write to ${FEW}: p99 of those that are well, beside ${FAILING} that fail, / without`,
      },
      shares,
      { 'beside them ms': median(beside.p99sMs), 'without ms': median(well.p99sMs) },
    ),
    figure({ unit: 'ms', what: `what ${FEW} who write at once wait for their answer: p50` }, [quantile(waited, 0.5)], {
      'p99 ms': quantile(waited, 0.99),
    }),
  ]
}

/** Fifty people write at once, again and again; how long it took to those receivers that are always well. */
async function fewToFew(
  stage: Stage,
): Promise<{ readonly p99sMs: readonly number[]; readonly waitedMs: readonly number[] }> {
  const { space } = stage.toldOf(FEW)
  const p99sMs: number[] = []
  const waitedMs: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const writes = await Promise.all(Array.from({ length: FEW }, (_, at) => writeOnce(stage, space, 30 + at)))
    const sent = new Map(writes.map(({ rev, sentMs }) => [rev, sentMs]))
    for (const write of writes) waitedMs.push(write.waitedMs)
    const isOfWell = ([at, , rev]: Arrival) => at >= FAILING && sent.has(rev)
    const { all } = await arrivals(stage, (some) => some.filter(isOfWell).length >= FEW * (FEW - FAILING))
    const latencies = all.filter(isOfWell).map(([, , rev, atMs]) => atMs - (sent.get(rev) ?? Number.NaN))
    const sorted = latencies.toSorted((a, b) => a - b)
    p99sMs.push(quantile(sorted, 0.99))
    // The same repos write again: a second must have passed, or they would wait for it to pass.
    await new Promise((resolve) => setTimeout(resolve, 1_200))
  }
  return { p99sMs, waitedMs }
}
