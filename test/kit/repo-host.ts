/**
 * A repo host on loopback: a PDS as far as it is told which credentials were taken back. It believes nobody but the authority of the space,
 * named to one of its own accounts, keeps what it is told for 3,610 s, and refuses reads by it from then on.
 *
 * Keys come straight from the directory, and signatures are checked by the library that PDSes use, not by ours.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifySignature } from '@atproto/crypto'

const METHOD = 'com.atproto.space.notifyCredentialRevoked'
const KEPT_SEC = 3_610
const BATCH_MAX = 100

/** One call for the method as it came, and how it was answered. */
export interface HostCall {
  readonly aud: string
  readonly iss: string
  readonly space: string
  readonly credentials: readonly string[]
  status: number
}

/** `answers`: status in place of the work. `hangs`: never answers. `forgets`: does the work, and cuts the line in place of an answer. */
export type Behaviour = { readonly answers: number } | 'hangs' | 'forgets' | null

export interface RepoHost {
  readonly url: string
  /** As it stands in the table of writers. */
  readonly name: string
  readonly port: number
  /** The accounts that live here. */
  readonly accounts: Set<string>
  readonly calls: HostCall[]
  /** Names that were taken, each as often as it was. */
  readonly taken: () => readonly string[]
  behave(how: Behaviour): void
  /** A read by a credential of that name, as its holder would see it. */
  read(space: string, jti: string): 'served' | 'CredentialRevoked'
  /** How many names of a space it keeps. */
  kept(space: string): number
  /** Most calls that were open at once. */
  mostAtOnce(): number
  close(): Promise<void>
}

export async function startRepoHost(given: {
  plcUrl: string
  clock: { nowSec(): number }
  port?: number
}): Promise<RepoHost> {
  const { plcUrl, clock, port = 0 } = given
  const accounts = new Set<string>()
  const calls: HostCall[] = []
  const kept = new Map<string, number>()
  let behaviour: Behaviour = null
  let open = 0
  let most = 0
  const keyOf = (space: string, jti: string) => `${space} ${jti}`
  const isKept = (key: string) => (kept.get(key) ?? 0) > clock.nowSec()

  const judge = async (incoming: IncomingMessage, call: HostCall, token: string): Promise<number> => {
    if (incoming.url !== `/xrpc/${METHOD}` || incoming.method !== 'POST') return 404
    if (!(await isSignedBy(plcUrl, token, clock.nowSec()))) return 401
    if (!call.space.startsWith(`at://${call.iss}/space/`) || !accounts.has(call.aud)) return 403
    const { credentials } = call
    const isSound = Array.isArray(credentials) && credentials.length >= 1 && credentials.length <= BATCH_MAX
    if (!isSound || credentials.some((jti) => typeof jti !== 'string' || jti === '')) return 400
    for (const jti of credentials) kept.set(keyOf(call.space, jti), clock.nowSec() + KEPT_SEC)
    return 200
  }

  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const token = (incoming.headers.authorization ?? '').replace(/^Bearer /, '')
    const body = JSON.parse((await bodyOf(incoming)) || '{}')
    const { iss = '', aud = '' } = claimsOf(token)
    const call: HostCall = { iss, aud, space: body.space, credentials: body.credentials, status: 0 }
    calls.push(call)
    if (behaviour === 'hangs') return
    call.status =
      typeof behaviour === 'object' && behaviour !== null ? behaviour.answers : await judge(incoming, call, token)
    if (behaviour === 'forgets') outgoing.destroy()
    else outgoing.writeHead(call.status).end()
  }

  const server = createServer((incoming, outgoing) => {
    open += 1
    most = Math.max(most, open)
    outgoing.on('close', () => {
      open -= 1
    })
    answer(incoming, outgoing).catch(() => outgoing.destroy())
  })
  server.listen(port, 'localhost')
  await once(server, 'listening')
  const ownPort = (server.address() as AddressInfo).port
  return {
    url: `http://localhost:${ownPort}`,
    name: `localhost:${ownPort}`,
    port: ownPort,
    accounts,
    calls,
    taken: () => calls.filter(({ status }) => status === 200).flatMap(({ credentials }) => credentials),
    behave(how) {
      behaviour = how
    },
    read: (space, jti) => (isKept(keyOf(space, jti)) ? 'CredentialRevoked' : 'served'),
    kept: (space) => [...kept.keys()].filter((key) => key.startsWith(`${space} `) && isKept(key)).length,
    mostAtOnce: () => most,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

function claimsOf(token: string): Readonly<Record<string, string>> {
  const text = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')
  return text === '' ? {} : JSON.parse(text)
}

/** Service auth for exactly this method by the key that the directory has for the issuer, alive and short. */
async function isSignedBy(plcUrl: string, token: string, nowSec: number): Promise<boolean> {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const { iss = '', lxm, exp, iat, jti } = claimsOf(token) as Record<string, never>
  const lives = Number(exp) > nowSec && Number(exp) - Number(iat) <= 60 && Number(iat) <= nowSec + 5
  if (lxm !== METHOD || !lives || typeof jti !== 'string') return false
  const data = (await (await fetch(`${plcUrl}/${iss}/data`)).json()) as {
    verificationMethods?: { atproto?: string }
  }
  const didKey = data.verificationMethods?.atproto
  if (didKey === undefined) return false
  const signed = Buffer.from(`${header}.${payload}`)
  return verifySignature(didKey, signed, Buffer.from(signature, 'base64url'))
}

async function bodyOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}
