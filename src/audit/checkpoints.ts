/**
 * Keeps the checkpoints of a running service, and knows whether its database is the one that was there before.
 *
 * A database that is put back to an older state brings removed members back, and tokens that were used up. So it is compared with what was kept
 * apart from it: at the start, and before each new checkpoint, since a server may be replaced by an older copy while Reeve runs. Once it is
 * found to be from the past, that is so until the process ends: what it remembers is of a time that isn't there any more. Whoever finds it marks the
 * database, so that a process on another machine, whose own folder may be empty, doesn't go on with it.
 */
import { type Clock, isoOf, withinMs } from '../platform/clock.ts'
import { type Db, isTransient } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { entriesIn, isDue } from './checkpoint.ts'
import { type CheckpointFolder, UnreadableCheckpoint } from './checkpoint-folder.ts'
import { countChained } from './head-store.ts'
import { compareWith, missingFrom, type Parted } from './past.ts'
import { checkpointsIn, isMarked, loadMark, markPast } from './past-store.ts'

export interface CheckpointsCtx {
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  readonly folder: CheckpointFolder
  /** The id of the database. */
  readonly instance: string
}

export interface Checkpoints {
  /** Whether the database is from the past. Asked at every door: nobody is let in, and nothing is changed, while it is so. */
  readonly isFromPast: boolean
  /** Aborts when it is found to be: what goes on by itself stops in the middle. */
  readonly past: AbortSignal
  /** How many could not be written since the start. */
  readonly failures: number
  /** Looks whether another process has found it, and writes one when it is time. Never throws: service goes on without, and the log says so. */
  turn(): Promise<void>
  /** Writes the last one when anything came since. Never throws, and never takes long. */
  close(): Promise<void>
}

/** After one that couldn't be written. */
const AGAIN_AFTER_MS = 60_000
const CLOSING_MAX_MS = 2_000

/**
 * Compares the database with its checkpoints, and keeps new ones from then on. Where there are none, there is nothing to compare with, and the
 * first is written soon.
 * @throws UnreadableCheckpoint: whoever damages one must not get by it what they would get by an old backup
 */
