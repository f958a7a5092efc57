/**
 * The verdicts, held against a slow and plain reading of the rules on random communities. `test/rules/deciding.test.ts` tells them in
 * examples.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import { decideAct, decideBan, decideLeave, decidePut, decideRemove, decideUnban } from '../../src/policy/decide.ts'
import { decideDelete, decideNest, decideUnnest, ownersEdge } from '../../src/policy/decide-spaces.ts'
import { ACTIONS, type Action, isManaging, OWNER_MARK, type Roles, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import type { StandingFacts } from '../../src/policy/standing.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import {
  ACTOR,
  anyLists,
  anyNestedEdge,
  anyNestedEdges,
  anyOwnEdge,
  anyOwnEdges,
  anyRoles,
  anyRolesOf,
  COMMUNITY,
  FEW_ACTIONS,
  factsOfLists,
  given,
  type Lists,
  NOW,
  PERSON,
  SPACES,
  spaceNamed,
  standingByDefinition,
  type Told,
} from '../kit/graphs.ts'

const SEED = 20_261_202
/** On a machine that is busy with other things. */
const PATIENCE = 600_000

type Verdict = 'ok' | RefusalCode
const verdict = (decision: Decision<unknown>): Verdict => (decision.ok ? 'ok' : decision.code)

// --- a whole change of a roster, and what a plain reading of the rules says of it ---

interface Change {
  readonly facts: Told
  readonly actor: Did
  readonly space: SpaceUri
  readonly before: Edge | null
  readonly after: Edge | null
}

const ROSTER = SPACES[0] as SpaceUri
/** Where power may be: the spaces of random graphs, and the community's roster. */
const PLACES: readonly SpaceUri[] = [...SPACES, rosterOf(COMMUNITY).uri]

const anyChange: fc.Arbitrary<Change> = fc
  .record({
    nested: anyNestedEdges,
    roles: anyRoles,
    actorsOwn: anyOwnEdges(ACTOR),
    personsOwn: anyOwnEdges(PERSON),
    put: anyOwnEdge(PERSON),
    isRemoval: fc.boolean(),
    isSelf: fc.boolean(),
    isReplacement: fc.boolean(),
    isByChief: fc.boolean(),
    otherOwners: fc.nat(1),
  })
  .map(
    ({ nested, roles: few, actorsOwn, personsOwn, put, isRemoval, isSelf, isReplacement, isByChief, otherOwners }) => {
      // Half the time the actor may do anything where the change is made, so that it is judged by where it leads.
      const roles = new Map([...few, ['chief', new Set<Action>(FEW_ACTIONS)]])
      const chief = { ...put, from: ACTOR, role: 'chief', sinceMs: null, untilMs: null }
      const of = (own: readonly Edge[]): Lists => ({ own, nested, roles, nowMs: NOW })
      const moved = personsOwn.map((edge, nth) => (isReplacement && nth === 0 ? { ...edge, into: put.into } : edge))
      const person = of(moved.filter((edge, nth) => moved.findIndex(({ into }) => into === edge.into) === nth))
      const actors = isByChief ? [...actorsOwn.filter(({ into }) => into !== put.into), chief] : actorsOwn
      const facts = { actor: isSelf ? person : of(actors), person, roster: ROSTER, otherOwners }
      const before = person.own.find((edge) => edge.into === put.into) ?? null
      return { facts, actor: isSelf ? PERSON : ACTOR, space: put.into, before, after: isRemoval ? null : put }
    },
  )
  .filter(({ before, after }) => before !== null || after !== null)

function decide({ facts, actor, space, before, after }: Change): Decision<unknown> {
  if (after !== null) return decidePut(given(facts), actor, { space, person: PERSON, before, after })
  if (before !== null) return decideRemove(given(facts), actor, { space, person: PERSON, before, after })
  throw new Error('no change at all')
}

const managing = (actions: Iterable<Action> | undefined): Action[] => [...(actions ?? [])].filter(isManaging)
const isOwner = (edge: Edge | null): boolean =>
  edge !== null && edge.role === 'owner' && edge.sinceMs === null && edge.untilMs === null
const isSame = (a: Edge | null, b: Edge | null): boolean =>
  a !== null && b !== null && a.role === b.role && a.sinceMs === b.sinceMs && a.untilMs === b.untilMs

/** From now until every edge has begun and ended for good. */
const INSTANTS = Array.from({ length: 10 - NOW + 1 }, (_, later) => NOW + later)
const countsAt =
  (nowMs: number) =>
  ({ sinceMs, untilMs }: Edge): boolean =>
    (sinceMs ?? 0) <= nowMs && nowMs < (untilMs ?? 100)
const everCounts = (edge: Edge): boolean => INSTANTS.some((nowMs) => countsAt(nowMs)(edge))

/** What an edge is a premise for, as text: standing in its space, and each action there. */
const premisesOf = (edge: Edge, roles: Roles): string[] =>
  roles.has(edge.role) ? ['stands', ...(roles.get(edge.role) ?? [])].map((what) => `${edge.into} ${what}`) : []

/** Whether an entry lets through everybody whom the other one does. */
const asksNoMore = (one: Edge, other: Edge) => one.holding === null || one.holding === other.holding

