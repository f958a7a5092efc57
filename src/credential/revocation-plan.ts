/**
 * Which hosts are told that credentials were taken back, and when a call to one of them is free. Pure.
 *
 * A host keeps what it is told for an hour, and takes only so much of it for each space and so many calls. A credential lives ten minutes
 * at most. So a large taking-back is waited out wherever it would leave too little room: whoever is banned afterwards is worth
 * more than thousands who would be forgotten by themselves (0016 §Credential revocation).
 */
import type { HostCap, HostCaps } from '../platform/config.ts'

/** For whom nobody set anything: as the reference takes it. */
const DEFAULT_CAP: HostCap = { live: 1_000, calls: 10 }
/** A host keeps a name for 3,610 s from when it hears it, which is up to one time limit after it was sent. */
export const KEPT_MS = 3_620_000
/** Ten minutes in which calls are counted, and the same margin. */
export const CALLS_WINDOW_MS = 610_000
/** Names in one call. */
export const BATCH_MAX = 100
/** What ends within so many seconds ends as soon as a call could be made. */
export const WORTH_SEC = 5
/** So few are told while there is any room for them. */
const SMALL_MAX = 10
/** What is found within this is one taking-back: it is found page by page. */
export const TOGETHER_MS = 60_000
/** Notices that one plan writes. The hosts for which there would be more wait. */
export const NOTICES_MAX = 20_000
/** More credentials of one space than this are never told of at once. */
export const TAKEN_MAX = 5_000
/** Hosts of one space that are looked at. */
export const HOSTS_MAX = 2_000
/** The longest name that a host can have, with its port. Whoever wrote chose it, and no table holds any length. */
export const HOST_NAME_MAX_CHARS = 259

export const capOf = (caps: HostCaps, host: string): HostCap => caps.get(host) ?? caps.get('*') ?? DEFAULT_CAP

/** The name of a host, with its port where it has one: of an address, or the name as it is. */
export const hostNameOf = (text: string): string => (URL.canParse(text) ? new URL(text).host || text : text)

export type HostVerdict = 'tell' | 'wait' | 'cannot'

export interface HostFacts {
  readonly host: string
  readonly cap: HostCap
  /** Names of this space that it keeps or is about to be sent. */
  readonly held: number
  /** Those of them that were planned within the last minute. */
  readonly recent: number
  /** It said lately that it doesn't take such calls about this space. */
  readonly isDeaf: boolean
}

export interface PlanFacts {
  /** Credentials of one space, newly taken back, that still live long enough to be worth a call. */
  readonly count: number
  readonly hosts: readonly HostFacts[]
  /** Somebody wrote there whose host nobody knows, or there are more hosts than are looked at. */
  readonly hasOthers: boolean
}

/** `none`: no host has anything of the space. `wait`, `cannot`: what holds for at least one host, the worse of both. */
export interface Plan {
  readonly hosts: 'none' | HostVerdict
  readonly verdicts: ReadonlyMap<string, HostVerdict>
}

/**
 * The verdict for each host and for all. With no hosts there is nobody to tell; a host that nobody knows can't be told, so its readers
 * wait for the end. Where nothing is worth a call everybody waits.
 */
export function planRevocations({ count, hosts, hasOthers }: PlanFacts): Plan {
  const hostsMax = Math.floor(NOTICES_MAX / Math.max(1, count))
  const verdicts = new Map<string, HostVerdict>()
  let told = 0
  for (const facts of hosts) {
    const verdict = verdictFor(count, facts)
    const isTold = verdict === 'tell' && told < hostsMax
    if (isTold) told += 1
    verdicts.set(facts.host, verdict === 'tell' && !isTold ? 'wait' : verdict)
  }
  const all = new Set(verdicts.values())
  if (all.has('cannot')) return { hosts: 'cannot', verdicts }
  if (all.has('wait') || hasOthers) return { hosts: 'wait', verdicts }
  return { hosts: all.size === 0 ? 'none' : 'tell', verdicts }
}

function verdictFor(count: number, { cap, held, recent, isDeaf }: HostFacts): HostVerdict {
  if (isDeaf) return 'cannot'
  const room = cap.live - held
  if (count === 0 || count > room || cap.calls === 0) return 'wait'
  if (count <= SMALL_MAX) return 'tell'
  // As if those of the last minute came together with these: the room is the one that was there before them.
  return 2 * (recent + count) <= room + recent ? 'tell' : 'wait'
}

/** When the next call is free, by the times of calls before; now, when one is. Null: none ever is. */
export function freeAtMs(callsAtMs: readonly number[], cap: HostCap, nowMs: number): number | null {
  if (cap.calls === 0) return null
  const counted = callsAtMs.filter((atMs) => atMs > nowMs - CALLS_WINDOW_MS).sort((one, other) => other - one)
  const oldest = counted[cap.calls - 1]
  return oldest === undefined ? nowMs : oldest + CALLS_WINDOW_MS
}

/**
 * Whether somebody may have one more of what there is `all` of: nobody takes more than they leave, so that there is some for whoever comes
 * after them. `own`: what they have; `used`: what everybody has together.
 */
export const mayHaveMore = (own: number, used: number, all: number): boolean => own < all - used

/** The longest pause after a failure. */
export const PAUSE_MAX_MS = 60_000

/** From 1 s to a minute, doubling; between the half of it and all of it, so that not everybody comes back at once. */
export function pauseMs(failures: number, chance: number): number {
  const wholeMs = Math.min(PAUSE_MAX_MS, 1_000 * 2 ** Math.min(failures - 1, 10))
  return Math.round(wholeMs * (0.5 + chance / 2))
}
