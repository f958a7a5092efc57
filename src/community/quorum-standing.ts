/**
 * Whether the keepers of a community can act, and what its owners have to see to about that. Pure.
 *
 * A share that somebody took along counts outside until the key was replaced; a quorum that has just enough keepers left is lost with the next
 * telephone. Both have to be seen by people who don't look every day.
 */
import type { Did, DidKey } from '../names.ts'
import type { DealtSeat, QuorumKey } from './quorum-store.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** How often keepers should show that they can act. */
export const DRILL_EVERY_MS = 90 * DAY_MS
/** Within what a key should be replaced once somebody who kept a share doesn't any more. */
export const REKEY_WITHIN_MS = 3 * DAY_MS

/** `revoked`: the keys by which they kept it are enrolled no more. `left`: not in the community's roster. */
export type SeatState = 'good' | 'revoked' | 'left' | 'suspended'

/** What is known of somebody who keeps a share. */
export interface KeeperNow {
  readonly did: Did
  /** The keys that are enrolled. */
  readonly sealKey: string
  readonly signKey: DidKey
  readonly suspendedAtMs: number | null
}

export interface SeatNow {
  readonly seat: DealtSeat
  readonly state: SeatState
}

/** What says whose a seat is. */
type SeatKeys = Pick<DealtSeat, 'did' | 'sealKey' | 'signKey'>

/**
 * Whether somebody's enrolment is that of a seat: both keys, whatever the enrolment is called. Whoever was put out by a thief and enrols the same
 * keys again has their seat again.
 */
export const isOfSeat = (seat: SeatKeys, { did, sealKey, signKey }: SeatKeys): boolean =>
  did === seat.did && sealKey === seat.sealKey && signKey === seat.signKey

/** How each seat of a key stands. `hasLeft`: who is not in the roster any more; left out where nobody looked. */
export function seatsNow(
  { seats }: Pick<QuorumKey, 'seats'>,
  enrolled: readonly KeeperNow[],
  hasLeft: ReadonlySet<Did> = new Set(),
): readonly SeatNow[] {
  return seats.map((seat) => {
    const now = enrolled.find((one) => isOfSeat(seat, one))
    if (!now) return { seat, state: 'revoked' as const }
    if (hasLeft.has(seat.did)) return { seat, state: 'left' as const }
    return { seat, state: now.suspendedAtMs === null ? ('good' as const) : ('suspended' as const) }
  })
}

export const countGood = (seats: readonly SeatNow[]): number => seats.filter(({ state }) => state === 'good').length

/** By when keepers should show again that they can act; null: they never did, and it is due now. */
export const drillDueMs = ({ drilledAtMs }: Pick<QuorumKey, 'drilledAtMs'>): number | null =>
  drilledAtMs === null ? null : drilledAtMs + DRILL_EVERY_MS

/** What has to be seen to about the key in force. Particulars for the sentence that people read. */
export interface QuorumStanding {
  readonly name: 'keeperRevoked' | 'quorumThin' | 'drillDue' | 'keyCombinedHere'
  readonly about: Readonly<Record<string, string | number | null>>
}

/** In the order in which it matters. */
export function quorumStanding(key: QuorumKey, seats: readonly SeatNow[], nowMs: number): readonly QuorumStanding[] {
  const { k, n } = key
  const gone = seats.filter(({ state }) => state === 'revoked' || state === 'left')
  const good = countGood(seats)
  const dueMs = drillDueMs(key)
  const found: (QuorumStanding | false)[] = [
    gone.length > 0 && {
      name: 'keeperRevoked',
      about: { keepers: gone.map(({ seat }) => seat.did).join(' '), count: gone.length, k },
    },
    good < k + 1 && { name: 'quorumThin', about: { good, k, n } },
    (dueMs === null || dueMs <= nowMs) && { name: 'drillDue', about: { drilledAtMs: key.drilledAtMs } },
    key.wasCombinedHere && { name: 'keyCombinedHere', about: { key: key.didKey } },
  ]
  return found.filter((one) => one !== false)
}
