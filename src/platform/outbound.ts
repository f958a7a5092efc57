/**
 * The one door out of the house: every request that Reeve sends goes through here.
 *
 * Most of these URLs were named by strangers, so the door never dials an address that isn't public, never follows a redirect,
 * never asks a proxy of the environment, never unpacks a body, and never reads further than it was told. Its errors hold no
 * address, because a caller who learns what we could reach has a map of the operator's network.
 */
import { isIP, type LookupFunction } from 'node:net'
import { LRUCache } from 'lru-cache'
import { Agent, type Dispatcher } from 'undici'
import { isPublicAddress, type Target, type TargetRules, targetOf } from './addresses.ts'
import { type Clock, sleep } from './clock.ts'
import { type HostLookup, LOOKUP_TIMEOUT_MS, openHostLookup } from './host-lookup.ts'
import type { Counted } from './sizes.ts'
import { openTurns } from './turns.ts'

export type { HostLookup } from './host-lookup.ts'

export interface OutboundAsk {
  readonly method: 'GET' | 'POST'
  /** Canonical, as `new URL(url).href` would write it; a bare origin may go without its slash. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Longest body that is read. */
  readonly maxBytes: number
  /** From the call to the last byte of the answer, waiting for a turn included. */
  readonly timeoutMs: number
  /** Media types, without parameters, that a 2xx answer may have; null = any, or none. */
  readonly contentTypes: readonly string[] | null
  /** Headers of the answer that the caller reads, in lower case. */
  readonly answerHeaders?: readonly string[]
  /**
   * The URL is the operator's own setting and no stranger had a part in its host: a trusted origin may then be called as such.
   * Left out: a stranger may have named it, and the rules for strangers hold wherever it leads.
   */
  readonly isOperators?: boolean
}

export interface OutboundAnswer {
  /** 200–299 or 400–599. */
  readonly status: number
  /** The media type in lower case without parameters, or an empty string. */
  readonly contentType: string
  /** Those that were asked for and sent once: a header sent twice says two things, which is nothing. */
  readonly headers?: Readonly<Record<string, string>>
  /** Outside 2xx a body of another type, an encoded one or one beyond `maxBytes` is left unread, and this is empty. */
  readonly body: Uint8Array
}

export interface Outbound {
  /**
   * Sends one request and reads one answer.
   * @throws OutboundFailure `refused` (a target that may not be called; nothing was sent), `timeout`, `failed` (no connection,
   * a redirect, a broken answer, the door is closed), `too-large`, `wrong-type` (content type, or an encoding nobody asked for)
   */
  request(ask: OutboundAsk): Promise<OutboundAnswer>
  /** Whether a URL that a stranger named may be called at all, as far as its spelling tells. */
  mayCall(url: string): boolean
  /** Takes no more requests, ends those under way, and resolves when they have ended. Closing twice is as good as once. */
  close(): Promise<void>
}

export type OutboundFailureKind = 'refused' | 'timeout' | 'failed' | 'too-large' | 'wrong-type'

/** Why there is no answer. `because` is a word or an error code for the log: never an address, never a stranger's text. */
export class OutboundFailure extends Error {
  override readonly name = 'OutboundFailure'
  readonly kind: OutboundFailureKind
  readonly because: string

  constructor(kind: OutboundFailureKind, because: string) {
    super(`outbound request: ${kind}`)
    this.kind = kind
    this.because = because
  }
}

export interface OutboundOptions extends TargetRules {
  /** How strangers' names become addresses; c-ares unless a test brings its own. */
  readonly lookup?: HostLookup
  readonly clock: Clock
  /** Requests to strangers at once, where they aren't as many as usual. */
  readonly atOnce?: number
  /** Of which kind of target the line is. */
  readonly counted?: (kind: string) => Counted
}

/** Requests at once. The operator's own directory has turns of its own, so that slow strangers can't keep us from it. */
const TURNS: Record<Target['kind'], number> = { stranger: 256, loopback: 256, trusted: 64 }
const WAITING_MAX = 1_024
const TARGETS_MAX = 4_096
const CONNECTIONS_PER_ORIGIN = 16
const CONNECT_TIMEOUT_MS = 3_000
/** They wait on sockets of their own, not on the pool of threads: many slow names must not keep other names waiting. */
const LOOKUPS_AT_ONCE = 64
/** A name with more addresses than this is somebody's attempt to keep us busy. */
const ADDRESSES_MAX = 32
/** Addresses of each family that are tried. All were checked; few are dialled. */
const DIALLED_PER_FAMILY = 2
/** A refused address would answer faster than a dialled one; failures at strangers' names take at least this long. */
const FAILURE_FLOOR_MS = 250

