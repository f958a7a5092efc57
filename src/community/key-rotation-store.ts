/** The table of replacements of keys: one at most under way for each community. */
import { type ColumnType, sql } from 'kysely'
import type { FoundedPurpose } from '../keys/envelope.ts'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'
import type { PlcFault, QuorumPlacement, RecoveryChange } from './plc-work-store.ts'

/** `done` and `refused` are ends; `rotation-walk.ts` says what the others are. */
export type RotationStep = 'aside' | 'swap' | 'after' | 'settle' | 'done' | 'refused'
/**
 * Why keys are replaced: since it is time, since somebody may have them, since the community's own key is to be another, or since a key in
 * shares is ready to stand above ours.
 */
export type RotationReason = 'scheduled' | 'leak' | 'recovery' | 'quorum'
export type RotationFault = PlcFault | 'PlcRank'

declare module '../platform/database.ts' {
  interface Tables {
    key_rotation: {
      community: Did
      purposes: FoundedPurpose[]
      recovery: ColumnType<unknown, string | null>
      quorum: ColumnType<unknown, string | null>
      reason: RotationReason
      is_urgent: boolean
      step: RotationStep
      fault: RotationFault | null
      step_due_at_ms: number
      asked_by: Did
      began_at_ms: number
    }
  }
}

export interface Rotation {
  readonly community: Did
  /** Whose keys of ours are replaced. None where only the community's own is. */
  readonly purposes: readonly FoundedPurpose[]
  readonly recovery: RecoveryChange | null
  /** A key in shares that comes into the identity. */
  readonly quorum: QuorumPlacement | null
  readonly reason: RotationReason
  /** Nobody waits for what the old keys signed: whoever has them is to lose them now. */
  readonly isUrgent: boolean
  readonly step: RotationStep
  readonly fault: RotationFault | null
  /** When the next step may be taken. */
  readonly stepDueAtMs: number
  readonly askedBy: Did
  readonly beganAtMs: number
}

export const isOver = ({ step }: Pick<Rotation, 'step'>): boolean => step === 'done' || step === 'refused'

/** Keeps a replacement that has just begun, in place of one that is over. False: one is under way; nothing was kept. */
export async function insertRotation(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  rotation: Omit<Rotation, 'fault'>,
): Promise<boolean> {
  const row = {
    purposes: [...rotation.purposes],
    recovery: rotation.recovery === null ? null : JSON.stringify(rotation.recovery),
    quorum: rotation.quorum === null ? null : JSON.stringify(rotation.quorum),
    reason: rotation.reason,
    is_urgent: rotation.isUrgent,
    step: rotation.step,
    fault: null,
    step_due_at_ms: rotation.stepDueAtMs,
    asked_by: rotation.askedBy,
    began_at_ms: rotation.beganAtMs,
  }
  const made = await tx
    .insertInto('key_rotation')
    .values({ community: rotation.community, ...row })
    .onConflict((conflict) =>
      conflict.column('community').doUpdateSet(row).where('key_rotation.step', 'in', ['done', 'refused']),
    )
    .returning('community')
    .executeTakeFirst()
  return made !== undefined
}

/** The last replacement of a community, over or not. */
export async function loadRotation(db: Db | Tx, community: Did): Promise<Rotation | null> {
  const row = await db.selectFrom('key_rotation').selectAll().where('community', '=', community).executeTakeFirst()
  if (!row) return null
  return {
    community: row.community,
    purposes: row.purposes,
    recovery: row.recovery as RecoveryChange | null,
    quorum: row.quorum as QuorumPlacement | null,
    reason: row.reason,
    isUrgent: row.is_urgent,
    step: row.step,
    fault: row.fault,
    stepDueAtMs: row.step_due_at_ms,
    askedBy: row.asked_by,
    beganAtMs: row.began_at_ms,
  }
}

/** Notes that a replacement went from one step to the next, or waits longer. False: somebody else moved it meanwhile. */
export async function moveRotation(
  db: Db | Tx,
  { community, beganAtMs }: Pick<Rotation, 'community' | 'beganAtMs'>,
  from: RotationStep,
  to: { readonly step: RotationStep; readonly dueAtMs: number; readonly fault?: RotationFault },
): Promise<boolean> {
  const result = await db
    .updateTable('key_rotation')
    .set({ step: to.step, step_due_at_ms: to.dueAtMs, fault: to.fault ?? null })
    .where('community', '=', community)
    .where('began_at_ms', '=', beganAtMs)
    .where('step', '=', from)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/** Some of the replacements whose next step is due, the urgent first, and of those that began first; what failed is due later. */
export async function listDueRotations(db: Db, nowMs: number, limit: number): Promise<Did[]> {
  const rows = await db
    .selectFrom('key_rotation')
    .select('community')
    .where('step', 'not in', ['done', 'refused'])
    .where('step_due_at_ms', '<=', nowMs)
    .orderBy('is_urgent', 'desc')
    .orderBy('step_due_at_ms')
    .orderBy('began_at_ms')
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(({ community }) => community)
}

/** How the replacements after a leak stand that began since an instant, by step. */
export async function countUrgentSince(db: Db, sinceMs: number): Promise<ReadonlyMap<RotationStep, number>> {
  const rows = await db
    .selectFrom('key_rotation')
    .select('step')
    .select((row) => row.fn.countAll<number>().as('count'))
    .where('is_urgent', '=', true)
    .where('began_at_ms', '>=', sinceMs)
    .groupBy('step')
    .execute()
  return new Map(rows.map(({ step, count }) => [step, Number(count)]))
}
