/** The table that a run ends with: every figure on a line, by row, and the rows that were not measured. */
import type { Aim, Figure } from './rows.ts'
import { ROWS, verdictOf } from './targets.ts'

/** Three digits that mean something; a count is whole. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return String(value)
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value)
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : Math.abs(value) >= 0.1 ? 2 : 4
  return value.toFixed(digits)
}

const unitOf = ({ unit }: Figure): string => (unit === 'times' || unit === 'count' ? '' : ` ${unit}`)

function aimText(aim: Aim): readonly [target: string, better: string] {
  if (aim === null) return ['', '']
  const [sign, bound] = 'atMost' in aim ? ['≤', aim.atMost] : ['≥', aim.atLeast]
  return [`${sign} ${short(bound)}`, aim.better === null ? '' : `${sign} ${short(aim.better)}`]
}

function cellsOf(figure: Figure): readonly string[] {
  const { row, what, engine, value, spread, rounds, absolutes, aim } = figure
  const [low, high] = spread
  const measured = `${short(value)}${unitOf(figure)}${rounds > 1 ? ` (${short(low)}–${short(high)})` : ''}`
  const beside = Object.entries(absolutes).map(([name, each]) => `${name} ${short(each)}`)
  const place = engine === 'neither' ? '' : engine
  return [row === null ? '' : String(row), what, place, measured, ...aimText(aim), verdictOf(figure), beside.join(', ')]
}

const HEAD = ['row', 'what', 'engine', 'value (spread)', 'target', 'ambition', 'verdict', 'absolutes']

/** The figures as a table of Markdown, which is read as it is too. */
export function tableOf(figures: readonly Figure[]): string {
  const order = (figure: Figure) => figure.row ?? Number.POSITIVE_INFINITY
  const sorted = figures.toSorted((one, other) => order(one) - order(other) || 0)
  const rows = [HEAD, ...sorted.map(cellsOf)]
  // The last column is as long as it is.
  const widths = HEAD.slice(0, -1).map((_, at) => Math.max(...rows.map((row) => [...(row[at] ?? '')].length)))
  const lineOf = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => cell + ' '.repeat(Math.max(0, (widths[at] ?? 0) - [...cell].length))).join(' | ')} |`
  const [head = HEAD, ...body] = rows
  return [lineOf(head), lineOf([...widths.map((width) => '-'.repeat(width)), '---']), ...body.map(lineOf)].join('\n')
}

/** The rows of the table of targets that no figure is of, by number and name. */
export function notMeasured(figures: readonly Figure[]): readonly string[] {
  const measured = new Set(figures.map(({ row }) => String(row)))
  return Object.entries(ROWS)
    .filter(([row]) => !measured.has(row))
    .map(([row, what]) => `${row} ${what}`)
}
