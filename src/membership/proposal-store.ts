/** The table of acts that can't be taken back, from when somebody proposes one until it is carried out or cancelled. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { OWNER } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'

/** `approved` waits for its day only. */
export type ProposalState = 'open' | 'approved' | 'done' | 'cancelled'

declare module '../platform/database.ts' {
  interface Tables {
    proposal: {
      id: string
      community: string
      act: string
      target: string
      input: unknown
      state: ProposalState
      proposed_by: string
      proposed_at_ms: number
      expires_at_ms: number
      approved_by: string | null
      due_at_ms: number | null
      ended_by: string | null
      ended_at_ms: number | null
    }
    owner_gone: { community: string; did: string; gone_at_ms: number }
  }
}

export interface Proposal {
  readonly id: string
  readonly community: Did
  readonly act: string
  readonly target: SpaceUri | Did
  /** The call as it was made. */
  readonly input: unknown
  readonly state: ProposalState
  readonly proposedBy: Did
  readonly proposedAtMs: number
  /** When an open one comes to nothing. */
  readonly expiresAtMs: number
  readonly approvedBy: Did | null
  /** When an approved one is carried out. */
  readonly dueAtMs: number | null
  readonly endedBy: Did | null
  readonly endedAtMs: number | null
}

/** Keeps a proposal. There must be none waiting of the same act on the same thing. */
export async function insertProposal(tx: Tx, _permit: Permit, proposal: Proposal): Promise<void> {
  await tx
    .insertInto('proposal')
    .values({
      id: proposal.id,
      community: proposal.community,
      act: proposal.act,
      target: proposal.target,
      input: JSON.stringify(proposal.input),
      state: proposal.state,
      proposed_by: proposal.proposedBy,
      proposed_at_ms: proposal.proposedAtMs,
      expires_at_ms: proposal.expiresAtMs,
      approved_by: proposal.approvedBy,
      due_at_ms: proposal.dueAtMs,
      ended_by: null,
      ended_at_ms: null,
    })
    .execute()
}

/** Notes who approved a proposal and when it is carried out. */
export async function approveProposal(tx: Tx, permit: Permit, id: string, dueAtMs: number): Promise<void> {
  await tx
    .updateTable('proposal')
    .set({ state: 'approved', approved_by: permit.actor, due_at_ms: dueAtMs })
    .where('id', '=', id)
    .execute()
}

/** Notes how a proposal ended, and by whom. */
export async function endProposal(
  tx: Tx,
  id: string,
  state: 'done' | 'cancelled',
  { by, nowMs }: { by: Did; nowMs: number },
): Promise<void> {
  await tx.updateTable('proposal').set({ state, ended_by: by, ended_at_ms: nowMs }).where('id', '=', id).execute()
}

/** Cancels what waits to be done to a space that has ended, in the name of its community. Answers how many they were. */
export async function cancelProposalsAbout(tx: Tx, community: Did, space: SpaceUri, nowMs: number): Promise<number> {
  const { numUpdatedRows } = await tx
    .updateTable('proposal')
    .set({ state: 'cancelled', ended_by: community, ended_at_ms: nowMs })
    .where('community', '=', community)
    .where('target', '=', space)
    .where('state', 'in', ['open', 'approved'])
    .executeTakeFirstOrThrow()
  return Number(numUpdatedRows)
}

/** One proposal, or null. */
export async function loadProposal(db: Db | Tx, id: string): Promise<Proposal | null> {
  const row = await db.selectFrom('proposal').selectAll().where('id', '=', id).executeTakeFirst()
  return row ? proposalOf(row) : null
}

/** The proposal of an act on one thing that is waiting, expired or not. */
export async function loadWaiting(
  db: Db | Tx,
  community: Did,
  act: string,
  target: SpaceUri | Did,
): Promise<Proposal | null> {
  const row = await db
    .selectFrom('proposal')
    .selectAll()
    .where('community', '=', community)
    .where('act', '=', act)
    .where('target', '=', target)
    .where('state', 'in', ['open', 'approved'])
    .executeTakeFirst()
  return row ? proposalOf(row) : null
}

