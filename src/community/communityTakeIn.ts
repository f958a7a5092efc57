/**
 * `community.reeve.community.takeIn`: a community that has its home elsewhere is to come here. Keys are made for it, and what its owner has to
 * put into its document is said, signed; when its log says exactly that, it is here, with the caller as its first owner.
 *
 * The former home isn't asked, and nothing that it holds is taken over: it may be why the community leaves.
 */
import { fingerprintOfNewHome, type UnsignedNewHome } from '../identity/new-home.ts'
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import type { PublicHalves } from '../keys/founding.ts'
import { saveArrivalKeys } from '../keys/store.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/community/reeve/community/takeIn.ts'
import { requireDid, requireShownName } from '../membership/input.ts'
import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { type ProcedureCall, recall, remember, remembered } from '../platform/idempotency.ts'
import { errorName } from '../platform/log.ts'
import { freshTid } from '../platform/random.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { type Arrival, countWaitingOf, insertArrival, loadArrival } from './arrival-store.ts'
import { ARRIVAL_MS, type ArrivalCtx, differencesOf, walkArrivals } from './arrivals.ts'
import { requireLiving, servicesAt } from './plc-builder.ts'
import { loadPin } from './plc-watch-store.ts'
import { loadCommunity } from './store.ts'

export interface TakeInCtx extends ArrivalCtx {
  readonly vault: Pick<Vault, 'prepareArrival'>
  /** Who may found communities here; null: everybody. */
  readonly founders: ReadonlySet<string> | null
  readonly serviceDid: Did
  readonly publicUrl: string
}

/** Communities of one person on their way here at once: each has keys made for it that may never be used. */
export const WAITING_OF_CALLER_MAX = 5
const SHA256_HEX = /^[0-9a-f]{64}$/
/** When the worker looks first: the caller has the statement to carry elsewhere. */
const FIRST_LOOK_MS = 60_000

/**
 * Several people may wait for one DID, each with keys of their own, so nobody keeps a community from coming by asking first: whose keys come
 * into the document is for whoever holds the DID to say. The same call again answers the same statement, and says what is missing still.
 *
 * Order of checks: the caller may found (Forbidden); the input (InvalidRequest); the key of an earlier call (IdempotencyConflict); the DID
 * isn't a community here, and never was (Forbidden); what waits already is gone on with; not too much waits (RateLimitExceeded); the DID is
 * there (InvalidRequest) and lives (PlcConflict). @throws Refusal; Unavailable when nothing was begun
 */
export async function communityTakeIn(
  ctx: TakeInCtx,
  caller: Did,
  input: lexicon.$InputBody,
  call: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  if (ctx.founders && !ctx.founders.has(caller)) {
    throw new Refusal('Forbidden', 'you may not bring communities here')
  }
  const did = requireDid(input.did, 'did')
  if (!did.startsWith('did:plc:')) throw new Refusal('InvalidRequest', 'only a did:plc can come here')
  if (did === caller) throw new Refusal('InvalidRequest', 'you are a person, and no community')
  const name = requireShownName(input.name)
  if (input.rollSha256 !== undefined && !SHA256_HEX.test(input.rollSha256)) {
    throw new Refusal('InvalidRequest', 'rollSha256 is 64 lower-case hexadecimal characters')
  }
  if (call.idempotency) await recall(ctx.db, call.idempotency, ctx.clock.nowMs())
  const found = await loadWaitingOf(ctx, did, caller)
  if (found) return goOn(ctx, found)
  const log = await requireComing(ctx, did, caller)
  const begun = await begin(ctx, { did, caller, name, rollSha256: input.rollSha256 }, call)
  return answerOf(begun, log)
}

/** What the caller waits for already, or has here by now. @throws Refusal('Forbidden') when it is here, or was, and not by this */
async function loadWaitingOf({ db }: TakeInCtx, did: Did, caller: Did): Promise<Arrival | null> {
  const arrival = await loadArrival(db, did, caller)
  const community = await loadCommunity(db, did)
  if (!community) return arrival?.state === 'waiting' ? arrival : null
  const hasLeft = ((await loadPin(db, did))?.leftAtMs ?? null) !== null
  if (hasLeft) throw new Refusal('Forbidden', 'this community was here and has left; it can’t be taken in again yet')
  if (arrival?.state === 'opened' && community.step === 'opened') return arrival
  throw new Refusal('Forbidden', 'this DID is a community here already, or was')
}

