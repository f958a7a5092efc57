/**
 * The table of issued credentials, and the one statement that spends the tokens of requests and writes what is issued for them.
 *
 * A decision was made on facts of certain revisions. The statement holds those still while it writes: a change that commits
 * first makes it write nothing, and a change that comes later waits until the row is there. So no credential rests on what was
 * already taken back, on any number of processes. Requests that come at once share one statement, and nothing else.
 */

import { type CompiledQuery, sql } from 'kysely'
import type { AuditFact } from '../audit/chain.ts'
import { appendUnsealed, unsealedInsert } from '../audit/store.ts'
import type { Basis } from '../membership/basis.ts'
import { whileBusy } from '../platform/busy.ts'
import type { Db } from '../platform/database.ts'
import { type Gather, openGather } from '../platform/gather.ts'
import { claimInsert, claimInsertFrom, FLOOR_SEC } from '../platform/once.ts'
import type { Counted } from '../platform/sizes.ts'
import type { Grant } from '../policy/decide.ts'
import type { Claim } from './possession.ts'

declare module '../platform/database.ts' {
  interface Tables {
    issuance: {
      jti: string
      space: string
      community: string
      did: string
      client_id: string | null
      /** The key that the credential is bound to: a DPoP thumbprint, or a did:key. */
      holder: string
      issued_at_sec: number
      expires_at_sec: number
      /** The revision of this community on which the decision rests. */
      revision: number
      /** When it was taken back, by whom, and for which refusal or wish. */
      revoked_at_sec: number | null
      revoked_by: string | null
      revoked_because: string | null
      /** Whether hosts elsewhere are told of it; null until that was decided. */
      hosts_plan: string | null
      /** The managing app by whose word it was given; null: by nobody's. */
      managed_by: string | null
    }
  }
}

/** The claims that somebody spent before; of several, perhaps not every one. */
export interface Spent {
  readonly spent: readonly Claim[]
}

/**
 * Spends claims by themselves, for a request that is refused. When one was spent before, the others are not spent with it, so
 * that a used proof beside a token doesn't use that up.
 */
export async function spend(db: Db, claims: readonly Claim[]): Promise<'claimed' | Spent> {
  const rows = await claimInsert(db, claims, noneSpent(claims)).execute()
  if (rows.length === claims.length) return 'claimed'
  const claimed = rows.map((row) => hex(row.id))
  return spentAmong(db, claims, claimed)
}

export interface Issue {
  readonly grant: Grant
  readonly claims: readonly Claim[]
  readonly issuance: {
    readonly jti: string
    readonly holder: string
    readonly issuedAtSec: number
    readonly expiresAtSec: number
    /** Every community that the decision rests on, each once, the space's own among them. */
    readonly basis: Basis
  }
  readonly atMs: number
}

/** `issued`; `moved`: a community changed since the decision and nothing was written; or the claims somebody spent before. */
export type IssueOutcome = 'issued' | 'moved' | Spent

/** Or `busy`: a community of the basis is being changed in this moment, and nothing was written. */
export type IssueAnswer = IssueOutcome | 'busy'

/** Where exchanges meet on their way to the database. One for a process. */
export interface Issuing {
  /** @throws Unavailable('NotEnoughResources') when too many wait, or a community of the basis is held for seconds */
  ask(one: Issue): Promise<IssueOutcome>
}

/**
 * Nobody waits in the statement for a community that is held: the others who share it would wait with them, and strangers of
 * one community for the admins of another.
 */
export function openIssuing(db: Db, counted?: Counted): Issuing {
  const gather = gatherOn(db, counted)
  return { ask: (one) => whileBusy('community', () => gather.ask(one)) }
}

const gatherOn = (db: Db, counted?: Counted): Gather<Issue, IssueAnswer> =>
  openGather(
    {
      keysOf: (one: Issue) => one.claims.map(({ id }) => hex(id)),
      alone: (one) => issue(db, one),
      together: (some) => issueAll(db, some),
      again: (one) => issueAgain(db, one),
    },
    {},
    counted,
  )

/**
 * Spends the claims, writes the issuance and its audit row, all or nothing of the three, while every community of the basis
 * stands at the revision of the decision. Of two requests at once that share one claim, one wins; the other's remaining claim may
 * be spent with it, which costs nobody but the sender of both.
 */
