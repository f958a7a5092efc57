/** Explanations: held against the verdicts and against a search of their own on random worlds, and told in examples. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  authorityOf,
  type Did,
  isSpaceUri,
  parseSpaceUri,
  rosterOf,
  type SpaceName,
  type SpaceUri,
} from '../../src/names.ts'
import { type AccessFacts, decideFor } from '../../src/policy/decide.ts'
import { ownersEdge } from '../../src/policy/decide-spaces.ts'
import {
  type Explanation,
  explain,
  isTold,
  type Missing,
  type Obstacle,
  type Onlooker,
  reasonsSeenBy,
  seenBy,
} from '../../src/policy/explain.ts'
import { PATHS_MAX } from '../../src/policy/paths.ts'
import { type Action, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { type Edge, RosterGraph } from '../../src/policy/roster-graph.ts'
import { standingOf } from '../../src/policy/standing.ts'
import {
  anyWorld,
  CAST,
  COMMUNITY,
  communitiesOf,
  factsIn,
  NOW,
  PERSON,
  spaceNamed,
  WORLD_ACTIONS,
} from '../kit/graphs.ts'
import { hasLeft, isBanned, isOpen, type SmallWorld } from '../kit/oracle.ts'
import { serviceNamed } from '../kit/rule-stage.ts'

const SEED = 20_261_203
const RUNS = 1_200
/** On a machine that is busy with other things. */
const PATIENCE = 600_000

const ASKED: readonly (Action | null)[] = [null, ...WORLD_ACTIONS]

interface Case {
  readonly world: SmallWorld
  readonly person: Did
  readonly space: SpaceUri
  readonly action: Action | null
  readonly facts: AccessFacts
}

/** Everybody's questions about every space of a world. */
function* casesIn(world: SmallWorld): Generator<Case> {
  const factsAbout = factsIn(world)
  for (const person of CAST.people) {
    for (const community of communitiesOf(world)) {
      const standing = factsAbout(person, community)
      for (const { uri, policies } of world.spaces.filter(({ uri }) => authorityOf(uri) === community)) {
        const policy = { readPolicy: policies.read, writePolicy: policies.write, isAtPds: false }
        const facts = { ...standing, space: parseSpaceUri(uri) as SpaceName, ...policy }
        for (const action of ASKED) yield { world, person, space: uri, action, facts }
      }
    }
  }
}

const asker = (did: Did) => ({ did, clientId: null })
const explained = ({ facts, person, action }: Case): Explanation => explain(facts, asker(person), action)
const isByPolicy = ({ decision }: Explanation): boolean =>
  decision.because.some(({ rule }) => rule === 'publicPolicy' || rule === 'authority')

const overWorlds = (runs: number, work: (one: Case) => void): void =>
  fc.assert(
    fc.property(anyWorld, (world) => {
      for (const one of casesIn(world)) work(one)
    }),
    { seed: SEED, numRuns: runs },
  )

type Entry = SmallWorld['nestings'][number]
const nameOf = ({ into, from, role }: Pick<Edge, 'into' | 'from' | 'role'>): string => `${into} ${from} ${role}`
const isForeign = ({ into, from }: Entry): boolean => authorityOf(into) !== authorityOf(from)

