/**
 * What is ours about the identity of a community, as it is stored: keys, operations, and the community's own key as we know it.
 *
 * Every judgement of a log begins with this. A key that is missing here is taken for an enemy's, and one too many for a friend's.
 */
import { listKeys } from '../keys/store.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import { type Ours, oursOf } from './identity-news.ts'
import { listSigned } from './plc-work-store.ts'
import { listQuorumKeys } from './quorum-store.ts'
import { loadFounding } from './store.ts'

/** What is ours about a community; null when its keys aren't here. */
export async function loadOurs(
  { db, publicUrl }: { readonly db: Db | Tx; readonly publicUrl: string },
  community: Did,
): Promise<Ours | null> {
  const founding = await loadFounding(db, community)
  if (!founding) return null
  const operations = new Set([founding.operationCid, ...(await listSigned(db, community))])
  const { operationCid: since, recoveryKey, formerRecoveryKeys } = founding
  const shares = await listQuorumKeys(db, community)
  const active = shares.find(({ state }) => state === 'active')
  const inShares = active?.didKey ?? null
  const isStrict = active?.isStrict === true
  const everInShares = new Set<string>(shares.map(({ didKey }) => didKey))
  const about = { publicUrl, operations, since, recoveryKey, formerRecoveryKeys, inShares, isStrict, everInShares }
  return oursOf(await listKeys(db, community), about)
}
