/** A collector of traces on loopback, as OTLP over HTTP has it: it keeps every span that comes, and the bytes in which it came. */
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CollectedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { readonly code: number; readonly message?: string }
  readonly attributes: Readonly<Record<string, unknown>>
}

export interface Collector {
  readonly url: string
  readonly spans: CollectedSpan[]
  /** Everything that came: lines of headers, and bodies. */
  readonly heard: string[]
  /** How the resource describes itself, as it came last. */
  resource(): Readonly<Record<string, unknown>>
  /** Has it answer otherwise; null: as it should. */
  misbehave(how: ((response: ServerResponse) => void) | null): void
  /** How often it was called. */
  asked(): number
  close(): Promise<void>
}

interface Written {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

const read = (attributes: readonly Written[]): Readonly<Record<string, unknown>> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]))

export async function startCollector(port = 0): Promise<Collector> {
  const spans: CollectedSpan[] = []
  const heard: string[] = []
  let resource: Readonly<Record<string, unknown>> = {}
  let behaviour: ((response: ServerResponse) => void) | null = null
  let asked = 0
  const server = createServer(async (incoming, outgoing) => {
    asked += 1
    if (behaviour) return behaviour(outgoing)
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString('utf8')
    heard.push([`${incoming.method} ${incoming.url}`, ...incoming.rawHeaders].join('\n'), body)
    if (incoming.method !== 'POST' || incoming.url !== '/v1/traces') return void outgoing.writeHead(404).end()
    for (const one of JSON.parse(body).resourceSpans) {
      resource = read(one.resource.attributes)
      for (const { spans: some } of one.scopeSpans) {
        for (const span of some) spans.push({ ...span, attributes: read(span.attributes) })
      }
    }
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    spans,
    heard,
    resource: () => resource,
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
