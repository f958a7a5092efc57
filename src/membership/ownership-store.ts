/** The table of communities that their owners offer to somebody, and whom a roster has as owners. */
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import { OWNER } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    ownership_offer: {
      community: string
      offered_by: string
      to_did: string
      role_after: string | null
      offered_at_ms: number
      expires_at_ms: number
    }
  }
}

export interface OwnershipOffer {
  readonly offeredBy: Did
  readonly to: Did
  /** What the owner is on the roster afterwards. Null: nothing. */
  readonly roleAfter: string | null
  readonly expiresAtMs: number
}

/** Keeps an owner's offer, in place of the one they may have open. */
export async function saveOwnershipOffer(
  tx: Tx,
  permit: Permit<'community.transfer'>,
  community: Did,
  { to, roleAfter, expiresAtMs }: Omit<OwnershipOffer, 'offeredBy'>,
  nowMs: number,
): Promise<void> {
  const offer = { to_did: to, role_after: roleAfter, offered_at_ms: nowMs, expires_at_ms: expiresAtMs }
  await tx
    .insertInto('ownership_offer')
    .values({ community, offered_by: permit.actor, ...offer })
    .onConflict((conflict) => conflict.columns(['community', 'offered_by']).doUpdateSet(offer))
    .execute()
}

/** Ends the offer of the owner who may make one. False: there was none. */
export async function deleteOwnershipOffer(
  tx: Tx,
  permit: Permit<'community.transfer'>,
  community: Did,
): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom('ownership_offer')
    .where('community', '=', community)
    .where('offered_by', '=', permit.actor)
    .executeTakeFirstOrThrow()
  return numDeletedRows > 0n
}

/** What owners of a community offer to a person, expired offers too. */
export async function loadOwnershipOffers(tx: Tx, community: Did, to: Did): Promise<readonly OwnershipOffer[]> {
  const rows = await tx
    .selectFrom('ownership_offer')
    .select(['offered_by', 'to_did', 'role_after', 'expires_at_ms'])
    .where('community', '=', community)
    .where('to_did', '=', to)
    .orderBy('offered_by')
    .execute()
  return rows.map((row) => ({
    offeredBy: row.offered_by as Did,
    to: row.to_did as Did,
    roleAfter: row.role_after,
    expiresAtMs: row.expires_at_ms,
  }))
}

/** Everybody whom a roster has as an owner, banned or not: of a ban that is lifted nothing must come back. */
export async function listOwnerEntries(tx: Tx, roster: SpaceUri): Promise<readonly Did[]> {
  const rows = await tx
    .selectFrom('person_edge')
    .select('did')
    .where('into_space', '=', roster)
    .where('role', '=', OWNER)
    .orderBy('did')
    .execute()
  return rows.map(({ did }) => did as Did)
}
