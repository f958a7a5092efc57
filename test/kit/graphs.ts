/**
 * Random rosters for properties: few spaces, roles of any actions, edges in circles, through holdings, and for a time; and whole
 * small worlds of several communities, with bans, departures, ends and offers.
 */
import fc from 'fast-check'
import {
  authorityOf,
  type Did,
  type Nsid,
  parseDid,
  rosterOf,
  type SpaceName,
  type SpaceUri,
  spaceUriOf,
} from '../../src/names.ts'
import type { RosterFacts } from '../../src/policy/decide.ts'
import { ownersEdge } from '../../src/policy/decide-spaces.ts'
import { type Action, OWNER, OWNER_MARK, type Roles } from '../../src/policy/roles.ts'
import { type Edge, RosterGraph, type SpaceStates } from '../../src/policy/roster-graph.ts'
import type { Ban, PersonIn, StandingFacts } from '../../src/policy/standing.ts'
import type { SmallWorld } from './oracle.ts'

const didOf = (letter: string): Did => parseDid(`did:plc:${letter.repeat(24)}`) as Did
export const COMMUNITY = didOf('c')
export const PERSON = didOf('p')
export const ACTOR = didOf('a')

const ROOM = 'com.example.room' as Nsid
export const spaceNamed = (skey: string, community: Did = COMMUNITY): SpaceName => spaceUriOf(community, ROOM, skey)
/** The spaces that random graphs are made of. */
export const SPACES: readonly SpaceUri[] = ['s', 't', 'u', 'v', 'w'].map((skey) => spaceNamed(skey).uri)

/** A few actions of each kind are enough, and make it likely that two edges meet. */
export const FEW_ACTIONS = ['read', 'write', 'members.add', 'members.remove', 'role.assign', 'audit.read'] as const
const ROLE_NAMES = ['one', 'two', 'three', 'four', 'owner'] as const
/** Every graph is looked at in this millisecond; its edges begin and end around it. */
export const NOW = 5

export const anyRolesOf = (actions: readonly Action[]): fc.Arbitrary<Roles> =>
  fc
    .tuple(...ROLE_NAMES.map(() => fc.subarray([...actions])))
    .map((sets) => new Map(ROLE_NAMES.map((name, at) => [name, new Set(sets[at] ?? [])])))

export const anyRoles: fc.Arbitrary<Roles> = anyRolesOf(FEW_ACTIONS)

/** `ghost` is a role that nobody defined. */
const anyRole = fc.constantFrom(...ROLE_NAMES, 'ghost')
const anySpace = fc.constantFrom(...SPACES)
const anyWindow = fc
  .tuple(fc.option(fc.nat(9), { freq: 2 }), fc.option(fc.nat(9), { freq: 2 }))
  .filter(([since, until]) => since === null || until === null || since < until)
  .map(([sinceMs, untilMs]) => ({ sinceMs, untilMs }))

/** Open for ever twice as often as for a time: graphs of timed edges alone are mostly empty. */
const anyTime = fc.oneof(
  { weight: 2, arbitrary: fc.constant({ sinceMs: null, untilMs: null }) },
  { weight: 1, arbitrary: anyWindow },
)

export const anyOwnEdge = (from: Did): fc.Arbitrary<Edge> =>
  fc.tuple(anySpace, anyRole, anyTime).map(([into, role, time]): Edge => ({ into, from, role, holding: null, ...time }))

/** At most one entry per space, as the table has it. */
export const anyOwnEdges = (from: Did): fc.Arbitrary<readonly Edge[]> =>
  fc.uniqueArray(anyOwnEdge(from), { maxLength: 3, selector: (edge) => edge.into })

export const anyNestedEdge = fc
  .tuple(anySpace, anySpace, anyRole, fc.option(fc.constantFrom(...FEW_ACTIONS), { freq: 3 }), anyTime)
  .map(([into, from, role, holding, time]): Edge => ({ into, from, role, holding, ...time }))

export const anyNestedEdges: fc.Arbitrary<readonly Edge[]> = fc.array(anyNestedEdge, { maxLength: 9 })

