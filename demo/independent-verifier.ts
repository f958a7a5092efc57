/**
 * Somebody who doesn't trust Reeve and checks its work: from the PLC directory, with other people's libraries, and with
 * nothing out of `src/`. What is accepted here, any other implementation can accept.
 */
import { createHash, ECDH } from 'node:crypto'
import { validateOperationLog } from '@did-plc/lib'
import { encode } from '@ipld/dag-cbor'
import { calculateJwkThumbprint, importJWK, type JWK, type JWTPayload, jwtVerify } from 'jose'
import { must } from './network.ts'

export interface PlcOperation {
  readonly rotationKeys: readonly string[]
  readonly verificationMethods: Readonly<Record<string, string>>
  readonly services: Readonly<Record<string, { type: string; endpoint: string }>>
}

/** A DID's whole history, proven from its first operation (whose hash is the DID) with the directory authors' own library. */
export async function provenHistory(plcUrl: string, did: string): Promise<readonly PlcOperation[]> {
  const log = await json(`${plcUrl}/${did}/log`)
  await validateOperationLog(did, log)
  return log
}

interface DidDocument {
  readonly id: string
  readonly verificationMethod: readonly { id: string; type: string; publicKeyMultibase: string }[]
  readonly service: readonly { id: string; type: string; serviceEndpoint: string }[]
}

export const didDocument = (plcUrl: string, did: string): Promise<DidDocument> => json(`${plcUrl}/${did}`)

export interface Verified {
  readonly claims: JWTPayload
  readonly lifetimeSec: number
  /** How the directory writes the key down. */
  readonly keyType: string
}

/**
 * Verifies a credential as a space host would: signed by the community's `#atproto_space` key as the directory shows it, for
 * this space, alive, and bound to the app's key. Then spoils it, to see that this check can fail at all.
 */
export async function verifyCredential(input: {
  plcUrl: string
  community: string
  space: string
  credential: string
  holder: { didKey: string; jwk: JWK }
  generation: 'october' | 'august'
}): Promise<Verified> {
  const { plcUrl, community, space, credential, holder } = input
  const { key, type } = await publishedKey(plcUrl, community, '#atproto_space')

  const rules = {
    algorithms: ['ES256'],
    typ: 'atproto-space-credential+jwt',
    issuer: community,
    subject: space,
    requiredClaims: ['iat', 'exp', 'jti', 'cnf'],
  }
  const { payload } = await jwtVerify(credential, key, rules)
  const bound =
    input.generation === 'october' ? { kid: holder.didKey } : { jkt: await calculateJwkThumbprint(holder.jwk) }
  must(JSON.stringify(payload.cnf) === JSON.stringify(bound), 'the credential is bound to the key of the app')

  const forOneMore = await jwtVerify(spoilt(credential), key, rules).then(
    () => true,
    () => false,
  )
  must(!forOneMore, 'a credential with one changed claim is not accepted')
  return { claims: payload, lifetimeSec: (payload.exp ?? 0) - (payload.iat ?? 0), keyType: type }
}

/** The key that stands in a community's document under one name, as the directory has it now. */
async function publishedKey(plcUrl: string, community: string, name: string) {
  const document = await didDocument(plcUrl, community)
  must(document.id === community, 'the directory answers with the document of the community')
  const entry = document.verificationMethod.find(({ id }) => id.endsWith(name))
  if (!entry) throw new Error(`the document has no ${name} key`)
  return { key: await importJWK(p256Jwk(decodeBase58(entry.publicKeyMultibase)), 'ES256'), type: entry.type }
}

/**
 * Verifies service auth as whoever is called would: signed by the community's own `#atproto` key, for this receiver and this method, and
 * alive for a minute at most. Throws when it is anything else.
 */
export async function verifyServiceAuth(input: {
  plcUrl: string
  community: string
  token: string
  audience: string
  method: string
}): Promise<void> {
  const { plcUrl, community, token, audience, method } = input
  const { key } = await publishedKey(plcUrl, community, '#atproto')
  const rules = {
    algorithms: ['ES256'],
    typ: 'JWT',
    issuer: community,
    audience,
    requiredClaims: ['iat', 'exp', 'jti'],
  }
  const { payload } = await jwtVerify(token, key, rules)
  must(payload['lxm'] === method, 'the token is for this method')
  must((payload.exp ?? 0) - (payload.iat ?? 0) <= 60, 'the token lives for a minute at most')
}

/** The same credential, living a day longer. */
function spoilt(credential: string): string {
  const [header, payload = '', signature] = credential.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'))
  const longer = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 86_400 })).toString('base64url')
  return `${header}.${longer}.${signature}`
}

/**
 * A P-256 key out of a document: a bare uncompressed point, as the directory server writes its older kind of entry, or a
 * compressed point behind the multicodec prefix 0x80 0x24 (`Multikey`).
 */
function p256Jwk(bytes: Buffer): JWK {
  const isMultikey = bytes.length === 35 && bytes[0] === 0x80 && bytes[1] === 0x24
  const point = isMultikey ? uncompressed(bytes.subarray(2)) : bytes
  must(point.length === 65 && point[0] === 4, 'the key is a point of P-256')
  const coordinate = (start: number) => point.subarray(start, start + 32).toString('base64url')
  return { kty: 'EC', crv: 'P-256', x: coordinate(1), y: coordinate(33) }
}

const uncompressed = (point: Buffer): Buffer =>
  Buffer.from(ECDH.convertKey(point, 'prime256v1', undefined, undefined, 'uncompressed') as Buffer)

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** Multibase `z`: base58 with the alphabet of Bitcoin. A key never begins with a zero byte, so no leading `1` is looked for. */
function decodeBase58(text: string): Buffer {
  must(/^z[1-9A-HJ-NP-Za-km-z]+$/.test(text), 'the key is written in base58')
  const number = [...text.slice(1)].reduce((sum, char) => sum * 58n + BigInt(BASE58.indexOf(char)), 0n)
  const hex = number.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex')
}

export interface AuditEntry {
  readonly seq: number
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly subject?: string
  readonly because: unknown
  readonly hash: string
  readonly prev: string
}

/**
 * Recomputes the chain of a community's log from what `audit.list` shows, in order of `seq`: SHA-256 over a tag, the row in DAG-CBOR
 * and the hash before. A row changed, left out or put in later would show.
 */
export function verifyChain(community: string, entries: readonly AuditEntry[]): void {
  let prev = '0'.repeat(64)
  for (const [index, entry] of entries.entries()) {
    const { seq, actor, action, target, because } = entry
    must(seq === index + 1 && entry.prev === prev, `row ${index + 1} of the log follows the row before`)
    const subject = entry.subject ?? null
    const fact = { v: 1, community, seq, atMs: Date.parse(entry.at), actor, action, target, subject, because }
    const bytes = encode({ ...fact, prev: Buffer.from(prev, 'hex') })
    prev = createHash('sha256').update('reeve-audit-v1\n').update(bytes).digest('hex')
    must(entry.hash === prev, `the hash of row ${seq} is the hash of what it says`)
  }
}

async function json(url: string) {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`the directory answered ${response.status}`)
  // biome-ignore lint/suspicious/noExplicitAny: read from the network and judged by its users
  return (await response.json()) as any
}
