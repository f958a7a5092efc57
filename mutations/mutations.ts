/**
 * `npm run test:mutations`: changes the code in one small place after the other, and asks the tests whether they notice. Exits with 1 when one of
 * these changes lives on and isn't explained.
 *
 * - `MUTATIONS_ONLY`: rooms or files, by their names and commas; all without it.
 * - `MUTATIONS_AT_ONCE`: how many are tried at a time (1).
 *
 * What was found is kept in `mutations/cache/`, and only what has changed since is tried again; `MUTATIONS_AFRESH=1` tries everything.
 * What counts, and what came of it, stands in `docs/mutations.md`.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { versions } from '../bench/machine.ts'
import { EXPLAINED } from './explained.ts'
import { type Judgement, judge, type Report, reusable } from './gate.ts'
import { ROOMS } from './rooms.ts'
import { faultsOf, tableOf } from './table.ts'
import { tryNumbers } from './try-numbers.ts'

const CACHE = 'mutations/cache'
/** On a machine that has others to serve, a test that takes a second may take ten. Whoever waits longer waits for ever. */
const PATIENCE_MS = 20_000
const IS_AFRESH = process.env['MUTATIONS_AFRESH'] === '1'

const cacheOf = (room: string): string => `${CACHE}/${room}.json`
const wanted = new Set(process.env['MUTATIONS_ONLY']?.split(','))
const rooms = Object.entries(ROOMS)
const strangers = [...wanted].filter(
  (name) => !rooms.some(([room, { files }]) => room === name || files.includes(name)),
)
if (strangers.length > 0) throw new Error(`MUTATIONS_ONLY: nothing here is called ${strangers.join()}`)

const judged: Judgement[] = []
for (const [name, room] of rooms) {
  const files = room.files.filter((file) => wanted.size === 0 || wanted.has(name) || wanted.has(file))
  if (files.length === 0) continue
  // Read by the tests' own configuration, also in processes that inherit it.
  process.env['MUTATIONS_JUDGES'] = room.judges.join()
  await mutate(files, cacheOf(name))
  const report = read(cacheOf(name))
  const numbers = await tryNumbers(room, files, cacheOf(`${name}-numbers`), IS_AFRESH)
  judged.push(judge(joined(report, numbers), files, EXPLAINED))
}
const { node, commit } = await versions(false)
const faults = judged.flatMap(faultsOf)
console.log(`\n${new Date().toISOString().slice(0, 10)}, Node ${node}, ${commit ?? 'no commit'}\n`)
console.log(tableOf(judged.flatMap(({ rows }) => rows)))
for (const fault of faults) console.log(fault)
process.exit(faults.length === 0 ? 0 : 1)

function read(cache: string): Report {
  return JSON.parse(readFileSync(cache, 'utf8'))
}

/** What the tool found, and what was found of numbers. */
function joined(report: Report, numbers: Report): Report {
  const files = Object.entries(numbers.files).map(([file, { source, mutants }]) => {
    const others = report.files[file]
    if (others?.source !== source) throw new Error(`${file} has changed while it was judged`)
    return [file, { source, mutants: [...others.mutants, ...mutants] }] as const
  })
  return { files: Object.fromEntries(files) }
}

/** Puts every mutant of some files to the tests of their room. */
async function mutate(files: readonly string[], cache: string): Promise<void> {
  if (existsSync(cache)) writeFileSync(cache, JSON.stringify(reusable(read(cache))))
  const { Stryker } = await import('@stryker-mutator/core')
  const stryker = new Stryker({
    mutate: [...files],
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'mutations/vitest.config.ts' },
    coverageAnalysis: 'perTest',
    incremental: true,
    incrementalFile: cache,
    force: IS_AFRESH,
    concurrency: Number(process.env['MUTATIONS_AT_ONCE'] ?? 1),
    timeoutMS: PATIENCE_MS,
    timeoutFactor: 4,
    dryRunTimeoutMinutes: 20,
    reporters: ['dots'],
    tempDirName: `${CACHE}/sandbox`,
    cleanTempDir: 'always',
    // What is tried is run, and nobody checks its types.
    disableTypeChecks: false,
    // It would read our own by an interface that this compiler hasn't, and has no use for it.
    tsconfigFile: 'none',
    ignorePatterns: ['bench/curves', 'data', 'docs/figures', CACHE],
    allowConsoleColors: false,
    warnings: false,
  })
  await stryker.runMutationTest()
}
