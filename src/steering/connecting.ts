/**
 * What an owner's browser does to connect the account of a community: it opens the link, goes on to the PDS, and comes back with a grant.
 *
 * Whoever sends somebody else a link, or a way back, must gain nothing by it. So an attempt is bound to the first browser that goes on from its
 * link, by a word which that browser alone holds; what comes back counts in that browser only, once, for ten minutes; and a grant by
 * anybody but the account itself is given back at once.
 */
import { loadCommunity } from '../community/store.ts'
import { loadKind, loadReleasedAt } from '../membership/account-store.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import type { Did } from '../names.ts'
import { sha256, toBase64Url } from '../platform/bytes.ts'
import type { Log } from '../platform/log.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { nextWatchMs, type PdsSessions } from './connection.ts'
import {
  type Attempt,
  type Connection,
  deleteAttempt,
  freeAttempt,
  loadAttemptByLink,
  loadAttemptByState,
  loadConnection,
  saveAttemptState,
  saveConnection,
  spendAttemptState,
  takeAttempt,
  watchTurnOf,
} from './connection-store.ts'
import type { Grants } from './grants.ts'
import type { Session } from './oauth-client.ts'
import { missingOf, scopesIn } from './scopes.ts'
import { openBegun, openSession, type SealingCtx, sealBegun, sealSession } from './sealed-session.ts'
import { wakeAllSteered } from './steered-store.ts'
import { takeTurn } from './turn-store.ts'

export interface ConnectingCtx extends GovernanceCtx, SealingCtx {
  readonly clock: GovernanceCtx['clock']
  readonly random: Random
  readonly log: Pick<Log, 'info' | 'warn'>
  readonly grants: Grants
  readonly sessions: PdsSessions
  readonly serviceDid: Did
}

/** The words that a browser holds: the value of a cookie by its name, or null. */
export type Cookies = (name: string) => string | null

const WORD_BYTES = 32
/** People and programs that look for secrets in texts know one by how it begins. */
const LINK = /^reeve-connect-[\w-]{43}$/
const BROWSER_WORD = /^[\w-]{43}$/

export const freshLink = (random: Random): string => `reeve-connect-${toBase64Url(random.bytes(WORD_BYTES))}`

/** What is kept of a word. */
export const hashOfWord = (word: string): string => toBase64Url(sha256(word))

/** Under which name the browser holds its word for an attempt: several may be under way in it. */
const cookieOf = ({ id }: Attempt): string => `reeve-connect-${id}`

export interface Shown {
  readonly community: Did
  readonly name: string
  readonly asked: readonly string[]
  /** The origin on which they will sign in. */
  readonly signsInAt: string
  readonly expiresAtMs: number
}

/**
 * What the page says that a link leads to. Whoever only looks changes nothing: programs that look through mail for what is dangerous open links
 * before people do. Order of checks: the link is one that may still be gone through, and this browser's or nobody's yet (BadLogin); the PDS
 * can be asked where one signs in (Unavailable). @throws Refusal; Unavailable
 */
export async function openLink(ctx: ConnectingCtx, link: string, cookies: Cookies): Promise<Shown> {
  const attempt = await attemptOf(ctx, link)
  if (attempt.browserHash !== null) requireBrowser(attempt, cookies)
  return aboutOf(ctx, attempt)
}

/** Where a browser goes on to, and the word that it shall hold from now on; null: it has one. */
export interface GoingOn {
  readonly url: string
  readonly cookie: { readonly name: string; readonly value: string } | null
}

/**
 * Where the browser goes on to: it is the one that the attempt is bound to from now on. Order of checks: as for the link, with the word of this
 * browser where there is one (BadLogin); the account is still one that may be connected (BadLogin); no other browser was quicker (BadLogin);
 * the PDS takes the question (BadLogin when it refuses it; Unavailable). @throws Refusal; Unavailable
 */
export async function goOn(ctx: ConnectingCtx, link: string, cookies: Cookies): Promise<GoingOn> {
  const attempt = await attemptOf(ctx, link)
  if (attempt.browserHash !== null) requireBrowser(attempt, cookies)
  await requireAccount(ctx, attempt.community)
  if (attempt.browserHash !== null) return { url: await asked(ctx, attempt), cookie: null }
  const value = toBase64Url(ctx.random.bytes(WORD_BYTES))
  const browserHash = hashOfWord(value)
  if (!(await takeAttempt(ctx.db, attempt.id, browserHash))) throw otherBrowser()
  try {
    return { url: await asked(ctx, attempt), cookie: { name: cookieOf(attempt), value } }
  } catch (error) {
    // The page that says so carries no word, and without it not even this browser could try again.
    await freeAttempt(ctx.db, attempt.id, browserHash)
    throw error
  }
}