export async function openCheckpoints(ctx: CheckpointsCtx): Promise<Checkpoints> {
  const { db, clock, log, folder, instance } = ctx
  const past = new AbortController()
  let failures = 0
  let againAtMs = Number.NEGATIVE_INFINITY
  /** Of the last one, by whichever process. */
  let last = { entries: 0, atMs: 0, bytes: 0 }
  /** What was found and could not be noted in the database yet. */
  let unnoted: readonly Parted[] | null = null

  const isDueAt = (entries: number, of: typeof last): boolean =>
    isDue({ entries: entries - of.entries, ageMs: clock.nowMs() - of.atMs, bytes: of.bytes })

  const tell = (parted: readonly Parted[]): void => {
    past.abort()
    log.error('restored.fromPast', { chains: parted.length, missing: missingFrom(parted), folder: folder.path })
  }

  async function fall(parted: readonly Parted[]): Promise<void> {
    tell(parted)
    unnoted = parted
    await note()
  }

  async function note(): Promise<void> {
    if (unnoted === null) return
    try {
      await markPast(db, unnoted, clock.nowMs())
      unnoted = null
    } catch (error) {
      log.warn('restored.notMarked', { error: errorName(error) })
    }
  }

  /** Whether another process has found it before. What is missing is told as that one saw it. */
  async function hearOfMark(): Promise<void> {
    const mark = (await isMarked(db)) ? await loadMark(db) : null
    if (mark) tell((await compareWith(db, checkpointsIn(mark, instance))).parted)
  }

  async function write(isLast: boolean): Promise<void> {
    const entries = await countChained(db)
    // Whatever the folder says: what is remembered here is of a longer past than the database has.
    if (entries < last.entries) return fall(await partedNow())
    if (isLast ? entries === last.entries : !isDueAt(entries, last)) return
    const { kept } = await folder.read(instance)
    const atMs = clock.nowMs()
    const { parted, heads } = await compareWith(db, checkpointsOf(kept))
    if (parted.length > 0) return fall(parted)
    const newest = newestOf(kept)
    // Another process was here a moment ago.
    if (newest && !isLast && !isDueAt(entriesIn({ heads }), newest)) {
      last = newest
      return
    }
    const acceptedAtMs = kept.reduce<number | null>((latest, { checkpoint }) => later(latest, checkpoint), null)
    const made = await folder.write({ instance, atMs, acceptedAtMs, heads })
    last = { entries: entriesIn(made.checkpoint), atMs, bytes: made.bytes }
    // Each of them was compared: the new one says as much and more.
    await folder.remove(kept.map(({ name }) => name))
  }

  /** What can be told of what is missing; nothing where the folder doesn't say. */
  async function partedNow(): Promise<readonly Parted[]> {
    try {
      return (await compareWith(db, checkpointsOf((await folder.read(instance)).kept))).parted
    } catch {
      return []
    }
  }

  async function attempt(isLast: boolean): Promise<void> {
    try {
      await write(isLast)
    } catch (error) {
      // That the database is away is told where it is asked for, and is no fault of the folder. It may come back as another server, and what that
      // one acknowledges first is what is most easily lost: so no time is let go by.
      if (isTransient(error)) return
      againAtMs = clock.monotonicMs() + AGAIN_AFTER_MS
      failures += 1
      const about = { error: errorName(error), failures, folder: folder.path }
      // While it runs this is easily mended; with such a file there it would not start again.
      if (error instanceof UnreadableCheckpoint) log.error('checkpoint.unreadable', { ...about, says: error.message })
      else log.warn('checkpoint.failed', about)
    }
  }

  const { kept, strangers } = await folder.read(instance)
  const { parted } = await compareWith(db, checkpointsOf(kept))
  const newest = newestOf(kept)
  if (parted.length > 0) await fall(parted)
  else await hearOfMark()
  if (newest) last = newest
  else log.info('checkpoint.none', { folder: folder.path })
  if (strangers > 0) log.warn('checkpoint.foreign', { files: strangers, folder: folder.path })
  if (newest) log.debug('checkpoint.compared', { of: isoOf(newest.atMs), chains: newest.chains })

  return {
    get isFromPast() {
      return past.signal.aborted
    },
    past: past.signal,
    get failures() {
      return failures
    },
    async turn() {
      if (past.signal.aborted) return note()
      try {
        await hearOfMark()
      } catch (error) {
        if (!isTransient(error))
          log.warn('checkpoint.failed', { error: errorName(error), failures, folder: folder.path })
      }
      if (!past.signal.aborted && clock.monotonicMs() >= againAtMs) await attempt(false)
    },
    async close() {
      if (past.signal.aborted) return
      const isDone = await withinMs(CLOSING_MAX_MS, attempt(true))
      if (isDone === 'late')
        log.warn('checkpoint.failed', { error: 'late', failures: failures + 1, folder: folder.path })
    },
  }
}

type Kept = Awaited<ReturnType<CheckpointFolder['read']>>['kept']

const checkpointsOf = (kept: Kept) => kept.map(({ checkpoint }) => checkpoint)

/** The one that has seen most. */
function newestOf(kept: Kept) {
  const all = kept.map(({ checkpoint, bytes }) => {
    const { atMs, heads } = checkpoint
    return { entries: entriesIn(checkpoint), atMs, bytes, chains: heads.length }
  })
  return all.toSorted((a, b) => b.entries - a.entries)[0] ?? null
}

const later = (latest: number | null, { acceptedAtMs }: { readonly acceptedAtMs: number | null }): number | null =>
  acceptedAtMs === null || (latest !== null && latest > acceptedAtMs) ? latest : acceptedAtMs
