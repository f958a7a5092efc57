/** A program in the background, as a service of the machine would run it: it may be killed, stand still, and be started again where it was. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readdirSync, readFileSync } from 'node:fs'

export interface Account {
  readonly uid: number
  readonly gid: number
}

export interface DaemonOptions {
  readonly program: string
  readonly args: readonly string[]
  /** Whose it is; that of this process when null. */
  readonly account: Account | null
  readonly cwd: string
  readonly log: string
}

export class Daemon {
  readonly #options: DaemonOptions
  #child: ChildProcess | null = null

  constructor(options: DaemonOptions) {
    this.#options = options
  }

  get pid(): number | null {
    const child = this.#child
    return child && child.exitCode === null && child.signalCode === null ? (child.pid ?? null) : null
  }

  start(): void {
    if (this.pid !== null) throw new Error(`${this.#options.program} runs already`)
    const { program, args, account, cwd, log } = this.#options
    const out = openSync(log, 'a')
    this.#child = spawn(program, args, {
      ...{ cwd, stdio: ['ignore', out, out], ...account },
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', HOME: cwd },
    })
    // A program that can't be started is seen by what it doesn't do.
    this.#child.on('error', () => {})
  }

  signal(name: NodeJS.Signals): void {
    if (this.pid !== null) this.#child?.kill(name)
  }

  async end(name: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!child || this.pid === null) return
    const ended = once(child, 'exit')
    child.kill(name)
    await ended
  }

  /** The end of what it wrote, for whoever wonders why it doesn't do what it should. */
  lastWords(): string {
    return readFileSync(this.#options.log, 'utf8').split('\n').slice(-15).join('\n')
  }
}

/** As which account servers run that refuse root; null where we aren't root. */
export function unprivileged(): Account | null {
  if (process.getuid?.() !== 0) return null
  const of = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }))
  return { uid: of('-u'), gid: of('-g') }
}

/** The processes whose parent this one is. */
export function childrenOf(pid: number): readonly number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  return all.map(Number).filter((one) => parentOf(one) === pid)
}

function parentOf(pid: number): number | null {
  try {
    // The name stands in brackets and may hold any letter; the parent is the second word after it.
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[1])
  } catch {
    return null
  }
}

/** Signals those that are still there. */
export function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name)
    } catch {
      // It has ended meanwhile.
    }
  }
}
