/** A load over keep-alive connections: so many requests in flight, each answered before its place is taken by the next. */
import { Agent, request } from 'node:http'
import type { Prepared } from './tokens.ts'

export interface Load {
  readonly wallSec: number
  /** Milliseconds per request, sorted. */
  readonly latenciesMs: readonly number[]
}

/** A request as it is sent. */
export interface Ready {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Sends every request for a credential. @throws Error when one is answered with anything but 200 */
export const load = (url: string, space: string, requests: readonly Prepared[], inFlight: number): Promise<Load> =>
  loadAll(
    [new URL(url).origin],
    requests.map((prepared) => exchangeRequest(space, prepared)),
    inFlight,
  )

export function exchangeRequest(space: string, { token, dpop, signatureInput, signature }: Prepared): Ready {
  const proof: Ready['headers'] = dpop ? { dpop } : { 'signature-input': signatureInput, signature }
  return {
    method: 'POST',
    path: '/xrpc/com.atproto.space.getSpaceCredential',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...proof },
    body: JSON.stringify({ space }),
  }
}

/** Sends every request, to the origins in turns. @throws Error when one is answered with anything but `status` */
export async function loadAll(
  origins: readonly string[],
  requests: readonly Ready[],
  inFlight: number,
  status = 200,
): Promise<Load> {
  const sender = openSender(inFlight)
  // Beforehand: a busy server takes one new connection in each of its turns, and who waits for that isn't in flight yet.
  await connect(sender, origins, inFlight)
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < requests.length; at = next++) {
      const begun = performance.now()
      const [ready, origin] = [requests[at], origins[at % origins.length]]
      if (ready && origin) {
        const answer = await sender.send(origin, ready)
        if (answer.status !== status) throw new Error(`answered ${answer.status}: ${answer.text.slice(0, 200)}`)
      }
      latenciesMs.push(performance.now() - begun)
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const wallSec = (performance.now() - begun) / 1000
  sender.close()
  return { wallSec, latenciesMs: latenciesMs.toSorted((a, b) => a - b) }
}

/** Answered without a look at the database. */
const HELLO: Ready = { method: 'GET', path: '/.well-known/did.json', headers: {}, body: '' }

async function connect(sender: Sender, origins: readonly string[], inFlight: number): Promise<void> {
  const asked = origins.flatMap((origin) => Array.from({ length: inFlight }, () => sender.send(origin, HELLO)))
  await Promise.all(asked)
}

export interface Sender {
  /** Rejects when the connection ends before the answer. */
  send(origin: string, ready: Ready): Promise<{ readonly status: number; readonly text: string }>
  close(): void
}

/** Connections that are kept, so many at once to each origin. */
export function openSender(connections: number): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const send: Sender['send'] = (origin, ready) =>
    new Promise((resolve, reject) => {
      const { method, path, headers, body } = ready
      const length = method === 'POST' ? { 'content-length': Buffer.byteLength(body) } : {}
      const options = { method, agent, headers: { ...headers, ...length } }
      const outgoing = request(`${origin}${path}`, options, (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('error', reject)
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      })
      outgoing.on('error', (error) => {
        // The server closes what was idle for too long, and may do so just when something is sent over it, which nobody reads then.
        const isClosedIdle = outgoing.reusedSocket && 'code' in error && error.code === 'ECONNRESET'
        if (isClosedIdle) send(origin, ready).then(resolve, reject)
        else reject(error)
      })
      outgoing.end(method === 'POST' ? body : undefined)
    })
  return { send, close: () => agent.destroy() }
}

/** The value below which this share of the sorted values lies. */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