/** Every way that goes straight on, looked for in the world itself, as the names of its edges from the space to the person. */
function waysBySearch({ world, person, space, action }: Case): string[] {
  const found: string[] = []
  const isBarred = (at: SpaceUri) =>
    !world.spaces.some(({ uri, live }) => uri === at && live) ||
    isBanned(world, person, at) ||
    isBanned(world, person, authorityOf(at))
  const gives = (entry: { sinceMs: number | null; untilMs: number | null; role: string }, need: Action | null) =>
    isOpen(world, entry) && (need === null || world.roles.get(entry.role)?.has(need) === true)
  const goBack = (at: SpaceUri, need: Action | null, isLocal: boolean, way: readonly string[], past: Past): void => {
    if (isBarred(at)) return
    const isStraight = (role: string) => past.every((one) => one.at !== at || !hasRole(world, role, one.need))
    const before = [...past, { at, need }]
    const mustBeLocal = isLocal || (need !== null && need !== 'read' && need !== 'write')
    for (const entry of world.people) {
      if (entry.into !== at || entry.did !== person || !gives(entry, need) || !isStraight(entry.role)) continue
      found.push([...way, nameOf({ into: at, from: person, role: entry.role })].join('\n'))
    }
    for (const entry of world.nestings) {
      if (entry.into !== at || !gives(entry, need) || !isStraight(entry.role)) continue
      if (entry.role !== 'owner' && hasLeft(world, person, at)) continue
      const isOffered = world.offers.some(({ space: of, to }) => of === entry.from && to === authorityOf(at))
      if (isForeign(entry) && (mustBeLocal || !isOffered)) continue
      // Beyond the border only the other community's own edges count, and nothing that is met there was met here.
      goBack(entry.from, entry.holding, isForeign(entry) || mustBeLocal, [...way, nameOf(entry)], before)
    }
  }
  goBack(space, action, false, [], [])
  return found
}

type Past = readonly { readonly at: SpaceUri; readonly need: Action | null }[]
const hasRole = (world: SmallWorld, role: string, need: Action | null): boolean =>
  need === null || world.roles.get(role)?.has(need) === true

