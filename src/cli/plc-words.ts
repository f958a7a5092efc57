/** What a PLC log and a change of it mean, in lines for people. Pure: whoever prints them escapes them. */
import type { PlcPlace, Undoer } from '../identity/plc-course.ts'
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { type AnyPlcOperation, rotationKeysOf, type UnsignedPlcOperation } from '../identity/plc-operation.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import { escaped } from './terminal.ts'

/** What keys are to the reader: `did:key:… (your key)`. */
export type KeyNames = ReadonlyMap<string, string>

/** A key and its name. What stands where a key should and is none is cut: nobody compares it. */
export const named = (key: string, names: KeyNames): string => {
  const name = names.get(key)
  const [piece = '""', ...more] = piecesOf(key)
  const shown = more.length === 0 ? piece : `${piece} and so on`
  return name === undefined ? shown : `${shown} (${name})`
}

/** As long as a piece of what strangers wrote may be. */
const PIECE_CHARS = 72
const ONE_WORD = /^[!#-~]+$/
const UNITS = /\\u\{[0-9a-f]+\}|./g

/**
 * What strangers wrote, so that it can't look like words of ours: one word as it is; all else in quotes, with the spaces escaped that could
 * move it, and in pieces where it is long.
 */
function piecesOf(text: string): readonly string[] {
  const shown = escaped(text)
  if (shown.length <= PIECE_CHARS && ONE_WORD.test(shown)) return [shown]
  const units = shown.replaceAll('"', '\\u{22}').replaceAll(/^ | $| {2,}/g, (run) => '\\u{20}'.repeat(run.length))
  const pieces = ['']
  for (const unit of units.match(UNITS) ?? []) {
    const last = pieces.at(-1) ?? ''
    if (last.length + unit.length > PIECE_CHARS) pieces.push(unit)
    else pieces[pieces.length - 1] = last + unit
  }
  return pieces.map((piece) => `"${piece}"`)
}

/** The same as part of a fact: each piece after the first is a line of its own, behind dots. */
const told = (text: string): string => piecesOf(text).join('\n  ... ')

/** The lines of a fact behind a mark. */
function marked(mark: string, fact: string): readonly string[] {
  const [first, ...more] = fact.split('\n')
  return [`  ${mark} ${first}`, ...more.map((line) => `    ${line}`)]
}

/** `1 operation`, `2 operations`. */
export const operationsOf = (count: number): string => `${count} ${count === 1 ? 'operation' : 'operations'}`

const MINUTE_MS = 60_000

/** How long is left, rounded down: a minute that isn't whole is not promised. */
export function lengthOf(ms: number): string {
  const minutes = Math.max(0, Math.floor(ms / MINUTE_MS))
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** An instant in UTC, to the second. */
export const instantOf = (ms: number): string =>
  isoOf(ms)
    .replace(/\.\d+Z$/, 'Z')
    .replace('T', ' ')

/** What an operation makes the identity say, fact by fact; a long one has lines. */
export function factsOf(operation: AnyPlcOperation | UnsignedPlcOperation, names: KeyNames): readonly string[] {
  if (operation.type === 'plc_tombstone') return ['the end of the identity']
  if (operation.type === 'create')
    return [
      ...rotationKeysOf(operation).map((key, at) => `rotation key ${at + 1}: ${named(key, names)}`),
      `key #atproto: ${named(operation.signingKey, names)}`,
      `name: ${told(`at://${operation.handle}`)}`,
      `service: ${told(operation.service)}`,
    ]
  const { rotationKeys, verificationMethods, alsoKnownAs, services } = operation
  return [
    ...rotationKeys.map((key, at) => `rotation key ${at + 1}: ${named(key, names)}`),
    ...Object.entries(verificationMethods).map(([id, key]) => `key #${told(id)}: ${named(key, names)}`),
    ...Object.entries(services).map(
      ([id, { type, endpoint }]) => `service #${told(id)}: ${told(type)} at ${told(endpoint)}`,
    ),
    ...alsoKnownAs.map((name) => `name: ${told(name)}`),
  ]
}

/** What goes, what comes and what stays. */
export function differenceOf(
  before: AnyPlcOperation | UnsignedPlcOperation,
  after: AnyPlcOperation | UnsignedPlcOperation,
  names: KeyNames,
): readonly string[] {
  const [old, next] = [factsOf(before, names), factsOf(after, names)]
  return [
    ...old.filter((fact) => !next.includes(fact)).flatMap((fact) => marked('-', fact)),
    ...next.flatMap((fact) => marked(old.includes(fact) ? ' ' : '+', fact)),
  ]
}

/** One operation of a log, and who signed it. `before` is the one it follows. */
export function operationLines(
  entry: PlcLogEntry,
  before: PlcLogEntry | undefined,
  names: KeyNames,
): readonly string[] {
  return [
    `${instantOf(msOf(entry.createdAt) ?? entry.createdAtMs)}  ${entry.cid}`,
    `  signed by ${named(entry.signer, names)}`,
    ...(before
      ? differenceOf(before.operation, entry.operation, names)
      : factsOf(entry.operation, names).flatMap((fact) => marked(' ', fact))),
  ]
}

const REFUSED: Readonly<Record<NonNullable<PlcPlace['refusal']>, string>> = {
  'after-tombstone': 'nothing can follow the end of an identity',
  'time-order': 'the clock of this machine is behind the log: set it right',
  'bad-signature': 'your key is not in the list of rotation keys there',
  'recovery-rank': 'your key does not stand above the key that signed the first operation to be undone',
  'recovery-late': 'the first operation to be undone is older than 72 hours, by its date',
}

/** Places that are shown at which a key may not sign; a long log has thousands of them. */
const CLOSED_SHOWN = 10

/** Where an operation of a key may stand, a line for each place. */
export function placeLines(places: readonly PlcPlace[], nowMs: number): readonly string[] {
  const closed = places.filter(({ refusal }) => refusal !== null)
  const more = new Set(closed.slice(CLOSED_SHOWN))
  const lines = places.filter((place) => !more.has(place)).map((place) => placeLine(place, nowMs))
  return more.size === 0 ? lines : [...lines, `  no   at ${more.size} more places before that`]
}

function placeLine({ prev, undoes, untilMs, refusal }: PlcPlace, nowMs: number): string {
  const place =
    undoes.length === 0 ? 'behind the last operation' : `behind ${prev.cid}, undoing ${operationsOf(undoes.length)}`
  if (refusal !== null) return `  no   ${place}: ${REFUSED[refusal]}`
  const left =
    untilMs === null ? 'at any time' : `for another ${lengthOf(untilMs - nowMs)}, until ${instantOf(untilMs)}`
  return `  yes  ${place}: ${left}`
}

/** Who could still undo something, a line for each key: its longest chance counts. */
export function undoerLines(undoers: readonly Undoer[], names: KeyNames, nowMs: number): readonly string[] {
  if (undoers.length === 0) return ['  nobody']
  return [...new Set(undoers.map(({ key }) => key))].map((key) => {
    const untilMs = Math.max(...undoers.filter((one) => one.key === key).map((one) => one.untilMs))
    return `  ${named(key, names)}: until ${instantOf(untilMs)}, for ${lengthOf(untilMs - nowMs)}`
  })
}
