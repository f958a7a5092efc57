/** What the combinations of facts are made of: the stage on which each is made true, and everything in every combination. */
import {
  type Did,
  type Nsid,
  parseDid,
  parsePlainServiceId,
  rosterOf,
  type ServiceId,
  type SpaceUri,
  spaceUriOf,
} from '../../src/names.ts'
import type { UserPolicy, Word } from '../../src/policy/decide.ts'
import { ACTIONS, type Action, isManaging, OWNER, OWNER_MARK, type Roles } from '../../src/policy/roles.ts'
import type { Edge } from '../../src/policy/roster-graph.ts'
import type { Ban } from '../../src/policy/standing.ts'
import type { Decision } from '../../src/policy/verdict.ts'
import { type Ask, rights } from './cedar.ts'
import { ACTOR, COMMUNITY, type Lists, NOW, spaceNamed } from './graphs.ts'

/** One community in which a combination is true. */
interface Scene {
  readonly actor: Lists
  readonly decide: () => Decision<unknown>
}

/** One combination of facts. */
export interface Case {
  readonly family: string
  readonly ask: Ask
  /** What the facts say of the standing that is judged. */
  readonly says: { readonly stands: boolean; readonly held: readonly Action[]; readonly isOwner: boolean | null }
  /** Communities in which it is so; or why there can be none. */
  readonly scenes: readonly Scene[] | string
}

// --- the stage ---

export const ROSTER = rosterOf(COMMUNITY).uri
export const HERE = spaceNamed('here').uri
export const HOME = spaceNamed('home').uri
/** Spaces to which those of the space in question go on: by what is given, by what is taken, and by what comes back. */
export const GIVEN = spaceNamed('given').uri
export const TAKEN = spaceNamed('taken').uri
export const BACK = spaceNamed('back').uri
export const CREW = spaceNamed('crew').uri
export const ABROAD = spaceUriOf(parseDid(`did:plc:${'f'.repeat(24)}`) as Did, 'com.example.room' as Nsid, 'abroad').uri

export const LATER = { sinceMs: NOW + 1 }

/** Roles as this one community understands them; an owner has everything. */
export const rolesOf = (named: Readonly<Record<string, Iterable<Action>>>): Roles =>
  new Map([
    [OWNER, new Set(ACTIONS)],
    ['reading', new Set<Action>(['read'])],
    ['guest', new Set<Action>(['read', 'write'])],
    ['power', new Set<Action>(['audit.read'])],
    ['mark', new Set([OWNER_MARK])],
    ...Object.entries(named).map(([name, actions]) => [name, new Set(actions)] as const),
  ])

export const edge = (from: Did | SpaceUri, into: SpaceUri, role: string, more: Partial<Edge> = {}): Edge => ({
  ...{ into, from, role, holding: null, sinceMs: null, untilMs: null },
  ...more,
})

export const ban = (scope: SpaceUri | Did, untilMs: number | null = null): Ban => ({ scope, untilMs })

export const lists = (roles: Roles, own: readonly Edge[], more: Partial<Lists> = {}): Lists => ({
  ...{ own, nested: [], roles, nowMs: NOW },
  ...more,
})

// --- combinations ---

type Choices = Readonly<Record<string, readonly unknown[]>>
export type Chosen<C extends Choices> = { readonly [K in keyof C]: C[K][number] }

/** One of each, in every combination. */
export function every<C extends Choices>(choices: C): Chosen<C>[] {
  let made: Record<string, unknown>[] = [{}]
  for (const [name, values] of Object.entries(choices)) {
    made = made.flatMap((chosen) => values.map((value) => ({ ...chosen, [name]: value })))
  }
  return made as Chosen<C>[]
}

export const BOTH = [false, true] as const

// --- whom another service lets in ---

/** What a space can be set to, in the words of the page. */
export const POLICIES = ['public', 'memberList', 'managingApp'] as const
type PolicyWord = (typeof POLICIES)[number]

export const serviceNamed = (text: string): ServiceId => parsePlainServiceId(text) as ServiceId

/** Reading and writing may each have a managing app of their own. */
const MANAGING = {
  read: serviceNamed('did:web:readers.example.com#bouncer'),
  write: serviceNamed('did:web:readers.example.com#writers'),
} as const