describe(`an explanation in random worlds (seed ${SEED})`, () => {
  it('says yes where the verdict does, and then shows a way or the rule that needs none', { timeout: PATIENCE }, () => {
    const met = { yes: 0, no: 0 }
    overWorlds(RUNS, (one) => {
      const why = explained(one)
      const { ok, because } = decideFor(one.facts, asker(one.person), one.action)
      if (why.decision.ok !== ok) throw new Error('a second opinion')
      if (JSON.stringify(why.decision.because) !== JSON.stringify(because)) throw new Error('other reasons')
      if (why.paths.length > 0 !== (ok && !isByPolicy(why))) throw new Error(`${ok} with ${why.paths.length} ways`)
      if (ok && why.missing.length > 0) throw new Error('a yes that misses something')
      met[ok ? 'yes' : 'no']++
    })
    expect(met.yes).toBeGreaterThan(RUNS * 10)
    expect(met.no).toBeGreaterThan(RUNS * 10)
  })

  it('shows the ways that a search through the world finds, and no other, shortest first', {
    timeout: PATIENCE,
  }, () => {
    const met = { several: 0, long: 0, cut: 0, abroad: 0 }
    overWorlds(RUNS / 2, (one) => {
      const { edges, paths, pathsAreAll, decision } = explained(one)
      const found = paths.map((path) => path.map((at) => edges[at]?.edge as Edge))
      const names = found.map((path) => path.map(nameOf).join('\n'))
      const searched = waysBySearch(one)
      const isAllowed = new Set(searched)
      if (new Set(names).size !== names.length) throw new Error('one way twice')
      for (const name of names) if (!isAllowed.has(name)) throw new Error(`no way: ${name}`)
      if (pathsAreAll && names.length !== isAllowed.size) throw new Error(`${names.length} of ${isAllowed.size} ways`)
      if (!pathsAreAll && isAllowed.size <= PATHS_MAX) throw new Error('ways are kept back')
      const lengths = found.map(({ length }) => length)
      if (lengths.some((length, at) => length < (lengths[at - 1] ?? 0))) throw new Error('not shortest first')
      if (decision.ok && names.length > 1) met.several++
      if (lengths.some((length) => length > 3)) met.long++
      if (!pathsAreAll) met.cut++
      if (found.some((path) => path.some(({ into }) => authorityOf(into) !== authorityOf(one.space)))) met.abroad++
    })
    expect(met.several).toBeGreaterThan(RUNS / 2)
    expect(met.long).toBeGreaterThan(RUNS / 10)
    expect(met.abroad).toBeGreaterThan(RUNS / 10)
  })

  it('lists all edges on which a yes rests: without them it is a no', { timeout: PATIENCE }, () => {
    let taken = 0
    overWorlds(RUNS / 2, (one) => {
      const why = explained(one)
      if (!why.decision.ok || isByPolicy(why)) return
      const gone = new Set(why.edges.map(({ edge }) => nameOf(edge)))
      const people = one.world.people.filter((entry) => !gone.has(nameOf({ ...entry, from: entry.did })))
      const nestings = one.world.nestings.filter((entry) => !gone.has(nameOf(entry)))
      const facts = {
        ...one.facts,
        ...factsIn({ ...one.world, people, nestings })(one.person, one.facts.space.authority),
      }
      const { ok, because } = decideFor(facts, asker(one.person), one.action)
      if (ok && because.some(({ rule }) => rule === 'edge')) throw new Error('allowed by an edge that is not listed')
      taken++
    })
    expect(taken).toBeGreaterThan(RUNS)
  })

  it('lists only edges that stand, each resting on one that is listed, and all that they give', {
    timeout: PATIENCE,
  }, () => {
    overWorlds(RUNS / 2, (one) => {
      const { edges, edgesAreAll } = explained(one)
      const there = standingOf(one.facts).get(one.space)
      const given = new Set<Action>(
        edges.filter(({ edge }) => edge.into === one.space).flatMap(({ gives }) => [...gives]),
      )
      if (!edgesAreAll) throw new Error('a small world is shown whole')
      if (given.size !== (there?.actions.size ?? 0)) throw new Error('given and held are not the same')
      for (const { edge, restsOn } of edges) {
        const premises = restsOn.map((at) => edges[at])
        if (isSpaceUri(edge.from) === (restsOn.length === 0)) throw new Error('an edge that rests on nothing')
        for (const premise of premises) {
          const isPremise = premise?.edge.into === edge.from && (!edge.holding || premise.gives.has(edge.holding))
          if (!isPremise) throw new Error('rests on what lets nobody through')
        }
      }
    })
  })

  it('names entries of which each by itself turns the no into a yes', { timeout: PATIENCE }, () => {
    const met = { here: 0, further: 0 }
    overWorlds(RUNS, (one) => {
      for (const { obstacle, along } of explained(one).missing) {
        if (obstacle.kind !== 'entry') continue
        const { into, role } = obstacle
        const entry = { into, from: one.person, role, holding: null, sinceMs: null, untilMs: null }
        const facts = { ...one.facts, own: [...one.facts.own.filter((edge) => edge.into !== into), entry] }
        if (!decideFor(facts, asker(one.person), one.action).ok) throw new Error(`${role} in ${into} is not enough`)
        met[along.length === 1 ? 'here' : 'further']++
      }
    })
    expect(met.here).toBeGreaterThan(RUNS * 5)
    expect(met.further).toBeGreaterThan(RUNS)
  })

  it('of a no always names something, but where no role allows it or the community asks about itself', () => {
    overWorlds(RUNS / 4, (one) => {
      const { decision, missing } = explained(one)
      const roles = [...one.world.roles].filter(
        ([name, actions]) => name !== 'owner' && hasRole(one.world, name, one.action) && actions,
      )
      if (!decision.ok && missing.length === 0 && roles.length > 0) throw new Error('a no that nothing is behind')
    })
  })

  it('is the same when it is asked again, from facts that were read again', () => {
    overWorlds(RUNS / 4, (one) => {
      const again = { ...one.facts, ...factsIn(one.world)(one.person, one.facts.space.authority) }
      const [a, b] = [explained(one), explain(again, asker(one.person), one.action)].map((why) =>
        JSON.stringify(why, (_key, value) => (value instanceof Set ? [...value] : value)),
      )
      if (a !== b) throw new Error('not the same')
    })
  })
})

const [DOOR, HALL, SHED, YARD] = ['door', 'hall', 'shed', 'yard'].map((skey) => spaceNamed(skey)) as SpaceName[] as [
  SpaceName,
  SpaceName,
  SpaceName,
  SpaceName,
]
const ELSEWHERE = (CAST.communities[1] ?? COMMUNITY) as Did
const ABROAD = spaceNamed('abroad', ELSEWHERE)
const entryOf = ({ uri }: SpaceName, role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into: uri, from: PERSON, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})
const nestingOf = (from: SpaceName, into: SpaceName, role: string, more: Partial<Edge> = {}): Edge =>
  entryOf(into, role, { from: from.uri, ...more })

