/** `community.reeve.space.create`: a community gets another space. Its owners stand in it from the first moment. */
import type * as lexicon from '../lexicons/community/reeve/space/create.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid, requireReason, requireShownName } from '../membership/input.ts'
import { requireRoomForSpace } from '../membership/limits.ts'
import { insertSpace } from '../membership/store.ts'
import { type Did, isSkey, parseNsid, ROLE_SPACE_TYPE, type SpaceName, spaceUriOf } from '../names.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { freshTid, type Random } from '../platform/random.ts'
import { decideAct } from '../policy/decide.ts'
import { ownersEdge } from '../policy/decide-spaces.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import { Refusal } from '../refusals.ts'
import { parsePolicy, requireOpenToApps } from './settings.ts'
import { insertSettings } from './store.ts'

/** Types under this are Reeve's own. Of them a caller makes role spaces only, whose people get their power where they are nested. */
const OWN_TYPES = 'community.reeve.'

/**
 * Order of checks: the input (InvalidRequest, UnsupportedPolicy, UnsupportedAppAccess); the caller stands in the community
 * (NotFound); may make spaces (Forbidden), and is an owner when the public is let in; there is room (LimitExceeded); the name is
 * free (SpaceAlreadyExists).
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
  if (space.spaceType === ROLE_SPACE_TYPE && (readPolicy !== 'memberList' || writePolicy !== 'memberList')) {
    throw new Refusal('UnsupportedPolicy', 'a role space is for its roster; nobody writes or reads records there')
  }
  const name = input.name === undefined ? null : requireShownName(input.name)
  const description = input.description === undefined ? null : requireReason(input.description, 'description')
  const call = {
    community,
    actor,
    action: 'space.create',
    target: space.uri,
    subject: null,
    ifRevision: input.ifRevision,
    isDryRun: input.dryRun,
    idempotency,
  }
  return changeCommunity(ctx, call, async (tx, actorFacts, nowMs) => {
    const roster = rosterUri(community)
    const decision = decideAct(actorFacts, actor, 'space.create', roster)
    const permit = required(decision)
    if (readPolicy === 'public' || writePolicy === 'public') required(decideAct(actorFacts, actor, OWNER_MARK, roster))
    await requireRoomForSpace(tx, community)
    const isNew = await insertSpace(tx, permit, space, ownersEdge(roster, space.uri), nowMs)
    if (!isNew) throw new Refusal('SpaceAlreadyExists', 'the community has a space of that name')
    await insertSettings(tx, permit, space.uri, { name, description, readPolicy, writePolicy })
    const details = { readPolicy, writePolicy }
    const touches = { spaces: [space.uri] }
    return { answer: { uri: space.uri }, changed: 'graph', because: decision.because, touches, details }
  })
}

function nameOf(
  ctx: GovernanceCtx & { readonly random: Random },
  community: Did,
  input: lexicon.$InputBody,
): SpaceName {
  const spaceType = parseNsid(input.spaceType)
  if (!spaceType) throw new Refusal('InvalidRequest', 'spaceType is not an NSID in its canonical form')
  if (spaceType.startsWith(OWN_TYPES) && spaceType !== ROLE_SPACE_TYPE)
    throw new Refusal('InvalidRequest', 'spaces of this type are made by Reeve itself')
  if (spaceType === ROLE_SPACE_TYPE && input.skey === undefined)
    throw new Refusal('InvalidRequest', 'a role space needs an skey: it is what people call the role')
  const skey = input.skey ?? freshTid(ctx.clock.nowMs(), ctx.random)
  if (!isSkey(skey)) throw new Refusal('InvalidRequest', 'skey is not a record key')
  return spaceUriOf(community, spaceType, skey)
}
