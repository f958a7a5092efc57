/** Very many people on one roster, written by one statement: who they are follows from their number. */
import { sql } from 'kysely'
import { authorityOf, type SpaceUri } from '../src/names.ts'
import { systemClock } from '../src/platform/clock.ts'
import { type Db, withTransaction } from '../src/platform/database.ts'
import { DID_OF_K, settle } from './roll-world.ts'

/** Puts the people with these numbers on a roster, past every verdict. */
export async function fillRoster(db: Db, space: SpaceUri, [first, last]: readonly [number, number]): Promise<void> {
  const community = authorityOf(space)
  await withTransaction(
    db,
    async (tx) => {
      await sql`set local statement_timeout = 0`.execute(tx)
      await sql`insert into person_edge (into_space, did, community, role, added_by, added_at_ms)
        select ${space}, ${DID_OF_K}, ${community}, 'member', ${community}, ${systemClock.nowMs()}::bigint
          from generate_series(${first}::bigint, ${last}::bigint) k`.execute(tx)
      await sql`update community_revision set revision = revision + 1 where community = ${community}`.execute(tx)
    },
    { isPatient: true },
  )
  await settle({ db })
}