interface Told {
  readonly own?: readonly Edge[]
  readonly edges?: readonly Edge[]
  readonly more?: Partial<AccessFacts>
  readonly states?: ConstructorParameters<typeof RosterGraph>[3]
  readonly there?: { readonly own?: readonly Edge[]; readonly isOffered?: boolean }
}

/** A question about reading at the door, unless it is told otherwise. */
const askAtTheDoor = (told: Told, action: Action | null = 'read') =>
  explain(factsAtTheDoor(told), asker(PERSON), action)

function factsAtTheDoor({ own = [], edges = [], more = {}, states = {}, there }: Told): AccessFacts {
  const offers = there?.isOffered ? [{ space: ABROAD.uri, to: COMMUNITY }] : []
  const abroad = { own: there?.own ?? [], bans: [], left: [], roles: SHIPPED_ROLES }
  return {
    ...{ own, bans: [], left: [], roles: SHIPPED_ROLES, nowMs: NOW, space: DOOR },
    ...{ readPolicy: 'memberList', writePolicy: 'memberList', isAtPds: false },
    graph: new RosterGraph(COMMUNITY, edges, [], states),
    feeding: there ? [{ ...abroad, graph: new RosterGraph(ELSEWHERE, [], offers) }] : [],
    ...more,
  }
}

const missingIn = (told: Told, action: Action | null = 'read') =>
  askAtTheDoor(told, action).missing.map(({ obstacle }) => obstacle)
const kindsIn = (told: Told, action: Action | null = 'read') => missingIn(told, action).map(({ kind }) => kind)

const none = () => false
const NOBODY: Onlooker = { isSelf: false, seesAll: false, standsIn: none, seesRoster: none, seesBans: none }