/** One person in one community, as lists. */
export interface Lists extends SpaceStates {
  readonly own: readonly Edge[]
  readonly nested: readonly Edge[]
  readonly roles: Roles
  readonly nowMs: number
  readonly bans?: readonly Ban[]
  readonly left?: readonly SpaceUri[]
}

/** The same as the verdicts are given it. */
export const factsOfLists = ({ own, nested, roles, nowMs, bans = [], left = [], ...states }: Lists): StandingFacts => ({
  ...{ own, bans, left, roles, nowMs },
  graph: new RosterGraph(COMMUNITY, nested, [], states),
  feeding: [],
})

/** The facts about a change, as lists. */
export interface Told extends Omit<RosterFacts, 'actor' | 'person'> {
  readonly actor: Lists
  readonly person: Lists
}
export const given = ({ actor, person, ...more }: Told): RosterFacts => ({
  ...more,
  actor: factsOfLists(actor),
  person: factsOfLists(person),
})

export const anyLists: fc.Arbitrary<Lists> = fc
  .tuple(anyOwnEdges(PERSON), anyNestedEdges, anyRoles)
  .map(([own, nested, roles]) => ({ own, nested, roles, nowMs: NOW }))

/** Space → actions, by the definition read as a relation: apply every edge to everything at once until nothing is new. */
export function standingByDefinition(lists: Lists): Map<SpaceUri, Set<Action>> {
  const { own, nested, roles, nowMs, bans = [], left = [], ended = [], frozen = [] } = lists
  const isBanned = (scope: string) =>
    bans.some((ban) => ban.scope === scope && (ban.untilMs === null || nowMs < ban.untilMs))
  const begun = (edge: Edge) => edge.sinceMs === null || edge.sinceMs <= nowMs
  const over = (edge: Edge) => edge.untilMs !== null && edge.untilMs <= nowMs
  const barred = ({ into }: Edge) => ended.includes(into) || isBanned(into) || isBanned(authorityOf(into))
  const counts = (edge: Edge) => begun(edge) && !over(edge) && roles.has(edge.role) && !barred(edge)
  const tuplesOf = (edge: Edge) => ['stands', ...(roles.get(edge.role) ?? [])].map((what) => `${edge.into} ${what}`)

  let known: ReadonlySet<string> = new Set()
  for (;;) {
    const passes = (edge: Edge) =>
      known.has(`${edge.from} ${edge.holding ?? 'stands'}`) &&
      (edge.role === OWNER || !left.includes(edge.into)) &&
      frozen.every((space) => space !== edge.from)
    const open = [...own, ...nested.filter(passes)].filter(counts)
    const next = new Set(open.flatMap(tuplesOf))
    if (next.size === known.size) break
    known = next
  }

  const standing = new Map<SpaceUri, Set<Action>>()
  for (const tuple of known) {
    const [space, what] = tuple.split(' ') as [SpaceUri, 'stands' | Action]
    const actions = standing.get(space) ?? new Set<Action>()
    standing.set(space, what === 'stands' ? actions : actions.add(what))
  }
  return standing
}

// --- whole worlds ---

/** Who a world is about. The same draft is made into worlds of other people, so that many can share one database. */
export interface Cast {
  /** Three, the most that a draft has. */
  readonly communities: readonly Did[]
  readonly people: readonly Did[]
}

export const CAST: Cast = { communities: [COMMUNITY, didOf('d'), didOf('e')], people: [PERSON, ACTOR, didOf('q')] }

type Term = Pick<Edge, 'sinceMs' | 'untilMs'>

/** A world in numbers, each taken modulo what there is to choose from. */
export interface Draft {
  /** How many spaces each community has besides its roster. */
  readonly rooms: readonly number[]
  readonly ended: readonly number[]
  readonly publicFor: readonly { readonly space: number; readonly action: 'read' | 'write' }[]
  readonly people: readonly { who: number; into: number; role: string; term: Term }[]
  readonly nestings: readonly {
    readonly from: number
    readonly into: number
    /** Edges within a community are rare by chance alone, where there are three. */
    readonly isLocal: boolean
    readonly role: string
    readonly holding: Action | null
    readonly term: Term
    readonly isOffered: boolean
  }[]
  readonly bans: readonly { who: number; scope: number; isWhole: boolean; untilMs: number | null }[]
  readonly departures: readonly { who: number; space: number }[]
  readonly offers: readonly { space: number; to: number }[]
  readonly roles: Roles
}

