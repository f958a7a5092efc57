/** The account holder's browser at a real PDS lets apps in and throws them out, and the PDS answers as it does in the wild. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loopbackApp, type OAuthApp, OAuthSession, startOAuthApp } from '../kit/oauth-app.ts'
import type { Deciding } from '../kit/oauth-login.ts'
import { type Account, startPds, type TestPds } from '../kit/pds.ts'
import { startPlcServer } from '../kit/plc.ts'

const SCOPE = 'atproto rpc:com.atproto.space.notifyCredentialRevoked?aud=*'
const GET_SESSION = 'com.atproto.server.getSession'

let plc: Awaited<ReturnType<typeof startPlcServer>>
let pds: TestPds
let app: OAuthApp
let alice: Account

beforeAll(async () => {
  plc = await startPlcServer()
  pds = await startPds(plc.url)
  app = await startOAuthApp('reeve.community', SCOPE)
  alice = await pds.createAccount('alice')
})
afterAll(async () => {
  await app.close()
  await pds.close()
  await plc.close()
})

async function sentBack(by = app, deciding?: Deciding) {
  const session = await OAuthSession.open(pds.url, by)
  const url = await alice.browser().authorize(await session.authorizationUrl(SCOPE), deciding)
  return { session, url }
}

async function loggedIn(by = app, deciding?: Deciding) {
  const { session, url } = await sentBack(by, deciding)
  const answer = await session.redeem(url)
  expect(answer.status).toBe(200)
  return session
}

describe('logging in', () => {
  it.each(['confidential', 'loopback'])('lets a %s app in', async (kind) => {
    const by = kind === 'loopback' ? loopbackApp(SCOPE) : app
    const { session, url } = await sentBack(by)
    expect(url.href.startsWith(by.redirectUri)).toBe(true)
    expect(Object.fromEntries(url.searchParams)).toMatchObject({ iss: pds.url, state: 'a state' })
    expect((await session.redeem(url)).body).toMatchObject({ sub: alice.did, scope: SCOPE, token_type: 'DPoP' })
    expect((await session.call(GET_SESSION)).body).toMatchObject({ did: alice.did, handle: alice.handle })
  })

  it('grants less when the holder takes some away, and nothing when they decline', async () => {
    expect((await loggedIn(app, { scope: 'atproto' })).tokens['scope']).toBe('atproto')
    const { url } = await sentBack(app, 'decline')
    expect(url.searchParams.get('error')).toBe('access_denied')
  })

  it('is asked for no scope that the app did not declare, as far as the PDS remembers it', async () => {
    const more = `${SCOPE} transition:generic`
    const session = await OAuthSession.open(pds.url, app)
    expect((await session.push(more)).body).toMatchObject({ error: 'invalid_scope' })
    app.declare(more)
    expect((await session.push(more)).body).toMatchObject({ error: 'invalid_scope' })
    await pds.oauth.forgetDocument(app.clientId)
    expect((await session.push(more)).status).toBe(201)
  })
})

describe('a session', () => {
  it('gives service auth for what it has a scope for, to whomever', async () => {
    const session = await loggedIn()
    const params = { aud: 'did:web:writer.example.com', lxm: 'com.atproto.space.notifyCredentialRevoked' }
    expect((await session.call('com.atproto.server.getServiceAuth', { params })).status).toBe(200)
    const other = { ...params, lxm: 'com.atproto.space.notifyWrite' }
    const refused = await session.call('com.atproto.server.getServiceAuth', { params: other })
    expect([refused.status, refused.body.error]).toEqual([403, 'ScopeMissingError'])
  })

  it('is refreshed when its token ran out, and counted', async () => {
    const session = await loggedIn()
    const before = pds.oauth.count('refresh_token')
    pds.oauth.expireAccessTokens()
    expect((await session.call(GET_SESSION)).body.error).toBe('invalid_token')
    expect((await session.refresh()).status).toBe(200)
    expect((await session.call(GET_SESSION)).status).toBe(200)
    expect(pds.oauth.count('refresh_token')).toBe(before + 1)
  })

  it('has tokens that last as long as said', async () => {
    pds.oauth.accessTokensLast(30)
    expect(Number((await loggedIn()).tokens['expires_in'])).toBeLessThanOrEqual(30)
    pds.oauth.accessTokensLast(3600)
  })

  it('ends when a refresh token is used twice', async () => {
    const session = await loggedIn()
    const used = session.tokens['refresh_token']
    expect((await session.refresh()).status).toBe(200)
    expect((await session.refresh(used)).body).toMatchObject({ error: 'invalid_grant' })
    expect((await session.refresh()).body).toMatchObject({ error: 'invalid_grant' })
  })

  it('ends when nobody came for too long', async () => {
    const session = await loggedIn()
    await pds.oauth.ageSessions(alice.did, 80)
    expect((await session.refresh()).status).toBe(200)
    await pds.oauth.ageSessions(alice.did, 100)
    expect((await session.refresh()).body).toMatchObject({ error: 'invalid_grant' })
  })

  it('ends when the answer of a refresh is lost and it is tried again', async () => {
    const session = await loggedIn()
    pds.troubled({ path: '/oauth/token', how: 'cut', isDone: true })
    await expect(session.refresh()).rejects.toThrow()
    expect((await session.refresh()).body).toMatchObject({ error: 'invalid_grant' })
  })

  it('survives a refresh that never arrived, and waits for one that is held', async () => {
    const session = await loggedIn()
    pds.troubled({ path: '/oauth/token', how: 503, times: 2 })
    expect((await session.refresh()).status).toBe(503)
    expect((await session.refresh()).status).toBe(503)
    const held = pds.hold('/oauth/token')
    const refreshed = session.refresh()
    await held.arrived
    held.release()
    expect((await refreshed).status).toBe(200)
  })

  it('ends when the holder throws the app out', async () => {
    const session = await loggedIn()
    expect((await alice.browser().grants()).length).toBeGreaterThan(0)
    expect(await alice.browser().endGrants(app.clientId)).toBeGreaterThan(0)
    expect((await session.call(GET_SESSION)).status).toBe(401)
    expect((await session.refresh()).body).toMatchObject({ error: 'invalid_grant' })
    expect(pds.oauth.tokenCalls.at(-1)).toEqual({
      grantType: 'refresh_token',
      clientId: app.clientId,
      error: 'invalid_grant',
    })
  })
})
