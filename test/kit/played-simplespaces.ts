/**
 * The methods by which a PDS lets an account manage its spaces (`com.atproto.simplespace.*`), played in memory as the reference of August
 * and the one of October 2026 behave: what they take, in which order they refuse, and by which name.
 *
 * There is no HTTP here and no token: whoever calls says which account it is and which scopes it came with.
 */
import { randomInt } from 'node:crypto'
import { isValidDid, isValidNsid, isValidRecordKey } from '@atproto/syntax'
import type { Generation } from './asking-host.ts'
import { coversSpace, type ManageVerb, type SpaceNeed, scopeOf } from './space-scopes.ts'

export const SIMPLESPACE = 'com.atproto.simplespace.'
const DEFS = 'com.atproto.simplespace.defs'

export interface SpaceCall {
  readonly account: string
  /** Null: a session by password, of which no scope is asked. */
  readonly scopes: readonly string[] | null
  readonly nsid: string
  readonly verb: string
  readonly params: URLSearchParams
  readonly body: unknown
}

export interface SpaceAnswer {
  readonly status: number
  /** Undefined: none at all, as after most changes. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** No answer comes: the connection is cut, or stays open and silent. */
  readonly broken?: 'cut' | 'hang'
}

/** A call as it came, and how it ended. */
export interface SeenCall extends SpaceCall {
  readonly name: string
  readonly answer: SpaceAnswer
}

export interface Access {
  readonly read: boolean
  readonly write: boolean
}

type Variant = Readonly<Record<string, unknown>> & { readonly $type: string }

/** What a space is set to, of both generations: August has one policy, which is both. */
export interface SpaceConfig {
  readonly readPolicy: Variant
  readonly writePolicy: Variant
  readonly appAccess: Variant
}

export interface PlayedSpace {
  readonly uri: string
  config: SpaceConfig
  readonly members: Map<string, Access>
}

/** What happens to calls in place of an answer. `isDone`: the change is made all the same, and only its answer is lost. */
export interface Trouble {
  readonly how: 'cut' | 'hang' | Omit<SpaceAnswer, 'broken'>
  readonly times?: number
  /** Only calls of this method. */
  readonly nsid?: string
  readonly isDone?: boolean
}

export interface RateLimit {
  readonly points: number
  readonly perSec: number
}

interface Parts {
  readonly type: string
  readonly authority: string
  readonly skey: string
}

class Refused extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/**
 * What a method is answered with that this generation doesn't have: by its status, or as the published server was seen to do it, which
 * forwards what it doesn't know. With an app view behind it, an app is told 403 for want of an `rpc:` scope, and a session by password gets
 * the app view's own 501; without one, everybody is told 400.
 */
export type UnknownMethod = 404 | 501 | 'app view' | 'no app view'

export interface PlayedOptions {
  readonly generation: Generation
  readonly unknownMethod?: UnknownMethod
  readonly nowMs?: () => number
}

/** The managed spaces of all accounts of one PDS. */
export class PlayedSimplespaces {
  /** Every call that came, in order, those that met trouble too. */
  readonly calls: SeenCall[] = []
  /** What somebody does at the PDS without us: by the owner's own hand, or by another service of theirs. */
  readonly byHand: ByHand
  generation: Generation
  private readonly unknownMethod: UnknownMethod
  private readonly nowMs: () => number
  private readonly live = new Map<string, PlayedSpace>()
  /** Every space that ever was, as deletion leaves a tombstone. */
  private readonly ever = new Set<string>()
  private troubles: { trouble: Trouble; left: number }[] = []
  private limit: (RateLimit & { left: number; resetsAtMs: number }) | null = null

  constructor({ generation, unknownMethod = 501, nowMs = Date.now }: PlayedOptions) {
    this.generation = generation
    this.unknownMethod = unknownMethod
    this.nowMs = nowMs
    this.byHand = byHandOf(this.live, this.ever)
  }

  handle(call: SpaceCall): SpaceAnswer {
    const answer = this.answered(call)
    this.calls.push({ ...call, name: call.nsid.slice(SIMPLESPACE.length), answer })
    return answer
  }

  /** How often a method was called, by its full name or its last part; without one, how often any. */
  count(nsid?: string): number {
    return this.calls.filter((call) => nsid === undefined || call.nsid === nsid || call.name === nsid).length
  }

  /** Has the next calls end otherwise: as many as `times` says, or one. */
  trouble(trouble: Trouble): void {
    this.troubles.push({ trouble, left: trouble.times ?? 1 })
  }

  /** Whatever trouble is still to come doesn't. */
  calm(): void {
    this.troubles = []
  }

