/**
 * `npm run test:simulation`: one world after the other, each by a seed of its own, on a clock of their own. Exits with 1 when anything doesn't hold.
 *
 * - `SIMULATION_SEEDS` (100): how many. `SIMULATION_MINUTES`: or for how long.
 * - `SIMULATION_SEED`: one of an earlier run, as it was printed.
 * - `SIMULATION_FROM`: the first of them; without it, chance says.
 *
 * Writes `simulation/last.json`, and beside it the record of each seed that failed. What is in a world stands in `docs/simulation.md`.
 */
import { randomInt } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { machine, versions } from '../bench/machine.ts'
import { migratedDump, type Run, simulate } from './run.ts'
import { sumOf } from './tally.ts'

const numberOf = (name: string): number | null => {
  const text = process.env[name]
  if (text === undefined || text === '') return null
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0)
    throw new Error(`${name} is no number of seeds, minutes or a seed: ${text}`)
  return number
}
const says = (line: string): void => console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`)

const one = numberOf('SIMULATION_SEED')
const minutes = numberOf('SIMULATION_MINUTES')
const seeds = one !== null ? 1 : (numberOf('SIMULATION_SEEDS') ?? (minutes === null ? 100 : Number.MAX_SAFE_INTEGER))
const first = one ?? numberOf('SIMULATION_FROM') ?? randomInt(2 ** 31)
const about = { date: new Date().toISOString(), machine: machine(), versions: await versions(false), first }

await migratedDump()
const begunMs = performance.now()
const minutesGone = () => (performance.now() - begunMs) / 60_000
let told = begunMs
const runs: Omit<Run, 'operations' | 'lines'>[] = []
says(`the first seed is ${first}`)
for (let nth = 0; nth < seeds && (minutes === null || minutesGone() < minutes); nth++) {
  const seed = first + nth
  const { operations, lines, ...run } = await simulate({ seed, isTraced: one !== null }).catch((error: unknown) =>
    broken(seed, error),
  )
  runs.push(run)
  if (run.faults.length > 0) {
    const file = new URL(`found-${seed}.jsonl`, import.meta.url)
    writeFileSync(file, `${[...run.faults, ...operations].map((each) => JSON.stringify(each)).join('\n')}\n`)
    if (lines.length > 0) writeFileSync(new URL(`found-${seed}.txt`, import.meta.url), lines.join(''))
    says(`seed ${seed} FAILS: ${run.faults[0]}`)
    says(`  once more: SIMULATION_SEED=${seed} npm run test:simulation`)
  }
  if (performance.now() - told > 10_000 || one !== null) {
    told = performance.now()
    says(`${runs.length} seeds, ${(runs.length / minutesGone()).toFixed(1)} in a minute, ${failed().length} failed`)
  }
}
const sums = {
  asked: sumOf(runs.map(({ asked }) => asked)),
  faultsDone: sumOf(runs.map(({ done }) => done)),
  looked: sumOf(runs.map(({ looked }) => looked)),
}
for (const [title, counts] of Object.entries(sums)) {
  console.log(`\n${title}`)
  for (const [name, count] of Object.entries(counts)) console.log(`${String(count).padStart(9)}  ${name}`)
}
const steps = runs.reduce((sum, run) => sum + run.steps, 0)
const virtualMinutes = Math.round(runs.reduce((sum, run) => sum + run.virtualMs, 0) / 60_000)
const summary = {
  seeds: runs.length,
  failed: failed().map(({ seed, faults }) => ({ seed, faults })),
  steps,
  virtualMinutes,
}
const perMinute = Number((runs.length / minutesGone()).toFixed(1))
const prints = runs.map(({ seed, print }) => [seed, print])
writeFileSync(
  new URL('last.json', import.meta.url),
  `${JSON.stringify({ ...about, ...summary, perMinute, ...sums, prints }, null, 1)}\n`,
)
console.log()
says(
  `${runs.length} seeds, ${perMinute} in a minute, ${steps} steps, ${virtualMinutes} minutes of theirs, ${failed().length} failed`,
)
process.exit(failed().length === 0 && runs.length > 0 ? 0 : 1)

function failed() {
  return runs.filter(({ faults }) => faults.length > 0)
}

/** A run that didn't come to its end. */
function broken(seed: number, error: unknown): Run {
  const why = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const nothing = { print: '', looked: {}, asked: {}, done: {}, steps: 0, virtualMs: 0, operations: [], lines: [] }
  return { seed, ...nothing, faults: [`broke off: ${why}`] }
}
