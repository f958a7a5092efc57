/** Rows of writers and of those who asked to hear of them, written as they stand in the tables. */
import { sql } from 'kysely'
import type { Did } from '../../src/names.ts'
import type { Db } from '../../src/platform/database.ts'
import type { Syncer } from './syncer.ts'
import { spaceOf } from './world.ts'
import { freshRev, hashOf } from './writers.ts'

interface At {
  readonly db: Db
  readonly nowMs: number
}

/** A repo wrote in a space. Answers its revision, and that of the space in microseconds. */
export async function noteWrite(
  { db, nowMs }: At,
  space: string,
  repo: string,
  { hash = true } = {},
): Promise<{ repoRev: string; spaceRev: number }> {
  const repoRev = freshRev(nowMs)
  const community = spaceOf(space).authority
  const { rows } = await sql<{ space_rev: number }>`with next as (
      insert into writer_set (space, community, last_rev) values (${space}, ${community}, ${nowMs * 1000})
      on conflict (space) do update set last_rev = greatest(excluded.last_rev, writer_set.last_rev + 1) returning last_rev
    )
    insert into writer (space, repo, community, repo_rev, hash, space_rev)
    select ${space}, ${repo}, ${community}, ${repoRev}, ${hash ? hashOf(repoRev) : null}, last_rev from next
    on conflict (space, repo) do update
      set repo_rev = excluded.repo_rev, hash = excluded.hash, space_rev = excluded.space_rev
    returning space_rev`.execute(db)
  return { repoRev, spaceRev: rows[0]?.space_rev ?? 0 }
}

export interface Registering {
  readonly space: string
  readonly syncer: Pick<Syncer, 'service' | 'url'>
  readonly sponsors: readonly { readonly did: Did; readonly clientId?: string }[]
  readonly service?: string
  readonly host?: string
  /** Whether it has answered before. */
  readonly isProved?: boolean
  readonly expiresInSec?: number
  /** Where it begins, in place of the newest there is. */
  readonly after?: number
}

const DAY_SEC = 24 * 60 * 60

/** Somebody asked to hear of a space. Answers the number of the row. */
export async function addRegistration({ db, nowMs }: At, asked: Registering): Promise<number> {
  const { space, syncer, sponsors, isProved = false, expiresInSec = DAY_SEC, after = null } = asked
  const { service = syncer.service, host = syncer.url } = asked
  const { rows } = await sql<{
    id: number
  }>`insert into registration (space, community, service, host, registered_at_ms,
      expires_at_ms, proved_at_ms, delivered_rev, checked_revision, checked_at_ms)
    select ${space}, ${spaceOf(space).authority}, ${service}, ${host}, ${nowMs}, ${nowMs + expiresInSec * 1000},
      ${isProved ? nowMs : null}::bigint, at.rev, 0, 0
    from (select coalesce(${after}::bigint, (select last_rev from writer_set where space = ${space}), 0) as rev) at
    returning id`.execute(db)
  const id = rows[0]?.id ?? 0
  for (const { did, clientId = '' } of sponsors) {
    await sql`insert into registration_sponsor (registration, did, client_id, since_ms)
      values (${id}, ${did}, ${clientId}, ${nowMs})`.execute(db)
  }
  return id
}

export interface RegistrationRow {
  readonly id: number
  readonly service: string
  readonly host: string
  readonly proved_at_ms: number | null
  /** The newest of its space. */
  readonly last_rev: number
  readonly delivered_rev: number
  readonly delivered_at_ms: number | null
  readonly look_at_ms: number | null
  readonly taken_until_ms: number
  readonly turn: number
  readonly checked_revision: number
  readonly gaps: number
  readonly failures: number
  readonly failing_since_ms: number | null
  readonly last_error: string | null
}

/** A row as it stands, or null when it ended. */
export async function registrationRow(db: Db, id: number): Promise<RegistrationRow | null> {
  const { rows } = await sql<RegistrationRow>`select registration.*, coalesce(last_rev, 0) as last_rev
    from registration left join writer_set using (space) where id = ${id}`.execute(db)
  return rows[0] ?? null
}
