/** The table of apps that proved who they are and were turned away for lack of a rule, for those who judge apps. */
import { type RawBuilder, sql } from 'kysely'
import type { ClientId, Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { AppVerdict } from '../policy/apps.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    app_seen: {
      community: string
      client_id: string
      first_at_ms: number
      last_at_ms: number
      times: number
      last_did: string
      last_space: string
    }
  }
}

/** Apps remembered for one community. Anybody can make as many apps as they like; those asked for longest ago go. */
const SEEN_MAX = 1_000
/** Of those, apps that one person was the last to bring: nobody pushes out what others brought. */
const SEEN_OF_PERSON_MAX = 50

/** Who brought which app where. */
export interface SeenApp {
  readonly community: Did
  readonly clientId: ClientId
  readonly did: Did
  readonly space: SpaceUri
}

/** Notes that an app asked, and who brought it. Where there are too many, those that asked longest ago are forgotten. */
export async function noteSeenApp(db: Db, { community, clientId, did, space }: SeenApp, nowMs: number): Promise<void> {
  const now = { last_at_ms: nowMs, last_did: did, last_space: space }
  await db
    .insertInto('app_seen')
    .values({ community, client_id: clientId, first_at_ms: nowMs, times: 1, ...now })
    .onConflict((conflict) =>
      conflict
        .columns(['community', 'client_id'])
        .doUpdateSet({ ...now, times: sql`least(app_seen.times + 1, 1000000)` }),
    )
    .execute()
  await forgetLongestAgo(db, sql`community = ${community} and last_did = ${did}`, SEEN_OF_PERSON_MAX)
  await forgetLongestAgo(db, sql`community = ${community}`, SEEN_MAX)
}

/** Forgets those of some apps that are too many. Rows that somebody else holds are left to them: nobody waits for anybody here. */
async function forgetLongestAgo(db: Db, which: RawBuilder<unknown>, most: number): Promise<void> {
  await sql`delete from app_seen where ctid = any(array(
    select ctid from app_seen where (community, client_id) in (
      select community, client_id from app_seen where ${which} order by last_at_ms desc, client_id offset ${most}
    ) for update skip locked))`.execute(db)
}

/** Forgets apps that somebody has judged now: one, or every app at a host that is more than put off. */
export async function forgetSeenApps(
  tx: Tx,
  _permit: Permit<'apps.review'>,
  community: Did,
  { name, isHost, verdict }: { readonly name: string; readonly isHost: boolean; readonly verdict: AppVerdict },
): Promise<void> {
  if (isHost && verdict === 'pending') return
  const isMeant = isHost ? sql`split_part(client_id, '/', 3) = ${name}` : sql`client_id = ${name}`
  await sql`delete from app_seen where community = ${community} and ${isMeant}`.execute(tx)
}