/** Space → actions that `entry` leads to by premises that `other` doesn't have whenever the entry counts. */
function givenByTheBook({ nested, roles, ended = [] }: Lists, entry: Edge | null, other: Edge | null) {
  const isAlways = (one: Edge, whenever: Edge) =>
    asksNoMore(one, whenever) && INSTANTS.every((at) => !countsAt(at)(whenever) || countsAt(at)(one))
  const shared = entry && other && isAlways(other, entry) ? premisesOf(other, roles) : []
  const known = new Set<string>()
  const learn = (edge: Edge) => {
    if (ended.includes(edge.into)) return
    for (const premise of premisesOf(edge, roles)) if (!shared.includes(premise)) known.add(premise)
  }
  if (entry && everCounts(entry)) learn(entry)
  for (let size = -1; size < known.size; ) {
    size = known.size
    for (const edge of nested)
      if (known.has(`${edge.from} ${edge.holding ?? 'stands'}`) && everCounts(edge)) learn(edge)
  }
  const actionsIn = (space: SpaceUri) => ACTIONS.filter((action) => known.has(`${space} ${action}`))
  return new Map(PLACES.map((space) => [space, actionsIn(space)]))
}

const standingOverEdges = (facts: Lists, isCounted: (edge: Edge) => boolean) => {
  const open = (edges: readonly Edge[]) =>
    edges.filter(isCounted).map((edge) => ({ ...edge, sinceMs: null, untilMs: null }))
  return standingByDefinition({ ...facts, own: open(facts.own), nested: open(facts.nested) })
}

/** Everything the rules say, premise by premise, with every term looked up millisecond by millisecond. */
function verdictByTheBook({ facts, actor, space, before, after }: Change): Verdict {
  const actors = standingByDefinition(facts.actor)
  const isSelf = actor === PERSON
  const power = managing(facts.actor.roles.get(after?.role ?? ''))
  const replaces = before !== null && !isSame(before, after)
  const needed = after === null ? 'members.remove' : power.length > 0 || replaces ? 'role.assign' : 'members.add'
  const isLeaving = isSelf && after === null
  if (!isLeaving && !actors.get(space)?.has(needed)) return actors.has(space) ? 'Forbidden' : 'NotFound'

  const term = INSTANTS.filter((nowMs) => nowMs === NOW || nowMs < (after?.untilMs ?? 100))
  const lasting = standingOverEdges(facts.actor, (edge) => term.every((nowMs) => countsAt(nowMs)(edge)))
  const held = standingOverEdges(facts.person, everCounts)
  const given = givenByTheBook(facts.person, after, before)
  const taken = givenByTheBook(facts.person, before, after)
  for (const place of SPACES) {
    if (managing(given.get(place)).some((action) => !lasting.get(place)?.has(action))) return 'EscalationDenied'
    const isTakenFrom = !isSelf && taken.get(place)?.length !== 0
    const isEqual = managing(held.get(place)).every((action) => actors.get(place)?.has(action))
    if (isTakenFrom && !isEqual) return 'EscalationDenied'
  }
  return space === facts.roster && isOwner(before) && !isOwner(after) && facts.otherOwners === 0 ? 'LastOwner' : 'ok'
}

/** The person's actions in a space at an instant, with `entry` in the place of what they have there. */
function actionsAt({ facts, before }: Change, others: readonly Edge[], entry: Edge | null, nowMs: number) {
  const own = [...others.filter((edge) => edge !== before), ...(entry ? [entry] : [])]
  const standing = standingByDefinition({ ...facts.person, own, nowMs })
  return (place: SpaceUri): ReadonlySet<Action> => standing.get(place) ?? new Set()
}

