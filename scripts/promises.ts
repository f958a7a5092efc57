/** The promises as `SECURITY.md` has them: a row of its table each, with a number, a bound, and the tests that show it. */

export interface Promised {
  readonly id: string
  readonly text: string
  readonly bound: string
  /** Files that vitest runs. */
  readonly tests: readonly string[]
  /** Rows of `npm run test:faults`, which is no part of the suite. */
  readonly faults: readonly string[]
}

const ROW = /^\| (P\d+e?) \| (.+?) \| (.+?) \| (.+?) \|$/
/** Whatever begins like a row of that table. */
const LIKE_A_ROW = /^\| (?!promise|\|)/

/** @throws Error at a row that can't be read, so that none is passed over without a word */
export function promisesOf(text: string): readonly Promised[] {
  const table = /^\|.*\| promise \|[\s\S]*?(?=^\s*$)/m.exec(text)?.[0] ?? ''
  const rows = table.split('\n').filter((line) => LIKE_A_ROW.test(line))
  return rows.map((line) => {
    const [, id = '', promise = '', bound = '', shownBy = ''] = ROW.exec(line) ?? []
    if (id === '') throw new Error(`a promise that can't be read: ${line.slice(0, 80)}`)
    return { id, text: promise, bound, tests: testsIn(shownBy), faults: faultsIn(shownBy) }
  })
}

const testsIn = (cell: string): readonly string[] =>
  [...cell.matchAll(/`(test\/[\w./-]+\.test\.ts)`/g)].map(([, path = '']) => path)

function faultsIn(cell: string): readonly string[] {
  const [, rows = ''] = /`npm run test:faults` \(([^)]*)\)/.exec(cell) ?? []
  return [...rows.matchAll(/`(\w+)`/g)].map(([, row = '']) => row)
}

/** Numbers of what is said not to be promised. */
export const notPromisedOf = (text: string): readonly string[] =>
  [...text.matchAll(/^- \*\*(P\d+e?)\. /gm)].map(([, id = '']) => id)
