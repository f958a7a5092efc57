/**
 * One turn of a lane: what waits for one receiver is sent to it, one after the other and in order, until something isn't heard or it is time
 * that others have theirs. Nothing is written down here; what became of the turn is the answer.
 *
 * `prevSpaceRev` is what this lane was told before. So whoever hears all of it sees no gap, although of several revisions of a repo only the
 * newest is sent; and whoever refused one sees that it is missing.
 */
import type { DidDocuments } from '../identity/did-documents.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type { ServiceAuthUse } from '../keys/service-auth.ts'
import type { Vault } from '../keys/vault.ts'
import { type Did, parseServiceId } from '../names.ts'
import type { Clock } from '../platform/clock.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Outbound } from '../platform/outbound.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { type Heard, postXrpc } from '../platform/xrpc-post.ts'
import { Unavailable } from '../refusals.ts'
import { forwardOf, type WriterRow } from './forward.ts'
import { type Breaker, laneWaitMs, type RepoPace } from './host-pace.ts'
import type { EndReason, Finished, Lane } from './lane-store.ts'

export interface LaneCtx {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly vault: Pick<Vault, 'signServiceAuth'>
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly deliveries: Pick<Outbound, 'request' | 'mayCall'>
  readonly breaker: Breaker
  readonly repoPace: RepoPace
}

/** What a turn begins with. */
export interface Turn {
  readonly lane: Lane
  /** When the lane was taken, on the clock that never steps back. */
  readonly beganMs: number
  /** When and at which revision its sponsors were judged. */
  readonly checked: Pick<Lane, 'checkedRevision' | 'checkedAtMs'>
  /** What the lane has to hear of, in order. */
  readonly rows: readonly WriterRow[]
  /** Aborts when the house closes: nothing more is begun. */
  readonly closing: AbortSignal
}

/**
 * What became of a turn. `ends`: the registration does, unless it was renewed meanwhile. `over`: the space has ended, and there is nothing
 * more to say. In each case but the last the lane is as it says here.
 */
export type TurnEnd =
  | { readonly is: 'goesOn'; readonly left: Finished }
  | { readonly is: 'ends'; readonly reason: EndReason; readonly left: Finished }
  | { readonly is: 'over' }

/** How long a turn may go on before others have theirs: with the last call's time limit still well within the lease. */
const TURN_MS = 8_000
/** From the call to the last byte of the answer. Whoever needs longer hears of it again. */
const ANSWER_MS = 5_000
/** First deliveries that may fail: whoever was named without knowing it is left alone after so many calls. */
const FIRST_TRIES = 3
/** A receiver that heard nothing for so long has gone. */
const GONE_MS = 24 * 60 * 60 * 1000
/** After trouble of our own. */
const TROUBLE_MS = 5_000

/** The lane as it was taken, to be looked at again at `lookAtMs`, or with its space. */
export const letGo = (lane: Lane, lookAtMs: number | null): Finished => ({ ...lane, lookAtMs })

/** Takes a turn. Never throws: trouble of our own is told, counts as nobody's failure, and the lane is looked at a little later. */
export async function takeTurn(ctx: LaneCtx, turn: Turn): Promise<TurnEnd> {
  const { lane, checked } = turn
  const at: Place = { left: { ...letGo(lane, null), ...checked } }
  try {
    return await walk(ctx, turn, at)
  } catch (error) {
    ctx.log.warn('delivery.waits', { community: lane.community, error: errorName(error) })
    return goesOn({ ...at.left, lookAtMs: ctx.clock.nowMs() + TROUBLE_MS })
  }
}

/** How far a turn has got, kept apart so that trouble in the middle of it loses nothing. */
interface Place {
  left: Finished
}

const goesOn = (left: Finished): TurnEnd => ({ is: 'goesOn', left })

async function walk(ctx: LaneCtx, turn: Turn, at: Place): Promise<TurnEnd> {
  const { lane, closing } = turn
  const nowMs = ctx.clock.nowMs()
  if (lane.endedAtMs !== null && nowMs - lane.endedAtMs >= GONE_MS) return { is: 'over' }
  const origin = await originOf(ctx, lane)
  if (closing.aborted) return goesOn(at.left)
  if (origin === null) return notHeard(ctx, lane, at.left, 'unresolvable')
  if (origin !== lane.host) {
    // Whoever moved there may have named somebody who knows nothing of it: it is called as one calls somebody for the first time.
    const moved = { host: origin, provedAtMs: null, failures: 0, failingSinceMs: null }
    return goesOn({ ...at.left, ...moved })
  }
  return lane.endedAtMs === null ? sendRows(ctx, turn, at) : sendEnd(ctx, turn, at)
}