describe(`a change of a roster (seed ${SEED})`, () => {
  it('is judged as the rules say, wherever it reaches and whenever it takes effect', () => {
    const seen: Partial<Record<Verdict, number>> = {}
    fc.assert(
      fc.property(anyChange, (change) => {
        const expected = verdictByTheBook(change)
        expect(verdict(decide(change))).toBe(expected)
        seen[expected] = (seen[expected] ?? 0) + 1
      }),
      { seed: SEED, numRuns: 20_000 },
    )
    // Each verdict must have come up often enough to have been tried in many shapes.
    const often = { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 200, LastOwner: 20 } as const
    for (const [code, times] of Object.entries(often)) {
      expect(seen[code as keyof typeof often], code).toBeGreaterThan(times)
    }
  })

  it('never lets a power come to be, at any instant, that its actor lacks at that instant', () => {
    let gained = 0
    fc.assert(
      fc.property(anyChange, (change) => {
        if (!decide(change).ok) return
        const { facts, before, after } = change
        for (const nowMs of INSTANTS) {
          const actors = standingByDefinition({ ...facts.actor, nowMs })
          // The person's other entries may fall before this one does: it must not rely on them.
          for (const others of [facts.person.own, []]) {
            const [then, now] = [before, after].map((entry) => actionsAt(change, others, entry, nowMs))
            for (const place of SPACES) {
              const gains = managing(now?.(place)).filter((action) => !then?.(place).has(action))
              expect(gains.filter((action) => !actors.get(place)?.has(action))).toEqual([])
              gained += gains.length
            }
          }
        }
      }),
      { seed: SEED, numRuns: 6_000 },
    )
    expect(gained).toBeGreaterThan(200)
  })

  it('never takes anything, at any instant, from somebody else who has a power there that its actor lacks', () => {
    let taken = 0
    fc.assert(
      fc.property(anyChange, (change) => {
        if (change.actor === PERSON || !decide(change).ok) return
        const { facts, before, after } = change
        const actors = standingByDefinition(facts.actor)
        for (const nowMs of INSTANTS) {
          const [then, now] = [before, after].map((entry) => actionsAt(change, facts.person.own, entry, nowMs))
          for (const place of SPACES) {
            const had = then?.(place) ?? new Set()
            if (had.isSubsetOf(now?.(place) ?? new Set())) continue
            expect(managing(had).filter((action) => !actors.get(place)?.has(action))).toEqual([])
            taken++
          }
        }
      }),
      { seed: SEED, numRuns: 6_000 },
    )
    expect(taken).toBeGreaterThan(200)
  })

  it('is bounded no more than that where nothing is timed and the person has nothing else', () => {
    const open = (edges: readonly Edge[]) => edges.map((edge) => ({ ...edge, sinceMs: null, untilMs: null }))
    const untimed = (facts: Lists, own: readonly Edge[]): Lists => ({
      ...facts,
      own: open(own),
      nested: open(facts.nested),
    })
    let denied = 0
    fc.assert(
      fc.property(anyChange, fc.boolean(), (change, isAdding) => {
        const [edge] = open([change.after ?? change.before].filter((one) => one !== null))
        if (!edge || change.actor === PERSON) return
        const actor = untimed(change.facts.actor, change.facts.actor.own)
        const person = untimed(change.facts.person, isAdding ? [] : [edge])
        const [before, after] = isAdding ? [null, edge] : [edge, null]
        const decision = decide({ ...change, facts: { ...change.facts, actor, person }, before, after })
        const actors = standingByDefinition(actor)
        const entry = standingByDefinition({ ...person, own: [edge] })
        const exceeds = SPACES.some((place) =>
          managing(entry.get(place)).some((action) => !actors.get(place)?.has(action)),
        )
        if (verdict(decision) === 'EscalationDenied') denied++
        if (decision.ok || verdict(decision) === 'EscalationDenied') expect(!decision.ok).toBe(exceeds)
      }),
      { seed: SEED, numRuns: 10_000 },
    )
    expect(denied).toBeGreaterThan(50)
  })

  it('by somebody who is let do it shows the edges that let them', () => {
    fc.assert(
      fc.property(anyChange, (change) => {
        const decision = decide(change)
        if (!decision.ok) return
        const [first] = decision.because
        expect(first?.rule === 'edge' || (first?.rule === 'self' && change.actor === PERSON)).toBe(true)
        if (first?.rule === 'edge') expect(decision.because.at(-1)?.from).toBe(change.actor)
      }),
      { seed: SEED, numRuns: 5_000 },
    )
  })

  it('is always open to whoever leaves, but for the last owner', () => {
    const leaving = anyChange.filter(({ before }) => before !== null).map((change) => ({ ...change, after: null }))
    fc.assert(
      fc.property(leaving, (change) => {
        const facts = { ...change.facts, actor: change.facts.person }
        const isLast = change.space === ROSTER && isOwner(change.before) && facts.otherOwners === 0
        expect(verdict(decide({ ...change, facts, actor: PERSON }))).toBe(isLast ? 'LastOwner' : 'ok')
      }),
      { seed: SEED, numRuns: 3_000 },
    )
  })
})

describe(`an act in a space (seed ${SEED})`, () => {
  it('is permitted to exactly those who have the action, and hidden from those who do not stand there', () => {
    fc.assert(
      fc.property(anyLists, (facts) => {
        const standing = standingByDefinition(facts)
        for (const space of SPACES) {
          for (const action of FEW_ACTIONS) {
            const decision = decideAct(factsOfLists(facts), PERSON, action, space)
            const otherwise = standing.has(space) ? 'Forbidden' : 'NotFound'
            expect(verdict(decision)).toBe(standing.get(space)?.has(action) ? 'ok' : otherwise)
            if (decision.ok) expect(decision.value).toMatchObject({ action, actor: PERSON, because: decision.because })
          }
        }
      }),
      { seed: SEED, numRuns: 2_000 },
    )
  })
})

// --- changes to what spaces are to each other, and to who is kept out ---

const roster = rosterOf(COMMUNITY).uri

/** With these every verdict has somebody to say yes to. */
const POWERS = [...FEW_ACTIONS, 'space.nest', 'members.ban', 'space.delete', 'members.read', OWNER_MARK] as const

interface Affair {
  readonly actor: Lists
  readonly person: Lists
  /** An edge that is there, or not yet. */
  readonly edge: Edge
  readonly before: Edge | null
  readonly isWhole: boolean
  readonly otherOwners: number
}

const inRoster = (from: Did, role: string): Edge => ({
  ...{ into: roster, from, role, holding: null, sinceMs: null, untilMs: null },
})

/** The last of the random spaces stands for the roster. */
const movedToRoster = (edge: Edge): Edge => {
  const moved = <T extends Did | SpaceUri>(name: T) => (name === SPACES.at(-1) ? roster : name)
  return { ...edge, into: moved(edge.into), from: moved(edge.from) }
}

