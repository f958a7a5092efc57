/**
 * The membership model in memory, as its definition reads and not as the house computes it: sets of facts, applied to each other
 * until nothing is new, looked at once per instant at which anything begins or ends.
 *
 * Slow and small on purpose. Stories are told to it as well, so that a story whose author is wrong is found without the house.
 */
import roles from '../../policies/roles.json' with { type: 'json' }
import { ACTIONS, type Action } from '../../src/policy/roles.ts'
import {
  type Deed,
  rosterWord,
  type Scope,
  type SpaceWord,
  type Stage,
  type Story,
  type StorySpace,
  type Use,
} from './stories.ts'

interface Entry {
  readonly into: SpaceWord
  /** A person or a space. */
  readonly from: string
  readonly role: string
  /** What it takes to come through: an action, or `stands`. Null for a person's own entry. */
  readonly premise: string | null
  readonly since: number | null
  readonly until: number | null
}

interface Ban {
  readonly who: string
  readonly scope: string
  readonly until: number | null
}

type DeedOf<D extends Deed['does']> = Extract<Deed, { does: D }>
/** Space → what somebody has there, `stands` among it. */
type Standing = Map<SpaceWord, Set<string>>

/** Thrown within the model only. */
class No extends Error {}
const no = (code: string): never => {
  throw new No(code)
}

const PLAIN: readonly string[] = ['read', 'write', 'members.read']
const FOREIGN_MOST: readonly string[] = ['read', 'write']
const OWNERS_ONLY = 'community.transfer'
const isPower = (what: string): boolean => what !== 'stands' && !PLAIN.includes(what)

const ACTIONS_OF: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(roles).map(([name, { actions }]) => [name, actions === 'all' ? ACTIONS : (actions as string[])]),
)
const actionsOf = (role: string): readonly string[] => ACTIONS_OF.get(role) ?? []
const countsAt = ({ since, until }: Pick<Entry, 'since' | 'until'>, at: number): boolean =>
  (since === null || since <= at) && (until === null || at < until)

export class StoryModel implements Stage {
  #now = 0
  readonly #communityOf = new Map<SpaceWord, string>()
  readonly #publicFor = new Map<SpaceWord, Set<Use>>()
  readonly #deleted = new Set<SpaceWord>()
  #people: Entry[] = []
  #nested: Entry[] = []
  #bans: Ban[] = []
  #left: { readonly who: string; readonly space: SpaceWord }[] = []
  #offers: { readonly space: SpaceWord; readonly to: string }[] = []

  constructor({ communities, spaces }: Pick<Story, 'communities' | 'spaces'>) {
    for (const [community, owner] of communities) {
      this.#communityOf.set(rosterWord(community), community)
      this.#people.push(entryOf(rosterWord(community), owner, 'owner'))
    }
    for (const space of spaces) this.#addSpace(space)
  }

