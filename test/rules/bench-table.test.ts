/** The table of a benchmark: what a figure is worth beside its target, and which rows a run has nothing to say about. */
import { expect, it } from 'vitest'
import { type Aim, type Figure, figureOf } from '../../bench/rows.ts'
import { notMeasured, short, tableOf } from '../../bench/table.ts'
import { ROWS, verdictOf } from '../../bench/targets.ts'

const figure = (values: readonly number[], aim: Aim, row: number | null = 1): Figure =>
  figureOf({ row, engine: 'postgres', what: 'this / that', unit: 'times', aim }, values, {
    'this µs': 320,
    'that µs': 240,
  })

it.each<[number, Aim, string]>([
  [0.64, { atLeast: 0.65, better: 0.8 }, 'MISSED'],
  [0.65, { atLeast: 0.65, better: 0.8 }, 'met'],
  [0.8, { atLeast: 0.65, better: 0.8 }, 'ambition'],
  [1.61, { atMost: 1.6, better: 1.4 }, 'MISSED'],
  [1.6, { atMost: 1.6, better: 1.4 }, 'met'],
  [1.4, { atMost: 1.6, better: 1.4 }, 'ambition'],
  [0, { atMost: 0, better: null }, 'met'],
  [Number.NaN, { atMost: 1, better: null }, 'MISSED'],
  [Number.NaN, { atLeast: 1, better: null }, 'MISSED'],
  [5, null, ''],
])('%d beside %j is %j', (value, aim, verdict) => {
  expect(verdictOf({ value, aim })).toBe(verdict)
})

it('shows a figure with its spread, its target and what it was made of', () => {
  const [, , line] = tableOf([figure([0.7, 0.75, 0.9], { atLeast: 0.65, better: 0.8 })]).split('\n')
  expect(line?.split('|').map((cell) => cell.trim())).toEqual([
    ...[
      '',
      '1',
      'this / that',
      'postgres',
      '0.75 (0.70–0.90)',
      '≥ 0.65',
      '≥ 0.80',
      'met',
      'this µs 320, that µs 240',
      '',
    ],
  ])
})

it('puts what has no row behind what has one', () => {
  const rows = tableOf([figure([1], null, null), figure([1], null, 26), figure([1], null, 3)])
    .split('\n')
    .slice(2)
    .map((line) => line.split('|')[1]?.trim())
  expect(rows).toEqual(['3', '26', ''])
})

it('names the rows that nothing was measured of', () => {
  expect(notMeasured([])).toHaveLength(Object.keys(ROWS).length)
  const missing = notMeasured([figure([1], null, 3)])
  expect(missing.some((line) => line.startsWith('3 '))).toBe(false)
  expect(missing.some((line) => line.startsWith('13 '))).toBe(true)
})

it.each([
  [1234.5, '1235'],
  [0.123456, '0.12'],
  [0.0023456, '0.0023'],
  [12.345, '12.3'],
  [17, '17'],
  [Number.NaN, 'NaN'],
])('writes %d as %s', (value, text) => {
  expect(short(value)).toBe(text)
})
