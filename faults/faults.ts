/**
 * `npm run test:faults`: what survives which fault, shown with real processes. Everything is asked of one Reeve at once and written down; one fault
 * after the other is done to it; and then all that was said is held against what stands in the database. Exits with 1 when anything doesn't hold.
 *
 * - `FAULTS_QUICK=1`: everything small, within minutes.
 * - `FAULTS_ONLY`: rows, by their names and commas. `FAULTS_ENGINES`: of `embedded,postgres`.
 * - `FAULTS_SEED`: the chance of an earlier run, as it was printed.
 * - `FAULTS_KILLS` (200), `FAULTS_BACKENDS` (60), `FAULTS_COMMITS` (200): how often, on each engine.
 * - `REEVE_TEST_POSTGRES`: the server, if it isn't `postgres://postgres@127.0.0.1:5432/postgres`.
 *
 * SIGUSR2 has it finish what is under way and judge what was done until then. Writes `faults/last.json`. What each row does stands in `docs/faults.md`.
 */
import { writeFileSync } from 'node:fs'
import { machine, versions } from '../bench/machine.ts'
import { type EngineName, engines, hasPostgres } from '../test/kit/databases.ts'
import { type Found, tryRow } from './row.ts'
import { ROWS } from './rows.ts'
import { chosen, IS_QUICK, isEnough, KILLS, SEED } from './settings.ts'
import { type Done, tell } from './table.ts'

const says = (line: string): void => console.log(`${new Date().toISOString().slice(11, 19)}  ${line}`)

const names = chosen(
  'FAULTS_ONLY',
  ROWS.map(({ name }) => name),
)
const wanted = chosen<EngineName>('FAULTS_ENGINES', ['embedded', 'postgres'])
const about = {
  date: new Date().toISOString(),
  machine: machine(),
  versions: await versions(hasPostgres),
  ...{ seed: SEED, isQuick: IS_QUICK, kills: KILLS, rows: names },
}
const done: Done[] = []
says(`seed ${SEED}, process ${process.pid}`)
for (const row of ROWS.filter(({ name }) => names.includes(name))) {
  const leftOut = row.leftOut?.() ?? null
  for (const engine of row.engines.filter((one) => wanted.includes(one))) {
    const unasked = isEnough() ? 'the run was ended before' : leftOut
    const reason = engines().includes(engine) ? unasked : 'PostgreSQL does not answer'
    if (reason !== null) {
      says(`${row.name} on ${engine} is left out: ${reason}`)
      done.push({ row, engine, leftOut: reason })
    } else {
      says(`${row.name} on ${engine}: ${row.does}`)
      const begunMs = performance.now()
      const found: Found = await tryRow(row, engine, (line) => says(`  ${line}`))
      const seconds = Math.round((performance.now() - begunMs) / 1_000)
      done.push({ row, engine, found, seconds })
      says(`  ${found.faults.length === 0 ? 'holds' : `FAILS: ${found.faults[0]}`} (${seconds} s)`)
    }
    write()
  }
}
tell(about, done)
process.exit(done.every((one) => 'leftOut' in one || one.found.faults.length === 0) ? 0 : 1)

/** After each row: what was found is not lost with what goes wrong later. */
function write(): void {
  const rows = done.map(({ row: { name, does, holds }, ...rest }) => ({ name, does, holds, ...rest }))
  writeFileSync(new URL('last.json', import.meta.url), `${JSON.stringify({ ...about, rows }, null, 1)}\n`)
}
