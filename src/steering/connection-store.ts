/** The tables of the grants of communities' accounts: attempts to connect, and connections. Tokens pass through here sealed. */
import { sql } from 'kysely'
import type { SealedBlob } from '../keys/vault.ts'
import type { Did, Nsid } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { OWNER_MARK } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'
import { scopesIn } from './scopes.ts'

export interface Attempt {
  readonly id: string
  readonly community: Did
  readonly begunBy: Did
  readonly asked: readonly string[]
  readonly browserHash: string | null
  readonly sealed: SealedBlob | null
  readonly expiresAtMs: number
}

export interface NewAttempt {
  readonly id: string
  readonly community: Did
  readonly begunBy: Did
  readonly asked: readonly string[]
  readonly linkHash: string
  readonly expiresAtMs: number
}

export interface Connection {
  readonly community: Did
  readonly state: 'connected' | 'lost'
  readonly because: string | null
  readonly asked: readonly string[]
  readonly granted: readonly string[]
  readonly connectedBy: Did
  readonly connectedAtMs: number
  readonly stateSinceMs: number
  readonly sealed: SealedBlob | null
  /**
   * Another with every change of the tokens, also when the row was gone in between: what was read under one is worth nothing under the
   * next.
   */
  readonly version: number
  /** When the PDS gave the tokens. */
  readonly renewedAtMs: number
}

const blobOf = (sealed: Uint8Array | null, dekVersion: number | null): SealedBlob | null =>
  sealed && dekVersion !== null ? { sealed, dekVersion } : null

/** The types of a community's living spaces that are at its PDS, each once, in their order. */
export async function listBoundTypes(db: Db | Tx, community: Did): Promise<readonly Nsid[]> {
  const rows = await db
    .selectFrom('space')
    .select('space_type')
    .distinct()
    .where('community', '=', community)
    .where('state', '=', 'live')
    .where('bound_at_ms', 'is not', null)
    .orderBy('space_type')
    .execute()
  return rows.map((row) => row.space_type as Nsid)
}

/** How many attempts of a community may still be gone through. */
export async function countAttempts(db: Db | Tx, community: Did, nowMs: number): Promise<number> {
  const { n } = await db
    .selectFrom('connect_attempt')
    .select(({ fn }) => fn.countAll<number>().as('n'))
    .where('community', '=', community)
    .where('expires_at_ms', '>', nowMs)
    .executeTakeFirstOrThrow()
  return Number(n)
}

export async function insertAttempt(tx: Tx, _permit: Permit<typeof OWNER_MARK>, attempt: NewAttempt): Promise<void> {
  await tx
    .insertInto('connect_attempt')
    .values({
      ...{ id: attempt.id, community: attempt.community, begun_by: attempt.begunBy, asked: attempt.asked.join(' ') },
      ...{ link_hash: attempt.linkHash, expires_at_ms: attempt.expiresAtMs },
    })
    .execute()
}

export const loadAttemptByLink = (db: Db, linkHash: string): Promise<Attempt | null> =>
  loadAttempt(db, 'link_hash', linkHash)

export const loadAttemptByState = (db: Db, state: string): Promise<Attempt | null> => loadAttempt(db, 'state', state)

async function loadAttempt(db: Db, column: 'link_hash' | 'state', value: string): Promise<Attempt | null> {
  const row = await db
    .selectFrom('connect_attempt')
    .select(['id', 'community', 'begun_by', 'asked', 'browser_hash', 'sealed', 'dek_version', 'expires_at_ms'])
    .where(column, '=', value)
    .executeTakeFirst()
  if (!row) return null
  return {
    ...{ id: row.id, community: row.community, begunBy: row.begun_by, asked: scopesIn(row.asked) },
    ...{ browserHash: row.browser_hash, sealed: blobOf(row.sealed, row.dek_version), expiresAtMs: row.expires_at_ms },
  }
}

