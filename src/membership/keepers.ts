/** Keys that owners enrolled as their own: from when on they count, and whose they have to be to receive a key of the community. */

import type { Did } from '../names.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { isOwnerIn } from '../policy/bounds.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { holds, standingOf } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { rosterUri } from './governance.ts'
import { hadKeeper, type Keeper, loadKeeper } from './keeper-store.ts'
import { type FactsCtx, loadGroundedFacts } from './standing-facts.ts'

/** How long an enrolment is there for every owner to see before it counts: a stolen session must not bring keys of its own. */
export const KEEPER_SEASON_MS = 24 * 60 * 60 * 1000
/**
 * The same for keys in the place of others that didn't confirm it; and for so long those others are heard of after their end. Whoever has
 * a session alone can end them.
 */
export const KEEPER_REPLACED_SEASON_MS = 3 * KEEPER_SEASON_MS

/** Whether a person has enrolled keys, or had some until a moment ago: what they do with a session alone may be somebody else's doing. */
export const isGuarded = (tx: Tx, community: Did, did: Did, nowMs: number): Promise<boolean> =>
  hadKeeper(tx, community, did, nowMs - KEEPER_REPLACED_SEASON_MS)

/** @throws Refusal('InvalidRequest') for keys that don't count yet */
export function requireSeasoned({ did, enrolledAtMs, countsFromMs }: Keeper, nowMs: number): void {
  if (nowMs >= countsFromMs) return
  const since = `enrolled at ${isoOf(enrolledAtMs)}, and count from ${isoOf(countsFromMs)}`
  throw new Refusal('InvalidRequest', `the keys of ${did} were ${since}`)
}

/**
 * The enrolment of an owner that counts. Order of checks: the person is an owner; has enrolled keys; they count. What isn't so is told as
 * InvalidRequest, with whom it is about: only owners get here. @throws Refusal
 */
export async function requireOwnersKeeper(
  ctx: FactsCtx,
  tx: Tx,
  community: Did,
  did: Did,
  nowMs: number,
): Promise<Keeper> {
  const roster = rosterUri(community)
  const person = await loadGroundedFacts(ctx, tx, community, did)
  // An owner who is banned has an entry, and nothing by it.
  if (!person || !isOwnerIn(person, roster) || !holds(standingOf(person), roster, OWNER_MARK)) {
    throw new Refusal('InvalidRequest', `${did} is no owner of the community`)
  }
  const keeper = await loadKeeper(tx, community, did)
  if (!keeper) throw new Refusal('InvalidRequest', `${did} has enrolled no keys`)
  requireSeasoned(keeper, nowMs)
  return keeper
}
