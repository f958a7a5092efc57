/** A soak as a table on the console. */
import { type Moment, peaksOf, type Run, tallyOf, type Verdict } from './verdicts.ts'

const PADDED = 34

export function tell(machine: string, run: Run, verdicts: readonly Verdict[]): void {
  const { moments, last } = run
  console.log(`${machine}\n`)
  console.log(`${'honest requests'.padEnd(PADDED)}   count  p50 ms  p99 ms  longest`)
  for (const [what, times] of timesOf(moments)) {
    const at = (share: number) => (times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0).toFixed(0)
    console.log(`${what.padEnd(PADDED)} ${cell(times.length)} ${cell(at(0.5))} ${cell(at(0.99))} ${cell(at(1))}`)
  }
  console.log(`\n${'hostile requests'.padEnd(PADDED)}   answers`)
  for (const [says, answers] of hostileOf(moments)) {
    const text = [...answers].sort(([, a], [, b]) => b - a).map(([how, count]) => `${how} × ${count}`)
    console.log(`${says.padEnd(PADDED)}   ${text.join(', ')}`)
  }
  console.log(`\n${'what is kept or waits'.padEnd(PADDED + 12)} most seen   bound   at rest`)
  for (const { name, size, most } of peaksOf([...moments, last])) {
    const now = last.sizes.find((one) => one.name === name)?.size ?? 0
    console.log(`${name.padEnd(PADDED + 12)} ${cell(size)} ${cell(most)} ${cell(now)}`)
  }
  console.log(`\n${'tables'.padEnd(PADDED)}   rows    dead  overdue`)
  for (const { name, rows, dead, overdue } of last.tables) {
    console.log(`${name.padEnd(PADDED)} ${cell(rows)} ${cell(dead)} ${cell(overdue)}`)
  }
  const answers = new Map<string, number>()
  for (const moment of moments) addTo(answers, moment.answers)
  console.log(`\nanswers: ${[...answers].map(([status, count]) => `${status} × ${count}`).join(', ')}`)
  const busiest = Math.max(0, ...moments.map(({ connections }) => connections?.busy ?? 0))
  const open = Math.max(0, ...moments.map(({ connections }) => connections?.all ?? 0))
  const [first, end] = [moments[0], moments.at(-1)]
  const cpuSec = (end?.cpuSec ?? 0) - (first?.cpuSec ?? 0)
  const wallSec = (end?.atSec ?? 0) - (first?.atSec ?? 0)
  console.log(`connections to the database: ${open}, ${busiest} of them busy at most`)
  console.log(
    `processor: ${((cpuSec / wallSec) * 100).toFixed(0)} % of one; resident ${end?.rssMiB.toFixed(0)} MiB at the end`,
  )
  const refused = moments.flatMap(({ honest }) => honest.refused)
  for (const [what, count] of Object.entries(tallyOf(refused))) console.log(`refused: ${count} × ${what}`)
  console.log('')
  for (const { name, isOk, says } of verdicts) console.log(`${isOk ? 'holds' : 'FAILS'}  ${name}: ${says}`)
}

const cell = (value: string | number): string => String(value).padStart(7)

function addTo(counts: Map<string, number>, more: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(more)) counts.set(name, (counts.get(name) ?? 0) + count)
}

function timesOf(moments: readonly Moment[]): ReadonlyMap<string, readonly number[]> {
  const all = new Map<string, number[]>()
  for (const { honest } of moments) {
    for (const [what, times] of Object.entries(honest.tookMs)) all.set(what, [...(all.get(what) ?? []), ...times])
  }
  for (const times of all.values()) times.sort((a, b) => a - b)
  return all
}

function hostileOf(moments: readonly Moment[]): ReadonlyMap<string, Map<string, number>> {
  const all = new Map<string, Map<string, number>>()
  for (const { hostile } of moments) {
    for (const [says, answers] of Object.entries(hostile.answers)) {
      const counts = all.get(says) ?? new Map<string, number>()
      addTo(counts, answers)
      all.set(says, counts)
    }
  }
  return all
}
