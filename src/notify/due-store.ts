/** Who has something to hear and hasn't, over all communities: counts for whoever watches the service. Writes nothing. */
import { sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import type { Waiting } from '../platform/meters.ts'

/** As many as are looked at: more than this isn't worth knowing exactly. */
const LOOKED_AT_MAX = 10_000

/**
 * Lanes whose moment has come, of receivers that are well: that one which fails has to wait is its own doing. Lanes of communities that
 * left (`left`) rest.
 */
export async function lanesDue(db: Db, left: readonly Did[], nowMs: number): Promise<Waiting> {
  const { rows } = await sql<{ count: number; oldestAtMs: number | null }>`
    select count(*)::int as count, min(look_at_ms) as "oldestAtMs" from (
      select look_at_ms from registration where look_at_ms is not null and look_at_ms <= ${nowMs} and paused_at_ms is null
        and failures = 0 and proved_at_ms is not null and (expires_at_ms > ${nowMs} or ended_at_ms is not null)
        and community <> all(${left}::text[])
      order by look_at_ms limit ${LOOKED_AT_MAX}
    ) due`.execute(db)
  const [{ count, oldestAtMs } = { count: 0, oldestAtMs: null }] = rows
  return { count, oldestAtMs }
}

/** Spaces in which something was written and not everybody was told up to it. */
export async function countSpacesToTell(db: Db): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from (select from writer_set where last_rev > told_rev limit ${LOOKED_AT_MAX}) open`.execute(
    db,
  )
  return rows[0]?.count ?? 0
}
