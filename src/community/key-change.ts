/**
 * What is written when an operation that replaces keys came to its end: the states of the keys follow the document, and the replacement
 * goes on with its next step, or comes to nothing.
 */
import { appendChained } from '../audit/store.ts'
import type { PlcLogEntry } from '../identity/plc-log.ts'
import { listKeys } from '../keys/store.ts'
import { dropSuccessors, followOperation, standAside } from '../keys/successor-store.ts'
import { LIVE_KEY_MS, type Vault } from '../keys/vault.ts'
import { lockRevisions, raiseRevisions } from '../membership/store.ts'
import type { Did } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { saveRecoveryKey } from './custody-store.ts'
import { endAlarm } from './identity-alarm-store.ts'
import { loadRotation, moveRotation, type Rotation, type RotationFault } from './key-rotation-store.ts'
import { type KeyChange, type KeyWork, listNamed, movePlcWork, type PlcFault } from './plc-work-store.ts'
import { settleKeepers } from './quorum-alarms.ts'
import { followQuorum } from './quorum-follow.ts'
import { hasCommunityEnded } from './store.ts'

export interface KeyChangeCtx {
  readonly clock: Clock
  readonly vault: Pick<Vault, 'letGo'>
  /** How long a credential lives. */
  readonly credentialLifetimeSec: number
}

/** What verifiers allow beyond a credential's end, and what clocks of two processes may differ by. */
const SKEW_MS = 60_000
/** How long an operation is left alone after another one came first. */
const AGAIN_AFTER_MS = 60_000

/**
 * How long after a key has stopped signing here something that it signed may still be shown: another process may hold it as long as a key
 * lives there, and what it signs then lives as long as any credential.
 */
export const outliveMs = ({ credentialLifetimeSec }: Pick<KeyChangeCtx, 'credentialLifetimeSec'>): number =>
  LIVE_KEY_MS + credentialLifetimeSec * 1000 + SKEW_MS

/** Whether the operation in force names the keys that were to take over. */
export function headNamesKeys({ operation }: PlcLogEntry, { successors, recovery, quorum }: KeyChange): boolean {
  if (operation.type !== 'plc_operation') return false
  const { rotationKeys, verificationMethods } = operation
  const { rotation, atproto, space } = successors
  const isOurs = rotation === undefined || rotationKeys.at(-1) === rotation
  const areNamed =
    (atproto === undefined || verificationMethods['atproto'] === atproto) &&
    (space === undefined || verificationMethods['atproto_space'] === space)
  const isPlaced = quorum === null || rotationKeys.includes(quorum.pub)
  return isOurs && areNamed && isPlaced && (recovery === null || rotationKeys[0] === recovery.after)
}

/**
 * Writes what became of an operation that is in the log and wasn't undone. Keys follow the operation in force now, whoever wrote it: where
 * it still says what ours said, the replacement goes on; where a mightier key has written over it since, it is over, and no key is thrown away
 * that is named. Where a space key came with it, the other one goes on signing until no verifier needs the document of before.
 */
export async function confirmKeys(ctx: KeyChangeCtx, tx: Tx, work: KeyWork, head: PlcLogEntry): Promise<void> {
  const { community, about } = work
  if (!(await lockRevisions(tx, community))) throw new Error('work for a community that was never opened')
  if (!(await movePlcWork(tx, work, 'submitted', { step: 'confirmed' }))) return
  const nowMs = ctx.clock.nowMs()
  if (head.operation.type === 'plc_operation') {
    await followOperation(tx, community, head.operation, nowMs)
    await followQuorum(tx, community, head.operation, nowMs)
  }
  const rotation = await loadOwnRotation(tx, work)
  if (await hasCommunityEnded(tx, community)) {
    if (rotation) await moveRotation(tx, rotation, 'swap', { step: 'done', dueAtMs: nowMs })
    return
  }
  if (!headNamesKeys(head, about)) {
    if (rotation) await giveUpRotation(ctx, tx, rotation, 'PlcConflict')
    return tell(ctx, tx, work, { status: 'overwritten' })
  }
  const isPatient = about.successors.space !== undefined && rotation?.isUrgent === false
  if (isPatient) await standAside(tx, community, true)
  if (about.recovery) await saveRecoveryKey(tx, community, about.recovery)
  if (rotation) {
    const next = isPatient
      ? { step: 'after' as const, dueAtMs: nowMs + outliveMs(ctx) }
      : { step: 'done' as const, dueAtMs: nowMs }
    await moveRotation(tx, rotation, 'swap', next)
  }
  await endKeyAlarms(tx, community)
  await settleKeepers(tx, community, nowMs)
  const revision = await raiseRevisions(tx, community, { graph: false })
  await tell(ctx, tx, work, { status: 'confirmed', revision })
}

