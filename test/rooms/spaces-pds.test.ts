/** A real PDS with played spaces: who is let in by OAuth manages them as far as the scopes go, and no further. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { GENERATIONS } from '../kit/asking-host.ts'
import { type OAuthApp, OAuthSession, startOAuthApp } from '../kit/oauth-app.ts'
import type { Account } from '../kit/pds.ts'
import { SETTINGS, SIMPLESPACE } from '../kit/played-simplespaces.ts'
import { startPlcServer } from '../kit/plc.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'

const TYPE = 'com.example.group'
const MANAGE = `space:${TYPE}?action=read_self&manage=create&manage=update&manage=delete`
const READ = `space:${TYPE}?action=read_self`
const OTHER = 'did:plc:otherotherotherotherot22'

let plc: Awaited<ReturnType<typeof startPlcServer>>
let app: OAuthApp

beforeAll(async () => {
  plc = await startPlcServer()
  app = await startOAuthApp('reeve.community', `atproto ${MANAGE} ${READ}`)
})
afterAll(async () => {
  await app.close()
  await plc.close()
})

async function open(pds: SpacesPds, account: Account, scope: string) {
  const session = await OAuthSession.open(pds.url, app)
  const back = await account.browser().authorize(await session.authorizationUrl(`atproto ${scope}`))
  if (back.searchParams.has('code')) expect((await session.redeem(back)).status).toBe(200)
  const call = (name: string, body: object) => session.call(SIMPLESPACE + name, { body })
  const created = { policy: SETTINGS.memberList, readPolicy: SETTINGS.memberList, writePolicy: SETTINGS.memberList }
  const create = (skey: string) =>
    call('createSpace', { ...created, type: TYPE, spaceType: TYPE, skey, appAccess: SETTINGS.open })
  return { session, back, call, create }
}

describe.each(GENERATIONS)('a PDS of %s', (generation) => {
  let pds: SpacesPds
  let garden: Account

  beforeAll(async () => {
    pds = await startSpacesPds(plc.url, { generation })
    garden = await pds.createAccount('garden')
  })
  afterAll(() => pds.close())

  it('has an app with the scopes for it make a space and put members there, after a refresh too', async () => {
    const { session, create, call } = await open(pds, garden, MANAGE)
    const uri = `at://${garden.did}/space/${TYPE}/first`
    expect((await create('first')).body).toEqual({ uri })
    expect((await session.refresh()).status).toBe(200)
    const name = generation === 'august' ? 'addMember' : 'putMember'
    expect((await call(name, { space: uri, did: OTHER, read: true, write: true })).status).toBe(200)
    expect(pds.spaces.members(uri).get(OTHER)).toEqual({ read: true, write: true })
  })

  it('says which scopes it gave, with the account in place of self, and refuses what they do not cover', async () => {
    const { session, create } = await open(pds, garden, READ)
    expect(session.tokens['scope']).toBe(`atproto space:${TYPE}?authority=${garden.did}&action=read_self`)
    const refused = await create('second')
    expect([refused.status, refused.body.error]).toEqual([403, 'ScopeMissingError'])
  })

  it('refuses tokens that ran out or were taken back as its own methods do', async () => {
    const { session, create } = await open(pds, garden, MANAGE)
    pds.oauth.expireAccessTokens()
    const late = await create('third')
    expect([late.status, late.body.error]).toEqual([401, 'invalid_token'])
    expect(String(late.headers['www-authenticate'])).toContain('error="invalid_token"')
    expect((await session.refresh()).status).toBe(200)
    expect((await create('third')).status).toBe(200)
    await pds.oauth.endSessions(garden.did)
    expect((await create('fourth')).status).toBe(401)
  })
})

describe('a PDS', () => {
  it('that grants less says so', async () => {
    const pds = await startSpacesPds(plc.url, { generation: 'october' })
    const holder = await pds.createAccount('holder')
    pds.grantsOnly((scopes) => scopes.filter((scope) => !scope.includes('manage=')))
    const { session, create } = await open(pds, holder, MANAGE)
    expect(session.tokens['scope']).toBe('atproto')
    expect((await create('first')).status).toBe(403)
    pds.undeclared(TYPE)
    const { back } = await open(pds, holder, MANAGE)
    expect(back.searchParams.get('error')).toBe('invalid_scope')
    await pds.close()
  })

  it('without spaces drops their scopes and has none of their methods', async () => {
    const pds = await startSpacesPds(plc.url, { generation: 'october', knowsSpaces: false })
    const { session, create } = await open(pds, await pds.createAccount('holder'), MANAGE)
    expect(session.tokens['scope']).toBe('atproto')
    expect((await create('first')).status).toBeGreaterThanOrEqual(400)
    expect(pds.spaces.count()).toBe(0)
    await pds.close()
  })
})
