/**
 * The fourth part: Reeve as a process. How soon it answers, how much memory it takes, what it has lost when it is ended in the middle, and
 * whether two of them ever say different things.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { measureCrashes, measureSecondProcess } from './crashes.ts'
import { askingOf, BASE, prepared } from './exchange-rounds.ts'
import { exchangeRequest, loadAll, openSender } from './load.ts'
import { measureClaims, measureStale } from './replicas.ts'
import { type Figure, figureOf, median } from './rows.ts'
import { amount, type Engine, IS_QUICK } from './settings.ts'
import { openStage, type Place, type Stage } from './stage.ts'
import { AIMS } from './targets.ts'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))
const STARTS = amount('BENCH_STARTS', 5, 2)
const LOAD_SECONDS = amount('BENCH_LOAD_SECONDS', 60, 3)
const MINTS = amount('BENCH_MINTS', 200_000, 1_000)
/** Exchanges that are signed beforehand and sent in one go. */
const AT_A_TIME = IS_QUICK ? 200 : 2_000
const SPACES = IS_QUICK ? 500 : 5_000
const PEOPLE = 20
const HEALTH = { method: 'GET', path: '/xrpc/_health', headers: {}, body: '' } as const
/** What a process takes that has just started is not yet what it takes when nothing happens. */
const SETTLING_MS = IS_QUICK ? 1_000 : 5_000

export async function measureProcess(engine: Engine, says: (line: string) => void): Promise<readonly Figure[]> {
  says(`${engine}: ${STARTS} starts, and memory when idle`)
  const figures = [...(await startsOf(engine))]
  says(`${engine}: memory under ${LOAD_SECONDS} s of load, and after ${MINTS} exchanges`)
  figures.push(...(await memoryOf(engine)))
  says(`${engine}: ends by SIGKILL`)
  figures.push(...(await measureCrashes(engine)))
  if (engine === 'embedded') {
    says(`${engine}: a second process on one directory`)
    return [...figures, ...(await measureSecondProcess())]
  }
  says(`${engine}: two processes: changes through one, questions to the other; one token at both`)
  return [...figures, await measureStale(), await measureClaims()]
}

/** `src/main.ts` as an operator starts it. */
function startMain(place: Place): ChildProcess {
  return spawn(process.execPath, [MAIN], { env: { ...place.environment, REEVE_LOG_LEVEL: 'silent' }, stdio: 'ignore' })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

const LOOK_MS = 3
const START_MAX_MS = 60_000

/** From now until it answers that it is well, in milliseconds. */
async function untilHealthy(place: Place, child: ChildProcess, begunMs: number): Promise<number> {
  const sender = openSender(1)
  try {
    while (performance.now() - begunMs < START_MAX_MS) {
      const answer = await sender.send(place.url, HEALTH).catch(() => null)
      if (answer?.status === 200) return performance.now() - begunMs
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
      await sleep(LOOK_MS)
    }
  } finally {
    sender.close()
  }
  throw new Error('it never was well')
}

async function startOnce(place: Place): Promise<number> {
  const begunMs = performance.now()
  const child = startMain(place)
  try {
    return await untilHealthy(place, child, begunMs)
  } finally {
    await end(child)
  }
}

async function startsOf(engine: Engine): Promise<readonly Figure[]> {
  const few = await openStage(engine, 'start', PEOPLE)
  const many = await openStage(engine, 'edges', PEOPLE)
  try {
    await many.served.ask({ kind: 'spaces', community: many.community, count: SPACES }, 'filled')
    // Both directories and databases exist now; the processes that made them leave.
    await few.served.close()
    await many.served.close()
    const [plain, withEdges]: [number[], number[]] = [[], []]
    for (let nth = -1; nth < STARTS; nth++) {
      const [one, other] = [await startOnce(few.place), await startOnce(many.place)]
      if (nth < 0) continue
      plain.push(one)
      withEdges.push(other)
    }
    const edges = 2 * SPACES
    const aim = engine === 'postgres' ? AIMS.startPostgres : AIMS.startEmbedded
    const per10k = withEdges.map((ms, at) => ((ms - (plain[at] ?? Number.NaN)) / edges) * 10_000)
    const from = engine === 'postgres' ? 'an existing database' : 'an existing directory'
    return [
      figureOf({ row: 22, engine, what: `start to the first healthy answer, ${from}`, unit: 'ms', aim }, plain),
      figureOf(
        { row: 22, engine, what: 'the same, for each 10,000 edges besides', unit: 'ms', aim: AIMS.startEdges },
        per10k,
        { edges, 'with edges ms': median(withEdges), 'without ms': median(plain) },
      ),
      ...(await idleOf(few)),
    ]
  } finally {
    await few.close()
    await many.close()
  }
}

/** Nothing where the system doesn't tell how much memory another process takes. */
async function idleOf({ engine, place }: Stage): Promise<readonly Figure[]> {
  if (process.platform !== 'linux') return []
  const child = startMain(place)
  try {
    await untilHealthy(place, child, performance.now())
    await sleep(SETTLING_MS)
    const aim = engine === 'postgres' ? AIMS.idlePostgres : AIMS.idleEmbedded
    const about = { row: 23, engine, what: 'memory of the process, idle', unit: 'MiB', aim } as const
    return [figureOf(about, [residentMiB(child.pid ?? 0)])]
  } finally {
    await end(child)
  }
}

function residentMiB(pid: number): number {
  const [, kiB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kiB) / 1024
}

/** One process from its first exchange on: the most that it takes within the load, and what it takes after so many, and ten times as many. */
async function memoryOf(engine: Engine): Promise<readonly Figure[]> {
  const stage = await openStage(engine, 'memory', PEOPLE)
  try {
    const { served, at, space } = stage
    const asking = askingOf(stage)
    const { rssMiB: before } = await served.ask({ kind: 'cpu' }, 'cpu')
    const few = Math.ceil(MINTS / 10)
    let [mints, loadedSec, mostMiB, now] = [0, 0, before, before]
    let early: { readonly mints: number; readonly rssMiB: number } | null = null
    while (mints < MINTS || loadedSec < LOAD_SECONDS) {
      const requests = prepared(asking, BASE.generation, AT_A_TIME).map((one) => exchangeRequest(space, one))
      const { wallSec } = await loadAll([at.url], requests, BASE.inFlight)
      const { rssMiB } = await served.ask({ kind: 'cpu' }, 'cpu')
      if (loadedSec < LOAD_SECONDS) mostMiB = Math.max(mostMiB, rssMiB)
      now = rssMiB
      mints += AT_A_TIME
      loadedSec += wallSec
      if (mints >= few) early ??= { mints, rssMiB }
    }
    const what = `memory of the process, the most within ${LOAD_SECONDS} s of exchanges, 64 in flight`
    const aim = engine === 'postgres' ? AIMS.loadedPostgres : null
    const growth = `memory after ${mints} exchanges / after ${early?.mints}`
    const earlyMiB = early?.rssMiB ?? Number.NaN
    return [
      figureOf({ row: 23, engine, what, unit: 'MiB', aim }, [mostMiB], { 'before MiB': before }),
      figureOf({ row: 24, engine, what: growth, unit: 'times', aim: AIMS.memoryGrowth }, [now / earlyMiB], {
        'early MiB': earlyMiB,
        'late MiB': now,
      }),
    ]
  } finally {
    await stage.close()
  }
}