describe('what stands in the way', () => {
  it('of a stranger is that they have no entry, and that those who come in by spaces do not bring them', () => {
    const edge = nestingOf(HALL, DOOR, 'member')
    expect(missingIn({ edges: [edge] })).toEqual([
      { kind: 'entry', into: DOOR.uri, role: 'reader' },
      { kind: 'notThere', edge },
      { kind: 'entry', into: HALL.uri, role: 'reader' },
    ])
  })

  it('is nearest first: what concerns the space itself, then the spaces on its roster, then theirs', () => {
    const edges = [nestingOf(SHED, HALL, 'member'), nestingOf(HALL, DOOR, 'member'), nestingOf(YARD, SHED, 'reader')]
    expect(askAtTheDoor({ edges }).missing.map(({ along }) => along.length)).toEqual([1, 1, 2, 2, 3, 3, 4])
  })

  it('of somebody whose entry gives too little is the entry, and what they would need in its place', () => {
    const edge = entryOf(DOOR, 'reader')
    expect(missingIn({ own: [edge] }, 'write')).toEqual([
      { kind: 'lacks', edge, need: 'write' },
      { kind: 'entry', into: DOOR.uri, role: 'writer' },
    ])
  })

  it('of somebody who stands in a space without what is asked for there is that', () => {
    const edge = nestingOf(HALL, DOOR, 'member', { holding: 'write' })
    const own = entryOf(HALL, 'reader')
    expect(missingIn({ own: [own], edges: [edge] })).toEqual([
      { kind: 'entry', into: DOOR.uri, role: 'reader' },
      { kind: 'holding', edge },
      { kind: 'lacks', edge: own, need: 'write' },
      { kind: 'entry', into: HALL.uri, role: 'writer' },
    ])
  })

  it.each([
    ['ended', { untilMs: NOW }],
    ['notBegun', { sinceMs: NOW + 1 }],
  ] as const)(
    'of an entry out of its time is that it has %s, theirs or of a space that they stand in',
    (kind, term) => {
      const own = entryOf(DOOR, 'reader', term)
      expect(missingIn({ own: [own] })).toContainEqual({ kind, edge: own })
      const edge = nestingOf(HALL, DOOR, 'reader', term)
      expect(missingIn({ own: [entryOf(HALL, 'reader')], edges: [edge] })).toContainEqual({ kind, edge })
      expect(kindsIn({ edges: [edge] })).toEqual(['entry'])
    },
  )

  it('of somebody who is banned is the ban alone: no entry would let them in', () => {
    for (const scope of [DOOR.uri, COMMUNITY]) {
      const ban = { scope, untilMs: NOW + 1 }
      const told = { own: [entryOf(HALL, 'reader')], edges: [nestingOf(HALL, DOOR, 'member')], more: { bans: [ban] } }
      expect(missingIn(told)).toEqual([{ kind: 'ban', ban }])
      expect(askAtTheDoor(told).decision.because.at(-1)?.rule).toBe('ban')
    }
    expect(kindsIn({ more: { bans: [{ scope: DOOR.uri, untilMs: NOW }] } })).toEqual(['entry'])
  })

  it('of somebody who is banned from a space on the way is that ban, and nothing behind it', () => {
    const ban = { scope: HALL.uri, untilMs: null }
    const edges = [nestingOf(HALL, DOOR, 'member'), nestingOf(SHED, HALL, 'member')]
    const own = [entryOf(HALL, 'reader')]
    expect(kindsIn({ own, edges, more: { bans: [ban] } })).toEqual(['entry', 'notThere', 'ban'])
  })

  it('of somebody who left is that they left, and that they would have to be put there again', () => {
    const told = { own: [entryOf(HALL, 'reader')], edges: [nestingOf(HALL, DOOR, 'member')] }
    expect(missingIn({ ...told, more: { left: [DOOR.uri] } })).toEqual([
      { kind: 'left', space: DOOR.uri },
      { kind: 'entry', into: DOOR.uri, role: 'reader' },
    ])
  })

  it('of reading where everything rests is the rest, and no entry helps; whoever governs there goes on', () => {
    const own = [entryOf(DOOR, 'moderator')]
    expect(missingIn({ own, states: { frozen: [DOOR.uri] } })).toEqual([{ kind: 'frozen', scope: DOOR.uri }])
    expect(missingIn({ own, states: { isAllFrozen: true } })).toEqual([{ kind: 'frozen', scope: COMMUNITY }])
    expect(kindsIn({ states: { frozen: [DOOR.uri] } })).toEqual(['frozen'])
    expect(askAtTheDoor({ own, states: { frozen: [DOOR.uri] } }, 'members.ban').decision.ok).toBe(true)
  })

  it('of a way through a space that rests is that it rests', () => {
    const told = { own: [entryOf(HALL, 'reader')], edges: [nestingOf(HALL, DOOR, 'member')] }
    expect(missingIn({ ...told, states: { frozen: [HALL.uri] } })).toContainEqual({ kind: 'frozen', scope: HALL.uri })
  })

  it('of a way through a space that has come to its end is its end', () => {
    const told = { own: [entryOf(HALL, 'reader')], edges: [nestingOf(HALL, DOOR, 'member')] }
    expect(kindsIn({ ...told, states: { ended: [HALL.uri] } })).toEqual(['entry', 'notThere', 'spaceEnded'])
    expect(kindsIn({ ...told, states: { ended: [DOOR.uri] } })).toEqual(['spaceEnded'])
  })

  it('of a space of another community is said without a word on who is in it', () => {
    const edge = nestingOf(ABROAD, DOOR, 'member')
    const there = entryOf(ABROAD, 'reader')
    const own = entryOf(DOOR, 'reader')
    expect(missingIn({ edges: [edge], there: { isOffered: true } })).toContainEqual({ kind: 'notThere', edge })
    for (const who of [{ own: [there] }, {}]) {
      expect(missingIn({ edges: [edge], there: who })).toContainEqual({ kind: 'notOffered', edge })
    }
    // What guests can't have is not missing from a space of theirs.
    const far = { own: [own], edges: [edge], there: { isOffered: true } }
    expect(kindsIn(far, 'members.read')).toEqual(['lacks', 'entry'])
  })

  it('of the community itself is no entry: it is on no roster of its own', () => {
    const facts = { space: DOOR, readPolicy: 'memberList', writePolicy: 'memberList', isAtPds: false } as const
    const nobody = { own: [], bans: [], left: [], roles: SHIPPED_ROLES, nowMs: NOW, feeding: [] }
    const graph = new RosterGraph(COMMUNITY, [])
    expect(explain({ ...nobody, ...facts, graph }, asker(COMMUNITY), 'members.ban').missing).toEqual([])
    expect(explain({ ...nobody, ...facts, graph }, asker(COMMUNITY), 'read').decision.ok).toBe(true)
  })

  it('is to be an owner only where no lesser role would do', () => {
    const roster = rosterOf(COMMUNITY)
    const edges = [ownersEdge(roster.uri, DOOR.uri)]
    expect(kindsIn({ edges })).toEqual(['entry'])
    expect(missingIn({ edges }, 'community.export')).toEqual([
      { kind: 'notThere', edge: edges[0] },
      { kind: 'entry', into: roster.uri, role: 'owner' },
    ])
  })

  it('is cut where it would be endless', () => {
    const edges = Array.from({ length: 100 }, (_, nth) => nestingOf(spaceNamed(`n${nth}`), DOOR, 'member'))
    expect(missingIn({ edges })).toHaveLength(25)
  })
})

