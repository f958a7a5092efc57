/**
 * What may happen next in a simulated world, and what does: one thing at a time, chosen by the seed.
 *
 * Whatever waits for something outside the running code waits here: a timer, a statement on its way to the database, a request on its way through the
 * network. Time stands still while anything is ready, and then goes on to the next thing that is due. Between two things everything that runs
 * by itself comes to rest, so that what happened is a function of the order in which things were let go.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { Dice } from '../test/kit/dice.ts'

/** Whose things they are: a process from its start to its end, or the world around. What belonged to a life that is over never happens. */
export interface Life {
  readonly name: string
  isOver: boolean
}

export const WORLD: Life = { name: 'world', isOver: false }

const lives = new AsyncLocalStorage<Life>()
export const inLife = <T>(life: Life, work: () => T): T => lives.run(life, work)
export const lifeNow = (): Life => lives.getStore() ?? WORLD

interface Thing {
  readonly seq: number
  readonly atMs: number
  readonly life: Life
  readonly label: string
  /** Timers of one life go off in the order in which they are due. */
  readonly isTimer: boolean
  readonly go: () => void
}

/** 1 January 2030: the same time for every seed, and none that a machine has. */
export const BEGINS_MS = Date.UTC(2030, 0, 1)

const realImmediate = setImmediate

export class Scheduler {
  nowMs = BEGINS_MS
  /** Calls of the database that are being carried out: nothing else happens meanwhile. */
  busy = 0
  steps = 0
  readonly #dice: Dice
  readonly #waiting = new Map<number, Thing>()
  readonly #hash = createHash('sha256')
  readonly #lines: string[] | null
  #seq = 0

  constructor(dice: Dice, isTraced = false) {
    this.#dice = dice
    this.#lines = isTraced ? [] : null
  }

  /** Has something happen no sooner than after `ms`. What is answered calls it off. */
  after(ms: number, life: Life, label: string, go: () => void, isTimer = false): () => void {
    if (life.isOver) return () => {}
    this.#seq += 1
    const seq = this.#seq
    this.#waiting.set(seq, { seq, atMs: this.nowMs + Math.max(0, ms), life, label, isTimer, go })
    return () => void this.#waiting.delete(seq)
  }

  /** For the people of the world, who have no timers of their own. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.after(ms, WORLD, 'pause', resolve))
  }

  /** Ends a life: nothing of it happens any more. */
  end(life: Life): void {
    life.isOver = true
    for (const thing of this.#waiting.values()) if (thing.life === life) this.#waiting.delete(thing.seq)
  }

  /** Writes something down as having happened, in its order. */
  note(line: string): void {
    const text = `${this.nowMs - BEGINS_MS} ${line}\n`
    this.#hash.update(text)
    this.#lines?.push(text)
  }

  /** Of everything that was noted. */
  print(): string {
    return this.#hash.copy().digest('hex')
  }

  lines(): readonly string[] {
    return this.#lines ?? []
  }

  /** One thing after another until `isDone` says so. @throws Error when nothing is left to happen, or time is over */
  async until(what: string, isDone: () => boolean, limitMs: number): Promise<void> {
    const endMs = this.nowMs + limitMs
    await this.#settle()
    while (!isDone()) {
      if (this.nowMs > endMs) throw new Error(`did not happen: ${what}`)
      const next = this.#next()
      if (!next) throw new Error(`nothing is left to happen before: ${what}`)
      this.#waiting.delete(next.seq)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      this.steps += 1
      this.note(`${next.life.name} ${next.label}`)
      inLife(next.life, next.go)
      await this.#settle()
    }
  }

  /** The same, until some work of the world is done. */
  async through<T>(what: string, work: () => Promise<T>, limitMs: number): Promise<T> {
    const done: { value?: T; error?: unknown; is: boolean } = { is: false }
    work().then(
      (value) => Object.assign(done, { value, is: true }),
      (error) => Object.assign(done, { error, is: true }),
    )
    await this.until(what, () => done.is, limitMs)
    if (done.error !== undefined) throw done.error
    return done.value as T
  }

  #next(): Thing | null {
    let soonestMs = Number.POSITIVE_INFINITY
    for (const { atMs } of this.#waiting.values()) soonestMs = Math.min(soonestMs, atMs)
    const nowMs = Math.max(this.nowMs, soonestMs)
    const ready: Thing[] = []
    const timers = new Map<Life, Thing>()
    for (const thing of this.#waiting.values()) {
      if (thing.atMs > nowMs) continue
      if (!thing.isTimer) ready.push(thing)
      else {
        const first = timers.get(thing.life)
        if (!first || thing.atMs < first.atMs) timers.set(thing.life, thing)
      }
    }
    ready.push(...timers.values())
    if (ready.length === 0) return null
    return ready.length === 1 ? (ready[0] ?? null) : this.#dice.pick(ready)
  }

  /** Until everything waits for something that stands here. */
  async #settle(): Promise<void> {
    do await new Promise<void>((resolve) => realImmediate(resolve))
    while (this.busy > 0)
  }
}

/** Chance of its own for each who needs some: what one of them draws moves nobody else's. */
export function diceOf(seed: number, name: string): Dice {
  return new Dice(createHash('sha256').update(`${seed} ${name}`).digest().readUInt32BE(0))
}
