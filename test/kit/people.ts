/**
 * People with a did:plc of their own who can change it: another key, another history, the end of it. They sign with
 * `node:crypto` what their PDS would sign for them.
 */
import { encode } from '@ipld/dag-cbor'
import { cidOf, didOf, parsePlcOperation } from '../../src/identity/plc-operation.ts'
import type { Did } from '../../src/names.ts'
import { type Answer, type RawRequest, sendRaw } from './raw-request.ts'
import { base64Url, makeKey, makeServiceJwt, signBytes, type TestKey } from './tokens.ts'

export interface Somebody {
  readonly did: Did
  /** Signs for the DID, and is its only rotation key. */
  readonly key: TestKey
}

/** A new did:plc at a directory, as any PDS would register it: secp256k1, one rotation key. */
export async function makeSomebody(plcUrl: string, pds?: string): Promise<Somebody> {
  const key = makeKey('k256')
  const operation = signed(key, operationOf(key, key, null, pds))
  const did = didOf(operation)
  await submitOperation(plcUrl, did, operation)
  return { did, key }
}

/** Gives a DID another `#atproto` key. The rotation key stays. */
export async function changeKey(plcUrl: string, person: Somebody, key: TestKey): Promise<void> {
  const prev = await headOf(plcUrl, person.did)
  await submitOperation(plcUrl, person.did, signed(person.key, operationOf(person.key, key, prev)))
}

/** Moves somebody's repo to another host. */
export async function movePds(plcUrl: string, person: Somebody, pds: string): Promise<void> {
  const prev = await headOf(plcUrl, person.did)
  await submitOperation(plcUrl, person.did, signed(person.key, operationOf(person.key, person.key, prev, pds)))
}

/** Ends a DID. */
export async function endDid(plcUrl: string, person: Somebody): Promise<void> {
  const prev = await headOf(plcUrl, person.did)
  await submitOperation(plcUrl, person.did, signed(person.key, { type: 'plc_tombstone', prev }))
}

/** An operation with its signature. */
export const signed = <Op extends object>(key: TestKey, operation: Op): Op & { sig: string } => ({
  ...operation,
  sig: base64Url(signBytes(key, encode(operation))),
})

export async function submitOperation(plcUrl: string, did: Did, operation: object): Promise<void> {
  const answer = await sendRaw(plcUrl, {
    method: 'POST',
    path: `/${encodeURIComponent(did)}`,
    headers: [['content-type', 'application/json']],
    body: JSON.stringify(operation),
  })
  if (answer.status !== 200) throw new Error(`the directory answered ${answer.status} ${JSON.stringify(answer.body)}`)
}

/** The CID of the operation in force. */
export async function headOf(plcUrl: string, did: Did): Promise<string> {
  const log = (await (await fetch(`${plcUrl}/${did}/log`)).json()) as unknown[]
  const head = parsePlcOperation(log.at(-1))
  if (!head) throw new Error(`no head of ${did}`)
  return cidOf(head)
}

const operationOf = (rotation: TestKey, key: TestKey, prev: string | null, pds = 'https://pds.example.com') => ({
  type: 'plc_operation' as const,
  rotationKeys: [rotation.didKey],
  verificationMethods: { atproto: key.didKey },
  alsoKnownAs: [],
  services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: pds } },
  prev,
})

/** A procedure or a query of the Reeve with that DID as it goes over the wire, by service auth that the person signs. */
export function requestAs(
  person: Somebody,
  at: { serviceDid: string; nowSec: number },
  method: string,
  input: object,
  type: 'procedure' | 'query' = 'procedure',
): RawRequest {
  const { key, did: iss } = person
  const token = makeServiceJwt({ key, iss, aud: `${at.serviceDid}#reeve`, lxm: method, nowSec: at.nowSec })
  const authorization = ['authorization', `Bearer ${token}`] as const
  if (type === 'query') {
    return { path: `/xrpc/${method}?${new URLSearchParams(Object.entries(input))}`, headers: [authorization] }
  }
  const headers = [authorization, ['content-type', 'application/json']] as const
  return { method: 'POST', path: `/xrpc/${method}`, headers, body: JSON.stringify(input) }
}

/** The same, sent to the Reeve at `url` over a socket of its own. */
export const callAs = (
  person: Somebody,
  at: { url: string; serviceDid: string; nowSec: number },
  method: string,
  input: object,
  type: 'procedure' | 'query' = 'procedure',
): Promise<Answer> => sendRaw(at.url, requestAs(person, at, method, input, type))

/** One address for each, as their own connections would have. */
export function addressOf(did: Did): string {
  let sum = 0
  for (const letter of did) sum = (sum * 31 + letter.charCodeAt(0)) % 0xffffff
  return `100.${sum >> 16}.${(sum >> 8) & 0xff}.${sum & 0xff}`
}
