/** Proof that the asker holds a key, of either generation, and what of a request can be used once only. */
import type { DidKey } from '../names.ts'
import { claimId } from '../platform/once.ts'
import type { Delegation } from './delegation.ts'
import { DELEGATION, keepUntilSec, proofKeepUntilSec } from './token-classes.ts'

/** A verified proof: August's DPoP with its key's thumbprint, or October's signature with its key. */
export type Possession =
  | { readonly binding: 'dpop'; readonly jkt: string; readonly jti: string; readonly iatSec: number }
  | { readonly binding: 'signature'; readonly holder: DidKey }

/** A claim to be the first to use something. */
export interface Claim {
  readonly kind: 'delegation' | 'dpop' | 'attestation'
  readonly id: Uint8Array
  readonly keepUntilSec: number
}

/**
 * What a request spends: the token, and a DPoP proof, which names no token on the exchange and so could serve another one. A
 * signature of October is over the token itself and needs no memory of its own.
 */
export function claimsOf(delegation: Delegation, possession: Possession): readonly Claim[] {
  const token: Claim = {
    kind: 'delegation',
    id: claimId('delegation', delegation.iss, delegation.jti),
    keepUntilSec: keepUntilSec(delegation.expSec, DELEGATION),
  }
  if (possession.binding === 'signature') return [token]
  const { jkt, jti, iatSec } = possession
  return [token, { kind: 'dpop', id: claimId('dpop', jkt, jti), keepUntilSec: proofKeepUntilSec(iatSec) }]
}
