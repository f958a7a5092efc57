/**
 * The verdicts: may this app, may this person, may they do that to the roster.
 *
 * Facts in, verdict out: no clock, no database, no network. A `Grant` and a `Permit` can be made nowhere else, and the signer
 * and the stores demand one, so forgetting to ask does not compile.
 */
import type { Did, SpaceName, SpaceUri } from '../names.ts'
import type { RefusalCode } from '../refusals.ts'
import { type Action, isManaging, OWNER, OWNER_MARK, type Roles } from './roles.ts'
import { asIfOpen, type Edge, holds, pathTo, type Standing, type StandingFacts, standingOf } from './standing.ts'

/**
 * What a verdict is sealed with. It exists for the compiler only, and being private to a class it is left behind by object
 * literals and by copies with `...`, so that no other file can write a verdict or change one.
 */
declare class Sealed<V> {
  private readonly seal: V
}

/** Why a verdict is what it is, in a form that people and the audit can read. */
export interface Reason {
  readonly rule:
    | 'authority'
    | 'publicPolicy'
    | 'openToApps'
    | 'edge'
    | 'noPath'
    | 'bound'
    | 'lastOwner'
    | 'founding'
    | 'self'
  readonly into?: SpaceUri
  readonly from?: Did | SpaceUri
  readonly role?: string
  readonly action?: Action
}

/** "This person, with this app, may read this space": made only by `decideRead`, demanded by the vault. */
export interface Grant extends Sealed<'grant'> {
  readonly space: SpaceName
  readonly did: Did
  readonly clientId: string | null
  /** When the first of the edges behind the grant ends; null when none does, or when no edge is behind it. */
  readonly untilMs: number | null
  readonly because: readonly Reason[]
}

/** "This actor may do A": made only here, demanded by every store function that changes governance. */
export interface Permit<A extends Action = Action> extends Sealed<A> {
  readonly action: A
  readonly actor: Did
  readonly because: readonly Reason[]
}

export type Decision<T> =
  | { readonly ok: true; readonly value: T; readonly because: readonly Reason[] }
  | { readonly ok: false; readonly code: RefusalCode; readonly because: readonly Reason[] }

/** Who may use a space for an action, besides those on its roster. */
export type UserPolicy = 'public' | 'memberList'

export interface ReadFacts extends StandingFacts {
  readonly space: SpaceName
  readonly readPolicy: UserPolicy
}

export interface AccessFacts extends ReadFacts {
  readonly writePolicy: UserPolicy
}

export interface Asker {
  readonly did: Did
  /** The proven app, or null when none was proven. */
  readonly clientId: string | null
}

/** May this person, with this app, read this space? The app is asked first, so that a refused app learns nothing about people. */
export function decideRead(facts: ReadFacts, asker: Asker): Decision<Grant> {
  const app = decideApp()
  if (!app.ok) return app
  const person = judgePerson(facts, asker.did, 'read', facts.readPolicy)
  if (!person.ok) return { ...person, because: [...app.because, ...person.because] }
  const because = [...app.because, ...person.because]
  const untilMs = earliestEnd(person.value)
  const grant = { space: facts.space, did: asker.did, clientId: asker.clientId, untilMs, because } as unknown as Grant
  return { ok: true, value: grant, because }
}

const earliestEnd = (edges: readonly Edge[]): number | null =>
  edges.reduce<number | null>(
    (first, { untilMs }) => (untilMs === null ? first : Math.min(untilMs, first ?? untilMs)),
    null,
  )

/** Every space is open to every app so far. The verdict has its place here, in front of the person's, for the day it isn't. */
function decideApp(): Decision<true> {
  return { ok: true, value: true, because: [{ rule: 'openToApps' }] }
}

/** May this person do `action` in this space, through the edges or because the space is open to everybody for it? */
export function decidePerson(facts: AccessFacts, did: Did, action: Action): Decision<true> {
  const policies: Partial<Record<Action, UserPolicy>> = { read: facts.readPolicy, write: facts.writePolicy }
  const person = judgePerson(facts, did, action, policies[action] ?? null)
  return person.ok ? { ...person, value: true } : person
}

