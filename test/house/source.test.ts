/** The scanner that the other house tests rely on: what it takes for code, for a comment, for an import. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts that hold templates are what is scanned here.
import { describe, expect, it } from 'vitest'
import { readSources, sourceOf } from '../kit/source.ts'

const codeOf = (text: string): string => sourceOf('src/a.ts', text).code.replace(/ +/g, ' ').trim()

describe('code', () => {
  it.each([
    ["const a = 'fetch(1)'", "const a = ' '"],
    ['const a = "it\\"s fetch(1)" + b', 'const a = " " + b'],
    ['a() // fetch(1)', 'a()'],
    ['a() /* fetch(1)\n */ + b', 'a() \n + b'],
    ['`x ${fetch(1)} y`', '` ${fetch(1)} `'],
    ['`x ${a ? `fetch(${b})` : {c: 1}} fetch(2)` + d', '` ${a ? ` ${b} ` : {c: 1}} ` + d'],
    ["a.replace(/'fetch[/']/g, b)", 'a.replace(/ /g, b)'],
    ["const half = a / 2 // 'x", 'const half = a / 2'],
    ['return /[\'"]/.test(a)', 'return / /.test(a)'],
    ["(a) / b / c + 'x'", "(a) / b / c + ' '"],
    ["'//' + fetch(1)", "' ' + fetch(1)"],
  ])('of %s is %s', (text, expected) => {
    expect(codeOf(text)).toBe(expected)
  })

  it('keeps its length and its lines in every file of ours', () => {
    for (const { text, code } of [...readSources('src'), ...readSources('test')]) {
      expect(code.length).toBe(text.length)
      expect(code.split('\n').length).toBe(text.split('\n').length)
    }
  })
})

describe('imports', () => {
  const importsOf = (text: string) =>
    sourceOf('src/doors/a.ts', text).imports.map(({ from, path, names, isType }) => ({ from, path, names, isType }))

  it.each([
    ["import { a, type B } from '../b.ts'", '../b.ts', 'src/b.ts', ['a', 'B'], false],
    ["import { type A, type B } from './b.ts'", './b.ts', 'src/doors/b.ts', ['A', 'B'], true],
    ["import type { A } from './b.ts'", './b.ts', 'src/doors/b.ts', ['A'], true],
    ["import type * as a from './b.ts'", './b.ts', 'src/doors/b.ts', ['*'], true],
    ["import * as a from 'kysely'", 'kysely', null, ['*'], false],
    ["import a from 'pg'", 'pg', null, ['default'], false],
    ["import a, { b as c } from 'pg'", 'pg', null, ['default', 'b'], false],
    ["import 'pg'", 'pg', null, ['*'], false],
    ["import{a}from'pg'", 'pg', null, ['a'], false],
    ["import {\n  a,\n  b,\n} from 'pg'", 'pg', null, ['a', 'b'], false],
    ["export { a } from './b.ts'", './b.ts', 'src/doors/b.ts', ['a'], false],
    ["export * from './b.ts'", './b.ts', 'src/doors/b.ts', ['*'], false],
    ["const a = await import('./b.ts')", './b.ts', 'src/doors/b.ts', ['*'], false],
    ["type A = typeof import('./b.ts')", './b.ts', 'src/doors/b.ts', ['*'], false],
    ["const a = require('pg')", 'pg', null, ['*'], false],
    [
      "import a from '../package.json' with { type: 'json' }",
      '../package.json',
      'src/package.json',
      ['default'],
      false,
    ],
    [
      "declare module '../platform/database.ts' {\n}",
      '../platform/database.ts',
      'src/platform/database.ts',
      ['*'],
      true,
    ],
  ])('of %s are seen', (text, from, path, names, isType) => {
    expect(importsOf(text)).toEqual([{ from, path, names, isType }])
  })

  it('are not seen where there are none', () => {
    for (const text of [
      "// import { a } from 'pg'",
      "const a = `import { a } from 'pg'`",
      "export const from = 'pg'",
      "export function a(b = 'pg') {}",
      "Buffer.from('pg')",
      "const a = { import: 1, from: 'pg' }",
      'import.meta.url',
    ]) {
      expect(importsOf(text), text).toEqual([])
    }
  })

  it('say where they stand', () => {
    const [, second] = sourceOf('src/a.ts', "import 'a'\n\nimport { b } from 'b'\n").imports
    expect(second?.line).toBe(3)
  })
})
