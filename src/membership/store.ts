/**
 * The tables of the roll: the two numbers of a community, the skeleton of its spaces, and the edges.
 *
 * Every function that changes governance demands a `Permit`; what it changes has been decided in the same transaction.
 */
import { type Expression, sql } from 'kysely'
import { jsonArrayFrom } from 'kysely/helpers/postgres'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/decide.ts'
import { OWNER, parseAction } from '../policy/roles.ts'
import type { Edge } from '../policy/standing.ts'

declare module '../platform/database.ts' {
  interface Tables {
    community_revision: { community: string; revision: number; graph_revision: number }
    space: {
      uri: string
      community: string
      space_type: string
      skey: string
      state: 'live' | 'deleted'
      created_by: string
      created_at_ms: number
    }
    person_edge: {
      into_space: string
      did: string
      community: string
      role: string
      since_ms: number | null
      until_ms: number | null
      added_by: string
      added_at_ms: number
    }
    space_edge: {
      into_space: string
      from_space: string
      role: string
      community: string
      holding: string | null
      since_ms: number | null
      until_ms: number | null
      is_system: boolean
      added_by: string
      added_at_ms: number
    }
  }
}

export interface Revisions {
  readonly revision: number
  readonly graphRevision: number
}

/** The numbers of a community, held until the transaction ends: whoever decides on its facts meanwhile waits. Null: unknown. */
export async function lockRevisions(tx: Tx, community: Did): Promise<Revisions | null> {
  const row = await tx
    .selectFrom('community_revision')
    .select(['revision', 'graph_revision'])
    .where('community', '=', community)
    .forUpdate()
    .executeTakeFirst()
  return row ? { revision: row.revision, graphRevision: row.graph_revision } : null
}

/** Raises the numbers of a community whose row is locked, and answers the new revision. */
export async function raiseRevisions(tx: Tx, community: Did, what: { graph: boolean }): Promise<number> {
  const row = await tx
    .updateTable('community_revision')
    .set((column) => ({
      revision: column('revision', '+', 1),
      graph_revision: what.graph ? column('graph_revision', '+', 1) : column('graph_revision', '+', 0),
    }))
    .where('community', '=', community)
    .returning('revision')
    .executeTakeFirstOrThrow()
  return row.revision
}

/** Whether a community was opened here. */
export async function hasCommunity(db: Db | Tx, community: Did): Promise<boolean> {
  const row = await db
    .selectFrom('community_revision')
    .select('community')
    .where('community', '=', community)
    .executeTakeFirst()
  return row !== undefined
}

/** Makes the numbers of a new community. */
export async function startRevisions(tx: Tx, community: Did): Promise<void> {
  await tx.insertInto('community_revision').values({ community, revision: 0, graph_revision: 0 }).execute()
}

const PERSON_COLUMNS = ['into_space', 'did', 'role', 'since_ms', 'until_ms'] as const

/** The edges of one person into spaces of one community, as a JSON array within another statement. */
export const personEdges = (db: Db | Tx, community: Expression<string>, did: Did) =>
  jsonArrayFrom(
    db
      .selectFrom('person_edge')
      .select(PERSON_COLUMNS)
      .whereRef('person_edge.community', '=', community)
      .where('person_edge.did', '=', did)
      .orderBy('into_space'),
  )

interface PersonEdgeRow {
  readonly into_space: string
  readonly did: string
  readonly role: string
  readonly since_ms: number | null
  readonly until_ms: number | null
}

/** A stored entry of a person as an edge. What is in the table was parsed when it was written. */
export const personEdgeOf = (row: PersonEdgeRow): Edge => ({
  into: row.into_space as SpaceUri,
  from: row.did as Did,
  role: row.role,
  holding: null,
  sinceMs: row.since_ms,
  untilMs: row.until_ms,
})

/** The numbers of a community and one person's edges in it, of one snapshot. Null: unknown community. */
export async function loadOwnEdges(
  db: Db | Tx,
  community: Did,
  did: Did,
): Promise<(Revisions & { own: readonly Edge[] }) | null> {
  const row = await db
    .selectFrom('community_revision')
    .select(['revision', 'graph_revision'])
    .select(personEdges(db, sql.ref('community_revision.community'), did).as('own'))
    .where('community', '=', community)
    .executeTakeFirst()
  return row ? { revision: row.revision, graphRevision: row.graph_revision, own: row.own.map(personEdgeOf) } : null
}

