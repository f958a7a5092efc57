/** One request over a socket of its own, exactly as given, and what came back. */
import { request } from 'node:http'

/** What came back over the socket. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely, and fail when something isn't there
  readonly body: any
}

export interface RawRequest {
  readonly method?: string
  readonly path: string
  /** Header lines as they go over the wire; a name may stand there more than once. */
  readonly headers?: readonly (readonly [string, string])[]
  readonly body?: string | Uint8Array
}

/** One request over a socket of its own, exactly as given. */
export function sendRaw(url: string, { method = 'GET', path, headers = [], body }: RawRequest): Promise<Answer> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const lines = headers.flat()
    const withLength = body === undefined ? lines : [...lines, 'content-length', String(Buffer.byteLength(body))]
    const hasHost = headers.some(([name]) => name.toLowerCase() === 'host')
    const outgoing = request(
      {
        hostname,
        port,
        path,
        method,
        agent: false,
        headers: hasHost ? withLength : ['host', `${hostname}:${port}`, ...withLength],
      },
      (incoming) => {
        const chunks: Buffer[] = []
        // A server that dies within its answer is an error too, and not a wait without end.
        incoming.on('error', reject)
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: parsed(text) })
        })
      },
    )
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
