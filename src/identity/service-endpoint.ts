/**
 * Where a service that somebody named is called: a DID and a fragment become the address that the DID's document publishes.
 *
 * Strangers choose both, and what they choose is called with a token of ours. So only a bare origin counts: with a path or a query they
 * would have us call any method of any server (0016 §Service identifiers).
 */
import type { DidDocument } from './document.ts'

/** The service of a PDS, which a DID without a fragment stands for, and the type that it must have. */
const PDS_SERVICE = 'atproto_pds'
const PDS_TYPE = 'AtprotoPersonalDataServer'

/**
 * The origin of the service with that fragment, of any type; of the PDS where there is no fragment. Null: there is none, it is malformed, or
 * its address is more than an origin. Whether it may be called is for the outbound door to say.
 */
export function serviceOriginOf(document: Pick<DidDocument, 'service'>, fragment: string | null): string | null {
  const service = document.service(fragment ?? PDS_SERVICE)
  if (service === 'absent' || service === 'malformed') return null
  if (fragment === null && service.type !== PDS_TYPE) return null
  const { origin, pathname, search, hash } = new URL(service.endpoint)
  const isBare = pathname === '/' && search === '' && hash === '' && !/[?#]/.test(service.endpoint)
  return isBare ? origin : null
}
