/** `community.reeve.key.claimOwnership`: a key that stands above ours in the identity of a community names its owners. */
import { isSignedBy, ownershipWords } from '../keys/ceremony-statements.ts'
import { listKeys } from '../keys/store.ts'
import type * as lexicon from '../lexicons/community/reeve/key/claimOwnership.ts'
import { notFound } from '../membership/governance.ts'
import { requireDid } from '../membership/input.ts'
import { requireNotItself } from '../membership/put-verdict.ts'
import type { Did, DidKey } from '../names.ts'
import { isoOf, msOf } from '../platform/clock.ts'
import { withTransaction } from '../platform/database.ts'
import { errorName } from '../platform/log.ts'
import type { Random } from '../platform/random.ts'
import { Refusal, Unavailable } from '../refusals.ts'
import { type ApplyCtx, applyClaim } from './apply-claims.ts'
import { loadClaim } from './ownership-claim-store.ts'
import { type ClaimStanding, keysAbove, makeClaim, whyNotHere } from './ownership-claims.ts'
import { readPinnedLog } from './pinned-log.ts'

type ClaimCtx = ApplyCtx & { readonly random: Random; readonly serviceDid: Did }

/** How old a signature may be, and how far ahead a clock: it is made away from everything, and carried here. */
const AGE_MAX_MS = 24 * 60 * 60 * 1000
const AHEAD_MAX_MS = 30_000

/**
 * Anybody may bring it, with no standing at all: whoever is to own the community may never have been in it. What counts is the signature, by
 * the log as it is read now. It waits for three days, in which every owner is told and any of them can object; then it takes such a key once
 * more, over the same owners, and is carried out on its first day, or at once when that is past.
 *
 * Order of checks: the input, the owners each once and never the community itself, and `at` of the last day (InvalidRequest); the community
 * is here, lives, and hasn't left (NotFound); the directory answers; the signature is by a key that stands above ours, and never by one that
 * was ours (BadRecoveryProof); nothing else waits, and no owner objected since it was signed (CoolingDown); it was signed after the last
 * claim came to its end, so that a copy of it names nobody again (BadRecoveryProof). @throws Refusal; Unavailable, and nothing is changed
 */
export async function keyClaimOwnership(
  ctx: ClaimCtx,
  caller: Did,
  input: lexicon.$InputBody,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const owners = requireOwners(input.owners, community)
  requireRecent(input.at, ctx.clock.nowMs())
  if (await whyNotHere(ctx.db, community)) throw notFound()
  const signedBy = await requireSigned(ctx, community, owners, input)
  const kept = await ctx.paces.changes.inTurn(community, () =>
    withTransaction(ctx.db, (tx) => {
      const said = { community, owners, signedBy, saidAt: input.at, askedBy: caller }
      return makeClaim(ctx, tx, { ...said, nowMs: ctx.clock.nowMs() })
    }),
  )
  const { id, state, dueAtMs } = await carriedOut(ctx, kept)
  return { claim: id, state, dueAt: isoOf(dueAtMs) }
}

/** @throws Refusal('InvalidRequest') */
function requireOwners(given: readonly string[], community: Did): readonly Did[] {
  const owners = given.map((one) => requireDid(one, 'owners'))
  if (new Set(owners).size !== owners.length) throw new Refusal('InvalidRequest', 'an owner is named twice')
  for (const owner of owners) requireNotItself(owner, community)
  return owners
}

/** @throws Refusal('InvalidRequest') */
function requireRecent(at: string, nowMs: number): void {
  const atMs = msOf(at)
  if (atMs !== null && isoOf(atMs) === at && atMs >= nowMs - AGE_MAX_MS && atMs <= nowMs + AHEAD_MAX_MS) return
  throw new Refusal('InvalidRequest', 'at is no instant of the last day, in UTC with milliseconds: sign again')
}

/** The key by which it is signed. @throws Refusal('BadRecoveryProof'); Unavailable */
async function requireSigned(
  ctx: ClaimCtx,
  community: Did,
  owners: readonly Did[],
  { at, sig }: lexicon.$InputBody,
): Promise<DidKey> {
  const words = ownershipWords({ service: ctx.serviceDid, community, owners, at })
  const log = await readPinnedLog(ctx, community)
  const key = keysAbove(log, await listKeys(ctx.db, community)).find((one) => isSignedBy(one, words, sig))
  if (key) return key
  const says = 'sig is not by a key that stands above this service’s in the identity, or not over the right words'
  throw new Refusal('BadRecoveryProof', says)
}

/** Carries out what is due already: a second signature that came after its day. If that fails now, the worker goes on with it. */
async function carriedOut(ctx: ClaimCtx, kept: ClaimStanding): Promise<ClaimStanding> {
  if (kept.dueAtMs > ctx.clock.nowMs()) return kept
  const claim = await loadClaim(ctx.db, kept.id)
  if (claim?.state !== 'waiting') return claim ?? kept
  try {
    await applyClaim(ctx, claim)
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    ctx.log.warn('ownershipClaim.waits', { id: claim.id, error: errorName(error) })
  }
  return (await loadClaim(ctx.db, kept.id)) ?? kept
}