describe('of a space with a managing app', () => {
  const MANAGER = serviceNamed('did:web:members.example.com#bouncer')
  const managed = (more: Partial<AccessFacts> = {}): Told => ({ more: { readPolicy: MANAGER, ...more } })
  const asked = { kind: 'managingApp', app: MANAGER }
  const ban = { scope: DOOR.uri, untilMs: null }

  it('it is missing that somebody asks the app, where nothing else decides', () => {
    expect(missingIn(managed())).toEqual([asked, { kind: 'entry', into: DOOR.uri, role: 'reader' }])
    const why = askAtTheDoor(managed())
    expect(why.decision).toMatchObject({ ok: false, because: [{ rule: 'openToApps' }, { rule: 'managingAppUnasked' }] })
    expect(why.missing.every((one) => isTold(one, NOBODY))).toBe(false)
    expect(why.missing.filter((one) => isTold(one, NOBODY)).map(({ obstacle }) => obstacle)).toEqual([asked])
  })

  it('it is not, where it would not be asked', () => {
    expect(kindsIn(managed(), 'write')).toEqual(['entry'])
    expect(kindsIn(managed(), 'members.ban')).toEqual(['entry'])
    expect(kindsIn(managed({ bans: [ban] }))).toEqual(['ban'])
    expect(kindsIn(managed({ bans: [{ ...ban, scope: COMMUNITY }] }))).toEqual(['ban'])
    expect(kindsIn({ ...managed(), states: { frozen: [DOOR.uri] } })).toEqual(['frozen'])
    expect(askAtTheDoor({ ...managed(), own: [entryOf(DOOR, 'reader')] }).missing).toEqual([])
  })

  it('a ban that is not for the one who asks reads as if nobody had asked', () => {
    const seen = (bans: AccessFacts['bans'], states = {}) => {
      const told = { ...managed({ bans }), states }
      const facts = factsAtTheDoor(told)
      return reasonsSeenBy(explain(facts, asker(PERSON), 'read').decision, facts, () => false)
    }
    for (const scope of [DOOR.uri, COMMUNITY]) {
      expect(seen([{ scope, untilMs: null }])).toEqual(seen([]))
      expect(seen([{ scope, untilMs: null }], { frozen: [DOOR.uri] })).toEqual(seen([], { frozen: [DOOR.uri] }))
    }
    expect(explain(factsAtTheDoor(managed({ bans: [ban] })), asker(PERSON), 'read', () => false).missing).toEqual(
      askAtTheDoor(managed()).missing,
    )
  })
})

