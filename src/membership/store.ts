/**
 * The tables of the roll: the two numbers of a community, the skeleton of its spaces, and the edges.
 *
 * Every function that changes governance demands a `Permit`; what it changes has been decided in the same transaction.
 */
import { type Generated, sql } from 'kysely'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { OWNER, parseAction } from '../policy/roles.ts'
import type { Edge } from '../policy/roster-graph.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    community_revision: {
      community: string
      revision: number
      graph_revision: number
      frozen_at_ms: number | null
      roll_ended: Generated<boolean>
      is_silent: Generated<boolean>
      is_account: Generated<boolean>
      released_at_ms: number | null
    }
    space: {
      uri: string
      community: string
      space_type: string
      skey: string
      state: 'live' | 'deleted'
      created_by: string
      created_at_ms: number
      frozen_at_ms: number | null
      joining: Generated<'closed' | 'byRequest' | 'open'>
      joining_role: string | null
      bound_at_ms: number | null
    }
    person_edge: {
      into_space: string
      did: string
      community: string
      role: string
      since_ms: number | null
      until_ms: number | null
      added_by: string
      added_at_ms: number
    }
    space_edge: {
      into_space: string
      from_space: string
      role: string
      community: string
      holding: string | null
      since_ms: number | null
      until_ms: number | null
      is_system: boolean
      added_by: string
      added_at_ms: number
    }
  }
}

export interface Revisions {
  readonly revision: number
  readonly graphRevision: number
}

/** The numbers of a community, held until the transaction ends: whoever decides on its facts meanwhile waits. Null: unknown. */
export async function lockRevisions(tx: Tx, community: Did): Promise<Revisions | null> {
  const row = await tx
    .selectFrom('community_revision')
    .select(['revision', 'graph_revision'])
    .where('community', '=', community)
    // Not of its key: other communities' rows may refer to it meanwhile, an offer to it among them.
    .forNoKeyUpdate()
    .executeTakeFirst()
  return row ? { revision: row.revision, graphRevision: row.graph_revision } : null
}

/** The numbers of a community, as they are in this snapshot. Null: unknown. */
export async function loadRevisions(tx: Tx, community: Did): Promise<Revisions | null> {
  const row = await tx
    .selectFrom('community_revision')
    .select(['revision', 'graph_revision'])
    .where('community', '=', community)
    .executeTakeFirst()
  return row ? { revision: row.revision, graphRevision: row.graph_revision } : null
}

/** Raises the numbers of a community whose row is locked, and answers the new revision. */
export async function raiseRevisions(tx: Tx, community: Did, what: { graph: boolean }): Promise<number> {
  const row = await tx
    .updateTable('community_revision')
    .set((column) => ({
      revision: column('revision', '+', 1),
      graph_revision: what.graph ? column('graph_revision', '+', 1) : column('graph_revision', '+', 0),
    }))
    .where('community', '=', community)
    .returning('revision')
    .executeTakeFirstOrThrow()
  return row.revision
}

/** Whether a community was opened here. */
export async function hasCommunity(db: Db | Tx, community: Did): Promise<boolean> {
  const row = await db
    .selectFrom('community_revision')
    .select('community')
    .where('community', '=', community)
    .executeTakeFirst()
  return row !== undefined
}

/** Makes the numbers of a new community. */
export async function startRevisions(tx: Tx, community: Did, kind: 'here' | 'account' = 'here'): Promise<void> {
  const numbers = { revision: 0, graph_revision: 0 }
  await tx
    .insertInto('community_revision')
    .values({ community, ...numbers, is_account: kind === 'account' })
    .execute()
}

/** How many owners a community has now besides one person. */
export async function countOtherOwners(tx: Tx, roster: SpaceUri, besides: Did, nowMs: number): Promise<number> {
  const row = await ownersOf(tx, roster, nowMs)
    .where('did', '<>', besides)
    .select((where) => where.fn.countAll<number>().as('owners'))
    .executeTakeFirstOrThrow()
  return Number(row.owners)
}

/** Who owns a community now. */
export async function listOwners(tx: Tx, roster: SpaceUri, nowMs: number): Promise<readonly Did[]> {
  const rows = await ownersOf(tx, roster, nowMs).select('did').execute()
  return rows.map(({ did }) => did as Did)
}

/** Directly on the roster, without a term, and not banned: an entry with a term would leave the community without an owner. */
const ownersOf = (tx: Tx, roster: SpaceUri, nowMs: number) =>
  tx
    .selectFrom('person_edge')
    .where('into_space', '=', roster)
    .where('role', '=', OWNER)
    .where('since_ms', 'is', null)
    .where('until_ms', 'is', null)
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('ban')
            .select('ban.did')
            .whereRef('ban.did', '=', 'person_edge.did')
            .whereRef('ban.scope', '=', 'person_edge.community')
            .where((ban) => ban.or([ban('until_ms', 'is', null), ban('until_ms', '>', nowMs)])),
        ),
      ),
    )

