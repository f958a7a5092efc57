/**
 * Tells the hosts of those who wrote in a space which of its credentials were taken back, within what each host takes
 * (0016 §Credential revocation).
 *
 * Two steps, each of any process: what was taken back is planned, space by space; then each host that is due is called, one call at a time.
 * A host that is slow or gone keeps nobody but itself waiting. A credential ends by itself in ten minutes, so what was not heard until
 * then is let go.
 */
import type { DidDocuments } from '../identity/did-documents.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type { Vault } from '../keys/vault.ts'
import { authorityOf, type Did, parseDid, type SpaceUri } from '../names.ts'
import { type Clock, withinMs } from '../platform/clock.ts'
import type { HostCaps } from '../platform/config.ts'
import type { Db } from '../platform/database.ts'
import { errorName, type Log } from '../platform/log.ts'
import type { Outbound } from '../platform/outbound.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { isDenied, postXrpc } from '../platform/xrpc-post.ts'
import { Unavailable } from '../refusals.ts'
import { hostNameOf, mayHaveMore, pauseMs } from './revocation-plan.ts'
import { carryOver, findToPlan, planSpace } from './revocation-store.ts'
import { endTurn, listRepos, noteSent, type Turn, type TurnEnd, takeTurn } from './revocation-turn-store.ts'
import { openUnsigned, type Unsigned } from './unsigned.ts'

export interface TellingCtx {
  readonly db: Db
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly vault: Pick<Vault, 'signServiceAuth'>
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly deliveries: Pick<Outbound, 'request' | 'mayCall'>
  readonly hostCaps: HostCaps
}

const METHOD = 'com.atproto.space.notifyCredentialRevoked'
/** Hosts called at once by one process, and those among them that failed last time. */
const AT_ONCE = 64
const PATIENT_AT_ONCE = 16
const TIMEOUT_MS = 5_000
/** For looking up whom to name, so that a turn ends before the host is somebody else's. */
const LOOKING_MAX_MS = 6_000
/** For a signature by whoever has the key. One that comes later is there for the next turn, as far as it only had to wake up. */
const SIGNING_MAX_MS = 3_000
/** After what was our own trouble, or a directory's. */
const UNSURE_PAUSE_MS = 5_000
/**
 * Accounts that are named in vain before a host counts as one that doesn't take it. Not the first alone: anybody may say that they live
 * there, and what hosts answer about accounts that they don't know differs.
 */
const REFUSALS_MAX = 3

/** Spaces planned before due calls are begun. */
const SPACES_AT_ONCE = 100

/** Plans what was taken back and isn't planned yet. Answers whether there may be more of it at once. */
export async function planDue(ctx: TellingCtx, signal?: AbortSignal): Promise<boolean> {
  const seen: SpaceUri[] = []
  let isAny = false
  while (!signal?.aborted && seen.length < SPACES_AT_ONCE) {
    const space = await findToPlan(ctx.db, seen)
    if (space === null) return false
    // What comes to it meanwhile has the next turn, or one space that never rests would keep the others from theirs.
    seen.push(space)
    const planned = await planOne(ctx, space)
    if (planned === null) continue
    isAny = true
    ctx.log.debug('revocations.planned', { space, plan: planned.plan, count: planned.count })
  }
  return isAny
}

/** Null also when it failed: whatever is wrong with one space, the others have their turn. */
async function planOne(ctx: TellingCtx, space: SpaceUri): ReturnType<typeof planSpace> {
  try {
    return await planSpace(ctx.db, { space, caps: ctx.hostCaps, nowMs: ctx.clock.nowMs() })
  } catch (error) {
    ctx.log.warn('revocations.unplanned', { space, error: errorName(error) })
    return null
  }
}

/** The calls of one process. */
export interface HostTelling {
  /** Plans what is new and begins the calls that are due, without waiting for them. */
  turn(signal?: AbortSignal): Promise<void>
  /** Until no call is under way any more. */
  settled(): Promise<void>
}

export function openHostTelling(ctx: TellingCtx): HostTelling {
  const underWay = new Map<Promise<void>, Place>()
  const unsigned = openUnsigned(ctx.clock)
  const begin = (turn: Turn, signal?: AbortSignal) => {
    const place = { community: authorityOf(turn.space), isPatient: turn.failures > 0 }
    const going = tellHost({ ...ctx, unsigned }, turn, signal)
      .catch((error: unknown) => ctx.log.warn('revocations.waits', { host: turn.host, error: errorName(error) }))
      .finally(() => {
        underWay.delete(going)
      })
    underWay.set(going, place)
  }
  const patient = () => [...underWay.values()].filter(({ isPatient }) => isPatient)
  const beginDue = async (signal?: AbortSignal) => {
    for (const isPatient of [false, true]) {
      while (!signal?.aborted && underWay.size < AT_ONCE && (!isPatient || patient().length < PATIENT_AT_ONCE)) {
        const besides = [...unsigned.now(), ...sated([...underWay.values()], AT_ONCE)]
        if (isPatient) besides.push(...sated(patient(), PATIENT_AT_ONCE))
        const turn = await takeTurn(ctx.db, askedNow(ctx, { isPatient, besides }))
        if (turn === null) break
        begin(turn, signal)
      }
    }
  }
  return {
    async turn(signal) {
      for (let isMore = true; isMore && !signal?.aborted; ) {
        isMore = await planDue(ctx, signal)
        await beginDue(signal)
      }
    },
    async settled() {
      while (underWay.size > 0) await Promise.allSettled(underWay.keys())
    },
  }
}

/** What a call occupies while it is under way. */
interface Place {
  readonly community: Did
  readonly isPatient: boolean
}

