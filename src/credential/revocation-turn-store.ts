/**
 * The turns in which hosts are told what was taken back: which host is due, what it is sent, and what became of it.
 *
 * A process takes a host for a while and makes one call. Whatever it did when its time was over, or when it was ended, somebody else goes
 * on: what was sent and not noted is sent once more, which a host takes as it took the first.
 */
import { type SqlBool, sql } from 'kysely'
import { authorityOf, type Did, type SpaceUri } from '../names.ts'
import type { HostCaps } from '../platform/config.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import { BATCH_MAX, CALLS_WINDOW_MS, capOf, freeAtMs, mayHaveMore, WORTH_SEC } from './revocation-plan.ts'

/** How long a host is a process's own: looking up whom to name there, and one call. */
const TAKEN_MS = 15_000
/** Accounts of a host that are looked at for one call. */
const REPOS_MAX = 20

export interface Name {
  readonly jti: string
  readonly endsAtSec: number
}

/** One call that is due, and whose turn it is. */
export interface Turn {
  readonly host: string
  readonly turn: number
  readonly failures: number
  readonly space: SpaceUri
  readonly names: readonly Name[]
}

export interface Asked {
  readonly caps: HostCaps
  readonly nowMs: number
  /** Whether hosts that failed last time are taken as well. */
  readonly isPatient: boolean
  /** Communities in whose name nobody is called now. */
  readonly besides?: readonly Did[]
  /** Only this one. */
  readonly host?: string
}

/** Takes a host that is due. Null: none is, or others have them. */
export async function takeTurn(db: Db, asked: Asked): Promise<Turn | null> {
  for (;;) {
    const taken = await withTransaction(db, (tx) => takeIn(tx, asked))
    if (taken !== 'nothing') return taken
  }
}

interface Lane {
  readonly host: string
  readonly turn: number
  readonly failures: number
}

/** Whose space a notice is about. */
const ofCommunity = sql<string>`split_part(space, '/', 3)`

/** `nothing`: a host was due for which there is nothing to do now; it was given its next time. */
async function takeIn(tx: Tx, { caps, nowMs, isPatient, host, besides = [] }: Asked): Promise<Turn | 'nothing' | null> {
  const isForOthers = sql`and exists (select from revocation_notice as notice where notice.host = revocation_host.host
    and state = 'due' and notice.look_at_ms <= ${nowMs} and ${ofCommunity} <> all(${besides}::text[]))`
  const some = [
    isPatient ? sql`` : sql`and failures = 0`,
    host === undefined ? sql`` : sql`and host = ${host}`,
    besides.length === 0 ? sql`` : isForOthers,
  ]
  const { rows: lanes } = await sql<Lane>`select host, turn, failures from revocation_host
    where look_at_ms <= ${nowMs} ${sql.join(some, sql` `)} order by look_at_ms limit 1 for no key update skip locked`.execute(
    tx,
  )
  const [lane] = lanes
  if (!lane) return null
  const nowSec = Math.floor(nowMs / 1000)
  await settle(tx, lane.host, 'ended', sql`ends_at_sec <= ${nowSec + WORTH_SEC}`)
  const { freeMs, sated, nextMs } = await callsOf(tx, lane.host, caps, nowMs)
  if (freeMs === null) await settle(tx, lane.host, 'cannot', sql`true`)
  if (freeMs !== null && freeMs > nowMs) return restUntil(tx, lane.host, freeMs)
  await sql`update revocation_notice set look_at_ms = ${nextMs} where host = ${lane.host} and state = 'due'
    and look_at_ms <= ${nowMs} and ${ofCommunity} = any(${sated}::text[])`.execute(tx)
  const { rows } = await sql<Name & { space: SpaceUri }>`with first as (
      select space from revocation_notice where host = ${lane.host} and state = 'due' and look_at_ms <= ${nowMs}
        and ${ofCommunity} <> all(${besides}::text[])
      order by planned_at_ms limit 1
    )
    select space, jti, ends_at_sec as "endsAtSec" from revocation_notice
    where host = ${lane.host} and state = 'due' and look_at_ms <= ${nowMs} and space = (select space from first)
    order by planned_at_ms, jti limit ${BATCH_MAX}`.execute(tx)
  const [first] = rows
  if (!first) return restUntil(tx, lane.host, nowMs)
  await sql`update revocation_host set turn = turn + 1, look_at_ms = ${nowMs + TAKEN_MS} where host = ${lane.host}`.execute(
    tx,
  )
  const { failures, turn } = lane
  return { host: lane.host, turn: turn + 1, failures, space: first.space, names: rows }
}

