/** The verdicts told in examples, with the shipped roles. `test/rules/decide.test.ts` has the same rules on random communities. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ClientId, type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import {
  type AccessFacts,
  appToAsk,
  decideAct,
  decideBan,
  decideFounding,
  decideKeeper,
  decideLeave,
  decideOwnKey,
  decidePerson,
  decidePut,
  decideRead,
  decideRemove,
  decideUnban,
  decideWrite,
  type Word,
} from '../../src/policy/decide.ts'
import { decideDelete, decideNest, decideUnnest, ownersEdge } from '../../src/policy/decide-spaces.ts'
import { ACTIONS, type Action, isManaging, OWNER_MARK, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import { standingOf } from '../../src/policy/standing.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import {
  ACTOR,
  anyLists,
  CAST,
  COMMUNITY,
  FEW_ACTIONS,
  factsOfLists,
  given,
  type Lists,
  NOW,
  PERSON,
  spaceNamed,
} from '../kit/graphs.ts'
import { serviceNamed } from '../kit/rule-stage.ts'

const SEED = 20_261_202

type Verdict = 'ok' | RefusalCode
const verdict = (decision: Decision<unknown>): Verdict => (decision.ok ? 'ok' : decision.code)

const roster = rosterOf(COMMUNITY).uri
const [forum, moderators] = ['forum', 'moderators'].map((skey) => spaceNamed(skey).uri) as [SpaceUri, SpaceUri]
const OWNERS_COME = [ownersEdge(roster, forum), ownersEdge(roster, moderators)]
const at = (into: SpaceUri, role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into, from: PERSON, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})
const factsOf = (own: Edge[], nested: Edge[] = OWNERS_COME): Lists => ({
  ...{ own, nested, roles: SHIPPED_ROLES },
  nowMs: NOW,
})

interface Scene {
  readonly actor: Edge[]
  readonly person?: Edge[]
  readonly nested?: Edge[]
  readonly otherOwners?: number
}

const put = ({ actor, person = [], nested, otherOwners = 0 }: Scene, after: Edge): Verdict => {
  const facts = { actor: factsOf(actor, nested), person: factsOf(person, nested), roster, otherOwners }
  const before = person.find((edge) => edge.into === after.into) ?? null
  return verdict(decidePut(given(facts), ACTOR, { space: after.into, person: PERSON, before, after }))
}
const remove = ({ actor, person = [], nested, otherOwners = 0 }: Scene, space: SpaceUri, by: Did = ACTOR): Verdict => {
  const facts = { actor: factsOf(actor, nested), person: factsOf(person, nested), roster, otherOwners }
  const before = person.find((edge) => edge.into === space)
  if (!before) throw new Error('nobody to remove')
  return verdict(decideRemove(given(facts), by, { space, person: PERSON, before, after: null }))
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
    const facts = { actor: self, person: self, roster, otherOwners: 0 }
    const change = { space: roster, person: PERSON, before: at(roster, 'admin'), after: at(roster, 'owner') }
    expect(verdict(decidePut(given(facts), PERSON, change))).toBe('EscalationDenied')
  })

  it('is judged where it arrives: a role space that carries power elsewhere needs that power there', () => {
    const roles = new Map([...SHIPPED_ROLES, ['inviter', new Set<Action>(['members.add'])]])
    const lends = [{ ...at(forum, 'moderator', { holding: 'read' }), from: moderators }]
    const judged = (actorsOwn: Edge[], nested: Edge[]) => {
      const actor = { own: actorsOwn, nested, roles, nowMs: NOW }
      const facts = { actor, person: { ...actor, own: [] }, roster, otherOwners: 0 }
      const change = { space: moderators, person: PERSON, before: null, after: at(moderators, 'reader') }
      return verdict(decidePut(given(facts), ACTOR, change))
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
    const facts = { actor, person: { ...actor, own: [ending] }, roster, otherOwners: 0 }
    const judged = (after: Edge) =>
      verdict(decidePut(given(facts), ACTOR, { space: forum, person: PERSON, before: ending, after }))
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
    expect(
      put({ actor: [at(roster, 'admin')], person: [at(roster, 'owner')], otherOwners: 1 }, at(roster, 'member')),
    ).toBe('EscalationDenied')
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
    const facts = { actor, person: { ...actor, own: [at(forum, 'warden')] }, roster, otherOwners: 0 }
    const change = { space: forum, person: PERSON, before: at(forum, 'warden') }
    const judged = (more: Partial<Edge>) =>
      verdict(decidePut(given(facts), ACTOR, { ...change, after: at(forum, 'warden', more) }))
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
    const facts = { actor, person: persons, roster, otherOwners: 0 }
    return verdict(decidePut(given(facts), by, { space: after.into, person: PERSON, before, after }))
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
      const facts = { actor, person: { ...person, own: [change.before] }, roster, otherOwners: 0 }
      return verdict(decidePut(given(facts), ACTOR, { ...change, after: at(moderators, 'reader') }))
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
      const facts = { actor, person, roster, otherOwners: 0 }
      return verdict(decidePut(given(facts), ACTOR, { space: moderators, person: PERSON, before, after }))
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
    const facts = { actor: { ...person, own: [at(forum, 'inviter')] }, person, roster, otherOwners: 0 }
    const change = { space: forum, person: PERSON, before: null, after: at(forum, 'admin') }
    expect(verdict(decidePut(given(facts), ACTOR, change))).toBe('EscalationDenied')
    expect(verdict(decidePut(given(facts), ACTOR, { ...change, after: at(forum, 'inviter') }))).toBe('ok')
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
      const facts = { actor: factsOf([...own, at(forum, 'admin')], nested), person, roster, otherOwners: 0 }
      const change = { space: forum, person: PERSON, before: null, after: at(forum, 'moderator', { untilMs: NOW + 1 }) }
      expect(verdict(decidePut(given(facts), ACTOR, change))).toBe('ok')
      expect(verdict(decideRemove(given(facts), ACTOR, { ...change, before: at(forum, 'member'), after: null }))).toBe(
        'ok',
      )
      return looks / count
    }
    const few = looksPerEdge(20)
    expect(few).toBeGreaterThan(0)
    expect(looksPerEdge(400)).toBeLessThanOrEqual(few)
  })
})

describe('the last owner', () => {
  const owner = [at(roster, 'owner')]
  const self = (after: Edge | null, otherOwners: number): Verdict => {
    const facts = { actor: factsOf(owner), person: factsOf(owner), roster, otherOwners }
    const change = { space: roster, person: PERSON, before: at(roster, 'owner') }
    return verdict(
      after
        ? decidePut(given(facts), PERSON, { ...change, after })
        : decideRemove(given(facts), PERSON, { ...change, after }),
    )
  }

  it('cannot leave, be removed, demoted, or put on a term', () => {
    expect(self(null, 0)).toBe('LastOwner')
    expect(self(at(roster, 'admin'), 0)).toBe('LastOwner')
    expect(self(at(roster, 'no-such-role'), 0)).toBe('LastOwner')
    expect(self(at(roster, 'owner', { untilMs: NOW + 1000 }), 0)).toBe('LastOwner')
    expect(self(at(roster, 'owner', { sinceMs: NOW + 1000 }), 0)).toBe('LastOwner')
    expect(remove({ actor: [at(roster, 'owner')], person: owner, otherOwners: 0 }, roster)).toBe('LastOwner')
    expect(put({ actor: [at(roster, 'owner')], person: owner, otherOwners: 0 }, at(roster, 'member'))).toBe('LastOwner')
  })

  it('is no longer the last one when there is another', () => {
    expect(self(null, 1)).toBe('ok')
    expect(self(at(roster, 'admin'), 1)).toBe('ok')
    expect(remove({ actor: [at(roster, 'owner')], person: owner, otherOwners: 1 }, roster)).toBe('ok')
  })

  it('may be put as an owner again, and may leave any other space', () => {
    expect(self(at(roster, 'owner'), 0)).toBe('ok')
    const both = [at(roster, 'owner'), at(forum, 'member')]
    expect(remove({ actor: both, person: both, otherOwners: 0 }, forum, PERSON)).toBe('ok')
  })
})

const vault = spaceNamed('vault').uri
const abroad = spaceNamed('club', CAST.communities[1]).uri
const comes = (into: SpaceUri, from: SpaceUri, role: string, more: Partial<Edge> = {}): Edge => ({
  ...at(into, role, more),
  from,
})
const nests = (own: Edge[], after: Edge, nested: Edge[] = [], before: Edge | null = null): Verdict => {
  const all = [...OWNERS_COME, ownersEdge(roster, vault), ...nested, ...(before ? [before] : [])]
  return verdict(decideNest(factsOfLists(factsOf(own, all)), ACTOR, { before, after }))
}
const unnests = (own: Edge[], before: Edge, nested: Edge[] = []): Verdict =>
  verdict(decideUnnest(factsOfLists(factsOf(own, [...OWNERS_COME, ...nested, before])), ACTOR, before))

describe('nesting', () => {
  const admin = [at(forum, 'admin')]
  const owner = [at(roster, 'owner')]

  it('is for those who hold space.nest where it is done, and hidden from those who stand nowhere there', () => {
    const entry = comes(forum, moderators, 'member')
    expect(nests(admin, entry)).toBe('ok')
    expect(nests(owner, entry)).toBe('ok')
    expect(nests([at(forum, 'moderator')], entry)).toBe('Forbidden')
    expect(nests([at(moderators, 'admin')], entry)).toBe('NotFound')
    expect(unnests(admin, entry)).toBe('ok')
    expect(unnests([at(forum, 'moderator')], entry)).toBe('Forbidden')
    expect(unnests([at(vault, 'admin')], entry)).toBe('NotFound')
    // Whoever comes in by the entry itself stands there.
    expect(unnests([at(moderators, 'admin')], entry)).toBe('Forbidden')
  })

  it("with a role that carries power is the owners' own affair, whatever an admin holds there", () => {
    for (const [role, actions] of SHIPPED_ROLES) {
      const carries = [...actions].some(isManaging)
      expect(nests(admin, comes(forum, moderators, role)), role).toBe(carries ? 'EscalationDenied' : 'ok')
      expect(nests(owner, comes(forum, moderators, role)), role).toBe('ok')
    }
  })

  it('is judged where it arrives: readers of the forum who run the vault need somebody who runs the vault', () => {
    const leads = [comes(vault, forum, 'admin')]
    const entry = comes(forum, moderators, 'reader')
    expect(nests(admin, entry, leads)).toBe('ok') // the admin of the forum runs the vault by the same way
    const byHolding = [comes(vault, forum, 'admin', { holding: 'read' })]
    const nester = new Map([...SHIPPED_ROLES, ['nester', new Set<Action>(['space.nest'])]])
    const judged = (own: Edge[]) => {
      const lists = { ...factsOf(own, [...OWNERS_COME, ...byHolding]), roles: nester }
      return verdict(decideNest(factsOfLists(lists), ACTOR, { before: null, after: entry }))
    }
    expect(judged([at(forum, 'nester')])).toBe('EscalationDenied')
    expect(judged([at(forum, 'nester'), at(vault, 'moderator')])).toBe('EscalationDenied')
    expect(judged([at(forum, 'nester'), at(vault, 'admin')])).toBe('ok')
  })

  it('counts a way that opens only tomorrow, and power that ends before the entry does', () => {
    const entry = comes(forum, moderators, 'reader')
    expect(nests(admin, entry, [comes(vault, forum, 'admin', { sinceMs: NOW + 1 })])).toBe('EscalationDenied')
    expect(nests(admin, entry, [comes(vault, forum, 'admin', { untilMs: NOW })])).toBe('ok')
    const lent = [at(forum, 'admin', { untilMs: NOW + 5 })]
    const leads = [comes(vault, forum, 'admin')]
    expect(nests(lent, entry, leads)).toBe('EscalationDenied')
    expect(nests(lent, { ...entry, untilMs: NOW + 6 }, leads)).toBe('EscalationDenied')
    expect(nests(lent, { ...entry, untilMs: NOW + 5 }, leads)).toBe('ok')
  })

  // The same role in the same place, but for other people or another time: what the entry before gave excuses only what it gave.
  it('in place of another entry is judged by whom it lets in besides, and whom it shuts out', () => {
    const leads = [comes(vault, forum, 'moderator', { holding: 'write' })]
    const entry = (more: Partial<Edge>) => comes(forum, moderators, 'member', more)
    const roles = new Map([...SHIPPED_ROLES, ['nester', new Set<Action>(['space.nest'])]])
    const judged = (before: Edge, after: Edge) => {
      const lists = { ...factsOf([at(forum, 'nester')], [...OWNERS_COME, ...leads, before]), roles }
      return verdict(decideNest(factsOfLists(lists), ACTOR, { before, after }))
    }
    const [all, few] = [entry({}), entry({ holding: 'members.ban' })]
    expect(judged(few, all)).toBe('EscalationDenied')
    expect(judged(all, few)).toBe('EscalationDenied')
    expect(judged(few, entry({ holding: 'read' }))).toBe('EscalationDenied')
    expect(judged(entry({ untilMs: NOW + 5 }), all)).toBe('EscalationDenied')
    expect(judged(all, entry({ untilMs: NOW + 5 }))).toBe('EscalationDenied')
    expect(judged(entry({ sinceMs: NOW + 5 }), all)).toBe('EscalationDenied')
    expect(judged(all, all)).toBe('ok')
    expect(judged(few, few)).toBe('ok')
  })

  it('of another community is any nester’s affair, for it gives no power wherever it leads', () => {
    const guests = comes(forum, abroad, 'writer')
    const leads = [comes(vault, forum, 'admin')]
    expect(nests([at(forum, 'admin')], guests, [comes(vault, forum, 'admin', { holding: 'space.nest' })])).toBe('ok')
    expect(unnests([at(forum, 'admin')], guests, leads)).toBe('ok')
    expect(nests([at(forum, 'moderator')], guests)).toBe('Forbidden')
  })

  it('is undone by those alone who hold all that the entry gives, in every space', () => {
    expect(unnests(admin, comes(forum, moderators, 'moderator'))).toBe('ok')
    const leads = [comes(vault, forum, 'admin', { holding: 'write' })]
    const roles = new Map([...SHIPPED_ROLES, ['nester', new Set<Action>(['space.nest'])]])
    const entry = comes(forum, moderators, 'member')
    const judged = (own: Edge[]) => {
      const lists = { ...factsOf(own, [...OWNERS_COME, ...leads, entry]), roles }
      return verdict(decideUnnest(factsOfLists(lists), ACTOR, entry))
    }
    expect(judged([at(forum, 'nester')])).toBe('EscalationDenied')
    expect(judged([at(forum, 'nester'), at(vault, 'admin')])).toBe('ok')
  })
})

describe('the end of a space', () => {
  const ends = (own: Edge[], nested: Edge[] = []): Verdict =>
    verdict(decideDelete(factsOfLists(factsOf(own, [...OWNERS_COME, ...nested])), ACTOR, moderators))

  it('is for those who hold space.delete there', () => {
    expect(ends([at(moderators, 'admin')])).toBe('ok')
    expect(ends([at(roster, 'owner')])).toBe('ok')
    expect(ends([at(moderators, 'moderator')])).toBe('Forbidden')
    expect(ends([at(forum, 'admin')])).toBe('NotFound')
  })

  it('takes all that its people have by it, which whoever ends it must hold', () => {
    const staff = [comes(forum, moderators, 'moderator', { holding: 'members.ban' })]
    const roles = new Map([...SHIPPED_ROLES, ['closer', new Set<Action>(['space.delete'])]])
    const judged = (own: Edge[]) => {
      const lists = { ...factsOf(own, [...OWNERS_COME, ...staff]), roles }
      return verdict(decideDelete(factsOfLists(lists), ACTOR, moderators))
    }
    expect(judged([at(moderators, 'closer')])).toBe('EscalationDenied')
    expect(judged([at(moderators, 'closer'), at(forum, 'member')])).toBe('EscalationDenied')
    expect(judged([at(moderators, 'closer'), at(forum, 'moderator')])).toBe('ok')
    expect(ends([at(moderators, 'admin')], [comes(forum, moderators, 'admin', { sinceMs: NOW + 1 })])).toBe(
      'EscalationDenied',
    )
    expect(ends([at(moderators, 'admin')], [comes(forum, moderators, 'member')])).toBe('ok')
  })
})

describe('a ban', () => {
  interface Ban extends Scene {
    readonly scope?: SpaceUri | Did
  }
  const facts = ({ actor, person = [], nested = OWNERS_COME, otherOwners = 1 }: Scene) =>
    given({ actor: factsOf(actor, nested), person: factsOf(person, nested), roster, otherOwners })
  const bans = ({ scope = forum, ...scene }: Ban): Verdict => verdict(decideBan(facts(scene), ACTOR, scope))
  const unbans = ({ scope = forum, ...scene }: Ban): Verdict => verdict(decideUnban(facts(scene), ACTOR, scope))
  const moderator = [at(forum, 'moderator')]

  it('and its end are for those who may ban there, and in the roster for the whole community', () => {
    for (const asked of [bans, unbans]) {
      expect(asked({ actor: moderator })).toBe('ok')
      expect(asked({ actor: [at(forum, 'member')] })).toBe('Forbidden')
      expect(asked({ actor: [at(vault, 'moderator')] })).toBe('NotFound')
      expect(asked({ actor: moderator, scope: COMMUNITY })).toBe('NotFound')
      expect(asked({ actor: [at(roster, 'member')], scope: COMMUNITY })).toBe('Forbidden')
      expect(asked({ actor: [at(roster, 'moderator')], scope: COMMUNITY })).toBe('ok')
    }
  })

  it('never meets somebody above, by whatever way and however late they come to be', () => {
    expect(bans({ actor: moderator, person: [at(forum, 'member')] })).toBe('ok')
    expect(bans({ actor: moderator, person: moderator })).toBe('ok')
    expect(bans({ actor: moderator, person: [at(forum, 'admin')] })).toBe('EscalationDenied')
    expect(bans({ actor: moderator, person: [at(forum, 'admin', { sinceMs: NOW + 9 })] })).toBe('EscalationDenied')
    expect(bans({ actor: moderator, person: [at(forum, 'admin', { untilMs: NOW })] })).toBe('ok')
    const nested = [...OWNERS_COME, comes(forum, moderators, 'admin')]
    expect(bans({ actor: moderator, person: [at(moderators, 'reader')], nested })).toBe('EscalationDenied')
    expect(bans({ actor: [at(roster, 'moderator')], person: [at(forum, 'admin')], scope: COMMUNITY })).toBe(
      'EscalationDenied',
    )
  })

  it('is judged where it bites: in a space whose readers have power elsewhere it takes that power', () => {
    const nested = [...OWNERS_COME, comes(vault, forum, 'moderator', { holding: 'read' })]
    const reader = [at(forum, 'reader')]
    const banner = new Map([...SHIPPED_ROLES, ['banner', new Set<Action>(['members.ban'])]])
    const judged = (own: Edge[], person: Edge[]) => {
      const of = (edges: Edge[]): Lists => ({ ...factsOf(edges, nested), roles: banner })
      const told = { actor: of(own), person: of(person), roster, otherOwners: 1 }
      return verdict(decideBan(given(told), ACTOR, forum))
    }
    expect(judged([at(forum, 'banner')], reader)).toBe('EscalationDenied')
    expect(judged([at(forum, 'banner'), at(vault, 'moderator')], reader)).toBe('ok')
    // Who runs the vault by an entry of their own keeps it: nothing is taken from them there.
    expect(judged([at(forum, 'banner')], [...reader, at(vault, 'moderator')])).toBe('ok')
  })

  it('is not lifted from somebody above either, but by an owner, who lifts any, also where they are kept out', () => {
    expect(unbans({ actor: moderator, person: [at(forum, 'admin')] })).toBe('EscalationDenied')
    expect(unbans({ actor: moderator, person: [at(forum, 'member')] })).toBe('ok')
    const owner = { ...factsOf([at(roster, 'owner')]), bans: [{ scope: forum, untilMs: null }] }
    const person = factsOf([at(forum, 'admin')])
    expect(verdict(decideUnban(given({ actor: owner, person, roster, otherOwners: 0 }), ACTOR, forum))).toBe('ok')
    expect(verdict(decideBan(given({ actor: owner, person, roster, otherOwners: 0 }), ACTOR, forum))).toBe('NotFound')
  })

  it('leaves the last owner, and is no way for an admin to be rid of any', () => {
    const [one, other] = [[at(roster, 'owner')], [at(roster, 'owner')]]
    const whole = { scope: COMMUNITY, person: other }
    expect(bans({ ...whole, actor: one })).toBe('ok')
    expect(bans({ ...whole, actor: one, otherOwners: 0 })).toBe('LastOwner')
    expect(bans({ ...whole, actor: [at(roster, 'admin')] })).toBe('EscalationDenied')
  })
})

describe('leaving', () => {
  const leaves = (own: Edge[], space: SpaceUri, more: Partial<Lists> & { otherOwners?: number } = {}): Verdict => {
    const { otherOwners = 0, ...lists } = more
    const person = factsOfLists({ ...factsOf(own), ...lists })
    return verdict(decideLeave({ person, roster, otherOwners }, PERSON, space))
  }

  it('is open to everybody wherever they stand, and to nobody else', () => {
    expect(leaves([at(forum, 'reader')], forum)).toBe('ok')
    expect(leaves([at(moderators, 'reader')], forum, { nested: [comes(forum, moderators, 'reader')] })).toBe('ok')
    expect(leaves([at(moderators, 'reader')], forum)).toBe('NotFound')
    expect(leaves([at(forum, 'reader')], forum, { bans: [{ scope: forum, untilMs: null }] })).toBe('NotFound')
    expect(leaves([at(forum, 'reader', { sinceMs: NOW + 1 })], forum)).toBe('NotFound')
  })

  it('keeps the last owner in the roster, and nowhere else', () => {
    const owner = [at(roster, 'owner'), at(forum, 'member')]
    expect(leaves(owner, roster)).toBe('LastOwner')
    expect(leaves(owner, roster, { otherOwners: 1 })).toBe('ok')
    expect(leaves(owner, forum)).toBe('ok')
    expect(leaves([at(roster, 'admin')], roster)).toBe('ok')
  })
})

describe('reading', () => {
  const space = spaceNamed('forum')
  type More = Partial<Pick<AccessFacts, 'readPolicy' | 'writePolicy'> & Lists>
  const facts = (own: Edge[], more: More = {}): AccessFacts => {
    const { readPolicy = 'memberList', writePolicy = 'memberList', ...lists } = more
    return { ...factsOfLists({ ...factsOf(own), ...lists }), space, readPolicy, writePolicy, isAtPds: false }
  }
  const ask = (given: AccessFacts, did: Did = PERSON, clientId: ClientId | null = null) =>
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
    const decision = ask(facts([at(forum, 'reader')]), PERSON, 'https://app.example.com/client.json' as ClientId)
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

  describe('by the word of a managing app', () => {
    const MANAGER = serviceNamed('did:web:members.example.com#bouncer')
    const OTHER = serviceNamed('did:web:members.example.com')
    const says = (authorized: boolean, by = MANAGER): Word => ({ by, authorized })
    const managed = (own: Edge[] = [], more: More = {}) => facts(own, { readPolicy: MANAGER, ...more })
    const judged = (given: AccessFacts, word: Word | null, did: Did = PERSON) =>
      decideRead(given, { did, clientId: null }, word)
    const lastOf = (decision: Decision<unknown>) => decision.because.at(-1)

    it('is granted to whom it lets in, and says by whose word', () => {
      const yes = judged(managed(), says(true))
      expect(yes).toMatchObject({ ok: true, value: { managedBy: MANAGER, untilMs: null } })
      expect(lastOf(yes)).toEqual({ rule: 'managingApp', from: 'did:web:members.example.com' })
    })

    it('is refused to whom it refuses, and as long as nobody asked it, each by a rule of its own', () => {
      const about = { from: 'did:web:members.example.com', into: forum, action: 'read' }
      const [no, unasked] = [judged(managed(), says(false)), judged(managed(), null)]
      expect([verdict(no), verdict(unasked)]).toEqual(['UserNotAuthorized', 'UserNotAuthorized'])
      expect(lastOf(no)).toEqual({ rule: 'managingAppRefused', ...about })
      expect(lastOf(unasked)).toEqual({ rule: 'managingAppUnasked', ...about })
    })

    it('counts by the word of the service that the space names, and by no other', () => {
      for (const authorized of [true, false]) {
        expect(lastOf(judged(managed(), says(authorized, OTHER)))?.rule).toBe('managingAppUnasked')
        expect(lastOf(judged(facts([]), says(authorized)))?.rule).toBe('noPath')
        const writable = facts([], { readPolicy: OTHER, writePolicy: MANAGER })
        expect(lastOf(judged(writable, says(authorized)))?.rule).toBe('managingAppUnasked')
        expect(decideWrite(writable, PERSON, says(authorized)).ok).toBe(authorized)
      }
    })

    it('is asked about nobody but whom nothing else lets in and nothing keeps out', () => {
      const asks = (given: AccessFacts, did: Did = PERSON) => appToAsk(given.readPolicy, judged(given, null, did))
      expect(asks(managed())).toBe(MANAGER)
      const banned = { bans: [{ scope: COMMUNITY, untilMs: null }] }
      const denied = new Map([[forum, { mode: 'pinned', unattested: null, rules: new Map() }]] as const)
      for (const [given, did] of [
        [managed([at(forum, 'reader')]), PERSON],
        [managed(), COMMUNITY],
        [managed([], banned), PERSON],
        [managed([], { frozen: [forum] }), PERSON],
        [managed([], { apps: denied }), PERSON],
        [facts([]), PERSON],
        [facts([], { readPolicy: 'public' }), PERSON],
      ] as const) {
        expect(asks(given, did)).toBe(null)
        expect(judged(given, says(true), did)).toEqual(judged(given, null, did))
      }
      // Once it was asked, it isn't asked again, whatever it said.
      for (const authorized of [true, false]) {
        expect(appToAsk(MANAGER, judged(managed(), says(authorized)))).toBe(null)
      }
    })

    it('gives nobody a right besides', () => {
      for (const action of ACTIONS) {
        const isUse = action === 'read' || action === 'write'
        const open = managed([], { writePolicy: MANAGER })
        expect(decidePerson(open, PERSON, action, says(true)).ok).toBe(isUse)
      }
    })
  })

  it("and writing are always open to the authority's own DID, which has no power by it", () => {
    expect(ask(facts([]), COMMUNITY).because.at(-1)).toEqual({ rule: 'authority' })
    for (const action of ACTIONS) {
      const isOpen = action === 'read' || action === 'write'
      expect(verdict(decidePerson(facts([]), COMMUNITY, action))).toBe(isOpen ? 'ok' : 'UserNotAuthorized')
      expect(verdict(decideAct(factsOfLists(factsOf([])), COMMUNITY, action, forum))).toBe('NotFound')
    }
  })

  it('agrees with what a person may do elsewhere in the house, on random communities', () => {
    fc.assert(
      fc.property(anyLists, (lists) => {
        const given = factsOfLists(lists)
        for (const skey of ['s', 't', 'u']) {
          const named = spaceNamed(skey)
          const policies = { readPolicy: 'memberList', writePolicy: 'memberList' } as const
          const all: AccessFacts = { ...given, space: named, ...policies, isAtPds: false }
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
  it('is a permit without a standing, and says so', () => {
    expect(decideFounding(PERSON)).toMatchObject({
      action: 'space.create',
      actor: PERSON,
      because: [{ rule: 'founding' }],
    })
  })

  it('is not the only one: keepers act in a ceremony, and a key of the community names owners, in its name', () => {
    expect(decideKeeper(PERSON)).toMatchObject({
      action: 'keys.ceremony',
      actor: PERSON,
      because: [{ rule: 'keeper' }],
    })
    const because = [{ rule: 'ownKey' }]
    expect(decideOwnKey(COMMUNITY)).toMatchObject({ action: OWNER_MARK, actor: COMMUNITY, because })
  })

  it('leaves an edge by which owners, and nobody else of the roster, stand in a space', () => {
    const roles = [...SHIPPED_ROLES.keys()].filter((role) =>
      standingOf(factsOfLists(factsOf([at(roster, role)]))).has(forum),
    )
    expect(roles).toEqual(['owner'])
  })
})
