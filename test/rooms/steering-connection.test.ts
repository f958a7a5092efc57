/** An owner connects the account of a community at a real PDS, and nobody else does. */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyServiceAuth } from '../../src/identity/service-auth.ts'
import type { Did } from '../../src/names.ts'
import { openLog } from '../../src/platform/log.ts'
import { accepted, FORUM_TYPE, R } from '../kit/adopted.ts'
import {
  ASKS,
  auditOf,
  type ConnectScene,
  connectAccount,
  newLink,
  OwnerBrowser,
  openConnectScene,
  PUBLIC_HOST,
  SPACE_SCOPE,
  sessionOf,
  steeringOf,
  throughThePds,
} from '../kit/connecting.ts'
import { describeOnEachEngine, openTestDatabase } from '../kit/databases.ts'
import { HolderBrowser } from '../kit/oauth-login.ts'
import { type Account, startPds } from '../kit/pds.ts'
import { startPlcServer } from '../kit/plc.ts'
import { routeHost } from '../kit/routed-hosts.ts'
import { type SpacesPds, startSpacesPds } from '../kit/spaces-pds.ts'

let plc: Awaited<ReturnType<typeof startPlcServer>>
let pds: SpacesPds
beforeAll(async () => {
  plc = await startPlcServer()
  pds = await startSpacesPds(plc.url, { generation: 'october' })
})
afterAll(async () => {
  await pds.close()
  await plc.close()
})

let named = 0
const newAccount = (): Promise<Account> => {
  named += 1
  return pds.createAccount(`garden${named}`)
}
const open = async (
  database: Parameters<typeof openConnectScene>[0],
  more: Partial<Parameters<typeof openConnectScene>[1]> = {},
) => openConnectScene(database, { plcUrl: plc.url, pds, account: await newAccount(), ...more })

const NOTIFY = 'com.atproto.space.notifyCredentialRevoked'

