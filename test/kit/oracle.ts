/**
 * Standing once more, written from the definition and from nothing else: a question is answered by looking backwards for one
 * way from the space to the person, edge by edge, through a whole small world of plain data. Slow on purpose. It shares no
 * line with `src/policy`, so that a mistake would have to be made twice, in two shapes.
 */
import { authorityOf, type Did, type ServiceId, type SpaceUri } from '../../src/names.ts'
import type { Action } from '../../src/policy/roles.ts'

/** From when (that millisecond counts) until when (that one no longer counts) something is in force. Null: no bound. */
export interface Bounds {
  readonly sinceMs: number | null
  readonly untilMs: number | null
}

/** A person's own entry. */
export interface PersonEntry extends Bounds {
  readonly into: SpaceUri
  readonly did: Did
  readonly role: string
}

/** A space's entry in another space. */
export interface SpaceEntry extends Bounds {
  readonly into: SpaceUri
  readonly from: SpaceUri
  readonly role: string
  readonly holding: Action | null
}

/** A service: it is asked about whom nothing else lets in. */
export interface Policies {
  readonly read: 'public' | 'memberList' | ServiceId
  readonly write: 'public' | 'memberList' | ServiceId
}

/** Everything there is, of every community. */
export interface SmallWorld {
  readonly spaces: readonly { readonly uri: SpaceUri; readonly live: boolean; readonly policies: Policies }[]
  readonly people: readonly PersonEntry[]
  readonly nestings: readonly SpaceEntry[]
  readonly bans: readonly { readonly scope: SpaceUri | Did; readonly did: Did; readonly untilMs: number | null }[]
  readonly departures: readonly { readonly space: SpaceUri; readonly did: Did }[]
  readonly offers: readonly { readonly space: SpaceUri; readonly to: Did }[]
  readonly roles: ReadonlyMap<string, ReadonlySet<Action>>
  readonly nowMs: number
}

/** What can be asked of a standing: that there is one at all, or one of its actions. */
type Wanted = Action | 'any'

/** Whether the person, coming from nowhere but this community, has what is wanted in the space. */
export function hasGrounded(world: SmallWorld, person: Did, space: SpaceUri, wanted: Wanted): boolean {
  const before = (at: SpaceUri, want: Wanted) => localPremises(world, person, at, want)
  const ends = (at: SpaceUri, want: Wanted) =>
    world.people.some((entry) => entry.into === at && entry.did === person && gives(world, entry, want))
  return wayBack(world, person, [space, wanted], before, ends, new Set())
}

/** Whether the person has it by a way that begins in another community. */
export function hasFromElsewhere(world: SmallWorld, person: Did, space: SpaceUri, wanted: Wanted): boolean {
  if (!['any', 'read', 'write'].includes(wanted)) return false
  const before = (at: SpaceUri, want: Wanted) =>
    localPremises(world, person, at, want).filter(([, premise]) => ['any', 'read', 'write'].includes(premise))
  const ends = (at: SpaceUri, want: Wanted) =>
    world.nestings.some(
      (entry) =>
        entry.into === at &&
        isForeign(entry) &&
        gives(world, entry, want) &&
        !hasLeft(world, person, at) &&
        world.offers.some(({ space: offered, to }) => offered === entry.from && to === authorityOf(at)) &&
        hasGrounded(world, person, entry.from, entry.holding ?? 'any'),
    )
  return wayBack(world, person, [space, wanted], before, ends, new Set())
}

/** Space → actions, of one person in one community. A space is there only where the person stands. */
export function standingBySearch(world: SmallWorld, person: Did, community: Did): Map<SpaceUri, Set<Action>> {
  // Only an edge into the space can give an action there; asking for the others would be waste.
  const rolesInto = (space: SpaceUri) =>
    [...world.people, ...world.nestings].filter(({ into }) => into === space).map(({ role }) => role)
  const actionsIn = (space: SpaceUri) => new Set(rolesInto(space).flatMap((role) => [...(world.roles.get(role) ?? [])]))
  const has = (space: SpaceUri, wanted: Wanted) =>
    hasGrounded(world, person, space, wanted) || hasFromElsewhere(world, person, space, wanted)
  return new Map(
    world.spaces
      .filter(({ uri }) => authorityOf(uri) === community && has(uri, 'any'))
      .map(({ uri }) => [uri, new Set([...actionsIn(uri)].filter((action) => has(uri, action)))]),
  )
}

