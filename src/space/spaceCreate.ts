/** `community.reeve.space.create`: a community gets another space. Its owners stand in it from the first moment. */
import type * as lexicon from '../lexicons/community/reeve/space/create.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid, requireShownName } from '../membership/input.ts'
import { insertSpace } from '../membership/store.ts'
import { type Did, isSkey, parseNsid, type SpaceName, spaceUriOf } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { freshTid, type Random } from '../platform/random.ts'
import { decideAct, ownersEdge } from '../policy/decide.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { parsePolicy, requireOpenToApps } from './settings.ts'
import { insertSettings } from './store.ts'

/** Types under this are made by Reeve itself: rosters and role spaces carry power, and come with rules of their own. */
const OWN_TYPES = 'community.reeve.'

/**
 * Order of checks: the input (InvalidRequest, UnsupportedPolicy, UnsupportedAppAccess); the caller stands in the community
 * (NotFound); may make spaces (Forbidden), and is an owner when the public is let in; the name is free (SpaceAlreadyExists).
 */
export async function spaceCreate(
  ctx: GovernanceCtx & { readonly random: Random },
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const space = nameOf(ctx, community, input)
  const readPolicy = parsePolicy(input.readPolicy)
  const writePolicy = parsePolicy(input.writePolicy)
  requireOpenToApps(input.appAccess)
  const name = input.name === undefined ? null : requireShownName(input.name)
  const call = {
    community,
    actor,
    action: 'space.create',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    const roster = rosterUri(community)
    const decision = decideAct(actorFacts, actor, 'space.create', roster)
    const permit = required(decision)
    if (readPolicy === 'public' || writePolicy === 'public') required(decideAct(actorFacts, actor, OWNER_MARK, roster))
    const isNew = await insertSpace(tx, permit, space, ownersEdge(roster, space.uri), nowMs)
    if (!isNew) throw new Refusal('SpaceAlreadyExists', 'the community has a space of that name')
    await insertSettings(tx, permit, space.uri, { name, readPolicy, writePolicy })
    const details = { readPolicy, writePolicy }
    return { answer: { uri: space.uri }, changed: 'graph', because: decision.because, details }
  })
}

function nameOf(
  ctx: GovernanceCtx & { readonly random: Random },
  community: Did,
  input: lexicon.$InputBody,
): SpaceName {
  const spaceType = parseNsid(input.spaceType)
  if (!spaceType) throw new Refusal('InvalidRequest', 'spaceType is not an NSID in its canonical form')
  if (spaceType.startsWith(OWN_TYPES))
    throw new Refusal('InvalidRequest', 'spaces of this type are made by Reeve itself')
  const skey = input.skey ?? freshTid(ctx.clock.nowMs(), ctx.random)
  if (!isSkey(skey)) throw new Refusal('InvalidRequest', 'skey is not a record key')
  return spaceUriOf(community, spaceType, skey)
}
