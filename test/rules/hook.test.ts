/** What the PDS of an account is told about its spaces: every question that it can ask, and what becomes of it once its consent is gone. */
import { describe, expect, it } from 'vitest'
import type { ClientId, Did } from '../../src/names.ts'
import type { AccessFacts } from '../../src/policy/decide.ts'
import { appointmentBy, consentOf, type HookQuestion, judgeHook, unlessReleased } from '../../src/policy/hook.ts'
import { ACTIONS, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import { COMMUNITY, factsOfLists, type Lists, NOW, PERSON, spaceNamed } from '../kit/graphs.ts'
import { edge } from '../kit/rule-stage.ts'

const space = spaceNamed('forum')
const APP = 'https://app.example.com/client.json' as ClientId

const facts = (role: string, more: Partial<Lists & AccessFacts> = {}): AccessFacts => {
  const lists = { own: [edge(PERSON, space.uri, role)], nested: [], roles: SHIPPED_ROLES, nowMs: NOW, ...more }
  const { readPolicy = 'memberList', writePolicy = 'memberList', isAtPds = true } = more
  return { ...factsOfLists(lists), space, readPolicy, writePolicy, isAtPds }
}
const ask = (more: Partial<HookQuestion>): HookQuestion => ({ did: PERSON, access: null, clientId: null, ...more })
const verdictOf = (decision: Decision<unknown>): string => (decision.ok ? 'ok' : decision.code)
const rulesOf = ({ because }: Decision<unknown>): readonly string[] => because.map(({ rule }) => rule)

/** No app comes in, whether it proves itself or not. */
const closed = new Map([[space.uri, { mode: 'allowList', unattested: null, rules: new Map() }]] as const)

describe('a question of a PDS', () => {
  it('about reading is judged as reading, and about writing as writing', () => {
    expect(verdictOf(judgeHook(facts('reader'), ask({ access: 'read' })))).toBe('ok')
    expect(verdictOf(judgeHook(facts('reader'), ask({ access: 'write' })))).toBe('UserNotAuthorized')
    expect(verdictOf(judgeHook(facts('writer'), ask({ access: 'write' })))).toBe('ok')
    expect(verdictOf(judgeHook(facts('nobody'), ask({ access: 'read' })))).toBe('UserNotAuthorized')
  })

  it('that doesn’t say which is about reading, with an app or without', () => {
    for (const clientId of [null, APP]) {
      expect(verdictOf(judgeHook(facts('reader'), ask({ clientId })))).toBe('ok')
      expect(verdictOf(judgeHook(facts('nobody', { writePolicy: 'public' }), ask({ clientId })))).toBe(
        'UserNotAuthorized',
      )
      expect(verdictOf(judgeHook(facts('nobody', { readPolicy: 'public' }), ask({ clientId })))).toBe('ok')
    }
  })

  it('is about the app as well where it is about reading, or names one', () => {
    const shut = facts('writer', { apps: closed })
    for (const clientId of [null, APP]) {
      expect(verdictOf(judgeHook(shut, ask({ access: 'read', clientId })))).toBe('AppNotAuthorized')
    }
    expect(verdictOf(judgeHook(shut, ask({ clientId: APP })))).toBe('AppNotAuthorized')
    expect(verdictOf(judgeHook(shut, ask({ access: 'write', clientId: APP })))).toBe('AppNotAuthorized')
    // Nobody knows the app of such a write, and who is asked so may be about to write.
    expect(verdictOf(judgeHook(shut, ask({})))).toBe('ok')
    expect(verdictOf(judgeHook(shut, ask({ access: 'write' })))).toBe('ok')
  })

  it('tells what was said of the app, and then of the person', () => {
    expect(rulesOf(judgeHook(facts('reader'), ask({ access: 'read' })))).toEqual(['openToApps', 'edge'])
    expect(rulesOf(judgeHook(facts('reader'), ask({})))).toEqual(['edge'])
    expect(rulesOf(judgeHook(facts('reader'), ask({ access: 'write', clientId: APP })))).toEqual([
      'openToApps',
      'noPath',
    ])
  })
})

describe('an account that has taken its consent back', () => {
  const yes: Decision<number> = { ok: true, value: 7, because: [{ rule: 'publicPolicy' }] }
  const no: Decision<number> = { ok: false, code: 'AppNotAuthorized', because: [{ rule: 'appUnlisted' }] }

  it.each(['read', 'write'] as const)('has nobody let in to %s, whoever they are', (action) => {
    const because = [{ rule: 'released', action }]
    for (const decision of [yes, no]) {
      expect(unlessReleased(true, action, decision)).toEqual({ ok: false, code: 'UserNotAuthorized', because })
      expect(unlessReleased(false, action, decision)).toBe(decision)
    }
  })

  it('goes on governing', () => {
    for (const action of [null, ...ACTIONS.filter((one) => one !== 'read' && one !== 'write')]) {
      expect(unlessReleased(true, action, yes)).toBe(yes)
      expect(unlessReleased(true, action, no)).toBe(no)
    }
  })
})

describe('the consent of an account', () => {
  const because = [{ rule: 'authority' }]

  it('is the account’s to give, and nobody else’s', () => {
    expect(consentOf(COMMUNITY, COMMUNITY)).toEqual({
      ...{ ok: true, because },
      value: { action: 'community.configure', actor: COMMUNITY, because },
    })
    expect(consentOf(COMMUNITY, PERSON)).toEqual({ ok: false, code: 'NotFound', because: [{ rule: 'noPath' }] })
  })

  it('names another owner until anybody governs', () => {
    const judged = (actor: Did, isGoverned: boolean) => appointmentBy(COMMUNITY, actor, isGoverned)
    expect(judged(COMMUNITY, false)).toEqual({
      ...{ ok: true, because },
      value: { action: 'community.transfer', actor: COMMUNITY, because },
    })
    for (const no of [judged(COMMUNITY, true), judged(PERSON, false), judged(PERSON, true)]) {
      expect(no).toEqual({ ok: false, code: 'Forbidden', because: [{ rule: 'noPath' }] })
    }
  })
})
