/** The verdicts told in examples: who may, who may not and what each is told, one rule after the other. */
import { describe, expect, it } from 'vitest'
import { type ClientId, type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import {
  type AccessFacts,
  decideAct,
  decideBan,
  decideBegun,
  decideEnrolment,
  decideFor,
  decideLeave,
  decideListBans,
  decideOperatorsRotation,
  decidePerson,
  decidePut,
  decideRemove,
  decideUnban,
  decideWrite,
  isManagingApp,
  policyFor,
} from '../../src/policy/decide.ts'
import { decideRevoke } from '../../src/policy/decide-credentials.ts'
import {
  decideAccept,
  decideAsking,
  decideInvite,
  decideJoin,
  decideJoining,
  decideTakingOver,
  decideWithdrawal,
} from '../../src/policy/decide-joining.ts'
import { decideRole, isForForeigners, type RoleChange, spacesUsing } from '../../src/policy/decide-roles.ts'
import {
  decideDelete,
  decideFreeze,
  decideNest,
  decideOpening,
  decideOperatorsFreeze,
  decideUnnest,
  ownersEdge,
} from '../../src/policy/decide-spaces.ts'
import { type Action, OWNER, OWNER_MARK, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import { type Edge, RosterGraph } from '../../src/policy/roster-graph.ts'
import { type StandingFacts, standingOf } from '../../src/policy/standing.ts'
import { beyond, type Decision, judgeAct, openToAnybody, reasonsOf } from '../../src/policy/verdict.ts'
import { ACTOR, CAST, COMMUNITY, factsOfLists, type Lists, NOW, PERSON, spaceNamed } from '../kit/graphs.ts'
import { edge, serviceNamed } from '../kit/rule-stage.ts'

const ROSTER = rosterOf(COMMUNITY).uri
const here = spaceNamed('here')
const [HERE, THERE] = [here.uri, spaceNamed('there').uri]
const [, OTHERS] = CAST.communities as readonly [Did, Did]
const ABROAD = spaceNamed('club', OTHERS).uri

/** The shipped roles, and some that hold one thing each. */
const ROLES = new Map([
  ...SHIPPED_ROLES,
  ['inviter', new Set<Action>(['invite'])],
  ['configurer', new Set<Action>(['space.configure'])],
  ['warden', new Set<Action>(['members.ban'])],
  ['nester', new Set<Action>(['space.nest'])],
])
const OWNERS_COME = [ownersEdge(ROSTER, HERE), ownersEdge(ROSTER, THERE)]

const facts = (own: readonly Edge[], more: Partial<Lists> = {}): StandingFacts =>
  factsOfLists({ own, nested: OWNERS_COME, roles: ROLES, nowMs: NOW, ...more })
const as = (role: string, into: SpaceUri = HERE, more: Partial<Lists> = {}): StandingFacts =>
  facts([edge(ACTOR, into, role)], more)
const nobody = (more: Partial<Lists> = {}): StandingFacts => facts([], more)
const owner = (more: Partial<Lists> = {}): StandingFacts => as(OWNER, ROSTER, more)

const verdict = (decision: Decision<unknown>): string => (decision.ok ? 'ok' : decision.code)
const permitOf = <T>(decision: Decision<T>): T => {
  if (!decision.ok) throw new Error(`refused: ${decision.code}`)
  return decision.value
}
const rulesOf = ({ because }: Decision<unknown>): readonly string[] => because.map(({ rule }) => rule)

describe('what is told', () => {
  it('of a yes is the permit, in whose name, and the way by which they stand there', () => {
    const decision = decideAct(as('moderator'), ACTOR, 'members.add', HERE)
    const because = [{ rule: 'edge', into: HERE, from: ACTOR, role: 'moderator' }]
    expect(decision).toEqual({ ok: true, value: { action: 'members.add', actor: ACTOR, because }, because })
  })

  it('of a no is what was missing: by another name to those who stand there than to strangers', () => {
    const because = [{ rule: 'noPath', into: HERE, action: 'members.ban' }]
    expect(decideAct(as('reader'), ACTOR, 'members.ban', HERE)).toEqual({ ok: false, code: 'Forbidden', because })
    expect(decideAct(nobody(), ACTOR, 'members.ban', HERE)).toEqual({ ok: false, code: 'NotFound', because })
    expect(decideAct(as('moderator', THERE), ACTOR, 'members.ban', HERE)).toEqual({
      ...{ ok: false, code: 'NotFound', because },
    })
  })

  it('of a way is as much of it as is this community’s', () => {
    const [ours, theirs] = [edge(ABROAD, HERE, 'reader'), edge(ACTOR, ABROAD, 'reader')]
    expect(reasonsOf([ours, theirs], COMMUNITY)).toEqual([{ rule: 'edge', into: HERE, from: ABROAD, role: 'reader' }])
    expect(reasonsOf([ours, theirs], OTHERS)).toEqual([{ rule: 'edge', into: ABROAD, from: ACTOR, role: 'reader' }])
  })

  it('of what goes too far is where, and which power', () => {
    const power = { space: HERE, action: 'members.ban' } as const
    const about = { into: HERE, action: 'members.ban' }
    expect(beyond(power)).toEqual({ ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', ...about }] })
    expect(openToAnybody(power)).toEqual({
      ok: false,
      code: 'OpenToAnybody',
      because: [{ rule: 'openJoining', ...about }],
    })
  })

  it('is judged by the standing that is given', () => {
    const standing = standingOf(as('moderator'))
    expect(verdict(judgeAct(standing, ACTOR, 'members.add', HERE))).toBe('ok')
    expect(verdict(judgeAct(standing, ACTOR, 'members.add', THERE))).toBe('NotFound')
  })
})

describe('what goes on without a standing', () => {
  it('is in the name of the service, of whoever began it, or of the community', () => {
    expect(decideOperatorsRotation(OTHERS)).toEqual({
      ...{ action: 'keys.ceremony', actor: OTHERS, because: [{ rule: 'operator' }] },
    })
    expect(decideOperatorsFreeze(OTHERS)).toEqual({
      ...{ action: 'community.configure', actor: OTHERS, because: [{ rule: 'operator' }] },
    })
    expect(decideBegun(ACTOR)).toEqual({ action: 'keys.ceremony', actor: ACTOR, because: [{ rule: 'begun' }] })
  })

  it('is one’s own keys, for whoever is in the roster, by whatever way', () => {
    const because = [{ rule: 'self', into: ROSTER, from: ACTOR }]
    expect(decideEnrolment(as('reader', ROSTER), ACTOR)).toEqual({ ok: true, value: because, because })
    expect(decideEnrolment(owner(), ACTOR).ok).toBe(true)
    expect(decideEnrolment(as('admin'), ACTOR)).toEqual({
      ...{ ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: ROSTER }] },
    })
  })
})

describe('taking back credentials', () => {
  it('is for those who hold that there; of the whole community, for those who hold it in the roster', () => {
    expect(verdict(decideRevoke(as('moderator'), ACTOR, HERE))).toBe(
      SHIPPED_ROLES.get('moderator')?.has('credentials.revoke') ? 'ok' : 'Forbidden',
    )
    expect(verdict(decideRevoke(as('admin'), ACTOR, HERE))).toBe('ok')
    expect(verdict(decideRevoke(as('reader'), ACTOR, HERE))).toBe('Forbidden')
    expect(verdict(decideRevoke(as('admin'), ACTOR, COMMUNITY))).toBe('NotFound')
    expect(verdict(decideRevoke(as('admin', ROSTER), ACTOR, COMMUNITY))).toBe('ok')
    expect(verdict(decideRevoke(as('admin', ROSTER), ACTOR, HERE))).toBe('NotFound')
    expect(verdict(decideRevoke(as('reader', ROSTER), ACTOR, COMMUNITY))).toBe('Forbidden')
    const because = [{ rule: 'edge', into: ROSTER, from: ACTOR, role: 'admin' }]
    expect(decideRevoke(as('admin', ROSTER), ACTOR, COMMUNITY)).toEqual({
      ...{ ok: true, value: { action: 'credentials.revoke', actor: ACTOR, because }, because },
    })
  })
})

describe('reading and writing', () => {
  const APP = 'https://app.example.com/client.json' as ClientId
  const MANAGER = serviceNamed('did:web:members.example.com#bouncer')
  const closed = new Map([[HERE, { mode: 'allowList', unattested: null, rules: new Map() }]] as const)
  const access = (of: StandingFacts, more: Partial<AccessFacts> = {}): AccessFacts => ({
    ...of,
    ...{ space: here, readPolicy: 'memberList', writePolicy: 'memberList', isAtPds: false },
    ...more,
  })

  it('are open for reading as the one policy says, for writing as the other, and nothing else is', () => {
    const open = access(nobody(), { readPolicy: 'public', writePolicy: MANAGER })
    expect([policyFor(open, 'read'), policyFor(open, 'write')]).toEqual(['public', MANAGER])
    for (const action of [null, 'members.read', 'members.add'] as const) expect(policyFor(open, action)).toBe(null)
    expect(['public', 'memberList', MANAGER].map((policy) => isManagingApp(policy as 'public'))).toEqual([
      ...[false, false, true],
    ])
  })

  it('of somebody who stands there are told by their way, and else by what was missing', () => {
    expect(decidePerson(access(as('reader')), ACTOR, 'read')).toEqual({
      ...{ ok: true, value: true, because: [{ rule: 'edge', into: HERE, from: ACTOR, role: 'reader' }] },
    })
    expect(decidePerson(access(as('reader')), ACTOR, null).ok).toBe(true)
    expect(decidePerson(access(nobody()), ACTOR, null)).toEqual({
      ...{ ok: false, code: 'UserNotAuthorized', because: [{ rule: 'noPath', into: HERE }] },
    })
    expect(decidePerson(access(nobody()), ACTOR, 'read').because).toEqual([
      { rule: 'noPath', into: HERE, action: 'read' },
    ])
  })

  it('rest with the space, or with everything; whoever governs there goes on', () => {
    for (const rest of [{ frozen: [HERE] }, { isAllFrozen: true }]) {
      const resting = access(as('admin', HERE, rest))
      for (const action of ['read', 'write'] as const) {
        const because = [{ rule: 'frozen', into: HERE, action }]
        expect(decidePerson(resting, ACTOR, action)).toEqual({ ok: false, code: 'UserNotAuthorized', because })
      }
      expect(decidePerson(resting, ACTOR, 'members.add').ok).toBe(true)
      expect(decidePerson(resting, ACTOR, null).ok).toBe(true)
      // The authority's own account is told nothing else by it.
      expect(decidePerson(resting, COMMUNITY, 'read').ok).toBe(true)
    }
  })

  it('are not for whoever is banned from the space or its community, while that lasts', () => {
    for (const scope of [HERE, COMMUNITY]) {
      const of = (untilMs: number | null) => access(as('admin', HERE, { bans: [{ scope, untilMs }] }))
      expect(decidePerson(of(null), ACTOR, 'read')).toEqual({
        ...{ ok: false, code: 'UserNotAuthorized', because: [{ rule: 'ban', into: HERE, action: 'read' }] },
      })
      expect(decidePerson(of(NOW + 1), ACTOR, 'members.add').because).toEqual([
        ...[{ rule: 'ban', into: HERE, action: 'members.add' }],
      ])
      expect(decidePerson(of(null), ACTOR, null).because).toEqual([{ rule: 'ban', into: HERE }])
      expect(decidePerson(of(NOW), ACTOR, 'read').ok).toBe(true)
    }
    const elsewhere = access(as('admin', HERE, { bans: [{ scope: THERE, untilMs: null }] }))
    expect(decidePerson(elsewhere, ACTOR, 'read').ok).toBe(true)
  })

  it('as they are told of: an admission with its reasons, or Forbidden', () => {
    const because = [{ rule: 'edge', into: HERE, from: ACTOR, role: 'writer' }]
    expect(decideWrite(access(as('writer')), ACTOR)).toEqual({
      ...{ ok: true, value: { space: here, did: ACTOR, because }, because },
    })
    expect(decideWrite(access(as('reader')), ACTOR)).toEqual({
      ...{ ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: HERE, action: 'write' }] },
    })
    expect(decideWrite(access(nobody(), { writePolicy: 'public' }), ACTOR).ok).toBe(true)
    expect(decideWrite(access(nobody(), { readPolicy: 'public' }), ACTOR).ok).toBe(false)
  })

  it('beforehand are judged with the app where the real thing would be', () => {
    const shut = (isAtPds: boolean) => access(as('writer', HERE, { apps: closed }), { isAtPds })
    const asked = (isAtPds: boolean, action: Action | null, clientId: ClientId | null) =>
      verdict(decideFor(shut(isAtPds), { did: ACTOR, clientId }, action))
    for (const isAtPds of [false, true]) {
      for (const clientId of [APP, null]) expect(asked(isAtPds, 'read', clientId)).toBe('AppNotAuthorized')
      expect(asked(isAtPds, 'write', null)).toBe('ok')
      for (const action of ['members.add', null] as const) {
        expect(asked(isAtPds, action, APP)).toBe(action === null ? 'ok' : 'UserNotAuthorized')
      }
    }
    expect(asked(true, 'write', APP)).toBe('AppNotAuthorized')
    expect(asked(false, 'write', APP)).toBe('ok')
    const open = access(as('writer'), { isAtPds: true })
    expect(rulesOf(decideFor(open, { did: ACTOR, clientId: APP }, 'write'))).toEqual(['openToApps', 'edge'])
    expect(rulesOf(decideFor(open, { did: ACTOR, clientId: null }, 'write'))).toEqual(['edge'])
    expect(decideFor(shut(true), { did: ACTOR, clientId: APP }, 'read')).toEqual({
      ...{ ok: false, code: 'AppNotAuthorized', because: [{ rule: 'appUnlisted', from: HERE }] },
    })
  })
})

