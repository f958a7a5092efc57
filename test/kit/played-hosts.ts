/** Hosts that are told what was taken back, played without sockets: each hears everything unless a test has it answer otherwise. */
import type { TellingCtx } from '../../src/credential/tell-hosts.ts'
import type { Did } from '../../src/names.ts'
import { silentLog } from '../../src/platform/log.ts'
import { type OutboundAsk, OutboundFailure } from '../../src/platform/outbound.ts'
import type { Roll } from './roll.ts'

interface PlayedCall {
  readonly host: string
  readonly space: string
  readonly credentials: readonly string[]
}

/** `answer`: the status, after a while; never where it never resolves. `look`: resolves when a document is there. */
export interface Playing {
  readonly answer?: (call: PlayedCall) => number | Promise<number>
  readonly look?: (did: Did) => Promise<void>
}

export function playedHosts({ answer = () => 200, look = async () => {} }: Playing = {}) {
  const homes = new Map<string, string>()
  const calls: PlayedCall[] = []
  const open = new Map<string, number>()
  let mostAtOnce = 0
  const documents = {
    async resolve(did: Did) {
      await look(did)
      const endpoint = homes.get(did)
      if (endpoint === undefined) return null
      return { service: () => ({ type: 'AtprotoPersonalDataServer', endpoint }) } as never
    },
  }
  const deliveries = {
    mayCall: () => true,
    async request({ url, body }: OutboundAsk) {
      const { host } = new URL(url)
      const call: PlayedCall = { host, ...JSON.parse(String(body)) }
      const going = (open.get(host) ?? 0) + 1
      open.set(host, going)
      mostAtOnce = Math.max(mostAtOnce, going)
      calls.push(call)
      const [status] = await Promise.all([answer(call), new Promise((resolve) => setTimeout(resolve, 5))])
      open.set(host, (open.get(host) ?? 0) - 1)
      if (status === 0) throw new OutboundFailure('timeout', 'time limit')
      return { status, contentType: '', body: new Uint8Array() }
    },
  }
  return { homes, calls, documents, deliveries, mostAtOnce: () => mostAtOnce }
}

export type PlayedHosts = ReturnType<typeof playedHosts>

export const processOn = (
  roll: Roll,
  hosts: PlayedHosts,
  hostCaps: TellingCtx['hostCaps'] = new Map(),
): TellingCtx => ({
  ...roll,
  ...hosts,
  log: silentLog,
  vault: { signServiceAuth: async () => 'a token' },
  hostCaps,
})
