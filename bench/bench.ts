/**
 * `npm run bench`: how close Reeve comes to what its parts alone would cost, in one run on this machine.
 *
 * What can be a ratio is one, of two things that took turns in the same run, with the absolutes beside it; a figure is the median of its
 * rounds, with the lowest and the highest. What works on the machine besides us is noted for each part. It ends with one
 * table, and writes all of it to `bench/last.json` and how costs grow to `bench/curves/*.svg`. The load, the directory and the database
 * server are processes of the same machine.
 *
 * - `BENCH_QUICK=1`: everything small, in a few minutes, to see that it works. The figures mean little.
 * - `BENCH_PARTS`: of `exchange,hook,house,process,roll,fanout`. `BENCH_ENGINES`: of `postgres,embedded`.
 * - `BENCH_ROUNDS` (5), `BENCH_REQUESTS` (1,500): how often what is repeated, and how many requests make a round.
 * - `BENCH_GROWTH` (`1000,10000,100000,1000000`) and `BENCH_CLIENTS` (`1,2,4,8,16,32,64`): the points of the curves of the exchange.
 * - `BENCH_MEMBERS` (1,000,000; a tenth of it on the embedded engine): people of the roll, and each tenth of it down to 1,000. `BENCH_MINTS` (200,000): exchanges of the memory test.
 * - `BENCH_LOAD_SECONDS` (60), `BENCH_KILLS` (20), `BENCH_CHANGES` (2,000), `BENCH_CLAIMS` (20), `BENCH_STARTS` (5) and
 *   `BENCH_SECOND_STARTS` (20): how often something is done to processes.
 * - `BENCH_PICTURES`: the folder for the pictures, in place of `bench/curves`.
 * - `REEVE_TEST_POSTGRES`: the server, if it isn't `postgres://postgres@127.0.0.1:5432/postgres`.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { drawCurves } from './curves.ts'
import { measureExchange } from './exchange.ts'
import { measureFanout } from './fanout.ts'
import { measureHook } from './hook.ts'
import { measureHouse } from './house.ts'
import { machine, type Surroundings, versions, watchSurroundings } from './machine.ts'
import { measureProcess } from './process.ts'
import { measureRoll } from './roll.ts'
import type { Figure } from './rows.ts'
import {
  chosen,
  createDatabase,
  ENGINES,
  type Engine,
  IS_QUICK,
  PARTS,
  type Part,
  PER_ROUND,
  ROUNDS,
} from './settings.ts'
import { notMeasured, tableOf } from './table.ts'
import { verdictOf } from './targets.ts'

type Measure = (engine: Engine, says: (line: string) => void) => Promise<readonly Figure[]>

const MEASURES: Readonly<Record<Part, Measure>> = {
  exchange: measureExchange,
  hook: measureHook,
  house: measureHouse,
  process: measureProcess,
  roll: (engine) => measureRoll(engine, createDatabase),
  fanout: (engine) => measureFanout(engine, createDatabase),
}

const says = (line: string): void => console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`)

const engines = chosen('BENCH_ENGINES', ENGINES)
const parts = chosen('BENCH_PARTS', PARTS)
const about = {
  date: new Date().toISOString(),
  machine: machine(),
  versions: await versions(engines.includes('postgres')),
  settings: Object.fromEntries([
    ...Object.entries({ engines, parts, rounds: ROUNDS, perRound: PER_ROUND, isQuick: IS_QUICK }),
    ...Object.entries(process.env).filter(([name]) => name.startsWith('BENCH_')),
  ]),
}
const figures: Figure[] = []
const surroundings: (Surroundings & { readonly part: Part; readonly engine: Engine })[] = []
for (const part of parts) {
  for (const engine of engines) {
    says(`${part} on ${engine}`)
    const seen = watchSurroundings(engines.includes('postgres'))
    figures.push(...(await MEASURES[part](engine, says)))
    surroundings.push({ part, engine, ...seen() })
    // After each part: what was measured is not lost with what goes wrong later.
    write()
  }
}
const pictures = drawCurves(figures, process.env['BENCH_PICTURES'] ?? fileURLToPath(new URL('curves', import.meta.url)))
tell()

function write(): void {
  const all = figures.map((figure) => ({ ...figure, verdict: verdictOf(figure) }))
  const file = { ...about, surroundings, figures: all, notMeasured: notMeasured(figures) }
  writeFileSync(new URL('last.json', import.meta.url), `${JSON.stringify(file, null, 2)}\n`)
}

function tell(): void {
  const { processors, model, memoryGiB } = about.machine
  const { reeve, commit, node, openssl, postgres, pglite } = about.versions
  console.log(`\n${processors} × ${model}, ${memoryGiB} GiB; Node ${node}, OpenSSL ${openssl}, PGlite ${pglite}`)
  console.log(
    `Reeve ${reeve} (${commit ?? 'no checkout'}), PostgreSQL ${postgres ?? 'not asked'}; ${ROUNDS} rounds of ${PER_ROUND}`,
  )
  for (const { part, engine, seconds, load, foreignProcessors } of surroundings) {
    const foreign = foreignProcessors === null ? 'not known here' : `${foreignProcessors.toFixed(2)} processors`
    const loads = load.map((one) => one.toFixed(1)).join(' → ')
    console.log(`${part} on ${engine}: ${seconds.toFixed(0)} s, load ${loads}, busy with others: ${foreign}`)
  }
  console.log(`\n${tableOf(figures)}`)
  const missing = notMeasured(figures)
  if (missing.length > 0) console.log(`\nNot measured in this run:\n${missing.map((line) => `- ${line}`).join('\n')}`)
  if (pictures.length > 0) console.log(`\nPictures: ${pictures.join(', ')}`)
  if (IS_QUICK) console.log('\nThis was a quick run: it shows that everything works, and its figures mean little.')
}
