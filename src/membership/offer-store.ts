/** The table of offers: which community may put which space of another one on its rosters. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Offer } from '../policy/roster-graph.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    offer: { space: string; to_community: string; community: string; offered_by: string; offered_at_ms: number }
  }
}

/** Lets another community nest a space. False: it may already. */
export async function saveOffer(
  tx: Tx,
  permit: Permit<'space.nest'>,
  { community, space, to, nowMs }: { community: Did; space: SpaceUri; to: Did; nowMs: number },
): Promise<boolean> {
  const made = await tx
    .insertInto('offer')
    .values({ space, to_community: to, community, offered_by: permit.actor, offered_at_ms: nowMs })
    .onConflict((conflict) => conflict.doNothing())
    .returning('space')
    .executeTakeFirst()
  return made !== undefined
}

/** Takes an offer back. False: there was none. */
export async function deleteOffer(tx: Tx, _permit: Permit<'space.nest'>, space: SpaceUri, to: Did): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('offer')
    .where('space', '=', space)
    .where('to_community', '=', to)
    .executeTakeFirstOrThrow()
  return numDeletedRows > 0n
}

/** Whether a living space is offered to a community. */
export async function isOfferedTo(tx: Tx, space: SpaceUri, to: Did): Promise<boolean> {
  const row = await tx
    .selectFrom('offer')
    .innerJoin('space', 'space.uri', 'offer.space')
    .select('offer.space')
    .where('offer.space', '=', space)
    .where('to_community', '=', to)
    .where('state', '=', 'live')
    .executeTakeFirst()
  return row !== undefined
}

export interface OfferEntry extends Offer {
  readonly community: Did
  readonly offeredBy: Did
  readonly offeredAtMs: number
}

/** Offers that a community made or was made, in the order of space and receiver, after `after`. */
export async function listOffersOf(
  db: Db,
  community: Did,
  after: { readonly space: string; readonly to: string },
  limit: number,
): Promise<readonly OfferEntry[]> {
  const rows = await db
    .selectFrom('offer')
    .innerJoin('space', 'space.uri', 'offer.space')
    .select(['offer.space', 'to_community', 'offer.community', 'offered_by', 'offered_at_ms'])
    .where('state', '=', 'live')
    .where((where) => where.or([where('offer.community', '=', community), where('to_community', '=', community)]))
    .where(sql<boolean>`(offer.space, to_community) > (${after.space}, ${after.to})`)
    .orderBy('offer.space')
    .orderBy('to_community')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    space: row.space as SpaceUri,
    to: row.to_community as Did,
    community: row.community as Did,
    offeredBy: row.offered_by as Did,
    offeredAtMs: row.offered_at_ms,
  }))
}
