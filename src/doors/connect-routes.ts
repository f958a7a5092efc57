/**
 * The ways in that a browser takes to connect an account, and the two documents by which its PDS knows this service as an app.
 *
 * Nobody is signed in here: a cookie only says that it is the same browser as before. A form from another site, or a way back that another
 * browser was sent, changes nothing.
 */
import type { IncomingMessage } from 'node:http'
import { Refusal, Unavailable } from '../refusals.ts'
import { metadataOf, siteOf, typesOfQuery } from '../steering/client-metadata.ts'
import { type Cookies, comeBack, goOn, openLink } from '../steering/connecting.ts'
import type { Answer } from './answer.ts'
import type { Knocking } from './callers.ts'
import { connectedPage, connectPage, failedPage } from './connect-page.ts'
import type { House } from './house.ts'
import { EmptyBucket } from './rate-buckets.ts'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from './refusal-to-http.ts'
import { headerLines, readForm, readQuery } from './request.ts'

const FORM_MAX_BYTES = 4 * 1024

/** `/oauth/client-metadata.json`: what this service asks for as an app, under each of its names. */
export async function clientMetadata(house: Pick<House, 'publicUrl'>, query: string): Promise<Answer> {
  const types = typesOfQuery(query)
  const site = siteOf(house.publicUrl)
  // On loopback the client's name is its document, and there is none to fetch.
  if (site.isLoopback) return { status: 404, body: { error: 'NotFound', message: 'a loopback client has no document' } }
  if (!types) throw new Refusal('InvalidRequest', 'this is no name of the app that this service is')
  return { status: 200, body: metadataOf(site, types) }
}

/** `/oauth/jwks.json`: the public half of the key by which this service proves which app it is. @throws Unavailable */
export async function clientKeys(house: Pick<House, 'grants'>): Promise<Answer> {
  const key = await (await house.grants()).publicKey()
  return { status: 200, body: { keys: key ? [key] : [] } }
}

/** `/steering/connect`: what a link leads to, and going on from there. */
export const connect = (house: House, knocking: Knocking, query: string): Promise<Answer> =>
  asPage(house, async () => {
    const { incoming } = knocking
    const cookies = cookiesOf(house, incoming)
    if (incoming.method !== 'POST') {
      const link = wordOf(readQuery(query), 'link')
      return connectPage(await openLink(house, link, cookies), link)
    }
    requireOwnForm(house, incoming)
    const { url, cookie } = await goOn(house, wordOf(await readForm(incoming, FORM_MAX_BYTES), 'link'), cookies)
    const headers = { location: url, 'referrer-policy': 'no-referrer' }
    return withCookie(house, { status: 303, body: '', isPage: true, headers }, cookie)
  })

/** `/oauth/callback`: where the PDS sends the browser back to. */
export const callback = (house: House, { incoming }: Knocking, query: string): Promise<Answer> =>
  asPage(house, async () => {
    // Who only looks spends nothing.
    if (incoming.method !== 'GET') throw new Refusal('BadLogin', 'open this page in a browser', 'verb')
    const connected = await comeBack(house, readQuery(query), cookiesOf(house, incoming))
    return withCookie(house, connectedPage(connected), { name: connected.cookie, value: '' })
  })

/** The page, or one that says what went wrong. Our own mistakes are told as everywhere. */
async function asPage(house: House, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof EmptyBucket) throw error
    if (error instanceof Refusal) {
      house.log.debug('refused', { method: 'connect', code: error.code, because: error.because })
      return failedPage(STATUS_OF_REFUSAL[error.code], error.code, error.says)
    }
    if (!(error instanceof Unavailable)) throw error
    house.log.warn('unavailable', { method: 'connect', code: error.code, what: error.what })
    const says = 'It is not possible at the moment: this service, or the PDS, can’t be asked. Try again in a while.'
    return failedPage(STATUS_OF_UNAVAILABLE[error.code], error.code, says)
  }
}

function wordOf(params: URLSearchParams, name: string): string {
  const [word = '', ...others] = params.getAll(name)
  if (others.length > 0) throw new Refusal('BadLogin', 'this link says two things', 'doubled')
  return word
}

/** That the form was sent from our own page. Browsers say so themselves; one that doesn't must at least say its origin. */
function requireOwnForm(house: Pick<House, 'publicUrl'>, incoming: IncomingMessage): void {
  const sites = headerLines(incoming, 'sec-fetch-site')
  const origins = headerLines(incoming, 'origin')
  const { origin } = siteOf(house.publicUrl)
  const isOwn = sites.length > 0 ? sites.every((site) => site === 'same-origin') : origins.length === 1
  if (!isOwn || origins.some((line) => line !== origin))
    throw new Refusal('BadLogin', 'this was sent from another page: open the link again', 'origin')
}

/** `__Host-`: no other host, and nobody by plain http, can have set it. On loopback there is no https. */
const prefixOf = (house: Pick<House, 'publicUrl'>): string => (siteOf(house.publicUrl).isLoopback ? '' : '__Host-')

function cookiesOf(house: Pick<House, 'publicUrl'>, incoming: IncomingMessage): Cookies {
  const pairs = headerLines(incoming, 'cookie').flatMap((line) => line.split(';').map((pair) => pair.trim()))
  return (name) => {
    const start = `${prefixOf(house)}${name}=`
    const [found, ...others] = pairs.filter((pair) => pair.startsWith(start))
    // Two of one name: one of them was set by somebody else.
    return found === undefined || others.length > 0 ? null : found.slice(start.length)
  }
}

const COOKIE_SEC = 10 * 60

function withCookie(
  house: Pick<House, 'publicUrl'>,
  answer: Answer,
  cookie: { readonly name: string; readonly value: string } | null,
): Answer {
  if (!cookie) return answer
  const isSecure = !siteOf(house.publicUrl).isLoopback
  const line = [
    `${prefixOf(house)}${cookie.name}=${cookie.value}`,
    ...['Path=/', 'HttpOnly', 'SameSite=Lax', `Max-Age=${cookie.value === '' ? 0 : COOKIE_SEC}`],
    ...(isSecure ? ['Secure'] : []),
  ].join('; ')
  return { ...answer, headers: { ...answer.headers, 'set-cookie': line } }
}
