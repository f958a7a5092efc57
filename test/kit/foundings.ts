/** What stands in the database of one founding. */
import { sql } from 'kysely'
import type { Did } from '../../src/names.ts'
import type { TestDatabase } from './databases.ts'

/** Everything of a founding that stands in the database. */
export async function foundingRows(database: TestDatabase, did: Did) {
  const one = async (query: ReturnType<typeof sql<Record<string, unknown>>>) => (await query.execute(database.db)).rows
  return {
    community: await one(sql`select * from community where did = ${did}`),
    keys: await one(sql`select purpose, state, did_key from key where community = ${did} order by purpose`),
    owners: await one(sql`select did, role, into_space from person_edge where community = ${did}`),
    spaces: await one(sql`select uri, state from space where community = ${did}`),
    revision: await one(sql`select revision, graph_revision from community_revision where community = ${did}`),
    audit: await one(sql`select actor, action, because from audit_entry where community = ${did}`),
  }
}
