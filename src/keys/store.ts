/**
 * The tables of the keys room: sealed keys, wrapped DEKs. Ciphertext only passes through here; nothing here can open it.
 */
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
    }
  }
}

/** A key as anybody may see it. */
export interface HeldKey {
  readonly id: string
  readonly purpose: KeyPurpose
  readonly didKey: DidKey
  readonly state: KeyState
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
    .executeTakeFirst()
  return Number(result.numUpdatedRows)
}

/** The active key of a community for a purpose, with its DEK, in one statement; null when there is none. */
export async function loadActiveKey(db: Db | Tx, community: Did, purpose: KeyPurpose): Promise<SealedKey | null> {
  const row = await db
    .selectFrom('key')
    .innerJoin('dek', (join) =>
      join.onRef('dek.community', '=', 'key.community').onRef('dek.version', '=', 'key.dek_version'),
    )
    .select(['key.id', 'key.did_key', 'key.sealed', 'dek.version', 'dek.wrapped', 'dek.kek_id'])
    .where('key.community', '=', community)
    .where('key.purpose', '=', purpose)
    .where('key.state', '=', 'active')
    .executeTakeFirst()
  if (!row?.sealed) return null
  return {
    id: row.id,
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
    .select(['id', 'purpose', 'did_key', 'state', 'created_at_ms', 'state_since_ms'])
    .where('community', '=', community)
    .orderBy('created_at_ms')
    .orderBy('purpose')
    .orderBy('id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    purpose: row.purpose,
    didKey: row.did_key,
    state: row.state,
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
