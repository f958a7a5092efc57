/** Rows by the ten thousand, past the actions: what a limit is tried with. */
import { sql } from 'kysely'
import { type Db, type Tx, withTransaction } from '../../src/platform/database.ts'

/** In one transaction without a limit of time: so many rows in one statement take a busy machine longer than a statement of Reeve's own ever may. */
export const manyRows = (db: Db, work: (tx: Tx) => Promise<unknown>): Promise<void> =>
  withTransaction(
    db,
    async (tx) => {
      await sql`set local statement_timeout = 0`.execute(tx)
      await work(tx)
    },
    { isPatient: true },
  )