describe('a roster', () => {
  const about = (actor: StandingFacts, person: StandingFacts, otherOwners = 0) => ({
    ...{ actor, person, roster: ROSTER, otherOwners },
  })
  const member = edge(PERSON, HERE, 'member')

  it('is changed with a permit for what is done, in the name of whoever does it', () => {
    const change = { space: HERE, person: PERSON, before: null, after: member }
    const because = [{ rule: 'edge', into: HERE, from: ACTOR, role: 'moderator' }]
    expect(decidePut(about(as('moderator'), nobody()), ACTOR, change)).toEqual({
      ...{ ok: true, value: { action: 'members.add', actor: ACTOR, because }, because },
    })
    const removal = { space: HERE, person: PERSON, before: member, after: null }
    const person = facts([member])
    expect(decideRemove(about(as('moderator'), person), ACTOR, removal)).toEqual({
      ...{ ok: true, value: { action: 'members.remove', actor: ACTOR, because }, because },
    })
  })

  it('is left by everybody by themself, and that is the reason', () => {
    const person = facts([edge(PERSON, HERE, 'reader')])
    const removal = { space: HERE, person: PERSON, before: edge(PERSON, HERE, 'reader'), after: null }
    const because = [{ rule: 'self', into: HERE, from: PERSON }]
    expect(decideRemove(about(person, person), PERSON, removal)).toEqual({
      ...{ ok: true, value: { action: 'members.remove', actor: PERSON, because }, because },
    })
    expect(decideRemove(about(as('reader'), person), ACTOR, removal)).toEqual({
      ...{ ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: HERE, action: 'members.remove' }] },
    })
  })

  it('is left in the same way without an entry of one’s own, and by nobody who doesn’t stand there', () => {
    const through = facts([edge(PERSON, THERE, 'reader')], { nested: [...OWNERS_COME, edge(THERE, HERE, 'reader')] })
    const leaving = { person: through, roster: ROSTER, otherOwners: 0 }
    const because = [{ rule: 'self', into: HERE, from: PERSON }]
    expect(decideLeave(leaving, PERSON, HERE)).toEqual({
      ...{ ok: true, value: { action: 'members.remove', actor: PERSON, because }, because },
    })
    expect(decideLeave({ ...leaving, person: nobody() }, PERSON, HERE)).toEqual({
      ...{ ok: false, code: 'NotFound', because: [{ rule: 'noPath', into: HERE }] },
    })
  })

  it('keeps its last owner, and says so', () => {
    const alone = facts([edge(PERSON, ROSTER, OWNER)])
    const lastOwner = { ok: false, code: 'LastOwner', because: [{ rule: 'lastOwner' }] }
    expect(decideLeave({ person: alone, roster: ROSTER, otherOwners: 0 }, PERSON, ROSTER)).toEqual(lastOwner)
    expect(decideLeave({ person: alone, roster: ROSTER, otherOwners: 1 }, PERSON, ROSTER).ok).toBe(true)
    expect(decideLeave({ person: alone, roster: ROSTER, otherOwners: 0 }, PERSON, HERE).ok).toBe(true)
    const member = facts([edge(PERSON, ROSTER, 'member')])
    expect(decideLeave({ person: member, roster: ROSTER, otherOwners: 0 }, PERSON, ROSTER).ok).toBe(true)
    const removal = { space: ROSTER, person: PERSON, before: edge(PERSON, ROSTER, OWNER), after: null }
    expect(decideRemove(about(alone, alone), PERSON, removal)).toEqual(lastOwner)
    expect(decideBan(about(owner(), alone), ACTOR, COMMUNITY)).toEqual(lastOwner)
    expect(decideBan(about(owner(), alone, 1), ACTOR, COMMUNITY).ok).toBe(true)
    expect(decideBan(about(owner(), alone), ACTOR, HERE).ok).toBe(true)
    expect(decideBan(about(owner(), member), ACTOR, COMMUNITY).ok).toBe(true)
  })
})

