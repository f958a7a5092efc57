/** The host of an app on loopback: its metadata at every path, with the keys that it publishes now. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ClientId } from '../../src/names.ts'
import type { AppKey } from './attestations.ts'

export interface AppServer {
  /** As rules about the host name it. */
  readonly host: string
  clientId(path?: string): ClientId
  /** From now on these are the app's keys. */
  publish(...keys: readonly AppKey[]): void
  /** Has the host answer otherwise; null: as it should. */
  misbehave(how: ((response: ServerResponse) => void) | null): void
  /** How often it was asked. */
  asked(): number
  close(): Promise<void>
}

export async function startAppServer(...keys: readonly AppKey[]): Promise<AppServer> {
  let published = keys
  let behaviour: ((response: ServerResponse) => void) | null = null
  let asked = 0
  const server = createServer((incoming, outgoing) => {
    asked += 1
    if (behaviour) return behaviour(outgoing)
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(
      JSON.stringify({
        client_id: `http://${host}${incoming.url}`,
        client_name: 'An app',
        jwks: { keys: published.map(({ jwk }) => jwk) },
      }),
    )
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const host = `localhost:${(server.address() as AddressInfo).port}`
  return {
    host,
    clientId: (path = '/client-metadata.json') => `http://${host}${path}` as ClientId,
    publish(...now) {
      published = now
    },
    misbehave(how) {
      behaviour = how
    },
    asked: () => asked,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
