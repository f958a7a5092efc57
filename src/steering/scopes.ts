/**
 * What is asked of a PDS as OAuth scopes, and what of it was granted. Pure.
 *
 * A scope asks for as little as keeping spaces takes: to see the account's own part of them, and to make, set and end them. No record is
 * read or written by it. For types of Reeve's own nothing is ever asked: those spaces are nowhere but here.
 */
import { type Did, type Nsid, parseNsid } from '../names.ts'

/** Spaces of these types, or of any. */
export type AskedTypes = readonly Nsid[] | 'any'

/** Types that are asked for one by one; whoever has more asks for any. */
export const TYPES_MAX = 32
const OWN_TYPES = 'community.reeve.'
const ATPROTO = 'atproto'
const SPACE = 'space:'
const KEEPING = 'action=read_self&manage=create&manage=update&manage=delete'
/** A writer's host may be any: an `aud` that is a bare DID can't be named in a scope, only `*` covers it. */
export const TAKING_BACK = 'rpc:com.atproto.space.notifyCredentialRevoked?aud=*'

/** Whether spaces of a type can be kept at a PDS. */
export const isKeptType = (type: Nsid): boolean => !type.startsWith(OWN_TYPES)

/** Types in the one order in which they are asked for, each once. */
export const typesInOrder = (types: readonly Nsid[]): readonly Nsid[] => [...new Set(types)].sort()

/** The scopes to ask for. The same types always give the same text, since a PDS compares it with our metadata as text. */
export function scopesFor(types: AskedTypes): readonly string[] {
  const names = types === 'any' ? ['*'] : typesInOrder(types)
  return [ATPROTO, ...names.map((name) => `${SPACE}${name}?${KEEPING}`), TAKING_BACK]
}

/** For which types scopes of ours ask. */
export function typesOf(asked: readonly string[]): AskedTypes {
  const names = asked.filter((scope) => scope.startsWith(SPACE)).map((scope) => nameIn(scope))
  if (names.includes('*')) return 'any'
  return names.map(parseNsid).filter((type) => type !== null)
}

/** More than this no PDS says that grants what we ask, and what one says otherwise isn't kept. */
const LISTED_MAX = 256
const SCOPE_MAX_CHARS = 1_024

/** Scopes as a token response lists them. The list is a stranger's: what is too much of it counts as not granted. */
export const scopesIn = (text: string): readonly string[] =>
  text.split(' ', LISTED_MAX).filter((scope) => scope !== '' && scope.length <= SCOPE_MAX_CHARS)

/** Those of the asked scopes that nothing granted covers. `account`: whose grant it is. */
export function missingOf(asked: readonly string[], granted: readonly string[], account: Did): readonly string[] {
  const spaces = granted.map(parseSpaceScope).filter((grant) => grant !== null)
  const calls = granted.map(parseRpcScope).filter((grant) => grant !== null)
  const isCovered = (scope: string): boolean => {
    const space = parseSpaceScope(scope)
    if (space) return needsOf(space).every((need) => spaces.some((grant) => covers(grant, need, account)))
    const call = parseRpcScope(scope)
    if (call) return calls.some((grant) => coversCall(grant, call))
    return granted.includes(scope)
  }
  return asked.filter((scope) => !isCovered(scope))
}

/** A `space:` scope, read (0016 §Permissions). */
export interface SpaceScope {
  /** An NSID, or `*`. */
  readonly type: string
  readonly authority: string
  readonly skey: string
  readonly actions: ReadonlySet<string>
  readonly manage: ReadonlySet<string>
}

const ACTIONS = ['read', 'read_self', 'create', 'update', 'delete']
const MANAGE = ['create', 'update', 'delete']
const DEFAULT_ACTIONS = ['read', 'create', 'update', 'delete']
const SPACE_PARAMS: ReadonlySet<string> = new Set(['authority', 'skey', 'collection', 'action', 'manage'])

/** A `space:` scope, or null: for another resource, or with a part that isn't understood, which grants nothing that we could rely on. */
export function parseSpaceScope(scope: string): SpaceScope | null {
  const params = paramsOf(scope, SPACE)
  if (!params || [...params.keys()].some((key) => !SPACE_PARAMS.has(key))) return null
  const type = nameIn(scope)
  const [authorities, skeys] = [params.getAll('authority'), params.getAll('skey')]
  const actions = params.has('action') ? params.getAll('action') : DEFAULT_ACTIONS
  const manage = params.getAll('manage')
  const isKnown =
    (type === '*' || parseNsid(type) !== null) &&
    authorities.length <= 1 &&
    skeys.length <= 1 &&
    actions.every((action) => ACTIONS.includes(action)) &&
    manage.every((verb) => MANAGE.includes(verb))
  if (!isKnown) return null
  const [authority = 'self', skey = '*'] = [authorities[0], skeys[0]]
  return { type, authority, skey, actions: new Set(actions), manage: new Set(manage) }
}

/** One thing that one call needs: grants are not put together for it, but each call may go by another. */
interface Need {
  readonly type: string
  readonly skey: string
  readonly action?: string
  readonly verb?: string
}

const needsOf = ({ type, skey, actions, manage }: SpaceScope): readonly Need[] => [
  ...[...actions].map((action) => ({ type, skey, action })),
  ...[...manage].map((verb) => ({ type, skey, verb })),
]

function covers(grant: SpaceScope, need: Need, account: Did): boolean {
  const isThere =
    (grant.type === '*' || grant.type === need.type) &&
    (grant.skey === '*' || grant.skey === need.skey) &&
    (grant.authority === '*' || grant.authority === 'self' || grant.authority === account)
  if (!isThere) return false
  if (need.verb !== undefined) return grant.manage.has(need.verb)
  const { action = '' } = need
  return grant.actions.has(action) || (action === 'read_self' && grant.actions.has('read'))
}

interface RpcScope {
  readonly methods: readonly string[]
  readonly aud: string
}

/** An `rpc:` scope, with its method before the question mark or in `lxm`. */
function parseRpcScope(scope: string): RpcScope | null {
  const params = scope.startsWith('rpc?')
    ? paramsOf(`rpc:${scope.slice('rpc'.length)}`, 'rpc:')
    : paramsOf(scope, 'rpc:')
  if (!params) return null
  const named = scope.startsWith('rpc:') ? nameIn(scope) : ''
  const methods = named === '' ? params.getAll('lxm') : [named]
  const [aud = '', ...others] = params.getAll('aud')
  return methods.length > 0 && aud !== '' && others.length === 0 ? { methods, aud } : null
}

const coversCall = (grant: RpcScope, call: RpcScope): boolean =>
  (grant.aud === '*' || grant.aud === call.aud) &&
  call.methods.every((method) => grant.methods.includes(method) || grant.methods.includes('*'))

/** What stands between the resource and the question mark, unescaped; nothing where it can't be. */
function nameIn(scope: string): string {
  const [name = ''] = scope.slice(scope.indexOf(':') + 1).split('?')
  try {
    return decodeURIComponent(name)
  } catch {
    return ''
  }
}

function paramsOf(scope: string, resource: string): URLSearchParams | null {
  if (!scope.startsWith(resource)) return null
  const [, query = '', ...rest] = scope.split('?')
  return rest.length > 0 ? null : new URLSearchParams(query)
}
