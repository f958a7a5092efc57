/**
 * DID documents from the network, remembered for minutes.
 *
 * A document that is too old keeps a stolen key alive, and a fetch for every caller makes us the tool of whoever sends bad
 * signatures, so both ends are bounded: how long a document is believed, and how often anybody can make us ask again. Never
 * answers with the document of another DID, and never takes an unreachable source for a DID that doesn't exist.
 */

import { LRUCache } from 'lru-cache'
import { type Did, isLoopbackDid } from '../names.ts'
import { fromUtf8 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import type { PublicKey } from '../platform/ecdsa.ts'
import {
  DID_CACHE_MAX_BYTES,
  DID_CACHE_MAX_ENTRIES,
  DID_DOCUMENT_MAX_BYTES,
  DID_FETCH_TIMEOUT_MS,
  DID_FORCED_REFRESH_FLOOR_SEC,
  DID_FRESH_SEC,
  DID_HARD_SEC,
  DID_NEGATIVE_SEC,
  JSON_MAX_DEPTH,
} from '../platform/limits.ts'
import type { Log } from '../platform/log.ts'
import { type Outbound, OutboundFailure } from '../platform/outbound.ts'
import type { Sizes } from '../platform/sizes.ts'
import { parseStrictJson } from '../platform/strict-json.ts'
import { Unavailable, type UnavailableCode } from '../refusals.ts'
import { type DidDocument, type KeyName, parseDidDocument } from './document.ts'

/** A document and the instant at which it was asked for, in milliseconds since 1970. */
export interface ResolvedDocument extends DidDocument {
  readonly fetchedAtMs: number
}

export interface DidDocuments {
  /**
   * The document of a DID, or null when there is none that can be used: unknown or deleted, of another `id`, no strict JSON of
   * a DID document's shape, from the web and of another type or too large, or a loopback DID where those aren't allowed.
   * `fresh: true` asks the source again, at most once per DID in DID_FORCED_REFRESH_FLOOR_SEC; within that the remembered
   * answer comes back, as `fetchedAtMs` shows.
   * `beforeFetch` is called when this call, and not one before it that is still under way, would send a request; what it
   * throws passes through, and nothing is sent.
   * @throws Unavailable `UpstreamTimeout` or `UpstreamFailure`, when the source can't be asked and nothing remembered is
   * younger than DID_HARD_SEC
   */
  resolve(did: Did, ask?: { fresh?: boolean; beforeFetch?: (() => void) | undefined }): Promise<ResolvedDocument | null>
  /** Forgets one DID, and lets no fetch under way put its answer back: for a DID that we have just written. */
  expire(did: Did): void
}

/**
 * The key of one name as a function, for whoever checks signatures: null when the DID, its document or the key isn't there.
 * A signature that doesn't fit is tried again with `fresh: true`, once. `beforeFetch` and errors are those of `resolve`.
 */
export const keyLookup =
  (documents: Pick<DidDocuments, 'resolve'>, name: KeyName, beforeFetch?: () => void) =>
  async (did: Did, ask: { fresh: boolean }): Promise<PublicKey | null> =>
    (await documents.resolve(did, { ...ask, beforeFetch }))?.key(name) ?? null

export interface DidDocumentsOptions {
  readonly outbound: Outbound
  /** Base URL of the PLC directory. */
  readonly plcUrl: string
  readonly allowLoopback: boolean
  readonly clock: Clock
  readonly log: Log
  readonly sizes?: Sizes
}

/** What is remembered of a DID. Never changed, only replaced. */
interface Memory {
  /** The last answer of the source; null = no usable document; undefined = it never answered. */
  readonly answer: ResolvedDocument | null | undefined
  readonly answeredAtMs: number
  readonly failure: { readonly code: UnavailableCode; readonly atMs: number } | null
  readonly forcedAtMs: number | null
  /** What the answer occupies, estimated. */
  readonly bytes: number
}

const NOTHING: Memory = { answer: undefined, answeredAtMs: 0, failure: null, forcedAtMs: null, bytes: 0 }
/** Two keys, as objects of OpenSSL, and the entry around them. */
const MEMORY_BASE_BYTES = 1_024
/** After a failure the source is left alone this long; else every caller would wait for the time limit, one after the other. */
const FAILURE_PAUSE_SEC = 5
/** The answers of a source that say something about the DID; all others say something about the source. */
const OK = 200
const NOT_FOUND = 404
const GONE = 410
const MEDIA_TYPES = ['application/json', 'application/did+ld+json']

/** Opens the memory, empty. Nothing is fetched before somebody asks. */
export function openDidDocuments(options: DidDocumentsOptions): DidDocuments {
  const { clock } = options
  const remembered = new LRUCache<Did, Memory>({ max: DID_CACHE_MAX_ENTRIES, maxSize: DID_CACHE_MAX_BYTES })
  const flights = new Map<Did, { readonly landing: Promise<Memory> }>()
  options.sizes?.kept('DID documents', DID_CACHE_MAX_ENTRIES, () => remembered.size)
  options.sizes?.kept('DID documents, bytes', DID_CACHE_MAX_BYTES, () => remembered.calculatedSize)

  /** One flight per DID; everybody who needs the same document meanwhile waits for its landing. */
  function takeOff(did: Did, before: Memory, fresh: boolean): { readonly landing: Promise<Memory> } {
    const land = async (): Promise<Memory> => {
      try {
        const memory = await fetchMemory(options, did, before, fresh)
        if (flights.get(did) === flight) remembered.set(did, memory, { size: MEMORY_BASE_BYTES + memory.bytes })
        return memory
      } finally {
        // A flight that `expire` has struck off the list leaves its successor there.
        if (flights.get(did) === flight) flights.delete(did)
      }
    }
    const flight = { landing: Promise.resolve().then(land) }
    flights.set(did, flight)
    return flight
  }

  return {
    async resolve(did, ask) {
      if (isLoopbackDid(did) && !options.allowLoopback) return null
      const fresh = ask?.fresh ?? false
      const memory = remembered.get(did) ?? NOTHING
      if (!mustFetch(memory, clock.nowMs(), fresh)) return usable(memory, clock.nowMs())
      const underWay = flights.get(did)
      // Whoever joins a flight makes us send nothing, and has nothing to pay for.
      if (!underWay) ask?.beforeFetch?.()
      const flight = underWay ?? takeOff(did, memory, fresh)
      const landed = await flight.landing
      // What the source has just said needs no age; the clock may have been set back while it spoke.
      return landed.failure || landed.answer === undefined ? usable(landed, clock.nowMs()) : landed.answer
    },
    expire(did) {
      flights.delete(did)
      remembered.delete(did)
    },
  }
}

/** Whether an instant is less than `sec` ago. One in the future is not: the clock was set back, and nobody knows how old it is. */
const isWithin = (atMs: number, sec: number, nowMs: number): boolean => nowMs >= atMs && nowMs - atMs < sec * 1000

/** Whether the source has to be asked: forced and past the floor, or not in a pause after a failure and not fresh. */
function mustFetch(memory: Memory, nowMs: number, fresh: boolean): boolean {
  if (fresh && !(memory.forcedAtMs !== null && isWithin(memory.forcedAtMs, DID_FORCED_REFRESH_FLOOR_SEC, nowMs)))
    return true
  if (memory.failure && isWithin(memory.failure.atMs, FAILURE_PAUSE_SEC, nowMs)) return false
  if (memory.answer === undefined) return true
  return !isWithin(memory.answeredAtMs, memory.answer ? DID_FRESH_SEC : DID_NEGATIVE_SEC, nowMs)
}

/** The remembered answer while it may be used at all. "There is no such DID" goes stale sooner than a document. */
function usable(memory: Memory, nowMs: number): ResolvedDocument | null {
  const hardSec = memory.answer ? DID_HARD_SEC : DID_NEGATIVE_SEC
  if (memory.answer !== undefined && isWithin(memory.answeredAtMs, hardSec, nowMs)) return memory.answer
  throw new Unavailable(memory.failure?.code ?? 'UpstreamFailure', 'did-document')
}

/** What is known after asking the source. A failure keeps the older answer beside it. */
async function fetchMemory(
  { outbound, plcUrl, clock, log }: DidDocumentsOptions,
  did: Did,
  before: Memory,
  fresh: boolean,
): Promise<Memory> {
  // The age of an answer counts from the question, so a slow source can't make a document look younger than it is.
  const askedAtMs = clock.nowMs()
  const forcedAtMs = fresh ? askedAtMs : before.forcedAtMs
  const answered = (document: DidDocument | null, bytes: number): Memory => ({
    answer: document && { ...document, fetchedAtMs: askedAtMs },
    answeredAtMs: askedAtMs,
    failure: null,
    forcedAtMs,
    bytes,
  })
  try {
    const { status, contentType, body } = await outbound.request({
      method: 'GET',
      url: documentUrl(did, plcUrl),
      headers: { accept: MEDIA_TYPES.join(', ') },
      maxBytes: DID_DOCUMENT_MAX_BYTES,
      timeoutMs: DID_FETCH_TIMEOUT_MS,
      contentTypes: MEDIA_TYPES,
      isOperators: isOfPlc(did),
    })
    // A web server's 404 may look as it likes; a page that isn't JSON, where the directory should be, is some proxy's.
    const isItsOwnWord = !isOfPlc(did) || MEDIA_TYPES.includes(contentType)
    if (isItsOwnWord && (status === NOT_FOUND || status === GONE)) return answered(null, 0)
    if (status !== OK) throw new OutboundFailure('failed', `status ${status}`)
    const document = documentOf(did, body)
    return answered(document, document ? body.length : 0)
  } catch (error) {
    if (!(error instanceof OutboundFailure)) throw error
    log.info('did document not fetched', { did, kind: error.kind, because: error.because })
    const isUnusable = error.kind === 'too-large' || error.kind === 'wrong-type'
    if (isUnusable && !isOfPlc(did)) return answered(null, 0)
    // A target that may not be called is told like one that doesn't answer: the difference would map the operator's network.
    const code = error.kind === 'timeout' ? 'UpstreamTimeout' : 'UpstreamFailure'
    return { ...before, failure: { code, atMs: clock.nowMs() }, forcedAtMs }
  }
}

const isOfPlc = (did: Did): boolean => did.startsWith('did:plc:')

/** Where a DID's document is. The DID is canonical, so no character of it can reach beyond its place in the URL. */
function documentUrl(did: Did, plcUrl: string): string {
  if (isOfPlc(did)) return `${plcUrl.replace(/\/+$/, '')}/${encodeURIComponent(did)}`
  const host = decodeURIComponent(did.slice('did:web:'.length))
  return new URL(`${isLoopbackDid(did) ? 'http' : 'https'}://${host}/.well-known/did.json`).href
}

function documentOf(did: Did, body: Uint8Array): DidDocument | null {
  const text = fromUtf8(body)
  const json = text === null ? null : parseStrictJson(text, { maxDepth: JSON_MAX_DEPTH })
  return json && parseDidDocument(did, json)
}
