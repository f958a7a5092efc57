/** An owner offers the community to somebody else. It stays theirs until that person takes it. */
import type * as lexicon from '../lexicons/community/reeve/member/transferOwnership.ts'
import { isoOf } from '../platform/clock.ts'
import type { Tx } from '../platform/database.ts'
import { isOwnerIn } from '../policy/bounds.ts'
import { decideAct } from '../policy/decide.ts'
import { OWNER } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { required, rosterUri } from './governance.ts'
import { requireDid, requireExpiry } from './input.ts'
import { saveOwnershipOffer } from './ownership-store.ts'
import type { Act } from './proposals.ts'
import { requireNotItself } from './put-verdict.ts'
import { type Facts, type FactsCtx, loadGroundedFacts } from './standing-facts.ts'

/** What an owner who hands on is afterwards, when nothing else is said. */
const ROLE_AFTER = 'admin'
/** The word for no place on the roster. */
const NOTHING = 'none'

/** What an owner wants, as it is kept while it waits for another owner's yes. */
type Wish = Pick<lexicon.$InputBody, 'to' | 'roleAfter' | 'expiresAt'>

/** The wish, read and judged. Order of checks: as `TRANSFER` has it. */
async function judge(ctx: FactsCtx, tx: Tx, actor: Facts, input: Wish) {
  const { community } = actor.graph
  if (input.to === undefined) throw new Refusal('InvalidRequest', 'send either to or cancel')
  const to = requireDid(input.to, 'to')
  requireNotItself(to, community)
  if (to === actor.did) throw new Refusal('InvalidRequest', 'the community is yours already')
  if (input.roleAfter === OWNER) {
    throw new Refusal(
      'InvalidRequest',
      'whoever hands on is no owner afterwards; to own together, put the other as owner',
    )
  }
  const roleAfter = input.roleAfter === NOTHING ? null : (input.roleAfter ?? ROLE_AFTER)
  const decision = decideAct(actor, actor.did, 'community.transfer', rosterUri(community))
  const permit = required(decision)
  const person = await loadGroundedFacts(ctx, tx, community, to)
  if (person && isOwnerIn(person, rosterUri(community))) {
    throw new Refusal('InvalidRequest', 'this person is an owner already; you can leave, or take another role')
  }
  if (roleAfter !== null && !actor.roles.has(roleAfter)) {
    throw new Refusal('UnknownRole', 'the community has no such role')
  }
  return { permit, to, roleAfter }
}

/**
 * The making of an offer, or of another one in place of the one that the owner has open. Order of checks: the input
 * (InvalidRequest); the actor is an owner (NotFound, Forbidden); the other person isn't one (InvalidRequest); the role for
 * afterwards exists (UnknownRole); it hasn't expired already (InvalidRequest).
 */
export const TRANSFER: Act = {
  name: 'member.transferOwnership',
  graceMs: 0,
  judge: async (ctx, tx, actor, input) => (await judge(ctx, tx, actor, input as Wish)).permit,
  async carryOut(ctx, tx, actor, input, nowMs) {
    const { permit, to, roleAfter } = await judge(ctx, tx, actor, input as Wish)
    const expiresAtMs = requireExpiry((input as Wish).expiresAt, nowMs)
    await saveOwnershipOffer(tx, permit, actor.graph.community, { to, roleAfter, expiresAtMs }, nowMs)
    const details = { to, roleAfter, expiresAtMs }
    return { answer: { expiresAt: isoOf(expiresAtMs) }, changed: 'roster', because: permit.because, details }
  },
}
