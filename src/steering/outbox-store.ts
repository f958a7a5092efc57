/**
 * The calls that are still to be made so that a list at a PDS is as it should be: rows in which `wants` and `has` differ.
 *
 * Before a call is made its row says that nobody knows what the PDS has; after it, what was sent. So a process that dies in between leaves calls
 * that are made again, and never one that was made and forgotten.
 */
import { sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed } from '../audit/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { isOurs, type Lease } from './keeping-store.ts'
import type { Flags } from './tables.ts'

/** One call: somebody is to be on the list with these flags, or (0) off it. */
export interface Errand {
  readonly did: Did
  readonly wants: Flags
}

/** What may be taken from somebody by a call comes before what is given: null, as if they had everything. */
const takes = sql`(coalesce(has, 3) & ~wants::integer) <> 0`

/** Takes calls to be made now, those first that take something from somebody. */
export async function takeErrands(db: Db, lease: Lease, space: SpaceUri, max: number): Promise<readonly Errand[]> {
  const { rows } = await sql<Errand & { takes: boolean }>`with errand as (
      select did, ${takes} as takes from steered_member
      where space = ${space} and wants is distinct from has and not is_held and refused is null
      order by ${takes} desc, wants, did limit ${max}
    )
    update steered_member set has = null from errand
    where steered_member.space = ${space} and steered_member.did = errand.did and ${isOurs(lease)}
    returning steered_member.did, wants, errand.takes`.execute(db)
  return rows.toSorted((a, b) => Number(b.takes) - Number(a.takes) || a.wants - b.wants || (a.did < b.did ? -1 : 1))
}

/** How errands ended: those that were answered, and those that the PDS refused, by what name. */
export interface Ended {
  readonly done: readonly Errand[]
  readonly refused: readonly { readonly did: Did; readonly because: string }[]
}

const REFUSED_PAUSE_MS = 60 * 60 * 1000

/** Notes how errands ended. Who is off the list, and belongs there no more, is forgotten. */
export async function saveEnded(
  tx: Tx,
  lease: Lease,
  space: SpaceUri,
  { done, refused }: Ended,
  fact: AuditFact,
): Promise<void> {
  await sql`update steered_member set has = one.sent
    from unnest(${done.map(({ did }) => did)}::text[], ${done.map(({ wants }) => wants)}::smallint[]) as one (did, sent)
    where space = ${space} and steered_member.did = one.did and ${isOurs(lease)}`.execute(tx)
  await sql`update steered_member set refused = one.because
    from unnest(${refused.map(({ did }) => did)}::text[], ${refused.map(({ because }) => because)}::text[]) as one (did, because)
    where space = ${space} and steered_member.did = one.did and ${isOurs(lease)}`.execute(tx)
  // Whoever has to be off the list and isn't taken off is in for as long as nobody tries again: the list is read, and they are tried, sooner.
  await sql`update steered_space set reconcile_due_ms = least(reconcile_due_ms, ${fact.atMs + REFUSED_PAUSE_MS}::bigint)
    where space = ${space} and ${isOurs(lease)} and exists (select from steered_member member
      where member.space = ${space} and member.did = any(${refused.map(({ did }) => did)}::text[]) and member.wants = 0)`.execute(
    tx,
  )
  const off = done.filter(({ wants }) => wants === 0).map(({ did }) => did)
  await sql`delete from steered_member where space = ${space} and did = any(${off}::text[]) and wants = 0 and has = 0
    and ${isOurs(lease)}`.execute(tx)
  // What waited for the list may be sent now.
  await sql`update steered_space set settings_due = true where space = ${space} and ${isOurs(lease)}`.execute(tx)
  await appendUnsealed(tx, fact)
}

/** How far the list of a space is. */
export interface Progress {
  readonly declared: number
  readonly done: number
  readonly waiting: number
  readonly held: number
  readonly refused: number
}

export async function loadProgress(db: Db | Tx, spaces: readonly SpaceUri[]): Promise<ReadonlyMap<SpaceUri, Progress>> {
  const { rows } = await sql<{ space: SpaceUri } & Record<keyof Progress, number>>`select space,
      count(*) filter (where wants > 0) as declared, count(*) filter (where wants > 0 and has = wants) as done,
      count(*) filter (where wants is distinct from has and not is_held and refused is null) as waiting,
      count(*) filter (where is_held) as held, count(*) filter (where refused is not null) as refused
    from steered_member where space = any(array(select unnest(${spaces}::text[]))) group by space`.execute(db)
  return new Map(
    rows.map(({ space, declared, done, waiting, held, refused }) => [
      space,
      {
        declared: Number(declared),
        done: Number(done),
        waiting: Number(waiting),
        held: Number(held),
        refused: Number(refused),
      },
    ]),
  )
}

export const NO_PROGRESS: Progress = { declared: 0, done: 0, waiting: 0, held: 0, refused: 0 }

/** Whether a list may be gone by: no call is waiting, and nobody is on it, or may be, who belongs off it, be it that they are held or refused. */
export async function isListReady(db: Db, space: SpaceUri): Promise<boolean> {
  const { rows } = await sql`select 1 from steered_member where space = ${space}
    and (is_held or wants is distinct from has and (refused is null or ${takes})) limit 1`.execute(db)
  return rows.length === 0
}

/** Notes that nobody is on the list: the space was made anew. */
export async function emptyList(tx: Tx, space: SpaceUri): Promise<void> {
  await sql`delete from steered_member where space = ${space} and wants = 0`.execute(tx)
  await sql`update steered_member set has = 0, is_held = false, refused = null where space = ${space}`.execute(tx)
}