describe('a ban', () => {
  const about = (actor: StandingFacts, person = nobody()) => ({ actor, person, roster: ROSTER, otherOwners: 1 })

  it('is seen, made and lifted by those who may ban there, and in the roster for the whole community', () => {
    for (const [actor, scope, expected] of [
      [as('warden'), HERE, 'ok'],
      [as('warden'), COMMUNITY, 'NotFound'],
      [as('warden', ROSTER), COMMUNITY, 'ok'],
      [as('warden', ROSTER), HERE, 'NotFound'],
      [as('reader'), HERE, 'Forbidden'],
      [nobody(), HERE, 'NotFound'],
    ] as const) {
      expect(verdict(decideListBans(actor, ACTOR, scope))).toBe(expected)
      expect(verdict(decideBan(about(actor), ACTOR, scope))).toBe(expected)
      expect(verdict(decideUnban({ actor, person: nobody() }, ACTOR, scope))).toBe(expected)
    }
  })

  it('is seen and lifted by every owner, also where they are kept out, by the way by which they are one', () => {
    const keptOut = owner({ bans: [{ scope: HERE, untilMs: null }] })
    const because = [{ rule: 'edge', into: ROSTER, from: ACTOR, role: OWNER }]
    const permit = { ok: true, value: { action: 'members.ban', actor: ACTOR, because }, because }
    expect(decideListBans(keptOut, ACTOR, HERE)).toEqual(permit)
    expect(decideUnban({ actor: keptOut, person: facts([edge(PERSON, ROSTER, 'admin')]) }, ACTOR, HERE)).toEqual(permit)
    expect(verdict(decideBan(about(keptOut), ACTOR, HERE))).toBe('NotFound')
  })

  it('neither meets somebody above nor lets them in again, by a hand that has less', () => {
    const above = facts([edge(PERSON, HERE, 'admin')])
    const over = { ok: false, code: 'EscalationDenied' }
    expect(decideBan(about(as('warden'), above), ACTOR, HERE)).toMatchObject(over)
    expect(decideUnban({ actor: as('warden'), person: above }, ACTOR, HERE)).toMatchObject(over)
    expect(decideBan(about(owner(), above), ACTOR, HERE).ok).toBe(true)
  })
})

