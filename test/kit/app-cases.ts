/** The combinations of facts about apps: what a community and a space each say of them, and who may have them say it. */
import type { ClientId, Did, SpaceUri } from '../../src/names.ts'
import type { AppAccess, AppMode, AppRules, AppVerdict } from '../../src/policy/apps.ts'
import { decideFor, decideRead } from '../../src/policy/decide.ts'
import { decideAppAccess, decideAppRule, decideApps } from '../../src/policy/decide-apps.ts'
import { decideRevoke } from '../../src/policy/decide-credentials.ts'
import { type Action, OWNER_MARK } from '../../src/policy/roles.ts'
import type { StandingFacts } from '../../src/policy/standing.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import { type Ask, ref, rights } from './cedar.ts'
import { ACTOR, COMMUNITY, factsOfLists, spaceNamed } from './graphs.ts'
import {
  askOf,
  BOTH,
  ban,
  type Case,
  type Chosen,
  edge,
  entered,
  every,
  GIVEN,
  governing,
  HERE,
  type Held,
  lists,
  MARK_IN_ROSTER,
  marked,
  type POLICIES,
  policyOf,
  ROSTER,
  rolesOf,
  type Said,
  standingIn,
  wordsThat,
} from './rule-stage.ts'

const APP = 'https://app.example/client.json' as ClientId
const HOST = 'app.example'

const MODES = ['open', 'allowList', 'pinned'] as const satisfies readonly AppMode[]
const VERDICTS = ['allow', 'deny', 'pending'] as const satisfies readonly AppVerdict[]
const SAID = [...VERDICTS, 'none'] as const
const UNATTESTED = ['allow', 'refuse', 'unsaid'] as const

// --- may this app? ---

/** All that one scope may say. */
const WORDS = { mode: MODES, ofApp: SAID, ofHost: SAID, unattested: UNATTESTED, deniesAny: BOTH } as const
type Words = Chosen<typeof WORDS>

interface AppFacts {
  readonly isAttested: boolean
  readonly community: Words
  readonly space: Words
}

/** A scope that says nothing. */
export const SILENT: Words = { mode: 'open', ofApp: 'none', ofHost: 'none', unattested: 'unsaid', deniesAny: false }

/** A community that says no to every app, proven or not. */
export const CLOSED: AppRules = new Map([
  [COMMUNITY, { mode: 'allowList', unattested: 'refuse', rules: new Map([[HOST, 'deny']]) }],
])

const wordsRef = ({ mode, ofApp, ofHost, unattested, deniesAny }: Words) => ({
  mode: ref('AppMode', mode),
  ofApp: ref('AppVerdict', ofApp),
  ofHost: ref('AppVerdict', ofHost),
  unattested: ref('Unattested', unattested),
  deniesAny,
})

/** What the page is told where somebody reads with an app. */
export const withApp = (context: Ask['context'], { isAttested, community, space }: AppFacts): Ask['context'] => ({
  ...{ ...context, isAttested },
  ...{ community: wordsRef(community), space: wordsRef(space) },
})

const isDenied = ({ ofApp, ofHost }: Words): boolean => ofApp === 'deny' || ofHost === 'deny'
const isNamed = ({ ofApp, ofHost }: Words): boolean => ofApp !== 'none' || ofHost !== 'none'

/** What may be said of others: of their apps at the same host, and of the host above. It says nothing of this one. */
function rulesOfOthers(words: Words, isAttested: boolean): readonly (readonly [string, AppVerdict])[][] {
  const neighbour = `https://${HOST}/other.json`
  // Whoever proves nothing gains nothing by what is on the list.
  const own = isAttested ? [] : ([APP, HOST].map((name) => [name, 'allow']) as [string, AppVerdict][])
  if (isDenied(words) || !words.deniesAny) return [own, [...own, [neighbour, 'allow'], ['example', 'pending']]]
  return [
    [...own, [neighbour, 'deny']],
    [...own, ['example', 'deny']],
  ]
}

