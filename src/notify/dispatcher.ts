/**
 * Tells those who asked of what was written: takes lanes that are due, has each take its turn, and notes how far each has got.
 *
 * Any number of processes do so beside each other: a lane is taken for a while, by a number that only one of them has. Who dies in the
 * middle loses nothing, for what has to be told is in the database; the receiver may hear the last of it twice.
 */

import type { Hosted } from '../membership/hosted.ts'
import type { SpaceUri } from '../names.ts'
import { sleep } from '../platform/clock.ts'
import { errorName } from '../platform/log.ts'
import type { Outbound } from '../platform/outbound.ts'
import { drawnAhead } from '../platform/random.ts'
import type { Sizes } from '../platform/sizes.ts'
import { openTurns, type Turns } from '../platform/turns.ts'
import { type Finishing, openFinishing } from './finishing.ts'
import type { WriterRow } from './forward.ts'
import { OF_HOST, openBreaker, openRepoPace, openSlots, POOLS, type Slots } from './host-pace.ts'
import { type LaneCtx, letGo, type TurnEnd, takeTurn } from './lane.ts'
import {
  type Claiming,
  claimLanes,
  closeSpaces,
  dropLane,
  type EndReason,
  endLane,
  type Lane,
  listOpenSpaces,
  loadNewest,
  loadNext,
} from './lane-store.ts'
import { isToBeJudged, type JudgingCtx, judgeLanes, type Standing } from './sponsors.ts'

export interface Dispatcher {
  /** Something was written: there may be somebody to tell. Never waits, never throws. */
  rouse(): void
  /** Takes no more lanes, and waits for those under way. */
  stop(): Promise<void>
}

export interface DispatcherCtx extends JudgingCtx, Omit<LaneCtx, 'breaker' | 'repoPace'> {
  readonly deliveries: Pick<Outbound, 'request' | 'mayCall' | 'close'>
  /** In the name of a community that left, nothing is told. */
  readonly hosted: Pick<Hosted, 'left'>
  readonly sizes?: Sizes
}

/** How long a lane is a process's that says nothing. Longer than a turn and its last call. */
const LEASE_MS = 15_000
/** Lanes taken in one statement. */
const CLAIMED_MAX = 1_024
/** Spaces whose lanes are taken in one statement. */
const SPACES_MAX = 64
/** Sound lanes that call at once. */
export const CALLING_MAX = 512
/** Rows of a space that are read once for all lanes that are taken together, and for one that is further behind. */
const PAGE_MAX = 64
const ROWS_MAX = 100
/** Between one look and the next, however often somebody calls: others need the database too. */
const LOOK_PAUSE_MS = 25
/** Nobody may read there for now, or a managing app doesn't say who may. */
const REST_MS = 5_000
/** After trouble of our own. */
const TROUBLE_MS = 5_000
/** How long the house waits for turns under way when it closes. */
const CLOSING_MAX_MS = 5_000

/** Lanes in their turn, in both pools. */
const IN_TURN_MAX = POOLS.sound.atOnce + POOLS.doubtful.atOnce

/** Opens it, asleep: it looks around when it is roused, and does so by itself only after its own turns. */
export function openDispatcher(given: DispatcherCtx): Dispatcher {
  const closing = new AbortController()
  const { sizes } = given
  const ctx = {
    ...given,
    // What is drawn names calls, and is seen by whoever is called.
    random: drawnAhead(given.random),
    breaker: openBreaker({}, sizes?.keptAs('hosts that fail')),
    repoPace: openRepoPace({}, sizes?.keptAs('repos told of')),
  }
  const post = {
    ctx,
    slots: openSlots(),
    finishing: openFinishing(given.db, closing.signal, IN_TURN_MAX, sizes?.line('lanes to write down')),
    closing: closing.signal,
    rouse,
    underWay: new Map<number, UnderWay>(),
    calling: openTurns({ atOnce: CALLING_MAX, waitingMax: POOLS.sound.atOnce }, sizes?.line('deliveries')),
    isFull: false,
    lookedUpTo: '',
  }
  sizes?.line('lanes in their turn')(IN_TURN_MAX, () => post.underWay.size)
  let looking: Promise<void> | null = null
  let isAgain = false

  function rouse(): void {
    isAgain = true
    if (closing.signal.aborted || looking) return
    looking = lookOn().finally(() => {
      looking = null
    })
  }

  /** Looks until nobody has called since. */
  async function lookOn(): Promise<void> {
    while (isAgain && !closing.signal.aborted) {
      isAgain = false
      try {
        await lookAround(post)
      } catch (error) {
        given.log.warn('deliveries.wait', { error: errorName(error) })
        return
      }
      await sleep(LOOK_PAUSE_MS, closing.signal)
    }
  }

  return {
    rouse,
    async stop() {
      closing.abort()
      await looking
      const patience = new AbortController()
      const ended = Promise.all([...post.underWay.values()].map((turn) => turn.ended))
      await Promise.race([ended, sleep(CLOSING_MAX_MS, patience.signal)])
      patience.abort()
      await given.deliveries.close()
      await ended
    },
  }
}

