/**
 * How many operations a directory still takes for one DID. Pure.
 *
 * It takes ten in an hour, thirty in a day and a hundred in a week, of whoever sends them. A key of a lower rank that spends them keeps
 * everybody else's ordinary operations out; a recovery is exempt (did:plc v0.3 §Rate limits). So ours are counted beforehand, from the
 * directory's own log, and owners are told at half.
 */
import type { VerifiedPlcLog } from './plc-log.ts'

const HOUR_MS = 60 * 60 * 1000
const BUDGETS = [
  { withinMs: HOUR_MS, most: 10 },
  { withinMs: 24 * HOUR_MS, most: 30 },
  { withinMs: 7 * 24 * HOUR_MS, most: 100 },
] as const

export interface PlcBudget {
  /** Operations that may still be sent now. */
  readonly left: number
  /** Whether half of one of the budgets is spent. */
  readonly isHalfSpent: boolean
  /** When the next may be sent, where none may now: the instant at which enough of them are old enough. */
  readonly opensAtMs: number
}

/** What is left at an instant. Operations that were undone count as well: they were sent. */
export function plcBudget({ ops }: Pick<VerifiedPlcLog, 'ops'>, nowMs: number): PlcBudget {
  const each = BUDGETS.map(({ withinMs, most }) => {
    const spent = ops.filter(({ createdAtMs }) => createdAtMs > nowMs - withinMs)
    const first = spent.at(-most)
    const opensAtMs = first ? first.createdAtMs + withinMs : nowMs
    return { left: Math.max(0, most - spent.length), isHalfSpent: spent.length * 2 >= most, opensAtMs }
  })
  return {
    left: Math.min(...each.map(({ left }) => left)),
    isHalfSpent: each.some(({ isHalfSpent }) => isHalfSpent),
    opensAtMs: Math.max(...each.map(({ opensAtMs }) => opensAtMs)),
  }
}
