/** The keys in shares of a community, as its people see them: custody in one word, who keeps which share, and whether they can act. */
import type * as lexicon from '../lexicons/community/reeve/key/list.ts'
import type { GovernanceCtx } from '../membership/governance.ts'
import { listKeepers } from '../membership/keeper-store.ts'
import { loadStandingFacts } from '../membership/standing-facts.ts'
import { type Did, rosterOf } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Db, Tx } from '../platform/database.ts'
import { standingOf } from '../policy/standing.ts'
import { countGood, drillDueMs, type SeatNow, seatsNow } from './quorum-standing.ts'
import { listQuorumKeys, loadActiveQuorum, type QuorumKey } from './quorum-store.ts'
import type { Community } from './store.ts'

/** Who has the last word about an identity, in one word. */
export async function custodyShown(db: Db | Tx, { did, custody }: Pick<Community, 'did' | 'custody'>): Promise<string> {
  const active = await loadActiveQuorum(db, did)
  if (!active) return custody
  return active.isStrict ? 'quorumStrict' : 'quorum'
}

/** How the seats of a key stand, for whoever may ask about the community's people. */
export async function loadSeats(ctx: GovernanceCtx, key: QuorumKey): Promise<readonly SeatNow[]> {
  const left = new Set<Did>()
  for (const { did } of key.seats) {
    const facts = await loadStandingFacts(ctx, ctx.db, key.community, did)
    if (facts === null || !standingOf(facts).has(rosterOf(key.community).uri)) left.add(did)
  }
  return seatsNow(key, await listKeepers(ctx.db, key.community), left)
}

const SHOWN: readonly QuorumKey['state'][] = ['dealt', 'acknowledged', 'drilled', 'active']

/** The key in force and the one on its way, those first that are in force. */
export async function shownQuorum(ctx: GovernanceCtx, community: Did): Promise<lexicon.QuorumKey[]> {
  const keys = (await listQuorumKeys(ctx.db, community)).filter(({ state }) => SHOWN.includes(state))
  const ordered = keys.toSorted((a, b) => Number(b.state === 'active') - Number(a.state === 'active'))
  return Promise.all(ordered.map((key) => shownKey(ctx, key)))
}

async function shownKey(ctx: GovernanceCtx, key: QuorumKey): Promise<lexicon.QuorumKey> {
  const { id, didKey, state, generation, n, k, drilledAtMs } = key
  const seats = await loadSeats(ctx, key)
  const dueMs = drillDueMs(key)
  return {
    ...{ key: id, didKey, state, generation, n, k, good: countGood(seats), combinedHere: key.wasCombinedHere },
    ...(drilledAtMs === null ? {} : { drilledAt: isoOf(drilledAtMs) }),
    ...(dueMs === null ? {} : { drillDueAt: isoOf(dueMs) }),
    keepers: seats.map(({ seat: { did, x }, state: now }) => ({ did, x, state: now })),
  }
}