/** Proposals of a community, the newest first, before `before`; of one person's alone where `by` is given. */
export async function listProposals(
  db: Db,
  community: Did,
  { by, before, limit }: { by: Did | null; before: string | null; limit: number },
): Promise<readonly Proposal[]> {
  let query = db.selectFrom('proposal').selectAll().where('community', '=', community)
  if (by !== null) query = query.where('proposed_by', '=', by)
  if (before !== null) query = query.where('id', '<', before)
  const rows = await query.orderBy('id', 'desc').limit(limit).execute()
  return rows.map(proposalOf)
}

/** What some people proposed in a community that waits, expired or not, the oldest first. */
export async function listWaitingBy(tx: Tx, community: Did, by: readonly Did[]): Promise<readonly Proposal[]> {
  if (by.length === 0) return []
  const rows = await tx
    .selectFrom('proposal')
    .selectAll()
    .where('community', '=', community)
    .where('proposed_by', 'in', by)
    .where('state', 'in', ['open', 'approved'])
    .orderBy('id')
    .execute()
  return rows.map(proposalOf)
}

/** Some of the approved proposals whose day has come, others each time: those that fail must not stand before those that don't. */
export async function listDueProposals(db: Db, nowMs: number, limit: number): Promise<readonly Proposal[]> {
  const rows = await db
    .selectFrom('proposal')
    .selectAll()
    .where('state', '=', 'approved')
    .where('due_at_ms', '<=', nowMs)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(proposalOf)
}

/** Some of the open proposals of one act that nobody approved in time, others each time. */
export async function listExpiredProposals(
  db: Db,
  act: string,
  nowMs: number,
  limit: number,
): Promise<readonly Proposal[]> {
  const rows = await db
    .selectFrom('proposal')
    .selectAll()
    .where('act', '=', act)
    .where('state', '=', 'open')
    .where('expires_at_ms', '<=', nowMs)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(proposalOf)
}

/** What is in the table was parsed when it was written. */
const proposalOf = (row: {
  readonly id: string
  readonly community: string
  readonly act: string
  readonly target: string
  readonly input: unknown
  readonly state: ProposalState
  readonly proposed_by: string
  readonly proposed_at_ms: number
  readonly expires_at_ms: number
  readonly approved_by: string | null
  readonly due_at_ms: number | null
  readonly ended_by: string | null
  readonly ended_at_ms: number | null
}): Proposal => ({
  id: row.id,
  community: row.community as Did,
  act: row.act,
  target: row.target as SpaceUri | Did,
  input: row.input,
  state: row.state,
  proposedBy: row.proposed_by as Did,
  proposedAtMs: row.proposed_at_ms,
  expiresAtMs: row.expires_at_ms,
  approvedBy: row.approved_by as Did | null,
  dueAtMs: row.due_at_ms,
  endedBy: row.ended_by as Did | null,
  endedAtMs: row.ended_at_ms,
})

/** Notes that somebody else took ownership from a person, or keeps them out. */
export async function noteOwnerGone(tx: Tx, _permit: Permit, community: Did, did: Did, nowMs: number): Promise<void> {
  await tx
    .insertInto('owner_gone')
    .values({ community, did, gone_at_ms: nowMs })
    .onConflict((conflict) => conflict.columns(['community', 'did']).doUpdateSet({ gone_at_ms: nowMs }))
    .execute()
}

/** Whom ownership was taken from after an instant. */
export async function listOwnersGone(db: Db | Tx, community: Did, afterMs: number): Promise<readonly Did[]> {
  const rows = await db
    .selectFrom('owner_gone')
    .select('did')
    .where('community', '=', community)
    .where('gone_at_ms', '>', afterMs)
    .execute()
  return rows.map(({ did }) => did as Did)
}

/** Forgets from whom ownership was taken: none of them is heard any more. */
export async function forgetOwnersGone(tx: Tx, _permit: Permit<'community.transfer'>, community: Did): Promise<void> {
  await tx.deleteFrom('owner_gone').where('community', '=', community).execute()
}

/** Since when a person is an owner, without a break; null: they are none. */
export async function ownerSince(tx: Tx, roster: SpaceUri, did: Did): Promise<number | null> {
  const row = await tx
    .selectFrom('person_edge')
    .select('added_at_ms')
    .where('into_space', '=', roster)
    .where('did', '=', did)
    .where('role', '=', OWNER)
    .executeTakeFirst()
  return row?.added_at_ms ?? null
}