/** Where the lane's service is called now; null: nowhere. @throws Unavailable when the directory of its DID can't be asked */
async function originOf(ctx: LaneCtx, { service }: Lane): Promise<string | null> {
  const id = parseServiceId(service)
  if (!id) return null
  try {
    const document = await ctx.documents.resolve(id.did)
    const origin = document && serviceOriginOf(document, id.fragment)
    return origin && ctx.deliveries.mayCall(origin) ? origin : null
  } catch (error) {
    // Their own host serves such a document, so that it doesn't answer is theirs. A directory that is down is nobody's failure.
    if (error instanceof Unavailable && isFromTheWeb(id.did)) return null
    throw error
  }
}

const isFromTheWeb = (did: Did): boolean => did.startsWith('did:web:')

async function sendRows(ctx: LaneCtx, turn: Turn, at: Place): Promise<TurnEnd> {
  const { lane, rows, closing, beganMs } = turn
  const waiting = rows.filter(({ spaceRev }) => spaceRev > lane.deliveredRev)
  // What it was to hear of is gone, with the repo it was about.
  if (waiting.length === 0) at.left = { ...at.left, deliveredRev: Math.max(lane.deliveredRev, lane.wantedRev) }
  for (const row of waiting) {
    const nowMs = ctx.clock.nowMs()
    const isLate = ctx.clock.monotonicMs() - beganMs >= TURN_MS
    if (closing.aborted || isLate || lane.expiresAtMs <= nowMs) return goesOn(at.left)
    const pauseMs = ctx.repoPace.leftMs(lane.id, row.repo, ctx.clock.monotonicMs())
    if (pauseMs > 0) return goesOn({ ...at.left, lookAtMs: nowMs + Math.ceil(pauseMs) })
    const heard = await send(
      ctx,
      turn,
      'com.atproto.space.notifyWrite',
      (prevRev) => forwardOf(lane.space, row, prevRev),
      at,
    )
    if (heard === 'closed') return goesOn(at.left)
    if (heard.is === 'failed') return notHeard(ctx, lane, at.left, heard.because)
    ctx.repoPace.told(lane.id, row.repo, ctx.clock.monotonicMs())
    at.left = { ...at.left, deliveredRev: row.spaceRev }
    if (heard.is === 'unwanted') {
      at.left = { ...at.left, gaps: at.left.gaps + 1 }
      return notHeard(ctx, lane, at.left, heard.because)
    }
    at.left = wasHeard(at.left, ctx.clock.nowMs())
  }
  return goesOn(at.left)
}

async function sendEnd(ctx: LaneCtx, turn: Turn, at: Place): Promise<TurnEnd> {
  const { space } = turn.lane
  const heard = await send(ctx, turn, 'com.atproto.space.notifySpaceDeleted', () => ({ space }), at)
  if (heard === 'closed') return goesOn(at.left)
  return heard.is === 'failed' ? notHeard(ctx, turn.lane, at.left, heard.because) : { is: 'over' }
}

const wasHeard = (left: Finished, nowMs: number): Finished => ({
  ...left,
  provedAtMs: left.provedAtMs ?? nowMs,
  deliveredAtMs: nowMs,
  failures: 0,
  failingSinceMs: null,
  lastError: null,
})

/** One call. `closed`: the house closed under it, which is not the receiver's failure. */
async function send(
  ctx: LaneCtx,
  { lane, closing }: Turn,
  lxm: ServiceAuthUse['lxm'],
  bodyAfter: (prevRev: number) => object,
  { left }: Place,
): Promise<Heard | 'closed'> {
  const { community, service: aud, host: origin } = lane
  const jti = randomHex(ctx.random, 16)
  const use = { kind: 'service-auth', community, aud, lxm, iatSec: ctx.clock.nowSec(), jti } as const
  const token = await ctx.vault.signServiceAuth(use)
  const body = bodyAfter(left.deliveredRev)
  const heard = await postXrpc(ctx.deliveries, { origin, nsid: lxm, token, body, timeoutMs: ANSWER_MS })
  if (heard.is !== 'failed') ctx.breaker.answered(origin)
  else if (closing.aborted) return 'closed'
  else ctx.breaker.failed(origin, ctx.clock.nowMs(), chanceOf(ctx.random))
  return heard
}

/** The lane waits, longer each time; or it was the last time. */
function notHeard(ctx: LaneCtx, lane: Lane, before: Finished, because: string): TurnEnd {
  const nowMs = ctx.clock.nowMs()
  const failures = before.failures + 1
  const failingSinceMs = before.failingSinceMs ?? nowMs
  const lookAtMs = nowMs + laneWaitMs(failures, chanceOf(ctx.random))
  const left = { ...before, failures, failingSinceMs, lastError: because, lookAtMs }
  const isUnproved = left.provedAtMs === null
  const isTheLast = isUnproved ? failures >= FIRST_TRIES : nowMs - failingSinceMs >= GONE_MS
  if (!isTheLast) return goesOn(left)
  if (lane.endedAtMs !== null) return { is: 'over' }
  return { is: 'ends', reason: isUnproved ? 'NeverAnswered' : 'Unreachable', left }
}

/** From 0 up to 1. */
function chanceOf(random: Random): number {
  const [high = 0, low = 0] = random.bytes(2)
  return (high * 256 + low) / 65_536
}