/** @throws Refusal; Unavailable */
async function requireComing(ctx: TakeInCtx, did: Did, caller: Did): Promise<VerifiedPlcLog> {
  if ((await countWaitingOf(ctx.db, caller)) >= WAITING_OF_CALLER_MAX) throw tooMany()
  const log = await ctx.directory.readLog(did)
  if (!log) throw new Refusal('InvalidRequest', 'the directory knows no such DID')
  requireLiving(log.head)
  return log
}

const tooMany = (): Refusal =>
  new Refusal('RateLimitExceeded', 'let the other communities that you bring come to their end first')

interface Asked {
  readonly did: Did
  readonly caller: Did
  readonly name: string
  readonly rollSha256: string | undefined
}

/** Makes the keys and keeps them, sealed, before anybody hears of them. The same call at another process may have been faster. */
async function begin(ctx: TakeInCtx, asked: Asked, call: ProcedureCall): Promise<Arrival> {
  const { did, caller, name } = asked
  const nowMs = ctx.clock.nowMs()
  const { statement, rows } = await ctx.vault.prepareArrival(did, nowMs, (keys) => compose(ctx, asked, keys, nowMs))
  const arrival = { id: freshTid(nowMs, ctx.random), did, caller, name, statement, createdAtMs: nowMs }
  const isKept = await withTransaction(ctx.db, async (tx) => {
    if (call.idempotency && (await remembered(tx, call.idempotency, nowMs))) return false
    const isNew = await insertArrival(tx, arrival, nowMs + FIRST_LOOK_MS)
    if (isNew) await saveArrivalKeys(tx, arrival.id, rows, nowMs)
    if (call.idempotency) await remember(tx, call.idempotency, { did }, nowMs)
    return isNew
  })
  if (isKept) return { ...arrival, state: 'waiting' }
  const first = await loadWaitingOf(ctx, did, caller)
  if (!first) throw new Unavailable('NotEnoughResources', 'arrival')
  return first
}

function compose(
  { serviceDid, publicUrl }: TakeInCtx,
  { did, caller, rollSha256 }: Asked,
  keys: PublicHalves,
  nowMs: number,
): UnsignedNewHome {
  return {
    format: 'reeve-new-home',
    version: 1,
    did,
    for: caller,
    service: serviceDid,
    rotationKey: keys.rotation,
    verificationMethods: { atproto: keys.atproto, atproto_space: keys.space },
    services: servicesAt(publicUrl),
    ...(rollSha256 === undefined ? {} : { rollSha256 }),
    issuedAt: isoOf(nowMs),
    expiresAt: isoOf(nowMs + ARRIVAL_MS),
  }
}

/** Looks whether the document has come to say it. A directory that is away keeps nobody from the statement. */
async function goOn(ctx: TakeInCtx, arrival: Arrival): Promise<lexicon.$OutputBody> {
  if (arrival.state === 'opened') return answerOf(arrival, null)
  const { did, caller } = arrival
  let log: VerifiedPlcLog | null = null
  try {
    log = await walkArrivals(ctx, did)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('arrival.waits', { did, error: errorName(error) })
  }
  const now = await loadWaitingOf(ctx, did, caller)
  if (now) return answerOf(now, log)
  throw new Refusal('PlcConflict', 'the keys that were made here are too old; call again for new ones')
}

const answerOf = ({ did, state, statement }: Arrival, log: VerifiedPlcLog | null): lexicon.$OutputBody =>
  state === 'opened'
    ? { did, status: 'active', revision: 1 }
    : {
        ...{ did, status: 'waiting', revision: 0, statement, fingerprint: fingerprintOfNewHome(statement) },
        ...(log ? { differences: [...differencesOf(log, statement)] } : {}),
      }
