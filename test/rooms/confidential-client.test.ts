/**
 * A confidential client from end to end: its metadata and its keys served over TLS, keys and attestations made by the library that
 * its makers use, and a community that shuts it out, lets it in, and is not deceived by a key that it gave up.
 */
import { once } from 'node:events'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { Keyset } from '@atproto/jwk'
import { JoseKey } from '@atproto/jwk-jose'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { APP_REFRESH_FLOOR_SEC } from '../../src/platform/limits.ts'
import { certificateFor } from '../kit/certificates.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { BINDINGS, exchange, openScene, type Scene } from '../kit/exchange.ts'
import { freshJti } from '../kit/tokens.ts'

const R = 'community.reeve'
const certificate = certificateFor('localhost', { from: '20', to: '49' })
const authorities = getCACertificates('default')
beforeAll(() => setDefaultCACertificates([certificate.cert]))
afterAll(() => setDefaultCACertificates(authorities))

const makeKeys = async (kid: string) => new Keyset([await JoseKey.generate(['ES256'], kid)])

describeOnEachEngine('a confidential client', (open) => {
  let scene: Scene
  let server: Server
  let origin: string
  let clientId: string
  let keys: Keyset

  beforeAll(async () => {
    scene = await openScene(await open())
    keys = await makeKeys('first')
    server = createServer({ ...certificate }, (request, response) => {
      const metadata = {
        ...{ client_id: clientId, client_name: 'A forum', redirect_uris: ['https://forum.example.org/callback'] },
        ...{ grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], scope: 'atproto' },
        ...{ token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256' },
        ...{ dpop_bound_access_tokens: true, application_type: 'web', jwks_uri: `${origin}/jwks.json` },
      }
      const answer = request.url === '/jwks.json' ? keys.publicJwks : metadata
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    origin = `https://localhost:${(server.address() as AddressInfo).port}`
    clientId = `${origin}/client-metadata.json`
  })
  afterAll(async () => {
    await scene.close()
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })

  const rule = (verdict: string) =>
    scene.alice.call(`${R}.app.putRule`, { community: scene.community, clientId, verdict })
  const asks = async (binding: (typeof BINDINGS)[number], set = keys): Promise<string> => {
    const nowSec = scene.world.clock.nowSec()
    const word = await set.createJwt(
      { alg: 'ES256', typ: 'atproto-client-attestation+jwt' },
      {
        ...{ iss: clientId, sub: clientId, aud: `${scene.community}#atproto_space_host` },
        ...{ jti: freshJti(), iat: nowSec, exp: nowSec + 60 },
      },
    )
    const body = { space: scene.forum, clientAttestation: word }
    const answer = await exchange(scene, { binding, space: scene.forum, body })
    return answer.status === 200 ? 'in' : answer.body.error
  }

  it.each(BINDINGS)(
    'is denied, allowed, in by its new key and not by the old one, and denied again (%s)',
    async (binding) => {
      await rule('deny')
      expect(await asks(binding)).toBe('AppNotAuthorized')
      await rule('allow')
      expect(await asks(binding)).toBe('in')
      const old = keys
      keys = await makeKeys(`next-${binding}`)
      scene.world.clock.moveSec(APP_REFRESH_FLOOR_SEC + 1)
      expect(await asks(binding)).toBe('in')
      expect(await asks(binding, old)).toBe('InvalidClientAttestation')
      await rule('deny')
      expect(await asks(binding)).toBe('AppNotAuthorized')
    },
  )
})
