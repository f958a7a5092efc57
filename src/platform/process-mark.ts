/**
 * Who holds something, written so that another process can tell later whether its holder still lives.
 *
 * A number of a process alone is not enough: after a restart of the machine, or of a container whose only process is always
 * number 1, the same number belongs to somebody else. Says `dead` only when that is certain.
 */
import { readFileSync, readlinkSync } from 'node:fs'

export interface ProcessMark {
  readonly pid: number
  /** Changes with every start of the machine; null where the system doesn't tell (only Linux does). */
  readonly bootId: string | null
  /** The space in which `pid` has its meaning; containers have their own. */
  readonly pidNamespace: string | null
  /** When the process started, in ticks since the start of the machine. */
  readonly startTicks: string | null
}

/** `hidden`: in another container on this machine, where we can't look. */
export type Life = 'living' | 'dead' | 'hidden'

export const ownMark = (): ProcessMark => ({
  pid: process.pid,
  bootId: textOrNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
  pidNamespace: textOrNull(() => readlinkSync('/proc/self/ns/pid')),
  startTicks: statOf(process.pid)?.startTicks ?? null,
})

/** Whether the process of a mark still lives, as far as this process can see. */
export function lifeOf(mark: ProcessMark, own: ProcessMark = ownMark()): Life {
  if (mark.bootId !== null && own.bootId !== null && mark.bootId !== own.bootId) return 'dead'
  if (mark.pidNamespace !== own.pidNamespace) return 'hidden'
  if (!answers(mark.pid)) return 'dead'
  const stat = statOf(mark.pid)
  if (stat === null) return 'living'
  if (stat.state === 'Z' || stat.state === 'X') return 'dead'
  return mark.startTicks === null || mark.startTicks === stat.startTicks ? 'living' : 'dead'
}

/** Whether anything with this number runs. Signal 0 is sent to nobody; a refusal means that somebody is there. */
function answers(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH')
  }
}

/** State and start of a process as Linux tells them (proc(5), /proc/pid/stat, fields 3 and 22), or null. */
function statOf(pid: number): { state: string; startTicks: string } | null {
  const stat = textOrNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The name of the program stands in parentheses, and may hold spaces and parentheses of its own.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, startTicks] = [fields?.[0], fields?.[19]]
  return state === undefined || startTicks === undefined ? null : { state, startTicks }
}

function textOrNull(read: () => string): string | null {
  try {
    return read()
  } catch {
    return null
  }
}
