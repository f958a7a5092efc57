/** Standing as a least fixed point: held against a search that shares nothing with it on random worlds, and told in examples. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { authorityOf, type Did, isSpaceUri, rosterOf, type SpaceUri } from '../../src/names.ts'
import { decideAct, decidePerson } from '../../src/policy/decide.ts'
import { ownersEdge } from '../../src/policy/decide-spaces.ts'
import { pathTo } from '../../src/policy/paths.ts'
import { type Action, isManaging, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { type Edge, RosterGraph } from '../../src/policy/roster-graph.ts'
import {
  asIfOpen,
  groundedStanding,
  holds,
  type Stand,
  type Standing,
  standingIn,
  standingOf,
} from '../../src/policy/standing.ts'
import {
  anyLists,
  anyNestedEdges,
  anyWorld,
  CAST,
  COMMUNITY,
  communitiesOf,
  factsIn,
  factsOfLists,
  NOW,
  PERSON,
  spaceNamed,
  standingByDefinition,
  WORLD_ACTIONS,
} from '../kit/graphs.ts'
import {
  groundedBySearch,
  hasLeft,
  isBanned,
  isForeign,
  isOpen,
  mayBySearch,
  type SmallWorld,
  standingBySearch,
} from '../kit/oracle.ts'
import { serviceNamed } from '../kit/rule-stage.ts'

const SEED = 20_261_201
const MANAGER = serviceNamed('did:web:members.example.com#bouncer')
const RUNS = 20_000
const FEWER = 4_000
/** On a machine that is busy with other things. */
const PATIENCE = 600_000

type Plain = Record<string, string[]>
const plainOf = (entries: Iterable<readonly [string, Iterable<string>]>): Plain =>
  Object.fromEntries([...entries].map(([space, actions]): [string, string[]] => [space, [...actions].sort()]).sort())
const plain = (standing: Standing): Plain => plainOf([...standing].map(([space, { actions }]) => [space, actions]))

/** Whether all that `less` has, `more` has too. */
const isWithin = (less: Standing, more: Standing): boolean =>
  [...less].every(
    ([space, { actions }]) => more.has(space) && [...actions].every((action) => holds(more, space, action)),
  )

/** Every person in every community of a world. */
const everybodyIn = (world: SmallWorld): readonly (readonly [Did, Did])[] =>
  CAST.people.flatMap((person) => communitiesOf(world).map((community) => [person, community] as const))

const standingsIn = (world: SmallWorld): Map<string, Standing> => {
  const facts = factsIn(world)
  return new Map(
    everybodyIn(world).map(([person, community]) => [`${person} ${community}`, standingOf(facts(person, community))]),
  )
}

/** Whether nobody has more in one world than in the other. */
const isNoMore = (less: SmallWorld, more: SmallWorld): boolean => {
  const standings = standingsIn(more)
  return [...standingsIn(less)].every(([who, standing]) => isWithin(standing, standings.get(who) ?? new Map()))
}

const spacesOf = (world: SmallWorld, community: Did): readonly SpaceUri[] =>
  world.spaces.map(({ uri }) => uri).filter((uri) => authorityOf(uri) === community)

/** What is compared often enough to wait for is compared as text first. */
function requireSame(found: unknown, expected: unknown): void {
  if (JSON.stringify(found) !== JSON.stringify(expected)) expect(found).toEqual(expected)
}

const plainAt = (standing: Standing, space: SpaceUri): string =>
  [standing.has(space), ...[...(standing.get(space)?.actions ?? [])].sort()].join(' ')

/** One world in so many, at least, must show what it is. */
const LEAST = {
  nested: 2,
  foreign: 20,
  passedOn: 50,
  ban: 12,
  departure: 20,
  ended: 20,
  offer: 30,
  circle: 5,
  later: 8,
}

