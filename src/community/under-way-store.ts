/** What is under way at the PLC directory, and which alarms stand, over all communities: counts for whoever watches the service. Writes nothing. */
import { sql } from 'kysely'
import type { Db } from '../platform/database.ts'
import type { Waiting } from '../platform/meters.ts'

/** Foundings that were begun and are neither open nor refused. */
export const foundingsUnderWay = (db: Db): Promise<Waiting> =>
  waitingIn(db, sql`community where step in ('prepared', 'submitted', 'confirmed')`)

/** Changes of DIDs that were begun and that the log doesn't show yet. */
export const plcWorkUnderWay = (db: Db): Promise<Waiting> =>
  waitingIn(db, sql`plc_work where step in ('prepared', 'submitted')`)

async function waitingIn(db: Db, rows: ReturnType<typeof sql>): Promise<Waiting> {
  const answer = await sql<{ count: number; oldestAtMs: number | null }>`
    select count(*)::int as count, min(created_at_ms) as "oldestAtMs" from ${rows}`.execute(db)
  const [{ count, oldestAtMs } = { count: 0, oldestAtMs: null }] = answer.rows
  return { count, oldestAtMs }
}

/** How many communities have each of the alarms that stand. */
export async function countAlarms(db: Db): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ name: string; count: number }>`
    select name, count(*)::int as count from identity_alarm group by name order by name`.execute(db)
  return new Map(rows.map(({ name, count }) => [name, count]))
}
