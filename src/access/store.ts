/** One look at everything that a decision about a person and a space rests on. Reads the tables of other rooms, writes none. */
import { type CompiledQuery, sql } from 'kysely'
import {
  FEW_ENTRIES,
  isOneOf,
  type PeopleIn,
  type PeopleRow,
  peopleColumns,
  peopleColumnsOf,
  peopleOf,
} from '../membership/facts-store.ts'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { UserPolicy } from '../policy/decide.ts'
import type { Edge } from '../policy/roster-graph.ts'

export interface SpaceFacts extends PeopleIn {
  /** Only of the space's own community; null: it has no space of that name and never had. */
  readonly space: {
    readonly state: 'live' | 'deleted'
    readonly readPolicy: UserPolicy
    readonly writePolicy: UserPolicy
    /** Since when its records are at the PDS of the account that its community is; null: they are here. */
    readonly boundAtMs: number | null
  } | null
  /** Whether the account that the community is has taken back its consent to be decided about here. */
  readonly isReleased: boolean
  /** Whether the person has an entry on any roster of the community. */
  readonly isOnRoll: boolean
  /** Whether they have so many that only those in `within` were read. */
  readonly hasMany: boolean
}

interface SpaceFactsRow extends PeopleRow {
  readonly state: 'live' | 'deleted' | null
  readonly read_policy: UserPolicy | null
  readonly write_policy: UserPolicy | null
  readonly bound_at_ms: number | null
  readonly released_at_ms: number | null
  /** As far as one more than few. */
  readonly entries: number
}

/** What one decision has to know: of one person and one space, in the communities that may matter to it. */
export interface FactsAsk {
  readonly space: SpaceName
  readonly did: Did
  readonly communities: readonly Did[]
  /** Of somebody with many entries only those in these spaces are read; null: all of them. */
  readonly within: readonly SpaceUri[] | null
}

/**
 * For each ask the numbers of the communities, the space with its policy, and the person's entries, by community: one statement, and so
 * one snapshot, for however many asks. Communities that are not opened here are absent.
 */
export async function loadSpaceFacts(
  db: Db,
  asks: readonly FactsAsk[],
): Promise<readonly ReadonlyMap<Did, SpaceFacts>[]> {
  compiled ??= factsStatement().compile(db)
  const places = asks.flatMap((ask, at) => ask.communities.map((community) => ({ at, community, ask })))
  const parameters = [
    places.map(({ at }) => at),
    places.map(({ community }) => community),
    places.map(({ ask }) => ask.did),
    places.map(({ ask }) => ask.space.uri),
    // No blank is in a space's URI.
    places.map(({ ask }) => ask.within?.join(' ') ?? null),
  ]
  const { rows } = await db.executeQuery<SpaceFactsRow & { readonly at: number }>({ ...compiled, parameters })
  const found = asks.map(() => new Map<Did, SpaceFacts>())
  for (const row of rows) found[row.at]?.set(row.community as Did, spaceFactsOf(row))
  return found
}

/** A value that is given when the statement is executed. The planner expects the same of every list (`peopleColumns`). */
const given = sql`${null}`

const factsStatement = () => sql<SpaceFactsRow & { readonly at: number }>`select ask.at,
    ${peopleColumnsOf(sql`(select ask.did) as person (did)`, {
      spaces: sql`unnest(string_to_array(ask.ways, ' '))`,
      isWhole: sql`(ask.ways is null)`,
    })},
    released_at_ms, space.state, space.bound_at_ms, space_settings.read_policy, space_settings.write_policy,
    (select count(*) from (select from person_edge edge where edge.community = ask.community and edge.did = ask.did
      limit ${sql.lit(FEW_ENTRIES + 1)}) counted) as entries
  from unnest(
    (select ${given}::bigint[]), (select ${given}::text[]), (select ${given}::text[]), (select ${given}::text[]), (select ${given}::text[])
  ) as ask (at, community, did, uri, ways)
  cross join lateral (
    select community, revision, graph_revision, released_at_ms from community_revision
    where community_revision.community = ask.community offset 0
  ) community_revision
  left join lateral (
    select uri, state, bound_at_ms from space where space.uri = ask.uri and space.community = ask.community offset 0
  ) space on true
  left join lateral (
    select read_policy, write_policy from space_settings where space_settings.uri = space.uri offset 0
  ) space_settings on true`

let compiled: CompiledQuery<SpaceFactsRow & { readonly at: number }> | undefined

const spaceFactsOf = (row: SpaceFactsRow): SpaceFacts => ({
  ...peopleAtSpaceOf(row),
  isOnRoll: row.entries > 0,
  hasMany: row.entries > FEW_ENTRIES,
})

function peopleAtSpaceOf(row: Omit<SpaceFactsRow, 'entries'>): PeopleAtSpace {
  const { state, read_policy: readPolicy, write_policy: writePolicy, bound_at_ms: boundAtMs } = row
  const settings = {
    readPolicy: readPolicy ?? 'memberList',
    writePolicy: writePolicy ?? 'memberList',
    boundAtMs,
  } as const
  return { ...peopleOf(row), space: state ? { state, ...settings } : null, isReleased: row.released_at_ms !== null }
}

