/** The tables of what hosts elsewhere are told: what was decided of credentials that were taken back, and which host hears of which. */
import { sql } from 'kysely'
import type { SpaceUri } from '../names.ts'
import type { HostCaps } from '../platform/config.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { isMeant, type Which } from './ledger-store.ts'
import {
  CALLS_WINDOW_MS,
  capOf,
  HOST_NAME_MAX_CHARS,
  HOSTS_MAX,
  type HostFacts,
  hostNameOf,
  KEPT_MS,
  PAUSE_MAX_MS,
  type Plan,
  planRevocations,
  TAKEN_MAX,
  TOGETHER_MS,
  WORTH_SEC,
} from './revocation-plan.ts'

/** Where somebody's repo is who wrote in a space, by one of them. */
interface Writer {
  readonly host: string
  readonly repo: string
}

/** The hosts from which somebody wrote in a space, each once. */
export interface WriterHosts {
  readonly writers: readonly Writer[]
  /** Somebody's host isn't known, or there are more hosts than are looked at. */
  readonly hasOthers: boolean
}

/** Steps from host to host in the index, however many wrote from each. */
export async function loadWriterHosts(db: Db | Tx, space: SpaceUri): Promise<WriterHosts> {
  const { rows } = await sql<{ host: string | null; repo: string }>`with recursive found as (
      (select host, repo from writer where space = ${space} and host is not null order by host limit 1)
      union all
      select next.host, next.repo from found cross join lateral (
        select host, repo from writer where space = ${space} and host > found.host order by host limit 1
      ) as next
    ),
    nowhere as (select host, repo from writer where space = ${space} and host is null limit 1)
    (select host, repo from found limit ${HOSTS_MAX + 1}) union all (select host, repo from nowhere)`.execute(db)
  const byName = new Map<string, string>()
  let hasOthers = false
  for (const { host, repo } of rows) {
    const name = host === null ? null : hostNameOf(host)
    if (name === null || name.length > HOST_NAME_MAX_CHARS) hasOthers = true
    else if (!byName.has(name)) byName.set(name, repo)
  }
  const writers = [...byName].map(([host, repo]) => ({ host, repo })).slice(0, HOSTS_MAX)
  return { writers, hasOthers: hasOthers || rows.length > HOSTS_MAX }
}

/** What a host keeps or is about to be sent, of one space. */
export async function loadHostFacts(
  db: Db | Tx,
  about: { readonly space: string; readonly hosts: readonly string[]; readonly caps: HostCaps; readonly nowMs: number },
): Promise<readonly HostFacts[]> {
  const { space, hosts, caps, nowMs } = about
  const { rows } = await sql<{ host: string; held: number; recent: number; isDeaf: boolean }>`select asked.host,
      count(notice.jti)::int as held,
      count(notice.jti) filter (where notice.planned_at_ms > ${nowMs - TOGETHER_MS})::int as recent,
      coalesce(bool_or(notice.state = 'deaf'), false) as "isDeaf"
    from unnest(${hosts}::text[]) as asked (host)
    left join revocation_notice as notice on notice.host = asked.host and notice.space = ${space}
      and (notice.state = 'due' or notice.sent_at_ms > ${nowMs - KEPT_MS})
    group by asked.host order by asked.host`.execute(db)
  return rows.map((row) => ({ ...row, cap: capOf(caps, row.host) }))
}

/** Some space in which something was taken back of which nothing was decided yet, besides those named. */
export async function findToPlan(db: Db, besides: readonly SpaceUri[]): Promise<SpaceUri | null> {
  const { rows } = await sql<{ space: SpaceUri }>`select space from issuance
    where revoked_at_sec is not null and hosts_plan is null and space <> all (${besides}::text[])
    order by space limit 1`.execute(db)
  return rows[0]?.space ?? null
}

interface Taken {
  readonly jti: string
  readonly endsAtSec: number
}

/**
 * Decides what of a space hosts are told, and notes it for each of them, all or nothing. Another process that plans for the same hosts
 * waits, so that both together keep to what a host takes. Null: another one has all of it in this moment.
 */
export const planSpace = (
  db: Db,
  { space, caps, nowMs }: { space: SpaceUri; caps: HostCaps; nowMs: number },
): Promise<{ readonly plan: Plan['hosts']; readonly count: number } | null> =>
  withTransaction(db, async (tx) => {
    const taken = await takeUnplanned(tx, space)
    if (taken.length === 0) return null
    const nowSec = Math.floor(nowMs / 1000)
    const isTooMany = taken.length > TAKEN_MAX
    const some = isTooMany ? [] : taken.filter(({ endsAtSec }) => endsAtSec > nowSec + WORTH_SEC)
    const { writers, hasOthers } = await loadWriterHosts(tx, space)
    const names = writers.map(({ host }) => host)
    if (some.length > 0) await holdHosts(tx, names)
    const hosts = await loadHostFacts(tx, { space, hosts: names, caps, nowMs })
    const { hosts: plan, verdicts } = planRevocations({ count: some.length, hosts, hasOthers })
    const told = writers.filter(({ host }) => verdicts.get(host) === 'tell')
    await insertNotices(tx, { space, some, writers: told, nowMs })
    await noteDecided(tx, { space, taken, isForAll: isTooMany, plan })
    return { plan, count: taken.length }
  })