/** What makes a difference in a world, looked for with the search alone. */
function whatIsIn(world: SmallWorld): (keyof typeof LEAST)[] {
  const all = (of: SmallWorld, search = standingBySearch) =>
    JSON.stringify(everybodyIn(of).map(([person, community]) => plainOf(search(of, person, community))))
  const now = all(world)
  const differs = (other: Partial<SmallWorld>) => all({ ...world, ...other }) !== now
  const local = world.nestings.filter((entry) => !isForeign(entry))
  const byGuests = all(world, groundedBySearch) !== now
  const everyOffer = world.nestings.map(({ from, into }) => ({ space: from, to: authorityOf(into) }))
  const found: Readonly<Record<keyof typeof LEAST, boolean>> = {
    nested: differs({ nestings: [] }),
    foreign: byGuests,
    passedOn: byGuests && everybodyIn(world).some(([person, community]) => isPassedOn(world, person, community)),
    ban: differs({ bans: [] }),
    departure: differs({ departures: [] }),
    ended: differs({ spaces: world.spaces.map((space) => ({ ...space, live: true })) }),
    offer: differs({ offers: everyOffer }),
    circle: local.some(({ into, from }) => leadsTo(local, into, from, [])),
    later: differs({ nowMs: NOW + 2 }),
  }
  return (Object.keys(found) as (keyof typeof LEAST)[]).filter((what) => found[what])
}

/** Whether somebody who came from elsewhere stands in a space of no foreign edge. */
const isPassedOn = (world: SmallWorld, person: Did, community: Did): boolean => {
  const grounded = groundedBySearch(world, person, community)
  const isEntered = (space: SpaceUri) => world.nestings.some((entry) => entry.into === space && isForeign(entry))
  return [...standingBySearch(world, person, community).keys()].some(
    (space) => !grounded.has(space) && !isEntered(space),
  )
}

const leadsTo = (edges: SmallWorld['nestings'], from: SpaceUri, to: SpaceUri, met: readonly SpaceUri[]): boolean =>
  from === to ||
  (!met.includes(from) && edges.some((entry) => entry.from === from && leadsTo(edges, entry.into, to, [...met, from])))