/** The edges between spaces of a community, and the graph revision they belong to, of one snapshot. */
export async function loadGraph(
  db: Db | Tx,
  community: Did,
): Promise<{ graphRevision: number; edges: readonly Edge[] } | null> {
  const row = await db
    .selectFrom('community_revision')
    .select('graph_revision')
    .select((outer) =>
      jsonArrayFrom(
        outer
          .selectFrom('space_edge')
          .select(['into_space', 'from_space', 'role', 'holding', 'since_ms', 'until_ms'])
          .whereRef('space_edge.community', '=', 'community_revision.community')
          .orderBy('into_space')
          .orderBy('from_space'),
      ).as('edges'),
    )
    .where('community', '=', community)
    .executeTakeFirst()
  if (!row) return null
  return { graphRevision: row.graph_revision, edges: row.edges.flatMap(spaceEdgeOf) }
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

/** Owners are direct and without a term: an entry with one would leave the community without an owner when it ends. */
const ownersOf = (db: Db | Tx, roster: SpaceUri) =>
  db
    .selectFrom('person_edge')
    .where('into_space', '=', roster)
    .where('role', '=', OWNER)
    .where('since_ms', 'is', null)
    .where('until_ms', 'is', null)

/** How many people are owners of a community now: directly on its roster, as owner. */
export async function countOwners(tx: Tx, roster: SpaceUri): Promise<number> {
  const row = await ownersOf(tx, roster)
    .select((where) => where.fn.countAll<number>().as('owners'))
    .executeTakeFirstOrThrow()
  return Number(row.owners)
}

/** The state of a space, or null when there never was one. */
export async function loadSpaceState(db: Db | Tx, space: SpaceUri): Promise<'live' | 'deleted' | null> {
  const row = await db.selectFrom('space').select('state').where('uri', '=', space).executeTakeFirst()
  return row?.state ?? null
}

/** Makes the skeleton of a space and the edge by which the community's owners stand in it. False: the name is taken. */
export async function insertSpace(
  tx: Tx,
  permit: Permit<'space.create'>,
  space: SpaceName,
  ownersCome: Edge | null,
  nowMs: number,
): Promise<boolean> {
  const made = await tx
    .insertInto('space')
    .values({
      uri: space.uri,
      community: space.authority,
      space_type: space.spaceType,
      skey: space.skey,
      state: 'live',
      created_by: permit.actor,
      created_at_ms: nowMs,
    })
    .onConflict((conflict) => conflict.column('uri').doNothing())
    .returning('uri')
    .executeTakeFirst()
  if (!made) return false
  if (ownersCome) {
    await tx
      .insertInto('space_edge')
      .values({
        into_space: ownersCome.into,
        from_space: ownersCome.from,
        role: ownersCome.role,
        community: space.authority,
        holding: ownersCome.holding,
        since_ms: ownersCome.sinceMs,
        until_ms: ownersCome.untilMs,
        is_system: true,
        added_by: permit.actor,
        added_at_ms: nowMs,
      })
      .execute()
  }
  return true
}

/** Puts a person's entry on a roster, in place of the one they may have there. */
export async function savePersonEdge(
  tx: Tx,
  permit: Permit<'members.add'> | Permit<'space.create'>,
  community: Did,
  edge: Edge,
  nowMs: number,
): Promise<void> {
  const entry = {
    role: edge.role,
    since_ms: edge.sinceMs,
    until_ms: edge.untilMs,
    added_by: permit.actor,
    added_at_ms: nowMs,
  }
  await tx
    .insertInto('person_edge')
    .values({ into_space: edge.into, did: edge.from, community, ...entry })
    .onConflict((conflict) => conflict.columns(['into_space', 'did']).doUpdateSet(entry))
    .execute()
}

/** Takes a person off a roster. */
export async function deletePersonEdge(
  tx: Tx,
  _permit: Permit<'members.remove'>,
  space: SpaceUri,
  did: Did,
): Promise<void> {
  await tx.deleteFrom('person_edge').where('into_space', '=', space).where('did', '=', did).execute()
}

export interface RosterEntry {
  readonly did: Did
  readonly role: string
  readonly sinceMs: number | null
  readonly untilMs: number | null
  readonly addedBy: Did
  readonly addedAtMs: number
}

/** People directly on a roster, in the order of their DIDs, after `after`. */
export async function listRoster(db: Db | Tx, space: SpaceUri, after: string, limit: number): Promise<RosterEntry[]> {
  const rows = await db
    .selectFrom('person_edge')
    .select(['did', 'role', 'since_ms', 'until_ms', 'added_by', 'added_at_ms'])
    .where('into_space', '=', space)
    .where('did', '>', after)
    .orderBy('did')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    did: row.did as Did,
    role: row.role,
    sinceMs: row.since_ms,
    untilMs: row.until_ms,
    addedBy: row.added_by as Did,
    addedAtMs: row.added_at_ms,
  }))
}
