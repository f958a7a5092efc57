/**
 * What a release says about itself, from the results of the suite on its very commit: each promise with what came of its tests. And what
 * stands against a release. Nothing here reads or writes.
 */
import type { Promised } from './promises.ts'

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** A run of the whole suite, as `npm test` notes it. */
export interface SuiteRun {
  /** Null where it can't be told: no checkout, or another commit at the end than at the beginning. */
  readonly commit: string | null
  readonly isClean: boolean
  readonly hasPostgres: boolean
  readonly date: string
  readonly node: string
  readonly seconds: number
  readonly counts: Counts
  readonly projects: Readonly<Record<string, Counts>>
  readonly files: Readonly<Record<string, Counts>>
}

/** What a longer run noted, of the faults, the soak or the benchmark: the commit is short, with `+` behind it when the tree was changed. */
export interface OtherRun {
  readonly name: string
  readonly commit: string | null
  readonly date: string | null
  /** Of the faults: each row that was tried on an engine, and whether it held. */
  readonly rows: readonly { readonly name: string; readonly engine: string; readonly outcome: Outcome }[]
}

type Outcome = 'held' | 'failed' | 'not tried'

export interface Proof {
  readonly suite: Omit<SuiteRun, 'files'>
  readonly promises: readonly {
    readonly id: string
    readonly promise: string
    readonly bound: string
    readonly tests: readonly ({ readonly path: string } & Counts)[]
    /** Of runs on this very commit. */
    readonly faults: readonly { readonly row: string; readonly outcome: Outcome }[]
  }[]
  /** Runs that are no part of the suite, and whether they were made on this very commit. */
  readonly otherRuns: readonly (Omit<OtherRun, 'rows'> & { readonly isOfThisCommit: boolean })[]
}

export const NO_COUNTS: Counts = { passed: 0, failed: 0, skipped: 0 }

/** Why nothing may be released from these, one sentence each. */
export function releaseFaults(
  checkout: { readonly commit: string; readonly isClean: boolean } | null,
  run: SuiteRun | null,
  promises: readonly Promised[],
): readonly string[] {
  if (!checkout) return ['this is no checkout of git']
  if (!run) return ['there are no results of the suite: run npm test, whole, on this commit']
  return [
    ...(checkout.isClean ? [] : ['the tree is not clean']),
    ...(run.commit === checkout.commit ? [] : ['the suite ran on another commit']),
    ...(run.isClean ? [] : ['the suite ran on a tree that was not clean']),
    ...(run.hasPostgres ? [] : ['the suite ran without a PostgreSQL']),
    ...(run.counts.passed > 0 ? [] : ['nothing passed']),
    ...(run.counts.failed === 0 ? [] : [`${run.counts.failed} failed`]),
    ...(run.counts.skipped === 0 ? [] : [`${run.counts.skipped} skipped`]),
    ...(promises.length > 0 ? [] : ['SECURITY.md has no promises']),
    ...promises.flatMap(({ id, tests }) => [
      ...(tests.length > 0 ? [] : [`${id} is shown by no test`]),
      ...tests.filter((path) => !isGreen(run.files[path])).map((path) => `${id}: ${path} is not green in that run`),
    ]),
  ]
}

/** Promises of which a run on this very commit has shown that they don't hold. */
export const brokenIn = ({ promises }: Pick<Proof, 'promises'>): readonly string[] =>
  promises.flatMap(({ id, faults }) =>
    faults.filter(({ outcome }) => outcome === 'failed').map(({ row }) => `${id}: ${row} of test:faults failed`),
  )

const isGreen = (counts: Counts = NO_COUNTS): boolean =>
  counts.passed > 0 && counts.failed === 0 && counts.skipped === 0

export function proofOf(
  commit: string,
  run: SuiteRun,
  promises: readonly Promised[],
  others: readonly OtherRun[],
): Proof {
  const { files, ...suite } = run
  const isOfThisCommit = ({ commit: its }: OtherRun): boolean =>
    its !== null && its.length >= 12 && commit.startsWith(its)
  const tried = others.filter(isOfThisCommit).flatMap(({ rows }) => rows)
  const outcomeOf = (row: string): Outcome => {
    const outcomes = tried.filter(({ name }) => name === row).map(({ outcome }) => outcome)
    if (outcomes.includes('failed')) return 'failed'
    return outcomes.includes('held') ? 'held' : 'not tried'
  }
  return {
    suite,
    promises: promises.map(({ id, text, bound, tests, faults }) => ({
      ...{ id, promise: text, bound },
      tests: tests.map((path) => ({ path, ...(files[path] ?? NO_COUNTS) })),
      faults: faults.map((row) => ({ row, outcome: outcomeOf(row) })),
    })),
    otherRuns: others.map(({ rows: _rows, ...other }) => ({
      ...other,
      isOfThisCommit: isOfThisCommit({ ...other, rows: [] }),
    })),
  }
}
