import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

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
      /`((?:src|test|docs|demo|policies|migrations|lexicons|scripts|bench|soak|faults|mutations|ops)\/[\w./-]*)`/g,
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

  it('name a test for each promise', () => {
    const promises = readFileSync(new URL('SECURITY.md', ROOT), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| promise'))
    expect(promises.length).toBeGreaterThan(5)
    expect(promises.filter((line) => !/`test\/[\w./-]+\.test\.ts`/.test(line))).toEqual([])
  })
})
