/** The table of what is under way at the PLC directory: one piece of work at most for each community. */
import { sql } from 'kysely'
import type { PlcOperation } from '../identity/plc-operation.ts'
import type { Did, Handle } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

/** How far a piece of work is known to be. `confirmed` and `refused` are ends. */
export type PlcStep = 'prepared' | 'submitted' | 'confirmed' | 'refused'
export type PlcFault = 'PlcRejected' | 'PlcConflict'

declare module '../platform/database.ts' {
  interface Tables {
    plc_work: {
      community: string
      kind: string
      step: PlcStep
      fault: PlcFault | null
      operation: unknown
      operation_cid: string
      about: unknown
      asked_by: string
      created_at_ms: number
    }
  }
}

/** The particulars of a change of handle. Null: none. */
export interface HandleChange {
  readonly handle: Handle | null
  readonly before: Handle | null
  /** The community's revision when the work was begun, and then when it was done. */
  readonly revision: number
  /** At the end: whether the domain still said so when the operation was in force. */
  readonly isVerified: boolean | null
}

/** A piece of work and what is needed to go on with it: the signed operation, byte for byte, and its CID. */
export interface PlcWork {
  readonly community: Did
  readonly kind: 'handle'
  readonly step: PlcStep
  readonly fault: PlcFault | null
  readonly operation: PlcOperation
  readonly operationCid: string
  readonly about: HandleChange
  readonly askedBy: Did
  readonly createdAtMs: number
}

const COLUMNS = [
  'community',
  'kind',
  'step',
  'fault',
  'operation',
  'operation_cid',
  'about',
  'asked_by',
  'created_at_ms',
] as const

/** Keeps work that has not left the house yet, in place of work that came to its end. False: other work is under way; nothing was kept. */
export async function insertPlcWork(
  tx: Tx,
  _permit: Permit<'community.configure'>,
  work: Omit<PlcWork, 'step' | 'fault'>,
): Promise<boolean> {
  const row = {
    kind: work.kind,
    step: 'prepared' as const,
    fault: null,
    operation: JSON.stringify(work.operation),
    operation_cid: work.operationCid,
    about: JSON.stringify(work.about),
    asked_by: work.askedBy,
    created_at_ms: work.createdAtMs,
  }
  const made = await tx
    .insertInto('plc_work')
    .values({ community: work.community, ...row })
    .onConflict((conflict) =>
      conflict.column('community').doUpdateSet(row).where('plc_work.step', 'in', ['confirmed', 'refused']),
    )
    .returning('community')
    .executeTakeFirst()
  return made !== undefined
}

/** The last work of a community, finished or not. */
export async function loadPlcWork(db: Db | Tx, community: Did): Promise<PlcWork | null> {
  const row = await db.selectFrom('plc_work').select(COLUMNS).where('community', '=', community).executeTakeFirst()
  return row ? workOf(row) : null
}

/** Notes that one operation of a community went from one step to the next. False: somebody else moved it meanwhile. */
export async function movePlcWork(
  db: Db | Tx,
  work: Pick<PlcWork, 'community' | 'operationCid'>,
  from: PlcStep,
  to: { readonly step: PlcStep; readonly fault?: PlcFault; readonly about?: HandleChange },
): Promise<boolean> {
  const { step, fault = null, about } = to
  const result = await db
    .updateTable('plc_work')
    .set({ step, fault, ...(about ? { about: JSON.stringify(about) } : {}) })
    .where('community', '=', work.community)
    .where('operation_cid', '=', work.operationCid)
    .where('step', '=', from)
    .executeTakeFirst()
  return result.numUpdatedRows === 1n
}

/** Gives up a community's work that has not left the house. Answers its CID, or null where there is none. */
export async function callOffPlcWork(
  tx: Tx,
  _permit: Permit<'community.transfer'>,
  community: Did,
): Promise<string | null> {
  const row = await tx
    .updateTable('plc_work')
    .set({ step: 'refused', fault: 'PlcConflict' })
    .where('community', '=', community)
    .where('step', '=', 'prepared')
    .returning('operation_cid')
    .executeTakeFirst()
  return row?.operation_cid ?? null
}

/** Some of the work under way, other each time: what can't go on must not stand before what can. */
export async function listUnfinishedPlcWork(db: Db, limit: number): Promise<Did[]> {
  const rows = await db
    .selectFrom('plc_work')
    .select('community')
    .where('step', 'in', ['prepared', 'submitted'])
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map((row) => row.community as Did)
}

/** What is in the table was made here when it was written. */
const workOf = (row: {
  readonly community: string
  readonly kind: string
  readonly step: PlcStep
  readonly fault: PlcFault | null
  readonly operation: unknown
  readonly operation_cid: string
  readonly about: unknown
  readonly asked_by: string
  readonly created_at_ms: number
}): PlcWork => ({
  community: row.community as Did,
  kind: row.kind as PlcWork['kind'],
  step: row.step,
  fault: row.fault,
  operation: row.operation as PlcOperation,
  operationCid: row.operation_cid,
  about: row.about as HandleChange,
  askedBy: row.asked_by as Did,
  createdAtMs: row.created_at_ms,
})
