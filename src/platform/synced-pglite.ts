/**
 * PGlite that writes its commits down for good, and that stays dead once it has failed.
 *
 * By itself it makes no `fsync` at all, and after a crash inside it the next call never comes back. Both are mended from
 * outside, on inner parts of it: the version is pinned, and every start proves that the mending still holds.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PGlite, type PGliteOptions, type postgresMod } from '@electric-sql/pglite'
import { NodeFS } from '@electric-sql/pglite/nodefs'
import { SCALAR_PARSERS } from './sql-types.ts'

/** Makes what was written to an open file outlive a power cut, or throws. */
export type Fsync = (file: number) => void

const START_PARAMS = [
  // `-F` is "no fsync".
  ...PGlite.defaultStartParams.filter((param) => param !== '-F'),
  ...['-c', 'fsync=on', '-c', 'wal_sync_method=fsync', '-c', 'shared_buffers=8MB'],
]
/** The answer of a system call that failed at the device, as WASI numbers it. */
const WASI_EIO = 29

/** The first thing that went wrong for good, or null. What failed once is never asked again. */
export interface Health {
  failure: unknown
}

/** PGlite that stops when it has failed; by itself its next call after such an end never comes back. */
class MortalPglite extends PGlite {
  readonly #health: Health

  constructor(options: PGliteOptions, health: Health) {
    super(options)
    this.#health = health
  }

  override execProtocolRawSync(message: Uint8Array): Uint8Array {
    if (this.#health.failure !== null)
      throw new Error('the embedded database has stopped', { cause: this.#health.failure })
    return super.execProtocolRawSync(message)
  }
}

export async function openPglite(options: PGliteOptions, health: Health): Promise<PGlite> {
  const pglite = new MortalPglite({ ...options, startParams: START_PARAMS, parsers: { ...SCALAR_PARSERS } }, health)
  await pglite.waitReady
  return pglite
}

/** PGlite's files in a directory, with the one call that its file system lacks. */
export class SyncedFiles extends NodeFS {
  readonly #fsync: Fsync
  readonly #health: Health
  count = 0

  constructor(directory: string, fsync: Fsync, health: Health) {
    super(directory)
    this.#fsync = fsync
    this.#health = health
  }

  override async init(pglite: PGlite, options: Partial<postgresMod.PostgresMod>) {
    const { emscriptenOpts } = await super.init(pglite, options)
    const attach = (module: postgresMod.PostgresMod) => {
      streamOperationsOf(module.NODEFS).fsync = ({ nfd }: { nfd: number }) => this.#sync(nfd)
    }
    const onAbort = () => {
      this.#health.failure ??= new Error('the embedded database crashed')
    }
    return { emscriptenOpts: { ...emscriptenOpts, onAbort, preRun: [...(emscriptenOpts.preRun ?? []), attach] } }
  }

  /** Never throws: an exception would tear through the compiled code and be swallowed there, and the commit acknowledged. */
  #sync(file: number): number {
    this.count++
    try {
      this.#fsync(file)
      return 0
    } catch (error) {
      this.#health.failure ??= error ?? new Error('fsync failed')
      return WASI_EIO
    }
  }
}

function streamOperationsOf(nodefs: unknown): Record<string, unknown> {
  if (typeof nodefs === 'object' && nodefs !== null && 'stream_ops' in nodefs && isRecord(nodefs.stream_ops)) {
    return nodefs.stream_ops
  }
  throw new Error('this version of PGlite has no place for fsync')
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/**
 * Proves at every start that a commit waits for the disk. The hook hangs on an inner part of PGlite; if an update moved it,
 * everything would still work, and be lost with the power.
 */
export async function requireSynced(pglite: PGlite, files: SyncedFiles, health: Health): Promise<void> {
  const before = files.count
  try {
    await pglite.query(`select pg_logical_emit_message(true, 'reeve', 'a commit that must reach the disk')`)
    if (files.count > before && health.failure === null) return
    if (health.failure === null) await pglite.close()
  } catch (error) {
    health.failure ??= error
  }
  throw new Error('the embedded database does not write its commits to the disk', { cause: health.failure })
}

/** Makes a new database beside its place and puts it there when all of it is on the disk, so that there is never half of one. */
export async function createWhole(directory: string): Promise<void> {
  const draft = `${directory}.new`
  rmSync(draft, { recursive: true, force: true })
  mkdirSync(draft, { mode: 0o700 })
  const health: Health = { failure: null }
  const pglite = await openPglite({ fs: new SyncedFiles(draft, fsyncSync, health) }, health)
  await pglite.close()
  syncTree(draft)
  renameSync(draft, directory)
  syncPath(dirname(directory))
}

function syncTree(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) syncTree(path)
    else syncPath(path)
  }
  syncPath(directory)
}

function syncPath(path: string): void {
  // Windows opens no directories; its file systems keep names without being asked.
  if (process.platform === 'win32') return
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
