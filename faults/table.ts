/** The table that a run ends with, as Markdown, which is read as it is too. */
import type { EngineName } from '../test/kit/databases.ts'
import type { Found, Row } from './row.ts'
import { PROMISES } from './verdicts.ts'

/** One row on one engine: what was found, or why it was left out. */
export type Done = { readonly row: Row; readonly engine: EngineName } & (
  | { readonly leftOut: string }
  | { readonly found: Found; readonly seconds: number }
)

const SHOWN_FAULTS = 20

export interface About {
  readonly date: string
  readonly machine: { readonly processors: number; readonly model: string; readonly memoryGiB: number }
  readonly versions: { readonly commit: string | null; readonly node: string; readonly postgres: string | null }
  readonly seed: string
}

const HEAD = ['row', 'engine', 'times', 'asked', 'acknowledged', 'in doubt', 'back after ms', ...PROMISES, 'faults']

function cellsOf(done: Done): readonly string[] {
  const { row, engine } = done
  if ('leftOut' in done) return [row.name, engine, `left out: ${done.leftOut}`]
  const { found } = done
  const { times, operations, acknowledged, undecided, recoveriesMs, looked, faults } = found
  const sorted = recoveriesMs.toSorted((one, other) => one - other)
  const middle = sorted[Math.floor(sorted.length / 2)]
  const back = middle === undefined ? '' : `${middle.toFixed(0)} (${sorted.at(-1)?.toFixed(0)})`
  const counts = PROMISES.map((name) => looked[name])
  return [row.name, engine, ...[times, operations, acknowledged, undecided, back, ...counts, faults.length].map(String)]
}

export function tableOf(all: readonly Done[]): string {
  const lines = [HEAD, HEAD.map(() => '---'), ...all.map(cellsOf)]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

export function tell({ machine, versions, seed }: About, all: readonly Done[]): void {
  const { processors, model, memoryGiB } = machine
  const server = `PostgreSQL ${versions.postgres ?? 'not asked'}`
  console.log(`\n${processors} × ${model}, ${memoryGiB} GiB; Node ${versions.node}, ${server}; seed ${seed}`)
  console.log('Under the names of what is promised: how many things were held against it.\n')
  console.log(tableOf(all))
  for (const done of all) {
    if ('leftOut' in done) continue
    const { refused, notes, faults } = done.found
    const name = `${done.row.name} on ${done.engine}`
    const seen = [...Object.entries(notes).map(([what, value]) => `${what} ${value}`)].join(', ')
    const said = Object.entries(refused).map(([what, count]) => `${count} × ${what}`)
    console.log(`\n${name}: ${seen === '' ? 'nothing else was seen' : seen}; refused: ${said.join(', ') || 'nothing'}`)
    for (const fault of faults.slice(0, SHOWN_FAULTS)) console.log(`  FAULT ${fault}`)
    if (faults.length > SHOWN_FAULTS) console.log(`  and ${faults.length - SHOWN_FAULTS} more`)
  }
  console.log(`\nAgain, with the same chance: FAULTS_SEED=${seed} npm run test:faults`)
}
