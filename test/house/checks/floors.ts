/** The picture of the house as data: which room stands on which floor, and by which arrows neighbours may speak. */
import type { Import, SourceFile } from '../../kit/source.ts'

interface Room {
  readonly floor: number
  /** Rooms of the same floor that it may use: those on its left, along a drawn arrow. */
  readonly leans: readonly string[]
}

export const ROOMS: Readonly<Record<string, Room>> = {
  ground: { floor: 0, leans: [] },
  policy: { floor: 1, leans: [] },
  keys: { floor: 2, leans: [] },
  identity: { floor: 2, leans: [] },
  audit: { floor: 2, leans: [] },
  membership: { floor: 3, leans: [] },
  space: { floor: 3, leans: ['membership'] },
  apps: { floor: 3, leans: ['membership', 'space'] },
  community: { floor: 3, leans: ['membership', 'space', 'apps'] },
  federation: { floor: 3, leans: ['membership', 'space', 'apps', 'community'] },
  access: { floor: 4, leans: [] },
  credential: { floor: 4, leans: ['access'] },
  notify: { floor: 4, leans: ['access'] },
  steering: { floor: 4, leans: ['access'] },
  doors: { floor: 5, leans: [] },
  roof: { floor: 6, leans: [] },
}

const FILES_OF_ROOMS: Readonly<Record<string, string>> = {
  'src/names.ts': 'ground',
  'src/refusals.ts': 'ground',
  'src/reeve.ts': 'roof',
  'src/workers.ts': 'roof',
  'src/main.ts': 'roof',
  'src/cli.ts': 'roof',
}

const GENERATED = 'src/lexicons/'

/** The room that a file of `src/` is in; null when the picture has no such room. */
function roomOf(path: string): string | null {
  const folder = /^src\/([^/]+)\//.exec(path)?.[1]
  if (folder === undefined) return FILES_OF_ROOMS[path] ?? null
  if (folder === 'platform') return 'ground'
  if (folder === 'cli') return 'roof'
  return folder in ROOMS && folder !== 'ground' && folder !== 'roof' ? folder : null
}

/** What is wrong with the imports of these files, one readable line each. */
export function floorFaults(files: readonly SourceFile[]): readonly string[] {
  return files.flatMap((file) => {
    if (file.path.startsWith(GENERATED)) return generatedFaults(file)
    const room = roomOf(file.path)
    if (room === null) return [`${file.path} is in no room of the picture`]
    return file.imports.flatMap((taken) => {
      const fault = room === 'policy' ? policyFault(taken) : importFault(room, taken)
      return fault ? [`${file.path}:${taken.line} imports ${taken.path ?? taken.from}: ${fault}`] : []
    })
  })
}

function importFault(room: string, { path }: Import): string | null {
  if (path === null || path.startsWith(GENERATED)) return null
  if (!path.startsWith('src/')) {
    return room === 'roof' && path === 'package.json' ? null : `${room} takes nothing from outside src/`
  }
  const other = roomOf(path)
  if (other === null) return 'it is in no room of the picture'
  const from = ROOMS[room]
  const to = ROOMS[other]
  if (!from || !to) return 'it is in no room of the picture'
  if (room === other || to.floor < from.floor || from.leans.includes(other)) return null
  if (to.floor === from.floor) return `${room} and ${other} are neighbours, and no arrow leads from ${other} to ${room}`
  return `a stair that leads up, from ${room} (floor ${from.floor}) to ${other} (floor ${to.floor})`
}

/** The pure floor: names, the names of refusals, its own files, and the shipped roles as data. */
function policyFault({ path, isType }: Import): string | null {
  if (path?.startsWith('src/policy/') || path === 'src/names.ts') return null
  if (path === 'src/refusals.ts') return isType ? null : 'policy takes the names of refusals, and throws none'
  if (path !== null && /^policies\/[\w-]+\.json$/.test(path)) return null
  return 'policy is pure: names.ts, types of refusals.ts, its own room and policies/*.json'
}

const generatedFaults = (file: SourceFile): readonly string[] =>
  file.imports
    .filter(({ from, path }) => (path === null ? from !== '@atproto/lex-schema' : !path.startsWith(GENERATED)))
    .map(({ line, from }) => `${file.path}:${line} imports ${from}: generated files take nothing of ours`)
