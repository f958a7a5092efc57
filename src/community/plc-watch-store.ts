/**
 * The table of what was last seen of the PLC log of each community: what a directory has shown once, it can't take back here. And whose
 * turn it is to be looked at: a community is one process's for a while, so no two ask the directory the same.
 */
import { type Generated, sql } from 'kysely'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { Did } from '../names.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'

declare module '../platform/database.ts' {
  interface Tables {
    plc_watch: {
      community: Did
      head_cid: string
      operations: number
      judged: Generated<number>
      read_at_ms: number
      due_at_ms: number
      document_at_ms: number | null
      document_due_at_ms: number
      quiet_until_ms: number | null
      left_at_ms: number | null
    }
  }
}

/** The last log of a DID that held: its operation in force, and how many operations it had, undone ones too. */
export interface PlcPin {
  readonly headCid: string
  readonly operations: number
  /** Of how many of these owners were told what there is to tell. */
  readonly judged: number
  readonly quietUntilMs: number | null
  readonly leftAtMs: number | null
}

/** Null: nothing was seen yet, and the next log that holds is believed. */
export async function loadPin(db: Db | Tx, community: Did): Promise<PlcPin | null> {
  const row = await db
    .selectFrom('plc_watch')
    .select(['head_cid', 'operations', 'judged', 'quiet_until_ms', 'left_at_ms'])
    .where('community', '=', community)
    .executeTakeFirst()
  if (!row) return null
  const { head_cid: headCid, operations, judged, quiet_until_ms: quietUntilMs, left_at_ms: leftAtMs } = row
  return { headCid, operations, judged, quietUntilMs, leftAtMs }
}

/** Whether a log goes on from what was seen: as long at least, with the operation that was in force then, in force or undone. */
export const holdsPin = (pin: PlcPin | null, { ops }: VerifiedPlcLog): boolean =>
  pin === null || (ops.length >= pin.operations && ops.slice(0, pin.operations).some(({ cid }) => cid === pin.headCid))

interface Instants {
  readonly nowMs: number
  readonly dueAtMs: number
}

/**
 * Notes what was seen and judged now. A log that two processes read is noted by the longer one; the caller has asked `holdsPin`, and has told
 * owners what there is to tell, or there is nothing.
 */
export function advancePin(db: Db | Tx, log: VerifiedPlcLog, { nowMs, dueAtMs }: Instants): Promise<void> {
  const judged = { ...seenIn(log, nowMs), judged: log.ops.length, due_at_ms: dueAtMs }
  return writePin(db, log, { ...judged, document_due_at_ms: nowMs }, judged)
}

/**
 * Notes what was seen by somebody who judged nothing of it: the watcher looks when it would have looked, and tells what is new since it did.
 * `dueAtMs` is for a community that nobody watches yet.
 */
export function notePin(db: Db | Tx, log: VerifiedPlcLog, { nowMs, dueAtMs }: Instants): Promise<void> {
  const seen = seenIn(log, nowMs)
  return writePin(db, log, { ...seen, due_at_ms: dueAtMs, document_due_at_ms: nowMs }, seen)
}

const seenIn = ({ head, ops }: VerifiedPlcLog, nowMs: number) => ({
  ...{ head_cid: head.cid, operations: ops.length, read_at_ms: nowMs },
})

async function writePin(
  db: Db | Tx,
  { did, ops }: VerifiedPlcLog,
  begun: ReturnType<typeof seenIn> & { readonly due_at_ms: number; readonly document_due_at_ms: number },
  noted: Partial<typeof begun>,
): Promise<void> {
  await db
    .insertInto('plc_watch')
    .values({ community: did, ...begun })
    .onConflict((conflict) =>
      conflict.column('community').doUpdateSet(noted).where('plc_watch.operations', '<=', ops.length),
    )
    .execute()
}

/** What a look is about. */
type Look = 'log' | 'document'
const DUE = { log: 'due_at_ms', document: 'document_due_at_ms' } as const

/**
 * Takes communities whose log, or document, is due to be looked at, longest first, and keeps them until `untilMs`. What is due later than
 * anybody would have put it (`latestMs`) was put there by a clock that stepped, and is due now. Those that came to their end are not looked
 * at any more.
 */
