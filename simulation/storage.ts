/**
 * One database under all lives of all houses: PGlite in memory, with one connection, which the seed gives to one of those who wait for it.
 *
 * Each statement waits for the scheduler before it is carried out, so that a process may die before it, after it, and between two of a transaction.
 * Connections are cut as those of a server are: before a statement, or after it was kept and before its answer came back.
 */
import { databaseOf, type OpenDatabase } from '../src/platform/database.ts'
import { openInMemory } from '../src/platform/embedded.ts'
import { silentLog } from '../src/platform/log.ts'
import type { Engine, Session } from '../src/platform/sql-driver.ts'
import { enterConnection } from '../src/platform/transaction-scope.ts'
import type { Dice } from '../test/kit/dice.ts'
import type { Plant } from './plants.ts'
import { type Life, type Scheduler, WORLD } from './scheduler.ts'
import type { Tally } from './tally.ts'

/** Of so many statements one is slow, very slow, cut before it, or cut after it. */
const SLOW_ONE_IN = 60
const STALLED_ONE_IN = 1_500
const CUT_ONE_IN = 700
/** Of so many statements of transactions one finds that its transaction has lost against another. */
const LOST_ONE_IN = 400

interface Waiter {
  readonly life: Life
  readonly give: (session: Session) => void
}

interface Held {
  readonly life: Life
  /** Its statements since the last beginning of a transaction. */
  since: string[]
  isCut: boolean
  /** It lost against another: nothing but its end is taken from it. */
  hasLost: boolean
}

export interface StorageOptions {
  readonly scheduler: Scheduler
  readonly dice: Dice
  readonly tally: Tally
  readonly dump: Blob
  readonly plant: Plant
}

export class Storage {
  readonly #given: StorageOptions
  readonly #raw: Session
  readonly #engine: Engine
  #line: Waiter[] = []
  #held: Held | null = null
  #isOffered = false
  /** Whether statements are ever slow, or cut. */
  isTroubled = false

  static async open(given: StorageOptions): Promise<Storage> {
    const engine = await openInMemory(silentLog, given.dump)
    const raw = await engine.acquire()
    // Where a statement asks for rows in no order that anybody could count on, it is the same one again.
    await raw.query('select setseed(0.5)', [])
    return new Storage(given, engine, raw)
  }

  private constructor(given: StorageOptions, engine: Engine, raw: Session) {
    this.#given = given
    this.#engine = engine
    this.#raw = raw
  }

  /** The database as one life of a house has it. */
  open(life: Life): OpenDatabase {
    const key = {}
    return databaseOf({
      name: 'postgres',
      connectionsMax: 10,
      acquire: () => {
        const leave = enterConnection(key)
        return new Promise((resolve) => {
          this.#line.push({ life, give: (session) => resolve(releasing(session, leave)) })
          this.#offer()
        })
      },
      close: async () => {},
    })
  }

  /** The same without anybody's delay or trouble, for whoever looks at it when nothing happens any more. */
  bare(): OpenDatabase {
    const session = { query: this.#raw.query, release() {} }
    return databaseOf({ name: 'embedded', connectionsMax: 1, acquire: async () => session, close: async () => {} })
  }

  /** Nobody is in the middle of a transaction. */
  get isFree(): boolean {
    return this.#held === null
  }

  /** Somebody died: what they had not committed is undone, as the server does when a connection ends. */
  drop(life: Life): void {
    this.#line = this.#line.filter((one) => one.life !== life)
    if (this.#held?.life === life) void this.#undo().then(() => this.#give())
  }

  async close(): Promise<void> {
    this.#raw.release(false)
    await this.#engine.close()
  }

  async #undo(): Promise<void> {
    this.#given.scheduler.busy += 1
    try {
      await this.#raw.query('rollback', [])
    } finally {
      this.#given.scheduler.busy -= 1
    }
  }

  #give(): void {
    this.#held = null
    this.#offer()
  }

