/** What is said about apps and which were seen, side by side, for those who judge them. Writes nothing. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db } from '../platform/database.ts'
import type { AppVerdict } from '../policy/apps.ts'

/** An app or a host of which something is known: a rule, or that it asked in vain, or both. */
export interface KnownApp {
  readonly name: string
  readonly isHost: boolean
  readonly rule: {
    readonly verdict: AppVerdict
    readonly note: string | null
    readonly putBy: Did
    readonly putAtMs: number
  } | null
  readonly seen: {
    readonly firstAtMs: number
    readonly lastAtMs: number
    readonly times: number
    readonly lastDid: Did
    readonly lastSpace: SpaceUri
  } | null
}

interface KnownRow {
  readonly name: string
  readonly is_host: boolean | null
  readonly verdict: AppVerdict | null
  readonly note: string | null
  readonly put_by: string | null
  readonly put_at_ms: number | null
  readonly first_at_ms: number | null
  readonly last_at_ms: number | null
  readonly times: number | null
  readonly last_did: string | null
  readonly last_space: string | null
}

/** What an app's state is called, by the verdict; without a rule nobody has judged it. */
const VERDICT_OF = { allowed: 'allow', denied: 'deny', pending: 'pending' } as const

/** What is known in a scope, in the order of names, after `after`. Apps are seen in a community, and not in a space of it. */
export async function listKnownApps(
  db: Db,
  scope: SpaceUri | Did,
  page: { readonly state: keyof typeof VERDICT_OF | undefined; readonly after: string; readonly limit: number },
): Promise<readonly KnownApp[]> {
  const inState = page.state === undefined ? sql`true` : sql`coalesce(verdict, 'pending') = ${VERDICT_OF[page.state]}`
  const { rows } = await sql<KnownRow>`select * from (
      select coalesce(rule.name, seen.client_id) as name, is_host, verdict, note, put_by, put_at_ms,
        first_at_ms, last_at_ms, times, last_did, last_space
      from (select * from app_rule where scope = ${scope}) rule
      full join (select * from app_seen where community = ${scope}) seen on seen.client_id = rule.name
    ) known
    where name collate "C" > ${page.after} and ${inState}
    order by name collate "C" limit ${page.limit}`.execute(db)
  return rows.map(knownOf)
}

/** A row of an outer join has all of a side, or nothing of it. */
function knownOf(row: KnownRow): KnownApp {
  const { verdict, put_at_ms: putAtMs, first_at_ms: firstAtMs, last_at_ms: lastAtMs, times } = row
  const isSeen = firstAtMs !== null && lastAtMs !== null && times !== null
  return {
    name: row.name,
    isHost: row.is_host ?? false,
    rule: verdict !== null && putAtMs !== null ? { verdict, note: row.note, putBy: row.put_by as Did, putAtMs } : null,
    seen: isSeen
      ? { firstAtMs, lastAtMs, times, lastDid: row.last_did as Did, lastSpace: row.last_space as SpaceUri }
      : null,
  }
}
