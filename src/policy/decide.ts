/**
 * The verdicts: may this app, may this person, may they do that to the roster.
 *
 * Facts in, verdict out: no clock, no database, no network. A `Grant` and a `Permit` can be made nowhere else, and the signer
 * and the stores demand one, so forgetting to ask does not compile. The same rules as a page to read are `policies/default.cedar`.
 */
import {
  type ClientId,
  type Did,
  didOfService,
  rosterOf,
  type ServiceId,
  type SpaceName,
  type SpaceUri,
} from '../names.ts'
import { judgeApp } from './apps.ts'
import { firstAbove, firstBroughtBack, firstExcess, isOwnerIn, isOwnership, spacesBehind } from './bounds.ts'
import { pathTo } from './paths.ts'
import { type Action, isManaging, OWNER_MARK, type Roles } from './roles.ts'
import { type Edge, sameEntry } from './roster-graph.ts'
import { bansInForce, holds, type PersonIn, type StandingFacts, standingIn, standingOf } from './standing.ts'
import {
  beyond,
  type Decision,
  judgeAct,
  type Permit,
  permitFor,
  type Reason,
  reasonsOf,
  type Sealed,
} from './verdict.ts'

/** "This person, with this app, may read this space": made only by `decideRead`, demanded by the vault. */
export interface Grant extends Sealed<'grant'> {
  readonly space: SpaceName
  readonly did: Did
  readonly clientId: ClientId | null
  /** When the first of the edges behind the grant ends; null when none does, or when no edge is behind it. */
  readonly untilMs: number | null
  /** By whose word it was given; null: by nobody's but the community's own. */
  readonly managedBy: ServiceId | null
  readonly because: readonly Reason[]
}

/** Who may use a space for an action, besides those on its roster: everybody, nobody, or whom a service lets in that is named here. */
export type UserPolicy = 'public' | 'memberList' | ServiceId

/** What a managing app said when it was asked about this very person, space, action and app. Of another one it counts for nothing. */
export interface Word {
  readonly by: ServiceId
  readonly authorized: boolean
}

export interface ReadFacts extends StandingFacts {
  readonly space: SpaceName
  readonly readPolicy: UserPolicy
}

export interface AccessFacts extends ReadFacts {
  readonly writePolicy: UserPolicy
  /** Whether its records are at a PDS, which may name the app of a write. A write that is told of here is nobody's app's. */
  readonly isAtPds: boolean
}

export interface Asker {
  readonly did: Did
  /** The proven app, or null when none was proven. */
  readonly clientId: ClientId | null
}

/**
 * May this person, with this app, read this space? The app is asked first, so that a refused app learns nothing about people, and no
 * managing app is shown it.
 */
export function decideRead(facts: ReadFacts, asker: Asker, word: Word | null = null): Decision<Grant> {
  const app = decideApp(facts, asker)
  if (!app.ok) return app
  const person = judgePerson(facts, asker.did, 'read', { policy: facts.readPolicy, word })
  if (!person.ok) return { ...person, because: [...app.because, ...person.because] }
  const because = [...app.because, ...person.because]
  const untilMs = earliestEnd(person.value)
  const managedBy = person.because.some(({ rule }) => rule === 'managingApp') ? (word?.by ?? null) : null
  const { space } = facts
  const grant = { space, did: asker.did, clientId: asker.clientId, untilMs, managedBy, because } as unknown as Grant
  return { ok: true, value: grant, because }
}

/** The managing app whose word would decide, where nothing else lets somebody in and nothing keeps them out; null: nobody's would. */
export const appToAsk = (policy: UserPolicy, { because }: Decision<unknown>): ServiceId | null =>
  isManagingApp(policy) && because.some(({ rule }) => rule === 'managingAppUnasked') ? policy : null

export const isManagingApp = (policy: UserPolicy): policy is ServiceId => policy !== 'public' && policy !== 'memberList'

const earliestEnd = (edges: readonly Edge[]): number | null =>
  edges.reduce<number | null>(
    (first, { untilMs }) => (untilMs === null ? first : Math.min(untilMs, first ?? untilMs)),
    null,
  )

/** May this app? By what the community and the space say about apps. */
function decideApp({ graph, space }: Pick<ReadFacts, 'graph' | 'space'>, { clientId }: Asker): Decision<true> {
  const { ok, because } = judgeApp(graph.apps, space.authority, space.uri, clientId)
  return ok ? { ok, value: true, because } : { ok, code: 'AppNotAuthorized', because }
}

