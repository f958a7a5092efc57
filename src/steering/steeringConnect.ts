/** `community.reeve.steering.connect`: an owner begins to connect the account that a community is. */
import type * as lexicon from '../lexicons/community/reeve/steering/connect.ts'
import { loadKind, loadReleasedAt } from '../membership/account-store.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { type Did, type Nsid, parseNsid } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { type Random, randomHex } from '../platform/random.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { clientIdOf, siteOf } from './client-metadata.ts'
import { freshLink, hashOfWord } from './connecting.ts'
import { countAttempts, insertAttempt, listBoundTypes } from './connection-store.ts'
import { type AskedTypes, isKeptType, scopesFor, TYPES_MAX } from './scopes.ts'

/** From the answer to this call until the browser is back: to be read, to be signed in, to be thought over. */
const ATTEMPT_MS = 10 * 60_000
/** Attempts of one community that may be gone through at once. */
const ATTEMPTS_MAX = 10

/**
 * The link is in this answer and nowhere else: only what it hashes to is kept, and the answer isn't remembered for another call. Whoever
 * has it can connect this account only, as whoever can sign in as it.
 *
 * Order of checks: the input (InvalidRequest); the caller stands in the community (NotFound) and is an owner (Forbidden); it is an account
 * that consents (UnsupportedHost); there are types to ask for (InvalidRequest), and not too many (LimitExceeded); not too many attempts
 * are open (LimitExceeded). @throws Refusal
 */
export async function steeringConnect(
  ctx: GovernanceCtx & { readonly random: Random; readonly publicUrl: string },
  actor: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const named = input.anyType === true ? 'any' : namedTypes(input.spaceTypes)
  const site = siteOf(ctx.publicUrl)
  const link = freshLink(ctx.random)
  const call = {
    ...{ community, actor, action: 'steering.connect', target: community, subject: null },
    ...{ ifRevision: undefined, idempotency: null },
  }
  const { asks, expiresAtMs } = await changeCommunity(ctx, call, async (tx, facts, nowMs) => {
    const decision = decideAct(facts, actor, OWNER_MARK, rosterUri(community))
    const permit = required(decision)
    await requireConsentingAccount(tx, community)
    const types = named ?? (await boundTypes(tx, community))
    // A name that can't be is found out now, and not by the browser.
    clientIdOf(site, types)
    if ((await countAttempts(tx, community, nowMs)) >= ATTEMPTS_MAX)
      throw new Refusal(
        'LimitExceeded',
        'there are many attempts to connect it already: go on with one, or wait ten minutes',
      )
    const asks = scopesFor(types)
    const attempt = { id: randomHex(ctx.random, 8), community, begunBy: actor, asked: asks, linkHash: hashOfWord(link) }
    await insertAttempt(tx, permit, { ...attempt, expiresAtMs: nowMs + ATTEMPT_MS })
    // Nothing about the community is another yet, so its number stays; that somebody began is on record all the same.
    const details = { attempt: attempt.id, asks: asks.join(' ') }
    const each = [{ action: 'steering.connect', subject: community, because: decision.because, details }]
    const answer = { asks, expiresAtMs: nowMs + ATTEMPT_MS }
    return { answer, changed: 'nothing', because: decision.because, each }
  })
  const url = `${site.origin}/steering/connect?link=${link}` as lexicon.$OutputBody['url']
  return { url, expiresAt: isoOf(expiresAtMs), asks: [...asks] }
}

/** @throws Refusal('UnsupportedHost') */
async function requireConsentingAccount(tx: Tx, community: Did): Promise<void> {
  if ((await loadKind(tx, community)) !== 'account')
    throw new Refusal('UnsupportedHost', 'the community was founded here, and has no account on a PDS to connect')
  if ((await loadReleasedAt(tx, community)) !== null)
    throw new Refusal('UnsupportedHost', 'the account took back its consent to be decided about here')
}

/** @throws Refusal('InvalidRequest') */
function namedTypes(texts: readonly string[] | undefined): readonly Nsid[] | null {
  if (texts === undefined) return null
  const types = texts.map((text) => {
    const type = parseNsid(text)
    if (!type || !isKeptType(type))
      throw new Refusal('InvalidRequest', 'spaceTypes holds something that is no type of a space at a PDS')
    return type
  })
  return requireSome(types)
}

/** @throws Refusal InvalidRequest, LimitExceeded */
async function boundTypes(tx: Tx, community: Did): Promise<AskedTypes> {
  const types = (await listBoundTypes(tx, community)).filter(isKeptType)
  if (types.length > TYPES_MAX)
    throw new Refusal('LimitExceeded', 'its spaces are of too many types to ask for one by one: ask for anyType')
  return requireSome(types)
}

function requireSome(types: readonly Nsid[]): readonly Nsid[] {
  if (types.length === 0)
    throw new Refusal(
      'InvalidRequest',
      'the community has no space at its PDS yet: say which types of spaces there will be',
    )
  return types
}
