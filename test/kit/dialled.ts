/** What this process asks of the network, as Node's own hooks see it: every connection begun and every question to a name server. */
import { createHook } from 'node:async_hooks'

export interface DialRecorder {
  /** `address:port` of every connection that was begun since the last `forget`. */
  targets(): readonly string[]
  /** How many questions were put to name servers since the last `forget`. */
  lookups(): number
  forget(): void
  stop(): void
}

export function recordDials(): DialRecorder {
  const dialled: { address?: string; port?: number }[] = []
  let lookups = 0
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'TCPCONNECTWRAP') dialled.push(resource)
      if (type === 'QUERYWRAP') lookups++
    },
  }).enable()
  return {
    targets: () => dialled.map(({ address, port }) => `${address}:${port}`),
    lookups: () => lookups,
    forget() {
      dialled.splice(0)
      lookups = 0
    },
    stop: () => void hook.disable(),
  }
}

/** Of the targets, those that are none of the given ports of this machine. */
export const besides = (targets: readonly string[], ...ports: readonly number[]): readonly string[] =>
  targets.filter((target) => !ports.some((port) => [`127.0.0.1:${port}`, `::1:${port}`].includes(target)))
