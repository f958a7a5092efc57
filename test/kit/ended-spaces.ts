/** Who wrote in a space and who asked to hear of it, as rows; and the turns of those who follow its end, taken by hand. */
import { sql } from 'kysely'
import { clearEndedSpaces } from '../../src/membership/space-clearing.ts'
import { authorityOf, type SpaceUri } from '../../src/names.ts'
import { followSpaceEnds } from '../../src/notify/space-ends.ts'
import type { Db } from '../../src/platform/database.ts'
import { type Log, silentLog } from '../../src/platform/log.ts'
import type { Roll } from './roll.ts'

export interface Registered {
  readonly service?: string
  readonly expiresAtMs?: number
  readonly failures?: number
}

/** A registration, delivered up to 5 of 7, which waits until its backoff is over. */
export async function register(roll: Roll, space: SpaceUri, more: Registered = {}): Promise<number> {
  const nowMs = roll.clock.nowMs()
  const { service = 'did:web:syncer.example#sync', expiresAtMs = nowMs + 86_400_000, failures = 0 } = more
  const { rows } = await sql<{
    id: number
  }>`insert into registration (space, community, service, host, registered_at_ms, expires_at_ms,
      delivered_rev, look_at_ms, turn, checked_revision, checked_at_ms, failures)
    values (${space}, ${authorityOf(space)}, ${service}, 'syncer.example', ${nowMs}, ${expiresAtMs}, 5, ${nowMs + 900_000}, 3, 1,
      ${nowMs}, ${failures}) returning id`.execute(roll.db)
  const id = rows[0]?.id ?? 0
  await sql`insert into registration_sponsor (registration, did, client_id, since_ms)
    values (${id}, 'did:web:somebody.example', '', ${nowMs})`.execute(roll.db)
  return id
}

/** From 1 to `count` in bits: more rows in one statement take a slow machine longer than a statement of Reeve's own ever may. */
function bits(count: number): [first: number, last: number][] {
  const most = 1_000
  return Array.from({ length: Math.ceil(count / most) }, (_, at) => [at * most + 1, Math.min(count, (at + 1) * most)])
}

/** So many repos that wrote in a space, one after the other. */
export async function addWriters(db: Db, space: SpaceUri, count: number): Promise<void> {
  const community = authorityOf(space)
  await sql`insert into writer_set (space, community, last_rev, told_rev) values (${space}, ${community}, ${count}, 1)
    on conflict (space) do update set last_rev = excluded.last_rev`.execute(db)
  for (const [first, last] of bits(count)) {
    await sql`insert into writer (space, repo, community, repo_rev, space_rev)
      select ${space}, 'did:web:writer' || at || '.example', ${community}, '3aaaaaaaaaa22', at
      from generate_series(${first}::int, ${last}::int) at`.execute(db)
  }
}

/** So many people on the roster of a space. */
export async function addMembers(db: Db, space: SpaceUri, count: number): Promise<void> {
  for (const [first, last] of bits(count)) {
    await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
      select ${space}, 'did:web:member' || at || '.example', ${authorityOf(space)}, 'member', ${authorityOf(space)}, 0
      from generate_series(${first}::int, ${last}::int) at`.execute(db)
  }
}

export const writersIn = async (db: Db, space: SpaceUri): Promise<number> =>
  (await db.selectFrom('writer').select('repo').where('space', '=', space).execute()).length

export interface Lane {
  readonly id: number
  readonly ended_at_ms: number | null
  readonly look_at_ms: number | null
  readonly turn: number
}

export const lanesOf = (db: Db, space: SpaceUri): Promise<readonly Lane[]> =>
  db
    .selectFrom('registration')
    .select(['id', 'ended_at_ms', 'look_at_ms', 'turn'])
    .where('space', '=', space)
    .orderBy('id')
    .execute()

export const noteOf = (db: Db, space: SpaceUri) =>
  db.selectFrom('space_end').select(['told', 'ended_at_ms']).where('space', '=', space).executeTakeFirst()

/** The two who follow ends, as one process has them. It notes how often somebody was to be told. */
export function endsOn(
  roll: Roll,
  { db = roll.db, isStillHeld = async () => false, log = silentLog }: EndsOptions = {},
) {
  const dispatcher = {
    rouse() {
      ends.roused += 1
    },
  }
  const ctx = { ...roll, db, log, isStillHeld, dispatcher }
  const ends = {
    roused: 0,
    follow: (signal?: AbortSignal) => followSpaceEnds(ctx, signal),
    clear: (signal?: AbortSignal) => clearEndedSpaces(ctx, signal),
    async finish() {
      return (await ends.follow()) + (await ends.clear())
    },
  }
  return ends
}

interface EndsOptions {
  readonly db?: Db
  readonly isStillHeld?: (space: SpaceUri) => Promise<boolean>
  readonly log?: Log
}
