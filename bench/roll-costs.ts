/**
 * What an operation costs: processor time, of this process and of the server's processes for its database, and how long it took.
 * Contenders take turns, round for round.
 */
import { readFileSync } from 'node:fs'
import { sql } from 'kysely'
import type { OpenDatabase } from '../src/platform/database.ts'
import { quantile } from './load.ts'

/** Microseconds of processor time for one operation, and milliseconds until it was answered. */
export interface Cost {
  readonly nodeUs: number
  readonly serverUs: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export type Operation = (at: number) => Promise<unknown>

/** Of both processes together, in microseconds. */
export const total = ({ nodeUs, serverUs }: Cost): number => nodeUs + serverUs

/** Processor time of the server's processes for this database, in microseconds by process. None on the embedded engine. */
async function serverUs({ db, engine }: OpenDatabase): Promise<ReadonlyMap<number, number>> {
  if (engine === 'embedded') return new Map()
  const { rows: found } = await sql<{ pid: number }>`select pid from pg_stat_activity
    where datname = current_database()`.execute(db)
  return new Map(found.map(({ pid }) => [pid, processUs(pid)]))
}

/** The kernel counts nanoseconds for every process. @throws Error when the server is on another machine */
const processUs = (pid: number): number => Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1000

async function measure(database: OpenDatabase, run: Operation, count: number, inFlight: number): Promise<Cost> {
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < count; at = next++) {
      const begun = performance.now()
      await run(at)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const serverBefore = await serverUs(database)
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const { user, system } = process.cpuUsage(before)
  let server = 0
  for (const [pid, us] of await serverUs(database)) server += us - (serverBefore.get(pid) ?? 0)
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return {
    nodeUs: (user + system) / count,
    serverUs: server / count,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  }
}

export interface Contender {
  readonly database: OpenDatabase
  readonly run: Operation
  readonly count: number
  readonly inFlight: number
}

/** Every contender once without counting, and then in turns: what each cost, by round. */
export async function inTurns<N extends string>(
  contenders: Readonly<Record<N, Contender>>,
  rounds: number,
): Promise<Record<N, readonly Cost[]>> {
  const names = Object.keys(contenders) as N[]
  const found = Object.fromEntries(names.map((name) => [name, [] as Cost[]])) as Record<N, Cost[]>
  for (let round = -1; round < rounds; round++) {
    for (const name of names) {
      const { database, run, count, inFlight } = contenders[name]
      const cost = await measure(database, (at) => run(at + round * count + count), count, inFlight)
      const isWarmUp = round < 0
      if (!isWarmUp) found[name].push(cost)
    }
  }
  return found
}
