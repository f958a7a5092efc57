/** The table of what a space is set to. Its skeleton and its roster are `membership/`'s. */
import { sql } from 'kysely'
import type { JoiningRule } from '../membership/joining-store.ts'
import type { Did, Nsid, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { UserPolicy } from '../policy/decide.ts'
import type { Permit } from '../policy/verdict.ts'

declare module '../platform/database.ts' {
  interface Tables {
    space_settings: {
      uri: string
      name: string | null
      description: string | null
      read_policy: UserPolicy
      write_policy: UserPolicy
    }
  }
}

export interface SpaceSettings {
  readonly name: string | null
  readonly description: string | null
  readonly readPolicy: UserPolicy
  readonly writePolicy: UserPolicy
}

/** Writes the settings of a space that was just made, in place of those that one of its name had before. */
export async function insertSettings(
  tx: Tx,
  _permit: Permit<'space.create'>,
  space: SpaceUri,
  settings: SpaceSettings,
): Promise<void> {
  const { name, description, readPolicy, writePolicy } = settings
  const row = { name, description, read_policy: readPolicy, write_policy: writePolicy }
  await tx
    .insertInto('space_settings')
    .values({ uri: space, ...row })
    .onConflict((conflict) => conflict.column('uri').doUpdateSet(row))
    .execute()
}

/** Changes the settings of a space. */
export async function saveSettings(
  tx: Tx,
  _permit: Permit<'space.configure'>,
  space: SpaceUri,
  { name, description, readPolicy, writePolicy }: SpaceSettings,
): Promise<void> {
  await tx
    .updateTable('space_settings')
    .set({ name, description, read_policy: readPolicy, write_policy: writePolicy })
    .where('uri', '=', space)
    .execute()
}

/** A living space with its settings, and how it is joined. `isBound`: its records are at the PDS of the community's account. */
export type SpaceRow = SpaceName & SpaceSettings & JoiningRule & { readonly isBound: boolean }

const COLUMNS = [
  'space.uri',
  'space.community',
  'space.space_type',
  'space.skey',
  'space.joining',
  'space.joining_role',
  'space.bound_at_ms',
  'space_settings.name',
  'space_settings.description',
  'space_settings.read_policy',
  'space_settings.write_policy',
] as const

const living = (db: Db | Tx) =>
  db
    .selectFrom('space')
    .innerJoin('space_settings', 'space_settings.uri', 'space.uri')
    .where('space.state', '=', 'live')

/** A living space, or null. */
export async function loadSpace(db: Db | Tx, uri: SpaceUri): Promise<SpaceRow | null> {
  const row = await living(db).select(COLUMNS).where('space.uri', '=', uri).executeTakeFirst()
  return row ? rowOf(row) : null
}

/** Those of the given spaces that live, in the order of their URIs, after `after`. */
export async function listSpaces(
  db: Db,
  uris: readonly SpaceUri[],
  after: string,
  limit: number,
): Promise<readonly SpaceRow[]> {
  if (uris.length === 0) return []
  const rows = await living(db)
    .select(COLUMNS)
    // One array, and not a parameter for each: a statement takes 65,535 of them, and an owner stands in every space.
    .where(sql<boolean>`space.uri = any(${uris}::text[])`)
    .where('space.uri', '>', after)
    .orderBy('space.uri')
    .limit(limit)
    .execute()
  return rows.map(rowOf)
}

/** A space of a community as it is exported, those that were deleted and not made anew too. */
export interface ExportedSpace {
  readonly space: string
  readonly state: 'live' | 'deleted'
  readonly name: string | null
  readonly description: string | null
  readonly readPolicy: UserPolicy | null
  readonly writePolicy: UserPolicy | null
  readonly joining: string
  readonly joiningRole: string | null
  readonly frozenAt: number | null
  readonly boundAt: number | null
  readonly createdBy: string
  readonly createdAt: number
}

/** All spaces of a community in the order of their URIs, after `after`. */
export async function exportSpaces(
  tx: Tx,
  community: Did,
  after: string,
  limit: number,
): Promise<readonly ExportedSpace[]> {
  const { rows } = await sql<ExportedSpace>`select space.uri as space, state, name, description,
      read_policy as "readPolicy", write_policy as "writePolicy", joining, joining_role as "joiningRole",
      frozen_at_ms as "frozenAt", bound_at_ms as "boundAt", created_by as "createdBy", created_at_ms as "createdAt"
    from space left join space_settings on space_settings.uri = space.uri
    where space.community = ${community} and space.uri > ${after} order by space.uri limit ${limit}`.execute(tx)
  return rows
}

interface StoredSpace {
  readonly uri: string
  readonly community: string
  readonly space_type: string
  readonly skey: string
  readonly joining: JoiningRule['joining']
  readonly joining_role: string | null
  readonly bound_at_ms: number | null
  readonly name: string | null
  readonly description: string | null
  readonly read_policy: UserPolicy
  readonly write_policy: UserPolicy
}

/** What is in the table was parsed when it was written. */
const rowOf = (row: StoredSpace): SpaceRow => ({
  uri: row.uri as SpaceUri,
  authority: row.community as Did,
  spaceType: row.space_type as Nsid,
  skey: row.skey,
  joining: row.joining,
  joiningRole: row.joining_role,
  isBound: row.bound_at_ms !== null,
  name: row.name,
  description: row.description,
  readPolicy: row.read_policy,
  writePolicy: row.write_policy,
})
