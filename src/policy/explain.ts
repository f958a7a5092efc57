/**
 * Why somebody may do something in a space, or may not: the verdict, by which edges, and what stands in the way.
 *
 * The verdict is that of the real thing, and so are the edges. Only what stands in the way is looked for here, because nobody
 * needs it to decide: nothing is ever allowed by it.
 */
import { authorityOf, type Did, didOfService, isSpaceUri, rosterOf, type ServiceId, type SpaceUri } from '../names.ts'
import { type AccessFacts, type Asker, decideFor, isManagingApp, policyFor } from './decide.ts'
import { isBeyondGuests, type ListedEdge, PassedWays } from './paths.ts'
import { type Action, OWNER } from './roles.ts'
import { type Edge, isForeign } from './roster-graph.ts'
import { type Ban, bansInForce, closesByLeaving, hasBegun, hasEnded } from './standing.ts'
import type { Decision, Reason } from './verdict.ts'

/** One thing that stands in the way. */
export type Obstacle =
  /** A ban in force, from a space on the way or from the community. */
  | { readonly kind: 'ban'; readonly ban: Ban }
  /** A space, or the community, rests: nobody reads or writes there, or nobody comes through. */
  | { readonly kind: 'frozen'; readonly scope: SpaceUri | Did }
  /** A space that has come to its end. */
  | { readonly kind: 'spaceEnded'; readonly space: SpaceUri }
  /** The person left: the spaces on the roster bring them in no more until somebody puts them there again. */
  | { readonly kind: 'left'; readonly space: SpaceUri }
  /** An entry that would let them on, their own or of a space that they stand in. */
  | { readonly kind: 'ended' | 'notBegun'; readonly edge: Edge }
  /** An entry of their own that counts, and doesn't give what is needed there. */
  | { readonly kind: 'lacks'; readonly edge: Edge; readonly need: Action }
  /** A space whose people come in, and they don't stand there, or without what is asked for there. */
  | { readonly kind: 'notThere' | 'holding'; readonly edge: Edge }
  /** A space of another community that isn't offered any more. */
  | { readonly kind: 'notOffered'; readonly edge: Edge }
  /** Whether they may, a service would be asked that the space names; nobody asked it for this. */
  | { readonly kind: 'managingApp'; readonly app: ServiceId }
  /** What would turn the no into a yes by itself: an entry for the person, in place of the one that they may have there. */
  | { readonly kind: 'entry'; readonly into: SpaceUri; readonly role: string }

/** An obstacle, and by way of which spaces it is one: the space asked about first. */
export interface Missing {
  readonly obstacle: Obstacle
  readonly along: readonly SpaceUri[]
}

export interface Explanation {
  readonly decision: Decision<unknown>
  /** Every edge that was passed on a way into the space, whatever it gave; nearest to the space first. */
  readonly edges: readonly ListedEdge[]
  readonly edgesAreAll: boolean
  /** The ways that give what was asked for, as places in the list of edges, from the space to the person. Shortest first. */
  readonly paths: readonly (readonly number[])[]
  readonly pathsAreAll: boolean
  /** For a no: nearest to the space first. */
  readonly missing: readonly Missing[]
}

/** A longer list would help nobody to see what to do. */
const MISSING_MAX = 25

/**
 * Why this person may do `action` in the space, or may not; null: why they stand there, or don't. Of bans that are not for the one who
 * asks, what is missing says nothing, and goes on as for somebody without an entry there: where it stopped would tell of them.
 */
export function explain(
  facts: AccessFacts,
  asker: Asker,
  action: Action | null,
  seesBans: (scope: SpaceUri | Did) => boolean = () => true,
): Explanation {
  const decision = decideFor(facts, asker, action)
  const ways = new PassedWays(facts, facts.space.uri)
  const { paths, areAll } = ways.paths(action)
  const listed = ways.edges(paths)
  const places = new Map(listed.edges.map(({ edge }, at) => [edge, at]))
  return {
    decision,
    edges: listed.edges,
    edgesAreAll: listed.areAll,
    paths: paths.map((path) => path.flatMap(({ edge }) => places.get(edge) ?? [])),
    pathsAreAll: areAll,
    missing: decision.ok ? [] : new Missed(withoutBans(facts, seesBans), asker.did, ways).find(action),
  }
}

/** The facts without the bans that are not for the one who asks, and without the entries that count for nothing because of them. */
function withoutBans(facts: AccessFacts, seesBans: (scope: SpaceUri | Did) => boolean): AccessFacts {
  const hidden = bansInForce(facts.bans, facts.nowMs).filter(({ scope }) => !seesBans(scope))
  const isClosed = ({ into }: Edge) => hidden.some(({ scope }) => scope === into || scope === facts.space.authority)
  return {
    ...facts,
    bans: facts.bans.filter(({ scope }) => seesBans(scope)),
    own: facts.own.filter((edge) => !isClosed(edge)),
  }
}