/** Communities that have their share of the places there are: with hosts of their own that hang, nobody keeps others waiting. */
function sated(places: readonly Place[], all: number): Did[] {
  const counted = Map.groupBy(places, ({ community }) => community)
  return [...counted].filter(([, own]) => !mayHaveMore(own.length, places.length, all)).map(([community]) => community)
}

const askedNow = <T extends object>({ hostCaps, clock }: TellingCtx, more: T) => ({
  caps: hostCaps,
  nowMs: clock.nowMs(),
  ...more,
})

/** What a turn is given: the calls of one process know together for whom nobody signs. */
type TurnCtx = TellingCtx & { readonly unsigned: Unsigned }

/** Call after call to one host, until nothing is due there or one wasn't heard. */
async function tellHost(ctx: TurnCtx, first: Turn, signal?: AbortSignal): Promise<void> {
  let turn: Turn | null = first
  while (turn !== null) {
    const end = await tell(ctx, turn)
    if (end !== null) await endTurn(ctx.db, turn, end, ctx.clock.nowMs())
    if (end?.is !== 'heard' || signal?.aborted) return
    turn = await takeTurn(ctx.db, askedNow(ctx, { isPatient: true, besides: ctx.unsigned.now(), host: turn.host }))
  }
}

/**
 * One turn. Accounts are looked at until one is still there and is taken for the host's own: it is the audience. Those that are at another
 * host by now have it told there. Null: the turn isn't ours any more, or no call is free; whoever looks next sees to it.
 */
async function tell(ctx: TurnCtx, turn: Turn): Promise<TurnEnd | null> {
  const { space, names } = turn
  const moved = new Map<string, string>()
  const end = await tellSome(ctx, turn, moved)
  for (const [host, repo] of moved) {
    const to = { space, some: names, writer: { host, repo }, caps: ctx.hostCaps, nowMs: ctx.clock.nowMs() }
    await carryOver(ctx.db, to)
  }
  return end
}

async function tellSome(ctx: TurnCtx, turn: Turn, moved: Map<string, string>): Promise<TurnEnd | null> {
  const beganMs = ctx.clock.monotonicMs()
  const unsure = () => ({ is: 'unsure', againAtMs: ctx.clock.nowMs() + UNSURE_PAUSE_MS }) as const
  let isUnsure = false
  const refusals: ('denied' | 'deaf')[] = []
  for (const repo of await listRepos(ctx.db, turn)) {
    if (refusals.length === REFUSALS_MAX) break
    if (ctx.clock.monotonicMs() - beganMs > LOOKING_MAX_MS) return unsure()
    const origin = await originOf(ctx, repo)
    if (origin === 'unsure') isUnsure = true
    else if (origin !== null && hostNameOf(origin) !== turn.host) moved.set(hostNameOf(origin), repo)
    else if (origin !== null) {
      const end = await call(ctx, turn, { repo, origin })
      if (end?.is !== 'denied' && end?.is !== 'deaf') return end
      refusals.push(end.is)
    }
  }
  if (refusals.length > 0) return { is: refusals.includes('denied') ? 'denied' : 'deaf' }
  return isUnsure ? unsure() : { is: moved.size > 0 ? 'moved' : 'denied' }
}

/** Where somebody's repo is now. Null: nowhere that may be called. `unsure`: whoever knows can't be asked. */
async function originOf(ctx: TellingCtx, repo: string): Promise<string | 'unsure' | null> {
  const did = parseDid(repo)
  if (!did) return null
  try {
    const document = await ctx.documents.resolve(did, { fresh: true })
    const origin = document && serviceOriginOf(document, null)
    return origin !== null && ctx.deliveries.mayCall(origin) ? origin : null
  } catch (error) {
    if (error instanceof Unavailable) return 'unsure'
    throw error
  }
}

async function call(ctx: TurnCtx, turn: Turn, to: { repo: string; origin: string }): Promise<TurnEnd | null> {
  const { db, clock, log } = ctx
  const { host, space, names } = turn
  const token = await tokenFor(ctx, space, to.repo)
  if (token === null) return { is: 'unsure', againAtMs: clock.nowMs() + UNSURE_PAUSE_MS }
  if (!(await noteSent(db, turn, askedNow(ctx, {})))) return null
  const body = { space, credentials: names.map(({ jti }) => jti) }
  const post = { origin: to.origin, nsid: METHOD, token, body, timeoutMs: TIMEOUT_MS }
  const heard = await postXrpc(ctx.deliveries, post)
  if (heard.is === 'heard') return heard
  log.info('revocations.unheard', { community: authorityOf(space), host, because: heard.because })
  if (isDenied(heard)) return { is: 'denied' }
  if (heard.is === 'unwanted') return { is: 'deaf' }
  const [chance = 0] = ctx.random.bytes(1)
  return { is: 'failed', againAtMs: clock.nowMs() + pauseMs(turn.failures + 1, chance / 255) }
}

/** In the name of the community, to one account. Null: nobody signs now. */
async function tokenFor(ctx: TurnCtx, space: SpaceUri, aud: string): Promise<string | null> {
  const community = authorityOf(space)
  const use = { kind: 'service-auth', community, aud, lxm: METHOD } as const
  try {
    const signing = ctx.vault.signServiceAuth({ ...use, iatSec: ctx.clock.nowSec(), jti: randomHex(ctx.random, 16) })
    const token = await withinMs(SIGNING_MAX_MS, signing)
    if (token !== 'late') {
      ctx.unsigned.signed(community)
      return token
    }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
  }
  ctx.unsigned.failed(community)
  return null
}
