/**
 * A PostgreSQL server of a test's own, which can be stopped in the middle of things as a crash or an update would stop it. The server that
 * other tests share can't.
 */
import { execFile, execFileSync } from 'node:child_process'
import { chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Secret } from '../../src/platform/secret.ts'
import { freePort } from './ports.ts'
import { eventually } from './waiting.ts'

const run = promisify(execFile)
const INSTALLED = '/usr/lib/postgresql'
const START_MAX_MS = 60_000

export interface OwnPostgres {
  readonly url: Secret<string>
  /** Ends every process of the server at once, as a crash does, and starts it again: it recovers from its log. */
  crash(): Promise<void>
  /** SIGKILL for its first process alone, whose children end when they see it gone. It stays down until `start`. */
  kill(): Promise<void>
  /** Stops it as an operator does, ending connections, and starts it again. */
  restart(): Promise<void>
  /** Stops it and leaves it so. */
  stop(): Promise<void>
  start(): Promise<unknown>
  /** Stops it and starts it as a standby with what it has: it shows that, and takes nothing. */
  follow(): Promise<void>
  /** Has a standby lead. */
  promote(): Promise<void>
  /** Whether its first process is there. */
  isRunning(): Promise<boolean>
  /** What it wrote into its log. */
  log(): Promise<string>
  drop(): Promise<void>
}

/** The newest server that is installed here, or null. */
async function programs(): Promise<string | null> {
  const versions = await readdir(INSTALLED).catch(() => [])
  const newest = versions
    .map(Number)
    .filter(Number.isFinite)
    .toSorted((a, b) => b - a)[0]
  return newest === undefined ? null : join(INSTALLED, String(newest), 'bin')
}

const bin = await programs()

/** Whether a server of one's own can be had here. */
export const hasOwnPostgres = bin !== null
if (!hasOwnPostgres) {
  const fault = `no PostgreSQL server is installed under ${INSTALLED}`
  if (process.env.CI === 'true' || process.env.REEVE_REQUIRE_POSTGRES === '1') throw new Error(fault)
  process.stderr.write(`${fault}: what is tried while a server stops is left out.\n`)
}

/** A program of PostgreSQL: of the newest server that is installed, or what the path has. */
export const postgresProgram = (name: string): string => (bin === null ? name : join(bin, name))

/** The server refuses to run as root, so root has it run as the account that it was installed with. */
function account(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null
  const of = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: of('-u'), gid: of('-g') }
}

/**
 * Makes one, running, with an empty database; its files in a folder of their own, `under` that of temporary files. `logUnder`: where its log of
 * what was written lies, in small pieces.
 */
export async function startOwnPostgres({
  under = tmpdir(),
  logUnder,
}: Partial<Record<'under' | 'logUnder', string>> = {}): Promise<OwnPostgres> {
  if (bin === null) throw new Error('no server is installed')
  const folder = await mkdtemp(join(under, 'reeve-postgres-'))
  const who = account()
  if (who) await chown(folder, who.uid, who.gid)
  const data = join(folder, 'data')
  const port = await freePort()
  const call = (program: string, ...args: string[]) => run(join(bin, program), args, { cwd: folder, ...who })
  const piecesIn = logUnder === undefined ? [] : [`--waldir=${join(logUnder, 'log')}`, '--wal-segsize=1']
  await call('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync', ...piecesIn)
  const few = logUnder === undefined ? '' : ' -c min_wal_size=2MB -c max_wal_size=8MB'
  const settings = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${folder}${few}`
  const start = async () => {
    await call('pg_ctl', '-D', data, '-w', '-l', join(folder, 'log'), '-o', settings, 'start')
  }
  const first = async () => Number((await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n', 1)[0])
  const stop = async (mode: 'fast' | 'immediate') => {
    await call('pg_ctl', '-D', data, '-w', '-m', mode, 'stop')
  }
  await start()
  return {
    url: new Secret(`postgres://postgres@127.0.0.1:${port}/postgres`),
    async crash() {
      await stop('immediate')
      await start()
    },
    async kill() {
      process.kill(await first(), 'SIGKILL')
    },
    async restart() {
      await stop('fast')
      await start()
    },
    stop: () => stop('fast'),
    // While children of one that was killed still end, their memory is in use.
    start: () =>
      eventually(
        'the server starts',
        () =>
          start().then(
            () => true,
            () => false,
          ),
        START_MAX_MS,
      ),
    async follow() {
      await stop('fast')
      await writeFile(join(data, 'standby.signal'), '')
      await start()
    },
    async promote() {
      await call('pg_ctl', '-D', data, '-w', 'promote')
    },
    isRunning: () =>
      call('pg_ctl', '-D', data, 'status').then(
        () => true,
        () => false,
      ),
    log: () => readFile(join(folder, 'log'), 'utf8'),
    async drop() {
      await stop('immediate').catch(() => {})
      await rm(folder, { recursive: true, force: true })
    },
  }
}