  /** So many calls in so many seconds, over all methods and accounts; null: as many as you like. */
  limitTo(limit: RateLimit | null): void {
    this.limit = limit && { ...limit, left: limit.points, resetsAtMs: this.nowMs() + limit.perSec * 1000 }
  }

  /** Who stands on a space's list. A space that isn't there is a mistake of the test. */
  members(space: string): ReadonlyMap<string, Access> {
    return this.byHand.space(space).members
  }

  config(space: string): SpaceConfig {
    return this.byHand.space(space).config
  }

  has(space: string): boolean {
    return this.live.has(space)
  }

  /** The spaces that there are now. */
  spaces(): readonly string[] {
    return [...this.live.keys()]
  }

  private answered(call: SpaceCall): SpaceAnswer {
    const rate = this.spend()
    if (rate?.isOver) return { ...refusal(429, 'RateLimitExceeded', 'Rate Limit Exceeded'), headers: rate.headers }
    const trouble = this.takeTrouble(call.nsid)
    if (trouble && !trouble.isDone) return spoilt(trouble.how)
    const answer = this.tried(call)
    if (trouble) return spoilt(trouble.how)
    return rate ? { ...answer, headers: { ...answer.headers, ...rate.headers } } : answer
  }

  private tried(call: SpaceCall): SpaceAnswer {
    try {
      const method = this.methodOf(call)
      const body = method(call)
      return body === undefined ? { status: 200 } : { status: 200, body }
    } catch (error) {
      if (error instanceof Refused) return refusal(error.status, error.code, error.message)
      throw error
    }
  }

  private takeTrouble(nsid: string): Trouble | null {
    const found = this.troubles.find(({ trouble }) => trouble.nsid === undefined || trouble.nsid === nsid)
    if (!found) return null
    found.left -= 1
    this.troubles = this.troubles.filter(({ left }) => left > 0)
    return found.trouble
  }

  private spend(): { isOver: boolean; headers: Record<string, string> } | null {
    const { limit } = this
    if (!limit) return null
    const nowMs = this.nowMs()
    if (nowMs >= limit.resetsAtMs) Object.assign(limit, { left: limit.points, resetsAtMs: nowMs + limit.perSec * 1000 })
    limit.left -= 1
    const isOver = limit.left < 0
    const headers = {
      'ratelimit-limit': String(limit.points),
      'ratelimit-reset': String(Math.floor(limit.resetsAtMs / 1000)),
      'ratelimit-remaining': String(Math.max(0, limit.left)),
      'ratelimit-policy': `${limit.points};w=${limit.perSec}`,
      ...(isOver ? { 'retry-after': String(Math.ceil((limit.resetsAtMs - nowMs) / 1000)) } : {}),
    }
    return { isOver, headers }
  }

  private methodOf({ nsid, verb, scopes }: SpaceCall): (call: SpaceCall) => unknown {
    const name = nsid.startsWith(SIMPLESPACE) ? nsid.slice(SIMPLESPACE.length) : ''
    const entry = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined
    if (!entry || (entry.only && entry.only !== this.generation))
      throw unknown(nsid, this.unknownMethod, scopes !== null)
    if (verb !== entry.verb) throw invalid(`Incorrect HTTP method (${verb}) expected ${entry.verb}`)
    return (call) => entry.run({ call, generation: this.generation, live: this.live, ever: this.ever })
  }
}

interface At {
  readonly call: SpaceCall
  readonly generation: Generation
  readonly live: Map<string, PlayedSpace>
  readonly ever: Set<string>
}

const METHODS: Readonly<
  Record<string, { readonly verb: 'GET' | 'POST'; readonly only?: Generation; run(at: At): unknown }>
> = {
  createSpace: { verb: 'POST', run: createSpace },
  updateSpace: { verb: 'POST', run: updateSpace },
  getSpace: { verb: 'GET', run: getSpace },
  addMember: { verb: 'POST', only: 'august', run: addMember },
  putMember: { verb: 'POST', only: 'october', run: putMember },
  removeMember: { verb: 'POST', run: removeMember },
  listMembers: { verb: 'GET', run: listMembers },
  deleteSpace: { verb: 'POST', run: deleteSpace },
}

function createSpace(at: At): object {
  const { generation, call, live, ever } = at
  const body = bodyOf(call)
  const type = body[generation === 'august' ? 'type' : 'spaceType']
  const { skey = newSkey() } = body
  if (typeof type !== 'string' || !isValidNsid(type)) throw invalid('Input must have the type of the space')
  if (typeof skey !== 'string' || !isValidRecordKey(skey)) throw invalid('Input/skey must be a record key')
  const given = givenConfig(generation, body)
  if (!isWhole(given)) throw invalid('Input must have all settings of the space')
  requireScope(call, { type, authority: call.account, skey, manage: 'create' })
  const config = { ...given, ...knownConfig(given) }
  const uri = `at://${call.account}/space/${type}/${skey}`
  if (live.has(uri)) throw new Refused(400, 'SpaceAlreadyExists', `Space already exists: ${uri}`)
  live.set(uri, { uri, config, members: new Map() })
  ever.add(uri)
  return { uri }
}

