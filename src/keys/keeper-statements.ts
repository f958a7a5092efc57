/**
 * What owners sign with keys of their own, which this service never has: that these keys are theirs, and that they want this very
 * act, now.
 *
 * A session, or a token that their PDS signs, can be stolen; what can't be taken back must not follow from that alone. So each statement
 * names the service, the community, the person and what it is for, and is worth nothing anywhere else.
 */
import { encode } from '@ipld/dag-cbor'
import type { Did, DidKey } from '../names.ts'
import { fromBase64Url, sha256, utf8 } from '../platform/bytes.ts'
import { verify } from '../platform/ecdsa.ts'
import { parseDidKey } from '../platform/multikey.ts'

/** Somebody's keys: `sealKey` an age recipient, `signKey` over P-256 or secp256k1. */
export interface KeeperKeys {
  readonly sealKey: string
  readonly signKey: DidKey
}

/** Whose keys these are to be, where, and before whom. */
export interface KeeperClaim extends KeeperKeys {
  readonly community: Did
  readonly caller: Did
  readonly service: string
}

/** One act, confirmed. */
export interface StepUpClaim {
  readonly service: string
  readonly community: Did
  readonly caller: Did
  /** The name of the method. */
  readonly act: string
  /** SHA-256 of the act's input, in lower-case hexadecimal. */
  readonly inputHash: string
  /** An ISO 8601 instant, as it was signed. */
  readonly at: string
}

/** 64 bytes r‖s in unpadded base64url. */
const SIGNATURE_CHARS = 86
/** Ten bytes: nobody finds other keys with the same fingerprint by trying. */
const FINGERPRINT_BYTES = 10

/** The bytes by which an enrolment is claimed. Names hold no line feeds, so no two claims read the same. */
export const keeperStatement = (claim: KeeperClaim): Uint8Array =>
  lines('reeve-keeper-v1', claim.community, claim.caller, claim.service, claim.sealKey, claim.signKey)

/** The bytes by which an act is confirmed. */
export const stepUpStatement = (claim: StepUpClaim): Uint8Array =>
  lines('reeve-step-up-v1', claim.service, claim.community, claim.caller, claim.act, claim.inputHash, claim.at)

/** What is no part of an act: how it is confirmed, and how often it may be carried out. */
const NOT_THE_ACT: ReadonlySet<string> = new Set(['stepUp', 'idempotencyKey', 'ifRevision'])

/** SHA-256 of an act's input, in lower-case hexadecimal: of the DAG-CBOR of the call's body without what is no part of the act. */
export function inputHashOf(body: Readonly<Record<string, unknown>>): string {
  const input = Object.entries(body).filter(([name, value]) => !NOT_THE_ACT.has(name) && value !== undefined)
  return Buffer.from(sha256(encode(Object.fromEntries(input)))).toString('hex')
}

/** Whether `proof` is a signature over the claim by the key that it claims. Never throws. */
export const keeperProofHolds = (claim: KeeperClaim, proof: string): boolean =>
  isSigned(claim.signKey, keeperStatement(claim), proof)

/** Whether `sig` is a signature over the claim by the key that was enrolled. Never throws. */
export const stepUpHolds = (claim: StepUpClaim, signKey: DidKey, sig: string): boolean =>
  isSigned(signKey, stepUpStatement(claim), sig)

/** Short for both keys, to be read aloud: five groups of four hexadecimal characters. */
export function fingerprintOf({ sealKey, signKey }: KeeperKeys): string {
  const hash = sha256(lines('reeve-keeper-fingerprint-v1', sealKey, signKey)).subarray(0, FINGERPRINT_BYTES)
  return Buffer.from(hash)
    .toString('hex')
    .replaceAll(/(.{4})(?=.)/g, '$1 ')
}

const lines = (...texts: readonly string[]): Uint8Array => utf8(texts.join('\n'))

/** ECDSA with SHA-256 on either curve, r‖s with a low S, unpadded base64url. */
function isSigned(signKey: DidKey, statement: Uint8Array, sig: string): boolean {
  const signer = parseDidKey(signKey)
  const signature = sig.length === SIGNATURE_CHARS ? fromBase64Url(sig) : null
  return signer !== null && signature !== null && verify(signer.key, statement, signature, { lowS: true })
}
