/**
 * Single use: whoever claims an id first has it, across requests, processes and restarts.
 *
 * It is forgotten only after the last moment at which the token could still be accepted; sooner, a stolen token would pass
 * again. Which moment that is, a clock says, and clocks are set: so what is forgotten leaves a floor behind, and whatever ends below it counts as
 * spent, whoever's clock says what by then. The database's primary key and its floor decide, never a look beforehand.
 */
import { type Expression, type InsertQueryBuilder, type QueryCreator, type RawBuilder, type SqlBool, sql } from 'kysely'
import { lengthPrefixed, sha256 } from './bytes.ts'
import type { Db, Tables } from './database.ts'

export interface SpentTable {
  id: Uint8Array
  keep_until_sec: number
}

declare module './database.ts' {
  interface Tables {
    spent: SpentTable
    spent_floor: { one: boolean; forgotten_until_sec: number }
  }
}

/** What a request wants to use up. `keepUntilSec`: seconds since 1970, `SPENT_MARGIN_SEC` past the end of acceptance. */
export interface Claim {
  readonly id: Uint8Array
  readonly keepUntilSec: number
}

/**
 * The id of a token for single use: 32 bytes.
 * `kind` is the class of token, `holder` whose jtis these are (an issuer's DID, a key's thumbprint), `jti` as it was signed.
 */
export const claimId = (kind: string, holder: string, jti: string): Uint8Array =>
  sha256(lengthPrefixed('reeve-spent-v1', kind, holder, jti))

/** In a statement: what ends by then counts as spent. */
export const FLOOR_SEC = sql<number>`(select forgotten_until_sec from spent_floor)`

/**
 * The insert that claims, returning the ids that nobody had; for a statement of one's own, `db.with('claimed', (q) =>
 * claimInsert(q, claims))`, or to be executed as it is. Where `onlyIf` doesn't hold, nothing is claimed.
 */
export function claimInsert(
  db: Pick<QueryCreator<Tables>, 'insertInto'>,
  claims: readonly Claim[],
  onlyIf: Expression<SqlBool> = sql`true`,
): InsertQueryBuilder<Tables, 'spent', { id: Uint8Array }> {
  const ids = claims.map((claim) => claim.id)
  const ends = claims.map((claim) => claim.keepUntilSec)
  // Two arrays instead of a list of values: the statement has one text, however many claims there are.
  return claimInsertFrom(
    db,
    sql`select * from unnest(${ids}::bytea[], ${ends}::bigint[]) claim (id, keep_until_sec) where ${onlyIf}`,
  )
}

/**
 * The same for claims that a larger statement knows already: `claims` selects `id` and `keep_until_sec`. Ids go in one order
 * always, so that two batches can't wait for each other.
 */
export const claimInsertFrom = (
  db: Pick<QueryCreator<Tables>, 'insertInto'>,
  claims: RawBuilder<unknown>,
): InsertQueryBuilder<Tables, 'spent', { id: Uint8Array }> =>
  db
    .insertInto('spent')
    .columns(['id', 'keep_until_sec'])
    .expression(
      sql<SpentTable>`select id, keep_until_sec from (${claims}) as asked where keep_until_sec > ${FLOOR_SEC} order by id`,
    )
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')

/** Claims all of them, and answers for each whether it was new. Of equal ids in one call, the first counts. */
export async function claimOnce(db: Db, claims: readonly Claim[]): Promise<boolean[]> {
  if (claims.length === 0) return []
  const rows = await claimInsert(db, claims).execute()
  const fresh = new Set(rows.map((row) => hex(row.id)))
  return claims.map((claim) => fresh.delete(hex(claim.id)))
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/**
 * Raises the floor to the end of the newest claim that was over before `nowSec`, and answers where it stands: claims up to there may be forgotten
 * when every statement that began before has ended. It is never lowered, and never raised above what was claimed: a clock that is far
 * ahead shuts nobody out for longer than a token lives.
 */
export async function raiseFloor(db: Db, nowSec: number): Promise<number> {
  await sql`update spent_floor set forgotten_until_sec = over.until_sec
    from (select max(keep_until_sec) as until_sec from spent where keep_until_sec < ${nowSec}) over
    where over.until_sec > forgotten_until_sec`.execute(db)
  const { forgotten_until_sec } = await db
    .selectFrom('spent_floor')
    .select('forgotten_until_sec')
    .executeTakeFirstOrThrow()
  return Number(forgotten_until_sec)
}

/** Deletes at most `max` claims that ended before `endSec`, and answers how many. Only below a floor that was raised a while ago. */
export async function forgetSpent(db: Db, endSec: number, max: number): Promise<number> {
  const over = db
    .selectFrom('spent')
    .select('id')
    .where('keep_until_sec', '<', endSec)
    .orderBy('keep_until_sec')
    .limit(max)
    // Several processes may sweep at once: each takes what no other is taking.
    .forUpdate()
    .skipLocked()
  const { numDeletedRows } = await db.deleteFrom('spent').where('id', 'in', over).executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/** What time it is by the database's own clock, in whole seconds since 1970. */
export async function databaseNowSec(db: Db): Promise<number> {
  const { rows } = await sql<{
    now_sec: number
  }>`select floor(extract(epoch from clock_timestamp()))::bigint as now_sec`.execute(db)
  return Number(rows[0]?.now_sec)
}
