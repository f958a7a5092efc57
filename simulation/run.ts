/** One run of a simulated world by one seed: everything is asked and done at once, then trouble ends, and what was said is held against what stands. */
import { createHash } from 'node:crypto'
import type { Operation } from '../faults/record.ts'
import { systemClock } from '../src/platform/clock.ts'
import { databaseOf } from '../src/platform/database.ts'
import { openInMemory } from '../src/platform/embedded.ts'
import { silentLog } from '../src/platform/log.ts'
import { migrate } from '../src/platform/migrations.ts'
import type { Random } from '../src/platform/random.ts'
import { emptyDump } from '../test/kit/empty-dump.ts'
import { Asking } from './asking.ts'
import { countWaiting, judged } from './judge.ts'
import { found, Load } from './load.ts'
import { takeOver } from './machine.ts'
import type { Plant } from './plants.ts'
import { BEGINS_MS, diceOf, Scheduler } from './scheduler.ts'
import { Storage } from './storage.ts'
import { Tally } from './tally.ts'
import { Trouble } from './trouble.ts'
import { World } from './world.ts'

/** Chance that is the same again. */
function randomOf(seed: number, name: string): Random {
  let drawn = 0
  const block = (nth: number) => createHash('sha256').update(`${seed} ${name} ${nth}`).digest()
  return {
    bytes(count) {
      const blocks: Buffer[] = []
      for (let have = 0; have < count; have += 32) blocks.push(block(drawn++))
      return new Uint8Array(Buffer.concat(blocks).subarray(0, count))
    },
  }
}

/** What of a run may be otherwise. */
export interface RunOptions {
  readonly seed: number
  /** Processes of Reeve on the one database. */
  readonly houses?: number
  /** How long everything goes on, in the world's own milliseconds. */
  readonly lastsMs?: number
  /** Whether anything goes wrong at all. */
  readonly isTroubled?: boolean
  /** Keeps every line of what happened, to compare one run with another. */
  readonly isTraced?: boolean
  /** Something that is not as it should be, for the judge to find. */
  readonly plant?: Plant
}

export interface Run {
  readonly seed: number
  /** Of everything that happened and was answered, in its order. */
  readonly print: string
  readonly faults: readonly string[]
  readonly looked: Readonly<Record<string, number>>
  readonly asked: Readonly<Record<string, number>>
  readonly done: Readonly<Record<string, number>>
  readonly steps: number
  readonly virtualMs: number
  readonly operations: readonly Operation[]
  readonly lines: readonly string[]
}

let dump: Promise<Blob> | null = null

/** A database with the whole schema, made once for all runs of this process. */
export function migratedDump(): Promise<Blob> {
  dump ??= (async () => {
    const engine = await openInMemory(silentLog, await emptyDump())
    await migrate(databaseOf(engine).db, { ...systemClock, nowMs: () => 0 })
    const made = await engine.dump()
    await engine.close()
    return made
  })()
  return dump
}

const UP_MAX_MS = 120_000
const FOUND_MAX_MS = 300_000
const STOP_MAX_MS = 600_000
/** After this everything must have come to rest: longer than anybody waits before they look again. */
const REST_MAX_MS = 180_000
const LOOK_EVERY_MS = 5_000

export async function simulate(options: RunOptions): Promise<Run> {
  const { seed, houses = 2, lastsMs = 20_000, isTroubled = true, isTraced = false, plant = {} } = options
  const whole = await migratedDump()
  const scheduler = new Scheduler(diceOf(seed, 'order'), isTraced)
  const tally = new Tally()
  const putBack = takeOver(scheduler, randomOf(seed, 'people'))
  try {
    const storage = await Storage.open({ scheduler, dice: diceOf(seed, 'database'), tally, dump: whole, plant })
    const random = randomOf(seed, 'houses')
    const world = new World({ seed, scheduler, storage, tally, random, houses, plant })
    const asking = new Asking(world)
    for (const house of world.houses) house.start()
    await scheduler.until('the houses are up', () => world.houses.every(({ isUp }) => isUp), UP_MAX_MS)
    const cast = await scheduler.through('everything is founded', () => found(world, asking), FOUND_MAX_MS)
    const load = new Load(world, asking, cast, diceOf(seed, 'people'))
    const trouble = new Trouble(world, diceOf(seed, 'trouble'), plant)
    if (isTroubled) trouble.begin()
    load.start()
    const endMs = scheduler.nowMs + lastsMs
    await scheduler.until('time passes', () => scheduler.nowMs >= endMs, lastsMs + 60_000)
    trouble.end()
    load.stop()
    await scheduler.until('everybody was answered', () => load.hasStopped, STOP_MAX_MS)
    const { db } = storage.bare()
    const restedMs = scheduler.nowMs + REST_MAX_MS
    for (let isAny = true; isAny && scheduler.nowMs < restedMs; ) {
      const nextMs = scheduler.nowMs + LOOK_EVERY_MS
      await scheduler.until('time passes', () => scheduler.nowMs >= nextMs && storage.isFree, LOOK_EVERY_MS * 20)
      isAny = (await countWaiting(db, world.clock.nowSec())).some(([, count]) => count > 0)
    }
    const { faults, looked } = await judged(world, asking, cast, load)
    const broken = [
      ...load.broken.map((why) => `broke off: ${why}`),
      ...world.errors.map((line) => `Named: log: ${line}`),
    ]
    const history = JSON.stringify([world.recorder.operations, asking.decisions, world.heard, world.taken])
    scheduler.note(history)
    for (const house of world.houses) house.kill()
    await storage.close()
    return {
      ...{
        seed,
        print: scheduler.print(),
        faults: [...broken, ...faults],
        looked,
        asked: tally.asked,
        done: tally.faults,
      },
      ...{ steps: scheduler.steps, virtualMs: scheduler.nowMs - BEGINS_MS },
      ...{ operations: world.recorder.operations, lines: scheduler.lines() },
    }
  } finally {
    putBack()
  }
}
