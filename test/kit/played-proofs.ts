/**
 * The two ways in which whoever shows a credential proves that it is theirs, judged as the reference was seen and read to do it: a DPoP proof in
 * August, an HTTP message signature in October. Everything that isn't right has a name, and the first of them is told.
 */
import { createHash } from 'node:crypto'
import { verifySignature } from '@atproto/crypto'
import { calculateJwkThumbprint, EmbeddedJWK, errors, jwtVerify } from 'jose'
import { isInnerList, parseDictionary, serializeInnerList } from 'structured-headers'
import type { RawRequest } from './world.ts'

interface About {
  readonly request: RawRequest
  readonly token: string
  readonly nowSec: number
}

const SKEW_SEC = 5
const PROOF_MAX_AGE_SEC = 60

/** All lines of a name, in their order. */
export const linesOf = ({ headers = [] }: RawRequest, name: string): readonly string[] =>
  headers.filter(([line]) => line.toLowerCase() === name).map(([, value]) => value)

/** What is wrong with the proof of a request; null: nothing. `seen` holds the names of proofs that came before. */
export async function dpopFault(
  about: About & { readonly url: string; readonly jkt: string; readonly seen: Set<string> },
): Promise<string | null> {
  const { request, token, url, nowSec, jkt, seen } = about
  const proof = linesOf(request, 'dpop').join()
  if (proof === '') return 'MissingDpopProof'
  let verified: Awaited<ReturnType<typeof jwtVerify>>
  try {
    verified = await jwtVerify(proof, EmbeddedJWK, {
      ...{ typ: 'dpop+jwt', algorithms: ['ES256'], maxTokenAge: PROOF_MAX_AGE_SEC, clockTolerance: SKEW_SEC },
      currentDate: new Date(nowSec * 1000),
    })
  } catch (error) {
    return error instanceof errors.JWTExpired ? 'DpopProofExpired' : 'BadDpopProofSignature'
  }
  const { payload, protectedHeader } = verified
  if (typeof payload.jti !== 'string' || payload.jti === '') return 'BadDpopProof'
  if (payload['htm'] !== (request.method ?? 'GET') || payload['htu'] !== url) return 'BadDpopProof'
  if (payload['ath'] !== createHash('sha256').update(token).digest('base64url')) return 'BadDpopProof'
  if ((await calculateJwkThumbprint(protectedHeader.jwk ?? {})) !== jkt) return 'DpopKeyMismatch'
  if (seen.has(payload.jti)) return 'BadDpopProof'
  seen.add(payload.jti)
  return null
}

const LABEL = 'atproto-space'
const COVERED = ['authorization', 'atproto-space-audience']

/** What is wrong with the signature of a request by `holder`, a did:key; null: nothing. */
export async function signatureFault(about: About & { readonly holder: string }): Promise<string | null> {
  try {
    return (await isSigned(about)) ? null : 'BadSpaceSignature'
  } catch {
    return 'BadSpaceSignature'
  }
}

async function isSigned({ request, holder }: About & { readonly holder: string }): Promise<boolean> {
  const [audience = '', ...others] = linesOf(request, 'atproto-space-audience')
  if (others.length > 0 || !/^did:[a-z]+:[A-Za-z0-9._:%-]+$/.test(audience)) return false
  const [authorization = ''] = linesOf(request, 'authorization')
  const inputs = parseDictionary(linesOf(request, 'signature-input').join(', '))
  const input = inputs.get(LABEL)
  const signature = parseDictionary(linesOf(request, 'signature').join(', ')).get(LABEL)
  if (!input || !signature || !isInnerList(input)) return false
  const [components, params] = input
  const names = components.map(([name, more]) => (more.size === 0 ? name : null))
  if (names.length !== COVERED.length || names.some((name, at) => name !== COVERED[at])) return false
  if (params.has('alg') && params.get('alg') !== 'ecdsa-p256-sha256') return false
  if (params.has('keyid') && params.get('keyid') !== holder) return false
  const [value, itemParams] = signature
  if (!(value instanceof ArrayBuffer) || itemParams.size > 0 || value.byteLength !== 64) return false
  const base = [
    `"authorization": ${authorization.trim()}`,
    `"atproto-space-audience": ${audience.trim()}`,
    `"@signature-params": ${serializeInnerList(input)}`,
  ].join('\n')
  // A high S is taken here, unlike in tokens.
  return verifySignature(holder, Buffer.from(base), new Uint8Array(value), { allowMalleableSig: true })
}