/** Opens the door. Nothing is connected before the first request. */
export function openOutbound(options: OutboundOptions): Outbound {
  const rules = { ...options, trustedOrigins: options.trustedOrigins.map((origin) => new URL(origin).origin) }
  const agents: Record<Target['kind'], Agent> = {
    stranger: openAgent(asLookupFunction(publicAddressesBy(options.lookup ?? openHostLookup()))),
    loopback: openAgent(asLookupFunction(async () => ['127.0.0.1', '::1'])),
    // The operator's names are looked up as the system does it: they may stand in a hosts file.
    trusted: openAgent(undefined),
  }
  const turnsOf = (kind: Target['kind'], atOnce = TURNS[kind]) =>
    openTurns({ atOnce, waitingMax: WAITING_MAX }, options.counted?.(kind))
  const turns = {
    stranger: turnsOf('stranger', options.atOnce),
    loopback: turnsOf('loopback', options.atOnce),
    trusted: turnsOf('trusted'),
  }

  const endings = new Set<AbortController>()
  async function send(target: Target, ask: OutboundAsk): Promise<OutboundAnswer> {
    const startMs = options.clock.monotonicMs()
    const ending = new AbortController()
    const limit = setTimeout(() => ending.abort(), ask.timeoutMs)
    endings.add(ending)
    try {
      const endTurn = await turns[target.kind].take(ending.signal)
      try {
        return await exchange(agents[target.kind], target.url, ask, ending.signal)
      } finally {
        endTurn()
      }
    } catch (error) {
      const failure = failureOf(error, ending.signal)
      const leftMs = FAILURE_FLOOR_MS - (options.clock.monotonicMs() - startMs)
      if (target.kind === 'stranger' && leftMs > 0) await sleep(leftMs)
      throw failure
    } finally {
      clearTimeout(limit)
      endings.delete(ending)
    }
  }

  /** What was asked for lately, read: the same few addresses are called again and again. */
  const targets = new LRUCache<string, Target>({ max: TARGETS_MAX })
  const strangers = { ...rules, trustedOrigins: [] }
  function targetOfStranger(url: string): Target | null {
    const known = targets.get(url)
    if (known) return known
    const target = targetOf(url, strangers)
    if (target) targets.set(url, target)
    return target
  }

  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<unknown> | undefined
  const end = async () => {
    // Whoever closes has waited as long as they would: a directory that doesn't answer must not keep the house open.
    for (const ending of endings) ending.abort()
    await Promise.allSettled(underWay)
    // Destroyed, not closed: half-open connections of requests that gave up would keep the house open for seconds.
    await Promise.all(Object.values(agents).map((agent) => agent.destroy()))
  }

  return {
    async request(ask) {
      if (closing) throw new OutboundFailure('failed', 'closed')
      const target = ask.isOperators ? targetOf(ask.url, rules) : targetOfStranger(ask.url)
      if (!target) throw new OutboundFailure('refused', 'url')
      const sent = send(target, ask)
      underWay.add(sent)
      return sent.finally(() => underWay.delete(sent))
    },
    mayCall: (url) => targetOfStranger(url) !== null,
    async close() {
      closing ??= end()
      await closing
    },
  }
}

function openAgent(lookup: LookupFunction | undefined): Agent {
  return new Agent({
    connections: CONNECTIONS_PER_ORIGIN,
    // Multiplexing would let one stranger's connection carry many answers at once; nothing here needs it.
    allowH2: false,
    keepAliveMaxTimeout: 30_000,
    // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment would otherwise take every certificate.
    connect: { timeout: CONNECT_TIMEOUT_MS, rejectUnauthorized: true, ...(lookup && { lookup }) },
  })
}

/**
 * One request and its answer, or a rejection as soon as the signal aborts: whoever accepts a connection and says nothing can't hold us beyond
 * that.
 */
function exchange(agent: Agent, url: URL, ask: OutboundAsk, signal: AbortSignal): Promise<OutboundAnswer> {
  return new Promise((resolve, reject) => {
    const reading = new AnswerReading(ask, resolve, reject)
    if (signal.aborted) reading.giveUp(signal.reason)
    else signal.addEventListener('abort', () => reading.giveUp(signal.reason), { once: true })
    const { origin, pathname, search } = url
    agent.dispatch(
      {
        origin,
        path: `${pathname}${search}`,
        method: ask.method,
        headers: { 'user-agent': 'reeve', ...ask.headers, 'accept-encoding': 'identity' },
        body: ask.body ?? null,
      },
      reading,
    )
  })
}

type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/**
 * One answer as it comes in: judged in the order in which it arrives (status, encoding, type, announced length, bytes), and read no further
 * than was asked. It takes the client's events as they are: a stream and its promises for each answer would cost as much as sending it.
 */
class AnswerReading implements Dispatcher.DispatchHandler {
  readonly #ask: OutboundAsk
  readonly #resolve: (answer: OutboundAnswer) => void
  readonly #reject: (error: unknown) => void
  #controller: Dispatcher.DispatchController | null = null
  #told: Omit<OutboundAnswer, 'body'> = { status: 0, contentType: '' }
  readonly #chunks: Uint8Array[] = []
  #size = 0
  /** Why it was given up; null while it goes on. */
  #ended: Error | null = null

