/**
 * Calls at the PDS of a community's account, by the grant that the account gave: this is the room's one way to a PDS.
 *
 * A grant that nobody uses is looked after all the same, once a day: that it was taken back has to be known before somebody relies on it.
 */
import { hasCommunityEnded } from '../community/store.ts'
import { loadReleasedAt } from '../membership/account-store.ts'
import type { Did } from '../names.ts'
import { parseCompactJws } from '../platform/compact-jws.ts'
import type { Db } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import { OutboundFailure } from '../platform/outbound.ts'
import { randomHex } from '../platform/random.ts'
import { type Sorted, sortAnswer } from '../platform/xrpc-answer.ts'
import { forgetGivenBack, listUnwatched, loadConnection, watchTurnOf } from './connection-store.ts'
import type { Session } from './oauth-client.ts'
import type { Pds, PdsAnswer, PdsCall } from './pds.ts'
import { type NoTokens, type OpenGrant, type RenewalCtx, Renewals, type Renewed } from './renewal.ts'
import { openSession } from './sealed-session.ts'
import { listSteeredOf } from './steered-store.ts'
import { moveTurn, takeTurn } from './turn-store.ts'

export interface PdsSessions extends Pds {
  /**
   * A service auth token in the name of the community, made by its PDS: for one method at one receiver, for a minute. Null: there is no grant
   * for it, or the PDS gives none. @throws Unavailable
   */
  serviceAuth(community: Did, aud: string, lxm: string): Promise<string | null>
  /** Looks after grants that nobody has looked after for a day. A turn takes some; more are taken by the next. */
  watch(signal: AbortSignal): Promise<void>
  /** Forgets what this process has open of a grant that was given back or given anew. */
  forget(community: Did): void
}

const SERVICE_AUTH = 'com.atproto.server.getServiceAuth'
const HOUR_MS = 60 * 60_000
/** Not all at the same minute, and each within a day. */
const WATCH_PAUSE_MS = 22 * HOUR_MS
const WATCH_SPREAD_MS = 2 * HOUR_MS
/** Where nobody could say, somebody asks again sooner; and after this, where whoever asked has died. */
const WATCH_AGAIN_MS = 15 * 60_000
const WATCHED_AT_ONCE = 8
const WATCHED_PER_TURN = 64

/** When a grant that was seen to work is looked after next. */
export function nextWatchMs(nowMs: number, random: RenewalCtx['random']): number {
  const [high = 0, low = 0] = random.bytes(2)
  return nowMs + WATCH_PAUSE_MS + Math.floor((((high << 8) | low) / 0xffff) * WATCH_SPREAD_MS)
}

/** Opens the way. Nothing is asked before the first call. */
export function openPdsSessions(ctx: RenewalCtx): PdsSessions {
  const renewals = new Renewals(ctx)
  const call = (community: Did, asked: PdsCall) => callBy(ctx, renewals, community, asked)
  return {
    call,
    async serviceAuth(community, aud, lxm) {
      const answer = await call(community, { nsid: SERVICE_AUTH, params: { aud, lxm } })
      if (answer.is !== 'answered') return null
      const { body } = answer
      const token = typeof body === 'object' && body !== null && 'token' in body ? body.token : null
      return typeof token === 'string' && isErrandOf(token, { iss: community, aud, lxm }) ? token : null
    },
    async watch(signal) {
      await renewals.keepUnkept()
      const due = await listUnwatched(ctx.db, ctx.clock.nowMs(), WATCHED_PER_TURN)
      for (let at = 0; at < due.length && !signal.aborted; at += WATCHED_AT_ONCE)
        await Promise.all(due.slice(at, at + WATCHED_AT_ONCE).map((community) => watchOne(ctx, renewals, community)))
    },
    forget: (community) => renewals.forget(community),
  }
}

/** Looks after one grant, and never throws: tokens that don't open must not keep the other grants from being looked after. */
async function watchOne(ctx: RenewalCtx, renewals: Renewals, community: Did): Promise<void> {
  try {
    await lookAfter(ctx, renewals, community)
  } catch (error) {
    ctx.log.warn('steering.unwatched', { community, error: errorName(error) })
  }
}

/** Renews one grant, if nobody else is at it. What is found is kept and told by the renewal itself. */
async function lookAfter(ctx: RenewalCtx, renewals: Renewals, community: Did): Promise<void> {
  const { db, clock, random } = ctx
  const name = watchTurnOf(community)
  const holder = randomHex(random, 8)
  const nowMs = clock.nowMs()
  if (!(await takeTurn(db, { name, holder, untilMs: nowMs + WATCH_AGAIN_MS, nowMs }))) return
  if (await isOverWith(db, community)) return giveBack(ctx, renewals, community)
  const grant = await renewals.current(community)
  const renewed: Renewed = grant ? await renewals.renew(grant) : { is: 'unconnected' }
  if (renewed.is !== 'later') await moveTurn(db, name, holder, nextWatchMs(clock.nowMs(), random))
}

/** Tokens of one errand have some hundred characters. */
const TOKEN_MAX_CHARS = 4_096

