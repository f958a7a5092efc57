/**
 * A PDS as far as it asks a managing app: whom it asks and how, byte for byte as the reference was seen to do it, and what it makes of the
 * answer. It has no patience of its own and asks once; but what a slow machine didn't decide in time is asked again here.
 *
 * August has one policy for reading and writing and says nothing of what for; October says it. Both name an app only where one proved
 * itself at the mint, and neither asks about the authority itself.
 */
import { randomBytes } from 'node:crypto'
import type { Did } from '../../src/names.ts'
import { decidedInTime } from './decided.ts'
import { type Answer, type RawRequest, sendRaw } from './raw-request.ts'
import { type Changes, makeServiceJwt, type TestKey } from './tokens.ts'

export const CHECK_USER_ACCESS = 'com.atproto.simplespace.checkUserAccess'

export const GENERATIONS = ['august', 'october'] as const
export type Generation = (typeof GENERATIONS)[number]

/** An account whose spaces the PDS keeps, with the key by which it signs in the account's name. */
export interface HostedAccount {
  readonly did: Did
  readonly key: TestKey
}

export interface Question {
  readonly space: string
  readonly user: string
  readonly access?: string
  readonly clientId?: string
}

/** A question with its parts open to change; what is left out is as it should be. */
export interface Asked extends Question {
  readonly by: HostedAccount
  readonly aud?: string
  readonly lxm?: string
  readonly changes?: Changes
  /** In place of the whole token, or of the whole query. */
  readonly token?: string
  readonly query?: string
}

/** Whom to ask, and what time it is. */
export interface AskedAt {
  readonly url: string
  readonly managingApp: string
  readonly nowSec: number
}

/** A token as the PDS makes one for each question: 60 s, no kid. */
export function tokenOf({ managingApp, nowSec }: Omit<AskedAt, 'url'>, asked: Omit<Asked, keyof Question>): string {
  const { by, aud = managingApp, lxm = CHECK_USER_ACCESS, changes } = asked
  const jti = randomBytes(16).toString('hex')
  return makeServiceJwt({ key: by.key, iss: by.did, aud, lxm, nowSec, jti, ...changes })
}

const queryOf = ({ space, user, access, clientId }: Question): string => {
  const params = { space, user, ...(access === undefined ? {} : { access }) }
  return String(new URLSearchParams({ ...params, ...(clientId === undefined ? {} : { clientId }) }))
}

/** The request as Node's own client sends it, line by line. */
export function askOf(at: AskedAt, asked: Asked): RawRequest {
  const token = asked.token ?? tokenOf(at, asked)
  return {
    path: `/xrpc/${CHECK_USER_ACCESS}?${asked.query ?? queryOf(asked)}`,
    headers: [
      ['host', new URL(at.url).host],
      ['connection', 'keep-alive'],
      ['authorization', `Bearer ${token}`],
      ['accept', 'application/json'],
      ['accept-language', '*'],
      ['sec-fetch-mode', 'cors'],
      ['user-agent', 'node'],
      ['accept-encoding', 'gzip, deflate'],
    ],
  }
}

/** What counts as yes there. Whatever else comes, and however it fails, is a no. */
export const letsIn = ({ status, headers, body }: Answer): boolean =>
  status === 200 &&
  /^application\/json\b/.test(String(headers['content-type'])) &&
  typeof body === 'object' &&
  body?.authorized === true

/** How a question ended, as one word: in, out, or how it went wrong. */
export function saidOf(answer: Answer): string {
  if (answer.status !== 200) return `${answer.status} ${answer.body?.error}`
  return letsIn(answer) ? 'in' : 'out'
}

export interface AskingHost {
  readonly generation: Generation
  readonly managingApp: string
  /** Somebody wants a credential, with an app that proved itself or with one that didn't. */
  mint(by: HostedAccount, space: string, user: Did, clientId?: string): Promise<boolean>
  /** Somebody wrote. */
  write(by: HostedAccount, space: string, user: Did): Promise<boolean>
  /** The bare answer to any question. One that nothing was decided about in time is put again, as another one. */
  ask(asked: Asked): Promise<Answer>
  /** The bare answer, also when it is that. */
  askOnce(asked: Asked): Promise<Answer>
  request(asked: Asked): Promise<RawRequest>
}

/** A PDS that has stored `managingApp` for its spaces. The service's document is fetched once, and then remembered. */
export function openAskingHost(given: {
  readonly managingApp: string
  readonly generation: Generation
  readonly clock: { nowSec(): number }
}): AskingHost {
  const { managingApp, generation, clock } = given
  let endpoint: Promise<string> | null = null
  const at = async (): Promise<AskedAt> => {
    endpoint ??= endpointOf(managingApp)
    return { url: await endpoint, managingApp, nowSec: clock.nowSec() }
  }
  const request = async (asked: Asked) => askOf(await at(), asked)
  const askOnce = async (asked: Asked) => sendRaw((await at()).url, await request(asked))
  const ask = (asked: Asked) => decidedInTime(() => askOnce(asked), isUndecided)
  const says = (access: string) => (generation === 'october' ? { access } : {})
  const isLet = async (asked: Asked) => asked.user === asked.by.did || letsIn(await ask(asked).catch(() => NO_ANSWER))
  return {
    ...{ generation, managingApp, ask, askOnce, request },
    mint: (by, space, user, clientId) =>
      isLet({ by, space, user, ...says('read'), ...(clientId === undefined ? {} : { clientId }) }),
    write: (by, space, user) => isLet({ by, space, user, ...says('write') }),
  }
}

const isUndecided = ({ status }: Answer): boolean => status === 503 || status === 504

const NO_ANSWER: Answer = { status: 0, headers: {}, body: '' }

/** Where the entry of a did:web's document leads that the fragment names. Only the origin of it is used. */
async function endpointOf(managingApp: string): Promise<string> {
  const [did = '', fragment] = managingApp.split('#')
  const host = decodeURIComponent(did.slice('did:web:'.length))
  const document = (await (await fetch(`http://${host}/.well-known/did.json`)).json()) as {
    id: string
    service: readonly { id: string; serviceEndpoint: string }[]
  }
  const entry = document.service.find(({ id }) => id === `#${fragment}` || id === managingApp)
  if (document.id !== did || !entry) throw new Error(`no way to ${managingApp}`)
  return new URL(entry.serviceEndpoint).origin
}
