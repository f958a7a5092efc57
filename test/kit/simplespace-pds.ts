/**
 * Played simplespace methods on a loopback port, for tests of whoever calls them that don't care how a session came about: a bearer token
 * is the account's DID, and there is no OAuth.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from './managing-app.ts'
import { type PlayedOptions, PlayedSimplespaces, SIMPLESPACE } from './played-simplespaces.ts'

export interface SimplespacePds {
  readonly url: string
  readonly spaces: PlayedSimplespaces
  /** The token to call with. */
  readonly authorization: string
  close(): Promise<void>
}

/** Starts one for one account. `scopes`: what every session of it has; null: everything, as a session by password. */
export async function startSimplespacePds(
  given: PlayedOptions & { readonly account: string; readonly scopes?: readonly string[] | null },
): Promise<SimplespacePds> {
  const { account, scopes = null } = given
  const spaces = new PlayedSimplespaces(given)
  const authorization = `Bearer ${account}`
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const nsid = simplespaceOf(incoming)
    if (nsid === null) return json(outgoing, 404, { error: 'NotFound', message: 'Not Found' })
    const { headers } = incoming
    if (headers.authorization === undefined) return json(outgoing, 401, NO_TOKEN)
    if (headers.authorization !== authorization) return json(outgoing, 401, BAD_TOKEN)
    await answerSimplespace(spaces, { account, scopes, nsid }, incoming, outgoing)
  }
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    spaces,
    authorization,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

const NO_TOKEN = { error: 'AuthMissing', message: 'Authentication Required' }
const BAD_TOKEN = { error: 'InvalidToken', message: 'Token could not be verified' }

/** The simplespace method that is asked for, or null. */
export function simplespaceOf({ url = '' }: IncomingMessage): string | null {
  const { pathname } = new URL(url, 'http://localhost')
  return pathname.startsWith(`/xrpc/${SIMPLESPACE}`) ? pathname.slice('/xrpc/'.length) : null
}

/** Reads the call of somebody who is known already, and writes what is played. */
export async function answerSimplespace(
  spaces: PlayedSimplespaces,
  by: { readonly account: string; readonly scopes: readonly string[] | null; readonly nsid: string },
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { url = '', method: verb = '' } = incoming
  const { searchParams: params } = new URL(url, 'http://localhost')
  const body = await bodyOf(incoming)
  const answer = spaces.handle({ ...by, verb, params, body })
  if (answer.broken === 'hang') return
  if (answer.broken === 'cut') return void outgoing.destroy()
  if (answer.body === undefined) return void outgoing.writeHead(answer.status, { ...answer.headers }).end()
  json(outgoing, answer.status, answer.body, { ...answer.headers })
}

/** The JSON of a body; undefined where there is none, or where it is something else. */
async function bodyOf(incoming: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  if (chunks.length === 0 || !/^application\/json\b/.test(incoming.headers['content-type'] ?? '')) return undefined
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}
