/**
 * The tables of registrations as lanes: who is due, who delivers, and how far each has got. A process has a lane while `turn` is the number
 * it was given; whoever comes later gives it another one, and what the earlier still wants to write down is not written.
 */
import { sql } from 'kysely'
import { unsealedInsert } from '../audit/store.ts'
import type { ClientId, Did, SpaceUri } from '../names.ts'
import type { Db } from '../platform/database.ts'
import type { WriterRow } from './forward.ts'
import type { PoolName } from './host-pace.ts'

/** A space in which somebody may have something to hear, and its newest revision. */
export interface OpenSpace {
  readonly space: SpaceUri
  readonly lastRev: number
}

/** Spaces in which something was written and not everybody was told yet, in their order, at most so many after one of them. */
export async function listOpenSpaces(
  db: Db,
  { left, after, most }: { readonly left: readonly Did[]; readonly after: string; readonly most: number },
): Promise<readonly OpenSpace[]> {
  const { rows } = await sql<OpenSpace>`select space, last_rev as "lastRev" from writer_set
    where last_rev > told_rev and space > ${after} and community <> all(${left}::text[])
    order by space limit ${most}`.execute(db)
  return rows
}

/**
 * Notes of spaces that everybody was told up to the revision that was seen there, where that is so: whoever is behind is looked for by
 * themselves. Whoever is looked for by themselves and has their turn in this moment may be behind when it is over, and keeps the space open.
 */
export async function closeSpaces(db: Db, seen: readonly OpenSpace[]): Promise<void> {
  if (seen.length === 0) return
  await sql`update writer_set set told_rev = seen.last_rev
    from unnest(${seen.map(({ space }) => space)}::text[], ${seen.map(({ lastRev }) => lastRev)}::bigint[]) as seen (space, last_rev)
    where writer_set.space = seen.space and told_rev < seen.last_rev and not exists (
      select from registration lane where lane.space = seen.space and ended_at_ms is null and paused_at_ms is null
        and (case when look_at_ms is null then delivered_rev < seen.last_rev else taken_until_ms > 0 end)
      limit 1)`.execute(db)
}

/** A lane that is this process's until its lease is over. */
export interface Lane {
  readonly id: number
  readonly turn: number
  readonly space: SpaceUri
  readonly community: Did
  readonly service: string
  readonly host: string
  readonly expiresAtMs: number
  readonly provedAtMs: number | null
  readonly endedAtMs: number | null
  /** The newest of its space, when the lane was taken. */
  readonly wantedRev: number
  readonly deliveredRev: number
  readonly deliveredAtMs: number | null
  readonly checkedRevision: number
  readonly checkedAtMs: number
  readonly gaps: number
  readonly failures: number
  readonly failingSinceMs: number | null
  readonly lastError: string | null
  /** Of the community, when the lane was taken. */
  readonly revision: number
  /** Nobody else may call its host meanwhile. */
  readonly isAlone: boolean
  /** As many were due as are looked at for a claim, so there may be others. */
  readonly isCrowded: boolean
}

export interface Claiming {
  readonly pool: PoolName
  readonly nowMs: number
  readonly untilMs: number
  readonly most: number
  /** Whose lanes are taken besides those that are looked for by themselves. */
  readonly spaces: readonly SpaceUri[]
  /** What one community may have under way in this pool, and what each has. */
  readonly share: number
  readonly used: ReadonlyMap<Did, number>
  /** The same of hosts, over both pools. */
  readonly ofHost: number
  readonly usedHosts: ReadonlyMap<string, number>
  /** Hosts that one lane at a time may call, and those that none may call now. */
  readonly openHosts: readonly string[]
  readonly closedHosts: readonly string[]
  /** Communities that are served elsewhere: their lanes rest. */
  readonly left: readonly Did[]
  /** Lanes that this process delivers already, whatever became of their lease. */
  readonly underWay: readonly number[]
}

/** Names and numbers for a look-up by name. As rows the server would join them by comparing each with each. */
const countsOf = (counts: ReadonlyMap<string, number>): string => JSON.stringify(Object.fromEntries(counts))

/** Lanes looked at for a claim: those who are due longest. */
const SEEN_MAX = 2_048
/** A lease that ends later than this was noted while our clock was ahead, and has been set back. */
const LEASE_MAX_MS = 60_000

/**
 * Takes lanes that are due, of one pool. What their number depends on is decided on a look beforehand; a lane that somebody took
 * since that look is left out by the second one, which holds the row. Both go space by space and lane by lane: a plan that is kept from when
 * nobody was due would look for each of them among all. The answer is one text, since drivers take longer for each value than for its bytes.
 */
