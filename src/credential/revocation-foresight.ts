/** What hosts elsewhere would be told, were some credentials taken back in this moment: the verdicts of the planner, on the facts of now. */
import { isoOf } from '../platform/clock.ts'
import type { HostCaps } from '../platform/config.ts'
import type { Tx } from '../platform/database.ts'
import type { LiveInSpace } from './ledger-store.ts'
import { planRevocations, WORTH_SEC } from './revocation-plan.ts'
import { loadHostFacts, loadWriterHosts } from './revocation-store.ts'
import { CREDENTIAL } from './token-classes.ts'

/** Spaces that are looked into. Where more are concerned, whoever asks is told that some wait. */
const SPACES_MAX = 50

export interface Foresight {
  /** `none`: no host has anything of these spaces. `tell`: all of them are told. `wait`: some only see the end. */
  readonly hosts: 'none' | 'tell' | 'wait'
  readonly hostCount: number
  /** Hosts that are told all of it that concerns them. */
  readonly toldCount: number
  /** By when everything has ended for everybody, whoever was told. */
  readonly latestEnd: ReturnType<typeof isoOf>
}

/** `live`: what is taken back, space by space. */
export async function foreseen(
  tx: Tx,
  { live, caps, nowMs }: { live: readonly LiveInSpace[]; caps: HostCaps; nowMs: number },
): Promise<Foresight> {
  const isTold = new Map<string, boolean>()
  let waits = live.length > SPACES_MAX
  for (const { space, count, untilSec } of live.slice(0, SPACES_MAX)) {
    const { writers, hasOthers } = await loadWriterHosts(tx, space)
    const names = writers.map(({ host }) => host)
    const hosts = await loadHostFacts(tx, { space, hosts: names, caps, nowMs })
    const isWorth = untilSec > nowMs / 1000 + WORTH_SEC
    const { hosts: all, verdicts } = planRevocations({ count: isWorth ? count : 0, hosts, hasOthers })
    waits ||= all === 'wait' || all === 'cannot'
    for (const [host, verdict] of verdicts) isTold.set(host, verdict === 'tell' && isTold.get(host) !== false)
  }
  const lastSec = Math.max(...live.map(({ untilSec }) => untilSec)) + CREDENTIAL.skewSec
  return {
    hosts: waits ? 'wait' : isTold.size === 0 ? 'none' : 'tell',
    hostCount: isTold.size,
    toldCount: [...isTold.values()].filter(Boolean).length,
    latestEnd: isoOf(lastSec * 1000),
  }
}
