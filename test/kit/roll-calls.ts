/**
 * A roll on which stories are acted out: names become DIDs and URIs, days become instants, deeds become calls of the actions.
 *
 * Every "may" is asked four ways, because four queries answer it and none may disagree: `member.check` about the person, and
 * `member.explain` with its reasons, `member.resolve` of the space, `member.reach` of the person. The model goes along only to know who may ask.
 */
import { memberCheck } from '../../src/access/memberCheck.ts'
import { memberExplain } from '../../src/access/memberExplain.ts'
import { federationOffer } from '../../src/federation/federationOffer.ts'
import { federationWithdraw } from '../../src/federation/federationWithdraw.ts'
import { memberBan } from '../../src/membership/memberBan.ts'
import { memberLeave } from '../../src/membership/memberLeave.ts'
import { memberPut } from '../../src/membership/memberPut.ts'
import { memberReach } from '../../src/membership/memberReach.ts'
import { memberRemove } from '../../src/membership/memberRemove.ts'
import { memberResolve } from '../../src/membership/memberResolve.ts'
import { memberUnban } from '../../src/membership/memberUnban.ts'
import { type Did, ROLE_SPACE_TYPE, rosterOf, type SpaceUri, spaceUriOf } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Db } from '../../src/platform/database.ts'
import type { UserPolicy } from '../../src/policy/decide.ts'
import type { Action } from '../../src/policy/roles.ts'
import { renderPolicy } from '../../src/space/settings.ts'
import { spaceCreate } from '../../src/space/spaceCreate.ts'
import { spaceDelete } from '../../src/space/spaceDelete.ts'
import { spaceUpdate } from '../../src/space/spaceUpdate.ts'
import { agreed } from './agreed.ts'
import { FORUM, freshDid, once, openCommunity, type Roll, rollOn } from './roll.ts'
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
import { StoryModel } from './story-model.ts'
import { type Verdict, verdictOf } from './verdicts.ts'

/** When the first day of every story begins. */
const START_MS = Date.parse('2026-09-01T00:00:00.000Z')
/** Small, so that four people are already two pages. */
const PAGE = 2
const instantOf = (clock: number) => isoOf(START_MS + clock)

/** The calls. What an action takes is typed by its lexicon; what a story says is put into that shape here and nowhere else. */
type Input<F extends (ctx: never, caller: Did, input: never, ...rest: never[]) => unknown> = Parameters<F>[2]

function act(roll: Roll, names: Names, deed: Deed): Promise<unknown> {
  const by = names.did(deed.by)
  switch (deed.does) {
    case 'putPerson': {
      const input = { space: names.uri(deed.into), did: names.did(deed.who), role: deed.role, ...termOf(deed) }
      return memberPut(roll, by, input as Input<typeof memberPut>, once())
    }
    case 'putSpace': {
      const holding = deed.holding === null ? {} : { holding: deed.holding }
      const entry = { memberSpace: names.uri(deed.from), role: deed.role, ...holding, ...termOf(deed) }
      return memberPut(roll, by, { space: names.uri(deed.into), ...entry } as Input<typeof memberPut>, once())
    }
    case 'removePerson': {
      const input = { space: names.uri(deed.space), did: names.did(deed.who) }
      return memberRemove(roll, by, input as Input<typeof memberRemove>, once())
    }
    case 'removeSpace': {
      const role = deed.role === null ? {} : { role: deed.role }
      const input = { space: names.uri(deed.space), memberSpace: names.uri(deed.from), ...role }
      return memberRemove(roll, by, input as Input<typeof memberRemove>, once())
    }
    case 'ban': {
      const until = deed.until === null ? {} : { until: instantOf(deed.until) }
      const input = { ...names.scope(deed.scope), did: names.did(deed.who), ...until }
      return memberBan(roll, by, input as Input<typeof memberBan>, once())
    }
    case 'unban': {
      const input = { ...names.scope(deed.scope), did: names.did(deed.who) }
      return memberUnban(roll, by, input as Input<typeof memberUnban>, once())
    }
    case 'leave':
      return memberLeave(roll, by, { space: names.uri(deed.space) } as Input<typeof memberLeave>, once())
    case 'delete':
      return agreed(roll, spaceDelete(roll, by, { space: names.uri(deed.space) } as Input<typeof spaceDelete>, once()))
    case 'make':
      return make(roll, names, by, deed.space)
    case 'open':
    case 'close': {
      const policies = policiesOf(deed.uses, deed.does === 'open' ? 'public' : 'memberList')
      const input = { space: names.uri(deed.space), ...policies } as Input<typeof spaceUpdate>
      return agreed(roll, spaceUpdate(roll, by, input, once()))
    }
    case 'offer': {
      const input = { space: names.uri(deed.space), to: names.did(deed.to) }
      return federationOffer(roll, by, input as Input<typeof federationOffer>, once())
    }
    case 'withdraw': {
      const input = { space: names.uri(deed.space), to: names.did(deed.to) }
      return federationWithdraw(roll, by, input as Input<typeof federationWithdraw>, once())
    }
  }
}