export async function claimLanes(db: Db, claiming: Claiming): Promise<readonly Lane[]> {
  const { pool, nowMs, untilMs, most, spaces, share, used, ofHost, usedHosts, openHosts, underWay } = claiming
  const full = [...claiming.left, ...[...used].filter(([, count]) => count >= share).map(([community]) => community)]
  const fullHosts = [...usedHosts].filter(([, count]) => count >= ofHost).map(([host]) => host)
  const closedHosts = [...claiming.closedHosts, ...fullHosts]
  const isAlone = sql`(proved_at_ms is null or host = any(${openHosts}::text[]))`
  const isFree = sql`(taken_until_ms <= ${nowMs} or taken_until_ms > ${nowMs + LEASE_MAX_MS})`
  const mayBeTaken = sql`${isFree} and ((${isAlone} or failures > 0) = ${pool === 'doubtful'})
    and (expires_at_ms > ${nowMs} or ended_at_ms is not null)
    and community <> all(${full}::text[]) and host <> all(${closedHosts}::text[]) and id <> all(${underWay}::bigint[])`
  const { rows } = await sql<{ lanes: readonly LaneRow[]; revisions: Readonly<Record<Did, number>> }>`with
    seen as materialized (
      select * from (
        select lane.*, last_rev from unnest(${spaces}::text[]) as open (space)
        cross join lateral (select last_rev from writer_set where writer_set.space = open.space limit 1) newest
        cross join lateral (
          select id, community, host, delivered_at_ms as due_at_ms, ${isAlone} as is_alone from registration
          where registration.space = open.space and look_at_ms is null and paused_at_ms is null and ended_at_ms is null
            and delivered_rev < last_rev and ${mayBeTaken}
          limit ${sql.lit(SEEN_MAX)}
        ) lane
        union all (
          select id, community, host, look_at_ms, ${isAlone}, (
            select last_rev from writer_set where writer_set.space = registration.space
          ) from registration
          where look_at_ms is not null and look_at_ms <= ${nowMs} and paused_at_ms is null and ${mayBeTaken}
          order by look_at_ms limit ${sql.lit(SEEN_MAX)}
        )
      ) as due order by due_at_ms nulls first, id limit ${sql.lit(SEEN_MAX)}
    ),
    placed as materialized (
      select seen.*, row_number() over (partition by community order by due_at_ms nulls first, id) as of_community,
        row_number() over (partition by host, is_alone order by due_at_ms nulls first, id) as of_host
      from seen
    ),
    chosen as materialized (
      select id, is_alone, last_rev from placed
      where of_community + coalesce((${countsOf(used)}::jsonb ->> community)::int, 0) <= ${share}::int
        and of_host + coalesce((${countsOf(usedHosts)}::jsonb ->> host)::int, 0) <= ${ofHost}::int
        and (not is_alone or of_host = 1)
      order by due_at_ms nulls first, id
    ),
    held as materialized (
      select chosen.* from chosen cross join lateral (
        select from registration lane where lane.id = chosen.id and paused_at_ms is null and ${isFree}
          and (case when look_at_ms is null then delivered_rev < chosen.last_rev else look_at_ms <= ${nowMs} end)
        for update skip locked
      ) as free limit ${most}
    ),
    taken as (
      update registration lane set taken_until_ms = ${untilMs}, turn = turn + 1 from held where lane.id = held.id
      returning lane.*, last_rev, is_alone
    )
    select coalesce(json_agg(json_build_array(id, turn, space, community, service, host, expires_at_ms, proved_at_ms, ended_at_ms,
        coalesce(last_rev, 0), delivered_rev, delivered_at_ms, checked_revision, checked_at_ms, gaps, failures, failing_since_ms,
        last_error, is_alone, (select count(*) from seen) = ${sql.lit(SEEN_MAX)})), '[]') as lanes,
      coalesce((
        select json_object_agg(community, revision) from community_revision where community = any(array(select community from taken))
      ), '{}') as revisions
    from taken`.execute(db)
  const [{ lanes, revisions } = { lanes: [], revisions: {} }] = rows
  return lanes.map((row) => laneOf(row, revisions))
}

/** A lane as the statement writes it, value by value. */
type LaneRow = readonly [
  ...[id: number, turn: number, space: SpaceUri, community: Did, service: string, host: string],
  ...[expiresAtMs: number, provedAtMs: number | null, endedAtMs: number | null, wantedRev: number],
  ...[deliveredRev: number, deliveredAtMs: number | null, checkedRevision: number, checkedAtMs: number],
  ...[gaps: number, failures: number, failingSinceMs: number | null, lastError: string | null],
  ...[isAlone: boolean, isCrowded: boolean],
]