export async function issue(db: Db, one: Issue): Promise<IssueAnswer> {
  const [outcome] = await issueAll(db, [one])
  if (outcome === undefined) throw new TypeError('no answer for the only one')
  return outcome
}

/**
 * The same for one of several whose statement failed, perhaps after it was kept: what stands under this jti can only have been
 * written by that one, and is no replay.
 */
export async function issueAgain(db: Db, one: Issue): Promise<IssueAnswer> {
  const outcome = await issue(db, one)
  if (outcome === 'issued') return outcome
  const kept = await db.selectFrom('issuance').select('jti').where('jti', '=', one.issuance.jti).executeTakeFirst()
  return kept ? 'issued' : outcome
}

/**
 * Does the same for several in one statement, each by itself: none is kept or refused on account of another. They share no claim.
 * One that the database refuses to take in fails them all, and nothing of any is kept.
 */
export async function issueAll(db: Db, some: readonly Issue[]): Promise<readonly IssueAnswer[]> {
  const ids = some.flatMap(({ claims }) => claims.map(({ id }) => hex(id)))
  // The statement asks which ids were new, not whose: both would have a shared one.
  if (new Set(ids).size < ids.length) throw new TypeError('a claim that is shared')
  compiled ??= issueStatement(db).compile(db)
  const { rows } = await db.executeQuery<IssueRow>({ ...compiled, parameters: parametersOf(some) })
  const asked = some.map(({ claims }, at) => ({ claims, row: rowAt(rows, at) }))
  const unclaimed = asked.filter(({ row }) => row.stands && !row.isIssued && row.claimed.length === 0)
  const before = await spentOf(
    db,
    unclaimed.flatMap(({ claims }) => claims),
  )
  return asked.map(({ claims, row }) => {
    if (row.isBusy) return 'busy'
    if (!row.stands) return 'moved'
    if (row.isIssued) return 'issued'
    const isSpent = row.claimed.length > 0 ? (id: string) => !row.claimed.includes(id) : (id: string) => before.has(id)
    return { spent: claims.filter(({ id }) => isSpent(hex(id))) }
  })
}

function rowAt(rows: readonly IssueRow[], at: number): IssueRow {
  const row = rows[at]
  if (!row) throw new TypeError('a statement that answers for fewer than it was asked')
  return row
}

interface IssueRow {
  readonly isBusy: boolean
  readonly stands: boolean
  readonly isIssued: boolean
  readonly claimed: readonly string[]
}

/** The values of the statement, in the order in which it names them. */
function parametersOf(some: readonly Issue[]): readonly unknown[] {
  const revisions = some.map(ownRevision)
  const bases = some.flatMap(({ issuance }, at) => issuance.basis.map((basis) => ({ at: at + 1, ...basis })))
  const claims = some.flatMap((one, at) => one.claims.map((claim) => ({ at: at + 1, ...claim })))
  const becauses = some.map(({ grant, issuance }, at) => ({
    reasons: grant.because,
    jti: issuance.jti,
    revision: revisions[at],
  }))
  return [
    some.map(({ issuance }) => issuance.jti),
    some.map(({ grant }) => grant.space.uri),
    some.map(({ grant }) => grant.space.authority),
    some.map(({ grant }) => grant.did),
    some.map(({ grant }) => grant.clientId),
    some.map(({ issuance }) => issuance.holder),
    some.map(({ issuance }) => issuance.issuedAtSec),
    some.map(({ issuance }) => issuance.expiresAtSec),
    revisions,
    some.map(({ atMs }) => atMs),
    becauses.map((because) => JSON.stringify(because)),
    some.map(({ grant }) => grant.managedBy),
    bases.map(({ at }) => at),
    bases.map(({ community }) => community),
    bases.map(({ revision }) => revision),
    claims.map(({ at }) => at),
    claims.map(({ id }) => id),
    claims.map(({ keepUntilSec }) => keepUntilSec),
    [...new Set(bases.map(({ community }) => community))],
  ]
}

/** The number of the space's own community, which is kept with the credential. */
function ownRevision({ grant, issuance }: Issue): number {
  const own = issuance.basis.find(({ community }) => community === grant.space.authority)
  if (!own) throw new TypeError('a decision that does not rest on its own community')
  return own.revision
}

/** A value that is given when the statement is executed. */
const given = sql`${null}`

/**
 * One text for any number of items. The revisions are read under locks, those that can be had at once; what follows depends on them. One spent claim among an item's keeps the others of it from being claimed. Every step
 * goes once through what the steps before found, never once for each item: the planner doesn't know how many there are.
 */
