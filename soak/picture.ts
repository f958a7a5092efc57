/** A soak as a picture: lines over time, one panel under the other, with floods and stalls shaded behind them. */
import type { Moment } from './verdicts.ts'
import type { Plan, Stretch } from './words.ts'

interface Line {
  readonly says: string
  readonly colour: string
  readonly points: readonly (readonly [sec: number, value: number])[]
}

interface Panel {
  readonly title: string
  readonly lines: readonly Line[]
}

const WIDTH = 1_100
const PANEL = 170
const LEFT = 70
const RIGHT = 30
const TOP = 70
const GAP = 44
const PLOT_WIDTH = WIDTH - LEFT - RIGHT
const PLOT_HEIGHT = PANEL - GAP
const TICKS = 4
const COLOURS = ['#1b5e9b', '#c4571b', '#3a7d44', '#7b3f98']

export function drawSoak(plan: Plan, moments: readonly Moment[], title: string): string {
  const panels = panelsOf(moments)
  const height = TOP + panels.length * PANEL + 20
  const seconds = Math.max(plan.minutes * 60, moments.at(-1)?.atSec ?? 0)
  const x = (sec: number) => LEFT + (sec / seconds) * PLOT_WIDTH
  const body = panels.map((panel, at) => drawPanel(panel, TOP + at * PANEL, x, plan, seconds)).join('\n')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#222" role="img">
<title>A soak of ${escaped(title)}</title>
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="16" font-weight="bold">${escaped(title)}</text>
${legend()}
${body}
</svg>
`
}

const FLOOD = '#f3c6c0'
const STALL = '#d9d9e6'

const legend = (): string =>
  `${[
    [FLOOD, 'flood'],
    [STALL, 'directory silent'],
  ]
    .map(([colour, says], at) => {
      const left = LEFT + at * 110
      return `<rect x="${left}" y="36" width="14" height="12" fill="${colour}"/><text x="${left + 20}" y="46">${says}</text>`
    })
    .join('')}<text x="${LEFT + 260}" y="46">┆ the key is replaced</text>`

function panelsOf(moments: readonly Moment[]): readonly Panel[] {
  const collected = moments.filter(({ isCollected }) => isCollected)
  const line = (says: string, at: number, of: readonly Moment[], value: (moment: Moment) => number): Line => {
    return { says, colour: COLOURS[at] ?? '#000', points: of.map((moment) => [moment.atSec, value(moment)]) }
  }
  return [
    { title: 'heap after collection, MiB', lines: [line('heap', 0, collected, ({ heapMiB }) => heapMiB)] },
    {
      title: 'memory, MiB',
      lines: [
        line('resident', 0, moments, ({ rssMiB }) => rssMiB),
        line('external', 1, moments, ({ externalMiB }) => externalMiB),
      ],
    },
    {
      title: 'handles',
      lines: [
        line('all', 0, moments, ({ handles }) => Object.values(handles).reduce((sum, count) => sum + count, 0)),
        line('sockets', 1, moments, ({ handles }) => handles['TCPSocketWrap'] ?? 0),
      ],
    },
    {
      title: 'requests a second',
      lines: [line('all', 0, moments, ({ requests, lengthSec }) => requests / lengthSec)],
    },
    {
      title: 'honest requests, milliseconds',
      lines: [
        line('p99', 1, moments, (moment) => quantileOf(moment, 0.99)),
        line('p50', 0, moments, (moment) => quantileOf(moment, 0.5)),
      ],
    },
    { title: 'event loop, milliseconds late', lines: [line('p99', 2, moments, ({ loopP99Ms }) => loopP99Ms)] },
  ]
}

function quantileOf({ honest }: Moment, share: number): number {
  const times = Object.values(honest.tookMs)
    .flat()
    .sort((a, b) => a - b)
  return times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? 0
}

function drawPanel(panel: Panel, top: number, x: (sec: number) => number, plan: Plan, seconds: number): string {
  const most = niceAbove(Math.max(1, ...panel.lines.flatMap(({ points }) => points.map(([, value]) => value))))
  const bottom = top + PLOT_HEIGHT
  const y = (value: number) => bottom - (value / most) * PLOT_HEIGHT
  const shade = (stretches: readonly Stretch[], colour: string) =>
    stretches.map(({ fromSec, toSec }) => {
      const width = x(Math.min(toSec, seconds)) - x(fromSec)
      return `<rect x="${fixed(x(fromSec))}" y="${top}" width="${fixed(width)}" height="${PLOT_HEIGHT}" fill="${colour}"/>`
    })
  const marks = plan.rotationsAtSec.map(
    (sec) =>
      `<line x1="${fixed(x(sec))}" x2="${fixed(x(sec))}" y1="${top}" y2="${bottom}" stroke="#666" stroke-dasharray="3 3"/>`,
  )
  const grid = Array.from({ length: TICKS + 1 }, (_, at) => {
    const value = (most * at) / TICKS
    return `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fixed(y(value))}" y2="${fixed(y(value))}" stroke="#ccc" stroke-width="0.6"/><text x="${LEFT - 8}" y="${fixed(y(value) + 4)}" text-anchor="end">${numberText(value)}</text>`
  })
  const everySec = niceAbove(seconds / 60 / 10) * 60
  const times = Array.from({ length: Math.floor(seconds / everySec) + 1 }, (_, at) => at * everySec).map(
    (sec) => `<text x="${fixed(x(sec))}" y="${bottom + 15}" text-anchor="middle">${numberText(sec / 60)} min</text>`,
  )
  const lines = panel.lines.map(({ colour, points }) => {
    const path = points.map(([sec, value]) => `${fixed(x(sec))},${fixed(y(value))}`).join(' ')
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="1.6"/>`
  })
  const names = panel.lines.map(
    ({ says, colour }, at) =>
      `<text x="${WIDTH - RIGHT - at * 80}" y="${top - 5}" text-anchor="end" fill="${colour}">${escaped(says)}</text>`,
  )
  const title = `<text x="${LEFT}" y="${top - 5}" font-weight="bold">${escaped(panel.title)}</text>`
  const parts = [shade(plan.stalls, STALL), shade(plan.bursts, FLOOD), grid, marks, lines, times, names, title]
  return parts.flat().join('\n')
}

/** The first of 1, 2, 2.5, 5, 10, … that is no less. */
export function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return ([1, 2, 2.5, 5, 10].find((times) => times * power >= value * 0.999_999) ?? 10) * power
}

const fixed = (value: number): string => value.toFixed(1)
const numberText = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 1 })
const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
