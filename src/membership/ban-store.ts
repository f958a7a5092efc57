/** The tables of who is kept out of a space or a community, and of who left a space by their own will. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    ban: {
      scope: string
      did: string
      community: string
      reason: string | null
      until_ms: number | null
      banned_by: string
      banned_at_ms: number
    }
    departure: { space: string; did: string; community: string; left_at_ms: number }
  }
}

/** Keeps a person out of `scope`, in place of a ban they may have there. */
export async function saveBan(
  tx: Tx,
  permit: Permit<'members.ban'>,
  ban: {
    community: Did
    scope: SpaceUri | Did
    did: Did
    reason: string | null
    untilMs: number | null
    nowMs: number
  },
): Promise<void> {
  const { community, scope, did, reason, untilMs, nowMs } = ban
  const entry = { reason, until_ms: untilMs, banned_by: permit.actor, banned_at_ms: nowMs }
  await tx
    .insertInto('ban')
    .values({ scope, did, community, ...entry })
    .onConflict((conflict) => conflict.columns(['scope', 'did']).doUpdateSet(entry))
    .execute()
}

/** Lifts a ban. False: there was none. */
export async function deleteBan(
  tx: Tx,
  _permit: Permit<'members.ban'>,
  scope: SpaceUri | Did,
  did: Did,
): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('ban')
    .where('scope', '=', scope)
    .where('did', '=', did)
    .executeTakeFirstOrThrow()
  return numDeletedRows > 0n
}

/** Lifts every ban on some people, from the community and from spaces of it. Answers how many there were. */
export async function deleteBansOn(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  community: Did,
  dids: readonly Did[],
): Promise<number> {
  const { numDeletedRows } = await tx
    .deleteFrom('ban')
    .where('community', '=', community)
    .where('did', 'in', dids)
    .executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

export interface BanEntry {
  readonly did: Did
  readonly reason: string | null
  readonly untilMs: number | null
  readonly bannedBy: Did
  readonly bannedAtMs: number
}

/** Bans of one scope, those that ended too until they are lifted, in the order of DIDs, after `after`. */
export async function listBansOf(
  db: Db,
  scope: SpaceUri | Did,
  after: string,
  limit: number,
): Promise<readonly BanEntry[]> {
  const rows = await db
    .selectFrom('ban')
    .select(['did', 'reason', 'until_ms', 'banned_by', 'banned_at_ms'])
    .where('scope', '=', scope)
    .where('did', '>', after)
    .orderBy('did')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    did: row.did as Did,
    reason: row.reason,
    untilMs: row.until_ms,
    bannedBy: row.banned_by as Did,
    bannedAtMs: row.banned_at_ms,
  }))
}

/** Notes that a person left a space. */
export async function saveDeparture(
  tx: Tx,
  _permit: Permit<'members.remove'>,
  { community, space, did, nowMs }: { community: Did; space: SpaceUri; did: Did; nowMs: number },
): Promise<void> {
  await tx
    .insertInto('departure')
    .values({ space, did, community, left_at_ms: nowMs })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** Forgets that a person left a space. */
export async function deleteDeparture(
  tx: Tx,
  _permit: Permit<'members.add'> | Permit<'community.transfer'>,
  space: SpaceUri,
  did: Did,
): Promise<void> {
  await tx.deleteFrom('departure').where('space', '=', space).where('did', '=', did).execute()
}

/** The same for several people at once, each of whom may come back. */
export async function deleteDepartures(
  tx: Tx,
  back: readonly { readonly permit: Permit<'members.add'>; readonly after: { readonly from: Did } }[],
  space: SpaceUri,
): Promise<void> {
  const dids = back.map(({ after }) => after.from)
  await sql`delete from departure where space = ${space} and did = any(${dids}::text[])`.execute(tx)
}
