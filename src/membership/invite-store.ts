/** The table of invites. The word itself is never in it. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tables, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    invite: {
      id: string
      token_hash: Uint8Array
      space: string
      community: string
      role: string
      until_ms: number | null
      note: string | null
      uses_left: number
      uses_max: number
      expires_at_ms: number
      made_by: string
      made_at_ms: number
      revoked_by: string | null
      revoked_at_ms: number | null
    }
  }
}

export interface Invite {
  readonly id: string
  readonly space: SpaceUri
  readonly community: Did
  readonly role: string
  readonly untilMs: number | null
  readonly note: string | null
  readonly usesLeft: number
  readonly usesMax: number
  readonly expiresAtMs: number
  readonly madeBy: Did
  readonly madeAtMs: number
  readonly revokedBy: Did | null
  readonly revokedAtMs: number | null
}

export type NewInvite = Omit<Invite, 'usesLeft' | 'madeBy' | 'revokedBy' | 'revokedAtMs'> & {
  readonly tokenHash: Uint8Array
}

/** Keeps a new invite. */
export async function insertInvite(tx: Tx, permit: Permit<'invite'>, invite: NewInvite): Promise<void> {
  const { id, tokenHash, space, community, role, untilMs, note, usesMax, expiresAtMs, madeAtMs } = invite
  const ends = { until_ms: untilMs, expires_at_ms: expiresAtMs, uses_left: usesMax, uses_max: usesMax }
  const made = { made_by: permit.actor, made_at_ms: madeAtMs, note }
  await tx
    .insertInto('invite')
    .values({ id, token_hash: tokenHash, space, community, role, ...ends, ...made })
    .execute()
}

const COLUMNS = [
  'id',
  'space',
  'community',
  'role',
  'until_ms',
  'note',
  'uses_left',
  'uses_max',
  'expires_at_ms',
  'made_by',
  'made_at_ms',
  'revoked_by',
  'revoked_at_ms',
] as const

/** The invite of a word that somebody brought, or null. */
export async function findInvite(db: Db | Tx, tokenHash: Uint8Array): Promise<Invite | null> {
  const row = await db.selectFrom('invite').select(COLUMNS).where('token_hash', '=', tokenHash).executeTakeFirst()
  return row ? inviteOf(row) : null
}

/** An invite into a space, or null. */
export async function loadInvite(tx: Tx, space: SpaceUri, id: string): Promise<Invite | null> {
  const row = await tx
    .selectFrom('invite')
    .select(COLUMNS)
    .where('id', '=', id)
    .where('space', '=', space)
    .executeTakeFirst()
  return row ? inviteOf(row) : null
}

/** Spends one use for whoever is let in by it. False: none was left. */
export async function spendInvite(tx: Tx, _permit: Permit<'members.add'>, id: string): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('invite')
    .set((column) => ({ uses_left: column('uses_left', '-', 1) }))
    .where('id', '=', id)
    .where('uses_left', '>', 0)
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

/** Ends an invite before its time. */
export async function endInvite(tx: Tx, permit: Permit<'invite'>, id: string, nowMs: number): Promise<void> {
  await tx
    .updateTable('invite')
    .set({ revoked_by: permit.actor, revoked_at_ms: nowMs })
    .where('id', '=', id)
    .where('revoked_at_ms', 'is', null)
    .execute()
}

/** Invites into a space, in the order of their ids, after `after`. */
export async function listInvitesInto(
  db: Db,
  space: SpaceUri,
  after: string,
  limit: number,
): Promise<readonly Invite[]> {
  const rows = await db
    .selectFrom('invite')
    .select(COLUMNS)
    .where('space', '=', space)
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute()
  return rows.map(inviteOf)
}

/** How many invites of a community somebody may still join by, as far as `most` + 1. */
export async function countLiveInvites(tx: Tx, community: Did, nowMs: number, most: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from
    (select from invite where community = ${community} and expires_at_ms > ${nowMs} and uses_left > 0
      and revoked_at_ms is null limit ${most + 1}) counted`.execute(tx)
  return rows[0]?.count ?? 0
}

type Row = Pick<Tables['invite'], (typeof COLUMNS)[number]>

/** What is in the table was parsed when it was written. */
const inviteOf = (row: Row): Invite => ({
  id: row.id,
  space: row.space as SpaceUri,
  community: row.community as Did,
  role: row.role,
  untilMs: row.until_ms,
  note: row.note,
  usesLeft: row.uses_left,
  usesMax: row.uses_max,
  expiresAtMs: row.expires_at_ms,
  madeBy: row.made_by as Did,
  madeAtMs: row.made_at_ms,
  revokedBy: row.revoked_by as Did | null,
  revokedAtMs: row.revoked_at_ms,
})
