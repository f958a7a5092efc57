/** The tables of registrations: who asked to hear of writes in a space, by whose access, and until when. */
import { type Generated, sql } from 'kysely'
import type { ClientId, Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    registration: {
      id: Generated<number>
      space: string
      community: string
      service: string
      host: string
      registered_at_ms: number
      expires_at_ms: number
      proved_at_ms: number | null
      paused_at_ms: number | null
      paused_by: string | null
      ended_at_ms: number | null
      delivered_rev: number
      look_at_ms: number | null
      taken_until_ms: Generated<number>
      turn: Generated<number>
      checked_revision: number
      checked_at_ms: number
      delivered_at_ms: number | null
      gaps: Generated<number>
      failures: Generated<number>
      failing_since_ms: number | null
      last_error: string | null
    }
    registration_sponsor: { registration: number; did: string; client_id: string; since_ms: number }
  }
}

/** A person and the app by which they read; the app is null when it proved nothing. */
export interface Sponsor {
  readonly did: Did
  readonly clientId: ClientId | null
}

/** A registration as those who change it find it. */
export interface Found {
  readonly id: number
  readonly host: string
  readonly expiresAtMs: number
  readonly provedAtMs: number | null
}

/** How long the end of a space is still told to somebody, and the row kept for it. */
const ENDED_KEPT_MS = 24 * 60 * 60 * 1000

const clientIdText = (clientId: ClientId | null): string => clientId ?? ''
const clientIdOf = (text: string): ClientId | null => (text === '' ? null : (text as ClientId))

/** The state of a space, which nobody changes until the transaction ends. Null: there never was one. */
export async function holdSpace(tx: Tx, space: SpaceUri): Promise<'live' | 'deleted' | null> {
  const row = await tx.selectFrom('space').select('state').where('uri', '=', space).forShare().executeTakeFirst()
  return row?.state ?? null
}

/**
 * The newest space revision, held until the transaction ends: no write gets another one meanwhile, nobody is roused, and nobody else
 * registers in the space. So what was written before is not this registration's to hear of, what comes after rouses it, and
 * those who register at once are counted one after the other. 0: nobody wrote there yet.
 */
export async function holdWriterSet(tx: Tx, { uri, authority }: SpaceName): Promise<number> {
  await tx
    .insertInto('writer_set')
    .values({ space: uri, community: authority, last_rev: 0, told_rev: 0 })
    .onConflict((conflict) => conflict.column('space').doNothing())
    .execute()
  const row = await tx
    .selectFrom('writer_set')
    .select('last_rev')
    .where('space', '=', uri)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow()
  return row.last_rev
}

/** What is registered under a name, held: one that lives, or one that is to hear of the end of a former space, or none. */
async function holdAll(tx: Tx, space: SpaceUri, service: string) {
  return tx
    .selectFrom('registration')
    .select(['id', 'host', 'expires_at_ms', 'proved_at_ms', 'ended_at_ms'])
    .where('space', '=', space)
    .where('service', '=', service)
    .orderBy('id')
    .forUpdate()
    .execute()
}

/** The registration of a service in a space that is in force, held until the transaction ends. */
export async function holdRegistration(tx: Tx, space: SpaceUri, service: string, nowMs: number): Promise<Found | null> {
  const rows = await holdAll(tx, space, service)
  const row = rows.find(({ ended_at_ms, expires_at_ms }) => ended_at_ms === null && expires_at_ms > nowMs)
  if (!row) return null
  return { id: row.id, host: row.host, expiresAtMs: row.expires_at_ms, provedAtMs: row.proved_at_ms }
}

/** All registrations of a service in a space, whether they are in force or not, held, each with its sponsors. */
export async function holdSponsored(
  tx: Tx,
  space: SpaceUri,
  service: string,
): Promise<readonly { readonly id: number; readonly sponsors: readonly Sponsor[] }[]> {
  const ids = (await holdAll(tx, space, service)).map(({ id }) => id)
  const sponsors = await listSponsors(tx, ids)
  return ids.map((id) => ({ id, sponsors: sponsors.get(id) ?? [] }))
}

