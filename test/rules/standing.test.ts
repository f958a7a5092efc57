/** Standing as a least fixed point: held against its own definition on random graphs, and told in examples. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SpaceUri } from '../../src/names.ts'
import { type Action, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import {
  asIfOpen,
  type Edge,
  holds,
  pathTo,
  type Standing,
  type StandingFacts,
  standingOf,
} from '../../src/policy/standing.ts'
import {
  anyFacts,
  anyNestedEdges,
  FEW_ACTIONS,
  NOW,
  PERSON,
  SPACES,
  spaceNamed,
  standingByDefinition,
} from '../kit/graphs.ts'

const SEED = 20_261_201
const RUNS = 6_000

const plain = (standing: Standing): Record<string, string[]> =>
  Object.fromEntries([...standing].map(([space, { actions }]) => [space, [...actions].sort()]).sort())
const plainDefinition = (standing: Map<SpaceUri, Set<Action>>): Record<string, string[]> =>
  Object.fromEntries([...standing].map(([space, actions]) => [space, [...actions].sort()]).sort())

/** Whether all that `less` has, `more` has too. */
const isWithin = (less: Standing, more: Standing): boolean =>
  [...less].every(
    ([space, { actions }]) => more.has(space) && [...actions].every((action) => holds(more, space, action)),
  )

describe(`standing on random graphs (seed ${SEED})`, () => {
  it('is what its definition says, with circles, holdings, timed edges and unknown roles', () => {
    let nested = 0
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const standing = standingOf(facts)
        expect(plain(standing)).toEqual(plainDefinition(standingByDefinition(facts)))
        if ([...standing.values()].some(({ through }) => through.some((edge) => edge.from !== PERSON))) nested++
      }),
      { seed: SEED, numRuns: RUNS },
    )
    // The comparison is worth something only while a good part of the graphs nests at all.
    expect(nested).toBeGreaterThan(RUNS / 5)
  })

  it('does not depend on the order of edges', () => {
    const shuffled = anyFacts.chain((facts) =>
      fc.tuple(
        fc.constant(facts),
        fc.shuffledSubarray([...facts.own], { minLength: facts.own.length }),
        fc.shuffledSubarray([...facts.nested], { minLength: facts.nested.length }),
      ),
    )
    fc.assert(
      fc.property(shuffled, ([facts, own, nested]) => {
        expect(plain(standingOf({ ...facts, own, nested }))).toEqual(plain(standingOf(facts)))
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })

  it('of several entries is the union of what each of them gives alone: an edge opens on one premise', () => {
    let shared = 0
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const union = new Map<SpaceUri, Set<Action>>()
        for (const own of facts.own) {
          for (const [space, { actions }] of standingOf({ ...facts, own: [own] })) {
            if (union.has(space)) shared++
            union.set(space, new Set([...(union.get(space) ?? []), ...actions]))
          }
        }
        expect(plain(standingOf(facts))).toEqual(plainDefinition(union))
      }),
      { seed: SEED, numRuns: RUNS },
    )
    expect(shared).toBeGreaterThan(200)
  })

  it('as if open holds all that there is at any instant from now on', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const ever = standingOf(asIfOpen(facts))
        for (let nowMs = NOW; nowMs <= 10; nowMs++) expect(isWithin(standingOf({ ...facts, nowMs }), ever)).toBe(true)
        const { own, nested } = asIfOpen(facts)
        const isLeft = ({ untilMs }: Edge) => untilMs === null || untilMs > NOW
        expect([own.length, nested.length]).toEqual([facts.own, facts.nested].map((all) => all.filter(isLeft).length))
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })

  it('never takes away when an edge is added, and never adds when one is removed', () => {
    const withMore = fc.tuple(anyFacts, anyNestedEdges)
    fc.assert(
      fc.property(withMore, ([facts, more]) => {
        const before = standingOf(facts)
        expect(isWithin(before, standingOf({ ...facts, nested: [...facts.nested, ...more] }))).toBe(true)
        for (const gone of facts.nested) {
          const nested = facts.nested.filter((edge) => edge !== gone)
          expect(isWithin(standingOf({ ...facts, nested }), before)).toBe(true)
        }
        for (const gone of facts.own) {
          const own = facts.own.filter((edge) => edge !== gone)
          expect(isWithin(standingOf({ ...facts, own }), before)).toBe(true)
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })

  it('gives nothing by an edge that has ended or not begun, or whose role nobody defined', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const isOpen = ({ sinceMs, untilMs, role }: Edge) =>
          (sinceMs === null || sinceMs <= NOW) && (untilMs === null || untilMs > NOW) && role !== 'ghost'
        const open = { ...facts, own: facts.own.filter(isOpen), nested: facts.nested.filter(isOpen) }
        expect(plain(standingOf(open))).toEqual(plain(standingOf(facts)))
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })

  it('can be explained: the path to every action really leads from the person to the space', () => {
    let longest = 0
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const standing = standingOf(facts)
        for (const space of SPACES) {
          for (const action of FEW_ACTIONS) {
            const path = pathTo(standing, facts.roles, space, action)
            if (!holds(standing, space, action)) expect(path).toEqual([])
            else requireJustified(facts, path, space, action)
            longest = Math.max(longest, path.length)
          }
          const path = pathTo(standing, facts.roles, space, null)
          if (standing.has(space)) requireJustified(facts, path, space, null)
          else expect(path).toEqual([])
        }
      }),
      { seed: SEED, numRuns: RUNS },
    )
    expect(longest).toBeGreaterThan(3)
  })
})

