/**
 * A managing app on loopback: a service with a DID document of its own, which says of each person whether they are let in, as a host of
 * August and October 2026 was seen to be asked. It believes nobody but the authority of the space, by the key that the directory has for it.
 *
 * Signatures are checked by the library that such apps use, not by ours.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifySignature } from '@atproto/crypto'
import { parsePlainServiceId, type ServiceId } from '../../src/names.ts'

export const CHECK = 'com.atproto.simplespace.checkUserAccess'

/** One question as it came. */
export interface Asked {
  readonly url: string
  readonly method: string
  readonly space: string
  readonly user: string
  readonly access: string | null
  readonly clientId: string | null
  readonly params: readonly string[]
  readonly headers: IncomingMessage['headers']
  readonly jwt: {
    readonly header: Readonly<Record<string, unknown>>
    readonly claims: Readonly<Record<string, unknown>>
  }
  /** Whether the token is by the authority of the space, for this method and this receiver, and fresh. */
  readonly isSound: boolean
}

/** Its answer to one question, in place of its own. */
export type Answering = (outgoing: ServerResponse, asked: Asked) => void | Promise<void>

export interface ManagingApp {
  readonly did: string
  /** As a space names it: with its fragment. */
  readonly service: ServiceId
  /** The same by the DID alone, which stands for its PDS entry. */
  readonly bare: ServiceId
  readonly url: string
  readonly port: number
  /** What it was asked, in order. */
  readonly asked: Asked[]
  /** Whom it lets in; nobody else. */
  readonly lets: Set<string>
  /** How often its document was fetched. */
  fetched(): number
  /** Most questions that were open at once. */
  mostAtOnce(): number
  misbehave(how: Answering | null): void
  /** Has it publish something else as its address; null: its own. */
  publish(endpoint: unknown): void
  close(): Promise<void>
}

export async function startManagingApp(given: {
  readonly plcUrl: string
  readonly clock: { nowSec(): number }
  readonly fragment?: string
}): Promise<ManagingApp> {
  const { plcUrl, clock, fragment = 'bouncer' } = given
  const asked: Asked[] = []
  const lets = new Set<string>()
  let behaviour: Answering | null = null
  let endpoint: unknown = null
  let fetched = 0
  let open = 0
  let most = 0

  const document = () => ({
    id: did,
    verificationMethod: [],
    service: [
      { id: `#${fragment}`, type: 'AtprotoSpaceService', serviceEndpoint: endpoint ?? url },
      { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: endpoint ?? url },
    ],
  })
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (incoming.url === '/.well-known/did.json') {
      fetched += 1
      return void json(outgoing, 200, document())
    }
    open += 1
    most = Math.max(most, open)
    outgoing.on('close', () => {
      open -= 1
    })
    const question = await questionOf(incoming, {
      plcUrl,
      nowSec: clock.nowSec(),
      audiences: [did, `${did}#${fragment}`],
    })
    asked.push(question)
    if (behaviour) return behaviour(outgoing, question)
    if (question.method !== 'GET' || !question.url.startsWith(`/xrpc/${CHECK}?`)) return void json(outgoing, 404, {})
    if (!question.isSound) return void json(outgoing, 401, { error: 'BadJwt' })
    json(outgoing, 200, { authorized: lets.has(question.user) })
  }
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const port = (server.address() as AddressInfo).port
  const url = `http://localhost:${port}`
  const did = `did:web:localhost%3A${port}`
  return {
    did,
    service: parsePlainServiceId(`${did}#${fragment}`) as ServiceId,
    bare: parsePlainServiceId(did) as ServiceId,
    url,
    port,
    asked,
    lets,
    fetched: () => fetched,
    mostAtOnce: () => most,
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

export const json = (
  outgoing: ServerResponse,
  status: number,
  body: unknown,
  more: Record<string, string> = {},
): void => void outgoing.writeHead(status, { 'content-type': 'application/json', ...more }).end(JSON.stringify(body))

async function questionOf(
  { url = '', method = '', headers }: IncomingMessage,
  about: { readonly plcUrl: string; readonly nowSec: number; readonly audiences: readonly string[] },
): Promise<Asked> {
  const { searchParams: params } = new URL(url, 'http://localhost')
  const token = /^Bearer (\S+)$/.exec(headers.authorization ?? '')?.[1] ?? ''
  const [header = '', payload = '', signature = ''] = token.split('.')
  const jwt = { header: readPart(header), claims: readPart(payload) }
  const { iss, aud, lxm, iat, exp, jti } = jwt.claims
  const space = params.get('space') ?? ''
  const claimsAreSound =
    space.startsWith(`at://${iss}/space/`) &&
    about.audiences.includes(String(aud)) &&
    lxm === CHECK &&
    typeof jti === 'string' &&
    Number(exp) - Number(iat) === 60 &&
    Math.abs(Number(iat) - about.nowSec) <= 5
  const isSound = claimsAreSound && (await isSignedBy(about.plcUrl, String(iss), `${header}.${payload}`, signature))
  return {
    ...{ url, method, space, user: params.get('user') ?? '', headers, jwt, isSound },
    access: params.get('access'),
    clientId: params.get('clientId'),
    params: [...params.keys()],
  }
}

const readPart = (part: string): Readonly<Record<string, unknown>> =>
  part === '' ? {} : JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))

