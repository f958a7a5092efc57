/** Credentials that were taken back and writers of spaces, put where they stand, for what is said about telling hosts. */
import { sql } from 'kysely'
import { authorityOf, type SpaceUri } from '../../src/names.ts'
import type { OpenDatabase } from '../../src/platform/database.ts'
import { freshDid } from './roll.ts'
import { freshJti } from './tokens.ts'

type At = Pick<OpenDatabase, 'db'>

let lastRev = 0

/** Somebody wrote in a space, from a host or from nobody knows where. */
export async function wroteFrom(
  { db }: At,
  { space, repo, host }: { space: string; repo: string; host: string | null },
): Promise<void> {
  const community = authorityOf(space as SpaceUri)
  // Its own, kept over the wait below: several may be put at once.
  lastRev += 1
  const rev = lastRev
  await sql`insert into writer_set (space, community, last_rev) values (${space}, ${community}, ${rev})
    on conflict (space) do nothing`.execute(db)
  await sql`insert into writer (space, repo, community, repo_rev, space_rev, host)
    values (${space}, ${repo}, ${community}, '3l', ${rev}, ${host})`.execute(db)
}

/** Credentials of so many people, taken back unless that is said otherwise; answers their names. */
export async function addTaken(
  { db }: At,
  about: { space: string; count: number; nowSec: number; livesSec?: number; isTakenBack?: boolean },
): Promise<readonly string[]> {
  const { space, count, nowSec, livesSec = 600, isTakenBack = true } = about
  const jtis = Array.from({ length: count }, freshJti)
  const revoked = isTakenBack ? { at: nowSec, because: 'Wished' } : { at: null, because: null }
  await sql`insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision,
      revoked_at_sec, revoked_because)
    select jti, ${space}, ${authorityOf(space as SpaceUri)}, did, null, 'key', ${nowSec}::bigint, ${nowSec + livesSec}::bigint, 1,
      ${revoked.at}::bigint, ${revoked.because}::text
    from unnest(${jtis}::text[], ${jtis.map(freshDid)}::text[]) as one (jti, did)`.execute(db)
  return jtis
}

export interface NoticeRow {
  readonly jti: string
  readonly host: string
  readonly state: string
  readonly sent_at_ms: number | null
}

/** What was decided about each credential of a space, and what each host was told. */
export async function noticesOf(
  { db }: At,
  space: string,
): Promise<{ plans: ReadonlyMap<string, string | null>; notices: readonly NoticeRow[] }> {
  const plans = await sql<{ jti: string; plan: string | null }>`select jti, hosts_plan as plan from issuance
    where space = ${space}`.execute(db)
  const notices = await sql<NoticeRow>`select jti, host, state, sent_at_ms from revocation_notice
    where space = ${space} order by jti, host`.execute(db)
  return { plans: new Map(plans.rows.map(({ jti, plan }) => [jti, plan])), notices: notices.rows }
}
