/**
 * Governance stories: the YAML files of `test/governance/`, read strictly, and told to whatever can act them out.
 *
 * A truth that is misspelt could hold for the wrong reason. So every name is introduced before it is used, every sentence is
 * one of those in `test/governance/README.md`, and anything else is an error with its file and line.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseAllDocuments, type YAMLMap } from 'yaml'
import { ACTIONS, type Action, parseAction, SHIPPED_ROLES } from '../../src/policy/roles.ts'
import type { RefusalCode } from '../../src/refusals.ts'

/** A space as a story names it: a name of its own, or `the roster of Gardeners`. */
export type SpaceWord = string
export type Kind = 'forum' | 'role'
export type Use = 'read' | 'write'

export interface StorySpace {
  readonly name: SpaceWord
  readonly community: string
  readonly kind: Kind
  readonly publicFor: readonly Use[]
}

/** Milliseconds since the first day began, or null. */
interface Term {
  readonly since: number | null
  readonly until: number | null
}

/** What a ban or a lifted ban is about. */
export type Scope = { readonly space: SpaceWord } | { readonly community: string }

export type Deed = { readonly by: string } & (
  | ({ readonly does: 'putPerson'; readonly who: string; readonly into: SpaceWord; readonly role: string } & Term)
  | ({
      readonly does: 'putSpace'
      readonly from: SpaceWord
      readonly into: SpaceWord
      readonly role: string
      readonly holding: Action | null
    } & Term)
  | { readonly does: 'removePerson'; readonly who: string; readonly space: SpaceWord }
  | {
      readonly does: 'removeSpace'
      readonly from: SpaceWord
      readonly space: SpaceWord
      readonly role: string | null
    }
  | { readonly does: 'ban'; readonly who: string; readonly scope: Scope; readonly until: number | null }
  | { readonly does: 'unban'; readonly who: string; readonly scope: Scope }
  | { readonly does: 'leave'; readonly space: SpaceWord }
  | { readonly does: 'delete'; readonly space: SpaceWord }
  | { readonly does: 'make'; readonly space: StorySpace }
  | { readonly does: 'open' | 'close'; readonly space: SpaceWord; readonly uses: readonly Use[] }
  | { readonly does: 'offer' | 'withdraw'; readonly space: SpaceWord; readonly to: string }
)

interface Sentence {
  readonly text: string
  readonly line: number
}
export type Event = Sentence & ({ readonly deed: Deed } | { readonly clock: number })
export type Truth = Sentence &
  (
    | {
        readonly kind: 'may'
        readonly who: string
        readonly allowed: boolean
        readonly actions: readonly Action[]
        readonly space: SpaceWord
      }
    | { readonly kind: 'reachedBy'; readonly space: SpaceWord; readonly people: readonly string[] }
    | { readonly kind: 'reaches'; readonly who: string; readonly spaces: readonly SpaceWord[] }
    | { readonly kind: 'cannot'; readonly deed: Deed; readonly code: RefusalCode }
  )

export interface Turn {
  readonly happens: readonly Event[]
  readonly truths: readonly Truth[]
}

export interface Story {
  readonly file: string
  readonly line: number
  readonly says: string
  /** Name → owner. */
  readonly communities: ReadonlyMap<string, string>
  readonly people: readonly string[]
  readonly spaces: readonly StorySpace[]
  readonly turns: readonly Turn[]
}

/** A story that isn't one: the message names file and line. */
export class StoryError extends Error {
  override readonly name = 'StoryError'
}

export const DAY_MS = 86_400_000
const DEFAULT_OWNER = 'alice'
const STORY_KEYS = [
  'story',
  'because',
  'community',
  'owner',
  'communities',
  'people',
  'spaces',
  'happens',
  'then',
  'later',
]
const CODES: readonly string[] = [
  'InvalidRequest',
  'Forbidden',
  'NotFound',
  'SpaceAlreadyExists',
  'EscalationDenied',
  'LastOwner',
] satisfies RefusalCode[]

