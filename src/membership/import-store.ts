/** The tables of imports: rosters that are brought in, row by row, and how far each of them was applied. */
import { sql } from 'kysely'
import type { Did, SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { RefusalCode } from '../refusals.ts'

declare module '../platform/database.ts' {
  interface Tables {
    import: {
      id: string
      space: string
      community: string
      state: ImportState
      rows_given: number
      rows_put: number
      rows_same: number
      rows_refused: number
      applied_line: number
      stopped_by: string | null
      begun_by: string
      begun_at_ms: number
      touched_at_ms: number
    }
    import_row: {
      import: string
      line: number
      did: string | null
      role: string | null
      since_ms: number | null
      until_ms: number | null
      fault: string | null
      says: string | null
    }
  }
}

export type ImportState = 'open' | 'running' | 'done' | 'stopped' | 'cancelled'

export interface Import {
  readonly id: string
  readonly space: SpaceUri
  readonly community: Did
  readonly state: ImportState
  readonly given: number
  readonly put: number
  readonly same: number
  /** Lines that were not taken, and people who were not put. */
  readonly refused: number
  /** Everything up to this line was applied. */
  readonly appliedLine: number
  /** Why who began it may no longer go on. */
  readonly stoppedBy: RefusalCode | null
  readonly begunBy: Did
  readonly begunAtMs: number
}

/** Why a line was not taken, or a person not put. */
export interface RowFault {
  readonly line: number
  readonly did: string | null
  readonly code: RefusalCode
  readonly says: string
}

/** One person of an import. */
export interface ImportRow {
  readonly line: number
  readonly did: Did
  readonly role: string
  readonly sinceMs: number | null
  readonly untilMs: number | null
}

const columns = sql`id, space, community, state, rows_given as given, rows_put as put, rows_same as same, rows_refused as refused,
  applied_line as "appliedLine", stopped_by as "stoppedBy", begun_by as "begunBy", begun_at_ms as "begunAtMs"`

export async function loadImport(db: Db | Tx, id: string): Promise<Import | null> {
  const { rows } = await sql<Import>`select ${columns} from import where id = ${id}`.execute(db)
  return rows[0] ?? null
}

/** The same, held until the transaction ends. Whoever also holds the community's numbers holds this first. */
export async function lockImport(tx: Tx, id: string): Promise<Import | null> {
  const { rows } = await sql<Import>`select ${columns} from import where id = ${id} for no key update`.execute(tx)
  return rows[0] ?? null
}

/** The same for one that is being applied. Null: it isn't any more, or another process has it in this moment. */
export async function claimRunning(tx: Tx, id: string): Promise<Import | null> {
  const { rows } = await sql<Import>`select ${columns} from import where id = ${id} and state = 'running'
    for no key update skip locked`.execute(tx)
  return rows[0] ?? null
}

/** Imports that are being applied, the one that waited longest first. */
export async function listRunning(db: Db, most: number): Promise<readonly string[]> {
  const { rows } = await sql<{ id: string }>`select id from import where state = 'running'
    order by touched_at_ms, id limit ${most}`.execute(db)
  return rows.map(({ id }) => id)
}

/** How many imports of a community are neither applied nor given up. */
export async function countUnderWay(tx: Tx, community: Did): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from import
    where community = ${community} and state in ('open', 'running')`.execute(tx)
  return rows[0]?.count ?? 0
}

/** Begins an import that has no rows yet. */
export async function insertImport(
  tx: Tx,
  { id, space, community, by, nowMs }: { id: string; space: SpaceUri; community: Did; by: Did; nowMs: number },
): Promise<void> {
  const begun = { begun_by: by, begun_at_ms: nowMs, touched_at_ms: nowMs }
  const none = { rows_given: 0, rows_put: 0, rows_same: 0, rows_refused: 0, applied_line: 0, stopped_by: null }
  await tx
    .insertInto('import')
    .values({ id, space, community, state: 'open', ...none, ...begun })
    .execute()
}

/**
 * Those of some people who are in an import already, and the line that names each. The planner is left one way, person by
 * person: it doesn't know how many rows an import that is being filled has, and would hold each of them against all who are asked.
 */
export async function linesNaming(tx: Tx, id: string, dids: readonly Did[]): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ did: string; line: number }>`select named.did, line
    from unnest((select ${dids}::text[])) as named (did) cross join lateral (
      select line from import_row where import = ${id} and did = named.did and fault is null offset 0) taken`.execute(
    tx,
  )
  return new Map(rows.map(({ did, line }) => [did, line]))
}

/** Adds rows, and lines that were not taken, to an import that is held. */
export async function insertRows(
  tx: Tx,
  id: string,
  { rows, faults, nowMs }: { rows: readonly ImportRow[]; faults: readonly RowFault[]; nowMs: number },
): Promise<void> {
  await sql`insert into import_row (import, line, did, role, since_ms, until_ms)
    select ${id}, line, did, role, since_ms, until_ms from unnest(${rows.map(({ line }) => line)}::bigint[],
      ${rows.map(({ did }) => did)}::text[], ${rows.map(({ role }) => role)}::text[],
      ${rows.map(({ sinceMs }) => sinceMs)}::bigint[], ${rows.map(({ untilMs }) => untilMs)}::bigint[])
      as row (line, did, role, since_ms, until_ms)`.execute(tx)
  await sql`insert into import_row (import, line, did, fault, says)
    select ${id}, line, did, fault, says from unnest(${faults.map(({ line }) => line)}::bigint[],
      ${faults.map(({ did }) => did)}::text[], ${faults.map(({ code }) => code)}::text[],
      ${faults.map(({ says }) => says)}::text[]) as row (line, did, fault, says)`.execute(tx)
  await sql`update import set rows_given = rows_given + ${rows.length + faults.length},
    rows_refused = rows_refused + ${faults.length}, touched_at_ms = ${nowMs} where id = ${id}`.execute(tx)
}

/** The people of an import after a line, in the order of lines. */
export async function listRows(db: Db | Tx, id: string, after: number, most: number): Promise<readonly ImportRow[]> {
  const { rows } = await sql<ImportRow>`select line, did, role, since_ms as "sinceMs", until_ms as "untilMs"
    from import_row where import = ${id} and line > ${after} and fault is null order by line limit ${most}`.execute(db)
  return rows
}

/** What became of a stretch of rows, up to and with `appliedLine`. */
export interface Applied {
  readonly appliedLine: number
  readonly put: number
  readonly same: number
  readonly refused: readonly RowFault[]
  readonly state: 'running' | 'done'
  readonly nowMs: number
}

/** Notes what became of rows of an import that is held, in the transaction that puts them. */
export async function noteApplied(tx: Tx, id: string, applied: Applied): Promise<void> {
  const { appliedLine, put, same, refused, state, nowMs } = applied
  if (refused.length > 0) {
    await sql`update import_row set fault = refused.fault, says = refused.says
      from unnest(${refused.map(({ line }) => line)}::bigint[], ${refused.map(({ code }) => code)}::text[],
        ${refused.map(({ says }) => says)}::text[]) as refused (line, fault, says)
      where import_row.import = ${id} and import_row.line = refused.line`.execute(tx)
  }
  await sql`update import set rows_put = rows_put + ${put}, rows_same = rows_same + ${same},
    rows_refused = rows_refused + ${refused.length}, applied_line = ${appliedLine}, state = ${state},
    touched_at_ms = ${nowMs} where id = ${id}`.execute(tx)
}

/** Ends an import that is being applied, since who began it may no longer go on. False: it was ended meanwhile. */
export async function stopRunning(db: Db, id: string, code: RefusalCode, nowMs: number): Promise<boolean> {
  const { numAffectedRows } = await sql`update import set state = 'stopped', stopped_by = ${code},
    touched_at_ms = ${nowMs} where id = ${id} and state = 'running'`.execute(db)
  return numAffectedRows === 1n
}

/** Gives up what an import that is held has not put yet. */
export async function saveCancelled(tx: Tx, id: string, nowMs: number): Promise<void> {
  await sql`update import set state = 'cancelled', touched_at_ms = ${nowMs} where id = ${id}`.execute(tx)
}

/** Lines that were not taken or not put, in their order, after `after`; of an import that was stopped, those behind it too. */
export async function listFaults(
  db: Db,
  one: Import,
  stopped: { readonly code: RefusalCode; readonly says: string } | null,
  { after, limit }: { after: number; limit: number },
): Promise<readonly RowFault[]> {
  const from = Math.max(after, one.appliedLine)
  const { rows } = await sql<RowFault>`select * from (
      (select line, did, fault as code, says from import_row
        where import = ${one.id} and line > ${after} and fault is not null order by line limit ${limit})
      union all
      (select line, did, ${stopped?.code ?? null}::text, ${stopped?.says ?? null}::text from import_row
        where import = ${one.id} and line > ${from} and fault is null and ${stopped !== null}::boolean
        order by line limit ${limit})
    ) refused order by line limit ${limit}`.execute(db)
  return rows
}

/** How many lines of an import were not taken or not put, by the code. */
export async function countFaults(db: Db | Tx, id: string): Promise<ReadonlyMap<RefusalCode, number>> {
  const { rows } = await sql<{ code: RefusalCode; count: number }>`select fault as code, count(*) as count
    from import_row where import = ${id} and fault is not null group by fault`.execute(db)
  return new Map(rows.map(({ code, count }) => [code, count]))
}

/**
 * Deletes what is kept of imports that nobody has touched since then, those that were never applied too: at most `most` rows, and
 * each import when its last row is gone. One that waits is given up first, so that nobody applies what is left of it. Answers how
 * many rows it was.
 */
export async function forgetImports(db: Db, beforeMs: number, most: number): Promise<number> {
  await sql`update import set state = 'cancelled' where state = 'open' and touched_at_ms < ${beforeMs}`.execute(db)
  const { numAffectedRows = 0n } = await sql`delete from import_row where (import, line) in (
      select import_row.import, line from import join import_row on import_row.import = import.id
      where state not in ('open', 'running') and touched_at_ms < ${beforeMs} limit ${most})`.execute(db)
  await sql`delete from import where state not in ('open', 'running') and touched_at_ms < ${beforeMs}
    and not exists (select from import_row where import_row.import = import.id)`.execute(db)
  return Number(numAffectedRows)
}