describe(`standing in random worlds (seed ${SEED})`, () => {
  it('is what a search for a way finds, in every space, for everybody', { timeout: PATIENCE }, () => {
    const met = { nested: 0, foreign: 0, passedOn: 0, ban: 0, departure: 0, ended: 0, offer: 0, circle: 0, later: 0 }
    let nth = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const [person, community] of everybodyIn(world)) {
          const standing = standingOf(facts(person, community))
          requireSame(plain(standing), plainOf(standingBySearch(world, person, community)))
        }
        if (nth++ % 10 !== 0) return
        for (const what of whatIsIn(world)) met[what]++
      }),
      { seed: SEED, numRuns: RUNS },
    )
    // The comparison is worth something only while a good part of the worlds, of which every tenth was looked into, has in it
    // what it is about.
    for (const [what, part] of Object.entries(LEAST)) {
      expect(met[what as keyof typeof met], what).toBeGreaterThan(RUNS / 10 / part)
    }
  })

  it('in one space is the same when only what leads there is looked at', { timeout: PATIENCE }, () => {
    let asked = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const [person, community] of everybodyIn(world)) {
          const persons = facts(person, community)
          const all = standingOf(persons)
          for (const space of spacesOf(world, community)) {
            const here = standingIn(persons, space)
            requireSame(plainAt(here, space), plainAt(all, space))
            if (!isWithin(here, all)) throw new Error(`more in ${space} than in all`)
            asked++
          }
        }
      }),
      { seed: SEED, numRuns: RUNS },
    )
    expect(asked).toBeGreaterThan(RUNS * 9)
  })

  it('is the same asked space by space as looked at whole, by the same edges in the same order', {
    timeout: PATIENCE,
  }, () => {
    const shown = (stand: Stand | undefined) =>
      stand?.through.map(({ edge, gives, premise }) => [edge, [...gives], premise?.through.map((one) => one.edge)])
    let compared = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        for (const [person, community] of everybodyIn(world)) {
          const whole = new Map(standingOf(factsIn(world)(person, community)))
          const asked = standingOf(factsIn(world)(person, community))
          for (const { uri } of world.spaces) {
            expect(shown(asked.get(uri))).toEqual(shown(whole.get(uri)))
            compared += whole.has(uri) ? 1 : 0
          }
        }
      }),
      { seed: SEED, numRuns: FEWER / 4 },
    )
    expect(compared).toBeGreaterThan(FEWER / 2)
  })

  it('does not depend on the order of edges, bans, departures and offers', { timeout: PATIENCE }, () => {
    const shuffled = anyWorld.chain((world) => {
      const any = <T>(rows: readonly T[]) => fc.shuffledSubarray([...rows], { minLength: rows.length })
      const { people, nestings, bans, departures, offers } = world
      return fc
        .tuple(any(people), any(nestings), any(bans), any(departures), any(offers), any(world.spaces))
        .map(([ps, ns, bs, ds, os, spaces]): [SmallWorld, SmallWorld] => [
          world,
          { ...world, people: ps, nestings: ns, bans: bs, departures: ds, offers: os, spaces },
        ])
    })
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        const standings = standingsIn(other)
        for (const [who, standing] of standingsIn(one)) {
          expect(plain(standing)).toEqual(plain(standings.get(who) ?? new Map()))
        }
      }),
      { seed: SEED, numRuns: FEWER },
    )
  })

  it('never shrinks by one more edge or offer, nor grows by one less', { timeout: PATIENCE }, () => {
    let shrinks = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        for (const table of ['people', 'nestings', 'offers'] as const) {
          for (const gone of world[table] as readonly unknown[]) {
            const less = { ...world, [table]: (world[table] as readonly unknown[]).filter((row) => row !== gone) }
            expect(isNoMore(less, world)).toBe(true)
            if (!isNoMore(world, less)) shrinks++
          }
        }
      }),
      { seed: SEED, numRuns: FEWER / 4 },
    )
    expect(shrinks).toBeGreaterThan(FEWER / 4)
  })

  it('is nothing where somebody is banned, by no edge and no offer, and comes back whole when the ban is lifted', {
    timeout: PATIENCE,
  }, () => {
    let bites = 0
    fc.assert(
      fc.property(anyWorld, fc.nat(), fc.boolean(), (world, pick, isWhole) => {
        const space = world.spaces[pick % world.spaces.length]?.uri as SpaceUri
        const community = authorityOf(space)
        const scope = isWhole ? community : space
        const free = { ...world, bans: world.bans.filter((ban) => ban.scope !== scope || ban.did !== PERSON) }
        const banned = { ...free, bans: [...free.bans, { scope, did: PERSON, untilMs: null }] }
        const [before, after] = [free, banned].map((one) => standingOf(factsIn(one)(PERSON, community)))
        if (!before || !after) throw new Error('two worlds')
        expect(isWhole ? after.size : Number(after.has(space))).toBe(0)
        expect(isWithin(after, before)).toBe(true)
        expect(isNoMore(banned, free)).toBe(true)
        if (before.size > after.size) bites++
        const ended = { ...free, bans: [...free.bans, { scope, did: PERSON, untilMs: NOW }] }
        expect(plain(standingOf(factsIn(ended)(PERSON, community)))).toEqual(plain(before))
        const until = { ...free, bans: [...free.bans, { scope, did: PERSON, untilMs: NOW + 1 }] }
        expect(plain(standingOf(factsIn(until)(PERSON, community)))).toEqual(plain(after))
      }),
      { seed: SEED, numRuns: FEWER },
    )
    expect(bites).toBeGreaterThan(FEWER / 5)
  })

  it('is not closed by leaving where a person has an entry of their own or comes as an owner, and else is', () => {
    const met = { closed: 0, kept: 0 }
    fc.assert(
      fc.property(anyWorld, fc.nat(), (world, pick) => {
        const space = world.spaces[pick % world.spaces.length]?.uri as SpaceUri
        const gone = { ...world, departures: [...world.departures, { space, did: PERSON }] }
        const standing = standingOf(factsIn(gone)(PERSON, authorityOf(space)))
        for (const { edge } of standing.get(space)?.through ?? []) {
          expect(edge.from === PERSON || edge.role === 'owner').toBe(true)
          met.kept++
        }
        if (standingOf(factsIn(world)(PERSON, authorityOf(space))).has(space) && !standing.has(space)) met.closed++
        // An entry of their own gives what it says, whether they left before or not.
        for (const entry of world.people.filter(({ into, did }) => into === space && did === PERSON)) {
          const isLet = isOpen(world, entry) && world.spaces.some(({ uri, live }) => uri === space && live)
          if (!isLet || [space, authorityOf(space)].some((scope) => isBanned(world, PERSON, scope))) continue
          for (const action of world.roles.get(entry.role) ?? []) expect(holds(standing, space, action)).toBe(true)
        }
      }),
      { seed: SEED, numRuns: FEWER },
    )
    expect(met.closed).toBeGreaterThan(FEWER / 20)
    expect(met.kept).toBeGreaterThan(FEWER / 10)
  })

  it('by way of another community is reading and writing, wherever it leads, and is never passed on to a third', {
    timeout: PATIENCE,
  }, () => {
    let guests = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const [person, community] of everybodyIn(world)) {
          const searched = groundedBySearch(world, person, community)
          const standing = standingOf(facts(person, community))
          for (const [space, { actions }] of standing) {
            const more = [...actions].filter((action) => !searched.get(space)?.has(action))
            requireSame(
              more.filter((action) => action !== 'read' && action !== 'write'),
              [],
            )
            if (!searched.has(space)) guests++
          }
          // Whoever has no entry of their own in the communities that are nested here directly is nobody here.
          const near = new Set([community, ...facts(person, community).graph.feeders])
          const people = world.people.filter(({ into, did }) => did !== person || near.has(authorityOf(into)))
          const nestings = world.nestings.filter((edge) => !isForeign(edge) || authorityOf(edge.into) === community)
          const nearer = { ...world, people, nestings }
          requireSame(plain(standingOf(factsIn(nearer)(person, community))), plain(standing))
        }
      }),
      { seed: SEED, numRuns: FEWER },
    )
    expect(guests).toBeGreaterThan(FEWER / 30)
  })

  it('as if open holds all power that there is at any instant from now on, banned or gone or not', {
    timeout: PATIENCE,
  }, () => {
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const [person, community] of everybodyIn(world)) {
          const ever = groundedStanding(facts(person, community), asIfOpen(NOW))
          for (let nowMs = NOW; nowMs <= 10; nowMs++) {
            for (const [space, { actions }] of standingOf({ ...facts(person, community), nowMs })) {
              requireSame(
                [...actions].filter((action) => isManaging(action) && !holds(ever, space, action)),
                [],
              )
            }
          }
          const past = world.nestings.filter((edge) => edge.untilMs === null || edge.untilMs > NOW)
          const open = {
            ...{ bans: [], departures: [], offers: [], nestings: endless(past) },
            people: endless(world.people.filter((edge) => edge.untilMs === null || edge.untilMs > NOW)),
          }
          requireSame(plain(ever), plainOf(groundedBySearch({ ...world, ...open }, person, community)))
        }
      }),
      { seed: SEED, numRuns: FEWER / 2 },
    )
  })

  it('of several entries is the union of what each of them gives alone: an edge opens on one premise', () => {
    let shared = 0
    fc.assert(
      fc.property(anyLists, (lists) => {
        const union = new Map<SpaceUri, Set<Action>>()
        for (const own of lists.own) {
          for (const [space, { actions }] of standingOf(factsOfLists({ ...lists, own: [own] }))) {
            if (union.has(space)) shared++
            union.set(space, new Set([...(union.get(space) ?? []), ...actions]))
          }
        }
        expect(plain(standingOf(factsOfLists(lists)))).toEqual(plainOf(union))
      }),
      { seed: SEED, numRuns: FEWER },
    )
    expect(shared).toBeGreaterThan(130)
  })

  it('in one community is what the definition says read as a relation, circles of one among it', () => {
    fc.assert(
      fc.property(anyLists, anyNestedEdges, (lists, more) => {
        const both = { ...lists, nested: [...lists.nested, ...more] }
        expect(plain(standingOf(factsOfLists(both)))).toEqual(plainOf(standingByDefinition(both)))
      }),
      { seed: SEED, numRuns: FEWER },
    )
  })

  it('answers a check, a list of people and a list of spaces alike', { timeout: PATIENCE }, () => {
    const asked = { yes: 0, byPolicy: 0, banned: 0 }
    let byWord = 0
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const community of communitiesOf(world)) {
          for (const { uri, live, policies } of world.spaces.filter((one) => authorityOf(one.uri) === community)) {
            const name = { ...rosterOf(community), uri }
            for (const action of WORLD_ACTIONS) {
              const people = CAST.people.filter((did) => holds(standingIn(facts(did, community), uri), uri, action))
              const reaching = CAST.people.filter((did) => holds(standingOf(facts(did, community)), uri, action))
              requireSame(people, reaching)
              const acting = CAST.people.filter((did) => decideAct(facts(did, community), did, action, uri).ok)
              requireSame(acting, people)
              if (!live) continue // whoever asks about such a space is told that there is none, before any verdict
              const given = { space: name, readPolicy: policies.read, writePolicy: policies.write, isAtPds: false }
              const others = world.spaces.filter((one) => one.uri !== uri)
              for (const did of [...CAST.people, community]) {
                const isLet = decidePerson({ ...facts(did, community), ...given }, did, action)
                const isOpenToAll = action === 'read' || action === 'write'
                const expected = isOpenToAll ? mayBySearch(world, did, uri, action) : people.includes(did)
                requireSame(isLet.ok, expected)
                for (const authorized of [true, false]) {
                  if (action !== 'read' && action !== 'write') continue
                  const policy = { ...policies, [action]: MANAGER }
                  const managed = { ...world, spaces: [{ uri, live, policies: policy }, ...others] }
                  const isLetIn = mayBySearch(managed, did, uri, action, authorized ? MANAGER : null)
                  const all = { ...facts(did, community), space: name, isAtPds: false }
                  const asked = { ...all, readPolicy: policy.read, writePolicy: policy.write }
                  requireSame(decidePerson(asked, did, action, { by: MANAGER, authorized }).ok, isLetIn)
                  if (isLetIn && !expected) byWord++
                }
                if (isLet.ok) asked[isLet.because[0]?.rule === 'publicPolicy' ? 'byPolicy' : 'yes']++
                else if (isLet.because[0]?.rule === 'ban') {
                  asked.banned++
                  requireSame(
                    [uri, community].some((scope) => isBanned(world, did, scope)),
                    true,
                  )
                }
              }
            }
          }
        }
      }),
      { seed: SEED, numRuns: FEWER / 4 },
    )
    for (const [what, times] of Object.entries({ ...asked, byWord })) {
      expect(times, what).toBeGreaterThan(FEWER / 4)
    }
  })

  it('can be explained: the path really leads to the person, and its first end is the end of what it gives', {
    timeout: PATIENCE,
  }, () => {
    const met = { longest: 0, foreign: 0, ends: 0 }
    fc.assert(
      fc.property(anyWorld, (world) => {
        const facts = factsIn(world)
        for (const [person, community] of everybodyIn(world)) {
          const standing = standingOf(facts(person, community))
          for (const space of spacesOf(world, community)) {
            for (const action of [...(standing.get(space)?.actions ?? WORLD_ACTIONS), null]) {
              const path = pathTo(standing, space, action)
              const isThere = action === null ? standing.has(space) : holds(standing, space, action)
              if (!isThere) {
                requireSame(path, [])
                continue
              }
              requireJustified(world, path, { person, space, action })
              const ends = path.flatMap(({ untilMs }) => (untilMs === null ? [] : [untilMs]))
              if (path.some((edge) => isSpaceUri(edge.from) && authorityOf(edge.from) !== authorityOf(edge.into)))
                met.foreign++
              met.longest = Math.max(met.longest, path.length)
              if (ends.length === 0) continue
              met.ends++
              // By these edges alone, and with every ban and departure as it is.
              const alone = worldOfPath(world, path)
              const hasAt = (nowMs: number) => {
                const now = standingBySearch({ ...alone, nowMs }, person, community)
                return action === null ? now.has(space) : now.get(space)?.has(action) === true
              }
              const end = Math.min(...ends)
              requireSame([hasAt(NOW), hasAt(end - 1), hasAt(end)], [true, true, false])
            }
          }
        }
      }),
      { seed: SEED, numRuns: FEWER },
    )
    expect(met.longest).toBeGreaterThan(3)
    expect(Math.min(met.foreign, met.ends)).toBeGreaterThan(FEWER / 4)
  })
})

