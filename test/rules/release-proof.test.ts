/** What a release says of its promises, and everything for which there is none. */
import { describe, expect, it } from 'vitest'
import { notPromisedOf, promisesOf } from '../../scripts/promises.ts'
import { brokenIn, type OtherRun, proofOf, releaseFaults, type SuiteRun } from '../../scripts/release-proof.ts'

const COMMIT = 'ab'.repeat(20)
const PAPER = `# Security

| a | b |
|---|---|
| another | table |

## What is promised

| | promise | bound | shown by |
|---|---|---|---|
| P1 | Nobody comes in | exact | \`test/rooms/a.test.ts\`, \`test/rules/b.test.ts\` |
| P2 | … and nobody \`stays\` | 1 s | \`test/rooms/a.test.ts\`, \`npm run test:faults\` (\`kill\`, \`disk\`) |
| P9e | One alone | soon | \`test/rules/b.test.ts\` |

- **P3. Much.** It is not.
- **Something** else.
`
const green = { passed: 3, failed: 0, skipped: 0 }
const run = (more: Partial<SuiteRun> = {}): SuiteRun => ({
  ...{ commit: COMMIT, isClean: true, hasPostgres: true, date: '2026-11-30T00:00:00Z', node: 'v24.21.0', seconds: 9 },
  ...{ counts: green, projects: { rooms: green } },
  files: {
    'test/rooms/a.test.ts': { passed: 2, failed: 0, skipped: 0 },
    'test/rules/b.test.ts': { passed: 1, failed: 0, skipped: 0 },
  },
  ...more,
})
const CLEAN = { commit: COMMIT, isClean: true }
const PROMISES = promisesOf(PAPER)

it('promises are read with their numbers, bounds, tests and faults', () => {
  expect(PROMISES).toEqual([
    {
      id: 'P1',
      text: 'Nobody comes in',
      bound: 'exact',
      tests: ['test/rooms/a.test.ts', 'test/rules/b.test.ts'],
      faults: [],
    },
    { id: 'P2', text: '… and nobody `stays`', bound: '1 s', tests: ['test/rooms/a.test.ts'], faults: ['kill', 'disk'] },
    { id: 'P9e', text: 'One alone', bound: 'soon', tests: ['test/rules/b.test.ts'], faults: [] },
  ])
  expect(notPromisedOf(PAPER)).toEqual(['P3'])
})

it.each([
  ['no number', '| Nobody | exact | `test/a.test.ts` |'],
  ['a cell too few', '| P1 | Nobody | `test/a.test.ts` |'],
  ['no end', '| P1 | Nobody | exact | `test/a.test.ts`'],
])('a row with %s stops everything', (_says, row) => {
  expect(() => promisesOf(PAPER.replace(/^\| P9e .*$/m, row))).toThrow("can't be read")
})