/** The state of a space, or null when there never was one. */
export async function loadSpaceState(db: Db | Tx, space: SpaceUri): Promise<'live' | 'deleted' | null> {
  const row = await db.selectFrom('space').select('state').where('uri', '=', space).executeTakeFirst()
  return row?.state ?? null
}

/**
 * Makes the skeleton of a space and the edge by which the community's owners stand in it, in place of one of that name that ended
 * and is cleared away. `isBound`: its records are at the account's PDS. False: the name is taken, or what was there is still being
 * cleared away.
 */
export async function insertSpace(
  tx: Tx,
  permit: Permit<'space.create'>,
  space: SpaceName,
  ownersCome: Edge | null,
  nowMs: number,
  isBound = false,
): Promise<boolean> {
  const own = { state: 'live', created_by: permit.actor, created_at_ms: nowMs, frozen_at_ms: null } as const
  const anew = { ...own, joining: 'closed', joining_role: null, bound_at_ms: isBound ? nowMs : null } as const
  const made = await tx
    .insertInto('space')
    .values({
      uri: space.uri,
      community: space.authority,
      space_type: space.spaceType,
      skey: space.skey,
      ...anew,
    })
    .onConflict((conflict) =>
      conflict
        .column('uri')
        .doUpdateSet(anew)
        .where('space.state', '=', 'deleted')
        .where((where) => where.not(where.exists(where.selectFrom('space_end').where('space', '=', space.uri)))),
    )
    .returning('uri')
    .executeTakeFirst()
  if (!made) return false
  if (ownersCome)
    await writeSpaceEdge(tx, ownersCome, { community: space.authority, by: permit.actor, nowMs, isSystem: true })
  return true
}

async function writeSpaceEdge(
  tx: Tx,
  edge: Edge,
  { community, by, nowMs, isSystem }: { community: Did; by: Did; nowMs: number; isSystem: boolean },
): Promise<void> {
  const entry = {
    holding: edge.holding,
    since_ms: edge.sinceMs,
    until_ms: edge.untilMs,
    added_by: by,
    added_at_ms: nowMs,
  }
  await tx
    .insertInto('space_edge')
    .values({ into_space: edge.into, from_space: edge.from, role: edge.role, community, is_system: isSystem, ...entry })
    .onConflict((conflict) => conflict.columns(['into_space', 'from_space', 'role']).doUpdateSet(entry))
    .execute()
}

/** Puts a space on another one's roster, in place of the entry with the same role that it may have there. */
export const saveSpaceEdge = (
  tx: Tx,
  permit: Permit<'space.nest'>,
  community: Did,
  edge: Edge,
  nowMs: number,
): Promise<void> => writeSpaceEdge(tx, edge, { community, by: permit.actor, nowMs, isSystem: false })

/** Takes entries of a space off another one's roster: the one with `role`. The edges of the system stay, whatever is asked. */
export async function deleteSpaceEdge(tx: Tx, _permit: Permit<'space.nest'>, edge: Edge): Promise<void> {
  await tx
    .deleteFrom('space_edge')
    .where('into_space', '=', edge.into)
    .where('from_space', '=', edge.from)
    .where('role', '=', edge.role)
    .where('is_system', '=', false)
    .execute()
}