export interface WorldShape {
  readonly roles: fc.Arbitrary<Roles>
  /** Roles of edges between spaces, and of people; owners are made besides. */
  readonly roleNames: readonly string[]
  readonly holdings: readonly Action[]
  /** How many spaces a community has at most besides its roster. */
  readonly roomsMost: number
}

/** What the law of standing is tried with. */
export const WORLD_ACTIONS = ['read', 'write', 'members.read', 'members.add', 'role.assign'] as const

const ANY_ROLES: WorldShape = {
  roles: anyRolesOf(WORLD_ACTIONS).map(
    (roles) => new Map([...roles, [OWNER, new Set<Action>([...WORLD_ACTIONS, OWNER_MARK])]]),
  ),
  roleNames: ['one', 'two', 'three', 'four', 'ghost'],
  holdings: ['read', 'write', 'members.read', 'members.add'],
  roomsMost: 4,
}

const some = (least: number, most: number, arbitrary: fc.Arbitrary<number>) =>
  fc.array(arbitrary, { minLength: least, maxLength: most })

export function anyDraft({ roles, roleNames, holdings, roomsMost }: WorldShape = ANY_ROLES): fc.Arbitrary<Draft> {
  const number = fc.nat(59) // has every small number for a divisor: no choice is likelier than another
  const role = fc.constantFrom(...roleNames)
  const holding = fc.option(fc.constantFrom(...holdings), { freq: 1 })
  const often = fc.integer({ min: 0, max: 4 }).map((of) => of > 0)
  return fc.record({
    rooms: some(1, 3, fc.integer({ min: 1, max: roomsMost })),
    ended: some(0, 1, number),
    publicFor: fc.array(fc.record({ space: number, action: fc.constantFrom('read' as const, 'write' as const) }), {
      maxLength: 1,
    }),
    people: fc.array(
      fc.record({
        ...{ who: number, into: number, term: anyTime },
        role: fc.oneof({ weight: 8, arbitrary: role }, { weight: 1, arbitrary: fc.constant(OWNER) }),
      }),
      { minLength: 1, maxLength: 7, size: 'max' },
    ),
    nestings: fc.array(
      fc.record({
        ...{ from: number, into: number, isLocal: fc.boolean(), role, holding },
        ...{ term: anyTime, isOffered: often },
      }),
      { minLength: 1, maxLength: 14, size: 'max' },
    ),
    bans: fc.array(
      fc.record({
        ...{ who: number, scope: number, isWhole: often.map((is) => !is) },
        untilMs: fc.option(fc.nat(9), { freq: 1 }),
      }),
      { maxLength: 2 },
    ),
    departures: fc.array(fc.record({ who: number, space: number }), { maxLength: 3 }),
    offers: fc.array(fc.record({ space: number, to: number }), { maxLength: 2 }),
    roles,
  })
}

/** What one entry in a table is told from another by. */
const onlyOnce = <T>(rows: readonly T[], keyOf: (row: T) => string): T[] => [
  ...new Map(rows.map((row) => [keyOf(row), row])).values(),
]

