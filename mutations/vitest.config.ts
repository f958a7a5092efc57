import { relative, resolve } from 'node:path'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const judges = (process.env['MUTATIONS_JUDGES'] ?? '').split(',')

/** In the order in which they are named: what is quick, and notices most, comes first, and the first that fails is the last. */
class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId }: TestSpecification): number => judges.indexOf(relative(process.cwd(), moduleId))
    return files.toSorted((a, b) => placeOf(a) - placeOf(b))
  }
}

/** The tests by which a mutant is judged, as `mutations/mutations.ts` names them. How long they may take is that one's to say. */
export default defineConfig({
  resolve: { alias: [{ find: /^fast-check$/, replacement: resolve('mutations/few-runs.ts') }] },
  test: {
    include: judges,
    environment: 'node',
    // What is changed here on its way to the tests is nothing to be kept for others.
    fsModuleCache: false,
    testTimeout: 120_000,
    hookTimeout: 240_000,
    sequence: { sequencer: InOrder },
  },
})