describe('there is no release', () => {
  it('but where nothing stands against it', () => {
    expect(releaseFaults(CLEAN, run(), PROMISES)).toEqual([])
  })

  it.each<[string, Parameters<typeof releaseFaults>]>([
    ['this is no checkout of git', [null, run(), PROMISES]],
    ['there are no results of the suite: run npm test, whole, on this commit', [CLEAN, null, PROMISES]],
    ['the tree is not clean', [{ ...CLEAN, isClean: false }, run(), PROMISES]],
    ['the suite ran on another commit', [{ ...CLEAN, commit: 'cd'.repeat(20) }, run(), PROMISES]],
    ['the suite ran on another commit', [CLEAN, run({ commit: null }), PROMISES]],
    ['the suite ran on a tree that was not clean', [CLEAN, run({ isClean: false }), PROMISES]],
    ['the suite ran without a PostgreSQL', [CLEAN, run({ hasPostgres: false }), PROMISES]],
    ['1 failed', [CLEAN, run({ counts: { ...green, failed: 1 } }), PROMISES]],
    ['2 skipped', [CLEAN, run({ counts: { ...green, skipped: 2 } }), PROMISES]],
    ['nothing passed', [CLEAN, run({ counts: { ...green, passed: 0 } }), PROMISES]],
    ['SECURITY.md has no promises', [CLEAN, run(), []]],
    ['P7 is shown by no test', [CLEAN, run(), [{ id: 'P7', text: '', bound: '', tests: [], faults: [] }]]],
  ])('%s', (says, given) => {
    expect(releaseFaults(...given)).toEqual([says])
  })

  it.each([
    ['is not in the run', undefined],
    ['has nothing that passed', { passed: 0, failed: 0, skipped: 0 }],
    ['failed in part', { passed: 2, failed: 1, skipped: 0 }],
    ['was left out in part', { passed: 2, failed: 0, skipped: 1 }],
  ])('where a test of a promise %s', (_says, counts) => {
    const files = { ...run().files }
    if (counts) files['test/rules/b.test.ts'] = counts
    else delete files['test/rules/b.test.ts']
    expect(releaseFaults(CLEAN, run({ files }), PROMISES)).toEqual([
      'P1: test/rules/b.test.ts is not green in that run',
      'P9e: test/rules/b.test.ts is not green in that run',
    ])
  })
})

describe('the proof', () => {
  const faults = (commit: string | null, outcome: OtherRun['rows'][number]['outcome'] = 'held'): OtherRun => ({
    ...{ name: 'faults', commit, date: '2026-11-29' },
    rows: [
      { name: 'kill', engine: 'embedded', outcome: 'held' },
      { name: 'kill', engine: 'postgres', outcome },
      { name: 'disk', engine: 'postgres', outcome: 'not tried' },
    ],
  })
  const outcomes = (...others: OtherRun[]) =>
    proofOf(COMMIT, run(), PROMISES, others).promises.flatMap((promise) => promise.faults.map(({ outcome }) => outcome))

  it('has each promise with the counts of each of its tests, and the suite without its files', () => {
    const { promises, suite, otherRuns } = proofOf(COMMIT, run(), PROMISES, [])
    expect(promises).toMatchObject([
      {
        id: 'P1',
        promise: 'Nobody comes in',
        bound: 'exact',
        tests: [{ path: 'test/rooms/a.test.ts', passed: 2 }, { passed: 1 }],
      },
      {
        id: 'P2',
        faults: [
          { row: 'kill', outcome: 'not tried' },
          { row: 'disk', outcome: 'not tried' },
        ],
      },
      { id: 'P9e' },
    ])
    expect(suite).toMatchObject({ commit: COMMIT, counts: green, projects: { rooms: green } })
    expect(suite).not.toHaveProperty('files')
    expect(otherRuns).toEqual([])
  })

  it('counts faults that were tried on this very commit, on every engine', () => {
    expect(outcomes(faults(COMMIT.slice(0, 12)))).toEqual(['held', 'not tried'])
    expect(outcomes(faults(COMMIT.slice(0, 12), 'failed'))).toEqual(['failed', 'not tried'])
    const broken = (commit: string, outcome?: 'failed') =>
      brokenIn(proofOf(COMMIT, run(), PROMISES, [faults(commit, outcome)]))
    expect(broken(COMMIT.slice(0, 12), 'failed')).toEqual(['P2: kill of test:faults failed'])
    expect(broken(COMMIT.slice(0, 12))).toEqual([])
    expect(broken('cd'.repeat(6), 'failed')).toEqual([])
  })

  it.each(['cd'.repeat(6), `${COMMIT.slice(0, 12)}+`, COMMIT.slice(0, 6), '', null])('and not on %j', (commit) => {
    expect(outcomes(faults(commit))).toEqual(['not tried', 'not tried'])
    expect(proofOf(COMMIT, run(), PROMISES, [faults(commit)]).otherRuns).toEqual([
      { name: 'faults', commit, date: '2026-11-29', isOfThisCommit: false },
    ])
  })
})
