/**
 * What a change of the key-encryption key does to the tables of the keys room: counts by key, pages of rows, one row's new wrap.
 *
 * Pages are walked by their key and not by an open cursor, so that a service beside it waits for nothing and a walk that was killed
 * begins again anywhere. Ciphertext only passes through here.
 */
import { sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db } from '../platform/database.ts'
import type { KeyPurpose } from './envelope.ts'
import type { SealedKey, WrappedDek } from './store.ts'

/** A DEK at rest, and whose it is. */
export interface DekRow extends WrappedDek {
  readonly community: Did
}

/** A sealed key with its DEK, both closed, and whose it is. */
export interface KeyRow extends SealedKey {
  readonly community: Did
  readonly purpose: KeyPurpose
}

/** How many DEKs are wrapped by each KEK, by its id. */
export async function countDeksByKek(db: Db): Promise<ReadonlyMap<string, number>> {
  const rows = await db
    .selectFrom('dek')
    .select(({ fn }) => ['kek_id', fn.countAll<number>().as('n')])
    .groupBy('kek_id')
    .orderBy('kek_id')
    .execute()
  return new Map(rows.map((row) => [row.kek_id, Number(row.n)]))
}

/** DEKs that a KEK wrapped, in the order of their owners, those after `after`; `max` at most. */
export async function listDeksOf(
  db: Db,
  kekId: string,
  after: Pick<DekRow, 'community' | 'dekVersion'> | null,
  max: number,
): Promise<readonly DekRow[]> {
  const rows = await db
    .selectFrom('dek')
    .select(['community', 'version', 'wrapped', 'kek_id'])
    .where('kek_id', '=', kekId)
    .$if(after !== null, (query) =>
      query.where(sql<boolean>`(community, version) > (${after?.community}, ${after?.dekVersion})`),
    )
    .orderBy('community')
    .orderBy('version')
    .limit(max)
    .execute()
  return rows.map((row) => ({
    ...{ community: row.community, dekVersion: row.version },
    ...{ wrapped: row.wrapped, kekId: row.kek_id },
  }))
}

/**
 * Puts another wrap in place of the one that was read, in a transaction of its own. Whether it did: of several who do the same at once one
 * does, and whoever is killed has either done it or not.
 */
export async function replaceWrap(db: Db, from: DekRow, to: { wrapped: Uint8Array; kekId: string }): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('dek')
    .set({ wrapped: to.wrapped, kek_id: to.kekId })
    .where('community', '=', from.community)
    .where('version', '=', from.dekVersion)
    .where('kek_id', '=', from.kekId)
    .executeTakeFirst()
  return Number(numUpdatedRows) === 1
}

/** Keys that have an envelope, whatever their state, each with its DEK as it is now; in the order of their ids, those after `afterId`. */
export async function listKeyRows(db: Db, afterId: string, max: number): Promise<readonly KeyRow[]> {
  const rows = await db
    .selectFrom('key')
    .innerJoin('dek', (join) =>
      join.onRef('dek.community', '=', 'key.community').onRef('dek.version', '=', 'key.dek_version'),
    )
    .select(['key.id', 'key.community', 'key.purpose', 'key.did_key', 'key.sealed'])
    .select(['dek.version', 'dek.wrapped', 'dek.kek_id'])
    .where('key.id', '>', afterId)
    .where('key.sealed', 'is not', null)
    .orderBy('key.id')
    .limit(max)
    .execute()
  return rows.map((row) => ({
    ...{ id: row.id, community: row.community, purpose: row.purpose, didKey: row.did_key },
    ...{ sealed: row.sealed ?? new Uint8Array(0) },
    ...{ dekVersion: row.version, wrapped: row.wrapped, kekId: row.kek_id },
  }))
}
