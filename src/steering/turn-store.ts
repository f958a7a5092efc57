/** The table of what one process alone may do, until when: a turn is held by a row, never by a transaction, so that it holds no connection. */
import { sql } from 'kysely'
import type { Db } from '../platform/database.ts'

/**
 * Takes a turn that nobody has, or whose time is over. `longestMs`: nobody holds it for so long, so whoever does by their row had a clock that
 * was wrong, and would keep everybody waiting for as long as it was. Whether it was taken.
 */
export async function takeTurn(
  db: Db,
  turn: {
    readonly name: string
    readonly holder: string
    readonly untilMs: number
    readonly nowMs: number
    readonly longestMs?: number
  },
): Promise<boolean> {
  const { name, holder, untilMs, nowMs, longestMs = Number.MAX_SAFE_INTEGER - nowMs } = turn
  const { rows } = await sql`insert into held_turn (name, holder, until_ms) values (${name}, ${holder}, ${untilMs})
    on conflict (name) do update set holder = excluded.holder, until_ms = excluded.until_ms
      where held_turn.until_ms <= ${nowMs} or held_turn.until_ms > ${nowMs + longestMs}
    returning name`.execute(db)
  return rows.length > 0
}

/** Gives a turn back, or another end; nothing, when somebody else has it by now. */
export async function endTurn(db: Db, name: string, holder: string): Promise<void> {
  await db.deleteFrom('held_turn').where('name', '=', name).where('holder', '=', holder).execute()
}

/** Has a turn that somebody holds end at another time. */
export async function moveTurn(db: Db, name: string, holder: string, untilMs: number): Promise<void> {
  await db
    .updateTable('held_turn')
    .set({ until_ms: untilMs })
    .where('name', '=', name)
    .where('holder', '=', holder)
    .execute()
}

/** Forgets turns whose time was over before then. How many. */
export async function forgetTurns(db: Db, beforeMs: number, max: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from held_turn where name in
    (select name from held_turn where until_ms < ${beforeMs} limit ${max})`.execute(db)
  return Number(numAffectedRows ?? 0)
}
