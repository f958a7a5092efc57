/** How somebody comes onto a roster by themself, and the table of those who asked. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tables, Tx } from '../platform/database.ts'
import type { Asking } from '../policy/decide-joining.ts'
import type { Edge } from '../policy/roster-graph.ts'
import type { Permit } from '../policy/verdict.ts'

export type Joining = 'closed' | 'byRequest' | 'open'

declare module '../platform/database.ts' {
  interface Tables {
    join_request: {
      space: string
      did: string
      community: string
      message: string | null
      state: 'open' | 'approved' | 'declined'
      asked_at_ms: number
      decided_by: string | null
      decided_at_ms: number | null
      reason: string | null
    }
  }
}

/** How a space is joined. Only one that takes everybody has a role for them. */
export interface JoiningRule {
  readonly joining: Joining
  readonly joiningRole: string | null
}

/** Sets how a space is joined. */
export async function saveJoining(
  tx: Tx,
  _permit: Permit<'space.configure'>,
  space: SpaceUri,
  { joining, joiningRole }: JoiningRule,
): Promise<void> {
  await tx.updateTable('space').set({ joining, joining_role: joiningRole }).where('uri', '=', space).execute()
}

/** How a living space is joined, or null. */
export async function loadJoining(tx: Tx, space: SpaceUri): Promise<JoiningRule | null> {
  const row = await tx
    .selectFrom('space')
    .select(['joining', 'joining_role'])
    .where('uri', '=', space)
    .where('state', '=', 'live')
    .executeTakeFirst()
  return row ? { joining: row.joining, joiningRole: row.joining_role } : null
}

export interface JoinRequest {
  readonly did: Did
  readonly message: string | null
  readonly state: 'open' | 'approved' | 'declined'
  readonly askedAtMs: number
  readonly decidedAtMs: number | null
  readonly reason: string | null
}

const COLUMNS = ['did', 'message', 'state', 'asked_at_ms', 'decided_at_ms', 'reason'] as const

/** What a person asked for, or null when they never did. */
export async function loadRequest(tx: Tx, space: SpaceUri, did: Did): Promise<JoinRequest | null> {
  const row = await tx
    .selectFrom('join_request')
    .select(COLUMNS)
    .where('space', '=', space)
    .where('did', '=', did)
    .executeTakeFirst()
  return row ? requestOf(row) : null
}

/** Keeps what a person asks for, in place of what became of an earlier request. */
export async function saveRequest(
  tx: Tx,
  { space, did }: Asking,
  { community, message, nowMs }: { community: Did; message: string | null; nowMs: number },
): Promise<void> {
  const fresh = {
    message,
    state: 'open',
    asked_at_ms: nowMs,
    decided_by: null,
    decided_at_ms: null,
    reason: null,
  } as const
  await tx
    .insertInto('join_request')
    .values({ space, did, community, ...fresh })
    .onConflict((conflict) => conflict.columns(['space', 'did']).doUpdateSet(fresh))
    .execute()
}

/** Takes back what a person asks for. What was decided stays. */
export async function deleteRequest(tx: Tx, { space, did }: Asking): Promise<void> {
  await tx
    .deleteFrom('join_request')
    .where('space', '=', space)
    .where('did', '=', did)
    .where('state', '=', 'open')
    .execute()
}

/** Notes what became of a request, if there is one that waits. */
export async function settleRequest(
  tx: Tx,
  permit: Permit<'members.add'> | Permit<'community.transfer'>,
  { space, did }: { space: SpaceUri; did: Did },
  decided: { state: 'approved' | 'declined'; reason: string | null; nowMs: number },
): Promise<void> {
  const { state, reason, nowMs } = decided
  await tx
    .updateTable('join_request')
    .set({ state, reason, decided_by: permit.actor, decided_at_ms: nowMs })
    .where('space', '=', space)
    .where('did', '=', did)
    .where('state', '=', 'open')
    .execute()
}

/** Notes of many people at once that they were put where some of them had asked to be. */
export async function settleRequests(
  tx: Tx,
  puts: readonly { readonly permit: Permit<'members.add'>; readonly after: Edge }[],
  space: SpaceUri,
  nowMs: number,
): Promise<void> {
  const [first] = puts
  if (!first) return
  const people = puts.map(({ after }) => after.from)
  await tx
    .updateTable('join_request')
    .set({ state: 'approved', reason: null, decided_by: first.permit.actor, decided_at_ms: nowMs })
    .where('space', '=', space)
    .where('state', '=', 'open')
    .where(sql<boolean>`did = any(${people}::text[])`)
    .execute()
}

/** Who waits for a decision in a space, the longest first, after `after`. */
export async function listOpenRequests(
  db: Db,
  space: SpaceUri,
  after: { readonly askedAtMs: number; readonly did: string },
  limit: number,
): Promise<readonly JoinRequest[]> {
  const rows = await db
    .selectFrom('join_request')
    .select(COLUMNS)
    .where('space', '=', space)
    // Written out, so that the index of those that wait serves a statement that is planned once for every space.
    .where('state', '=', sql.lit('open'))
    .where(sql<boolean>`(asked_at_ms, did) > (${after.askedAtMs}::bigint, ${after.did})`)
    .orderBy('asked_at_ms')
    .orderBy('did')
    .limit(limit)
    .execute()
  return rows.map(requestOf)
}

/** How many requests wait in a community, or of a person in all of them, as far as `most` + 1. */
export async function countOpenRequests(
  tx: Tx,
  whose: { readonly column: 'community' | 'did'; readonly is: Did },
  most: number,
): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from
    (select from join_request where ${sql.ref(whose.column)} = ${whose.is} and state = 'open'
      limit ${most + 1}) counted`.execute(tx)
  return rows[0]?.count ?? 0
}

type Row = Pick<Tables['join_request'], (typeof COLUMNS)[number]>

/** What is in the table was parsed when it was written. */
const requestOf = (row: Row): JoinRequest => ({
  did: row.did as Did,
  message: row.message,
  state: row.state,
  askedAtMs: row.asked_at_ms,
  decidedAtMs: row.decided_at_ms,
  reason: row.reason,
})