const endless = <T extends object>(edges: readonly T[]) =>
  edges.map((edge) => ({ ...edge, sinceMs: null, untilMs: null }))

/** Whether an edge was passed from another community. */
const cameIn = ({ edge }: { readonly edge: Edge }): boolean =>
  isSpaceUri(edge.from) && authorityOf(edge.from) !== authorityOf(edge.into)

/** The same world with no edges but those of a path. */
const worldOfPath = (world: SmallWorld, path: readonly Edge[]): SmallWorld => ({
  ...world,
  people: path.flatMap(({ from, holding: _, ...entry }) => (isSpaceUri(from) ? [] : [{ ...entry, did: from }])),
  nestings: path.flatMap(({ from, ...entry }) => (isSpaceUri(from) ? [{ ...entry, from }] : [])),
})

/** Nearest first: each edge is open, gives what is needed in the space before it, and the last comes from the person. */
function requireJustified(
  world: SmallWorld,
  path: readonly Edge[],
  { person, space, action }: { person: Did; space: SpaceUri; action: Action | null },
): void {
  const require = (is: boolean, what: string) => is || expect.fail(`${what}: ${JSON.stringify(path)}`)
  let at: string = space
  let needed = action
  for (const one of path) {
    require(one.into === at, 'goes on where the edge before it began')
    require(isOpen(world, one), 'is open')
    require(needed === null || world.roles.get(one.role)?.has(needed) === true, 'gives what is needed')
    require(![one.into, authorityOf(one.into)].some((scope) => isBanned(world, person, scope)), 'of nobody banned')
    require(world.spaces.some(({ uri, live }) => uri === one.into && live), 'is alive')
    if (isSpaceUri(one.from)) {
      require(world.nestings.some((entry) => entry === one), 'is there')
      require(one.role === 'owner' || !hasLeft(world, person, one.into), 'of nobody gone')
    }
    if (cameIn({ edge: one })) {
      const to = authorityOf(one.into)
      require(world.offers.some((offer) => offer.space === one.from && offer.to === to), 'is offered')
      require(action === null || action === 'read' || action === 'write', 'gives guests no more')
    }
    at = one.from
    needed = one.holding
  }
  require(at === person, 'ends at the person')
  require(path.filter((one) => cameIn({ edge: one })).length < 2, 'goes into another community once at most')
}

