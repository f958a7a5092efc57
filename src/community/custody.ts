/** Who holds the keys that can change a community's DID, as its founder asks for it. */

import { recoveryProofHolds } from '../keys/recovery-proof.ts'
import * as lexicon from '../lexicons/community/reeve/community/mint.ts'
import type { Did, DidKey } from '../names.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'
import type { CustodyKind } from './store.ts'

export interface Custody {
  readonly kind: CustodyKind
  /** The key that outranks ours; null when custody is ours alone. */
  readonly recoveryKey: DidKey | null
}

/**
 * The custody that a founder asks for. A recovery key counts only with a signature by it over who asks, and whom: a mistyped key
 * would be no exit, and a key shown to somebody else proves nothing here.
 * @throws Refusal UnsupportedCustody; InvalidRequest for no did:key; BadRecoveryProof
 */
export function requireCustody(given: lexicon.$InputBody['custody'], caller: Did, service: string): Custody {
  if (lexicon.custodial.$isTypeOf(given)) return { kind: 'custodial', recoveryKey: null }
  if (!lexicon.memberHeld.$isTypeOf(given)) {
    throw new Refusal('UnsupportedCustody', 'custody here is memberHeld or custodial')
  }
  const key = parseDidKey(given.recoveryKey)
  if (!key) throw new Refusal('InvalidRequest', 'recoveryKey is not a did:key over P-256 or secp256k1')
  const claim = { recoveryKey: key.didKey, caller, service, proof: given.proof }
  if (!recoveryProofHolds(claim)) {
    throw new Refusal('BadRecoveryProof', 'the proof is not by the recovery key, or not over the right words')
  }
  return { kind: 'memberHeld', recoveryKey: key.didKey }
}