/** Whoever sponsors each of some registrations, in the order of their names. */
export async function listSponsors(db: Db | Tx, ids: readonly number[]): Promise<ReadonlyMap<number, Sponsor[]>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('registration_sponsor')
    .select(['registration', 'did', 'client_id'])
    .where('registration', 'in', ids)
    .orderBy('did')
    .orderBy('client_id')
    .execute()
  const byId = Map.groupBy(rows, ({ registration }) => registration)
  return new Map(
    [...byId].map(([id, some]) => [
      id,
      some.map((row) => ({ did: row.did as Did, clientId: clientIdOf(row.client_id) })),
    ]),
  )
}

/** How many registrations of a space are in force. */
export async function countInSpace(tx: Tx, space: SpaceUri, nowMs: number): Promise<number> {
  const row = await tx
    .selectFrom('registration')
    .select((where) => where.fn.countAll<number>().as('count'))
    .where('space', '=', space)
    .where('ended_at_ms', 'is', null)
    .where('expires_at_ms', '>', nowMs)
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/** How many registrations of a space in force somebody sponsors, with whatever app, besides one. */
export async function countOfPerson(
  tx: Tx,
  space: SpaceUri,
  did: Did,
  about: { readonly besides: number | null; readonly nowMs: number },
): Promise<number> {
  const row = await tx
    .selectFrom('registration_sponsor')
    .innerJoin('registration', 'registration.id', 'registration_sponsor.registration')
    .select((where) => where.fn.count<number>('registration.id').distinct().as('count'))
    .where('registration_sponsor.did', '=', did)
    .where('registration.space', '=', space)
    .where('registration.ended_at_ms', 'is', null)
    .where('registration.expires_at_ms', '>', about.nowMs)
    .$if(about.besides !== null, (query) => query.where('registration.id', '<>', about.besides))
    .executeTakeFirstOrThrow()
  return Number(row.count)
}

/**
 * What is known of a host, while nobody else asks: when it last was found to answer well for somebody who is still registered, and how many
 * registrations there wait for a first answer, over all spaces, or of the services of one DID in one community. Their spaces have no row
 * in common, so the host's name is what is locked; it is taken last, and held to the end of the transaction.
 */
export async function holdHost(
  tx: Tx,
  host: string,
  { own, nowMs }: { own: { readonly did: string; readonly community: Did } | null; nowMs: number },
): Promise<{ provedAtMs: number | null; unproved: number }> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`reeve registration at ${host}`}, 0))`.execute(tx)
  const counted = own ? sql`community = ${own.community} and split_part(service, '#', 1) = ${own.did}` : sql`true`
  const { rows } = await sql<{ provedAtMs: number | null; unproved: number }>`select
      (select proved_at_ms from registration
        where host = ${host} and proved_at_ms is not null and expires_at_ms > ${nowMs}::bigint limit 1) as "provedAtMs",
      (select count(*)::int from registration
        where host = ${host} and proved_at_ms is null and expires_at_ms > ${nowMs}::bigint and ${counted}) as "unproved"`.execute(
    tx,
  )
  return rows[0] ?? { provedAtMs: null, unproved: 0 }
}

/** A registration that is new. */
export interface NewRegistration {
  readonly space: SpaceName
  readonly service: string
  readonly host: string
  readonly expiresAtMs: number
  readonly provedAtMs: number | null
  /** The newest space revision: what comes after it is told. */
  readonly fromRev: number
  /** Where the community stood, and when, as its first sponsor was judged. */
  readonly checkedRevision: number
  readonly checkedAtMs: number
}

/** Writes a registration and answers its number. What stood there under its name, and is over, goes. */
export async function insertRegistration(tx: Tx, made: NewRegistration, nowMs: number): Promise<number> {
  const { uri, authority } = made.space
  await tx.deleteFrom('registration').where('space', '=', uri).where('service', '=', made.service).execute()
  const { id } = await tx
    .insertInto('registration')
    .values({
      space: uri,
      community: authority,
      service: made.service,
      host: made.host,
      registered_at_ms: nowMs,
      expires_at_ms: made.expiresAtMs,
      proved_at_ms: made.provedAtMs,
      delivered_rev: made.fromRev,
      checked_revision: made.checkedRevision,
      checked_at_ms: made.checkedAtMs,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

/** Moves the end of a registration, and the host to where its service is now. */
export async function renewRegistration(
  tx: Tx,
  id: number,
  to: { readonly expiresAtMs: number; readonly host: string; readonly provedAtMs: number | null },
): Promise<void> {
  await tx
    .updateTable('registration')
    .set({ expires_at_ms: to.expiresAtMs, host: to.host, proved_at_ms: to.provedAtMs })
    .where('id', '=', id)
    .execute()
}

export async function insertSponsor(tx: Tx, id: number, { did, clientId }: Sponsor, nowMs: number): Promise<void> {
  await tx
    .insertInto('registration_sponsor')
    .values({ registration: id, did, client_id: clientIdText(clientId), since_ms: nowMs })
    .execute()
}

export async function deleteSponsors(tx: Tx, id: number, some: readonly Sponsor[]): Promise<void> {
  const dids = some.map(({ did }) => did)
  const clientIds = some.map(({ clientId }) => clientIdText(clientId))
  await sql`delete from registration_sponsor where registration = ${id}
    and (did, client_id) in (select * from unnest(${dids}::text[], ${clientIds}::text[]))`.execute(tx)
}

/**
 * Takes the word of one sponsor away who has no entry on any roster of the community, the one who gave it first. False: all of them have
 * one.
 */
export async function giveWay(tx: Tx, id: number): Promise<boolean> {
  const { numAffectedRows } = await sql`delete from registration_sponsor where registration = ${id}
    and (did, client_id) = (
      select sponsor.did, sponsor.client_id from registration_sponsor sponsor
      join registration on registration.id = sponsor.registration
      where sponsor.registration = ${id} and not exists (
        select from person_edge edge where edge.community = registration.community and edge.did = sponsor.did
      )
      order by sponsor.since_ms, sponsor.did, sponsor.client_id limit 1
    )`.execute(tx)
  return numAffectedRows === 1n
}

/** Ends a registration; its sponsors go with it. */
export async function deleteRegistration(tx: Tx, id: number): Promise<void> {
  await tx.deleteFrom('registration').where('id', '=', id).execute()
}

/**
 * Deletes at most `max` registrations whose time is over, and answers how many. Who was registered as a space ended is told of it even
 * if their own time has passed since, for a day.
 */
export async function forgetExpired(db: Db, nowMs: number, max: number): Promise<number> {
  const over = db
    .selectFrom('registration')
    .select('id')
    .where('expires_at_ms', '<=', nowMs)
    .where((row) => row.or([row('ended_at_ms', 'is', null), row('ended_at_ms', '<=', nowMs - ENDED_KEPT_MS)]))
    .limit(max)
    .forUpdate()
    .skipLocked()
  const { numDeletedRows } = await db.deleteFrom('registration').where('id', 'in', over).executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/** The newest of what is kept of a registration, for those who configure its space. Times are milliseconds since 1970. */
export interface Listed {
  readonly id: number
  readonly service: string
  readonly registeredAtMs: number
  readonly expiresAtMs: number
  readonly pausedAtMs: number | null
  readonly pausedBy: Did | null
  readonly endedAtMs: number | null
  readonly deliveredRev: number
  readonly lookAtMs: number | null
  readonly deliveredAtMs: number | null
  readonly gaps: number
  readonly failures: number
  readonly failingSinceMs: number | null
  readonly lastError: string | null
  /** How many repos it has to hear of, counted up to WAITING_COUNTED, and the oldest space revision among them. */
  readonly waiting: number
  readonly oldestRev: number | null
}

/** The place of a registration in the order of a list. */
export type Place = Pick<Listed, 'registeredAtMs' | 'service'>

/** How far what waits is counted. */
const WAITING_COUNTED = 1_000

/** Registrations of a space that are in force, or have to hear of its end, in the order in which they were made. */
export async function listRegistrations(
  db: Db,
  space: SpaceUri,
  page: { readonly nowMs: number; readonly after: Place | null; readonly limit: number },
): Promise<readonly Listed[]> {
  const { nowMs, after, limit } = page
  const rest = after
    ? sql`and (registered_at_ms, service) > (${after.registeredAtMs}::bigint, ${after.service})`
    : sql``
  const { rows } =
    await sql<Listed>`select id, service, registered_at_ms as "registeredAtMs", expires_at_ms as "expiresAtMs",
      paused_at_ms as "pausedAtMs", paused_by as "pausedBy", ended_at_ms as "endedAtMs", delivered_rev as "deliveredRev",
      look_at_ms as "lookAtMs", delivered_at_ms as "deliveredAtMs", gaps, failures, failing_since_ms as "failingSinceMs",
      last_error as "lastError", ${waitingOf}, case when ended_at_ms is null then (
        select min(space_rev) from writer where writer.space = registration.space and space_rev > delivered_rev
      ) end as "oldestRev"
    from registration
    where space = ${space} and (expires_at_ms > ${nowMs}::bigint or ended_at_ms is not null) ${rest}
    order by registered_at_ms, service limit ${limit}`.execute(db)
  return rows
}

/** What is in the writer set belongs to the space that is there now, and not to one that ended. */
const waitingOf = sql`case when ended_at_ms is null then (select count(*)::int from (
    select from writer where writer.space = registration.space and space_rev > delivered_rev limit ${WAITING_COUNTED}
  ) as counted) else 0 end as waiting`

/** How many repos a registration has to hear of, counted up to WAITING_COUNTED. */
export async function countWaiting(tx: Tx, id: number): Promise<number> {
  const { rows } = await sql<{ waiting: number }>`select ${waitingOf} from registration where id = ${id}`.execute(tx)
  return rows[0]?.waiting ?? 0
}

/** Nobody takes it up until it is resumed; who delivers to it in this moment finishes what they took. False: it was paused already. */
export async function pauseRegistration(
  tx: Tx,
  permit: Permit<'space.configure'>,
  id: number,
  nowMs: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('registration')
    .set({ paused_at_ms: nowMs, paused_by: permit.actor })
    .where('id', '=', id)
    .where('paused_at_ms', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

/** As if it had never failed: due at once, and whoever delivers to it in this moment has lost it. */
const AFRESH = { failures: 0, failing_since_ms: null, look_at_ms: 0, taken_until_ms: 0 } as const

/** Takes it up again. False: it was neither paused nor failing. */
export async function resumeRegistration(tx: Tx, _permit: Permit<'space.configure'>, id: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('registration')
    .set((row) => ({ ...AFRESH, turn: row('turn', '+', 1), paused_at_ms: null, paused_by: null }))
    .where('id', '=', id)
    .where((row) => row.or([row('paused_at_ms', 'is not', null), row('failures', '>', 0)]))
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

/**
 * Sets it back to a space revision, never forward, and has it hear of everything after that. The new turn keeps a delivery that is
 * under way from noting how far it got, or that would undo this.
 */
export async function replayRegistration(
  tx: Tx,
  _permit: Permit<'space.configure'>,
  id: number,
  fromRev: number,
): Promise<void> {
  await sql`update registration set delivered_rev = least(delivered_rev, ${fromRev}::bigint),
      look_at_ms = 0, taken_until_ms = 0, turn = turn + 1, failures = 0, failing_since_ms = null
    where id = ${id}`.execute(tx)
}
