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
import { countWaiting, type Judged, judged } from './judge.ts'
import { found, Load } from './load.ts'
import { type Machine, takeOver } from './machine.ts'
import type { Plant } from './plants.ts'
import { BEGINS_MS, diceOf, Scheduler } from './scheduler.ts'
import { Storage } from './storage.ts'
import { Tally } from './tally.ts'
import { Trouble, type TroubleKind } from './trouble.ts'
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

/** What may be otherwise in a run. */
export interface RunOptions {
  readonly seed: number
  /** Processes of Reeve on the one database. */
  readonly houses?: number
  /** How long everything goes on, in the world's own milliseconds. */
  readonly lastsMs?: number
  /** Whether anything goes wrong at all. */
  readonly isTroubled?: boolean
  /** What goes wrong besides requests and statements, each as often as it stands here. */
  readonly troubles?: readonly TroubleKind[]
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
const LASTS_MS = 10_000
const TROUBLES: readonly TroubleKind[] = ['kill', 'kill', 'away', 'clock']
/** Where nothing is to be found in the pauses, and where something may be. */
const QUIET_LAZINESS = 4
const LAZINESS = [1, 3, 6] as const

export async function simulate(options: RunOptions): Promise<Run> {
  const { seed, isTraced = false } = options
  const dump = await migratedDump()
  const scheduler = new Scheduler(diceOf(seed, 'order'), isTraced)
  const tally = new Tally()
  const machine = takeOver(scheduler, randomOf(seed, 'people'))
  try {
    const found = await runIn(options, { scheduler, tally, machine, dump })
    const { operations, history, ...more } = found
    scheduler.note(history)
    const { asked, faults: done } = tally
    const times = { steps: scheduler.steps, virtualMs: scheduler.nowMs - BEGINS_MS }
    return { seed, print: scheduler.print(), ...more, asked, done, ...times, operations, lines: scheduler.lines() }
  } finally {
    machine.giveBack()
  }
}

interface Ground {
  readonly scheduler: Scheduler
  readonly tally: Tally
  readonly machine: Machine
  readonly dump: Blob
}

interface Found extends Pick<Run, 'faults' | 'looked' | 'operations'> {
  /** Everything that was asked, answered, heard and told, as one text. */
  readonly history: string
}

async function runIn(options: RunOptions, { scheduler, tally, machine, dump }: Ground): Promise<Found> {
  const { seed, houses = 2, lastsMs = LASTS_MS, isTroubled = true, plant = {}, troubles = TROUBLES } = options
  const storage = await Storage.open({ scheduler, dice: diceOf(seed, 'database'), tally, dump, plant })
  const world = new World({ seed, scheduler, storage, tally, random: randomOf(seed, 'houses'), houses, plant })
  const asking = new Asking(world)
  const broken: string[] = []
  let judgement: Judged = { faults: [], looked: {} }
  try {
    machine.laziness = QUIET_LAZINESS
    for (const house of world.houses) house.start()
    await scheduler.until('the houses are up', () => world.houses.every(({ isUp }) => isUp), UP_MAX_MS)
    const cast = await scheduler.through('everything is founded', () => found(world, asking), FOUND_MAX_MS)
    const load = new Load(world, asking, cast, diceOf(seed, 'people'))
    const trouble = new Trouble(world, diceOf(seed, 'trouble'), plant, troubles)
    machine.laziness = diceOf(seed, 'machine').pick(LAZINESS)
    if (isTroubled) trouble.begin()
    load.start()
    const endMs = scheduler.nowMs + lastsMs
    await scheduler.until('time passes', () => scheduler.nowMs >= endMs, lastsMs + 60_000)
    trouble.end()
    load.stop()
    await scheduler.until('everybody was answered', () => load.hasStopped, STOP_MAX_MS)
    machine.laziness = QUIET_LAZINESS
    await rest(world)
    broken.push(...load.broken)
    judgement = await judged(world, asking, cast, load)
  } catch (error) {
    broken.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  const { recorder, heard, taken, errors } = world
  const history = JSON.stringify([recorder.operations, asking.decisions, heard, taken])
  for (const house of world.houses) house.kill()
  await storage.close()
  const faults = [
    ...broken.map((why) => `broke off: ${why}`),
    ...errors.map((line) => `Named: log: ${line}`),
    ...judgement.faults,
  ]
  return { faults, looked: judgement.looked, operations: recorder.operations, history }
}

/** Until nothing waits any more, or too long: what waits then is a fault. */
async function rest({ scheduler, storage, clock }: World): Promise<void> {
  const { db } = storage.bare()
  const untilMs = scheduler.nowMs + REST_MAX_MS
  for (let isAny = true; isAny && scheduler.nowMs < untilMs; ) {
    const nextMs = scheduler.nowMs + LOOK_EVERY_MS
    const isTime = () => scheduler.nowMs >= nextMs && storage.isFree
    await scheduler.until('time passes', isTime, LOOK_EVERY_MS * 20)
    isAny = (await countWaiting(db, clock.nowSec())).some(([, count]) => count > 0)
  }
}
