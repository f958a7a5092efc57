/**
 * What was asked of several processes at once and what they answered, held against one story: the changes of each community in
 * the order of their revisions, told to a model that knows nothing of processes.
 *
 * Every change and every decision has a span: a number taken before it was asked and one taken after it was answered, from one
 * counter. What ended before something else began had happened by then, and has to be seen in it, wherever it was asked.
 */
import roles from '../../policies/roles.json' with { type: 'json' }
import { authorityOf, type Did, rosterOf, type SpaceUri } from '../../src/names.ts'
import { ACTIONS, type Action } from '../../src/policy/roles.ts'
import { hasFromElsewhere, hasGrounded, mayBySearch, type SmallWorld } from './oracle.ts'

export interface Span {
  readonly began: number
  readonly ended: number
}

/** A change as it is asked for. */
export type Deed = RosterDeed | RestingDeed

/**
 * A space rests or wakes; an account takes back its consent to have its spaces decided about here, or gives it anew; credentials are taken
 * back by hand, which keeps nobody out.
 */
export type RestingDeed =
  | { readonly does: 'freeze' | 'thaw'; readonly space: SpaceUri }
  | { readonly does: 'release' | 'consent' | 'takeBack'; readonly community: Did }

export type RosterDeed =
  | { readonly does: 'make' | 'delete'; readonly space: SpaceUri }
  | { readonly does: 'open' | 'close'; readonly space: SpaceUri }
  | { readonly does: 'put'; readonly space: SpaceUri; readonly did: Did; readonly role: string }
  | { readonly does: 'remove' | 'leave'; readonly space: SpaceUri; readonly did: Did }
  | ({ readonly does: 'nest'; readonly role: string; readonly holding: Action | null } & Nested)
  | ({ readonly does: 'unnest' } & Nested)
  | { readonly does: 'ban' | 'unban'; readonly scope: SpaceUri | Did; readonly did: Did }
  | { readonly does: 'offer' | 'withdraw'; readonly space: SpaceUri; readonly to: Did }

interface Nested {
  readonly space: SpaceUri
  readonly from: SpaceUri
}

/** A change that was accepted, with the revision it was answered. */
export interface Change extends Span {
  readonly community: Did
  readonly deed: Deed
  readonly revision: number
}

export type Question = RollQuestion | HookQuestion

export type RollQuestion =
  | { readonly asks: 'may'; readonly space: SpaceUri; readonly did: Did; readonly action: 'read' | 'write' }
  | { readonly asks: 'who'; readonly space: SpaceUri }
  | { readonly asks: 'where'; readonly community: Did; readonly did: Did }

/** As the PDS of an account asks. Null: it doesn't say what for, and is answered about reading. */
export interface HookQuestion {
  readonly asks: 'hook'
  readonly space: SpaceUri
  readonly did: Did
  readonly access: 'read' | 'write' | null
}

export type Basis = readonly { readonly community: Did; readonly revision: number }[]

export interface Decision extends Span {
  readonly question: Question
  /**
   * `yes` or `no`; a line per person or space with the actions there (`lineOf`), in order; `gone` for a space that isn't there;
   * `behind` when the process said that it had not got as far as `atLeast`; `lost` when what came back was no answer.
   */
  readonly answer: string
  /** What the answer says it rests on. */
  readonly basis: Basis
  /** Whether that is all of it. If not, the rest may be anything that can have been seen at the time. */
  readonly isWhole: boolean
  readonly atLeast: Basis
  /** For a credential: its name, and a number taken between the decision and its being written down. */
  readonly issued: { readonly jti: string; readonly wroteAt: number } | null
}

/** A look at the table of credentials: which of those that were being written when it began were there. */
export interface Look extends Span {
  readonly underWay: ReadonlySet<string>
  readonly found: ReadonlySet<string>
}

export interface Row {
  readonly jti: string
  readonly did: string
  readonly space: string
  readonly revision: number
}

export interface History {
  /** Each with its first owner and nobody else, at revision 1. */
  readonly communities: readonly { readonly did: Did; readonly founder: Did }[]
  readonly changes: readonly Change[]
  readonly decisions: readonly Decision[]
  readonly looks: readonly Look[]
  /** The table of credentials at the end. */
  readonly rows: readonly Row[]
}

