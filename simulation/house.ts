/**
 * A process of Reeve in a simulated world: the whole house but its socket, started, asked, killed between any two things that happen, and started again
 * on the same database.
 */
import { Readable } from 'node:stream'
import type { CheckpointFolder } from '../src/audit/checkpoint-folder.ts'
import { DOORS } from '../src/doors/xrpc.ts'
import { xrpcApp } from '../src/doors/xrpc-app.ts'
import type { Clock } from '../src/platform/clock.ts'
import { type Config, parseConfig } from '../src/platform/config.ts'
import type { OpenDatabase } from '../src/platform/database.ts'
import type { Log, LogFields } from '../src/platform/log.ts'
import { NO_METERS } from '../src/platform/meters.ts'
import type { Random } from '../src/platform/random.ts'
import { Sizes } from '../src/platform/sizes.ts'
import { NO_TRACES } from '../src/platform/traces.ts'
import { furnish } from '../src/reeve.ts'
import { startWorkers } from '../src/workers.ts'
import { UNLIMITED } from '../test/kit/rates.ts'
import type { RawRequest } from '../test/kit/raw-request.ts'
import { PLC_HOST } from './directory.ts'
import { BEGINS_MS, inLife, type Life, type Scheduler } from './scheduler.ts'
import type { Said, Wires } from './wires.ts'

export const REEVE_HOST = 'reeve.example.com'
const KEK = 'REEVE_TEST_SIMULATED_KEK'
process.env[KEK] = '5a'.repeat(32)

export const CONFIG: Config = parseConfig({
  REEVE_PUBLIC_URL: `https://${REEVE_HOST}`,
  REEVE_KEK: `env:${KEK}`,
  REEVE_ALLOW_ENV_KEK: '1',
  REEVE_PLC_URL: `https://${PLC_HOST}`,
  REEVE_FOUNDERS: '*',
  REEVE_DATA_DIR: '/nowhere',
  // So that nobody has to wait for ten minutes until a host takes another call.
  REEVE_HOST_CAPS: '*=1000/1000',
  REEVE_LOG_LEVEL: 'silent',
})

export interface HouseOptions {
  readonly name: string
  readonly scheduler: Scheduler
  readonly wires: Wires
  readonly folder: CheckpointFolder
  readonly random: Random
  readonly openDatabase: (life: Life) => OpenDatabase
  readonly dropDatabase: (life: Life) => void
  /** Every line of the log, by its event. */
  readonly heard: (level: keyof Log, event: string, fields: LogFields) => void
}

type App = ReturnType<typeof xrpcApp>

/** After a start that failed, as whoever watches over a process waits. */
const START_AGAIN_MS = 1_000

export class SimulatedHouse {
  readonly #given: HouseOptions
  #life: Life
  #app: App | null = null
  #lives = 0
  /** How far its clock is from that of the world. */
  offsetMs = 0
  /** Requests that are being answered: whoever made them finds the connection closed when the process ends. */
  readonly #closes = new Set<() => void>()

  constructor(given: HouseOptions) {
    this.#given = given
    this.#life = { name: given.name, isOver: true }
  }

  get isUp(): boolean {
    return this.#app !== null
  }

  /** Also while it starts. */
  get isAlive(): boolean {
    return !this.#life.isOver
  }

  get name(): string {
    return this.#given.name
  }

  /** Begins a life. It is up when it says so, and tries again by itself. */
  start(): void {
    this.#lives += 1
    const life: Life = { name: `${this.#given.name}${this.#lives}`, isOver: false }
    this.#life = life
    inLife(life, () => this.#open(life)).then(
      (app) => {
        if (!life.isOver) this.#app = app
      },
      () => {
        if (life.isOver) return
        this.kill()
        this.#given.scheduler.after(START_AGAIN_MS, { name: this.#given.name, isOver: false }, 'starts again', () =>
          this.start(),
        )
      },
    )
  }

  /** Ends it where it is: nothing of what it was doing goes on, and nothing of what it remembered is left. */
  kill(): void {
    const { scheduler, dropDatabase } = this.#given
    this.#app = null
    scheduler.end(this.#life)
    dropDatabase(this.#life)
    for (const close of this.#closes) close()
    this.#closes.clear()
  }

  async #open(life: Life): Promise<App> {
    const { scheduler, wires, folder, random, openDatabase, heard } = this.#given
    const opened = openDatabase(life)
    const clock: Clock = {
      nowMs: () => scheduler.nowMs + this.offsetMs,
      nowSec: () => Math.floor((scheduler.nowMs + this.offsetMs) / 1_000),
      monotonicMs: () => scheduler.nowMs - BEGINS_MS,
    }
    const line =
      (level: keyof Log) =>
      (event: string, fields: LogFields = {}) =>
        life.isOver ? undefined : heard(level, event, fields)
    const log: Log = { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') }
    const { house } = await furnish(CONFIG, opened.db, {
      ...{ clock, random, log, meters: NO_METERS, traces: NO_TRACES, sizes: new Sizes(), rates: UNLIMITED, folder },
      openDoor: wires.doorOf(life),
    })
    startWorkers(house, opened)
    return xrpcApp(house, DOORS)
  }

  /** @throws Error when nobody is there, or the process ends before it has answered. */
  request(raw: RawRequest, address: string): Promise<Said> {
    const app = this.#app
    if (!app) return Promise.reject(new Error('nobody there'))
    return new Promise((resolve, reject) => {
      const close = () => reject(new Error('closed'))
      this.#closes.add(close)
      inLife(this.#life, () => answerBy(app, raw, address))
        .then(resolve, reject)
        .finally(() => this.#closes.delete(close))
    })
  }
}

/** Hands a request to the doors as the server would: with its raw lines and its bytes as they come. */
async function answerBy(app: App, raw: RawRequest, address: string): Promise<Said> {
  const { method = 'GET', path, headers = [], body } = raw
  const bytes = body === undefined ? [] : [Buffer.from(body)]
  const lines = headers.map(([name, value]) => [name.toLowerCase(), value] as const)
  const distinct = Object.groupBy(lines, ([name]) => name)
  const incoming = Object.assign(Readable.from(bytes), {
    ...{ url: path, method, socket: { remoteAddress: address }, rawHeaders: lines.flat() },
    headers: Object.fromEntries(lines),
    headersDistinct: Object.fromEntries(
      Object.entries(distinct).map(([name, all = []]) => [name, all.map(([, value]) => value)]),
    ),
  })
  const outgoing = { setHeader() {}, removeHeader() {} }
  const request = new Request(`https://${REEVE_HOST}${path}`, { method })
  const answer = await app.fetch(request, { incoming, outgoing } as never)
  return { status: answer.status, body: await answer.text() }
}
