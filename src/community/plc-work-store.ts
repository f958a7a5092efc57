/** The table of what is under way at the PLC directory: one piece of work at most for each community. */
import { sql } from 'kysely'
import type { PlcOperation } from '../identity/plc-operation.ts'
import type { Successors } from '../keys/rekeying.ts'
import type { Did, DidKey, Handle } from '../names.ts'
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
    plc_signed: { community: string; cid: string; prev: string; names: string[] }
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

/** The particulars of a replacement of keys. */
export interface KeyChange {
  readonly successors: Successors
  readonly recovery: RecoveryChange | null
  readonly quorum: QuorumPlacement | null
  /** Which rotation it belongs to. */
  readonly rotationBeganAtMs: number
}

/** The community's own key that takes the place of another, or of none, and who proved to hold it. */
export interface RecoveryChange {
  readonly before: DidKey | null
  readonly after: DidKey
  readonly holder: Did
}

/** A key in shares that comes into the identity, above ours; or in the place of ours, which then leaves (`isStrict`). */
export interface QuorumPlacement {
  readonly key: string
  readonly pub: DidKey
  readonly isStrict: boolean
}

/** The particulars of an operation that keepers signed together. */
export interface CeremonyChange {
  readonly ceremony: string
  /** What was in force when they were shown it. It may follow another one, and undo what stands between. */
  readonly head: string
}

/** A piece of work and what is needed to go on with it: the signed operation, byte for byte, and its CID. */
interface Work<Kind extends string, About> {
  readonly community: Did
  readonly kind: Kind
  readonly step: PlcStep
  readonly fault: PlcFault | null
  readonly operation: PlcOperation
  readonly operationCid: string
  readonly about: About
  readonly askedBy: Did
  readonly createdAtMs: number
}

export type HandleWork = Work<'handle', HandleChange>
export type KeyWork = Work<'keys', KeyChange>
export type CeremonyWork = Work<'ceremony', CeremonyChange>
export type PlcWork = HandleWork | KeyWork | CeremonyWork
/** Work before it is kept. */
export type NewPlcWork =
  | Omit<HandleWork, 'step' | 'fault'>
  | Omit<KeyWork, 'step' | 'fault'>
  | Omit<CeremonyWork, 'step' | 'fault'>

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
  _permit: Permit<'community.configure'> | Permit<'keys.ceremony'>,
  work: NewPlcWork,
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
  if (!made) return false
  const { community, operationCid: cid, operation } = work
  const names = [...operation.rotationKeys, ...Object.values(operation.verificationMethods)]
  const signed = { community, cid, prev: operation.prev ?? '', names }
  await tx
    .insertInto('plc_signed')
    .values(signed)
    .onConflict((one) => one.doNothing())
    .execute()
  return true
}

/** Notes the names of an operation that others may sign and send themselves: until it can't come into force no key of ours in it is thrown away. */
export async function noteNamed(
  tx: Tx,
  community: Did,
  { name, prev, names }: { readonly name: string; readonly prev: string; readonly names: readonly string[] },
): Promise<void> {
  // Its CID isn't known before it is signed; a name that is no CID is nobody's operation.
  await tx
    .insertInto('plc_signed')
    .values({ community, cid: `unsigned ${name}`, prev, names: [...names] })
    .onConflict((one) => one.doNothing())
    .execute()
}

/** Every key that an operation names which was signed here for a community; only of those that follow `prev`, where it is given. */
export async function listNamed(db: Db | Tx, community: Did, prev: string | null = null): Promise<ReadonlySet<string>> {
  const rows = await db
    .selectFrom('plc_signed')
    .select('names')
    .where('community', '=', community)
    .$if(prev !== null, (query) => query.where('prev', '=', prev ?? ''))
    .execute()
  return new Set(rows.flatMap(({ names }) => names))
}

/** The CIDs of every operation that was signed here for a community since it exists. */
export async function listSigned(db: Db | Tx, community: Did): Promise<readonly string[]> {
  const rows = await db.selectFrom('plc_signed').select('cid').where('community', '=', community).execute()
  return rows.map(({ cid }) => cid)
}

/** The last work of a community, finished or not. */
export async function loadPlcWork(db: Db | Tx, community: Did): Promise<PlcWork | null> {
  const row = await db.selectFrom('plc_work').select(COLUMNS).where('community', '=', community).executeTakeFirst()
  return row ? workOf(row) : null
}

/** Whether an operation of a community may be on its way. */
export async function hasPlcWorkUnderWay(tx: Tx, community: Did): Promise<boolean> {
  const work = await loadPlcWork(tx, community)
  return work !== null && work.step !== 'confirmed' && work.step !== 'refused'
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
}): PlcWork => {
  const { kind, about } = row
  const work = {
    community: row.community as Did,
    step: row.step,
    fault: row.fault,
    operation: row.operation as PlcOperation,
    operationCid: row.operation_cid,
    askedBy: row.asked_by as Did,
    createdAtMs: row.created_at_ms,
  }
  if (kind === 'ceremony') return { ...work, kind, about: about as CeremonyChange }
  return kind === 'keys'
    ? { ...work, kind, about: { ...(about as KeyChange), quorum: (about as KeyChange).quorum ?? null } }
    : { ...work, kind: 'handle', about: about as HandleChange }
}
