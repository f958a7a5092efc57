/**
 * `npm test`: the whole suite once, and what came of it in plain words at the end.
 *
 * The last line is always `N passed, N failed, N skipped`; the exit code is 0 only when nothing failed. What was left out because
 * no PostgreSQL answered is said there too, so that half a suite never passes for a whole one. Arguments go to vitest as filters:
 * `npm test -- test/rules`.
 */
import type { TestModule } from 'vitest/node'

// What isn't read by a person at a terminal is plain text. Vitest decides on colours when it is loaded.
if (!process.stdout.isTTY) process.env.NO_COLOR ??= '1'
const { parseCLI, startVitest } = await import('vitest/node')

console.log(`Node ${process.version}`)
const { filter, options } = parseCLI(['vitest', 'run', ...process.argv.slice(2)])
const vitest = await startVitest(filter, { ...options, watch: false })
const modules = vitest.state.getTestModules()
const troubles = vitest.state.getUnhandledErrors().length
await vitest.close()

const counts = { passed: 0, failed: 0, skipped: 0 }
for (const module of modules) count(module)
// An error outside of any test fails the run as well.
counts.failed += troubles

if (isPostgresMissing(modules)) {
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

function count(module: TestModule): void {
  const before = counts.failed
  for (const test of module.children.allTests()) {
    const { state } = test.result()
    counts[state === 'pending' ? 'skipped' : state] += 1
  }
  // A file that could not be loaded, or whose hooks failed, may have no test that says so.
  if (module.state() === 'failed' && counts.failed === before) counts.failed += 1
}

/** Suites that run on each engine carry its name; those of PostgreSQL are declared only where one answered. */
function isPostgresMissing(ran: readonly TestModule[]): boolean {
  const suites = ran.flatMap((module) => [...module.children.allSuites()].map((suite) => suite.name))
  return suites.some((name) => name.endsWith('(embedded)')) && !suites.some((name) => name.endsWith('(postgres)'))
}