/** What one process's deliveries have in common. */
interface Post {
  readonly ctx: DispatcherCtx & LaneCtx
  readonly slots: Slots
  readonly finishing: Finishing
  readonly closing: AbortSignal
  readonly rouse: () => void
  /** Lanes that have their turn, by their ids. */
  readonly underWay: Map<number, UnderWay>
  /** Places of sound lanes that call somebody in this moment. Those that were taken beyond that wait here, where no call's time runs yet. */
  readonly calling: Turns
  /** Whether somebody who is due may have been left where they were, for lack of a place. */
  isFull: boolean
  /** The last space that was looked at before there was no place left: the next look begins after it, so that each has its time. */
  lookedUpTo: string
}

interface UnderWay {
  readonly space: SpaceUri
  readonly ended: Promise<void>
  readonly beganMs: number
}

/** Looks at every space in which something was written, and has as many lanes take their turn as there is room for. */
async function lookAround(post: Post): Promise<void> {
  const { db, hosted } = post.ctx
  post.isFull = false
  const isFromTheStart = post.lookedUpTo === ''
  for (;;) {
    const after = post.lookedUpTo
    const open = await listOpenSpaces(db, { left: hosted.left(), after, most: SPACES_MAX })
    const busy = await takeFrom(
      post,
      open.map(({ space }) => space),
    )
    await closeSpaces(
      db,
      open.filter(({ space }) => !busy.has(space)),
    )
    const isTheLast = open.length < SPACES_MAX || post.closing.aborted
    post.lookedUpTo = isTheLast ? '' : (open.at(-1)?.space ?? '')
    // When it's full, whoever makes room has the rest looked at.
    if (isTheLast && !isFromTheStart && !post.isFull) post.rouse()
    if (isTheLast || post.isFull) return
  }
}

/** Takes lanes of these spaces, and those that are looked for by themselves. Answers in which spaces there are lanes under way. */
async function takeFrom(post: Post, spaces: readonly SpaceUri[]): Promise<ReadonlySet<SpaceUri>> {
  for (const pool of ['sound', 'doubtful'] as const) {
    let isMore = true
    while (isMore && !post.closing.aborted) {
      const most = Math.min(CLAIMED_MAX, post.slots.room(pool))
      const lanes = most === 0 ? [] : await takeLanes(post, { pool, spaces, most })
      // Where many wait for one host few of them are taken, and whoever is due after them hasn't been looked at yet.
      isMore = lanes.length > 0 && (lanes.length === most || lanes.some(({ isCrowded }) => isCrowded))
      if (most === 0 || isMore) post.isFull = true
    }
  }
  return new Set([...post.underWay.values()].map(({ space }) => space))
}

type Taking = Pick<Claiming, 'pool' | 'spaces' | 'most'>

async function takeLanes(post: Post, { pool, spaces, most }: Taking): Promise<readonly Lane[]> {
  const { ctx, slots, underWay } = post
  const nowMs = ctx.clock.nowMs()
  const beganMs = ctx.clock.monotonicMs()
  const lanes = await claimLanes(ctx.db, {
    ...{ pool, spaces, nowMs, untilMs: nowMs + LEASE_MS, most },
    ...{ share: POOLS[pool].ofCommunity, used: slots.used(pool), ofHost: OF_HOST, usedHosts: slots.usedHosts() },
    openHosts: ctx.breaker.openHosts(),
    closedHosts: pool === 'doubtful' ? [...ctx.breaker.restingHosts(nowMs), ...slots.lonelyHosts()] : [],
    // A lane that is still this process's isn't due. One whose lease is over may be, and is left to whoever has it here.
    left: ctx.hosted.left(),
    underWay: [...underWay].filter(([, turn]) => beganMs - turn.beganMs >= LEASE_MS).map(([id]) => id),
  })
  if (lanes.length === 0) return lanes
  // Read now, for all of them together, while each space is judged.
  const pages = loadPages(post, lanes)
  pages.catch(() => {})
  for (const [space, some] of Map.groupBy(lanes, (lane) => lane.space)) {
    const standings = judge(post, space, some)
    standings.catch(() => {})
    for (const lane of some) {
      const giveBack = slots.take(pool, lane)
      const ended = haveTurn(post, { lane, isDoubtful: pool === 'doubtful', beganMs, pages, standings }).then(
        (isDue) => {
          giveBack()
          underWay.delete(lane.id)
          if (isDue || post.isFull) post.rouse()
        },
      )
      underWay.set(lane.id, { ended, beganMs, space })
    }
  }
  return lanes
}

