/** The server that listens: what it takes of connections that misbehave, and how it ends. */
import type { Server } from 'node:http'
import { createAdaptorServer } from '@hono/node-server'
import { giveWay, patience, repeat, sleep } from '../platform/clock.ts'
import {
  CONNECTIONS_MAX,
  HEADERS_MAX_BYTES,
  HEADERS_MAX_COUNT,
  HEADERS_TIMEOUT_MS,
  KEPT_IDLE_MS,
  REQUEST_TIMEOUT_MS,
} from '../platform/limits.ts'
import type { Leaving } from './leaving.ts'

export type Fetch = Parameters<typeof createAdaptorServer>[0]['fetch']

export interface Place {
  /** 0: any that is free. */
  readonly port: number
  readonly host: string
  /** The setting that says so, for whoever has to mend it. */
  readonly setting: string
}

/** How long a request under way may take to finish once closing has begun, and then to go out. */
const CLOSING_MAX_MS = 5_000
const LAST_WORDS_MAX_MS = 500
const IDLE_LOOK_PAUSE_MS = 50
/** Turns of the event loop in which nobody came. The first may end before the network is looked at. Where people come all the time, nobody waits for them. */
const QUIET_TURNS = 3
const LETTING_IN_MAX_MS = 2_000

/** Has `fetch` answer there. @throws Error in one line that names the setting, when somebody else is there */
export function listen(fetch: Fetch, publicUrl: string, at: Place): Promise<Server> {
  const server = createAdaptorServer({
    fetch,
    // Nothing of a request's address is believed; this only keeps the framework from reading `Host`.
    hostname: new URL(publicUrl).hostname,
    serverOptions: {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEPT_IDLE_MS,
      connectionsCheckingInterval: 2_000,
    },
  }) as Server
  server.maxHeadersCount = HEADERS_MAX_COUNT
  server.maxConnections = CONNECTIONS_MAX
  return new Promise((resolve, reject) => {
    const refused = ({ code }: NodeJS.ErrnoException) =>
      reject(new Error(`nothing can listen on ${at.host}, port ${at.port} (${at.setting}): ${code}`))
    server.once('error', refused)
    server.listen(at.port, at.host, () => {
      server.off('error', refused)
      resolve(server)
    })
  })
}

/**
 * Takes no more connections and lets requests under way finish. Those that don't are told to come again, where somebody can tell them, and what is
 * still open a moment later is cut.
 */
export async function closeServer(server: Server, leaving?: Leaving): Promise<void> {
  const over = new AbortController()
  const late = sleep(CLOSING_MAX_MS, over.signal)
  await letIn(server)
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection whose last answer has just gone out is idle only now, and would be kept open for the next request.
  const idle = repeat(async () => server.closeIdleConnections(), IDLE_LOOK_PAUSE_MS)
  await Promise.race([closed, late])
  over.abort()
  leaving?.end()
  const lastWords = new AbortController()
  await Promise.race([closed, sleep(LAST_WORDS_MAX_MS, lastWords.signal)])
  lastWords.abort()
  server.closeAllConnections()
  await idle.stop()
  await closed
}

/**
 * Lets everybody in who has connected by now: what was never taken in would be cut off unread. Node takes in one at a time, each time that it looks at
 * the network.
 */
async function letIn(server: Server): Promise<void> {
  let came = 0
  const count = () => {
    came += 1
  }
  server.on('connection', count)
  const end = patience(LETTING_IN_MAX_MS)
  for (let quiet = 0; quiet < QUIET_TURNS && !end.aborted; ) {
    const before = came
    await giveWay()
    quiet = came === before ? quiet + 1 : 0
  }
  server.off('connection', count)
}
