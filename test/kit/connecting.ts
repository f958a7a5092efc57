/**
 * The scene of a connection: a real PDS with an account on it, Reeve under a public name that leads to this machine, the account adopted and
 * owned by alice, with a space bound; and the browser of whoever connects, of which only the cookies and the forms are played.
 */
import { sql } from 'kysely'
import type { Did } from '../../src/names.ts'
import { loadConnection } from '../../src/steering/connection-store.ts'
import type { Session } from '../../src/steering/oauth-client.ts'
import { openSession } from '../../src/steering/sealed-session.ts'
import { accepted, FORUM_TYPE, R } from './adopted.ts'
import type { TestDatabase } from './databases.ts'
import type { Deciding } from './oauth-login.ts'
import { type Holder, HolderBrowser } from './oauth-login.ts'
import type { Account, TestPds } from './pds.ts'
import { type Answer, sendRaw } from './raw-request.ts'
import { routeHost } from './routed-hosts.ts'
import { openWorld, type Person, type World, type WorldOptions } from './world.ts'

export const PUBLIC_HOST = 'reeve.community'
export const SPACE_SCOPE = `space:${FORUM_TYPE}?action=read_self&manage=create&manage=update&manage=delete`
export const ASKS = ['atproto', SPACE_SCOPE, 'rpc:com.atproto.space.notifyCredentialRevoked?aud=*']

export interface ConnectScene {
  readonly world: World
  readonly alice: Person
  readonly account: Account
  close(): Promise<void>
}

/** Reeve, confidential unless it is to be a client on loopback, with the account adopted and one space of it bound. */
export async function openConnectScene(
  database: TestDatabase,
  given: WorldOptions & {
    readonly plcUrl: string
    readonly pds: TestPds
    readonly account: Account
    readonly isLoopback?: boolean
  },
): Promise<ConnectScene> {
  const { account, isLoopback = false } = given
  const world = await openWorld({ database, ...given, ...(isLoopback ? {} : { publicUrl: `https://${PUBLIC_HOST}` }) })
  const route = isLoopback ? null : routeHost(PUBLIC_HOST, world.url)
  // A scene before this one had the same name and another key, which a PDS believes for ten minutes.
  await given.pds.oauth.forgetDocument(`https://${PUBLIC_HOST}/oauth/jwks.json`)
  const alice = await world.person()
  const token = await account.serviceAuth(`${world.config.serviceDid}#reeve`, `${R}.community.adopt`)
  accepted(
    await world.send({
      method: 'POST',
      path: `/xrpc/${R}.community.adopt`,
      headers: [
        ['authorization', `Bearer ${token}`],
        ['content-type', 'application/json'],
      ],
      body: JSON.stringify({ name: 'Allotments <&>', owner: alice.did }),
    }),
  )
  const input = { community: account.did, spaceType: FORUM_TYPE, skey: 'main', host: 'pds' }
  accepted(await alice.call(`${R}.space.create`, input))
  return {
    ...{ world, alice, account },
    async close() {
      route?.close()
      await world.close()
    },
  }
}

/** What a browser does at Reeve: it keeps cookies, follows a link, sends the form, and opens the way back. */
export class OwnerBrowser {
  readonly cookies = new Map<string, string>()
  private readonly url: string
  private readonly origin: string

  constructor(world: Pick<World, 'url' | 'config'>) {
    this.url = world.url
    const { protocol, port } = new URL(world.config.publicUrl)
    this.origin = protocol === 'https:' ? world.config.publicUrl : `http://127.0.0.1:${port}`
  }

  open(link: string, headers: readonly (readonly [string, string])[] = []): Promise<Answer> {
    const { pathname, search } = new URL(link)
    return this.send('GET', pathname + search, [['sec-fetch-site', 'none'], ['sec-fetch-dest', 'document'], ...headers])
  }

  /** The button on the page of a link. */
  goOn(link: string, headers?: readonly (readonly [string, string])[]): Promise<Answer> {
    const own = [
      ['sec-fetch-site', 'same-origin'],
      ['origin', this.origin],
    ] as const
    const body = String(new URLSearchParams({ link: new URL(link).searchParams.get('link') ?? '' }))
    const type = ['content-type', 'application/x-www-form-urlencoded'] as const
    return this.send('POST', '/steering/connect', [type, ...(headers ?? own)], body)
  }

  private async send(
    method: string,
    path: string,
    headers: readonly (readonly [string, string])[],
    body?: string,
  ): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const lines = [...headers, ...(cookie === '' ? [] : [['cookie', cookie] as const])]
    const answer = await sendRaw(this.url, { method, path, headers: lines, ...(body === undefined ? {} : { body }) })
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair = ''] = line.split(';')
      const [name = '', value = ''] = pair.split('=')
      if (value === '') this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
    return answer
  }
}

/** From the link to where the PDS sends the browser back to; the way back isn't opened. */
export async function throughThePds(
  scene: ConnectScene,
  browser: OwnerBrowser,
  link: string,
  given: { readonly holder?: Holder; readonly deciding?: Deciding } = {},
): Promise<string> {
  const shown = await browser.open(link)
  if (shown.status !== 200) throw new Error(`the link answered ${shown.status}: ${shown.body}`)
  const gone = await browser.goOn(link)
  if (gone.status !== 303) throw new Error(`going on answered ${gone.status}: ${gone.body}`)
  const url = String(gone.headers['location'])
  const holder = given.holder ?? scene.account
  return (await new HolderBrowser(new URL(url).origin, holder).authorize(url, given.deciding)).href
}

/** The link of a new attempt. */
export async function newLink(scene: ConnectScene, more: object = {}): Promise<string> {
  return accepted(await scene.alice.call(`${R}.steering.connect`, { community: scene.account.did, ...more })).url
}

/** Connects the account from beginning to end, and answers the last page. */
export async function connectAccount(scene: ConnectScene, more: object = {}): Promise<Answer> {
  const browser = new OwnerBrowser(scene.world)
  return browser.open(await throughThePds(scene, browser, await newLink(scene, more)))
}

/** The tokens of the grant as they are kept, opened. */
export async function sessionOf(scene: ConnectScene): Promise<Session> {
  const { house } = scene.world.reeve
  const did = scene.account.did as Did
  const connection = await loadConnection(house.db, did)
  if (!connection?.sealed) throw new Error('no grant with tokens')
  return openSession(house, did, connection.sealed)
}

/** What the log of the community says of its grant, newest last. */
export async function auditOf(scene: ConnectScene): Promise<{ action: string; actor: string; because: object }[]> {
  const { rows } = await sql<{ action: string; actor: string; because: object }>`select action, actor, because
    from audit_entry where community = ${scene.account.did} and action like 'steering.%' order by id`.execute(
    scene.world.database.db,
  )
  return rows
}

export const steeringOf = async (scene: ConnectScene): Promise<Answer['body']> =>
  accepted(await scene.alice.ask(`${R}.steering.get`, { community: scene.account.did }))