/**
 * May this person do `action` in this space, through the edges or because the space is open to everybody for it? Null: do they
 * stand there at all?
 */
export function decidePerson(
  facts: AccessFacts,
  did: Did,
  action: Action | null,
  word: Word | null = null,
): Decision<true> {
  const policy = policyFor(facts, action)
  const person = judgePerson(facts, did, action, policy === null ? null : { policy, word })
  return person.ok ? { ...person, value: true } : person
}

/** What a space is set to for an action; null for what no space is open for. */
export function policyFor({ readPolicy, writePolicy }: AccessFacts, action: Action | null): UserPolicy | null {
  if (action === 'read') return readPolicy
  return action === 'write' ? writePolicy : null
}

/** "This person may write in this space": made only by `decideWrite`, demanded by the store of the writer set. */
export interface Admission extends Sealed<'admission'> {
  readonly space: SpaceName
  readonly did: Did
  readonly because: readonly Reason[]
}

/**
 * May what this person wrote be told of as written in this space? Which app they wrote it with nobody can tell (0016 §Write
 * notifications), so only the person is judged.
 */
export function decideWrite(facts: AccessFacts, did: Did, word: Word | null = null): Decision<Admission> {
  const { ok, because } = judgePerson(facts, did, 'write', { policy: facts.writePolicy, word })
  if (!ok) return { ok, code: 'Forbidden', because }
  return { ok, value: { space: facts.space, did, because } as unknown as Admission, because }
}

/** May this person write, and with this app where one is named? Without a name nobody knows which app it is, and none is asked about. */
function decideWriteWith(facts: AccessFacts, asker: Asker): Decision<true> {
  if (asker.clientId === null) return decidePerson(facts, asker.did, 'write')
  const app = decideApp(facts, asker)
  if (!app.ok) return app
  const person = decidePerson(facts, asker.did, 'write')
  return { ...person, because: [...app.because, ...person.because] }
}

/**
 * The verdict as it is told to whoever asks beforehand: on reading, of app and person together as at the mint; on writing of both where a
 * PDS would ask about both. No managing app is asked for it: what would be asked counts as a no.
 */
export function decideFor(facts: AccessFacts, asker: Asker, action: Action | null): Decision<Grant | true> {
  if (action === 'read') return decideRead(facts, asker)
  return action === 'write' && facts.isAtPds ? decideWriteWith(facts, asker) : decidePerson(facts, asker.did, action)
}

/** What a space is set to for what is asked, and the managing app's word on it. */
interface Opening {
  readonly policy: UserPolicy
  readonly word: Word | null
}

/**
 * The value is the path of edges that let the person in, and is empty where a policy did or where they are the authority.
 *
 * `opening` is null for what no space is open for: standing, and power over others, come by edges alone. The authority's own DID always
 * reads and writes (0016 §Access control), and has no power by it. A managing app decides about those only whom nothing else lets in,
 * and lifts no ban.
 */
function judgePerson(
  facts: ReadFacts,
  did: Did,
  action: Action | null,
  opening: Opening | null,
): Decision<readonly Edge[]> {
  const { uri, authority } = facts.space
  const about = action === null ? { into: uri } : { into: uri, action }
  if (opening !== null && did === authority) return { ok: true, value: [], because: [{ rule: 'authority' }] }
  const ban = bansInForce(facts.bans, facts.nowMs).find(({ scope }) => scope === authority || scope === uri)
  if (ban) return { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'ban', ...about }] }
  // Reading and writing rest; whoever governs the space goes on.
  if (opening !== null && facts.graph.isFrozen(uri)) {
    return { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'frozen', ...about }] }
  }
  const standing = standingIn(facts, uri)
  if (action === null ? standing.has(uri) : holds(standing, uri, action)) {
    const path = pathTo(standing, uri, action)
    return { ok: true, value: path, because: reasonsOf(path, authority) }
  }
  if (opening === null || opening.policy === 'memberList') {
    return { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'noPath', ...about }] }
  }
  const { policy, word } = opening
  if (policy === 'public') return { ok: true, value: [], because: [{ rule: 'publicPolicy' }] }
  // A space that names another service since does not go by what the one before it said.
  const said = word?.by === policy ? word : null
  const from = didOfService(policy)
  if (said?.authorized) return { ok: true, value: [], because: [{ rule: 'managingApp', from }] }
  const rule = said ? 'managingAppRefused' : 'managingAppUnasked'
  return { ok: false, code: 'UserNotAuthorized', because: [{ rule, from, ...about }] }
}

