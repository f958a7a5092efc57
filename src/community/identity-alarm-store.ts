/** The table of what owners have to see to about the identity of their community. An alarm stands until it is no longer so. */
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'

/**
 * `plcRollback`       the directory shows less of the log than it did
 * `plcUntrusted`      the directory shows a log that can't be true
 * `foreignOperation`  a key that is not ours changed the identity
 * `removedKeyForked`  a key that had been taken out undid that
 * `movedAway`         the document names another home
 * `ended`             the identity was ended at the directory
 * `oursNotLast`       our key is not the last, or not in the list at all
 * `budgetHalfSpent`   half of the operations that a directory takes are used
 * `keyExport`         somebody asked for a key of the community
 * `keyExported`       a key of the community has a copy outside
 * `keySuspect`        a key may have been seen by somebody
 * `recoveryChange`    somebody asked for another key as the community's own
 * `keeperRevoked`     somebody who kept a share doesn't any more, and the key was not replaced
 * `quorumThin`        few keepers more than have to act together are left
 * `drillDue`          keepers have not shown for 90 days that they can act
 * `keyCombinedHere`   this service had the key in shares for a moment
 * `badShare`          a keeper gave a share that isn't right
 * `keyMismatch`       shares that are right one by one made another key
 * `ownershipClaimed`  a key above ours named other owners
 */
export type IdentityAlarmName =
  | 'plcRollback'
  | 'plcUntrusted'
  | 'foreignOperation'
  | 'removedKeyForked'
  | 'movedAway'
  | 'ended'
  | 'oursNotLast'
  | 'budgetHalfSpent'
  | 'keyExport'
  | 'keyExported'
  | 'keySuspect'
  | 'recoveryChange'
  | 'keeperRevoked'
  | 'quorumThin'
  | 'drillDue'
  | 'keyCombinedHere'
  | 'badShare'
  | 'keyMismatch'
  | 'ownershipClaimed'

declare module '../platform/database.ts' {
  interface Tables {
    identity_alarm: { community: Did; name: IdentityAlarmName; since_ms: number; about: unknown }
  }
}

export interface IdentityAlarm {
  readonly name: IdentityAlarmName
  readonly sinceMs: number
  /** Particulars for the sentence that people read: names, CIDs, instants. Never a secret. */
  readonly about: Readonly<Record<string, string | number | null>>
}

/** Raises an alarm, or gives one that stands its newest particulars. Answers whether it is new. */
export async function raiseAlarm(
  db: Db | Tx,
  community: Did,
  name: IdentityAlarmName,
  about: IdentityAlarm['about'],
  nowMs: number,
): Promise<boolean> {
  const stands = await db
    .updateTable('identity_alarm')
    .set({ about: JSON.stringify(about) })
    .where('community', '=', community)
    .where('name', '=', name)
    .executeTakeFirst()
  if (stands.numUpdatedRows > 0n) return false
  const made = await db
    .insertInto('identity_alarm')
    .values({ community, name, since_ms: nowMs, about: JSON.stringify(about) })
    .onConflict((conflict) => conflict.doNothing())
    .returning('name')
    .executeTakeFirst()
  return made !== undefined
}

/** Ends an alarm that is no longer so. Answers whether it stood. */
export async function endAlarm(db: Db | Tx, community: Did, name: IdentityAlarmName): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('identity_alarm')
    .where('community', '=', community)
    .where('name', '=', name)
    .executeTakeFirst()
  return numDeletedRows > 0n
}

/** Ends an alarm about what was proposed; one about another proposal stands. */
export async function endAlarmAbout(
  tx: Tx,
  { id, community }: { readonly id: string; readonly community: Did },
  name: IdentityAlarmName,
): Promise<void> {
  const stands = (await listAlarms(tx, community)).find((alarm) => alarm.name === name)
  if (stands?.about['proposal'] === id) await endAlarm(tx, community, name)
}

/** What stands for a community, by name. */
export async function listAlarms(db: Db | Tx, community: Did): Promise<readonly IdentityAlarm[]> {
  const rows = await db
    .selectFrom('identity_alarm')
    .select(['name', 'since_ms', 'about'])
    .where('community', '=', community)
    .orderBy('name')
    .execute()
  return rows.map((row) => ({ name: row.name, sinceMs: row.since_ms, about: row.about as IdentityAlarm['about'] }))
}