describe('a space', () => {
  /** Who reads here moderates there. */
  const withPower = { nested: [...OWNERS_COME, edge(HERE, THERE, 'moderator', { holding: 'read' })] }

  it('is opened, and closed again, by an owner who configures it', () => {
    expect(verdict(decideOpening(owner(), ACTOR, HERE))).toBe('ok')
    expect(verdict(decideOpening(nobody(), ACTOR, HERE))).toBe('NotFound')
    expect(verdict(decideOpening(as('reader'), ACTOR, HERE))).toBe('Forbidden')
    expect(decideOpening(as('admin'), ACTOR, HERE)).toEqual({
      ...{ ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: ROSTER, action: OWNER_MARK }] },
    })
  })

  it('is put to rest by those who configure it, and hold what its people have by it', () => {
    expect(verdict(decideFreeze(as('configurer'), ACTOR, HERE))).toBe('ok')
    expect(verdict(decideFreeze(as('reader'), ACTOR, HERE))).toBe('Forbidden')
    expect(verdict(decideFreeze(nobody(), ACTOR, HERE))).toBe('NotFound')
    expect(decideFreeze(as('configurer', HERE, withPower), ACTOR, HERE)).toMatchObject({
      ...{ ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into: THERE }] },
    })
    expect(verdict(decideFreeze(owner(withPower), ACTOR, HERE))).toBe('ok')
    expect(decideFreeze(as('configurer'), ACTOR, HERE)).toMatchObject({ value: { action: 'space.configure' } })
  })

  it('is ended by those who may, and hold what its people have by it', () => {
    expect(permitOf(decideDelete(owner(withPower), ACTOR, HERE))).toMatchObject({
      action: 'space.delete',
      actor: ACTOR,
    })
    expect(verdict(decideDelete(as('configurer'), ACTOR, HERE))).toBe('Forbidden')
  })

  it('is nested with a permit for that, and an entry with power by an owner', () => {
    const after = edge(THERE, HERE, 'reader')
    expect(permitOf(decideNest(owner(), ACTOR, { before: null, after }))).toMatchObject({ action: 'space.nest' })
    expect(decideNest(as('admin'), ACTOR, { before: null, after: edge(THERE, HERE, 'warden') })).toEqual({
      ...{ ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into: HERE, action: 'members.ban' }] },
    })
    expect(verdict(decideNest(as('reader'), ACTOR, { before: null, after }))).toBe('Forbidden')
  })

  it('is nested, and taken off again, by those who hold all that its people get by it, wherever that leads', () => {
    const ours = edge(THERE, HERE, 'reader')
    const over = { ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into: THERE }] }
    const leading = { nested: [...withPower.nested, ours] }
    expect(decideNest(as('nester', HERE, withPower), ACTOR, { before: null, after: ours })).toMatchObject(over)
    expect(decideNest(as('nester', HERE, leading), ACTOR, { before: ours, after: ours }).ok).toBe(true)
    // In its place one that lets in fewer, and nobody at all.
    const fewer = { ...ours, holding: 'write' } as const
    expect(decideNest(as('nester', HERE, leading), ACTOR, { before: ours, after: fewer })).toMatchObject(over)
    expect(decideUnnest(as('nester', HERE, leading), ACTOR, ours)).toMatchObject(over)
    expect(decideUnnest(as('nester', HERE, { nested: [...OWNERS_COME, ours] }), ACTOR, ours).ok).toBe(true)
    expect(verdict(decideUnnest(as('reader', HERE, leading), ACTOR, ours))).toBe('Forbidden')
    expect(decideUnnest(as('nester'), ACTOR, ours)).toMatchObject({ value: { action: 'space.nest', actor: ACTOR } })
  })

  it('that takes everybody gets no entry by which power comes to them', () => {
    const openings = [edge(COMMUNITY, THERE, 'reader')]
    const after = edge(THERE, HERE, 'reader')
    const decision = decideNest(owner({ ...withPower, openings }), ACTOR, { before: null, after })
    expect(decision).toMatchObject({
      ok: false,
      code: 'OpenToAnybody',
      because: [{ rule: 'openJoining', into: THERE }],
    })
    const asked = { before: null, after: { ...after, holding: 'write' } } as const
    expect(decideNest(owner({ ...withPower, openings }), ACTOR, asked).ok).toBe(true)
  })

  it('is nobody’s to change who may not, and where it leads they aren’t told', () => {
    const ours = edge(THERE, HERE, 'reader')
    const nested = [...withPower.nested, ours]
    for (const [actor, expected] of [
      [nobody({ nested }), 'NotFound'],
      [as('reader', ROSTER, { nested }), 'NotFound'],
      [as('writer', HERE, { nested: nested.map((one) => ({ ...one, holding: 'members.add' as const })) }), 'Forbidden'],
    ] as const) {
      expect(verdict(decideNest(actor, ACTOR, { before: null, after: edge(THERE, HERE, 'warden') }))).toBe(expected)
      expect(verdict(decideNest(actor, ACTOR, { before: null, after: ours }))).toBe(expected)
      expect(verdict(decideUnnest(actor, ACTOR, ours))).toBe(expected)
      expect(verdict(decideDelete(actor, ACTOR, HERE))).toBe(expected)
      expect(verdict(decideFreeze(actor, ACTOR, HERE))).toBe(expected)
    }
  })

  it('is nested with a role that nobody knows as with one that gives nothing', () => {
    expect(decideNest(as('nester'), ACTOR, { before: null, after: edge(THERE, HERE, 'ghost') }).ok).toBe(true)
  })

  it('of another community is nested and taken off by anybody who nests, whatever its people get by it', () => {
    const after = edge(ABROAD, HERE, 'reader')
    const nested = [...withPower.nested, after]
    expect(decideNest(as('nester', HERE, withPower), ACTOR, { before: null, after }).ok).toBe(true)
    expect(decideUnnest(as('nester', HERE, { nested }), ACTOR, after).ok).toBe(true)
  })
})

