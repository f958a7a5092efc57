/**
 * The browser of an account holder at a real PDS, as far as signing in, letting an app in, and throwing it out again go: the requests that
 * the server's own pages send, with the headers of a browser and its cookies.
 *
 * It never runs a page; what the page would do next is written here.
 */
import { type Answer, sendRaw } from './raw-request.ts'

/** Who sits there: what they type in. */
export interface Holder {
  readonly did: string
  readonly handle: string
  readonly password: string
}

/** What they do when asked: let the app in, to all it asks for or to some of it, or not. */
export type Deciding = 'accept' | 'decline' | { readonly scope: string }

export interface OAuthGrant {
  readonly tokenId: string
  readonly clientId: string
  /** What was granted, as the account holder's page shows it. */
  readonly scope?: string
}

const API = '/@atproto/oauth-provider/~api'

/** Somebody's browser. Each has cookies of its own. */
export class HolderBrowser {
  private readonly origin: string
  private readonly holder: Holder
  private readonly cookies = new Map<string, string>()

  constructor(pdsUrl: string, holder: Holder) {
    this.origin = new URL(pdsUrl).origin
    this.holder = holder
  }

  /**
   * Follows an authorization URL to its end: where the PDS sends the browser back to, with `code`, `state` and `iss`, or with `error`.
   * The app's callback isn't opened.
   */
  async authorize(authorizationUrl: string, deciding: Deciding = 'accept'): Promise<URL> {
    const page = await this.open(authorizationUrl, { site: 'cross-site' })
    // A request that can't go on is sent back before anybody is asked.
    if (isRedirect(page)) return locationOf(page)
    if (page.status !== 200) throw new Error(`the page of consent answered ${page.status}`)
    const bearer = await this.signIn(authorizationUrl)
    const { url } = await this.decide(authorizationUrl, deciding, bearer)
    const sentBack = await this.open(url, { site: 'same-origin', referer: authorizationUrl })
    if (!isRedirect(sentBack)) throw new Error(`no way back to the app: ${sentBack.status}`)
    return locationOf(sentBack)
  }

  /** The apps that are let in now, as the account's page lists them. */
  async grants(): Promise<readonly OAuthGrant[]> {
    const page = await this.openAccount()
    return this.api(page, 'GET', `/oauth-sessions?did=${encodeURIComponent(this.holder.did)}`)
  }

  /** Throws apps out: one, or all. Answers how many sessions that ended. */
  async endGrants(clientId?: string): Promise<number> {
    const page = await this.openAccount()
    const ended = (await this.grants()).filter((grant) => clientId === undefined || grant.clientId === clientId)
    for (const { tokenId } of ended)
      await this.api(page, 'POST', '/revoke-oauth-session', { body: { did: this.holder.did, tokenId } })
    return ended.length
  }

  private async openAccount(): Promise<string> {
    const page = `${this.origin}/account`
    const opened = await this.open(page, { site: 'none' })
    if (opened.status !== 200) throw new Error(`the account's page answered ${opened.status}`)
    // There, signing in is remembered by the cookies.
    await this.signIn(page)
    return page
  }

  /** Signs in on a page, and answers the token that stands for it in the requests of that page, if there is one. */
  private async signIn(page: string): Promise<string | undefined> {
    const { handle, password } = this.holder
    const body = { locale: 'en', username: handle, password }
    const { ephemeralToken } = await this.api(page, 'POST', '/sign-in', { body })
    return ephemeralToken
  }

  private decide(page: string, deciding: Deciding, bearer?: string): Promise<{ readonly url: string }> {
    if (deciding === 'decline') return this.api(page, 'POST', '/reject', { body: {} })
    const scope = deciding === 'accept' ? {} : deciding
    return this.api(page, 'POST', '/consent', { body: { did: this.holder.did, ...scope }, bearer })
  }

  /** A page in the address line, or by a link. */
  private async open(url: string, from: { readonly site: string; readonly referer?: string }): Promise<Answer> {
    const { pathname, search } = new URL(url)
    return this.send('GET', pathname + search, [
      ['sec-fetch-site', from.site],
      ['sec-fetch-mode', 'navigate'],
      ['sec-fetch-dest', 'document'],
      ...(from.referer === undefined ? [] : [['referer', from.referer] as const]),
    ])
  }

  /** What a page asks of its server. */
  private async api(
    page: string,
    method: 'GET' | 'POST',
    path: string,
    { body, bearer }: { readonly body?: object; readonly bearer?: string | undefined } = {},
  ): Promise<Answer['body']> {
    const headers: (readonly [string, string])[] = [
      ['sec-fetch-site', 'same-origin'],
      ['sec-fetch-mode', 'same-origin'],
      ['sec-fetch-dest', 'empty'],
      ['referer', page],
      ['x-csrf-token', this.cookies.get('csrf-token') ?? ''],
      ...(body ? ([['content-type', 'application/json']] as const) : []),
      ...(method === 'POST' ? ([['origin', this.origin]] as const) : []),
      ...(bearer ? ([['authorization', `Bearer ${bearer}`]] as const) : []),
    ]
    const answer = await this.send(method, API + path, headers, body)
    if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  private async send(
    method: string,
    path: string,
    headers: readonly (readonly [string, string])[],
    body?: object,
  ): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const answer = await sendRaw(this.origin, {
      method,
      path,
      headers: [['accept', '*/*'], ...(cookie === '' ? [] : [['cookie', cookie] as const]), ...headers],
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    // They are for https only, but a loopback address counts for as good in every browser.
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [pair = ''] = line.split(';')
      this.cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1))
    }
    return answer
  }
}

const isRedirect = ({ status }: Answer): boolean => status === 302 || status === 303
const locationOf = ({ headers }: Answer): URL => new URL(String(headers['location']))

/** Signs somebody in with a fresh browser and answers where they are sent back to. */
export const logIn = (authorizationUrl: string, holder: Holder, deciding?: Deciding): Promise<URL> =>
  new HolderBrowser(authorizationUrl, holder).authorize(authorizationUrl, deciding)
