/** Small worlds as rows: written past the verdicts, with one statement per table. */
import { authorityOf, isSpaceUri, parseSpaceUri } from '../../src/names.ts'
import { type Db, withTransaction } from '../../src/platform/database.ts'
import { OWNER } from '../../src/policy/roles.ts'
import { communitiesOf } from './graphs.ts'
import type { SmallWorld } from './oracle.ts'

/** Everything that some worlds are, in rows. */
export async function writeWorlds(db: Db, worlds: readonly SmallWorld[]): Promise<void> {
  const of = <T, R>(rowsOf: (world: SmallWorld) => readonly T[], rowOf: (row: T) => R): R[] =>
    worlds.flatMap((world) => rowsOf(world).map(rowOf))
  const by = { added_by: 'did:plc:nobody', added_at_ms: 0 }
  const spaces = of(
    ({ spaces }) => spaces,
    ({ uri, live }) => {
      const name = parseSpaceUri(uri)
      if (!name) throw new Error('no space')
      return {
        ...{ uri, community: name.authority, space_type: name.spaceType, skey: name.skey },
        ...{ state: live ? ('live' as const) : ('deleted' as const), created_by: by.added_by, created_at_ms: 0 },
      }
    },
  )
  const settings = of(
    ({ spaces }) => spaces,
    ({ uri, policies }) => ({
      ...{ uri, name: null, description: null },
      ...{ read_policy: policies.read, write_policy: policies.write },
    }),
  )
  const people = of(
    ({ people }) => people,
    ({ into, did, role, sinceMs, untilMs }) => ({
      ...{ into_space: into, did, community: authorityOf(into), role, since_ms: sinceMs, until_ms: untilMs, ...by },
    }),
  )
  const nestings = of(
    ({ nestings }) => nestings,
    ({ into, from, role, holding, sinceMs, untilMs }) => ({
      ...{ into_space: into, from_space: from, role, holding, community: authorityOf(into) },
      ...{ since_ms: sinceMs, until_ms: untilMs, is_system: role === OWNER, ...by },
    }),
  )
  const bans = of(
    ({ bans }) => bans,
    ({ scope, did, untilMs }) => ({
      ...{ scope, did, community: isSpaceUri(scope) ? authorityOf(scope) : scope, reason: null, until_ms: untilMs },
      ...{ banned_by: by.added_by, banned_at_ms: 0 },
    }),
  )
  const departures = of(
    ({ departures }) => departures,
    ({ space, did }) => ({ space, did, community: authorityOf(space), left_at_ms: 0 }),
  )
  const offers = of(
    ({ offers }) => offers,
    ({ space, to }) => ({
      ...{ space, to_community: to, community: authorityOf(space), offered_by: by.added_by, offered_at_ms: 0 },
    }),
  )
  const numbers = worlds.flatMap(communitiesOf).map((community) => ({ community, revision: 1, graph_revision: 1 }))
  await withTransaction(db, async (tx) => {
    await tx.insertInto('community_revision').values(numbers).execute()
    await tx.insertInto('space').values(spaces).execute()
    await tx.insertInto('space_settings').values(settings).execute()
    await tx.insertInto('person_edge').values(people).execute()
    await tx.insertInto('space_edge').values(nestings).execute()
    if (bans.length > 0) await tx.insertInto('ban').values(bans).execute()
    if (departures.length > 0) await tx.insertInto('departure').values(departures).execute()
    if (offers.length > 0) await tx.insertInto('offer').values(offers).execute()
  })
}