  #addSpace({ name, community, publicFor }: StorySpace): void {
    this.#communityOf.set(name, community)
    this.#publicFor.set(name, new Set(publicFor))
    this.#nested.push(entryOf(name, rosterWord(community), 'owner', OWNERS_ONLY))
  }

  moveTo(clock: number): void {
    this.#now = clock
  }

  /** A copy's changes are kept only when nothing was refused. */
  async carryOut(deed: Deed): Promise<string> {
    const before = [this.#people, this.#nested, this.#bans, this.#left, this.#offers] as const
    try {
      this.#do(deed)
      return 'accepted'
    } catch (error) {
      if (!(error instanceof No)) throw error
      ;[this.#people, this.#nested, this.#bans, this.#left, this.#offers] = before
      return error.message
    }
  }

  async ask(who: string, action: Action, space: SpaceWord): Promise<Readonly<Record<string, boolean>>> {
    return { model: this.may(who, action, space) }
  }

  may(who: string, action: string, space: SpaceWord): boolean {
    if (this.#deleted.has(space) || this.#isBanned(who, space, this.#now)) return false
    return this.#holds(who, action, space) || this.isPublic(space, action)
  }

  isPublic(space: SpaceWord, action: string): boolean {
    return (action === 'read' || action === 'write') && this.#publicFor.get(space)?.has(action) === true
  }

  isDeleted(space: SpaceWord): boolean {
    return this.#deleted.has(space)
  }

  async peopleIn(space: SpaceWord): Promise<readonly string[]> {
    const everybody = new Set(this.#people.map(({ from }) => from))
    return [...everybody].filter((who) => this.#holds(who, 'stands', space))
  }

  async spacesOf(who: string): Promise<readonly SpaceWord[]> {
    return [...this.#communityOf.keys()].filter((space) => this.#holds(who, 'stands', space))
  }

  /** Whose owner's word counts now: direct owners on the roster who are not banned. */
  ownersOf(community: string): readonly string[] {
    return this.#people
      .filter(
        ({ into, role, from }) =>
          into === rosterWord(community) && role === 'owner' && !this.#isBanned(from, into, this.#now),
      )
      .map(({ from }) => from)
  }

  // ── standing ──

  #isBanned(who: string, space: SpaceWord, at: number): boolean {
    const scopes = [space, this.#communityOf.get(space)]
    return this.#bans.some(
      (ban) => ban.who === who && scopes.includes(ban.scope) && (ban.until === null || at < ban.until),
    )
  }

  /** Adds what `edges` give, limited to `most`, until nothing is new. `has` says what opens an edge. */
  #spread(
    standing: Standing,
    edges: readonly Entry[],
    has: (edge: Entry) => boolean,
    most: readonly string[] | null,
  ): void {
    for (let isNew = true; isNew; ) {
      isNew = false
      for (const edge of edges.filter(has)) {
        const there = standing.get(edge.into) ?? new Set<string>()
        standing.set(edge.into, there)
        for (const what of ['stands', ...actionsOf(edge.role)]) {
          if (most !== null && what !== 'stands' && !most.includes(what)) continue
          if (!there.has(what)) isNew = true
          there.add(what)
        }
      }
    }
  }

  /** Nothing that came from another community is in it. */
  #grounded(who: string, community: string, at: number): Standing {
    const standing: Standing = new Map()
    const isOpen = (edge: Entry) => countsAt(edge, at) && this.#opensFor(who, edge, community, at)
    this.#spread(
      standing,
      this.#people.filter((edge) => edge.from === who),
      isOpen,
      null,
    )
    const passes = (edge: Entry) =>
      isOpen(edge) &&
      this.#communityOf.get(edge.from) === community &&
      standing.get(edge.from)?.has(edge.premise ?? '') === true
    this.#spread(standing, this.#nested, passes, null)
    return standing
  }

  #opensFor(who: string, { into, role, from }: Entry, community: string, at: number): boolean {
    if (this.#communityOf.get(into) !== community || this.#deleted.has(into) || this.#isBanned(who, into, at))
      return false
    return from === who || role === 'owner' || !this.#left.some((left) => left.who === who && left.space === into)
  }

  #standing(who: string, community: string, at: number): Standing {
    const grounded = this.#grounded(who, community, at)
    const standing: Standing = new Map([...grounded].map(([space, there]) => [space, new Set(there)]))
    const isOpen = (edge: Entry) => countsAt(edge, at) && this.#opensFor(who, edge, community, at)
    const comesFromElsewhere = ({ from, premise }: Entry) => {
      const home = this.#communityOf.get(from) ?? ''
      if (home === community || this.#deleted.has(from)) return false
      if (!this.#offers.some((offer) => offer.space === from && offer.to === community)) return false
      return (
        this.#grounded(who, home, at)
          .get(from)
          ?.has(premise ?? '') === true
      )
    }
    this.#spread(standing, this.#nested, (edge) => isOpen(edge) && comesFromElsewhere(edge), FOREIGN_MOST)
    const passes = (edge: Entry) =>
      isOpen(edge) &&
      this.#communityOf.get(edge.from) === community &&
      standing.get(edge.from)?.has(edge.premise ?? '') === true
    this.#spread(standing, this.#nested, passes, FOREIGN_MOST)
    return standing
  }

  #holds(who: string, what: string, space: SpaceWord, at = this.#now): boolean {
    return (
      this.#standing(who, this.#communityOf.get(space) ?? '', at)
        .get(space)
        ?.has(what) === true
    )
  }

  // ── changes ──

  /** Now, and every later instant at which anything known begins or ends. */
  #instants(...more: readonly (Pick<Entry, 'since' | 'until'> | null)[]): readonly number[] {
    const ends = [...this.#people, ...this.#nested, ...more].flatMap((edge) => [edge?.since, edge?.until])
    const times = [...ends, ...this.#bans.map(({ until }) => until)].filter((time) => typeof time === 'number')
    return [this.#now, ...times.filter((time) => time > this.#now)]
  }

  #isForeign({ from, into }: Entry): boolean {
    const home = this.#communityOf.get(from)
    return home !== undefined && home !== this.#communityOf.get(into)
  }

  /** What an entry gives at an instant to somebody who has nothing else, as `space|what`. What is foreign gives no powers. */
  #gives(entry: Entry | null, at: number): Set<string> {
    const standing: Standing = new Map()
    const isForeign = entry !== null && this.#isForeign(entry)
    if (entry !== null && !isForeign && countsAt(entry, at)) {
      const live = this.#nested.filter((edge) => countsAt(edge, at) && !this.#deleted.has(edge.into))
      this.#spread(standing, [entry], () => true, null)
      const home = this.#communityOf.get(entry.into)
      const passes = (edge: Entry) =>
        this.#communityOf.get(edge.into) === home && standing.get(edge.from)?.has(edge.premise ?? '') === true
      this.#spread(standing, live, passes, null)
    }
    return new Set([...standing].flatMap(([space, there]) => [...there].map((what) => `${space}|${what}`)))
  }

  /** Every power that one entry gives and the other doesn't must be the actor's, now and then. */
  #requireBound(by: string, entry: Entry | null, other: Entry | null): void {
    for (const at of this.#instants(entry, other)) {
      for (const [space, what] of this.#givenBeyond(entry, other, at)) {
        if (!isPower(what)) continue
        if (!this.#holds(by, what, space) || !this.#holds(by, what, space, at)) no('EscalationDenied')
      }
    }
  }

  #givenBeyond(entry: Entry | null, other: Entry | null, at: number): (readonly [SpaceWord, string])[] {
    // What is asked of whoever comes through narrows it: an entry that lets in fewer gives nothing that one could say is given already.
    const letsInAll = other?.premise === null || other?.premise === 'stands' || other?.premise === entry?.premise
    const shared = letsInAll ? this.#gives(other, at) : new Set<string>()
    const given = [...this.#gives(entry, at)].filter((pair) => !shared.has(pair))
    return given.map((pair) => pair.split('|') as [SpaceWord, string])
  }

  /** Whoever takes from a person is their equal in the spaces concerned. */
  #requireEqual(by: string, who: string, spaces: ReadonlySet<SpaceWord>): void {
    for (const space of spaces) {
      for (const at of this.#instants()) {
        for (const what of this.#standing(who, this.#communityOf.get(space) ?? '', at).get(space) ?? []) {
          if (isPower(what) && !this.#holds(by, what, space)) no('EscalationDenied')
        }
      }
    }
  }

  #require(by: string, action: string, space: SpaceWord): void {
    if (!this.#holds(by, action, space)) no(this.#standsAtHome(by, space) ? 'Forbidden' : 'NotFound')
  }

  /** Guests govern nothing, and are told what strangers are. */
  #standsAtHome(by: string, space: SpaceWord): boolean {
    return this.#grounded(by, this.#communityOf.get(space) ?? '', this.#now).has(space)
  }

  #requireSomeOwner(before: readonly string[], community: string): void {
    if (before.length > 0 && this.ownersOf(community).length === 0) no('LastOwner')
  }

  #do(deed: Deed): void {
    switch (deed.does) {
      case 'putPerson':
        this.#putPerson(deed)
        break
      case 'putSpace':
        this.#putSpace(deed)
        break
      case 'removePerson':
        this.#removePerson(deed)
        break
      case 'removeSpace':
        this.#removeSpace(deed)
        break
      case 'ban':
      case 'unban':
        this.#changeBan(deed)
        break
      case 'leave':
        this.#leave(deed)
        break
      case 'delete':
        this.#delete(deed)
        break
      case 'make': {
        this.#require(deed.by, 'space.create', rosterWord(deed.space.community))
        if (this.#communityOf.has(deed.space.name)) no('SpaceAlreadyExists')
        this.#addSpace(deed.space)
        break
      }
      case 'open':
      case 'close': {
        const open = this.#publicFor.get(deed.space) ?? new Set<Use>()
        this.#require(deed.by, 'space.configure', deed.space)
        if (deed.does === 'open') this.#require(deed.by, OWNERS_ONLY, deed.space)
        for (const use of deed.uses) deed.does === 'open' ? open.add(use) : open.delete(use)
        this.#publicFor.set(deed.space, open)
        break
      }
      case 'offer':
      case 'withdraw': {
        const { space, to } = deed
        this.#require(deed.by, 'space.nest', space)
        this.#offers = this.#offers.filter((offer) => offer.space !== space || offer.to !== to)
        if (deed.does === 'offer') this.#offers.push({ space, to })
      }
    }
  }

  #putPerson({ by, who, into, role, since, until }: DeedOf<'putPerson'>): void {
    const community = this.#communityOf.get(into) ?? ''
    if (!this.#standsAtHome(by, into)) no('NotFound')
    const isTimed = since !== null || until !== null
    if (role === 'owner' && (into !== rosterWord(community) || isTimed)) no('InvalidRequest')
    if (since !== null && until !== null && since >= until) no('InvalidRequest')
    const after = { into, from: who, role, premise: null, since, until }
    const before = this.#people.find((edge) => edge.into === into && edge.from === who) ?? null
    const isSame = before?.role === role && before.since === since && before.until === until
    const needsAssign = actionsOf(role).some(isPower) || (before !== null && !isSame)
    this.#require(by, needsAssign ? 'role.assign' : 'members.add', into)
    this.#requireBound(by, after, before)
    if (by !== who) this.#requireEqual(by, who, this.#spacesBeyond(before, after))
    const owners = this.ownersOf(community)
    if (by !== who) this.#requireEqualToWhatComesBack(by, who, into)
    this.#people = [...this.#people.filter((edge) => edge !== before), after]
    this.#left = this.#left.filter((left) => left.who !== who || left.space !== into)
    this.#requireSomeOwner(owners, community)
  }

  /** Whoever left and is put there again comes back by the nested ways too. */
  #requireEqualToWhatComesBack(by: string, who: string, into: SpaceWord): void {
    const sizes = () =>
      this.#instants().map((at) =>
        [...this.#communityOf].map(([space, community]) => this.#standing(who, community, at).get(space)?.size ?? 0),
      )
    const gone = sizes()
    this.#left = this.#left.filter((left) => left.who !== who || left.space !== into)
    const back = sizes()
    const places = [...this.#communityOf.keys()]
    this.#requireEqual(
      by,
      who,
      new Set(places.filter((_, place) => back.some((row, at) => row[place] !== gone[at]?.[place]))),
    )
  }

  #spacesBeyond(entry: Entry | null, other: Entry | null): ReadonlySet<SpaceWord> {
    const given = this.#instants(entry, other).flatMap((at) => this.#givenBeyond(entry, other, at))
    return new Set(given.map(([space]) => space))
  }

  #putSpace({ by, from, into, role, holding, since, until }: DeedOf<'putSpace'>): void {
    const [home, community] = [this.#communityOf.get(from), this.#communityOf.get(into) ?? '']
    if (!this.#standsAtHome(by, into)) no('NotFound')
    if (role === 'owner' || from === into) no('InvalidRequest')
    const isTooMuch = actionsOf(role).some((action) => !FOREIGN_MOST.includes(action))
    if (home !== community && isTooMuch) no('InvalidRequest')
    if (since !== null && until !== null && since >= until) no('InvalidRequest')
    this.#require(by, 'space.nest', into)
    if (this.#deleted.has(from)) no('NotFound')
    const hasPower = actionsOf(role).some(isPower)
    if (home !== community && !this.#offers.some((offer) => offer.space === from && offer.to === community))
      no('NotFound')
    if (hasPower && !this.#holds(by, OWNERS_ONLY, into)) no('EscalationDenied')
    const after = { into, from, role, premise: holding ?? 'stands', since, until }
    const before = this.#nested.find((edge) => edge.into === into && edge.from === from && edge.role === role) ?? null
    this.#requireBound(by, after, before)
    this.#requireBound(by, before, after)
    if (home === community && !this.#holds(by, 'members.read', from)) no('NotFound')
    this.#nested = [...this.#nested.filter((edge) => edge !== before), after]
  }

  #removePerson({ by, who, space }: DeedOf<'removePerson'>): void {
    const community = this.#communityOf.get(space) ?? ''
    this.#require(by, 'members.remove', space)
    const before = this.#people.find((edge) => edge.into === space && edge.from === who) ?? null
    if (by !== who) this.#requireEqual(by, who, this.#spacesBeyond(before, null))
    const owners = this.ownersOf(community)
    this.#people = this.#people.filter((edge) => edge !== before)
    this.#requireSomeOwner(owners, community)
  }

  #removeSpace({ by, from, space, role }: DeedOf<'removeSpace'>): void {
    if (!this.#standsAtHome(by, space)) no('NotFound')
    if (role === 'owner') no('InvalidRequest')
    this.#require(by, 'space.nest', space)
    const isMeant = (edge: Entry) =>
      edge.into === space && edge.from === from && edge.role !== 'owner' && (role === null || edge.role === role)
    for (const edge of this.#nested.filter(isMeant)) this.#requireBound(by, edge, null)
    this.#nested = this.#nested.filter((edge) => !isMeant(edge))
  }

  #changeBan(deed: DeedOf<'ban'> | DeedOf<'unban'>): void {
    const { by, who, scope } = deed
    const community = communityIn(scope) ?? this.#communityOf.get(wordOf(scope)) ?? ''
    if (deed.does === 'ban' && by === who) no('InvalidRequest')
    const isHere =
      'space' in scope ? this.#standsAtHome(by, scope.space) : this.#grounded(by, community, this.#now).size > 0
    if (!isHere) no('NotFound')
    const isOwner = this.#people.some(
      (edge) => edge.into === rosterWord(community) && edge.from === who && edge.role === 'owner',
    )
    this.#require(by, 'members.ban', 'space' in scope ? scope.space : rosterWord(community))
    const owners = this.ownersOf(community)
    const before = this.#bans
    const others = before.filter((ban) => ban.who !== who || ban.scope !== wordOf(scope))
    const banned = [...others, { who, scope: wordOf(scope), until: deed.does === 'ban' ? deed.until : null }]
    this.#bans = others
    if (!this.#holds(by, OWNERS_ONLY, rosterWord(community)))
      this.#requireEqual(by, who, this.#spacesLostBy(who, banned))
    if (deed.does === 'ban' && isOwner && 'space' in scope) no('InvalidRequest')
    if (deed.does === 'ban') this.#bans = banned
    this.#requireSomeOwner(owners, community)
  }

  /** Where somebody has less at some time under these bans. */
  #spacesLostBy(who: string, bans: Ban[]): ReadonlySet<SpaceWord> {
    const free = this.#bans
    const sizes = () =>
      this.#instants().map((at) =>
        [...this.#communityOf].map(([space, community]) => this.#standing(who, community, at).get(space)?.size ?? 0),
      )
    const without = sizes()
    this.#bans = bans
    const under = sizes()
    this.#bans = free
    const isLost = (_: SpaceWord, place: number) => without.some((row, at) => row[place] !== under[at]?.[place])
    return new Set([...this.#communityOf.keys()].filter(isLost))
  }

  #leave({ by, space }: DeedOf<'leave'>): void {
    const community = this.#communityOf.get(space) ?? ''
    if (!this.#holds(by, 'stands', space)) no('NotFound')
    const owners = this.ownersOf(community)
    this.#people = this.#people.filter((edge) => edge.into !== space || edge.from !== by)
    this.#left = [...this.#left, { who: by, space }]
    this.#requireSomeOwner(owners, community)
  }

  #delete({ by, space }: DeedOf<'delete'>): void {
    if (!this.#standsAtHome(by, space)) no('NotFound')
    if (space === rosterWord(this.#communityOf.get(space) ?? '')) no('InvalidRequest')
    this.#require(by, 'space.delete', space)
    for (const edge of this.#nested.filter(({ from }) => from === space)) this.#requireBound(by, edge, null)
    this.#deleted.add(space)
  }
}

function entryOf(into: SpaceWord, from: string, role: string, premise: string | null = null): Entry {
  return { into, from, role, premise, since: null, until: null }
}

const communityIn = (scope: Scope): string | null => ('community' in scope ? scope.community : null)
const wordOf = (scope: Scope): string => ('community' in scope ? scope.community : scope.space)
