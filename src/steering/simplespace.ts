/**
 * The methods by which a PDS lets an account manage its spaces, as calls with typed answers (`com.atproto.simplespace.*`).
 *
 * What a PDS answers is a stranger's: whatever isn't exactly what the method promises is `broken`, and never the shorter list or the wider
 * policy that it could be taken for.
 */
import { type Did, parseDid, type SpaceName } from '../names.ts'
import { withinMs } from '../platform/clock.ts'
import type { Pds, PdsAnswer, PdsCall, Room } from './pds.ts'
import { fieldsOf, parseThere, type Settings, type Side, type There } from './settings-there.ts'
import type { Flags, Generation } from './tables.ts'

/** Everything that isn't an answer, and one more: it answered, and what it said is not what the method says. */
export type Unanswered =
  | Exclude<PdsAnswer, { readonly is: 'answered' }>
  | { readonly is: 'broken'; readonly because: string }
export type Answered<T> = { readonly is: 'answered'; readonly value: T; readonly room: Room | null } | Unanswered

const PREFIX = 'com.atproto.simplespace.'
/** For one call, whatever the way to the PDS allows itself: somebody else has to have their turn. */
const CALL_MAX_MS = 30_000
const PAGE_MAX = 1_000

/** A space and what is asked of its PDS, by the account that it belongs to. */
export class Simplespace {
  readonly #pds: Pds
  readonly #space: SpaceName

  constructor(pds: Pds, space: SpaceName) {
    this.#pds = pds
    this.#space = space
  }

  /** Makes it. `already`: there is one of that name. */
  async create(settings: Settings, one: Side): Promise<Answered<'made' | 'already'>> {
    const { spaceType, skey, uri } = this.#space
    const body = { type: spaceType, spaceType, skey, ...fieldsOf(settings, one) }
    const answer = await this.#call({ nsid: 'createSpace', body })
    if (answer.is === 'refused' && answer.error === 'SpaceAlreadyExists') {
      return { is: 'answered', value: 'already', room: null }
    }
    if (answer.is !== 'answered') return answer
    const made = (answer.body as { readonly uri?: unknown } | null)?.uri
    return made === uri ? { ...answer, value: 'made' } : { is: 'broken', because: 'OtherSpace' }
  }

  /** What it is set to, and by which names: so the generation of the PDS shows. */
  async read(): Promise<Answered<There>> {
    const answer = await this.#call({ nsid: 'getSpace', params: { space: this.#space.uri } })
    if (answer.is !== 'answered') return answer
    const there = parseThere(answer.body, this.#space.uri)
    return there ? { ...answer, value: there } : { is: 'broken', because: 'UnreadableSpace' }
  }

  update = async (settings: Settings, one: Side): Promise<Answered<true>> =>
    done(await this.#call({ nsid: 'updateSpace', body: { space: this.#space.uri, ...fieldsOf(settings, one) } }))

  /** Deletes it, with everything that its account wrote there. One that isn't there is as good. */
  async delete(): Promise<Answered<true>> {
    const answer = await this.#call({ nsid: 'deleteSpace', body: { space: this.#space.uri } })
    const isGone = answer.is === 'refused' && answer.error === 'SpaceNotFound'
    return isGone ? { is: 'answered', value: true, room: null } : done(answer)
  }

  /**
   * Has somebody on the list with these flags, or (0) off it. Again is no error. Where a PDS that has two policies has no flags for people,
   * only those go on its list who may do both.
   */
  async put(did: Did, flags: Flags, speaks: Generation): Promise<Answered<true>> {
    const { uri: space } = this.#space
    if (flags === 0) return done(await this.#call({ nsid: 'removeMember', body: { space, did } }))
    const add = async () => done(await this.#call({ nsid: 'addMember', body: { space, did } }))
    if (speaks === 'august') return add()
    const body = { space, did, read: (flags & 1) !== 0, write: (flags & 2) !== 0 }
    const answer = await this.#call({ nsid: 'putMember', body })
    if (!isUnknownMethod(answer)) return done(answer)
    return flags === 3 ? add() : done(answer)
  }

  /** One page of the list, in the order of DIDs. */
  async page(from: Place, speaks: Generation): Promise<Answered<Page>> {
    const asked = { space: this.#space.uri, limit: String(PAGE_MAX) }
    const params = from.cursor === '' ? asked : { ...asked, cursor: from.cursor }
    const answer = await this.#call({ nsid: 'listMembers', params })
    if (answer.is !== 'answered') return answer
    const page = parsePage(answer.body, from, speaks)
    return page ? { ...answer, value: page } : { is: 'broken', because: 'UnreadableList' }
  }

  async #call({ nsid, ...call }: PdsCall): Promise<PdsAnswer> {
    const calling = this.#pds.call(this.#space.authority, { nsid: `${PREFIX}${nsid}`, ...call })
    const answer = await withinMs(CALL_MAX_MS, calling)
    return answer === 'late' ? { is: 'failed', because: 'timeout', pauseMs: null } : answer
  }
}

/** Somebody on the list of a PDS. */
export interface Listed {
  readonly did: Did
  readonly has: Flags
}

/** How far a list was read: the last DID, and where the PDS says to go on. */
export interface Place {
  readonly did: string
  readonly cursor: string
}
export const BEGINNING: Place = { did: '', cursor: '' }

/** Empty: there is nobody after the place before. Whatever a page says otherwise, the end of a list is an empty one. */
export interface Page {
  readonly people: readonly Listed[]
  readonly next: Place
}

const CURSOR_MAX_CHARS = 1_024

const done = (answer: PdsAnswer): Answered<true> =>
  answer.is === 'answered' ? { is: 'answered', value: true, room: answer.room } : answer

/** As servers say that they don't have a method: by this name, or by a status alone. */
const UNKNOWN: ReadonlySet<string> = new Set(['MethodNotImplemented', 'status 404', 'status 501'])
export const isUnknownMethod = (answer: Unanswered | PdsAnswer | Answered<unknown>): boolean =>
  answer.is === 'refused' && UNKNOWN.has(answer.error)

/**
 * A page, or null when it is broken: too long, somebody on it who is no DID, out of order or twice, flags missing, or a cursor that doesn't
 * move on. Whoever took such a page for the end of the list would take the rest of the people for strangers. Where a page with people has
 * no cursor, the last of them is one, as in the reference.
 */
function parsePage(body: unknown, from: Place, speaks: Generation): Page | null {
  const { members, cursor } = (body ?? {}) as { readonly members?: unknown; readonly cursor?: unknown }
  if (!Array.isArray(members) || members.length > PAGE_MAX) return null
  const people: Listed[] = []
  let last = from.did
  for (const entry of members) {
    const { did: text, read, write } = (entry ?? {}) as Readonly<Record<string, unknown>>
    const did = parseDid(text)
    if (!did || did <= last) return null
    if (speaks === 'october' && (typeof read !== 'boolean' || typeof write !== 'boolean')) return null
    const has = speaks === 'august' ? 3 : (read ? 1 : 0) | (write ? 2 : 0)
    people.push({ did, has: has as Flags })
    last = did
  }
  if (people.length === 0) return { people, next: from }
  if (cursor !== undefined && (typeof cursor !== 'string' || cursor === '' || cursor.length > CURSOR_MAX_CHARS))
    return null
  return cursor === from.cursor ? null : { people, next: { did: last, cursor: cursor ?? last } }
}
