/**
 * Token buckets: what one caller may have this process do.
 *
 * An address pays at the door, before anything dear is done, and once more for every DID that really has to be fetched for it.
 * The address is the socket's, or what a proxy we were told to trust says. A person pays too, but only once their own signature
 * held: charged any sooner, a stranger could empty somebody else's bucket with forged tokens.
 */

import ipaddr from 'ipaddr.js'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../platform/clock.ts'
import { RATE_BUCKETS_MAX, RETRY_AFTER_MAX_SEC } from '../platform/limits.ts'
import type { Sizes } from '../platform/sizes.ts'
import { Refusal } from '../refusals.ts'

/** What a bucket holds, and how many drops come back in a second. */
export interface Rate {
  readonly burst: number
  readonly perSec: number
}

/** What a door charges an address for coming in. */
export type DoorBucket = 'public' | 'governance' | 'founding' | 'exchange' | 'notify' | 'hook' | 'connect'
/** What a proven person is charged. */
export type PersonBucket = 'governancePerson' | 'foundingPerson' | 'exchangePerson' | 'writer' | 'authority'
export type BucketName = DoorBucket | 'resolution' | 'writerResolution' | PersonBucket | 'spaceWrites' | 'forged'

const HOUR_SEC = 60 * 60

export const RATES: Readonly<Record<BucketName, Rate>> = {
  // of an address: an app's server may ask on behalf of very many people; founding a community is a rare act
  public: { burst: 200, perSec: 50 },
  governance: { burst: 200, perSec: 50 },
  founding: { burst: 10, perSec: 0.1 },
  exchange: { burst: 600, perSec: 200 },
  // of an address: DID documents that aren't remembered, each a request of ours to a place that the caller named
  resolution: { burst: 100, perSec: 10 },
  // of a person, on all their devices together
  governancePerson: { burst: 200, perSec: 10 },
  foundingPerson: { burst: 20, perSec: 20 / (24 * HOUR_SEC) },
  // somebody in two hundred spaces, each renewed every ten minutes
  exchangePerson: { burst: 600, perSec: 1200 / HOUR_SEC },
  // of an address: a host announces the writes of all of its people; whoever is told to wait comes again
  notify: { burst: 2000, perSec: 500 },
  writerResolution: { burst: 500, perSec: 50 },
  // of one who writes, over all spaces, and of everybody who writes in one space
  writer: { burst: 60, perSec: 5 },
  spaceWrites: { burst: 1000, perSec: 200 },
  // of an address: a PDS asks for all of its accounts, and twice for whoever comes in and writes
  hook: { burst: 10_000, perSec: 4000 },
  // of an address: somebody at a browser, who opens a link and comes back; each has us ask a PDS
  connect: { burst: 30, perSec: 0.2 },
  // of an account, about all of its spaces
  authority: { burst: 5000, perSec: 2000 },
  // of an address in the name of one account: tokens that turned out not to be that account's
  forged: { burst: 50, perSec: 5 },
}

/** The refusal of an empty bucket, which knows when there is a drop again. */
export class EmptyBucket extends Refusal {
  /** Whole seconds, at least one. */
  readonly retryAfterSec: number

  constructor(says: string, retryAfterSec: number) {
    super('RateLimitExceeded', says)
    this.retryAfterSec = retryAfterSec
  }
}

interface Level {
  readonly drops: number
  readonly atMs: number
}

const WHOSE: Readonly<Partial<Record<BucketName, string>>> = {
  governancePerson: 'for this person',
  foundingPerson: 'for this person',
  exchangePerson: 'for this person',
  writer: 'for this person',
  spaceWrites: 'in this space',
  authority: 'about the spaces of this account',
}

export class RateBuckets {
  readonly #rates: Readonly<Record<BucketName, Rate>>
  readonly #clock: Clock
  /** A table for each name, so that nobody is forgotten in one because of strangers who crowd another. */
  readonly #tables = new Map<BucketName, LRUCache<string, Level>>()