/** The next look at a host: not before `fromMs`, and none when nothing is due. */
async function restUntil(tx: Tx, host: string, fromMs: number): Promise<'nothing'> {
  await sql`update revocation_host set look_at_ms = (
      select greatest(min(notice.look_at_ms), ${fromMs}::bigint) from revocation_notice as notice
      where notice.host = ${host} and notice.state = 'due' having count(*) > 0
    ) where host = ${host}`.execute(tx)
  return 'nothing'
}

type State = 'told' | 'cannot' | 'deaf' | 'ended' | 'moved'

async function settle(tx: Tx, host: string, state: State, which: ReturnType<typeof sql<SqlBool>>): Promise<void> {
  await sql`update revocation_notice set state = ${state} where host = ${host} and state = 'due' and ${which}`.execute(
    tx,
  )
}

interface Calls {
  /** When the next one is free. Null: none ever is. */
  readonly freeMs: number | null
  /** Communities that leave the rest to others: none where there are no others. */
  readonly sated: readonly Did[]
  /** When it is looked at again who they are. */
  readonly nextMs: number
}

/** The calls that a host counts. */
async function callsOf(tx: Tx, host: string, caps: HostCaps, nowMs: number): Promise<Calls> {
  const cap = capOf(caps, host)
  const { rows } = await sql<{
    atMs: number
    community: Did | null
  }>`select at_ms as "atMs", community from revocation_call
    where host = ${host} and at_ms > ${nowMs - CALLS_WINDOW_MS} order by at_ms desc limit ${Math.max(1, cap.calls)}`.execute(
    tx,
  )
  const times = rows.map(({ atMs }) => atMs)
  const counted = Map.groupBy(rows, ({ community }) => community)
  const sated = [...counted].flatMap(([community, own]) =>
    community === null || mayHaveMore(own.length, rows.length, cap.calls) ? [] : [community],
  )
  const isShared = sated.length > 0 && (await hasOtherThan(tx, sated))
  const nextMs = (times.at(-1) ?? nowMs) + CALLS_WINDOW_MS
  return { freeMs: freeAtMs(times, cap, nowMs), sated: isShared ? sated : [], nextMs }
}

/** Whether there is a community besides these. */
async function hasOtherThan(tx: Tx, some: readonly Did[]): Promise<boolean> {
  const { rows } = await sql`select from community_revision where community <> all(${some}::text[]) limit 1`.execute(tx)
  return rows.length > 0
}

/** Accounts by which that host may be called: those for whom it was planned, then others that wrote in the space from there. */
export async function listRepos(db: Db, { host, space, names }: Turn): Promise<readonly string[]> {
  const jtis = names.map(({ jti }) => jti)
  const spelt = [host, `https://${host}`, `http://${host}`]
  const { rows } = await sql<{ repo: string }>`select repo, min(rank) as rank from (
      (select distinct repo, 0 as rank from revocation_notice
        where space = ${space} and host = ${host} and jti = any(${jtis}::text[]) limit ${REPOS_MAX})
      union all
      (select repo, 1 as rank from writer where space = ${space} and host = any(${spelt}::text[]) limit ${REPOS_MAX})
    ) as found group by repo order by rank, repo limit ${REPOS_MAX}`.execute(db)
  return rows.map(({ repo }) => repo)
}

