/**
 * `com.atproto.space.notifyWrite`: a repo host tells that somebody wrote in a space; whoever may write there is put in its writer set, and
 * those who asked are told.
 *
 * A sender gives a write up for good on 400, 401 and 403, so these are said of the write alone; whatever is wrong with us or with the
 * network is 502 to 504, and leaves the token unspent. Nothing of this waits for those who are told.
 */
import type { ManagingApps } from '../access/managing-apps.ts'
import { type AccessCtx, loadReadFacts } from '../access/may-read.ts'
import { serviceAuthKeepUntilSec, verifyServiceAuthSignature } from '../identity/service-auth.ts'
import { serviceOriginOf } from '../identity/service-endpoint.ts'
import type * as lexicon from '../lexicons/com/atproto/space/notifyWrite.ts'
import type { Hosted } from '../membership/hosted.ts'
import { requireSpace } from '../membership/input.ts'
import type { ServiceId, SpaceName } from '../names.ts'
import { claimId } from '../platform/once.ts'
import { microsOf } from '../platform/tid.ts'
import { appToAsk, decideWrite, type Word } from '../policy/decide.ts'
import type { Reason } from '../policy/verdict.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { isRecordless } from '../space/settings.ts'
import type { Announced } from './announced.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { RefusedWrites } from './refused-writes.ts'
import { type Intake, recordRefusedWrite, type WriteOutcome } from './writer-store.ts'

export interface NotifyWriteCtx extends AccessCtx {
  readonly hosted: Hosted
  readonly managingApps: ManagingApps
  readonly intake: Intake
  readonly refusedWrites: RefusedWrites
  readonly dispatcher: Pick<Dispatcher, 'rouse'>
}

/** The service under which the host of a space is addressed (0016 §Service identifiers). */
const HOST_FRAGMENT = '#atproto_space_host'
/** How far a revision may be ahead of our clock. One from next year would keep every later write of its repo out. */
const AHEAD_MAX_MICROS = 5 * 60 * 1_000_000
/** How often a decision is made anew because the community moved between deciding and writing it down. */
const TRIES_MAX = 4

/**
 * Of one token only the first use counts, and of a repo's revisions only newer ones: anything else is answered as if it had, and changes
 * nothing. Both generations at once: `rev` is what `repoRev` was called before.
 *
 * Order of checks, after the form and the claims of the token: the body (InvalidRequest); the token is by the writer, and meant for the
 * authority of the space (Forbidden); we host it, and the space is of a type that holds records (SpaceNotFound); the revision isn't of the
 * future (FutureRev); the signature (BadJwtIss, BadJwtSignature); the writer's allowance (RateLimitExceeded); the space is there and
 * wasn't deleted (SpaceNotFound); the writer may write (Forbidden), by the word of the space's managing app where that decides
 * (NotEnoughResources when it gives none); the space's allowance (RateLimitExceeded). What is refused leaves the
 * token unspent. @throws Refusal; Unavailable
 */
export async function notifyWrite(
  ctx: NotifyWriteCtx,
  token: Announced,
  input: lexicon.$InputBody,
): Promise<undefined> {
  const write = requireWrite(input)
  const { space } = write
  if (input.repo !== token.iss) throw new Refusal('Forbidden', 'iss is not the repo that was written')
  if (token.aud !== space.authority && token.aud !== `${space.authority}${HOST_FRAGMENT}`) {
    throw new Refusal('Forbidden', 'aud is not the authority of the space')
  }
  if (isRecordless(space) || !(await ctx.hosted.has(ctx.db, space.authority))) throw spaceNotFound()
  if ((microsOf(write.repoRev) ?? Number.POSITIVE_INFINITY) > ctx.clock.nowMs() * 1000 + AHEAD_MAX_MICROS) {
    throw new Refusal('FutureRev', 'the revision is more than five minutes ahead')
  }
  await verifyServiceAuthSignature(token, token.keyOf.keyOf)
  token.charge()
  // The document is the one that the signature was verified by: it was remembered just now.
  const document = await token.keyOf.documentOf(token.iss)
  const host = document && serviceOriginOf(document, null)
  if ((await admit(ctx, token, { ...write, host })) === 'stored') ctx.dispatcher.rouse()
}

interface Write {
  readonly space: SpaceName
  readonly repoRev: string
  readonly hash: Uint8Array | null
}

function requireWrite(input: lexicon.$InputBody): Write {
  const repoRev = input.repoRev ?? input.rev
  if (repoRev === undefined) throw new Refusal('InvalidRequest', 'repoRev is missing')
  return { space: requireSpace(input.space), repoRev, hash: input.hash ?? null }
}

const spaceNotFound = (): Refusal => new Refusal('SpaceNotFound', 'no such space here')

/** Decides and writes it down, anew when the community moved in between. */
async function admit(
  ctx: NotifyWriteCtx,
  token: Announced,
  write: Write & { readonly host: string | null },
): Promise<WriteOutcome> {
  const claim = { id: claimId('service-auth', token.iss, token.jti), keepUntilSec: serviceAuthKeepUntilSec(token) }
  let word: Word | null = null
  let isCharged = false
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const read = await loadReadFacts(ctx, write.space, token.iss)
    if (read.space !== 'live') throw spaceNotFound()
    const verdict = decideWrite(read.facts, token.iss, word)
    const app = appToAsk(read.facts.writePolicy, verdict)
    if (app) {
      word = await askOnce(ctx, token, write.space, { app, before: word })
      continue
    }
    if (!verdict.ok) {
      // A stranger's is not kept: anybody can make themself a DID, and would fill the community's log with it for ever.
      if (read.isOnRoll) await keepRefused(ctx, token, write, { reasons: verdict.because, revision: read.revision })
      throw new Refusal(verdict.code, 'the space does not let this person write', JSON.stringify(verdict.because))
    }
    if (!isCharged) token.chargeSpace(write.space.uri)
    isCharged = true
    const { repoRev, hash, host } = write
    const about = { claim, repoRev, hash, host, basis: read.basis, atMs: ctx.clock.nowMs() }
    const outcome = await ctx.intake.ask({ admission: verdict.value, ...about })
    if (outcome !== 'moved') return outcome
  }
  throw new Unavailable('NotEnoughResources', 'community')
}

/**
 * The word of the managing app, which is kept for the request and judged with facts that are loaded after it. No app is named: with which one
 * somebody wrote nobody can tell. Its silence is told as trouble of ours, since senders come again on that.
 */
async function askOnce(
  ctx: NotifyWriteCtx,
  { iss: did }: Announced,
  space: SpaceName,
  { app, before }: { readonly app: ServiceId; readonly before: Word | null },
): Promise<Word> {
  if (before) throw new Unavailable('NotEnoughResources', 'community')
  try {
    return await ctx.managingApps.ask({ app, space, did, access: 'write', clientId: null })
  } catch (error) {
    if (error instanceof Unavailable) throw new Unavailable('NotEnoughResources', error.what, { cause: error })
    throw error
  }
}

async function keepRefused(
  { db, clock, refusedWrites }: NotifyWriteCtx,
  { iss }: Announced,
  { space }: Write,
  because: { readonly reasons: readonly Reason[]; readonly revision: number },
): Promise<void> {
  if (!refusedWrites.take(space.uri, iss, clock.monotonicMs())) return
  const fact = { community: space.authority, atMs: clock.nowMs(), actor: iss, action: 'write.refuse' }
  try {
    await recordRefusedWrite(db, { ...fact, target: space.uri, subject: iss, because })
  } catch (error) {
    refusedWrites.giveBack(space.uri, iss)
    throw error
  }
}
