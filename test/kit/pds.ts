/**
 * A real PDS in this process (the published server), with accounts whose DIDs stand in the given PLC directory.
 *
 * The published server has no spaces yet, so the one thing it would do in the story, minting a delegation token, is played by
 * `signAs`: the same bytes it would sign, by the account's own key, which is read from the server's own key store.
 */

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { envToCfg, envToSecrets, PDS } from '@atproto/pds'
import { type OAuthKnobs, oauthKnobs } from './oauth-knobs.ts'
import { type Holder, HolderBrowser } from './oauth-login.ts'
import { freePort } from './ports.ts'
import { type Held, troubledWayIn, type WayInTrouble } from './troubled-way-in.ts'

const hex = (bytes: number): string => randomBytes(bytes).toString('hex')

export interface Account extends Holder {
  /** A browser of the account's holder, which has been nowhere yet. */
  browser(): HolderBrowser
  /** A service auth token for one method of a service, as the PDS gives it to its signed-in user. */
  serviceAuth(audience: string, method: string): Promise<string>
  /** What the user's app sends to their PDS, to be forwarded to a service with the PDS's own token for it. */
  proxied(service: string, method: string, body: unknown): Promise<Response>
  /** Signs bytes with the account's own `#atproto` key (secp256k1, r‖s, low S). */
  signAs(bytes: Uint8Array): Promise<Uint8Array>
}

export interface TestPds {
  readonly url: string
  readonly oauth: OAuthKnobs
  /** Has the next requests to a path end otherwise. */
  troubled(trouble: WayInTrouble): void
  /** Keeps the requests to a path waiting, from now until it is released. */
  hold(path: string): Held
  createAccount(name: string): Promise<Account>
  close(): Promise<void>
}

const HANDLE_DOMAIN = '.test'

/** Sees each request first, and says whether it answers it. */
export type InFront = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean

/**
 * Starts a PDS on a loopback port of its own, with everything it keeps in a folder that `close` removes. `prepare` sees the published
 * server before it listens, and may put something in front of it.
 */
export async function startPds(plcUrl: string, prepare: (pds: PDS) => InFront | null = () => null): Promise<TestPds> {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-pds-'))
  // The published server announces itself under the port that it was configured with, so a free one is found first.
  const port = await freePort()
  const environment = {
    port,
    hostname: 'localhost',
    devMode: true,
    dataDirectory: folder,
    blobstoreDiskLocation: join(folder, 'blobs'),
    didPlcUrl: plcUrl,
    serviceHandleDomains: [HANDLE_DOMAIN],
    inviteRequired: false,
    disableSsrfProtection: true,
    rateLimitsEnabled: false,
    bskyAppViewUrl: undefined,
    jwtSecret: hex(16),
    dpopSecret: hex(32),
    adminPassword: hex(16),
    plcRotationKeyK256PrivateKeyHex: hex(32),
  }
  const pds = await PDS.create(envToCfg(environment), envToSecrets(environment))
  const oauth = oauthKnobs(pds)
  const inFront = prepare(pds)
  const server = await pds.start()
  const wayIn = troubledWayIn((incoming, outgoing) => {
    if (!inFront?.(incoming, outgoing)) pds.app(incoming, outgoing)
  })
  server.removeListener('request', pds.app)
  server.on('request', wayIn.listener)
  const url = `http://localhost:${port}`
  return {
    ...{ url, oauth, troubled: wayIn.troubled, hold: wayIn.hold },
    createAccount: (name) => createAccount(pds, url, name),
    async close() {
      await pds.destroy()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function createAccount(pds: PDS, url: string, name: string): Promise<Account> {
  const handle = `${name}${HANDLE_DOMAIN}`
  const password = hex(16)
  const session = await call(`${url}/xrpc/com.atproto.server.createAccount`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ handle, email: `${name}@example.test`, password }),
  })
  const { did, accessJwt } = (await session.json()) as { did: string; accessJwt: string }
  const authorization = `Bearer ${accessJwt}`
  return {
    ...{ did, handle, password },
    browser: () => new HolderBrowser(url, { did, handle, password }),
    async serviceAuth(audience, method) {
      const query = new URLSearchParams({ aud: audience, lxm: method })
      const answer = await call(`${url}/xrpc/com.atproto.server.getServiceAuth?${query}`, {
        headers: { authorization },
      })
      return ((await answer.json()) as { token: string }).token
    },
    proxied: (service, method, body) =>
      fetch(`${url}/xrpc/${method}`, {
        method: 'POST',
        headers: { authorization, 'atproto-proxy': service, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    async signAs(bytes) {
      const keypair = await pds.ctx.actorStore.keypair(did)
      return keypair.sign(bytes)
    },
  }
}

async function call(url: string, init: RequestInit): Promise<Response> {
  const answer = await fetch(url, init)
  if (!answer.ok) throw new Error(`${new URL(url).pathname} answered ${answer.status}: ${await answer.text()}`)
  return answer
}
