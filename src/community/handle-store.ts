/** The table of handles that this service answers for, and what it means for a community to lose or to have one. */
import { sql } from 'kysely'
import type { Did, Handle } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'

declare module '../platform/database.ts' {
  interface Tables {
    served_handle: { handle: string; community: string; held_until_ms: number | null }
  }
}

/**
 * How long a handle that was given up stays with the community that had it: links and mentions still lead there, and its people need
 * time to notice that somebody gave it up.
 */
const HELD_FOR_MS = 30 * 24 * 60 * 60 * 1000

/**
 * Takes a served handle for a community, which may have it already, or have had it last. False: another community has it, is on its
 * way to it, or gave it up a short time ago.
 */
export async function takeServedHandle(tx: Tx, handle: Handle, community: Did, nowMs: number): Promise<boolean> {
  const isTheirs = sql<boolean>`(served_handle.community = ${community} or served_handle.held_until_ms <= ${nowMs})`
  const row = await tx
    .insertInto('served_handle')
    .values({ handle, community, held_until_ms: null })
    // The row that stands there is locked also when it stays as it is: whoever has it can't be giving it up in this moment.
    .onConflict((conflict) =>
      conflict.column('handle').doUpdateSet({
        community: sql`case when ${isTheirs} then ${community} else served_handle.community end`,
        held_until_ms: sql`case when ${isTheirs} then null else served_handle.held_until_ms end`,
      }),
    )
    .returning('community')
    .executeTakeFirstOrThrow()
  return row.community === community
}

/** Gives up what a community has of served handles, but the one it keeps. They are held for it a while, and answered for no more. */
export async function giveUpServedHandles(tx: Tx, community: Did, kept: Handle | null, nowMs: number): Promise<void> {
  const given = tx
    .updateTable('served_handle')
    .set({ held_until_ms: nowMs + HELD_FOR_MS })
    .where('community', '=', community)
    // What was given up before is not held for longer because of what is given up now.
    .where('held_until_ms', 'is', null)
  await (kept === null ? given : given.where('handle', '<>', kept)).execute()
}

/** Gives back the handle of a founding that came to nothing, for anybody to take: nobody ever knew a community by it. */
export async function freeServedHandles(tx: Tx, founded: Did): Promise<void> {
  await tx.deleteFrom('served_handle').where('community', '=', founded).execute()
}

/** The community that has a served handle, is on its way to it, or had it last and has it held. */
export async function loadHolderOfHandle(db: Db | Tx, handle: Handle, nowMs: number): Promise<Did | null> {
  const row = await db
    .selectFrom('served_handle')
    .select('community')
    .where('handle', '=', handle)
    .where((where) => where.or([where('held_until_ms', 'is', null), where('held_until_ms', '>', nowMs)]))
    .executeTakeFirst()
  return row ? (row.community as Did) : null
}

/** The DID behind a handle that this service answers for: from the moment on at which its operation may be in force. */
export async function loadDidOfHandle(db: Db, handle: Handle): Promise<Did | null> {
  const row = await db
    .selectFrom('served_handle')
    .innerJoin('community', 'community.did', 'served_handle.community')
    .select('did')
    .where('served_handle.handle', '=', handle)
    .where('held_until_ms', 'is', null)
    .where('step', 'in', ['submitted', 'confirmed', 'opened'])
    .executeTakeFirst()
  return row ? (row.did as Did) : null
}