async function isSignedBy(plcUrl: string, did: string, text: string, signature: string): Promise<boolean> {
  const data = (await (await fetch(`${plcUrl}/${did}/data`)).json()) as { verificationMethods?: { atproto?: string } }
  const didKey = data.verificationMethods?.atproto
  if (didKey === undefined) return false
  return verifySignature(didKey, Buffer.from(text), Buffer.from(signature, 'base64url'))
}

/** The ways in which such a service is known to say neither yes nor no. */
export const NO_ANSWER: Readonly<Record<string, Answering>> = {
  'a text for true': (outgoing) => json(outgoing, 200, { authorized: 'true' }),
  'a number for true': (outgoing) => json(outgoing, 200, { authorized: 1 }),
  'an object for true': (outgoing) => json(outgoing, 200, { authorized: {} }),
  null: (outgoing) => json(outgoing, 200, { authorized: null }),
  'nothing in it': (outgoing) => json(outgoing, 200, {}),
  'another word': (outgoing) => json(outgoing, 200, { Authorized: true, allowed: true }),
  'true alone': (outgoing) => json(outgoing, 200, true),
  'a list': (outgoing) => json(outgoing, 200, [{ authorized: true }]),
  'the word twice': (outgoing) => raw(outgoing, '{"authorized":true,"authorized":true}'),
  'both words': (outgoing) => raw(outgoing, '{"authorized":false,"authorized":true}'),
  'half of it': (outgoing) => raw(outgoing, '{"authorized":true'),
  'a mark before it': (outgoing) => raw(outgoing, '\uFEFF{"authorized":true}'),
  text: (outgoing) => raw(outgoing, '{"authorized":true}', { 'content-type': 'text/plain' }),
  'a page': (outgoing) => raw(outgoing, '<html>true</html>', { 'content-type': 'text/html' }),
  'no type': (outgoing) => void outgoing.writeHead(200).end('{"authorized":true}'),
  'a packed yes': (outgoing) => raw(outgoing, '{"authorized":true}', { 'content-encoding': 'gzip' }),
  'one byte too many': (outgoing) => raw(outgoing, yesOf(4 * 1024 + 1)),
  'a byte too many in parts': (outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json' })
    outgoing.write(yesOf(4 * 1024))
    outgoing.end(' ')
  },
  'created, and yes': (outgoing) => json(outgoing, 201, { authorized: true }),
  'no content': (outgoing) => void outgoing.writeHead(204, { 'content-type': 'application/json' }).end(),
  'a 400 with a no': (outgoing) => json(outgoing, 400, { authorized: false }),
  'a 401': (outgoing) => json(outgoing, 401, { error: 'BadJwt' }),
  'a 403 with a no': (outgoing) => json(outgoing, 403, { authorized: false }),
  'a 404': (outgoing) => json(outgoing, 404, { error: 'XRPCNotSupported' }),
  'a 429': (outgoing) => json(outgoing, 429, { error: 'RateLimitExceeded' }),
  'a 500 with a yes': (outgoing) => json(outgoing, 500, { authorized: true }),
  'a 503': (outgoing) => json(outgoing, 503, {}),
  'a redirect to itself': (outgoing, { url }) => json(outgoing, 302, { authorized: true }, { location: url }),
  'a cut line': (outgoing) => void outgoing.socket?.destroy(),
  'a line that is cut in the middle': (outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' })
    outgoing.write('{"authorized":true}')
    setTimeout(() => outgoing.socket?.destroy(), 20)
  },
}

/** By which word the operator is told of each of them. */
export const BECAUSE: Readonly<Record<string, string>> = {
  'a text for true': 'answer',
  'a number for true': 'answer',
  'an object for true': 'answer',
  null: 'answer',
  'nothing in it': 'answer',
  'another word': 'answer',
  'true alone': 'answer',
  'a list': 'answer',
  'the word twice': 'answer',
  'both words': 'answer',
  'half of it': 'answer',
  'a mark before it': 'answer',
  text: 'type',
  'a page': 'type',
  'no type': 'type',
  'a packed yes': 'encoded',
  'one byte too many': 'bytes',
  'a byte too many in parts': 'bytes',
  'created, and yes': 'status 201',
  'no content': 'status 204',
  'a 400 with a no': 'status 400',
  'a 401': 'status 401',
  'a 403 with a no': 'status 403',
  'a 404': 'status 404',
  'a 429': 'status 429',
  'a 500 with a yes': 'status 500',
  'a 503': 'status 503',
  'a redirect to itself': 'redirect',
  'a cut line': 'UND_ERR_SOCKET',
  'a line that is cut in the middle': 'UND_ERR_SOCKET',
}

const raw = (outgoing: ServerResponse, text: string, more: Record<string, string> = {}): void =>
  void outgoing.writeHead(200, { 'content-type': 'application/json', ...more }).end(text)

/** A yes of so many bytes. */
export const yesOf = (bytes: number): string => '{"authorized":true}'.padEnd(bytes, ' ')

/** Other ways to write a plain answer. */
export const SOUND_YES: Readonly<Record<string, Answering>> = {
  'more beside it': (outgoing) => json(outgoing, 200, { authorized: true, until: 'tomorrow', more: [1, { a: null }] }),
  'a charset': (outgoing) =>
    raw(outgoing, '{"authorized":true}', { 'content-type': 'application/json; charset=utf-8' }),
  'capitals in its type': (outgoing) => raw(outgoing, '{"authorized":true}', { 'content-type': 'Application/JSON' }),
  'as many bytes as it may have': (outgoing) => raw(outgoing, yesOf(4 * 1024)),
  'blanks and lines': (outgoing) => raw(outgoing, ' {\n\t"authorized" : true }\n'),
}