describe('an invite', () => {
  const entry = edge(PERSON, HERE, 'reader')

  it('is made by those who may invite; one that carries power, by those who assign roles besides', () => {
    expect(permitOf(decideInvite(as('inviter'), ACTOR, entry))).toMatchObject({ action: 'invite', actor: ACTOR })
    expect(verdict(decideInvite(as('reader'), ACTOR, entry))).toBe('Forbidden')
    expect(verdict(decideInvite(nobody(), ACTOR, entry))).toBe('NotFound')
    expect(decideInvite(as('inviter'), ACTOR, edge(PERSON, HERE, 'warden'))).toEqual({
      ...{ ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: HERE, action: 'role.assign' }] },
    })
    expect(verdict(decideInvite(as('moderator'), ACTOR, edge(PERSON, HERE, 'moderator')))).toBe('Forbidden')
    expect(decideInvite(as('inviter'), ACTOR, edge(PERSON, HERE, 'ghost')).ok).toBe(true)
    expect(permitOf(decideInvite(as('admin'), ACTOR, edge(PERSON, HERE, 'warden')))).toMatchObject({ action: 'invite' })
    expect(verdict(decideInvite(as('admin'), ACTOR, edge(PERSON, HERE, OWNER)))).toBe('EscalationDenied')
  })

  it('is taken in the name of its maker, by the invite and by what let them make it', () => {
    const because = [
      { rule: 'invite', into: HERE, from: ACTOR, role: 'reader' },
      { rule: 'edge', into: HERE, from: ACTOR, role: 'inviter' },
    ]
    const decision = decideAccept({ maker: as('inviter'), person: nobody() }, ACTOR, { before: null, after: entry })
    expect(decision).toEqual({ ok: true, value: { action: 'members.add', actor: ACTOR, because }, because })
  })

  it('is worth nothing once its maker may not invite, or where the person is kept out, or the space rests', () => {
    const taken = (maker: StandingFacts, person: StandingFacts, before: Edge | null = null, after = entry) =>
      decideAccept({ maker, person }, ACTOR, { before, after })
    expect(verdict(taken(as('reader'), nobody()))).toBe('Forbidden')
    expect(verdict(taken(as('inviter'), nobody(), null, edge(PERSON, HERE, 'warden')))).toBe('Forbidden')
    for (const scope of [HERE, COMMUNITY]) {
      expect(taken(as('inviter'), nobody({ bans: [{ scope, untilMs: null }] }))).toEqual({
        ...{ ok: false, code: 'UserNotAuthorized', because: [{ rule: 'ban', into: HERE }] },
      })
    }
    expect(taken(as('inviter'), nobody({ frozen: [HERE] }))).toEqual({
      ...{ ok: false, code: 'UserNotAuthorized', because: [{ rule: 'frozen', into: HERE }] },
    })
    // In place of an entry with more, which whoever made it may not take.
    const admin = edge(PERSON, HERE, 'admin')
    expect(verdict(taken(as('inviter'), facts([admin]), admin))).toBe('EscalationDenied')
  })

  it('brings nobody back with more than its maker has', () => {
    const nested = [...OWNERS_COME, edge(THERE, HERE, 'admin')]
    const gone = facts([edge(PERSON, THERE, 'reader')], { nested, left: [HERE] })
    const taken = (maker: StandingFacts) => decideAccept({ maker, person: gone }, ACTOR, { before: null, after: entry })
    expect(taken(as('inviter', HERE, { nested }))).toMatchObject({ ok: false, code: 'EscalationDenied' })
    expect(taken(owner({ nested })).ok).toBe(true)
  })
})

