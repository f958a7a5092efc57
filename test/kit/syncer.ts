/**
 * A syncer on loopback: a service with a DID document of its own, which keeps what it is told and answers as a test has it answer.
 * Its DID names its address, so it is reached as any service is: by its document.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One call as it came. */
export interface Told {
  readonly path: string
  readonly method: string
  /** The claims of its service auth, unverified, and the token itself. */
  readonly claims: Readonly<Record<string, unknown>>
  readonly token: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent.
  readonly body: any
  readonly headers: IncomingMessage['headers']
  readonly atMs: number
}

export type Answering = (outgoing: ServerResponse, told: Told) => void

export interface Syncer {
  readonly did: string
  /** As it registers: its DID with a fragment. */
  readonly service: string
  readonly url: string
  readonly port: number
  /** What it was told, in order. What a receiver that misbehaves was sent is here too. */
  readonly told: readonly Told[]
  /** How often its document was fetched. */
  fetched(): number
  /** Has it answer otherwise; null: 200 and nothing, as it should. */
  misbehave(how: Answering | null): void
  /** Has it publish something else as its address; null: its own. */
  publish(endpoint: unknown): void
  close(): Promise<void>
}

/** Ways in which receivers are known to fail. */
export const MISBEHAVIOURS = {
  hangs: () => {},
  drips: (outgoing) => {
    outgoing.writeHead(200)
    const timer = setInterval(() => outgoing.write('.'), 1_000)
    outgoing.on('close', () => clearInterval(timer))
  },
  fails: (outgoing) => outgoing.writeHead(500).end(),
  refuses: (outgoing) => outgoing.writeHead(400).end('{"error":"SpaceNotFound"}'),
  redirects: (outgoing) => outgoing.writeHead(307, { location: 'http://localhost:1/' }).end(),
  resets: (outgoing) => outgoing.socket?.destroy(),
} as const satisfies Readonly<Record<string, Answering>>

export const SYNC_FRAGMENT = 'sync'

export async function startSyncer({ port = 0, fragment = SYNC_FRAGMENT } = {}): Promise<Syncer> {
  const told: Told[] = []
  let behaviour: Answering | null = null
  let endpoint: unknown = null
  let fetched = 0
  const server = createServer(async (incoming, outgoing) => {
    if (incoming.url === '/.well-known/did.json') {
      fetched += 1
      const service = [
        { id: `#${fragment}`, type: 'SpaceSyncer', serviceEndpoint: endpoint ?? url },
        { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: endpoint ?? url },
      ]
      outgoing.setHeader('content-type', 'application/json')
      outgoing.end(JSON.stringify({ id: did, verificationMethod: [], service }))
      return
    }
    const call = await callOf(incoming)
    told.push(call)
    if (behaviour) behaviour(outgoing, call)
    else outgoing.writeHead(200).end()
  })
  server.listen(port, 'localhost')
  await once(server, 'listening')
  const ownPort = (server.address() as AddressInfo).port
  const url = `http://localhost:${ownPort}`
  const did = `did:web:localhost%3A${ownPort}`
  return {
    did,
    service: `${did}#${fragment}`,
    url,
    port: ownPort,
    told,
    fetched: () => fetched,
    misbehave(how) {
      behaviour = how
    },
    publish(what) {
      endpoint = what
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function callOf(incoming: IncomingMessage): Promise<Told> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  const token = (incoming.headers.authorization ?? '').replace(/^Bearer /, '')
  const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')
  return {
    path: incoming.url ?? '',
    method: (incoming.url ?? '').replace('/xrpc/', ''),
    claims: claims === '' ? {} : JSON.parse(claims),
    token,
    body: text === '' ? null : JSON.parse(text),
    headers: incoming.headers,
    atMs: Date.now(),
  }
}
