/**
 * An app that wants to read a space: it has a key of its own, comes with its user's delegation token, and trades both for a
 * credential. The two generations differ only in how it proves that it holds the key.
 *
 * One part is played here for somebody else. In the protocol the user's PDS makes the delegation token when the signed-in user
 * asks it to; the published PDS can't do that yet. The bytes below are what it would sign, and the signature is by the
 * account's real key, out of the PDS's own key store.
 */
import { randomUUID } from 'node:crypto'
import type { Account } from '../test/kit/pds.ts'
import { base64Url, makeDpopProof, makeSpaceSignature, type TestKey } from '../test/kit/tokens.ts'
import { type Answer, answerOf, type Network } from './network.ts'

export type Generation = 'october' | 'august'

const EXCHANGE = '/xrpc/com.atproto.space.getSpaceCredential'
const DELEGATION_LIFETIME_SEC = 60

const nowSec = (): number => Math.floor(Date.now() / 1000)

/** The part of the user's PDS: "the bearer acts for this account, in this space, for a minute". */
export async function delegationToken(user: Account, community: string, space: string): Promise<string> {
  const iat = nowSec()
  const header = { typ: 'atproto-space-delegation+jwt', alg: 'ES256K', kid: '#atproto' }
  const claims = {
    iss: user.did,
    sub: space,
    aud: `${community}#atproto_space_host`,
    iat,
    exp: iat + DELEGATION_LIFETIME_SEC,
    jti: randomUUID(),
  }
  const signingInput = `${base64Url(JSON.stringify(header))}.${base64Url(JSON.stringify(claims))}`
  return `${signingInput}.${base64Url(await user.signAs(Buffer.from(signingInput)))}`
}

/** The exchange, with the proof of the given generation by the app's key. */
export async function exchange(
  { reeve }: { readonly reeve: Pick<Network['reeve'], 'url'> },
  asked: { token: string; space: string; holder: TestKey; generation: Generation },
): Promise<Answer> {
  const url = reeve.url + EXCHANGE
  const authorization = `Bearer ${asked.token}`
  return answerOf(
    await fetch(url, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json', ...proof(asked, authorization, url) },
      body: JSON.stringify({ space: asked.space }),
    }),
  )
}

function proof(
  { generation, holder }: { generation: Generation; holder: TestKey },
  authorization: string,
  url: string,
): Record<string, string> {
  if (generation === 'august') return { dpop: makeDpopProof({ key: holder, method: 'POST', url, nowSec: nowSec() }) }
  const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization })
  return { 'signature-input': signatureInput, signature }
}
