import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

/**
 * Each folder of tests answers one question; `house` is what `npm run check` runs.
 *
 * How long anything may take here is no promise of Reeve's: it only ends what hangs. So it is many times what it takes on an idle machine,
 * also on one that is slow, busy, and stands still for seconds.
 */
const project = (name: string, include: string[], more: object = {}) => ({
  test: {
    ...{ name, include, environment: 'node' as const, testTimeout: 120_000, hookTimeout: 240_000 },
    expect: { poll: { timeout: 60_000 } },
    ...more,
  },
})

export default defineConfig({
  test: {
    // Files wait for disks and sockets about a third of their time, so one more at a time than there are processors.
    maxWorkers: Math.min(6, availableParallelism() + 1),
    projects: [
      project('house', ['test/house/**/*.test.ts']),
      project('rules', ['test/rules/**/*.test.ts', 'test/vectors/**/*.test.ts']),
      project('fuzz', ['test/fuzz/**/*.test.ts'], {
        testTimeout: 120_000 * Math.max(1, Number(process.env['FUZZ_RUNS'] ?? 1)),
      }),
      // A test of these that opens databases and servers of its own takes some seconds on an idle machine, and far more on a busy one.
      project('rooms', ['test/rooms/**/*.test.ts'], { testTimeout: 240_000 }),
      project('doors', ['test/doors/**/*.test.ts'], { testTimeout: 240_000 }),
      // Each of its tests runs the keepers' tool many times, each time as a process of its own.
      project('ceremony', ['test/ceremony/**/*.test.ts'], { testTimeout: 300_000 }),
      // Whole networks in processes of their own take their time on a busy machine.
      project('story', ['test/story/**/*.test.ts'], { testTimeout: 300_000 }),
    ],
  },
})
