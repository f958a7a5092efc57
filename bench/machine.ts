/** Where a run took place: the machine, the versions, and what else worked on its processors meanwhile. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import manifest from '../package.json' with { type: 'json' }
import { onServer } from './settings.ts'

const TICKS_PER_SEC = 100

export interface Versions {
  readonly reeve: string
  /** Null outside of a git checkout. `+` behind it: with changes that are not committed. */
  readonly commit: string | null
  readonly node: string
  readonly openssl: string
  readonly pglite: string
  /** Null where no server was asked. */
  readonly postgres: string | null
}

export async function versions(isPostgresAsked: boolean): Promise<Versions> {
  const [row] = isPostgresAsked ? await onServer('show server_version') : []
  return {
    reeve: manifest.version,
    commit: commit(),
    node: process.version,
    openssl: process.versions.openssl,
    pglite: manifest.dependencies['@electric-sql/pglite'],
    postgres: row ? String(row['server_version']) : null,
  }
}

export function commit(): string | null {
  const cwd = fileURLToPath(new URL('..', import.meta.url))
  const git = (...args: string[]) => execFileSync('git', args, { cwd, stdio: ['ignore', 'pipe', 'ignore'] }).toString()
  try {
    const isChanged = git('status', '--porcelain', '--untracked-files=no').trim() !== ''
    return git('rev-parse', '--short=12', 'HEAD').trim() + (isChanged ? '+' : '')
  } catch {
    return null
  }
}

export const machine = () => ({
  processors: cpus().length,
  model: cpus()[0]?.model.trim() ?? 'unknown',
  memoryGiB: Math.round(totalmem() / 2 ** 30),
})

/** What worked on the machine besides us while something was measured. */
export interface Surroundings {
  readonly seconds: number
  /** The load of the last minute, before and after. */
  readonly load: readonly [before: number, after: number]
  /**
   * Processors that were busy with neither our processes nor the database server's, on average. Null where nobody can say: on other
   * systems than Linux, and where the server is on another machine.
   */
  readonly foreignProcessors: number | null
}

/** Begins to watch; the function that it gives says what was seen. */
export function watchSurroundings(isPostgresAsked: boolean): () => Surroundings {
  const server = isPostgresAsked ? postmaster() : null
  const isSeen = process.platform === 'linux' && (!isPostgresAsked || server !== null)
  const foreignTicks = () => (isSeen ? busyTicks() - ticksOfTree(process.pid) - (server ? ticksOfTree(server) : 0) : 0)
  const [beforeLoad, beforeTicks, begunMs] = [loadavg()[0] ?? Number.NaN, foreignTicks(), performance.now()]
  return () => {
    const seconds = (performance.now() - begunMs) / 1_000
    const foreign = (foreignTicks() - beforeTicks) / TICKS_PER_SEC / seconds
    return {
      seconds,
      load: [beforeLoad, loadavg()[0] ?? Number.NaN],
      foreignProcessors: isSeen ? Math.max(0, foreign) : null,
    }
  }
}

/** The server's first process. Null where there is none on this machine, or more than one server. */
function postmaster(): number | null {
  if (process.platform !== 'linux') return null
  const first = processes().filter((pid) => {
    const stat = statOf(pid)
    return stat?.name === 'postgres' && statOf(stat.parent)?.name !== 'postgres'
  })
  return first.length === 1 ? (first[0] ?? null) : null
}

const processes = (): readonly number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0)

interface Stat {
  readonly name: string
  readonly parent: number
  /** Its own, and of those of its children that have ended. */
  readonly ticks: number
}

/** Null when it has ended. */
function statOf(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const end = text.lastIndexOf(')')
    const fields = text.slice(end + 2).split(' ')
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
    return { name: text.slice(text.indexOf('(') + 1, end), parent: Number(fields[1]), ticks }
  } catch {
    return null
  }
}

/** Of a process and everything that it started. */
function ticksOfTree(root: number): number {
  const stats = new Map(processes().map((pid) => [pid, statOf(pid)]))
  const isOfTree = (pid: number): boolean => {
    for (let at = pid, steps = 0; at > 1 && steps < 64; steps++) {
      if (at === root) return true
      at = stats.get(at)?.parent ?? 0
    }
    return false
  }
  let ticks = 0
  for (const [pid, stat] of stats) if (stat && isOfTree(pid)) ticks += stat.ticks
  return ticks
}

/** Of all processors, without what was idle, waited for disks, or was counted for guests already. */
function busyTicks(): number {
  const [first = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const [user = 0, nice = 0, system = 0, _idle, _iowait, irq = 0, softirq = 0, steal = 0] = first
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return user + nice + system + irq + softirq + steal
}
