/** The tables of the log. Rows are appended; the one change they see is being given their place in the chain. */
import { type Generated, type Insertable, type QueryCreator, type RawBuilder, sql } from 'kysely'
import type { Db, Tables, Tx } from '../platform/database.ts'
import type { Waiting } from '../platform/meters.ts'
import { type AuditFact, CHAIN_START, type ChainedFact, hashOf } from './chain.ts'

export interface AuditEntryTable {
  id: Generated<number>
  community: string
  at_ms: number
  actor: string
  action: string
  target: string
  subject: string | null
  because: unknown
  seq: number | null
  hash: Uint8Array | null
  prev: Uint8Array | null
}

declare module '../platform/database.ts' {
  interface Tables {
    audit_entry: AuditEntryTable
    audit_head: { community: string; seq: number; hash: Uint8Array }
  }
}

const COLUMNS = [
  'id',
  'community',
  'at_ms',
  'actor',
  'action',
  'target',
  'subject',
  'because',
  'seq',
  'hash',
  'prev',
] as const

const unsealedRow = (fact: AuditFact): Insertable<AuditEntryTable> => ({
  community: fact.community,
  at_ms: fact.atMs,
  actor: fact.actor,
  action: fact.action,
  target: fact.target,
  subject: fact.subject,
  because: JSON.stringify(fact.because),
})

/**
 * The insert of facts that get their place in the chain later, for a statement of another room's that writes decisions with
 * them. `facts` selects community, at_ms, actor, action, target, subject, because.
 */
export const unsealedInsert = (db: Pick<QueryCreator<Tables>, 'insertInto'>, facts: RawBuilder<unknown>) =>
  db
    .insertInto('audit_entry')
    .columns(['community', 'at_ms', 'actor', 'action', 'target', 'subject', 'because'])
    .expression(sql<AuditEntryTable>`${facts}`)

/** Appends a fact outside the chain; the sealer gives it its place a moment later. */
export async function appendUnsealed(db: Db | Tx, fact: AuditFact): Promise<void> {
  await db.insertInto('audit_entry').values(unsealedRow(fact)).execute()
}

/** The same for several at once. */
export async function appendAllUnsealed(db: Db | Tx, facts: readonly AuditFact[]): Promise<void> {
  if (facts.length > 0) await db.insertInto('audit_entry').values(facts.map(unsealedRow)).execute()
}

/** Appends a fact at the end of its community's chain, in the transaction of the change it tells of. */
export async function appendChained(tx: Tx, fact: AuditFact): Promise<void> {
  await appendAllChained(tx, fact.community, [fact])
}

/** Appends facts of one community at the end of its chain, in their order: one statement, however many. */
export async function appendAllChained(tx: Tx, community: string, facts: readonly AuditFact[]): Promise<void> {
  if (facts.length === 0) return
  const head = await lockHead(tx, community)
  let { seq, hash } = head
  const places = facts.map((fact) => {
    const because = JSON.stringify(fact.because)
    const prev = hash
    seq += 1
    hash = hashOf({ ...fact, because: JSON.parse(because) }, seq, prev)
    return { fact, because, seq, hash, prev }
  })
  const of = <T>(value: (fact: AuditFact) => T) => places.map((place) => value(place.fact))
  await sql`insert into audit_entry (community, at_ms, actor, action, target, subject, because, seq, hash, prev)
    select ${community}, at_ms, actor, action, target, subject, because::jsonb, seq, hash, prev
    from unnest(${of(({ atMs }) => atMs)}::bigint[], ${of(({ actor }) => actor)}::text[],
      ${of(({ action }) => action)}::text[], ${of(({ target }) => target)}::text[],
      ${of(({ subject }) => subject)}::text[], ${places.map(({ because }) => because)}::text[],
      ${places.map((place) => place.seq)}::bigint[], ${places.map((place) => place.hash)}::bytea[],
      ${places.map(({ prev }) => prev)}::bytea[])
      as entry (at_ms, actor, action, target, subject, because, seq, hash, prev) order by seq`.execute(tx)
  await moveHead(tx, community, seq, hash)
}

