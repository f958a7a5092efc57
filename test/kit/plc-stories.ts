/** Whole PLC logs from stories: who signed what, on which earlier operation, when. Flags are worked out here, not by what is tested. */
import { cidOf, didOf, parsePlcOperation } from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { signed } from './people.ts'
import type { TestKey } from './tokens.ts'

export const HOUR_MS = 60 * 60 * 1000
const START_MS = Date.UTC(2026, 0, 1)

/** One operation of a story: who signed it, on which earlier one (-1: the first), when, and who may sign after it. */
export interface StoryMove {
  readonly by: TestKey
  readonly on: number
  readonly atMs: number
  readonly keys: readonly TestKey[] | 'tombstone'
  /** What else it says. */
  readonly says?: object
}

/** A row of an audit log. */
export interface LogRow {
  readonly did: Did
  readonly operation: { readonly prev: string | null }
  readonly cid: string
  readonly nullified: boolean
  readonly createdAt: string
}

/** What a DID says in these stories, with these keys. */
export const plainOperation = (keys: readonly TestKey[], prev: string | null, name = 'garden') => ({
  type: 'plc_operation' as const,
  rotationKeys: keys.map(({ didKey }) => didKey),
  verificationMethods: {},
  alsoKnownAs: [`at://${name}.example.com`],
  services: {},
  prev,
})

const operationOf = (by: TestKey, keys: StoryMove['keys'], prev: string | null, name: string, says: object = {}) =>
  keys === 'tombstone'
    ? signed(by, { type: 'plc_tombstone' as const, prev: prev ?? '' })
    : signed(by, { ...plainOperation(keys, prev, name), ...says })

const cidOfSigned = (operation: object): string => {
  const parsed = parsePlcOperation(operation)
  if (!parsed) throw new Error('no operation')
  return cidOf(parsed)
}

/** The audit log of a story, as a directory would have it that took every move without a look. */
export function plcStory(moves: readonly StoryMove[]): { did: Did; rows: readonly LogRow[]; startMs: number } {
  const [first] = moves
  if (!first || first.keys === 'tombstone') throw new Error('a story begins with keys')
  const genesis = signed(first.by, { ...plainOperation(first.keys, null, 'n0'), ...first.says })
  const did = didOf(genesis)
  let rows: readonly LogRow[] = [rowOf(did, genesis, START_MS + first.atMs)]
  for (const [at, { by, on, atMs, keys, says }] of moves.entries()) {
    if (at === 0) continue
    rows = appended(rows, rowOf(did, operationOf(by, keys, rows[on]?.cid ?? null, `n${at}`, says), START_MS + atMs))
  }
  return { did, rows, startMs: START_MS }
}

/** The same log with one more operation, dated `atMs` since 1970. */
export function withNext(
  rows: readonly LogRow[],
  next: { by: TestKey; prev: string; atMs: number; keys: StoryMove['keys'] },
): readonly LogRow[] {
  const did = rows[0]?.did
  if (!did) throw new Error('an empty log')
  return appended(rows, rowOf(did, operationOf(next.by, next.keys, next.prev, 'next'), next.atMs))
}

const rowOf = (did: Did, operation: { prev: string | null }, atMs: number): LogRow => ({
  ...{ did, operation, cid: cidOfSigned(operation), nullified: false },
  createdAt: new Date(atMs).toISOString(),
})

/** Whatever is in force behind the new one's `prev` is undone. */
function appended(rows: readonly LogRow[], row: LogRow): readonly LogRow[] {
  const at = rows.findIndex(({ cid }) => cid === row.operation.prev)
  return [...rows.map((one, place) => (place > at && at >= 0 ? { ...one, nullified: true } : one)), row]
}