const issueStatement = (db: Db) => sql<IssueRow>`with
  item as materialized (
    select * from unnest(
      ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[], ${given}::text[],
      ${given}::bigint[], ${given}::bigint[], ${given}::bigint[], ${given}::bigint[], ${given}::text[], ${given}::text[]
    ) with ordinality as item (
      jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision, at_ms, because, managed_by, at
    )
  ),
  basis as materialized (
    select * from unnest(${given}::bigint[], ${given}::text[], ${given}::bigint[]) as basis (at, community, revision)
  ),
  claim as materialized (
    select * from unnest(${given}::bigint[], ${given}::bytea[], ${given}::bigint[]) as claim (at, id, keep_until_sec)
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
  used as materialized (
    select at from claim where keep_until_sec <= ${FLOOR_SEC} or (select true from spent where spent.id = claim.id limit 1)
  ),
  fresh as materialized (
    select at from standing where at not in (select at from used)
  ),
  claimed as (${claimInsertFrom(db, sql`select id, keep_until_sec from claim where at in (select at from fresh)`)}),
  issued as (
    insert into issuance (jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision, managed_by)
    select jti, space, community, did, client_id, holder, issued_at_sec, expires_at_sec, revision, managed_by from item
    where at in (select at from fresh)
      and at not in (select claim.at from claim where claim.id not in (select id from claimed))
    returning jti
  ),
  journal as (${unsealedInsert(
    db,
    sql`select community, at_ms, did, 'credential.issue', space, did, because::jsonb from item
      where jti in (select jti from issued) order by at`,
  )}),
  own as materialized (
    select at, encode(id, 'hex') as id from claim where id in (select id from claimed)
  )
  select
    at in (select at from busy) as "isBusy",
    at in (select at from standing) as "stands",
    jti in (select jti from issued) as "isIssued",
    array(select id from own where own.at = item.at) as "claimed"
  from item order by at`

let compiled: CompiledQuery<IssueRow> | undefined

const hex = (id: Uint8Array): string => Buffer.from(id).toString('hex')

/** Those of some ids that stand in the table or below the floor: one look by its key for each, whatever size the planner takes the table to be. */
const spentIds = (claims: readonly Claim[]) => {
  const ids = claims.map((claim) => claim.id)
  const ends = claims.map((claim) => claim.keepUntilSec)
  return sql<{ id: Uint8Array }>`select id from unnest(${ids}::bytea[], ${ends}::bigint[]) as asked (id, keep_until_sec)
    where keep_until_sec <= ${FLOOR_SEC} or (select true from spent where spent.id = asked.id limit 1)`
}

const noneSpent = (claims: readonly Claim[]) => sql<boolean>`not exists (${spentIds(claims)})`

/**
 * Which of the claims somebody spent before, after a statement that claimed not all of them. Where it claimed some, the others
 * are meant; where it claimed none, they stand in the table or below its floor.
 */
async function spentAmong(db: Db, claims: readonly Claim[], claimed: readonly string[]): Promise<Spent> {
  if (claimed.length > 0) return { spent: claims.filter((claim) => !claimed.includes(hex(claim.id))) }
  const found = await spentOf(db, claims)
  return { spent: claims.filter((claim) => found.has(hex(claim.id))) }
}

/** The ids of those of the claims that were spent. */
async function spentOf(db: Db, claims: readonly Claim[]): Promise<ReadonlySet<string>> {
  if (claims.length === 0) return new Set()
  const { rows } = await spentIds(claims).execute(db)
  return new Set(rows.map((row) => hex(row.id)))
}

/** Deletes at most `max` rows of credentials that ended before `endedBeforeSec`, and answers how many. */
export async function forgetIssued(db: Db, endedBeforeSec: number, max: number): Promise<number> {
  const over = db
    .selectFrom('issuance')
    .select('jti')
    .where('expires_at_sec', '<', endedBeforeSec)
    .orderBy('expires_at_sec')
    .limit(max)
    .forUpdate()
    .skipLocked()
  const { numDeletedRows } = await db.deleteFrom('issuance').where('jti', 'in', over).executeTakeFirstOrThrow()
  return Number(numDeletedRows)
}

/** Keeps a refused read in the log of its community. */
export const recordRefusedRead = (db: Db, fact: AuditFact): Promise<void> => appendUnsealed(db, fact)
