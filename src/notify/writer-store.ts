/**
 * The tables of the writer set: the newest revision of each repo that wrote in a space, in the order in which it was heard of.
 *
 * What waits to be told to those who asked is read from here, so a write that was answered with 200 is lost by no crash. Its place in the
 * order is given under a lock that is held to the commit: whoever reads up to one place never finds another before it later.
 */

import { type CompiledQuery, sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed, unsealedInsert } from '../audit/store.ts'
import type { Basis } from '../membership/basis.ts'
import type { Did, SpaceUri } from '../names.ts'
import { whileBusy } from '../platform/busy.ts'
import type { Db } from '../platform/database.ts'
import { type Gather, openGather } from '../platform/gather.ts'
import { type Claim, claimInsertFrom } from '../platform/once.ts'
import type { Counted } from '../platform/sizes.ts'
import type { Admission } from '../policy/decide.ts'

declare module '../platform/database.ts' {
  interface Tables {
    writer_set: { space: string; community: string; last_rev: number; told_rev: number }
    writer: {
      space: string
      repo: string
      community: string
      repo_rev: string
      hash: Uint8Array | null
      space_rev: number
      host: string | null
    }
  }
}

/** What somebody wrote, let in by a decision that rests on `basis`. */
export interface AdmittedWrite {
  readonly admission: Admission
  /** Every community that the decision rests on, each once, the space's own among them. */
  readonly basis: Basis
  /** The token by which it was announced. */
  readonly claim: Claim
  readonly repoRev: string
  readonly hash: Uint8Array | null
  /** The origin of the writer's PDS. */
  readonly host: string | null
  readonly atMs: number
}

/**
 * `stored`; `same`: a revision as new or newer was known, and nothing changed; `replayed`: the token was used before, and nothing changed;
 * `moved`: a community changed since the decision, and nothing was written or spent.
 */
export type WriteOutcome = 'stored' | 'same' | 'replayed' | 'moved'

/** Or `busy`: a community of the basis is being changed in this moment, and nothing was written or spent. */
export type WriteAnswer = WriteOutcome | 'busy'

/** Where writes meet on their way to the database. One for a process. */
export interface Intake {
  /** @throws Unavailable('NotEnoughResources') when too many wait, or a community of the basis is held for seconds */
  ask(one: AdmittedWrite): Promise<WriteOutcome>
}

export function openIntake(db: Db, counted?: Counted): Intake {
  const gather = gatherOn(db, counted)
  return { ask: (one) => whileBusy('community', () => gather.ask(one)) }
}

/**
 * Writes of several repos in one space go together: there gathering pays most, since each statement by itself would wait for the one
 * before it to be kept. Two of one repo, or by one token, go one after the other: a statement changes a row only once.
 */
const gatherOn = (db: Db, counted?: Counted): Gather<AdmittedWrite, WriteAnswer> =>
  openGather(
    {
      keysOf: (one: AdmittedWrite) => [hex(one.claim.id), placeOf(one)],
      alone: (one) => acceptWrite(db, one),
      together: (some) => acceptWrites(db, some),
      again: (one) => acceptAgain(db, one),
    },
    {},
    counted,
  )

/** A blank is in no space's URI and in no DID. */
const placeOf = ({ admission }: AdmittedWrite): string => `${admission.space.uri} ${admission.did}`

export async function acceptWrite(db: Db, one: AdmittedWrite): Promise<WriteAnswer> {
  const [answer] = await acceptWrites(db, [one])
  if (answer === undefined) throw new TypeError('no answer for the only one')
  return answer
}

/**
 * The same for one of several whose statement failed, perhaps after it was kept: a token that is spent was spent by that one, as far as
 * anybody can tell. To rouse once too often costs nothing.
 */
export async function acceptAgain(db: Db, one: AdmittedWrite): Promise<WriteAnswer> {
  const answer = await acceptWrite(db, one)
  return answer === 'replayed' ? 'stored' : answer
}

/**
 * Spends the tokens and puts the writes in the order of their spaces, each by itself: none is kept or passed over on account of another.
 * A repo's first write in a space is kept in the audit with the reasons for which it was let in. Later ones are not: they say nothing that
 * the chain doesn't say already, and would be most of it.
 */