const NAME = '[a-z][a-z0-9-]*'
const COMMUNITY = '[A-Z][A-Za-z0-9]*'
const SPACE = `the roster(?: of ${COMMUNITY})?|${NAME}`
const SCOPE = `all of ${COMMUNITY}|${SPACE}`
const USES = 'read|write|read and write'
const UNTIL = '(?: until day (?<until>[1-9][0-9]*))?'
const TERM = `(?: from day (?<since>[1-9][0-9]*))?${UNTIL}`

/** Word of a story in both its forms → what follows it. */
const VERBS: readonly { verb: string; does: string; rest: RegExp }[] = [
  {
    verb: 'put',
    does: 'put',
    rest: rest(`(?<what>${SPACE}) into (?<space>${SPACE}) as (?<role>${NAME})(?: holding (?<holding>[a-z.]+))?${TERM}`),
  },
  { verb: 'remove', does: 'remove', rest: rest(`(?<what>${SPACE}) from (?<space>${SPACE})(?: as (?<role>${NAME}))?`) },
  { verb: 'ban', does: 'ban', rest: rest(`(?<who>${NAME}) from (?<scope>${SCOPE})${UNTIL}`) },
  { verb: 'lift', does: 'unban', rest: rest(`the ban of (?<who>${NAME}) from (?<scope>${SCOPE})`) },
  { verb: 'leave', does: 'leave', rest: rest(`(?<space>${SPACE})`) },
  { verb: 'delete', does: 'delete', rest: rest(`(?<space>${SPACE})`) },
  {
    verb: 'make',
    does: 'make',
    rest: rest(`the (?<kind>forum|role) (?<name>${NAME})(?: of (?<community>${COMMUNITY}))?`),
  },
  { verb: 'open', does: 'open', rest: rest(`(?<space>${SPACE}) to (?<uses>${USES})`) },
  { verb: 'close', does: 'close', rest: rest(`(?<space>${SPACE}) to (?<uses>${USES})`) },
  { verb: 'offer', does: 'offer', rest: rest(`(?<space>${SPACE}) to (?<community>${COMMUNITY})`) },
  { verb: 'withdraw', does: 'withdraw', rest: rest(`(?<space>${SPACE}) from (?<community>${COMMUNITY})`) },
]

function rest(pattern: string): RegExp {
  return new RegExp(`^${pattern}$`)
}

/** Every story of a folder, in the order of files. @throws StoryError */
export function readStories(folder: URL): readonly Story[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))
  return files.sort().flatMap((file) => parseStories(file, readFileSync(new URL(file, folder), 'utf8')))
}

/** The stories of one file, parted by lines of `---`. @throws StoryError */
export function parseStories(file: string, text: string): readonly Story[] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, strict: true, uniqueKeys: true })
  if (!Array.isArray(documents) || documents.length === 0) throw new StoryError(`${file}:1 no story`)
  return documents.map((document) => {
    const [fault] = [...document.errors, ...document.warnings]
    if (fault) throw new StoryError(`${file}:${fault.linePos?.[0].line ?? 1} ${fault.message}`)
    return new StoryReader(file, lines).read(document.contents)
  })
}

type Groups = Readonly<Record<string, string | undefined>>

/** Reads one story, and remembers the names that it has introduced so far. */
class StoryReader {
  readonly #file: string
  readonly #lines: LineCounter
  readonly #communities = new Map<string, string>()
  readonly #people = new Map<string, { readonly line: number; spoken: boolean }>()
  readonly #spaces = new Map<string, { readonly line: number; spoken: boolean; readonly space: StorySpace }>()

  constructor(file: string, lines: LineCounter) {
    this.#file = file
    this.#lines = lines
  }

