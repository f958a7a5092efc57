/** The table of what was heard of the PDS at which a space is whose people are decided about here. */
import { sql } from 'kysely'
import type { SpaceUri } from '../names.ts'
import type { Db, Tx } from '../platform/database.ts'
import type { KeptAs } from './not-enforced.ts'

declare module '../platform/database.ts' {
  interface Tables {
    space_host: {
      space: string
      asked_at_ms: number
      says_access: boolean
      strangers_at_ms: number | null
    }
  }
}

/** Where the records of a space are when they aren't here, and what was heard from there. */
export interface BoundAt {
  /** Since when it is decided about here. */
  readonly boundAtMs: number
  /** Since when the account doesn't consent to it; null: it does. */
  readonly releasedAtMs: number | null
  /** When the PDS asked last; null: it never did. */
  readonly askedAtMs: number | null
  /** Whether it was ever heard to say what for. */
  readonly saysAccess: boolean
  readonly strangersAtMs: number | null
  /** How it is kept there from here; null: it isn't. */
  readonly keptAs: KeptAs
  /** The generation that it was read in by whoever keeps it; null: by nobody yet. */
  readonly keptSpeaks: 'august' | 'october' | null
}

/** Where a living space is that isn't here; null: it is here, or isn't. */
export async function loadBoundAt(db: Db | Tx, space: SpaceUri): Promise<BoundAt | null> {
  const row = await db
    .selectFrom('space')
    .innerJoin('community_revision', 'community_revision.community', 'space.community')
    .leftJoin('space_host', 'space_host.space', 'space.uri')
    .leftJoin('steered_space', (join) =>
      join.onRef('steered_space.space', '=', 'space.uri').onRef('steered_space.bound_at_ms', '=', 'space.bound_at_ms'),
    )
    .select(['space.bound_at_ms', 'community_revision.released_at_ms'])
    .select(['steered_space.mode', 'steered_space.state', 'steered_space.speaks'])
    .select(['space_host.asked_at_ms', 'space_host.says_access', 'space_host.strangers_at_ms'])
    .where('space.uri', '=', space)
    .where('space.state', '=', 'live')
    .executeTakeFirst()
  if (!row || row.bound_at_ms === null) return null
  const { bound_at_ms: boundAtMs, released_at_ms: releasedAtMs } = row
  const kept = row.state === 'kept' ? { keptAs: row.mode, keptSpeaks: row.speaks } : { keptAs: null, keptSpeaks: null }
  // What was heard before is about an earlier space of that name.
  const isHeard = row.asked_at_ms !== null && row.asked_at_ms >= boundAtMs
  if (!isHeard) {
    return { boundAtMs, releasedAtMs, ...kept, askedAtMs: null, saysAccess: false, strangersAtMs: null }
  }
  const since = row.strangers_at_ms !== null && row.strangers_at_ms >= boundAtMs ? row.strangers_at_ms : null
  return {
    ...{ boundAtMs, releasedAtMs, ...kept, askedAtMs: row.asked_at_ms },
    ...{ saysAccess: row.says_access === true, strangersAtMs: since },
  }
}

/**
 * Whether an earlier space of that name is still to be deleted at its PDS. One that was bound anew before would have its records deleted in
 * its place, or find the people of the earlier one on its list.
 */
export async function isEndingThere(tx: Tx, space: SpaceUri): Promise<boolean> {
  const row = await tx
    .selectFrom('steered_space')
    .innerJoin('space', 'space.uri', 'steered_space.space')
    .select('space.uri')
    .where('space.uri', '=', space)
    .where('space.state', '<>', 'live')
    .executeTakeFirst()
  return row !== undefined
}

/** Notes that the PDS of a space asked, and whether it said what for. What was heard of an earlier space of that name counts no more. */
export async function noteAsked(
  db: Db,
  space: SpaceUri,
  { atMs, saysAccess, boundAtMs }: { readonly atMs: number; readonly saysAccess: boolean; readonly boundAtMs: number },
): Promise<void> {
  await sql`insert into space_host (space, asked_at_ms, says_access) values (${space}, ${atMs}, ${saysAccess})
    on conflict (space) do update set asked_at_ms = greatest(space_host.asked_at_ms, excluded.asked_at_ms),
      says_access = excluded.says_access or (space_host.says_access and space_host.asked_at_ms >= ${boundAtMs})`.execute(
    db,
  )
}

/** Notes that the PDS of a space asked about more strangers than it may. */
export async function noteStrangers(db: Db, space: SpaceUri, atMs: number): Promise<void> {
  await db
    .insertInto('space_host')
    .values({ space, asked_at_ms: atMs, says_access: false, strangers_at_ms: atMs })
    .onConflict((conflict) => conflict.column('space').doUpdateSet({ strangers_at_ms: atMs }))
    .execute()
}