/**
 * The reasons of a verdict as somebody may read them: who is kept out is for those who may ban there, so to others a ban reads as the no
 * does to a person without any entry.
 */
export function reasonsSeenBy(
  { because }: Decision<unknown>,
  facts: AccessFacts,
  seesBans: (scope: SpaceUri | Did) => boolean,
): readonly Reason[] {
  const { uri, authority } = facts.space
  const closing = bansInForce(facts.bans, facts.nowMs).filter(({ scope }) => scope === authority || scope === uri)
  if (closing.some(({ scope }) => seesBans(scope))) return because
  return because.map((one) => (one.rule === 'ban' ? asWithoutEntry(one, facts) : one))
}

/** The no to somebody whom nothing lets in, and nothing keeps out. */
function asWithoutEntry({ rule: _, ...about }: Reason, facts: AccessFacts): Reason {
  const policy = policyFor(facts, about.action ?? null)
  if (policy !== null && facts.graph.isFrozen(facts.space.uri)) return { rule: 'frozen', ...about }
  if (policy === null || !isManagingApp(policy)) return { rule: 'noPath', ...about }
  return { rule: 'managingAppUnasked', from: didOfService(policy), ...about }
}

const OF_APPS: ReadonlySet<string> = new Set(['appAllowed', 'appDenied', 'appUnlisted', 'appUnattested'])

/** A silent community tells what it says about apps to those only who judge them. */
export const withoutApps = (
  because: readonly Reason[],
  { graph }: AccessFacts,
  seesApps: boolean,
): readonly Reason[] => (graph.isSilent && !seesApps ? because.filter(({ rule }) => !OF_APPS.has(rule)) : because)

/** What would have to be true in a space so that the way goes on. */
interface Premise {
  readonly space: SpaceUri
  readonly need: Action | null
  /** Whether it must come of the community's own edges, because it is more than guests may have. */
  readonly isGrounded: boolean
  readonly along: readonly SpaceUri[]
}

/** Looks for what is missing, from the space outwards. */
class Missed {
  readonly #facts: AccessFacts
  readonly #did: Did
  readonly #ways: PassedWays
  readonly #bans: readonly Ban[]
  /** By what it says: many ways lead past one obstacle. */
  readonly #found = new Map<string, Missing>()
  /** Nothing that is added to a roster turns the no into a yes. */
  #isSettled = false

  constructor(facts: AccessFacts, did: Did, ways: PassedWays) {
    this.#facts = facts
    this.#did = did
    this.#ways = ways
    this.#bans = bansInForce(facts.bans, facts.nowMs)
  }

