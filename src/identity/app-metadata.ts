/**
 * The keys of apps, from the addresses that are the apps' names, remembered for minutes.
 *
 * Strangers choose those addresses, so both ends are bounded, as with DID documents: how long a key is believed after its app took
 * it back, and how often anybody can make us ask a host. Never answers with the keys of another client id, and never takes
 * a host that can't be reached for an app without keys.
 */

import { LRUCache } from 'lru-cache'
import { type ClientId, isLoopbackClientId } from '../names.ts'
import { fromUtf8 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import type { PublicJwk } from '../platform/jwk.ts'
import {
  APP_CACHE_MAX_BYTES,
  APP_CACHE_MAX_ENTRIES,
  APP_FETCH_TIMEOUT_MS,
  APP_FRESH_SEC,
  APP_HARD_SEC,
  APP_KEYS_MAX_BYTES,
  APP_METADATA_MAX_BYTES,
  APP_NEGATIVE_SEC,
  APP_REFRESH_FLOOR_SEC,
  JSON_MAX_DEPTH,
} from '../platform/limits.ts'
import type { Log } from '../platform/log.ts'
import { type Outbound, OutboundFailure } from '../platform/outbound.ts'
import type { Sizes } from '../platform/sizes.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import { Refusal, Unavailable, type UnavailableCode } from '../refusals.ts'
import { keySourceOf, keysOfSet } from './app-document.ts'

export interface AppMetadata {
  /**
   * The keys by which an app signs, one at the least.
   * `fresh: true` asks its host again, unless that was asked within APP_REFRESH_FLOOR_SEC; then the very same list comes back.
   * `beforeFetch` is called when this call, and not one before it that is still under way, would send requests (two at the most:
   * for the metadata, and for the keys that it may point to); what it throws passes through, and nothing is sent.
   * @throws Refusal `InvalidClientAttestation`, when what the host serves isn't the metadata of this app with usable keys, and for a
   * loopback client where those aren't allowed; Unavailable `UpstreamTimeout` or `UpstreamFailure`, when the host can't be asked
   * and nothing remembered is younger than APP_HARD_SEC
   */
  keysOf(
    clientId: ClientId,
    ask?: { fresh?: boolean; beforeFetch?: (() => void) | undefined },
  ): Promise<readonly PublicJwk[]>
}

/** The keys of an app, for whoever checks its signature; a signature that doesn't fit is tried again with `fresh: true`, once. */
export type AppKeysOf = (clientId: ClientId, ask: { fresh: boolean }) => Promise<readonly PublicJwk[]>

/** The keys of apps as a function, at the expense of whom `beforeFetch` charges. Errors are those of `keysOf`. */
export const appKeyLookup =
  (apps: AppMetadata, beforeFetch?: () => void): AppKeysOf =>
  (clientId, ask) =>
    apps.keysOf(clientId, { ...ask, beforeFetch })

export interface AppMetadataOptions {
  readonly outbound: Outbound
  readonly allowLoopback: boolean
  readonly clock: Clock
  readonly log: Log
  readonly sizes?: Sizes
}

/** What a host said of an app: keys, or what is wrong with what it serves. */
type Answer = { readonly keys: readonly PublicJwk[] } | { readonly wrong: string }

/** What is remembered of an app. Never changed, only replaced. */
interface Memory {
  /** Undefined: its host never answered. */
  readonly answer: Answer | undefined
  readonly answeredAtMs: number
  readonly failure: { readonly code: UnavailableCode; readonly atMs: number } | null
  /** When its host was last asked, whatever came of it. */
  readonly askedAtMs: number | null
}

const NOTHING: Memory = { answer: undefined, answeredAtMs: 0, failure: null, askedAtMs: null }
/** An entry without its keys and its name, and a key as an object of OpenSSL; estimated. */
const MEMORY_BASE_BYTES = 512
const KEY_BYTES = 2_048
/** After a failure a host is left alone this long; else every caller would wait for the time limit, one after the other. */
const FAILURE_PAUSE_SEC = 5

const OK = 200
const TOO_MANY_REQUESTS = 429
const SERVER_ERRORS = 500
const METADATA_TYPES = ['application/json']
/** The second is the registered type of key sets (RFC 7517 §8.5.2). */
const KEY_SET_TYPES = ['application/json', 'application/jwk-set+json']

/** Opens the memory, empty. Nothing is fetched before somebody asks. */
export function openAppMetadata(options: AppMetadataOptions): AppMetadata {
  const { clock } = options
  const remembered = new LRUCache<ClientId, Memory>({ max: APP_CACHE_MAX_ENTRIES, maxSize: APP_CACHE_MAX_BYTES })
  const flights = new Map<ClientId, Promise<Memory>>()
  options.sizes?.kept('app metadata', APP_CACHE_MAX_ENTRIES, () => remembered.size)
  options.sizes?.kept('app metadata, bytes', APP_CACHE_MAX_BYTES, () => remembered.calculatedSize)

  /** One flight per app; everybody who needs the same keys meanwhile waits for its landing. */
  function takeOff(clientId: ClientId, before: Memory): Promise<Memory> {
    const land = async (): Promise<Memory> => {
      try {
        const memory = await fetchMemory(options, clientId, before)
        remembered.set(clientId, memory, { size: sizeOf(clientId, memory) })
        return memory
      } finally {
        flights.delete(clientId)
      }
    }
    const flight = Promise.resolve().then(land)
    flights.set(clientId, flight)
    return flight
  }

  return {
    async keysOf(clientId, ask) {
      if (isLoopbackClientId(clientId) && !options.allowLoopback) throw unfit('apps of this machine can’t attest here')
      const memory = remembered.get(clientId) ?? NOTHING
      if (!mustFetch(memory, clock.nowMs(), ask?.fresh ?? false)) return keysIn(usable(memory, clock.nowMs()))
      const underWay = flights.get(clientId)
      // Whoever joins a flight makes us send nothing, and has nothing to pay for.
      if (!underWay) ask?.beforeFetch?.()
      const landed = await (underWay ?? takeOff(clientId, memory))
      // What the host has just said needs no age; the clock may have been set back while it spoke.
      return keysIn(landed.failure || !landed.answer ? usable(landed, clock.nowMs()) : landed.answer)
    },
  }
}

const unfit = (says: string, because?: string): Refusal => new Refusal('InvalidClientAttestation', says, because)

function keysIn(answer: Answer): readonly PublicJwk[] {
  if ('wrong' in answer) throw unfit(answer.wrong)
  return answer.keys
}

function sizeOf(clientId: ClientId, { answer }: Memory): number {
  const keys = answer && 'keys' in answer ? answer.keys.length : 0
  return MEMORY_BASE_BYTES + 2 * clientId.length + keys * KEY_BYTES
}

/** Whether an instant is less than `sec` ago. One in the future is not: the clock was set back, and nobody knows how old it is. */
const isWithin = (atMs: number, sec: number, nowMs: number): boolean => nowMs >= atMs && nowMs - atMs < sec * 1000

const freshSec = (answer: Answer): number => ('keys' in answer ? APP_FRESH_SEC : APP_NEGATIVE_SEC)
const hardSec = (answer: Answer): number => ('keys' in answer ? APP_HARD_SEC : APP_NEGATIVE_SEC)

/** Whether the host has to be asked: not in a pause after a failure, and past the floor for whoever wants it fresh. */
function mustFetch({ answer, answeredAtMs, failure, askedAtMs }: Memory, nowMs: number, fresh: boolean): boolean {
  if (failure && isWithin(failure.atMs, FAILURE_PAUSE_SEC, nowMs)) return false
  if (!answer || !isWithin(answeredAtMs, freshSec(answer), nowMs)) return true
  return fresh && !(askedAtMs !== null && isWithin(askedAtMs, APP_REFRESH_FLOOR_SEC, nowMs))
}

/** The remembered answer while it may be used at all. */
function usable({ answer, answeredAtMs, failure }: Memory, nowMs: number): Answer {
  if (answer && isWithin(answeredAtMs, hardSec(answer), nowMs)) return answer
  throw new Unavailable(failure?.code ?? 'UpstreamFailure', 'client-metadata')
}

/** What is known after asking the host. A failure keeps the older answer beside it. */
async function fetchMemory(
  { outbound, clock, log }: AppMetadataOptions,
  clientId: ClientId,
  before: Memory,
): Promise<Memory> {
  // The age of an answer counts from the question, so a slow host can't make its keys look younger than they are.
  const askedAtMs = clock.nowMs()
  const answered = (answer: Answer): Memory => ({ answer, answeredAtMs: askedAtMs, failure: null, askedAtMs })
  try {
    return answered({ keys: await fetchKeys(outbound, clientId) })
  } catch (error) {
    if (error instanceof Refusal) {
      log.info('client metadata of no use', { clientId, says: error.says, because: error.because })
      return answered({ wrong: error.says })
    }
    if (!(error instanceof OutboundFailure)) throw error
    log.info('client metadata not fetched', { clientId, kind: error.kind, because: error.because })
    const code = error.kind === 'timeout' ? 'UpstreamTimeout' : 'UpstreamFailure'
    return { ...before, failure: { code, atMs: clock.nowMs() }, askedAtMs }
  }
}

async function fetchKeys(outbound: Outbound, clientId: ClientId): Promise<readonly PublicJwk[]> {
  const metadata = await fetchJson(outbound, {
    ...{ what: 'the client metadata', url: clientId },
    ...{ maxBytes: APP_METADATA_MAX_BYTES, contentTypes: METADATA_TYPES },
  })
  const source = keySourceOf(clientId, metadata)
  if ('inline' in source) return keysOfSet(source.inline)
  const set = await fetchJson(outbound, {
    ...{ what: 'the app’s key set', url: source.uri },
    ...{ maxBytes: APP_KEYS_MAX_BYTES, contentTypes: KEY_SET_TYPES },
  })
  return keysOfSet(set)
}

interface Wanted {
  /** For whoever is told that it isn't there. */
  readonly what: string
  readonly url: string
  readonly maxBytes: number
  readonly contentTypes: readonly string[]
}

/** @throws Refusal for what the host itself did wrong; OutboundFailure when the host, or the way to it, is out of order */
async function fetchJson(
  outbound: Outbound,
  { what, url, maxBytes, contentTypes }: Wanted,
): Promise<Record<string, unknown>> {
  const accept = contentTypes.join(', ')
  const ask = { method: 'GET', url, headers: { accept }, maxBytes, timeoutMs: APP_FETCH_TIMEOUT_MS } as const
  const { status, body } = await outbound.request({ ...ask, contentTypes }).catch((error: unknown) => {
    throw faultOf(error, what, maxBytes) ?? error
  })
  if (status === TOO_MANY_REQUESTS || status >= SERVER_ERRORS) throw new OutboundFailure('failed', `status ${status}`)
  if (status !== OK) throw unfit(`${what} is not where it should be`, `status ${status}`)
  const text = fromUtf8(body)
  const json = text === null ? null : parseStrictJson(text, { maxDepth: JSON_MAX_DEPTH })
  if (!json) throw unfit(`${what} is not a JSON object, or says something twice`)
  return json
}

/**
 * What is wrong with how the host serves it, or null when it couldn't be asked. A name that leads to a private address is told like
 * one that leads nowhere: the difference would map the operator's network. A URL that is refused for its spelling gives nothing away.
 */
function faultOf(error: unknown, what: string, maxBytes: number): Refusal | null {
  if (!(error instanceof OutboundFailure)) return null
  const { kind, because } = error
  if (kind === 'too-large') return unfit(`${what} is longer than ${maxBytes} bytes`, because)
  if (kind === 'wrong-type') return unfit(`${what} must be served as application/json, unpacked`, because)
  if (kind === 'refused' && because === 'url') return unfit(`${what} is at an address that is not called`, because)
  if (because === 'redirect') return unfit(`${what} must be served where it is asked for, without a redirect`, because)
  return null
}
