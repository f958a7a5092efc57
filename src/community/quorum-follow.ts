/**
 * Custody follows the operation in force, whoever wrote it: a key in shares that is named there is the active one, one that isn't is retired, and
 * where it stands without a key of ours, ours is retired as well.
 */
import type { PlcOperation } from '../identity/plc-operation.ts'
import { listKeys } from '../keys/store.ts'
import { retireUnnamed } from '../keys/successor-store.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { clearWantedCustody } from './custody-store.ts'
import { listQuorumKeys, moveQuorumKey, type QuorumKey, saveStrict } from './quorum-store.ts'

/**
 * Whatever was known of a key: when the identity names it, it is in force, and to say otherwise would let others go around its keepers. Only
 * operations that this service has a hand in name none but such as were drilled.
 */
const MAY_COME: readonly QuorumKey['state'][] = ['dealt', 'acknowledged', 'drilled', 'retired', 'dropped']

/** Lets the keys in shares of a community follow an operation in force. Answers whether anything changed. The caller holds the community. */
export async function followQuorum(
  tx: Tx,
  community: Did,
  { rotationKeys }: Pick<PlcOperation, 'rotationKeys'>,
  nowMs: number,
): Promise<boolean> {
  const keys = await listQuorumKeys(tx, community)
  if (keys.length === 0) return false
  const active = keys.find(({ state }) => state === 'active') ?? null
  const next = named(keys, rotationKeys)
  const isAnother = active?.id !== next?.id
  if (active && isAnother) await moveQuorumKey(tx, active.id, ['active'], 'retired', nowMs)
  if (next && isAnother) await moveQuorumKey(tx, next.id, MAY_COME, 'active', nowMs)
  if (!next) return isAnother
  if (isAnother) await clearWantedCustody(tx, community)
  const isStrict = await retireUnnamed(tx, community, rotationKeys, nowMs)
  if (next.isStrict !== isStrict) await saveStrict(tx, next.id, isStrict)
  return isAnother || next.isStrict !== isStrict
}

/** Whether what is known here of keys in shares isn't what an operation in force says. */
export async function isQuorumBehind(
  db: Db,
  community: Did,
  { rotationKeys }: Pick<PlcOperation, 'rotationKeys'>,
): Promise<boolean> {
  const keys = await listQuorumKeys(db, community)
  const active = keys.find(({ state }) => state === 'active') ?? null
  const next = named(keys, rotationKeys)
  if (active?.id !== next?.id) return true
  if (!next) return false
  const held = await listKeys(db, community)
  const isOurs = (key: string) => held.some(({ purpose, didKey }) => purpose === 'rotation' && didKey === key)
  return next.isStrict === rotationKeys.some(isOurs)
}

/** The mightiest key in shares that an operation names. */
function named(keys: readonly QuorumKey[], rotationKeys: readonly string[]): QuorumKey | null {
  for (const didKey of rotationKeys) {
    const found = keys.find((key) => key.didKey === didKey && (key.state === 'active' || MAY_COME.includes(key.state)))
    if (found) return found
  }
  return null
}