function updateSpace(at: At): void {
  const body = bodyOf(at.call)
  const given = givenConfig(at.generation, body)
  const space = managed(at, body['space'], 'update')
  space.config = { ...space.config, ...knownConfig(given) }
}

function getSpace(at: At): object {
  const { uri, config } = owned(at, at.call.params.get('space'), { action: 'read_self' })
  const { readPolicy, writePolicy, appAccess } = config
  return at.generation === 'august'
    ? { uri, policy: readPolicy, appAccess }
    : { uri, readPolicy, writePolicy, appAccess }
}

function addMember(at: At): void {
  const { space, did } = memberOf(at)
  const { members } = managed(at, space, 'update')
  if (!members.has(did)) members.set(did, { read: true, write: true })
}

function putMember(at: At): void {
  const { read, write } = bodyOf(at.call)
  const { space, did } = memberOf(at)
  if (typeof read !== 'boolean' || typeof write !== 'boolean') throw invalid('Input must have "read" and "write"')
  managed(at, space, 'update').members.set(did, { read, write })
}

function removeMember(at: At): void {
  const { space, did } = memberOf(at)
  managed(at, space, 'update').members.delete(did)
}

function listMembers(at: At): object {
  const { params } = at.call
  const limit = Number(params.get('limit') ?? 100)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1000) throw invalid('Params/limit must be from 1 to 1000')
  const cursor = params.get('cursor') ?? ''
  const { members } = owned(at, params.get('space'), { action: 'read_self' })
  const page = [...members]
    .filter(([did]) => did > cursor)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, limit)
  const last = page.at(-1)?.[0]
  return {
    members: page.map(([did, access]) => (at.generation === 'august' ? { did } : { did, ...access })),
    // The last page has one too: there is no end but an empty page.
    ...(last === undefined ? {} : { cursor: last }),
  }
}

function deleteSpace(at: At): void {
  const { space } = bodyOf(at.call)
  const parts = partsOf(space)
  requireScope(at.call, { ...parts, manage: 'delete' })
  requireOwner(at.call, parts)
  if (!at.ever.has(String(space))) throw notFound(String(space))
  at.live.delete(String(space))
}

const managed = (at: At, space: unknown, manage: ManageVerb): PlayedSpace => owned(at, space, { manage })

/** The space, in the reference's order: what the caller may do at all, then whose space it is, then whether it is there. */
function owned(at: At, space: unknown, need: { manage: ManageVerb } | { action: 'read_self' }): PlayedSpace {
  const parts = partsOf(space)
  requireScope(at.call, { ...parts, ...need })
  requireOwner(at.call, parts)
  const found = at.live.get(String(space))
  if (!found) throw notFound(String(space))
  return found
}

function requireScope({ scopes }: SpaceCall, need: SpaceNeed): void {
  if (scopes !== null && !coversSpace(scopes, need))
    throw new Refused(403, 'ScopeMissingError', `Missing required scope "${scopeOf(need)}"`)
}

function requireOwner({ account }: SpaceCall, { authority }: Parts): void {
  if (authority !== account) throw new Refused(400, 'NotSpaceOwner', 'Only the owner of a space manages it')
}

function partsOf(space: unknown): Parts {
  const parts = /^at:\/\/([^/]+)\/space\/([^/]+)\/([^/]+)$/.exec(typeof space === 'string' ? space : '')
  const [, authority = '', type = '', skey = ''] = parts ?? []
  if (!isValidDid(authority) || !isValidNsid(type) || !isValidRecordKey(skey))
    throw invalid('space must be a space URI')
  return { authority, type, skey }
}

function memberOf({ call }: At): { space: unknown; did: string } {
  const { space, did } = bodyOf(call)
  partsOf(space)
  if (typeof did !== 'string' || !isValidDid(did)) throw invalid('Input/did must be a did')
  return { space, did }
}

function bodyOf({ body }: SpaceCall): Readonly<Record<string, unknown>> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('Input must be an object')
  return body as Readonly<Record<string, unknown>>
}

/** The settings that are in a body by the names of the generation. Other names are open objects' business: not looked at. */
function givenConfig(generation: Generation, body: Readonly<Record<string, unknown>>): Partial<SpaceConfig> {
  const { policy, readPolicy, writePolicy, appAccess } = body
  const named =
    generation === 'august'
      ? { readPolicy: policy, writePolicy: policy, appAccess }
      : { readPolicy, writePolicy, appAccess }
  const given = Object.entries(named).filter(([, value]) => value !== undefined)
  for (const [name, value] of given) if (!isVariant(value)) throw invalid(`Input/${name} must be one of a union`)
  return Object.fromEntries(given)
}

