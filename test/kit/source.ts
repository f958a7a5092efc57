/**
 * Source files as the house tests read them: the code without comments and texts, the comments, the imports, the declarations.
 *
 * A small scanner of our own, because what it must know is little: where a comment, a text, a template or a regular expression
 * begins and ends. It is tried on its own in `test/house/source.test.ts`.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { posix, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The top folder of the project. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export interface SourceFile {
  /** From the top folder, with slashes: `src/policy/decide.ts`. */
  readonly path: string
  readonly text: string
  /** `text` with comments, the inside of texts, templates and regular expressions as spaces; as long, line for line. */
  readonly code: string
  readonly comments: readonly { readonly text: string; readonly at: number }[]
  readonly imports: readonly Import[]
}

export interface Import {
  /** The specifier as it is written. */
  readonly from: string
  /** What it is within the project, for a relative specifier; else null. */
  readonly path: string | null
  /** Exported names that are taken: `*` for all, `default`. */
  readonly names: readonly string[]
  readonly isType: boolean
  readonly line: number
}

/** Paths of all files under a folder of the project, with slashes. */
export function filesUnder(folder: string): readonly string[] {
  return readdirSync(ROOT + folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}${sep}${entry.name}`.slice(ROOT.length).split(sep).join('/'))
    .sort()
}

export const readText = (path: string): string => readFileSync(ROOT + path, 'utf8')

/** The TypeScript files under a folder, read. */
export const readSources = (folder: string): readonly SourceFile[] =>
  filesUnder(folder)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => sourceOf(path, readText(path)))

/** One file from its text. */
export function sourceOf(path: string, text: string): SourceFile {
  const { code, comments } = scan(text)
  return { path, text, code, comments, imports: importsOf(path, text, code) }
}

export const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length

/** What can't stand before a division: after these, a slash begins a regular expression. */
const BEFORE_REGEX =
  /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|throw|await|yield|void|new))\s*$/

function scan(text: string): { code: string; comments: SourceFile['comments'] } {
  const comments: { text: string; at: number }[] = []
  let code = ''
  let at = 0
  /** For each open template that is in a `${}`: how deep the braces in it are. */
  const templates: number[] = []
  const blank = (end: number) => {
    code += text.slice(at, end).replace(/[^\n]/g, ' ')
    at = end
  }
  const keep = (count: number) => {
    code += text.slice(at, at + count)
    at += count
  }
  const quoted = (close: string) => {
    keep(1)
    blank(endOf(text, at, close))
    keep(1)
  }
  const template = () => {
    const end = endOfTemplatePart(text, at)
    blank(end)
    if (text[at] === '`') keep(1)
    else {
      templates.push(0)
      keep(2)
    }
  }
  while (at < text.length) {
    const char = text[at] ?? ''
    const pair = text.slice(at, at + 2)
    if (pair === '//' || pair === '/*') {
      const found = pair === '//' ? text.indexOf('\n', at) : text.indexOf('*/', at + 2) + 2
      const end = found < 2 ? text.length : found
      comments.push({ text: text.slice(at, end), at })
      blank(end)
    } else if (char === "'" || char === '"') quoted(char)
    else if (char === '`') {
      keep(1)
      template()
    } else if (char === '/' && BEFORE_REGEX.test(code.slice(-40))) quoted('/')
    else if (char === '}' && templates.at(-1) === 0) {
      templates.pop()
      keep(1)
      template()
    } else {
      const depth = templates.length - 1
      if (char === '{' && depth >= 0) templates[depth] = (templates[depth] ?? 0) + 1
      if (char === '}' && depth >= 0) templates[depth] = (templates[depth] ?? 0) - 1
      keep(1)
    }
  }
  return { code, comments }
}

/** The place of the closing character, past escapes and, in a regular expression, past classes. */
function endOf(text: string, start: number, close: string): number {
  let isInClass = false
  for (let at = start; at < text.length; at++) {
    const char = text[at]
    if (char === '\\') at++
    else if (close === '/' && char === '[') isInClass = true
    else if (close === '/' && char === ']') isInClass = false
    else if (char === close && !isInClass) return at
  }
  return text.length
}

function endOfTemplatePart(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '`' || text.startsWith('${', at)) return at
  }
  return text.length
}

const IMPORT =
  /\b(?:(?:import|export)(?<clause>\s+type\b[^;'"]*?|[\s{*][^;'"=()]*?|\s*)(?<=\bfrom\s*|\bimport\s*)|(?:import|require)\s*\(\s*|\bdeclare module\s+)(?<quote>['"])/g

function importsOf(path: string, text: string, code: string): readonly Import[] {
  return [...code.matchAll(IMPORT)].map((match) => {
    const start = match.index + match[0].length
    const from = text.slice(start, endOf(text, start, match.groups?.quote ?? "'"))
    const clause = match.groups?.clause ?? ''
    const isWhole = !match[0].startsWith('import') && !match[0].startsWith('export')
    const parts = partsOf(clause)
    const isType = isWhole || /^\s*type\b/.test(clause) || (parts.length > 0 && parts.every((part) => part.isType))
    return {
      from,
      path: from.startsWith('.') ? posix.join(posix.dirname(path), from) : null,
      names: parts.length > 0 ? parts.map((part) => part.name) : ['*'],
      isType: isType && !match[0].startsWith('require'),
      line: lineAt(text, match.index),
    }
  })
}

/** The names in `type A, { type B, C as D }, * as e`, without the word `type` that stands before all of them. */
function partsOf(clause: string): readonly { name: string; isType: boolean }[] {
  const list = clause.replace(/^\s*type\b(?!\s*,)/, '').replace(/\bfrom\s*$/, '')
  const named = /\{([^}]*)\}/.exec(list)?.[1] ?? ''
  const others = list
    .replace(/\{[^}]*\}/, '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => ({ name: part.startsWith('*') ? '*' : 'default', isType: false }))
  const inBraces = named
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => ({ name: part.replace(/^type\s+/, '').split(/\s/)[0] ?? '', isType: /^type\s/.test(part) }))
  return [...others, ...inBraces]
}
