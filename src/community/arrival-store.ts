/** The table of communities that somebody wants to bring here: for each DID and each person one that waits, at most. */
import { sql } from 'kysely'
import type { NewHome } from '../identity/new-home.ts'
import type { Did } from '../names.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'

/** `late`: nothing came in time, and the keys are kept a while. `opened` and `lapsed` are ends. */
export type ArrivalState = 'waiting' | 'late' | 'opened' | 'lapsed'

/** Those for whom keys are here that a document may name still. */
const OPEN: readonly ArrivalState[] = ['waiting', 'late']

declare module '../platform/database.ts' {
  interface Tables {
    arrival: {
      id: string
      did: string
      caller: string
      name: string
      statement: unknown
      state: ArrivalState
      created_at_ms: number
      due_at_ms: number
    }
  }
}

export interface Arrival {
  readonly id: string
  readonly did: Did
  /** Who asked, and becomes the first owner. */
  readonly caller: Did
  readonly name: string
  /** What was handed out. */
  readonly statement: NewHome
  readonly state: ArrivalState
  readonly createdAtMs: number
}

const COLUMNS = ['id', 'did', 'caller', 'name', 'statement', 'state', 'created_at_ms'] as const

/** Keeps an arrival that waits. False: the same person waits for the same DID already; nothing was kept. */
export async function insertArrival(
  tx: Tx,
  { id, did, caller, name, statement, createdAtMs }: Omit<Arrival, 'state'>,
  dueAtMs: number,
): Promise<boolean> {
  const made = await tx
    .insertInto('arrival')
    .values({
      ...{ id, did, caller, name, statement: JSON.stringify(statement), state: 'waiting' },
      ...{ created_at_ms: createdAtMs, due_at_ms: dueAtMs },
    })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst()
  return made !== undefined
}

/** The arrival of a DID that a person asked for: the one by which it came, or the last one, whatever became of it. */
export async function loadArrival(db: Db | Tx, did: Did, caller: Did): Promise<Arrival | null> {
  const row = await db
    .selectFrom('arrival')
    .select(COLUMNS)
    .where('did', '=', did)
    .where('caller', '=', caller)
    .orderBy(sql`state = 'opened'`, 'desc')
    .orderBy('created_at_ms', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? arrivalOf(row) : null
}

/** Those who wait for a DID, also those that are late, in the order in which they began. */
export async function listWaiting(db: Db | Tx, did: Did): Promise<readonly Arrival[]> {
  const rows = await db
    .selectFrom('arrival')
    .select(COLUMNS)
    .where('did', '=', did)
    .where('state', 'in', OPEN)
    .orderBy('created_at_ms')
    .orderBy('id')
    .execute()
  return rows.map(arrivalOf)
}

/** Everybody who waits for anything, the oldest first. */
export async function listAllWaiting(db: Db): Promise<readonly Arrival[]> {
  const rows = await db
    .selectFrom('arrival')
    .select(COLUMNS)
    .where('state', '=', 'waiting')
    .orderBy('created_at_ms')
    .orderBy('id')
    .execute()
  return rows.map(arrivalOf)
}

/** One that waits, held until the transaction ends. Null: it came to its end. */
export async function lockWaiting(tx: Tx, id: string): Promise<Arrival | null> {
  const row = await tx
    .selectFrom('arrival')
    .select(COLUMNS)
    .where('id', '=', id)
    .where('state', 'in', OPEN)
    .forUpdate()
    .executeTakeFirst()
  return row ? arrivalOf(row) : null
}

/** Notes how arrivals ended, or that they are late. */
export async function endArrivals(tx: Tx, ids: readonly string[], state: 'late' | 'opened' | 'lapsed'): Promise<void> {
  if (ids.length > 0) await tx.updateTable('arrival').set({ state }).where('id', 'in', ids).execute()
}

/** How many arrivals of one person wait. */
export async function countWaitingOf(db: Db | Tx, caller: Did): Promise<number> {
  const row = await db
    .selectFrom('arrival')
    .select((where) => where.fn.countAll<number>().as('count'))
    .where('caller', '=', caller)
    .where('state', '=', 'waiting')
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** Takes DIDs that are due to be looked at, whoever waits for them, and keeps them until `untilMs`. */
export const takeDueArrivals = (
  db: Db,
  { nowMs, untilMs, most }: { readonly nowMs: number; readonly untilMs: number; readonly most: number },
): Promise<readonly Did[]> =>
  withTransaction(db, async (tx) => {
    const rows = await tx
      .selectFrom('arrival')
      .select('did')
      .where('state', 'in', OPEN)
      .where('due_at_ms', '<=', nowMs)
      .orderBy('due_at_ms')
      .orderBy(sql`random()`)
      .limit(most)
      .forUpdate()
      .skipLocked()
      .execute()
    const dids = [...new Set(rows.map(({ did }) => did as Did))]
    for (const did of dids) await putOffArrivals(tx, did, untilMs)
    return dids
  })

/** When a DID is looked at next. */
export async function putOffArrivals(db: Db | Tx, did: Did, dueAtMs: number): Promise<void> {
  await db
    .updateTable('arrival')
    .set({ due_at_ms: dueAtMs })
    .where('did', '=', did)
    .where('state', 'in', OPEN)
    .execute()
}

/** Forgets at most `max` arrivals that came to nothing, and began before an instant. Answers how many. */
export async function forgetArrivals(db: Db, beforeMs: number, max: number): Promise<number> {
  const old = db
    .selectFrom('arrival')
    .select('id')
    .where('state', '=', 'lapsed')
    .where('created_at_ms', '<', beforeMs)
    .limit(max)
  const { numDeletedRows } = await db.deleteFrom('arrival').where('id', 'in', old).executeTakeFirst()
  return Number(numDeletedRows)
}

/** What is in the table was made here when it was written. */
const arrivalOf = (row: {
  readonly id: string
  readonly did: string
  readonly caller: string
  readonly name: string
  readonly statement: unknown
  readonly state: ArrivalState
  readonly created_at_ms: number
}): Arrival => ({
  id: row.id,
  did: row.did as Did,
  caller: row.caller as Did,
  name: row.name,
  statement: row.statement as NewHome,
  state: row.state,
  createdAtMs: row.created_at_ms,
})