/**
 * Whether a PDS answered with the token that it was asked for. What it gives is shown to somebody else's host: text that is no token can't be
 * sent at all, which would count as that host's failure and keep others from it, and a token for something else is nobody's to see there.
 */
function isErrandOf(token: string, asked: { readonly iss: Did; readonly aud: string; readonly lxm: string }): boolean {
  const payload = parseCompactJws(token, TOKEN_MAX_CHARS)?.payload
  return payload?.['iss'] === asked.iss && payload['aud'] === asked.aud && payload['lxm'] === asked.lxm
}

/** Whether the account consents no longer, or the community has come to its end, and so have its spaces at the PDS. */
async function isOverWith(db: Db, community: Did): Promise<boolean> {
  if ((await loadReleasedAt(db, community)) !== null) return true
  return (await hasCommunityEnded(db, community)) && (await listSteeredOf(db, community, '', 1)).length === 0
}

/**
 * Gives back a grant that nobody here can use any more: its community has come to its end, or its account consents no longer. Of the first
 * nobody is left who could, and the second has a right to it.
 */
async function giveBack(ctx: RenewalCtx, renewals: Renewals, community: Did): Promise<void> {
  const connection = await loadConnection(ctx.db, community)
  if (!connection?.sealed) return
  const session = await openSession(ctx, community, connection.sealed)
  await (await ctx.grants()).revoke(connection.asked, session).catch(() => {})
  await forgetGivenBack(ctx.db, connection)
  renewals.forget(community)
}

/** Carries out of the library that there are no tokens to call with. */
class WithoutTokens extends Error {
  override readonly name = 'WithoutTokens'
  readonly because: NoTokens

  constructor(because: NoTokens) {
    super('no tokens')
    this.because = because
  }
}

async function callBy(ctx: RenewalCtx, renewals: Renewals, community: Did, asked: PdsCall): Promise<PdsAnswer> {
  const first = await renewals.fresh(community)
  if (first.is !== 'open') return without(first)
  const grants = await ctx.grants()
  let used: OpenGrant = first.grant
  // What the library swallows when it wanted other tokens and got none.
  let renewed: Renewed | null = null
  let trouble: unknown = null
  const tokensFor = async (isRefused: boolean): Promise<Session> => {
    if (!isRefused) return used.session
    try {
      renewed = await renewals.renew(used)
    } catch (error) {
      trouble = error
      throw error
    }
    if (renewed.is !== 'open') throw new WithoutTokens(renewed)
    used = renewed.grant
    return used.session
  }
  try {
    const { session, connection } = first.grant
    const response = await grants.send(connection.asked, session, pathOf(asked), initOf(asked), tokensFor)
    if (trouble !== null) throw trouble
    return await answerOf(ctx, renewals, { response, used, renewed })
  } catch (error) {
    if (trouble !== null && error === trouble) throw error
    if (error instanceof OutboundFailure) return { is: 'failed', because: error.kind, pauseMs: null }
    const fault = grants.faultOf(error)
    if (fault.is === 'later') return { is: 'failed', because: fault.because, pauseMs: null }
    await renewals.lose(used, fault.because)
    return { is: 'unconnected' }
  }
}

const without = (none: NoTokens): PdsAnswer =>
  none.is === 'unconnected' ? none : { is: 'failed', because: none.because, pauseMs: null }

function pathOf({ nsid, params }: PdsCall): string {
  return `/xrpc/${nsid}${params ? `?${new URLSearchParams(params)}` : ''}`
}

function initOf({ body }: PdsCall): RequestInit {
  if (!body) return { method: 'GET', headers: { accept: 'application/json' } }
  const headers = { accept: 'application/json', 'content-type': 'application/json' }
  return { method: 'POST', headers, body: JSON.stringify(body) }
}

interface Called {
  readonly response: Response
  readonly used: OpenGrant
  readonly renewed: Renewed | null
}

async function answerOf(ctx: RenewalCtx, renewals: Renewals, called: Called): Promise<PdsAnswer> {
  const { response } = called
  const body = parsed(await response.text())
  const header = (name: string) => response.headers.get(name)
  const sorted = sortAnswer({ status: response.status, body: body ?? null, header }, ctx.clock.nowMs())
  switch (sorted.is) {
    case 'done':
      if (body === undefined) return { is: 'failed', because: 'unreadable', pauseMs: null }
      return { is: 'answered', body, room: sorted.room }
    case 'later':
      return { ...sorted, is: 'failed' }
    case 'locked-out':
      return lockedOut(renewals, called, sorted)
    default:
      return sorted
  }
}

/** A token that is refused although it was just renewed is refused for good; where it couldn't be renewed, that says what is the matter. */
async function lockedOut(
  renewals: Renewals,
  { used, renewed }: Called,
  { isTokenBad }: Extract<Sorted, { is: 'locked-out' }>,
): Promise<PdsAnswer> {
  if (renewed && renewed.is !== 'open') return without(renewed)
  if (!isTokenBad || !renewed) return { is: 'failed', because: 'locked-out', pauseMs: null }
  await renewals.lose(used, 'SessionRevoked')
  return { is: 'unconnected' }
}

/** The JSON of a body; null where there is none, undefined where it is something else. */
function parsed(text: string): unknown {
  if (text.trim() === '') return null
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
