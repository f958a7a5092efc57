/** The table of keys on their way out: from when the day of an export has come until its file was taken or thrown away. */
import { sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Permit } from '../policy/verdict.ts'

/** `due`: the file has to be made; `ready`: it waits for whoever asked for it; `taken` and `lapsed` are ends, without a file. */
export type KeyExportState = 'due' | 'ready' | 'taken' | 'lapsed'

declare module '../platform/database.ts' {
  interface Tables {
    key_export: {
      id: string
      community: Did
      key_id: string
      asked_by: Did
      recipients: unknown
      state: KeyExportState
      sealed: Uint8Array | null
      due_at_ms: number
      expires_at_ms: number | null
    }
  }
}

/** A key on its way out. */
export interface KeyExport {
  /** The proposal's. */
  readonly id: string
  readonly community: Did
  readonly keyId: string
  readonly askedBy: Did
  readonly recipients: readonly Recipient[]
  readonly state: KeyExportState
  readonly dueAtMs: number
  /** Until when a file that was made is there; null as long as none was. */
  readonly expiresAtMs: number | null
}

/** Who can open the file, and by which enrolment. */
export interface Recipient {
  readonly did: Did
  /** The enrolment's name. */
  readonly keeper: string
  readonly fingerprint: string
}

const COLUMNS = ['id', 'community', 'key_id', 'asked_by', 'recipients', 'state', 'due_at_ms', 'expires_at_ms'] as const

/** Notes that the day of an export has come. Nothing is opened by that. */
export async function insertExport(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  due: Pick<KeyExport, 'id' | 'community' | 'keyId' | 'askedBy' | 'recipients' | 'dueAtMs'>,
): Promise<void> {
  await tx
    .insertInto('key_export')
    .values({
      ...{ id: due.id, community: due.community, key_id: due.keyId, asked_by: due.askedBy, state: 'due' },
      ...{ recipients: JSON.stringify(due.recipients), sealed: null, due_at_ms: due.dueAtMs, expires_at_ms: null },
    })
    .execute()
}

/** One export, without its file; null when its day hasn't come. */
export async function loadExport(db: Db | Tx, id: string): Promise<KeyExport | null> {
  const row = await db.selectFrom('key_export').select(COLUMNS).where('id', '=', id).executeTakeFirst()
  return row ? exportOf(row) : null
}

/** Whether a file of the community is being made, or waits to be taken. */
export async function hasExportUnderWay(tx: Tx, community: Did, nowMs: number): Promise<boolean> {
  const row = await tx
    .selectFrom('key_export')
    .select('id')
    .where('community', '=', community)
    .where((where) =>
      where.or([where('state', '=', 'due'), where('state', '=', 'ready').and('expires_at_ms', '>', nowMs)]),
    )
    .executeTakeFirst()
  return row !== undefined
}

/** Some of the files that have to be made, others each time: those that fail must not stand before those that don't. */
export async function listDueExports(db: Db, nowMs: number, limit: number): Promise<readonly KeyExport[]> {
  const rows = await db
    .selectFrom('key_export')
    .select(COLUMNS)
    .where('state', '=', 'due')
    .where('due_at_ms', '<=', nowMs)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(exportOf)
}

/** Some of the files that nobody took in time. */
export async function listExportsOver(db: Db, nowMs: number, limit: number): Promise<readonly KeyExport[]> {
  const rows = await db
    .selectFrom('key_export')
    .select(COLUMNS)
    .where('state', '=', 'ready')
    .where('expires_at_ms', '<=', nowMs)
    .orderBy(sql`random()`)
    .limit(limit)
    .execute()
  return rows.map(exportOf)
}

/** Keeps the sealed file. */
export async function keepSealed(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  id: string,
  { sealed, expiresAtMs }: { sealed: Uint8Array; expiresAtMs: number },
): Promise<void> {
  await tx
    .updateTable('key_export')
    .set({ state: 'ready', sealed, expires_at_ms: expiresAtMs })
    .where('id', '=', id)
    .where('state', '=', 'due')
    .execute()
}

/** Gives the file out and keeps none; null when there is none to be taken any more. */
export async function takeSealed(
  tx: Tx,
  _permit: Permit<'keys.ceremony'>,
  id: string,
  nowMs: number,
): Promise<Uint8Array | null> {
  const row = await tx
    .selectFrom('key_export')
    .select('sealed')
    .where('id', '=', id)
    .where('state', '=', 'ready')
    .where('expires_at_ms', '>', nowMs)
    .forUpdate()
    .executeTakeFirst()
  if (!row?.sealed) return null
  await tx.updateTable('key_export').set({ state: 'taken', sealed: null }).where('id', '=', id).execute()
  return row.sealed
}

/** Ends an export whose file nobody will take, and throws the file away. Answers whether it was under way. */
export async function lapseExport(tx: Tx, id: string): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('key_export')
    .set({ state: 'lapsed', sealed: null })
    .where('id', '=', id)
    .where('state', 'in', ['due', 'ready'])
    .executeTakeFirstOrThrow()
  return numUpdatedRows > 0n
}

/** What is in the table was made here when it was written. */
const exportOf = (row: {
  readonly id: string
  readonly community: Did
  readonly key_id: string
  readonly asked_by: Did
  readonly recipients: unknown
  readonly state: KeyExportState
  readonly due_at_ms: number
  readonly expires_at_ms: number | null
}): KeyExport => ({
  id: row.id,
  community: row.community,
  keyId: row.key_id,
  askedBy: row.asked_by,
  recipients: row.recipients as readonly Recipient[],
  state: row.state,
  dueAtMs: row.due_at_ms,
  expiresAtMs: row.expires_at_ms,
})