describe('a yes', () => {
  it('by the public policy, or as the authority, needs no way, and shows those that there are', () => {
    const open = askAtTheDoor({ more: { readPolicy: 'public' } })
    expect(open).toMatchObject({ decision: { ok: true }, edges: [], paths: [], missing: [] })
    const own = [entryOf(DOOR, 'reader')]
    expect(askAtTheDoor({ own, more: { readPolicy: 'public' } }).paths).toEqual([[0]])
  })

  it('shows what each edge gave and on which it rests', () => {
    const [crew, hall] = [nestingOf(HALL, DOOR, 'moderator', { holding: 'write' }), entryOf(HALL, 'writer')]
    const why = askAtTheDoor({ own: [hall, entryOf(DOOR, 'reader')], edges: [crew] }, 'members.ban')
    expect(why.edges.map(({ edge, restsOn }) => [edge.into, edge.role, restsOn])).toEqual([
      [DOOR.uri, 'reader', []],
      [DOOR.uri, 'moderator', [2]],
      [HALL.uri, 'writer', []],
    ])
    expect([...(why.edges[1]?.gives ?? [])]).toContain('members.ban')
    expect(why.paths).toEqual([[1, 2]])
    expect(why.pathsAreAll).toBe(true)
  })

  it('has at most 25 ways and 200 edges beside them, found at once in a graph that has more than there are atoms', () => {
    const layer = (nth: number) => Array.from({ length: 10 }, (_, at) => spaceNamed(`l${nth}-${at}`))
    const layers = [[DOOR], ...Array.from({ length: 60 }, (_, nth) => layer(nth))]
    const edges = layers.flatMap((into, nth) =>
      into.flatMap((one) => (layers[nth + 1] ?? []).map((from) => nestingOf(from, one, 'reader'))),
    )
    const own = (layers.at(-1) ?? []).map((space) => entryOf(space, 'reader'))
    const why = askAtTheDoor({ own, edges })
    expect(why.paths).toHaveLength(PATHS_MAX)
    expect(new Set(why.paths.map(({ length }) => length))).toEqual(new Set([61]))
    expect(why.pathsAreAll).toBe(false)
    expect(why.edgesAreAll).toBe(false)
    expect(why.edges.length).toBeLessThan(200 + PATHS_MAX * 61)
  })
})

describe('what is shown of an explanation', () => {
  const why = askAtTheDoor({
    own: [entryOf(SHED, 'reader'), entryOf(YARD, 'reader')],
    edges: [
      ...[nestingOf(HALL, DOOR, 'member'), nestingOf(SHED, HALL, 'member'), nestingOf(YARD, HALL, 'member')],
      nestingOf(ABROAD, DOOR, 'member'),
    ],
    there: { own: [entryOf(ABROAD, 'reader')], isOffered: true },
  })
  const showing = (...spaces: readonly SpaceName[]) => {
    const { edges, paths } = seenBy(why, COMMUNITY, ({ into }) => spaces.some(({ uri }) => uri === into))
    return { edges: edges.map((one) => one && [one.edge.into, one.edge.from, one.restsOn]), paths }
  }
  const [byHall, byAbroad] = [
    [DOOR.uri, HALL.uri, [2]],
    [DOOR.uri, ABROAD.uri, []],
  ]

  it('to whoever sees every roster is all, but for what is of another community', () => {
    const { edges, paths } = showing(DOOR, HALL, SHED, YARD)
    expect(why.edges).toHaveLength(7)
    expect(edges).toHaveLength(6)
    expect(edges.slice(0, 2)).toEqual([[DOOR.uri, HALL.uri, [2, 3]], byAbroad])
    expect(paths).toHaveLength(3)
    expect(paths).toContainEqual([1])
  })

  it('ends at the first edge into a space whose roster they may not see, and how many lie behind is not told', () => {
    expect(showing(DOOR)).toEqual({ edges: [byHall, byAbroad, null], paths: [[1], [0, 2]] })
  })

  it('leaves out what they may see, too, when it lies behind what they may not', () => {
    expect(showing(DOOR, SHED, YARD)).toEqual(showing(DOOR))
  })

  it('is one thing that is hidden, whatever it is that is hidden', () => {
    const { edges, paths } = showing(DOOR, HALL)
    expect(edges).toEqual(
      [byHall, byAbroad, [HALL.uri, SHED.uri, [4]], [HALL.uri, YARD.uri, [4]], null].map((edge, at) =>
        at === 0 ? [DOOR.uri, HALL.uri, [2, 3]] : edge,
      ),
    )
    expect(paths.filter((path) => path.at(-1) === 4)).toHaveLength(2)
  })
})

