/**
 * How costs grow, as pictures: one SVG for each curve, drawn from the figures of a run. One line for each engine, values written at their
 * points. Nothing is smoothed and nothing is left out.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure } from './rows.ts'
import { short } from './table.ts'

interface Curve {
  readonly file: string
  readonly title: string
  /** Which figures are its points. */
  readonly of: RegExp
  /** By the names of their absolutes: where a point stands, and what is added up for how high; of none, the figure itself. */
  readonly x: string
  readonly y: readonly string[]
  readonly xTitle: string
  readonly yTitle: string
  readonly isLog: boolean
}

const COST = 'processor time of process and server, µs'
const CURVES: readonly Curve[] = [
  {
    ...{ file: 'exchange-by-members', title: 'An exchange, by the people in the space', of: /^an exchange among/ },
    ...{ x: 'members', y: ['exchange µs', 'database µs'], xTitle: 'people on the roster', yTitle: COST, isLog: true },
  },
  {
    ...{ file: 'exchange-by-nesting', title: 'An exchange, by the spaces that it goes through' },
    ...{ of: /^an exchange(?:, direct| through)/, x: 'spaces', y: ['exchange µs', 'database µs'] },
    ...{ xTitle: 'spaces, from the one asked for to where the person stands', yTitle: COST, isLog: false },
  },
  {
    ...{ file: 'exchange-by-clients', title: 'Exchanges a second, by how many are in flight' },
    ...{ of: /^exchanges \/ .*october.*(?:libsecp256k1|node:crypto)$/, x: 'clients', y: ['per second'] },
    ...{ xTitle: 'in flight', yTitle: 'exchanges a second', isLog: true },
  },
  {
    ...{ file: 'exchange-wait-by-clients', title: 'The wait for an exchange, by how many are in flight' },
    ...{ of: /^exchanges \/ .*october.*(?:libsecp256k1|node:crypto)$/, x: 'clients', y: ['p50 ms'] },
    ...{ xTitle: 'in flight', yTitle: 'p50, ms', isLog: true },
  },
  {
    ...{ file: 'check-by-members', title: 'A check, by the people in the space', of: /^a check among/, x: 'x people' },
    ...{ y: [], xTitle: 'people on the roster', yTitle: COST, isLog: true },
  },
  {
    ...{ file: 'check-by-nesting', title: 'A check, by the spaces that it goes through', of: /^a check \d+ deep/ },
    ...{ x: 'x depth', y: [], xTitle: 'spaces nested in each other', yTitle: COST, isLog: false },
  },
  {
    ...{ file: 'fanout-by-receivers', title: 'One write, by those who hear of it', of: /^growth: .* hears$/ },
    ...{ x: 'x receivers', y: [], xTitle: 'receivers', yTitle: 'until the last has heard, ms', isLog: true },
  },
]

interface Point {
  readonly x: number
  readonly y: number
}
interface Line {
  readonly name: string
  readonly points: readonly Point[]
}

/** Draws every curve of which there are two points at least, and answers their files. */
export function drawCurves(figures: readonly Figure[], folder: string): readonly string[] {
  return CURVES.flatMap((curve) => {
    const lines = linesOf(curve, figures)
    if (!lines.some(({ points }) => points.length > 1)) return []
    mkdirSync(folder, { recursive: true })
    const path = join(folder, `${curve.file}.svg`)
    writeFileSync(path, pictureOf(curve, lines))
    return [path]
  })
}

function linesOf({ of, x, y }: Curve, figures: readonly Figure[]): readonly Line[] {
  return (['postgres', 'embedded'] as const).flatMap((engine) => {
    const byX = new Map<number, Point>()
    for (const { engine: own, what, value, absolutes } of figures) {
      const at = absolutes[x]
      const parts = y.map((name) => absolutes[name])
      if (own !== engine || !of.test(what) || at === undefined || parts.includes(undefined)) continue
      const height = y.length === 0 ? value : parts.reduce<number>((sum, part) => sum + (part ?? 0), 0)
      // Of several at one place the first: another one is a variant of the base case.
      if (!byX.has(at)) byX.set(at, { x: at, y: height })
    }
    const points = [...byX.values()].toSorted((one, other) => one.x - other.x)
    return points.length > 0 ? [{ name: engine === 'postgres' ? 'PostgreSQL' : 'embedded', points }] : []
  })
}

const [WIDTH, HEIGHT] = [720, 420]
const FRAME = { left: 80, right: 690, top: 64, bottom: 350 } as const
const COLOURS = ['#1f5fa8', '#b4511d']