export interface Findings {
  /** What may not be, each with the rule that it breaks in front. */
  readonly faults: readonly string[]
  readonly counts: Readonly<Record<Count, number>>
}

type Count =
  | 'changes'
  | 'raised'
  | 'decisions'
  | 'credentials'
  | 'yes'
  | 'no'
  | 'lists'
  | 'gone'
  | 'lost'
  | 'overlapping'
  | 'pairs'

/** One line of an answer that is a list. */
export const lineOf = (name: string, actions: readonly string[]): string => `${name} ${[...actions].sort().join(',')}`

export const listOf = (lines: readonly string[]): string => [...lines].sort().join('\n')

// ── the model ──

interface Roll extends Omit<SmallWorld, 'roles' | 'nowMs'> {
  readonly community: Did
  /** Spaces that rest: nobody reads or writes there, and nobody comes through. */
  readonly resting: readonly SpaceUri[]
  readonly isReleased: boolean
}

const ROLES: ReadonlyMap<string, ReadonlySet<Action>> = new Map(
  Object.entries(roles).map(([name, { actions }]) => [
    name,
    new Set(actions === 'all' ? ACTIONS : (actions as Action[])),
  ]),
)
const ALWAYS = { sinceMs: null, untilMs: null } as const

function firstRoll(community: Did, founder: Did): Roll {
  const roster = rosterOf(community).uri
  const policies = { read: 'memberList', write: 'memberList' } as const
  const owner = { into: roster, did: founder, role: 'owner', ...ALWAYS }
  const spaces = [{ uri: roster, live: true, policies }]
  const nothing = { nestings: [], bans: [], departures: [], offers: [], resting: [] }
  return { community, spaces, people: [owner], ...nothing, isReleased: false }
}

/** The roll after a change; the same object when the change changes nothing. */
function after(roll: Roll, deed: Deed): Roll {
  switch (deed.does) {
    case 'make': {
      const policies = { read: 'memberList', write: 'memberList' } as const
      const from = rosterOf(authorityOf(deed.space)).uri
      const owners = { into: deed.space, from, role: 'owner', holding: 'community.transfer', ...ALWAYS } as const
      const spaces = [...roll.spaces, { uri: deed.space, live: true, policies }]
      return { ...roll, spaces, nestings: [...roll.nestings, owners] }
    }
    case 'delete': {
      // Its entries among the spaces of its community go with it, and what it was offered to.
      const nestings = keep(roll.nestings, ({ into, from }) => into !== deed.space && from !== deed.space)
      const offers = without(roll.offers, { space: deed.space })
      return withSpace({ ...roll, nestings, offers }, deed.space, (space) => ({ ...space, live: false }))
    }
    case 'open':
    case 'close': {
      const read = deed.does === 'open' ? 'public' : 'memberList'
      if (roll.spaces.some(({ uri, policies }) => uri === deed.space && policies.read === read)) return roll
      return withSpace(roll, deed.space, (space) => ({ ...space, policies: { ...space.policies, read } }))
    }
    case 'put': {
      const { space: into, did, role } = deed
      const isBack = roll.departures.some((gone) => gone.space === into && gone.did === did)
      if (!isBack && roll.people.some((one) => one.into === into && one.did === did && one.role === role)) return roll
      const people = [...without(roll.people, { into, did }), { into, did, role, ...ALWAYS }]
      return { ...roll, people, departures: without(roll.departures, { space: into, did }) }
    }
    case 'remove':
      return withKept(roll, 'people', without(roll.people, { into: deed.space, did: deed.did }))
    case 'leave': {
      const { space, did } = deed
      const departures = [...without(roll.departures, { space, did }), { space, did }]
      return { ...roll, people: without(roll.people, { into: space, did }), departures }
    }
    case 'nest': {
      const { space: into, from, role, holding } = deed
      if (roll.nestings.some((one) => matches(one, { into, from, role, holding }))) return roll
      const nestings = [...without(roll.nestings, { into, from, role }), { into, from, role, holding, ...ALWAYS }]
      return { ...roll, nestings }
    }
    case 'unnest': {
      const isMeant = ({ into, from, role }: SmallWorld['nestings'][number]) =>
        into === deed.space && from === deed.from && role !== 'owner'
      return withKept(
        roll,
        'nestings',
        keep(roll.nestings, (one) => !isMeant(one)),
      )
    }
    case 'ban': {
      const { scope, did } = deed
      return { ...roll, bans: [...without(roll.bans, { scope, did }), { scope, did, untilMs: null }] }
    }
    case 'unban':
      return withKept(roll, 'bans', without(roll.bans, { scope: deed.scope, did: deed.did }))
    case 'offer':
    case 'withdraw': {
      const { space, to } = deed
      const others = without(roll.offers, { space, to })
      if (deed.does === 'withdraw') return withKept(roll, 'offers', others)
      return others === roll.offers ? { ...roll, offers: [...others, { space, to }] } : roll
    }
    case 'freeze':
      return roll.resting.includes(deed.space) ? roll : { ...roll, resting: [...roll.resting, deed.space] }
    case 'thaw':
      return withKept(
        roll,
        'resting',
        keep(roll.resting, (space) => space !== deed.space),
      )
    case 'release':
    case 'consent': {
      const isReleased = deed.does === 'release'
      return roll.isReleased === isReleased ? roll : { ...roll, isReleased }
    }
    case 'takeBack':
      return roll
  }
}