describe('what is told of what is missing', () => {
  const nobody = NOBODY
  const among = (spaces: readonly SpaceName[]) => (space: SpaceUri | Did) => spaces.some(({ uri }) => uri === space)
  const selfIn = (...spaces: readonly SpaceName[]): Onlooker => ({ ...nobody, isSelf: true, standsIn: among(spaces) })
  const seeing = (...spaces: readonly SpaceName[]): Onlooker => ({ ...nobody, seesRoster: among(spaces) })
  const [crew, shed] = [nestingOf(HALL, DOOR, 'member', { holding: 'write' }), nestingOf(SHED, HALL, 'member')]
  const at = (obstacle: Obstacle, ...along: readonly SpaceName[]): Missing => ({
    ...{ obstacle, along: [DOOR, ...along].map(({ uri }) => uri) },
  })
  const ban = at({ kind: 'ban', ban: { scope: HALL.uri, untilMs: null } }, HALL)
  const left = at({ kind: 'left', space: HALL.uri }, HALL)
  const ended = at({ kind: 'spaceEnded', space: HALL.uri }, HALL)
  const rests = at({ kind: 'frozen', scope: HALL.uri })
  const own = at({ kind: 'ended', edge: entryOf(HALL, 'reader', { untilMs: NOW }) }, HALL)
  const entry = at({ kind: 'entry', into: HALL.uri, role: 'writer' }, HALL)
  const holding = at({ kind: 'holding', edge: crew })
  const further = at({ kind: 'notThere', edge: shed }, HALL)
  const abroad = at({ kind: 'notThere', edge: nestingOf(ABROAD, DOOR, 'writer') })
  const all = { ban, left, ended, rests, own, entry, holding, further, abroad }
  const told = (onlooker: Onlooker) =>
    Object.entries(all).flatMap(([name, missing]) => (isTold(missing, onlooker) ? [name] : []))

  it.each([
    ['whoever reads the audit: everything', { ...nobody, seesAll: true }, Object.keys(all)],
    ['others who see nothing: nothing', nobody, []],
    ['others who see the roster: what is on it, and of a space elsewhere that it does not', seeing(DOOR), ['abroad']],
    [
      'others who see the rosters on the way: what is on them',
      seeing(DOOR, HALL),
      [...['rests', 'own', 'entry'], ...['holding', 'abroad']],
    ],
    ['others who see the end of a way and not the way: nothing of it', seeing(HALL, SHED), []],
    [
      'others who see every roster: no bans, departures and ends',
      seeing(DOOR, HALL, SHED),
      ['rests', 'own', 'entry', 'holding', 'further', 'abroad'],
    ],
    ['others who may ban: the ban', { ...nobody, seesBans: () => true }, ['ban']],
    ['the person, who stands nowhere: what was done about them', selfIn(), ['ban', 'left', 'own']],
    [
      'the person, who stands further out: what concerns that space',
      selfIn(HALL),
      ['ban', 'left', 'rests', 'own', 'entry'],
    ],
    [
      'the person, who stands in both: what they would need',
      selfIn(DOOR, HALL),
      ['ban', 'left', 'rests', 'own', 'entry', 'holding'],
    ],
  ] as const)('is, to %s', (_who, onlooker, names) => {
    expect(told(onlooker)).toEqual(names)
  })

  it('is always that the space, or the community, rests', () => {
    for (const scope of [DOOR.uri, COMMUNITY]) expect(isTold(at({ kind: 'frozen', scope }), nobody)).toBe(true)
  })
})
