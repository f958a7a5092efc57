/** `com.atproto.space.registerNotify`: whoever may read a space has a service of their choice told of writes in it, for a day. */
import { type Holder, requireSpaceOf, spaceNotFound } from '../access/holder.ts'
import { wordKept } from '../access/managing-apps.ts'
import { mayRead } from '../access/may-read.ts'
import { appendUnsealed } from '../audit/store.ts'
import type { DidDocument } from '../identity/document.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type * as lexicon from '../lexicons/com/atproto/space/registerNotify.ts'
import { type Did, PLAIN_FRAGMENT, parseServiceId } from '../names.ts'
import { type Clock, isoOf } from '../platform/clock.ts'
import { type Db, type Tx, withTransaction } from '../platform/database.ts'
import type { Outbound } from '../platform/outbound.ts'
import type { AccessFacts } from '../policy/decide.ts'
import { Refusal } from '../refusals.ts'
import {
  countInSpace,
  countOfPerson,
  type Found,
  giveWay,
  holdHost,
  holdRegistration,
  holdSpace,
  holdWriterSet,
  insertRegistration,
  insertSponsor,
  listSponsors,
  renewRegistration,
} from './registration-store.ts'

export interface RegisterCtx {
  readonly db: Db
  readonly clock: Clock
  readonly deliveries: Pick<Outbound, 'mayCall'>
}

/** Looks up a DID at the expense of whoever asks. @throws Refusal('RateLimitExceeded'); Unavailable */
export interface Lookup {
  readonly documentOf: (did: Did) => Promise<Pick<DidDocument, 'service'> | null>
}

/** How long a registration lives. */
export const REGISTERED_MS = 24 * 60 * 60 * 1000
/** Registrations in force in one space. Each is told of every write there. */
export const IN_SPACE_MAX = 1_000
/** As far as strangers fill them, whom the space is open to: anybody can be any number of those. The rest is for people on the roll. */
export const OF_STRANGERS_MAX = 750
/** Of those, what one person sponsors, with all of their apps together. */
export const OF_PERSON_MAX = 3
/**
 * Registrations at one host that never answered: over all spaces, since anybody may name anybody's host. Of what a host names itself, by the
 * DID document that it serves, only those in one community count: where nothing is written nobody is found to answer, so strangers
 * could else keep a host out for as long as they like, with registrations in quiet spaces of their own.
 */
export const UNPROVED_AT_HOST_MAX = 8
/**
 * Sponsors of one registration. Who comes after them renews it, and it doesn't live by them; but somebody on the roll takes the place of
 * somebody who isn't, or sixteen strangers could have it live by them alone, and end it for everybody when they like.
 */
export const SPONSORS_MAX = 16

/**
 * The service needs no proof that it wants to be told, so what is told to it holds no more than that a repo wrote, and a host that
 * never answered well hears from a few registrations only.
 *
 * The community's revision isn't held while this is written: the registration notes the revision at which its sponsor was judged, and
 * before anything is delivered they are judged again when it has moved.
 *
 * Order of checks: that of the credential; the service is a DID with at most one name behind it, whose document has such a service at a
 * bare origin that may be called (ServiceNotResolvable; upstream trouble as Unavailable); the credential is for this space
 * (InvalidCredential), which is there (SpaceNotFound); there is room (RateLimitExceeded). @throws Refusal; Unavailable
 */
export async function registerNotify(
  ctx: RegisterCtx,
  holder: Holder,
  input: lexicon.$InputBody,
  asked: Lookup,
): Promise<lexicon.$OutputBody> {
  const { service } = input
  const host = await requireOrigin(ctx, service, asked)
  const facts = requireSpaceOf(holder, input.space)
  const nowMs = ctx.clock.nowMs()
  const expiresAtMs = nowMs + REGISTERED_MS
  const asking = { holder, facts, service, host, expiresAtMs, nowMs }
  await withTransaction(ctx.db, async (tx) => {
    const done = await register(tx, asking)
    if (done !== 'renewed') await record(tx, asking, done)
  })
  return { expiresAt: isoOf(expiresAtMs) }
}

interface Asking {
  readonly holder: Holder
  readonly facts: AccessFacts
  readonly service: string
  /** The origin at which it is called now. */
  readonly host: string
  readonly expiresAtMs: number
  readonly nowMs: number
}

/** @throws Refusal('ServiceNotResolvable'); Unavailable */
async function requireOrigin(ctx: RegisterCtx, service: string, { documentOf }: Lookup): Promise<string> {
  const named = parseServiceId(service)
  if (!named || (named.fragment !== null && !PLAIN_FRAGMENT.test(named.fragment))) {
    throw notResolvable('service is not a canonical DID with at most one name after #')
  }
  const document = await documentOf(named.did)
  const origin = document && serviceOriginOf(document, named.fragment)
  if (!origin) throw notResolvable('the document of the DID has no such service at a bare origin')
  if (!ctx.deliveries.mayCall(origin)) throw notResolvable('the service is at an address that is not called')
  return origin
}

