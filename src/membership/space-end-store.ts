/**
 * The table of spaces that ended and are not cleared away yet: whoever asked to hear of one has to be told first. Until it is done nobody
 * makes a new space of that name, so that nothing of the old one is ever taken for a part of it.
 */
import { sql } from 'kysely'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    space_end: { space: string; community: string; ended_at_ms: number; told: boolean }
  }
}

/**
 * Marks a space as deleted, and notes that it has to be told of and cleared away. Its entries among the spaces of its community
 * go, and so does every offer of it, and every way of joining it. What other communities wrote on their rosters is theirs, and
 * gives nothing.
 */
export async function endSpace(
  tx: Tx,
  _permit: Permit<'space.delete'>,
  space: SpaceName,
  nowMs: number,
): Promise<void> {
  const { uri, authority } = space
  const ended = { state: 'deleted', joining: 'closed', joining_role: null } as const
  await tx.updateTable('space').set(ended).where('uri', '=', uri).execute()
  await tx
    .insertInto('space_end')
    .values({ space: uri, community: authority, ended_at_ms: nowMs, told: false })
    .execute()
  await tx
    .deleteFrom('space_edge')
    .where('community', '=', authority)
    .where((edge) => edge.or([edge('into_space', '=', uri), edge('from_space', '=', uri)]))
    .execute()
  for (const table of ['offer', 'invite', 'join_request'] as const) {
    await tx.deleteFrom(table).where('space', '=', uri).execute()
  }
}

/** Notes the end of every space of a community that lives. */
export async function noteAllSpaceEnds(tx: Tx, community: Did, nowMs: number): Promise<void> {
  await sql`insert into space_end (space, community, ended_at_ms, told)
    select uri, community, ${nowMs}::bigint, false from space where community = ${community} and state = 'live'`.execute(
    tx,
  )
}

/** A space that ended and is not cleared away yet. */
export interface SpaceEnd {
  readonly space: SpaceUri
  readonly community: Did
  readonly endedAtMs: number
}

/** Some of the ends that are told, or not told yet, in the order of their names, after `after`. */
export async function listSpaceEnds(db: Db, told: boolean, after: string, limit: number): Promise<readonly SpaceUri[]> {
  const rows = await db
    .selectFrom('space_end')
    .select('space')
    .where('told', '=', told)
    .where('space', '>', after)
    .orderBy('space')
    .limit(limit)
    .execute()
  return rows.map(({ space }) => space as SpaceUri)
}

/** The note of one end, held until the transaction ends. Null: it is at another stage by now, or another process is at it. */
export async function holdSpaceEnd(tx: Tx, space: SpaceUri, told: boolean): Promise<SpaceEnd | null> {
  const row = await tx
    .selectFrom('space_end')
    .select(['community', 'ended_at_ms'])
    .where('space', '=', space)
    .where('told', '=', told)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst()
  return row ? { space, community: row.community as Did, endedAtMs: row.ended_at_ms } : null
}

/** Notes that everybody who asked is put down to be told of an end that is held, and that nothing of what was written is left. */
export async function markSpaceEndTold(tx: Tx, { space }: SpaceEnd): Promise<void> {
  await tx.updateTable('space_end').set({ told: true }).where('space', '=', space).execute()
}

/** Forgets an end that is held: from now on the name is free. */
export async function forgetSpaceEnd(tx: Tx, { space }: SpaceEnd): Promise<void> {
  await tx.deleteFrom('space_end').where('space', '=', space).execute()
}

/** Whether what was in a space of that name is still to be cleared away. */
export async function isBeingCleared(db: Db | Tx, space: SpaceUri): Promise<boolean> {
  const row = await db.selectFrom('space_end').select('space').where('space', '=', space).executeTakeFirst()
  return row !== undefined
}
