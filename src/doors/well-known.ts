/** The two documents by which others find this service and the communities that have handles under its domains. */
import { loadDidOfHandle } from '../community/handle-store.ts'
import { parseHandle, SERVICE_FRAGMENT } from '../names.ts'
import type { Answer } from './answer.ts'
import type { House } from './house.ts'

/** `/.well-known/did.json`: the service's own document, so that a PDS can forward its users' calls here. */
export function didDocument(house: Pick<House, 'serviceDid' | 'publicUrl'>): Answer {
  const { serviceDid: id, publicUrl: serviceEndpoint } = house
  if (!id.startsWith('did:web:')) return { status: 404, body: { error: 'NotFound', message: 'no document here' } }
  const service = [{ id: SERVICE_FRAGMENT, type: 'ReeveSpaceAuthority', serviceEndpoint }]
  return { status: 200, body: { '@context': ['https://www.w3.org/ns/did/v1'], id, service } }
}

/** `/.well-known/atproto-did`: the DID of the community whose handle is the host that was asked (handle specification). */
export async function handleDid(
  house: Pick<House, 'db' | 'handleDomains'>,
  hostLines: readonly string[],
): Promise<Answer> {
  const [line = '', ...others] = hostLines
  // Host names compare without regard to case (RFC 9110 §4.2.3); of two lines, a proxy may have gone by the other one.
  const handle = others.length > 0 ? null : parseHandle(line.replace(/:[0-9]*$/, '').toLowerCase())
  const isServed = handle !== null && house.handleDomains.some((domain) => handle.endsWith(`.${domain}`))
  const did = isServed ? await loadDidOfHandle(house.db, handle) : null
  return did ? { status: 200, body: did } : { status: 404, body: 'no such handle' }
}
