/** The end of a whole roll: at once for everybody's standing, and bit by bit for the rows. */
import { sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import { noteAllSpaceEnds } from './space-end-store.ts'

/** Ends every space of a community, so that nobody stands anywhere in it, and takes back what it offered to others. */
export async function endRoll(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  community: Did,
  nowMs: number,
): Promise<void> {
  await noteAllSpaceEnds(tx, community, nowMs)
  await tx
    .updateTable('space')
    .set({ state: 'deleted', joining: 'closed', joining_role: null })
    .where('community', '=', community)
    .execute()
  await tx.deleteFrom('offer').where('community', '=', community).execute()
  await tx.updateTable('community_revision').set({ roll_ended: true }).where('community', '=', community).execute()
}

/** Tables that say who was where in a community, and with which app. That there were such spaces stays known. */
const OF_PEOPLE = [
  'person_edge',
  'space_edge',
  'ban',
  'departure',
  'invite',
  'join_request',
  'ownership_offer',
  'role',
  'owner_gone',
  'app_rule',
  'app_access',
  'app_seen',
] as const

/**
 * Clears away up to `limit` rows of each kind of rolls that have ended. Answers the most that went of one kind. What somebody else is
 * taking away in this moment, with one of its spaces, is left to them: two that wait for each other's rows would both stand still.
 */
export async function clearEndedRolls(db: Db, limit: number): Promise<number> {
  let most = 0
  for (const table of OF_PEOPLE) {
    const { numAffectedRows } = await sql`delete from ${sql.table(table)} where ctid = any(array(
      select row.ctid from community_revision ended join ${sql.table(table)} row on row.community = ended.community
      where ended.roll_ended limit ${limit} for update of row skip locked))`.execute(db)
    most = Math.max(most, Number(numAffectedRows ?? 0))
  }
  return Math.max(most, await clearImports(db, limit))
}

/** The lines first: an import stays as long as it has some. */
async function clearImports(db: Db, limit: number): Promise<number> {
  const ofEnded = sql`community_revision ended join import on import.community = ended.community`
  const { numAffectedRows: lines } = await sql`delete from import_row where ctid = any(array(
    select row.ctid from ${ofEnded} join import_row row on row.import = import.id
    where ended.roll_ended limit ${limit} for update of row skip locked))`.execute(db)
  const { numAffectedRows: imports } = await sql`delete from import where ctid = any(array(
    select import.ctid from ${ofEnded} where ended.roll_ended
      and not exists (select from import_row row where row.import = import.id)
      limit ${limit} for update of import skip locked))`.execute(db)
  return Math.max(Number(lines ?? 0), Number(imports ?? 0))
}
