/** What one exchange costs in cryptography and JSON when `@atproto/crypto` does it, as a measure for the crypto-only loop. */
import { P256Keypair, verifySignature } from '@atproto/crypto'
import { toBase64Url, utf8 } from '../src/platform/bytes.ts'
import { compress } from '../src/platform/ecdsa.ts'
import { didKeyOf } from '../src/platform/multikey.ts'
import type { Prepared } from './tokens.ts'

/** Verifies a delegation token and its proof of possession, and signs a credential. It judges no claim. */
export async function byAtprotoCrypto(): Promise<(request: Prepared) => Promise<void>> {
  const signer = await P256Keypair.create()
  return async ({ token, didKey, dpop, signatureInput, signature }) => {
    const delegation = partsOf(token)
    await requireSigned(didKey, delegation.signed, delegation.signature, 'ES256K')
    const holder = dpop ? await holderOfDpop(dpop) : await holderOfSignature(token, signatureInput, signature)
    const header = { typ: 'atproto-space-credential+jwt', alg: 'ES256', kid: '#atproto_space' }
    const payload = { ...delegation.payload, cnf: { kid: holder } }
    const input = `${toBase64Url(JSON.stringify(header))}.${toBase64Url(JSON.stringify(payload))}`
    await signer.sign(utf8(input))
  }
}

async function holderOfDpop(proof: string): Promise<string> {
  const { header, signed, signature } = partsOf(proof)
  const [x, y] = [Buffer.from(header.jwk.x, 'base64url'), Buffer.from(header.jwk.y, 'base64url')]
  const holder = didKeyOf('p256', compress(Uint8Array.of(4, ...x, ...y)))
  await requireSigned(holder, signed, signature, 'ES256')
  return holder
}

async function holderOfSignature(token: string, signatureInput: string, signature: string): Promise<string> {
  const params = signatureInput.slice('atproto-space='.length)
  const holder = /keyid="([^"]+)"/.exec(params)?.[1] ?? ''
  const signed = `"authorization": Bearer ${token}\n"@signature-params": ${params}`
  await requireSigned(holder, signed, Buffer.from(signature.split(':')[1] ?? '', 'base64'), 'ES256')
  return holder
}

async function requireSigned(didKey: string, signed: string, signature: Uint8Array, jwtAlg: string): Promise<void> {
  const holds = await verifySignature(didKey, utf8(signed), signature, { jwtAlg, allowMalleableSig: true })
  if (!holds) throw new Error('a signature of the benchmark does not hold')
}

function partsOf(jws: string) {
  const [header = '', payload = '', signature = ''] = jws.split('.')
  const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
  return {
    header: parse(header),
    payload: parse(payload),
    signed: `${header}.${payload}`,
    signature: new Uint8Array(Buffer.from(signature, 'base64url')),
  }
}