function pictureOf(curve: Curve, lines: readonly Line[]): string {
  const points = lines.flatMap((line) => line.points)
  const xs = [...new Set(points.map(({ x }) => x))].toSorted((a, b) => a - b)
  const place = (x: number) => (curve.isLog ? Math.log10(x) : x)
  const [first, last] = [place(xs[0] ?? 1), place(xs.at(-1) ?? 1)]
  const step = stepOf(Math.max(...points.map(({ y }) => y)))
  const top = step * Math.ceil((Math.max(...points.map(({ y }) => y)) * 1.08) / step)
  const xOf = (x: number) =>
    FRAME.left + 30 + ((place(x) - first) / (last - first || 1)) * (FRAME.right - FRAME.left - 60)
  const yOf = (y: number) => FRAME.bottom - (y / top) * (FRAME.bottom - FRAME.top)
  const heights = Array.from({ length: Math.round(top / step) + 1 }, (_, at) => at * step)
  const parts = [
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(WIDTH / 2, 28, curve.title, { size: 17, weight: 600 }),
    ...heights.map((y) => rule(FRAME.left, yOf(y), FRAME.right, yOf(y), y === 0 ? '#555555' : '#e3e3e3')),
    ...heights.map((y) => text(FRAME.left - 8, yOf(y) + 4, grouped(y), { anchor: 'end' })),
    ...xs.map((x) => rule(xOf(x), FRAME.bottom, xOf(x), FRAME.bottom + 5, '#555555')),
    ...xs.map((x) => text(xOf(x), FRAME.bottom + 20, grouped(x))),
    text((FRAME.left + FRAME.right) / 2, HEIGHT - 22, curve.xTitle + (curve.isLog ? ' (logarithmic)' : '')),
    `<g transform="rotate(-90 20 ${HEIGHT / 2})">${text(20, HEIGHT / 2, curve.yTitle)}</g>`,
    ...lines.flatMap((line, at) => lineOf(line, COLOURS[at] ?? '#333333', { xOf, yOf }, labelSide(lines, at))),
    ...lines.flatMap(({ name }, at) => legend(name, COLOURS[at] ?? '#333333', at)),
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" role="img">
<title>${curve.title}</title>
${parts.join('\n')}
</svg>
`
}

/** The higher line has its values above, the lower one below. */
function labelSide(lines: readonly Line[], at: number): 'above' | 'below' {
  const mean = (line: Line | undefined) =>
    line ? line.points.reduce((sum, { y }) => sum + y, 0) / line.points.length : Number.NEGATIVE_INFINITY
  return lines.every((other) => mean(lines[at]) >= mean(other)) ? 'above' : 'below'
}

function lineOf(
  { points }: Line,
  colour: string,
  { xOf, yOf }: { xOf: (x: number) => number; yOf: (y: number) => number },
  side: 'above' | 'below',
): readonly string[] {
  const path = points.map(({ x, y }) => `${xOf(x).toFixed(1)},${yOf(y).toFixed(1)}`).join(' ')
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...points.flatMap(({ x, y }) => [
      `<circle cx="${xOf(x).toFixed(1)}" cy="${yOf(y).toFixed(1)}" r="3.5" fill="${colour}"/>`,
      text(xOf(x), yOf(y) + (side === 'above' ? -9 : 18), grouped(y), { colour, size: 11 }),
    ]),
  ]
}

function legend(name: string, colour: string, at: number): readonly string[] {
  const x = FRAME.left + 20 + at * 130
  return [rule(x, 48, x + 22, 48, colour, 2), text(x + 28, 52, name, { anchor: 'start', colour })]
}

/** Steps of 1, 2 or 5 times a power of ten, of which four to nine reach the top. */
function stepOf(highest: number): number {
  const rough = (highest || 1) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  return power * ([1, 2, 5, 10].find((step) => step * power >= rough) ?? 10)
}

/** With a space after each three digits; three digits that mean something, where there are fractions. */
const grouped = (value: number): string =>
  Number(value >= 1_000 ? Math.round(value) : short(value))
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, value >= 1_000 ? ' ' : '')

const rule = (x1: number, y1: number, x2: number, y2: number, colour: string, width = 1): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${colour}" stroke-width="${width}"/>`

function text(
  x: number,
  y: number,
  words: string,
  { anchor = 'middle', size = 12, weight = 400, colour = '#222222' } = {},
): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}" fill="${colour}">${words}</text>`
}
