/**
 * The embedded database: PostgreSQL compiled to WebAssembly (PGlite), one connection, inside this process.
 *
 * Every commit is answered after a real `fsync`, and only one process opens the directory. After one failed `fsync` nothing
 * more is acknowledged until a restart has read the disk again, because the system may have dropped what it could not write.
 */
import { existsSync, fsyncSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Mutex, type PGlite, type Results } from '@electric-sql/pglite'
import { Unavailable } from '../refusals.ts'
import { lockDirectory } from './directory-lock.ts'
import { KeptStatements } from './kept-statements.ts'
import { errorName, type Log } from './log.ts'
import { answerOf, type Engine, type Session } from './sql-driver.ts'
import { NAMES_MAX, StatementNames } from './statement-names.ts'
import { createWhole, type Fsync, type Health, openPglite, requireSynced, SyncedFiles } from './synced-pglite.ts'
import { enterConnection } from './transaction-scope.ts'

/**
 * Opens `<dataDir>/database`, made at the first start, under the lock of `dataDir`.
 *
 * @throws DirectoryHeld when another process has it.
 * @throws Error when commits would not reach the disk, or the files can't be opened.
 */
export async function openEmbedded(options: { dataDir: string; log: Log; fsync?: Fsync }): Promise<Engine> {
  const { dataDir, log, fsync = fsyncSync } = options
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  const lock = await lockDirectory(dataDir)
  try {
    const directory = join(dataDir, 'database')
    if (!existsSync(directory)) await createWhole(directory)
    const health: Health = { failure: null }
    const files = new SyncedFiles(directory, fsync, health)
    const pglite = await openPglite({ fs: files }, health).catch((error: unknown) => {
      throw new Error(`the embedded database in ${directory} can't be opened (${describeFiles(directory)})`, {
        cause: error,
      })
    })
    await requireSynced(pglite, files, health)
    return engineOf(pglite, log, health, () => lock.release())
  } catch (error) {
    lock.release()
    throw error
  }
}

/** A database that lives and dies with this process, started from a dump of another one if there is one: for tests. */
export async function openInMemory(log: Log, dump?: Blob): Promise<Engine & { dump(): Promise<Blob> }> {
  const health: Health = { failure: null }
  const pglite = await openPglite(dump ? { loadDataDir: dump } : {}, health)
  return { ...engineOf(pglite, log, health, () => {}), dump: () => pglite.dumpDataDir('none') }
}

/** What a person needs to know about files that can't be opened. */
function describeFiles(directory: string): string {
  const version = join(directory, 'PG_VERSION')
  return existsSync(version) ? `files of PostgreSQL ${readFileSync(version, 'utf8').trim()}` : 'no PG_VERSION in it'
}

/** One connection, one user at a time: who wants it waits until the transaction or statement before has ended. */
function engineOf(pglite: PGlite, log: Log, health: Health, onClosed: () => void): Engine {
  const turns = new Mutex()
  const names = new StatementNames(NAMES_MAX, () => log.warn('database-statements-not-kept'))
  const statements = new KeptStatements(pglite, names)
  let isTold = false
  let closing: Promise<void> | null = null

  const requireSound = () => {
    if (health.failure === null) return
    if (!isTold) log.error('embedded-database-failed', { error: errorName(health.failure) })
    isTold = true
    throw new Unavailable('NotEnoughResources', 'database', { cause: health.failure })
  }

  /** What has a name is read and planned once; what is beyond the bound of names, each time. */
  const ask = async (text: string, values: readonly unknown[]) =>
    (await statements.query(text, values)) ?? answerOfResults(await pglite.query<object>(text, [...values]))

  async function query(text: string, values: readonly unknown[]) {
    requireSound()
    try {
      const answer = values.length > 0 ? await ask(text, values) : answerOfResults(await execute(pglite, text))
      requireSound()
      return answer
    } catch (error) {
      if (isFatal(error)) health.failure ??= error
      requireSound()
      throw error
    }
  }

  async function acquire(): Promise<Session> {
    const leave = enterConnection(pglite)
    const giveBack = await turns.acquire()
    return {
      query,
      release(isDoubtful) {
        if (isDoubtful) health.failure ??= new Error('a transaction could not be ended')
        leave()
        giveBack()
      },
    }
  }

  async function close(): Promise<void> {
    const giveBack = await turns.acquire()
    try {
      if (health.failure === null) {
        await pglite.exec('checkpoint')
        await pglite.close()
      }
    } catch (error) {
      // What was acknowledged is in the log files already; the next start reads them.
      log.warn('embedded-database-not-closed-cleanly', { error: errorName(error) })
    } finally {
      health.failure ??= new Error('closed')
      isTold = true
      giveBack()
      onClosed()
    }
  }

  return {
    name: 'embedded',
    connectionsMax: 1,
    acquire,
    close() {
      closing ??= close()
      return closing
    },
  }
}

const answerOfResults = (result: Results<object> | undefined) =>
  answerOf(result?.command ?? '', result?.rows ?? [], result?.rowCount)

const execute = async (pglite: PGlite, text: string): Promise<Results<object> | undefined> =>
  (await pglite.exec(text)).at(-1) as Results<object> | undefined

/** Errors after which the database has stopped: PostgreSQL's own two kinds, and a crash of the compiled code. */
const isFatal = (error: unknown): boolean =>
  error instanceof Error &&
  (error.name === 'RuntimeError' || ('severity' in error && (error.severity === 'PANIC' || error.severity === 'FATAL')))
