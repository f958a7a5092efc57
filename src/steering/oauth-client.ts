/**
 * The OAuth client of this service towards communities' PDSes: atproto's own library, on our ground. It reaches the network by the outbound
 * door alone, finds DIDs by what the house knows of them, and never sees the key by which we prove who we are: that is the vault's.
 *
 * Where tokens are kept, who may renew them and when a grant counts as lost is none of the library's: its stores hold nothing beyond one
 * call. It would take every TypeError for a reason to forget a session.
 */

import {
  JoseKey,
  type Jwk,
  Key,
  NodeOAuthClient,
  type NodeSavedSession,
  type NodeSavedState,
  OAuthSession,
  type SignedJwt,
} from '@atproto/oauth-client-node'
import { LRUCache } from 'lru-cache'
import type { DidDocuments } from '../identity/did-documents.ts'
import type { Vault } from '../keys/vault.ts'
import { type Did, parseDid } from '../names.ts'
import { sha256 } from '../platform/bytes.ts'
import type { Clock } from '../platform/clock.ts'
import { p256Members } from '../platform/jwk.ts'
import { parseDidKey } from '../platform/multikey.ts'
import type { Outbound } from '../platform/outbound.ts'
import { fetchBy } from '../platform/outbound-fetch.ts'
import type { Random } from '../platform/random.ts'
import type { Sizes } from '../platform/sizes.ts'
import { Unavailable } from '../refusals.ts'
import { type ClientJwk, type ClientSite, clientIdOf, metadataOf } from './client-metadata.ts'
import { ClientChanged, type Fault, faultOf, refusedBy } from './oauth-faults.ts'
import { typesOf } from './scopes.ts'

/** The tokens of a grant and the key that they are bound to. */
export type Session = NodeSavedSession
/** What has to be known again when a browser comes back from the PDS. */
export type Begun = NodeSavedState

export interface OAuthDeps {
  readonly site: ClientSite
  readonly serviceDid: Did
  readonly allowLoopback: boolean
  readonly vault: Pick<Vault, 'clientKey' | 'signClientAssertion'>
  readonly documents: Pick<DidDocuments, 'resolve'>
  readonly outbound: Pick<Outbound, 'request'>
  readonly random: Random
  readonly clock: Clock
  readonly sizes?: Sizes
}

/** Answers to calls. */
const ANSWER_MAX_BYTES = 1024 * 1024
/** Documents about servers, and tokens, which are kept: anybody may have as many servers as they have names, and fill the memory. */
const KEPT_MAX_BYTES = 64 * 1024
/** Together with everything else that a renewal asks, well within the turn that it is given. */
const GET_TIMEOUT_MS = 4_000
const POST_TIMEOUT_MS = 12_000
const CALL_TIMEOUT_MS = 15_000
/** Documents about servers; whoever renews a grant has them read anew. */
const DOCUMENTS_MAX = 256
const DOCUMENTS_MS = 10 * 60_000
const CLIENTS_MAX = 256

/** Our client key as the library may have it: it signs, and isn't there. */
class VaultKey extends Key {
  readonly #sign: (clientId: string, claims: Record<string, unknown>) => Promise<string>

  constructor(jwk: ClientJwk, sign: (clientId: string, claims: Record<string, unknown>) => Promise<string>) {
    super(jwk as Jwk)
    this.#sign = sign
  }

  /** The library asks this to learn whether it can have something signed. */
  override get isPrivate(): boolean {
    return true
  }

  override get privateJwk(): undefined {
    return undefined
  }

  override get publicJwk(): Key['publicJwk'] {
    return this.jwk as Key['publicJwk']
  }

  override matches(asked: Parameters<Key['matches']>[0]): boolean {
    const { usage, ...rest } = asked
    return super.matches(rest) && (usage === undefined || usage === 'sign')
  }

  async createJwt(_header: object, payload: Record<string, unknown>): Promise<SignedJwt> {
    return (await this.#sign(String(payload['iss']), payload)) as SignedJwt
  }

  async verifyJwt(): Promise<never> {
    throw new Error('nothing is verified with our own key')
  }
}

/** A session whose tokens are ours to give out and to renew. */
class GivenSession extends OAuthSession {
  readonly #tokensFor: TokensFor

  constructor(getter: ConstructorParameters<typeof OAuthSession>[2], server: OAuthSession['server'], given: Given) {
    super(server, given.sub, getter, given.fetch)
    this.#tokensFor = given.tokensFor
  }

  protected override async getTokenSet(refresh: boolean | 'auto') {
    return (await this.#tokensFor(refresh === true)).tokenSet
  }
}

/** The tokens to call with. `isRefused`: those given before were refused, and others are wanted. */
export type TokensFor = (isRefused: boolean) => Promise<Session>

interface Given {
  readonly sub: OAuthSession['sub']
  readonly tokensFor: TokensFor
  readonly fetch: ReturnType<typeof fetchBy>
}

class Client extends NodeOAuthClient {
  sessionWith(server: OAuthSession['server'], given: Given): GivenSession {
    return new GivenSession(this.sessionGetter, server, given)
  }
}

export class OAuthGrants {
  readonly #deps: OAuthDeps
  readonly #fetch: ReturnType<typeof fetchBy>
  readonly #callFetch: ReturnType<typeof fetchBy>
  readonly #clients = new LRUCache<string, Client>({ max: CLIENTS_MAX })
  readonly #documents: ReturnType<typeof documentCaches>
  #key: Promise<VaultKey> | null = null

