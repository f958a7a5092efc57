/**
 * The table of whose standing a change may have taken from: written with the change, and kept until somebody has looked at all that
 * rests on it. So nothing is forgotten by a process that dies in between.
 */
import { type Generated, sql } from 'kysely'
import type { Did } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { Offer } from '../policy/roster-graph.ts'

declare module '../platform/database.ts' {
  interface Tables {
    standing_moved: {
      id: Generated<number>
      community: string
      /** Null: everybody's in the community. */
      did: string | null
      revision: number
      taken_until_ms: Generated<number>
    }
  }
}

/** People who are noted one by one. More of them are looked at more cheaply together with everybody else. */
const NAMED_MAX = 50
/** Rows of one change. A change has to be quick, however many communities it is felt in. */
const ROWS_MAX = 1_000

/** A change in one community, with what it offered to others before it. `people` null: it may concern anybody. */
export interface Moved {
  readonly community: Did
  readonly offered: readonly Offer[]
  readonly people: readonly Did[] | null
  readonly revision: number
}

/**
 * Notes that the standing of these people may be less than it was, here and in every community that has taken up an offer: an
 * offer alone is nobody's consent, and must not have anybody's credentials gone through.
 */
export async function noteMoved(tx: Tx, { community, offered, people, revision }: Moved): Promise<void> {
  const communities = [community, ...(await takersOf(tx, offered))]
  const isNamed = people !== null && people.length <= NAMED_MAX && people.length * communities.length <= ROWS_MAX
  await sql`insert into standing_moved (community, did, revision)
    select one.community, person.did, ${revision}::bigint
    from unnest(${communities}::text[]) as one (community), unnest(${isNamed ? people : [null]}::text[]) as person (did)`.execute(
    tx,
  )
}

/** The communities on whose rosters an offered space stands. */
async function takersOf(tx: Tx, offered: readonly Offer[]): Promise<readonly Did[]> {
  if (offered.length === 0) return []
  const [spaces, takers] = [offered.map(({ space }) => space), offered.map(({ to }) => to)]
  const { rows } = await sql<{ community: string }>`select distinct offer.taker as community
    from unnest(${spaces}::text[], ${takers}::text[]) as offer (space, taker)
    where exists (select from space_edge edge where edge.from_space = offer.space and edge.community = offer.taker)`.execute(
    tx,
  )
  return rows.map((row) => row.community as Did)
}

/** Notes that the standing of a person will be less from `atMs` on, when nothing is changed by then. Once is enough. */
export async function noteMovesAt(
  db: Db,
  { community, did, revision, atMs }: { community: Did; did: Did; revision: number; atMs: number },
): Promise<void> {
  await sql`insert into standing_moved (community, did, revision, taken_until_ms)
    select ${community}, ${did}, ${revision}::bigint, ${atMs}::bigint where not exists (
      select from standing_moved where community = ${community} and did = ${did} and taken_until_ms = ${atMs}
    )`.execute(db)
}

/** A note that is ours to follow for a while. */
export interface MovedNote {
  readonly id: number
  readonly community: Did
  readonly did: Did | null
}

/**
 * Takes the oldest notes that nobody follows, each for `untilMs - nowMs`. A process that dies lets go of its own by that. Notes about
 * everybody in one of `besides` are left where they are.
 */
export async function takeMoved(
  db: Db,
  about: { readonly nowMs: number; readonly untilMs: number; readonly max: number; readonly besides: readonly Did[] },
): Promise<readonly MovedNote[]> {
  const { rows } = await sql<MovedNote>`update standing_moved set taken_until_ms = ${about.untilMs}
    where id in (
      select id from standing_moved where taken_until_ms <= ${about.nowMs}
        and (did is not null or community <> all(${about.besides}::text[]))
      order by id limit ${about.max} for update skip locked
    )
    returning id, community, did`.execute(db)
  return rows
}

/** Goes on following notes, or lets go of them, until `untilMs`. */
export async function keepMoved(db: Db, ids: readonly number[], untilMs: number): Promise<void> {
  await sql`update standing_moved set taken_until_ms = ${untilMs} where id = any(${ids}::bigint[])`.execute(db)
}

/** Forgets notes that were followed to their end. */
export async function dropMoved(db: Db, ids: readonly number[]): Promise<void> {
  await sql`delete from standing_moved where id = any(${ids}::bigint[])`.execute(db)
}

/**
 * Lets go of notes that are put off until after `latestMs`, up to which there may be a reason to: whoever took them had a clock that was ahead,
 * and may be gone.
 */
export async function wakeMoved(db: Db, latestMs: number): Promise<void> {
  await sql`update standing_moved set taken_until_ms = 0 where id = any(array(
    select id from standing_moved where taken_until_ms > ${latestMs} order by id for update skip locked))`.execute(db)
}