/** Nearest first: each edge gives what is needed in the space before it, and the last comes from the person. */
function requireJustified(facts: StandingFacts, path: readonly Edge[], space: SpaceUri, action: Action | null): void {
  let at: string = space
  let needed = action
  for (const edge of path) {
    expect(edge.into).toBe(at)
    expect(facts.own.includes(edge) || facts.nested.includes(edge)).toBe(true)
    expect(facts.roles.has(edge.role)).toBe(true)
    if (needed !== null) expect(facts.roles.get(edge.role)?.has(needed)).toBe(true)
    expect((edge.sinceMs ?? NOW) <= NOW && (edge.untilMs ?? NOW + 1) > NOW).toBe(true)
    at = edge.from
    needed = edge.holding
  }
  expect(at).toBe(PERSON)
}

const [forum, moderators, crew, roster] = ['forum', 'moderators', 'crew', 'roster'].map(
  (skey) => spaceNamed(skey).uri,
) as [SpaceUri, SpaceUri, SpaceUri, SpaceUri]
const edge = (into: SpaceUri, from: Edge['from'], role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into, from, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})
const standingWith = (own: Edge[], nested: Edge[], nowMs = NOW) =>
  standingOf({ own, nested, roles: SHIPPED_ROLES, nowMs })

describe('standing', () => {
  it('is what the edge says, not what the person has in the space it comes from', () => {
    const standing = standingWith([edge(moderators, PERSON, 'reader')], [edge(forum, moderators, 'moderator')])
    expect(holds(standing, moderators, 'members.remove')).toBe(false)
    expect(holds(standing, forum, 'members.remove')).toBe(true)
    const lent = standingWith([edge(moderators, PERSON, 'admin')], [edge(forum, moderators, 'reader')])
    expect([...(lent.get(forum)?.actions ?? [])]).toEqual(['read'])
  })

  it('lets through only those who have the holding, and has it by any edge together', () => {
    const owners = edge(forum, roster, 'owner', { holding: 'community.transfer' })
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
    const stands = [9, 10, 19, 20].map((nowMs) => standingWith(own, [], nowMs).has(forum))
    expect(stands).toEqual([false, true, true, false])
  })

  it('is explained also when the way passes the same space twice', () => {
    // The person stands in the forum as a reader; readers of the forum are crew; crew may write in the forum.
    const own = [edge(forum, PERSON, 'reader')]
    const nested = [
      edge(crew, forum, 'moderator', { holding: 'read' }),
      edge(forum, crew, 'writer', { holding: 'members.add' }),
    ]
    const path = pathTo(standingWith(own, nested), SHIPPED_ROLES, forum, 'write')
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
