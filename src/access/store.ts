/** One look at everything that a decision about a person and a space rests on. Reads the tables of other rooms, writes none. */
import { sql } from 'kysely'
import { isOneOf, type PeopleIn, type PeopleRow, peopleColumns, peopleOf } from '../membership/facts-store.ts'
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { UserPolicy } from '../policy/decide.ts'

export interface SpaceFacts extends PeopleIn {
  /** Only of the space's own community; null: it has no space of that name and never had. */
  readonly space: {
    readonly state: 'live' | 'deleted'
    readonly readPolicy: UserPolicy
    readonly writePolicy: UserPolicy
  } | null
  /** Whether the person has an entry on any roster of the community. */
  readonly isOnRoll: boolean
}

interface SpaceFactsRow extends PeopleRow {
  readonly state: 'live' | 'deleted' | null
  readonly read_policy: UserPolicy | null
  readonly write_policy: UserPolicy | null
  readonly is_on_roll: boolean
}

/**
 * The numbers of the communities, the space with its policy, and the person's entries: one statement, so one snapshot. Of the
 * entries only those in `within` are read, where it is given. Communities that are not opened here are absent.
 */
export async function loadSpaceFacts(
  db: Db | Tx,
  name: SpaceName,
  about: { readonly communities: readonly Did[]; readonly did: Did; readonly within: readonly SpaceUri[] | null },
): Promise<ReadonlyMap<Did, SpaceFacts>> {
  const { communities, did, within } = about
  const { rows } = await sql<SpaceFactsRow>`select ${peopleColumns([did], within)},
      space.state, space_settings.read_policy, space_settings.write_policy,
      exists(select from person_edge edge where edge.community = community_revision.community and edge.did = ${did}) as is_on_roll
    from community_revision
    left join space on space.community = community_revision.community and space.uri = ${name.uri}
    left join space_settings on space_settings.uri = space.uri
    where ${isOneOf(communities)}`.execute(db)
  return new Map(rows.map((row) => [row.community as Did, spaceFactsOf(row)]))
}

function spaceFactsOf(row: SpaceFactsRow): SpaceFacts {
  const { state, read_policy: readPolicy, write_policy: writePolicy } = row
  const policies = { readPolicy: readPolicy ?? 'memberList', writePolicy: writePolicy ?? 'memberList' } as const
  return { ...peopleOf(row), space: state ? { state, ...policies } : null, isOnRoll: row.is_on_roll }
}
