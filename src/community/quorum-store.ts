/** The table of keys in shares: who keeps which share of it, and how far each key has come. No share passes through here. */
import { sql } from 'kysely'
import type { Did, DidKey } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

/**
 * `dealt`: made, not acknowledged by all. `acknowledged`: everybody has a share that is right. `drilled`: k of them have shown that they can
 * act. `active`: in the identity. `retired`: replaced there. `dropped`: it never came that far.
 */
export type QuorumState = 'dealt' | 'acknowledged' | 'drilled' | 'active' | 'retired' | 'dropped'

declare module '../platform/database.ts' {
  interface Tables {
    quorum_key: {
      id: string
      community: Did
      did_key: DidKey
      generation: number
      n: number
      k: number
      seats: unknown
      dealt_by: string
      wants_strict: boolean
      strict: boolean
      combined_here: boolean
      state: QuorumState
      drilled_at_ms: number | null
      state_since_ms: number
      created_at_ms: number
    }
    combine_attempt: { quorum_key: string; at_ms: number }
  }
}

/** Who keeps a share, by which enrolment and keys, where it stands, and what it has to be. */
export interface DealtSeat {
  readonly did: Did
  readonly keeper: string
  readonly sealKey: string
  readonly signKey: DidKey
  readonly x: number
  readonly commitment: string
}

export interface QuorumKey {
  readonly id: string
  readonly community: Did
  readonly didKey: DidKey
  readonly generation: number
  readonly n: number
  readonly k: number
  readonly seats: readonly DealtSeat[]
  /** The hash of the statement under which it was dealt, in hexadecimal. */
  readonly dealtBy: string
  /** Whether no key of this service is to stand beside it when it comes into force. */
  readonly wantsStrict: boolean
  /** Whether none does. */
  readonly isStrict: boolean
  /** Whether this service has ever had all of it for a moment. For ever. */
  readonly wasCombinedHere: boolean
  readonly state: QuorumState
  readonly drilledAtMs: number | null
  readonly stateSinceMs: number
}

/** On its way into the identity, or there. */
const LIVING: readonly QuorumState[] = ['dealt', 'acknowledged', 'drilled', 'active']

/** Keeps a key that was dealt; one that was on its way before is dropped for it. */
export async function insertQuorumKey(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  dealt: Pick<
    QuorumKey,
    'id' | 'community' | 'didKey' | 'generation' | 'n' | 'k' | 'seats' | 'dealtBy' | 'wantsStrict'
  >,
  nowMs: number,
): Promise<void> {
  await dropComing(tx, dealt.community, nowMs)
  const { id, community, generation, n, k } = dealt
  await tx
    .insertInto('quorum_key')
    .values({
      ...{ id, community, did_key: dealt.didKey, generation, n, k, seats: JSON.stringify(dealt.seats) },
      ...{ dealt_by: dealt.dealtBy, wants_strict: dealt.wantsStrict, strict: false, combined_here: false },
      ...{ state: 'dealt', drilled_at_ms: null, state_since_ms: nowMs, created_at_ms: nowMs },
    })
    .execute()
}

/** Drops the key of a community that was on its way into its identity. */
export async function dropComing(tx: Tx, community: Did, nowMs: number): Promise<void> {
  await tx
    .updateTable('quorum_key')
    .set({ state: 'dropped', state_since_ms: nowMs })
    .where('community', '=', community)
    .where('state', 'in', ['dealt', 'acknowledged', 'drilled'])
    .execute()
}

/** Notes how far a key has come. False: somebody else moved it meanwhile. */
export async function moveQuorumKey(
  tx: Tx,
  id: string,
  from: readonly QuorumState[],
  to: QuorumState,
  nowMs: number,
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('quorum_key')
    .set({ state: to, state_since_ms: nowMs })
    .where('id', '=', id)
    .where('state', 'in', from)
    .executeTakeFirstOrThrow()
  return numUpdatedRows === 1n
}

/** Notes that k keepers have just shown that they can act. */
export async function noteDrill(tx: Tx, id: string, nowMs: number): Promise<void> {
  await tx.updateTable('quorum_key').set({ drilled_at_ms: nowMs }).where('id', '=', id).execute()
}

