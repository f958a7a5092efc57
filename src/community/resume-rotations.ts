/** Takes up replacements of keys whose next step is due, and lets go of keys that are over. */
import { appendChained } from '../audit/store.ts'
import { destroyOver, listChangedSince, listOver, retireOver } from '../keys/successor-store.ts'
import { lockRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import { type Tx, withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { Unavailable } from '../refusals.ts'
import { outliveMs } from './key-change.ts'
import { isOver, listDueRotations, loadRotation, moveRotation } from './key-rotation-store.ts'
import { readPinnedLog } from './pinned-log.ts'
import { hasPlcWorkUnderWay, listNamed } from './plc-work-store.ts'
import { placeDrilled } from './resume-placements.ts'
import { keysNamed, type RotationCtx, walkRotation } from './rotation-walk.ts'

/** Communities looked at in one turn. */
export const ROTATIONS_IN_TURN = 20
/** Walked at once: each waits for the directory most of the time. */
const AT_ONCE = 4
/** For so long a mightier key may undo the replacement; then the old key is in force again, and has to be here. */
const KEPT_RETIRED_MS = 72 * 60 * 60 * 1000 + 60 * 60 * 1000
/** How long one that failed waits. */
const AGAIN_AFTER_MS = 30_000
/** How far back changes are looked for: more than clocks of two processes differ by. */
const LOOK_BACK_MS = 30_000

/**
 * One turn over what is due, some at once. One that fails doesn't stop the others, but a directory that doesn't answer at all ends the turn: each
 * of the others would wait for it as long. Answers how many were looked at: after a full turn there may be more.
 */
export async function resumeRotations(ctx: RotationCtx): Promise<number> {
  await placeDrilled(ctx)
  const due = await listDueRotations(ctx.db, ctx.clock.nowMs(), ROTATIONS_IN_TURN)
  for (let at = 0; at < due.length; at += AT_ONCE) {
    const ends = await Promise.all(due.slice(at, at + AT_ONCE).map((community) => walkOne(ctx, community)))
    if (ends.includes('silent')) return at
  }
  return due.length
}

async function walkOne(ctx: RotationCtx, community: Did): Promise<'walked' | 'waits' | 'silent'> {
  try {
    await walkRotation(ctx, community)
    return 'walked'
  } catch (error) {
    ctx.log.warn('rotation.waits', { did: community, error: errorName(error) })
    await postpone(ctx, community)
    return error instanceof Unavailable && error.code === 'UpstreamTimeout' ? 'silent' : 'waits'
  }
}

/** Whoever can't go on now must not stand before those who can. */
async function postpone({ db, clock }: RotationCtx, community: Did): Promise<void> {
  const rotation = await loadRotation(db, community)
  if (!rotation || isOver(rotation)) return
  const { step } = rotation
  await moveRotation(db, rotation, step, { step, dueAtMs: clock.nowMs() + AGAIN_AFTER_MS })
}

/** One turn over keys that are over: retired when nothing that they signed lives, destroyed when nothing can bring them back. */
export async function letGoOfKeys(ctx: RotationCtx): Promise<void> {
  const nowMs = ctx.clock.nowMs()
  for (const community of await listOver(ctx.db, 'retiring', nowMs - outliveMs(ctx), ROTATIONS_IN_TURN)) {
    await withTransaction(ctx.db, async (tx) => {
      await lockRevisions(tx, community)
      const retired = await retireOver(tx, community, { retireBeforeMs: nowMs - outliveMs(ctx), nowMs })
      await tell(tx, community, 'key.retire', retired, nowMs)
    })
  }
  for (const community of await listOver(ctx.db, 'retired', nowMs - KEPT_RETIRED_MS, ROTATIONS_IN_TURN)) {
    try {
      await destroyUnnamed(ctx, community, nowMs)
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error
      ctx.log.warn('keys.kept', { did: community, error: errorName(error) })
      if (error.code === 'UpstreamTimeout') return
    }
  }
}

/**
 * Destroys keys that nothing names: not the operation in force, by a log that was read now, nor one that was signed here and could still
 * come into force, since what it follows is in force. By the clock alone nothing is destroyed: it may have stepped, or nobody was watching.
 */
async function destroyUnnamed(ctx: RotationCtx, community: Did, nowMs: number): Promise<void> {
  const { head } = await readPinnedLog(ctx, community)
  await withTransaction(ctx.db, async (tx) => {
    await lockRevisions(tx, community)
    if (await hasPlcWorkUnderWay(tx, community)) return
    const named = new Set([...keysNamed(head), ...(await listNamed(tx, community, head.cid))])
    const about = { destroyBeforeMs: nowMs - KEPT_RETIRED_MS, named, nowMs }
    await tell(tx, community, 'key.destroy', await destroyOver(tx, community, about), nowMs)
  })
}

async function tell(tx: Tx, community: Did, action: string, ids: readonly string[], nowMs: number): Promise<void> {
  const fact = { community, atMs: nowMs, actor: community, action, target: community, subject: null }
  for (const keyId of ids) await appendChained(tx, { ...fact, because: { reasons: [], keyId } })
}

/** Forgets live keys that another process replaced. What it misses is forgotten when its time here is over. */
export async function forgetReplaced(ctx: RotationCtx): Promise<void> {
  for (const community of await listChangedSince(ctx.db, ctx.clock.nowMs() - LOOK_BACK_MS)) {
    ctx.vault.letGo(community)
  }
}
