/** Looks at what a PDS has: how each goes, what was read, and what of it isn't as declared. */
import { sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed } from '../audit/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import { isOurs, type Lease } from './keeping-store.ts'
import type { Listed } from './simplespace.ts'
import type { Flags } from './tables.ts'

export interface Look {
  readonly id: string
  readonly space: SpaceUri
  /** Null: it was time. */
  readonly askedBy: Did | null
  readonly state: 'reading' | 'shown' | 'applied' | 'failed'
  readonly because: string | null
  readonly beganAtMs: number
  readonly endedAtMs: number | null
  readonly read: number
  readonly missing: number
  readonly extra: number
  readonly differing: number
  readonly settings: readonly string[]
}

/** Looks that stay known of each space. */
const LOOKS_KEPT = 10

const COLUMNS = sql`id, space, asked_by as "askedBy", state, because, began_at_ms as "beganAtMs", ended_at_ms as "endedAtMs",
  read, missing, extra, differing, string_to_array(nullif(settings, ''), ' ') as settings`

const lookOf = (row: Look): Look => ({ ...row, settings: row.settings ?? [] })

/** The newest look at a space, or the newest that is under way; null: there is none. */
export async function loadNewestLook(db: Db | Tx, space: SpaceUri, onlyReading = false): Promise<Look | null> {
  const { rows } = await sql<Look>`select ${COLUMNS} from steered_look
    where space = ${space} and (state = 'reading' or not ${onlyReading}) order by began_at_ms desc, id desc limit 1`.execute(
    db,
  )
  return rows[0] ? lookOf(rows[0]) : null
}

/** One look at a space; null: there is none of that name. */
export async function loadLook(db: Db | Tx, space: SpaceUri, id: string): Promise<Look | null> {
  const { rows } = await sql<Look>`select ${COLUMNS} from steered_look where space = ${space} and id = ${id}`.execute(
    db,
  )
  return rows[0] ? lookOf(rows[0]) : null
}

/** Puts a look down to be made. `askedBy` null: it is time. */
export async function insertLook(
  db: Db | Tx,
  {
    id,
    space,
    askedBy,
    nowMs,
  }: { readonly id: string; readonly space: SpaceUri; readonly askedBy: Did | null; readonly nowMs: number },
): Promise<void> {
  await sql`insert into steered_look (id, space, asked_by, state, began_at_ms)
    values (${id}, ${space}, ${askedBy}, 'reading', ${nowMs})`.execute(db)
}

/** Begins to read, or begins anew where another process ended in the middle. */
export async function beginReading(db: Db, lease: Lease, { id }: Look): Promise<void> {
  await sql`delete from steered_actual where look = ${id} and ${isOurs(lease)}`.execute(db)
  await sql`update steered_look set read = 0 where id = ${id} and ${isOurs(lease)}`.execute(db)
}

/** Keeps a page of what is there. */
export async function savePage(tx: Tx, lease: Lease, { id }: Look, people: readonly Listed[]): Promise<void> {
  await sql`insert into steered_actual (look, did, has)
    select ${id}, one.did, one.has from unnest(${people.map(({ did }) => did)}::text[], ${people.map(({ has }) => has)}::smallint[])
      as one (did, has) where ${isOurs(lease)}`.execute(tx)
  await sql`update steered_look set read = read + ${people.length} where id = ${id} and ${isOurs(lease)}`.execute(tx)
}

/** Notes that a look wasn't read to its end. Nothing follows from what it read. */
export async function failLook(db: Db, lease: Lease, { id }: Look, because: string, nowMs: number): Promise<void> {
  await sql`update steered_look set state = 'failed', because = ${because}, ended_at_ms = ${nowMs}
    where id = ${id} and state = 'reading' and ${isOurs(lease)}`.execute(db)
  await sql`delete from steered_actual where look = ${id} and ${isOurs(lease)}`.execute(db)
}

/** What a look that was read to its end found. */
export interface Found {
  readonly missing: number
  readonly extra: number
  readonly differing: number
  /** Of those who are there and not declared, those of whom nothing was known: they are neither held nor on their way out. */
  readonly newExtra: number
  readonly declared: number
}

/**
 * Sets what was read against what is declared. Only who differs is kept, with both. Who isn't taken by the PDS, or is held, differs as well.
 */
