/**
 * What somebody gave who has now lost something. Every entry was judged when it was made, and none is taken back because its
 * maker falls; but the owners find in the audit how many with power there are, and can look at them.
 */
import type { Tx } from '../platform/database.ts'
import { isManaging, type Roles } from '../policy/roles.ts'
import type { Facts } from './standing-facts.ts'
import { countEntriesMadeBy } from './store.ts'

/** A particular for the audit; nothing, when they gave nobody any power. */
export async function powersGivenBy(tx: Tx, person: Facts): Promise<Readonly<Record<string, number>>> {
  const count = await countEntriesMadeBy(tx, person.graph.community, person.did, rolesWithPower(person.roles))
  return count === 0 ? {} : { entriesTheyMade: count }
}

const rolesWithPower = (roles: Roles): readonly string[] =>
  [...roles].filter(([, actions]) => [...actions].some(isManaging)).map(([name]) => name)
