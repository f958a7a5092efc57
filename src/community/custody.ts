/** Who holds the keys that can change a community's DID, as its founder asks for it. */

import { recoveryProofHolds } from '../keys/recovery-proof.ts'
import * as lexicon from '../lexicons/community/reeve/community/mint.ts'
import type { Did, DidKey } from '../names.ts'
import { parseDidKey } from '../platform/multikey.ts'
import { Refusal } from '../refusals.ts'
import type { CustodyKind, WantedCustody } from './store.ts'

export interface Custody {
  readonly kind: CustodyKind
  /** The key that outranks ours; null when custody is ours alone. */
  readonly recoveryKey: DidKey | null
  /** A key in shares, to be made by a ceremony: until then custody is what it is without. */
  readonly wanted: WantedCustody | null
}

/**
 * The custody that a founder asks for. A recovery key counts only with a signature by it over who asks, and whom: a mistyped key
 * would be no exit, and a key shown to somebody else proves nothing here.
 * @throws Refusal UnsupportedCustody; InvalidRequest for no did:key; BadRecoveryProof
 */
export function requireCustody(given: lexicon.$InputBody['custody'], caller: Did, service: string): Custody {
  if (lexicon.custodial.$isTypeOf(given)) return { kind: 'custodial', recoveryKey: null, wanted: null }
  if (lexicon.quorum.$isTypeOf(given)) {
    const wanted = given.strict ? 'quorumStrict' : 'quorum'
    if (given.recoveryKey === undefined && given.proof === undefined)
      return { kind: 'custodial', recoveryKey: null, wanted }
    return { ...memberHeld(given.recoveryKey ?? '', given.proof ?? '', caller, service), wanted }
  }
  if (!lexicon.memberHeld.$isTypeOf(given)) {
    throw new Refusal('UnsupportedCustody', 'custody here is memberHeld, quorum or custodial')
  }
  return { ...memberHeld(given.recoveryKey, given.proof, caller, service), wanted: null }
}

function memberHeld(recoveryKey: string, proof: string, caller: Did, service: string) {
  const key = parseDidKey(recoveryKey)
  if (!key) throw new Refusal('InvalidRequest', 'recoveryKey is not a did:key over P-256 or secp256k1')
  const claim = { recoveryKey: key.didKey, caller, service, proof }
  if (!recoveryProofHolds(claim)) {
    throw new Refusal('BadRecoveryProof', 'the proof is not by the recovery key, or not over the right words')
  }
  return { kind: 'memberHeld' as const, recoveryKey: key.didKey }
}