/** The same without what came from other communities. */
export function groundedBySearch(world: SmallWorld, person: Did, community: Did): Map<SpaceUri, Set<Action>> {
  return standingBySearch({ ...world, offers: [] }, person, community)
}

/** Whether somebody may read or write, with the space's policies and the authority's own right. `letsIn`: the service that says yes. */
export function mayBySearch(
  world: SmallWorld,
  person: Did,
  space: SpaceUri,
  action: 'read' | 'write',
  letsIn: ServiceId | null = null,
): boolean {
  const found = world.spaces.find(({ uri }) => uri === space)
  if (!found?.live) return false
  if (person === authorityOf(space)) return true
  if (isBanned(world, person, authorityOf(space)) || isBanned(world, person, space)) return false
  const policy = found.policies[action]
  if (policy === 'public' || policy === letsIn || hasGrounded(world, person, space, action)) return true
  return hasFromElsewhere(world, person, space, action)
}

export function isBanned(world: SmallWorld, person: Did, scope: SpaceUri | Did): boolean {
  return world.bans.some(
    (ban) => ban.scope === scope && ban.did === person && (ban.untilMs === null || world.nowMs < ban.untilMs),
  )
}

export const hasLeft = (world: SmallWorld, person: Did, space: SpaceUri): boolean =>
  world.departures.some((gone) => gone.space === space && gone.did === person)

export const isForeign = (entry: SpaceEntry): boolean => authorityOf(entry.from) !== authorityOf(entry.into)

/** Whether an edge is in force now, under a role that is known. */
export function isOpen(world: SmallWorld, entry: Bounds & { readonly role: string }): boolean {
  const { sinceMs, untilMs, role } = entry
  return (sinceMs ?? -1) <= world.nowMs && world.nowMs < (untilMs ?? Infinity) && world.roles.has(role)
}

function gives(world: SmallWorld, entry: Bounds & { readonly role: string }, wanted: Wanted): boolean {
  return isOpen(world, entry) && (wanted === 'any' || world.roles.get(entry.role)?.has(wanted) === true)
}

/** Whether nothing at all lets the person in. */
function isBarred(world: SmallWorld, person: Did, space: SpaceUri): boolean {
  const live = world.spaces.some(({ uri, live }) => uri === space && live)
  return !live || isBanned(world, person, space) || isBanned(world, person, authorityOf(space))
}

/** What a local edge would need so that it gave what is wanted: one pair per edge. Leaving closes all but the owners' edge. */
function localPremises(world: SmallWorld, person: Did, space: SpaceUri, wanted: Wanted): [SpaceUri, Wanted][] {
  return world.nestings
    .filter((entry) => entry.into === space && !isForeign(entry) && gives(world, entry, wanted))
    .filter((entry) => entry.role === 'owner' || !hasLeft(world, person, space))
    .map((entry) => [entry.from, entry.holding ?? 'any'])
}

/** Back from one question to the questions it rests on, until one of them is answered by the world itself. */
function wayBack(
  world: SmallWorld,
  person: Did,
  [space, wanted]: readonly [SpaceUri, Wanted],
  before: (space: SpaceUri, wanted: Wanted) => [SpaceUri, Wanted][],
  ends: (space: SpaceUri, wanted: Wanted) => boolean,
  asked: Set<string>,
): boolean {
  const question = `${space} ${wanted}`
  if (asked.has(question) || isBarred(world, person, space)) return false
  asked.add(question)
  if (ends(space, wanted)) return true
  return before(space, wanted).some((premise) => wayBack(world, person, premise, before, ends, asked))
}
