/**
 * What tests do to the OAuth side of a real PDS in this process: see how often tokens were asked for, let them last a shorter time, and
 * have those that are out count as run out.
 *
 * It reaches into the published server by its parts' names; its own answers are left as they are.
 */

import { JwtVerifyError } from '@atproto/jwk'
import type { PDS } from '@atproto/pds'

export type OAuthProvider = NonNullable<PDS['ctx']['oauthProvider']>

export interface TokenCall {
  readonly grantType: string
  readonly clientId: string
  /** As OAuth names it; null: tokens were given. */
  readonly error: string | null
}

export interface OAuthKnobs {
  /** Every call of `/oauth/token` that came as far as its grant: with a sound proof and the nonce of now. */
  readonly tokenCalls: readonly TokenCall[]
  /** How many of them, by grant type. */
  count(grantType: 'authorization_code' | 'refresh_token'): number
  /** Access tokens given from now on last so long; the PDS's own time is an hour. A quarter of a second or less counts as an ended session. */
  accessTokensLast(seconds: number): void
  /** Every access token that was given until now is answered as one that ran out. Refreshing helps. */
  expireAccessTokens(): void
  /** Forgets what an app's document, or its key set, at this address said. The PDS itself remembers it for ten minutes. */
  forgetDocument(url: string): Promise<void>
  /** Makes the sessions of an account older, as if nobody had come for so long: an app that proves itself is forgotten after 3 months. */
  ageSessions(did: string, days: number): Promise<void>
  /** Ends the sessions that an account has with a client, or all of them, without anybody's browser. */
  endSessions(did: string, clientId?: string): Promise<number>
}

export function oauthKnobs(pds: PDS): OAuthKnobs {
  const provider = providerOf(pds)
  const { tokenManager } = provider
  const tokenCalls = watchTokenCalls(provider)
  const expire = watchAccessTokens(provider)
  return {
    tokenCalls,
    count: (grantType) => tokenCalls.filter((call) => call.grantType === grantType).length,
    accessTokensLast: (seconds) => void Reflect.set(tokenManager, 'tokenMaxAge', seconds * 1000),
    expireAccessTokens: expire,
    async forgetDocument(url) {
      for (const kept of ['metadataGetter', 'jwks']) await Reflect.get(provider.clientManager, kept).delStored(url)
    },
    async ageSessions(did, days) {
      const movedMs = days * 24 * 60 * 60 * 1000
      const { db } = pds.ctx.accountManager.db
      for (const { id, data } of await tokenManager.listAccountTokens(did as `did:plc:${string}`)) {
        const [createdAt, updatedAt] = [data.createdAt, data.updatedAt].map((at) => new Date(at.getTime() - movedMs))
        const times = { createdAt: `${createdAt?.toISOString()}`, updatedAt: `${updatedAt?.toISOString()}` }
        await db
          .updateTable('token')
          .set(times as never)
          .where('tokenId', '=', id)
          .execute()
      }
    },
    async endSessions(did, clientId) {
      const sessions = await tokenManager.listAccountTokens(did as `did:plc:${string}`)
      const ended = sessions.filter(({ data }) => clientId === undefined || data.clientId === clientId)
      for (const { id } of ended) await tokenManager.deleteToken(id)
      return ended.length
    },
  }
}

export function providerOf({ ctx }: PDS): OAuthProvider {
  if (!ctx.oauthProvider) throw new Error('a PDS without OAuth')
  return ctx.oauthProvider
}

function watchTokenCalls(provider: OAuthProvider): TokenCall[] {
  const calls: TokenCall[] = []
  const original = provider.token.bind(provider)
  provider.token = async (credentials, metadata, request, proof) => {
    const call = { grantType: request.grant_type, clientId: credentials.client_id }
    try {
      const answer = await original(credentials, metadata, request, proof)
      calls.push({ ...call, error: null })
      return answer
    } catch (error) {
      calls.push({ ...call, error: String((error as { error?: unknown }).error) })
      throw error
    }
  }
  return calls
}

/** Remembers the access tokens that are given, and answers a function after which those count as run out. */
function watchAccessTokens({ signer }: OAuthProvider): () => void {
  const given = new Set<string>()
  const expired = new Set<string>()
  const create = signer.createAccessToken.bind(signer)
  signer.createAccessToken = (claims) => {
    given.add(claims.jti)
    return create(claims)
  }
  const verify = signer.verifyAccessToken.bind(signer)
  signer.verifyAccessToken = async (token, options) => {
    const verified = await verify(token, options)
    // Who looks a token up to revoke it takes it at any age.
    if (options?.clockTolerance === Infinity || !expired.has(verified.payload.jti)) return verified
    throw new JwtVerifyError('"exp" claim timestamp check failed', 'ERR_JWT_EXPIRED')
  }
  return () => {
    for (const jti of given) expired.add(jti)
  }
}