  constructor(deps: OAuthDeps) {
    this.#deps = deps
    this.#documents = documentCaches(deps.clock, deps.sizes)
    deps.sizes?.kept('OAuth clients', CLIENTS_MAX, () => this.#clients.size)
    const limits = { maxBytes: KEPT_MAX_BYTES, getTimeoutMs: GET_TIMEOUT_MS, postTimeoutMs: POST_TIMEOUT_MS }
    this.#fetch = fetchBy(deps.outbound, limits)
    const ofCalls = { maxBytes: ANSWER_MAX_BYTES, getTimeoutMs: CALL_TIMEOUT_MS, postTimeoutMs: CALL_TIMEOUT_MS }
    this.#callFetch = fetchBy(deps.outbound, ofCalls)
  }

  /** The public half of the client key, for everybody. Null: on loopback a client proves nothing. @throws Unavailable */
  async publicKey(): Promise<ClientJwk | null> {
    return this.#deps.site.isLoopback ? null : ((await this.#clientKey()).jwk as unknown as ClientJwk)
  }

  /** The origin of the pages on which a community's PDS lets people sign in. @throws Error, for `faultOf` */
  async signsInAt(community: Did, asked: readonly string[]): Promise<string> {
    const client = await this.#clientOf(asked)
    const { metadata } = await client.oauthResolver.resolveFromIdentity(community)
    return new URL(metadata.authorization_endpoint).origin
  }

  /**
   * Asks the community's PDS for a grant, and answers where the browser goes, with what has to be known when it comes back under `state`.
   * @throws Error, for `faultOf`
   */
  async begin(community: Did, asked: readonly string[]): Promise<{ url: string; state: string; begun: Begun }> {
    const kept: { state: string; begun: Begun }[] = []
    const client = await this.#makeClient(asked, {
      stateStore: {
        set: async (state, begun) => void kept.push({ state, begun }),
        get: async () => undefined,
        del() {},
      },
    })
    const url = await client.authorize(community, { scope: asked.join(' ') })
    const [last] = kept
    if (!last) throw new Error('an authorization without a state')
    return { url: url.href, ...last }
  }