  read(node: unknown): Story {
    if (!isMap(node)) throw this.#fault(1, 'a story begins with "story:"')
    const line = this.#lineOf(node)
    const parts = this.#partsOf(node, STORY_KEYS)
    const says = this.#textOf(parts, 'story', line)
    this.#textOf(parts, 'because', line)
    this.#readCommunities(parts, line)
    for (const owner of this.#communities.values()) this.#people.set(owner, { line, spoken: true })
    for (const { text, line: at } of this.#wordsOf(parts.get('people'))) {
      this.#requireName(text, at)
      this.#people.set(text, { line: at, spoken: false })
    }
    for (const [name, { value, line: at }] of this.#entriesOf(parts.get('spaces'))) this.#readSpace(name, value, at)
    const spaces = [...this.#spaces.values()].map(({ space }) => space)

    const turns = [this.#turnOf(parts, line), ...this.#laterTurns(parts.get('later'))]
    for (const [name, { spoken, line: at }] of [...this.#people, ...this.#spaces]) {
      if (!spoken) throw this.#fault(at, `"${name}" is introduced and never spoken of`)
    }
    const people = [...this.#people.keys()]
    return { file: this.#file, line, says, communities: this.#communities, people, spaces, turns }
  }

  #readCommunities(parts: ReadonlyMap<string, Node>, line: number): void {
    if (parts.has('community') === parts.has('communities')) {
      throw this.#fault(line, 'a story has either "community" or "communities"')
    }
    if (parts.has('community')) {
      const owner = parts.has('owner') ? this.#textOf(parts, 'owner', line) : DEFAULT_OWNER
      this.#addCommunity(this.#textOf(parts, 'community', line), owner, line)
      return
    }
    if (parts.has('owner')) throw this.#fault(line, 'with "communities", each is written with its owner')
    for (const [name, { value, line: at }] of this.#entriesOf(parts.get('communities')))
      this.#addCommunity(name, value, at)
  }

  #addCommunity(name: string, owner: string, line: number): void {
    if (!new RegExp(`^${COMMUNITY}$`).test(name)) throw this.#fault(line, `"${name}" is no name of a community`)
    if (!rest(NAME).test(owner)) throw this.#fault(line, `"${owner}" is no name of a person`)
    this.#communities.set(name, owner)
  }

  #readSpace(name: string, says: string, line: number): void {
    const match = rest(`(?<kind>forum|role)(?: of (?<community>${COMMUNITY}))?(?: open to (?<uses>${USES}))?`).exec(
      says,
    )
    // Nobody keeps records in a role space, so there is nothing in it to be open for.
    const isOpenRole = match?.groups?.['kind'] === 'role' && match.groups['uses'] !== undefined
    if (!match?.groups || isOpenRole) throw this.#fault(line, `"${says}" is no kind of space`)
    this.#addSpace(this.#spaceOf(match.groups, name, line), line, false)
  }

  #spaceOf({ kind, community, uses }: Groups, name: string, line: number): StorySpace {
    return {
      name,
      kind: kind === 'role' ? 'role' : 'forum',
      community: this.#communityOf(community, line),
      publicFor: usesOf(uses),
    }
  }

  #addSpace(space: StorySpace, line: number, spoken: boolean): void {
    this.#requireName(space.name, line)
    this.#spaces.set(space.name, { line, spoken, space })
  }

  #laterTurns(node: Node | undefined): readonly Turn[] {
    if (node === undefined) return []
    if (!isSeq(node)) throw this.#fault(this.#lineOf(node), '"later" is a list of turns')
    return node.items.map((item) => {
      if (!isMap(item)) throw this.#fault(this.#lineOf(item), 'a turn has "happens" and "then"')
      return this.#turnOf(this.#partsOf(item, ['happens', 'then']), this.#lineOf(item))
    })
  }

  #turnOf(parts: ReadonlyMap<string, Node>, line: number): Turn {
    const happens = this.#sentencesOf(parts.get('happens')).map((sentence) => this.#eventOf(sentence))
    const truths = this.#sentencesOf(parts.get('then')).map((sentence) => this.#truthOf(sentence))
    if (truths.length === 0) throw this.#fault(line, 'nothing is claimed: there is no "then"')
    return { happens, truths }
  }

  #eventOf(sentence: Sentence): Event {
    const day = /^(on|a moment before) day ([1-9][0-9]*)$/.exec(sentence.text)
    if (day) return { ...sentence, clock: startOf(day[2] ?? '') - (day[1] === 'on' ? 0 : 1) }
    const [by = '', word = '', ...others] = sentence.text.split(' ')
    const verb = VERBS.find(({ verb }) => `${verb}s` === word)
    if (!verb) throw this.#unknown(sentence)
    const deed = this.#deedOf(sentence, by, verb, others.join(' '))
    // Later sentences may speak of it. What somebody cannot make isn't there.
    if (deed.does === 'make') this.#addSpace(deed.space, sentence.line, true)
    return { ...sentence, deed }
  }