const anyAffair: fc.Arbitrary<Affair> = fc
  .record({
    nested: anyNestedEdges,
    few: anyRolesOf(POWERS.slice(0, -1)),
    actorsOwn: anyOwnEdges(ACTOR),
    personsOwn: anyOwnEdges(PERSON),
    edge: anyNestedEdge,
    isKept: fc.boolean(),
    isByChief: fc.boolean(),
    ownersOf: fc.subarray([ACTOR, PERSON]),
    bans: fc.array(fc.tuple(fc.constantFrom(...SPACES, COMMUNITY), fc.option(fc.nat(9), { freq: 1 })), {
      maxLength: 1,
    }),
    left: fc.array(fc.constantFrom(...SPACES), { maxLength: 1 }),
    ended: fc.array(fc.constantFrom(...SPACES.slice(0, -1)), { maxLength: 1 }),
    ...{ isWhole: fc.boolean(), otherOwners: fc.nat(1) },
  })
  .map((made) => {
    const { few, isKept, isByChief, ownersOf, bans, left, ended } = made
    const edge = movedToRoster(made.edge)
    const roles = new Map<string, ReadonlySet<Action>>([
      ...few,
      ['owner', new Set<Action>(POWERS)],
      ['chief', new Set<Action>(POWERS.slice(0, -1))],
    ])
    const isOther = (one: Edge) => one.into !== edge.into || one.from !== edge.from || one.role !== edge.role
    const before = isKept ? { ...edge, ...pickOf(made.nested) } : null
    const others = made.nested.map(movedToRoster).filter(isOther)
    const of = (did: Did, own: readonly Edge[], more: Partial<Lists>): Lists => {
      const rostered = ownersOf.includes(did) ? [inRoster(did, 'owner')] : []
      const rest = own.map(movedToRoster).filter((one) => rostered.length === 0 || one.into !== roster)
      const nested = before ? [...others, before] : others
      return { own: [...rest, ...rostered], nested, roles, nowMs: NOW, ended, ...more }
    }
    const chief = { ...edge, from: ACTOR, role: 'chief', holding: null, sinceMs: null, untilMs: null }
    const chiefs = (own: readonly Edge[]) => [...own.filter(({ into }) => into !== made.edge.into), chief]
    const actorsOwn =
      isByChief && !(ownersOf.includes(ACTOR) && edge.into === roster) ? chiefs(made.actorsOwn) : made.actorsOwn
    const actor = of(ACTOR, actorsOwn, {})
    const banned = bans.map(([scope, untilMs]) => ({ scope, untilMs }))
    const person = of(PERSON, made.personsOwn, { bans: banned, left })
    return { actor, person, edge, before, isWhole: made.isWhole, otherOwners: made.otherOwners }
  })

/** The holding and time of another edge, so that an entry differs from the one in its place in something. */
const pickOf = ([one]: readonly Edge[]): Partial<Edge> =>
  one ? { holding: one.holding, sinceMs: one.sinceMs, untilMs: one.untilMs } : {}

type Powers = ReadonlyMap<SpaceUri, ReadonlySet<Action> | readonly Action[]>

/** Whether there is a managing action among `powers` that isn't in the same space of `standing`. */
const exceeds = (powers: Powers, standing: ReadonlyMap<SpaceUri, ReadonlySet<Action>>): boolean =>
  [...powers].some(([space, actions]) => managing(actions).some((action) => !standing.get(space)?.has(action)))

const lastingByTheBook = (actor: Lists, untilMs: number | null) => {
  const term = INSTANTS.filter((nowMs) => nowMs === NOW || nowMs < (untilMs ?? 100))
  return standingOverEdges(actor, (edge) => term.every((nowMs) => countsAt(nowMs)(edge)))
}
const everByTheBook = (lists: Lists) => standingOverEdges({ ...lists, bans: [], left: [] }, everCounts)

/** No when the actor lacks the action there. */
function plainNo(actor: Lists, action: Action, space: SpaceUri): Verdict | null {
  const standing = standingByDefinition(actor)
  if (standing.get(space)?.has(action)) return null
  return standing.has(space) ? 'Forbidden' : 'NotFound'
}

function nestByTheBook({ actor, edge, before }: Affair): Verdict {
  const now = standingByDefinition(actor)
  const no = plainNo(actor, 'space.nest', edge.into)
  if (no) return no
  const carriesPower = managing(actor.roles.get(edge.role)).length > 0
  if (carriesPower && !now.get(roster)?.has(OWNER_MARK)) return 'EscalationDenied'
  const isOver =
    exceeds(givenByTheBook(actor, edge, before), lastingByTheBook(actor, edge.untilMs)) ||
    exceeds(givenByTheBook(actor, before, edge), now)
  return isOver ? 'EscalationDenied' : 'ok'
}

function unnestByTheBook({ actor, before }: Affair & { before: Edge }): Verdict {
  const no = plainNo(actor, 'space.nest', before.into)
  if (no) return no
  return exceeds(givenByTheBook(actor, before, null), standingByDefinition(actor)) ? 'EscalationDenied' : 'ok'
}

function deleteByTheBook({ actor, edge: { into: space } }: Affair): Verdict {
  const no = plainNo(actor, 'space.delete', space)
  if (no) return no
  const out = actor.nested.filter(({ from }) => from === space)
  const now = standingByDefinition(actor)
  return out.some((edge) => exceeds(givenByTheBook(actor, edge, null), now)) ? 'EscalationDenied' : 'ok'
}

