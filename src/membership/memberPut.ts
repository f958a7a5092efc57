/** `community.reeve.member.put`: a person comes onto a roster, or gets another role there. */
import type * as lexicon from '../lexicons/community/reeve/member/put.ts'
import type { Did } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decidePut, sameEntry } from '../policy/decide.ts'
import { OWNER, SHIPPED_ROLES } from '../policy/roles.ts'
import { type Edge, standingOf } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'
import { changeCommunity, type GovernanceCtx, notFound, required, rosterUri } from './governance.ts'
import { parseInstant, requireDid, requireSpace } from './input.ts'
import { loadStandingFacts } from './standing-facts.ts'
import { countOwners, loadSpaceState, savePersonEdge } from './store.ts'

/**
 * Order of checks: the space is there and the caller stands in it (NotFound); the role exists (UnknownRole) and may be held
 * there (InvalidRequest); then the verdict (Forbidden, EscalationDenied, LastOwner).
 */
export async function memberPut(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const space = requireSpace(input.space)
  const person = requireDid(input.did, 'did')
  const after: Edge = {
    into: space.uri,
    from: person,
    role: input.role,
    holding: null,
    sinceMs: parseInstant(input.since, 'since'),
    untilMs: parseInstant(input.until, 'until'),
  }
  const call = {
    community: space.authority,
    actor,
    action: 'member.put',
    target: space.uri,
    subject: person,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    const state = await loadSpaceState(tx, space.uri)
    if (state !== 'live' || !standingOf(actorFacts).has(space.uri)) throw notFound()
    if (!SHIPPED_ROLES.has(after.role)) throw new Refusal('UnknownRole', 'the community has no such role')
    requireHoldable(after, space.authority)
    const roster = rosterUri(space.authority)

    const personFacts = await loadStandingFacts(ctx, tx, space.authority, person)
    if (!personFacts) throw notFound()
    const before = personFacts.own.find((edge) => edge.into === space.uri) ?? null
    const owners = await countOwners(tx, roster)
    const facts = { actor: actorFacts, person: personFacts, roster, owners }
    const decision = decidePut(facts, actor, { space: space.uri, person, before, after })
    const permit = required(decision)

    const isSame = before !== null && sameEntry(before, after)
    if (!isSame) await savePersonEdge(tx, permit, space.authority, after, nowMs)
    const { role, sinceMs, untilMs } = after
    const details = { role, roleBefore: before?.role ?? null, sinceMs, untilMs }
    return { answer: {}, changed: isSame ? 'nothing' : 'roster', because: decision.because, details }
  })
}

/** Owners are direct, untimed entries of the roster space: nobody may own a community for a while, or by way of a forum. */
function requireHoldable(edge: Edge, community: Did): void {
  // Its own spaces are open to it anyway, and nobody could ever act as it: a community that owned itself would have lost its owners.
  if (edge.from === community) throw new Refusal('InvalidRequest', 'a community does not stand on its own rosters')
  if (edge.sinceMs !== null && edge.untilMs !== null && edge.sinceMs >= edge.untilMs) {
    throw new Refusal('InvalidRequest', 'since is not before until')
  }
  if (edge.role !== OWNER) return
  if (edge.into !== rosterUri(community))
    throw new Refusal('InvalidRequest', 'owners stand in the roster; their role reaches every space')
  if (edge.sinceMs !== null || edge.untilMs !== null) throw new Refusal('InvalidRequest', 'an owner is not timed')
}
