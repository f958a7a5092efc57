/**
 * Renewing the tokens of a grant: a refresh token is good for one time, and a PDS takes its second use for theft and ends the grant. So of all
 * processes one renews at a time, by a turn that it holds in the database; the others take what it kept.
 *
 * Whoever dies between the answer of the PDS and the keeping of it takes the new tokens along: the old ones are spent, and the next to
 * renew finds the grant ended. That is told as any lost grant; it can't be prevented from here, only kept short.
 */

import { LRUCache } from 'lru-cache'
import { appendUnsealed } from '../audit/store.ts'
import { LIVE_KEY_MS, LIVE_KEYS_MAX } from '../keys/vault.ts'
import type { Did } from '../names.ts'
import { type Clock, msOf, sleep } from '../platform/clock.ts'
import { type Db, isTransient, withTransaction } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import { type Random, randomHex } from '../platform/random.ts'
import type { Sizes } from '../platform/sizes.ts'
import { type Connection, loadConnection, loadUsableConnection, saveLost, saveRenewed } from './connection-store.ts'
import type { Grants } from './grants.ts'
import type { Session } from './oauth-client.ts'
import { missingOf, scopesIn } from './scopes.ts'
import { openSession, type SealingCtx, sealSession } from './sealed-session.ts'
import { endTurn, takeTurn } from './turn-store.ts'

export interface RenewalCtx extends SealingCtx {
  readonly db: Db
  readonly clock: Clock
  readonly random: Random
  readonly log: Pick<Log, 'warn' | 'error'>
  readonly grants: Grants
  /** By whose word it is said that a grant is lost or covers less. */
  readonly serviceDid: Did
  readonly sizes?: Sizes
}

/** A grant that can be used: its row and its tokens, opened. */
export interface OpenGrant {
  readonly connection: Connection
  readonly session: Session
}

/** Why there are no tokens. `unconnected`: there is no grant, or it is no more. `later`: nobody could say. */
export type NoTokens = { readonly is: 'unconnected' } | { readonly is: 'later'; readonly because: string }
export type Renewed = { readonly is: 'open'; readonly grant: OpenGrant } | NoTokens

/** Longer than everything together that a renewal asks may take: whoever comes after this thinks that its holder has died. */
const TURN_MS = 60_000
/** A turn that ends later than this was taken by a clock that was wrong; no two processes' clocks are so far apart when they are right. */
const TURN_LONGEST_MS = 10 * TURN_MS
/** How long somebody waits for another process. They are told to come later, and find it done. */
const WAIT_MAX_MS = 20_000
const WAIT_STEP_MS = 100
/** Tokens that end within this are renewed before a call. */
const STALE_MS = 60_000
/** A call takes a moment to be heard. */
const ENDING_MS = 5_000
/** How often keeping is tried before renewed tokens are left to this process alone, and the pause before each. */
const KEEPING_PAUSES_MS = [0, 200, 1_000, 3_000]

export class Renewals {
  readonly #ctx: RenewalCtx
  readonly #open: LRUCache<Did, OpenGrant>
  readonly #underWay = new Map<Did, Promise<Renewed>>()
  /** Renewed tokens that the database didn't take. They are nowhere else, so they stay here until it does, or until there are others. */
  readonly #unkept = new Map<Did, OpenGrant>()

