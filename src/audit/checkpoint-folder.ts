/**
 * The folder of checkpoints: each is a file that appears whole under a name of its own, and is never written again.
 *
 * So any number of processes may use one folder: nobody's file is replaced, and whoever removes one has read it, and has written another that
 * says more. A process that dies in the middle leaves what was there, and a draft that nobody reads.
 */
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isoOf } from '../platform/clock.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { CHECKPOINT_MAX_BYTES, type Checkpoint, NoCheckpoint, parseCheckpoint, textOfCheckpoint } from './checkpoint.ts'

/** A checkpoint in its file, of so many bytes. */
export interface KeptCheckpoint {
  readonly name: string
  readonly bytes: number
  readonly checkpoint: Checkpoint
}

/** A file or the folder can't be read: nobody can tell what stands in it. The message names it and what to do. */
export class UnreadableCheckpoint extends Error {
  override readonly name = 'UnreadableCheckpoint'

  constructor(path: string, why: string) {
    super(
      `the checkpoint ${path} can't be read (${why}). Without it nobody can tell whether this database is an old one: ` +
        'put a good copy of it back or, if you know that the database is the newest one, move it away',
    )
  }
}

export interface CheckpointFolder {
  readonly path: string
  /** Those of this instance, the oldest first, and how many there are of others. @throws UnreadableCheckpoint */
  read(instance: string): Promise<{ readonly kept: readonly KeptCheckpoint[]; readonly strangers: number }>
  /** Makes a file that only its owner may read, on the disk when this is done. @throws Error of the system */
  write(checkpoint: Checkpoint): Promise<KeptCheckpoint>
  /** Removes files that another one says more than. */
  remove(names: readonly string[]): Promise<void>
  /** Moves files to a folder within, where nobody reads them, and answers its path. */
  setAside(names: readonly string[]): Promise<string>
}

const NAME = /^checkpoint-[0-9TZ]+-[0-9a-f]{16}\.json$/
const DRAFT = /^\.checkpoint-.*\.new$/
/** How often the folder is looked through when files go meanwhile, which happens some seconds apart. */
const TRIES_MAX = 100
/** Nobody writes at one for so long. */
const DRAFT_KEPT_MS = 60 * 60_000

export const checkpointFolder = (path: string, random: Random, known: Known = new Map()): CheckpointFolder => ({
  path,
  async read(instance) {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const all = await readAll(path, known)
      if (all === null) continue
      const kept = all.filter(({ checkpoint }) => checkpoint.instance === instance)
      return {
        kept: kept.toSorted((a, b) => a.checkpoint.atMs - b.checkpoint.atMs),
        strangers: all.length - kept.length,
      }
    }
    throw new UnreadableCheckpoint(path, 'files in it come and go all the time')
  },
  async write(checkpoint) {
    const text = textOfCheckpoint(checkpoint)
    const name = `checkpoint-${isoOf(checkpoint.atMs).replace(/[-:.]/g, '')}-${randomHex(random, 8)}.json`
    await mkdir(path, { recursive: true, mode: 0o700 })
    await removeOldDrafts(path, checkpoint.atMs)
    await writeWhole(path, name, text)
    const kept = { name, bytes: Buffer.byteLength(text), checkpoint }
    const file = await lookAt(join(path, name))
    if (file) known.set(name, { ...kept, file })
    return kept
  },
  async remove(names) {
    for (const name of names) await rm(join(path, name), { force: true })
  },
  async setAside(names) {
    const aside = join(path, 'aside')
    await mkdir(aside, { recursive: true, mode: 0o700 })
    for (const name of names) await rename(join(path, name), join(aside, name))
    await syncFolder(path)
    await syncFolder(aside)
    return aside
  },
})

/** Files that were read or written before, by their names. To read one takes as long as all else that is done with it. */
type Known = Map<string, KeptCheckpoint & { readonly file: string }>

/** What says that a file is the one it was: a file is made once, and whoever touches it leaves a trace here. Null: it isn't there. */
async function lookAt(path: string): Promise<string | null> {
  const status = await stat(path).catch(() => null)
  return status && [status.dev, status.ino, status.size, status.mtimeMs, status.ctimeMs].join()
}

/** Every file there, or null when one of them went meanwhile: then another has come, which may say more than all that were seen. */
async function readAll(path: string, known: Known): Promise<readonly KeptCheckpoint[] | null> {
  const all: KeptCheckpoint[] = []
  const names = await namesIn(path)
  for (const name of known.keys()) if (!names.includes(name)) known.delete(name)
  for (const name of names) {
    const file = await lookAt(join(path, name))
    const before = known.get(name)
    if (before && before.file === file) {
      all.push(before)
      continue
    }
    const found = await readCheckpoint(join(path, name))
    if (found === null) return null
    const kept = { name, ...found }
    if (file) known.set(name, { ...kept, file })
    all.push(kept)
  }
  return all
}

/** One file, or null when it was taken away meanwhile. @throws UnreadableCheckpoint */
export async function readCheckpoint(path: string): Promise<Omit<KeptCheckpoint, 'name'> | null> {
  try {
    const { size } = await stat(path)
    if (size > CHECKPOINT_MAX_BYTES) throw new NoCheckpoint('it is too long')
    const text = await readFile(path, 'utf8')
    return { bytes: size, checkpoint: parseCheckpoint(text) }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    throw new UnreadableCheckpoint(path, error instanceof NoCheckpoint ? error.why : codeOf(error))
  }
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).filter((name) => NAME.test(name))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw new UnreadableCheckpoint(path, codeOf(error))
  }
}

/** The file has its name only when all of it is on the disk, and this is done only when the name is. */
async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const draft = join(folder, `.${name}.new`)
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, join(folder, name))
    await syncFolder(folder)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw error
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function removeOldDrafts(path: string, nowMs: number): Promise<void> {
  for (const name of (await readdir(path)).filter((one) => DRAFT.test(one))) {
    const found = await stat(join(path, name)).catch(() => null)
    if (found && nowMs - found.mtimeMs > DRAFT_KEPT_MS) await rm(join(path, name), { force: true })
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
