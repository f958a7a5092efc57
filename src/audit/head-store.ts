/** What checkpoints read of the log: where the chains end, and which entry stands at a place. Nothing is written here. */
import { sql } from 'kysely'
import type { Db, Tx } from '../platform/database.ts'
import type { Head } from './checkpoint.ts'

/** Where every chain ends, in the order of their names as JavaScript has it. Chains without an entry are left out. */
export async function loadHeads(db: Db | Tx): Promise<readonly Head[]> {
  const { rows } =
    await sql<Head>`select community, seq, encode(hash, 'hex') as hash from audit_head where seq > 0`.execute(db)
  return rows.toSorted((a, b) => (a.community < b.community ? -1 : 1))
}

/** How many entries stand in all chains together. */
export async function countChained(db: Db): Promise<number> {
  const { rows } = await sql<{
    entries: number
  }>`select coalesce(sum(seq), 0)::bigint as entries from audit_head`.execute(db)
  return rows[0]?.entries ?? 0
}

export interface Place {
  readonly community: string
  readonly seq: number
}

/** The hash of the entry at each of these places, in hexadecimal and in their order; null where there is none. */
export async function hashesAt(db: Db | Tx, places: readonly Place[]): Promise<readonly (string | null)[]> {
  if (places.length === 0) return []
  const { rows } = await sql<{ hash: string | null }>`select encode(entry.hash, 'hex') as hash
    from unnest(${places.map(({ community }) => community)}::text[], ${places.map(({ seq }) => seq)}::bigint[])
      with ordinality as place (community, seq, nth)
    left join audit_entry entry on entry.community = place.community and entry.seq = place.seq
    order by place.nth`.execute(db)
  return rows.map(({ hash }) => hash)
}

/** When the last entry of each of these chains was made, in milliseconds since 1970, by its name. */
export async function lastEntriesAt(db: Db, communities: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ community: string; at_ms: number }>`select head.community, entry.at_ms
    from audit_head head join audit_entry entry on entry.community = head.community and entry.seq = head.seq
    where head.community = any(${[...communities]}::text[])`.execute(db)
  return new Map(rows.map((row) => [row.community, row.at_ms]))
}