/** The replacement that the work belongs to, while it waits for it; null when another one has begun since. */
async function loadOwnRotation(tx: Tx, { community, about }: KeyWork): Promise<Rotation | null> {
  const rotation = await loadRotation(tx, community)
  return rotation?.beganAtMs === about.rotationBeganAtMs && rotation.step === 'swap' ? rotation : null
}

/** What was said of a key is over when it isn't the one in force any more. */
async function endKeyAlarms(tx: Tx, community: Did): Promise<void> {
  const active = (await listKeys(tx, community)).filter(({ state }) => state === 'active')
  if (!active.some(({ flags }) => flags.includes('suspect'))) await endAlarm(tx, community, 'keySuspect')
  if (!active.some(({ flags }) => flags.includes('exported'))) await endAlarm(tx, community, 'keyExported')
}

/**
 * Writes that the operation came to nothing. When another one came first, the same is tried again on top of that one; what the directory won't
 * take at all is given up, and so is what a mightier key has undone: that was its last word, and asking again would only cost it another.
 */
export async function refuseKeys(
  ctx: KeyChangeCtx,
  tx: Tx,
  work: KeyWork,
  { fault, isUndone }: { readonly fault: PlcFault; readonly isUndone: boolean },
): Promise<void> {
  const { community } = work
  await lockRevisions(tx, community)
  if (!(await movePlcWork(tx, work, 'submitted', { step: 'refused', fault }))) return
  const rotation = await loadOwnRotation(tx, work)
  if (!rotation) return
  if (fault === 'PlcConflict' && !isUndone && !(await hasCommunityEnded(tx, community))) {
    await moveRotation(tx, rotation, 'swap', { step: 'swap', dueAtMs: ctx.clock.nowMs() + AGAIN_AFTER_MS })
  } else {
    await giveUpRotation(ctx, tx, rotation, fault)
  }
}

/**
 * Ends a replacement that can't be: those in force sign as before, and of the keys that were to take over only those are thrown away that no
 * operation ever named. The caller holds the community.
 */
export async function giveUpRotation(
  ctx: Pick<KeyChangeCtx, 'clock'>,
  tx: Tx,
  rotation: Rotation,
  fault: RotationFault,
): Promise<void> {
  const { community, askedBy, purposes, reason } = rotation
  const nowMs = ctx.clock.nowMs()
  if (!(await moveRotation(tx, rotation, rotation.step, { step: 'refused', dueAtMs: nowMs, fault }))) return
  const gone = await dropSuccessors(tx, community, { nowMs, named: await listNamed(tx, community) })
  await standAside(tx, community, false)
  const fact = { community, atMs: nowMs, actor: askedBy, action: 'key.rotate', target: community, subject: null }
  const details = { purposes: purposes.join(' '), reason, destroyed: gone.join(' ') }
  await appendChained(tx, { ...fact, because: { reasons: [], refused: fault, ...details } })
}

/** It was decided when it was begun, and the reasons stand there. */
const tell = (ctx: KeyChangeCtx, tx: Tx, work: KeyWork, outcome: object): Promise<void> =>
  appendChained(tx, {
    community: work.community,
    atMs: ctx.clock.nowMs(),
    actor: work.askedBy,
    action: 'key.rotate',
    target: work.community,
    subject: null,
    because: {
      reasons: [],
      purposes: Object.keys(work.about.successors).join(' '),
      ...(work.about.quorum ? { quorumKey: work.about.quorum.pub } : {}),
      ...(work.about.recovery ? { recoveryKey: work.about.recovery.after, holder: work.about.recovery.holder } : {}),
      operationCid: work.operationCid,
      ...outcome,
    },
  })
