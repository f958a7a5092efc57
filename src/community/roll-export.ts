/**
 * The roll of a community as JSON Lines: everything that is written on it, in one order, so that it can be kept, compared and read
 * elsewhere.
 *
 * Each page is one snapshot, and the next goes on behind the last name of the one before: a community of a million people is
 * exported while it lives, and nobody waits. What is written at names already passed is not in it. So the last line says at which
 * revision the export began and at which it ended; when they are the same, all of it is of one moment.
 */
import {
  type Exported,
  type ReadTable,
  readBans,
  readDepartures,
  readInvites,
  readOffers,
  readPeople,
  readRevision,
  readRoles,
  readSpaceEntries,
} from '../membership/export-store.ts'
import type { Did } from '../names.ts'
import { type Clock, isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { exportSpaces } from '../space/store.ts'

const FORMAT = 'reeve-roll'
const VERSION = 1

const readSpaces: ReadTable = async (tx, community, [after = ''], limit) =>
  (await exportSpaces(tx, community, after, limit)).map((space) => ({ key: [space.space], says: { ...space } }))

/** In the order in which somebody would need them who builds the roll up again. */
const SECTIONS: readonly { readonly kind: string; readonly read: ReadTable }[] = [
  { kind: 'role', read: readRoles },
  { kind: 'space', read: readSpaces },
  { kind: 'memberSpace', read: readSpaceEntries },
  { kind: 'member', read: readPeople },
  { kind: 'ban', read: readBans },
  { kind: 'departure', read: readDepartures },
  { kind: 'offer', read: readOffers },
  { kind: 'invite', read: readInvites },
]

/** How far an export is: the section, the last key of it that is out, and what the last line will say. */
export interface Position {
  readonly section: number
  readonly after: readonly string[]
  readonly firstRevision: number
  readonly lines: number
}

export interface ExportPage {
  /** Each ends with a line break. */
  readonly lines: string
  readonly revision: number
  /** Null: this was the last. */
  readonly next: Position | null
}

/** The page at a position; the first without one. Null: there is no such community. The transaction is one snapshot. */
export async function exportPage(
  { clock }: { readonly clock: Clock },
  tx: Tx,
  community: Did,
  { at, limit }: { readonly at: Position | null; readonly limit: number },
): Promise<ExportPage | null> {
  const revision = await readRevision(tx, community)
  if (revision === null) return null
  const nowMs = clock.nowMs()
  const lines: string[] = []
  const firstRevision = at?.firstRevision ?? revision
  if (!at) lines.push(lineOf('roll', { format: FORMAT, version: VERSION, community, revision, exportedAt: nowMs }))
  let section = at?.section ?? 0
  let after = at?.after ?? []
  while (lines.length < limit && section < SECTIONS.length) {
    const wanted = limit - lines.length
    const rows = (await SECTIONS[section]?.read(tx, community, after, wanted, nowMs)) ?? []
    lines.push(...rows.map(({ says }) => lineOf(SECTIONS[section]?.kind ?? '', says)))
    after = rows.at(-1)?.key ?? after
    if (rows.length < wanted) {
      section += 1
      after = []
    }
  }
  const count = (at?.lines ?? 0) + lines.length
  const isLast = section === SECTIONS.length && lines.length < limit
  if (isLast) lines.push(lineOf('end', { firstRevision, lastRevision: revision, lines: count + 1, endedAt: nowMs }))
  const next = isLast ? null : { section, after, firstRevision, lines: count }
  return { lines: lines.map((line) => `${line}\n`).join(''), revision, next }
}

/** Fields that hold times, which are kept as numbers and shown as instants. */
const INSTANTS: ReadonlySet<string> = new Set([
  ...['since', 'until', 'exportedAt', 'endedAt', 'addedAt', 'bannedAt', 'leftAt', 'offeredAt', 'madeAt', 'expiresAt'],
  ...['createdAt', 'changedAt', 'frozenAt'],
])

const lineOf = (kind: string, says: Exported['says']): string =>
  JSON.stringify({
    kind,
    ...Object.fromEntries(
      Object.entries(says)
        .filter(([, value]) => value !== null)
        .map(([name, value]) => [name, INSTANTS.has(name) ? isoOf(Number(value)) : value]),
    ),
  })