describeOnEachEngine('connecting', (openDatabase) => {
  let scene: ConnectScene
  const lines: string[] = []
  beforeAll(async () => {
    const log = openLog('debug', { write: (line) => void lines.push(line) })
    scene = await open(await openDatabase(), { log })
  })
  afterAll(() => scene.close())

  it('leads from a link to a grant', async () => {
    expect((await steeringOf(scene)).connection).toBeUndefined()
    const page = await connectAccount(scene)
    expect([page.status, page.headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(page.body).toContain('All that was asked for was granted')
    const { connection, alarms, spaces } = await steeringOf(scene)
    expect(connection).toMatchObject({ state: 'connected', asked: ASKS, missing: [], connectedBy: scene.alice.did })
    expect(connection.granted).toContain(SPACE_SCOPE.replace('?', `?authority=${scene.account.did}&`))
    expect([alarms, spaces]).toEqual([[], []])
    expect((await auditOf(scene)).map(({ action, actor }) => [action, actor])).toEqual([
      ['steering.connect', scene.alice.did],
      ['steering.connected', scene.alice.did],
    ])
  })

  it('is with a client that proves itself, under a name that lists what it asks', async () => {
    const [grant] = await scene.account.browser().grants()
    expect(grant?.clientId).toBe(`https://${PUBLIC_HOST}/oauth/client-metadata.json?type=${FORUM_TYPE}`)
    expect((await sessionOf(scene)).authMethod.method).toBe('private_key_jwt')
  })

  it('then calls as the account', async () => {
    const { sessions } = scene.world.reeve.house
    const did = scene.account.did as Did
    const answer = await sessions.call(did, { nsid: 'com.atproto.server.getSession' })
    expect(answer).toMatchObject({ is: 'answered', body: { did } })
    const refused = await sessions.call(did, { nsid: 'com.atproto.repo.createRecord', body: {} })
    expect(refused).toMatchObject({ is: 'refused', error: 'InvalidRequest' })
    expect(await sessions.call(did, { nsid: 'com.example.no.suchMethod', body: {} })).toMatchObject({ is: 'refused' })
    const unscoped = await sessions.call(did, {
      nsid: 'com.atproto.server.getServiceAuth',
      params: { aud: 'did:web:writer.example.com', lxm: 'com.atproto.space.notifyWrite' },
    })
    expect(unscoped).toEqual({ is: 'unscoped' })
  })

  it('has the PDS sign service auth in its name, for the method and the receiver that were asked', async () => {
    const { sessions, documents, clock } = scene.world.reeve.house
    const did = scene.account.did as Did
    const token = await sessions.serviceAuth(did, 'did:web:writer.example.com', NOTIFY)
    const auth = await verifyServiceAuth({
      ...{ token: token ?? '', nowSec: clock.nowSec(), audiences: ['did:web:writer.example.com'], lxm: NOTIFY },
      keyOf: async (of) => (await documents.resolve(of))?.key('atproto') ?? null,
    })
    expect(auth.iss).toBe(did)
    expect(await sessions.serviceAuth(did, 'did:web:writer.example.com', 'com.atproto.space.notifyWrite')).toBeNull()
  })

  it('leaves no token, and no word of a link or a browser, in any table or line of the log', async () => {
    const link = await newLink(scene)
    const browser = new OwnerBrowser(scene.world)
    await browser.open(link)
    await browser.goOn(link)
    const { tokenSet, dpopJwk } = await sessionOf(scene)
    const secrets = [
      ...[tokenSet.access_token, tokenSet.refresh_token ?? '', String('d' in dpopJwk ? dpopJwk.d : '')],
      ...[new URL(link).searchParams.get('link') ?? '', ...browser.cookies.values()],
    ]
    expect(secrets.every((secret) => secret.length > 20)).toBe(true)
    const { db } = scene.world.database
    const { rows } = await sql<{ name: string }>`select table_name as name from information_schema.tables
      where table_schema = current_schema()`.execute(db)
    const texts = [lines.join('\n')]
    for (const { name } of rows) {
      const held = await sql<{
        all: string | null
      }>`select string_agg(t::text, ' ') as all from ${sql.table(name)} t`.execute(db)
      texts.push(held.rows[0]?.all ?? '')
    }
    const whole = texts.join('\n')
    for (const secret of secrets) {
      const spellings = [
        secret,
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64').slice(0, 40),
      ]
      expect(spellings.map((text) => whole.includes(text))).toEqual([false, false, false])
    }
  })

  it('is given back, and then there is none', async () => {
    expect((await scene.account.browser().grants()).length).toBe(1)
    const input = { community: scene.account.did }
    expect((await scene.world.send({ path: '/' })).status).toBe(404)
    const bob = await scene.world.person()
    expect((await bob.call(`${R}.steering.disconnect`, input)).body.error).toBe('NotFound')
    accepted(await scene.alice.call(`${R}.steering.disconnect`, input))
    expect(await scene.account.browser().grants()).toEqual([])
    expect((await steeringOf(scene)).connection).toBeUndefined()
    const { sessions } = scene.world.reeve.house
    const nsid = 'com.atproto.server.getSession'
    expect(await sessions.call(scene.account.did as Did, { nsid })).toEqual({ is: 'unconnected' })
    expect((await scene.alice.call(`${R}.steering.disconnect`, input)).body.error).toBe('NotConnected')
  })
})

describe('a browser', () => {
  let scene: ConnectScene
  beforeAll(async () => {
    scene = await open(await openTestDatabase('embedded'))
  })
  afterAll(() => scene.close())

  /** The answer is a page that says no, and nothing about the grant is different. */
  async function expectRefused(answer: Promise<{ status: number; body: string }>, says: RegExp) {
    const before = (await steeringOf(scene)).connection
    const { status, body } = await answer
    expect([status, body.includes('BadLogin')]).toEqual([400, true])
    expect(body).toMatch(says)
    expect((await steeringOf(scene)).connection).toEqual(before)
  }

  it('is shown which community, which account and what will be asked, in a page that nothing foreign can get into', async () => {
    const link = await newLink(scene)
    const browser = new OwnerBrowser(scene.world)
    const { status, headers, body } = await browser.open(link)
    expect(status).toBe(200)
    expect(body).toContain('Allotments &lt;&amp;&gt;')
    for (const text of [scene.account.did, FORUM_TYPE, 'Go on to your PDS']) expect(body).toContain(text)
    expect(body).not.toMatch(/<script|javascript:|onclick/i)
    const policy = String(headers['content-security-policy'])
    expect(policy).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self' http:\/\/localhost:\d+; frame-ancestors 'none'/,
    )
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'same-origin' })
    expect(headers['access-control-allow-origin']).toBeUndefined()
    expect(headers['set-cookie']).toBeUndefined()
    const gone = await browser.goOn(link)
    expect(gone).toMatchObject({ status: 303, headers: { 'referrer-policy': 'no-referrer' } })
    const [cookie = ''] = [gone.headers['set-cookie'] ?? []].flat()
    expect(cookie).toMatch(
      /^__Host-reeve-connect-[0-9a-f]{16}=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=600; Secure$/,
    )
    // Again in the same browser is no other browser.
    expect((await browser.open(link)).status).toBe(200)
  })

  it('that only looks does not take a link from whoever goes on from it', async () => {
    const link = await newLink(scene)
    const looking = new OwnerBrowser(scene.world)
    expect((await looking.open(link)).status).toBe(200)
    expect(looking.cookies.size).toBe(0)
    const own = new OwnerBrowser(scene.world)
    expect((await own.goOn(link)).status).toBe(303)
    expect(own.cookies.size).toBe(1)
    await expectRefused(looking.goOn(link), /another browser/i)
  })

  it('that goes on beside another one is the only one that does', async () => {
    const link = await newLink(scene)
    const browsers = [1, 2, 3].map(() => new OwnerBrowser(scene.world))
    const gone = await Promise.all(browsers.map((browser) => browser.goOn(link)))
    expect(gone.map(({ status }) => status).toSorted()).toEqual([303, 400, 400])
    const [winner] = browsers.filter((_, at) => gone[at]?.status === 303)
    const url = String(gone.find(({ status }) => status === 303)?.headers['location'])
    const back = await new HolderBrowser(new URL(url).origin, scene.account).authorize(url)
    expect((await winner?.open(back.href))?.status).toBe(200)
  })

  it('other than the first can not go on from a link, nor bring back what it did not begin', async () => {
    const link = await newLink(scene)
    const first = new OwnerBrowser(scene.world)
    const back = await throughThePds(scene, first, link)
    const second = new OwnerBrowser(scene.world)
    await expectRefused(second.open(link), /another browser/i)
    await expectRefused(second.goOn(link), /another browser/i)
    await expectRefused(second.open(back), /another browser/i)
    const guessing = new OwnerBrowser(scene.world)
    for (const name of first.cookies.keys()) guessing.cookies.set(name, 'A'.repeat(43))
    await expectRefused(guessing.open(back), /another browser/i)
    // What was refused there is good still where it was begun.
    expect((await first.open(back)).status).toBe(200)
    expect((await steeringOf(scene)).connection.state).toBe('connected')
  })

  it('goes on by the button of our own page only', async () => {
    const link = await newLink(scene)
    const browser = new OwnerBrowser(scene.world)
    await browser.open(link)
    await expectRefused(browser.goOn(link, [['sec-fetch-site', 'cross-site']]), /another page/)
    await expectRefused(browser.goOn(link, [['origin', 'https://evil.example']]), /another page/)
    await expectRefused(browser.goOn(link, []), /another page/)
    expect((await browser.goOn(link, [['origin', `https://${PUBLIC_HOST}`]])).status).toBe(303)
  })

  it('brings back a state once, within ten minutes, from the server that was asked', async () => {
    const browser = new OwnerBrowser(scene.world)
    const used = await throughThePds(scene, browser, await newLink(scene))
    const kept = new Map(browser.cookies)
    expect((await browser.open(used)).status).toBe(200)
    for (const [name, value] of kept) browser.cookies.set(name, value)
    await expectRefused(browser.open(used), /waiting for this/)

    const wrong = new URL(await throughThePds(scene, browser, await newLink(scene)))
    wrong.searchParams.set('iss', 'https://evil.example')
    await expectRefused(browser.open(wrong.href), /not one to the question/)
    wrong.searchParams.set('iss', pds.url)
    await expectRefused(browser.open(wrong.href), /waiting for this/)

    const forged = new URL(used)
    forged.searchParams.set('state', 'A'.repeat(22))
    await expectRefused(browser.open(forged.href), /waiting for this/)

    const late = await newLink(scene)
    const back = await throughThePds(scene, browser, late)
    scene.world.clock.moveSec(11 * 60)
    await expectRefused(browser.open(back), /ten minutes/)
    await expectRefused(browser.open(late), /ten minutes|leads nowhere/)
  })

  it('of somebody else who signs in is turned away, and their grant is given back', async () => {
    const other = await newAccount()
    const browser = new OwnerBrowser(scene.world)
    const back = await throughThePds(scene, browser, await newLink(scene), { holder: other })
    await expectRefused(browser.open(back), /somebody else signed in/i)
    expect(await other.browser().grants()).toEqual([])
  })

  it('of somebody who declines changes nothing', async () => {
    const browser = new OwnerBrowser(scene.world)
    const back = await throughThePds(scene, browser, await newLink(scene), { deciding: 'decline' })
    await expectRefused(browser.open(back), /declined/)
  })

  it('is told to ask for any type where the PDS does not know one, and can', async () => {
    pds.undeclared(FORUM_TYPE)
    const browser = new OwnerBrowser(scene.world)
    const link = await newLink(scene)
    const back = await throughThePds(scene, browser, link)
    await expectRefused(browser.open(back), /any type/)
    expect((await connectAccount(scene, { anyType: true })).status).toBe(200)
    pds.undeclared()
    const { connection } = await steeringOf(scene)
    expect(connection).toMatchObject({ state: 'connected', missing: [] })
    expect(connection.asked[1]).toBe('space:*?action=read_self&manage=create&manage=update&manage=delete')
  })

  it('that connects anew leaves one grant at the PDS, although it is to another name of ours', async () => {
    await connectAccount(scene, { spaceTypes: ['com.example.other', FORUM_TYPE] })
    const grants = await scene.account.browser().grants()
    expect(grants.map(({ clientId }) => new URL(clientId).search)).toEqual([
      `?type=${FORUM_TYPE}&type=com.example.other`,
    ])
  })
})