describe('a space that takes everybody', () => {
  const opening = edge(COMMUNITY, HERE, 'reader')

  it('is made one, and closed again, by those who configure it', () => {
    for (const entry of [opening, null]) {
      expect(permitOf(decideJoining(as('configurer'), ACTOR, HERE, entry))).toMatchObject({ action: 'space.configure' })
      expect(verdict(decideJoining(as('reader'), ACTOR, HERE, entry))).toBe('Forbidden')
      expect(verdict(decideJoining(nobody(), ACTOR, HERE, entry))).toBe('NotFound')
    }
  })

  it('gives nobody power, by its entry or by where that leads', () => {
    const about = (into: SpaceUri) => ({ ok: false, code: 'OpenToAnybody', because: [{ rule: 'openJoining', into }] })
    const warden = edge(COMMUNITY, HERE, 'warden')
    expect(decideJoining(owner(), ACTOR, HERE, warden)).toMatchObject(about(HERE))
    expect(decideJoin(nobody(), PERSON, warden)).toMatchObject(about(HERE))
    const nested = [...OWNERS_COME, edge(HERE, THERE, 'moderator')]
    expect(decideJoining(owner({ nested }), ACTOR, HERE, opening)).toMatchObject(about(THERE))
    expect(decideJoin(nobody({ nested }), PERSON, opening)).toMatchObject(about(THERE))
    // Together with what another space gives everybody; the entry that this one had until now is gone.
    const both = [...OWNERS_COME, edge(HERE, THERE, 'moderator', { holding: 'write' })]
    const openings = [edge(COMMUNITY, THERE, 'reader'), edge(COMMUNITY, HERE, 'writer')]
    expect(decideJoining(owner({ nested: both, openings }), ACTOR, HERE, opening).ok).toBe(true)
    expect(
      decideJoining(
        owner({ nested: both, openings: [edge(COMMUNITY, HERE, 'writer')] }),
        ACTOR,
        THERE,
        edge(COMMUNITY, THERE, 'reader'),
      ),
    ).toMatchObject(about(THERE))
  })

  it('is joined by whoever asks, in their own name', () => {
    const because = [{ rule: 'openJoining', into: HERE, from: PERSON, role: 'reader' }]
    expect(decideJoin(nobody(), PERSON, opening)).toEqual({
      ...{ ok: true, value: { action: 'members.add', actor: PERSON, because }, because },
    })
  })

  it('is not joined by whoever is kept out, nor while it rests, nor to get back what somebody else gave once', () => {
    const no = (rule: string) => ({ ok: false, code: 'UserNotAuthorized', because: [{ rule, into: HERE }] })
    for (const scope of [HERE, COMMUNITY]) {
      expect(decideJoin(nobody({ bans: [{ scope, untilMs: null }] }), PERSON, opening)).toEqual(no('ban'))
      expect(decideAsking(nobody({ bans: [{ scope, untilMs: null }] }), PERSON, HERE)).toEqual(no('ban'))
      expect(decideJoin(nobody({ bans: [{ scope, untilMs: NOW }] }), PERSON, opening).ok).toBe(true)
    }
    expect(decideJoin(nobody({ bans: [{ scope: THERE, untilMs: null }] }), PERSON, opening).ok).toBe(true)
    for (const rest of [{ frozen: [HERE] }, { isAllFrozen: true }]) {
      expect(decideJoin(nobody(rest), PERSON, opening)).toEqual(no('frozen'))
      expect(decideAsking(nobody(rest), PERSON, HERE)).toEqual(no('frozen'))
    }
    const nested = [...OWNERS_COME, edge(THERE, HERE, 'admin')]
    const gone = facts([edge(PERSON, THERE, 'reader')], { nested, left: [HERE] })
    expect(decideJoin(gone, PERSON, opening)).toMatchObject({ ok: false, code: 'EscalationDenied' })
  })

  it('and every other is asked for, and the asking taken back, by anybody', () => {
    const because = [{ rule: 'self', into: HERE, from: PERSON }]
    const asking = { ok: true, value: { space: HERE, did: PERSON }, because }
    expect(decideAsking(nobody(), PERSON, HERE)).toEqual(asking)
    expect(decideWithdrawal(PERSON, HERE)).toEqual(asking)
  })
})

