/** What a row of the table of faults is, and how one is tried: everything is loaded, the fault is done to it, and then everything is judged. */
import type { EngineName } from '../test/kit/databases.ts'
import type { Dice } from '../test/kit/dice.ts'
import { readFinal } from './final.ts'
import { Load } from './load.ts'
import { diceFor } from './settings.ts'
import { openStage, type Stage, type StageOptions, timeUntil } from './stage.ts'
import { type Evidence, type Final, judge, PROMISES, type Promised, talliedOf, type Verdicts } from './verdicts.ts'

export interface Row {
  readonly name: string
  /** What is done, in one sentence. */
  readonly does: string
  /** What must hold besides what must hold everywhere. */
  readonly holds: string
  readonly engines: readonly EngineName[]
  /** Why it can't be tried here; null when it can. */
  leftOut?(): string | null
  run(tried: Tried): Promise<Found>
}

/** What a row has to work with. */
export interface Tried {
  readonly engine: EngineName
  readonly dice: Dice
  says(line: string): void
}

/** What came of a row. */
export interface Found {
  /** How often the fault was done. */
  readonly times: number
  /** From the fault, or from its end, until something was acknowledged again. */
  readonly recoveriesMs: readonly number[]
  readonly operations: number
  readonly acknowledged: number
  readonly undecided: number
  readonly refused: Readonly<Record<string, number>>
  readonly looked: Readonly<Record<Promised, number>>
  /** Everything that may not be, with the name of what it breaks in front. */
  readonly faults: readonly string[]
  /** What else was seen. */
  readonly notes: Readonly<Record<string, string | number>>
}

/** What a row writes down while it does its fault. */
export interface Notebook {
  times: number
  readonly recoveriesMs: number[]
  readonly faults: string[]
  readonly notes: Record<string, string | number>
  /** Notes a fault unless it holds. */
  expectThat(holds: boolean, says: string): void
}

export function openNotebook(): Notebook {
  const faults: string[] = []
  const expectThat = (holds: boolean, says: string) => {
    if (!holds) faults.push(says)
  }
  return { times: 0, recoveriesMs: [], faults, notes: {}, expectThat }
}

/** Judges what else must hold, and answers what is to be held against the promises where that isn't all that was recorded. */
type JudgesBesides = (final: Final, evidence: Evidence) => Evidence | undefined
// biome-ignore lint/suspicious/noConfusingVoidType: most faults have nothing more to say.
type Besides = void | JudgesBesides

/** However slow the machine is: after so long it doesn't go on by itself any more. */
export const RECOVERY_MAX_MS = 180_000

/**
 * Opens a stage, loads it, has the fault done, and judges everything when the process has ended; what the fault answers judges besides, by what
 * stands then.
 */
export async function underLoad(
  { engine, dice }: Tried,
  options: Omit<StageOptions, 'engine'>,
  fault: (stage: Stage, load: Load, notebook: Notebook) => Promise<Besides>,
): Promise<Found> {
  const stage = await openStage({ engine, ...options })
  const load = new Load(stage, dice)
  const notebook = openNotebook()
  try {
    load.start()
    await warm(load)
    const judgeBesides = await fault(stage, load, notebook)
    await load.stop()
    await told(stage)
    if (!stage.reeve.hasEnded()) {
      const code = await stage.reeve.stop()
      notebook.expectThat(code === 0, `it ended with ${code} when it was asked to`)
    }
    return await found(stage, notebook, judgeBesides ?? (() => undefined))
  } finally {
    await load.stop()
    await stage.close()
  }
}

/** Something of each kind was acknowledged: what follows happens in the middle of things. */
export async function warm(load: Load): Promise<void> {
  const before = { ...load.acknowledged }
  const isWarm = () =>
    load.acknowledged.mints >= before.mints + 3 && load.acknowledged.changes > before.changes && load.total() > 0
  if ((await timeUntil(isWarm, RECOVERY_MAX_MS)) === null) throw new Error('nothing was acknowledged')
}

