/**
 * What of a record still counts when its database was put back to a backup: what came after that is gone by the operator's act, and nobody may hold
 * its absence against the service. Pure.
 */
import { isAcknowledged, isUndecided, type Operation } from './record.ts'
import type { Final } from './verdicts.ts'

export interface Restoring {
  /** Before the backup was begun, by the counter of the record. */
  readonly backedUp: number
  /** From when on the database is the one that was put back. */
  readonly putBack: number
  /** From when on everything goes on as ever: until then somebody is refused by a community that rests. */
  readonly woken: number
  /** What the backup has. */
  readonly restored: Pick<Final, 'revision' | 'issuances'>
}

/** Before the backup what it has, after it what came when everything was woken, and of what lies between only what was acknowledged. */
export function survivorsOf(operations: readonly Operation[], restoring: Restoring): readonly Operation[] {
  const { backedUp, putBack, woken, restored } = restoring
  const holders = new Set(restored.issuances.map(({ holder }) => holder))
  return operations.filter((one) => {
    if (one.began > putBack) return one.began > woken || isAcknowledged(one)
    if (one.op === 'change' || one.op === 'takeBack' || one.op === 'rest')
      return one.revision !== null && one.revision <= restored.revision
    if (one.ended < backedUp) return true
    // Under way while the backup was made: it has some of them. A refusal may rest on what it hasn't.
    return one.op === 'exchange' && holders.has(one.holder) && (isAcknowledged(one) || isUndecided(one))
  })
}
