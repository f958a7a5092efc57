/** What the worker writes of a space that it keeps: only while it has the turn of its community, so that two never write for one space. */
import { type RawBuilder, sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed } from '../audit/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { SteeredState } from './steered-store.ts'
import type { Generation } from './tables.ts'

/** The turn of one process to call the PDS of one community's account. */
export interface Lease {
  readonly name: string
  readonly holder: string
}

export const leaseName = (community: Did): string => `steering ${community}`

/** That the turn is still ours, within a statement that writes. */
export const isOurs = ({ name, holder }: Lease): RawBuilder<boolean> =>
  sql<boolean>`exists (select from held_turn where held_turn.name = ${name} and held_turn.holder = ${holder})`

/** Goes on with a turn. False: somebody else has it by now. */
export async function keepLease(db: Db, lease: Lease, untilMs: number): Promise<boolean> {
  const { rows } = await sql`update held_turn set until_ms = ${untilMs}
    where name = ${lease.name} and holder = ${lease.holder} returning name`.execute(db)
  return rows.length > 0
}

/** No turn, no pause and no rest is longer. One that seems to be was put down by a clock that was wrong, and would last for as long as it was. */
export const TURN_LONGEST_MS = 5 * 60 * 1000
const PAUSE_LONGEST_MS = 2 * 60 * 60 * 1000
export const REST_LONGEST_MS = 60 * 60 * 1000
const LOOK_LONGEST_MS = 26 * 60 * 60 * 1000

/** Whether an instant that something waits for has come, or is further off than anything waits. */
export const isOver = (atMs: number, nowMs: number, longestMs: number): boolean =>
  atMs <= nowMs || atMs > nowMs + longestMs
const over = (column: string, nowMs: number, longestMs: number) =>
  sql`(${sql.ref(column)} <= ${nowMs} or ${sql.ref(column)} > ${nowMs + longestMs})`

export const isLookDue = (dueMs: number, nowMs: number): boolean => isOver(dueMs, nowMs, LOOK_LONGEST_MS)

/** A space that has something to be done about it now. */
const isDue = (nowMs: number) => {
  const isEnded = sql`(space.state <> 'live' or space.bound_at_ms is distinct from s.bound_at_ms)`
  const isAsked = sql`exists (select from steered_look look where look.space = s.space and look.state = 'reading')`
  return sql`${over('s.again_at_ms', nowMs, PAUSE_LONGEST_MS)} and (${isEnded} or ${isAsked} or s.state <> 'missing' and (
    s.state in ('making', 'ending') or s.settings_due or s.plan_due_ms <= ${nowMs} or ${over('s.reconcile_due_ms', nowMs, LOOK_LONGEST_MS)}
    or not exists (select from steered_basis basis where basis.space = s.space)
    or exists (select from steered_basis basis join community_revision moved on moved.community = basis.community
      where basis.space = s.space and (moved.revision > basis.looked
        or moved.revision > basis.revision and ${over('s.plan_after_ms', nowMs, REST_LONGEST_MS)}))
    or exists (select from steered_member member where member.space = s.space
      and wants is distinct from has and not is_held and refused is null)))`
}

/** Communities with something to be done, whose turn nobody has: in no order, so that none waits for ever behind others that are always due. */
export async function listDueCommunities(db: Db, nowMs: number, max: number): Promise<readonly Did[]> {
  const { rows } = await sql<{ community: Did }>`select community from (
      select distinct s.community from steered_space s join space on space.uri = s.space
      where ${isDue(nowMs)} and not exists (select from held_turn where held_turn.name = 'steering ' || s.community
        and held_turn.until_ms > ${nowMs} and held_turn.until_ms <= ${nowMs + TURN_LONGEST_MS})
    ) due order by random() limit ${max}`.execute(db)
  return rows.map(({ community }) => community)
}

/** The spaces of one, those first that had their turn, or were put off to, the longest ago. */
export async function listDueSpaces(db: Db, community: Did, nowMs: number, max: number): Promise<readonly SpaceUri[]> {
  const { rows } = await sql<{ space: SpaceUri }>`select s.space from steered_space s join space on space.uri = s.space
    where s.community = ${community} and ${isDue(nowMs)} order by s.again_at_ms, s.space limit ${max}`.execute(db)
  return rows.map(({ space }) => space)
}

/** What became of a space's settings, of its place at the PDS, or of our knowledge of it. */
export interface Kept {
  readonly state?: SteeredState
  readonly speaks?: Generation
  readonly there?: string | null
  readonly settings_due?: boolean
  readonly reconciled_at_ms?: number | null
  readonly reconcile_due_ms?: number
  readonly fault?: null
  readonly fault_since_ms?: null
}

/** Writes it, with what is to be on record of it. Whether the turn was still ours. */
export async function saveKept(
  db: Db | Tx,
  lease: Lease,
  space: SpaceUri,
  kept: Kept,
  fact?: AuditFact,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('steered_space')
    .set(kept)
    .where('space', '=', space)
    .where(isOurs(lease))
    .executeTakeFirst()
  if (numUpdatedRows !== 1n) return false
  if (fact) await appendUnsealed(db, fact)
  return true
}

/** How a look after a space ended: what is wrong, and when to look again. */
export interface Rest {
  readonly fault: string | null
  readonly failures: number
  readonly againAtMs: number
}

/** Writes it; what is wrong, or isn't any more, is on record when that is new. */
export async function saveRest(
  tx: Tx,
  lease: Lease,
  space: SpaceUri,
  { fault, failures, againAtMs }: Rest,
  {
    nowMs,
    factOf,
  }: { readonly nowMs: number; readonly factOf: (fault: string | null, before: string | null) => AuditFact },
): Promise<void> {
  const { rows } = await sql<{
    before: string | null
  }>`update steered_space set fault = ${fault}, failures = ${failures},
      again_at_ms = ${againAtMs}, fault_since_ms = case when ${fault}::text is null then null
        when steered_space.fault = ${fault}::text then steered_space.fault_since_ms else ${nowMs}::bigint end
    from (select space, fault from steered_space where space = ${space} for update) old
    where steered_space.space = old.space and ${isOurs(lease)} returning old.fault as before`.execute(tx)
  const [row] = rows
  if (row && row.before !== fault) await appendUnsealed(tx, factOf(fault, row.before))
}

/** Has all spaces of a community wait: it is their PDS that wants it. */
export async function putOff(db: Db, community: Did, untilMs: number): Promise<void> {
  await sql`update steered_space set again_at_ms = ${untilMs}
    where community = ${community} and again_at_ms < ${untilMs}`.execute(db)
}

/** Forgets a space that came to its end here and there. */
export async function dropSteered(db: Db | Tx, lease: Lease, space: SpaceUri, fact: AuditFact): Promise<void> {
  const { numDeletedRows } = await db
    .deleteFrom('steered_space')
    .where('space', '=', space)
    .where(isOurs(lease))
    .executeTakeFirst()
  if (numDeletedRows === 1n) await appendUnsealed(db, fact)
}
