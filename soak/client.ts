/** Requests over connections that are kept, each from an address of its own, as a proxy in front would say it. */
import { Agent, request } from 'node:http'
import type { RawRequest } from '../test/kit/raw-request.ts'

export interface Outcome {
  /** 0: there was no answer. */
  readonly status: number
  /** The name of a refusal, or how the connection was cut. */
  readonly error: string
  // biome-ignore lint/suspicious/noExplicitAny: whoever asked knows what it should be
  readonly body: any
  readonly tookMs: number
}

/** Longer than anything may take; whoever waits so long was not answered. */
const PATIENCE_MS = 30_000

export interface Client {
  send(raw: RawRequest, from: string): Promise<Outcome>
  close(): void
}

export function openClient(url: string, connections: number): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const { hostname, port } = new URL(url)

  function send(raw: RawRequest, from: string): Promise<Outcome> {
    const { method = 'GET', path, headers = [], body = '' } = raw
    const length = method === 'GET' ? [] : ['content-length', String(Buffer.byteLength(body))]
    const lines = ['host', `${hostname}:${port}`, 'x-forwarded-for', from, ...headers.flat(), ...length]
    const begunMs = performance.now()
    return new Promise((resolve) => {
      const done = (status: number, error: string, text = '') => {
        resolve({ status, error, body: parsed(text), tookMs: performance.now() - begunMs })
      }
      const once = () => {
        const outgoing = request({ host: '127.0.0.1', port, path, method, agent, headers: lines }, (incoming) => {
          let text = ''
          incoming.setEncoding('utf8')
          incoming.on('data', (chunk: string) => {
            text += chunk
          })
          incoming.on('error', () => done(0, 'cut within its answer'))
          incoming.on('end', () => done(incoming.statusCode ?? 0, /"error":"(\w+)"/.exec(text)?.[1] ?? '', text))
        })
        outgoing.setTimeout(PATIENCE_MS, () => outgoing.destroy(Object.assign(new Error('late'), { code: 'LATE' })))
        outgoing.on('error', ({ code }: NodeJS.ErrnoException) => {
          // A kept connection that was given up as idle in the same moment: every client sends such a request once more.
          if (outgoing.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')) once()
          else done(0, `cut: ${code}`)
        })
        outgoing.end(body)
      }
      once()
    })
  }
  return { send, close: () => agent.destroy() }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