/** Gives an attempt to the first browser that goes on from it. Whether this one was the first. */
export async function takeAttempt(db: Db, id: string, browserHash: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('connect_attempt')
    .set({ browser_hash: browserHash })
    .where('id', '=', id)
    .where('browser_hash', 'is', null)
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Gives it back: the browser was told nothing by which it could go on. */
export async function freeAttempt(db: Db, id: string, browserHash: string): Promise<void> {
  await db
    .updateTable('connect_attempt')
    .set({ browser_hash: null })
    .where('id', '=', id)
    .where('browser_hash', '=', browserHash)
    .execute()
}

/** Notes under which word the browser comes back, and what has to be known then. An earlier word of the same attempt is good no more. */
export async function saveAttemptState(db: Db, id: string, state: string, blob: SealedBlob): Promise<void> {
  await db
    .updateTable('connect_attempt')
    .set({ state, sealed: blob.sealed, dek_version: blob.dekVersion })
    .where('id', '=', id)
    .execute()
}

/** Spends the word under which a browser came back. Whether it was there: of two that bring it at once, one has spent it. */
export async function spendAttemptState(db: Db, id: string, state: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('connect_attempt')
    .set({ state: null, sealed: null, dek_version: null })
    .where('id', '=', id)
    .where('state', '=', state)
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Forgets an attempt. Whether it was there. */
export async function deleteAttempt(db: Db | Tx, id: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('connect_attempt').where('id', '=', id).executeTakeFirst()
  return Number(numDeletedRows) === 1
}

/** Forgets attempts whose time is over. How many. */
export async function forgetAttempts(db: Db, nowMs: number, max: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from connect_attempt where id in
    (select id from connect_attempt where expires_at_ms <= ${nowMs} limit ${max})`.execute(db)
  return Number(numAffectedRows ?? 0)
}

const CONNECTION = [
  'community',
  'pds_connection.state',
  'because',
  'asked',
  'granted',
  'connected_by',
  'connected_at_ms',
  'state_since_ms',
  'sealed',
  'dek_version',
  'version',
  'renewed_at_ms',
] as const

/** The connection of a community, lost ones too. */
export async function loadConnection(db: Db | Tx, community: Did): Promise<Connection | null> {
  const row = await db
    .selectFrom('pds_connection')
    .select(CONNECTION)
    .where('community', '=', community)
    .executeTakeFirst()
  return row ? connectionOf(row) : null
}

/** The same, as far as it may be used: not lost, and its account consents to be decided about here. */
export async function loadUsableConnection(db: Db, community: Did): Promise<Connection | null> {
  const row = await db
    .selectFrom('pds_connection')
    .innerJoin('community_revision', 'community_revision.community', 'pds_connection.community')
    .select(['pds_connection.community', 'pds_connection.state', 'because', 'asked', 'granted', 'connected_by'])
    .select(['connected_at_ms', 'state_since_ms', 'sealed', 'dek_version', 'version', 'renewed_at_ms'])
    .where('pds_connection.community', '=', community)
    .where('pds_connection.state', '=', 'connected')
    .where('released_at_ms', 'is', null)
    .executeTakeFirst()
  return row ? connectionOf(row) : null
}

/** The turn of whoever looks after a grant that nobody uses. It isn't given back, but ends when it is time to look again. */
export const watchTurnOf = (community: Did): string => `watch ${community}`

/**
 * Communities whose connection works, as far as is known, and after which nobody has looked for long: those first for whom it is longest.
 * By any other order, some whose PDSes hang would be due again before the others had their turn, and nobody would learn what these lost.
 */
export async function listUnwatched(db: Db, nowMs: number, limit: number): Promise<readonly Did[]> {
  const { rows } = await sql<{ community: Did }>`select community from pds_connection
    left join held_turn on held_turn.name = 'watch ' || pds_connection.community
    where state = 'connected' and (until_ms is null or until_ms <= ${nowMs})
    order by until_ms nulls first, community limit ${limit}`.execute(db)
  return rows.map((row) => row.community)
}

interface ConnectionRow {
  readonly community: Did
  readonly state: 'connected' | 'lost'
  readonly because: string | null
  readonly asked: string
  readonly granted: string
  readonly connected_by: Did
  readonly connected_at_ms: number
  readonly state_since_ms: number
  readonly sealed: Uint8Array | null
  readonly dek_version: number | null
  readonly version: number
  readonly renewed_at_ms: number
}

const connectionOf = (row: ConnectionRow): Connection => ({
  ...{ community: row.community, state: row.state, because: row.because },
  ...{ asked: scopesIn(row.asked), granted: scopesIn(row.granted), connectedBy: row.connected_by },
  ...{ connectedAtMs: row.connected_at_ms, stateSinceMs: row.state_since_ms },
  ...{ sealed: blobOf(row.sealed, row.dek_version), version: row.version, renewedAtMs: row.renewed_at_ms },
})

export interface NewConnection {
  readonly community: Did
  readonly asked: readonly string[]
  readonly granted: readonly string[]
  readonly connectedBy: Did
  readonly blob: SealedBlob
}

/**
 * Keeps a new grant in the place of the one before, whose tokens are gone with it. A first one is numbered by the clock: numbered from one, it
 * would be taken for the grant that was given back a moment ago by a process that still has that one open, and be lost in its place.
 */
export async function saveConnection(
  tx: Tx,
  _permit: Permit<typeof OWNER_MARK>,
  { community, asked, granted, connectedBy, blob }: NewConnection,
  nowMs: number,
): Promise<void> {
  const grant = {
    ...{ state: 'connected' as const, because: null, asked: asked.join(' '), granted: granted.join(' ') },
    ...{ connected_by: connectedBy, connected_at_ms: nowMs, state_since_ms: nowMs },
    ...{ sealed: blob.sealed, dek_version: blob.dekVersion, renewed_at_ms: nowMs },
  }
  await tx
    .insertInto('pds_connection')
    .values({ community, ...grant, version: nowMs })
    .onConflict((conflict) =>
      conflict.column('community').doUpdateSet((of) => ({ ...grant, version: of('pds_connection.version', '+', 1) })),
    )
    .execute()
}

/**
 * Keeps renewed tokens, unless others were kept since those of `version` were read. `stateSinceMs`: now, where the grant begins or ceases
 * to cover less than was asked; null: nothing of that kind.
 */
export async function saveRenewed(
  tx: Tx,
  { community, version }: Pick<Connection, 'community' | 'version'>,
  renewed: {
    readonly granted: readonly string[]
    readonly blob: SealedBlob
    readonly stateSinceMs: number | null
    readonly nowMs: number
  },
): Promise<boolean> {
  const { granted, blob, stateSinceMs, nowMs } = renewed
  const { numUpdatedRows } = await tx
    .updateTable('pds_connection')
    .set({
      ...{ granted: granted.join(' '), sealed: blob.sealed, dek_version: blob.dekVersion, version: version + 1 },
      renewed_at_ms: nowMs,
      ...(stateSinceMs === null ? {} : { state_since_ms: stateSinceMs }),
    })
    .where('community', '=', community)
    .where('version', '=', version)
    .where('state', '=', 'connected')
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Notes that a grant is no more, and forgets its tokens; nothing, when there are others by now. */
export async function saveLost(
  tx: Tx,
  { community, version }: Pick<Connection, 'community' | 'version'>,
  because: string,
  nowMs: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('pds_connection')
    .set({
      ...{ state: 'lost', because, state_since_ms: nowMs, sealed: null, dek_version: null, version: version + 1 },
    })
    .where('community', '=', community)
    .where('version', '=', version)
    .where('state', '=', 'connected')
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Forgets a connection and every attempt at another one. */
export async function deleteConnection(tx: Tx, _permit: Permit<typeof OWNER_MARK>, community: Did): Promise<void> {
  await tx.deleteFrom('connect_attempt').where('community', '=', community).execute()
  await tx.deleteFrom('pds_connection').where('community', '=', community).execute()
}

/** Forgets a connection whose grant was given back, as long as its tokens are still those. */
export async function forgetGivenBack(
  db: Db,
  { community, version }: Pick<Connection, 'community' | 'version'>,
): Promise<void> {
  await db.deleteFrom('pds_connection').where('community', '=', community).where('version', '=', version).execute()
}

/** What is sealed in a row, and whose it is. */
interface SealedRow {
  readonly community: Did
  readonly blob: SealedBlob
}

/** Tokens of all connections that have some, in the order of their communities, those after `after`; `max` at most. */
export async function listSealedConnections(db: Db, after: string, max: number): Promise<readonly SealedRow[]> {
  const rows = await db
    .selectFrom('pds_connection')
    .select(['community', 'sealed', 'dek_version'])
    .where('community', '>', after as Did)
    .where('sealed', 'is not', null)
    .orderBy('community')
    .limit(max)
    .execute()
  return rows.flatMap(({ community, sealed, dek_version }) => {
    const blob = blobOf(sealed, dek_version)
    return blob ? [{ community, blob }] : []
  })
}

/** The same of attempts that wait for a browser to come back, in the order of their ids. */
export async function listSealedAttempts(
  db: Db,
  after: string,
  max: number,
): Promise<readonly (SealedRow & { readonly id: string })[]> {
  const rows = await db
    .selectFrom('connect_attempt')
    .select(['id', 'community', 'sealed', 'dek_version'])
    .where('id', '>', after)
    .where('sealed', 'is not', null)
    .orderBy('id')
    .limit(max)
    .execute()
  return rows.flatMap(({ id, community, sealed, dek_version }) => {
    const blob = blobOf(sealed, dek_version)
    return blob ? [{ id, community, blob }] : []
  })
}
