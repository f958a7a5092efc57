/** What is remembered by the thousand is counted where it is opened, so that the list of the house has all of it. */
import { expect, it } from 'vitest'
import { readSources, type SourceFile, sourceOf } from '../kit/source.ts'

const SIZES = 'src/platform/sizes.ts'

/** Files that open a cache and count none. */
const uncounted = (files: readonly SourceFile[]): readonly string[] =>
  files
    .filter(({ code }) => /new LRUCache\b/.test(code))
    .filter(({ imports }) => !imports.some(({ path }) => path === SIZES))
    .map(({ path }) => path)

it('every file that opens a cache counts it', () => {
  expect(uncounted(readSources('src'))).toEqual([])
})

it('and there are some', () => {
  const counting = readSources('src').filter(({ imports }) => imports.some(({ path }) => path === SIZES))
  expect(counting.length).toBeGreaterThan(15)
})

it('a cache that nobody counts is seen', () => {
  const text = '/** A file. */\nconst kept = new LRUCache<string, 1>({ max: 3 })\n'
  expect(uncounted([sourceOf('src/space/a.ts', text)])).toEqual(['src/space/a.ts'])
  const counted = `/** A file. */\nimport type { Sizes } from '../platform/sizes.ts'\nconst kept = new LRUCache({ max: 3 })\n`
  expect(uncounted([sourceOf('src/space/a.ts', counted)])).toEqual([])
})
