/**
 * `com.atproto.simplespace.checkUserAccess`: the PDS of an account asks whether somebody may come into one of its spaces; the roll that is
 * kept here says so.
 *
 * Somebody waits behind each question, and whatever isn't a plain yes counts as no there. So what is wrong with us is said as that, and
 * nothing is ever made up to be quick: a yes rests on facts read for this very question, and is on record before it is given.
 */
import type { ServiceAuth } from '../identity/service-auth.ts'
import type * as lexicon from '../lexicons/com/atproto/simplespace/checkUserAccess.ts'
import type { Hosted } from '../membership/hosted.ts'
import { requireClientId, requireDid, requireSpace } from '../membership/input.ts'
import type { Did, SpaceName } from '../names.ts'
import { threadBusyMs, withinMs } from '../platform/clock.ts'
import { errorName, type Log } from '../platform/log.ts'
import { type HookQuestion, judgeHook } from '../policy/hook.ts'
import type { Decision } from '../policy/verdict.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { noteAsked, noteStrangers } from '../space/host-store.ts'
import { isRecordless } from '../space/settings.ts'
import type { Hook } from './hook.ts'
import { type AccessCtx, loadReadFacts } from './may-read.ts'

export interface HookCtx extends AccessCtx {
  readonly log: Log
  readonly hosted: Hosted
  readonly hook: Hook
  readonly serviceDid: Did
}

/** A token whose claims are sound and mean this method here. Its signature is not verified yet. */
export interface Questioner extends Pick<ServiceAuth, 'iss'> {
  /** Requires the signature. @throws Refusal BadJwtIss, BadJwtSignature; Unavailable */
  readonly verify: () => Promise<void>
  /** Counts a question of this authority, whose signature was seen to hold. @throws Refusal('RateLimitExceeded') */
  readonly charge: () => void
  /** Counts what a question cost beyond itself, as so many more. Never refuses. */
  readonly owe: (questions: number) => void
}

/** The host lets somebody wait, and has no patience of its own to speak of: some wait for minutes. */
const ANSWER_MAX_MS = 1_000

const NO: lexicon.$OutputBody = { authorized: false }

/**
 * Of a space that isn't decided about here the answer is no, and the same for each reason that there can be; so it tells nobody anything.
 *
 * Order of checks, after the claims of the token and the form of the question (InvalidRequest): whoever asks is the authority of the
 * space, which is an account that was adopted here (else no, without asking anybody for its key); its signature (BadJwtIss,
 * BadJwtSignature); its allowance (RateLimitExceeded); there is room (NotEnoughResources); the space is bound and its account consents (else
 * no); the verdict; about a stranger, that there weren't too many (RateLimitExceeded). What isn't decided within a second is not
 * decided (NotEnoughResources, UpstreamTimeout). @throws Refusal; Unavailable
 */
export async function checkUserAccess(
  ctx: HookCtx,
  from: Questioner,
  params: lexicon.$Params,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(params.space)
  const question: HookQuestion = {
    did: requireDid(params.user, 'user'),
    access: params.access ?? null,
    clientId: params.clientId === undefined ? null : requireClientId(params.clientId),
  }
  let waitsForKey = false
  const verify = async () => {
    waitsForKey = true
    await from.verify()
    waitsForKey = false
  }
  const outcome = await withinMs(ANSWER_MAX_MS, answerOf(ctx, { ...from, verify }, space, question))
  if (outcome !== 'late') return outcome
  throw waitsForKey
    ? new Unavailable('UpstreamTimeout', 'did-document')
    : new Unavailable('NotEnoughResources', 'answer-time')
}

async function answerOf(
  ctx: HookCtx,
  from: Questioner,
  space: SpaceName,
  question: HookQuestion,
): Promise<lexicon.$OutputBody> {
  if (!(await ctx.hosted.isAccount(ctx.db, space.authority))) return NO
  if (from.iss !== space.authority) {
    await recordForeign(ctx, space)
    return NO
  }
  // Not in turn before this: with forged tokens anybody could take all the turns of somebody else.
  await from.verify()
  from.charge()
  return ctx.hook.turns.inTurn(from.iss, () => judge(ctx, from, space, question))
}

/**
 * A question about somebody with thousands of entries, or among thousands of nested spaces, takes as long as a hundred others, and
 * everybody here waits for it. So it counts as many: for each entry beyond a few, and each millisecond of judging beyond the first.
 */
const ENTRIES_FREE = 32
const QUESTIONS_AN_ENTRY = 0.1
const QUESTIONS_A_MS = 20