/** Fills a draft with people and communities. What tables cannot hold, two entries of one key or a space in itself, isn't in it. */
export function worldOf(draft: Draft, { communities, people }: Cast): SmallWorld {
  const own = draft.rooms.map((count, nth) => {
    const community = communities[nth] as Did
    const rooms = Array.from({ length: count }, (_, room) => spaceNamed(`r${room}`, community).uri)
    return [rosterOf(community).uri, ...rooms]
  })
  const spaces = own.flat()
  const among = <T>(list: readonly T[], at: number): T => list[at % list.length] as T
  const rosters = own.map(([roster]) => roster as SpaceUri)
  const local = ({ into, from }: Draft['nestings'][number]): [SpaceUri, SpaceUri] => {
    const target = among(spaces, into)
    return [target, among(own.find((list) => list.includes(target)) as SpaceUri[], from)]
  }
  const ended = new Set(draft.ended.map((at) => among(spaces, at)).filter((space) => !rosters.includes(space)))
  const nestings = draft.nestings.map((one) => {
    const [into, from] = one.isLocal ? local(one) : [among(spaces, one.into), among(spaces, one.from)]
    const { role, holding, term, isOffered } = one
    return { into, from, role, holding, ...term, isOffered }
  })
  const offers = [
    ...nestings.filter(({ isOffered }) => isOffered).map(({ from, into }) => ({ space: from, to: authorityOf(into) })),
    ...draft.offers.map(({ space, to }) => ({ space: among(spaces, space), to: among(communities, to % own.length) })),
  ].filter(({ space, to }) => authorityOf(space) !== to)
  const systems = own.flatMap(([roster, ...rooms]) => rooms.map((room) => ownersEdge(roster as SpaceUri, room)))
  return {
    spaces: spaces.map((uri) => {
      const policyFor = (action: 'read' | 'write') =>
        draft.publicFor.some((open) => open.action === action && among(spaces, open.space) === uri)
          ? 'public'
          : 'memberList'
      return { uri, live: !ended.has(uri), policies: { read: policyFor('read'), write: policyFor('write') } }
    }),
    people: onlyOnce(
      draft.people.map(({ who, into, role, term }) => {
        const isOwner = role === OWNER
        const place = isOwner ? among(rosters, into) : among(spaces, into)
        return { into: place, did: among(people, who), role, ...(isOwner ? { sinceMs: null, untilMs: null } : term) }
      }),
      ({ into, did }) => `${into} ${did}`,
    ),
    nestings: [
      ...(systems as SmallWorld['nestings']),
      ...onlyOnce(
        nestings.filter(({ into, from }) => into !== from).map(({ isOffered, ...edge }) => edge),
        ({ into, from, role }) => `${into} ${from} ${role}`,
      ),
    ],
    bans: onlyOnce(
      draft.bans.map(({ who, scope, isWhole, untilMs }) => {
        const space = among(spaces, scope)
        return { scope: isWhole ? authorityOf(space) : space, did: among(people, who), untilMs }
      }),
      ({ scope, did }) => `${scope} ${did}`,
    ),
    departures: onlyOnce(
      draft.departures.map(({ who, space }) => ({ did: among(people, who), space: among(spaces, space) })),
      ({ space, did }) => `${space} ${did}`,
    ),
    offers: onlyOnce(offers, ({ space, to }) => `${space} ${to}`),
    roles: draft.roles,
    nowMs: NOW,
  }
}

export const anyWorld: fc.Arbitrary<SmallWorld> = anyDraft().map((draft) => worldOf(draft, CAST))

export const communitiesOf = (world: SmallWorld): readonly Did[] => [
  ...new Set(world.spaces.map(({ uri }) => authorityOf(uri))),
]

/** Facts about people in a world, as the tables would give them. One graph per community, as a process keeps it. */
export function factsIn(world: SmallWorld): (person: Did, community: Did) => StandingFacts {
  const graphs = new Map(communitiesOf(world).map((community) => [community, graphIn(world, community)]))
  const personIn = (person: Did, graph: RosterGraph): PersonIn => {
    const isHere = (space: SpaceUri | Did) =>
      space === graph.community || authorityOf(space as SpaceUri) === graph.community
    return {
      own: world.people
        .filter(({ into, did }) => did === person && isHere(into))
        .map(({ did, ...entry }) => ({ ...entry, from: did, holding: null })),
      bans: world.bans.filter(({ scope, did }) => did === person && isHere(scope)),
      left: world.departures.filter(({ space, did }) => did === person && isHere(space)).map(({ space }) => space),
      graph,
      roles: world.roles,
    }
  }
  return (person, community) => {
    const graph = graphs.get(community) as RosterGraph
    const feeding = graph.feeders.map((feeder) => personIn(person, graphs.get(feeder) as RosterGraph))
    return { ...personIn(person, graph), feeding, nowMs: world.nowMs }
  }
}

const graphIn = (world: SmallWorld, community: Did): RosterGraph => {
  const isHere = (space: SpaceUri) => authorityOf(space) === community
  return new RosterGraph(
    community,
    world.nestings.filter(({ into }) => isHere(into)),
    world.offers.filter(({ space }) => isHere(space)),
    { ended: world.spaces.filter(({ uri, live }) => isHere(uri) && !live).map(({ uri }) => uri) },
  )
}
