/** What standing is computed from, as it is read: people's entries with the numbers of their communities, and the graphs. Writes nothing. */
import { type RawBuilder, sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { AppAccess, AppMode, AppRules, AppVerdict } from '../policy/apps.ts'
import { type Action, OWNER, parseAction, type Roles, SHIPPED_ROLES } from '../policy/roles.ts'
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
    from community_revision where ${isOneOf(communities)}`.execute(db)
  return new Map(rows.map((row) => [row.community as Did, peopleOf(row)]))
}

/** Up to so many entries of one person are read together sooner than those in each of several spaces. */
export const FEW_ENTRIES = 32

/**
 * The columns that `peopleOf` reads, within a statement over `community_revision`. Of somebody with few entries all are read,
 * wherever they are.
 *
 * The server plans such a statement once, before it knows who and what is asked for, so the planner is left one way only, person
 * by person: of a space with a million people it would else read them all to find one. And it must expect the same of every list,
 * by `(select …)`: a plan made for the one at hand would seem better each time, and cost more to make than the answer.
 */
export function peopleColumns(dids: readonly Did[], within: readonly SpaceUri[] | null) {
  const people = sql`unnest((select ${dids}::text[])) as person (did)`
  const ways = within === null ? null : { spaces: sql`unnest((select ${within}::text[]))`, isWhole: sql`false` }
  return peopleColumnsOf(people, ways)
}

/**
 * The same where people and spaces come from the statement around it. `people` is a `person (did)`; of `ways`, `spaces` gives those
 * whose entries matter, unless `isWhole` says that all do.
 */
export function peopleColumnsOf(
  people: RawBuilder<unknown>,
  ways: { readonly spaces: RawBuilder<unknown>; readonly isWhole: RawBuilder<unknown> } | null,
) {
  const of = (table: string) => {
    const row = sql.ref(`${table}.community`)
    return sql`from ${sql.table(table)} where ${row} = community_revision.community and ${sql.ref(`${table}.did`)} = person.did`
  }
  const entry = sql`select did, into_space, role, since_ms, until_ms ${of('person_edge')}`
  const entries =
    ways === null
      ? sql`cross join lateral (${entry} offset 0) edge`
      : sql`cross join lateral (select count(*) as up_to from
            (select ${of('person_edge')} limit ${sql.lit(FEW_ENTRIES + 1)}) counted) entries
        cross join lateral (
          ${entry} and (entries.up_to <= ${sql.lit(FEW_ENTRIES)} or ${ways.isWhole})
          union all
          select entry.* from ${ways.spaces} as way (space)
            cross join lateral (${entry} and into_space = way.space offset 0) entry
            where entries.up_to > ${sql.lit(FEW_ENTRIES)} and not ${ways.isWhole}
        ) edge`
  return sql`community_revision.community, revision, graph_revision,
    (select json_agg(json_build_array(edge.did, edge.into_space, edge.role, edge.since_ms, edge.until_ms) order by edge.into_space)
      from ${people} ${entries}) as edges,
    (select json_agg(json_build_array(ban.did, ban.scope, ban.until_ms))
      from ${people} cross join lateral (select did, scope, until_ms ${of('ban')} offset 0) ban) as bans,
    (select json_agg(json_build_array(departure.did, departure.space))
      from ${people} cross join lateral (select did, space ${of('departure')} offset 0) departure) as departures`
}

/** That a row of `community_revision` is of one of some communities. */
export const isOneOf = (communities: readonly Did[]) =>
  sql`community_revision.community = any(array(select unnest(${communities}::text[])))`

/** What is in the tables was parsed when it was written. */
export function peopleOf(row: PeopleRow): PeopleIn {
  const people = new Map<Did, OpenEntries>()
  for (const [did, into, role, sinceMs, untilMs] of row.edges ?? []) {
    entriesIn(people, did).own.push(personEdgeOf(did, into, role, sinceMs, untilMs))
  }
  addClosings(people, row)
  return { revision: row.revision, graphRevision: row.graph_revision, people }
}

/** While they are read. */
interface OpenEntries extends Entries {
  readonly own: Edge[]
  readonly bans: Ban[]
  readonly left: SpaceUri[]
}

function entriesIn(people: Map<Did, OpenEntries>, did: string): OpenEntries {
  const known = people.get(did as Did)
  if (known) return known
  const none = { own: [], bans: [], left: [] }
  people.set(did as Did, none)
  return none
}

const personEdgeOf = (
  did: string,
  into: string,
  role: string,
  sinceMs: number | null,
  untilMs: number | null,
): Edge => ({
  into: into as SpaceUri,
  from: did as Did,
  role,
  holding: null,
  sinceMs,
  untilMs,
})

function addClosings(
  people: Map<Did, OpenEntries>,
  { bans, departures }: Pick<PeopleRow, 'bans' | 'departures'>,
): void {
  for (const [did, scope, untilMs] of bans ?? []) {
    entriesIn(people, did).bans.push({ scope: scope as SpaceUri | Did, untilMs })
  }
  for (const [did, space] of departures ?? []) entriesIn(people, did).left.push(space as SpaceUri)
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
    frozen: readonly string[]
    is_all_frozen: boolean
    openings: readonly (readonly [string, string])[] | null
    roles: readonly (readonly [string, readonly string[]])[] | null
    app_access: readonly AppAccessRow[] | null
    app_rules: readonly AppRuleRow[] | null
    is_silent: boolean
  }>`select graph_revision,
    (select json_agg(json_build_array(into_space, from_space, role, holding, since_ms, until_ms)
        order by into_space, from_space, role)
      from space_edge edge where edge.community = community_revision.community) as edges,
    (select json_agg(json_build_object('space', space, 'to', to_community))
      from offer where offer.community = community_revision.community) as offers,
    array(select uri from space where space.community = community_revision.community and state <> 'live') as ended,
    array(select uri from space where space.community = community_revision.community and space.frozen_at_ms is not null) as frozen,
    community_revision.frozen_at_ms is not null as is_all_frozen,
    (select json_agg(json_build_array(uri, joining_role)) from space
      where space.community = community_revision.community and joining = 'open' and state = 'live') as openings,
    (select json_agg(json_build_array(name, actions)) from role where role.community = community_revision.community) as roles,
    (select json_agg(json_build_array(scope, mode, unattested)) from app_access
      where app_access.community = community_revision.community) as app_access,
    (select json_agg(json_build_array(scope, name, verdict)) from app_rule
      where app_rule.community = community_revision.community) as app_rules,
    is_silent
    from community_revision where community = ${community}`.execute(db)
  const row = rows[0]
  if (!row) return null
  // A space stands in many edges. One string for all of them is less to keep, and quicker to look up.
  const names = new Map<string, SpaceUri>()
  const nameOf = (text: string): SpaceUri => {
    const known = names.get(text)
    if (known !== undefined) return known
    names.set(text, text as SpaceUri)
    return text as SpaceUri
  }
  const edges = (row.edges ?? []).flatMap((edge) => spaceEdgeOf(edge, nameOf) ?? [])
  const states = {
    ended: row.ended as readonly SpaceUri[],
    frozen: row.frozen as readonly SpaceUri[],
    isAllFrozen: row.is_all_frozen,
    openings: (row.openings ?? []).map(([into, role]) => openingOf(into as SpaceUri, community, role)),
    apps: appRulesOf(row.app_access ?? [], row.app_rules ?? []),
    isSilent: row.is_silent,
  }
  const graph = new RosterGraph(community, edges, row.offers ?? [], states, rolesOf(row.roles ?? []))
  return { graphRevision: row.graph_revision, graph }
}

/** The entry that whoever asks to join gets in a space that takes everybody. */
export const openingOf = (into: SpaceUri, community: Did, role: string): Edge => ({
  into,
  from: community,
  role,
  holding: null,
  sinceMs: null,
  untilMs: null,
})

/**
 * The shipped roles with those of a community in their place. An action that this version does not know, written by a newer one
 * perhaps, gives nothing; and what owners are is nobody's to say.
 */
function rolesOf(own: readonly (readonly [string, readonly string[]])[]): Roles {
  if (own.length === 0) return SHIPPED_ROLES
  const roles = new Map(SHIPPED_ROLES)
  for (const [name, words] of own) {
    const actions = words.map(parseAction).filter((action): action is Action => action !== null)
    if (name !== OWNER) roles.set(name, new Set(actions))
  }
  return roles
}

/** As JSON: scope, mode, and what becomes of apps that prove nothing. */
type AppAccessRow = readonly [string, AppMode, AppAccess['unattested']]
/** As JSON: scope, client id or host, and what is said of it. */
type AppRuleRow = readonly [string, string, AppVerdict]

/** A scope that has rules and no mode of its own is open to all that it doesn't deny. */
function appRulesOf(modes: readonly AppAccessRow[], said: readonly AppRuleRow[]): AppRules {
  const rules = Map.groupBy(said, ([scope]) => scope)
  const modeOf = new Map(modes.map(([scope, mode, unattested]) => [scope, { mode, unattested }]))
  const scopes = new Set([...rules.keys(), ...modeOf.keys()])
  return new Map(
    [...scopes].map((scope) => {
      const { mode, unattested } = modeOf.get(scope) ?? { mode: 'open', unattested: null }
      const verdicts = new Map((rules.get(scope) ?? []).map(([, name, verdict]) => [name, verdict]))
      return [scope as Did | SpaceUri, { mode, unattested, rules: verdicts }]
    }),
  )
}

/** As JSON: into, from, role, holding, since, until. */
type SpaceEdgeRow = readonly [string, string, string, string | null, number | null, number | null]

/**
 * A stored edge from a space. One whose holding is an action that this version does not know, written by a newer one perhaps,
 * is left out: nobody can be shown to have it, and to let everybody through instead would open what was meant to be kept.
 */
function spaceEdgeOf(row: SpaceEdgeRow, nameOf: (text: string) => SpaceUri): Edge | null {
  const [into, from, role, holdingText, sinceMs, untilMs] = row
  const holding = holdingText === null ? null : parseAction(holdingText)
  if (holdingText !== null && holding === null) return null
  return { into: nameOf(into), from: nameOf(from), role, holding, sinceMs, untilMs }
}

/** Up to so many spaces are read beside each other, each in its own order, and no further than the page reaches. */
export const SPACES_SIDE_BY_SIDE_MAX = 64

/** People with an entry of their own in any of some spaces, each once, in the order of their DIDs, after `after`. */
export async function listPeopleIn(
  db: Db | Tx,
  spaces: readonly SpaceUri[],
  after: string,
  limit: number,
): Promise<readonly Did[]> {
  const statement =
    spaces.length <= SPACES_SIDE_BY_SIDE_MAX
      ? sql<{ did: string }>`select distinct entry.did from unnest(${spaces}::text[]) as one (space)
          cross join lateral (select did from person_edge where into_space = one.space and did > ${after}
            order by did limit ${limit}) entry
          order by entry.did limit ${limit}`
      : sql<{
          did: string
        }>`select distinct did from person_edge where into_space = any(${spaces}::text[]) and did > ${after}
          order by did limit ${limit}`
  const { rows } = await statement.execute(db)
  return rows.map(({ did }) => did as Did)
}

/** A stretch of the people of one community. */
export interface Stretch extends PeopleIn {
  /** Nobody has an entry in the community after these. */
  readonly isLast: boolean
}

/**
 * The first `most` entries in one community of people after `after`, in the order of DIDs, with all else that is known of them. When
 * it isn't the last stretch, the person at its end may have more entries than are in it. Null: unknown community.
 */
export async function loadStretch(tx: Tx, community: Did, after: string, most: number): Promise<Stretch | null> {
  const rows = await listEntries(tx, sql`edge.community = ${community} and edge.did > ${after}`, most)
  const stretch = await peopleBetween(tx, community, { after, upTo: rows.at(-1)?.did ?? after }, rows)
  return stretch && { ...stretch, isLast: rows.length < most }
}

/**
 * What is known of everybody in one community after `after` and up to `upTo`. Null: unknown community, or they have more than `most`
 * entries there.
 */
export async function loadBetween(
  tx: Tx,
  community: Did,
  { after, upTo }: Between,
  most: number,
): Promise<PeopleIn | null> {
  const isBetween = sql`edge.community = ${community} and edge.did > ${after} and edge.did <= ${upTo}`
  const { rows: counted } = await sql<{ count: number }>`select count(*) as count from
    (select from person_edge edge where ${isBetween} limit ${most + 1}) counted`.execute(tx)
  if ((counted[0]?.count ?? 0) > most) return null
  return peopleBetween(tx, community, { after, upTo }, await listEntries(tx, isBetween, most))
}

interface Between {
  readonly after: string
  readonly upTo: string
}

interface EntryRow {
  readonly did: string
  readonly into_space: string
  readonly role: string
  readonly since_ms: number | null
  readonly until_ms: number | null
}

/** Row by row: of thousands, the server makes one JSON at ten times the cost. */
async function listEntries(tx: Tx, isOne: RawBuilder<unknown>, most: number): Promise<readonly EntryRow[]> {
  const { rows } = await sql<EntryRow>`select did, into_space, role, since_ms, until_ms from person_edge edge
    where ${isOne} order by edge.did, edge.into_space limit ${most}`.execute(tx)
  return rows
}

async function peopleBetween(
  tx: Tx,
  community: Did,
  { after, upTo }: Between,
  entries: readonly EntryRow[],
): Promise<PeopleIn | null> {
  const isIn = (table: string) => sql`${sql.ref(`${table}.community`)} = community_revision.community
      and ${sql.ref(`${table}.did`)} > ${after} and ${sql.ref(`${table}.did`)} <= ${upTo}`
  const { rows } = await sql<Omit<PeopleRow, 'edges'>>`select revision, graph_revision,
      (select json_agg(json_build_array(ban.did, ban.scope, ban.until_ms)) from ban where ${isIn('ban')}) as bans,
      (select json_agg(json_build_array(departure.did, departure.space)) from departure where ${isIn('departure')}) as departures
    from community_revision where community_revision.community = ${community}`.execute(tx)
  const row = rows[0]
  if (!row) return null
  const people = new Map<Did, OpenEntries>()
  for (const { did, into_space: into, role, since_ms: sinceMs, until_ms: untilMs } of entries) {
    entriesIn(people, did).own.push(personEdgeOf(did, into, role, sinceMs, untilMs))
  }
  addClosings(people, row)
  return { revision: row.revision, graphRevision: row.graph_revision, people }
}