  find(action: Action | null): readonly Missing[] {
    const { space, graph } = this.#facts
    const first = { space: space.uri, need: action, isGrounded: isBeyondGuests(action), along: [space.uri] }
    const bans = this.#bans.filter(({ scope }) => scope === space.authority)
    for (const ban of bans) this.#note({ kind: 'ban', ban }, first)
    const isUse = action === 'read' || action === 'write'
    if (isUse && graph.isFrozen(space.uri)) {
      this.#isSettled = true
      const scope = graph.isClosedToPassage(space.uri) ? space.uri : space.authority
      this.#note({ kind: 'frozen', scope }, first)
    }
    const policy = policyFor(this.#facts, action)
    const isAsked = policy !== null && isManagingApp(policy) && !graph.isFrozen(space.uri) && bans.length === 0
    if (isAsked && !this.#bans.some(({ scope }) => scope === space.uri)) {
      this.#note({ kind: 'managingApp', app: policy }, first)
    }
    // The community itself is on no roster of its own.
    if (this.#did === space.authority) this.#isSettled = true
    if (bans.length === 0 && !this.#ways.has(space.uri, action, false)) this.#goBack(first)
    return [...this.#found.values()]
  }

  #goBack(first: Premise): void {
    const premises = new Map([[keyOf(first), first]])
    // A map gives what is added while it is walked through.
    for (const premise of premises.values()) {
      if (this.#found.size >= MISSING_MAX) return
      for (const next of this.#lookAt(premise)) if (!premises.has(keyOf(next))) premises.set(keyOf(next), next)
    }
  }

  #note(obstacle: Obstacle, { along }: Premise): void {
    const key = JSON.stringify(obstacle)
    if (this.#found.size < MISSING_MAX && !this.#found.has(key)) this.#found.set(key, { obstacle, along })
  }

  /** Notes what is missing in one space, and answers what would help there from further out. */
  #lookAt(premise: Premise): readonly Premise[] {
    const { space, need } = premise
    const { graph, left, own } = this.#facts
    if (graph.isEnded(space)) {
      this.#note({ kind: 'spaceEnded', space }, premise)
      return []
    }
    const bans = this.#bans.filter(({ scope }) => scope === space)
    for (const ban of bans) this.#note({ kind: 'ban', ban }, premise)
    if (bans.length > 0) return []
    const role = this.#leastRole(space, need)
    // By the roster everybody would be let in as an owner. Nobody is helped by being told so while a lesser role would do.
    const isOwners = (edge: Edge) => edge.role === OWNER && role !== null
    const edges = graph.edgesInto(space).filter((edge) => this.#gives(edge, need) && !isOwners(edge))
    const closed = left.includes(space) ? edges.filter((edge) => closesByLeaving(space, edge)) : []
    if (closed.length > 0) this.#note({ kind: 'left', space }, premise)
    for (const edge of own) if (edge.into === space) this.#lookAtOwn(edge, premise)
    if (role !== null && !this.#isSettled) this.#note({ kind: 'entry', into: space, role }, premise)
    return edges.filter((edge) => !closed.includes(edge)).flatMap((edge) => this.#lookBehind(edge, premise) ?? [])
  }

  #lookAtOwn(edge: Edge, premise: Premise): void {
    const { need } = premise
    if (this.#gives(edge, need)) {
      const kind = this.#outOfTime(edge)
      if (kind) this.#note({ kind, edge }, premise)
    } else if (need !== null && !this.#outOfTime(edge)) this.#note({ kind: 'lacks', edge, need }, premise)
  }

  /** Why a space on the roster doesn't let the person in; answers what they would need there, if that is all. */
  #lookBehind(edge: Edge, premise: Premise): Premise | null {
    if (isForeign(edge)) {
      if (!premise.isGrounded) this.#lookAbroad(edge, premise)
      return null
    }
    const space = edge.from as SpaceUri // people's own entries are not in the graph
    const isGrounded = premise.isGrounded || isBeyondGuests(edge.holding)
    const kind = this.#outOfTime(edge)
    if (this.#ways.has(space, edge.holding, isGrounded)) {
      // One thing alone is in the way here.
      if (kind) this.#note({ kind, edge }, premise)
      else if (this.#facts.graph.isClosedToPassage(space)) this.#note({ kind: 'frozen', scope: space }, premise)
      return null
    }
    if (kind || this.#facts.graph.isClosedToPassage(space)) return null
    this.#note({ kind: this.#ways.has(space, null, false) ? 'holding' : 'notThere', edge }, premise)
    return { space, need: edge.holding, isGrounded, along: [...premise.along, space] }
  }

  /** Who is in a space of another community, and whether it rests, is its own affair. */
  #lookAbroad(edge: Edge, premise: Premise): void {
    const source = edge.from as SpaceUri // an edge is foreign by the authority of the space it comes from
    const there = this.#facts.feeding.find(({ graph }) => graph.community === authorityOf(source))
    const isOffered = there?.graph.isOffered(source, this.#facts.graph.community) && !there.graph.isEnded(source)
    this.#note({ kind: isOffered ? (this.#outOfTime(edge) ?? 'notThere') : 'notOffered', edge }, premise)
  }

  #outOfTime(edge: Edge): 'ended' | 'notBegun' | null {
    if (hasEnded(edge, this.#facts.nowMs)) return 'ended'
    return hasBegun(edge, this.#facts.nowMs) ? null : 'notBegun'
  }

  #gives({ role }: Edge, need: Action | null): boolean {
    const actions = this.#facts.roles.get(role)
    return actions !== undefined && (need === null || actions.has(need))
  }

  /** The role that gives what is needed and little else. Owners are made in the roster. */
  #leastRole(space: SpaceUri, need: Action | null): string | null {
    const isRoster = space === rosterOf(this.#facts.graph.community).uri
    const [least] = [...this.#facts.roles]
      .filter(([name, actions]) => (name !== OWNER || isRoster) && (need === null || actions.has(need)))
      .sort(([a, these], [b, those]) => these.size - those.size || (a < b ? -1 : 1))
    return least?.[0] ?? null
  }
}

const keyOf = ({ space, need, isGrounded }: Premise): string => `${space} ${need ?? ''} ${isGrounded}`

/** Whoever asks, as far as it decides what they are told. */
export interface Onlooker {
  readonly isSelf: boolean
  /** Whether they may see everything in the community. */
  readonly seesAll: boolean
  readonly standsIn: (space: SpaceUri) => boolean
  readonly seesRoster: (space: SpaceUri) => boolean
  readonly seesBans: (scope: SpaceUri | Did) => boolean
}

/**
 * Whether an obstacle is for somebody to know. About themself people learn what was done about them, and of no space in which they
 * don't stand. About others they learn what the rosters say that they may see, of every space on the way to the obstacle.
 */
export function isTold({ obstacle, along }: Missing, onlooker: Onlooker): boolean {
  if (onlooker.seesAll) return true
  switch (obstacle.kind) {
    case 'ban':
      return seesBan(onlooker, obstacle.ban.scope)
    case 'left':
      return onlooker.isSelf
    // What a space is set to it tells everybody.
    case 'managingApp':
      return true
    case 'frozen':
      return isRestTold(obstacle.scope, along, onlooker)
    default:
      return onlooker.isSelf ? isOwnAffair(obstacle, onlooker) : isOnRosters(obstacle, along, onlooker)
  }
}

/** People know what was done to them; of others it is for those who may see bans there, or all that is done in the community. */
export const seesBan = ({ isSelf, seesAll, seesBans }: Onlooker, scope: SpaceUri | Did): boolean =>
  isSelf || seesAll || seesBans(scope)

/** That the space asked about rests, or everything does, is the verdict itself. */
function isRestTold(scope: SpaceUri | Did, along: readonly SpaceUri[], onlooker: Onlooker): boolean {
  if (!isSpaceUri(scope) || scope === along[0]) return true
  return onlooker.isSelf ? onlooker.standsIn(scope) : [...along, scope].every(onlooker.seesRoster)
}

type OnRoster = Exclude<Obstacle, { readonly kind: 'ban' | 'left' | 'frozen' | 'managingApp' }>

function isOwnAffair(obstacle: OnRoster, { standsIn }: Onlooker): boolean {
  if (obstacle.kind === 'entry') return standsIn(obstacle.into)
  if (obstacle.kind === 'spaceEnded') return false
  const { into, from } = obstacle.edge
  return !isSpaceUri(from) || (standsIn(into) && standsIn(from))
}

function isOnRosters(obstacle: OnRoster, along: readonly SpaceUri[], { seesRoster }: Onlooker): boolean {
  if (!along.every(seesRoster)) return false
  if (obstacle.kind === 'entry') return true
  if (obstacle.kind === 'spaceEnded') return false
  const { edge } = obstacle
  return !isSpaceUri(edge.from) || isForeign(edge) || seesRoster(edge.from)
}

/** The edges as somebody may see them; null stands for all that is theirs not to see. Where the ways lead on in these places. */
export interface Seen {
  readonly edges: readonly (ListedEdge | null)[]
  readonly paths: readonly (readonly number[])[]
}

/**
 * Leaves out what is not for the one who asks: at an edge that they may not see the list ends, and what lies behind it can't be
 * told from anything else behind such an edge. Where a space of another community lets somebody in, that is all that is said.
 */
export function seenBy({ edges, paths }: Explanation, community: Did, sees: (edge: Edge) => boolean): Seen {
  const isHere = ({ into }: Edge) => authorityOf(into) === community
  const isSeen = (at: number) => edges.slice(at, at + 1).every(({ edge }) => isHere(edge) && sees(edge))
  const met = new Map<number, number>()
  const visit = (at: number): void => {
    if (!met.has(at) && isSeen(at)) met.set(at, met.size)
  }
  const roots = edges[0]?.edge.into
  for (const [at, { edge }] of edges.entries()) if (edge.into === roots) visit(at)
  // A map gives what is added while it is walked through.
  for (const at of met.keys()) for (const behind of edges[at]?.restsOn ?? []) visit(behind)

  const hidden = met.size
  let hidesSome = false
  const placesOf = (behind: readonly number[]): readonly number[] => {
    const places = new Set<number>()
    for (const at of behind) {
      const listed = edges[at]
      if (!listed || !isHere(listed.edge)) continue
      const place = met.get(at) ?? hidden
      if (place === hidden) hidesSome = true
      places.add(place)
    }
    return [...places]
  }
  const shown = [...met.keys()].flatMap((at) => {
    const listed = edges[at]
    return listed ? [{ ...listed, restsOn: placesOf(listed.restsOn) }] : []
  })
  const ways = new Map<string, readonly number[]>()
  for (const path of paths) {
    const end = path.findIndex((at) => !isSeen(at))
    const way = placesOf(end === -1 ? path : path.slice(0, end + 1))
    if (way.length > 0) ways.set(way.join(' '), way)
  }
  return { edges: hidesSome ? [...shown, null] : shown, paths: [...ways.values()] }
}
