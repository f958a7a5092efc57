/** Of which kind a community is, and whether the account that it is consents to be decided about here: columns of its row of numbers. */
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

/** Whether the spaces of a community are here, or at the PDS of the account that it is. Null: it was never opened here. */
export async function loadKind(db: Db | Tx, community: Did): Promise<'here' | 'account' | null> {
  const row = await db
    .selectFrom('community_revision')
    .select('is_account')
    .where('community', '=', community)
    .executeTakeFirst()
  if (!row) return null
  return row.is_account ? 'account' : 'here'
}

/** Since when the account that a community is doesn't consent to be decided about here; null: it does. */
export async function loadReleasedAt(db: Db | Tx, community: Did): Promise<number | null> {
  const row = await db
    .selectFrom('community_revision')
    .select('released_at_ms')
    .where('community', '=', community)
    .executeTakeFirst()
  return row?.released_at_ms ?? null
}

/** Notes that an account gave its consent, or (with an instant) took it back. */
export async function saveReleasedAt(
  tx: Tx,
  _permit: Permit<'community.configure'>,
  community: Did,
  releasedAtMs: number | null,
): Promise<void> {
  await tx
    .updateTable('community_revision')
    .set({ released_at_ms: releasedAtMs })
    .where('community', '=', community)
    .where('is_account', '=', true)
    .execute()
}
