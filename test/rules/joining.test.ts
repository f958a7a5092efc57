/** The verdicts on joining, on random communities: whatever is changed in whatever order, no power comes to whoever asks. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import { decideAccept, decideInvite, decideJoin, decideJoining } from '../../src/policy/decide-joining.ts'
import { decideRole } from '../../src/policy/decide-roles.ts'
import { decideNest, ownersEdge } from '../../src/policy/decide-spaces.ts'
import { ACTIONS, type Action, isManaging, OWNER, type Roles } from '../../src/policy/roles.ts'
import { type Edge, RosterGraph } from '../../src/policy/roster-graph.ts'
import type { StandingFacts } from '../../src/policy/standing.ts'
import {
  ACTOR,
  anyNestedEdge,
  anyNestedEdges,
  anyOwnEdges,
  anyRoles,
  COMMUNITY,
  FEW_ACTIONS,
  factsOfLists,
  NOW,
  PERSON,
  SPACES,
  standingByDefinition,
} from '../kit/graphs.ts'

const SEED = 20_261_120
const PATIENCE = 600_000
const ROSTER = rosterOf(COMMUNITY).uri
/** Every edge of a random graph has begun or ended by then. */
const INSTANTS = Array.from({ length: 6 }, (_, at) => NOW + at)

const entry = (into: SpaceUri, from: Did, role: string): Edge => ({
  ...{ into, from, role, holding: null, sinceMs: null, untilMs: null },
})

/** A community as it is changed: the edges between its spaces, what roles allow, and which spaces take everybody. */
interface State {
  readonly nested: readonly Edge[]
  readonly roles: Roles
  readonly openings: readonly Edge[]
}

/** The owner, who may do everything but what nobody may. */
const ownerOf = ({ nested, roles, openings }: State): StandingFacts => ({
  ...{ own: [entry(ROSTER, ACTOR, OWNER)], bans: [], left: [], roles, nowMs: NOW, feeding: [] },
  graph: new RosterGraph(COMMUNITY, nested, [], { openings }, roles),
})

/** The powers of somebody who asked to join everywhere, by the definition of standing. */
function powersOfAnybody({ nested, roles, openings }: State, nowMs: number): string[] {
  const own = openings.map((opening) => ({ ...opening, from: PERSON }))
  const standing = standingByDefinition({ own, nested, roles, nowMs })
  return [...standing].flatMap(([space, actions]) =>
    [...actions].filter(isManaging).map((action) => `${action} ${space}`),
  )
}

/** The same, as if every edge that hasn't ended were open. */
const powersInTheEnd = (state: State): string[] => {
  const unended = state.nested.filter(({ untilMs }) => untilMs === null || untilMs > NOW)
  return powersOfAnybody({ ...state, nested: unended.map((edge) => ({ ...edge, sinceMs: null, untilMs: null })) }, NOW)
}

type Change =
  | { readonly does: 'open'; readonly space: SpaceUri; readonly role: string }
  | { readonly does: 'nest'; readonly edge: Edge }
  | { readonly does: 'role'; readonly name: string; readonly actions: readonly Action[] }

const ROLES = ['one', 'two', 'three', 'four'] as const
const anyRoleName = fc.constantFrom(...ROLES)
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ does: fc.constant('open' as const), space: fc.constantFrom(...SPACES), role: anyRoleName }),
  anyNestedEdge
    .filter(({ role, from, into }) => role !== OWNER && role !== 'ghost' && from !== into)
    .map((edge) => ({ does: 'nest' as const, edge })),
  fc.record({ does: fc.constant('role' as const), name: anyRoleName, actions: fc.subarray([...FEW_ACTIONS]) }),
)

/** What the owner is told, and the community as it would be with the change. */
function judged(state: State, change: Change): { readonly code: string; readonly after: State } {
  const actor = ownerOf(state)
  if (change.does === 'open') {
    const opening = entry(change.space, COMMUNITY, change.role)
    const decision = decideJoining(actor, ACTOR, change.space, opening)
    const openings = [...state.openings.filter(({ into }) => into !== change.space), opening]
    return { code: decision.ok ? 'ok' : decision.code, after: { ...state, openings } }
  }
  if (change.does === 'nest') {
    const { edge } = change
    const isSame = (one: Edge) => one.into === edge.into && one.from === edge.from && one.role === edge.role
    const before = state.nested.find(isSame) ?? null
    const decision = decideNest(actor, ACTOR, { before, after: edge })
    const nested = [...state.nested.filter((one) => !isSame(one)), edge]
    return { code: decision.ok ? 'ok' : decision.code, after: { ...state, nested } }
  }
  const { name, actions } = change
  const [before, after] = [state.roles.get(name) ?? null, new Set(actions)]
  const decision = decideRole(actor, ACTOR, { name, before, after }, new Map())
  return {
    code: decision.ok ? 'ok' : decision.code,
    after: { ...state, roles: new Map([...state.roles, [name, after]]) },
  }
}