/** Asks the PDS, and answers where it wants the browser. */
async function asked(ctx: ConnectingCtx, attempt: Attempt): Promise<string> {
  const grants = await ctx.grants()
  try {
    const { url, state, begun } = await grants.begin(attempt.community, attempt.asked)
    const blob = await sealBegun(ctx, attempt.community, attempt.id, begun)
    await saveAttemptState(ctx.db, attempt.id, state, blob)
    return url
  } catch (error) {
    const fault = grants.faultOf(error)
    ctx.log.info('steering.notAsked', { community: attempt.community, because: fault.because })
    if (fault.because === 'invalid_scope') throw new Refusal('BadLogin', UNKNOWN_SCOPE, fault.because)
    if (fault.because.startsWith('invalid_'))
      throw new Refusal('BadLogin', `the PDS does not take this service as an app (${fault.because})`, fault.because)
    throw new Unavailable('UpstreamFailure', 'pds')
  }
}

export interface Connected {
  readonly community: Did
  readonly name: string
  readonly granted: readonly string[]
  readonly missing: readonly string[]
  /** The cookie that is of no use any more. */
  readonly cookie: string
}

/**
 * Takes what a browser brought back. Order of checks: the state is one that is waited for, in this browser, for ten minutes, once (BadLogin); it
 * is a grant, by the server that was asked (BadLogin with what the PDS said; Unavailable); of the community's own account (BadLogin); whoever
 * began is still an owner, and the account consents (BadLogin). A grant that isn't kept is given back. @throws Refusal; Unavailable
 */
export async function comeBack(ctx: ConnectingCtx, params: URLSearchParams, cookies: Cookies): Promise<Connected> {
  const [state = '', ...others] = params.getAll('state')
  const attempt = state === '' || others.length > 0 ? null : await loadAttemptByState(ctx.db, state)
  if (!attempt?.sealed) throw badLogin('nothing that was begun here is waiting for this: begin again', 'state')
  requireOpen(ctx, attempt)
  requireBrowser(attempt, cookies)
  const begun = await openBegun(ctx, attempt.community, attempt.id, attempt.sealed)
  if (!(await spendAttemptState(ctx.db, attempt.id, state))) throw badLogin('it was used already: begin again', 'used')
  const grants = await ctx.grants()
  const { did, session } = await grants.finish(attempt.asked, params, begun).catch((error: unknown) => {
    const refused = grants.refusedBy(error)
    if (refused) throw badLogin(explained(refused.name, refused.says), refused.name)
    const { because } = grants.faultOf(error)
    ctx.log.info('steering.notFinished', { community: attempt.community, because })
    throw badLogin(
      'the answer is not one to the question that was asked, or could not be checked: begin again',
      because,
    )
  })
  const giveBack = () => grants.revoke(attempt.asked, session).catch(() => {})
  if (did !== attempt.community) {
    await giveBack()
    throw badLogin('somebody else signed in: sign in as the account that the community is', 'OtherAccount')
  }
  try {
    return await keep(ctx, attempt, session)
  } catch (error) {
    await giveBack()
    if (error instanceof Refusal)
      throw badLogin('this may not be connected any more: have an owner begin again', error.code)
    throw error
  }
}