/** A scope that says this; null is for not a word. */
function accessesThat(words: Words, isAttested: boolean): readonly (AppAccess | null)[] {
  const { mode, ofApp, ofHost } = words
  const unattested = words.unattested === 'unsaid' ? null : words.unattested
  const own = [
    ...(ofApp === 'none' ? [] : [[APP, ofApp] as const]),
    ...(ofHost === 'none' ? [] : [[HOST, ofHost] as const]),
  ]
  const said = rulesOfOthers(words, isAttested).map((others) => {
    return { mode, unattested, rules: new Map<string, AppVerdict>([...own, ...others]) }
  })
  return words === SILENT ? [null, ...said] : said
}

/** Who reads: somebody who may, somebody who is kept out, the community itself, and whom a managing app lets in or wasn't asked about. */
const READERS = [
  { did: ACTOR, held: ['read'], isBanned: false, policy: 'memberList', said: 'unasked' },
  { did: ACTOR, held: [], isBanned: true, policy: 'memberList', said: 'unasked' },
  { did: COMMUNITY, held: [], isBanned: false, policy: 'memberList', said: 'unasked' },
  { did: ACTOR, held: [], isBanned: false, policy: 'managingApp', said: 'yes' },
  { did: ACTOR, held: [], isBanned: false, policy: 'managingApp', said: 'unasked' },
] as const satisfies readonly {
  did: Did
  held: readonly Action[]
  isBanned: boolean
  policy: (typeof POLICIES)[number]
  said: Said
}[]
type Reader = (typeof READERS)[number]

function impossibleApp({ isAttested, community, space }: AppFacts): string | null {
  const both = [community, space]
  if (!isAttested && both.some(isNamed)) return 'nothing is said of an app that proves nothing'
  if (both.some((words) => isDenied(words) && !words.deniesAny)) return 'who denies this app denies one'
  return null
}

function appScenes({ did, held, isBanned, policy, said }: Reader, facts: AppFacts): Case['scenes'] {
  const impossible = impossibleApp(facts)
  if (impossible) return impossible
  const { isAttested, community, space } = facts
  const asker = { did, clientId: isAttested ? APP : null }
  const own = held.length > 0 ? [edge(did, HERE, 'reading')] : []
  const scopes = every({ whole: accessesThat(community, isAttested), here: accessesThat(space, isAttested) })
  return scopes.flatMap(({ whole, here }) => {
    const apps: AppRules = new Map<Did | SpaceUri, AppAccess>([
      // What another space says is for that space alone.
      [GIVEN, { mode: 'pinned', unattested: 'refuse', rules: new Map([[APP, 'deny']]) }],
      ...(whole ? [[COMMUNITY, whole] as const] : []),
      ...(here ? [[HERE, here] as const] : []),
    ])
    const actor = lists(rolesOf({}), own, { apps, bans: isBanned ? [ban(HERE)] : [] })
    const policies = { readPolicy: policyOf(policy, 'read'), writePolicy: 'memberList', isAtPds: false } as const
    const read = { ...factsOfLists(actor), space: spaceNamed('here'), ...policies }
    return [
      ...wordsThat(said, 'read').map((word) => ({ actor, decide: () => decideRead(read, asker, word) })),
      ...(said === 'unasked' ? [{ actor, decide: () => decideFor(read, asker, 'read') }] : []),
    ]
  })
}

const contextOf = ({ held, isBanned, said }: Reader) => ({ held: rights(held), isBanned, word: ref('Word', said) })

const appCase = (family: string, reader: Reader, facts: AppFacts): Case => ({
  family,
  ask: askOf('read', withApp(contextOf(reader), facts), { principal: reader.did, readPolicy: reader.policy }),
  says: { stands: reader.held.length > 0, held: reader.held, isOwner: null },
  scenes: appScenes(reader, facts),
})

