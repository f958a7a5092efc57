/**
 * From a processor profile to stages: where the time of a process went, as shares.
 *
 * Time is counted where it was spent itself, not where it was asked for: a room that calls the database pays for the call, the
 * driver for the rest. Native code counts for the script that called it. A profile sees the main thread only.
 */
import type { Profiler } from 'node:inspector'

export type Profile = Pick<Profiler.Profile, 'nodes' | 'samples' | 'timeDeltas'>

export interface Shares {
  /** Of the wall time, while nothing ran. */
  readonly idle: number
  /** Of the time that was busy, by stage, the largest first. They add up to 1. */
  readonly stages: Readonly<Record<string, number>>
}

/** What has no place of its own among our files, by the V8 name of the frame. */
const WITHOUT_SCRIPT: Readonly<Record<string, string>> = {
  '(garbage collector)': 'gc',
  '(program)': 'program',
  '(idle)': 'idle',
}

/** Scripts, by the first that matches; `$1` is what the pattern found. */
const STAGES: readonly (readonly [script: RegExp, stage: string])[] = [
  [/\/node_modules\/(?!.*\/node_modules\/)((?:@[^/]+\/)?[^/]+)\//, '$1'],
  [/\/src\/platform\/(?:native-es256k|ecdsa)\.ts$/, 'platform/ecdsa'],
  [
    /\/src\/platform\/(?:database|database-trouble|embedded|postgres|sql-[\w-]+|synced-pglite|transaction-scope)\.ts$/,
    'platform/sql',
  ],
  [/\/src\/(platform\/[\w-]+)\.ts$/, '$1'],
  [/\/src\/(?:membership|policy)\//, 'membership+policy'],
  [/\/src\/([\w-]+)\//, '$1'],
  [/\/src\/([\w-]+)\.ts$/, '$1'],
  [/\/(bench|test)\//, '$1'],
  [/^node:(?:internal\/)?(?:crypto|webcrypto)\b/, 'node:crypto'],
  [/^node:(?:internal\/)?_?http/, 'node:http'],
  [/^node:(?:internal\/)?_?(?:net|stream|js_stream)/, 'node:net'],
  [/^node:/, 'node:other'],
]

/** The stage of a script, or null for native code and WebAssembly, which count for their caller. */
function stageOf(url: string): string | null {
  for (const [script, stage] of STAGES) {
    const found = script.exec(url)
    if (found) return stage.replace('$1', found[1] ?? '')
  }
  return null
}

/** Shares of the time between the first sample and the last. */
export function sharesOf(profile: Profile): Shares {
  const stages = stagesOf(profile.nodes)
  const spent = new Map<string, number>()
  const { samples = [], timeDeltas = [] } = profile
  samples.forEach((node, at) => {
    // The delta of a sample is the time since the one before it: what ran in it, ran until the next.
    const time = Math.max(0, timeDeltas[at + 1] ?? 0)
    const stage = stages.get(node) ?? 'native'
    spent.set(stage, (spent.get(stage) ?? 0) + time)
  })
  const idle = spent.get('idle') ?? 0
  spent.delete('idle')
  const busy = [...spent.values()].reduce((sum, time) => sum + time, 0)
  const shares = [...spent].filter(([, time]) => time > 0).map(([stage, time]) => [stage, time / busy] as const)
  return {
    idle: idle + busy > 0 ? idle / (idle + busy) : 0,
    stages: Object.fromEntries(shares.toSorted(([, one], [, other]) => other - one)),
  }
}

/** The stage of every node of the call tree. */
function stagesOf(nodes: Profile['nodes']): ReadonlyMap<number, string> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const [root] = nodes
  const stages = new Map<number, string>()
  const walk = root ? [{ id: root.id, caller: 'native' }] : []
  for (let next = walk.pop(); next; next = walk.pop()) {
    const node = byId.get(next.id)
    if (!node) continue
    const { functionName, url } = node.callFrame
    const stage = (url === '' ? WITHOUT_SCRIPT[functionName] : stageOf(url)) ?? next.caller
    stages.set(node.id, stage)
    for (const id of node.children ?? []) walk.push({ id, caller: stage })
  }
  return stages
}

/** The largest stages in a line, in percent of the busy time; what is less than `least` of it is left out. */
export const lineOfShares = ({ stages }: Shares, least = 0.02): string =>
  Object.entries(stages)
    .filter(([, share]) => share >= least)
    .map(([stage, share]) => `${stage} ${(share * 100).toFixed(0)}`)
    .join(', ')