  #offer(): void {
    if (this.#held || this.#isOffered || this.#line.length === 0) return
    this.#isOffered = true
    this.#given.scheduler.after(0, WORLD, 'connection', () => {
      this.#isOffered = false
      if (this.#line.length === 0) return
      const next = this.#line.length === 1 ? this.#line[0] : this.#given.dice.pick(this.#line)
      if (!next) return
      this.#line = this.#line.filter((one) => one !== next)
      const held: Held = { life: next.life, since: [], isCut: false, hasLost: false }
      this.#held = held
      next.give({
        query: (text, values) => this.#query(held, text, values),
        release: (isDoubtful) => {
          if (this.#held !== held) return
          if (isDoubtful || held.isCut) void this.#undo().then(() => this.#give())
          else this.#give()
        },
      })
    })
  }

  #carry(held: Held, text: string, values: readonly unknown[]): ReturnType<Session['query']> {
    const { plant, dice } = this.#given
    const planted = plant.statement?.({ text, values, inTransaction: [...held.since] }, this.#raw.query, dice)
    if (/^(?:commit|rollback)$/i.test(text)) held.since = []
    else held.since.push(text)
    return planted ?? this.#raw.query(text, values)
  }

  /** What is done behind everybody's back, between two statements of others. */
  async behind(statements: readonly string[]): Promise<void> {
    this.#given.scheduler.busy += 1
    try {
      for (const text of statements) await this.#raw.query(text, [])
    } finally {
      this.#given.scheduler.busy -= 1
    }
  }

  #query(held: Held, text: string, values: readonly unknown[]): ReturnType<Session['query']> {
    const { scheduler, dice, tally } = this.#given
    const isUnlucky = (oneIn: number) => this.isTroubled && dice.below(oneIn) === 0
    let delayMs = 0
    if (isUnlucky(SLOW_ONE_IN)) delayMs = 1 + dice.below(60)
    if (isUnlucky(STALLED_ONE_IN)) delayMs = 300 + dice.below(4_000)
    if (delayMs > 0) tally.fault(delayMs < 300 ? 'statement slow' : 'statement stalled')
    const cut = isUnlucky(CUT_ONE_IN) ? dice.pick(['before', 'after'] as const) : null
    const isInside = held.since.length > 0 && /^(?:begin|start)/i.test(held.since[0] ?? '')
    const loses = isInside && cut === null && !/^(?:commit|rollback)/i.test(text) && isUnlucky(LOST_ONE_IN)
    if (loses) tally.fault('transaction lost')
    const label = `sql ${text.replace(/\s+/g, ' ')} ${textOf(values)}`
    return new Promise((resolve, reject) => {
      scheduler.after(delayMs, held.life, label, () => {
        if (/^(?:begin|start)/i.test(text)) Object.assign(held, { since: [], hasLost: false })
        const isEnd = /^(?:commit|rollback)$/i.test(text)
        const gone = () => reject(Object.assign(new Error('Connection terminated unexpectedly'), { code: '08006' }))
        if (held.isCut || cut === 'before') {
          if (!held.isCut) tally.fault('connection cut before')
          held.isCut = true
          return gone()
        }
        if (loses || (held.hasLost && !isEnd)) {
          held.hasLost = true
          return reject(Object.assign(new Error('lost'), { code: loses ? '40001' : '25P02' }))
        }
        scheduler.busy += 1
        const asked = this.#carry(held, held.hasLost && isEnd ? 'rollback' : text, values).finally(() => {
          scheduler.busy -= 1
        })
        if (cut === null) return void asked.then(resolve, reject)
        tally.fault('connection cut after')
        held.isCut = true
        asked.then(gone, gone)
      })
    })
  }
}

const releasing = (session: Session, leave: () => void): Session => ({
  query: session.query,
  release(isDoubtful) {
    leave()
    session.release(isDoubtful)
  },
})

const textOf = (values: readonly unknown[]): string =>
  JSON.stringify(values, (_key, value) => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
    return typeof value === 'bigint' ? String(value) : value
  })
