/** What standing is computed from, as it is read: people's entries with the numbers of their communities, and the graphs. Writes nothing. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { parseAction } from '../policy/roles.ts'
import { type Edge, type Offer, RosterGraph } from '../policy/roster-graph.ts'
import type { Ban } from '../policy/standing.ts'
import type { Revisions } from './store.ts'

/** What one person's standing in one community comes from, besides the edges between spaces. */
export interface Entries {
  readonly own: readonly Edge[]
  readonly bans: readonly Ban[]
  readonly left: readonly SpaceUri[]
}

/** The numbers of a community, and what is known of each person who was asked for and has anything there. */
export interface PeopleIn extends Revisions {
  readonly people: ReadonlyMap<Did, Entries>
}

export const NO_ENTRIES: Entries = { own: [], bans: [], left: [] }

/** As JSON: did, then the columns of each table. An instant in milliseconds is well within what JSON keeps exact. */
export interface PeopleRow {
  readonly community: string
  readonly revision: number
  readonly graph_revision: number
  readonly edges: readonly (readonly [string, string, string, number | null, number | null])[] | null
  readonly bans: readonly (readonly [string, string, number | null])[] | null
  readonly departures: readonly (readonly [string, string])[] | null
}

/**
 * The entries of some people in some communities, with the numbers of each, in one statement and so of one snapshot. Of their
 * edges only those into `within` are read, where it is given. Unknown communities are absent.
 */
export async function loadPeople(
  db: Db | Tx,
  communities: readonly Did[],
  dids: readonly Did[],
  within: readonly SpaceUri[] | null,
): Promise<ReadonlyMap<Did, PeopleIn>> {
  const { rows } = await sql<PeopleRow>`select ${peopleColumns(dids, within)}
    from community_revision where community = any(${communities}::text[])`.execute(db)
  return new Map(rows.map((row) => [row.community as Did, peopleOf(row)]))
}

/** The columns that `peopleOf` reads, within a statement over `community_revision`. */
export function peopleColumns(dids: readonly Did[], within: readonly SpaceUri[] | null) {
  const isWithin = within === null ? sql`` : sql`and edge.into_space = any(${within}::text[])`
  return sql`community_revision.community, revision, graph_revision,
    (select json_agg(json_build_array(edge.did, edge.into_space, edge.role, edge.since_ms, edge.until_ms) order by edge.into_space)
      from person_edge edge where edge.community = community_revision.community and edge.did = any(${dids}::text[]) ${isWithin}) as edges,
    (select json_agg(json_build_array(ban.did, ban.scope, ban.until_ms))
      from ban where ban.community = community_revision.community and ban.did = any(${dids}::text[])) as bans,
    (select json_agg(json_build_array(departure.did, departure.space))
      from departure where departure.community = community_revision.community and departure.did = any(${dids}::text[])) as departures`
}

/** What is in the tables was parsed when it was written. */
export function peopleOf(row: PeopleRow): PeopleIn {
  const people = new Map<Did, { own: Edge[]; bans: Ban[]; left: SpaceUri[] }>()
  const of = (text: string) => {
    const did = text as Did
    const known = people.get(did) ?? { own: [], bans: [], left: [] }
    people.set(did, known)
    return known
  }
  for (const [did, into, role, sinceMs, untilMs] of row.edges ?? []) {
    of(did).own.push({ into: into as SpaceUri, from: did as Did, role, holding: null, sinceMs, untilMs })
  }
  for (const [did, scope, untilMs] of row.bans ?? []) of(did).bans.push({ scope: scope as SpaceUri | Did, untilMs })
  for (const [did, space] of row.departures ?? []) of(did).left.push(space as SpaceUri)
  return { revision: row.revision, graphRevision: row.graph_revision, people }
}

/** The graph of a community, and the revision it belongs to, of one snapshot. Null: unknown community. */
export async function loadGraph(
  db: Db | Tx,
  community: Did,
): Promise<{ graphRevision: number; graph: RosterGraph } | null> {
  const { rows } = await sql<{
    graph_revision: number
    edges: readonly SpaceEdgeRow[] | null
    offers: readonly Offer[] | null
    ended: readonly string[]
  }>`select graph_revision,
    (select json_agg(json_build_object('into_space', into_space, 'from_space', from_space, 'role', role, 'holding', holding,
        'since_ms', since_ms, 'until_ms', until_ms) order by into_space, from_space, role)
      from space_edge edge where edge.community = community_revision.community) as edges,
    (select json_agg(json_build_object('space', space, 'to', to_community))
      from offer where offer.community = community_revision.community) as offers,
    array(select uri from space where space.community = community_revision.community and state <> 'live') as ended
    from community_revision where community = ${community}`.execute(db)
  const row = rows[0]
  if (!row) return null
  const edges = (row.edges ?? []).flatMap(spaceEdgeOf)
  const graph = new RosterGraph(community, edges, row.offers ?? [], row.ended as readonly SpaceUri[])
  return { graphRevision: row.graph_revision, graph }
}

interface SpaceEdgeRow {
  readonly into_space: string
  readonly from_space: string
  readonly role: string
  readonly holding: string | null
  readonly since_ms: number | null
  readonly until_ms: number | null
}

/**
 * A stored edge from a space. One whose holding is an action that this version does not know, written by a newer one perhaps,
 * is left out: nobody can be shown to have it, and to let everybody through instead would open what was meant to be kept.
 */
function spaceEdgeOf(row: SpaceEdgeRow): Edge[] {
  const holding = row.holding === null ? null : parseAction(row.holding)
  if (row.holding !== null && holding === null) return []
  const { role, since_ms: sinceMs, until_ms: untilMs } = row
  return [{ into: row.into_space as SpaceUri, from: row.from_space as SpaceUri, role, holding, sinceMs, untilMs }]
}

/** From how many entries on it pays to walk over all people of the communities, instead of collecting those of the spaces. */
const FEW_ENTRIES = 20_000

/**
 * People with an entry of their own in any of some spaces, each once, in the order of their DIDs, after `after`.
 *
 * One space is read in its own order. Of several, few entries are collected and put in order; many are met soon enough on a walk
 * over the people of the communities, which stops when the page is full.
 */
export async function listPeopleIn(
  db: Db,
  communities: readonly Did[],
  spaces: readonly SpaceUri[],
  after: string,
  limit: number,
): Promise<readonly Did[]> {
  const inSpaces = sql`into_space = any(${spaces}::text[])`
  const found = async (statement: ReturnType<typeof sql<{ did: string }>>) =>
    (await statement.execute(db)).rows.map(({ did }) => did as Did)
  const [first] = spaces
  if (first === undefined) return []
  if (spaces.length === 1) {
    return found(sql<{ did: string }>`select did from person_edge where into_space = ${first} and did > ${after}
      order by did limit ${limit}`)
  }
  const { rows } = await sql<{ count: number }>`select count(*) as count from
    (select from person_edge where ${inSpaces} limit ${FEW_ENTRIES}) entries`.execute(db)
  if ((rows[0]?.count ?? 0) < FEW_ENTRIES) {
    return found(sql<{ did: string }>`select distinct did from person_edge where ${inSpaces} and did > ${after}
      order by did limit ${limit}`)
  }
  const pages = communities.map(
    (
      community,
    ) => sql`(select distinct did from person_edge where community = ${community} and did > ${after} and ${inSpaces}
      order by did limit ${limit})`,
  )
  return found(sql<{ did: string }>`select distinct did from (${sql.join(pages, sql` union all `)}) people
    order by did limit ${limit}`)
}