  /**
   * Trades what a browser brought back for tokens, once: who is asked, by whom the answer is (`iss`) and that whoever signed in has their
   * account there is the library's to check. Whose account it is, is the caller's. @throws Error, for `faultOf` and `refusedBy`
   */
  async finish(
    asked: readonly string[],
    params: URLSearchParams,
    begun: Begun,
  ): Promise<{ did: Did; session: Session }> {
    let isTaken = false
    let session: Session | undefined
    const client = await this.#makeClient(asked, {
      stateStore: {
        get: async () => (isTaken ? undefined : begun),
        set() {},
        del() {
          isTaken = true
        },
      },
      sessionStore: {
        get: async () => undefined,
        set: async (_sub, given) => {
          session = given
        },
        del() {},
      },
    })
    const { session: signedIn } = await client.callback(params)
    const did = parseDid(signedIn.did)
    if (!session || !did) throw new Error('a grant of nobody')
    return { did, session }
  }

  /** Renews tokens: the ones before are spent by it, whatever becomes of the answer. @throws Error, for `faultOf` */
  async refresh(asked: readonly string[], session: Session): Promise<Session> {
    const server = await this.#serverOf(asked, session)
    return { ...session, tokenSet: await server.refresh(session.tokenSet) }
  }

  /** Gives a grant back, as far as its PDS can be reached. @throws Error when we can't even ask */
  async revoke(asked: readonly string[], session: Session): Promise<void> {
    const server = await this.#serverOf(asked, session)
    await server.revoke(session.tokenSet.refresh_token ?? session.tokenSet.access_token)
  }

  /** Makes one call at the community's PDS, and once more with other tokens where these are refused. @throws Error, for `faultOf` */
  async send(asked: readonly string[], session: Session, path: string, init: RequestInit, tokensFor: TokensFor) {
    const client = await this.#clientOf(asked)
    const server = await this.#serverOf(asked, session)
    const given = { sub: session.tokenSet.sub, tokensFor, fetch: this.#callFetch }
    return client.sessionWith(server, given).fetchHandler(path, init)
  }

  /** What an error of these methods means for a grant. @throws Unavailable what was our own trouble */
  faultOf(error: unknown): Fault {
    return faultOf(error)
  }

  /** Why a PDS sent a browser back without a grant: its name for it and its words; null: it did not, something else went wrong. */
  refusedBy(error: unknown): { readonly name: string; readonly says: string } | null {
    return refusedBy(error)
  }

  async #serverOf(asked: readonly string[], { tokenSet, authMethod, dpopJwk }: Session) {
    const client = await this.#clientOf(asked)
    const isOurs =
      authMethod.method === 'none' ? this.#deps.site.isLoopback : client.keyset?.has(authMethod.kid) === true
    if (!isOurs) throw new ClientChanged()
    return client.serverFactory.fromIssuer(tokenSet.iss, authMethod, await JoseKey.fromJWK(dpopJwk))
  }

  async #clientOf(asked: readonly string[]): Promise<Client> {
    const name = asked.join(' ')
    const client = this.#clients.get(name) ?? (await this.#makeClient(asked, {}))
    this.#clients.set(name, client)
    return client
  }

  async #makeClient(asked: readonly string[], stores: Partial<Stores>): Promise<Client> {
    const { site, documents, random, allowLoopback } = this.#deps
    const types = typesOf(asked)
    // The name that asks for exactly this; another one would be refused by the PDS.
    clientIdOf(site, types)
    return new Client({
      ...NO_STORES,
      ...stores,
      ...this.#documents,
      clientMetadata: metadataOf(site, types) as never,
      ...(site.isLoopback ? {} : { keyset: [await this.#clientKey()] }),
      allowHttp: allowLoopback,
      fetch: this.#fetch,
      identityResolver: { resolve: (did, ask) => resolveBy(documents, did, ask?.noCache === true) },
      // Never asked: it always begins with a DID.
      handleResolver: { resolve: async () => null },
      runtimeImplementation: {
        requestLock: (_name, work) => work(),
        createKey: (algs) => JoseKey.generate(algs),
        getRandomValues: (count) => random.bytes(count),
        digest: (bytes, { name }) => {
          if (name !== 'sha256') throw new Error('a hash that nobody asked for before')
          return sha256(bytes)
        },
      },
    })
  }

  #clientKey(): Promise<VaultKey> {
    this.#key ??= this.#loadKey().catch((error) => {
      this.#key = null
      throw error
    })
    return this.#key
  }

  async #loadKey(): Promise<VaultKey> {
    const { vault, serviceDid, clock } = this.#deps
    const { id, didKey } = await vault.clientKey(serviceDid, clock.nowMs())
    const parsed = parseDidKey(didKey)
    if (!parsed) throw new Unavailable('KeyUnavailable', 'vault')
    const jwk: ClientJwk = { ...p256Members(parsed.key.keyObject), kid: id, alg: 'ES256', use: 'sig' }
    return new VaultKey(jwk, (clientId, { aud, jti, iat, exp }) =>
      vault.signClientAssertion({
        ...{ kind: 'client-assertion', service: serviceDid, keyId: id, clientId },
        ...{ aud: String(aud), jti: String(jti), iatSec: Number(iat), expSec: Number(exp) },
      }),
    )
  }
}

type Stores = Pick<Options, 'stateStore' | 'sessionStore'>

const NO_STORES: Stores = {
  stateStore: { get: async () => undefined, set() {}, del() {} },
  sessionStore: { get: async () => undefined, set() {}, del() {} },
}

type Options = ConstructorParameters<typeof NodeOAuthClient>[0]
type Cached<Name extends keyof Options> = Required<Options>[Name] extends { set(key: string, value: infer T): unknown }
  ? T
  : never

function documentCaches(clock: Clock, sizes?: Sizes) {
  const cacheOf = <T>(name: string) => {
    const perf = { now: () => clock.monotonicMs() + 1 }
    const kept = new LRUCache<string, { readonly value: T }>({
      max: DOCUMENTS_MAX,
      ttl: DOCUMENTS_MS,
      ttlResolution: 0,
      perf,
    })
    sizes?.kept(`OAuth: ${name}`, DOCUMENTS_MAX, () => kept.size)
    return {
      get: (key: string) => kept.get(key)?.value,
      set: (key: string, value: T) => void kept.set(key, { value }),
      del: (key: string) => void kept.delete(key),
    }
  }
  return {
    dpopNonceCache: cacheOf<string>('nonces'),
    authorizationServerMetadataCache: cacheOf<Cached<'authorizationServerMetadataCache'>>('authorization servers'),
    protectedResourceMetadataCache: cacheOf<Cached<'protectedResourceMetadataCache'>>('protected resources'),
  }
}

/** What the library needs to know of a DID: where its PDS is. */
async function resolveBy(documents: OAuthDeps['documents'], text: string, fresh: boolean) {
  const did = parseDid(text)
  const document = did && (await documents.resolve(did, { fresh }))
  const service = document?.service('atproto_pds')
  if (!did || !service || typeof service === 'string') throw new Error('no document that names a PDS')
  const pds = { id: '#atproto_pds', type: service.type, serviceEndpoint: service.endpoint }
  return { did, didDoc: { id: did, service: [pds] }, handle: 'handle.invalid' } as never
}
