/**
 * What leaves the house over HTTP: the headers that every answer has, its body, and the one place where a failure becomes an
 * answer.
 *
 * Headers are set before anything is awaited and on the raw response, and no body helper of the framework is used: this keeps
 * every request on its fast path. No answer carries a token, an address, a stack or the text of an inner error.
 */
import type { ServerResponse } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import type { Context } from 'hono'
import { isTransient } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { randomHex } from '../platform/random.ts'
import { Refusal, type RefusalCode, Unavailable, type UnavailableCode } from '../refusals.ts'
import type { House } from './house.ts'
import { Stopping } from './leaving.ts'
import { EmptyBucket } from './rate-buckets.ts'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from './refusal-to-http.ts'

export type Env = { Bindings: HttpBindings }

/** A status and a body: text goes out as text, `undefined` as nothing, everything else as JSON. */
export interface Answer {
  readonly status: number
  readonly body: unknown
  /** For whoever was told that it is too much, or too late: when to try again. */
  readonly retryAfterSec?: number
  /** Beside or in place of those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>
  /** For a person in a browser: no other site may read it. */
  readonly isPage?: boolean
  /** The name of a refusal whose body is no JSON. */
  readonly error?: string
}

/** A request that is being answered: how the log names the way in, its id, and when it came, on the clock that never steps back. */
export interface Asked {
  readonly method: string
  readonly requestId: string
  readonly sinceMs: number
}

/** What a failure is told as: how the log names the way in, the request's id, and the codes that may leave by it. */
export interface Telling {
  readonly method: string
  readonly requestId: string
  readonly refusals: ReadonlySet<string>
}

/** Headers by which browser apps carry their proofs. Nothing here is authenticated by cookies, so any origin may ask. */
const ALLOWED_HEADERS =
  'authorization, content-type, dpop, signature, signature-input, atproto-space-audience, atproto-proxy'

/** Sets the headers that every answer has. Returns the request's id, which the log shares. */
export function dress(house: House, outgoing: ServerResponse): string {
  const requestId = randomHex(house.names, 8)
  outgoing.setHeader('x-request-id', requestId)
  outgoing.setHeader('cache-control', 'no-store')
  outgoing.setHeader('vary', 'Authorization')
  outgoing.setHeader('x-content-type-options', 'nosniff')
  outgoing.setHeader('access-control-allow-origin', '*')
  outgoing.setHeader('access-control-expose-headers', 'x-request-id, retry-after')
  return requestId
}

const OF_OTHER_SITES = ['access-control-allow-origin', 'access-control-expose-headers']

/** What a browser asks before it sends a request with headers of ours. */
export function preflight(house: Counting, asked: Asked, outgoing: ServerResponse, verb: string): Response {
  note(house, outgoing, asked, '204')
  outgoing.setHeader('access-control-allow-methods', verb)
  outgoing.setHeader('access-control-allow-headers', ALLOWED_HEADERS)
  outgoing.setHeader('access-control-max-age', '86400')
  return new Response(null, { status: 204 })
}

type Counting = Pick<House, 'clock' | 'log' | 'meters' | 'leaving'>

/** The one place through which every answer passes: it is counted here, and stands in the log by its names and its time alone. */
function note(house: Counting, outgoing: ServerResponse, { method, requestId, sinceMs }: Asked, outcome: string): void {
  const { clock, log, meters, leaving } = house
  // Whoever asks again over a connection that is about to be closed may find nobody there to read it.
  if (leaving.hasBegun) outgoing.setHeader('connection', 'close')
  const ms = clock.monotonicMs() - sinceMs
  meters.answered(method, outcome, ms)
  log.debug('answered', { method, requestId, outcome, ms: Math.round(ms * 10) / 10 })
}

/** The status, or the name of the refusal: both from lists of ours. */
function outcomeOf({ status, body, error }: Answer): string {
  if (status < 400) return String(status)
  const named = typeof body === 'object' && body !== null && 'error' in body ? body.error : error
  return typeof named === 'string' ? named : String(status)
}

/** Sends the answer to what was asked. */
export function send(house: Counting, c: Context<Env>, asked: Asked, answer: Answer): Response {
  const { status, body, retryAfterSec, headers = {}, isPage } = answer
  const { outgoing } = c.env
  note(house, outgoing, asked, outcomeOf(answer))
  if (isPage) for (const name of OF_OTHER_SITES) outgoing.removeHeader(name)
  for (const [name, value] of Object.entries(headers)) outgoing.setHeader(name, value)
  if (headers['content-type'] !== undefined) return c.body(String(body), status as 200, {})
  if (retryAfterSec !== undefined) c.env.outgoing.setHeader('retry-after', String(retryAfterSec))
  if (body === undefined) return c.body('', status as 200, {})
  if (typeof body === 'string') return c.body(body, status as 200, { 'content-type': 'text/plain; charset=utf-8' })
  return c.body(JSON.stringify(body), status as 200, { 'content-type': 'application/json' })
}

/** The answer to a request that `work` carries out, or to its failure. Never throws. */
export async function answerOf(house: House, telling: Telling, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    return failure(house, telling, error)
  }
}

const databaseAway = new Unavailable('NotEnoughResources', 'database')

/** What a failure looks like from outside, and its line in the log. */
export function failure(house: House, { method, requestId, refusals }: Telling, error: unknown): Answer {
  if (error instanceof Refusal && (refusals.has(error.code) || OF_ROUTER.has(error.code))) {
    house.log.debug('refused', { method, requestId, code: error.code, because: error.because })
    const answer = { status: STATUS_OF_REFUSAL[error.code], body: { error: error.code, message: error.says } }
    return error instanceof EmptyBucket ? { ...answer, retryAfterSec: error.retryAfterSec } : answer
  }
  if (error instanceof Unavailable || isTransient(error)) {
    const { code, what } = error instanceof Unavailable ? error : databaseAway
    house.log.warn('unavailable', { method, requestId, code, what })
    const answer = { status: STATUS_OF_UNAVAILABLE[code], body: { error: code, message: SAYS[code] ?? SAYS_ALWAYS } }
    return error instanceof Stopping ? { ...answer, retryAfterSec: error.retryAfterSec } : answer
  }
  // Our own mistake, or a refusal that the method's lexicon doesn't name: nothing about it is for the caller.
  const code = error instanceof Refusal ? error.code : undefined
  house.log.error('failed', { method, requestId, error: errorName(error), code, stack: placeOf(error) })
  const message = `something went wrong here; tell us ${requestId}`
  return { status: 500, body: { error: 'InternalServerError', message } }
}

const SAYS_ALWAYS = 'not possible at the moment; try again'
const SAYS: Partial<Record<UnavailableCode, string>> = {
  RestoredFromPast:
    'this service was put back to an older state; nothing is changed here until its operator has seen to it',
}

/** Codes that are given before a way in is reached. */
const OF_ROUTER: ReadonlySet<RefusalCode> = new Set<RefusalCode>(['XRPCNotSupported', 'MethodNotImplemented'])

/** The frames of a stack without the message before them, which may quote what a stranger sent, on lines that look like frames. */
function placeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !error.stack) return undefined
  const messageAt = error.stack.indexOf(error.message)
  const frames = messageAt < 0 ? '' : error.stack.slice(messageAt + error.message.length)
  const lines = frames.split('\n').filter((line) => line.startsWith('    at '))
  return lines.slice(0, 4).join(' ').replace(/\s+/g, ' ')
}
