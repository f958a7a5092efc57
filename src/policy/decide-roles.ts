/**
 * The verdict on what a role allows. Whoever changes a role changes what everybody has who was given it, wherever that leads: so
 * it is bounded as if they gave it to each of them, and took it from each.
 */
import { type Did, rosterOf, type SpaceUri } from '../names.ts'
import { firstGivenBy, firstWithoutLeave, type Power } from './bounds.ts'
import { type Action, isManaging, OWNER, type Roles } from './roles.ts'
import type { Edge } from './roster-graph.ts'
import { asIfOpen, asLastingUntil, groundedStanding, holds, type StandingFacts, standingOf } from './standing.ts'
import { beyond, type Decision, judgeAct, openToAnybody, type Permit } from './verdict.ts'

/** A role as it is and as it shall be. Null: there is none of that name. */
export interface RoleChange {
  readonly name: string
  readonly before: ReadonlySet<Action> | null
  readonly after: ReadonlySet<Action> | null
}

/** Which roles people have on each roster by entries of their own, whether these count now or not. */
export type RolesHeld = ReadonlyMap<SpaceUri, ReadonlySet<string>>

/**
 * May the actor change what a role allows?
 *
 * Order of checks: role.configure in the roster; what is added, the actor must hold for good in the roster, in every space where
 * somebody has the role, and wherever it leads from there: a role that nobody has yet will be given in good faith by somebody with
 * more. Where something is taken, nobody may have a power there that the actor lacks; and no power comes to whoever asks, where a
 * space takes everybody.
 */
export function decideRole(
  actor: StandingFacts,
  did: Did,
  change: RoleChange,
  held: RolesHeld,
): Decision<Permit<'role.configure'>> {
  const ordinary = judgeAct(standingOf(actor), did, 'role.configure', rosterOf(actor.graph.community).uri)
  if (!ordinary.ok) return ordinary
  const roles = rolesAfter(actor.roles, change)
  const over = firstAdded(actor, change, { roles, held }) ?? firstUnreachable(actor, change, held)
  if (over) return beyond(over)
  const free = firstWithoutLeave(actor, { roles })
  return free ? openToAnybody(free) : ordinary
}

/** The spaces where somebody has a role: a person by an entry, or the people of a space. */
export function spacesUsing(name: string, { graph }: Pick<StandingFacts, 'graph'>, held: RolesHeld): Set<SpaceUri> {
  const spaces = new Set(graph.edges.filter(({ role }) => role === name).map(({ into }) => into))
  for (const [space, names] of held) if (names.has(name)) spaces.add(space)
  return spaces
}

function rolesAfter(roles: Roles, { name, after }: RoleChange): Roles {
  const changed = new Map(roles)
  if (after === null) changed.delete(name)
  else changed.set(name, after)
  return changed
}

const NOTHING: ReadonlySet<Action> = new Set()

/** The first power that a change gives anybody, anywhere and at any time, and the actor doesn't hold there for good. */
function firstAdded(
  actor: StandingFacts,
  { name, before, after }: RoleChange,
  { roles, held }: { readonly roles: Roles; readonly held: RolesHeld },
): Power | null {
  const added = [...(after ?? NOTHING).difference(before ?? NOTHING)]
  const lasting = groundedStanding(actor, asLastingUntil(actor.nowMs, null))
  const spaces = spacesUsing(name, actor, held)
  for (const space of new Set([rosterOf(actor.graph.community).uri, ...spaces])) {
    for (const action of added) if (isManaging(action) && !holds(lasting, space, action)) return { space, action }
  }
  // Whoever has a role stands there, also by one that allows nothing.
  const isNew = before === null && after !== null
  const opened = onwardFrom(spaces, actor, (holding) => (holding === null ? isNew : added.includes(holding)))
  return firstGivenBy(lasting, { ...actor, roles }, opened)
}

/**
 * The first power that somebody has where something is taken, and the actor doesn't hold there now. Owners lose nothing by any
 * role: they have all that can be had by the entry that every space has for them.
 */
function firstUnreachable(actor: StandingFacts, { name, before, after }: RoleChange, held: RolesHeld): Power | null {
  const taken = (before ?? NOTHING).difference(after ?? NOTHING)
  if (taken.size === 0) return null
  const standing = standingOf(actor)
  const spaces = spacesUsing(name, actor, held)
  const closed = onwardFrom(spaces, actor, (holding) => holding !== null && taken.has(holding))
  const reached = groundedStanding({ ...actor, own: closed }, asIfOpen(actor.nowMs)).keys()
  for (const space of new Set([...spaces, ...reached])) {
    const names = new Set(held.get(space))
    for (const { role } of actor.graph.edgesInto(space)) names.add(role)
    names.delete(OWNER)
    for (const one of names) {
      for (const action of actor.roles.get(one) ?? NOTHING) {
        if (isManaging(action) && !holds(standing, space, action)) return { space, action }
      }
    }
  }
  return null
}

/** The entries by which people of some spaces go on, as far as what they ask for there is meant. */
const onwardFrom = (
  spaces: ReadonlySet<SpaceUri>,
  { graph }: Pick<StandingFacts, 'graph'>,
  isMeant: (holding: Action | null) => boolean,
): readonly Edge[] => [...spaces].flatMap((space) => graph.edgesFrom(space).filter(({ holding }) => isMeant(holding)))

/** Whether a role is had by people of another community, who may read and write at most. */
export const isForForeigners = (name: string, { graph }: Pick<StandingFacts, 'graph'>): boolean =>
  [...graph.foreign.values()].some((edges) => edges.some(({ role }) => role === name))
