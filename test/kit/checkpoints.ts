/** Checkpoints that are made up, and those of a database as it is, with a chain or two seen otherwise. */
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RawBuilder, sql } from 'kysely'
import { AGE_MAX_MS, type Checkpoint, type Head, textOfCheckpoint } from '../../src/audit/checkpoint.ts'
import { readCheckpoint } from '../../src/audit/checkpoint-folder.ts'
import { loadHeads } from '../../src/audit/head-store.ts'
import { REUSABLE_MAX_SEC } from '../../src/credential/token-classes.ts'
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

/** As if a database that is from the past had been found so long ago, and the last checkpoint been written before that, that it may be accepted now. */
export async function foundLongAgo(db: Db, folder: string): Promise<void> {
  const foundAtMs = systemClock.nowMs() - REUSABLE_MAX_SEC * 1000
  const atMs = foundAtMs - AGE_MAX_MS
  await sql`update from_past set found_at_ms = ${foundAtMs}`.execute(db)
  await sql`update from_past_seen set seen_at_ms = ${atMs}`.execute(db)
  await seenLongAgo(folder, atMs)
}

/** As if the checkpoints of a folder were all of that time. */
export async function seenLongAgo(folder: string, atMs: number): Promise<void> {
  for (const name of (await readdir(folder)).filter((one) => one.endsWith('.json'))) {
    const kept = await readCheckpoint(join(folder, name))
    if (kept) await writeFile(join(folder, name), textOfCheckpoint({ ...kept.checkpoint, atMs }))
  }
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
