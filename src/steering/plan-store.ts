/** The plan of a space's list, as it is written: whom the PDS should have, by the roster, and on which revisions that rests. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { isOurs, type Lease } from './keeping-store.ts'
import type { Flags } from './tables.ts'

/** A revision that a plan rests on. */
export interface Rests {
  readonly community: Did
  readonly revision: number
}

export interface BasisRow extends Rests {
  /** Up to which revision those whom changes name were looked at one by one. */
  readonly looked: number
  /** Where the community is now. */
  readonly now: number
}

/** What the plan of a space rests on, and how far that has moved since. None: there is no plan. */
export async function loadBasis(db: Db, space: SpaceUri): Promise<readonly BasisRow[]> {
  const { rows } = await sql<BasisRow>`select basis.community, basis.revision, basis.looked, moved.revision as now
    from steered_basis basis join community_revision moved on moved.community = basis.community
    where basis.space = ${space}`.execute(db)
  return rows
}

/** Whether anybody is banned now from some scopes, and when that may be otherwise without a change; null: never. */
export async function loadBanned(
  db: Db,
  scopes: readonly string[],
  nowMs: number,
): Promise<{ readonly hasBan: boolean; readonly untilMs: number | null }> {
  const { rows } = await sql<{ bans: number; lasting: number; until: number | null }>`select count(*) as bans,
      count(*) filter (where until_ms is null) as lasting, max(until_ms) as until
    from ban where scope = any(${scopes}::text[]) and (until_ms is null or until_ms > ${nowMs})`.execute(db)
  const { bans = 0, lasting = 0, until = null } = rows[0] ?? {}
  return { hasBan: Number(bans) > 0, untilMs: Number(lasting) > 0 ? null : until }
}

/** Begins a plan, and answers its number; null: the turn isn't ours any more. */
export async function beginPlan(db: Db, lease: Lease, space: SpaceUri): Promise<number | null> {
  const { rows } = await sql<{ no: number }>`update steered_space set plan_no = plan_no + 1
    where space = ${space} and ${isOurs(lease)} returning plan_no as no`.execute(db)
  return rows[0]?.no ?? null
}

/** Somebody who was looked at, and what they may do. */
export interface Looked {
  readonly did: Did
  readonly wants: Flags
}

/**
 * Writes down those who may do something. Of whom the PDS has nobody knows better by it: somebody new isn't on the list as far as it was
 * read. Rows that say so already stay untouched, so that a plan by which nothing changes writes nothing.
 */
export async function saveWanted(db: Db | Tx, lease: Lease, space: SpaceUri, wanted: readonly Looked[]): Promise<void> {
  if (wanted.length === 0) return
  await sql`insert into steered_member (space, did, wants, has)
    select ${space}, one.did, one.wants, case when steered_space.reconciled_at_ms is null then null else 0 end
    from unnest(${wanted.map(({ did }) => did)}::text[], ${wanted.map(({ wants }) => wants)}::smallint[]) as one (did, wants)
      join steered_space on steered_space.space = ${space}
    where ${isOurs(lease)}
    on conflict (space, did) do update set wants = excluded.wants, is_held = false, plan = 0,
      refused = case when steered_member.wants = excluded.wants then steered_member.refused end
      where steered_member.wants <> excluded.wants or steered_member.is_held`.execute(db)
}

/** Marks those whom a plan went past without meeting them. Nobody is taken off by it yet. */
export async function markUnmet(
  db: Db,
  lease: Lease,
  space: SpaceUri,
  {
    no,
    after,
    upTo,
    met,
  }: {
    readonly no: number
    readonly after: string
    /** Null: the end of the roster. */
    readonly upTo: Did | null
    readonly met: readonly Did[]
  },
): Promise<void> {
  await sql`update steered_member set plan = ${no} where space = ${space} and wants > 0 and did > ${after}
    and (${upTo}::text is null or did <= ${upTo}) and did <> all(array(select unnest(${met}::text[]))) and ${isOurs(lease)}`.execute(
    db,
  )
}

/** How many would be left on the list by a plan that has gone all the way. */
export async function countMet(db: Db, space: SpaceUri, no: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from steered_member
    where space = ${space} and wants > 0 and plan <> ${no}`.execute(db)
  return Number(rows[0]?.count ?? 0)
}

/** Takes those off whom the plan didn't meet. How many. */
export async function takeOffUnmet(tx: Tx, lease: Lease, space: SpaceUri, no: number): Promise<number> {
  const { numAffectedRows } = await sql`update steered_member set wants = 0, refused = null
    where space = ${space} and wants > 0 and plan = ${no} and ${isOurs(lease)}`.execute(tx)
  return Number(numAffectedRows ?? 0)
}

/** Takes some off who were looked at by name. */
export async function takeOff(db: Db, lease: Lease, space: SpaceUri, dids: readonly Did[]): Promise<void> {
  if (dids.length === 0) return
  await sql`update steered_member set wants = 0, refused = null where space = ${space} and wants > 0
    and did = any(${dids}::text[]) and ${isOurs(lease)}`.execute(db)
}

/** Notes a plan that has gone all the way: what it rests on, when to go through the roster again at the latest, and not before when. */
export async function savePlanned(
  tx: Tx,
  lease: Lease,
  space: SpaceUri,
  plan: {
    readonly basis: readonly Rests[]
    readonly nowMs: number
    readonly afterMs: number
    readonly dueMs: number | null
  },
): Promise<void> {
  const { numAffectedRows } =
    await sql`update steered_space set planned_at_ms = ${plan.nowMs}, plan_after_ms = ${plan.afterMs},
    plan_due_ms = ${plan.dueMs}::bigint where space = ${space} and ${isOurs(lease)}`.execute(tx)
  if (numAffectedRows !== 1n) return
  await tx.deleteFrom('steered_basis').where('space', '=', space).execute()
  const rows = plan.basis.map(({ community, revision }) => ({ space, community, revision, looked: revision }))
  await tx.insertInto('steered_basis').values(rows).execute()
}

/** Notes that those whom changes named up to some revisions were looked at, and an instant at which somebody's time begins or ends. */
export async function saveLooked(
  tx: Tx,
  lease: Lease,
  space: SpaceUri,
  { looked, dueMs }: { readonly looked: readonly Rests[]; readonly dueMs: number | null },
): Promise<void> {
  await sql`update steered_basis set looked = greatest(looked, one.revision)
    from unnest(${looked.map(({ community }) => community)}::text[], ${looked.map(({ revision }) => revision)}::bigint[])
      as one (community, revision)
    where steered_basis.space = ${space} and steered_basis.community = one.community and ${isOurs(lease)}`.execute(tx)
  if (dueMs !== null)
    await sql`update steered_space set plan_due_ms = least(plan_due_ms, ${dueMs}::bigint)
      where space = ${space} and ${isOurs(lease)}`.execute(tx)
}

/** Has the roster gone through anew: what was planned was planned for another generation of PDS. */
export async function forgetBasis(db: Db | Tx, lease: Lease, space: SpaceUri): Promise<void> {
  await sql`delete from steered_basis where space = ${space} and ${isOurs(lease)}`.execute(db)
}
