/** What every file keeps to: it says first what it is, it stays small, nothing in it is unfinished or points out of the project. */
import { lineAt, type SourceFile } from '../../kit/source.ts'

/** Whether a file opens with a comment of at least one sentence. */
export const opensWithSentence = ({ text, comments }: SourceFile): boolean => {
  const [opening] = comments
  if (opening?.at !== 0 || !text.startsWith('/**')) return false
  const words = opening.text
    .slice('/**'.length, -'*/'.length)
    .replace(/^\s*\*/gm, ' ')
    .trim()
  return /^[A-Z`].{15,}[.!?:)]$/s.test(words)
}

export const lineCount = (text: string): number => text.split('\n').length - 1

/** The size at a share of the files, from the smallest: 0.5 is the median. */
export function sizeAt(files: readonly SourceFile[], share: number): number {
  const sizes = files.map(({ text }) => lineCount(text)).sort((a, b) => a - b)
  return sizes[Math.max(0, Math.ceil(sizes.length * share) - 1)] ?? 0
}

/** Files over `maxLines` that nobody excused with a sentence, and excuses that nobody needs any more. */
export function sizeFaults(
  files: readonly SourceFile[],
  maxLines: number,
  excuses: Readonly<Record<string, string>>,
): readonly string[] {
  const large = files.filter(({ text }) => lineCount(text) > maxLines).map(({ path }) => path)
  return [
    ...large.filter((path) => !excuses[path]).map((path) => `${path} has more than ${maxLines} lines`),
    ...Object.keys(excuses)
      .filter((path) => !large.includes(path))
      .map((path) => `${path} needs no excuse`),
  ]
}

interface Word {
  /** Where it is looked for; everywhere when left out. */
  readonly folder?: string
  readonly pattern: RegExp
  readonly fault: string
}

/** Words that say: this is not done. */
const UNFINISHED: Word = {
  pattern: /\b(?:TO[D]O|FIX[M]E|XX[X]|HA[C]K)\b/,
  fault: 'unfinished: do it, or write it down where it is seen',
}

/** Words by which a text leads a reader to something that is not here. */
const ELSEWHERE: readonly Word[] = [
  { pattern: /(?<![\w.:-])\/(?:work|home|root|Users|workspace|mnt)\/[\w.]/, fault: 'a path of one machine' },
  {
    pattern: /registry\.(?:npmjs|yarnpkg)|\b(?:npmmirro[r]|artifactor[y]|verdacci[o]|jfro[g])\b/i,
    fault: 'a package registry',
  },
  {
    pattern: /\b(?:design|security|protocol|observed-wire|style)\.md\b|(?<!docs\/)\bperformance\.md\b/,
    fault: 'a text that is not in this project',
  },
  { pattern: /\b[Cc]atalogue\b|\bT-[A-Z]\d{1,2}\b/, fault: 'a list that is not in this project: say what it says' },
  { folder: 'src/', pattern: /\brows? \d+/, fault: 'a row of a list that is not in this project' },
]

/** Lines with such words. */
export const wordFaults = (files: readonly { path: string; text: string }[]): readonly string[] =>
  files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, at) =>
        [UNFINISHED, ...ELSEWHERE]
          .filter(({ pattern, folder = '' }) => path.startsWith(folder) && pattern.test(line))
          .map(({ pattern, fault }) => `${path}:${at + 1} ${pattern.exec(line)?.[0]}: ${fault}`),
      ),
  )

const NAMED_PATH = /`((?:[\w-]+\/)*[\w.-]+\.(?:ts|md|json|sql|txt|mjs))`/g

/** Files that a comment names and that are nowhere: a street on the map that isn't in the town. */
export const pathFaults = (files: readonly SourceFile[], paths: readonly string[]): readonly string[] =>
  files.flatMap((file) =>
    file.comments.flatMap(({ text, at }) =>
      [...text.matchAll(NAMED_PATH)]
        .map((match) => match[1] ?? '')
        .filter((name) => !paths.some((path) => path === name || path.endsWith(`/${name}`)))
        .map((name) => `${file.path}:${lineAt(file.text, at)} names ${name}, which is not there`),
    ),
  )

/**
 * Tests that are left out, or that leave the others out. Only `hasPostgres` may decide, and `hasOwnPostgres` for what stops its server: where
 * PostgreSQL must be there, its absence fails every test that uses a database, so that nothing goes missing quietly.
 */
export const leftOutFaults = (files: readonly SourceFile[]): readonly string[] =>
  files.flatMap((file) =>
    [
      ...file.code.matchAll(
        /\b(?:it|test|describe|suite)\b[\w.]*\.(?:only|skip|todo|skipIf|runIf|fails)\b(?!\((?:hasPostgres|hasOwnPostgres)\))/g,
      ),
    ].map((match) => `${file.path}:${lineAt(file.code, match.index)} ${match[0]}`),
  )
