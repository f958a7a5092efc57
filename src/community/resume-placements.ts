/**
 * Takes up keys in shares that were drilled and have not come into the identity: something that could not wait came first, or the operation came to
 * nothing. Without this their keepers would think that they have the last word, and would not.
 */
import { lockRevisions } from '../membership/store.ts'
import { withTransaction } from '../platform/database.ts'
import { decideBegun } from '../policy/decide.ts'
import { loadDealer } from './ceremony-store.ts'
import { isOver, loadRotation } from './key-rotation-store.ts'
import { loadPin } from './plc-watch-store.ts'
import { beginPlacement } from './quorum-operations.ts'
import { listUnplaced, loadQuorumKey, type QuorumKey } from './quorum-store.ts'
import type { RotationCtx } from './rotation-walk.ts'
import { hasCommunityEnded } from './store.ts'

/** Keys looked at in one turn. */
const PLACED_IN_TURN = 20
/** How long one waits whose own placement came to nothing. */
const AGAIN_AFTER_MS = 60 * 60 * 1000

/** One turn. What was begun is walked by whoever walks replacements of keys. */
export async function placeDrilled(ctx: Pick<RotationCtx, 'db' | 'clock'>): Promise<void> {
  for (const key of await listUnplaced(ctx.db, PLACED_IN_TURN)) await placeOne(ctx, key)
}

const placeOne = ({ db, clock }: Pick<RotationCtx, 'db' | 'clock'>, { id, community }: QuorumKey): Promise<void> =>
  withTransaction(db, async (tx) => {
    await lockRevisions(tx, community)
    const key = await loadQuorumKey(tx, id)
    const rotation = await loadRotation(tx, community)
    const nowMs = clock.nowMs()
    const isTried = rotation?.quorum?.key === id && nowMs < rotation.beganAtMs + AGAIN_AFTER_MS
    if (key?.state !== 'drilled' || (rotation && !isOver(rotation)) || isTried) return
    const hasLeft = ((await loadPin(tx, community))?.leftAtMs ?? null) !== null
    if (hasLeft || (await hasCommunityEnded(tx, community))) return
    const askedBy = (await loadDealer(tx, id)) ?? community
    await beginPlacement(tx, decideBegun(askedBy), key, { askedBy, nowMs })
  })