describe('taking a community over', () => {
  const offered = (maker: StandingFacts, person: StandingFacts) => decideTakingOver({ owner: maker, person }, ACTOR)

  it('is an owner’s to offer', () => {
    expect(permitOf(offered(owner(), nobody()))).toMatchObject({ action: 'community.transfer', actor: ACTOR })
    expect(verdict(offered(as('admin', ROSTER), nobody()))).toBe('Forbidden')
    expect(verdict(offered(nobody(), nobody()))).toBe('NotFound')
  })

  it('is for nobody who is kept out of the roster', () => {
    for (const scope of [ROSTER, COMMUNITY]) {
      expect(offered(owner(), nobody({ bans: [{ scope, untilMs: null }] }))).toEqual({
        ...{ ok: false, code: 'UserNotAuthorized', because: [{ rule: 'ban', into: ROSTER }] },
      })
    }
    expect(offered(owner(), nobody({ bans: [{ scope: HERE, untilMs: null }] })).ok).toBe(true)
  })
})

describe('what a role allows', () => {
  const change = (before: readonly Action[] | null, after: readonly Action[] | null, name = 'one'): RoleChange => ({
    name,
    before: before === null ? null : new Set(before),
    after: after === null ? null : new Set(after),
  })
  const NOBODY_HAS_IT = new Map()
  const held = (space: SpaceUri, ...roles: string[]) => new Map([[space, new Set(roles)]])
  const withRoles = (...more: (readonly [string, readonly Action[]])[]) =>
    new Map([...ROLES, ...more.map(([name, actions]) => [name, new Set(actions)] as const)])
  const keeper = { roles: withRoles(['keeper', ['role.configure']]) }
  const guard = { roles: withRoles(['keeper', ['role.configure', 'members.ban']], ['one', ['members.ban']]) }

  it('is said by those who configure roles in the roster', () => {
    const more = change(null, ['read'])
    expect(permitOf(decideRole(owner(), ACTOR, more, NOBODY_HAS_IT))).toMatchObject({ action: 'role.configure' })
    expect(verdict(decideRole(as('keeper', ROSTER, keeper), ACTOR, more, NOBODY_HAS_IT))).toBe('ok')
    expect(verdict(decideRole(as('reader', ROSTER, keeper), ACTOR, more, NOBODY_HAS_IT))).toBe('Forbidden')
    expect(verdict(decideRole(as('keeper', HERE, keeper), ACTOR, more, NOBODY_HAS_IT))).toBe('NotFound')
  })

  it('is never more than they hold for good, in the roster, where somebody has the role, and where it leads from there', () => {
    const bans = change([], ['members.ban'])
    const at = (into: SpaceUri) => ({
      ...{ ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into, action: 'members.ban' }] },
    })
    expect(decideRole(as('keeper', ROSTER, keeper), ACTOR, bans, NOBODY_HAS_IT)).toEqual(at(ROSTER))
    const guards = as('keeper', ROSTER, guard)
    expect(decideRole(guards, ACTOR, bans, NOBODY_HAS_IT).ok).toBe(true)
    expect(decideRole(guards, ACTOR, bans, held(HERE, 'one'))).toEqual(at(HERE))
    expect(decideRole(guards, ACTOR, bans, held(HERE, 'other')).ok).toBe(true)
    const nested = [...OWNERS_COME, edge(THERE, HERE, 'one')]
    expect(decideRole(as('keeper', ROSTER, { ...guard, nested }), ACTOR, bans, NOBODY_HAS_IT)).toEqual(at(HERE))
    const ending = facts([edge(ACTOR, ROSTER, 'keeper', { untilMs: NOW + 9 })], guard)
    expect(decideRole(ending, ACTOR, bans, NOBODY_HAS_IT)).toEqual(at(ROSTER))
    expect(decideRole(owner(guard), ACTOR, bans, held(HERE, 'one')).ok).toBe(true)
  })

  it('is judged by where it leads: what asks for it opens, and a new role opens what asks for nothing', () => {
    const asks = { nested: [...OWNERS_COME, edge(HERE, THERE, 'warden', { holding: 'write' })], ...keeper }
    const asksNothing = { nested: [...OWNERS_COME, edge(HERE, THERE, 'warden')], ...keeper }
    const by = (more: Partial<Lists>) => as('keeper', ROSTER, more)
    const over = {
      ok: false,
      code: 'EscalationDenied',
      because: [{ rule: 'bound', into: THERE, action: 'members.ban' }],
    }
    expect(decideRole(by(asks), ACTOR, change([], ['write']), held(HERE, 'one'))).toEqual(over)
    expect(decideRole(by(asks), ACTOR, change([], ['read']), held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(asks), ACTOR, change(['write'], ['write', 'read']), held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(asksNothing), ACTOR, change([], ['read']), held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(asksNothing), ACTOR, change(null, ['read']), held(HERE, 'one'))).toEqual(over)
    // Whoever has it stands there, also where it allows nothing.
    expect(decideRole(by(asksNothing), ACTOR, change(null, []), held(HERE, 'one'))).toEqual(over)
    expect(decideRole(by(asksNothing), ACTOR, change(null, null), held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(asksNothing), ACTOR, change(['read'], []), held(HERE, 'one')).ok).toBe(true)
    // Whoever may not change roles isn't told of any of this.
    expect(verdict(decideRole(nobody(asks), ACTOR, change([], ['write']), held(HERE, 'one')))).toBe('NotFound')
  })

  it('is taken from nobody above, where they have it or are by it', () => {
    const less = change(['read', 'write'], ['read'])
    const roles = withRoles(['keeper', ['role.configure']], ['one', ['read', 'write']])
    const by = (more: Partial<Lists> = {}) => as('keeper', ROSTER, { roles, ...more })
    const over = (into: SpaceUri) => ({ ok: false, code: 'EscalationDenied', because: [{ rule: 'bound', into }] })
    expect(decideRole(by(), ACTOR, less, held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(), ACTOR, less, held(HERE, 'one', 'warden'))).toMatchObject(over(HERE))
    expect(decideRole(by(), ACTOR, less, held(HERE, 'one', OWNER)).ok).toBe(true)
    expect(decideRole(by(), ACTOR, less, new Map([...held(HERE, 'one'), ...held(THERE, 'warden')])).ok).toBe(true)
    const nested = [...OWNERS_COME, edge(HERE, THERE, 'warden', { holding: 'write' })]
    expect(decideRole(by({ nested }), ACTOR, less, held(HERE, 'one'))).toMatchObject(over(THERE))
    const asksOther = [...OWNERS_COME, edge(HERE, THERE, 'warden', { holding: 'read' })]
    expect(decideRole(by({ nested: asksOther }), ACTOR, less, held(HERE, 'one')).ok).toBe(true)
    expect(decideRole(by(), ACTOR, change(['read', 'write'], null), held(HERE, 'one', 'warden'))).toMatchObject(
      over(HERE),
    )
    expect(decideRole(by(), ACTOR, change(['read'], ['read']), held(HERE, 'one', 'warden')).ok).toBe(true)
  })

  it('comes to nobody who only has to ask', () => {
    const openings = [edge(COMMUNITY, HERE, 'one')]
    const decision = decideRole(owner({ openings }), ACTOR, change(['read'], ['read', 'members.ban']), NOBODY_HAS_IT)
    expect(decision).toEqual({
      ...{ ok: false, code: 'OpenToAnybody', because: [{ rule: 'openJoining', into: HERE, action: 'members.ban' }] },
    })
    expect(decideRole(owner({ openings }), ACTOR, change(['read'], ['write']), NOBODY_HAS_IT).ok).toBe(true)
    // Gone is gone, also for those who would get it.
    expect(
      decideRole(
        owner({ openings, roles: withRoles(['one', ['members.ban']]) }),
        ACTOR,
        change(['members.ban'], null),
        NOBODY_HAS_IT,
      ).ok,
    ).toBe(true)
  })

  it('is used where somebody has it, by an entry of their own or by a space’s', () => {
    const graph = new RosterGraph(COMMUNITY, [edge(HERE, THERE, 'one'), edge(THERE, HERE, 'other')])
    expect([...spacesUsing('one', { graph }, held(ROSTER, 'one', 'other'))]).toEqual([THERE, ROSTER])
    expect([...spacesUsing('one', { graph }, held(ROSTER, 'other'))]).toEqual([THERE])
    expect([...spacesUsing('none', { graph }, NOBODY_HAS_IT)]).toEqual([])
  })

  it('is for people of another community where one of their spaces has it', () => {
    const graph = new RosterGraph(COMMUNITY, [
      edge(ABROAD, HERE, 'one'),
      edge(ABROAD, THERE, 'two'),
      edge(HERE, THERE, 'other'),
      edge(spaceNamed('guild', CAST.communities[2]).uri, HERE, 'three'),
    ])
    expect(['one', 'two', 'three', 'other', 'none'].map((name) => isForForeigners(name, { graph }))).toEqual([
      ...[true, true, true, false, false],
    ])
  })
})