function readingCases(): Case[] {
  const oneAlone = (reader: Reader, { isAttested, ...words }: Words & { readonly isAttested: boolean }) => [
    appCase('decideRead by the community', reader, { isAttested, community: words, space: SILENT }),
    appCase('decideRead by the space', reader, { isAttested, community: SILENT, space: words }),
  ]
  const alone = every({ ...WORDS, isAttested: BOTH }).flatMap((words) => oneAlone(READERS[0], words))
  // For the rest a word of the app or of its host is enough: what both make together, and what is of no account, is shown by then.
  const proven = every({ ...WORDS, unattested: ['refuse'], deniesAny: [false] } as const)
    .filter(({ ofApp, ofHost }) => ofApp === 'none' || ofHost === 'none')
    .map((words) => ({ ...words, deniesAny: isDenied(words), isAttested: true }))
  const unproven = every({ ...WORDS, ofApp: ['none'], ofHost: ['none'], isAttested: [false] } as const)
  const few = [...proven, ...unproven]
  const others = few.flatMap((words) => READERS.slice(1).flatMap((reader) => oneAlone(reader, words)))
  const both = [proven, unproven].flatMap((words) =>
    every({ community: words, space: words }).map(({ community, space }) =>
      appCase('decideRead by both', READERS[0], { isAttested: community.isAttested, community, space }),
    ),
  )
  return [...alone, ...others, ...both]
}

// --- may they say which apps come in? ---

interface Judge {
  readonly held: Held
  readonly isRoster: boolean
  readonly isOwner: boolean
}

type Asked = (actor: StandingFacts, scope: SpaceUri | Did) => Decision<unknown>

/** In a space; or in the roster, which is asked about by its own name and as the whole community. */
function judgeScenes({ held, isRoster, isOwner }: Judge, asked: Asked): Case['scenes'] {
  if (isRoster && isOwner !== held.held.includes(OWNER_MARK)) return MARK_IN_ROSTER
  const own = [...entered(held, isRoster ? ROSTER : HERE), ...(isRoster ? [] : marked(isOwner))]
  const actor = lists(rolesOf({ held: held.held }), own)
  const scopes = isRoster ? [ROSTER, COMMUNITY] : [HERE]
  return scopes.map((scope) => ({ actor, decide: () => asked(factsOfLists(actor), scope) }))
}

function reviewCases(): Case[] {
  const judges = { held: governing('apps.review'), isRoster: BOTH, isOwner: BOTH }
  const review = every(judges).map((judge) => ({
    family: 'decideApps',
    ask: askOf('reviewApps', standingIn(judge.held), { isRoster: judge.isRoster }),
    says: { ...judge.held, isOwner: judge.isOwner },
    scenes: judgeScenes(judge, (actor, scope) => decideApps(actor, ACTOR, scope)),
  }))
  const access = every({ mode: MODES, isSilent: BOTH })
  const setting = every({ ...judges, before: access, after: access }).map(({ before, after, ...judge }) => {
    const told = ({ mode, isSilent }: (typeof access)[number]) => ({ mode: ref('AppMode', mode), isSilent })
    const context = { ...standingIn(judge.held), isOwner: judge.isOwner, before: told(before), after: told(after) }
    return {
      family: 'decideAppAccess',
      ask: askOf('setAppAccess', context, { isRoster: judge.isRoster }),
      says: { ...judge.held, isOwner: judge.isOwner },
      scenes: judgeScenes(judge, (actor, scope) => decideAppAccess(actor, ACTOR, scope, { before, after })),
    }
  })
  const ruling = every({ ...judges, isHost: BOTH, verdict: VERDICTS }).map(({ isHost, verdict, ...judge }) => {
    const rule = { isHost, verdict: ref('AppVerdict', verdict) }
    return {
      family: 'decideAppRule',
      ask: askOf(
        'ruleOnApp',
        { ...standingIn(judge.held), isOwner: judge.isOwner, ...rule },
        { isRoster: judge.isRoster },
      ),
      says: { ...judge.held, isOwner: judge.isOwner },
      scenes: judgeScenes(judge, (actor, scope) => decideAppRule(actor, ACTOR, scope, { isHost, verdict })),
    }
  })
  return [...review, ...setting, ...ruling]
}

function revokeCases(): Case[] {
  return every({ held: governing('credentials.revoke'), isRoster: BOTH, isOwner: BOTH }).map((judge) => ({
    family: 'decideRevoke',
    ask: askOf('revokeCredentials', standingIn(judge.held), { isRoster: judge.isRoster }),
    says: { ...judge.held, isOwner: judge.isOwner },
    scenes: judgeScenes(judge, (actor, scope) => decideRevoke(actor, ACTOR, scope)),
  }))
}

export const appCases = (): readonly Case[] => [...readingCases(), ...reviewCases(), ...revokeCases()]