async function keep(ctx: ConnectingCtx, attempt: Attempt, session: Session): Promise<Connected> {
  const { community, asked, begunBy } = attempt
  const granted = scopesIn(session.tokenSet.scope)
  const missing = missingOf(asked, granted, community)
  // Sealed before the transaction: the vault reads by a connection of its own.
  const blob = await sealSession(ctx, community, session)
  let former: Connection | null = null
  let name: string = community
  const call = {
    ...{ community, actor: begunBy, action: 'steering.connected', target: community, subject: null },
    ...{ ifRevision: undefined, idempotency: null },
  }
  await changeCommunity(ctx, call, async (tx, facts, nowMs) => {
    const decision = decideAct(facts, begunBy, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    if ((await loadReleasedAt(tx, community)) !== null) throw notConsenting()
    // An owner who disconnected while the PDS was asked has ended this attempt too, and stays obeyed.
    if (!(await deleteAttempt(tx, attempt.id))) throw badLogin('it was ended meanwhile: begin again', 'ended')
    former = await loadConnection(tx, community)
    name = (await loadCommunity(tx, community))?.name ?? community
    await saveConnection(tx, permit, { community, asked, granted, connectedBy: begunBy, blob }, nowMs)
    await wakeAllSteered(tx, permit, community)
    const details = { granted: granted.length, missing: missing.join(' ') }
    return { answer: {}, changed: 'roster', because: decision.because, details }
  })
  await afterKeeping(ctx, community, former)
  return { community, name, granted, missing, cookie: cookieOf(attempt) }
}

/** What is good to have done once a grant is kept. It is kept whatever becomes of this: an error here would have it given back at its PDS. */
async function afterKeeping(ctx: ConnectingCtx, community: Did, former: Connection | null): Promise<void> {
  ctx.sessions.forget(community)
  await looksAfterLater(ctx, community).catch(() => {})
  if (!former?.sealed) return
  try {
    const session = await openSession(ctx, community, former.sealed)
    await (await ctx.grants()).revoke(former.asked, session)
  } catch {
    ctx.log.info('steering.notGivenBack', { community })
  }
}

/** It was seen to work just now. */
async function looksAfterLater({ db, clock, random }: ConnectingCtx, community: Did): Promise<void> {
  const nowMs = clock.nowMs()
  const turn = { name: watchTurnOf(community), holder: randomHex(random, 8) }
  await takeTurn(db, { ...turn, nowMs, untilMs: nextWatchMs(nowMs, random) })
}

/** @throws Refusal('BadLogin') */
async function attemptOf(ctx: ConnectingCtx, link: string): Promise<Attempt> {
  const attempt = LINK.test(link) ? await loadAttemptByLink(ctx.db, hashOfWord(link)) : null
  if (!attempt) throw badLogin('this link leads nowhere, or its time is over: ask for a new one', 'link')
  requireOpen(ctx, attempt)
  return attempt
}

function requireOpen({ clock }: ConnectingCtx, { expiresAtMs }: Attempt): void {
  if (clock.nowMs() >= expiresAtMs) throw badLogin('it took longer than ten minutes: begin again', 'late')
}

/** That the browser is the one that opened the link. @throws Refusal('BadLogin') */
function requireBrowser(attempt: Attempt, cookies: Cookies): void {
  const word = cookies(cookieOf(attempt))
  const isIts = word !== null && BROWSER_WORD.test(word) && hashOfWord(word) === attempt.browserHash
  if (!isIts) throw otherBrowser()
}

async function requireAccount({ db }: ConnectingCtx, community: Did): Promise<void> {
  if ((await loadKind(db, community)) !== 'account' || (await loadReleasedAt(db, community)) !== null)
    throw badLogin('the account does not consent to be decided about here', 'released')
}

async function aboutOf(ctx: ConnectingCtx, { community, asked, expiresAtMs }: Attempt): Promise<Omit<Shown, 'cookie'>> {
  await requireAccount(ctx, community)
  const name = (await loadCommunity(ctx.db, community))?.name ?? community
  const grants = await ctx.grants()
  try {
    const signsInAt = await grants.signsInAt(community, asked)
    // It goes into a header of the page, in which a semicolon, legal in a host's name, would begin something else.
    if (!/^https?:\/\/[a-z0-9.:[\]-]+$/.test(signsInAt)) throw new Error('no plain origin')
    return { community, name, asked, expiresAtMs, signsInAt }
  } catch (error) {
    ctx.log.info('steering.notAsked', { community, because: grants.faultOf(error).because })
    throw new Unavailable('UpstreamFailure', 'pds')
  }
}

const badLogin = (says: string, because: string): Refusal => new Refusal('BadLogin', says, because)

const otherBrowser = (): Refusal =>
  badLogin('another browser went on from this link, and only that one may go on with it: ask for a new link', 'browser')

const notConsenting = (): Refusal =>
  new Refusal('UnsupportedHost', 'the account does not consent to be decided about here')

const UNKNOWN_SCOPE =
  'the PDS could not find out what some of the types of spaces are, or does not know this kind of permission: connect again, and ask for any type'

/** What a PDS means that sent the browser back without a grant. */
function explained(name: string, says: string): string {
  if (name === 'access_denied') return 'it was declined at the PDS, so nothing was changed'
  if (name === 'invalid_scope') return UNKNOWN_SCOPE
  return `the PDS ended it (${name}${says === '' ? '' : `: ${says}`}), so nothing was changed`
}