/**
 * The value is the path of edges that let the person in, and is empty where a policy did or where they are the authority.
 *
 * `policy` is the space's for this action, and null for an action that no space is open for: power over others comes by edges
 * alone. The authority's own DID always reads and writes (0016 §Access control), and has no power by it.
 */
function judgePerson(facts: ReadFacts, did: Did, action: Action, policy: UserPolicy | null): Decision<readonly Edge[]> {
  const { uri, authority } = facts.space
  if (policy !== null && did === authority) return { ok: true, value: [], because: [{ rule: 'authority' }] }
  const standing = standingOf(facts)
  if (holds(standing, uri, action)) {
    const path = pathTo(standing, facts.roles, uri, action)
    return { ok: true, value: path, because: path.map(reasonOf) }
  }
  if (policy === 'public') return { ok: true, value: [], because: [{ rule: 'publicPolicy' }] }
  return { ok: false, code: 'UserNotAuthorized', because: [{ rule: 'noPath', into: uri, action }] }
}

const reasonOf = ({ into, from, role }: Edge): Reason => ({ rule: 'edge', into, from, role })

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
  return judgeAct(standingOf(facts), facts.roles, actor, action, space)
}

function judgeAct<A extends Action>(
  standing: Standing,
  roles: Roles,
  actor: Did,
  action: A,
  space: SpaceUri,
): Decision<Permit<A>> {
  if (holds(standing, space, action)) {
    const because = pathTo(standing, roles, space, action).map(reasonOf)
    return { ok: true, value: permitFor(action, actor, because), because }
  }
  const code = standing.has(space) ? 'Forbidden' : 'NotFound'
  return { ok: false, code, because: [{ rule: 'noPath', into: space, action }] }
}

/** The one permit without a standing behind it: a community that is being founded has nobody yet who could give one. */
export const decideFounding = (founder: Did): Permit<'space.create'> =>
  permitFor('space.create', founder, [{ rule: 'founding' }])

const permitFor = <A extends Action>(action: A, actor: Did, because: readonly Reason[]): Permit<A> =>
  ({ action, actor, because }) as unknown as Permit<A>

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
  /** The community's roster space, and how many direct owners it has now. */
  readonly roster: SpaceUri
  readonly owners: number
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
 * Order of checks: the ordinary action for the change; then the bound on what the entry gives and takes (`firstExcess`); then
 * the last owner.
 */
function judgeRosterChange<A extends Action>(
  facts: RosterFacts,
  actor: Did,
  change: RosterChange,
  permitted: A,
): Decision<Permit<A>> {
  const { roles } = facts.actor
  const standing = standingOf(facts.actor)
  const ordinary = judgeAct(standing, roles, actor, ordinaryAction(roles, change), change.space)
  const isLeaving = change.after === null && change.person === actor
  if (!ordinary.ok && !isLeaving) return ordinary

  const over = firstExcess(facts, standing, change, change.person === actor)
  if (over) {
    return { ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into: over.space, action: over.action }] }
  }

  const losesOwner = change.space === facts.roster && isOwnership(change.before) && !isOwnership(change.after)
  if (losesOwner && facts.owners <= 1) return { ok: false, code: 'LastOwner', because: [{ rule: 'lastOwner' }] }

  const because: readonly Reason[] = ordinary.ok
    ? ordinary.because
    : [{ rule: 'self', into: change.space, from: actor }]
  return { ok: true, value: permitFor(permitted, actor, because), because }
}

/** A community is owned without a term: by somebody whose time runs out it would be left without an owner. */
const isOwnership = (edge: Edge | null): boolean =>
  edge !== null && edge.role === OWNER && edge.sinceMs === null && edge.untilMs === null

interface Power {
  readonly space: SpaceUri
  readonly action: Action
}

