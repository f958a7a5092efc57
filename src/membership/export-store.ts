/** The tables of the roll as they are exported: each in an order of its own, a page at a time, from the snapshot of its transaction. */
import { type RawBuilder, sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'

/** A row of a table: where it stands in its order, and what it says. */
export interface Exported {
  readonly key: readonly string[]
  /** Times are numbers, as they are kept; what is null is left out. */
  readonly says: Readonly<Record<string, unknown>>
}

/** Reads the rows of one table after a key, in the order of keys. `nowMs` tells what has ended. */
export type ReadTable = (
  tx: Tx,
  community: Did,
  after: readonly string[],
  limit: number,
  nowMs: number,
) => Promise<readonly Exported[]>

/** Which rows of a table are exported, what they say, and by which columns they are told from each other. */
interface Table {
  readonly from: RawBuilder<unknown>
  readonly key: readonly string[]
  readonly says: Readonly<Record<string, string>>
  readonly isOpen?: (nowMs: number) => RawBuilder<unknown>
}

function readerOf({ from, key, says, isOpen }: Table): ReadTable {
  const names = sql.join(key.map((column) => sql.ref(column)))
  const fields = sql.join(Object.entries(says).map(([name, column]) => sql`${sql.ref(column)} as ${sql.ref(name)}`))
  return async (tx, community, after, limit, nowMs) => {
    const beyond = after.length === 0 ? sql`true` : sql`(${names}) > (${sql.join(after)})`
    const open = isOpen ? sql`and ${isOpen(nowMs)}` : sql``
    const { rows } = await sql<Record<string, unknown>>`select ${fields} from ${from}
      where entry.community = ${community} and ${beyond} ${open} order by ${names} limit ${limit}`.execute(tx)
    const keyNames = key.map((column) => Object.entries(says).find(([, one]) => one === column)?.[0] ?? '')
    return rows.map((row) => ({ key: keyNames.map((name) => String(row[name])), says: row }))
  }
}

/** What a deleted space had on its roster gives nobody anything, and isn't part of the roll any more. */
const inLivingSpace = (table: string) =>
  sql`(select entry.* from ${sql.table(table)} entry join space on space.uri = entry.into_space and space.state = 'live') entry`

const TIMES = { since: 'entry.since_ms', until: 'entry.until_ms' }
const ADDED = { addedBy: 'entry.added_by', addedAt: 'entry.added_at_ms' }

/** Roles that the community named itself, or understands otherwise than shipped. */
export const readRoles = readerOf({
  from: sql`role entry`,
  key: ['entry.name'],
  says: {
    name: 'entry.name',
    actions: 'entry.actions',
    description: 'entry.description',
    changedBy: 'entry.put_by',
    changedAt: 'entry.put_at_ms',
  },
})

/** Spaces on rosters. */
export const readSpaceEntries = readerOf({
  from: inLivingSpace('space_edge'),
  key: ['entry.into_space', 'entry.from_space', 'entry.role'],
  says: {
    space: 'entry.into_space',
    memberSpace: 'entry.from_space',
    role: 'entry.role',
    holding: 'entry.holding',
    ...TIMES,
    isSystem: 'entry.is_system',
    ...ADDED,
  },
})

/** People on rosters, each with all their entries together. */
export const readPeople = readerOf({
  from: inLivingSpace('person_edge'),
  key: ['entry.did', 'entry.into_space'],
  says: { space: 'entry.into_space', did: 'entry.did', role: 'entry.role', ...TIMES, ...ADDED },
})

/** Bans, those that ended too until they are lifted. */
export const readBans = readerOf({
  from: sql`ban entry`,
  key: ['entry.did', 'entry.scope'],
  says: {
    did: 'entry.did',
    scope: 'entry.scope',
    reason: 'entry.reason',
    until: 'entry.until_ms',
    bannedBy: 'entry.banned_by',
    bannedAt: 'entry.banned_at_ms',
  },
})

/** Who left which space, and was not put there again. */
export const readDepartures = readerOf({
  from: sql`departure entry`,
  key: ['entry.did', 'entry.space'],
  says: { did: 'entry.did', space: 'entry.space', leftAt: 'entry.left_at_ms' },
})

/** Spaces that other communities may nest. */
export const readOffers = readerOf({
  from: sql`offer entry`,
  key: ['entry.space', 'entry.to_community'],
  says: {
    space: 'entry.space',
    to: 'entry.to_community',
    offeredBy: 'entry.offered_by',
    offeredAt: 'entry.offered_at_ms',
  },
})

/** Invites that can still be taken. Their words aren't known here, and neither is what they hash to told. */
export const readInvites = readerOf({
  from: sql`invite entry`,
  key: ['entry.id'],
  isOpen: (nowMs) => sql`entry.expires_at_ms > ${nowMs} and entry.uses_left > 0 and entry.revoked_at_ms is null`,
  says: {
    id: 'entry.id',
    space: 'entry.space',
    role: 'entry.role',
    until: 'entry.until_ms',
    note: 'entry.note',
    usesLeft: 'entry.uses_left',
    usesMax: 'entry.uses_max',
    expiresAt: 'entry.expires_at_ms',
    madeBy: 'entry.made_by',
    madeAt: 'entry.made_at_ms',
  },
})

/** The community's number in this snapshot, or null for one that isn't here. */
export async function readRevision(tx: Tx, community: Did): Promise<number | null> {
  const row = await tx
    .selectFrom('community_revision')
    .select('revision')
    .where('community', '=', community)
    .executeTakeFirst()
  return row?.revision ?? null
}
