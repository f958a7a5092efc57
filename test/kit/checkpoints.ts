/** Checkpoints that are made up, and those of a database as it is, with a chain or two seen otherwise. */
import { type RawBuilder, sql } from 'kysely'
import type { Checkpoint, Head } from '../../src/audit/checkpoint.ts'
import { loadHeads } from '../../src/audit/head-store.ts'
import type { Did } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import { loadInstanceId } from '../../src/platform/instance.ts'
import { systemRandom } from '../../src/platform/random.ts'

export const INSTANCE = 'c0ffee00'.repeat(4)
export const HASH = 'ab'.repeat(32)

/** Of so many chains that are nowhere. */
export const madeCheckpoint = (about: { atMs: number; chains: number; instance?: string }): Checkpoint => ({
  instance: about.instance ?? INSTANCE,
  atMs: about.atMs,
  acceptedAtMs: null,
  heads: Array.from({ length: about.chains }, (_, nth) => ({
    community: `did:plc:${String(nth).padStart(24, 'a')}`,
    seq: nth + 1,
    hash: HASH,
  })).toSorted((a, b) => (a.community < b.community ? -1 : 1)),
})

export const instanceOf = (db: Db): Promise<string> => loadInstanceId(db, systemRandom, systemClock)

/** What a checkpoint of this moment would be, where `seen` may say otherwise of a chain, or leave it out by null. */
export async function checkpointOf(
  db: Db,
  atMs: number,
  seen: (head: Head) => Head | null = (head) => head,
): Promise<Checkpoint> {
  const heads = (await loadHeads(db)).map(seen).filter((head) => head !== null)
  return { instance: await instanceOf(db), atMs, acceptedAtMs: null, heads }
}

/** What the log lets nobody do. */
export async function behindItsBack(db: Db, deed: RawBuilder<unknown>): Promise<void> {
  await sql`alter table audit_entry disable trigger all`.execute(db)
  await deed.execute(db)
  await sql`alter table audit_entry enable trigger all`.execute(db)
}

/** Takes the chain back to where it was, as a server does that forgot its last moments. */
export async function cut(db: Db, community: Did, seq: number): Promise<void> {
  await behindItsBack(db, sql`delete from audit_entry where community = ${community} and seq > ${seq}`)
  await sql`update audit_head set seq = ${seq}, hash = (select hash from audit_entry where community = ${community} and seq = ${seq})
    where community = ${community}`.execute(db)
}
