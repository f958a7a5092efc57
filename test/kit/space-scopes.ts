/**
 * The `space:` scopes of OAuth as a PDS reads them: which grants cover what a call needs.
 *
 * Written from the proposal and not with our own parser, so that a scope which we ask for wrongly isn't read wrongly in the same way.
 */

export type SpaceAction = 'read' | 'read_self' | 'create' | 'update' | 'delete'
export type ManageVerb = 'create' | 'update' | 'delete'

export interface SpaceGrant {
  /** An NSID or `*`. */
  readonly type: string
  /** A DID, `*`, or `self`, which covers nothing until it is turned into the account's DID. */
  readonly authority: string
  readonly skey: string
  readonly collections: readonly string[]
  readonly actions: readonly string[]
  readonly manage: readonly string[]
}

/** What one call needs. */
export type SpaceNeed = {
  readonly type: string
  readonly authority: string
  readonly skey: string
} & ({ readonly manage: ManageVerb } | { readonly action: SpaceAction })

const PREFIX = 'space:'
const ACTIONS: readonly string[] = ['read', 'read_self', 'create', 'update', 'delete']
const DEFAULT_ACTIONS = ['read', 'create', 'update', 'delete']
const VERBS: readonly string[] = ['create', 'update', 'delete']
const ONCE = ['authority', 'skey']
const MANY = ['collection', 'action', 'manage']
const NSID = /^[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+\.[a-zA-Z][a-zA-Z0-9]*$/
const AUTHORITY = /^(?:self|\*|did:[a-z]+:[a-zA-Z0-9._:%-]+)$/

export const isSpaceScope = (scope: string): boolean => parseSpaceScope(scope) !== null

/** One scope, or null: a scope with a part that isn't understood grants nothing at all. */
export function parseSpaceScope(scope: string): SpaceGrant | null {
  if (!scope.startsWith(PREFIX)) return null
  const [type = '', query = '', ...rest] = scope.slice(PREFIX.length).split('?')
  const params = new URLSearchParams(query)
  const names = [...new Set(params.keys())]
  if (rest.length > 0 || names.some((name) => !ONCE.includes(name) && !MANY.includes(name))) return null
  if (ONCE.some((name) => params.getAll(name).length > 1)) return null
  const actions = params.has('action') ? params.getAll('action') : DEFAULT_ACTIONS
  const grant: SpaceGrant = {
    type,
    authority: params.get('authority') ?? 'self',
    skey: params.get('skey') ?? '*',
    collections: params.getAll('collection'),
    actions,
    manage: params.getAll('manage'),
  }
  const isKnown =
    (type === '*' || NSID.test(type)) &&
    AUTHORITY.test(grant.authority) &&
    grant.skey !== '' &&
    grant.collections.every((name) => name === '*' || NSID.test(name)) &&
    actions.every((action) => ACTIONS.includes(action)) &&
    grant.manage.every((verb) => VERBS.includes(verb))
  return isKnown ? grant : null
}

/** The scope with `self`, written or meant, as the account's own DID: what a PDS does when it issues a token. */
export function forAccount(scope: string, account: string): string {
  const grant = parseSpaceScope(scope)
  if (grant?.authority !== 'self') return scope
  const [type = '', query = ''] = scope.split('?')
  const rest = query.split('&').filter((part) => part !== '' && !part.startsWith('authority='))
  return `${type}?${[`authority=${account}`, ...rest].join('&')}`
}

/** Whether any one of the scopes covers the need. What two of them hold together counts for nothing. */
export const coversSpace = (scopes: readonly string[], need: SpaceNeed): boolean =>
  scopes.some((scope) => {
    const grant = parseSpaceScope(scope)
    return grant !== null && covers(grant, need)
  })

function covers(grant: SpaceGrant, need: SpaceNeed): boolean {
  const isThere =
    (grant.type === '*' || grant.type === need.type) &&
    (grant.authority === '*' || grant.authority === need.authority) &&
    (grant.skey === '*' || grant.skey === need.skey)
  if (!isThere) return false
  if ('manage' in need) return grant.manage.includes(need.manage)
  return grant.actions.includes(need.action) || (need.action === 'read_self' && grant.actions.includes('read'))
}

/** The scope that was missing, as the refusal names it. */
export const scopeOf = ({ type, authority, skey, ...need }: SpaceNeed): string =>
  `${PREFIX}${type}?authority=${authority}&skey=${skey}&${'manage' in need ? `manage=${need.manage}` : `action=${need.action}`}`