/** The same about several people, without their places on the roll. */
export type PeopleAtSpace = Omit<SpaceFacts, 'isOnRoll' | 'hasMany'>

/** The same for several people, in one statement and so of one snapshot. */
export async function loadPeopleAtSpace(
  db: Db | Tx,
  name: SpaceName,
  about: {
    readonly communities: readonly Did[]
    readonly dids: readonly Did[]
    readonly within: readonly SpaceUri[] | null
  },
): Promise<ReadonlyMap<Did, PeopleAtSpace>> {
  const { communities, dids, within } = about
  const { rows } = await sql<Omit<SpaceFactsRow, 'entries'>>`select ${peopleColumns(dids, within)},
      released_at_ms, space.state, space.bound_at_ms, space_settings.read_policy, space_settings.write_policy
    from community_revision
    left join space on space.community = community_revision.community and space.uri = ${name.uri}
    left join space_settings on space_settings.uri = space.uri
    where ${isOneOf(communities)}`.execute(db)
  return new Map(rows.map((row) => [row.community as Did, peopleAtSpaceOf(row)]))
}

/** Who made an entry of a roster, and when. */
export interface Maker {
  readonly by: Did
  readonly atMs: number
  readonly isSystem: boolean
}

/** What an entry is known by. A space's URI holds no blank, nor does a DID. */
export const edgeKey = ({ into, from, role }: Pick<Edge, 'into' | 'from' | 'role'>): string => `${into} ${from} ${role}`

/** Who made some entries, by `edgeKey`. One that was taken away meanwhile, or given another role, is absent. */
export async function loadEdgeMakers(db: Db | Tx, edges: readonly Edge[]): Promise<ReadonlyMap<string, Maker>> {
  if (edges.length === 0) return new Map()
  const column = (of: 'into' | 'from' | 'role') => sql`(select ${edges.map((edge) => edge[of])}::text[])`
  const { rows } = await sql<{
    into_space: SpaceUri
    name: Did | SpaceUri
    role: string
    added_by: Did
    added_at_ms: number
    is_system: boolean
  }>`select wanted.*, entry.* from unnest(${column('into')}, ${column('from')}, ${column('role')}) as wanted (into_space, name, role)
    cross join lateral (
      (select added_by, added_at_ms, false as is_system from person_edge edge
        where edge.into_space = wanted.into_space and edge.did = wanted.name and edge.role = wanted.role offset 0)
      union all
      (select added_by, added_at_ms, is_system from space_edge edge
        where edge.into_space = wanted.into_space and edge.from_space = wanted.name and edge.role = wanted.role offset 0)
    ) entry`.execute(db)
  return new Map(
    rows.map((row) => [
      edgeKey({ into: row.into_space, from: row.name, role: row.role }),
      { by: row.added_by, atMs: row.added_at_ms, isSystem: row.is_system },
    ]),
  )
}

/** Why a person was banned, by scope, where that was written down. */
export async function loadBanReasons(
  db: Db | Tx,
  did: Did,
  scopes: readonly (SpaceUri | Did)[],
): Promise<ReadonlyMap<SpaceUri | Did, string>> {
  if (scopes.length === 0) return new Map()
  const rows = await db
    .selectFrom('ban')
    .select(['scope', 'reason'])
    .where('did', '=', did)
    .where('scope', 'in', [...scopes])
    .execute()
  return new Map(rows.flatMap(({ scope, reason }) => (reason === null ? [] : [[scope as SpaceUri | Did, reason]])))
}

/** A living space, and who may use it besides those on its roster. */
export interface LivingSpace {
  readonly uri: SpaceUri
  readonly readPolicy: UserPolicy
  readonly writePolicy: UserPolicy
  readonly isAtPds: boolean
  /** Whether it is at a PDS, and its account has taken back its consent to be decided about here. */
  readonly isReleased: boolean
}

/** The living spaces of a community in the order of their URIs, after `after`. */
export async function listLivingSpaces(
  db: Db | Tx,
  community: Did,
  after: string,
  limit: number,
): Promise<readonly LivingSpace[]> {
  const rows = await db
    .selectFrom('space')
    .innerJoin('space_settings', 'space_settings.uri', 'space.uri')
    .innerJoin('community_revision', 'community_revision.community', 'space.community')
    .select(['space.uri', 'space_settings.read_policy', 'space_settings.write_policy'])
    .select(['space.bound_at_ms', 'community_revision.released_at_ms'])
    .where('space.community', '=', community)
    .where('space.state', '=', 'live')
    .where('space.uri', '>', after)
    .orderBy('space.uri')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    uri: row.uri as SpaceUri,
    readPolicy: row.read_policy,
    writePolicy: row.write_policy,
    isAtPds: row.bound_at_ms !== null,
    isReleased: row.bound_at_ms !== null && row.released_at_ms !== null,
  }))
}