/** Whether a ban keeps the person from power that the actor lacks, in a space where it takes something from them. */
function isAbove({ actor, person, edge, isWhole }: Affair): boolean {
  const ever = everByTheBook(person)
  const without = everByTheBook({ ...person, ended: [...(person.ended ?? []), edge.into] })
  const loses = ([space, actions]: [SpaceUri, Set<Action>]) =>
    isWhole || !without.has(space) || [...actions].some((action) => !without.get(space)?.has(action))
  return exceeds(new Map([...ever].filter(loses)), standingByDefinition(actor))
}

function banByTheBook(affair: Affair): Verdict {
  const { actor, person, edge, isWhole, otherOwners } = affair
  const no = plainNo(actor, 'members.ban', isWhole ? roster : edge.into)
  if (no) return no
  if (isAbove(affair)) return 'EscalationDenied'
  const isOwned = person.own.some((own) => own.into === roster && isOwner(own))
  return isWhole && isOwned && otherOwners === 0 ? 'LastOwner' : 'ok'
}

function unbanByTheBook(affair: Affair): Verdict {
  const { actor, edge, isWhole } = affair
  if (standingByDefinition(actor).get(roster)?.has(OWNER_MARK)) return 'ok'
  const no = plainNo(actor, 'members.ban', isWhole ? roster : edge.into)
  return no ?? (isAbove(affair) ? 'EscalationDenied' : 'ok')
}

function leaveByTheBook({ person, edge, otherOwners }: Affair): Verdict {
  if (!standingByDefinition(person).has(edge.into)) return 'NotFound'
  const isOwned = person.own.some((own) => own.into === roster && isOwner(own))
  return edge.into === roster && isOwned && otherOwners === 0 ? 'LastOwner' : 'ok'
}

const scopeOf = ({ isWhole, edge }: Affair): Did | SpaceUri => (isWhole ? COMMUNITY : edge.into)

interface Kind {
  readonly decide: (affair: Affair) => Decision<unknown>
  readonly byTheBook: (affair: Affair) => Verdict
  /** What is there for the person afterwards. */
  readonly after: (person: Lists, affair: Affair) => Lists
  /** Each verdict must come up more often than this. */
  readonly least: Partial<Record<Verdict, number>>
}

const hasBefore = (affair: Affair): affair is Affair & { before: Edge } => affair.before !== null
const replaced = (person: Lists, before: Edge | null, after: Edge | null): Lists => ({
  ...person,
  nested: [...person.nested.filter((edge) => edge !== before), ...(after ? [after] : [])],
})

const KINDS: Readonly<Record<string, Kind>> = {
  nesting: {
    decide: ({ actor, edge, before }) => decideNest(factsOfLists(actor), ACTOR, { before, after: edge }),
    byTheBook: nestByTheBook,
    after: (person, { before, edge }) => replaced(person, before, edge),
    least: { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 200 },
  },
  unnesting: {
    decide: (affair) => decideUnnest(factsOfLists(affair.actor), ACTOR, affair.before ?? affair.edge),
    byTheBook: (affair) => unnestByTheBook(hasBefore(affair) ? affair : { ...affair, before: affair.edge }),
    after: (person, { before }) => replaced(person, before, null),
    least: { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 200 },
  },
  'the end of a space': {
    decide: ({ actor, edge }) => decideDelete(factsOfLists(actor), ACTOR, edge.into),
    byTheBook: deleteByTheBook,
    after: (person, { edge }) => ({ ...person, ended: [...(person.ended ?? []), edge.into] }),
    least: { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 100 },
  },
  'a ban': {
    decide: (affair) => decideBan(given({ ...affair, roster }), ACTOR, scopeOf(affair)),
    byTheBook: banByTheBook,
    after: (person, affair) => ({
      ...person,
      bans: [...(person.bans ?? []), { scope: scopeOf(affair), untilMs: null }],
    }),
    least: { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 200, LastOwner: 50 },
  },
  'the end of a ban': {
    decide: (affair) => decideUnban(given({ ...affair, roster }), ACTOR, scopeOf(affair)),
    byTheBook: unbanByTheBook,
    after: (person, affair) => ({
      ...person,
      bans: person.bans?.filter(({ scope }) => scope !== scopeOf(affair)) ?? [],
    }),
    least: { ok: 200, Forbidden: 200, NotFound: 200, EscalationDenied: 200 },
  },
  leaving: {
    decide: ({ person, edge, otherOwners }) =>
      decideLeave({ person: factsOfLists(person), roster, otherOwners }, PERSON, edge.into),
    byTheBook: leaveByTheBook,
    after: (person, { edge }) => ({
      ...person,
      own: person.own.filter(({ into }) => into !== edge.into),
      left: [...(person.left ?? []), edge.into],
    }),
    least: { ok: 200, NotFound: 200, LastOwner: 20 },
  },
}

