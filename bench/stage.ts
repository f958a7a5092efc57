/**
 * Where something is measured: a place for a Reeve (a port, a folder, a database), a process that serves there, and people who ask it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Did, SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { createWhole } from '../src/platform/synced-pglite.ts'
import { callAs, makeSomebody, type Somebody } from '../test/kit/people.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { freePort } from '../test/kit/ports.ts'
import { FORUM } from '../test/kit/roll.ts'
import type { Order, Report } from './served-orders.ts'
import { createDatabase, type Engine } from './settings.ts'

/** Where a Reeve lives. It outlives the processes that live in it. */
export interface Place {
  readonly engine: Engine
  readonly url: string
  readonly serviceDid: string
  readonly port: number
  readonly folder: string
  readonly databaseUrl: string | null
  readonly environment: Readonly<Record<string, string>>
  drop(): Promise<void>
}

let pattern: Promise<string> | undefined

/** An embedded database in which there is nothing yet, to be copied: making one takes seconds. It goes with this process. */
async function emptyDirectory(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const directory = join(folder, 'database')
  await createWhole(directory)
  return directory
}

export async function openPlace(engine: Engine, what: string, plcUrl: string): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-'))
  const database = engine === 'postgres' ? await createDatabase(what) : null
  if (engine === 'embedded') {
    pattern ??= emptyDirectory()
    await cp(await pattern, join(folder, 'database'), { recursive: true, preserveTimestamps: true })
  }
  const port = await freePort()
  const url = `http://localhost:${port}`
  return {
    ...{ engine, url, port, folder, serviceDid: `did:web:localhost%3A${port}`, databaseUrl: database?.url ?? null },
    environment: {
      PATH: process.env['PATH'] ?? '',
      REEVE_PUBLIC_URL: url,
      REEVE_PORT: String(port),
      REEVE_DATA_DIR: folder,
      REEVE_PLC_URL: plcUrl,
      REEVE_ALLOW_LOOPBACK: '1',
      ...(database ? { DATABASE_URL: database.url } : {}),
    },
    async drop() {
      await database?.drop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** How a process is measured: which back end verifies on secp256k1, whether statements of requests are counted, at which port it listens. */
export interface Manner {
  readonly es256k?: 'openssl'
  readonly isCounting?: boolean
  readonly port?: number
}

/** A process of `served.ts`. */
export interface Served {
  readonly url: string
  readonly pid: number
  readonly es256k: string
  /** Has it do something. @throws Error when it ends instead, or reports something else */
  ask<K extends Report['kind']>(order: Order, kind: K): Promise<Extract<Report, { kind: K }>>
  close(): Promise<void>
  /** SIGKILL: nothing of it is finished. */
  kill(): Promise<void>
}

export async function startServed(
  place: Place,
  { es256k, isCounting, port = place.port }: Manner = {},
): Promise<Served> {
  const child = fork(new URL('served.ts', import.meta.url), {
    env: {
      ...place.environment,
      REEVE_PORT: String(port),
      ...(es256k ? { BENCH_ES256K: es256k } : {}),
      ...(isCounting ? { BENCH_COUNTING: '1' } : {}),
    },
  })
  const ready = await reportOf(child, 'ready')
  let asking: Promise<unknown> = Promise.resolve()
  return {
    url: `http://localhost:${port}`,
    pid: child.pid ?? 0,
    es256k: ready.es256k,
    ask(order, kind) {
      // One after the other: reports don't say which order they are of.
      const asked = asking.then(() => {
        const reported = reportOf(child, kind)
        child.send(order)
        return reported
      })
      asking = asked.catch(() => {})
      return asked
    },
    async close() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.send({ kind: 'end' } satisfies Order)
      await ended
    },
    async kill() {
      if (child.exitCode !== null) throw new Error(`it had ended by itself with ${child.exitCode}`)
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function reportOf<K extends Report['kind']>(child: ChildProcess, kind: K): Promise<Extract<Report, { kind: K }>> {
  const over = new AbortController()
  const { signal } = over
  try {
    const report: Report = await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message),
      once(child, 'exit', { signal }).then(([code]) => {
        throw new Error(`the measured process ended with ${code}`)
      }),
    ])
    if (!isOfKind(report, kind)) throw new Error(`a report of ${report.kind} in place of ${kind}`)
    return report
  } finally {
    over.abort()
  }
}

const isOfKind = <K extends Report['kind']>(report: Report, kind: K): report is Extract<Report, { kind: K }> =>
  report.kind === kind

/** A place with a process in it and a community with people, who all are members of its forum. */
export interface Stage {
  readonly engine: Engine
  readonly place: Place
  readonly served: Served
  readonly at: { readonly url: string; readonly serviceDid: string }
  readonly plcUrl: string
  /** The first of them founded the community. */
  readonly people: readonly Somebody[]
  readonly community: Did
  readonly space: SpaceUri
  close(): Promise<void>
}

export async function openStage(engine: Engine, what: string, people: number, manner: Manner = {}): Promise<Stage> {
  const plc = await startPlcServer()
  const closing: (() => Promise<unknown>)[] = [() => plc.close()]
  const close = async () => {
    for (const end of closing.splice(0)) await end()
  }
  try {
    const place = await openPlace(engine, what, plc.url)
    closing.unshift(() => place.drop())
    const served = await startServed(place, manner)
    closing.unshift(() => served.close())
    const somebody = await Promise.all(Array.from({ length: people }, () => makeSomebody(plc.url)))
    const at = { url: place.url, serviceDid: place.serviceDid }
    const { community, space } = await furnish(at, somebody)
    // Past every verdict: what it costs to put somebody on a roster is measured elsewhere.
    await served.ask({ kind: 'enrol', space, dids: somebody.slice(1).map(({ did }) => did) }, 'filled')
    return { engine, place, served, at, plcUrl: plc.url, people: somebody, community, space, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** A community with a forum. */
async function furnish(at: Stage['at'], [founder]: readonly Somebody[]) {
  if (!founder) throw new Error('nobody')
  const custody = { $type: 'community.reeve.community.mint#custodial' }
  const { did } = await call(at, founder, 'community.mint', { name: 'Bench', custody })
  const { uri } = await call(at, founder, 'space.create', { community: did, spaceType: FORUM })
  return { community: did as Did, space: uri as SpaceUri }
}

/** A method of `community.reeve`. @throws Error when it is refused */
export async function call(at: Stage['at'], by: Somebody, method: string, input: object) {
  const answer = await callAs(by, { ...at, nowSec: systemClock.nowSec() }, `community.reeve.${method}`, input)
  if (answer.status !== 200) throw new Error(`${method}: ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** Processor seconds between two moments: of the process, and of the database server for its database. */
export interface Spent {
  readonly processSec: number
  readonly databaseSec: number
}

/** What the process and the database server spend while something is done, and what it came to. */
export async function spending<T>(served: Served, work: () => Promise<T>): Promise<readonly [T, Spent]> {
  const before = await served.ask({ kind: 'cpu' }, 'cpu')
  const done = await work()
  const after = await served.ask({ kind: 'cpu' }, 'cpu')
  const spent = { processSec: after.cpuSec - before.cpuSec, databaseSec: after.databaseSec - before.databaseSec }
  return [done, spent]
}
