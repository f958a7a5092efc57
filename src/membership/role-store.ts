/** The table of roles that a community named itself or understands otherwise than shipped, and where roles are used. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { RolesHeld } from '../policy/decide-roles.ts'
import { ACTIONS, type Action, parseAction } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    role: {
      community: string
      name: string
      actions: string[]
      description: string | null
      put_by: string
      put_at_ms: number
    }
  }
}

export interface OwnRole {
  readonly name: string
  /** Those that this version knows, in the order in which a table of powers is read. */
  readonly actions: readonly Action[]
  readonly description: string | null
  readonly putBy: Did
  readonly putAtMs: number
}

/** A community's own roles, in the order of their names. */
export async function listOwnRoles(db: Db | Tx, community: Did): Promise<readonly OwnRole[]> {
  const rows = await db
    .selectFrom('role')
    .select(['name', 'actions', 'description', 'put_by', 'put_at_ms'])
    .where('community', '=', community)
    .orderBy('name')
    .execute()
  return rows.map((row) => {
    const known = new Set(row.actions.map(parseAction))
    return {
      name: row.name,
      actions: ACTIONS.filter((action) => known.has(action)),
      description: row.description,
      putBy: row.put_by as Did,
      putAtMs: row.put_at_ms,
    }
  })
}

/** Writes a role, in place of the one of that name. */
export async function saveRole(
  tx: Tx,
  permit: Permit<'role.configure'>,
  community: Did,
  role: { name: string; actions: readonly Action[]; description: string | null; nowMs: number },
): Promise<void> {
  const { name, actions, description, nowMs } = role
  const entry = { actions: [...actions], description, put_by: permit.actor, put_at_ms: nowMs }
  await tx
    .insertInto('role')
    .values({ community, name, ...entry })
    .onConflict((conflict) => conflict.columns(['community', 'name']).doUpdateSet(entry))
    .execute()
}

/** Takes a community's own role away; of a shipped name the shipped one is left. */
export async function deleteRole(
  tx: Tx,
  _permit: Permit<'role.configure'>,
  community: Did,
  name: string,
): Promise<void> {
  await tx.deleteFrom('role').where('community', '=', community).where('name', '=', name).execute()
}

/**
 * Which roles people have on each roster of a community, by entries that count, will count or have counted. Not in spaces that
 * have ended: nobody holds anything there, so nobody could ever change such a role again.
 */
export async function loadRolesHeld(tx: Tx, community: Did): Promise<RolesHeld> {
  const { rows } = await sql<{
    space: string
    roles: string[]
  }>`select into_space as space, array_agg(distinct role) as roles
    from person_edge where community = ${community}
      and into_space in (select uri from space where space.community = ${community} and state = 'live')
    group by into_space`.execute(tx)
  return new Map(rows.map(({ space, roles }) => [space as SpaceUri, new Set(roles)]))
}

/** Whether a role is promised to people who aren't there yet: by an invite that holds, or by a space that anybody may join. */
export async function isRolePromised(tx: Tx, community: Did, name: string, nowMs: number): Promise<boolean> {
  const { rows } = await sql<{ promised: boolean }>`select
      exists(select from invite where community = ${community} and role = ${name}
        and expires_at_ms > ${nowMs} and uses_left > 0 and revoked_at_ms is null)
      or exists(select from space where community = ${community} and joining_role = ${name} and state = 'live') as promised`.execute(
    tx,
  )
  return rows[0]?.promised ?? false
}
