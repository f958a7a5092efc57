/** `community.reeve.community.freeze`: a space, or all of a community's, rest for a while; nothing is lost by it. */
import type * as lexicon from '../lexicons/community/reeve/community/freeze.ts'
import {
  type Changed,
  changeCommunity,
  type GovernanceCtx,
  notFound,
  required,
  rosterUri,
} from '../membership/governance.ts'
import { requireScope } from '../membership/input.ts'
import type { Facts } from '../membership/standing-facts.ts'
import { freezeCommunity, freezeSpace, loadSpaceState } from '../membership/store.ts'
import type { Did, SpaceUri } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { decideAct } from '../policy/decide.ts'
import { decideFreeze } from '../policy/decide-spaces.ts'
import { standingIn } from '../policy/standing.ts'
import { Refusal } from '../refusals.ts'

/**
 * For the night when something is wrong and nobody knows yet what: from the next decision on nobody reads or writes there, and
 * nobody comes through a space that rests. Those who govern go on, and can wake it. Whoever asked to hear of writes is told nothing while
 * it rests, and is registered still when it wakes: this is the form that can be taken back, `space.delete` the one that can't.
 * Order of checks: the input (InvalidRequest); the space is there and the caller stands in it (NotFound); the roster rests with
 * its community only (InvalidRequest); the verdict (Forbidden, EscalationDenied).
 */
export async function communityFreeze(
  ctx: GovernanceCtx,
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const { community, scope } = requireScope(input)
  const call = {
    community,
    actor,
    action: input.isFrozen ? 'community.freeze' : 'community.unfreeze',
    target: scope,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, (tx, actorFacts, nowMs) => {
    const frozenAtMs = input.isFrozen ? nowMs : null
    return scope === community
      ? freezeAll(tx, actorFacts, frozenAtMs)
      : freezeOne(tx, actorFacts, scope as SpaceUri, frozenAtMs)
  })
}

async function freezeAll(tx: Tx, actor: Facts, frozenAtMs: number | null): Promise<Changed<object>> {
  const { community, edges } = actor.graph
  const roster = rosterUri(community)
  const permit = required(decideAct(actor, actor.did, 'community.configure', roster))
  const isMoved = await freezeCommunity(tx, permit, community, frozenAtMs)
  const touches = { spaces: [...new Set([roster, ...edges.map(({ into }) => into)])] }
  return { answer: {}, changed: isMoved ? 'graph' : 'nothing', because: permit.because, touches }
}

async function freezeOne(tx: Tx, actor: Facts, space: SpaceUri, frozenAtMs: number | null): Promise<Changed<object>> {
  if ((await loadSpaceState(tx, space)) !== 'live' || !standingIn(actor, space).has(space)) throw notFound()
  if (space === rosterUri(actor.graph.community)) {
    throw new Refusal('InvalidRequest', 'the roster rests with its community: name that')
  }
  const permit = required(decideFreeze(actor, actor.did, space))
  const isMoved = await freezeSpace(tx, permit, space, frozenAtMs)
  return { answer: {}, changed: isMoved ? 'graph' : 'nothing', because: permit.because, touches: { spaces: [space] } }
}
