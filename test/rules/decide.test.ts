/** The verdicts: held against a slow and plain reading of the rules on random communities, and told in examples. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import {
  type AccessFacts,
  type Decision,
  decideAct,
  decideFounding,
  decidePerson,
  decidePut,
  decideRead,
  decideRemove,
  ownersEdge,
  type RosterFacts,
} from '../../src/policy/decide.ts'
import { ACTIONS, type Action, isManaging, type Roles, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { type Edge, type StandingFacts, standingOf } from '../../src/policy/standing.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import {
  ACTOR,
  anyFacts,
  anyNestedEdges,
  anyOwnEdge,
  anyOwnEdges,
  anyRoles,
  COMMUNITY,
  FEW_ACTIONS,
  NOW,
  PERSON,
  SPACES,
  spaceNamed,
  standingByDefinition,
} from '../kit/graphs.ts'

const SEED = 20_261_202

type Verdict = 'ok' | RefusalCode
const verdict = (decision: Decision<unknown>): Verdict => (decision.ok ? 'ok' : decision.code)

// --- a whole change of a roster, and what a plain reading of the rules says of it ---

interface Change {
  readonly facts: RosterFacts
  readonly actor: Did
  readonly space: SpaceUri
  readonly before: Edge | null
  readonly after: Edge | null
}

const ROSTER = SPACES[0] as SpaceUri

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
    owners: fc.integer({ min: 1, max: 2 }),
  })
  .map(({ nested, roles: few, actorsOwn, personsOwn, put, isRemoval, isSelf, isReplacement, isByChief, owners }) => {
    // Half the time the actor may do anything where the change is made, so that it is judged by where it leads.
    const roles = new Map([...few, ['chief', new Set<Action>(FEW_ACTIONS)]])
    const chief = { ...put, from: ACTOR, role: 'chief', sinceMs: null, untilMs: null }
    const of = (own: readonly Edge[]): StandingFacts => ({ own, nested, roles, nowMs: NOW })
    const moved = personsOwn.map((edge, nth) => (isReplacement && nth === 0 ? { ...edge, into: put.into } : edge))
    const person = of(moved.filter((edge, nth) => moved.findIndex(({ into }) => into === edge.into) === nth))
    const actors = isByChief ? [...actorsOwn.filter(({ into }) => into !== put.into), chief] : actorsOwn
    const facts = { actor: isSelf ? person : of(actors), person, roster: ROSTER, owners }
    const before = person.own.find((edge) => edge.into === put.into) ?? null
    return { facts, actor: isSelf ? PERSON : ACTOR, space: put.into, before, after: isRemoval ? null : put }
  })
  .filter(({ before, after }) => before !== null || after !== null)

function decide({ facts, actor, space, before, after }: Change): Decision<unknown> {
  if (after !== null) return decidePut(facts, actor, { space, person: PERSON, before, after })
  if (before !== null) return decideRemove(facts, actor, { space, person: PERSON, before, after })
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

/** Space → actions that `entry` leads to by premises that `other` doesn't have whenever the entry counts. */
function givenByTheBook({ nested, roles }: StandingFacts, entry: Edge | null, other: Edge | null) {
  const isAlways = other !== null && INSTANTS.every((at) => !entry || !countsAt(at)(entry) || countsAt(at)(other))
  const shared = isAlways ? premisesOf(other, roles) : []
  const known = new Set<string>()
  const learn = (edge: Edge) => {
    for (const premise of premisesOf(edge, roles)) if (!shared.includes(premise)) known.add(premise)
  }
  if (entry && everCounts(entry)) learn(entry)
  for (let size = -1; size < known.size; ) {
    size = known.size
    for (const edge of nested)
      if (known.has(`${edge.from} ${edge.holding ?? 'stands'}`) && everCounts(edge)) learn(edge)
  }
  const actionsIn = (space: SpaceUri) => ACTIONS.filter((action) => known.has(`${space} ${action}`))
  return new Map(SPACES.map((space) => [space, actionsIn(space)]))
}

