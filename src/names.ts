/**
 * The names of things: a DID, a space URI, an app. A value of these types exists only because it was parsed here.
 *
 * One spelling per thing: `did:web:EVIL.com`, `did:web:evil.com.` and `did:web:evil.com` would reach the same host, so a
 * loose parser would let a banned person come back under another spelling. What is not canonical is not a name at all.
 */
import { isValidHandle, isValidNsid, isValidRecordKey, isValidTid } from '@atproto/syntax'
import { isPublicHostName, URL_MAX_CHARS } from './platform/addresses.ts'

declare const brand: unique symbol
type Name<B extends string, T extends string = string> = T & { readonly [brand]: B }

/** A canonical `did:plc:…`, or `did:web:` of one public host name (or, in development, of `localhost%3A<port>`). */
export type Did = Name<'Did', `did:${string}:${string}`>
/** `at://<authority>/space/<type>/<skey>`, exactly as it would be written again. */
export type SpaceUri = Name<'SpaceUri'>
/** A namespaced identifier such as `com.atmoboards.forum`. */
export type Nsid = Name<'Nsid', `${string}.${string}.${string}`>
/** A handle in lower case. */
export type Handle = Name<'Handle', `${string}.${string}`>
/** The public half of a key, as `did:key:z…` over P-256 or secp256k1. */
export type DidKey = Name<'DidKey'>
/** An app's OAuth `client_id`: the https URL of its metadata (or, in development, `http://localhost:<port>/<path>`). */
export type ClientId = Name<'ClientId', `${'https' | 'http'}://${string}`>

/** A service as it is kept, and written into tokens and logs: a DID, or `did:…#name`, of plain characters. */
export type ServiceId = Name<'ServiceId', `did:${string}:${string}`>

/** A space URI and its parts. */
export interface SpaceName {
  readonly uri: SpaceUri
  readonly authority: Did
  readonly spaceType: Nsid
  readonly skey: string
}

/** Longest DID accepted anywhere. The DID core specification sets none; every DID in use is far shorter. */
export const DID_MAX_CHARS = 256
const DID_PLC = /^did:plc:[a-z2-7]{24}$/
const DID_WEB_HOST =
  /^did:web:(?=.{1,253}$)((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)$/
const DID_WEB_LOOPBACK = /^did:web:localhost%3A([1-9][0-9]{0,4})$/

/** The DID in its one canonical spelling, or null. Never trims, lowers or decodes: another spelling is another string. */
export function parseDid(text: unknown): Did | null {
  if (typeof text !== 'string' || text.length > DID_MAX_CHARS) return null
  if (DID_PLC.test(text)) return text as Did
  if (isLoopbackDid(text) || DID_WEB_HOST.test(text)) return text as Did
  return null
}

/** Whether a DID is `did:web:localhost%3A<port>`: a name for development, which no public Reeve resolves. */
export function isLoopbackDid(did: string): boolean {
  const port = DID_WEB_LOOPBACK.exec(did)?.[1]
  return port !== undefined && Number(port) <= 65535
}

const LOOPBACK_CLIENT = /^https?:\/\/localhost:[1-9][0-9]{0,4}\/[^?]/
/** What `new URL()` leaves in a path although it says the same otherwise: an escape of a plain character, or in small letters. */
const OTHER_SPELLING = /%(?![0-9A-F]{2})|%(?:2D|2E|3\d|4[1-9A-F]|5[0-9AF]|6[1-9A-F]|7[0-9AE])/

/**
 * The client id in its one canonical spelling, or null: https, a public host name without a port, no user info, no fragment, no
 * `?` with nothing behind it, at most 2,048 characters, exactly as `new URL()` would write it, nothing escaped that needn't be.
 * `http://localhost`, which stands for every app that somebody is just writing, is no app's name and never was.
 */
export function parseClientId(text: unknown): ClientId | null {
  if (typeof text !== 'string' || text.length > URL_MAX_CHARS || !URL.canParse(text)) return null
  const url = new URL(text)
  if (url.href !== text || text.includes('#') || text.endsWith('?') || OTHER_SPELLING.test(text)) return null
  if (isLoopbackClientId(text)) return text as ClientId
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.port !== '') return null
  return isPublicHostName(url.hostname) ? (text as ClientId) : null
}

const LOOPBACK_HOST = /^localhost:([1-9][0-9]{0,4})$/

/** Whether a client id is `http://localhost:<port>/<path>`, or the same by https: a name for development, which no public Reeve asks about itself. */
export const isLoopbackClientId = (clientId: string): boolean => LOOPBACK_CLIENT.test(clientId)

