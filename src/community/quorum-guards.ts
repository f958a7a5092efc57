/** What a key in shares keeps others from doing: acts that would go around its keepers, or for which no key is here any more. */

import { listKeys } from '../keys/store.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { Refusal } from '../refusals.ts'
import { loadActiveQuorum } from './quorum-store.ts'

/**
 * That a key of this service can change the identity. @throws Refusal('UnsupportedCustody') where keepers alone can: they do it in a ceremony, or
 * let this service have a key again
 */
export async function requireOwnKey(db: Db | Tx, community: Did): Promise<void> {
  const held = await listKeys(db, community)
  if (!held.some(({ purpose, state }) => purpose === 'rotation' && state === 'active')) {
    const how = 'have them sign it (key.propose), or let this service have a key again (wish shared)'
    throw new Refusal('UnsupportedCustody', `only the keepers of this community can change its identity: ${how}`)
  }
}

/**
 * That no key in shares stands above ours, beside which an owner alone might put another above it.
 * @throws Refusal('UnsupportedCustody')
 */
export async function requireNoKeepers(db: Db | Tx, community: Did): Promise<void> {
  if (!(await loadActiveQuorum(db, community))) return
  throw new Refusal(
    'UnsupportedCustody',
    'the keepers of the community decide which keys stand above this service’s: key.propose',
  )
}
