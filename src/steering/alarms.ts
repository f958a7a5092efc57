/** What the owners of an account have to see to, of its grant and of the spaces that are kept by it. */
import type * as reeve from '../lexicons/community/reeve/defs.ts'
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Db } from '../platform/database.ts'
import { loadConnection } from './connection-store.ts'
import { alarmsOf } from './connection-view.ts'
import { alarmsOfSpaces } from './steered-view.ts'

/** Whoever has more to see to than this begins with these. */
const ALARMS_MAX = 200

export async function loadAlarms(
  { db, clock }: { readonly db: Db; readonly clock: Pick<Clock, 'nowMs'> },
  community: Did,
): Promise<readonly reeve.Caveat[]> {
  const connection = await loadConnection(db, community)
  const ofGrant = connection ? alarmsOf(connection, clock.nowMs()) : []
  return [...ofGrant, ...(await alarmsOfSpaces(db, community, ALARMS_MAX))].slice(0, ALARMS_MAX)
}