/** The host under which an app stands, for rules about all of a host's apps; on this machine with its port. */
export const hostOf = (clientId: ClientId): string => new URL(clientId).host

/**
 * A host for a rule about all of its apps, or null: one public host name as `new URL()` writes it, without a port, and never an
 * address or a pattern; in development `localhost:<port>`.
 */
export function parseAppHost(text: unknown): string | null {
  if (typeof text !== 'string') return null
  const port = LOOPBACK_HOST.exec(text)?.[1]
  return isPublicHostName(text) || (port !== undefined && Number(port) <= 65535) ? text : null
}

/** The NSID in its canonical spelling (lower-case authority part), or null. */
export function parseNsid(text: unknown): Nsid | null {
  if (typeof text !== 'string' || text.length > 317 || !isValidNsid(text)) return null
  const lastDot = text.lastIndexOf('.')
  return text.slice(0, lastDot) === text.slice(0, lastDot).toLowerCase() ? (text as Nsid) : null
}

/** Whether text may name a space within its type: record-key syntax, 1–512 characters, not `.` or `..`. */
export const isSkey = (text: string): boolean => isValidRecordKey(text)

/** Whether text is a TID. */
export const isTid = (text: string): boolean => isValidTid(text)

/** The parts of a space URI, or null when it is not the exact form (0016 §Space URIs): no handle, query, fragment, slash at the end. */
export function parseSpaceUri(text: unknown): SpaceName | null {
  if (typeof text !== 'string' || text.length > 1200 || !text.startsWith('at://')) return null
  const [authorityText, marker, typeText, skey, ...rest] = text.slice('at://'.length).split('/')
  const authority = parseDid(authorityText)
  const spaceType = parseNsid(typeText)
  if (marker !== 'space' || rest.length > 0 || !authority || !spaceType || skey === undefined || !isSkey(skey))
    return null
  return { uri: text as SpaceUri, authority, spaceType, skey }
}

/** The DID under which a space stands. */
export const authorityOf = (space: SpaceUri): Did =>
  space.slice('at://'.length, space.indexOf('/', 'at://'.length)) as Did

/** Whether a name in a roster is a space's, and not a person's. */
export const isSpaceUri = (name: Did | SpaceUri): name is SpaceUri => name.startsWith('at://')

/** The URI of a space from parts that are names already. */
export function spaceUriOf(authority: Did, spaceType: Nsid, skey: string): SpaceName {
  if (!isSkey(skey)) throw new TypeError('not a space key')
  return { uri: `at://${authority}/space/${spaceType}/${skey}` as SpaceUri, authority, spaceType, skey }
}

/** The handle in lower case, or null. */
export function parseHandle(text: unknown): Handle | null {
  if (typeof text !== 'string') return null
  return isValidHandle(text) && text === text.toLowerCase() ? (text as Handle) : null
}

/** Service identifiers and token audiences: a DID and a fragment, split at the only `#`. */
export function parseServiceId(text: string): { did: Did; fragment: string | null } | null {
  const [didText, fragment, ...rest] = text.split('#')
  const did = parseDid(didText)
  if (!did || rest.length > 0 || fragment === '') return null
  return { did, fragment: fragment ?? null }
}

/** The name of this service's own entry in its DID document: for its methods, and for what a PDS asks it. */
export const SERVICE_FRAGMENT = '#reeve'

/** What a PDS stores as the managing app of a space that is decided about here. */
export const managingAppOf = (service: Did): string => `${service}${SERVICE_FRAGMENT}`

/** Longest identifier of a service that is kept. */
const SERVICE_ID_MAX_CHARS = 300
/** What shows in one line. Whatever else a document may have for the name of a service, would be written into logs and tokens. */
export const PLAIN_FRAGMENT = /^[!-~]+$/

/** The identifier of a service in its one spelling and of plain characters, or null. */
export function parsePlainServiceId(text: unknown): ServiceId | null {
  if (typeof text !== 'string' || text.length > SERVICE_ID_MAX_CHARS) return null
  const parts = parseServiceId(text)
  return parts && PLAIN_FRAGMENT.test(parts.fragment ?? 'none') ? (text as ServiceId) : null
}

/** The DID in whose document a service stands. */
export const didOfService = (service: ServiceId): Did => service.split('#', 1)[0] as Did

/** The types of space that Reeve itself makes. */
export const ROSTER_TYPE = 'community.reeve.roster' as Nsid
export const ROLE_SPACE_TYPE = 'community.reeve.role' as Nsid

/** The space that holds a community's own people; standing in it is standing in the community. */
export const rosterOf = (community: Did): SpaceName => spaceUriOf(community, ROSTER_TYPE, 'self')