/** Notes how long it takes until exchanges and changes are acknowledged again. */
export async function recovers(load: Load, notebook: Notebook, after: string): Promise<void> {
  const { mints, changes } = load.acknowledged
  const isBack = () => load.acknowledged.mints > mints && load.acknowledged.changes > changes
  const took = await timeUntil(isBack, RECOVERY_MAX_MS)
  notebook.expectThat(took !== null, `recovery: nothing was acknowledged within three minutes ${after}`)
  if (took !== null) notebook.recoveriesMs.push(took)
}

/** Receivers have heard the newest of every repo, or they never will. */
async function told(stage: Stage): Promise<void> {
  const count = () => stage.syncers.reduce((sum, syncer) => sum + syncer.told.length, 0)
  for (let before = -1; before !== count(); ) {
    before = count()
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

async function found(stage: Stage, notebook: Notebook, judgeBesides: JudgesBesides): Promise<Found> {
  const { community, founder, recorder, syncers } = stage
  const { operations } = recorder
  const final = await readFinal(stage, community)
  const heard = syncers.map((syncer) => syncer.told)
  const all = { community, founder: founder.did, operations, heard, final }
  const verdicts = judge(judgeBesides(final, all) ?? all)
  const { times, recoveriesMs, notes } = notebook
  const faults = [...notebook.faults, ...faultsIn(verdicts)]
  if (faults.length > 0) recorder.writeTo(new URL(`found-${process.pid}-${Date.now()}.jsonl`, import.meta.url))
  return { times, recoveriesMs, notes, ...talliedOf(operations), looked: lookedIn(verdicts), faults }
}

/** What came of a row after which what was acknowledged is lost on purpose: only what the row itself noted counts. */
export function unjudged({ recorder }: Stage, { times, recoveriesMs, notes, faults }: Notebook): Found {
  return { times, recoveriesMs, notes, ...talliedOf(recorder.operations), looked: NOTHING_LOOKED, faults }
}

const NOTHING_LOOKED = Object.fromEntries(PROMISES.map((name) => [name, 0])) as Record<Promised, number>

export const faultsIn = (verdicts: Verdicts): readonly string[] =>
  PROMISES.flatMap((name) => verdicts[name].faults.map((fault) => `${name}: ${fault}`))

const lookedIn = (verdicts: Verdicts) =>
  Object.fromEntries(PROMISES.map((name) => [name, verdicts[name].looked])) as Record<Promised, number>

/** What came of the same fault on several stages, one after the other. */
export function together(all: readonly Found[]): Found {
  const sumOf = (counts: readonly Readonly<Record<string, number>>[]) => {
    const sums: Record<string, number> = {}
    for (const each of counts) for (const [name, count] of Object.entries(each)) sums[name] = (sums[name] ?? 0) + count
    return sums
  }
  const sum = (of: (found: Found) => number) => all.reduce((before, found) => before + of(found), 0)
  const numbers = all.map(({ notes }) =>
    Object.entries(notes).filter((note): note is [string, number] => typeof note[1] === 'number'),
  )
  return {
    ...{ times: sum(({ times }) => times), operations: sum(({ operations }) => operations) },
    ...{ acknowledged: sum((one) => one.acknowledged), undecided: sum((one) => one.undecided) },
    recoveriesMs: all.flatMap(({ recoveriesMs }) => recoveriesMs),
    refused: sumOf(all.map(({ refused }) => refused)),
    looked: sumOf(all.map(({ looked }) => looked)) as Found['looked'],
    faults: all.flatMap(({ faults }) => faults),
    notes: {
      ...Object.assign({}, ...all.map(({ notes }) => notes)),
      ...sumOf(numbers.map((each) => Object.fromEntries(each))),
    },
  }
}

/** Runs one row on one engine. What breaks on the way is a fault as well. */
export async function tryRow(row: Row, engine: EngineName, says: (line: string) => void): Promise<Found> {
  try {
    return await row.run({ engine, dice: diceFor(`${row.name} ${engine}`), says })
  } catch (error) {
    const about = { times: 0, recoveriesMs: [], operations: 0, acknowledged: 0, undecided: 0, refused: {}, notes: {} }
    return {
      ...about,
      looked: NOTHING_LOOKED,
      faults: [`broke off: ${error instanceof Error ? error.message : String(error)}`],
    }
  }
}
