import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { notPromisedOf, promisesOf } from '../../scripts/promises.ts'
import { readSources } from '../kit/source.ts'

const ROOT = new URL('../../', import.meta.url)
const PAPERS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(new URL('docs/', ROOT))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'policies/README.md',
]

/** Links to files of this repository, and paths written as code that begin in one of its folders. */
function placesIn(paper: string, text: string): string[] {
  const base = new URL(paper, ROOT)
  const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map(([, target = '']) => target)
  const relative = links.filter((target) => !/^[a-z]+:/.test(target)).map((target) => new URL(target, base).href)
  const paths = [
    ...text.matchAll(
      /`((?:src|test|docs|demo|policies|migrations|lexicons|scripts|bench|soak|faults|simulation|mutations|ops)\/[\w./-]*)`/g,
    ),
  ]
  return [...relative, ...paths.map(([, path = '']) => new URL(path, ROOT).href)]
}

const missingIn = (paper: string, text: string): string[] =>
  placesIn(paper, text)
    .filter((href) => !existsSync(new URL(href)))
    .map((href) => `${paper}: ${href.slice(ROOT.href.length)}`)

describe('the papers', () => {
  it.each(PAPERS)('%s leads only to places that exist', (paper) => {
    expect(missingIn(paper, readFileSync(new URL(paper, ROOT), 'utf8'))).toEqual([])
  })

  it('are read well enough to notice a street that is missing', () => {
    expect(
      missingIn('docs/x.md', 'see [a](../src/nowhere.ts), [b](https://example.com) and `test/nowhere.test.ts`'),
    ).toEqual(['docs/x.md: src/nowhere.ts', 'docs/x.md: test/nowhere.test.ts'])
  })
})

const SECURITY = readFileSync(new URL('SECURITY.md', ROOT), 'utf8')

/** What is wrong with a list of promises, with the numbers that it has to account for. */
function promiseFaults(text: string, owed: readonly string[]): readonly string[] {
  const promises = promisesOf(text)
  const ids = [...promises.map(({ id }) => id), ...notPromisedOf(text)]
  const isThere = (path: string) => existsSync(new URL(path, ROOT))
  const rows = faultRows()
  return [
    ...owed.filter((id) => !ids.includes(id)).map((id) => `${id} is neither promised nor said not to be`),
    ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `${id} stands there twice`),
    ...promises.filter(({ tests }) => tests.length === 0).map(({ id }) => `${id} is shown by no test`),
    ...promises.flatMap(({ id, tests }) => tests.filter((path) => !isThere(path)).map((path) => `${id}: no ${path}`)),
    ...promises.flatMap(({ id, faults }) =>
      faults.filter((row) => !rows.includes(row)).map((row) => `${id}: no row ${row}`),
    ),
  ]
}

/** The names of the faults that there are. */
const faultRows = (): readonly string[] =>
  readSources('faults/rows').flatMap(({ text }) =>
    [...text.matchAll(/^ {2}name: '(\w+)',$/gm)].map(([, name = '']) => name),
  )

describe('the promises', () => {
  const owed = Array.from({ length: 23 }, (_none, at) => `P${at + 1}`)

  it('from P1 to P23 are each there, or said not to be promised; each has a number, and a test that exists', () => {
    expect(promisesOf(SECURITY).length).toBeGreaterThan(70)
    expect(faultRows().length).toBeGreaterThan(10)
    expect(promiseFaults(SECURITY, owed)).toEqual([])
  })

  it('without one, twice, without a test, or shown by one that isn’t there, are seen', () => {
    const table = (row: string) =>
      `| | promise | bound | shown by |\n|---|---|---|---|\n${row}\n\n- **P2. Much.** No.\n`
    const good = '| P1 | Nobody | exact | `test/house/papers.test.ts`, `npm run test:faults` (`kill`) |'
    expect(promiseFaults(table(good), ['P1', 'P2'])).toEqual([])
    expect(promiseFaults(table(good), ['P1', 'P2', 'P3'])).toEqual(['P3 is neither promised nor said not to be'])
    expect(promiseFaults(table(`${good}\n${good}`), [])).toEqual(['P1 stands there twice'])
    expect(promiseFaults(table('| P1 | Nobody | exact | we know |'), [])).toEqual(['P1 is shown by no test'])
    expect(promiseFaults(table('| P1 | Nobody | exact | `test/gone.test.ts` |'), [])).toEqual([
      'P1: no test/gone.test.ts',
    ])
    expect(promiseFaults(table(good.replace('kill', 'flood')), [])).toEqual(['P1: no row flood'])
    expect(() => promisesOf(table('| Nobody | exact | `test/house/papers.test.ts` |'))).toThrow('Nobody')
  })
})
