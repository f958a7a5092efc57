/**
 * Public names that lead to loopback ports, for a server in this process that fetches by `globalThis.fetch`: the published PDS gets the
 * metadata of an OAuth client from the https URL that is the client's name, and takes no name of this machine or under `.test`.
 *
 * Whoever has a network client of their own isn't touched, and every name that isn't routed goes where it went.
 */

const routes = new Map<string, string>()
let patched = 0
let original = globalThis.fetch

/** Has `https://<host>` lead to the origin, until `close`. The origin may be named later, or anew. */
export function routeHost(host: string, origin: string): { leadTo(origin: string): void; close(): void } {
  routes.set(host, origin)
  patched += 1
  if (patched === 1) {
    original = globalThis.fetch
    globalThis.fetch = routed
  }
  return {
    leadTo: (other) => void routes.set(host, other),
    close() {
      routes.delete(host)
      patched -= 1
      if (patched === 0) globalThis.fetch = original
    },
  }
}

const routed: typeof fetch = (input, init) => {
  const asked = new URL(input instanceof Request ? input.url : String(input))
  const origin = routes.get(asked.host)
  if (origin === undefined || asked.protocol !== 'https:') return original(input, init)
  const url = new URL(asked.pathname + asked.search, origin)
  return original(input instanceof Request ? new Request(url, input) : url, init)
}
