/**
 * What a space is set to at a PDS, in the words of either generation: read strictly, compared, kept as one text, and written in both at once.
 *
 * August 2026 has one policy for reading and writing; October has two. What can't be understood is named and never taken for something else.
 */
import * as defs from '../lexicons/com/atproto/simplespace/defs.ts'
import { parsePlainServiceId, type ServiceId } from '../names.ts'
import type { Generation } from './tables.ts'

/** Whom one side of a space lets in: everybody, whom its list has, whom a service says; or something that we have no word for. */
export type Side = 'public' | 'memberList' | ServiceId | `?${string}`

export interface Settings {
  readonly read: Side
  readonly write: Side
  /** The apps on the list, sorted; null: every app. `?…`: something that we have no word for. */
  readonly apps: readonly string[] | null | `?${string}`
}

/** A space as it was read at a PDS. */
export interface There {
  readonly speaks: Generation
  readonly settings: Settings
}

export const isService = (side: Side): side is ServiceId => side.startsWith('did:')

/** Longest list of apps that is read: beyond it nobody could have written it by these methods. */
const APPS_MAX = 10_000
const APP_MAX_CHARS = 2_048
const NAME_MAX_CHARS = 128

/** What `getSpace` answered about a space; null: it is none of the two shapes, or about another space. */
export function parseThere(body: unknown, uri: string): There | null {
  if (!isObject(body) || body['uri'] !== uri) return null
  const { policy, readPolicy, writePolicy, appAccess } = body
  const apps = appsOf(appAccess)
  if (apps === undefined) return null
  if (readPolicy !== undefined || writePolicy !== undefined) {
    const [read, write] = [sideOf(readPolicy), sideOf(writePolicy)]
    return read && write ? { speaks: 'october', settings: { read, write, apps } } : null
  }
  const both = sideOf(policy)
  return both && { speaks: 'august', settings: { read: both, write: both, apps } }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function sideOf(value: unknown): Side | null {
  if (!isObject(value) || typeof value['$type'] !== 'string') return null
  const { $type } = value
  if ($type === defs.publicPolicy.$type) return 'public'
  if ($type === defs.memberListPolicy.$type) return 'memberList'
  const service = $type === defs.managingAppPolicy.$type ? parsePlainServiceId(value['managingApp']) : null
  return service ?? unknownOf($type)
}

function appsOf(value: unknown): Settings['apps'] | undefined {
  if (!isObject(value) || typeof value['$type'] !== 'string') return undefined
  const { $type, allowed } = value
  if ($type === defs.open.$type) return null
  if ($type !== defs.allowList.$type) return unknownOf($type)
  if (!Array.isArray(allowed) || allowed.length > APPS_MAX) return undefined
  const isSound = allowed.every((app) => typeof app === 'string' && app.length <= APP_MAX_CHARS)
  return isSound ? [...new Set(allowed as string[])].sort() : undefined
}

/** By its name as far as that is plain: a stranger's text comes into no log and no answer. */
const unknownOf = ($type: string): `?${string}` =>
  /^[\w.#-]+$/.test($type) && $type.length <= NAME_MAX_CHARS ? `?${$type}` : '?unreadable'

/** One text for what is the same, as it is kept. */
export const keptText = ({ read, write, apps }: Settings): string => JSON.stringify({ read, write, apps })

/** What was kept. Only what `keptText` wrote is in the table. */
export const settingsOfKept = (text: string): Settings => JSON.parse(text) as Settings

/** Which settings differ, by the names that their generation gives them. */
export function differing(speaks: Generation, a: Settings, b: Settings): readonly string[] {
  const isSameApps = JSON.stringify(a.apps) === JSON.stringify(b.apps)
  const sides =
    speaks === 'august'
      ? [...(a.read === b.read ? [] : ['policy'])]
      : [...(a.read === b.read ? [] : ['readPolicy']), ...(a.write === b.write ? [] : ['writePolicy'])]
  return [...sides, ...(isSameApps ? [] : ['appAccess'])]
}

/**
 * As the fields of `createSpace` and `updateSpace`, for both generations: a server ignores the names that it doesn't know, so whichever it is
 * understands one of them. `one` is what August's single policy shall be.
 */
export function fieldsOf({ read, write, apps }: Settings, one: Side): object {
  return {
    policy: policyOf(one),
    readPolicy: policyOf(read),
    writePolicy: policyOf(write),
    appAccess:
      apps === null
        ? defs.open.$build({})
        : defs.allowList.$build({ allowed: typeof apps === 'string' ? [] : [...apps] }),
  }
}

function policyOf(side: Side) {
  if (isService(side)) return defs.managingAppPolicy.$build({ managingApp: side })
  // What we have no word for is never declared, so it is never written either.
  return side === 'public' ? defs.publicPolicy.$build({}) : defs.memberListPolicy.$build({})
}