/** Marks a key that this service had all of. */
export async function markCombinedHere(tx: Tx, id: string): Promise<void> {
  await tx.updateTable('quorum_key').set({ combined_here: true }).where('id', '=', id).execute()
}

/** Notes whether a key of this service stands beside the active one. */
export async function saveStrict(tx: Tx, id: string, isStrict: boolean): Promise<void> {
  await tx.updateTable('quorum_key').set({ strict: isStrict }).where('id', '=', id).execute()
}

/** The key that is in a community's identity; null: none is. */
export async function loadActiveQuorum(db: Db | Tx, community: Did): Promise<QuorumKey | null> {
  return (await listQuorumKeys(db, community)).find(({ state }) => state === 'active') ?? null
}

/** The key that is on its way into it; null: none is. */
export async function loadComingQuorum(db: Db | Tx, community: Did): Promise<QuorumKey | null> {
  return (await listQuorumKeys(db, community)).find(({ state }) => LIVING.includes(state) && state !== 'active') ?? null
}

export async function loadQuorumKey(db: Db | Tx, id: string): Promise<QuorumKey | null> {
  const row = await db.selectFrom('quorum_key').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? keyOf(row) : null
}

/** Whether a key was ever dealt in shares, by whatever community. */
export async function isDealtBefore(tx: Tx, didKey: DidKey): Promise<boolean> {
  const row = await tx.selectFrom('quorum_key').select('id').where('did_key', '=', didKey).executeTakeFirst()
  return row !== undefined
}

/** Every key in shares that a community ever had, the oldest first. */
export async function listQuorumKeys(db: Db | Tx, community: Did): Promise<readonly QuorumKey[]> {
  const rows = await db
    .selectFrom('quorum_key')
    .selectAll()
    .where('community', '=', community)
    .orderBy('created_at_ms')
    .orderBy('id')
    .execute()
  return rows.map(keyOf)
}

/** Some of the keys that were drilled and stand in no identity, in communities in which none does. */
export async function listUnplaced(db: Db, limit: number): Promise<readonly QuorumKey[]> {
  const rows = await db
    .selectFrom('quorum_key')
    .selectAll()
    .where('state', '=', 'drilled')
    .where((row) =>
      row.not(
        row.exists(
          row
            .selectFrom('quorum_key as other')
            .select('other.id')
            .whereRef('other.community', '=', 'quorum_key.community')
            .where('other.state', '=', 'active'),
        ),
      ),
    )
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(keyOf)
}

/** Counts an attempt to combine a key here. Answers how many there were since `sinceMs`, this one too. */
export async function countAttempt(tx: Tx, id: string, nowMs: number, sinceMs: number): Promise<number> {
  await tx.deleteFrom('combine_attempt').where('quorum_key', '=', id).where('at_ms', '<', sinceMs).execute()
  await tx.insertInto('combine_attempt').values({ quorum_key: id, at_ms: nowMs }).execute()
  const { count } = await tx
    .selectFrom('combine_attempt')
    .select((row) => row.fn.countAll<string>().as('count'))
    .where('quorum_key', '=', id)
    .executeTakeFirstOrThrow()
  return Number(count)
}

/** What is in the table was made here when it was written. */
const keyOf = (row: {
  readonly id: string
  readonly community: Did
  readonly did_key: DidKey
  readonly generation: number
  readonly n: number
  readonly k: number
  readonly seats: unknown
  readonly dealt_by: string
  readonly wants_strict: boolean
  readonly strict: boolean
  readonly combined_here: boolean
  readonly state: QuorumState
  readonly drilled_at_ms: number | null
  readonly state_since_ms: number
}): QuorumKey => ({
  ...{ id: row.id, community: row.community, didKey: row.did_key, generation: row.generation, n: row.n, k: row.k },
  seats: row.seats as readonly DealtSeat[],
  ...{ dealtBy: row.dealt_by, wantsStrict: row.wants_strict, isStrict: row.strict },
  ...{ wasCombinedHere: row.combined_here, state: row.state },
  ...{ drilledAtMs: row.drilled_at_ms, stateSinceMs: row.state_since_ms },
})
