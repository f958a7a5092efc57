/**
 * Very many syncers in one process, each at an origin of its own with a document of its own: what they are sent is counted with its moment.
 * They take orders over the process channel: how some of them answer from now on, and what came since the last time.
 */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Manner = 'well' | 'never' | 'drop by drop' | '500' | 'redirect' | 'held'

export type ReceiverOrder =
  | { kind: 'manner'; of: readonly number[]; manner: Manner }
  | { kind: 'release' | 'collect' | 'end' }

/** One notification: which receiver, of whose repo, at which revision of it, and when (milliseconds since 1970, with fractions). */
export type Arrival = readonly [receiver: number, repo: string, repoRev: string, atMs: number]

export type ReceiverReport =
  | { kind: 'ready'; ports: readonly number[] }
  | { kind: 'collected'; arrivals: readonly Arrival[]; bytes: number }
  | { kind: 'done' }

const COUNT = Number(process.argv[2])
const DRIP_MS = 1_000
const manners: Manner[] = Array.from({ length: COUNT }, () => 'well')
let arrivals: Arrival[] = []
let bytes = 0
let held: ServerResponse[] = []

const report = (message: ReceiverReport): void => {
  process.send?.(message)
}

function answer(at: number, outgoing: ServerResponse): void {
  const manner = manners[at]
  if (manner === 'never') return
  if (manner === 'held') held.push(outgoing)
  else if (manner === 'drop by drop') {
    outgoing.writeHead(200)
    const timer = setInterval(() => outgoing.write('.'), DRIP_MS)
    outgoing.on('close', () => clearInterval(timer))
  } else if (manner === '500') outgoing.writeHead(500).end()
  else if (manner === 'redirect') outgoing.writeHead(307, { location: 'http://localhost:1/' }).end()
  else outgoing.writeHead(200).end()
}

async function open(at: number): Promise<number> {
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'GET') {
      const { port } = server.address() as AddressInfo
      const service = [{ id: '#sync', type: 'SpaceSyncer', serviceEndpoint: `http://localhost:${port}` }]
      outgoing.setHeader('content-type', 'application/json')
      outgoing.end(JSON.stringify({ id: `did:web:localhost%3A${port}`, service }))
      return
    }
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const text = Buffer.concat(chunks)
      bytes += text.length + (incoming.headers.authorization?.length ?? 0)
      if (text.length > 2) {
        const { repo, repoRev } = JSON.parse(text.toString())
        if (repo) arrivals.push([at, repo, repoRev, performance.timeOrigin + performance.now()])
      }
      answer(at, outgoing)
    })
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, 'localhost')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

process.on('message', (order: ReceiverOrder) => {
  if (order.kind === 'manner') {
    for (const at of order.of) manners[at] = order.manner
    report({ kind: 'done' })
  } else if (order.kind === 'release') {
    for (const outgoing of held) outgoing.writeHead(200).end()
    held = []
    report({ kind: 'done' })
  } else if (order.kind === 'collect') {
    report({ kind: 'collected', arrivals, bytes })
    arrivals = []
    bytes = 0
  } else process.exit(0)
})
const ports: number[] = []
for (let at = 0; at < COUNT; at++) ports.push(await open(at))
report({ kind: 'ready', ports })