/** Gives up to `max` waiting rows of one community their places. Returns how many it sealed. */
export async function sealWaiting(tx: Tx, community: string, max: number): Promise<number> {
  const head = await lockHead(tx, community)
  const waiting = await tx
    .selectFrom('audit_entry')
    .select(COLUMNS)
    .where('community', '=', community)
    .where('seq', 'is', null)
    .orderBy('id')
    .limit(max)
    .execute()
  let { seq, hash } = head
  const places = waiting.map((row) => {
    const prev = hash
    seq += 1
    hash = hashOf(factOf(row), seq, prev)
    return { id: row.id, seq, hash, prev }
  })
  if (places.length === 0) return 0
  await takePlaces(tx, places)
  await moveHead(tx, community, seq, hash)
  return places.length
}

/** All at once: one statement for each would cost more than all else about a credential. */
const takePlaces = (
  tx: Tx,
  places: readonly {
    readonly id: number
    readonly seq: number
    readonly hash: Uint8Array
    readonly prev: Uint8Array
  }[],
) =>
  sql`update audit_entry set seq = place.seq, hash = place.hash, prev = place.prev
    from unnest(${places.map(({ id }) => id)}::bigint[], ${places.map((place) => place.seq)}::bigint[],
      ${places.map((place) => place.hash)}::bytea[], ${places.map((place) => place.prev)}::bytea[]) as place (id, seq, hash, prev)
    where audit_entry.id = place.id`.execute(tx)

/** Communities that have rows waiting for their place. */
export async function communitiesWaiting(db: Db): Promise<string[]> {
  const rows = await db.selectFrom('audit_entry').select('community').distinct().where('seq', 'is', null).execute()
  return rows.map((row) => row.community)
}

export interface AuditFilter {
  readonly community: string
  readonly beforeId: number | null
  readonly limit: number
  readonly actor?: string
  readonly subject?: string
  readonly action?: string
}

export type AuditRow = AuditFact & {
  readonly id: number
  readonly seq: number | null
  readonly hash: Uint8Array | null
  readonly prev: Uint8Array | null
}

/** Rows of a community's log, newest first. */
export async function listEntries(db: Db, filter: AuditFilter): Promise<AuditRow[]> {
  let query = db.selectFrom('audit_entry').select(COLUMNS).where('community', '=', filter.community)
  if (filter.beforeId !== null) query = query.where('id', '<', filter.beforeId)
  if (filter.actor !== undefined) query = query.where('actor', '=', filter.actor)
  if (filter.action !== undefined) query = query.where('action', '=', filter.action)
  const { subject } = filter
  if (subject !== undefined) {
    query = query.where((where) => where.or([where('subject', '=', subject), where('target', '=', subject)]))
  }
  const rows = await query.orderBy('id', 'desc').limit(filter.limit).execute()
  return rows.map((row) => ({ ...factOf(row), id: row.id, seq: row.seq, hash: row.hash, prev: row.prev }))
}

/** Chained rows after `seq`, in the order of the chain. */
export async function listChain(
  db: Db | Tx,
  community: string,
  afterSeq: number,
  limit: number,
): Promise<ChainedFact[]> {
  const rows = await db
    .selectFrom('audit_entry')
    .select(COLUMNS)
    .where('community', '=', community)
    .where('seq', '>', afterSeq)
    .orderBy('seq')
    .limit(limit)
    .execute()
  return rows.flatMap((row) =>
    row.seq === null || row.hash === null || row.prev === null
      ? []
      : [{ ...factOf(row), seq: row.seq, hash: row.hash, prev: row.prev }],
  )
}

export interface ChainHead {
  readonly seq: number
  readonly hash: Uint8Array
}

