/** Registering to hear of writes, as a syncer does, and what is kept of it. */
import { sql } from 'kysely'
import { authorityOf, type SpaceUri } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'
import type { Scene } from './exchange.ts'
import { type Held, present, type Shown } from './presentation.ts'
import type { Answer } from './world.ts'

export const REGISTER = 'com.atproto.space.registerNotify'
export const UNREGISTER = 'com.atproto.space.unregisterNotify'

type More = Omit<Shown, 'procedure'>

export const register = (scene: Scene, held: Held, service: unknown, more: More = {}): Promise<Answer> =>
  present(scene, held, { ...more, procedure: { nsid: REGISTER, body: { space: more.asked ?? held.space, service } } })

export const unregister = (scene: Scene, held: Held, service: unknown, more: More = {}): Promise<Answer> =>
  present(scene, held, { ...more, procedure: { nsid: UNREGISTER, body: { space: more.asked ?? held.space, service } } })

/** `200`, or the status and the name of the error. */
export const saidOf = ({ status, body }: Answer): string => (status === 200 ? '200' : `${status} ${body.error}`)

export interface RegistrationRow {
  readonly id: number
  readonly space: string
  readonly service: string
  readonly host: string
  readonly registered_at_ms: number
  readonly expires_at_ms: number
  readonly proved_at_ms: number | null
  readonly paused_at_ms: number | null
  readonly ended_at_ms: number | null
  readonly delivered_rev: number
  readonly look_at_ms: number | null
  readonly turn: number
  readonly checked_revision: number
  readonly failures: number
  readonly failing_since_ms: number | null
  /** `did clientId`, in order. */
  readonly sponsors: readonly string[]
}

/** Every registration, in the order in which they were made. */
export async function registrations(database: TestDatabase): Promise<readonly RegistrationRow[]> {
  const { rows } = await sql<RegistrationRow>`select registration.*, array(
      select did || ' ' || client_id from registration_sponsor where registration = registration.id order by did, client_id
    ) as sponsors from registration order by id`.execute(database.db)
  return rows
}

export interface Given {
  readonly space: string
  readonly service: string
  readonly host?: string
  readonly expiresAtMs: number
  readonly provedAtMs?: number | null
  readonly endedAtMs?: number | null
  readonly sponsors?: readonly string[]
  readonly more?: Readonly<Record<string, number | string | null>>
}

/** Registrations that are there without anybody having asked, many at once. */
export async function putRegistrations(database: TestDatabase, some: readonly Given[]): Promise<void> {
  const rows = some.map((one) => ({
    ...{ space: one.space, community: authorityOf(one.space as SpaceUri), service: one.service },
    ...{ host: one.host ?? 'sync.example.com', registered_at_ms: 1, expires_at_ms: one.expiresAtMs },
    ...{ proved_at_ms: one.provedAtMs ?? null, ended_at_ms: one.endedAtMs ?? null },
    ...{ delivered_rev: 0, checked_revision: 0, checked_at_ms: 0, ...one.more },
  }))
  const made = await database.db.insertInto('registration').values(rows).returning('id').execute()
  const sponsors = some.flatMap(({ sponsors = [] }, at) =>
    sponsors.map((did) => ({ registration: made[at]?.id ?? 0, did, client_id: '', since_ms: 1 })),
  )
  if (sponsors.length > 0) await database.db.insertInto('registration_sponsor').values(sponsors).execute()
}

export const forgetRegistrations = (database: TestDatabase) => sql`delete from registration`.execute(database.db)

/** Repos that wrote in a space, the first of them at `firstRev`, each a microsecond after the one before. */
export async function putWriters(
  database: TestDatabase,
  space: string,
  { count, firstRev }: { readonly count: number; readonly firstRev: number },
): Promise<void> {
  const community = authorityOf(space as SpaceUri)
  await sql`insert into writer_set (space, community, last_rev, told_rev)
    values (${space}, ${community}, ${firstRev + count - 1}, ${firstRev + count - 1})
    on conflict (space) do update set last_rev = excluded.last_rev, told_rev = excluded.told_rev`.execute(database.db)
  await sql`insert into writer (space, repo, community, repo_rev, hash, space_rev, host)
    select ${space}, 'did:web:w' || nth || '.example.com', ${community}, '3kaaaaaaaaaaa', null, ${firstRev}::bigint + nth, null
    from generate_series(0, ${count}::int - 1) nth`.execute(database.db)
}
