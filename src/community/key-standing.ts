/** What owners are told that no operation by others is needed for: what is left of the directory's patience, and what happened to keys in force. Pure. */
import { plcBudget } from '../identity/plc-budget.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { HeldKey } from '../keys/store.ts'
import type { IdentityAlarm } from './identity-alarm-store.ts'
import type { Standing } from './identity-news.ts'

/** What the directory will take of us is half spent. */
export function budgetStanding(log: VerifiedPlcLog, nowMs: number): readonly Standing[] {
  const { isHalfSpent, left } = plcBudget(log, nowMs)
  return isHalfSpent ? [{ name: 'budgetHalfSpent', about: { left } }] : []
}

/** What happened to keys in force: it stands for as long as they are. Particulars that were told already are kept. */
export function keyStanding(keys: readonly HeldKey[], alarms: readonly IdentityAlarm[]): readonly Standing[] {
  const told = [
    ['suspect', 'keySuspect'],
    ['exported', 'keyExported'],
  ] as const
  return told.flatMap(([flag, name]) => {
    const flagged = keys.filter(({ state, flags }) => state === 'active' && flags.includes(flag))
    if (flagged.length === 0) return []
    const purposes = flagged.map(({ purpose }) => purpose).join(' ')
    return [{ name, about: alarms.find((one) => one.name === name)?.about ?? { purposes } }]
  })
}
