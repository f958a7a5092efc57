/**
 * The second part of `npm run bench`: what the roll costs with a million people in one space, a thousand spaces around one, and
 * nesting eight deep, beside the targets.
 *
 * Each engine is measured in a process of its own (`roll-measured.ts`). `BENCH_MEMBERS` says how many people, and how many for
 * the smaller of the two sizes; by itself `1000000,100000`, and on the embedded engine a tenth of that.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cost, RollOrder, RollRow } from './roll-measured.ts'

export interface RollReport {
  readonly engine: string
  readonly members: readonly number[]
  /** The machine's load of the last minute, before and after. */
  readonly load: readonly [number, number]
  readonly rows: readonly RollRow[]
  readonly costs: Readonly<Record<string, Cost>>
}

/** What is measured elsewhere, because it is a yes or a no. */
const ELSEWHERE: readonly RollRow[] = [
  {
    row: '12',
    definition: 'stale answers on a second process after a removal',
    measured: 'a test: test/story/replicas.test.ts',
    target: '0',
    isMet: null,
  },
  {
    row: '13',
    definition: 'winners among many who spend one token at once',
    measured: 'a test: test/rooms/single-use.test.ts',
    target: 'exactly 1',
    isMet: null,
  },
]

/** The embedded engine works in one thread with everything else: a tenth of the people keeps it to some minutes. */
const PEOPLE = { postgres: '1000000', embedded: '100000' } as const
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 5)

/** Measures one engine and prints its table. `createDatabase` makes an empty database on the server. */
export async function measureRoll(
  engine: 'postgres' | 'embedded',
  createDatabase: (what: string) => Promise<{ url: string; drop(): Promise<void> }>,
): Promise<RollReport> {
  const chosen = (process.env['BENCH_MEMBERS'] ?? PEOPLE[engine]).split(',').map(Number)
  const [large = Number.NaN, small = Math.ceil(large / 10)] = chosen
  const folder = await mkdtemp(join(tmpdir(), 'reeve-bench-roll-'))
  const databases = engine === 'postgres' ? [await createDatabase('large'), await createDatabase('small')] : []
  const before = loadavg()[0] ?? Number.NaN
  try {
    const urls = databases.map(({ url }) => url)
    const order: RollOrder = { engine, folder, urls, members: [large, small], rounds: ROUNDS }
    const child = fork(new URL('roll-measured.ts', import.meta.url), [JSON.stringify(order)], {
      execArgv: ['--expose-gc'],
      env: { PATH: process.env['PATH'] },
    })
    const ended = once(child, 'exit').then(([code]) => {
      if (code !== 0) throw new Error(`the measured process ended with ${code}`)
      return null
    })
    const answered = await Promise.race([once(child, 'message'), ended])
    if (answered === null) throw new Error('the measured process said nothing')
    await ended
    const { rows, costs }: Pick<RollReport, 'rows' | 'costs'> = answered[0]
    const report: RollReport = {
      engine,
      members: [large, small],
      load: [before, loadavg()[0] ?? Number.NaN],
      rows: [...rows, ...ELSEWHERE],
      costs,
    }
    print(report)
    return report
  } finally {
    for (const database of databases) await database.drop()
    await rm(folder, { recursive: true, force: true })
  }
}

function print({ engine, rows, load }: RollReport): void {
  console.log(
    `${engine}: the roll; medians of ${ROUNDS} rounds; processor time of this process + of the server's; load ${load.map((one) => one.toFixed(1)).join(' → ')}`,
  )
  for (const { row, definition, measured, target, isMet } of rows) {
    const verdict = isMet === null ? '' : isMet ? '  ok' : '  MISSED'
    console.log(`${row.padStart(4)}  ${definition}: ${measured}${target ? `  [${target}]` : ''}${verdict}`)
  }
}