/** Holds the host if the turn is still this process's. */
async function holdTurn(tx: Tx, { host, turn }: Turn): Promise<boolean> {
  const { rows } = await sql`select host from revocation_host where host = ${host} and turn = ${turn}
    for no key update`.execute(tx)
  return rows.length > 0
}

/**
 * Notes a call before it is made, so that whatever becomes of it counts against what the host takes. False: it must not be made, because the
 * turn is somebody else's by now, or no call is free any more.
 */
export const noteSent = (db: Db, turn: Turn, { caps, nowMs }: Pick<Asked, 'caps' | 'nowMs'>): Promise<boolean> =>
  withTransaction(db, async (tx) => {
    if (!(await holdTurn(tx, turn))) return false
    const community = authorityOf(turn.space)
    const { freeMs, sated } = await callsOf(tx, turn.host, caps, nowMs)
    if (freeMs === null || freeMs > nowMs || sated.includes(community)) return false
    await sql`update revocation_host set look_at_ms = ${nowMs + TAKEN_MS} where host = ${turn.host}`.execute(tx)
    await sql`insert into revocation_call (host, at_ms, community) values (${turn.host}, ${nowMs}, ${community})`.execute(
      tx,
    )
    await sql`update revocation_notice set sent_at_ms = ${nowMs} where ${ofTurn(turn)}`.execute(tx)
    return true
  })

const ofTurn = ({ host, space, names }: Turn) =>
  sql<SqlBool>`space = ${space} and host = ${host} and jti = any(${names.map(({ jti }) => jti)}::text[])`

/**
 * What became of a turn. `heard`; `deaf`: the host doesn't take such calls, as far as that can be told from
 * this space; `denied`: it took nobody that we named for its own, or nobody is there any more of whom we know; `moved`: whoever was there is elsewhere, and that host hears of it; `failed`: the host may hear later;
 * `unsure`: it wasn't called, through no fault of its own.
 */
export type TurnEnd =
  | { readonly is: 'heard' | 'deaf' | 'denied' | 'moved' }
  | { readonly is: 'failed' | 'unsure'; readonly againAtMs: number }

/** Notes how a turn ended, and lets go of the host. Whoever lost the turn meanwhile notes nothing. */
export const endTurn = (db: Db, turn: Turn, end: TurnEnd, nowMs: number): Promise<void> =>
  withTransaction(db, async (tx) => {
    if (!(await holdTurn(tx, turn))) return
    const { host } = turn
    if (end.is === 'heard') await settle(tx, host, 'told', ofTurn(turn))
    if (end.is === 'denied') await settle(tx, host, 'cannot', ofTurn(turn))
    if (end.is === 'moved') await settle(tx, host, 'moved', ofTurn(turn))
    if (end.is === 'deaf') {
      await settle(tx, host, 'deaf', ofTurn(turn))
      await settle(tx, host, 'cannot', sql`space = ${turn.space}`)
    }
    if (end.is === 'unsure') {
      await sql`update revocation_notice set look_at_ms = ${end.againAtMs} where ${ofTurn(turn)}`.execute(tx)
    } else {
      const failures = end.is === 'failed' ? turn.failures + 1 : 0
      await sql`update revocation_host set failures = ${failures} where host = ${host}`.execute(tx)
    }
    await restUntil(tx, host, end.is === 'failed' ? end.againAtMs : nowMs)
  })

/**
 * Has looked at what rests for longer than anybody waits for a call to be free: our clock was ahead when it was noted, and has been set back. Calls
 * of a time that hasn't come are counted from now on.
 */
export async function wakeHosts(db: Db, nowMs: number): Promise<void> {
  const latestMs = nowMs + CALLS_WINDOW_MS
  await sql`update revocation_call set at_ms = ${nowMs} where at_ms > ${latestMs}`.execute(db)
  await sql`update revocation_notice set look_at_ms = ${nowMs} where state = 'due' and look_at_ms > ${latestMs}`.execute(
    db,
  )
  await sql`update revocation_host set look_at_ms = ${nowMs} where host = any(array(
    select host from revocation_host where look_at_ms > ${latestMs} order by host for no key update))`.execute(db)
}
