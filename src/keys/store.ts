/**
 * The tables of the keys room: sealed keys, wrapped DEKs. Ciphertext only passes through here; nothing here can open it.
 */
import { type ColumnType, sql } from 'kysely'
import type { Did, DidKey } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Secret } from '../platform/secret.ts'
import type { FoundedPurpose, KeyPurpose } from './envelope.ts'

/**
 * `pending`: made, not in the DID document yet. `active`: confirmed there, and the only state that signs. `retiring`: replaced
 * there, while what it signed still lives. `retired`: over. `destroyed`: its envelope is gone.
 */
export type KeyState = 'pending' | 'active' | 'retiring' | 'retired' | 'destroyed'

declare module '../platform/database.ts' {
  interface Tables {
    dek: { community: Did; version: number; wrapped: Uint8Array; kek_id: string; created_at_ms: number }
    key: {
      id: string
      community: Did
      purpose: KeyPurpose
      did_key: DidKey
      state: KeyState
      dek_version: number | null
      sealed: Uint8Array | null
      created_at_ms: number
      state_since_ms: number
      flags: ColumnType<KeyFlag[], KeyFlag[] | undefined>
      stands_aside: ColumnType<boolean, boolean | undefined>
      arrival: ColumnType<string | null, string | null | undefined>
    }
  }
}

/** What happened to a key and is never forgotten of it: a copy is outside, it was put together from shares here, somebody may have seen it. */
export type KeyFlag = 'exported' | 'combinedOnServer' | 'suspect'

/** A key as anybody may see it. */
export interface HeldKey {
  readonly id: string
  readonly purpose: KeyPurpose
  readonly didKey: DidKey
  readonly state: KeyState
  readonly flags: readonly KeyFlag[]
  /** Whether it is a space key beside which the `atproto` key signs credentials for a while. */
  readonly standsAside: boolean
  readonly createdAtMs: number
  readonly stateSinceMs: number
}

/** A DEK as it lies at rest. */
export interface WrappedDek {
  readonly dekVersion: number
  readonly wrapped: Uint8Array
  readonly kekId: string
}

/** A key with its envelope and the DEK that opens it, both still closed. */
export interface SealedKey extends WrappedDek {
  readonly id: string
  readonly didKey: DidKey
  readonly sealed: Uint8Array
}

/** What a founding leaves to be kept: one DEK and the keys sealed under it. Made by the vault, opaque on the way here. */
export interface FoundedRows {
  readonly community: Did
  readonly dek: { readonly version: number; readonly wrapped: Uint8Array; readonly kekId: string }
  readonly keys: readonly {
    readonly id: string
    readonly purpose: FoundedPurpose
    readonly didKey: DidKey
    readonly sealed: Uint8Array
  }[]
}

/** What an arrival leaves to be kept. Made by the vault, opaque on the way here. */
export interface ArrivalRows extends Pick<FoundedRows, 'community' | 'keys'> {
  readonly dekVersion: number
}

/** Keeps the keys of a community that may come, as `pending`. Must be committed before anybody is shown the statement that names them. */
export async function saveArrivalKeys(
  tx: Tx,
  arrival: string,
  made: Secret<ArrivalRows>,
  nowMs: number,
): Promise<void> {
  const { community, dekVersion, keys } = made.reveal()
  const common = { community, arrival, state: 'pending' as const, dek_version: dekVersion }
  const times = { created_at_ms: nowMs, state_since_ms: nowMs }
  await tx
    .insertInto('key')
    .values(
      keys.map(({ id, purpose, didKey, sealed }) => ({ ...common, ...times, id, purpose, did_key: didKey, sealed })),
    )
    .execute()
}

/** Makes the keys of one arrival `active`, once the DID's log was seen to name them. Answers how many: all three. */
export async function activateArrivedKeys(tx: Tx, arrival: string, nowMs: number): Promise<number> {
  const result = await tx
    .updateTable('key')
    .set({ state: 'active', state_since_ms: nowMs, arrival: null })
    .where('arrival', '=', arrival)
    .where('state', '=', 'pending')
    .executeTakeFirst()
  return Number(result.numUpdatedRows)
}

/** Destroys keys that never came into a document: nothing is left of them. */
export async function destroyArrivalKeys(tx: Tx, arrivals: readonly string[]): Promise<void> {
  if (arrivals.length > 0) await tx.deleteFrom('key').where('arrival', 'in', arrivals).execute()
}

/**
 * Keeps the keys of a community that is being founded, as `pending`. Must be committed before the community's first operation
 * leaves the house: a DID whose rotation key was lost is nobody's for ever.
 */
export async function saveFoundedKeys(tx: Tx, founded: Secret<FoundedRows>, nowMs: number): Promise<void> {
  const { community, dek, keys } = founded.reveal()
  await tx
    .insertInto('dek')
    .values({ community, version: dek.version, wrapped: dek.wrapped, kek_id: dek.kekId, created_at_ms: nowMs })
    .execute()
  await tx
    .insertInto('key')
    .values(
      keys.map((key) => ({
        id: key.id,
        community,
        purpose: key.purpose,
        did_key: key.didKey,
        state: 'pending' as const,
        dek_version: dek.version,
        sealed: key.sealed,
        created_at_ms: nowMs,
        state_since_ms: nowMs,
      })),
    )
    .execute()
}

