/** The table of issued credentials as a ledger: what lives, who has it, and what was taken back before its time. */
import { type SqlBool, sql } from 'kysely'
import { unsealedInsert } from '../audit/store.ts'
import type { Basis } from '../membership/basis.ts'
import type { ClientId, Did, ServiceId, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit, Reason } from '../policy/verdict.ts'
import type { RefusalCode } from '../refusals.ts'
import { CREDENTIAL } from './token-classes.ts'

/** Why a credential was taken back: the refusal that would meet its holder now, or because somebody wished it. */
export type RevokedBecause = RefusalCode | 'Wished'

/** One credential as it was written down. */
export interface Issued {
  readonly jti: string
  readonly did: Did
  readonly clientId: ClientId | null
  readonly space: SpaceUri
  readonly holder: string
  readonly issuedAtSec: number
  readonly expiresAtSec: number
  readonly revokedAtSec: number | null
  readonly revokedBecause: RevokedBecause | null
  /** The managing app by whose word it was given. */
  readonly managedBy: ServiceId | null
}

/** Which credentials are meant: of a community or of one space of it, and of those only some. */
export interface Which {
  readonly community: Did
  readonly space: SpaceUri | null
  readonly did: Did | null
  readonly clientId: ClientId | null
  readonly jti?: string | undefined
}

const COLUMNS = [
  'jti',
  'did',
  'client_id',
  'space',
  'holder',
  'issued_at_sec',
  'expires_at_sec',
  'revoked_at_sec',
  'revoked_because',
  'managed_by',
] as const

interface IssuedRow {
  readonly jti: string
  readonly did: string
  readonly client_id: string | null
  readonly space: string
  readonly holder: string
  readonly issued_at_sec: number
  readonly expires_at_sec: number
  readonly revoked_at_sec: number | null
  readonly revoked_because: string | null
  readonly managed_by: string | null
}

/** What is in the table was parsed when it was written. */
const issuedOf = (row: IssuedRow): Issued => ({
  jti: row.jti,
  did: row.did as Did,
  clientId: row.client_id as ClientId | null,
  space: row.space as SpaceUri,
  holder: row.holder,
  issuedAtSec: row.issued_at_sec,
  expiresAtSec: row.expires_at_sec,
  revokedAtSec: row.revoked_at_sec,
  revokedBecause: row.revoked_because as RevokedBecause | null,
  managedBy: row.managed_by as ServiceId | null,
})

/** The credential of that name, or null when none was ever issued under it, or it ended long ago. */
export async function loadIssued(db: Db, jti: string): Promise<Issued | null> {
  const row = await db.selectFrom('issuance').select(COLUMNS).where('jti', '=', jti).executeTakeFirst()
  return row ? issuedOf(row) : null
}

/** The place of a credential in the order of a list. */
export type Place = Pick<Issued, 'did' | 'expiresAtSec' | 'jti'>

/** The condition for rows of `issuance` that are meant and have not ended. */
export const isMeant = ({ community, space, did, clientId, jti }: Which, nowSec: number) => {
  const conditions = [
    sql<SqlBool>`community = ${community}`,
    // As long as anybody takes it, and that is a few seconds longer than it says.
    sql<SqlBool>`expires_at_sec > ${nowSec - CREDENTIAL.skewSec}`,
    ...(space === null ? [] : [sql<SqlBool>`space = ${space}`]),
    ...(did === null ? [] : [sql<SqlBool>`did = ${did}`]),
    ...(clientId === null ? [] : [sql<SqlBool>`client_id = ${clientId}`]),
    ...(jti === undefined ? [] : [sql<SqlBool>`jti = ${jti}`]),
  ]
  return sql<SqlBool>`${sql.join(conditions, sql` and `)}`
}

/** Credentials that have not ended, those that were taken back among them: by person, then in the order in which they end. */
export async function listIssued(
  db: Db,
  which: Which,
  page: { readonly nowSec: number; readonly after: Place | null; readonly limit: number },
): Promise<readonly Issued[]> {
  const { nowSec, after, limit } = page
  const from = sql<SqlBool>`(did, expires_at_sec, jti) > (${after?.did}, ${after?.expiresAtSec}::bigint, ${after?.jti})`
  const rows = await db
    .selectFrom('issuance')
    .select(COLUMNS)
    .where(isMeant(which, nowSec))
    .$if(after !== null, (query) => query.where(from))
    .orderBy('did')
    .orderBy('expires_at_sec')
    .orderBy('jti')
    .limit(limit)
    .execute()
  return rows.map(issuedOf)
}

