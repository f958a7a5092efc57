/**
 * Which addresses are on the public internet, and which spellings of a URL a stranger may make us call.
 *
 * Pure: nothing is looked up here. Whatever isn't known to be public is private, so a range that somebody invents tomorrow is
 * refused until it is added. A URL that passes is only spelled well; its addresses are judged when it is dialled.
 */
import ipaddr from 'ipaddr.js'

/** Longest URL that is called at all. */
export const URL_MAX_CHARS = 2_048
const IPV6_GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3')
/** Inside 2000::/3, yet not a host of the public internet. Listed here so that no update of the library can lose one. */
const IPV6_NOT_PUBLIC = [
  '2001::/23', // IETF protocol assignments, Teredo, ORCHID (RFC 2928, RFC 4380, RFC 7343)
  '2001:db8::/32', // documentation (RFC 3849)
  '2002::/16', // 6to4 carries any IPv4 address inside (RFC 3056)
  '2620:4f:8000::/48', // AS112 (RFC 7534)
  '3fff::/20', // documentation (RFC 9637)
].map((cidr) => ipaddr.IPv6.parseCIDR(cidr))
/** A public address by its number, but inside one large cloud it is the machine's own host: the metadata service's neighbour. */
const IPV4_NOT_PUBLIC = '168.63.129.16'

/** Whether text is one plainly written address of a host on the public internet. Zone ids and odd spellings are not. */
export function isPublicAddress(text: string): boolean {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return ipaddr.IPv4.parse(text).range() === 'unicast' && text !== IPV4_NOT_PUBLIC
  }
  if (text.includes('%') || !ipaddr.IPv6.isValid(text)) return false
  const address = ipaddr.IPv6.parse(text)
  if (!address.match(IPV6_GLOBAL_UNICAST) || address.range() !== 'unicast') return false
  return !IPV6_NOT_PUBLIC.some((range) => address.match(range))
}

export interface TargetRules {
  /** Also `http` and `https` to `localhost` and `127.0.0.1` on any port: development and tests. */
  readonly allowLoopback: boolean
  /** Ourselves, as `host` or `host:port`, the port only where it isn't the scheme's own. */
  readonly ownHosts: readonly string[]
  /** Origins that the operator wrote into the configuration. */
  readonly trustedOrigins: readonly string[]
}

/** A URL that may be called, and on whose word: it decides which addresses may be dialled for it. */
export interface Target {
  readonly url: URL
  readonly kind: 'stranger' | 'loopback' | 'trusted'
}

/** Names that never belong to a host of the public internet (RFC 6761, RFC 6762, RFC 8375, RFC 9476, ICANN's reservations). */
const SPECIAL_USE = new Set(
  'alt arpa corp example home internal intranet invalid lan local localdomain localhost mail onion private test'.split(
    ' ',
  ),
)
/** Two labels or more in lower case without a dot at the end. The last begins with a letter, so no spelling of an address fits. */
const PUBLIC_HOST = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+([a-z](?:[a-z0-9-]{0,61}[a-z0-9])?)$/

/**
 * The target that a URL names, or null when it may not be called.
 * Order: canonical spelling → http or https, no user info, no fragment → not ourselves → trusted origin → loopback, where
 * allowed → a stranger's: https on its own port, a public host name.
 */
export function targetOf(text: string, rules: TargetRules): Target | null {
  if (text.length > URL_MAX_CHARS || !URL.canParse(text)) return null
  const url = new URL(text)
  // The parser lowers, decodes, trims and drops default ports. What it had to change has two readings, so it has none.
  if (url.href !== text && url.href !== `${text}/`) return null
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return null
  if (url.username !== '' || url.password !== '' || text.includes('#')) return null
  if (rules.ownHosts.some((own) => loopbackName(own.toLowerCase()) === loopbackName(url.host))) return null
  if (rules.trustedOrigins.includes(url.origin)) return { url, kind: 'trusted' }
  if (rules.allowLoopback && (url.hostname === 'localhost' || url.hostname === '127.0.0.1'))
    return { url, kind: 'loopback' }
  if (url.protocol !== 'https:' || url.port !== '' || !isPublicHostName(url.hostname)) return null
  return { url, kind: 'stranger' }
}

/** Whether text is a host name as `new URL()` writes it, of two labels or more, that can belong to a host of the public internet. */
export function isPublicHostName(host: string): boolean {
  const lastLabel = PUBLIC_HOST.exec(host)?.[1]
  return lastLabel !== undefined && !SPECIAL_USE.has(lastLabel)
}

/** Both names of the loopback host are one host to the loop guard. */
const loopbackName = (host: string): string => host.replace('127.0.0.1', 'localhost')