export const policyOf = (word: PolicyWord, action: 'read' | 'write'): UserPolicy =>
  word === 'managingApp' ? MANAGING[action] : word

/** What the managing app said, in the words of the page. */
export const SAID = ['yes', 'no', 'unasked'] as const
export type Said = (typeof SAID)[number]

/** The words that mean it. One that another service gave is none. */
export function wordsThat(said: Said, action: 'read' | 'write'): readonly (Word | null)[] {
  if (said !== 'unasked') return [{ by: MANAGING[action], authorized: said === 'yes' }]
  const others = [MANAGING[action === 'read' ? 'write' : 'read'], serviceNamed('did:web:readers.example.com')]
  return [null, ...others.flatMap((by) => BOTH.map((authorized) => ({ by, authorized })))]
}

export interface Held {
  readonly stands: boolean
  readonly held: readonly Action[]
  /** Whether all the rights are among them that the rules don't name here. */
  readonly hasOthers: boolean
}

const OUTSIDE: Held = { stands: false, held: [], hasOthers: false }

/** No standing; or any of the rights that matter, with none or with all of the rights that must not. */
export function standings(matter: readonly Action[], others: readonly Action[]): readonly Held[] {
  const subsets = matter.reduce<Action[][]>((sets, one) => sets.flatMap((set) => [set, [...set, one]]), [[]])
  const inside = subsets.flatMap((set) =>
    BOTH.map((hasOthers) => ({ stands: true, held: hasOthers ? [...set, ...others] : set, hasOthers })),
  )
  return [OUTSIDE, ...inside]
}

export const without = (...matter: readonly Action[]): readonly Action[] =>
  ACTIONS.filter((one) => !matter.includes(one))

/** Rights of a governing kind. The ordinary ones open the ways on which something is given or taken. */
export const governing = (...matter: readonly Action[]): readonly Held[] =>
  standings(matter, without(...matter).filter(isManaging))

export const holdsAllPower = ({ held }: Held): boolean => ACTIONS.every((one) => !isManaging(one) || held.includes(one))

export const askOf = (
  action: string,
  context: Ask['context'],
  { principal = ACTOR as string, ...space }: Partial<Omit<Ask, 'action' | 'context'>> = {},
): Ask => ({
  ...{ action, principal, context },
  ...{ isRoster: false, isFrozen: false, readPolicy: 'memberList', writePolicy: 'memberList', ...space },
})

export const standingIn = ({ stands, held }: Held) => ({ stands, held: rights(held) })

/** How somebody stands who has their rights by an entry of their own. */
export const entered = ({ stands }: Held, space: SpaceUri): readonly Edge[] =>
  stands ? [edge(ACTOR, space, 'held')] : []
export const marked = (isOwner: boolean): readonly Edge[] => (isOwner ? [edge(ACTOR, ROSTER, 'mark')] : [])

/** The entry that anybody gets who asks. */
export const opening = (into: SpaceUri, role = 'guest'): Edge => edge(COMMUNITY, into, role)

// --- who is kept out, and what rests ---

export const KEPT_OUT = 'whoever is kept out holds nothing'
export const LEFT = 'whoever left has no entry'
export const LEFT_AS_OWNER = 'whoever left stands there as an owner only, from whom leaving takes nothing'
export const MARK_IN_ROSTER = 'in the roster, an owner is who holds community.transfer'
export const NEW_POWER = 'new power is beyond those who have none'

/** Bans that keep out of the space, and bans that don't. */
export const bansThat = (keepOut: boolean, space: SpaceUri = HERE): readonly (readonly Ban[])[] =>
  keepOut
    ? [[ban(space)], [ban(COMMUNITY)], [ban(space, NOW + 1)]]
    : [[], [ban(space, NOW)], [ban(COMMUNITY, NOW)], [ban(GIVEN)]]

/** What may rest so that the space does; and so that it doesn't. */
export const restsThat = (isFrozen: boolean, space: SpaceUri = HERE): readonly Partial<Lists>[] =>
  isFrozen ? [{ frozen: [space] }, { isAllFrozen: true }] : [{}, { frozen: [HOME] }]

/** The space and the roster of a case, for who wants to look at the standing there. */
export const placesOf = ({ ask }: Case): { readonly space: SpaceUri; readonly roster: SpaceUri } => ({
  space: ask.isRoster ? ROSTER : HERE,
  roster: ROSTER,
})
