/** What a space should be at its PDS, and how its settings are read there. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ClientId, type Did, type Nsid, type ServiceId, spaceUriOf } from '../../src/names.ts'
import type { AppAccess, AppRules } from '../../src/policy/apps.ts'
import { type AccessFacts, decidePerson, type UserPolicy } from '../../src/policy/decide.ts'
import { notEnforced } from '../../src/space/not-enforced.ts'
import { type Declaring, declare, declaredAs, flagsOf, nextSettings } from '../../src/steering/declared.ts'
import { backOffMs, haltOf } from '../../src/steering/halt.ts'
import {
  differing,
  fieldsOf,
  keptText,
  parseThere,
  type Settings,
  settingsOfKept,
} from '../../src/steering/settings-there.ts'
import { anyLists, COMMUNITY, factsOfLists, PERSON, SPACES, spaceNamed } from '../kit/graphs.ts'
import { SETTINGS } from '../kit/played-simplespaces.ts'

const SPACE = spaceUriOf(COMMUNITY, 'com.atmoboards.forum' as Nsid, 'main')
const SERVICE = 'did:web:reeve.example.com' as Did
const US = `${SERVICE}#reeve` as ServiceId
const APP = 'https://app.example.com/client-metadata.json' as ClientId
const OTHER = 'https://other.example.com/client-metadata.json' as ClientId

const about = (more: Partial<Declaring> = {}): Declaring => ({
  ...{ mode: 'projection', space: SPACE, readPolicy: 'memberList', writePolicy: 'memberList', apps: new Map() },
  ...{ isFrozen: false, hasBan: false, serviceDid: SERVICE, ...more },
})
const appRules = (
  access: Partial<AppAccess> & { said?: readonly (readonly [string, 'allow' | 'deny' | 'pending'])[] },
): AppRules =>
  new Map([
    [
      SPACE.uri,
      { mode: access.mode ?? 'open', unattested: access.unattested ?? null, rules: new Map(access.said ?? []) },
    ],
  ])

const anyPolicy = fc.constantFrom<UserPolicy>('public', 'memberList')
const anyDeclaring = fc
  .record({
    mode: fc.constantFrom('hook' as const, 'projection' as const),
    ...{ readPolicy: anyPolicy, writePolicy: anyPolicy, isFrozen: fc.boolean(), hasBan: fc.boolean() },
  })
  .map(about)

describe('the policies that a PDS is to have', () => {
  it.each([
    ['memberList', 'memberList', false, 'memberList', 'memberList', 'memberList'],
    ['public', 'public', false, 'public', 'public', 'public'],
    ['public', 'public', true, US, US, US],
    ['public', 'memberList', false, 'public', 'memberList', 'memberList'],
    ['public', 'memberList', true, US, 'memberList', 'memberList'],
    ['memberList', 'public', true, 'memberList', US, 'memberList'],
  ] as const)('for read %s and write %s, with a ban: %s', (readPolicy, writePolicy, hasBan, read, write, one) => {
    const declared = declare(about({ readPolicy, writePolicy, hasBan }))
    expect(declared).toEqual({ settings: { read, write, apps: null }, one })
    expect(declaredAs('october', declared)).toEqual({ read, write, apps: null })
    expect(declaredAs('august', declared)).toEqual({ read: one, write: one, apps: null })
  })

  it('ask us about everything in hook mode, and while the space rests', () => {
    fc.assert(
      fc.property(anyDeclaring, (declaring) => {
        const { settings, one } = declare(declaring)
        if (declaring.mode === 'hook' || declaring.isFrozen)
          expect([settings.read, settings.write, one]).toEqual([US, US, US])
      }),
    )
  })

  it('are open to nobody whom what is declared keeps out, and the one policy is no wider than either', () => {
    const width = (side: string) => ({ public: 2, memberList: 1 })[side] ?? 0
    fc.assert(
      fc.property(anyDeclaring, (declaring) => {
        const { settings, one } = declare(declaring)
        for (const [side, policy] of [
          [settings.read, declaring.readPolicy],
          [settings.write, declaring.writePolicy],
        ] as const) {
          expect(side === 'public').toBe(
            policy === 'public' && declaring.mode === 'projection' && !declaring.isFrozen && !declaring.hasBan,
          )
        }
        if (!declaring.hasBan) {
          expect(width(one)).toBeLessThanOrEqual(width(settings.read))
          expect(width(one)).toBeLessThanOrEqual(width(settings.write))
        }
      }),
    )
  })

  it('go from asking us to a list when that is ready, and any other way at once', () => {
    const anySide = fc.constantFrom<Settings['read']>(
      'public',
      'memberList',
      US,
      'did:web:else.example.com#x' as ServiceId,
      '?odd',
    )
    const anySettings = fc.record({ read: anySide, write: anySide, apps: fc.constant(null) })
    fc.assert(
      fc.property(anySettings, anySettings, (there, declared) => {
        expect(nextSettings(there, declared, true, null)).toEqual(declared)
        const next = nextSettings(there, declared, false, null)
        for (const side of ['read', 'write'] as const) {
          const waits = there[side].startsWith('did:') && declared[side] === 'memberList'
          expect(next[side]).toBe(waits ? there[side] : declared[side])
        }
      }),
    )
  })
})

describe('the apps that a PDS is to let in', () => {
  const apps = (rules: AppRules) => declare(about({ apps: rules })).settings.apps
  const names = (
    rules: AppRules,
    more: Partial<Declaring> = {},
    speaks: 'august' | 'october' | null = 'october',
    keptAs: 'hook' | 'projection' | null = 'projection',
  ) => notEnforced(about({ apps: rules, ...more }), keptAs, speaks).map(({ name }) => name)

  it('are those on a list, and what has no word there is named', () => {
    expect(apps(new Map())).toBeNull()
    const denied = appRules({ said: [[APP, 'deny']] })
    expect([apps(denied), names(denied)]).toEqual([null, expect.arrayContaining(['deniedApps', 'unprovenApps'])])
    const list = appRules({
      mode: 'allowList',
      said: [
        [APP, 'allow'],
        [OTHER, 'deny'],
      ],
    })
    expect([apps(list), names(list)]).toEqual([[APP], ['takingBack', 'lag', 'writingApps']])
    const host = appRules({
      mode: 'allowList',
      said: [
        [APP, 'allow'],
        ['good.example.com', 'allow'],
      ],
    })
    expect([apps(host), names(host)]).toEqual([[APP], ['takingBack', 'lag', 'appHosts', 'writingApps']])
  })

  it('hold for writing nowhere, and for reading as far as the PDS asks about them or has a list', () => {
    const denied = appRules({ said: [[APP, 'deny']] })
    const hosts = appRules({ mode: 'allowList', said: [['good.example.com', 'allow']] })
    const harmless = appRules({ said: [[APP, 'allow']] })
    const asked = (rules: AppRules, speaks: 'august' | 'october' | null, keptAs: 'hook' | null) =>
      names(rules, {}, speaks, keptAs)
    for (const keptAs of ['hook', null] as const) {
      expect(asked(new Map(), 'october', keptAs)).toEqual(['takingBack'])
      expect(asked(harmless, 'october', keptAs)).toEqual(['takingBack'])
      expect(asked(denied, 'october', keptAs)).toEqual(['takingBack', 'writingApps'])
      for (const speaks of ['august', null] as const) {
        expect(asked(new Map(), speaks, keptAs)).toEqual(['takingBack', 'writing'])
        expect(asked(denied, speaks, keptAs)).toEqual(['takingBack', 'writing', 'unprovenApps', 'writingApps'])
      }
    }
    // Whoever set the PDS to ask us by hand gave it no list of ours; where we did, it has it, and goes by it.
    expect(asked(hosts, 'august', null)).toEqual(['takingBack', 'writing', 'unprovenApps', 'writingApps'])
    expect(asked(hosts, 'august', 'hook')).toEqual(['takingBack', 'writing', 'appHosts', 'writingApps'])
    expect(asked(hosts, 'october', null)).toEqual(['takingBack', 'writingApps'])
    expect(names(harmless, {}, 'october')).toEqual(['takingBack', 'lag'])
    const ofHost = appRules({ said: [['bad.example.com', 'deny']] })
    expect(names(ofHost)).toEqual(['takingBack', 'lag', 'appHosts', 'unprovenApps', 'writingApps'])
  })

  it('and of people, what one list and one policy can’t say', () => {
    const of = (more: Partial<Declaring>) => names(new Map(), more, 'august')
    expect(of({ readPolicy: 'public' })).toEqual(['takingBack', 'lag', 'writing', 'writersOnly', 'onePolicy'])
    expect(of({})).toEqual(['takingBack', 'lag', 'writing', 'writersOnly'])
  })
})

describe('what somebody may do by the list', () => {
  it('is what the hook says, but for what everybody may', () => {
    fc.assert(
      fc.property(anyLists, anyPolicy, anyPolicy, (lists, readPolicy, writePolicy) => {
        const space = spaceNamed('s')
        expect(space.uri).toBe(SPACES[0])
        const facts: AccessFacts = { ...factsOfLists(lists), space, readPolicy, writePolicy, isAtPds: true }
        const listed: AccessFacts = { ...facts, readPolicy: 'memberList', writePolicy: 'memberList' }
        const [reads, writes] = [decidePerson(listed, PERSON, 'read').ok, decidePerson(listed, PERSON, 'write').ok]
        expect(flagsOf(facts, PERSON, 'october')).toBe((reads ? 1 : 0) + (writes ? 2 : 0))
        expect(flagsOf(facts, PERSON, 'august')).toBe(reads ? 3 : 0)
        expect(flagsOf(facts, COMMUNITY, 'october')).toBe(0)
      }),
    )
  })
})

describe('what a PDS says of a space', () => {
  const { uri } = SPACE
  const { open, memberList } = SETTINGS
  const both = SETTINGS.public

  it('is read in the words of either generation', () => {
    expect(parseThere({ uri, policy: both, appAccess: open }, uri)).toEqual({
      speaks: 'august',
      settings: { read: 'public', write: 'public', apps: null },
    })
    expect(
      parseThere(
        {
          uri,
          readPolicy: SETTINGS.managedBy(US),
          writePolicy: memberList,
          appAccess: SETTINGS.allowList([OTHER, APP]),
        },
        uri,
      ),
    ).toEqual({
      speaks: 'october',
      settings: { read: US, write: 'memberList', apps: [APP, OTHER] },
    })
  })

  it.each([
    ['another space', { uri: `${uri}x`, policy: both, appAccess: open }],
    ['nothing', null],
    ['a list', []],
    ['no policy', { uri, appAccess: open }],
    ['half of two', { uri, readPolicy: both, appAccess: open }],
    ['no apps', { uri, policy: both }],
    ['a text for a policy', { uri, policy: 'public', appAccess: open }],
    ['apps that are none', { uri, policy: both, appAccess: { ...SETTINGS.allowList([]), allowed: [1] } }],
    ['too many apps', { uri, policy: both, appAccess: SETTINGS.allowList(Array<string>(10_001).fill(APP)) }],
    ['an app of a book', { uri, policy: both, appAccess: SETTINGS.allowList(['x'.repeat(3_000)]) }],
  ])('is nothing when it is %s', (_what, body) => {
    expect(parseThere(body, uri)).toBeNull()
  })

  it('is named when there is no word for it, and never a stranger’s text', () => {
    const odd = (type: string) => parseThere({ uri, policy: { $type: type }, appAccess: open }, uri)?.settings.read
    expect(odd('com.example.defs#paidPolicy')).toBe('?com.example.defs#paidPolicy')
    expect(odd('<script>\n')).toBe('?unreadable')
    expect(parseThere({ uri, policy: SETTINGS.managedBy('nobody'), appAccess: open }, uri)?.settings.read).toMatch(
      /^\?/,
    )
  })

  it('is kept as one text, compared, and written for both generations at once', () => {
    const there: Settings = { read: US, write: 'memberList', apps: [APP] }
    expect(settingsOfKept(keptText(there))).toEqual(there)
    expect(differing('october', there, { ...there, write: 'public', apps: null })).toEqual(['writePolicy', 'appAccess'])
    expect(differing('august', { ...there, write: US }, { read: 'public', write: 'public', apps: [APP] })).toEqual([
      'policy',
    ])
    expect(fieldsOf(there, 'memberList')).toEqual({
      ...{ policy: memberList, readPolicy: SETTINGS.managedBy(US), writePolicy: memberList },
      appAccess: SETTINGS.allowList([APP]),
    })
  })
})

describe('after a failure', () => {
  it('it is tried again later and later, and never all at once', () => {
    for (let failures = 1; failures < 40; failures++) {
      expect(backOffMs(failures, 0)).toBeLessThan(backOffMs(failures, 1))
      expect(backOffMs(failures + 1, 0.5)).toBeGreaterThanOrEqual(backOffMs(failures, 0.5))
    }
    expect(backOffMs(1, 0.5)).toBe(1_000)
    expect(backOffMs(39, 1)).toBe(750_000)
  })

  it('owners are told by a name, and never by a stranger’s text', () => {
    expect(haltOf({ is: 'refused', error: 'Some <b>', status: 400 }).fault).toBe('Refused')
    expect(haltOf({ is: 'refused', error: 'status 418', status: 418 }).fault).toBe('status418')
    expect(haltOf({ is: 'failed', because: 'timeout', pauseMs: 5 })).toMatchObject({
      fault: null,
      pauseMs: 5,
      isWholePds: true,
    })
  })
})
