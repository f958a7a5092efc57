/** Random rosters for properties: few spaces, roles of any actions, edges in circles, through holdings, and for a time. */
import fc from 'fast-check'
import { type Did, type Nsid, parseDid, type SpaceName, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import type { Action, Roles } from '../../src/policy/roles.ts'
import type { Edge, StandingFacts } from '../../src/policy/standing.ts'

const didOf = (letter: string): Did => parseDid(`did:plc:${letter.repeat(24)}`) as Did
export const COMMUNITY = didOf('c')
export const PERSON = didOf('p')
export const ACTOR = didOf('a')

export const spaceNamed = (skey: string): SpaceName => spaceUriOf(COMMUNITY, 'com.example.room' as Nsid, skey)
/** The spaces that random graphs are made of. */
export const SPACES: readonly SpaceUri[] = ['s', 't', 'u', 'v', 'w'].map((skey) => spaceNamed(skey).uri)

/** A few actions of each kind are enough, and make it likely that two edges meet. */
export const FEW_ACTIONS = ['read', 'write', 'members.add', 'members.remove', 'role.assign', 'audit.read'] as const
const ROLE_NAMES = ['one', 'two', 'three', 'four', 'owner'] as const
/** Every graph is looked at in this millisecond; its edges begin and end around it. */
export const NOW = 5

export const anyRoles: fc.Arbitrary<Roles> = fc
  .tuple(...ROLE_NAMES.map(() => fc.subarray([...FEW_ACTIONS] as Action[])))
  .map((sets) => new Map(ROLE_NAMES.map((name, at) => [name, new Set(sets[at] ?? [])])))

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

const anyNestedEdge = fc
  .tuple(anySpace, anySpace, anyRole, fc.option(fc.constantFrom(...FEW_ACTIONS), { freq: 3 }), anyTime)
  .map(([into, from, role, holding, time]): Edge => ({ into, from, role, holding, ...time }))

export const anyNestedEdges: fc.Arbitrary<readonly Edge[]> = fc.array(anyNestedEdge, { maxLength: 9 })

export const anyFacts: fc.Arbitrary<StandingFacts> = fc
  .tuple(anyOwnEdges(PERSON), anyNestedEdges, anyRoles)
  .map(([own, nested, roles]) => ({ own, nested, roles, nowMs: NOW }))

/** Space → actions, by the definition read as a relation: apply every edge to everything at once until nothing is new. */
export function standingByDefinition(facts: StandingFacts): Map<SpaceUri, Set<Action>> {
  const { own, nested, roles, nowMs } = facts
  const begun = (edge: Edge) => edge.sinceMs === null || edge.sinceMs <= nowMs
  const ended = (edge: Edge) => edge.untilMs !== null && edge.untilMs <= nowMs
  const counts = (edge: Edge) => begun(edge) && !ended(edge) && roles.has(edge.role)
  const tuplesOf = (edge: Edge) => ['stands', ...(roles.get(edge.role) ?? [])].map((what) => `${edge.into} ${what}`)

  let known: ReadonlySet<string> = new Set()
  for (;;) {
    const passes = (edge: Edge) => known.has(`${edge.from} ${edge.holding ?? 'stands'}`)
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
