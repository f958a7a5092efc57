/** What a PDS says about its OAuth, which is kept for a while: as much as a server has to say, and no more. */
import { expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { utf8 } from '../../src/platform/bytes.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type OutboundAsk, OutboundFailure } from '../../src/platform/outbound.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { siteOf } from '../../src/steering/client-metadata.ts'
import { OAuthGrants } from '../../src/steering/oauth-client.ts'
import { scopesFor } from '../../src/steering/scopes.ts'
import { freshDid } from '../kit/roll.ts'

const PDS = 'https://pds.example'

/** A server that says so many bytes more than it has to. */
function grantsAt(moreBytes: number): OAuthGrants {
  const documents: Record<string, object> = {
    '/.well-known/oauth-protected-resource': { resource: PDS, authorization_servers: [PDS] },
    '/.well-known/oauth-authorization-server': {
      ...{ issuer: PDS, authorization_endpoint: `${PDS}/authorize`, token_endpoint: `${PDS}/token` },
      ...{ pushed_authorization_request_endpoint: `${PDS}/par`, require_pushed_authorization_requests: true },
      ...{ response_types_supported: ['code'], client_id_metadata_document_supported: true },
      scopes_supported: ['atproto', 'x'.repeat(moreBytes)],
    },
  }
  const request = async ({ url, maxBytes }: OutboundAsk) => {
    const body = utf8(JSON.stringify(documents[new URL(url).pathname]))
    if (body.length > maxBytes) throw new OutboundFailure('too-large', 'bytes')
    return { status: 200, contentType: 'application/json', headers: {}, body }
  }
  const service = () => ({ type: 'AtprotoPersonalDataServer', endpoint: PDS })
  return new OAuthGrants({
    ...{ site: siteOf('http://127.0.0.1:3000'), serviceDid: 'did:web:reeve.example' as Did, allowLoopback: true },
    ...{ vault: {} as never, documents: { resolve: async () => ({ service }) as never } },
    ...{ outbound: { request }, random: systemRandom, clock: systemClock },
  })
}

it('takes a server’s word of ordinary length', async () => {
  expect(await grantsAt(10_000).signsInAt(freshDid(), scopesFor('any'))).toBe(PDS)
})

it('keeps no document by which a few servers would fill the memory', async () => {
  const grants = grantsAt(100_000)
  const fault = await grants.signsInAt(freshDid(), scopesFor('any')).catch((error) => grants.faultOf(error))
  expect(fault).toEqual({ is: 'later', because: 'too-large' })
})
