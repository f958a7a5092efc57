/**
 * All keys of all communities replaced, since somebody may have them: the key-encryption key leaked, or a host was broken into.
 *
 * It only begins it, community by community, each in one transaction; the service carries it on. So it can be stopped at any moment and run
 * again, and whatever was begun goes on meanwhile. The old keys are marked for ever, and owners are told.
 */
import { appendChained } from '../audit/store.ts'
import type { Vault } from '../keys/vault.ts'
import { lockRevisions, raiseRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import { type Db, withTransaction } from '../platform/database.ts'
import { decideOperatorsRotation } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import type { KeyChangeCtx } from './key-change.ts'
import { isOver, loadRotation } from './key-rotation-store.ts'
import { loadActiveQuorum } from './quorum-store.ts'
import { beginRotation } from './rotation-begin.ts'
import { hasCommunityEnded } from './store.ts'

export interface RotateAllCtx extends Omit<KeyChangeCtx, 'vault'> {
  readonly db: Db
  readonly clock: Clock
  readonly vault: Vault
  readonly serviceDid: Did
}

/**
 * `begun` now; `underWay` since before, for a leak as well; `waits` for another replacement whose operation is on its way; `keepers` alone can
 * change its identity, and have to do it; `ended`.
 */
export type Begun = 'begun' | 'underWay' | 'waits' | 'keepers' | 'ended'

const ALL = ['rotation', 'atproto', 'space'] as const

/**
 * Begins it for one community. `sinceMs` is when the operator first asked: what began after that for a leak isn't begun again. `note` is the
 * operator's word for what happened, for the audit. @throws Unavailable when the keys can't be sealed
 */
export async function beginRotateAll(
  ctx: RotateAllCtx,
  community: Did,
  { sinceMs, note }: { readonly sinceMs: number; readonly note: string },
): Promise<Begun> {
  const { db, clock, serviceDid } = ctx
  const last = await loadRotation(db, community)
  if (last?.isUrgent && last.beganAtMs >= sinceMs && last.step !== 'refused') return 'underWay'
  if (last?.isUrgent && !isOver(last)) return 'waits'
  if ((await loadActiveQuorum(db, community))?.isStrict) return 'keepers'
  const permit = decideOperatorsRotation(serviceDid)
  const { rows } = await ctx.vault.prepareSuccessors(community, ALL, clock.nowMs(), { freshDek: true })
  try {
    return await withTransaction(db, async (tx) => {
      if (!(await lockRevisions(tx, community)) || (await hasCommunityEnded(tx, community))) return 'ended'
      const nowMs = clock.nowMs()
      const begun = { community, purposes: ALL, reason: 'leak' as const, askedBy: serviceDid, successors: rows, nowMs }
      await beginRotation(ctx, tx, permit, begun)
      const revision = await raiseRevisions(tx, community, { graph: false })
      const fact = { community, atMs: nowMs, actor: serviceDid, target: community, subject: null }
      const because = {
        reasons: permit.because,
        revision,
        status: 'begun',
        purposes: ALL.join(' '),
        reason: 'leak',
        note,
      }
      await appendChained(tx, { ...fact, action: 'key.rotate', because })
      return 'begun'
    })
  } catch (error) {
    if (error instanceof Refusal && error.code === 'RotationUnderWay') return 'waits'
    throw error
  }
}