export async function acceptWrites(db: Db, some: readonly AdmittedWrite[]): Promise<readonly WriteAnswer[]> {
  const answers = await acceptReady(db, some)
  const unready = some.filter((_one, at) => answers[at] === 'unready')
  if (unready.length === 0) return answers.map(settled)
  await makeWriterSets(db, unready)
  const later = [...(await acceptReady(db, unready))]
  return answers.map((answer) => settled(answer === 'unready' ? later.shift() : answer))
}

function settled(answer: WriteAnswer | 'unready' | undefined): WriteAnswer {
  if (answer === undefined || answer === 'unready')
    throw new TypeError('a space whose writer set was just made has none')
  return answer
}

/**
 * A space gets its row before its first write, in a statement of its own: what a statement has just made it can't hold and change. Two
 * processes that come at once make one.
 */
async function makeWriterSets(db: Db, some: readonly AdmittedWrite[]): Promise<void> {
  const spaces = new Map(some.map(({ admission: { space } }) => [space.uri, space.authority]))
  const rows = [...spaces].sort(([one], [other]) => (one < other ? -1 : 1))
  await db
    .insertInto('writer_set')
    .values(rows.map(([space, community]) => ({ space, community, last_rev: 0, told_rev: 0 })))
    .onConflict((conflict) => conflict.column('space').doNothing())
    .execute()
}

/** Or `unready`: the space has no row in `writer_set` yet, and nothing was written or spent. */
async function acceptReady(db: Db, some: readonly AdmittedWrite[]): Promise<readonly (WriteAnswer | 'unready')[]> {
  const keys = some.flatMap((one) => [hex(one.claim.id), placeOf(one)])
  // The statement tells by these what became of whom.
  if (new Set(keys).size < keys.length) throw new TypeError('a token or a repo that is shared')
  compiled ??= acceptStatement(db).compile(db)
  const { rows } = await db.executeQuery<AcceptRow>({ ...compiled, parameters: parametersOf(some) })
  if (rows.length !== some.length) throw new TypeError('a statement that answers for fewer than it was asked')
  return rows.map(answerOf)
}

interface AcceptRow {
  readonly isBusy: boolean
  readonly stands: boolean
  readonly isReady: boolean
  readonly isFirst: boolean
  readonly isStored: boolean
}

function answerOf(row: AcceptRow): WriteAnswer | 'unready' {
  if (row.isBusy) return 'busy'
  if (!row.stands) return 'moved'
  if (!row.isReady) return 'unready'
  if (!row.isFirst) return 'replayed'
  return row.isStored ? 'stored' : 'same'
}

/** The values of the statement, in the order in which it names them. */
function parametersOf(some: readonly AdmittedWrite[]): readonly unknown[] {
  const bases = some.flatMap(({ basis }, at) => basis.map((one) => ({ at: at + 1, ...one })))
  return [
    some.map(({ admission }) => admission.space.uri),
    some.map(({ admission }) => admission.space.authority),
    some.map(({ admission }) => admission.did),
    some.map(({ repoRev }) => repoRev),
    some.map(({ hash }) => hash && hex(hash)),
    some.map(({ host }) => host),
    some.map(({ atMs }) => atMs),
    some.map(becauseOf),
    some.map(({ claim }) => claim.id),
    some.map(({ claim }) => claim.keepUntilSec),
    bases.map(({ at }) => at),
    bases.map(({ community }) => community),
    bases.map(({ revision }) => revision),
    [...new Set(bases.map(({ community }) => community))],
  ]
}

function becauseOf({ admission, basis }: AdmittedWrite): string {
  const own = basis.find(({ community }) => community === admission.space.authority)
  if (!own) throw new TypeError('a decision that does not rest on its own community')
  return JSON.stringify({ reasons: admission.because, revision: own.revision })
}

/** A value that is given when the statement is executed. */
const given = sql`${null}`

/**
 * One text for any number of items, each step going once through what the steps before found.
 *
 * The revisions of the basis are held still first, those that can be had at once; then the tokens are spent, and then the spaces held, in
 * the order of their URIs. All who write keep to this order, so none of two ever waits for the other. What isn't newer than what is known
 * holds no space. `writer` is compared once more as it is written: what another process kept meanwhile isn't in this statement's snapshot.
 * A row that was made and not changed has no `xmax`.
 */
