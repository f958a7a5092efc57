/**
 * What this service is as an OAuth client: its name, and the document that stands under it.
 *
 * A PDS takes no scope that our document doesn't list letter by letter, and remembers the document for minutes. So the name says what is
 * asked for, as that of atproto's loopback clients does: every set of types is a client of its own, whose document never changes, and
 * nobody learns from it which communities are here. All of them have one key.
 */
import { type Nsid, parseNsid } from '../names.ts'
import { Refusal } from '../refusals.ts'
import { type AskedTypes, isKeptType, scopesFor, TYPES_MAX, typesInOrder } from './scopes.ts'

export const METADATA_PATH = '/oauth/client-metadata.json'
export const KEYS_PATH = '/oauth/jwks.json'
export const CALLBACK_PATH = '/oauth/callback'
/** Longer names are no addresses any more to many a server. */
const CLIENT_ID_MAX_CHARS = 2_000

export interface ClientSite {
  /** Where browsers find us: the public origin; in development the same port on 127.0.0.1, where callbacks of loopback clients go. */
  readonly origin: string
  /** Whether we are on loopback, and so a client that proves nothing. */
  readonly isLoopback: boolean
}

const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]'])

/** Where we are as a client, by our public URL. */
export function siteOf(publicUrl: string): ClientSite {
  const { hostname, port } = new URL(publicUrl)
  const isLoopback = LOOPBACK_HOSTS.has(hostname)
  return { isLoopback, origin: isLoopback ? `http://127.0.0.1${port === '' ? '' : `:${port}`}` : publicUrl }
}

const queryOf = (types: readonly Nsid[]): URLSearchParams =>
  new URLSearchParams(typesInOrder(types).map((type): [string, string] => ['type', type]))

/** The client that asks for these types. @throws Refusal('LimitExceeded') when its name would be too long */
export function clientIdOf({ origin, isLoopback }: ClientSite, types: AskedTypes): string {
  const callback = origin + CALLBACK_PATH
  const query = types === 'any' ? '' : `?${queryOf(types)}`
  const scope = scopesFor(types).join(' ')
  const clientId = isLoopback
    ? `http://localhost?${new URLSearchParams({ scope, redirect_uri: callback })}`
    : `${origin}${METADATA_PATH}${query}`
  if (!isLoopback && clientId.length > CLIENT_ID_MAX_CHARS)
    throw new Refusal('LimitExceeded', 'these types are too many to ask for one by one: ask for anyType')
  return clientId
}

/** The types that a question for our document names, or null when it isn't one of our own names. */
export function typesOfQuery(query: string): AskedTypes | null {
  if (query === '') return 'any'
  const params = new URLSearchParams(query)
  const types = params.getAll('type').map(parseNsid)
  const known = types.filter((type): type is Nsid => type !== null && isKeptType(type))
  const isOurs =
    known.length === types.length && known.length > 0 && known.length <= TYPES_MAX && String(queryOf(known)) === query
  return isOurs ? known : null
}

/** The document of a client (atproto OAuth §Client ID Metadata Document). */
export function metadataOf(site: ClientSite, types: AskedTypes) {
  const about = {
    client_id: clientIdOf(site, types),
    redirect_uris: [site.origin + CALLBACK_PATH] as [string],
    scope: scopesFor(types).join(' '),
    grant_types: ['authorization_code', 'refresh_token'] as ['authorization_code', 'refresh_token'],
    response_types: ['code'] as ['code'],
    dpop_bound_access_tokens: true as const,
  }
  if (site.isLoopback) return { ...about, application_type: 'native', token_endpoint_auth_method: 'none' } as const
  return {
    ...about,
    application_type: 'web',
    client_name: 'Reeve',
    client_uri: site.origin,
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks_uri: site.origin + KEYS_PATH,
  } as const
}

/** The public half of the client key as a JWK: the members that make it a key, and what it is for. */
export interface ClientJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly kid: string
  readonly alg: 'ES256'
  readonly use: 'sig'
}