/** Where a chain says it ends; null where nothing says it. */
export async function loadHead(db: Db | Tx, community: string): Promise<ChainHead | null> {
  const head = await db
    .selectFrom('audit_head')
    .select(['seq', 'hash'])
    .where('community', '=', community)
    .executeTakeFirst()
  return head ?? null
}

/**
 * Communities that have a chain, in their order: by their rows or by their head, so that a chain whose one half is gone is not
 * passed over. Walks from community to community by the index, because the log is far longer than their list.
 */
export async function listChained(db: Db): Promise<string[]> {
  const { rows } = await sql<{ community: string }>`
    with recursive chained(community) as (
      (select community from audit_entry where seq is not null order by community limit 1)
      union all
      select (select entry.community from audit_entry entry
        where entry.seq is not null and entry.community > chained.community order by entry.community limit 1)
      from chained where chained.community is not null
    )
    select community from chained where community is not null union select community from audit_head
    order by community`.execute(db)
  return rows.map((row) => row.community)
}

async function lockHead(tx: Tx, community: string): Promise<ChainHead> {
  await tx
    .insertInto('audit_head')
    .values({ community, seq: 0, hash: CHAIN_START })
    .onConflict((conflict) => conflict.column('community').doNothing())
    .execute()
  return tx
    .selectFrom('audit_head')
    .select(['seq', 'hash'])
    .where('community', '=', community)
    .forUpdate()
    .executeTakeFirstOrThrow()
}

async function moveHead(tx: Tx, community: string, seq: number, hash: Uint8Array): Promise<void> {
  await tx.updateTable('audit_head').set({ seq, hash }).where('community', '=', community).execute()
}

interface StoredEntry {
  readonly community: string
  readonly at_ms: number
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly subject: string | null
  readonly because: unknown
}

const factOf = (row: StoredEntry): AuditFact => ({
  community: row.community,
  atMs: row.at_ms,
  actor: row.actor,
  action: row.action,
  target: row.target,
  subject: row.subject,
  because: row.because,
})

/** Whether anybody but some has done anything that is in a community's log. */
export async function hasActedBesides(tx: Tx, community: string, actors: readonly string[]): Promise<boolean> {
  const row = await tx
    .selectFrom('audit_entry')
    .select('id')
    .where('community', '=', community)
    .where('actor', 'not in', [...actors])
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** How many rows wait for their place in a chain, over all communities. */
export async function countUnsealed(db: Db): Promise<number> {
  const row = await db
    .selectFrom('audit_entry')
    .select((where) => where.fn.countAll<number>().as('waiting'))
    .where('seq', 'is', null)
    .executeTakeFirstOrThrow()
  return Number(row.waiting)
}

/** As many as are looked at when somebody only wants to know how it stands. */
const LOOKED_AT_MAX = 10_000

/** What waits for its place in a chain; of very many rows, so many. */
export async function unsealed(db: Db): Promise<Waiting> {
  const { rows } = await sql<{ count: number; oldestAtMs: number | null }>`
    select count(*)::int as count, min(at_ms) as "oldestAtMs"
    from (select at_ms from audit_entry where seq is null limit ${LOOKED_AT_MAX}) waiting`.execute(db)
  const [{ count, oldestAtMs } = { count: 0, oldestAtMs: null }] = rows
  return { count, oldestAtMs }
}

/**
 * Whom the newest entries of a community's chain are about, as far as they tell of changes after a revision. Looks at `most` entries: who is
 * further back isn't among them, so this is for whoever may be a little early, and not for whoever has to be right.
 */
export async function listSubjectsSince(
  db: Db,
  community: string,
  afterRevision: number,
  most: number,
): Promise<readonly string[]> {
  const { rows } = await sql<{ subject: string }>`select distinct subject from (
      select subject, seq, because from audit_entry where community = ${community} order by id desc limit ${most}
    ) newest
    where seq is not null and subject is not null and (because ->> 'revision')::bigint > ${afterRevision}`.execute(db)
  return rows.map(({ subject }) => subject)
}
