/** A load over keep-alive connections: so many requests in flight, each answered before its place is taken by the next. */
import { Agent, request } from 'node:http'
import type { Prepared } from './tokens.ts'

export interface Load {
  readonly wallSec: number
  /** Milliseconds per request, sorted. */
  readonly latenciesMs: readonly number[]
}

/** Sends every request. @throws Error when one is answered with anything but 200 */
export async function load(url: string, space: string, requests: readonly Prepared[], inFlight: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: inFlight })
  const body = JSON.stringify({ space })
  const latenciesMs: number[] = []
  let next = 0
  const worker = async () => {
    for (let at = next++; at < requests.length; at = next++) {
      const begun = performance.now()
      const prepared = requests[at]
      if (prepared) await send(agent, url, body, prepared)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const wallSec = (performance.now() - begun) / 1000
  agent.destroy()
  return { wallSec, latenciesMs: latenciesMs.toSorted((a, b) => a - b) }
}

function send(agent: Agent, url: string, body: string, prepared: Prepared): Promise<void> {
  const { token, dpop, signatureInput, signature } = prepared
  const proof = dpop ? { dpop } : { 'signature-input': signatureInput, signature }
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': body.length,
    ...proof,
  }
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method: 'POST', agent, headers }, (incoming) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        if (incoming.statusCode === 200) resolve()
        else reject(new Error(`answered ${incoming.statusCode}: ${Buffer.concat(chunks).toString().slice(0, 200)}`))
      })
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

/** The value below which this share of the sorted values lies. */
export const quantile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
