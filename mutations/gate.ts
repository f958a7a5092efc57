/**
 * What is made of a report: which mutants no test noticed, and whether each of them is explained. Pure.
 *
 * A survivor in a message is counted and no more: nobody decides by the words of a message. Every other one has to stand in the list of those
 * that are explained, by what it says and not by its line; and an explanation that explains nothing any more is a fault as well.
 */
import { sourceOf } from '../test/kit/source.ts'

/** As far as it is read here: the form that mutation testing tools share (mutation-testing-report-schema). */
export interface Report {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>
}

export interface Mutant {
  readonly mutatorName: string
  readonly replacement?: string
  readonly status: string
  readonly statusReason?: string
  /** Whether it is reached when a file is loaded, and not by a test. */
  readonly static?: boolean
  readonly location: { readonly start: Position; readonly end: Position }
}

/** Both are counted from 1. */
interface Position {
  readonly line: number
  readonly column: number
}

/** What was changed where, with white space drawn together. */
export interface Change {
  readonly file: string
  /** The line on which it begins. */
  readonly on: string
  readonly from: string
  readonly to: string
}

export interface Survivor extends Change {
  readonly mutator: string
  /** Where to look; nothing is recognised by it. */
  readonly line: number
  /** Whether a test runs it at all. */
  readonly isReached: boolean
}

/** Changes that nothing can notice, or nothing should, and why. The same change twice in a file is listed twice. */
export interface Explanation {
  readonly file: string
  readonly why: string
  readonly mutants: readonly (readonly [on: string, from: string, to: string])[]
}

/** What came of one file. */
export interface FileRow {
  readonly file: string
  readonly mutants: number
  readonly killed: number
  /** Those under which something went round without end: noticed as well. */
  readonly timedOut: number
  /** In the words of what is thrown. */
  readonly messages: number
  readonly explained: number
  readonly unexplained: readonly Survivor[]
  /** Of all that survived: those that no test runs. */
  readonly unreached: number
}

export interface Judgement {
  readonly rows: readonly FileRow[]
  /** Explanations for which there is no survivor any more. */
  readonly stale: readonly Change[]
}

const LONGEST = 120

/**
 * What of a report is still to be believed. The tool tries a survivor again when a test that reaches it has changed; which tests reach what is done
 * when a file is loaded, it doesn't know. And what was no verdict is to become one.
 */
export function reusable<R extends Report>(report: R): R {
  const isReusable = (mutant: Mutant): boolean => isNoticed(mutant) || (SURVIVED.has(mutant.status) && !mutant.static)
  const files = Object.entries(report.files).map(([path, { mutants, ...rest }]) => {
    return [path, { ...rest, mutants: mutants.filter(isReusable) }]
  })
  return { ...report, files: Object.fromEntries(files) }
}

/** A piece of a program in one line, and no longer than anybody reads. */
export function squeezed(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line
}

/**
 * Judges what a report says about some files. @throws Error for a file that is not in it, or of which a mutant was not judged: silence is no
 * verdict
 */
export function judge(report: Report, files: readonly string[], explanations: readonly Explanation[]): Judgement {
  const excused = new Map<string, { readonly change: Change; left: number }>()
  for (const { file, mutants } of explanations) {
    if (!files.includes(file)) continue
    for (const [on, from, to] of mutants) {
      const change = { file, on, from, to }
      const known = excused.get(keyOf(change))
      if (known) known.left += 1
      else excused.set(keyOf(change), { change, left: 1 })
    }
  }
  const rows = files.map((file) => rowOf(report, file, (survivor) => take(excused.get(keyOf(survivor)))))
  const stale = [...excused.values()].flatMap(({ change, left }) => Array.from({ length: left }, () => change))
  return { rows, stale }
}

const keyOf = ({ file, on, from, to }: Change): string => JSON.stringify([file, on, from, to])

function take(excuse: { left: number } | undefined): boolean {
  if (excuse === undefined || excuse.left === 0) return false
  excuse.left -= 1
  return true
}

const SURVIVED: ReadonlySet<string> = new Set(['Survived', 'NoCoverage'])
/** How the tool says that a file of tests couldn't be loaded. Every other error is its own, or the machine's. */
const NOT_LOADED = 'An error occurred outside of a test run'
/** How it says that something went round a hundred times as often as it should. What only took too long by the clock, a busy machine may have held up. */
const ENDLESS = 'Hit limit reached'

/** Whether a test failed, or didn't come to its end, or couldn't even begin. */
const isNoticed = ({ status, statusReason = '' }: Mutant): boolean =>
  status === 'Killed' ||
  (status === 'Timeout' && statusReason.startsWith(ENDLESS)) ||
  (status === 'RuntimeError' && statusReason.startsWith(NOT_LOADED))

function rowOf(report: Report, file: string, isExcused: (survivor: Survivor) => boolean): FileRow {
  const found = report.files[file]
  if (!found || found.mutants.length === 0) throw new Error(`${file}: nothing was mutated in it`)
  const { source, mutants } = found
  const strange = mutants.find((mutant) => !isNoticed(mutant) && !SURVIVED.has(mutant.status))
  if (strange) throw new Error(`${file}:${strange.location.start.line}: a mutant was not judged (${strange.status})`)
  const survivors = mutants.filter(({ status }) => SURVIVED.has(status))
  const { code } = sourceOf(file, source)
  const rest = survivors.filter((mutant) => !isInMessage(mutant, source, code))
  const unexplained = rest.map((mutant) => survivorOf(file, source, mutant)).filter((one) => !isExcused(one))
  const timedOut = mutants.filter(({ status }) => status === 'Timeout').length
  return {
    ...{ file, mutants: mutants.length, timedOut, unexplained },
    killed: mutants.length - survivors.length - timedOut,
    messages: survivors.length - rest.length,
    explained: rest.length - unexplained.length,
    unreached: survivors.filter(({ status }) => status === 'NoCoverage').length,
  }
}

function survivorOf(file: string, source: string, { mutatorName, replacement, status, location }: Mutant): Survivor {
  const { start, end } = location
  return {
    file,
    on: squeezed(source.split('\n')[start.line - 1] ?? ''),
    from: squeezed(source.slice(offsetOf(source, start), offsetOf(source, end))),
    to: squeezed(replacement ?? ''),
    mutator: mutatorName,
    line: start.line,
    isReached: status !== 'NoCoverage',
  }
}

function offsetOf(source: string, { line, column }: Position): number {
  const before = source.split('\n').slice(0, line - 1)
  return before.reduce((sum, { length }) => sum + length + 1, 0) + column - 1
}

/** Whether a mutant is a sentence that is thrown: a text of several words, somewhere between the parentheses of what is thrown. */
function isInMessage({ mutatorName, location }: Mutant, source: string, code: string): boolean {
  const at = offsetOf(source, location.start)
  if (mutatorName !== 'StringLiteral' || !/\s/.test(source.slice(at, offsetOf(source, location.end)))) return false
  let depth = 0
  for (let open = at - 1; open >= 0; open -= 1) {
    if (code[open] === ')') depth += 1
    if (code[open] !== '(') continue
    if (depth === 0 && /\bthrow\s+(?:new\s+)?[\w.]+$/.test(code.slice(0, open))) return true
    depth = Math.max(0, depth - 1)
  }
  return false
}