/** Takes back those that are meant and live, and answers how many they were. */
export async function revokeIssued(
  tx: Tx,
  permit: Permit<'credentials.revoke'>,
  which: Which,
  nowSec: number,
): Promise<number> {
  const because: RevokedBecause = 'Wished'
  const { numUpdatedRows } = await tx
    .updateTable('issuance')
    .set({ revoked_at_sec: nowSec, revoked_by: permit.actor, revoked_because: because })
    .where(isMeant(which, nowSec))
    .where('revoked_at_sec', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(numUpdatedRows)
}

/** Whether anybody takes a credential for this space, as far as the ledger knows. */
export async function isStillHeld(db: Db, space: SpaceUri, nowSec: number): Promise<boolean> {
  const row = await db
    .selectFrom('issuance')
    .select('jti')
    .where('space', '=', space)
    .where('expires_at_sec', '>', nowSec - CREDENTIAL.skewSec)
    .where('revoked_at_sec', 'is', null)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** What lives of those that are meant in one space. */
export interface LiveInSpace {
  readonly space: SpaceUri
  readonly count: number
  /** When the last of them ends. */
  readonly untilSec: number
}

/** How many of those that are meant live, space by space. */
export async function countLive(tx: Tx, which: Which, nowSec: number): Promise<readonly LiveInSpace[]> {
  const { rows } = await sql<LiveInSpace>`select space, count(*)::int as count, max(expires_at_sec) as "untilSec"
    from issuance where ${isMeant(which, nowSec)} and revoked_at_sec is null group by space order by space`.execute(tx)
  return rows
}

/** The live credentials by which one person reads one space with one app, by the word of one managing app or by nobody's. */
export interface LiveRead {
  readonly did: Did
  readonly space: SpaceUri
  readonly clientId: ClientId | null
  readonly managedBy: ServiceId | null
  readonly jtis: readonly string[]
  /** When the last of them ends. */
  readonly untilSec: number
}

/** What lives in a community, of some people or of everybody, in the order of people, spaces, apps and managing apps. */
export async function listLive(
  db: Db,
  which: { readonly community: Did; readonly people: readonly Did[] | null; readonly nowSec: number },
  page: { readonly after: LiveRead | null; readonly limit: number },
): Promise<readonly LiveRead[]> {
  const { community, people, nowSec } = which
  const { after, limit } = page
  const some = people === null ? sql`` : sql`and did = any(${people}::text[])`
  const rest =
    after === null
      ? sql``
      : sql`and (did, space, coalesce(client_id, ''), coalesce(managed_by, ''))
          > (${after.did}, ${after.space}, ${after.clientId ?? ''}, ${after.managedBy ?? ''})`
  const { rows } = await sql<LiveRead>`select did, space, client_id as "clientId", managed_by as "managedBy",
      array_agg(jti order by jti) as jtis, max(expires_at_sec) as "untilSec"
    from issuance where community = ${community} and expires_at_sec > ${nowSec - CREDENTIAL.skewSec} and revoked_at_sec is null ${some} ${rest}
    group by did, space, client_id, managed_by order by did, space, coalesce(client_id, ''), coalesce(managed_by, '')
    limit ${limit}`.execute(db)
  return rows
}

/** Why what somebody reads by is taken back, and the revisions at which that was found. */
export interface Refused {
  readonly community: Did
  readonly code: RefusalCode
  readonly because: readonly Reason[]
  /** Empty when nothing can bring it back: the space has ended. A new one of its name is not made before this is done. */
  readonly basis: Basis
  readonly atMs: number
}

/**
 * Takes back credentials that would be refused now, with one entry in the log for all of them, while the communities stand as they
 * stood when that was found. `moved`: they don't, and nothing was done; else how many nobody had taken back before.
 */
export async function takeBack(db: Db, read: LiveRead, refused: Refused): Promise<'moved' | number> {
  const { community, code, because, basis, atMs } = refused
  const communities = basis.map((each) => each.community)
  const revisions = basis.map((each) => each.revision)
  const { rows } = await sql<{ stands: boolean; count: number }>`with
    guard as materialized (
      select community, revision from community_revision where community = any(${communities}::text[])
      order by community for share
    ),
    stands as materialized (
      select not exists (
        select from unnest(${communities}::text[], ${revisions}::bigint[]) as basis (community, revision)
        left join guard on guard.community = basis.community where guard.revision is distinct from basis.revision
      ) as it
    ),
    taken as (
      update issuance set revoked_at_sec = ${Math.floor(atMs / 1000)}, revoked_by = ${community}, revoked_because = ${code}
      where jti = any(${read.jtis}::text[]) and revoked_at_sec is null and (select it from stands)
      returning jti
    ),
    journal as (${unsealedInsert(
      db,
      sql`select ${community}, ${atMs}::bigint, ${community}, 'credential.revoke', ${read.space}, ${read.did},
          ${JSON.stringify({ refused: code, reasons: because })}::jsonb
            || jsonb_build_object('revoked', (select count(*) from taken))
        where exists (select from taken)`,
    )})
    select (select it from stands) as stands, (select count(*)::int from taken) as count`.execute(db)
  const [row] = rows
  if (!row) throw new TypeError('a statement without an answer')
  return row.stands ? row.count : 'moved'
}
