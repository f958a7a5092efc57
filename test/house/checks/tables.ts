/** Two lists held against each other: generated files against those that are kept, and dependencies against their page. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

type Folder = string | URL

function filesOf(folder: Folder): ReadonlyMap<string, string> {
  const top = typeof folder === 'string' ? folder : fileURLToPath(folder)
  const entries = readdirSync(top, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return new Map(
    entries.map((entry) => {
      const file = join(entry.parentPath, entry.name)
      return [relative(top, file), readFileSync(file, 'utf8')]
    }),
  )
}

/** How the folder that is kept differs from the one that was made just now. */
export function differences(kept: Folder, made: Folder): readonly string[] {
  const [before, now] = [filesOf(kept), filesOf(made)]
  return [
    ...[...now].filter(([path]) => !before.has(path)).map(([path]) => `${path} is missing`),
    ...[...now]
      .filter(([path, text]) => before.has(path) && before.get(path) !== text)
      .map(([path]) => `${path} differs`),
    ...[...before.keys()].filter((path) => !now.has(path)).map((path) => `${path} is left over`),
  ].sort()
}

/** Dependencies without a row in the page's tables, and rows about something else. A row begins with the name in backticks. */
export function undocumented(names: readonly string[], page: string): readonly string[] {
  const rows = [...page.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) => name)
  return [
    ...names.filter((name) => !rows.includes(name)).map((name) => `${name} has no line`),
    ...rows.filter((name) => !names.includes(name)).map((name) => `${name} has a line and is no dependency`),
  ]
}
