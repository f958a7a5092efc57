/** The table of who is to own a community, said by a key that stands above ours in its identity. A community has one that is open at most. */
import { sql } from 'kysely'
import type { Did, DidKey } from '../names.ts'
import { msOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

/**
 * `waiting` for its day. `objected`: an owner objected, and it takes such a key once more; then it is `waiting` again, for the same day.
 * `done` and `refused` are ends.
 */
export type ClaimState = 'waiting' | 'objected' | 'done' | 'refused'

/**
 * `Ended`     the community came to its end
 * `Left`      its document names another home
 * `KeyGone`   the key that signed it doesn't stand above ours any more
 * `Objected`  an owner objected, and nobody signed it again
 * `Replaced`  an owner objected, and then other owners were named
 */
export type ClaimFault = 'Ended' | 'Left' | 'KeyGone' | 'Objected' | 'Replaced'

declare module '../platform/database.ts' {
  interface Tables {
    ownership_claim: {
      id: string
      community: Did
      owners: string[]
      signed_by: DidKey
      said_at: string
      state: ClaimState
      fault: ClaimFault | null
      objected_by: Did | null
      objected_at_ms: number | null
      made_at_ms: number
      due_at_ms: number
      ended_at_ms: number | null
    }
  }
}

export interface Claim {
  readonly id: string
  readonly community: Did
  /** In the order of their DIDs. */
  readonly owners: readonly Did[]
  /** The key that signed it last, and when that says it did. */
  readonly signedBy: DidKey
  readonly saidAtMs: number
  readonly state: ClaimState
  readonly objectedBy: Did | null
  readonly objectedAtMs: number | null
  readonly dueAtMs: number
}

/** Whether it was signed again after an objection: nobody objects any more. */
export const isConfirmed = ({ state, objectedBy }: Claim): boolean => state === 'waiting' && objectedBy !== null

/** Keeps a new claim. There must be none that is open. */
export async function insertClaim(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  claim: Pick<Claim, 'id' | 'community' | 'owners' | 'signedBy' | 'dueAtMs'> & { readonly saidAt: string },
  nowMs: number,
): Promise<void> {
  const { id, community, owners, signedBy, saidAt, dueAtMs } = claim
  await tx
    .insertInto('ownership_claim')
    .values({
      ...{ id, community, owners: [...owners], signed_by: signedBy, said_at: saidAt, state: 'waiting', fault: null },
      ...{ objected_by: null, objected_at_ms: null, made_at_ms: nowMs, due_at_ms: dueAtMs, ended_at_ms: null },
    })
    .execute()
}

/** Notes that a claim was signed again after an objection. */
export async function confirmClaim(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  id: string,
  { signedBy, saidAt }: { readonly signedBy: DidKey; readonly saidAt: string },
): Promise<void> {
  await tx
    .updateTable('ownership_claim')
    .set({ state: 'waiting', signed_by: signedBy, said_at: saidAt })
    .where('id', '=', id)
    .execute()
}

/** Notes the objection of an owner. */
export async function noteObjection(
  tx: Tx,
  permit: Permit<'community.transfer'>,
  id: string,
  nowMs: number,
): Promise<void> {
  await tx
    .updateTable('ownership_claim')
    .set({ state: 'objected', objected_by: permit.actor, objected_at_ms: nowMs })
    .where('id', '=', id)
    .execute()
}

/** Notes how a claim ended; `fault` says why it came to nothing. */
export async function endClaim(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  id: string,
  fault: ClaimFault | null,
  nowMs: number,
): Promise<void> {
  await tx
    .updateTable('ownership_claim')
    .set({ state: fault === null ? 'done' : 'refused', fault, ended_at_ms: nowMs })
    .where('id', '=', id)
    .execute()
}

/** The claim of a community that is open; null: there is none. */
export async function loadOpenClaim(db: Db | Tx, community: Did): Promise<Claim | null> {
  const row = await db
    .selectFrom('ownership_claim')
    .selectAll()
    .where('community', '=', community)
    .where('state', 'in', ['waiting', 'objected'])
    .executeTakeFirst()
  return row ? claimOf(row) : null
}

/** How far a claim is now; null: there is none of that name. */
export async function loadClaim(db: Db | Tx, id: string): Promise<Claim | null> {
  const row = await db.selectFrom('ownership_claim').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? claimOf(row) : null
}

/** When the last claim of a community came to its end; null: none has. */
export async function loadLastEndMs(db: Db | Tx, community: Did): Promise<number | null> {
  const row = await db
    .selectFrom('ownership_claim')
    .select('ended_at_ms')
    .where('community', '=', community)
    .where('ended_at_ms', 'is not', null)
    .orderBy('ended_at_ms', 'desc')
    .limit(1)
    .executeTakeFirst()
  return row?.ended_at_ms ?? null
}

/** Some of the claims whose day has come, and of those that an owner objected to long ago; others each time. */
export async function listDueClaims(
  db: Db,
  { nowMs, objectedBeforeMs, limit }: { readonly nowMs: number; readonly objectedBeforeMs: number; limit: number },
): Promise<readonly Claim[]> {
  const rows = await db
    .selectFrom('ownership_claim')
    .selectAll()
    .where((row) =>
      row.or([
        row.and([row('state', '=', 'waiting'), row('due_at_ms', '<=', nowMs)]),
        row.and([row('state', '=', 'objected'), row('objected_at_ms', '<=', objectedBeforeMs)]),
      ]),
    )
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(claimOf)
}

/** What is in the table was judged when it was written. */
const claimOf = (row: {
  readonly id: string
  readonly community: Did
  readonly owners: readonly string[]
  readonly signed_by: DidKey
  readonly said_at: string
  readonly state: ClaimState
  readonly objected_by: Did | null
  readonly objected_at_ms: number | null
  readonly due_at_ms: number
}): Claim => ({
  ...{ id: row.id, community: row.community, owners: row.owners as readonly Did[], signedBy: row.signed_by },
  ...{ saidAtMs: msOf(row.said_at) ?? 0, state: row.state, dueAtMs: row.due_at_ms },
  ...{ objectedBy: row.objected_by, objectedAtMs: row.objected_at_ms },
})