/** Has a space rest, or wakes it. False: it was so already. */
export async function freezeSpace(
  tx: Tx,
  _permit: Permit<'space.configure'>,
  space: SpaceUri,
  frozenAtMs: number | null,
): Promise<boolean> {
  const result = await tx
    .updateTable('space')
    .set({ frozen_at_ms: frozenAtMs })
    .where('uri', '=', space)
    .where('frozen_at_ms', frozenAtMs === null ? 'is not' : 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/** Has a whole community rest, or wakes it. False: it was so already. */
export async function freezeCommunity(
  tx: Tx,
  _permit: Permit<'community.configure'>,
  community: Did,
  frozenAtMs: number | null,
): Promise<boolean> {
  const result = await tx
    .updateTable('community_revision')
    .set({ frozen_at_ms: frozenAtMs })
    .where('community', '=', community)
    .where('frozen_at_ms', frozenAtMs === null ? 'is not' : 'is', null)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/**
 * How many entries with one of these roles a person made that stand still. Roles that carry no power are not asked for, and there
 * is no index of them.
 */
export async function countEntriesMadeBy(
  tx: Tx,
  community: Did,
  maker: Did,
  roles: readonly string[],
): Promise<number> {
  const { rows } = await sql<{ count: number }>`select
      (select count(*) from person_edge where community = ${community} and added_by = ${maker}
        and role not in ('member', 'writer', 'reader') and role = any(${roles}::text[]))
      + (select count(*) from space_edge where community = ${community} and added_by = ${maker}
        and not is_system and role = any(${roles}::text[])) as count`.execute(tx)
  return rows[0]?.count ?? 0
}

/** How many rows of a community there are of one kind, as far as `most` + 1: enough to tell whether a limit is reached. */
export async function countUpTo(
  tx: Tx,
  what: 'space' | 'space_edge' | 'offer',
  community: Did,
  most: number,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from
    (select from ${sql.table(what)} where community = ${community} limit ${most + 1}) counted`.execute(tx)
  return rows[0]?.count ?? 0
}

/** Puts a person's entry on a roster, in place of the one they may have there. */
export async function savePersonEdge(
  tx: Tx,
  permit: Permit<'members.add'> | Permit<'space.create'> | Permit<'community.transfer'>,
  community: Did,
  edge: Edge,
  nowMs: number,
): Promise<void> {
  const entry = {
    role: edge.role,
    since_ms: edge.sinceMs,
    until_ms: edge.untilMs,
    added_by: permit.actor,
    added_at_ms: nowMs,
  }
  await tx
    .insertInto('person_edge')
    .values({ into_space: edge.into, did: edge.from, community, ...entry })
    .onConflict((conflict) => conflict.columns(['into_space', 'did']).doUpdateSet(entry))
    .execute()
}

/** The same for many people at once, each of whom may be put there. */
export async function savePersonEdges(
  tx: Tx,
  puts: readonly { readonly permit: Permit<'members.add'>; readonly after: Edge }[],
  community: Did,
  nowMs: number,
): Promise<void> {
  const of = <T>(value: (put: (typeof puts)[number]) => T) => puts.map(value)
  await sql`insert into person_edge (into_space, did, community, role, since_ms, until_ms, added_by, added_at_ms)
    select into_space, did, ${community}, role, since_ms, until_ms, added_by, ${nowMs}::bigint
    from unnest(${of(({ after }) => after.into)}::text[], ${of(({ after }) => after.from)}::text[],
      ${of(({ after }) => after.role)}::text[], ${of(({ after }) => after.sinceMs)}::bigint[],
      ${of(({ after }) => after.untilMs)}::bigint[], ${of(({ permit }) => permit.actor)}::text[])
      as put (into_space, did, role, since_ms, until_ms, added_by)
    on conflict (into_space, did) do update set role = excluded.role, since_ms = excluded.since_ms,
      until_ms = excluded.until_ms, added_by = excluded.added_by, added_at_ms = excluded.added_at_ms`.execute(tx)
}

/** Takes a person off a roster. */
export async function deletePersonEdge(
  tx: Tx,
  _permit: Permit<'members.remove'> | Permit<'community.transfer'>,
  space: SpaceUri,
  did: Did,
): Promise<void> {
  await tx.deleteFrom('person_edge').where('into_space', '=', space).where('did', '=', did).execute()
}

/** One entry of a roster: a person, or a space by which others come in. */
export interface RosterEntry extends Omit<Edge, 'into'> {
  readonly addedBy: Did
  readonly addedAtMs: number
}

/**
 * What is directly on a roster, in the order of names, spaces (`at:`) before people (`did:`); a space with several roles there,
 * in the order of roles. After the entry of that name and role. Without the entry by which owners stand in every space.
 */
export async function listRoster(
  db: Db | Tx,
  space: SpaceUri,
  after: { readonly from: string; readonly role: string },
  limit: number,
): Promise<readonly RosterEntry[]> {
  const { rows } = await sql<{
    name: string
    role: string
    holding: string | null
    since_ms: number | null
    until_ms: number | null
    added_by: string
    added_at_ms: number
  }>`select * from (
      (select from_space as name, role, holding, since_ms, until_ms, added_by, added_at_ms from space_edge
        where into_space = ${space} and not is_system and (from_space, role) > (${after.from}, ${after.role})
        order by from_space, role limit ${limit})
      union all
      (select did, role, null, since_ms, until_ms, added_by, added_at_ms from person_edge
        where into_space = ${space} and did > ${after.from} order by did limit ${limit})
    ) entry order by name collate "C", role collate "C" limit ${limit}`.execute(db)
  return rows.map((row) => ({
    from: row.name as Did | SpaceUri,
    role: row.role,
    holding: row.holding === null ? null : parseAction(row.holding),
    sinceMs: row.since_ms,
    untilMs: row.until_ms,
    addedBy: row.added_by as Did,
    addedAtMs: row.added_at_ms,
  }))
}
