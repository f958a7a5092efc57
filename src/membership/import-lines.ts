/**
 * The lines of an import, as they are sent: each one strict JSON object about one person. A line that isn't is told what is wrong
 * with it, and keeps nobody else out.
 */
import { isDatetimeString } from '@atproto/syntax'
import { type Did, parseDid } from '../names.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import type { Roles } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import type { ImportRow, RowFault } from './import-store.ts'
import { parseInstant, requireDid } from './input.ts'

const FIELDS: ReadonlySet<string> = new Set(['did', 'role', 'since', 'until'])
/** A row is flat; one that isn't is refused before its inside is looked at. */
const MAX_DEPTH = 4

/** The lines of a text. What ends the last of them begins no other. */
export function linesOf(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** The people of some lines, of which the first has the number `first`. `roles`: those that the community has now. */
export function parseLines(
  lines: readonly string[],
  first: number,
  roles: Roles,
): { rows: ImportRow[]; faults: RowFault[] } {
  const rows: ImportRow[] = []
  const faults: RowFault[] = []
  const named = new Map<Did, number>()
  for (const [at, text] of lines.entries()) {
    const line = first + at
    const object = parseStrictJson(text, { maxDepth: MAX_DEPTH })
    try {
      const row = rowOf(object, line, roles)
      requireNotNamed(named.get(row.did))
      named.set(row.did, line)
      rows.push(row)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      faults.push({ line, did: parseDid(object?.['did']), code: error.code, says: error.says })
    }
  }
  return { rows, faults }
}

/** Of two lines about one person the first is taken: the second may mean something else. @throws Refusal('InvalidRequest') */
export function requireNotNamed(line: number | undefined): void {
  if (line !== undefined) throw new Refusal('InvalidRequest', `did is that of line ${line} already`)
}

function rowOf(object: Record<string, unknown> | null, line: number, roles: Roles): ImportRow {
  if (!object) throw new Refusal('InvalidRequest', 'the line is not one JSON object without repeated keys')
  const stranger = Object.keys(object).find((name) => !FIELDS.has(name))
  if (stranger !== undefined) {
    throw new Refusal('InvalidRequest', `${shown(stranger)} is not a field of a line: did, role, since, until`)
  }
  const did = requireDid(textOf(object, 'did'), 'did')
  const role = textOf(object, 'role')
  if (!roles.has(role)) throw new Refusal('UnknownRole', 'role is none that the community has')
  return { line, did, role, sinceMs: instantOf(object, 'since'), untilMs: instantOf(object, 'until') }
}

function textOf(object: Record<string, unknown>, field: string): string {
  const value = object[field]
  if (value === undefined) throw new Refusal('InvalidRequest', `${field} is missing`)
  if (typeof value !== 'string') throw new Refusal('InvalidRequest', `${field} is not a text`)
  return value
}

function instantOf(object: Record<string, unknown>, field: string): number | null {
  if (object[field] === undefined) return null
  const text = textOf(object, field)
  if (!isDatetimeString(text)) throw new Refusal('InvalidRequest', `${field} is not an instant`)
  return parseInstant(text, field)
}

/** A name that somebody made up, when it looks like a name. */
const shown = (name: string): string => (/^[\w.-]{1,64}$/.test(name) ? name : 'something in it')