function laneOf(row: LaneRow, revisions: Readonly<Record<Did, number>>): Lane {
  const [id, turn, space, community, service, host, expiresAtMs, provedAtMs, endedAtMs, wantedRev, ...more] = row
  const [deliveredRev, deliveredAtMs, checkedRevision, checkedAtMs, ...state] = more
  const [gaps, failures, failingSinceMs, lastError, isAlone, isCrowded] = state
  const revision = revisions[community] ?? -1
  return {
    ...{ id, turn, space, community, service, host, expiresAtMs, provedAtMs, endedAtMs, wantedRev },
    ...{ deliveredRev, deliveredAtMs, checkedRevision, checkedAtMs, gaps, failures, failingSinceMs, lastError },
    ...{ revision, isAlone, isCrowded },
  }
}

/** No lane that went well rests for longer, and none at all for longer than the other. */
const RESTS_MAX_MS = 60_000
const FAILED_RESTS_MAX_MS = 20 * 60_000

/**
 * Has lanes looked at that rest for longer than any lane does: our clock was ahead when they were noted, and has been set back. Answers
 * how many.
 */
export async function wakeLanes(db: Db, nowMs: number): Promise<number> {
  const { numAffectedRows } = await sql`update registration set look_at_ms = ${nowMs} where id = any(array(
    select id from registration where look_at_ms is not null and paused_at_ms is null
      and look_at_ms > ${nowMs + RESTS_MAX_MS} and (failures = 0 or look_at_ms > ${nowMs + FAILED_RESTS_MAX_MS})
    order by id for update))`.execute(db)
  return Number(numAffectedRows ?? 0)
}

interface FoundRow {
  readonly space: SpaceUri
  readonly repo: Did
  readonly repo_rev: string
  readonly hash: Uint8Array | null
  readonly space_rev: number
}

const writerRowOf = (row: FoundRow): WriterRow => ({
  repo: row.repo,
  repoRev: row.repo_rev,
  hash: row.hash,
  spaceRev: row.space_rev,
})

/**
 * The newest rows of some spaces, each after its own revision and at most so many, in their order. Where fewer than that come back, they
 * are all there are.
 */
export async function loadNewest(
  db: Db,
  afterRevs: ReadonlyMap<SpaceUri, number>,
  most: number,
): Promise<ReadonlyMap<SpaceUri, readonly WriterRow[]>> {
  const { rows } = await sql<FoundRow>`select found.* from
    unnest(${[...afterRevs.keys()]}::text[], ${[...afterRevs.values()]}::bigint[]) as asked (space, after_rev)
    cross join lateral (
      select space, repo, repo_rev, hash, space_rev from writer
      where writer.space = asked.space and space_rev > asked.after_rev order by space_rev desc limit ${most}
    ) found
    order by found.space, found.space_rev`.execute(db)
  return new Map([...Map.groupBy(rows, ({ space }) => space)].map(([space, some]) => [space, some.map(writerRowOf)]))
}

/** The oldest rows of one space after a revision, in their order. */
export async function loadNext(db: Db, space: SpaceUri, after: number, most: number): Promise<readonly WriterRow[]> {
  const { rows } = await sql<FoundRow>`select space, repo, repo_rev, hash, space_rev from writer
    where space = ${space} and space_rev > ${after} order by space_rev limit ${most}`.execute(db)
  return rows.map(writerRowOf)
}

/** By whose access a lane lives. */
export interface Sponsor {
  readonly did: Did
  /** Null: the app proved nothing. */
  readonly clientId: ClientId | null
}

/** The sponsors of some lanes. A lane without any is absent. */
export async function loadSponsors(db: Db, ids: readonly number[]): Promise<ReadonlyMap<number, readonly Sponsor[]>> {
  const { rows } = await sql<{ lane: number; did: Did; clientId: ClientId | '' }>`select registration as lane, did,
      client_id as "clientId" from registration_sponsor where registration = any(${ids}::bigint[])
    order by registration, did, client_id`.execute(db)
  const groups = Map.groupBy(rows, ({ lane }) => lane)
  const sponsorOf = ({ did, clientId }: { did: Did; clientId: ClientId | '' }): Sponsor => ({
    did,
    clientId: clientId === '' ? null : clientId,
  })
  return new Map([...groups].map(([lane, some]) => [lane, some.map(sponsorOf)]))
}