const roster = rosterOf(COMMUNITY).uri
const [forum, moderators, crew] = ['forum', 'moderators', 'crew'].map((skey) => spaceNamed(skey).uri) as [
  SpaceUri,
  SpaceUri,
  SpaceUri,
]
const edge = (into: SpaceUri, from: Edge['from'], role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into, from, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})
const standingWith = (own: Edge[], nested: Edge[], more: { left?: SpaceUri[]; nowMs?: number } = {}) =>
  standingOf(factsOfLists({ own, nested, roles: SHIPPED_ROLES, nowMs: NOW, ...more }))

describe('standing', () => {
  it('is what the edge says, not what the person has in the space it comes from', () => {
    const standing = standingWith([edge(moderators, PERSON, 'reader')], [edge(forum, moderators, 'moderator')])
    expect(holds(standing, moderators, 'members.remove')).toBe(false)
    expect(holds(standing, forum, 'members.remove')).toBe(true)
    const lent = standingWith([edge(moderators, PERSON, 'admin')], [edge(forum, moderators, 'reader')])
    expect([...(lent.get(forum)?.actions ?? [])]).toEqual(['read'])
  })

  it('lets through only those who have the holding, and has it by any edge together', () => {
    const owners = ownersEdge(roster, forum)
    expect(standingWith([edge(roster, PERSON, 'admin')], [owners]).has(forum)).toBe(false)
    expect(holds(standingWith([edge(roster, PERSON, 'owner')], [owners]), forum, 'space.delete')).toBe(true)
  })

  it('comes to an end in circles of one, two and more, and lifts nobody in by the circle alone', () => {
    const circle = [
      edge(forum, forum, 'owner'),
      edge(forum, crew, 'admin'),
      edge(crew, moderators, 'admin'),
      edge(moderators, forum, 'admin'),
    ]
    expect(standingWith([], circle).size).toBe(0)
    const inside = standingWith([edge(crew, PERSON, 'reader')], circle)
    expect([...inside.keys()].sort()).toEqual([crew, forum, moderators].sort())
    expect(holds(inside, forum, 'community.transfer')).toBe(true)
  })

  it('begins at since and ends just before until', () => {
    const own = [edge(forum, PERSON, 'member', { sinceMs: 10, untilMs: 20 })]
    const stands = [9, 10, 19, 20].map((nowMs) => standingWith(own, [], { nowMs }).has(forum))
    expect(stands).toEqual([false, true, true, false])
  })

  it('is left behind by whoever left, and not by an owner, who answers for every space', () => {
    const nested = [ownersEdge(roster, forum), edge(forum, roster, 'member'), edge(crew, forum, 'reader')]
    const member = standingWith([edge(roster, PERSON, 'member')], nested, { left: [forum] })
    expect([...member.keys()]).toEqual([roster])
    const owner = standingWith([edge(roster, PERSON, 'owner')], nested, { left: [forum, crew] })
    expect([...owner.keys()].sort()).toEqual([forum, roster].sort())
  })

  it('is explained also when the way passes the same space twice', () => {
    // The person stands in the forum as a reader; readers of the forum are crew; crew may write in the forum.
    const own = [edge(forum, PERSON, 'reader')]
    const nested = [
      edge(crew, forum, 'moderator', { holding: 'read' }),
      edge(forum, crew, 'writer', { holding: 'members.add' }),
    ]
    const path = pathTo(standingWith(own, nested), forum, 'write')
    expect(path.map(({ into, from }) => [into, from])).toEqual([
      [forum, crew],
      [crew, forum],
      [forum, PERSON],
    ])
  })

  it('walks ten thousand nested spaces and a diamond of eighteen layers without being led astray', () => {
    const named = (at: number, side = '') => spaceNamed(`n${at}${side}`).uri
    const chain = Array.from({ length: 10_000 }, (_, at) => edge(named(at + 1), named(at), 'member'))
    expect(holds(standingWith([edge(named(0), PERSON, 'member')], chain), named(10_000), 'read')).toBe(true)
    const diamond = Array.from({ length: 18 }, (_, at) =>
      ['l', 'r'].flatMap((to) => ['l', 'r'].map((from) => edge(named(at + 1, to), named(at, from), 'member'))),
    ).flat()
    expect(standingWith([edge(named(0, 'l'), PERSON, 'member')], diamond).size).toBe(37)
  })

  it('is nothing at all for somebody without an edge, whatever the spaces are to each other', () => {
    expect(standingWith([], [edge(forum, roster, 'owner'), edge(roster, forum, 'owner')]).size).toBe(0)
  })
})