/** Up to one more than are ever told: of so many nobody is. */
async function takeUnplanned(tx: Tx, space: SpaceUri): Promise<readonly Taken[]> {
  const { rows } = await sql<Taken>`select jti, expires_at_sec as "endsAtSec" from issuance
    where space = ${space} and revoked_at_sec is not null and hosts_plan is null
    order by jti limit ${TAKEN_MAX + 1} for no key update skip locked`.execute(tx)
  return rows
}

/**
 * Writes down what was decided, piece by piece. `isForAll`: of everything in the space that was taken back, or what is left of it would look
 * like little afterwards.
 */
async function noteDecided(
  tx: Tx,
  decided: { space: SpaceUri; taken: readonly Taken[]; isForAll: boolean; plan: Plan['hosts'] },
): Promise<void> {
  const { space, isForAll, plan } = decided
  for (let { taken } = decided; taken.length > 0; taken = isForAll ? await takeUnplanned(tx, space) : []) {
    await sql`update issuance set hosts_plan = ${plan} where jti = any(${taken.map(({ jti }) => jti)}::text[])`.execute(
      tx,
    )
  }
}

/** Holds the rows of hosts, always in one order, and makes those that aren't there yet. */
async function holdHosts(tx: Tx, hosts: readonly string[]): Promise<void> {
  for (let held = 0; held < hosts.length; ) {
    await sql`insert into revocation_host (host) select host from unnest(${hosts}::text[]) as asked (host)
      order by host on conflict (host) do nothing`.execute(tx)
    const { rows } = await sql`select host from revocation_host where host = any(${hosts}::text[])
      order by host for no key update`.execute(tx)
    // One that was just being swept was there for the first statement and not for the second.
    held = rows.length
  }
}

async function insertNotices(
  tx: Tx,
  { space, some, writers, nowMs }: { space: string; some: readonly Taken[]; writers: readonly Writer[]; nowMs: number },
): Promise<void> {
  if (some.length === 0 || writers.length === 0) return
  const hosts = writers.map(({ host }) => host)
  await sql`insert into revocation_notice (space, jti, host, repo, ends_at_sec, planned_at_ms, look_at_ms, state)
    select ${space}, one.jti, at.host, at.repo, one.ends_at_sec, ${nowMs}::bigint, 0, 'due'
    from unnest(${some.map(({ jti }) => jti)}::text[], ${some.map(({ endsAtSec }) => endsAtSec)}::bigint[]) as one (jti, ends_at_sec)
    cross join unnest(${hosts}::text[], ${writers.map(({ repo }) => repo)}::text[]) as at (host, repo)
    on conflict (space, jti, host) do nothing`.execute(tx)
  // A host that is being told, or rests after a failure, keeps its time. One that rests for longer waits for calls to be free: for somebody
  // else there may be one.
  await sql`update revocation_host set look_at_ms = ${nowMs}
    where host = any(${hosts}::text[]) and (look_at_ms is null or look_at_ms > ${nowMs + PAUSE_MAX_MS})`.execute(tx)
}

/**
 * Whoever held something at one host is at another one now: that host hears of it in its place, within what it takes. Names that it knows
 * already aren't counted twice.
 */
export const carryOver = (
  db: Db,
  to: { space: SpaceUri; some: readonly Taken[]; writer: Writer; caps: HostCaps; nowMs: number },
): Promise<void> =>
  withTransaction(db, async (tx) => {
    const { space, writer, caps, nowMs } = to
    await holdHosts(tx, [writer.host])
    const jtis = to.some.map(({ jti }) => jti)
    const { rows } = await sql<{ jti: string }>`select jti from revocation_notice
      where space = ${space} and host = ${writer.host} and jti = any(${jtis}::text[])`.execute(tx)
    const known = new Set(rows.map(({ jti }) => jti))
    const some = to.some.filter(({ jti }) => !known.has(jti))
    if (some.length === 0) return
    const hosts = await loadHostFacts(tx, { space, hosts: [writer.host], caps, nowMs })
    const { hosts: plan } = planRevocations({ count: some.length, hosts, hasOthers: false })
    if (plan === 'tell') await insertNotices(tx, { space, some, writers: [writer], nowMs })
    else await sql`update issuance set hosts_plan = ${plan} where jti = any(${jtis}::text[])`.execute(tx)
  })

/** A credential that isn't in the ledger, and the hosts that may have something of its space. */
interface Unlisted extends WriterHosts {
  readonly space: SpaceUri
  readonly jti: string
  readonly endsAtSec: number
  readonly caps: HostCaps
  readonly nowMs: number
}