  constructor(clock: Clock, rates: Readonly<Record<BucketName, Rate>> = RATES, sizes?: Sizes) {
    this.#clock = clock
    this.#rates = rates
    for (const name of Object.keys(rates) as BucketName[])
      sizes?.kept(`buckets: ${name}`, RATE_BUCKETS_MAX, () => this.remembered(name))
  }

  /**
   * Takes one drop from the bucket of `who`: an address, a DID for the buckets of persons, or a space's URI.
   * @throws EmptyBucket (`RateLimitExceeded`) when there is none
   */
  take(name: BucketName, who: string): void {
    const nowMs = this.#clock.monotonicMs()
    const drops = this.#dropsOf(name, who, nowMs)
    if (drops < 1) throw this.#emptyOf(name, drops)
    this.#tableOf(name).set(who, { drops: drops - 1, atMs: nowMs })
  }

  /** Makes sure that there is a drop, and leaves it there. @throws EmptyBucket */
  require(name: BucketName, who: string): void {
    const drops = this.#dropsOf(name, who, this.#clock.monotonicMs())
    if (drops < 1) throw this.#emptyOf(name, drops)
  }

  /** Takes drops for what was done already, and was dearer than one. There may be fewer than none then, and nobody is refused by it. */
  owe(name: BucketName, who: string, drops: number): void {
    const { burst } = this.#rates[name]
    const nowMs = this.#clock.monotonicMs()
    this.#tableOf(name).set(who, { drops: Math.max(-burst, this.#dropsOf(name, who, nowMs) - drops), atMs: nowMs })
  }

  /** How many callers a table remembers at the moment. */
  remembered(name: BucketName): number {
    return this.#tables.get(name)?.size ?? 0
  }

  #emptyOf(name: BucketName, drops: number): EmptyBucket {
    const whose = WHOSE[name] ?? 'from your address'
    const retryAfterSec = secUntilNext(drops, this.#rates[name].perSec)
    return new EmptyBucket(`too many requests ${whose}; try again in a moment`, retryAfterSec)
  }

  #dropsOf(name: BucketName, who: string, nowMs: number): number {
    const { burst, perSec } = this.#rates[name]
    const before = this.#tableOf(name).get(who) ?? { drops: burst, atMs: nowMs }
    return Math.min(burst, before.drops + ((nowMs - before.atMs) / 1000) * perSec)
  }

  #tableOf(name: BucketName): LRUCache<string, Level> {
    const table = this.#tables.get(name) ?? new LRUCache<string, Level>({ max: RATE_BUCKETS_MAX })
    this.#tables.set(name, table)
    return table
  }
}

const secUntilNext = (drops: number, perSec: number): number =>
  Math.max(1, Math.min(RETRY_AFTER_MAX_SEC, Math.ceil((1 - drops) / perSec)))

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number]

/** A function from a request's socket address and forwarded header to the address that is charged. */
export function addressReader(trustedProxies: readonly string[]) {
  const trusted = trustedProxies.map((cidr) => ipaddr.parseCIDR(cidr) as Range)
  const isTrusted = (address: ipaddr.IPv4 | ipaddr.IPv6): boolean =>
    trusted.some(([range, bits]) => range.kind() === address.kind() && address.match(range, bits))

  /** From the right: the last address that no trusted proxy wrote down about another trusted proxy. */
  return (socketAddress: string | undefined, forwardedFor: string | undefined): string => {
    let address = parseAddress(socketAddress)
    if (!address) return 'unknown'
    const hops = forwardedFor && isTrusted(address) ? forwardedFor.split(',').slice(-20) : []
    for (const hop of hops.reverse()) {
      const next = parseAddress(hop.trim())
      if (!next) break
      address = next
      if (!isTrusted(next)) break
    }
    return bucketOf(address)
  }
}

function parseAddress(text: string | undefined): ipaddr.IPv4 | ipaddr.IPv6 | null {
  return text !== undefined && ipaddr.isValid(text) ? ipaddr.process(text) : null
}

/** An IPv6 customer has a /64 at least: all of it is one caller. */
function bucketOf(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  if (address.kind() === 'ipv4') return address.toString()
  return (address as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')
}
