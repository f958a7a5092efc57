/**
 * `com.atproto.space.getSpaceCredential`: a proven request for reading becomes a short-lived credential bound to its holder.
 *
 * The order is the security of it: what is cheap is refused before what is dear, nobody makes us fetch anything for a space
 * that isn't ours, a token is spent only once everything about it is proven, the row is written before the signature is made,
 * and nothing after the row can be tried again. See `docs/divergences.md` for where others order it differently.
 */

import type { ManagingApps } from '../access/managing-apps.ts'
import { type AccessCtx, loadReadFacts, mayRead } from '../access/may-read.ts'
import { type AttestedApp, parseAttestation, verifyAttestation } from '../apps/attestation.ts'
import { noteSeenApp } from '../apps/seen-store.ts'
import type { AuditFact } from '../audit/chain.ts'
import type { Fence } from '../community/fence.ts'
import type { AppKeysOf } from '../identity/app-metadata.ts'
import type { KeyOf } from '../identity/did-signature.ts'
import type { Vault } from '../keys/vault.ts'
import type * as lexicon from '../lexicons/com/atproto/space/getSpaceCredential.ts'
import type { Basis } from '../membership/basis.ts'
import type { Hosted } from '../membership/hosted.ts'
import type { Did, ServiceId } from '../names.ts'
import { errorName, type Log } from '../platform/log.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { appToAsk, type Grant, type Word } from '../policy/decide.ts'
import type { Reason } from '../policy/verdict.ts'
import { Refusal, type RefusalCode, Unavailable } from '../refusals.ts'
import { isRecordless } from '../space/settings.ts'
import { type Delegation, parseBearer, parseDelegation, verifyDelegationSignature } from './delegation.ts'
import { verifyDpopProof } from './dpop.ts'
import { hasSpaceSignature, verifyExchangeSignature } from './http-signature.ts'
import { type Claim, claimsOf, type Possession } from './possession.ts'
import { type Issuing, recordRefusedRead, spend } from './store.ts'
import { CREDENTIAL } from './token-classes.ts'

export interface ExchangeCtx extends AccessCtx {
  readonly random: Random
  readonly log: Log
  readonly vault: Vault
  /** At the caller's expense: what has to be fetched for them may be too much. @throws Refusal('RateLimitExceeded') */
  readonly keyOf: KeyOf
  /** The keys that an app publishes, at the caller's expense as well. @throws Refusal; Unavailable when its host doesn't answer */
  readonly appKeysOf: AppKeysOf
  readonly hosted: Hosted
  readonly fence: Pick<Fence, 'isNamed'>
  readonly managingApps: ManagingApps
  readonly issuing: Issuing
  /** Counts an exchange of this person, whose signature was seen to hold. @throws Refusal('RateLimitExceeded') */
  readonly chargePerson: (did: Did) => void
}

/** The raw header lines that carry token and proof, and the public address of the method. */
export interface Exchange {
  readonly authorization: readonly string[]
  readonly dpop: readonly string[]
  readonly signatureInput: readonly string[]
  readonly signature: readonly string[]
  readonly url: string
}

/** How often a decision is made anew because the community moved between deciding and writing it down. */
const TRIES_MAX = 4

/**
 * Order of checks: token form and claims (401 names); body names the token's space (InvalidDelegationToken); the form of an
 * attestation that was sent (InvalidClientAttestation); we host the authority, and its document names us (SpaceNotFound); proof of possession; the user's
 * signature, then the user's allowance (RateLimitExceeded); the app's signature (InvalidClientAttestation); the space
 * (SpaceNotFound, SpaceDeleted); then app and person are judged, by the word of the space's managing app where that decides (Unavailable
 * when it gives none), and attestation, proof and token are spent with the verdict
 * (InvalidClientAttestation, BadDpopProof, JwtReplayed before AppNotAuthorized, UserNotAuthorized, or NotAuthorized for both where
 * the community is silent). What is refused before the verdict leaves the token unspent.
 * @throws Refusal; Unavailable
 */
