/**
 * What any JWT says about time and about itself: `exp`, `iat`, `nbf`, `jti`, `alg`, and header members nobody may send.
 *
 * Only shapes and arithmetic: no names, no keys, no refusals. Whoever asks decides what a bad answer is called. A number that
 * isn't a safe integer (`1e999`, `1.5`, text) is no instant at all: compared with a clock it would live for ever, or never.
 */
import { SPENT_MARGIN_SEC } from './limits.ts'

/** How far a token may reach in time. */
export interface TimeRules {
  /** From `iat` to `exp`, at the very most. */
  readonly lifetimeMaxSec: number
  /** How long after `exp` a token is still taken, because clocks differ. */
  readonly skewSec: number
  /** How far ahead of our clock `iat` and `nbf` may lie. */
  readonly iatAheadMaxSec: number
}

/**
 * The rules of every token that somebody else signs for one errand. The protocol mints them for 60 s and names no maximum;
 * without one, a signed token could live for years and its single use would have to be remembered as long.
 */
export const ERRAND_TIMES = { lifetimeMaxSec: 300, skewSec: 5, iatAheadMaxSec: 30 } as const satisfies TimeRules

/** Longest `jti`. Everybody mints 32 characters; the value becomes part of a key in the database. */
export const JTI_MAX_CHARS = 256

/** The instants a token names. `exp` is required, the others are null when absent. */
export interface TokenTimes {
  readonly expSec: number
  readonly iatSec: number | null
  readonly nbfSec: number | null
}

/** `late`: it was good once. `unsound`: it lives too long, begins too far ahead, or ends before it begins. */
export type TimeVerdict = 'inTime' | 'late' | 'unsound'

/** Seconds since 1970 as a whole, non-negative, exactly representable number, or null. */
export function parseSeconds(value: unknown): number | null {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : null
}

/** The instants of a payload, or null when `exp` is missing or any of the three isn't a whole number of seconds. */
export function parseTimes(payload: Readonly<Record<string, unknown>>): TokenTimes | null {
  const expSec = parseSeconds(payload.exp)
  const iatSec = parseSeconds(payload.iat)
  const nbfSec = parseSeconds(payload.nbf)
  if (expSec === null) return null
  if ((Object.hasOwn(payload, 'iat') && iatSec === null) || (Object.hasOwn(payload, 'nbf') && nbfSec === null))
    return null
  return { expSec, iatSec, nbfSec }
}

/** Judges instants against the clock. `late` is said before `unsound`, so that an old token is called old. */
export function judgeTimes(times: TokenTimes, nowSec: number, rules: TimeRules): TimeVerdict {
  const { expSec, iatSec, nbfSec } = times
  if (nowSec - rules.skewSec >= expSec) return 'late'
  // Without an `iat` the end alone is bounded: from now, which is no earlier than the unknown beginning.
  if (expSec > nowSec + rules.lifetimeMaxSec + rules.skewSec) return 'unsound'
  if (iatSec !== null && (iatSec >= expSec || expSec - iatSec > rules.lifetimeMaxSec)) return 'unsound'
  const latestStartSec = nowSec + rules.iatAheadMaxSec
  return (iatSec ?? 0) > latestStartSec || (nbfSec ?? 0) > latestStartSec ? 'unsound' : 'inTime'
}

/** Until when a single use must be remembered: past the last second at which the token would still be taken. */
export const keepUntilSec = (expSec: number, rules: Pick<TimeRules, 'skewSec'>): number =>
  expSec + rules.skewSec + SPENT_MARGIN_SEC

/** A `jti` of 1 to 256 characters, none of them a control character, or null. */
export function parseJti(value: unknown): string | null {
  return typeof value === 'string' && value.length <= JTI_MAX_CHARS && /^\P{Cc}+$/u.test(value) ? value : null
}

/** The `alg` of a header, or null when it is no name of an algorithm, or the name of having none. */
export function parseAlg(value: unknown): string | null {
  return typeof value === 'string' && value !== '' && value.toLowerCase() !== 'none' ? value : null
}

const SENDERS_OWN_KEYS = ['jwk', 'jku', 'x5u', 'x5c', 'x5t', 'x5t#S256']
const CHANGED_MEANING = ['crit', 'b64']

/** Whether a header asks for another reading of the token (`crit`, `b64`): we implement no extension, so it can't be honoured. */
export const changesMeaning = (header: Readonly<Record<string, unknown>>): boolean =>
  CHANGED_MEANING.some((name) => Object.hasOwn(header, name))

/** Whether a header brings a key along, or an address to fetch one from. A token never chooses the key that judges it. */
export const bringsOwnKey = (header: Readonly<Record<string, unknown>>): boolean =>
  SENDERS_OWN_KEYS.some((name) => Object.hasOwn(header, name))
