/**
 * The mark of a database that was found to be from the past, in the database itself: whoever opens it without a checkpoint of their own hears of it,
 * and whoever accepts it needs no folder to know what is missing.
 */
import { sql } from 'kysely'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import type { Checkpoint, Head } from './checkpoint.ts'
import type { Parted } from './past.ts'

export interface Mark {
  /** When it was found first: whatever had run on the newer state had ended by then. */
  readonly foundAtMs: number
  readonly seen: readonly { readonly head: Head; readonly atMs: number }[]
}

/** Whether somebody has marked it. Cheap: each process asks every few seconds. */
export async function isMarked(db: Db): Promise<boolean> {
  const { rows } = await sql<{ is: boolean }>`select exists (select from from_past) as is`.execute(db)
  return rows[0]?.is === true
}

/** Whether it can be marked: a backup of an older version can when a process has started on it, which brings its schema up to date. */
export async function canBeMarked(db: Db): Promise<boolean> {
  const { rows } = await sql<{ can: boolean }>`select to_regclass('from_past') is not null as can`.execute(db)
  return rows[0]?.can === true
}

export async function loadMark(db: Db): Promise<Mark | null> {
  const found = await sql<{ at_ms: number }>`select found_at_ms::bigint as at_ms from from_past`.execute(db)
  const [mark] = found.rows
  if (!mark) return null
  const { rows } = await sql<Head & { at_ms: number }>`select community, seq, encode(hash, 'hex') as hash,
    seen_at_ms as at_ms from from_past_seen`.execute(db)
  return {
    foundAtMs: mark.at_ms,
    seen: rows.map(({ community, seq, hash, at_ms }) => ({ head: { community, seq, hash }, atMs: at_ms })),
  }
}

/** Marks it, and answers when that was done first. Of a chain that others have seen too, what saw most stays. */
export const markPast = (db: Db, parted: readonly Parted[], nowMs: number): Promise<number> =>
  withTransaction(db, async (tx) => {
    await sql`insert into from_past (found_at_ms) values (${nowMs}) on conflict do nothing`.execute(tx)
    await sql`insert into from_past_seen (community, seq, hash, seen_at_ms)
      select community, seq, decode(hash, 'hex'), at_ms
      from unnest(${parted.map(({ community }) => community)}::text[], ${parted.map(({ seen }) => seen.seq)}::bigint[],
        ${parted.map(({ seen }) => seen.hash)}::text[], ${parted.map(({ seenAtMs }) => seenAtMs)}::bigint[])
        as seen (community, seq, hash, at_ms)
      on conflict (community) do update set seq = excluded.seq, hash = excluded.hash, seen_at_ms = excluded.seen_at_ms
        where from_past_seen.seq < excluded.seq`.execute(tx)
    const { rows } = await sql<{ at_ms: number }>`select found_at_ms::bigint as at_ms from from_past`.execute(tx)
    return rows[0]?.at_ms ?? nowMs
  })

export async function unmark(db: Db): Promise<void> {
  const both = async (tx: Tx) => {
    await sql`delete from from_past_seen`.execute(tx)
    await sql`delete from from_past`.execute(tx)
  }
  await withTransaction(db, both)
}

/** What a mark has seen, to be compared with as checkpoints are. */
export function checkpointsIn({ seen }: Mark, instance: string): readonly Checkpoint[] {
  const byTime = Map.groupBy(seen, ({ atMs }) => atMs)
  return [...byTime].map(([atMs, those]) => ({
    ...{ instance, atMs, acceptedAtMs: null },
    heads: those.map(({ head }) => head).toSorted((a, b) => (a.community < b.community ? -1 : 1)),
  }))
}
