/** The table of handles that this service answers for, and what it means for a community to lose or to have one. */
import type { Did, Handle } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'

declare module '../platform/database.ts' {
  interface Tables {
    served_handle: { handle: string; community: string }
  }
}

/** Takes a served handle for a community, which may have it already. False: another community has it, or is on its way to it. */
export async function takeServedHandle(tx: Tx, handle: Handle, community: Did): Promise<boolean> {
  const row = await tx
    .insertInto('served_handle')
    .values({ handle, community })
    // The row that stands there is held, so that whoever has it can't be giving it up in this moment.
    .onConflict((conflict) => conflict.column('handle').doUpdateSet((old) => ({ handle: old.ref('excluded.handle') })))
    .returning('community')
    .executeTakeFirstOrThrow()
  return row.community === community
}

/** Gives back what a community has of served handles, but the one it keeps. */
export async function freeServedHandles(tx: Tx, community: Did, kept: Handle | null): Promise<void> {
  const given = tx.deleteFrom('served_handle').where('community', '=', community)
  await (kept === null ? given : given.where('handle', '<>', kept)).execute()
}

/** The community that has a served handle, or is on its way to it. */
export async function loadHolderOfHandle(db: Db | Tx, handle: Handle): Promise<Did | null> {
  const row = await db.selectFrom('served_handle').select('community').where('handle', '=', handle).executeTakeFirst()
  return row ? (row.community as Did) : null
}

/** The DID behind a handle that this service answers for: from the moment on at which its operation may be in force. */
export async function loadDidOfHandle(db: Db, handle: Handle): Promise<Did | null> {
  const row = await db
    .selectFrom('served_handle')
    .innerJoin('community', 'community.did', 'served_handle.community')
    .select('did')
    .where('served_handle.handle', '=', handle)
    .where('step', 'in', ['submitted', 'confirmed', 'opened'])
    .executeTakeFirst()
  return row ? (row.did as Did) : null
}