const standingOverEdges = (facts: StandingFacts, isCounted: (edge: Edge) => boolean) => {
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
  return space === facts.roster && isOwner(before) && !isOwner(after) && facts.owners <= 1 ? 'LastOwner' : 'ok'
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
    const untimed = (facts: StandingFacts, own: readonly Edge[]): StandingFacts => ({
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
        const isLast = change.space === ROSTER && isOwner(change.before) && facts.owners === 1
        expect(verdict(decide({ ...change, facts, actor: PERSON }))).toBe(isLast ? 'LastOwner' : 'ok')
      }),
      { seed: SEED, numRuns: 3_000 },
    )
  })
})

describe(`an act in a space (seed ${SEED})`, () => {
  it('is permitted to exactly those who have the action, and hidden from those who do not stand there', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const standing = standingByDefinition(facts)
        for (const space of SPACES) {
          for (const action of FEW_ACTIONS) {
            const decision = decideAct(facts, PERSON, action, space)
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

// --- the same rules in examples, with the shipped roles ---

const roster = rosterOf(COMMUNITY).uri
const [forum, moderators] = ['forum', 'moderators'].map((skey) => spaceNamed(skey).uri) as [SpaceUri, SpaceUri]
const OWNERS_COME = [ownersEdge(roster, forum), ownersEdge(roster, moderators)]
const at = (into: SpaceUri, role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into, from: PERSON, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})
const factsOf = (own: Edge[], nested: Edge[] = OWNERS_COME): StandingFacts => ({
  ...{ own, nested, roles: SHIPPED_ROLES },
  nowMs: NOW,
})

interface Scene {
  readonly actor: Edge[]
  readonly person?: Edge[]
  readonly nested?: Edge[]
  readonly owners?: number
}

const put = ({ actor, person = [], nested, owners = 1 }: Scene, after: Edge): Verdict => {
  const facts = { actor: factsOf(actor, nested), person: factsOf(person, nested), roster, owners }
  const before = person.find((edge) => edge.into === after.into) ?? null
  return verdict(decidePut(facts, ACTOR, { space: after.into, person: PERSON, before, after }))
}
const remove = ({ actor, person = [], nested, owners = 1 }: Scene, space: SpaceUri, by: Did = ACTOR): Verdict => {
  const facts = { actor: factsOf(actor, nested), person: factsOf(person, nested), roster, owners }
  const before = person.find((edge) => edge.into === space)
  if (!before) throw new Error('nobody to remove')
  return verdict(decideRemove(facts, by, { space, person: PERSON, before, after: null }))
}

describe('giving', () => {
  it('is for those who may add members, and a role with power for those who may assign roles', () => {
    expect(put({ actor: [at(forum, 'member')] }, at(forum, 'reader'))).toBe('Forbidden')
    expect(put({ actor: [at(forum, 'moderator')] }, at(forum, 'member'))).toBe('ok')
    expect(put({ actor: [at(forum, 'moderator')] }, at(forum, 'moderator'))).toBe('Forbidden')
    expect(put({ actor: [at(forum, 'admin')] }, at(forum, 'moderator'))).toBe('ok')
    expect(put({ actor: [at(roster, 'owner')] }, at(forum, 'admin'))).toBe('ok')
  })

  it('never hands over a power that the giver lacks, to others or to themself', () => {
    expect(put({ actor: [at(roster, 'admin')] }, at(roster, 'owner'))).toBe('EscalationDenied')
    const self = factsOf([at(roster, 'admin')])
    const facts = { actor: self, person: self, roster, owners: 1 }
    const change = { space: roster, person: PERSON, before: at(roster, 'admin'), after: at(roster, 'owner') }
    expect(verdict(decidePut(facts, PERSON, change))).toBe('EscalationDenied')
  })

  it('is judged where it arrives: a role space that carries power elsewhere needs that power there', () => {
    const roles = new Map([...SHIPPED_ROLES, ['inviter', new Set<Action>(['members.add'])]])
    const lends = [{ ...at(forum, 'moderator', { holding: 'read' }), from: moderators }]
    const judged = (actorsOwn: Edge[], nested: Edge[]) => {
      const actor = { own: actorsOwn, nested, roles, nowMs: NOW }
      const facts = { actor, person: { ...actor, own: [] }, roster, owners: 1 }
      const change = { space: moderators, person: PERSON, before: null, after: at(moderators, 'reader') }
      return verdict(decidePut(facts, ACTOR, change))
    }
    const inviter = at(moderators, 'inviter')
    expect(judged([inviter], lends)).toBe('EscalationDenied')
    expect(judged([inviter, at(forum, 'member')], lends)).toBe('EscalationDenied')
    expect(judged([inviter, at(forum, 'moderator')], lends)).toBe('ok')
    expect(judged([inviter], [])).toBe('ok')
  })

  it('counts power that begins tomorrow, and none that has ended', () => {
    const assigner = { actor: [at(roster, 'admin')] }
    expect(put(assigner, at(roster, 'owner', { sinceMs: NOW + 1 }))).toBe('EscalationDenied')
    expect(put(assigner, at(roster, 'owner', { sinceMs: 1, untilMs: NOW }))).toBe('ok')
    const nested = [{ ...at(forum, 'moderator', { sinceMs: 1000 }), from: moderators }]
    expect(put({ actor: [at(moderators, 'admin')], nested }, at(moderators, 'reader'))).toBe('EscalationDenied')
    const over = [{ ...at(forum, 'moderator', { untilMs: NOW }), from: moderators }]
    expect(put({ actor: [at(moderators, 'admin')], nested: over }, at(moderators, 'reader'))).toBe('ok')
  })

  it('counts more time with a power as power', () => {
    const roles = new Map([
      ['assigner', new Set<Action>(['role.assign', 'members.add'])],
      ['warden', new Set<Action>(['members.ban'])],
    ])
    const nested: Edge[] = []
    const actor = { own: [at(forum, 'assigner')], nested, roles, nowMs: NOW }
    const ending = at(forum, 'warden', { untilMs: NOW + 10 })
    const facts = { actor, person: { ...actor, own: [ending] }, roster, owners: 1 }
    const judged = (after: Edge) =>
      verdict(decidePut(facts, ACTOR, { space: forum, person: PERSON, before: ending, after }))
    expect(judged(at(forum, 'warden'))).toBe('EscalationDenied')
    expect(judged(at(forum, 'warden', { untilMs: NOW + 11 }))).toBe('EscalationDenied')
    expect(judged(at(forum, 'warden', { untilMs: NOW + 9 }))).toBe('EscalationDenied')
    expect(judged(at(forum, 'warden', { sinceMs: NOW + 20 }))).toBe('EscalationDenied')
  })

  it('what somebody has already needs no more than adding, for nothing changes', () => {
    const member = at(forum, 'member')
    expect(put({ actor: [at(forum, 'moderator')], person: [member] }, member)).toBe('ok')
    expect(put({ actor: [at(forum, 'moderator')], person: [member] }, at(forum, 'reader'))).toBe('Forbidden')
    expect(put({ actor: [at(forum, 'member')], person: [member] }, member)).toBe('Forbidden')
  })
})

describe('taking away', () => {
  it('spares those who hold a power that the taker lacks', () => {
    const nested = OWNERS_COME
    expect(remove({ actor: [at(forum, 'moderator')], person: [at(forum, 'member')], nested }, forum)).toBe('ok')
    expect(remove({ actor: [at(forum, 'moderator')], person: [at(forum, 'moderator')], nested }, forum)).toBe('ok')
    expect(remove({ actor: [at(forum, 'moderator')], person: [at(forum, 'admin')], nested }, forum)).toBe(
      'EscalationDenied',
    )
    expect(put({ actor: [at(roster, 'admin')], person: [at(roster, 'owner')], owners: 2 }, at(roster, 'member'))).toBe(
      'EscalationDenied',
    )
  })

  it('counts a power that has not begun, and not one that has ended', () => {
    const scene = (more: Partial<Edge>) => ({ actor: [at(forum, 'moderator')], person: [at(forum, 'admin', more)] })
    expect(remove(scene({ sinceMs: NOW + 1 }), forum)).toBe('EscalationDenied')
    expect(remove(scene({ untilMs: NOW }), forum)).toBe('ok')
  })

  it('counts cutting short as taking', () => {
    const roles = new Map([
      ['assigner', new Set<Action>(['role.assign', 'members.add'])],
      ['warden', new Set<Action>(['members.ban'])],
    ])
    const nested: Edge[] = []
    const actor = { own: [at(forum, 'assigner')], nested, roles, nowMs: NOW }
    const facts = { actor, person: { ...actor, own: [at(forum, 'warden')] }, roster, owners: 1 }
    const change = { space: forum, person: PERSON, before: at(forum, 'warden') }
    const judged = (more: Partial<Edge>) =>
      verdict(decidePut(facts, ACTOR, { ...change, after: at(forum, 'warden', more) }))
    expect(judged({})).toBe('ok')
    expect(judged({ untilMs: NOW + 1 })).toBe('EscalationDenied')
    expect(judged({ sinceMs: NOW + 1000 })).toBe('EscalationDenied')
  })

  it('spares them also where they keep what they had by another way, for that way may end first', () => {
    const owner = [at(roster, 'owner'), at(forum, 'reader')]
    expect(remove({ actor: [at(forum, 'moderator')], person: owner }, forum)).toBe('EscalationDenied')
    expect(put({ actor: [at(forum, 'admin')], person: owner }, at(forum, 'member'))).toBe('ok')
  })

  it('is for those who hold as much now, though not for as long', () => {
    const scene = { actor: [at(forum, 'admin', { untilMs: NOW + 1 })], person: [at(forum, 'admin')] }
    expect(remove(scene, forum)).toBe('ok')
  })
})

describe('somebody whose time runs out', () => {
  const lent = at(forum, 'admin', { untilMs: NOW + 100 })
  const judgedFor = (person: readonly Edge[], by: Did, after: Edge, nested = OWNERS_COME): Verdict => {
    const [actor, persons] = [factsOf([lent], nested), factsOf([...person], nested)]
    const before = person.find((edge) => edge.into === after.into) ?? null
    const facts = { actor, person: persons, roster, owners: 1 }
    return verdict(decidePut(facts, by, { space: after.into, person: PERSON, before, after }))
  }

  it('cannot make themself endless, nor begin again later', () => {
    for (const more of [
      {},
      { untilMs: NOW + 101 },
      { sinceMs: NOW + 100 },
      { sinceMs: NOW + 50, untilMs: NOW + 200 },
    ]) {
      expect(judgedFor([lent], PERSON, at(forum, 'admin', more))).toBe('EscalationDenied')
      expect(judgedFor([lent], PERSON, at(forum, 'moderator', more))).toBe('EscalationDenied')
    }
    expect(judgedFor([lent], PERSON, lent)).toBe('ok')
    expect(judgedFor([lent], PERSON, at(forum, 'admin', { untilMs: NOW + 99 }))).toBe('ok')
    expect(judgedFor([lent], PERSON, at(forum, 'member'))).toBe('ok')
  })

  it('cannot stay through a puppet, but may appoint for as long as they are there themself', () => {
    expect(judgedFor([], ACTOR, at(forum, 'admin'))).toBe('EscalationDenied')
    expect(judgedFor([], ACTOR, at(forum, 'moderator', { untilMs: NOW + 101 }))).toBe('EscalationDenied')
    expect(judgedFor([], ACTOR, at(forum, 'moderator', { sinceMs: NOW + 100 }))).toBe('EscalationDenied')
    expect(judgedFor([], ACTOR, at(forum, 'admin', { untilMs: NOW + 100 }))).toBe('ok')
    expect(judgedFor([], ACTOR, at(forum, 'member'))).toBe('ok')
  })

  it('passes on only what they hold by now, not what they shall hold', () => {
    const assigner = new Map([...SHIPPED_ROLES, ['assigner', new Set<Action>(['role.assign'])]])
    const lends = [{ ...at(forum, 'moderator', { holding: 'read' }), from: moderators }]
    const judged = (sinceMs: number) => {
      const person = { own: [], nested: lends, roles: assigner, nowMs: NOW }
      const actor = { ...person, own: [at(moderators, 'assigner'), at(forum, 'moderator', { sinceMs })] }
      const change = { space: moderators, person: PERSON, before: at(moderators, 'assigner') }
      const facts = { actor, person: { ...person, own: [change.before] }, roster, owners: 1 }
      return verdict(decidePut(facts, ACTOR, { ...change, after: at(moderators, 'reader') }))
    }
    expect(judged(NOW)).toBe('ok')
    expect(judged(NOW + 1)).toBe('EscalationDenied')
  })

  it('cannot make a puppet of somebody who has the power for a time, or in another way', () => {
    expect(judgedFor([at(forum, 'admin', { untilMs: NOW + 500 })], ACTOR, at(forum, 'admin'))).toBe('EscalationDenied')
    expect(judgedFor([at(roster, 'owner')], ACTOR, at(forum, 'admin'))).toBe('EscalationDenied')
  })

  it('cannot pass on for ever what comes through a role space that they leave, or that leads there for a time', () => {
    const comes = (more: Partial<Edge>) => [{ ...at(forum, 'moderator', more), from: moderators }]
    const keeper = (more: Partial<Edge>) => [at(moderators, 'admin', more)]
    const reader = at(moderators, 'moderator')
    expect(put({ actor: keeper({}), nested: comes({}) }, reader)).toBe('ok')
    expect(put({ actor: keeper({ untilMs: NOW + 9 }), nested: comes({}) }, reader)).toBe('EscalationDenied')
    const ending = { ...reader, untilMs: NOW + 9 }
    expect(put({ actor: keeper({ untilMs: NOW + 9 }), nested: comes({}) }, ending)).toBe('ok')
    expect(put({ actor: keeper({}), nested: comes({ untilMs: NOW + 9 }) }, reader)).toBe('EscalationDenied')
    expect(put({ actor: keeper({}), nested: comes({ untilMs: NOW + 9 }) }, ending)).toBe('ok')
  })

  it('is not let through by a power that the entry before gave by a way that ends', () => {
    const roles = new Map([
      ['assigner', new Set<Action>(['role.assign', 'invite', 'audit.read'])],
      ['one', new Set<Action>(['invite'])],
      ['two', new Set<Action>(['audit.read'])],
      ['warden', new Set<Action>(['members.ban'])],
    ])
    const nested = [
      { ...at(forum, 'warden', { holding: 'invite', untilMs: NOW + 1 }), from: moderators },
      { ...at(forum, 'warden', { holding: 'audit.read' }), from: moderators },
    ]
    const before = at(moderators, 'one')
    const after = at(moderators, 'two')
    const judged = (more: Edge[]) => {
      const person = { own: [before], nested, roles, nowMs: NOW }
      const actor = { ...person, own: [{ ...at(moderators, 'assigner'), untilMs: NOW + 5 }, ...more] }
      const facts = { actor, person, roster, owners: 1 }
      return verdict(decidePut(facts, ACTOR, { space: moderators, person: PERSON, before, after }))
    }
    expect(judged([])).toBe('EscalationDenied')
    expect(judged([at(forum, 'warden')])).toBe('EscalationDenied')
  })
})

describe('an entry', () => {
  it('never gives more than its giver holds, also to those who have it otherwise: it would outlive their other way', () => {
    const inviter = new Map([...SHIPPED_ROLES, ['inviter', new Set<Action>(['role.assign'])]])
    const nested = OWNERS_COME
    const person = { own: [at(roster, 'owner')], nested, roles: inviter, nowMs: NOW }
    const facts = { actor: { ...person, own: [at(forum, 'inviter')] }, person, roster, owners: 1 }
    const change = { space: forum, person: PERSON, before: null, after: at(forum, 'admin') }
    expect(verdict(decidePut(facts, ACTOR, change))).toBe('EscalationDenied')
    expect(verdict(decidePut(facts, ACTOR, { ...change, after: at(forum, 'inviter') }))).toBe('ok')
  })

  it('is judged at a cost that grows with the edges alone, however many of them are timed', () => {
    const looksPerEdge = (count: number): number => {
      let looks = 0
      const counted = (edge: Edge, end: number | null): Edge => ({
        ...edge,
        get untilMs() {
          looks++
          return end
        },
      })
      const spaces = Array.from({ length: count }, (_, nth) => spaceNamed(`n${nth}`).uri)
      const ending = (space: SpaceUri, from: Edge['from'], nth: number) =>
        counted({ ...at(space, 'moderator'), from }, NOW + 1000 + nth)
      const nested = spaces.map((space, nth) => ending(space, forum, nth))
      const own = spaces.map((space, nth) => ending(space, PERSON, nth))
      const person = factsOf(own, nested)
      const facts = { actor: factsOf([...own, at(forum, 'admin')], nested), person, roster, owners: 1 }
      const change = { space: forum, person: PERSON, before: null, after: at(forum, 'moderator', { untilMs: NOW + 1 }) }
      expect(verdict(decidePut(facts, ACTOR, change))).toBe('ok')
      expect(verdict(decideRemove(facts, ACTOR, { ...change, before: at(forum, 'member'), after: null }))).toBe('ok')
      return looks / count
    }
    const few = looksPerEdge(20)
    expect(few).toBeGreaterThan(0)
    expect(looksPerEdge(400)).toBeLessThanOrEqual(few)
  })
})

describe('the last owner', () => {
  const owner = [at(roster, 'owner')]
  const self = (after: Edge | null, owners: number): Verdict => {
    const facts = { actor: factsOf(owner), person: factsOf(owner), roster, owners }
    const change = { space: roster, person: PERSON, before: at(roster, 'owner') }
    return verdict(
      after ? decidePut(facts, PERSON, { ...change, after }) : decideRemove(facts, PERSON, { ...change, after }),
    )
  }

  it('cannot leave, be removed, demoted, or put on a term', () => {
    expect(self(null, 1)).toBe('LastOwner')
    expect(self(at(roster, 'admin'), 1)).toBe('LastOwner')
    expect(self(at(roster, 'no-such-role'), 1)).toBe('LastOwner')
    expect(self(at(roster, 'owner', { untilMs: NOW + 1000 }), 1)).toBe('LastOwner')
    expect(self(at(roster, 'owner', { sinceMs: NOW + 1000 }), 1)).toBe('LastOwner')
    expect(remove({ actor: [at(roster, 'owner')], person: owner, owners: 1 }, roster)).toBe('LastOwner')
    expect(put({ actor: [at(roster, 'owner')], person: owner, owners: 1 }, at(roster, 'member'))).toBe('LastOwner')
  })

  it('is no longer the last one when there is another', () => {
    expect(self(null, 2)).toBe('ok')
    expect(self(at(roster, 'admin'), 2)).toBe('ok')
    expect(remove({ actor: [at(roster, 'owner')], person: owner, owners: 2 }, roster)).toBe('ok')
  })

  it('may be put as an owner again, and may leave any other space', () => {
    expect(self(at(roster, 'owner'), 1)).toBe('ok')
    const both = [at(roster, 'owner'), at(forum, 'member')]
    expect(remove({ actor: both, person: both, owners: 1 }, forum, PERSON)).toBe('ok')
  })
})

describe('reading', () => {
  const space = spaceNamed('forum')
  const facts = (own: Edge[], more: Partial<AccessFacts> = {}): AccessFacts => ({
    ...factsOf(own),
    ...{ space, readPolicy: 'memberList', writePolicy: 'memberList' },
    ...more,
  })
  const ask = (given: AccessFacts, did: Did = PERSON, clientId: string | null = null) =>
    decideRead(given, { did, clientId })

  it('is granted to those whose standing has it, and to nobody else', () => {
    for (const [role, actions] of SHIPPED_ROLES) {
      expect(verdict(ask(facts([at(forum, role)])))).toBe(actions.has('read') ? 'ok' : 'UserNotAuthorized')
    }
    expect(verdict(ask(facts([])))).toBe('UserNotAuthorized')
    expect(verdict(ask(facts([at(moderators, 'admin')])))).toBe('UserNotAuthorized')
    expect(verdict(ask(facts([at(forum, 'no-such-role')])))).toBe('UserNotAuthorized')
  })

  it('says for whom, by which app and of which space it is', () => {
    const decision = ask(facts([at(forum, 'reader')]), PERSON, 'https://app.example.com/client.json')
    expect(decision).toMatchObject({
      ok: true,
      value: { space, did: PERSON, clientId: 'https://app.example.com/client.json', because: decision.because },
    })
  })

  it('ends with the first edge of the way that ends, and with none where a policy or the authority is the reason', () => {
    const untilOf = (given: AccessFacts, did: Did = PERSON) => {
      const decision = ask(given, did)
      return decision.ok ? decision.value.untilMs : 'refused'
    }
    const comes = (untilMs: number | null) => [{ ...at(forum, 'reader', { untilMs }), from: moderators }]
    const through = (own: number | null, nested: number | null) =>
      untilOf(facts([at(moderators, 'reader', { untilMs: own })], { nested: comes(nested) }))
    expect(through(null, null)).toBe(null)
    expect(through(NOW + 7, null)).toBe(NOW + 7)
    expect(through(null, NOW + 3)).toBe(NOW + 3)
    expect(through(NOW + 7, NOW + 3)).toBe(NOW + 3)
    expect(through(NOW + 3, NOW + 7)).toBe(NOW + 3)
    expect(through(NOW, null)).toBe('refused')
    expect(untilOf(facts([at(forum, 'reader', { untilMs: NOW + 1 })]))).toBe(NOW + 1)
    expect(untilOf(facts([], { readPolicy: 'public' }))).toBe(null)
    expect(untilOf(facts([]), COMMUNITY)).toBe(null)
  })

  it('judges the app before the person, and shows it in this order', () => {
    const rules = (decision: Decision<unknown>) => decision.because.map(({ rule }) => rule)
    expect(rules(ask(facts([at(forum, 'reader')])))).toEqual(['openToApps', 'edge'])
    expect(rules(ask(facts([])))).toEqual(['openToApps', 'noPath'])
    expect(rules(ask(facts([], { readPolicy: 'public' })))).toEqual(['openToApps', 'publicPolicy'])
  })

  it('shows every edge of the way, and what was missing when there is none', () => {
    const owner = ask(facts([at(roster, 'owner')]))
    expect(owner.because.slice(1)).toEqual([
      { rule: 'edge', into: forum, from: roster, role: 'owner' },
      { rule: 'edge', into: roster, from: PERSON, role: 'owner' },
    ])
    expect(ask(facts([])).because.at(-1)).toEqual({ rule: 'noPath', into: forum, action: 'read' })
  })

  it('is open to everybody in a public space, and nothing else is', () => {
    const open = facts([], { readPolicy: 'public' })
    for (const action of ACTIONS) {
      expect(verdict(decidePerson(open, PERSON, action))).toBe(action === 'read' ? 'ok' : 'UserNotAuthorized')
    }
    const writable = facts([], { writePolicy: 'public' })
    for (const action of ACTIONS) {
      expect(verdict(decidePerson(writable, PERSON, action))).toBe(action === 'write' ? 'ok' : 'UserNotAuthorized')
    }
  })

  it("and writing are always open to the authority's own DID, which has no power by it", () => {
    expect(ask(facts([]), COMMUNITY).because.at(-1)).toEqual({ rule: 'authority' })
    for (const action of ACTIONS) {
      const isOpen = action === 'read' || action === 'write'
      expect(verdict(decidePerson(facts([]), COMMUNITY, action))).toBe(isOpen ? 'ok' : 'UserNotAuthorized')
      expect(verdict(decideAct(factsOf([]), COMMUNITY, action, forum))).toBe('NotFound')
    }
  })

  it('agrees with what a person may do elsewhere in the house, on random communities', () => {
    fc.assert(
      fc.property(anyFacts, (given) => {
        for (const skey of ['s', 't', 'u']) {
          const named = spaceNamed(skey)
          const all: AccessFacts = { ...given, space: named, readPolicy: 'memberList', writePolicy: 'memberList' }
          for (const action of FEW_ACTIONS) {
            const isLet = decideAct(given, PERSON, action, named.uri).ok
            expect(decidePerson(all, PERSON, action).ok).toBe(isLet)
            expect(isLet).toBe(standingOf(given).get(named.uri)?.actions.has(action) ?? false)
          }
        }
      }),
      { seed: SEED, numRuns: 1_000 },
    )
  })
})

describe('founding', () => {
  it('is the one permit without a standing, and says so', () => {
    expect(decideFounding(PERSON)).toMatchObject({
      action: 'space.create',
      actor: PERSON,
      because: [{ rule: 'founding' }],
    })
  })

  it('leaves an edge by which owners, and nobody else of the roster, stand in a space', () => {
    const roles = [...SHIPPED_ROLES.keys()].filter((role) => standingOf(factsOf([at(roster, role)])).has(forum))
    expect(roles).toEqual(['owner'])
  })
})