describe('a PDS', () => {
  let scene: ConnectScene
  beforeAll(async () => {
    scene = await open(await openTestDatabase('embedded'))
  })
  afterAll(() => scene.close())

  it('that is away is said to be, and the link stays good', async () => {
    const link = await newLink(scene)
    const browser = new OwnerBrowser(scene.world)
    pds.troubled({ path: '/.well-known/oauth-protected-resource', how: 503 })
    const away = await browser.open(link)
    expect([away.status, String(away.body).includes('UpstreamFailure')]).toEqual([502, true])
    expect(away.headers['content-type']).toBe('text/html; charset=utf-8')
    expect((await browser.open(link)).status).toBe(200)
    pds.troubled({ path: '/oauth/par', how: 503 })
    expect((await browser.goOn(link)).status).toBe(502)
    const back = await throughThePds(scene, browser, link)
    pds.troubled({ path: '/oauth/token', how: 503 })
    expect((await browser.open(back)).status).toBe(400)
    expect((await steeringOf(scene)).connection).toBeUndefined()
  })

  it('that can not read what we are says so, and nothing was begun', async () => {
    const link = await newLink(scene)
    const browser = new OwnerBrowser(scene.world)
    await browser.open(link)
    const clientId = `https://${PUBLIC_HOST}/oauth/client-metadata.json?type=${FORUM_TYPE}`
    await pds.oauth.forgetDocument(clientId)
    const lost = routeHost(PUBLIC_HOST, 'http://localhost:1')
    const page = await browser.goOn(link)
    expect([page.status, String(page.body)]).toEqual([400, expect.stringContaining('does not take this service')])
    lost.leadTo(scene.world.url)
    expect((await browser.goOn(link)).status).toBe(303)
  })
})