/**
 * The first managing action by which a change goes beyond its actor.
 *
 * What the entry gives, the actor must hold in the same space now and for as long as the entry gives it: else somebody whose
 * time runs out could stay through a puppet, and take the community from those who lent it to them. What the person has by
 * other entries excuses nothing, because this one would outlive them.
 *
 * Where the entry is what gave somebody something, whoever takes it must be their equal there: every managing action that the
 * person has in that space, now or later and by whatever way, the actor must hold there now. Else those who are trusted with
 * less could put out those who are trusted with more. Of themself everybody may take.
 */
function firstExcess(
  { actor, person }: RosterFacts,
  standing: Standing,
  { before, after }: RosterChange,
  isSelf: boolean,
): Power | null {
  const lasting = standingOf(lastingUntil(actor, after?.untilMs ?? null))
  for (const power of givenBeyond(person, after, before)) {
    if (isManaging(power.action) && !holds(lasting, power.space, power.action)) return power
  }
  if (isSelf) return null
  const held = standingOf(asIfOpen(person))
  for (const space of new Set([...givenBeyond(person, before, after)].map((power) => power.space))) {
    for (const action of held.get(space)?.actions ?? []) {
      if (isManaging(action) && !holds(standing, space, action)) return { space, action }
    }
  }
  return null
}

/**
 * What an entry gives, at any time from now on and in any space it leads to, that the other entry in its place doesn't give
 * all that time.
 *
 * Every edge opens on one premise: standing in its space at all, or one action there. So what an entry gives is the union of
 * what its premises lead to, one by one, and it can be judged alone, however many others the person has. The premises that the
 * two entries share lead to the same at every instant, whichever edges come and go on the way; what remains is followed through
 * every edge that hasn't ended, as if all of them were open, for one of them may open later.
 */
function* givenBeyond(facts: StandingFacts, entry: Edge | null, other: Edge | null): Generator<Power> {
  if (entry === null) return
  const shared = other !== null && covers(other, entry, facts.nowMs) ? facts.roles.get(other.role) : undefined
  const isShared = ({ from, holding }: Edge): boolean =>
    shared !== undefined && from === entry.into && (holding === null || shared.has(holding))
  const nested = facts.nested.filter((edge) => !isShared(edge))
  for (const [space, { actions }] of standingOf(asIfOpen({ ...facts, own: [entry], nested }))) {
    for (const action of actions) if (space !== entry.into || !shared?.has(action)) yield { space, action }
  }
}

/** Whether, from now on, one entry counts whenever the other does. */
function covers(one: Edge, other: Edge, nowMs: number): boolean {
  const beginsInTime = (one.sinceMs ?? nowMs) <= Math.max(other.sinceMs ?? nowMs, nowMs)
  return beginsInTime && lastsUntil(one, other.untilMs)
}

/** The facts without the edges that end before then (null: ever): what stands by them now stands until then. */
const lastingUntil = (facts: StandingFacts, untilMs: number | null): StandingFacts => ({
  ...facts,
  own: facts.own.filter((edge) => lastsUntil(edge, untilMs)),
  nested: facts.nested.filter((edge) => lastsUntil(edge, untilMs)),
})

const lastsUntil = (edge: Edge, untilMs: number | null): boolean =>
  edge.untilMs === null || (untilMs !== null && edge.untilMs >= untilMs)

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

/** Whether two entries of one person on one roster say the same. */
export const sameEntry = (a: Edge, b: Edge): boolean =>
  a.role === b.role && a.sinceMs === b.sinceMs && a.untilMs === b.untilMs

/** The edge by which the owners of a community stand in one of its spaces. Made by the system with every space, and not removable. */
export const ownersEdge = (roster: SpaceUri, space: SpaceUri): Edge => ({
  into: space,
  from: roster,
  role: OWNER,
  holding: OWNER_MARK,
  sinceMs: null,
  untilMs: null,
})
