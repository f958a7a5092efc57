/**
 * An OAuth client as a test writes one, by `jose` and a bare socket: what a real PDS answers to each step can be seen, and no library
 * stands between. Confidential with metadata under a public name that leads to this machine, or the loopback client of the specification.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { json } from './managing-app.ts'
import { type Answer, sendRaw } from './raw-request.ts'
import { routeHost } from './routed-hosts.ts'

interface KeyPair {
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

export interface OAuthApp {
  readonly clientId: string
  readonly redirectUri: string
  /** The key of client assertions; null: the app proves nothing. */
  readonly key: KeyPair | null
  /** Declares other scopes from now on; a loopback client has them in its name. */
  declare(scope: string): void
  close(): Promise<void>
}

const CALLBACK = '/oauth/callback'

/** The loopback client: its metadata is its name. */
export function loopbackApp(scope: string): OAuthApp {
  const redirectUri = `http://127.0.0.1:8080${CALLBACK}`
  const clientId = `http://localhost?${new URLSearchParams({ redirect_uri: redirectUri, scope })}`
  return { clientId, redirectUri, key: null, declare() {}, close: async () => {} }
}

/** A confidential client at `https://<host>/`, which is really served on loopback. */
export async function startOAuthApp(host: string, scope: string): Promise<OAuthApp> {
  const key = await newKey()
  const clientId = `https://${host}/oauth/client-metadata.json`
  const redirectUri = `https://${host}${CALLBACK}`
  let declared = scope
  const metadata = () => ({
    client_id: clientId,
    redirect_uris: [redirectUri],
    scope: declared,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    application_type: 'web',
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    dpop_bound_access_tokens: true,
    jwks: { keys: [{ ...key.jwk, use: 'sig', alg: 'ES256' }] },
  })
  const server = createServer((_incoming, outgoing) => json(outgoing, 200, metadata()))
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const route = routeHost(host, `http://localhost:${(server.address() as AddressInfo).port}`)
  return {
    ...{ clientId, redirectUri, key },
    declare(other) {
      declared = other
    },
    async close() {
      route.close()
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function newKey(): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true })
  const jwk = await exportJWK(publicKey)
  return { privateKey, jwk: { ...jwk, kid: await calculateJwkThumbprint(jwk) } }
}

/** One session of an app at a PDS, from asking for it on. */
export class OAuthSession {
  readonly app: OAuthApp
  /** What the PDS gave at last. */
  tokens: Readonly<Record<string, string>> = {}
  private readonly pds: string
  private readonly proofKey: KeyPair
  private readonly verifier = randomBytes(32).toString('base64url')
  private nonce: string | undefined

  private constructor(pds: string, app: OAuthApp, proofKey: KeyPair) {
    this.pds = pds
    this.app = app
    this.proofKey = proofKey
  }

  static async open(pds: string, app: OAuthApp): Promise<OAuthSession> {
    return new OAuthSession(pds, app, await newKey())
  }

  /** Asks for scopes. */
  push(scope: string, more: Readonly<Record<string, string>> = {}): Promise<Answer> {
    return this.post('/oauth/par', {
      response_type: 'code',
      redirect_uri: this.app.redirectUri,
      scope,
      state: 'a state',
      code_challenge: createHash('sha256').update(this.verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...more,
    })
  }

  /** Where the account holder goes to decide. */
  async authorizationUrl(scope: string): Promise<string> {
    const answer = await this.push(scope)
    if (answer.status !== 201) throw new Error(`asking answered ${answer.status}: ${JSON.stringify(answer.body)}`)
    const query = new URLSearchParams({ client_id: this.app.clientId, request_uri: answer.body.request_uri })
    return `${this.pds}/oauth/authorize?${query}`
  }

  /** Trades what came back for tokens. */
  redeem(sentBack: URL): Promise<Answer> {
    const code = sentBack.searchParams.get('code') ?? ''
    const { redirectUri: redirect_uri } = this.app
    return this.token({ grant_type: 'authorization_code', code, redirect_uri, code_verifier: this.verifier })
  }

  refresh(refreshToken = this.tokens['refresh_token'] ?? ''): Promise<Answer> {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken })
  }

  revoke(token = this.tokens['access_token'] ?? ''): Promise<Answer> {
    return this.post('/oauth/revoke', { token })
  }

  /** A query, or a procedure where there is a body. */
  call(nsid: string, { params, body }: { params?: Record<string, string>; body?: object } = {}): Promise<Answer> {
    const query = params ? `?${new URLSearchParams(params)}` : ''
    return this.send({
      method: body ? 'POST' : 'GET',
      path: `/xrpc/${nsid}`,
      query,
      token: this.tokens['access_token'],
      body,
    })
  }

  private async token(form: Readonly<Record<string, string>>): Promise<Answer> {
    const answer = await this.post('/oauth/token', form)
    if (answer.status === 200) this.tokens = answer.body
    return answer
  }

  private post(path: string, form: Readonly<Record<string, string>>): Promise<Answer> {
    return this.send({ method: 'POST', path, form })
  }

  /** Sends it, and once more where the nonce was missing or too old. Proofs and assertions are good for one time each. */
  private async send(asked: Asked): Promise<Answer> {
    const first = await this.sendOnce(asked)
    return wantsNonce(first) ? this.sendOnce(asked) : first
  }

  private async sendOnce({ method, path, query = '', token, body, form }: Asked): Promise<Answer> {
    const whole = form && new URLSearchParams({ ...form, client_id: this.app.clientId, ...(await this.assertion()) })
    const answer = await sendRaw(this.pds, {
      method,
      path: path + query,
      headers: [
        ['dpop', await this.proof(method, path, token)],
        ...(token === undefined ? [] : [['authorization', `DPoP ${token}`] as const]),
        ...(body ? [['content-type', 'application/json'] as const] : []),
        ...(whole ? [['content-type', 'application/x-www-form-urlencoded'] as const] : []),
      ],
      ...(body ? { body: JSON.stringify(body) } : {}),
      ...(whole ? { body: String(whole) } : {}),
    })
    this.nonce = answer.headers['dpop-nonce'] === undefined ? this.nonce : String(answer.headers['dpop-nonce'])
    return answer
  }

  private async assertion(): Promise<Record<string, string>> {
    const { key, clientId } = this.app
    if (!key) return {}
    const jwt = await new SignJWT()
      .setProtectedHeader({ alg: 'ES256', kid: key.jwk.kid ?? '' })
      .setIssuer(clientId)
      .setSubject(clientId)
      .setAudience(this.pds)
      .setJti(randomBytes(16).toString('hex'))
      .setIssuedAt()
      .setExpirationTime('60s')
      .sign(key.privateKey)
    return { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: jwt }
  }

  private proof(htm: string, path: string, token: string | undefined): Promise<string> {
    const { privateKey, jwk } = this.proofKey
    return new SignJWT({
      htm,
      htu: this.pds + path,
      ...(this.nonce === undefined ? {} : { nonce: this.nonce }),
      ...(token === undefined ? {} : { ath: createHash('sha256').update(token).digest('base64url') }),
    })
      .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
      .setJti(randomBytes(16).toString('hex'))
      .setIssuedAt()
      .sign(privateKey)
  }
}

interface Asked {
  readonly method: string
  readonly path: string
  readonly query?: string
  readonly token?: string | undefined
  readonly body?: object | undefined
  readonly form?: Readonly<Record<string, string>>
}

const wantsNonce = ({ headers, body }: Answer): boolean =>
  body?.error === 'use_dpop_nonce' || String(headers['www-authenticate']).includes('use_dpop_nonce')