/**
 * Makes the founded keys of a community `active`, once its DID document has been read back with them in it. Answers how many
 * changed: all three, or none when this was done before.
 */
export async function activateFoundedKeys(tx: Tx, community: Did, nowMs: number): Promise<number> {
  const result = await tx
    .updateTable('key')
    .set({ state: 'active', state_since_ms: nowMs })
    .where('community', '=', community)
    .where('state', '=', 'pending')
    .where('arrival', 'is', null)
    .executeTakeFirst()
  return Number(result.numUpdatedRows)
}

/** Whose turn it is: a key by its purpose, or whichever of two signs credentials now. */
export type KeyUse = KeyPurpose | 'credential'

/**
 * The active key of a community for a use, with its DEK, in one statement; null when there is none. Credentials are signed by the space key, or
 * by the `atproto` key while that one stands aside.
 */
export async function loadActiveKey(
  db: Db | Tx,
  community: Did,
  use: KeyUse,
): Promise<(SealedKey & { readonly purpose: KeyPurpose }) | null> {
  const rows = await db
    .selectFrom('key')
    .innerJoin('dek', (join) =>
      join.onRef('dek.community', '=', 'key.community').onRef('dek.version', '=', 'key.dek_version'),
    )
    .select(['key.id', 'key.purpose', 'key.did_key', 'key.sealed', 'key.stands_aside'])
    .select(['dek.version', 'dek.wrapped', 'dek.kek_id'])
    .where('key.community', '=', community)
    .where('key.purpose', 'in', use === 'credential' ? ['space', 'atproto'] : [use])
    .where('key.state', '=', 'active')
    .execute()
  const space = rows.find(({ purpose }) => purpose === 'space')
  const whose = use !== 'credential' ? use : space?.stands_aside ? 'atproto' : 'space'
  const row = rows.find(({ purpose }) => purpose === whose)
  if (!row?.sealed) return null
  return {
    id: row.id,
    purpose: row.purpose,
    didKey: row.did_key,
    sealed: row.sealed,
    dekVersion: row.version,
    wrapped: row.wrapped,
    kekId: row.kek_id,
  }
}

/** Every key of a community, oldest first, as anybody may see it. */
export async function listKeys(db: Db | Tx, community: Did): Promise<readonly HeldKey[]> {
  const rows = await db
    .selectFrom('key')
    .select(['id', 'purpose', 'did_key', 'state', 'created_at_ms', 'state_since_ms', 'flags', 'stands_aside'])
    .where('community', '=', community)
    .where('arrival', 'is', null)
    .orderBy('created_at_ms')
    .orderBy('purpose')
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    purpose: row.purpose,
    didKey: row.did_key,
    state: row.state,
    flags: row.flags,
    standsAside: row.stands_aside,
    createdAtMs: row.created_at_ms,
    stateSinceMs: row.state_since_ms,
  }))
}

/** A DEK of somebody: that of the version, or the newest one. Null: there is none. */
export async function loadDek(db: Db | Tx, community: Did, version: number | null): Promise<WrappedDek | null> {
  const row = await db
    .selectFrom('dek')
    .select(['version', 'wrapped', 'kek_id'])
    .where('community', '=', community)
    .$if(version !== null, (query) => query.where('version', '=', version ?? 0))
    .orderBy('version', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row ? { dekVersion: row.version, wrapped: row.wrapped, kekId: row.kek_id } : null
}

/** Keeps a DEK, unless another process was there first: whoever seals looks again which one it is. */
export async function saveDek(db: Db, community: Did, dek: WrappedDek, nowMs: number): Promise<void> {
  await db
    .insertInto('dek')
    .values({
      ...{ community, version: dek.dekVersion, wrapped: dek.wrapped, kek_id: dek.kekId },
      created_at_ms: nowMs,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Keeps a key that is good from now on, unless there is one for that purpose already. */
export async function saveActiveKey(
  db: Db,
  community: Did,
  key: Pick<SealedKey, 'id' | 'didKey' | 'sealed' | 'dekVersion'> & { readonly purpose: KeyPurpose },
  nowMs: number,
): Promise<void> {
  const { id, purpose, didKey, sealed, dekVersion } = key
  await db
    .insertInto('key')
    .values({
      ...{ id, community, purpose, did_key: didKey, state: 'active' as const, dek_version: dekVersion, sealed },
      ...{ created_at_ms: nowMs, state_since_ms: nowMs },
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Marks a key for ever. */
export async function flagKey(tx: Tx, id: string, flag: KeyFlag): Promise<void> {
  const { numUpdatedRows } = await tx
    .updateTable('key')
    .set({ flags: sql<KeyFlag[]>`array(select distinct unnest(flags || ${[flag]}::text[]))` })
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  if (numUpdatedRows !== 1n) throw new Error('a mark on a key that is not there')
}
