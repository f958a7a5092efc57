/** The table of keys that people enrolled as their own. Another enrolment ends the one before; rows stay, as the audit names them. */
import type { ColumnType } from 'kysely'
import { fingerprintOf, type KeeperKeys } from '../keys/keeper-statements.ts'
import type { Did, DidKey } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'

declare module '../platform/database.ts' {
  interface Tables {
    keeper: {
      id: string
      community: Did
      did: Did
      seal_key: string
      sign_key: DidKey
      enrolled_at_ms: number
      counts_from_ms: number
      ended_at_ms: number | null
      bad_shares: ColumnType<number, number | undefined>
      bad_given: ColumnType<string[], string[] | undefined>
      suspended_at_ms: ColumnType<number | null, number | null | undefined>
    }
  }
}

/** Somebody's keys, as every owner may see them. */
export interface Keeper extends KeeperKeys {
  /** The name of the enrolment: the same keys enrolled again are another one. */
  readonly id: string
  readonly did: Did
  /** Short for both keys, to be compared by another way. */
  readonly fingerprint: string
  readonly enrolledAtMs: number
  /** From when on they count. */
  readonly countsFromMs: number
  /** Since when they do nothing in ceremonies, having given wrong shares; null: they do. */
  readonly suspendedAtMs: number | null
}

/**
 * Enrols keys in place of those that the person had. Takes no permit: it is about the caller's own keys, as they proved, and gives
 * no power.
 */
export async function saveKeeper(
  tx: Tx,
  community: Did,
  { id, did, sealKey, signKey, enrolledAtMs, countsFromMs }: Omit<Keeper, 'fingerprint' | 'suspendedAtMs'>,
): Promise<void> {
  await endKeeperOf(tx, community, did, enrolledAtMs)
  await tx
    .insertInto('keeper')
    .values({
      ...{ id, community, did, seal_key: sealKey, sign_key: signKey },
      ...{ enrolled_at_ms: enrolledAtMs, counts_from_ms: countsFromMs, ended_at_ms: null },
    })
    .execute()
}

/** Ends a person's enrolment, if there is one. Answers whether there was. */
export async function endKeeperOf(tx: Tx, community: Did, did: Did, nowMs: number): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('keeper')
    .set({ ended_at_ms: nowMs })
    .where('community', '=', community)
    .where('did', '=', did)
    .where('ended_at_ms', 'is', null)
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

/** Whether a person has an enrolment that stands, or had one that ended after `sinceMs`. */
export async function hadKeeper(db: Db | Tx, community: Did, did: Did, sinceMs: number): Promise<boolean> {
  const row = await db
    .selectFrom('keeper')
    .select('id')
    .where('community', '=', community)
    .where('did', '=', did)
    .where((where) => where.or([where('ended_at_ms', 'is', null), where('ended_at_ms', '>', sinceMs)]))
    .executeTakeFirst()
  return row !== undefined
}

/** A person's enrolment that stands, or null. */
export async function loadKeeper(db: Db | Tx, community: Did, did: Did): Promise<Keeper | null> {
  const [keeper] = await listKeepers(db, community, did)
  return keeper ?? null
}

/** Every enrolment that stands in a community, or that of one person, in the order of their DIDs. */
export async function listKeepers(db: Db | Tx, community: Did, did: Did | null = null): Promise<readonly Keeper[]> {
  const rows = await db
    .selectFrom('keeper')
    .selectAll()
    .where('community', '=', community)
    .where('ended_at_ms', 'is', null)
    .$if(did !== null, (query) => query.where('did', '=', did))
    .orderBy('did')
    .execute()
  return rows.map((row) => {
    const keys = { sealKey: row.seal_key, signKey: row.sign_key }
    const times = { enrolledAtMs: row.enrolled_at_ms, countsFromMs: row.counts_from_ms }
    const { id, did, suspended_at_ms: suspendedAtMs } = row
    return { id, did, ...keys, fingerprint: fingerprintOf(keys), ...times, suspendedAtMs }
  })
}

/** How many wrong shares suspend whoever gave them. */
const BAD_SHARES_MAX = 3

/**
 * Notes that somebody gave a wrong share, by its hash. Answers how many they have given, and whether they do nothing more in ceremonies from now
 * on; null: the very same was noted before. The caller holds the community.
 */
export async function noteBadShare(
  tx: Tx,
  { id, given }: { readonly id: string; readonly given: string },
  nowMs: number,
): Promise<{ readonly count: number; readonly isSuspended: boolean } | null> {
  const before = await tx.selectFrom('keeper').select('bad_given').where('id', '=', id).executeTakeFirstOrThrow()
  if (before.bad_given.includes(given)) return null
  const { bad_shares: count } = await tx
    .updateTable('keeper')
    .set((row) => ({ bad_shares: row('bad_shares', '+', 1), bad_given: [...before.bad_given, given] }))
    .where('id', '=', id)
    .returning('bad_shares')
    .executeTakeFirstOrThrow()
  const isSuspended = count >= BAD_SHARES_MAX
  if (isSuspended) await tx.updateTable('keeper').set({ suspended_at_ms: nowMs }).where('id', '=', id).execute()
  return { count, isSuspended }
}

/** Lets somebody act again; what they gave before counts no more. Answers whether there was any. */
export async function liftSuspension(tx: Tx, community: Did, did: Did): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('keeper')
    .set({ bad_shares: 0, bad_given: [], suspended_at_ms: null })
    .where('community', '=', community)
    .where('did', '=', did)
    .where('ended_at_ms', 'is', null)
    .where('bad_shares', '>', 0)
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}