export async function getSpaceCredential(
  ctx: ExchangeCtx,
  asked: Exchange,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const nowSec = ctx.clock.nowSec()
  const delegation = parseDelegation(bearerOf(asked), nowSec)
  const { space } = delegation
  if (input.space !== space.uri) throw new Refusal('InvalidDelegationToken', 'the token was issued for another space')
  const { clientAttestation: sent } = input
  const attestation = sent === undefined ? null : parseAttestation(sent, { authority: space.authority, nowSec })
  // Rosters and role spaces hold no records: there is nothing to read with a credential for one.
  if (isRecordless(space) || !(await ctx.hosted.has(ctx.db, space.authority))) throw spaceNotFound()
  if (!(await ctx.fence.isNamed(space.authority))) throw spaceNotFound()
  const possession = provePossession(asked, nowSec)
  await verifyDelegationSignature(delegation, ctx.keyOf)
  // Not before the signature: with a forged token anybody could use up what somebody else may ask for.
  ctx.chargePerson(delegation.iss)
  // Nor are an app's keys fetched for somebody who is nobody.
  const holder = possession.binding === 'dpop' ? { jkt: possession.jkt } : { kid: possession.holder }
  const app = attestation && (await verifyAttestation(attestation, { holder, keysOf: ctx.appKeysOf, nowSec }))

  return { credential: await issueTo(ctx, { delegation, possession, app }) }
}

/** Decides and issues, anew when the community moved in between. */
async function issueTo(ctx: ExchangeCtx, proven: Proven): Promise<string> {
  let word: Word | null = null
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const outcome = await decideAndIssue(ctx, proven, word)
    if (outcome.is === 'issued') return outcome.credential
    if (outcome.is === 'undecided') word = await askOnce(ctx, proven, outcome.app, word)
  }
  throw new Unavailable('NotEnoughResources', 'community')
}

/**
 * The word of the managing app, which is kept for the request. It is judged with facts that are loaded after it: it may take seconds. A space
 * that has named another app meanwhile is asked for again by whoever asks us, or one request could wait for any number of apps.
 */
async function askOnce(ctx: ExchangeCtx, proven: Proven, app: ServiceId, before: Word | null): Promise<Word> {
  if (before) throw new Unavailable('NotEnoughResources', 'community')
  const { space, iss: did } = proven.delegation
  return ctx.managingApps.ask({ app, space, did, access: 'read', clientId: proven.app?.clientId ?? null })
}

/** A doubled token line is the signature's business when there is one: it is what the signature is over. */
function bearerOf(asked: Exchange): string {
  if (asked.authorization.length > 1 && hasSpaceSignature(asked.signatureInput)) {
    throw new Refusal('BadSpaceSignature', 'send one Authorization header')
  }
  return parseBearer(asked.authorization)
}

const spaceNotFound = (): Refusal => new Refusal('SpaceNotFound', 'no such space here')

/** Which binding a request speaks is settled once: with an atproto-space signature it is judged by that alone. */
function provePossession(asked: Exchange, nowSec: number): Possession {
  if (hasSpaceSignature(asked.signatureInput) || asked.dpop.length === 0) {
    return { binding: 'signature', holder: verifyExchangeSignature({ ...asked, nowSec }).holder }
  }
  const proof = verifyDpopProof({ proofs: asked.dpop, method: 'POST', url: asked.url, nowSec, ath: 'absent' })
  return { binding: 'dpop', ...proof }
}

/** `moved`: the community did in between. `undecided`: it is for this managing app to say. With either, nothing was spent. */
type Outcome =
  | { readonly is: 'issued'; readonly credential: string }
  | { readonly is: 'moved' }
  | { readonly is: 'undecided'; readonly app: ServiceId }

/** One try at deciding, writing and signing. */
async function decideAndIssue(ctx: ExchangeCtx, proven: Proven, word: Word | null): Promise<Outcome> {
  const { delegation, possession, app } = proven
  const { space, iss: did } = delegation
  const read = await loadReadFacts(ctx, space, did)
  if (read.space === 'deleted') throw new Refusal('SpaceDeleted', 'the space was deleted')
  if (read.space === 'unknown') throw spaceNotFound()
  // A key that can't be opened now must not cost the holder their token.
  await ctx.vault.ready(space.authority)

  const claims = [...claimsOf(delegation, possession), ...(app ? [app.claim] : [])]
  const clientId = app?.clientId ?? null
  const verdict = mayRead(read.facts, { did, clientId }, word)
  const undecided = appToAsk(read.facts.readPolicy, verdict)
  if (undecided) return { is: 'undecided', app: undecided }
  if (!verdict.ok) {
    const outcome = await spend(ctx.db, claims)
    if (outcome !== 'claimed') throw replayed(outcome.spent)
    // A stranger's refusal is not kept: anybody can make themself a DID, and would fill the community's log with it for ever.
    if (read.isOnRoll) {
      await recordRefusedRead(ctx.db, refusedRead(ctx, delegation, verdict, read.revision))
      await noteUnlisted(ctx, proven, verdict.because)
    }
    throw refusalOf(verdict, read.facts.graph.isSilent)
  }
  return writeAndSign(ctx, verdict.value, { claims, possession, basis: read.basis })
}