/** A lane as its turn left it, and when somebody is to look at it again; null: when its space is looked at. */
export type Finished = Pick<
  Lane,
  | 'id'
  | 'turn'
  | 'host'
  | 'provedAtMs'
  | 'deliveredRev'
  | 'deliveredAtMs'
  | 'checkedRevision'
  | 'checkedAtMs'
  | 'gaps'
  | 'failures'
  | 'failingSinceMs'
  | 'lastError'
> & { readonly lookAtMs: number | null }

/** `lost`: the lane was somebody else's by then, and nothing was written; `behind`: it has more to hear, or its end; `done`: it hasn't. */
export type FinishedAs = 'lost' | 'behind' | 'done'

/**
 * Writes down what came of some turns, and answers for each what came of that. A lane that was looked for by itself goes with its space again
 * only when it isn't behind: as long as it was, the space may have been closed. Nor does one that is to hear of its space's end.
 */
export async function finishLanes(db: Db, some: readonly Finished[]): Promise<readonly FinishedAs[]> {
  const of = <T>(value: (one: Finished) => T) => some.map(value)
  const { rows } = await sql<{ id: number; isBehind: boolean }>`with
    result as materialized (
      select * from unnest(${of((one) => one.id)}::bigint[], ${of((one) => one.turn)}::bigint[],
        ${of((one) => one.host)}::text[], ${of((one) => one.provedAtMs)}::bigint[],
        ${of((one) => one.deliveredRev)}::bigint[], ${of((one) => one.deliveredAtMs)}::bigint[],
        ${of((one) => one.checkedRevision)}::bigint[], ${of((one) => one.checkedAtMs)}::bigint[],
        ${of((one) => one.gaps)}::int[], ${of((one) => one.failures)}::int[],
        ${of((one) => one.failingSinceMs)}::bigint[], ${of((one) => one.lastError)}::text[],
        ${of((one) => one.lookAtMs)}::bigint[])
      as result (id, turn, host, proved_at_ms, delivered_rev, delivered_at_ms, checked_revision, checked_at_ms, gaps, failures,
        failing_since_ms, last_error, look_at_ms)
    ),
    held as materialized (
      select lane.id, (select last_rev from writer_set where writer_set.space = lane.space) as last_rev
      from registration lane join result on result.id = lane.id and result.turn = lane.turn
      order by lane.id for update of lane
    )
    update registration lane set host = result.host, proved_at_ms = result.proved_at_ms, delivered_rev = result.delivered_rev,
      delivered_at_ms = result.delivered_at_ms, checked_revision = result.checked_revision,
      checked_at_ms = result.checked_at_ms, gaps = result.gaps, failures = result.failures,
      failing_since_ms = result.failing_since_ms, last_error = result.last_error, taken_until_ms = 0,
      look_at_ms = case when lane.look_at_ms is not null and (held.last_rev > result.delivered_rev or ended_at_ms is not null)
        then coalesce(result.look_at_ms, 0) else result.look_at_ms end
    from result join held on held.id = result.id
    where lane.id = result.id and lane.turn = result.turn
    returning lane.id, (coalesce(held.last_rev > lane.delivered_rev, false) or ended_at_ms is not null) as "isBehind"`.execute(
    db,
  )
  const written = new Map(rows.map(({ id, isBehind }) => [id, isBehind ? 'behind' : 'done'] as const))
  return some.map(({ id }) => written.get(id) ?? 'lost')
}

/** Why a registration came to its end before its time. */
export type EndReason = 'SponsorsGone' | 'NeverAnswered' | 'Unreachable'

/**
 * Ends a registration, with an entry in the log. One that was renewed since the lane was taken stays: whoever renewed it was just seen to
 * have access. Answers whether it ended.
 */
export async function endLane(db: Db, lane: Lane, reason: EndReason, nowMs: number): Promise<boolean> {
  const { id, turn, expiresAtMs, community, space, service } = lane
  const { rows } = await sql<{ count: number }>`with
    gone as (
      delete from registration where id = ${id} and turn = ${turn} and expires_at_ms = ${expiresAtMs} returning id
    ),
    journal as (${unsealedInsert(
      db,
      sql`select ${community}, ${nowMs}::bigint, ${community}, 'notify.end', ${space}, null::text,
          ${JSON.stringify({ reason, service })}::jsonb where exists (select from gone)`,
    )})
    select count(*)::int as count from gone`.execute(db)
  return rows[0]?.count === 1
}

/** Forgets a lane whose space has ended, once there is nothing more to tell, or nobody to hear it. */
export async function dropLane(db: Db, { id, turn }: Lane): Promise<void> {
  await sql`delete from registration where id = ${id} and turn = ${turn} and ended_at_ms is not null`.execute(db)
}