  constructor(ctx: RenewalCtx) {
    this.#ctx = ctx
    const perf = { now: () => ctx.clock.monotonicMs() + 1 }
    this.#open = new LRUCache({ max: LIVE_KEYS_MAX, ttl: LIVE_KEY_MS, ttlResolution: 0, perf })
    ctx.sizes?.kept('open grants', LIVE_KEYS_MAX, () => this.#open.size)
  }

  /** The grant of a community with tokens that are still good, renewed where that is due. @throws Unavailable */
  async fresh(community: Did): Promise<Renewed> {
    const grant = await this.current(community)
    if (!grant) return { is: 'unconnected' }
    if (!isWithin(grant.session, STALE_MS, this.#ctx.clock.nowMs())) return { is: 'open', grant }
    const renewed = await this.renew(grant)
    // Whose server is away for a moment still calls with what is left.
    const isLeft = !isWithin(grant.session, ENDING_MS, this.#ctx.clock.nowMs())
    return renewed.is === 'later' && isLeft ? { is: 'open', grant } : renewed
  }

  /** The grant as it is kept; null: there is none that may be used. @throws Unavailable */
  async current(community: Did): Promise<OpenGrant | null> {
    const connection = await loadUsableConnection(this.#ctx.db, community)
    if (!connection?.sealed) return null
    const unkept = this.#unkept.get(community)
    if (unkept) return this.#keepLate(unkept, connection)
    const known = this.#open.get(community)
    if (known?.connection.version === connection.version) return { connection, session: known.session }
    const session = await openSession(this.#ctx, community, connection.sealed)
    this.#open.set(community, { connection, session })
    return { connection, session }
  }

  /** Other tokens than these: renewed once, however many ask, here or elsewhere. @throws Unavailable */
  renew(seen: OpenGrant): Promise<Renewed> {
    const { community } = seen.connection
    const underWay = this.#underWay.get(community)
    if (underWay) return underWay
    const renewing = this.#inTurn(seen).finally(() => this.#underWay.delete(community))
    this.#underWay.set(community, renewing)
    return renewing
  }

  /** Notes that a grant is no more, tells of it, and forgets its tokens; nothing, where it was replaced meanwhile. */
  async lose({ connection }: OpenGrant, because: string): Promise<void> {
    const { db, clock, log, serviceDid } = this.#ctx
    const { community } = connection
    const nowMs = clock.nowMs()
    const isLost = await withTransaction(db, async (tx) => {
      if (!(await saveLost(tx, connection, because, nowMs))) return false
      await appendUnsealed(tx, {
        ...{ community, atMs: nowMs, actor: serviceDid, action: 'steering.lost', target: community, subject: null },
        because: { reasons: [], because },
      })
      return true
    })
    this.forget(community)
    if (isLost) log.warn('steering.lost', { community, because })
  }

  /** Forgets the tokens that are open in this process. */
  forget(community: Did): void {
    this.#open.delete(community)
    this.#unkept.delete(community)
  }

  /** Tries again to keep what couldn't be kept, so that it doesn't wait for the next call. */
  async keepUnkept(): Promise<void> {
    for (const community of [...this.#unkept.keys()]) await this.current(community).catch(() => null)
  }

  async #inTurn(seen: OpenGrant): Promise<Renewed> {
    const { db, clock, random } = this.#ctx
    const { community } = seen.connection
    const name = `grant ${community}`
    const holder = randomHex(random, 8)
    const beganMs = clock.monotonicMs()
    for (;;) {
      const nowMs = clock.nowMs()
      if (await takeTurn(db, { name, holder, nowMs, untilMs: nowMs + TURN_MS, longestMs: TURN_LONGEST_MS })) break
      await sleep(WAIT_STEP_MS)
      const kept = await this.current(community)
      if (!kept) return { is: 'unconnected' }
      if (isOther(kept, seen)) return { is: 'open', grant: kept }
      if (clock.monotonicMs() - beganMs > WAIT_MAX_MS) return { is: 'later', because: 'turn' }
    }
    try {
      const kept = await this.current(community)
      if (!kept) return { is: 'unconnected' }
      return isOther(kept, seen) ? { is: 'open', grant: kept } : await this.#refresh(kept)
    } finally {
      // One that can't be given back now ends by itself. So does one whose tokens aren't kept yet: whoever took it now would renew by those
      // that are spent, and end the grant.
      if (!this.#unkept.has(community)) await endTurn(db, name, holder).catch(() => {})
    }
  }

  async #refresh(grant: OpenGrant): Promise<Renewed> {
    const grants = await this.#ctx.grants()
    const { connection, session } = grant
    let renewed: Session
    try {
      renewed = await grants.refresh(connection.asked, session)
    } catch (error) {
      const fault = grants.faultOf(error)
      if (fault.is === 'later') return fault
      await this.lose(grant, fault.because)
      return this.#afterLosing(connection)
    }
    return this.#keep(connection, renewed)
  }

  /** The grant as its row has it, whatever this process knows and whether or not it may be used. @throws Unavailable */
  async #stored(community: Did): Promise<OpenGrant | null> {
    const connection = await loadConnection(this.#ctx.db, community)
    if (!connection?.sealed) return null
    return { connection, session: await openSession(this.#ctx, community, connection.sealed) }
  }

  /** What was refused may have been replaced in that moment by an owner who connected anew. */
  async #afterLosing({ community, version }: Connection): Promise<Renewed> {
    const kept = await this.current(community)
    return kept && kept.connection.version !== version ? { is: 'open', grant: kept } : { is: 'unconnected' }
  }

  /** Nothing else holds the new tokens, so keeping them is tried again before anything else is done. */
  async #keep(connection: Connection, session: Session): Promise<Renewed> {
    const { log } = this.#ctx
    const { community } = connection
    for (const pauseMs of KEEPING_PAUSES_MS) {
      await sleep(pauseMs)
      try {
        return await this.#keepOnce(connection, session)
      } catch (error) {
        log.error('steering.unkept', { community, error: errorName(error), isTransient: isTransient(error) })
      }
    }
    // As long as this process lives and nobody else renews, the grant works.
    const grant = { connection, session }
    this.#unkept.set(community, grant)
    return { is: 'open', grant }
  }

  /** What couldn't be kept when it was renewed: kept now, or used as it is; or given back, where there are other tokens by now. */
  async #keepLate(unkept: OpenGrant, now: Connection): Promise<OpenGrant | null> {
    const { log } = this.#ctx
    const { connection, session } = unkept
    const { community } = connection
    const isReplaced = connection.version !== now.version
    if (isReplaced) this.#unkept.delete(community)
    try {
      const kept = await this.#keepOnce(connection, session)
      if (this.#unkept.get(community) === unkept) this.#unkept.delete(community)
      return kept.is === 'open' ? kept.grant : null
    } catch (error) {
      if (isReplaced) throw error
      log.error('steering.unkept', { community, error: errorName(error), isTransient: isTransient(error) })
      return unkept
    }
  }

  async #keepOnce(connection: Connection, session: Session): Promise<Renewed> {
    const { db, clock, log, serviceDid, grants } = this.#ctx
    const { community, asked, version } = connection
    const granted = scopesIn(session.tokenSet.scope)
    const blob = await sealSession(this.#ctx, community, session)
    const nowMs = clock.nowMs()
    const before = missingOf(asked, connection.granted, community)
    const missing = missingOf(asked, granted, community)
    const taken = missing.filter((scope) => !before.includes(scope))
    const isOtherState = missing.length > 0 !== before.length > 0
    const stateSinceMs = isOtherState ? nowMs : null
    const isKept = await withTransaction(db, async (tx) => {
      if (!(await saveRenewed(tx, connection, { granted, blob, stateSinceMs, nowMs }))) return false
      if (taken.length > 0) {
        await appendUnsealed(tx, {
          ...{ community, atMs: nowMs, actor: serviceDid, action: 'steering.narrowed', target: community },
          ...{ subject: null, because: { reasons: [], taken: taken.join(' ') } },
        })
      }
      return true
    })
    if (!isKept) {
      const kept = await this.#stored(community)
      // An earlier try was kept, and only the answer to it was lost: to give these back would end the grant that the row is about.
      if (kept?.session.tokenSet.access_token === session.tokenSet.access_token) return { is: 'open', grant: kept }
      // Disconnected, or connected anew, while it was renewed: nobody may be left with tokens that no row names.
      await (await grants()).revoke(asked, session).catch(() => {})
      return this.#afterLosing(connection)
    }
    if (taken.length > 0) log.warn('steering.narrowed', { community, taken: taken.join(' ') })
    const stateSince = isOtherState ? nowMs : connection.stateSinceMs
    const grant = {
      connection: {
        ...connection,
        granted,
        sealed: blob,
        version: version + 1,
        stateSinceMs: stateSince,
        renewedAtMs: nowMs,
      },
      session,
    }
    this.#open.set(community, grant)
    return { is: 'open', grant }
  }
}

/** Whether these are other tokens than those seen: kept under another version, or renewed here and not kept yet. */
const isOther = (kept: OpenGrant, seen: OpenGrant): boolean =>
  kept.connection.version !== seen.connection.version ||
  kept.session.tokenSet.access_token !== seen.session.tokenSet.access_token

/** Whether the tokens end within that time, or ended. Where the PDS doesn't say, it tells by refusing them. */
const isWithin = ({ tokenSet }: Session, ms: number, nowMs: number): boolean =>
  tokenSet.expires_at !== undefined && (msOf(tokenSet.expires_at) ?? 0) - nowMs < ms
