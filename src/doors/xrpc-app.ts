/**
 * HTTP in front of the table of doors: which path leads where, and what is looked at before a door is reached.
 *
 * In this order: the exact spelling of the path, the number of header lines, the caller's bucket, the verb, and whether the database is the one
 * that was here before. All of it is cheap.
 */
import type { IncomingMessage } from 'node:http'
import { type Context, Hono } from 'hono'
import { parseNsid } from '../names.ts'
import { HEADERS_MAX_COUNT } from '../platform/limits.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { type Answer, answerOf, dress, type Env, failure, preflight, send } from './answer.ts'
import type { Knocking } from './callers.ts'
import { callback, clientKeys, clientMetadata, connect } from './connect-routes.ts'
import { asJson, checkedOutput, isOwn } from './contract.ts'
import { type Door, FORM, isReading, refusalsOf } from './door.ts'
import { healthReader } from './health.ts'
import type { House } from './house.ts'
import { addressReader, type DoorBucket } from './rate-buckets.ts'
import { headerLines, targetOf } from './request.ts'
import { didDocument, handleDid } from './well-known.ts'

/** One exact path. `bucket` null: a balancer asks it as often as it likes, and the answer costs the same for all who ask at once. */
interface Route {
  readonly path: string
  /** How the log names it. */
  readonly method: string
  readonly verb: 'GET' | 'POST' | 'GET, POST'
  readonly bucket: DoorBucket | null
  readonly refusals: ReadonlySet<string>
  /** What is said here while the database is one from the past; null where all goes on. */
  readonly inPast: 'RestoredFromPast' | 'NotEnoughResources' | null
  readonly answer: (knocking: Knocking, query: string) => Promise<Answer>
}

export function xrpcApp(house: House, doors: readonly Door[]): Hono<Env> {
  const app = new Hono<Env>()
  const addressOf = addressReader(house.trustedProxies)

  for (const route of [...doors.map((door) => routeOf(house, door)), ...ownRoutes(house)]) {
    app.all(route.path, async (c) => {
      const { incoming, outgoing } = c.env
      const { method, refusals } = route
      const asked = { method, requestId: dress(house, outgoing), sinceMs: house.clock.monotonicMs() }
      if (c.req.method === 'OPTIONS') return preflight(house, asked, outgoing, route.verb)
      const answer = await answerOf(house, { ...asked, refusals }, async () => {
        const { path, query } = targetOf(incoming)
        // The router decodes percent escapes; a way in has one spelling only.
        if (path !== route.path) throw new Refusal('XRPCNotSupported', 'no such path')
        requireAllHeaders(incoming)
        const address = addressOf(incoming.socket.remoteAddress, headerLines(incoming, 'x-forwarded-for').join(','))
        if (route.bucket) house.buckets.take(route.bucket, address)
        requireVerb(route, c.req.method)
        requirePresent(house, route)
        const answer = await house.leaving.inTime(() => route.answer({ incoming, address }, query))
        // Found out while this was under way: what was written stays, and nobody gets a credential or a yes.
        requirePresent(house, route)
        return answer
      })
      return send(house, c, asked, answer)
    })
  }

  const sendFailure = (c: Context<Env>, requestId: string, error: unknown) => {
    const asked = { method: 'none', requestId, sinceMs: house.clock.monotonicMs() }
    return send(house, c, asked, failure(house, { ...asked, refusals: NO_REFUSALS }, error))
  }
  app.all('*', (c) => sendFailure(c, dress(house, c.env.outgoing), notServed(c.env.incoming)))
  // Everything above answers for itself. Without this, the framework would print what got past it, with its message.
  app.onError((error, c) => sendFailure(c, 'none', error))
  return app
}

const NO_REFUSALS: ReadonlySet<string> = new Set()

/** @throws Unavailable where more than reading is asked for and the database is one from the past */
function requirePresent({ checkpoints }: House, { inPast }: Pick<Route, 'inPast'>): void {
  if (inPast && checkpoints.isFromPast) throw new Unavailable(inPast, 'restored database')
}

const routeOf = (house: House, door: Door): Route => ({
  path: `/xrpc/${door.method.nsid}`,
  method: door.method.nsid,
  verb: door.method.type === 'procedure' ? 'POST' : 'GET',
  bucket: door.bucket,
  refusals: refusalsOf(door),
  // Peers know the protocol's names only: to them it is trouble of ours, which passes.
  inPast: isReading(door) ? null : isOwn(door.method.nsid) ? 'RestoredFromPast' : 'NotEnoughResources',
  answer: async (knocking, query) => {
    const answer = checkedOutput(door.method, await door.enter(house, knocking, query))
    return { status: 200, body: door.hasBytes ? asJson(answer) : answer }
  },
})

/** The ways in that have no lexicon. */
function ownRoutes(house: House): readonly Route[] {
  const way = (path: string, bucket: DoorBucket | null, answer: Route['answer']): Route => ({
    ...{ path, method: path, verb: 'GET', bucket, refusals: new Set(FORM), inPast: null, answer },
  })
  return [
    way('/xrpc/_health', null, healthReader(house)),
    way('/oauth/client-metadata.json', 'public', (_knocking, query) => clientMetadata(house, query)),
    way('/oauth/jwks.json', 'public', () => clientKeys(house)),
    {
      ...way('/oauth/callback', 'connect', (knocking, query) => callback(house, knocking, query)),
      inPast: 'RestoredFromPast',
    },
    {
      ...way('/steering/connect', 'connect', (knocking, query) => connect(house, knocking, query)),
      verb: 'GET, POST',
      inPast: 'RestoredFromPast',
    },
    way('/.well-known/did.json', 'public', async () => didDocument(house)),
    way('/.well-known/atproto-did', 'public', ({ incoming }) => handleDid(house, headerLines(incoming, 'host'))),
  ]
}

/** Newer Nodes refuse one header line more. Older ones keep this many and drop the rest without a word, a second token among them. */
function requireAllHeaders(incoming: IncomingMessage): void {
  if (incoming.rawHeaders.length >= 2 * HEADERS_MAX_COUNT) throw new Refusal('InvalidRequest', 'too many header lines')
}

/** Whoever may GET may also ask with HEAD (RFC 9110 §9.3.2). */
function requireVerb({ method, verb }: Route, asked: string): void {
  const verbs = verb.split(', ')
  const isSame = verbs.includes(asked) || (asked === 'HEAD' && verbs.includes('GET'))
  if (!isSame) throw new Refusal('InvalidRequest', `${method} is called by ${verb}`)
}

function notServed(incoming: IncomingMessage): Refusal {
  const { path } = targetOf(incoming)
  const isMethod = path.startsWith('/xrpc/') && parseNsid(path.slice('/xrpc/'.length)) !== null
  return isMethod
    ? new Refusal('MethodNotImplemented', 'this service does not have that method')
    : new Refusal('XRPCNotSupported', 'no such path')
}