describe('a grant', () => {
  it('of less than was asked is shown as such, with what is missing', async () => {
    const published = await startPds(plc.url)
    const account = await published.createAccount('holder')
    const scene = await open(await openTestDatabase('embedded'), { pds: published, account })
    const page = await connectAccount(scene)
    expect(page.body).toContain('granted less than was asked')
    const { connection, alarms } = await steeringOf(scene)
    expect(connection).toMatchObject({ state: 'narrowed', missing: [SPACE_SCOPE] })
    expect(alarms).toMatchObject([{ name: 'GrantNarrowed' }])
    await scene.close()
    await published.close()
  })

  it('to a client on loopback is by a name that is its document', async () => {
    const scene = await open(await openTestDatabase('embedded'), { isLoopback: true })
    expect(new URL(await newLink(scene)).hostname).toBe('127.0.0.1')
    const page = await connectAccount(scene)
    expect(page.status).toBe(200)
    expect((await steeringOf(scene)).connection).toMatchObject({ state: 'connected', missing: [] })
    expect((await scene.world.send({ path: '/oauth/client-metadata.json' })).status).toBe(404)
    expect((await scene.world.send({ path: '/oauth/jwks.json' })).body).toEqual({ keys: [] })
    await scene.close()
  })
})

describe('beginning', () => {
  let scene: ConnectScene
  beforeAll(async () => {
    scene = await open(await openTestDatabase('embedded'))
  })
  afterAll(() => scene.close())
  const begin = (by: ConnectScene['alice'], more: object = {}) =>
    by.call(`${R}.steering.connect`, { community: scene.account.did, ...more })

  it('is for owners of an account that consents', async () => {
    const bob = await scene.world.person()
    expect((await begin(bob)).body.error).toBe('NotFound')
    accepted(
      await scene.alice.call(`${R}.member.put`, {
        space: `at://${scene.account.did}/space/community.reeve.roster/self`,
        did: bob.did,
        role: 'admin',
      }),
    )
    expect((await begin(bob)).body.error).toBe('Forbidden')
    expect((await bob.ask(`${R}.steering.get`, { community: scene.account.did })).status).toBe(200)
    const carol = await scene.world.person()
    expect((await carol.ask(`${R}.steering.get`, { community: scene.account.did })).body.error).toBe('NotFound')
    const founded = await scene.world.found(scene.alice)
    const answer = await scene.alice.call(`${R}.steering.connect`, { community: founded })
    expect(answer.body.error).toBe('UnsupportedHost')
  })

  it('asks for no type of ours, and for so many at most', async () => {
    expect((await begin(scene.alice, { spaceTypes: ['community.reeve.role'] })).body.error).toBe('InvalidRequest')
    const long = Array.from(
      { length: 32 },
      (_, at) =>
        `com.example.${'verylong'.repeat(7)}.type${'abcdefghijklmnopqrstuvwxyz'[at % 26]}${at > 25 ? 'x' : ''}`,
    )
    expect((await begin(scene.alice, { spaceTypes: long })).body.error).toBe('LimitExceeded')
  })

  it('names documents that hold nothing private, and no others', async () => {
    const { send } = scene.world
    const { body } = await send({ path: `/oauth/client-metadata.json?type=${FORUM_TYPE}` })
    expect(body).toMatchObject({
      client_id: `https://${PUBLIC_HOST}/oauth/client-metadata.json?type=${FORUM_TYPE}`,
      ...{ token_endpoint_auth_method: 'private_key_jwt', dpop_bound_access_tokens: true, scope: ASKS.join(' ') },
      jwks_uri: `https://${PUBLIC_HOST}/oauth/jwks.json`,
    })
    const keys = (await send({ path: '/oauth/jwks.json' })).body
    expect(Object.keys(keys.keys[0]).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    for (const query of ['?type=', '?type=b.c.d&type=a.b.c', '?type=a.b.c&x=1', '?type=community.reeve.role', '?'])
      expect((await send({ path: `/oauth/client-metadata.json${query}` })).status, query).toBe(
        query === '?' ? 200 : 400,
      )
  })

  it('can be open ten times', async () => {
    for (let at = 0; at < 10; at += 1) expect((await begin(scene.alice)).status).toBe(200)
    expect((await begin(scene.alice)).body.error).toBe('LimitExceeded')
    scene.world.clock.moveSec(11 * 60)
    expect((await begin(scene.alice)).status).toBe(200)
  })
})

it('nothing is connected any more without the consent of the account', async () => {
  const scene = await open(await openTestDatabase('embedded'))
  const link = await newLink(scene)
  const browser = new OwnerBrowser(scene.world)
  const back = await throughThePds(scene, browser, link)
  const token = await scene.account.serviceAuth(`${scene.world.config.serviceDid}#reeve`, `${R}.community.release`)
  const released = await scene.world.send({
    method: 'POST',
    path: `/xrpc/${R}.community.release`,
    headers: [
      ['authorization', `Bearer ${token}`],
      ['content-type', 'application/json'],
    ],
    body: '{}',
  })
  accepted(released)
  const page = await browser.open(back)
  expect([page.status, String(page.body).includes('BadLogin')]).toEqual([400, true])
  expect(await scene.account.browser().grants()).toEqual([])
  const again = await scene.alice.call(`${R}.steering.connect`, { community: scene.account.did })
  expect(again.body.error).toBe('UnsupportedHost')
  await scene.close()
})