const notResolvable = (says: string): Refusal => new Refusal('ServiceNotResolvable', says)
const tooMany = (says: string): Refusal => new Refusal('RateLimitExceeded', says)

type Done = 'registered' | 'sponsored' | 'renewed'

/**
 * Locks, in this order: the space, its writer set, the registration, the host. So of those who register at once in a space, or at a
 * host, each counts those before it.
 */
async function register(tx: Tx, asking: Asking): Promise<Done> {
  const { service, nowMs, facts } = asking
  const { space } = facts
  if ((await holdSpace(tx, space.uri)) !== 'live') throw spaceNotFound()
  const fromRev = await holdWriterSet(tx, space)
  const found = await holdRegistration(tx, space.uri, service, nowMs)
  return found ? renew(tx, asking, found) : begin(tx, asking, fromRev)
}

async function begin(tx: Tx, asking: Asking, fromRev: number): Promise<Done> {
  const { holder, facts, service, host, expiresAtMs, nowMs } = asking
  const { space } = facts
  const most = holder.isOnRoll ? IN_SPACE_MAX : OF_STRANGERS_MAX
  if ((await countInSpace(tx, space.uri, nowMs)) >= most) {
    throw tooMany('as many services hear of this space as may')
  }
  await requireRoomOfPerson(tx, asking, null)
  const provedAtMs = await requireRoomAtHost(tx, asking, null)
  const made = { space, service, host, expiresAtMs, provedAtMs, fromRev }
  // What a managing app said when the credential was given may be minutes old: it is asked before the first delivery.
  const checked = { checkedRevision: holder.revision, checkedAtMs: holder.managedBy === null ? facts.nowMs : 0 }
  const id = await insertRegistration(tx, { ...made, ...checked }, nowMs)
  await insertSponsor(tx, id, holder, nowMs)
  return 'registered'
}

async function renew(tx: Tx, asking: Asking, found: Found): Promise<Done> {
  const { holder, host, expiresAtMs, nowMs } = asking
  const sponsors = (await listSponsors(tx, [found.id])).get(found.id) ?? []
  const isSponsor = sponsors.some(({ did, clientId }) => did === holder.did && clientId === holder.clientId)
  const hasRoom = sponsors.length < SPONSORS_MAX || (holder.isOnRoll && !isSponsor && (await giveWay(tx, found.id)))
  const isJoining = !isSponsor && hasRoom
  if (isJoining) await requireRoomOfPerson(tx, asking, found)
  const provedAtMs = await requireRoomAtHost(tx, asking, found)
  await renewRegistration(tx, found.id, { expiresAtMs, host, provedAtMs })
  if (!isJoining) return 'renewed'
  await insertSponsor(tx, found.id, holder, nowMs)
  return 'sponsored'
}

/** @throws Refusal('RateLimitExceeded') */
async function requireRoomOfPerson(tx: Tx, { holder, nowMs }: Asking, found: Found | null): Promise<void> {
  const besides = found?.id ?? null
  const count = await countOfPerson(tx, holder.space.uri, holder.did, { besides, nowMs })
  if (count >= OF_PERSON_MAX) throw tooMany('this person has as many services told of this space as they may')
}

/**
 * When the host was found to answer well, or null. A registration that was here before needs no room again, unless its service has
 * moved: else a host of one's own would be a way to have many told at somebody else's. @throws Refusal('RateLimitExceeded')
 */
async function requireRoomAtHost(tx: Tx, asking: Asking, found: Found | null): Promise<number | null> {
  const { facts, service, host, nowMs } = asking
  const wasHere = found?.host === host
  if (wasHere && found.provedAtMs !== null) return found.provedAtMs
  const itself = didAt(host)
  const own = parseServiceId(service)?.did === itself ? { did: itself, community: facts.space.authority } : null
  const { provedAtMs, unproved } = await holdHost(tx, host, { own, nowMs })
  if (provedAtMs === null && !wasHere && unproved >= UNPROVED_AT_HOST_MAX) {
    throw tooMany('the host of the service has not answered yet to those who registered it before')
  }
  return provedAtMs
}

/** The DID whose document an origin serves. */
const didAt = (origin: string): string => `did:web:${encodeURIComponent(new URL(origin).host)}`

/** Who registers or comes to sponsor is on record, with why they may read; who only renews is so already. */
function record(tx: Tx, { holder, facts, service, host, nowMs }: Asking, done: Done): Promise<void> {
  const { did, clientId, space, revision } = holder
  const { because: reasons } = mayRead(facts, holder, wordKept(holder.managedBy))
  return appendUnsealed(tx, {
    community: space.authority,
    atMs: nowMs,
    actor: did,
    action: 'notify.register',
    target: space.uri,
    subject: null,
    because: { reasons, revision, done, service, host, clientId },
  })
}
