/** Which communities have keys here, and which key of its own stands above ours: columns of the table of communities. */
import { sql } from 'kysely'
import type { Did, DidKey } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'

/**
 * Notes which key of the community's own stands above ours, and who proved to hold it. With one, custody is not ours alone any more; with
 * none (null) it is. `former`: those that were before, where it isn't the last one alone.
 */
export async function saveRecoveryKey(
  tx: Tx,
  did: Did,
  { after, holder, former }: { after: DidKey | null; holder: Did | null; former?: readonly string[] },
): Promise<void> {
  const withLast = sql<string[]>`case when recovery_key is null or recovery_key = ${after} then former_recovery_keys
    else array_append(former_recovery_keys, recovery_key) end`
  await tx
    .updateTable('community')
    .set({
      ...{ recovery_key: after, recovery_holder: holder, former_recovery_keys: former ? [...former] : withLast },
      custody: after === null ? 'custodial' : 'memberHeld',
    })
    .where('did', '=', did)
    .where('custody', '<>', 'external')
    .execute()
}

/** Notes that the custody which the founder asked for has come about. */
export async function clearWantedCustody(tx: Tx, did: Did): Promise<void> {
  await tx.updateTable('community').set({ wanted_custody: null }).where('did', '=', did).execute()
}

/**
 * Communities whose keys are here, those with the most people first: what has to be done to all of them is done first where it matters to
 * most.
 */
export async function listHeld(db: Db): Promise<readonly Did[]> {
  const rows = await db
    .selectFrom('community')
    .select('did')
    .where('custody', '<>', 'external')
    .where('step', '=', 'opened')
    // Whoever left is served by keys of another home.
    .where((row) =>
      row.not(
        row.exists(
          row
            .selectFrom('plc_watch')
            .select('plc_watch.community')
            .whereRef('plc_watch.community', '=', 'community.did')
            .where('left_at_ms', 'is not', null),
        ),
      ),
    )
    .orderBy(
      (row) =>
        row
          .selectFrom('person_edge')
          .select((edge) => edge.fn.countAll().as('people'))
          .whereRef('person_edge.community', '=', 'community.did'),
      'desc',
    )
    .orderBy('did')
    .execute()
  return rows.map(({ did }) => did as Did)
}