/**
 * Whether a host hasn't heard that a credential was taken back, although it may still be used there; null: nobody was ever to be told of it.
 * A host that can't be told counts as one that hasn't: whoever asks twice wants to know whether it is over.
 */
export async function loadUnlisted(tx: Tx, space: SpaceUri, jti: string): Promise<'unheard' | 'over' | null> {
  const { rows } = await sql<{ isUnheard: boolean | null }>`select
      bool_or(state not in ('told', 'moved', 'ended')) as "isUnheard"
    from revocation_notice where space = ${space} and jti = ${jti}`.execute(tx)
  const isUnheard = rows[0]?.isUnheard ?? null
  if (isUnheard === null) return null
  return isUnheard ? 'unheard' : 'over'
}

/** Of how many such credentials of a space hosts are to know, or could have heard, within the last hour; no more than `max` are counted. */
export async function countUnlisted(tx: Tx, space: SpaceUri, nowSec: number, max: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from (
      select distinct jti from revocation_notice where space = ${space} and ends_at_sec > ${nowSec} limit ${max}
    ) as named`.execute(tx)
  return rows[0]?.count ?? 0
}

/** Has hosts told of such a credential, within what they take, and answers what was decided for each. */
export async function planUnlisted(tx: Tx, one: Unlisted): Promise<Plan> {
  const { space, jti, endsAtSec, writers, hasOthers, caps, nowMs } = one
  const names = writers.map(({ host }) => host)
  await holdHosts(tx, names)
  const hosts = await loadHostFacts(tx, { space, hosts: names, caps, nowMs })
  const plan = planRevocations({ count: 1, hosts, hasOthers })
  const told = writers.filter(({ host }) => plan.verdicts.get(host) === 'tell')
  await insertNotices(tx, { space, some: [{ jti, endsAtSec }], writers: told, nowMs })
  return plan
}

/** What became of a credential that was taken back, at the hosts that have something of its space. */
export type Telling = 'telling' | 'told' | 'waitsOut' | 'cannotBeTold'

/** For each of some credentials that were taken back; none for those of which no host has to hear. */
export async function loadTelling(db: Db, jtis: readonly string[]): Promise<ReadonlyMap<string, Telling>> {
  if (jtis.length === 0) return new Map()
  const { rows } = await sql<{ jti: string; telling: Telling | null }>`select jti, case
      when hosts_plan = 'none' then null
      when hosts_plan is null
        then case when exists (select from writer where writer.space = issuance.space) then 'telling' end
      when 'due' = any (states) then 'telling'
      when hosts_plan = 'cannot' or states && array['cannot', 'deaf'] then 'cannotBeTold'
      when hosts_plan = 'wait' or 'ended' = any (states) then 'waitsOut'
      else 'told'
    end as telling
    from issuance cross join lateral (
      select coalesce(array_agg(state), '{}') as states from revocation_notice as notice
      where notice.space = issuance.space and notice.jti = issuance.jti
    ) as notices
    where jti = any(${jtis}::text[]) and revoked_at_sec is not null`.execute(db)
  return new Map(rows.flatMap(({ jti, telling }) => (telling === null ? [] : [[jti, telling] as const])))
}

/**
 * How many of those that are meant have not ended and wouldn't be known to every host that has something of their space, were all of them
 * taken back in this moment.
 */
export async function countUnheard(tx: Tx, which: Which, nowSec: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*)::int as count from issuance
    where ${isMeant(which, nowSec)} and case
      when hosts_plan is null then exists (select from writer where writer.space = issuance.space)
      when hosts_plan = 'none' then false
      when hosts_plan = 'tell' then exists (
        select from revocation_notice as notice where notice.space = issuance.space and notice.jti = issuance.jti
          and notice.state not in ('told', 'moved')
      )
      else true
    end`.execute(tx)
  return rows[0]?.count ?? 0
}

/**
 * Deletes at most `max` notices that no host keeps any more, and so many calls that nobody counts, and answers how many of either, the
 * larger number.
 */
export async function forgetRevocations(db: Db, nowMs: number, max: number): Promise<number> {
  const endedBeforeSec = Math.floor((nowMs - KEPT_MS) / 1000)
  const notices = await sql`delete from revocation_notice where ctid = any (array (
    select ctid from revocation_notice where ends_at_sec < ${endedBeforeSec}
    order by ends_at_sec limit ${max} for update skip locked))`.execute(db)
  const calls = await sql`delete from revocation_call where ctid = any (array (
    select ctid from revocation_call where at_ms < ${nowMs - CALLS_WINDOW_MS}
    order by at_ms limit ${max} for update skip locked))`.execute(db)
  await sql`delete from revocation_host as one where host in (
    select host from revocation_host where look_at_ms is null
      and not exists (select from revocation_notice as notice where notice.host = revocation_host.host)
    limit ${max} for update skip locked)`.execute(db)
  return Math.max(Number(notices.numAffectedRows ?? 0), Number(calls.numAffectedRows ?? 0))
}
