/**
 * How many deliveries are under way and at whose cost, and which hosts are left alone for a while. Pure: whoever asks says what time it is.
 *
 * Two pools, so that hosts that hang hold up nobody: lanes that went well the last time share the large one; lanes that failed, or whose
 * host never answered well, share the small one. In either, one community has no more than its share.
 */

import type { Did } from '../names.ts'
import type { Counted } from '../platform/sizes.ts'

export type PoolName = 'sound' | 'doubtful'

interface Pool {
  readonly atOnce: number
  readonly ofCommunity: number
}

/** A sound lane that is taken may still wait for its call; of the doubtful ones each calls at once. */
export const POOLS: Readonly<Record<PoolName, Pool>> = {
  sound: { atOnce: 1_536, ofCommunity: 1_024 },
  doubtful: { atOnce: 64, ofCommunity: 16 },
}

/** One host at once, over all lanes: as many as there are connections to it, so that no call waits in a line while its time runs. */
export const OF_HOST = 16

/** What a delivery occupies. `isAlone`: nobody else may call that host meanwhile, as far as it is doubtful. */
export interface Place {
  readonly community: Did
  readonly host: string
  readonly isAlone: boolean
}

export interface Slots {
  /** How many more may start now. */
  room(pool: PoolName): number
  /** What each community has under way. */
  used(pool: PoolName): ReadonlyMap<Did, number>
  /** How many call each host. */
  usedHosts(): ReadonlyMap<string, number>
  /** Hosts that are called by somebody who has to be alone there. */
  lonelyHosts(): readonly string[]
  /** Takes a place, and answers how to give it back; twice is as good as once. */
  take(pool: PoolName, place: Place): () => void
}

export function openSlots(pools: Readonly<Record<PoolName, Pool>> = POOLS): Slots {
  const taken = { sound: 0, doubtful: 0 }
  const used = { sound: new Map<Did, number>(), doubtful: new Map<Did, number>() }
  const hosts = new Map<string, number>()
  const lonely = new Map<string, number>()
  return {
    room: (pool) => Math.max(0, pools[pool].atOnce - taken[pool]),
    used: (pool) => used[pool],
    usedHosts: () => hosts,
    lonelyHosts: () => [...lonely.keys()],
    take(pool, { community, host, isAlone }) {
      taken[pool] += 1
      count(used[pool], community, 1)
      count(hosts, host, 1)
      if (isAlone) count(lonely, host, 1)
      let isGivenBack = false
      return () => {
        if (isGivenBack) return
        isGivenBack = true
        taken[pool] -= 1
        count(used[pool], community, -1)
        count(hosts, host, -1)
        if (isAlone) count(lonely, host, -1)
      }
    },
  }
}

function count<Key>(counts: Map<Key, number>, key: Key, more: number): void {
  const now = (counts.get(key) ?? 0) + more
  if (now > 0) counts.set(key, now)
  else counts.delete(key)
}

/** The waits after one failure, two, three, … in a row. */
interface Waits {
  readonly firstMs: number
  readonly mostMs: number
}

const LANE_WAITS: Waits = { firstMs: 1_000, mostMs: 15 * 60_000 }
/** Shorter at the most than a lane's own: it is one call, and all lanes of the host wait for it. */
const HOST_WAITS: Waits = { firstMs: 1_000, mostMs: 60_000 }

/** Half of the wait is chance, so that what failed together doesn't come back together. `chance` is from 0 up to 1. */
function waitMs({ firstMs, mostMs }: Waits, failures: number, chance: number): number {
  const wholeMs = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30))
  return Math.round(wholeMs * (0.5 + chance / 2))
}

/** How long a lane waits after so many failures in a row (1 or more). */
export const laneWaitMs = (failures: number, chance: number): number => waitMs(LANE_WAITS, failures, chance)

/** Which hosts are left alone, by what came of calling them over all lanes. */
export interface Breaker {
  /** It answered, well or not: somebody is there. */
  answered(host: string): void
  failed(host: string, nowMs: number, chance: number): void
  /** Hosts that failed too often in a row. Only one at a time may call such a host, to see whether it is well again. */
  openHosts(): readonly string[]
  /** Those among them whom nobody calls yet. */
  restingHosts(nowMs: number): readonly string[]
}

/** Failures in a row. */
const OPENS_AFTER = 5
/** Hosts remembered. The one that failed longest ago is forgotten first, and starts anew. */
const HOSTS_MAX = 4_096

export function openBreaker({ hostsMax = HOSTS_MAX } = {}, counted?: Counted): Breaker {
  const failing = new Map<string, { readonly failures: number; readonly untilMs: number }>()
  counted?.(hostsMax, () => failing.size)
  const open = () => [...failing].filter(([, { failures }]) => failures >= OPENS_AFTER)
  return {
    answered(host) {
      failing.delete(host)
    },
    failed(host, nowMs, chance) {
      const failures = (failing.get(host)?.failures ?? 0) + 1
      const untilMs = failures < OPENS_AFTER ? 0 : nowMs + waitMs(HOST_WAITS, failures - OPENS_AFTER + 1, chance)
      failing.delete(host)
      failing.set(host, { failures, untilMs })
      if (failing.size <= hostsMax) return
      for (const oldest of failing.keys()) {
        failing.delete(oldest)
        return
      }
    },
    openHosts: () => open().map(([host]) => host),
    restingHosts: (nowMs) =>
      open()
        .filter(([, { untilMs }]) => untilMs > nowMs)
        .map(([host]) => host),
  }
}

/** How often one lane is told of the same repo. Who writes fast makes us send no faster. */
export interface RepoPace {
  /** How long the lane still has to wait before it is told of the repo; 0: not at all. */
  leftMs(lane: number, repo: Did, nowMs: number): number
  told(lane: number, repo: Did, nowMs: number): void
}

const REPO_PAUSE_MS = 1_000
const REPOS_MAX = 100_000

export function openRepoPace({ reposMax = REPOS_MAX } = {}, counted?: Counted): RepoPace {
  /** In the order in which they were told, so that what is over is found at the front. */
  const toldAtMs = new Map<string, number>()
  counted?.(reposMax, () => toldAtMs.size)
  const keyOf = (lane: number, repo: Did) => `${lane} ${repo}`
  return {
    leftMs(lane, repo, nowMs) {
      const atMs = toldAtMs.get(keyOf(lane, repo))
      return atMs === undefined ? 0 : Math.max(0, atMs + REPO_PAUSE_MS - nowMs)
    },
    told(lane, repo, nowMs) {
      const key = keyOf(lane, repo)
      toldAtMs.delete(key)
      toldAtMs.set(key, nowMs)
      for (const [oldest, atMs] of toldAtMs) {
        if (atMs + REPO_PAUSE_MS > nowMs && toldAtMs.size <= reposMax) return
        toldAtMs.delete(oldest)
      }
    },
  }
}
