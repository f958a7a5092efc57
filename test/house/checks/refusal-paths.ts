/**
 * Which refusals an action can give: every code that stands in the functions it reaches, by name, through imports.
 *
 * It follows names and not values, so a method called on an object is not followed; the tests of the doors see those.
 */
import type { SourceFile } from '../../kit/source.ts'

interface Declaration {
  readonly names: ReadonlySet<string>
  readonly codes: readonly string[]
}

type Declarations = ReadonlyMap<string, Declaration>

const DECLARED = /^(?:export\s+)?(?:async\s+)?(?:function\*?|const|let|class)\s+([A-Za-z_$][\w$]*)/gm

/** The declarations of a file: for each name the names it mentions, and the codes that stand in it as text. */
function declarationsOf({ code, text }: SourceFile, codes: ReadonlySet<string>): Declarations {
  const found = [...code.matchAll(DECLARED)]
  return new Map(
    found.map((match, at) => {
      const end = found[at + 1]?.index ?? code.length
      const body = code.slice(match.index, end)
      // A list of codes is knowledge about refusals, not a refusal.
      const isData = /^(?:export\s+)?(?:const|let)\b/.test(body) && !body.includes('=>')
      const quoted = [...text.slice(match.index, end).matchAll(/'(\w+)'/g)].map(([, word = '']) => word)
      const names = new Set(body.match(/[A-Za-z_$][\w$]*/g))
      return [match[1] ?? '', { names, codes: isData ? [] : quoted.filter((word) => codes.has(word)) }]
    }),
  )
}

/** Where a name that a file takes from elsewhere is declared. */
function importedNames(file: SourceFile): ReadonlyMap<string, { path: string; name: string }> {
  const taken = new Map<string, { path: string; name: string }>()
  for (const { path, names } of file.imports) {
    if (path === null || path.startsWith('src/lexicons/')) continue
    for (const name of names) taken.set(name, { path, name })
  }
  return taken
}

/** The codes that can be reached from `name` in the file at `path`, each with the file where it stands. */
export function reachableCodes(
  files: readonly SourceFile[],
  codes: ReadonlySet<string>,
  start: { readonly path: string; readonly name: string },
): ReadonlyMap<string, string> {
  const byPath = new Map(files.map((file) => [file.path, file]))
  const parsed = new Map<string, Declarations>()
  const reached = new Map<string, string>()
  const seen = new Set<string>()
  const waiting = [start]
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { path, name } = next
    const file = byPath.get(path)
    if (!file || seen.has(`${path} ${name}`)) continue
    seen.add(`${path} ${name}`)
    const declarations = parsed.get(path) ?? declarationsOf(file, codes)
    parsed.set(path, declarations)
    const imported = importedNames(file)
    const declared = declarations.get(name)
    if (!declared) {
      const elsewhere = imported.get(name)
      if (elsewhere) waiting.push(elsewhere)
      continue
    }
    for (const code of declared.codes) reached.set(code, path)
    for (const mentioned of declared.names) {
      const elsewhere = imported.get(mentioned)
      if (declarations.has(mentioned)) waiting.push({ path, name: mentioned })
      else if (elsewhere) waiting.push(elsewhere)
    }
  }
  return reached
}

export interface Row {
  readonly knock: string
  readonly nsid: string
  readonly action: string
}

/** The rows of the table of doors as they are written: way of knocking, method, action. */
export const rowsOf = (table: string): readonly Row[] =>
  [...table.matchAll(/^ {2}(\w+)\(([\w.]+)\.main,.*?(\w+)\),$/gm)].map(([, knock = '', lexicon = '', action = '']) => ({
    knock,
    nsid: lexicon.replace(/^reeve\./, 'community.reeve.'),
    action,
  }))
