/**
 * `community.reeve.space.create`: a community gets another space. Its owners stand in it from the first moment. Where one of that name
 * ended, nothing of it is in the new one.
 */
import type * as lexicon from '../lexicons/community/reeve/space/create.ts'
import { type AppScope, saveAppAccess, saveAppRules } from '../membership/app-rule-store.ts'
import { changeCommunity, type GovernanceCtx, required, rosterUri } from '../membership/governance.ts'
import { requireDid, requireReason, requireShownName } from '../membership/input.ts'
import { requireRoomForAppRules, requireRoomForSpace } from '../membership/limits.ts'
import { isBeingCleared } from '../membership/space-end-store.ts'
import { insertSpace } from '../membership/store.ts'
import { type ClientId, type Did, isSkey, parseNsid, ROLE_SPACE_TYPE, type SpaceName, spaceUriOf } from '../names.ts'
import type { Tx } from '../platform/database.ts'
import type { ProcedureCall } from '../platform/idempotency.ts'
import { freshTid, type Random } from '../platform/random.ts'
import type { AppRules } from '../policy/apps.ts'
import { decideAct } from '../policy/decide.ts'
import { ownersEdge } from '../policy/decide-spaces.ts'
import { OWNER_MARK } from '../policy/roles.ts'
import type { Permit } from '../policy/verdict.ts'
import { Refusal } from '../refusals.ts'
import { hostOf, requireHost, requireHostWord } from './host.ts'
import { isEndingThere } from './host-store.ts'
import { isRecordless, parseAppAccess, parsePolicy, requireOwnWord } from './settings.ts'
import { insertSettings } from './store.ts'

/** Types under this are Reeve's own. Of them a caller makes role spaces only, whose people get their power where they are nested. */
const OWN_TYPES = 'community.reeve.'

/**
 * Of a space at a PDS nothing is made there: its name is bound, and whoever asks about it by that name is answered. That its authority
 * wants it so, it has said when it was adopted.
 *
 * Order of checks: the input (InvalidRequest, UnsupportedHost, UnsupportedPolicy, UnsupportedAppAccess, LimitExceeded for the list of apps); the caller stands in the community
 * (NotFound); may make spaces (Forbidden), and is an owner when the public, or whom a managing app lets in, are, or the space is at a
 * PDS; its community's spaces are there (UnsupportedHost); there is room (LimitExceeded); the name is free, and what had it before is cleared away (SpaceAlreadyExists);
 * there is room for the rules of its list (LimitExceeded).
 */
export async function spaceCreate(
  ctx: GovernanceCtx & { readonly random: Random; readonly serviceDid: Did },
  actor: Did,
  input: lexicon.$InputBody,
  { idempotency }: ProcedureCall,
): Promise<lexicon.$OutputBody> {
  const community = requireDid(input.community, 'community')
  const host = requireHostWord(input.host)
  const space = nameOf(ctx, community, input)
  const readPolicy = parsePolicy(input.readPolicy, ctx.serviceDid)
  const writePolicy = parsePolicy(input.writePolicy, ctx.serviceDid)
  if (host === 'pds') requireOwnWord(readPolicy, writePolicy)
  const allowed = parseAppAccess(input.appAccess)
  if (allowed && isRecordless(space)) {
    throw new Refusal('UnsupportedAppAccess', 'a role space holds no records that an app could read')
  }
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
    const isForOwners = readPolicy !== 'memberList' || writePolicy !== 'memberList' || host === 'pds'
    if (isForOwners) required(decideAct(actorFacts, actor, OWNER_MARK, roster))
    await requireHost(tx, space, host)
    await requireRoomForSpace(tx, community, space.uri)
    if (await isEndingThere(tx, space.uri)) {
      throw new Refusal('SpaceAlreadyExists', 'a space of that name has ended and is still to be deleted at its PDS')
    }
    const isNew = await insertSpace(tx, permit, space, ownersEdge(roster, space.uri), nowMs, host === 'pds')
    if (!isNew) throw await nameTaken(tx, space)
    await insertSettings(tx, permit, space.uri, { name, description, readPolicy, writePolicy })
    if (allowed) await saveAppList(tx, permit, { community, scope: space.uri }, allowed, nowMs)
    const details = {
      readPolicy,
      writePolicy,
      ...(host === 'pds' ? { host } : {}),
      ...(allowed ? { appMode: 'allowList', appsAllowed: allowed.join(' ') } : {}),
    }
    const touches = { spaces: [space.uri] }
    // The facts are of before the change.
    const list = (allowed ?? []).map((name) => [name, 'allow'] as const)
    const own = allowed ? [[space.uri, { mode: 'allowList', unattested: null, rules: new Map(list) }] as const] : []
    const apps: AppRules = new Map([...actorFacts.graph.apps, ...own])
    const bound = await hostOf(tx, space, { serviceDid: ctx.serviceDid, readPolicy, writePolicy, apps, nowMs })
    const answer = { uri: space.uri, ...(bound ? { host: bound } : {}) }
    return { answer, changed: 'graph', because: decision.because, touches, details }
  })
}

async function nameTaken(tx: Tx, { uri }: SpaceName): Promise<Refusal> {
  const says = (await isBeingCleared(tx, uri))
    ? 'a space of that name has ended and is still being cleared away; try again in a moment'
    : 'the community has a space of that name'
  return new Refusal('SpaceAlreadyExists', says)
}

/** The list of apps that a space is made with: a rule for each. */
async function saveAppList(
  tx: Tx,
  permit: Permit<'space.create'>,
  at: AppScope,
  allowed: readonly ClientId[],
  nowMs: number,
): Promise<void> {
  await requireRoomForAppRules(tx, at.community, allowed.length)
  await saveAppAccess(tx, permit, at, { mode: 'allowList', unattested: null })
  const rules = allowed.map((name) => ({ name, isHost: false, verdict: 'allow', note: null }) as const)
  await saveAppRules(tx, permit, at, rules, nowMs)
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
  if (input.host === 'pds' && input.skey === undefined)
    throw new Refusal('InvalidRequest', 'a space at a PDS has its skey there: say which')
  const skey = input.skey ?? freshTid(ctx.clock.nowMs(), ctx.random)
  if (!isSkey(skey)) throw new Refusal('InvalidRequest', 'skey is not a record key')
  return spaceUriOf(community, spaceType, skey)
}
