/**
 * Communities in whose name nobody signs now. The key of an account is at its PDS, which may take as long as it likes to sign, or never do;
 * a host waits for each signature that it is to be shown. So whoever isn't signed for rests, at all hosts, and longer each time: or one
 * community's PDS would keep every other from hosts that hear them well.
 */
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'

export interface Unsigned {
  /** Those that rest now. */
  now(): readonly Did[]
  failed(community: Did): void
  signed(community: Did): void
}

/** The first rest is short: most trouble passes. No later one is long against the ten minutes that a credential lives. */
const RESTS_MS = [5_000, 20_000, 60_000] as const
/** Beyond this, whoever failed first has its next turn early. */
const RESTING_MAX = 1_000

export function openUnsigned(clock: Pick<Clock, 'monotonicMs'>): Unsigned {
  const resting = new Map<Did, { readonly untilMs: number; readonly failures: number }>()
  return {
    now() {
      const nowMs = clock.monotonicMs()
      return [...resting].filter(([, { untilMs }]) => untilMs > nowMs).map(([community]) => community)
    },
    failed(community) {
      const before = resting.get(community)
      // Calls that were under way together fail together, by one trouble.
      if (before && before.untilMs > clock.monotonicMs()) return
      const failures = (before?.failures ?? 0) + 1
      const restMs = RESTS_MS[Math.min(failures, RESTS_MS.length) - 1] ?? 0
      resting.delete(community)
      resting.set(community, { failures, untilMs: clock.monotonicMs() + restMs })
      const [first] = resting.keys()
      if (resting.size > RESTING_MAX && first !== undefined) resting.delete(first)
    },
    signed: (community) => void resting.delete(community),
  }
}
