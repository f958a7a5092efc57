/**
 * The outbound door in the shape of `fetch`, for a library that brings its own idea of a request. What the door refuses, it refuses here:
 * no redirect is followed, nothing private is dialled, and of an answer's headers only those come through that OAuth is written with.
 */
import type { Outbound } from './outbound.ts'

export interface FetchLimits {
  readonly maxBytes: number
  /** For questions, and for calls that may do something: whoever gives up on those doesn't know whether it was done. */
  readonly getTimeoutMs: number
  readonly postTimeoutMs: number
}

/** Nonces and what was wrong with a proof (RFC 9449 §7–8), and how many more calls are taken. */
export const OAUTH_HEADERS = [
  'dpop-nonce',
  'www-authenticate',
  'ratelimit-limit',
  'ratelimit-remaining',
  'ratelimit-reset',
  'retry-after',
] as const

/** Statuses whose answers have no body, so that the platform lets none be made with one. */
const WITHOUT_BODY: ReadonlySet<number> = new Set([204, 205])

export type FetchLike = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/**
 * Sends one request by the door. @throws OutboundFailure as the door; never a TypeError, which a library could take for a broken session
 */
export const fetchBy =
  (outbound: Pick<Outbound, 'request'>, limits: FetchLimits): FetchLike =>
  async (input, init) => {
    const asked = new Request(input, init)
    const isPost = asked.method === 'POST'
    const text = isPost ? await asked.text() : ''
    const answer = await outbound.request({
      method: isPost ? 'POST' : 'GET',
      url: asked.url,
      headers: Object.fromEntries(asked.headers),
      ...(isPost ? { body: text } : {}),
      maxBytes: limits.maxBytes,
      timeoutMs: isPost ? limits.postTimeoutMs : limits.getTimeoutMs,
      contentTypes: null,
      answerHeaders: OAUTH_HEADERS,
    })
    const { status, contentType, headers = {} } = answer
    const shown = contentType === '' ? headers : { ...headers, 'content-type': contentType }
    return new Response(WITHOUT_BODY.has(status) ? null : new Uint8Array(answer.body), { status, headers: shown })
  }
