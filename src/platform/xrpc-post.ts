/**
 * One call of a procedure at somebody else's host, and what its answer means to whoever has something to tell: heard, not wanted, or not
 * heard. Only the status counts; what a stranger writes into a body is not read.
 */
import { type Outbound, OutboundFailure } from './outbound.ts'

export interface XrpcPost {
  /** Without a slash at the end. */
  readonly origin: string
  readonly nsid: string
  /** A service auth token for exactly this method and receiver. */
  readonly token: string
  readonly body: object
  readonly timeoutMs: number
}

/**
 * `heard`: 2xx. `unwanted`: the receiver said that it will not take this, now or later. `failed`: it may later. `because` is a word for logs
 * and for people: never an address, never a stranger's text.
 */
export type Heard = { readonly is: 'heard' } | { readonly is: 'unwanted' | 'failed'; readonly because: string }

/** Answers are read no further; an empty one is all that a receiver has to send. */
const ANSWER_MAX_BYTES = 4 * 1024
/** Statuses after which the same call may be taken: the receiver was busy, or somebody in front of it was. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 522, 524])

/** Whether it didn't take us for whom we are, or the receiver that was named for one of its own. */
export const isDenied = (heard: Heard): boolean =>
  heard.is === 'unwanted' && (heard.because === 'status 401' || heard.because === 'status 403')

/** Sends it once. Never throws for what the receiver or the network does. */
export async function postXrpc(outbound: Pick<Outbound, 'request'>, post: XrpcPost): Promise<Heard> {
  const { origin, nsid, token, body, timeoutMs } = post
  try {
    const { status } = await outbound.request({
      method: 'POST',
      url: `${origin}/xrpc/${nsid}`,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      maxBytes: ANSWER_MAX_BYTES,
      timeoutMs,
      contentTypes: null,
    })
    if (status >= 200 && status < 300) return { is: 'heard' }
    return { is: PASSING.has(status) ? 'failed' : 'unwanted', because: `status ${status}` }
  } catch (error) {
    if (!(error instanceof OutboundFailure)) throw error
    // The status came before: of a refusal the door would have told that alone, so the receiver took it and then said too much.
    if (error.kind === 'too-large' || error.kind === 'wrong-type') return { is: 'heard' }
    return { is: 'failed', because: error.kind }
  }
}
