/**
 * A door in front of a real PLC directory: it writes down who asked for what, and misbehaves only as a directory, or the network
 * before it, could: says nothing, cuts the line, answers something else, shows an old state, answers and doesn't do.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startPlcServer } from './plc.ts'

export type PlcAskKind = 'post' | 'log' | 'document' | 'other'

export interface PlcAsk {
  readonly kind: PlcAskKind
  readonly did: string
  readonly body: string
}

export interface PlcAnswer {
  readonly status: number
  readonly contentType?: string
  readonly body: string
}

/**
 * What happens to one request. `forward` asks the real directory and may be called or not; the answer is what the asker gets,
 * `cut` ends the connection without one, undefined is the honest way.
 */
export type Misbehaviour = (
  ask: PlcAsk,
  forward: () => Promise<PlcAnswer>,
) => Promise<PlcAnswer | 'cut' | undefined> | PlcAnswer | 'cut' | undefined

export interface FakePlc {
  readonly url: string
  /** The real directory behind the door: always honest, never counted. */
  readonly honestUrl: string
  /** Everything that was asked since the last `forget`. */
  readonly asked: readonly PlcAsk[]
  count(kind: PlcAskKind, did?: string): number
  forget(): void
  /** Null: honest again. */
  misbehave(how: Misbehaviour | null): void
  close(): Promise<void>
}

/** Starts a directory and its door, honest at first. */
export async function startFakePlc(): Promise<FakePlc> {
  const plc = await startPlcServer()
  const asked: PlcAsk[] = []
  let misbehaviour: Misbehaviour | null = null
  // The directory behind takes one operation at a time, as one with a real database does; its in-memory stand-in would take two.
  let lastPost: Promise<unknown> = Promise.resolve()

  const forward = (incoming: IncomingMessage, ask: PlcAsk): Promise<PlcAnswer> => {
    if (ask.kind !== 'post') return askHonest(plc.url, incoming, ask.body)
    const posted = lastPost.then(() => askHonest(plc.url, incoming, ask.body))
    lastPost = posted.catch(() => {})
    return posted
  }
  // Nothing is lost here that no test asked for: the side that asks gives up idle connections, never this one.
  const server = createServer({ keepAliveTimeout: 0 }, async (incoming, outgoing) => {
    try {
      const ask = askOf(incoming, await bodyOf(incoming))
      asked.push(ask)
      const honest = () => forward(incoming, ask)
      const answer = (await misbehaviour?.(ask, honest)) ?? (await honest())
      if (answer === 'cut') outgoing.destroy()
      else reply(outgoing, answer)
    } catch {
      outgoing.destroy()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    honestUrl: plc.url,
    asked,
    count: (kind, did) => asked.filter((ask) => ask.kind === kind && (did === undefined || ask.did === did)).length,
    forget: () => void asked.splice(0),
    misbehave: (how) => {
      misbehaviour = how
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      await plc.close()
    },
  }
}

/**
 * A misbehaviour that says nothing at the requests it picks, before or after it did what they ask, until they are let go: then it
 * cuts their line. And news of when the first got there.
 */
export function stallAt(picks: (ask: PlcAsk) => boolean, when: 'before' | 'after' = 'before') {
  let arrived: () => void = () => {}
  let letGo: () => void = () => {}
  const reached = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const gone = new Promise<void>((resolve) => {
    letGo = resolve
  })
  const how: Misbehaviour = async (ask, forward) => {
    if (!picks(ask)) return undefined
    if (when === 'after') await forward()
    arrived()
    await gone
    return 'cut'
  }
  return { how, reached, letGo }
}

export const json = (status: number, body: unknown = {}): PlcAnswer => ({ status, body: JSON.stringify(body) })

function askOf(incoming: IncomingMessage, body: string): PlcAsk {
  const [, didText = '', ...rest] = (incoming.url ?? '').split('/')
  const did = decodeURIComponent(didText)
  const path = rest.join('/')
  if (incoming.method === 'POST') return { kind: 'post', did, body }
  if (path === 'log/audit') return { kind: 'log', did, body }
  return { kind: path === '' && did.startsWith('did:') ? 'document' : 'other', did, body }
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

async function askHonest(url: string, incoming: IncomingMessage, body: string): Promise<PlcAnswer> {
  const answer = await fetch(url + incoming.url, {
    method: incoming.method ?? 'GET',
    headers: { 'content-type': incoming.headers['content-type'] ?? 'application/json' },
    ...(incoming.method === 'POST' ? { body } : {}),
  })
  return {
    status: answer.status,
    contentType: answer.headers.get('content-type') ?? 'application/json',
    body: await answer.text(),
  }
}

function reply(outgoing: ServerResponse, { status, contentType = 'application/json', body }: PlcAnswer): void {
  outgoing.writeHead(status, { 'content-type': contentType }).end(body)
}

/** The log of a DID as the honest directory has it: its operations in order, or null when there is no such DID. */
export async function honestLog(plc: Pick<FakePlc, 'honestUrl'>, did: string): Promise<PlcLogRow[] | null> {
  const answer = await fetch(`${plc.honestUrl}/${did}/log/audit`)
  if (answer.status === 404) return null
  return (await answer.json()) as PlcLogRow[]
}

export interface PlcLogRow {
  readonly cid: string
  readonly operation: {
    readonly rotationKeys: readonly string[]
    readonly verificationMethods: Readonly<Record<string, string>>
    readonly alsoKnownAs: readonly string[]
    readonly services: Readonly<Record<string, { type: string; endpoint: string }>>
    readonly prev: string | null
    readonly sig: string
  }
}