/** Changes that raise the revision whether they find anything different or not. */
const ALWAYS_RAISES: readonly Deed['does'][] = ['make', 'delete', 'ban', 'leave', 'takeBack']

const matches = <T extends object>(one: T, wanted: Partial<T>): boolean =>
  Object.entries(wanted).every(([key, value]) => one[key as keyof T] === value)
/** The same list when nothing goes. */
const keep = <T>(all: readonly T[], isKept: (one: T) => boolean): readonly T[] =>
  all.every(isKept) ? all : all.filter(isKept)
const without = <T extends object>(all: readonly T[], wanted: Partial<T>): readonly T[] =>
  keep(all, (one) => !matches(one, wanted))
const withKept = <K extends keyof Roll>(roll: Roll, key: K, kept: Roll[K]): Roll =>
  kept === roll[key] ? roll : { ...roll, [key]: kept }
const withSpace = (
  roll: Roll,
  uri: SpaceUri,
  change: (space: Roll['spaces'][number]) => Roll['spaces'][number],
): Roll => ({
  ...roll,
  spaces: roll.spaces.map((space) => (space.uri === uri ? change(space) : space)),
})

function worldOf(rolls: readonly Roll[]): SmallWorld {
  const resting = rolls.flatMap((roll) => roll.resting)
  return {
    spaces: rolls.flatMap(({ spaces }) => spaces),
    people: rolls.flatMap(({ people }) => people),
    nestings: rolls.flatMap(({ nestings }) => nestings).filter(({ from }) => !resting.includes(from)),
    bans: rolls.flatMap(({ bans }) => bans),
    departures: rolls.flatMap(({ departures }) => departures),
    offers: rolls.flatMap(({ offers }) => offers),
    roles: ROLES,
    nowMs: 0,
  }
}

function answerOf(rolls: readonly Roll[], question: Question): string {
  const world = worldOf(rolls)
  const isLive = (space: SpaceUri) => world.spaces.some(({ uri, live }) => live && uri === space)
  const line = (name: string, did: Did, space: SpaceUri): string[] => {
    const has = (wanted: Action | 'any') =>
      hasGrounded(world, did, space, wanted) || hasFromElsewhere(world, did, space, wanted)
    return has('any') ? [lineOf(name, ACTIONS.filter(has))] : []
  }
  if (question.asks === 'where') {
    const { did, community } = question
    const spaces = world.spaces.filter(({ uri }) => authorityOf(uri) === community && isLive(uri))
    return listOf(spaces.flatMap(({ uri }) => line(uri, did, uri)))
  }
  const { space } = question
  const rests = rolls.some(({ resting }) => resting.includes(space))
  if (question.asks === 'hook') {
    const isReleased = rolls.some(({ community, isReleased }) => isReleased && community === authorityOf(space))
    const may = mayBySearch(world, question.did, space, question.access ?? 'read')
    return may && !rests && !isReleased ? 'yes' : 'no'
  }
  if (!isLive(space)) return 'gone'
  if (question.asks === 'may') {
    return mayBySearch(world, question.did, space, question.action) && !rests ? 'yes' : 'no'
  }
  const everybody = new Set(world.people.map(({ did }) => did))
  return listOf([...everybody].flatMap((did) => line(did, did, space)))
}

