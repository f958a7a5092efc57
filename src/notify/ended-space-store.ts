/** What a space that ended leaves in the tables of writers and of those who asked: the former go, the latter have one thing left to hear. */
import { sql } from 'kysely'
import type { SpaceEnd } from '../membership/space-end-store.ts'
import type { SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'

/**
 * Puts everybody who was registered when the space ended down to hear of that, at once, and forgets who was registered no more.
 * Answers how many are to be told. Whoever is telling them of a write in this moment has lost the row: what became of that write
 * must not hold up the news that there is nothing more to come. Nor must a pause, which was about writes, or failures of before.
 */
export async function endRegistrations(tx: Tx, { space, endedAtMs }: SpaceEnd): Promise<number> {
  // Nobody is roused for what was written: there is no space to read it from. In the order in which others hold these rows.
  await sql`update writer_set set told_rev = last_rev where space = ${space} and told_rev < last_rev`.execute(tx)
  const live = sql`select id from registration where space = ${space} and ended_at_ms is null`
  await sql`delete from registration where id = any(array(
    ${live} and expires_at_ms <= ${endedAtMs} order by id for update))`.execute(tx)
  const { numAffectedRows } = await sql`update registration
    set ended_at_ms = ${endedAtMs}, look_at_ms = 0, taken_until_ms = 0, turn = turn + 1, failures = 0, failing_since_ms = null,
      paused_at_ms = null, paused_by = null
    where id = any(array(${live} order by id for update))`.execute(tx)
  return Number(numAffectedRows ?? 0)
}

/**
 * Whether it still has to be found out which hosts are told that credentials for the space are dead: that is asked of the writer set.
 * Soon over: nobody gets another one, and each ends within ten minutes by itself.
 */
export async function areHostsAskedFor(tx: Tx, space: SpaceUri, nowSec: number): Promise<boolean> {
  const { rows } = await sql<{ are: boolean }>`select exists (select from issuance
    where space = ${space} and expires_at_sec > ${nowSec} and hosts_plan is null) as are`.execute(tx)
  return rows[0]?.are ?? false
}

/** Takes away up to `limit` repos that wrote in a space. Answers how many they were: fewer than `limit` were the last. */
export async function clearWriters(tx: Tx, space: SpaceUri, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from writer where ctid = any(array(
    select ctid from writer where space = ${space} limit ${limit}))`.execute(tx)
  return Number(numAffectedRows ?? 0)
}