/**
 * May the actor do `action` in `space`? Somebody with no standing there at all is told NotFound: that a space exists is
 * itself private.
 */
export function decideAct<A extends Action>(
  facts: StandingFacts,
  actor: Did,
  action: A,
  space: SpaceUri,
): Decision<Permit<A>> {
  return judgeAct(standingIn(facts, space), actor, action, space)
}

/** A permit without a standing behind it: a community that is being founded has nobody yet who could give one. */
export const decideFounding = (founder: Did): Permit<'space.create'> =>
  permitFor('space.create', founder, [{ rule: 'founding' }])

/** What somebody was permitted when they began it goes on, whatever became of them: a key half replaced is worse than either. */
export const decideBegun = (begunBy: Did): Permit<'keys.ceremony'> =>
  permitFor('keys.ceremony', begunBy, [{ rule: 'begun' }])

/** May a person enrol keys of their own? Whoever is in the roster, by whatever way: it is about themselves. */
export function decideEnrolment(facts: StandingFacts, did: Did): Decision<readonly Reason[]> {
  const { uri } = rosterOf(facts.graph.community)
  const standing = standingOf(facts)
  if (!standing.has(uri)) return { ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: uri }] }
  const because: readonly Reason[] = [{ rule: 'self', into: uri, from: did }]
  return { ok: true, value: because, because }
}

/** What the operator may do to every community at once: replace keys that somebody may have seen. It is in the name of the service. */
export const decideOperatorsRotation = (service: Did): Permit<'keys.ceremony'> =>
  permitFor('keys.ceremony', service, [{ rule: 'operator' }])

/** What a keeper of the community's key does in a ceremony, by a signature of their own: it is their share, wherever else they stand. */
export const decideKeeper = (keeper: Did): Permit<'keys.ceremony'> =>
  permitFor('keys.ceremony', keeper, [{ rule: 'keeper' }])

/**
 * What a key that stands above this service's in the identity says about who owns the community, once it was waited for: it could take the
 * whole community away, so the owners of now have no veto. It is in the name of the community, since a key is nobody.
 */
export const decideOwnKey = (community: Did): Permit<'community.transfer'> =>
  permitFor('community.transfer', community, [{ rule: 'ownKey' }])

/** A change to one person's entry in one roster: the edge as it is and as it shall be. Null means none. */
export interface RosterChange {
  readonly space: SpaceUri
  readonly person: Did
  readonly before: Edge | null
  readonly after: Edge | null
}

export interface RosterFacts {
  readonly actor: StandingFacts
  /** The standing facts of the person concerned, before the change. */
  readonly person: StandingFacts
  /** The community's roster space, and how many owners it has now besides the person concerned. */
  readonly roster: SpaceUri
  readonly otherOwners: number
}

/** May the actor put this entry on a roster, new or in place of the one there? */
export const decidePut = (
  facts: RosterFacts,
  actor: Did,
  change: RosterChange & { readonly after: Edge },
): Decision<Permit<'members.add'>> => judgeRosterChange(facts, actor, change, 'members.add')

/** May the actor take this entry off a roster? Everybody may take off their own. */
export const decideRemove = (
  facts: RosterFacts,
  actor: Did,
  change: RosterChange & { readonly before: Edge; readonly after: null },
): Decision<Permit<'members.remove'>> => judgeRosterChange(facts, actor, change, 'members.remove')

/**
 * Order of checks: the ordinary action for the change; then the bound on what the entry gives and takes, and on what comes back
 * with somebody who had left; then the last owner.
 */
function judgeRosterChange<A extends Action>(
  facts: RosterFacts,
  actor: Did,
  change: RosterChange,
  permitted: A,
): Decision<Permit<A>> {
  const { roles } = facts.actor
  const standing = standingOf(facts.actor)
  const ordinary = judgeAct(standing, actor, ordinaryAction(roles, change), change.space)
  const isLeaving = change.after === null && change.person === actor
  if (!ordinary.ok && !isLeaving) return ordinary

  const over =
    firstExcess(facts, standing, change, change.person === actor) ?? firstBroughtBack(facts, standing, change)
  if (over) return beyond(over)

  const losesOwner = change.space === facts.roster && isOwnership(change.before) && !isOwnership(change.after)
  if (losesOwner && facts.otherOwners === 0) return { ok: false, code: 'LastOwner', because: [{ rule: 'lastOwner' }] }

  const because: readonly Reason[] = ordinary.ok
    ? ordinary.because
    : [{ rule: 'self', into: change.space, from: actor }]
  return { ok: true, value: permitFor(permitted, actor, because), because }
}

