/** Files say what they are, stay small, finish what they begin, and speak of nothing that is not here. */
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { filesUnder, ROOT, readSources, readText, sourceOf } from '../kit/source.ts'
import {
  leftOutFaults,
  lineCount,
  opensWithSentence,
  pathFaults,
  sizeAt,
  sizeFaults,
  wordFaults,
} from './checks/tidy.ts'

const ours = readSources('src').filter(({ path }) => !path.startsWith('src/lexicons/'))
const tests = readSources('test')

/** Files of more than 400 lines, each with the sentence that excuses it. */
const LARGE: Readonly<Record<string, string>> = {}
const LINES_MAX = 400

const TEXTS = /\.(?:ts|json|sql|txt|md|mjs|ya?ml|service|cedar|cedarschema)$/
const FOLDERS = ['src', 'test', 'scripts', 'lexicons', 'migrations', 'policies', 'docs', 'demo', 'ops']

/** Every text of the project, the top folder's own included. */
function allTexts(): readonly { path: string; text: string }[] {
  const entries = readdirSync(ROOT, { withFileTypes: true })
  const top = entries.filter((entry) => entry.isFile() && TEXTS.test(entry.name)).map((entry) => entry.name)
  const folders = FOLDERS.filter((folder) => entries.some((entry) => entry.isDirectory() && entry.name === folder))
  return [...top.filter((name) => name !== 'package-lock.json'), ...folders.flatMap(filesUnder)]
    .filter((path) => TEXTS.test(path))
    .map((path) => ({ path, text: readText(path) }))
}

describe('our files', () => {
  it('open with a sentence that says what they are', () => {
    expect(
      [...ours, ...readSources('scripts')].filter((file) => !opensWithSentence(file)).map(({ path }) => path),
    ).toEqual([])
  })

  it('are small', () => {
    expect(sizeFaults(ours, LINES_MAX, LARGE)).toEqual([])
    expect(sizeAt(ours, 0.5)).toBeLessThanOrEqual(120)
    expect(sizeAt(ours, 0.9)).toBeLessThanOrEqual(250)
  })

  it('are finished, and lead nowhere else', () => {
    expect(wordFaults(allTexts())).toEqual([])
  })

  it('name only files that are there', () => {
    const paths = allTexts().map(({ path }) => path)
    expect(pathFaults([...ours, ...tests, ...readSources('scripts')], paths)).toEqual([])
  })

  it('leave no test out', () => {
    expect(leftOutFaults(tests)).toEqual([])
  })
})

describe('a file is seen', () => {
  const file = (text: string, path = 'src/space/a.ts') => sourceOf(path, text)

  it.each([
    ["import a from 'a'\n"],
    ['// A space, its settings and its end.\n'],
    ['/* A space, its settings and its end. */\n'],
    ['\n/** A space, its settings and its end. */\n'],
    ['/** */\n'],
    ['/** A space. */\n'],
    ['/** A space and its settings and so on and on */\n'],
    ['/**\n * @module space, its settings and its end.\n */\n'],
  ])('that does not open with a sentence: %j', (text) => {
    expect(opensWithSentence(file(text))).toBe(false)
  })

  it.each([
    ['/** A space, its settings and its end. */\n'],
    ['/**\n * A space, its settings and its end.\n *\n * Never the roll.\n */\n'],
    ['/** `community.reeve.space.get`: one space. */\n'],
  ])('and one that does is not: %j', (text) => {
    expect(opensWithSentence(file(text))).toBe(true)
  })

  it('that is too large, and an excuse that is too old', () => {
    const large = file('x\n'.repeat(11))
    expect(lineCount(large.text)).toBe(11)
    expect(sizeFaults([large], 10, {})).toEqual(['src/space/a.ts has more than 10 lines'])
    expect(sizeFaults([large], 10, { 'src/space/a.ts': 'A table that is read as one.' })).toEqual([])
    expect(sizeFaults([large], 11, { 'src/space/a.ts': 'A table that is read as one.' })).toEqual([
      'src/space/a.ts needs no excuse',
    ])
    const sizes = [1, 2, 3, 4, 5, 6, 7, 8, 9, 100].map((lines) => file('x\n'.repeat(lines)))
    expect([sizeAt(sizes, 0.5), sizeAt(sizes, 0.9), sizeAt(sizes, 1)]).toEqual([5, 9, 100])
  })

  it.each([
    `${'TO'}DO: later`,
    `${'FIX'}ME`,
    `see ${'security'}.md 2.11`,
    `(${'cata'}logue 246)`,
    `(${'T'}-R1)`,
    `read ${'/wo'}rk/main/src first`,
    `${'/ho'}me/me/a.ts`,
    `https://${'registry'}.npmjs.org`,
  ])('that says %s', (line) => {
    expect(wordFaults([{ path: 'a.ts', text: `fine\n${line}` }])).toHaveLength(1)
    expect(wordFaults([{ path: 'a.ts', text: `fine\n${line}` }])[0]).toMatch(/^a\.ts:2 /)
  })

  it('that names a row of a list, in the house itself', () => {
    expect(wordFaults([{ path: 'src/a.ts', text: 'as in row 65' }])).toHaveLength(1)
    expect(wordFaults([{ path: 'test/a.test.ts', text: 'as in row 65' }])).toEqual([])
  })

  it.each(['SECURITY.md', 'docs/divergences.md', '0016 §DPoP binding', 'https://example.com/home/a', 'todos', '/tmp'])(
    'and one that says %s is not',
    (line) => {
      expect(wordFaults([{ path: 'a.ts', text: line }])).toEqual([])
    },
  )

  it('that names a file which is not there', () => {
    const paths = ['src/doors/xrpc.ts', 'docs/divergences.md']
    expect(pathFaults([file('/** See `doors/xrpc.ts` and `docs/divergences.md` and `xrpc.ts`. */')], paths)).toEqual([])
    expect(pathFaults([file('\n// see `doors/gone.ts`')], paths)).toEqual([
      'src/space/a.ts:2 names doors/gone.ts, which is not there',
    ])
    expect(pathFaults([file("const a = '`doors/gone.ts`'")], paths)).toEqual([])
  })

  it('that leaves a test out, or all others', () => {
    for (const word of ['only', 'skip', 'todo', 'skipIf(isHot)', 'runIf(isCold)', 'fails']) {
      for (const what of ['it', 'describe', 'test', 'it.concurrent']) {
        expect(leftOutFaults([file(`${what}.${word}('a', () => {})`, 'test/a.test.ts')])).toHaveLength(1)
      }
    }
    for (const fine of [
      "it.runIf(hasPostgres)('a', () => {})",
      "it.runIf(hasOwnPostgres)('a', () => {})",
      "it('only what may be skipped', () => {})",
      'list.only()',
    ]) {
      expect(leftOutFaults([file(fine, 'test/a.test.ts')])).toEqual([])
    }
  })
})