describe('standing that comes from another community', () => {
  const [OTHER] = CAST.communities.slice(1) as [Did]
  const club = spaceNamed('club', OTHER).uri
  const members = (into: SpaceUri, from: SpaceUri, more: Partial<Edge> = {}) => edge(into, from, 'writer', more)
  const guests = (
    nested: Edge[],
    there: { own?: Edge[]; nested?: Edge[]; isOffered?: boolean; bannedFrom?: SpaceUri },
  ) =>
    standingOf({
      ...factsOfLists({ own: [], nested, roles: SHIPPED_ROLES, nowMs: NOW }),
      feeding: [
        {
          own: there.own ?? [edge(club, PERSON, 'moderator')],
          bans: there.bannedFrom ? [{ scope: there.bannedFrom, untilMs: null }] : [],
          left: [],
          graph: new RosterGraph(
            OTHER,
            there.nested ?? [],
            there.isOffered === false ? [] : [{ space: club, to: COMMUNITY }],
          ),
          roles: SHIPPED_ROLES,
        },
      ],
    })

  it('is there while its space is offered, the person is in there, and nobody bans them there', () => {
    expect(plain(guests([members(forum, club)], {}))).toEqual({ [forum]: ['read', 'write'] })
    expect(guests([members(forum, club)], { isOffered: false }).size).toBe(0)
    expect(guests([members(forum, club)], { own: [] }).size).toBe(0)
    expect(guests([members(forum, club)], { bannedFrom: club }).size).toBe(0)
  })

  it('asks for what is held over there', () => {
    expect(guests([members(forum, club, { holding: 'members.ban' })], {}).has(forum)).toBe(true)
    expect(guests([members(forum, club, { holding: 'space.delete' })], {}).has(forum)).toBe(false)
  })

  it('goes on through spaces here with reading and writing, and past a door that asks for more', () => {
    const nested = [
      members(forum, club),
      edge(crew, forum, 'admin'),
      edge(moderators, crew, 'admin', { holding: 'members.add' }),
    ]
    expect(plain(guests(nested, {}))).toEqual({ [forum]: ['read', 'write'], [crew]: ['read', 'write'] })
  })

  it('never keeps itself alive: two communities that nest each other let in nobody who is in neither', () => {
    const back = [edge(club, forum, 'writer')]
    expect(guests([members(forum, club)], { own: [], nested: back }).size).toBe(0)
  })
})