/**
 * Adding is `members.add` and taking out `members.remove`; giving a role with power, or another entry in place of the one
 * there, is `role.assign`.
 */
function ordinaryAction(roles: Roles, { before, after }: RosterChange): Action {
  if (after === null) return 'members.remove'
  const gives = roles.get(after.role) ?? new Set<Action>()
  const carriesPower = [...gives].some(isManaging)
  const replaces = before !== null && !sameEntry(before, after)
  return carriesPower || replaces ? 'role.assign' : 'members.add'
}

/**
 * May the actor keep somebody out of a space, or of the whole community (`scope` is its DID)? `members.ban` there, or in the
 * roster for the whole community. Whoever is kept out must not hold any power that the actor lacks, in any space where they lose
 * something by it; and an owner stays.
 */
export function decideBan(facts: RosterFacts, actor: Did, scope: SpaceUri | Did): Decision<Permit<'members.ban'>> {
  const standing = standingOf(facts.actor)
  const isWhole = scope === facts.actor.graph.community
  const ordinary = judgeAct(standing, actor, 'members.ban', isWhole ? facts.roster : (scope as SpaceUri))
  if (!ordinary.ok) return ordinary
  const { nowMs } = facts.actor
  const over = firstAbove(standing, facts.person, nowMs, spacesBehind(facts.person, nowMs, scope))
  if (over) return beyond(over)
  if (isWhole && isOwnerIn(facts.person, facts.roster) && facts.otherOwners === 0) {
    return { ok: false, code: 'LastOwner', because: [{ rule: 'lastOwner' }] }
  }
  return ordinary
}

/**
 * May the actor let somebody in again? Whoever may ban there, and holds every power that comes back with the person; and an owner
 * always, for else two bans could lock a space for good.
 */
export function decideUnban(
  { actor, person }: { readonly actor: StandingFacts; readonly person: PersonIn },
  did: Did,
  scope: SpaceUri | Did,
): Decision<Permit<'members.ban'>> {
  const listing = decideListBans(actor, did, scope)
  if (!listing.ok || holds(standingOf(actor), rosterOf(actor.graph.community).uri, OWNER_MARK)) return listing
  const over = firstAbove(standingOf(actor), person, actor.nowMs, spacesBehind(person, actor.nowMs, scope))
  return over ? beyond(over) : listing
}

/** May the actor see who is kept out? Those who may ban there, and every owner. */
export function decideListBans(actor: StandingFacts, did: Did, scope: SpaceUri | Did): Decision<Permit<'members.ban'>> {
  const standing = standingOf(actor)
  const roster = rosterOf(actor.graph.community).uri
  const where = scope === actor.graph.community ? roster : (scope as SpaceUri)
  const ordinary = judgeAct(standing, did, 'members.ban', where)
  if (ordinary.ok || !holds(standing, roster, OWNER_MARK)) return ordinary
  const because = reasonsOf(pathTo(standing, roster, OWNER_MARK), actor.graph.community)
  return { ok: true, value: permitFor('members.ban', did, because), because }
}

/** May a person leave a space? Everybody may leave where they stand; only the last owner stays. */
export function decideLeave(
  facts: Pick<RosterFacts, 'person' | 'roster' | 'otherOwners'>,
  did: Did,
  space: SpaceUri,
): Decision<Permit<'members.remove'>> {
  const { person, roster, otherOwners } = facts
  const because: readonly Reason[] = [{ rule: 'self', into: space, from: did }]
  if (!standingIn(person, space).has(space))
    return { ok: false, code: 'NotFound', because: [{ rule: 'noPath', into: space }] }
  if (space === roster && isOwnerIn(person, roster) && otherOwners === 0) {
    return { ok: false, code: 'LastOwner', because: [{ rule: 'lastOwner' }] }
  }
  return { ok: true, value: permitFor('members.remove', did, because), because }
}