describe.each(Object.entries(KINDS))(`%s (seed ${SEED})`, (name, { decide: decideOne, byTheBook, after, least }) => {
  it('is judged as the rules say, wherever it reaches and whenever it takes effect', { timeout: PATIENCE }, () => {
    const seen: Partial<Record<Verdict, number>> = {}
    fc.assert(
      fc.property(anyAffair, (affair) => {
        const expected = byTheBook(affair)
        expect(verdict(decideOne(affair))).toBe(expected)
        seen[expected] = (seen[expected] ?? 0) + 1
      }),
      { seed: SEED, numRuns: 8_000 },
    )
    for (const [code, times] of Object.entries(least)) expect(seen[code as Verdict], code).toBeGreaterThan(times)
  })

  it('neither gives nor takes a power, at any instant, that its actor lacks', { timeout: PATIENCE }, () => {
    const met = { gains: 0, losses: 0 }
    fc.assert(
      fc.property(anyAffair, (affair) => {
        if (!decideOne(affair).ok) return
        const actorsNow = standingByDefinition(affair.actor)
        // An owner lifts every ban, also where they are kept out themself. Who leaves takes from themself, and a space ends for all.
        const isFreeGift = name === 'the end of a ban' && actorsNow.get(roster)?.has(OWNER_MARK) === true
        const isFreeLoss = (place: SpaceUri) =>
          name === 'leaving' || (name === 'the end of a space' && place === affair.edge.into)
        for (const nowMs of INSTANTS) {
          const actors = name === 'the end of a ban' ? actorsNow : standingByDefinition({ ...affair.actor, nowMs })
          const then = standingByDefinition({ ...affair.person, nowMs })
          const now = standingByDefinition({ ...after(affair.person, affair), nowMs })
          for (const place of PLACES) {
            const [had, has] = [managing(then.get(place)), managing(now.get(place))]
            const gains = has.filter((action) => !had.includes(action))
            const losses = had.filter((action) => !has.includes(action))
            const excess = isFreeGift ? [] : gains.filter((action) => !actors.get(place)?.has(action))
            const robbery = isFreeLoss(place) ? [] : losses.filter((action) => !actorsNow.get(place)?.has(action))
            if (excess.length + robbery.length > 0) expect.fail(`at ${nowMs} in ${place}: +${excess} -${robbery}`)
            met.gains += gains.length
            met.losses += losses.length
          }
        }
      }),
      { seed: SEED, numRuns: 5_000 },
    )
    expect(Math.max(met.gains, met.losses)).toBeGreaterThan(50)
  })
})

// --- enemies at work: whatever is tried, by whomever, in whatever order ---

const [PUB, VAULT, CREW, WATCH] = ['pub', 'vault', 'crew', 'watch'].map((skey) => spaceNamed(skey).uri) as [
  SpaceUri,
  SpaceUri,
  SpaceUri,
  SpaceUri,
]
const VILLAGE: readonly SpaceUri[] = [roster, PUB, VAULT, CREW, WATCH]
const VILLAGERS: readonly Did[] = ['f', 'g', 'h', 'i'].map((letter) => COMMUNITY.replaceAll('c', letter) as Did)

/** A whole community in one instant. */
interface Village {
  readonly own: readonly Edge[]
  readonly nested: readonly Edge[]
  readonly bans: readonly { readonly did: Did; readonly scope: SpaceUri | Did; readonly untilMs: number | null }[]
  readonly left: readonly { readonly did: Did; readonly space: SpaceUri }[]
  readonly ended: readonly SpaceUri[]
  readonly nowMs: number
}

const listsOf = ({ own, nested, bans, left, ended, nowMs }: Village, did: Did): Lists => ({
  own: own.filter(({ from }) => from === did),
  bans: bans.filter((ban) => ban.did === did),
  left: left.filter((gone) => gone.did === did).map(({ space }) => space),
  ...{ nested, ended, nowMs, roles: SHIPPED_ROLES },
})

/** Those who own the village now and for good. */
const ownersOf = ({ own, bans, nowMs }: Village): readonly Did[] =>
  own
    .filter((edge) => edge.into === roster && isOwner(edge))
    .map(({ from }) => from as Did)
    .filter(
      (did) =>
        !bans.some(
          (ban) => ban.did === did && ban.scope === COMMUNITY && (ban.untilMs === null || nowMs < ban.untilMs),
        ),
    )

interface Attempt {
  readonly does: 'put' | 'remove' | 'nest' | 'unnest' | 'ban' | 'unban' | 'leave' | 'delete' | 'wait'
  readonly actor: Did
  readonly person: Did
  readonly space: SpaceUri
  readonly other: SpaceUri
  readonly role: string
  readonly holding: Action | null
  /** From now on. */
  readonly sinceIn: number | null
  readonly untilIn: number | null
  readonly isWhole: boolean
  /** Of what is there, which one; where that is to be changed. */
  readonly nth: number
}

const anyAttempt: fc.Arbitrary<Attempt> = fc.record({
  does: fc.constantFrom(
    ...(['put', 'put', 'remove', 'nest', 'nest', 'unnest', 'ban', 'unban', 'leave', 'delete', 'wait'] as const),
  ),
  actor: fc.constantFrom(...VILLAGERS),
  person: fc.constantFrom(...VILLAGERS),
  space: fc.constantFrom(...VILLAGE),
  other: fc.constantFrom(...VILLAGE),
  role: fc.constantFrom(...SHIPPED_ROLES.keys()),
  holding: fc.option(fc.constantFrom<Action>('read', 'members.read', 'members.ban', 'role.assign'), { freq: 1 }),
  sinceIn: fc.option(fc.integer({ min: -1, max: 3 }), { freq: 1 }),
  untilIn: fc.option(fc.integer({ min: 4, max: 7 }), { freq: 1 }),
  ...{ isWhole: fc.boolean(), nth: fc.nat(59) },
})

