/** What is left of a space that ended, taken away bit by bit. Its row stays, and so does what the audit says of it. */
import { sql } from 'kysely'
import type { SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'

/**
 * Tables of which a space has rows of its own, and the column that names it; what stands on others goes first. What other communities
 * wrote on their own rosters stays theirs, and gives nothing unless the name lives again and is offered to them anew.
 */
const OF_A_SPACE = [
  ['person_edge', 'into_space'],
  ['ban', 'scope'],
  ['departure', 'space'],
  ['invite', 'space'],
  ['join_request', 'space'],
  ['offer', 'space'],
  ['app_rule', 'scope'],
  ['app_access', 'scope'],
] as const

/** Takes away up to `limit` rows of what is left of a space. Answers how many they were: fewer than `limit` were the last. */
export async function clearSpace(tx: Tx, space: SpaceUri, limit: number): Promise<number> {
  let gone = 0
  for (const [table, column] of OF_A_SPACE) {
    const ofSpace = sql`${sql.table(table)} where ${sql.ref(column)} = ${space}`
    gone += await clear(tx, table, ofSpace, limit - gone)
    if (gone >= limit) return gone
  }
  gone += await clearEdges(tx, space, limit - gone)
  if (gone >= limit) return gone
  const imports = sql`select id from import where space = ${space}`
  gone += await clear(tx, 'import_row', sql`import_row where import in (${imports})`, limit - gone)
  // Their lines are all gone: an import stays as long as it has some.
  if (gone < limit) gone += await clear(tx, 'import', sql`import where space = ${space}`, limit - gone)
  return gone
}

/** Entries between spaces of its own community. */
const clearEdges = (tx: Tx, space: SpaceUri, limit: number): Promise<number> =>
  clear(
    tx,
    'space_edge',
    sql`space_edge where (into_space = ${space} or from_space = ${space})
      and community = (select community from space where uri = ${space})`,
    limit,
  )

async function clear(tx: Tx, table: string, which: ReturnType<typeof sql>, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`delete from ${sql.table(table)} where ctid = any(array(
    select ctid from ${which} limit ${limit}))`.execute(tx)
  return Number(numAffectedRows ?? 0)
}
