/** The gate over mutants: what survives is found, what is explained is let through, and an explanation of nothing is a fault. */
import { describe, expect, it } from 'vitest'
import { type Explanation, judge, type Mutant, type Report, reusable, squeezed } from '../../mutations/gate.ts'
import { mutantOf, numbersOf, withAllNumbers } from '../../mutations/numbers.ts'
import { faultsOf, tableOf } from '../../mutations/table.ts'

const FILE = 'src/rule.ts'
const SOURCE = `const MAX = 20
export function rule(count: number): boolean {
  if (count > MAX) throw new RangeError(\`at most \${MAX} of them\`)
  if (count < 0) throw refusal('TooFew', 'not below nothing (0)')
  return count % 2 === 0
}
`

const [, , LINE = ''] = SOURCE.split('\n').map(squeezed)
const THROWN = SOURCE.slice(SOURCE.indexOf('`'), SOURCE.lastIndexOf('`') + 1)

/** A mutant of the piece of the source that reads so. */
function mutant(mutatorName: string, from: string, replacement: string, status = 'Survived'): Mutant {
  const at = SOURCE.indexOf(from)
  if (at < 0) throw new Error('there is no such piece')
  const placeOf = (offset: number) => {
    const lines = SOURCE.slice(0, offset).split('\n')
    return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 }
  }
  return { mutatorName, replacement, status, location: { start: placeOf(at), end: placeOf(at + from.length) } }
}

const reportOf = (...mutants: readonly Mutant[]): Report => ({ files: { [FILE]: { source: SOURCE, mutants } } })
const judged = (mutants: readonly Mutant[], explanations: readonly Explanation[] = []) =>
  judge(reportOf(...mutants), [FILE], explanations)

/** As the tool says it of a file of tests that throws before its first test. */
const NOT_LOADED = 'An error occurred outside of a test run: test/rules/rule.test.ts: Unknown cipher'

/** As it says that something went round far too often; where only the clock ran out, it gives no reason. */
const ENDLESS = { status: 'Timeout', statusReason: 'Hit limit reached (919737/919700)' }

const edge = mutant('EqualityOperator', 'count > MAX', 'count >= MAX')
const explained: Explanation = {
  file: FILE,
  why: 'to be tried',
  mutants: [[LINE, 'count > MAX', 'count >= MAX']],
}

describe('a mutant', () => {
  it('that a test noticed is counted, however it was noticed', () => {
    const statuses = [{ status: 'Killed' }, ENDLESS, { status: 'RuntimeError', statusReason: NOT_LOADED }]
    const { rows, stale } = judged(statuses.map((status) => ({ ...edge, ...status })))
    expect(rows).toMatchObject([{ mutants: 3, killed: 2, timedOut: 1, messages: 0, explained: 0, unexplained: [] }])
    expect(stale).toEqual([])
  })

  it('that nothing noticed is found, with what it says', () => {
    const [row] = judged([edge, mutant('ConditionalExpression', 'count % 2 === 0', 'true', 'NoCoverage')]).rows
    expect(row).toMatchObject({ mutants: 2, killed: 0, unreached: 1 })
    expect(row?.unexplained).toEqual([
      {
        ...{ file: FILE, line: 3, mutator: 'EqualityOperator', isReached: true },
        ...{ on: LINE, from: 'count > MAX' },
        to: 'count >= MAX',
      },
      {
        ...{ file: FILE, line: 5, mutator: 'ConditionalExpression', isReached: false },
        ...{ on: 'return count % 2 === 0', from: 'count % 2 === 0', to: 'true' },
      },
    ])
  })

  it('in the words of what is thrown is counted and no more', () => {
    const [row] = judged([
      mutant('StringLiteral', THROWN, '``'),
      mutant('StringLiteral', "'not below nothing (0)'", '""'),
    ]).rows
    expect(row).toMatchObject({ mutants: 2, messages: 2, explained: 0, unexplained: [] })
  })

  it('of a name that is thrown is no message, nor is a comparison beside one, nor a text that is thrown by nobody', () => {
    const [row] = judged([
      mutant('StringLiteral', "'TooFew'", '""'),
      mutant('ConditionalExpression', 'count < 0', 'false'),
      mutant('StringLiteral', 'rule(count: number): boolean', '""'),
    ]).rows
    expect(row).toMatchObject({ messages: 0 })
    expect(row?.unexplained.map(({ from }) => from)).toEqual(["'TooFew'", 'count < 0', 'rule(count: number): boolean'])
  })

  it.each(['Pending', 'Ignored', 'NotRun', 'RuntimeError', 'CompileError', 'Timeout'])(
    'that was not judged is no survivor, and ends the run: %s',
    (status) => {
      expect(() => judged([{ ...edge, status }])).toThrow(`src/rule.ts:3: a mutant was not judged (${status})`)
    },
  )
})

describe('what was found before', () => {
  it('is believed, but for what lived on and is reached by no test alone, and for what was no verdict', () => {
    const believed = [{ status: 'Killed' }, { status: 'Survived' }, { status: 'NoCoverage' }, ENDLESS].map((one) => ({
      ...edge,
      ...one,
    }))
    const loaded = { ...edge, static: true }
    const others = [{ status: 'Survived' }, { status: 'NoCoverage' }].map((one) => ({ ...loaded, ...one }))
    const noVerdict = ['Timeout', 'RuntimeError', 'Pending'].map((status) => ({ ...edge, status }))
    const kept = [...believed, { ...loaded, status: 'Killed' }]
    const report = { ...reportOf(...kept, ...others, ...noVerdict), schemaVersion: '1.0' }
    expect(reusable(report)).toEqual({ schemaVersion: '1.0', files: { [FILE]: { source: SOURCE, mutants: kept } } })
  })
})