/** The entries of spaces by which somebody can come to what a question is about; about a whole community, all of them. */
function edgesThatLeadTo(roll: Roll, question: Question): readonly SmallWorld['nestings'][number][] {
  if (question.asks === 'where') return roll.nestings
  const reached = new Set<SpaceUri>([question.space])
  // A set gives what is added while it is walked through.
  for (const space of reached) for (const { into, from } of roll.nestings) if (into === space) reached.add(from)
  return roll.nestings.filter(({ into }) => reached.has(into))
}

/** A space that ends while its roster is read may be shown with nobody in it. */
const isSaid = (answer: string, due: string, { asks }: Question): boolean =>
  answer === due || (asks === 'who' && due === 'gone' && answer === '')

// ── the order of things ──

/** By community, the highest number among all that came before a moment. */
class Ladder {
  readonly #rungs = new Map<Did, { at: number; revision: number }[]>()

  constructor(all: readonly { readonly at: number; readonly community: Did; readonly revision: number }[]) {
    for (const { at, community, revision } of [...all].sort((a, b) => a.at - b.at)) {
      const rungs = this.#rungs.get(community) ?? []
      rungs.push({ at, revision: Math.max(revision, rungs.at(-1)?.revision ?? 0) })
      this.#rungs.set(community, rungs)
    }
  }

  /** How many came before. */
  countBefore(moment: number, community: Did): number {
    const rungs = this.#rungs.get(community) ?? []
    let [from, to] = [0, rungs.length]
    while (from < to) {
      const middle = (from + to) >> 1
      if ((rungs[middle]?.at ?? 0) < moment) from = middle + 1
      else to = middle
    }
    return from
  }

  before(moment: number, community: Did): number {
    return this.#rungs.get(community)?.[this.countBefore(moment, community) - 1]?.revision ?? 1
  }
}

const homeOf = (question: Question): Did =>
  question.asks === 'where' ? question.community : authorityOf(question.space)

const textOf = ({ began, ended, question, answer, basis }: Decision): string =>
  `${JSON.stringify(question)} → ${JSON.stringify(answer)} on ${JSON.stringify(basis)} in ${began}–${ended}`

class Checker {
  readonly faults: string[] = []
  readonly #history: History
  /** By community, the roll at each revision. */
  readonly #lines = new Map<Did, Map<number, Roll>>()
  readonly #begun: Ladder
  readonly #answered: Ladder
  readonly #seen: Ladder

