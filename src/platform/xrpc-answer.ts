/**
 * What the answer to an XRPC call means to whoever called as an account: done, refused by name, not in the grant, not let in, or later.
 * Only what looks like a name is taken from what a stranger wrote.
 */

/** As much of a response as is read here. */
export interface Answered {
  readonly status: number
  readonly body: unknown
  header(name: string): string | null
}

export interface CallRoom {
  readonly callsLeft: number
  readonly resetsInMs: number
}

export type Sorted =
  | { readonly is: 'done'; readonly room: CallRoom | null }
  | { readonly is: 'refused'; readonly error: string; readonly status: number }
  | { readonly is: 'unscoped' }
  /** `isTokenBad`: the token is taken no more, in the words of RFC 6750 §3.1. */
  | { readonly is: 'locked-out'; readonly isTokenBad: boolean }
  | { readonly is: 'later'; readonly because: string; readonly pauseMs: number | null }

const NAME = /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/
/** What a PDS calls a grant that doesn't cover a call: the published server, and RFC 6750 §3.1. */
const OF_SCOPE: ReadonlySet<string> = new Set(['ScopeMissingError', 'InsufficientScope', 'insufficient_scope'])
/** Busy, or somebody in front of it was. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 522, 524])
/** Nobody is believed who says to come back next month. */
const PAUSE_MAX_MS = 60 * 60_000

/** Sorts one answer. */
export function sortAnswer(answered: Answered, nowMs: number): Sorted {
  const { status } = answered
  if (status >= 200 && status < 300) return { is: 'done', room: roomOf(answered, nowMs) }
  const error = nameOf(answered.body)
  if (status === 401) {
    const says = answered.header('www-authenticate') ?? ''
    return { is: 'locked-out', isTokenBad: says.includes('error="invalid_token"') || error === 'invalid_token' }
  }
  if (status === 403 && isOfScope(error, answered)) return { is: 'unscoped' }
  if (PASSING.has(status)) return { is: 'later', because: `status ${status}`, pauseMs: pauseOf(answered, nowMs) }
  return { is: 'refused', error: error ?? `Status${status}`, status }
}

const isOfScope = (error: string | null, { header }: Answered): boolean =>
  (error !== null && OF_SCOPE.has(error)) || (header('www-authenticate') ?? '').includes('error="insufficient_scope"')

function nameOf(body: unknown): string | null {
  const error = typeof body === 'object' && body !== null && 'error' in body ? body.error : null
  return typeof error === 'string' && NAME.test(error) ? error : null
}

/** `ratelimit-reset` is seconds from now in the standard's draft, and seconds since 1970 as the published PDS writes it. */
const YEAR_SEC = 366 * 24 * 60 * 60

function resetMs(text: string | null, nowMs: number): number | null {
  if (text === null || !/^\d{1,12}$/.test(text)) return null
  const seconds = Number(text)
  const ms = seconds > YEAR_SEC ? seconds * 1000 - nowMs : seconds * 1000
  return Math.max(0, Math.min(ms, PAUSE_MAX_MS))
}

function roomOf({ header }: Answered, nowMs: number): CallRoom | null {
  const left = header('ratelimit-remaining')
  const resetsInMs = resetMs(header('ratelimit-reset'), nowMs)
  if (left === null || !/^\d{1,9}$/.test(left) || resetsInMs === null) return null
  return { callsLeft: Number(left), resetsInMs }
}

function pauseOf({ status, header }: Answered, nowMs: number): number | null {
  const after = header('retry-after')
  if (after !== null && /^\d{1,9}$/.test(after)) return Math.min(Number(after) * 1000, PAUSE_MAX_MS)
  return status === 429 ? resetMs(header('ratelimit-reset'), nowMs) : null
}
