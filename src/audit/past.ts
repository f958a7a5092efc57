/**
 * Compares a database with its checkpoints: whether it is the one that was there, or one from before, or one whose past was written anew.
 *
 * Chains only ever grow, and an entry never changes its place. So a chain that is shorter than it was, or that has another entry where one was
 * seen, is not a later state of the same database, whatever the reason.
 */
import type { Db, Tx } from '../platform/database.ts'
import type { Checkpoint, Head } from './checkpoint.ts'
import { hashesAt, loadHeads } from './head-store.ts'

/**
 * What is wrong with a chain. `behind`: it is shorter than it was; `rewritten`: another entry stands where one was seen; `gone`: the database
 * has no such chain; `unknown`: something is missing from this database, and nobody can tell where.
 */
export interface Parted {
  readonly community: string
  readonly fault: 'behind' | 'rewritten' | 'gone' | 'unknown'
  /** Where a checkpoint saw it, and when; at 0 where none did. */
  readonly seen: Head
  readonly seenAtMs: number
  /** How many entries the database has of it. */
  readonly has: number
}

/**
 * The chains that aren't a later state of what these checkpoints saw, in the order of their names and each once, by the checkpoint that saw most
 * of it; and where all chains end now. A chain that went on is as it should be.
 */
export async function compareWith(
  db: Db | Tx,
  checkpoints: readonly Checkpoint[],
): Promise<{ readonly parted: readonly Parted[]; readonly heads: readonly Head[] }> {
  const heads = await loadHeads(db)
  const now = new Map(heads.map((head) => [head.community, head]))
  const found = new Map<string, Parted>()
  const passed: { seen: Head; seenAtMs: number; has: number }[] = []
  const note = (fault: Parted['fault'], seen: Head, seenAtMs: number, has: number) => {
    const { community } = seen
    const before = found.get(community)
    if (!before || before.seen.seq < seen.seq) found.set(community, { community, fault, seen, seenAtMs, has })
  }
  for (const { heads: seenHeads, atMs } of checkpoints) {
    for (const seen of seenHeads) {
      const head = now.get(seen.community)
      if (!head) note('gone', seen, atMs, 0)
      else if (head.seq < seen.seq) note('behind', seen, atMs, head.seq)
      else if (head.seq > seen.seq) passed.push({ seen, seenAtMs: atMs, has: head.seq })
      else if (head.hash !== seen.hash) note('rewritten', seen, atMs, head.seq)
    }
  }
  const hashes = await hashesAt(
    db,
    passed.map(({ seen }) => seen),
  )
  for (const [nth, { seen, seenAtMs, has }] of passed.entries()) {
    if (hashes[nth] !== seen.hash) note('rewritten', seen, seenAtMs, has)
  }
  return { parted: [...found.values()].toSorted((a, b) => (a.community < b.community ? -1 : 1)), heads }
}

/** Where the checkpoints that show it are lost, each chain may be one that lacks something. */
export const unknownOf = (heads: readonly Head[], foundAtMs: number): readonly Parted[] =>
  heads.map(({ community, seq }) => {
    const seen = { community, seq: 0, hash: '' }
    return { community, fault: 'unknown', seen, seenAtMs: foundAtMs, has: seq }
  })

/** How many entries are missing from these chains. Of one that was written anew nobody can tell. */
export const missingFrom = (parted: readonly Parted[]): number =>
  parted.reduce((sum, { seen, has }) => sum + Math.max(0, seen.seq - has), 0)
