/**
 * The sealer gives decisions about reading their place in the chain, in batches, a moment after they were made.
 *
 * Issuing never waits for it: two mints of one community would otherwise queue for the end of the same chain. Every process may
 * run one; the row lock on a chain's end lets only one of them write at a time.
 */
import { type Db, withTransaction } from '../platform/database.ts'
import { communitiesWaiting, sealWaiting } from './store.ts'

const BATCH = 256

/** Seals what waits now. Returns how many rows found their place. */
export async function sealDue(db: Db): Promise<number> {
  let sealed = 0
  for (const community of await communitiesWaiting(db)) {
    for (let batch = BATCH; batch === BATCH; ) {
      batch = await withTransaction(db, (tx) => sealWaiting(tx, community, BATCH))
      sealed += batch
    }
  }
  return sealed
}
