/**
 * Names of strangers to addresses and texts, by c-ares: never by `dns.lookup`, which works on the four threads that file calls share, so
 * that four names whose servers say nothing would stop the whole process. It says what the name server says; whether those
 * addresses may be dialled is judged by its caller.
 */
import { Resolver } from 'node:dns/promises'

/** All addresses of a host name; rejects when there is none, or no answer in time. */
export type HostLookup = (host: string) => Promise<readonly string[]>

/** All texts that stand at a name, each with its pieces put together; none when the name has none. Rejects without an answer in time. */
export type TxtLookup = (name: string) => Promise<readonly string[]>

/** One question to a name server, and all questions of one lookup together. */
export const LOOKUP_TIMEOUT_MS = 1_500

/** A lookup through the system's name servers, or through `servers` (`address:port`). It doesn't read the hosts file. */
export function openHostLookup(servers?: readonly string[]): HostLookup {
  return (host) =>
    withinLimit(servers, async (resolver) => {
      const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)])
      const addresses = [ipv4, ipv6].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
      if (addresses.length === 0) throw ipv4.status === 'rejected' ? ipv4.reason : new Error('no address')
      return addresses
    })
}

/** Codes by which a name server says: there is no such name, or nothing of this kind at it. All others are no answer. */
const NOTHING_THERE: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'ENODATA'])

/** The same for the texts at a name. That there are none is an answer; whoever asks must not take silence for it. */
export function openTxtLookup(servers?: readonly string[]): TxtLookup {
  return (name) =>
    withinLimit(servers, async (resolver) => {
      try {
        return (await resolver.resolveTxt(name)).map((pieces) => pieces.join(''))
      } catch (error) {
        if (error instanceof Error && 'code' in error && NOTHING_THERE.has(error.code)) return []
        throw error
      }
    })
}

async function withinLimit<T>(servers: readonly string[] | undefined, ask: (by: Resolver) => Promise<T>): Promise<T> {
  // A resolver of its own for each name: it can be cancelled alone, and it sees a changed resolv.conf.
  const resolver = new Resolver({ timeout: LOOKUP_TIMEOUT_MS, tries: 1 })
  if (servers) resolver.setServers(servers)
  // c-ares tries each configured server in turn, so its own limit is a multiple of ours.
  const limit = setTimeout(() => resolver.cancel(), LOOKUP_TIMEOUT_MS)
  try {
    return await ask(resolver)
  } finally {
    clearTimeout(limit)
  }
}