describe('a file', () => {
  it('of which nothing is said ends the run', () => {
    expect(() => judge({ files: {} }, [FILE], [])).toThrow('src/rule.ts: nothing was mutated in it')
    expect(() => judged([])).toThrow('src/rule.ts: nothing was mutated in it')
  })

  it('that nobody asked about is left alone, with what is explained of it', () => {
    expect(judge(reportOf(edge), [], [explained])).toEqual({ rows: [], stale: [] })
  })
})

describe('an explanation', () => {
  it('lets a survivor through, wherever in the file it is', () => {
    expect(judged([edge], [explained])).toMatchObject({ rows: [{ explained: 1, unexplained: [] }], stale: [] })
  })

  it('lets one through for each time that it is listed', () => {
    const twice = { ...explained, mutants: [...explained.mutants, ...explained.mutants] }
    expect(judged([edge, edge], [explained]).rows).toMatchObject([{ explained: 1, unexplained: [{ line: 3 }] }])
    expect(judged([edge, edge], [twice])).toMatchObject({ rows: [{ explained: 2, unexplained: [] }], stale: [] })
    expect(judged([edge, edge], [explained, explained]).rows).toMatchObject([{ explained: 2 }])
  })

  it('lets through nothing that differs: by its line, by what was there, by what is there now, by its file', () => {
    for (const [nth, other] of [0, 1, 2].entries()) {
      const [[on, from, to] = ['', '', '']] = explained.mutants
      const changed = [on, from, to].map((text, at) => (at === other ? `${text} ` : text))
      const mutants = [[changed[0] ?? '', changed[1] ?? '', changed[2] ?? '']] as const
      const { rows, stale } = judged([edge], [{ ...explained, mutants }])
      expect([nth, rows[0]?.explained, rows[0]?.unexplained.length, stale.length]).toEqual([nth, 0, 1, 1])
    }
    expect(judged([edge], [{ ...explained, file: 'src/other.ts' }]).rows).toMatchObject([{ explained: 0 }])
  })

  it('of what is noticed meanwhile is a fault', () => {
    const { rows, stale } = judged([{ ...edge, status: 'Killed' }], [explained])
    expect(rows).toMatchObject([{ killed: 1, explained: 0 }])
    expect(stale).toMatchObject([{ file: FILE, from: 'count > MAX', to: 'count >= MAX' }])
    expect(faultsOf({ rows, stale })).toHaveLength(1)
  })
})

describe('what is told', () => {
  it('is a table, and each fault as it would be looked for', () => {
    const judgement = judged([edge, { ...edge, status: 'Killed' }, { ...edge, ...ENDLESS }])
    expect(tableOf(judgement.rows).split('\n')).toEqual([
      '| file | mutants | killed | timed out | in messages | explained | unexplained | of these unreached |',
      '| --- | --- | --- | --- | --- | --- | --- | --- |',
      '| `src/rule.ts` | 3 | 1 | 1 | 0 | 0 | 1 | 0 |',
    ])
    const [fault] = faultsOf(judgement)
    expect(fault).toContain('src/rule.ts:3: nothing notices EqualityOperator')
    expect(fault).toContain('"count > MAX","count >= MAX"]')
  })

  it('is one line for each piece of a program, and no endless one', () => {
    expect(squeezed('  if (a) {\n    b\n  }\n')).toBe('if (a) { b }')
    expect(squeezed('x'.repeat(200))).toBe(`${'x'.repeat(120)}…`)
  })
})

describe('numbers', () => {
  const changesOf = (source: string) => numbersOf(FILE, source).map(({ from, to }) => [from, to])

  it('are tried one more and one less', () => {
    expect(changesOf('const MAX = 20')).toEqual([
      ['20', '21'],
      ['20', '19'],
    ])
    expect(changesOf('f(1_000, 0xff, 2n ** 32n)').map(([, to]) => to)).toEqual([
      ...['1001', '999', '256', '254'],
      ...['3n', '1n', '33n', '31n'],
    ])
  })

  it('are left alone where they say how far to go on, but not where they are a bound', () => {
    expect(changesOf('for (let at = 0; at < 1; at += 1) list.at(-1)')).toEqual([])
    expect(changesOf('z.int().min(1)')).toEqual([
      ['1', '2'],
      ['1', '0'],
    ])
    expect(changesOf('z.int().max(0)')).toEqual([['0', '1']])
  })

  it('are none in names, texts, comments, expressions of texts, and types', () => {
    expect(changesOf("const k256 = 'at 42' // 42\nconst found = /a{2}/.exec(x2)\ntype Bits = 128 | 256")).toEqual([])
    expect(changesOf('const size: 16 | 32 = wanted as 16')).toEqual([])
  })

  it('are all in the code at once, and one of them is in force', () => {
    const source = '[2, limit(300)] as const'
    const changed = withAllNumbers(source, numbersOf(FILE, source), 'nth')
    expect(changed).toBe(
      '[(globalThis.nth === 0 ? 3 : globalThis.nth === 1 ? 1 : 2), ' +
        'limit((globalThis.nth === 2 ? 301 : globalThis.nth === 3 ? 299 : 300))] as const',
    )
    expect(withAllNumbers('no number', [], 'nth')).toBe('no number')
  })

  it('are judged like any other mutant', () => {
    const survivor = mutantOf(SOURCE, { at: SOURCE.indexOf('20'), from: '20', to: '21' }, 'Survived')
    expect(judged([survivor]).rows[0]?.unexplained).toMatchObject([
      { line: 1, on: 'const MAX = 20', from: '20', to: '21', mutator: 'NumberLiteral' },
    ])
  })
})