function make(roll: Roll, names: Names, by: Did, { name, community, kind, publicFor }: StorySpace): Promise<unknown> {
  const spaceType = kind === 'role' ? ROLE_SPACE_TYPE : FORUM
  const input = { community: names.did(community), spaceType, skey: name, ...policiesOf(publicFor, 'public') }
  return spaceCreate(roll, by, input as Input<typeof spaceCreate>, once())
}

const check = async (roll: Roll, caller: Did, did: Did, action: Action, space: SpaceUri): Promise<boolean> =>
  (await memberCheck(roll, caller, { space, did, action } as Input<typeof memberCheck>)).allowed

/** The same with everything that there is to say about it, which must bear out the answer. */
async function explain(roll: Roll, caller: Did, did: Did, action: Action, space: SpaceUri): Promise<boolean> {
  const params = { space, did, action } as Input<typeof memberExplain>
  const { allowed, because, paths, missing, edges } = await memberExplain(roll, caller, params)
  const isByRule = because.some(({ rule }) => rule === 'publicPolicy' || rule === 'authority')
  if (allowed !== (isByRule || paths.length > 0)) throw new Error(`${allowed} with ${paths.length} ways`)
  if (allowed && missing.length > 0) throw new Error('allowed, and something is missing')
  if (edges.some(({ hidden, addedBy }) => hidden || addedBy === undefined))
    throw new Error('an edge without its author')
  const checked = await memberCheck(roll, caller, params as Input<typeof memberCheck>)
  if (JSON.stringify(checked.because) !== JSON.stringify(because))
    throw new Error('other reasons than member.check has')
  return allowed
}

/** Everybody in a space. */
const resolve = (roll: Roll, caller: Did, space: SpaceUri, action: Action | null): Promise<readonly string[]> =>
  everyPage(async (page) => {
    const params = { space, ...(action === null ? {} : { action }), ...page }
    const { members, cursor } = await memberResolve(roll, caller, params as Input<typeof memberResolve>)
    return { found: members.map(({ did }) => did), cursor }
  })

/** Every space of a community in which a person stands. */
const reach = (roll: Roll, caller: Did, community: Did, did: Did, action: Action | null): Promise<readonly string[]> =>
  everyPage(async (page) => {
    const params = { community, did, ...(action === null ? {} : { action }), ...page }
    const { spaces, cursor } = await memberReach(roll, caller, params as Input<typeof memberReach>)
    return { found: spaces.map(({ uri }) => uri), cursor }
  })

interface Page {
  readonly found: readonly string[]
  readonly cursor?: string | undefined
}

/** All pages, small ones. Nobody may be on two of them. */
async function everyPage(ask: (page: { limit: number; cursor?: string }) => Promise<Page>): Promise<readonly string[]> {
  const all: string[] = []
  let cursor: string | undefined
  do {
    const page = await ask({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) })
    if (page.found.length > PAGE) throw new Error('a page is longer than asked for')
    all.push(...page.found)
    cursor = page.cursor
  } while (cursor !== undefined)
  if (new Set(all).size !== all.length) throw new Error('somebody is on two pages')
  return all
}

const policiesOf = (uses: readonly Use[], policy: UserPolicy) => ({
  ...(uses.includes('read') ? { readPolicy: renderPolicy(policy) } : {}),
  ...(uses.includes('write') ? { writePolicy: renderPolicy(policy) } : {}),
})

const termOf = ({ since, until }: { since: number | null; until: number | null }) => ({
  ...(since === null ? {} : { since: instantOf(since) }),
  ...(until === null ? {} : { until: instantOf(until) }),
})

/** The names of a story, and what they stand for on this roll. */
class Names {
  readonly #dids = new Map<string, Did>()
  readonly #uris = new Map<SpaceWord, SpaceUri>()
  readonly #communityOf = new Map<SpaceWord, string>()

  constructor({ people, communities, spaces }: Story) {
    for (const name of [...people, ...communities.keys()]) this.#dids.set(name, freshDid())
    for (const community of communities.keys()) {
      this.#add(rosterWord(community), rosterOf(this.did(community)).uri, community)
    }
    for (const space of spaces) this.addSpace(space)
  }

  addSpace({ name, community, kind }: StorySpace): void {
    const type = kind === 'role' ? ROLE_SPACE_TYPE : FORUM
    this.#add(name, spaceUriOf(this.did(community), type, name).uri, community)
  }

