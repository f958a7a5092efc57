/**
 * `npm test`: the whole suite once, and what came of it in plain words at the end.
 *
 * The last line is always `N passed, N failed, N skipped`; the exit code is 0 only when nothing failed. What was left out because
 * no PostgreSQL answered is said there too, so that half a suite never passes for a whole one. Arguments go to vitest as filters:
 * `npm test -- test/rules`. A run without any leaves its results beside this file, with the commit, for a release.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { TestModule } from 'vitest/node'
import { checkoutAt } from '../scripts/checkout.ts'
import { type Counts, NO_COUNTS, type SuiteRun } from '../scripts/release-proof.ts'

// What isn't read by a person at a terminal is plain text. Vitest decides on colours when it is loaded.
if (!process.stdout.isTTY) process.env.NO_COLOR ??= '1'
const { parseCLI, startVitest } = await import('vitest/node')

console.log(`Node ${process.version}`)
const root = fileURLToPath(new URL('..', import.meta.url))
const asked = process.argv.slice(2)
const date = new Date().toISOString()
const before = checkoutAt(root)
const { filter, options } = parseCLI(['vitest', 'run', ...asked])
const vitest = await startVitest(filter, { ...options, watch: false })
const modules = vitest.state.getTestModules()
const troubles = vitest.state.getUnhandledErrors().length
await vitest.close()

const files = modules.map((module) => ({
  path: module.relativeModuleId,
  project: module.project.name,
  counts: countsOf(module),
}))
// An error outside of any test fails the run as well.
const counts = sum([...files.map((file) => file.counts), { ...NO_COUNTS, failed: troubles }])
const hasPostgres = !isPostgresMissing(modules)
if (asked.length === 0) note()

if (!hasPostgres) {
  console.log('No PostgreSQL answered at REEVE_TEST_POSTGRES (without it: 127.0.0.1:5432, user postgres).')
  console.log(
    'Everything ran on the embedded database; the same tests on PostgreSQL, and those about it alone, did not.',
  )
  console.log('REEVE_REQUIRE_POSTGRES=1 makes its absence a failure.\n')
}
// Vitest has set it already when there was nothing to run.
if (counts.failed > 0) process.exitCode = 1
const lastLine = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`
process.stdout.write(lastLine, () => process.exit())

function countsOf(module: TestModule): Counts {
  const counts = { ...NO_COUNTS }
  for (const test of module.children.allTests()) {
    const { state } = test.result()
    counts[state === 'pending' ? 'skipped' : state] += 1
  }
  // A file that could not be loaded, or whose hooks failed, may have no test that says so.
  if (module.state() === 'failed' && counts.failed === 0) counts.failed += 1
  return counts
}

function sum(all: readonly Counts[]): Counts {
  const of = (kind: keyof Counts) => all.reduce((total, one) => total + one[kind], 0)
  return { passed: of('passed'), failed: of('failed'), skipped: of('skipped') }
}

/** With the commit on which it ran from the beginning to the end, and none when that is another one by now. */
function note(): void {
  const after = checkoutAt(root)
  const byProject = Map.groupBy(files, ({ project }) => project)
  const run: SuiteRun = {
    commit: before !== null && before.commit === after?.commit ? before.commit : null,
    isClean: before?.isClean === true && after?.isClean === true,
    ...{ hasPostgres, date, node: process.version, seconds: Math.round(performance.now() / 1_000), counts },
    projects: Object.fromEntries([...byProject].map(([name, some]) => [name, sum(some.map((file) => file.counts))])),
    files: Object.fromEntries(files.map(({ path, counts: own }) => [path, own])),
  }
  writeFileSync(new URL('last.json', import.meta.url), `${JSON.stringify(run, null, 1)}\n`)
}

/** Suites that run on each engine carry its name; those of PostgreSQL are declared only where one answered. */
function isPostgresMissing(ran: readonly TestModule[]): boolean {
  const suites = ran.flatMap((module) => [...module.children.allSuites()].map((suite) => suite.name))
  return suites.some((name) => name.endsWith('(embedded)')) && !suites.some((name) => name.endsWith('(postgres)'))
}