const anyStart = fc.tuple(anyRoles, fc.array(anyChange, { minLength: 1, maxLength: 14 })).map(([roles, changes]) => {
  const all: Roles = new Map([...roles, [OWNER, new Set(ACTIONS)]])
  const nested = SPACES.map((space) => ownersEdge(ROSTER, space))
  return { state: { nested, roles: all, openings: [] } satisfies State, changes }
})

describe('spaces that take everybody', () => {
  it(
    'give nobody power at any time, whatever was nested, opened or allowed first; and nothing is refused that would give none',
    () => {
      const seen = { ok: 0, OpenToAnybody: 0 }
      fc.assert(
        fc.property(anyStart, ({ state: start, changes }) => {
          let state: State = start
          for (const change of changes) {
            const { code, after } = judged(state, change)
            expect(code === 'ok').toBe(powersInTheEnd(after).length === 0)
            if (code !== 'ok') expect(code).toBe('OpenToAnybody')
            seen[code as keyof typeof seen] += 1
            if (code === 'ok') state = after
            for (const nowMs of INSTANTS) expect(powersOfAnybody(state, nowMs)).toEqual([])
          }
        }),
        { seed: SEED, numRuns: 1_500 },
      )
      expect(Math.min(seen.ok, seen.OpenToAnybody)).toBeGreaterThan(1_000)
    },
    PATIENCE,
  )

  it('are judged once more when somebody joins, whatever the graph has become', () => {
    fc.assert(
      fc.property(anyNestedEdges, anyRoles, fc.constantFrom(...SPACES), anyRoleName, (nested, roles, space, role) => {
        const opening = entry(space, COMMUNITY, role)
        const person = factsOfLists({ own: [], nested, roles, nowMs: NOW })
        const decision = decideJoin(person, PERSON, opening)
        const isFree = powersInTheEnd({ nested, roles, openings: [opening] }).length === 0
        expect(decision.ok ? 'ok' : decision.code).toBe(isFree ? 'ok' : 'OpenToAnybody')
      }),
      { seed: SEED, numRuns: 3_000 },
    )
  })
})

describe('an invite', () => {
  const anyTerm = fc.option(fc.integer({ min: NOW + 1, max: NOW + 5 }))
  /** The roles of random graphs seldom allow inviting; here each of them does, or the verdict is always the same. */
  const inviting = (roles: Roles): Roles =>
    new Map([...roles].map(([name, actions]) => [name, new Set<Action>([...actions, 'invite', 'role.assign'])]))

  it(
    'gives nobody a power, at any time while it is given, that its maker doesn’t have in that moment',
    () => {
      const seen = { yes: 0, no: 0 }
      fc.assert(
        fc.property(
          anyOwnEdges(ACTOR),
          anyNestedEdges,
          anyRoles,
          fc.constantFrom(...SPACES),
          anyRoleName,
          anyTerm,
          (own, nested, plain, space, role, untilMs) => {
            const roles = inviting(plain)
            const after = { ...entry(space, PERSON, role), untilMs }
            const maker = factsOfLists({ own, nested, roles, nowMs: NOW })
            const person = factsOfLists({ own: [], nested, roles, nowMs: NOW })
            const decision = decideInvite(maker, ACTOR, after)
            const taken = decideAccept({ maker, person }, ACTOR, { before: null, after })
            expect(taken.ok).toBe(decision.ok)
            if (!decision.ok) {
              seen.no += 1
              return
            }
            seen.yes += 1
            for (const nowMs of INSTANTS) {
              const makers = standingByDefinition({ own, nested, roles, nowMs })
              for (const [at, actions] of standingByDefinition({ own: [after], nested, roles, nowMs })) {
                const over = [...actions].filter((action) => isManaging(action) && !makers.get(at)?.has(action))
                expect(over).toEqual([])
              }
            }
          },
        ),
        { seed: SEED, numRuns: 6_000 },
      )
      expect(Math.min(seen.yes, seen.no)).toBeGreaterThan(200)
    },
    PATIENCE,
  )
})