const isVariant = (value: unknown): value is Variant =>
  typeof value === 'object' && value !== null && '$type' in value && typeof value.$type === 'string'

/** The settings as they are stored, each by what it may have and nothing else. */
function knownConfig({ readPolicy, writePolicy, appAccess }: Partial<SpaceConfig>): Partial<SpaceConfig> {
  return {
    ...(readPolicy ? { readPolicy: knownPolicy(readPolicy) } : {}),
    ...(writePolicy ? { writePolicy: knownPolicy(writePolicy) } : {}),
    ...(appAccess ? { appAccess: knownAppAccess(appAccess) } : {}),
  }
}

const isWhole = (config: Partial<SpaceConfig>): config is SpaceConfig =>
  Boolean(config.readPolicy && config.writePolicy && config.appAccess)

function knownPolicy({ $type, managingApp }: Variant): Variant {
  if ($type === `${DEFS}#publicPolicy` || $type === `${DEFS}#memberListPolicy`) return { $type }
  const [did = '', fragment, ...rest] = typeof managingApp === 'string' ? managingApp.split('#') : []
  if ($type !== `${DEFS}#managingAppPolicy` || !isValidDid(did) || fragment === '' || rest.length > 0)
    throw new Refused(400, 'UnsupportedPolicy', `Unsupported policy: ${$type}`)
  return { $type, managingApp }
}

function knownAppAccess({ $type, allowed }: Variant): Variant {
  if ($type === `${DEFS}#open`) return { $type }
  if ($type !== `${DEFS}#allowList` || !Array.isArray(allowed) || allowed.some((id) => typeof id !== 'string'))
    throw new Refused(400, 'UnsupportedAppAccess', `Unsupported app access: ${$type}`)
  return { $type, allowed }
}

function unknown(nsid: string, how: UnknownMethod, isApp: boolean): Refused {
  if (how === 'no app view') return invalid(`No service configured for ${nsid}`)
  if (how === 'app view' && isApp)
    return new Refused(403, 'ScopeMissingError', `Missing required scope "rpc:${nsid}?aud=${APP_VIEW}"`)
  return new Refused(how === 404 ? 404 : 501, 'MethodNotImplemented', 'Method Not Implemented')
}

const APP_VIEW = 'did:web:api.bsky.app%23bsky_appview'
const invalid = (message: string): Refused => new Refused(400, 'InvalidRequest', message)
const notFound = (uri: string): Refused => new Refused(400, 'SpaceNotFound', `Space not found: ${uri}`)
const refusal = (status: number, error: string, message: string): SpaceAnswer => ({ status, body: { error, message } })
const spoilt = (how: Trouble['how']): SpaceAnswer => (typeof how === 'string' ? { status: 0, broken: how } : how)

const SKEY_CHARS = '234567abcdefghijklmnopqrstuvwxyz'
/** Where none is given, the PDS makes one up, of the length and the characters of a TID. */
const newSkey = (): string => `3${Array.from({ length: 12 }, () => SKEY_CHARS[randomInt(SKEY_CHARS.length)]).join('')}`

export interface ByHand {
  space(uri: string): PlayedSpace
  putMember(space: string, did: string, access?: Access): void
  removeMember(space: string, did: string): void
  change(space: string, changes: Partial<SpaceConfig>): void
  deleteSpace(space: string): void
}

function byHandOf(live: Map<string, PlayedSpace>, ever: Set<string>): ByHand {
  const space = (uri: string): PlayedSpace => {
    const found = live.get(uri)
    if (!found) throw new Error(`no space ${uri}${ever.has(uri) ? ' any more' : ''}`)
    return found
  }
  return {
    space,
    putMember: (uri, did, access = { read: true, write: true }) => void space(uri).members.set(did, access),
    removeMember: (uri, did) => void space(uri).members.delete(did),
    change: (uri, changes) => {
      const found = space(uri)
      found.config = { ...found.config, ...changes }
    },
    deleteSpace: (uri) => void live.delete(space(uri).uri),
  }
}

/** Policies and app access as they go over the wire. */
export const SETTINGS = {
  public: { $type: `${DEFS}#publicPolicy` },
  memberList: { $type: `${DEFS}#memberListPolicy` },
  managedBy: (managingApp: string) => ({ $type: `${DEFS}#managingAppPolicy`, managingApp }),
  open: { $type: `${DEFS}#open` },
  allowList: (allowed: readonly string[]) => ({ $type: `${DEFS}#allowList`, allowed }),
} as const
