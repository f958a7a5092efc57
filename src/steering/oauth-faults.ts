/** What an error of the OAuth library means: for a grant, and for somebody who came back from their PDS without one. */
import { OAuthCallbackError, OAuthResponseError } from '@atproto/oauth-client-node'
import { Unavailable } from '../refusals.ts'

/** Why a grant is no more. `NoRefreshToken`: none was given, and the other one ran out. `ClientChanged`: it was given to another key of ours. */
export type Ending = 'TokenRefused' | 'SessionRevoked' | 'Moved' | 'NoRefreshToken' | 'ClientChanged'

/** What came of a question to an authorization server: `over`: the grant is no more. `later`: it may be well, and nobody could say. */
export type Fault =
  | { readonly is: 'over'; readonly because: Ending }
  | { readonly is: 'later'; readonly because: string }

/** The grant was given to another key of ours. */
export class ClientChanged extends Error {
  override readonly name = 'ClientChanged'
}

/** Every error and the ones by which it came about. */
function* causesOf(error: unknown): Iterable<unknown> {
  for (let at = error, depth = 0; at !== undefined && depth < 8; depth += 1) {
    yield at
    at = at instanceof Error ? at.cause : undefined
  }
}

/** Our own trouble, which says nothing about a grant. */
const OURS: ReadonlySet<string> = new Set(['KekUnavailable', 'KeyUnavailable', 'NotEnoughResources'])

/** What an error of the library means for a grant. @throws Unavailable for our own trouble */
export function faultOf(error: unknown): Fault {
  for (const cause of causesOf(error)) {
    if (cause instanceof Unavailable && OURS.has(cause.code)) throw cause
    if (cause instanceof ClientChanged) return { is: 'over', because: 'ClientChanged' }
    if (cause instanceof OAuthResponseError) {
      if (cause.error === 'invalid_grant') return { is: 'over', because: 'TokenRefused' }
      return { is: 'later', because: nameOr(cause.error, 'refused') }
    }
    if (!(cause instanceof Error)) continue
    // Its own words: the account's document names another server than the one that gave the grant.
    if (cause instanceof TypeError && cause.message === 'Issuer mismatch') return { is: 'over', because: 'Moved' }
    if (cause.message === 'No refresh token available') return { is: 'over', because: 'NoRefreshToken' }
    if ('kind' in cause && typeof cause.kind === 'string')
      return { is: 'later', because: nameOr(cause.kind, 'network') }
  }
  return { is: 'later', because: 'unreadable' }
}

/** What a PDS called its refusal; null: it is none. */
export function refusedBy(error: unknown): { readonly name: string; readonly says: string } | null {
  for (const cause of causesOf(error)) {
    const name = cause instanceof OAuthCallbackError ? cause.params.get('error') : null
    if (name === null || !(cause instanceof OAuthCallbackError)) continue
    return { name: nameOr(name, 'refused'), says: (cause.params.get('error_description') ?? '').slice(0, 300) }
  }
  return null
}

const nameOr = (text: string | null | undefined, otherwise: string): string =>
  typeof text === 'string' && /^[\w.-]{1,64}$/.test(text) ? text : otherwise