  #truthOf(sentence: Sentence): Truth {
    const { text, line } = sentence
    const may = new RegExp(`^(?<who>${NAME}) may (?<not>not )?(?<actions>[a-z. ]+) in (?<space>${SPACE})$`).exec(text)
    if (may?.groups) {
      const { who, not, actions = '', space } = may.groups
      const listed = actions.split(not ? ' or ' : ' and ').map((action) => this.#actionOf(action, line))
      const about = { who: this.#personOf(who, line), space: this.#knownSpace(space, line) }
      return { ...sentence, kind: 'may', allowed: !not, actions: listed, ...about }
    }
    const reached = new RegExp(`^(?<space>${SPACE}) is reached by: (?<people>.+)$`).exec(text)
    if (reached?.groups) {
      const { space, people } = reached.groups
      const listed = listOf(people, 'nobody').map((name) => this.#personOf(name, line))
      return { ...sentence, kind: 'reachedBy', space: this.#knownSpace(space, line), people: listed }
    }
    const reaches = new RegExp(`^(?<who>${NAME}) reaches: (?<spaces>.+)$`).exec(text)
    if (reaches?.groups) {
      const { who, spaces } = reaches.groups
      const listed = listOf(spaces, 'nothing').map((name) => this.#knownSpace(name, line))
      return { ...sentence, kind: 'reaches', who: this.#personOf(who, line), spaces: listed }
    }
    const cannot = new RegExp(`^(?<by>${NAME}) cannot (?<verb>[a-z]+) (?<rest>.+): (?<code>[A-Za-z]+)$`).exec(text)
    const verb = VERBS.find(({ verb }) => verb === cannot?.groups?.['verb'])
    if (!cannot?.groups || !verb) throw this.#unknown(sentence)
    const { by = '', rest: others = '', code = '' } = cannot.groups
    if (!CODES.includes(code)) throw this.#fault(line, `"${code}" is no refusal`)
    return { ...sentence, kind: 'cannot', deed: this.#deedOf(sentence, by, verb, others), code: code as RefusalCode }
  }

  #deedOf(sentence: Sentence, actor: string, { does, rest: form }: (typeof VERBS)[number], others: string): Deed {
    const { line } = sentence
    const found = form.exec(others)?.groups
    if (!found) throw this.#unknown(sentence)
    const by = this.#personOf(actor, line)
    if (does === 'make') return { by, does, space: this.#spaceOf(found, found['name'] ?? '', line) }
    if (does === 'ban' || does === 'unban') {
      const who = this.#personOf(found['who'], line)
      const scope = this.#scopeOf(found['scope'] ?? '', line)
      return does === 'ban' ? { by, does, who, scope, until: dayOf(found['until']) } : { by, does, who, scope }
    }
    const space = this.#knownSpace(found['space'], line)
    if (does === 'leave' || does === 'delete') return { by, does, space }
    if (does === 'open' || does === 'close') return { by, does, space, uses: usesOf(found['uses']) }
    if (does === 'offer' || does === 'withdraw') {
      return { by, does, space, to: this.#communityOf(found['community'], line) }
    }

    const what = found['what'] ?? ''
    const isPerson = this.#people.has(what)
    const role = found['role'] === undefined ? null : this.#roleOf(found['role'], line)
    const holding = found['holding'] === undefined ? null : this.#actionOf(found['holding'], line)
    if (isPerson && (holding !== null || (does === 'remove' && role !== null))) throw this.#unknown(sentence)
    const subject = isPerson ? this.#personOf(what, line) : this.#knownSpace(what, line)
    if (does === 'remove') {
      if (isPerson) return { by, does: 'removePerson', who: subject, space }
      return { by, does: 'removeSpace', from: subject, space, role }
    }
    const entry = { into: space, role: role ?? '', since: dayOf(found['since']), until: dayOf(found['until']) }
    if (isPerson) return { by, does: 'putPerson', who: subject, ...entry }
    return { by, does: 'putSpace', from: subject, holding, ...entry }
  }

  #scopeOf(text: string, line: number): Scope {
    const community = /^all of (.*)$/.exec(text)?.[1]
    if (community !== undefined) return { community: this.#communityOf(community, line) }
    return { space: this.#knownSpace(text, line) }
  }

  #personOf(name = '', line: number): string {
    const person = this.#people.get(name)
    if (!person) throw this.#fault(line, `nobody called "${name}" was introduced`)
    person.spoken = true
    return name
  }

  #knownSpace(name = '', line: number): SpaceWord {
    const roster = /^the roster(?: of (.*))?$/.exec(name)
    if (roster) return rosterWord(this.#communityOf(roster[1], line))
    const known = this.#spaces.get(name)
    if (!known) throw this.#fault(line, `no space called "${name}" was introduced`)
    known.spoken = true
    return name
  }

  /** The community of that name; left out, the only one. */
  #communityOf(name: string | undefined, line: number): string {
    const [only = '', ...others] = this.#communities.keys()
    if (name === undefined && others.length > 0) throw this.#fault(line, 'of which community?')
    if (name !== undefined && !this.#communities.has(name)) throw this.#fault(line, `no community "${name}"`)
    return name ?? only
  }

  #roleOf(name: string, line: number): string {
    if (!SHIPPED_ROLES.has(name)) throw this.#fault(line, `"${name}" is no role`)
    return name
  }

  #actionOf(name: string, line: number): Action {
    const action = parseAction(name)
    if (!action) throw this.#fault(line, `"${name}" is none of the actions ${ACTIONS.join(', ')}`)
    return action
  }

  #requireName(name: string, line: number): void {
    if (!rest(NAME).test(name) || ['nobody', 'nothing'].includes(name)) throw this.#fault(line, `"${name}" is no name`)
    if (this.#people.has(name) || this.#spaces.has(name)) throw this.#fault(line, `"${name}" is introduced twice`)
  }

  /** The keys of a mapping with their values; a key that isn't known is an error. */
  #partsOf(map: YAMLMap, known: readonly string[]): ReadonlyMap<string, Node> {
    const parts = new Map<string, Node>()
    for (const { key, value } of map.items) {
      const line = this.#lineOf(key)
      const name = isScalar(key) ? String(key.value) : ''
      if (!known.includes(name)) throw this.#fault(line, `"${name}" is none of ${known.join(', ')}`)
      if (!isScalar(value) && !isMap(value) && !isSeq(value)) throw this.#fault(line, `"${name}" is empty`)
      parts.set(name, value)
    }
    return parts
  }

  #textOf(parts: ReadonlyMap<string, Node>, key: string, line: number): string {
    const node = parts.get(key)
    if (node === undefined) throw this.#fault(line, `"${key}" is missing`)
    return this.#scalar(node)
  }

  #scalar(node: unknown): string {
    if (!isScalar(node) || typeof node.value !== 'string' || node.value.trim() === '') {
      throw this.#fault(this.#lineOf(node), 'words are expected here')
    }
    return node.value.trim().replace(/\s+/g, ' ')
  }

  #entriesOf(node: Node | undefined): readonly (readonly [string, { value: string; line: number }])[] {
    if (node === undefined) return []
    if (!isMap(node)) throw this.#fault(this.#lineOf(node), 'names with what they are, each as "name: what"')
    return node.items.map(({ key, value }) => [
      this.#scalar(key),
      { value: this.#scalar(value), line: this.#lineOf(key) },
    ])
  }

  /** `bob, carol`, or a list of the same. */
  #wordsOf(node: Node | undefined): readonly Sentence[] {
    if (node === undefined) return []
    const items = isSeq(node) ? node.items : [node]
    return items.flatMap((item) =>
      this.#scalar(item)
        .split(/ *, */)
        .map((text) => ({ text, line: this.#lineOf(item) })),
    )
  }

  /** The lines of a list. To YAML, words with a colon in them are a pair. */
  #sentencesOf(node: Node | undefined): readonly Sentence[] {
    if (node === undefined) return []
    if (!isSeq(node)) throw this.#fault(this.#lineOf(node), 'a list is expected here: lines that begin with "-"')
    return node.items.map((item) => {
      const line = this.#lineOf(item)
      if (!isMap(item)) return { text: this.#scalar(item), line }
      const [pair, ...others] = item.items
      if (!isPair(pair) || others.length > 0) throw this.#fault(line, 'one sentence to a line')
      return { text: `${this.#scalar(pair.key)}: ${this.#scalar(pair.value)}`, line }
    })
  }

  #unknown({ text, line }: Sentence): StoryError {
    return this.#fault(line, `no sentence that a story knows: ${text}`)
  }

  #fault(line: number, says: string): StoryError {
    return new StoryError(`${this.#file}:${line} ${says}`)
  }

  #lineOf(node: unknown): number {
    const range = isScalar(node) || isMap(node) || isSeq(node) ? node.range : null
    return range ? this.#lines.linePos(range[0]).line : 1
  }
}

export const rosterWord = (community: string): SpaceWord => `the roster of ${community}`
const startOf = (day: string): number => (Number(day) - 1) * DAY_MS
const dayOf = (day: string | undefined): number | null => (day === undefined ? null : startOf(day))
const usesOf = (text: string | undefined): readonly Use[] =>
  (['read', 'write'] as const).filter((use) => text?.split(' and ').includes(use))
const listOf = (text = '', none: string): readonly string[] => (text === none ? [] : text.split(/ *, */))

/** Whatever can act a story out. Names are those of the story. */
export interface Stage {
  moveTo(clock: number): void
  /** `accepted`, or the code of the refusal. */
  carryOut(deed: Deed): Promise<string>
  /** Whether the person may, each way of asking by its name. A way that cannot answer such a question is left out. */
  ask(who: string, action: Action, space: SpaceWord, expected: boolean): Promise<Readonly<Record<string, boolean>>>
  peopleIn(space: SpaceWord): Promise<readonly string[]>
  spacesOf(who: string): Promise<readonly SpaceWord[]>
}

/** Acts a story out. Every sentence that is not so comes back as one line; none do when the story is true. */
export async function tell({ file, turns }: Story, stage: Stage): Promise<readonly string[]> {
  const faults: string[] = []
  const note = ({ line, text }: Sentence, says: string) => faults.push(`${file}:${line} ${text} — ${says}`)
  for (const { happens, truths } of turns) {
    for (const event of happens) {
      if ('clock' in event) {
        stage.moveTo(event.clock)
        continue
      }
      const verdict = await stage.carryOut(event.deed)
      if (verdict !== 'accepted') note(event, verdict)
    }
    for (const truth of truths) {
      for (const says of await falseIn(truth, stage)) note(truth, says)
    }
  }
  return faults
}

async function falseIn(truth: Truth, stage: Stage): Promise<readonly string[]> {
  if (truth.kind === 'cannot') {
    const verdict = await stage.carryOut(truth.deed)
    return verdict === truth.code ? [] : [verdict]
  }
  if (truth.kind === 'reachedBy') return differences(truth.people, await stage.peopleIn(truth.space))
  if (truth.kind === 'reaches') return differences(truth.spaces, await stage.spacesOf(truth.who))
  const faults: string[] = []
  for (const action of truth.actions) {
    const answers = Object.entries(await stage.ask(truth.who, action, truth.space, truth.allowed))
    for (const [way, answer] of answers) {
      if (answer !== truth.allowed) faults.push(`${way} says ${answer ? 'yes' : 'no'} to ${action}`)
    }
  }
  return faults
}

function differences(expected: readonly string[], found: readonly string[]): readonly string[] {
  const [wanted, there] = [expected, found].map((names) => names.toSorted().join(', ') || 'none')
  return wanted === there ? [] : [`it is ${there}`]
}
