/** What a run ends with: a table as Markdown, which is read as it is too, and every mutant that nothing noticed. */
import type { FileRow, Judgement } from './gate.ts'

const HEAD = ['file', 'mutants', 'killed', 'timed out', 'in messages', 'explained', 'unexplained', 'of these unreached']

const cellsOf = ({ file, mutants, killed, timedOut, messages, explained, unexplained, unreached }: FileRow): string[] =>
  [`\`${file}\``, mutants, killed, timedOut, messages, explained, unexplained.length, unreached].map(String)

export function tableOf(rows: readonly FileRow[]): string {
  const lines = [HEAD, HEAD.map(() => '---'), ...rows.map(cellsOf)]
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')
}

/** As it is looked for in a file, and as it would stand in the list of those that are explained. */
export function faultsOf({ rows, stale }: Judgement): readonly string[] {
  const lines = rows
    .flatMap(({ unexplained }) => unexplained)
    .map(({ file, line, mutator, isReached, on, from, to }) => {
      const how = isReached ? 'nothing notices' : 'nothing runs'
      return `${file}:${line}: ${how} ${mutator}\n  ${JSON.stringify([on, from, to])}`
    })
  const old = stale.map(
    ({ file, on, from, to }) => `${file}: explains what isn't there\n  ${JSON.stringify([on, from, to])}`,
  )
  return [...lines, ...old]
}
