/** What owners are told of their keepers in the moment in which it becomes so; the watcher tells the same at its next look. */

import { listKeepers } from '../membership/keeper-store.ts'
import type { Did } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { IdentityAlarmName } from './identity-alarm-store.ts'
import { settleAlarms } from './identity-alarms.ts'
import type { Standing } from './identity-news.ts'
import { quorumStanding, seatsNow } from './quorum-standing.ts'
import { loadActiveQuorum } from './quorum-store.ts'

/** The alarms that follow from who keeps a share now. */
export const OF_KEEPERS: readonly IdentityAlarmName[] = ['keeperRevoked', 'quorumThin', 'drillDue', 'keyCombinedHere']

/** What stands about the key in force, by the enrolments as they are. */
export async function keepersStanding(tx: Tx, community: Did, nowMs: number): Promise<readonly Standing[]> {
  const key = await loadActiveQuorum(tx, community)
  return key ? quorumStanding(key, seatsNow(key, await listKeepers(tx, community)), nowMs) : []
}

/** Tells it now. The caller holds the community. */
export async function settleKeepers(tx: Tx, community: Did, nowMs: number): Promise<void> {
  await settleAlarms(tx, community, OF_KEEPERS, await keepersStanding(tx, community, nowMs), nowMs)
}
