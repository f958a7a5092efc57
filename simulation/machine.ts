/**
 * The machine under a simulated world: its clock, its timers, its chance and its signatures come from the scheduler and the seed while a run lasts.
 *
 * Reeve is handed its clock and its chance; its timers, and what the tools of the tests draw, are those of the process, and are put in place here. What is left
 * as it is: the queues of Node itself, which have one order, and OpenSSL where it only verifies, hashes and seals, which comes to the same each time.
 */
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import type { Random } from '../src/platform/random.ts'
import { BEGINS_MS, lifeNow, type Scheduler } from './scheduler.ts'
import { drawPair, isCurve, signSame } from './signing.ts'

type Timed = (...given: unknown[]) => void

export interface Machine {
  /** How many times as long the shortest pauses of what goes on by itself take, as on a machine that has much else to do. */
  laziness: number
  /** Puts everything back. */
  giveBack(): void
}

/** The pause between two turns of the work that looks most often. */
const SHORTEST_PAUSE_MS = 500

/** Puts them in place. */
export function takeOver(scheduler: Scheduler, random: Random): Machine {
  const machine: Machine = { laziness: 1, giveBack() {} }
  const off = new Map<object, () => void>()
  const timer = (ms: number, work: Timed, given: unknown[], isOften: boolean): object => {
    const handle: Record<string | symbol, unknown> = {
      ref: () => handle,
      unref: () => handle,
      hasRef: () => true,
      close: () => clear(handle),
      [Symbol.dispose]: () => clear(handle),
    }
    const life = lifeNow()
    const set = () => {
      const go = () => {
        if (isOften) set()
        else off.delete(handle)
        work(...given)
      }
      const isShortest = Number(ms) === SHORTEST_PAUSE_MS
      const pauseMs = isShortest ? SHORTEST_PAUSE_MS * machine.laziness : Math.max(1, Number(ms) || 1)
      off.set(handle, scheduler.after(pauseMs, life, `timer ${ms}`, go, true))
    }
    set()
    return handle
  }
  const clear = (handle: unknown) => {
    if (typeof handle !== 'object' || handle === null) return
    off.get(handle)?.()
    off.delete(handle)
  }
  const soon = (work: Timed, given: unknown[]): object => {
    const handle = {}
    off.set(
      handle,
      scheduler.after(0, lifeNow(), 'turn', () => {
        off.delete(handle)
        work(...given)
      }),
    )
    return handle
  }
  const limit = (ms: number): AbortSignal => {
    const ending = new AbortController()
    scheduler.after(ms, lifeNow(), `limit ${ms}`, () => ending.abort(new DOMException('timeout', 'TimeoutError')), true)
    return ending.signal
  }
  const { sign, generateKeyPairSync } = crypto
  const drawn = (count: number, done?: (error: null, bytes: Buffer) => void) => {
    const bytes = Buffer.from(random.bytes(count))
    done?.(null, bytes)
    return bytes
  }
  const putBack = [
    replace(globalThis, 'setTimeout', (work: Timed, ms: number, ...given: unknown[]) => timer(ms, work, given, false)),
    replace(globalThis, 'setInterval', (work: Timed, ms: number, ...given: unknown[]) => timer(ms, work, given, true)),
    replace(globalThis, 'setImmediate', (work: Timed, ...given: unknown[]) => soon(work, given)),
    ...['clearTimeout', 'clearInterval', 'clearImmediate'].map((name) => replace(globalThis, name, clear)),
    replace(AbortSignal, 'timeout', limit),
    replace(Date, 'now', () => scheduler.nowMs),
    replace(performance, 'now', () => scheduler.nowMs - BEGINS_MS),
    replace(crypto, 'randomBytes', drawn),
    replace(crypto, 'generateKeyPairSync', (kind: string, how: { namedCurve?: string }) =>
      kind === 'ec' && isCurve(how.namedCurve)
        ? drawPair(how.namedCurve, random)
        : Reflect.apply(generateKeyPairSync, crypto, [kind, how]),
    ),
    replace(
      crypto,
      'sign',
      (...given: Parameters<typeof signSame>) => signSame(...given) ?? Reflect.apply(sign, crypto, given),
    ),
  ]
  // What was imported by its name is the new one from here on.
  syncBuiltinESMExports()
  machine.giveBack = () => {
    for (const back of putBack) back()
    syncBuiltinESMExports()
  }
  return machine
}

function replace(where: object, name: string, by: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(where, name)
  Object.defineProperty(where, name, { value: by, configurable: true, writable: true, enumerable: true })
  return () => {
    if (before) Object.defineProperty(where, name, before)
    else Reflect.deleteProperty(where, name)
  }
}