type Pages = ReadonlyMap<SpaceUri, readonly WriterRow[]>

/** What is new in the spaces of these lanes, from where the one that is furthest behind stands. */
async function loadPages({ ctx }: Post, lanes: readonly Lane[]): Promise<Pages> {
  const from = new Map<SpaceUri, number>()
  for (const { space, deliveredRev, endedAtMs } of lanes) {
    if (endedAtMs === null) from.set(space, Math.min(from.get(space) ?? deliveredRev, deliveredRev))
  }
  return from.size === 0 ? new Map() : loadNewest(ctx.db, from, PAGE_MAX)
}

async function judge({ ctx }: Post, space: SpaceUri, lanes: readonly Lane[]): Promise<Standings> {
  const nowMs = ctx.clock.nowMs()
  const some = lanes.filter((lane) => isToBeJudged(lane, nowMs))
  return some.length === 0 ? new Map() : judgeLanes(ctx, space, some)
}

type Standings = ReadonlyMap<number, Promise<Standing>>

interface Taken {
  readonly lane: Lane
  readonly isDoubtful: boolean
  readonly beganMs: number
  readonly pages: Promise<Pages>
  readonly standings: Promise<Standings>
}

/** A lane's turn from beginning to end. Answers whether it has more to hear at once. Never throws. */
async function haveTurn(post: Post, taken: Taken): Promise<boolean> {
  const { ctx } = post
  const { lane } = taken
  let leave = () => {}
  try {
    // A managing app may take its time over who may read: nobody holds a place for that.
    await (await taken.standings).get(lane.id)
    if (!taken.isDoubtful) leave = await post.calling.take(post.closing)
    return await settle(post, lane, await turnOf(post, taken).finally(leave))
  } catch (error) {
    if (!post.closing.aborted) {
      ctx.log.warn('delivery.waits', { community: lane.community, error: errorName(error) })
    }
    // Best effort: if this can't be written either, the lease runs out by itself.
    const pauseMs = post.closing.aborted ? 0 : TROUBLE_MS
    await post.finishing.ask(letGo(lane, ctx.clock.nowMs() + pauseMs)).catch(() => {})
    return false
  }
}

async function turnOf(post: Post, { lane, beganMs, pages, standings }: Taken): Promise<TurnEnd> {
  const { ctx, closing } = post
  const nowMs = ctx.clock.nowMs()
  const standing = (await (await standings).get(lane.id)) ?? { is: 'goes', ...lane }
  if (standing.is === 'rests') return { is: 'goesOn', left: letGo(lane, nowMs + REST_MS) }
  if (standing.is === 'ends') return { is: 'ends', reason: 'SponsorsGone', left: letGo(lane, nowMs) }
  const rows = lane.endedAtMs === null ? await rowsOf(post, lane, (await pages).get(lane.space) ?? []) : []
  const { checkedRevision, checkedAtMs } = standing
  return takeTurn(ctx, { lane, beganMs, checked: { checkedRevision, checkedAtMs }, rows, closing })
}

/** From the common page, when it reaches back to where the lane stands. */
async function rowsOf({ ctx }: Post, lane: Lane, page: readonly WriterRow[]): Promise<readonly WriterRow[]> {
  const [oldest] = page
  const isEnough = page.length < PAGE_MAX || !oldest || oldest.spaceRev <= lane.deliveredRev
  return isEnough ? page : loadNext(ctx.db, lane.space, lane.deliveredRev, ROWS_MAX)
}

async function settle(post: Post, lane: Lane, end: TurnEnd): Promise<boolean> {
  const { db, log, clock } = post.ctx
  if (end.is === 'over') {
    await dropLane(db, lane)
    return false
  }
  if (end.is === 'ends' && (await ended(post, lane, end.reason))) return false
  const as = await post.finishing.ask(end.left)
  if (as === 'lost') log.debug('lane.lost', { community: lane.community, lane: lane.id })
  return as === 'behind' && (end.left.lookAtMs ?? 0) <= clock.nowMs()
}

async function ended({ ctx }: Post, lane: Lane, reason: EndReason): Promise<boolean> {
  const { space, service } = lane
  if (!(await endLane(ctx.db, lane, reason, ctx.clock.nowMs()))) return false
  ctx.log.info('registration.ended', { space, service, reason })
  return true
}