  #add(word: SpaceWord, uri: SpaceUri, community: string): void {
    this.#uris.set(word, uri)
    this.#communityOf.set(word, community)
  }

  did = (name: string): Did => known(this.#dids.get(name), name)
  uri = (word: SpaceWord): SpaceUri => known(this.#uris.get(word), word)
  communityOf = (word: SpaceWord): string => known(this.#communityOf.get(word), word)

  scope(scope: Scope): { community: Did } | { space: SpaceUri } {
    return 'space' in scope ? { space: this.uri(scope.space) } : { community: this.did(scope.community) }
  }

  /** The words for DIDs or URIs that an answer holds; what isn't of the story stays as it is, and is seen. */
  wordsFor(answers: readonly string[]): readonly string[] {
    const words = new Map<string, string>([...this.#dids, ...this.#uris].map(([word, name]) => [name, word]))
    return answers.map((answer) => words.get(answer) ?? answer)
  }
}

function known<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new Error(`the story has no ${name}`)
  return value
}

/** The house itself as a stage. */
export class RollStage implements Stage {
  readonly #roll: Roll
  readonly #names: Names
  readonly #model: StoryModel
  readonly #communities: readonly string[]

  private constructor(roll: Roll, names: Names, story: Story) {
    this.#roll = roll
    this.#names = names
    this.#model = new StoryModel(story)
    this.#communities = [...story.communities.keys()]
  }

  /** Opens the communities of a story, with their owners and spaces, on the first day. */
  static async open(db: Db, story: Story): Promise<RollStage> {
    const roll = rollOn(db, START_MS)
    const names = new Names(story)
    for (const [community, owner] of story.communities)
      await openCommunity(roll, names.did(owner), names.did(community))
    for (const space of story.spaces) {
      const owner = known(story.communities.get(space.community), space.community)
      await make(roll, names, names.did(owner), space)
    }
    return new RollStage(roll, names, story)
  }

  moveTo(clock: number): void {
    this.#roll.clock.moveMs(START_MS + clock - this.#roll.clock.nowMs())
    this.#model.moveTo(clock)
  }

  async carryOut(deed: Deed): Promise<Verdict> {
    const verdict = await verdictOf(() => act(this.#roll, this.#names, deed))
    if (verdict !== 'accepted') return verdict
    if (deed.does === 'make') this.#names.addSpace(deed.space)
    await this.#model.carryOut(deed)
    return verdict
  }

  async ask(
    who: string,
    action: Action,
    space: SpaceWord,
    expected: boolean,
  ): Promise<Readonly<Record<string, boolean>>> {
    const [did, uri] = [this.#names.did(who), this.#names.uri(space)]
    // About themself everybody may ask. A space that was deleted is there for nobody, and that is the answer that is due.
    const isDeleted = this.#model.isDeleted(space)
    const ask = async (query: typeof check) => {
      const asking = () => query(this.#roll, did, did, action, uri)
      return isDeleted ? (await verdictOf(asking)) !== 'NotFound' : asking()
    }
    const asked = { check: await ask(check), explain: await ask(explain) }
    // Rosters say nothing about those whom a public space lets in: there only a "may not" can be looked for in them.
    if (expected && this.#model.isPublic(space, action)) return asked
    return {
      ...asked,
      resolve: (await this.#peopleIn(space, action)).includes(who),
      reach: (await this.#spacesOf(who, this.#names.communityOf(space), action)).includes(space),
    }
  }

  peopleIn = (space: SpaceWord): Promise<readonly string[]> => this.#peopleIn(space, null)

  async spacesOf(who: string): Promise<readonly SpaceWord[]> {
    const found = this.#communities.map((community) => this.#spacesOf(who, community, null))
    return (await Promise.all(found)).flat()
  }

  async #peopleIn(space: SpaceWord, action: Action | null): Promise<readonly string[]> {
    const ask = () => resolve(this.#roll, this.#askerIn(this.#names.communityOf(space)), this.#names.uri(space), action)
    if (!this.#model.isDeleted(space)) return this.#names.wordsFor(await ask())
    const verdict = await verdictOf(ask)
    return verdict === 'NotFound' ? [] : [`${verdict} for a space that was deleted`]
  }

  async #spacesOf(who: string, community: string, action: Action | null): Promise<readonly SpaceWord[]> {
    const [asker, did] = [this.#askerIn(community), this.#names.did(who)]
    return this.#names.wordsFor(await reach(this.#roll, asker, this.#names.did(community), did, action))
  }

  /** An owner may ask about everybody in every space. */
  #askerIn(community: string): Did {
    const [owner] = this.#model.ownersOf(community)
    return this.#names.did(known(owner, `owner of ${community}`))
  }
}
