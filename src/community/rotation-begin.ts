/** The beginning of a replacement of keys: everything that has to stand before a step is taken, in one transaction. */
import type { FoundedPurpose } from '../keys/envelope.ts'
import {
  dropSuccessors,
  flagActiveKeys,
  type SuccessorRows,
  saveSuccessors,
  standAside,
} from '../keys/successor-store.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import type { Secret } from '../platform/secret.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { raiseAlarm } from './identity-alarm-store.ts'
import { giveUpRotation, type KeyChangeCtx, outliveMs } from './key-change.ts'
import { insertRotation, isOver, loadRotation, moveRotation, type Rotation } from './key-rotation-store.ts'
import { hasPlcWorkUnderWay, listNamed, type RecoveryChange } from './plc-work-store.ts'

export interface Beginning {
  readonly community: Did
  readonly purposes: readonly FoundedPurpose[]
  readonly reason: 'scheduled' | 'leak'
  readonly askedBy: Did
  /** The keys that take over, made and sealed. */
  readonly successors: Secret<SuccessorRows>
  readonly nowMs: number
}

/**
 * Keeps the new keys and the replacement. With reason `leak` the old ones are marked for ever, and the owners told; nobody waits then, and
 * a scheduled replacement that is only waiting is given up for it. @throws Refusal('RotationUnderWay')
 */
export async function beginRotation(
  ctx: KeyChangeCtx,
  tx: Tx,
  permit: Permit<'keys.ceremony'>,
  begun: Beginning,
): Promise<void> {
  const { community, purposes, reason, askedBy, nowMs } = begun
  const isUrgent = reason === 'leak'
  const isPatient = purposes.includes('space') && !isUrgent
  const recovery = isUrgent ? await giveWay(ctx, tx, begun) : null
  const isNew = await insertRotation(tx, permit, {
    ...{ community, purposes, recovery, quorum: null, reason, isUrgent, askedBy, beganAtMs: nowMs },
    step: isPatient ? 'aside' : 'swap',
    stepDueAtMs: isPatient ? nowMs + outliveMs(ctx) : nowMs,
  })
  if (!isNew) throw rotationUnderWay()
  // None is under way: whatever still waits to take over was left by one that ended badly.
  await dropSuccessors(tx, community, { nowMs, named: await listNamed(tx, community) })
  await saveSuccessors(tx, permit, begun.successors, nowMs)
  if (isPatient) await standAside(tx, community, true)
  if (isUrgent) {
    await flagActiveKeys(tx, community, purposes, 'suspect')
    await raiseAlarm(tx, community, 'keySuspect', { purposes: purposes.join(' '), by: askedBy }, nowMs)
  }
}

/**
 * Ends a replacement that has no operation on its way, for one that can't wait: a scheduled one, or one after an earlier leak whose keys are
 * all among these. Another key of the community's own that was just about to be put in place goes along. Answers that one.
 */
async function giveWay(
  ctx: KeyChangeCtx,
  tx: Tx,
  { community, purposes, nowMs }: Beginning,
): Promise<RecoveryChange | null> {
  const before = await loadRotation(tx, community)
  if (!before || isOver(before)) return null
  if (before.step === 'after' || before.step === 'settle') {
    await moveRotation(tx, before, before.step, { step: 'done', dueAtMs: nowMs })
    await standAside(tx, community, false)
    return null
  }
  const isCovered = !before.isUrgent || before.purposes.every((purpose) => purposes.includes(purpose))
  if (!isCovered || (await hasPlcWorkUnderWay(tx, community))) throw rotationUnderWay()
  await giveUpRotation(ctx, tx, before, 'PlcConflict')
  return before.recovery
}

export const rotationUnderWay = (): Refusal =>
  new Refusal('RotationUnderWay', 'other keys of the community are being replaced; let that come to its end')

/** A replacement as people see it. */
export const shownRotation = (rotation: Rotation) => ({
  purposes: [...rotation.purposes],
  ...(rotation.recovery === null ? {} : { recoveryKey: rotation.recovery.after }),
  ...(rotation.quorum === null ? {} : { quorumKey: rotation.quorum.pub }),
  reason: rotation.reason,
  step: rotation.step,
  ...(rotation.fault === null ? {} : { fault: rotation.fault }),
  ...(rotation.step === 'done' || rotation.step === 'refused' ? {} : { nextAt: isoOf(rotation.stepDueAtMs) }),
  began: isoOf(rotation.beganAtMs),
  by: rotation.askedBy,
})