  constructor(history: History) {
    this.#history = history
    this.#begun = new Ladder(history.changes.map((change) => ({ ...change, at: change.began })))
    this.#answered = new Ladder(history.changes.map((change) => ({ ...change, at: change.ended })))
    this.#seen = new Ladder(
      history.decisions.flatMap(({ basis, ended }) => basis.map((one) => ({ ...one, at: ended }))),
    )
  }

  check(): Findings {
    for (const { did, founder } of this.#history.communities) this.#replay(did, firstRoll(did, founder))
    for (const change of this.#history.changes) this.#checkChange(change)
    for (const decision of this.#history.decisions) {
      this.#checkBasis(decision)
      this.#checkAnswer(decision)
    }
    this.#checkRows()
    for (const look of this.#history.looks) this.#checkLook(look)
    return { faults: this.faults, counts: this.#counts() }
  }

  #fault(rule: string, says: string): void {
    this.faults.push(`${rule}: ${says}`)
  }

  /** Of the changes that were answered one number, one made it, and the others found that there was nothing to do. */
  #replay(community: Did, first: Roll): void {
    const line = new Map<number, Roll>([[1, first]])
    this.#lines.set(community, line)
    const groups = Map.groupBy(
      this.#history.changes.filter((change) => change.community === community),
      ({ revision }) => revision,
    )
    const last = Math.max(1, ...groups.keys())
    let roll = first
    for (let revision = 1; revision <= last; revision++) {
      const deeds = (groups.get(revision) ?? []).map(({ deed }) => deed)
      const next = revision === 1 ? (areIdle(deeds, first) ? first : null) : onlyRoll(roll, deeds)
      if (!next) {
        this.#fault('replay', `${community} can't have come to ${revision} by ${JSON.stringify(deeds)}`)
        return
      }
      line.set(revision, next)
      roll = next
    }
  }

  #checkChange({ community, revision, began, deed }: Change): void {
    const floor = Math.max(this.#answered.before(began, community), this.#seen.before(began, community))
    if (revision < floor)
      this.#fault('order', `${JSON.stringify(deed)} was answered ${revision} after ${floor} was known`)
  }

  #checkBasis(decision: Decision): void {
    const { basis, began, ended, atLeast, answer } = decision
    for (const { community, revision } of basis) {
      const answered = this.#answered.before(began, community)
      if (revision < answered)
        this.#fault('stale', `${textOf(decision)}, when ${community} had been answered ${answered}`)
      const seen = this.#seen.before(began, community)
      if (revision < seen) this.#fault('falling', `${textOf(decision)}, when ${community} had been seen at ${seen}`)
      const begun = Math.max(1, this.#begun.before(ended, community))
      if (revision > begun) this.#fault('early', `${textOf(decision)}, before anybody asked for a change to that`)
      const least = atLeast.find((one) => one.community === community)?.revision ?? 0
      if (revision < least) this.#fault('atLeast', `${textOf(decision)}, asked for at least ${least}`)
    }
    if (answer === 'behind')
      this.#fault('atLeast', `${textOf(decision)}, asked for at least ${JSON.stringify(atLeast)}`)
  }

  #checkAnswer(decision: Decision): void {
    const { question, isWhole, answer } = decision
    if (answer === 'behind') return
    if (answer === 'lost') this.#fault('lost', textOf(decision))
    else if (isWhole) this.#checkWhole(decision)
    else {
      const isDue = (rolls: readonly Roll[]) => isSaid(answer, answerOf(rolls, question), question)
      const rule = question.asks === 'hook' ? `stale ${answer}` : 'answer'
      if (!this.#choices(decision).some(isDue))
        this.#fault(rule, `${textOf(decision)}, which was due at no time in between`)
    }
  }

  /** The answer is the one that is due on exactly the revisions that it names, and they are all on which it can rest. */
  #checkWhole(decision: Decision): void {
    const { question, basis, answer } = decision
    const rolls = basis.map(({ community, revision }) => this.#lines.get(community)?.get(revision))
    const known = rolls.filter((roll) => roll !== undefined)
    const own = rolls[basis.findIndex(({ community }) => community === homeOf(question))]
    const leading = own ? edgesThatLeadTo(own, question) : []
    const lacking = leading.find(({ from }) => !basis.some(({ community }) => community === authorityOf(from)))
    const due = answerOf(known, question)
    if (known.length < rolls.length) this.#fault('early', `${textOf(decision)}, which never was`)
    else if (!own || lacking)
      this.#fault('whole', `${textOf(decision)} leaves out ${lacking?.from ?? 'its own community'}`)
    else if (!isSaid(answer, due, question))
      this.#fault('answer', `${textOf(decision)}, where ${JSON.stringify(due)} is due`)
  }

  /** Every way in which the rolls can have stood while a decision was made, as far as its basis leaves that open. */
  #choices({ basis, began, ended }: Decision): readonly (readonly Roll[])[] {
    let choices: readonly (readonly Roll[])[] = [[]]
    for (const [community, line] of this.#lines) {
      const said = basis.find((one) => one.community === community)?.revision
      const from = said ?? this.#answered.before(began, community)
      const to = said ?? Math.max(from, this.#begun.before(ended, community))
      const between = Array.from({ length: to - from + 1 }, (_, nth) => line.get(from + nth))
      const rolls = between.filter((roll) => roll !== undefined)
      choices = choices.flatMap((chosen) => rolls.map((roll) => [...chosen, roll]))
    }
    return choices
  }

  /** A credential has its row, the row its credential, and when it was written its basis was nobody's past. */
  #checkRows(): void {
    const rows = new Map(this.#history.rows.map((row) => [row.jti, row]))
    const issued = new Set<string>()
    for (const decision of this.#history.decisions) {
      const { issued: credential, question, basis } = decision
      if (!credential) continue
      issued.add(credential.jti)
      const row = rows.get(credential.jti)
      const own = basis.find(({ community }) => community === homeOf(question))
      const isOf = question.asks === 'may' && row?.did === question.did && row.space === question.space
      if (!isOf || row.revision !== own?.revision) this.#fault('row', `${textOf(decision)} has ${JSON.stringify(row)}`)
      for (const { community, revision } of basis) {
        const answered = this.#answered.before(credential.wroteAt, community)
        if (revision < answered)
          this.#fault('written', `${textOf(decision)}, written when ${community} had been answered ${answered}`)
      }
    }
    for (const { jti } of this.#history.rows) if (!issued.has(jti)) this.#fault('row', `${jti} is nobody's credential`)
  }

  /** Once a change is answered, no row comes into being that rests on what was before. */
  #checkLook({ began, underWay, found }: Look): void {
    const kept = new Set(this.#history.rows.map(({ jti }) => jti))
    for (const decision of this.#history.decisions) {
      const jti = decision.issued?.jti ?? ''
      if (!underWay.has(jti) || found.has(jti) || !kept.has(jti)) continue
      const passed = decision.basis.find((one) => one.revision < this.#answered.before(began, one.community))
      if (passed)
        this.#fault('late', `${textOf(decision)} came to stand after ${passed.community} had been answered more`)
    }
  }

  #counts(): Record<Count, number> {
    const { changes, decisions } = this.#history
    const pairs = decisions.map(({ question, basis, began, ended }) => {
      const communities = new Set([homeOf(question), ...basis.map(({ community }) => community)])
      const beside = (did: Did) => this.#begun.countBefore(ended, did) - this.#answered.countBefore(began, did)
      return [...communities].reduce((sum, did) => sum + beside(did), 0)
    })
    const answered = (answer: string) => decisions.filter((decision) => decision.answer === answer).length
    return {
      changes: changes.length,
      raised: [...this.#lines.values()].reduce((sum, line) => sum + line.size - 1, 0),
      decisions: decisions.length,
      credentials: decisions.filter(({ issued }) => issued).length,
      yes: answered('yes'),
      no: answered('no'),
      lists: decisions.filter(({ question }) => question.asks === 'who' || question.asks === 'where').length,
      gone: answered('gone'),
      lost: answered('lost'),
      overlapping: pairs.filter((count) => count > 0).length,
      pairs: pairs.reduce((sum, count) => sum + count, 0),
    }
  }
}

/** Whether none of the deeds finds anything to do. */
const areIdle = (deeds: readonly Deed[], roll: Roll): boolean =>
  deeds.every((deed) => !ALWAYS_RAISES.includes(deed.does) && after(roll, deed) === roll)

/** The roll to which one of the deeds leads so that the others find nothing to do. Null: none does. */
function onlyRoll(roll: Roll, deeds: readonly Deed[]): Roll | null {
  for (const deed of deeds) {
    const next = after(roll, deed)
    if (next === roll && !ALWAYS_RAISES.includes(deed.does)) continue
    const others = deeds.filter((one) => one !== deed)
    if (areIdle(others, next)) return next
  }
  return null
}

/** What came of a question of a PDS, which is told nothing but yes or no: what it rests on may be anything of its time. */
export const hookDecision = (question: HookQuestion, span: Span, answer: 'yes' | 'no' | 'lost'): Decision => ({
  ...span,
  ...{ question, answer, basis: [], isWhole: false, atLeast: [], issued: null },
})

/** Everything in a history that can't have come of one house. */
export const checkHistory = (history: History): Findings => new Checker(history).check()