export async function compareLook(tx: Tx, { id, space }: Look): Promise<Found> {
  await sql`update steered_actual set wants = coalesce((select wants from steered_member member
      where member.space = ${space} and member.did = steered_actual.did), 0) where look = ${id}`.execute(tx)
  await sql`insert into steered_actual (look, did, has, wants)
    select ${id}, did, 0, wants from steered_member member where member.space = ${space} and wants > 0
      and not exists (select from steered_actual actual where actual.look = ${id} and actual.did = member.did)`.execute(
    tx,
  )
  const { rows } = await sql<Record<keyof Found, number>>`select
      count(*) filter (where has = 0 and actual.wants > 0) as missing,
      count(*) filter (where has > 0 and actual.wants = 0) as extra,
      count(*) filter (where has > 0 and actual.wants > 0 and has <> actual.wants) as differing,
      count(*) filter (where has > 0 and actual.wants = 0 and not exists (select from steered_member member
        where member.space = ${space} and member.did = actual.did)) as "newExtra",
      count(*) filter (where actual.wants > 0) as declared
    from steered_actual actual where look = ${id}`.execute(tx)
  const { missing = 0, extra = 0, differing = 0, newExtra = 0, declared = 0 } = rows[0] ?? {}
  return {
    missing: Number(missing),
    extra: Number(extra),
    differing: Number(differing),
    newExtra: Number(newExtra),
    declared: Number(declared),
  }
}

/**
 * Has the rows say what was read. Somebody who is there, declared by nobody and not known of gets a row: to be taken off, or (`isHeld`) kept
 * until an owner agrees. Whom the PDS didn't take is tried again. No call was made since the reading began: the turn was ours all the while.
 */
export async function takeOver(tx: Tx, { id, space }: Look, isHeld: boolean): Promise<void> {
  await sql`update steered_member set has = coalesce(actual.has, 0), refused = null,
      is_held = steered_member.is_held and coalesce(actual.has, 0) > 0
    from steered_member member left join steered_actual actual on actual.look = ${id} and actual.did = member.did
    where member.space = ${space} and steered_member.space = member.space and steered_member.did = member.did
      and (steered_member.has is distinct from coalesce(actual.has, 0) or steered_member.refused is not null)`.execute(
    tx,
  )
  await sql`insert into steered_member (space, did, wants, has, is_held)
    select ${space}, did, 0, has, ${isHeld} from steered_actual actual where look = ${id} and has > 0 and actual.wants = 0
    on conflict (space, did) do nothing`.execute(tx)
  await sql`delete from steered_member where space = ${space} and wants = 0 and has = 0`.execute(tx)
}

/** Ends a look: shown, with what it found, and who differs; older ones are forgotten. */
export async function endLook(
  tx: Tx,
  lease: Lease,
  { id, space }: Look,
  {
    found,
    settings,
    nowMs,
    fact,
  }: {
    readonly found: Pick<Found, 'missing' | 'extra' | 'differing'>
    readonly settings: readonly string[]
    readonly nowMs: number
    readonly fact: AuditFact
  },
): Promise<boolean> {
  const { numAffectedRows } =
    await sql`update steered_look set state = 'shown', ended_at_ms = ${nowMs}, missing = ${found.missing},
      extra = ${found.extra}, differing = ${found.differing}, settings = ${settings.join(' ')}
    where id = ${id} and state = 'reading' and ${isOurs(lease)}`.execute(tx)
  if (numAffectedRows !== 1n) return false
  await sql`delete from steered_actual where look = ${id} and has = wants`.execute(tx)
  await sql`delete from steered_look where space = ${space} and state <> 'reading' and id not in (
    select id from steered_look where space = ${space} order by began_at_ms desc, id desc limit ${LOOKS_KEPT})`.execute(
    tx,
  )
  await appendUnsealed(tx, fact)
  return true
}

/**
 * Has the list become what is declared where a look showed that it isn't: nobody knows what the PDS has of those people by now, so each of
 * them is a call. Who is declared by now is not taken off. Answers how many are to be taken off, and whom the look showed otherwise.
 */
export async function applyLook(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  { id, space }: Look,
): Promise<{ readonly removals: number; readonly others: number }> {
  const { rows } = await sql<{ removals: number; others: number }>`with agreed as (
      insert into steered_member (space, did, wants, has, is_held)
      select ${space}, did, 0, null, false from steered_actual where look = ${id}
      on conflict (space, did) do update set has = null, is_held = false, refused = null
      returning wants
    )
    select count(*) filter (where wants = 0) as removals, count(*) filter (where wants > 0) as others from agreed`.execute(
    tx,
  )
  await tx.updateTable('steered_look').set({ state: 'applied' }).where('id', '=', id).execute()
  return { removals: Number(rows[0]?.removals ?? 0), others: Number(rows[0]?.others ?? 0) }
}

/** Who differed, in the order of DIDs, after `after`. */
export async function listDiffering(
  db: Db,
  { id }: Look,
  after: string,
  limit: number,
): Promise<readonly { readonly did: Did; readonly declared: Flags; readonly actual: Flags }[]> {
  const { rows } = await sql<{ did: Did; declared: Flags; actual: Flags }>`select did, wants as declared, has as actual
    from steered_actual where look = ${id} and wants is not null and did > ${after} order by did limit ${limit}`.execute(
    db,
  )
  return rows
}