const acceptStatement = (db: Db) => sql<AcceptRow>`with
  item as materialized (
    select * from unnest(
      ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[],
      ${given}::bigint[], ${given}::text[], ${given}::bytea[], ${given}::bigint[]
    ) with ordinality as item (
      space, community, repo, repo_rev, hash, host, at_ms, because, claim_id, keep_until_sec, at
    )
  ),
  basis as materialized (
    select * from unnest(${given}::bigint[], ${given}::text[], ${given}::bigint[]) as basis (at, community, revision)
  ),
  guard as materialized (
    select community, revision from community_revision where community = any(${given}::text[])
    order by community for share skip locked
  ),
  busy as materialized (
    select at from basis where community not in (select community from guard)
  ),
  standing as materialized (
    select at from item where not exists (
      select from basis left join guard on guard.community = basis.community
      where basis.at = item.at and guard.revision is distinct from basis.revision
    )
  ),
  ready as materialized (
    select at from item where at in (select at from standing)
      and (select true from writer_set where writer_set.space = item.space limit 1)
  ),
  claimed as (${claimInsertFrom(
    db,
    sql`select claim_id as id, keep_until_sec from item where at in (select at from ready)`,
  )}),
  first as materialized (
    select * from item where at in (select at from ready) and claim_id in (select id from claimed)
  ),
  newer as materialized (
    select * from first where not coalesce((
      select writer.repo_rev >= first.repo_rev from writer where writer.space = first.space and writer.repo = first.repo limit 1
    ), false)
  ),
  held as materialized (
    select space, last_rev from writer_set where space = any(array(select space from newer))
    order by space for update
  ),
  placed as materialized (
    select newer.*, greatest(max(at_ms) over (partition by newer.space) * 1000, held.last_rev + 1)
      + row_number() over (partition by newer.space order by at) - 1 as space_rev
    from newer join held on held.space = newer.space
  ),
  written as (
    insert into writer (space, repo, community, repo_rev, hash, space_rev, host)
    select space, repo, community, repo_rev, decode(hash, 'hex'), space_rev, host from placed order by at
    on conflict (space, repo) do update
      set repo_rev = excluded.repo_rev, hash = excluded.hash, space_rev = excluded.space_rev, host = excluded.host
      where excluded.repo_rev > writer.repo_rev
    returning space, repo, space_rev, xmax = 0 as is_new
  ),
  reached as (
    update writer_set set last_rev = newest.space_rev
    from (select space, max(space_rev) as space_rev from written group by space) newest
    where writer_set.space = newest.space
  ),
  journal as (${unsealedInsert(
    db,
    sql`select community, at_ms, repo, 'write.admit', space, repo, because::jsonb from placed
      where (space, repo) in (select space, repo from written where is_new) order by at`,
  )})
  select
    at in (select at from busy) as "isBusy",
    at in (select at from standing) as "stands",
    at in (select at from ready) as "isReady",
    at in (select at from first) as "isFirst",
    (space, repo) in (select space, repo from written) as "isStored"
  from item order by at`

let compiled: CompiledQuery<AcceptRow> | undefined

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** One repo that wrote in a space. `spaceRev`: microseconds since 1970. */
export interface Writer {
  readonly repo: Did
  readonly repoRev: string
  readonly hash: Uint8Array | null
  readonly spaceRev: number
}

/** Those whose newest write has its place after `afterRev`, in that order. */
export async function listWriters(
  db: Db,
  space: SpaceUri,
  afterRev: number,
  limit: number,
): Promise<readonly Writer[]> {
  const rows = await db
    .selectFrom('writer')
    .select(['repo', 'repo_rev', 'hash', 'space_rev'])
    .where('space', '=', space)
    .where('space_rev', '>', afterRev)
    .orderBy('space_rev')
    .limit(limit)
    .execute()
  return rows.map((row) => ({
    repo: row.repo as Did,
    repoRev: row.repo_rev,
    hash: row.hash,
    spaceRev: row.space_rev,
  }))
}

/** Keeps a refused write in the log of its community. */
export const recordRefusedWrite = (db: Db, fact: AuditFact): Promise<void> => appendUnsealed(db, fact)
