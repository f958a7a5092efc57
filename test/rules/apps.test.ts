/** May this app: every combination of what a community and a space can say of it, and the laws that hold over all of them. */
import { describe, expect, it } from 'vitest'
import { type ClientId, type Did, parseAppHost, parseClientId, rosterOf, type SpaceUri } from '../../src/names.ts'
import {
  type AppAccess,
  type AppMode,
  type AppRules,
  type AppVerdict,
  accessOf as accessIn,
  judgeApp,
  unattestedIn,
} from '../../src/policy/apps.ts'
import {
  decideAppAccess,
  decideAppRule,
  decideApps,
  isOpenToPublishers,
  othersAllowed,
} from '../../src/policy/decide-apps.ts'
import { OWNER, OWNER_MARK, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import { ACTOR, COMMUNITY, factsOfLists, NOW, spaceNamed } from '../kit/graphs.ts'

const SPACE = spaceNamed('here').uri
const HOST = 'app.example.com'
const APP = parseClientId(`https://${HOST}/client-metadata.json`) as ClientId
const SIBLING = parseClientId(`https://${HOST}/another.json`) as ClientId
const STRANGER = parseClientId('https://elsewhere.example.com/c') as ClientId

const MODES: readonly AppMode[] = ['open', 'allowList', 'pinned']
const VERDICTS: readonly (AppVerdict | null)[] = [null, 'allow', 'deny', 'pending']
const UNATTESTED = [null, 'allow', 'refuse'] as const

/** One way in which a scope can speak of the app, its host, and those that prove nothing. Null: it says nothing at all. */
interface Says {
  readonly mode: AppMode
  readonly app: AppVerdict | null
  readonly host: AppVerdict | null
  readonly unattested: (typeof UNATTESTED)[number]
}

const ALL: readonly (Says | null)[] = [
  null,
  ...MODES.flatMap((mode) =>
    VERDICTS.flatMap((app) =>
      VERDICTS.flatMap((host) => UNATTESTED.map((unattested) => ({ mode, app, host, unattested }))),
    ),
  ),
]

const accessOf = ({ mode, app, host, unattested }: Says): AppAccess => ({
  mode,
  unattested,
  rules: new Map<string, AppVerdict>([...(app ? [[APP, app] as const] : []), ...(host ? [[HOST, host] as const] : [])]),
})
const rulesOf = (community: Says | null, space: Says | null): AppRules => {
  const said = new Map<Did | SpaceUri, AppAccess>()
  if (community) said.set(COMMUNITY, accessOf(community))
  if (space) said.set(SPACE, accessOf(space))
  return said
}
const judge = (community: Says | null, space: Says | null, clientId: ClientId | null) =>
  judgeApp(rulesOf(community, space), COMMUNITY, SPACE, clientId)

/** The rules as a table that one reads from the top: the first line that fits. */
function plainly(says: Says | null, isAttested: boolean): 'in' | 'appDenied' | 'appUnlisted' | 'appUnattested' {
  if (!says) return 'in'
  const { mode, app, host, unattested } = says
  if (!isAttested && mode !== 'open') return 'appUnattested'
  if (!isAttested && unattested === 'allow') return 'in'
  if (!isAttested && unattested === 'refuse') return 'appUnattested'
  if (!isAttested) return app === 'deny' || host === 'deny' ? 'appUnattested' : 'in'
  if (app === 'deny' || host === 'deny') return 'appDenied'
  if (mode === 'open') return 'in'
  if (app === 'allow') return 'in'
  if (mode === 'allowList' && app === null && host === 'allow') return 'in'
  return 'appUnlisted'
}

describe('an app', () => {
  it('is judged as the table says, in every combination', () => {
    let looked = 0
    const wrong: object[] = []
    for (const community of ALL) {
      for (const space of ALL) {
        for (const clientId of [APP, null]) {
          const first = plainly(community, clientId !== null)
          const expected = first === 'in' ? plainly(space, clientId !== null) : first
          const { ok, because } = judge(community, space, clientId)
          const told = ok ? 'in' : because[0]?.rule
          // It is told whose words turned it away.
          const isToldWhose = ok || because[0]?.from === (first === 'in' ? SPACE : COMMUNITY)
          if (told !== expected || !isToldWhose) wrong.push({ community, space, clientId, told, expected, because })
          looked += 1
        }
      }
    }
    expect(wrong).toEqual([])
    expect(looked).toBe(145 * 145 * 2)
  })

  it('is never let in by a space where its community turns it away', () => {
    for (const community of ALL) {
      for (const clientId of [APP, null]) {
        if (judge(community, null, clientId).ok) continue
        expect(ALL.filter((space) => judge(community, space, clientId).ok)).toEqual([])
      }
    }
  })

  it('that is denied anywhere, itself or by its host, comes in nowhere below', () => {
    const denies = (says: Says | null) => says?.app === 'deny' || says?.host === 'deny'
    const letIn = ALL.flatMap((community) =>
      ALL.filter((space) => (denies(community) || denies(space)) && judge(community, space, APP).ok),
    )
    expect(letIn).toEqual([])
  })

  it('that proves nothing is turned away as soon as anything is denied, unless somebody says otherwise', () => {
    const open = { mode: 'open', app: null, host: null, unattested: null } as const
    expect(judge(open, null, null).ok).toBe(true)
    expect(judge({ ...open, app: 'deny' }, null, null).ok).toBe(false)
    expect(judge({ ...open, host: 'deny' }, null, null).ok).toBe(false)
    expect(judge({ ...open, app: 'deny', unattested: 'allow' }, null, null).ok).toBe(true)
    expect(judge({ ...open, app: 'pending' }, null, null).ok).toBe(true)
    expect(judge({ ...open, unattested: 'refuse' }, null, null).ok).toBe(false)
    // What the community allows, a space may refuse.
    expect(judge({ ...open, unattested: 'allow' }, { ...open, app: 'deny' }, null).ok).toBe(false)
  })

  it('is on no list by proving nothing', () => {
    const lists = ALL.filter((says) => says && says.mode !== 'open')
    expect(lists.filter((says) => judge(says, null, null).ok || judge(null, says, null).ok)).toEqual([])
  })

  it('goes with its host where nothing is said of it, and other hosts go their own way', () => {
    const list = { mode: 'allowList', app: null, host: 'allow', unattested: null } as const
    expect([APP, SIBLING, STRANGER].map((app) => judge(list, null, app).ok)).toEqual([true, true, false])
    const denied = { ...list, mode: 'open', host: 'deny' } as const
    expect([APP, SIBLING, STRANGER].map((app) => judge(denied, null, app).ok)).toEqual([false, false, true])
  })
})

describe('what let an app in', () => {
  const because = (community: Says | null, space: Says | null, clientId: ClientId | null = APP) =>
    judge(community, space, clientId).because
  const open = { mode: 'open', app: null, host: null, unattested: null } as const
  const listed = { ...open, mode: 'allowList', app: 'allow' } as const
  const byHost = { ...listed, app: null, host: 'allow' } as const

  it('is each scope that allows it by name, the community first', () => {
    expect(because(listed, byHost)).toEqual([
      { rule: 'appAllowed', from: COMMUNITY },
      { rule: 'appAllowed', from: SPACE },
    ])
    expect(because(listed, null)).toEqual([{ rule: 'appAllowed', from: COMMUNITY }])
    expect(because(open, listed)).toEqual([{ rule: 'appAllowed', from: SPACE }])
  })

  it('is its name also where every app would be let in, but not the name of its host', () => {
    expect(because({ ...open, app: 'allow' }, null)).toEqual([{ rule: 'appAllowed', from: COMMUNITY }])
    expect(because({ ...open, host: 'allow' }, null)).toEqual([{ rule: 'openToApps' }])
    expect(because({ ...open, app: 'pending' }, null)).toEqual([{ rule: 'openToApps' }])
  })

  it('is that everybody is let in, said once and of nobody, where no scope names it', () => {
    for (const clientId of [APP, null]) {
      expect(because(null, null, clientId)).toEqual([{ rule: 'openToApps' }])
      expect(because(open, open, clientId)).toEqual([{ rule: 'openToApps' }])
    }
  })
})

describe('what a scope says', () => {
  it('is what was said there; where nothing was, every app is welcome, proven or not', () => {
    const access: AppAccess = { mode: 'pinned', unattested: null, rules: new Map([[APP, 'allow']]) }
    const rules: AppRules = new Map([[SPACE, access]])
    expect(accessIn(rules, SPACE)).toBe(access)
    expect(accessIn(rules, COMMUNITY)).toEqual({ mode: 'open', unattested: null, rules: new Map() })
    expect(unattestedIn(accessIn(rules, COMMUNITY))).toBe('allow')
  })

  it('of apps that prove nothing is no on a list, and else what was said, or what a denial is worth', () => {
    const access = (more: Partial<AppAccess>): AppAccess => ({
      mode: 'open',
      unattested: null,
      rules: new Map(),
      ...more,
    })
    const denying = new Map<string, AppVerdict>([
      [APP, 'allow'],
      [HOST, 'deny'],
    ])
    for (const mode of ['allowList', 'pinned'] as const) {
      expect(unattestedIn(access({ mode }))).toBe('refuse')
      expect(unattestedIn(access({ mode, unattested: 'allow' }))).toBe('refuse')
    }
    expect(unattestedIn(access({ rules: denying }))).toBe('refuse')
    expect(unattestedIn(access({ rules: denying, unattested: 'allow' }))).toBe('allow')
    expect(unattestedIn(access({ unattested: 'refuse' }))).toBe('refuse')
    expect(unattestedIn(access({ rules: new Map([[APP, 'pending']]) }))).toBe('allow')
  })
})

describe('a host', () => {
  it.each(['app.example.com', 'example.com', 'a.b.c.example.org', 'localhost:3400'])('%s has rules', (host) => {
    expect(parseAppHost(host)).toBe(host)
  })

  it.each([
    ...['*', '*.example.com', 'App.example.com', 'app.example.com.', 'app.example.com:443', 'app.example.com/', ''],
    ...[
      'https://app.example.com',
      '127.0.0.1',
      '[::1]',
      '::1',
      '8.8.8.8',
      'localhost',
      'localhost:0',
      'localhost:70000',
    ],
    ...[
      'example',
      '.example.com',
      'app..example.com',
      'app.internal',
      '^app$',
      'a b.example.com',
      'ä.example.com',
      'u@app.example.com',
    ],
  ])('“%s” has none', (text) => {
    expect(parseAppHost(text)).toBeNull()
  })

  it.each([
    ...[
      'github.io',
      'somebody.github.io',
      'pages.dev',
      'x.pages.dev',
      'x.netlify.app',
      'x.vercel.app',
      'x.y.workers.dev',
    ],
    ...[
      'x.web.app',
      'x.firebaseapp.com',
      'x.herokuapp.com',
      'x.glitch.me',
      'x.surge.sh',
      'x.onrender.com',
      'x.fly.dev',
    ],
    ...['bucket.s3.eu-west-1.amazonaws.com', 'x.blob.core.windows.net', 'storage.googleapis.com'],
  ])('where strangers publish is known: %s', (host) => {
    expect(isOpenToPublishers(host)).toBe(true)
  })

  it.each([
    'github.com',
    'mygithub.io',
    'github.io.example.com',
    'fly.dev.example',
    'app.example.com',
    'app.example.com.',
    '',
  ])('that only looks like one is not: %s', (host) => {
    expect(isOpenToPublishers(host)).toBe(false)
  })
})

describe('what is said about apps', () => {
  const roster = rosterOf(COMMUNITY).uri
  const entry = (into: typeof roster, role: string): Edge => ({
    ...{ into, from: ACTOR, role, holding: null, sinceMs: null, untilMs: null },
  })
  const facts = (own: readonly Edge[]) => factsOfLists({ own, nested: [], roles: SHIPPED_ROLES, nowMs: NOW })
  const verdict = (decision: { ok: boolean; code?: string }) => (decision.ok ? 'ok' : decision.code)
  const reviewer = () => facts([entry(roster, 'admin'), entry(SPACE, 'admin')])
  const owner = () => facts([entry(roster, OWNER), entry(SPACE, OWNER)])
  const reader = () => facts([entry(roster, 'reader'), entry(SPACE, 'reader')])
  const stranger = () => facts([])
  const calm = { mode: 'open', isSilent: false } as const
  const closed = { mode: 'allowList', isSilent: false } as const

  it('is for those who judge apps, there or in the roster', () => {
    for (const scope of [COMMUNITY, SPACE]) {
      expect([owner, reviewer, reader, stranger].map((of) => verdict(decideApps(of(), ACTOR, scope)))).toEqual([
        ...['ok', 'ok', 'Forbidden', 'NotFound'],
      ])
    }
    expect(verdict(decideApps(facts([entry(SPACE, 'admin')]), ACTOR, COMMUNITY))).toBe('NotFound')
    expect(verdict(decideApps(facts([entry(roster, 'admin')]), ACTOR, SPACE))).toBe('NotFound')
  })

  it('closes at the word of any of them, and opens and falls silent at an owner’s', () => {
    const rows = [
      [calm, closed, 'ok'],
      [closed, { ...closed, mode: 'pinned' }, 'ok'],
      [closed, calm, 'Forbidden'],
      [{ ...closed, mode: 'pinned' }, calm, 'Forbidden'],
      [calm, { ...calm, isSilent: true }, 'Forbidden'],
      [{ ...calm, isSilent: true }, calm, 'Forbidden'],
      [calm, calm, 'ok'],
    ] as const
    for (const [before, after, expected] of rows) {
      expect(verdict(decideAppAccess(reviewer(), ACTOR, COMMUNITY, { before, after }))).toBe(expected)
      expect(verdict(decideAppAccess(owner(), ACTOR, COMMUNITY, { before, after }))).toBe('ok')
      expect(verdict(decideAppAccess(reader(), ACTOR, COMMUNITY, { before, after }))).toBe('Forbidden')
    }
  })

  it('lets a whole host in at an owner’s word alone', () => {
    for (const verdictOfRule of ['allow', 'deny', 'pending'] as const) {
      for (const isHost of [false, true]) {
        const rule = { isHost, verdict: verdictOfRule }
        const expected = isHost && verdictOfRule === 'allow' ? 'Forbidden' : 'ok'
        expect(verdict(decideAppRule(reviewer(), ACTOR, SPACE, rule))).toBe(expected)
        expect(verdict(decideAppRule(owner(), ACTOR, SPACE, rule))).toBe('ok')
      }
    }
  })

  it('names the power of an owner where that is missing', () => {
    const decision = decideAppRule(reviewer(), ACTOR, SPACE, { isHost: true, verdict: 'allow' })
    expect(decision.because).toEqual([{ rule: 'noPath', into: roster, action: OWNER_MARK }])
  })

  it('counts those that are let in besides one', () => {
    const rules = new Map<string, AppVerdict>([
      ...([
        [APP, 'allow'],
        [SIBLING, 'deny'],
        [HOST, 'allow'],
        [STRANGER, 'pending'],
      ] as const),
    ])
    expect(othersAllowed({ mode: 'pinned', unattested: null, rules }, APP)).toEqual([HOST])
  })
})
