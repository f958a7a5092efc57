/** One look at everything that a decision about a person and a space rests on. Reads the tables of other rooms, writes none. */
import { sql } from 'kysely'
import { personEdgeOf, personEdges } from '../membership/store.ts'
import type { Did, SpaceName } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { UserPolicy } from '../policy/decide.ts'
import type { Edge } from '../policy/standing.ts'

export interface SpaceFacts {
  readonly revision: number
  readonly graphRevision: number
  /** Null: the community has no space of that name and never had. */
  readonly space: {
    readonly state: 'live' | 'deleted'
    readonly readPolicy: UserPolicy
    readonly writePolicy: UserPolicy
  } | null
  readonly own: readonly Edge[]
}

/**
 * The numbers of the community, the space with its policy, and the person's edges: one statement, so one snapshot.
 * Null when no such community is opened here.
 */
export async function loadSpaceFacts(db: Db | Tx, name: SpaceName, did: Did): Promise<SpaceFacts | null> {
  const row = await db
    .selectFrom('community_revision')
    .leftJoin('space', (join) =>
      join.onRef('space.community', '=', 'community_revision.community').on('space.uri', '=', name.uri),
    )
    .leftJoin('space_settings', 'space_settings.uri', 'space.uri')
    .select(['revision', 'graph_revision', 'space.state'])
    .select(['space_settings.read_policy', 'space_settings.write_policy'])
    .select(personEdges(db, sql.ref('community_revision.community'), did).as('own'))
    .where('community_revision.community', '=', name.authority)
    .executeTakeFirst()
  if (!row) return null
  const { state, read_policy: readPolicy, write_policy: writePolicy } = row
  const policies = { readPolicy: readPolicy ?? 'memberList', writePolicy: writePolicy ?? 'memberList' } as const
  return {
    revision: row.revision,
    graphRevision: row.graph_revision,
    space: state ? { state, ...policies } : null,
    own: row.own.map(personEdgeOf),
  }
}
