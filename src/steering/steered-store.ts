/** The table of spaces that are kept at their PDS: how each is kept, what it is known to be set to there, and what keeps it from being right. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import type { Generation, SteeringMode } from './tables.ts'

export type SteeredState = 'making' | 'kept' | 'missing' | 'ending'

/** A space that is kept at its PDS. */
export interface Steered {
  readonly space: SpaceUri
  readonly community: Did
  readonly mode: SteeringMode
  readonly state: SteeredState
  readonly speaks: Generation | null
  readonly begunBy: Did
  readonly begunAtMs: number
  readonly fault: string | null
  readonly faultSinceMs: number | null
  readonly failures: number
  readonly planNo: number
  readonly plannedAtMs: number | null
  readonly planAfterMs: number
  readonly planDueMs: number | null
  /** As `keptText` writes it; null: it isn't known. */
  readonly there: string | null
  readonly settingsDue: boolean
  readonly reconciledAtMs: number | null
  readonly reconcileDueMs: number
  /** Whether the space that was put here is no more: it was deleted, or is another one of its name by now. */
  readonly isEnded: boolean
  /** Whether another one of its name lives by now. */
  readonly isBoundAnew: boolean
  /** Whether the account doesn't consent any more to be decided about here. */
  readonly isReleased: boolean
}

const COLUMNS = sql`steered_space.space, steered_space.community, mode, steered_space.state, speaks,
  begun_by as "begunBy", begun_at_ms as "begunAtMs", fault, fault_since_ms as "faultSinceMs", failures,
  plan_no as "planNo", planned_at_ms as "plannedAtMs", plan_after_ms as "planAfterMs", plan_due_ms as "planDueMs",
  there, settings_due as "settingsDue", reconciled_at_ms as "reconciledAtMs", reconcile_due_ms as "reconcileDueMs",
  (space.state <> 'live' or space.bound_at_ms is distinct from steered_space.bound_at_ms) as "isEnded",
  (space.state = 'live' and space.bound_at_ms is distinct from steered_space.bound_at_ms) as "isBoundAnew",
  (community_revision.released_at_ms is not null) as "isReleased"`
const FROM = sql`steered_space join space on space.uri = steered_space.space
  join community_revision on community_revision.community = steered_space.community`

/** Whether the account that a community is has a grant given that works. Null: it never gave one. */
export async function loadConnectionState(db: Db | Tx, community: Did): Promise<'connected' | 'lost' | null> {
  const row = await db
    .selectFrom('pds_connection')
    .select('state')
    .where('community', '=', community)
    .executeTakeFirst()
  return row?.state ?? null
}

/** How a space is kept; null: it isn't. */
export async function loadSteered(db: Db | Tx, space: SpaceUri): Promise<Steered | null> {
  const { rows } = await sql<Steered>`select ${COLUMNS} from ${FROM} where steered_space.space = ${space}`.execute(db)
  return rows[0] ?? null
}

/** Those of a community in the order of their URIs, after `after`. */
export async function listSteeredOf(
  db: Db | Tx,
  community: Did,
  after: string,
  limit: number,
): Promise<readonly Steered[]> {
  const { rows } = await sql<Steered>`select ${COLUMNS} from ${FROM}
    where steered_space.community = ${community} and steered_space.space > ${after}
    order by steered_space.space limit ${limit}`.execute(db)
  return rows
}

/** Those of a community in which something has to be seen to, in the order of their URIs. */
export async function listTroubled(db: Db, community: Did, limit: number): Promise<readonly Steered[]> {
  const { rows } = await sql<Steered>`select ${COLUMNS} from ${FROM}
    where steered_space.community = ${community} and (fault is not null or exists (select from steered_member
      where steered_member.space = steered_space.space and (is_held or refused is not null)))
    order by steered_space.space limit ${limit}`.execute(db)
  return rows
}

export async function countSteered(tx: Tx, community: Did): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from steered_space
    where community = ${community}`.execute(tx)
  return Number(rows[0]?.count ?? 0)
}

/** Begins to keep a space, or keeps it in another mode; one that is missing is made anew. */
export async function saveSteered(
  tx: Tx,
  permit: Permit<'community.transfer'>,
  {
    space,
    community,
    mode,
    nowMs,
    reconcileDueMs,
  }: {
    readonly space: SpaceUri
    readonly community: Did
    readonly mode: SteeringMode
    readonly nowMs: number
    readonly reconcileDueMs: number
  },
): Promise<void> {
  await sql`insert into steered_space (space, community, bound_at_ms, mode, state, begun_by, begun_at_ms, reconcile_due_ms)
    select uri, community, bound_at_ms, ${mode}, 'making', ${permit.actor}, ${nowMs}::bigint, ${reconcileDueMs}::bigint
    from space where uri = ${space} and community = ${community}
    on conflict (space) do update set mode = excluded.mode, settings_due = true, again_at_ms = 0, failures = 0,
      fault = null, fault_since_ms = null,
      state = case when steered_space.state = 'missing' then 'making' else steered_space.state end,
      there = case when steered_space.state = 'missing' then null else steered_space.there end,
      reconciled_at_ms = case when steered_space.mode = excluded.mode and steered_space.state <> 'missing'
        then steered_space.reconciled_at_ms end`.execute(tx)
}

/** Keeps a space no longer, and forgets all that was known of it at its PDS. */
export async function deleteSteered(tx: Tx, _permit: Permit<'community.transfer'>, space: SpaceUri): Promise<void> {
  await tx.deleteFrom('steered_space').where('space', '=', space).execute()
}

/** Has a space looked after at once: its settings are read again, and what was put off isn't any more. */
export async function wakeSteered(tx: Tx, _permit: Permit<'community.transfer'>, space: SpaceUri): Promise<void> {
  await tx
    .updateTable('steered_space')
    .set({ there: null, settings_due: true, again_at_ms: 0, failures: 0 })
    .where('space', '=', space)
    .execute()
}

/** Has all spaces of a community looked after at once: there is a grant again, or one that covers more. */
export async function wakeAllSteered(tx: Tx, _permit: Permit<'community.transfer'>, community: Did): Promise<void> {
  await tx
    .updateTable('steered_space')
    .set({ again_at_ms: 0, failures: 0 })
    .where('community', '=', community)
    .execute()
}

/** Forgets whom a list was to have and has: the PDS asks us, and has no use for it. */
export async function forgetList(db: Db | Tx, space: SpaceUri): Promise<void> {
  await db.deleteFrom('steered_member').where('space', '=', space).execute()
  await db.deleteFrom('steered_basis').where('space', '=', space).execute()
}

/** Holds a steered space's row until the transaction ends: two who ask for a look at once come one after the other. */
export async function holdSteered(tx: Tx, space: SpaceUri): Promise<void> {
  await tx.selectFrom('steered_space').select('space').where('space', '=', space).forUpdate().executeTakeFirst()
}