/** The attempt upon something that is there, where chance alone would rarely meet it. */
function aimed(village: Village, attempt: Attempt): Attempt {
  const { does, nth } = attempt
  const among = <T>(rows: readonly T[]): T | undefined => rows[nth % rows.length]
  const entry = among(village.own)
  const edge = among(village.nested.filter(({ role }) => role !== 'owner'))
  const ban = among(village.bans)
  if (does === 'remove' && entry) return { ...attempt, person: entry.from as Did, space: entry.into }
  if ((does === 'unnest' || (does === 'nest' && nth % 2 === 0)) && edge) {
    return { ...attempt, space: edge.into, other: edge.from as SpaceUri, role: edge.role }
  }
  if (does !== 'unban' || !ban) return attempt
  return ban.scope === COMMUNITY
    ? { ...attempt, person: ban.did, isWhole: true }
    : { ...attempt, person: ban.did, isWhole: false, space: ban.scope as SpaceUri }
}

/** The village after an attempt; null when it was refused. What no caller can ask for at all is refused here, as the methods do. */
function attempted(village: Village, attempt: Attempt): Village | null {
  const { does, actor, person, space, other, role, holding, sinceIn, untilIn, isWhole } = attempt
  const { nowMs, own, nested, bans, left, ended } = village
  if (does === 'wait') return { ...village, nowMs: nowMs + 1 }
  const [actors, persons] = [actor, person].map((did) => factsOfLists(listsOf(village, did))) as [
    StandingFacts,
    StandingFacts,
  ]
  const otherOwners = ownersOf(village).filter((did) => did !== (does === 'leave' ? actor : person)).length
  const facts = { actor: actors, person: persons, roster, otherOwners }
  const before = own.find((edge) => edge.into === space && edge.from === person) ?? null
  const nestedBefore = nested.find((edge) => edge.into === space && edge.from === other && edge.role === role) ?? null
  const term = {
    sinceMs: sinceIn === null ? null : nowMs + sinceIn,
    untilMs: untilIn === null ? null : nowMs + untilIn,
  }
  const scope = isWhole ? COMMUNITY : space
  const without = <T>(rows: readonly T[], gone: T | null | undefined) => rows.filter((row) => row !== gone)
  const isTimed = term.sinceMs !== null || term.untilMs !== null
  if (ended.includes(space)) return null
  switch (does) {
    case 'put': {
      if (role === 'owner' && (space !== roster || isTimed)) return null
      const after = { into: space, from: person, role, holding: null, ...term }
      if (!decidePut(facts, actor, { space, person, before, after }).ok) return null
      const still = left.filter((gone) => gone.did !== person || gone.space !== space)
      return { ...village, own: [...without(own, before), after], left: still }
    }
    case 'remove':
      if (!before || !decideRemove(facts, actor, { space, person, before, after: null }).ok) return null
      return { ...village, own: without(own, before) }
    case 'nest': {
      if (role === 'owner' || space === other || ended.includes(other)) return null
      const after = { into: space, from: other, role, holding, ...term }
      if (!decideNest(actors, actor, { before: nestedBefore, after }).ok) return null
      return { ...village, nested: [...without(nested, nestedBefore), after] }
    }
    case 'unnest':
      if (role === 'owner' || !nestedBefore || !decideUnnest(actors, actor, nestedBefore).ok) return null
      return { ...village, nested: without(nested, nestedBefore) }
    case 'ban': {
      const isOwned = own.some((edge) => edge.from === person && edge.into === roster && isOwner(edge))
      if (actor === person || scope === roster || (!isWhole && isOwned)) return null
      if (!decideBan(facts, actor, scope).ok) return null
      const others = bans.filter((ban) => ban.did !== person || ban.scope !== scope)
      return { ...village, bans: [...others, { did: person, scope, untilMs: term.untilMs }] }
    }
    case 'unban':
      if (!decideUnban(facts, actor, scope).ok) return null
      return { ...village, bans: bans.filter((ban) => ban.did !== person || ban.scope !== scope) }
    case 'leave': {
      if (!decideLeave({ person: actors, roster, otherOwners }, actor, space).ok) return null
      const stays = own.filter((edge) => edge.from !== actor || edge.into !== space)
      return { ...village, own: stays, left: [...left, { did: actor, space }] }
    }
    case 'delete':
      if (space === roster || !decideDelete(actors, actor, space).ok) return null
      return { ...village, ended: [...ended, space] }
  }
}

/** What somebody may come to have by the edges that there are, whatever keeps them out today. */
const everIn = (village: Village, did: Did) => {
  const open = (edges: readonly Edge[]) =>
    edges
      .filter(({ untilMs }) => untilMs === null || village.nowMs < untilMs)
      .map((edge) => ({ ...edge, sinceMs: null, untilMs: null }))
  const { own, nested } = listsOf(village, did)
  return standingByDefinition({ ...listsOf(village, did), own: open(own), nested: open(nested), bans: [], left: [] })
}

type Powerful = ReadonlyMap<SpaceUri, ReadonlySet<Action>>