export const takeDueLooks = (
  db: Db,
  look: Look,
  {
    nowMs,
    untilMs,
    latestMs,
    most,
  }: { readonly nowMs: number; readonly untilMs: number; readonly latestMs: number; readonly most: number },
): Promise<readonly Did[]> =>
  withTransaction(db, async (tx) => {
    const due = DUE[look]
    const rows = await tx
      .selectFrom('plc_watch')
      .select('community')
      .where((row) => row.or([row(due, '<=', nowMs), row(due, '>', latestMs)]))
      .orderBy(due)
      .orderBy(sql`random()`)
      .limit(most)
      .forUpdate()
      .skipLocked()
      .execute()
    const taken = rows.map(({ community }) => community)
    if (taken.length === 0) return []
    await tx
      .updateTable('plc_watch')
      .set({ [due]: untilMs })
      .where('community', 'in', taken)
      .execute()
    const ended = await tx
      .selectFrom('community')
      .select('did')
      .where('did', 'in', taken)
      .where('step', '<>', 'opened')
      .execute()
    const gone = new Set<string>(ended.map(({ did }) => did))
    if (gone.size > 0)
      await tx
        .deleteFrom('plc_watch')
        .where(
          'community',
          'in',
          taken.filter((did) => gone.has(did)),
        )
        .execute()
    return taken.filter((did) => !gone.has(did))
  })

/** When the log is looked at next. Nothing was learned by the last look. */
export async function putOffLog(db: Db | Tx, community: Did, dueAtMs: number): Promise<void> {
  await db.updateTable('plc_watch').set({ due_at_ms: dueAtMs }).where('community', '=', community).execute()
}

/** Has a document looked at in the next turn. */
export async function hastenDocument(db: Db | Tx, community: Did, nowMs: number): Promise<void> {
  await db.updateTable('plc_watch').set({ document_due_at_ms: nowMs }).where('community', '=', community).execute()
}

export interface DocumentLook {
  readonly community: Did
  /** When it was asked for; null: nobody answered. */
  readonly seenAtMs: number | null
  readonly dueAtMs: number
}

/** Notes looks at documents, all together. */
export async function noteDocuments(db: Db, looks: readonly DocumentLook[]): Promise<void> {
  if (looks.length === 0) return
  const of = <T>(value: (look: DocumentLook) => T) => looks.map(value)
  await sql`update plc_watch set document_at_ms = coalesce(look.seen_at_ms, document_at_ms), document_due_at_ms = look.due_at_ms
    from unnest(${of(({ community }) => community)}::text[], ${of(({ seenAtMs }) => seenAtMs)}::bigint[],
      ${of(({ dueAtMs }) => dueAtMs)}::bigint[]) as look (community, seen_at_ms, due_at_ms)
    where plc_watch.community = look.community`.execute(db)
}

/** When the document of a community was last seen. Null: never, or it isn't watched. */
export async function loadDocumentSeen(db: Db, community: Did): Promise<number | null> {
  const row = await db
    .selectFrom('plc_watch')
    .select('document_at_ms')
    .where('community', '=', community)
    .executeTakeFirst()
  return row?.document_at_ms ?? null
}

/** Notes that a community left, or (null) is here. */
export async function saveLeft(tx: Tx, community: Did, leftAtMs: number | null): Promise<void> {
  await tx.updateTable('plc_watch').set({ left_at_ms: leftAtMs }).where('community', '=', community).execute()
}

/** Notes until when nothing is to be signed by the newest log; null: no longer. What a directory once showed wrongly doesn't last. */
export async function saveQuiet(tx: Tx, community: Did, untilMs: number | null): Promise<void> {
  await tx.updateTable('plc_watch').set({ quiet_until_ms: untilMs }).where('community', '=', community).execute()
}

/** Every community that left. */
export async function listLeft(db: Db): Promise<readonly Did[]> {
  const rows = await db.selectFrom('plc_watch').select('community').where('left_at_ms', 'is not', null).execute()
  return rows.map(({ community }) => community)
}

/** A community that nobody watches yet, and the operation that it began with here. */
export interface Unwatched {
  readonly community: Did
  readonly operationCid: string
}

/** Communities whose keys are here and which nobody watches. */
export async function listUnwatched(db: Db, limit: number): Promise<readonly Unwatched[]> {
  const rows = await db
    .selectFrom('community')
    .leftJoin('plc_watch', 'plc_watch.community', 'community.did')
    .select(['community.did', 'community.operation_cid'])
    .where('community.step', '=', 'opened')
    .where('community.operation_cid', 'is not', null)
    .where('plc_watch.community', 'is', null)
    .limit(limit)
    .execute()
  return rows.flatMap(({ did, operation_cid: cid }) =>
    cid === null ? [] : [{ community: did as Did, operationCid: cid }],
  )
}

/** Begins to watch a community, from the operation that we know it began with. */
export async function insertWatch(
  db: Db,
  { community, operationCid }: Unwatched,
  {
    nowMs,
    dueAtMs,
    documentDueAtMs,
  }: { readonly nowMs: number; readonly dueAtMs: number; readonly documentDueAtMs: number },
): Promise<void> {
  const seen = { head_cid: operationCid, operations: 1, read_at_ms: nowMs }
  await db
    .insertInto('plc_watch')
    .values({ community, ...seen, due_at_ms: dueAtMs, document_due_at_ms: documentDueAtMs })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}
