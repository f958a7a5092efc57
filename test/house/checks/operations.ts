/** What alerts, runbook, page of numbers and log say of each other: small readers of each, for the tests that hold them side by side. */
import { parse } from 'yaml'
import type { SourceFile } from '../../kit/source.ts'

export interface Alert {
  readonly alert: string
  readonly expr: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** The alerts of a rule file, of all its groups. */
export function alertsOf(text: string): readonly Alert[] {
  const { groups } = parse(text) as { groups: readonly { readonly rules: readonly Alert[] }[] }
  return groups.flatMap(({ rules }) => rules)
}

const WORDS = new Set(['and', 'or', 'unless', 'by', 'on', 'without', 'ignoring', 'bool', 'e'])
const OWN_LABELS = new Set(['instance', 'job', 'le'])

/** What an expression asks for: names of metrics, and of each label that it picks by, with the values. */
export function askedBy(expr: string): {
  metrics: readonly string[]
  picked: readonly Picked[]
  grouped: readonly string[]
} {
  const picked = [...expr.matchAll(/([a-zA-Z_:]\w*)\{([^}]*)\}/g)].flatMap(([, metric = '', inside = '']) =>
    [...inside.matchAll(/(\w+)\s*=~?\s*"([^"]*)"/g)].map(([, label = '', values = '']) => ({
      metric,
      label,
      values: values.split('|'),
    })),
  )
  const grouped = [...expr.matchAll(/\b(?:by|on|without|ignoring)\s*\(([^)]*)\)/g)]
    .flatMap(([, names = '']) => names.split(',').map((name) => name.trim()))
    .filter((name) => !OWN_LABELS.has(name))
  const bare = expr
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|on|without|ignoring)\s*\([^)]*\)/g, '')
  const metrics = [...bare.matchAll(/(?<![\w.])[a-zA-Z_:][\w:]*\b(?!\s*\()/g)].map(([name]) => name)
  return { metrics: metrics.filter((name) => !WORDS.has(name)), picked, grouped }
}

interface Picked {
  readonly metric: string
  readonly label: string
  readonly values: readonly string[]
}

/** Names of metrics on a page in the text format, and of the series that a histogram has. */
export function metricsOn(page: string): readonly string[] {
  return [...page.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
    type === 'histogram' ? [name, `${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  )
}

/** The entries of the runbook: heading and text. */
export function runbookOf(page: string): ReadonlyMap<string, string> {
  const runbook = page.split(/^## Runbook$/m)[1] ?? ''
  const entries = runbook.split(/^### /m).slice(1)
  return new Map(entries.map((entry) => [entry.split('\n', 1)[0] ?? '', entry.slice(entry.indexOf('\n') + 1).trim()]))
}

/** How a heading is linked to. */
export const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

/** Anchors that a page has. */
export const anchorsOf = (page: string): readonly string[] =>
  [...page.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

/** Scripts that a page has somebody run: the script, and what follows it. */
export const scriptsIn = (page: string): readonly { readonly script: string; readonly words: readonly string[] }[] =>
  [...page.matchAll(/npm (?:run )?(?:-s )?(?!ci\b|run\b)([\w-]+)(?: --)?((?: [\w-]+)*)/g)].map(
    ([, script = '', rest = '']) => ({
      script,
      words: rest.trim().split(' ').filter(Boolean),
    }),
  )

/** The words of the tool's commands, as their files declare them. */
export const commandsOf = (files: readonly SourceFile[]): readonly string[] =>
  files.flatMap(({ text }) =>
    [...text.matchAll(/\bwords: \[([^\]]*)\]/g)].map(([, words = '']) => words.replaceAll(/[',]/g, '').trim()),
  )

/** Every event that the code writes, as `level event`, and the calls whose event is no plain text. */
export function eventsOf(files: readonly SourceFile[]): { events: ReadonlySet<string>; unclear: readonly string[] } {
  const events = new Set<string>()
  const unclear: string[] = []
  for (const { path, text, code } of files) {
    for (const { index, 0: call, groups } of code.matchAll(
      /\blog\s*(?:\.\s*(?<level>debug|info|warn|error)|\[[^\]]*\])\s*\(\s*/g,
    )) {
      const event = /^'([^'\\]+)'/.exec(text.slice(index + call.length))?.[1]
      if (groups?.['level'] && event) events.add(`${groups['level']} ${event}`)
      else unclear.push(path)
    }
  }
  return { events, unclear }
}

/** The rows of the list of events: each event with its level, and whether it is in bold. */
export function listedEvents(
  page: string,
): readonly { readonly event: string; readonly level: string; readonly isBold: boolean }[] {
  const list = /^\| event \| level \|.*?(?=\n\n)/ms.exec(page)?.[0] ?? ''
  return list
    .split('\n')
    .slice(2)
    .flatMap((row) => {
      const [, names = '', level = ''] =
        row.split(' | ').length > 1 ? ['', ...row.replace(/^\| /, '').split(' | ')] : []
      return [...names.matchAll(/(\*\*)?`([^`]+)`/g)].map(([, bold, event = '']) => ({
        event,
        level,
        isBold: bold !== undefined,
      }))
    })
}