  constructor(ask: OutboundAsk, resolve: (answer: OutboundAnswer) => void, reject: (error: unknown) => void) {
    this.#ask = ask
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Reads no further. What is connected for it only later is sent nothing. */
  giveUp(reason: Error): void {
    this.#reject(reason)
    this.#end(reason)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#ended) controller.abort(this.#ended)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: Headers): void {
    if (status < 200 || this.#ended) return
    if (status < 400 && status >= 300) this.giveUp(new OutboundFailure('failed', 'redirect'))
    else if (status > 599) this.giveUp(new OutboundFailure('failed', 'status'))
    else this.#begin(status, headers)
  }

  #begin(status: number, headers: Headers): void {
    const { answerHeaders } = this.#ask
    const contentType = mediaTypeOf(headers['content-type'])
    this.#told = { status, contentType, ...(answerHeaders && { headers: chosenOf(headers, answerHeaders) }) }
    const fault = faultOf(headers, contentType, this.#ask)
    if (fault) this.#readNot(fault)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.#ended) return
    this.#size += chunk.length
    if (this.#size > this.#ask.maxBytes) this.#readNot(new OutboundFailure('too-large', 'bytes'))
    else this.#chunks.push(chunk)
  }

  onResponseEnd(): void {
    if (!this.#ended) this.#resolve({ ...this.#told, body: new Uint8Array(Buffer.concat(this.#chunks)) })
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#reject(error)
  }

  /** Of a refusal the status says enough. An unread rest is thrown away with its connection. */
  #readNot(fault: OutboundFailure): void {
    if (this.#told.status < 400) this.#reject(fault)
    else this.#resolve({ ...this.#told, body: new Uint8Array() })
    this.#end(fault)
  }

  #end(reason: Error): void {
    this.#ended ??= reason
    this.#controller?.abort(reason)
  }
}

function faultOf(headers: Headers, contentType: string, ask: OutboundAsk): OutboundFailure | null {
  // We asked for plain bytes. Whoever packs them all the same may have packed ten gigabytes into ten kilobytes.
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return new OutboundFailure('wrong-type', 'encoded')
  if (ask.contentTypes && !ask.contentTypes.includes(contentType)) return new OutboundFailure('wrong-type', 'type')
  if (Number(headers['content-length'] ?? 0) > ask.maxBytes) return new OutboundFailure('too-large', 'length')
  return null
}

const chosenOf = (headers: Headers, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(names.flatMap((name) => (typeof headers[name] === 'string' ? [[name, headers[name]]] : [])))

/** The media type of a header sent once; a header sent twice says two things, which is nothing. */
function mediaTypeOf(header: string | string[] | undefined): string {
  if (typeof header !== 'string') return ''
  return header.split(';', 1).join('').trim().toLowerCase()
}

/** A name's addresses, all of them public: one private address among them is an attack or a mistake, and refuses the name. */
function publicAddressesBy(lookup: HostLookup): HostLookup {
  const turns = openTurns({ atOnce: LOOKUPS_AT_ONCE, waitingMax: WAITING_MAX })
  return async (host) => {
    const endTurn = await turns.take(AbortSignal.timeout(LOOKUP_TIMEOUT_MS))
    const addresses = await lookup(host).finally(endTurn)
    if (addresses.length === 0) throw new OutboundFailure('failed', 'no address')
    if (addresses.length > ADDRESSES_MAX) throw new OutboundFailure('refused', 'addresses')
    if (!addresses.every(isPublicAddress)) throw new OutboundFailure('refused', 'address')
    const ofFamily = (family: number) => addresses.filter((address) => isIP(address) === family)
    return [4, 6].flatMap((family) => ofFamily(family).slice(0, DIALLED_PER_FAMILY))
  }
}

/** A lookup as sockets call it, at the moment of dialling, so that the checked address and the dialled one are the same. */
function asLookupFunction(lookup: HostLookup): LookupFunction {
  return (host, asked, done) => {
    lookup(host).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIP(address) }))
        const [first] = found
        if (!first) done(new OutboundFailure('failed', 'no address'), '')
        else if (asked.all) done(null, found)
        else done(null, first.address, first.family)
      },
      (error) => done(error instanceof Error ? error : new OutboundFailure('failed', 'lookup'), ''),
    )
  }
}

/** What went wrong, without the words of the error: those name addresses. */
function failureOf(error: unknown, signal: AbortSignal): OutboundFailure {
  if (error instanceof OutboundFailure) return error
  if (signal.aborted) return new OutboundFailure('timeout', 'time limit')
  if (error instanceof Error && error.name === 'TimeoutError') return new OutboundFailure('timeout', 'lookup')
  const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
  return new OutboundFailure(TIMEOUT_CODES.has(code) ? 'timeout' : 'failed', code)
}

const TIMEOUT_CODES = new Set(['ETIMEOUT', 'ETIMEDOUT', 'ECANCELLED', 'UND_ERR_CONNECT_TIMEOUT'])