async function judge(
  ctx: HookCtx,
  from: Questioner,
  space: SpaceName,
  question: HookQuestion,
): Promise<lexicon.$OutputBody> {
  const read = await loadReadFacts(ctx, space, question.did)
  if (read.space !== 'live' || !read.binding || read.binding.isReleased || isRecordless(space)) return NO
  await noteHeard(ctx, space, question, read.binding.boundAtMs)
  const beganMs = threadBusyMs()
  const verdict = judgeHook(read.facts, question)
  const tookMs = threadBusyMs() - beganMs
  const entries = [read.facts, ...read.facts.feeding].reduce((sum, { own }) => sum + own.length, 0)
  from.owe(Math.max(0, entries - ENTRIES_FREE) * QUESTIONS_AN_ENTRY + Math.max(0, tookMs - 1) * QUESTIONS_A_MS)
  const isStranger = !verdict.ok && !read.isOnRoll
  // A stranger's no is not kept: anybody can make themself a DID, and would fill the community's log with it for ever.
  if (isStranger) await requireFewStrangers(ctx, space, question.did)
  else await record(ctx, { space, question, verdict, read, boundAtMs: read.binding.boundAtMs })
  return { authorized: verdict.ok }
}

interface Judged {
  readonly space: SpaceName
  readonly question: HookQuestion
  readonly verdict: Decision<unknown>
  readonly read: { readonly revision: number; readonly isOnRoll: boolean }
  readonly boundAtMs: number
}

/**
 * Puts a decision on record, unless the same one, for the same reasons, is there from within the hour. What lets everybody in is on record
 * once for all those whom no roster knows, and apps beyond a few as further ones: anybody can make themself a DID, and the host can
 * say any app.
 */
async function record({ clock, hook }: HookCtx, { space, question, verdict, read, boundAtMs }: Judged): Promise<void> {
  const { access } = question
  const isAnybody = verdict.ok && !read.isOnRoll && verdict.because.some(({ rule }) => rule === 'publicPolicy')
  const did = isAnybody ? null : question.did
  // A space of an earlier one's name is another space.
  const of = [space.uri, String(boundAtMs), did ?? '', access ?? '']
  const nowMs = clock.monotonicMs()
  const isFew = question.clientId === null || hook.apps.has(of, question.clientId, nowMs)
  const app = isFew ? { clientId: question.clientId } : { furtherApps: true }
  const outcome = verdict.ok ? {} : { refused: verdict.code }
  const because = { ...outcome, reasons: verdict.because, access, ...app }
  const fact = {
    community: space.authority,
    atMs: clock.nowMs(),
    actor: space.authority,
    action: verdict.ok ? 'access.allow' : 'access.refuse',
    target: space.uri,
    subject: did,
    because: { ...because, revision: read.revision },
  }
  await hook.kept.keep([...of, JSON.stringify(because)], nowMs, () => hook.log.ask(fact))
}

/**
 * Somebody asked about another authority's space. Their signature wasn't looked at, so the record says what they claim and no more; and
 * once an hour, since anybody can. @throws Unavailable
 */
async function recordForeign({ clock, hook, serviceDid, log }: HookCtx, space: SpaceName): Promise<void> {
  await hook.foreign.whenOver(space.authority, clock.monotonicMs(), async () => {
    log.warn('hook.foreign', { community: space.authority })
    const about = { community: space.authority, atMs: clock.nowMs(), actor: serviceDid, action: 'hook.foreign' }
    await hook.log.ask({ ...about, target: space.uri, subject: null, because: { refused: 'BadJwtIss', reasons: [] } })
  })
}

/** @throws Refusal('RateLimitExceeded') */
async function requireFewStrangers(ctx: HookCtx, space: SpaceName, did: Did): Promise<void> {
  const { clock, hook, serviceDid, log } = ctx
  const { authority } = space
  if (hook.strangers.take(authority, did, clock.monotonicMs())) return
  await hook.manyStrangers.whenOver(authority, clock.monotonicMs(), async () => {
    const atMs = clock.nowMs()
    log.warn('hook.manyStrangers', { community: authority })
    await noteStrangers(ctx.db, space.uri, atMs)
    const about = { community: authority, atMs, actor: serviceDid, action: 'hook.strangers', target: space.uri }
    await hook.log.ask({ ...about, subject: null, because: { refused: 'RateLimitExceeded', reasons: [] } })
  })
  throw new Refusal('RateLimitExceeded', 'it was asked about too many people whom nothing lets in; try again later')
}

/** For those who run the community: that its PDS asks at all, and in which words. The answer doesn't wait on it for its truth. */
async function noteHeard(
  { db, clock, hook, log }: HookCtx,
  space: SpaceName,
  { access }: HookQuestion,
  boundAtMs: number,
): Promise<void> {
  const saysAccess = access !== null
  if (!hook.asked.isOver(`${space.uri} ${saysAccess} ${boundAtMs}`, clock.monotonicMs())) return
  try {
    await noteAsked(db, space.uri, { atMs: clock.nowMs(), saysAccess, boundAtMs })
  } catch (error) {
    log.warn('hook.notNoted', { community: space.authority, error: errorName(error) })
  }
}
