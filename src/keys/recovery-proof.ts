/**
 * Proof that somebody really holds the recovery key they name when a community is founded.
 *
 * That key is the community's way out, and it ranks above ours for ever. A mistyped one would be found out on the day it is
 * needed, so founding demands a signature by it, over words that name the caller, this service and the key: a proof made
 * for one person or one service is worth nothing to another.
 */
import type { Did, DidKey } from '../names.ts'
import { fromBase64Url, utf8 } from '../platform/bytes.ts'
import { verify } from '../platform/ecdsa.ts'
import { parseDidKey } from '../platform/multikey.ts'

/** Who claims which recovery key, and before whom. */
export interface RecoveryClaim {
  readonly recoveryKey: DidKey
  readonly caller: Did
  /** The DID of the service that founds the community. */
  readonly service: string
}

/** 64 bytes r‖s in unpadded base64url. */
const PROOF_CHARS = 86

/** The bytes that a recovery key signs. Names hold no line feeds, so no two claims read the same. */
export const recoveryStatement = (claim: RecoveryClaim): Uint8Array =>
  utf8(['reeve-recovery-v1', claim.caller, claim.service, claim.recoveryKey].join('\n'))

/**
 * Whether `proof` is a signature over the statement by the recovery key: ECDSA with SHA-256 on either curve, r‖s with a low
 * S, unpadded base64url. Never throws: whatever is not that is false.
 */
export function recoveryProofHolds(input: RecoveryClaim & { readonly proof: string }): boolean {
  const recovery = parseDidKey(input.recoveryKey)
  const signature = input.proof.length === PROOF_CHARS ? fromBase64Url(input.proof) : null
  if (!recovery || !signature) return false
  return verify(recovery.key, recoveryStatement(input), signature, { lowS: true })
}