/** Text for each power that one standing has beyond another, and beyond that of the actor. */
const beyond = (more: Powerful, less: Powerful, actors: Powerful): string[] =>
  [...more].flatMap(([space, actions]) =>
    managing(actions)
      .filter((action) => !less.get(space)?.has(action) && !actors.get(space)?.has(action))
      .map((action) => `${action} in ${space}`),
  )

const anyVillage: fc.Arbitrary<Village> = fc
  .tuple(
    fc.array(
      fc.tuple(
        fc.constantFrom(...VILLAGERS),
        fc.constantFrom(...VILLAGE),
        fc.constantFrom('admin', 'moderator', 'member', 'reader'),
      ),
      {
        ...{ minLength: 3, maxLength: 8, size: 'max' },
      },
    ),
    fc.array(
      fc.tuple(
        fc.constantFrom(...VILLAGE),
        fc.constantFrom(...VILLAGE),
        fc.constantFrom('admin', 'moderator', 'member', 'reader'),
        fc.option(fc.constantFrom<Action>('read', 'members.ban'), { freq: 1 }),
      ),
      { minLength: 1, maxLength: 4 },
    ),
  )
  .map(([people, edges]) => {
    const [founder] = VILLAGERS as [Did]
    const endless = { sinceMs: null, untilMs: null }
    const own = people
      .map(([from, into, role]) => ({ into, from, role, holding: null, ...endless }))
      .filter(({ from, into }, nth, all) => all.findIndex((one) => one.from === from && one.into === into) === nth)
      .filter(({ from, into }) => from !== founder || into !== roster)
    const systems = VILLAGE.slice(1).map((space) => ownersEdge(roster, space))
    const nested = edges
      .map(([into, from, role, holding]) => ({ into, from, role, holding, ...endless }))
      .filter(({ into, from, role }, nth, all) => {
        const isFirst = all.findIndex((one) => one.into === into && one.from === from && one.role === role) === nth
        return isFirst && into !== from
      })
    const none = { bans: [], left: [], ended: [] }
    return { own: [inRoster(founder, 'owner'), ...own], nested: [...systems, ...nested], ...none, nowMs: 0 }
  })

describe(`a community in which everybody tries everything (seed ${SEED})`, () => {
  it('never lets a power come to somebody, nor go from them, by a hand that lacks it, and is never without an owner', {
    timeout: PATIENCE,
  }, () => {
    const done: Partial<Record<Attempt['does'], number>> = {}
    const byOthers: Partial<Record<Attempt['does'], number>> = {}
    fc.assert(
      fc.property(
        anyVillage,
        fc.array(anyAttempt, { minLength: 30, maxLength: 50, size: 'max' }),
        (start, attempts) => {
          let village = start
          for (const blind of attempts) {
            const attempt = aimed(village, blind)
            const next = attempted(village, attempt)
            if (!next) continue
            const { does, actor, space } = attempt
            const actors = standingByDefinition(listsOf(village, actor))
            const isByOwner = ownersOf(village).includes(actor)
            done[does] = (done[does] ?? 0) + 1
            if (does !== 'wait' && !isByOwner) byOthers[does] = (byOthers[does] ?? 0) + 1
            const wrong = does === 'wait' ? [] : wrongs(village, next, { attempt, actors, isByOwner, space })
            if (ownersOf(next).length === 0) wrong.push('nobody owns it')
            if (wrong.length > 0) expect.fail(`${JSON.stringify(attempt)}\n${wrong.join('\n')}`)
            village = next
          }
        },
      ),
      { seed: SEED, numRuns: 1_000 },
    )
    // Each kind must have been let through often, and often to somebody who doesn't own the place.
    for (const does of ['put', 'remove', 'nest', 'unnest', 'ban', 'unban', 'leave', 'delete'] as const) {
      expect(done[does], does).toBeGreaterThan(60)
      expect(byOthers[does], `${does} by others`).toBeGreaterThan(15)
    }
  })
})

interface Deed {
  readonly attempt: Attempt
  /** What the actor could do before. */
  readonly actors: ReadonlyMap<SpaceUri, ReadonlySet<Action>>
  readonly isByOwner: boolean
  readonly space: SpaceUri
}

function wrongs(before: Village, after: Village, { attempt, actors, isByOwner, space }: Deed): string[] {
  const { does, actor, person } = attempt
  const isOfAll = before.nested !== after.nested || before.ended !== after.ended
  return VILLAGERS.flatMap((did) => {
    const isTouched = isOfAll || did === (does === 'leave' ? actor : person)
    if (!isTouched) return []
    const wrong = beyond(everIn(after, did), everIn(before, did), actors).map((power) => `${did} may gain ${power}`)
    for (const laterMs of [0, 4]) {
      const at = (village: Village) =>
        standingByDefinition({ ...listsOf(village, did), nowMs: village.nowMs + laterMs })
      const [had, has] = [at(before), at(after)]
      if (does === 'delete') had.delete(space)
      const lost = did === actor ? [] : beyond(had, has, actors)
      wrong.push(...lost.map((power) => `${did} loses ${power} in ${laterMs} ms`))
      // Whom an owner lets in again gets what others once gave them, also where the owner is kept out themself.
      if (does === 'unban' && isByOwner) continue
      wrong.push(...beyond(has, had, actors).map((power) => `${did} gains ${power} in ${laterMs} ms`))
    }
    return wrong
  })
}