/** A request whose proofs all held, and the app that proved which one it is. */
interface Proven {
  readonly delegation: Delegation
  readonly possession: Possession
  readonly app: AttestedApp | null
}

/** An app that was turned away for lack of a rule is kept for those who judge apps, when somebody of the community brought it. */
async function noteUnlisted(ctx: ExchangeCtx, { delegation, app }: Proven, because: readonly Reason[]): Promise<void> {
  if (!app || !because.some(({ rule }) => rule === 'appUnlisted')) return
  const { space, iss: did } = delegation
  const seen = { community: space.authority, clientId: app.clientId, did, space: space.uri }
  try {
    await noteSeenApp(ctx.db, seen, ctx.clock.nowMs())
  } catch (error) {
    // The refusal stands, and its tokens are spent: to answer that we failed would only have it tried again.
    ctx.log.warn('app.notNoted', { community: seen.community, error: errorName(error) })
  }
}

/** A silent community doesn't say whether it was the app or the person; the audit knows. */
function refusalOf({ code, because }: Refused, isSilent: boolean): Refusal {
  const says = isSilent ? 'the space does not let this person in with this app' : saysOf(code, because)
  return new Refusal(isSilent ? 'NotAuthorized' : code, says, JSON.stringify(because))
}

interface Refused {
  readonly code: RefusalCode
  readonly because: readonly Reason[]
}

function saysOf(code: RefusalCode, because: readonly Reason[]): string {
  if (code !== 'AppNotAuthorized') return 'the space does not let this person in'
  const isUnattested = because.some(({ rule }) => rule === 'appUnattested')
  return isUnattested
    ? 'the space asks which app this is: send clientAttestation'
    : 'the space does not let this app in'
}

const refusedRead = (
  ctx: ExchangeCtx,
  { space, iss: did }: Delegation,
  verdict: { readonly code: RefusalCode; readonly because: readonly Reason[] },
  revision: number,
): AuditFact => ({
  community: space.authority,
  atMs: ctx.clock.nowMs(),
  actor: did,
  action: 'credential.refuse',
  target: space.uri,
  subject: did,
  because: { refused: verdict.code, reasons: verdict.because, revision },
})

/** The row first, then the signature: after a crash between the two there is a record too many, never one too few. */
async function writeAndSign(
  ctx: ExchangeCtx,
  grant: Grant,
  about: { claims: readonly Claim[]; possession: Possession; basis: Basis },
): Promise<Outcome> {
  const iatSec = ctx.clock.nowSec()
  const expSec = endOf(grant, iatSec)
  const jti = randomHex(ctx.random, 16)
  const { possession, basis } = about
  const holder = possession.binding === 'dpop' ? possession.jkt : possession.holder
  const outcome = await ctx.issuing.ask({
    grant,
    claims: about.claims,
    issuance: { jti, holder, issuedAtSec: iatSec, expiresAtSec: expSec, basis },
    atMs: ctx.clock.nowMs(),
  })
  if (outcome === 'moved') return { is: 'moved' }
  // Whatever it was that was spent: without its row nothing is signed.
  if (outcome !== 'issued') throw replayed(outcome.spent)
  const cnf = possession.binding === 'dpop' ? { jkt: possession.jkt } : { kid: possession.holder }
  const credential = await ctx.vault.sign({ kind: 'space-credential', grant, claims: { cnf, iatSec, expSec, jti } })
  return { is: 'issued', credential }
}

/** A credential never outlives the membership that it rests on; it lives a second at the least, or it would be none. */
function endOf(grant: Grant, iatSec: number): number {
  const latest = iatSec + CREDENTIAL.lifetimeDefaultSec
  return grant.untilMs === null ? latest : Math.max(iatSec + 1, Math.min(latest, Math.floor(grant.untilMs / 1000)))
}

/** A spent attestation is told before a spent proof, and that before a spent token, as the reference has their order. */
function replayed(spent: readonly Claim[]): Refusal {
  if (spent.some((claim) => claim.kind === 'attestation'))
    return new Refusal('InvalidClientAttestation', 'the attestation was used before')
  if (spent.some((claim) => claim.kind === 'dpop'))
    return new Refusal('BadDpopProof', 'DPoP: the proof was used before')
  return new Refusal('JwtReplayed', 'the delegation token was used before')
}
